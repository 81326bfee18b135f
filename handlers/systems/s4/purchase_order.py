"""A_PurchaseOrder as it was read back: the order as it stands with the supplier."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from canonical.money import Money, UnitPrice, minor_digits
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.text import received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import Order, OrderItem
from handlers.systems.s4.values import (
    day,
    key,
    key_or_none,
    number,
    prose,
    referred,
    unit,
    version,
)
from handlers.systems.s4.words import DELETED, NOT_PLACED


def is_placed(order: Order) -> bool:
    """Whether the supplier has the order as it stands here: it is complete, and nobody has to
    approve it any more."""
    return (
        order.ReleaseIsNotCompleted is not True
        and order.PurchasingCompletenessStatus is not True
        and order.PurchasingProcessingStatus not in NOT_PLACED
    )


def referred_order(order: Order) -> str:
    """The number elsewhere of the order that it says it is, "" where it says nothing of that."""
    return referred(order.CorrespncInternalReference, order.PurchaseOrder)


def to_order(order: Order, read_at: datetime, own: OwnWords) -> PurchaseOrder:
    """The order, whole: what is deleted, and what goes back to the supplier, is not on order.

    Raises: InvalidMessage naming item and field.
    """
    currency = text_of(order.DocumentCurrency)
    minor_digits(currency, where="DocumentCurrency")
    return PurchaseOrder(
        number=key(order.PurchaseOrder, where="PurchaseOrder"),
        version=version(
            order.LastChangeDateTime,
            order.CreationDate,
            read_at=read_at,
            where="LastChangeDateTime, CreationDate",
        ),
        supplier=key_or_none(order.Supplier, where="Supplier"),
        currency=currency,
        lines=tuple(_to_line(item, currency, own) for item in _on_order(order)),
        organisation=prose(order.PurchasingOrganization, where="PurchasingOrganization"),
        kind=prose(order.PurchaseOrderType, where="PurchaseOrderType"),
        payment_terms=prose(order.PaymentTerms, where="PaymentTerms"),
        ordered_on=day(order.PurchaseOrderDate, where="PurchaseOrderDate"),
        source_id=received_id(text_of(order.PurchaseOrder), where="PurchaseOrder"),
        stated_at=read_at,
    )


def _on_order(order: Order) -> Iterator[OrderItem]:
    if order.PurchasingDocumentDeletionCode in DELETED:
        return
    for item in order.to_PurchaseOrderItem.results:
        if item.PurchasingDocumentDeletionCode not in DELETED and item.IsReturnsItem is not True:
            yield item


def _to_line(item: OrderItem, currency: str, own: OwnWords) -> OrderLine:
    line = key(item.PurchaseOrderItem, where="PurchaseOrderItem")
    where = f"item {line}"
    ordered_in = unit(
        item.PurchaseOrderQuantityUnit, own, where=f"{where}: PurchaseOrderQuantityUnit"
    )
    ordered = number(item.OrderQuantity, where=f"{where}: OrderQuantity")
    return OrderLine(
        line=line,
        item=key_or_none(item.Material, where=f"{where}: Material"),
        quantity=Quantity(ordered, ordered_in),
        price=_price(item, currency, ordered_in, own, where),
        plant=prose(item.Plant, where=f"{where}: Plant"),
        supplier_item=prose(item.SupplierMaterialNumber, where=f"{where}: SupplierMaterialNumber"),
        description=prose(item.PurchaseOrderItemText, where=f"{where}: PurchaseOrderItemText"),
        contract=key_or_none(item.PurchaseContract, where=f"{where}: PurchaseContract"),
        schedule=tuple(_schedule(item, ordered_in, where)),
    )


def _price(
    item: OrderItem, currency: str, ordered_in: str, own: OwnWords, where: str
) -> UnitPrice | None:
    """NetPriceAmount for NetPriceQuantity of OrderPriceUnit; None where no price is told. A price
    quantity of 0 stands for 1."""
    if not text_of(item.NetPriceAmount):
        return None
    amount = number(item.NetPriceAmount, where=f"{where}: NetPriceAmount")
    per = number(item.NetPriceQuantity, where=f"{where}: NetPriceQuantity")
    priced_in = ordered_in
    if text_of(item.OrderPriceUnit):
        priced_in = unit(item.OrderPriceUnit, own, where=f"{where}: OrderPriceUnit")
    money = Money(amount, text_of(item.DocumentCurrency) or currency)
    return UnitPrice(money, Quantity(per or Decimal(1), priced_in))


def _schedule(item: OrderItem, ordered_in: str, where: str) -> Iterator[ScheduleLine]:
    """Schedule lines are in the item's order unit."""
    for line in item.to_ScheduleLine.results:
        at = f"{where}, schedule line {printable(text_of(line.ScheduleLine)[:10])}"
        amount = number(line.ScheduleLineOrderQuantity, where=f"{at}: ScheduleLineOrderQuantity")
        on = day(line.ScheduleLineDeliveryDate, where=f"{at}: ScheduleLineDeliveryDate")
        yield ScheduleLine(Quantity(amount, ordered_in), on)
