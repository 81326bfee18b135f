"""The fate of what failed: a table per question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.policy import (
    DeadLetter,
    Invalid,
    Park,
    RetryAt,
    RetryPolicy,
    call_fate,
    defect,
    disposition,
)
from canonical.errors import (
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
POLICY = RetryPolicy(ceilings_s=(1, 3, 9), attempts=4, defect_attempts=3, settle_s=5)
BUG = ZeroDivisionError("secret payload")

INVALID = InvalidMessage("i", "no sense")
REJECTED = Rejected("r", "no")
CONFLICT = Conflict("c", "not yours")
DUPLICATE = SuspectedDuplicate("d", "seen before")
SETTINGS = Misconfigured("m", "no such handler")
AWAY = Unavailable("u", "nobody there")
BUSY = Unavailable("u", "slow down", retry_after_s=60)
DOUBT = InDoubt("t", "no answer")


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
        (BUG, 1, RetryAt(after(0.5), "ZeroDivisionError")),
        (BUG, 2, RetryAt(after(1.5), "ZeroDivisionError")),
    ],
)
def test_the_fate_of_a_message(error: Exception, attempt: int, expected: object) -> None:
    assert disposition(error, attempt=attempt, policy=POLICY, now=NOW, jitter=0.5) == expected


def test_a_bug_at_its_limit_is_a_case_of_ours_that_tells_nothing_of_the_payload() -> None:
    fate = disposition(BUG, attempt=3, policy=POLICY, now=NOW, jitter=0.5)
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
        (AWAY, 4, "failed", NOW),
        (REJECTED, 1, "failed", NOW),
        (CONFLICT, 1, "failed", NOW),
        (SETTINGS, 1, "failed", NOW),
    ],
)
def test_the_fate_of_a_call(error: Failure, attempt: int, state: str, next_at: datetime) -> None:
    fate = call_fate(error, attempt=attempt, policy=POLICY, now=NOW, jitter=0.5)
    assert (fate.state, fate.next_at, fate.failure) == (state, next_at, error)


def test_a_bug_in_a_driver_fails_its_call_at_once() -> None:
    fate = call_fate(BUG, attempt=1, policy=POLICY, now=NOW, jitter=0.5)
    assert (fate.state, fate.failure.word) == ("failed", "defect")


@given(
    attempt=st.integers(1, 100),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after_s=st.none() | st.floats(0, 86_400),
)
def test_a_wait_stays_under_its_ceiling_and_never_below_what_the_target_asked_for(
    attempt: int, jitter: float, retry_after_s: float | None
) -> None:
    wait_s = RetryPolicy().wait_s(attempt, jitter, retry_after_s)
    assert wait_s >= (retry_after_s or 0)
    assert wait_s <= max(900, retry_after_s or 0)


def test_the_default_ceilings_are_those_of_the_retry_schedule() -> None:
    waits = [RetryPolicy().wait_s(attempt, 1.0) for attempt in range(1, 11)]
    assert waits == [1, 3, 9, 27, 81, 243, 729, 900, 900, 900]


def test_a_defect_keeps_its_cause_for_the_log() -> None:
    assert defect(BUG).__cause__ is BUG
