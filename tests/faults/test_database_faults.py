"""F26 to F28, F33 and F34: PostgreSQL goes away, has no room, or stands behind a pooler."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Literal

import asyncpg
import msgspec
import pytest

from tests.faults.conftest import Running, is_full
from tests.faults.database import RESTART_BOUND_S, SESSIONS, lasting, require_no_attempt_burnt
from tests.faults.pgbouncer import Mode, pgbouncer
from tests.faults.private_postgres import Postgres, connected, limited_disk, private_postgres
from tests.faults.proxy import Line, line_to
from tests.faults.world import Servers, World, until

WRITES_TO = {"intake": "inbox", "dispatch": "step"}
"""A table that each part of the service writes to, whatever the others do."""
AT_WORK_S = 30.0
"""In which each part of a service under load does so many times."""
NO_LANE_SPARED = {"I5": "every lane lives in the one database"}


@asynccontextmanager
async def private(
    folder: Path, usual: Servers, **settings: str
) -> AsyncIterator[tuple[Postgres, Servers]]:
    """A PostgreSQL of the test's own, and the servers with it in the usual one's place."""
    async with private_postgres(folder, settings=settings) as postgres:
        url = await postgres.migrated()
        yield postgres, msgspec.structs.replace(usual, database_url=url)


# F26: sessions end


@pytest.mark.fault("F26", quick=True)
async def test_f26_sessions_terminated_again_and_again(run: Running) -> None:
    seconds = 60 if is_full() else 8
    async with run(size=lasting(seconds)) as world:
        await world.start()
        await world.warm_up()
        parts = cycle(WRITES_TO)
        async with world.load():
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                part = next(parts)
                ended = await _terminate(world, part)
                world.injected(f"{ended} sessions terminated, {part} within a transaction")
                await asyncio.sleep(world.chance.uniform(0.5, 2))
            await world.recovers("the last termination", RESTART_BOUND_S)
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable=NO_LANE_SPARED)


async def _terminate(world: World, part: str) -> int:
    """All sessions of the service were ended, one of that part in the middle of a transaction: what
    is idle is replaced, and nobody notices. How many they were."""

    async def waits() -> bool:
        [waiting] = await world.column(
            f"""
            select count(*) from pg_stat_activity where {SESSIONS}
            and application_name like 'layshaft-{part}%' and wait_event_type = 'Lock'
            """
        )
        return bool(waiting)

    async with connected(world.servers.database_url) as other:
        await other.execute(f"begin; lock table {WRITES_TO[part]} in share mode")
        await until(waits, f"{part} writes", AT_WORK_S)
        ended = await world.column(
            f"select pg_terminate_backend(pid) from pg_stat_activity where {SESSIONS}"
        )
        await other.execute("rollback")
    return len(ended)


@pytest.mark.fault("F26", quick=False)
async def test_f26_connection_lost_before_the_server_got_the_commit(
    run: Running, usual: Servers
) -> None:
    await _commits_lost(run, usual, "before")


@pytest.mark.fault("F26", quick=False)
async def test_f26_connection_lost_after_the_commit_before_its_answer(
    run: Running, usual: Servers
) -> None:
    await _commits_lost(run, usual, "after")


async def _commits_lost(run: Running, usual: Servers, when: Literal["before", "after"]) -> None:
    """Whether a transaction was committed is not known, now of a batch, now of a claim or of
    results, now of the relay or the upkeep."""
    times = 40 if is_full() else 10
    async with line_to(usual.database_url) as (line, url):
        servers = msgspec.structs.replace(usual, service_database_url=url)
        async with run(size=lasting(times * 1.5), servers=servers) as world:
            await world.start()
            await world.warm_up()
            async with world.load():
                for _ in range(times):
                    await _commit_lost(line, when, nth=world.chance.randrange(1, 30))
                    world.injected(f"connection lost at a COMMIT, {when} the server took it")
                    await asyncio.sleep(world.chance.uniform(0.3, 1))
                await world.recovers("the last lost COMMIT", RESTART_BOUND_S)
            await world.settled()
            await require_no_attempt_burnt(world)
            await world.judge(not_applicable=NO_LANE_SPARED)


async def _commit_lost(line: Line, when: Literal["before", "after"], nth: int) -> None:
    cuts = line.cuts
    line.cut_commit(when, nth=nth)

    async def is_cut() -> bool:
        return line.cuts > cuts

    await until(is_cut, "a COMMIT is lost", 30)


# F27, F28: no connection to be had


@pytest.mark.fault("F27", quick=False)
async def test_f27_server_stopped_at_once_and_started(
    run: Running, usual: Servers, tmp_path: Path
) -> None:
    seconds = 20 if is_full() else 8
    async with (
        private(tmp_path / "postgres", usual) as (postgres, servers),
        run(size=lasting(seconds + 10), servers=servers) as world,
    ):
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 6)
            async with world.unwell(
                "PostgreSQL away", names="PostgreSQL", logs="loop failed"
            ) as watch:
                await postgres.stop_at_once()
                world.injected("PostgreSQL stopped at once")
                await world.idles("PostgreSQL away", seconds)
                await postgres.start()
            await world.recovers(
                "the start of PostgreSQL", RESTART_BOUND_S, ended_at=watch.ended_at
            )
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable=NO_LANE_SPARED)


@pytest.mark.fault("F28", quick=False)
async def test_f28_all_slots_for_connections_taken(
    run: Running, usual: Servers, tmp_path: Path
) -> None:
    seconds = 30 if is_full() else 8
    async with (
        private(tmp_path / "postgres", usual, max_connections="80") as (_, servers),
        run(size=lasting(seconds + 15), servers=servers) as world,
    ):
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 6)
            async with AsyncExitStack() as others:
                number = await others.enter_async_context(slots_taken(world))
                world.injected(f"{number} sessions of others, none of ours")
                async with world.unwell(
                    "no slot for a connection", names="PostgreSQL", logs="TooManyConnections"
                ) as watch:
                    await watch.showed()
                    await world.idles("without a connection", seconds)
                    await others.aclose()
            await world.recovers("the slots are free", RESTART_BOUND_S, ended_at=watch.ended_at)
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable=NO_LANE_SPARED)


@asynccontextmanager
async def slots_taken(world: World) -> AsyncIterator[int]:
    """Others hold every slot of the server, the service none; their number."""
    async with AsyncExitStack() as others:
        first = await others.enter_async_context(connected(world.servers.database_url))
        number = 1
        # Held for the moment in which its sessions go, or it would take the slots again.
        for instance in world.instances:
            instance.send(signal.SIGSTOP)
        await first.fetch(
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {SESSIONS}"
        )
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                await others.enter_async_context(connected(world.servers.database_url))
                number += 1
        for instance in world.instances:
            instance.send(signal.SIGCONT)
        yield number


# F33: no room on the disk


@pytest.mark.fault("F33", quick=False)
async def test_f33_disk_of_the_database_full(run: Running, usual: Servers) -> None:
    seconds = 30 if is_full() else 10
    with limited_disk(size_mib=320) as disk:
        async with (
            private(disk / "postgres", usual) as (postgres, servers),
            run(size=lasting(seconds + 10), servers=servers) as world,
        ):
            await world.start()
            await world.warm_up()
            async with world.load() as load, kept_running(postgres):
                await load.passes(world.size.messages // 6)
                async with world.unwell(
                    "disk full", names="PostgreSQL", logs="batch not committed"
                ) as watch:
                    with ballast(disk):
                        world.injected("disk full")
                        await world.idles("disk full", seconds)
                await world.recovers(
                    "there is room again", RESTART_BOUND_S, ended_at=watch.ended_at
                )
            await world.settled()
            await require_no_attempt_burnt(world)
            await world.judge(not_applicable=NO_LANE_SPARED)


@contextmanager
def ballast(disk: Path) -> Iterator[None]:
    """Nothing more can be written to the disk."""
    heavy = disk / "ballast"
    try:
        with contextlib.suppress(OSError), heavy.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        yield
    finally:
        heavy.unlink()


@asynccontextmanager
async def kept_running(postgres: Postgres) -> AsyncIterator[None]:
    """The system starts PostgreSQL again should it end."""
    keeping = asyncio.create_task(postgres.keep_running())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


# F34: a pooler in between


@pytest.mark.fault("F34", quick=True)
async def test_f34_no_start_behind_a_pooler(run: Running, usual: Servers) -> None:
    kinds: tuple[tuple[Mode, bool], ...] = (
        ("transaction", False),
        ("transaction", True),
        ("session", True),
    )
    for mode, ignores_settings in kinds:
        with pgbouncer(usual.database_url, mode, ignores_settings=ignores_settings) as url:
            # Others do reach the database through it.
            async with connected(url) as other:
                assert await other.execute("select count(*) from inbox") == "SELECT 1"
            servers = msgspec.structs.replace(usual, service_database_url=url)
            async with run(servers=servers) as world:
                world.service.launch(ERP_SECRET="secret")
                assert await world.service.ended() != 0
                assert "A connection pooler stands between" in world.service.log.read_text()
                world.service.log.unlink()
