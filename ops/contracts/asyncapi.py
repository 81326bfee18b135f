"""The AsyncAPI 3.0 document of everything that is sent and taken over AMQP.

AsyncAPI's AMQP bindings describe exchange, queue and durability; the arguments of our own queues
stand in `x-queue`. Every event has a channel in each lane: which of them it takes is decided when
it is emitted, so whoever subscribes binds to all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from broker.topology import (
    ATTRIBUTE_PREFIX,
    LANES,
    EventTopology,
    Queue,
    event_queue,
    events_exchange,
    inbound_exchange,
    topology,
)
from canonical.catalogue import Catalogue
from canonical.envelope import Lane
from canonical.events import EVENTS, EventType
from canonical.package import PACKAGE_TYPE, PackageReference
from ops.contracts.inbound import SPELLINGS, STRUCTURED, Inbound, contents_of, headers, inbound
from ops.contracts.schemas import components_of

VERSION = "3.0.0"
API_VERSION = "1.1.0"
"""Of what is described: minor where something is added, major where something goes."""
BINDING_VERSION = "0.3.0"
_SCHEMAS = "#/components/schemas/"
_STORY = {"location": f"$message.header#/{ATTRIBUTE_PREFIX}correlationid"}
# The message that refers to a package.
_PACKAGE = "package"

# Attribute -> what it says; those that every event carries first.
_ALWAYS = {
    "specversion": "Version of CloudEvents",
    "id": "Identity of the event, the same for every copy of it: remove repeats by it",
    "source": "Who says so",
    "type": "What happened, with the version of its contract",
    "subject": "The business object it is about",
    "time": "When it was said",
    "sequence": "Its number among the events of its object, in decimal digits, without gaps",
    "correlationid": "The story it belongs to",
}
_SOMETIMES = {
    "causationid": "The message it follows from",
    "logposition": "Where it stands in the log of Layshaft",
    "publishtime": "When it was published",
    "dataref": "Where the content stands, if it is too large to travel along",
    "databytes": "How large that content is",
}


def asyncapi(
    catalogue: Catalogue, events: Iterable[EventType] = tuple(EVENTS.values())
) -> dict[str, Any]:
    """The whole document."""
    events = tuple(events)
    queues = {q.name: q for q in topology([], [*map(EventTopology, catalogue.events)]).queues}
    reference = f"{_SCHEMAS}{{name}}"
    _, components = components_of([*(event.data for event in events), PackageReference], reference)
    rows = inbound(catalogue)
    payloads, of_vendors = contents_of(rows, reference)
    taken = {row.key: _inbound_message(row, payloads[row.key]) for row in rows}
    taken |= {_PACKAGE: _package_message(rows)}
    messages = {event.name: _message(event) for event in events} | taken
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Layshaft",
            "version": API_VERSION,
            "description": "Business events between PLM, ERP and procurement.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": _SERVER},
        "channels": {
            **{f"{e.name}.{lane}": _channel(e, lane, queues) for e in events for lane in LANES},
            "inbound": _inbound(taken),
        },
        "operations": {
            **{f"publish.{e.name}.{lane}": _publishing(e, lane) for e in events for lane in LANES},
            "take.inbound": _TAKING,
        },
        "components": {
            "messages": messages,
            "schemas": {**components, "Headers": _headers(), **of_vendors},
        },
    }


_SERVER = {
    "host": "{host}",
    "protocol": "amqp",
    "protocolVersion": "0-9-1",
    "description": "RabbitMQ; the virtual host is the installation's",
    "variables": {"host": {"default": "localhost:5672", "description": "Name and port"}},
}


def _headers() -> dict[str, Any]:
    """CloudEvents attributes as AMQP headers; the content type is AMQP's own property."""
    told = {**_ALWAYS, **_SOMETIMES}
    return {
        "type": "object",
        "description": "CloudEvents 1.0 attributes",
        "properties": {
            f"{ATTRIBUTE_PREFIX}{name}": {"type": "string", "description": what}
            for name, what in told.items()
        },
        "required": [f"{ATTRIBUTE_PREFIX}{name}" for name in _ALWAYS],
    }


def _message(event: EventType) -> dict[str, Any]:
    return {
        "name": event.name,
        "title": event.type,
        "summary": f"{event.description}.",
        "description": f"{event.why}.",
        "contentType": "application/json",
        "headers": {"$ref": f"{_SCHEMAS}Headers"},
        "payload": {"$ref": f"{_SCHEMAS}{event.data.__name__}"},
        "correlationId": _STORY,
        "tags": [{"name": f"owner: {event.owner}"}, {"name": f"pattern: {event.pattern}"}],
        "bindings": {"amqp": {"messageType": event.type, "bindingVersion": BINDING_VERSION}},
        "x-business-key": event.key,
        "x-retention-days": event.retention_days,
    }


def _inbound_message(row: Inbound, payload: dict[str, Any]) -> dict[str, Any]:
    form = row.form
    return {
        "name": row.kind,
        "title": row.key,
        "summary": f"{form.what}.",
        "description": f"handlers/systems/{row.system}/README.md says what is read of it.",
        "contentType": form.media_type,
        "headers": headers(row),
        "payload": payload,
        "correlationId": _STORY,
        "tags": [{"name": f"owner: {owner}"} for owner in form.owners],
        "bindings": {
            "amqp": {
                "contentEncoding": "identity",
                "messageType": row.kind,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _package_message(rows: Iterable[Inbound]) -> dict[str, Any]:
    kinds = ", ".join(dict.fromkeys(f"`{row.kind}`" for row in rows if row.form.by_reference))
    return {
        "name": _PACKAGE,
        "title": _PACKAGE,
        "summary": "Where the content stands that is too large for a message.",
        "description": (
            "`layshaft package put` gives what it says. It has the routing key and the headers of"
            f" the message that it stands for; these may be large: {kinds}."
        ),
        "contentType": PACKAGE_TYPE,
        "headers": {"type": "object", "description": SPELLINGS},
        "payload": {"$ref": f"{_SCHEMAS}{PackageReference.__name__}"},
        "correlationId": _STORY,
        "bindings": {
            "amqp": {"contentEncoding": "identity", "bindingVersion": BINDING_VERSION},
        },
    }


def _channel(event: EventType, lane: Lane, queues: Mapping[str, Queue]) -> dict[str, Any]:
    """queues: those that Layshaft itself takes events from."""
    own = queues.get(event_queue(event.name, lane))
    taken = {"x-queue": {"name": own.name, "arguments": dict(own.arguments)}} if own else {}
    return {
        "address": event.name,
        "summary": f"{event.description}, in the lane {lane}",
        "messages": {event.name: {"$ref": f"#/components/messages/{event.name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": _exchange(events_exchange(lane)),
                "bindingVersion": BINDING_VERSION,
            }
        },
        **taken,
        "x-lane-rule": event.lane_rule or f"always {event.lane}",
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
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": _exchange(inbound_exchange("<source>")),
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _exchange(name: str) -> Mapping[str, Any]:
    return {"name": name, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}


def _publishing(event: EventType, lane: Lane) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{event.name}.{lane}"},
        "summary": f"{event.description}.",
        "bindings": {
            "amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": BINDING_VERSION}
        },
    }


_TAKING = {
    "action": "receive",
    "channel": {"$ref": "#/channels/inbound"},
    "summary": "Taken, translated and decided once.",
    "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
}
