"""Master data flows: an event that states an object becomes its document.

Older statements are refused by the runtime's guard, never here: a handler sees one message.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from canonical.bom import Bom, bom_key
from canonical.codec import read_event
from canonical.effects import Effect, Put
from canonical.envelope import Message
from canonical.facts import Facts
from canonical.handler import Handler
from canonical.item import Item, item_key
from canonical.item_master import ItemMasterPatch, item_master_key, merge
from canonical.order import OrderConfirmation, PurchaseOrder, confirmation_key, order_key
from canonical.sourcing import Coverage, coverage_key
from canonical.supplier import Supplier, supplier_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _micros(at: datetime | None) -> int:
    """Microseconds since 1970; 0 where the source gave no time."""
    if at is None:
        return 0
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def document_key(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The document that the message is about."""
    return frozenset({_put(message.payload).key})


def decide(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The document as stated; revisions order items and BOMs, statements everything else."""
    return (_put(message.payload),)


def version(message: Message[Any]) -> int:
    """Where the stated object stands in the order of its states; each states the whole of it."""
    return _put(message.payload).version


def _put(document: Item | Bom | Supplier | Coverage | PurchaseOrder | OrderConfirmation) -> Put:
    stated = _micros(document.stated_at)
    match document:
        case Item():
            return Put(
                item_key(document.number), _micros(document.released_at) or stated, document, stated
            )
        case Bom():
            return Put(
                bom_key(document.parent), _micros(document.released_at) or stated, document, stated
            )
        case Supplier():
            return Put(supplier_key(document.number), stated, document, stated)
        case Coverage():
            return Put(coverage_key(document.item), stated, document, stated)
        case PurchaseOrder():
            return Put(order_key(document.number), document.version, document, stated)
        case OrderConfirmation():
            return Put(confirmation_key(document.order), document.version, document, stated)


def _handler(event: str) -> Handler:
    return Handler(
        name=event,
        scope=event.partition(".")[0],
        types=(event,),
        read=read_event,
        needs=document_key,
        decide=decide,
        order="curing",
        version=version,
    )


ITEM_RELEASED = _handler("item.released")
BOM_RELEASED = _handler("bom.released")
SUPPLIER_CHANGED = _handler("supplier.changed")
SOURCING_CHANGED = _handler("sourcing.changed")


def material_key(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The material that the patch is about."""
    return frozenset({item_master_key(message.payload.number)})


def merge_patch(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The material as it is after the patch; a patch older than the last one is refused."""
    patch: ItemMasterPatch = message.payload
    merged = merge(facts.item_master(patch.number), patch)
    stated = _micros(patch.stated_at)
    return (Put(item_master_key(patch.number), patch.version, merged, stated),)


ITEM_CHANGED = Handler(
    name="item.changed",
    scope="item-master",
    types=("item.changed",),
    read=read_event,
    needs=material_key,
    decide=merge_patch,
)
ORDER_CREATED = _handler("purchase-order.created")
ORDER_CHANGED = _handler("purchase-order.changed")
CONFIRMATION_ACCEPTED = _handler("order-confirmation.accepted")
CONFIRMATION_CHANGED = _handler("order-confirmation.changed")
CONFIRMATION_BACKORDERED = _handler("order-confirmation.backordered")
CONFIRMATION_REJECTED = _handler("order-confirmation.rejected")
