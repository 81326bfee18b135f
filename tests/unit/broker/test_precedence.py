"""Lower lanes give way while the critical one has work, and are held to their share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.precedence import LONGEST_REST_S, RECENT_S, SMALL_BATCH, Pace, Precedence


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def precedence(clock: Clock) -> Precedence:
    return Precedence(clock)


def is_claimed(precedence: Precedence) -> bool:
    return precedence.is_claimed


def test_work_of_the_critical_lane_is_given_way_to_for_a_moment(
    clock: Clock, precedence: Precedence
) -> None:
    assert not is_claimed(precedence)
    Pace("critical", precedence, 0.3).came()
    assert is_claimed(precedence)
    clock.at += RECENT_S
    assert not is_claimed(precedence)


def test_other_lanes_claim_nothing_and_the_critical_one_never_rests(precedence: Precedence) -> None:
    Pace("standard", precedence, 0.3).came()
    assert not is_claimed(precedence)
    critical = Pace("critical", precedence, 0.3)
    assert critical.rest_s(200, 1.0, full=True) == 0.0
    assert critical.at_most(200) == 200
    assert is_claimed(precedence)


def test_batches_are_small_while_a_lane_gives_way(precedence: Precedence) -> None:
    pace = Pace("enrichment", precedence, 0.3)
    assert pace.at_most(200) == 200
    precedence.worked()
    assert pace.at_most(200) == SMALL_BATCH
    assert pace.at_most(20) == 20


@given(
    share=st.floats(0.1, 1.0),
    free=st.floats(100, 10_000),
    slower=st.floats(1, 3),
)
def test_a_lane_is_held_to_its_share_of_what_it_does_alone(
    share: float, free: float, slower: float
) -> None:
    """Small batches are slower a message, and slower again beside other work."""
    precedence = Precedence(Clock())
    pace = Pace("enrichment", precedence, share)
    for _ in range(10):
        assert pace.rest_s(200, 200 / free, full=True) == 0.0
    precedence.worked()
    took = slower * SMALL_BATCH / free
    rested = pace.rest_s(SMALL_BATCH, took, full=True)
    if rested < LONGEST_REST_S:
        assert SMALL_BATCH / (took + rested) <= share * free * 1.001 or rested == 0.0
        assert rested == 0.0 or SMALL_BATCH / (took + rested) >= share * free * 0.999


def test_a_lane_that_never_was_alone_goes_by_its_batch(precedence: Precedence) -> None:
    precedence.worked()
    pace = Pace("standard", precedence, 0.25)
    assert pace.rest_s(50, 0.1, full=True) == pytest.approx(0.3)
    assert pace.rest_s(50, 60.0, full=True) == LONGEST_REST_S


def test_a_lane_that_keeps_up_is_not_held_back(precedence: Precedence) -> None:
    pace = Pace("standard", precedence, 0.3)
    # A slow single message says nothing about what the lane can do.
    assert pace.rest_s(1, 5.0, full=False) == 0.0
    precedence.worked()
    assert pace.rest_s(1, 0.5, full=False) == 0.0
    assert pace.rest_s(50, 0.01, full=True) == pytest.approx(0.01 / 0.3 - 0.01)
