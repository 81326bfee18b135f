"""Cells of a table that are not written as they should be are told by row and column, and taken."""

from __future__ import annotations

import tomllib

from canonical.effects import Emit
from canonical.envelope import MAX_DEVIATIONS, Deviation, Message
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.table.inbound import handler_of
from tests.fixtures.gearbox import NOW, RULES

ORDERS = """
name = "orders"
kinds = ["orders"]
event = "purchase-order.changed"
[csv]
delimiter = "|"
[units]
names = "rec20"
[units.words]
Hof = "HAR"
[fields]
number = "PO"
supplier = "Vendor"
currency = "Curr"
stated_at = "At"
lines.line = "Item"
lines.item = "Part"
lines.quantity.value = "Qty"
lines.quantity.unit = "Unit"
"""
HEAD = "PO|Vendor|Curr|At|Item|Part|Qty|Unit"
NO_COLON = Deviation('row 2, column "At"', "The offset of the time has no colon")
GIVEN_UP = "The unit HAR (hectare) is deprecated in Recommendation 20"

_, HANDLER = handler_of(tomllib.loads(ORDERS), "orders.toml")


def read(*rows: str) -> Message[object]:
    return HANDLER.read(Delivery("erp", "orders", "\n".join((HEAD, *rows)).encode()))


def said(*rows: str) -> object:
    (event,) = HANDLER.decide(read(*rows), Facts(RULES), NOW)
    assert isinstance(event, Emit)
    return event.data


def test_an_offset_without_colon_is_told_with_its_cell_and_the_same_time() -> None:
    odd, plain = (f"1|S-1|EUR|2026-03-02T09:00:00{o}|10|P|5|H87" for o in ("+0100", "+01:00"))
    assert read(odd).deviations == (NO_COLON,)
    assert read(plain).deviations == ()
    assert said(odd) == said(plain)


def test_a_unit_that_is_given_up_is_told_by_its_code_and_by_a_word_for_it() -> None:
    rows = [
        f"1|S-1|EUR|2026-03-02T08:00:00Z|{line}|P|5|{unit}"
        for line, unit in ((10, "HAR"), (20, "H87"), (30, "hof"))
    ]
    assert read(*rows).deviations == (
        Deviation('row 2, column "Unit"', GIVEN_UP),
        Deviation('row 4, column "Unit"', GIVEN_UP),
    )


def test_a_cell_that_cannot_be_understood_is_refused_and_no_deviation() -> None:
    message = read("1|S-1|EUR|2026-03-02T08:00:00|10|P|5|nonsense")
    assert message.deviations == ()


def test_very_many_are_told_by_the_first_ones() -> None:
    rows = (f"1|S-1|EUR|2026-03-02T08:00:00Z|{line}|P|5|HAR" for line in range(300))
    assert len(read(*rows).deviations) == MAX_DEVIATIONS
