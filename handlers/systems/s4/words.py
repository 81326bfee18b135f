"""What our words mean in S/4HANA: tables and constants only.

Numbers of types, groups and statuses are a customer's own settings, which is why they stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from canonical.item import ItemKind, Lifecycle, Procurement
from canonical.lifecycle import outbound
from canonical.masking import Kind

UNITS = "sap"

# ROH is bought, HALB is made, DIEN is a service. Documents are never materials.
PRODUCT_TYPE: Mapping[tuple[ItemKind, Procurement], str] = MappingProxyType(
    {
        ("part", "make"): "HALB",
        ("part", "buy"): "ROH",
        ("part", "phantom"): "HALB",
        ("part", "none"): "ROH",
        ("assembly", "make"): "HALB",
        ("assembly", "buy"): "ROH",
        ("assembly", "phantom"): "HALB",
        ("assembly", "none"): "HALB",
        ("service", "make"): "DIEN",
        ("service", "buy"): "DIEN",
        ("service", "none"): "DIEN",
    }
)
# E in-house, F external; "" leaves the plant free. A phantom is made, in its parent's order.
PROCUREMENT_TYPE: Mapping[Procurement, str] = {"make": "E", "buy": "F", "phantom": "E", "none": ""}
BOTH_PROCUREMENT_TYPES = "X"
# 01: blocked for purchasing and warehouse, as SAP delivers it.
CROSS_PLANT_STATUS: Mapping[Lifecycle, str] = outbound("sap-material-status")

INDUSTRY_SECTOR = "M"
PRODUCT_GROUP = "L001"
MRP_TYPE = "ND"  # no planning: the plant's planner decides how to plan
LANGUAGE = "EN"

# 01, active, as SAP delivers it. A change number needs one when it is created; it is the ERP's
# afterwards.
CHANGE_STATUS = "01"
# SAPObjectType of what may refer to a change number.
CHANGED_OBJECTS = ("Material", "MaterialBOM")

BOM_CATEGORY = "M"  # of a material
STOCK_ITEM = "L"
PRODUCTION_USAGE = "1"

INFO_RECORD_CATEGORY = "0"  # standard
# Info records and orders need one when they are created; it is the buyers' afterwards.
PURCHASING_GROUP = "001"

# Of an order, by the word of whoever placed it; NB, standard, is as SAP delivers it.
ORDER_TYPE: Mapping[str, str] = {"": "NB", "NB": "NB"}

# A supplier is a partner with a role, whose number is given from outside: the grouping says so.
SUPPLIER_ROLE = "FLVN01"
EXTERNAL_NUMBERS = "BPEE"

# What is read back. Deletion codes of an order and of its items; S, blocked, is still on order.
DELETED = frozenset({"L", "X"})
# PurchasingProcessingStatus: in release, rejected. What the supplier has is another state of the
# order, or none.
NOT_PLACED = frozenset({"03", "08"})
# X, both, tells of neither.
PROCUREMENT: Mapping[str, Procurement | None] = {"E": "make", "F": "buy", "X": None}

# BusinessPartnerCategory: each has fields of its own for names. Field knowledge.
PERSON, ORGANISATION, GROUP = "1", "2", "3"
# AddressUsage of the standard address, as SAP delivers it. Field knowledge.
STANDARD_ADDRESS = "XXDEFAULT"
# PurchasingInfoRecordCategory.
INFO_RECORD_CATEGORIES: Mapping[str, str] = {
    "0": "standard",
    "2": "consignment",
    "3": "subcontracting",
    "P": "pipeline",
}
# Fields of A_Supplier.
TAX_NUMBERS: Mapping[str, str] = {
    "VATRegistration": "vat",
    "TaxNumber1": "tax-1",
    "TaxNumber2": "tax-2",
    "TaxNumber3": "tax-3",
    "TaxNumber4": "tax-4",
    "TaxNumber5": "tax-5",
}

# What fields hold that is nobody else's business and whose names do not say so.
MASKED: Mapping[str, Kind] = {"District": "text", "POBox": "text"}
