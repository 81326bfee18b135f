"""What somebody with every right does to a broker: delete, declare, unbind, restrict, look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aio_pika
import aiohttp
import msgspec
from aio_pika.abc import AbstractChannel
from yarl import URL

from ops.stack import management
from tests.faults.evidence import DEADLINE_S
from tests.faults.world import Servers


class Administrator:
    """One virtual host in the hands of its administrator."""

    def __init__(
        self, servers: Servers, channel: AbstractChannel, session: aiohttp.ClientSession
    ) -> None:
        self._servers = servers
        self._vhost = quote(management.vhost_name(servers.amqp_url), safe="")
        self._session = session
        self.channel = channel

    async def delete(self, queue: str) -> None:
        """The queue is gone with what was in it."""
        await self.channel.queue_delete(queue)

    async def declare(self, queue: str, arguments: Mapping[str, Any]) -> None:
        """The queue exists, with these arguments."""
        await self.channel.declare_queue(queue, durable=True, arguments=dict(arguments))

    async def occupy(self, queue: str) -> None:
        """The name is taken: nobody but this connection may use, declare or delete the queue."""
        await self.channel.declare_queue(queue, exclusive=True)

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """The exchange fills the queue."""
        await (await self.channel.get_queue(queue, ensure=False)).bind(exchange, key)

    async def unbind(self, queue: str, exchange: str, key: str) -> None:
        """The exchange does not fill the queue any more."""
        await (await self.channel.get_queue(queue, ensure=False)).unbind(exchange, key)

    async def restrict(self, queues: str, **definition: int | str) -> None:
        """A policy holds for the queues of this pattern."""
        body = {"pattern": queues, "apply-to": "queues", "definition": definition}
        await self._call("PUT", f"policies/{self._vhost}/restriction", body)

    async def lift(self) -> None:
        """The policy is gone."""
        await self._call("DELETE", f"policies/{self._vhost}/restriction", None)

    async def close_connections(self, user: str) -> None:
        """The broker closed every connection of a user."""
        await self._call("DELETE", f"connections/username/{user}", None)

    async def figure(self, queue: str, name: str) -> int:
        """A number the broker has about a queue, as of some seconds ago."""
        found = await self._call("GET", f"queues/{self._vhost}/{quote(queue, safe='')}", None)
        return int(found.get(name, 0))

    async def leader(self, queue: str) -> str:
        """The member that leads a quorum queue, as of some seconds ago."""
        found = await self._call("GET", f"queues/{self._vhost}/{quote(queue, safe='')}", None)
        return str(found.get("leader", ""))

    async def _call(self, method: str, path: str, body: object) -> dict[str, Any]:
        url = URL(self._servers.management_url)
        async with self._session.request(
            method,
            URL(f"http://{url.host}:{url.port}/api/{path}", encoded=True),
            data=None if body is None else msgspec.json.encode(body),
            headers={
                "Authorization": aiohttp.encode_basic_auth(url.user or "", url.password or "")
            },
        ) as answer:
            content = await answer.read()
            assert answer.status < 300, f"{method} {path}: {answer.status} {content!r}"
            return msgspec.json.decode(content, type=dict[str, Any]) if content else {}


@asynccontextmanager
async def administrator(servers: Servers) -> AsyncIterator[Administrator]:
    """Somebody with every right; on a connection that carries nothing else."""
    async with (
        await aio_pika.connect(servers.amqp_url, timeout=DEADLINE_S) as connection,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as session,
    ):
        yield Administrator(servers, await connection.channel(), session)
