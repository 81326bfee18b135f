"""What the sieve keeps is what the library would have delivered, and the library gets the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, decode, encode
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from broker import amqp_properties
from broker.amqp_properties import damage, hostile_frames, violations
from broker.sieve import Received, Sieve

KEPT, OTHER = 3, 4
HEARTBEAT = pamqp.frame.marshal(Heartbeat(), 0)

names = st.from_regex(r"[a-zA-Z0-9-_.:@#,/]{1,30}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
values = texts | st.integers(-(2**31), 2**31) | st.booleans() | st.none()
tables = st.dictionaries(names, texts) | st.dictionaries(names, values)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[bytes, Received]:
    """The frames of one delivery on the kept channel, and what they say."""
    body = draw(st.binary(max_size=300))
    at_once = draw(st.integers(1, 300))
    said: dict[str, Any] = {
        "content_type": draw(st.sampled_from(["application/json", "text/plain"])),
        "headers": draw(tables),
        "message_id": draw(names),
    }
    received = Received(
        tag=draw(st.integers(1, 2**63 - 1)),
        redelivered=draw(st.booleans()),
        routing_key=draw(names),
        properties={name: said[name] for name in sorted(said)},
        body=body,
    )
    frames: list[Any] = [
        commands.Basic.Deliver(
            consumer_tag=draw(names),
            delivery_tag=received.tag,
            redelivered=received.redelivered,
            exchange=draw(names),
            routing_key=received.routing_key,
        ),
        ContentHeader(body_size=len(body), properties=commands.Basic.Properties(**said)),
        *(ContentBody(body[n : n + at_once]) for n in range(0, len(body), at_once)),
    ]
    return b"".join(pamqp.frame.marshal(frame, KEPT) for frame in frames), received


def others() -> st.SearchStrategy[bytes]:
    """Frames that are the library's."""
    return st.sampled_from(
        [
            pamqp.frame.marshal(commands.Basic.Ack(7, True), OTHER),
            pamqp.frame.marshal(commands.Basic.ConsumeOk("c"), KEPT),
            pamqp.frame.marshal(commands.Basic.Cancel("c", True), KEPT),
            pamqp.frame.marshal(commands.Basic.Deliver("c", 1, False, "e", "r"), OTHER)
            + pamqp.frame.marshal(ContentHeader(body_size=1), OTHER)
            + pamqp.frame.marshal(ContentBody(b"x"), OTHER),
        ]
    )


class Fed:
    """A sieve that is given a stream in pieces."""

    def __init__(self) -> None:
        self.stream = asyncio.StreamReader()
        self.sieve = Sieve(self.stream)
        self.kept: list[Received] = []

    def keep(self) -> None:
        self.sieve.keep(KEPT, self.kept.append)

    def feed(self, data: bytes, cuts: Sequence[int]) -> None:
        """The data comes in pieces that end at the cuts."""
        ends = [*sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        for begin, end in zip([0, *ends], ends, strict=False):
            self.stream.feed_data(data[begin:end])

    async def passed(self) -> bytes:
        """Everything the library gets until the end of the stream."""
        self.stream.feed_eof()
        passed = b""
        try:
            while True:
                passed += await self.sieve.readexactly(1)
        except asyncio.IncompleteReadError:
            return passed


@given(
    parts=st.lists(deliveries() | others(), max_size=8),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
)
async def test_deliveries_are_kept_and_everything_else_passes_in_its_order(
    parts: list[tuple[bytes, Received] | bytes], cuts: list[int]
) -> None:
    fed = Fed()
    fed.keep()
    fed.feed(b"".join(p if isinstance(p, bytes) else p[0] for p in parts), cuts)
    passed = await fed.passed()
    assert passed.replace(HEARTBEAT, b"") == b"".join(p for p in parts if isinstance(p, bytes))
    assert fed.kept == [p[1] for p in parts if not isinstance(p, bytes)]


async def test_the_library_sees_a_sign_of_life_where_everything_was_kept() -> None:
    fed = Fed()
    fed.keep()
    fed.stream.feed_data(delivery())
    assert await fed.sieve.readexactly(len(HEARTBEAT)) == HEARTBEAT


def delivery(header: bytes | None = None) -> bytes:
    """One delivery without a body."""
    deliver = commands.Basic.Deliver("c", 1, False, "e", "r")
    return pamqp.frame.marshal(deliver, KEPT) + (
        header or pamqp.frame.marshal(ContentHeader(body_size=0), KEPT)
    )


async def test_nothing_is_added_while_the_connection_is_made() -> None:
    fed = Fed()
    start = pamqp.frame.marshal(commands.Connection.Tune(1, 2, 3), 0)
    fed.stream.feed_data(start[:4])
    asked = asyncio.create_task(fed.sieve.readexactly(len(start)))
    await asyncio.sleep(0)
    fed.stream.feed_data(start[4:])
    assert await asked == start


@pytest.mark.parametrize(
    "close", [commands.Channel.Close(404, "no", 0, 0), commands.Channel.CloseOk()]
)
async def test_a_closed_channel_is_the_librarys_again(close: Any) -> None:
    fed = Fed()
    fed.keep()
    frames = pamqp.frame.marshal(close, KEPT) + delivery()
    fed.stream.feed_data(frames)
    assert await fed.passed() == frames
    assert not fed.kept


async def test_what_is_not_amqp_passes_untouched() -> None:
    fed = Fed()
    fed.stream.feed_data(b"AMQP\x00\x00\x09\x01 and more")
    assert await fed.passed() == b"AMQP\x00\x00\x09\x01 and more"


async def test_nothing_is_read_where_there_is_no_room() -> None:
    fed, room = Fed(), asyncio.Event()

    async def wait_for_room() -> None:
        await room.wait()

    fed.keep()
    fed.sieve.room = wait_for_room
    fed.stream.feed_data(delivery())
    asked = asyncio.create_task(fed.sieve.readexactly(1))
    await asyncio.sleep(0.01)
    assert not fed.kept
    room.set()
    await asked
    assert len(fed.kept) == 1


async def test_a_sink_that_fails_ends_nothing() -> None:
    fed = Fed()
    fed.sieve.keep(KEPT, fails)
    fed.stream.feed_data(delivery())
    assert await fed.sieve.readexactly(len(HEARTBEAT)) == HEARTBEAT


def fails(_: Received) -> None:
    raise ValueError("a bug")


@pytest.mark.parametrize(
    "name", [name for name in hostile_frames() if name != "routing key of invalid UTF-8"]
)
async def test_hostile_headers_are_kept_and_marked(name: str) -> None:
    fed = Fed()
    fed.keep()
    header = hostile_frames()[name]
    fed.stream.feed_data(delivery(header[:1] + KEPT.to_bytes(2) + header[3:]))
    await fed.passed()
    (received,) = fed.kept
    headers: Any = received.properties["headers"]
    assert violations(headers, received.routing_key)
    assert damage(headers)


async def test_flags_without_an_end_are_read_to_the_end_of_their_frame() -> None:
    fed = Fed()
    fed.keep()
    endless = b"\xff\xff" * 3
    payload = b"\x00\x3c\x00\x00" + bytes(8) + endless
    header = b"\x02" + KEPT.to_bytes(2) + len(payload).to_bytes(4) + payload + b"\xce"
    fed.stream.feed_data(delivery(header))
    await fed.passed()
    (received,) = fed.kept
    assert damage(received.properties["headers"])  # type: ignore[arg-type]


@given(table=tables)
def test_a_table_is_read_as_pamqp_reads_it(table: dict[str, Any]) -> None:
    encoded = encode.field_table(table)
    assert amqp_properties.read_properties(0x2000, encoded) == {
        "headers": decode.field_table(encoded)[1]
    }
