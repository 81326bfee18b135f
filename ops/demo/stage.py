"""Everything the story plays on, started together and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from ops.demo import people
from ops.demo.configuration import with_addresses
from ops.demo.observe import Records, Target
from ops.demo.processes import Plm, Service
from ops.migrate import migrate
from ops.sandbox.process import StandIn, running
from ops.stack import Servers, Stack
from ops.stack.processes import free_port

HERE = Path(__file__).parent
SECRET = "demo"  # what the stand-ins ask for unless told otherwise


class Stage:
    """The servers, the stand-ins, Layshaft and the PLM client of one run.

    Layshaft and the PLM client are the story's to start. `stop` ends everything in reverse order,
    however far `start` came.
    """

    def __init__(self, state: Path, *, keep: bool) -> None:
        """keep: leave the folder and the servers' data where they are."""
        self.folder = state.absolute() / "demo"
        self._keep = keep
        self.keep_logs = True  # until all has gone well
        self._stack = Stack(self.folder, packages_dir=state / "packages", keep=keep)
        self._exits = contextlib.AsyncExitStack()
        self.servers: Servers
        self.erp: Target
        self.procurement: Target
        self.records: Records
        self.service: Service
        self.plm: Plm
        self.config = self.folder / "layshaft.toml"
        self.url = ""

    async def start(self) -> None:
        """The servers and the stand-ins answer; Layshaft and the PLM client can be started."""
        await asyncio.to_thread(clear, self.folder)
        self.folder.mkdir(parents=True)
        await self._start()

    async def stop(self) -> None:
        """Nothing runs any more; the folder is gone unless somebody may want to look at it."""
        await self._exits.aclose()
        if not (self._keep or self.keep_logs):
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _start(self) -> None:
        self.servers, erp, procurement = await asyncio.gather(
            self._servers(),
            self._stand_in("erp"),
            self._stand_in("procurement"),
        )
        for name, stand_in in (("erp", erp), ("procurement", procurement)):
            self._stack.adopt(stand_in.pid, name=name, marker=str(stand_in.folder))
        await migrate(self.servers.database_url)
        await people.introduce(self.servers.database_url, self.folder)
        self.erp = await self._exits.enter_async_context(Target(erp.url))
        self.procurement = await self._exits.enter_async_context(Target(procurement.url))
        self.records = await self._exits.enter_async_context(Records(self.servers.database_url))
        self._prepare_processes()

    async def _servers(self) -> Servers:
        """PostgreSQL and RabbitMQ, stopped with the stage."""
        starting = asyncio.ensure_future(asyncio.to_thread(self._stack.start))

        async def leave() -> None:
            await asyncio.to_thread(self._stack.stop)
            with contextlib.suppress(Exception):  # told by the one who asked
                await starting

        self._exits.push_async_callback(leave)
        # Shielded: a thread cannot be cancelled, and what it starts has to be known.
        return await asyncio.shield(starting)

    async def _stand_in(self, kind: Literal["erp", "procurement"]) -> StandIn:
        """A stand-in with its seed, stopped with the stage."""
        seed_file = HERE / f"seed_{kind}.json"
        seed = msgspec.json.decode(seed_file.read_bytes(), type=dict[str, object])
        stand_in = running(kind, self.folder.resolve() / kind, seed)
        starting = asyncio.ensure_future(asyncio.to_thread(stand_in.__enter__))

        async def leave() -> None:
            with contextlib.suppress(Exception):  # told by the one who asked
                await starting
                await asyncio.to_thread(stand_in.__exit__, None, None, None)

        self._exits.push_async_callback(leave)
        return await asyncio.shield(starting)

    def _prepare_processes(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        secret_file = self.folder / "secret"
        secret_file.touch(mode=0o600)
        secret_file.write_text(SECRET)
        self.config.touch(mode=0o600)  # It holds passwords.
        self.config.write_text(
            with_addresses(
                listen_port=port,
                database_url=self.servers.database_url,
                amqp_url=self.servers.amqp_url,
                erp_url=self.erp.url,
                procurement_url=self.procurement.url,
                secret_file=secret_file,
            )
        )
        self.service = Service(
            config=self.config,
            log=self.folder / "layshaft.log",
            url=self.url,
            adopt=lambda pid, name: self._stack.adopt(pid, name=name, marker=str(self.config)),
        )
        self._exits.push_async_callback(self.service.stop)
        events = self.folder / "plm-received.jsonl"
        self.plm = Plm(
            events=events,
            log=self.folder / "plm.log",
            adopt=lambda pid, name: self._stack.adopt(pid, name=name, marker=str(events)),
        )
        self._exits.push_async_callback(self.plm.stop)


def clear(folder: Path) -> None:
    """Whatever an earlier run left is stopped, and the folder is gone."""
    if folder.exists():
        Stack(folder).stop()
        shutil.rmtree(folder)
