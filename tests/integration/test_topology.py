"""The declared topology routes as the names promise, and drift is seen without being repaired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError

from broker.topology import (
    Drift,
    EventTopology,
    Exchange,
    InboundObject,
    Queue,
    SourceTopology,
    SubscriberTopology,
    Topology,
    declare,
    drift,
    event_queue,
    events_exchange,
    inbound_exchange,
    inbound_queue,
    topology,
)
from canonical.errors import Misconfigured, Unavailable

DEADLINE_S = 20.0

WANTED = topology(
    [SourceTopology("plm", (InboundObject("engineering-change", "critical"),))],
    [EventTopology("engineering-change.released", ("standard",))],
    [SubscriberTopology("planning", ("engineering-change.released",))],
)


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection to the virtual host of this module, the topology declared in it."""
    async with await aio_pika.connect(amqp_url) as connected:
        await declare(await connected.channel(), WANTED)
        yield connected


async def publish(channel: AbstractChannel, exchange: str, routing_key: str, body: bytes) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(Message(body), routing_key, mandatory=True, timeout=DEADLINE_S)


async def take(channel: AbstractChannel, queue: str) -> tuple[bytes, str | None]:
    """The next message of a queue, taken out of it: body and routing key."""
    source = await channel.get_queue(queue, ensure=False)
    async with asyncio.timeout(DEADLINE_S), source.iterator(no_ack=True) as messages:
        message = await anext(messages)
    return message.body, message.routing_key


async def test_declaring_again_changes_nothing(connection: AbstractConnection) -> None:
    await declare(await connection.channel(), WANTED)
    assert await drift(connection, WANTED) == ()


async def test_each_object_of_a_source_finds_its_queue_and_unknown_ones_the_other(
    connection: AbstractConnection,
) -> None:
    channel = await connection.channel(on_return_raises=True)
    inbound = inbound_exchange("plm")
    await publish(channel, inbound, "engineering-change", b"known")
    assert await take(channel, inbound_queue("plm", "engineering-change", "critical")) == (
        b"known",
        "engineering-change",
    )
    await publish(channel, inbound, "engineering-change.released", b"with verb")
    assert await take(channel, inbound_queue("plm", "engineering-change", "critical")) == (
        b"with verb",
        "engineering-change.released",
    )
    await publish(channel, inbound, "part", b"unknown")
    assert await take(channel, "in.plm.other.standard") == (b"unknown", "part")


async def test_messages_of_a_source_go_to_one_process_until_it_ends(
    connection: AbstractConnection, amqp_url: str
) -> None:
    channel = await connection.channel(on_return_raises=True)
    name, inbound = inbound_queue("plm", "engineering-change", "critical"), inbound_exchange("plm")
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    async with await aio_pika.connect(amqp_url) as first, connection.channel() as second:
        for who, consuming in (("first", await first.channel()), ("second", second)):
            queue = await consuming.get_queue(name, ensure=False)

            async def hand_over(message: AbstractIncomingMessage, who: str = who) -> None:
                if who == "second":
                    await message.ack()
                got.put_nowait((who, message.body))

            await queue.consume(hand_over)
        for n in range(4):
            await publish(channel, inbound, "engineering-change", str(n).encode())
        async with asyncio.timeout(DEADLINE_S):
            assert [await got.get() for _ in range(4)] == [("first", b"%d" % n) for n in range(4)]
            await first.close()
            # What it did not acknowledge comes again, in the same order.
            assert [await got.get() for _ in range(4)] == [("second", b"%d" % n) for n in range(4)]


async def test_an_event_reaches_our_queue_and_the_subscriber_in_its_lane(
    connection: AbstractConnection,
) -> None:
    channel = await connection.channel(on_return_raises=True)
    event = "engineering-change.released"
    await publish(channel, events_exchange("standard"), event, b"1")
    assert await take(channel, event_queue(event, "standard")) == (b"1", event)
    assert await take(channel, "out.planning") == (b"1", event)
    await publish(channel, events_exchange("critical"), event, b"2")
    assert await take(channel, "out.planning") == (b"2", event)


async def test_an_event_nobody_takes_comes_back(connection: AbstractConnection) -> None:
    channel = await connection.channel(on_return_raises=True)
    with pytest.raises(DeliveryError):
        await publish(channel, events_exchange("standard"), "part.released", b"?")


async def test_a_rejected_message_waits_as_a_dead_letter_with_the_name_of_its_queue(
    connection: AbstractConnection,
) -> None:
    channel = await connection.channel(on_return_raises=True)
    await publish(channel, inbound_exchange("plm"), "engineering-change", b"poison")
    queue = await channel.get_queue("in.plm.engineering-change.critical", ensure=False)
    async with asyncio.timeout(DEADLINE_S), queue.iterator() as messages:
        message = await anext(messages)
        await message.reject(requeue=False)
    assert await take(channel, "layshaft.dead") == (
        b"poison",
        "in.plm.engineering-change.critical",
    )


async def test_drift_names_what_is_missing_or_other_and_repairs_nothing(
    connection: AbstractConnection,
) -> None:
    channel = await connection.channel()
    await channel.queue_delete("out.planning")
    await channel.exchange_delete("in.plm.other")
    other_arguments = Topology(
        tuple(
            Exchange(exchange.name, "fanout") if exchange.name == "in.plm" else exchange
            for exchange in WANTED.exchanges
        ),
        tuple(
            Queue(queue.name, {**queue.arguments, "x-max-length-bytes": 1_000_000})
            if queue.name == "layshaft.dead"
            else queue
            for queue in WANTED.queues
        ),
        WANTED.bindings,
    )
    expected = [
        ("missing", "exchange in.plm.other"),
        ("mismatch", "exchange in.plm"),
        ("mismatch", "queue layshaft.dead"),
        ("missing", "queue out.planning"),
    ]
    found = await drift(connection, other_arguments)
    assert [(one.kind, one.subject) for one in found] == expected
    assert await drift(connection, other_arguments) == found
    assert "x-max-length-bytes" in _detail(found, "queue layshaft.dead")

    await declare(await connection.channel(), WANTED)
    assert await drift(connection, WANTED) == ()


async def test_declaring_over_other_arguments_is_refused_by_name(
    connection: AbstractConnection,
) -> None:
    dead = Queue("layshaft.dead", {"x-queue-type": "quorum"})
    with pytest.raises(Misconfigured) as caught:
        await declare(await connection.channel(), Topology((), (dead,), ()))
    assert (caught.value.code, caught.value.where) == ("topology-refused", "queue layshaft.dead")


async def test_a_lost_connection_is_transient(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    await connection.close()
    with pytest.raises(Unavailable):
        await declare(channel, WANTED)
    with pytest.raises(Unavailable):
        await drift(connection, WANTED)


def _detail(found: tuple[Drift, ...], subject: str) -> str:
    return next(one.detail for one in found if one.subject == subject)
