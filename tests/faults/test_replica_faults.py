"""F61 to F63: replicas that share partitioned events come, go, die and are held still, and the
number of partitions changes, all under load."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial

import pytest

from broker.topology import LANES
from canonical.envelope import Lane
from ops.stack import management
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
SIZE = Size(rate=100, seconds=24, keys=300, instances=3)
SMALL = Size(rate=50, seconds=12, keys=60, instances=3)


def size() -> Size:
    """Three replicas, and as much as there is time for."""
    return SIZE if is_full() else SMALL


async def shares(world: World, lane: Lane) -> list[int]:
    """Partitions of the lane that each running instance takes."""
    running = [i for i in world.instances if i.is_at_work]
    return [round(await sampled([i], "layshaft_partitions", lane=lane)) for i in running]


async def shared_evenly(world: World, partitions: int) -> None:
    """All partitions of each lane are taken, give or take one by everybody alike."""

    async def are_shared() -> bool:
        found = [await shares(world, lane) for lane in LANES]
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
        part = world.size.messages // 8
        async with world.load() as load:
            await load.passes(part)
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
        part = world.size.messages // 8
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
