"""SQL for ledgers: one row per business transaction, locked by whoever changes its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, cast

import msgspec

from broker.store.connection import Position, Tx
from broker.store.holds import in_words
from canonical.codec import encode
from canonical.effects import Finding
from canonical.envelope import Lane
from canonical.facts import SELECTIONS

LedgerEnd = Literal["complete", "cancelled"]


class Ledger(msgspec.Struct, frozen=True):
    """A locked ledger row.

    version: of the event its plan follows from. ends_as: its state once every step is settled.
    cancelled_by: the person who took it back. paused: by whom and why, "" while it is not;
    paused_by: by whom; pause_words: why, by whom and since when, as `change show` says it. told:
    mark of what subscribers know of how it gets on. planner: that made its plan; asked_planner:
    that asks whether it may make it otherwise.
    """

    id: int
    key: str
    title: str
    version: int
    state: str
    subscription: str
    scope: str
    lane: Lane
    source: str
    correlation_id: str
    position: Position
    ends_as: LedgerEnd = "complete"
    cancelled_by: str = ""
    paused: str = ""
    paused_by: str = ""
    pause_words: str = ""
    told: str = ""
    planner: str = ""
    asked_planner: str = ""


class NewLedger(msgspec.Struct, frozen=True):
    """What opens or renews a ledger. ends_as, cancelled_by, planner: as in Ledger; one that is not
    told apart ("") leaves the one before on record. along: as in Plan."""

    key: str
    title: str
    version: int
    subscription: str
    scope: str
    lane: Lane
    source: str
    correlation_id: str
    findings: tuple[Finding, ...]
    position: Position
    ends_as: LedgerEnd = "complete"
    cancelled_by: str = ""
    planner: str = ""
    along: tuple[str, ...] = ()


class Renewal(msgspec.Struct, frozen=True):
    """A ledger follows from a newer plan.

    reopen: the plan changes something; the ledger is open until its steps say otherwise.
    """

    ledger_id: int
    new: NewLedger
    reopen: bool


class Woken(msgspec.Struct, frozen=True):
    """A ledger that is to be planned anew from its event, and why."""

    subscription: str
    scope: str
    key: str
    lane: Lane
    ledger_id: int
    position: Position
    why: str


def paused_words(by: str, reason: str) -> str:
    """What `paused` of a ledger says."""
    return f"paused by {by}: {reason}"


async def lock_or_open(tx: Tx, wanted: Sequence[NewLedger]) -> dict[str, tuple[Ledger, bool]]:
    """By key: the ledger, locked, opened where there was none; and whether it is new.

    Keys in `wanted` are distinct and in order. An existing ledger is returned as it is: whether the
    plan applies is decided on its version.
    """
    rows = await tx.fetch(
        """
        insert into ledger (key, title, version, subscription, scope, lane, source, correlation_id,
                            findings, message_at, message_seq, ends_as, cancelled_by, planner,
                            story, along)
        select key, title, version, subscription, scope, lane, source, correlation_id,
               findings::jsonb, at, seq, ends_as, cancelled_by, planner, correlation_id,
               string_to_array(along, ' ')
        from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::bigint[],
                    $12::text[], $13::text[], $14::text[], $15::text[])
             with ordinality as n(key, title, version, subscription, scope, lane, source,
                                  correlation_id, findings, at, seq, ends_as, cancelled_by,
                                  planner, along, n)
        order by n
        -- takes the row lock of the one that is there
        on conflict (key) do update set key = excluded.key
        returning *, (xmax = 0) as is_new
        """,
        [n.key for n in wanted],
        [n.title for n in wanted],
        [n.version for n in wanted],
        [n.subscription for n in wanted],
        [n.scope for n in wanted],
        [n.lane for n in wanted],
        [n.source for n in wanted],
        [n.correlation_id for n in wanted],
        [encode(n.findings).decode() for n in wanted],
        [n.position.at for n in wanted],
        [n.position.seq for n in wanted],
        [n.ends_as for n in wanted],
        [n.cancelled_by for n in wanted],
        [n.planner for n in wanted],
        [" ".join(n.along) for n in wanted],
    )
    return {r["key"]: (_ledger(r), bool(r["is_new"])) for r in rows}


async def renew_ledgers(tx: Tx, renewals: Sequence[Renewal]) -> None:
    """The locked ledgers say what they follow from now."""
    await tx.execute(
        """
        update ledger l set title = r.title, version = r.version, findings = r.findings::jsonb,
               message_at = r.at, message_seq = r.seq, planned_at = now(),
               ends_as = r.ends_as, cancelled_by = r.cancelled_by,
               story = r.story, along = string_to_array(r.along, ' '),
               planner = coalesce(nullif(r.planner, ''), l.planner), asked_planner = '',
               state = case when r.reopen then 'open' else l.state end,
               completed_at = case when r.reopen then null else l.completed_at end
        from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[],
                    $6::bigint[], $7::boolean[], $8::text[], $9::text[], $10::text[], $11::text[],
                    $12::text[])
             as r(id, title, version, findings, at, seq, reopen, ends_as, cancelled_by, planner,
                  story, along)
        where l.id = r.id
        """,
        [r.ledger_id for r in renewals],
        [r.new.title for r in renewals],
        [r.new.version for r in renewals],
        [encode(r.new.findings).decode() for r in renewals],
        [r.new.position.at for r in renewals],
        [r.new.position.seq for r in renewals],
        [r.reopen for r in renewals],
        [r.new.ends_as for r in renewals],
        [r.new.cancelled_by for r in renewals],
        [r.new.planner for r in renewals],
        [r.new.correlation_id for r in renewals],
        [" ".join(r.new.along) for r in renewals],
    )


async def ask_for_consent(tx: Tx, ledger_ids: Sequence[int], planner: str) -> None:
    """These locked ledgers are not planned anew by that planner before a person agrees."""
    await tx.execute(
        "update ledger set asked_planner = $2 where id = any($1::bigint[])", ledger_ids, planner
    )


async def consent(tx: Tx, ledger_id: int) -> None:
    """The planner that asks makes the plan of the locked ledger from now on."""
    await tx.execute(
        "update ledger set planner = asked_planner, asked_planner = '' where id = $1", ledger_id
    )


async def lock_ledgers(tx: Tx, ids: Iterable[int]) -> dict[int, Ledger]:
    """The ledgers with those ids, locked in id order."""
    rows = await tx.fetch(
        """
        select l.* from ledger l join unnest($1::bigint[]) as w(id) using (id)
        order by l.id for update of l
        """,
        sorted(set(ids)),
    )
    return {r["id"]: _ledger(r) for r in rows}


async def lock_free_ledgers(tx: Tx, ids: Iterable[int]) -> dict[int, Ledger]:
    """Those of the ledgers that nobody else has locked, locked in id order."""
    rows = await tx.fetch(
        """
        select l.* from ledger l join unnest($1::bigint[]) as w(id) using (id)
        order by l.id for update of l skip locked
        """,
        sorted(set(ids)),
    )
    return {r["id"]: _ledger(r) for r in rows}


async def open_ones(tx: Tx, ids: Iterable[int]) -> frozenset[int]:
    """Those of the ledgers that have not ended."""
    rows = await tx.fetch(
        "select id from ledger where id = any($1::bigint[]) and state = 'open'", sorted(set(ids))
    )
    return frozenset(r["id"] for r in rows)


async def end_ledgers(tx: Tx, ids: Sequence[int]) -> None:
    """Every step of these is settled: each is complete, or cancelled, and watches nothing."""
    await tx.execute(
        """
        with unwatched as (delete from watch where ledger_id = any($1::bigint[])),
        unfound as (delete from swept_watch where ledger_id = any($1::bigint[]))
        update ledger l set state = l.ends_as, completed_at = now()
        from unnest($1::bigint[]) as w(id) where l.id = w.id
        """,
        ids,
    )


async def ids_at_source(tx: Tx, keys: Sequence[str]) -> dict[str, str]:
    """By key, how the source of a ledger's change writes it, as far as the change is on record."""
    rows = await tx.fetch(
        """
        select d.key, convert_from(d.body, 'UTF8')::jsonb ->> 'source_id' as source_id
        from unnest($1::text[]) as w(key) join document d using (key)
        """,
        keys,
    )
    return {r["key"]: r["source_id"] or "" for r in rows}


async def kept_ones(tx: Tx, flow: str, *, is_anything_held: bool) -> list[int]:
    """Ids of open ledgers of the flow of which a hold that was placed or released may say how they
    get on: they have calls to make. Where nothing is held, those that were told to be blocked."""
    rows = await tx.fetch(
        """
        select l.id
        from (select distinct ledger_id from step
              where kind = 'call' and state in ('ready', 'in_doubt') and flow = $1) s
        cross join lateral (select * from ledger where id = s.ledger_id limit 1) l
        where l.state = 'open' and ($2 or starts_with(l.told, 'blocked'))
        order by l.id
        """,
        flow,
        is_anything_held,
    )
    return [row["id"] for row in rows]


async def mark_told(tx: Tx, told: Sequence[tuple[int, str]]) -> None:
    """What subscribers know of these ledgers, which are locked."""
    await tx.execute(
        """
        update ledger l set told = w.told
        from unnest($1::bigint[], $2::text[]) as w(id, told) where l.id = w.id
        """,
        [ledger_id for ledger_id, _ in told],
        [mark for _, mark in told],
    )


async def newly_known(
    tx: Tx,
    keys: Sequence[str] | None,
    now: datetime,
    *,
    planner: str = "",
    along: Iterable[tuple[str, str]] = (),
) -> list[Woken]:
    """Ledgers that wait for, or watch, a fact which is newer than what they saw, or have an open
    step whose time to be planned anew has come; in the order of their ids.

    A fact is a document, or the documents of a selection. keys: documents just written, or None to
    look at every wait for a fact. planner: ledgers that it has asked a person about are left out.
    along: correlation ids with kinds of documents that were written by what follows from the same:
        they make plans anew that say so, whatever their ledgers wait for.
    """
    stories = sorted(set(along))
    rows = await tx.fetch(
        """
        with named as materialized (
            select name from selected where key = any($1::text[])
            union
            select fact from swept_watch
            where $1::text[] is null and split_part(fact, '/', 1) = any($3::text[])
            union
            select fact from step
            where $1::text[] is null and fact is not null
              and state in ('waiting', 'held', 'ready')
              and split_part(fact, '/', 1) = any($3::text[])
        ),
        selection as materialized (
            select name, sum(changes) as version from selected join named using (name) group by name
        ),
        woken as materialized (
            select ledger_id, bool_or(is_by_time) as is_by_time
            from (
                select s.ledger_id, false as is_by_time
                from step s join document d on d.key = s.fact
                where s.fact is not null and s.state in ('waiting', 'held', 'ready')
                  and d.row_version > s.seen
                  and ($1::text[] is null or s.fact = any($1::text[]))
                union all
                select s.ledger_id, false
                from selection d join step s on s.fact = d.name
                where s.fact is not null and s.state in ('waiting', 'held', 'ready')
                  and d.version > s.seen
                union all
                select w.ledger_id, false
                from selection d cross join lateral (
                    select ledger_id from swept_watch
                    where fact = d.name and seen < d.version
                ) w
                union all
                -- (look-ups for each: joins may be planned as reads of whole tables)
                select w.ledger_id, false
                from unnest($1::text[]) as k(key)
                cross join lateral (
                    select row_version from document where key = k.key limit 1
                ) d
                cross join lateral (
                    select ledger_id from watch where fact = k.key and seen < d.row_version
                    union all
                    select ledger_id from swept_watch where fact = k.key and seen < d.row_version
                ) w
                union all
                select w.ledger_id, false
                from swept_watch w
                cross join lateral (
                    select row_version from document where key = w.fact limit 1
                ) d
                where $1::text[] is null and d.row_version > w.seen
                union all
                select l.id, false
                from unnest($5::text[], $6::text[]) as a(story, kind)
                cross join lateral (
                    select id from ledger
                    where story = a.story and along <> '{}' and a.kind = any(along)
                      and state in ('open', 'complete')
                ) l
                union all
                select s.ledger_id, true
                from step s
                where s.wake_at <= $2
                  and s.state in ('waiting', 'held', 'ready', 'in_flight', 'in_doubt', 'failed')
            ) found
            group by ledger_id
        )
        select l.subscription, l.scope, l.key, l.lane, l.id, l.message_at, l.message_seq,
               w.is_by_time
        from woken w
        -- a look-up for each: a join may be planned as a read of the whole table
        cross join lateral (select * from ledger where id = w.ledger_id limit 1) l
        -- one is due already, or is being made: the next sweep sees what it has not seen
        -- (a look-up for each too, for the same reason)
        where (select id from pending where merge_key = 'plan:' || l.id limit 1) is null
          and (l.asked_planner = '' or l.asked_planner <> $4)
        order by l.id
        """,
        keys,
        now,
        sorted(SELECTIONS),
        planner,
        [story for story, _ in stories],
        [kind for _, kind in stories],
    )
    return [
        Woken(
            subscription=r["subscription"],
            scope=r["scope"],
            key=r["key"],
            lane=r["lane"],
            ledger_id=r["id"],
            position=Position(r["message_at"], r["message_seq"]),
            why="its time has come" if r["is_by_time"] else "a fact it waited for is known",
        )
        for r in rows
    ]


def _pause_words(r: dict[str, object]) -> str:
    at = cast(datetime, r["paused_at"])
    return in_words(cast(str, r["pause_reason"]), cast(str, r["paused_by"]), at)


def _ledger(row: object) -> Ledger:
    r = cast("dict[str, object]", row)
    return Ledger(
        id=cast(int, r["id"]),
        key=cast(str, r["key"]),
        title=cast(str, r["title"]),
        version=cast(int, r["version"]),
        state=cast(str, r["state"]),
        subscription=cast(str, r["subscription"]),
        scope=cast(str, r["scope"]),
        lane=cast(Lane, r["lane"]),
        source=cast(str, r["source"]),
        correlation_id=cast(str, r["correlation_id"]),
        position=Position(cast(datetime, r["message_at"]), cast(int, r["message_seq"])),
        ends_as=cast(LedgerEnd, r["ends_as"]),
        cancelled_by=cast(str, r["cancelled_by"]),
        paused=paused_words(str(r["paused_by"]), str(r["pause_reason"])) if r["paused_at"] else "",
        paused_by=cast(str, r["paused_by"]),
        pause_words=_pause_words(r) if r["paused_at"] else "",
        told=cast(str, r["told"]),
        planner=cast(str, r["planner"]),
        asked_planner=cast(str, r["asked_planner"]),
    )
