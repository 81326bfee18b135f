"""SQL for calls: claiming them by target object, their results, and claims whose owner is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from broker.ledger import LEFT_BEHIND
from broker.store import holds as hold_rows
from broker.store.connection import Tx
from broker.store.steps import operation_from
from canonical.codec import encode
from canonical.connector import Former
from canonical.effects import Step
from canonical.envelope import Lane
from canonical.operations import Operation, ReadObject

# Why what was there before is not known of a call whose process died.
LOST_BEFORE = "what was there before is not known: the process that wrote it ended before it said"


class Prior(msgspec.Struct, frozen=True):
    """The last form of a step that was done before, by its id."""

    id: int
    operation: Operation


class Undo(msgspec.Struct, frozen=True):
    """What an undo puts back. needed_by: key of another ledger that made the same true since, or
    found it so; "" = none."""

    back: Operation
    needed_by: str


class Before(msgspec.Struct, frozen=True):
    """What a call found before it first wrote. as_of: id of the step that had found it already, as
    its target had been left as that one left it; 0 = none."""

    former: Former = Former()
    as_of: int = 0


class ClaimedStep(msgspec.Struct, frozen=True):
    """A call that this process may make until its lease ends.

    fence: number of the claim; a result with another number is not ours any more. withdrawn: it was
    sent, and is planned otherwise or not at all by now. is_fresh: nothing of it was written yet.
    prior: what this ledger made true of its object before, by an earlier form of the step. undo:
    what it is to put back, where it is an undo: its own operation is then what it undoes.
    """

    id: int
    ledger_id: int
    ledger_key: str
    target_id: int
    fence: int
    version: int
    attempts: int
    idempotency_key: str
    correlation_id: str
    was_in_doubt: bool
    withdrawn: bool
    step: Step
    is_fresh: bool = False
    prior: Prior | None = None
    undo: Undo | None = None

    @property
    def goal(self) -> Step:
        """The step as its target is to hold it in the end."""
        if self.undo is None:
            return self.step
        return msgspec.structs.replace(self.step, operation=self.undo.back)


class CallResult(msgspec.Struct, frozen=True):
    """How a claimed call ended.

    state: done, ready, in_doubt or failed. calls: method, path and status of each exchange.
    burns_attempt: False where it got on and goes on, or where nothing was sent: the claim counts
        for no attempt. before: what was there before its first write; None where nothing was
        written, or it is on record.
    """

    claimed: ClaimedStep
    state: str
    next_at: datetime
    started_at: datetime
    ended_at: datetime
    calls: tuple[str, ...]
    outcome: str
    note: str
    reference: str = ""
    burns_attempt: bool = True
    before: Before | None = None


async def claim_calls(
    tx: Tx, *, lane: Lane, systems: Sequence[str], limit: int, lease_s: float
) -> list[ClaimedStep]:
    """Due calls of this lane that nobody holds, those that are due longest first, one per target
    object, leased to this process.

    The row of the target is claimed, never the step: one object has one call at a time. A lapsed
    lease was somebody who died: that step was turned in doubt first (lapse_calls). Nothing is
    claimed at the moment in which a hold is placed.
    """
    held = await hold_rows.in_force(tx)
    if held is None:
        return []
    arguments: tuple[object, ...] = (lane, list(systems), limit, lease_s)
    if held.is_anything:
        arguments += (list(held.systems), list(held.plants), list(held.flows))
    rows = await tx.fetch(_CLAIM_BESIDE_HOLDS if held.is_anything else _CLAIM, *arguments)
    return [
        ClaimedStep(
            id=r["id"],
            ledger_id=r["ledger_id"],
            ledger_key=r["ledger_key"],
            target_id=r["target_id"],
            fence=r["fence"],
            version=r["version"],
            attempts=r["attempts"],
            idempotency_key=r["idempotency_key"],
            correlation_id=_story(operation) or r["correlation_id"],
            was_in_doubt=r["was_in_doubt"],
            withdrawn=r["withdrawn"] or r["is_outdated"],
            step=Step(
                plant=r["plant"],
                system=r["system"],
                object_kind=r["object_kind"],
                object_id=r["object_id"],
                operation=operation,
                depends_on=tuple(r["depends_on"]),
                owner=r["owner"],
                lane=lane,
            ),
            is_fresh=r["former"] is None and not r["not_undone"],
            prior=(
                Prior(r["prior_id"], operation_from(r["prior_operation"]))
                if r["prior_id"] is not None
                else None
            ),
            undo=(
                Undo(operation_from(r["back"]), r["needed_by"] or "")
                if r["back"] is not None
                else None
            ),
        )
        for r in rows
        for operation in [operation_from(r["operation"])]
    ]


# A due call s of lane $1 to one of the systems $2 that may be made now.
_MAY_BE_MADE = """
    s.state in ('ready', 'in_doubt') and s.kind = 'call'
    and s.lane = $1 and s.next_at <= now() and s.system = any($2::text[])
    -- the head of its target, due or not, of any lane: an older call that waits for its
    -- retry, is in doubt or is held keeps its object, or its old content would overwrite the new
    -- (look-ups for each: joins are planned as reads of every queue)
    and s.id = (
        select h.id from step h
        where h.target_id = s.target_id
          and h.state in ('ready', 'in_doubt') and h.kind = 'call'
        order by h.target_id, h.id limit 1)
    and (select t.lease_until from target t where t.id = s.target_id) is null
"""

_DUE = f"""
    select s.target_id, s.id from step s
    where {_MAY_BE_MADE}
    order by s.next_at, s.id limit $3
"""

# Calls by what holds tell them by. The classes that have any are found by going from one to the
# next in the index, so that what is held is passed over whole, however much it is.
_DUE_BESIDE_HOLDS = f"""
    with recursive class as (
        (select s.only_asks, s.system, s.plant, s.flow from step s
         where s.state in ('ready', 'in_doubt') and s.kind = 'call' and s.lane = $1
         order by s.only_asks, s.system, s.plant, s.flow limit 1)
        union all
        select n.only_asks, n.system, n.plant, n.flow
        from class c cross join lateral (
            select s.only_asks, s.system, s.plant, s.flow from step s
            where s.state in ('ready', 'in_doubt') and s.kind = 'call' and s.lane = $1
              and (s.only_asks, s.system, s.plant, s.flow)
                  > (c.only_asks, c.system, c.plant, c.flow)
            order by s.only_asks, s.system, s.plant, s.flow limit 1
        ) n
    )
    select d.target_id, d.id
    from class c cross join lateral (
        select s.target_id, s.id, s.next_at from step s
        where {_MAY_BE_MADE} and s.only_asks = c.only_asks
          and s.system = c.system and s.plant = c.plant and s.flow = c.flow
        order by s.next_at, s.id limit $3
    ) d
    where c.system = any($2::text[])
      and (c.only_asks
           or (c.system <> all($5::text[]) and c.plant <> all($6::text[])
               and c.flow <> all($7::text[])))
    order by d.next_at, d.id limit $3
"""


def needed_by(step: str) -> str:
    """SQL of the key of another ledger that made the same true of the object of a step, by its
    alias, since that was done, or found it so; null where none has."""
    return f"""
        (select l.key from step o join ledger l on l.id = o.ledger_id
         where o.object_id = {step}.object_id and o.target_id = {step}.target_id
           and o.verb = {step}.verb and o.ledger_id <> {step}.ledger_id
           and o.state = 'done' and o.undoes is null
           and o.changed_at >= (select max(e.at) from step_event e
                                where e.step_id = {step}.id and e.state = 'done')
         order by o.id desc limit 1)"""


def _claim(candidates: str) -> str:
    """The statement that claims some of these candidates."""
    return f"""
        with candidate as ({candidates}),
        locked as (
            select t.id, s.id as step_id, s.state = 'in_doubt' as was_in_doubt
            from target t join step s on s.target_id = t.id
            -- (arrays: a join with the candidates is planned as a read of all targets)
            where t.id = any(array(select target_id from candidate))
              and s.id = any(array(select id from candidate))
              and t.lease_until is null and s.state in ('ready', 'in_doubt')
            -- never waits, so it never waits in a ring with who holds a ledger; no key is
            -- changed, so the foreign keys of a plan that is being stored keep nobody from calling
            for no key update of t, s skip locked
        ),
        leased as (
            update target t set lease_until = clock_timestamp() + make_interval(secs => $4),
                   fence = t.fence + 1
            from locked l where t.id = l.id
            returning t.id, t.fence, l.step_id, l.was_in_doubt
        ),
        begun as (
            update step s set state = 'in_flight', version = s.version + 1,
                   attempts = s.attempts + 1, changed_at = now()
            from leased l
            where s.id = l.step_id
            returning s.*, l.fence, l.was_in_doubt
        ),
        noted as (
            insert into step_event (step_id, state) select id, 'in_flight' from begun
        )
        select b.*, led.key as ledger_key, led.correlation_id,
               -- a newer form of it is planned and waits for its end
               (select n.id from step n
                where n.ledger_id = b.ledger_id and n.identity = b.identity
                  and n.generation > b.generation limit 1) is not null as is_outdated,
               p.id as prior_id, p.operation as prior_operation, u.former as back,
               {needed_by("u")} as needed_by
        from begun b join ledger led on led.id = b.ledger_id
        left join lateral (
            select e.id, e.operation from step e
            where e.ledger_id = b.ledger_id and e.identity = b.identity
              and e.generation < b.generation and e.undoes is null and b.undoes is null
              and (e.state = 'done' or (e.state = 'superseded' and e.reason like '{LEFT_BEHIND}%'))
            order by e.generation desc limit 1
        ) p on true
        left join lateral (select * from step where id = b.undoes limit 1) u on true
        order by b.id
        """


_CLAIM = _claim(_DUE)
_CLAIM_BESIDE_HOLDS = _claim(_DUE_BESIDE_HOLDS)


def _story(operation: Operation) -> str:
    """The ledger of a read serves many stories; its answer goes on with that of who asked."""
    return operation.correlation_id if isinstance(operation, ReadObject) else ""


async def record_results(tx: Tx, results: Sequence[CallResult]) -> set[tuple[int, int]]:
    """Step and fence of the results that counted: the claim was still ours.

    The caller holds the ledger rows. A result that comes after its lease was taken over is
    logged as an attempt and changes nothing. What burns no attempt gives it back.
    """
    rows = await tx.fetch(
        """
        with ended as (
            select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
                                 $5::timestamptz[], $6::text[], $7::text[], $8::boolean[],
                                 $9::bytea[], $10::text[], $11::bigint[])
                 as e(id, target_id, fence, state, next_at, note, reference, burns_attempt,
                      former, not_undone, as_of)
        ),
        freed as (
            update target t set lease_until = null
            from ended e where t.id = e.target_id and t.fence = e.fence
            returning t.id, t.fence
        ),
        changed as (
            update step s set state = e.state, next_at = e.next_at, reason = e.note,
                   reference = case when e.reference = '' then s.reference else e.reference end,
                   attempts = s.attempts - (not e.burns_attempt)::int,
                   former = coalesce(s.former, e.former,
                                     (select p.former from step p where p.id = e.as_of)),
                   not_undone = coalesce(nullif(s.not_undone, ''), nullif(e.not_undone, ''),
                                         (select p.not_undone from step p where p.id = e.as_of),
                                         ''),
                   version = s.version + 1, changed_at = now()
            -- a late result may come in one batch with that of the next claim
            from ended e join freed f on f.id = e.target_id and f.fence = e.fence
            where s.id = e.id and s.state = 'in_flight'
            returning s.id, e.fence, e.state, e.note
        ),
        noted as (
            insert into step_event (step_id, state, note) select id, state, note from changed
        )
        select id, fence from changed
        """,
        [r.claimed.id for r in results],
        [r.claimed.target_id for r in results],
        [r.claimed.fence for r in results],
        [r.state for r in results],
        [r.next_at for r in results],
        [r.note for r in results],
        [r.reference for r in results],
        [r.burns_attempt for r in results],
        [_former(r) for r in results],
        ["" if r.before is None else r.before.former.why_not for r in results],
        [None if r.before is None else r.before.as_of for r in results],
    )
    tries = [r for r in results if r.burns_attempt or r.calls]
    await tx.execute(
        """
        insert into attempt (step_id, number, started_at, ended_at, calls, outcome, note)
        select id, number, started_at, ended_at, calls::jsonb, outcome, note
        from unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                    $6::text[], $7::text[])
             as a(id, number, started_at, ended_at, calls, outcome, note)
        """,
        [r.claimed.id for r in tries],
        [r.claimed.attempts for r in tries],
        [r.started_at for r in tries],
        [r.ended_at for r in tries],
        [encode(r.calls).decode() for r in tries],
        [r.outcome for r in tries],
        [r.note for r in tries],
    )
    return {(r["id"], r["fence"]) for r in rows}


def _former(result: CallResult) -> bytes | None:
    operation = None if result.before is None else result.before.former.operation
    return None if operation is None else encode(operation)


async def lapse_calls(tx: Tx, *, settle_s: float) -> int:
    """Calls whose owner is gone are in doubt: looked up after the target's settling time."""
    return int(
        await tx.fetchval(
            """
            with lapsed as (
                select id from target
                where lease_until < now() order by lease_until
                limit 50 for no key update skip locked
            ),
            freed as (
                update target set lease_until = null, fence = fence + 1
                -- a join would be planned as a read of the whole table while that is young
                where id = any(array(select id from lapsed))
            ),
            doubted as (
                update step s set state = 'in_doubt', version = s.version + 1, changed_at = now(),
                       next_at = clock_timestamp() + make_interval(secs => $1),
                       reason = 'the caller was gone before the answer',
                       -- it may have written, and what it had found is gone with it
                       not_undone = case when s.former is null and s.not_undone = ''
                                         then $2 else s.not_undone end
                from lapsed l where s.target_id = l.id and s.state = 'in_flight'
                returning s.id, s.reason
            ),
            noted as (
                insert into step_event (step_id, state, note)
                select id, 'in_doubt', reason from doubted
            )
            select count(*) from doubted
            """,
            settle_s,
            LOST_BEFORE,
        )
    )
