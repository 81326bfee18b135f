"""F14: a member of a RabbitMQ cluster dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
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
from tests.faults.nodes import PrivateNode, private_nodes
from tests.faults.world import World, until

STALL_S = 10.0
SOURCE = "source-2"
QUEUE = inbound_queue(SOURCE, KIND, "standard")
SIZE = Size(rate=30, seconds=30, keys=100, instances=2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[PrivateNode]]:
    """Three nodes that are one cluster."""
    packages = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
    with private_nodes(tmp_path / "cluster", packages.absolute(), 3) as nodes:
        nodes[0].add_service_user()
        for node in nodes[1:]:
            node.join(nodes[0])
        yield nodes


async def confirmed_of(load: Load, source: str) -> int:
    return sum(s.answer == "confirmed" for s in load.ledger if s.source == source)


@pytest.mark.fault("F14", quick=False)
async def test_f14_the_leader_of_a_queue_dies_and_another_member_takes_over(
    run: Running, cluster: list[PrivateNode], database_url: str
) -> None:
    """Sources are connected to the first member, the service to the second; the third one dies."""
    servers = cluster[0].servers(database_url)
    url = URL(servers.service_amqp_url).with_port(cluster[1].node.ports.amqp)
    servers = msgspec.structs.replace(servers, service_amqp_url=str(url))
    async with run(size=SIZE, servers=servers) as world:
        await world.start()
        await world.warm_up()
        await lead(world, cluster[2])
        tries_before = len(lost(world))
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
                    "the leader was killed", STALL_S * SLACK, sources=[SOURCE], ended_at=ended_at
                )
            assert load.count("refused") == 0
        # Consumers on another member had nothing to do.
        assert len(lost(world)) == tries_before
        await cluster[2].start_again()
        found = await world.judge()
        assert not found.parked


def lost(world: World) -> list[str]:
    """Log lines of consumers that had to begin anew."""
    lines = [line for i in world.instances for line in i.log.read_text().splitlines()]
    return [line for line in lines if "consumer lost" in line]


async def lead(world: World, member: PrivateNode) -> None:
    """The member leads the queue: the one that did gave it up."""
    await member.lead(management.vhost_name(world.servers.amqp_url), QUEUE)
    async with administrator(world.servers) as admin:

        async def leads() -> bool:
            return await admin.leader(QUEUE) == member.node.name

        await until(leads, f"{member.node.name} leads {QUEUE}", 60)
