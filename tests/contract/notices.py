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
    "supplier.merged",
    "contract.activated",
    "contract.expiring",
    "contract.expired",
    "purchase-order.closed",
    "sourcing-event.awarded",
    "case.opened",
    "case.resolved",
    "step.done",
    "step.failed",
    "step.cancelled",
    "step.superseded",
    "approval.requested",
    "approval.granted",
    "approval.refused",
    "plan.adjustment-needed",
}
