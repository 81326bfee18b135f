"""The driver for Tryton by what a real one was asked and answered (tests/fixtures/tryton)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.dispatcher import look
from canonical.bom import Kept
from canonical.codec import encode
from canonical.connector import Absent, More, Observed, Present
from canonical.effectivity import SerialEffectivity
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.operations import Operation, PutBom
from canonical.order import OrderLine, ScheduleLine
from canonical.own_words import OwnWords
from canonical.purchase_contract import ContractStatus
from handlers.systems.tryton import rpc
from handlers.systems.tryton.access import ACCESS
from handlers.systems.tryton.outbound import DRIVER
from tests.fixtures.tryton.record import FOLDER, Exchange, Refusal, apply
from tests.fixtures.tryton.stories import (
    BOM,
    CONTRACT,
    ORDER,
    SEAL,
    SEALS,
    STORIES,
    bom,
    contract,
    item,
    line,
    moved,
    order,
    ordered,
    price,
    step,
    terms,
)

STAMP = "1795964848.928546"


def recorded(name: str) -> list[Exchange]:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=list[Exchange])


def refusals() -> dict[str, Response]:
    found = msgspec.json.decode((FOLDER / "refusals.json").read_bytes(), type=list[Refusal])
    return {
        one.about: Response(one.status, {"content-type": one.content_type}, one.body.encode())
        for one in found
    }


class Replayed:
    """Answers as Tryton did, as long as it is asked the same."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._left = list(exchanges)

    async def perform(self, request: Request) -> Response:
        asked = self._left.pop(0)
        assert (request.method, request.path) == ("POST", "/rpc/")
        assert msgspec.json.decode(request.body or b"") == asked.sent
        headers = {"content-type": "application/json"}
        return Response(asked.status, headers, encode(asked.answer))

    @property
    def is_told(self) -> bool:
        return not self._left


@pytest.mark.parametrize("name", STORIES)
async def test_a_story_is_carried_out_by_the_calls_that_a_real_tryton_took(name: str) -> None:
    told = Replayed(recorded(name))
    for operation in STORIES[name]:
        await apply(told.perform, step(operation))
    assert told.is_told


def writes(name: str) -> list[tuple[str, Any]]:
    """Method and parameters of what changed something, without the context's language."""
    return [
        (one.sent["method"], one.sent["params"])
        for one in recorded(name)
        if not one.sent["method"].endswith("search_read")
    ]


def test_an_item_is_made_as_template_and_product_in_one_call() -> None:
    method, (values, context) = writes("items")[0]
    assert method == "model.product.template.create"
    assert context == {"language": "en"}
    assert values == [
        {
            "code": "PUMP-1",
            "name": "Pump 40/2",
            "type": "goods",
            "default_uom": 1,
            "active": True,
            "producible": True,
            "purchasable": False,
            "products": [["create", [{"description": "Revision A", "active": True}]]],
        }
    ]


def test_a_change_writes_what_differs_with_the_timestamps_that_were_seen() -> None:
    held = next(
        one.answer["result"][0]
        for one in recorded("items")
        if one.sent["params"][0] == [["code", "=", "SEAL-7"]] and one.answer["result"]
    )
    method, (ids, values, context) = next(
        (method, params) for method, params in writes("items") if method.endswith("write")
    )
    assert method == "model.product.template.write"
    assert ids == [held["template."]["id"]]
    assert values == {
        "name": "Shaft seal, 40 mm, FKM",
        "products": [["write", [held["id"]], {"description": "Revision B"}]],
    }
    assert context["_timestamp"] == {
        f"product.template,{held['template.']['id']}": held["template."]["_timestamp"],
        f"product.product,{held['id']}": held["_timestamp"],
    }


def test_a_bom_is_made_with_its_lines_and_then_linked_to_its_product() -> None:
    made, linked = writes("boms")[:2]
    assert made[0] == "model.production.bom.create"
    (values,), _ = made[1]
    assert values["code"] == "1000/1/1/PUMP-1"
    assert values["name"] == "PUMP-1 revision A"
    assert values["outputs"] == [["create", [{"product": 1, "quantity": 1.0, "unit": 1}]]]
    inputs = values["inputs"][0][1]
    assert [row["quantity"] for row in inputs] == [2.0, 0.35]
    assert linked[0] == "model.product.product.write"
    assert linked[1][:2] == [[1], {"boms": [["create", [{"bom": 1}]]]}]


def test_prices_go_as_decimals_for_one_unit_and_the_lead_time_as_a_duration() -> None:
    (values,), context = writes("terms")[0][1]
    assert context["company"] == values["company"] == 1
    assert values["lead_time"] == {"__class__": "timedelta", "seconds": 14 * 86_400.0}
    assert [
        (row["quantity"], row["unit_price"], row["sequence"]) for row in values["prices"][0][1]
    ] == [
        (0.0, {"__class__": "Decimal", "decimal": "4.25"}, 1),
        (100.0, {"__class__": "Decimal", "decimal": "3.8"}, 2),
    ]


def test_a_scale_that_is_no_more_agreed_goes_and_the_price_changes_in_one_call() -> None:
    ids, values, context = writes("terms")[1][1]
    assert ids == [1]
    kinds = [command[0] for command in values["prices"]]
    assert kinds == ["write", "create", "delete"]
    assert len(context["_timestamp"]) == 3


# --- what is refused ---


def failure_of(about: str, *, wrote: bool) -> Failure:
    with pytest.raises(Failure) as raised:
        rpc.result(refusals()[about], "x", wrote=wrote)
    return raised.value


@pytest.mark.parametrize("how", ["", ", in the other way"])
@pytest.mark.parametrize(
    ("about", "kind", "code"),
    [
        ("unique", Unavailable, "exists-already"),
        ("rule", Rejected, "target-refused"),
        ("stale", Unavailable, "changed-meanwhile"),
        ("no method", Misconfigured, "not-authorised"),
    ],
)
def test_both_ways_of_refusing_mean_the_same(
    about: str, how: str, kind: type[Failure], code: str
) -> None:
    failure = failure_of(f"{about}{how}", wrote=True)
    assert (type(failure), failure.code) == (kind, code)


@pytest.mark.parametrize("about", ["no model", "no model, in the other way"])
def test_a_fault_of_the_server_is_in_doubt_after_a_write_and_tried_again_after_a_read(
    about: str,
) -> None:
    assert type(failure_of(about, wrote=True)) is InDoubt
    assert type(failure_of(about, wrote=False)) is Unavailable


@pytest.mark.parametrize(
    ("about", "kind", "code"),
    [
        ("session over", Unavailable, "session-ended"),
        ("throttled", Unavailable, "rate-limited"),
        ("wrong password", Unavailable, "session-ended"),
        ("no database", InDoubt, "status-503"),
    ],
)
def test_what_does_not_get_as_far_as_a_method(about: str, kind: type[Failure], code: str) -> None:
    failure = failure_of(about, wrote=True)
    assert (type(failure), failure.code) == (kind, code)


def test_what_tryton_says_is_in_the_failure() -> None:
    for how in ("", ", in the other way"):
        failure = failure_of(f"rule{how}", wrote=True)
        assert 'A value is required for field "Name" in "Product Template".' in failure.what


def answered(body: object, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, encode(body))


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (answered({"id": "x", "error": ["UserWarning", ["key", "Sure?", ""]]}), "target-asks"),
        (Response(409, {"content-type": "text/html"}, b"<p>Sure?</p>"), "target-asks"),
        (
            answered({"id": "x", "error": ["LoginException", ["password", "", ""]]}),
            "not-authorised",
        ),
        (answered({"id": "x", "error": ["RateLimitException"]}), "rate-limited"),
    ],
)
def test_what_asks_a_person_or_a_login_is_no_success(response: Response, code: str) -> None:
    with pytest.raises(Failure) as raised:
        rpc.result(response, "x", wrote=True)
    assert raised.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        {"id": "y", "result": [1]},
        {"id": "x"},
        {"id": "x", "result": ["1"]},
        {"id": "x", "result": []},
        {"id": "x", "result": [1, 2]},
        {},
        [],
        "done",
    ],
)
def test_a_status_of_200_alone_confirms_nothing(body: object) -> None:
    with pytest.raises(InDoubt):
        rpc.written(answered(body), "x")


def test_a_create_is_confirmed_by_its_id_and_another_write_by_null() -> None:
    assert rpc.written(answered({"id": "x", "result": [7]}), "x") == "7"
    assert rpc.written(answered({"id": "x", "result": None}), "x") == ""


# --- login ---


def test_a_login_gives_a_session_that_goes_into_the_header() -> None:
    body = ACCESS.body("ada", "secret", "")
    assert msgspec.json.decode(body) == {
        "id": "login",
        "method": "common.db.login",
        "params": ["ada", {"password": "secret"}, "en"],
    }
    answer = b'{"id":"login","result":[5,"a-token",null]}'
    # base64 of layshaft:5:a-token
    assert ACCESS.session(answer) == "bGF5c2hhZnQ6NTphLXRva2Vu"
    assert (ACCESS.header, ACCESS.scheme, ACCESS.path) == ("Authorization", "Session", "/rpc/")


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b'{"id":"login","error":["LoginException",["sms","",""]]}', b"[]"]
)
def test_an_answer_without_a_session_gives_none(answer: bytes) -> None:
    assert ACCESS.session(answer) == ""


def test_a_tenant_is_refused_since_the_database_stands_in_the_url() -> None:
    with pytest.raises(Misconfigured, match="tenant-unsupported"):
        ACCESS.body("ada", "", "works")


def test_a_session_is_over_by_a_401() -> None:
    assert ACCESS.is_over(refusals()["session over"])
    assert not ACCESS.is_over(refusals()["throttled"])
    assert not ACCESS.is_over(refusals()["no method"])


# --- what is there ---


async def seen(operation: Operation, *results: object, own: OwnWords | None = None) -> Observed:
    """What a look comes to that is answered so, one call after the other."""
    driver = DRIVER.for_words(own) if own else DRIVER
    name, left = step(operation).identity, list(results)

    async def perform(_: Request) -> Response:
        return answered({"id": name, "result": left.pop(0)})

    found = await look(driver, step(operation), perform)
    assert not isinstance(found, More)
    assert not left
    return found


def held_item(**fields: Any) -> dict[str, Any]:
    template = {
        "id": 2,
        "name": "Shaft seal, 40 mm",
        "type": "goods",
        "active": True,
        "purchasable": True,
        "producible": False,
        "default_uom.": {"id": 1, "symbol": "u"},
        "purchase_uom.": {"id": 1, "symbol": "u"},
        "_timestamp": STAMP,
    }
    product = {"id": 2, "code": "SEAL-7", "active": True, "description": "Revision A"}
    told = {**product, "_timestamp": STAMP, "template.": template}
    return {**told, **{k: v for k, v in fields.items() if k in product}} | {
        "template.": {**template, **{k: v for k, v in fields.items() if k in template}}
    }


async def test_an_item_as_it_is_wanted_needs_no_write() -> None:
    found = await seen(SEAL, [held_item()])
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, "2")
    assert DRIVER.write(step(SEAL), found, "key") is None


async def test_what_a_person_keeps_of_an_item_stays() -> None:
    other_unit = held_item(**{"purchase_uom.": {"id": 9, "symbol": "doz"}})
    found = await seen(SEAL, [other_unit])
    assert isinstance(found, Present)
    assert found.equal


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"default_uom.": {"id": 2, "symbol": "kg"}}, "default_uom: kg, wanted u"),
        ({"type": "service"}, "type: service, wanted goods"),
    ],
)
async def test_another_unit_or_type_is_left_to_people(fields: dict[str, Any], shown: str) -> None:
    found = await seen(SEAL, [held_item(**fields)])
    assert isinstance(found, Present)
    assert found.differences == (shown,)
    with pytest.raises(Conflict, match="item-differs"):
        DRIVER.write(step(SEAL), found, "key")


async def test_of_active_and_former_products_of_one_code_the_active_one_counts() -> None:
    former = held_item(active=False) | {"id": 1}
    found = await seen(SEAL, [former, held_item()])
    assert isinstance(found, Present)
    assert found.reference == "2"
    with pytest.raises(Conflict, match="number-used-twice"):
        await seen(SEAL, [former, former | {"id": 4}])


async def test_a_unit_that_tryton_lacks_or_has_twice_is_refused_by_its_symbol() -> None:
    with pytest.raises(Rejected, match=r"unit-missing.*symbol u"):
        await seen(SEAL, [], [])
    twice = [{"id": 1, "symbol": "u"}, {"id": 7, "symbol": "u"}]
    with pytest.raises(Rejected, match="unit-ambiguous"):
        await seen(SEAL, [], twice)


async def test_a_unit_has_the_words_of_the_installation() -> None:
    own = OwnWords(units={"Stk": "H87"})
    found = await seen(SEAL, [], [{"id": 5, "symbol": "Stk"}], own=own)
    write = DRIVER.for_words(own).write(step(SEAL), found, "key")
    assert write is not None
    sent = msgspec.json.decode(write.request.body or b"")
    assert sent["params"][0][0]["default_uom"] == 5


def test_a_dry_run_has_names_in_the_place_of_ids() -> None:
    write = DRIVER.write(step(BOM), Absent(), "key")
    assert write is not None
    assert not write.completes
    (values,), _ = msgspec.json.decode(write.request.body or b"")["params"]
    assert values["inputs"][0][1][1] == {"product": "WIRE-3", "quantity": 0.35, "unit": "m"}


def test_a_document_is_no_product() -> None:
    with pytest.raises(Rejected, match="kind-unsupported"):
        DRIVER.write(step(item("DOC-1", kind="document")), Absent(), "key")


# --- lines ---

PRODUCTS = [
    {"id": 1, "code": "PUMP-1", "active": True, "boms.": [{"id": 1, "bom": 1}]},
    {"id": 2, "code": "SEAL-7", "active": True},
    {"id": 3, "code": "WIRE-3", "active": True},
]
UNITS = [{"id": 1, "symbol": "u"}, {"id": 11, "symbol": "m"}]


def row(number: int, code: str | None, quantity: float, symbol: str = "u") -> dict[str, Any]:
    product = {"id": number, "code": code} if code else None
    return {
        "id": number,
        "_timestamp": STAMP,
        "quantity": quantity,
        "unit.": {"id": 1, "symbol": symbol},
        "product.": product,
    }


def held_bom(*rows: dict[str, Any], base: float = 1.0, **fields: Any) -> dict[str, Any]:
    told = {"id": 1, "code": "1000/1/1/PUMP-1", "name": "PUMP-1 revision A", "active": True}
    return {**told, "_timestamp": STAMP, "inputs.": rows, "outputs.": [row(9, "PUMP-1", base)]} | (
        fields
    )


AS_WANTED = (row(1, "SEAL-7", 2.0), row(2, "WIRE-3", 0.35, "m"))


async def test_lines_in_another_order_are_the_same_bom() -> None:
    found = await seen(BOM, [held_bom(*reversed(AS_WANTED))], PRODUCTS, UNITS)
    assert isinstance(found, Present)
    assert (found.equal, found.differences) == (True, ())


async def test_a_component_on_two_lines_is_paired_with_two_rows() -> None:
    wanted = bom(line("10", "SEAL-7", "2"), line("20", "SEAL-7", "1"))
    held = held_bom(row(1, "SEAL-7", 1.0), row(2, "SEAL-7", 3.0))
    found = await seen(wanted, [held], PRODUCTS, UNITS)
    write = DRIVER.write(step(wanted), found, "key")
    assert write is not None
    assert write.completes
    _, values, context = msgspec.json.decode(write.request.body or b"")["params"]
    assert [command[:2] for command in values["inputs"]] == [["write", [2]]]
    assert values["inputs"][0][2]["quantity"] == 2.0
    assert context["_timestamp"] == {"production.bom,1": STAMP, "production.bom.input,2": STAMP}


async def test_lines_of_the_plants_own_stay_and_those_of_nobody_are_asked_about() -> None:
    held = held_bom(*AS_WANTED, row(3, "GLUE-1", 1.0), row(4, None, 1.0))
    kept = PutBom(msgspec.structs.replace(BOM.bom, kept=Kept(prefixes=("GLUE",))))
    found = await seen(kept, [held], PRODUCTS, UNITS)
    assert isinstance(found, Present)
    assert found.equal
    unknown = PutBom(msgspec.structs.replace(BOM.bom, kept=Kept(others=())))
    found = await seen(unknown, [held], PRODUCTS, UNITS)
    with pytest.raises(Conflict, match="nothing on record tells"):
        DRIVER.write(step(unknown), found, "key")


async def test_a_base_quantity_is_not_changed_under_lines_of_the_plants_own() -> None:
    held = held_bom(*AS_WANTED, row(4, None, 1.0), base=10.0)
    found = await seen(BOM, [held], PRODUCTS, UNITS)
    with pytest.raises(Conflict, match=r"base quantity 10\.0, wanted 1"):
        DRIVER.write(step(BOM), found, "key")
    alone = await seen(BOM, [held_bom(*AS_WANTED, base=10.0)], PRODUCTS, UNITS)
    write = DRIVER.write(step(BOM), alone, "key")
    assert write is not None
    _, values, _ = msgspec.json.decode(write.request.body or b"")["params"]
    assert values == {"outputs": [["write", [9], {"product": 1, "quantity": 1.0, "unit": 1}]]}


async def test_a_bom_that_somebody_put_away_is_left_to_people() -> None:
    found = await seen(BOM, [held_bom(*AS_WANTED, active=False)], PRODUCTS, UNITS)
    with pytest.raises(Conflict, match="active: false"):
        DRIVER.write(step(BOM), found, "key")


async def test_a_component_that_tryton_lacks_is_named_before_anything_is_written() -> None:
    with pytest.raises(Rejected, match=r"product-missing.*WIRE-3"):
        await seen(BOM, [], PRODUCTS[:2])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fixed": True}, "line-fixed-unsupported"),
        ({"serials": SerialEffectivity("100", None)}, "line-effectivity-unsupported"),
    ],
)
def test_a_line_that_would_mean_another_thing_in_tryton_is_refused(
    fields: dict[str, Any], code: str
) -> None:
    odd = msgspec.structs.replace(line("10", "SEAL-7", "2"), **fields)
    with pytest.raises(Rejected, match=code):
        DRIVER.write(step(bom(odd)), Absent(), "key")


# --- suppliers and terms ---


async def test_a_supplier_that_is_deleted_and_unknown_is_not_made() -> None:
    gone = moved(SEALS, is_deleted=True, country="")
    found = await seen(gone, [])
    assert found == Present(equal=True)


async def test_a_country_that_tryton_lacks_is_refused() -> None:
    with pytest.raises(Rejected, match=r"country-missing.*DE"):
        await seen(SEALS, [], [])


# --- orders and contracts ---

COMPANY = [{"id": 1, "party.": {"id": 1, "code": "1000"}}]
KNOWN: tuple[Any, ...] = (
    COMPANY,
    [{"id": 2, "code": "17300001", "addresses.": [{"id": 5, "active": True}]}],
    [{"id": 1, "code": "EUR"}],
    [{"id": 2, "code": "SEAL-7"}, {"id": 4, "code": "PACK-2"}],
    UNITS[:1],
)


def purchase(state: str, *lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    told = {"id": 7, "reference": "PO-77", "number": "1", "state": state, "_timestamp": STAMP}
    party, currency = {"id": 2, "code": "17300001"}, {"id": 1, "code": "EUR"}
    return {**told, "party.": party, "currency.": currency, "lines.": lines} | fields


def bought(number: int, sequence: int, code: str, quantity: float, each: str) -> dict[str, Any]:
    return {
        "id": number,
        "_timestamp": STAMP,
        "type": "line",
        "sequence": sequence,
        "quantity": quantity,
        "unit.": {"id": 1, "symbol": "u"},
        "product.": {"id": 1, "code": code},
        "unit_price": {"__class__": "Decimal", "decimal": each},
        "delivery_date_store": {"__class__": "date", "year": 2027, "month": 3, "day": 1},
    }


AS_ORDERED = (bought(1, 10, "SEAL-7", 100.0, "4.2500"), bought(2, 20, "PACK-2", 5.0, "12"))
CHANGED = (bought(1, 10, "SEAL-7", 90.0, "4.25"), bought(2, 20, "PACK-2", 5.0, "12"))


@pytest.mark.parametrize(
    ("state", "lines", "buttons"),
    [
        ("draft", AS_ORDERED, ["quote", "confirm"]),
        ("quotation", AS_ORDERED, ["confirm"]),
        ("confirmed", AS_ORDERED, []),
        ("processing", AS_ORDERED, []),
        ("done", AS_ORDERED, []),
        ("draft", CHANGED, ["write", "quote", "confirm"]),
        ("quotation", CHANGED, ["draft", "write", "quote", "confirm"]),
        ("confirmed", CHANGED, ["draft", "write", "quote", "confirm"]),
    ],
)
async def test_an_order_is_brought_to_be_confirmed_from_any_state(
    state: str, lines: Sequence[dict[str, Any]], buttons: list[str]
) -> None:
    found = await seen(ORDER, *KNOWN, [purchase(state, *lines)])
    assert isinstance(found, Present)
    assert len(found.differences) == len(buttons)
    write = DRIVER.write(step(ORDER), found, "key")
    if not buttons:
        assert write is None
        return
    assert write is not None
    sent = msgspec.json.decode(write.request.body or b"")
    assert sent["method"] == f"model.purchase.purchase.{buttons[0]}"
    assert write.completes is (len(buttons) == 1)
    assert sent["params"][-1]["_timestamp"]["purchase.purchase,7"] == STAMP


@pytest.mark.parametrize("state", ["processing", "done"])
async def test_an_order_that_is_being_carried_out_is_changed_by_people(state: str) -> None:
    found = await seen(ORDER, *KNOWN, [purchase(state, *CHANGED)])
    with pytest.raises(Conflict, match=r"order-differs.*quantity: 90\.0, wanted 100"):
        DRIVER.write(step(ORDER), found, "key")
    gone = await seen(order(), COMPANY, [purchase(state, *CHANGED)])
    with pytest.raises(Conflict, match="wanted cancelled"):
        DRIVER.write(step(order()), gone, "key")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"state": "cancelled"}, "it is cancelled there"),
        ({"party.": {"id": 3, "code": "17300002"}}, "supplier: 17300002, wanted 17300001"),
        ({"currency.": {"id": 2, "code": "USD"}}, "currency: USD, wanted EUR"),
    ],
)
async def test_an_order_of_another_supplier_or_taken_back_there_is_left_to_people(
    fields: dict[str, Any], shown: str
) -> None:
    found = await seen(ORDER, *KNOWN, [purchase("draft", *AS_ORDERED) | fields])
    assert isinstance(found, Present)
    assert found.differences == (shown,)
    with pytest.raises(Conflict, match="order-differs"):
        DRIVER.write(step(ORDER), found, "key")


async def test_an_order_without_lines_that_was_never_known_is_not_made() -> None:
    assert await seen(order(), COMPANY, []) == Present(equal=True)
    assert DRIVER.write(step(order()), Absent(), "key") is None


async def test_what_an_order_names_and_tryton_lacks_is_refused_before_anything_is_made() -> None:
    with pytest.raises(Misconfigured, match=r"company-missing.*'1000'"):
        await seen(ORDER, [])
    with pytest.raises(Rejected, match="organisation-missing"):
        await seen(order(*ORDER.order.lines, organisation=""), [])
    with pytest.raises(Rejected, match=r"party-missing.*17300001"):
        await seen(ORDER, *KNOWN[:1], [])
    with pytest.raises(Rejected, match=r"currency-missing.*EUR"):
        await seen(ORDER, *KNOWN[:2], [])
    with pytest.raises(Rejected, match=r"product-missing.*PACK-2"):
        await seen(ORDER, *KNOWN[:3], KNOWN[3][:1])


ODD = ordered("10", "SEAL-7", "100", "4.25")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((msgspec.structs.replace(ODD, line="A"),), "line-unnumbered"),
        ((ODD, msgspec.structs.replace(ODD, line="010")), "line-twice"),
        (
            (
                msgspec.structs.replace(
                    ODD,
                    schedule=(
                        *ODD.schedule,
                        ScheduleLine(ODD.quantity, date(2027, 4, 1)),
                    ),
                ),
            ),
            "schedule-unsupported",
        ),
        ((msgspec.structs.replace(ODD, price=price("1", "1", "KGM")),), "price-unwritable"),
    ],
)
def test_an_order_that_a_purchase_cannot_be_is_refused(
    lines: tuple[OrderLine, ...], code: str
) -> None:
    with pytest.raises(Rejected, match=code):
        DRIVER.write(step(order(*lines)), Absent(), "key")


def agreement(state: str, *lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    first = {"__class__": "date", "year": 2026, "month": 1, "day": 1}
    last = {"__class__": "date", "year": 2027, "month": 12, "day": 31}
    told = {"id": 3, "reference": "C-9", "number": "1", "state": state, "_timestamp": STAMP}
    days = {"from_date": first, "to_date": last}
    supplier, currency = {"id": 2, "code": "17300001"}, {"id": 1, "code": "EUR"}
    parts = {"supplier.": supplier, "currency.": currency, "lines.": lines}
    return {**told, **days, **parts} | fields


AS_AGREED = (
    bought(1, 1, "SEAL-7", 1000.0, "4.1"),
    bought(2, 2, "PACK-2", 1.0, "11.5") | {"quantity": None},
)


@pytest.mark.parametrize(
    ("state", "lines", "buttons"),
    [
        ("draft", AS_AGREED, ["run"]),
        ("running", AS_AGREED, []),
        ("draft", AS_AGREED[:1], ["write", "run"]),
        ("running", AS_AGREED[:1], ["draft", "write", "run"]),
    ],
)
async def test_a_contract_is_brought_to_run_from_any_state(
    state: str, lines: Sequence[dict[str, Any]], buttons: list[str]
) -> None:
    found = await seen(CONTRACT, *KNOWN, [agreement(state, *lines)])
    assert isinstance(found, Present)
    assert len(found.differences) == len(buttons)
    write = DRIVER.write(step(CONTRACT), found, "key")
    assert (write is None) is (not buttons)
    if write is not None:
        sent = msgspec.json.decode(write.request.body or b"")
        assert sent["method"] == f"model.purchase.blanket_agreement.{buttons[0]}"


@pytest.mark.parametrize(
    ("status", "state", "button"),
    [
        ("suspended", "running", "draft"),
        ("suspended", "draft", None),
        ("ended", "running", "close"),
        ("ended", "closed", None),
        ("ended", "draft", None),
        ("draft", "running", "draft"),
    ],
)
async def test_on_a_contract_that_is_not_active_nothing_can_be_bought(
    status: ContractStatus, state: str, button: str | None
) -> None:
    put = contract(status=status)
    found = await seen(put, COMPANY, [agreement(state, *AS_AGREED)])
    write = DRIVER.write(step(put), found, "key")
    if button is None:
        assert write is None
        return
    assert write is not None
    method = msgspec.json.decode(write.request.body or b"")["method"]
    assert method == f"model.purchase.blanket_agreement.{button}"


async def test_a_contract_that_is_not_active_and_was_never_known_is_not_made() -> None:
    for status in ("suspended", "ended", "draft"):
        put = contract(status=status)
        assert await seen(put, COMPANY, []) == Present(equal=True)
        assert DRIVER.write(step(put), Absent(), "key") is None


async def test_an_agreement_that_somebody_closed_is_left_to_people() -> None:
    found = await seen(CONTRACT, *KNOWN, [agreement("closed", *AS_AGREED)])
    with pytest.raises(Conflict, match="it is closed there"):
        DRIVER.write(step(CONTRACT), found, "key")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), "contract-empty"),
        ((("", "1", None),), "line-without-item"),
        ((("SEAL-7", "1", None), ("SEAL-7", "2", None)), "item-twice"),
    ],
)
def test_a_contract_that_an_agreement_cannot_be_is_refused(
    lines: tuple[tuple[str, str, str | None], ...], code: str
) -> None:
    with pytest.raises(Rejected, match=code):
        DRIVER.write(step(contract(*lines)), Absent(), "key")


def test_a_price_finer_than_tryton_holds_is_refused() -> None:
    odd = terms("0.00125")
    with pytest.raises(Rejected, match="price-unwritable"):
        DRIVER.write(step(odd), Absent(), "key")


def test_what_is_not_sent_is_told_with_the_step() -> None:
    told = answered({"id": step(terms("1")).identity, "result": [1]})
    assert DRIVER.confirm(step(terms("1")), told).warnings == (
        "The contract of the terms of 17300001 for SEAL-7: not sent",
    )


def test_the_files_are_what_the_recorder_writes() -> None:
    assert {path.stem for path in Path(FOLDER).glob("*.json")} == {*STORIES, "refusals"}
