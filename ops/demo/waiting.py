"""Waiting for something to become true, with a deadline and words for when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_S = 0.05


class Stuck(Exception):
    """The story cannot go on; the text says what did not happen, `evidence` where to look."""

    def __init__(self, what: str, evidence: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence


async def until(is_true: Callable[[], Awaitable[bool]], what: str, deadline_s: float) -> None:
    """Returns once `is_true()`; asked every 50 ms, since what is waited for is other processes.

    Raises: Stuck once `deadline_s` has passed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not await is_true():
        if loop.time() > end:
            raise Stuck(f"not true after {deadline_s:.0f} s: {what}")
        await asyncio.sleep(POLL_S)
