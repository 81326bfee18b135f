"""AMQP frames as bytes: publishes what no client library would send, each message confirmed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import pamqp.frame
from pamqp import commands, heartbeat
from pamqp.common import FieldTable
from yarl import URL

DEADLINE_S = 20.0
# Of a content header: which properties follow.
CONTENT_TYPE, CONTENT_ENCODING, HEADERS = 1 << 15, 1 << 14, 1 << 13
MESSAGE_ID, TIMESTAMP, USER_ID = 1 << 7, 1 << 6, 1 << 4
_FRAME_MAX = 131_072


class Refused(Exception):
    """The broker closed the channel instead of confirming; says how."""


def table(entries: bytes) -> bytes:
    """A header table of these entries."""
    return struct.pack(">I", len(entries)) + entries


def short_text(text: bytes) -> bytes:
    """A short string, at most 255 bytes."""
    return bytes([len(text)]) + text


def properties(headers: FieldTable | None = None, **other: str) -> tuple[int, bytes]:
    """Sound properties: their flags and their bytes."""
    made = commands.Basic.Properties(headers=headers, **other)  # type: ignore[arg-type]
    marshalled = made.marshal()
    return int.from_bytes(marshalled[:2], "big"), marshalled[2:]


class RawPublisher:
    """Publishes content headers as bytes over one channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, amqp_url: str) -> AsyncIterator[Self]:
        """Connected, confirms on; a channel the broker closed takes no more."""
        url = URL(amqp_url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        publisher = cls(reader, writer)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await publisher._open(url)
            yield publisher
        finally:
            writer.close()

    async def publish(
        self, queue: bytes, body: bytes, *, flag: int, properties: bytes, exchange: bytes = b""
    ) -> None:
        """Returns when the broker has confirmed it; raises Refused if it will not."""
        publish = struct.pack(">HHH", 60, 40, 0)
        publish += short_text(exchange) + short_text(queue) + b"\0"
        content = struct.pack(">HHQH", 60, 0, len(body), flag) + properties
        most = _FRAME_MAX - 8
        pieces = [body[at : at + most] for at in range(0, len(body), most)]
        for kind, payload in ((1, publish), (2, content), *((3, piece) for piece in pieces)):
            frame = struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"
            self._writer.write(frame)
        async with asyncio.timeout(DEADLINE_S):
            await self._expect(commands.Basic.Ack)

    async def _open(self, url: URL) -> None:
        self._writer.write(b"AMQP\x00\x00\x09\x01")
        await self._expect(commands.Connection.Start)
        login = f"\0{url.user}\0{url.password}"
        self._send(0, commands.Connection.StartOk({}, "PLAIN", login, "en_US"))
        await self._expect(commands.Connection.Tune)
        self._send(0, commands.Connection.TuneOk(1, _FRAME_MAX, 0))
        self._send(0, commands.Connection.Open(url.path.removeprefix("/")))
        await self._expect(commands.Connection.OpenOk)
        self._send(1, commands.Channel.Open())
        await self._expect(commands.Channel.OpenOk)
        self._send(1, commands.Confirm.Select())
        await self._expect(commands.Confirm.SelectOk)

    def _send(self, channel: int, method: pamqp.frame.FrameTypes) -> None:
        self._writer.write(pamqp.frame.marshal(method, channel))

    async def _expect(self, kind: type[pamqp.frame.FrameTypes]) -> None:
        while True:
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(struct.unpack(">BHI", head)[2] + 1)
            _, _, received = pamqp.frame.unmarshal(head + rest)
            if isinstance(received, commands.Channel.Close):
                raise Refused(f"{received.reply_code} {received.reply_text}")
            if not isinstance(received, heartbeat.Heartbeat):
                assert isinstance(received, kind), received
                return
