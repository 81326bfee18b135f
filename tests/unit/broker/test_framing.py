"""The bytes of a publish are those the library would write, and its books are kept as it keeps
them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aio_pika
import aiormq
import pytest
from aiormq.abc import ChannelFrame
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from broker.framing import CHUNK_BYTES, Outlet, publish_frames

FRAME_MAX = 131_072

# More than that the library refuses to write.
names = st.from_regex(r"[a-zA-Z0-9-_.:@#,/]{1,60}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=80)


def as_the_library_writes(
    channel: int,
    *,
    exchange: str,
    routing_key: str,
    headers: dict[str, str],
    message_id: str,
    body: bytes,
    frame_max: int,
) -> bytes:
    message = aio_pika.Message(
        body,
        headers=dict[str, Any](headers),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message_id,
    )
    room = frame_max - 8 if frame_max else max(len(body), 1)
    pieces = [body[start : start + room] for start in range(0, len(body), room)]
    return ChannelFrame.marshall(
        channel,
        [
            commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True),
            ContentHeader(properties=message.properties, body_size=len(body)),
            *(ContentBody(piece) for piece in pieces),
        ],
    ).payload


@given(
    channel=st.integers(1, 2047),
    exchange=names,
    routing_key=names,
    headers=st.dictionaries(names, texts, max_size=12),
    message_id=st.text(st.characters(codec="ascii"), min_size=1, max_size=40),
    body=st.binary(max_size=10_000),
    frame_max=st.sampled_from([0, 4_096, FRAME_MAX]),
)
def test_the_bytes_are_those_of_the_library(**said: Any) -> None:
    assert publish_frames(**said) == as_the_library_writes(**said)


def test_a_name_too_long_for_amqp_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes are too long"):
        publish_frames(
            1,
            exchange="e",
            routing_key="r" * 256,
            headers={},
            message_id="m",
            body=b"",
            frame_max=0,
        )


class Books:
    """As much of the library's channel as a publish touches."""

    def __init__(self) -> None:
        self.delivery_tag = 0
        self.confirmations: dict[int, Any] = {}
        self.message_id_delivery_tag: dict[str, int] = {}
        self.is_closed = False
        self._close_exception: BaseException | None = None
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def acknowledge_the_end(self) -> None:
        """The broker has closed it, and the library has said that it knows."""
        self._close_exception = ConnectionError("404")


class Way:
    """An outlet on a write queue that is emptied by hand."""

    def __init__(self, room: int = 10) -> None:
        self.queue: asyncio.Queue[ChannelFrame] = asyncio.Queue(room)
        self.outlet = Outlet(self.queue)
        self.books = Books()
        self.answers: list[BaseException | None] = []
        self.outlet.adopt(cast(aiormq.Channel, self.books))

    def publish(self, frames: bytes, message_id: str = "m") -> None:
        self.outlet.publish(
            cast(aiormq.Channel, self.books),
            frames,
            message_id=message_id,
            answered=self.answers.append,
        )

    async def written(self) -> bytes:
        async with asyncio.timeout(2):
            frame = await self.queue.get()
            self.queue.task_done()
        frame.drain()
        return frame.payload


async def test_what_is_given_together_is_written_together_in_its_order() -> None:
    way = Way()
    for n in range(3):
        way.publish(b"%d" % n, f"m{n}")
    assert await way.written() == b"012"
    assert way.books.message_id_delivery_tag == {"m0": 1, "m1": 2, "m2": 3}
    way.books.confirmations.pop(2).set_result(None)
    assert way.answers == [None]
    assert way.books.message_id_delivery_tag == {"m0": 1, "m2": 3}


async def test_much_is_written_in_chunks_and_a_large_one_alone() -> None:
    way = Way()
    for size in (CHUNK_BYTES - 1, 2, CHUNK_BYTES + 1, 1):
        way.publish(b"x" * size)
    sizes = [len(await way.written()) for _ in range(4)]
    assert sizes == [CHUNK_BYTES - 1, 2, CHUNK_BYTES + 1, 1]


async def test_nothing_is_written_on_a_channel_whose_end_was_acknowledged() -> None:
    way, other = Way(), Books()
    way.publish(b"late")
    way.books.acknowledge_the_end()
    way.outlet.publish(
        cast(aiormq.Channel, other), b"fine", message_id="m", answered=way.answers.append
    )
    assert await way.written() == b"fine"
    with pytest.raises(aiormq.exceptions.ChannelInvalidStateError):
        way.publish(b"later")


async def test_a_channel_that_closes_answers_for_what_it_carried_and_once() -> None:
    way = Way()
    way.publish(b"1", "m1")
    way.publish(b"2", "m2")
    way.books.confirmations.pop(1).set_result(None)
    way.books.closing.set_exception(ConnectionError("gone"))
    await asyncio.sleep(0)
    first, second = way.answers
    assert first is None
    assert isinstance(second, ConnectionError)
    way.books.confirmations.pop(2).set_result(None)
    assert len(way.answers) == 2


async def test_a_full_write_queue_is_waited_for() -> None:
    way = Way(room=1)
    await way.queue.put(ChannelFrame(payload=b"other", should_close=False))
    way.publish(b"ours")
    await asyncio.sleep(0.05)
    assert await way.written() == b"other"
    assert await way.written() == b"ours"
