"""Text of a package: elements, custom fields, ids, times, and what no package can carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from canonical.errors import InvalidMessage
from canonical.item import Item
from canonical.revision import parse_revision
from canonical.text import MAX_ID_CHARS, normalise_id, normalise_text
from handlers.systems.pdx.native import ROOT
from handlers.systems.pdx.words import SCHEME

# The custom fields we write, which the reader takes for names of its own tables.
_GROUP = "Layshaft"
# A parser makes blanks of line breaks in an attribute unless they are written as references.
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)
# Names that every version of XML takes. A colon would be a namespace to some parsers.
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*", re.ASCII)


def head() -> str:
    """What stands before the root: the document type comes along, as real exporters send it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<!DOCTYPE {ROOT} [\n{_document_type()}]>\n"
        "<?pdx_version 1.0?>\n"
    )


@cache
def _document_type() -> str:
    """The declarations of IPC-2571; part of the program, as the tables of units are."""
    return files(__package__).joinpath("ipc2571.dtd").read_text(encoding="ascii")


def element(tag: str, attributes: Mapping[str, str | None], children: Iterable[str] = ()) -> str:
    """XML text of an element on a line of its own; attributes that are None are left out."""
    stated = "".join(
        f' {name}="{value.translate(_ESCAPES)}"'
        for name, value in attributes.items()
        if value is not None
    )
    body = "".join(children)
    return f"<{tag}{stated}>\n{body}</{tag}>\n" if body else f"<{tag}{stated}/>\n"


def group(tag: str, children: Sequence[str]) -> str:
    """XML text of an element that holds at least one child; "" without any."""
    return element(tag, {}, children) if children else ""


def custom(fields: Mapping[str, str]) -> str:
    """XML text of the custom fields that have a value; "" where none has."""
    rows = [
        element("AdditionalAttribute", {"name": name, "value": value})
        for name, value in fields.items()
        if value
    ]
    return element("AdditionalAttributes", {"groupLabel": _GROUP}, rows) if rows else ""


def text(value: str, where: str) -> str:
    """Prose as it is written. Raises: InvalidMessage for what XML or we do not take."""
    return normalise_text(value, where=where)


def optional(value: str, where: str) -> str | None:
    """Prose as it is written; None, no attribute, where there is none."""
    return text(value, where) or None


def identifier(value: str, where: str) -> str:
    """A number or name as it is written. Raises: InvalidMessage where it is none."""
    return normalise_id(value, where=where)


def time_text(at: datetime | None) -> str | None:
    """The instant as it is written; None where there is none."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def label(value: str, where: str) -> str:
    """A revision label as it is written.

    Raises: InvalidMessage for one outside the scheme of packages, whose place nobody would know.
    """
    if parse_revision(value, SCHEME, where=where).label != value:
        raise inexpressible(f"the revision {value[:40]!r} is no label alone", where)
    return value


def joined(names: Sequence[str], where: str) -> str:
    """Names of plants as one list. Raises: InvalidMessage for names that would come apart."""
    for name in names:
        if any(mark in name for mark in ",;|"):
            raise inexpressible(f"the name {name[:40]!r} has a mark that separates names", where)
    return ", ".join(identifier(name, where) for name in names)


def unique_ids(items: Iterable[Item]) -> dict[str, str]:
    """An XML id for each item number: that of its source where it can be one and is not taken."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    without: list[str] = []
    for item in items:
        own = item.source_id
        if len(own) <= MAX_ID_CHARS and _XML_NAME.fullmatch(own) and own not in taken:
            ids[item.number] = own
            taken.add(own)
        else:
            without.append(item.number)
    count = 0
    for number in without:
        count += 1
        while f"ITEM.{count}" in taken:
            count += 1
        ids[number] = f"ITEM.{count}"
    return ids


def inexpressible(what: str, where: str) -> InvalidMessage:
    """What no field of a package can say; `what` goes on after "A package cannot say this: "."""
    return InvalidMessage(
        "package-inexpressible",
        f"A package cannot say this: {what}",
        where=where,
        remedy="Correct it at the source, or leave the object out of the package",
    )


def shown(number: str) -> str:
    """An id for a sentence: short, without anything invisible."""
    return "".join(char if char.isprintable() else "?" for char in number[:70])
