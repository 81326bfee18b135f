"""SQL for replays: how far each one has come, what it has queued, and what became of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import asyncpg
import msgspec

from broker.store.connection import Position, Tx
from broker.store.pending import free_next, held_keys
from broker.store.selections import LAST, Selection
from canonical.codec import encode

Mode = Literal["redeliver", "reprocess"]
State = Literal["running", "paused", "cancelled", "done", "failed"]
Identity = tuple[str, str, str]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages looked at.

    queued: will be decided. released: waited in a case and are tried again. duplicates: handled
    before. unfinished: on their way anyway. too_old: nobody knows whether they were handled.
    not_taken: no handler reads them today. content_gone: the package they refer to is not there
    any more. removed: queued, and taken back by a cancel.
    """

    looked: int = 0
    queued: int = 0
    released: int = 0
    duplicates: int = 0
    unfinished: int = 0
    too_old: int = 0
    not_taken: int = 0
    content_gone: int = 0
    removed: int = 0


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One replay as it stands. expected: messages of its selection when it was started; due_at:
    when its next slice is."""

    id: int
    mode: Mode
    selection: Selection
    state: State
    rate: float
    expected: int
    cursor: Position
    end: Position
    due_at: datetime
    counts: Counts
    note: str
    created_by: str
    reason: str
    created_at: datetime
    ended_at: datetime | None


class NewReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay to be started; span: first and last place of what it selects."""

    mode: Mode
    selection: Selection
    rate: float
    expected: int
    span: tuple[datetime, datetime]
    created_by: str
    reason: str


class Standing(msgspec.Struct, frozen=True):
    """What is known of a message: where it is logged, and the state of its unfinished row."""

    position: Position
    state: str | None


class Load(msgspec.Struct, frozen=True):
    """What waits to be decided. mine: rows of the replay; in_cases, behind: those of them that
    wait for a person, in a case or behind one; live: due rows of no replay, up to a bound;
    backlog: whether a process had more deliveries of a lane than it takes at once, just now."""

    mine: int
    in_cases: int
    behind: int
    live: int
    backlog: bool = False

    @property
    def on_their_way(self) -> int:
        """Rows of the replay that end by themselves."""
        return self.mine - self.in_cases - self.behind


class Queued(msgspec.Struct, frozen=True):
    """An unfinished row that a replay has queued, by what tells it from others."""

    subscription: str
    scope: str
    key: str
    position: Position


async def standing(
    tx: Tx, identities: Sequence[Identity], keys: Sequence[tuple[str, str]]
) -> dict[Identity, Standing]:
    """What is known of these messages; those nobody handled are missing. keys: their holds."""
    rows = await tx.fetch(
        """
        select i.subscription, i.source, i.id, i.message_at, i.message_seq, p.state
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             as w(subscription, source, id, scope, key)
        join inbox i using (subscription, source, id)
        left join lateral (
            select u.state from pending u
            where u.scope = w.scope and u.key = w.key and u.subscription = i.subscription
              and u.message_at = i.message_at and u.message_seq = i.message_seq
              and not u.is_replan
            order by u.id limit 1
        ) p on true
        """,
        [i[0] for i in identities],
        [i[1] for i in identities],
        [i[2] for i in identities],
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return {
        (r["subscription"], r["source"], r["id"]): Standing(
            Position(r["message_at"], r["message_seq"]), r["state"]
        )
        for r in rows
    }


async def start(tx: Tx, new: NewReplay) -> int:
    """The replay runs; its number. Nothing is queued yet."""
    return int(
        await tx.fetchval(
            """
            insert into replay (mode, selection, rate, expected, cursor_at, cursor_seq, end_at,
                                end_seq, created_by, reason)
            values ($1, $2::jsonb, $3, $4, $5, -1, $6, $7, $8, $9) returning id
            """,
            new.mode,
            encode(new.selection).decode(),
            new.rate,
            new.expected,
            new.span[0],
            new.span[1],
            LAST,
            new.created_by,
            new.reason,
        )
    )


async def take_turn(tx: Tx) -> Replay | None:
    """The running replay whose slice is due, locked; None where there is none, or it is taken."""
    row = await tx.fetchrow(
        """
        select * from replay where state = 'running' and next_at <= clock_timestamp()
        order by next_at, id limit 1 for update skip locked
        """
    )
    return _replay(row) if row else None


async def log_needed_from(tx: Tx) -> datetime | None:
    """The oldest time in the log that an unfinished replay has still to look at."""
    found: datetime | None = await tx.fetchval(
        "select min(cursor_at) from replay where state in ('running', 'paused', 'failed')"
    )
    return found


async def lock(tx: Tx, replay_id: int) -> Replay | None:
    """The replay, locked: no slice of it is under way."""
    # A person waits for a slice that is under way; a service would try again later.
    await tx.execute("set local lock_timeout = '15s'")
    row = await tx.fetchrow("select * from replay where id = $1 for update", replay_id)
    return _replay(row) if row else None


async def load(tx: Tx, replay_id: int, *, bound: int) -> Load:
    """What waits to be decided now; what was told of a backlog counts for a second."""
    row = await tx.fetchrow(
        """
        select count(*) as mine, count(*) filter (where p.state = 'in_case') as in_cases,
               count(*) filter (where p.state <> 'in_case' and exists (
                   select from pending e
                   where e.scope = p.scope and e.key = p.key and e.id < p.id
                     and e.state = 'in_case')) as behind,
               (select count(*) from (
                    select from pending
                    where state in ('ready', 'retry') and due_at <= now() and replay_id is null
                    limit $2) due) as live,
               exists (select from lane_work
                       where backlog_at > clock_timestamp() - interval '1 second') as backlog
        from pending p where p.replay_id = $1
        """,
        replay_id,
        bound,
    )
    assert row is not None
    return Load(row["mine"], row["in_cases"], row["behind"], row["live"], row["backlog"])


async def move(tx: Tx, replay: Replay, *, cursor: Position, counts: Counts, costs_s: float) -> None:
    """The slice counts; the next one is due after what it costs, a second of delay caught up."""
    await tx.execute(
        """
        update replay
        set cursor_at = $2, cursor_seq = $3, looked = looked + $4, queued = queued + $5,
            released = released + $6, duplicates = duplicates + $7, unfinished = unfinished + $8,
            too_old = too_old + $9, not_taken = not_taken + $10,
            content_gone = content_gone + $11, note = '',
            next_at = greatest($12, now() - interval '1 second') + make_interval(secs => $13)
        where id = $1
        """,
        replay.id,
        cursor.at,
        cursor.seq,
        counts.looked,
        counts.queued,
        counts.released,
        counts.duplicates,
        counts.unfinished,
        counts.too_old,
        counts.not_taken,
        counts.content_gone,
        replay.due_at,
        costs_s,
    )


async def wait(tx: Tx, replay_id: int, *, seconds: float, note: str) -> None:
    """No slice before so many seconds, and why."""
    await tx.execute(
        """
        update replay set next_at = now() + make_interval(secs => $2), note = $3 where id = $1
        """,
        replay_id,
        seconds,
        note,
    )


async def change_state(tx: Tx, replay_id: int, state: State, *, note: str = "") -> None:
    """The replay is in that state; one that goes on is due at once."""
    await tx.execute(
        """
        update replay
        set state = $2, note = $3, next_at = now(),
            ended_at = case when $2 in ('running', 'paused') then null else now() end
        where id = $1
        """,
        replay_id,
        state,
        note,
    )


async def mark(
    tx: Tx, replay_id: int, queued: Sequence[Queued], again: Mapping[Identity, bool]
) -> None:
    """Rows and inbox say by which replay; what is decided again gets its next generation.

    again: identities of the same messages, and whether each one was handled before.
    """
    identities = sorted(again)
    await tx.execute(
        """
        with numbered as (
            update inbox i
            set replay_id = $1, generation = i.generation + q.again::int
            from unnest($2::text[], $3::text[], $4::text[], $5::boolean[])
                 as q(subscription, source, id, again)
            where i.subscription = q.subscription and i.source = q.source and i.id = q.id
            returning i.subscription, i.message_at, i.message_seq, i.generation
        )
        update pending p set replay_id = $1, generation = n.generation
        from unnest($6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::bigint[])
             as q(subscription, scope, key, at, seq)
        join numbered n on n.subscription = q.subscription and n.message_at = q.at
             and n.message_seq = q.seq
        where p.scope = q.scope and p.key = q.key and p.subscription = q.subscription
          and p.message_at = q.at and p.message_seq = q.seq and not p.is_replan
        """,
        replay_id,
        [i[0] for i in identities],
        [i[1] for i in identities],
        [i[2] for i in identities],
        [again[i] for i in identities],
        [q.subscription for q in queued],
        [q.scope for q in queued],
        [q.key for q in queued],
        [q.position.at for q in queued],
        [q.position.seq for q in queued],
    )


async def cases_at(tx: Tx, positions: Sequence[Position]) -> dict[Position, int]:
    """Open cases about the messages at these places of the log."""
    rows = await tx.fetch(
        """
        select c.id, c.message_at, c.message_seq
        from unnest($1::timestamptz[], $2::bigint[]) as w(at, seq)
        join exception_case c on c.message_at = w.at and c.message_seq = w.seq
        where c.state = 'open' and c.origin = 'message'
        """,
        [p.at for p in positions],
        [p.seq for p in positions],
    )
    return {Position(r["message_at"], r["message_seq"]): r["id"] for r in rows}


async def remove_unbegun(tx: Tx, replay_id: int) -> int:
    """Rows that are to be decided again and were not begun are gone; how many.

    Messages that the replay admitted stay: theirs is the one handling, a copy of them that came
    meanwhile was absorbed. The caller locked the replay, so that none is added.
    """
    # (not joined with the holds: that may be planned as a look at all of them for each row)
    keys = await tx.fetch("select distinct scope, key from pending where replay_id = $1", replay_id)
    await held_keys(tx, [(k["scope"], k["key"]) for k in keys])
    # A statement of its own: it sees what row workers did before they gave the holds up.
    removed = await tx.fetch(
        """
        with gone as (
            delete from pending
            where replay_id = $1 and generation > 1 and attempts = 0
              and begun = 0 and state in ('ready', 'parked')
            returning subscription, scope, key, message_at, message_seq
        ),
        restored as (
            update inbox i set generation = i.generation - 1, replay_id = null
            from gone g
            where i.replay_id = $1 and i.subscription = g.subscription
              and i.message_at = g.message_at and i.message_seq = g.message_seq
        )
        select scope, key from gone
        """,
        replay_id,
    )
    await free_next(tx, {(r["scope"], r["key"]) for r in removed})
    await tx.execute(
        "update replay set removed = removed + $2 where id = $1", replay_id, len(removed)
    )
    return len(removed)


class ReplayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A replay as people see it: what `Replay` says, and what became of what it queued.

    waiting, in_cases: of its rows, those not finished, without and with a person to wait for.
    outcomes: word -> messages finished with it.
    """

    id: int
    mode: Mode
    state: State
    selection: Selection
    rate: float
    expected: int
    counts: Counts
    waiting: int
    in_cases: int
    outcomes: dict[str, int]
    note: str
    created_by: str
    reason: str
    created_at: datetime
    ended_at: datetime | None


async def views(tx: Tx, *, limit: int, only: int | None = None) -> list[ReplayRow]:
    """Replays, the newest first."""
    rows = await tx.fetch(
        """
        select r.*, p.waiting, p.in_cases, o.outcomes
        from (select * from replay where $2::bigint is null or id = $2
              order by id desc limit $1) r
        cross join lateral (
            select count(*) filter (where state <> 'in_case') as waiting,
                   count(*) filter (where state = 'in_case') as in_cases
            from pending where replay_id = r.id
        ) p
        cross join lateral (
            select coalesce(json_object_agg(outcome, n order by outcome), '{}')::text as outcomes
            from (select i.outcome, count(*) as n from inbox i
                  where i.replay_id = r.id and not exists (
                      select from pending u
                      where u.replay_id = r.id and u.subscription = i.subscription
                        and u.message_at = i.message_at and u.message_seq = i.message_seq)
                  group by 1) finished
        ) o
        order by r.id desc
        """,
        limit,
        only,
    )
    return [_view(r) for r in rows]


def _view(row: asyncpg.Record) -> ReplayRow:
    replay = _replay(row)
    return ReplayRow(
        id=replay.id,
        mode=replay.mode,
        state=replay.state,
        selection=replay.selection,
        rate=replay.rate,
        expected=replay.expected,
        counts=replay.counts,
        waiting=row["waiting"],
        in_cases=row["in_cases"],
        outcomes=msgspec.json.decode(row["outcomes"], type=dict[str, int]),
        note=replay.note,
        created_by=replay.created_by,
        reason=replay.reason,
        created_at=replay.created_at,
        ended_at=replay.ended_at,
    )


def _replay(row: asyncpg.Record) -> Replay:
    return Replay(
        id=row["id"],
        mode=row["mode"],
        selection=msgspec.json.decode(row["selection"], type=Selection),
        state=row["state"],
        rate=row["rate"],
        expected=row["expected"],
        cursor=Position(row["cursor_at"], row["cursor_seq"]),
        end=Position(row["end_at"], row["end_seq"]),
        due_at=row["next_at"],
        counts=Counts(**{name: row[name] for name in Counts.__struct_fields__}),
        note=row["note"],
        created_by=row["created_by"],
        reason=row["reason"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
