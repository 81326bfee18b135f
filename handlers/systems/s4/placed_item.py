"""Items of a purchase order with their schedule lines: how what the ERP holds becomes what is
wanted, call by call."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET

from canonical.own_words import OwnWords
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import quotient, same_price
from handlers.systems.s4.compare import (
    Difference,
    differing,
    in_words,
    same_date,
    same_number,
    same_text,
    same_unit,
    text_of,
    unpadded,
)
from handlers.systems.s4.native import PlacedItem, PlacedSchedule
from handlers.systems.s4.read_back import ORDER_SERVICE as SERVICE

_PRICE = ("NetPriceAmount", "NetPriceQuantity", "OrderPriceUnit")


def added(order: str, item: PlacedItem) -> Difference:
    """The create of an item that the order does not have. order: the ERP's number."""
    path = odata.address(SERVICE, "A_PurchaseOrder", PurchaseOrder=order)
    what = f"Item {text_of(item.PurchaseOrderItem)}: missing, wanted {text_of(item.Material)}"
    return Difference((what,), odata.post(f"{path}/to_PurchaseOrderItem", item))


def cancelled(row: PlacedItem) -> Difference:
    """The deletion of an item: it stays, with a deletion code."""
    what = f"Item {text_of(row.PurchaseOrderItem)}: {text_of(row.Material)}, wanted none"
    return Difference((what,), odata.delete(_address(row), odata.etag_of(row)))


def changed(item: PlacedItem, own: OwnWords, row: PlacedItem) -> Iterator[Difference]:
    """What of an item differs; the schedule comes first, since its sum is the quantity."""
    # Nothing where the order states no schedule: the days are the ERP's then.
    lines = item.to_ScheduleLine.results if item.to_ScheduleLine is not UNSET else ()
    held = odata.expanded(row.to_ScheduleLine, "to_ScheduleLine") if lines else ()
    pairs = _paired(lines, held)
    yield from _schedule(row, lines, held, pairs)
    fields = _changed_fields(item, own, row)
    at = f"Item {text_of(row.PurchaseOrderItem)} "
    what = [at + in_words(name, getattr(row, name), fields[name]) for name in fields]
    if "OrderQuantity" not in fields and not _keeps_quantities(lines, held, pairs):
        # While the lines change one after the other the quantity follows each of them; whether it
        # has come to the right one is seen after the last.
        quantity = text_of(item.OrderQuantity)
        fields["OrderQuantity"] = quantity
        what.append(f"{at}OrderQuantity: the sum of its schedule lines, wanted {quantity}")
    if fields:
        body = msgspec.convert(fields, PlacedItem)
        yield Difference(tuple(what), odata.patch(_address(row), body, odata.etag_of(row)))


def _changed_fields(item: PlacedItem, own: OwnWords, row: PlacedItem) -> dict[str, str]:
    rules = {
        "OrderQuantity": same_number,
        "Plant": same_text,
        "PurchaseOrderItemText": same_text,
        "SupplierMaterialNumber": same_text,
    }
    fields = {name: text_of(getattr(item, name)) for name in differing(item, row, rules)}
    if item.NetPriceAmount is not UNSET and not _has_price(item, own, row):
        # A price is one statement: its parts are never changed alone.
        fields |= {name: text_of(getattr(item, name)) for name in _PRICE}
    return fields


def _has_price(item: PlacedItem, own: OwnWords, row: PlacedItem) -> bool:
    held, want = (
        (text_of(price.NetPriceAmount), text_of(price.NetPriceQuantity)) for price in (row, item)
    )
    # Without a unit of its own the price is for the order unit.
    unit = text_of(row.OrderPriceUnit) or text_of(row.PurchaseOrderQuantityUnit)
    return same_price(held, want) and same_unit(unit, text_of(item.OrderPriceUnit), own)


# --- schedule lines ---


def _schedule(
    row: PlacedItem,
    lines: Sequence[PlacedSchedule],
    held: Sequence[PlacedSchedule],
    pairs: Mapping[int, int],
) -> Iterator[Difference]:
    """New lines first and deletions last: an item always has one."""
    at = f"Item {text_of(row.PurchaseOrderItem)}, schedule line"
    free = max((_number(line) for line in held), default=0)
    for place, line in enumerate(lines):
        if place not in pairs:
            free += 1
            what = f"{at} {free}: missing, wanted {text_of(line.ScheduleLineOrderQuantity)}"
            body = msgspec.structs.replace(line, ScheduleLine=str(free))
            yield Difference((what,), odata.post(f"{_address(row)}/to_ScheduleLine", body))
    for place, own in pairs.items():
        yield from _moved(lines[place], held[own], at)
    for place, line in enumerate(held):
        if place not in pairs.values():
            what = f"{at} {_number(line)}: {text_of(line.ScheduleLineOrderQuantity)}, wanted none"
            yield Difference((what,), odata.delete(_line_address(line), odata.etag_of(line)))


def _keeps_quantities(
    lines: Sequence[PlacedSchedule], held: Sequence[PlacedSchedule], pairs: Mapping[int, int]
) -> bool:
    return len(lines) == len(held) and not any(
        differing(lines[place], held[own], {"ScheduleLineOrderQuantity": same_number})
        for place, own in pairs.items()
    )


def _paired(lines: Sequence[PlacedSchedule], held: Sequence[PlacedSchedule]) -> dict[int, int]:
    """Places of the lines wanted -> those held: what is there as it is wanted, then by day, the
    rest in their order. A line without a day takes any."""
    dated = [at for at, line in enumerate(lines) if text_of(line.ScheduleLineDeliveryDate)]
    undated = [at for at, line in enumerate(lines) if not text_of(line.ScheduleLineDeliveryDate)]
    found: dict[int, int] = {}
    for key, asked in (
        (_day_and_quantity, dated),
        (_quantity, undated),
        (_day, dated),
        (_anything, range(len(lines))),
    ):
        taken = set(found.values())
        free: dict[object, deque[int]] = {}
        for place, row in enumerate(held):
            if place not in taken:
                free.setdefault(key(row), deque()).append(place)
        for at in asked:
            if at not in found and (places := free.get(key(lines[at]))):
                found[at] = places.popleft()
    return found


def _day(line: PlacedSchedule) -> object:
    text = text_of(line.ScheduleLineDeliveryDate)
    return odata.parse_date(text) or text


def _quantity(line: PlacedSchedule) -> object:
    return quotient(text_of(line.ScheduleLineOrderQuantity), "1")


def _day_and_quantity(line: PlacedSchedule) -> object:
    return _day(line), _quantity(line)


def _anything(line: PlacedSchedule) -> object:
    return True


def _moved(line: PlacedSchedule, held: PlacedSchedule, at: str) -> Iterator[Difference]:
    rules = {"ScheduleLineDeliveryDate": same_date, "ScheduleLineOrderQuantity": same_number}
    fields = {name: text_of(getattr(line, name)) for name in differing(line, held, rules)}
    if fields:
        shown = (in_words(name, getattr(held, name), fields[name]) for name in fields)
        what = tuple(f"{at} {_number(held)} {words}" for words in shown)
        body = msgspec.convert(fields, PlacedSchedule)
        yield Difference(what, odata.patch(_line_address(held), body, odata.etag_of(held)))


def _number(line: PlacedSchedule) -> int:
    """0 for what is none: numbers of new lines go on from the highest."""
    text = unpadded(text_of(line.ScheduleLine))
    return int(text[:4]) if text.isascii() and text.isdigit() else 0


def _address(row: PlacedItem) -> str:
    return odata.address(
        SERVICE,
        "A_PurchaseOrderItem",
        PurchaseOrder=text_of(row.PurchaseOrder),
        PurchaseOrderItem=text_of(row.PurchaseOrderItem),
    )


def _line_address(line: PlacedSchedule) -> str:
    return odata.address(
        SERVICE,
        "A_PurchaseOrderScheduleLine",
        PurchasingDocument=text_of(line.PurchasingDocument),
        PurchasingDocumentItem=text_of(line.PurchasingDocumentItem),
        ScheduleLine=text_of(line.ScheduleLine),
    )
