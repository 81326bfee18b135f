"""SQL for ledgers: steps, their targets, attempts and transitions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import msgspec

from broker.ledger import Insert, LedgerStep, Move, Replace, watched_fact
from broker.store.connection import Position, Tx
from canonical.codec import encode
from canonical.effects import Finding, Step
from canonical.envelope import Lane
from canonical.operations import Approve, Operation, StepKind, verb


class Ledger(msgspec.Struct, frozen=True):
    """A locked ledger row. version: of the event its plan follows from."""

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


class NewLedger(msgspec.Struct, frozen=True):
    """What opens or renews a ledger."""

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


class ClaimedStep(msgspec.Struct, frozen=True):
    """A call that this process may make until its lease ends.

    fence: number of the claim; a result with another number is not ours any more.
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


class CallResult(msgspec.Struct, frozen=True):
    """How a claimed call ended.

    state: done, ready, in_doubt or failed. calls: method, path and status of each exchange.
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


class Approval(msgspec.Struct, frozen=True):
    """An approval step: where it belongs and what it asks."""

    ledger_id: int
    object_id: str
    operation: Approve


async def approval(tx: Tx, step_id: int) -> Approval | None:
    """The approval step with that id; None where there is none."""
    row = await tx.fetchrow(
        "select ledger_id, object_id, operation from step where id = $1 and kind = 'approval'",
        step_id,
    )
    if row is None:
        return None
    operation = _operation(row["operation"])
    assert isinstance(operation, Approve)
    return Approval(row["ledger_id"], row["object_id"], operation)


async def record_decision(
    tx: Tx, *, step_id: int, digest: bytes, verdict: str, by: str, reason: str
) -> None:
    """Who decided what, on which content, why."""
    await tx.execute(
        """
        insert into decision (step_id, digest, verdict, by_whom, reason)
        values ($1, $2, $3, $4, $5)
        """,
        step_id,
        digest,
        verdict,
        by,
        reason,
    )


async def lock_ledger(tx: Tx, new: NewLedger) -> tuple[Ledger, bool]:
    """The ledger of that key, locked, created where there was none; and whether it is new.

    An existing one is returned as it is: whether the plan applies is decided on its version.
    """
    row = await tx.fetchrow(
        """
        insert into ledger (key, title, version, subscription, scope, lane, source, correlation_id,
                            findings, message_at, message_seq)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11)
        -- takes the row lock of the one that is there
        on conflict (key) do update set key = excluded.key
        returning *, (xmax = 0) as is_new
        """,
        new.key,
        new.title,
        new.version,
        new.subscription,
        new.scope,
        new.lane,
        new.source,
        new.correlation_id,
        encode(new.findings).decode(),
        new.position.at,
        new.position.seq,
    )
    assert row is not None
    return _ledger(row), bool(row["is_new"])


async def renew_ledger(tx: Tx, ledger_id: int, new: NewLedger) -> None:
    """The ledger follows from a newer plan; it is open until its steps say otherwise."""
    await tx.execute(
        """
        update ledger set title = $2, version = $3, findings = $4::jsonb, message_at = $5,
               message_seq = $6, planned_at = now(), state = 'open', completed_at = null
        where id = $1
        """,
        ledger_id,
        new.title,
        new.version,
        encode(new.findings).decode(),
        new.position.at,
        new.position.seq,
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


async def complete_ledger(tx: Tx, ledger_id: int) -> None:
    """Every step is settled."""
    await tx.execute(
        "update ledger set state = 'complete', completed_at = now() where id = $1", ledger_id
    )


async def load_steps(tx: Tx, ledger_id: int) -> list[LedgerStep]:
    """All steps of a locked ledger, every generation.

    Locked too: a claim that is about to take one waits, and one that has it is seen.
    """
    rows = await tx.fetch(
        """
        select id, identity, generation, kind, state, version, digest, depends_on, reason,
               withdrawn, fact, seen
        from step where ledger_id = $1 order by id for update
        """,
        ledger_id,
    )
    return [
        LedgerStep(
            id=r["id"],
            identity=r["identity"],
            generation=r["generation"],
            kind=cast(StepKind, r["kind"]),
            state=r["state"],
            version=r["version"],
            digest=r["digest"],
            depends_on=tuple(r["depends_on"]),
            reason=r["reason"],
            withdrawn=r["withdrawn"],
            watched=(r["fact"], r["seen"]) if r["fact"] is not None else None,
        )
        for r in rows
    ]


async def mark_withdrawn(tx: Tx, withdrawals: Sequence[tuple[LedgerStep, bool]]) -> None:
    """Steps at their target know whether they are still planned."""
    await tx.execute(
        """
        update step s set withdrawn = w.withdrawn
        from unnest($1::bigint[], $2::boolean[]) as w(id, withdrawn) where s.id = w.id
        """,
        [step.id for step, _ in withdrawals],
        [withdrawn for _, withdrawn in withdrawals],
    )


async def insert_steps(tx: Tx, ledger_id: int, inserts: Sequence[Insert]) -> None:
    """New steps with the target rows their calls go to."""
    if not inserts:
        return
    steps = [i.step for i in inserts]
    facts = [watched_fact(s) for s in steps]
    await tx.execute(
        """
        insert into target (system, object_kind, object_id, plant)
        select distinct system, object_kind, object_id, plant
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             as s(system, object_kind, object_id, plant, kind)
        where kind = 'call'
        order by 1, 2, 3, 4
        on conflict do nothing
        """,
        [s.system for s in steps],
        [s.object_kind for s in steps],
        [s.object_id for s in steps],
        [s.plant for s in steps],
        [s.kind for s in steps],
    )
    await tx.execute(
        """
        with planned as (
            select * from unnest(
                $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::text[], $13::text[],
                $14::int[], $15::text[], $16::text[], $17::int[], $18::text[])
            with ordinality as p(identity, generation, kind, plant, system, object_kind,
                object_id, verb, operation, digest, depends_on, fact, seen, lane, owner, due_s,
                idempotency_key, n)
        ),
        made as (
            insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                object_id, verb, operation, digest, idempotency_key, depends_on, fact, seen,
                state, target_id, lane, owner, due_at)
            select $1, p.identity, p.generation, p.kind, p.plant, p.system, p.object_kind,
                   p.object_id, p.verb, p.operation, p.digest,
                   -- fixed when the step is written: every try of this content carries it
                   p.idempotency_key,
                   array(select jsonb_array_elements_text(p.depends_on::jsonb)),
                   p.fact, p.seen, 'waiting', t.id, p.lane, p.owner,
                   now() + make_interval(secs => p.due_s)
            from planned p
            left join target t on p.kind = 'call' and t.system = p.system
                 and t.object_kind = p.object_kind and t.object_id = p.object_id
                 and t.plant = p.plant
            order by p.n
            returning id
        )
        insert into step_event (step_id, state, note) select id, 'waiting', 'planned' from made
        """,
        ledger_id,
        [s.identity for s in steps],
        [i.generation for i in inserts],
        [s.kind for s in steps],
        [s.plant for s in steps],
        [s.system for s in steps],
        [s.object_kind for s in steps],
        [s.object_id for s in steps],
        [verb(s.operation) for s in steps],
        [encode(s.operation) for s in steps],
        [i.digest for i in inserts],
        [encode(s.depends_on).decode() for s in steps],
        [f[0] if f else None for f in facts],
        [f[1] if f else None for f in facts],
        [s.lane for s in steps],
        [s.owner for s in steps],
        [s.due_s for s in steps],
        [
            _idempotency_key(ledger_id, i.step.identity, f"generation {i.generation}", i.digest)
            for i in inserts
        ],
    )


async def replace_steps(tx: Tx, ledger_id: int, replaces: Sequence[Replace]) -> None:
    """Steps that were not sent say what the new plan says."""
    if not replaces:
        return
    facts = [watched_fact(r.step) for r in replaces]
    await tx.execute(
        """
        with planned as (
            select * from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],
                                 $7::int[], $8::text[], $9::text[], $1::text[])
                 as p(id, operation, digest, depends_on, fact, seen, lane, owner, idempotency_key)
        ),
        changed as (
            update step s
            set operation = p.operation, digest = p.digest, fact = p.fact, seen = p.seen,
                depends_on = array(select jsonb_array_elements_text(p.depends_on::jsonb)),
                lane = p.lane, owner = p.owner, state = 'waiting', reason = '',
                idempotency_key = case when s.digest = p.digest then s.idempotency_key
                                       else p.idempotency_key end,
                attempts = 0, version = s.version + 1, changed_at = now()
            from planned p where s.id = p.id
            returning s.id
        )
        insert into step_event (step_id, state, note) select id, 'waiting', 'replanned'
        from changed
        """,
        [
            _idempotency_key(ledger_id, r.old.identity, f"version {r.old.version + 1}", r.digest)
            for r in replaces
        ],
        [r.old.id for r in replaces],
        [encode(r.step.operation) for r in replaces],
        [r.digest for r in replaces],
        [encode(r.step.depends_on).decode() for r in replaces],
        [f[0] if f else None for f in facts],
        [f[1] if f else None for f in facts],
        [r.step.lane for r in replaces],
        [r.step.owner for r in replaces],
    )


async def move_steps(tx: Tx, moves: Sequence[Move]) -> None:
    """The steps are in their new states.

    Each is expected in the state and version it was read in; anything else is our defect, since
    the ledger row is locked.
    """
    if not moves:
        return
    changed = await tx.fetchval(
        """
        with wanted as (
            select * from unnest($1::bigint[], $2::text[], $3::int[], $4::text[], $5::text[])
                 as w(id, was, version, state, reason)
        ),
        changed as (
            update step s set state = w.state, reason = w.reason, version = s.version + 1,
                   changed_at = now(), next_at = now()
            from wanted w where s.id = w.id and s.state = w.was and s.version = w.version
            returning s.id, w.state, w.reason
        ),
        noted as (
            insert into step_event (step_id, state, note) select id, state, reason from changed
        )
        select count(*) from changed
        """,
        [m.step.id for m in moves],
        [m.step.state for m in moves],
        [m.step.version for m in moves],
        [m.state for m in moves],
        [m.reason for m in moves],
    )
    if changed != len(moves):
        raise RuntimeError(f"{len(moves)} steps to move, {changed} were as read")


async def operations_of(tx: Tx, step_ids: Sequence[int]) -> dict[int, Operation]:
    """What the steps ask for."""
    rows = await tx.fetch(
        "select s.id, s.operation from step s join unnest($1::bigint[]) as w(id) using (id)",
        list(step_ids),
    )
    return {r["id"]: _operation(r["operation"]) for r in rows}


async def claim_calls(
    tx: Tx, *, lane: Lane, systems: Sequence[str], limit: int, lease_s: float
) -> list[ClaimedStep]:
    """Due calls of this lane, one per target object, leased to this process.

    The row of the target is claimed, never the step: one object has one call at a time. A lapsed
    lease was somebody who died: that step was turned in doubt first (lapse_calls).
    """
    rows = await tx.fetch(
        """
        with candidate as (
            select h.target_id, h.id
            -- the head per target, due or not: an older call that waits for its retry or is in
            -- doubt holds its object, or its old content would overwrite the new
            from (
                select distinct on (s.target_id) s.target_id, s.id, s.lane, s.next_at, s.system
                from step s
                where s.state in ('ready', 'in_doubt') and s.kind = 'call'
                order by s.target_id, s.id
            ) h
            join target t on t.id = h.target_id
            where h.lane = $1 and h.next_at <= now() and h.system = any($2::text[])
              and t.lease_until is null
            order by h.id
            limit $3
        ),
        locked as (
            select t.id, s.id as step_id, s.state = 'in_doubt' as was_in_doubt
            from candidate c join target t on t.id = c.target_id join step s on s.id = c.id
            where t.lease_until is null and s.state in ('ready', 'in_doubt')
            -- never waits, so it never waits in a ring with who holds a ledger
            for update of t, s skip locked
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
        select b.*, led.key as ledger_key, led.correlation_id
        from begun b join ledger led on led.id = b.ledger_id
        order by b.id
        """,
        lane,
        list(systems),
        limit,
        lease_s,
    )
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
            correlation_id=r["correlation_id"],
            was_in_doubt=r["was_in_doubt"],
            withdrawn=r["withdrawn"],
            step=Step(
                plant=r["plant"],
                system=r["system"],
                object_kind=r["object_kind"],
                object_id=r["object_id"],
                operation=_operation(r["operation"]),
                depends_on=tuple(r["depends_on"]),
                owner=r["owner"],
                lane=lane,
            ),
        )
        for r in rows
    ]


async def record_results(tx: Tx, results: Sequence[CallResult]) -> set[int]:
    """Ids of the steps whose result counted: the claim was still ours.

    The caller holds the ledger rows. A result that comes after its lease was taken over is
    logged as an attempt and changes nothing.
    """
    rows = await tx.fetch(
        """
        with ended as (
            select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
                                 $5::timestamptz[], $6::text[], $7::text[])
                 as e(id, target_id, fence, state, next_at, note, reference)
        ),
        freed as (
            update target t set lease_until = null
            from ended e where t.id = e.target_id and t.fence = e.fence
            returning t.id
        ),
        changed as (
            update step s set state = e.state, next_at = e.next_at, reason = e.note,
                   reference = case when e.reference = '' then s.reference else e.reference end,
                   version = s.version + 1, changed_at = now()
            from ended e join freed f on f.id = e.target_id
            where s.id = e.id and s.state = 'in_flight'
            returning s.id, e.state, e.note
        ),
        noted as (
            insert into step_event (step_id, state, note) select id, state, note from changed
        )
        select id from changed
        """,
        [r.claimed.id for r in results],
        [r.claimed.target_id for r in results],
        [r.claimed.fence for r in results],
        [r.state for r in results],
        [r.next_at for r in results],
        [r.note for r in results],
        [r.reference for r in results],
    )
    await tx.execute(
        """
        insert into attempt (step_id, number, started_at, ended_at, calls, outcome, note)
        select id, number, started_at, ended_at, calls::jsonb, outcome, note
        from unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                    $6::text[], $7::text[])
             as a(id, number, started_at, ended_at, calls, outcome, note)
        """,
        [r.claimed.id for r in results],
        [r.claimed.attempts for r in results],
        [r.started_at for r in results],
        [r.ended_at for r in results],
        [encode(r.calls).decode() for r in results],
        [r.outcome for r in results],
        [r.note for r in results],
    )
    return {r["id"] for r in rows}


async def lapse_calls(tx: Tx, *, settle_s: float) -> int:
    """Calls whose owner is gone are in doubt: looked up after the target's settling time."""
    return int(
        await tx.fetchval(
            """
            with lapsed as (
                select id from target
                where lease_until < now() order by lease_until
                limit 50 for update skip locked
            ),
            freed as (
                update target set lease_until = null, fence = fence + 1
                -- a join would be planned as a read of the whole table while that is young
                where id = any(array(select id from lapsed))
            ),
            doubted as (
                update step s set state = 'in_doubt', version = s.version + 1, changed_at = now(),
                       next_at = clock_timestamp() + make_interval(secs => $1),
                       reason = 'the caller was gone before the answer'
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
        )
    )


async def newly_known(
    tx: Tx, keys: Sequence[str] | None
) -> list[tuple[str, str, str, Lane, int, Position]]:
    """Ledgers that wait for a fact which is newer than what they saw.

    keys: documents just written, or None to look at every wait.
    Returns (subscription, scope, key, lane, ledger id, position of the ledger's event).
    """
    rows = await tx.fetch(
        """
        select distinct l.subscription, l.scope, l.key, l.lane, l.id, l.message_at, l.message_seq
        from step s
        join document d on d.key = s.fact
        join ledger l on l.id = s.ledger_id
        where s.fact is not null and s.state in ('waiting', 'ready')
          and d.row_version > s.seen
          and ($1::text[] is null or s.fact = any($1::text[]))
        order by l.id
        """,
        keys,
    )
    return [
        (
            r["subscription"],
            r["scope"],
            r["key"],
            r["lane"],
            r["id"],
            Position(r["message_at"], r["message_seq"]),
        )
        for r in rows
    ]


def _idempotency_key(ledger_id: int, identity: str, part: str, digest: bytes) -> str:
    """Fixed when the step's content is written: every try of this content carries it."""
    text = "\0".join((str(ledger_id), identity, part))
    return hashlib.sha256(text.encode() + b"\0" + digest).hexdigest()


def _operation(data: bytes) -> Operation:
    return cast(Operation, msgspec.json.decode(data, type=Operation))


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
    )
