"""Partitions of a lane are dealt out over the processes that take it, by leases in PostgreSQL.

A process takes only what it holds a lease of. What it is to give back it leaves first (what it has
in hand is decided and acknowledged, the channel closed), then the lease goes. Where it can say
nothing to PostgreSQL any more it holds nothing from the end of its leases on, before anybody else
may take them over. All of this is for an even share: that nothing happens twice or out of order
hangs on the inbox and on the events' numbers, whoever takes what.

Crash at any point: its leases end, and the others share what it had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from socket import gethostname
from time import monotonic

import structlog
import uuid_utils

from broker.failpoints import FailPoints
from broker.metrics import Metrics
from broker.partitions import Ring, deal
from broker.store import Database
from broker.store import partitions as rows
from canonical.envelope import Lane

log = structlog.get_logger(__name__)


class Dealer:
    """One lane's share of one process. `turn` brings it up to date; a Loop repeats it."""

    def __init__(
        self,
        *,
        lane: Lane,
        events: Collection[str],
        database: Database,
        lease_s: float,
        metrics: Metrics,
        fail_points: FailPoints,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """events: those that this process decides on."""
        self._lane = lane
        self._events = frozenset(events)
        self._database = database
        self._lease_s = lease_s
        self._metrics = metrics
        self._fail_points = fail_points
        self._now = now
        # Never used twice, so that a lease is never taken for one of an earlier process.
        self._me = f"{gethostname()}/{os.getpid()}/{uuid_utils.uuid4().hex[:8]}"
        self._events_of: dict[str, str] = {}
        self._until: dict[str, float] = {}
        self._leaving: frozenset[str] = frozenset()
        # Set by whoever consumes: the queues it has not left, and how it is told to look.
        self.attached: Callable[[], Collection[str]] = lambda: ()
        self.dealt: Callable[[], None] = lambda: None

    @property
    def share(self) -> dict[str, str]:
        """The queues to take now, with the event of each."""
        now = self._now()
        return {
            queue: self._events_of[queue]
            for queue, until in self._until.items()
            if until > now and queue not in self._leaving
        }

    async def turn(self) -> bool:
        """The share is as even as it can be now; False, since nothing is gained by haste."""
        async with self._database.session() as session:
            rings = await rows.rings(session)
        events_of = self._queues(rings)
        if events_of or self._until:
            await self._deal(events_of)
        return False

    async def leave(self) -> None:
        """Others may take what this process had; it has left all of it."""
        if not self._events_of:
            return
        self._until = {}
        async with self._database.session() as session:
            await rows.leave(session, me=self._me, lane=self._lane)

    def _queues(self, rings: Collection[Ring]) -> dict[str, str]:
        return {
            queue: ring.event
            for ring in rings
            if ring.is_declared and ring.event in self._events
            for queue in ring.queues(self._lane)
        }

    async def _deal(self, events_of: dict[str, str]) -> None:
        """Crash before the commit: nothing has changed. After it: what was taken waits for the end
        of its lease."""
        before = self.share
        left = self._leaving.difference(self.attached())
        asked_at = self._now()
        async with self._database.transaction() as tx:
            await rows.give_back(tx, left, me=self._me)
            mine = await rows.renew(tx, me=self._me, lane=self._lane, lease_s=self._lease_s)
            found = await rows.holdings(tx, lane=self._lane, lease_s=self._lease_s)
            wanted = deal(self._me, queues=events_of, owners=found.owners, replicas=found.replicas)
            taken = await rows.take(tx, wanted.take, me=self._me, lease_s=self._lease_s)
            if __debug__:
                await self._fail_points("leases.before_commit")
        if __debug__:
            await self._fail_points("leases.after_commit")
        self._events_of = {**{q: self._events_of.get(q, "") for q in mine}, **events_of}
        # By this clock a lease ends sooner than by the database's: it was asked for before.
        self._until = dict.fromkeys((*mine, *taken), asked_at + self._lease_s)
        self._leaving = frozenset(wanted.give)
        self._metrics.partitions.labels(self._lane).set(len(self.share))
        if self.share != before:
            log.info("partitions dealt", lane=self._lane, queues=sorted(self.share))
            self.dealt()
