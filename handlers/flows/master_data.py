"""Master data flows: an event that states an object becomes its document.

Older statements are refused by the runtime's guard, never here: a handler sees one message.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from canonical import item_master, purchasing, supplier_master
from canonical.bom import Bom, PlantBomState, bom_key, plant_bom_key
from canonical.change import ChangeMasterState, change_master_key
from canonical.codec import encode, read_event
from canonical.effects import Effect, Plan, Put
from canonical.envelope import Message
from canonical.facts import Document, Facts
from canonical.handler import Handler
from canonical.item import Item, item_key
from canonical.item_master import ItemMasterPatch, item_master_key
from canonical.order import OrderConfirmation, PurchaseOrder, confirmation_key, order_key
from canonical.purchase_contract import PurchaseContract, contract_key
from canonical.purchasing import InfoRecordTermsPatch, info_record_key
from canonical.quality_hold import QualityHold, quality_hold_key
from canonical.source_list import SourceList, source_list_key
from canonical.sourcing import Coverage, coverage_key
from canonical.supplier import Supplier, supplier_key
from canonical.supplier_master import SupplierMasterPatch, supplier_master_key
from handlers.flows import ownership
from handlers.flows.distribution import (
    contract_plans,
    order_plans,
    source_list_plans,
    supplier_plans,
)
from handlers.flows.ownership import Statement
from handlers.flows.revision_conflicts import conflict
from handlers.flows.transitions import transitions

Stated = (
    Item
    | Bom
    | PlantBomState
    | Supplier
    | Coverage
    | PurchaseContract
    | SourceList
    | ChangeMasterState
    | PurchaseOrder
    | OrderConfirmation
    | QualityHold
)
Distributed = TypeVar("Distributed", PurchaseOrder, PurchaseContract, SourceList)
Patch = ItemMasterPatch | SupplierMasterPatch | InfoRecordTermsPatch
Decide = Callable[[Message[Any], Facts, datetime], tuple[Effect, ...]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _micros(at: datetime | None) -> int:
    """Microseconds since 1970; 0 where the source gave no time."""
    if at is None:
        return 0
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def document_key(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The document that the message is about; of a BOM also its item, whose revisions it has."""
    stated = message.payload
    keys = ownership.keys_of(facts.rules, _put(stated).key)
    return keys | {item_key(stated.parent)} if isinstance(stated, Bom) else keys


def decide(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The document as stated, and what that means to others; revisions order items and BOMs,
    statements everything else. A case where a revision and its date contradict what is known."""
    put = _put(message.payload)
    known = facts.documents.get(put.key)
    before = known.document if known else None
    if ownership.is_guarded(facts.rules, put.key):
        return _owned(message, put, facts, now)
    if not isinstance(before, Stated):
        return (put, *transitions(before, put.document))
    is_newer = put.order > _put(before).order
    case = conflict(before, put.document, facts, is_dated_later=is_newer)
    if case is not None:
        return (case,)
    return (put, *transitions(before, put.document)) if is_newer else (put,)


def decide_order(
    message: Message[PurchaseOrder], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The order as stated, which comes from the system that stated it first, and what puts it into
    others."""
    order = message.payload
    if ownership.is_guarded(facts.rules, order_key(order.number)):
        return _owned(message, _put(order), facts, now)
    return _distributed(
        order,
        facts.order(order.number),
        lambda kept: order_plans(kept, order.origin, facts.rules, now),
    )


def decide_contract(
    message: Message[PurchaseContract], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The contract as stated, likewise."""
    contract = message.payload
    if ownership.is_guarded(facts.rules, contract_key(contract.number)):
        return _owned(message, _put(contract), facts, now)
    return _distributed(
        contract,
        facts.contract(contract.number),
        lambda kept: contract_plans(kept, contract.origin, facts.rules, now),
    )


def decide_source_list(
    message: Message[SourceList], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The source list as stated, likewise."""
    sources = message.payload
    if ownership.is_guarded(facts.rules, source_list_key(sources.plant, sources.item)):
        return _owned(message, _put(sources), facts, now)
    return _distributed(
        sources,
        facts.source_list(sources.plant, sources.item),
        lambda kept: source_list_plans(kept, sources.origin, facts.rules, now),
    )


def _owned(message: Message[Any], put: Put, facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """What is kept of a statement of the whole object, whose values have owners."""
    known = facts.documents.get(put.key)
    before = known.document if known else None
    said: Any = put.document
    source = message.payload.origin or ""
    if isinstance(before, Stated) and ownership.may_state(source, before, facts, "revision"):
        case = conflict(before, said, facts, is_dated_later=put.order > _put(before).order)
        if case is not None:
            return (case,)
    return ownership.taken(
        Statement(put.key, source, put.order, encode(said), lambda _: said),
        before,
        _put(before).order if isinstance(before, Stated) else (0, 0),
        facts,
        now,
        message.envelope.lane,
    )


def _distributed(
    stated: Distributed,
    before: Distributed | None,
    plans: Callable[[Distributed], tuple[Plan, ...]],
) -> tuple[Effect, ...]:
    """plans: of the document as it is kept, under the origin of the first statement."""
    if before is not None and before.origin:
        stated = msgspec.structs.replace(stated, origin=before.origin)
    put = _put(stated)
    if before is not None and _put(before).order > put.order:
        return (put,)
    return (put, *transitions(before, stated), *plans(stated))


def version(message: Message[Any]) -> int:
    """Where the stated object stands in the order of its states; each states the whole of it."""
    return _put(message.payload).version


def _put(document: Stated) -> Put:
    if isinstance(document, Item | Bom | PlantBomState | Supplier) and document.origin:
        # Who says it is no part of what is known: documents keep their digests.
        document = msgspec.structs.replace(document, origin=UNSET)
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
        case PlantBomState():
            return Put(plant_bom_key(document), document.version, document, stated)
        case Supplier():
            return Put(supplier_key(document.number), stated, document, stated)
        case Coverage():
            return Put(coverage_key(document.item), stated, document, stated)
        case PurchaseContract():
            return Put(contract_key(document.number), document.version, document, stated)
        case SourceList():
            key = source_list_key(document.plant, document.item)
            return Put(key, document.version, document, stated)
        case ChangeMasterState():
            return Put(change_master_key(document.number), document.version, document, stated)
        case PurchaseOrder():
            return Put(order_key(document.number), document.version, document, stated)
        case OrderConfirmation():
            return Put(confirmation_key(document.order), document.version, document, stated)
        case QualityHold():
            return Put(quality_hold_key(document.number), document.version, document, stated)


def _handler(event: str, scope: str = "", decide: Decide = decide) -> Handler:
    return Handler(
        name=event,
        scope=scope or event.partition(".")[0],
        types=(event,),
        read=read_event,
        needs=document_key,
        decide=decide,
        order="curing",
        version=version,
    )


ITEM_RELEASED = _handler("item.released")
BOM_RELEASED = _handler("bom.released")
BOM_CHANGED = _handler("bom.changed", "plant-bom")
SUPPLIER_CHANGED = _handler("supplier.changed")
SOURCING_CHANGED = _handler("sourcing.changed")
CONTRACT_CHANGED = _handler("contract.changed", decide=decide_contract)
SOURCE_LIST_CHANGED = _handler("source-list.changed", decide=decide_source_list)
QUALITY_HOLD_PLACED = _handler("quality-hold.placed")
QUALITY_HOLD_LIFTED = _handler("quality-hold.lifted")
CHANGE_MASTER_CHANGED = _handler("change-master.changed")


def _key(patch: Patch) -> str:
    match patch:
        case ItemMasterPatch():
            return item_master_key(patch.number)
        case SupplierMasterPatch():
            return supplier_master_key(patch.number)
        case InfoRecordTermsPatch():
            return info_record_key(patch)


def _merged(patch: Patch, facts: Facts) -> Document:
    known = facts.documents.get(_key(patch))
    merged: Document = _merge(known.document if known else None, patch)
    return merged


def _merge(before: Any, patch: Patch) -> Any:
    """before: a document of the patch's kind; None where nothing is known."""
    match patch:
        case ItemMasterPatch():
            return item_master.merge(before, patch)
        case SupplierMasterPatch():
            return supplier_master.merge(before, patch)
        case InfoRecordTermsPatch():
            return purchasing.merge(before, patch)


def patched_key(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The document that the patch is about."""
    return ownership.keys_of(facts.rules, _key(message.payload))


def merge_patch(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The document as it is after the patch; a patch older than the last one is refused."""
    patch: Patch = message.payload
    if ownership.is_guarded(facts.rules, _key(patch)):
        return _owned_by_patch(message, facts, now)
    stated = _micros(patch.stated_at)
    return (Put(_key(patch), patch.version, _merged(patch, facts), stated),)


def merge_supplier(
    message: Message[SupplierMasterPatch], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier as it is after the patch, and what puts it into other systems."""
    patch = message.payload
    if ownership.is_guarded(facts.rules, _key(patch)):
        return _owned_by_patch(message, facts, now)
    known = facts.supplier_master(patch.number)
    after = supplier_master.merge(known, patch)
    put = Put(_key(patch), patch.version, after, _micros(patch.stated_at))
    if known is not None and (known.version, _micros(known.stated_at)) > put.order:
        return (put,)
    return (put, *supplier_plans(after, patch.origin, facts.rules, now))


def _owned_by_patch(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """What is kept of a patch of an object whose values have owners."""
    patch: Patch = message.payload
    key, at = _key(patch), patch.stated_at
    known = facts.documents.get(key)
    before: Any = known.document if known else None
    said = msgspec.structs.replace(patch, origin=UNSET)
    return ownership.taken(
        Statement(
            key,
            patch.origin or "",
            (patch.version, _micros(at)),
            encode(said),
            lambda theirs: _merge(theirs, patch),
        ),
        before,
        (before.version, _micros(before.stated_at)) if before is not None else (0, 0),
        facts,
        now,
        message.envelope.lane,
    )


def _merging(event: str, scope: str, decide: Decide = merge_patch) -> Handler:
    return Handler(
        name=event,
        scope=scope,
        types=(event,),
        read=read_event,
        needs=patched_key,
        decide=decide,
    )


ITEM_CHANGED = _merging("item.changed", "item-master")
SUPPLIER_MASTER_CHANGED = _merging("supplier-master.changed", "supplier-master", merge_supplier)
INFO_RECORD_CHANGED = _merging("info-record.changed", "info-record")
ORDER_CREATED = _handler("purchase-order.created", decide=decide_order)
ORDER_CHANGED = _handler("purchase-order.changed", decide=decide_order)
CONFIRMATION_ACCEPTED = _handler("order-confirmation.accepted")
CONFIRMATION_CHANGED = _handler("order-confirmation.changed")
CONFIRMATION_BACKORDERED = _handler("order-confirmation.backordered")
CONFIRMATION_REJECTED = _handler("order-confirmation.rejected")
