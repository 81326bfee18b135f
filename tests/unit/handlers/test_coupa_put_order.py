"""Orders of another system in procurement: what is written, exactly, and what is refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Confirmed, Present
from canonical.effects import Step
from canonical.errors import Conflict, InDoubt, Rejected, SuspectedDuplicate
from canonical.exchange import Request, Response
from canonical.money import Money, UnitPrice
from canonical.operations import PutOrder
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.quantity import Quantity
from canonical.units import UnknownUnit
from handlers.systems.coupa.outbound import DRIVER

JSON = {"content-type": "application/json"}


def pieces(amount: str, unit: str = "H87") -> Quantity:
    return Quantity(Decimal(amount), unit)


def price(amount: str, per: str = "1", unit: str = "H87", currency: str = "EUR") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), pieces(per, unit))


def line(number: str = "10", **stated: Any) -> OrderLine:
    plain = OrderLine(
        number,
        "SEAL-7",
        pieces("500"),
        price("25.00", "1000"),
        plant="1010",
        revision="B",
        supplier_item="S-9",
        description="Shaft seal",
        contract="4600000012",
        schedule=(ScheduleLine(pieces("500"), date(2026, 9, 22)),),
    )
    return msgspec.structs.replace(plain, **stated)


def order(*lines: OrderLine, **stated: Any) -> PurchaseOrder:
    plain = PurchaseOrder(
        "4500000028",
        7,
        "17300001",
        "EUR",
        lines or (line(),),
        organisation="1010",
        kind="NB",
        payment_terms="NT30",
        ordered_on=date(2026, 3, 1),
        total=Money(Decimal("12.50"), "EUR"),
    )
    return msgspec.structs.replace(plain, **stated)


CANCELLED = order(lines=())
LINE: dict[str, Any] = {
    "line-num": "10",
    "type": "OrderQuantityLine",
    "description": "Shaft seal",
    "quantity": "500",
    "uom": {"code": "EA"},
    "price": "0.025",
    "currency": {"code": "EUR"},
    "item": {"item-number": "SEAL-7"},
    "source-part-num": "S-9",
    "need-by-date": "2026-09-22",
    "custom-fields": {"revision": "B"},
}
BODY: dict[str, Any] = {
    "type": "ExternalOrderHeader",
    "po-number": "4500000028",
    "supplier": {"number": "17300001"},
    "currency": {"code": "EUR"},
    "payment-term": {"code": "NT30"},
    "ship-to-address": {"location-code": "1010"},
    "order-lines": [LINE],
}
HELD = BODY | {"id": 5, "status": "issued", "order-lines": [LINE | {"id": 51}]}


def step_of(wanted: PurchaseOrder) -> Step:
    return Step("", "procurement", "purchase-order", wanted.number, PutOrder(wanted))


def answer(body: object, status: int = 200) -> Response:
    return Response(status, JSON, msgspec.json.encode(body))


def read(wanted: PurchaseOrder, *listed: object) -> Any:
    return DRIVER.read(step_of(wanted), answer(listed))


def next_write(wanted: PurchaseOrder, seen: Any) -> Request:
    write = DRIVER.write(step_of(wanted), seen, "key-1")
    assert write is not None
    assert write.completes
    return write.request


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def created(*lines: OrderLine, **stated: Any) -> dict[str, Any]:
    """What is written of an order that procurement does not have."""
    return body_of(next_write(order(*lines, **stated), Absent()))


def changed(wanted: PurchaseOrder, held: object = HELD) -> dict[str, Any]:
    """What is written of one that it has."""
    request = next_write(wanted, read(wanted, held))
    assert (request.method, request.path) == ("PUT", "/api/purchase_orders/5")
    return body_of(request)


# --- orders that are created ---


def test_an_order_is_asked_for_by_its_number() -> None:
    asked = DRIVER.observe(step_of(order()))
    assert (asked.method, asked.path, asked.query, asked.effectful) == (
        "GET",
        "/api/purchase_orders",
        (("po-number", "4500000028"), ("order_by", "id"), ("dir", "asc"), ("limit", "50")),
        False,
    )


def test_an_unknown_order_is_created_whole_as_an_external_one() -> None:
    seen = read(order(), HELD | {"po-number": "45000000280"}, HELD | {"po-number": None})
    assert seen == Absent()
    request = next_write(order(), seen)
    assert (request.method, request.path) == ("POST", "/api/purchase_orders")
    assert body_of(request) == BODY


def test_what_is_not_known_is_not_written() -> None:
    bare = OrderLine("10", "", pieces("5"), description="Repair")
    assert created(bare, payment_terms="") == {
        "type": "ExternalOrderHeader",
        "po-number": "4500000028",
        "supplier": {"number": "17300001"},
        "currency": {"code": "EUR"},
        "order-lines": [
            {
                "line-num": "10",
                "type": "OrderQuantityLine",
                "description": "Repair",
                "quantity": "5",
                "uom": {"code": "EA"},
                "currency": {"code": "EUR"},
            }
        ],
    }


def test_a_line_without_a_text_is_called_by_its_item() -> None:
    assert created(line(description=""))["order-lines"][0]["description"] == "SEAL-7"


@pytest.mark.parametrize(
    ("stated", "unit", "written"),
    [
        (price("25.00", "1000"), "H87", "0.025"),
        (price("12.50"), "H87", "12.5"),
        (price("100"), "H87", "100"),
        (price("0"), "H87", "0"),
        (price("0.001", "1000"), "H87", "0.000001"),
        (price("3.00", "1", "KGM"), "GRM", "0.003"),
        (price("2.00", "100", "GRM"), "KGM", "20"),
    ],
)
def test_a_price_is_for_one_of_the_unit_that_is_ordered_and_exact(
    stated: UnitPrice, unit: str, written: str
) -> None:
    body = created(line(price=stated, quantity=pieces("500", unit), schedule=()))
    assert body["order-lines"][0]["price"] == written


def test_a_line_is_in_the_currency_of_its_price() -> None:
    (written,) = created(line(price=price("1", currency="USD")))["order-lines"]
    assert written["currency"] == {"code": "USD"}


def test_parts_that_are_due_on_one_day_are_due_then() -> None:
    day = date(2026, 9, 22)
    parts = (ScheduleLine(pieces("200"), day), ScheduleLine(pieces("300"), day))
    assert created(line(schedule=parts))["order-lines"][0]["need-by-date"] == "2026-09-22"


# --- what procurement cannot hold ---

DAY, LATER = date(2026, 9, 22), date(2026, 9, 23)


@pytest.mark.parametrize(
    ("wanted", "code", "where"),
    [
        (order(number="4" * 21), "text-too-long", ""),
        (order(line(description="s" * 256)), "text-too-long", " line 10: description"),
        (order(line(), line("20", plant="2010")), "order-of-several-plants", ""),
        (order(line(), line("20", plant="")), "order-of-several-plants", ""),
        (order(line(price=price("1", "3"))), "price-inexact", " line 10: price"),
        (order(line(price=price("0.001", "10000"))), "price-inexact", " line 10: price"),
        (order(line(price=price("1", "1", "KGM"))), "price-unit-foreign", " line 10: price"),
        (
            order(line(schedule=(ScheduleLine(pieces("500", "SET"), DAY),))),
            "schedule-in-parts",
            " line 10: schedule",
        ),
        (
            order(line(schedule=(ScheduleLine(pieces("200"), DAY),))),
            "schedule-in-parts",
            " line 10: schedule",
        ),
        (
            order(
                line(
                    schedule=(
                        ScheduleLine(pieces("200"), DAY),
                        ScheduleLine(pieces("300"), LATER),
                    )
                )
            ),
            "schedule-in-parts",
            " line 10: schedule",
        ),
        (
            order(line(schedule=(ScheduleLine(pieces("200"), DAY), ScheduleLine(pieces("300"))))),
            "schedule-in-parts",
            " line 10: schedule",
        ),
    ],
)
def test_what_procurement_cannot_hold_is_refused_before_anything_is_sent(
    wanted: PurchaseOrder, code: str, where: str
) -> None:
    with pytest.raises(Rejected) as refused:
        next_write(wanted, Absent())
    assert refused.value.code == code
    assert refused.value.where == f"purchase-order/{wanted.number}{where}"
    with pytest.raises(Rejected, match=code):
        read(wanted, HELD | {"po-number": wanted.number})


def test_a_unit_without_a_name_in_procurement_is_refused_with_its_line() -> None:
    with pytest.raises(UnknownUnit) as refused:
        created(line(quantity=pieces("500", "A12"), price=None, schedule=()))
    assert refused.value.where == "purchase-order/4500000028 line 10: unit"


# --- orders that are changed ---


def test_what_procurement_has_already_is_not_written_again() -> None:
    spelt_otherwise = LINE | {
        "id": 51,
        "line-num": 10,
        "quantity": "500.0",
        "price": "0.025000",
        "uom": {"code": "PC"},
        "need-by-date": "2026-09-22T00:00:00-07:00",
    }
    seen = read(order(), HELD | {"order-lines": [spelt_otherwise]})
    assert (seen.equal, seen.reference, seen.differences) == (True, "5", ())


def test_lines_that_differ_are_written_whole_new_ones_added_and_others_taken_away() -> None:
    held = HELD | {
        "payment-term": {"code": "NT60"},
        "order-lines": [
            LINE | {"id": 51},
            LINE | {"id": 52, "line-num": "20", "quantity": "7"},
            LINE | {"id": 53, "line-num": "30"},
            LINE | {"id": 54, "line-num": "40", "status": "cancelled"},
        ],
    }
    wanted = order(line(), line("20"), line("40"))
    assert read(wanted, held).differences == (
        "payment-term: NT60, wanted NT30",
        "line 20 quantity: 7, wanted 500",
        "line 40: none, wanted one",
        "line 30: one, wanted none",
    )
    assert changed(wanted, held) == {
        "payment-term": {"code": "NT30"},
        "order-lines": [
            LINE | {"id": 52, "line-num": "20"},
            LINE | {"line-num": "40"},
            {"id": 53, "_delete": True},
        ],
    }


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quantity", "5", "quantity: 5, wanted 500"),
        ("quantity", None, "quantity: , wanted 500"),
        ("price", "25", "price: 25, wanted 0.025"),
        ("uom", {"code": "KG"}, "uom: KGM, wanted H87"),
        ("currency", {"code": "USD"}, "currency: USD, wanted EUR"),
        ("item", {"item-number": "SEAL-8"}, "item: SEAL-8, wanted SEAL-7"),
        ("need-by-date", "soon", "need-by-date: soon, wanted 2026-09-22"),
        ("custom-fields", {"revision": "A"}, "revision: A, wanted B"),
        ("source-part-num", None, "source-part-num: , wanted S-9"),
    ],
)
def test_a_field_that_differs_is_told_with_its_line(field: str, value: object, said: str) -> None:
    seen = read(order(), HELD | {"order-lines": [LINE | {"id": 51, field: value}]})
    assert seen.differences == (f"line 10 {said}",)


def test_another_place_is_written_without_the_lines() -> None:
    held = HELD | {"ship-to-address": {"location-code": "2010"}}
    assert changed(order(), held) == {"ship-to-address": {"location-code": "1010"}}


# --- orders that are cancelled ---


def test_an_order_without_lines_is_cancelled() -> None:
    seen = read(CANCELLED, HELD)
    assert seen.differences == ("status: issued, wanted cancelled",)
    request = next_write(CANCELLED, seen)
    assert (request.method, request.path, request.body) == (
        "PUT",
        "/api/purchase_orders/5/cancel",
        None,
    )
    cancelled = HELD | {"status": "cancelled"}
    assert DRIVER.confirm(step_of(CANCELLED), answer(cancelled)) == Confirmed("5")
    assert read(CANCELLED, cancelled).equal


def test_an_order_that_was_never_known_is_cancelled_already() -> None:
    assert read(CANCELLED) == Present(equal=True)


def test_a_cancellation_that_does_not_show_is_in_doubt() -> None:
    with pytest.raises(InDoubt, match="not-cancelled"):
        DRIVER.confirm(step_of(CANCELLED), answer(HELD))


# --- another order ---


@pytest.mark.parametrize(
    ("held", "code"),
    [
        ({"type": "OrderHeader"}, "order-of-procurement"),
        ({"supplier": {"number": "17300002"}}, "order-differs"),
        ({"supplier": {"number": None}}, "order-differs"),
        ({"currency": {"code": "USD"}}, "order-differs"),
        ({"status": "cancelled"}, "order-cancelled"),
    ],
)
def test_an_order_that_cannot_be_made_what_is_wanted_is_a_conflict(
    held: dict[str, Any], code: str
) -> None:
    with pytest.raises(Conflict) as refused:
        read(order(), HELD | held)
    assert (refused.value.code, refused.value.where) == (code, "purchase-order/4500000028")


def test_one_number_with_two_orders_is_a_suspected_duplicate() -> None:
    with pytest.raises(SuspectedDuplicate, match="number-used-twice"):
        read(order(), HELD, HELD | {"id": 6})


def test_a_write_is_confirmed_by_the_number() -> None:
    assert DRIVER.confirm(step_of(order()), answer(HELD, 201)) == Confirmed("5")
    with pytest.raises(Conflict, match="answer-about-another"):
        DRIVER.confirm(step_of(order()), answer(HELD | {"po-number": "PO-77"}, 201))


def test_a_refusal_names_field_and_reason() -> None:
    refusal = answer({"errors": {"account": ["can't be blank"]}}, 422)
    with pytest.raises(Rejected) as refused:
        DRIVER.confirm(step_of(order()), refusal)
    assert refused.value.what == "Status 422, account can't be blank"


# --- both together ---

numbers = st.sampled_from(["10", "20", "30"])
order_lines = st.builds(
    line,
    numbers,
    item=st.sampled_from(["SEAL-7", "HOSE"]),
    quantity=st.sampled_from(["1", "2.5", "500"]).map(pieces),
    price=st.none() | st.sampled_from([price("25", "1000"), price("0.5"), price("1", "8")]),
    description=st.sampled_from(["", "Seal"]),
    supplier_item=st.sampled_from(["", "S-9"]),
    revision=st.sampled_from(["", "A"]),
    schedule=st.just(()),
)
orders = st.lists(order_lines, min_size=1, max_size=3, unique_by=lambda one: one.line).map(
    lambda lines: order(*lines)
)


def kept(held: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The order as procurement has it after the write."""
    lines = {one["id"]: one for one in held.get("order-lines", [])}
    for one in body.get("order-lines", []):
        key = one.get("id", max(lines, default=0) + 1)
        lines[key] = lines.get(key, {}) | one | {"id": key}
    left = [one for one in lines.values() if not one.get("_delete")]
    return held | body | {"id": 5, "order-lines": left}


@given(orders, orders)
def test_what_was_written_reads_back_as_equal_and_a_change_reaches_it(
    first: PurchaseOrder, second: PurchaseOrder
) -> None:
    held = kept({}, body_of(next_write(first, Absent())))
    assert read(first, held).equal
    seen = read(second, held)
    if not seen.equal:
        held = kept(held, body_of(next_write(second, seen)))
    assert read(second, held).equal
