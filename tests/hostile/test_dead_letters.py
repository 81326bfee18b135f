"""What a queue gave up on comes back by itself: healthy messages once, the poison as one case."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp import commands, decode
from pamqp.common import FieldTable

from broker import amqp_properties
from broker.backpressure import UNDECIDED_BYTES
from broker.topology import DEAD, DELIVERY_LIMIT, inbound_queue
from handlers import CATALOGUE
from ops.queues import declare_topology
from ops.stack.rabbitmq import MAX_MESSAGE_BYTES
from tests.amqp_wire import HEADERS, MESSAGE_ID, properties, short_text, table
from tests.hostile.found import Before, case, connected, holds, until
from tests.hostile.running import Prepare, Running
from tests.hostile.sending import GUARDED, KIND, PLM, Sent, raw, unique

QUEUE = inbound_queue("plm", KIND, "standard")
# What no text could carry through a database or a log unchanged.
MAX_BYTES = 100_000
MANY_BODIES = 16 * UNDECIDED_BYTES // MAX_MESSAGE_BYTES
# A body is there several times while it is decided: as frames, whole, in its statement. Measured:
# 113 MiB for 12 times what a lane takes undecided, 126 MiB for 20 times.
MOST_BYTES = 10 * UNDECIDED_BYTES
ODD_BYTES = b"\x00\xff\xfe{\r\n\x1b[31m" + bytes(range(256))


@pytest.fixture
def installed_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers of hostile properties, for a client of the tests' own."""
    monkeypatch.setitem(decode.METHODS, "shortstr", decode.METHODS["shortstr"])
    monkeypatch.setattr(commands.Basic.Properties, "unmarshal", commands.Basic.Properties.unmarshal)
    amqp_properties.install()


async def give_up_on(service: Running, source: str, count: int) -> None:
    """Every message of the source's queue was returned until the broker dead-lettered it."""
    returned = 0

    async def give_back(message: AbstractIncomingMessage) -> None:
        nonlocal returned
        returned += 1
        await message.reject(requeue=True)

    async with await aio_pika.connect(service.amqp_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=count)
        queue = await channel.get_queue(inbound_queue(source, KIND, "standard"))
        await queue.consume(give_back)
        await until(
            lambda: holds(returned == count * (DELIVERY_LIMIT + 1)), "the broker gives up on all"
        )


async def dead_letters(service: Running) -> int:
    async with await aio_pika.connect(service.amqp_url) as connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(DEAD, passive=True)
        return declared.declaration_result.message_count or 0


@pytest.fixture(scope="module")
def not_started(prepare: Prepare) -> Iterator[Running]:
    """A service whose queues exist, and nobody consumes them yet."""
    with prepare(max_body_bytes=MAX_BYTES) as service:
        asyncio.run(declare_topology(service.settings(), CATALOGUE.events))
        yield service


@pytest.mark.usefixtures("installed_readers")
async def test_what_a_poison_took_with_it_is_applied_once_and_the_poison_is_one_case(
    not_started: Running,
) -> None:
    service = not_started
    poison = raw(MESSAGE_ID, short_text(b"a\xff"), body=ODD_BYTES)
    around = [service.neighbour(poison) for _ in range(6)]
    guarded = service.neighbour(Sent(b"", exchange=GUARDED))
    await service.publish(*around[:3], poison, *around[3:], guarded)
    await give_up_on(service, "plm", 7)
    await give_up_on(service, "guarded", 1)
    await until(lambda: is_full(service, 8), "all are dead letters")
    service.start()
    (found,) = await service.after(Before(), [poison], [*around, guarded])
    assert found.cases == case(found, "amqp-property", "AMQP properties")
    assert found.source == "plm"
    assert found.kept == ODD_BYTES


async def is_full(service: Running, count: int) -> bool:
    return await dead_letters(service) == count


async def test_h06_a_body_that_only_the_broker_takes_is_one_case_by_its_size_alone(
    not_started: Running,
) -> None:
    service = not_started
    service.start()
    # Nested as it is, reading it would give another code.
    sent = Sent(b"[" * (MAX_BYTES + 1))
    (found,) = await service.take(sent)
    assert found.cases == case(found, "body-too-large", "body")
    assert found.kept == sent.body
    (most,) = await service.take(Sent(b"[" * MAX_BYTES))
    assert most.cases == case(most, "contract-unknown", f"kind '{KIND}'")


@pytest.mark.timeout(240)
async def test_h06_bodies_that_only_the_broker_takes_do_not_add_up_in_memory(
    not_started: Running,
) -> None:
    service = not_started
    service.start()
    await service.take(Sent(b"(" * (MAX_BYTES + 1)))
    before = service.peak_bytes()
    # Sixteen times what a lane takes undecided.
    bodies = [b"%d" % n + b"[" * (MAX_MESSAGE_BYTES - 10) for n in range(100, 100 + MANY_BODIES)]
    await service.publish(*(Sent(body) for body in bodies))
    async with connected(service.database_url) as database:

        async def all_are_cases() -> bool:
            found = await database.fetchval(
                "select count(*) from exception_case c"
                " join message m on m.at = c.message_at and m.seq = c.message_seq"
                " where c.code = 'body-too-large' and octet_length(m.body) > $1",
                MAX_MESSAGE_BYTES // 2,
            )
            return bool(found == MANY_BODIES)

        await until(all_are_cases, "each is a case", within_s=150.0)
    assert service.peak_bytes() - before < MOST_BYTES


def dead(sent: Sent, reason: str, queue: str = QUEUE, **headers: Any) -> Sent:
    """The message as RabbitMQ dead-letters it."""
    death: FieldTable = {
        "count": 1,
        "reason": reason,
        "queue": queue,
        "time": datetime(2026, 3, 2, tzinfo=UTC),
        "exchange": sent.exchange,
        "routing-keys": [sent.routing_key],
    }
    flags, made = properties({**headers, "x-death": [death], "x-first-death-reason": reason})
    return msgspec.structs.replace(sent, flags=flags, raw=made, exchange=DEAD, routing_key=queue)


@pytest.mark.parametrize("reason", ["expired", "delivery_limit", "rejected"])
async def test_a_collateral_dead_letter_goes_down_the_same_path_once(
    service: Running, reason: str
) -> None:
    number = unique("S")
    headers = {
        "ce-id": unique("dead"),
        "ce-type": "coupa.supplier",
        "ce-subject": f"supplier/{number}",
        "ce-time": "2026-03-02T08:30:00Z",
    }
    body = b'[{"id": 7, "number": "%s", "status": "active"}]' % number.encode()
    healthy = dead(Sent(body), reason, **headers)
    poison = dead(Sent(ODD_BYTES + reason.encode()), reason)
    before = await service.before()
    await service.publish(healthy, poison)
    (found,) = await service.after(before, [poison], [healthy])
    assert found.cases == case(found, "contract-unknown", f"kind '{KIND}'")
    assert found.kept == poison.body
    # The same again, as after a connection lost before the acknowledgement.
    assert await service.repeats(healthy) == [("coupa-supplier", "plm", headers["ce-id"])]


async def test_a_dead_letter_with_damaged_headers_is_one_case_of_its_source(
    service: Running,
) -> None:
    sent = Sent(ODD_BYTES + b"damaged", HEADERS, table(b"\x02\xff\xfet\x01"), DEAD, QUEUE)
    before = await service.before()
    await service.publish(sent)
    (found,) = await service.after(before, [sent], [])
    assert found.cases == case(found, "amqp-property", "AMQP properties")
    assert (found.source, found.kept) == ("plm", sent.body)


@pytest.mark.parametrize("key", ["nobody.knows", "", DEAD])
async def test_a_dead_letter_from_no_queue_of_ours_is_one_case_for_operations(
    service: Running, key: str
) -> None:
    sent = dead(Sent(ODD_BYTES + key.encode(), exchange=PLM), "expired", key)
    before = await service.before()
    await service.publish(sent)
    (found,) = await service.after(before, [sent], [])
    assert [one.code for one in found.cases] == ["source-unknown"]
    assert found.kept == sent.body
