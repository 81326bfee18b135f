"""Orders as the procurement stand-in keeps them: lines change by their ids, the rest is checked."""

from __future__ import annotations

from typing import Any

import pytest

from ops.sandbox.procurement_orders import check_order, written_order
from ops.sandbox.refusal import Refused

LINE: dict[str, Any] = {
    "line-num": "10",
    "type": "OrderQuantityLine",
    "description": "Repair",
    "quantity": "5",
    "uom": {"code": "EA"},
    "price": "0.025",
    "currency": {"code": "EUR"},
}
SECOND = LINE | {"line-num": "20"}


def order(*lines: Any, number: str = "PO-1") -> Any:
    return {"po-number": number, "order-lines": list(lines)}


def test_lines_of_a_new_order_are_numbered() -> None:
    written = written_order({"status": "issued", "order-lines": []}, order(LINE, SECOND))
    assert written == {
        "status": "issued",
        "po-number": "PO-1",
        "order-lines": [{"id": 1} | LINE, {"id": 2} | SECOND],
    }


def test_lines_are_changed_taken_away_and_added_and_the_others_stay() -> None:
    held = order({"id": 1} | LINE, {"id": 2} | SECOND, {"id": 3} | LINE)
    change: Any = {"order-lines": [{"id": 1, "quantity": "7"}, {"id": 2, "_delete": True}, SECOND]}
    assert written_order(held, change)["order-lines"] == [
        {"id": 1} | LINE | {"quantity": "7"},
        {"id": 3} | LINE,
        {"id": 4} | SECOND,
    ]


def test_a_line_that_the_order_does_not_have_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        written_order(order({"id": 1} | LINE), order({"id": 9, "quantity": "7"}))
    assert (refused.value.status, refused.value.text) == (422, "has no line 9")


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (order(LINE, number=""), "po-number"),
        (order(LINE, number="4" * 21), "po-number"),
        (order(), "order-lines"),
        (order(LINE, LINE), "line-num"),
        (order(LINE | {"description": ""}), "description"),
        (order({k: v for k, v in LINE.items() if k != "price"}), "price"),
        (order(LINE | {"price": "0.0000001"}), "price"),
        (order(LINE | {"quantity": "-1"}), "quantity"),
        (order(LINE | {"quantity": "NaN"}), "quantity"),
        (order(LINE | {"uom": {"code": "PCE"}}), "uom"),
        (order(LINE | {"item": {"item-number": "HOSE"}}), "item"),
    ],
)
def test_an_order_that_the_suite_cannot_place_is_refused_by_field(row: Any, field: str) -> None:
    with pytest.raises(Refused) as refused:
        check_order(row, {"EA"}, {"SEAL"})
    assert (refused.value.status, refused.value.target) == (422, field)


def test_an_order_of_what_is_known_is_taken() -> None:
    check_order(order(LINE | {"item": {"item-number": "SEAL"}}, SECOND), {"EA"}, {"SEAL"})
