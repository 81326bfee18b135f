"""Who sends by which contract, as it is counted, kept by day; and who is to be warned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

import asyncpg
import structlog

from broker.metrics import Metrics
from broker.store import Database
from broker.store import casebook as case_rows
from broker.store import contract_use as rows
from broker.store.connection import CLIENT_ERRORS
from broker.sunset import Endings, warning

log = structlog.get_logger(__name__)


class ContractUse:
    """Keeps what this process counted. What a process had not kept when it died is not counted:
    this is a measure, and nothing hangs on it."""

    def __init__(
        self,
        *,
        database: Database,
        metrics: Metrics,
        endings: Endings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._endings = endings
        self._now = now
        self._kept: dict[tuple[str, str], int] = {}
        # One warning a day: one that a person has closed does not come back with each message.
        self._warned: dict[tuple[str, str], date] = {}

    async def turn(self) -> bool:
        """What came since the last turn is on record; the owners are warned. Whether any came."""
        counted = self._metrics.by_contract()
        new = {k: n - self._kept.get(k, 0) for k, n in counted.items() if n > self._kept.get(k, 0)}
        if not new:
            return False
        now = self._now()
        warnings = {k: case for k in new if (case := self._warning(k, new, now.date()))}
        async with self._database.transaction() as tx:
            await rows.add(tx, new, at=now)
            if warnings:
                await case_rows.open_cases(tx, list(warnings.values()))
        self._kept = counted
        self._warned |= dict.fromkeys(warnings, now.date())
        return True

    async def drain(self, deadline_s: float) -> None:
        """What came last is on record too, as far as deadline and database allow."""
        try:
            async with asyncio.timeout(deadline_s):
                await self.turn()
        except (asyncpg.PostgresError, *CLIENT_ERRORS) as error:
            log.info("not counted", error=repr(error)[:200])

    def _warning(
        self, key: tuple[str, str], new: Mapping[tuple[str, str], int], today: date
    ) -> case_rows.Case | None:
        ending = self._endings.get(key)
        if ending is None or self._warned.get(key) == today:
            return None
        return warning(ending, today=today, messages=new[key])
