"""When a system is called, by how many at once, and what closes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.gate import (
    FRESH_S,
    LOWER_LATER_S,
    Breaker,
    Close,
    Closure,
    Gate,
    Proven,
    asked_to_close,
)
from broker.hours import Closing
from broker.policy import NotNow, RetryPolicy
from canonical.envelope import Lane
from canonical.errors import InDoubt, Misconfigured, Rejected, Unavailable

NOW = datetime(2026, 3, 2, 21, tzinfo=UTC)
ILL = Unavailable("target-unreachable", "no answer in 30 s")
BUSY = Unavailable("rate-limited", "429", retry_after_s=7.0)
BREAKER = Breaker()


def gate(most: int = 8) -> Gate:
    return Gate({"erp": most, "plm": most}, BREAKER)


def calls(made: Gate, *errors: Exception | None, at: float = 0.0) -> list[Close | Proven]:
    """One call after the other; what others are to know of them."""
    said: list[Close | Proven] = []
    for error in errors:
        made.began("erp")
        found = made.ended("erp", error, at, 0.0)
        said += [found] if found is not None else []
    return said


def rooms(made: Gate, now_s: float = 0.0) -> dict[Lane, int | None]:
    lanes: tuple[Lane, ...] = ("critical", "standard", "enrichment")
    return {lane: made.room("erp", lane, now_s) for lane in lanes}


# --- what closes it ---


def test_five_failures_in_a_row_close_it() -> None:
    made = gate()
    assert calls(made, *[ILL] * 4, None, *[ILL] * 4) == []
    assert calls(made, ILL) == [Close("erp", "circuit", 15.0, "Calls to erp fail")]


def test_half_of_twenty_within_the_window_close_it() -> None:
    made = gate()
    assert calls(made, *[ILL, None] * 9, None) == []
    assert [type(one) for one in calls(made, ILL)] == [Close]
    # What was long ago does not count.
    made = gate()
    assert calls(made, *[ILL, None] * 9, None, at=0.0) == []
    assert calls(made, ILL, at=BREAKER.window_s + 1) == []


@pytest.mark.parametrize(
    "error",
    [
        Rejected("target-refused", "a rule"),
        Misconfigured("not-authorised", "401"),
        Unavailable("locked", "somebody has it"),
        Unavailable("changed-meanwhile", "412"),
        # Of one object, or of one of its services.
        Unavailable("target-failed", "500"),
        InDoubt("status-500", "?"),
        BUSY,
        NotNow("quota", "used up"),
        ValueError("a defect"),
    ],
)
def test_what_says_nothing_of_the_target_as_a_whole_closes_nothing(error: Exception) -> None:
    made = gate()
    assert calls(made, *[error] * 30) == []
    assert rooms(made) == dict.fromkeys(("critical", "standard", "enrichment"))
    # And makes no row of failures shorter or longer.
    assert calls(made, *[ILL, error] * 4) == []
    assert len(calls(made, error, ILL)) == 1


@pytest.mark.parametrize("error", [InDoubt("answer-lost", "?"), InDoubt("status-503", "?")])
def test_a_write_that_was_lost_shows_it_ill_as_well(error: InDoubt) -> None:
    assert len(calls(gate(), *[error] * 5)) == 1


def test_without_a_breaker_failures_close_nothing() -> None:
    made = Gate({"erp": 8}, None)
    assert calls(made, *[ILL] * 100) == []
    assert made.room("erp", "standard", 0.0) is None


# --- while it is closed ---


def test_nobody_calls_it_before_its_time_and_the_critical_lane_first() -> None:
    made = gate()
    made.learn([Closure("erp", "circuit", until_s=10.0)], 0.0, NOW)
    assert set(rooms(made, 9.9).values()) == {0}
    assert made.rooms("standard", 9.9) == {"plm": None}
    assert rooms(made, 10.0) == {"critical": 1, "standard": 0, "enrichment": 0}
    later = 10.0 + LOWER_LATER_S
    assert rooms(made, later) == {"critical": 1, "standard": 1, "enrichment": 1}
    # One at a time, over all lanes.
    made.began("erp")
    assert set(rooms(made, later).values()) == {0}


def test_one_for_lower_lanes_leaves_the_critical_one_alone() -> None:
    made = gate()
    made.learn([Closure("erp", "quota", until_s=10.0, lower=True)], 0.0, NOW)
    assert rooms(made, 5.0) == {"critical": None, "standard": 0, "enrichment": 0}
    assert rooms(made, 10.0) == {"critical": None, "standard": None, "enrichment": None}


def test_an_answer_proves_it_and_a_failure_closes_it_for_longer() -> None:
    made = gate()
    made.learn([Closure("erp", "circuit", until_s=10.0, times=2)], 0.0, NOW)
    assert calls(made, None, at=12.0) == [Proven("erp")]
    assert calls(made, ILL, at=13.0) == [Close("erp", "circuit", 60.0, "Calls to erp fail")]
    made.learn([Closure("erp", "circuit", until_s=10.0, times=50)], 13.0, NOW)
    assert calls(made, ILL, at=13.0)[0] == Close(
        "erp", "circuit", BREAKER.longest_s / 2, "Calls to erp fail"
    )


def test_what_had_begun_before_it_was_closed_says_nothing() -> None:
    made = gate()
    made.learn([Closure("erp", "circuit", until_s=10.0)], 0.0, NOW)
    assert calls(made, None, ILL, at=9.0) == []


def test_by_its_hours_it_is_closed_until_they_end_and_comes_back_one_by_one() -> None:
    night = Closing("22:00", "04:00", "Europe/Berlin", "night batch")
    made = Gate({"erp": 8, "plm": 8}, BREAKER, {"erp": [night]})
    made.learn([], 0.0, NOW - timedelta(seconds=1))
    assert made.room("erp", "critical", 0.0) is None
    made.learn([], 10.0, NOW)
    assert made.room("erp", "critical", 10.0 + 6 * 3600 - 1) == 0
    assert made.room("plm", "critical", 10.0) is None
    assert made.room("erp", "critical", 10.0 + 6 * 3600) == 1
    made.learn([], 7 * 3600.0, NOW + timedelta(hours=7))
    assert made.room("erp", "critical", 7 * 3600.0) == 1


# --- once it is open again ---


def test_calls_come_back_one_by_one_and_halve_where_it_is_ill_again() -> None:
    made = gate(most=6)
    made.learn([Closure("erp", "circuit", until_s=10.0)], 0.0, NOW)
    made.learn([], 20.0, NOW)
    assert made.room("erp", "standard", 20.0) == 1
    calls(made, None, None, None, at=20.0)
    assert made.room("erp", "standard", 20.0) == 4
    calls(made, ILL, at=20.0)
    assert made.room("erp", "standard", 20.0) == 2
    made.began("erp")
    assert made.room("erp", "standard", 20.0) == 1
    made.ended("erp", None, 20.0, 0.0)
    calls(made, None, None, at=20.0)
    assert made.room("erp", "standard", 20.0) == 5
    calls(made, None, at=20.0)
    assert made.room("erp", "standard", 20.0) is None


def test_a_quota_that_is_used_up_is_no_reason_to_begin_with_one() -> None:
    made = gate()
    made.learn([Closure("erp", "quota", until_s=10.0)], 0.0, NOW)
    made.learn([], 20.0, NOW)
    assert made.room("erp", "standard", 20.0) is None


def test_what_others_know_is_asked_for_now_and_then_and_after_what_we_told() -> None:
    made = gate()
    assert made.is_stale(0.0)
    made.learn([], 0.0, NOW)
    assert not made.is_stale(FRESH_S / 2)
    assert made.is_stale(FRESH_S)
    made.learn([], 1.0, NOW)
    made.forget()
    assert made.is_stale(1.0)


# --- what a target asks for ---


def test_a_pause_that_is_asked_for_closes_the_system_for_all_up_to_a_limit() -> None:
    policy = RetryPolicy(retry_after_max_s=60)
    found = asked_to_close("erp", BUSY, policy, "standard")
    assert found == Close("erp", "asked", 7.0, "erp asked for a pause: 429")
    long = Unavailable("target-failed", "503", retry_after_s=1e9)
    assert asked_to_close("erp", long, policy, "standard") == Close(
        "erp", "asked", 60.0, "erp asked for a pause: 503"
    )


@pytest.mark.parametrize(
    "error",
    [
        None,
        ILL,
        Unavailable("rate-limited", "429"),
        Unavailable("rate-limited", "429", retry_after_s=-5.0),
        # Somebody has one object.
        Unavailable("locked", "423", retry_after_s=60.0),
        Rejected("target-refused", "no"),
    ],
)
def test_where_none_is_asked_for_or_for_one_object_it_stays_open(error: Exception | None) -> None:
    assert asked_to_close("erp", error, RetryPolicy(), "standard") is None


@pytest.mark.parametrize(("lane", "lower"), [("critical", False), ("standard", True)])
def test_a_quota_that_is_used_up_closes_it_to_those_who_may_use_no_more(
    lane: Lane, lower: bool
) -> None:
    error = NotNow("quota", "used up for 40 s", retry_after_s=40.0)
    found = asked_to_close("erp", error, RetryPolicy(), lane)
    assert found == Close("erp", "quota", 40.0, "used up for 40 s", lower=lower)
    other = NotNow("quota-of-api", "used up", retry_after_s=40.0)
    assert asked_to_close("erp", other, RetryPolicy(), lane) is None
