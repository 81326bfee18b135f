"""F14: a member of a RabbitMQ cluster dies; F11 to F13 where there is another member to go to.

Sources are connected to the first member, the service to the second, through a load balancer that
knows the third one too; the broker's own pages are those of the first.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from yarl import URL

from broker.topology import inbound_queue
from ops.stack import management
from tests.faults.administrator import administrator
from tests.faults.business import KIND
from tests.faults.conftest import Running
from tests.faults.invariants import SLACK
from tests.faults.load import Load, Size
from tests.faults.nodes import SERVICE_USER, PrivateNode, private_nodes
from tests.faults.proxy import line_to
from tests.faults.world import Servers, World, until

STALL_S = 10.0
SOURCE = "source-2"
QUEUE = inbound_queue(SOURCE, KIND, "standard")
SIZE = Size(rate=30, seconds=30, keys=100, instances=2)
RESET_S = 20.0
CLOSINGS = 5
NO_LANE_SPARED = {"I5": "the broker is the same for every lane"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[PrivateNode]]:
    """Three nodes that are one cluster; each test leaves all of them running."""
    packages = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
    folder = tmp_path_factory.mktemp("cluster")
    with private_nodes(folder, packages.absolute(), 3) as nodes:
        nodes[0].add_service_user()
        for node in nodes[1:]:
            node.join(nodes[0])
        yield nodes


async def confirmed_of(load: Load, source: str) -> int:
    return sum(s.answer == "confirmed" for s in load.ledger if s.source == source)


def apart(cluster: list[PrivateNode], database_url: str) -> Servers:
    """Sources and administrators are connected to the first member, the service to the second."""
    servers = cluster[0].servers(database_url)
    url = URL(servers.service_amqp_url).with_port(cluster[1].node.ports.amqp)
    return msgspec.structs.replace(servers, service_amqp_url=str(url))


@pytest.mark.fault("F14", quick=False)
async def test_f14_the_leader_of_a_queue_dies_and_another_member_takes_over(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    """Sources are connected to the first member, the service to the second; the third one dies."""
    servers = apart(cluster, database_url)
    async with run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        await lead(world, cluster[2])
        anew_before = await anew(world)
        async with world.load() as load:
            await load.passes(50)
            async with world.spared("other sources", lambda sent: sent.source != SOURCE):
                await cluster[2].kill()
                began, before = time.monotonic(), await confirmed_of(load, SOURCE)
                world.injected(f"the leader of {QUEUE} was killed")
                ended_at = time.time()

                async def goes_on() -> bool:
                    return await confirmed_of(load, SOURCE) > before + 5

                await until(goes_on, "the source can publish", STALL_S * SLACK)
                world.figures["stall_s"] = round(time.monotonic() - began, 1)
                await world.recovers(
                    "the leader was killed", STALL_S, sources=[SOURCE], ended_at=ended_at
                )
            assert load.count("refused") == 0
        # Consumers on another member had nothing to do.
        assert await anew(world) == anew_before
        await cluster[2].start_again()
        found = await world.judge()
        assert not found.parked


@pytest.mark.fault("F14", quick=False)
async def test_f14_a_follower_dies_and_nobody_waits(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    """A majority is left, with the leader: nothing has to be elected."""
    servers = apart(cluster, database_url)
    async with run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        await lead(world, cluster[0])
        anew_before = await anew(world)
        async with world.load() as load:
            await load.passes(50)
            await cluster[2].kill()
            world.injected("a member that leads nothing here was killed")
            await world.recovers("a follower was killed", STALL_S)
            assert load.count("refused") == 0
        assert await anew(world) == anew_before
        await cluster[2].start_again()
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked


@asynccontextmanager
async def balanced(cluster: list[PrivateNode], database_url: str) -> AsyncIterator[Servers]:
    """The service's address is a load balancer before the second and the third member."""
    servers = apart(cluster, database_url)
    async with line_to(servers.service_amqp_url, cluster[2].node.ports.amqp) as (_, through):
        yield msgspec.structs.replace(servers, service_amqp_url=through)


@pytest.mark.fault("F11", quick=False)
async def test_f11_connections_to_a_cluster_closed_again_and_again(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    async with balanced(cluster, database_url) as servers, run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        async with administrator(world.servers) as admin, world.load() as load:
            await load.passes(20)
            for _ in range(CLOSINGS):
                await admin.close_connections(SERVICE_USER)
                world.injected("all connections of the service closed")
                await asyncio.sleep(2)
            await world.recovers("connections were closed", RESET_S)
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked


@pytest.mark.fault("F12", quick=False)
async def test_f12_the_member_the_service_is_connected_to_is_stopped(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    """The service goes to another member long before this one is back."""
    async with balanced(cluster, database_url) as servers, run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(100)
            await cluster[1].control("stop_app")
            world.injected("stop_app of the second member")
            try:
                await world.recovers("the second member was stopped", RESET_S)
                assert await anew(world) > 0
            finally:
                await cluster[1].control("start_app")
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked


@pytest.mark.fault("F13", quick=False)
async def test_f13_the_member_that_confirms_is_killed(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    async with balanced(cluster, database_url) as servers, run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 3)
            await cluster[1].kill()
            world.injected("SIGKILL to the second member")
            try:
                await world.recovers("the second member was killed", RESET_S)
                assert await anew(world) > 0
            finally:
                await cluster[1].start_again()
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked


async def anew(world: World) -> float:
    """Connections of the service to the broker that were made anew."""
    return await world.counted("layshaft_amqp_reconnects_total")


async def lead(world: World, member: PrivateNode) -> None:
    """The member leads the queue: the one that did gave it up."""
    await member.lead(management.vhost_name(world.servers.amqp_url), QUEUE)
    async with administrator(world.servers) as admin:

        async def leads() -> bool:
            return await admin.leader(QUEUE) == member.node.name

        await until(leads, f"{member.node.name} leads {QUEUE}", 60)
