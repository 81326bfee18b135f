"""Events of one object that come through queues of different lanes, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from broker.consumer import Inlet, LaneConsumer
from broker.topology import EventTopology, declare, event_queue, topology
from canonical.envelope import Lane
from canonical.events import SOURCE
from tests.integration.relaying import process_on
from tests.integration.test_consumer import consuming, ready
from tests.integration.toy import Bench, at_once, bench_on, until
from tests.integration.toy_flow import CANCELLED, RELEASED, Said, decided, flow, outcomes, say

WANTED = topology([], [EventTopology(RELEASED), EventTopology(CANCELLED)])


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection; the queues of both events are there, and empty."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await declare(channel, WANTED)
        channel = await connection.channel()
        for queue in WANTED.queues:
            await (await channel.get_queue(queue.name)).purge()
        yield connection


def working(
    bench: Bench, amqp_url: str, event: str, lane: Lane
) -> AbstractAsyncContextManager[LaneConsumer]:
    """A consumer of the event's queue in that lane."""
    inlet = Inlet(event_queue(event, lane), SOURCE, event, ours=True)
    pipeline = bench.pipeline(lane=lane, flow=flow(), policy=at_once(attempts=3))
    return consuming(bench, amqp_url, take=pipeline.take, inlets=[inlet], lane=lane)


async def test_what_is_cancelled_on_the_critical_lane_takes_the_release_along(
    bench: Bench, broker: AbstractConnection, amqp_url: str, database_url: str
) -> None:
    said = await say(bench, Said(RELEASED, "enrichment"), Said(CANCELLED, "critical"))
    async with process_on(database_url, amqp_url) as process:
        process.start()

        async def all_out() -> bool:
            return await bench.count("outbox where key like 'engineering-change/%'") == 0

        await until(all_out, "both are published")
    waiting = event_queue(RELEASED, "enrichment")
    # Nobody takes the enrichment lane yet.
    async with working(bench, amqp_url, CANCELLED, "critical"):

        async def both_decided() -> bool:
            return await decided(bench, said) == [0, 1]

        await until(both_decided, "both are decided, in order")
        assert await ready(broker, waiting) == 1
    async with working(bench, amqp_url, RELEASED, "enrichment"):

        async def has_come() -> bool:
            return await bench.count("duplicate") == 1

        await until(has_come, "the late delivery is a repeat")
    assert await ready(broker, waiting) == 0
    assert await decided(bench, said) == [0, 1]
    assert await outcomes(bench, said) == ["applied", "applied"]
