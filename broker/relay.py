"""Outbox rows become published events: confirmed, mandatory, in commit order per key.

Crash after publish and before the row goes: the event is published again under the same id and
the subscriber's inbox absorbs it. One relay works at a time, held by a session lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import PublishError

from broker import connections
from broker.failpoints import FailPoints
from broker.metrics import Metrics
from broker.store import Database
from broker.store import outbox as outbox_rows
from broker.store.outbox import OutboxRow
from broker.topology import headers_for

log = structlog.get_logger(__name__)

_Confirm = TypeVar("_Confirm")

BATCH = 200
STUCK_S = 2.0  # a key whose head was not confirmed is tried again after this


class Relay:
    """Publishes what the outbox holds. `turn` is one look; a Loop repeats it."""

    def __init__(
        self,
        *,
        amqp_url: str,
        database: Database,
        metrics: Metrics,
        fail_points: FailPoints,
        confirm_s: float,
        heartbeat_s: int,
        subscribed: frozenset[str],
    ) -> None:
        """subscribed: events that somebody takes; the others stay in the log and go nowhere."""
        self._amqp_url = amqp_url
        self._database = database
        self._metrics = metrics
        self._fail_points = fail_points
        self._confirm_s = confirm_s
        self._heartbeat_s = heartbeat_s
        self._subscribed = subscribed
        self._connection: AbstractConnection | None = None
        self._has_connected = False
        # One per exchange: a missing one closes its channel, and its channel only.
        self._channels: dict[str, AbstractChannel] = {}
        self._opening = asyncio.Lock()
        self._stuck: dict[str, float] = {}

    async def turn(self) -> bool:
        """Publishes up to a batch; True if there may be more."""
        async with self._database.session() as session:
            if not await outbox_rows.try_relay_lock(session):
                return False
            try:
                heads = await outbox_rows.outbox_heads(
                    session, limit=BATCH, stuck=self._stuck_now()
                )
                if not heads:
                    return False
                if __debug__:
                    await self._fail_points("relay.after_claim")
                confirmed = await self._publish(heads)
                await outbox_rows.clear_outbox(session, confirmed)
                if __debug__:
                    await self._fail_points("relay.after_mark")
            finally:
                await outbox_rows.release_relay_lock(session)
        return bool(confirmed)

    async def close(self) -> None:
        """The connection is closed."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connections.close(connection, within_s=self._confirm_s)

    async def _publish(self, heads: list[OutboxRow]) -> list[int]:
        """Ids of the confirmed rows: keys side by side, one key strictly one after the other."""
        await self._connect()
        by_key: dict[str, list[OutboxRow]] = {}
        for row in heads:
            by_key.setdefault(row.key, []).append(row)
        confirmed: list[int] = []
        async with asyncio.TaskGroup() as group:
            for key_rows in by_key.values():
                group.create_task(self._publish_key(key_rows, confirmed))
        return confirmed

    async def _publish_key(self, key_rows: Iterable[OutboxRow], confirmed: list[int]) -> None:
        """Adds the ids of confirmed rows to `confirmed`, up to the first row that was not: the
        rest of its key must not overtake."""
        for row in key_rows:
            if row.routing_key not in self._subscribed:
                confirmed.append(row.id)
                continue
            try:
                # Covers the wait for the connection too, which the library's timeout does not.
                async with asyncio.timeout(self._confirm_s):
                    channel = await self._open_channel(row.exchange)
                    exchange = await channel.get_exchange(row.exchange, ensure=False)
                    publish = exchange.publish(
                        _message(row), routing_key=row.routing_key, mandatory=True
                    )
                    if __debug__ and self._fail_points.is_armed("relay.after_publish"):
                        publish = await self._written(publish, channel)
                    await publish
            except PublishError:
                self._metrics.returned.inc()
                self._stuck[row.key] = monotonic() + STUCK_S
                log.error("not routable", routing_key=row.routing_key, id=row.event_id)
                return
            # Whatever one key met, the confirmations of the others count.
            except Exception as error:
                self._stuck[row.key] = monotonic() + STUCK_S
                log.warning("not confirmed", id=row.event_id, error=repr(error)[:200])
                return
            if __debug__:
                await self._fail_points("relay.after_confirm")
            self._metrics.published.labels(row.exchange.rpartition(".")[2]).inc()
            confirmed.append(row.id)

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

    def _stuck_now(self) -> list[str]:
        """Keys whose head failed a moment ago; the others must not wait behind them."""
        now = monotonic()
        self._stuck = {key: until for key, until in self._stuck.items() if until > now}
        return sorted(self._stuck)

    async def _connect(self) -> None:
        """There is a connection that is alive; raises where RabbitMQ cannot be reached."""
        if self._connection is None or not connections.is_alive(self._connection):
            await self.close()
            self._connection = await connections.connect(
                self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self._confirm_s
            )
            if self._has_connected:
                self._metrics.reconnects.labels("relay").inc()
            self._has_connected = True
            self._channels.clear()

    async def _open_channel(self, exchange: str) -> AbstractChannel:
        async with self._opening:
            await self._connect()
            assert self._connection is not None
            channel = self._channels.get(exchange)
            if channel is None or channel.is_closed:
                # Unroutable is an error only on a channel that raises on returns.
                channel = await self._connection.channel(
                    publisher_confirms=True, on_return_raises=True
                )
                self._channels[exchange] = channel
            return channel


def _message(row: OutboxRow) -> aio_pika.Message:
    """The event on the wire. message_id is left to the library: fresh per try, since returns are
    matched by it; the business id travels in the headers."""
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
    return aio_pika.Message(
        row.body,
        headers=dict(headers_for(attributes)),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
