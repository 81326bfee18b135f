"""Events that are said to others: nothing here follows from them."""

from __future__ import annotations

NOTICES = {
    "engineering-change.submitted",
    "engineering-change.approved",
    "engineering-change.effective",
    "engineering-change.completed",
    "item.created",
    "item.superseded",
    "item.blocked",
    "item.obsoleted",
    "supplier.registered",
    "supplier.qualified",
    "supplier.disqualified",
    "supplier.blocked",
    "contract.activated",
    "contract.expired",
    "purchase-order.closed",
    "approval.requested",
    "approval.granted",
    "approval.refused",
    "plan.adjustment-needed",
}
