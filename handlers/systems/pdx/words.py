"""What the words of a package mean in ours, and what ours are called in one: tables only.

In: codes of IPC-2571, or the text that stands for "Other", are written casefolded. A word that is
in no table is never guessed; customers' own words are added here, those of a life cycle in their
configuration. Out: the one code that is written for a word of ours, which comes in
as that word again.
"""

from __future__ import annotations

from collections.abc import Mapping

from canonical.change import ChangeStatus, StockKind
from canonical.item import ApprovalStatus, ItemKind, Lifecycle, Procurement
from canonical.lifecycle import inbound, outbound
from canonical.masking import Kind
from canonical.revision import Scheme

# Numbers before release, letters after: what Agile and Arena write into their packages.
SCHEME: Scheme = "prototype_then_production"

# Of the classes that an item has: the category is free text, of whoever wrote the package.
CATEGORY_SCHEME = "pdx-category"

LIFECYCLE: Mapping[str, Lifecycle] = inbound("pdx")
CHANGE_STATUS: Mapping[str, ChangeStatus] = {
    "issueidentified": "open",
    "changerequested": "open",
    "underinvestigation": "open",
    "changeorderproposed": "open",
    "onhold": "open",
    "approvalpending": "submitted",
    "approved": "approved",
    "cancelled": "cancelled",
    "rejected": "cancelled",
    "released": "released",
    "implemented": "effective",
    "completed": "completed",
}
RELEASED: frozenset[ChangeStatus] = frozenset({"released", "effective", "completed"})
APPROVAL: Mapping[str, ApprovalStatus] = {
    "approved": "approved",
    "active": "approved",
    "nonpreferred": "approved",
    "conditional": "conditional",
    "qualityhold": "conditional",
    "underqualification": "conditional",
    "reference": "conditional",
    "unqualified": "disapproved",
    "disqualified": "disapproved",
    "obsolete": "obsolete",
}
PREFERENCE: Mapping[str, int] = {"preferred": 1, "alternate": 2}
PROCUREMENT: Mapping[str, Procurement] = {
    "make": "make",
    "buy": "buy",
    "consigned": "buy",
    "vendormanaged": "buy",
    "subcontracted": "buy",
    # No code of the standard: what we write for "Other".
    "phantom": "phantom",
}
PRODUCT_KIND: Mapping[str, ItemKind] = {"document": "document", "service": "service"}
COMPLIANCE: Mapping[str, str] = {
    "RoHS Compliant": "RoHS",
    "REACH Compliant": "REACH",
    "Overall Compliance": "overall",
}
# The standard's own field names no kind of stock; what lies in stock is meant.
DISPOSITION: Mapping[str, StockKind] = {
    "disposition": "in_stock",
    "Stock Disposition": "in_stock",
    "On Order Disposition": "on_order",
    "WIP Disposition": "in_process",
    "Finished Goods Disposition": "finished",
    "Field Disposition": "in_field",
}

# --- out ---

# The codes of the document type but Other; a phase of these names is written as it is.
PHASES: frozenset[str] = frozenset(
    {"Design", "Preliminary", "Prototype", "Pilot", "Conditional", "Production", "Pending",
     "Inactive", "Unqualified", "Disqualified", "Obsolete"}
)  # fmt: skip
# The standard has no phase for what a newer revision took the place of.
PHASE_OF: Mapping[Lifecycle, str] = outbound("pdx")
STATUS_OF_CHANGE: Mapping[ChangeStatus, str] = {
    "open": "ChangeOrderProposed",
    "submitted": "ApprovalPending",
    "approved": "Approved",
    "released": "Released",
    "effective": "Implemented",
    "completed": "Completed",
    "cancelled": "Cancelled",
}
STATUS_OF_MAKER: Mapping[ApprovalStatus, str] = {
    "approved": "Approved",
    "conditional": "Conditional",
    "disapproved": "Disqualified",
    "obsolete": "Obsolete",
}
PREFERENCE_OF: Mapping[int, str] = {1: "Preferred", 2: "Alternate"}
# Code, and the text where the code is Other. Neither made nor bought is what nothing is said of.
MAKE_BUY_OF: Mapping[Procurement, tuple[str, str]] = {
    "make": ("Make", ""),
    "buy": ("Buy", ""),
    "phantom": ("Other", "Phantom"),
}
# Whether a part is an assembly is said by its BOM.
PRODUCT_TYPE_OF: Mapping[ItemKind, str] = {
    "part": "PART",
    "assembly": "PART",
    "document": "DOCUMENT",
    "service": "SERVICE",
}
# Names of custom fields.
COMPLIANCE_FIELD: Mapping[str, str] = {scheme: name for name, scheme in COMPLIANCE.items()}
DISPOSITION_FIELD: Mapping[StockKind, str] = {
    "in_stock": "Stock Disposition",
    "on_order": "On Order Disposition",
    "in_process": "WIP Disposition",
    "finished": "Finished Goods Disposition",
    "in_field": "Field Disposition",
}
# Names that look like persons' and are not.
MASKED: Mapping[str, Kind] = {"AdditionalAttribute.name": "label"}
