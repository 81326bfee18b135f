"""Keeps ledgers: the one place where a ledger is locked, its steps read, changed, advanced."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import uuid_utils

from broker import ledger as rules
from broker.aside import MANY, aside_if
from broker.store import Position, Tx
from broker.store import calls as call_rows
from broker.store import casebook as case_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import pending as pending_rows
from broker.store import steps as step_rows
from broker.store.calls import CallResult
from broker.store.casebook import Case
from broker.store.ledgers import Ledger, NewLedger
from broker.store.messages import LogEntry
from broker.store.outbox import Emission
from broker.store.pending import NewPending
from broker.topology import events_exchange
from canonical.effects import Plan
from canonical.envelope import Lane
from canonical.events import EVENTS
from canonical.operations import Announce


class Origin(msgspec.Struct, frozen=True):
    """The message a plan follows from."""

    subscription: str
    scope: str
    source: str
    message_id: str
    correlation_id: str
    lane: Lane
    position: Position


def emission(
    event: str, key: str, body: bytes, *, lane: Lane | None, correlation_id: str, causation_id: str
) -> Emission:
    """An event of ours with its identity, lane and exchange."""
    row = EVENTS[event]
    chosen: Lane = lane or row.lane
    return Emission(
        id=str(uuid_utils.uuid7()),
        event=row.name,
        type=row.type,
        key=key,
        lane=chosen,
        exchange=events_exchange(chosen),
        correlation_id=correlation_id,
        causation_id=causation_id,
        body=body,
    )


async def apply_plan(tx: Tx, plan: Plan, origin: Origin, lane: Lane) -> bool:
    """The ledger says what the plan says and has moved as far as it can; False if it is stale.

    Planning again with the same facts changes nothing.
    """
    new = NewLedger(
        key=plan.key,
        title=plan.title,
        version=plan.version,
        subscription=origin.subscription,
        scope=origin.scope,
        lane=lane,
        source=origin.source,
        correlation_id=origin.correlation_id,
        findings=plan.findings,
        position=origin.position,
    )
    ledger, is_new = await ledger_rows.lock_ledger(tx, new)
    if plan.version < ledger.version:
        return False
    steps = await step_rows.load_steps(tx, ledger.id)
    large = len(plan.steps) > MANY or len(steps) > MANY
    diff = await aside_if(large, rules.diff, steps, plan)
    if not is_new:
        changes = bool(diff.inserts or diff.replaces or diff.moves)
        await ledger_rows.renew_ledger(tx, ledger.id, new, reopen=changes)
        state = "open" if changes else ledger.state
        ledger = msgspec.structs.replace(ledger, state=state, version=plan.version)
    await step_rows.move_steps(tx, diff.moves)
    await step_rows.replace_steps(tx, ledger.id, diff.replaces)
    await step_rows.insert_steps(tx, ledger.id, diff.inserts)
    if diff.withdrawals:
        await step_rows.mark_withdrawn(tx, diff.withdrawals)
    await _open_left_behind(tx, ledger, diff.moves)
    await advance(tx, ledger)
    return True


async def advance(tx: Tx, ledger: Ledger) -> None:
    """Everything that may happen next is ready; announcements are made; completeness is noted.

    The caller holds the ledger's row.
    """
    steps = await step_rows.load_steps(tx, ledger.id)
    large = len(steps) > MANY
    moves = await aside_if(large, rules.advance, steps)
    await step_rows.move_steps(tx, moves)
    await _open_left_behind(tx, ledger, moves)
    announced = [m.step.id for m in moves if m.step.kind == "announce" and m.state == "done"]
    if announced:
        operations = await step_rows.operations_of(tx, announced)
        await outbox_rows.emit(
            tx,
            [
                emission(
                    operation.event,
                    operation.key,
                    bytes(operation.data),
                    lane=None,
                    correlation_id=ledger.correlation_id,
                    causation_id=f"step/{step_id}",
                )
                for step_id in announced
                if isinstance(operation := operations[step_id], Announce)
            ],
        )
    if ledger.state != "complete" and await aside_if(large, rules.ends_with, steps, moves):
        await ledger_rows.complete_ledger(tx, ledger.id)


class Settled(msgspec.Struct, frozen=True):
    """A finished call with what follows from it.

    answer: what a read brought back, ready to be logged; answer_scope: its handler's order scope.
    """

    result: CallResult
    answer: LogEntry | None = None
    answer_scope: str = ""
    case: Case | None = None


async def settle_calls(tx: Tx, settled: Sequence[Settled]) -> list[Settled]:
    """Results are in their ledgers, answers are messages, failures are cases; ledgers advanced.

    Returns those that are to come again, as somebody else is at work on their ledgers: a plan of
    many steps may take minutes, and nobody waits for it.
    Crash before the commit: the calls stay in flight, lapse, and are looked up. After it: done.
    """
    # An answer goes behind what its object waits for: that hold comes before the ledgers.
    await pending_rows.held_keys(
        tx, {(s.answer_scope, s.answer.envelope.key) for s in settled if s.answer is not None}
    )
    ledgers = await ledger_rows.lock_free_ledgers(tx, [s.result.claimed.ledger_id for s in settled])
    mine = [s for s in settled if s.result.claimed.ledger_id in ledgers]
    if mine:
        counted = await call_rows.record_results(tx, [s.result for s in mine])
        ours = [s for s in mine if (s.result.claimed.id, s.result.claimed.fence) in counted]
        await _take_answers(tx, [s for s in ours if s.answer is not None])
        cases = [s.case for s in ours if s.case is not None]
        if cases:
            await case_rows.open_cases(tx, cases)
        for _, ledger in sorted(ledgers.items()):
            await advance(tx, ledger)
    return [s for s in settled if s.result.claimed.ledger_id not in ledgers]


async def _take_answers(tx: Tx, settled: Sequence[Settled]) -> None:
    """Answers of reads are logged and wait to be translated like any other message."""
    entries = [s.answer for s in settled if s.answer is not None]
    if not entries:
        return
    positions = await message_rows.admit(tx, entries)
    await pending_rows.add_pending(
        tx,
        [
            NewPending(
                subscription=s.answer.subscription,
                scope=s.answer_scope,
                key=s.answer.envelope.key,
                lane=s.answer.envelope.lane,
                position=positions[s.answer.identity],
                state="ready",
                due_at=s.result.ended_at,
            )
            for s in settled
            if s.answer is not None and s.answer.identity in positions
        ],
    )


async def _open_left_behind(tx: Tx, ledger: Ledger, moves: Sequence[rules.Move]) -> None:
    """What a target holds although nobody plans it any more is put before a person."""
    behind = [m.step for m in moves if m.reason == rules.LEFT_BEHIND]
    if behind:
        await case_rows.open_cases(tx, [_left_behind(ledger, step) for step in behind])


def _left_behind(ledger: Ledger, step: rules.LedgerStep) -> Case:
    return Case(
        code="left-behind",
        word="business_rule",
        what=f"{step.identity} was done and is no longer part of the plan",
        place=f"{ledger.key}: {step.identity}",
        remedy="Decide whether the target keeps it or it is taken back",
        owner="engineering",
        key=ledger.key,
        ledger_key=ledger.key,
    )
