"""SQL for escalations: what waits for somebody, and which roles it has gone on to.

An escalation stands as long as the due time of its step is not put off; one of a refused decision
as long as that stays refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import msgspec

from broker.ledger import Due
from broker.store.casebook import PUT_ON_RECORD, Case
from broker.store.connection import Tx
from broker.store.holds import gone_on_to
from broker.store.steps import DUE_FROM, DUE_S, ESCALATED_TO, operation_from
from canonical.operations import Approve

# A step s that nobody has mended. What was refused and is asked for again has a newer form; a
# look-up for each, as below.
_HAS_FAILED = """
    s.state = 'failed' and (s.kind = 'call' or (s.kind = 'approval' and s.generation = (
        select max(n.generation) from step n
        where n.ledger_id = s.ledger_id and n.identity = s.identity)))
"""
ESCALATOR_LOCK = 0x4C61_7945  # "LayE"
CODE = "step-overdue"
HOLD_CODE = "hold-overdue"
# Holds in force and changes that are paused, by what names them.
_PLACE_OF_HOLD = "'hold ' || h.id || ': ' || h.kind || ' ' || h.value"
_STANDSTILLS = f"""
    select 'hold ' || h.id as subject, {_PLACE_OF_HOLD} as place,
           h.kind, h.id as hold_id, h.reason, h.by_whom, h.at as since, '' as ledger_key,
           '' as correlation_id
    from outbound_hold h where h.released_at is null
    union all
    select l.key, l.key || ': pause', 'change', null, l.pause_reason, l.paused_by, l.paused_at,
           l.key, l.correlation_id
    from ledger l where l.paused_at is not null and l.state = 'open'
"""


class Waiting(msgspec.Struct, frozen=True):
    """A step that somebody has to move: a decision that is asked for or was refused, or a call that
    failed.

    question: of a decision; "" of a call. asked: the role or the system. escalated_to: roles that
    it has gone on to. refused_at: when it was decided by no; None = it was not.
    """

    id: int
    ledger_id: int
    identity: str
    asked: str
    owner: str
    reason: str
    question: str
    due: Due
    escalated_to: tuple[str, ...]
    refused_at: datetime | None = None


class Standstill(msgspec.Struct, frozen=True):
    """What people have stopped. subject: "hold 7", or the key of a ledger that is paused. kind: of
    the hold; "change" of a ledger, which has a ledger_key. hold_id: None of a ledger. waiting:
    calls that are due or soon, and are not made by it.
    """

    subject: str
    place: str
    kind: str
    hold_id: int | None
    reason: str
    by: str
    since: datetime
    ledger_key: str
    correlation_id: str
    escalated_to: tuple[str, ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """The step has gone on to a role. level: which time this is of it, from 1 on. due_at: when it
    is, or was, late."""

    step: Waiting
    role: str
    level: int
    due_at: datetime


async def try_lock(tx: Tx) -> bool:
    """Whether this transaction is the one that escalates now."""
    return bool(await tx.fetchval("select pg_try_advisory_xact_lock($1)", ESCALATOR_LOCK))


async def waiting(
    tx: Tx, *, after: int = 0, limit: int, ids: Sequence[int] | None = None
) -> list[Waiting]:
    """Steps that somebody has to move, of ledgers that are not paused, in the order of their ids.

    after: id of the last one that was seen. ids: of these only.
    """
    rows = await tx.fetch(
        f"""
        select s.id, s.ledger_id, s.identity, s.kind, s.system, s.owner, s.reason, s.due_at,
               {DUE_FROM} as due_from, {DUE_S} as due_s, s.calendar,
               case s.kind when 'approval' then s.operation end as asked,
               case when s.kind = 'approval' and s.state = 'failed' then s.changed_at end
                   as refused_at,
               {ESCALATED_TO} as escalated_to
        from step s
        where s.id > $1 and ($3::bigint[] is null or s.id = any($3))
          and ((s.kind = 'approval' and s.state = 'ready') or {_HAS_FAILED})
          -- a look-up for each: a join may be planned as a read of the whole table
          and (select l.paused_at from ledger l where l.id = s.ledger_id) is null
        order by s.id limit $2
        """,
        after,
        limit,
        ids,
    )
    return [
        Waiting(
            id=r["id"],
            ledger_id=r["ledger_id"],
            identity=r["identity"],
            asked=r["system"],
            owner=r["owner"],
            reason=r["reason"],
            question=cast(Approve, operation_from(r["asked"])).question if r["asked"] else "",
            due=Due(r["due_at"], r["due_from"], r["due_s"], r["calendar"]),
            escalated_to=tuple(r["escalated_to"]),
            refused_at=r["refused_at"],
        )
        for r in rows
    ]


async def standstills(tx: Tx) -> list[Standstill]:
    """All that people have stopped, the oldest first."""
    rows = await tx.fetch(
        f"""
        select s.*, {gone_on_to("s.subject", "s.since")} as escalated_to
        from ({_STANDSTILLS}) s order by s.since, s.subject
        """
    )
    return [
        Standstill(
            subject=r["subject"],
            place=r["place"],
            kind=r["kind"],
            hold_id=r["hold_id"],
            reason=r["reason"],
            by=r["by_whom"],
            since=r["since"],
            ledger_key=r["ledger_key"],
            correlation_id=r["correlation_id"],
            escalated_to=tuple(r["escalated_to"]),
        )
        for r in rows
    ]


class StandstillMark(msgspec.Struct, frozen=True):
    """What people have stopped has gone on to a role. level, due_at: as in Mark."""

    standstill: Standstill
    role: str
    level: int
    due_at: datetime


async def mark_standstills(tx: Tx, marks: Sequence[StandstillMark]) -> None:
    """What people have stopped has gone on to these roles."""
    await tx.execute(
        """
        insert into standstill_escalation (subject, since, role, level, due_at)
        select * from unnest($1::text[], $2::timestamptz[], $3::text[], $4::int[],
                             $5::timestamptz[])
        """,
        [m.standstill.subject for m in marks],
        [m.standstill.since for m in marks],
        [m.role for m in marks],
        [m.level for m in marks],
        [m.due_at for m in marks],
    )


async def mark(tx: Tx, marks: Sequence[Mark]) -> None:
    """The steps, whose ledgers are locked, have gone on to these roles."""
    await tx.execute(
        """
        insert into step_escalation (step_id, role, level, due_at, at)
        select w.*, clock_timestamp()
        from unnest($1::bigint[], $2::text[], $3::int[], $4::timestamptz[]) as w
        -- asked and refused outside of the working time, both may be due at one moment
        on conflict (step_id, role, due_at) do update set level = excluded.level, at = excluded.at
        """,
        [m.step.id for m in marks],
        [m.role for m in marks],
        [m.level for m in marks],
        [m.due_at for m in marks],
    )


async def hand_on(tx: Tx, cases: Sequence[Case]) -> None:
    """The open cases of these codes and places are whose they are said to be here."""
    await tx.execute(
        """
        update exception_case e set owner = c.owner
        from unnest($1::text[], $2::text[], $3::text[]) as c(code, place, owner)
        where e.state = 'open' and e.code = c.code and e.place = c.place
        """,
        [case.code for case in cases],
        [case.place for case in cases],
        [case.owner for case in cases],
    )


async def close_mended(tx: Tx) -> None:
    """Cases of what failed, was refused or was stopped, and went on, are resolved where that is
    over."""
    await tx.execute(
        f"""
        with closed as (
            update exception_case e
            set state = 'resolved', closed_at = now(), closed_by = 'the step, which went on'
            where e.state = 'open' and e.code = $1
              and not exists (
                  select from ledger l join step s on s.ledger_id = l.id
                  where l.key = e.ledger_key and {_HAS_FAILED}
                    and e.place = l.key || ': ' || s.identity)
            returning e.*
        )
        {PUT_ON_RECORD}
        """,
        CODE,
    )
    await tx.execute(
        f"""
        with closed as (
            update exception_case e
            set state = 'resolved', closed_at = now(), closed_by = 'its end'
            where e.state = 'open' and e.code = $1
              -- a look-up for each: joined, all ledgers may be read
              and case e.ledger_key when ''
                  then (select h.id from outbound_hold h
                        where h.released_at is null and {_PLACE_OF_HOLD} = e.place) is null
                  else (select l.paused_at from ledger l
                        where l.key = e.ledger_key and l.state = 'open') is null end
            returning e.*
        )
        {PUT_ON_RECORD}
        """,
        HOLD_CODE,
    )
