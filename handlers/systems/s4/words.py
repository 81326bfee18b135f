"""What our words mean in S/4HANA: tables and constants only.

Numbers of types, groups and statuses are a customer's own settings, which is why they stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from canonical.change import ChangedKind, ChangeMasterStatus
from canonical.item import ItemKind, Lifecycle, Procurement
from canonical.lifecycle import outbound
from canonical.masking import Kind
from canonical.purchase_contract import ContractKind, ContractStatus

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
# Where an item has no class of the scheme below.
PRODUCT_GROUP = "L001"
# Schemes of classes whose codes are this ERP's own.
GROUP_SCHEME, HIERARCHY_SCHEME = "sap-material-group", "sap-product-hierarchy"
MRP_TYPE = "ND"  # no planning: the plant's planner decides how to plan
LANGUAGE = "EN"

# 01, active, as SAP delivers it. A change number needs one when it is created; it is the ERP's
# afterwards.
CHANGE_STATUS = "01"
# SAPObjectType of what may refer to a change number, as far as we change it.
CHANGED_KINDS: Mapping[str, ChangedKind] = {"Material": "item", "MaterialBOM": "bom"}
CHANGED_OBJECTS = tuple(CHANGED_KINDS)
# ChangeNumberStatus, without zeros, as SAP delivers them: whether objects may be changed under the
# number. Field knowledge.
CHANGE_STATUSES: Mapping[str, ChangeMasterStatus] = {"1": "active", "2": "inactive"}

BOM_CATEGORY = "M"  # of a material
STOCK_ITEM = "L"
PRODUCTION_USAGE = "1"

INFO_RECORD_CATEGORY = "0"  # standard

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
# Of an order, a contract and a contract's item: for now nothing may be ordered on it.
BLOCKED = "S"
# What is written of an item of a contract that is taken out of it.
TAKEN_OUT = "L"
# PurchasingProcessingStatus of a contract: version in process, active, in release, partially
# released, release completed, rejected; older releases have none. 02 is what the sandbox calls
# active, 03 and 08 are in SAP notes, the others field knowledge.
CONTRACT_STATUS: Mapping[str, ContractStatus] = {
    "": "active",
    "01": "draft",
    "02": "active",
    "03": "draft",
    "04": "draft",
    "05": "active",
    "08": "draft",
}
# PurchaseContractType as SAP delivers them: quantity and value contract. Field knowledge.
CONTRACT_KINDS: Mapping[str, ContractKind] = {"MK": "quantity", "WK": "value"}
# The same out. A blanket contract has no type that SAP delivers.
CONTRACT_TYPES: Mapping[ContractKind, str] = {kind: word for word, kind in CONTRACT_KINDS.items()}
# BillOfMaterialItemCategory of a line that may name no component: what it is, and the fields that
# say it.
CLASS_LINE = "K"
WITHOUT_COMPONENT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "T": ("text", ("BOMItemDescription", "BOMItemText2")),
    "D": (
        "document",
        ("DocumentType", "DocNumber", "DocumentPart", "DocumentVersion", "BOMItemDescription"),
    ),
    CLASS_LINE: ("class", ("ClassNumber", "BOMItemDescription")),
    "N": ("non-stock", ("BOMItemDescription", "BOMItemText2")),
}
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
# ConditionType of what is the price itself, as SAP delivers it and as S/4HANA has it.
PRICE_CONDITIONS = frozenset({"PB00", "PBXX", "PPR0"})
# ConditionCalculationType of what is charged by quantity, PricingScaleType of lines from a quantity
# on, PricingScaleBasis of lines that count quantities and of a price without any: as SAP delivers
# them, where they are empty too. Field knowledge; A, C and no basis are what the sandbox answers.
CALCULATED_BY_QUANTITY = frozenset({"", "C"})
FROM_SCALES = frozenset({"", "A"})
SCALED_BY_QUANTITY, WITHOUT_SCALE = "C", ""
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
MASKED: Mapping[str, Kind] = {
    "District": "text",
    "POBox": "text",
    "PurchaseOutlineAgreement": "number",
    # The name of a state, the same everywhere.
    "PurchasingProcessingStatusName": "keep",
}
