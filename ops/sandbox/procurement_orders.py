"""What the procurement stand-in keeps of an order of another system, and what it refuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal, InvalidOperation
from typing import cast

from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Record

NUMBER_CHARS = 20


def written_order(held: Record, change: Record) -> Record:
    """The order after the change: lines with an id are changed or taken away, others are new.

    Raises: Refused 422 for a line that the order does not have.
    """
    lines = {cast(int, line["id"]): line for line in _lines(held)}
    for line in _lines(change):
        number = cast("int | None", line.get("id"))
        if number is not None and number not in lines:
            raise Refused(422, "", f"has no line {number}", "order-lines")
        if line.get("_delete"):
            del lines[cast(int, number)]
            continue
        place = number or max(lines, default=0) + 1
        lines[place] = {"id": place} | lines.get(place, {}) | line
    return held | change | {"order-lines": list(lines.values())}


def check_order(row: Record, units: Set[str], items: Set[str]) -> None:
    """Raises: Refused 422 for what the suite does not know or cannot do without."""
    number = str(row["po-number"])
    if not 0 < len(number) <= NUMBER_CHARS:
        raise Refused(422, "", f"is not 1 to {NUMBER_CHARS} characters long", "po-number")
    if not _lines(row):
        raise Refused(422, "", "can't be blank", "order-lines")
    numbers = [line.get("line-num") for line in _lines(row)]
    if len(set(numbers)) < len(numbers):
        raise Refused(422, "", "has already been taken", "line-num")
    for line in _lines(row):
        _check_line(line, units, items)


def _check_line(line: Record, units: Set[str], items: Set[str]) -> None:
    for field in ("line-num", "type", "description", "quantity", "uom", "price", "currency"):
        if not line.get(field):
            raise Refused(422, "", "can't be blank", field)
    for field in ("quantity", "price"):
        if not _is_amount(str(line[field])):
            raise Refused(422, "", "is not a number of 0 or more with 6 decimals at most", field)
    unit = cast(Mapping[str, str], line["uom"])["code"]
    if unit not in units:
        raise Refused(422, "", f"{unit} is not a unit of measure here", "uom")
    item = cast(Mapping[str, str], line.get("item") or {}).get("item-number")
    if item is not None and item not in items:
        raise Refused(422, "", f"{item} does not exist", "item")


def _is_amount(text: str) -> bool:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return False
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -6 and amount >= 0


def _lines(order: Record) -> list[Record]:
    return cast("list[Record]", order.get("order-lines") or [])
