"""Deliveries, taken out of what a connection receives before the library takes it apart.

The library reads a connection frame by frame, three waits and some ten objects each, and starts a
task per delivery. Here what has come is taken apart at once;
deliveries on consumed channels go to whoever consumes, and everything else to the library, which
sees a stream that has no deliveries in it. benchmarks/results/README.md says what that brought.

Nothing of the library is replaced: it asks for a transport where it connects.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import aio_pika
import msgspec
import structlog
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.common import FieldValue
from yarl import URL

from broker.amqp_properties import read_properties, read_short_string

CHUNK_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)

_FRAME: Final = struct.Struct(">BHI")
_FRAME_END: Final = 0xCE
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_KINDS: Final = frozenset((_METHOD, _HEADER, _BODY, _HEARTBEAT))
_DELIVER: Final = struct.pack(">HH", 60, 60)
_CLOSES: Final = frozenset((struct.pack(">HH", 20, 40), struct.pack(">HH", 20, 41)))
_TAG: Final = struct.Struct(">QB")
_CONTENT: Final = struct.Struct(">HHQ")
_SIGN_OF_LIFE: Final = _FRAME.pack(_HEARTBEAT, 0, 0) + bytes((_FRAME_END,))


class Received(msgspec.Struct, frozen=True, gc=False):
    """One delivery. properties: by pamqp's names, those that were sent."""

    tag: int
    redelivered: bool
    routing_key: str
    properties: dict[str, FieldValue]
    body: bytes


Sink = Callable[[Received], None]


class _Content:
    """A delivery of which not everything has come."""

    __slots__ = ("body", "missing", "properties", "redelivered", "routing_key", "tag")

    def __init__(self, method: bytes) -> None:
        """method: the payload of its Basic.Deliver."""
        at = 5 + method[4]  # behind the consumer's tag
        self.tag, redelivered = _TAG.unpack_from(method, at)
        self.redelivered = bool(redelivered & 1)
        at += _TAG.size
        _, self.routing_key = read_short_string(method, at + 1 + method[at])
        self.properties: dict[str, FieldValue] = {}
        self.missing = 0
        self.body: list[bytes] = []

    def describe(self, header: bytes) -> None:
        """header: the payload of its content header."""
        _, _, self.missing = _CONTENT.unpack_from(header)
        at, flags = _CONTENT.size, 0
        for word in range(len(header) // 2):
            found = int.from_bytes(header[at : at + 2], "big")
            flags |= found << (16 * word)
            at += 2
            if not found & 1:
                break
        self.properties = read_properties(flags, header[at:])

    def received(self) -> Received:
        """All of it."""
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        return Received(self.tag, self.redelivered, self.routing_key, self.properties, body)


async def _at_once() -> None:
    return


class Sieve:
    """Stands between a stream and the library; see `asyncio.StreamReader` for what it asks."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._coming = b""
        self._passed = bytearray()
        self._is_amqp = True
        self._sinks: dict[int, Sink] = {}
        self._under_way: dict[int, _Content] = {}
        # Waited for before anything more is read.
        self.room: Callable[[], Awaitable[None]] = _at_once

    def keep(self, channel: int, sink: Sink) -> None:
        """Deliveries on the channel go to `sink` from here on, until the channel is closed."""
        self._sinks[channel] = sink
        self._under_way.pop(channel, None)

    # What the library asks

    def at_eof(self) -> bool:
        """Whether nothing will come any more."""
        return not self._passed and self._stream.at_eof()

    async def readexactly(self, size: int) -> bytes:
        """So many bytes of what is not kept.

        Raises: IncompleteReadError at the end of the stream, OSError.
        """
        while len(self._passed) < size:
            await self.room()
            chunk = await self._stream.read(CHUNK_BYTES)
            if not chunk:
                raise asyncio.IncompleteReadError(bytes(self._passed), size)
            if self._sift(chunk) and not self._passed:
                # The library counts what it sees: without this it takes the line for dead.
                self._passed += _SIGN_OF_LIFE
        wanted = bytes(self._passed[:size])
        del self._passed[:size]
        return wanted

    async def read(self, size: int = -1) -> bytes:
        """What has come and is not kept, the rest of a stream that is not AMQP."""
        return bytes(self._passed) + await self._stream.read(size)

    # Sifting

    def _sift(self, chunk: bytes) -> bool:
        """Whether anything of it was kept."""
        data = self._coming + chunk if self._coming else chunk
        at, passed, end = 0, 0, len(data)
        has_kept = False
        while self._is_amqp and end - at >= _FRAME.size:
            kind, channel, size = _FRAME.unpack_from(data, at)
            if kind not in _KINDS:
                self._is_amqp = False  # the library will say what it thinks of that
                break
            begin, stop = at + _FRAME.size, at + _FRAME.size + size
            if stop >= end:
                break
            if (
                channel in self._sinks
                and data[stop] == _FRAME_END
                and self._is_kept(kind, channel, data[begin:stop])
            ):
                self._passed += data[passed:at]
                passed = stop + 1
                has_kept = True
            at = stop + 1
        if not self._is_amqp:
            at = end
        self._passed += data[passed:at]
        self._coming = data[at:]
        return has_kept

    def _is_kept(self, kind: int, channel: int, payload: bytes) -> bool:
        """Whether the frame is part of a delivery; one that is complete goes to its sink."""
        content = self._under_way.get(channel)
        match kind:
            case 1:
                method = payload[:4]
                if method == _DELIVER:
                    self._under_way[channel] = _Content(payload)
                    return True
                if method in _CLOSES:
                    del self._sinks[channel]
                    self._under_way.pop(channel, None)
                return False
            case 2 if content is not None:
                content.describe(payload)
            case 3 if content is not None:
                content.body.append(payload)
                content.missing -= len(payload)
            case _:
                return False
        if content.missing <= 0:
            del self._under_way[channel]
            self._hand_over(channel, content.received())
        return True

    def _hand_over(self, channel: int, received: Received) -> None:
        try:
            self._sinks[channel](received)
        except Exception:  # one delivery must not end a connection; it stays unacknowledged
            log.exception("delivery not taken", channel=channel, tag=received.tag)


class SiftedConnection(aio_pika.Connection):
    """A plain connection with a sieve in it."""

    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self._transports = _Transports()
        # What the library is not asked for by name, it passes on all the same.
        self.kwargs["transport_factory"] = self._transports

    @property
    def sieve(self) -> Sieve:
        """Of a connection that was made."""
        assert self._transports.sieve is not None
        return self._transports.sieve


class _Transports(TransportFactory):
    def __init__(self) -> None:
        self.sieve: Sieve | None = None

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The library's own transport, its reader behind a sieve."""
        inner = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await inner.create(url, **options)
        self.sieve = Sieve(reader)
        return cast(asyncio.StreamReader, self.sieve), writer
