"""The events are those of the taxonomy; where they are others, that is on purpose and said here."""

from __future__ import annotations

from typing import get_args

from canonical.events import EVENTS, ApprovedSourcesChanged
from canonical.item import ApprovedManufacturer, ApprovedSupplier
from canonical.own_work import StepEnd
from canonical.sourcing import Coverage

# Objects of a manufacturer's business, and what happens to them that others wait to hear.
TAXONOMY = {
    "engineering-change": (
        "submitted",
        "approved",
        "released",
        "effective",
        "cancelled",
        "completed",
    ),
    "item": ("released", "superseded", "obsoleted", "created", "changed", "blocked"),
    "bom": ("released", "changed"),
    "sourcing": ("changed",),
    "supplier": ("registered", "qualified", "disqualified", "changed", "blocked", "merged"),
    "contract": ("activated", "changed", "expiring", "expired"),
    "info-record": ("changed",),
    "sourcing-event": ("awarded",),
    "purchase-order": ("created", "changed", "closed"),
    "order-confirmation": ("accepted", "changed", "backordered", "rejected"),
    "quality-hold": ("placed", "lifted"),
    # What is Layshaft's own.
    "step": ("done", "failed", "cancelled", "superseded", "overdue"),
    "case": ("opened", "resolved"),
    "approval": ("requested", "granted", "refused", "withdrawn"),
    "plan": ("adjustment-needed",),
}
# What it lacks, and why that is an event of its own.
BESIDE = {
    "approved-sources.changed": "`sourcing.changed` is about contract cover alone; see below",
    "supplier-master.changed": "An ERP's word on a supplier; `supplier` is procurement's",
    "source-list.changed": "From whom a plant may buy, as its ERP has it",
    "supplier-review.decided": "A decision taken elsewhere; what it comes to is an `approval`",
    "foreign-values.accepted": "What a decision about ownership comes to; no system states it",
    "supplier-notice.issued": "Suppliers hear of changes; `engineering-change` speaks to nobody",
    "engineering-change.progressed": "The taxonomy tells of its end alone",
    "change-master.changed": "An ERP's word on a change; `engineering-change` is the PLM's",
}


def test_every_event_of_the_taxonomy_is_there_and_every_other_one_has_a_reason() -> None:
    named = {f"{kind}.{what}" for kind, happened in TAXONOMY.items() for what in happened}
    assert set(EVENTS) == named | BESIDE.keys()
    assert not named & BESIDE.keys()
    assert TAXONOMY["step"] == (*get_args(StepEnd), "overdue")


def test_cover_and_approved_sources_of_an_item_are_told_apart() -> None:
    """The taxonomy has one `sourcing.changed` for both: they come from other systems, belong to
    other teams, and one goes on while the other one waits."""
    cover, approved = EVENTS["sourcing.changed"], EVENTS["approved-sources.changed"]
    assert (cover.data, cover.owner) == (Coverage, "procurement")
    assert (approved.data, approved.owner) == (ApprovedSourcesChanged, "engineering")
    fields = ApprovedSourcesChanged.__annotations__
    assert {fields["manufacturers"], fields["suppliers"]} == {
        f"tuple[{ApprovedManufacturer.__name__}, ...]",
        f"tuple[{ApprovedSupplier.__name__}, ...]",
    }
    assert approved.name in cover.description
