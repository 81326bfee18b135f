"""Laws between the rows of HANDLERS, the event table and the drivers; and odd values in fields."""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Iterable
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
from canonical.errors import DEFECT, OWNERS, Failure
from canonical.events import (
    EVENTS,
    SOURCE,
    AcceptedValue,
    ApprovalDecided,
    ApprovalWithdrawn,
    ForeignValuesAccepted,
    SupplierReviewDecided,
)
from canonical.facts import Facts, Known
from canonical.handler import Delivery, Handler
from canonical.item_master import ItemMasterPatch
from canonical.operations import Announce
from canonical.order import (
    ConfirmedLine,
    OrderConfirmation,
    OrderLine,
    PurchaseOrder,
    confirmation_key,
    order_key,
)
from canonical.purchase_contract import PurchaseContract
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quality_hold import HoldStatus, QualityHold
from canonical.quantity import Quantity
from canonical.source_list import SourceList
from canonical.supplier_master import SupplierMasterPatch
from handlers import DRIVERS, HANDLERS
from tests.contract.notices import NOTICES
from tests.contract.parts import Part, Path, part_at, paths, with_inner, xml_parts, xml_text
from tests.corpus import CORPUS
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.gearbox import (
    CHANGE,
    EVERYTHING,
    NUMBER,
    bom,
    covered,
    facts,
    item,
    key_of,
    line,
    supplier,
)

# Later than every fixture, so that whatever takes effect on a day has.
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

# Part of every message's identity in the inbox: a renamed handler would take all of them again.
NAMES = {
    "pdx-package",
    "arena-change",
    "arena-item",
    "arena-event",
    "arena-event-item",
    "arena-supplier",
    "arena-supplier-notice",
    "arena-outbound-event",
    "arena-supplier-item",
    "arena-gone",
    "coupa-supplier",
    "coupa-contracts",
    "coupa-contract",
    "coupa-order",
    "coupa-review",
    "coupa-changed-suppliers",
    "coupa-changed-contracts",
    "coupa-changed-orders",
    "coupa-supplier-read",
    "coupa-contract-read",
    "coupa-order-read",
    "tryton-changed-products",
    "tryton-changed-purchases",
    "tryton-product",
    "tryton-purchase",
    "item.released",
    "bom.released",
    "supplier.changed",
    "sourcing.changed",
    "engineering-change",
    "engineering-change.cancelled",
    "foreign-values.accepted",
    "supplier-review.decided",
    "supplier-review.approved",
    "supplier-review.rejected",
    "supplier-review.withdrawn",
    "idoc-document",
    "s4-event",
    "s4-purchase-order",
    "s4-product",
    "s4-business-partner",
    "s4-info-record",
    "s4-purchase-contract",
    "s4-source-list",
    "s4-bom",
    "s4-change-master",
    "item.changed",
    "supplier-master.changed",
    "info-record.changed",
    "bom.changed",
    "contract.changed",
    "source-list.changed",
    "quality-hold.placed",
    "quality-hold.lifted",
    "change-master.changed",
    "purchase-order.created",
    "purchase-order.changed",
    "order-confirmation.accepted",
    "order-confirmation.changed",
    "order-confirmation.backordered",
    "order-confirmation.rejected",
}
XML = {"pdx-package", "idoc-document"}


def own(event: str, key: str, data: msgspec.Struct) -> Delivery:
    """One of our events as it travels."""
    attributes = {"type": EVENTS[event].type, "id": "1", "subject": key, "source": SOURCE}
    return Delivery(SOURCE, event, encode(data), "application/json", attributes=attributes)


def answer(kind: str, key: str, content: object) -> Delivery:
    """What a system answered, handed on as a message."""
    attributes = {"type": kind, "id": "1", "subject": key, "time": "2026-03-02T08:30:00Z"}
    return Delivery("procurement", kind, json.dumps(content).encode(), attributes=attributes)


def package(name: str) -> Delivery:
    """One of the files of the demo."""
    return Delivery("plm", "", (PACKAGES / name).read_bytes())


SUPPLIER = {
    "id": 7,
    "number": "S-1",
    "name": "Supplier S-1",
    "status": "active",
    "custom-fields": {"qualification-status": "Qualified", "qualified-until": "2029-12-31"},
}
CONTRACT = {
    "id": 4,
    "number": "C-1",
    "status": "published",
    "start-date": "2024-01-01",
    "end-date": "2029-12-31",
    "supplier": {"id": 7, "number": "S-1"},
    "lines": [
        {
            "id": 9,
            "item-number": "BOLT-1",
            "price": "25.00",
            "price-unit-quantity": "100",
            "uom": {"code": "EA"},
            "currency": {"code": "EUR"},
        }
    ],
}

ORDER_ROW = {
    "id": 12,
    "po-number": "PO-1",
    "status": "issued",
    "updated-at": "2026-03-02T08:00:00Z",
    "supplier": {"number": "S-1"},
    "currency": {"code": "EUR"},
    "order-lines": [
        {
            "line-num": "1",
            "quantity": "5.0",
            "uom": {"code": "EA"},
            "price": "40.00",
            "item": {"item-number": "PIN"},
            "need-by-date": "2026-04-01",
        }
    ],
}

S4_EVENT = {
    "id": "1fad4742",
    "source": "/default/sap.s4.beh/100",
    "type": "sap.s4.beh.product.v1.Product.Changed.v1",
    "time": "2026-03-02T07:59:59Z",
}
S4_ORDER = {
    "PurchaseOrder": "4500000028",
    "LastChangeDateTime": "/Date(1772438399000+0000)/",
    "CreationDate": None,
    "Supplier": "17300001",
    "DocumentCurrency": "USD",
    "ReleaseIsNotCompleted": False,
    "to_PurchaseOrderItem": {
        "results": [
            {
                "PurchaseOrderItem": "10",
                "Material": "PIN",
                "OrderQuantity": "5",
                "PurchaseOrderQuantityUnit": "PC",
                "NetPriceAmount": "40.00",
                "NetPriceQuantity": "1",
                "OrderPriceUnit": "PC",
                "PurchaseContract": "",
                "to_ScheduleLine": {
                    "results": [
                        {
                            "ScheduleLine": "1",
                            "ScheduleLineDeliveryDate": "/Date(1474502400000)/",
                            "ScheduleLineOrderQuantity": "5",
                        }
                    ]
                },
            }
        ]
    },
}
S4_PRODUCT = {
    "Product": "PIN",
    "LastChangeDateTime": "/Date(1772438399000+0000)/",
    "BaseUnit": "PC",
    "NetWeight": "0.250",
    "WeightUnit": "KG",
    "IsMarkedForDeletion": False,
    "to_Description": {"results": [{"Language": "EN", "ProductDescription": "Pin"}]},
    "to_ProductUnitsOfMeasure": {
        "results": [
            {"AlternativeUnit": "KAR", "QuantityNumerator": "12", "QuantityDenominator": "1"}
        ]
    },
    "to_Plant": {
        "results": [{"Plant": "1010", "ProcurementType": "F", "MinimumLotSizeQuantity": "100.000"}]
    },
}
S4_PARTNER = {
    "BusinessPartner": "9000017",
    "Supplier": "S-1",
    "BusinessPartnerCategory": "2",
    "OrganizationBPName1": "Supplier S-1",
    "CreationDate": None,
    "LastChangeDate": "/Date(1583452800000)/",
    "to_Supplier": {
        "Supplier": "S-1",
        "SupplierAccountGroup": "SUPL",
        "AlternativePayeeAccountNumber": "",
        "VATRegistration": "DE123456789",
        "PurchasingIsBlocked": False,
        "to_SupplierCompany": {
            "results": [{"CompanyCode": "1010", "ReconciliationAccount": "21100000"}]
        },
        "to_SupplierPurchasingOrg": {
            "results": [
                {
                    "PurchasingOrganization": "1010",
                    "PurchaseOrderCurrency": "EUR",
                    "MinimumOrderAmount": "250.000",
                    "MaterialPlannedDeliveryDurn": "12",
                    "IncotermsLocation1": "Ulm",
                    "DeletionIndicator": False,
                }
            ]
        },
    },
    "to_BusinessPartnerAddress": {
        "results": [
            {
                "StreetName": "Ringweg",
                "HouseNumber": "7",
                "Language": "DE",
                "to_AddressUsage": {
                    "results": [
                        {"AddressUsage": "XXDEFAULT", "ValidityEndDate": "/Date(253402300799000)/"}
                    ]
                },
            }
        ]
    },
}
S4_INFO_RECORD = {
    "PurchasingInfoRecord": "5300000042",
    "Supplier": "S-1",
    "Material": "PIN",
    "CreationDate": "/Date(1520380800000)/",
    "LastChangeDateTime": None,
    "PurgDocOrderQuantityUnit": "KAR",
    "OrderItemQtyToBaseQtyNmrtr": "12",
    "OrderItemQtyToBaseQtyDnmntr": "1",
    "BaseUnit": "PC",
    "IsRegularSupplier": True,
    "to_PurgInfoRecdOrgPlantData": {
        "results": [
            {
                "PurchasingInfoRecordCategory": "0",
                "PurchasingOrganization": "1010",
                "Plant": "1010",
                "Currency": "EUR",
                "MinimumPurchaseOrderQuantity": "5.000",
                "MaterialPlannedDeliveryDurn": "12",
                "OverdelivTolrtdLmtRatioInPct": "10.0",
                "NetPriceAmount": "25.00",
                "MaterialPriceUnitQty": "100",
                "PurchaseOrderPriceUnit": "PC",
                "PriceValidityEndDate": "/Date(253402214400000)/",
            }
        ]
    },
}
S4_CONTRACT = {
    "PurchaseContract": "4600000007",
    "PurchaseContractType": "WK",
    "CreationDate": "/Date(1471305600000)/",
    "LastChangeDateTime": None,
    "Supplier": "S-1",
    "PurchasingOrganization": "1010",
    "DocumentCurrency": "EUR",
    "ValidityStartDate": "/Date(1467331200000)/",
    "ValidityEndDate": "/Date(253402214400000)/",
    "PurchaseContractTargetAmount": "4000.00",
    "PurchasingProcessingStatus": "02",
    "PurchasingProcessingStatusName": "Active",
    "PurgContractIsInPreparation": False,
    "to_PurchaseContractItem": {
        "results": [
            {
                "PurchaseContractItem": "10",
                "PurchasingContractDeletionCode": "",
                "Plant": "1010",
                "Material": "PIN",
                "OrderQuantityUnit": "KAR",
                "TargetQuantity": "100.000",
                "ContractItemConsumedQuantity": "12.000",
                "OrderPriceUnit": "PC",
                "ContractNetPriceAmount": "25.00",
                "NetPriceQuantity": "100",
                "PlannedDeliveryDurationInDays": "12",
            }
        ]
    },
}
S4_SOURCE_LIST = {
    "results": [
        {
            "Material": "PIN",
            "Plant": "1010",
            "SourceListRecord": "1",
            "ValidityStartDate": "/Date(1467331200000)/",
            "ValidityEndDate": "/Date(1592697600000)/",
            "Supplier": "S-1",
            "PurchasingOrganization": "1010",
            "PurchaseOutlineAgreement": "4600000007",
            "PurchaseOutlineAgreementItem": "00010",
            "OrderQuantityUnit": "PC",
            "SourceOfSupplyIsFixed": True,
            "SourceOfSupplyIsBlocked": False,
        }
    ]
}
S4_BOM = {
    "results": [
        {
            "BillOfMaterial": "00000007",
            "BillOfMaterialVariant": "1",
            "BillOfMaterialVersion": "",
            "EngineeringChangeDocument": "500000000001",
            "Material": "ARM",
            "Plant": "1010",
            "BillOfMaterialVariantUsage": "1",
            "BillOfMaterialStatus": "1",
            "HeaderValidityStartDate": "/Date(1467331200000)/",
            "HeaderValidityEndDate": "/Date(253402214400000)/",
            "BOMHeaderBaseUnit": "PC",
            "BOMHeaderQuantityInBaseUnit": "10.000",
            "IsMarkedForDeletion": False,
            "to_BillOfMaterialItem": {
                "results": [
                    {
                        "BillOfMaterialItemNodeNumber": "1",
                        "ValidityStartDate": "/Date(1467331200000)/",
                        "ValidityEndDate": "/Date(253402214400000)/",
                        "BillOfMaterialComponent": "PIN",
                        "BillOfMaterialItemCategory": "L",
                        "BillOfMaterialItemNumber": "0010",
                        "BillOfMaterialItemUnit": "PC",
                        "BillOfMaterialItemQuantity": "20.000",
                        "FixedQuantity": False,
                        "IsDeleted": False,
                    },
                    {
                        "BillOfMaterialItemNodeNumber": "2",
                        "BillOfMaterialItemCategory": "T",
                        "BillOfMaterialItemNumber": "0020",
                        "BOMItemDescription": "Grease before use",
                    },
                ]
            },
        }
    ]
}
S4_CHANGE = {
    "ChangeNumber": "500000000042",
    "ChangeNumberStatus": "01",
    "ChangeNumberDescription": "Seal the shaft",
    "ChangeNumberValidFromDate": "/Date(1772409600000)/",
    "ChangeNumberCreationDate": "/Date(1471305600000)/",
    "ChangeNumberLastChgdDateTime": None,
    "IsUsedForDataDefinition": True,
    "ChangeNumberIsMrkdForDeletion": None,
    "to_ObjTypeAssignment": {
        "results": [
            {
                "SAPObjectType": "MaterialBOM",
                "IsActiveForChangeNumber": True,
                "IsLockedForChanges": "X",
            }
        ]
    },
    "to_ChangeMstrObMgReMaterial": {
        "results": [{"Material": "PIN", "ObjMgmtRecdObjIsLockedForChg": ""}]
    },
    "to_ChangeMstrObMgReMatlBOM": {
        "results": [{"Material": "ARM", "Plant": "1010", "BillOfMaterialVariantUsage": "1"}]
    },
}
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
            "number": "PIN",
            "revisionNumber": "B",
        },
    }
}
UPDATED = {"updated-at": "2026-03-02T08:00:00Z"}
CHANGED = [{"id": 4, **UPDATED}, {"id": 12, **UPDATED}]
SUPPLIER_NOTICE = {"supplierNotice": {"guid": "SUPPLIER000000000002", "supplierId": "S-1"}}

PIECES = Quantity(Decimal(5), "H87")
ORDER = PurchaseOrder("PO-1", 7, "S-1", "EUR", (OrderLine("10", "PIN", PIECES),))
CONFIRMATION = OrderConfirmation("PO-1", 8, (ConfirmedLine("10", "accepted", PIECES),))

DECIDED = ApprovalDecided(NUMBER, "supplier-qualification", "S-1", "ann", NOW, "audited")

# A message that is as it should be, for each row.
SAMPLES: dict[str, Delivery] = {
    "pdx-package": package("gearbox_package.pdx"),
    "arena-change": package("arena_eco_000451.json"),
    "arena-item": Delivery("plm", "", (CORPUS / "arena" / "item.json").read_bytes()),
    "arena-event": Delivery("plm", "", json.dumps(QUEUE_EVENT).encode()),
    "arena-event-item": Delivery("plm", "", json.dumps(EVENT_ITEM).encode()),
    "arena-supplier": Delivery(
        "plm",
        "",
        (CORPUS / "arena" / "supplier.json").read_bytes(),
        attributes={"time": "2026-03-02T08:30:00Z"},
    ),
    "arena-supplier-notice": Delivery(
        "plm", "", json.dumps(SUPPLIER_NOTICE).encode(), attributes={"id": "n-1"}
    ),
    "arena-outbound-event": Delivery(
        "plm", "", (CORPUS / "arena" / "outbound-event.json").read_bytes()
    ),
    "arena-supplier-item": Delivery(
        "plm", "", (CORPUS / "arena" / "supplier-item.json").read_bytes()
    ),
    "arena-gone": answer(
        "arena.gone",
        "item/PIN",
        {"gone": True, "kind": "item", "id": "REVISION000000000001"},
    ),
    "coupa-supplier": answer("coupa.supplier", "supplier/S-1", [SUPPLIER]),
    "coupa-contracts": answer("coupa.contracts", "coverage/BOLT-1", [CONTRACT]),
    "coupa-contract": Delivery(
        "suite", "", json.dumps(CONTRACT | {"updated-at": "2026-03-02T08:00:00Z"}).encode()
    ),
    "coupa-order": Delivery("suite", "", json.dumps(ORDER_ROW).encode()),
    "coupa-review": Delivery("suite", "", (CORPUS / "coupa" / "review.json").read_bytes()),
    "coupa-changed-suppliers": Delivery("suite", "", json.dumps(CHANGED).encode()),
    "coupa-changed-contracts": Delivery("suite", "", json.dumps(CHANGED).encode()),
    "coupa-changed-orders": Delivery("suite", "", json.dumps(CHANGED).encode()),
    "coupa-supplier-read": answer(
        "coupa.supplier-read", "supplier-id/4", {"object": SUPPLIER | UPDATED}
    ),
    "coupa-contract-read": answer(
        "coupa.contract-read", "contract-id/4", {"object": CONTRACT | UPDATED}
    ),
    "coupa-order-read": answer("coupa.order-read", "order-id/12", {"object": ORDER_ROW}),
    **{
        f"tryton-{name}": Delivery(
            "erp",
            "",
            (CORPUS / "tryton" / f"{name}.json").read_bytes(),
            attributes=tomllib.loads((CORPUS / "tryton" / f"{name}.headers.toml").read_text()),
        )
        for name in ("changed-products", "changed-purchases", "product", "purchase")
    },
    "item.released": own("item.released", "item/PIN", item("PIN")),
    "bom.released": own("bom.released", "bom/ARM", bom("ARM", line("PIN"))),
    "supplier.changed": own("supplier.changed", "supplier/S-1", supplier()),
    "sourcing.changed": own("sourcing.changed", "coverage/PIN", covered("PIN")),
    "engineering-change": own(
        "engineering-change.released", f"engineering-change/{NUMBER}", CHANGE
    ),
    "engineering-change.cancelled": own(
        "engineering-change.cancelled",
        f"engineering-change/{NUMBER}",
        msgspec.structs.replace(CHANGE, status="cancelled"),
    ),
    "foreign-values.accepted": own(
        "foreign-values.accepted",
        "item/PIN",
        ForeignValuesAccepted(
            "item/PIN", "erp", 1, (AcceptedValue(("description",), '"Pin"', '"Bolt"'),)
        ),
    ),
    "supplier-review.decided": own(
        "supplier-review.decided",
        f"supplier-review/{NUMBER}:S-1",
        SupplierReviewDecided(NUMBER, "S-1", "approved", origin="procurement"),
    ),
    "supplier-review.approved": own("approval.granted", f"engineering-change/{NUMBER}", DECIDED),
    "supplier-review.rejected": own("approval.refused", f"engineering-change/{NUMBER}", DECIDED),
    "supplier-review.withdrawn": own(
        "approval.withdrawn",
        f"engineering-change/{NUMBER}",
        ApprovalWithdrawn(NUMBER, "supplier-qualification", "S-1"),
    ),
    "idoc-document": Delivery("erp", "", (CORPUS / "idoc" / "orders.xml").read_bytes()),
    "s4-event": Delivery("erp-events", "", b'{"Product": "PIN"}', attributes=S4_EVENT),
    "s4-purchase-order": answer("s4.purchase-order", "purchase-order/4500000028", {"d": S4_ORDER}),
    "s4-product": answer("s4.product", "item-master/PIN", {"d": S4_PRODUCT}),
    "s4-info-record": answer(
        "s4.info-record", "purchasing-info-record/5300000042", {"d": S4_INFO_RECORD}
    ),
    "s4-purchase-contract": answer(
        "s4.purchase-contract", "contract/4600000007", {"d": S4_CONTRACT}
    ),
    "s4-source-list": answer("s4.source-list", "source-list/1010/PIN", {"d": S4_SOURCE_LIST}),
    "s4-bom": answer("s4.bom", "material-bom/1010/7/1/ARM", {"d": S4_BOM}),
    "s4-change-master": answer("s4.change-master", "change-master/500000000042", {"d": S4_CHANGE}),
    "s4-business-partner": answer(
        "s4.business-partner", "business-partner/9000017", {"d": S4_PARTNER}
    ),
    "item.changed": own("item.changed", "item-master/PIN", ItemMasterPatch("PIN", 3, status="40")),
    "supplier-master.changed": own(
        "supplier-master.changed", "supplier-master/S-1", SupplierMasterPatch("S-1", 3, city="Ulm")
    ),
    "info-record.changed": own(
        "info-record.changed",
        "info-record/S-1/1000//standard/PIN",
        InfoRecordTermsPatch("S-1", "PIN", "1000", "", "standard", 3, lead_time_days=9),
    ),
    "bom.changed": own(
        "bom.changed", "plant-bom/1010/1/1/ARM", PlantBomState("1010", "ARM", "1", "1", 3)
    ),
    "contract.changed": own(
        "contract.changed",
        "contract/C-1",
        PurchaseContract("C-1", 3, "S-1", "active", date(2026, 1, 1)),
    ),
    "source-list.changed": own(
        "source-list.changed", "source-list/1010/PIN", SourceList("PIN", "1010", 3)
    ),
    "change-master.changed": own(
        "change-master.changed", "change-master/ECO-7", ChangeMasterState("ECO-7", 3)
    ),
    **{
        f"quality-hold.{status}": own(
            f"quality-hold.{status}",
            "quality-hold/QH-1",
            QualityHold("QH-1", 3, "PIN", status, lots=("L-88",)),
        )
        for status in get_args(HoldStatus)
    },
    **{
        event: own(event, order_key(ORDER.number), ORDER)
        for event in ("purchase-order.created", "purchase-order.changed")
    },
    **{
        event: own(event, confirmation_key(CONFIRMATION.order), CONFIRMATION)
        for event in EVENTS
        if event.startswith("order-confirmation.")
    },
}
each_row = pytest.mark.parametrize("handler", HANDLERS.values(), ids=lambda row: row.name)
KNOWN = facts(*EVERYTHING)


def effects_of(handler: Handler) -> tuple[Effect, ...]:
    """What the handler says of its message when everything about the gearbox is known."""
    return handler.decide(handler.read(SAMPLES[handler.name]), KNOWN, NOW)


def plan_of_the_gearbox() -> Plan:
    """What the flow of a change plans."""
    [plan, *_] = effects_of(HANDLERS[SOURCE, "engineering-change.released"])
    assert isinstance(plan, Plan)
    return plan


# --- the table ---


def test_the_names_are_unique_and_those_of_the_inbox() -> None:
    names = [handler.name for handler in HANDLERS.values()]
    assert len(names) == len(set(names))
    assert set(names) == NAMES
    assert set(SAMPLES) == NAMES


def test_every_event_that_states_a_document_or_a_change_is_handled() -> None:
    handled = {kind for source, kind in HANDLERS if source == SOURCE}
    assert handled == set(EVENTS) - NOTICES


# --- odd values ---


def outcome(handler: Handler, delivery: Delivery, known: Facts) -> tuple[Effect, ...]:
    """The effects, or none where it was refused; a failure says what it has to say."""
    try:
        message = handler.read(delivery)
        handler.needs(message, known)
        return handler.decide(message, known, NOW)
    except Failure as refused:
        failure = refused
    assert failure.word in OWNERS.keys() - {DEFECT}
    assert all((failure.code, failure.what, failure.owner))
    assert failure.what.isprintable()
    return ()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """Paths to everything inside a JSON value."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, child in inner:
        yield (*path, key)
        yield from leaves(child, (*path, key))


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    " ",
    "\u202e",
    "A" * 5000,
    "2024-02-30",
    [],
    {},
    [[]],
]


def with_an_odd_field(data: st.DataObject, body: bytes) -> bytes:
    """The JSON with another value in one place."""
    content = json.loads(body)
    *path, last = data.draw(st.sampled_from(sorted(leaves(content), key=repr)))
    inside = content
    for step in path:
        inside = inside[step]
    inside[last] = data.draw(st.sampled_from(ODD))
    return json.dumps(content).encode()


@pytest.mark.parametrize("name", sorted(NAMES - XML))
@settings(max_examples=60)
@given(data=st.data())
def test_an_odd_value_in_any_field_is_understood_or_refused_in_our_words(
    name: str, data: st.DataObject
) -> None:
    handler = next(row for row in HANDLERS.values() if row.name == name)
    body = with_an_odd_field(data, SAMPLES[name].body)
    outcome(handler, msgspec.structs.replace(SAMPLES[name], body=body), KNOWN)


@given(data=st.data())
def test_whatever_master_data_takes_a_change_can_be_planned_on_or_is_refused(
    data: st.DataObject,
) -> None:
    stated = data.draw(st.sampled_from(EVERYTHING))
    kind, _, _ = key_of(stated).partition("/")
    event = {"item": "item.released", "bom": "bom.released", "supplier": "supplier.changed",
             "coverage": "sourcing.changed"}[kind]  # fmt: skip
    delivery = own(event, key_of(stated), stated)
    body = with_an_odd_field(data, delivery.body)
    effects = outcome(HANDLERS[SOURCE, event], msgspec.structs.replace(delivery, body=body), KNOWN)
    taken = {put.key: Known(2, put.document) for put in effects if isinstance(put, Put)}
    known = Facts(KNOWN.rules, {**KNOWN.documents, **taken})
    change = HANDLERS[SOURCE, "engineering-change.released"]
    outcome(change, SAMPLES[change.name], known)


# --- what nobody reads ---

VENDORS_JSON = {
    row.name
    for (who, _), row in HANDLERS.items()
    if who != SOURCE and SAMPLES[row.name].body[:1] in (b"{", b"[")
}


def with_news(delivery: Delivery, content: object) -> Delivery:
    """The same message with other content."""
    return msgspec.structs.replace(delivery, body=json.dumps(content).encode())


@pytest.mark.parametrize("name", sorted(VENDORS_JSON))
def test_a_member_that_nobody_reads_is_told_and_counted_and_changes_nothing(name: str) -> None:
    handler = next(row for row in HANDLERS.values() if row.name == name)
    content = json.loads(SAMPLES[name].body)
    before = handler.read(with_news(SAMPLES[name], content))
    rows = content if isinstance(content, list) else [content]
    rows[0]["nobody-reads-this"] = {"deep": [{"deeper": 1}]}
    after = handler.read(with_news(SAMPLES[name], content))
    told = "[].nobody-reads-this" if isinstance(content, list) else "nobody-reads-this"
    assert set(after.ignored) == {*before.ignored, told}
    counted = handler.ignored(after)["fields"]
    assert counted == len(after.ignored) == handler.ignored(before).get("fields", 0) + 1
    assert after.payload == before.payload


@pytest.mark.parametrize("name", sorted(VENDORS_JSON))
@settings(max_examples=40)
@given(data=st.data())
def test_news_in_any_object_are_told_by_their_path_or_stand_where_nothing_is_looked_into(
    name: str, data: st.DataObject
) -> None:
    handler = next(row for row in HANDLERS.values() if row.name == name)
    content = json.loads(SAMPLES[name].body)
    before = handler.read(with_news(SAMPLES[name], content)).ignored
    path = data.draw(st.sampled_from([path for path in leaves(content)]))
    inside = content
    for step in path[:-1]:
        inside = inside[step]
    if isinstance(inside, dict):
        inside["news"] = 1
    steps = ("[]" if isinstance(step, int) else f".{step}" for step in path[:-1])
    place = "".join((*steps, ".news")).removeprefix(".")
    found = set(handler.read(with_news(SAMPLES[name], content)).ignored)
    assert found - set(before) <= {place}
    is_below_what_is_ignored = any(place.startswith(f"{told}.") for told in before)
    assert found >= set(before)
    assert not (is_below_what_is_ignored and place in found)


def xml_of(name: str) -> Part:
    """The document of a sample; of an archive, the one in it."""
    body = SAMPLES[name].body
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = archive.read("pdx.xml")
    return xml_parts(body)


def of_xml(name: str, whole: Part) -> tuple[Message[Any], tuple[Effect, ...]]:
    """What the handler reads of a document, and what that comes to."""
    handler = next(row for row in HANDLERS.values() if row.name == name)
    delivery = msgspec.structs.replace(SAMPLES[name], body=xml_text(whole).encode())
    message = handler.read(delivery)
    assert sum(handler.ignored(message).values()) >= len(message.ignored)
    return message, handler.decide(message, KNOWN, NOW)


def elements(whole: Part) -> list[Path]:
    """The root, and all elements below it."""
    return [(), *(path for path in paths(whole) if part_at(whole, path).kind == "element")]


NEWS = Part("element", "NEWS", "1")


@settings(max_examples=60)
@given(data=st.data())
def test_news_in_any_element_of_a_package_are_told_and_change_nothing(data: st.DataObject) -> None:
    whole = xml_of("pdx-package")
    before, genuine = of_xml("pdx-package", whole)
    path = data.draw(st.sampled_from(elements(whole)))
    tag = part_at(whole, path).name
    for news, told in (
        (NEWS, f"{tag}/NEWS"),
        (Part("attribute", "news", "1"), f"{tag}/@news"),
        (Part("attribute", "news", " "), None),
    ):
        message, effects = of_xml("pdx-package", with_inner(whole, path, news))
        assert set(message.ignored) == {*before.ignored, *filter(None, [told])}
        assert effects == genuine


def test_news_in_any_segment_of_an_idoc_are_told_and_change_nothing() -> None:
    """A field and a segment, in the root, in the IDoc and in each segment of it."""
    whole = xml_of("idoc-document")
    before, genuine = of_xml("idoc-document", whole)
    segments = [
        path
        for path in elements(whole)
        if any(inner.kind == "element" for inner in part_at(whole, path).parts)
    ]
    assert len(segments) > 10
    for path in segments:
        for news in (NEWS, NEWS._replace(parts=(Part("attribute", "SEGMENT", "1"),))):
            message, effects = of_xml("idoc-document", with_inner(whole, path, news))
            assert effects == genuine
            names = [part_at(whole, path[:end]).name for end in range(1, len(path) + 1)]
            way = "/".join((*names[1:], "NEWS")) if names else f"{whole.name}/NEWS"
            is_told = not any(way.startswith(f"{above}/") for above in before.ignored)
            assert (way in message.ignored) is is_told, way


def test_what_we_say_ourselves_is_never_told() -> None:
    for (who, _), row in HANDLERS.items():
        if who == SOURCE:
            content = json.loads(SAMPLES[row.name].body) | {"nobody-reads-this": 1}
            message = row.read(with_news(SAMPLES[row.name], content))
            assert (message.ignored, row.ignored(message)) == ((), {})


# --- deciding ---


def of_events(effects: Iterable[Effect]) -> Iterable[tuple[str, str, bytes]]:
    """(event, key, content) of all that is emitted now or announced by a step later."""
    for effect in effects:
        if isinstance(effect, Emit):
            yield effect.event, effect.key, encode(effect.data)
        for step in effect.steps if isinstance(effect, Plan) else ():
            if isinstance(step.operation, Announce):
                yield step.operation.event, step.operation.key, bytes(step.operation.data)


@each_row
def test_what_is_emitted_is_in_the_event_table_with_its_key_and_content(handler: Handler) -> None:
    for event, key, content in of_events(effects_of(handler)):
        row = EVENTS[event]
        assert key.partition("/")[0] == row.key.partition("/")[0]
        assert key.partition("/")[2]
        assert encode(msgspec.json.decode(content, type=row.data)) == content


@each_row
def test_what_a_translation_emits_is_read_alike_by_the_handler_of_that_event(
    handler: Handler,
) -> None:
    for effect in effects_of(handler):
        if isinstance(effect, Emit) and effect.event not in NOTICES:
            event = own(effect.event, effect.key, effect.data)
            assert HANDLERS[SOURCE, effect.event].read(event).payload == effect.data


def owners(effects: Iterable[Effect]) -> Iterable[str]:
    """Everybody whose turn it may be."""
    for effect in effects:
        match effect:
            case Plan(steps=steps, findings=findings):
                yield from (step.owner for step in steps)
                yield from (finding.owner for finding in findings)
            case Open(owner=owner):
                yield owner


def test_the_gearbox_gives_work_to_known_roles_only() -> None:
    assert set(owners(effects_of(HANDLERS[SOURCE, "engineering-change.released"]))) == {
        "master data",
        "operations",
        "purchasing",
        "quality",
        "sourcing",
    }


def test_changes_and_reviews_plan_and_master_data_stores_all_but_changes() -> None:
    kinds = {h.name: {type(effect) for effect in effects_of(h)} for h in HANDLERS.values()}
    assert {name for name, found in kinds.items() if Plan in found} == {
        "engineering-change",
        "engineering-change.cancelled",
        "supplier-review.approved",
        "supplier-review.rejected",
        "supplier-review.withdrawn",
    }
    assert {name for name, found in kinds.items() if Put in found} == {
        "item.released",
        "bom.released",
        "supplier.changed",
        "sourcing.changed",
        "item.changed",
        "supplier-master.changed",
        "info-record.changed",
        "bom.changed",
        "contract.changed",
        "source-list.changed",
        "quality-hold.placed",
        "quality-hold.lifted",
        "change-master.changed",
        "purchase-order.created",
        "purchase-order.changed",
        *(event for event in EVENTS if event.startswith("order-confirmation.")),
        "foreign-values.accepted",
        # A change is on record where it is read: a PLM states it through several doors.
        "arena-change",
        "pdx-package",
    }


def test_a_driver_can_ask_for_the_object_of_every_call_that_is_planned() -> None:
    drivers = {"erp": DRIVERS["s4"], "procurement": DRIVERS["coupa"]}
    calls = [step for step in plan_of_the_gearbox().steps if step.kind == "call"]
    assert {step.system for step in calls} == set(drivers)
    for step in calls:
        assert drivers[step.system].observe(step).method == "GET"
