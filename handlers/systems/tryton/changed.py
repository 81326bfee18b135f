"""Lists of what changed in Tryton, each object of which is read, and what its read brings back: a
product as the material master of an ERP, a purchase as an order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from canonical.codec import decode_foreign
from canonical.effects import Effect, Emit, Fetch, Open
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, no_needs
from canonical.item_master import ItemMasterPatch, item_master_key
from canonical.money import Money, UnitPrice, minor_digits
from canonical.order import OrderLine, OrderStatus, PurchaseOrder, ScheduleLine, order_key
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, parse_decimal, plain_decimal
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.brought import answer_form, read_brought
from handlers.systems.timestamps import microseconds
from handlers.systems.tryton import native
from handlers.systems.tryton.native import (
    ChangedRecords,
    Day,
    Exact,
    Moment,
    ReadBack,
    ReadProduct,
    ReadPurchase,
    ReadPurchaseLine,
)
from handlers.systems.tryton.read_back import PRODUCTS, PURCHASES, Kind
from handlers.systems.tryton.words import UNITS

_DIGEST_CHARS = 32
# States in which the supplier has the order; before that it is the buyer's own.
_STATUS: dict[str, OrderStatus] = {
    "confirmed": "open",
    "processing": "open",
    "done": "closed",
    "cancelled": "cancelled",
}
_NOT_PLACED = frozenset({"draft", "quotation"})


# --- lists ---


def read_changes(kind: Kind, delivery: Delivery) -> Message[ChangedRecords]:
    """The records that an answer names; it may name none.

    Identity: the attribute `id` where it is sent, else the content: a record that changed again
    has another time.
    Raises: InvalidMessage for content that is no such answer, an error above all, and for a time
        that is none.
    """
    listed, ignored, deviations = decode_foreign(delivery.body, ChangedRecords, where=kind.changes)
    for place, row in enumerate(listed.result):
        _changed_at(row.write_date, row.create_date, where=f"result[{place}]")
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST_CHARS]
    envelope = Envelope(
        id=delivery.attributes.get("id", "") or f"{kind.changes}#{digest}",
        source=delivery.source,
        type=kind.changes,
        # Of no object: a list that is refused must not hold the next one.
        key=f"{kind.name}-changes/{digest}",
        correlation_id=delivery.attributes.get("correlationid", ""),
        causation_id=delivery.attributes.get("causationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, listed, ignored, deviations)


def decide_changes(
    kind: Kind, message: Message[ChangedRecords], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """Each record is read, once however often the answer names it; none waits for another one."""
    ids = dict.fromkeys(row.id for row in message.payload.result)
    return tuple(Fetch(kind.name, str(id_), key=kind.key(id_)) for id_ in ids)


# --- answers ---


def read_answer(kind: Kind, content: Any, delivery: Delivery) -> Message[Any]:
    """The record that was read, or that it is gone; raises InvalidMessage for content that is no
    such answer, and for a record without a number or a time."""
    message = read_brought(delivery, kind.answer, content)
    held = message.payload.object
    if (held is None) is not message.payload.gone:
        raise InvalidMessage(
            "answer-empty",
            "The answer tells neither what the record is nor that it is gone",
            where=kind.answer,
            remedy="Have the record read again: send its id once more",
        )
    if held is not None:
        _changed_at(held.write_date, held.create_date, where=kind.name)
    return message


def version(message: Message[Any]) -> int:
    """When it was read: a later read tells what is, whatever became of an earlier one."""
    return microseconds(_read_at(message))


def decide_product(
    message: Message[ReadBack[ReadProduct]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The material as the ERP has it, or a case where it is gone.

    Raises: InvalidMessage for one without a code, and for a unit that is in no table.
    """
    held = message.payload.object
    if held is None:
        return _gone(message, "product", "master data")
    own = facts.rules.words_of(message.envelope.source)
    template = held.template
    number = _code(held.code, where="code")
    changed_at = max(
        _changed_at(one.write_date, one.create_date, where="write_date") for one in (held, template)
    )
    patch = ItemMasterPatch(
        number=number,
        version=microseconds(changed_at),
        base_unit=to_rec20(UNITS, template.default_uom.symbol, own.codes, where="default_uom"),
        kind=normalise_text(template.type, where="type"),
        descriptions={"EN": normalise_text(template.name, where="name") or None},
        is_deleted=not (held.active and template.active),
        source_id=str(held.id),
        stated_at=_read_at(message),
    )
    return (Emit("item.changed", item_master_key(number), patch),)


def orders_of_that_number(message: Message[ReadBack[ReadPurchase]], facts: Facts) -> frozenset[str]:
    """The order on record under the number, and the one that the purchase may have been made
    from."""
    held = message.payload.object
    if held is None or not _is_placed(held):
        return frozenset()
    reference = normalise_text(held.reference or "", where="reference").strip()
    found = {order_key(_code(held.number, where="number"))}
    return frozenset(found | ({order_key(reference)} if reference else set()))


def decide_order(
    message: Message[ReadBack[ReadPurchase]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The order as the supplier has it: created where it is not known. Nothing is said of one that
    is not confirmed, nor of one that was put here and is on record under its number elsewhere: two
    orders of one purchase would go out to everybody.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    held = message.payload.object
    if held is None:
        return _gone(message, "purchase", "purchasing")
    if not _is_placed(held) or _is_of_another(held, facts):
        return ()
    own = facts.rules.words_of(message.envelope.source)
    stated = _order(held, _read_at(message), own)
    key = order_key(stated.number)
    event = "purchase-order.changed" if key in facts.documents else "purchase-order.created"
    return (Emit(event, key, stated),)


def _is_placed(held: ReadPurchase) -> bool:
    """Whether the supplier has it, or had it; a number comes with the quotation."""
    return held.state not in _NOT_PLACED and bool(held.number)


def _is_of_another(held: ReadPurchase, facts: Facts) -> bool:
    """Buyers use the field for other things too: the supplier has to be the same."""
    reference = normalise_text(held.reference or "", where="reference").strip()
    known = facts.documents.get(order_key(reference)) if reference else None
    return (
        known is not None
        and isinstance(known.document, PurchaseOrder)
        and known.document.supplier == (held.party.code or "")
    )


def _order(held: ReadPurchase, read_at: datetime, own: OwnWords) -> PurchaseOrder:
    status = _STATUS.get(held.state)
    if status is None:
        raise InvalidMessage(
            "state-unmapped",
            f"The state {held.state[:40]!r} is in no table",
            where="state",
            remedy="Have the word mapped: Tryton of another series, or a module, has it",
        )
    currency = _code(held.currency.code, where="currency")
    minor_digits(currency, where="currency")
    # A line that is changed by a call of its own changes no date of its purchase.
    dates = [(held.write_date, held.create_date)]
    dates += [(row.write_date, row.create_date) for row in held.lines]
    changed_at = max(_changed_at(*each, where="write_date") for each in dates)
    lines = tuple(
        _line(row, place, currency, own)
        for place, row in enumerate(held.lines)
        if row.type == "line"
    )
    return PurchaseOrder(
        number=_code(held.number, where="number"),
        version=microseconds(changed_at),
        supplier=_code(held.party.code, where="party"),
        currency=currency,
        lines=() if status == "cancelled" else lines,
        organisation=_code(held.company.party.code, where="company"),
        ordered_on=_day(held.purchase_date, where="purchase_date"),
        source_id=str(held.id),
        stated_at=read_at,
        status=status,
    )


def _line(row: ReadPurchaseLine, place: int, currency: str, own: OwnWords) -> OrderLine:
    where = f"lines[{place}]"
    if row.quantity is None or row.unit is None:
        raise InvalidMessage(
            "quantity-missing",
            "A line has no quantity with a unit",
            where=where,
            remedy="State them in Tryton",
        )
    unit = to_rec20(UNITS, row.unit.symbol, own.codes, where=f"{where}.unit")
    quantity = Quantity(plain_decimal(Decimal(repr(row.quantity)), where=f"{where}.quantity"), unit)
    on = _day(row.delivery_date, where=f"{where}.delivery_date")
    return OrderLine(
        # Whoever does not sort his lines gives them no sequence; the id stays.
        line=str(row.id if row.sequence is None else row.sequence),
        item=_code(row.product.code, where=f"{where}.product") if row.product else "",
        quantity=quantity,
        price=_price(row.unit_price, currency, unit, where) if row.unit_price else None,
        description=normalise_text(row.description or "", where=f"{where}.description"),
        schedule=(ScheduleLine(quantity, on),) if on else (),
    )


def _price(told: Exact, currency: str, unit: str, where: str) -> UnitPrice:
    exact = parse_decimal(told.decimal, where=f"{where}.unit_price")
    return UnitPrice(Money(exact, currency), Quantity(Decimal(1), unit))


# --- values ---


def _code(said: str | None, *, where: str) -> str:
    """A number that something is known by. Raises: InvalidMessage where there is none."""
    return normalise_id(said or "", where=where)


def _day(said: Day | None, *, where: str) -> date | None:
    if said is None:
        return None
    try:
        return date(said.year, said.month, said.day)
    except (ValueError, OverflowError) as error:
        raise _no_time(where) from error


def _changed_at(written: Moment | None, made: Moment | None, *, where: str) -> datetime:
    """When a record was changed last; one that never was, when it was made."""
    said = written or made
    if said is None:
        raise InvalidMessage(
            "time-missing",
            "It tells neither when it was changed nor when it was made",
            where=where,
            remedy="Ask for write_date and create_date",
        )
    try:
        return datetime(
            *(said.year, said.month, said.day, said.hour, said.minute, said.second),
            said.microsecond,
            tzinfo=UTC,
        )
    except (ValueError, OverflowError) as error:
        raise _no_time(where) from error


def _no_time(where: str) -> InvalidMessage:
    return InvalidMessage(
        "time-malformed",
        "It is no day or time of the calendar",
        where=where,
        remedy="Send it as Tryton writes it",
    )


def _read_at(message: Message[Any]) -> datetime:
    read_at = message.envelope.time
    assert read_at is not None  # `read_brought` has required it
    return read_at


def _gone(message: Message[Any], what: str, owner: str) -> tuple[Effect, ...]:
    """A case, whether the object is known or not: no answer tells the number it had."""
    id_ = message.envelope.key.partition("/")[2]
    return (
        Open(
            code="gone-at-erp",
            word="business_rule",
            what=f"Tryton has no {what} with the id {id_} any more; what is on record of it stays"
            " as it was",
            where=message.envelope.key,
            remedy="Find out why it was deleted, or whether this user may not see it any more",
            owner=owner,
        ),
    )


# --- the handlers ---


def _changes(kind: Kind, what: str) -> Handler:
    return Handler(
        name=f"tryton-changed-{what}",
        scope="tryton",
        types=(kind.changes,),
        forms=(
            Form(
                what=f"Which {what} changed, the answer to a search as it stands: each is read",
                content=ChangedRecords,
                read=("id", "causationid"),
                owners=(kind.owner,),
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
) -> Handler:
    what = f"A {kind.name} as a read by its id brought it back, or that it is gone"
    return Handler(
        name=kind.answer.replace(".", "-"),
        scope="tryton",
        types=(kind.answer,),
        forms=(answer_form(what, content, kind.owner),),
        read=partial(read_answer, kind, content),
        needs=needs,
        decide=decide,
        order="curing",
        version=version,
    )


CHANGED_PRODUCTS = _changes(PRODUCTS, "products")
CHANGED_PURCHASES = _changes(PURCHASES, "purchases")
READ_PRODUCT = _answers(PRODUCTS, native.ReadBack[ReadProduct], decide_product)
READ_PURCHASE = _answers(
    PURCHASES, native.ReadBack[ReadPurchase], decide_order, orders_of_that_number
)
