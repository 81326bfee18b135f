"""What procurement's words mean in ours and ours in procurement: tables only."""

from __future__ import annotations

from collections.abc import Mapping

from canonical.item import Lifecycle
from canonical.supplier import QualificationStatus

UNITS = "coupa"

# The instance's own words; one that is in no table is never guessed.
QUALIFICATION: Mapping[str, QualificationStatus] = {
    "Qualified": "qualified",
    "QualifiedRestricted": "conditional",
    "InQualification": "in_qualification",
    "Disqualified": "disqualified",
}
IS_ACTIVE: Mapping[str, bool] = {"active": True, "inactive": False}
# Contracts that may be bought on.
PUBLISHED = "published"
# Requesters find and order active items only.
ORDERABLE: frozenset[Lifecycle] = frozenset({"released", "superseded"})
