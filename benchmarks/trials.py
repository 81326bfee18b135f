"""What is measured by itself: each trial tells figures, not how it does against others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from benchmarks.filled import filled
from benchmarks.lanes import lanes
from benchmarks.ledgers import ledgers
from benchmarks.place import Place
from benchmarks.replays import replays
from benchmarks.replicas import replicas
from benchmarks.soak import soak


class Measure(Protocol):
    """Figures by name; units stand in the names or in the docstring."""

    async def __call__(self, place: Place, *, quick: bool) -> dict[str, float]:
        """quick: little of everything, to see that it works."""


class TrialKind(msgspec.Struct, frozen=True):
    """A trial that can be asked for."""

    what: str
    run: Measure


TRIALS: Mapping[str, TrialKind] = {
    "lanes": TrialKind("the critical lane beside a backlog in the lowest one", lanes),
    "filled": TrialKind("a database that remembers a month, against an empty one", filled),
    "soak": TrialKind("memory and tables over a million messages", soak),
    "replay": TrialKind("an unthrottled replay against live messages", replays),
    "replicas": TrialKind("two replicas against one", replicas),
    "ledger": TrialKind("steps that become true where targets answer at once", ledgers),
}
