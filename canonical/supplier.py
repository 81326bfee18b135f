"""Suppliers and whether they may be bought from."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from canonical.bounds import Instant

QualificationStatus = Literal["qualified", "conditional", "in_qualification", "disqualified"]


class Qualification(msgspec.Struct, frozen=True):
    """Result of qualifying a supplier.

    valid_until: last valid day; None = open.
    """

    status: QualificationStatus
    valid_until: date | None = None
    stated_as: str = ""

    def is_valid(self, on: date) -> bool:
        """Whether the supplier may be bought from on that day."""
        return self.status == "qualified" and (self.valid_until is None or on <= self.valid_until)


class Supplier(msgspec.Struct, frozen=True):
    """A supplier as procurement states it; `number` is the one the ERP knows too."""

    number: str
    name: str
    active: bool
    qualification: Qualification
    source_id: str = ""
    stated_at: Instant | None = None


def supplier_key(number: str) -> str:
    """Order and document key of a supplier."""
    return f"supplier/{number}"
