"""Deliveries from a real broker: acknowledged after their commit, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiohttp
import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from prometheus_client import CollectorRegistry

from broker.backpressure import UNDECIDED_BYTES
from broker.consumer import Inlet, LaneConsumer, Restore
from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.precedence import Pace
from broker.topology import (
    DEAD,
    InboundObject,
    SourceTopology,
    declare,
    headers_for,
    inbound_exchange,
    inbound_queue,
    topology,
)
from canonical import events
from canonical.codec import encode
from canonical.envelope import Lane
from ops.health import HealthServer
from tests.integration.toy import (
    DEADLINE_S,
    SOURCE,
    Bench,
    Order,
    Stated,
    Wire,
    bench_on,
    until,
    wire_to,
)
from tests.integration.toy_flow import CANCELLED, RELEASED, Said, decided, flow, outcomes, say

WANTED = topology([SourceTopology(SOURCE, (InboundObject("order"), InboundObject("report")))], [])
QUEUE = inbound_queue(SOURCE, "order", "standard")
REPORTS = inbound_queue(SOURCE, "report", "standard")
ORDERS = Inlet(QUEUE, SOURCE, "order")
REPORT_ORDERS = Inlet(REPORTS, SOURCE, "order")
INLETS = (
    ORDERS,
    REPORT_ORDERS,
    Inlet(DEAD, "dead letters", "", dead_letters=True),
)
Take = Callable[[Sequence[Arrival]], Coroutine[Any, Any, None]]


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
        for queue in WANTED.queues:
            await (await channel.get_queue(queue.name)).purge()
        yield connection


@asynccontextmanager
async def consuming(
    bench: Bench,
    url: str,
    *,
    take: Take | None = None,
    read: Callable[[Arrival], Arrival] = lambda arrival: arrival,
    inlets: Sequence[Inlet] = INLETS,
    dealt: Callable[[], Sequence[Inlet]] = lambda: (),
    origins: Sequence[Inlet] = INLETS,
    prefetch: int = 50,
    batch: int = 10,
    restore: Restore | None = None,
    heartbeat_s: int = 10,
    undecided_bytes: int = UNDECIDED_BYTES,
    lane: Lane = "standard",
    pace: Pace | None = None,
    fail_points: str = "",
) -> AsyncIterator[LaneConsumer]:
    """A consumer at work."""
    consumer = LaneConsumer(
        lane=lane,
        amqp_url=url,
        inlets=inlets,
        dealt=dealt,
        origins={inlet.queue: inlet for inlet in origins}.get,
        takes=[take or bench.pipeline(lane=lane).take],
        read=read,
        prefetch=prefetch,
        batch=batch,
        heartbeat_s=heartbeat_s,
        reconnect_max_s=1,
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
        restore=restore,
        undecided_bytes=undecided_bytes,
        pace=pace,
    )
    consumer.start()
    try:
        yield consumer
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await consumer.stop(5)


async def publish(
    connection: AbstractConnection, numbers: Iterable[int], *, kind: str = "order", keys: int = 5
) -> None:
    """One order per number, confirmed by the broker."""
    orders = [Order(id=f"m{n}", key=f"order/{n % keys}", emits=(f"S{n % keys}",)) for n in numbers]
    await send(connection, *orders, kind=kind)


async def send(connection: AbstractConnection, *orders: Order, kind: str = "order") -> None:
    """These orders, confirmed by the broker."""
    channel = await connection.channel()
    exchange = await channel.get_exchange(inbound_exchange(SOURCE), ensure=False)
    for order in orders:
        await exchange.publish(aio_pika.Message(encode(order)), kind, timeout=DEADLINE_S)
    await channel.close()


@asynccontextmanager
async def serving(
    consumers: Mapping[str, LaneConsumer],
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, tuple[int, dict[str, str]]]]]:
    """Asks readiness over these lanes: its status, and what it names."""
    health = HealthServer(
        host="127.0.0.1",
        port=0,
        registry=CollectorRegistry(),
        trouble=lambda: {part: consumer.trouble for part, consumer in consumers.items()},
        holds=tuple,
    )
    port = await health.start()

    async def ask() -> tuple[int, dict[str, str]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as response,
        ):
            return response.status, (await response.json())["trouble"]

    try:
        yield ask
    finally:
        await health.close()


async def handled(bench: Bench) -> list[int]:
    """Numbers of the orders whose effect is committed, in that order."""
    ids = await bench.column("select causation_id from message where direction='out' order by seq")
    return [int(i[1:]) for i in ids]


async def has_handled(bench: Bench, count: int) -> bool:
    return await bench.count("outbox") >= count


async def ready(connection: AbstractConnection, queue: str = QUEUE) -> int:
    """Messages of a queue that nobody holds."""
    channel = await connection.channel()
    declared = await channel.declare_queue(queue, passive=True)
    await channel.close()
    return declared.declaration_result.message_count or 0


async def is_free_of_trouble(consumer: LaneConsumer) -> bool:
    return consumer.trouble == ""


async def test_deliveries_are_handled_in_order_and_acknowledged(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await publish(broker, range(30))
    async with consuming(bench, amqp_url) as consumer:
        await until(lambda: has_handled(bench, 30), "all are handled")
        assert consumer.trouble == ""
    assert await ready(broker) == 0
    undecided = bench.metrics.registry.get_sample_value(
        "layshaft_undecided_bytes", {"lane": "standard"}
    )
    assert undecided == 0
    sent = await handled(bench)
    for key in range(5):
        assert [n for n in sent if n % 5 == key] == list(range(key, 30, 5))
    assert await bench.count("duplicate") == 0


async def test_what_comes_at_once_is_read_in_turns_with_others(
    bench: Bench, broker: AbstractConnection, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.consumer.TURN_S", 0.0)
    turns, read_in = 0, list[int]()

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def read(arrival: Arrival) -> Arrival:
        read_in.append(turns)
        return arrival

    await publish(broker, range(30))
    counting = asyncio.create_task(count())
    async with consuming(bench, amqp_url, read=read):
        await until(lambda: has_handled(bench, 30), "all are handled")
    counting.cancel()
    assert len(set(read_in)) == len(read_in) == 30


async def test_nothing_is_acknowledged_before_its_commit(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await publish(broker, range(5))
    at_commit = asyncio.Event()

    async def take(arrivals: Sequence[Arrival]) -> None:
        at_commit.set()
        await asyncio.Event().wait()

    consumer = consuming(bench, amqp_url, take=take)
    started = await consumer.__aenter__()
    await asyncio.wait_for(at_commit.wait(), DEADLINE_S)
    # The process ends here: its tasks are cut, its connection goes.
    await started.stop(0.01)
    await until(lambda: holds(broker, 5), "the broker has all of them again")
    async with consuming(bench, amqp_url):
        await until(lambda: has_handled(bench, 5), "all are handled")
    assert sorted(await handled(bench)) == list(range(5))


async def holds(connection: AbstractConnection, count: int) -> bool:
    return await ready(connection) == count


async def test_a_database_lost_again_and_again_loses_and_doubles_nothing(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await publish(broker, range(20))
    async with bench_on(bench.url, purpose="victim") as victim:
        pipeline = victim.pipeline()
        tries = 0

        async def take(arrivals: Sequence[Arrival]) -> None:
            nonlocal tries
            tries += 1
            if tries in (1, 2, 4, 5, 7):
                await bench.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'layshaft-victim'"
                )
            await pipeline.take(arrivals)

        async with consuming(bench, amqp_url, take=take, batch=5) as consumer:
            await until(lambda: has_handled(bench, 20), "all are handled")
            await until(lambda: is_free_of_trouble(consumer), "it says that it works")
            await until(lambda: holds(broker, 0), "all are acknowledged")
    assert sorted(await handled(bench)) == list(range(20))
    assert await bench.cases() == []


async def test_a_schema_that_does_not_fit_stops_its_lane_until_it_fits_and_no_other_lane(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    # Only who states something needs that column.
    await bench.execute("alter table document rename column stated to renamed")
    stating = Order(id="m0", key="order/0", states=(Stated("S1", 1),), emits=("S1",))
    async with (
        consuming(bench, amqp_url, inlets=[ORDERS]) as stopped,
        consuming(bench, amqp_url, inlets=[REPORT_ORDERS], lane="critical") as other,
        serving({"lane standard": stopped, "lane critical": other}) as readiness,
    ):
        await send(broker, stating)
        await until(lambda: names_in_trouble(stopped, "schema-mismatch"), "it says what is wrong")
        await publish(broker, range(1, 4))
        await publish(broker, range(4, 9), kind="report")
        await until(lambda: has_handled(bench, 5), "the other lane works")
        await until(lambda: empty(broker, REPORTS), "and acknowledges")
        said = "schema-mismatch: The database refused a statement of ours (42703)"
        assert await readiness() == (503, {"lane standard": said})
        assert sorted(await handled(bench)) == list(range(4, 9))
        assert await bench.count("inbox") == 5
        await bench.execute("alter table document rename column renamed to stated")
        await until(lambda: has_handled(bench, 9), "what waited is handled")
        await until(lambda: is_free_of_trouble(stopped), "it says that it works")
        assert await readiness() == (200, {})
    # Nothing of it had been acknowledged, and none of it was blamed.
    await until(lambda: holds(broker, 0), "all are acknowledged")
    assert [n for n in await handled(bench) if n < 4] == list(range(4))
    assert await bench.cases() == []
    assert await bench.count("pending") == 0


async def test_a_lane_that_hangs_over_a_batch_says_so(
    bench: Bench, broker: AbstractConnection, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.consumer.STUCK_S", 0.2)
    may_go_on = asyncio.Event()
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        await may_go_on.wait()
        await pipeline.take(arrivals)

    await publish(broker, range(3))
    async with consuming(bench, amqp_url, take=take) as consumer:
        await until(lambda: names_in_trouble(consumer, "a batch is being decided"), "it says so")
        may_go_on.set()
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")
        await until(lambda: has_handled(bench, 3), "all are handled")


async def test_what_a_stopped_lane_holds_goes_back_to_the_broker(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await bench.execute("alter table inbox rename column digest to renamed")
    await publish(broker, range(5))
    async with consuming(bench, amqp_url) as consumer:
        await until(lambda: names_in_trouble(consumer, "schema-mismatch"), "it says what is wrong")
        assert await ready(broker) == 0
    await until(lambda: holds(broker, 5), "the broker has all of them again")


async def test_an_error_nobody_expected_does_not_end_the_lane(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    tries = 0
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LookupError("a defect")
        await pipeline.take(arrivals)

    await publish(broker, range(3))
    async with consuming(bench, amqp_url, take=take) as consumer:
        await until(lambda: has_handled(bench, 3), "all are handled")
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")


async def test_a_connection_cut_again_and_again_loses_and_doubles_nothing(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    async with wire_to(amqp_url, Wire) as (wire, url), consuming(bench, url, batch=3):
        for n in range(4):
            await publish(broker, range(n * 15, n * 15 + 15))
            await until(lambda done=n * 15 + 4: has_handled(bench, done), "some are handled")  # type: ignore[misc]
            wire.cut()
        await until(lambda: has_handled(bench, 60), "all are handled")
        await until(lambda: holds(broker, 0), "all are acknowledged")
    assert wire.taken > 1
    sent = await handled(bench)
    assert sorted(sent) == list(range(60))
    for key in range(5):
        assert [n for n in sent if n % 5 == key] == list(range(key, 60, 5))


async def test_deliveries_of_a_lost_channel_are_not_decided_and_come_again(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    taken: list[int] = []
    go_on = asyncio.Event()
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        taken.append(len(arrivals))
        if len(taken) == 1:
            await go_on.wait()
        await pipeline.take(arrivals)

    async with wire_to(amqp_url, Wire) as (wire, url), consuming(bench, url, take=take, batch=1):
        await publish(broker, range(10))
        await until(lambda: count_is(taken, 1), "the first one is in hand")
        wire.cut()
        await until(lambda: reconnected(wire), "the consumer is back")
        go_on.set()
        await until(lambda: has_handled(bench, 10), "all are handled")
        await until(lambda: holds(broker, 0), "all are acknowledged")
    assert sorted(await handled(bench)) == list(range(10))
    # The first one was committed and not acknowledged: it alone came twice.
    assert await bench.count("duplicate") == 1
    assert sum(taken) == 11


async def count_is(numbers: Sequence[int], count: int) -> bool:
    return len(numbers) == count


async def reconnected(wire: Any) -> bool:
    return bool(wire.taken >= 2)


async def test_a_deleted_queue_stops_no_other_and_is_consumed_again_when_it_is_back(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    async with consuming(bench, amqp_url) as consumer:
        await publish(broker, [0])
        await until(lambda: has_handled(bench, 1), "the queue is consumed")
        channel = await broker.channel()
        await channel.queue_delete(QUEUE)
        await until(lambda: names_in_trouble(consumer, QUEUE), "it says which queue is missing")
        for n in range(1, 6):
            await publish(broker, [n], kind="report")
            await until(lambda done=n + 1: has_handled(bench, done), "the other one is consumed")  # type: ignore[misc]
        await declare(await broker.channel(), WANTED)
        await publish(broker, [6])
        await until(lambda: has_handled(bench, 7), "the queue is consumed again")
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")
    assert await handled(bench) == [0, 1, 2, 3, 4, 5, 6]
    assert await bench.count("duplicate") == 0


async def names_in_trouble(consumer: LaneConsumer, name: str) -> bool:
    return name in consumer.trouble


async def test_a_queue_missing_from_the_start_stops_no_other(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    missing = Inlet("in.shop.gone.standard", SOURCE, "order")
    async with consuming(bench, amqp_url, inlets=(missing, *INLETS)) as consumer:
        await publish(broker, range(10))
        await until(lambda: has_handled(bench, 10), "the others are consumed")
        assert "in.shop.gone.standard" in consumer.trouble
    assert await bench.count("duplicate") == 0


async def test_a_dead_letter_comes_back_into_the_inbox_once(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await publish(broker, range(3))
    channel = await broker.channel()
    source = await channel.get_queue(QUEUE, ensure=False)
    async with asyncio.timeout(DEADLINE_S), source.iterator() as messages:
        for _ in range(3):
            await (await anext(messages)).reject(requeue=False)
    async with consuming(bench, amqp_url):
        await until(lambda: has_handled(bench, 3), "all are handled")
        await until(lambda: empty(broker, DEAD), "the dead letters are acknowledged")
    assert sorted(await handled(bench)) == [0, 1, 2]
    # It is the message of its source again, whichever way it came.
    assert await bench.column("select distinct source from inbox") == [SOURCE]


@pytest.mark.parametrize("queue", [f"{RELEASED}.standard", f"{RELEASED}.standard.r1.p3"])
async def test_a_dead_letter_of_an_event_of_ours_is_that_event_and_holds_its_place(
    bench: Bench, broker: AbstractConnection, amqp_url: str, queue: str
) -> None:
    released, cancelled = said = await say(bench, Said(RELEASED), Said(CANCELLED))
    pipeline = bench.pipeline(flow=flow())
    origin = Inlet(queue, events.SOURCE, RELEASED, ours=True)
    async with consuming(bench, amqp_url, take=pipeline.take, origins=[origin]):
        await bury(broker, queue, released)
        await until(lambda: are_decided(bench, said, [0]), "it is decided")
        await pipeline.take([cancelled])
        await bury(broker, queue, released)
        await until(lambda: are_counted(bench, 1), "the next one is a repeat")
    assert await decided(bench, said) == [0, 1]
    assert await outcomes(bench, said) == ["applied", "applied"]
    # It stands in the log where it stood.
    assert await bench.column("select count(*) from message where kind = $1", RELEASED) == [1]
    assert await bench.cases() == []


async def bury(connection: AbstractConnection, queue: str, event: Arrival) -> None:
    """The broker gives up on an event of ours that stood in that queue."""
    assert event.logged is not None
    place = f"{event.logged.at.isoformat()}/{event.logged.seq}"
    headers = headers_for({**event.delivery.attributes, "logposition": place})
    message = aio_pika.Message(event.delivery.body, headers=dict(headers))
    channel = await connection.channel()
    exchange = await channel.get_exchange(DEAD, ensure=False)
    await exchange.publish(message, queue, timeout=DEADLINE_S)
    await channel.close()


async def are_decided(bench: Bench, said: Sequence[Arrival], which: Sequence[int]) -> bool:
    return await decided(bench, said) == list(which)


async def are_counted(bench: Bench, repeats: int) -> bool:
    return await bench.count("duplicate") == repeats


async def empty(connection: AbstractConnection, queue: str) -> bool:
    return await ready(connection, queue) == 0


async def test_a_compressed_body_is_one_case_and_is_not_opened(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    channel = await broker.channel()
    exchange = await channel.get_exchange(inbound_exchange(SOURCE), ensure=False)
    message = aio_pika.Message(b"\x1f\x8b0", content_encoding="gzip")
    await exchange.publish(message, "order")
    await publish(broker, [1])
    async with consuming(bench, amqp_url):
        await until(lambda: has_handled(bench, 1), "its neighbour is handled")
        await until(lambda: empty(broker, QUEUE), "both are acknowledged")
    assert await bench.cases() == ["amqp-property"]
    assert await bench.column("select body from message where type = 'unread'") == [b"\x1f\x8b0"]


async def test_stopping_finishes_the_batch_in_hand_and_leaves_the_rest_to_the_broker(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    in_hand, go_on = asyncio.Event(), asyncio.Event()
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        in_hand.set()
        await go_on.wait()
        await pipeline.take(arrivals)

    await publish(broker, range(10))
    async with consuming(bench, amqp_url, take=take, batch=1) as consumer:
        await asyncio.wait_for(in_hand.wait(), DEADLINE_S)
        stopping = asyncio.create_task(consumer.stop(DEADLINE_S))
        go_on.set()
        await stopping
    assert await handled(bench) == [0]
    await until(lambda: holds(broker, 9), "the broker has the rest")
    async with consuming(bench, amqp_url):
        await until(lambda: has_handled(bench, 10), "all are handled")
    assert sorted(await handled(bench)) == list(range(10))
    assert await bench.count("duplicate") == 0


async def test_a_deleted_queue_comes_back_by_itself_where_the_topology_may_be_declared(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    async def restore(names: Collection[str]) -> Mapping[str, str]:
        assert set(names) == {QUEUE}
        await declare(await broker.channel(), WANTED)
        return {}

    async with consuming(bench, amqp_url, restore=restore) as consumer:
        await publish(broker, [0])
        await until(lambda: has_handled(bench, 1), "the queue is consumed")
        channel = await broker.channel()
        await channel.queue_delete(QUEUE)

        async def is_back() -> bool:
            probe = await broker.channel()
            try:
                declared = await probe.declare_queue(QUEUE, passive=True)
            except ChannelNotFoundEntity:
                return False
            return declared.declaration_result.consumer_count == 1

        await until(is_back, "the queue is declared and consumed again")
        await publish(broker, [1])
        await until(lambda: has_handled(bench, 2), "its messages are taken")
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")


async def test_what_a_deleted_queue_had_delivered_is_decided_for_nobody_sends_it_again(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    taken: list[int] = []
    go_on = asyncio.Event()
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        taken.append(len(arrivals))
        if len(taken) == 1:
            await go_on.wait()
        await pipeline.take(arrivals)

    async with consuming(bench, amqp_url, take=take, batch=1) as consumer:
        await publish(broker, range(10))
        await until(lambda: count_is(taken, 1), "the first one is in hand")
        channel = await broker.channel()
        await channel.queue_delete(QUEUE)
        await until(lambda: names_in_trouble(consumer, QUEUE), "it says which queue is missing")
        go_on.set()
        await until(lambda: has_handled(bench, 10), "all are handled")
    assert await handled(bench) == list(range(10))


async def test_a_queue_declared_otherwise_is_told_and_consumed_and_stops_no_other(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    different = {QUEUE: "inequivalent arg"}

    async def restore(names: Collection[str]) -> Mapping[str, str]:
        return {name: different[name] for name in names if name in different}

    async with consuming(bench, amqp_url, restore=restore) as consumer:
        await publish(broker, [0])
        await until(lambda: has_handled(bench, 1), "the queue is consumed")
        channel = await broker.channel()
        await channel.queue_delete(QUEUE)
        queue = await channel.declare_queue(QUEUE, durable=True)
        await queue.bind(inbound_exchange(SOURCE), "order.#")
        await until(lambda: names_in_trouble(consumer, "inequivalent arg"), "it says how it is")
        await publish(broker, [1])
        await publish(broker, [2], kind="report")
        await until(lambda: has_handled(bench, 3), "both queues are consumed")
        different.clear()
        await channel.queue_delete(QUEUE)
        await declare(await broker.channel(), WANTED)
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")
        assert not bench.metrics.registry.get_sample_value(
            "layshaft_amqp_reconnects_total", {"role": "standard"}
        )


async def test_what_comes_again_is_acknowledged_in_small_batches(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    sizes: list[int] = []
    go_on = asyncio.Event()
    pipeline = bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        await go_on.wait()
        if arrivals[0].redelivered:
            sizes.append(len(arrivals))
        await pipeline.take(arrivals)

    async with (
        wire_to(amqp_url, Wire) as (wire, url),
        consuming(bench, url, take=take, batch=50) as consumer,
    ):
        await publish(broker, range(30))
        await until(lambda: holds(broker, 0), "all are delivered")
        wire.cut()
        await until(lambda: reconnected(wire), "the consumer is back")
        await until(lambda: is_free_of_trouble(consumer), "it says that it works")
        go_on.set()
        await until(lambda: has_handled(bench, 30), "all are handled")
    assert max(sizes) <= 10
