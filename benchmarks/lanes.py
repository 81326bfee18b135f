"""What a backlog in the lowest lane does to the critical one, and what giving way costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter

from benchmarks.changes import letters
from benchmarks.latency import LEAD, all_taken, hearing, p99, paced, took_ms
from benchmarks.place import (
    BEGIN_LOOK_S,
    BULK_KIND,
    LANES,
    SOURCE,
    URGENT_KIND,
    Invalid,
    Place,
)
from broker.topology import inbound_queue

BACKLOG, QUICK_BACKLOG = 50_000, 15_000
RATE = 50.0
ALONE_S, QUICK_ALONE_S = 15.0, 3.0
LARGE_ITEMS, LARGE_RATE = 1_000, 4.0
LEAST = 50
"""Critical messages that have to come beside the backlog; fewer say nothing about a p99."""
BULK = inbound_queue(SOURCE, BULK_KIND, LANES[BULK_KIND])


async def lanes(place: Place, *, quick: bool) -> dict[str, float]:
    """p99 of the critical lane in milliseconds: alone, beside the draining backlog, beside it where
    nobody gives way, and beside contents of 400 kB; the rates at which the backlog goes, in
    messages a second."""
    backlog = QUICK_BACKLOG if quick else BACKLOG
    alone = await _alone(place, QUICK_ALONE_S if quick else ALONE_S)
    free = await _drain_alone(place, backlog)
    yielding, drained = await _beside(place, backlog, share=0.3)
    pushing, drained_pushing = await _beside(place, backlog, share=1.0)
    large = await _beside_large(place, QUICK_ALONE_S if quick else ALONE_S)
    return {
        "critical_alone_p50_ms": round(median(alone), 2),
        "critical_alone_p99_ms": p99(alone),
        "critical_beside_p50_ms": round(median(yielding), 2),
        "critical_beside_p99_ms": p99(yielding),
        "critical_not_given_way_p99_ms": p99(pushing),
        "critical_beside_large_p99_ms": p99(large),
        "p99_ratio": round(p99(yielding) / p99(alone), 2),
        "drain_alone": round(free),
        "drain_giving_way": round(drained),
        "drain_not_giving_way": round(drained_pushing),
    }


async def _alone(place: Place, seconds: float) -> list[float]:
    database = place.fresh_database()
    written = letters(LEAD + int(seconds * RATE), seed=77, series="URG")
    async with hearing(database, "77-%") as taken, _working(place, database):
        accepted = await paced(place, written, RATE, URGENT_KIND)
        await all_taken(place, taken, accepted)
    await place.drop(database)
    return took_ms(written[LEAD:], accepted, taken)


async def _drain_alone(place: Place, backlog: int) -> float:
    database = place.fresh_database()
    await place.fill(letters(backlog, seed=1), BULK_KIND)
    async with _working(place, database):
        began = await place.until(
            lambda: _below(place, backlog), "the first is taken", look_s=BEGIN_LOOK_S
        )
        ended = await place.until(lambda: _below(place, 1), "the backlog is gone")
    await place.drop(database)
    return backlog / (ended - began)


async def _beside(place: Place, backlog: int, share: float) -> tuple[list[float], float]:
    """Latencies of critical messages for as long as the backlog lasts, and its rate."""
    database = place.fresh_database()
    await place.fill(letters(backlog, seed=1), BULK_KIND)
    written = letters(20_000, seed=77, series="URG")
    accepted: dict[str, float] = {}
    async with hearing(database, "77-%") as taken, _working(place, database, share=share):
        await place.until(lambda: _below(place, backlog), "the first is taken")
        began, sent = perf_counter(), 0
        while not await _below(place, 1):
            await asyncio.sleep(began + sent / RATE - perf_counter())
            await place.send([written[sent]], URGENT_KIND)
            accepted.setdefault(written[sent].id, perf_counter())
            sent += 1
        lasted_s = perf_counter() - began
        await all_taken(place, taken, accepted)
    if sent < LEAD + LEAST:
        raise Invalid(f"the backlog lasted for {sent} critical messages only")
    bulk = await place.counted(database, "select count(*) from inbox where id like '1-%'")
    await place.drop(database)
    return took_ms(written[LEAD:sent], accepted, taken), bulk / lasted_s


async def _beside_large(place: Place, seconds: float) -> list[float]:
    """Latencies of critical messages while contents of 400 kB come in the lowest lane."""
    database = place.fresh_database()
    heavy = letters(int(seconds * LARGE_RATE), seed=2, items=LARGE_ITEMS)
    written = letters(LEAD + int(seconds * RATE), seed=77, series="URG")
    await place.fill([], BULK_KIND)
    async with hearing(database, "77-%") as taken, _working(place, database):
        accepted = await paced(place, written[:LEAD], RATE, URGENT_KIND)
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(paced(place, written[LEAD:], RATE, URGENT_KIND))
            group.create_task(paced(place, heavy, LARGE_RATE, BULK_KIND))
        accepted |= beside.result()
        await all_taken(place, taken, accepted)
    bulk = await place.counted(database, "select count(*) from inbox where id like '2-%'")
    if not bulk:
        raise Invalid("no large content was taken")
    await place.drop(database)
    return took_ms(written[LEAD:], accepted, taken)


async def _below(place: Place, number: int) -> bool:
    return await place.waiting(BULK) < number


@asynccontextmanager
async def _working(place: Place, database: str, share: float = 0.3) -> AsyncIterator[None]:
    """The service, one hop in all lanes."""
    settings = f"yield_share = {share}"
    async with place.service(database, "--role", "translate", settings=settings):
        yield
