"""Purchase orders as A_PurchaseOrder, with items and schedule lines.

The ERP numbers its orders itself: an order that was placed elsewhere is known there by its number
as "our reference".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from canonical.connector import Absent, More, Observed, Present
from canonical.errors import Conflict, Misconfigured, SuspectedDuplicate
from canonical.exchange import Request, Response
from canonical.order import PurchaseOrder, order_key
from canonical.own_words import OwnWords
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import (
    Difference,
    in_words,
    present,
    same_id,
    same_unit,
    text_of,
    unpadded,
)
from handlers.systems.s4.native import PlacedItem, PlacedOrder, PlacedSchedule, Written
from handlers.systems.s4.order_wanted import reference, wanted, wanted_items
from handlers.systems.s4.placed_item import added, cancelled, changed
from handlers.systems.s4.read_back import ORDER_SERVICE as SERVICE
from handlers.systems.s4.words import DELETED

_ORDERS = "A_PurchaseOrder"
_NUMBER_CHARS = 10
# Of the header: written only.
_UNREAD = frozenset({"PurchaseOrderType", "PurchasingGroup", "PurchaseOrderDate"})
# Everything of an item and its schedule line is 4.5 kB and more; what is read of them, 1.7.
_OPTIONS = {
    "expand": "to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine",
    "select": ",".join(
        (
            *(name for name in odata.fields(PlacedOrder) if name not in _UNREAD),
            *(f"to_PurchaseOrderItem/{name}" for name in odata.fields(PlacedItem)),
            *(
                f"to_PurchaseOrderItem/to_ScheduleLine/{name}"
                for name in odata.fields(PlacedSchedule)
            ),
        )
    ),
}


def observe(order: PurchaseOrder) -> Request:
    """The read of the order, whole, by our number."""
    asked = odata.equals(CorrespncInternalReference=reference(order))
    return odata.get(odata.address(SERVICE, _ORDERS), filter=asked, **_OPTIONS)


def read(order: PurchaseOrder, own: OwnWords, response: Response) -> Observed | More:
    """What the target holds as this order.

    Where nothing there refers to it, and its number could be one of the ERP's, the next call looks
    there: an order of the ERP's own that comes back from elsewhere must not be placed again.
    """
    found = [
        held
        for held in odata.read_all(response, PlacedOrder)
        if text_of(held.CorrespncInternalReference).strip() == order.number
    ]
    if found:
        return _observed(order, own, _only(order, found))
    if not _could_be_of_the_erp(order.number):
        return _absent(order)
    path = odata.address(SERVICE, _ORDERS, PurchaseOrder=order.number)
    return More(odata.get(path, **_OPTIONS), partial(_read_by_number, order, own))


def create(order: PurchaseOrder, group: str, own: OwnWords) -> Request:
    """The create of header, items and schedule lines in one call; group: who buys."""
    return odata.post(odata.address(SERVICE, _ORDERS), wanted(order, group, own))


def check_written(order: PurchaseOrder, response: Response) -> str:
    """The order's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    number = text_of(written.PurchaseOrder) or text_of(written.PurchasingDocument)
    if not number or not _is_about(order, written):
        raise odata.about_another("purchase order", number, "PurchaseOrder")
    return number


def differences(order: PurchaseOrder, own: OwnWords, held: PlacedOrder) -> tuple[Difference, ...]:
    """The writes that are missing, in their order: new items, changed ones, then those that are
    cancelled, so that an order is never empty on the way.

    Of the header nothing is changed: supplier, organisation and currency make it another order,
    and the rest is the buyers'.
    """
    if held.PurchasingDocumentDeletionCode in DELETED:
        if not order.lines:
            return ()
        name = "PurchasingDocumentDeletionCode"
        return (_conflict(order, in_words(name, getattr(held, name), "")),)
    if other := next(_header(order, held), None):
        return (_conflict(order, in_words(*other)),)
    rows = {
        unpadded(text_of(row.PurchaseOrderItem)): row
        for row in odata.expanded(held.to_PurchaseOrderItem, "to_PurchaseOrderItem")
    }
    return tuple(_items(order, own, held, rows))


def _items(
    order: PurchaseOrder, own: OwnWords, held: PlacedOrder, rows: Mapping[str, PlacedItem]
) -> Iterator[Difference]:
    asked = wanted_items(order, own)
    items = {unpadded(text_of(item.PurchaseOrderItem)): item for item in asked}
    for number, item in items.items():
        if number not in rows:
            yield added(text_of(held.PurchaseOrder), item)
    for number, item in items.items():
        if row := rows.get(number):
            shown = _unchangeable(item, own, row)
            yield from [_conflict(order, shown)] if shown else changed(item, own, row)
    for number, row in rows.items():
        # What goes back to the supplier is the plant's own.
        if number not in items and _is_on_order(row):
            yield cancelled(row)


def _is_on_order(row: PlacedItem) -> bool:
    return row.PurchasingDocumentDeletionCode not in DELETED and row.IsReturnsItem is not True


def _unchangeable(item: PlacedItem, own: OwnWords, row: PlacedItem) -> str:
    """Why a person has to change the item; "" where the driver may."""
    at = f"Item {text_of(item.PurchaseOrderItem)} "
    if row.PurchasingDocumentDeletionCode in DELETED:
        # The service sets the code and has no way to take it back.
        name = "PurchasingDocumentDeletionCode"
        return at + in_words(name, getattr(row, name), "")
    if row.IsReturnsItem is True:
        return at + in_words("IsReturnsItem", "true", "false")
    if not same_id(text_of(row.Material), text_of(item.Material)):
        return at + in_words("Material", row.Material, item.Material)
    name = "PurchaseOrderQuantityUnit"
    if not same_unit(text_of(getattr(row, name)), text_of(getattr(item, name)), own):
        # Quantity, schedule and price would be wrong until the last of them was written.
        return at + in_words(name, getattr(row, name), getattr(item, name))
    return ""


def _header(order: PurchaseOrder, held: PlacedOrder) -> Iterator[tuple[str, str, str]]:
    """Fields of the header that are another's: name, what is held, what is wanted."""
    supplier = text_of(held.Supplier)
    if not same_id(supplier, order.supplier):
        yield "Supplier", supplier, order.supplier
    if text_of(held.DocumentCurrency) != order.currency:
        yield "DocumentCurrency", text_of(held.DocumentCurrency), order.currency
    organisation = text_of(held.PurchasingOrganization)
    if order.organisation and organisation != order.organisation:
        yield "PurchasingOrganization", organisation, order.organisation


# --- which order is meant ---


def _absent(order: PurchaseOrder) -> Observed:
    """Of an order that was cancelled before it came here nothing has to be there."""
    return Absent() if order.lines else Present(equal=True)


def _observed(order: PurchaseOrder, own: OwnWords, held: PlacedOrder) -> Present:
    return present(held, held.PurchaseOrder, differences(order, own, held))


def _only(order: PurchaseOrder, found: Sequence[PlacedOrder]) -> PlacedOrder:
    """The order that refers to ours; one that is deleted counts where there is no other."""
    alive = [held for held in found if held.PurchasingDocumentDeletionCode not in DELETED]
    candidates = alive or found
    if len(candidates) > 1:
        numbers = ", ".join(text_of(held.PurchaseOrder) for held in candidates[:5])
        raise SuspectedDuplicate(
            "order-ambiguous",
            f"{len(candidates)} orders of the ERP refer to {order.number}: {numbers}",
            where=order_key(order.number),
            remedy="Delete all but one in the ERP, then release the step again",
            owner="purchasing",
        )
    return candidates[0]


def _could_be_of_the_erp(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= _NUMBER_CHARS


def _read_by_number(order: PurchaseOrder, own: OwnWords, response: Response) -> Observed:
    """The order that has our number as its own, if it is the same one.

    Numbers of two systems meet by chance: an order of another supplier is another one. What has the
    supplier and no item in common may be either, and a person says so by its reference.
    """
    held = odata.read_one(response, PlacedOrder)
    if held is None:
        return _absent(order)
    if not same_id(text_of(held.PurchaseOrder), order.number):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for order {order.number}, answered about another one",
            where="PurchaseOrder",
        )
    if not same_id(text_of(held.Supplier), order.supplier):
        return _absent(order)
    if _is_same(order, held):
        return _observed(order, own, held)
    if text_of(held.CorrespncInternalReference).strip():
        return _absent(order)
    raise SuspectedDuplicate(
        "order-number-taken",
        f"The ERP has an order {order.number} of the same supplier, with other items",
        where=order_key(order.number),
        remedy="Enter this number as our reference there if it is the same order, any other text"
        " if it is not, then release the step again",
        owner="purchasing",
    )


def _is_same(order: PurchaseOrder, held: PlacedOrder) -> bool:
    """Whether the lines that both have are of the same materials, and they have some."""
    rows = odata.expanded(held.to_PurchaseOrderItem, "to_PurchaseOrderItem")
    materials = {unpadded(text_of(row.PurchaseOrderItem)): text_of(row.Material) for row in rows}
    both = [line for line in order.lines if unpadded(line.line) in materials]
    return bool(both) and all(same_id(materials[unpadded(line.line)], line.item) for line in both)


def _is_about(order: PurchaseOrder, written: Written) -> bool:
    if refers := text_of(written.CorrespncInternalReference).strip():
        return refers == order.number
    item = text_of(written.PurchaseOrderItem) or text_of(written.PurchasingDocumentItem)
    return any(same_id(item, line.line) for line in order.lines)


def _conflict(order: PurchaseOrder, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "order-differs",
            f"Order {order.number} cannot be changed so from here: {shown}",
            where=order_key(order.number),
            remedy="Settle it with purchasing in the ERP, then release the step again",
        ),
    )
