"""How much slower a database is that remembers a month: 10 million messages over 30 days."""

from __future__ import annotations

import shutil
import sys
from statistics import median

import asyncpg

from benchmarks.changes import letters
from benchmarks.place import SINK, Invalid, Place
from benchmarks.rungs import drained

DAYS = 30
ROWS, QUICK_ROWS = 10_000_000, 150_000
BODY_BYTES = 200
ROUNDS, QUICK_ROUNDS = 3, 1
MESSAGES, QUICK_MESSAGES = 20_000, 4_000
# Log and dedupe row with their indexes, once more for the WAL and sorting.
BYTES_A_ROW = 2_500
SEED = 1_000


async def filled(place: Place, *, quick: bool) -> dict[str, float]:
    """Messages a second on a fresh database and on the filled one, in turn, and their ratio: the
    median of neighbouring passes. bytes: of the filled one."""
    rows = QUICK_ROWS if quick else ROWS
    _require_room(place, rows)
    full = place.fresh_database()
    await _fill(full, rows)
    number = QUICK_MESSAGES if quick else MESSAGES
    pairs: list[tuple[float, float]] = []
    # The first one warms up what it reads, and does not count.
    for n in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        written = letters(number, seed=SEED + n, later=n * number)
        empty = place.fresh_database()
        empty_pass = await drained(place, empty, written)
        await place.drop(empty)
        full_pass = await drained(place, full, written)
        await _require_all(place, full, f"{SEED + n}-%", len({letter.id for letter in written}))
        await place.purge(SINK)
        counts = "" if n else ", warming up"
        print(
            f"empty {empty_pass.rate:,.0f}/s, filled {full_pass.rate:,.0f}/s{counts}",
            file=sys.stderr,
        )
        if n:
            pairs.append((empty_pass.rate, full_pass.rate))
    each = [full_rate / empty_rate for empty_rate, full_rate in pairs]
    return {
        "rows": rows,
        "bytes": await place.counted(full, "select pg_database_size(current_database())"),
        "empty": round(median(empty_rate for empty_rate, _ in pairs)),
        "filled": round(median(full_rate for _, full_rate in pairs)),
        "ratio": round(median(each), 3),
        "ratio_lowest": round(min(each), 3),
        "ratio_highest": round(max(each), 3),
    }


def _require_room(place: Place, rows: int) -> None:
    free = shutil.disk_usage(place.folder).free
    if free < (needed := rows * BYTES_A_ROW):
        raise Invalid(
            f"the disk is short: {rows:,} rows need {needed / 1e9:.0f} GB,"
            f" and {free / 1e9:.0f} are free"
        )


async def _fill(database: str, rows: int) -> None:
    """So many dedupe and log rows, spread over the days before today, as housekeeping and vacuum
    leave them."""
    connection = await asyncpg.connect(database)
    try:
        for ago in range(DAYS, 0, -1):
            await connection.execute(
                "select make_message_partition((now() at time zone 'UTC')::date - $1::int)", ago
            )
            # Written by the server: what matters is what lies there afterwards.
            await connection.execute(_DAY, ago, rows // DAYS, BODY_BYTES)
            print(f"filled: {DAYS - ago + 1} of {DAYS} days", file=sys.stderr, flush=True)
        for table in ("inbox", "message"):
            await connection.execute(f"vacuum (analyze) {table}")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


_DAY = """
with logged as (
    insert into message (at, direction, source, id, type, key, correlation_id, causation_id, lane,
                         kind, content_type, message_id, attributes, body)
    select date_trunc('day', now(), 'UTC') - make_interval(days => $1::int)
               + n * interval '1 day' / $2::int,
           'in', 'plm', gen_random_uuid()::text, 'arena.change',
           'engineering-change/OLD-' || n % 200000, md5(n::text), '', 'standard',
           'engineering-change', 'application/json', '', '{"type": "arena.change"}',
           convert_to(rpad(n::text, $3::int), 'UTF8')
    from generate_series(0, $2::int - 1) n
    returning at, seq, source, id, body
)
insert into inbox (subscription, source, id, digest, message_at, message_seq, received_at)
select 'arena-changes', source, id, sha256(body), at, seq, at from logged
"""


async def _require_all(place: Place, database: str, ids: str, number: int) -> None:
    found = await place.counted(database, f"select count(*) from inbox where id like '{ids}'")
    if found != number:
        raise Invalid(f"{found} messages in the inbox instead of {number}")
