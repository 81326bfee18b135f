"""A purchase order as A_PurchaseOrder is to hold it, with what it has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import UNSET

from canonical.errors import Rejected
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine, order_key
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import PLACES, fits, price_in_erp
from handlers.systems.s4.buyers import buying_group
from handlers.systems.s4.compare import unpadded
from handlers.systems.s4.native import Children, PlacedItem, PlacedOrder, PlacedSchedule
from handlers.systems.s4.texts import CHARS, is_cut, short_text
from handlers.systems.s4.words import ORDER_TYPE, UNITS

_REFERENCE_CHARS = 12
_SUPPLIER_ITEM_CHARS = 35
_ITEM_CHARS = 5
# An item is read back in 1.0 kB and a schedule line in 0.7, and 2 MiB of an answer are taken. What
# could not be read back, could not be confirmed: it is not sent.
_MAX_ROWS = 2000


def reference(order: PurchaseOrder) -> str:
    """The number by which the order is found again.

    Raises: Rejected for one that the field cannot hold: the order would be placed once more with
        every try.
    """
    if len(order.number) <= _REFERENCE_CHARS:
        return order.number
    raise Rejected(
        "reference-too-long",
        f"The number {order.number} does not fit CorrespncInternalReference ({_REFERENCE_CHARS})",
        where=order_key(order.number),
        remedy="Give orders shorter numbers where they are placed",
    )


def wanted(order: PurchaseOrder, group: str, own: OwnWords) -> PlacedOrder:
    """The order with all items and their schedule lines. group: who buys.

    Raises: Rejected, naming the line, for what no order of the ERP can be; Misconfigured where
        nobody is named who buys.
    """
    items = wanted_items(order, own)
    kind = ORDER_TYPE.get(order.kind)
    if kind is None:
        raise _refused(
            order,
            "order-type-unmapped",
            f"Orders of type {order.kind} are in no table",
            "Map the type to one of the ERP's",
        )
    if not order.organisation:
        raise _refused(
            order,
            "organisation-missing",
            "The order does not say which purchasing organisation buys",
            "State it where the order is placed, or for the plant that it is for",
        )
    return PlacedOrder(
        PurchaseOrderType=kind,
        Supplier=order.supplier,
        PurchasingOrganization=order.organisation,
        PurchasingGroup=buying_group(
            group, (line.plant for line in order.lines), order_key(order.number)
        ),
        PurchaseOrderDate=odata.date_literal(order.ordered_on) if order.ordered_on else UNSET,
        DocumentCurrency=order.currency,
        CorrespncInternalReference=reference(order),
        to_PurchaseOrderItem=Children(items),
    )


def wanted_items(order: PurchaseOrder, own: OwnWords) -> tuple[PlacedItem, ...]:
    """The lines as items, in their order; none where everything was cancelled.

    Raises: as `wanted`.
    """
    items = tuple(_item(order, own, line) for line in order.lines)
    if len({item.PurchaseOrderItem for item in items}) < len(items):
        raise _refused(
            order, "line-twice", "Two lines have the same number", "Number the lines of the order"
        )
    rows = sum(1 + max(1, len(line.schedule)) for line in order.lines)
    if rows > _MAX_ROWS:
        raise _refused(
            order,
            "order-too-long",
            f"It has {rows} items and schedule lines; {_MAX_ROWS} can be confirmed",
            "Split the order",
        )
    return items


def scheduled(line: OrderLine) -> tuple[ScheduleLine, ...]:
    """What of the schedule is sent: all but what has quantity 0."""
    return tuple(on for on in line.schedule if on.quantity.value != 0)


def remarks(order: PurchaseOrder) -> tuple[str, ...]:
    """What of the order the target does not get."""
    return tuple(_remarks(order))


def _remarks(order: PurchaseOrder) -> Iterator[str]:
    if order.payment_terms:
        yield (
            f"The payment terms {order.payment_terms} are not sent: the ERP takes those that it"
            " has agreed with the supplier"
        )
    left_out = {
        f"Texts of items are cut to {CHARS} characters": [
            line for line in order.lines if is_cut(line.description)
        ],
        f"Numbers of the supplier longer than {_SUPPLIER_ITEM_CHARS} are left out": [
            line for line in order.lines if len(line.supplier_item) > _SUPPLIER_ITEM_CHARS
        ],
        "Revisions have no place in an order of the ERP": [
            line for line in order.lines if line.revision
        ],
        "Contracts are not sent: the ERP has numbers of its own for them": [
            line for line in order.lines if line.contract
        ],
        "Schedule lines without a quantity are not sent": [
            line for line in order.lines if len(scheduled(line)) < len(line.schedule)
        ],
    }
    for what, lines in left_out.items():
        if lines:
            yield f"{what}: line {', '.join(line.line for line in lines)}"


def _item(order: PurchaseOrder, own: OwnWords, line: OrderLine) -> PlacedItem:
    where = _where(order, line)
    unit = from_rec20(UNITS, line.quantity.unit, own.units, where=where)
    schedule = _schedule(order, line)
    if not line.item:
        raise _refused(
            order,
            "line-without-item",
            f"Line {line.line} orders a text, which needs an account that nobody has stated",
            "Order it in the ERP, or order a material",
            line,
        )
    if not line.plant:
        raise _refused(
            order,
            "plant-missing",
            f"Line {line.line} does not say for which plant it is",
            "State the plant where the order is placed",
            line,
        )
    priced = _price(order, own, line)
    too_long = len(line.supplier_item) > _SUPPLIER_ITEM_CHARS
    return PlacedItem(
        PurchaseOrderItem=_item_number(order, line),
        PurchaseOrderItemText=short_text(line.description) or UNSET,
        Plant=line.plant,
        # A part of it would name another article.
        SupplierMaterialNumber=UNSET if too_long else line.supplier_item or UNSET,
        OrderQuantity=_quantity(order, line, line.quantity.value),
        PurchaseOrderQuantityUnit=unit,
        OrderPriceUnit=priced.OrderPriceUnit,
        NetPriceAmount=priced.NetPriceAmount,
        NetPriceQuantity=priced.NetPriceQuantity,
        Material=line.item,
        to_ScheduleLine=Children(schedule) if schedule else UNSET,
    )


def _item_number(order: PurchaseOrder, line: OrderLine) -> str:
    number = unpadded(line.line)
    if number.isascii() and number.isdigit() and len(number) <= _ITEM_CHARS and number != "0":
        return number
    raise _refused(
        order,
        "line-not-representable",
        f"Line {line.line} has no number from 1 to 99999, by which suppliers could speak of it",
        "Number the lines of the order",
        line,
    )


def _price(order: PurchaseOrder, own: OwnWords, line: OrderLine) -> PlacedItem:
    """The fields of the price; none where the line states none, which leaves it to the ERP's own
    conditions."""
    price, where = line.price, _where(order, line)
    if price is None:
        return PlacedItem()
    if price.amount.currency != order.currency:
        raise _refused(
            order,
            "price-currency",
            f"Line {line.line} is priced in {price.amount.currency}, the order is in"
            f" {order.currency}: the ERP has one currency for both",
            "State the price in the currency of the order",
            line,
        )
    amount, per = price_in_erp(price, where=where)
    return PlacedItem(
        NetPriceAmount=format(amount, "f"),
        NetPriceQuantity=str(per),
        OrderPriceUnit=from_rec20(UNITS, price.per.unit, own.units, where=where),
    )


def _schedule(order: PurchaseOrder, line: OrderLine) -> tuple[PlacedSchedule, ...]:
    """The schedule lines, numbered; none where the order states none, which leaves the day to the
    ERP. Raises: Rejected where they are not the quantity of the line."""
    parts = scheduled(line)
    same_unit = all(part.quantity.unit == line.quantity.unit for part in parts)
    total = sum((part.quantity.value for part in parts), Decimal(0))
    if parts and not (same_unit and total == line.quantity.value):
        raise _refused(
            order,
            "schedule-differs",
            f"The schedule of line {line.line} is for {_in_words(parts)}, the line for"
            f" {line.quantity.value} {line.quantity.unit}",
            "State a schedule that comes to the quantity of its line, in its unit",
            line,
        )
    return tuple(
        PlacedSchedule(
            ScheduleLine=str(place),
            ScheduleLineDeliveryDate=odata.date_literal(part.on) if part.on else UNSET,
            ScheduleLineOrderQuantity=_quantity(order, line, part.quantity.value),
        )
        for place, part in enumerate(parts, start=1)
    )


def _quantity(order: PurchaseOrder, line: OrderLine, value: Decimal) -> str:
    if value > 0 and fits(value):
        return format(value, "f")
    raise _refused(
        order,
        "quantity-not-representable",
        f"{value} of line {line.line} is no quantity above 0 with {PLACES} decimals at most",
        "Order it in another unit, or take the line out of the order",
        line,
    )


def _in_words(parts: tuple[ScheduleLine, ...]) -> str:
    shown: list[Quantity] = [part.quantity for part in parts[:5]]
    return " + ".join(f"{one.value} {one.unit}" for one in shown) + (" ..." if parts[5:] else "")


def _where(order: PurchaseOrder, line: OrderLine | None) -> str:
    key = order_key(order.number)
    return f"{key}/{line.line}" if line is not None else key


def _refused(
    order: PurchaseOrder, code: str, what: str, remedy: str, line: OrderLine | None = None
) -> Rejected:
    return Rejected(
        code,
        f"Order {order.number} cannot be placed so: {what}",
        where=_where(order, line),
        remedy=remedy,
        owner="purchasing",
    )
