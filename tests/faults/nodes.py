"""RabbitMQ nodes of a test's own, for faults that strike a whole node."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack import management, processes
from ops.stack.processes import ProcessRecord
from ops.stack.rabbitmq import Node, prepare_node
from tests.faults.world import Servers

TOOL_S = 180.0
SERVICE_USER = "service"


class PrivateNode:
    """A node that can be told everything, killed, and started as it was."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.broker = node.broker
        self._process: ProcessRecord | None = None

    def start(self) -> None:
        """It answers."""
        self._process = self.node.start()
        self.node.wait_for(self._process)

    async def start_again(self) -> None:
        """It answers again, at the same address and with its data."""
        await asyncio.to_thread(self.start)

    def stop(self) -> None:
        """Its process was killed."""
        if self._process is not None:
            processes.stop(self._process, clean=False)
            self._process = None

    async def kill(self) -> None:
        """The same, while others work."""
        await asyncio.to_thread(self.stop)

    async def control(self, *arguments: str, tool: str = "rabbitmqctl") -> str:
        """What the tool printed; fails where it did."""
        return await asyncio.to_thread(self.controlled, *arguments, tool=tool)

    def controlled(self, *arguments: str, tool: str = "rabbitmqctl") -> str:
        """The same, blocking."""
        done = subprocess.run(
            self.node.tool(tool, *arguments),
            env=dict(self.node.environment),
            capture_output=True,
            text=True,
            timeout=TOOL_S,
            check=False,
        )
        assert done.returncode == 0, f"{tool} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    async def set(self, name: str, value: int) -> None:
        """A setting of the broker's application, from now on."""
        await self.control("eval", f"application:set_env(rabbit, {name}, {value}).")

    async def lead(self, vhost: str, queue: str) -> None:
        """This member was asked to lead a quorum queue."""
        await self.control(
            "eval",
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue,'
            f" <<\"{queue}\">>)), rabbit_quorum_queue:transfer_leadership(Q, '{self.node.name}').",
        )

    def join(self, other: PrivateNode) -> None:
        """A member of the other's cluster; what it held is gone."""
        self.controlled("stop_app")
        self.controlled("join_cluster", other.node.name)
        self.controlled("start_app")

    def add_service_user(self) -> None:
        """A user that the service alone has, so that its connections can be told from others."""
        self.controlled("add_user", SERVICE_USER, SERVICE_USER)

    def servers(self, database_url: str) -> Servers:
        """An empty virtual host for one test, which the service enters as its own user."""
        name = f"layshaft_{secrets.token_hex(4)}"
        broker = self.broker
        url = management.create_vhost(broker.management_url, broker.amqp_url, name)
        self.controlled("set_permissions", "-p", name, SERVICE_USER, ".*", ".*", ".*")
        return Servers(
            database_url=database_url,
            amqp_url=url,
            management_url=broker.management_url,
            service_amqp_url=re.sub("//.*@", f"//{SERVICE_USER}:{SERVICE_USER}@", url),
        )


@contextmanager
def private_node(folder: Path, packages: Path) -> Iterator[PrivateNode]:
    """A node of one's own that runs; it is gone afterwards."""
    with private_nodes(folder, packages, 1) as [node]:
        node.add_service_user()
        yield node


@contextmanager
def private_nodes(folder: Path, packages: Path, number: int) -> Iterator[list[PrivateNode]]:
    """So many nodes with one port mapper, all running, not yet a cluster."""
    ignore_system = os.environ.get("LAYSHAFT_STACK_IGNORE_SYSTEM", "") not in ("", "0")
    nodes: list[PrivateNode] = []
    for n in range(number):
        node = prepare_node(
            folder / f"node-{n}",
            log=folder / f"node-{n}.log",
            packages=packages,
            ignore_system=ignore_system,
            beside=nodes[0].node if nodes else None,
        )
        nodes.append(PrivateNode(node))
    mapper = nodes[0].node.start_port_mapper()
    try:
        nodes[0].node.wait_for(mapper)
        for each in nodes:
            each.start()
        yield nodes
    finally:
        for each in nodes:
            each.stop()
        processes.stop(mapper, clean=False)
