"""What is asked of S/4HANA after an event that told a key, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from canonical.connector import Absent, Answer, More, Present
from canonical.effects import Step
from canonical.errors import Failure, Misconfigured, Rejected, Unavailable
from canonical.exchange import Request, Response
from canonical.operations import ReadObject
from handlers.systems.s4.native import Entity
from handlers.systems.s4.native_read import (
    AddressUsage,
    Alternate,
    BomState,
    BomStateItem,
    Change,
    ChangeBom,
    ChangeKind,
    ChangeMaterial,
    Contract,
    ContractItem,
    InfoRecord,
    Material,
    Order,
    OrderItem,
    OrderScheduleLine,
    OrganisationTerms,
    Partner,
    PartnerAddress,
    PartnerSupplier,
    Plant,
    Price,
    PriceDays,
    PriceLine,
    PriceSupplement,
    SourceRecord,
    SupplierCompany,
    SupplierOrganisation,
    Text,
)
from handlers.systems.s4.odata import fields
from handlers.systems.s4.outbound import DRIVER
from handlers.systems.s4.read_back import KINDS
from ops.sandbox.odata import load_model

MODEL = load_model()
JSON = {"content-type": "application/json"}
NO_ENTITY = "/IWBEP/CM_MGW_RT/020"


def step_of(kind: str, id_: str, key: str) -> Step:
    operation = ReadObject(kind, id_, key, asked=17, correlation_id="story-1")
    return Step("", "erp", kind, id_, operation)


ORDER = step_of("purchase-order", "4500000028", "purchase-order/4500000028")
PRODUCT = step_of("product", "000000000000004711", "item-master/4711")
PARTNER = step_of("business-partner", "9000017", "business-partner/9000017")
KEY_OF_RECORD = "purchasing-info-record/5300000042"
RECORD = step_of("info-record", "5300000042", KEY_OF_RECORD)
CONTRACT = step_of("purchase-contract", "4600000007", "contract/4600000007")
SOURCE_LIST = step_of("source-list", "1010/SEAL/7", "source-list/1010/SEAL/7")
BOM = step_of("bom", "1010/00000007/1/GEAR/2", "material-bom/1010/7/1/GEAR/2")
CHANGE = step_of("change-master", "500000000042", "change-master/500000000042")
HELD_ORDER: dict[str, Any] = {
    "__metadata": {"etag": "W/\"'1'\""},
    "PurchaseOrder": "4500000028",
    "to_PurchaseOrderItem": {
        "results": [{"PurchaseOrderItem": "10", "to_ScheduleLine": {"results": []}}]
    },
}
HELD_PRODUCT: dict[str, Any] = {
    "Product": "4711",
    "to_Description": {"results": []},
    "to_ProductUnitsOfMeasure": {"results": []},
    "to_Plant": {"results": [{"Plant": "1010"}]},
}

HELD_PARTNER: dict[str, Any] = {
    "BusinessPartner": "9000017",
    "Supplier": "100042",
    "to_Supplier": {
        "Supplier": "100042",
        "to_SupplierCompany": {"results": []},
        "to_SupplierPurchasingOrg": {"results": [{"PurchasingOrganization": "1010"}]},
    },
    "to_BusinessPartnerAddress": {
        "results": [{"AddressID": "1", "to_AddressUsage": {"results": []}}]
    },
}
PRICE: dict[str, Any] = {
    "ConditionRecord": "0000010248",
    "PricingScaleBasis": "",
    "to_PurInfoRecdSuplmntPrcgCndn": {"results": []},
}


def record_of(*prices: dict[str, Any], kind: str = "PPR0") -> dict[str, Any]:
    """An info record whose terms have these prices."""
    days = [{"ConditionType": kind, "to_PurInfoRecdPrcgCndn": price} for price in prices]
    terms = {"PurchasingOrganization": "1010", "to_PurInfoRecdPrcgCndnValidity": {"results": days}}
    return {
        "PurchasingInfoRecord": "5300000042",
        "to_PurgInfoRecdOrgPlantData": {"results": [terms]},
    }


HELD_RECORD = record_of(PRICE)
HELD_CONTRACT: dict[str, Any] = {
    "PurchaseContract": "4600000007",
    "to_PurchaseContractItem": {"results": [{"PurchaseContractItem": "10"}]},
}
HELD_SOURCE: dict[str, Any] = {"Material": "SEAL/7", "Plant": "1010", "SourceListRecord": "1"}
HELD_BOM: dict[str, Any] = {
    "BillOfMaterial": "7",
    "BillOfMaterialVariant": "01",
    "Material": "GEAR/2",
    "Plant": "1010",
    "to_BillOfMaterialItem": {"results": [{"BillOfMaterialItemNumber": "0010"}]},
}
HELD_CHANGE: dict[str, Any] = {
    "ChangeNumber": "500000000042",
    "to_ObjTypeAssignment": {"results": [{"SAPObjectType": "Material"}]},
    "to_ChangeMstrObMgReMaterial": {"results": [{"Material": "PIN"}]},
    "to_ChangeMstrObMgReMatlBOM": {"results": []},
}


def rows(*entities: dict[str, Any]) -> dict[str, Any]:
    """What a filter found."""
    return {"results": list(entities)}


def found(entity: object) -> Response:
    return Response(200, JSON, json.dumps({"d": entity}).encode())


def refused(status: int, code: str) -> Response:
    error = {"error": {"code": code, "message": {"lang": "en", "value": "No"}}}
    return Response(status, JSON, json.dumps(error).encode())


def query(request: Request) -> dict[str, str]:
    return dict(request.query)


def failure(step: Step, response: Response) -> Failure:
    with pytest.raises(Failure) as caught:
        DRIVER.read(step, response)
    return caught.value


# --- requests ---


def test_an_order_is_read_with_its_items_and_their_schedule_lines() -> None:
    request = DRIVER.observe(ORDER)
    assert request.method == "GET"
    assert not request.effectful
    assert request.path == (
        "/sap/opu/odata/sap/API_PURCHASEORDER_PROCESS_SRV/A_PurchaseOrder('4500000028')"
    )
    asked = query(request)
    assert asked["$expand"] == "to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine"
    selected = asked["$select"].split(",")
    assert "LastChangeDateTime" in selected
    assert "to_PurchaseOrderItem/NetPriceQuantity" in selected
    assert "to_PurchaseOrderItem/to_ScheduleLine/ScheduleLineDeliveryDate" in selected


def test_a_product_is_read_whole_with_texts_units_and_plants() -> None:
    request = DRIVER.observe(PRODUCT)
    assert request.path == "/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product('000000000000004711')"
    assert query(request)["$expand"].split(",") == [
        "to_Description",
        "to_ProductUnitsOfMeasure",
        "to_Plant",
        "to_Plant/to_ProductPlantProcurement",
    ]
    assert "$select" not in query(request)


def test_a_partner_is_read_with_what_is_taken_of_it_and_nothing_else() -> None:
    request = DRIVER.observe(PARTNER)
    assert request.path == ("/sap/opu/odata/sap/API_BUSINESS_PARTNER/A_BusinessPartner('9000017')")
    asked = query(request)
    assert asked["$expand"].split(",") == [
        "to_Supplier",
        "to_Supplier/to_SupplierCompany",
        "to_Supplier/to_SupplierPurchasingOrg",
        "to_BusinessPartnerAddress",
        "to_BusinessPartnerAddress/to_AddressUsage",
    ]
    selected = asked["$select"].split(",")
    assert "LastChangeDate" in selected
    assert "to_Supplier/to_SupplierCompany/ReconciliationAccount" in selected
    assert "to_BusinessPartnerAddress/to_AddressUsage/AddressUsage" in selected
    # Proxies take addresses of 8 kB.
    assert len(asked["$select"]) < 4000
    for private in ("BirthDate", "HouseBank", "Bank", "Phone", "Clerk"):
        assert not any(private in name for name in selected)


def test_an_info_record_is_read_with_the_terms_of_all_its_organisations() -> None:
    request = DRIVER.observe(RECORD)
    assert request.path == (
        "/sap/opu/odata/sap/API_INFORECORD_PROCESS_SRV/A_PurchasingInfoRecord('5300000042')"
    )
    asked = query(request)
    terms = "to_PurgInfoRecdOrgPlantData"
    days = f"{terms}/to_PurInfoRecdPrcgCndnValidity"
    price = f"{days}/to_PurInfoRecdPrcgCndn"
    supplements = f"{price}/to_PurInfoRecdSuplmntPrcgCndn"
    assert asked["$expand"] == ",".join((terms, days, price, supplements))
    selected = asked["$select"].split(",")
    assert "OrderItemQtyToBaseQtyDnmntr" in selected
    assert f"{terms}/NetPriceAmount" in selected
    assert f"{days}/ConditionValidityStartDate" in selected
    assert f"{price}/PricingScaleBasis" in selected
    assert f"{supplements}/ConditionType" in selected
    assert not any("Phone" in name or "SalesPerson" in name for name in selected)
    assert not any("CndnRecdScale" in name for name in selected)


SCALED = PRICE | {"PricingScaleBasis": "C"}
LINES = "to_PurgInfoPricingCndnRecdScale"


def test_lines_of_a_scale_are_asked_for_where_a_price_has_one() -> None:
    more = DRIVER.read(RECORD, found(record_of(PRICE, SCALED)))
    assert isinstance(more, More)
    first, second = DRIVER.observe(RECORD), more.request
    assert (second.method, second.path) == ("GET", first.path)
    at = (
        "to_PurgInfoRecdOrgPlantData/to_PurInfoRecdPrcgCndnValidity/to_PurInfoRecdPrcgCndn/"
        "to_PurgInfoPricingCndnRecdScale"
    )
    assert query(second)["$expand"] == query(first)["$expand"] + f",{at}"
    lines = query(second)["$select"].removeprefix(query(first)["$select"] + ",").split(",")
    assert {line.rpartition("/")[0] for line in lines} == {at}
    assert {line.rpartition("/")[2] for line in lines} == set(fields(PriceLine))
    # All of it comes anew, and is handed on so.
    response = found(record_of(PRICE, SCALED | {LINES: {"results": []}}))
    observed = more.read(response)
    assert isinstance(observed, Present)
    assert observed.answer == Answer("s4.info-record", KEY_OF_RECORD, response.body)
    # It may be gone by then, and its lines may not come.
    gone = more.read(refused(404, NO_ENTITY))
    assert isinstance(gone, Present)
    assert gone.answer is not None
    assert json.loads(gone.answer.body) == {"gone": True, "id": "5300000042"}
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        more.read(found(record_of(SCALED)))


def test_what_is_no_price_is_asked_for_no_lines() -> None:
    bare = {"ConditionRecord": "0000010249", "PricingScaleBasis": "B"}
    observed = DRIVER.read(RECORD, found(record_of(bare, kind="FRB1")))
    assert isinstance(observed, Present)
    assert observed.answer is not None


def test_a_contract_is_read_with_its_items_and_without_the_people_in_it() -> None:
    request = DRIVER.observe(CONTRACT)
    assert request.path == (
        "/sap/opu/odata/sap/API_PURCHASECONTRACT_PROCESS_SRV/A_PurchaseContract('4600000007')"
    )
    asked = query(request)
    assert asked["$expand"] == "to_PurchaseContractItem"
    selected = asked["$select"].split(",")
    assert "ValidityEndDate" in selected
    assert "to_PurchaseContractItem/ContractItemConsumedQuantity" in selected
    assert not any("Phone" in name or "SalesPerson" in name for name in selected)


def test_a_source_list_is_all_records_of_a_material_in_a_plant() -> None:
    request = DRIVER.observe(SOURCE_LIST)
    assert request.path == "/sap/opu/odata/sap/API_PURCHASING_SOURCE_SRV/A_PurchasingSource"
    asked = query(request)
    assert asked["$filter"] == "Plant eq '1010' and Material eq 'SEAL/7'"
    assert "$expand" not in asked
    assert "SourceOfSupplyIsBlocked" in asked["$select"].split(",")


def test_a_bom_is_read_in_all_its_states_with_their_lines() -> None:
    request = DRIVER.observe(BOM)
    assert request.path == "/sap/opu/odata/sap/API_BILL_OF_MATERIAL_SRV;v=0002/MaterialBOM"
    asked = query(request)
    assert asked["$filter"] == (
        "Plant eq '1010' and BillOfMaterial eq '00000007' and BillOfMaterialVariant eq '1'"
        " and Material eq 'GEAR/2' and BillOfMaterialCategory eq 'M'"
    )
    assert asked["$expand"] == "to_BillOfMaterialItem"
    assert "to_BillOfMaterialItem/ValidityEndDate" in asked["$select"].split(",")


def test_a_change_number_is_read_with_what_it_lists_and_without_the_people_in_it() -> None:
    request = DRIVER.observe(CHANGE)
    assert request.path == (
        "/sap/opu/odata/sap/API_CHANGEMASTER;v=0002/A_ChangeMaster('500000000042')"
    )
    asked = query(request)
    assert asked["$expand"].split(",") == [
        "to_ObjTypeAssignment",
        "to_ChangeMstrObMgReMaterial",
        "to_ChangeMstrObMgReMatlBOM",
    ]
    selected = asked["$select"].split(",")
    assert "ChangeNumberLastChgdDateTime" in selected
    assert "to_ObjTypeAssignment/IsLockedForChanges" in selected
    assert "to_ChangeMstrObMgReMaterial/Material" in selected
    assert "to_ChangeMstrObMgReMatlBOM/BillOfMaterialVariantUsage" in selected
    assert not any("User" in name or name.endswith("By") for name in selected)


@pytest.mark.parametrize("id_", ["1010", "1010/7/1", ""])
def test_an_id_that_does_not_hold_the_whole_key_is_a_fault_of_the_configuration(id_: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        DRIVER.observe(step_of("bom", id_, "material-bom/x"))
    assert caught.value.code == "object-unreadable"
    assert "Plant/BillOfMaterial/BillOfMaterialVariant/Material" in caught.value.what


def test_an_id_is_a_literal_whatever_it_holds() -> None:
    request = DRIVER.observe(step_of("product", "A'B/C D?", "item-master/A'B/C D?"))
    assert request.path == "/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product('A''B%2FC%20D%3F')"
    assert unquote(request.path).endswith("A_Product('A''B/C D?')")


def test_an_object_nobody_reads_is_a_fault_of_the_configuration() -> None:
    for act in (DRIVER.observe, lambda step: DRIVER.read(step, found({}))):
        with pytest.raises(Misconfigured) as caught:
            act(step_of("supplier", "1", "supplier/1"))
        assert caught.value.code == "object-unreadable"


# --- names ---


def of_vendor(entity_set: str) -> set[str]:
    """The properties and navigations that the vendor describes, as far as they are kept here."""
    _, described = MODEL.find(entity_set)
    return {p.name for p in described.properties} | {n.name for n in described.navigation}


@pytest.mark.parametrize(
    ("kind", "entity_set"),
    [
        (Order, "A_PurchaseOrder"),
        (OrderItem, "A_PurchaseOrderItem"),
        (OrderScheduleLine, "A_PurchaseOrderScheduleLine"),
        (Material, "A_Product"),
        (Text, "A_ProductDescription"),
        (Alternate, "A_ProductUnitsOfMeasure"),
        (Plant, "A_ProductPlant"),
        (Partner, "A_BusinessPartner"),
        (PartnerAddress, "A_BusinessPartnerAddress"),
        (AddressUsage, "A_BuPaAddressUsage"),
        (PartnerSupplier, "A_Supplier"),
        (SupplierCompany, "A_SupplierCompany"),
        (SupplierOrganisation, "A_SupplierPurchasingOrg"),
        (InfoRecord, "A_PurchasingInfoRecord"),
        (OrganisationTerms, "A_PurgInfoRecdOrgPlantData"),
        (PriceDays, "A_PurInfoRecdPrcgCndnValidity"),
        (Price, "A_PurInfoRecdPrcgCndn"),
        (PriceSupplement, "A_PurInfoRecdSuplmntPrcgCndn"),
        (PriceLine, "A_PurInfoRecdPrcgCndnScale"),
        (Contract, "A_PurchaseContract"),
        (ContractItem, "A_PurchaseContractItem"),
        (SourceRecord, "A_PurchasingSource"),
        (BomState, "MaterialBOM"),
        (BomStateItem, "MaterialBOMItem"),
        (Change, "A_ChangeMaster"),
        (ChangeKind, "A_ChangeMasterObjTypeAssgmt"),
        (ChangeMaterial, "A_ChangeMstrObMgReMaterial"),
        (ChangeBom, "A_ChangeMstrObMgReMatlBOM"),
    ],
)
def test_every_field_that_is_read_is_one_of_the_vendors(
    kind: type[Entity], entity_set: str
) -> None:
    named = {name for name in kind.__struct_encode_fields__ if name != "__metadata"}
    assert named <= of_vendor(entity_set)
    assert set(fields(kind)) <= named


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_read_asks_a_set_of_the_service_by_its_key(kind: Any) -> None:
    service, entity_set = MODEL.find(kind.entity_set)
    assert kind.service.partition(";v=") in (
        (service.service, ";v=", service.version),
        (service.service, "", ""),
    )
    if kind.is_set:
        assert {*kind.fields, *kind.fixed} <= {p.name for p in entity_set.properties}
        assert set(kind.fields) <= set(kind.content.__struct_fields__)
    else:
        assert entity_set.key == kind.fields
    assert kind.content.__struct_fields__


# --- answers ---


@pytest.mark.parametrize(
    ("step", "held", "type_"),
    [
        (ORDER, HELD_ORDER, "s4.purchase-order"),
        (PRODUCT, HELD_PRODUCT, "s4.product"),
        (PARTNER, HELD_PARTNER, "s4.business-partner"),
        (RECORD, HELD_RECORD, "s4.info-record"),
        (CONTRACT, HELD_CONTRACT, "s4.purchase-contract"),
        (SOURCE_LIST, rows(HELD_SOURCE, HELD_SOURCE), "s4.source-list"),
        (SOURCE_LIST, rows(), "s4.source-list"),
        (BOM, rows(HELD_BOM), "s4.bom"),
        (BOM, rows(), "s4.bom"),
        (CHANGE, HELD_CHANGE, "s4.change-master"),
        (PARTNER, HELD_PARTNER | {"Supplier": "", "to_Supplier": None}, "s4.business-partner"),
    ],
)
def test_what_was_read_is_handed_on_as_it_came(
    step: Step, held: dict[str, Any], type_: str
) -> None:
    assert isinstance(step.operation, ReadObject)
    response = found(held | {"YY1_Own": "Ü"})
    observed = DRIVER.read(step, response)
    assert isinstance(observed, Present)
    assert observed.equal
    assert observed.answer == Answer(type_, step.operation.key, response.body)
    assert DRIVER.write(step, observed, "key-1") is None


@pytest.mark.parametrize("step", [ORDER, PRODUCT, PARTNER, RECORD, CONTRACT, CHANGE])
def test_an_object_that_is_gone_is_an_answer_too(step: Step) -> None:
    assert isinstance(step.operation, ReadObject)
    observed = DRIVER.read(step, refused(404, NO_ENTITY))
    assert isinstance(observed, Present)
    assert observed.equal
    assert observed.answer is not None
    assert observed.answer.key == step.operation.key
    assert json.loads(observed.answer.body) == {"gone": True, "id": step.operation.id}
    assert DRIVER.write(step, observed, "key-1") is None
    assert DRIVER.write(step, Absent(), "key-1") is None


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (refused(404, "/IWFND/MED/170"), Misconfigured, "interface-unknown"),
        (Response(404, {"content-type": "text/html"}, b"<html>"), Misconfigured,
         "interface-unknown"),
        (Response(404, {}, b""), Misconfigured, "interface-unknown"),
        (refused(403, "/IWFND/MED/000"), Misconfigured, "not-authorised"),
        (refused(400, "/IWBEP/CM_MGW_RT/176"), Rejected, "target-refused"),
        (refused(429, "x"), Unavailable, "rate-limited"),
        (Response(503, {}, b""), Unavailable, "target-away"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), Misconfigured,
         "answer-is-a-page"),
        (Response(200, JSON, b'{"d": {"Purch'), Unavailable, "answer-unusable"),
    ],
)  # fmt: skip
def test_any_other_answer_is_a_failure(response: Response, kind: type[Failure], code: str) -> None:
    for step in (ORDER, PRODUCT, PARTNER, RECORD, CONTRACT, SOURCE_LIST, BOM, CHANGE):
        found_failure = failure(step, response)
        assert (type(found_failure), found_failure.code) == (kind, code)


def part(name: str, children: dict[str, Any]) -> dict[str, Any]:
    return HELD_PRODUCT | {name: children}


def of_supplier(name: str, children: dict[str, Any]) -> dict[str, Any]:
    held: dict[str, Any] = HELD_PARTNER["to_Supplier"]
    return HELD_PARTNER | {"to_Supplier": held | {name: children}}


@pytest.mark.parametrize(
    ("step", "held", "code"),
    [
        (ORDER, HELD_ORDER | {"PurchaseOrder": "4500000029"}, "answer-about-another"),
        (PRODUCT, HELD_PRODUCT | {"Product": "4712"}, "answer-about-another"),
        (ORDER, HELD_ORDER | {"to_PurchaseOrderItem": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (ORDER, HELD_ORDER | {"to_PurchaseOrderItem": {"results": [
            {"to_ScheduleLine": {"results": [], "__next": "x"}}]}}, "answer-incomplete"),
        (ORDER, {"PurchaseOrder": "4500000028"}, "answer-unknown"),
        (ORDER, HELD_ORDER | {"to_PurchaseOrderItem": {"__deferred": {"uri": "x"}}},
         "answer-unknown"),
        (PRODUCT, part("to_Plant", {"results": [], "__next": "x"}), "answer-incomplete"),
        (PRODUCT, part("to_Description", {"results": [], "__next": "x"}), "answer-incomplete"),
        (PRODUCT, part("to_ProductUnitsOfMeasure", {"results": [], "__next": "x"}),
         "answer-incomplete"),
        (RECORD, HELD_RECORD | {"PurchasingInfoRecord": "5300000043"}, "answer-about-another"),
        (RECORD, HELD_RECORD | {"to_PurgInfoRecdOrgPlantData": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (RECORD, {"PurchasingInfoRecord": "5300000042"}, "answer-unknown"),
        (RECORD, HELD_RECORD | {"to_PurgInfoRecdOrgPlantData": {"results": [
            {"PurchasingOrganization": "1010"}]}}, "answer-incomplete"),
        (RECORD, HELD_RECORD | {"to_PurgInfoRecdOrgPlantData": {"results": [
            {"to_PurInfoRecdPrcgCndnValidity": {"__deferred": {"uri": "x"}}}]}},
         "answer-incomplete"),
        (RECORD, record_of({"__deferred": {"uri": "x"}}), "answer-incomplete"),
        (RECORD, record_of(PRICE | {"to_PurInfoRecdSuplmntPrcgCndn": {"__deferred": {}}}),
         "answer-incomplete"),
        (RECORD, record_of(PRICE | {LINES: {"results": [], "__next": "x"}}), "answer-incomplete"),
        (CONTRACT, HELD_CONTRACT | {"PurchaseContract": "4600000008"}, "answer-about-another"),
        (CONTRACT, HELD_CONTRACT | {"to_PurchaseContractItem": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (CONTRACT, {"PurchaseContract": "4600000007"}, "answer-unknown"),
        (SOURCE_LIST, rows(HELD_SOURCE, HELD_SOURCE | {"Plant": "1020"}), "answer-about-another"),
        (SOURCE_LIST, rows(HELD_SOURCE | {"Material": "SEAL/8"}), "answer-about-another"),
        (SOURCE_LIST, rows(HELD_SOURCE) | {"__next": "x"}, "answer-incomplete"),
        (SOURCE_LIST, HELD_SOURCE, "answer-unknown"),
        (BOM, rows(HELD_BOM | {"BillOfMaterialVariant": "2"}), "answer-about-another"),
        (BOM, rows(HELD_BOM) | {"__next": "x"}, "answer-incomplete"),
        (BOM, rows(HELD_BOM | {"to_BillOfMaterialItem": {"results": [], "__next": "x"}}),
         "answer-incomplete"),
        (BOM, rows(HELD_BOM | {"to_BillOfMaterialItem": {"__deferred": {"uri": "x"}}}),
         "answer-unknown"),
        (CHANGE, HELD_CHANGE | {"ChangeNumber": "500000000043"}, "answer-about-another"),
        (CHANGE, {"ChangeNumber": "500000000042"}, "answer-unknown"),
        (CHANGE, HELD_CHANGE | {"to_ObjTypeAssignment": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (CHANGE, HELD_CHANGE | {"to_ChangeMstrObMgReMaterial": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (CHANGE, HELD_CHANGE | {"to_ChangeMstrObMgReMatlBOM": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (CHANGE, HELD_CHANGE | {"to_ChangeMstrObMgReMatlBOM": {"__deferred": {"uri": "x"}}},
         "answer-unknown"),
        (PARTNER, HELD_PARTNER | {"BusinessPartner": "100042"}, "answer-about-another"),
        (PARTNER, HELD_PARTNER | {"to_Supplier": None}, "answer-incomplete"),
        (PARTNER, HELD_PARTNER | {"to_BusinessPartnerAddress": {"results": [], "__next": "x"}},
         "answer-incomplete"),
        (PARTNER, HELD_PARTNER | {"to_BusinessPartnerAddress": {"results": [
            {"to_AddressUsage": {"results": [], "__next": "x"}}]}}, "answer-incomplete"),
        (PARTNER, of_supplier("to_SupplierCompany", {"results": [], "__next": "x"}),
         "answer-incomplete"),
        (PARTNER, of_supplier("to_SupplierPurchasingOrg", {"results": [], "__next": "x"}),
         "answer-incomplete"),
        (PARTNER, of_supplier("to_SupplierCompany", {"__deferred": {"uri": "x"}}),
         "answer-unknown"),
    ],
)  # fmt: skip
def test_an_answer_that_is_another_or_not_whole_is_a_fault_of_the_configuration(
    step: Step, held: dict[str, Any], code: str
) -> None:
    found_failure = failure(step, found(held))
    assert isinstance(found_failure, Misconfigured)
    assert found_failure.code == code
