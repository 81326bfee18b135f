"""Channels and operations of the AsyncAPI document: where Layshaft publishes each event, what of it
it takes itself, where a subscriber takes it from, and where sources publish.

`send` and `receive` are what Layshaft does, as AsyncAPI has it; whoever reads the document does the
opposite. AsyncAPI's AMQP bindings describe name and durability; what else a queue is declared with
stands in `x-arguments`. No binding names a virtual host: it is the server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from broker.topology import (
    EventTopology,
    Queue,
    SubscriberTopology,
    event_queue,
    events_exchange,
    inbound_exchange,
    subscriber_queue,
    topology,
)
from canonical.catalogue import Catalogue
from canonical.envelope import Lane
from canonical.events import EventType
from ops.contracts.inbound import STRUCTURED

BINDING_VERSION = "0.3.0"
INBOUND, SUBSCRIBER = "inbound", "subscriber"
_OUT = {"deliveryMode": 2, "mandatory": True, "bindingVersion": BINDING_VERSION}
_IN = {"ack": True, "bindingVersion": BINDING_VERSION}


def channels(
    catalogue: Catalogue, events: Iterable[EventType], kinds: Iterable[str]
) -> dict[str, Any]:
    """Every channel. kinds: names of the messages that sources may send."""
    events = tuple(events)
    names = tuple(event.name for event in events)
    wanted = topology(
        [],
        [EventTopology(name) for name in catalogue.events],
        [SubscriberTopology(SUBSCRIBER, names)],
    )
    queues = {queue.name: queue for queue in wanted.queues}
    return {
        **{f"{e.name}.{lane}": _published(e, lane) for e in events for lane in e.lanes},
        **{
            _own(e, lane): _taken(e, lane, queues[event_queue(e.name, lane)])
            for e in _consumed(catalogue, events)
            for lane in e.lanes
        },
        SUBSCRIBER: _subscriber(events, queues[subscriber_queue(SUBSCRIBER)]),
        INBOUND: _inbound(kinds),
    }


def operations(catalogue: Catalogue, events: Iterable[EventType]) -> dict[str, Any]:
    """What Layshaft does with each channel."""
    events = tuple(events)
    return {
        **{
            f"publish.{e.name}.{lane}": _operation(
                "send", f"{e.name}.{lane}", f"{e.description}.", _OUT
            )
            for e in events
            for lane in e.lanes
        },
        **{
            f"take.{e.name}.{lane}": _operation(
                "receive", _own(e, lane), "Taken and decided once, in the order of its object.", _IN
            )
            for e in _consumed(catalogue, events)
            for lane in e.lanes
        },
        "deliver.subscriber": _operation(
            "send", SUBSCRIBER, "What a subscriber of the configuration asked for.", _OUT
        ),
        "take.inbound": _operation("receive", INBOUND, "Taken, translated and decided once.", _IN),
    }


def _consumed(catalogue: Catalogue, events: Iterable[EventType]) -> tuple[EventType, ...]:
    """Those that Layshaft takes itself."""
    return tuple(event for event in events if event.name in catalogue.events)


def _own(event: EventType, lane: Lane) -> str:
    """Name of the channel that Layshaft takes the event from."""
    return f"{event.name}.{lane}.queue"


def _published(event: EventType, lane: Lane) -> dict[str, Any]:
    return {
        "address": event.name,
        "summary": f"{event.description}, in the lane {lane}",
        "messages": _messages([event.name]),
        "bindings": _exchange(events_exchange(lane)),
        "x-lane-rule": event.lane_rule,
    }


def _taken(event: EventType, lane: Lane, queue: Queue) -> dict[str, Any]:
    return {
        "address": queue.name,
        "summary": f"What Layshaft itself takes of {event.name} in the lane {lane}",
        "description": (
            "Nobody else consumes it. Where the event is partitioned, each partition has a queue in"
            " its place (`layshaft topology show`)."
        ),
        "messages": _messages([event.name]),
        "bindings": _queue(queue.name),
        "x-arguments": dict(queue.arguments),
        "x-bound-to": [f"{event.name}.{lane}"],
    }


def _subscriber(events: tuple[EventType, ...], queue: Queue) -> dict[str, Any]:
    return {
        "address": subscriber_queue("{subscriber}"),
        "summary": "The queue of a subscriber, which consumes it",
        "description": (
            "Declared by Layshaft for each of `settings.subscribers`, with those of these events"
            " that the configuration names, in all their lanes. Nobody else consumes it. What is"
            " not taken goes, the oldest first, once it is full. docs/subscribe.md says how."
        ),
        "parameters": {"subscriber": {"description": "Its name in the configuration"}},
        "messages": _messages(event.name for event in events),
        "bindings": _queue(subscriber_queue("<subscriber>")),
        "x-arguments": dict(queue.arguments),
        "x-bound-to": [f"{event.name}.{lane}" for event in events for lane in event.lanes],
    }


def _inbound(kinds: Iterable[str]) -> dict[str, Any]:
    return {
        "address": "{kind}",
        "summary": "What a source publishes to its own exchange",
        "description": (
            f"The exchange is {inbound_exchange('<source>')}; the routing key is the kind of object"
            " that the configuration names for the source. " + STRUCTURED
        ),
        "parameters": {"kind": {"description": "The kind of object, as the source calls it"}},
        "messages": _messages(kinds),
        "bindings": _exchange(inbound_exchange("<source>")),
    }


def _messages(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _exchange(name: str) -> Mapping[str, Any]:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": BINDING_VERSION}}


def _queue(name: str) -> Mapping[str, Any]:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    return {"amqp": {"is": "queue", "queue": queue, "bindingVersion": BINDING_VERSION}}


def _operation(
    action: str, channel: str, summary: str, binding: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"amqp": dict(binding)},
    }
