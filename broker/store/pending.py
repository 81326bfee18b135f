"""SQL for unfinished work: holds of business keys, and the rows that wait behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from broker.store.connection import Position, Tx
from canonical.envelope import Lane
from canonical.handler import Delivery


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
