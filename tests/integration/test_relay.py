"""Events leave from memory right after their commit; the sweeper takes the rest, in order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from broker.store import Database
from tests.integration.relaying import (
    EXCHANGE,
    QUEUE,
    Process,
    broker_at,
    drained,
    emit,
    first_seen,
    process_on,
    received,
)
from tests.integration.toy import Bench, bench_on, until


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A look at the database from outside."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with broker_at(amqp_url) as connection:
        yield connection


@pytest.fixture
async def process(database_url: str, amqp_url: str) -> AsyncIterator[Process]:
    """A process whose relay and sweeper do not turn by themselves."""
    async with process_on(database_url, amqp_url) as made:
        yield made


async def is_empty(bench: Bench) -> bool:
    return await bench.count("outbox") == 0


async def test_a_committed_event_leaves_from_memory_and_its_row_goes(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    await process.emit("A", "B", "A")
    got = await received(broker, 3)
    assert first_seen(got, "A") == [1, 2]
    await until(lambda: settled(process), "rows are cleared")
    assert await is_empty(bench)
    assert (process.published("memory"), process.published("sweep")) == (3, 0)


async def from_memory(process: Process, count: int) -> bool:
    return process.published("memory") == count


async def settled(process: Process) -> bool:
    """The relay has nothing in hand and has cleared what it confirmed."""
    await process.relay.turn()
    return process.relay.in_hand == 0


async def test_many_events_of_one_key_leave_from_memory_one_behind_the_other(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    for _ in range(30):
        await process.emit("A", "A")
    got = await received(broker, 60)
    assert [n for _, n, _ in got] == list(range(1, 61))
    await until(lambda: from_memory(process, 60), "all were published from memory")


async def test_a_transaction_that_emits_a_key_twice_keeps_its_order_in_memory(
    process: Process, broker: AbstractConnection
) -> None:
    async with process.database.transaction() as tx:
        await emit(tx, "A", "B")
        await emit(tx, "B", "A")
    got = await received(broker, 4)
    assert (first_seen(got, "A"), first_seen(got, "B")) == ([1, 2], [1, 2])
    await until(lambda: from_memory(process, 4), "all were published from memory")


async def test_a_transaction_rolled_back_publishes_nothing(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with process.database.transaction() as tx:
            await emit(tx, "A")
            raise ZeroDivisionError
    await process.emit("B")
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]


async def test_an_event_behind_one_of_a_dead_process_waits_for_it(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with process_on(
        database_url, amqp_url, confirm_s=0.5, fail_points="relay.after_claim:sleep=60:1"
    ) as dead:
        await dead.emit("A", "A")
        await dead.die()
        async with process_on(database_url, amqp_url, confirm_s=0.5) as process:
            await process.emit("A", "B")
            assert not await process.sweeper.turn()
            assert [key for key, _, _ in await received(broker, 1)] == ["supplier/B"]
            process.start()
            await until(lambda: is_empty(bench), "the rows of the dead process have lapsed")
    assert [n for _, n, _ in await received(broker, 3)] == [1, 2, 3]


async def test_a_row_in_the_hands_of_a_living_process_is_not_swept_by_another_one(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    point = "relay.after_claim:sleep=0.5:1"
    async with (
        process_on(database_url, amqp_url, fail_points=point) as owner,
        process_on(database_url, amqp_url) as other,
    ):
        await owner.emit("A")
        assert not await other.sweeper.turn()
        assert len(await received(broker, 1)) == 1
        await until(lambda: from_memory(owner, 1), "its confirm has come")
        assert other.published("sweep") == 0


async def test_a_key_whose_row_is_returned_is_the_sweepers_and_keeps_its_order(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    async with process.database.transaction() as tx:
        await emit(tx, "A")
        await emit(tx, "A", event="nobody.listens")
        await emit(tx, "A", "B")
    got = await received(broker, 2)
    assert sorted(key for key, _, _ in got) == ["supplier/A", "supplier/B"]
    # Emitted when the key is stopped already: it stands behind the others.
    await process.emit("A")
    channel = await broker.channel()
    taker = await channel.declare_queue("taker")
    await taker.bind(EXCHANGE, "nobody.listens")
    await taker.bind(EXCHANGE, "supplier.changed")
    process.start()
    await until(lambda: is_empty(bench), "all is published")
    rest = await received(broker, 3, "taker")
    assert first_seen(rest, "A") == [2, 3, 4]
    assert process.published("sweep") == 3
    await taker.delete()


async def test_a_key_given_up_is_published_from_memory_again_later(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with process_on(database_url, amqp_url, confirm_s=0.3) as process:
        await process.emit("A", event="nobody.listens")
        await until(lambda: failed(process, "returned"), "it came back")
        await bench.execute("delete from outbox")

        async def is_ours_again() -> bool:
            await process.relay.turn()
            await process.emit("A")
            await process.sweeper.turn()
            return process.published("memory") > 0

        await until(is_ours_again, "the key is ours again")
        await until(lambda: settled(process), "nothing is in hand")
    seen = first_seen(await drained(broker), "A")
    assert seen == sorted(seen)


async def failed(process: Process, reason: str) -> bool:
    return process.failures(reason) > 0


async def test_two_processes_that_emit_the_same_keys_in_turn_keep_their_order(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with (
        process_on(database_url, amqp_url) as one,
        process_on(database_url, amqp_url) as two,
    ):
        one.start()
        two.start()
        for _ in range(40):
            await one.emit("A", "B")
            await two.emit("A", "C")
        await until(lambda: is_empty(bench), "all is published")
    got = await drained(broker)
    assert first_seen(got, "A") == list(range(1, 81))
    assert first_seen(got, "B") == first_seen(got, "C") == list(range(1, 41))
    assert len({event_id for _, _, event_id in got}) == 160


@pytest.mark.parametrize("limit", ["rows", "bytes"])
async def test_copies_in_memory_are_bounded_and_what_exceeds_them_is_swept(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str, limit: str
) -> None:
    rows, size = (3, 10**6) if limit == "rows" else (10, 3_000)
    async with process_on(database_url, amqp_url, memory_rows=rows, memory_bytes=size) as process:
        await process.emit("N1", "N2", "N3", "N4", body=b" " * 1_000)
        assert process.relay.in_hand == 0
        await process.emit("N5", "N6", "N7", body=b" " * 1_000)
        assert process.relay.in_hand == 3
        process.start()
        await until(lambda: is_empty(bench), "all is published")
        assert (process.published("memory"), process.published("sweep")) == (3, 4)
    assert len(await received(broker, 7)) == 7


async def test_a_foreign_transaction_without_end_stalls_no_other_event(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    async with bench.database.transaction() as foreign:
        await emit(foreign, "A")
        await bench_emits(bench.database, "C")
        await process.emit("B")
        await process.sweeper.turn()
        got = await received(broker, 2)
        assert sorted(key for key, _, _ in got) == ["supplier/B", "supplier/C"]
    await process.sweeper.turn()
    assert [key for key, _, _ in await received(broker, 1)] == ["supplier/A"]


async def bench_emits(database: Database, *keys: str) -> None:
    """Events committed by a process that does not publish, the command line for one."""
    async with database.transaction() as tx:
        await emit(tx, *keys)


async def test_an_event_nobody_takes_is_cleared_without_a_publish(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with process_on(database_url, amqp_url, subscribed=frozenset()) as process:
        await process.emit("A")
        await until(lambda: settled(process), "its row is cleared")
    assert await is_empty(bench)
    assert await drained(broker) == []


POINTS = ["relay.after_claim", "relay.after_publish", "relay.after_confirm"]


@pytest.mark.parametrize("point", POINTS)
async def test_what_stops_between_publish_and_clearing_is_published_again_under_its_id(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str, point: str
) -> None:
    async with process_on(database_url, amqp_url, fail_points=f"{point}:raise:1") as process:
        await process.emit("A")
        process.start()
        await until(lambda: is_empty(bench), "it is swept")
    times = 1 if point == "relay.after_claim" else 2
    assert len(set(await received(broker, times))) == 1


async def test_a_stop_publishes_what_is_in_hand(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with process_on(database_url, amqp_url) as process:
        await process.emit(*(f"N{n}" for n in range(50)))
    assert await is_empty(bench)
    assert len(await received(broker, 50)) == 50


async def test_a_broker_that_is_away_gives_rows_back_at_once(
    bench: Bench, database_url: str
) -> None:
    async with process_on(database_url, "amqp://127.0.0.1:1/") as process:
        await process.emit("A")
        await until(lambda: failed(process, "connection"), "it did not go out")
        with pytest.raises((OSError, aio_pika.AMQPException)):
            await process.relay.turn()
        # Nothing is taken into memory until the broker answers again.
        await process.emit("B")
        assert process.relay.in_hand == 0
    due = await bench.column("select sweep_at <= now() from outbox")
    assert due == [True, True]


async def test_a_large_event_is_published_with_its_place_in_the_log_instead_of_its_body(
    bench: Bench, process: Process, broker: AbstractConnection
) -> None:
    whole = b" " * 65_534 + b"{}"
    await process.emit("A", body=b" " + whole)
    await process.emit("A", body=whole)
    channel = await broker.channel()
    queue = await channel.get_queue(QUEUE)
    got: list[AbstractIncomingMessage] = []

    async def both_came() -> bool:
        message = await queue.get(no_ack=True, fail=False)
        got.extend([message] if message else [])
        return len(got) == 2

    await until(both_came, "both are published")
    large, small = got
    rows = await bench.rows("select at, seq from message order by seq")
    place = f"log/{rows[0]['at'].isoformat()}/{rows[0]['seq']}"
    assert (large.body, large.headers["ce-databytes"]) == (b"", "65537")
    assert large.headers["ce-dataref"] == place
    assert (len(small.body), small.body) == (65_536, whole)
    assert "ce-dataref" not in small.headers
