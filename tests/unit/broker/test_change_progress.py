"""When a change is told to be blocked, and what is no news."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from broker.change_progress import EVENT, Progress, progress, said
from broker.ledger import LedgerStep, Move, is_true_everywhere
from broker.store import Position
from broker.store.holds import Hold, HoldKind
from broker.store.ledgers import Ledger
from broker.store.steps import Standing
from canonical.events import EVENTS
from canonical.operations import StepKind
from canonical.own_work import ChangeBlocker, ChangeProgressed

LEDGER = Ledger(
    id=1,
    key="engineering-change/ECO-7",
    title="New shaft",
    version=4,
    state="open",
    subscription="engineering-change",
    scope="change",
    lane="standard",
    source="plm",
    correlation_id="story",
    position=Position(datetime(2026, 3, 2, tzinfo=UTC), 1),
)


def step(
    number: int,
    kind: StepKind,
    state: str,
    system: str = "erp",
    *,
    generation: int = 1,
    verb: str = "put-item",
) -> LedgerStep:
    return LedgerStep(
        number, f"1010|{system}|item|P-{number}|{verb}", generation, kind, state, 1, b"", ()
    )


def at(ledger: Ledger, *steps: LedgerStep, has_ended: bool = False) -> Progress:
    return progress(ledger, steps, (), has_ended=has_ended)


QUESTION = step(1, "approval", "ready", "quality")
FAILED = step(2, "call", "failed")
FACT = step(3, "wait", "waiting", "layshaft")
BEHIND = step(4, "call", "waiting")


@pytest.mark.parametrize("standing", [QUESTION, FAILED, FACT])
def test_it_is_blocked_where_somebody_has_to_act_and_nothing_goes_on(standing: LedgerStep) -> None:
    assert at(LEDGER, standing, BEHIND) == Progress("blocked", (standing,))


@pytest.mark.parametrize("state", ["ready", "in_flight", "in_doubt"])
def test_a_call_that_is_made_goes_on_beside_a_question(state: str) -> None:
    assert at(LEDGER, QUESTION, step(5, "call", state)).status == "started"


def test_a_day_that_is_waited_for_blocks_nothing() -> None:
    day = msgspec.structs.replace(FACT, wake_at=datetime(2026, 4, 1, tzinfo=UTC))
    assert at(LEDGER, day, BEHIND) == Progress("started")


def test_what_moves_in_the_same_moment_counts_as_it_is_then() -> None:
    freed = Move(BEHIND, "ready")
    assert progress(LEDGER, [QUESTION, BEHIND], [freed], has_ended=False) == Progress("started")


def test_a_former_form_of_a_step_blocks_nothing() -> None:
    again = msgspec.structs.replace(FAILED, id=9, generation=2, state="done")
    assert at(LEDGER, FAILED, again, BEHIND) == Progress("started")


def test_a_paused_change_is_blocked_by_who_paused_it() -> None:
    words = "wrong drawing, by eve since 2026-03-02 00:00:00 UTC"
    paused = msgspec.structs.replace(
        LEDGER, paused="paused by eve: wrong drawing", paused_by="eve", pause_words=words
    )
    found = at(paused, step(5, "call", "in_flight"))
    assert found == Progress("blocked", paused="paused by eve: wrong drawing")
    assert said(paused, found, {}, "").blocked_by == (ChangeBlocker("eve", f"held: {words}", 0),)


def hold(kind: HoldKind, value: str, number: int = 1, by: str = "eve") -> Hold:
    since = datetime(2026, 3, 2, tzinfo=UTC)
    return Hold(number, kind, value, "maintenance", by, since, None, "", "")


@pytest.mark.parametrize("state", ["ready", "in_doubt"])
@pytest.mark.parametrize(
    "stopped", [hold("system", "erp"), hold("plant", "1010"), hold("flow", "engineering-change")]
)
def test_what_people_hold_does_not_go_on_and_is_their_turn(stopped: Hold, state: str) -> None:
    steps = [QUESTION, BEHIND, step(5, "call", state), step(6, "call", state)]
    found = progress(LEDGER, steps, (), has_ended=False, holds=[stopped])
    assert found == Progress("blocked", (QUESTION,), ((stopped, 2),))
    asks = {1: Standing("quality", "May it be bought?")}
    assert said(LEDGER, found, asks, "").blocked_by == (
        ChangeBlocker("quality", "May it be bought?", 1),
        ChangeBlocker("eve", "held: maintenance, by eve since 2026-03-02 00:00:00 UTC", 2),
    )


@pytest.mark.parametrize(
    "other",
    [
        step(6, "call", "in_flight"),
        step(6, "call", "ready", "procurement"),
        step(6, "call", "ready", verb="read-coverage"),
    ],
)
def test_it_goes_on_as_long_as_a_call_does_that_no_hold_is_about(other: LedgerStep) -> None:
    steps = [step(5, "call", "ready"), other]
    found = progress(LEDGER, steps, (), has_ended=False, holds=[hold("system", "erp")])
    assert found == Progress("started")


def test_a_hold_on_something_else_blocks_nothing() -> None:
    holds = [hold("system", "plm"), hold("plant", "2010"), hold("flow", "contract")]
    found = progress(LEDGER, [step(5, "call", "ready")], (), has_ended=False, holds=holds)
    assert found == Progress("started")


def test_it_is_news_that_another_hold_keeps_it_and_none_that_fewer_calls_wait() -> None:
    one, two = hold("system", "erp"), hold("plant", "1010", 2, "ada")

    def mark(calls: int, *holds: Hold) -> str:
        steps = [step(number, "call", "ready") for number in range(calls)]
        return progress(LEDGER, steps, (), has_ended=False, holds=holds).mark

    assert mark(1, one) == mark(3, one)
    assert len({mark(1, one), mark(1, two), mark(1, one, two), mark(1)}) == 4


@pytest.mark.parametrize("state", ["ready", "failed"])
def test_it_is_complete_whether_or_not_its_plm_can_be_told(state: str) -> None:
    report = step(8, "call", state, "plm", verb="report-implementation")
    assert at(LEDGER, step(5, "call", "done"), report) == Progress("complete")
    assert at(LEDGER, QUESTION, report) == Progress("blocked", (QUESTION,))


@pytest.mark.parametrize(
    ("steps", "is_so"),
    [
        ([("put-item", "done"), ("report-implementation", "failed")], True),
        ([("put-item", "skipped"), ("reconcile", "waiting"), ("approve", "superseded")], True),
        ([("put-item", "done")], True),
        ([("put-item", "failed"), ("report-implementation", "waiting")], False),
        ([("put-item", "done"), ("approve", "ready"), ("reconcile", "done")], False),
        # Reports of nothing: nothing was ever true.
        ([("report-implementation", "failed")], False),
        ([], False),
    ],
)
def test_everything_is_true_where_only_reports_are_left(
    steps: list[tuple[str, str]], is_so: bool
) -> None:
    named = [(f"1010|x|item|P-1|{verb}", state) for verb, state in steps]
    assert is_true_everywhere(named) is is_so


@pytest.mark.parametrize("end", ["complete", "cancelled"])
def test_what_has_ended_is_told_as_it_ends(end: str) -> None:
    ledger = msgspec.structs.replace(LEDGER, ends_as=end)
    assert at(ledger, has_ended=True).status == end
    assert at(msgspec.structs.replace(ledger, state=end), BEHIND).status == end


def test_each_owner_has_the_oldest_of_what_waits_for_them() -> None:
    second = step(6, "approval", "ready", "quality")
    found = at(LEDGER, second, FACT, QUESTION)
    words = {
        1: Standing("quality", "May it be bought?"),
        3: Standing("sourcing", "No contract is known"),
        6: Standing("quality", "And this one?"),
    }
    assert said(LEDGER, found, words, "CHG9") == ChangeProgressed(
        "ECO-7",
        4,
        "New shaft",
        "blocked",
        (
            ChangeBlocker("quality", "May it be bought?", 2),
            ChangeBlocker("sourcing", "No contract is known", 1),
        ),
        "CHG9",
    )
    assert EVENTS[EVENT].data is ChangeProgressed
    assert EVENTS[EVENT].on_request


def test_it_is_news_that_somebody_else_is_waited_for_and_none_that_less_waits() -> None:
    second = step(6, "approval", "ready", "quality")
    both = at(LEDGER, QUESTION, second).mark
    assert at(LEDGER, QUESTION).mark == both
    assert at(LEDGER, second).mark != both
    assert at(LEDGER, QUESTION, FACT).mark != both
