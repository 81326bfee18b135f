"""How long something takes, where a test judges how that grows with the size of its input."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TRIES = 5


def processor_seconds(do: Callable[[], object]) -> float:
    """Processor time of the shortest of some tries.

    Without the collector, as timeit does: what that takes depends on all that lives in this
    process.
    """
    tries = []
    for _ in range(TRIES):
        gc.collect()
        gc.disable()
        try:
            began = time.process_time()
            do()
            tries.append(time.process_time() - began)
        finally:
            gc.enable()
    return min(tries)
