"""Keeps ledgers: the one place where a ledger is locked, its steps read, changed, advanced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import msgspec

from broker import change_progress, consent, left_behind, step_ends
from broker import ledger as rules
from broker.aside import MANY, aside_if
from broker.emission import emission, lane_following
from broker.planner import UNKNOWN, Planner
from broker.store import Position, Tx
from broker.store import calls as call_rows
from broker.store import casebook as case_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import pending as pending_rows
from broker.store import steps as step_rows
from broker.store import watches as watch_rows
from broker.store.calls import CallResult
from broker.store.casebook import Case
from broker.store.ledgers import Ledger, NewLedger, Renewal
from broker.store.messages import LogEntry
from broker.store.pending import READING, NewPending
from canonical.codec import encode
from canonical.effects import Plan, parts_of_identity
from canonical.envelope import Lane
from canonical.events import ApprovalWithdrawn
from canonical.operations import Announce, Approve, ReadObject

Fate = Literal["taken", "stale", "asked about"]
"""What becomes of a plan: a ledger may know a newer one, or a person has to agree to it."""


class Origin(msgspec.Struct, frozen=True):
    """The message a plan follows from."""

    subscription: str
    scope: str
    source: str
    message_id: str
    correlation_id: str
    lane: Lane
    position: Position


class Planned(msgspec.Struct, frozen=True):
    """A plan and the message it follows from. by: the person who takes it back, where one does.

    is_anew: of the same message as before, for a fact or a time. planner: that made it.
    """

    plan: Plan
    origin: Origin
    by: str = ""
    planner: Planner = UNKNOWN
    is_anew: bool = False

    @property
    def ledger(self) -> NewLedger:
        """What opens or renews its ledger."""
        return NewLedger(
            key=self.plan.key,
            title=self.plan.title,
            version=self.plan.version,
            subscription=self.origin.subscription,
            scope=self.origin.scope,
            lane=self.origin.lane,
            source=self.origin.source,
            correlation_id=self.origin.correlation_id,
            findings=self.plan.findings,
            position=self.origin.position,
            ends_as="cancelled" if self.plan.cancels else "complete",
            cancelled_by=self.by,
            planner=self.planner.text,
            along=self.plan.along,
        )


async def apply_plans(tx: Tx, plans: Sequence[Planned], now: datetime) -> list[Fate]:
    """Each ledger says what its plan says and has moved as far as it can; what became of each plan.
    Several plans of one ledger are taken one after the other, in this order; calls
    of several ledgers to one target object are made in it too.

    now: when they are planned; what is new has all its time from then on.
    Planning again with the same facts changes nothing.
    """
    fates: list[Fate] = ["stale"] * len(plans)
    rest = dict(enumerate(plans))
    while rest:
        first: dict[str, int] = {}
        for n, planned in rest.items():
            first.setdefault(planned.plan.key, n)
        distinct = [(n, rest.pop(n)) for n in first.values()]
        known = await _apply_distinct(tx, [planned for _, planned in distinct], now)
        for n, planned in distinct:
            fates[n] = known.get(planned.plan.key, "stale")
    return fates


async def _apply_distinct(tx: Tx, plans: Sequence[Planned], now: datetime) -> dict[str, Fate]:
    """By ledger, what became of its plan; none = stale. One plan a ledger."""
    # Locked in the order of their keys, and stored in that of the plans: it is the order of calls.
    by_key = sorted(plans, key=lambda planned: planned.plan.key)
    found = await ledger_rows.lock_or_open(tx, [planned.ledger for planned in by_key])
    fresh = [p for p in plans if _takes(found[p.plan.key][0], p.plan)]
    wanted = {planned.plan.key: planned.plan for planned in fresh}
    known = [ledger.id for ledger, is_new in found.values() if not is_new]
    steps = await step_rows.load_steps(tx, known) if known else {}
    diffs: dict[int, rules.PlanDiff] = {}
    behind: dict[int, Sequence[rules.LedgerStep]] = {}
    renewals: list[Renewal] = []
    ledgers: list[Ledger] = []
    asking: list[tuple[Ledger, Planned, tuple[str, ...]]] = []
    for planned in fresh:
        plan, (ledger, is_new) = planned.plan, found[planned.plan.key]
        before = steps.get(ledger.id, [])
        large = len(plan.steps) > MANY or len(before) > MANY
        diff = await aside_if(large, rules.diff, before, plan)
        if planned.is_anew and planned.planner.differs_from(ledger.planner):
            cells = rules.changed_cells(diff)
            if cells:
                asking.append((ledger, planned, cells))
                continue
        diffs[ledger.id] = diff
        behind[ledger.id] = left_behind.undecided(before)
        if not is_new:
            new = planned.ledger
            changes = bool(diff.inserts or diff.replaces or diff.moves)
            reopen = changes or new.ends_as != ledger.ends_as
            renewals.append(Renewal(ledger.id, new, reopen=reopen))
            state = "open" if reopen else ledger.state
            ledger = msgspec.structs.replace(
                ledger,
                state=state,
                version=plan.version,
                ends_as=new.ends_as,
                cancelled_by=new.cancelled_by,
            )
        ledgers.append(ledger)
    if renewals:
        await ledger_rows.renew_ledgers(tx, renewals)
    watched = {ledger.id: wanted[ledger.key].watched for ledger in ledgers}
    if renewals or any(watched.values()):
        await watch_rows.keep(tx, watched)
    await step_rows.move_steps(tx, [m for d in diffs.values() for m in d.moves])
    await step_rows.replace_steps(tx, [(n, r) for n, d in diffs.items() for r in d.replaces], now)
    await step_rows.insert_steps(tx, [(n, i) for n, d in diffs.items() for i in d.inserts], now)
    await step_rows.retime_steps(tx, [r for d in diffs.values() for r in d.retimes])
    await _ask_for_consent(tx, asking)
    await _close_consents(tx, ledgers)
    for ledger in ledgers:
        await _close_failures(tx, ledger, _planned_otherwise(diffs[ledger.id]))
    if withdrawals := [w for d in diffs.values() for w in d.withdrawals]:
        await step_rows.mark_withdrawn(tx, withdrawals)
    await step_rows.reorder_steps(tx, [r for d in diffs.values() for r in d.reorders])
    await _tell_withdrawn(
        tx,
        [
            (
                ledger,
                rules.withdrawn_questions(
                    diff.moves, rules.questions_of(wanted[ledger.key], diff.moot)
                ),
            )
            for ledger in ledgers
            for diff in [diffs[ledger.id]]
        ],
    )
    await step_ends.tell_moves(tx, [(ledger, diffs[ledger.id].moves) for ledger in ledgers])
    await advance(tx, ledgers, behind=behind)
    fates: dict[str, Fate] = {ledger.key: "taken" for ledger in ledgers}
    return fates | {ledger.key: "asked about" for ledger, _, _ in asking}


async def _ask_for_consent(
    tx: Tx, asking: Sequence[tuple[Ledger, Planned, tuple[str, ...]]]
) -> None:
    """These plans are left alone, and a case says what they would change."""
    by_planner: dict[str, list[int]] = {}
    for ledger, planned, _ in asking:
        by_planner.setdefault(planned.planner.text, []).append(ledger.id)
    for planner, ids in by_planner.items():
        await ledger_rows.ask_for_consent(tx, ids, planner)
    if asking:
        await case_rows.open_cases(
            tx, [consent.case_of(ledger, each.planner, cells) for ledger, each, cells in asking]
        )


async def _close_consents(tx: Tx, ledgers: Sequence[Ledger]) -> None:
    """What was asked about the plan before is nobody's turn any more."""
    for ledger in ledgers:
        if ledger.asked_planner:
            await case_rows.close_cases(
                tx, about=consent.place_of(ledger.key), ledger_key=ledger.key, by="a newer plan"
            )


def _takes(ledger: Ledger, plan: Plan) -> bool:
    """Whether the ledger, as it is, follows from the plan from now on."""
    return rules.takes(plan, version=ledger.version, is_taken_back=ledger.cancelled_by != "")


async def advance(
    tx: Tx,
    ledgers: Sequence[Ledger],
    *,
    behind: Mapping[int, Sequence[rules.LedgerStep]] = MappingProxyType({}),
    by: str = "a newer plan",
) -> None:
    """Everything that may happen next is ready; announcements are made; what has ended is noted.

    The caller holds the ledgers' rows. behind: by ledger that was planned, what its case said to be
    left behind before; by: who answered what is not left behind any more.
    """
    if not ledgers:
        return
    steps = await step_rows.load_steps(tx, [ledger.id for ledger in ledgers])
    moves: dict[int, tuple[rules.Move, ...]] = {}
    ended: list[int] = []
    for ledger in ledgers:
        its_steps = steps[ledger.id]
        large = len(its_steps) > MANY
        its_moves = moves[ledger.id] = await aside_if(
            large, rules.advance, its_steps, paused=ledger.paused
        )
        if ledger.state == "open" and await aside_if(large, rules.ends_with, its_steps, its_moves):
            ended.append(ledger.id)
    await step_rows.move_steps(tx, [m for its_moves in moves.values() for m in its_moves])
    for ledger in ledgers:
        its_steps = steps[ledger.id]
        was = behind.get(ledger.id, left_behind.undecided(its_steps))
        left = left_behind.undecided(its_steps, moves[ledger.id])
        await left_behind.tell(tx, ledger, was, left, by=by)
        # A refused question ends with what it was about, a refused call with its plan.
        await _close_failures(tx, ledger, ((move.step, by) for move in moves[ledger.id]))
    await _announce(tx, [(ledger, moves[ledger.id]) for ledger in ledgers])
    await _tell_withdrawn(
        tx,
        [
            (
                ledger,
                rules.withdrawn_questions(
                    moves[ledger.id], rules.open_questions(its, moves[ledger.id])
                ),
            )
            for ledger in ledgers
            for its in [steps[ledger.id]]
        ],
    )
    await step_ends.tell_moves(tx, [(ledger, moves[ledger.id]) for ledger in ledgers])
    await change_progress.tell(tx, ledgers, steps, moves, ended)
    if ended:
        await ledger_rows.end_ledgers(tx, ended)


async def _announce(tx: Tx, moved: Sequence[tuple[Ledger, Sequence[rules.Move]]]) -> None:
    """Announcements that are done with these moves are emitted."""
    announced = [
        (ledger, move.step.id)
        for ledger, moves in moved
        for move in moves
        if move.step.kind == "announce" and move.state == "done"
    ]
    if not announced:
        return
    operations = await step_rows.operations_of(tx, [step_id for _, step_id in announced])
    await outbox_rows.emit(
        tx,
        [
            emission(
                operation.event,
                operation.key,
                bytes(operation.data),
                lane=lane_following(operation.event, ledger.lane),
                correlation_id=ledger.correlation_id,
                causation_id=f"step/{step_id}",
            )
            for ledger, step_id in announced
            if isinstance(operation := operations[step_id], Announce)
        ],
    )


async def _tell_withdrawn(
    tx: Tx, withdrawn: Sequence[tuple[Ledger, Sequence[rules.LedgerStep]]]
) -> None:
    """Whoever was asked hears that nobody asks any more."""
    ids = [question.id for _, its in withdrawn for question in its]
    if not ids:
        return
    operations = await step_rows.operations_of(tx, ids)
    event = "approval.withdrawn"
    await outbox_rows.emit(
        tx,
        [
            emission(
                event,
                ledger.key,
                encode(
                    ApprovalWithdrawn(
                        change=ledger.key.partition("/")[2],
                        question=operation.question,
                        about=parts_of_identity(question.identity).object_id,
                    )
                ),
                lane=lane_following(event, ledger.lane),
                correlation_id=ledger.correlation_id,
                causation_id=f"step/{question.id}",
            )
            for ledger, its in withdrawn
            for question in its
            if isinstance(operation := operations[question.id], Approve)
        ],
    )


class Settled(msgspec.Struct, frozen=True):
    """A finished call with what follows from it.

    answer: what a read brought back, ready to be logged; answer_scope: its handler's order scope.
    """

    result: CallResult
    answer: LogEntry | None = None
    answer_scope: str = ""
    case: Case | None = None

    @property
    def is_read(self) -> bool:
        """Whether it is what an event asked for that told no more than a key."""
        return isinstance(self.result.claimed.step.operation, ReadObject)


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
        await step_ends.tell_results(
            tx, [(ledgers[s.result.claimed.ledger_id], s.result) for s in ours]
        )
        await advance(tx, [ledger for _, ledger in sorted(ledgers.items())])
        await _read_once_more(tx, [s for s in ours if s.is_read], ledgers)
    return [s for s in settled if s.result.claimed.ledger_id not in ledgers]


async def _take_answers(tx: Tx, settled: Sequence[Settled]) -> None:
    """Answers of reads are logged and wait to be translated like any other message; those that an
    event asked for stand where it stood."""
    entries = [s.answer for s in settled if s.answer is not None]
    if not entries:
        return
    positions = await message_rows.admit(tx, entries)
    answers = [
        NewPending(
            subscription=s.answer.subscription,
            scope=s.answer_scope,
            key=s.answer.envelope.key,
            lane=s.answer.envelope.lane,
            position=positions[s.answer.identity],
            state="ready",
            due_at=s.result.ended_at,
            merge_key=s.result.claimed.ledger_key if s.is_read else None,
        )
        for s in settled
        if s.answer is not None and s.answer.identity in positions
    ]
    asked = [a for a in answers if a.merge_key is not None]
    others = [a for a in answers if a.merge_key is None]
    if asked:
        left = await pending_rows.take_places(tx, asked)
        others += [msgspec.structs.replace(a, merge_key=None) for a in left]
    await pending_rows.add_pending(tx, others)


async def _read_once_more(
    tx: Tx, settled: Sequence[Settled], ledgers: Mapping[int, Ledger]
) -> None:
    """Where a read goes on in its ledger, the place of its next answer is kept too."""
    answered = [s for s in settled if s.answer is not None]
    if not answered:
        return
    still_open = await ledger_rows.open_ones(tx, [s.result.claimed.ledger_id for s in answered])
    await pending_rows.add_pending(
        tx,
        [
            NewPending(
                subscription=ledger.subscription,
                scope=ledger.scope,
                key=s.answer.envelope.key,
                lane=ledger.lane,
                position=ledger.position,
                state=READING,
                due_at=s.result.ended_at,
                reason="its object is read once more: it changed while it was read",
                merge_key=ledger.key,
            )
            for s in answered
            for ledger in [ledgers[s.result.claimed.ledger_id]]
            if s.answer is not None and ledger.id in still_open
        ],
    )


def _planned_otherwise(diff: rules.PlanDiff) -> Iterator[tuple[rules.LedgerStep, str]]:
    """Steps that are planned otherwise, or not at all, each with what it is that says so."""
    for each in diff.replaces:
        is_read = isinstance(each.step.operation, ReadObject)
        yield each.old, "a newer event" if is_read else "a newer plan"
    for move in diff.moves:
        yield move.step, "a newer plan"


async def _close_failures(
    tx: Tx, ledger: Ledger, ended: Iterable[tuple[rules.LedgerStep, str]]
) -> None:
    """That one of these steps has failed is nobody's turn any more: what comes of it now is told
    anew. ended: each with who or what ended it."""
    for step, by in ended:
        if step.state == "failed":
            await case_rows.close_cases(tx, about=step.identity, ledger_key=ledger.key, by=by)
