"""What S/4HANA answers in parts is read whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from broker.dispatcher import MAX_PARTS, look
from canonical.bom import BomLine, PlantBom
from canonical.connector import More, Observed, Present
from canonical.effects import Step
from canonical.errors import Failure, Misconfigured, Rejected, Unavailable
from canonical.exchange import Request, Response
from canonical.operations import PutBom, ReadObject
from canonical.quantity import Quantity
from handlers.systems.s4 import parts
from handlers.systems.s4.outbound import DRIVER

JSON = {"content-type": "application/json"}
# The host as the service knows it; ours is another one.
PRODUCTS = "https://erp.internal:44300/sap/opu/odata/sap/API_PRODUCT_SRV"
PRODUCT = Step(
    "",
    "erp",
    "product",
    "4711",
    ReadObject("product", "4711", "item-master/4711", asked=17, correlation_id="story-1"),
)
Answers = dict[str, Any]


def service_of(step: Step) -> str:
    return "https://erp.internal" + DRIVER.observe(step).path.rpartition("/")[0]


class Service:
    """Answers the first call with `first`, and each `$skiptoken` with what is filed under it."""

    def __init__(self, first: object, rests: Answers) -> None:
        self.first, self.rests = first, rests
        self.asked: list[Request] = []

    async def perform(self, request: Request) -> Response:
        self.asked.append(request)
        token = dict(request.query).get("$skiptoken")
        shown = self.first if token is None else self.rests[token]
        if isinstance(shown, Response):
            return shown
        return Response(200, JSON, msgspec.json.encode({"d": shown}))


def plants(begin: int, end: int, next_: str = "") -> Answers:
    rows = [{"Product": "4711", "Plant": str(number)} for number in range(begin, end)]
    return {"results": rows, **({"__next": next_} if next_ else {})}


def product(to_plant: Answers, **more: object) -> Answers:
    empty: Answers = {"results": []}
    return {
        "Product": "4711",
        "to_Description": empty,
        "to_ProductUnitsOfMeasure": empty,
        "to_Plant": to_plant,
        **more,
    }


def link(token: str, path: str = "A_Product('4711')/to_Plant") -> str:
    return f"{service_of(PRODUCT)}/{path}?$skiptoken={token}&sap-client=100"


async def seen(service: Service, step: Step = PRODUCT) -> Observed:
    return await look(DRIVER, step, service.perform)


async def shown_plants(service: Service) -> list[str]:
    """The plants of the material that is handed on."""
    found = await seen(service)
    assert isinstance(found, Present)
    assert found.answer is not None
    document = msgspec.json.decode(found.answer.body)
    assert b"$skiptoken" not in found.answer.body
    return [row["Plant"] for row in document["d"]["to_Plant"]["results"]]


async def test_the_rests_of_a_list_follow_its_first_part_in_their_order() -> None:
    service = Service(
        product(plants(0, 2, link("A 1"))), {"A 1": plants(2, 4, link("B")), "B": plants(4, 5)}
    )
    assert await shown_plants(service) == ["0", "1", "2", "3", "4"]
    first, *others = service.asked
    assert first == DRIVER.observe(PRODUCT)
    assert [(r.method, r.path, r.query, r.effectful) for r in others] == [
        (
            "GET",
            "/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product('4711')/to_Plant",
            (("$skiptoken", token), ("sap-client", "100")),
            False,
        )
        for token in ("A 1", "B")
    ]
    assert all(request.headers == first.headers for request in others)


async def test_several_lists_of_an_object_are_read_to_their_ends() -> None:
    first = product(plants(0, 1, link("P")))
    first["to_Description"] = {"results": [], "__next": link("T")}
    text = {"Product": "4711", "Language": "EN", "ProductDescription": "Seal"}
    service = Service(first, {"P": plants(1, 2), "T": {"results": [text]}})
    found = await seen(service)
    assert isinstance(found, Present)
    assert found.answer is not None
    held = msgspec.json.decode(found.answer.body)["d"]
    assert [row["Plant"] for row in held["to_Plant"]["results"]] == ["0", "1"]
    assert held["to_Description"]["results"] == [text]


async def test_lists_within_a_rest_are_read_too() -> None:
    def item(number: str, **lines: object) -> Answers:
        return {"PurchaseOrder": "45", "PurchaseOrderItem": number, "to_ScheduleLine": lines}

    step = Step(
        "", "erp", "purchase-order", "45",
        ReadObject("purchase-order", "45", "purchase-order/45", asked=17, correlation_id="s"),
    )  # fmt: skip
    root = service_of(step)
    lines = [{"PurchasingDocument": "45", "ScheduleLine": str(number)} for number in (1, 2)]
    first = {
        "PurchaseOrder": "45",
        "to_PurchaseOrderItem": {
            "results": [item("10", results=[])],
            "__next": f"{root}/A_PurchaseOrder('45')/to_PurchaseOrderItem?$skiptoken=I",
        },
    }
    deeper = f"{root}/A_PurchaseOrderItem(PurchaseOrder='45',PurchaseOrderItem='20')/x?$skiptoken=L"
    service = Service(
        first,
        {
            "I": {"results": [item("20", results=lines[:1], __next=deeper)]},
            "L": {"results": lines[1:]},
        },
    )
    found = await seen(service, step)
    assert isinstance(found, Present)
    assert found.answer is not None
    _, second = msgspec.json.decode(found.answer.body)["d"]["to_PurchaseOrderItem"]["results"]
    assert second["to_ScheduleLine"]["results"] == lines


async def test_lines_of_a_bom_that_were_kept_back_are_compared_like_the_others() -> None:
    one = Quantity(Decimal(1), "H87")
    wanted = [BomLine(str(n), f"PART-{n}", one) for n in range(1, 4)]
    step = Step(
        "1010",
        "erp",
        "bom",
        "X",
        PutBom(PlantBom("1010", "ARM", "B", "1", "1", one, tuple(wanted))),
    )
    root = service_of(step)
    rows = [
        {
            "BillOfMaterialComponent": f"PART-{n}",
            "BillOfMaterialItemNumber": f"000{n}",
            "BillOfMaterialItemCategory": "L",
            "BillOfMaterialItemQuantity": "1",
            "BillOfMaterialItemUnit": "PC",
        }
        for n in range(1, 4)
    ]
    held = {
        "BillOfMaterial": "7",
        "Material": "ARM",
        "Plant": "1010",
        "BillOfMaterialVariant": "1",
        "BillOfMaterialVariantUsage": "1",
        "BOMHeaderBaseUnit": "PC",
        "BOMHeaderQuantityInBaseUnit": "1",
        "to_BillOfMaterialItem": {
            "results": rows[:2],
            "__next": f"{root}/MaterialBOM('7')/to_BillOfMaterialItem?$skiptoken=2",
        },
    }
    found = await seen(Service({"results": [held]}, {"2": {"results": rows[2:]}}), step)
    assert isinstance(found, Present)
    whole = held | {"to_BillOfMaterialItem": {"results": rows}}
    assert found == await seen(Service({"results": [whole]}, {}), step)


async def test_entities_of_a_set_that_were_kept_back_are_looked_at() -> None:
    one = Quantity(Decimal(1), "H87")
    bom = PlantBom("1010", "ARM", "B", "1", "1", one, (BomLine("10", "PIN", one),))
    step = Step("1010", "erp", "bom", "X", PutBom(bom))
    other = {"Material": "ARM", "Plant": "1010", "BillOfMaterialVariant": "2"}
    held = other | {
        "BillOfMaterialVariant": "1",
        "BillOfMaterialVariantUsage": "1",
        "BillOfMaterial": "7",
        "IsMarkedForDeletion": True,
        "to_BillOfMaterialItem": {"results": []},
    }
    link_ = f"{service_of(step)}/MaterialBOM?$filter=Material%20eq%20'ARM'&$skiptoken=1"
    service = Service({"results": [other], "__next": link_}, {"1": {"results": [held]}})
    found = await seen(service, step)
    assert isinstance(found, Present)
    assert found.differences == ("IsMarkedForDeletion: true, wanted false",)
    assert dict(service.asked[1].query)["$filter"] == "Material eq 'ARM'"


@pytest.mark.parametrize("rests", [1, 18])
async def test_what_another_call_brings_may_come_in_parts_too(rests: int) -> None:
    async def read_on(service: Service) -> Observed:
        def read_second(response: Response) -> Observed:
            return Present(equal=True, native=response.body)

        second = DRIVER.observe(PRODUCT)
        first = Response(200, JSON, b'{"d": {"results": []}}')
        found = parts.read(second, first, lambda _: More(second, read_second))
        while isinstance(found, More):
            found = found.read(await service.perform(found.request))
        return found

    def service(rests: int) -> Service:
        filed = {
            str(n): plants(n, n + 1, link(str(n + 1)) if n < rests else "")
            for n in range(1, rests + 1)
        }
        return Service(product(plants(0, 1, link("1"))), filed)

    found = await read_on(service(rests))
    assert isinstance(found, Present)
    held = msgspec.json.decode(found.native)["d"]["to_Plant"]["results"]
    assert [row["Plant"] for row in held] == [str(n) for n in range(rests + 1)]
    # The first call is one of the twenty.
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        await read_on(service(19))


async def test_numbers_and_fields_nobody_knows_stay_as_they_were_written() -> None:
    kept = b'{"Plant": "1", "YY1_Own": 12.3400000000000000001, "n": [1, true, null, "\\u00dc"]}'
    rest = Response(200, JSON, b'{"d": {"results": [' + kept + b"]}}")
    found = await seen(Service(product(plants(0, 1, link("A"))), {"A": rest}))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert b'"YY1_Own":12.3400000000000000001,"n":[1,true,null,"\xc3\x9c"]' in found.answer.body


def test_an_answer_that_came_whole_is_handed_on_as_it_came() -> None:
    body = b'{ "d": ' + msgspec.json.encode(product(plants(0, 3))) + b"}"
    found = DRIVER.read(PRODUCT, Response(200, JSON, body))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert found.answer.body == body


# --- what is refused ---


async def test_twenty_calls_are_made_and_what_takes_more_is_refused() -> None:
    def service(rests: int) -> Service:
        filed = {
            str(n): plants(n, n + 1, link(str(n + 1)) if n < rests else "")
            for n in range(1, rests + 1)
        }
        return Service(product(plants(0, 1, link("1"))), filed)

    assert await shown_plants(service(19)) == [str(n) for n in range(20)]
    longer = service(20)
    with pytest.raises(Misconfigured, match="answer-incomplete") as refused:
        await seen(longer)
    assert len(longer.asked) == parts.MOST_CALLS == MAX_PARTS == 20
    assert refused.value.what == ("The object comes in so many parts that 20 calls do not suffice")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "A_Product('4711')/to_Plant?$skiptoken=A",
        "https://erp.internal/sap/opu/odata/sap/API_BUSINESS_PARTNER/A?$skiptoken=A",
        "https://evil.example/A_Product?$skiptoken=A",
        "https://[evil/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product?$skiptoken=A",
    ],
)
def test_a_link_out_of_the_service_is_not_followed_and_what_is_missing_is_refused(
    elsewhere: str,
) -> None:
    held = product({"results": [], "__next": elsewhere})
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        DRIVER.read(PRODUCT, Response(200, JSON, msgspec.json.encode({"d": held})))


def test_of_a_link_only_path_and_query_are_taken() -> None:
    there = "https://evil.example/prefix/sap/opu/odata/sap/API_PRODUCT_SRV/A ü?$skiptoken=A"
    held = product({"results": [], "__next": there})
    found = DRIVER.read(PRODUCT, Response(200, JSON, msgspec.json.encode({"d": held})))
    assert isinstance(found, More)
    assert found.request.path == "/sap/opu/odata/sap/API_PRODUCT_SRV/A%20%C3%BC"
    assert found.request.query == (("$skiptoken", "A"),)


async def test_an_entity_that_comes_twice_lets_the_object_be_read_again() -> None:
    def row(number: int) -> Answers:
        return {"__metadata": {"uri": f"{PRODUCTS}/A_ProductPlant('{number}')"}, "Plant": "1"}

    first = product({"results": [row(1), row(2)], "__next": link("A")})
    assert isinstance(await seen(Service(first, {"A": {"results": [row(3)]}})), Present)
    with pytest.raises(Unavailable, match="list-moved"):
        await seen(Service(first, {"A": {"results": [row(2), row(3)]}}))


async def test_what_is_longer_than_an_answer_may_be_is_refused() -> None:
    long = {"results": [{"Plant": "1", "text": "x" * 600_000}]}
    rests = {str(n): long | {"__next": link(str(n + 1))} for n in range(9)}
    with pytest.raises(Rejected, match="answer-too-long"):
        await seen(Service(product(plants(0, 1, link("0"))), rests))


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (Response(503, JSON, b""), Unavailable, "target-away"),
        (Response(403, JSON, b""), Misconfigured, "not-authorised"),
        (Response(200, JSON, b'{"d": [1]}'), Misconfigured, "answer-unknown"),
        (Response(200, JSON, b'{"d": {"resul'), Unavailable, "answer-unusable"),
        (
            Response(200, {"content-type": "text/html"}, b"<html>"),
            Misconfigured,
            "answer-is-a-page",
        ),
    ],
)
async def test_a_rest_that_does_not_come_ends_the_read(
    response: Response, kind: Callable[..., Failure], code: str
) -> None:
    with pytest.raises(Failure) as failed:
        await seen(Service(product(plants(0, 1, link("A"))), {"A": response}))
    assert (type(failed.value), failed.value.code) == (kind, code)
