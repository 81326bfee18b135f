"""A PostgreSQL of one test's own, for faults that all databases of a server would share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from ops.migrate import migrate
from ops.stack import databases, processes
from ops.stack.postgres import discard_postgres, start_postgres
from ops.stack.processes import ProcessRecord, free_port
from ops.stack.servers import StackUnavailable

DEADLINE_S = 10.0
SMALL = {"shared_buffers": "32MB", "max_wal_size": "64MB", "min_wal_size": "32MB"}


class Postgres:
    """A server on a folder, started, ended and started again on the same port."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._settings = {**SMALL, **(settings or {})}
        self._port = free_port()
        self._process: ProcessRecord | None = None
        self.log = folder.with_suffix(".log")
        self.url = ""

    async def start(self) -> None:
        """It takes connections. Raises StackUnavailable where it does not come up."""
        server = await asyncio.to_thread(
            start_postgres,
            self._folder,
            log=self.log,
            ignore_system=False,
            remember=self._remember,
            port=self._port,
            other_settings=self._settings,
        )
        self.url = server.url

    async def migrated(self) -> str:
        """URL of a database with the service's tables."""
        url = await asyncio.to_thread(databases.create_database, self.url, "layshaft")
        await migrate(url)
        return url

    @property
    def is_running(self) -> bool:
        """Whether its main process lives."""
        return self._process is not None and processes.is_running(self._process)

    async def stop_at_once(self) -> None:
        """Stopped as by `pg_ctl stop -m immediate`: no checkpoint, recovery at the next start."""
        if self._process is not None:
            await asyncio.to_thread(processes.stop, self._process, clean=False)

    async def keep_running(self) -> None:
        """Started again whenever it has ended, as the system's supervisor does; until cancelled."""
        while True:
            if not self.is_running:
                try:
                    await self.start()
                except StackUnavailable as error:
                    print(f"PostgreSQL does not start: {str(error).splitlines()[0]}")
            await asyncio.sleep(0.5)

    def _remember(self, process: ProcessRecord) -> None:
        self._process = process


@asynccontextmanager
async def private_postgres(
    folder: Path, *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Postgres]:
    """A server that runs; gone with its data afterwards."""
    postgres = Postgres(folder, settings=settings)
    try:
        await postgres.start()
        yield postgres
    finally:
        await postgres.stop_at_once()
        discard_postgres(folder)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session of somebody else's on a database."""
    connection = await asyncpg.connect(url, timeout=DEADLINE_S)
    try:
        yield connection
    finally:
        if not connection.is_closed():
            connection.terminate()


@contextmanager
def limited_disk(size_mib: int) -> Iterator[Path]:
    """A file system in memory that holds so much and is gone afterwards. Needs root."""
    # Not below the test's folder: where the server runs as another user, it has to get here.
    folder = Path(tempfile.mkdtemp(prefix="layshaft-disk-"))
    folder.chmod(0o755)
    options = f"size={size_mib}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        # A server that cannot use its folder directly follows this link; see ops.stack.postgres.
        home = folder / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        (folder / "postgres").mkdir()
        (folder / "postgres" / "outside").symlink_to(home)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()
