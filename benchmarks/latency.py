"""How long a message takes where there is no queue: from the broker's confirm to the commit."""

from __future__ import annotations

import asyncio
from statistics import median, quantiles
from time import perf_counter

import asyncpg

from benchmarks.changes import letters
from benchmarks.place import Place

RATE = 100
"""Messages a second: far below what any rung takes."""
LEAD = 50
"""The first ones, not counted: connections and plans are young."""
_TELL = """
create function tell() returns trigger language plpgsql as
    $$ begin perform pg_notify('taken', new.id); return null; end $$;
create trigger tell after insert on inbox for each row execute function tell();
"""


async def latency(place: Place, seconds: float) -> dict[str, float]:
    """Milliseconds. bare_commit: one row of one column, by itself, at the same rate."""
    database = place.fresh_database()
    listener = await asyncpg.connect(database)
    taken: dict[str, float] = {}
    await listener.execute(_TELL)

    def hear(_: object, __: int, ___: str, told: object) -> None:
        taken.setdefault(str(told), perf_counter())

    await listener.add_listener("taken", hear)
    written = letters(LEAD + int(seconds * RATE), seed=99)
    accepted: dict[str, float] = {}
    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        began = perf_counter()
        for n, letter in enumerate(written):
            await asyncio.sleep(began + n / RATE - perf_counter())
            await place.fill([letter])
            accepted.setdefault(letter.id, perf_counter())

        async def all_taken() -> bool:
            return taken.keys() >= accepted.keys()

        await place.until(all_taken, "all messages taken")
    await listener.close()
    counted = [letter.id for letter in written[LEAD:]]
    took = sorted(1_000 * (taken[i] - accepted[i]) for i in dict.fromkeys(counted))
    return {
        "p50": round(median(took), 2),
        "p99": round(quantiles(took, n=100)[98], 2),
        "bare_commit": round(await _bare_commit(place, min(seconds, 3.0)), 2),
    }


async def _bare_commit(place: Place, seconds: float) -> float:
    connection = await asyncpg.connect(place.fresh_database_without_schema())
    await connection.execute("create table bare (n bigint)")
    took: list[float] = []
    for n in range(int(seconds * RATE)):
        await asyncio.sleep(1 / RATE)
        began = perf_counter()
        await connection.execute("insert into bare values ($1)", n)
        took.append(1_000 * (perf_counter() - began))
    await connection.close()
    return median(took)
