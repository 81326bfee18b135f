"""Reading AMQP properties that nobody should have sent.

RabbitMQ stores and confirms messages whose properties hold invalid UTF-8, absurd timestamps or
endless header tables. pamqp raises on them, aiormq takes that for a broken connection, and after
the reconnect the broker delivers them again: one such message stops a consumer and all its
neighbours for ever. The readers installed here never raise on what a *sender* controls. What cannot
be read is left out, named in `violations`, and kept raw where it is a header table, so that the
message ends as a case a person can look at. (Bad delivery modes and expirations need no care:
RabbitMQ refuses them at the publisher.)

Installed explicitly, once per process, before the first connection: `install()`, `self_test()`.
"""

from __future__ import annotations

import importlib.metadata
import struct
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import pamqp.frame
from pamqp import commands, decode, header
from pamqp.common import FieldValue

from canonical.errors import Misconfigured

PAMQP_MAJOR: Final = "4"
"""The major version whose internals were read to write this module."""

MAX_TABLE_BYTES: Final = 64 * 1024
MAX_TABLE_ENTRIES: Final = 1_000
"""Entries in all levels together. pamqp copies the rest of the table for each entry, so its cost is
entries x bytes: within these two limits the worst table takes about 2 ms of the event loop."""
MAX_TABLE_DEPTH: Final = 16
"""Levels of tables and arrays; RabbitMQ's own x-death headers need two."""

RAW_HEADERS_KEPT_BYTES: Final = 1_536
"""Of an undecoded table; enough to see who sends it. Its base64 fills one attribute in the log."""

_DAMAGE_KEY: Final = "layshaft-damage"


class Damage(msgspec.Struct, frozen=True):
    """What could not be read of one message's properties.

    violations: one line each, e.g. "message_id: invalid UTF-8"; safe to log and to show.
    raw_headers: the undecoded header table, cut at RAW_HEADERS_KEPT_BYTES; empty if it was read.
    """

    violations: tuple[str, ...]
    raw_headers: bytes = b""


class UnreadableText(str):
    """A short string that was not UTF-8, bad bytes written as \\xNN; safe to store and to show."""

    __slots__ = ()


def damage(headers: Mapping[str, object] | None) -> Damage | None:
    """What was unreadable in the properties that came with these headers; None if nothing was.

    A sender cannot forge it: the mark is an object of ours in the header table, whatever its key.
    """
    mark = headers.get(_DAMAGE_KEY) if headers else None
    return mark if isinstance(mark, Damage) else None


def violations(headers: Mapping[str, object] | None, routing_key: str | None) -> tuple[str, ...]:
    """Every reason why a delivery must not be processed; empty for a sound one.

    The routing key is the sender's too, and travels outside the properties.
    """
    mark = damage(headers)
    found = mark.violations if mark else ()
    if isinstance(routing_key, UnreadableText):
        return (*found, f"routing_key: {_NOT_UTF8}")
    return found


def install() -> None:
    """pamqp reads hostile properties from here on, in the whole process; repeating it is harmless.

    Raises: Misconfigured if the installed pamqp is not the one this was written for.
    """
    installed = importlib.metadata.version("pamqp")
    if installed.partition(".")[0] != PAMQP_MAJOR:
        raise Misconfigured(
            "pamqp-version",
            f"pamqp {installed} is installed; the property reader knows {PAMQP_MAJOR}.x only",
            remedy=f"install pamqp {PAMQP_MAJOR}.x, or adapt and test broker/amqp_properties.py",
        )
    # Method frames carry the sender's routing key: short strings are replaced for them as well.
    decode.METHODS["shortstr"] = _read_short_string
    commands.Basic.Properties.unmarshal = _read_properties  # type: ignore[method-assign,assignment]


def self_test() -> None:
    """The installed readers survive hostile frames; to be run at start, after `install`.

    Raises: Misconfigured if a frame raises or is taken for sound: the consumer would be one message
    away from an endless reconnect loop.
    """
    for name, frame in hostile_frames().items():
        try:
            _, _, read = pamqp.frame.unmarshal(frame)
        except Exception as error:
            raise _does_not_hold(name, f"raised {type(error).__name__}") from error
        match read:
            case header.ContentHeader():
                found = violations(read.properties.headers, None)
            case commands.Basic.Deliver():
                found = violations(None, read.routing_key)
            case _:
                found = ()
        if not found:
            raise _does_not_hold(name, "was taken for sound")


def _does_not_hold(name: str, what: str) -> Misconfigured:
    return Misconfigured(
        "amqp-property-reader",
        f"the hostile frame {name!r} {what}",
        remedy="call install() before self_test(), and check the pamqp version",
    )


# Reading one property. A reading is the problem ("" for none) and the value to go on with.

Reading = tuple[str, FieldValue]

_NOT_UTF8: Final = "invalid UTF-8"


def read_properties(flags: int, data: bytes) -> dict[str, FieldValue]:
    """The properties in a content header, by pamqp's names; never raises.

    flags: which ones are there. data: what stands behind the flags.
    """
    read: dict[str, FieldValue] = {}
    found: list[str] = []
    raw_headers = b""
    for flag, name, kind in _PROPERTIES:
        if not flags & flag:
            continue
        width = _width(kind, data)
        if width > len(data):
            # Where this one ends is unknown, so the ones behind it cannot be found either.
            found.append(f"{name}: runs past the end of its frame")
            break
        piece, data = data[:width], data[width:]
        problem, read[name] = _READERS[kind](piece)
        if problem:
            found.append(f"{name}: {problem}")
            if kind == "table":
                raw_headers = piece[4 : 4 + RAW_HEADERS_KEPT_BYTES]
    if found:
        mark = Damage(violations=tuple(found), raw_headers=raw_headers)
        headers = read.get("headers")
        # The header table is the one place that aio-pika hands on unchanged.
        read["headers"] = {
            **(headers if isinstance(headers, dict) else {}),
            _DAMAGE_KEY: mark,  # type: ignore[dict-item]
        }
    return read


_PROPERTIES: Final = tuple(
    (
        commands.Basic.Properties.flags[name],
        name,
        commands.Basic.Properties.amqp_type(name),
    )
    for name in commands.Basic.Properties.__slots__
)


def _read_properties(properties: commands.Basic.Properties, flags: int, data: bytes) -> None:
    """Takes the place of pamqp's `BasicProperties.unmarshal`; never raises."""
    for name, value in read_properties(flags, data).items():
        setattr(properties, name, value)


def _width(kind: str, data: bytes) -> int:
    """Bytes the next property takes; more than `data` has if its length is cut off."""
    match kind:
        case "octet":
            return 1
        case "timestamp":
            return 8
        case "shortstr":
            return 1 + data[0] if data else 1
        case _:
            return 4 + int.from_bytes(data[:4], "big")


def _octet(piece: bytes) -> Reading:
    return "", piece[0]


def _text(piece: bytes) -> Reading:
    try:
        return "", piece[1:].decode()
    except UnicodeDecodeError:
        return _NOT_UTF8, UnreadableText(piece[1:].decode(errors="backslashreplace"))


def _timestamp(piece: bytes) -> Reading:
    try:
        return "", decode.timestamp(piece)[1]
    except (ValueError, OverflowError, OSError):
        return f"{int.from_bytes(piece, 'big')} is no time", None


def _table(piece: bytes) -> Reading:
    if (texts := _texts(piece)) is not None:
        return "", texts
    if problem := _unfit(piece):
        return f"{problem} ({len(piece) - 4} bytes)", {}
    try:
        return "", decode.field_table(piece)[1]
    except Exception as error:
        # pamqp raises UnicodeDecodeError, OverflowError, ValueError and more on a sender's bytes.
        return f"undecodable table, {type(error).__name__} ({len(piece) - 4} bytes)", {}


_READERS: Final[dict[str, Callable[[bytes], Reading]]] = {
    "octet": _octet,
    "shortstr": _text,
    "table": _table,
    "timestamp": _timestamp,
}
"""By AMQP type."""


def read_short_string(data: bytes, at: int) -> tuple[int, str]:
    """Where the short string at that place ends, and what it says."""
    end = at + 1 + data[at]
    return end, _text(data[at:end])[1]  # type: ignore[return-value]


def _read_short_string(value: bytes) -> tuple[int, str]:
    """Takes the place of pamqp's reader for the short strings of method frames."""
    if not value:
        raise ValueError("Could not unpack short string value")
    end = value[0] + 1
    _, text = _text(value[:end])
    return end, text  # type: ignore[return-value]


# Judging a header table before pamqp decodes it. Nearly all of them hold nothing but texts; those
# are read here, in a third of the time.


def _texts(table: bytes) -> dict[str, FieldValue] | None:
    """A sound table (its four length bytes included) of nothing but texts; None for any other."""
    end = len(table)
    if end > MAX_TABLE_BYTES:
        return None
    texts: dict[str, FieldValue] = {}
    at = 4
    try:
        while at < end:
            if len(texts) == MAX_TABLE_ENTRIES:
                return None
            middle = at + 1 + table[at]
            begin = middle + 5
            if table[middle] != _LONG_TEXT:
                return None
            stop = begin + int.from_bytes(table[middle + 1 : begin], "big")
            if stop > end:
                return None
            texts[table[at + 1 : middle].decode()] = table[begin:stop].decode()
            at = stop
    except (IndexError, UnicodeDecodeError):
        return None
    return texts


_LONG_TEXT: Final = ord("S")
_FIXED_WIDTH: Final = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"su", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"lLdT", 8),
    **dict.fromkeys(b"V\x00", 0),
    ord("D"): 5,
}
_COUNTED: Final = frozenset(b"Sx")
_NESTED: Final = frozenset(b"AF")


def _unfit(table: bytes) -> str:
    """Why this table (its four length bytes included) must not be decoded; "" if it may.

    One pass over lengths, nothing copied, no recursion; it stops at the first limit.
    """
    if len(table) > MAX_TABLE_BYTES:
        return "oversized table"
    at, entries = 4, 0
    open_ends, keyed = [len(table)], [True]
    try:
        while open_ends:
            if at == open_ends[-1]:
                open_ends.pop()
                keyed.pop()
                continue
            entries += 1
            if entries > MAX_TABLE_ENTRIES or len(open_ends) > MAX_TABLE_DEPTH:
                return "oversized table"
            if keyed[-1]:
                at += 1 + table[at]
            kind = table[at]
            at += 1
            if kind in _FIXED_WIDTH:
                at += _FIXED_WIDTH[kind]
            elif kind in _COUNTED or kind in _NESTED:
                length = int.from_bytes(table[at : at + 4], "big")
                at += 4
                if kind in _COUNTED:
                    at += length
                else:
                    open_ends.append(at + length)
                    keyed.append(kind == ord("F"))
            else:
                return "undecodable table"
            if at > open_ends[-1]:
                return "undecodable table"
    except IndexError:
        return "undecodable table"
    return ""


# Frames to prove it with.


def hostile_frames() -> dict[str, bytes]:
    """Frames a broker may deliver because it checks none of this: what it is -> its bytes."""
    nested = b""
    for _ in range(3_000):
        nested = b"\x01kF" + struct.pack(">I", len(nested)) + nested
    entries = b"".join(b"\x05%05dV" % number for number in range(14_000))
    deliver = b"\x01c" + struct.pack(">QB", 1, 0) + b"\x01x" + b"\x02\xff\xfe"
    return {
        "message id of invalid UTF-8": content_header(b"\x03\xff\xfea", flag=128),
        "timestamp of 2^64-1": content_header(b"\xff" * 8, flag=64),
        "header name of invalid UTF-8": content_header(_sized(b"\x02\xff\xfeV"), flag=8192),
        "3,000 nested tables": content_header(_sized(nested), flag=8192),
        "14,000 header entries": content_header(_sized(entries), flag=8192),
        "header with a time of 2^64-1": content_header(_sized(b"\x01tT" + b"\xff" * 8), flag=8192),
        "header value of an unknown type": content_header(_sized(b"\x01k?"), flag=8192),
        "message id cut off": content_header(b"\x20abc", flag=128),
        "routing key of invalid UTF-8": _frame(1, struct.pack(">HH", 60, 60) + deliver),
    }


def content_header(properties: bytes, *, flag: int, body_bytes: int = 0) -> bytes:
    """A content header frame on channel 1 that carries one property, as bytes."""
    return _frame(2, struct.pack(">HHQH", 60, 0, body_bytes, flag) + properties)


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def _sized(table: bytes) -> bytes:
    return struct.pack(">I", len(table)) + table
