"""How quickly messages of the log go down the path once more, against those that come live."""

from __future__ import annotations

import asyncio
import sys
from statistics import median

from benchmarks.changes import letters
from benchmarks.place import BEGIN_LOOK_S, SINK, Invalid, Place
from benchmarks.rungs import drained

MESSAGES, QUICK_MESSAGES = 10_000, 2_000
ROUNDS, QUICK_ROUNDS = 3, 1
RATE = 1_000_000
"""Messages a second that the replay may do: more than anything can."""


async def replays(place: Place, *, quick: bool) -> dict[str, float]:
    """Messages a second: live, and the same ones decided again by an unthrottled replay; the ratio
    is the median of neighbouring passes."""
    number = QUICK_MESSAGES if quick else MESSAGES
    pairs: list[tuple[float, float]] = []
    for n in range(QUICK_ROUNDS if quick else ROUNDS):
        database = place.fresh_database()
        live = await drained(place, database, letters(number, seed=1 + n))
        await place.purge(SINK)
        pairs.append((live.rate, await _replayed(place, database)))
        await place.drop(database)
        print(f"live {pairs[-1][0]:,.0f}/s, replay {pairs[-1][1]:,.0f}/s", file=sys.stderr)
    return {
        "live": round(median(live_rate for live_rate, _ in pairs)),
        "replay": round(median(replay_rate for _, replay_rate in pairs)),
        "ratio": round(median(again / live_rate for live_rate, again in pairs), 3),
    }


async def _replayed(place: Place, database: str) -> float:
    """Everything in the log that came from outside is decided again; messages a second, from when
    the first of them are queued, as live ones are measured from when the first is taken."""
    messages = await place.counted(database, "select count(*) from message where direction = 'in'")
    queued = "select coalesce(sum(queued), 0) from replay"
    ended = "select count(*) from replay where state = 'done'"

    async def has_begun() -> bool:
        return await place.counted(database, queued) > 0

    async def is_done() -> bool:
        return await place.counted(database, ended) == 1

    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        async with asyncio.TaskGroup() as starting:
            starting.create_task(_start(place))
            began = await place.until(has_begun, "the first are queued", look_s=BEGIN_LOOK_S)
            before = await place.counted(database, queued)
        took_s = await place.until(is_done, "the replay has ended") - began
    again = await place.counted(database, queued)
    if again != messages:
        raise Invalid(f"{again} messages were decided again instead of {messages}")
    if before > messages / 2:
        raise Invalid(f"{before} of {messages} were queued before anybody looked")
    return (messages - before) / took_s


async def _start(place: Place) -> None:
    await place.command(
        *("replay", "start", "--mode", "reprocess", "--type", "arena.change"),
        *("--rate", str(RATE), "--reason", "measured", "--yes"),
    )
