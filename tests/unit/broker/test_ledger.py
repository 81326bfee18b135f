"""Laws of the change ledger: what a new plan changes, and what may happen next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ledger import (
    AT_TARGET,
    LEFT_BEHIND,
    NO_LONGER_PLANNED,
    NOT_SENT,
    REPLACED,
    SETTLED,
    LedgerStep,
    Move,
    advance,
    changed_cells,
    current,
    diff,
    digest_of,
    is_complete,
    lapses,
    open_questions,
    questions_of,
    takes,
    watched_fact,
    withdrawn_questions,
)
from canonical.effects import Plan, Step
from canonical.operations import (
    Announce,
    Approve,
    AwaitFact,
    ExtendToPlant,
    Operation,
    ReadObject,
    ReadSupplier,
    StepKind,
)

STATES = ("waiting", "held", "ready", "in_flight", "in_doubt", "done", "failed", "skipped",
          "cancelled", "superseded")  # fmt: skip


# Plans and ledgers, written shortly


def operation(kind: StepKind, content: str) -> Operation:
    match kind:
        case "call":
            return ExtendToPlant("S", "c", "buy", "H87", content)
        case "approval":
            return Approve("question", content)
        case "wait":
            return AwaitFact("supplier/S", 0, content)
        case "announce":
            return Announce(
                "approval.requested", "order/1", msgspec.Raw(b'"' + content.encode() + b'"')
            )


def a_step(
    name: str, content: str = "", *, after: Iterable[str] = (), kind: StepKind = "call"
) -> Step:
    """A planned step; `after` names steps of kind call."""
    made = Step("P1", "erp", "supplier", name, operation(kind, content))
    before = tuple(a if "|" in a else identity(a) for a in after)
    return msgspec.structs.replace(made, depends_on=before)


def identity(name: str, kind: StepKind = "call") -> str:
    return a_step(name, kind=kind).identity


def a_plan(*steps: Step) -> Plan:
    return Plan("order/1", 1, "", steps)


class Ledger:
    """A ledger kept as the store keeps it: what the functions return is written down. paused: why
    nothing of it begins."""

    def __init__(self) -> None:
        self.steps: dict[int, LedgerStep] = {}
        self.paused = ""

    def plan(self, *steps: Step) -> None:
        """The plan is applied and everything that may happen has happened."""
        changes = diff(self.as_read(), a_plan(*steps))
        self._write(changes.moves)
        for replace in changes.replaces:
            self.steps[replace.old.id] = msgspec.structs.replace(
                replace.old,
                digest=replace.digest,
                depends_on=replace.step.depends_on,
                watched=watched_fact(replace.step),
                state="waiting",
                version=replace.old.version + 1,
            )
        for insert in changes.inserts:
            number = len(self.steps) + 1
            self.steps[number] = LedgerStep(
                id=number,
                identity=insert.step.identity,
                generation=insert.generation,
                kind=insert.step.kind,
                state="waiting",
                version=1,
                digest=insert.digest,
                depends_on=insert.step.depends_on,
                watched=watched_fact(insert.step),
                lapses=lapses(insert.step),
            )
        for step, withdrawn in changes.withdrawals:
            self.steps[step.id] = msgspec.structs.replace(self.steps[step.id], withdrawn=withdrawn)
        for step, depends_on in changes.reorders:
            kept = self.steps[step.id]
            self.steps[step.id] = msgspec.structs.replace(kept, depends_on=depends_on)
        self.advance()

    def advance(self) -> tuple[Move, ...]:
        """Everything that may happen has happened."""
        moves = advance(self.as_read(), paused=self.paused)
        self._write(moves)
        return moves

    def become(self, name: str, state: str, kind: StepKind = "call") -> tuple[Move, ...]:
        """The current step of that name went to a state; what follows has happened."""
        step = current(self.as_read())[identity(name, kind)]
        self._write([Move(step, state)])
        return self.advance()

    def as_read(self) -> list[LedgerStep]:
        return list(self.steps.values())

    def states(self) -> dict[str, str]:
        """State of the current step by object name."""
        return {i.split("|")[3]: s.state for i, s in current(self.as_read()).items()}

    def generations(self, name: str) -> list[str]:
        """States of all steps of that name, oldest first."""
        return [s.state for s in self.as_read() if s.identity == identity(name)]

    def _write(self, moves: Iterable[Move]) -> None:
        for move in moves:
            step = self.steps[move.step.id]
            assert (step.state, step.version) == (move.step.state, move.step.version)
            self.steps[step.id] = msgspec.structs.replace(
                step, state=move.state, reason=move.reason, version=step.version + 1
            )


def planned(*steps: Step) -> Ledger:
    ledger = Ledger()
    ledger.plan(*steps)
    return ledger


# What a new plan changes


def cells(ledger: Ledger, *steps: Step) -> tuple[str, ...]:
    """Names of what stands in the ledger and that a plan of these steps would change."""
    found = changed_cells(diff(ledger.as_read(), a_plan(*steps)))
    return tuple(each.split("|")[3] for each in found)


@pytest.mark.parametrize("state", STATES[:-2])
def test_other_content_of_a_call_changes_what_stands_there(state: str) -> None:
    ledger = planned(a_step("a", "old"), a_step("b"))
    ledger.become("a", state)
    assert cells(ledger, a_step("a", "new"), a_step("b")) == ("a",)


@pytest.mark.parametrize("state", STATES[:-2])
def test_the_end_of_a_call_changes_what_stands_there(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", state)
    assert cells(ledger, a_step("b")) == ("a",)


def test_what_is_added_and_what_is_in_another_order_changes_nothing_that_stands_there() -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", "done")
    assert cells(ledger, a_step("b"), a_step("a", after="b"), a_step("c", after="a")) == ()


def test_the_end_of_a_wait_and_of_an_open_question_changes_nothing_that_stands_there() -> None:
    wait, question = a_step("w", kind="wait"), a_step("q", kind="approval")
    before = (wait.identity, question.identity)
    ledger = planned(wait, question, a_step("a", after=before))
    assert cells(ledger, a_step("a")) == ()
    # In other words it is asked anew, of whom nobody has answered yet.
    assert cells(ledger, wait, a_step("q", "reworded", kind="approval"), a_step("a")) == ()


@pytest.mark.parametrize("kind", ["approval", "announce"])
def test_what_was_decided_or_told_and_would_be_again_changes_what_stands_there(
    kind: StepKind,
) -> None:
    behind = a_step("a", after=[identity("q", kind)])
    ledger = planned(a_step("q", kind=kind), behind)
    ledger.become("q", "done", kind)
    assert cells(ledger, a_step("q", "reworded", kind=kind), behind) == ("q",)


def test_steps_without_dependencies_are_ready_and_the_others_wait() -> None:
    ledger = planned(a_step("a"), a_step("b", after="a"), a_step("c", after=("a", "b")))
    assert ledger.states() == {"a": "ready", "b": "waiting", "c": "waiting"}


@pytest.mark.parametrize("state", STATES[:-2])
def test_the_same_plan_again_changes_nothing(state: str) -> None:
    steps = (a_step("a"), a_step("b", after="a"), a_step("q", kind="approval"))
    ledger = planned(*steps)
    ledger.become("a", state)
    before = ledger.as_read()
    changes = diff(before, a_plan(*steps))
    assert changes == type(changes)((), (), (), ())
    ledger.plan(*steps)
    assert ledger.as_read() == before


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "failed"])
def test_other_content_replaces_in_place_what_was_not_applied(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b", "old", after="a"))
    ledger.become("b", state)
    ledger.plan(a_step("a"), a_step("b", "new", after="a"))
    assert len(ledger.steps) == 2
    assert ledger.steps[2].digest == digest_of(a_step("b", "new"))
    assert ledger.states()["b"] == "waiting"


@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
def test_other_content_waits_for_the_end_of_what_is_at_the_target(state: str) -> None:
    ledger = planned(a_step("a", "old"), a_step("b", after="a"))
    ledger.become("a", state)
    ledger.plan(a_step("a", "new"), a_step("b", after="a"))
    assert ledger.generations("a") == [state, "waiting"]
    ledger.plan(a_step("a", "newer"), a_step("b", after="a"))
    assert ledger.generations("a") == [state, "waiting"]
    ledger._write([Move(ledger.steps[1], "done")])
    ledger.advance()
    assert ledger.generations("a") == ["done", "ready"]
    assert ledger.states()["b"] == "waiting"
    ledger.become("a", "done")
    assert ledger.states() == {"a": "done", "b": "ready"}


def a_read(asked: int) -> Step:
    """A read of supplier S that the message at that place of the log asked for."""
    return Step("", "erp", "supplier", "S", ReadObject("supplier", "S", "supplier/S", asked, "c"))


def test_a_read_that_was_not_sent_is_joined() -> None:
    ledger = planned(a_read(1))
    ledger.plan(a_read(2))
    assert [(s.state, s.digest) for s in ledger.as_read()] == [("ready", digest_of(a_read(1)))]


@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
def test_what_is_asked_while_a_read_is_out_is_read_once_more_after_it(state: str) -> None:
    ledger = planned(a_read(1))
    ledger._write([Move(ledger.steps[1], state)])
    for asked in (2, 3, 4):
        ledger.plan(a_read(asked))
    assert [s.state for s in ledger.as_read()] == [state, "waiting"]
    ledger._write([Move(ledger.steps[1], "done")])
    ledger.advance()
    assert [s.state for s in ledger.as_read()] == ["done", "ready"]


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
@pytest.mark.parametrize("asked", [1, 2])
def test_a_read_that_has_ended_is_asked_for_anew_in_place(state: str, asked: int) -> None:
    ledger = planned(a_read(1))
    ledger._write([Move(ledger.steps[1], state)])
    ledger.plan(a_read(asked))
    assert [(s.state, s.digest) for s in ledger.as_read()] == [("ready", digest_of(a_read(asked)))]


@pytest.mark.parametrize("end", ["ready", "failed"])
def test_old_content_that_was_not_applied_ends_where_a_newer_one_waits(end: str) -> None:
    ledger = planned(a_step("a", "old"))
    ledger.become("a", "in_flight")
    ledger.plan(a_step("a", "new"))
    ledger._write([Move(ledger.steps[1], end)])
    ledger.advance()
    assert ledger.generations("a") == ["superseded", "ready"]


def test_other_content_after_the_end_is_a_follow_up() -> None:
    ledger = planned(a_step("a", "old"), a_step("b", after="a"))
    ledger.become("a", "done")
    assert ledger.states() == {"a": "done", "b": "ready"}
    ledger.plan(a_step("a", "new"), a_step("b", after="a"))
    assert ledger.generations("a") == ["done", "ready"]
    # What was free to go waits for the correction.
    assert ledger.states()["b"] == "waiting"


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "failed"])
def test_a_step_that_left_the_plan_unsent_is_cancelled(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("b", state)
    ledger.plan(a_step("a"))
    assert ledger.states() == {"a": "ready", "b": "cancelled"}


@pytest.mark.parametrize(
    ("end", "expected"),
    [("done", "superseded"), ("ready", "cancelled"), ("failed", "cancelled")],
)
@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
def test_a_step_that_left_the_plan_at_its_target_is_decided_on_when_it_is_back(
    state: str, end: str, expected: str
) -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", state)
    ledger.plan(a_step("b"))
    assert ledger.states()["a"] == state
    ledger.become("a", end)
    assert ledger.states()["a"] == expected


def test_a_step_that_is_planned_again_before_it_is_back_is_kept() -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", "in_flight")
    ledger.plan(a_step("b"))
    ledger.plan(a_step("a"), a_step("b"))
    ledger.become("a", "ready")
    assert ledger.states()["a"] == "ready"
    assert len(ledger.steps) == 2


def test_a_call_that_was_done_and_left_the_plan_is_left_behind_once() -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", "done")
    changes = diff(ledger.as_read(), a_plan(a_step("b")))
    assert [(m.step.identity, m.state) for m in changes.moves] == [(identity("a"), "superseded")]
    ledger.plan(a_step("b"))
    assert diff(ledger.as_read(), a_plan(a_step("b"))).moves == ()


def test_what_was_taken_out_and_is_planned_again_is_a_new_generation() -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.plan(a_step("b"))
    ledger.plan(a_step("a"), a_step("b"))
    assert ledger.generations("a") == ["cancelled", "ready"]


def test_a_wait_that_left_the_plan_is_done_and_frees_what_follows() -> None:
    wait = a_step("w", kind="wait")
    ledger = planned(wait, a_step("a", after=(wait.identity,)))
    assert ledger.states() == {"w": "waiting", "a": "waiting"}
    ledger.plan(a_step("a"))
    assert ledger.states() == {"w": "done", "a": "ready"}


def test_an_approval_that_was_given_stays_given_and_other_content_asks_again() -> None:
    asked = a_step("q", "old", kind="approval")
    ledger = planned(asked)
    ledger.become("q", "done", "approval")
    ledger.plan(asked)
    assert ledger.states() == {"q": "done"}
    ledger.plan(a_step("q", "new", kind="approval"))
    assert ledger.states() == {"q": "ready"}
    assert [s.state for s in ledger.as_read()] == ["done", "ready"]


def test_a_question_of_one_signature_has_the_digest_it_had_before_there_were_several() -> None:
    asked = msgspec.structs.replace(
        a_step("q", kind="approval"), operation=Approve("question", "May it?", ("items: A",))
    )
    content = b'{"type":"approve","question":"question","text":"May it?","evidence":["items: A"]}'
    assert digest_of(asked) == hashlib.sha256(content).digest()
    signed_by_two = msgspec.structs.replace(
        asked, operation=Approve("question", "May it?", ("items: A",), 2)
    )
    assert digest_of(signed_by_two) != digest_of(asked)


def test_other_dependencies_are_taken_over_in_place() -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.plan(a_step("a"), a_step("b", after="a"))
    assert ledger.states() == {"a": "ready", "b": "waiting"}
    assert len(ledger.steps) == 2


def test_the_order_of_dependencies_is_no_change() -> None:
    ledger = planned(a_step("a"), a_step("b"), a_step("c", after=("a", "b")))
    changes = diff(
        ledger.as_read(), a_plan(a_step("a"), a_step("b"), a_step("c", after=("b", "a")))
    )
    assert changes.replaces == ()


# What may happen next


def test_a_chain_of_announcements_is_made_at_once_and_each_once() -> None:
    first = a_step("n1", kind="announce", after="a")
    second = a_step("n2", kind="announce", after=(first.identity,))
    ledger = planned(a_step("a"), first, second, a_step("b", after=(second.identity,)))
    moves = ledger.become("a", "done")
    assert sorted((m.step.identity, m.state) for m in moves) == sorted(
        [(first.identity, "done"), (second.identity, "done"), (identity("b"), "ready")]
    )
    assert ledger.advance() == ()


def test_a_wait_never_moves_by_itself() -> None:
    ledger = planned(a_step("w", kind="wait"))
    assert ledger.advance() == ()


def test_a_failed_approval_holds_what_follows_it_and_only_that() -> None:
    question = a_step("q", kind="approval")
    ledger = planned(
        question, a_step("a", after=(question.identity,)), a_step("b", after="a"), a_step("c")
    )
    ledger.become("q", "failed", "approval")
    assert ledger.states() == {"q": "failed", "a": "held", "b": "held", "c": "ready"}
    reasons = {s.identity: s.reason for s in ledger.as_read()}
    assert "1 step(s) before it" in reasons[identity("a")]


def test_what_was_held_goes_on_after_the_repair() -> None:
    ledger = planned(a_step("a", "bad"), a_step("b", after="a"), a_step("c", after="b"))
    ledger.become("a", "failed")
    ledger.plan(a_step("a", "good"), a_step("b", after="a"), a_step("c", after="b"))
    assert ledger.states() == {"a": "ready", "b": "waiting", "c": "waiting"}


def test_a_held_announcement_is_not_made() -> None:
    ledger = planned(a_step("a"), a_step("n", kind="announce", after="a"))
    ledger.become("a", "failed")
    assert ledger.states()["n"] == "held"


@pytest.mark.parametrize("state", STATES)
def test_a_ledger_is_complete_when_every_step_is_settled(state: str) -> None:
    assert is_complete(["done", state]) == (state in SETTLED)


def test_a_ledger_without_steps_is_complete() -> None:
    assert is_complete([])


def test_only_a_wait_awaits_a_fact() -> None:
    assert watched_fact(a_step("w", kind="wait")) == ("supplier/S", 0)
    assert watched_fact(a_step("a")) is None


def test_the_digest_is_that_of_what_is_asked_for() -> None:
    plain, later = a_step("a", "x"), a_step("a", "x", after="b")
    assert digest_of(plain) == digest_of(msgspec.structs.replace(later, owner="x", due_s=1))
    assert digest_of(plain) != digest_of(a_step("a", "y"))


# Laws over any plan

NAMES = "abcdefgh"
KINDS: tuple[StepKind, ...] = ("call", "call", "call", "approval", "announce")


@st.composite
def plans(draw: st.DrawFn) -> tuple[Step, ...]:
    """Plans without rings: a step depends on steps that stand before it."""
    chosen: list[Step] = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        before = draw(st.lists(st.sampled_from(chosen), unique_by=lambda s: s.identity)
                      if chosen else st.just([]))  # fmt: skip
        # Kind by name, so that two plans agree on identities.
        kind = KINDS[NAMES.index(name) % len(KINDS)]
        content = draw(st.sampled_from(["old", "new"]))
        chosen.append(a_step(name, content, after=[b.identity for b in before], kind=kind))
    return tuple(draw(st.permutations(chosen)))


def drawn_states(draw: st.DataObject, ledger: Ledger, states: Sequence[str] = STATES) -> None:
    """Every step has gone to some state, as results and people would bring it there."""
    for number in sorted(ledger.steps):
        step = ledger.steps[number]
        if step.kind in ("call", "approval"):
            state = draw.draw(st.sampled_from(states))
            ledger.steps[number] = msgspec.structs.replace(step, state=state)


def by_identity(ledger: Ledger) -> Mapping[str, LedgerStep]:
    return current(ledger.as_read())


@given(plan=plans(), data=st.data())
def test_nothing_is_ready_before_what_it_depends_on_is_settled(
    plan: tuple[Step, ...], data: st.DataObject
) -> None:
    ledger = planned(*plan)
    drawn_states(data, ledger)
    ledger.advance()
    now = by_identity(ledger)
    for step in now.values():
        if step.state == "ready":
            assert all(now[d].state in SETTLED for d in step.depends_on)


@given(plan=plans(), data=st.data())
def test_advancing_again_changes_nothing(plan: tuple[Step, ...], data: st.DataObject) -> None:
    ledger = planned(*plan)
    drawn_states(data, ledger)
    moves = ledger.advance()
    assert all(move.state != move.step.state for move in moves)
    assert len({move.step.id for move in moves}) == len(moves)
    assert ledger.advance() == ()


@given(first=plans(), second=plans(), data=st.data())
def test_planning_twice_is_planning_once(
    first: tuple[Step, ...], second: tuple[Step, ...], data: st.DataObject
) -> None:
    ledger = planned(*first)
    drawn_states(data, ledger, STATES[:-2])
    ledger.plan(*second)
    before = ledger.as_read()
    ledger.plan(*second)
    assert ledger.as_read() == before


@given(first=plans(), second=plans(), data=st.data())
def test_a_plan_never_touches_what_is_at_a_target_or_done(
    first: tuple[Step, ...], second: tuple[Step, ...], data: st.DataObject
) -> None:
    ledger = planned(*first)
    drawn_states(data, ledger, STATES[:-2])
    before = [s for s in ledger.as_read() if s.state in AT_TARGET or s.state == "done"]
    ledger.plan(*second)
    for step in before:
        after = ledger.steps[step.id]
        assert after.digest == step.digest
        assert after.state == step.state or (step.state, after.state) == ("done", "superseded")


@given(first=plans(), second=plans(), data=st.data())
def test_a_plan_never_has_two_calls_of_one_identity_under_way(
    first: tuple[Step, ...], second: tuple[Step, ...], data: st.DataObject
) -> None:
    ledger = planned(*first)
    drawn_states(data, ledger, STATES[:-2])
    ledger.plan(*second)
    sendable: dict[str, int] = {}
    for step in ledger.as_read():
        if step.kind == "call" and (step.state in AT_TARGET or step.state == "ready"):
            sendable[step.identity] = sendable.get(step.identity, 0) + 1
    assert all(count == 1 for count in sendable.values())


@given(first=plans(), second=plans(), data=st.data())
def test_finishing_what_is_ready_in_any_order_completes_the_ledger(
    first: tuple[Step, ...], second: tuple[Step, ...], data: st.DataObject
) -> None:
    ledger = planned(*first)
    drawn_states(data, ledger, ["ready", "in_flight", "in_doubt", "done"])
    ledger.plan(*second)
    announced: list[int] = []
    for _ in range(100):
        under_way = [s for s in ledger.as_read() if s.state in AT_TARGET or s.state == "ready"]
        if not under_way:
            break
        step = data.draw(st.sampled_from(under_way))
        ledger._write([Move(step, "done")])
        announced += [m.step.id for m in ledger.advance() if m.step.kind == "announce"]
    assert is_complete(s.state for s in by_identity(ledger).values())
    assert not any(s.state in NOT_SENT for s in ledger.as_read())
    assert len(announced) == len(set(announced))


def test_a_question_stands_on_the_newest_state_of_its_fact_and_is_not_asked_again() -> None:
    asked = msgspec.structs.replace(a_step("S", kind="approval"), fact="supplier/S", seen=1)
    ledger = Ledger()
    ledger.plan(asked)
    [before] = ledger.as_read()
    ledger.plan(msgspec.structs.replace(asked, seen=2))
    [after] = ledger.as_read()
    assert after.watched == ("supplier/S", 2)
    assert (after.state, after.digest) == ("ready", before.digest)


def test_a_wait_that_is_over_and_planned_again_waits_again() -> None:
    ledger = Ledger()
    ledger.plan(a_step("w", kind="wait"))
    ledger.plan()
    assert ledger.states() == {"w": "done"}
    ledger.plan(a_step("w", kind="wait"))
    assert [step.state for step in ledger.as_read()] == ["done", "waiting"]


def test_a_question_that_is_no_longer_asked_leaves_nothing_behind() -> None:
    read = Step("", "procurement", "supplier", "S", ReadSupplier("S"))
    ledger = Ledger()
    ledger.plan(read)
    [step] = ledger.as_read()
    ledger._write([Move(step, "done")])
    [move] = diff(ledger.as_read(), a_plan()).moves
    assert (move.state, move.reason) == ("superseded", "no longer asked")


# What people do


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "failed"])
def test_what_is_skipped_lets_what_follows_go_on(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b", after="a"), a_step("c", after="b"))
    ledger.become("a", state)
    ledger.become("a", "skipped")
    assert ledger.states() == {"a": "skipped", "b": "ready", "c": "waiting"}
    ledger.become("b", "done")
    ledger.become("c", "done")
    assert is_complete(s.state for s in ledger.as_read())


def test_what_is_skipped_stays_so_with_the_same_content_and_runs_with_another() -> None:
    ledger = planned(a_step("a", "old"), a_step("b", after="a"))
    ledger.become("a", "skipped")
    ledger.plan(a_step("a", "old"), a_step("b", after="a"))
    assert ledger.states() == {"a": "skipped", "b": "ready"}
    ledger.plan(a_step("a", "new"), a_step("b", after="a"))
    assert ledger.generations("a") == ["skipped", "ready"]
    assert ledger.states()["b"] == "waiting"


@pytest.mark.parametrize("kind", ["call", "wait", "announce"])
def test_what_is_skipped_and_leaves_the_plan_is_cancelled_and_comes_back_anew(
    kind: StepKind,
) -> None:
    step = a_step("a", kind=kind)
    ledger = planned(step, a_step("b", after=(step.identity,)))
    [asked] = [s for s in ledger.as_read() if s.identity == step.identity]
    ledger._write([Move(asked, "skipped")])
    ledger.plan(a_step("b"))
    assert ledger.states() == {"a": "cancelled", "b": "ready"}
    ledger.plan(step, a_step("b"))
    [*_, anew] = [s for s in ledger.as_read() if s.identity == step.identity]
    assert anew.generation == 2


def test_a_paused_ledger_holds_what_would_be_ready_and_nothing_behind_it() -> None:
    question, told = a_step("q", kind="approval"), a_step("n", kind="announce", after="a")
    ledger = planned(
        a_step("a"), a_step("b", after="a"), a_step("c"), question, told, a_step("d", after="c")
    )
    ledger.become("a", "in_flight")
    ledger.paused = "paused by ada: audit"
    ledger.advance()
    assert ledger.states() == {
        "a": "in_flight", "b": "waiting", "c": "held", "q": "held", "n": "waiting", "d": "waiting",
    }  # fmt: skip
    assert {s.reason for s in ledger.as_read() if s.state == "held"} == {"paused by ada: audit"}
    # What was under way ends, and what it sets free is held.
    ledger.become("a", "done")
    assert ledger.states() == {
        "a": "done", "b": "held", "c": "held", "q": "held", "n": "held", "d": "waiting",
    }  # fmt: skip
    ledger.paused = ""
    ledger.advance()
    assert ledger.states() == {
        "a": "done", "b": "ready", "c": "ready", "q": "ready", "n": "done", "d": "waiting",
    }  # fmt: skip


def test_a_failure_in_a_paused_ledger_is_told_from_the_pause() -> None:
    ledger = planned(a_step("a"), a_step("b", after="a"), a_step("c"), a_step("d", after="c"))
    ledger.become("a", "failed")
    ledger.paused = "paused by ada: audit"
    ledger.advance()
    assert ledger.states() == {"a": "failed", "b": "held", "c": "held", "d": "waiting"}
    reasons = {s.identity: s.reason for s in ledger.as_read()}
    assert "1 step(s) before it" in reasons[identity("b")]
    ledger.paused = ""
    ledger.advance()
    assert ledger.states() == {"a": "failed", "b": "held", "c": "ready", "d": "waiting"}


def test_a_plan_for_a_paused_ledger_changes_its_steps_and_starts_none() -> None:
    ledger = planned(a_step("a", "old"), a_step("b", after="a"))
    ledger.paused = "paused by ada: audit"
    ledger.advance()
    ledger.plan(a_step("a", "new"), a_step("c"), a_step("d", after="c"))
    assert ledger.states() == {"a": "held", "b": "cancelled", "c": "held", "d": "waiting"}
    assert ledger.steps[1].digest == digest_of(a_step("a", "new"))
    ledger.paused = ""
    ledger.advance()
    assert ledger.states() == {"a": "ready", "b": "cancelled", "c": "ready", "d": "waiting"}


@pytest.mark.parametrize(
    ("plan_version", "is_taken_back", "expected"),
    [(1, False, False), (2, False, True), (3, False, True),
     (1, True, False), (2, True, False), (3, True, True)],
)  # fmt: skip
def test_once_a_person_took_it_back_only_a_newer_plan_is_taken(
    plan_version: int, is_taken_back: bool, expected: bool
) -> None:
    plan = msgspec.structs.replace(a_plan(), version=plan_version)
    assert takes(plan, version=2, is_taken_back=is_taken_back) is expected


@pytest.mark.parametrize("end", ["waiting", "failed", "skipped"])
def test_what_was_done_before_its_newer_form_is_left_behind_with_it(end: str) -> None:
    ledger = planned(a_step("a", "old"), a_step("b"))
    ledger.become("a", "done")
    ledger.plan(a_step("a", "new"), a_step("b"))
    ledger.become("a", "done")
    ledger.plan(a_step("a", "newer"), a_step("b"))
    ledger.become("a", end)
    ledger.plan(a_step("b"))
    ends = [(s.state, s.reason) for s in ledger.as_read() if s.identity == identity("a")]
    assert ends == [
        ("superseded", REPLACED),
        ("superseded", LEFT_BEHIND),
        ("cancelled", NO_LONGER_PLANNED),
    ]
    ledger.plan(a_step("b"))
    assert ends == [(s.state, s.reason) for s in ledger.as_read() if s.identity == identity("a")]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("ready", [("superseded", LEFT_BEHIND), ("cancelled", NO_LONGER_PLANNED)]),
        ("done", [("done", ""), ("superseded", LEFT_BEHIND)]),
    ],
)
def test_a_newer_form_that_was_at_its_target_is_decided_on_first(
    end: str, expected: list[tuple[str, str]]
) -> None:
    ledger = planned(a_step("a", "old"), a_step("b"))
    ledger.become("a", "done")
    ledger.plan(a_step("a", "new"), a_step("b"))
    ledger.become("a", "in_flight")
    ledger.plan(a_step("b"))
    assert ledger.generations("a") == ["done", "in_flight"]
    ledger.become("a", end)
    found = [(s.state, s.reason) for s in ledger.as_read() if s.identity == identity("a")]
    assert found == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("done", [("superseded", LEFT_BEHIND), ("cancelled", NO_LONGER_PLANNED)]),
        ("ready", [("superseded", REPLACED), ("cancelled", NO_LONGER_PLANNED)]),
    ],
)
def test_what_comes_back_after_its_newer_form_left_the_plan_is_left_behind_if_it_is_done(
    end: str, expected: list[tuple[str, str]]
) -> None:
    ledger = planned(a_step("a", "old"), a_step("b"))
    ledger.become("a", "in_flight")
    ledger.plan(a_step("a", "new"), a_step("b"))
    ledger.plan(a_step("b"))
    assert ledger.generations("a") == ["in_flight", "cancelled"]
    ledger._write([Move(ledger.steps[1], end)])
    ledger.advance()
    found = [(s.state, s.reason) for s in ledger.as_read() if s.identity == identity("a")]
    assert found == expected


def test_what_is_kept_stands_where_the_newer_plan_has_it() -> None:
    ledger = planned(a_step("a"), a_step("b", after="a"), a_step("c", after="b"))
    for name in "abc":
        ledger.become(name, "done")
    changes = diff(ledger.as_read(), a_plan(a_step("a"), a_step("b"), a_step("c", after="a")))
    assert [(s.identity, d) for s, d in changes.reorders] == [
        (identity("b"), ()),
        (identity("c"), (identity("a"),)),
    ]
    assert (changes.inserts, changes.replaces, changes.moves) == ((), (), ())


@pytest.mark.parametrize("kind", ["approval", "announce"])
def test_order_passes_through_what_is_done_and_no_call(kind: StepKind) -> None:
    between = a_step("q", kind=kind, after="a")
    behind = a_step("b", after=(between.identity,))
    ledger = planned(a_step("a", "old"), between, behind)
    ledger.become("a", "done")
    if kind == "approval":
        ledger.become("q", "done", "approval")
    assert ledger.states() == {"a": "done", "q": "done", "b": "ready"}
    ledger.plan(a_step("a", "new"), between, behind)
    assert ledger.states() == {"a": "ready", "q": "done", "b": "waiting"}
    ledger.become("a", "failed")
    assert ledger.states() == {"a": "failed", "q": "done", "b": "held"}
    ledger.become("a", "skipped")
    assert ledger.states() == {"a": "skipped", "q": "done", "b": "ready"}


# Questions that make sense only before something


def guarding(content: str, *before: str) -> tuple[Step, ...]:
    """A question, and the notice of it, that are only about steps of these names."""
    only_before = tuple(map(identity, before))
    return tuple(
        msgspec.structs.replace(a_step("q", content, kind=kind), only_before=only_before)
        for kind in ("approval", "announce")
    )


QUESTION, NOTICE = identity("q", "approval"), identity("q", "announce")


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "failed"])
def test_a_question_is_asked_before_what_is_not_made_yet(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b"))
    ledger.become("a", state)
    ledger.plan(*guarding("", "a"), a_step("a", after=(QUESTION,)), a_step("b"))
    found = {step.identity: step.state for step in ledger.as_read()}
    assert (found[QUESTION], found[NOTICE]) == ("ready", "done")
    assert found[identity("a")] == ("failed" if state == "failed" else "waiting")


@pytest.mark.parametrize("state", ["done", "skipped"])
def test_nobody_is_asked_before_what_is_made(state: str) -> None:
    ledger = planned(a_step("a"), a_step("b", after="a"))
    ledger.become("a", state)
    before = ledger.as_read()
    steps = (*guarding("", "a"), a_step("a", after=(QUESTION,)), a_step("b", after="a"))
    changes = diff(before, a_plan(*steps))
    assert changes == type(changes)((), (), (), (), moot=frozenset({QUESTION, NOTICE}))
    ledger.plan(*steps)
    assert ledger.as_read() == before


@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
@pytest.mark.parametrize(("end", "expected"), [("done", "cancelled"), ("ready", "ready")])
def test_about_what_is_under_way_nobody_is_asked_unless_it_comes_back(
    state: str, end: str, expected: str
) -> None:
    ledger = planned(a_step("a"))
    ledger.become("a", state)
    steps = (*guarding("", "a"), a_step("a", after=(QUESTION,)))
    ledger.plan(*steps)
    now = current(ledger.as_read())
    assert (now[QUESTION].state, NOTICE in now) == ("waiting", False)
    ledger.become("a", end)
    assert current(ledger.as_read())[QUESTION].state == expected
    assert ledger.states()["a"] == ("done" if end == "done" else "waiting")
    ledger.plan(*steps)
    before = ledger.as_read()
    ledger.plan(*steps)
    assert ledger.as_read() == before
    # It is told of once it is asked.
    assert (NOTICE in current(before)) == (end == "ready")


@pytest.mark.parametrize("verdict", ["ready", "failed"])
def test_a_question_ends_with_what_was_left_out(verdict: str) -> None:
    ledger = planned(*guarding("", "a"), a_step("a", after=(QUESTION,)), a_step("b", after="a"))
    ledger.become("q", verdict, "approval")
    ledger.become("a", "skipped")
    assert current(ledger.as_read())[QUESTION].state == "cancelled"
    assert ledger.states()["b"] == "ready"


def test_one_that_is_not_made_is_enough_and_other_content_is_not_made() -> None:
    ledger = planned(a_step("a"), a_step("b", "old"))
    ledger.become("a", "done")
    ledger.become("b", "done")
    ledger.plan(*guarding("", "a", "b"), a_step("a"), a_step("b", "new", after=(QUESTION,)))
    assert current(ledger.as_read())[QUESTION].state == "ready"
    assert ledger.states()["b"] == "waiting"


def test_an_open_question_ends_with_what_it_was_about_and_a_decided_one_stays() -> None:
    steps = (*guarding("", "a"), a_step("a", after=(QUESTION,)))
    ledger = planned(*steps)
    ledger.become("a", "skipped")
    ledger.plan(*steps)
    assert current(ledger.as_read())[QUESTION].state == "cancelled"
    assert is_complete(step.state for step in current(ledger.as_read()).values())

    ledger = planned(*steps)
    ledger.become("q", "done", "approval")
    ledger.become("a", "done")
    before = ledger.as_read()
    ledger.plan(*steps)
    assert ledger.as_read() == before
    # Asked otherwise by now, and there is nothing to be asked about.
    ledger.plan(*guarding("other", "a"), a_step("a", after=(QUESTION,)))
    assert [s.state for s in ledger.as_read() if s.identity == QUESTION] == ["done"]
    assert is_complete(step.state for step in ledger.as_read())


# Calls that have a question asked elsewhere


def asking(content: str = "", call: str = "") -> tuple[Step, Step]:
    """A question, and the call that has it asked elsewhere."""
    question = a_step("q", content, kind="approval")
    only_before = (question.identity,)
    return question, msgspec.structs.replace(a_step("q", call), only_before=only_before)


@pytest.mark.parametrize("verdict", ["done", "failed"])
@pytest.mark.parametrize("state", ["waiting", "held", "ready", "failed"])
def test_what_is_decided_is_not_asked_elsewhere_any_more(state: str, verdict: str) -> None:
    ledger = planned(*asking())
    ledger.become("q", state)
    ledger.become("q", verdict, "approval")
    assert ledger.generations("q") == ["cancelled"]
    ledger.plan(*asking())
    assert ledger.generations("q") == ["cancelled"]
    assert is_complete(s.state for s in ledger.as_read()) == (verdict == "done")


@pytest.mark.parametrize("verdict", ["done", "failed"])
def test_what_was_asked_elsewhere_before_the_decision_stays_asked(verdict: str) -> None:
    ledger = planned(*asking())
    ledger.become("q", "done")
    ledger.become("q", verdict, "approval")
    ledger.plan(*asking())
    assert ledger.generations("q") == ["done"]


@pytest.mark.parametrize(("end", "expected"), [("done", "done"), ("ready", "cancelled")])
@pytest.mark.parametrize("state", ["in_flight", "in_doubt"])
def test_what_is_on_its_way_at_the_decision_ends_first(state: str, end: str, expected: str) -> None:
    ledger = planned(*asking())
    ledger.become("q", state)
    ledger.become("q", "done", "approval")
    assert ledger.generations("q") == [state]
    ledger.become("q", end)
    assert ledger.generations("q") == [expected]


def test_another_question_is_asked_elsewhere_too() -> None:
    ledger = planned(*asking())
    ledger.become("q", "done")
    ledger.become("q", "failed", "approval")
    ledger.plan(*asking("other", "other"))
    assert ledger.generations("q") == ["done", "ready"]


def test_a_call_makes_sense_only_before_questions_about_its_object() -> None:
    question, call = asking()
    with pytest.raises(ValueError, match="no question about it"):
        diff([], a_plan(question, msgspec.structs.replace(call, object_id="other")))
    before = msgspec.structs.replace(call, only_before=(identity("a"),))
    with pytest.raises(ValueError, match="no question about it"):
        diff([], a_plan(a_step("a"), before))


# Questions that nobody asks any more


def ended(ledger: Ledger, *steps: Step) -> list[str]:
    """Identities of what the plan ends undecided."""
    plan = a_plan(*steps)
    changes = diff(ledger.as_read(), plan)
    return [
        step.identity
        for step in withdrawn_questions(changes.moves, questions_of(plan, changes.moot))
    ]


@pytest.mark.parametrize(
    ("state", "paused", "expected"),
    [
        ("ready", "", [QUESTION]),
        ("ready", "paused", [QUESTION]),
        ("done", "", []),
        ("failed", "", []),
        ("waiting", "", []),
    ],
)
def test_a_question_that_stood_open_and_is_not_planned_any_more_is_withdrawn(
    state: str, paused: str, expected: list[str]
) -> None:
    before = (a_step("b"),) if state == "waiting" else ()
    question = a_step("q", after=("b",) if before else (), kind="approval")
    ledger = planned(*before, question)
    if state in ("done", "failed"):
        ledger.become("q", state, "approval")
    ledger.paused = paused
    ledger.advance()
    assert ended(ledger) == expected
    assert ended(ledger, *before, question) == []


def test_a_question_that_another_role_is_asked_from_now_on_is_not_withdrawn() -> None:
    question = a_step("q", kind="approval")
    ledger = planned(question)
    assert ended(ledger, msgspec.structs.replace(question, system="sourcing")) == []


def test_a_question_that_ends_with_what_it_was_about_is_withdrawn() -> None:
    ledger = planned(*guarding("", "a"), a_step("a", after=(QUESTION,)))
    moves = ledger.become("a", "skipped")
    asked = open_questions(ledger.as_read(), ())
    assert [step.identity for step in withdrawn_questions(moves, asked)] == [QUESTION]
