"""Applying what was decided: all effects of a batch, set-wise, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import datetime

from broker import book, decided_elsewhere
from broker.aside import aside_if
from broker.consequences import (
    Consequences,
    case_of,
    consequences,
    stale_plan,
    under_own_identity,
)
from broker.decided_elsewhere import Told
from broker.decision import Context, Verdict, id_conflict
from broker.intake import Work
from broker.ledger import watched_fact
from broker.planner import UNKNOWN, Planner
from broker.reads import plan_of
from broker.repeats import unsaid
from broker.slices import slices
from broker.store import Position, Tx
from broker.store import casebook as case_rows
from broker.store import documents as document_rows
from broker.store import history as history_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import pending as pending_rows
from broker.store.documents import DocumentRow
from broker.store.ledgers import Woken
from broker.store.messages import Note
from broker.store.outbox import Emission
from broker.store.pending import NewPending
from canonical.effects import Decide, Effect, Fetch, Open, Plan, Put


class RaceLost(Exception):
    """Another batch stored a newer statement between our look and our write: decide again."""


async def apply(
    tx: Tx, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
) -> bool:
    """Everything the verdicts say is written; commits nothing by itself. Whether that leaves rows
    or calls that may be due at once.

    Order of tables as in broker.store, so that two batches hardly ever wait for each other in a
    ring.
    """
    large = any(verdict.work.is_large for verdict in verdicts)
    rows = await aside_if(large, consequences, verdicts, positions, context)
    await _keep_unfinished(tx, rows)
    written = await _store_documents(
        tx, await aside_if(large, document_rows.as_rows, rows.documents)
    )
    await _emit_events(tx, verdicts, rows.said)
    planned = await _apply_plans(tx, verdicts, positions, context)
    told = _decided_elsewhere(verdicts)
    cases = [c for c in rows.cases if planned.get(c.ledger_key, c.position) == c.position]
    cases += await decided_elsewhere.take(tx, told)
    if cases:
        await case_rows.open_cases(tx, cases)
    await message_rows.write_audit(tx, rows.notes)
    await message_rows.set_outcomes(tx, rows.outcomes)
    # Last of all: what others state meanwhile waits until the commit, and is to wait briefly.
    newer = await document_rows.hold_seen(tx, await aside_if(large, _watched, verdicts))
    news = sorted({*written, *newer})
    along = await aside_if(large, _along, verdicts, written.keys(), frozenset(newer))
    woken = await wake_ledgers(tx, news, context.now, context.planner, along) if news else 0
    return bool(rows.is_unfinished or planned or told or woken)


async def wake_ledgers(
    tx: Tx,
    keys: Sequence[str] | None,
    now: datetime,
    planner: Planner = UNKNOWN,
    along: Iterable[tuple[str, str]] = (),
) -> int:
    """Ledgers that wait for one of these documents are planned again, and those whose time has
    come; None looks at every wait. Not those about which the planner has asked a person.

    along: as of `broker.store.ledgers.newly_known`.

    The event the ledger follows from goes down the path once more; one such row per ledger.
    """
    woken = await ledger_rows.newly_known(tx, keys, now, planner=planner.text, along=along)
    await plan_anew(tx, woken, now)
    return len(woken)


async def plan_anew(tx: Tx, woken: Sequence[Woken], now: datetime) -> None:
    """The events that these ledgers follow from go down the path once more."""
    await pending_rows.add_pending(
        tx,
        [
            NewPending(
                subscription=ledger.subscription,
                scope=ledger.scope,
                key=ledger.key,
                lane=ledger.lane,
                position=ledger.position,
                state="ready",
                due_at=now,
                reason=ledger.why,
                merge_key=f"plan:{ledger.ledger_id}",
            )
            for ledger in woken
        ],
    )


async def keep_id_conflict(tx: Tx, work: Work) -> None:
    """The second content under a known id is kept under an identity of its own, with a case."""
    positions = await message_rows.admit(tx, [under_own_identity(work.entry)])
    for position in positions.values():
        await case_rows.open_cases(tx, [case_of(id_conflict(work), work, position)])


async def _keep_unfinished(tx: Tx, rows: Consequences) -> None:
    """Claimed rows are finished or put back, in the order in which they were decided before new
    ones are stored."""
    for work, by in rows.passing:
        await pending_rows.supersede_passed(tx, work, by=by)
    for work, row in rows.postponed:
        await pending_rows.postpone_pending(tx, work, row)
    joined = [
        work for work, row in rows.reading if not await pending_rows.begin_reading(tx, work, row)
    ]
    await pending_rows.add_pending(tx, rows.waiting)
    if rows.finished or joined:
        await pending_rows.finish_pending(tx, [*rows.finished, *joined])


def _watched(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """By key, the oldest version on which these plans rest of what makes them anew."""
    plans = [e for verdict in verdicts for e in verdict.effects if isinstance(e, Plan)]
    facts = [fact for plan in plans for fact in _facts_of(plan)]
    seen: dict[str, int] = {}
    for key, version in facts:
        seen[key] = min(version, seen.get(key, version))
    return seen


def _along(verdicts: Sequence[Verdict], written: Set[str], newer: Set[str]) -> set[tuple[str, str]]:
    """Correlation ids, with the kinds of documents that were written by what follows from the same;
    or that were written by others while a plan of that story was made which rests on them."""
    found: set[tuple[str, str]] = set()
    for verdict in verdicts:
        story = verdict.work.entry.envelope.correlation_id
        for effect in verdict.effects:
            if isinstance(effect, Put) and effect.key in written:
                found.add((story, effect.key.partition("/")[0]))
            elif isinstance(effect, Plan) and newer:
                facts = _facts_of(effect)
                found |= {(story, key.partition("/")[0]) for key, _ in facts if key in newer}
    return found


def _facts_of(plan: Plan) -> list[tuple[str, int]]:
    """What makes the plan anew, in the versions it rests on."""
    facts = [fact for step in plan.steps if (fact := watched_fact(step)) is not None]
    return [*facts, *plan.watched]


async def _store_documents(tx: Tx, documents: Sequence[DocumentRow]) -> dict[str, int]:
    if not documents:
        return {}
    written = await document_rows.store(tx, documents)
    if len(written) != len(documents):
        raise RaceLost(f"{len(documents) - len(written)} documents were overtaken")
    return written


async def _emit_events(
    tx: Tx, verdicts: Sequence[Verdict], said: Sequence[tuple[Emission, ...]]
) -> None:
    """What is decided again in a replay says only what was not said before."""
    replayed = [v for v in verdicts if v.work.pending and v.work.pending.replay_id is not None]
    before = await history_rows.said(tx, [_cause(v) for v in replayed])
    emissions: list[Emission] = []
    for verdict, said_now in zip(verdicts, said, strict=True):
        emissions += unsaid(said_now, before.get(_cause(verdict), ()))
    for some in slices(emissions):
        await outbox_rows.emit(tx, some)


def _cause(verdict: Verdict) -> history_rows.Cause:
    envelope = verdict.work.entry.envelope
    return envelope.correlation_id, envelope.id


async def _apply_plans(
    tx: Tx, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
) -> dict[str, Position | None]:
    """Plans are in their ledgers, and so is what is to be read; by ledger, the place of the message
    whose plan it took last, None where it took none. What was said with any other plan does not
    hold any more."""
    planned: dict[str, Position | None] = {}
    said: dict[str, list[tuple[str, str]]] = {}
    stale: list[Note] = []
    plans = [
        (plan, verdict, position)
        for verdict, position in zip(verdicts, positions, strict=True)
        for effect in verdict.effects
        if (plan := _planned(effect, verdict.work, position)) is not None
    ]
    if not plans:
        return planned
    fates = await book.apply_plans(
        tx,
        [
            book.Planned(
                plan,
                _origin(v.work, position),
                planner=context.planner,
                is_anew=v.work.pending is not None and v.work.pending.is_replan,
            )
            for plan, v, position in plans
        ],
        context.now,
    )
    for (plan, verdict, position), fate in zip(plans, fates, strict=True):
        planned.setdefault(plan.key, None)
        if fate == "taken":
            planned[plan.key] = position
            said[plan.key] = [(e.code, e.where) for e in verdict.effects if isinstance(e, Open)]
        elif fate == "stale":
            stale.append(stale_plan(plan, verdict.work))
    await message_rows.write_audit(tx, stale)
    await case_rows.close_unsaid_cases(tx, said)
    return planned


def _decided_elsewhere(verdicts: Sequence[Verdict]) -> list[Told]:
    return [
        Told(effect, verdict.work.entry.envelope.correlation_id)
        for verdict in verdicts
        for effect in verdict.effects
        if isinstance(effect, Decide)
    ]


def _planned(effect: Effect, work: Work, position: Position) -> Plan | None:
    match effect:
        case Plan():
            return effect
        case Fetch():
            return plan_of(effect, work, position)
        case _:
            return None


def _origin(work: Work, position: Position) -> book.Origin:
    assert work.handler is not None
    return book.Origin(
        subscription=work.handler.name,
        scope=work.handler.scope,
        source=work.entry.envelope.source,
        message_id=work.entry.envelope.id,
        correlation_id=work.entry.envelope.correlation_id,
        lane=work.lane,
        position=position,
    )
