"""SQL for events: numbered and logged when emitted, published from the outbox.

A row of the outbox belongs to the process that committed it until `sweep_at`, or waits until then
because the broker refused it; due rows are the sweeper's. A row is nobody's turn while an older
row of its key is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from time import monotonic

import msgspec

from broker.store.connection import Position, Tx, emitted_by
from broker.store.handover import Emitted, Handover, OutboxRow, Owned
from canonical.envelope import Lane

RELAY_LOCK = 0x4C61_7953  # "LayS"
# One sweep takes the heads of so many keys, so many rows of each, and so many bytes of bodies.
SWEEP_KEYS = 200
SWEEP_DEPTH = 20
SWEEP_BYTES = 16 * 1024 * 1024
# A refused row rests half of this at least, doubled with each refusal up to the longest.
FIRST_REST_S = 0.5
LONGEST_REST_S = 10.0
# Of what no queue takes, one row is tried so often.
SCOUT_S = 1.0


class Emission(msgspec.Struct, frozen=True):
    """An event of ours about to be logged and put into the outbox."""

    id: str
    event: str
    type: str
    key: str
    lane: Lane
    exchange: str
    correlation_id: str
    causation_id: str
    body: bytes


class Refusal(msgspec.Struct, frozen=True):
    """A row the broker did not take, and why. jitter: 0 to 1, so that keys do not come in step."""

    id: int
    why: str
    jitter: float


class RefusedEvents(msgspec.Struct, frozen=True):
    """Events of one kind that the broker refuses."""

    exchange: str
    routing_key: str
    why: str
    since: datetime


def is_asked_for(tx: Tx, event: str) -> bool:
    """Whether somebody subscribes to the event, as far as this process knows; it asks that of
    events that are told on request."""
    return event in emitted_by(tx).subscribed


async def emit(tx: Tx, emissions: Sequence[Emission]) -> None:
    """The events are in the log, numbered per business object, and in the outbox.

    Where the transaction's process publishes by itself, rows with nothing of anybody else before
    them are its own for a while and are handed over after the commit. Crash before that: they
    lapse to the sweeper.
    """
    if not emissions:
        return
    numbers = await _number(tx, emissions)
    # The rows just locked keep every other emitter of these keys waiting until we commit. So this
    # later statement sees all older rows of its keys, and none can come in before ours.
    emitted = emitted_by(tx)
    body_bytes = sum(len(e.body) for e in emissions)
    handover = emitted.handover
    if handover is not None and not handover.has_room(len(emissions), body_bytes):
        handover = None
    tails = _tails(emitted, handover, {e.key for e in emissions})
    asked_at = monotonic()
    rows = await tx.fetch(
        """
        with emitted as (
            select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                 $6::text[], $7::bigint[], $8::text[], $9::text[], $10::bytea[])
                 with ordinality as e(id, type, key, correlation_id, causation_id, lane, sequence,
                                      exchange, routing_key, body, n)
        ),
        logged as (
            insert into message (direction, source, id, type, key, correlation_id, causation_id,
                                 sequence, lane, kind, content_type, message_id, attributes, body)
            select 'out', 'layshaft', id, type, key, correlation_id, causation_id, sequence, lane,
                   routing_key, 'application/json', '',
                   jsonb_build_object('id', id, 'source', 'layshaft', 'type', type,
                       'subject', key, 'correlationid', correlation_id,
                       'causationid', causation_id, 'sequence', sequence::text),
                   body
            from emitted order by n
            returning at, seq, id
        ),
        -- Ours to publish: nothing of the key is there, or the newest is in our own hands (tail).
        keys as (
            select k.key,
                   $13::float8 > 0 and case when newest.id is null then k.tail is distinct from 0
                                            else newest.id is not distinct from k.tail
                                       end as is_owned
            from unnest($11::text[], $12::bigint[]) as k(key, tail)
            left join lateral (
                select id from outbox where key = k.key order by id desc limit 1
            ) newest on true
        ),
        placed as (
            insert into outbox (key, exchange, routing_key, message_at, message_seq, body_bytes,
                                sweep_at)
            select e.key, e.exchange, e.routing_key, l.at, l.seq, octet_length(e.body),
                   clock_timestamp() + make_interval(secs => case when k.is_owned then $13::float8
                                                                  else 0 end)
            from emitted e join logged l using (id) join keys k using (key) order by e.n
            returning id, message_at, message_seq, key
        )
        select p.id, p.message_at as at, p.message_seq as seq, e.n, k.is_owned
        from placed p join keys k using (key) join logged l on l.seq = p.message_seq
        join emitted e on e.id = l.id
        order by p.id
        """,
        [e.id for e in emissions],
        [e.type for e in emissions],
        [e.key for e in emissions],
        [e.correlation_id for e in emissions],
        [e.causation_id for e in emissions],
        [e.lane for e in emissions],
        numbers,
        [e.exchange for e in emissions],
        [e.event for e in emissions],
        [e.body for e in emissions],
        list(tails),
        list(tails.values()),
        handover.lease_s if handover else 0.0,
    )
    for r in rows:
        if not r["is_owned"] or handover is None:
            emitted.others = True
            continue
        emission, number = emissions[r["n"] - 1], numbers[r["n"] - 1]
        row = _row(r["id"], Position(r["at"], r["seq"]), emission, number)
        emitted.owned.append(Owned(row, until=asked_at + handover.lease_s))
        emitted.tails[row.key] = row.id


async def _number(tx: Tx, emissions: Sequence[Emission]) -> list[int]:
    """The next number of its business object for each event; the objects' rows are locked."""
    counts: dict[str, int] = {}
    for e in emissions:
        counts[e.key] = counts.get(e.key, 0) + 1
    keys = sorted(counts)
    rows = await tx.fetch(
        """
        insert into object_sequence as o (key, last)
        select * from unnest($1::text[], $2::bigint[]) as c(key, n)
        on conflict (key) do update set last = o.last + excluded.last
        returning key, last
        """,
        keys,
        [counts[k] for k in keys],
    )
    following = {r["key"]: r["last"] - counts[r["key"]] + 1 for r in rows}
    numbers: list[int] = []
    for e in emissions:
        numbers.append(following[e.key])
        following[e.key] += 1
    return numbers


def _tails(emitted: Emitted, handover: Handover | None, keys: set[str]) -> dict[str, int | None]:
    """The newest row of each key that we hold, in memory or in this transaction."""
    held = {**handover.tails(keys), **emitted.tails} if handover else {}
    return {key: held.get(key) for key in sorted(keys)}


def _row(row_id: int, position: Position, emission: Emission, number: int) -> OutboxRow:
    return OutboxRow(
        id=row_id,
        key=emission.key,
        exchange=emission.exchange,
        routing_key=emission.event,
        position=position,
        event_id=emission.id,
        type=emission.type,
        sequence=number,
        correlation_id=emission.correlation_id,
        causation_id=emission.causation_id,
        body=emission.body,
    )


async def try_relay_lock(session: Tx) -> bool:
    """Whether this session leads the sweep of the database now."""
    return bool(await session.fetchval("select pg_try_advisory_lock($1)", RELAY_LOCK))


async def release_relay_lock(session: Tx) -> None:
    """Another session may lead."""
    await session.execute("select pg_advisory_unlock($1)", RELAY_LOCK)


async def due_rows(tx: Tx) -> list[OutboxRow]:
    """Due rows of some keys, of each key from its oldest on, up to the first that is not due."""
    rows = await tx.fetch(
        """
        with heads as (
            select o.key from outbox o
            where o.sweep_at <= now()
              -- an index look-up per row; `not exists` may become a scan of the whole table
              and o.id = (select id from outbox f where f.key = o.key order by f.id limit 1)
            order by o.sweep_at limit $1
        ),
        lined as (
            select o.*, row_number() over per_key as depth,
                   bool_and(o.sweep_at <= now()) over per_key as is_due
            from heads
            cross join lateral (
                select * from outbox where key = heads.key order by id limit $2
            ) o
            window per_key as (partition by o.key order by o.id)
        ),
        fitting as (
            select *, sum(body_bytes) over (order by depth, id) - body_bytes as bytes_before
            from lined where is_due
        )
        select o.id, o.key, o.exchange, o.routing_key, m.at, m.seq, m.id as event_id, m.type,
               m.sequence, m.correlation_id, m.causation_id, m.body
        from fitting o
        -- `limit` keeps this a look-up per row in its day's partition; a join hashes the whole day
        cross join lateral (
            select * from message where at = o.message_at and seq = o.message_seq limit 1
        ) m
        where o.bytes_before < $3
        order by o.id
        """,
        SWEEP_KEYS,
        SWEEP_DEPTH,
        SWEEP_BYTES,
    )
    return [
        OutboxRow(
            id=r["id"],
            key=r["key"],
            exchange=r["exchange"],
            routing_key=r["routing_key"],
            position=Position(r["at"], r["seq"]),
            event_id=r["event_id"],
            type=r["type"],
            sequence=r["sequence"],
            correlation_id=r["correlation_id"],
            causation_id=r["causation_id"],
            body=r["body"],
        )
        for r in rows
    ]


async def clear_rows(tx: Tx, ids: Iterable[int]) -> None:
    """The rows are confirmed by the broker and go; their events stay in the log."""
    await tx.execute(
        "delete from outbox o using unnest($1::bigint[]) as d(id) where o.id = d.id", sorted(ids)
    )


async def clear_swept(tx: Tx, ids: Iterable[int]) -> None:
    """The rows are confirmed and go. What the broker had refused of the same event and exchange for
    the same reason need not rest as long any more: where one was returned for want of a queue there
    is one now, for all of them; where one was nacked by a full one there is room, for some. Those
    that got through wake two each, so that a queue that stays nearly full is not stormed."""
    await tx.execute(
        """
        with gone as (
            delete from outbox o using unnest($1::bigint[]) as d(id) where o.id = d.id
            returning o.exchange, o.routing_key, o.refusal
        )
        update outbox o set sweep_at = clock_timestamp()
        from (
            select exchange, routing_key, refusal,
                   case refusal when 'nacked' then 2 * count(*) end as some
            from gone where refusal in ('returned', 'nacked') group by 1, 2, 3
        ) taken
        cross join lateral (
            select id from outbox r
            where r.refusals > 0 and r.refusal = taken.refusal
              and r.exchange = taken.exchange and r.routing_key = taken.routing_key
              -- in the statement's snapshot the rows that go are still there
              and r.id <> all($1::bigint[])
            order by r.id limit taken.some
        ) woken
        where o.id = woken.id
        """,
        sorted(ids),
    )


async def release_rows(tx: Tx, ids: Iterable[int]) -> None:
    """The rows are the sweeper's at once."""
    await tx.execute(
        """
        update outbox o set sweep_at = clock_timestamp()
        from unnest($1::bigint[]) as g(id) where o.id = g.id
        """,
        sorted(ids),
    )


async def refuse_rows(tx: Tx, refusals: Iterable[Refusal]) -> None:
    """The rows, and with them their keys, rest a while; since when and why is on record.

    Of an event that no queue takes one row is tried again soon, however long the others rest: it is
    the first to get through once there is a queue, and wakes them.
    """
    ordered = sorted(refusals, key=lambda r: r.id)
    await tx.execute(
        """
        update outbox o
        set sweep_at = clock_timestamp() + make_interval(secs =>
                least($4::float8 * 2 ^ least(o.refusals, 10), $5::float8) * (1 + r.jitter) / 2),
            refusals = o.refusals + 1, refused_at = coalesce(o.refused_at, now()), refusal = r.why
        from unnest($1::bigint[], $2::text[], $3::float8[]) as r(id, why, jitter)
        where o.id = r.id
        """,
        [r.id for r in ordered],
        [r.why for r in ordered],
        [r.jitter for r in ordered],
        FIRST_REST_S,
        LONGEST_REST_S,
    )
    returned = [r.id for r in ordered if r.why == "returned"]
    if returned:
        await tx.execute(
            """
            with kinds as (
                select distinct exchange, routing_key from outbox where id = any($1::bigint[])
            ),
            nearest as (
                select distinct on (o.exchange, o.routing_key) o.id
                from outbox o join kinds using (exchange, routing_key)
                where o.refusals > 0 and o.refusal = 'returned'
                order by o.exchange, o.routing_key, o.sweep_at
            )
            update outbox o
            set sweep_at = clock_timestamp() + make_interval(secs => $2::float8)
            from nearest n
            where o.id = n.id and o.sweep_at > clock_timestamp() + make_interval(secs => $2::float8)
            """,
            returned,
            SCOUT_S,
        )


async def refused_events(tx: Tx, *, for_s: float) -> list[RefusedEvents]:
    """What the broker has refused for so long, one line per event and exchange."""
    rows = await tx.fetch(
        """
        select exchange, routing_key, min(refusal) as why, min(refused_at) as since
        from outbox where refusals > 0 and refused_at <= now() - make_interval(secs => $1)
        group by exchange, routing_key order by exchange, routing_key
        """,
        for_s,
    )
    return [RefusedEvents(r["exchange"], r["routing_key"], r["why"], r["since"]) for r in rows]
