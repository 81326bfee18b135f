"""SQL for selections: messages of the log, looked through in bounded pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import cast

import asyncpg
import msgspec

from broker.store.connection import Position, Tx
from broker.store.messages import delivery_of
from canonical.envelope import Lane
from canonical.handler import Delivery

# Rows of the log that one statement looks through for a slice, whatever they are: some 10 ms.
SCAN = 5_000
LAST = 2**63 - 1


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages of the log; what is left empty selects everything.

    types: message types as the log has them. since, until: by the time they were logged; until is
    not included. cases: exception cases; the messages they are about. What nobody could read is
    selected only by its type, "unread", or its case.
    """

    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    correlation_id: str = ""
    cases: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the log has it."""

    position: Position
    direction: str
    id: str
    type: str
    key: str
    correlation_id: str
    lane: Lane
    delivery: Delivery


class Slice(msgspec.Struct, frozen=True):
    """The next selected messages, and how far the log was looked through for them."""

    messages: tuple[Logged, ...]
    cursor: Position


class Extent(msgspec.Struct, frozen=True):
    """How much a selection is, and where in the log it begins and ends."""

    messages: int
    keys: int
    span: tuple[datetime, datetime] | None


class Group(msgspec.Struct, frozen=True):
    """Messages of one type and source on one day (UTC)."""

    type: str
    source: str
    day: str
    messages: int


# $1 to $7, m is the row of the log
_SELECTED = """
    ($1::text[] is null or m.type = any($1)) and ($2::text[] is null or m.source = any($2))
    and ($3::text[] is null or m.key = any($3))
    and ($4::text is null or m.correlation_id = $4)
    and ($5::bigint[] is null or exists (
        select from exception_case c
        where c.id = any($5) and c.message_at = m.at and c.message_seq = m.seq))
    and ($6::timestamptz is null or m.at >= $6) and ($7::timestamptz is null or m.at < $7)
    -- refused for how they came, not only for what they say: never by the way
    and (m.type <> 'unread' or 'unread' = any($1) or $5::bigint[] is not null)
"""


def _selecting(selection: Selection) -> tuple[object, ...]:
    return (
        list(selection.types) or None,
        list(selection.sources) or None,
        list(selection.keys) or None,
        selection.correlation_id or None,
        list(selection.cases) or None,
        selection.since,
        selection.until,
    )


async def extent(tx: Tx, selection: Selection) -> Extent:
    """How much is selected now."""
    row = await tx.fetchrow(
        f"""
        select count(*) as messages, count(distinct m.key) as keys, min(m.at) as first,
               max(m.at) as last
        from message m where {_SELECTED}
        """,
        *_selecting(selection),
    )
    assert row is not None
    span = (row["first"], row["last"]) if row["messages"] else None
    return Extent(row["messages"], row["keys"], span)


async def groups(tx: Tx, selection: Selection) -> list[Group]:
    """The selection by type, source and day."""
    rows = await tx.fetch(
        f"""
        select m.type, m.source, ((m.at at time zone 'UTC')::date)::text as day,
               count(*) as messages
        from message m where {_SELECTED} group by 1, 2, 3 order by 3, 1, 2
        """,
        *_selecting(selection),
    )
    return [Group(**dict(r)) for r in rows]


async def next_slice(
    tx: Tx, selection: Selection, *, after: Position, end: Position, limit: int
) -> Slice:
    """The next messages after a place of the log, looking through a bounded part of it."""
    # `at` alone prunes the days: row comparisons do not
    window = await tx.fetchrow(
        """
        select at, seq from (
            select at, seq from message
            where at >= $1 and at <= $3 and (at, seq) > ($1, $2) and (at, seq) <= ($3, $4)
            order by at, seq limit $5
        ) w order by at desc, seq desc limit 1
        """,
        after.at,
        after.seq,
        end.at,
        end.seq,
        SCAN,
    )
    if window is None:
        return Slice((), end)
    to = Position(window["at"], window["seq"])
    rows = await tx.fetch(
        f"""
        select m.* from message m
        where m.at >= $8 and m.at <= $10 and (m.at, m.seq) > ($8, $9)
          and (m.at, m.seq) <= ($10, $11) and {_SELECTED}
        order by m.at, m.seq limit $12
        """,
        *_selecting(selection),
        after.at,
        after.seq,
        to.at,
        to.seq,
        limit,
    )
    messages = tuple(_logged(r) for r in rows)
    return Slice(messages, messages[-1].position if len(messages) == limit else to)


async def pieces(
    tx: Tx, selection: Selection, extent: Extent, *, size: int, at_most: int
) -> AsyncIterator[tuple[Logged, ...]]:
    """All that is selected, the oldest first, until there are `at_most` of them."""
    if extent.span is None:
        return
    cursor, end = Position(extent.span[0], -1), Position(extent.span[1], LAST)
    seen = 0
    while cursor != end and seen < at_most:
        limit = min(size, at_most - seen)
        found = await next_slice(tx, selection, after=cursor, end=end, limit=limit)
        cursor = found.cursor
        seen += len(found.messages)
        yield found.messages


def _logged(row: asyncpg.Record) -> Logged:
    return Logged(
        position=Position(row["at"], row["seq"]),
        direction=row["direction"],
        id=row["id"],
        type=row["type"],
        key=row["key"],
        correlation_id=row["correlation_id"],
        lane=cast(Lane, row["lane"]),
        delivery=delivery_of(row),
    )
