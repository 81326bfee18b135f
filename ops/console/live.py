"""What people look at while it changes: one look at the database a second for all who look on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
from aiohttp import web

from broker import sessions
from broker.looper import Loop
from broker.principals import Refused
from broker.store import Database
from ops.console.guards import READING, SETTINGS
from ops.console.pages import SIGNED

LOOK_S = 1.0
HEARTBEAT_S = 15.0
# Open at once in one process. A browser closes those of tabs that nobody sees.
MOST_STREAMS = 200
LIVE: web.AppKey[Live] = web.AppKey("live")

Mark = Callable[[str], Awaitable[str]]
"""Something else each time that what has that key changes."""

Render = Callable[[str], Awaitable[str]]
"""What is shown of it, as HTML."""


class _Watched:
    """What has one key, as it was last seen, and who waits for it to change."""

    def __init__(self) -> None:
        self.mark = ""
        self.body = b""
        self.changed = asyncio.Event()
        self.lookers = 0


class Live:
    """Looks for changes while somebody looks on; nothing is asked where nobody does."""

    def __init__(self, *, mark: Mark, render: Render, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._mark = mark
        self._render = render
        self._heartbeat_s = heartbeat_s
        self._watched: dict[str, _Watched] = {}
        self._closing = asyncio.Event()
        self._loop = Loop("console", self._look, rest_s=LOOK_S)

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(watched.lookers for watched in self._watched.values())

    async def start(self, app: web.Application) -> None:
        """Streams may be opened."""
        self._loop.start()

    async def stop(self, app: web.Application) -> None:
        """Every stream has been told to end, and nothing is looked for any more."""
        self._closing.set()
        for watched in self._watched.values():
            watched.changed.set()
        await self._loop.stop(1.0)

    async def stream(self, request: web.Request, key: str) -> web.StreamResponse:
        """What has the key, anew each time that it changes, until who looks on has gone, is not
        signed in any more, or the console stops.

        Who has seen the last form of it (Last-Event-ID) is sent the next one.
        """
        if self.streams >= MOST_STREAMS or self._closing.is_set():
            raise web.HTTPServiceUnavailable
        watched = self._watched.setdefault(key, _Watched())
        watched.lookers += 1
        try:
            return await self._send(request, watched)
        finally:
            watched.lookers -= 1
            if not watched.lookers:
                self._watched.pop(key, None)

    async def _send(self, request: web.Request, watched: _Watched) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = request.headers.get("Last-Event-ID", "")
        self._loop.wake()
        try:
            while not self._closing.is_set():
                changed = watched.changed
                if watched.mark and watched.mark != seen:
                    seen = watched.mark
                    await response.write(event(seen, watched.body))
                elif not await _happens(changed, self._heartbeat_s):
                    if not await _is_signed_in(request):
                        break
                    await response.write(b": still here\n\n")
        except ConnectionResetError:
            # Who looked on has gone.
            return response
        return response

    async def _look(self) -> bool:
        for key, watched in list(self._watched.items()):
            # What is late, and when all may be done, changes by the clock too.
            mark = f"{await self._mark(key)}-{datetime.now(UTC):%H%M}"
            if mark != watched.mark and not self._closing.is_set():
                watched.body = (await self._render(key)).encode()
                watched.mark = mark
                watched.changed.set()
                watched.changed = asyncio.Event()
        return False


def event(mark: str, body: bytes) -> bytes:
    """A message of a stream, whose id is the mark."""
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"".join((f"id: {mark}\n".encode(), *(b"data: " + n + b"\n" for n in lines), b"\n"))


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _is_signed_in(request: web.Request) -> bool:
    """Looking on is no work: it keeps nobody signed in."""
    reading: Database = request.app[READING]
    try:
        async with reading.session() as session:
            await sessions.current(session, request[SIGNED].text, request.app[SETTINGS].limits)
    except (Refused, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True
