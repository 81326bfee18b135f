"""Background work: every loop has the same start and stop, and one runner guards them all."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")

TOLD_AGAIN_S = 1.0
MOMENT_S = 0.2


class Clearing:
    """Word that a fault is over for one, so that others need not rest to the end.

    What is away is away for all of a process, and each finds out for itself when it is back, at a
    time of its own: the last one seconds after the first.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._told_at = float("-inf")
        self._resting: set[asyncio.Event] = set()

    def tell(self) -> None:
        """What failed before has succeeded. Heard once a second at most: where a fault comes and
        goes, rests have to go on growing."""
        if self._now() - self._told_at < TOLD_AGAIN_S:
            return
        self._told_at = self._now()
        for cleared in self._resting:
            cleared.set()

    async def rest(self, seconds: float, wake: asyncio.Event) -> None:
        """The rest after a failure: until so long has passed, `wake` is set, or a moment after
        somebody told; not all of them at the same one."""
        cleared = asyncio.Event()
        self._resting.add(cleared)
        waits = [asyncio.create_task(event.wait()) for event in (wake, cleared)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._resting.discard(cleared)
            for wait in waits:
                wait.cancel()
        if cleared.is_set() and not wake.is_set():
            await asyncio.sleep(random.uniform(0, MOMENT_S))


class Loop:
    """Runs `turn` again and again until stopped.

    A turn returns whether there was work; without work the loop rests until it is woken or
    `rest_s` has passed. A turn that raises is logged, the loop rests longer each time (up to
    `rest_max_s`, with jitter, so that all loops of all processes do not come back in one step) and
    goes on: this is the only broad guard besides the pipeline's.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Awaitable[bool]],
        *,
        rest_s: float,
        rest_max_s: float = 5.0,
        gather_s: float = 0.0,
        failed: Callable[[BaseException | None], None] = lambda error: None,
        clearing: Clearing | None = None,
    ) -> None:
        """gather_s: what wakes it comes in crowds; so long it waits for the others, and does all of
        them in one turn. clearing: shared with what fails for the same reasons."""
        self.name = name
        self._turn = turn
        self._rest_s = rest_s
        self._rest_max_s = rest_max_s
        self._gather_s = gather_s
        self._failed = failed
        self._clearing = clearing or Clearing()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The loop runs in a task of its own."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """There may be work: the rest ends now."""
        self._wake.set()

    async def stop(self, deadline_s: float) -> None:
        """The turn under way has ended, or was cancelled at the deadline."""
        self._stopping = True
        self._wake.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=deadline_s)
        for task in late:
            log.warning("loop cancelled at its deadline", loop=self.name)
            task.cancel()
            await asyncio.wait({task}, timeout=1)

    async def _run(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            try:
                busy = await self._turn()
            except Exception as error:
                failures += 1
                self._failed(error)
                log.warning(
                    "loop failed",
                    loop=self.name,
                    failures=failures,
                    error=repr(error)[:300],
                    exc_info=error if failures == 1 else None,
                )
                # Error and frames are a circle; while nothing works nobody else has them collected.
                gc.collect()
                longest_s = min(self._rest_s * 2**failures, self._rest_max_s)
                if not self._stopping:
                    await self._clearing.rest(longest_s * random.uniform(0.5, 1), self._wake)
                continue
            if failures:
                log.info("loop recovered", loop=self.name, failures=failures)
                self._clearing.tell()
            failures = 0
            self._failed(None)
            if not busy:
                # Not in step with the other processes.
                await self._rest(self._rest_s * random.uniform(0.75, 1.25))
                if self._gather_s and self._wake.is_set() and not self._stopping:
                    await asyncio.sleep(self._gather_s)

    async def _rest(self, seconds: float) -> None:
        if self._stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs to its end even if the caller is cancelled: nothing between begin and commit is cut."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
