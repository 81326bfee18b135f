"""Watching from outside what instances say about themselves, and hold, while a fault is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.invariants import READY_S, SLACK, UNREADY_S, Candour, Illness
from tests.faults.service import Instance

# A process that dies closes its sockets some moments before it is known to be dead.
DYING_S = 0.5
LOOK_S = 0.2
READY = "layshaft_ready"


class _Readiness(msgspec.Struct):
    ready: bool
    trouble: dict[str, str]


class Watch:
    """Looks at the pages of an instance again and again, from its entering on. ended_at: when the
    fault was over, in seconds of the wall clock."""

    def __init__(self, instance: Instance, illness: Illness) -> None:
        self.illness = illness
        self._instance = instance
        self._began = time.monotonic()
        self._logged_before = instance.log.stat().st_size
        self._ended: float | None = None
        self.ended_at: float | None = None
        self._told = asyncio.Event()
        self._came_back = asyncio.Event()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(LOOK_S)

    async def showed(self) -> None:
        """Readiness went and named the cause, or had the time to."""
        await _happens(self._told, UNREADY_S * SLACK)

    async def ended(self) -> None:
        """The fault is over: readiness came back, or had the time to."""
        self._ended, self.ended_at = time.monotonic(), time.time()
        await _happens(self._came_back, READY_S * SLACK)
        self.illness.metric = self.illness.metric and not await self._parts_down()
        with self._instance.log.open("rb") as log:
            log.seek(self._logged_before)
            self.illness.logged = self.illness.logs.encode() in log.read()

    async def _look(self) -> None:
        illness = self.illness
        live, _ = await self._instance.page("/livez")
        illness.dead += live != 200
        status, text = await self._instance.page("/readyz")
        now = time.monotonic()
        if status == 503:
            if illness.unready_s is None:
                illness.unready_s = now - self._began
            illness.ready_s = None
            trouble = msgspec.json.decode(text, type=_Readiness).trouble
            illness.causes |= {f"{part}: {why}" for part, why in trouble.items()}
            if any(illness.names in cause for cause in illness.causes):
                self._told.set()
            illness.metric = illness.metric or bool(await self._parts_down())
        elif status == 200 and self._ended is not None and illness.ready_s is None:
            illness.ready_s = now - self._ended
            self._came_back.set()

    async def _parts_down(self) -> list[str]:
        """Parts whose metric says that they cannot work."""
        _, text = await self._instance.page("/metrics")
        return [
            sample.labels["part"]
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == READY and not sample.value
        ]


async def sampled(instances: Sequence[Instance], metric: str, **labels: str) -> float:
    """What the instances say of a metric, summed over its samples that carry these labels."""
    found = 0.0
    for instance in instances:
        _, text = await instance.page("/metrics")
        found += sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )
    return found


async def _happens(event: asyncio.Event, within_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s + 2 * LOOK_S):
            await event.wait()


@asynccontextmanager
async def watched(instance: Instance, why: str, *, names: str, logs: str) -> AsyncIterator[Watch]:
    """A watch over the block; the fault has ended where the block is left without an error."""
    watch = Watch(instance, Illness(why=why, names=names, logs=logs))
    looking = asyncio.create_task(watch.run())
    try:
        yield watch
        await watch.ended()
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


class Round:
    """Goes round all instances that run, again and again: what they say and how much they hold."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.candours = {i.name: Candour(who=i.name) for i in instances}
        self.sockets = 0
        # When somebody said that it cannot work, in seconds of the wall clock.
        self.unready_at: list[float] = []
        self._instances = instances
        # A start is counted as live from its first answer on: which one answered last.
        self._answered: dict[str, int] = {}

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Every instance was asked once."""
        await asyncio.gather(*(self._ask(i) for i in self._instances))
        with contextlib.suppress(OSError):  # one has just died
            held = sum(i.sockets for i in self._instances if i.is_running)
            self.sockets = max(self.sockets, held)

    async def ended(self) -> None:
        """All that run say they can work, or had the time to."""
        end = time.monotonic() + READY_S * SLACK
        await self.look()
        while time.monotonic() < end and not all(c.is_ready for c in self._asked()):
            await asyncio.sleep(LOOK_S)
            await self.look()

    def _asked(self) -> list[Candour]:
        return [self.candours[i.name] for i in self._instances if i.is_running]

    async def _ask(self, instance: Instance) -> None:
        start, candour = instance.starts, self.candours[instance.name]
        holds = instance.holds
        if not instance.is_running:
            return
        live, _ = await instance.page("/livez")
        status, text = await instance.page("/readyz")
        if live != 200:
            await asyncio.sleep(DYING_S)
        if (instance.starts, instance.holds) != (start, holds) or not instance.is_at_work:
            return  # it was killed, held still, or asked to end, meanwhile
        if live != 200 and self._answered.get(instance.name) != start:
            candour.is_ready = False
            return  # it is still starting
        self._answered[instance.name] = start
        candour.looks += 1
        candour.dead += live != 200
        candour.is_ready = status == 200
        if status == 503:
            trouble = msgspec.json.decode(text, type=_Readiness).trouble
            candour.nameless += not trouble
            candour.causes |= {f"{part}: {why}" for part, why in trouble.items()}
            candour.unready_s += LOOK_S
            self.unready_at.append(time.time())


@asynccontextmanager
async def gone_round(instances: Sequence[Instance]) -> AsyncIterator[Round]:
    """A round over the block; the fault has ended where the block is left without an error."""
    rounds = Round(instances)
    looking = asyncio.create_task(rounds.run())
    try:
        yield rounds
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    await rounds.ended()
