"""What is asked of S/4HANA after an event that told a key, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from canonical.connector import Absent, Answer, Present
from canonical.effects import Step
from canonical.errors import Failure, Misconfigured, Rejected, Unavailable
from canonical.exchange import Request, Response
from canonical.operations import ReadObject
from handlers.systems.s4.native import Entity
from handlers.systems.s4.native_read import (
    Alternate,
    Material,
    Order,
    OrderItem,
    OrderScheduleLine,
    Plant,
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
    assert query(request) == {"$expand": "to_Description,to_ProductUnitsOfMeasure,to_Plant"}


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
    ],
)
def test_every_field_that_is_read_is_one_of_the_vendors(
    kind: type[Entity], entity_set: str
) -> None:
    named = {name for name in kind.__struct_encode_fields__ if name != "__metadata"}
    assert named <= of_vendor(entity_set)
    assert set(fields(kind)) <= named


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_read_addresses_a_set_of_the_service_by_its_key(kind: Any) -> None:
    service, entity_set = MODEL.find(kind.entity_set)
    assert service.service == kind.service
    assert entity_set.key == (kind.id_field,)
    assert kind.content.__struct_fields__


# --- answers ---


@pytest.mark.parametrize(
    ("step", "held", "type_"),
    [(ORDER, HELD_ORDER, "s4.purchase-order"), (PRODUCT, HELD_PRODUCT, "s4.product")],
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


@pytest.mark.parametrize("step", [ORDER, PRODUCT])
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
        (Response(503, {}, b""), Unavailable, "target-failed"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), Misconfigured,
         "answer-is-a-page"),
        (Response(200, JSON, b'{"d": {"Purch'), Unavailable, "answer-unusable"),
    ],
)  # fmt: skip
def test_any_other_answer_is_a_failure(response: Response, kind: type[Failure], code: str) -> None:
    for step in (ORDER, PRODUCT):
        found_failure = failure(step, response)
        assert (type(found_failure), found_failure.code) == (kind, code)


def part(name: str, children: dict[str, Any]) -> dict[str, Any]:
    return HELD_PRODUCT | {name: children}


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
    ],
)  # fmt: skip
def test_an_answer_that_is_another_or_not_whole_is_a_fault_of_the_configuration(
    step: Step, held: dict[str, Any], code: str
) -> None:
    found_failure = failure(step, found(held))
    assert isinstance(found_failure, Misconfigured)
    assert found_failure.code == code
