"""Where passes run: two servers of our own, and processes that end with their pass."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import aiormq
import asyncpg
from aio_pika.abc import AbstractChannel, AbstractConnection

from benchmarks.changes import Letter
from broker.framing import Outlet, publish_frames
from handlers import CATALOGUE
from ops.configuration import Configuration, load
from ops.migrate import migrate
from ops.queues import declare_topology
from ops.stack import Servers, databases

ROOT = Path(__file__).resolve().parents[1]
SOURCE, KIND = "plm", "engineering-change"
QUEUE = f"in.{SOURCE}.{KIND}.standard"
SINK = "engineering-change.released.standard"
TEMPLATE = "layshaft_bench_template"
WINDOW = 500
LOOK_S = 0.01
PASS_S = 120.0
START_S = 60.0
END_S = 30.0

_CONFIGURATION = f"""\
listen_port = 0

[settings]
database_url = "{{database_url}}"
amqp_url = "{{amqp_url}}"
systems = []

[[settings.sources]]
name = "{SOURCE}"
kinds = ["{KIND}"]
contracts = ["arena.change"]

[rules]
plants = []
distribution = []
routes = []
central_purchasing_org = "1000"
"""


class Invalid(Exception):
    """A pass that says nothing: not everything is there that should be."""


class Place:
    """The servers, with everything declared that the service needs."""

    def __init__(self, servers: Servers, folder: Path, other_python: Path) -> None:
        """other_python: of the environment in which the competitors are installed."""
        self.servers = servers
        self.other_python = other_python
        self._folder = folder
        self._config = folder / "layshaft.toml"
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._databases = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Topology and schema are there; the queues can be looked at."""
        self._folder.mkdir(parents=True, exist_ok=True)
        template = databases.create_database(self.servers.database_url, TEMPLATE)
        await migrate(template)
        await declare_topology(self.configuration(template).settings, CATALOGUE.events)
        self._connection = await aio_pika.connect(self.servers.amqp_url)
        async with self._connection as connection:
            self._channel = await connection.channel()
            yield

    def configuration(self, database_url: str) -> Configuration:
        """The service's, on that database; written down too."""
        self._config.write_text(
            _CONFIGURATION.format(database_url=database_url, amqp_url=self.servers.amqp_url)
        )
        return load(self._config, {})

    def fresh_database(self) -> str:
        """A database as a migration leaves it; its URL."""
        self._databases += 1
        name = f"layshaft_bench_{self._databases}"
        return databases.create_database(self.servers.database_url, name, template=TEMPLATE)

    def fresh_database_without_schema(self) -> str:
        """An empty database; its URL."""
        self._databases += 1
        name = f"layshaft_bench_{self._databases}"
        return databases.create_database(self.servers.database_url, name)

    def scratch(self, name: str) -> Path:
        """A file that is not there yet."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        return path

    # Queues

    @property
    def channel(self) -> AbstractChannel:
        """For looking at queues."""
        assert self._channel is not None
        return self._channel

    async def fill(self, written: Sequence[Letter]) -> None:
        """The messages wait in the queue of the source, all of them confirmed.

        What an earlier pass had in hand when it was ended may have come back.
        """
        if len(written) > 1:
            await self.until(self._is_left, "nobody consumes")
            await self.purge(QUEUE)
        assert self._connection is not None
        assert self._connection.transport is not None
        outlet = Outlet(self._connection.transport.connection.write_queue)
        channel = await self.channel.get_underlay_channel()
        assert isinstance(channel, aiormq.Channel)
        outlet.adopt(channel)
        for first in range(0, len(written), WINDOW):
            some = written[first : first + WINDOW]
            answers = [asyncio.get_running_loop().create_future() for _ in some]
            for letter, answer in zip(some, answers, strict=True):
                frames = publish_frames(
                    channel.number,
                    exchange=f"in.{SOURCE}",
                    routing_key=KIND,
                    headers={"ce-id": letter.id, "ce-type": "arena.change"},
                    message_id=f"{first}-{letter.id}",
                    body=letter.body,
                    frame_max=0,
                )
                outlet.publish(
                    channel,
                    frames,
                    message_id=f"{first}-{letter.id}",
                    answered=answer.set_result,
                )
            if any(await asyncio.gather(*answers)):
                raise Invalid("not everything could be published")

    async def waiting(self, queue: str) -> int:
        """Messages of the queue that nobody has been given."""
        found = await self.channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def _is_left(self) -> bool:
        found = await self.channel.declare_queue(QUEUE, passive=True)
        return found.declaration_result.consumer_count == 0

    async def purge(self, *queues: str) -> None:
        """Nothing waits there."""
        for name in queues:
            queue = await self.channel.get_queue(name, ensure=False)
            await queue.purge()

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> float:
        """When it came to hold, by the monotonic clock."""
        end = time.monotonic() + PASS_S
        while not await holds():
            if time.monotonic() > end:
                raise Invalid(f"not within {PASS_S:g} s: {what}")
            await asyncio.sleep(LOOK_S)
        return time.monotonic()

    # Processes

    @asynccontextmanager
    async def service(self, database_url: str, *options: str) -> AsyncIterator[None]:
        """`layshaft run` as users start it: the image runs Python optimized."""
        self.configuration(database_url)
        command = (sys.executable, "-m", "ops", "run", "--config", str(self._config), *options)
        async with self.process("layshaft", command, {"PYTHONOPTIMIZE": "1"}):
            yield

    @asynccontextmanager
    async def process(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[None]:
        """It runs during the block and is ended after it."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("LAYSHAFT_", "PYTHON"))}
        with (self._folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env=kept | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
            if process.returncode is not None:
                raise Invalid(f"{name} ended by itself, see {self._folder / name}.log")
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    async with asyncio.timeout(END_S):
                        await process.wait()
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()


async def server_settings(database_url: str) -> dict[str, str]:
    """The settings of PostgreSQL that decide what a commit costs, as the server says them."""
    connection = await asyncpg.connect(database_url)
    try:
        return {
            name: await connection.fetchval("select current_setting($1)", name)
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "wal_compression",
                "shared_buffers",
                "max_wal_size",
            )
        }
    finally:
        await connection.close()


async def counted(database_url: str, sql: str) -> int:
    """The number a query gives."""
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()
