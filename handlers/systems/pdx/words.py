"""What the words of a package mean in ours: tables only.

Codes of IPC-2571, or the text that stands for "Other", are written casefolded. A word that is in
no table is never guessed; customers' own words are added here.
"""

from __future__ import annotations

from collections.abc import Mapping

from canonical.change import ChangeStatus, StockKind
from canonical.item import ApprovalStatus, ItemKind, Lifecycle, Procurement
from canonical.revision import Scheme

# Numbers before release, letters after: what Agile and Arena write into their packages.
SCHEME: Scheme = "prototype_then_production"

LIFECYCLE: Mapping[str, Lifecycle] = {
    "design": "in_design",
    "preliminary": "in_design",
    "prototype": "in_design",
    "evaluation": "in_design",
    "pilot": "in_review",
    "pending": "in_review",
    "production": "released",
    "conditional": "released",
    "unqualified": "on_hold",
    "disqualified": "on_hold",
    "inactive": "obsolete",
    "obsolete": "obsolete",
}
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
