"""What arrives, before and after it was read: the values the pipeline's steps pass on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

import msgspec
from msgspec.structs import replace

from broker.policy import defect
from broker.store import Position
from broker.store.messages import LogEntry
from broker.store.order import LoggedEvent, OrderKey
from broker.store.pending import Passes, PendingWork
from broker.store.storable import storable
from broker.topology import is_structured
from canonical.codec import MAX_SEQUENCE_DIGITS, decode_json
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import Failure, InvalidMessage
from canonical.events import SOURCE
from canonical.handler import Delivery, Handler, Order
from canonical.package import (
    LOG_REFERENCE,
    MAX_INLINE_BYTES,
    MAX_PACKAGE_BYTES,
    is_reference,
)
from canonical.text import normalise_id

UNREAD = "unread"
MAX_ID = 512
TURN_S = 0.002  # of reading, after which others on the event loop go first

Recognise = Callable[[Delivery], Handler]


_PASSES: Mapping[Order, Passes] = {
    "strict": "",
    "curing": "cases",
    "latest": "all",
    "notification": "",
}


class Arrival(msgspec.Struct, frozen=True):
    """One delivery as the consumer hands it over.

    refusal: why it is not to be read; `logged`: its place in the log if it is an event of ours;
    tag and channel belong to whoever settles it. read: what reading it told, where that was done.
    """

    delivery: Delivery
    lane: Lane
    queue: str
    tag: int = 0
    channel: object = None
    redelivered: bool = False
    refusal: InvalidMessage | None = None
    logged: Position | None = None
    read: Work | None = None

    @property
    def content_bytes(self) -> int:
        """How much it says, as far as it tells: a package is as large as packages get."""
        if is_reference(self.delivery.content_type):
            return MAX_PACKAGE_BYTES
        stated = self.delivery.attributes.get("databytes", "") if self.logged else ""
        return int(stated) if stated.isascii() and stated.isdigit() else len(self.delivery.body)

    @property
    def affinity(self) -> str | None:
        """What it has in common with those it must be decided in order with: its key; None where
        only reading it can tell, and nobody has."""
        if self.read is not None:
            return self.read.entry.envelope.key
        if self.logged is not None:
            return self.delivery.attributes.get("subject")
        return None

    @property
    def fingerprint(self) -> bytes:
        """The same for every delivery of the same bytes through the same queue.

        By it crashes are counted, and whose they were is told by the process and lane: two lanes
        that shared a counter would each take the other one, which lives, for a crash.
        """
        attributes = repr(sorted(self.delivery.attributes.items()))
        return hashlib.sha256(
            b"\0".join((self.queue.encode(), attributes.encode(), self.delivery.body))
        ).digest()


def is_by_reference(delivery: Delivery) -> bool:
    """Whether the content is to be taken from our log."""
    return delivery.attributes.get("dataref", "").startswith(LOG_REFERENCE)


class Work(msgspec.Struct, frozen=True):
    """One message to decide on, whichever way it came.

    entry: its identity and log content. handler is None, and failure set, where it could not be
    read. version: business version of the whole object it states, where its handler knows one.
    pending: the row it was claimed by, if it comes from there. caught_up: read from the log
    because a later event of its object came first. admitted: its place in the log if it came now.
    ignored: how much of it nobody reads, by the words of its handler.
    """

    entry: LogEntry
    lane: Lane
    handler: Handler | None = None
    message: Message[Any] | None = None
    failure: Failure | None = None
    version: int | None = None
    pending: PendingWork | None = None
    caught_up: bool = False
    admitted: Position | None = None
    ignored: Mapping[str, int] = {}

    @property
    def place(self) -> Position | None:
        """Where its message stands in the log; None as long as it does not."""
        if self.pending is not None:
            return self.pending.position
        return self.entry.logged or self.admitted

    @property
    def is_by_reference(self) -> bool:
        """It came without its content, which is what our log holds at that place."""
        return is_by_reference(self.entry.delivery) and self.entry.logged is not None

    @property
    def sequence(self) -> int | None:
        """Its number among the events of its object; None for foreign messages."""
        return self.entry.envelope.sequence

    @property
    def latest_wins(self) -> bool:
        """Older versions than the newest one taken are not decided any more."""
        return self.handler is not None and self.handler.order == "latest"

    @property
    def is_notification(self) -> bool:
        """It tells no more than the key of its object."""
        return self.handler is not None and self.handler.order == "notification"

    @property
    def passes(self) -> Passes:
        """What it need not wait for, as long as all of that is older."""
        if self.version is None or self.handler is None:
            return ""
        return _PASSES[self.handler.order]

    @property
    def order_key(self) -> OrderKey | None:
        """(scope, business key) it keeps its order in; None where no key could be read."""
        if self.handler is None or not self.entry.envelope.key:
            return None
        return self.handler.scope, self.entry.envelope.key

    @property
    def cause(self) -> str:
        """Id of the message that what it says goes back to: its cause's, or its own."""
        return self.entry.envelope.causation_id or self.entry.envelope.id

    @property
    def is_large(self) -> bool:
        """Whether what it says takes long to work on."""
        size = len(self.entry.delivery.body)
        return size > MAX_INLINE_BYTES or is_reference(self.entry.delivery.content_type)

    @property
    def attempt(self) -> int:
        """Number of this try, from 1."""
        return self.pending.attempts + 1 if self.pending else 1

    @property
    def failing_since(self) -> datetime | None:
        """When its first try failed; None before that."""
        return self.pending.failing_since if self.pending else None


async def read_arrivals(
    arrivals: Sequence[Arrival], read: Callable[[Arrival], Awaitable[Work]]
) -> list[Work]:
    """Each delivery as work, in order; between them the event loop gets its turn.

    One body may take some 50 ms to read, and a batch has hundreds: heartbeats must not wait.
    """
    works: list[Work] = []
    turn_began = perf_counter()
    for arrival in arrivals:
        works.append(await read(arrival))
        if perf_counter() - turn_began > TURN_S:
            await asyncio.sleep(0)
            turn_began = perf_counter()
    return works


def read_ahead(arrival: Arrival, recognise: Recognise) -> Arrival:
    """The arrival with what reading it told, where that takes nothing but its bytes and no time.

    What comes back is not touched before its attempt is on record.
    """
    delivery = arrival.delivery
    if (
        arrival.redelivered
        or len(delivery.body) > MAX_INLINE_BYTES
        or is_structured(delivery.content_type)
        or is_reference(delivery.content_type)
        or (arrival.logged is not None and is_by_reference(delivery))
    ):
        return arrival
    return replace(arrival, read=read_arrival(arrival, recognise))


def read_arrival(arrival: Arrival, recognise: Recognise) -> Work:
    """The delivery as work: recognised, decoded, checked against its contract; or its failure."""
    if arrival.refusal is not None:
        return unread(arrival.delivery, arrival.lane, arrival.refusal)
    return _read(arrival.delivery, arrival.lane, recognise, arrival.logged)


def read_pending(pending: PendingWork, handler_named: Callable[[str], Handler]) -> Work:
    """A claimed row as work; its message is read anew, it may be read better than before."""
    work = _read(
        pending.delivery,
        pending.lane,
        lambda _: handler_named(pending.subscription),
        pending.position,
    )
    if work.failure is not None:
        return untouched(pending, work.failure)
    return replace(work, pending=pending)


def unreadable(
    delivery: Delivery,
    lane: Lane,
    recognise: Recognise,
    failure: Failure,
    logged: Position | None,
) -> Work:
    """A message whose content cannot be read, or is not to be, with its failure.

    An event of ours is known by its headers: it keeps its identity and holds its object. Of
    anything else nothing is known.
    """
    attributes = delivery.attributes
    is_ours = delivery.source == SOURCE and logged is not None
    if not (is_ours and attributes.get("id") and attributes.get("subject")):
        return unread(delivery, lane, failure, logged)
    try:
        handler = recognise(delivery)
        envelope = _identified(
            Envelope(
                id=attributes["id"],
                source=delivery.source,
                type=attributes.get("type", ""),
                key=attributes["subject"],
                correlation_id=attributes.get("correlationid", ""),
                causation_id=attributes.get("causationid", ""),
                sequence=_sequence(attributes.get("sequence", "")),
                lane=lane,
            )
        )
    except MemoryError:
        raise
    except Exception:  # the failure that is given came before it
        return unread(delivery, lane, failure, logged)
    digest = hashlib.sha256(delivery.body).digest()
    entry = LogEntry(handler.name, envelope, digest, _storable(delivery), logged)
    return Work(entry=entry, lane=lane, handler=handler, failure=failure)


def untouched(pending: PendingWork, failure: Failure) -> Work:
    """A claimed row whose message cannot be read, or is not to be any more, with its failure."""
    work = unread(pending.delivery, pending.lane, failure, pending.position)
    envelope = replace(
        work.entry.envelope,
        id=pending.sent_id,
        key=pending.key,
        correlation_id=pending.correlation_id,
    )
    entry = replace(work.entry, subscription=pending.subscription, envelope=envelope)
    return replace(work, entry=entry, pending=pending)


def read_missed(event: LoggedEvent, recognise: Recognise) -> Work:
    """An event of ours as the log holds it, taken before a later one of its object."""
    return replace(_read(event.delivery, event.lane, recognise, event.position), caught_up=True)


def missed_unreadable(event: LoggedEvent, recognise: Recognise, failure: Failure) -> Work:
    """The same with its failure, where it cannot be read."""
    work = unreadable(event.delivery, event.lane, recognise, failure, event.position)
    return replace(work, caught_up=True)


def _read(delivery: Delivery, lane: Lane, recognise: Recognise, logged: Position | None) -> Work:
    try:
        delivery = unwrapped(delivery)
        handler = recognise(delivery)
        message = handler.read(delivery)
        envelope = _identified(_named_by_sender(message.envelope, delivery))
        message = replace(message, envelope=envelope)
        version = handler.version(message) if handler.version is not None else None
        ignored = handler.ignored(message)
    except Failure as failure:
        return unreadable(delivery, lane, recognise, failure, logged)
    except MemoryError:  # the process has none left, whatever the message says
        raise
    except Exception as error:  # a handler's bug fails its message, never the lane
        return unreadable(delivery, lane, recognise, defect(error), logged)
    if not envelope.correlation_id:
        # A message that starts a story gives it its id; stable, so that a re-delivery agrees.
        envelope = replace(envelope, correlation_id=_story(envelope))
    entry = LogEntry(
        subscription=handler.name,
        envelope=replace(envelope, lane=lane),
        # A package is the same content whether it came inside a message or by reference.
        digest=delivery.package.sha256
        if delivery.package
        else hashlib.sha256(delivery.body).digest(),
        delivery=_storable(delivery),
        logged=logged,
    )
    return Work(
        entry=entry,
        lane=lane,
        handler=handler,
        message=replace(message, envelope=envelope),
        version=version,
        ignored=ignored,
    )


def unwrapped(delivery: Delivery) -> Delivery:
    """A CloudEvent in structured mode as the delivery it stands for: attributes and data apart."""
    if not is_structured(delivery.content_type):
        return delivery
    event = decode_json(delivery.body, dict[str, msgspec.Raw], where="CloudEvent", keys_once=True)
    text: dict[str, str] = {}
    for name, raw in event.items():
        if name not in ("data", "data_base64"):
            value = decode_json(bytes(raw), object, where=name)
            text[name] = value if isinstance(value, str) else bytes(raw).decode()
    if "data_base64" in event:
        body = decode_json(bytes(event["data_base64"]), bytes, where="data_base64")
    else:
        body = bytes(event.get("data", b""))
    return replace(
        delivery, body=body, attributes=text, content_type=text.get("datacontenttype", "")
    )


def _named_by_sender(envelope: Envelope, delivery: Delivery) -> Envelope:
    """The CloudEvents id is the identity where it is sent; else what the format itself says."""
    sent = delivery.attributes.get("id", "")
    return replace(envelope, id=sent) if sent else envelope


def _identified(envelope: Envelope) -> Envelope:
    """The envelope with id, key and story in their one normal form.

    They become log lines and primary keys: short, visible and not in disguise, or refused.
    """
    return replace(
        envelope,
        id=_normal("id", envelope.id),
        key=_normal_key(envelope.key),
        correlation_id=_normal("correlationid", envelope.correlation_id, may_be_empty=True),
        causation_id=_normal("causationid", envelope.causation_id, may_be_empty=True),
    )


def _normal_key(key: str) -> str:
    """The kind is a word of ours: only the number behind it is judged, in a script of its own."""
    kind, slash, number = key.partition("/")
    return f"{kind}/{_normal('subject', number)}" if slash else _normal("subject", key)


def _normal(name: str, value: str, *, may_be_empty: bool = False) -> str:
    if may_be_empty and not value:
        return value
    try:
        return normalise_id(value, where=name, max_chars=MAX_ID)
    except InvalidMessage as error:
        raise InvalidMessage(
            "identity-unusable",
            f"The {name} cannot be used: {error.what}",
            where=name,
            remedy=error.remedy,
        ) from error


def _sequence(text: str) -> int | None:
    """Its number among the events of its object, as we wrote it; None where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_SEQUENCE_DIGITS
    return int(text) if is_number else None


def _story(envelope: Envelope) -> str:
    return hashlib.sha256(f"{envelope.source}\0{envelope.id}".encode()).hexdigest()[:32]


def unread(
    delivery: Delivery, lane: Lane, failure: Failure, logged: Position | None = None
) -> Work:
    """Kept with its raw bytes under the digest of all of it; it has no key to hold."""
    attributes = repr(sorted(delivery.attributes.items()))
    digest = hashlib.sha256(
        b"\0".join((_bytes(delivery.kind), attributes.encode(), delivery.body))
    ).digest()
    story = digest.hex()[:32]
    envelope = Envelope(
        id=digest.hex(),
        source=delivery.source,
        type=UNREAD,
        key="",
        correlation_id=story,
        lane=lane,
    )
    return Work(
        entry=LogEntry(UNREAD, envelope, digest, _storable(delivery), logged),
        lane=lane,
        failure=failure,
    )


def _bytes(text: str) -> bytes:
    """Bytes for a digest, whatever the text holds."""
    return text.encode("utf-8", "backslashreplace")


def _storable(delivery: Delivery) -> Delivery:
    """What came with a body is storable; the body stays as it came."""
    return Delivery(
        source=delivery.source,
        kind=storable(delivery.kind),
        body=delivery.body,
        content_type=storable(delivery.content_type),
        message_id=storable(delivery.message_id),
        attributes={storable(k): storable(v) for k, v in delivery.attributes.items()},
    )
