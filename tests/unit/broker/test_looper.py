"""Loops turn again where there is work, and gather what comes in crowds."""

from __future__ import annotations

import asyncio
from time import monotonic

from broker.looper import Loop


class Work:
    """What a loop has to do; done: how much was there at each turn."""

    def __init__(self) -> None:
        self.waiting = 0
        self.done: list[int] = []

    async def turn(self) -> bool:
        """All of it is done."""
        self.done.append(self.waiting)
        self.waiting = 0
        return False


async def a_crowd(work: Work, loop: Loop) -> None:
    for _ in range(5):
        work.waiting += 1
        loop.wake()
        await asyncio.sleep(0.01)


async def test_what_comes_in_a_crowd_is_done_in_one_turn() -> None:
    work = Work()
    loop = Loop("work", work.turn, rest_s=60, gather_s=0.5)
    loop.start()
    await asyncio.sleep(0.01)
    await a_crowd(work, loop)
    await asyncio.sleep(1)
    await loop.stop(deadline_s=5)
    assert work.done == [0, 5]


async def test_without_gathering_each_is_done_at_once() -> None:
    work = Work()
    loop = Loop("work", work.turn, rest_s=60)
    loop.start()
    await asyncio.sleep(0.01)
    await a_crowd(work, loop)
    await loop.stop(deadline_s=5)
    assert work.done == [0, 1, 1, 1, 1, 1]


async def test_a_loop_that_gathers_is_stopped_within_its_gathering() -> None:
    work = Work()
    loop = Loop("work", work.turn, rest_s=60, gather_s=0.2)
    loop.start()
    await asyncio.sleep(0.01)
    loop.wake()
    await asyncio.sleep(0.01)
    began = monotonic()
    await loop.stop(deadline_s=5)
    assert monotonic() - began < 3 * 0.2
