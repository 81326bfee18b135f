"""The driver for Arena: changes are read with their items, items with their BOM and their sources,
and suppliers; and changes are told in the end that they are done.

What a read brings back is one statement as `inbound`, `item` or `supplier` takes it, put together
from the calls that Arena needs for it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

import msgspec

from canonical.change import change_key
from canonical.codec import decode_json, encode
from canonical.connector import Answer, Confirmed, Driver, More, Observed, Present, Write
from canonical.effects import Step
from canonical.errors import (
    Conflict,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.item import item_key
from canonical.operations import Operation, ReadObject, Reconcile, ReportImplementation, verb
from canonical.supplier import supplier_key
from canonical.text import normalise_id
from handlers.systems import answers
from handlers.systems.answers import Refusal
from handlers.systems.arena import native
from handlers.systems.arena.gone import TYPE as GONE_ANSWER
from handlers.systems.arena.inbound import TYPE as CHANGE_ANSWER
from handlers.systems.arena.item import TYPE as ITEM_ANSWER
from handlers.systems.arena.notice import ITEM_TYPE
from handlers.systems.arena.supplier import TYPE as SUPPLIER_ANSWER
from handlers.systems.arena.words import (
    COMPLETABLE,
    COMPLETED,
    IMPLEMENTATION,
    READ_CHANGE,
    READ_EVENT,
    READ_ITEM,
    READ_SUPPLIER,
    UNDER_WAY,
)

_JSON = (("Accept", "application/json"),)
# 20 characters of A-Z and 0-9 in everything that Arena shows; compared as they are.
_GUID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
# How Arena words a daily allowance that is used up, and a session that is over.
_ALLOWANCE_USED_UP = re.compile(r"exceeded your maximum", re.IGNORECASE)
_NO_SESSION = "401"
# A guid is not valid, an object is not found: the second one by its place in the vendor's list.
_GONE = frozenset({"3011", "3012"})
_RESET = "x-arena-next-request-limit-reset"
# Rows that a list has at most in one answer.
MAX_PAGE = 400
# One look has this many at most; of an item the first three are itself, its BOM and its sources.
MOST_CALLS = 20
_CALLS_OF_AN_ITEM = 3


def observe(step: Step) -> Request:
    """The read of the change, the item, the supplier or the queue's entry.

    Raises: InvalidMessage for an id that is no guid.
    """
    match step.operation:
        case ReadObject(kind=kind, id=guid) if kind == READ_CHANGE:
            return _get(_change_path(guid))
        case ReadObject(kind=kind, id=notice) if kind == READ_EVENT:
            return _get(_event_path(notice))
        case ReadObject(kind=kind, id=guid) if kind == READ_ITEM:
            return _get(_item_path(guid))
        case ReadObject(kind=kind, id=guid) if kind == READ_SUPPLIER:
            return _get(_supplier_path(guid))
        case ReportImplementation(source_id=guid):
            return _get(_change_path(guid))
        case Reconcile(notice=notice, item=""):
            return _get(_event_path(notice))
        case Reconcile(notice=notice):
            return _event_items(notice, 0)
        case other:
            raise _unsupported(other)


def read(step: Step, response: Response) -> Observed | More:
    """What Arena holds, compared with what the step wants; of a read the part that came, and the
    next call, or that the object is gone.

    Raises: besides those of `Driver`, Conflict where the object has another number by now.
    """
    match step.operation:
        case ReadObject(kind=kind) as asked if kind == READ_EVENT:
            if _is_entry_gone(asked.id, response):
                return _without_entry(asked)
        case ReadObject() as asked if _is_gone(asked.id, response):
            return _gone(asked, asked.kind, asked.id)
    _check_success(response, wrote=False)
    match step.operation:
        case ReadObject(kind=kind) as asked if kind == READ_CHANGE:
            return _read_change(asked, asked.id, None, response)
        case ReadObject(kind=kind) as asked if kind == READ_EVENT:
            return _read_event(asked, response)
        case ReadObject(kind=kind) as asked if kind == READ_ITEM:
            return _read_item(asked, response)
        case ReadObject(kind=kind) as asked if kind == READ_SUPPLIER:
            return _read_supplier(asked, response)
        case ReportImplementation() as report:
            return _read_status(report, response)
        case Reconcile(item="") as wanted:
            return _read_reconciled(wanted, response)
        case Reconcile() as wanted:
            return _read_reconciled_item(wanted, 0, response)
        case other:
            raise _unsupported(other)


def write(step: Step, observed: Observed, key: str) -> Write | None:
    """The completion of the change, or the mark on the queue's entry or its item; None for reads.

    Arena has no idempotency key. Either write may be made twice: the second one is refused, or
    changes nothing.
    """
    match step.operation, observed:
        case ReportImplementation() as report, Present():
            return _write("POST", "/changes/statuschanges", completion(report))
        case Reconcile(notice=notice, item=""), Present():
            return _write("PUT", _event_path(notice), native.ReconcileBody())
        case Reconcile(notice=notice), Present(reference=guid):
            path = f"{_event_path(notice)}/items/{_checked(guid)}"
            return _write("PUT", path, native.ReconcileItemBody())
        case _:
            return None


def confirm(step: Step, response: Response) -> Confirmed:
    """That Arena shows the change, or the entry or its item, as it was written."""
    _check_success(response, wrote=True)
    match step.operation:
        case ReportImplementation() as report:
            wanted = completion(report)
            made = answers.decode(response, native.StatusChange, wrote=True)
            shown = made.change, made.status, made.implementation_status
            if shown != (wanted.change, wanted.status, wanted.implementation_status):
                raise _not_as_written("/changes/statuschanges")
            return Confirmed(reference=report.change)
        case Reconcile(notice=notice, item=""):
            event = answers.decode(response, native.QueueEvent, wrote=True)
            if event.guid != _entry_of(notice).event or not event.items_reconciled:
                raise _not_as_written(_event_path(notice))
            return Confirmed(reference=event.guid)
        case Reconcile(notice=notice, item=item):
            marked = answers.decode(response, native.EventItem, wrote=True)
            if not marked.reconciled or _number_of(marked) != item:
                raise _not_as_written(f"{_event_path(notice)}/items")
            return Confirmed(reference=marked.guid)
        case other:
            raise _unsupported(other)


# --- reads ---


def _read_event(asked: ReadObject, response: Response) -> More:
    """The entry says which change is to be read."""
    event = _event(asked.id, response)
    if event.change is None:
        raise Rejected(
            "event-without-change",
            f"Event {event.guid} names no change",
            where=asked.key,
            remedy=f"Send the items of the entry instead, each by itself, as {ITEM_TYPE}",
            owner="engineering",
        )
    notice = native.Event(guid=event.guid, integration=_entry_of(asked.id).integration)
    guid = event.change.guid
    return More(_get(_change_path(guid)), partial(_then_change, asked, guid, notice))


def _is_entry_gone(notice: str, response: Response) -> bool:
    """Whether Arena has the entry no more, or the whole queue."""
    entry = _entry_of(notice)
    return any(_is_gone(guid, response) for guid in (entry.event, entry.integration))


def _without_entry(asked: ReadObject) -> Observed | More:
    """The change itself, with no entry to be marked in the end; gone where the id of the read does
    not name it."""
    entry = _entry_of(asked.id)
    if not entry.change:
        return _gone(asked, READ_EVENT, entry.event)
    return More(_get(_change_path(entry.change)), partial(_then_change, asked, entry.change, None))


def _then_change(
    asked: ReadObject, guid: str, notice: native.Event | None, response: Response
) -> Observed | More:
    if _is_gone(guid, response):
        return _gone(asked, READ_CHANGE, guid)
    _check_success(response, wrote=False)
    return _read_change(asked, guid, notice, response)


def _read_change(
    asked: ReadObject, guid: str, notice: native.Event | None, response: Response
) -> More:
    """The change without its items, which are another call."""
    change = _change(guid, response)
    number = normalise_id(change.number, where="change.number")
    if change_key(number) != asked.key:
        raise _renumbered("change", asked.key, number)
    return More(
        _get(f"{_change_path(guid)}/items"),
        partial(_read_items, asked, response.body, notice),
    )


def _read_items(
    asked: ReadObject, change: bytes, notice: native.Event | None, response: Response
) -> Observed:
    """The change with its items, as one statement.

    Raises: Misconfigured for a list that is cut off: what is missing would count as not affected.
    """
    _check_success(response, wrote=False)
    listed = answers.decode(response, native.ChangeItems, wrote=False)
    _check_whole(listed.count, len(listed.results), "affected items", asked.key)
    statement = {"change": msgspec.Raw(change), "changeItems": msgspec.Raw(response.body)}
    body = encode(statement | ({"event": notice} if notice else {}))
    return Present(equal=True, answer=Answer(CHANGE_ANSWER, asked.key, body))


def _is_gone(guid: str, response: Response) -> bool:
    """Whether Arena refuses the very guid that was asked for: it answers so for what is deleted."""
    document = _error_document(response)
    if document is None or 400 not in (response.status, document.status):
        return False
    asked = re.compile(rf"\b{re.escape(guid)}\b")
    return any(
        str(said.code) in _GONE and asked.search(said.message or "") for said in document.errors
    )


def _gone(asked: ReadObject, kind: str, guid: str) -> Present:
    body = encode(native.Gone(gone=True, kind=kind, id=guid))
    return Present(equal=True, answer=Answer(GONE_ANSWER, asked.key, body))


# --- reads of items ---


class _Parts(msgspec.Struct, frozen=True):
    """What has come of an item so far, each answer as it came.

    wanted, makers: guids of supplier items, and of suppliers, that are still to be read. vendors:
    of supplier items that are read once the makers' are, if all of them can be. known: of suppliers
    that have been read.
    """

    asked: ReadObject
    item: bytes
    bom: bytes = b""
    sourcing: bytes = b""
    supplier_items: tuple[bytes, ...] = ()
    suppliers: tuple[bytes, ...] = ()
    wanted: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()


def _read_item(asked: ReadObject, response: Response) -> More:
    """The item without its BOM and its sources, which are other calls."""
    item = answers.decode(response, native.ItemSpecs, wrote=False)
    if item.guid != asked.id:
        raise _about_another(asked.id, item.guid)
    number = normalise_id(item.number, where="item.number")
    if item_key(number) != asked.key:
        raise _renumbered("item", asked.key, number)
    parts = _Parts(asked, response.body)
    return More(_get(f"{_item_path(asked.id)}/bom"), partial(_read_bom, parts))


def _read_bom(parts: _Parts, response: Response) -> More:
    _check_success(response, wrote=False)
    listed = answers.decode(response, native.BomRows, wrote=False)
    _check_whole(listed.count, len(listed.results), "lines of the BOM", parts.asked.key)
    parts = msgspec.structs.replace(parts, bom=response.body)
    sourcing = _get(f"{_item_path(parts.asked.id)}/sourcing", ("limit", str(MAX_PAGE)))
    return More(sourcing, partial(_read_sourcing, parts))


def _read_sourcing(parts: _Parts, response: Response) -> Observed | More:
    _check_success(response, wrote=False)
    listed = answers.decode(response, native.SourceRows, wrote=False)
    found = len(listed.results)
    # Whether `count` is of the list or of the page is not documented: a full page may not be all.
    count = max(listed.count, found + 1) if found >= MAX_PAGE else listed.count
    _check_whole(count, found, "sources", parts.asked.key)
    rows = [row for row in listed.results if not row.make_item]
    wanted = dict.fromkeys(row.mfr_item.guid for row in rows if row.mfr_item)
    vendors = dict.fromkeys(row.vendor_item.guid for row in rows if row.vendor_item)
    return _next(
        msgspec.structs.replace(
            parts,
            sourcing=response.body,
            wanted=tuple(wanted),
            vendors=tuple(guid for guid in vendors if guid not in wanted),
        )
    )


def _read_supplier_item(parts: _Parts, response: Response) -> Observed | More:
    _check_success(response, wrote=False)
    asked, *wanted = parts.wanted
    makers = parts.makers
    part = answers.decode(response, native.SupplierItem, wrote=False)
    if part.guid != asked:
        raise _about_another(asked, part.guid)
    if part.supplier.guid not in parts.known:
        makers = tuple(dict.fromkeys((*makers, part.supplier.guid)))
    return _next(
        msgspec.structs.replace(
            parts,
            supplier_items=(*parts.supplier_items, response.body),
            wanted=tuple(wanted),
            makers=makers,
        )
    )


def _read_maker(parts: _Parts, response: Response) -> Observed | More:
    _check_success(response, wrote=False)
    asked, *makers = parts.makers
    maker = answers.decode(response, native.SupplierProfile, wrote=False)
    if maker.guid != asked:
        raise _about_another(asked, maker.guid)
    return _next(
        msgspec.structs.replace(
            parts,
            suppliers=(*parts.suppliers, response.body),
            makers=tuple(makers),
            known=parts.known | {asked},
        )
    )


def _next(parts: _Parts) -> Observed | More:
    """The call that is still to be made, or the item as one statement.

    Raises: Rejected where that would take more calls than a look may have; for want of vendors that
        would, the item is not refused.
    """
    if parts.vendors and not parts.wanted and not parts.makers:
        return _next(_with_vendors(parts))
    made = _CALLS_OF_AN_ITEM + len(parts.supplier_items) + len(parts.suppliers)
    left = len(parts.wanted) + len(parts.makers)
    # Where parts are to be read, one of their makers is too.
    if made + left + bool(parts.wanted and not parts.makers) > MOST_CALLS:
        raise Rejected(
            "item-with-many-sources",
            f"The approved parts and their makers take more than {MOST_CALLS} calls to read",
            where=parts.asked.key,
            remedy="Send the item as a statement (arena.item) or a package, then close the case",
            owner="engineering",
        )
    if parts.wanted:
        request = _get(f"/supplieritems/{_checked(parts.wanted[0])}")
        return More(request, partial(_read_supplier_item, parts))
    if parts.makers:
        request = _get(_supplier_path(parts.makers[0]))
        return More(request, partial(_read_maker, parts))
    return _stated(parts)


def _with_vendors(parts: _Parts) -> _Parts:
    """All of the vendors' parts wanted, or none where they and their suppliers may be too many."""
    made = _CALLS_OF_AN_ITEM + len(parts.supplier_items) + len(parts.suppliers)
    wanted = parts.vendors if made + 2 * len(parts.vendors) <= MOST_CALLS else ()
    return msgspec.structs.replace(parts, wanted=wanted, vendors=())


def _stated(parts: _Parts) -> Present:
    statement = {
        "item": msgspec.Raw(parts.item),
        "bom": msgspec.Raw(parts.bom),
        "sourcing": msgspec.Raw(parts.sourcing),
        "supplierItems": [msgspec.Raw(part) for part in parts.supplier_items],
        "suppliers": [msgspec.Raw(maker) for maker in parts.suppliers],
    }
    answer = Answer(ITEM_ANSWER, parts.asked.key, encode(statement))
    return Present(equal=True, answer=answer)


# --- reads of suppliers ---


def _read_supplier(asked: ReadObject, response: Response) -> Observed:
    """The supplier as one statement; one that has no number any more is renumbered too."""
    supplier = answers.decode(response, native.SupplierSpecs, wrote=False)
    if supplier.guid != asked.id:
        raise _about_another(asked.id, supplier.guid)
    stated = supplier.supplier_id or ""
    number = normalise_id(stated, where="supplier.supplierId") if stated.strip() else ""
    if supplier_key(number) != asked.key:
        raise _renumbered("supplier", asked.key, number)
    body = encode({"supplier": msgspec.Raw(response.body)})
    return Present(equal=True, answer=Answer(SUPPLIER_ANSWER, asked.key, body))


# --- what is reported ---


def completion(report: ReportImplementation) -> native.StatusChange:
    """The step of the workflow that closes the change; the only one that takes this status."""
    return native.StatusChange(
        change=native.Guid(report.source_id),
        status=COMPLETED,
        implementation_status=native.Value(IMPLEMENTATION[report.status]),
        comment=report.comment,
    )


def _read_status(report: ReportImplementation, response: Response) -> Observed:
    change = _change(report.source_id, response)
    number = normalise_id(change.number, where="change.number")
    if number != report.change:
        raise _renumbered("change", change_key(report.change), number)
    status, wanted = change.lifecycle_status.type, IMPLEMENTATION[report.status]
    held = change.implementation_status or ""
    if status == COMPLETED and held == wanted:
        return Present(equal=True, reference=number)
    if status in COMPLETABLE:
        return Present(
            equal=False,
            reference=number,
            differences=(f"status: {status}, wanted {COMPLETED}",),
        )
    shown = answers.printable(f"{status}, implementation {held or 'not stated'}")
    if status in UNDER_WAY:
        raise Unavailable("change-not-effective", f"The change is {shown}", where=report.change)
    raise Conflict(
        "change-status-differs",
        f"The change is {shown}; it cannot be completed from there",
        where=change_key(report.change),
        remedy="Have a change administrator put it right in Arena, then release the step again",
        owner="engineering",
    )


def _read_reconciled(wanted: Reconcile, response: Response) -> Observed:
    event = _event(wanted.notice, response)
    if event.items_reconciled:
        return Present(equal=True, reference=event.guid)
    return Present(
        equal=False,
        reference=event.guid,
        differences=("itemsReconciled: false, wanted true",),
    )


def _read_reconciled_item(wanted: Reconcile, offset: int, response: Response) -> Observed | More:
    """Whether the item is marked in the entry; the next page where it may stand there.

    Raises: Conflict for an entry that does not have the item.
    """
    if offset:
        _check_success(response, wrote=False)
    rows = answers.decode(response, native.EventItems, wrote=False).results
    listed = next((row for row in rows if _number_of(row) == wanted.item), None)
    if listed is None and len(rows) >= MAX_PAGE:
        page = _event_items(wanted.notice, offset + len(rows))
        return More(page, partial(_read_reconciled_item, wanted, offset + len(rows)))
    if listed is None:
        raise Conflict(
            "event-item-missing",
            f"The entry of {answers.printable(wanted.change)} does not name the item",
            where=item_key(wanted.item),
            remedy="Find out in Arena what became of it, then mark the entry there",
            owner="engineering",
        )
    return Present(
        equal=listed.reconciled,
        reference=listed.guid,
        differences=() if listed.reconciled else ("reconciled: false, wanted true",),
    )


def _number_of(listed: native.EventItem) -> str:
    return normalise_id(listed.effective_item_revision.number, where="effectiveItemRevision.number")


# --- protocol ---


def _get(path: str, *query: tuple[str, str]) -> Request:
    return Request("GET", path, query=query, headers=_JSON, effectful=False)


def _write(method: str, path: str, body: msgspec.Struct) -> Write:
    headers = (*_JSON, ("Content-Type", "application/json"))
    return Write(Request(method, path, headers=headers, body=encode(body)), completes=True)


def _item_path(guid: str) -> str:
    return f"/items/{_checked(guid)}"


def _supplier_path(guid: str) -> str:
    return f"/suppliers/{_checked(guid)}"


def _change_path(guid: str) -> str:
    return f"/changes/{_checked(guid)}"


class _Entry(NamedTuple):
    """An entry of a queue by its guids; change: that it names, "" where that is not said."""

    integration: str
    event: str
    change: str


def _entry_of(notice: str) -> _Entry:
    integration, _, rest = notice.partition("/")
    event, _, change = rest.partition("/")
    return _Entry(_checked(integration), _checked(event), _checked(change) if change else "")


def _event_path(notice: str) -> str:
    entry = _entry_of(notice)
    return f"/outboundintegrations/{entry.integration}/events/{entry.event}"


def _event_items(notice: str, offset: int) -> Request:
    page = (("limit", str(MAX_PAGE)), ("offset", str(offset)))
    return _get(f"{_event_path(notice)}/items", ("reconciled", "any"), *page)


def _checked(guid: str) -> str:
    if not _GUID.fullmatch(guid):
        raise InvalidMessage(
            "guid-malformed",
            f"{answers.printable(guid, 64)!r} is no guid of Arena's",
            where="guid",
            remedy="Send the object's guid",
        )
    return guid


def _change(guid: str, response: Response) -> native.Change:
    change = answers.decode(response, native.Change, wrote=False)
    if change.guid != guid:
        raise _about_another(guid, change.guid)
    return change


def _event(notice: str, response: Response) -> native.QueueEvent:
    event = answers.decode(response, native.QueueEvent, wrote=False)
    asked = _entry_of(notice).event
    if event.guid != asked:
        raise _about_another(asked, event.guid)
    return event


def _about_another(asked: str, found: str) -> Misconfigured:
    return Misconfigured(
        "answer-about-another",
        f"{asked} was asked for, the answer is about {answers.printable(found, 64)}",
        where="answer",
        remedy="Check what stands between Layshaft and Arena: a cache, a proxy",
    )


def _check_whole(count: int, found: int, what: str, key: str) -> None:
    """Raises: Misconfigured for a list that is cut off: what is missing would count as gone."""
    if count != found:
        raise Misconfigured(
            "answer-incomplete",
            f"Arena lists {found} of {count} {what}",
            where=key,
            remedy="Give this user access to all of them, or make the list shorter",
        )


def _renumbered(what: str, key: str, number: str) -> Conflict:
    return Conflict(
        f"{what}-renumbered",
        f"Arena calls the {what} {answers.printable(number)} by now",
        where=key,
        remedy="Give it its number back in Arena, then release the step again",
        owner="engineering",
    )


def _not_as_written(where: str) -> InDoubt:
    return InDoubt("answer-differs", "Arena confirmed something else than was written", where=where)


def _unsupported(operation: Operation) -> Misconfigured:
    what = verb(operation)
    if isinstance(operation, ReadObject):
        what = f"{what} of kind {answers.printable(operation.kind, 40)!r}"
    return Misconfigured(
        "operation-unsupported",
        f"Arena has no {what} that could be called so",
        remedy="Correct the routes: this operation belongs to another system",
    )


def _check_success(response: Response, *, wrote: bool) -> None:
    """Raises: what the answer means unless it is a 2xx one whose body is no error document."""
    document = _error_document(response)
    if document is None and response.status in (200, 201):
        return
    if document is not None and response.status < 400 <= document.status:
        response = msgspec.structs.replace(response, status=document.status)
    refusal = _refusal_of(document, response)
    if _ALLOWANCE_USED_UP.search(refusal.text):
        response = msgspec.structs.replace(response, status=429)
    raise answers.failure(_with_pause(response), refusal, wrote=wrote)


def _error_document(response: Response) -> native.ErrorDocument | None:
    try:
        return decode_json(response.body, native.ErrorDocument)
    except InvalidMessage:
        return None


def _refusal_of(document: native.ErrorDocument | None, response: Response) -> Refusal:
    """Arena's own words; empty where there are none."""
    if document is None:
        is_page = answers.is_page(response)
        return Refusal(
            text="" if is_page else response.body[:300].decode(errors="replace"),
            meaning="session" if response.status == 401 else "",
        )
    codes = [str(said.code) for said in document.errors]
    return Refusal(
        code=codes[0],
        text="; ".join(said.message for said in document.errors if said.message),
        # The channel has logged in anew by then: somebody else has as the same user.
        meaning="session" if response.status == 401 or _NO_SESSION in codes else "",
    )


def _with_pause(response: Response) -> Response:
    """An allowance that is used up says when the next one begins, where other targets say how long
    to wait."""
    reset = response.headers.get(_RESET, "")
    if response.status != 429 or not reset or "retry-after" in response.headers:
        return response
    headers = {**response.headers, "retry-after": reset}
    return msgspec.structs.replace(response, headers=headers)


DRIVER = Driver(
    name="arena",
    observe=observe,
    read=read,
    write=write,
    confirm=confirm,
    operations=(ReadObject, ReportImplementation, Reconcile),
)
