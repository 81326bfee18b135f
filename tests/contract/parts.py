"""XML, JSON and CSV as parts within parts, written anew as they stand: also where the syntax has
something against it, such as a key given twice."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from handlers.systems.table.native import Csv

# A number of JSON and a word such as null are literals, also where their text is no JSON any more.
Kind = Literal["element", "attribute", "object", "list", "text", "literal", "row"]


class Part(NamedTuple):
    """kind: of what stands here. name: a tag, the name of an attribute, the key of a member."""

    kind: Kind
    name: str = ""
    text: str = ""
    parts: tuple[Part, ...] = ()


Path = tuple[int, ...]


def paths(part: Part, above: Path = ()) -> Iterator[Path]:
    """Where the parts within it stand, outer ones first."""
    for at, inner in enumerate(part.parts):
        yield (*above, at)
        yield from paths(inner, (*above, at))


def part_at(part: Part, path: Path) -> Part:
    for at in path:
        part = part.parts[at]
    return part


def with_parts(
    part: Part, path: Path, change: Callable[[tuple[Part, ...], int], tuple[Part, ...]]
) -> Part:
    """The whole after a change among the parts around a path."""
    first, *rest = path
    if not rest:
        return part._replace(parts=change(part.parts, first))
    inner = with_parts(part.parts[first], tuple(rest), change)
    return part._replace(parts=(*part.parts[:first], inner, *part.parts[first + 1 :]))


def with_text(part: Part, path: Path, text: str) -> Part:
    """The whole with another text in one place."""
    return with_parts(
        part, path, lambda parts, at: (*parts[:at], parts[at]._replace(text=text), *parts[at + 1 :])
    )


def with_inner(part: Part, path: Path, inner: Part) -> Part:
    """The whole with one part more, at the end of what stands at a path; () is the whole."""
    if not path:
        return part._replace(parts=(*part.parts, inner))
    first, *rest = path
    changed = with_inner(part.parts[first], tuple(rest), inner)
    return part._replace(parts=(*part.parts[:first], changed, *part.parts[first + 1 :]))


# --- XML ---


def xml_parts(content: bytes) -> Part:
    """The root element; without document type, comments and blanks between elements."""
    return _element(ET.fromstring(content))


def _element(found: ET.Element) -> Part:
    attributes = [Part("attribute", name, text) for name, text in found.attrib.items()]
    children = [_element(child) for child in found]
    text = (found.text or "") if not children else ""
    return Part("element", found.tag, text, (*attributes, *children))


def xml_text(part: Part) -> str:
    """The document, without a declaration."""
    attributes = "".join(
        f" {inner.name}={quoteattr(inner.text)}"
        for inner in part.parts
        if inner.kind == "attribute"
    )
    children = "".join(xml_text(inner) for inner in part.parts if inner.kind == "element")
    return f"<{part.name}{attributes}>{escape(part.text)}{children}</{part.name}>"


# --- JSON ---


def json_parts(content: bytes) -> Part:
    """The value; numbers as they are written."""
    number = _Number
    return _value(
        "", json.loads(content, object_pairs_hook=_Members, parse_float=number, parse_int=number)
    )


class _Members(tuple[tuple[str, Any], ...]):
    """Those of an object, in order."""

    __slots__ = ()


class _Number(str):
    """As it is written."""

    __slots__ = ()


def _value(name: str, found: Any) -> Part:
    match found:
        case _Members():
            return Part("object", name, parts=tuple(_value(key, value) for key, value in found))
        case list():
            return Part("list", name, parts=tuple(_value("", value) for value in found))
        case _Number():
            return Part("literal", name, str(found))
        case str():
            return Part("text", name, found)
        case _:
            return Part("literal", name, json.dumps(found))


def json_text(part: Part) -> str:
    """The value."""
    match part.kind:
        case "object":
            members = (f"{_quoted(inner.name)}: {json_text(inner)}" for inner in part.parts)
            return f"{{{', '.join(members)}}}"
        case "list":
            return f"[{', '.join(map(json_text, part.parts))}]"
        case "text":
            return _quoted(part.text)
        case _:
            return part.text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# --- CSV ---


def csv_parts(content: bytes, form: Csv) -> Part:
    """Rows of cells; the first has the names, where the table does not."""
    text = io.StringIO(content.decode(form.encoding).removeprefix("\ufeff"), newline="")
    options: dict[str, Any] = (
        {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    )
    rows = csv.reader(text, delimiter=form.delimiter, **options)
    return Part(
        "list", parts=tuple(Part("row", parts=tuple(Part("text", "", c) for c in r)) for r in rows)
    )


def csv_text(part: Part, form: Csv) -> str:
    """The file."""
    rows = [[cell.text for cell in row.parts] for row in part.parts]
    if not form.quote:
        return "\n".join(map(form.delimiter.join, rows))
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=form.delimiter, quotechar=form.quote).writerows(rows)
    return written.getvalue()
