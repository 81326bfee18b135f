"""The catalogue of contracts as a page: what is said, by whom, about what, with every field; and
what sources may send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from broker.settings import Retention
from canonical.events import EVENTS, EventType
from canonical.patterns import GRADES, REQUEST_REPLIES
from ops.contracts.inbound import Inbound, headers
from ops.contracts.schemas import file_name, schema_of

_HEAD = """\
# Contracts

Every event that Layshaft publishes, what is asked and waited for, and
[what sources may send](#what-sources-may-send), written by `layshaft schema export` from the code
that keeps them. A published version only grows: `./check` fails where a reader or a writer of it
would break.
Beside this page: the [AsyncAPI document](asyncapi.json) with channels, headers and bindings; the
schemas themselves: [canonical/contracts](../../canonical/contracts).

How critical it is that something is known decides in which pattern it is exchanged. The
criticality of an event is its lane:
"""

_ASKED = """\
## What is asked and waited for

The synchronous contracts. No event is among them: who tells one waits for nobody who hears it. A
read to which a message leads is none either: its answer comes in as a message.
"""

_TOLD = """\
## Events

An event is published to `layshaft.events.<lane>` under its name; the lane rule says in which
lanes, and so where to bind. It comes at least once: remove repeats by the header `ce-id`.
Retention is how long the log keeps it to be looked at and replayed: `retention.log_days`, for all
alike, and what is unfinished for longer.
"""

_HEADS = (
    "Event",
    "Type",
    "Version",
    "Business key",
    "Lane rule",
    "Owner",
    "Retention",
    "Pattern",
    "Why so",
    "Says",
)

# Of every event: the log makes no difference between them.
_DAYS = f"{Retention().log_days} days"
_RETENTION = f"{_DAYS} in the log, as all of it, unless `retention.log_days` says otherwise"

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
    parts = [_HEAD, _grades(), _ASKED, _asked(), _TOLD, _overview(events)]
    parts += [_section(event) for event in events]
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


def _grades() -> str:
    rows = [(name, grade.means, grade.pattern, grade.why) for name, grade in GRADES.items()]
    return _table(("Criticality", "Means", "Pattern", "Why"), rows)


def _asked() -> str:
    rows = [
        (
            f"`{row.name}`",
            row.asks,
            row.answer,
            row.criticality,
            row.pattern,
            row.why,
            row.owner,
            f"[{row.kept_in}](../../{row.kept_in})",
        )
        for row in REQUEST_REPLIES
    ]
    heads = ("Contract", "Who waits", "For what", "Criticality", "Pattern", "Why", "Owner", "Code")
    return _table(heads, rows)


def _overview(events: Sequence[EventType]) -> str:
    rows = [
        (
            f"[`{e.name}`](#{_anchor(e)})",
            f"`{e.type}`",
            f"v{e.version}",
            f"`{e.key}`",
            e.lane_rule,
            e.owner,
            _DAYS,
            e.pattern,
            e.why,
            e.description,
        )
        for e in events
    ]
    return _table(_HEADS, rows)


def _anchor(event: EventType) -> str:
    return event.name.replace(".", "")


def _section(event: EventType) -> str:
    schema = schema_of(event)
    facts = (
        ("Type", f"`{event.type}`"),
        ("Schema", f"[{file_name(event)}](../../canonical/contracts/{file_name(event)})"),
        ("About", f"`{event.key}`"),
        ("Lane", event.lane_rule),
        ("Pattern", f"{event.pattern}: {event.why[0].lower()}{event.why[1:]}"),
        ("Owner", event.owner),
        ("Retention", _RETENTION),
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
