"""What a handler is: a name, an order scope and three pure functions.

`read` turns a delivery into a message, `needs` names the facts to load, `decide` returns effects
or raises a failure of canonical.errors. The runtime knows nothing else about a handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import IO, Any, Literal

import msgspec

from canonical.effects import Effect
from canonical.envelope import Message
from canonical.facts import Facts

Order = Literal["strict", "curing", "latest", "notification"]
"""What a message has to wait for.

strict: everything unfinished before it of its key.
curing: it states the whole object; it passes a case of its key if everything that waits there is
    older by version, and what it passed ends as superseded once it succeeds.
latest: the newest version wins: it passes retries too, and older versions end as superseded.
notification: it tells no more than the key of its object, or of several, which are read (Fetch);
    it does not wait for the answer of an earlier such read.
"""


class Package(msgspec.Struct, frozen=True):
    """Content that a message only refers to, at hand.

    size, sha256: its bytes and their digest. open: gives the content from its start, to be read in
    pieces; the same file each time.
    """

    size: int
    sha256: bytes
    open: Callable[[], IO[bytes]]


class Delivery(msgspec.Struct, frozen=True):
    """A message as it arrived, before anybody looked inside.

    source: configured name of the sender, known by the exchange or call it came through.
    kind: routing key or kind word given by the sender; "" where there is none.
    attributes: CloudEvents attributes found in the headers, without prefix.
    message_id: AMQP property; counts as identity only where the source's contract says so.
    package: what the body refers to, for content that is too large for a message.
    """

    source: str
    kind: str
    body: bytes
    content_type: str = ""
    message_id: str = ""
    attributes: Mapping[str, str] = {}
    package: Package | None = None


def content_of(delivery: Delivery) -> IO[bytes]:
    """What the delivery is about, from its start: the package it refers to, else its body."""
    return delivery.package.open() if delivery.package else BytesIO(delivery.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way in which the messages of a kind are written: what is published of the kind.

    what: it is, for people. name: tells it from other forms of the kind; "" for the usual one.
    media_type: of the content. content: what JSON is decoded into; None where it is no JSON.
    required: CloudEvents attributes without which a message is refused; read: others that this one
        looks at, beside those that every message may have.
    type_pattern: regular expression for the attribute `type`, where it is a word of the vendor's
        and not the message type.
    by_reference: whether the content may stand in a package.
    owners: teams that answer for its meaning, as of events.
    """

    what: str
    name: str = ""
    media_type: str = "application/json"
    content: Any = None
    required: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    type_pattern: str = ""
    by_reference: bool = False
    owners: tuple[str, ...] = ()


def ignored_fields(message: Message[Any]) -> Mapping[str, int]:
    """How many different fields of the message nobody reads."""
    return {"fields": len(message.ignored)} if message.ignored else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One logical consumer.

    name: the subscription, part of every message's identity; never renamed.
    scope: order scope: handlers of one flow share it, and one business object is decided in
        order within it.
    types: message types it takes, vendor types for a translation, our own otherwise.
    kinds: what its messages may hold, where they are not of one kind each: the driver's README
        says of each what it becomes.
    forms: how its messages are written; none for events of ours, which have contracts of their own.
    read: delivery -> message; raises InvalidMessage.
    needs: message and facts so far -> document keys wanted; asked again until it adds none.
    decide: message, facts, now -> effects.
    order: what its messages wait for. version: message -> business version of the whole object it
        states, comparable within the scope; needed unless order is strict, None where a message
        has none. ignored: message -> how much of it nobody reads, by a few words of the driver's,
        to be counted: what customers add to a format is no fault, and is not dropped in silence.
        Which ones these are says the message's own `ignored`.
    """

    name: str
    scope: str
    types: tuple[str, ...]
    read: Callable[[Delivery], Message[Any]]
    needs: Callable[[Message[Any], Facts], frozenset[str]]
    decide: Callable[[Message[Any], Facts, datetime], tuple[Effect, ...]]
    kinds: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()
    order: Order = "strict"
    version: Callable[[Message[Any]], int | None] | None = None
    ignored: Callable[[Message[Any]], Mapping[str, int]] = ignored_fields


def no_needs(message: Message[Any], facts: Facts) -> frozenset[str]:
    """For handlers that decide on the message alone."""
    return frozenset()
