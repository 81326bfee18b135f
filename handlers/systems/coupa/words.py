"""What procurement's words mean in ours and ours in procurement: tables only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from canonical.item import Lifecycle
from canonical.order import OrderStatus
from canonical.purchase_contract import ContractStatus
from canonical.supplier import QualificationStatus

UNITS = "coupa"

# The instance's own words; one that is in no table is never guessed.
QUALIFICATION: Mapping[str, QualificationStatus] = {
    "Qualified": "qualified",
    "QualifiedRestricted": "conditional",
    "InQualification": "in_qualification",
    "Disqualified": "disqualified",
}
ACTIVE, INACTIVE = "active", "inactive"
IS_ACTIVE: Mapping[str, bool] = {ACTIVE: True, INACTIVE: False}
# Contracts that may be bought on.
PUBLISHED = "published"
CONTRACT_STATUS: Mapping[str, ContractStatus] = {
    "draft": "draft",
    "pending_approval": "draft",
    PUBLISHED: "active",
    "inactive": "suspended",
    "completed": "ended",
}
REVIEW_OPEN, REVIEW_CLOSED = "open", "closed"
# What a review came to that nobody decided, and nobody asks for any more.
WITHDRAWN = "withdrawn"
REVIEW_VERDICTS: Mapping[str, Literal["approved", "rejected"]] = {
    "approved": "approved",
    "rejected": "rejected",
}
ORDER_CANCELLED = "cancelled"
# None: the supplier does not have it.
ORDER_STATUS: Mapping[str, OrderStatus | None] = {
    "draft": None,
    "buyer_hold": None,
    "currency_hold": None,
    "supplier_hold": None,
    "supplier_window_hold": None,
    "error": None,
    "issued": "open",
    "exported": "open",
    "expensed": "open",
    "closed": "closed",
    ORDER_CANCELLED: "cancelled",
}
# Orders of another system; procurement's own are placed from requisitions.
EXTERNAL_ORDER = "ExternalOrderHeader"
# Lines that are not on order any more, and lines that are bought by amount.
LINE_CANCELLED = "cancelled"
BY_AMOUNT = "OrderAmountLine"
BY_QUANTITY = "OrderQuantityLine"
# Requesters find and order active items only.
ORDERABLE: frozenset[Lifecycle] = frozenset({"released", "superseded"})
