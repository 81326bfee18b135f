"""The JSON Schema of each event and version, as it is published."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from canonical.events import EVENTS, EventType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def file_name(event: EventType) -> str:
    """`<object>.<past-tense>.v<n>.json`."""
    return f"{event.name}.v{event.version}.json"


def schema_of(event: EventType) -> dict[str, Any]:
    """The schema of its data, complete in itself."""
    (root,), components = components_of([event.data], "#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "$id": f"urn:layshaft:contract:{event.name}:v{event.version}",
        "title": event.type,
        "description": f"{event.description}.",
        "x-business-key": event.key,
        "x-owner": event.owner,
        **root,
        "$defs": components,
    }


def schemas(events: Iterable[EventType] = tuple(EVENTS.values())) -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {file_name(event): schema_of(event) for event in events}


def components_of(
    types: Iterable[type[msgspec.Struct]], ref_template: str
) -> tuple[tuple[Mapping[str, Any], ...], dict[str, Any]]:
    """One reference for each of the types, and what they refer to, by name and in its order."""
    roots, components = msgspec.json.schema_components(types, ref_template=ref_template)
    # Defaults are Python's until they are written.
    components = msgspec.json.decode(msgspec.json.encode(components))
    return tuple(roots), {name: _described(components[name]) for name in sorted(components)}


def _described(schema: Any) -> Any:
    """Docstrings as they are read, not as they are indented; without OpenAPI's `discriminator`,
    which is no word of JSON Schema and another one in AsyncAPI: tags are told by their only value.
    """
    match schema:
        case dict():
            kept = {word: _described(part) for word, part in schema.items()}
            if isinstance(text := kept.get("description"), str):
                kept["description"] = inspect.cleandoc(text)
            if isinstance(kept.get("discriminator"), dict):
                del kept["discriminator"]
            return kept
        case list():
            return [_described(part) for part in schema]
        case _:
            return schema
