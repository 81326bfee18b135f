"""Partitions on a real broker and database: dealt out, left, changed while messages come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, FieldValue
from msgspec.structs import replace

from broker import connections
from broker.consumer import Inlet
from broker.dealer import Dealer
from broker.failpoints import FailPointHit, FailPoints
from broker.intake import Arrival
from broker.partitions import Ring
from broker.rings import Rings, change_partitions
from broker.store import partitions as rows
from broker.topology import (
    LANES,
    EventTopology,
    SubscriberTopology,
    Topology,
    declare,
    event_queue,
    events_exchange,
    headers_for,
    queue_states,
    topology,
)
from tests.integration.test_consumer import consuming
from tests.integration.toy import DEADLINE_S, Bench, bench_on, until

EVENT = "supplier.changed"
LEASE_S = 1.0


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection; nothing of EVENT is left from an earlier test."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for lane in LANES:
            await channel.queue_delete(event_queue(EVENT, lane))
            for number in range(1, 5):
                made = Ring(EVENT, number, 8, "gone")
                for queue in made.queues(lane):
                    await channel.queue_delete(queue)
                await channel.exchange_delete(made.exchange(lane))
        await declare(channel, wanted(()))
        await (await channel.get_queue("out.witness")).purge()
        yield connection


def wanted(rings: Sequence[Ring]) -> Topology:
    """The topology of one event of ours."""
    return topology(
        [],
        [EventTopology(EVENT, rings=tuple(rings))],
        [SubscriberTopology("witness", (EVENT,))],
    )


async def declare_on(connection: AbstractConnection, rings: Sequence[Ring]) -> None:
    channel = await connection.channel()
    await declare(channel, wanted(rings))
    await channel.close()


def split(
    bench: Bench, connection: AbstractConnection, partitions: int, *, fail_points: str = ""
) -> asyncio.Task[Ring]:
    """The command's work."""
    return asyncio.create_task(
        change_partitions(
            bench.database,
            event=EVENT,
            partitions=partitions,
            declare=partial(declare_on, connection),
            actor="tester",
            fail_points=FailPoints.parse(fail_points),
        )
    )


def upkeep(
    bench: Bench, connection: AbstractConnection, amqp_url: str, *, fail_points: str = ""
) -> Rings:
    """What a process does about rings, without waiting in between."""
    return Rings(
        database=bench.database,
        amqp_url=amqp_url,
        heartbeat_s=10,
        within_s=DEADLINE_S,
        declare=partial(declare_on, connection),
        fail_points=FailPoints.parse(fail_points),
        settle_s=0.0,
    )


async def publish(
    connection: AbstractConnection, keys: Iterable[str], lane: str = "standard"
) -> None:
    """An event about each key; fails where no queue takes it."""
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.get_exchange(f"layshaft.events.{lane}", ensure=False)
    for n, key in enumerate(keys):
        headers: dict[str, FieldValue] = {**headers_for({"subject": key})}
        message = aio_pika.Message(f"{n}".encode(), headers=headers)
        await exchange.publish(message, EVENT, timeout=DEADLINE_S)
    await channel.close()


async def taken(connection: AbstractConnection, queues: Iterable[str]) -> dict[str, list[str]]:
    """What lies in these queues, by queue: the keys, in order; taken out of them."""
    return {
        name: [str(m.headers["ce-subject"]) for m in await left_in(connection, name)]
        for name in queues
    }


async def left_in(connection: AbstractConnection, name: str) -> list[AbstractIncomingMessage]:
    """What lies in the queue, taken out of it."""
    channel = await connection.channel()
    queue = await channel.declare_queue(name, passive=True)
    found: list[AbstractIncomingMessage] = []
    async with asyncio.timeout(DEADLINE_S), queue.iterator(no_ack=True) as messages:
        for _ in range(queue.declaration_result.message_count or 0):
            found.append(await anext(messages))
    await channel.close()
    return found


async def states(bench: Bench) -> list[str]:
    return await bench.column("select state from ring order by number")


async def put(bench: Bench, partitions: int) -> Ring:
    """A current ring, as far as the rows are concerned."""
    async with bench.database.transaction() as tx:
        made = await rows.plan_ring(tx, EVENT, partitions)
        await rows.make_current(tx, made)
    return replace(made, state="current")


# Dealt out


def dealer(
    bench: Bench, *, lease_s: float = 30.0, attached: Sequence[str] = (), fail_points: str = ""
) -> Dealer:
    """A process's share of the standard lane; it leaves at once what it is to give back."""
    made = Dealer(
        lane="standard",
        events=[EVENT],
        database=bench.database,
        lease_s=lease_s,
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
    )
    made.attached = lambda: attached
    return made


async def dealt(dealers: Sequence[Dealer], *, turns: int = 4) -> list[int]:
    """How many each has after some turns of all; no queue is with two at any time."""
    for _ in range(turns):
        for each in dealers:
            await each.turn()
            counts = Counter(queue for other in dealers for queue in other.share)
            assert not counts or max(counts.values()) == 1
    return sorted(len(each.share) for each in dealers)


async def test_partitions_are_shared_evenly_by_whoever_is_there(bench: Bench) -> None:
    await put(bench, 8)
    one, two, three = (dealer(bench) for _ in range(3))
    assert await dealt([one]) == [8]
    assert await dealt([one, two, three]) == [2, 3, 3]
    await two.leave()
    assert await dealt([one, three]) == [4, 4]


async def test_what_a_dead_process_had_is_free_when_its_lease_ends(bench: Bench) -> None:
    await put(bench, 4)
    dead, living = dealer(bench, lease_s=LEASE_S), dealer(bench, lease_s=LEASE_S)
    assert await dealt([dead, living]) == [2, 2]

    async def has_all() -> bool:
        await living.turn()
        # Not before nobody can take it for its own any more.
        assert not set(living.share) & set(dead.share)
        return len(living.share) == 4

    await until(has_all, "the living one has all")
    assert dead.share == {}


async def test_one_that_was_held_still_has_lost_what_others_took(bench: Bench) -> None:
    await put(bench, 4)
    held = dealer(bench, lease_s=LEASE_S)
    await held.turn()
    assert len(held.share) == 4
    await asyncio.sleep(LEASE_S)
    other = dealer(bench, lease_s=LEASE_S)
    await other.turn()
    assert len(other.share) == 4
    await held.turn()
    assert held.share == {}


async def test_nothing_is_given_back_before_it_is_left(bench: Bench) -> None:
    await put(bench, 2)
    attached: list[str] = []
    one, two = dealer(bench, attached=attached), dealer(bench)
    await one.turn()
    attached += one.share
    await two.turn()
    await one.turn()
    assert len(one.share) == 1
    await two.turn()
    assert two.share == {}
    attached[:] = one.share
    await one.turn()
    await two.turn()
    assert [len(one.share), len(two.share)] == [1, 1]


async def test_without_partitions_nothing_is_written(bench: Bench) -> None:
    idle = dealer(bench)
    await idle.turn()
    assert await bench.count("replica") == 0


# Left


async def test_a_queue_that_is_left_is_acknowledged_and_nothing_of_it_comes_twice(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    made = await put(bench, 1)
    await declare_on(broker, [made])
    (queue,) = made.queues("standard")
    share, arrived = [Inlet(queue, "layshaft", EVENT, ours=True)], list[Arrival]()
    begun, may_commit = list[Arrival](), asyncio.Event()

    async def take(arrivals: Sequence[Arrival]) -> None:
        begun.extend(arrivals)
        await may_commit.wait()
        arrived.extend(arrivals)

    await publish(broker, [f"key/{n}" for n in range(40)])
    async with consuming(
        bench, amqp_url, take=take, inlets=(), dealt=lambda: share, prefetch=30, batch=10
    ) as consumer:

        async def has_all_it_may() -> bool:
            # The first batch is as large as what had come when it was begun.
            return bool(begun) and len(begun) + consumer.backlog == 30

        await until(has_all_it_may, "a batch is being decided, the others wait")
        share.clear()
        consumer.look_again()
        await asyncio.sleep(0.2)
        assert consumer.attached == {queue}
        may_commit.set()

        async def is_left() -> bool:
            return not consumer.attached

        await until(is_left, "the queue is left")
        assert len(arrived) == 30
    left = await left_in(broker, queue)
    assert [message.redelivered for message in left] == [False] * 10


async def test_a_queue_that_is_dealt_again_is_taken_again(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    made = await put(bench, 1)
    await declare_on(broker, [made])
    (queue,) = made.queues("standard")
    share, count = [Inlet(queue, "layshaft", EVENT, ours=True)], [0]

    async def take(arrivals: Sequence[Arrival]) -> None:
        count[0] += len(arrivals)

    @asynccontextmanager
    async def without(consumer_look_again: Callable[[], None]) -> AsyncIterator[None]:
        kept, share[:] = list(share), []
        consumer_look_again()
        yield
        share[:] = kept
        consumer_look_again()

    async with consuming(bench, amqp_url, take=take, inlets=(), dealt=lambda: share) as consumer:

        async def is_attached(expected: bool) -> bool:
            return bool(consumer.attached) is expected

        await until(lambda: is_attached(True), "taken")
        async with without(consumer.look_again):
            await until(lambda: is_attached(False), "left")
            await publish(broker, ["key/1"])
        await until(lambda: is_attached(True), "taken again")

        async def has_come() -> bool:
            return count[0] == 1

        await until(has_come, "what came meanwhile is taken")
        assert consumer.trouble == ""


# Changed


async def test_messages_of_a_key_go_to_one_partition_and_all_partitions_are_used(
    bench: Bench, broker: AbstractConnection
) -> None:
    made = await split(bench, broker, 4)
    keys = [f"key/{n}" for n in range(100)]
    await publish(broker, [*keys, *keys])
    found = await taken(broker, made.queues("standard"))
    assert sum(map(len, found.values())) == 200
    assert all(found.values())
    for queue, its_keys in found.items():
        for other, others_keys in found.items():
            assert queue == other or not set(its_keys) & set(others_keys)
    # A foreign subscriber gets each of them once.
    witness = await taken(broker, ["out.witness"])
    assert len(witness["out.witness"]) == 200


async def test_each_lane_has_partitions_of_its_own(
    bench: Bench, broker: AbstractConnection
) -> None:
    made = await split(bench, broker, 2)
    for lane in LANES:
        await publish(broker, [f"key/{lane}"], lane)
        found = await taken(broker, made.queues(lane))
        assert sum(map(len, found.values())) == 1


async def test_another_number_is_another_ring_and_the_old_one_drains(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    keeper = upkeep(bench, broker, amqp_url)
    keys = [f"key/{n}" for n in range(30)]
    await publish(broker, keys)
    first = await split(bench, broker, 2)
    await publish(broker, keys)
    second = await split(bench, broker, 3)
    await publish(broker, keys)
    assert await states(bench) == ["draining", "current"]
    alone = event_queue(EVENT, "standard")
    held = await queue_states(
        broker, [alone, *first.queues("standard"), *second.queues("standard")]
    )
    assert held[alone].messages == 30
    assert sum(held[q].messages for q in first.queues("standard")) == 30
    assert sum(held[q].messages for q in second.queues("standard")) == 30
    await keeper.turn()
    assert await states(bench) == ["draining", "current"]
    await taken(broker, first.queues("standard"))
    await keeper.turn()
    assert await states(bench) == ["closing", "current"]
    await keeper.turn()
    assert await states(bench) == ["gone", "current"]
    assert await queue_states(broker, first.queues("standard")) == {}
    audit = await bench.column("select detail ->> 'partitions' from audit order by at")
    assert audit == ["2", "3"]


async def test_a_queue_somebody_still_takes_is_not_deleted(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    keeper = upkeep(bench, broker, amqp_url)
    first = await split(bench, broker, 1)
    await split(bench, broker, 1)
    (queue,) = first.queues("standard")
    channel = await broker.channel()
    await channel.set_qos(prefetch_count=1)
    got: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await (await channel.get_queue(queue, ensure=False)).consume(got.put)
    # Published past the ring, as what was under way when it was cut.
    await (await broker.channel()).default_exchange.publish(aio_pika.Message(b"late"), queue)
    async with asyncio.timeout(DEADLINE_S):
        await got.get()
    for _ in range(3):
        await keeper.turn()
    assert await states(bench) == ["closing", "current"]
    # Who had it goes without a word: it is there again, and is taken.
    await channel.close()

    async def drains() -> bool:
        await keeper.turn()
        return await states(bench) == ["draining", "current"]

    await until(drains, "it drains again")


@pytest.mark.parametrize("point", ["partitions.after_plan", "partitions.after_switch"])
async def test_a_change_that_is_broken_off_loses_nothing_and_is_carried_out_or_forgotten(
    bench: Bench, broker: AbstractConnection, amqp_url: str, point: str
) -> None:
    keeper = upkeep(bench, broker, amqp_url)
    await keeper.turn()
    with pytest.raises(FailPointHit):
        await split(bench, broker, 2, fail_points=f"{point}:raise:1")
    alone = event_queue(EVENT, "standard")
    await publish(broker, ["key/1"])
    assert (await queue_states(broker, [alone]))[alone].messages == 1
    await keeper.turn()
    await publish(broker, ["key/2"])
    made = Ring(EVENT, 1, 2, "current")
    is_carried_out = point == "partitions.after_switch"
    assert await states(bench) == ["current" if is_carried_out else "planned"]
    found = await queue_states(broker, [alone, *made.queues("standard")])
    assert found[alone].messages == (1 if is_carried_out else 2)
    if not is_carried_out:
        await bench.execute("update ring set changed_at = now() - interval '2 hours'")
        await keeper.turn()
        assert await states(bench) == ["gone"]


@pytest.mark.parametrize(
    ("point", "are_left"), [("partitions.before_delete", True), ("partitions.after_delete", False)]
)
async def test_a_deletion_that_is_broken_off_is_made_again(
    bench: Bench, broker: AbstractConnection, amqp_url: str, point: str, are_left: bool
) -> None:
    first = await split(bench, broker, 2)
    await split(bench, broker, 2)
    await upkeep(bench, broker, amqp_url).turn()
    dying = upkeep(bench, broker, amqp_url, fail_points=f"{point}:raise:1")
    with pytest.raises(FailPointHit):
        await dying.turn()
    left = first.queues("standard") if are_left else ()
    assert set(await queue_states(broker, first.queues("standard"))) == set(left)
    assert await states(bench) == ["closing", "current"]
    await upkeep(bench, broker, amqp_url).turn()
    assert await queue_states(broker, first.queues("standard")) == {}
    assert await states(bench) == ["gone", "current"]


async def test_our_own_connection_can_do_all_of_it(amqp_url: str, broker: object) -> None:
    connection = await connections.connect(amqp_url, heartbeat_s=10, within_s=DEADLINE_S)
    try:
        made = Ring(EVENT, 4, 1, "current")
        await declare(await connection.channel(), wanted([made]))
        assert set(await queue_states(connection, made.queues("critical"))) == set(
            made.queues("critical")
        )
        assert events_exchange("critical") == "layshaft.events.critical"
    finally:
        await connections.close(connection, within_s=DEADLINE_S)
