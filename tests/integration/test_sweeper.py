"""The sweeper publishes what stands in the outbox: in order per key, once confirmed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractConnection

from broker.failpoints import FailPointHit
from broker.looper import Loop
from tests.integration.relaying import EXCHANGE, QUEUE, Process, broker_at, process_on, received
from tests.integration.relaying import emit as emit_in
from tests.integration.toy import DEADLINE_S, Bench, Order, Wire, arrivals, bench_on, until, wire_to


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database; nothing emitted through it is published from memory."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with broker_at(amqp_url) as connection:
        yield connection


@pytest.fixture
async def process(database_url: str, amqp_url: str) -> AsyncIterator[Process]:
    """A process that publishes."""
    async with process_on(database_url, amqp_url) as made:
        yield made


async def emit(bench: Bench, *suppliers: str, number: int = 1) -> None:
    """An order was decided that announces these suppliers as changed."""
    order = Order(id=f"m{number}", key=f"order/{number}", emits=suppliers)
    await bench.pipeline().take(arrivals([order]))


async def fewer_than(bench: Bench, rows: int) -> bool:
    return await bench.count("outbox") < rows


async def test_events_are_published_in_the_order_of_their_numbers(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    for number in range(5):
        await emit(bench, "A", "B", "A", number=number)
    assert await process.sweeper.turn()
    got = await received(broker, 15)
    assert [n for key, n, _ in got if key == "supplier/A"] == list(range(1, 11))
    assert [n for key, n, _ in got if key == "supplier/B"] == list(range(1, 6))
    assert await bench.count("outbox") == 0
    # Channels side by side: only within a key is the order the same in every queue.
    assert sorted(await received(broker, 15, "out.planning")) == sorted(got)
    assert not await process.sweeper.turn()


async def test_an_event_carries_its_attributes_as_headers(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await emit(bench, "A")
    await process.sweeper.turn()
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
    # Returns are matched by it: one per try, none of them the event's.
    assert message.message_id not in (None, "", logged["id"])


async def test_an_event_nobody_takes_stays_in_the_outbox_and_stops_only_its_key(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await emit(bench, "A", "A", "B")
    await bench.execute(
        "update outbox set routing_key = 'nobody.listens'"
        " where id = (select min(id) from outbox where key = 'supplier/A')"
    )
    await process.sweeper.turn()
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]
    assert await bench.column("select key from outbox") == ["supplier/A", "supplier/A"]
    assert process.metrics.registry.get_sample_value("layshaft_amqp_returned_total") == 1


async def test_no_row_is_swept_past_an_older_one_that_is_somebodys(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await emit(bench, "A", "A", "A")
    await bench.execute(
        "update outbox set sweep_at = now() + interval '1 hour'"
        " where id = (select min(id) + 1 from outbox)"
    )
    await process.sweeper.turn()
    assert not await process.sweeper.turn()
    assert [n for _, n, _ in await received(broker, 1)] == [1]


async def test_a_sweep_takes_no_more_bytes_than_its_share_and_at_least_one_row(
    bench: Bench, process: Process, broker: AbstractConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await emit(bench, "A", "A", "B")
    monkeypatch.setattr("broker.store.outbox.SWEEP_BYTES", 1)
    await process.sweeper.turn()
    assert len(await received(broker, 1)) == 1
    while await process.sweeper.turn():
        pass
    got = await received(broker, 2)
    assert sorted(key for key, _, _ in got) == ["supplier/A", "supplier/B"]


async def test_many_events_that_cannot_leave_do_not_hold_back_the_others(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await emit(bench, *(f"N{n % 3}" for n in range(250)), number=1)
    await bench.execute("update outbox set routing_key = 'nobody.listens'")
    await emit(bench, "B", number=2)
    await process.sweeper.turn()
    await process.sweeper.turn()
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]
    assert await bench.count("outbox") == 250


async def test_a_missing_exchange_stops_only_its_own_events(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await emit(bench, *(f"N{n}" for n in range(5)), number=1)
    await bench.execute("update outbox set exchange = 'layshaft.events.gone'")
    await emit(bench, "B", "C", number=2)
    # The broker closes the channel over it, so turns fail; the loop is what goes on.
    loop = Loop("relay", process.sweeper.turn, rest_s=0.02)
    loop.start()
    await until(lambda: fewer_than(bench, 6), "the others are published")
    await loop.stop(DEADLINE_S)
    assert set(await bench.column("select exchange from outbox")) == {"layshaft.events.gone"}


POINTS = ["relay.after_claim", "relay.after_publish", "relay.after_confirm", "relay.after_mark"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_sweeper_that_dies_on_the_way_publishes_the_same_id_again_or_is_done(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str, point: str
) -> None:
    await emit(bench, "A")
    async with process_on(database_url, amqp_url, fail_points=f"{point}:raise:1") as dying:
        with contextlib.suppress(FailPointHit, ExceptionGroup):
            await dying.sweeper.turn()
    async with process_on(database_url, amqp_url) as process:
        await process.sweeper.turn()
    times = 2 if point in ("relay.after_publish", "relay.after_confirm") else 1
    tries = await tries_of(broker, times)
    assert len({event_id for event_id, _ in tries}) == 1
    # The library matches returns by the AMQP message_id: each try has one of its own.
    assert all(message_id for _, message_id in tries)
    assert len({message_id for _, message_id in tries}) == times
    assert await bench.count("outbox") == 0


async def tries_of(broker: AbstractConnection, count: int) -> list[tuple[str, str]]:
    """The event's id and the AMQP message_id of all that stands in the queue, which are so many."""
    channel = await broker.channel()
    queue = await channel.get_queue(QUEUE)
    assert queue.declaration_result.message_count == count
    got = [await queue.get(no_ack=True) for _ in range(count)]
    return [(str(message.headers["ce-id"]), message.message_id or "") for message in got]


async def test_a_lost_connection_costs_one_turn_and_no_event(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with wire_to(amqp_url, Wire) as (wire, url), process_on(database_url, url) as process:
        process.start()
        for number in range(3):
            await emit(bench, "A", "A", number=number)
            await until(lambda: fewer_than(bench, 1), "all is published")
            wire.cut()
    got = await received(broker, 6)
    assert [n for _, n, _ in got] == [1, 2, 3, 4, 5, 6]


async def test_a_broker_that_is_away_leaves_every_row_unmarked(
    bench: Bench, database_url: str
) -> None:
    await emit(bench, "A", "B")
    async with process_on(database_url, "amqp://127.0.0.1:1/") as process:
        with pytest.raises((OSError, aio_pika.AMQPException)):
            await process.sweeper.turn()
    assert await bench.column("select refusals from outbox") == [0, 0]
    # The lock of the one that leads is free again.
    assert await bench.column("select 1 from pg_locks where locktype = 'advisory'") == []


async def test_one_sweeper_works_at_a_time(
    bench: Bench, process: Process, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    for number in range(4):
        await emit(bench, "A", "B", number=number)
    async with process_on(database_url, amqp_url) as other:
        await asyncio.gather(process.sweeper.turn(), other.sweeper.turn())
        await process.sweeper.turn()
    got = await received(broker, 8)
    assert len({event_id for _, _, event_id in got}) == 8
    assert [n for key, n, _ in got if key == "supplier/A"] == [1, 2, 3, 4]


async def test_a_sweeper_that_loses_its_lock_on_the_way_says_all_twice_and_nothing_out_of_turn(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    for number in range(3):
        await emit(bench, "A", "B", number=number)
    points = "relay.after_confirm:sleep=2:1"
    async with (
        process_on(database_url, amqp_url, fail_points=points) as former,
        process_on(database_url, amqp_url) as other,
    ):
        sweep = asyncio.create_task(former.sweeper.turn())
        await until(lambda: has_come(broker), "the first one is out")
        await bench.execute(
            """
            select pg_terminate_backend(pid) from pg_locks
            where locktype = 'advisory'
              and database = (select oid from pg_database where datname = current_database())
            """
        )
        await until(other.sweeper.turn, "the other one leads")
        assert not sweep.done()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await sweep
    got = await received(broker, 12)
    for key in ("supplier/A", "supplier/B"):
        assert list(dict.fromkeys(n for k, n, _ in got if k == key)) == [1, 2, 3]
    assert len({event_id for _, _, event_id in got}) == 6
    assert await bench.count("outbox") == 0


async def has_come(broker: AbstractConnection) -> bool:
    """Whether anything stands in the queue."""
    channel = await broker.channel()
    queue = await channel.declare_queue(QUEUE, passive=True)
    await channel.close()
    return bool(queue.declaration_result.message_count)


async def test_an_event_nobody_takes_by_configuration_stays_in_the_log_only(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    await emit(bench, "S1")
    async with process_on(database_url, amqp_url, subscribed=frozenset({"item.released"})) as p:
        await p.sweeper.turn()
    assert await bench.count("outbox") == 0
    assert await bench.column("select count(*) from message where direction = 'out'") == [1]
    channel = await broker.channel()
    declared = await channel.declare_queue(QUEUE, passive=True)
    assert declared.declaration_result.message_count == 0


async def test_what_no_queue_took_goes_as_soon_as_one_of_it_has_gone(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    channel = await broker.channel()
    bound = [await channel.get_queue(name) for name in (QUEUE, "out.planning")]
    for queue in bound:
        await queue.unbind(EXCHANGE, "supplier.changed")
    await emit(bench, "A", "B", "C")
    async with bench.database.transaction() as tx:
        await emit_in(tx, "D", event="nobody.listens")
    assert not await process.sweeper.turn()
    assert await bench.column("select distinct refusal from outbox") == ["returned"]
    # Long refused: their next tries are far apart. A full queue is another matter than none.
    await bench.execute("update outbox set sweep_at = now() + interval '1 hour'")
    await bench.execute("update outbox set refusal = 'nacked' where key = 'supplier/C'")
    await bench.execute("update outbox set sweep_at = now() where key = 'supplier/A'")
    for queue in bound:
        await queue.bind(EXCHANGE, "supplier.changed")
    assert await process.sweeper.turn()
    assert await process.sweeper.turn()
    assert [key for key, _, _ in await received(broker, 2)] == ["supplier/A", "supplier/B"]
    left = await bench.column("select key from outbox where sweep_at > now() order by key")
    assert left == ["supplier/C", "supplier/D"]


async def test_of_what_no_queue_takes_one_row_is_tried_again_soon(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    channel = await broker.channel()
    for name in (QUEUE, "out.planning"):
        await (await channel.get_queue(name)).unbind(EXCHANGE, "supplier.changed")
    await emit(bench, *"ABCDEF")
    async with bench.database.transaction() as tx:
        await emit_in(tx, "G", event="nobody.listens")
    await bench.execute("update outbox set refusals = 20")  # long refused
    for _ in range(3):
        await process.sweeper.turn()
        soon = await bench.column(
            "select routing_key from outbox where sweep_at < now() + interval '1.5 s' order by 1"
        )
        assert soon == ["nobody.listens", "supplier.changed"]
        # Not all of them: the others rest as long as they did.
        await bench.execute("update outbox set sweep_at = sweep_at - interval '1.5 s'")
