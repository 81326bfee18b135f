"""Purchase orders of procurement's as ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice, minor_digits
from canonical.order import OrderLine, OrderStatus, PurchaseOrder, ScheduleLine
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, parse_decimal
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.coupa import native
from handlers.systems.coupa.values import day_of, optional_id, unmapped
from handlers.systems.coupa.words import (
    BY_AMOUNT,
    EXTERNAL_ORDER,
    LINE_CANCELLED,
    ORDER_STATUS,
    UNITS,
)
from handlers.systems.timestamps import microseconds


def is_placed(order: native.Order) -> bool:
    """Whether the supplier has it, or had it before it was cancelled.

    Raises: InvalidMessage for a status that is in no table.
    """
    return _standing(order) is not None


def is_copy(order: native.Order, known: PurchaseOrder) -> bool:
    """Whether it is procurement's copy of an order that is on record as another system has it."""
    return order.type == EXTERNAL_ORDER and known.source_id != str(order.id)


def by_amount(order: native.Order) -> int:
    """How many lines are bought by amount: they have no quantity, so there is no place for them."""
    return sum(line.type == BY_AMOUNT for line in order.order_lines)


def to_order(order: native.Order, changed_at: datetime, own: OwnWords) -> PurchaseOrder:
    """The order, whole, as procurement had it then; one that is cancelled has no lines.

    Raises: InvalidMessage naming line and field.
    """
    currency = order.currency.code
    minor_digits(currency, where="currency")
    return PurchaseOrder(
        number=normalise_id(order.po_number, where="po-number"),
        version=microseconds(changed_at),
        supplier=normalise_id(order.supplier.number, where="supplier.number"),
        currency=currency,
        lines=tuple(_lines(order, currency, own)),
        payment_terms=normalise_text(
            order.payment_term.code if order.payment_term else "", where="payment-term.code"
        ),
        ordered_on=day_of(order.created_at, "created-at") if order.created_at else None,
        source_id=str(order.id),
        stated_at=changed_at,
        status=_standing(order) or "open",
    )


def _standing(order: native.Order) -> OrderStatus | None:
    """None where the supplier does not have it."""
    if order.status not in ORDER_STATUS:
        raise unmapped("order-status-unmapped", order.status, "status")
    return ORDER_STATUS[order.status]


def _lines(order: native.Order, currency: str, own: OwnWords) -> Iterator[OrderLine]:
    if _standing(order) == "cancelled":
        return
    address = order.ship_to_address
    plant = optional_id(address.location_code if address else None, "ship-to-address.location-code")
    for place, line in enumerate(order.order_lines):
        if line.status != LINE_CANCELLED and line.type != BY_AMOUNT:
            yield _to_line(line, plant, currency, own, f"order-lines[{place}]")


def _to_line(
    line: native.OrderLine, plant: str, currency: str, own: OwnWords, where: str
) -> OrderLine:
    if line.quantity is None or line.uom is None:
        raise InvalidMessage(
            "field-missing",
            "A line by quantity says neither how much nor of what unit",
            where=f"{where}.quantity",
            remedy="Send quantity and uom of the line",
        )
    unit = to_rec20(UNITS, line.uom.code, own.codes, where=f"{where}.uom")
    quantity = Quantity(parse_decimal(line.quantity, where=f"{where}.quantity"), unit)
    due = day_of(line.need_by_date, f"{where}.need-by-date") if line.need_by_date else None
    item, contract = line.item, line.contract
    return OrderLine(
        line=normalise_id(str(line.line_num), where=f"{where}.line-num"),
        item=optional_id(item.item_number if item else None, f"{where}.item.item-number"),
        quantity=quantity,
        price=_price(line, unit, currency, where),
        plant=plant,
        supplier_item=normalise_text(line.source_part_num or "", where=f"{where}.source-part-num"),
        description=normalise_text(line.description or "", where=f"{where}.description"),
        contract=optional_id(contract.number if contract else None, f"{where}.contract.number"),
        schedule=(ScheduleLine(quantity, due),) if due else (),
    )


def _price(line: native.OrderLine, unit: str, currency: str, where: str) -> UnitPrice | None:
    if line.price is None:
        return None
    amount = parse_decimal(line.price, where=f"{where}.price")
    money = Money(amount, line.currency.code if line.currency else currency)
    return UnitPrice(money, Quantity(Decimal(1), unit))
