"""The event table keeps what it says of itself."""

from __future__ import annotations

import pytest

from broker.settings import Retention
from canonical.events import EVENTS, EventType

each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)


@each_event
def test_an_event_is_kept_as_long_as_the_log_is_where_nobody_says_otherwise(
    event: EventType,
) -> None:
    assert event.retention_days == Retention().log_days


@each_event
def test_what_nobody_waits_for_is_taken_with_others(event: EventType) -> None:
    assert (event.pattern == "batch") == (event.lane == "enrichment")


@each_event
def test_a_faster_lane_has_a_rule(event: EventType) -> None:
    assert event.lane == "standard" or not event.lane_rule
    assert event.why
