"""Exchanges, queues and bindings as data, the names they have, and the one function declaring them.

A job of its own declares (`declare`), with a user of its own; the service only attaches, so that a
mismatch stops one lane and not the shared connection. The mapping of CloudEvents attributes to
AMQP 0-9-1 headers stands here too: the CloudEvents AMQP binding is for AMQP 1.0, this one is ours.

    in.<source>              topic, one a source: its only write right
      in.<source>.<object>.<lane>        what the source calls the object is the routing key
      in.<source>.other.standard         every other routing key: nothing is lost unseen
    layshaft.events.<lane>   topic, one a lane: a full queue refuses for its own lane only
      <event>.<lane>                     our subscriptions
      <event>.<lane>.r<number>       consistent-hash, where the event is partitioned
        <event>.<lane>.r<number>.p<n>  one partition: the objects whose keys fall to it
      out.<subscriber>                   foreign subscribers: bounded, oldest dropped, never refuse
    layshaft.dead            fanout: what a work queue gave up on -> queue layshaft.dead
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractQueue
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ChannelClosed,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from broker.partitions import Ring
from canonical.envelope import Lane
from canonical.errors import InvalidMessage, Misconfigured, Unavailable

LANES: Final[tuple[Lane, ...]] = get_args(Lane)

DEAD: Final = "layshaft.dead"
"""The dead-letter exchange and its queue."""

OTHER: Final = "other"
"""The object kind under which unknown routing keys of a source arrive."""

MAX_QUEUE_BYTES: Final = 2 * 1024**3
DELIVERY_LIMIT: Final = 20
NO_DELIVERY_LIMIT: Final = 1_000_000_000
"""RabbitMQ 4 drops after 20 returns where nothing is said, and only 4 knows -1 for "never"."""
REPLICAS: Final = 3
"""Members of a quorum queue; a smaller cluster makes fewer, without an error."""
SUBSCRIBER_BYTES: Final = 256 * 1024**2

EQUAL_WEIGHT: Final = "1"
"""Routing key of a binding to a ring: its share of the ring, the same for all."""

Argument = str | int
ExchangeKind = Literal["topic", "fanout", "x-consistent-hash"]


class Exchange(msgspec.Struct, frozen=True):
    """A durable exchange."""

    name: str
    kind: ExchangeKind
    arguments: Mapping[str, Argument] = {}


class Queue(msgspec.Struct, frozen=True):
    """A durable queue."""

    name: str
    arguments: Mapping[str, Argument]


class Binding(msgspec.Struct, frozen=True):
    """What comes to `exchange` with a matching routing key goes to `queue`."""

    exchange: str
    queue: str
    routing_key: str


class Link(msgspec.Struct, frozen=True):
    """What comes to `exchange` with a matching routing key goes to the exchange `ring` as well."""

    exchange: str
    ring: str
    routing_key: str


class Topology(msgspec.Struct, frozen=True):
    """Everything that has to exist, in the order in which it can be declared; and what must not
    (cuts), which is taken away after that."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    links: tuple[Link, ...] = ()
    cuts: tuple[Binding | Link, ...] = ()

    @property
    def parts(self) -> tuple[Exchange | Queue, ...]:
        """What has a name; dead-letter and alternate exchanges stand before their users."""
        return (*self.exchanges, *self.queues)


class InboundObject(msgspec.Struct, frozen=True):
    """A kind of object a source sends, e.g. "engineering-change", and the lane of its messages."""

    kind: str
    lane: Lane = "standard"


class SourceTopology(msgspec.Struct, frozen=True):
    """A system that publishes to us."""

    name: str
    objects: tuple[InboundObject, ...]


class EventTopology(msgspec.Struct, frozen=True):
    """An event of ours that we consume ourselves, e.g. "engineering-change.released".

    rings: those whose exchanges and queues have to exist. Where none is current, the event
    goes to its one queue per lane, which exists in any case.
    """

    name: str
    lanes: tuple[Lane, ...] = LANES
    rings: tuple[Ring, ...] = ()


class SubscriberTopology(msgspec.Struct, frozen=True):
    """A foreign system that reads our events."""

    name: str
    events: tuple[str, ...]


# Names


def inbound_exchange(source: str) -> str:
    """The exchange a source publishes to, and may publish to only."""
    return f"in.{source}"


def inbound_queue(source: str, kind: str, lane: Lane) -> str:
    """The queue of one kind of object of one source."""
    return f"in.{source}.{kind}.{lane}"


def other_lanes(source: str, kind: str, lane: Lane) -> tuple[str, ...]:
    """The queues this kind would have in the other lanes."""
    return tuple(inbound_queue(source, kind, other) for other in LANES if other != lane)


def events_exchange(lane: Lane) -> str:
    """The exchange of our own events of one lane."""
    return f"layshaft.events.{lane}"


def event_queue(event: str, lane: Lane) -> str:
    """The queue of one event in one lane, where it is not partitioned."""
    return f"{event}.{lane}"


def unpartitioned(queue: str) -> str:
    """The event's queue that this one is a partition of; `queue` itself if it is none."""
    return _PARTITION.sub("", queue)


def subscriber_queue(subscriber: str) -> str:
    """The queue of a foreign subscriber."""
    return f"out.{subscriber}"


# Topology


def topology(
    sources: Sequence[SourceTopology],
    events: Sequence[EventTopology],
    subscribers: Sequence[SubscriberTopology] = (),
) -> Topology:
    """Everything that must exist for these sources, events and subscribers.

    Raises: Misconfigured on a name that is malformed, reserved or used twice.
    """
    _check_names(sources, events, subscribers)
    exchanges = [Exchange(DEAD, "fanout")]
    queues = [_dead_letter_queue()]
    bindings = [Binding(DEAD, DEAD, "")]
    cuts: list[Binding | Link] = []
    for source in sources:
        _add_source(source, exchanges, queues, bindings)
        cuts += _lanes_before(source)
    exchanges += [Exchange(events_exchange(lane), "topic") for lane in LANES]
    links: list[Link] = []
    for event in events:
        for lane in event.lanes:
            queue = event_queue(event.name, lane)
            queues.append(_work_queue(queue))
            alone = Binding(events_exchange(lane), queue, event.name)
            is_split = any(r.state == "current" for r in event.rings)
            (cuts if is_split else bindings).append(alone)
            for ring in event.rings:
                spread = ring.exchange(lane)
                exchanges.append(Exchange(spread, "x-consistent-hash", {"hash-header": KEY_HEADER}))
                for partition in ring.queues(lane):
                    queues.append(_one_at_a_time(_work_queue(partition)))
                    bindings.append(Binding(spread, partition, EQUAL_WEIGHT))
                link = Link(events_exchange(lane), spread, event.name)
                (links if ring.state == "current" else cuts).append(link)
    for subscriber in subscribers:
        queue = subscriber_queue(subscriber.name)
        queues.append(_subscriber_queue(queue))
        bindings += [
            Binding(events_exchange(lane), queue, event)
            for event in subscriber.events
            for lane in LANES
        ]
    return Topology(tuple(exchanges), tuple(queues), tuple(bindings), tuple(links), tuple(cuts))


def _add_source(
    source: SourceTopology,
    exchanges: list[Exchange],
    queues: list[Queue],
    bindings: list[Binding],
) -> None:
    inbound = inbound_exchange(source.name)
    other = f"{inbound}.{OTHER}"
    exchanges += [
        Exchange(other, "fanout"),
        Exchange(inbound, "topic", {"alternate-exchange": other}),
    ]
    rest = inbound_queue(source.name, OTHER, "standard")
    queues.append(_one_at_a_time(_work_queue(rest)))
    bindings.append(Binding(other, rest, ""))
    for inbound_object in source.objects:
        queue = inbound_queue(source.name, inbound_object.kind, inbound_object.lane)
        queues.append(_one_at_a_time(_work_queue(queue)))
        bindings.append(Binding(inbound, queue, _all_of(inbound_object.kind)))


def _lanes_before(source: SourceTopology) -> list[Binding]:
    """Of the queues its objects had if they ever took another lane; see broker.succession."""
    return [
        Binding(inbound_exchange(source.name), queue, _all_of(found.kind))
        for found in source.objects
        for queue in other_lanes(source.name, found.kind, found.lane)
    ]


def _all_of(kind: str) -> str:
    """ "#" also matches nothing: the bare kind, and senders that append what happened to it."""
    return f"{kind}.#"


def _work_queue(name: str) -> Queue:
    """A queue of ours: finite, replicated, and without loss until it is told to give up."""
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-quorum-initial-group-size": REPLICAS,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD,
            # Without it a dead letter keeps its routing keys, the sender's CC among them.
            "x-dead-letter-routing-key": name,
            # Falls back to at-most-once, silently, unless overflow is reject-publish.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length-bytes": MAX_QUEUE_BYTES,
        },
    )


def _one_at_a_time(queue: Queue) -> Queue:
    """One process at a time consumes it; the next takes over when that one goes.

    Events of ours carry a number, by which one that was overtaken is taken along. A sender's
    messages have none: with two processes, the later version of an object could be decided first.
    Partitions are dealt out one by one; for them it is the second guard.
    """
    return Queue(queue.name, {**queue.arguments, "x-single-active-consumer": True})


def _dead_letter_queue() -> Queue:
    """The net under all work queues: refuses when full, so that the source keeps the letter."""
    return Queue(
        DEAD,
        {
            "x-queue-type": "quorum",
            "x-quorum-initial-group-size": REPLICAS,
            "x-delivery-limit": NO_DELIVERY_LIMIT,
            "x-overflow": "reject-publish",
            "x-max-length-bytes": MAX_QUEUE_BYTES,
        },
    )


def _subscriber_queue(name: str) -> Queue:
    """A queue somebody else must empty; if they do not, they lose the oldest, we lose nothing."""
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-quorum-initial-group-size": REPLICAS,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-overflow": "drop-head",
            "x-max-length-bytes": SUBSCRIBER_BYTES,
        },
    )


_PARTITION: Final = re.compile(r"\.r\d+\.p\d+\Z")
_WORD: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RESERVED: Final = frozenset({"in", "out", "layshaft", "amq"})


def _check_names(
    sources: Sequence[SourceTopology],
    events: Sequence[EventTopology],
    subscribers: Sequence[SubscriberTopology],
) -> None:
    _check("source", (source.name for source in sources), words=1)
    for source in sources:
        _check(f"object of {source.name}", (found.kind for found in source.objects), words=1)
        if any(found.kind == OTHER for found in source.objects):
            raise _bad_name(f"object of {source.name}", OTHER, "reserved for unknown kinds")
    _check("event", (event.name for event in events), words=2)
    _check("subscriber", (subscriber.name for subscriber in subscribers), words=1)
    for subscriber in subscribers:
        _check(f"event of {subscriber.name}", subscriber.events, words=2)


def _check(what: str, names: Iterable[str], *, words: int) -> None:
    """Names are lower-case words with hyphens, joined by dots; routing keys are split at dots."""
    seen: set[str] = set()
    for name in names:
        parts = name.split(".")
        if len(parts) != words or not all(_WORD.fullmatch(part) for part in parts):
            raise _bad_name(what, name, f"not {words} lower-case word(s) joined by dots")
        if words > 1 and parts[0] in _RESERVED:
            raise _bad_name(what, name, f"{parts[0]!r} is the start of other names")
        if name in seen:
            raise _bad_name(what, name, "given twice")
        seen.add(name)


def _bad_name(what: str, name: str, why: str) -> Misconfigured:
    return Misconfigured("topology-name", f"{what} {name!r}: {why}", where=name)


# CloudEvents attributes in AMQP 0-9-1 headers

STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json"

ATTRIBUTE_PREFIX: Final = "ce-"
"""What we write. `datacontenttype` is the exception: it is the AMQP property content_type."""

KEY_HEADER: Final = f"{ATTRIBUTE_PREFIX}subject"
"""What an event is about: ours to set, so what a ring may go by."""

READ_PREFIXES: Final = (ATTRIBUTE_PREFIX, "cloudevents_", "cloudevents:")
"""What we read, in lower case: ours, and both spellings of the AMQP 1.0 binding."""

_BARE: Final = frozenset({"traceparent", "tracestate"})
"""Read without a prefix too: W3C trace context, as instrumented publishers send it."""

_ATTRIBUTE: Final = re.compile(r"[a-z0-9]+")


def headers_for(attributes: Mapping[str, str]) -> dict[str, str]:
    """AMQP headers for CloudEvents attributes: `id` becomes `ce-id`; empty ones are left out."""
    return {
        f"{ATTRIBUTE_PREFIX}{name}": value
        for name, value in attributes.items()
        if value and name != "datacontenttype"
    }


def attributes_from(headers: Mapping[str, object]) -> dict[str, str]:
    """CloudEvents attributes found in AMQP headers, names in lower case; other headers are ignored.

    Values of other AMQP types take their CloudEvents text: true/false, decimal digits, RFC 3339.
    Raises: InvalidMessage if a value has no such text, or two spellings of one attribute differ.
    """
    attributes: dict[str, str] = {}
    bare: dict[str, str] = {}
    for header, value in headers.items():
        name = _attribute_name(header)
        if name is not None:
            text = _attribute_text(header, value)
            if attributes.setdefault(name, text) != text:
                raise InvalidMessage(
                    "ce-ambiguous", "two headers give this attribute other values", where=name
                )
        elif header.lower() in _BARE and isinstance(value, str):
            bare[header.lower()] = value
    return bare | attributes


def is_structured(content_type: str | None) -> bool:
    """The body is a CloudEvents JSON document; attributes repeated in headers do not count."""
    media_type = (content_type or "").partition(";")[0]
    return media_type.strip().lower() == STRUCTURED_CONTENT_TYPE


@lru_cache(maxsize=1024)
def _attribute_name(header: str) -> str | None:
    lowered = header.lower()
    for prefix in READ_PREFIXES:
        if lowered.startswith(prefix):
            name = lowered.removeprefix(prefix)
            return name if _ATTRIBUTE.fullmatch(name) else None
    return None


def _attribute_text(header: str, value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            raise InvalidMessage(
                "ce-value", f"a header of type {type(value).__name__} is no text", where=header
            )


# Declaring

DECLARE_DEADLINE_S: Final = 60.0
"""For a whole topology; one declaration of a quorum queue takes some 20 ms."""
PROBE_DEADLINE_S: Final = 5.0

# The library's own list: a closed connection shows as plain RuntimeError in some of its calls.
_NO_ANSWER: Final = (TimeoutError, *CONNECTION_EXCEPTIONS)


async def declare(
    channel: AbstractChannel, wanted: Topology, *, deadline_s: float = DECLARE_DEADLINE_S
) -> None:
    """Everything in `wanted` exists; what exists already is left as it is.

    The channel belongs to this call and may be closed by it. A process that dies on the way leaves
    a part, which the next run completes.
    Raises: Misconfigured if something exists with other arguments or must not be declared,
    Unavailable if the broker does not answer in time.
    """
    doing = ""
    try:
        async with asyncio.timeout(deadline_s):
            for part in wanted.parts:
                doing = _subject(part)
                await _declare_part(channel, part)
            bound: tuple[Binding | Link, ...] = (*wanted.bindings, *wanted.links)
            for binding in bound:
                doing = f"binding {_ends(binding)}"
                end = await _end(channel, binding)
                await end.bind(binding.exchange, binding.routing_key)
            # Only now: in between an event comes twice, which changes nothing; it never has nowhere
            # to go.
            for binding in wanted.cuts:
                doing = f"taking away {_ends(binding)}"
                end = await _end(channel, binding)
                await end.unbind(binding.exchange, binding.routing_key)
    except ChannelClosed as error:
        raise Misconfigured(
            "topology-refused",
            f"the broker refused it: {error}",
            where=doing,
            remedy="compare with `drift`; arguments of a queue change only by a new queue",
        ) from error
    except _NO_ANSWER as error:
        raise _unreachable(doing, error) from error


class Drift(msgspec.Struct, frozen=True):
    """A difference between what is wanted and what the broker has.

    subject: "exchange <name>" or "queue <name>". detail: the broker's own words.
    """

    kind: Literal["missing", "mismatch", "refused"]
    subject: str
    detail: str


async def drift(
    connection: AbstractConnection, wanted: Topology, *, deadline_s: float = PROBE_DEADLINE_S
) -> tuple[Drift, ...]:
    """What is missing or has other arguments, in the order of the topology; nothing is changed.

    Bindings cannot be seen over AMQP: an unroutable publish tells, and `declare` restores them.
    `deadline_s` holds for each exchange and queue.
    Raises: Unavailable if the broker does not answer in time.
    """
    found: list[Drift] = []
    for part in wanted.parts:
        try:
            async with asyncio.timeout(deadline_s):
                # Only an active declaration compares arguments, only a passive one creates nothing.
                difference = await _probe(connection, part, passive=True)
                if difference is None:
                    difference = await _probe(connection, part, passive=False)
        except _NO_ANSWER as error:
            raise _unreachable(_subject(part), error) from error
        if difference is not None:
            found.append(difference)
    return tuple(found)


class QueueState(msgspec.Struct, frozen=True):
    """A queue as the broker counts it. messages: without those that somebody has in hand."""

    messages: int
    consumers: int


async def queue_states(
    connection: AbstractConnection, names: Iterable[str]
) -> dict[str, QueueState]:
    """By name; a queue that does not exist is missing. Raises what the library raises where the
    broker does not answer."""
    found: dict[str, QueueState] = {}
    for name in names:
        channel = await connection.channel(publisher_confirms=False)
        try:
            result = (await channel.declare_queue(name, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            continue
        finally:
            await channel.close()
        found[name] = QueueState(result.message_count or 0, result.consumer_count or 0)
    return found


async def _probe(
    connection: AbstractConnection, part: Exchange | Queue, *, passive: bool
) -> Drift | None:
    """How the broker's idea of `part` differs; on a channel of its own, which a refusal closes."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        await _declare_part(channel, part, passive=passive)
    except ChannelNotFoundEntity as error:
        return Drift("missing", _subject(part), str(error))
    except ChannelPreconditionFailed as error:
        return Drift("mismatch", _subject(part), str(error))
    except ChannelClosed as error:
        return Drift("refused", _subject(part), str(error))
    finally:
        await channel.close()
    return None


async def _declare_part(
    channel: AbstractChannel, part: Exchange | Queue, *, passive: bool = False
) -> None:
    # The library's argument type is a dict of any field value, invariant in both.
    arguments = dict[str, Any](part.arguments)
    match part:
        case Exchange():
            await channel.declare_exchange(
                part.name, part.kind, durable=True, passive=passive, arguments=arguments
            )
        case Queue():
            await channel.declare_queue(
                part.name, durable=True, passive=passive, arguments=arguments
            )


async def _end(
    channel: AbstractChannel, binding: Binding | Link
) -> AbstractQueue | AbstractExchange:
    """What the binding leads to. To take one away that is not there is no error to the broker."""
    match binding:
        case Binding():
            return await channel.get_queue(binding.queue, ensure=False)
        case Link():
            return await channel.get_exchange(binding.ring, ensure=False)


def _ends(binding: Binding | Link) -> str:
    to = binding.queue if isinstance(binding, Binding) else binding.ring
    return f"{binding.exchange} -> {to} ({binding.routing_key})"


def _subject(part: Exchange | Queue) -> str:
    return f"{type(part).__name__.lower()} {part.name}"


def _unreachable(subject: str, error: Exception) -> Unavailable:
    return Unavailable("broker-unreachable", f"no answer: {type(error).__name__}", where=subject)
