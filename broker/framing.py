"""A publish of ours as ready-made bytes, and many of them in one write.

The library spends most of a publish on objects around the bytes, and waits for the socket after
each. Here the bytes are put together, on the same connection: the library's write queue takes
bytes, its books of unconfirmed publishes take anything that behaves like a future.
benchmarks/results/README.md says what that brought.

Only what our events need can be said: text headers, JSON, persistent, mandatory.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import aiormq
from aiormq.abc import ChannelFrame, ConfirmationFrameType
from aiormq.exceptions import ChannelInvalidStateError

CHUNK_BYTES: Final = 256 * 1024
"""Written at once at most, and more only with a single body."""

_END: Final = b"\xce"
_HEAD: Final = struct.Struct(">BHI")
_FRAME_BYTES: Final = _HEAD.size + len(_END)
_METHOD: Final = struct.Struct(">HHH")
_CONTENT: Final = struct.Struct(">HHQH")
_LENGTH: Final = struct.Struct(">I")
_BASIC, _PUBLISH, _MANDATORY = 60, 40, b"\x01"
# Content type, headers, delivery mode, priority and message id are there, in this order.
_FLAGS: Final = 0xB880
_JSON: Final = b"\x10application/json"
_PERSISTENT: Final = b"\x02\x00"  # of priority 0


def publish_frames(
    channel: int,
    *,
    exchange: str,
    routing_key: str,
    headers: Mapping[str, str],
    message_id: str,
    body: bytes,
    frame_max: int,
) -> bytes:
    """Basic.Publish with header and body as the broker reads them.

    frame_max: longest frame in bytes that the connection has agreed on; 0 = any.
    Raises: ValueError where a name is longer than the 255 bytes that AMQP has for it.
    """
    entries: list[bytes] = []
    for name in sorted(headers):
        value = headers[name].encode()
        entries += (_name(name), _LENGTH.pack(len(value)), value)
    table = b"".join(entries)
    properties = b"".join((_JSON, _LENGTH.pack(len(table)), table, _PERSISTENT, _short(message_id)))
    content = _CONTENT.pack(_BASIC, 0, len(body), _FLAGS) + properties
    frames = [
        _method(channel, exchange, routing_key),
        _HEAD.pack(2, channel, len(content)),
        content,
        _END,
    ]
    room = frame_max - _FRAME_BYTES if frame_max else max(len(body), 1)
    for start in range(0, len(body), room):
        piece = body[start : start + room]
        frames += (_HEAD.pack(3, channel, len(piece)), piece, _END)
    return b"".join(frames)


@lru_cache(maxsize=1024)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    names = _short(exchange) + _short(routing_key)
    payload = _METHOD.pack(_BASIC, _PUBLISH, 0) + names + _MANDATORY
    return _HEAD.pack(1, channel, len(payload)) + payload + _END


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    """A header's name and the mark of a text value."""
    return _short(name) + b"S"


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"{len(encoded)} bytes are too long for a name: {text[:40]}...")
    return b"%c%b" % (len(encoded), encoded)


class Unconfirmed:
    """A publish whose answer is awaited. Stands in the library's books where it keeps a future."""

    __slots__ = ("_answered", "_forget", "_is_done")

    def __init__(
        self, answered: Callable[[BaseException | None], None], forget: Callable[[], object]
    ) -> None:
        """answered: called once, with what went wrong. forget: out of the books with it."""
        self._answered = answered
        self._forget = forget
        self._is_done = False

    def done(self) -> bool:
        """Whether it was answered."""
        return self._is_done

    def cancelled(self) -> bool:
        """Nobody takes a publish back."""
        return False

    def set_result(self, _: ConfirmationFrameType) -> None:
        """The broker has it for good."""
        self._answer(None)

    def set_exception(self, error: BaseException) -> None:
        """The broker has it not, or nobody will ever know."""
        self._answer(error)

    def _answer(self, error: BaseException | None) -> None:
        if not self._is_done:
            self._is_done = True
            self._forget()
            self._answered(error)


class Outlet:
    """The way out of one connection: what is given is written in that order, many at a time."""

    def __init__(self, write_queue: asyncio.Queue[ChannelFrame]) -> None:
        self._write_queue = write_queue
        self._waiting: deque[tuple[aiormq.Channel, bytes]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def adopt(self, channel: aiormq.Channel) -> None:
        """The channel is published on through this outlet, and through nothing else."""

        def lost(closing: asyncio.Future[object]) -> None:
            error = None if closing.cancelled() else closing.exception()
            for unconfirmed in list(_books(channel).values()):
                if isinstance(unconfirmed, Unconfirmed):
                    unconfirmed.set_exception(error or ConnectionError("the channel was closed"))

        channel.closing.add_done_callback(lost)

    def publish(
        self,
        channel: aiormq.Channel,
        frames: bytes,
        *,
        message_id: str,
        answered: Callable[[BaseException | None], None],
    ) -> None:
        """The frames leave soon; `answered` is called once, with what went wrong.

        Raises: ChannelInvalidStateError if the channel is closed.
        """
        if _is_closing(channel):
            raise ChannelInvalidStateError("the channel is closed")
        channel.delivery_tag += 1
        tags = channel.message_id_delivery_tag
        tags[message_id] = channel.delivery_tag
        _books(channel)[channel.delivery_tag] = Unconfirmed(
            answered, lambda: tags.pop(message_id, None)
        )
        self._waiting.append((channel, frames))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="outlet")

    async def written(self) -> None:
        """What was given has been handed to the socket."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def close(self) -> None:
        """Nothing more is written."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self) -> None:
        while self._waiting:
            while self._write_queue.full():
                await self._write_queue.join()
            drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # Nothing may come between the look at the channels and the queue: bytes for a channel
            # whose end was acknowledged cost the connection.
            chunk = self._next_chunk()
            self._write_queue.put_nowait(
                ChannelFrame(payload=chunk, should_close=False, drain_future=drained)
            )
            await drained

    def _next_chunk(self) -> bytes:
        chunk: list[bytes] = []
        size = 0
        while self._waiting and (not size or size + len(self._waiting[0][1]) <= CHUNK_BYTES):
            channel, frames = self._waiting.popleft()
            if not _is_closing(channel):
                chunk.append(frames)
                size += len(frames)
        return b"".join(chunk)


def _books(channel: aiormq.Channel) -> dict[int, object]:
    """What the library keeps of unconfirmed publishes, by delivery tag."""
    return channel.confirmations  # type: ignore[return-value]


def _is_closing(channel: aiormq.Channel) -> bool:
    """Whether it is closed, or has acknowledged that the broker closes it."""
    return channel.is_closed or channel._close_exception is not None
