"""SQL for unfinished work: holds of business keys, and the rows that wait behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from broker.store.connection import Position, Tx
from broker.store.messages import delivery_of
from canonical.envelope import Lane
from canonical.handler import Delivery

BEGUN_FOR_S = 5.0
"""A process claims what it has begun within milliseconds; after this it is taken for dead."""

Passes = Literal["", "cases", "all"]
"""What unfinished work need not wait for, as long as all of it is older by version."""


READING = "reading"
"""State of a row that keeps the place of an answer among the messages of its key."""


class PendingWork(msgspec.Struct, frozen=True):
    """A claimed row of unfinished work with the message it is about.

    sent_id: id under which it is known in the inbox. failing_since: when its first try failed.
    passed: older work of its key is still unfinished.
    """

    id: int
    subscription: str
    scope: str
    key: str
    lane: Lane
    attempts: int
    position: Position
    delivery: Delivery
    correlation_id: str
    sent_id: str
    failing_since: datetime | None = None
    is_replan: bool = False
    passed: bool = False
    replay_id: int | None = None


class NewPending(msgspec.Struct, frozen=True):
    """Unfinished work to be stored; `merge_key` makes a second one of the same kind vanish.

    merge_key: of a plan to be made anew, or, where the row keeps the place of an answer, the key
    of the read's ledger.

    version: business version of the whole object the message states. passes: what it need not
    wait for if that is older.
    """

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
    version: int | None = None
    passes: Passes = ""

    @property
    def is_reading(self) -> bool:
        """Whether it waits for the answer of a read."""
        return self.state == READING


async def held_keys(tx: Tx, keys: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of the (scope, key) pairs with unfinished work; their rows stay locked."""
    wanted = sorted(set(keys))
    if not wanted:
        return frozenset()
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


async def reading_keys(tx: Tx, keys: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of the held (scope, key) pairs that wait for nothing but the answer of a read.

    The caller has locked the holds, in a statement before this one.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return frozenset()
    rows = await tx.fetch(
        """
        select w.scope, w.key
        from unnest($1::text[], $2::text[]) as w(scope, key)
        cross join lateral (
            select bool_and(p.state = 'reading') as all_read
            from pending p where p.scope = w.scope and p.key = w.key
        ) p
        where p.all_read
        """,
        [w[0] for w in wanted],
        [w[1] for w in wanted],
    )
    return frozenset((r["scope"], r["key"]) for r in rows)


async def add_pending(tx: Tx, rows: Sequence[NewPending]) -> None:
    """Stores unfinished work behind holds; one with a known merge key is dropped, and holds no key.

    Known by its merge key is a plan that is to be made anew, and a read: where its object has been
    renumbered meanwhile, the place of its answer is kept under another key.
    """
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
    stored = await tx.fetch(
        """
        insert into pending (subscription, scope, key, lane, message_at, message_seq, state,
                             due_at, attempts, reason, merge_key, is_replan, version, passes,
                             failing_since)
        select subscription, scope, key, lane, at, seq, state, due_at, attempts, reason, merge_key,
               coalesce(merge_key like 'plan:%', false), version, passes,
               case when state in ('retry', 'in_case') then now() end
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                    $6::bigint[], $7::text[], $8::timestamptz[], $9::int[], $10::text[],
                    $11::text[], $12::bigint[], $13::text[])
             with ordinality as p(subscription, scope, key, lane, at, seq, state, due_at,
                                  attempts, reason, merge_key, version, passes, n)
        order by n
        on conflict (merge_key) where merge_key is not null do nothing
        returning scope, key, merge_key
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
        [r.version for r in rows],
        [r.passes for r in rows],
    )
    merged = {(r.scope, r.key, r.merge_key) for r in rows if r.merge_key is not None}
    merged -= {(r["scope"], r["key"], r["merge_key"]) for r in stored}
    if merged:
        await free_next(tx, {(scope, key) for scope, key, _ in merged})


# A row p that has to wait for nothing before it: all of that is older by version, waits for a
# person (or, where the latest wins, for anything), and no call of its object is in doubt. A plan
# that is to be made anew holds nobody up: it is made of what p states, whatever that is.
_MAY_PASS = """
    p.passes <> '' and p.state in ('parked', 'ready', 'retry') and p.due_at <= now()
    and not exists (
        select from pending e
        where e.scope = p.scope and e.key = p.key and e.id < p.id and not e.is_replan
          and not (coalesce(e.version < p.version, false)
                   and (e.state in ('in_case', 'parked') or p.passes = 'all')))
    and not exists (
        select from ledger l join step s on s.ledger_id = l.id
        where l.key = p.key and l.scope = p.scope and s.state = 'in_doubt')
"""


# Per key in ($1, $2), the row to do next if it is of lane $3, due, and one of $4 where given.
_NEXT = f"""
    select p.id, p.id > p.head as passed
    from unnest($1::text[], $2::text[]) as l(scope, key)
    cross join lateral (
        select p.*, head.id as head
        from (select id from pending h where h.scope = l.scope and h.key = l.key
              order by h.id limit 1) head
        join pending p on p.scope = l.scope and p.key = l.key
        where p.id = head.id and p.state in ('ready', 'retry') and p.due_at <= now()
           or {_MAY_PASS}
        order by p.id limit 1
    ) p
    where p.lane = $3 and ($4::bigint[] is null or p.id = any($4))
"""


# A row p that process $4 may begin: no other one did a moment ago, and is about to claim it.
_MAY_BEGIN = """
    ($4::text is null
     or p.begun_by in ('', $4) or p.begun_at < now() - make_interval(secs => $5))
"""


async def _lock_due(
    tx: Tx, lane: str, limit: int, *, only: Sequence[int] | None = None, worker: str | None = None
) -> list[tuple[str, str]]:
    """Keys of this lane with something to do, their holds locked; those in work are skipped.

    worker: what others have begun does not count, or it would stand before what is left to do.
    """
    rows = await tx.fetch(
        f"""
        with due as (
            (select distinct p.scope, p.key
            from pending p
            where p.lane = $1 and p.state in ('ready', 'retry') and p.due_at <= now()
              and not exists (
                  select from pending e where e.scope = p.scope and e.key = p.key and e.id < p.id)
              and ($3::bigint[] is null or p.id = any($3)) and {_MAY_BEGIN}
            limit $2)
            union
            (select distinct p.scope, p.key
            from pending p
            where p.lane = $1 and {_MAY_PASS} and ($3::bigint[] is null or p.id = any($3))
              and {_MAY_BEGIN}
            limit $2)
        )
        select h.scope, h.key from hold h join due using (scope, key)
        order by h.scope, h.key limit $2 for update of h skip locked
        """,
        lane,
        limit,
        only,
        worker,
        BEGUN_FOR_S,
    )
    return [(r["scope"], r["key"]) for r in rows]


class Begun(msgspec.Struct, frozen=True):
    """Rows about to be claimed. suspects: a process that is gone began and did not end them."""

    rows: tuple[int, ...]
    suspects: tuple[int, ...]


async def begin_pending(tx: Tx, *, lane: str, limit: int, worker: str) -> Begun:
    """The rows to do next of due keys, by id; those begun for the first time are marked as ours.

    worker: this process. What another one began a moment ago is left out. To be committed before
    the rows are claimed: a row that kills its process leaves this trace. Suspects are counted one
    by one (begin_suspect), or three crashes would accuse their neighbours too.
    """
    keys = await _lock_due(tx, lane, limit, worker=worker)
    if not keys:
        return Begun((), ())
    rows = await tx.fetch(
        f"""
        with next as ({_NEXT})
        update pending p
        set begun = greatest(p.begun, 1),
            begun_by = case when p.begun = 0 then $5 else p.begun_by end,
            begun_at = case when p.begun = 0 then now() else p.begun_at end
        from next n
        where p.id = n.id
          and (p.begun_by in ('', $5) or p.begun_at < now() - make_interval(secs => $6))
        returning p.id, p.begun_by <> $5 as suspect
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        lane,
        None,
        worker,
        BEGUN_FOR_S,
    )
    return Begun(
        rows=tuple(sorted(r["id"] for r in rows if not r["suspect"])),
        suspects=tuple(sorted(r["id"] for r in rows if r["suspect"])),
    )


async def begin_suspect(tx: Tx, row_id: int, *, worker: str) -> int:
    """How many processes have begun this row by now; 0 if another one was faster."""
    begun = await tx.fetchval(
        """
        update pending
        set begun = begun + (begun_by <> $2)::int, begun_by = $2, begun_at = now()
        where id = $1 and (begun_by in ('', $2) or begun_at < now() - make_interval(secs => $3))
        returning begun
        """,
        row_id,
        worker,
        BEGUN_FOR_S,
    )
    return int(begun or 0)


async def withdraw_pending(tx: Tx, rows: Sequence[int], *, worker: str) -> None:
    """This process could not end what it began, and lives: the rows are anybody's, uncounted."""
    await tx.execute(
        """
        update pending p set begun = p.begun - 1, begun_by = ''
        from unnest($1::bigint[]) as w(id)
        where p.id = w.id and p.begun_by = $2 and p.begun > 0
        """,
        sorted(rows),
        worker,
    )


async def claim_pending(
    tx: Tx, *, lane: str, limit: int, only: Sequence[int] | None = None
) -> list[PendingWork]:
    """The row to do next of each due key, its hold locked until the transaction ends.

    It is the oldest one; or one that may pass everything before it, which is then older by version
    and waits for a person, or for a retry where the latest wins. only: rows with these ids.
    Keys are claimed, not rows: nobody can take a later message of a key beside this one. Two
    statements on purpose: the second one's snapshot is taken after the locks are held, so a row
    that somebody finished meanwhile is not seen any more.
    """
    ids = None if only is None else list(only)
    keys = await _lock_due(tx, lane, limit, only=ids)
    if not keys:
        return []
    rows = await tx.fetch(
        f"""
        select p.id, p.subscription, p.scope, p.key, p.lane, p.attempts, p.is_replan, p.replay_id,
               p.failing_since, n.passed, m.at, m.seq, m.source, m.kind, m.content_type,
               m.message_id, m.attributes, m.body, m.correlation_id, m.id as sent_id
        from ({_NEXT}) n
        join pending p on p.id = n.id
        cross join lateral (
            select * from message where at = p.message_at and seq = p.message_seq limit 1
        ) m
        order by p.id
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        lane,
        ids,
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
            delivery=delivery_of(r),
            correlation_id=r["correlation_id"],
            sent_id=r["sent_id"],
            failing_since=r["failing_since"],
            is_replan=r["is_replan"],
            passed=r["passed"],
            replay_id=r["replay_id"],
        )
        for r in rows
    ]


async def finish_pending(tx: Tx, works: Sequence[PendingWork]) -> None:
    """The rows are done: the next one of their key becomes due, or the hold goes."""
    await tx.execute(
        "delete from pending p using unnest($1::bigint[]) as d(id) where p.id = d.id",
        sorted(w.id for w in works),
    )
    await free_next(tx, {(w.scope, w.key) for w in works})


async def free_next(tx: Tx, keys: Iterable[tuple[str, str]]) -> None:
    """What waited first for each (scope, key) is due; where nothing is left, the hold goes.

    The caller has locked the holds.
    """
    pairs = sorted(set(keys))
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


async def supersede_passed(tx: Tx, work: PendingWork, *, by: str) -> None:
    """What this row has passed is done with: superseded, audited, its cases closed. Of a plan that
    was to be made anew nothing is said: its message was applied long ago.

    The caller holds the key, and every older row of it was passed.
    """
    await tx.execute(
        """
        with gone as (
            delete from pending p where p.scope = $1 and p.key = $2 and p.id < $3
            returning p.subscription, p.message_at, p.message_seq, p.version, p.is_replan
        ),
        said as (
            select g.subscription, g.version, m.source, m.id, m.key, m.correlation_id
            from gone g
            cross join lateral (
                select * from message where at = g.message_at and seq = g.message_seq limit 1
            ) m
            where not g.is_replan
        ),
        marked as (
            update inbox i set outcome = 'superseded' from said s
            where i.subscription = s.subscription and i.source = s.source and i.id = s.id
        ),
        closed as (
            update exception_case c set state = 'resolved', closed_at = now(), closed_by = $4
            from gone g
            where c.message_at = g.message_at and c.message_seq = g.message_seq
              and c.state = 'open' and c.origin = 'message'
        )
        insert into audit (actor, action, subject, correlation_id, detail)
        select $4, 'superseded', key, correlation_id,
               jsonb_build_object('message', id, 'source', source, 'version', version)
        from said
        """,
        work.scope,
        work.key,
        work.id,
        by,
    )


async def postpone_pending(tx: Tx, work: PendingWork, row: NewPending) -> None:
    """The row stays, to be tried again when due or to wait for a person, as `row` says.

    What could not be read this time states what it stated before.
    """
    await tx.execute(
        """
        update pending set state = $2, due_at = $3, attempts = attempts + $4, reason = $5,
               version = coalesce($6, version),
               passes = case when $6 is null then passes else $7 end,
               merge_key = null, begun = 0, begun_by = '',
               failing_since = coalesce(failing_since, now())
        where id = $1
        """,
        work.id,
        row.state,
        row.due_at,
        row.attempts,
        row.reason,
        row.version,
        row.passes,
    )


async def begin_reading(tx: Tx, work: PendingWork, row: NewPending) -> bool:
    """The claimed row keeps the place of an answer; False where another one does already."""
    begun = await tx.fetchval(
        """
        update pending
        set state = $2, due_at = $3, reason = $4, merge_key = $5, attempts = 0, version = null,
            passes = '', begun = 0, begun_by = '', failing_since = null
        where id = $1 and not exists (select from pending where merge_key = $5)
        returning id
        """,
        work.id,
        row.state,
        row.due_at,
        row.reason,
        row.merge_key,
    )
    return begun is not None


async def take_places(tx: Tx, answers: Sequence[NewPending]) -> list[NewPending]:
    """Answers stand where their places were kept, by merge key; returns those that have none.

    The caller has locked the holds.
    """
    rows = await tx.fetch(
        """
        update pending p
        set subscription = a.subscription, message_at = a.at, message_seq = a.seq, lane = a.lane,
            state = a.state, due_at = a.due_at, reason = '', merge_key = null, replay_id = null
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                    $6::timestamptz[], $7::bigint[], $8::text[], $9::timestamptz[])
             as a(merge_key, scope, key, subscription, lane, at, seq, state, due_at)
        where p.merge_key = a.merge_key and p.scope = a.scope and p.key = a.key
        returning a.merge_key
        """,
        [a.merge_key for a in answers],
        [a.scope for a in answers],
        [a.key for a in answers],
        [a.subscription for a in answers],
        [a.lane for a in answers],
        [a.position.at for a in answers],
        [a.position.seq for a in answers],
        [a.state for a in answers],
        [a.due_at for a in answers],
    )
    placed = {r["merge_key"] for r in rows}
    return [a for a in answers if a.merge_key not in placed]
