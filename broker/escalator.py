"""Lets what waits too long go on: a decision to a role that may take it too; a refused one, a
failed call, or what people have stopped, to somebody who gets it as a case.

By the rules in force, from the rows, once per step and role. One process at a time looks, by a lock
for the length of a transaction; a ledger that somebody else is at work on is looked at again in the
next round. Crash before the commit: nothing of it has happened. After it: all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from broker.emission import emission
from broker.failpoints import FailPoints
from broker.ledger import Due, due
from broker.store import Database, Tx
from broker.store import casebook as case_rows
from broker.store import escalations as rows
from broker.store import holds as hold_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store.casebook import Case
from broker.store.escalations import CODE, HOLD_CODE, Mark, Standstill, StandstillMark, Waiting
from broker.store.ledgers import Ledger
from broker.store.messages import Note
from broker.store.outbox import Emission
from canonical.codec import encode
from canonical.effects import parts_of_identity
from canonical.escalation import ANY, Escalation
from canonical.own_work import StepOverdue
from canonical.rules import Rules
from canonical.working_time import WorkingCalendar

OVERDUE = "step.overdue"
HOLD = "hold"
HOLD_S = 86_400
"""A day: how long something may be stopped where the rules do not say."""
BATCH = 500


class Escalator:
    """Turns of a background loop; starts nothing by itself."""

    def __init__(
        self,
        *,
        database: Database,
        rules: Rules,
        fail_points: FailPoints,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._rules = rules
        self._fail_points = fail_points
        self._now = now
        self._batch = batch
        self._after = 0

    async def turn(self) -> bool:
        """The next steps have gone on where it was time; whether there are more to look at."""
        async with self._database.transaction() as tx:
            if not await rows.try_lock(tx):
                return False
            if self._after == 0:
                await rows.close_mended(tx)
                await self._escalate_standstills(tx)
            found = await rows.waiting(tx, after=self._after, limit=self._batch)
            await self._escalate(tx, [step for step in found if self._marks(step)])
            if __debug__:
                await self._fail_points("escalation.before_commit")
        if __debug__:
            await self._fail_points("escalation.after_commit")
        is_more = len(found) == self._batch
        self._after = found[-1].id if is_more else 0
        return is_more

    async def _escalate(self, tx: Tx, steps: Sequence[Waiting]) -> None:
        if not steps:
            return
        # Of somebody else's ledger nothing is known that lasts, and nobody is kept waiting.
        ledgers = await ledger_rows.lock_free_ledgers(tx, {step.ledger_id for step in steps})
        ids = [step.id for step in steps if step.ledger_id in ledgers]
        still = await rows.waiting(tx, limit=len(ids), ids=ids)
        marks = [mark for step in still for mark in self._marks(step)]
        if not marks:
            return
        await rows.mark(tx, marks)
        await message_rows.write_audit(tx, [_note(m, ledgers[m.step.ledger_id]) for m in marks])
        if outbox_rows.is_asked_for(tx, OVERDUE):
            await outbox_rows.emit(tx, [_telling(m, ledgers[m.step.ledger_id]) for m in marks])
        failed = {m.step.id: m for m in marks if not m.step.question or m.step.refused_at}
        cases = [_case(mark, ledgers[mark.step.ledger_id]) for mark in failed.values()]
        if cases:
            await case_rows.open_cases(tx, cases)
            # It is open already where it goes on once more.
            await rows.hand_on(tx, cases)

    async def _escalate_standstills(self, tx: Tx) -> None:
        """What is stopped for too long has gone on. Nothing of it is locked: whoever ends it at the
        same moment has its case closed at the next look."""
        now = self._now()
        found = await rows.standstills(tx)
        marks = [mark for one in found for mark in standstill_marks(one, self._rules, now)]
        if not marks:
            return
        await rows.mark_standstills(tx, marks)
        await message_rows.write_audit(tx, [_standstill_note(mark) for mark in marks])
        # The last role of each has the case.
        cases = [await _standstill_case(tx, m) for m in {m.standstill: m for m in marks}.values()]
        await case_rows.open_cases(tx, cases)
        await rows.hand_on(tx, cases)

    def _marks(self, step: Waiting) -> tuple[Mark, ...]:
        return due_marks(step, self._rules, self._now())


def due_marks(step: Waiting, rules: Rules, now: datetime) -> tuple[Mark, ...]:
    """The roles that the step goes on to now, in the order of their moments.

    Once refused it has all its time again, from then on: it is the turn of whoever has to mend it.
    """
    calendar = rules.calendar(step.due.calendar)
    late = due(step.due.after_s, calendar, step.refused_at) if step.refused_at else step.due
    about = [rule for rule in rules.escalations if _is_about(rule, step)]
    roles = _roles(about, late, calendar, now, step.escalated_to)
    return tuple(Mark(step, role, level, late.at) for level, role in roles)


def standstill_marks(found: Standstill, rules: Rules, now: datetime) -> tuple[StandstillMark, ...]:
    """The roles that it goes on to now, in the order of their moments; it may stand as long as the
    rules say of a hold, by any time."""
    late = due(rules.due_s.get(HOLD, HOLD_S), None, found.since)
    about = [rule for rule in rules.escalations if rule.hold in (ANY, found.kind)]
    roles = _roles(about, late, None, now, found.escalated_to)
    return tuple(StandstillMark(found, role, level, late.at) for level, role in roles)


def _roles(
    about: Sequence[Escalation],
    late: Due,
    calendar: WorkingCalendar | None,
    now: datetime,
    before: Sequence[str],
) -> Iterator[tuple[int, str]]:
    """Level and role of each whose moment has come, in the order of these. before: the roles that
    it has gone on to."""
    moments = sorted(
        (
            rule.at(since=late.since, due_s=late.after_s, due_at=late.at, calendar=calendar),
            number,
            rule.to,
        )
        for number, rule in enumerate(about)
        if rule.to not in before
    )
    roles = dict.fromkeys(to for at, _, to in moments if at <= now)
    return enumerate(roles, start=len(before) + 1)


def _is_about(rule: Escalation, step: Waiting) -> bool:
    if step.refused_at:
        return rule.refused == step.question
    if step.question:
        return rule.question == step.question and rule.to != step.asked
    return rule.operation in (ANY, parts_of_identity(step.identity).verb)


def _standstill_note(mark: StandstillMark) -> Note:
    found = mark.standstill
    return Note(
        "layshaft",
        "hold-escalated",
        found.place,
        found.correlation_id,
        {"to": mark.role, "level": mark.level, "due_at": mark.due_at.isoformat()},
        before={"escalated_to": found.escalated_to},
        after={"escalated_to": (*found.escalated_to, mark.role)},
    )


async def _standstill_case(tx: Tx, mark: StandstillMark) -> Case:
    found = mark.standstill
    number = found.ledger_key.partition("/")[2]
    hold = await hold_rows.find(tx, found.hold_id) if found.hold_id is not None else None
    if hold is None:
        what, command = f"{found.ledger_key} is paused", f"layshaft change resume {number}"
    else:
        waiting = (await hold_rows.stopped(tx, hold)).waiting
        what, command = f"The {hold.name} is on hold", f"layshaft release {hold.id}"
        what += f", and {waiting} calls wait by it"
    words = hold_rows.in_words(found.reason, found.by, found.since)
    return Case(
        code=HOLD_CODE,
        word="business_rule",
        what=f"{what}. It was to be over by {mark.due_at:%Y-%m-%d %H:%M} UTC: {words}",
        place=found.place,
        remedy=f"Ask {found.by} whether it has to be any longer; {command} lets it go on",
        owner=mark.role,
        key=found.ledger_key,
        ledger_key=found.ledger_key,
        origin="call",
    )


def _note(mark: Mark, ledger: Ledger) -> Note:
    step = mark.step
    action = "task-escalated" if step.question else "step-escalated"
    detail: Mapping[str, object] = {
        "step": step.id,
        "identity": step.identity,
        "to": mark.role,
        "level": mark.level,
        "due_at": mark.due_at.isoformat(),
        "question": step.question,
    }
    return Note(
        "layshaft",
        action,
        ledger.key,
        ledger.correlation_id,
        dict(detail),
        before={"escalated_to": step.escalated_to},
        after={"escalated_to": (*step.escalated_to, mark.role)},
    )


def _telling(mark: Mark, ledger: Ledger) -> Emission:
    step, parts = mark.step, parts_of_identity(mark.step.identity)
    said = StepOverdue(
        ledger=ledger.key,
        step=step.id,
        plant=parts.plant,
        system=parts.system,
        object_kind=parts.object_kind,
        object_id=parts.object_id,
        verb=parts.verb,
        owner=step.owner,
        due_at=mark.due_at,
        to=mark.role,
        level=mark.level,
        question=step.question,
        reason=step.reason,
        is_refused=step.refused_at is not None,
    )
    return emission(
        OVERDUE,
        # Numbered by who holds the ledger's row, as the ends of its calls are.
        f"step/{ledger.key}",
        encode(said),
        lane=None,
        correlation_id=ledger.correlation_id,
        causation_id=f"step/{step.id}",
    )


def _case(mark: Mark, ledger: Ledger) -> Case:
    step, parts = mark.step, parts_of_identity(mark.step.identity)
    was = f": {step.reason}" if step.reason else ""
    when = f"{mark.due_at:%Y-%m-%d %H:%M} UTC"
    number = ledger.key.partition("/")[2]
    what, remedy = (
        (
            f"{step.question} of {parts.object_id} was refused, which had to be mended by {when}",
            "See that what it rests on is corrected at its source, which plans anew, or that it is"
            f" asked once more: layshaft change restart {number} {step.id}",
        )
        if step.refused_at
        else (
            f"{parts.verb} {parts.object_id} has failed and was due at {when}",
            f"See that {step.owner} repairs the cause; its own case has the step tried again",
        )
    )
    return Case(
        code=CODE,
        word="business_rule",
        what=f"{what}{was}",
        place=f"{ledger.key}: {step.identity}",
        remedy=remedy,
        owner=mark.role,
        source="" if step.refused_at else parts.system,
        key=f"{parts.object_kind}/{parts.object_id}",
        ledger_key=ledger.key,
        origin="call",
    )
