"""The taxonomy of our own events: one row each, the table other teams read first.

Type on the wire: `com.layshaft.<object>.<past-tense>.v<n>`. The short form names queues.
"""

from __future__ import annotations

import msgspec

from canonical.bom import Bom
from canonical.bounds import Instant, Int64
from canonical.change import EngineeringChange
from canonical.envelope import Lane
from canonical.item import Item
from canonical.sourcing import Coverage
from canonical.supplier import Supplier

PREFIX = "com.layshaft."
SOURCE = "layshaft"


class ApprovalRequested(msgspec.Struct, frozen=True):
    """Somebody is waiting for a decision of a role."""

    change: str
    question: str
    text: str
    role: str
    evidence: tuple[str, ...] = ()


class ApprovalDecided(msgspec.Struct, frozen=True):
    """A decision was taken; verdict is also in the event's name."""

    change: str
    question: str
    about: str
    by: str
    at: Instant
    reason: str = ""


class ChangeCompleted(msgspec.Struct, frozen=True):
    """Every step of the change is true in every plant and system."""

    number: str
    version: Int64
    title: str
    plants: tuple[str, ...]
    items: tuple[str, ...]


class PlanAdjustmentNeeded(msgspec.Struct, frozen=True):
    """Planning should look at these items in this plant: their definition changed."""

    change: str
    plant: str
    items: tuple[str, ...]


class EventType(msgspec.Struct, frozen=True):
    """One row of the taxonomy.

    name: `<object>.<past-tense>`. key: what the business key looks like. lane: unless the emitter
    chooses a faster one. owner: team that answers for its meaning. retention_days: in the log.
    """

    name: str
    version: int
    data: type[msgspec.Struct]
    key: str
    lane: Lane
    owner: str
    retention_days: int
    description: str

    @property
    def type(self) -> str:
        """CloudEvents type."""
        return f"{PREFIX}{self.name}.v{self.version}"


def _row(
    name: str, data: type[msgspec.Struct], key: str, lane: Lane, owner: str, description: str
) -> EventType:
    return EventType(name, 1, data, key, lane, owner, 90, description)


_ENG, _PRO, _OPS = "engineering", "procurement", "operations"

EVENTS: dict[str, EventType] = {
    row.name: row
    for row in (
        _row("engineering-change.released", EngineeringChange, "engineering-change/<number>",
             "standard", _ENG, "A change order is released for the plants it is effective in"),
        _row("engineering-change.completed", ChangeCompleted, "engineering-change/<number>",
             "standard", _ENG, "All steps of a released change are true in all systems"),
        _row("item.released", Item, "item/<number>",
             "standard", _ENG, "An item revision is released"),
        _row("bom.released", Bom, "bom/<parent item>",
             "standard", _ENG, "The structure of an item revision is released"),
        _row("supplier.changed", Supplier, "supplier/<number>",
             "standard", _PRO, "A supplier or its qualification changed"),
        _row("sourcing.changed", Coverage, "coverage/<item>",
             "standard", _PRO, "Contracts that cover an item changed"),
        _row("approval.requested", ApprovalRequested, "engineering-change/<number>",
             "standard", _OPS, "A role is asked for a decision"),
        _row("approval.granted", ApprovalDecided, "engineering-change/<number>",
             "standard", _OPS, "A decision was taken: go on"),
        _row("approval.refused", ApprovalDecided, "engineering-change/<number>",
             "standard", _OPS, "A decision was taken: do not go on"),
        _row("plan.adjustment-needed", PlanAdjustmentNeeded, "engineering-change/<number>",
             "enrichment", _OPS, "Planning should look at changed items of a plant"),
    )
}  # fmt: skip

BY_TYPE: dict[str, EventType] = {row.type: row for row in EVENTS.values()}
