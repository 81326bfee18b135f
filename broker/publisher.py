"""The service's one connection for publishing: confirmed, mandatory, with a deadline.

Consumers have connections of their own: an alarm blocks publishers, and acks must go on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from broker import connections
from broker.failpoints import FailPoints
from broker.framing import Outlet, publish_frames
from broker.lineup import Slot
from broker.metrics import Metrics
from broker.store.handover import OutboxRow
from broker.topology import headers_for
from canonical.package import LOG_REFERENCE, MAX_INLINE_BYTES

log = structlog.get_logger(__name__)

# Per exchange: what one broken publish takes down with it is a share of them.
CHANNELS = 4
# The answer is known at once; this is for a loop that is busy.
_BLOCKED_LOOK_S = 0.05

Outcome = Literal["confirmed", "unwanted", "nacked", "returned", "timeout", "connection", "defect"]
OUT: frozenset[Outcome] = frozenset({"confirmed", "unwanted"})
Settled = Callable[[Sequence[tuple[OutboxRow, Outcome]]], Awaitable[None]]


class Unpublishable(Exception):
    """RabbitMQ takes nothing from us now; the text says why."""


class Publisher:
    """Publishes rows. Connects when it is needed; whoever fails tries again later."""

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
        self._outlet: Outlet | None = None
        self._has_connected = False
        # A missing exchange closes a channel, and that channel only.
        self._channels: dict[Slot, AbstractChannel] = {}
        self._opening = asyncio.Lock()
        # False from a lost connection or a missed deadline on, until something goes out again.
        self.is_working = True
        # Waits for the end of an alarm, and tells who publishes.
        self._unblocking: asyncio.Future[None] | None = None
        self._is_blocked = False
        self.unblocked: Callable[[], None] = lambda: None

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

    async def publish(self, rows: Sequence[tuple[OutboxRow, Slot]], settled: Settled) -> None:
        """The rows are written in their order; `settled` is told once of each what became of it,
        within the confirm deadline.

        Only "confirmed" means that the broker has it for good. After "timeout" and "connection" it
        may have it or not. The AMQP message_id is fresh per try, since the library matches returns
        by it; the event's id travels in a header.
        """
        # Covers the wait for a connection, a channel and room in the socket as well.
        until = asyncio.get_running_loop().time() + self.confirm_s
        lot = _Lot(row for row, _ in rows)
        by_slot: dict[Slot, list[OutboxRow]] = {}
        for row, slot in rows:
            if row.routing_key in self._subscribed:
                by_slot.setdefault(slot, []).append(row)
            else:
                lot.settle(row, "unwanted")
        for slot, its_rows in by_slot.items():
            await self._write(slot, its_rows, lot, until)
        while lot.is_open:
            try:
                async with asyncio.timeout_at(until):
                    await lot.something_settled()
            except TimeoutError as error:
                lot.fail_rest(error)
            found = lot.taken()
            for row, outcome, why in found:
                self._note(row, outcome, why)
            await settled([(row, outcome) for row, outcome, _ in found])

    async def close(self) -> None:
        """The connection is closed."""
        if self._unblocking is not None:
            self._unblocking.cancel()
        if self._outlet is not None:
            self._outlet.close()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connections.close(connection, within_s=self.confirm_s)

    async def _write(self, slot: Slot, rows: Sequence[OutboxRow], lot: _Lot, until: float) -> None:
        """The rows are on their way, or settled where they cannot be."""
        try:
            with connections.losses():
                async with asyncio.timeout_at(until):
                    outlet, channel = await self._open_channel(slot)
        except Exception as error:  # no channel for these rows; others may have theirs
            for row in rows:
                lot.answered(row, error)
            return
        for row in rows:
            message_id = os.urandom(16).hex()
            try:
                frames = _frames(row, channel, message_id)
                outlet.publish(
                    channel,
                    frames,
                    message_id=message_id,
                    answered=partial(lot.answered, row),
                )
            except Exception as error:  # a row that cannot be published stops its own key only
                lot.answered(row, error)
        if __debug__ and self._fail_points.is_armed("relay.after_publish"):
            await outlet.written()
            for _ in rows:
                await self._fail_points("relay.after_publish")

    def _note(self, row: OutboxRow, outcome: Outcome, why: str) -> None:
        """What became of a row is in metrics and log."""
        if outcome == "confirmed":
            self.is_working = True
        if outcome in OUT:
            return
        if outcome == "timeout" or not self.is_connected:
            self.is_working = False
        self._metrics.publish_failures.labels(outcome).inc()
        if outcome == "returned":
            self._metrics.returned.inc()
        log.warning(
            "not published", id=row.event_id, event_type=row.type, reason=outcome, error=why
        )

    async def _open_channel(self, slot: Slot) -> tuple[Outlet, aiormq.Channel]:
        channel = self._channels.get(slot)
        if channel is None or channel.is_closed or not self.is_connected:
            async with self._opening:
                connection = await self._connect()
                channel = self._channels.get(slot)
                if channel is None or channel.is_closed:
                    channel = await self._new_channel(connection)
                    self._channels[slot] = channel
        assert self._outlet is not None
        return self._outlet, await _underlay(channel)

    async def _new_channel(self, connection: AbstractConnection) -> AbstractChannel:
        # Unroutable is an error only on a channel that raises on returns.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        assert self._outlet is not None
        self._outlet.adopt(await _underlay(channel))
        return channel

    async def _connect(self) -> AbstractConnection:
        """A connection that is alive; raises where RabbitMQ cannot be reached."""
        if self._connection is None or not self.is_connected:
            await self.close()
            self._channels.clear()
            self._connection = await connections.connect(
                self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self.confirm_s
            )
            assert self._connection.transport is not None
            self._outlet = Outlet(self._connection.transport.connection.write_queue)
            if self._has_connected:
                self._metrics.reconnects.labels("relay").inc()
            self._has_connected = True
        return self._connection

    async def _is_unblocked(self, connection: AbstractConnection) -> bool:
        """The library tells of an alarm only to those who wait for its end."""
        if connection.transport is None:
            return False
        waiting = self._unblocking
        if waiting is None or waiting.done():
            waiting = self._unblocking = asyncio.ensure_future(connection.transport.ready())
            waiting.add_done_callback(self._is_ready)
        done, _ = await asyncio.wait({waiting}, timeout=_BLOCKED_LOOK_S)
        self._is_blocked = not done
        return bool(done)

    def _is_ready(self, waited: asyncio.Future[None]) -> None:
        was_blocked, self._is_blocked = self._is_blocked, False
        if was_blocked and not waited.cancelled() and waited.exception() is None:
            self.unblocked()


class _Lot:
    """Rows published together, and what became of them; whatever is said of a row first counts."""

    def __init__(self, rows: Iterable[OutboxRow]) -> None:
        self._open = {row.id: row for row in rows}
        self._settled: list[tuple[OutboxRow, Outcome, str]] = []
        self._has_settled = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether anything is to be waited for or taken."""
        return bool(self._open or self._settled)

    def settle(self, row: OutboxRow, outcome: Outcome, why: str = "") -> None:
        """This became of the row."""
        if self._open.pop(row.id, None) is not None:
            self._settled.append((row, outcome, why))
            self._has_settled.set()

    def answered(self, row: OutboxRow, error: BaseException | None) -> None:
        """The row is confirmed, or this went wrong."""
        self.settle(row, *_outcome(error))

    def fail_rest(self, error: BaseException) -> None:
        """This went wrong with all that are left."""
        for row in list(self._open.values()):
            self.answered(row, error)

    async def something_settled(self) -> None:
        """Waits until there is something to take."""
        await self._has_settled.wait()

    def taken(self) -> list[tuple[OutboxRow, Outcome, str]]:
        """What was settled since it was asked last, in that order."""
        taken, self._settled = self._settled, []
        self._has_settled.clear()
        return taken


def _outcome(error: BaseException | None) -> tuple[Outcome, str]:
    match error:
        case None:
            return "confirmed", ""
        case PublishError():
            return "returned", str(error)
        case DeliveryError():
            return "nacked", type(error.frame).__name__
        case TimeoutError():
            return "timeout", "no confirm within the deadline"
        case asyncio.CancelledError():
            return "connection", "closed"
        case _ if isinstance(error, CONNECTION_EXCEPTIONS):
            return "connection", repr(error)[:200]
        case _:
            return "defect", repr(error)[:200]


async def _underlay(channel: AbstractChannel) -> aiormq.Channel:
    underlay = await channel.get_underlay_channel()
    assert isinstance(underlay, aiormq.Channel)
    return underlay


def _frames(row: OutboxRow, channel: aiormq.Channel, message_id: str) -> bytes:
    stated_at = row.position.at.isoformat()
    attributes = {
        "specversion": "1.0",
        "id": row.event_id,
        "source": "layshaft",
        "type": row.type,
        "subject": row.key,
        "time": stated_at,
        "sequence": str(row.sequence),
        "correlationid": row.correlation_id,
        "causationid": row.causation_id,
        "logposition": f"{stated_at}/{row.position.seq}",
        # An event that waited long to go out is not a late repeat (broker.lateness).
        "publishtime": datetime.now(UTC).isoformat(),
    }
    body = row.body
    if len(body) > MAX_INLINE_BYTES:
        # The body stands in the log; who needs it takes it from there (broker.reading).
        attributes["dataref"] = f"{LOG_REFERENCE}{attributes['logposition']}"
        attributes["databytes"] = str(len(body))
        body = b""
    return publish_frames(
        channel.number,
        exchange=row.exchange,
        routing_key=row.routing_key,
        headers=headers_for(attributes),
        message_id=message_id,
        body=body,
        frame_max=channel.connection.connection_tune.frame_max,
    )
