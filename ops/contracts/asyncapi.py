"""The AsyncAPI 3.0 document of everything that is sent and taken over AMQP: its messages, with
headers and contents. Where they go stands in ops/contracts/channels.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.settings import Retention
from broker.topology import ATTRIBUTE_PREFIX
from canonical.catalogue import Catalogue
from canonical.events import EVENTS, EventType
from canonical.package import PACKAGE_TYPE, PackageReference
from canonical.patterns import GRADES, REQUEST_REPLIES
from ops.contracts.channels import BINDING_VERSION, channels, operations
from ops.contracts.inbound import SPELLINGS, Inbound, contents_of, headers, inbound
from ops.contracts.schemas import components_of

VERSION = "3.0.0"
API_VERSION = "2.0.0"
"""Of what is described: minor where something is added, major where something goes."""
_SCHEMAS = "#/components/schemas/"
_STORY = {"location": f"$message.header#/{ATTRIBUTE_PREFIX}correlationid"}
# Of every event: the log keeps all of them for as long, and what is unfinished for longer.
_RETENTION = {"setting": "settings.retention.log_days", "default-days": Retention().log_days}
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
        "x-retention": _RETENTION,
        "x-patterns": _patterns(),
        "servers": {"rabbitmq": _SERVER},
        "channels": channels(catalogue, events, taken),
        "operations": operations(catalogue, events),
        "components": {
            "messages": messages,
            "schemas": {**components, "Headers": _headers(), **of_vendors},
        },
    }


_SERVER = {
    "host": "{host}",
    "pathname": "/{vhost}",
    "protocol": "amqp",
    "protocolVersion": "0-9-1",
    "description": "RabbitMQ, as `settings.amqp_url` names it; channels are in its virtual host",
    "variables": {
        "host": {"default": "localhost:5672", "description": "Name and port"},
        "vhost": {"description": "Virtual host of the installation; `%2F` is the one called /"},
    },
}


def _patterns() -> dict[str, Any]:
    """What a criticality means; and what is asked and waited for, which has no channel here."""
    rows = [{**msgspec.to_builtins(row), "pattern": row.pattern} for row in REQUEST_REPLIES]
    return {"criticality": msgspec.to_builtins(GRADES), "synchronous": rows}


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
        "x-pattern": {
            "criticality": event.lane,
            "pattern": event.pattern,
            "why": event.why,
        },
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
