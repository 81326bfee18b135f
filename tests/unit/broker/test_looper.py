"""Loops turn again where there is work, and gather what comes in crowds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from broker.looper import MOMENT_S, TOLD_AGAIN_S, Clearing, Loop


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


class Weather:
    """Something that is away for all loops until it is back."""

    def __init__(self) -> None:
        self.is_away = True
        self.seen_at: dict[str, float] = {}

    def turn(self, name: str) -> Callable[[], Awaitable[bool]]:
        """The turn of the loop of that name."""

        async def turn() -> bool:
            if self.is_away:
                raise ConnectionError("away")
            self.seen_at.setdefault(name, monotonic())
            return False

        return turn


async def test_what_is_back_for_one_loop_is_tried_by_the_others_soon() -> None:
    weather, clearing = Weather(), Clearing()
    names = ("first", "second", "third")
    loops = [
        Loop(name, weather.turn(name), rest_s=60, rest_max_s=60, clearing=clearing)
        for name in names
    ]
    for loop in loops:
        loop.start()
    await asyncio.sleep(0.05)
    weather.is_away = False
    back_at = monotonic()
    loops[0].wake()
    await asyncio.sleep(1)
    assert set(weather.seen_at) == set(names)
    assert max(weather.seen_at.values()) - back_at < 3 * MOMENT_S
    for loop in loops:
        await loop.stop(deadline_s=5)


async def test_where_a_fault_comes_and_goes_rests_are_not_cut_short_each_time() -> None:
    now = [100.0]
    clearing, wake = Clearing(now=lambda: now[0]), asyncio.Event()
    clearing.tell()
    now[0] += TOLD_AGAIN_S / 2
    rest = asyncio.create_task(clearing.rest(60, wake))
    await asyncio.sleep(0.01)
    clearing.tell()
    await asyncio.sleep(2 * MOMENT_S)
    assert not rest.done()
    now[0] += TOLD_AGAIN_S
    clearing.tell()
    await asyncio.wait_for(rest, timeout=5)


async def test_a_rest_ends_when_it_is_over_or_somebody_is_woken() -> None:
    clearing, wake = Clearing(), asyncio.Event()
    await clearing.rest(0.01, wake)
    wake.set()
    await asyncio.wait_for(clearing.rest(60, wake), timeout=5)
