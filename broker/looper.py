"""Background work: every loop has the same start and stop, and one runner guards them all."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


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
    ) -> None:
        """gather_s: what wakes it comes in crowds; so long it waits for the others, and does all of
        them in one turn."""
        self.name = name
        self._turn = turn
        self._rest_s = rest_s
        self._rest_max_s = rest_max_s
        self._gather_s = gather_s
        self._failed = failed
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
                await self._rest(longest_s * random.uniform(0.5, 1))
                continue
            if failures:
                log.info("loop recovered", loop=self.name, failures=failures)
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
