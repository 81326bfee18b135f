"""SQL for steps: what a ledger consists of, and how its steps are written and moved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import asyncpg
import msgspec

from broker.aside import MANY, aside_if
from broker.ledger import Due, Insert, LedgerStep, Move, Replace, Retime, lapses, watched_fact
from broker.principals import Decision
from broker.slices import ROWS, slices
from broker.store import delegations
from broker.store.connection import Tx
from canonical.codec import encode
from canonical.effects import Step
from canonical.operations import READS, Approve, AwaitFact, Operation, StepKind, verb

# Of a step that a process of an earlier version planned only the moment is on record.
DUE_S = "coalesce(s.due_s, extract(epoch from s.due_at - s.created_at)::int)"
DUE_FROM = "coalesce(s.due_from, s.created_at)"
# What `ledger_step` reads of one.
LEDGER_STEP = f"""
    s.id, s.identity, s.generation, s.kind, s.state, s.version, s.digest, s.depends_on, s.reason,
    s.withdrawn, s.fact, s.seen, s.wake_at, s.due_at, {DUE_S} as due_s, s.calendar, s.lapses,
    s.undoes, s.former is not null as can_undo, s.not_undone
"""
# Roles that the step has gone on to, in that order, as long as its due time is not put off. What
# was refused is somebody else's turn: it goes on anew from then on.
ESCALATED_TO = """
    array(select e.role from step_escalation e
          where e.step_id = s.id
            and case when s.kind = 'approval' and s.state = 'failed' then e.at >= s.changed_at
                     else e.due_at >= s.due_at end
          order by e.level, e.role)
"""

_READS = ", ".join(f"'{word}'" for word in sorted(READS))


def told_by_holds(step: str) -> str:
    """What `flow` and `only_asks` of a step are, by its alias: what holds tell calls by."""
    flow = f"(select split_part(key, '/', 1) from ledger where id = {step}.ledger_id)"
    return f"{flow}, {step}.verb in ({_READS})"


class Approval(msgspec.Struct, frozen=True):
    """An approval step: where it belongs, whom it asks and what. plants: its own, and those of the
    steps that wait for it. escalated_to: roles that it has gone on to. delegations: by name of who
    may sign, in whose place."""

    ledger_id: int
    ledger_key: str
    correlation_id: str
    role: str
    plants: tuple[str, ...]
    object_id: str
    operation: Approve
    escalated_to: tuple[str, ...] = ()
    delegations: dict[str, str] = {}


async def approval(tx: Tx, step_id: int) -> Approval | None:
    """The approval step with that id; None where there is none."""
    return (await approvals(tx, [step_id])).get(step_id)


async def approvals(tx: Tx, step_ids: Sequence[int]) -> dict[int, Approval]:
    """The approval steps with these ids; others are left out."""
    rows = await tx.fetch(
        f"""
        with asked as materialized (
            select * from step where kind = 'approval' and id = any($1::bigint[])
        ),
        -- joined by equality: a search in the arrays would compare every step with every other
        dependant as materialized (
            select b.ledger_id, n.needs, b.plant
            from (select distinct ledger_id from asked) f
            join step b using (ledger_id) cross join lateral unnest(b.depends_on) as n(needs)
            where b.plant <> '' and b.state not in ('cancelled', 'superseded')
        ),
        concerned as (
            select a.id, d.plant from asked a
            join dependant d on d.ledger_id = a.ledger_id and d.needs = a.identity
            union
            select id, plant from asked
            where plant <> '' and state not in ('cancelled', 'superseded')
        ),
        plants as (
            select id, array_agg(plant order by plant) as plants from concerned group by id
        )
        select s.id, s.ledger_id, l.key, l.correlation_id, s.system, s.object_id, s.operation,
               {ESCALATED_TO} as escalated_to, p.plants
        from asked s join ledger l on l.id = s.ledger_id left join plants p on p.id = s.id
        """,
        list(step_ids),
    )
    in_place_of = await delegations.of_steps(tx, [row["id"] for row in rows])
    return {row["id"]: _approval(row, in_place_of.get(row["id"], {})) for row in rows}


def _approval(row: asyncpg.Record, in_place_of: dict[str, str]) -> Approval:
    operation = operation_from(row["operation"])
    assert isinstance(operation, Approve)
    return Approval(
        ledger_id=row["ledger_id"],
        ledger_key=row["key"],
        correlation_id=row["correlation_id"],
        role=row["system"],
        plants=tuple(row["plants"] or ()),
        object_id=row["object_id"],
        operation=operation,
        escalated_to=tuple(row["escalated_to"]),
        delegations=in_place_of,
    )


class Question(msgspec.Struct, frozen=True):
    """An approval. digest: hex digest of what it asks; is_open: whether nobody has decided it."""

    step_id: int
    digest: str
    is_open: bool


async def question(
    tx: Tx, ledger_ids: Sequence[int], *, question: str, about: str
) -> Question | None:
    """The approval with that word about that object: the one that is open, else the last one; None
    where nobody was ever asked."""
    rows = await tx.fetch(
        """
        select id, digest, operation, state from step
        where ledger_id = any($1::bigint[]) and kind = 'approval' and object_id = $2
        order by state in ('ready', 'held') desc, generation desc, id desc
        """,
        list(ledger_ids),
        about,
    )
    for row in rows:
        operation = operation_from(row["operation"])
        if isinstance(operation, Approve) and operation.question == question:
            is_open = row["state"] in ("ready", "held")
            return Question(row["id"], row["digest"].hex(), is_open)
    return None


async def decisions(tx: Tx, step_id: int) -> list[Decision]:
    """What was decided of an approval so far, the oldest first."""
    rows = await tx.fetch(
        """
        select verdict, by_whom, digest, in_place_of, choice
        from decision where step_id = $1 order by id
        """,
        step_id,
    )
    return [
        Decision(r["verdict"], r["by_whom"], r["digest"].hex(), r["in_place_of"], r["choice"])
        for r in rows
    ]


async def record_decision(
    tx: Tx,
    *,
    step_id: int,
    digest: bytes,
    verdict: str,
    by: str,
    in_place_of: str,
    reason: str,
    choice: str,
) -> None:
    """Which principal decided what, on which content, why, and in whose place ("" = its own)."""
    recorded = await tx.fetchval(
        """
        insert into decision (step_id, digest, verdict, by_whom, principal_id, reason, in_place_of,
                              choice)
        select $1::bigint, $2::bytea, $3::text, name, id, $5::text, $6::text, $7::text
        from principal where name = $4
        returning id
        """,
        step_id,
        digest,
        verdict,
        by,
        reason,
        in_place_of,
        choice,
    )
    if recorded is None:
        raise RuntimeError(f"{by!r} decided, and is no principal")


async def load_steps(tx: Tx, ledger_ids: Iterable[int]) -> dict[int, list[LedgerStep]]:
    """All steps of locked ledgers, every generation, by ledger in the order of their ids.

    Locked too: a claim that is about to take one waits, and one that has it is seen.
    """
    steps: dict[int, list[LedgerStep]] = {ledger_id: [] for ledger_id in ledger_ids}
    # A portal, read in slices: asking for each slice anew would read the whole ledger each time.
    cursor = await tx.cursor(
        f"""
        select s.ledger_id, {LEDGER_STEP}
        from step s join unnest($1::bigint[]) as w(ledger_id) using (ledger_id)
        order by s.ledger_id, s.id for update of s
        """,
        sorted(steps),
    )
    while rows := await cursor.fetch(ROWS):
        for row in rows:
            steps[row["ledger_id"]].append(ledger_step(row))
    return steps


def ledger_step(row: asyncpg.Record) -> LedgerStep:
    """A row of the table as the ledger's rules see it."""
    return LedgerStep(
        id=row["id"],
        identity=row["identity"],
        generation=row["generation"],
        kind=cast(StepKind, row["kind"]),
        state=row["state"],
        version=row["version"],
        digest=row["digest"],
        depends_on=tuple(row["depends_on"]),
        reason=row["reason"],
        withdrawn=row["withdrawn"],
        watched=(row["fact"], row["seen"]) if row["fact"] is not None else None,
        wake_at=row["wake_at"],
        due_at=row["due_at"],
        due_s=row["due_s"],
        calendar=row["calendar"],
        lapses=row["lapses"],
        undoes=row["undoes"] or 0,
        can_undo=row["can_undo"],
        not_undone=row["not_undone"],
    )


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


async def reorder_steps(tx: Tx, reorders: Sequence[tuple[LedgerStep, tuple[str, ...]]]) -> None:
    """Steps that are kept as they are depend on what the newer plan says."""
    for some in slices(reorders):
        await tx.execute(
            """
            update step s set depends_on = array(select jsonb_array_elements_text(r.depends_on))
            from unnest($1::bigint[], $2::jsonb[]) as r(id, depends_on) where s.id = r.id
            """,
            [step.id for step, _ in some],
            [encode(depends_on).decode() for _, depends_on in some],
        )


async def insert_steps(tx: Tx, inserts: Sequence[tuple[int, Insert]], now: datetime) -> None:
    """New steps, each with the id of its ledger, and the target rows their calls go to. now: when
    the time that they have begins, unless it does later."""
    for some in slices(inserts):
        await _insert_some(tx, some, now)


async def _insert_some(tx: Tx, some: Sequence[tuple[int, Insert]], now: datetime) -> None:
    inserts = [insert for _, insert in some]
    dues = [insert.due(now) for insert in inserts]
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
        f"""
        with planned as (
            select * from unnest(
                $1::bigint[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::text[],
                $13::text[], $14::int[], $15::text[], $16::text[], $17::text[],
                $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::int[], $22::text[],
                $23::boolean[])
            with ordinality as p(ledger_id, identity, generation, kind, plant, system,
                object_kind, object_id, verb, operation, digest, depends_on, fact, seen, lane,
                owner, idempotency_key, wake_at, due_at, due_from, due_s, calendar,
                lapses, n)
        ),
        made as (
            insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                object_id, verb, operation, digest, idempotency_key, depends_on, fact, seen,
                state, target_id, lane, owner, wake_at, due_at, due_from, due_s, calendar, lapses,
                flow, only_asks)
            select p.ledger_id, p.identity, p.generation, p.kind, p.plant, p.system, p.object_kind,
                   p.object_id, p.verb, p.operation, p.digest,
                   -- fixed when the step is written: every try of this content carries it
                   p.idempotency_key,
                   array(select jsonb_array_elements_text(p.depends_on::jsonb)),
                   p.fact, p.seen, 'waiting', t.id, p.lane, p.owner, p.wake_at,
                   p.due_at, p.due_from, p.due_s, p.calendar, p.lapses,
                   {told_by_holds("p")}
            from planned p
            -- a look-up for each: a join reads all targets for every slice of a long plan
            left join lateral (
                select id from target
                where p.kind = 'call' and system = p.system and object_kind = p.object_kind
                  and object_id = p.object_id and plant = p.plant
                limit 1
            ) t on true
            order by p.n
            returning id
        )
        insert into step_event (step_id, state, note) select id, 'waiting', 'planned' from made
        """,
        [ledger_id for ledger_id, _ in some],
        [s.identity for s in steps],
        [i.generation for i in inserts],
        [s.kind for s in steps],
        [s.plant for s in steps],
        [s.system for s in steps],
        [s.object_kind for s in steps],
        [s.object_id for s in steps],
        [verb(s.operation) for s in steps],
        await aside_if(len(steps) > MANY, _encoded, steps),
        [i.digest for i in inserts],
        [encode(s.depends_on).decode() for s in steps],
        [f[0] if f else None for f in facts],
        [f[1] if f else None for f in facts],
        [s.lane for s in steps],
        [s.owner for s in steps],
        [
            idempotency_key(ledger_id, i.step.identity, f"generation {i.generation}", i.digest)
            for ledger_id, i in some
        ],
        [s.wake_at for s in steps],
        *due_columns(dues),
        [lapses(s) for s in steps],
    )


async def replace_steps(tx: Tx, replaces: Sequence[tuple[int, Replace]], now: datetime) -> None:
    """Steps that were not sent, each with the id of its ledger, say what the new plan says. now: as
    in `insert_steps`."""
    for some in slices(replaces):
        await _replace_some(tx, some, now)


async def _replace_some(tx: Tx, some: Sequence[tuple[int, Replace]], now: datetime) -> None:
    replaces = [replace for _, replace in some]
    facts = [watched_fact(r.step) for r in replaces]
    await tx.execute(
        """
        with planned as (
            select * from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],
                                 $7::int[], $8::text[], $9::text[], $1::text[],
                                 $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                                 $13::int[], $14::text[])
                 as p(id, operation, digest, depends_on, fact, seen, lane, owner, idempotency_key,
                      wake_at, due_at, due_from, due_s, calendar)
        ),
        changed as (
            update step s
            set operation = p.operation, digest = p.digest, fact = p.fact, seen = p.seen,
                depends_on = array(select jsonb_array_elements_text(p.depends_on::jsonb)),
                lane = p.lane, owner = p.owner, wake_at = p.wake_at,
                state = 'waiting', reason = '',
                due_at = coalesce(p.due_at, s.due_at), due_from = coalesce(p.due_from, s.due_from),
                due_s = coalesce(p.due_s, s.due_s), calendar = coalesce(p.calendar, s.calendar),
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
            idempotency_key(ledger_id, r.old.identity, f"version {r.old.version + 1}", r.digest)
            for ledger_id, r in some
        ],
        [r.old.id for r in replaces],
        await aside_if(len(replaces) > MANY, _encoded, [r.step for r in replaces]),
        [r.digest for r in replaces],
        [encode(r.step.depends_on).decode() for r in replaces],
        [f[0] if f else None for f in facts],
        [f[1] if f else None for f in facts],
        [r.step.lane for r in replaces],
        [r.step.owner for r in replaces],
        [r.step.wake_at for r in replaces],
        *due_columns([r.due(now) for r in replaces]),
    )


def due_columns(dues: Sequence[Due | None]) -> tuple[list[object], ...]:
    """Values of due_at, due_from, due_s and calendar; null where a step's are to stay."""
    return (
        [d and d.at for d in dues],
        [d and d.since for d in dues],
        [None if d is None else d.after_s for d in dues],
        [None if d is None else d.calendar for d in dues],
    )


async def retime_steps(tx: Tx, retimes: Sequence[Retime]) -> None:
    """Steps that stay as they are have their new times."""
    for some in slices(retimes):
        await tx.execute(
            """
            update step s
            set wake_at = r.wake_at, due_at = coalesce(r.due_at, s.due_at),
                due_from = coalesce(r.due_from, s.due_from), due_s = coalesce(r.due_s, s.due_s),
                calendar = coalesce(r.calendar, s.calendar)
            from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[],
                        $5::int[], $6::text[])
                 as r(id, wake_at, due_at, due_from, due_s, calendar)
            where s.id = r.id
            """,
            [r.step.id for r in some],
            [r.wake_at for r in some],
            *due_columns([r.due for r in some]),
        )


async def move_steps(tx: Tx, moves: Sequence[Move]) -> None:
    """The steps are in their new states.

    Each is expected in the state and version it was read in; anything else is our defect, since
    the ledger row is locked.
    """
    for some in slices(moves):
        await _move_some(tx, some)


async def _move_some(tx: Tx, moves: Sequence[Move]) -> None:
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
    return {r["id"]: operation_from(r["operation"]) for r in rows}


class Standing(msgspec.Struct, frozen=True):
    """What somebody has to move. words: the question, what is waited for, or why it failed."""

    owner: str
    words: str


async def standing(tx: Tx, step_ids: Sequence[int]) -> dict[int, Standing]:
    """Whose turn it is with these steps, and why."""
    if not step_ids:
        return {}
    rows = await tx.fetch(
        "select s.id, s.identity, s.owner, s.state, s.reason, s.operation"
        " from step s join unnest($1::bigint[]) as w(id) using (id)",
        list(step_ids),
    )
    return {r["id"]: Standing(r["owner"], _standing_words(r)) for r in rows}


def _standing_words(row: object) -> str:
    r = cast("dict[str, object]", row)
    if r["state"] == "failed":
        return f"{r['identity']}: {r['reason']}" if r["reason"] else f"{r['identity']}: failed"
    match operation_from(cast(bytes, r["operation"])):
        case Approve(text=text):
            return text
        case AwaitFact(reason=reason):
            return reason
        case _:
            return cast(str, r["identity"])


def _encoded(steps: Sequence[Step]) -> list[bytes]:
    return [encode(step.operation) for step in steps]


def idempotency_key(ledger_id: int, identity: str, part: str, digest: bytes) -> str:
    """Fixed when the step's content is written: every try of this content carries it."""
    text = "\0".join((str(ledger_id), identity, part))
    return hashlib.sha256(text.encode() + b"\0" + digest).hexdigest()


def operation_from(data: bytes) -> Operation:
    return cast(Operation, msgspec.json.decode(data, type=Operation))
