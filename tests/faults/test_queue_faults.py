"""F17, F18, F20, F21, F25: a queue goes, changes, is cut off, fills up or holds poison."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from broker.topology import (
    LANES,
    event_queue,
    events_exchange,
    inbound_exchange,
    inbound_queue,
    subscriber_queue,
)
from canonical.codec import encode
from tests.amqp_wire import MESSAGE_ID, RawPublisher
from tests.faults.administrator import Administrator, administrator
from tests.faults.business import EFFECTS, EVENT, KIND, Order
from tests.faults.conftest import Running, is_full
from tests.faults.evidence import DEADLINE_S, WITNESS
from tests.faults.invariants import SLACK, UNREADY_S
from tests.faults.load import Sent, Size
from tests.faults.world import World, until

# What becomes of the messages on their way counts here, not their number.
SIZE = Size(rate=50, seconds=8, keys=40, judged_again=is_full())
# Little enough for a shared machine to keep up with, where the times of messages are compared.
GENTLE = Size(rate=20, seconds=20, keys=40, judged_again=is_full())
BACK_S = 15.0
OUTAGE_S = 20.0 if is_full() else 1.0
SOURCE = "source-2"
QUEUE = inbound_queue(SOURCE, KIND, "standard")


async def reconnects(world: World) -> float:
    """Connections made anew by all instances since they started."""
    name = "layshaft_amqp_reconnects_total"
    return sum([(await i.metrics()).get(name, 0) for i in world.instances])


async def is_consumed(world: World, queue: str) -> bool:
    """Whether every instance consumes the queue."""
    return (await world.queues())[queue].consumers == len(world.instances)


@pytest.mark.fault("F17", quick=False)
async def test_f17_a_deleted_queue_is_consumed_again_and_stops_no_other(run: Running) -> None:
    """It is back within seconds; then somebody else has its name, and it stays away for longer."""
    size = msgspec.structs.replace(GENTLE, rate=15, seconds=OUTAGE_S + 20)
    async with run(size=size) as world:
        await world.start()
        await world.warm_up()
        connections_before = await reconnects(world)
        async with administrator(world.servers) as admin, world.load() as load:
            await load.passes(20)
            await take_away(world, admin)
            world.injected(f"{QUEUE} deleted")
            began = time.monotonic()
            others = len([w for w in world.journal().applied if not from_source(world, w.key)])
            await until(lambda: is_back(world), "consumed again", BACK_S * SLACK)
            world.figures["back_s"] = round(time.monotonic() - began, 1)
            # The other queues of the same connection went on meanwhile.
            await until(lambda: have_grown(world, others), "work of the others", BACK_S)
            await world.recovers("the queue was deleted", BACK_S, sources=[SOURCE])
            async with (
                world.spared("other sources", is_of_another_source),
                world.unwell("queue away", names=QUEUE, logs="queue not consumed") as watch,
            ):
                await take_away(world, admin)
                await admin.occupy(QUEUE)
                world.injected(f"{QUEUE} deleted, its name taken")
                await watch.showed()
                await asyncio.sleep(OUTAGE_S)
                await admin.delete(QUEUE)
            await world.recovers(
                "the name was free", BACK_S, sources=[SOURCE], ended_at=watch.ended_at
            )
        assert await reconnects(world) == connections_before
        assert "queues were lost" in world.service.log.read_text()
        found = await world.judge()
        assert not found.parked


async def take_away(world: World, admin: Administrator) -> None:
    """The queue is gone, and with it nothing that nobody has got yet: its source was told so."""
    await admin.unbind(QUEUE, inbound_exchange(SOURCE), f"{KIND}.#")

    async def is_empty() -> bool:
        return not (await world.queues())[QUEUE].ready

    await until(is_empty, f"{QUEUE} is empty", DEADLINE_S)
    await admin.delete(QUEUE)


def is_of_another_source(sent: Sent) -> bool:
    return sent.source != SOURCE


def from_source(world: World, key: str) -> bool:
    return any(s.source == SOURCE for s in world.sent if s.order.key == key)


async def have_grown(world: World, before: int) -> bool:
    applied = [w for w in world.journal().applied if not from_source(world, w.key)]
    return len(applied) > before


async def is_back(world: World) -> bool:
    async with administrator(world.servers) as admin:
        try:
            declared = await admin.channel.declare_queue(QUEUE, passive=True)
        except Exception:  # not there: the channel is gone with it
            return False
        return declared.declaration_result.consumer_count == len(world.instances)


@pytest.mark.fault("F18", quick=False)
async def test_f18_a_queue_declared_otherwise_is_told_by_its_lane_and_stops_nothing(
    run: Running,
) -> None:
    async with run(size=GENTLE) as world:
        await world.start()
        await world.warm_up()
        connections_before = await reconnects(world)
        async with administrator(world.servers) as admin, world.load() as load:
            await load.passes(20)
            async with (
                world.spared("other sources", is_of_another_source),
                world.unwell(
                    "queue of other type", names=QUEUE, logs="queue declared otherwise"
                ) as watch,
            ):
                await take_away(world, admin)
                await admin.declare(QUEUE, {"x-queue-type": "classic"})
                await admin.bind(QUEUE, inbound_exchange(SOURCE), f"{KIND}.#")
                world.injected(f"{QUEUE} declared as a classic one")
                await watch.showed()
                # It is consumed all the same.
                await until(lambda: is_consumed(world, QUEUE), "consumed", BACK_S * SLACK)
                await world.recovers("the queue changed", BACK_S, sources=[SOURCE])
                # Whoever did it takes it back, once it is empty; the service declares its own.
                await take_away(world, admin)
            await world.recovers(
                "the queue went", BACK_S, sources=[SOURCE], ended_at=watch.ended_at
            )
        lanes = {cause.partition(":")[0] for cause in watch.illness.causes}
        assert lanes == {"lane standard"}
        assert await reconnects(world) == connections_before
        found = await world.judge()
        assert not found.parked


@pytest.mark.fault("F20", quick=True)
async def test_f20_events_that_no_queue_takes_stay_until_one_does(run: Running) -> None:
    async with run(size=SIZE) as world:
        await world.start()
        await world.warm_up()
        # The foreign subscriber's go first and come back last: while only his are there, an event
        # counts as published that our own queue did not get (ARCHITECTURE, limits).
        *lanes, spared = LANES
        bindings = [
            *((subscriber_queue(WITNESS), events_exchange(lane)) for lane in lanes),
            *((event_queue(EVENT, lane), events_exchange(lane)) for lane in lanes),
        ]
        async with administrator(world.servers) as admin, world.load() as load:
            await load.passes(20)
            async with (
                world.spared("the lane that is bound", lambda sent: sent.order.lane == spared),
                world.unwell("no binding", names="returned", logs="returned") as watch,
            ):
                for queue, exchange in bindings:
                    await admin.unbind(queue, exchange, EVENT)
                world.injected("all bindings of two lanes removed")
                await watch.showed()
                await asyncio.sleep(OUTAGE_S)
                # Nothing that nobody got is taken for sent.
                assert (await world.column("select count(*) from outbox"))[0] > 0
                assert (await world.service.metrics())["layshaft_amqp_returned_total"] > 0
                for queue, exchange in reversed(bindings):
                    await admin.bind(queue, exchange, EVENT)
            await world.recovers("the bindings are back", UNREADY_S, ended_at=watch.ended_at)
        await world.judge()
        events = await world.column("select count(*) from message where direction = 'out'")
        # He is no subscriber while he has no binding, and gets nothing that was not sent.
        assert set(await world.witnessed()) <= {s.order.effect_id for s in world.sent}
        assert events == [len(world.sent)]


@asynccontextmanager
async def objects_locked(database_url: str, keys: Collection[str]) -> AsyncIterator[None]:
    """Events of these objects wait, if they were seen before: somebody else holds the rows of their
    order."""
    connection = await asyncpg.connect(database_url, timeout=DEADLINE_S)
    try:
        async with connection.transaction():
            await connection.execute(
                "select from flow_order where scope = $1 and key = any($2) for update",
                EFFECTS.scope,
                list(keys),
            )
            yield
    finally:
        await connection.close()


@pytest.mark.fault("F21", quick=False)
async def test_f21_a_full_queue_refuses_and_its_events_wait(run: Running) -> None:
    full, queue = 50, event_queue(EVENT, "critical")
    # Few keys: all of them are seen by the end of the warm-up.
    async with run(size=msgspec.structs.replace(SIZE, rate=75, keys=20)) as world:
        world.change(fill_the_critical_lane)
        await world.start()
        await world.warm_up()
        async with administrator(world.servers) as admin, world.load() as load:
            await admin.restrict(f"^{queue}$", **{"max-length": full})
            keys = {s.order.key for s in load.ledger if s.order.lane == "critical"}
            await load.passes(20)
            async with (
                world.spared("the other lane", lambda sent: sent.order.lane != "critical"),
                world.unwell("full queue", names="nacked", logs="nacked") as watch,
                objects_locked(world.servers.database_url, keys),
            ):
                # The lane hardly goes on, so its queue fills up; orders still come in.
                await until(lambda: is_refusing(world), "the queue refuses", 60)
                world.injected(f"{queue} is full")
                await watch.showed()
            await world.recovers("the lane works again", UNREADY_S, ended_at=watch.ended_at)
            await admin.lift()
            assert load.count("refused") == 0
        await world.judge()


def fill_the_critical_lane(order: Order) -> Order:
    """It takes what is standard too."""
    is_standard = order.lane == "standard"
    return msgspec.structs.replace(order, lane="critical") if is_standard else order


async def is_refusing(world: World) -> bool:
    refused = "select count(*) from outbox"
    return bool((await world.column(refused))[0] > 0) and "nacked" in world.service.log.read_text()


@pytest.mark.fault("F25", quick=True)
async def test_f25_poison_on_the_protocol_level_is_one_case_with_its_bytes(run: Running) -> None:
    async with run(size=SIZE) as world:
        await world.start()
        await world.warm_up()
        connections_before = await reconnects(world)
        poison = Order(id="poison", key="poison", version=1, effect_id="poison")
        body = encode(poison)
        async with world.load() as load, RawPublisher.connect(world.servers.amqp_url) as raw:
            await load.passes(50)
            async with world.spared("its neighbours", lambda sent: sent.order is not poison):
                await raw.publish(
                    QUEUE.encode(), body, flag=MESSAGE_ID, properties=b"\x03a\xff\xfe"
                )
                world.written.append(Sent(SOURCE, poison, "confirmed", at=time.time()))
                world.injected("message_id of invalid UTF-8")
                await world.recovers("the poison", BACK_S, sources=[SOURCE])
                await load.passes(50)
        found = await world.judge()
        assert found.parked == {poison.effect_id}
        assert len(found.applied) == len(world.sent) - 1
        assert await reconnects(world) == connections_before
        kept = await world.column(
            "select m.body from exception_case c"
            " join message m on m.at = c.message_at and m.seq = c.message_seq"
        )
        assert kept == [body]
        assert await world.column("select code from exception_case") == ["amqp-property"]
