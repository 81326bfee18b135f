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


def test_a_batch_of_the_critical_lane_is_given_way_to_until_it_is_decided(
    clock: Clock, precedence: Precedence
) -> None:
    with Pace("critical", precedence, 0.3).at_work():
        clock.at += 60
        assert is_claimed(precedence)
        assert precedence.has_news
    assert is_claimed(precedence)
    clock.at += RECENT_S
    assert not is_claimed(precedence)
    with Pace("standard", precedence, 0.3).at_work():
        assert not is_claimed(precedence)


def test_other_lanes_claim_nothing_and_the_critical_one_never_rests(precedence: Precedence) -> None:
    Pace("standard", precedence, 0.3).came()
    assert not is_claimed(precedence)
    critical = Pace("critical", precedence, 0.3)
    assert critical.rest_s(200, 1.0, behind=True) == 0.0
    assert critical.at_most(200) == 200
    assert is_claimed(precedence)


def test_batches_are_small_while_a_lane_gives_way(precedence: Precedence) -> None:
    pace = Pace("enrichment", precedence, 0.3)
    assert pace.at_most(200) == 200
    precedence.worked()
    assert pace.at_most(200) == SMALL_BATCH
    assert pace.at_most(10) == 10


def alone(pace: Pace, clock: Clock, rate: float, *, shards: int = 1) -> None:
    """The lane has worked alone for a while, so quickly; each shard a batch of 200 at a time."""
    for _ in range(20 * shards):
        clock.at += 200 / rate
        assert pace.rest_s(200, shards * 200 / rate, behind=True) == 0.0


@given(
    share=st.floats(0.1, 0.9),
    free=st.floats(100, 10_000),
    slower=st.floats(1, 5),
    shards=st.integers(1, 3),
    waiting=st.integers(1, SMALL_BATCH),
)
def test_a_lane_is_held_to_its_share_of_what_it_does_alone(
    share: float, free: float, slower: float, shards: int, waiting: int
) -> None:
    """However slow it is, however small its batches are, how long they take, and how many are
    decided side by side."""
    clock = Clock()
    precedence = Precedence(clock)
    pace = Pace("enrichment", precedence, share, clock)
    alone(pace, clock, free, shards=shards)
    precedence.worked()
    batch = pace.at_most(waiting)
    # Each shard takes the next batch when it is through with the one before and its rest.
    took = slower * shards * batch / free
    ends = [clock.at + took for _ in range(shards)]
    began, decided = clock.at, 0
    for _ in range(60 * shards):
        ends.sort()
        clock.at = ends[0]
        precedence.worked()
        decided += batch
        ends[0] = clock.at + pace.rest_s(batch, took, behind=True) + took
    done = decided / (clock.at - began)
    most = min(share * free, shards * batch / took)
    # A batch at each end is begun and not counted, or counted and begun before.
    assert most * 0.9 <= done <= most * 1.15


def test_two_kinds_of_work_of_a_lane_have_rates_of_their_own_and_one_share(
    clock: Clock, precedence: Precedence
) -> None:
    rows = Pace("enrichment", precedence, 0.5, clock)
    deliveries = rows.companion()
    alone(rows, clock, 1_000)
    alone(deliveries, clock, 4_000)
    precedence.worked()
    # At half of their rates: 10 rows take 20 ms, and 40 deliveries 20 ms more.
    assert rows.rest_s(10, 0.01, behind=True) == pytest.approx(0.01, rel=0.01)
    assert deliveries.rest_s(40, 0.01, behind=True) == pytest.approx(0.03, rel=0.01)


def test_a_slow_lane_takes_what_one_rest_makes_up_for(clock: Clock, precedence: Precedence) -> None:
    pace = Pace("enrichment", precedence, 0.3, clock)
    alone(pace, clock, 100)
    assert pace.at_most(200) == 200
    precedence.worked()
    # 15 are what the longest rest makes up for; a quarter, since several may decide at once.
    assert pace.at_most(200) == 3
    assert pace.at_most(1) == 1


def test_a_lane_that_never_was_alone_goes_by_its_batch(precedence: Precedence) -> None:
    precedence.worked()
    pace = Pace("standard", precedence, 0.25, Clock())
    assert pace.rest_s(50, 0.1, behind=True) == pytest.approx(0.3)
    assert pace.rest_s(50, 60.0, behind=True) == LONGEST_REST_S


def test_a_lane_that_keeps_up_is_not_held_back(clock: Clock, precedence: Precedence) -> None:
    pace = Pace("standard", precedence, 0.3, clock)
    # A slow single message says nothing about what the lane can do.
    assert pace.rest_s(1, 5.0, behind=False) == 0.0
    precedence.worked()
    assert pace.rest_s(1, 0.5, behind=False) == 0.0
    clock.at += 10.0
    alone(pace, clock, 1_000)
    precedence.worked()
    # Less than its share, in batches that take as long as they do when little comes.
    for _ in range(50):
        clock.at += 0.01
        precedence.worked()
        assert pace.rest_s(1, 0.005, behind=False) == 0.0


def test_what_was_measured_when_all_was_slow_does_not_hold_a_lane_that_is_quick(
    clock: Clock, precedence: Precedence
) -> None:
    pace = Pace("standard", precedence, 0.5, clock)
    alone(pace, clock, 10)
    precedence.worked()
    # 100 messages a second are half of what this batch shows that the lane can do.
    assert pace.rest_s(10, 0.05, behind=False) == pytest.approx(0.05)


def test_a_lane_that_was_idle_is_not_taken_for_slow(clock: Clock, precedence: Precedence) -> None:
    pace = Pace("standard", precedence, 0.5, clock)
    alone(pace, clock, 1_000)
    assert pace.rest_s(1, 0.01, behind=False) == 0.0
    clock.at += 3_600.0
    assert pace.rest_s(200, 0.2, behind=True) == 0.0
    precedence.worked()
    assert pace.rest_s(50, 0.05, behind=True) == pytest.approx(0.05, rel=0.01)
