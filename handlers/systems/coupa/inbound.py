"""What procurement says into our events: answers about suppliers and contract coverage, and rows of
what changed, suppliers, contracts and orders, each of which states its object whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from canonical.codec import decode_foreign
from canonical.effects import Effect, Emit
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.events import SupplierReviewDecided
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, ignored_fields, no_needs
from canonical.order import order_key
from canonical.purchase_contract import contract_key
from canonical.review import asked_for, review_key
from canonical.sourcing import Coverage
from canonical.supplier import supplier_key
from canonical.text import normalise_id, normalise_text
from handlers.systems.brought import answer_form, read_brought
from handlers.systems.coupa import native
from handlers.systems.coupa.contracts import to_contract, to_coverage_line
from handlers.systems.coupa.orders import by_amount, is_copy, is_placed, to_order
from handlers.systems.coupa.outbound import CONTRACTS_ANSWER, SUPPLIER_ANSWER
from handlers.systems.coupa.suppliers import to_supplier
from handlers.systems.coupa.values import names, unmapped
from handlers.systems.coupa.words import (
    ORDER_CANCELLED,
    PUBLISHED,
    REVIEW_CLOSED,
    REVIEW_OPEN,
    REVIEW_VERDICTS,
    WITHDRAWN,
)
from handlers.systems.timestamps import microseconds, parse_timestamp

Row = native.StatedSupplier | native.StatedContract | native.Order

CONTRACT = "coupa.contract"
ORDER = "coupa.order"
REVIEW = "coupa.review"

_DIGEST_CHARS = 16


def read_supplier(delivery: Delivery) -> Message[tuple[native.Supplier, ...]]:
    """The suppliers of an answer, or the one of a row of what changed; raises InvalidMessage for
    content that is neither."""
    if not delivery.body.lstrip().startswith(b"{"):
        return read_brought(delivery, SUPPLIER_ANSWER, native.Suppliers)
    row, ignored, deviations = decode_foreign(
        delivery.body, native.StatedSupplier, where=SUPPLIER_ANSWER
    )
    row = msgspec.structs.replace(row, number=normalise_id(row.number, where="number"))
    envelope = _envelope(delivery, SUPPLIER_ANSWER, row, supplier_key(row.number))
    return Message(envelope, (row,), ignored, deviations)


def read_contracts(delivery: Delivery) -> Message[tuple[native.Contract, ...]]:
    """The contracts of an answer; raises InvalidMessage for content that is no such list."""
    return read_brought(delivery, CONTRACTS_ANSWER, native.Contracts)


def decide_supplier(
    message: Message[tuple[native.Supplier, ...]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier that was asked for, as our event.

    Raises: InvalidMessage where it is not in the answer or a word of it is in no table.
    """
    number = _subject(message, "supplier")
    held = next((s for s in message.payload if names(s.number, number)), None)
    if held is None:
        raise InvalidMessage(
            "supplier-missing",
            f"The answer does not contain supplier {number}",
            where=message.envelope.key,
            remedy="Ask procurement again",
        )
    supplier = to_supplier(held, message.envelope.time)
    return (Emit("supplier.changed", message.envelope.key, supplier),)


def decide_contracts(
    message: Message[tuple[native.Contract, ...]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """All published contract lines for the item that was asked for, as our event.

    Raises: InvalidMessage for prices, units, currencies and days that cannot be understood.
    """
    item = _subject(message, "coverage")
    own = facts.rules.words_of(message.envelope.source)
    lines = [
        to_coverage_line(contract, line, own, f"[{place}].lines[{row}]")
        for place, contract in enumerate(message.payload)
        if contract.status == PUBLISHED
        for row, line in enumerate(contract.lines)
        if names(line.item_number, item)
    ]
    lines.sort(key=lambda line: (line.contract, line.supplier, line.first_day))
    coverage = Coverage(item=item, lines=tuple(lines), stated_at=message.envelope.time)
    return (Emit("sourcing.changed", message.envelope.key, coverage),)


def _subject(message: Message[Any], kind: str) -> str:
    """The number behind `<kind>/`."""
    found, slash, number = message.envelope.key.partition("/")
    if found != kind or not slash or not number:
        raise InvalidMessage(
            "subject-malformed",
            f"{message.envelope.key[:80]!r} does not say which {kind} was asked for",
            where="ce-subject",
            remedy=f"Send {kind}/<number>",
        )
    return number


# --- rows of what changed ---


def read_contract(delivery: Delivery) -> Message[native.StatedContract]:
    """A contract as a row of what changed; raises InvalidMessage for content that is none."""
    row, ignored, deviations = decode_foreign(delivery.body, native.StatedContract, where=CONTRACT)
    key = contract_key(normalise_id(row.number, where="number"))
    return Message(_envelope(delivery, CONTRACT, row, key), row, ignored, deviations)


def read_order(delivery: Delivery) -> Message[native.Order]:
    """An order as a row of what changed; raises InvalidMessage for content that is none."""
    row, ignored, deviations = decode_foreign(delivery.body, native.Order, where=ORDER)
    key = order_key(normalise_id(row.po_number, where="po-number"))
    return Message(_envelope(delivery, ORDER, row, key), row, ignored, deviations)


def decide_contract(
    message: Message[native.StatedContract], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The contract, whole, as our event, in whatever status it is.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    own = facts.rules.words_of(message.envelope.source)
    contract = to_contract(message.payload, _changed_at(message), own)
    return (Emit("contract.changed", message.envelope.key, contract),)


def decide_order(message: Message[native.Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The order as the supplier has it: created where it is not known. Nothing is said of one that
    was not placed, or was cancelled before anybody knew of it, nor of a copy.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    known = facts.order(normalise_id(message.payload.po_number, where="po-number"))
    if not is_placed(message.payload) or (known and is_copy(message.payload, known)):
        return ()
    own = facts.rules.words_of(message.envelope.source)
    order = to_order(message.payload, _changed_at(message), own)
    if known is None and message.payload.status == ORDER_CANCELLED:
        return ()
    event = "purchase-order.changed" if known else "purchase-order.created"
    return (Emit(event, message.envelope.key, order),)


def read_review(delivery: Delivery) -> Message[native.StatedReview]:
    """A review as a row of what changed; raises InvalidMessage for content that is none."""
    row, ignored, deviations = decode_foreign(delivery.body, native.StatedReview, where=REVIEW)
    return Message(_envelope(delivery, REVIEW, row, f"review/{row.id}"), row, ignored, deviations)


def decide_review(
    message: Message[native.StatedReview], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """What a review of ours came to. Nothing is said of one that is open or was taken back, nor of
    one that somebody else asked for.

    Raises: InvalidMessage for a word that is in no table, and where the supplier is another one.
    """
    row = message.payload
    ours = asked_for(row.external_ref or "")
    if ours is None:
        return ()
    if row.status not in (REVIEW_OPEN, REVIEW_CLOSED):
        raise unmapped("review-status-unmapped", row.status, "status")
    if row.status == REVIEW_OPEN or row.verdict in (None, "", WITHDRAWN):
        return ()
    verdict = REVIEW_VERDICTS.get(row.verdict or "")
    if verdict is None:
        raise unmapped("review-verdict-unmapped", row.verdict or "", "verdict")
    change, supplier = (normalise_id(part, where="external-ref") for part in ours)
    if not names(row.supplier.number, supplier):
        raise InvalidMessage(
            "review-differs",
            f"The review of {supplier} for {change} is about {row.supplier.number[:40]!r}",
            where="supplier.number",
            remedy="Find out in procurement who used this reference",
        )
    person = row.decided_by or native.Person()
    decided = SupplierReviewDecided(
        change=change,
        supplier=supplier,
        verdict=verdict,
        by=normalise_text(person.fullname or person.login or "", where="decided-by"),
        reason=normalise_text(row.decision_reason or "", where="decision-reason"),
        at=_changed_at(message),
    )
    return (Emit("supplier-review.decided", review_key(change, supplier), decided),)


def own_document(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The document of what changed."""
    return frozenset({message.envelope.key})


def version(
    message: Message[native.StatedContract] | Message[native.Order] | Message[native.StatedReview],
) -> int:
    """When it was changed: each row states the whole of its object."""
    return microseconds(_changed_at(message))


def left_out(message: Message[native.Order]) -> Mapping[str, int]:
    """Lines that are bought by amount, and fields that nobody reads."""
    lines = by_amount(message.payload)
    return {**ignored_fields(message), **({"line by amount": lines} if lines else {})}


def _envelope(delivery: Delivery, kind: str, row: Row | native.StatedReview, key: str) -> Envelope:
    """Identity: the object, when it was changed, and a digest: a list of what changed is read again
    and again, and what stands within an object changes without its saying so."""
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST_CHARS]
    changed_at = parse_timestamp(row.updated_at, where="updated-at")
    return Envelope(
        id=f"{kind}/{row.id}@{changed_at.isoformat()}#{digest}",
        source=delivery.source,
        type=kind,
        key=key,
        time=changed_at,
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )


def _changed_at(message: Message[Any]) -> datetime:
    changed_at = message.envelope.time
    assert changed_at is not None  # `_envelope` has required it
    return changed_at


HANDLER_SUPPLIER = Handler(
    name="coupa-supplier",
    scope="coupa",
    types=(SUPPLIER_ANSWER,),
    forms=(
        Form(
            what="A supplier as a row of what changed",
            content=native.StatedSupplier,
            owners=("procurement",),
        ),
        answer_form(
            "The suppliers that a read brought back",
            native.Suppliers,
            "procurement",
            name="answer",
        ),
    ),
    read=read_supplier,
    needs=no_needs,
    decide=decide_supplier,
)
HANDLER_CONTRACTS = Handler(
    name="coupa-contracts",
    scope="coupa",
    types=(CONTRACTS_ANSWER,),
    forms=(
        answer_form(
            "The contracts with a line of an item, as a read brought them back",
            native.Contracts,
            "procurement",
        ),
    ),
    read=read_contracts,
    needs=no_needs,
    decide=decide_contracts,
)
HANDLER_CONTRACT = Handler(
    name="coupa-contract",
    scope="coupa",
    types=(CONTRACT,),
    forms=(
        Form(
            what="A contract as a row of what changed",
            content=native.StatedContract,
            owners=("procurement",),
        ),
    ),
    read=read_contract,
    needs=no_needs,
    decide=decide_contract,
    order="curing",
    version=version,
)
HANDLER_ORDER = Handler(
    name="coupa-order",
    scope="coupa",
    types=(ORDER,),
    forms=(
        Form(
            what="An order as a row of what changed",
            content=native.Order,
            owners=("procurement",),
        ),
    ),
    read=read_order,
    needs=own_document,
    decide=decide_order,
    order="curing",
    version=version,
    ignored=left_out,
)
HANDLER_REVIEW = Handler(
    name="coupa-review",
    scope="coupa",
    types=(REVIEW,),
    forms=(
        Form(
            what="A review of a supplier as a row of what changed",
            content=native.StatedReview,
            owners=("procurement",),
        ),
    ),
    read=read_review,
    needs=no_needs,
    decide=decide_review,
    order="curing",
    version=version,
)
