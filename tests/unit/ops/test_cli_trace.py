"""How a trace is told."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from broker.store.traces import Trace, TraceLine, What
from ops.cli.output import Screen
from ops.cli.trace import call_words, print_trace, stories, told_by_calls

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def line(after_s: float, what: What, subject: str, **more: object) -> TraceLine:
    """A line of the story "s" so many seconds after its start."""
    fields: dict[str, object] = {"text": "", "correlation_id": "s", **more}
    at = START + timedelta(seconds=after_s)
    return TraceLine(at=at, what=what, subject=subject, **fields)  # type: ignore[arg-type]


def call(after_s: float, step: int, part: str, plant: str = "1010") -> TraceLine:
    """A call that wrote."""
    return line(
        after_s,
        "call",
        f"put-item item/{part}",
        id=f"step/{step}/try/1",
        causation_id=f"step/{step}",
        plant=plant,
        system="erp",
        state="applied",
        calls=("GET /srv/A_Product('X') -> 404", "POST /srv/A_Product -> 201"),
        seconds=0.25,
    )


def shown(lines: list[TraceLine]) -> list[str]:
    """The page without its headings."""
    stream = io.StringIO()
    print_trace(Screen(stream), Trace("X", ("key",), (), tuple(lines), True), fold=True)
    return stream.getvalue().splitlines()[4:]


def test_a_call_is_told_by_its_last_path_parts_and_statuses() -> None:
    assert call_words(call(0, 1, "X")) == (
        "applied: GET A_Product('X') -> 404, POST A_Product -> 201 (0.250 s)"
    )


def test_transitions_that_a_call_tells_are_left_out() -> None:
    made = call(2, 1, "X")
    step = "put-item item/X"
    lines = [
        line(0, "step", step, id="step/1", state="waiting", text="planned"),
        line(1, "step", step, id="step/1", state="ready"),
        line(1.5, "step", step, id="step/1", state="in_flight"),
        made,
        line(2, "step", step, id="step/1", state="done"),
        line(3, "step", "approve supplier/S", id="step/2", state="ready"),
    ]
    assert [(told.what, told.state) for told in told_by_calls(lines)] == [
        ("step", "waiting"),
        ("call", "applied"),
        ("step", "ready"),
    ]


def test_stories_stand_in_the_order_in_which_they_began() -> None:
    lines = [
        line(0, "received", "item/X", correlation_id="b"),
        line(1, "received", "item/X", correlation_id="a"),
        line(2, "emitted", "item/X", correlation_id="b"),
    ]
    assert [(s.correlation_id, len(s.lines)) for s in stories(lines)] == [("b", 2), ("a", 1)]


def test_neighbours_that_say_the_same_are_one_line() -> None:
    lines = [call(n, n, part, plant) for n, (part, plant) in enumerate(
        [("A", "1010"), ("A", "2010"), ("B", "1010"), ("B", "2010"), ("C", "1010")]
    )]  # fmt: skip
    assert shown(lines) == [
        "+0.000 s  call  1010, 2010 erp  put-item 5 x item/A, item/B, item/C  "
        "applied, until +4.000 s"
    ]


def test_three_of_a_kind_are_still_told_one_by_one() -> None:
    assert len(shown([call(n, n, part) for n, part in enumerate("ABC")])) == 3
