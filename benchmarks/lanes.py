"""What a backlog in the lowest lane does to the critical one, and what giving way costs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter

import msgspec

from benchmarks.changes import Letter, letters
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
POISON_RATE = 200.0
ROUNDS, QUICK_ROUNDS = 3, 1
LEAST = 50
"""Critical messages that have to come beside the backlog; fewer say nothing about a p99."""
_TAKEN = "select count(*) from inbox where id like '2-%'"
_CASES = "select count(*) from exception_case"
BULK = inbound_queue(SOURCE, BULK_KIND, LANES[BULK_KIND])


async def lanes(place: Place, *, quick: bool) -> dict[str, float]:
    """p99 of the critical lane in milliseconds: alone, beside the draining backlog, beside it where
    nobody gives way, beside contents of 400 kB, and beside contents that cannot be read; the rates
    at which the backlog goes, in messages a second. p99_ratio: of neighbouring passes."""
    backlog, alone_s = (QUICK_BACKLOG, QUICK_ALONE_S) if quick else (BACKLOG, ALONE_S)
    alone, beside, large, poisoned = [], [], [], []
    drains: list[float] = []
    for n in range(QUICK_ROUNDS if quick else ROUNDS):
        alone.append(await _alone(place, alone_s))
        yielding, drained = await _beside(place, backlog, share=0.3)
        beside.append(yielding)
        drains.append(drained)
        large.append(await _beside_large(place, alone_s))
        poisoned.append(await _beside_poison(place, alone_s))
        said = f"p99 alone {p99(alone[n])} ms, beside {p99(beside[n])}"
        print(
            f"{said}, large {p99(large[n])}, unreadable {p99(poisoned[n])}; drain {drained:,.0f}/s",
            file=sys.stderr,
        )
    free = await _drain_alone(place, backlog)
    pushing, drained_pushing = await _beside(place, backlog, share=1.0)
    return {
        "critical_alone_p50_ms": median(round(median(each), 2) for each in alone),
        "critical_alone_p99_ms": median(map(p99, alone)),
        "critical_beside_p50_ms": median(round(median(each), 2) for each in beside),
        "critical_beside_p99_ms": median(map(p99, beside)),
        "critical_not_given_way_p99_ms": p99(pushing),
        "critical_beside_large_p99_ms": median(map(p99, large)),
        "critical_beside_unreadable_p99_ms": median(map(p99, poisoned)),
        **_ratios("p99_ratio", alone, beside),
        **_ratios("p99_ratio_large", alone, large),
        **_ratios("p99_ratio_unreadable", alone, poisoned),
        "drain_alone": round(free),
        "drain_giving_way": round(median(drains)),
        "drain_not_giving_way": round(drained_pushing),
    }


def _ratios(
    name: str, alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]
) -> dict[str, float]:
    each = [p99(b) / p99(a) for a, b in zip(alone, beside, strict=True)]
    return {
        name: round(median(each), 2),
        f"{name}_lowest": round(min(each), 2),
        f"{name}_highest": round(max(each), 2),
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
    heavy = letters(int(seconds * LARGE_RATE), seed=2, items=LARGE_ITEMS)
    return await _beside_others(place, seconds, heavy, LARGE_RATE, _TAKEN)


async def _beside_poison(place: Place, seconds: float) -> list[float]:
    """Latencies of critical messages while each content of the lowest lane cannot be read, and
    becomes a case."""
    unreadable = [
        msgspec.structs.replace(letter, body=letter.body[:-1])
        for letter in letters(int(seconds * POISON_RATE), seed=2)
    ]
    return await _beside_others(place, seconds, unreadable, POISON_RATE, _CASES)


async def _beside_others(
    place: Place, seconds: float, others: Sequence[Letter], rate: float, counted: str
) -> list[float]:
    """Latencies of critical messages while others come in the lowest lane. counted: a query for how
    many of those there were."""
    database = place.fresh_database()
    written = letters(LEAD + int(seconds * RATE), seed=77, series="URG")
    await place.fill([], BULK_KIND)
    async with hearing(database, "77-%") as taken, _working(place, database):
        accepted = await paced(place, written[:LEAD], RATE, URGENT_KIND)
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(paced(place, written[LEAD:], RATE, URGENT_KIND))
            group.create_task(paced(place, others, rate, BULK_KIND))
        accepted |= beside.result()
        await all_taken(place, taken, accepted)
    if not await place.counted(database, counted):
        raise Invalid(f"nothing of the lowest lane was taken: {counted}")
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
