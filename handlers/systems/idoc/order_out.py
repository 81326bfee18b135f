"""Purchase orders and their confirmations into ORDERS05, as `orders` reads them."""

from __future__ import annotations

from collections.abc import Iterator

from canonical.money import UnitPrice
from canonical.order import (
    ConfirmedLine,
    OrderConfirmation,
    OrderLine,
    PurchaseOrder,
    ScheduleLine,
    confirmation_key,
    order_key,
)
from canonical.quantity import Quantity
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.values import day_text, decimal_text, padded
from handlers.systems.idoc.words import (
    ACTIONS,
    ADDED,
    DELETED,
    ITEM_OF_BUYER,
    ITEM_OF_SUPPLIER,
    NET_VALUE,
    ORDER_OF_BUYER,
    ORDER_OF_SUPPLIER,
    ORDERED_ON,
    PURCHASING_ORGANISATION,
    SUPPLIER,
    TAKEN_BACK,
)
from handlers.systems.idoc.writing import inexpressible, materials, segment, unit_text

# SAP writes the number of a line with so many digits.
_LINE_CHARS = 5


def to_order(order: PurchaseOrder) -> tuple[Segment, ...]:
    """The segments of an ORDERS: each line is said to be new, as SAP says it.

    Raises: InvalidMessage, naming order, line, segment and field, for what a field cannot say.
    """
    return tuple(_order(order, ADDED))


def to_change(order: PurchaseOrder) -> tuple[Segment, ...]:
    """The segments of an ORDCHG. What happened to a line is not said: only what is now is known.

    Raises: as `to_order`.
    """
    return tuple(_order(order, ""))


def to_confirmation(confirmation: OrderConfirmation) -> tuple[Segment, ...]:
    """The segments of an ORDRSP.

    Raises: as `to_order`.
    """
    return tuple(_confirmation(confirmation))


def _order(order: PurchaseOrder, action: str) -> Iterator[Segment]:
    about = order_key(order.number)
    fields = {
        "ACTION": TAKEN_BACK if order.status == "cancelled" else "",
        "CURCY": order.currency,
        "ZTERM": order.payment_terms,
        "BSART": order.kind,
        "BELNR": order.number,
    }
    yield segment(about, "E1EDK01", fields)
    if order.organisation:
        fields = {"QUALF": PURCHASING_ORGANISATION, "ORGID": order.organisation}
        yield segment(about, "E1EDK14", fields)
    if order.ordered_on:
        fields = {"IDDAT": ORDERED_ON, "DATUM": day_text(order.ordered_on)}
        yield segment(about, "E1EDK03", fields)
    yield from _supplier(about, order.supplier)
    yield _reference(about, ORDER_OF_BUYER, order.number)
    for line in order.lines:
        yield _line(f"{about} line {line.line}", line, order.currency, action)
    if order.total:
        total = order.total
        fields = {
            "SUMID": NET_VALUE,
            "SUMME": decimal_text(total.amount),
            "SUNIT": total.currency,
        }
        yield segment(about, "E1EDS01", fields)


def _confirmation(confirmation: OrderConfirmation) -> Iterator[Segment]:
    about = confirmation_key(confirmation.order)
    fields = {"CURCY": confirmation.currency, "BELNR": confirmation.reference}
    yield segment(about, "E1EDK01", fields)
    yield from _supplier(about, confirmation.supplier)
    yield _reference(about, ORDER_OF_BUYER, confirmation.order)
    if confirmation.reference:
        yield _reference(about, ORDER_OF_SUPPLIER, confirmation.reference)
    for line in confirmation.lines:
        yield _confirmed(f"{about} line {line.line}", line, confirmation)


def _supplier(about: str, number: str) -> Iterator[Segment]:
    if number:
        yield segment(about, "E1EDKA1", {"PARVW": SUPPLIER, "PARTN": number, "LIFNR": number})


def _reference(about: str, whose: str, number: str) -> Segment:
    return segment(about, "E1EDK02", {"QUALF": whose, "BELNR": number})


def _line(about: str, line: OrderLine, currency: str, action: str) -> Segment:
    fields = {
        "POSEX": padded(line.line, _LINE_CHARS),
        "ACTION": action,
        **_quantity(about, line.quantity),
        **_price(about, line.price, currency),
        "WERKS": line.plant,
    }
    return segment(
        about,
        "E1EDP01",
        fields,
        *_schedule(about, line.schedule, line.quantity, ("WMENG",)),
        *_items(about, line.item, line.supplier_item, line.description),
    )


def _confirmed(about: str, line: ConfirmedLine, confirmation: OrderConfirmation) -> Segment:
    """What is promised stands in both quantities of a day: readers differ in which they take."""
    number = padded(line.line, _LINE_CHARS)
    fields = {
        "POSEX": number,
        "ACTION": _action(line),
        **_quantity(about, line.quantity),
        **_price(about, line.price, confirmation.currency),
    }
    reference = {"QUALF": ORDER_OF_BUYER, "BELNR": confirmation.order, "ZEILE": number}
    return segment(
        about,
        "E1EDP01",
        fields,
        segment(about, "E1EDP02", reference),
        *_schedule(about, line.schedule, line.quantity, ("WMENG", "AMENG")),
        *_items(about, line.item, line.supplier_item, ""),
    )


def _action(line: ConfirmedLine) -> str:
    """The supplier's own word where it is one of IDocs; else what tells that it is rejected."""
    if line.stated_as in ACTIONS:
        return line.stated_as
    return next(iter(DELETED)) if line.status == "rejected" else ""


def _quantity(about: str, quantity: Quantity) -> dict[str, str]:
    unit = unit_text(quantity.unit, f"{about}: E1EDP01 MENEE")
    return {"MENGE": decimal_text(quantity.value), "MENEE": unit}


def _price(about: str, price: UnitPrice | None, currency: str) -> dict[str, str]:
    if price is None:
        return {}
    own = price.amount.currency
    return {
        "PMENE": unit_text(price.per.unit, f"{about}: E1EDP01 PMENE"),
        "VPREI": decimal_text(price.amount.amount),
        "PEINH": decimal_text(price.per.value),
        "CURCY": own if own != currency else "",
    }


def _schedule(
    about: str, schedule: tuple[ScheduleLine, ...], of: Quantity, fields: tuple[str, ...]
) -> Iterator[Segment]:
    for line in schedule:
        if line.quantity.unit != of.unit:
            what = f"a delivery in {line.quantity.unit} of a line in {of.unit}"
            raise inexpressible(what, f"{about}: E1EDP20 {fields[0]}")
        amounts = dict.fromkeys(fields, decimal_text(line.quantity.value))
        yield segment(about, "E1EDP20", {**amounts, "EDATU": day_text(line.on)})


def _items(about: str, ours: str, theirs: str, text: str) -> Iterator[Segment]:
    """Numbers of the material, the buyer's with the text; where a text is ordered, it alone."""
    if ours or text:
        fields = {"QUALF": ITEM_OF_BUYER, **materials("E1EDP19", "IDTNR", ours), "KTEXT": text}
        yield segment(about, "E1EDP19", fields)
    if theirs:
        yield segment(about, "E1EDP19", {"QUALF": ITEM_OF_SUPPLIER, "IDTNR": theirs})
