"""The line fails as it is told to, and only so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Literal

import asyncpg
import pytest

from tests.faults.proxy import CLEAR, Line, Weather, line_to

WAIT_S = 5.0


@asynccontextmanager
async def serving(received: bytearray) -> AsyncIterator[str]:
    """The URL of a server that keeps what it gets and sends it back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                received.extend(data)
                writer.write(data)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    async with asyncio.timeout(WAIT_S):
        await ended.wait()


@asynccontextmanager
async def echoing(
    received: bytearray | None = None,
) -> AsyncIterator[tuple[Line, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through a line to a server that sends everything back."""
    async with (
        serving(bytearray() if received is None else received) as url,
        line_to(url) as (line, _),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        try:
            yield line, reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_bytes_pass() -> None:
    async with echoing() as (_, reader, writer):
        writer.write(b"hello")
        async with asyncio.timeout(WAIT_S):
            assert await reader.readexactly(5) == b"hello"


async def test_a_frozen_line_moves_nothing_until_it_thaws() -> None:
    async with echoing() as (line, reader, writer):
        line.change(Weather(freeze=True))
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(5)
        line.change(CLEAR)
        async with asyncio.timeout(WAIT_S):
            assert await reader.readexactly(5) == b"hello"


async def test_what_is_dropped_never_comes_and_the_connection_stays() -> None:
    async with echoing() as (line, reader, writer):
        line.change(Weather(drop="to client"))
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(5)
        line.change(CLEAR)
        writer.write(b"hello")
        async with asyncio.timeout(WAIT_S):
            assert await reader.readexactly(5) == b"hello"


async def test_a_cut_lets_only_so_many_bytes_pass() -> None:
    received = bytearray()
    async with echoing(received) as (line, reader, writer):
        line.cut_after(3)
        writer.write(b"hello")
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(5)
        assert line.cuts == 1
    assert b"hel".startswith(received)


async def test_a_reset_is_seen_by_the_client() -> None:
    async with echoing() as (line, reader, writer):
        writer.write(b"hello")
        async with asyncio.timeout(WAIT_S):
            await reader.readexactly(5)
            line.reset()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)


async def test_delay_and_rate_take_their_time() -> None:
    async with echoing() as (line, reader, writer):
        line.change(Weather(delay_s=0.05, rate=100))
        began = monotonic()
        writer.write(b"hello")
        async with asyncio.timeout(WAIT_S):
            await reader.readexactly(5)
        assert monotonic() - began >= 2 * (0.05 + 5 / 100)


@pytest.mark.parametrize(("when", "kept"), [("before", 0), ("after", 1)])
async def test_a_cut_commit_is_ambiguous_for_the_client_only(
    when: Literal["before", "after"], kept: int, database_url: str
) -> None:
    async with line_to(database_url) as (line, url):
        connection = await asyncpg.connect(url)
        line.cut_commit(when)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            async with connection.transaction():
                await connection.execute("insert into hold (scope, key) values ('a', 'b')")
        connection.terminate()
        assert line.cuts == 1
        again = await asyncpg.connect(url)
        assert await again.fetchval("select count(*) from hold") == kept
        await again.close()
