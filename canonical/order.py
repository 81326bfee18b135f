"""Purchase orders as the buying system states them, and what suppliers confirm of them."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.money import Money, UnitPrice
from canonical.quantity import Quantity

ConfirmationStatus = Literal["accepted", "changed", "backordered", "rejected"]
# closed: nothing more is expected of it, delivered or not. cancelled: it was taken back.
OrderStatus = Literal["open", "closed", "cancelled"]


class ScheduleLine(msgspec.Struct, frozen=True, gc=False):
    """So much on a day. on: day of delivery at the plant; None where no day is stated."""

    quantity: Quantity
    on: date | None = None


class OrderLine(msgspec.Struct, frozen=True, gc=False):
    """One item of an order.

    line: its number without padding. item: ours; "" where a text is ordered. price: None where none
    is stated. plant: that it is for. revision: label, where the order asks for one.
    """

    line: str
    item: str
    quantity: Quantity
    price: UnitPrice | None = None
    plant: str = ""
    revision: str = ""
    supplier_item: str = ""
    description: str = ""
    contract: str = ""
    schedule: tuple[ScheduleLine, ...] = ()


class PurchaseOrder(msgspec.Struct, frozen=True):
    """An order, whole, as it is now.

    version: grows with every statement about it. organisation: that buys. total: as stated, never
    computed. source_id: the document's number as the source writes it. origin: system that states
    it; on record, the one that stated it first.
    """

    number: str
    version: Int64
    supplier: str
    currency: str
    lines: tuple[OrderLine, ...]
    organisation: str = ""
    kind: str = ""
    payment_terms: str = ""
    ordered_on: date | None = None
    total: Money | None = None
    source_id: str = ""
    stated_at: Instant | None = None
    status: OrderStatus = "open"
    origin: str | UnsetType = UNSET


class ConfirmedLine(msgspec.Struct, frozen=True, gc=False):
    """What a supplier says of one line.

    line: of our order. quantity: as the supplier took it down; schedule: what he promises, which
    may be less. item, supplier_item, price: "" and None where he does not repeat them. stated_as:
    his own word.
    """

    line: str
    status: ConfirmationStatus
    quantity: Quantity
    schedule: tuple[ScheduleLine, ...] = ()
    item: str = ""
    supplier_item: str = ""
    price: UnitPrice | None = None
    stated_as: str = ""


class OrderConfirmation(msgspec.Struct, frozen=True):
    """What a supplier confirms of an order; a later one takes the place of an earlier one.

    order: our number. supplier: "" where the message does not say; reference: his number for it.
    """

    order: str
    version: Int64
    lines: tuple[ConfirmedLine, ...]
    supplier: str = ""
    reference: str = ""
    currency: str = ""
    stated_at: Instant | None = None

    @property
    def status(self) -> ConfirmationStatus:
        """Of the whole: the worst of what its lines say; rejected only where all of them are."""
        words = {line.status for line in self.lines}
        if words == {"rejected"}:
            return "rejected"
        if words == {"accepted"}:
            return "accepted"
        return "backordered" if "backordered" in words else "changed"


class OrderedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of an open order as a decision is asked about it.

    on: the first day of delivery that is meant; None where none is stated. value: of the quantity;
    None where no price is stated for its unit. disposition: what the PLM wants done with what is on
    order, in its own words.
    """

    order: str
    line: str
    item: str
    supplier: str
    quantity: Quantity
    revision: str = ""
    plant: str = ""
    on: date | None = None
    value: Money | None = None
    disposition: str = ""


class OpenOrders(msgspec.Struct, frozen=True):
    """Orders that are open and have a line for one item, as they were last stated.

    more: how many further ones there are, which are not among them.
    """

    orders: tuple[PurchaseOrder, ...]
    more: int = 0


# unknown: the order is not on record. as-it-was: in all that a decision is asked about.
LineNow = Literal["unknown", "as-it-was", "changed", "gone"]


def line_now(asked: OrderedLine, order: PurchaseOrder | None) -> LineNow:
    """What has become of an order line since a decision was asked about it, as its system states
    the order now. Prices are no part of it."""
    if order is None:
        return "unknown"
    line = next((one for one in order.lines if one.line == asked.line), None)
    if order.status != "open" or line is None:
        return "gone"
    days = {part.on for part in line.schedule if part.on is not None}
    is_same = (order.supplier, line.item, line.quantity, line.revision, line.plant) == (
        asked.supplier,
        asked.item,
        asked.quantity,
        asked.revision,
        asked.plant,
    ) and (asked.on in days if asked.on else not days)
    return "as-it-was" if is_same else "changed"


# The selection of orders by the items that are still expected of them.
OPEN_ORDERS = "open-orders"


def open_orders_key(item: str) -> str:
    """Key of the orders that are open and have a line for the item."""
    return f"{OPEN_ORDERS}/{item}"


def ordered_items(order: PurchaseOrder) -> frozenset[str]:
    """The items that the order has a line for while it is open."""
    return frozenset(line.item for line in order.lines if line.item and order.status == "open")


def order_key(number: str) -> str:
    """Order and document key of a purchase order."""
    return f"purchase-order/{number}"


def confirmation_key(order: str) -> str:
    """Order and document key of what is confirmed of a purchase order."""
    return f"order-confirmation/{order}"
