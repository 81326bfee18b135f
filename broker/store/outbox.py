"""SQL for events: numbered and logged when emitted, published from the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from broker.store.connection import Position, Tx
from canonical.envelope import Lane

RELAY_LOCK = 0x4C61_7953  # "LayS"


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


class OutboxRow(msgspec.Struct, frozen=True):
    """An event to publish, with everything the wire needs."""

    id: int
    key: str
    exchange: str
    routing_key: str
    position: Position
    event_id: str
    type: str
    sequence: int
    correlation_id: str
    causation_id: str
    body: bytes


async def emit(tx: Tx, emissions: Sequence[Emission]) -> None:
    """The events are in the log, numbered per business object, and in the outbox."""
    if not emissions:
        return
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
    await tx.execute(
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
        )
        insert into outbox (key, exchange, routing_key, message_at, message_seq)
        select e.key, e.exchange, e.routing_key, l.at, l.seq
        from emitted e join logged l using (id) order by e.n
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
    )


async def try_relay_lock(session: Tx) -> bool:
    """Whether this session is the one relay of the database now."""
    return bool(await session.fetchval("select pg_try_advisory_lock($1)", RELAY_LOCK))


async def release_relay_lock(session: Tx) -> None:
    """Another session may be the relay."""
    await session.execute("select pg_advisory_unlock($1)", RELAY_LOCK)


async def outbox_heads(tx: Tx, *, limit: int, stuck: Sequence[str]) -> list[OutboxRow]:
    """The oldest rows to publish, in order per key; keys in `stuck` are left for later."""
    rows = await tx.fetch(
        """
        select o.id, o.key, o.exchange, o.routing_key, m.at, m.seq, m.id as event_id, m.type,
               m.sequence, m.correlation_id, m.causation_id, m.body
        from (select * from outbox where key <> all($2::text[]) order by id limit $1) o
        -- `limit` keeps this a look-up per row in its day's partition; a join hashes the whole day
        cross join lateral (
            select * from message where at = o.message_at and seq = o.message_seq limit 1
        ) m
        order by o.key, m.sequence
        """,
        limit,
        list(stuck),
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


async def clear_outbox(tx: Tx, ids: Iterable[int]) -> None:
    """The rows are confirmed by the broker and go; their events stay in the log."""
    await tx.execute(
        "delete from outbox o using unnest($1::bigint[]) as d(id) where o.id = d.id", sorted(ids)
    )
