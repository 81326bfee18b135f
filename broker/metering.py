"""Calls of one system within its quotas: each takes its share right before it is sent.

What all processes have taken stands in PostgreSQL (`broker.store.quotas`). Whoever waits here is
counted, and so many are asked for at once; what comes is used within a twentieth of the shortest
quota by this process's own clock, begun before it was asked for, or lost. A call whose answer is
lost stays spent, and so does one that was never sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import asyncpg
import msgspec

from broker.gate import QUOTA
from broker.policy import NotNow
from broker.quota import Quota, Told, told_by
from broker.store import Database
from broker.store import quotas as rows
from broker.store.connection import CLIENT_ERRORS
from canonical.envelope import Lane
from canonical.exchange import Response

PATIENCE_S = 2.0
"""A call waits here for so long at most; where it takes longer, its step waits in its queue."""
MOST_AT_ONCE = 100


class _Waiting(msgspec.Struct):
    """Calls that want a share of the same quotas, for the critical lane or for others."""

    quotas: tuple[Quota, ...]
    critical: bool
    turns: deque[asyncio.Future[float]]
    task: asyncio.Task[None] | None = None


class Meter:
    """The quotas of one system, as this process uses them."""

    def __init__(
        self,
        *,
        system: str,
        quotas: Sequence[Quota],
        database: Database,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._system = system
        self._quotas = tuple(quotas)
        self._database = database
        self._now = now
        # By limit: what the vendor has said and nobody has counted yet.
        self._told: dict[int, Told] = {}
        self._waiting: dict[tuple[tuple[Quota, ...], bool], _Waiting] = {}

    async def take(self, path: str, lane: Lane) -> None:
        """A call of that path may be sent, now.

        Raises: NotNow where it may not be within PATIENCE_S, or nobody knows.
        """
        quotas = tuple(quota for quota in self._quotas if path.startswith(quota.api))
        if not quotas:
            return
        critical = lane == "critical"
        crowd = self._waiting.setdefault((quotas, critical), _Waiting(quotas, critical, deque()))
        until = self._now() + PATIENCE_S
        while True:
            turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            crowd.turns.append(turn)
            if crowd.task is None or crowd.task.done():
                crowd.task = asyncio.create_task(self._serve(crowd), name=f"quota {self._system}")
            ends = await turn
            if self._now() < ends:
                return
            # It lay here too long, as this process did not run: it is lost.
            if self._now() >= until:
                raise NotNow("quota", f"The quota of {self._system} was used up meanwhile")

    def hear(self, response: Response) -> None:
        """What an answer says of the quotas counts with what is taken next."""
        told = told_by(response.headers)
        # Only of quotas that there are: what a vendor invents is not kept.
        if told is not None and any(quota.limit == told.limit for quota in self._quotas):
            self._told[told.limit] = told

    async def _serve(self, crowd: _Waiting) -> None:
        """Everybody who waits has a share, or is told that there is none for now."""
        waited_since = self._now()
        try:
            while crowd.turns:
                wanted = min(len(crowd.turns), MOST_AT_ONCE)
                began = self._now()
                told, self._told = self._told, {}
                async with self._database.transaction() as tx:
                    share = await rows.take(
                        tx,
                        self._system,
                        crowd.quotas,
                        wanted,
                        critical=crowd.critical,
                        told=told.values(),
                    )
                if share.calls:
                    ends = began + min(quota.bucket_s for quota in crowd.quotas)
                    _tell(crowd.turns, share.calls, ends)
                    waited_since = self._now()
                elif self._now() + share.opens_in_s - waited_since > PATIENCE_S:
                    _refuse(crowd.turns, self._used_up(crowd.quotas, share.opens_in_s))
                else:
                    await asyncio.sleep(share.opens_in_s)
        except (asyncpg.PostgresError, TimeoutError, *CLIENT_ERRORS) as error:
            why = f"What is used of its quota is not known ({type(error).__name__})"
            _refuse(crowd.turns, NotNow("quota-unknown", why, where=self._system))
        finally:
            _refuse(crowd.turns, NotNow("shutdown", "Layshaft stopped before it was sent"))

    def _used_up(self, quotas: Sequence[Quota], opens_in_s: float) -> NotNow:
        return NotNow(
            QUOTA if all(not quota.api for quota in quotas) else "quota-of-api",
            f"The quota of {self._system} is used up for {opens_in_s:.0f} s",
            where=self._system,
            retry_after_s=opens_in_s,
        )


def _tell(turns: deque[asyncio.Future[float]], number: int, ends: float) -> None:
    """The next ones have a share; one whose call was cut off leaves his to the one behind."""
    while number and turns:
        turn = turns.popleft()
        if not turn.done():
            turn.set_result(ends)
            number -= 1


def _refuse(turns: deque[asyncio.Future[float]], error: Exception) -> None:
    while turns:
        turn = turns.popleft()
        if not turn.done():
            turn.set_exception(error)
