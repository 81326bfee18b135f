"""A kind's lane changes while its messages come: on a real broker and database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from broker.consumer import Inlet
from broker.failpoints import FailPointHit, FailPoints
from broker.intake import Arrival
from broker.succession import Lineage, Succession
from broker.topology import (
    LANES,
    InboundObject,
    SourceTopology,
    Topology,
    declare,
    inbound_queue,
    queue_states,
    topology,
)
from canonical.envelope import Lane
from tests.integration.test_consumer import consuming, publish
from tests.integration.toy import DEADLINE_S, SOURCE, Bench, bench_on, until

KIND = "stop"
BEFORE: Lane = "standard"
AFTER: Lane = "critical"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection; there is the queue of the lane before, and it is empty."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for lane in LANES:
            await channel.queue_delete(inbound_queue(SOURCE, KIND, lane))
        await declare(channel, in_lane(BEFORE))
        yield connection


def in_lane(lane: Lane) -> Topology:
    """The topology where the kind takes this lane."""
    return topology([SourceTopology(SOURCE, (InboundObject(KIND, lane),))], [])


def inlet(lane: Lane) -> Inlet:
    return Inlet(inbound_queue(SOURCE, KIND, lane), SOURCE, "order")


def succession(url: str, *, settle_s: float = 30.0, fail_points: str = "") -> Succession:
    """What a process with the new configuration takes."""
    former = tuple(inlet(lane) for lane in LANES if lane != AFTER)
    return Succession(
        lineages=(Lineage(inlet(AFTER), former),),
        amqp_url=url,
        heartbeat_s=10,
        within_s=DEADLINE_S,
        fail_points=FailPoints.parse(fail_points),
        settle_s=settle_s,
    )


async def send(connection: AbstractConnection, numbers: Iterable[int]) -> None:
    await publish(connection, numbers, kind=KIND, keys=1)


async def taking(succession: Succession, lane: Lane) -> bool:
    """Whether that lane's queue is taken, after another look."""
    await succession.turn()
    return succession.share == (inlet(lane),)


async def test_what_came_before_is_decided_before_what_comes_after(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await send(broker, range(30))
    await declare(await broker.channel(), in_lane(AFTER))
    await send(broker, range(30, 60))
    took: list[int] = []

    async def take(arrivals: Sequence[Arrival]) -> None:
        await asyncio.sleep(0.01)
        took.extend(int(bytes(a.delivery.body).split(b'"m')[1].split(b'"')[0]) for a in arrivals)

    heir = succession(amqp_url)
    async with consuming(
        bench, amqp_url, take=take, inlets=(), dealt=lambda: heir.share, lane=AFTER
    ) as consumer:
        heir.changed = consumer.look_again
        await until(lambda: taking(heir, BEFORE), "the queue before is taken")
        await until(lambda: taking(heir, AFTER), "then the new one")

        async def has_all() -> bool:
            return len(took) >= 60

        await until(has_all, "all are taken")
    assert took == list(range(60))


async def test_nothing_new_is_taken_while_a_process_of_before_has_some_of_the_old(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await send(broker, range(5))
    await declare(await broker.channel(), in_lane(AFTER))
    may_commit, has_some = asyncio.Event(), asyncio.Event()

    async def take(arrivals: Sequence[Arrival]) -> None:
        has_some.set()
        await may_commit.wait()

    heir = succession(amqp_url)
    async with consuming(bench, amqp_url, take=take, inlets=(inlet(BEFORE),)):
        await asyncio.wait_for(has_some.wait(), DEADLINE_S)
        await heir.turn()
        # The queue says that it is empty: all of it was delivered.
        assert heir.share == ()
        may_commit.set()
        await asyncio.sleep(0.2)
        await heir.turn()
        assert heir.share == ()
    await until(lambda: taking(heir, AFTER), "the new one is taken once the old one is left")


async def test_a_queue_that_nothing_comes_to_any_more_is_deleted(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    await declare(await broker.channel(), in_lane(AFTER))
    queue = inlet(BEFORE).queue
    patient = succession(amqp_url)
    await patient.turn()
    await patient.turn()
    assert await queue_states(broker, [queue])
    # Killed before the deletion: whoever looks next does it.
    dying = succession(amqp_url, settle_s=0.0, fail_points="succession.before_delete:raise:1")
    with pytest.raises(FailPointHit):
        await dying.turn()
    assert await queue_states(broker, [queue])
    assert await taking(dying, AFTER)
    assert not await queue_states(broker, [queue])
    assert await taking(patient, AFTER)
