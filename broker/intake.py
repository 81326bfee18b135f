"""What arrives, before and after it was read: the values the pipeline's steps pass on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from broker.policy import defect
from broker.store import Position
from broker.store.messages import LogEntry
from broker.store.order import LoggedEvent, OrderKey
from broker.store.pending import Passes, PendingWork
from broker.topology import is_structured
from canonical.codec import decode_json
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import Failure, InvalidMessage
from canonical.handler import Delivery, Handler, Order

UNREAD = "unread"
MAX_ID = 512

Recognise = Callable[[Delivery], Handler]


_PASSES: Mapping[Order, Passes] = {"strict": "", "curing": "cases", "latest": "all"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery as the consumer hands it over.

    violations: what was wrong with its AMQP properties; `logged`: its place in the log if it is
    an event of ours; tag and channel belong to whoever settles it.
    """

    delivery: Delivery
    lane: Lane
    queue: str
    tag: int = 0
    channel: object = None
    redelivered: bool = False
    violations: tuple[str, ...] = ()
    logged: Position | None = None

    @property
    def fingerprint(self) -> bytes:
        """The same for every delivery of the same bytes through the same queue."""
        attributes = repr(sorted(self.delivery.attributes.items()))
        return hashlib.sha256(
            b"\0".join((self.queue.encode(), attributes.encode(), self.delivery.body))
        ).digest()


@dataclass(frozen=True, slots=True)
class Work:
    """One message to decide on, whichever way it came.

    entry: its identity and log content. handler is None, and failure set, where it could not be
    read. version: business version of the whole object it states, where its handler knows one.
    pending: the row it was claimed by, if it comes from there. caught_up: read from the log
    because a later event of its object came first.
    """

    entry: LogEntry
    lane: Lane
    handler: Handler | None = None
    message: Message[Any] | None = None
    failure: Failure | None = None
    version: int | None = None
    pending: PendingWork | None = None
    caught_up: bool = False

    @property
    def sequence(self) -> int | None:
        """Its number among the events of its object; None for foreign messages."""
        return self.entry.envelope.sequence

    @property
    def latest_wins(self) -> bool:
        """Older versions than the newest one taken are not decided any more."""
        return self.handler is not None and self.handler.order == "latest"

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
    def attempt(self) -> int:
        """Number of this try, from 1."""
        return self.pending.attempts + 1 if self.pending else 1

    @property
    def failing_since(self) -> datetime | None:
        """When its first try failed; None before that."""
        return self.pending.failing_since if self.pending else None


def read_arrival(arrival: Arrival, recognise: Recognise) -> Work:
    """The delivery as work: recognised, decoded, checked against its contract; or its failure."""
    if arrival.violations:
        failure = InvalidMessage(
            "amqp-property",
            "; ".join(arrival.violations),
            where="AMQP properties",
            remedy="Change the named properties in the client that publishes; they are not taken",
        )
        return unread(arrival.delivery, arrival.lane, failure)
    return _read(arrival.delivery, arrival.lane, recognise, arrival.logged)


def read_pending(pending: PendingWork, handler_named: Callable[[str], Handler]) -> Work:
    """A claimed row as work; its message is read anew, it may be read better than before."""
    work = _read(
        pending.delivery,
        pending.lane,
        lambda _: handler_named(pending.subscription),
        pending.position,
    )
    return replace(work, pending=pending)


def untouched(pending: PendingWork, failure: Failure) -> Work:
    """A claimed row whose message is not read any more, with its failure."""
    work = unread(pending.delivery, pending.lane, failure, pending.position)
    envelope = msgspec.structs.replace(
        work.entry.envelope, key=pending.key, correlation_id=pending.correlation_id
    )
    return replace(
        work, entry=msgspec.structs.replace(work.entry, envelope=envelope), pending=pending
    )


def read_missed(event: LoggedEvent, recognise: Recognise) -> Work:
    """An event of ours as the log holds it, taken before a later one of its object."""
    return replace(_read(event.delivery, event.lane, recognise, event.position), caught_up=True)


def _read(delivery: Delivery, lane: Lane, recognise: Recognise, logged: Position | None) -> Work:
    try:
        delivery = _unwrapped(delivery)
        handler = recognise(delivery)
        message = handler.read(delivery)
        message = Message(_named_by_sender(message.envelope, delivery), message.payload)
        _check_identity(message.envelope)
        version = handler.version(message) if handler.version is not None else None
    except Failure as failure:
        return unread(delivery, lane, failure, logged)
    except Exception as error:  # a handler's bug fails its message, never the lane
        return unread(delivery, lane, defect(error), logged)
    envelope = message.envelope
    if not envelope.correlation_id:
        # A message that starts a story gives it its id; stable, so that a re-delivery agrees.
        envelope = msgspec.structs.replace(envelope, correlation_id=_story(envelope))
    entry = LogEntry(
        subscription=handler.name,
        envelope=msgspec.structs.replace(envelope, lane=lane),
        digest=hashlib.sha256(delivery.body).digest(),
        delivery=_storable(delivery),
        logged=logged,
    )
    return Work(
        entry=entry,
        lane=lane,
        handler=handler,
        message=Message(envelope, message.payload),
        version=version,
    )


def _unwrapped(delivery: Delivery) -> Delivery:
    """A CloudEvent in structured mode as the delivery it stands for: attributes and data apart."""
    if not is_structured(delivery.content_type):
        return delivery
    event = decode_json(delivery.body, dict[str, msgspec.Raw], where="CloudEvent")
    text: dict[str, str] = {}
    for name, raw in event.items():
        if name not in ("data", "data_base64"):
            value = decode_json(bytes(raw), object, where=name)
            text[name] = value if isinstance(value, str) else bytes(raw).decode()
    if "data_base64" in event:
        body = decode_json(bytes(event["data_base64"]), bytes, where="data_base64")
    else:
        body = bytes(event.get("data", b""))
    return msgspec.structs.replace(
        delivery, body=body, attributes=text, content_type=text.get("datacontenttype", "")
    )


def _named_by_sender(envelope: Envelope, delivery: Delivery) -> Envelope:
    """The CloudEvents id is the identity where it is sent; else what the format itself says."""
    sent = delivery.attributes.get("id", "")
    return msgspec.structs.replace(envelope, id=sent) if sent else envelope


def _check_identity(envelope: Envelope) -> None:
    """Ids and keys become log lines and primary keys: short and printable, or refused."""
    for name, value, may_be_empty in (
        ("id", envelope.id, False),
        ("subject", envelope.key, False),
        ("correlationid", envelope.correlation_id, True),
        ("causationid", envelope.causation_id, True),
    ):
        if not (value or may_be_empty) or len(value) > MAX_ID or not value.isprintable():
            raise InvalidMessage(
                "identity-unusable",
                f"The {name} is empty, longer than {MAX_ID} characters or not printable",
                where=name,
                remedy=f"Send a printable {name}",
            )


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
    """PostgreSQL text takes neither NUL nor lone surrogates; the body stays as it came."""

    def clean(text: str) -> str:
        return _bytes(text).decode().replace("\0", "\\0")[:2048]

    return Delivery(
        source=delivery.source,
        kind=clean(delivery.kind),
        body=delivery.body,
        content_type=clean(delivery.content_type),
        message_id=clean(delivery.message_id),
        attributes={clean(k): clean(v) for k, v in delivery.attributes.items()},
    )


def occurred(work: Work, at: datetime) -> datetime:
    """When it happened at the source, as far as it says so."""
    return work.entry.envelope.time or at
