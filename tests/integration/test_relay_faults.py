"""The outbox under faults of the broker, of commits and of the line between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from time import monotonic

import asyncpg
import pytest
from aio_pika.abc import AbstractConnection

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
from tests.integration.toy import Bench, Wire, bench_on, until, wire_to

# A thousand, on the running service, are made by F31 of the fault tests in a full run.
ROUNDS = 25


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A look at the database from outside; what is emitted through it is left to the sweeper."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with broker_at(amqp_url) as connection:
        yield connection


async def is_empty(bench: Bench) -> bool:
    return await bench.count("outbox") == 0


@pytest.mark.parametrize("path", ["memory", "sweep"])
async def test_f31_commits_out_of_id_order_skip_no_event_and_keep_each_key_in_order(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str, path: str
) -> None:
    async with process_on(database_url, amqp_url) as process:
        process.start()
        writers = process.database if path == "memory" else bench.database
        for _ in range(ROUNDS):
            # The first writer has its numbers and ids; the second one, later, commits at once.
            async with writers.transaction() as first:
                await emit(first, "A")
                async with writers.transaction() as second:
                    await emit(second, "B")
                third = asyncio.create_task(_emit_in(bench, "A"))
                await until(lambda: _is_out(bench, "B"), "the later id is out before the earlier")
            await third
        await until(lambda: is_empty(bench), "all is published")
    got = await drained(broker)
    assert first_seen(got, "A") == list(range(1, 2 * ROUNDS + 1))
    assert first_seen(got, "B") == list(range(1, ROUNDS + 1))
    assert len(got) == 3 * ROUNDS


async def _emit_in(bench: Bench, key: str) -> None:
    async with bench.database.transaction() as tx:
        await emit(tx, key)


async def _is_out(bench: Bench, key: str) -> bool:
    return not await bench.column("select id from outbox where key = $1", f"supplier/{key}")


async def test_f20_a_binding_removed_while_publishing_loses_nothing_and_is_named(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    channel = await broker.channel()
    queue = await channel.get_queue(QUEUE)
    planning = await channel.get_queue("out.planning")
    async with process_on(database_url, amqp_url) as process:
        process.start()
        for n in range(30):
            if n == 10:
                await until(lambda: is_empty(bench), "the first ones are out")
                await queue.unbind(EXCHANGE, "supplier.changed")
                await planning.unbind(EXCHANGE, "supplier.changed")
            await process.emit("A", "B", f"N{n}")
        # None of the rows that came back is taken for sent.
        await until(lambda: _says(process, "returned"), "readiness names it")
        assert process.sweeper.trouble == (
            "events not publishable: supplier.changed.standard returned"
        )
        assert await bench.count("outbox") == 60
        tries = process.failures("returned")
        assert process.metrics.registry.get_sample_value("layshaft_amqp_returned_total") == tries
        await queue.bind(EXCHANGE, "supplier.changed")
        await until(lambda: is_empty(bench), "all is published after the binding is back")
        await until(lambda: _says(process, ""), "readiness is clear by itself")
    got = await drained(broker)
    assert first_seen(got, "A") == first_seen(got, "B") == list(range(1, 31))
    assert len({event_id for _, _, event_id in got}) == 90


async def _says(process: Process, word: str) -> bool:
    said = process.sweeper.trouble
    return word in said if word else not said


async def test_f21_a_full_queue_is_tried_with_growing_pauses_and_loses_nothing(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    channel = await broker.channel()
    full = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await full.bind(EXCHANGE, "supplier.changed")
    async with process_on(database_url, amqp_url) as process:
        process.start()
        await process.emit("A", "A", "B")
        await until(lambda: _has_refusals(bench, 3), "both keys were refused again and again")
        refusals = await bench.column("select refusals from outbox order by key, id")
        # The head of a key rests, and nothing behind it is tried.
        assert refusals[1] == 0
        # Once from memory, then once per rest: no loop in between.
        assert process.failures("nacked") <= 2 + refusals[0] + refusals[2] + 2
        rest_s = await bench.column(
            "select extract(epoch from sweep_at - now())::float8 from outbox where refusals > 2"
        )
        assert all(seconds > 0.25 for seconds in rest_s)
        assert await _says(process, "supplier.changed.standard nacked")
        await full.delete(if_empty=False)
        await until(lambda: is_empty(bench), "all is published")
    got = await drained(broker)
    assert first_seen(got, "A") == [1, 2]
    assert first_seen(got, "B") == [1]


async def test_where_a_full_queue_has_room_again_the_others_need_not_rest_to_the_end(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    channel = await broker.channel()
    full = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await full.bind(EXCHANGE, "supplier.changed")
    async with process_on(database_url, amqp_url) as process:
        process.start()
        await process.emit(*(f"K{n:02}" for n in range(40)))

        async def all_rest() -> bool:
            return await bench.count("outbox where refusal = 'nacked'") == 40

        await until(all_rest, "all are refused")
        await bench.execute("update outbox set sweep_at = now() + interval '1 hour'")
        await full.delete(if_empty=False)
        await bench.execute("update outbox set sweep_at = now() where key = 'supplier/K17'")
        await until(lambda: is_empty(bench), "all is published")
        # One, then two more for each that went.
        assert process.failures("nacked") >= 40
    assert len({key for key, _, _ in await drained(broker)}) == 40


async def _has_refusals(bench: Bench, count: int) -> bool:
    heads = await bench.column("select refusals from outbox where refusals > 0")
    return len(heads) == 2 and min(heads) >= count


async def test_a_nack_in_the_middle_stops_its_key_and_no_other(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    channel = await broker.channel()
    full = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await full.bind(EXCHANGE, "nobody.listens")
    async with process_on(database_url, amqp_url) as process:
        async with process.database.transaction() as tx:
            await emit(tx, "A", "A", *(f"N{n}" for n in range(50)))
            await emit(tx, "A", event="nobody.listens")
            await emit(tx, "A", *(f"N{n}" for n in range(50)))
        assert len(await received(broker, 102)) == 102
        await until(lambda: _was_nacked(process), "the one was refused")
        await full.delete(if_empty=False)
        taker = await channel.declare_queue("taker")
        await taker.bind(EXCHANGE, "nobody.listens")
        await taker.bind(EXCHANGE, "supplier.changed")
        process.start()
        await until(lambda: is_empty(bench), "the rest of the key is published")
    assert [n for _, n, _ in await received(broker, 2, "taker")] == [3, 4]
    await taker.delete()
    await drained(broker)


async def _was_nacked(process: Process) -> bool:
    return process.failures("nacked") == 1


class CommitsUnanswered(Wire):
    """A line to PostgreSQL that is cut at the next COMMIT: before it, or before its answer."""

    def __init__(self, host: str, port: int, *, reaches: bool) -> None:
        super().__init__(host, port)
        self._reaches = reaches
        self.is_armed = False

    def arm(self) -> None:
        """The next COMMIT is the one."""
        self.is_armed = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        committing = asyncio.Event()

        async def forward() -> None:
            while data := await reader.read(65536):
                if self.is_armed and b"COMMIT" in data:
                    if not self._reaches:
                        break
                    committing.set()
                back.write(data)
            back.transport.abort()

        async def answer() -> None:
            while (data := await there.read(65536)) and not committing.is_set():
                writer.write(data)
            writer.transport.abort()

        await asyncio.gather(forward(), answer(), return_exceptions=True)


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "not committed"])
async def test_a_commit_whose_answer_is_lost_hands_nothing_to_memory(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str, reaches: bool
) -> None:
    line = partial(CommitsUnanswered, reaches=reaches)
    async with (
        wire_to(database_url, line) as (wire, through),
        process_on(through, amqp_url, confirm_s=0.5) as process,
    ):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await _emit_and(process, wire.arm)
        wire.is_armed = False
        assert process.relay.in_hand == 0
        assert await bench.count("outbox") == (1 if reaches else 0)
        process.start()
        await until(lambda: is_empty(bench), "what was committed lapses to the sweeper")
        assert process.published("memory") == 0
    assert len(await drained(broker)) == (1 if reaches else 0)


async def _emit_and(process: Process, then: Callable[[], None]) -> None:
    async with process.database.transaction() as tx:
        await emit(tx, "A")
        then()


class Stalling(Wire):
    """A line that can stop carrying anything to the server, and stay open."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.flows = asyncio.Event()
        self.flows.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        self._ends |= {writer, back}

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                await self.flows.wait()
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)


async def test_a_broker_that_reads_nothing_makes_no_publisher_wait_past_its_deadline(
    bench: Bench, broker: AbstractConnection, database_url: str, amqp_url: str
) -> None:
    async with (
        wire_to(amqp_url, Stalling) as (wire, through),
        process_on(database_url, through, confirm_s=3) as process,
    ):
        await process.emit("A")
        await received(broker, 1)
        # It stands in its queue before its confirm has come back; without that it goes out again.
        await until(lambda: _is_confirmed(process), "the first event is confirmed")
        wire.flows.clear()
        # More than the sockets between us and the broker hold.
        for n in range(20):
            await process.emit(f"N{n}", body=b" " * 300_000)
        asked = monotonic()
        await until(lambda: _is_idle(process), "every publish has ended")
        assert monotonic() - asked < 3 + 5
        assert process.failures("timeout") > 0
        # While nothing goes out nothing is taken into memory.
        await process.emit("B")
        assert process.relay.in_hand <= 1
        wire.flows.set()
        process.start()
        await until(lambda: is_empty(bench), "all is published once the broker reads again")
    keys = {key for key, _, _ in await drained(broker)}
    assert keys == {"supplier/B", *(f"supplier/N{n}" for n in range(20))}


async def _is_confirmed(process: Process) -> bool:
    return process.published("memory") == 1


async def _is_idle(process: Process) -> bool:
    """Nothing is unconfirmed; the first event is confirmed and not cleared."""
    return process.relay.in_hand <= 1
