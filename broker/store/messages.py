"""SQL for messages: the log, the dedupe table, delivery attempts, audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from broker.store.connection import Position, Tx
from canonical.codec import encode
from canonical.envelope import Envelope
from canonical.handler import Delivery


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


class Note(msgspec.Struct, frozen=True):
    """An audit row to write: who did what to which subject, and what else there is to say.

    before, after: what the act found and what it left, where that can be said; None where not.
    """

    actor: str
    action: str
    subject: str
    correlation_id: str = ""
    detail: Mapping[str, Any] = {}
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def delivery_of(row: asyncpg.Record) -> Delivery:
    """The delivery in a row of the log, as it came."""
    return Delivery(
        source=row["source"],
        kind=row["kind"],
        body=row["body"],
        content_type=row["content_type"],
        message_id=row["message_id"],
        attributes=msgspec.json.decode(row["attributes"], type=dict[str, str]),
    )


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
        # What stands in the log already is not sent a second time.
        [b"" if e.logged else e.delivery.body for e in entries],
        [e.logged.at if e.logged else None for e in entries],
        [e.logged.seq if e.logged else None for e in entries],
    )
    return {
        (r["subscription"], r["source"], r["id"]): Position(r["message_at"], r["message_seq"])
        for r in rows
    }


async def bodies(tx: Tx, positions: Sequence[Position]) -> dict[Position, bytes]:
    """What stands at these places of the log; one whose day was dropped is missing."""
    rows = await tx.fetch(
        """
        select m.at, m.seq, m.body
        from unnest($1::timestamptz[], $2::bigint[]) as w(at, seq)
        -- a look-up per row in its day's partition; a join hashes the whole day
        cross join lateral (select * from message where at = w.at and seq = w.seq limit 1) m
        """,
        [p.at for p in positions],
        [p.seq for p in positions],
    )
    return {Position(r["at"], r["seq"]): r["body"] for r in rows}


def log_position(text: str) -> Position | None:
    """The place in the log that `<time>/<number>` names; None if it names none."""
    at, _, seq = text.rpartition("/")
    try:
        return Position(datetime.fromisoformat(at), int(seq))
    except ValueError:
        return None


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
    if not outcomes:
        return
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


async def write_audit(tx: Tx, notes: Sequence[Note]) -> None:
    """The notes are in the audit, in their order."""
    if not notes:
        return
    await tx.execute(
        """
        insert into audit (actor, action, subject, correlation_id, detail, before, after)
        select actor, action, subject, correlation_id, detail::jsonb, before::jsonb, after::jsonb
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::text[])
             with ordinality as n(actor, action, subject, correlation_id, detail, before, after,
                                  at)
        order by at
        """,
        [n.actor for n in notes],
        [n.action for n in notes],
        [n.subject for n in notes],
        [n.correlation_id for n in notes],
        [encode(dict(n.detail)).decode() for n in notes],
        [_json_of(n.before) for n in notes],
        [_json_of(n.after) for n in notes],
    )


def _json_of(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else encode(dict(value)).decode()


async def begin_attempt(tx: Tx, fingerprint: bytes, *, worker: str, suspect: bool) -> int:
    """How many processes have begun a delivery that came back, this one included.

    worker: this process. Saying it again, after an answer was lost, counts nothing. 0, and nothing
    is counted, where another one has begun it and it was not asked for as a suspect.
    """
    attempts = await tx.fetchval(
        """
        insert into delivery_attempt as d (fingerprint, attempts, worker) values ($1, 1, $2)
        on conflict (fingerprint) do update
        set attempts = d.attempts + (d.worker <> excluded.worker)::int,
            worker = excluded.worker, last_at = now()
        where $3 or (d.attempts = 1 and d.worker = excluded.worker)
        returning attempts
        """,
        fingerprint,
        worker,
        suspect,
    )
    return int(attempts or 0)


async def withdraw_attempt(tx: Tx, fingerprint: bytes, *, worker: str) -> None:
    """This process could not end what it began, and lives: that was no crash."""
    await tx.execute(
        """
        with uncounted as (
            delete from delivery_attempt
            where fingerprint = $1 and worker = $2 and attempts <= 1
        )
        update delivery_attempt set attempts = attempts - 1, worker = ''
        where fingerprint = $1 and worker = $2 and attempts > 1
        """,
        fingerprint,
        worker,
    )


async def end_attempt(tx: Tx, fingerprint: bytes) -> None:
    """The delivery that came back is settled; its counter goes."""
    await tx.execute("delete from delivery_attempt where fingerprint = $1", fingerprint)
