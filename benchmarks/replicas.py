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
MESSAGES, QUICK_MESSAGES = 24_000, 16_000
"""Some of them are decided until the partitions are dealt out, and not counted."""
ROUNDS, QUICK_ROUNDS = 3, 1


async def replicas(place: Place, *, quick: bool) -> dict[str, float]:
    """Events a second that one and two replicas decide, each with its plan in a ledger, and the
    ratio of neighbouring passes, with the lowest and the highest."""
    number = QUICK_MESSAGES if quick else MESSAGES
    pairs: list[tuple[float, float]] = []
    for n in range(QUICK_ROUNDS if quick else ROUNDS):
        one = await _decided(place, number, 1 + n, instances=1)
        two = await _decided(place, number, 1 + n, instances=2)
        pairs.append((one, two))
        print(f"one {one:,.0f}/s, two {two:,.0f}/s", file=sys.stderr)
    ratios = [two / one for one, two in pairs]
    return {
        "one": round(median(one for one, _ in pairs)),
        "two": round(median(two for _, two in pairs)),
        "ratio": round(median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
    }


async def _decided(place: Place, number: int, seed: int, *, instances: int) -> float:
    """Events a second, from when all replicas have their share of the partitions."""
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

    async def are_dealt() -> bool:
        return await place.counted(database, _EVEN_SHARES) == instances

    async def is_done() -> bool:
        return await place.counted(database, _DECIDED) >= news

    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        await place.until(wait_in_partitions, "all events wait in their partitions")
    async with AsyncExitStack() as stack:
        for _ in range(instances):
            options = ("--role", "decide,upkeep", "--lanes", "standard")
            await stack.enter_async_context(place.service(database, *options))
        began = await place.until(are_dealt, "all have their share", look_s=BEGIN_LOOK_S)
        before = await place.counted(database, _DECIDED)
        ended = await place.until(is_done, "all events are decided")
    if await place.counted(database, "select count(*) from exception_case"):
        raise Invalid("some were not decided")
    if before > news / 2:
        raise Invalid(f"{before} of {news} were decided before all replicas had their share")
    await place.drop(database)
    return (news - before) / (ended - began)


_DECIDED = "select count(*) from inbox where source = 'layshaft'"
# How many have the same share, where all partitions are somebody's.
_EVEN_SHARES = f"""
    with held as (
        select owner, count(*) as partitions from partition_lease
        where owner <> '' and until > now() group by owner
    )
    select count(*) from held where partitions * (select count(*) from held) = {PARTITIONS}
"""


async def _split(place: Place) -> None:
    await place.command("topology", "partitions", EVENT, str(PARTITIONS))
