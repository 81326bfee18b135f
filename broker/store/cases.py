"""SQL for what people do with exception cases: let the message run again, or let it go."""

from __future__ import annotations

import msgspec

from broker.store.connection import Position, Tx
from broker.store.messages import delivery_of
from broker.store.pending import PendingWork


class OpenCase(msgspec.Struct, frozen=True):
    """A case about to be acted on. ledger_key, place: as in Case; position: of its message."""

    id: int
    state: str
    code: str
    place: str
    ledger_key: str
    ledger_id: int | None
    correlation_id: str
    position: Position | None


class Stuck(msgspec.Struct, frozen=True):
    """The unfinished row of a case's message, its hold locked.

    is_by_the_way: no message waits in it: it keeps the place of what one of another key had read.
    """

    work: PendingWork
    source: str
    message_id: str
    is_by_the_way: bool


async def find(tx: Tx, case_id: int) -> OpenCase | None:
    """The case with that id; None where there is none.

    Not locked: cases come after holds in the order of tables, so `resolve` checks again.
    """
    row = await tx.fetchrow(
        """
        select c.id, c.state, c.code, c.place, c.ledger_key, c.message_at, c.message_seq,
               l.id as ledger_id, coalesce(m.correlation_id, l.correlation_id, '') as correlation_id
        from exception_case c
        left join message m on m.at = c.message_at and m.seq = c.message_seq
        left join ledger l on l.key = c.ledger_key
        where c.id = $1
        """,
        case_id,
    )
    if row is None:
        return None
    at, seq = row["message_at"], row["message_seq"]
    return OpenCase(
        id=row["id"],
        state=row["state"],
        code=row["code"],
        place=row["place"],
        ledger_key=row["ledger_key"],
        ledger_id=row["ledger_id"],
        correlation_id=row["correlation_id"],
        position=Position(at, seq) if at is not None else None,
    )


async def lock_stuck(tx: Tx, position: Position) -> Stuck | None:
    """The row in which that message waits for a person; None where it does not wait."""
    return await _lock_waiting(
        tx,
        "p.message_at = $1 and p.message_seq = $2 and p.state = 'in_case'",
        position.at,
        position.seq,
    )


async def lock_reading(tx: Tx, ledger_key: str) -> Stuck | None:
    """The row that keeps the place of the answer of that read; None where none does."""
    return await _lock_waiting(tx, "p.merge_key = $1 and p.state = 'reading'", ledger_key)


async def _lock_waiting(tx: Tx, which: str, *arguments: object) -> Stuck | None:
    row = await tx.fetchrow(
        f"""
        with held as (
            select h.scope, h.key
            from hold h join pending p using (scope, key)
            where {which}
            order by h.scope, h.key for update of h
        )
        select p.id, p.subscription, p.scope, p.key, p.lane, p.attempts, m.at, m.seq,
               m.source, m.id as sent_id, m.kind, m.content_type, m.message_id, m.attributes,
               m.body, m.correlation_id, p.state = 'reading' and m.key <> p.key as is_by_the_way
        from held join pending p using (scope, key)
        join message m on m.at = p.message_at and m.seq = p.message_seq
        where {which}
        order by p.id limit 1
        """,
        *arguments,
    )
    if row is None:
        return None
    work = PendingWork(
        id=row["id"],
        subscription=row["subscription"],
        scope=row["scope"],
        key=row["key"],
        lane=row["lane"],
        attempts=row["attempts"],
        position=Position(row["at"], row["seq"]),
        delivery=delivery_of(row),
        correlation_id=row["correlation_id"],
        sent_id=row["sent_id"],
    )
    return Stuck(work, row["source"], row["sent_id"], row["is_by_the_way"])


async def make_ready(tx: Tx, stuck: Stuck) -> None:
    """The message is tried again now, with all its attempts before it."""
    await tx.execute(
        """
        update pending set state = 'ready', due_at = now(), attempts = 0,
               failing_since = null, begun = 0,
               begun_by = '', reason = 'tried again by a person'
        where id = $1
        """,
        stuck.work.id,
    )


async def park_without_case(tx: Tx, stuck: Stuck) -> None:
    """Other rows of its key that waited in the same case are decided again in their turn.

    What fails like another message of its key that is in a case joins that case.
    """
    await tx.execute(
        """
        with head as (select min(id) as id from pending where scope = $1 and key = $2)
        update pending p
        set state = case when p.id = head.id then 'ready' else 'parked' end, due_at = now()
        from head
        where p.scope = $1 and p.key = $2 and p.id <> $3 and p.state = 'in_case'
          and not exists (
              select from exception_case c
              where c.message_at = p.message_at and c.message_seq = p.message_seq
                and c.state = 'open')
        """,
        stuck.work.scope,
        stuck.work.key,
        stuck.work.id,
    )


async def resolve(tx: Tx, case_id: int, by: str) -> bool:
    """The case is closed, what goes wrong again opens a new one; False if it was not open."""
    closed = await tx.fetchval(
        """
        update exception_case set state = 'resolved', closed_at = now(), closed_by = $2
        where id = $1 and state = 'open' returning id
        """,
        case_id,
        by,
    )
    return closed is not None
