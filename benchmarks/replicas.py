"""What a second replica brings on this machine: one event, split over partitions, decided."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from statistics import median

from benchmarks.changes import letters
from benchmarks.place import BEGIN_LOOK_S, SINK, Invalid, Place
from broker.partitions import Ring

EVENT = SINK.removesuffix(".standard")
PARTITIONS = 4
MESSAGES, QUICK_MESSAGES = 8_000, 1_000
ROUNDS, QUICK_ROUNDS = 3, 1


async def replicas(place: Place, *, quick: bool) -> dict[str, float]:
    """Events a second that one and two replicas decide, each with its plan in a ledger, and the
    ratio of neighbouring passes."""
    number = QUICK_MESSAGES if quick else MESSAGES
    pairs: list[tuple[float, float]] = []
    for n in range(QUICK_ROUNDS if quick else ROUNDS):
        one = await _decided(place, number, 1 + n, instances=1)
        two = await _decided(place, number, 1 + n, instances=2)
        pairs.append((one, two))
        print(f"one {one:,.0f}/s, two {two:,.0f}/s", file=sys.stderr)
    return {
        "one": round(median(one for one, _ in pairs)),
        "two": round(median(two for _, two in pairs)),
        "ratio": round(median(two / one for one, two in pairs), 3),
    }


async def _decided(place: Place, number: int, seed: int, *, instances: int) -> float:
    database = place.fresh_database()
    written = letters(number, seed=seed)
    news = sum(letter.is_news for letter in written)
    place.configuration(database)
    await _split(place)
    ring = Ring(EVENT, 1, PARTITIONS, "current")
    queues = ring.queues("standard")
    await place.purge(SINK, *queues)
    await place.fill(written)

    async def wait_in_partitions() -> bool:
        return sum([await place.waiting(queue) for queue in queues]) >= news

    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        await place.until(wait_in_partitions, "all events wait in their partitions")
    async with AsyncExitStack() as stack:
        for _ in range(instances):
            options = ("--role", "decide,upkeep", "--lanes", "standard")
            await stack.enter_async_context(place.service(database, *options))

        async def has_begun() -> bool:
            return await place.counted(database, _DECIDED) > 0

        async def is_done() -> bool:
            return await place.counted(database, _DECIDED) >= news

        began = await place.until(has_begun, "the first event is decided", look_s=BEGIN_LOOK_S)
        ended = await place.until(is_done, "all events are decided")
    if await place.counted(database, "select count(*) from exception_case"):
        raise Invalid("some were not decided")
    await place.drop(database)
    return news / (ended - began)


_DECIDED = "select count(*) from inbox where source = 'layshaft'"


async def _split(place: Place) -> None:
    await place.command("topology", "partitions", EVENT, str(PARTITIONS))
