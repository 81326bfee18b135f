"""A TCP line between the service and a server that fails on command.

It knows nothing of what passes, except where it looks for PostgreSQL's COMMIT.

Modes of a line: pass; freeze (nothing moves, nothing is closed); drop towards one side (the bytes
are taken and lost, as by a firewall); throttle, delay with jitter; reset; and a cut after so many
bytes towards the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

Direction = Literal["to server", "to client"]
CHUNK = 16 * 1024
CLOSE_S = 5.0
# Without it a close is a polite end, and only unread bytes make it a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What a line does to what passes.

    freeze: nothing moves. drop: bytes that way are lost. delay_s, jitter_s: each chunk waits so
    long, and up to so much longer. hold: this share of the chunks waits hold_s more. rate: bytes a
    second each way, over all connections; 0 is no limit.
    """

    freeze: bool = False
    drop: Direction | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    hold: float = 0.0
    hold_s: float = 2.0
    rate: int = 0


CLEAR = Weather()


class Line:
    """Takes connections on a port of its own and carries them to the server; to the first of
    several that takes them, as a load balancer does."""

    def __init__(self, host: str, port: int, *others: int, seed: int = 0) -> None:
        """others: ports of the same host that are tried after this one."""
        self._to = [(host, port) for port in (port, *others)]
        self._chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._cut_after: int | None = None
        self._watch: Callable[[], CommitCut] | None = None
        self._moving = asyncio.Event()
        self._full_until: dict[Direction, float] = {}
        self.weather = CLEAR
        self.change(CLEAR)
        self.taken = 0
        self.cuts = 0
        self.port = 0

    async def open(self) -> None:
        """Listens on a free port of loopback."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Nothing listens and nothing is connected."""
        assert self._server is not None
        self._server.close()
        self.change(CLEAR)
        self.reset()
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=CLOSE_S)
        await self._server.wait_closed()

    def change(self, weather: Weather) -> None:
        """All connections, those that are open too, meet this weather from now on."""
        self.weather = weather
        self._full_until.clear()
        if weather.freeze:
            self._moving.clear()
        else:
            self._moving.set()

    def reset(self) -> None:
        """Every connection is reset on both sides; new ones are taken."""
        for pair in self._pairs:
            pair.abort()

    def cut_after(self, number: int) -> None:
        """The next connection that has sent so many bytes to the server is reset, once; what came
        before has passed."""
        self._cut_after = number

    def cut_commit(self, when: Literal["before", "after"], nth: int = 1) -> None:
        """The connection with the nth COMMIT from now on is reset: before the server got it, or
        after it answered and before the client heard. Once."""
        state = CommitCut(when, nth)
        self._watch = lambda: state

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        if (connected := await self._connect()) is None:
            writer.transport.abort()
            return
        there, back = connected
        pair = _Pair(writer, back)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back, "to server", pair))
                group.create_task(self._copy(there, writer, "to client", pair))
        finally:
            self._pairs.discard(pair)
            await pair.closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for address in self._to:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*address)
        return None

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        pair: _Pair,
    ) -> None:
        try:
            while data := await reader.read(self._chunk):
                await self._weathered(len(data), direction)
                if self.weather.drop == direction:
                    continue
                passed = self._passed(data, direction, pair)
                writer.write(passed)
                await writer.drain()
                if len(passed) < len(data) or pair.is_cut:
                    self.cuts += 1
                    pair.abort()
                    return
        except (ConnectionError, TimeoutError):
            pair.abort()
        else:
            if not writer.is_closing():
                writer.close()

    @property
    def _chunk(self) -> int:
        """Bytes read at once: few on a thin line, as packets are, for others wait behind them."""
        rate = self.weather.rate
        return min(CHUNK, max(rate // 8, 64)) if rate else CHUNK

    async def _weathered(self, size: int, direction: Direction) -> None:
        """The chunk has waited as long as the weather wants."""
        weather = self.weather
        wait_s = weather.delay_s + self._chance.uniform(0, weather.jitter_s)
        if weather.hold and self._chance.random() < weather.hold:
            wait_s += weather.hold_s
        if weather.rate:
            now = asyncio.get_running_loop().time()
            begins = max(now, self._full_until.get(direction, now))
            self._full_until[direction] = begins + size / weather.rate
            wait_s += self._full_until[direction] - now
        if wait_s:
            await asyncio.sleep(wait_s)
        await self._moving.wait()

    def _passed(self, data: bytes, direction: Direction, pair: _Pair) -> bytes:
        """What of a chunk goes on; less than all of it where the connection is cut here."""
        if direction == "to server" and self._cut_after is not None:
            pair.sent += len(data)
            if pair.sent >= self._cut_after:
                rest = pair.sent - self._cut_after
                self._cut_after = None
                pair.is_cut = True
                return data[: len(data) - rest]
        if self._watch is not None:
            state = self._watch()
            if state.cuts_here(data, direction, pair):
                self._watch = None
                pair.is_cut = True
                return b""
        return data


class _Pair:
    """Both ends of one carried connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._ends = client, server
        self.sent = 0
        self.is_cut = False
        self.is_committing = False

    def abort(self) -> None:
        """Reset on both sides."""
        for end in self._ends:
            line: socket.socket | None = end.get_extra_info("socket")
            if line is not None and line.fileno() >= 0:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.transport.abort()

    async def closed(self) -> None:
        """Both sockets are gone."""
        for end in self._ends:
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()


class CommitCut:
    """Finds the nth COMMIT in what asyncpg sends: a simple query, or a statement by protocol.

    A COMMIT travels in one segment and so does its answer, for both are a few bytes and the client
    waits in between; nothing else of ours holds this text as a query.
    """

    _QUERY = b"COMMIT;\x00"
    _ANSWER = b"COMMIT\x00"

    def __init__(self, when: Literal["before", "after"], nth: int) -> None:
        self._when = when
        self._left = nth

    def cuts_here(self, data: bytes, direction: Direction, pair: _Pair) -> bool:
        """Whether the connection ends before this chunk goes on."""
        if direction == "to server":
            if self._left > 0 and data[:1] == b"Q" and self._QUERY in data:
                self._left -= 1
                if self._left == 0:
                    pair.is_committing = True
                    return self._when == "before"
            return False
        return pair.is_committing and self._ANSWER in data


@asynccontextmanager
async def line_to(url: str, *others: int, seed: int = 0) -> AsyncIterator[tuple[Line, str]]:
    """A line to the server of a URL, or to one of the other ports where it does not answer; and the
    URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    line = Line(parts.hostname, parts.port, *others, seed=seed)
    await line.open()
    credentials = parts.netloc.rpartition("@")[0]
    try:
        yield line, urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{line.port}"))
    finally:
        await line.close()
