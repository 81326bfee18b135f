"""What a ledger has left behind, and how its one case says so."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from broker.ledger import LEFT_BEHIND, LedgerStep, Move
from broker.left_behind import case_of, place_of, undecided
from broker.store import Position
from broker.store.ledgers import Ledger

LEDGER = Ledger(
    id=1,
    key="engineering-change/ECO-1",
    title="",
    version=1,
    state="open",
    subscription="engineering-change",
    scope="change",
    lane="standard",
    source="plm",
    correlation_id="story",
    position=Position(datetime(2026, 3, 2, tzinfo=UTC), 1),
)


def step(number: int, state: str = "superseded", reason: str = LEFT_BEHIND) -> LedgerStep:
    identity = f"1010|erp|item|GB-{number}|put-item"
    return LedgerStep(number, identity, 1, "call", state, 1, b"", (), reason)


def test_what_is_left_behind_is_found_among_steps_and_moves() -> None:
    left, done, other = step(1), step(2, "done", ""), step(3, "superseded", "no longer asked")
    steps = [left, done, other]
    assert undecided(steps) == (left,)
    assert undecided(steps, [Move(done, "superseded", LEFT_BEHIND)]) == (left, done)
    assert undecided(steps, [Move(done, "superseded", "no longer asked")]) == (left,)


def test_what_a_person_has_decided_on_is_not_found() -> None:
    steps = [step(1), step(2)]
    decided = Move(steps[0], "superseded", f"{LEFT_BEHIND}; left so by ada: it is in use")
    assert undecided(steps, [decided]) == (steps[1],)


@pytest.mark.parametrize(
    ("state", "is_found"),
    [("waiting", False), ("done", False), ("skipped", False), ("cancelled", True)],
)
def test_what_is_planned_again_is_nobodys_question_until_it_is_gone_again(
    state: str, is_found: bool
) -> None:
    left = step(1)
    again = msgspec.structs.replace(left, id=2, generation=2, state=state, reason="")
    assert undecided([left, again]) == ((left,) if is_found else ())
    planned = msgspec.structs.replace(again, state="ready")
    assert undecided([left, planned], [Move(planned, state)]) == ((left,) if is_found else ())


def test_one_step_is_named_in_the_case() -> None:
    case = case_of(LEDGER, [step(1)])
    assert case.what == (
        "1 step was done and is no longer part of the plan: put-item item GB-1 of plant 1010 at erp"
    )
    assert (case.code, case.place) == ("left-behind", place_of(LEDGER.key))


def test_ten_of_many_are_named_and_the_others_are_counted() -> None:
    what = case_of(LEDGER, [step(n) for n in range(184)]).what
    assert what.startswith(
        "184 steps were done and are no longer part of the plan: put-item item GB-0 of plant 1010"
    )
    assert what.count("put-item") == 10
    assert what.endswith("put-item item GB-9 of plant 1010 at erp and 174 more")


def test_of_two_forms_that_were_done_the_last_one_is_what_is_there() -> None:
    first = step(1)
    second = msgspec.structs.replace(first, id=2, generation=2)
    assert undecided([first, second]) == (second,)
    done = msgspec.structs.replace(second, state="done", reason="")
    assert undecided([first, done], [Move(done, "superseded", LEFT_BEHIND)]) == (done,)
    # And what was decided of the last one was decided of both.
    reason = f"{LEFT_BEHIND}; left so by ada: it is in use"
    assert undecided([first, msgspec.structs.replace(second, reason=reason)]) == ()
