"""SQL for what people do to changes: which ledgers they mean, pauses, and steps that run anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from broker.ledger import Due, LedgerStep
from broker.slices import slices
from broker.store.calls import needed_by
from broker.store.connection import Tx
from broker.store.steps import (
    LEDGER_STEP,
    due_columns,
    idempotency_key,
    ledger_step,
    operation_from,
    told_by_holds,
)
from broker.undo import Undo
from canonical.codec import encode
from canonical.operations import Operation


async def ids_of(tx: Tx, numbers: Collection[str]) -> dict[str, int]:
    """By change number or ledger key, the id of its ledger; without those that have none. What is
    only read has no number."""
    rows = await tx.fetch(
        """
        select n.number, l.id
        from unnest($1::text[]) as n(number)
        join ledger l on l.key in (n.number, 'engineering-change/' || n.number)
        where l.key not like 'read/%'
        """,
        sorted(set(numbers)),
    )
    return {r["number"]: r["id"] for r in rows}


async def plants_of(tx: Tx, ledger_ids: Collection[int]) -> tuple[str, ...]:
    """Codes of the plants that steps of these ledgers are for, in order."""
    rows = await tx.fetch(
        """
        select distinct plant from step
        where ledger_id = any($1::bigint[]) and plant <> '' order by plant
        """,
        sorted(ledger_ids),
    )
    return tuple(row["plant"] for row in rows)


async def set_pauses(tx: Tx, ids: Collection[int], *, by: str, reason: str) -> None:
    """The locked ledgers are paused."""
    await tx.execute(
        """
        update ledger set paused_at = now(), paused_by = $2, pause_reason = $3
        where id = any($1::bigint[])
        """,
        sorted(ids),
        by,
        reason,
    )


async def clear_pauses(tx: Tx, ids: Collection[int]) -> None:
    """The locked ledgers are not paused."""
    await tx.execute(
        """
        update ledger set paused_at = null, paused_by = '', pause_reason = ''
        where id = any($1::bigint[])
        """,
        sorted(ids),
    )


async def reopen(tx: Tx, ledger_id: int) -> None:
    """The locked ledger is open until its steps say otherwise."""
    await tx.execute(
        "update ledger set state = 'open', completed_at = null where id = $1", ledger_id
    )


async def return_steps(tx: Tx, steps: Sequence[LedgerStep], note: str) -> None:
    """The steps wait again, with all their tries before them.

    Each is expected in the state and version it was read in, as in `move_steps`.
    """
    for some in slices(steps):
        changed = await tx.fetchval(
            """
            with changed as (
                update step s
                set state = 'waiting', reason = '', attempts = 0, version = s.version + 1,
                    changed_at = now(), next_at = now()
                from unnest($1::bigint[], $2::text[], $3::int[]) as w(id, was, version)
                where s.id = w.id and s.state = w.was and s.version = w.version
                returning s.id
            ),
            noted as (
                insert into step_event (step_id, state, note) select id, 'waiting', $4 from changed
            )
            select count(*) from changed
            """,
            [step.id for step in some],
            [step.state for step in some],
            [step.version for step in some],
            note,
        )
        if changed != len(some):
            raise RuntimeError(f"{len(some)} steps to return, {changed} were as read")


async def repeat_steps(
    tx: Tx, ledger_id: int, repeats: Sequence[tuple[LedgerStep, Due]], note: str
) -> None:
    """A further generation of each of the ledger's steps, of the same content, waits, and is late
    then."""
    for some in slices(repeats):
        await tx.execute(
            f"""
            with made as (
                insert into step (ledger_id, identity, generation, kind, plant, system,
                    object_kind, object_id, verb, operation, digest, idempotency_key, depends_on,
                    fact, seen, state, target_id, lane, owner, wake_at, due_at, due_from, due_s,
                    calendar, lapses, flow, only_asks)
                select s.ledger_id, s.identity, s.generation + 1, s.kind, s.plant, s.system,
                       s.object_kind, s.object_id, s.verb, s.operation, s.digest,
                       r.idempotency_key, s.depends_on, s.fact, s.seen, 'waiting', s.target_id,
                       s.lane, s.owner, s.wake_at, r.due_at, r.due_from, r.due_s, r.calendar,
                       s.lapses,
                       {told_by_holds("s")}
                from unnest($1::bigint[], $2::text[], $4::timestamptz[], $5::timestamptz[],
                            $6::int[], $7::text[])
                     with ordinality as r(id, idempotency_key, due_at, due_from, due_s, calendar, n)
                join step s on s.id = r.id
                order by r.n
                returning id
            )
            insert into step_event (step_id, state, note) select id, 'waiting', $3 from made
            """,
            [step.id for step, _ in some],
            [
                idempotency_key(
                    ledger_id, step.identity, f"generation {step.generation + 1}", step.digest
                )
                for step, _ in some
            ],
            note,
            *due_columns([due for _, due in some]),
        )


async def insert_undos(
    tx: Tx, ledger_id: int, undos: Sequence[tuple[Undo, Due]], note: str
) -> None:
    """The undos wait as one more generation of what they undo, and are late then."""
    for some in slices(undos):
        await tx.execute(
            f"""
            with made as (
                insert into step (ledger_id, identity, generation, kind, plant, system,
                    object_kind, object_id, verb, operation, digest, idempotency_key, depends_on,
                    state, target_id, lane, owner, due_at, due_from, due_s, calendar, flow,
                    only_asks, undoes)
                select s.ledger_id, s.identity, r.generation, s.kind, s.plant, s.system,
                       s.object_kind, s.object_id, s.verb, s.operation, r.digest,
                       r.idempotency_key,
                       array(select jsonb_array_elements_text(r.depends_on::jsonb)), 'waiting',
                       s.target_id, s.lane, s.owner, r.due_at, r.due_from, r.due_s, r.calendar,
                       {told_by_holds("s")}, s.id
                from unnest($1::bigint[], $2::text[], $4::timestamptz[], $5::timestamptz[],
                            $6::int[], $7::text[], $8::int[], $9::bytea[], $10::text[])
                     with ordinality as r(id, idempotency_key, due_at, due_from, due_s, calendar,
                                          generation, digest, depends_on, n)
                join step s on s.id = r.id
                order by r.n
                returning id
            )
            insert into step_event (step_id, state, note) select id, 'waiting', $3 from made
            """,
            [undo.step.id for undo, _ in some],
            [
                idempotency_key(
                    ledger_id, undo.step.identity, f"generation {undo.generation}", undo.digest
                )
                for undo, _ in some
            ],
            note,
            *due_columns([due for _, due in some]),
            [undo.generation for undo, _ in some],
            [undo.digest for undo, _ in some],
            [encode(undo.depends_on).decode() for undo, _ in some],
        )


async def read_ledger(tx: Tx, ledger_id: int) -> tuple[str, list[LedgerStep]]:
    """Key and steps of a ledger as they stand, in the order of their ids; nothing is locked."""
    key = await tx.fetchval("select key from ledger where id = $1", ledger_id)
    steps = await tx.fetch(
        f"select {LEDGER_STEP} from step s where s.ledger_id = $1 order by s.id", ledger_id
    )
    return str(key), [ledger_step(step) for step in steps]


async def needed_steps(tx: Tx, ledger_id: int) -> dict[int, str]:
    """By id, the steps of the ledger that are left behind and can be undone, of which another
    ledger made the same true since: with its key."""
    rows = await tx.fetch(
        f"""
        select n.id, n.key from (
            select s.id, {needed_by("s")} as key from step s
            where s.ledger_id = $1 and s.state = 'superseded' and s.former is not null
        ) n where n.key is not null
        """,
        ledger_id,
    )
    return {row["id"]: row["key"] for row in rows}


async def contents(tx: Tx, step_ids: Sequence[int]) -> dict[int, tuple[Operation, Operation]]:
    """By id, what a step wrote and what was there before, of those where that is on record."""
    rows = await tx.fetch(
        """
        select id, operation, former from step
        where id = any($1::bigint[]) and former is not null
        """,
        list(step_ids),
    )
    return {r["id"]: (operation_from(r["operation"]), operation_from(r["former"])) for r in rows}
