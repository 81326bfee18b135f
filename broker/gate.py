"""Whether a system is called now, and by how many at once: the one place that says so.

What closes a system (`Closure`) stands in PostgreSQL, so that all processes agree: it asked for a
pause, its quota is used up, its calls fail, it is to be away; or in the configuration: its hours.
A closed system keeps its calls where they are: nothing
is claimed, and no attempt is burnt. Once it is open again calls come back one by one: each that is
answered lets one more follow, each that shows it ill halves them.

Pure but for the clock that it is given: times are seconds of one process, what others know comes in
by `learn` and goes out as what `ended` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import msgspec

from broker.hours import Closing, closed
from broker.policy import RetryPolicy
from canonical.envelope import Lane
from canonical.errors import Failure, InDoubt, Unavailable

Cause = Literal["asked", "quota", "circuit", "hours", "outage"]

QUOTA = "quota"
"""Code of a call that was not made as a quota of the whole system is used up."""

# What says that the target as a whole is not well, whatever was asked of it. An error of its own
# (500) may be that of one object, or of one of its services, and the others go on.
_ILL = frozenset(
    {
        *("target-unreachable", "target-away", "target-slow", "answer-lost"),
        *("status-502", "status-503", "status-504"),
    }
)
_FAILED = ("target-failed", "status-5")

PROBES = 3
"""Calls that have to be answered, one at a time in each process, before it is open again."""
FRESH_S = 0.25
"""What others know is asked for so often."""
LOWER_LATER_S = 2.0
"""So much later lower lanes try a system that was closed: the critical one goes first."""


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a system is not called any more as its calls fail, and for how long.

    in_a_row: so many that show it ill one after the other; or half of at least `fewest` within
    window_s. closed_s: for how long, half of it at least; each time that it fails again twice as
    long, up to longest_s.
    """

    in_a_row: int = 5
    fewest: int = 20
    window_s: float = 30.0
    closed_s: float = 30.0
    longest_s: float = 300.0

    def trips(self, calls: Sequence[tuple[float, bool]], in_a_row: int) -> bool:
        """Whether a system is closed. calls: of the window, and whether each showed it ill."""
        ill = sum(is_ill for _, is_ill in calls)
        return in_a_row >= self.in_a_row or (len(calls) >= self.fewest and ill * 2 >= len(calls))

    def pause_s(self, times: int, jitter: float) -> float:
        """Seconds for which it is closed after so many times in a row; jitter in [0, 1)."""
        return min(self.closed_s * 2.0**times, self.longest_s) * (0.5 + jitter / 2)


class Closure(msgspec.Struct, frozen=True):
    """A system that is not called before `until_s`; a circuit is tried then, and closed until it is
    proven. lower: only to lower lanes. times: how often in a row."""

    system: str
    cause: Cause
    until_s: float
    lower: bool = False
    times: int = 1


class Close(msgspec.Struct, frozen=True):
    """A system is to be closed for so long, for all processes."""

    system: str
    cause: Cause
    for_s: float
    why: str
    lower: bool = False


class Proven(msgspec.Struct, frozen=True):
    """A call to a system whose circuit was open was answered."""

    system: str


class _Standing(msgspec.Struct):
    """What this process knows of one system.

    calls: when they ended, and whether they showed it ill. ceiling: calls at once; None = as many
    as it is set to. under_way: begun and not ended.
    """

    most: int
    calls: deque[tuple[float, bool]]
    in_a_row: int = 0
    ceiling: int | None = None
    under_way: int = 0
    closures: tuple[Closure, ...] = ()


class Gate:
    """The systems as one process may call them, over all its lanes."""

    def __init__(
        self,
        concurrency: Mapping[str, int],
        breaker: Breaker | None,
        closings: Mapping[str, Sequence[Closing]] = MappingProxyType({}),
    ) -> None:
        """concurrency: calls at once, by system. breaker: None = failures close no system.
        closings: when a system is not called by the clock."""
        self._breaker = breaker
        self._closings = closings
        self._learnt_s = float("-inf")
        self._systems = {name: _Standing(most, deque()) for name, most in concurrency.items()}

    def is_stale(self, now_s: float) -> bool:
        """Whether what others know was asked for long ago."""
        return now_s - self._learnt_s >= FRESH_S

    def forget(self) -> None:
        """What others know is to be asked for at once."""
        self._learnt_s = float("-inf")

    def learn(self, closures: Iterable[Closure], now_s: float, at: datetime) -> None:
        """These are closed, and those whose hours say so at that moment, which is now; no others.
        What is open again begins with one call."""
        self._learnt_s = now_s
        closures = [*closures, *self._by_the_clock(now_s, at)]
        found: dict[str, list[Closure]] = {name: [] for name in self._systems}
        for closure in closures:
            if closure.system in found:
                found[closure.system].append(closure)
        for name, standing in self._systems.items():
            closed = tuple(found[name])
            if any(c.cause != "quota" for c in closed):
                standing.ceiling = 1
            standing.closures = closed

    def _by_the_clock(self, now_s: float, at: datetime) -> Iterator[Closure]:
        for system, closings in self._closings.items():
            found = closed(closings, at)
            if found is not None:
                yield Closure(system, "hours", now_s + (found.until - at).total_seconds())

    def room(self, system: str, lane: Lane, now_s: float) -> int | None:
        """Calls that may begin now; None = any number."""
        standing = self._systems[system]
        for closure in standing.closures:
            if closure.lower and lane == "critical":
                continue
            later = LOWER_LATER_S if lane != "critical" and closure.cause != "quota" else 0.0
            if now_s < closure.until_s + later:
                return 0
        if standing.ceiling is None:
            return None
        return max(0, standing.ceiling - standing.under_way)

    def rooms(self, lane: Lane, now_s: float) -> dict[str, int | None]:
        """By system, the calls that may begin now, of those to which any may."""
        found = {name: self.room(name, lane, now_s) for name in self._systems}
        return {name: room for name, room in found.items() if room != 0}

    def began(self, system: str) -> None:
        """A call is under way."""
        self._systems[system].under_way += 1

    def ended(
        self, system: str, error: Exception | None, now_s: float, jitter: float
    ) -> Close | Proven | None:
        """A call has ended; what all processes are to know of it.

        error: what it failed with; a failure that says nothing of the target counts for nothing.
        jitter: drawn from [0, 1).
        """
        standing = self._systems[system]
        standing.under_way -= 1
        is_ill = isinstance(error, Failure) and shows_it_ill(error)
        breaker = self._breaker
        if breaker is None or not (error is None or is_ill):
            return None
        open_circuit = next((c for c in standing.closures if c.cause == "circuit"), None)
        if is_ill:
            standing.in_a_row += 1
            standing.ceiling = max(1, (standing.ceiling or standing.most) // 2)
        else:
            standing.in_a_row = 0
            if standing.ceiling is not None and open_circuit is None:
                raised = standing.ceiling + 1
                standing.ceiling = raised if raised < standing.most else None
        if open_circuit is not None:
            if now_s < open_circuit.until_s:
                return None  # It had begun before the circuit opened.
            return self._opened(open_circuit, jitter) if is_ill else Proven(system)
        standing.calls.append((now_s, is_ill))
        while standing.calls[0][0] < now_s - breaker.window_s:
            standing.calls.popleft()
        if not is_ill or not breaker.trips(standing.calls, standing.in_a_row):
            return None
        standing.calls.clear()
        standing.in_a_row = 0
        return self._opened(Closure(system, "circuit", 0.0, times=0), jitter)

    def _opened(self, before: Closure, jitter: float) -> Close:
        assert self._breaker is not None
        for_s = self._breaker.pause_s(before.times, jitter)
        return Close(before.system, "circuit", for_s, f"Calls to {before.system} fail")


def asked_to_close(
    system: str, error: Exception | None, policy: RetryPolicy, lane: Lane
) -> Close | None:
    """The pause for which the target asked, of all that call it; None where it asked for none, or
    only for one object.

    A quota that is used up is one for those who may use no more of it.
    """
    if not isinstance(error, Unavailable | InDoubt):
        return None
    for_s = policy.asked_s(error)
    if for_s <= 0:
        return None
    if error.code == QUOTA:
        return Close(system, "quota", for_s, error.what, lower=lane != "critical")
    is_failed = error.code.startswith(_FAILED)
    if error.code == "rate-limited" or is_failed or shows_it_ill(error):
        return Close(system, "asked", for_s, f"{system} asked for a pause: {error.what}"[:200])
    return None


def shows_it_ill(failure: Failure) -> bool:
    """Whether the target as a whole is not well, as far as one call can tell."""
    return failure.code in _ILL
