"""Properties nobody should have sent are read without harm, and are recognisable afterwards."""

from __future__ import annotations

import datetime
import importlib.metadata
import struct
import subprocess
import sys

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, decode, header

from broker import amqp_properties
from broker.amqp_properties import content_header, damage, hostile_frames, violations
from canonical.errors import Misconfigured
from tests.timing import processor_seconds

MESSAGE_ID, TIMESTAMP, HEADERS = 128, 64, 8192


@pytest.fixture(autouse=True)
def installed_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers, for one test: pamqp is left as it was found."""
    monkeypatch.setitem(decode.METHODS, "shortstr", decode.METHODS["shortstr"])
    monkeypatch.setattr(commands.Basic.Properties, "unmarshal", commands.Basic.Properties.unmarshal)
    amqp_properties.install()


def read(frame: bytes) -> commands.Basic.Properties:
    _, _, content = pamqp.frame.unmarshal(frame)
    assert isinstance(content, header.ContentHeader)
    return content.properties


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def test_sound_properties_are_read_as_pamqp_writes_them() -> None:
    sent = commands.Basic.Properties(
        content_type="application/json",
        headers={
            "ce-id": "4711",
            "numbers": [1, 2, {"deep": True}],
            "at": datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=datetime.UTC),
            "nothing": None,
            "ratio": 0.5,
        },
        delivery_mode=2,
        priority=4,
        correlation_id="c-1",
        expiration="60000",
        message_id="größe",
        timestamp=datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        message_type="part",
        user_id="plm",
        app_id="teamcenter",
    )
    received = read(pamqp.frame.marshal(header.ContentHeader(body_size=7, properties=sent), 1))
    assert received == sent
    assert violations(received.headers, "part") == ()


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (content_header(b"\x02\xff\xfe", flag=MESSAGE_ID), "message_id: invalid UTF-8"),
        (
            content_header(b"\xff" * 8, flag=TIMESTAMP),
            "timestamp: 18446744073709551615 is no time",
        ),
        (
            content_header(table(b"\x02\xff\xfeV"), flag=HEADERS),
            "headers: undecodable table, UnicodeDecodeError (4 bytes)",
        ),
        (content_header(table(b"\x01k?"), flag=HEADERS), "headers: undecodable table (3 bytes)"),
        (content_header(table(b"\x09k"), flag=HEADERS), "headers: undecodable table (2 bytes)"),
        (
            content_header(table(b"\x01kF" + struct.pack(">I", 900)), flag=HEADERS),
            "headers: undecodable table (7 bytes)",
        ),
        (content_header(b"\x20ab", flag=MESSAGE_ID), "message_id: runs past the end of its frame"),
        (content_header(b"", flag=MESSAGE_ID), "message_id: runs past the end of its frame"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_named(frame: bytes, expected: str) -> None:
    assert violations(read(frame).headers, None) == (expected,)


def test_the_properties_around_a_bad_one_survive() -> None:
    frame = content_header(
        b"\x04text" + table(b"\x02\xff\xfeV") + b"\x02\xffa" + b"\x03plm",
        flag=32768 | HEADERS | MESSAGE_ID | 16,
    )
    properties = read(frame)
    assert (properties.content_type, properties.message_id, properties.user_id) == (
        "text",
        "\\xffa",
        "plm",
    )
    assert violations(properties.headers, None) == (
        "headers: undecodable table, UnicodeDecodeError (4 bytes)",
        "message_id: invalid UTF-8",
    )


def test_an_undecoded_table_is_kept_raw_and_bounded() -> None:
    entries = b"".join(b"\x05%05dV" % number for number in range(14_000))
    mark = damage(read(content_header(table(entries), flag=HEADERS)).headers)
    assert mark is not None
    assert mark.violations == ("headers: oversized table (98000 bytes)",)
    assert mark.raw_headers == entries[:1536]


def test_more_than_a_thousand_entries_are_too_many_on_any_level() -> None:
    array = b"V" * 990
    fits = table(b"\x01kA" + struct.pack(">I", len(array)) + array)
    assert violations(read(content_header(fits, flag=HEADERS)).headers, None) == ()
    array = b"V" * 1_000
    exceeds = table(b"\x01kA" + struct.pack(">I", len(array)) + array)
    assert violations(read(content_header(exceeds, flag=HEADERS)).headers, None) == (
        "headers: oversized table (1007 bytes)",
    )


def test_a_seventeenth_level_is_too_deep() -> None:
    def nested(levels: int) -> bytes:
        return b"\x01zV" if levels == 1 else b"\x01kF" + table(nested(levels - 1))

    sixteen = content_header(table(nested(16)), flag=HEADERS)
    seventeen = content_header(table(nested(17)), flag=HEADERS)
    assert violations(read(sixteen).headers, None) == ()
    assert violations(read(seventeen).headers, None) == ("headers: oversized table (115 bytes)",)


def test_a_table_of_100_kb_stops_the_event_loop_for_less_than_50_ms() -> None:
    entries = b"".join(b"\x05%05dV" % number for number in range(18_000))
    frame = content_header(table(entries), flag=HEADERS)
    assert processor_seconds(lambda: read(frame)) < 0.05


def test_a_routing_key_of_invalid_utf8_is_named_and_printable() -> None:
    _, _, deliver = pamqp.frame.unmarshal(hostile_frames()["routing key of invalid UTF-8"])
    assert isinstance(deliver, commands.Basic.Deliver)
    assert str(deliver.routing_key) == "\\xff\\xfe"
    assert violations({}, deliver.routing_key) == ("routing_key: invalid UTF-8",)


def test_a_sender_cannot_forge_the_mark() -> None:
    forged = commands.Basic.Properties(headers={"layshaft-damage": "message_id: invalid UTF-8"})
    received = read(pamqp.frame.marshal(header.ContentHeader(properties=forged), 1))
    assert violations(received.headers, "part") == ()


@given(st.integers(0, 0xFFFC), st.binary(max_size=600))
def test_no_content_header_raises(flags: int, properties: bytes) -> None:
    read(content_header(properties, flag=flags & 0xFFFC))


@given(st.binary(max_size=300))
def test_no_header_table_raises(entries: bytes) -> None:
    read(content_header(table(entries), flag=HEADERS))


def test_the_self_test_accepts_the_installed_readers_and_installing_twice() -> None:
    amqp_properties.install()
    amqp_properties.self_test()


def test_the_self_test_fails_on_a_plain_pamqp() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from broker.amqp_properties import self_test; self_test()"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert "Misconfigured: amqp-property-reader" in done.stderr


def test_another_major_version_of_pamqp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.0.0")
    with pytest.raises(Misconfigured) as caught:
        amqp_properties.install()
    assert caught.value.code == "pamqp-version"
