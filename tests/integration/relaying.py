"""What publishes in one process, around a database and a broker of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika
import uuid_utils
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from broker.failpoints import FailPoints
from broker.looper import Loop
from broker.metrics import Metrics
from broker.publisher import Publisher
from broker.relay import MEMORY_BYTES, MEMORY_ROWS, Relay
from broker.store import Database, Tx
from broker.store import outbox as outbox_rows
from broker.store.outbox import Emission
from broker.sweeper import Sweeper
from broker.topology import (
    EventTopology,
    SubscriberTopology,
    declare,
    event_queue,
    events_exchange,
    topology,
)
from canonical.events import EVENTS
from tests.integration.toy import DEADLINE_S

WANTED = topology(
    [],
    [EventTopology("supplier.changed", ("standard",))],
    [SubscriberTopology("planning", ("supplier.changed",))],
)
QUEUE = event_queue("supplier.changed", "standard")
EXCHANGE = events_exchange("standard")
# The last one has a subscriber by configuration only: its queue is missing.
SUBSCRIBED = frozenset({*EVENTS, "nobody.listens"})


class Process:
    """A publisher, a relay and a sweeper on one pool; nothing turns by itself unless started."""

    def __init__(
        self,
        database_url: str,
        amqp_url: str,
        *,
        fail_points: str,
        subscribed: frozenset[str],
        confirm_s: float,
        memory_rows: int,
        memory_bytes: int,
        refused_s: float,
    ) -> None:
        self.metrics = Metrics()
        points = FailPoints.parse(fail_points)
        own = Database(url=database_url, purpose="relay", size=2, acquire_s=3, statement_s=5)
        self.publisher = Publisher(
            amqp_url=amqp_url,
            metrics=self.metrics,
            fail_points=points,
            confirm_s=confirm_s,
            heartbeat_s=10,
            subscribed=subscribed,
        )
        self.relay = Relay(
            publisher=self.publisher,
            database=own,
            metrics=self.metrics,
            fail_points=points,
            memory_rows=memory_rows,
            memory_bytes=memory_bytes,
        )
        self.sweeper = Sweeper(
            publisher=self.publisher,
            database=own,
            metrics=self.metrics,
            fail_points=points,
            refused_s=refused_s,
        )
        self.database = Database(
            url=database_url,
            purpose="test",
            size=4,
            acquire_s=3,
            statement_s=5,
            handover=self.relay,
        )
        self._pools = (own, self.database)
        self._loops: list[Loop] = []

    async def open(self) -> None:
        """The pools are connected."""
        for pool in self._pools:
            await pool.open()

    def start(self) -> None:
        """Relay and sweeper turn by themselves."""
        for name, turn in (("relay", self.relay.turn), ("sweeper", self.sweeper.turn)):
            self._loops.append(Loop(name, turn, rest_s=0.05, rest_max_s=0.2))
        self.relay.wake, self.relay.wake_sweeper = (loop.wake for loop in self._loops)
        for loop in self._loops:
            loop.start()

    async def emit(self, *keys: str, event: str = "supplier.changed", body: bytes = b"{}") -> None:
        """Events about these suppliers are committed."""
        async with self.database.transaction() as tx:
            await emit(tx, *keys, event=event, body=body)

    def published(self, path: str) -> int:
        """Events confirmed so far on one path."""
        labels = {"lane": "standard", "path": path}
        value = self.metrics.registry.get_sample_value("layshaft_events_published_total", labels)
        return int(value or 0)

    def failures(self, reason: str) -> int:
        """Publishes that failed for one reason."""
        name = "layshaft_publish_failures_total"
        return int(self.metrics.registry.get_sample_value(name, {"reason": reason}) or 0)

    async def die(self) -> None:
        """Gone as at a crash: nothing is published, cleared or given back any more."""
        for loop in self._loops:
            await loop.stop(0)
        self._loops.clear()
        self.relay.wake = self.relay.wake_sweeper = lambda: None
        await self.publisher.close()
        for pool in self._pools:
            await pool.close()

    async def close(self) -> None:
        """Ended as at a stop of the service."""
        for loop in self._loops:
            await loop.stop(DEADLINE_S)
        await self.relay.drain(1)
        await self.die()


@asynccontextmanager
async def process_on(
    database_url: str,
    amqp_url: str,
    *,
    fail_points: str = "",
    subscribed: frozenset[str] = SUBSCRIBED,
    confirm_s: float = 4.0,
    memory_rows: int = MEMORY_ROWS,
    memory_bytes: int = MEMORY_BYTES,
    refused_s: float = 0.0,
) -> AsyncIterator[Process]:
    """A process with its pools open; closed at the end."""
    process = Process(
        database_url,
        amqp_url,
        fail_points=fail_points,
        subscribed=subscribed,
        confirm_s=confirm_s,
        memory_rows=memory_rows,
        memory_bytes=memory_bytes,
        refused_s=refused_s,
    )
    await process.open()
    try:
        yield process
    finally:
        await process.close()


async def emit(tx: Tx, *keys: str, event: str = "supplier.changed", body: bytes = b"{}") -> None:
    """Events about these suppliers are in the outbox of this transaction."""
    await outbox_rows.emit(tx, emissions(*keys, event=event, body=body))


def emissions(
    *keys: str, event: str = "supplier.changed", body: bytes = b"{}"
) -> Sequence[Emission]:
    """One event a key, in this order."""
    return [
        Emission(
            id=str(uuid_utils.uuid7()),
            event=event,
            type="com.layshaft.supplier.changed.v1",
            key=f"supplier/{key}",
            lane="standard",
            exchange=EXCHANGE,
            correlation_id="c",
            causation_id="m",
            body=body,
        )
        for key in keys
    ]


@asynccontextmanager
async def broker_at(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await declare(channel, WANTED)
        for name in (QUEUE, "out.planning"):
            await (await channel.get_queue(name)).purge()
        yield connection


async def messages(
    connection: AbstractConnection, count: int, queue: str = QUEUE
) -> list[AbstractIncomingMessage]:
    """The next messages of a queue; and nothing is left behind them."""
    channel = await connection.channel()
    source = await channel.get_queue(queue, ensure=False)
    found: list[AbstractIncomingMessage] = []
    # One by one: a consumer would be sent, and swallow, what stands behind them.
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            message = await source.get(no_ack=True, fail=False)
            if message is None:
                await asyncio.sleep(0.01)
                continue
            found.append(message)
    declared = await channel.declare_queue(queue, passive=True)
    assert declared.declaration_result.message_count == 0
    return found


async def received(
    connection: AbstractConnection, count: int, queue: str = QUEUE
) -> list[tuple[str, int, str]]:
    """The next messages of a queue: key, sequence, id; and nothing is left behind them."""
    headers = [message.headers for message in await messages(connection, count, queue)]
    return [(str(h["ce-subject"]), int(str(h["ce-sequence"])), str(h["ce-id"])) for h in headers]


async def drained(connection: AbstractConnection, queue: str = QUEUE) -> list[tuple[str, int, str]]:
    """Everything that stands in a queue now: key, sequence, id."""
    channel = await connection.channel()
    declared = await channel.declare_queue(queue, passive=True)
    return await received(connection, declared.declaration_result.message_count or 0, queue)


def first_seen(found: Sequence[tuple[str, int, str]], key: str) -> list[int]:
    """Numbers of a key in the order they came in, repeats left out."""
    return list(dict.fromkeys(n for k, n, _ in found if k == f"supplier/{key}"))
