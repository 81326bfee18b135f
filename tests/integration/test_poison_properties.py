"""Messages whose properties nobody can read are delivered like others, and recognised."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp import commands, decode

from broker import amqp_properties
from broker.amqp_properties import damage, violations
from tests.amqp_wire import HEADERS, MESSAGE_ID, TIMESTAMP, RawPublisher, table

DEADLINE_S = 20.0
HEALTHY = 60


def nested_tables(levels: int) -> bytes:
    entries = b""
    for _ in range(levels):
        entries = b"\x01kF" + table(entries)
    return entries


MANY_ENTRIES = b"".join(b"\x05%05dt\x01" % number for number in range(12_500))

# body -> (flag of the one property, its bytes, what we say about it)
POISON: dict[str, tuple[int, bytes, str]] = {
    "H01": (MESSAGE_ID, b"\x03a\xff\xfe", "message_id: invalid UTF-8"),
    "H02": (TIMESTAMP, b"\xff" * 8, "timestamp: 18446744073709551615 is no time"),
    "H03": (
        HEADERS,
        table(b"\x02\xff\xfet\x01"),
        "headers: undecodable table, UnicodeDecodeError (5 bytes)",
    ),
    "H04": (HEADERS, table(nested_tables(3_000)), "headers: oversized table (21000 bytes)"),
    "H05": (HEADERS, table(MANY_ENTRIES), "headers: oversized table (100000 bytes)"),
    "time in a header": (
        HEADERS,
        table(b"\x01tT" + b"\xff" * 8),
        "headers: undecodable table, ValueError (11 bytes)",
    ),
}


class Consumer:
    """Acks what it gets and counts connections lost."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self.messages: list[AbstractIncomingMessage] = []
        self.complete = asyncio.Event()
        self.losses = 0

    async def take(self, message: AbstractIncomingMessage) -> None:
        self.messages.append(message)
        await message.ack()
        if len(self.messages) >= self._expected:
            self.complete.set()

    def lost(self, *_: object) -> None:
        self.losses += 1


@pytest.fixture
def installed_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers, for one test: pamqp is left as it was found."""
    monkeypatch.setitem(decode.METHODS, "shortstr", decode.METHODS["shortstr"])
    monkeypatch.setattr(commands.Basic.Properties, "unmarshal", commands.Basic.Properties.unmarshal)
    amqp_properties.install()
    amqp_properties.self_test()


async def declare_queue(amqp_url: str, name: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            name, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 20}
        )
        exchange = await channel.declare_exchange("all", "fanout", durable=True)
        await queue.bind(exchange)


async def publish_all(amqp_url: str, queue: str) -> None:
    """The poison in the middle of healthy messages."""
    async with RawPublisher.connect(amqp_url) as publisher:
        for number in range(HEALTHY):
            await publisher.publish(
                queue.encode(), b"healthy-%d" % number, flag=MESSAGE_ID, properties=b"\x02ok"
            )
            if number == HEALTHY // 2:
                for name, (flag, properties, _) in POISON.items():
                    await publisher.publish(
                        queue.encode(), name.encode(), flag=flag, properties=properties
                    )


@pytest.mark.usefixtures("installed_readers")
async def test_poison_is_delivered_among_healthy_messages_without_a_lost_connection(
    amqp_url: str,
) -> None:
    await declare_queue(amqp_url, "tolerant")
    await publish_all(amqp_url, "tolerant")
    consumer = Consumer(HEALTHY + len(POISON))
    async with await aio_pika.connect_robust(amqp_url, reconnect_interval=0.2) as connection:
        connection.reconnect_callbacks.add(consumer.lost)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue("tolerant", passive=True)
        await queue.consume(consumer.take)
        await asyncio.wait_for(consumer.complete.wait(), DEADLINE_S)
        assert await queue.get(fail=False) is None
    assert consumer.losses == 0
    bodies = [message.body.decode() for message in consumer.messages]
    healthy = [f"healthy-{number}" for number in range(HEALTHY)]
    assert sorted(bodies) == sorted([*healthy, *POISON])
    found = {
        message.body.decode(): violations(message.headers, message.routing_key)
        for message in consumer.messages
    }
    assert {name: reasons for name, reasons in found.items() if reasons} == {
        name: (expected,) for name, (_, _, expected) in POISON.items()
    }
    kept = next(damage(m.headers) for m in consumer.messages if m.body == b"H05")
    assert kept is not None
    assert kept.raw_headers == MANY_ENTRIES[:1536]


@pytest.mark.usefixtures("installed_readers")
async def test_a_routing_key_of_invalid_utf8_is_recognised(amqp_url: str) -> None:
    await declare_queue(amqp_url, "keys")
    async with RawPublisher.connect(amqp_url) as publisher:
        await publisher.publish(
            b"part\xff", b"key", flag=MESSAGE_ID, properties=b"\x02ok", exchange=b"all"
        )
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("keys", passive=True)
        message = await queue.get(timeout=DEADLINE_S)
        assert message is not None
        assert violations(message.headers, message.routing_key) == ("routing_key: invalid UTF-8",)
        assert message.routing_key == "part\\xff"
        await message.ack()


PLAIN_CONSUMER = """
import asyncio, sys
import aio_pika

async def main(url, queue_name):
    lost = asyncio.Semaphore(0)
    healthy = set()

    async def take(message):
        healthy.add(message.body)

    connection = await aio_pika.connect_robust(url, reconnect_interval=0.1)
    connection.reconnect_callbacks.add(lambda *_: lost.release())
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    queue = await channel.declare_queue(queue_name, passive=True)
    await queue.consume(take)
    async with asyncio.timeout(15):
        for _ in range(2):
            await lost.acquire()
    print("lost twice")
    await connection.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["H01", "H02", "H03", "H04"])
async def test_without_the_readers_one_such_message_takes_the_connection_down_again_and_again(
    amqp_url: str, name: str
) -> None:
    flag, properties, _ = POISON[name]
    queue = f"plain-{name}"
    await declare_queue(amqp_url, queue)
    async with RawPublisher.connect(amqp_url) as publisher:
        await publisher.publish(queue.encode(), b"?", flag=flag, properties=properties)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PLAIN_CONSUMER, amqp_url, queue],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.stdout == "lost twice\n", done.stderr
