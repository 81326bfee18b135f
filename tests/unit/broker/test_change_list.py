"""What a change risks, and where it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from broker.store.change_list import ChangeRow, Stage, ordered, stage_of
from ops.change_status import risk_words


def row(number: str = "ECO-1", **other: Any) -> ChangeRow:
    """An open change of which nothing is done."""
    known: dict[str, Any] = {
        "number": number,
        "key": f"engineering-change/{number}",
        "title": "",
        "state": "open",
        "opened_at": datetime(2026, 3, 1, tzinfo=UTC),
        "completed_at": None,
        "done": 0,
        "skipped": 0,
        "total": 3,
        "waits_for": (),
        "open_cases": 0,
        "on_hold": 0,
        "is_paused": False,
    }
    return ChangeRow(**(known | other))


@pytest.mark.parametrize(
    ("stands", "stage"),
    [
        ({}, "calls"),
        ({"data": 1}, "data"),
        ({"data": 1, "on_hold": 1}, "held"),
        ({"data": 1, "on_hold": 1, "decisions": 1}, "decision"),
        ({"decisions": 1, "failed": 1}, "failed"),
        ({"failed": 1, "is_paused": True}, "paused"),
        ({"failed": 1, "is_reporting": True}, "reporting"),
        ({"is_paused": True, "on_hold": 1, "is_reporting": True}, "reporting"),
        ({"state": "complete"}, "complete"),
        ({"state": "cancelled", "failed": 1, "is_paused": True}, "cancelled"),
    ],
)
def test_what_a_person_has_to_do_says_where_it_stands(stands: dict[str, Any], stage: Stage) -> None:
    assert stage_of(row(**stands)) == stage


def test_more_plants_and_more_orders_are_more_risk() -> None:
    rows = [
        row("none", plants_waiting=0),
        row("done", state="complete", plants_waiting=9, open_orders=9),
        row("orders", plants_waiting=1, open_orders=4),
        row("told", is_reporting=True, open_orders=9),
        row("plants", plants_waiting=3),
        row("both", plants_waiting=2, open_orders=2),
    ]
    by_risk = [r.number for r in ordered(rows, "risk")]
    assert by_risk == ["both", "orders", "plants", "none", "done", "told"]
    assert [r.number for r in ordered(rows, "newest")] == [r.number for r in rows]


def test_risk_is_said_in_words() -> None:
    assert risk_words(row(plants_waiting=2, open_orders=1)) == (
        "2 plants and 1 open purchase order wait for ECO-1"
    )
    assert risk_words(row()) == "1 plant and 0 open purchase orders wait for ECO-1"
