"""A sender's messages get another lane while they come: the queue of the lane before goes first.

A kind of object of a source has one queue, and nothing but that queue tells the order of its
messages. In another lane it is another queue, and both would be taken at once.

    bind      a process with the new configuration binds the new queue, then the one before is not
              bound any more: what comes in between comes to both and has its effect once
    drain     whoever takes the new lane takes what the queue before holds, and only that
    leave     empty, it is left by all; while anybody has it, what they hold may still come back
    go on     the new queue is taken; the other one is deleted once nothing came for a while

What to take is read off the broker each time, so a crash at any point changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic

import msgspec
import structlog
from aio_pika.abc import AbstractConnection

from broker import connections
from broker.consumer import Inlet
from broker.failpoints import FailPoints
from broker.topology import QueueState, queue_states

# Longer than publishes under way take.
SETTLE_S = 10.0

log = structlog.get_logger(__name__)


class Lineage(msgspec.Struct, frozen=True):
    """A kind of object of a source: the queue its messages come to, and those of its other lanes,
    which may hold what came before."""

    current: Inlet
    former: tuple[Inlet, ...] = ()


def next_to_take(lineage: Lineage, states: Mapping[str, QueueState]) -> tuple[Inlet, ...]:
    """What may be taken now: pure. states: of the queues that there are.

    A queue tells nothing of what was delivered and not acknowledged: so the current one waits until
    the former ones are not only empty but left.
    """
    there = [(inlet, states[inlet.queue]) for inlet in lineage.former if inlet.queue in states]
    if holding := tuple(inlet for inlet, state in there if state.messages):
        return holding
    return () if any(state.consumers for _, state in there) else (lineage.current,)


class Succession:
    """What a process takes of one lane's inbound queues. `turn` looks; a Loop repeats it."""

    def __init__(
        self,
        *,
        lineages: Sequence[Lineage],
        amqp_url: str,
        heartbeat_s: int,
        within_s: float,
        fail_points: FailPoints,
        settle_s: float = SETTLE_S,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._lineages = lineages
        self._amqp_url = amqp_url
        self._heartbeat_s = heartbeat_s
        self._within_s = within_s
        self._fail_points = fail_points
        self._settle_s = settle_s
        self._now = now
        # Former queues that may exist, and since when each is neither filled nor taken.
        self._former = {inlet.queue for lineage in lineages for inlet in lineage.former}
        self._unused_since: dict[str, float] = {}
        self.share: tuple[Inlet, ...] = ()
        # Set by whoever consumes: how it is told to look.
        self.changed: Callable[[], None] = lambda: None

    @property
    def takes_anything(self) -> bool:
        """Whether there is anything to take in this lane."""
        return bool(self._lineages)

    async def turn(self) -> bool:
        """The share is what may be taken now; without former queues it stays as it is."""
        if self._former:
            await self._look()
        elif not self.share:
            self._take({})
        return False

    async def _look(self) -> None:
        connection = await connections.connect(
            self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self._within_s
        )
        try:
            with connections.losses():
                states = await queue_states(connection, sorted(self._former))
                self._take(states)
                await self._delete(connection, self._unused(states))
        finally:
            await connections.close(connection, within_s=self._within_s)

    def _take(self, states: Mapping[str, QueueState]) -> None:
        share = tuple(i for lineage in self._lineages for i in next_to_take(lineage, states))
        self._former &= states.keys()
        if share != self.share:
            waiting = [i.current.queue for i in self._lineages if i.current not in share]
            log.info("inbound queues", taken=[i.queue for i in share], waiting=waiting)
            self.share = share
            self.changed()

    def _unused(self, states: Mapping[str, QueueState]) -> Collection[str]:
        now = self._now()
        self._unused_since = {
            name: self._unused_since.get(name, now)
            for name, state in states.items()
            if not (state.messages or state.consumers)
        }
        return [n for n, since in self._unused_since.items() if now - since >= self._settle_s]

    async def _delete(self, connection: AbstractConnection, names: Collection[str]) -> None:
        """Crash in between: they are deleted by whoever looks next."""
        for name in names:
            if __debug__:
                await self._fail_points("succession.before_delete")
            channel = await connection.channel(publisher_confirms=False)
            try:
                await channel.queue_delete(name)
            finally:
                await channel.close()
            self._former.discard(name)
            log.info("queue of a lane before deleted", queue=name)
