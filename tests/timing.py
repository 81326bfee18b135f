"""How long something takes, where a test judges how that grows with the size of its input."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

ROUNDS = 12
_TRIES = 3
# What disturbs a measurement is short against this: what takes longer is not tried again.
_LONG_S = 0.2


def times_as_long(
    long: Callable[[], object], short: Callable[[], object], *, enough: float
) -> float:
    """Processor time of the one by that of the other, each at its shortest.

    Tried in turn until the ratio is below `enough`, or the rounds are over: what others do on the
    machine comes and goes, and may make one of two measurements many times as long.
    """
    long_s = short_s = float("inf")
    for _ in range(ROUNDS):
        short_s = min(short_s, processor_seconds(short))
        long_s = min(long_s, processor_seconds(long, tries=1))
        if long_s < enough * short_s:
            break
    return long_s / short_s


def processor_seconds(do: Callable[[], object], *, tries: int = _TRIES) -> float:
    """Processor time of the shortest of some tries, as many as take no long time.

    Without the collector, as timeit does: what that takes depends on all that lives in this
    process.
    """
    took = []
    for _ in range(tries):
        gc.collect()
        gc.disable()
        try:
            began = time.process_time()
            do()
            took.append(time.process_time() - began)
        finally:
            gc.enable()
        if sum(took) > _LONG_S:
            break
    return min(took)
