"""SQL for order: how far a flow has come with a business object, and the events it has missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from broker.store.connection import Position, Tx
from broker.store.messages import delivery_of
from canonical.envelope import Lane
from canonical.handler import Delivery

OrderKey = tuple[str, str]
"""(order scope of a flow, business key)"""


class Claim(msgspec.Struct, frozen=True):
    """What a batch says about one (scope, key) before it locks it.

    sequence: highest number among its events, 0 if there is none. newest: highest version among
    messages of which the latest wins, None if there is none.
    """

    sequence: int = 0
    newest: int | None = None


class Taken(msgspec.Struct, frozen=True):
    """How far a flow had come with an object when the batch locked it.

    done: all events up to this number had been taken before. newest: as in Claim, this batch
    included.
    """

    done: int = 0
    newest: int | None = None


class Gap(msgspec.Struct, frozen=True):
    """Numbers a flow has not taken: after < n < before."""

    key: OrderKey
    after: int
    before: int


class LoggedEvent(msgspec.Struct, frozen=True):
    """An event of ours as it stands in the log, for the flow of `scope`."""

    scope: str
    position: Position
    lane: Lane
    delivery: Delivery


async def lock_order(tx: Tx, claims: Mapping[OrderKey, Claim]) -> dict[OrderKey, Taken]:
    """The objects are ours until the transaction ends, and count as taken up to the claimed number.

    The first lock of every batch, in the order of the keys: two batches with a message of one
    object are decided one after the other, whatever queue, lane or process they came through.
    """
    keys = sorted(claims)
    rows = await tx.fetch(
        """
        insert into flow_order as f (scope, key, done, newest)
        select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
               as c(scope, key, done, newest)
        on conflict (scope, key) do update
        set before = f.done, done = greatest(f.done, excluded.done),
            newest = greatest(f.newest, excluded.newest)
        returning scope, key, before, newest
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        [claims[k].sequence for k in keys],
        [claims[k].newest for k in keys],
    )
    return {(r["scope"], r["key"]): Taken(r["before"], r["newest"]) for r in rows}


async def newest_versions(tx: Tx, keys: Sequence[OrderKey]) -> dict[OrderKey, int]:
    """The highest version taken per object, where the latest wins."""
    rows = await tx.fetch(
        """
        select f.scope, f.key, f.newest
        from flow_order f join unnest($1::text[], $2::text[]) as w(scope, key) using (scope, key)
        where f.newest is not null
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return {(r["scope"], r["key"]): r["newest"] for r in rows}


async def missed_events(tx: Tx, gaps: Sequence[Gap], *, since: datetime) -> list[LoggedEvent]:
    """The events in these gaps that the log holds, none older than `since`, by their number.

    Older ones would be refused as too late if they were delivered now.
    """
    rows = await tx.fetch(
        """
        select g.scope, m.at, m.seq, m.lane, m.source, m.kind, m.body, m.content_type, m.message_id,
               m.attributes
        from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
             as g(scope, key, after, before)
        join message m on m.key = g.key and m.sequence > g.after and m.sequence < g.before
        where m.direction = 'out' and m.at >= $5
        order by g.scope, m.key, m.sequence
        """,
        [g.key[0] for g in gaps],
        [g.key[1] for g in gaps],
        [g.after for g in gaps],
        [g.before for g in gaps],
        since,
    )
    return [
        LoggedEvent(
            scope=r["scope"],
            position=Position(r["at"], r["seq"]),
            lane=r["lane"],
            delivery=delivery_of(r),
        )
        for r in rows
    ]
