"""Rings of partitioned events: how one follows another while messages flow.

    plan      a number is reserved; exchange and queues are declared, nothing comes to them
    switch    the rows say which one is current; then the new one is bound, and the old one is not
              any more: in between an event comes to both, and has its effect once
    drain     what the old one holds is taken beside the new one, in order by the events' numbers
    close     once it is empty it is left by all; if nothing has come back then, it is deleted

Crash after plan: nobody uses it, it is deleted after a while. Crash in the switch: the next turn of
any process that does upkeep declares what the rows say. Crash later: the next turn does the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from aio_pika.abc import AbstractConnection

from broker import connections
from broker.failpoints import FailPoints
from broker.partitions import Held, Ring, next_state
from broker.principals import ALL_PLANTS, Deed
from broker.store import Database, Tx
from broker.store import messages as message_rows
from broker.store import partitions as rows
from broker.store.messages import Note
from broker.topology import LANES, queue_states

# Longer than publishes under way and consumers on their way out take.
SETTLE_S = 10.0
# A plan that did not become current was given up.
GIVEN_UP_S = 3600.0

Declare = Callable[[Sequence[Ring]], Awaitable[None]]
"""The topology with these rings exists."""

log = structlog.get_logger(__name__)


async def deed(tx: Tx, event: str) -> Deed:
    """What splitting the event takes: it is of all plants."""
    return Deed(action="partitions-change", subject=event, plants=ALL_PLANTS)


async def change_partitions(
    database: Database,
    *,
    event: str,
    partitions: int,
    declare: Declare,
    actor: str,
    fail_points: FailPoints,
) -> Ring:
    """The event is split into so many partitions from now on; the ring that is so.

    Raises: Misconfigured where the broker refuses, Unavailable where it does not answer; nothing
    has changed for messages then.
    """
    async with database.session() as session:
        planned = await rows.plan_ring(session, event, partitions)
    if __debug__:
        await fail_points("partitions.after_plan")
    await declare([*await _declared(database), planned])
    async with database.transaction() as tx:
        await rows.lock_changes(tx)
        await rows.make_current(tx, planned)
        changed = {"partitions": partitions, "ring": planned.number}
        await message_rows.write_audit(
            tx, [Note(actor, "partitions-changed", event, detail=changed)]
        )
    if __debug__:
        await fail_points("partitions.after_switch")
    await _declare_what_is(database, declare)
    return planned


async def _declare_what_is(database: Database, declare: Declare) -> None:
    """The topology has the rings that there are, also where two change them at once: whoever is
    slower would bind anew what the other one has just left."""
    declared: list[Ring] = []
    while (there_are := await _declared(database)) != declared:
        await declare(there_are)
        declared = there_are


async def _declared(database: Database) -> list[Ring]:
    async with database.session() as session:
        return [r for r in await rows.rings(session) if r.is_declared]


class Rings:
    """Sees to what was begun. `turn` is repeated by a Loop in every process that does upkeep."""

    def __init__(
        self,
        *,
        database: Database,
        amqp_url: str,
        heartbeat_s: int,
        within_s: float,
        declare: Declare,
        fail_points: FailPoints,
        settle_s: float = SETTLE_S,
        given_up_s: float = GIVEN_UP_S,
    ) -> None:
        self._database = database
        self._amqp_url = amqp_url
        self._heartbeat_s = heartbeat_s
        self._within_s = within_s
        self._declare = declare
        self._fail_points = fail_points
        self._settle_s = settle_s
        self._given_up_s = given_up_s
        self._declared: list[Ring] | None = None

    async def turn(self) -> bool:
        """Everything is declared as the rows say, and each ring that nothing comes to any
        more is one state further, where it may be."""
        declared = await _declared(self._database)
        # At the start of a process that was done already.
        if self._declared not in (None, declared):
            await self._declare(declared)
        self._declared = declared
        async with self._database.session() as session:
            unused = [
                *await rows.unused_since(session, self._settle_s, ("draining", "closing")),
                *await rows.unused_since(session, self._given_up_s, ("planned",)),
            ]
        if unused:
            await self._move_on(unused)
        return False

    async def _move_on(self, rings: Sequence[Ring]) -> None:
        connection = await connections.connect(
            self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self._within_s
        )
        try:
            with connections.losses():
                for ring in rings:
                    await self._move_one_on(connection, ring)
        finally:
            await connections.close(connection, within_s=self._within_s)

    async def _move_one_on(self, connection: AbstractConnection, ring: Ring) -> None:
        """Crash between the deletion and its row: it is deleted again, which changes nothing."""
        state = next_state(ring, await _held(connection, ring))
        if state == ring.state:
            return
        if state == "gone":
            if __debug__:
                await self._fail_points("partitions.before_delete")
            await _delete(connection, ring)
            if __debug__:
                await self._fail_points("partitions.after_delete")
        async with self._database.transaction() as tx:
            if await rows.move_on(tx, ring, state):
                queues = [q for lane in LANES for q in ring.queues(lane)]
                if state == "gone":
                    await rows.forget(tx, queues=queues)
                log.info(
                    "ring",
                    event_type=ring.event,
                    number=ring.number,
                    state=state,
                )


async def _held(connection: AbstractConnection, ring: Ring) -> Held:
    names = [name for lane in LANES for name in ring.queues(lane)]
    states = (await queue_states(connection, names)).values()
    return Held(sum(s.messages for s in states), sum(s.consumers for s in states))


async def _delete(connection: AbstractConnection, ring: Ring) -> None:
    """Its queues and exchanges are gone; those that are not there already were."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        for lane in LANES:
            for name in ring.queues(lane):
                await channel.queue_delete(name)
            await channel.exchange_delete(ring.exchange(lane))
    finally:
        await channel.close()
