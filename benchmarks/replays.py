"""How quickly messages of the log go down the path once more, against those that come live."""

from __future__ import annotations

import sys
from statistics import median
from time import monotonic

from benchmarks.changes import letters
from benchmarks.place import SINK, Invalid, Place
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
    """Everything in the log that came from outside is decided again; messages a second."""
    messages = await place.counted(database, "select count(*) from message where direction = 'in'")
    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        began = monotonic()
        await _start(place)

        async def is_done() -> bool:
            ended = "select count(*) from replay where state = 'done'"
            return await place.counted(database, ended) == 1

        await place.until(is_done, "the replay has ended")
        took_s = monotonic() - began
    again = await place.counted(database, "select sum(queued) from replay")
    if again != messages:
        raise Invalid(f"{again} messages were decided again instead of {messages}")
    return messages / took_s


async def _start(place: Place) -> None:
    await place.command(
        *("replay", "start", "--mode", "reprocess", "--type", "arena.change"),
        *("--rate", str(RATE), "--reason", "measured", "--yes"),
    )
