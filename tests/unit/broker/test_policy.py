"""The fate of what failed: a table per question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.policy import (
    Blocked,
    CallFate,
    DeadLetter,
    Invalid,
    Park,
    RetryAt,
    RetryPolicy,
    Schedule,
    Trial,
    Unfinished,
    call_fate,
    defect,
    disposition,
)
from canonical.envelope import Lane
from canonical.errors import (
    Busy,
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
    Unavailable,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy(
    transient=Schedule((1, 3, 9), 4), defect=Schedule((1, 3, 9), 3), retry_after_max_s=120
)
BUG = ZeroDivisionError("secret payload")

INVALID = InvalidMessage("i", "no sense")
REJECTED = Rejected("r", "no")
CONFLICT = Conflict("c", "not yours")
DUPLICATE = SuspectedDuplicate("d", "seen before")
SETTINGS = Misconfigured("m", "no such handler")
AWAY = Unavailable("u", "nobody there")
BUSY = Unavailable("u", "slow down", retry_after_s=60)
DOUBT_AND_BUSY = InDoubt("d", "who knows", retry_after_s=60)
VERY_BUSY = Unavailable("u", "slow down", retry_after_s=86_400)
DOUBT = InDoubt("t", "no answer")


BLOCKED = Blocked("blocked", "nobody else")


def trial(attempt: int, jitter: float = 0.5) -> Trial:
    return Trial(attempt=attempt, lane="standard", now=NOW, failing_since=NOW, jitter=jitter)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (INVALID, 1, Invalid(INVALID)),
        (REJECTED, 1, Park(REJECTED)),
        (CONFLICT, 1, Park(CONFLICT)),
        (DUPLICATE, 1, Park(DUPLICATE)),
        (SETTINGS, 1, Park(SETTINGS)),
        # A message is never in doubt by itself; a handler that says so is parked.
        (DOUBT, 1, Park(DOUBT)),
        (AWAY, 1, RetryAt(after(0.5), "nobody there")),
        (AWAY, 2, RetryAt(after(1.5), "nobody there")),
        (AWAY, 3, RetryAt(after(4.5), "nobody there")),
        (AWAY, 4, Park(AWAY)),
        (AWAY, 99, Park(AWAY)),
        (BUSY, 1, RetryAt(after(60), "slow down")),
        (VERY_BUSY, 1, RetryAt(after(120), "slow down")),
        (BUG, 1, RetryAt(after(0.5), "ZeroDivisionError")),
        (BUG, 2, RetryAt(after(1.5), "ZeroDivisionError")),
    ],
)
def test_the_fate_of_a_message(error: Exception, attempt: int, expected: object) -> None:
    assert disposition(error, trial(attempt), POLICY) == expected


def test_a_bug_at_its_limit_is_a_case_of_ours_that_tells_nothing_of_the_payload() -> None:
    fate = disposition(BUG, trial(3), POLICY)
    assert isinstance(fate, DeadLetter)
    failure = fate.failure
    assert (failure.code, failure.word, failure.owner) == ("defect", "defect", "layshaft team")
    assert "ZeroDivisionError" in failure.what
    assert "secret" not in str(failure)
    assert failure.__cause__ is BUG


@pytest.mark.parametrize(
    ("error", "attempt", "state", "next_at"),
    [
        (DOUBT, 1, "in_doubt", after(5.5)),
        (DOUBT, 3, "in_doubt", after(9.5)),
        # Tried to the end: a person looks; it may have been applied.
        (DOUBT, 1_000, "failed", NOW),
        (AWAY, 1, "ready", after(0.5)),
        (BUSY, 1, "ready", after(60)),
        (VERY_BUSY, 1, "ready", after(120)),
        (DOUBT_AND_BUSY, 1, "in_doubt", after(60)),
        (AWAY, 4, "failed", NOW),
        (REJECTED, 1, "failed", NOW),
        (CONFLICT, 1, "failed", NOW),
        (SETTINGS, 1, "failed", NOW),
    ],
)
def test_the_fate_of_a_call(error: Failure, attempt: int, state: str, next_at: datetime) -> None:
    fate = call_fate(error, attempt=attempt, policy=POLICY, settle_s=5, now=NOW, jitter=0.5)
    assert (fate.state, fate.next_at, fate.failure) == (state, next_at, error)


def test_what_somebody_has_is_looked_at_sooner_and_more_often_than_what_is_away() -> None:
    held = Busy("locked", "MILLER has it")

    def next_at(error: Failure, attempt: int) -> datetime:
        fate = call_fate(
            error, attempt=attempt, policy=RetryPolicy(), settle_s=5, now=NOW, jitter=0.99
        )
        assert fate.state == "ready"
        return fate.next_at

    away = Unavailable("target-failed", "503")
    assert all(next_at(held, n) < next_at(away, n) for n in range(5, 20))
    assert next_at(held, 149) < after(120)
    fate = call_fate(held, attempt=150, policy=RetryPolicy(), settle_s=5, now=NOW, jitter=0)
    assert (fate.state, fate.failure) == ("failed", held)


def test_a_bug_in_a_driver_fails_its_call_at_once() -> None:
    fate = call_fate(BUG, attempt=1, policy=POLICY, settle_s=5, now=NOW, jitter=0.5)
    assert (fate.state, fate.failure.word) == ("failed", "defect")


@pytest.mark.parametrize("attempt", [1, 4, 1_000])
def test_a_call_that_got_on_goes_on_at_once_and_burns_no_attempt(attempt: int) -> None:
    error = Unfinished("u", "200 writes are made")
    fate = call_fate(error, attempt=attempt, policy=POLICY, settle_s=5, now=NOW, jitter=0.5)
    assert fate == CallFate("ready", NOW, error, burns_attempt=False)


@given(
    attempt=st.integers(1, 100),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after_s=st.none() | st.floats(-10, 86_400),
)
def test_a_wait_stays_under_its_ceiling_and_never_below_what_the_target_asked_for(
    attempt: int, jitter: float, retry_after_s: float | None
) -> None:
    policy = RetryPolicy(transient=Schedule(attempts=101))
    busy = Unavailable("u", "slow down", retry_after_s=retry_after_s)
    fate = disposition(busy, trial(attempt, jitter), policy)
    assert isinstance(fate, RetryAt)
    wait_s = (fate.due_at - NOW).total_seconds()
    asked_s = min(max(retry_after_s or 0, 0), policy.retry_after_max_s)
    assert asked_s - 1e-5 <= wait_s <= max(900, asked_s) + 1e-5


def test_the_default_ceilings_are_those_of_the_retry_schedule() -> None:
    waits = [Schedule().wait_s(attempt, 1.0) for attempt in range(1, 11)]
    assert waits == [1, 3, 9, 27, 81, 243, 729, 900, 900, 900]


@pytest.mark.parametrize(
    ("lane", "hours", "is_final"),
    [("standard", 23, False), ("standard", 25, True), ("critical", 71, False),
     ("critical", 73, True), ("enrichment", 25, True)],
)  # fmt: skip
@pytest.mark.parametrize("error", [AWAY, BUG, BLOCKED])
def test_nothing_is_tried_again_beyond_the_life_of_its_lane(
    error: Exception, lane: Lane, hours: int, is_final: bool
) -> None:
    late = Trial(
        attempt=2, lane=lane, now=NOW, failing_since=NOW - timedelta(hours=hours), jitter=0.5
    )
    assert isinstance(disposition(error, late, POLICY), RetryAt) is not is_final


def test_what_our_own_database_holds_up_burns_no_attempt() -> None:
    assert disposition(BLOCKED, trial(99), POLICY) == RetryAt(
        after(15), "nobody else", burns_attempt=False
    )


def test_a_defect_keeps_its_cause_for_the_log() -> None:
    assert defect(BUG).__cause__ is BUG


def test_by_default_what_is_away_is_tried_20_times_and_a_defect_3_times() -> None:
    policy = RetryPolicy()
    for error, most in ((AWAY, 20), (BUG, 3)):
        fates = [disposition(error, trial(attempt), policy) for attempt in range(1, most + 1)]
        assert [isinstance(fate, RetryAt) for fate in fates] == [True] * (most - 1) + [False]
