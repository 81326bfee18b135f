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
from broker import tokens
from broker.framing import Outlet, publish_frames
from broker.principals import ALL_PLANTS, Grant
from broker.store import Database
from broker.topology import inbound_queue
from canonical.envelope import Lane
from handlers import CATALOGUE
from ops.configuration import Configuration, load
from ops.migrate import migrate
from ops.queues import declare_topology
from ops.stack import Servers, databases
from ops.stack.postgres import memory_bytes, server_settings

ROOT = Path(__file__).resolve().parents[1]
SOURCE, KIND = "plm", "engineering-change"
URGENT_KIND, BULK_KIND = "urgent-change", "bulk-change"
LANES: Mapping[str, Lane] = {KIND: "standard", URGENT_KIND: "critical", BULK_KIND: "enrichment"}
QUEUE = inbound_queue(SOURCE, KIND, LANES[KIND])
SINK = "engineering-change.released.standard"
TEMPLATE = "layshaft_bench_template"
PREFETCH = 600
"""What the service has for this lane by default."""
SWITCHES = ("fsync", "synchronous_commit", "full_page_writes")
SIZES = ("shared_buffers", "max_wal_size")
"""Settings of PostgreSQL that decide what a commit costs."""
WINDOW = 500
LOOK_S = 0.05
BEGIN_LOOK_S = 0.01
"""Looking takes processor time from what is looked at. What ends late by one look counts against
the rung; what begins late would count for it."""
PASS_S = 120.0
START_S = 60.0
END_S = 30.0

_CONFIGURATION = f"""\
listen_port = 0

[settings]
database_url = "{{database_url}}"
amqp_url = "{{amqp_url}}"
systems = []
{{settings}}
[[settings.sources]]
name = "{SOURCE}"
kinds = ["{KIND}", "{URGENT_KIND}", "{BULK_KIND}"]
lanes = {{{{ {URGENT_KIND} = "critical", {BULK_KIND} = "enrichment" }}}}
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
        self.folder = folder
        self.config = folder / "layshaft.toml"
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._token = ""
        self._databases = 0
        self._lookers: dict[str, asyncpg.Connection[asyncpg.Record]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Topology and schema are there; the queues can be looked at."""
        self.folder.mkdir(parents=True, exist_ok=True)
        template = databases.create_database(self.servers.database_url, TEMPLATE)
        await migrate(template)
        self._token = await _introduce(template)
        await declare_topology(self.configuration(template).settings, CATALOGUE.events)
        self._connection = await aio_pika.connect(self.servers.amqp_url)
        async with self._connection as connection:
            self._channel = await connection.channel()
            self._underlay, self._outlet = await self._way_out()
            try:
                yield
            finally:
                for looker in self._lookers.values():
                    await looker.close()

    def configuration(self, database_url: str, settings: str = "") -> Configuration:
        """The service's, on that database and with these lines of settings; written down too."""
        self.config.write_text(
            _CONFIGURATION.format(
                database_url=database_url, amqp_url=self.servers.amqp_url, settings=settings
            )
        )
        return load(self.config, {})

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

    async def drop(self, database: str) -> None:
        """The database is gone: PostgreSQL would tidy it up in the background of later passes."""
        if looker := self._lookers.pop(database, None):
            await looker.close()
        name = database.rpartition("/")[2]
        await asyncio.to_thread(databases.drop_database, self.servers.database_url, name)

    def scratch(self, name: str) -> Path:
        """A file that is not there yet."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    # Queues

    @property
    def channel(self) -> AbstractChannel:
        """For looking at queues."""
        assert self._channel is not None
        return self._channel

    async def fill(self, written: Sequence[Letter], kind: str = KIND) -> None:
        """Nothing but these messages waits in the queue of the kind, all of them confirmed.

        What an earlier pass had in hand when it was ended may have come back.
        """
        queue = inbound_queue(SOURCE, kind, LANES[kind])
        await self.until(lambda: self._is_left(queue), "nobody consumes")
        await self.purge(queue)
        await self.send(written, kind)

    async def send(self, written: Sequence[Letter], kind: str = KIND) -> None:
        """The messages are the broker's, all of them confirmed."""
        channel = self._underlay
        for first in range(0, len(written), WINDOW):
            some = written[first : first + WINDOW]
            answers = [asyncio.get_running_loop().create_future() for _ in some]
            for letter, answer in zip(some, answers, strict=True):
                frames = publish_frames(
                    channel.number,
                    exchange=f"in.{SOURCE}",
                    routing_key=kind,
                    headers={"ce-id": letter.id, "ce-type": letter.type},
                    message_id=f"{first}-{letter.id}",
                    body=letter.body,
                    frame_max=channel.connection.connection_tune.frame_max,
                )
                self._outlet.publish(
                    channel,
                    frames,
                    message_id=f"{first}-{letter.id}",
                    answered=answer.set_result,
                )
            if any(await asyncio.gather(*answers)):
                raise Invalid("not everything could be published")

    async def _way_out(self) -> tuple[aiormq.Channel, Outlet]:
        assert self._connection is not None
        assert self._connection.transport is not None
        outlet = Outlet(self._connection.transport.connection.write_queue)
        channel = await self.channel.get_underlay_channel()
        assert isinstance(channel, aiormq.Channel)
        outlet.adopt(channel)
        return channel, outlet

    async def waiting(self, queue: str) -> int:
        """Messages of the queue that nobody has been given."""
        found = await self.channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def _is_left(self, queue: str) -> bool:
        found = await self.channel.declare_queue(queue, passive=True)
        return found.declaration_result.consumer_count == 0

    async def purge(self, *queues: str) -> int:
        """Nothing waits there any more; how many messages did."""
        purged = 0
        for name in queues:
            queue = await self.channel.get_queue(name, ensure=False)
            purged += (await queue.purge()).message_count or 0
        return purged

    async def until(
        self,
        holds: Callable[[], Awaitable[bool]],
        what: str,
        within_s: float = PASS_S,
        look_s: float = LOOK_S,
    ) -> float:
        """When it came to hold, by the monotonic clock."""
        end = time.monotonic() + within_s
        while not await holds():
            if time.monotonic() > end:
                raise Invalid(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(look_s)
        return time.monotonic()

    async def counted(self, database: str, sql: str) -> int:
        """The number a query gives; the connection is kept, since some look all the time."""
        looker = self._lookers.get(database)
        if looker is None:
            looker = self._lookers[database] = await asyncpg.connect(database)
        return int(await looker.fetchval(sql))

    # Servers

    async def settings(self) -> dict[str, str]:
        """What decides what a message costs, as the servers say it, and what the load is."""
        looker = await asyncpg.connect(self.servers.database_url)
        try:
            found = {
                name: str(await looker.fetchval("select current_setting($1)", name))
                for name in (*SWITCHES, *SIZES, "wal_compression", "server_version")
            }
        finally:
            await looker.close()
        broker = self._underlay.connection.server_properties
        return {
            **found,
            "rabbitmq": _text(broker.get("version")),
            "queues": "quorum",
            "prefetch": str(PREFETCH),
        }

    async def unlike(self) -> str:
        """In what PostgreSQL is not as `ops/stack` sets it up; "" where it is."""
        wanted = server_settings(port=0, wal_compression="", memory_bytes=memory_bytes())
        looker = await asyncpg.connect(self.servers.database_url)
        try:
            for name in (*SWITCHES, *SIZES):
                value = wanted.get(name, "on")
                found = await looker.fetchval("select current_setting($1)", name)
                is_size = f"select pg_size_bytes('{found}') = pg_size_bytes('{value}')"
                is_like = await looker.fetchval(is_size) if name in SIZES else found == value
                if not is_like:
                    return f"PostgreSQL has {name} = {found}, not {value}"
        finally:
            await looker.close()
        return ""

    # Processes

    @asynccontextmanager
    async def service(
        self, database_url: str, *options: str, settings: str = ""
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """`layshaft run` as users start it: the image runs Python optimized."""
        self.configuration(database_url, settings)
        command = (sys.executable, "-m", "ops", "run", "--config", str(self.config), *options)
        async with self.process("layshaft", command, {"PYTHONOPTIMIZE": "1"}) as process:
            yield process

    async def command(self, *words: str) -> None:
        """`layshaft` with these words, on the configuration written last, has done it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", *words, "--config", str(self.config)),
            cwd=ROOT,
            env=os.environ | {"LAYSHAFT_TOKEN": self._token},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        if process.returncode:
            raise Invalid(f"layshaft {' '.join(words)}: {said.decode()[-500:]}")

    @asynccontextmanager
    async def process(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        may_end: bool = False,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """It runs during the block and is ended after it. may_end: it may have done what it has to
        before that."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("LAYSHAFT_", "PYTHON"))}
        with (self.folder / f"{name}.log").open("ab") as log:
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
            yield process
            if process.returncode is not None and not (may_end and process.returncode == 0):
                raise Invalid(f"{name} ended by itself, see {self.folder / name}.log")
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    async with asyncio.timeout(END_S):
                        await process.wait()
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()


async def _introduce(database_url: str) -> str:
    """Token of who gives the commands, in this database and in those that are made from it."""
    roles = ("admin", "operator", "integrator")
    grant = Grant(name="bench", roles=roles, plants=ALL_PLANTS, days=1)
    database = Database(url=database_url, purpose="bench", size=1, acquire_s=5.0, statement_s=5.0)
    await database.open()
    try:
        return await tokens.issue(database, grant, by="")
    finally:
        await database.close()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
