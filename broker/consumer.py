"""AMQP in: deliveries of one lane become arrivals, and are acknowledged after their commit.

The callback only hands over; the work runs in a task of ours, because the client library cancels
its callbacks whenever their channel closes. A lane has a connection of its own and a channel per
queue. When a channel closes, its undecided deliveries leave the batcher, since they come again;
those in a running transaction finish and are not acknowledged. Only what a deleted queue delivered
is decided nevertheless, for it does not come again.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import random
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any, cast
from zlib import crc32

import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed

from broker import connections
from broker.amqp_properties import damage, violations
from broker.backpressure import UNDECIDED_BYTES, Budget
from broker.blame import is_weather, server_in_words
from broker.door import refusal
from broker.failpoints import FailPoints
from broker.intake import TURN_S, Arrival
from broker.line import Line
from broker.looper import Clearing, finish
from broker.metrics import Metrics
from broker.precedence import Pace, Precedence
from broker.sieve import Received, SiftedConnection
from broker.store.messages import log_position
from broker.tags import Tags
from broker.topology import attributes_from
from canonical.codec import MAX_BODY_BYTES
from canonical.envelope import Lane
from canonical.errors import Failure, InvalidMessage, Misconfigured
from canonical.handler import Delivery
from canonical.package import MAX_INLINE_BYTES

# Attribute under which a header table nobody could decode is kept, as base64; no sender can set it,
# a CloudEvents attribute has no hyphen.
UNDECODED_HEADERS = "undecoded-headers"

REDELIVERED = 10  # at most in a batch
LARGE_BYTES = 1024 * 1024  # of a batch, that the collector has not to leave lying
REATTACH_S = 2.0  # between tries to consume a queue that is missing
LEAVE_S = 10.0  # at most, for what came through a channel that is being left
STUCK_S = 6.0  # that deciding a batch of small messages takes no longer than; a statement has 5 s
STOPPED_S = 5.0  # at most, until a lane that schema or settings stopped looks again

_CONNECTION_LOST = (TimeoutError, *CONNECTION_EXCEPTIONS)

log = structlog.get_logger(__name__)


class Inlet(msgspec.Struct, frozen=True):
    """A queue and what its messages are known by before anybody reads them.

    source: the sender's configured name. ours: our own events, whose headers we trust.
    dead_letters: the broker's dead-letter queue; its routing key names the queue they come from.
    users: logins its messages must be from; empty = whoever may publish to the exchange.
    """

    queue: str
    source: str
    kind: str
    ours: bool = False
    dead_letters: bool = False
    users: tuple[str, ...] = ()


Restore = Callable[[Collection[str]], Coroutine[Any, Any, Mapping[str, str]]]
"""The queues exist again as far as they can; returns by queue how one that exists differs from what
it should be. Only who declares can tell: to a consumer they look alike."""


Take = Callable[[Sequence[Arrival]], Coroutine[Any, Any, None]]
"""See `broker.pipeline.Pipeline.take`."""


class _Shard:
    """Decides the messages of some objects, batch after batch. deciding_since: when the batch in
    hand was taken; None where there is none, or it holds what takes long by right."""

    def __init__(self, take: Take, ready: asyncio.Queue[Arrival]) -> None:
        self.take = take
        self.ready = ready
        # Why its batch is not committed; "" where it is.
        self.trouble = ""
        self.deciding_since: float | None = None

    @property
    def complaint(self) -> str:
        """What keeps it from going on; "" where nothing does."""
        if self.trouble or self.deciding_since is None:
            return self.trouble
        lasts_s = perf_counter() - self.deciding_since
        return f"a batch is being decided for {lasts_s:.0f} s" if lasts_s > STUCK_S else ""


class LaneConsumer:
    """Consumes the queues of one lane until stopped, and gathers what arrives into batches."""

    def __init__(
        self,
        *,
        lane: Lane,
        amqp_url: str,
        inlets: Sequence[Inlet],
        dealt: Callable[[], Sequence[Inlet]] = lambda: (),
        origins: Callable[[str], Inlet | None],
        takes: Sequence[Take],
        read: Callable[[Arrival], Arrival] = lambda arrival: arrival,
        pace: Pace | None = None,
        prefetch: int,
        batch: int,
        heartbeat_s: int,
        reconnect_max_s: float,
        metrics: Metrics,
        fail_points: FailPoints,
        restore: Restore | None = None,
        clearing: Clearing | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        undecided_bytes: int = UNDECIDED_BYTES,
    ) -> None:
        """dealt: queues to take besides inlets, at the moment; `look_again` where that has changed.
        takes: one for each shard; a message of one object always goes to the same one, so that
        while one waits for PostgreSQL another decides; the last is for what is taken with care,
        and of a single one for everything. read: see `broker.intake.read_ahead`. pace:
        see `broker.precedence`. restore: asked when queues of ours are missing or were deleted; see
        `Restore`. clearing: shared with what fails for the same reasons. max_body_bytes: a longer
        body is kept and not read. undecided_bytes: with so many received and not decided, the lane
        receives no more."""
        self.lane = lane
        self._amqp_url = amqp_url
        self._inlets = inlets
        self._dealt = dealt
        self._is_dealt_anew = asyncio.Event()
        self._attached: dict[str, AbstractChannel] = {}
        self._origins = origins
        self._read = read
        self._pace = pace or Pace(lane, Precedence(), share=1.0)
        self._prefetch = prefetch
        self._batch = batch
        self._heartbeat_s = heartbeat_s
        self._reconnect_max_s = reconnect_max_s
        self._metrics = metrics
        self._budget = Budget(undecided_bytes, metrics.undecided_bytes.labels(lane))
        self._fail_points = fail_points
        self._restore = restore
        self._max_body_bytes = max_body_bytes
        self._arrived: asyncio.Queue[Arrival] = asyncio.Queue()
        self._shards = [_Shard(take, asyncio.Queue()) for take in takes]
        self._lines: defaultdict[str, Line] = defaultdict(Line)
        # Less than a batch for each shard was read and waits.
        self._may_read = asyncio.Event()
        self._tags: weakref.WeakKeyDictionary[AbstractChannel, Tags] = weakref.WeakKeyDictionary()
        self._consumer_tags: weakref.WeakKeyDictionary[AbstractChannel, str] = (
            weakref.WeakKeyDictionary()
        )
        # Set once everything that came through a channel that is being left is acknowledged.
        self._leaving: weakref.WeakKeyDictionary[AbstractChannel, asyncio.Event] = (
            weakref.WeakKeyDictionary()
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._clearing = clearing or Clearing()
        self._closing: set[asyncio.Task[None]] = set()
        # What came through these does not come again: their queues are gone.
        self._bereft: weakref.WeakSet[AbstractChannel] = weakref.WeakSet()
        self._different: dict[str, str] = {}
        self._connection_trouble = "starting"

    @property
    def trouble(self) -> str:
        """What keeps the lane from working as configured; "" where nothing does."""
        ended = [task.get_name() for task in self._tasks if task.done()]
        return (
            (f"ended: {', '.join(ended)}" if ended and not self._stopping.is_set() else "")
            or next((shard.complaint for shard in self._shards if shard.complaint), "")
            or self._connection_trouble
            or "; ".join(
                f"queue {name} was declared otherwise: {how}"
                for name, how in sorted(self._different.items())
            )
        )

    @property
    def backlog(self) -> int:
        """Deliveries that have come and are not being decided yet."""
        lines = sum(len(line.waiting) for line in self._lines.values())
        return self._arrived.qsize() + lines + sum(s.ready.qsize() for s in self._shards)

    @property
    def attached(self) -> frozenset[str]:
        """Queues that something may come from, or did and is not settled yet."""
        return frozenset(q for q, channel in self._attached.items() if not channel.is_closed)

    def look_again(self) -> None:
        """What is dealt has changed."""
        self._is_dealt_anew.set()

    def start(self) -> None:
        """Tasks run: one keeps consuming, one reading, one for each shard deciding."""
        self._may_read.set()
        self._reading = asyncio.create_task(self._keep_reading(), name=f"read-{self.lane}")
        self._deciding = [
            asyncio.create_task(self._keep_deciding(shard), name=f"decide-{self.lane}-{n}")
            for n, shard in enumerate(self._shards)
        ]
        consuming = asyncio.create_task(self._keep_consuming(), name=f"consume-{self.lane}")
        self._tasks = [consuming, self._reading, *self._deciding]

    async def stop(self, deadline_s: float) -> None:
        """Nothing is taken any more; the batch in hand is committed and acknowledged."""
        self._stopping.set()
        self._budget.lift()
        self._reading.cancel()
        _, late = await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)

    # Taking

    async def _keep_consuming(self) -> None:
        """A lane that lost its connection while it was full waits for room before it connects: what
        came is decided or given up first."""
        pause_s = 0.5
        while not self._stopping.is_set():
            await self._budget.room()
            try:
                with connections.losses():
                    await self._consume_until_closed()
                pause_s = 0.5
            except Exception as error:  # the lane goes on whatever it was, and says so
                self._connection_trouble = f"RabbitMQ: {type(error).__name__}"
                log.warning(
                    "consumer lost",
                    lane=self.lane,
                    error=repr(error)[:200],
                    exc_info=None if isinstance(error, _CONNECTION_LOST) else error,
                )
                pause_s = min(pause_s * 2, self._reconnect_max_s)
            if self._stopping.is_set():
                return
            self._metrics.reconnects.labels(self.lane).inc()
            await self._clearing.rest(random.uniform(0.1, pause_s), self._stopping)

    async def _consume_until_closed(self) -> None:
        """One connection's life: every queue attached, the missing ones tried again and again,
        until the connection is lost or we stop."""
        connection = await connections.connect(
            self._amqp_url, heartbeat_s=self._heartbeat_s, within_s=self._reconnect_max_s
        )
        if self._connection_trouble:
            self._clearing.tell()
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        connection.sieve.room = self._budget.room
        attached = self._attached = {}
        # Queues of which it is not known whether they are as they should be.
        unsure = set(self._different)
        try:
            while not (closed.is_set() or self._stopping.is_set()):
                self._is_dealt_anew.clear()
                self._leave_unwanted(attached)
                unsure |= {name for name, channel in attached.items() if channel.is_closed}
                missing = await self._attach_missing(connection, attached)
                unsure.update(missing)
                if unsure and await self._restore_queues(unsure):
                    unsure.clear()
                    missing = await self._attach_missing(connection, attached)
                names = ", ".join(missing)
                self._connection_trouble = f"queues not consumed: {names}" if missing else ""
                await self._first_of(
                    closed, self._stopping, self._is_dealt_anew, within_s=REATTACH_S
                )
            if self._stopping.is_set():
                # Deliveries nobody decided go back with the connection; the batches in hand are
                # acknowledged before, on channels that are still open.
                await asyncio.wait(self._deciding)
            else:
                self._connection_trouble = "RabbitMQ: connection lost"
        finally:
            await connections.close(connection, within_s=self._heartbeat_s)

    def _leave_unwanted(self, attached: dict[str, AbstractChannel]) -> None:
        """Queues that are not this process's to take any more are being left."""
        wanted = {inlet.queue for inlet in self._wanted()}
        for queue in attached.keys() - wanted:
            channel = attached[queue]
            if channel.is_closed:
                del attached[queue]
            elif not self._tags[channel].is_closing:
                self._tags[channel].is_closing = True
                self._leaving[channel] = asyncio.Event()
                leaving = asyncio.create_task(self._leave(queue, attached), name=f"leave-{queue}")
                self._closing.add(leaving)
                leaving.add_done_callback(self._closing.discard)

    async def _leave(self, queue: str, attached: dict[str, AbstractChannel]) -> None:
        """What came from the queue is decided and acknowledged, and its channel is closed; what
        comes meanwhile goes back with it. The consumer is cancelled only with the acknowledgement,
        or the next one would begin before that."""
        channel = attached[queue]
        done = self._leaving[channel]
        channel.close_callbacks.add(lambda *_: done.set())
        if self._tags[channel].is_settled:
            done.set()
        try:
            async with asyncio.timeout(LEAVE_S):
                await done.wait()
        except TimeoutError:
            log.warning("left with deliveries in hand, they come again", queue=queue)
        await self._close(channel)
        attached.pop(queue, None)
        self.look_again()

    def _wanted(self) -> list[Inlet]:
        return [*self._inlets, *self._dealt()]

    async def _restore_queues(self, names: Collection[str]) -> bool:
        """The queues exist as they should, or it is known how they differ; False if neither.

        A queue that differs is consumed all the same: its messages are taken, its lane complains.
        """
        if self._restore is None:
            return False
        try:
            different = await self._restore(names)
        except (Failure, *_CONNECTION_LOST) as error:
            # The lane's own connection works: it is not lost over this.
            log.error("queues not restored", lane=self.lane, error=repr(error)[:200])
            return False
        for name in names:
            self._different.pop(name, None)
        self._different |= different
        for name, how in different.items():
            log.error("queue declared otherwise", lane=self.lane, queue=name, how=how)
        return True

    async def _attach_missing(
        self, connection: SiftedConnection, attached: dict[str, AbstractChannel]
    ) -> list[str]:
        """Attaches what is not attached; names of queues that could not be.

        A queue that is missing or was deleted must not detach the others.
        """
        missing: list[str] = []
        opened: list[tuple[Inlet, AbstractQueue]] = []
        for inlet in self._wanted():
            channel = attached.get(inlet.queue)
            if channel is not None and not channel.is_closed:
                continue
            try:
                opened.append((inlet, await self._open(connection, inlet)))
            except ChannelClosed as error:
                log.warning("queue not consumed", queue=inlet.queue, error=repr(error)[:200])
                missing.append(inlet.queue)
            except TimeoutError:
                if not self._budget.is_spent:
                    raise
                missing.append(inlet.queue)  # the answer is behind what we do not read yet
        # All at once, and only now: what comes for the first one may fill the lane.
        consumed = await asyncio.gather(
            *(self._consume(connection, inlet, queue) for inlet, queue in opened)
        )
        for (inlet, queue), is_consumed in zip(opened, consumed, strict=True):
            if is_consumed:
                attached[inlet.queue] = queue.channel
            else:
                missing.append(inlet.queue)
        return missing

    async def _open(self, connection: SiftedConnection, inlet: Inlet) -> AbstractQueue:
        """The queue on a channel of its own, which nothing comes through yet; it must exist."""
        async with asyncio.timeout(self._heartbeat_s):
            channel = await connection.channel(publisher_confirms=False)
        prefetch = 1 if inlet.dead_letters else self._prefetch
        await channel.set_qos(prefetch_count=prefetch, timeout=self._heartbeat_s)
        return await channel.declare_queue(inlet.queue, passive=True, timeout=self._heartbeat_s)

    async def _consume(
        self, connection: SiftedConnection, inlet: Inlet, queue: AbstractQueue
    ) -> bool:
        """What the queue holds comes through its channel, as far as there is room for it; False
        where the broker refuses."""
        channel = queue.channel
        tags = self._tags[channel] = Tags()
        count = self._metrics.received.labels(inlet.queue).inc

        def hand_over(received: Received) -> None:
            if self._stopping.is_set() or tags.is_closing:
                return  # goes back with the connection, or its channel
            count()
            self._pace.came()
            tags.came(received.tag)
            self._budget.take(len(received.body))
            self._arrived.put_nowait(self._arrival(received, inlet, channel))

        def give_up(*_: object) -> None:
            self._bereft.add(channel)
            # Not awaited: this runs inside the channel's reader, which has to read the answer.
            closing = asyncio.create_task(self._close(channel))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

        # The broker cancels the consumer of a deleted queue and says nothing else about it.
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(give_up)
        connection.sieve.keep(underlay.number, hand_over)
        # The answer may be behind deliveries of another queue, which are not read at any time.
        patience_s = connections.silence_s(self._heartbeat_s) + self._heartbeat_s
        try:
            self._consumer_tags[channel] = await queue.consume(_never_called, timeout=patience_s)
        except ChannelClosed as error:
            log.warning("queue not consumed", queue=inlet.queue, error=repr(error)[:200])
            return False
        return True

    async def _close(self, channel: AbstractChannel) -> None:
        try:
            with connections.losses():
                async with asyncio.timeout(self._heartbeat_s):
                    await channel.close()
        except _CONNECTION_LOST as error:
            log.info("channel not closed", lane=self.lane, error=repr(error)[:200])

    async def _first_of(self, *events: asyncio.Event, within_s: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _arrival(self, received: Received, inlet: Inlet, channel: AbstractChannel) -> Arrival:
        """The delivery with what is known before its content is read."""
        origin, routing_key = inlet, received.routing_key
        properties = received.properties
        table = properties.get("headers")
        headers = table if isinstance(table, dict) else {}
        if inlet.dead_letters:
            origin = self._origins(routing_key) or inlet
            routing_key = origin.kind
        wrong = violations(headers, received.routing_key)
        attributes: dict[str, str] = {}
        if not wrong:
            try:
                attributes = attributes_from(headers)
            except InvalidMessage as failure:
                wrong = (failure.what,)
        if (mark := damage(headers)) and mark.raw_headers:
            attributes = {UNDECODED_HEADERS: base64.b64encode(mark.raw_headers).decode()}
        return Arrival(
            delivery=Delivery(
                source=origin.source,
                kind=routing_key,
                body=received.body,
                content_type=_text(properties, "content_type"),
                message_id=_text(properties, "message_id"),
                attributes=attributes,
            ),
            lane=self.lane,
            queue=origin.queue,
            tag=received.tag,
            channel=channel,
            redelivered=received.redelivered or inlet.dead_letters,
            refusal=refusal(
                violations=wrong,
                content_encoding=_text(properties, "content_encoding"),
                user_id=_text(properties, "user_id"),
                users=origin.users,
                body=received.body,
                max_body_bytes=self._max_body_bytes,
                is_ours=origin.ours,
            ),
            logged=log_position(attributes.get("logposition", "")) if origin.ours else None,
        )

    # Reading

    async def _keep_reading(self) -> None:
        """What has come is read while the batch before it is decided: most of that is waiting."""
        turn_began = perf_counter()
        while True:
            await self._may_read.wait()
            arrival = self._read_now(await self._arrived.get())
            self._lines[arrival.queue].waiting.append(arrival)
            self._advance(arrival.queue)
            if perf_counter() - turn_began > TURN_S:
                await asyncio.sleep(0)
                turn_began = perf_counter()

    def _advance(self, *queues: str) -> None:
        """What may be decided now is with its shard."""
        *usual, careful = self._shards
        usual = usual or [careful]
        for queue in queues:
            while (arrival := self._lines[queue].next()) is not None:
                affinity = arrival.affinity
                shard = usual[crc32(affinity.encode()) % len(usual)] if affinity else careful
                shard.ready.put_nowait(arrival)
        if sum(shard.ready.qsize() for shard in self._shards) < self._batch * len(self._shards):
            self._may_read.set()
        else:
            self._may_read.clear()

    def _read_now(self, arrival: Arrival) -> Arrival:
        try:
            return self._read(arrival)
        except Exception:  # it will be met again where a batch that fails is tried again
            log.exception("not read ahead", lane=self.lane, queue=arrival.queue)
            return arrival

    # Deciding

    async def _keep_deciding(self, shard: _Shard) -> None:
        while not self._stopping.is_set():
            if await self._decide_next(shard) > LARGE_BYTES:
                # A failure and what it is about are a circle, and hold its content.
                gc.collect()

    async def _decide_next(self, shard: _Shard) -> int:
        """The next batch is decided, and out of memory with the end of this call; its bytes."""
        at_most = self._pace.at_most(self._batch)
        batch = await self._gather(shard.ready, at_most)
        body_bytes = sum(len(a.delivery.body) for a in batch)
        began = perf_counter()
        if all(a.content_bytes <= MAX_INLINE_BYTES for a in batch):
            shard.deciding_since = began
        try:
            with self._pace.at_work():
                await self._decide_until_committed(shard, self._worthwhile(batch))
        finally:
            shard.deciding_since = None
            self._budget.give_back(body_bytes)
            for arrival in batch:
                self._lines[arrival.queue].in_hand -= 1
            self._advance(*{arrival.queue for arrival in batch})
        if batch:
            took_s, behind = perf_counter() - began, self.backlog >= self._batch / 2
            await self._pause(self._pace.rest_s(len(batch), took_s, behind=behind))
        return body_bytes

    async def _gather(self, ready: asyncio.Queue[Arrival], at_most: int) -> list[Arrival]:
        """The next arrival and whatever else has come already; empty when stopping.

        What comes again is decided one by one: gathered, it would only be acknowledged later, and
        each loss of the connection brings all of it nearer to the delivery limit.
        """
        first = asyncio.create_task(ready.get())
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({first, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not first.done():
            first.cancel()
            return []
        batch = [first.result()]
        again = int(batch[0].redelivered)
        while len(batch) < at_most and again < REDELIVERED and not ready.empty():
            batch.append(ready.get_nowait())
            again += batch[-1].redelivered
        return batch

    def _worthwhile(self, batch: Sequence[Arrival]) -> list[Arrival]:
        """Those that can be acknowledged, and those nobody will send again."""
        return [
            arrival
            for arrival in batch
            # Ours all have one; asking the abstract class showed in the profile.
            if not (channel := cast(AbstractChannel, arrival.channel)).is_closed
            or channel in self._bereft
        ]

    async def _decide_until_committed(self, shard: _Shard, batch: list[Arrival]) -> None:
        """Tries again while the fault is nobody's in the batch; no attempt of a message is burnt.

        Deliveries whose channel closed meanwhile are left out: the broker sends them again.
        """
        failures = 0
        while batch and not self._stopping.is_set():
            try:
                await finish(shard.take(batch))
            except Misconfigured as failure:
                self._stopped_by(failure, shard)
                await self._pause(random.uniform(0.5, 1.0) * STOPPED_S)
                batch = self._worthwhile(batch)
                continue
            except Exception as error:  # the lane goes on whatever it was, and says so
                failures += 1
                shard.trouble = f"not committed: {server_in_words(error)}"
                log.warning(
                    "batch not committed",
                    lane=self.lane,
                    failures=failures,
                    error=repr(error)[:200],
                    exc_info=None if is_weather(error) else error,
                )
                # Error and frames are a circle; while nothing works nobody else has them collected.
                gc.collect()
                pause_s = random.uniform(0.05, min(0.2 * 2**failures, 5.0))
                await self._clearing.rest(pause_s, self._stopping)
                batch = self._worthwhile(batch)
                continue
            shard.trouble = ""
            if failures:
                self._clearing.tell()
            await self._acknowledge(batch)
            return

    def _stopped_by(self, failure: Misconfigured, shard: _Shard) -> None:
        """No message of this lane is taken until that is mended; it is said once in the log."""
        trouble = f"{failure.code}: {failure.what}"
        if not any(s.trouble == trouble for s in self._shards):
            log.error(
                "lane stopped",
                lane=self.lane,
                code=failure.code,
                what=failure.what,
                remedy=failure.remedy,
            )
        shard.trouble = trouble

    async def _acknowledge(self, batch: Sequence[Arrival]) -> None:
        """One multiple ack per channel, as far as everything before it was committed, by this batch
        or another one."""
        settled: dict[AbstractChannel, list[int]] = {}
        for arrival in batch:
            channel = cast(AbstractChannel, arrival.channel)
            settled.setdefault(channel, []).append(arrival.tag)
        for channel, its_tags in settled.items():
            tags = self._tags[channel]
            tag = tags.settle(its_tags)
            if not tag or channel.is_closed:
                continue
            try:
                with connections.losses():
                    async with asyncio.timeout(self._heartbeat_s):
                        underlay = await channel.get_underlay_channel()
                        if tags.is_closing:
                            # Or the room that this makes would be filled once more.
                            await underlay.basic_cancel(self._consumer_tags[channel], nowait=True)
                        await underlay.basic_ack(tag, multiple=True)
            except _CONNECTION_LOST as error:
                log.info("not acknowledged, will come again", error=repr(error)[:200])
            if tags.is_closing:
                self._leaving[channel].set()
        if __debug__:
            await self._fail_points("amqp.after_ack")

    async def _pause(self, seconds: float) -> None:
        if not seconds:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _text(properties: Mapping[str, object], name: str) -> str:
    value = properties.get(name)
    return value if isinstance(value, str) else ""


async def _never_called(_: AbstractIncomingMessage) -> None:
    """The library's own deliveries: there are none on a channel that is sifted."""
    raise AssertionError("a delivery went past the sieve")
