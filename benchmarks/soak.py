"""What a long run leaves: memory of the process, sizes and dead rows of the tables."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression
from time import monotonic

import asyncpg
import msgspec

from benchmarks.changes import KEYS, letters
from benchmarks.place import QUEUE, SINK, Invalid, Place

MESSAGES, QUICK_MESSAGES = 1_000_000, 20_000
CHUNK = 10_000
DEEPEST = 30_000
"""Messages that wait at most; there are always some."""
LOOK_S, QUICK_LOOK_S = 5.0, 0.5
SINK_LOOK_S = 2.0
WITHIN_S = 3_600.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


class Look(msgspec.Struct, frozen=True):
    """The process at a moment."""

    messages: int
    resident: int


async def soak(place: Place, *, quick: bool) -> dict[str, float]:
    """rate: messages a second over all; resident memory at the beginning and in the end in MiB, and
    how much it grew a million messages in the second half; sizes in bytes, and dead rows."""
    number = QUICK_MESSAGES if quick else MESSAGES
    database = place.fresh_database()
    await place.purge(QUEUE, SINK)
    looks: list[Look] = []
    feeding = asyncio.create_task(_feed(place, number))
    try:
        await place.until(lambda: _waits(place), "the first messages wait")
        options = ("--role", "translate,upkeep", "--lanes", "standard")
        async with place.service(database, *options) as process:
            began = monotonic()
            watching = asyncio.create_task(
                _watch(place, database, process.pid, looks, QUICK_LOOK_S if quick else LOOK_S)
            )
            await feeding
            await place.until(lambda: _is_done(place, database, number), "all are taken", WITHIN_S)
            took_s = monotonic() - began
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        feeding.cancel()
    await place.purge(SINK)
    return {
        "messages": number,
        "rate": round(number / took_s),
        "resident_begin_mib": round(looks[0].resident / MIB),
        "resident_end_mib": round(looks[-1].resident / MIB),
        "growth_mib_per_million": round(_slope(looks[len(looks) // 2 :]), 1),
        **await _tables(database),
    }


def _slope(looks: Sequence[Look]) -> float:
    """MiB a million messages."""
    if len(looks) < 3:
        raise Invalid("the run was too short to see how memory grows")
    fitted = linear_regression([x.messages for x in looks], [x.resident for x in looks])
    return fitted.slope * 1_000_000 / MIB


async def _feed(place: Place, number: int) -> None:
    """All messages are sent, a chunk at a time; each chunk states later versions."""
    a_chunk = CHUNK // KEYS + 1
    for n, _ in enumerate(range(0, number, CHUNK)):
        written = letters(min(CHUNK, number), seed=10_000 + n, later=n * a_chunk)
        await place.until(lambda: _has_room(place), "the queue has room", WITHIN_S)
        await place.send(written)


async def _has_room(place: Place) -> bool:
    return await place.waiting(QUEUE) <= DEEPEST - CHUNK


async def _waits(place: Place) -> bool:
    return await place.waiting(QUEUE) > 0


async def _is_done(place: Place, database: str, number: int) -> bool:
    taken = "select (select count(*) from inbox) + (select count(*) from duplicate)"
    await asyncio.sleep(1)
    return await place.counted(database, taken) >= number


async def _watch(place: Place, database: str, pid: int, looks: list[Look], every_s: float) -> None:
    """Memory against messages; the events' queue is emptied meanwhile, as subscribers would."""
    while True:
        await asyncio.sleep(every_s)
        messages = await place.counted(database, "select last_value from message_seq")
        resident = _resident(pid)
        looks.append(Look(messages // 2, resident))
        await place.purge(SINK)
        print(f"{messages // 2:,}: {resident / MIB:.0f} MiB", file=sys.stderr, flush=True)


def _resident(pid: int) -> int:
    """Bytes in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


async def _tables(database: str) -> dict[str, float]:
    """Bytes of the tables that grow with messages, dead rows of those that are written often."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            """
            select c.relname as name, sum(pg_total_relation_size(c.oid))::bigint as bytes,
                   sum(s.n_dead_tup)::bigint as dead
            from pg_class c join pg_stat_user_tables s on s.relid = c.oid
            where c.relname in ('inbox', 'outbox', 'document', 'document_version',
                                'object_sequence', 'duplicate')
            group by 1 order by 1
            """
        )
        log = await connection.fetchval(
            "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
            " where inhparent = 'message'::regclass"
        )
    finally:
        await connection.close()
    found: dict[str, float] = {"log_bytes": int(log)}
    for row in rows:
        found[f"{row['name']}_bytes"] = row["bytes"]
        found[f"{row['name']}_dead_rows"] = row["dead"]
    return found
