"""Time that passes in the tests of retention: rows are dated back, clocks stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from broker.failpoints import FailPoints
from broker.housekeeper import Housekeeper
from broker.settings import Retention
from tests.integration.toy import DEADLINE_S, Bench

DAY = timedelta(days=1)
REFERRING = ("inbox", "pending", "outbox", "ledger", "exception_case", "document_version")


async def let_pass(bench: Bench, time: timedelta) -> None:
    """Everything in the log was said, and taken, so much earlier; the days it was said on exist."""
    await date_back(bench.execute, time)


async def date_back(
    execute: Callable[[str, timedelta], Awaitable[object]], time: timedelta
) -> None:
    """The same for whoever has no bench, but can execute a statement with an argument."""
    await execute(
        """
        select make_message_partition(day) from (
            select distinct ((at - $1::interval) at time zone 'UTC')::date from message) d(day)
        """,
        time,
    )
    await execute("update message set at = at - $1::interval", time)
    for table in REFERRING:
        await execute(f"update {table} set message_at = message_at - $1::interval", time)
    for table, column in (
        ("inbox", "received_at"),
        ("duplicate", "at"),
        ("delivery_attempt", "last_at"),
        ("ledger", "completed_at"),
    ):
        await execute(f"update {table} set {column} = {column} - $1::interval", time)


def housekeeper(
    bench: Bench, *, retention: Retention | None = None, fail_points: str = ""
) -> Housekeeper:
    """A housekeeper of this database."""
    return Housekeeper(
        database=bench.database,
        retention=retention or Retention(),
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
    )


async def keep_house(bench: Bench, *, now: datetime | None = None) -> None:
    """Turns until there is nothing more to do."""
    keeper = housekeeper(bench)
    async with asyncio.timeout(DEADLINE_S):
        while await keeper.turn(now):
            pass


async def days(bench: Bench) -> list[str]:
    """Days of the log before today."""
    return [
        name
        for name in await bench.column(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = 'message'::regclass order by 1"
        )
        if name < f"message_{datetime.now(UTC):%Y%m%d}"
    ]
