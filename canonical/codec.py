"""Bytes to types and back, with one answer for everything that cannot be decoded.

Decoders raise many exception types for bad input (msgspec alone three); here each of them
becomes InvalidMessage, so that bad data is never mistaken for a passing fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from canonical.envelope import Deviation, Envelope, Message
from canonical.errors import InvalidMessage
from canonical.events import BY_TYPE, SOURCE, EventType
from canonical.handler import Delivery
from canonical.members import looked_through
from canonical.package import MAX_EVENT_BYTES, MAX_INLINE_BYTES
from canonical.quantity import is_plain
from canonical.upcasts import to_present

T = TypeVar("T")

# At the door. What is larger comes by reference (canonical.package).
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 32
# About as many as 2 MiB hold of what our sources send; made of nothing else, they keep the event
# loop for some 50 ms.
MAX_VALUES = 100_000
MAX_SEQUENCE_DIGITS = 18
MAX_SEARCHED_BYTES = 64 * 1024

# How the decoder names a field: by its path, and one that is missing beside it.
_PATH = re.compile(r" - at `\$\.?([^`]*)`\Z")
_MISSING = re.compile(r"\AObject missing required field `([^`]*)`")


class Bounds(msgspec.Struct, frozen=True):
    """What a JSON document may have at most; as it is, of a message."""

    bytes: int = MAX_BODY_BYTES
    values: int = MAX_VALUES


OF_A_MESSAGE = Bounds()

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: msgspec.Struct | object) -> bytes:
    """Canonical JSON: the same value always gives the same bytes."""
    return _encoder.encode(value)


def decode_json(
    body: bytes,
    kind: type[T],
    *,
    where: str = "body",
    keys_once: bool = False,
    bounds: Bounds = OF_A_MESSAGE,
) -> T:
    """A value of `kind`; InvalidMessage for anything else, whatever the decoder raised.

    keys_once: an object that gives a key twice is refused too; for content that has effects.
    """
    check_size(body, limit=bounds.bytes, where=where)
    # The decoder does not look at bytes in fields that a contract does not name.
    if not body.isascii():
        guard(body.decode, where=where)
    check_shape(body, limit=bounds.values, where=where)
    value = guard(lambda: msgspec.json.decode(body, type=kind), where=where)
    if keys_once:
        check_keys(body, where=where)
    return value


def decode_foreign(
    body: bytes, kind: type[T], *, where: str = "body", bounds: Bounds = OF_A_MESSAGE
) -> tuple[T, tuple[str, ...], tuple[Deviation, ...]]:
    """A vendor's value of `kind`, which members of the content it does not take, and where it is
    not written as it should be: the `ignored` and the `deviations` of its message.

    Raises: InvalidMessage, as decode_json with keys_once does.
    """
    value = decode_json(body, kind, where=where, bounds=bounds)
    content = guard(lambda: msgspec.json.decode(body), where=where)
    _check_keys(body, content, where)
    return value, *looked_through(content, kind)


def check_size(body: bytes, *, limit: int = MAX_BODY_BYTES, where: str = "body") -> None:
    """Refuses empty and oversized bodies before anybody parses them."""
    if not body.strip(b" \t\r\n"):
        raise InvalidMessage(
            "body-empty", "The message has no content", where=where, remedy="Send it with content"
        )
    if len(body) > limit:
        raise InvalidMessage(
            "body-too-large",
            f"The message has {len(body)} bytes; at most {limit} are taken",
            where=where,
            remedy="Send it by reference: `layshaft package put FILE --source SOURCE`",
        )


def check_shape(body: bytes, *, limit: int = MAX_VALUES, where: str = "body") -> None:
    """Refuses JSON nested deeper than MAX_DEPTH or with more than `limit` values.

    Nothing is parsed and nothing recurses. Few brackets cannot nest deep and few bytes cannot hold
    many values, so ordinary bodies cost two counts; 2 MiB made for it cost about 30 ms.
    """
    if len(body) <= limit and body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    structure = _structure(body)
    brackets = structure.translate(_ROUND, b",:")
    if _TOO_DEEP in brackets:
        raise _too_deep(where)
    if structure.count(b",") + brackets.count(b"(") > limit:
        raise InvalidMessage(
            "body-too-many-values",
            f"The content has more than {limit} values",
            where=where,
            remedy="Send it in parts or by reference",
        )
    # Each turn takes the innermost level away; what can still be taken away is too deep. Brackets
    # without a partner are no JSON: a few of them are left to the parser, which names the place.
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"()", b"")
    if b"()" in brackets or brackets.count(b"(") > MAX_DEPTH:
        raise _too_deep(where)


def _too_deep(where: str) -> InvalidMessage:
    return InvalidMessage(
        "body-too-deep",
        f"Nested deeper than {MAX_DEPTH} levels",
        where=where,
        remedy="Send the content flatter, or by reference",
    )


_TOO_DEEP = b"(" * (MAX_DEPTH + 1)
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{},:"')
_ROUND = bytes.maketrans(b"[]{}", b"()()")


def _structure(body: bytes) -> bytes:
    """Its brackets, commas and colons outside of texts, in order."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(None, _NOT_STRUCTURE)
    # Texts without brackets go first: only the others cost an object each below.
    return b"".join(marks.replace(b'""', b"").split(b'"')[::2])


def check_nul(body: bytes, *, where: str = "body") -> None:
    """Refuses the escape of NUL, which no database takes in a text, in any text of the JSON."""
    if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
        raise InvalidMessage(
            "character-forbidden",
            "A text holds U+0000, which is a control",
            where=where,
            remedy="Remove the character at the source and send again",
        )


def check_keys(body: bytes, *, where: str = "body") -> None:
    """Refuses JSON that gives one key of an object twice: which of the two counts is a guess.

    The decoder keeps the last one: where what it keeps is written with fewer colons, one was lost.
    """
    _check_keys(body, guard(lambda: msgspec.json.decode(body), where=where), where)


def _check_keys(body: bytes, content: object, where: str) -> None:
    """content: what the body was decoded to, without a type."""
    kept = guard(lambda: msgspec.json.encode(content), where=where)
    # Without escapes both spell every text alike: colons within texts need not be told apart.
    if b"\\" not in body and kept.count(b":") == body.count(b":"):
        return
    if _structure(kept).count(b":") == _structure(body).count(b":"):
        return
    # Looking for it takes several times as long as finding that there is one.
    twice = _key_twice(body) if len(body) <= MAX_SEARCHED_BYTES else ""
    raise InvalidMessage(
        "key-twice",
        f"The key {twice or '(one of many)'} stands twice in one object",
        where=where,
        remedy="Send each key once",
    )


def _key_twice(body: bytes) -> str:
    """The first key that stands twice in an object."""
    found: list[str] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    json.loads(body, object_pairs_hook=look)
    return _shown(found[0]) if found else ""


def check_decimals(body: bytes, content: object, *, where: str = "body") -> None:
    """Refuses a decimal that is no text of plain ASCII digits: the decoder takes all that Decimal()
    does, such as `1_000`, ` 1`, `1E3` or digits of other scripts, and numbers.

    content: what the body was decoded into. A decimal stands there as we spell it.
    """
    kept = msgspec.json.decode(encode(content))
    for told, spelled in _told_otherwise(msgspec.json.decode(body), kept):
        if is_plain(spelled) and not (isinstance(told, str) and is_plain(told)):
            raise InvalidMessage(
                "number-malformed",
                f"{_shown(str(told))!r} is not the text of a plain decimal number",
                where=where,
                remedy="Send a text of ASCII digits with an optional sign and decimal point",
            )


def _told_otherwise(told: object, kept: object) -> Iterator[tuple[object, str]]:
    """Of both, what stands in the same place: what was told, and the text it was kept as."""
    match told, kept:
        case dict(), dict():
            for key in told.keys() & kept.keys():
                yield from _told_otherwise(told[key], kept[key])
        case list(), list():
            for each, its in zip(told, kept, strict=True):
                yield from _told_otherwise(each, its)
        case _, str() if told != kept:
            yield told, kept


def guard(decode: Callable[[], T], *, where: str) -> T:
    """Runs a decoder; whatever it raises about its input becomes InvalidMessage."""
    try:
        return decode()
    except InvalidMessage:
        raise
    except msgspec.ValidationError as error:
        raise InvalidMessage(
            "contract-violated",
            f"The content breaks its contract: {_printable(error)}",
            where=_place(where, str(error)),
            remedy="Correct the named field at the source and send again",
        ) from error
    except (
        msgspec.DecodeError,
        UnicodeError,
        RecursionError,
        SyntaxError,
        LookupError,
        ValueError,
        OverflowError,
    ) as error:
        raise InvalidMessage(
            "undecodable",
            f"The content cannot be decoded: {_printable(error)}",
            where=where,
            remedy="Check the sender's encoding and send again",
        ) from error


def read_event(delivery: Delivery) -> Message[Any]:
    """The message of one of our own events; its envelope travels in the headers.

    An earlier version is read as the present one; the type in its envelope stays what it was sent
    as: who still sends by it is counted, and may be refused.
    """
    attributes = delivery.attributes
    stated = attributes.get("type", "")
    known = BY_TYPE.get(stated)
    if known is None:
        raise InvalidMessage(
            "event-unknown",
            f"No event of type {stated!r} is known",
            where="ce-type",
            remedy="Use a type of the event table",
        )
    row, version = known
    if version != row.version:
        delivery = msgspec.structs.replace(delivery, body=_upcast(delivery.body, row, version))
    envelope = Envelope(
        id=required(attributes, "id"),
        source=attributes.get("source", SOURCE),
        type=stated,
        key=required(attributes, "subject"),
        correlation_id=attributes.get("correlationid", ""),
        causation_id=attributes.get("causationid", ""),
        traceparent=attributes.get("traceparent", ""),
        sequence=_sequence(attributes.get("sequence", "")),
        lane=row.lane,
    )
    if len(delivery.body) > MAX_INLINE_BYTES:
        # Out of the log, as we encoded it: as deep as its type, and not bound by the door.
        check_size(delivery.body, limit=MAX_EVENT_BYTES, where=row.name)
        content = guard(lambda: msgspec.json.decode(delivery.body, type=row.data), where=row.name)
    else:
        content = decode_json(delivery.body, row.data, where=row.name)
        # What is as we encode it has one spelling of everything; only what is not is looked at.
        if encode(content) != delivery.body:
            check_keys(delivery.body, where=row.name)
            check_decimals(delivery.body, content, where=row.name)
    # A driver normalises each text of its source; of what an event holds nobody looks at the texts.
    check_nul(delivery.body, where=row.name)
    return Message(envelope, content)


def _upcast(body: bytes, row: EventType, version: int) -> bytes:
    """The content of an earlier version as the present one, as we encode it."""
    where = f"{row.name}.v{version}"
    if len(body) > MAX_INLINE_BYTES:
        check_size(body, limit=MAX_EVENT_BYTES, where=where)
        content = guard(lambda: msgspec.json.decode(body, type=dict[str, Any]), where=where)
    else:
        content = decode_json(body, dict[str, Any], where=where, keys_once=True)
    # What a step stumbles over is content that never was of that version.
    return guard(
        lambda: encode(to_present(content, row.name, version=version, present=row.version)),
        where=where,
    )


def _sequence(text: str) -> int | None:
    """The number among the events of its object; None where there is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > MAX_SEQUENCE_DIGITS:
        raise InvalidMessage(
            "number-out-of-bounds",
            f"The sequence has more than {MAX_SEQUENCE_DIGITS} digits",
            where="ce-sequence",
            remedy="Send the number of the event among those of its object",
        )
    return int(text)


def required(attributes: Any, name: str) -> str:
    """An attribute that must be there."""
    value = str(attributes.get(name, ""))
    if not value:
        raise InvalidMessage(
            "attribute-missing",
            f"The attribute {name} is missing",
            where=f"ce-{name}",
            remedy="Send the attribute as a header",
        )
    return value


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:60]


def _place(where: str, said: str) -> str:
    """Where, and the field that the decoder names. Keys of the sender's are no part of its path."""
    found = [match[1] for match in (_PATH.search(said), _MISSING.search(said)) if match]
    path = ".".join(part for part in found if part)
    if not path:
        return where
    return f"{where}{path}" if path.startswith("[") else f"{where}: {path}"


def _printable(error: BaseException) -> str:
    """The decoder's words without control characters, cut to what a person reads."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return text[:200] or type(error).__name__
