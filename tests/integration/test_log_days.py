"""The log keeps its days and no longer: unfinished messages outlive their day, nobody is locked out
for long, and a crash leaves a day whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from broker.failpoints import FailPoints
from broker.housekeeper import Housekeeper
from broker.settings import Retention
from broker.store import diagnosis, traces, views
from broker.topology import EventTopology, declare, event_queue, topology
from canonical.events import EVENTS
from tests.integration.aging import DAY, days, housekeeper, keep_house, let_pass
from tests.integration.relaying import process_on
from tests.integration.toy import (
    Bench,
    Order,
    Stated,
    Wanted,
    arrivals,
    bench_on,
    blocked,
    repaired,
    until,
)

ROOT = Path(__file__).parents[2]
UNFINISHED = (
    Order(id="retried", key="order/1", fault="unavailable"),
    Order(id="parked", key="order/2", fault="rejected"),
    Order(id="planned", key="order/3", plans=(Wanted("A", kind="approval"),)),
    Order(id="in case", key="order/4", opens="look at it"),
)
FINISHED = (
    Order(id="stated", key="order/5", states=(Stated("5", 1),)),
    Order(id="emitting", key="order/6", emits=("6",)),
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def ids(bench: Bench, table: str = "message") -> list[str]:
    """Ids of the orders in the log; events of ours by their type."""
    column = "case when direction = 'in' then id else type end"
    return await bench.column(f"select {column} from {table} order by 1")


async def old_orders(bench: Bench) -> None:
    """Orders of 100 days ago, some of them unfinished; their event is not published."""
    await bench.pipeline().take(arrivals([*UNFINISHED, *FINISHED]))
    await let_pass(bench, 100 * DAY)


async def doctor(bench: Bench) -> diagnosis.RowFacts:
    async with views.snapshot(bench.database) as tx:
        return await diagnosis.row_facts(tx, log_days=90)


# F35: an old day with unfinished messages


async def test_f35_an_old_day_goes_and_its_unfinished_messages_stay_readable(
    bench: Bench, amqp_url: str
) -> None:
    await old_orders(bench)
    assert len(await days(bench)) == 1
    await keep_house(bench)
    assert await days(bench) == []
    event = EVENTS["supplier.changed"].type
    assert await ids(bench) == sorted([event, "in case", "parked", "planned", "retried"])
    assert await ids(bench, "message_default") == await ids(bench)
    assert (await doctor(bench)).kept_rows == 5
    assert (await doctor(bench)).fallen_rows == 0
    assert bench.metrics.log_kept._value.get() == 5
    # The event goes out, the retry succeeds, the case shows its message.
    event_sent = await published(bench, amqp_url)
    assert event_sent.body.startswith(b'{"number":"6"')
    # To its subscribers it is as old as its publication, so that nobody takes it for a late repeat.
    at = datetime.fromisoformat(str(event_sent.headers["ce-publishtime"]))
    assert datetime.now(UTC) - at < DAY
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 1
    async with views.snapshot(bench.database) as tx:
        shown = await views.case(tx, 1)
    assert shown is not None
    assert shown.message is not None
    # What has finished goes at the next turn.
    await keep_house(bench)
    assert await ids(bench) == ["in case", "parked", "planned"]


async def published(bench: Bench, amqp_url: str) -> AbstractIncomingMessage:
    """The one event in the outbox, as it arrived."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await declare(channel, topology([], [EventTopology("supplier.changed", ("standard",))], []))
        async with process_on(bench.url, amqp_url) as process:
            await process.sweeper.turn()
        queue = await channel.get_queue(event_queue("supplier.changed", "standard"))
        message = await queue.get(no_ack=True, timeout=5)
    assert message is not None
    assert await bench.count("outbox") == 0
    return message


async def test_a_message_that_outlived_its_day_goes_once_nobody_needs_it(bench: Bench) -> None:
    await old_orders(bench)
    await keep_house(bench)
    await bench.execute(
        """
        delete from outbox; delete from pending;
        update exception_case set state = 'resolved';
        update ledger set state = 'complete', completed_at = now()
        """
    )
    await keep_house(bench)
    # A ledger that closed a moment ago may be waking in somebody's transaction.
    assert await ids(bench) == ["planned"]
    await bench.execute("update ledger set completed_at = now() - interval '2 hours'")
    await keep_house(bench)
    assert await ids(bench) == []


async def test_a_day_with_too_much_unfinished_stays_and_the_next_one_goes(bench: Bench) -> None:
    await old_orders(bench)
    await bench.pipeline().take(arrivals([Order(id="later", key="order/9")]))
    await let_pass(bench, 95 * DAY)
    crowded, *others = await days(bench)
    assert others != []
    keeper = Housekeeper(
        database=bench.database,
        retention=Retention(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        moved_at_most=4,
    )
    while await keeper.turn():
        pass
    assert await days(bench) == [crowded]
    assert (await doctor(bench)).old_days == 1


# Locks


async def test_f35_a_busy_reader_delays_the_drop_and_the_drop_lets_others_pass(
    bench: Bench,
) -> None:
    await old_orders(bench)
    keeper = housekeeper(bench)
    async with bench.database.transaction() as busy:
        assert await busy.fetchval("select count(*) from message") == 7
        turn = asyncio.create_task(keeper.turn())
        await until(lambda: blocked(bench), "the housekeeper waits for the log")
        # Whoever comes now waits behind it, but no longer than it does.
        assert await bench.count("message") == 7
        await bench.pipeline().take(arrivals([Order(id="new", key="order/9")]))
        await turn
        assert len(await days(bench)) == 1
        assert bench.metrics.housekeeping_delays.labels("drop")._value.get() == 1
    await keeper.turn()
    assert await days(bench) == []
    assert "new" in await ids(bench)


async def test_days_are_made_beside_readers_and_writers(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([UNFINISHED[0]]))
    [at] = await bench.column("select at from message")
    await bench.execute(f"drop table message_{at + 7 * DAY:%Y%m%d}")
    async with bench.database.transaction() as busy:
        await busy.execute("update message set lane = 'critical' where at = $1", at)
        await housekeeper(bench).turn()
    made = f"select to_regclass('message_{at + 7 * DAY:%Y%m%d}') is not null"
    assert await bench.column(made) == [True]
    assert bench.metrics.housekeeping_delays.labels("make")._value.get() == 0


# Days that were missing


async def test_messages_that_fell_into_the_default_come_into_their_day(bench: Bench) -> None:
    await old_orders(bench)
    await keep_house(bench)
    today, tomorrow = (f"message_{datetime.now(UTC) + n * DAY:%Y%m%d}" for n in (0, 1))
    await bench.execute(f"drop table {today}; drop table {tomorrow}")
    await bench.pipeline().take(arrivals([Order(id="fallen", key="order/9")]))
    facts = await doctor(bench)
    assert (facts.fallen_rows, facts.kept_rows) == (1, 5)
    assert len(facts.missing_days) == 2
    await keep_house(bench)
    assert await ids(bench, today) == ["fallen"]
    facts = await doctor(bench)
    assert (facts.fallen_rows, facts.kept_rows, facts.missing_days) == (0, 5, ())


async def test_a_past_day_without_partition_is_made_for_its_fallen_messages(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([Order(id="fallen", key="order/9")]))
    await let_pass(bench, 10 * DAY)
    [day] = await days(bench)
    await bench.execute(
        f"alter table message detach partition {day};"
        f" insert into message_default select * from {day}; drop table {day}"
    )
    assert (await doctor(bench)).fallen_rows == 1
    await keep_house(bench)
    assert await days(bench) == [day]
    assert await ids(bench, day) == ["fallen"]


# Crashes

HOUSE_IS_KEPT = """
import asyncio, sys
from tests.integration.aging import housekeeper
from tests.integration.toy import bench_on

async def main():
    async with bench_on(sys.argv[1]) as bench:
        await housekeeper(bench, fail_points="partition.before_drop:kill:1").turn()

asyncio.run(main())
"""


async def test_a_process_killed_before_the_drop_leaves_the_day_whole(bench: Bench) -> None:
    await old_orders(bench)
    before = await ids(bench)
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", HOUSE_IS_KEPT, bench.url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    # The server notices the end of the process and rolls back; nobody waits for it any longer.
    assert await ids(bench) == before
    assert len(await days(bench)) == 1
    assert await bench.count("message_default") == 0
    await keep_house(bench)
    assert await days(bench) == []
    assert len(await ids(bench)) == 5


# Views of what is gone


async def test_what_is_known_is_traced_when_its_messages_have_left_the_log(bench: Bench) -> None:
    order = Order(id="m1", key="order/1", states=(Stated("5", 1),), opens="look at it")
    planned = Order(id="m2", key="order/2", plans=(Wanted("A", kind="approval"),))
    await bench.pipeline().take(arrivals([order, planned]))
    await bench.execute(
        "update exception_case set state = 'resolved', closed_at = now();"
        " update ledger set state = 'complete', completed_at = now()"
    )
    await let_pass(bench, 100 * DAY)
    await keep_house(bench)
    assert await bench.count("message") == 0
    [story] = await bench.column("select correlation_id from ledger")
    async with views.snapshot(bench.database) as tx:
        supplier = await traces.trace(tx, "supplier/5", ["supplier"])
        ledger = await traces.trace(tx, "order/2", ["order"])
        told = await traces.trace(tx, story, ["order"])
        shown = await views.case(tx, 1)
    assert supplier is not None
    assert [(line.what, line.text) for line in supplier.lines] == [("stored", "version 1")]
    assert supplier.matched == ("key",)
    assert ledger is not None
    assert told is not None
    assert [line.what for line in told.lines] == [line.what for line in ledger.lines]
    assert shown is not None
    assert shown.message is None
