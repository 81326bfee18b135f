"""The event table keeps what it says of itself."""

from __future__ import annotations

import pytest

from broker.topology import LANES
from canonical.events import EVENTS, EventType

each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)


@each_event
def test_what_nobody_waits_for_is_taken_with_others(event: EventType) -> None:
    assert (event.pattern == "batch") == (event.lane == "enrichment")


@each_event
def test_a_rule_only_ever_makes_an_event_more_critical(event: EventType) -> None:
    assert event.lanes == tuple(lane for lane in LANES if lane in (*event.lane_rules, event.lane))
    assert event.lanes[-1] == event.lane
    assert all(f"{lane} {where}" in event.lane_rule for lane, where in event.lane_rules.items())
    assert event.why


def test_which_lane_an_event_takes_is_told_in_words() -> None:
    assert EVENTS["item.created"].lane_rule == "always enrichment"
    assert EVENTS["engineering-change.released"].lane_rule == (
        "critical where its urgency is critical, emergency or high; else standard"
    )
