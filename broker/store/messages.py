"""SQL for messages: log, dedupe, holds, unfinished work, outbox, cases, audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from broker.store.connection import Position, Tx
from canonical.codec import encode
from canonical.envelope import Envelope, Lane
from canonical.handler import Delivery

RELAY_LOCK = 0x4C61_7953  # "LayS"


class LogEntry(msgspec.Struct, frozen=True):
    """A delivery with what reading it told; to be logged and deduplicated.

    logged: its position if it stands in the log already (our own events do).
    """

    subscription: str
    envelope: Envelope
    digest: bytes
    delivery: Delivery
    logged: Position | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same message for the same consumer."""
        return self.subscription, self.envelope.source, self.envelope.id


class PendingWork(msgspec.Struct, frozen=True):
    """A claimed row of unfinished work with the message it is about."""

    id: int
    subscription: str
    scope: str
    key: str
    lane: Lane
    attempts: int
    position: Position
    delivery: Delivery
    correlation_id: str
    is_replan: bool = False


class NewPending(msgspec.Struct, frozen=True):
    """Unfinished work to be stored; `merge_key` makes a second one of the same kind vanish."""

    subscription: str
    scope: str
    key: str
    lane: str
    position: Position
    state: str
    due_at: datetime
    attempts: int = 0
    reason: str = ""
    merge_key: str | None = None


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


class Case(msgspec.Struct, frozen=True):
    """An exception case to open; (code, place) is open once."""

    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    source: str = ""
    key: str = ""
    position: Position | None = None
    ledger_key: str = ""
    origin: str = "message"


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


async def admit(tx: Tx, entries: Sequence[LogEntry]) -> dict[tuple[str, str, str], Position]:
    """Positions of the entries nobody handled before; the others are duplicates.

    Identities in `entries` are distinct. One statement: the unique key decides, not a look before.
    """
    rows = await tx.fetch(
        """
        with arrived as (
            select * from unnest(
                $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                $13::text[], $14::bytea[], $15::timestamptz[], $16::bigint[])
            with ordinality as a(
                subscription, source, id, digest, type, key, correlation_id, causation_id, lane,
                kind, content_type, message_id, attributes, body, at, seq, n)
        ),
        -- places in the log in the order of arrival, rows in the order of their key
        placed as materialized (
            select subscription, source, id, digest, coalesce(at, now()) as at,
                   coalesce(seq, nextval('message_seq')) as seq
            from (select * from arrived order by n) a
        ),
        -- the guard of exactly-once: who inserts the identity may decide on it
        admitted as (
            insert into inbox (subscription, source, id, digest, message_at, message_seq)
            select * from placed order by subscription, source, id
            on conflict do nothing
            returning subscription, source, id, message_at, message_seq
        ),
        -- payloads are stored once: what is in the log already is not logged again
        logged as (
            insert into message (at, seq, direction, source, id, type, key, correlation_id,
                                 causation_id, lane, kind, content_type, message_id, attributes,
                                 body)
            select m.message_at, m.message_seq, 'in', a.source, a.id, a.type, a.key,
                   a.correlation_id, a.causation_id, a.lane, a.kind, a.content_type,
                   a.message_id, a.attributes::jsonb, a.body
            from arrived a join admitted m using (subscription, source, id)
            where a.seq is null
        )
        select subscription, source, id, message_at, message_seq from admitted
        """,
        [e.subscription for e in entries],
        [e.envelope.source for e in entries],
        [e.envelope.id for e in entries],
        [e.digest for e in entries],
        [e.envelope.type for e in entries],
        [e.envelope.key for e in entries],
        [e.envelope.correlation_id for e in entries],
        [e.envelope.causation_id for e in entries],
        [e.envelope.lane for e in entries],
        [e.delivery.kind for e in entries],
        [e.delivery.content_type for e in entries],
        [e.delivery.message_id for e in entries],
        [encode(dict(e.delivery.attributes)).decode() for e in entries],
        [e.delivery.body for e in entries],
        [e.logged.at if e.logged else None for e in entries],
        [e.logged.seq if e.logged else None for e in entries],
    )
    return {
        (r["subscription"], r["source"], r["id"]): Position(r["message_at"], r["message_seq"])
        for r in rows
    }


async def record_duplicates(
    tx: Tx, entries: Sequence[LogEntry]
) -> dict[tuple[str, str, str], bytes]:
    """Counts repeats and returns the digest first seen under each identity."""
    rows = await tx.fetch(
        """
        with again as (
            select * from unnest($1::text[], $2::text[], $3::text[]) as a(subscription, source, id)
        ),
        counted as (
            insert into duplicate (subscription, source, id) select * from again
        )
        select i.subscription, i.source, i.id, i.digest
        from inbox i join (select distinct * from again) a using (subscription, source, id)
        """,
        [e.subscription for e in entries],
        [e.envelope.source for e in entries],
        [e.envelope.id for e in entries],
    )
    return {(r["subscription"], r["source"], r["id"]): r["digest"] for r in rows}


async def set_outcomes(tx: Tx, outcomes: Mapping[tuple[str, str, str], str]) -> None:
    """Writes how handling ended, for traces."""
    keys = sorted(outcomes)
    await tx.execute(
        """
        update inbox i set outcome = o.outcome
        from unnest($1::text[], $2::text[], $3::text[], $4::text[])
             as o(subscription, source, id, outcome)
        where i.subscription = o.subscription and i.source = o.source and i.id = o.id
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        [k[2] for k in keys],
        [outcomes[k] for k in keys],
    )


async def held_keys(tx: Tx, keys: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of the (scope, key) pairs with unfinished work; their rows stay locked."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """
        select h.scope, h.key
        from hold h join unnest($1::text[], $2::text[]) as w(scope, key) using (scope, key)
        order by h.scope, h.key for update of h
        """,
        [w[0] for w in wanted],
        [w[1] for w in wanted],
    )
    return frozenset((r["scope"], r["key"]) for r in rows)


async def add_pending(tx: Tx, rows: Sequence[NewPending]) -> None:
    """Stores unfinished work behind holds; one with a known merge key is dropped."""
    if not rows:
        return
    pairs = sorted({(r.scope, r.key) for r in rows})
    await tx.execute(
        """
        insert into hold (scope, key)
        select * from unnest($1::text[], $2::text[]) as h(scope, key)
        -- locks the row that is there, so that nobody deletes the hold before we commit
        on conflict (scope, key) do update set since = hold.since
        """,
        [p[0] for p in pairs],
        [p[1] for p in pairs],
    )
    await tx.execute(
        """
        insert into pending (subscription, scope, key, lane, message_at, message_seq, state,
                             due_at, attempts, reason, merge_key, is_replan)
        select subscription, scope, key, lane, at, seq, state, due_at, attempts, reason, merge_key,
               merge_key is not null
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                    $6::bigint[], $7::text[], $8::timestamptz[], $9::int[], $10::text[],
                    $11::text[])
             with ordinality as p(subscription, scope, key, lane, at, seq, state, due_at,
                                  attempts, reason, merge_key, n)
        order by n
        on conflict (merge_key) where merge_key is not null do nothing
        """,
        [r.subscription for r in rows],
        [r.scope for r in rows],
        [r.key for r in rows],
        [r.lane for r in rows],
        [r.position.at for r in rows],
        [r.position.seq for r in rows],
        [r.state for r in rows],
        [r.due_at for r in rows],
        [r.attempts for r in rows],
        [r.reason for r in rows],
        [r.merge_key for r in rows],
    )


async def claim_pending(
    tx: Tx, *, lane: str, limit: int, only: int | None = None
) -> list[PendingWork]:
    """The oldest row of each due key, its hold locked until the transaction ends.

    only: the row with this id and no other.
    Keys are claimed, not rows: nobody can take a later message of a key beside this one. Two
    statements on purpose: the second one's snapshot is taken after the locks are held, so a row
    that somebody finished meanwhile is not seen any more.
    """
    held = await tx.fetch(
        """
        with due as (
            select distinct p.scope, p.key
            from pending p
            where p.lane = $1 and p.state in ('ready', 'retry') and p.due_at <= now()
              and not exists (
                  select from pending e where e.scope = p.scope and e.key = p.key and e.id < p.id)
              and ($3::bigint is null or p.id = $3)
            limit $2
        )
        select h.scope, h.key from hold h join due using (scope, key)
        order by h.scope, h.key for update of h skip locked
        """,
        lane,
        limit,
        only,
    )
    rows = await tx.fetch(
        """
        select p.id, p.subscription, p.scope, p.key, p.lane, p.attempts, p.is_replan,
               m.at, m.seq, m.source, m.kind, m.content_type, m.message_id, m.attributes, m.body,
               m.correlation_id
        from unnest($1::text[], $2::text[]) as l(scope, key)
        cross join lateral (
            select * from pending h where h.scope = l.scope and h.key = l.key order by h.id limit 1
        ) p
        cross join lateral (
            select * from message where at = p.message_at and seq = p.message_seq limit 1
        ) m
        where p.lane = $3 and p.state in ('ready', 'retry') and p.due_at <= now()
          and ($4::bigint is null or p.id = $4)
        order by p.id
        """,
        [r["scope"] for r in held],
        [r["key"] for r in held],
        lane,
        only,
    )
    return [
        PendingWork(
            id=r["id"],
            subscription=r["subscription"],
            scope=r["scope"],
            key=r["key"],
            lane=r["lane"],
            attempts=r["attempts"],
            position=Position(r["at"], r["seq"]),
            delivery=Delivery(
                source=r["source"],
                kind=r["kind"],
                body=r["body"],
                content_type=r["content_type"],
                message_id=r["message_id"],
                attributes=msgspec.json.decode(r["attributes"], type=dict[str, str]),
            ),
            correlation_id=r["correlation_id"],
            is_replan=r["is_replan"],
        )
        for r in rows
    ]


async def finish_pending(tx: Tx, works: Sequence[PendingWork]) -> None:
    """The rows are done: the next one of their key becomes due, or the hold goes."""
    await tx.execute(
        "delete from pending p using unnest($1::bigint[]) as d(id) where p.id = d.id",
        sorted(w.id for w in works),
    )
    pairs = sorted({(w.scope, w.key) for w in works})
    await tx.execute(
        """
        with mine as (select * from unnest($1::text[], $2::text[]) as k(scope, key)),
        freed as (
            update pending p set state = 'ready', due_at = now()
            from mine m
            cross join lateral (
                select id from pending n where n.scope = m.scope and n.key = m.key
                order by n.id limit 1
            ) head
            where p.id = head.id and p.state = 'parked'
        )
        delete from hold h using mine m
        where h.scope = m.scope and h.key = m.key
          and not exists (select from pending p where p.scope = m.scope and p.key = m.key)
        """,
        [p[0] for p in pairs],
        [p[1] for p in pairs],
    )


async def postpone_pending(
    tx: Tx, work: PendingWork, *, state: str, due_at: datetime, reason: str
) -> None:
    """The row stays, to be tried again when due or to wait for a person."""
    await tx.execute(
        """
        update pending set state = $2, due_at = $3, attempts = attempts + 1, reason = $4,
               merge_key = null
        where id = $1
        """,
        work.id,
        state,
        due_at,
        reason,
    )


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


async def open_cases(tx: Tx, cases: Sequence[Case]) -> None:
    """Each case is open once; one that is open already is counted.

    What a plan says is not opened again after somebody resolved it: each new plan says it anew.
    """
    unique = {(c.code, c.place): c for c in cases}
    ordered = [unique[k] for k in sorted(unique)]
    await tx.execute(
        """
        insert into exception_case (code, word, what, place, remedy, owner, source, key,
                                    message_at, message_seq, ledger_key, origin)
        select c.* from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                               $6::text[], $7::text[], $8::text[], $9::timestamptz[],
                               $10::bigint[], $11::text[], $12::text[])
             as c(code, word, what, place, remedy, owner, source, key, at, seq, ledger_key, origin)
        where c.origin <> 'plan' or not exists (
            select from exception_case e
            where e.code = c.code and e.place = c.place and e.state = 'resolved'
              and e.closed_by <> 'a newer plan')
        on conflict (code, place) where state = 'open'
        do update set seen = exception_case.seen + 1
        """,
        [c.code for c in ordered],
        [c.word for c in ordered],
        [c.what for c in ordered],
        [c.place for c in ordered],
        [c.remedy for c in ordered],
        [c.owner for c in ordered],
        [c.source for c in ordered],
        [c.key for c in ordered],
        [c.position.at if c.position else None for c in ordered],
        [c.position.seq if c.position else None for c in ordered],
        [c.ledger_key for c in ordered],
        [c.origin for c in ordered],
    )


async def close_unsaid_cases(tx: Tx, *, ledger_key: str, said: Sequence[tuple[str, str]]) -> None:
    """Cases that earlier plans of the ledger opened and this one no longer says are resolved.

    said: (code, place) of what it does say.
    """
    await tx.execute(
        """
        update exception_case e set state = 'resolved', closed_at = now(),
               closed_by = 'a newer plan'
        where e.state = 'open' and e.origin = 'plan' and e.ledger_key = $1
          and not exists (select from unnest($2::text[], $3::text[]) as s(code, place)
                          where s.code = e.code and s.place = e.place)
        """,
        ledger_key,
        [code for code, _ in said],
        [place for _, place in said],
    )


async def close_cases(tx: Tx, *, about: str, ledger_key: str, by: str) -> None:
    """Open cases of that ledger whose place names that object are resolved."""
    await tx.execute(
        """
        update exception_case set state = 'resolved', closed_at = now(), closed_by = $3
        where state = 'open' and ledger_key = $2
          and (place = $1 or right(place, length($1) + 1) in (' ' || $1, '/' || $1))
        """,
        about,
        ledger_key,
        by,
    )


async def write_audit(
    tx: Tx, *, actor: str, action: str, subject: str, correlation_id: str, detail: Mapping[str, Any]
) -> None:
    """One audit row."""
    await tx.execute(
        """
        insert into audit (actor, action, subject, correlation_id, detail)
        values ($1, $2, $3, $4, $5::jsonb)
        """,
        actor,
        action,
        subject,
        correlation_id,
        encode(dict(detail)).decode(),
    )


async def begin_attempt(tx: Tx, fingerprint: bytes) -> int:
    """How often a delivery that came back has been begun, this time included."""
    return int(
        await tx.fetchval(
            """
            insert into delivery_attempt as d (fingerprint, attempts) values ($1, 1)
            on conflict (fingerprint) do update set attempts = d.attempts + 1, last_at = now()
            returning attempts
            """,
            fingerprint,
        )
    )


async def end_attempt(tx: Tx, fingerprint: bytes) -> None:
    """The delivery that came back is settled; its counter goes."""
    await tx.execute("delete from delivery_attempt where fingerprint = $1", fingerprint)
