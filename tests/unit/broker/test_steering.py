"""What people do to steps and ledgers: what is skipped, what runs anew, and laws over all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.ledger import AT_TARGET, NOT_SENT, SETTLED, LedgerStep, Move, current, is_complete
from broker.steering import behind, named, restart, skip
from canonical.effects import Step
from canonical.errors import Conflict, Rejected
from tests.unit.broker.test_ledger import Ledger, a_step, identity, plans

PAUSED = "paused by ada: audit"


class Steered(Ledger):
    """A ledger that people steer. ran: identities whose call was begun, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def skip(self, which: str) -> None:
        """The step is skipped, and what follows has happened."""
        self._write([skip(named(self.as_read(), which), "skipped by ada: not needed")])
        self.advance()

    def restart(self, which: str) -> None:
        """The step runs anew, and what follows has happened."""
        again = restart(self.as_read(), named(self.as_read(), which))
        self._write([Move(step, "waiting") for step in again.returns])
        for step in again.repeats:
            number = len(self.steps) + 1
            self.steps[number] = msgspec.structs.replace(
                step,
                id=number,
                generation=step.generation + 1,
                state="waiting",
                version=1,
                reason="",
                withdrawn=False,
            )
        self.advance()

    def pause(self) -> None:
        self.paused = PAUSED
        self.advance()

    def resume(self) -> None:
        self.paused = ""
        self.advance()

    def begin(self, step: LedgerStep) -> None:
        """A call was claimed, or an approval is looked at."""
        assert self.steps[step.id].state == "ready"
        self.ran.append(step.identity)
        self._write([Move(step, "in_flight")])

    def now(self) -> Mapping[str, LedgerStep]:
        return current(self.as_read())


def steered(*steps: Step) -> Steered:
    ledger = Steered()
    ledger.plan(*steps)
    return ledger


def done(ledger: Steered, *names: str) -> None:
    for name in names:
        ledger.become(name, "done")


# Which step is meant


def test_a_step_is_known_by_its_number_and_by_its_identity() -> None:
    steps = steered(a_step("a"), a_step("b")).as_read()
    assert named(steps, "2").identity == identity("b")
    assert named(steps, identity("b")).id == 2


def test_what_no_step_is_called_is_refused_with_what_is_near() -> None:
    steps = steered(a_step("a"), a_step("b")).as_read()
    with pytest.raises(Rejected, match="not-found") as refused:
        named(steps, identity("a").replace("erp", "erb"))
    assert identity("a") in refused.value.remedy
    for nothing in ("3", "", "-1", "²"):
        with pytest.raises(Rejected, match="not-found"):
            named(steps, nothing)


def test_a_former_form_of_a_step_is_not_meant() -> None:
    ledger = steered(a_step("a", "old"))
    done(ledger, "a")
    ledger.plan(a_step("a", "new"))
    with pytest.raises(Conflict, match="not-current") as refused:
        named(ledger.as_read(), "1")
    assert "newer form: 2" in refused.value.what
    assert named(ledger.as_read(), identity("a")).id == 2


# Skip


@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
def test_what_is_at_its_target_is_not_skipped(state: str) -> None:
    ledger = steered(a_step("a"))
    ledger.become("a", state)
    with pytest.raises(Conflict, match="at-target") as refused:
        ledger.skip("1")
    assert identity("a") in refused.value.where


@pytest.mark.parametrize("state", ["done", "skipped", "cancelled", "superseded"])
def test_what_is_settled_is_not_skipped(state: str) -> None:
    ledger = steered(a_step("a"))
    ledger.become("a", state)
    with pytest.raises(Conflict, match="settled"):
        ledger.skip("1")


def test_a_decision_is_not_skipped() -> None:
    ledger = steered(a_step("q", kind="approval"), a_step("a"))
    with pytest.raises(Rejected, match="approval-not-skipped") as refused:
        ledger.skip("1")
    assert refused.value.remedy == "Decide it: layshaft task show 1"


def test_a_wait_that_is_skipped_lets_what_stands_behind_it_go_on() -> None:
    wait = a_step("w", kind="wait")
    ledger = steered(wait, a_step("a", after=(wait.identity,)))
    ledger.skip(wait.identity)
    assert ledger.states() == {"w": "skipped", "a": "ready"}
    ledger.restart(wait.identity)
    assert ledger.states() == {"w": "waiting", "a": "waiting"}


# Restart


def test_what_is_behind_a_step_is_found_over_any_number_of_steps() -> None:
    steps = steered(
        a_step("a"), a_step("b", after="a"), a_step("c", after="b"), a_step("d"),
        a_step("e", after=("c", "d")),
    ).now()  # fmt: skip
    assert [s.identity for s in behind(steps, identity("b"))] == [identity("c"), identity("e")]
    assert behind(steps, identity("e")) == ()


def test_a_step_that_was_done_runs_anew_with_all_that_follows_it() -> None:
    ledger = steered(a_step("a"), a_step("b", after="a"), a_step("c", after="b"), a_step("d"))
    done(ledger, "a", "b", "c", "d")
    before = {number: step.digest for number, step in ledger.steps.items()}
    ledger.restart(identity("b"))
    assert ledger.states() == {"a": "done", "b": "ready", "c": "waiting", "d": "done"}
    assert ledger.generations("b") == ["done", "ready"]
    assert ledger.steps[5].digest == before[2]
    done(ledger, "b", "c")
    assert is_complete(step.state for step in ledger.now().values())


def test_what_failed_or_was_skipped_runs_anew_in_place() -> None:
    ledger = steered(a_step("a"), a_step("b", after="a"), a_step("c", after="b"))
    done(ledger, "a")
    ledger.become("b", "failed")
    assert ledger.states() == {"a": "done", "b": "failed", "c": "held"}
    ledger.restart("2")
    assert ledger.states() == {"a": "done", "b": "ready", "c": "waiting"}
    ledger.skip("2")
    done(ledger, "c")
    ledger.restart("2")
    assert ledger.states() == {"a": "done", "b": "ready", "c": "waiting"}
    assert ledger.generations("b") == ["ready"]
    assert ledger.generations("c") == ["done", "waiting"]


def test_decisions_facts_and_announcements_that_follow_stay_as_they_are() -> None:
    question = a_step("q", kind="approval", after="a")
    told = a_step("n", kind="announce", after="b")
    ledger = steered(a_step("a"), question, a_step("b", after=(question.identity,)), told)
    done(ledger, "a")
    ledger.become("q", "done", "approval")
    done(ledger, "b")
    assert ledger.states() == {"a": "done", "q": "done", "b": "done", "n": "done"}
    ledger.restart(identity("a"))
    assert ledger.states() == {"a": "ready", "q": "done", "b": "waiting", "n": "done"}


@pytest.mark.parametrize("verdict", ["done", "failed"])
def test_a_decision_that_is_named_is_asked_for_anew(verdict: str) -> None:
    question = a_step("q", kind="approval")
    ledger = steered(question, a_step("a", after=(question.identity,)))
    ledger.become("q", verdict, "approval")
    if verdict == "done":
        done(ledger, "a")
    ledger.restart(question.identity)
    assert ledger.states() == {"q": "ready", "a": "waiting"}
    (_, anew) = [s for s in ledger.as_read() if s.identity == question.identity]
    assert anew.generation == 2
    # The decision that was taken stays on record with its own form of the question.
    assert ledger.steps[1].state == {"done": "done", "failed": "superseded"}[verdict]


def test_an_announcement_that_is_named_is_made_once_more() -> None:
    told = a_step("n", kind="announce", after="a")
    ledger = steered(a_step("a"), told)
    done(ledger, "a")
    ledger.restart(told.identity)
    assert [s.state for s in ledger.as_read() if s.identity == told.identity] == ["done", "done"]


@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
@pytest.mark.parametrize("which", ["a", "b"])
def test_nothing_runs_anew_while_one_of_it_is_at_its_target(state: str, which: str) -> None:
    ledger = steered(a_step("a"), a_step("b", after="a"), a_step("c"))
    done(ledger, "a", "b", "c")
    ledger.become(which, state)
    before = ledger.as_read()
    with pytest.raises(Conflict, match="at-target") as refused:
        ledger.restart(identity("a"))
    assert identity(which) in refused.value.where
    assert ledger.as_read() == before
    ledger.restart(identity("c"))


@pytest.mark.parametrize("state", ["waiting", "ready", "held", "cancelled", "superseded"])
def test_what_has_not_come_to_an_end_does_not_run_anew(state: str) -> None:
    ledger = steered(a_step("a"))
    ledger._write([Move(ledger.steps[1], state, "why")])
    with pytest.raises(Conflict, match="not-run"):
        ledger.restart("1")


def test_a_fact_that_is_known_stays_known() -> None:
    wait = a_step("w", kind="wait")
    ledger = steered(wait, a_step("a", after=(wait.identity,)))
    ledger._write([Move(ledger.steps[1], "done")])
    with pytest.raises(Conflict, match="its fact is known"):
        ledger.restart(wait.identity)


def test_what_runs_anew_and_leaves_the_plan_is_left_behind() -> None:
    ledger = steered(a_step("a"), a_step("b"))
    done(ledger, "a", "b")
    ledger.restart(identity("a"))
    ledger.plan(a_step("b"))
    assert ledger.generations("a") == ["superseded", "cancelled"]


def test_a_paused_ledger_runs_nothing_anew_before_it_goes_on() -> None:
    ledger = steered(a_step("a"), a_step("b", after="a"))
    done(ledger, "a", "b")
    ledger.pause()
    ledger.restart(identity("a"))
    assert ledger.states() == {"a": "held", "b": "waiting"}
    ledger.resume()
    assert ledger.states() == {"a": "ready", "b": "waiting"}


# Laws over any plan and any people


class Doing(msgspec.Struct, frozen=True):
    """Something that happens to a ledger; number: to which of the steps that it may happen to."""

    what: str
    number: int


DOINGS = st.lists(
    st.builds(
        Doing,
        st.sampled_from(
            ["begin", "begin", "begin", "done", "done", "done", "failed", "lost", "again",
             "pause", "resume", "skip", "restart"]
        ),
        st.integers(0, 7),
    ),
    max_size=40,
)  # fmt: skip


def do(ledger: Steered, doing: Doing) -> None:
    """It has happened, where there is a step that it may happen to."""
    steps = list(ledger.now().values())
    match doing.what:
        case "pause":
            ledger.pause()
        case "resume":
            ledger.resume()
        case "begin":
            for step in _one_of(steps, doing, {"ready"}):
                if step.kind == "approval":
                    ledger._write([Move(step, "done")])
                    ledger.advance()
                else:
                    ledger.begin(step)
        case "done" | "failed":
            for step in _one_of(steps, doing, AT_TARGET):
                ledger._write([Move(step, doing.what)])
                ledger.advance()
        case "lost":
            for step in _one_of(steps, doing, {"in_flight"}):
                ledger._write([Move(step, "in_doubt")])
        case "again":
            for step in _one_of(steps, doing, AT_TARGET):
                ledger._write([Move(step, "ready")])
                ledger.advance()
        case "skip":
            for step in _one_of(steps, doing, NOT_SENT | {"failed"}):
                if step.kind != "approval":
                    ledger.skip(step.identity)
        case "restart":
            for step in _one_of(steps, doing, {"done", "failed", "skipped"}):
                if not any(s.state in AT_TARGET for s in behind(ledger.now(), step.identity)):
                    ledger.restart(step.identity)


def _one_of(
    steps: Iterable[LedgerStep], doing: Doing, states: Iterable[str]
) -> Iterable[LedgerStep]:
    found = [step for step in steps if step.state in states]
    return found[doing.number % len(found) :][:1] if found else ()


@given(plan=plans(), doings=DOINGS)
@settings(max_examples=300)
def test_every_step_begins_after_what_it_depends_on_and_none_in_a_pause(
    plan: tuple[Step, ...], doings: list[Doing]
) -> None:
    ledger = steered(*plan)
    for doing in doings:
        before = {s.id: s.state for s in ledger.as_read()}
        do(ledger, doing)
        now = ledger.now()
        for step in now.values():
            may_begin = step.state == "ready" or (step.kind == "announce" and step.state == "done")
            if may_begin and before.get(step.id) != step.state:
                assert all(now[d].state in SETTLED for d in _before(step, now))
                assert not ledger.paused
            if ledger.paused:
                assert step.state != "ready"


def _before(step: LedgerStep, now: Mapping[str, LedgerStep]) -> Iterable[str]:
    """What stands before a step: its dependencies, and what stands before these where they are
    done and no calls."""
    for needed in step.depends_on:
        yield needed
        if now[needed].kind != "call" and now[needed].state == "done":
            yield from _before(now[needed], now)


@given(plan=plans(), doings=DOINGS)
@settings(max_examples=300)
def test_a_resumed_ledger_ends_as_if_it_had_never_been_paused(
    plan: tuple[Step, ...], doings: list[Doing]
) -> None:
    paused, straight = steered(*plan), steered(*plan)
    for doing in doings:
        if doing.what in ("pause", "resume"):
            do(paused, doing)
        elif doing.what in ("skip", "restart"):
            # Of both, or of none: what is ready in one of them may be held in the other.
            _to_both(paused, straight, doing)
    assert _ended(paused) == _ended(straight)
    assert is_complete(paused.states().values())


def _to_both(paused: Steered, straight: Steered, doing: Doing) -> None:
    for step in _one_of(list(straight.now().values()), doing, {"ready", "waiting", "skipped"}):
        if step.kind == "approval":
            return
        for ledger in (paused, straight):
            if step.state == "skipped":
                ledger.restart(step.identity)
            else:
                ledger.skip(step.identity)


def _ended(ledger: Steered) -> dict[str, str]:
    """The states of the current steps once everything that may be done is done."""
    ledger.resume()
    while ready := [s for s in ledger.now().values() if s.state == "ready"]:
        ledger._write([Move(ready[0], "done")])
        ledger.advance()
    return ledger.states()
