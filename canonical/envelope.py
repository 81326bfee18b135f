"""The envelope every message travels in: CloudEvents 1.0 attributes and our correlation ids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Generic, Literal, TypeVar

import msgspec

Payload = TypeVar("Payload")

Lane = Literal["critical", "standard", "enrichment"]


class Envelope(msgspec.Struct, frozen=True):
    """Who says what about which business object, and why.

    Identity of a message is (source, id), per subscription.

    type: what it was sent as: `com.layshaft.<object>.<past-tense>.v<n>` for our events, of an
        earlier version too; the contract's name for a vendor message, e.g. `shop.change`.
    key: the business object the message is about, `<kind>/<number>`; messages of one key keep
        their order.
    time: when it happened at the source, where the source says so; never trusted for order.
    sequence: position among the events of `key` that we emitted; None on foreign messages.
    """

    id: str
    source: str
    type: str
    key: str
    time: datetime | None = None
    content_type: str = "application/json"
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    sequence: int | None = None
    lane: Lane = "standard"


class Deviation(msgspec.Struct, frozen=True):
    """Something a message does otherwise than it should, taken as it is or as what it claims least.

    where: line or object; what: a sentence.
    """

    where: str
    what: str


# Of one message so many are told.
MAX_DEVIATIONS = 100


def first_ones(deviations: Iterable[Deviation]) -> tuple[Deviation, ...]:
    """Those that a message tells; the others are not looked for."""
    return tuple(islice(deviations, MAX_DEVIATIONS))


class Message(msgspec.Struct, Generic[Payload], frozen=True):
    """An envelope with its decoded content.

    ignored: what of a foreign message nobody reads, by its path without places in lists:
        `lines[].colour`. Each once, the first ones of very many; what a driver leaves out on
        purpose is not among it.
    deviations: where it is not as its format wants it, and what was made of that; the first ones.
    """

    envelope: Envelope
    payload: Payload
    ignored: tuple[str, ...] = ()
    deviations: tuple[Deviation, ...] = ()
