"""The JSON Schema of each event and version, as it is published, and of any type."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from canonical.events import EVENTS, EventType

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODULES = re.compile(r"(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_WORDS = re.compile(r"\w+")


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
    types: Iterable[Any], ref_template: str
) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """The schema of each of the types, and what they refer to, by name and in its order."""
    # Defaults are Python's until they are written.
    roots, components = msgspec.json.decode(
        msgspec.json.encode(msgspec.json.schema_components(types, ref_template=ref_template))
    )
    names = {name: _name(name, schema) for name, schema in components.items()}
    refs = {
        ref_template.format(name=name): ref_template.format(name=told)
        for name, told in names.items()
    }
    described = {names[name]: _described(schema, refs) for name, schema in components.items()}
    assert len(described) == len(components)  # no two are told by one name
    return (
        tuple(_described(root, refs) for root in roots),
        {name: described[name] for name in sorted(described)},
    )


def _name(name: str, schema: Mapping[str, Any]) -> str:
    """Of a generic type with what it is of: `Children.OrderItem`; others as they are called."""
    title = str(schema.get("title", ""))
    return ".".join(_WORDS.findall(_without_modules(title))) if "[" in title else name


def _without_modules(title: str) -> str:
    """The title without the modules that arguments of generic types are told with."""
    return _MODULES.sub("", title) if "[" in title else title


def _described(schema: Any, refs: Mapping[str, str]) -> Any:
    """Docstrings as they are read, not as they are indented; references by the names that are told;
    without OpenAPI's `discriminator`, which is no word of JSON Schema and another one in AsyncAPI:
    tags are told by their only value.
    """
    match schema:
        case dict():
            kept = {word: _described(part, refs) for word, part in schema.items()}
            if isinstance(text := kept.get("description"), str):
                kept["description"] = inspect.cleandoc(text)
            if isinstance(title := kept.get("title"), str):
                kept["title"] = _without_modules(title)
            if isinstance(ref := kept.get("$ref"), str):
                kept["$ref"] = refs[ref]
            if isinstance(kept.get("discriminator"), dict):
                del kept["discriminator"]
            return kept
        case list():
            return [_described(part, refs) for part in schema]
        case _:
            return schema
