"""Messages to send: sound ones of each contract, and what can be made wrong about them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec

from canonical.events import EVENTS, SOURCE
from tests.amqp_wire import properties

KIND = "engineering-change"
PLM, OTHER, GUARDED = "in.plm", "in.mes", "in.guarded"
OWN = "layshaft.events.standard"
_numbers = itertools.count(1)


class Sent(msgspec.Struct, frozen=True):
    """A message as it is put on the wire."""

    body: bytes
    flags: int = 0
    raw: bytes = b""
    exchange: str = PLM
    routing_key: str = KIND


def unique(prefix: str) -> str:
    """A number nobody used before."""
    return f"{prefix}-{next(_numbers)}"


def statement(*rows: Any, **fields: Any) -> dict[str, Any]:
    """An Arena change that is not released yet: read and applied, without any effect."""
    number = unique("ECO")
    change = {
        "guid": f"GUID-{number}",
        "number": number,
        "title": "Title",
        "lifecycleStatus": {"type": "OPEN_AND_UNLOCKED"},
        "lifecycleDateTime": "2024-01-01T00:00:00Z",
        "effectivityType": "PERMANENT_ON_APPROVAL",
    }
    return {
        "change": change | fields,
        "changeItems": {"count": len(rows), "results": list(rows)},
    }


def arena(content: Any, **headers: str) -> Sent:
    """A change statement that says its type, so that the content alone decides."""
    return told(content, type="arena.change", **headers)


def contracts(**line: Any) -> tuple[Sent, str]:
    """One contract line of procurement with these fields, and the key of its coverage."""
    item = unique("BOLT")
    sound = {
        "item-number": item,
        "price": "25.00",
        "uom": {"code": "EA"},
        "currency": {"code": "EUR"},
    }
    contract = {
        "number": unique("C"),
        "status": "published",
        "start-date": "2024-01-01",
        "supplier": {"number": "S-1"},
        "lines": [sound | line],
    }
    key = f"coverage/{item}"
    return coupa("coupa.contracts", key, [contract]), key


def coupa(contract: str, key: str, content: Any, **headers: str) -> Sent:
    """An answer of procurement."""
    stated = {
        "id": unique("answer"),
        "type": contract,
        "subject": key,
        "time": "2026-03-02T08:30:00Z",
    }
    return told(content, **stated | headers)


def told(body: bytes | object, *, exchange: str = PLM, **headers: str) -> Sent:
    """A message of sound properties with these CloudEvents attributes."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    names = {f"ce-{name}": value for name, value in headers.items()}
    flags, raw = properties(dict(names))
    return Sent(content, flags, raw, exchange)


def raw(flags: int, properties: bytes, *, body: bytes | None = None, exchange: str = PLM) -> Sent:
    """A message of these property bytes."""
    return Sent(body or b'{"n":%d}' % next(_numbers), flags, properties, exchange)


def own(event: str, key: str, content: bytes, **headers: str) -> Sent:
    """An event of ours, published past the relay by somebody who may do that."""
    stated = {"id": f"own-{next(_numbers)}", "source": SOURCE, "subject": key} | headers
    sent = told(content, exchange=OWN, **{"type": EVENTS[event].type} | stated)
    return msgspec.structs.replace(sent, routing_key=event)


def supplier(number: str, *, exchange: str = PLM, user: str = "", **headers: str) -> Sent:
    """A supplier as procurement states it: becomes one event and one document."""
    content = [{"id": 7, "number": number, "name": "Bolt & Co", "status": "active"}]
    stated = {
        "id": f"about-{number}-{exchange}",
        "type": "coupa.supplier",
        "subject": f"supplier/{number}",
        "time": "2026-03-02T08:30:00Z",
    } | headers
    names: dict[str, Any] = {f"ce-{name}": value for name, value in stated.items()}
    flags, raw = properties(names, user_id=user) if user else properties(names)
    return Sent(json.dumps(content).encode(), flags, raw, exchange)
