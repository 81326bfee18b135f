"""Keeps house: days of the log made ahead and dropped when old, what was handled forgotten in time.

One small step of each kind a turn, each a short transaction of its own. One process does it at a
time, which takes a lock for the length of a step; whoever dies leaves at most that step undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import asyncpg
import msgspec
import structlog

from broker.failpoints import FailPoints
from broker.metrics import Metrics
from broker.settings import Retention
from broker.store import Database, Tx, expiry
from broker.store import log_days as rows
from broker.store import replays as replay_rows

BATCH = 1_000
# Between batches, so that intake has the disk for itself most of the time.
PAUSE_S = 0.05
# Dedupe rows stay a little longer than a message is taken, so that clocks that differ leave no gap.
CLOCKS_DIFFER = timedelta(hours=1)
# What can be moved while everybody waits (a fraction of a second); with more the day stays.
MOVED_AT_MOST = 1_000
MOVED_BYTES_AT_MOST = 16 << 20

log = structlog.get_logger(__name__)


class Horizon(msgspec.Struct, frozen=True):
    """What is old at this moment. first_day: the oldest the log keeps, in UTC."""

    today: date
    first_day: date
    forget_before: datetime


def horizon(retention: Retention, now: datetime) -> Horizon:
    """The horizon of these settings at `now`."""
    today = now.astimezone(UTC).date()
    return Horizon(
        today=today,
        first_day=today - timedelta(days=retention.log_days),
        forget_before=now - timedelta(days=retention.dedupe_days) - CLOCKS_DIFFER,
    )


class Housekeeper:
    """Turns of a background loop; starts nothing by itself."""

    def __init__(
        self,
        *,
        database: Database,
        retention: Retention,
        metrics: Metrics,
        fail_points: FailPoints,
        moved_at_most: int = MOVED_AT_MOST,
    ) -> None:
        self._database = database
        self._retention = retention
        self._metrics = metrics
        self._fail_points = fail_points
        self._moved_at_most = moved_at_most
        # Where the walk over the dedupe rows stands; unfinished ones before it are not tried again.
        self._walked_to: datetime | None = None

    async def turn(self, now: datetime | None = None) -> bool:
        """One step of each kind was made, as of `now` or the database's clock; whether more waits.

        A lock that somebody else needs is not waited for: the step is made at a later turn. A step
        that fails keeps no other from being made; its error is raised afterwards.
        """
        if now is None:
            async with self._database.session() as session:
                now = await rows.database_time(session)
        at = horizon(self._retention, now)
        more, failed = False, None
        for step, make in self._steps():
            try:
                more = await make(at) or more
            except asyncpg.LockNotAvailableError:
                self._metrics.housekeeping_delays.labels(step).inc()
                log.info("housekeeping gives way", step=step)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                self._metrics.housekeeping_failures.labels(step).inc()
                log.warning("housekeeping failed", step=step, error=repr(error)[:200])
                failed = failed or error
        if failed is not None:
            raise failed
        self._metrics.housekeeping_success.set_to_current_time()
        if more:
            await asyncio.sleep(PAUSE_S)
        return more

    def _steps(self) -> tuple[tuple[str, Callable[[Horizon], Awaitable[bool]]], ...]:
        return (
            ("make", self._make_days),
            ("inbox", self._expire_inbox),
            ("counters", self._expire_counters),
            ("drop", self._drop_oldest_day),
            ("kept", self._forget_kept),
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Tx | None]:
        """A transaction in which nobody else keeps house; None where somebody does."""
        async with self._database.transaction() as tx:
            is_alone = await rows.try_housekeeper_lock(tx)
            yield tx if is_alone else None
            if __debug__ and is_alone:
                await self._fail_points("housekeeping.before_commit")
        if __debug__ and is_alone:
            await self._fail_points("housekeeping.after_commit")

    async def _make_days(self, at: Horizon) -> bool:
        """The next days have their partitions: a transaction each, the nearest first."""
        async with self._database.session() as session:
            missing = await rows.days_to_make(session, first_day=at.first_day, today=at.today)
        for day in missing:
            async with self._alone() as tx:
                if tx is None:
                    return False
                await rows.make_day(tx, day)
        return False

    async def _expire_inbox(self, at: Horizon) -> bool:
        async with self._alone() as tx:
            if tx is None:
                return False
            gone = await expiry.expire_inbox(
                tx, before=at.forget_before, after=self._walked_to, limit=BATCH
            )
        self._metrics.inbox_expired.inc(gone.rows)
        is_full = gone.rows == BATCH
        self._walked_to = gone.up_to if is_full else None
        return is_full

    async def _expire_counters(self, at: Horizon) -> bool:
        """Counted repeats, and counters of deliveries that came back once and never again."""
        async with self._alone() as tx:
            if tx is None:
                return False
            repeats = await expiry.expire_duplicates(tx, before=at.forget_before, limit=BATCH)
            attempts = await expiry.expire_attempts(tx, before=at.forget_before, limit=BATCH)
        return BATCH in (repeats, attempts)

    async def _drop_oldest_day(self, at: Horizon) -> bool:
        """The oldest day is out of the log but for its unfinished messages; True if another is due.

        One transaction: a crash inside it leaves the day as it was.
        """
        async with self._alone() as tx:
            if tx is None:
                return False
            due = self._due(await rows.days_of_log(tx), at)
            # Counted before the log is locked, so that nobody waits for a day that has to stay.
            day = await self._droppable(tx, due)
            if day is None:
                return False
            kept = await rows.detach_day(tx, day)
            if __debug__:
                await self._fail_points("partition.before_drop")
            await rows.drop_day(tx, day)
        log.info("day of the log dropped", day=day.isoformat(), kept=kept)
        return len(due) > 1

    async def _droppable(self, tx: Tx, due: list[date]) -> date | None:
        needed = await replay_rows.log_needed_from(tx)
        for day in due:
            if needed is not None and day >= needed.astimezone(UTC).date():
                log.warning("day of the log stays: a replay needs it", day=day.isoformat())
                return None
            found = await rows.weigh_unfinished(tx, day)
            if found.messages <= self._moved_at_most and found.body_bytes <= MOVED_BYTES_AT_MOST:
                return day
            log.warning(
                "day of the log stays: too much of it is unfinished",
                day=day.isoformat(),
                messages=found.messages,
                body_bytes=found.body_bytes,
            )
        return None

    def _due(self, days: list[date], at: Horizon) -> list[date]:
        due = [day for day in days if day < at.first_day]
        ahead = sum(day > at.today for day in days)
        gauge = self._metrics.log_partitions
        gauge.labels("due").set(len(due))
        gauge.labels("ahead").set(ahead)
        gauge.labels("current").set(len(days) - len(due) - ahead)
        return due

    async def _forget_kept(self, at: Horizon) -> bool:
        """Messages that outlived their day are gone once they are finished."""
        async with self._alone() as tx:
            if tx is None:
                return False
            gone = await rows.forget_finished(tx, first_day=at.first_day, limit=BATCH)
            self._metrics.log_kept.set(await rows.count_kept(tx, at.first_day))
        return gone == BATCH
