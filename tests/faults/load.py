"""What the sources send, and what they know about it: the ledger of the load.

All of it follows from a seed. Nothing is sent twice unless a test says so; what was not answered is
indeterminate, and the run is judged with that.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from broker.topology import LANES, headers_for, inbound_exchange
from canonical.codec import encode
from canonical.envelope import Lane
from tests.faults.business import CONTRACT, KIND, Order

Answer = Literal["planned", "confirmed", "indeterminate", "refused"]

CONFIRM_S = 5.0
RECONNECT_S = 0.2
WINDOW = 64
"""Unconfirmed messages of a source."""
SHUFFLE_WINDOW = 20


class Sent(msgspec.Struct):
    """One message and what became of it as far as its sender knows. at: when it was sent, in
    seconds of the wall clock, which the target's journal goes by too. time: when the sender says it
    was sent, RFC 3339; "" where it does not. kind: its routing key."""

    source: str
    order: Order
    answer: Answer = "planned"
    at: float = 0.0
    time: str = ""
    kind: str = KIND


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is sent: messages a second for so many seconds, by so many sources.

    judged_again: once more after a restart of everything, as a full run always is.
    """

    rate: int
    seconds: float
    keys: int
    sources: int = 4
    instances: int = 1
    judged_again: bool = True

    @property
    def messages(self) -> int:
        """How many are planned."""
        return round(self.rate * self.seconds)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(f"source-{n}" for n in range(1, self.sources + 1))


def planned(size: Size, seed: int) -> list[Sent]:
    """The load of a seed: each key has one source and one lane, its versions count from 1."""
    chance = random.Random(seed)
    versions: Counter[str] = Counter()
    load: list[Sent] = []
    for n in range(1, size.messages + 1):
        number = chance.randrange(size.keys)
        key = f"key/{number:04}"
        versions[key] += 1
        order = Order(
            id=f"{seed}-{n:06}",
            key=key,
            version=versions[key],
            effect_id=f"e{seed}-{n:06}",
            lane=lane_of(number),
        )
        load.append(Sent(size.source_names[number % size.sources], order))
    return load


def shuffled(load: Sequence[Sent], chance: random.Random) -> list[Sent]:
    """The same places for the same keys, but the versions of a key are mixed up within a window."""
    mixed = list(load)
    places: dict[str, list[int]] = {}
    for place, sent in enumerate(load):
        places.setdefault(sent.order.key, []).append(place)
    for mine in places.values():
        for first in range(0, len(mine), SHUFFLE_WINDOW):
            window = mine[first : first + SHUFFLE_WINDOW]
            for place, other in zip(window, chance.sample(window, len(window)), strict=True):
                mixed[place] = load[other]
    return mixed


def with_twins(load: Sequence[Sent], every: int) -> tuple[list[Sent], list[Sent]]:
    """The load with a twin behind every so many messages: the same id with another payload; and
    the twins."""
    both: list[Sent] = []
    twins: list[Sent] = []
    for n, sent in enumerate(load):
        both.append(sent)
        if n % every == 0:
            other = msgspec.structs.replace(sent.order, effect_id=f"{sent.order.effect_id}-twin")
            twins.append(Sent(sent.source, other))
            both.append(twins[-1])
    return both, twins


def lane_of(number: int) -> Lane:
    """A key keeps its lane: most are standard."""
    return LANES[(0, 1, 1, 1, 1, 1, 1, 1, 2, 2)[number % 10]]


class Load:
    """Sends what is planned at its rate and keeps the ledger."""

    def __init__(self, amqp_url: str, ledger: list[Sent], *, rate: float, copies: int = 1) -> None:
        """copies: how often each message is sent, at once, over as many connections."""
        self._amqp_url = amqp_url
        self.ledger = ledger
        self._rate = rate
        self._copies = copies
        self._lines: dict[str, list[_Line]] = {}

    async def run(self) -> None:
        """Everything planned was sent and answered, or its answer given up."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._lines = {
            name: [_Line(self._amqp_url) for _ in range(self._copies)]
            for name in {s.source for s in self.ledger}
        }
        by_source: dict[str, list[tuple[float, Sent]]] = {}
        for n, sent in enumerate(self.ledger):
            by_source.setdefault(sent.source, []).append((began + n / self._rate, sent))
        try:
            async with asyncio.TaskGroup() as group:
                for source, load in by_source.items():
                    group.create_task(self._send_all(self._lines[source], load))
        finally:
            for lines in self._lines.values():
                for line in lines:
                    await line.close()

    async def _send_all(self, lines: Sequence[_Line], load: Sequence[tuple[float, Sent]]) -> None:
        loop = asyncio.get_running_loop()
        window = asyncio.Semaphore(WINDOW)
        async with asyncio.TaskGroup() as group:
            for due, sent in load:
                await asyncio.sleep(max(due - loop.time(), 0))
                await window.acquire()
                channels = [await line.channel() for line in lines]
                # Tasks start in order, and the channel sends in the order asked.
                task = group.create_task(_send_copies(channels, sent))
                task.add_done_callback(lambda _: window.release())

    async def passes(self, number: int) -> None:
        """So many more messages were confirmed since now. Fails where the load ends before."""
        goal = self.count("confirmed") + number
        while self.count("confirmed") < goal:
            assert self.count("planned"), "the load ended before the fault came"
            await asyncio.sleep(0.02)

    def count(self, answer: Answer) -> int:
        """How many messages were answered so."""
        return sum(s.answer == answer for s in self.ledger)

    def keep(self, path: Path) -> None:
        """The ledger is on disk, for who looks into a failed run."""
        path.write_bytes(b"\n".join(msgspec.json.encode(s) for s in self.ledger))


class _Line:
    """A connection of a source that is made anew when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def channel(self) -> AbstractChannel:
        """An open channel; waits as long as there is no broker (the run's deadline ends it)."""
        while self._channel is None or self._channel.is_closed:
            try:
                async with asyncio.timeout(CONFIRM_S):
                    await self.close()
                    self._connection = await aio_pika.connect(self._url, heartbeat=10)
                    self._channel = await self._connection.channel(
                        publisher_confirms=True, on_return_raises=True
                    )
            except (TimeoutError, *CONNECTION_EXCEPTIONS):
                await asyncio.sleep(RECONNECT_S)
        return self._channel

    async def close(self) -> None:
        """Nothing is open."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()


async def _send_copies(channels: Sequence[AbstractChannel], sent: Sent) -> None:
    """One answer counts for all copies: confirmed once is confirmed."""
    sent.answer, sent.at = "indeterminate", time.time()
    answers = await asyncio.gather(*(_send(channel, sent) for channel in channels))
    sent.answer = min(answers, key=("confirmed", "indeterminate", "refused").index)


async def _send(channel: AbstractChannel, sent: Sent) -> Answer:
    message = aio_pika.Message(
        encode(sent.order),
        headers=dict(headers_for({"id": sent.order.id, "type": CONTRACT, "time": sent.time})),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    try:
        async with asyncio.timeout(CONFIRM_S):
            exchange = await channel.get_exchange(inbound_exchange(sent.source), ensure=False)
            await exchange.publish(message, routing_key=sent.kind, mandatory=True)
    except (DeliveryError, PublishError):
        return "refused"
    except (TimeoutError, *CONNECTION_EXCEPTIONS):
        return "indeterminate"
    return "confirmed"
