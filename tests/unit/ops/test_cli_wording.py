"""What an open step is said to wait for, and whose turn it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from broker.store.views import StepRow
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
