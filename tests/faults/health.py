"""Watching from outside what an instance says about itself while it cannot work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.invariants import READY_S, SLACK, UNREADY_S, Illness
from tests.faults.service import Instance

LOOK_S = 0.2
READY = "layshaft_ready"


class _Readiness(msgspec.Struct):
    ready: bool
    trouble: dict[str, str]


class Watch:
    """Looks at the pages of an instance again and again, from its entering on."""

    def __init__(self, instance: Instance, illness: Illness) -> None:
        self.illness = illness
        self._instance = instance
        self._began = time.monotonic()
        self._logged_before = instance.log.stat().st_size
        self._ended: float | None = None
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
        self._ended = time.monotonic()
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
