"""The driver for procurement: items, suppliers, orders and reviews are written, suppliers and
contracts are asked for, and what changed is read by its id.

What a question brings back is handed on as it came, of a list what was asked for; `inbound`
translates it.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import msgspec

from canonical.codec import encode
from canonical.connector import Absent, Answer, Confirmed, Driver, More, Observed, Present, Write
from canonical.effects import Step
from canonical.errors import Conflict, InvalidMessage, Misconfigured, Rejected
from canonical.exchange import Request, Response
from canonical.item import Item
from canonical.operations import (
    CloseReview,
    Operation,
    PublishItem,
    PutOrder,
    PutSupplier,
    ReadCoverage,
    ReadObject,
    ReadSupplier,
    RequestReview,
    verb,
)
from canonical.own_words import NO_WORDS, OwnWords
from canonical.sourcing import coverage_key
from canonical.supplier import supplier_key
from canonical.units import from_rec20
from handlers.systems import answers
from handlers.systems.coupa import native, pages, put_order, put_supplier, read_back, rest
from handlers.systems.coupa.pages import Row
from handlers.systems.coupa.values import names
from handlers.systems.coupa.words import (
    ORDERABLE,
    PUBLISHED,
    REVIEW_CLOSED,
    REVIEW_OPEN,
    UNITS,
    WITHDRAWN,
)

T = TypeVar("T")

SUPPLIER_ANSWER = "coupa.supplier"
CONTRACTS_ANSWER = "coupa.contracts"

_NAME_CHARS = 255


def observe(step: Step) -> Request:
    """The read of the step's object by its natural key, or the question that the step asks."""
    match step.operation:
        case PublishItem(item):
            return rest.get("/api/items", ("item-number", item.number))
        case PutSupplier(supplier):
            return put_supplier.observe(supplier)
        case PutOrder(order):
            return put_order.observe(order)
        case ReadCoverage():
            # A contract cannot be asked for by the items on its lines.
            return rest.get("/api/contracts", ("status", PUBLISHED))
        case ReadSupplier(number):
            return rest.get("/api/suppliers", ("number", number))
        case ReadObject() as asked:
            return read_back.observe(asked)
        case RequestReview(reference=reference) | CloseReview(reference=reference):
            return rest.get("/api/supplier_reviews", ("external-ref", reference))
        case other:
            raise _unsupported(other)


def read(step: Step, response: Response, own: OwnWords = NO_WORDS) -> Observed | More:
    """What procurement holds, compared with what the step wants, or its answer to a question; of a
    long list the next page.

    Raises: besides those of `pages.read`, SuspectedDuplicate where one number has several objects.
    """
    match step.operation:
        case PublishItem(item):
            return pages.read(_items(step, item, own), response)
        case PutSupplier(supplier):
            return put_supplier.read(supplier, response)
        case PutOrder(order):
            return put_order.read(order, response, own)
        case ReadCoverage(item_number):
            return pages.read(_contracts(step, item_number), response)
        case ReadSupplier(number):
            return pages.read(_suppliers(step, number), response)
        case ReadObject() as asked:
            return read_back.read(asked, response)
        case RequestReview() | CloseReview() as review:
            return pages.read(_reviews(step, review), response)
        case other:
            raise _unsupported(other)


def write(step: Step, observed: Observed, key: str, own: OwnWords = NO_WORDS) -> Write | None:
    """The create or the change; None for questions, which a read has answered.

    Procurement has no idempotency key; ours goes along for its log. A review is recognised by its
    reference.
    """
    match step.operation, observed:
        case PublishItem(item), Absent():
            return rest.write("POST", "/api/items", item_body(item, own), key)
        case PublishItem(item), Present(reference=reference):
            return rest.write("PUT", f"/api/items/{reference}", item_body(item, own), key)
        case PutSupplier(supplier), _:
            return put_supplier.write(supplier, observed, key)
        case PutOrder(order), _:
            return put_order.write(order, observed, key, own)
        case RequestReview() as review, Absent():
            return rest.write("POST", "/api/supplier_reviews", review_body(review), key)
        case RequestReview(), Present(equal=False, reference=reference):
            body = native.ReviewChange(status=REVIEW_OPEN, verdict="", decision_reason="")
            return rest.write("PUT", f"/api/supplier_reviews/{reference}", body, key)
        case CloseReview() as end, Present(equal=False, reference=reference):
            body = native.ReviewChange(REVIEW_CLOSED, end.verdict, end.reason)
            return rest.write("PUT", f"/api/supplier_reviews/{reference}", body, key)
        case _:
            return None


def confirm(step: Step, response: Response) -> Confirmed:
    """That procurement shows the object as written."""
    if response.status not in (200, 201):
        if isinstance(step.operation, PutSupplier):
            put_supplier.refuse_other_of_that_name(step.operation.supplier, response)
        raise rest.failure(response, wrote=True)
    match step.operation:
        case PutSupplier(supplier):
            return put_supplier.confirm(supplier, response)
        case PutOrder(order):
            return put_order.confirm(order, response)
        case PublishItem(item):
            written = rest.decoded(response, native.Item, wrote=True)
            rest.check(written.item_number, item.number)
            return Confirmed(reference=str(written.id))
        case RequestReview(reference=reference) | CloseReview(reference=reference):
            review = rest.decoded(response, native.Review, wrote=True)
            rest.check(review.external_ref, reference)
            return Confirmed(reference=str(review.id))
        case other:
            raise _unsupported(other)


# --- items ---


def item_body(item: Item, own: OwnWords) -> native.ItemBody:
    """The item as buyers are to see it.

    Raises: UnknownUnit where procurement has no name for the base unit.
    """
    text = item.description.strip() or item.number
    unit = from_rec20(UNITS, item.base_unit, own.units, where=f"item/{item.number}.base_unit")
    ranked = sorted(item.manufacturers, key=lambda m: (m.rank is None, m.rank or 0))
    return native.ItemBody(
        item_number=item.number,
        name=text[:_NAME_CHARS],
        description=text,
        active=item.lifecycle in ORDERABLE,
        uom=native.Code(unit),
        custom_fields=native.ItemFields(
            revision=item.revision.label,
            lifecycle=item.lifecycle,
            compliance=tuple(
                f"{mark.scheme}: {mark.value}" if mark.value else mark.scheme
                for mark in item.compliance
            ),
            approved_manufacturers=tuple(
                native.Manufacturer(made.manufacturer, made.part, made.status) for made in ranked
            ),
        ),
    )


def _items(step: Step, item: Item, own: OwnWords) -> pages.List[native.Item]:
    return pages.List(
        observe(step),
        tuple[native.Item, ...],
        lambda held: held.item_number == item.number,
        partial(_compare_item, item, own),
    )


def _compare_item(item: Item, own: OwnWords, found: tuple[Row[native.Item], ...]) -> Observed:
    row = rest.only(found, f"item/{item.number}")
    if row is None:
        return Absent()
    held = row.value
    differences = _item_differences(item_body(item, own), held, own)
    return Present(
        equal=not differences,
        reference=str(held.id),
        differences=differences,
        native=encode(held),
    )


def _item_differences(want: native.ItemBody, held: native.Item, own: OwnWords) -> tuple[str, ...]:
    wanted, fields = want.custom_fields, held.custom_fields or native.ItemFields()
    compared: tuple[tuple[str, object, object], ...] = (
        ("name", held.name or "", want.name),
        ("description", held.description or "", want.description),
        ("active", held.active, want.active),
        ("uom", rest.unit_of(held.uom, own), rest.unit_of(want.uom, own)),
        ("revision", fields.revision or "", wanted.revision),
        ("lifecycle", fields.lifecycle or "", wanted.lifecycle),
        ("compliance", sorted(fields.compliance or ()), sorted(wanted.compliance or ())),
        (
            "approved-manufacturers",
            fields.approved_manufacturers or (),
            wanted.approved_manufacturers or (),
        ),
    )
    return rest.differing(compared)


# --- questions ---


def _suppliers(step: Step, number: str) -> pages.List[native.Supplier]:
    return pages.List(
        observe(step),
        tuple[native.Supplier, ...],
        lambda held: names(held.number, number),
        partial(_answer_supplier, number),
    )


def _answer_supplier(number: str, found: tuple[Row[native.Supplier], ...]) -> Observed:
    held = rest.only(found, supplier_key(number))
    if held is None:
        raise Rejected(
            "supplier-unknown",
            f"Procurement has no supplier {number}",
            where=supplier_key(number),
            remedy="Have the supplier registered in procurement under the ERP's number",
            owner="procurement",
        )
    answer = Answer(SUPPLIER_ANSWER, supplier_key(number), _as_it_came(found))
    return Present(equal=True, reference=str(held.value.id), answer=answer)


def _contracts(step: Step, item_number: str) -> pages.List[native.Contract]:
    # Those of other items would make the answer longer than a message may be.
    return pages.List(
        observe(step),
        tuple[native.Contract, ...],
        lambda held: any(names(line.item_number, item_number) for line in held.lines),
        partial(_answer_contracts, item_number),
        remedy="Give this client a view of the contracts of its plants only",
    )


def _answer_contracts(item_number: str, found: tuple[Row[native.Contract], ...]) -> Observed:
    answer = Answer(CONTRACTS_ANSWER, coverage_key(item_number), _as_it_came(found))
    return Present(equal=True, answer=answer)


def _as_it_came(found: tuple[Row[T], ...]) -> bytes:
    return encode([msgspec.Raw(row.raw) for row in found])


# --- reviews ---


def review_body(review: RequestReview) -> native.ReviewBody:
    """The request for a decision; it names one item, the others stand in the reason.

    Raises: InvalidMessage for a review about nothing.
    """
    if not review.items:
        raise InvalidMessage(
            "review-without-item",
            f"The review {review.reference} names no item",
            where=supplier_key(review.supplier),
            remedy="Name at least one item that is to be bought",
        )
    first, *others = review.items
    also = f" (also for {', '.join(others)})" if others else ""
    return native.ReviewBody(
        external_ref=review.reference,
        supplier=native.SupplierNumber(review.supplier),
        item=native.ItemNumber(first),
        change=review.change,
        reason=f"{review.reason}{also}",
    )


def _reviews(step: Step, review: RequestReview | CloseReview) -> pages.List[native.Review]:
    return pages.List(
        observe(step),
        tuple[native.Review, ...],
        lambda held: held.external_ref == review.reference,
        partial(_compare_review, review),
    )


def _compare_review(
    review: RequestReview | CloseReview, found: tuple[Row[native.Review], ...]
) -> Observed:
    row = rest.only(found, f"review/{review.reference}")
    if row is None:
        # Nothing that was never opened is closed: the decision was here before the request.
        return Absent() if isinstance(review, RequestReview) else Present(equal=True)
    held = row.value
    if held.supplier.number != review.supplier:
        raise Conflict(
            "review-differs",
            f"Review {review.reference} is about supplier "
            + answers.printable(held.supplier.number),
            where=supplier_key(review.supplier),
            remedy="Find out in procurement who used this reference",
        )
    is_open = held.status != REVIEW_CLOSED
    if isinstance(review, CloseReview):
        # Closed whichever way, it stays so: whoever closed it first has said what it came to.
        is_equal, wanted = not is_open, REVIEW_CLOSED
    else:
        # One that was decided is not asked for again, but one that was only taken back is.
        is_equal, wanted = is_open or held.verdict != WITHDRAWN, REVIEW_OPEN
    differs = () if is_equal else rest.differing((("status", held.status, wanted),))
    return Present(equal=is_equal, reference=str(held.id), differences=differs)


def _unsupported(operation: Operation) -> Misconfigured:
    return Misconfigured(
        "operation-unsupported",
        f"Procurement has no {verb(operation)} that could be called so",
        remedy="Correct the routes: this operation belongs to another system",
    )


def driver(own: OwnWords = NO_WORDS) -> Driver:
    """The driver for a procurement that has these words of its own."""
    return Driver(
        name="coupa",
        operations=(
            PublishItem,
            PutSupplier,
            PutOrder,
            ReadCoverage,
            ReadSupplier,
            ReadObject,
            RequestReview,
            CloseReview,
        ),
        observe=observe,
        read=partial(read, own=own),
        write=partial(write, own=own),
        confirm=confirm,
        worded=driver,
    )


DRIVER = driver()
