"""Laws that every row of HANDLERS obeys, shown with one real message for each."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.bom import PlantBomState
from canonical.change import ChangeMasterState
from canonical.codec import encode
from canonical.effects import Effect, Emit, Open, Plan, Put
from canonical.envelope import Message
from canonical.errors import DEFECT, OWNERS, Failure, InvalidMessage, Misconfigured
from canonical.events import (
    EVENTS,
    SOURCE,
    AcceptedValue,
    ApprovalDecided,
    ApprovalWithdrawn,
    ForeignValuesAccepted,
    SupplierReviewDecided,
)
from canonical.facts import DOCUMENT_TYPES, SELECTIONS, Document, Facts, Known
from canonical.handler import Delivery, Handler
from canonical.item_master import ItemMasterPatch
from canonical.order import ConfirmedLine, OrderConfirmation, OrderLine, PurchaseOrder
from canonical.purchase_contract import PurchaseContract
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quality_hold import HoldStatus, QualityHold
from canonical.quantity import Quantity
from canonical.source_list import SourceList
from canonical.supplier_master import SupplierMasterPatch
from handlers import CATALOGUE, DRIVERS, RECOGNISED
from handlers import HANDLERS as OURS
from handlers.systems.table.inbound import handler_of
from tests.contract.notices import NOTICES
from tests.corpus import CORPUS
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.gearbox import ANSWERS as COVERAGES
from tests.fixtures.gearbox import CHANGE, EVERYTHING, ITEMS, NOW, STRUCTURES, SUPPLIERS
from tests.fixtures.gearbox import facts as gearbox_facts

Row = tuple[str, str]


def _table(name: str) -> Handler:
    text = (CORPUS / "table" / f"{name}.toml").read_text()
    return handler_of(tomllib.loads(text), f"{name}.toml")[1]


# A table of an integrator is held to the same laws.
HANDLERS: Mapping[Row, Handler] = {
    **OURS,
    ("table", "table.suppliers"): _table("suppliers"),
    ("table", "table.sources"): _table("sources"),
    ("table", "table.holds"): _table("holds"),
}
STATED = datetime(2026, 3, 2, 8, tzinfo=UTC)
MAX_ROUNDS = 32  # as many as the runtime asks
SEAL_LINE = {
    "item-number": "SEAL-1",
    "price": "25.00",
    "price-unit-quantity": "1000",
    "uom": {"code": "EA"},
    "currency": {"code": "EUR"},
    "start-date": "2025-01-01",
    "end-date": "2029-12-31",
}
CONTRACT = {
    "id": 7,
    "number": "C-3",
    "supplier": {"number": "S-3"},
    "status": "published",
    "start-date": "2025-01-01",
    "end-date": "2029-12-31",
    "lines": [SEAL_LINE],
}
CONTRACT_ROW = CONTRACT | {
    "name": "Seals",
    "updated-at": "2026-03-02T08:00:00+01:00",
    "currency": {"code": "EUR"},
    "maximum-value": "50000.00",
}
ORDER_ROW = {
    "id": 12,
    "po-number": "PO-1",
    "status": "issued",
    "version": 1,
    "created-at": "2026-03-01T09:00:00+01:00",
    "updated-at": "2026-03-02T08:00:00+01:00",
    "supplier": {"number": "S-3", "name": "Teller Precision"},
    "currency": {"code": "EUR"},
    "ship-to-address": {"location-code": "1010"},
    "order-lines": [
        {
            "line-num": "1",
            "type": "OrderQuantityLine",
            "description": "Shaft seal",
            "quantity": "5.0",
            "uom": {"code": "EA"},
            "price": "40.00",
            "item": {"item-number": "SEAL-1"},
            "need-by-date": "2026-04-01T00:00:00+02:00",
        },
        {"line-num": "2", "type": "OrderAmountLine", "price": "150.00"},
    ],
}
SUPPLIER = {
    "id": 9,
    "number": "S-3",
    "name": "Teller Precision",
    "status": "active",
    "custom-fields": {"qualification-status": "InQualification", "qualified-until": None},
}
SUPPLIER_ROW = SUPPLIER | {"updated-at": "2026-03-02T08:00:00+01:00"}
CHANGED = [
    {"id": 9, "updated-at": "2026-03-02T08:00:00+01:00"},
    {"id": 12, "updated-at": "2026-03-02T08:00:01+01:00"},
]
QUEUE_EVENT = {
    "integration": {"guid": "INTEGRATION0000000001"},
    "event": {
        "guid": "EVENT000000000000001",
        "eventType": "CHANGE",
        "creationDateTime": "2026-03-02T08:00:00Z",
        "itemsReconciled": False,
        "status": "NEEDS_UPDATE",
        "change": {"guid": "CHANGE00000000000001", "number": "ECO-7", "title": "Seal"},
    },
}


EVENT_ITEM = {
    "eventItem": {
        "guid": "EVENTITEM00000000001",
        "reconciled": False,
        "effectiveItemRevision": {
            "guid": "REVISION000000000001",
            "name": "Shaft seal",
            "number": "SEAL-1",
            "revisionNumber": "B",
            "lifecyclePhase": {"name": "In Production", "stage": "PRODUCTION"},
        },
    }
}
GONE = {"gone": True, "kind": "item", "id": "REVISION000000000001"}
ARENA_SUPPLIER = {
    "supplier": {
        "approvalStatus": "approved",
        "guid": "SUPPLIER000000000002",
        "name": "Teller Precision",
        "supplierId": "S-3",
    }
}
OUTBOUND_EVENT = {
    "outboundEvent": {
        "guid": "EVENT000000000000002",
        "eventType": "OUTBOUND_EVENT",
        "creationDateTime": "2026-03-02T08:00:00Z",
        "resourcesReconciled": False,
        "status": "NEEDS_UPDATE",
        "triggers": [{"action": "WORKFLOW", "name": "Order release", "resource": "CHANGE"}],
    },
    "changes": [{"guid": "CHANGE00000000000001", "number": "ECO-7", "title": "Seal"}],
    "items": [
        {"guid": "REVISION000000000001", "number": "SEAL-1", "revisionStatus": "EFFECTIVE"},
    ],
}
SUPPLIER_ITEM = {
    "supplierItem": {"guid": "SUPPLIERITEM00000001"},
    "sourcing": {
        "count": 1,
        "results": [
            {
                "guid": "SOURCE00000000000001",
                "approved": True,
                "item": {
                    "guid": "REVISION000000000001",
                    "name": "Shaft seal",
                    "number": "SEAL-1",
                    "revisionNumber": "B",
                    "revisionStatus": "EFFECTIVE",
                    "status": 1,
                },
            }
        ],
    },
}
SUPPLIER_NOTICE = {"supplierNotice": {"guid": "SUPPLIER000000000002", "supplierId": "S-3"}}


def _answer(subject: str, content: object) -> Delivery:
    """What a read of procurement brought back."""
    attributes = {"id": "a-1", "subject": subject, "time": STATED.isoformat()}
    return Delivery("procurement", "", json.dumps(content).encode(), attributes=attributes)


def _changed(kind: str, row: object) -> Delivery:
    """A row of a list of what changed."""
    return Delivery("suite", "", json.dumps(row).encode(), attributes={"type": kind})


def _tryton(name: str) -> Delivery:
    """What a Tryton answered, in the corpus."""
    headers = tomllib.loads((CORPUS / "tryton" / f"{name}.headers.toml").read_text())
    return Delivery(
        "erp", "", (CORPUS / "tryton" / f"{name}.json").read_bytes(), attributes=headers
    )


def _read_back(subject: str, content: object) -> Delivery:
    """What a read of S/4HANA brought back."""
    attributes = {"id": "a-1", "subject": subject, "time": STATED.isoformat()}
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


def _event(event: str, key: str, data: msgspec.Struct) -> Delivery:
    """An event of ours as it comes from its queue."""
    attributes = {"id": "e-1", "source": SOURCE, "type": EVENTS[event].type, "subject": key}
    return Delivery(SOURCE, event, encode(data), attributes=attributes)


MATMAS = (CORPUS / "idoc" / "matmas.xml").read_text()
CREMAS = (CORPUS / "idoc" / "cremas.made.xml").read_text()
INFREC = (CORPUS / "idoc" / "infrec.made.xml").read_text()
BOMMAT = (CORPUS / "idoc" / "bommat.made.xml").read_text()
COND_A = (CORPUS / "idoc" / "cond_a.made.xml").read_text()
ALEAUD = (CORPUS / "idoc" / "aleaud.made.xml").read_text()
STATUS = (CORPUS / "idoc" / "status.made.xml").read_text()
ORDERS = (CORPUS / "idoc" / "orders.xml").read_text()
ORDRSP = (CORPUS / "idoc" / "ordrsp.xml").read_text()
SUPPLIERS_CSV = (CORPUS / "table" / "suppliers.csv").read_bytes()
SOURCES_CSV = (CORPUS / "table" / "sources.csv").read_bytes()
ONE_SOURCE_LIST = b"".join(SOURCES_CSV.splitlines(keepends=True)[:3])
HOLDS_CSV = (CORPUS / "table" / "holds.csv").read_bytes()
ONE_HOLD = b"".join(HOLDS_CSV.splitlines(keepends=True)[:2])
ONE_SUPPLIER = SUPPLIERS_CSV[: SUPPLIERS_CSV.index(b"17300002")]
S4_EVENT = {
    "id": "1fad4742",
    "source": "/default/sap.s4.beh/100",
    "type": "sap.s4.beh.purchaseorder.v1.PurchaseOrder.Changed.v1",
    "time": "2026-03-02T07:59:59Z",
}
S4_ORDER = {
    "PurchaseOrder": "4500000028",
    "LastChangeDateTime": "/Date(1772438399000+0000)/",
    "Supplier": "17300001",
    "DocumentCurrency": "USD",
    "to_PurchaseOrderItem": {
        "results": [
            {
                "PurchaseOrderItem": "10",
                "Material": "SEAL-1",
                "OrderQuantity": "5",
                "PurchaseOrderQuantityUnit": "PC",
                "NetPriceAmount": "40.00",
                "NetPriceQuantity": "1",
                "to_ScheduleLine": {"results": [{"ScheduleLineOrderQuantity": "5"}]},
            }
        ]
    },
}
S4_PRODUCT = {
    "Product": "SEAL-1",
    "LastChangeDateTime": "/Date(1772438399000+0000)/",
    "BaseUnit": "PC",
    "to_Description": {"results": [{"Language": "EN", "ProductDescription": "Shaft seal"}]},
    "to_ProductUnitsOfMeasure": {
        "results": [
            {"AlternativeUnit": "KAR", "QuantityNumerator": "12", "QuantityDenominator": "1"},
            {"AlternativeUnit": "QQQ", "QuantityNumerator": "1", "QuantityDenominator": "1"},
        ]
    },
    "to_Plant": {"results": [{"Plant": "1010", "ProcurementType": "F"}]},
}
S4_PARTNER = {
    "BusinessPartner": "9000017",
    "Supplier": "S-3",
    "BusinessPartnerCategory": "2",
    "OrganizationBPName1": "Teller Precision",
    "LastChangeDate": "/Date(1583452800000)/",
    "to_Supplier": {
        "Supplier": "S-3",
        "PurchasingIsBlocked": False,
        "to_SupplierCompany": {"results": [{"CompanyCode": "1010", "PaymentTerms": "NT30"}]},
        "to_SupplierPurchasingOrg": {
            "results": [
                {
                    "PurchasingOrganization": "1010",
                    "PurchaseOrderCurrency": "DEM",
                    "MinimumOrderAmount": "250.000",
                }
            ]
        },
    },
    "to_BusinessPartnerAddress": {
        "results": [{"CityName": "Ulm", "to_AddressUsage": {"results": []}}]
    },
}
S4_INFO_RECORD = {
    "PurchasingInfoRecord": "5300000042",
    "Supplier": "S-3",
    "Material": "SEAL-1",
    "PurgDocOrderQuantityUnit": "PC",
    "to_PurgInfoRecdOrgPlantData": {
        "results": [
            {
                "PurchasingInfoRecordCategory": "0",
                "PurchasingOrganization": "1000",
                "Plant": "",
                "Currency": "EUR",
                "NetPriceAmount": "25.00",
                "MaterialPriceUnitQty": "1000",
                "PurchaseOrderPriceUnit": "QQ",
            }
        ]
    },
}
S4_CONTRACT = {
    "PurchaseContract": "4600000007",
    "PurchaseContractType": "MK",
    "LastChangeDateTime": "/Date(1772438399000+0000)/",
    "Supplier": "S-3",
    "DocumentCurrency": "EUR",
    "ValidityStartDate": "/Date(1767225600000)/",
    "PurchasingProcessingStatus": "02",
    "to_PurchaseContractItem": {
        "results": [
            {
                "PurchaseContractItem": "10",
                "Material": "SEAL-1",
                "OrderQuantityUnit": "PC",
                "TargetQuantity": "500.000",
                "ContractNetPriceAmount": "40.00",
                "NetPriceQuantity": "1",
            }
        ]
    },
}
S4_SOURCE = {
    "Material": "SEAL-1",
    "Plant": "1010",
    "SourceListRecord": "1",
    "ValidityStartDate": "/Date(1767225600000)/",
    "ValidityEndDate": "/Date(253402214400000)/",
    "Supplier": "S-3",
    "SupplierIsFixed": True,
}
S4_FROM_PLANT = {**S4_SOURCE, "SourceListRecord": "2", "Supplier": "", "SupplyingPlant": "1020"}
S4_BOM = {
    "BillOfMaterial": "00000007",
    "BillOfMaterialCategory": "M",
    "BillOfMaterialVariant": "1",
    "BillOfMaterialVersion": "",
    "Material": "GB-100",
    "Plant": "1010",
    "BillOfMaterialVariantUsage": "1",
    "HeaderValidityStartDate": "/Date(1767225600000)/",
    "HeaderValidityEndDate": "/Date(253402214400000)/",
    "BOMHeaderBaseUnit": "PC",
    "BOMHeaderQuantityInBaseUnit": "1.000",
    "to_BillOfMaterialItem": {
        "results": [
            {
                "BillOfMaterialItemNodeNumber": "1",
                "ValidityStartDate": "/Date(1767225600000)/",
                "BillOfMaterialComponent": "SEAL-1",
                "BillOfMaterialItemCategory": "L",
                "BillOfMaterialItemNumber": "0010",
                "BillOfMaterialItemUnit": "PC",
                "BillOfMaterialItemQuantity": "2.000",
                "AlternativeItemGroup": "A1",
            }
        ]
    },
}
S4_BOM_KEY = "material-bom/1010/7/1/GB-100"
S4_CHANGE = {
    "ChangeNumber": "500000000042",
    "ChangeNumberStatus": "07",
    "ReasonForChangeText": "It leaks",
    "ChangeNumberDescription": "Seal the shaft",
    "ChangeNumberValidFromDate": "/Date(1767225600000)/",
    "ChangeNumberLastChgdDateTime": "/Date(1772438399000+0000)/",
    "IsUsedForDataDefinition": True,
    "ChangeNumberIsMrkdForDeletion": False,
    "to_ObjTypeAssignment": {
        "results": [
            {
                "SAPObjectType": "Material",
                "IsActiveForChangeNumber": True,
                "IsLockedForChanges": "",
            }
        ]
    },
    "to_ChangeMstrObMgReMaterial": {
        "results": [{"Material": "SEAL-1", "ObjMgmtRecdObjIsLockedForChg": ""}]
    },
    "to_ChangeMstrObMgReMatlBOM": {
        "results": [
            {
                "Material": "GB-100",
                "Plant": "1010",
                "BillOfMaterialVariantUsage": "1",
                "ObjMgmtRecdObjIsLockedForChg": "X",
            }
        ]
    },
}
PURCHASE_ORDER = PurchaseOrder(
    "PO-1", 7, "S-3", "EUR", (OrderLine("10", "SEAL-1", Quantity(Decimal(5), "H87")),)
)
CONFIRMATION = OrderConfirmation(
    "PO-1", 8, (ConfirmedLine("10", "accepted", Quantity(Decimal(5), "H87")),)
)

DECIDED = ApprovalDecided(
    "ECO-7", "supplier-qualification", "S-3", "ann", datetime(2026, 3, 2, 12, tzinfo=UTC), "audited"
)
EXAMPLES: Mapping[Row, Delivery] = {
    ("pdx", "pdx.package"): Delivery(
        "plm", "product-definition", (PACKAGES / "gearbox_package.pdx").read_bytes()
    ),
    ("arena", "arena.change"): Delivery(
        "plm", "engineering-change", (PACKAGES / "arena_eco_000451.json").read_bytes()
    ),
    ("arena", "arena.event"): Delivery("plm", "queue-event", json.dumps(QUEUE_EVENT).encode()),
    ("arena", "arena.item"): Delivery(
        "plm",
        "item",
        (CORPUS / "arena" / "item.json").read_bytes(),
        attributes={"time": STATED.isoformat()},
    ),
    ("arena", "arena.event-item"): Delivery("plm", "item", json.dumps(EVENT_ITEM).encode()),
    ("arena", "arena.supplier"): Delivery(
        "plm",
        "supplier",
        json.dumps(ARENA_SUPPLIER).encode(),
        attributes={"time": STATED.isoformat()},
    ),
    ("arena", "arena.supplier-notice"): Delivery(
        "plm", "supplier", json.dumps(SUPPLIER_NOTICE).encode(), attributes={"id": "n-1"}
    ),
    ("arena", "arena.outbound-event"): Delivery(
        "plm", "queue-event", json.dumps(OUTBOUND_EVENT).encode()
    ),
    ("arena", "arena.supplier-item"): Delivery("plm", "item", json.dumps(SUPPLIER_ITEM).encode()),
    ("arena", "arena.gone"): _answer("item/SEAL-1", GONE),
    ("coupa", "coupa.supplier"): _answer("supplier/S-3", [SUPPLIER]),
    ("coupa", "coupa.contracts"): _answer("coverage/SEAL-1", [CONTRACT]),
    ("coupa", "coupa.contract"): _changed("coupa.contract", CONTRACT_ROW),
    ("coupa", "coupa.order"): _changed("coupa.order", ORDER_ROW),
    ("coupa", "coupa.review"): _changed(
        "coupa.review", json.loads((CORPUS / "coupa" / "review.json").read_bytes())
    ),
    ("coupa", "coupa.changed-suppliers"): _changed("coupa.changed-suppliers", CHANGED),
    ("coupa", "coupa.changed-contracts"): _changed("coupa.changed-contracts", CHANGED),
    ("coupa", "coupa.changed-orders"): _changed("coupa.changed-orders", CHANGED),
    ("coupa", "coupa.supplier-read"): _answer("supplier-id/9", {"object": SUPPLIER_ROW}),
    ("coupa", "coupa.contract-read"): _answer("contract-id/7", {"object": CONTRACT_ROW}),
    ("coupa", "coupa.order-read"): _answer("order-id/12", {"object": ORDER_ROW}),
    ("tryton", "tryton.changed-products"): _tryton("changed-products"),
    ("tryton", "tryton.changed-purchases"): _tryton("changed-purchases"),
    ("tryton", "tryton.product"): _tryton("product"),
    ("tryton", "tryton.purchase"): _tryton("purchase"),
    ("idoc", "idoc.document"): Delivery("erp", "idoc", ORDERS.encode()),
    ("table", "table.sources"): Delivery("erp", "source-lists", ONE_SOURCE_LIST),
    ("table", "table.holds"): Delivery("qms", "quality-holds", ONE_HOLD),
    ("table", "table.suppliers"): Delivery("erp", "supplier-list", ONE_SUPPLIER),
    ("s4", "s4.event"): Delivery(
        "erp-events", "order", b'{"PurchaseOrder": "4500000028"}', attributes=S4_EVENT
    ),
    ("s4", "s4.purchase-order"): _read_back("purchase-order/4500000028", {"d": S4_ORDER}),
    ("s4", "s4.product"): _read_back("item-master/SEAL-1", {"d": S4_PRODUCT}),
    ("s4", "s4.business-partner"): _read_back("business-partner/9000017", {"d": S4_PARTNER}),
    ("s4", "s4.info-record"): _read_back(
        "purchasing-info-record/5300000042", {"d": S4_INFO_RECORD}
    ),
    ("s4", "s4.purchase-contract"): _read_back("contract/4600000007", {"d": S4_CONTRACT}),
    ("s4", "s4.source-list"): _read_back(
        "source-list/1010/SEAL-1", {"d": {"results": [S4_SOURCE, S4_FROM_PLANT]}}
    ),
    ("s4", "s4.bom"): _read_back(S4_BOM_KEY, {"d": {"results": [S4_BOM]}}),
    ("s4", "s4.change-master"): _read_back("change-master/500000000042", {"d": S4_CHANGE}),
    (SOURCE, "item.released"): _event("item.released", "item/GB-100", ITEMS[0]),
    (SOURCE, "bom.released"): _event("bom.released", "bom/GB-100", STRUCTURES[0]),
    (SOURCE, "supplier.changed"): _event("supplier.changed", "supplier/S-1", SUPPLIERS[0]),
    (SOURCE, "sourcing.changed"): _event("sourcing.changed", "coverage/ROD-1", COVERAGES[0]),
    (SOURCE, "engineering-change.released"): _event(
        "engineering-change.released", "engineering-change/ECO-7", CHANGE
    ),
    (SOURCE, "engineering-change.cancelled"): _event(
        "engineering-change.cancelled",
        "engineering-change/ECO-7",
        msgspec.structs.replace(CHANGE, status="cancelled"),
    ),
    (SOURCE, "foreign-values.accepted"): _event(
        "foreign-values.accepted",
        "item/XYZ-1",
        ForeignValuesAccepted(
            "item/XYZ-1", "erp", 1, (AcceptedValue(("description",), '"Old"', '"New"'),)
        ),
    ),
    (SOURCE, "supplier-review.decided"): _event(
        "supplier-review.decided",
        "supplier-review/ECO-7:S-3",
        SupplierReviewDecided("ECO-7", "S-3", "approved", origin="procurement"),
    ),
    (SOURCE, "approval.granted"): _event("approval.granted", "engineering-change/ECO-7", DECIDED),
    (SOURCE, "approval.refused"): _event("approval.refused", "engineering-change/ECO-7", DECIDED),
    (SOURCE, "approval.withdrawn"): _event(
        "approval.withdrawn",
        "engineering-change/ECO-7",
        ApprovalWithdrawn("ECO-7", "supplier-qualification", "S-3"),
    ),
    (SOURCE, "item.changed"): _event(
        "item.changed", "item-master/SEAL-1", ItemMasterPatch("SEAL-1", 3, status="40")
    ),
    (SOURCE, "supplier-master.changed"): _event(
        "supplier-master.changed", "supplier-master/S-3", SupplierMasterPatch("S-3", 3, city="Ulm")
    ),
    (SOURCE, "info-record.changed"): _event(
        "info-record.changed",
        "info-record/S-3/1000//standard/SEAL-1",
        InfoRecordTermsPatch("S-3", "SEAL-1", "1000", "", "standard", 3, lead_time_days=9),
    ),
    (SOURCE, "bom.changed"): _event(
        "bom.changed", "plant-bom/1010/1/1/GB-100", PlantBomState("1010", "GB-100", "1", "1", 3)
    ),
    (SOURCE, "contract.changed"): _event(
        "contract.changed",
        "contract/C-3",
        PurchaseContract("C-3", 3, "S-3", "active", date(2026, 1, 1)),
    ),
    (SOURCE, "source-list.changed"): _event(
        "source-list.changed", "source-list/1010/SEAL-1", SourceList("SEAL-1", "1010", 3)
    ),
    (SOURCE, "change-master.changed"): _event(
        "change-master.changed", "change-master/ECO-7", ChangeMasterState("ECO-7", 3)
    ),
    **{
        (SOURCE, f"quality-hold.{status}"): _event(
            f"quality-hold.{status}",
            "quality-hold/QH-1",
            QualityHold("QH-1", 3, "SEAL-1", status, lots=("L-88",)),
        )
        for status in get_args(HoldStatus)
    },
    **{
        (SOURCE, event): _event(event, "purchase-order/PO-1", PURCHASE_ORDER)
        for event in ("purchase-order.created", "purchase-order.changed")
    },
    **{
        (SOURCE, f"order-confirmation.{status}"): _event(
            f"order-confirmation.{status}", "order-confirmation/PO-1", CONFIRMATION
        )
        for status in ("accepted", "changed", "backordered", "rejected")
    },
}
GROUP = {
    "parent": {"id": 4, "name": "Teller Holding", "number": "S-9"},
    "supplier-sites": [{"id": 5, "code": "LYON", "name": "Lyon works", "active": True}],
    "remit-to-addresses": [{"id": 6, "remit-to-code": None, "name": "Accounts"}],
    "custom-fields": {
        "qualification-status": None,
        "qualifications": [
            {
                "status": "Qualified",
                "category": "seals",
                "plant": "1010",
                "valid-from": "2026-01-01",
                "certificates": [{"name": "ISO 9001", "valid-until": "2027-06-30"}],
            }
        ],
    },
}
# What else a row may say.
MORE: Mapping[Row, tuple[Delivery, ...]] = {
    ("table", "table.suppliers"): (Delivery("erp", "supplier-list", SUPPLIERS_CSV),),
    ("table", "table.sources"): (Delivery("erp", "source-lists", SOURCES_CSV),),
    ("table", "table.holds"): (Delivery("qms", "quality-holds", HOLDS_CSV),),
    ("coupa", "coupa.supplier"): (_answer("supplier/S-3", [{**SUPPLIER, **GROUP}]),),
    ("coupa", "coupa.order"): tuple(
        _changed("coupa.order", ORDER_ROW | {"status": status}) for status in ("draft", "cancelled")
    ),
    ("coupa", "coupa.supplier-read"): (_answer("supplier-id/9", {"gone": True}),),
    ("tryton", "tryton.product"): (_tryton("product-gone"),),
    ("coupa", "coupa.contract-read"): (_answer("contract-id/7", {"gone": True}),),
    ("coupa", "coupa.order-read"): (_answer("order-id/12", {"gone": True}),),
    ("idoc", "idoc.document"): tuple(
        Delivery("erp", "idoc", text.encode())
        for text in (
            MATMAS,
            CREMAS,
            INFREC,
            COND_A,
            BOMMAT,
            ALEAUD,
            STATUS,
            ORDERS.replace("<MESTYP>ORDERS<", "<MESTYP>ORDCHG<"),
            ORDRSP,
            ORDRSP.replace("<AMENG>432.000", "<AMENG>400.000"),
            ORDRSP.replace("<AMENG>432.000", "<AMENG>0.000"),
            ORDRSP.replace("<ACTION>000", "<ACTION>003").replace("<ACTION>001", "<ACTION>003"),
        )
    ),
    ("s4", "s4.purchase-order"): (_read_back("purchase-order/4500000028", {"gone": True}),),
    ("s4", "s4.product"): (_read_back("item-master/SEAL-1", {"gone": True}),),
    ("s4", "s4.info-record"): (
        _read_back("purchasing-info-record/5300000042", {"gone": True}),
        _read_back("purchasing-info-record/5300000042", {"d": {**S4_INFO_RECORD, "Material": ""}}),
    ),
    ("s4", "s4.business-partner"): (
        _read_back("business-partner/9000017", {"gone": True}),
        _read_back(
            "business-partner/9000017",
            {"d": {**S4_PARTNER, "Supplier": "", "to_Supplier": None}},
        ),
    ),
    ("s4", "s4.purchase-contract"): (_read_back("contract/4600000007", {"gone": True}),),
    ("s4", "s4.source-list"): (_read_back("source-list/1010/SEAL-1", {"d": {"results": []}}),),
    ("s4", "s4.change-master"): (_read_back("change-master/500000000042", {"gone": True}),),
    ("s4", "s4.bom"): (
        _read_back(S4_BOM_KEY, {"d": {"results": []}}),
        _read_back(
            S4_BOM_KEY,
            {"d": {"results": [{**S4_BOM, "HeaderValidityEndDate": "/Date(1767225600000)/"}]}},
        ),
    ),
}
FACTS = gearbox_facts(*EVERYTHING)
NOTHING = gearbox_facts()

each_row = pytest.mark.parametrize("row", list(HANDLERS), ids="/".join)


def example(row: Row) -> tuple[Handler, Message[Any]]:
    """A row's handler with the message it reads."""
    handler = HANDLERS[row]
    return handler, handler.read(EXAMPLES[row])


def effects_of(row: Row, known: Facts = FACTS) -> tuple[Effect, ...]:
    """What the row's example asks for."""
    handler, message = example(row)
    return handler.decide(message, known, NOW)


# --- the table ---


def test_every_row_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(HANDLERS)


def test_a_subscription_is_named_once() -> None:
    names = [handler.name for handler in HANDLERS.values()]
    assert sorted(names) == sorted(set(names))


@each_row
def test_a_handler_that_lets_messages_pass_others_knows_their_version(row: Row) -> None:
    handler = HANDLERS[row]
    # A notification states nothing of its object, so it has no version of it.
    if handler.order in ("strict", "notification"):
        assert handler.version is None
        return
    assert handler.version is not None
    assert isinstance(handler.version(handler.read(EXAMPLES[row])), int)


@each_row
def test_a_row_says_what_its_handler_takes(row: Row) -> None:
    handler = HANDLERS[row]
    assert row[1] in handler.types
    assert handler.scope
    assert row[0] != SOURCE or row[1] in EVENTS


def test_every_driver_stands_under_its_name() -> None:
    assert {"arena", "coupa", "s4"} <= DRIVERS.keys()
    assert [driver.name for driver in DRIVERS.values()] == list(DRIVERS)


# What is said by ledgers, and heard by a flow as well.
OF_LEDGERS = {
    "approval.granted",
    "approval.refused",
    "approval.withdrawn",
    "foreign-values.accepted",
}


def test_whatever_a_translation_says_is_heard_by_a_flow() -> None:
    effects = [effect for row in HANDLERS if row[0] != SOURCE for effect in effects_of(row)]
    for row, deliveries in MORE.items():
        for delivery in deliveries:
            effects += HANDLERS[row].decide(HANDLERS[row].read(delivery), FACTS, NOW)
    effects += _taken_back()
    said = {effect.event for effect in effects if isinstance(effect, Emit)}
    assert (said - NOTICES) | OF_LEDGERS == {name for who, name in HANDLERS if who == SOURCE}


def _taken_back() -> tuple[Effect, ...]:
    """What is said of a change that was released and is cancelled."""
    row = "arena", "arena.change"
    put, *_ = effects_of(row)
    assert isinstance(put, Put)
    stated = json.loads(EXAMPLES[row].body)
    stated["change"]["lifecycleStatus"]["type"] = "CANCELED"
    handler, body = HANDLERS[row], json.dumps(stated).encode()
    facts = gearbox_facts(put.document)
    return handler.decide(handler.read(Delivery("plm", "", body)), facts, NOW)


# --- read ---


@each_row
def test_a_message_has_an_identity_and_a_key(row: Row) -> None:
    _, message = example(row)
    assert message.envelope.id
    assert "/" in message.envelope.key


@each_row
def test_reading_twice_gives_the_same(row: Row) -> None:
    handler = HANDLERS[row]
    assert handler.read(EXAMPLES[row]) == handler.read(EXAMPLES[row])


BROKEN = {
    "nothing": b"",
    "blanks": b" \n",
    "text": b"ECO-7, please",
    "null": b"null",
    "number": b"7",
    "empty object": b"{}",
    "nested": b"[" * 5000,
    "not UTF-8": b'{"number": "\xff\xfe"}',
    "surrogate": b'{"number": "\\ud800"}',
    "infinite": b'{"version": 1e999}',
    "entities": b'<!DOCTYPE p [<!ENTITY a "b">]><p>&a;</p>',
    "half an archive": b"PK\x03\x04" + b"\0" * 20,
}


@each_row
@pytest.mark.parametrize("body", BROKEN.values(), ids=list(BROKEN))
def test_what_cannot_be_read_is_a_fault_of_the_data(row: Row, body: bytes) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLERS[row].read(msgspec.structs.replace(EXAMPLES[row], body=body))
    assert (caught.value.word, bool(caught.value.code)) == ("data_quality", True)


# tests/contract/test_mutations.py damages the same by their parts.
DAMAGED = 60 if os.environ.get("LAYSHAFT_FULL") == "1" else 25


@each_row
@settings(max_examples=DAMAGED)
@given(data=st.data())
def test_damaged_bytes_end_in_a_failure_with_an_owner_and_never_in_a_defect(
    row: Row, data: st.DataObject
) -> None:
    handler, delivery = HANDLERS[row], EXAMPLES[row]
    body = bytearray(delivery.body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    body = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    failure = _outcome(handler, msgspec.structs.replace(delivery, body=bytes(body)))
    assert failure is None or failure.word in OWNERS.keys() - {DEFECT}
    assert failure is None or failure.owner


def _outcome(handler: Handler, delivery: Delivery) -> Failure | None:
    """How handling it ends; reading may raise InvalidMessage only."""
    try:
        message = handler.read(delivery)
    except InvalidMessage as failure:
        return failure
    try:
        needed(handler, message, FACTS)
        handler.decide(message, FACTS, NOW)
    except Failure as failure:
        return failure
    return None


# --- needs ---


def needed(handler: Handler, message: Message[Any], world: Facts) -> frozenset[str]:
    """Keys asked for until no more are, each answer being what the world has of it."""
    asked: frozenset[str] = frozenset()
    for _ in range(MAX_ROUNDS):
        known = {key: world.documents[key] for key in asked if key in world.documents}
        wanted = handler.needs(message, msgspec.structs.replace(world, documents=known))
        assert asked <= wanted
        if wanted == asked:
            return asked
        asked = wanted
    raise AssertionError("it never ends")


@each_row
def test_asking_for_facts_ends(row: Row) -> None:
    handler, message = example(row)
    asked = needed(handler, message, FACTS)
    assert {key.partition("/")[0] for key in asked} <= DOCUMENT_TYPES.keys() | SELECTIONS.keys()


@each_row
def test_what_was_not_asked_for_makes_no_difference(row: Row) -> None:
    handler, message = example(row)
    asked = needed(handler, message, FACTS)
    known: dict[str, Known] = {k: FACTS.documents[k] for k in asked if k in FACTS.documents}
    only = msgspec.structs.replace(FACTS, documents=known)
    assert handler.decide(message, only, NOW) == handler.decide(message, FACTS, NOW)


# --- decide ---


@each_row
@pytest.mark.parametrize("known", [NOTHING, FACTS], ids=["nothing known", "everything known"])
def test_deciding_twice_gives_the_same_and_leaves_its_inputs_alone(row: Row, known: Facts) -> None:
    handler, message = example(row)
    before = repr(message), repr(known)
    first = handler.decide(message, known, NOW)
    assert handler.decide(message, known, NOW) == first
    assert (repr(message), repr(known)) == before


def structs(row: Row, kind: type[Effect]) -> Iterator[Any]:
    """Effects of one kind, with nothing and with everything known."""
    for known in (NOTHING, FACTS):
        yield from (effect for effect in effects_of(row, known) if isinstance(effect, kind))


@each_row
def test_events_are_of_the_taxonomy_and_survive_the_wire(row: Row) -> None:
    for emit in structs(row, Emit):
        assert type(emit.data) is EVENTS[emit.event].data
        assert msgspec.json.decode(encode(emit.data), type=EVENTS[emit.event].data) == emit.data
        assert emit.key.partition("/")[0] == EVENTS[emit.event].key.partition("/")[0]


@each_row
def test_documents_stand_under_the_key_of_their_kind_and_survive_storage(row: Row) -> None:
    for put in structs(row, Put):
        kind: type[Document] = DOCUMENT_TYPES[put.key.partition("/")[0]]
        assert type(put.document) is kind
        assert msgspec.json.decode(encode(put.document), type=kind) == put.document
        assert 0 <= put.version < 2**63


@each_row
def test_a_plan_is_about_the_messages_object_and_holds_together(row: Row) -> None:
    _, message = example(row)
    for plan in structs(row, Plan):
        identities = [step.identity for step in plan.steps]
        # The events of a change's questions: what follows at other systems is no step of it.
        about = "supplier-review/ECO-7:S-3" if row[1] in OF_LEDGERS else message.envelope.key
        assert plan.key == about
        assert len(identities) == len(set(identities))
        assert {before for step in plan.steps for before in step.depends_on} <= set(identities)
        assert all(step.owner and step.due_s > 0 for step in plan.steps)


@each_row
def test_a_case_says_what_where_whose_turn_it_is_and_what_to_do(row: Row) -> None:
    for case in structs(row, Open):
        assert case.word in OWNERS
        assert all((case.code, case.what, case.where, case.remedy, case.owner))


# --- recognise ---

PLM = tuple(RECOGNISED)


@pytest.mark.parametrize("row", [row for row in HANDLERS if row[1] in RECOGNISED], ids="/".join)
def test_a_vendors_message_is_known_by_what_its_vendor_makes_it_of(row: Row) -> None:
    bare = msgspec.structs.replace(EXAMPLES[row], source="plm", kind="", content_type="")
    assert bare.attributes.get("type") not in PLM
    assert CATALOGUE.recognise(PLM, bare) is HANDLERS[row]
    assert CATALOGUE.recognise(PLM[::-1], bare) is HANDLERS[row]


@pytest.mark.parametrize("row", [row for row in HANDLERS if row[0] == SOURCE], ids="/".join)
def test_an_event_of_ours_is_known_by_its_type(row: Row) -> None:
    assert CATALOGUE.recognise((SOURCE,), EXAMPLES[row]) is HANDLERS[row]


def test_a_message_may_say_its_contract() -> None:
    said = Delivery("suite", "", b"[]", attributes={"type": "coupa.supplier"})
    assert CATALOGUE.recognise(("coupa.supplier",), said) is HANDLERS["coupa", "coupa.supplier"]


@pytest.mark.parametrize(
    ("contracts", "delivery", "code"),
    [
        (PLM, Delivery("plm", "cost-rollup", b'{"costRollup": 1}'), "contract-unknown"),
        (("pdx.package",), EXAMPLES["arena", "arena.change"], "contract-unknown"),
        (PLM, EXAMPLES[SOURCE, "item.released"], "contract-unknown"),
        ((SOURCE,), Delivery(SOURCE, "", b"{}", attributes={"type": "x.y"}), "event-unknown"),
        ((SOURCE,), Delivery(SOURCE, "", b"{}"), "event-unknown"),
        (
            (SOURCE,),
            Delivery(SOURCE, "", b"{}", attributes={"type": EVENTS["approval.requested"].type}),
            "event-unknown",
        ),
    ],
)
def test_what_nobody_knows_is_refused_with_what_is_known(
    contracts: tuple[str, ...], delivery: Delivery, code: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        CATALOGUE.recognise(contracts, delivery)
    assert (caught.value.code, bool(caught.value.remedy)) == (code, True)


def test_a_contract_without_a_handler_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(Misconfigured) as caught:
        CATALOGUE.recognise(("pdx.pacage",), Delivery("plm", "", b"{}"))
    assert caught.value.where == "pdx.pacage"
