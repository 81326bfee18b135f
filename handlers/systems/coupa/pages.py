"""Lists of procurement's, page by page: what is looked for is known when the last page was read.

A row that somebody publishes or withdraws meanwhile moves all that stand behind it. So each page
begins with the last row of the one before: where it does not, rows were passed over or came twice,
and the list is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import msgspec

from canonical.connector import More, Observed
from canonical.errors import Misconfigured, Unavailable
from canonical.exchange import Request, Response
from handlers.systems.coupa import native, rest

T = TypeVar("T")

# One look has so many calls at most.
MOST_PAGES = 20
# All pages but the first bring one row less that is new.
MOST_ROWS = MOST_PAGES * (rest.PAGE - 1)


class Row(msgspec.Struct, Generic[T], frozen=True):
    """An object of a list. raw: as it came."""

    value: T
    raw: bytes


class List(msgspec.Struct, Generic[T], frozen=True):
    """A list that is asked for.

    asked: its first page. is_sought: which of its objects are looked for; the others are not kept.
    then: those -> what is there. remedy: what to do about a list of more than MOST_ROWS.
    """

    asked: Request
    kind: type[tuple[T, ...]]
    is_sought: Callable[[T], bool]
    then: Callable[[tuple[Row[T], ...]], Observed]
    remedy: str = "Check that this interface version can be asked by this field"


class _Read(msgspec.Struct, Generic[T], frozen=True):
    """What the pages so far have brought. ids: of all their rows, in the order of the list."""

    found: tuple[Row[T], ...] = ()
    ids: tuple[int, ...] = ()
    pages: int = 0


def read(listed: List[T], response: Response) -> Observed | More:
    """What is there, once the list has ended; before that, the next page.

    Raises: besides those of `Driver.read`, Unavailable where rows moved while they were read;
        Misconfigured for a list that is too long: what stands behind would count as absent, and an
        object would be created a second time.
    """
    return _read_page(listed, _Read(), response)


def _read_page(listed: List[T], before: _Read[T], response: Response) -> Observed | More:
    if response.status != 200:
        raise rest.failure(response, wrote=False)
    rows = _rows(listed.kind, response)
    is_last = len(rows) < rest.PAGE
    # On the first page that is the last one ids tell nothing.
    ids = () if is_last and not before.pages else _ids(response)
    if before.pages:
        _check_continues(listed, before.ids, ids)
        rows, ids = rows[1:], ids[1:]
    found = before.found + tuple(row for row in rows if listed.is_sought(row.value))
    if is_last:
        return listed.then(found)
    return _next(listed, _Read(found, before.ids + ids, before.pages + 1))


def _next(listed: List[T], so_far: _Read[T]) -> More:
    """The page that begins with the last row that has come."""
    count = len(so_far.ids)
    if so_far.pages >= MOST_PAGES:
        raise Misconfigured(
            "answer-incomplete",
            f"Procurement lists {count} objects on {MOST_PAGES} pages and there may be more",
            where=listed.asked.path,
            remedy=listed.remedy,
        )
    query = (*listed.asked.query, ("offset", str(count - 1)))
    request = msgspec.structs.replace(listed.asked, query=query)
    return More(request, partial(_read_page, listed, so_far))


def _rows(kind: type[tuple[T, ...]], response: Response) -> tuple[Row[T], ...]:
    values = rest.decoded(response, kind, wrote=False)
    raws = rest.decoded(response, tuple[msgspec.Raw, ...], wrote=False)
    return tuple(Row(value, bytes(raw)) for value, raw in zip(values, raws, strict=True))


def _ids(response: Response) -> tuple[int, ...]:
    listed = rest.decoded(response, tuple[native.Identified, ...], wrote=False)
    return tuple(row.id for row in listed)


def _check_continues(listed: List[T], before: tuple[int, ...], ids: tuple[int, ...]) -> None:
    """Raises: Unavailable where the page does not go on behind those before it."""
    if ids[:1] == before[-1:] and len({*before, *ids}) == len(before) + len(ids) - 1:
        return
    raise Unavailable(
        "list-moved",
        "The list changed while its pages were read: one does not begin where the one before ended,"
        " or has an object again",
        where=listed.asked.path,
        remedy="Where this comes again and again: check that pages can be asked for by offset",
    )
