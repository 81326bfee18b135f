"""What sources send: each kind in each of its forms, the headers it comes with, and the JSON Schema
of what is JSON. Other syntaxes are their vendors' to describe.

A published schema is what somebody writes by: it is judged as a reader, which may only take more.
"""

from __future__ import annotations

from typing import Any

import msgspec

from broker.topology import ATTRIBUTE_PREFIX, READ_PREFIXES, STRUCTURED_CONTENT_TYPE
from canonical.catalogue import Catalogue
from canonical.events import SOURCE
from canonical.handler import Form
from handlers.systems.table.inbound import FORMS as TABLE_FORMS
from ops.contracts.schemas import DIALECT, components_of

# An installation has tables of its own, each of which is a message type; they are written alike.
TABLE = "table"

HEADERS = "x-headers"

# Attribute -> what it says to us.
_SAYS = {
    "id": "Identity of the message: what comes again under it is taken once. Without it that of the"
    " format counts, which the page about sources names",
    "type": "The message type, needed where the content alone does not tell it. A word of the"
    " sender's own says nothing; a type of ours, or a version of one, that the contracts of the"
    " source do not name is refused",
    "source": "Not needed, since the exchange tells who sends; the name of another configured"
    " source is refused",
    "subject": "What it is about, `<kind>/<number>`",
    "time": "When it was said; of what a read brought, when it was read. Whether it counts for the"
    " age of a message is configured (`trusted_time`)",
    "correlationid": "The story it belongs to; without it a new one begins",
    "causationid": "The message it follows from",
    "traceparent": "W3C trace context; read without a prefix too",
}
# Those that are looked at in every message.
_ANY = ("id", "type", "source", "time", "correlationid", "traceparent")
_FORMATS = {"time": "date-time"}

SPELLINGS = (
    "CloudEvents 1.0 attributes. Names are read in upper and lower case and with each of these"
    f" prefixes: {', '.join(f'`{prefix}`' for prefix in READ_PREFIXES)}; two that differ are"
    " refused. A value of another AMQP type counts as its text. Other headers are not read."
)
STRUCTURED = (
    f"A CloudEvents JSON document (`{STRUCTURED_CONTENT_TYPE}`) is taken in place of any message:"
    " its members are the attributes then, whatever the headers say, its `data` or `data_base64` is"
    " the content, and its `datacontenttype` the content type."
)
_OF_THE_VENDOR = "What happened, in the word of the vendor"


class Inbound(msgspec.Struct, frozen=True):
    """A form of a kind. kind: the message type. is_recognised: the content tells it, or the routing
    key; else the sender has to."""

    kind: str
    form: Form
    is_recognised: bool

    @property
    def key(self) -> str:
        """What it is called among all of them."""
        return f"{self.kind}.{self.form.name}" if self.form.name else self.kind

    @property
    def system(self) -> str:
        """The driver's name."""
        return self.kind.partition(".")[0]

    @property
    def file(self) -> str:
        """Name of its published schema; "" where it is no JSON."""
        return f"{self.key}.json" if self.form.content is not None else ""


def inbound(catalogue: Catalogue) -> tuple[Inbound, ...]:
    """Everything that sources may send, by name."""
    found = [
        Inbound(kind, form, kind in catalogue.recognised)
        for (who, kind), handler in catalogue.handlers.items()
        if who != SOURCE
        for form in handler.forms
    ]
    found += [Inbound(TABLE, form, is_recognised=True) for form in TABLE_FORMS.values()]
    return tuple(sorted(found, key=lambda row: row.key))


def headers(row: Inbound) -> dict[str, Any]:
    """The schema of its headers: what has to be there and what is looked at."""
    form = row.form
    needed = {*form.required, *(() if row.is_recognised else ("type",))}
    known = needed.union(form.read, _ANY)
    return {
        "type": "object",
        "description": SPELLINGS,
        "properties": {
            f"{ATTRIBUTE_PREFIX}{name}": _header(row, name) for name in _SAYS if name in known
        },
        "required": [f"{ATTRIBUTE_PREFIX}{name}" for name in _SAYS if name in needed],
    }


def _header(row: Inbound, name: str) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "string"}
    if name in _FORMATS:
        told["format"] = _FORMATS[name]
    if name == "type" and row.form.type_pattern:
        return {**told, "pattern": row.form.type_pattern, "description": _OF_THE_VENDOR}
    if name == "type" and not row.is_recognised:
        told["enum"] = [row.kind]
    return {**told, "description": _SAYS[name]}


def schema_of(row: Inbound) -> dict[str, Any]:
    """The schema of its content, complete in itself; its headers stand beside it."""
    (root,), components = components_of([row.form.content], "#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "$id": f"urn:layshaft:inbound:{row.key}",
        "title": row.key,
        "description": f"{row.form.what}.",
        "x-owners": list(row.form.owners),
        HEADERS: headers(row),
        **root,
        "$defs": components,
    }


def schemas(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {row.file: schema_of(row) for row in inbound(catalogue) if row.file}


# --- as messages of the AsyncAPI document ---


def contents_of(
    rows: tuple[Inbound, ...], ref_template: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key -> schema of its content, `{}` where it is no JSON; and what they refer to, by the
    names of driver and type: two vendors may call something else alike."""
    payloads: dict[str, Any] = {row.key: {} for row in rows}
    components: dict[str, Any] = {}
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system and row.form.content is not None]
        if not own:
            continue
        template = ref_template.format(name=f"{system}.{{name}}")
        roots, referred = components_of([row.form.content for row in own], template)
        payloads |= {row.key: root for row, root in zip(own, roots, strict=True)}
        components |= {f"{system}.{name}": schema for name, schema in referred.items()}
    return payloads, components
