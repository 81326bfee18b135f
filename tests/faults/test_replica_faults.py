"""F61 to F64: replicas that share partitioned events come, go, die and are held still, the number
of partitions changes, and processes that share out roles and lanes die, all under load."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from functools import partial

import msgspec
import pytest

from broker.topology import LANES
from canonical.envelope import Lane
from ops.stack import management
from tests.faults import evidence
from tests.faults.business import EFFECTS, EVENT
from tests.faults.conftest import Running, is_full
from tests.faults.health import sampled
from tests.faults.invariants import SLACK
from tests.faults.load import Size
from tests.faults.service import Instance
from tests.faults.world import World, until

PARTITIONS = 6
SHARED_S = 10.0
"""Until everybody has its even share: leases of a dead one, and a turn or two of each."""
GONE_S = 60.0
LEAST_PART = 1 / 3
"""Of an even share of the work: objects are not as many in each partition."""
STATISTICS_S = 15.0
NO_LANE_SPARED = {"I5": "what comes and goes works for every lane"}
SIZE = Size(rate=100, seconds=36, keys=300, instances=3)
SMALL = Size(rate=50, seconds=24, keys=60, instances=3)
"""Long enough for four processes to be started anew one after the other, on a slow machine too."""
BETWEEN_S = 0.8
"""Of the load, between two faults."""


def size() -> Size:
    """Three replicas, and as much as there is time for."""
    return SIZE if is_full() else SMALL


def between(world: World) -> int:
    """Messages that are sent between two faults."""
    return round(world.size.rate * BETWEEN_S)


async def shares(instances: Sequence[Instance], lane: Lane) -> list[int]:
    """Partitions of the lane that each running one takes."""
    running = [i for i in instances if i.is_at_work]
    return [round(await sampled([i], "layshaft_partitions", lane=lane)) for i in running]


async def shared_evenly(
    world: World, partitions: int, among: Sequence[Instance] | None = None
) -> None:
    """All partitions of each lane are taken, give or take one by everybody alike, or by those."""

    async def are_shared() -> bool:
        found = [await shares(among or world.instances, lane) for lane in LANES]
        return all(sum(its) == partitions and max(its) - min(its) <= 1 for its in found)

    await until(are_shared, "the partitions are shared", SHARED_S * SLACK)


async def decided_by(instance: Instance) -> float:
    """Events that this instance has decided; who takes the sources' queues is another matter."""
    return await sampled([instance], "layshaft_messages_settled_total", handler=EFFECTS.name)


@pytest.mark.fault("F61", quick=True)
async def test_f61_replicas_are_added_removed_and_killed_under_load(run: Running) -> None:
    async with run(size=size()) as world:
        await world.start()
        await world.split(PARTITIONS)
        await shared_evenly(world, PARTITIONS)
        await world.warm_up()
        removed, killed = world.instances[1:]
        part = between(world)
        async with world.load() as load:
            await load.passes(4 * part)
            # Everybody has a part of the work, not only of the queues.
            decided = [await decided_by(i) for i in world.instances]
            assert min(decided) >= LEAST_PART * sum(decided) / len(decided)
            assert await removed.terminate() == 0
            await load.passes(part)
            await killed.kill()
            world.injected(f"{removed.name} was ended, {killed.name} killed")
            died_at = time.time()
            await world.relaunch(removed)
            await load.passes(part)
            await world.relaunch(killed)
            await world.recovers("replicas came and went", SHARED_S, ended_at=died_at)
        await shared_evenly(world, PARTITIONS)
        assert all([await decided_by(i) > 0 for i in world.instances])
        await world.judge(not_applicable=NO_LANE_SPARED)


@pytest.mark.fault("F62", quick=True)
async def test_f62_the_number_of_partitions_changes_under_load(run: Running) -> None:
    async with run(size=size()) as world:
        await world.start()
        await world.split(PARTITIONS)
        await shared_evenly(world, PARTITIONS)
        await world.warm_up()
        part = between(world)
        async with world.load() as load:
            for partitions in (3, 8, PARTITIONS):
                await load.passes(part)
                await world.split(partitions)
                world.injected(f"{EVENT} has {partitions} partitions")
            await world.recovers("the last change", SHARED_S)
        await shared_evenly(world, PARTITIONS)
        await world.settled()

        async def are_gone() -> bool:
            found = await world.column("select state from ring order by number")
            return found == ["gone", "gone", "gone", "current"]

        await until(are_gone, "what nothing comes to is deleted", GONE_S * SLACK)
        await world.judge(not_applicable=NO_LANE_SPARED)


async def waiting_by_ring(world: World) -> dict[int, int]:
    """Events that wait in the partitions of each ring, by its number."""
    queues = await world.queues()
    return {
        ring.number: sum(queues[name].ready for lane in LANES for name in ring.queues(lane))
        for ring in await evidence.rings(world.servers.database_url)
    }


@pytest.mark.fault("F62", quick=False)
async def test_f62_what_waits_in_two_rings_is_decided_in_order(run: Running) -> None:
    shared = (("translate,dispatch,upkeep", ""), ("decide", ""), ("decide", ""))
    async with run(size=size(), shares=shared) as world:
        await world.start()
        _, *deciders = world.instances
        await world.split(PARTITIONS)
        await shared_evenly(world, PARTITIONS, among=deciders)
        await world.warm_up()
        part = between(world)
        async with world.load() as load:
            await load.passes(part)
            for decider in deciders:
                assert await decider.terminate() == 0
            await load.passes(part)
            await world.split(PARTITIONS // 2)
            world.injected(f"{EVENT} has other partitions while nobody decides")
            await load.passes(part)
            waiting = await waiting_by_ring(world)
            assert min(waiting.values()) > 0, waiting
            began_at = time.time()
            for decider in deciders:
                await world.relaunch(decider)
            await world.recovers("they are back", SHARED_S, ended_at=began_at)
        await shared_evenly(world, PARTITIONS // 2, among=deciders)
        await world.judge(not_applicable=NO_LANE_SPARED)


async def has_some_in_hand(world: World) -> bool:
    """Somebody has deliveries that are not acknowledged: who is held still, if nobody else waits.
    The broker's statistics are some seconds old."""
    servers = world.servers
    vhost = management.vhost_name(servers.amqp_url)
    return management.unacknowledged(servers.management_url, vhost) > 0


@pytest.mark.fault("F63", quick=False)
async def test_f63_a_replica_that_was_held_still_does_no_harm_when_it_goes_on(
    run: Running,
) -> None:
    async with run(size=size()) as world:
        await world.start()
        await world.split(PARTITIONS)
        await shared_evenly(world, PARTITIONS)
        await world.warm_up()
        zombie = world.instances[-1]
        async with world.load() as load:
            await load.passes(world.size.messages // 8)
            zombie.send(signal.SIGSTOP)
            world.injected(f"{zombie.name} is held still")
            await until(partial(has_some_in_hand, world), "it has deliveries in hand", STATISTICS_S)
            await asyncio.sleep(SHARED_S)
            # The others have all of it, as far as leases go.
            await shared_evenly(world, PARTITIONS)
            zombie.send(signal.SIGCONT)
            await world.recovers(f"{zombie.name} goes on", SHARED_S)
        await shared_evenly(world, PARTITIONS)
        await world.judge(not_applicable=NO_LANE_SPARED)


SHARES = (
    ("translate,upkeep", ""),
    ("decide", "critical,standard"),
    ("decide", "enrichment"),
    ("dispatch", ""),
)


@pytest.mark.fault("F64", quick=True)
async def test_f64_each_process_of_those_that_share_the_roles_is_killed(run: Running) -> None:
    shared = msgspec.structs.replace(size(), instances=len(SHARES))
    async with run(size=shared, shares=SHARES) as world:
        await world.start()
        await world.warm_up()
        part = between(world)
        async with world.load() as load:
            for instance, (roles, lanes) in zip(world.instances, SHARES, strict=True):
                await load.passes(part)
                await instance.kill()
                world.injected(f"{roles} in {lanes or 'all lanes'} was killed")
                await world.relaunch(instance)
            await world.recovers("the last one was killed", ended_at=instance.ended_at)
        await world.judge(not_applicable=NO_LANE_SPARED)
