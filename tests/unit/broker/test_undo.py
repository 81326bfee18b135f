"""Which steps are undone, after which others, and what is left to people."""

from __future__ import annotations

import msgspec
import pytest

from broker.ledger import (
    LEFT_BEHIND,
    NOTHING_APPLIED,
    PLANNED_AGAIN,
    UNKNOWN_BEFORE,
    LedgerStep,
    advance,
    diff,
)
from broker.left_behind import undecided
from broker.steering import restart
from broker.undo import undos_of
from canonical.effects import Plan
from canonical.errors import Conflict
from tests.simulation.course import a_step


def left(number: int, name: str, *after: str, **other: object) -> LedgerStep:
    """A call that was done, is left behind and can be undone."""
    made = LedgerStep(
        number,
        identity(name),
        1,
        "call",
        "superseded",
        1,
        b"digest",
        tuple(map(identity, after)),
        LEFT_BEHIND,
        can_undo=True,
    )
    return msgspec.structs.replace(made, **other)


def undo_of(step: LedgerStep, number: int, state: str = "waiting") -> LedgerStep:
    return LedgerStep(
        number, step.identity, step.generation + 1, "call", state, 1, b"undo", (), undoes=step.id
    )


def identity(name: str) -> str:
    return a_step(name, "", ()).identity


def ids(steps: list[LedgerStep]) -> dict[int, tuple[str, ...]]:
    """By id of what is undone, what its undo waits for."""
    return {undo.step.id: undo.depends_on for undo in undos_of(steps).undos}


def test_undos_stand_the_other_way_round_over_what_is_between() -> None:
    decision = LedgerStep(2, "q", 1, "approval", "cancelled", 1, b"", (identity("a"),))
    steps = [left(1, "a"), decision, left(3, "b", depends_on=("q",)), left(4, "c", "b")]
    assert ids(steps) == {
        1: (identity("b"), identity("c")),
        3: (identity("c"),),
        4: (),
    }


def test_an_undo_waits_for_what_followed_and_is_not_settled_though_nobody_undoes_it() -> None:
    going = left(2, "b", "a", state="failed", reason="", can_undo=False)
    assert ids([left(1, "a"), going]) == {1: (identity("b"),)}
    settled = msgspec.structs.replace(going, state="cancelled")
    assert ids([left(1, "a"), settled]) == {1: ()}


def test_an_undo_made_before_does_not_turn_the_order_round() -> None:
    first, second = left(1, "a"), left(2, "b", "a")
    earlier = msgspec.structs.replace(undo_of(first, 3), depends_on=(second.identity,))
    assert ids([first, second, earlier]) == {2: ()}


def test_what_cannot_be_undone_says_why() -> None:
    steps = [
        left(1, "a"),
        left(2, "b", can_undo=False, not_undone="it was made"),
        left(3, "c", can_undo=False),
        left(4, "d"),
    ]
    found = undos_of(steps, {4: "change/2"})
    assert [undo.step.id for undo in found.undos] == [1]
    assert [(one.step.id, one.why) for one in found.left] == [
        (2, "it was made"),
        (3, UNKNOWN_BEFORE),
        (4, "change/2 made the same true since"),
    ]


def test_the_mark_is_that_of_what_is_undone() -> None:
    one, two = left(1, "a"), left(2, "b")
    assert undos_of([one, two]).mark == undos_of([one, two]).mark
    others = ([one], [one, left(2, "b", digest=b"other")], [one, left(3, "b")])
    assert len({undos_of(steps).mark for steps in ([one, two], *others)}) == 4


def test_what_is_under_way_is_undone_once_it_has_ended() -> None:
    out = left(2, "a", state="in_flight", reason="", withdrawn=True, can_undo=False)
    [each] = undos_of([out]).undos
    assert each.is_under_way
    waiting = undo_of(out, 3)
    assert advance([out, waiting]) == ()
    came_back = msgspec.structs.replace(out, state="ready")
    moved = {move.step.id: (move.state, move.reason) for move in advance([came_back, waiting])}
    assert moved == {2: ("cancelled", "no longer planned"), 3: ("cancelled", NOTHING_APPLIED)}
    done = msgspec.structs.replace(out, state="done", can_undo=True)
    moved = {move.step.id: (move.state, move.reason) for move in advance([done, waiting])}
    assert moved == {2: ("superseded", LEFT_BEHIND), 3: ("ready", "")}
    unknown = msgspec.structs.replace(done, can_undo=False, not_undone="nobody said")
    moved = {move.step.id: (move.state, move.reason) for move in advance([unknown, waiting])}
    assert moved == {2: ("superseded", LEFT_BEHIND), 3: ("cancelled", "nobody said")}


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "in_flight", "in_doubt", "failed",
                                   "skipped", "done"])  # fmt: skip
def test_plans_without_its_object_leave_an_undo_alone(state: str) -> None:
    one = left(1, "a")
    found = diff([one, undo_of(one, 2, state)], Plan("c", 1, "", ()))
    assert (found.moves, found.inserts, found.withdrawals) == ((), (), ())


@pytest.mark.parametrize(
    ("state", "is_cancelled"),
    [("waiting", True), ("ready", True), ("failed", True), ("in_flight", False), ("done", False),
     ("in_doubt", False), ("skipped", False)],
)  # fmt: skip
def test_a_plan_with_its_object_cancels_an_undo_that_is_not_sent(
    state: str, is_cancelled: bool
) -> None:
    one = left(1, "a")
    undo = undo_of(one, 2, state)
    found = diff([one, undo], Plan("c", 1, "", (a_step("a", "x", ()),)))
    assert [(insert.generation, found.replaces) for insert in found.inserts] == [(3, ())]
    moved = [(move.step.id, move.state, move.reason) for move in found.moves]
    assert moved == ([(2, "cancelled", PLANNED_AGAIN)] if is_cancelled else [])


@pytest.mark.parametrize(
    ("state", "is_left"),
    [("waiting", False), ("in_flight", False), ("failed", False), ("done", False),
     ("skipped", False), ("cancelled", True), ("superseded", True)],
)  # fmt: skip
def test_what_is_undone_is_left_behind_no_more(state: str, is_left: bool) -> None:
    one = left(1, "a")
    undo = undo_of(one, 2, state)
    dropped = LedgerStep(3, one.identity, 3, "call", "cancelled", 1, b"new", ())
    for steps in ([one, undo], [one, undo, dropped]):
        assert undecided(steps) == ((one,) if is_left else ())


def test_an_undo_runs_once() -> None:
    one, two = left(1, "a"), left(2, "b")
    undo = undo_of(one, 3, "done")
    with pytest.raises(Conflict, match="An undo does not run anew"):
        restart([one, undo], undo)
    planned = msgspec.structs.replace(two, state="done", reason="")
    behind = msgspec.structs.replace(undo, depends_on=(two.identity,))
    again = restart([one, behind, planned], planned)
    assert (again.returns, again.repeats) == ((), (planned,))
