"""How an SAP gateway wants to know who calls."""

from __future__ import annotations

from canonical.access import CsrfTokens

ACCESS = CsrfTokens(header="x-csrf-token", asks="Fetch", refuses="required")
