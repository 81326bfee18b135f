"""How long a message takes where there is no queue: from the broker's confirm to the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median, quantiles
from time import perf_counter

import asyncpg

from benchmarks.changes import Letter, letters
from benchmarks.place import KIND, Place

RATE = 100
"""Messages a second: far below what any rung takes."""
LEAD = 50
"""The first ones, not counted: connections and plans are young."""


async def latency(place: Place, seconds: float) -> dict[str, float]:
    """Milliseconds. bare_commit: one row of one column, by itself, at the same rate."""
    database = place.fresh_database()
    written = letters(LEAD + int(seconds * RATE), seed=99)
    async with (
        hearing(database, "99-%") as taken,
        place.service(database, "--role", "translate", "--lanes", "standard"),
    ):
        accepted = await paced(place, written, RATE)
        await all_taken(place, taken, accepted)
    took = took_ms(written[LEAD:], accepted, taken)
    bare = await _bare_commits(place, seconds)
    return {
        "p50": round(median(took), 2),
        "p99": p99(took),
        "bare_commit": round(median(bare), 2),
        "bare_commit_p99": p99(bare),
    }


@asynccontextmanager
async def hearing(database: str, ids: str) -> AsyncIterator[Mapping[str, float]]:
    """When each message with such an id was committed; ids: a pattern of SQL's `like`."""
    listener = await asyncpg.connect(database)
    taken: dict[str, float] = {}
    await listener.execute(
        f"""
        create function tell() returns trigger language plpgsql as
            $$ begin perform pg_notify('taken', new.id); return null; end $$;
        create trigger tell after insert on inbox
            for each row when (new.id like '{ids}') execute function tell();
        """
    )

    def hear(_: object, __: int, ___: str, told: object) -> None:
        taken.setdefault(str(told), perf_counter())

    await listener.add_listener("taken", hear)
    try:
        yield taken
    finally:
        await listener.close()


async def paced(
    place: Place, written: Sequence[Letter], rate: float, kind: str = KIND
) -> dict[str, float]:
    """Sent one by one at that rate; when the broker had confirmed each."""
    accepted: dict[str, float] = {}
    began = perf_counter()
    for n, letter in enumerate(written):
        await asyncio.sleep(began + n / rate - perf_counter())
        await place.send([letter], kind)
        accepted.setdefault(letter.id, perf_counter())
    return accepted


async def all_taken(
    place: Place, taken: Mapping[str, float], accepted: Mapping[str, float]
) -> None:
    """Each one that was accepted is committed."""

    async def are_taken() -> bool:
        return taken.keys() >= accepted.keys()

    await place.until(are_taken, "all messages taken")


def took_ms(
    written: Sequence[Letter], accepted: Mapping[str, float], taken: Mapping[str, float]
) -> list[float]:
    """Milliseconds of each, whatever is sent twice once."""
    ids = dict.fromkeys(letter.id for letter in written)
    return [1_000 * (taken[i] - accepted[i]) for i in ids]


def p99(took: Sequence[float]) -> float:
    """The 99th percentile."""
    return round(quantiles(took, n=100)[98], 2)


async def _bare_commits(place: Place, seconds: float) -> list[float]:
    connection = await asyncpg.connect(place.fresh_database_without_schema())
    await connection.execute("create table bare (n bigint)")
    took: list[float] = []
    for n in range(int(seconds * RATE)):
        await asyncio.sleep(1 / RATE)
        began = perf_counter()
        await connection.execute("insert into bare values ($1)", n)
        took.append(1_000 * (perf_counter() - began))
    await connection.close()
    return took
