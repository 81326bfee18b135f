"""Bytes to types and back, with one answer for everything that cannot be decoded.

Decoders raise many exception types for bad input (msgspec alone three); here each of them
becomes InvalidMessage, so that bad data is never mistaken for a passing fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.events import BY_TYPE, SOURCE
from canonical.handler import Delivery

T = TypeVar("T")

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 32

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: msgspec.Struct | object) -> bytes:
    """Canonical JSON: the same value always gives the same bytes."""
    return _encoder.encode(value)


def decode_json(body: bytes, kind: type[T], *, where: str = "body") -> T:
    """A value of `kind`; InvalidMessage for anything else, whatever the decoder raised."""
    check_size(body, where=where)
    check_depth(body, where=where)
    return guard(lambda: msgspec.json.decode(body, type=kind), where=where)


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
            remedy="Send it in parts or by reference",
        )


def check_depth(body: bytes, *, limit: int = MAX_DEPTH, where: str = "body") -> None:
    """Refuses JSON nested deeper than `limit`.

    Few opening brackets cannot nest deep, so ordinary bodies cost two counts.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    depth = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > limit:
                raise InvalidMessage(
                    "body-too-deep",
                    f"Nested deeper than {limit} levels",
                    where=where,
                    remedy="Send the content flatter, or by reference",
                )
        elif byte in b"]}":
            depth -= 1


def check_keys(body: bytes, *, where: str = "body") -> None:
    """Refuses JSON that gives one key of an object twice: which of the two counts is a guess."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InvalidMessage(
                "key-twice",
                f"The key {_shown(twice)} stands twice in one object",
                where=where,
                remedy="Send each key once",
            )
        return dict(pairs)

    guard(lambda: json.loads(body, object_pairs_hook=unique), where=where)


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
            where=where,
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
    """The message of one of our own events; its envelope travels in the headers."""
    attributes = delivery.attributes
    row = BY_TYPE.get(attributes.get("type", ""))
    if row is None:
        raise InvalidMessage(
            "event-unknown",
            f"No event of type {attributes.get('type', '')!r} is known",
            where="ce-type",
            remedy="Use a type of the event table",
        )
    sequence = attributes.get("sequence", "")
    envelope = Envelope(
        id=required(attributes, "id"),
        source=attributes.get("source", SOURCE),
        type=row.type,
        key=required(attributes, "subject"),
        correlation_id=attributes.get("correlationid", ""),
        causation_id=attributes.get("causationid", ""),
        traceparent=attributes.get("traceparent", ""),
        sequence=int(sequence) if sequence.isascii() and sequence.isdigit() else None,
        lane=row.lane,
    )
    return Message(envelope, decode_json(delivery.body, row.data, where=row.name))


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


def _printable(error: BaseException) -> str:
    """The decoder's words without control characters, cut to what a person reads."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return text[:200] or type(error).__name__
