"""Orders of another system as procurement's external orders, under their own number.

What procurement's order cannot say is refused; README.md lists what is not said at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from canonical.codec import encode
from canonical.connector import Absent, Confirmed, More, Observed, Present, Write
from canonical.errors import Conflict, InDoubt, InvalidMessage, Rejected
from canonical.exchange import Request, Response
from canonical.money import UnitPrice
from canonical.order import OrderLine, PurchaseOrder, order_key
from canonical.own_words import OwnWords
from canonical.quantity import (
    MAX_SCALE,
    Quantity,
    convert_exact,
    parse_decimal,
    plain_decimal,
    rounded,
)
from canonical.units import from_rec20
from handlers.systems import answers
from handlers.systems.coupa import native, pages, rest
from handlers.systems.coupa.pages import Row
from handlers.systems.coupa.values import day_of
from handlers.systems.coupa.words import (
    BY_QUANTITY,
    EXTERNAL_ORDER,
    LINE_CANCELLED,
    ORDER_CANCELLED,
    UNITS,
)

Compared = tuple[tuple[str, object, object], ...]

_PATH = "/api/purchase_orders"
_NUMBER_CHARS = 20
_TEXT_CHARS = 255


def observe(order: PurchaseOrder) -> Request:
    """The read by the order's number."""
    return rest.get(_PATH, ("po-number", order.number))


def read(order: PurchaseOrder, response: Response, own: OwnWords) -> Observed | More:
    """What procurement holds. An order without lines is cancelled there, or was never known.

    Raises: Rejected as `body_of`; Conflict where the number is that of another order, or of one
        that was cancelled.
    """
    listed = pages.List(
        observe(order),
        tuple[native.HeldOrder, ...],
        lambda held: held.po_number == order.number,
        partial(_compare, order, own),
    )
    return pages.read(listed, response)


def _compare(
    order: PurchaseOrder, own: OwnWords, found: tuple[Row[native.HeldOrder], ...]
) -> Observed:
    row = rest.only(found, order_key(order.number))
    if row is None:
        return Absent() if order.lines else Present(equal=True)
    held = row.value
    differences = tuple(_differences(order, held, own))
    return Present(
        equal=not differences,
        reference=str(held.id),
        differences=differences,
        native=encode(held),
    )


def write(order: PurchaseOrder, observed: Observed, key: str, own: OwnWords) -> Write:
    """The create, the cancellation, or the change of lines that differ."""
    if isinstance(observed, Absent):
        return rest.write("POST", _PATH, body_of(order, own), key)
    path = f"{_PATH}/{observed.reference}"
    if not order.lines:
        return rest.write("PUT", f"{path}/cancel", None, key)
    held = msgspec.json.decode(observed.native, type=native.HeldOrder)
    return rest.write("PUT", path, _change(order, held, own), key)


def confirm(order: PurchaseOrder, response: Response) -> Confirmed:
    """That procurement shows the order under its number, cancelled where it was to be."""
    written = rest.decoded(response, native.HeldOrder, wrote=True)
    rest.check(written.po_number or "", order.number)
    if not order.lines and written.status != ORDER_CANCELLED:
        shown = answers.printable(written.status or "no status")
        what = f"Procurement took the cancellation and shows {shown}"
        raise InDoubt("not-cancelled", what, where=order_key(order.number))
    return Confirmed(reference=str(written.id))


# --- what is wanted ---


def body_of(order: PurchaseOrder, own: OwnWords) -> native.OrderBody:
    """The order whole, as it is created; of what is not known nothing is said.

    Raises: Rejected for what an order of procurement's cannot say; UnknownUnit where it has no name
        for a unit.
    """
    where = order_key(order.number)
    return native.OrderBody(
        type=EXTERNAL_ORDER,
        po_number=rest.fitting(order.number, _NUMBER_CHARS, where),
        supplier=native.SupplierNumber(order.supplier),
        currency=native.Code(order.currency),
        payment_term=native.Code(order.payment_terms) if order.payment_terms else UNSET,
        ship_to_address=_ship_to(order),
        order_lines=tuple(_line(line, order, own) for line in order.lines),
    )


def _ship_to(order: PurchaseOrder) -> native.ShipTo | UnsetType:
    plants = {line.plant for line in order.lines}
    if len(plants) > 1:
        named = ", ".join(sorted(plant or "no plant" for plant in plants))
        raise _unsayable(
            "order-of-several-plants",
            f"Its lines are for {named}, and an order of procurement's goes to one address",
            order_key(order.number),
            "Order for each plant by itself",
        )
    plant = next(iter(plants), "")
    return native.ShipTo(plant) if plant else UNSET


def _line(line: OrderLine, order: PurchaseOrder, own: OwnWords) -> native.OrderLineBody:
    where = f"{order_key(order.number)} line {line.line}"
    unit, price, due = line.quantity.unit, line.price, _due(line, where)
    text = line.description or line.item
    return native.OrderLineBody(
        line_num=line.line,
        type=BY_QUANTITY,
        description=rest.fitting(text, _TEXT_CHARS, f"{where}: description") if text else UNSET,
        quantity=format(line.quantity.value, "f"),
        uom=native.Code(from_rec20(UNITS, unit, own.units, where=f"{where}: unit")),
        price=_price(price, unit, where) if price else UNSET,
        currency=native.Code(price.amount.currency if price else order.currency),
        item=native.ItemNumber(line.item) if line.item else UNSET,
        source_part_num=line.supplier_item or UNSET,
        need_by_date=due.isoformat() if due else UNSET,
        custom_fields=native.LineFields(line.revision) if line.revision else UNSET,
    )


def _price(price: UnitPrice, unit: str, where: str) -> str:
    """For one of the line's unit, which is all that procurement's price can be of; exact."""
    try:
        units = convert_exact(Quantity(Decimal(1), unit), price.per.unit)
    except InvalidMessage as error:
        raise _unsayable(
            "price-unit-foreign",
            f"The price is per {price.per.unit}, and nothing says how much of that a {unit} is",
            f"{where}: price",
            "Order in the unit of the price, or state the price in that of the order",
        ) from error
    exact = units * Fraction(price.amount.amount) / Fraction(price.per.value)
    amount = rounded(exact, MAX_SCALE, where=f"{where}: price")
    if Fraction(amount) != exact:
        raise _unsayable(
            "price-inexact",
            f"{price.amount.amount} per {price.per.value} {price.per.unit} is no price of one"
            f" {unit} with {MAX_SCALE} decimals",
            f"{where}: price",
            "Agree on a price that can be said for one unit, or order in another unit",
        )
    return format(plain_decimal(amount), "f")


def _due(line: OrderLine, where: str) -> date | None:
    """The one day on which all of it is due; None where none is stated."""
    due = {part.on for part in line.schedule}
    if not due - {None}:
        return None
    units = {part.quantity.unit for part in line.schedule}
    amount = sum(part.quantity.value for part in line.schedule)
    if len(due) > 1 or units != {line.quantity.unit} or amount != line.quantity.value:
        raise _unsayable(
            "schedule-in-parts",
            "It comes in parts, and a line of procurement's is due on one day",
            f"{where}: schedule",
            "Order each part on a line of its own",
        )
    return due.pop()


def _unsayable(code: str, what: str, where: str, remedy: str) -> Rejected:
    return Rejected(code, what, where=where, remedy=remedy, owner="procurement")


# --- what is held ---


def _differences(order: PurchaseOrder, held: native.HeldOrder, own: OwnWords) -> Iterator[str]:
    """What differs, for people. Raises: as `read`."""
    _refuse_another(order, held)
    if not order.lines:
        yield from rest.differing((("status", held.status or "", ORDER_CANCELLED),))
        return
    if held.status == ORDER_CANCELLED:
        raise _another(order, "order-cancelled", "was cancelled, and is on order again")
    wanted = body_of(order, own)
    yield from rest.differing(_compared_head(wanted, held))
    lines, left = _paired(wanted, held)
    for line, its in lines:
        if its is None:
            yield f"line {line.line_num}: none, wanted one"
        else:
            found = _line_differences(line, its, own)
            yield from (f"line {line.line_num} {said}" for said in found)
    yield from (f"line {_plain(its.line_num)}: one, wanted none" for its in left)


def _refuse_another(order: PurchaseOrder, held: native.HeldOrder) -> None:
    if held.type not in (None, EXTERNAL_ORDER):
        raise _another(order, "order-of-procurement", "is an order of its own")
    supplier = (held.supplier.number if held.supplier else None) or ""
    if supplier != order.supplier:
        what = f"is with supplier {answers.printable(supplier)}, not {order.supplier}"
        raise _another(order, "order-differs", what)
    currency = held.currency.code if held.currency else ""
    if currency != order.currency:
        what = f"is in {answers.printable(currency)}, not {order.currency}"
        raise _another(order, "order-differs", what)


def _another(order: PurchaseOrder, code: str, what: str) -> Conflict:
    return Conflict(
        code,
        f"Order {order.number} of procurement's {what}",
        where=order_key(order.number),
        remedy="Find out which of the two orders counts; the supplier may have both",
    )


def _compared_head(wanted: native.OrderBody, held: native.HeldOrder) -> Compared:
    found: list[tuple[str, object, object]] = []
    if wanted.payment_term is not UNSET:
        term = held.payment_term.code if held.payment_term else ""
        found.append(("payment-term", term, wanted.payment_term.code))
    if wanted.ship_to_address is not UNSET:
        place = held.ship_to_address.location_code if held.ship_to_address else None
        found.append(("ship-to-address", place or "", wanted.ship_to_address.location_code))
    return tuple(found)


Pair = tuple[native.OrderLineBody, native.HeldLine | None]


def _paired(
    wanted: native.OrderBody, held: native.HeldOrder
) -> tuple[list[Pair], list[native.HeldLine]]:
    """Each line that is wanted with the one that is held under its number, and those that are held
    besides."""
    assert wanted.order_lines is not UNSET
    left = [line for line in held.order_lines if line.status != LINE_CANCELLED]
    pairs: list[Pair] = []
    for line in wanted.order_lines:
        its = next((one for one in left if _plain(one.line_num) == _plain(line.line_num)), None)
        if its is not None:
            left.remove(its)
        pairs.append((line, its))
    return pairs, left


def _plain(number: str | int | UnsetType | None) -> str:
    return str(number).strip().lstrip("0")


def _line_differences(
    wanted: native.OrderLineBody, held: native.HeldLine, own: OwnWords
) -> tuple[str, ...]:
    assert wanted.uom is not UNSET
    fields = held.custom_fields or native.LineFields()
    compared = (
        ("quantity", _decimal(held.quantity), _decimal(wanted.quantity)),
        ("uom", rest.unit_of(held.uom, own), rest.unit_of(wanted.uom, own)),
        ("price", _decimal(held.price), _decimal(wanted.price)),
        ("currency", _code(held.currency), _code(wanted.currency)),
        ("item", held.item.item_number if held.item else "", _item(wanted)),
        ("description", held.description or "", wanted.description),
        ("source-part-num", held.source_part_num or "", wanted.source_part_num),
        ("need-by-date", _day(held.need_by_date), wanted.need_by_date),
        ("revision", fields.revision or "", _revision(wanted)),
    )
    return rest.differing(tuple(row for row in compared if row[2]))


def _decimal(text: str | UnsetType | None) -> str:
    """One spelling of the number; the text itself where it is none."""
    if not text:
        return ""
    try:
        return format(parse_decimal(text), "f")
    except InvalidMessage:
        return text


def _day(text: str | None) -> str:
    try:
        return day_of(text, "need-by-date").isoformat() if text else ""
    except InvalidMessage:
        return text or ""


def _code(code: native.Code | UnsetType | None) -> str:
    return code.code if code else ""


def _item(line: native.OrderLineBody) -> str:
    return line.item.item_number if line.item else ""


def _revision(line: native.OrderLineBody) -> str:
    return (line.custom_fields.revision or "") if line.custom_fields else ""


def _change(order: PurchaseOrder, held: native.HeldOrder, own: OwnWords) -> native.OrderBody:
    """What of the head differs, and the lines that do: whole, new ones without an id."""
    wanted = body_of(order, own)
    head = {name for name, is_held, said in _compared_head(wanted, held) if is_held != said}
    pairs, left = _paired(wanted, held)
    lines = [
        line if its is None else msgspec.structs.replace(line, id=its.id)
        for line, its in pairs
        if its is None or _line_differences(line, its, own)
    ]
    lines += [native.OrderLineBody(id=its.id, delete=True) for its in left]
    return native.OrderBody(
        payment_term=wanted.payment_term if "payment-term" in head else UNSET,
        ship_to_address=wanted.ship_to_address if "ship-to-address" in head else UNSET,
        order_lines=tuple(lines) if lines else UNSET,
    )
