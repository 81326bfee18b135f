"""`layshaft run` with a gauge beside its own: the longest turn of the event loop.

Measured in CPU time of the loop's thread, so that a busy machine does not look like a busy loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop
from prometheus_client import Gauge

from handlers import CATALOGUE
from ops.app import App
from ops.configuration import load
from ops.logs import configure_logs

LONGEST_TURN = "test_longest_turn_seconds"
_TICK_S = 0.002


class LoopWatch:
    """The most CPU time between two ticks since somebody last asked.

    A loop that is free runs a tick when it is due: what passes between two of them is one turn.
    """

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._last_s = time.thread_time()

    def tick(self) -> None:
        """One tick; the next one is due at once after this turn."""
        now_s = time.thread_time()
        self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s
        asyncio.get_running_loop().call_later(_TICK_S, self.tick)

    def take(self) -> float:
        """The longest turn so far, which is forgotten."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s


async def serve(config: Path) -> None:
    """Works until SIGTERM."""
    app = App(load(config, {}), catalogue=CATALOGUE, environ=os.environ)
    watch = LoopWatch()
    gauge = Gauge(LONGEST_TURN, "CPU seconds", registry=app.metrics.registry)
    gauge.set_function(watch.take)
    watch.tick()
    await app.run()


if __name__ == "__main__":
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
