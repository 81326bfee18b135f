"""What Arena's words mean in ours: tables only.

Stages, statuses and types are Arena's; phase, category, field and disposition names are the
workspace's, which is why they are data and never guessed: those of a life cycle in
`canonical/data/lifecycle.csv` and in the configuration, the others here.
"""

from __future__ import annotations

from collections.abc import Mapping

from canonical.change import ChangeStatus, StockKind
from canonical.item import ItemKind, Lifecycle, Procurement
from canonical.lifecycle import inbound
from canonical.masking import Kind
from canonical.revision import Scheme
from canonical.supplier import QualificationStatus

# Numbers while in design, letters from the first release on.
SCHEME: Scheme = "prototype_then_production"

# Arena's names of units.
UNITS = "arena"

# Arena puts a dated change into force at the midnight that begins the day in this zone.
# Of the classes that an item has: Arena has one tree of categories a workspace.
CATEGORY_SCHEME = "arena-category"

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

# By revisionStatus, else by status: whether anything is said of the revision. Of a working one
# nothing yet, of a superseded one nothing any more.
TOLD: Mapping[str, bool] = {
    "WORKING": False,
    "EFFECTIVE": True,
    "SUPERSEDED": False,
    "0": False,
    "1": True,
    "2": False,
}
# Casefolded. Whether a part is an assembly is said by its BOM.
CATEGORY: Mapping[str, ItemKind] = {
    "assembly": "part",
    "subassembly": "part",
    "top level assembly": "part",
    "finished good": "part",
    "finished goods": "part",
    "product": "part",
    "part": "part",
    "component": "part",
    "electrical": "part",
    "electrical component": "part",
    "mechanical": "part",
    "mechanical component": "part",
    "hardware": "part",
    "cable": "part",
    "pcb": "part",
    "pcba": "part",
    "packaging": "part",
    "label": "part",
    "raw material": "part",
    "consumable": "part",
    "document": "document",
    "documentation": "document",
    "drawing": "document",
    "specification": "document",
    "procedure": "document",
    "service": "service",
}
# The custom field, casefolded.
MAKE_BUY: Mapping[str, Procurement] = {"make": "make", "buy": "buy", "phantom": "phantom"}
# None: to specification, made here or by others, which its sources say.
PROCUREMENT_TYPE: Mapping[str, Procurement | None] = {"OTS": "buy", "MTS": None}

# Casefolded. "unrated" stands in an example only; what a workspace adds is in no table.
APPROVAL: Mapping[str, QualificationStatus] = {
    "approved": "qualified",
    "disapproved": "disqualified",
    "unrated": "in_qualification",
}

# What is read, in words of our own: a change by its guid, the one that an entry of a queue names,
# by "<integration>/<event>/<change>", a revision of an item or a supplier by its guid.
READ_CHANGE = "change"
READ_EVENT = "event"
READ_ITEM = "item"
READ_SUPPLIER = "supplier"

# What triggers of events are about: whether it is read.
RESOURCE_READ: Mapping[str, bool] = {"CHANGE": True, "ITEM": True, "QUALITY": False}

# Names of the custom fields that are read.
FAMILY_FIELD = "Product Line"
PLANTS_FIELD = "Plants"
URGENCY_FIELD = "Urgency"
MAKE_BUY_FIELD = "Make/Buy"
CHANGE_FIELDS = frozenset({FAMILY_FIELD, PLANTS_FIELD, URGENCY_FIELD})
ITEM_FIELDS = frozenset({FAMILY_FIELD, MAKE_BUY_FIELD})

# Names that look like persons' and are not.
MASKED: Mapping[str, Kind] = {
    "additionalAttributes.name": "label",
    "dispositionAttributes.name": "label",
    "category.name": "keep",
    "newLifecyclePhase.name": "keep",
    "newItemRevision.name": "keep",
    "affectedItemRevision.name": "keep",
    "item.name": "keep",
    "items.name": "keep",
    "triggers.name": "keep",
    "lifecyclePhase.name": "keep",
    "components.name": "keep",
    "requirement.name": "keep",
    "supplierItems.name": "keep",
    "effectiveItemRevision.name": "keep",
    "supersededItemRevision.name": "keep",
}
