"""What happens to a message or a call that failed: pure, the one place that decides it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from canonical.envelope import Lane
from canonical.errors import (
    DEFECT,
    OWNERS,
    Busy,
    Failure,
    InDoubt,
    InvalidMessage,
    Unavailable,
)


class Done(msgspec.Struct, frozen=True):
    """Finished. outcome: applied, stale, superseded or passed."""

    outcome: str = "applied"


class RetryAt(msgspec.Struct, frozen=True):
    """Tried again when due; its key waits. burns_attempt: the message met it, not the weather."""

    due_at: datetime
    reason: str
    burns_attempt: bool = True


class Blocked(Unavailable):
    """Our own database lets everything through but this message, and says nothing against it."""


class Unfinished(Unavailable):
    """A call made part of its step true before its claim was used up; the next one goes on."""


class NotNow(Unavailable):
    """Nothing was asked of the target: it is not to be called now, by no fault of the step."""


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


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often and how long to go on trying one class of failure.

    ceilings_s: seconds under which the wait is drawn (full jitter), per attempt; the last one
        repeats. attempts: tries before it is parked.
    """

    ceilings_s: tuple[float, ...] = (1, 3, 9, 27, 81, 243, 729, 900)
    attempts: int = 20

    def wait_s(self, attempt: int, jitter: float) -> float:
        """Seconds until the next try after the `attempt`-th one; `jitter` in [0, 1)."""
        return self.ceilings_s[min(attempt, len(self.ceilings_s)) - 1] * jitter


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to go on trying, per failure class.

    transient: somebody else is away. busy: somebody has the object, such as a person who works on
        it: looked at sooner and more often, for some hours. defect: a bug of ours; a repair comes
        with a deploy, not by waiting. Blocked: it alone meets a lock or a time-out of our database
        while everything else goes through; it is put off without burning an attempt, by at most
        blocked_s each time.
    life_s, critical_life_s: seconds after the first failure in which it is tried again at all.
    retry_after_max_s: the longest pause a target may ask for.
    """

    transient: Schedule = Schedule()
    busy: Schedule = Schedule(ceilings_s=(2, 5, 10, 30, 60, 120), attempts=150)
    defect: Schedule = Schedule(ceilings_s=(1, 9, 81), attempts=3)
    blocked_s: float = 30.0
    life_s: float = 86_400.0
    critical_life_s: float = 259_200.0
    retry_after_max_s: float = 3_600.0

    def asked_s(self, failure: Unavailable | InDoubt) -> float:
        """The pause the target asked for, clipped; 0 where it did not say."""
        return min(max(failure.retry_after_s or 0.0, 0.0), self.retry_after_max_s)

    def gives_up_at(self, lane: Lane, failing_since: datetime) -> datetime:
        """From then on a failure is final."""
        life_s = self.critical_life_s if lane == "critical" else self.life_s
        return failing_since + timedelta(seconds=life_s)

    @property
    def longest_s(self) -> float:
        """Seconds after which no message is tried again by itself."""
        return max(self.life_s, self.critical_life_s)


class Trial(msgspec.Struct, frozen=True):
    """One try of a message. attempt: from 1. jitter: drawn from [0, 1).

    failing_since: when its first try failed; `now` if this is the first.
    """

    attempt: int
    lane: Lane
    now: datetime
    failing_since: datetime
    jitter: float


def disposition(error: Exception, trial: Trial, policy: RetryPolicy) -> Disposition:
    """The fate of a message whose handling raised `error`."""
    match error:
        case InvalidMessage():
            return Invalid(error)
        case Blocked():
            wait_s = policy.blocked_s * trial.jitter
            again = _again(error.what, wait_s, trial, policy)
            return msgspec.structs.replace(again, burns_attempt=False) if again else Park(error)
        case Unavailable() if trial.attempt < policy.transient.attempts:
            wait_s = policy.transient.wait_s(trial.attempt, trial.jitter)
            wait_s = max(wait_s, policy.asked_s(error))
            return _again(error.what, wait_s, trial, policy) or Park(error)
        case Failure():
            return Park(error)
        case _ if trial.attempt < policy.defect.attempts:
            wait_s = policy.defect.wait_s(trial.attempt, trial.jitter)
            reason = type(error).__name__
            return _again(reason, wait_s, trial, policy) or DeadLetter(defect(error))
        case _:
            return DeadLetter(defect(error))


def _again(reason: str, wait_s: float, trial: Trial, policy: RetryPolicy) -> RetryAt | None:
    """A retry, unless it would come too late to be tried at all."""
    due_at = trial.now + timedelta(seconds=wait_s)
    if due_at > policy.gives_up_at(trial.lane, trial.failing_since):
        return None
    return RetryAt(due_at, reason)


class CallFate(msgspec.Struct, frozen=True):
    """What becomes of a step whose call failed.

    state: ready (try again), in_doubt (look first), failed (a case is opened).
    burns_attempt: nothing came of it.
    """

    state: str
    next_at: datetime
    failure: Failure
    burns_attempt: bool = True


def call_fate(
    error: Exception,
    *,
    attempt: int,
    policy: RetryPolicy,
    settle_s: float,
    now: datetime,
    jitter: float,
) -> CallFate:
    """The next state of a step.

    settle_s: how long its target may still be busy with a call whose answer was lost.
    A call in doubt is looked up before anything is sent again; one that stays in doubt to the last
    attempt is put before a person, and tried again it is looked up first as well.
    """
    match error:
        case InDoubt() if attempt < policy.transient.attempts:
            wait_s = settle_s + policy.transient.wait_s(attempt, jitter)
            wait_s = max(wait_s, policy.asked_s(error))
            return CallFate("in_doubt", now + timedelta(seconds=wait_s), error)
        case Unfinished():
            return CallFate("ready", now, error, burns_attempt=False)
        case NotNow():
            wait_s = policy.asked_s(error) + policy.transient.wait_s(1, jitter)
            return CallFate("ready", now + timedelta(seconds=wait_s), error, burns_attempt=False)
        case Unavailable():
            schedule = policy.busy if isinstance(error, Busy) else policy.transient
            if attempt >= schedule.attempts:
                return CallFate("failed", now, error)
            wait_s = max(schedule.wait_s(attempt, jitter), policy.asked_s(error))
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
        remedy="Report it with the correlation id; once it is repaired, try it again",
        owner=OWNERS[DEFECT],
    )
    failure.__cause__ = error
    return failure
