"""When a change may be done: what is open of it, one after the other, at the pace of what was done
before.

Pure. How many calls a system takes at once is no part of it, but in what the steps of before took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from graphlib import TopologicalSorter

import msgspec

from broker.ledger import SETTLED
from broker.store.views import STEPS_LIMIT, StepRow
from canonical.operations import AwaitTime, verb

LEAST = 5
"""Of fewer steps that were done nothing follows."""

_AWAIT_TIME = verb(AwaitTime)
_BEGUN = frozenset({"ready", "in_flight", "in_doubt"})

Kind = tuple[str, str]
"""Operation and system of steps."""


class Pace(msgspec.Struct, frozen=True):
    """How long steps of a kind took, from their turn to their end. done: how many that is from."""

    done: int
    median_s: float
    p90_s: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """When everything may be done, or why nobody can say.

    likely_at: at the median of what each step took before; slow_at: where each of them takes as
    long as nine of ten took less than. path: ids of the open steps that decide the first, in order.
    rests_on: steps done before that it is from. unknown: why there is none, "" where there is one.
    """

    likely_at: datetime | None = None
    slow_at: datetime | None = None
    path: tuple[int, ...] = ()
    rests_on: int = 0
    unknown: str = ""


def kinds(steps: Sequence[StepRow]) -> tuple[Kind, ...]:
    """The kinds of open steps whose pace has to be known, in order."""
    return tuple(sorted({_kind(s) for s in _open(steps) if _takes_time(s)}))


def estimate(
    steps: Sequence[StepRow], paces: Mapping[Kind, Pace], now: datetime, *, kept: int = 0
) -> Estimate:
    """When the steps of one ledger may all be settled.

    kept: how many of them people keep from going on.
    """
    if why := _unknown(steps, paces, kept):
        return Estimate(unknown=why)
    likely = _ends(steps, now, {kind: pace.median_s for kind, pace in paces.items()})
    slow = _ends(steps, now, {kind: pace.p90_s for kind, pace in paces.items()})
    if not likely:
        return Estimate(likely_at=now, slow_at=now)
    path = _path(steps, likely)
    used = {_kind(step) for step in path if _takes_time(step)}
    return Estimate(
        likely_at=max(likely.values()),
        slow_at=max(slow.values()),
        path=tuple(step.id for step in path),
        rests_on=sum(paces[kind].done for kind in used),
    )


def _unknown(steps: Sequence[StepRow], paces: Mapping[Kind, Pace], kept: int) -> str:
    if len(steps) >= STEPS_LIMIT:
        return f"it has more than {STEPS_LIMIT:,} steps"
    failed = sum(step.state == "failed" for step in steps)
    if failed:
        return f"{failed} failed: somebody has to look at it first"
    if kept:
        return f"people keep {kept} from going on"
    for kind in kinds(steps):
        done = paces[kind].done if kind in paces else 0
        if done < LEAST:
            times = {0: "was never done", 1: "was done once"}.get(done, f"was done {done} times")
            return f"{kind[0]} at {kind[1]} {times} before, and it takes {LEAST}"
    return ""


def _ends(
    steps: Sequence[StepRow], now: datetime, seconds: Mapping[Kind, float]
) -> dict[int, datetime]:
    """By id, when each open step ends if it takes so long from its turn on."""
    still_open = {step.id: step for step in _open(steps)}
    before = _before(steps)
    ends: dict[int, datetime] = {}
    for step_id in TopologicalSorter(before).static_order():
        step = still_open[step_id]
        begins = max((ends[n] for n in before[step_id]), default=now)
        if step.operation == _AWAIT_TIME and step.wake_at is not None:
            ends[step_id] = max(begins, step.wake_at)
        elif not _takes_time(step):
            ends[step_id] = begins
        else:
            # What has its turn, or waits for a fact, has been at it for a while.
            if step.state in _BEGUN or (step.kind == "wait" and not before[step_id]):
                begins = step.changed_at
            ends[step_id] = max(now, begins + timedelta(seconds=seconds[_kind(step)]))
    return ends


def _path(steps: Sequence[StepRow], ends: Mapping[int, datetime]) -> list[StepRow]:
    """The open steps that decide when the last one ends, in order: of what stands before each, the
    one that ends last."""
    by_id = {step.id: step for step in _open(steps)}
    before = _before(steps)
    last = max(ends, key=lambda n: (ends[n], -n))
    path = [last]
    while before[path[-1]]:
        path.append(max(before[path[-1]], key=lambda n: (ends[n], -n)))
    return [by_id[n] for n in reversed(path)]


def _before(steps: Sequence[StepRow]) -> dict[int, tuple[int, ...]]:
    """By id of each open step, the open ones that have to end first: those it depends on, and
    former forms of its own that are at their target still."""
    latest = {s.identity: s for s in sorted(steps, key=lambda s: s.generation)}
    former: dict[str, list[int]] = {}
    for step in _open(steps):
        if step is not latest[step.identity]:
            former.setdefault(step.identity, []).append(step.id)
    return {
        step.id: (
            *(
                latest[d].id
                for d in step.depends_on
                if d in latest and latest[d].state not in SETTLED
            ),
            *(former.get(step.identity, ()) if step is latest[step.identity] else ()),
        )
        for step in _open(steps)
    }


def _open(steps: Sequence[StepRow]) -> list[StepRow]:
    return [step for step in steps if step.state not in SETTLED]


def _kind(step: StepRow) -> Kind:
    return step.operation, step.system


def _takes_time(step: StepRow) -> bool:
    return step.kind != "announce" and step.operation != _AWAIT_TIME
