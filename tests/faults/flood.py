"""More than anybody takes: notes in a source's queue, of which there are always some left.

Written with the service's own lean framing, so that the flood is not the load on the machine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel

from broker.framing import Outlet, publish_frames
from broker.topology import headers_for, inbound_exchange, inbound_queue
from canonical.codec import encode
from canonical.envelope import Lane
from tests.faults.business import CONTRACT, Order

WINDOW = 500
"""Unconfirmed at once."""
KEYS = 1_000
LOOK_S = 0.1
CONFIRM_S = 30.0


class Flood:
    """Notes of one source; sent: how many were confirmed, by kind."""

    def __init__(self, channel: AbstractChannel, underlay: aiormq.Channel, source: str) -> None:
        self._channel = channel
        self._underlay = underlay
        self._source = source
        self._outlet = Outlet(underlay.connection.write_queue)
        self._outlet.adopt(underlay)
        self.sent: Counter[str] = Counter()

    async def fill(self, kind: str, lane: Lane, number: int) -> None:
        """So many more notes wait in the queue of the kind, all of them confirmed."""
        orders = _notes(kind, lane, self.sent[kind])
        for first in range(0, number, WINDOW):
            some = list(islice(orders, min(WINDOW, number - first)))
            answers = [asyncio.get_running_loop().create_future() for _ in some]
            for order, answer in zip(some, answers, strict=True):
                self._publish(kind, order, answer)
            async with asyncio.timeout(CONFIRM_S):
                await asyncio.gather(*answers)
            self.sent[kind] += len(some)

    async def keep_up(self, kind: str, lane: Lane, least: int, enough: asyncio.Event) -> None:
        """The queue never runs dry until it is enough. Fails if it did."""
        while not enough.is_set():
            depth = await self.depth(kind, lane)
            assert depth, f"the queue of {kind} ran dry"
            if depth < least:
                await self.fill(kind, lane, 2 * least - depth)
            await asyncio.sleep(LOOK_S)

    async def depth(self, kind: str, lane: Lane) -> int:
        """Messages in the queue of the kind that nobody has."""
        name = inbound_queue(self._source, kind, lane)
        result = (await self._channel.declare_queue(name, passive=True)).declaration_result
        return result.message_count or 0

    def _publish(self, kind: str, order: Order, answer: asyncio.Future[None]) -> None:
        frames = publish_frames(
            self._underlay.number,
            exchange=inbound_exchange(self._source),
            routing_key=kind,
            headers=headers_for({"id": order.id, "type": CONTRACT}),
            message_id=order.id,
            body=encode(order),
            frame_max=self._underlay.connection.connection_tune.frame_max,
        )
        self._outlet.publish(
            self._underlay, frames, message_id=order.id, answered=partial(_answer, answer)
        )


def _answer(answer: asyncio.Future[None], error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def _notes(kind: str, lane: Lane, sent: int) -> Iterator[Order]:
    """Endless, in the order of their versions; `sent` of them went before."""
    while True:
        version, key = divmod(sent, KEYS)
        yield Order(
            id=f"{kind}-{sent:07}",
            key=f"{kind}/{key:04}",
            version=version + 1,
            effect_id="",
            lane=lane,
            is_note=True,
        )
        sent += 1


@asynccontextmanager
async def flooding(amqp_url: str, source: str) -> AsyncIterator[Flood]:
    """A flood of that source's notes, by a connection of its own."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)
        # Looked at through another one: it must not wait behind publishes.
        yield Flood(await connection.channel(), underlay, source)
