"""An event goes in a lane that its row of the table allows, and in no other."""

from __future__ import annotations

import pytest

from broker.emission import emission, lane_following
from broker.store.outbox import Emission
from broker.topology import LANES, events_exchange
from canonical.envelope import Lane
from canonical.events import EVENTS, EventType

each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)


def emitted(event: str, lane: Lane | None) -> Emission:
    return emission(event, "a/1", b"{}", lane=lane, correlation_id="c", causation_id="m")


@each_event
@pytest.mark.parametrize("lane", LANES)
def test_a_lane_that_the_row_does_not_allow_is_refused(event: EventType, lane: Lane) -> None:
    if lane in event.lanes:
        made = emitted(event.name, lane)
        assert (made.lane, made.exchange) == (lane, events_exchange(lane))
        return
    with pytest.raises(ValueError, match=f"{event.name} is not emitted in the lane {lane}"):
        emitted(event.name, lane)


@each_event
def test_where_nobody_chooses_it_takes_its_own(event: EventType) -> None:
    made = emitted(event.name, None)
    assert (made.lane, made.exchange) == (event.lane, events_exchange(event.lane))


@pytest.mark.parametrize(
    ("event", "lane", "follows"),
    [
        ("approval.granted", "critical", "critical"),
        ("approval.granted", "standard", "standard"),
        ("approval.granted", "enrichment", None),
        ("engineering-change.completed", "critical", None),
        ("plan.adjustment-needed", "standard", None),
    ],
)
def test_what_follows_from_work_in_a_lane_stays_in_it_where_its_row_allows_that(
    event: str, lane: Lane, follows: Lane | None
) -> None:
    assert lane_following(event, lane) == follows
    emitted(event, lane_following(event, lane))
