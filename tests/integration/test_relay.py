"""Events leave the outbox in order per key, once confirmed, and come to a subscriber once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from broker.failpoints import FailPointHit, FailPoints
from broker.looper import Loop
from broker.relay import Relay
from broker.topology import (
    EventTopology,
    SubscriberTopology,
    declare,
    event_queue,
    events_exchange,
    topology,
)
from canonical.events import EVENTS
from tests.integration.toy import DEADLINE_S, Bench, Order, arrivals, bench_on, until, wire_to

WANTED = topology(
    [],
    [EventTopology("supplier.changed", ("standard",))],
    [SubscriberTopology("planning", ("supplier.changed",))],
)
QUEUE = event_queue("supplier.changed", "standard")
EXCHANGE = events_exchange("standard")
# The last one has a subscriber by configuration only: its queue is missing.
SUBSCRIBED = frozenset({*EVENTS, "nobody.listens"})


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with await aio_pika.connect(amqp_url) as connection:
        await declare(await connection.channel(), WANTED)
        channel = await connection.channel()
        for name in (QUEUE, "out.planning"):
            await (await channel.get_queue(name)).purge()
        yield connection


@pytest.fixture
async def relay(bench: Bench, amqp_url: str) -> AsyncIterator[Relay]:
    """The relay of this bench."""
    made = relay_of(bench, amqp_url)
    yield made
    await made.close()


def relay_of(
    bench: Bench,
    amqp_url: str,
    *,
    fail_points: str = "",
    subscribed: frozenset[str] = SUBSCRIBED,
) -> Relay:
    return Relay(
        amqp_url=amqp_url,
        database=bench.database,
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
        confirm_s=2,
        heartbeat_s=10,
        subscribed=subscribed,
    )


async def emit(bench: Bench, *suppliers: str, number: int = 1) -> None:
    """An order was decided that announces these suppliers as changed."""
    order = Order(id=f"m{number}", key=f"order/{number}", emits=suppliers)
    await bench.pipeline().take(arrivals([order]))


async def received(
    connection: AbstractConnection, count: int, queue: str = QUEUE
) -> list[tuple[str, int, str]]:
    """The next messages of a queue: key, sequence, id; and nothing is left behind them."""
    channel: AbstractChannel = await connection.channel()
    source = await channel.get_queue(queue, ensure=False)
    found: list[tuple[str, int, str]] = []
    async with asyncio.timeout(DEADLINE_S), source.iterator(no_ack=True) as messages:
        while len(found) < count:
            headers = (await anext(messages)).headers
            sequence = int(str(headers["ce-sequence"]))
            found.append((str(headers["ce-subject"]), sequence, str(headers["ce-id"])))
    declared = await channel.declare_queue(queue, passive=True)
    assert declared.declaration_result.message_count == 0
    return found


async def fewer_than(bench: Bench, rows: int) -> bool:
    return await bench.count("outbox") < rows


async def test_events_are_published_in_the_order_of_their_numbers(
    bench: Bench, relay: Relay, broker: AbstractConnection
) -> None:
    for number in range(5):
        await emit(bench, "A", "B", "A", number=number)
    assert await relay.turn()
    got = await received(broker, 15)
    assert [n for key, n, _ in got if key == "supplier/A"] == list(range(1, 11))
    assert [n for key, n, _ in got if key == "supplier/B"] == list(range(1, 6))
    assert await bench.count("outbox") == 0
    assert await received(broker, 15, "out.planning") == got
    assert not await relay.turn()


async def test_an_event_carries_its_attributes_as_headers(
    bench: Bench, relay: Relay, broker: AbstractConnection
) -> None:
    await emit(bench, "A")
    await relay.turn()
    channel = await broker.channel()
    message = await (await channel.get_queue(QUEUE)).get(no_ack=True)
    [logged] = await bench.rows("select * from message where direction = 'out'")
    ours = {name: value for name, value in message.headers.items() if name.startswith("ce-")}
    # Fresh per try, and never before the event was emitted.
    assert datetime.fromisoformat(str(ours.pop("ce-publishtime"))) >= logged["at"]
    assert ours == {
        "ce-specversion": "1.0",
        "ce-id": logged["id"],
        "ce-source": "layshaft",
        "ce-type": "com.layshaft.supplier.changed.v1",
        "ce-subject": "supplier/A",
        "ce-time": logged["at"].isoformat(),
        "ce-sequence": "1",
        "ce-correlationid": logged["correlation_id"],
        "ce-causationid": "m1",
        "ce-logposition": f"{logged['at'].isoformat()}/{logged['seq']}",
    }
    assert message.body == logged["body"]
    assert message.content_type == "application/json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    # Returns are matched by it, so it is fresh per try and never the event's id.
    assert message.message_id != logged["id"]


async def test_an_event_nobody_takes_stays_in_the_outbox_and_stops_only_its_key(
    bench: Bench, relay: Relay, broker: AbstractConnection
) -> None:
    await emit(bench, "A", "A", "B")
    await bench.execute(
        "update outbox set routing_key = 'nobody.listens'"
        " where id = (select min(id) from outbox where key = 'supplier/A')"
    )
    await relay.turn()
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]
    assert await bench.column("select key from outbox") == ["supplier/A", "supplier/A"]
    assert bench.metrics.registry.get_sample_value("layshaft_amqp_returned_total") == 1


async def test_many_events_that_cannot_leave_do_not_hold_back_the_others(
    bench: Bench, relay: Relay, broker: AbstractConnection
) -> None:
    await emit(bench, *(f"N{n % 3}" for n in range(250)), number=1)
    await bench.execute("update outbox set routing_key = 'nobody.listens'")
    await emit(bench, "B", number=2)
    await relay.turn()
    await relay.turn()
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]
    assert await bench.count("outbox") == 250


async def test_a_missing_exchange_stops_only_its_own_events(
    bench: Bench, relay: Relay, broker: AbstractConnection
) -> None:
    await emit(bench, *(f"N{n}" for n in range(5)), number=1)
    await bench.execute("update outbox set exchange = 'layshaft.events.gone'")
    await emit(bench, "B", "C", number=2)
    # The broker closes the channel over it, so turns fail; the loop is what goes on.
    loop = Loop("relay", relay.turn, rest_s=0.02)
    loop.start()
    await until(lambda: fewer_than(bench, 6), "the others are published")
    await loop.stop(DEADLINE_S)
    assert set(await bench.column("select exchange from outbox")) == {"layshaft.events.gone"}


@pytest.mark.parametrize("point", ["relay.after_publish", "relay.after_confirm"])
async def test_a_relay_that_dies_before_it_clears_publishes_the_same_id_again(
    bench: Bench, relay: Relay, broker: AbstractConnection, amqp_url: str, point: str
) -> None:
    await emit(bench, "A")
    dying = relay_of(bench, amqp_url, fail_points=f"{point}:raise:1")
    with contextlib.suppress(FailPointHit, ExceptionGroup):
        await dying.turn()
    await dying.close()
    assert await bench.count("outbox") == 1
    assert await relay.turn()
    first, second = await received(broker, 2)
    assert first == second
    assert await bench.count("outbox") == 0


async def test_a_lost_connection_costs_one_turn_and_no_event(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    async with wire_to(amqp_url) as (wire, url):
        relay = relay_of(bench, url)
        loop = Loop("relay", relay.turn, rest_s=0.02)
        loop.start()
        for number in range(3):
            await emit(bench, "A", "A", number=number)
            await until(lambda: fewer_than(bench, 1), "all is published")
            wire.cut()
        await loop.stop(DEADLINE_S)
        await relay.close()
    got = await received(broker, 6)
    assert [n for _, n, _ in got] == [1, 2, 3, 4, 5, 6]


async def test_a_broker_that_is_away_leaves_every_row(bench: Bench) -> None:
    await emit(bench, "A", "B")
    away = relay_of(bench, "amqp://127.0.0.1:1/")
    with pytest.raises((OSError, aio_pika.AMQPException)):
        await away.turn()
    await away.close()
    assert await bench.count("outbox") == 2
    # The lock of the one relay is free again.
    assert await bench.column("select 1 from pg_locks where locktype = 'advisory'") == []


async def test_one_relay_works_at_a_time(
    bench: Bench, relay: Relay, broker: AbstractConnection, amqp_url: str
) -> None:
    for number in range(4):
        await emit(bench, "A", "B", number=number)
    other = relay_of(bench, amqp_url)
    await asyncio.gather(relay.turn(), other.turn())
    await relay.turn()
    await other.close()
    got = await received(broker, 8)
    assert len({event_id for _, _, event_id in got}) == 8
    assert [n for key, n, _ in got if key == "supplier/A"] == [1, 2, 3, 4]


async def test_a_full_queue_refuses_and_the_event_leaves_later(
    bench: Bench, relay: Relay, broker: AbstractConnection, amqp_url: str
) -> None:
    channel = await broker.channel()
    full = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await full.bind(EXCHANGE, "supplier.changed")
    await emit(bench, "A", "A")
    assert not await relay.turn()
    assert await bench.count("outbox") == 2
    await full.delete(if_empty=False)
    # Another process, which does not know that the key was refused a moment ago.
    other = relay_of(bench, amqp_url)
    assert await other.turn()
    await other.close()
    assert await bench.count("outbox") == 0


async def test_an_event_nobody_takes_by_configuration_stays_in_the_log_only(
    bench: Bench, amqp_url: str, broker: AbstractConnection
) -> None:
    await emit(bench, "S1")
    relay = relay_of(bench, amqp_url, subscribed=frozenset({"item.released"}))
    await relay.turn()
    await relay.close()
    assert await bench.count("outbox") == 0
    assert await bench.column("select count(*) from message where direction = 'out'") == [1]
    channel = await broker.channel()
    declared = await channel.declare_queue(QUEUE, passive=True)
    assert declared.declaration_result.message_count == 0
