"""The catalogue of contracts as a page: what is said, by whom, about what, with every field; and
what sources may send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from canonical.events import EVENTS, EventType
from ops.contracts.inbound import Inbound, headers
from ops.contracts.schemas import file_name, schema_of

_HEAD = """\
# Contracts

Every event that Layshaft publishes, and [what sources may send](#what-sources-may-send), written by
`layshaft schema export` from the code that keeps them. A published version only grows: `./check`
fails where a reader or a writer of it would break.
Beside this page: the [AsyncAPI document](asyncapi.json) with channels, headers and bindings; the
schemas themselves: [canonical/contracts](../../canonical/contracts).

An event is published to `layshaft.events.<lane>` under its name; bind to all three lanes. It
comes at least once: remove repeats by the header `ce-id`.

The lane says how critical an event is, and so how it is best taken: in `critical` and `standard`
as it comes (*event*), in `enrichment` with others, later (*batch*). What somebody has to know
before going on is no event: a sender learns by the broker's confirm that a message was taken, and
by `layshaft trace` what became of it.
"""

_INBOUND = """\
## What sources may send

A source publishes to its exchange `in.<source>` ([how](../connect-a-source.md)) what its
`contracts` in the configuration name: message types of this list. A schema here says what is read,
so it only grows more tolerant: `./check` fails where a message that was taken would be refused.
What it does not name may stand there too and is counted. What a schema cannot say (words, units,
days) the page of the driver does.

Owner is who answers for what a kind means. A message that cannot be read is a case of its sender's.
"""


def page(rows: Iterable[Inbound] = (), events: Iterable[EventType] = tuple(EVENTS.values())) -> str:
    """Markdown."""
    events = tuple(events)
    parts = [_HEAD, _overview(events), *(_section(event) for event in events)]
    return "\n".join((*parts, _INBOUND, *_systems(rows)))


def _systems(rows: Iterable[Inbound]) -> Iterator[str]:
    """What each system may send."""
    heads = ("Message type", "Is", "Content type", "Schema", "Headers needed", "Owner")
    for system, own in groupby(rows, key=lambda row: row.system):
        yield f"### {system}\n\n[What is read of it](../../handlers/systems/{system}/README.md).\n"
        yield _table(heads, map(_inbound_row, own))


def _inbound_row(row: Inbound) -> Sequence[str]:
    link = f"[{row.file}](../../canonical/contracts/inbound/{row.file})"
    return (
        f"`{row.kind}`",
        row.form.what,
        f"`{row.form.media_type}`",
        link if row.file else "",
        ", ".join(f"`{name}`" for name in headers(row)["required"]),
        ", ".join(row.form.owners),
    )


def _overview(events: Sequence[EventType]) -> str:
    rows = [
        (
            f"[`{e.name}`](#{_anchor(e)})",
            f"v{e.version}",
            f"`{e.key}`",
            e.lane,
            e.owner,
            e.description,
        )
        for e in events
    ]
    return _table(("Event", "Version", "About", "Lane", "Owner", "Says"), rows)


def _anchor(event: EventType) -> str:
    return event.name.replace(".", "")


def _section(event: EventType) -> str:
    schema = schema_of(event)
    facts = (
        ("Type", f"`{event.type}`"),
        ("Schema", f"[{file_name(event)}](../../canonical/contracts/{file_name(event)})"),
        ("About", f"`{event.key}`"),
        ("Lane", event.lane + (f"; {event.lane_rule}" if event.lane_rule else "")),
        ("Pattern", f"{event.pattern}: {event.why[0].lower()}{event.why[1:]}"),
        ("Owner", event.owner),
        ("Kept in the log", f"{event.retention_days} days, unless `retention.log_days` differs"),
    )
    return "\n".join(
        (
            f"## {event.name}\n\n{event.description}.\n",
            _table(("", ""), facts),
            _table(("Field", "Type", "Without it"), list(_fields(schema, schema, ""))),
            *_words(schema),
        )
    )


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    """What its types say of themselves."""
    for name, kind in schema["$defs"].items():
        if text := kind.get("description"):
            first, _, rest = text.partition("\n\n")
            more = " ".join(rest.split())
            yield f"- **{name}**: {' '.join(first.split())}" + (f" {more}" if more else "")
    yield ""


def _fields(
    root: Mapping[str, Any], schema: Mapping[str, Any], path: str
) -> Iterator[Sequence[str]]:
    """Each field with those below it."""
    schema = _resolved(root, schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        yield f"`{place}`", _type(root, field), _absent(field, is_required=name in required)
        parts = list(_parts(root, field))
        for part in parts:
            below = f"{place}[]" if _is_list(root, field) else place
            # Which of several kinds a field belongs to.
            below += f"<{part['title']}>" if len(parts) > 1 else ""
            yield from _fields(root, part, below)


def _parts(root: Mapping[str, Any], field: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that a field holds."""
    field = _resolved(root, field)
    if isinstance(items := field.get("items"), Mapping):
        yield from _parts(root, items)
    for alternative in field.get("anyOf", ()):
        yield from _parts(root, alternative)
    if "properties" in field:
        yield field


def _is_list(root: Mapping[str, Any], field: Mapping[str, Any]) -> bool:
    return _resolved(root, field).get("type") == "array"


def _type(root: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_type(root, alternative) for alternative in field["anyOf"])
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array" and isinstance(field.get("items"), Mapping):
        return f"list of {_type(root, field['items'])}"
    return str(field.get("format") or field.get("type") or "anything")


def _absent(field: Mapping[str, Any], *, is_required: bool) -> str:
    """What it means that the field is not there."""
    if is_required:
        return "required"
    return _shown(field["default"]) if "default" in field else "as it was"


def _shown(value: object) -> str:
    match value:
        case "":
            return "empty"
        case None:
            return "unknown"
        case list() | dict():
            return "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return f"`{value}`"


def _resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = root["$defs"][str(schema["$ref"]).rpartition("/")[2]]
    return schema


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
