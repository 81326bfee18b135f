"""What happens to a message or a call that failed: pure, the one place that decides it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from canonical.errors import (
    DEFECT,
    OWNERS,
    Failure,
    InDoubt,
    InvalidMessage,
    Unavailable,
)


class Done(msgspec.Struct, frozen=True):
    """Finished. outcome: applied, duplicate or stale."""

    outcome: str = "applied"


class RetryAt(msgspec.Struct, frozen=True):
    """Tried again when due; its key waits."""

    due_at: datetime
    reason: str


class Park(msgspec.Struct, frozen=True):
    """Waits in an exception case and holds its key."""

    failure: Failure


class Invalid(msgspec.Struct, frozen=True):
    """Made no sense: an exception case; holds its key where one could be read."""

    failure: Failure


class Behind(msgspec.Struct, frozen=True):
    """Nothing wrong with it: it waits behind an earlier message of its key."""


class DeadLetter(msgspec.Struct, frozen=True):
    """Failed by a defect of ours until the limit: an exception case for us."""

    failure: Failure


Disposition = Done | RetryAt | Park | Invalid | Behind | DeadLetter


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long to go on trying.

    ceilings_s: seconds under which the wait is drawn, per attempt; the last one repeats.
    attempts: tries before it is parked. settle_s: how long a target may still be busy with a call
        whose answer was lost; it is looked up only then.
    """

    ceilings_s: tuple[float, ...] = (1, 3, 9, 27, 81, 243, 729, 900)
    attempts: int = 20
    defect_attempts: int = 3
    settle_s: float = 5.0

    def wait_s(self, attempt: int, jitter: float, retry_after_s: float | None = None) -> float:
        """Seconds until the next try; `jitter` in [0, 1); never below what the target asked for."""
        ceiling = self.ceilings_s[min(attempt, len(self.ceilings_s)) - 1]
        return max(ceiling * jitter, retry_after_s or 0.0)


def disposition(
    error: Exception, *, attempt: int, policy: RetryPolicy, now: datetime, jitter: float
) -> Disposition:
    """The fate of a message whose handling raised `error` at its `attempt`-th try (from 1)."""
    match error:
        case InvalidMessage():
            return Invalid(error)
        case Unavailable() if attempt < policy.attempts:
            wait_s = policy.wait_s(attempt, jitter, error.retry_after_s)
            return RetryAt(now + timedelta(seconds=wait_s), error.what)
        case Failure():
            return Park(error)
        case _ if attempt < policy.defect_attempts:
            wait_s = policy.wait_s(attempt, jitter)
            return RetryAt(now + timedelta(seconds=wait_s), type(error).__name__)
        case _:
            return DeadLetter(defect(error))


class CallFate(msgspec.Struct, frozen=True):
    """What becomes of a step whose call failed.

    state: ready (try again), in_doubt (look first), failed (a case is opened).
    """

    state: str
    next_at: datetime
    failure: Failure


def call_fate(
    error: Exception, *, attempt: int, policy: RetryPolicy, now: datetime, jitter: float
) -> CallFate:
    """The next state of a step.

    A call in doubt is looked up before anything is sent again; one that stays in doubt to the last
    attempt is put before a person, and tried again it is looked up first as well.
    """
    match error:
        case InDoubt() if attempt < policy.attempts:
            wait_s = policy.settle_s + policy.wait_s(attempt, jitter)
            return CallFate("in_doubt", now + timedelta(seconds=wait_s), error)
        case Unavailable() if attempt < policy.attempts:
            wait_s = policy.wait_s(attempt, jitter, error.retry_after_s)
            return CallFate("ready", now + timedelta(seconds=wait_s), error)
        case Failure():
            return CallFate("failed", now, error)
        case _:
            return CallFate("failed", now, defect(error))


def defect(error: Exception) -> Failure:
    """An unexpected exception as a failure of ours; its text stays in the log."""
    failure = Failure(
        "defect",
        f"Layshaft failed with {type(error).__name__} while handling this",
        remedy="Report it with the correlation id; it is tried again after the repair",
        owner=OWNERS[DEFECT],
    )
    failure.__cause__ = error
    return failure
