"""A lane receives no more bytes than it may keep undecided, whatever its prefetch allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic

import aio_pika
import pytest

from broker.connections import silence_s
from broker.consumer import Inlet, LaneConsumer
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.topology import declare, inbound_exchange, inbound_queue
from tests.integration.test_consumer import ORDERS, QUEUE, WANTED
from tests.integration.test_consumer import consuming as consumer_of
from tests.integration.toy import DEADLINE_S, SOURCE, Bench, bench_on, until

MIB = 1024 * 1024
LIMIT = 4 * MIB
MESSAGES = 40
HEARTBEAT_S = 1
# The message that fills the budget, and one the library has in hand already.
OVERSHOOT = 2 * MIB


class Desk:
    """Decides nothing until it may; keeps the tags of what it decided."""

    def __init__(self) -> None:
        self.may_decide = asyncio.Event()
        self.decided: list[str] = []

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """See broker.pipeline.Pipeline."""
        await self.may_decide.wait()
        self.decided += [a.delivery.message_id for a in arrivals]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench for its metrics."""
    async with bench_on(database_url) as made:
        yield made


def consuming(bench: Bench, url: str, desk: Desk) -> AbstractAsyncContextManager[LaneConsumer]:
    """A consumer at work, whose prefetch would allow everything at once."""
    return consumer_of(
        bench,
        url,
        take=desk.take,
        prefetch=2 * MESSAGES,
        heartbeat_s=HEARTBEAT_S,
        undecided_bytes=LIMIT,
    )


@pytest.fixture
async def filled(amqp_url: str) -> AsyncIterator[str]:
    """The broker, with that many messages of 1 MiB in the queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await declare(channel, WANTED)
        await (await channel.get_queue(QUEUE)).purge()
        exchange = await channel.get_exchange(inbound_exchange(SOURCE), ensure=False)
        for n in range(MESSAGES):
            message = aio_pika.Message(bytes(MIB), message_id=f"m{n}")
            await exchange.publish(message, "order", timeout=DEADLINE_S)
        yield amqp_url
        await (await channel.get_queue(QUEUE)).purge()


def undecided(metrics: Metrics) -> float:
    """What the gauge of the lane shows."""
    found = metrics.registry.get_sample_value("layshaft_undecided_bytes", {"lane": "standard"})
    return found or 0.0


async def is_full(metrics: Metrics) -> bool:
    return undecided(metrics) >= LIMIT


async def test_what_is_undecided_stays_below_the_limit_and_is_taken_in_order(
    bench: Bench, filled: str
) -> None:
    desk, metrics = Desk(), bench.metrics
    async with consuming(bench, filled, desk):
        await until(lambda: is_full(metrics), "a full lane")
        await asyncio.sleep(1)
        assert LIMIT <= undecided(metrics) <= LIMIT + OVERSHOOT
        desk.may_decide.set()
        most = 0.0
        while len(desk.decided) < MESSAGES:
            most = max(most, undecided(metrics))
            await asyncio.sleep(0.01)
        assert most <= LIMIT + OVERSHOOT
        assert desk.decided == [f"m{n}" for n in range(MESSAGES)]
        assert undecided(metrics) == 0


async def test_a_pause_that_loses_the_connection_is_one_loss_and_nothing_is_missing(
    bench: Bench, filled: str
) -> None:
    desk, metrics = Desk(), bench.metrics
    async with consuming(bench, filled, desk) as consumer:
        await until(lambda: is_full(metrics), "a full lane")
        await asyncio.sleep(2 * silence_s(HEARTBEAT_S))
        assert consumer.trouble
        assert undecided(metrics) <= LIMIT + OVERSHOOT
        lost = metrics.registry.get_sample_value(
            "layshaft_amqp_reconnects_total", {"role": "standard"}
        )
        assert lost == 1
        desk.may_decide.set()

        async def has_decided_all() -> bool:
            return set(desk.decided) == {f"m{n}" for n in range(MESSAGES)}

        await until(has_decided_all, "all decided")
        assert not consumer.trouble


async def test_a_loss_while_a_queue_is_being_looked_for_does_not_end_the_lane(
    bench: Bench, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full lane reads no answers, so that the library takes its connection for lost while we wait
    for one: it ends such waits as if our task had been cancelled."""
    monkeypatch.setattr("broker.consumer.REATTACH_S", 0.05)
    missing = Inlet(inbound_queue(SOURCE, "nothing", "standard"), SOURCE, "nothing")
    desk = Desk()
    async with consumer_of(
        bench,
        filled,
        take=desk.take,
        inlets=(ORDERS, missing),
        prefetch=2 * MESSAGES,
        heartbeat_s=HEARTBEAT_S,
        undecided_bytes=LIMIT,
    ) as consumer:
        await until(lambda: is_full(bench.metrics), "a full lane")
        await asyncio.sleep(2 * silence_s(HEARTBEAT_S))
        desk.may_decide.set()

        async def has_decided_all() -> bool:
            return set(desk.decided) == {f"m{n}" for n in range(MESSAGES)}

        await until(has_decided_all, "all decided")
        assert "ended" not in consumer.trouble


async def test_a_full_lane_stops_in_time(bench: Bench, filled: str) -> None:
    desk, metrics = Desk(), bench.metrics
    async with consuming(bench, filled, desk) as consumer:
        await until(lambda: is_full(metrics), "a full lane")
        began = monotonic()
        asyncio.get_running_loop().call_later(0.5, desk.may_decide.set)
        await consumer.stop(5)
        assert monotonic() - began < 5
    async with await aio_pika.connect(filled) as connection:
        channel = await connection.channel()
        left = 0
        while left + len(desk.decided) < MESSAGES:
            queue = await channel.declare_queue(QUEUE, passive=True)
            left = queue.declaration_result.message_count or 0
            await asyncio.sleep(0.05)
        assert left + len(desk.decided) == MESSAGES
