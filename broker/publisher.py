"""The service's one connection for publishing: confirmed, mandatory, with a deadline.

Consumers have connections of their own: an alarm blocks publishers, and acks must go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from broker import connections
from broker.failpoints import FailPointHit, FailPoints
from broker.lineup import Slot
from broker.metrics import Metrics
from broker.store.handover import OutboxRow
from broker.topology import headers_for
from canonical.package import LOG_REFERENCE, MAX_INLINE_BYTES

log = structlog.get_logger(__name__)
_Confirm = TypeVar("_Confirm")

# Per exchange. A channel carries one publish after the other; more than a few gain nothing.
CHANNELS = 4
# The answer is known at once; this is for a loop that is busy.
_BLOCKED_LOOK_S = 0.05

Outcome = Literal["confirmed", "unwanted", "nacked", "returned", "timeout", "connection", "defect"]
OUT: frozenset[Outcome] = frozenset({"confirmed", "unwanted"})


class Unpublishable(Exception):
    """RabbitMQ takes nothing from us now; the text says why."""


class Publisher:
    """Publishes single rows. Connects when it is needed; whoever fails tries again later."""

    def __init__(
        self,
        *,
        amqp_url: str,
        metrics: Metrics,
        fail_points: FailPoints,
        confirm_s: float,
        heartbeat_s: int,
        subscribed: frozenset[str],
    ) -> None:
        """subscribed: events that somebody takes; the others stay in the log and go nowhere."""
        self._amqp_url = amqp_url
        self._metrics = metrics
        self._fail_points = fail_points
        self.confirm_s = confirm_s
        self._heartbeat_s = heartbeat_s
        self._subscribed = subscribed
        self._connection: AbstractConnection | None = None
        self._has_connected = False
        # A missing exchange closes a channel, and that channel only.
        self._channels: dict[Slot, AbstractChannel] = {}
        self._opening = asyncio.Lock()
        # False from a lost connection or a missed deadline on, until something goes out again.
        self.is_working = True

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, blocked or not."""
        return connections.is_alive(self._connection)

    async def ready(self) -> None:
        """Connected, and RabbitMQ takes publishes.

        Raises: what connecting raises, or Unpublishable while an alarm blocks publishers.
        """
        with connections.losses():
            async with self._opening:
                connection = await self._connect()
        if not await self._is_unblocked(connection):
            raise Unpublishable("RabbitMQ blocks publishers: it is short of memory or disk")
        self.is_working = True

    async def publish(self, row: OutboxRow, slot: Slot) -> Outcome:
        """What became of one publish, within the confirm deadline.

        Only "confirmed" means that the broker has it for good. After "timeout" and "connection" it
        may have it or not. The AMQP message_id is fresh per try, since the library matches returns
        by it; the event's id travels in a header.
        """
        if row.routing_key not in self._subscribed:
            return "unwanted"
        outcome, why = await self._try(row, slot)
        if outcome == "confirmed":
            self.is_working = True
            return outcome
        if outcome == "timeout" or not self.is_connected:
            self.is_working = False
        self._metrics.publish_failures.labels(outcome).inc()
        if outcome == "returned":
            self._metrics.returned.inc()
        log.warning(
            "not published", id=row.event_id, event_type=row.type, reason=outcome, error=why
        )
        return outcome

    async def close(self) -> None:
        """The connection is closed."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connections.close(connection, within_s=self.confirm_s)

    async def _try(self, row: OutboxRow, slot: Slot) -> tuple[Outcome, str]:
        try:
            with connections.losses():
                # Covers the wait for a connection, a channel and room in the socket as well.
                async with asyncio.timeout(self.confirm_s):
                    await self._publish(row, slot)
        except PublishError as error:
            return "returned", str(error)
        except DeliveryError as error:
            return "nacked", type(error.frame).__name__
        except TimeoutError:
            return "timeout", f"no confirm within {self.confirm_s} s"
        except CONNECTION_EXCEPTIONS as error:
            return "connection", repr(error)[:200]
        except FailPointHit:
            raise
        except Exception as error:  # a row that cannot be published stops its own key only
            return "defect", repr(error)[:200]
        return "confirmed", ""

    async def _publish(self, row: OutboxRow, slot: Slot) -> None:
        """The broker has confirmed the row. Raises: whatever else became of it."""
        channel = await self._open_channel(slot)
        exchange = await channel.get_exchange(slot.exchange, ensure=False)
        publish = exchange.publish(_message(row), routing_key=row.routing_key, mandatory=True)
        if __debug__ and self._fail_points.is_armed("relay.after_publish"):
            publish = await self._written(publish, channel)
        await publish

    async def _written(
        self, publish: Coroutine[Any, Any, _Confirm], channel: AbstractChannel
    ) -> Coroutine[Any, Any, _Confirm]:
        """What waits for the confirm of a publish whose bytes have left."""
        publishing = asyncio.create_task(publish)
        await asyncio.sleep(0)
        # The library holds the channel's lock until the frames are written.
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)
        async with underlay.lock:
            pass
        try:
            if __debug__:
                await self._fail_points("relay.after_publish")
        except BaseException:
            publishing.cancel()
            raise

        async def confirm() -> _Confirm:
            return await publishing

        return confirm()

    async def _open_channel(self, slot: Slot) -> AbstractChannel:
        channel = self._channels.get(slot)
        if channel is not None and not channel.is_closed and self.is_connected:
            return channel
        async with self._opening:
            connection = await self._connect()
            channel = self._channels.get(slot)
            if channel is None or channel.is_closed:
                # Unroutable is an error only on a channel that raises on returns.
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                self._channels[slot] = channel
            return channel

    async def _connect(self) -> AbstractConnection:
        """A connection that is alive; raises where RabbitMQ cannot be reached."""
        if self._connection is None or not self.is_connected:
            await self.close()
            self._channels.clear()
            self._connection = await connections.connect(
                self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self.confirm_s
            )
            if self._has_connected:
                self._metrics.reconnects.labels("relay").inc()
            self._has_connected = True
        return self._connection

    async def _is_unblocked(self, connection: AbstractConnection) -> bool:
        """The library tells of an alarm only to those who wait for its end."""
        if connection.transport is None:
            return False
        waiting = asyncio.ensure_future(connection.transport.ready())
        done, _ = await asyncio.wait({waiting}, timeout=_BLOCKED_LOOK_S)
        waiting.cancel()
        return bool(done)


def _message(row: OutboxRow) -> aio_pika.Message:
    attributes = {
        "specversion": "1.0",
        "id": row.event_id,
        "source": "layshaft",
        "type": row.type,
        "subject": row.key,
        "time": row.position.at.isoformat(),
        "sequence": str(row.sequence),
        "correlationid": row.correlation_id,
        "causationid": row.causation_id,
        "logposition": f"{row.position.at.isoformat()}/{row.position.seq}",
        # An event that waited long to go out is not a late repeat (broker.lateness).
        "publishtime": datetime.now(UTC).isoformat(),
    }
    body = row.body
    if len(body) > MAX_INLINE_BYTES:
        # The body stands in the log; who needs it takes it from there (broker.reading).
        attributes["dataref"] = f"{LOG_REFERENCE}{attributes['logposition']}"
        attributes["databytes"] = str(len(body))
        body = b""
    return aio_pika.Message(
        body,
        headers=dict(headers_for(attributes)),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
