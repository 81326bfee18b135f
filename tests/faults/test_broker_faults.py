"""F11 to F13, F15, F16, F19, F22: faults that strike a whole RabbitMQ node, on one of their own.

The service enters as a user of its own, so that its connections can be told from the sources'.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise

import aio_pika
import asyncpg
import msgspec
import pytest

from broker.topology import DEAD, DELIVERY_LIMIT, LANES, inbound_queue
from ops.stack import management
from tests.faults.administrator import Administrator, administrator
from tests.faults.business import KIND, Order
from tests.faults.conftest import Running, is_full
from tests.faults.database import SESSIONS
from tests.faults.evidence import DEADLINE_S
from tests.faults.health import sampled
from tests.faults.invariants import SLACK, Effort, Recovery
from tests.faults.load import Load, Size
from tests.faults.nodes import SERVICE_USER, PrivateNode
from tests.faults.world import SETTLE_S, Servers, World, until

RESET_S = 20.0
"""A service that lost its connections works again within this (I6)."""
ALARM_S = 60.0 if is_full() else 15.0
CLOSE_EVERY_S = 2.0
CLOSING_S = 60.0 if is_full() else 10.0
# The time of the fault counts here, not the volume.
SIZE = Size(rate=50, seconds=10, keys=100, judged_again=is_full())


NO_LANE_SPARED = {"I5": "RabbitMQ is away for every lane"}


@pytest.fixture
def private(node: PrivateNode, database_url: str) -> Servers:
    """The usual database, and a virtual host on the module's own node."""
    return node.servers(database_url)


async def received(world: World, queue: str) -> int:
    """Deliveries taken from a queue by all instances since they started."""
    return int(await sampled(world.instances, "layshaft_messages_received_total", queue=queue))


async def outbox(world: World) -> int:
    """Events that are not known to be out."""
    return int((await world.column("select count(*) from outbox"))[0])


def delay(world: World, until_s: float) -> None:
    """A tenth of the orders can be decided only then, so that events come without deliveries."""

    def delayed(order: Order) -> Order:
        late = order.id.endswith("0")
        return msgspec.structs.replace(order, not_before=until_s) if late else order

    world.change(delayed)


@pytest.mark.fault("F11", quick=False)
async def test_f11_connections_closed_again_and_again(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    size = msgspec.structs.replace(SIZE, rate=10, seconds=CLOSING_S + 30, instances=2)
    async with run(size=size, servers=private) as world:
        await world.start()
        await world.warm_up()
        async with administrator(world.servers) as admin, world.load() as load:
            await load.passes(20)
            await closed_while_deciding(world, admin, load)
            began = time.monotonic()
            while time.monotonic() < began + CLOSING_S:
                await admin.close_connections(SERVICE_USER)
                world.injected("all connections of the service closed")
                await asyncio.sleep(CLOSE_EVERY_S)
            await world.recovers("connections were closed", RESET_S)
        await world.settled()
        await require_below_the_delivery_limit(world)
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked
        # What reached the limit all the same came back through the dead letters and was healthy.
        assert await world.column("select code from exception_case") == []
        for instance in world.instances:
            assert "CancelledError" not in instance.log.read_text()
        require_no_herd(node, connections=len(LANES) * len(world.instances))


async def closed_while_deciding(world: World, admin: Administrator, load: Load) -> None:
    """Batches are in their transactions while the connections are closed. They are committed all
    the same, for what comes again of them is known: no order was repeated before. (An event is,
    where another instance took it along.)"""

    async def wait() -> bool:
        [waiting] = await world.column(
            f"select count(*) from pg_stat_activity where {SESSIONS} and wait_event_type = 'Lock'"
        )
        return bool(waiting)

    async def are_known() -> bool:
        [repeats] = await world.column(
            "select count(*) from duplicate where subscription = 'fault-orders'"
        )
        return bool(repeats)

    async with intake_locked(world):
        await until(wait, "a batch is being decided", 60)
        # So that there are orders among what is being decided.
        await load.passes(10)
        assert not await are_known()
        await admin.close_connections(SERVICE_USER)
        world.injected("all connections of the service closed over batches being decided")

    await until(are_known, "what was being decided comes again and is known", RESET_S * SLACK)


async def require_below_the_delivery_limit(world: World) -> None:
    """No message got there that was through before as many closings as that takes.

    A closing counts once for each instance at most: the next one takes the queue and is closed too.
    Where the service cannot keep up with the closings, a healthy message may reach the limit.
    """
    applied_at = world.journal().applied_at
    slowest_s = max(applied_at[s.order.effect_id] - s.at for s in world.sent
                    if s.order.effect_id in applied_at)  # fmt: skip
    dead_letters = await received(world, DEAD)
    world.figures |= {"dead_letters": dead_letters, "slowest_s": round(slowest_s, 1)}
    if slowest_s < DELIVERY_LIMIT * CLOSE_EVERY_S / len(world.instances):
        assert dead_letters == 0


def require_no_herd(node: PrivateNode, connections: int) -> None:
    """After each closing the connections came back one after the other, not all in one moment."""
    pattern = rf"^(\S+ \S+) \[info\].* user '{SERVICE_USER}' authenticated"
    times = [
        datetime.fromisoformat(at).timestamp()
        for at in re.findall(pattern, node.node.log.read_text(), re.MULTILINE)
    ]
    gaps = [later - earlier for earlier, later in pairwise(times[connections:])]
    together = sum(gap < 0.005 for gap in gaps)
    assert len(gaps) > connections
    assert together < len(gaps) / 2, f"{together} of {len(gaps)} reconnects came at once"


@pytest.mark.fault("F12", quick=False)
async def test_f12_the_broker_is_stopped_and_comes_back(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    """The health pages stand for everything the service serves: they answer all the time."""
    outage_s = 30.0
    async with run(size=SIZE, servers=private) as world:
        await world.start()
        await world.warm_up()
        delay(world, time.time() + 25)
        async with world.load() as load:
            await load.passes(100)
            async with world.unwell("broker stopped", names="RabbitMQ", logs="consumer lost") as w:
                began = time.monotonic()
                await node.control("stop_app")
                world.injected("stop_app")
                await w.showed()
                await until(lambda: outbox_is(world, grown=True), "events wait", outage_s * 2)
                await world.idles("broker stopped", 10)
                await asyncio.sleep(max(began + outage_s - time.monotonic(), 0))
                world.efforts.append(connecting(world, time.monotonic() - began))
                await node.control("start_app")
            await world.recovers("start_app", RESET_S, ended_at=w.ended_at)
        await world.judge(not_applicable=NO_LANE_SPARED)


async def outbox_is(world: World, *, grown: bool) -> bool:
    return (await outbox(world) > 0) == grown


def connecting(world: World, outage_s: float) -> Effort:
    """Tries to consume again; each waits half a second at the mean, or longer."""
    tries = sum(i.log.read_text().count("consumer lost") for i in world.instances)
    probes = round(len(LANES) * len(world.instances) * outage_s * 2)
    return Effort(what="connections", attempts=tries, offered=0, probes=probes)


@pytest.mark.fault("F13", quick=False)
async def test_f13_the_broker_is_killed_in_the_middle_of_confirms(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    async with run(size=SIZE, servers=private) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 3)
            async with world.unwell("broker killed", names="RabbitMQ", logs="consumer lost") as w:
                await node.kill()
                world.injected("SIGKILL to RabbitMQ")
                await w.showed()
                await node.start_again()
            await world.recovers("RabbitMQ started", RESET_S, ended_at=w.ended_at)
        await world.judge(not_applicable=NO_LANE_SPARED)


@asynccontextmanager
async def intake_locked(world: World) -> AsyncIterator[None]:
    """Nothing is taken in, so that deliveries wait for their acknowledgement."""
    connection = await asyncpg.connect(world.servers.database_url, timeout=DEADLINE_S)
    try:
        async with connection.transaction():
            await connection.execute("lock table inbox in share mode")
            yield
    finally:
        await connection.close()


async def alarmed(world: World, node: PrivateNode, on: list[str], off: list[str]) -> None:
    """Publishers are blocked for a while; what has been delivered is acknowledged meanwhile.

    The relay stops when RabbitMQ says that it blocks, so the socket does not fill up: what it holds
    then is bounded by the confirm deadline, which its own tests show.
    """
    vhost = management.vhost_name(world.servers.amqp_url)

    async def unacknowledged() -> int:
        return await asyncio.to_thread(
            management.unacknowledged, world.servers.management_url, vhost
        )

    async def is_acknowledged() -> bool:
        ready = any(q.ready for q in (await world.queues()).values())
        return not ready and await unacknowledged() == 0

    async def waits() -> bool:
        return await unacknowledged() > 0

    await world.start()
    await world.warm_up()
    delay(world, time.time() + 30)
    async with world.load() as load:
        async with world.unwell(" ".join(on), names="blocks", logs="blocks") as watch:
            async with intake_locked(world):
                await load.passes(50)
                await until(waits, "deliveries wait for their acknowledgement", 60)
                began = time.monotonic()
                await node.control(*on)
                world.injected(" ".join(on))
            await until(is_acknowledged, "acknowledged under the alarm", 60)
            await until(lambda: outbox_is(world, grown=True), "events wait", 60)
            await watch.showed()
            await world.idles("publishers blocked", 10)
            await asyncio.sleep(max(began + ALARM_S - time.monotonic(), 0))
            assert await outbox(world) > 0
            await node.control(*off)
        await world.recovers("the alarm is over", RESET_S, ended_at=watch.ended_at)
    await world.judge(not_applicable={"I5": "RabbitMQ blocks the publishers of every lane"})


@pytest.mark.fault("F15", quick=False)
async def test_f15_disk_alarm_stops_publishers_and_no_acknowledgement(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    async with run(size=SIZE, servers=private) as world:
        await alarmed(
            world, node, ["set_disk_free_limit", "500000GB"], ["set_disk_free_limit", "50MB"]
        )


@pytest.mark.fault("F16", quick=False)
async def test_f16_memory_alarm_stops_publishers_and_no_acknowledgement(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    async with run(size=SIZE, servers=private) as world:
        await alarmed(
            world,
            node,
            ["set_vm_memory_high_watermark", "0"],
            ["set_vm_memory_high_watermark", "0.4"],
        )


@pytest.mark.fault("F19", quick=False)
async def test_f19_a_delivery_held_beyond_the_consumer_timeout(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    """The half hour is cut to 10 s, and looked at each 5 s instead of each minute. One shard of the
    lane holds its batch; the other goes on until what it decided may be acknowledged no more."""
    held_s, timeout_s = 30, 10
    await node.set("consumer_timeout", timeout_s * 1_000)
    await node.set("channel_tick_interval", 5_000)
    try:
        async with run(size=SIZE, servers=private) as world:
            await world.start()
            await world.warm_up()
            await world.arm(f"amqp.delivered:sleep={held_s}:5")
            async with world.load():
                await until(lambda: was_closed(world), "the channel is closed", held_s * SLACK)
                world.injected("a channel closed over a delivery that was not acknowledged")
                # So long at most it is still held: it was for the timeout already.
                await asyncio.sleep(held_s - timeout_s)
                await world.recovers("the delivery was held", RESET_S)
            await world.settled()
            metrics = await world.service.metrics()
            assert metrics["layshaft_inbox_duplicates_total"] >= 1
            found = await world.judge(
                not_applicable={"I5": "all orders come in through the lane that is held"}
            )
            assert not found.parked
    finally:
        await node.set("consumer_timeout", 1_800_000)
        await node.set("channel_tick_interval", 60_000)


async def was_closed(world: World) -> bool:
    return "queues were lost" in world.service.log.read_text()


@pytest.mark.fault("F22", quick=False)
async def test_f22_dead_letters_wait_for_their_queue(
    run: Running, node: PrivateNode, private: Servers
) -> None:
    """While the service runs it declares the queue anew within seconds, unless somebody else has
    taken its name, and says so; letters are to wait longer, so it is ended meanwhile.

    RabbitMQ tries each letter again after 3 minutes, here after 5 s.
    """
    size = Size(rate=50, seconds=3.2, keys=5000, judged_again=is_full())
    await node.set("dead_letter_worker_publisher_confirm_timeout", 5_000)
    async with run(size=size, servers=private) as world:
        await world.start()
        await world.warm_up()
        world.change(lambda order: msgspec.structs.replace(order, fault="refuse"))
        async with administrator(world.servers) as admin:
            async with (
                world.observed("no dead-letter queue"),
                world.unwell("no dead-letter queue", names=DEAD, logs="queues were lost") as watch,
            ):
                await admin.delete(DEAD)
                await admin.occupy(DEAD)
                await watch.showed()
                await admin.delete(DEAD)
            for instance in world.instances:
                assert await instance.terminate() == 0
            await admin.delete(DEAD)
            world.injected(f"{DEAD} deleted")
            async with world.load():
                pass
            queues = [inbound_queue(s, KIND, "standard") for s in size.source_names]
            rejected = await reject_all(world, queues)
            assert rejected == len([s for s in world.sent if s.order.fault])
            await until(lambda: all_held(world, queues, rejected), "the sources keep them", 60)
            began = time.monotonic()
            await world.start()
            await until(lambda: has_cases(world), "a letter arrives", SETTLE_S)
            took_s = time.monotonic() - began
            world.recoveries.append(Recovery("the queue is back", took_s, RESET_S))
        found = await world.judge(
            not_applicable={"I5": "nobody works while the letters wait for their queue"}
        )
        assert found.parked == {s.order.effect_id for s in world.sent if s.order.fault}
        kept = await world.column("select count(*) from exception_case")
        waiting = await world.column("select count(*) from pending where state = 'parked'")
        assert kept[0] + waiting[0] == rejected


async def has_cases(world: World) -> bool:
    return bool(await world.column("select 1 from exception_case limit 1"))


async def reject_all(world: World, queues: list[str]) -> int:
    """Everything in the queues was given up by a consumer; how much it was."""
    rejected = 0
    async with await aio_pika.connect(world.servers.amqp_url, timeout=DEADLINE_S) as connection:
        channel = await connection.channel()
        for name in queues:
            queue = await channel.get_queue(name)
            waiting = queue.declaration_result.message_count or 0
            # Of a queue with one active consumer nobody can get single messages.
            async with queue.iterator(timeout=DEADLINE_S) as messages:
                for _ in range(waiting):
                    await (await anext(messages)).reject(requeue=False)
            rejected += waiting
    return rejected


async def all_held(world: World, queues: list[str], number: int) -> bool:
    async with administrator(world.servers) as admin:
        return sum([await admin.figure(q, "messages_dlx") for q in queues]) == number
