"""When a change may be done, by what is open of it and how long such steps took before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.estimate import LEAST, Estimate, Kind, Pace, estimate, kinds
from broker.store.views import StepRow

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PACES: Mapping[Kind, Pace] = {
    ("put-item", "erp"): Pace(100, 60, 120),
    ("put-bom", "erp"): Pace(40, 300, 3000),
    ("approve", "quality"): Pace(LEAST, 7200, 86_400),
    ("await-fact", "layshaft"): Pace(20, 600, 700),
}


def step(number: int, *after: int, verb: str = "put-item", **known: Any) -> StepRow:
    """A step that waits for the others, or has just had its turn."""
    kind = {"approve": "approval", "await-fact": "wait", "await-time": "wait",
            "announce": "announce"}.get(verb, "call")  # fmt: skip
    system = {"approval": "quality", "call": "erp"}.get(kind, "layshaft")
    plain: dict[str, Any] = {
        "id": number,
        "identity": f"step {number}",
        "generation": 1,
        "kind": kind,
        "plant": "1010",
        "system": system,
        "object_kind": "item",
        "object_id": str(number),
        "operation": verb,
        "state": "waiting" if after or kind == "wait" else "ready",
        "owner": "operations",
        "lane": "standard",
        "reason": "",
        "reference": "",
        "attempts": 0,
        "depends_on": tuple(f"step {n}" for n in after),
        "fact": "",
        "asks": "",
        "next_at": NOW,
        "due_at": NOW,
        "changed_at": NOW,
    }
    return StepRow(**plain | known)


def seconds(*steps: StepRow) -> tuple[float, float]:
    """From now on: likely, and where all is slow."""
    found = estimate(steps, PACES, NOW)
    assert found.likely_at is not None
    assert found.slow_at is not None
    return (found.likely_at - NOW).total_seconds(), (found.slow_at - NOW).total_seconds()


def test_steps_beside_each_other_take_as_long_as_the_longest() -> None:
    assert seconds(step(1), step(2), step(3, verb="put-bom")) == (300, 3000)


def test_steps_behind_each_other_add_up_along_the_longest_path() -> None:
    steps = (step(1), step(2), step(3, 1, 2, verb="put-bom"), step(4, 2), step(5, 3, 4))
    assert seconds(*steps) == (420, 3240)
    found = estimate(steps, PACES, NOW)
    assert (found.path, found.rests_on) == ((1, 3, 5), 140)


def test_what_is_slow_may_be_another_path() -> None:
    short_but_sure = step(1, verb="await-fact")
    assert seconds(short_but_sure, step(2, verb="put-bom")) == (600, 3000)


def test_what_has_its_turn_has_been_at_it_for_a_while() -> None:
    earlier = NOW - timedelta(seconds=50)
    assert seconds(step(1, changed_at=earlier)) == (10, 70)
    assert seconds(step(1, state="in_flight", changed_at=earlier), step(2, 1)) == (70, 190)
    assert seconds(step(1, verb="await-fact", changed_at=earlier)) == (550, 650)
    # What takes longer than ever before may end at any moment.
    assert seconds(step(1, changed_at=NOW - timedelta(days=1))) == (0, 0)
    # Its turn has not come: since when it waits says nothing.
    assert seconds(step(1), step(2, 1, changed_at=earlier)) == (120, 240)


def test_a_wait_for_a_time_ends_then_and_a_notice_takes_none() -> None:
    start = step(1, verb="await-time", wake_at=NOW + timedelta(days=1))
    behind, notice = step(2, 1), step(3, 2, verb="announce")
    assert seconds(start, behind, notice) == (86_460, 86_520)
    over = step(1, verb="await-time", wake_at=NOW - timedelta(days=1))
    assert seconds(over, behind) == (60, 120)


def test_what_is_settled_takes_no_time() -> None:
    states = ("done", "skipped", "cancelled", "superseded")
    done = [step(n, state=state, verb="put-bom") for n, state in enumerate(states, start=1)]
    assert seconds(*done, step(9, 1, 2, 3, 4, state="ready")) == (60, 120)
    assert estimate(done, {}, NOW) == Estimate(likely_at=NOW, slow_at=NOW)


def test_a_former_form_that_is_at_its_target_comes_before_the_next() -> None:
    former = step(1, state="in_flight")
    newer = step(2, identity="step 1", generation=2, state="waiting")
    assert seconds(former, newer) == (120, 240)


@pytest.mark.parametrize(
    ("steps", "kept", "says"),
    [
        ([step(1, state="failed"), step(2, 1, state="held")], 0, "1 failed"),
        ([step(1), step(2)], 2, "people keep 2 from going on"),
        ([step(1, verb="put-order")], 0, "put-order at erp was never done before, and it takes 5"),
        (
            [step(1), step(2, 1, verb="publish-item")],
            0,
            "publish-item at erp was done once before, and it takes 5",
        ),
    ],
)
def test_where_nobody_can_say_it_says_why(steps: list[StepRow], kept: int, says: str) -> None:
    known = {**PACES, ("publish-item", "erp"): Pace(1, 1, 1)}
    found = estimate(steps, known, NOW, kept=kept)
    assert (found.likely_at, found.slow_at, found.path) == (None, None, ())
    assert found.unknown.startswith(says)


def test_only_kinds_of_open_steps_that_take_time_are_asked_about() -> None:
    steps = (
        step(1, state="done", verb="put-bom"),
        step(2, 1),
        step(3, verb="approve"),
        step(4, verb="announce"),
        step(5, verb="await-time"),
    )
    assert kinds(steps) == (("approve", "quality"), ("put-item", "erp"))


GRAPHS = st.lists(
    st.tuples(
        st.sampled_from(["put-item", "put-bom", "approve", "announce"]),
        st.sets(st.integers(0, 11), max_size=3),
        st.sampled_from(["ready", "waiting", "in_flight", "done"]),
    ),
    min_size=1,
    max_size=12,
)


@given(GRAPHS)
def test_the_path_is_a_chain_of_open_steps_and_slow_is_never_sooner(graph: Any) -> None:
    steps = [
        step(n, *(d for d in sorted(after) if d < n), verb=verb, state=state)
        for n, (verb, after, state) in enumerate(graph)
    ]
    found = estimate(steps, PACES, NOW)
    assert found.likely_at is not None
    assert found.slow_at is not None
    assert NOW <= found.likely_at <= found.slow_at
    by_id = {s.id: s for s in steps}
    assert all(by_id[n].state != "done" for n in found.path)
    for before, after in zip(found.path, found.path[1:], strict=False):
        assert by_id[before].identity in by_id[after].depends_on
    open_ones = [s for s in steps if s.state != "done"]
    assert bool(found.path) == bool(open_ones)
    # Each open step takes no longer than everything does.
    for each in open_ones:
        alone = estimate([each], PACES, NOW).likely_at
        assert alone is not None
        assert alone <= found.likely_at
