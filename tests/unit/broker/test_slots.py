"""Slots of a target, shared out to the lanes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.channels.slots import LANES, TURN, Slots
from canonical.envelope import Lane


class Calls:
    """Calls that wait for a slot, and end when they are told to."""

    def __init__(self, total: int) -> None:
        self.slots = Slots(total)
        # Lanes of calls in the order in which they began; those that have not ended.
        self.begun: list[Lane] = []
        self.under_way: list[tuple[Lane, asyncio.Event]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, lane: Lane) -> asyncio.Task[None]:
        """A call of the lane waits, or has begun."""
        task = asyncio.create_task(self._call(lane))
        self._tasks.append(task)
        await settled()
        return task

    async def _call(self, lane: Lane) -> None:
        end = asyncio.Event()
        async with self.slots.one(lane):
            self.begun.append(lane)
            self.under_way.append((lane, end))
            await end.wait()
            self.under_way.remove((lane, end))

    async def end_one(self) -> None:
        """The oldest call under way ends."""
        if self.under_way:
            self.under_way[0][1].set()
        await settled()

    async def stop(self) -> None:
        """Nothing is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def settled() -> None:
    """Everybody who could go on has."""
    for _ in range(5):
        await asyncio.sleep(0)


def times(lane: Lane, number: int) -> list[Lane]:
    return [lane] * number


async def asked(total: int, *lanes: Lane) -> Calls:
    calls = Calls(total)
    for lane in lanes:
        await calls.ask(lane)
    return calls


async def test_lower_lanes_leave_a_slot_to_the_critical_one() -> None:
    calls = await asked(4, *times("standard", 6))
    assert calls.begun == times("standard", 3)
    await calls.ask("critical")
    assert calls.begun == [*times("standard", 3), "critical"]
    await calls.stop()


async def test_the_lowest_lane_takes_a_quarter_at_most() -> None:
    calls = await asked(8, *times("enrichment", 5), *times("standard", 8))
    assert Counter(calls.begun) == {"enrichment": 2, "standard": 5}
    await calls.stop()


async def test_the_critical_lane_may_take_all_of_them() -> None:
    calls = await asked(3, *times("critical", 3))
    assert len(calls.begun) == 3
    await calls.stop()


async def test_a_target_that_takes_one_call_at_a_time_serves_every_lane() -> None:
    calls = await asked(1, "enrichment", "standard", "critical")
    assert calls.begun == ["enrichment"]
    await calls.end_one()
    await calls.end_one()
    assert calls.begun == ["enrichment", "critical", "standard"]
    await calls.stop()


async def test_the_lowest_lane_gets_its_tenth_of_a_target_that_is_saturated() -> None:
    calls = await asked(1, *times("enrichment", 5), *times("critical", 50))
    for _ in range(30):
        await calls.end_one()
    assert 30 // TURN <= Counter(calls.begun)["enrichment"] <= 30 // TURN + 2
    await calls.stop()


async def test_one_that_gives_up_waiting_keeps_nobody_from_a_slot() -> None:
    calls = await asked(1, "critical")
    waiting = await calls.ask("critical")
    await calls.ask("standard")
    waiting.cancel()
    await settled()
    await calls.end_one()
    assert calls.begun == ["critical", "standard"]
    await calls.stop()


async def test_one_that_gives_up_as_it_gets_its_slot_gives_it_back() -> None:
    calls = await asked(1, "critical")
    late = await calls.ask("critical")
    calls.under_way[0][1].set()
    # The first one ends in this turn and gives its slot away; the other one is gone in the next.
    await asyncio.sleep(0)
    late.cancel()
    await settled()
    await calls.ask("standard")
    assert calls.begun == ["critical", "standard"]
    await calls.stop()


@pytest.mark.parametrize("total", [1, 2, 4, 9])
@given(steps=st.lists(st.sampled_from([*LANES, "end"]), max_size=60))
def test_no_limit_is_ever_exceeded_and_no_slot_is_lost(total: int, steps: list[str]) -> None:
    async def run() -> None:
        calls = Calls(total)
        for each in steps:
            if each == "end":
                await calls.end_one()
            else:
                await calls.ask(next(lane for lane in LANES if lane == each))
            assert sum(calls.slots._taken.values()) <= total
            assert calls.slots._taken["enrichment"] <= max(total // 4, 1)
        await calls.stop()
        assert not any(calls.slots._taken.values())

    asyncio.run(run())
