"""SQL for selections: messages of the log, looked through in bounded pieces."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
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
_NEVER = datetime.min.replace(tzinfo=UTC)


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


class Group(msgspec.Struct, frozen=True):
    """Messages of one type and source on one day (UTC)."""

    type: str
    source: str
    day: str
    messages: int


class Extent(msgspec.Struct, frozen=True):
    """How much a selection is, and where in the log it begins and ends."""

    messages: int
    keys: int
    span: tuple[datetime, datetime] | None
    groups: tuple[Group, ...]


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

# $8 to $11: behind the first place, up to the second
_BETWEEN = """
    m.at >= $8 and m.at <= $10 and (m.at, m.seq) > ($8, $9) and (m.at, m.seq) <= ($10, $11)
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
    """How much is selected now.

    Keys, correlation ids and cases are indexed; for everything else the log is looked through in
    pieces, as for a slice, so that no statement is long.
    """
    rows: list[asyncpg.Record] = []
    if selection.keys or selection.correlation_id or selection.cases:
        rows = await _groups(tx, selection, "", ())
    else:
        cursor, end = await _ends(tx, selection)
        while (to := await _window(tx, cursor, end)) is not None:
            window = (cursor.at, cursor.seq, to.at, to.seq)
            rows += await _groups(tx, selection, f"and {_BETWEEN}", window)
            cursor = to
    counts: Counter[tuple[str, str, str]] = Counter()
    keys: set[str] = set()
    for r in rows:
        counts[r["day"], r["type"], r["source"]] += r["messages"]
        keys.update(r["keys"])
    return Extent(
        messages=counts.total(),
        keys=len(keys),
        span=(min(r["first"] for r in rows), max(r["last"] for r in rows)) if rows else None,
        groups=tuple(
            Group(type=t, source=source, day=day, messages=counts[day, t, source])
            for day, t, source in sorted(counts)
        ),
    )


async def _ends(tx: Tx, selection: Selection) -> tuple[Position, Position]:
    """Places of the log that everything selected now is between."""
    row = await tx.fetchrow("select min(at) as first, max(at) as last from message")
    assert row is not None
    first, last = row["first"] or _NEVER, row["last"] or _NEVER
    since = max(selection.since or first, first)
    before_until = Position(selection.until or last, -1 if selection.until else LAST)
    return Position(since, -1), min(before_until, Position(last, LAST))


async def _groups(
    tx: Tx, selection: Selection, where: str, window: tuple[object, ...]
) -> list[asyncpg.Record]:
    return await tx.fetch(
        f"""
        select m.type, m.source, ((m.at at time zone 'UTC')::date)::text as day,
               count(*) as messages, min(m.at) as first, max(m.at) as last,
               array_agg(distinct m.key) as keys
        from message m where {_SELECTED} {where} group by 1, 2, 3
        """,
        *_selecting(selection),
        *window,
    )


async def _window(tx: Tx, after: Position, end: Position) -> Position | None:
    """How far one statement looks through the log; None where there is nothing more."""
    # `at` alone prunes the days: row comparisons do not
    row = await tx.fetchrow(
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
    return Position(row["at"], row["seq"]) if row else None


async def next_slice(
    tx: Tx, selection: Selection, *, after: Position, end: Position, limit: int
) -> Slice:
    """The next messages after a place of the log, looking through a bounded part of it."""
    to = await _window(tx, after, end)
    if to is None:
        return Slice((), end)
    rows = await tx.fetch(
        f"""
        select m.* from message m
        where {_BETWEEN} and {_SELECTED}
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
