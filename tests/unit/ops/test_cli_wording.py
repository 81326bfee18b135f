"""What an open step is said to wait for, and whose turn it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker.store.holds import Hold, HoldKind
from broker.store.views import Pause, StepRow
from ops.cli import wording

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def step(
    number: int,
    identity: str,
    state: str,
    *,
    kind: str = "call",
    depends_on: tuple[str, ...] = (),
    generation: int = 1,
    **more: Any,
) -> StepRow:
    """A step of plant 1010 in ERP, unless told otherwise."""
    columns: dict[str, Any] = {
        "plant": "1010",
        "system": "erp",
        "object_kind": "item",
        "object_id": identity,
        "operation": "put-item",
        "owner": "master data",
        "lane": "standard",
        "reason": "",
        "reference": "",
        "attempts": 0,
        "fact": "",
        "asks": "",
        "next_at": NOW,
        "due_at": NOW + timedelta(days=1),
        "changed_at": NOW,
    }
    return StepRow(
        id=number,
        identity=identity,
        generation=generation,
        kind=kind,
        state=state,
        depends_on=depends_on,
        **{**columns, **more},
    )


def approval(number: int, identity: str) -> StepRow:
    """An open approval of quality."""
    return step(
        number,
        identity,
        "ready",
        kind="approval",
        plant="",
        system="quality",
        owner="quality",
        operation="approve",
        asks="may S-300 deliver?",
    )


def texts(*steps: StepRow) -> dict[int, tuple[str, str]]:
    """What each open step waits for, and whose turn it is."""
    return {number: (wait.text, wait.owner) for number, wait in wording.waiting(steps).items()}


def test_a_step_that_nothing_stands_before_says_what_it_waits_for_itself() -> None:
    fact: dict[str, Any] = {
        "fact": "coverage/GB-110",
        "asks": "contract cover",
        "owner": "sourcing",
    }
    assert texts(
        step(1, "a", "ready"),
        step(2, "b", "ready", attempts=2, reason="429 too many"),
        step(3, "c", "in_flight"),
        step(4, "d", "in_doubt", reason="no answer"),
        step(5, "e", "failed", reason="refused"),
        step(6, "f", "waiting", kind="wait", **fact),
        approval(7, "g"),
    ) == {
        1: ("its turn at erp", "master data"),
        2: ("its next try at 09:30:00 UTC: 429 too many", "master data"),
        3: ("the answer of erp", "master data"),
        4: ("erp to be asked what became of it: no answer", "master data"),
        5: ("failed: refused", "master data"),
        6: ("coverage/GB-110: contract cover", "sourcing"),
        7: ("approval of quality: may S-300 deliver?", "quality"),
    }


def test_a_settled_step_waits_for_nothing() -> None:
    assert texts(step(1, "a", "done"), step(2, "b", "cancelled"), step(3, "c", "superseded")) == {}


def test_a_step_far_behind_names_the_cause_and_not_its_neighbour() -> None:
    found = texts(
        step(1, "a", "in_flight"),
        step(2, "b", "waiting", depends_on=("a",)),
        step(3, "c", "waiting", depends_on=("b",)),
    )
    assert found[3] == ("put-item a of plant 1010, under way", "master data")


def test_of_several_causes_the_one_a_person_must_see_first_is_named() -> None:
    found = texts(
        step(1, "a", "in_flight"),
        approval(2, "b"),
        step(3, "c", "waiting", depends_on=("a", "b")),
        step(4, "d", "failed", reason="refused"),
        step(5, "e", "held", depends_on=("c", "d")),
    )
    assert found[3] == ("approval of quality: may S-300 deliver?; and 1 more", "quality")
    assert found[5] == ("put-item d of plant 1010, which failed; and 2 more", "master data")


def test_a_done_dependency_is_not_waited_for() -> None:
    found = texts(step(1, "a", "done"), step(2, "b", "waiting", depends_on=("a",)))
    assert found == {2: ("an earlier form of it at erp", "master data")}


def test_a_dependency_outside_the_plan_is_said_to_be_missing() -> None:
    found = texts(step(1, "a", "waiting", depends_on=("gone",)))
    assert found[1][0] == "a step that is not in the plan: gone"


def test_only_the_latest_form_of_a_dependency_counts() -> None:
    found = texts(
        step(1, "a", "in_flight"),
        step(2, "a", "done", generation=2),
        step(3, "b", "waiting", depends_on=("a",)),
    )
    assert found[3][0] == "an earlier form of it at erp"


def test_a_ring_of_dependencies_ends() -> None:
    found = texts(
        step(1, "a", "waiting", depends_on=("b",)),
        step(2, "b", "waiting", depends_on=("a",)),
    )
    assert set(found) == {1, 2}


@pytest.mark.parametrize("order", [1, -1], ids=["first one first", "last one first"])
def test_a_chain_may_be_longer_than_calls_can_be_nested(order: int) -> None:
    """The last one is looked at first, or its neighbour has been each time."""
    chain = [
        step(1, "s1", "failed", reason="refused"),
        *(step(n, f"s{n}", "waiting", depends_on=(f"s{n - 1}",)) for n in range(2, 5_001)),
    ]
    waits = wording.waiting(chain[::order])
    assert {wait.roots for wait in waits.values()} == {(1,)}
    (blocker,) = wording.blockers(chain, waits)
    assert (blocker.step, blocker.behind) == (1, 4_999)


def test_blockers_count_what_stands_behind_them_people_first() -> None:
    steps = [
        step(1, "a", "in_flight"),
        approval(2, "b"),
        step(3, "c", "waiting", depends_on=("b",)),
        step(4, "d", "waiting", depends_on=("c", "a")),
    ]
    found = wording.blockers(steps, wording.waiting(steps))
    assert [(b.step, b.owner, b.behind, wording.needs_a_person(b)) for b in found] == [
        (2, "quality", 2, True),
        (1, "master data", 1, False),
    ]


def test_progress_leaves_out_what_is_not_planned_any_more() -> None:
    steps = [step(1, "a", "done"), step(2, "b", "cancelled"), step(3, "c", "ready")]
    assert wording.progress(steps) == (1, 2)


def test_only_an_open_step_is_late() -> None:
    past: dict[str, Any] = {"due_at": NOW - timedelta(seconds=1)}
    assert wording.is_late(step(1, "a", "ready", **past), NOW)
    assert not wording.is_late(step(2, "b", "done", **past), NOW)
    assert not wording.is_late(step(3, "c", "ready"), NOW)


def calendar(number: int, identity: str) -> StepRow:
    """A wait for the day of a change."""
    return step(
        number,
        identity,
        "waiting",
        kind="wait",
        plant="",
        system="layshaft",
        owner="calendar",
        operation="await-time",
        asks="ECO-7 takes effect",
        wake_at=datetime(2027, 1, 4, tzinfo=UTC),
    )


UNTIL = "waits until 2027-01-04 00:00 UTC, when ECO-7 takes effect"


def test_a_wait_for_a_day_says_until_when_and_what_for_and_is_nobodys_turn() -> None:
    found = texts(calendar(1, "start"), step(2, "a", "waiting", depends_on=("start",)))
    assert found == {1: (UNTIL, "calendar"), 2: (UNTIL, "calendar")}


def test_what_a_person_has_to_do_before_the_day_is_named_before_it() -> None:
    fact: dict[str, Any] = {"fact": "item/GB-1", "asks": "not released", "owner": "engineering"}
    steps = (
        calendar(1, "start"),
        step(2, "item", "waiting", kind="wait", **fact),
        step(3, "b", "in_flight"),
        step(4, "a", "waiting", depends_on=("start", "item")),
        step(5, "c", "waiting", depends_on=("start", "b")),
    )
    found = texts(*steps)
    assert found[4] == ("item/GB-1: not released; and 1 more", "engineering")
    assert found[5] == (f"{UNTIL}; and 1 more", "calendar")
    waits = wording.waiting(steps)
    assert [b.owner for b in wording.blockers(steps, waits)] == [
        "engineering",
        "calendar",
        "master data",
    ]


def hold(kind: HoldKind, value: str, reason: str = "maintenance") -> Hold:
    """A hold in force since 09:00."""
    since = NOW.replace(minute=0)
    return Hold(1, kind, value, reason, "ada", since, None, "", "")


HELD = "held: maintenance, by ada since 2026-03-02 09:00:00 UTC"


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (hold("system", "erp"), {1, 2, 4}),
        (hold("system", "crm"), set()),
        (hold("plant", "1010"), {1, 2, 5}),
        (hold("plant", ""), {4}),
        (hold("flow", "engineering-change"), {1, 2, 4, 5}),
        (hold("flow", "contract"), set()),
    ],
)
def test_a_hold_is_about_calls_that_are_due_and_write(held: Hold, expected: set[int]) -> None:
    steps = [
        step(1, "a", "ready"),
        step(2, "b", "in_doubt"),
        step(3, "c", "in_flight"),
        step(4, "d", "ready", plant=""),
        step(5, "e", "ready", system="crm-2"),
        step(6, "f", "ready", operation="read-supplier"),
        step(7, "g", "waiting", depends_on=("a",)),
        approval(8, "h"),
    ]
    found = wording.on_hold(steps, [held], "engineering-change")
    assert found == dict.fromkeys(expected, HELD)


def test_a_call_on_hold_says_why_and_so_does_what_stands_behind_it() -> None:
    steps = [
        step(1, "a", "ready", due_at=NOW - timedelta(days=2)),
        step(2, "b", "waiting", depends_on=("a",)),
        step(3, "c", "in_flight"),
        step(4, "d", "waiting", depends_on=("a", "c")),
    ]
    held = wording.on_hold(steps, [hold("system", "erp")], "engineering-change")
    found = {number: wait.text for number, wait in wording.waiting(steps, held).items()}
    assert found == {
        1: HELD,
        2: f"put-item a of plant 1010, {HELD}",
        3: "the answer of erp",
        4: f"put-item a of plant 1010, {HELD}; and 1 more",
    }
    # Late it is all the same, and the words beside it say why.
    assert wording.is_late(steps[0], NOW)


def test_several_holds_on_one_call_are_counted() -> None:
    holds = [hold("plant", "1010", "audit"), hold("system", "erp")]
    found = wording.on_hold([step(1, "a", "ready")], holds, "engineering-change")
    assert found == {1: "held: audit, by ada since 2026-03-02 09:00:00 UTC; and by 1 more"}


def test_a_blocker_on_hold_waits_for_nobody_whose_turn_it_is() -> None:
    steps = [step(1, "a", "ready"), step(2, "b", "waiting", depends_on=("a",))]
    held = wording.on_hold(steps, [hold("system", "erp")], "engineering-change")
    (found,) = wording.blockers(steps, wording.waiting(steps, held), held)
    assert (found.step, found.is_held, found.behind) == (1, True, 1)
    assert found.text == f"put-item a of plant 1010: {HELD}"
    assert not wording.needs_a_person(found)


def test_in_a_pause_what_would_be_ready_says_so_and_a_failure_is_still_one() -> None:
    steps = [
        step(1, "a", "failed", reason="refused"),
        step(2, "b", "held", depends_on=("a",)),
        step(3, "c", "held"),
        step(4, "d", "waiting", depends_on=("c",)),
        step(5, "e", "in_flight"),
    ]
    pause = Pause("audit", "ada", NOW.replace(minute=0))
    held = wording.paused(steps, pause)
    words = "held: audit, by ada since 2026-03-02 09:00:00 UTC"
    found = {number: wait.text for number, wait in wording.waiting(steps, held).items()}
    assert found == {
        1: "failed: refused",
        2: "put-item a of plant 1010, which failed",
        3: words,
        4: f"put-item c of plant 1010, {words}",
        5: "the answer of erp",
    }
    assert wording.paused(steps, None) == {}


def test_what_has_gone_on_names_whom_it_waits_for_by_now() -> None:
    late = msgspec.structs.replace(approval(1, "q"), escalated_to=("quality-lead", "manager"))
    words = "approval of quality or quality-lead or manager: may S-300 deliver?"
    assert texts(late, step(2, "b", "waiting", depends_on=("q",))) == {
        1: (words, "quality"),
        2: (words, "quality"),
    }
    failed = step(3, "c", "failed", reason="locked", escalated_to=("operations-lead",))
    assert texts(failed)[3][0] == "failed: locked; gone on to operations-lead"
