"""Lists of what changed that tell no more than which objects: each is read, and what its read
brings back is a row of what changed as a client would have sent it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from canonical.codec import decode_foreign
from canonical.effects import Effect, Fetch, Open
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, ignored_fields, no_needs
from canonical.order import order_key
from canonical.purchase_contract import contract_key
from canonical.supplier import supplier_key
from canonical.text import normalise_id
from handlers.systems.brought import answer_form, read_brought
from handlers.systems.coupa import inbound, native
from handlers.systems.coupa.native import ReadBack
from handlers.systems.coupa.read_back import CONTRACT, ORDER, SUPPLIER, Kind
from handlers.systems.timestamps import microseconds, parse_timestamp

S = TypeVar("S", native.StatedSupplier, native.StatedContract, native.Order)

_DIGEST_CHARS = 32


# --- lists ---


def read_changes(kind: Kind, delivery: Delivery) -> Message[native.ChangedObjects]:
    """The objects that a list names; it may be empty.

    Identity: the attribute `id` where it is sent, else the content: an object that changed again
    has another time.
    Raises: InvalidMessage for content that is no such list, and for a time that is none.
    """
    rows, ignored, deviations = decode_foreign(
        delivery.body, native.ChangedObjects, where=kind.changes
    )
    for place, row in enumerate(rows):
        parse_timestamp(row.updated_at, where=f"[{place}].updated-at")
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST_CHARS]
    stated = delivery.attributes.get("id", "")
    envelope = Envelope(
        id=stated or f"{kind.changes}#{digest}",
        source=delivery.source,
        type=kind.changes,
        # Of no object: a list that is refused must not hold the next one.
        key=f"{kind.name}-changes/{digest}",
        correlation_id=delivery.attributes.get("correlationid", ""),
        causation_id=delivery.attributes.get("causationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, rows, ignored, deviations)


def decide_changes(
    kind: Kind, message: Message[native.ChangedObjects], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """Each object is read, once however often the list names it; none waits for another one."""
    ids = dict.fromkeys(row.id for row in message.payload)
    return tuple(Fetch(kind.name, str(id_), key=kind.key(id_)) for id_ in ids)


# --- answers ---


def read_answer(kind: Kind, content: type[ReadBack[S]], delivery: Delivery) -> Message[ReadBack[S]]:
    """The object that was read, or that it is gone; raises InvalidMessage for content that is no
    such answer, and for an object without a number or a time of its own."""
    message = read_brought(delivery, kind.answer, content)
    held = message.payload.object
    if (held is None) is not message.payload.gone:
        raise InvalidMessage(
            "answer-empty",
            "The answer tells neither what the object is nor that it is gone",
            where=kind.answer,
            remedy="Have the object read again: send its id once more",
        )
    if held is not None:
        _key_of(held)
        parse_timestamp(held.updated_at, where="updated-at")
    return message


def order_of_that_number(message: Message[ReadBack[native.Order]], facts: Facts) -> frozenset[str]:
    """The document of the order that was read."""
    held = message.payload.object
    return frozenset({_key_of(held)} if held is not None else ())


def decide_supplier(
    message: Message[ReadBack[native.StatedSupplier]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier as procurement has it, or a case where it is gone; raises as for a row."""
    held = message.payload.object
    if held is None:
        return _gone(message, "supplier")
    return inbound.decide_supplier(_as_row(message, held, (held,)), facts, now)


def decide_contract(
    message: Message[ReadBack[native.StatedContract]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The contract as procurement has it, or a case where it is gone; raises as for a row."""
    held = message.payload.object
    if held is None:
        return _gone(message, "contract")
    return inbound.decide_contract(_as_row(message, held, held), facts, now)


def decide_order(
    message: Message[ReadBack[native.Order]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The order as procurement has it, or a case where it is gone; raises as for a row."""
    held = message.payload.object
    if held is None:
        return _gone(message, "purchase order")
    return inbound.decide_order(_as_row(message, held, held), facts, now)


def version(message: Message[Any]) -> int:
    """When it was read: a later read tells what is, whatever became of an earlier one."""
    read_at = message.envelope.time
    assert read_at is not None  # `read_brought` has required it
    return microseconds(read_at)


def left_out(message: Message[ReadBack[native.Order]]) -> Mapping[str, int]:
    """What of the order is left out, as of a row."""
    held = message.payload.object
    if held is None:
        return ignored_fields(message)
    return inbound.left_out(_as_row(message, held, held))


def _as_row(message: Message[Any], held: inbound.Row, payload: Any) -> Message[Any]:
    """The answer as the row that a client sends of the object: about its number, of the time at
    which it was changed. So an answer that is older than what is on record is dropped there."""
    envelope = msgspec.structs.replace(
        message.envelope,
        key=_key_of(held),
        time=parse_timestamp(held.updated_at, where="updated-at"),
    )
    return msgspec.structs.replace(message, envelope=envelope, payload=payload)


def _key_of(held: inbound.Row) -> str:
    match held:
        case native.Order(po_number=number):
            return order_key(normalise_id(number, where="po-number"))
        case native.StatedContract(number=number):
            return contract_key(normalise_id(number, where="number"))
        case native.StatedSupplier(number=number):
            return supplier_key(normalise_id(number, where="number"))


def _gone(message: Message[Any], what: str) -> tuple[Effect, ...]:
    """A case, whether the object is known or not: no answer tells the number it had."""
    id_ = message.envelope.key.partition("/")[2]
    return (
        Open(
            code="gone-at-procurement",
            word="business_rule",
            what=f"Procurement has no {what} with the id {id_} any more;"
            " what is on record of it stays as it was",
            where=message.envelope.key,
            remedy="Find out why it was deleted, or whether this client may not see it any more",
            owner="purchasing",
        ),
    )


# --- the handlers ---


def _changes(kind: Kind, what: str) -> Handler:
    return Handler(
        name=f"coupa-changed-{what}",
        scope="coupa",
        types=(kind.changes,),
        forms=(
            Form(
                what=f"Which {what} changed: each is read",
                content=native.ChangedObjects,
                read=("id", "causationid"),
                owners=("procurement",),
            ),
        ),
        read=partial(read_changes, kind),
        needs=no_needs,
        decide=partial(decide_changes, kind),
        order="notification",
    )


def _answers(
    kind: Kind,
    content: Any,
    decide: Callable[[Message[Any], Facts, datetime], tuple[Effect, ...]],
    needs: Callable[[Message[Any], Facts], frozenset[str]] = no_needs,
    ignored: Callable[[Message[Any]], Mapping[str, int]] = ignored_fields,
) -> Handler:
    what = f"An object of kind {kind.name} as a read by its id brought it back, or that it is gone"
    return Handler(
        name=f"coupa-{kind.name}-read",
        scope="coupa",
        types=(kind.answer,),
        forms=(answer_form(what, content, "procurement"),),
        read=partial(read_answer, kind, content),
        needs=needs,
        decide=decide,
        order="curing",
        version=version,
        ignored=ignored,
    )


CHANGED_SUPPLIERS = _changes(SUPPLIER, "suppliers")
CHANGED_CONTRACTS = _changes(CONTRACT, "contracts")
CHANGED_ORDERS = _changes(ORDER, "orders")
READ_SUPPLIER = _answers(SUPPLIER, ReadBack[native.StatedSupplier], decide_supplier)
READ_CONTRACT = _answers(CONTRACT, ReadBack[native.StatedContract], decide_contract)
READ_ORDER = _answers(ORDER, ReadBack[native.Order], decide_order, order_of_that_number, left_out)
