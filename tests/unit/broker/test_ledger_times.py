"""Waits for a time in the change ledger: how they end, when steps behind them are late, and when a
plan is made anew."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ledger import (
    AT_TARGET,
    Due,
    Insert,
    LedgerStep,
    PlanDiff,
    Retime,
    diff,
    digest_of,
    ends_of_waits,
)
from canonical.effects import Plan, Step
from canonical.operations import Approve, AwaitTime, ExtendToPlant
from canonical.working_time import Hours, WorkingCalendar

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, NEXT_DAY = NOW + timedelta(days=90), NOW + timedelta(days=91)
NOTHING = PlanDiff((), (), (), ())


def wait(at: datetime = DAY, name: str = "ECO-7") -> Step:
    return Step("", "layshaft", "change", name, AwaitTime(at, "it takes effect"), wake_at=at)


def call(
    name: str, *after: Step, content: str = "", wake_at: datetime | None = None, due_s: int = 600
) -> Step:
    operation = ExtendToPlant(name, "1010", "buy", "H87", content)
    depends_on = tuple(step.identity for step in after)
    return Step("1010", "erp", "item", name, operation, depends_on, due_s=due_s, wake_at=wake_at)


def a_plan(*steps: Step) -> Plan:
    return Plan("order/1", 1, "", steps)


def kept(step: Step, number: int = 1, state: str = "waiting", **known: object) -> LedgerStep:
    """The step as the store keeps it: planned at NOW."""
    plain = LedgerStep(
        id=number,
        identity=step.identity,
        generation=1,
        kind=step.kind,
        state=state,
        version=1,
        digest=digest_of(step),
        depends_on=step.depends_on,
        wake_at=step.wake_at,
        due_at=NOW + timedelta(seconds=step.due_s),
    )
    return msgspec.structs.replace(plain, **known)


def late(step: Step, end: datetime) -> datetime:
    return end + timedelta(seconds=step.due_s)


# --- how late ---


def test_what_stands_behind_a_wait_is_late_so_long_after_its_end() -> None:
    start = wait()
    first = call("a", start)
    second, free = call("b", first), call("c")
    inserts = diff([], a_plan(start, first, second, free)).inserts
    assert {i.step.object_id: i.due_from for i in inserts} == {
        "ECO-7": DAY,
        "a": DAY,
        "b": DAY,
        "c": None,
    }


def test_of_several_waits_the_last_one_counts() -> None:
    early, later = wait(), wait(NEXT_DAY, "ECO-8")
    behind = call("a", early, later)
    planned = {step.identity: step for step in (behind, early, later)}
    assert ends_of_waits(planned) == {
        early.identity: DAY,
        later.identity: NEXT_DAY,
        behind.identity: NEXT_DAY,
    }


def test_a_day_that_is_moved_moves_when_what_waits_for_it_is_late() -> None:
    start = wait()
    behind, asked = call("a", start), call("b")
    steps = [
        kept(start, 1, due_at=late(start, DAY)),
        kept(behind, 2, due_at=late(behind, DAY)),
        kept(asked, 3, "ready"),
    ]
    assert diff(steps, a_plan(start, behind, asked)) == NOTHING
    moved = wait(NEXT_DAY)
    changes = diff(steps, a_plan(moved, behind, asked))
    assert [(r.old.id, r.due_from) for r in changes.replaces] == [(1, NEXT_DAY)]
    assert changes.retimes == (Retime(steps[1], None, Due(late(behind, NEXT_DAY), NEXT_DAY, 600)),)
    assert (changes.inserts, changes.moves, changes.withdrawals) == ((), (), ())


# --- by whose time ---

OFFICE = WorkingCalendar(
    "UTC", (Hours(("mon", "tue", "wed", "thu", "fri"), time(8), time(16)),), name="office"
)
FRIDAY = datetime(2026, 3, 6, 15, tzinfo=UTC)
MONDAY = datetime(2026, 3, 9, 9, tzinfo=UTC)


def question(
    text: str = "May it?",
    *after: Step,
    due_s: int = 7200,
    calendar: WorkingCalendar | None = OFFICE,
) -> Step:
    depends_on = tuple(step.identity for step in after)
    asked = Approve("supplier-qualification", text)
    return Step(
        "", "quality", "supplier", "S1", asked, depends_on, due_s=due_s, calendar=calendar
    )  # fmt: skip


def test_a_question_is_late_after_the_working_time_of_whom_it_asks() -> None:
    [insert] = diff([], a_plan(question())).inserts
    assert insert.due(FRIDAY) == Due(MONDAY, FRIDAY, 7200, "office")


def test_without_a_calendar_any_time_counts() -> None:
    [insert] = diff([], a_plan(question(calendar=None))).inserts
    assert insert.due(FRIDAY) == Due(FRIDAY + timedelta(hours=2), FRIDAY, 7200)


def test_behind_a_wait_working_time_counts_from_its_end() -> None:
    start = wait(FRIDAY)
    behind = question("May it?", start)
    inserts = diff([], a_plan(start, behind)).inserts
    assert inserts[1].due(NOW) == Due(MONDAY, FRIDAY, 7200, "office")
    steps = [
        kept(start, 1, due_at=late(start, FRIDAY)),
        kept(behind, 2, due_at=MONDAY),
    ]
    assert diff(steps, a_plan(start, behind)) == NOTHING


def test_a_question_that_asks_something_else_is_late_no_later_for_that() -> None:
    other = question("May it still?")
    [replace] = diff([kept(question(), 1, "ready", due_at=MONDAY)], a_plan(other)).replaces
    assert replace.due(MONDAY) is None
    urgent = msgspec.structs.replace(other, due_s=60)
    [replace] = diff([kept(question(), 1, "ready", due_at=MONDAY)], a_plan(urgent)).replaces
    assert replace.due(FRIDAY) == Due(FRIDAY + timedelta(seconds=60), FRIDAY, 60, "office")


def test_what_was_refused_and_is_asked_otherwise_has_its_time_anew() -> None:
    other = question("May it still?")
    [replace] = diff([kept(question(), 1, "failed", due_at=NOW)], a_plan(other)).replaces
    assert replace.due(FRIDAY) == Due(MONDAY, FRIDAY, 7200, "office")


@given(
    st.integers(0, 400_000),
    st.sampled_from([None, OFFICE]),
    st.booleans(),
    st.timedeltas(timedelta(), timedelta(days=40)),
)
def test_the_same_plan_at_another_moment_moves_no_due_time(
    due_s: int, calendar: WorkingCalendar | None, is_behind: bool, later: timedelta
) -> None:
    start = wait()
    asked = question("May it?", *([start] if is_behind else []), due_s=due_s, calendar=calendar)
    plan = a_plan(start, asked)
    steps = [
        kept(i.step, n, "ready" if n and not is_behind else "waiting", due_at=i.due(NOW).at)
        for n, i in enumerate(diff([], plan).inserts)
    ]
    changes = diff(steps, plan)
    assert changes == NOTHING
    # Another order of what stands before it moves none either.
    alone = question("May it?", due_s=due_s, calendar=calendar)
    for replace in diff(steps, a_plan(start, alone)).replaces:
        due = replace.due(NOW + later)
        assert due is None or due.at < (steps[1].due_at or NOW)


# --- how it ends ---


def test_a_wait_that_is_not_planned_any_more_is_over_because_its_time_has_come() -> None:
    start = wait()
    before, after = call("a", start), call("a")
    changes = diff([kept(start), kept(before, 2)], a_plan(after))
    assert [(m.step.id, m.state, m.reason) for m in changes.moves] == [
        (1, "done", "its time has come")
    ]
    assert [(r.old.id, r.due_from) for r in changes.replaces] == [(2, None)]


def test_a_time_that_is_awaited_anew_is_a_wait_of_its_own() -> None:
    start, moved = wait(), wait(NEXT_DAY)
    behind = call("a", moved)
    changes = diff([kept(start, 1, "done"), kept(call("a"), 2, "ready")], a_plan(moved, behind))
    assert changes.inserts == (Insert(moved, digest_of(moved), 2, NEXT_DAY),)
    assert [(r.old.id, r.due_from) for r in changes.replaces] == [(2, NEXT_DAY)]


# --- when the plan is made anew ---


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "in_flight", "in_doubt", "failed"])
def test_another_moment_changes_nothing_else_of_an_open_step(state: str) -> None:
    before, after = call("a", wake_at=DAY), call("a", wake_at=NEXT_DAY)
    step = kept(before, state=state)
    assert diff([step], a_plan(before)) == NOTHING
    assert diff([step], a_plan(after)) == msgspec.structs.replace(
        NOTHING, retimes=(Retime(step, NEXT_DAY),)
    )
    none = call("a")
    assert diff([step], a_plan(none)).retimes == (Retime(step, None),)


@pytest.mark.parametrize("state", ["done", "cancelled", "superseded"])
def test_a_settled_step_makes_no_plan_anew(state: str) -> None:
    step = kept(call("a", wake_at=DAY), state=state)
    assert diff([step], a_plan(call("a", wake_at=NEXT_DAY))).retimes == ()


@pytest.mark.parametrize("state", sorted(AT_TARGET))
def test_one_at_its_target_that_a_newer_plan_has_overtaken_makes_none_either(state: str) -> None:
    step = kept(call("a", wake_at=DAY), state=state)
    # Planned otherwise, or not at all.
    otherwise = diff([step], a_plan(call("a", content="other", wake_at=NEXT_DAY)))
    assert otherwise.retimes == (Retime(step, None),)
    assert [i.step.wake_at for i in otherwise.inserts] == [NEXT_DAY]
    gone = diff([step], a_plan())
    assert gone.retimes == (Retime(step, None),)
    assert gone.withdrawals == ((step, True),)
    withdrawn = msgspec.structs.replace(step, withdrawn=True, wake_at=None)
    assert diff([withdrawn], a_plan()) == NOTHING
    again = diff([withdrawn], a_plan(call("a", wake_at=NEXT_DAY)))
    assert again.withdrawals == ((withdrawn, False),)
    assert again.retimes == (Retime(withdrawn, NEXT_DAY),)


def test_moments_are_no_content() -> None:
    assert digest_of(call("a", wake_at=DAY)) == digest_of(call("a"))
    assert digest_of(wait()) != digest_of(wait(NEXT_DAY))
