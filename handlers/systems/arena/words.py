"""What Arena's words mean in ours: tables only.

Stages and statuses are Arena's; phase names, field names and disposition names are the
workspace's, which is why they are data and never guessed: those of a life cycle in
`canonical/data/lifecycle.csv`, the others here.
"""

from __future__ import annotations

from collections.abc import Mapping

from canonical.change import ChangeStatus, StockKind
from canonical.item import Lifecycle
from canonical.lifecycle import inbound
from canonical.masking import Kind
from canonical.revision import Scheme

# Numbers while in design, letters from the first release on.
SCHEME: Scheme = "prototype_then_production"

# Arena puts a dated change into force at the midnight that begins the day in this zone.
EFFECTIVE_ZONE = "America/Los_Angeles"

CHANGE_STATUS: Mapping[str, ChangeStatus] = {
    "OPEN_AND_UNLOCKED": "open",
    "OPEN_AND_LOCKED": "open",
    "LOCKED": "open",
    "WITHDRAWN": "open",
    "SUBMITTED_FOR_ROUTING": "submitted",
    "SUBMITTED_FOR_APPROVAL": "submitted",
    "APPROVED": "approved",
    "RELEASED": "released",
    "EFFECTIVE": "effective",
    "COMPLETED": "completed",
    "REJECTED": "cancelled",
    "CANCELED": "cancelled",
    "CANCELLED": "cancelled",
    "EXPIRED": "cancelled",
}
# Word of ours -> implementation status, which a change administrator sets with the completion.
IMPLEMENTATION: Mapping[str, str] = {"done": "DONE"}
# From these a change can be completed; the others it has to leave first, or never does.
COMPLETABLE = frozenset({"EFFECTIVE", "EXPIRED"})
COMPLETED = "COMPLETED"
# A change in one of these becomes effective without anybody's help.
UNDER_WAY = frozenset({"APPROVED", "RELEASED"})

# Arena has no release step of its own: an approved change is released, its effectivity says when.
RELEASED: frozenset[ChangeStatus] = frozenset({"approved", "released", "effective", "completed"})

STAGE: Mapping[str, Lifecycle] = inbound("arena-stage")
# For answers that give a phase without its stage; casefolded.
PHASE: Mapping[str, Lifecycle] = inbound("arena-phase")
STOCK: Mapping[str, StockKind] = {
    "On Order": "on_order",
    "WIP": "in_process",
    "In Stock": "in_stock",
    "Finished Goods": "finished",
    "In the Field": "in_field",
}

# Names of the custom fields that are read.
FAMILY_FIELD = "Product Line"
PLANTS_FIELD = "Plants"
URGENCY_FIELD = "Urgency"

# Names that look like persons' and are not.
MASKED: Mapping[str, Kind] = {
    "additionalAttributes.name": "label",
    "dispositionAttributes.name": "label",
    "category.name": "keep",
    "newLifecyclePhase.name": "keep",
    "newItemRevision.name": "keep",
    "affectedItemRevision.name": "keep",
}
