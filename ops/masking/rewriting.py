"""Documents written anew with other values in the same places: XML, JSON and CSV.

XML and CSV stay as they are, byte for byte, but for the values that change. JSON keeps its order,
types and the digits of its numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import msgspec

from canonical.codec import check_shape, guard
from canonical.errors import InvalidMessage
from handlers.systems.table.native import Csv
from handlers.systems.table.rows import BLANKS
from handlers.systems.xml_document import Limits, Reading, encoding_of

# Of one document; it is in memory several times while it is rewritten.
MAX_BYTES = 64 * 1024 * 1024
_XML_LIMITS = Limits(bytes=MAX_BYTES, elements=2_000_000)


class Leaf(msgspec.Struct, frozen=True):
    """A value and where it stands.

    path: names from the outside in; () for what is no field: comments of XML.
    label: what a sibling called name, key or label says of a value, or an attribute of a text.
    is_number: of JSON, which has to stay one. is_name: of a member of JSON.
    """

    path: tuple[str, ...]
    value: str
    label: str = ""
    is_number: bool = False
    is_name: bool = False


Replace = Callable[[Leaf], str]

_LABELS = ("name", "key", "label")

_ATTRIBUTE = re.compile(r"([^\s=<>/\"']+)(\s*=\s*)(\"[^\"]*\"|'[^']*')")
_REFERENCE = re.compile(r"&(?:#([0-9]+)|#x([0-9A-Fa-f]+)|(lt|gt|amp|apos|quot));")
# Of an attribute; as themselves the last three would be read as blanks.
_QUOTED = (
    ("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("'", "&apos;"),
    ("\t", "&#9;"), ("\n", "&#10;"), ("\r", "&#13;"),
)  # fmt: skip
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": '"'}
# Tags hold no < outside of quotes, and every quote is closed: the parser has seen to that.
_MARKUP = re.compile(
    r"""
      <!--(?P<comment>.*?)-->
    | <!\[CDATA\[(?P<cdata>.*?)\]\]>
    | <\?.*?\?>
    | <!DOCTYPE(?:[^\["'>]|"[^"]*"|'[^']*')*+
        (?:\[(?:<!--.*?-->|<\?.*?\?>|"[^"]*"|'[^']*'|[^\]"'])*+\]\s*)?>
    | </[^>]*>
    | <(?P<tag>[^\s/>]+)(?P<rest>(?:[^"'>]|"[^"]*"|'[^']*')*+)>
    """,
    re.VERBOSE | re.DOTALL,
)


def rewritten_xml(body: bytes, replace: Replace) -> bytes:
    """The document with other texts and attribute values.

    Raises: InvalidMessage for what the reader of XML refuses.
    """
    for _ in Reading(BytesIO(body), limits=_XML_LIMITS):
        pass
    encoding = encoding_of(body[:200])
    text = body.decode(encoding)
    return "".join(_xml_pieces(text, replace)).encode(encoding, "xmlcharrefreplace")


def _xml_pieces(text: str, replace: Replace) -> Iterator[str]:
    path: list[str] = []
    label = ""
    end = 0
    for found in _MARKUP.finditer(text):
        yield _text(text[end : found.start()], path, label, replace)
        end = found.end()
        if found["comment"] is not None:
            comment = replace(Leaf((), found["comment"]))
            yield f"<!--{comment}-->"
        elif found["cdata"] is not None:
            yield f"<![CDATA[{replace(Leaf(tuple(path), found['cdata'], label))}]]>"
        elif found["tag"] is not None:
            path.append(found["tag"])
            attributes, label = _attributes(found["rest"], path, replace)
            yield f"<{found['tag']}{attributes}>"
            if attributes.endswith("/"):
                path.pop()
                label = ""
        else:
            if found[0].startswith("</"):
                path.pop()
                label = ""
            yield found[0]
    yield text[end:]


def _text(raw: str, path: Sequence[str], label: str, replace: Replace) -> str:
    if not raw.strip():
        return raw
    value = _unescaped(raw)
    new = replace(Leaf(tuple(path), value, label))
    return raw if new == value else _escaped(new)


def _attributes(rest: str, path: Sequence[str], replace: Replace) -> tuple[str, str]:
    """The attributes rewritten, and what they call the element."""
    named = {name.lower(): _unescaped(v[1:-1]) for name, _, v in _ATTRIBUTE.findall(rest)}
    label = next((named[name] for name in _LABELS if name in named), "")

    def attribute(found: re.Match[str]) -> str:
        name, equals, quoted = found.groups()
        if name.partition(":")[0] == "xmlns":
            return found[0]
        # A line break as itself is a blank here, as the parser has it.
        value = _unescaped(re.sub(r"\r\n|[\t\r\n]", " ", quoted[1:-1]))
        said = label if name.lower() == "value" else ""
        new = replace(Leaf((*path, name), value, said))
        if new == value:
            return found[0]
        for char, written in _QUOTED:
            new = new.replace(char, written)
        return f"{name}{equals}{quoted[0]}{new}{quoted[0]}"

    return _ATTRIBUTE.sub(attribute, rest), label


def _unescaped(raw: str) -> str:
    if "&" not in raw:
        return raw
    return _REFERENCE.sub(
        lambda r: _NAMED[r[3]] if r[3] else chr(int(r[1]) if r[1] else int(r[2], 16)), raw
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Number(str):
    """A number of JSON as it is written."""


class _Members(list[tuple[str, Any]]):
    """An object of JSON, in its order."""


def rewritten_json(body: bytes, replace: Replace) -> bytes:
    """The document with other texts and numbers; in lines where it had lines.

    Raises: InvalidMessage for what is no JSON, or is nested too deep.
    """
    check_shape(body)
    guard(lambda: msgspec.json.decode(body), where="body")
    document = json.loads(body, parse_float=_Number, parse_int=_Number, object_pairs_hook=_Members)
    indent = "  " if b"\n" in body.strip() else ""
    text = "".join(_json_pieces(document, (), "", replace, indent and f"\n{indent}", indent))
    return guard((f"{text}\n" if indent else text).encode, where="body")


def _json_pieces(
    value: object, path: tuple[str, ...], label: str, replace: Replace, line: str, indent: str
) -> Iterator[str]:
    if isinstance(value, _Number):
        yield replace(Leaf(path, value, label, is_number=True))
    elif isinstance(value, str):
        yield json.dumps(replace(Leaf(path, value, label)), ensure_ascii=False)
    elif isinstance(value, _Members) and value:
        label = _label(value)
        yield "{"
        for at, (name, member) in enumerate(value):
            shown = json.dumps(replace(Leaf((), name, is_name=True)), ensure_ascii=False)
            yield (
                f"{',' if at else ''}{line}{shown}: " if indent else f"{',' if at else ''}{shown}:"
            )
            yield from _json_pieces(
                member,
                (*path, name),
                label if name.lower() == "value" else "",
                replace,
                line and line + indent,
                indent,
            )
        yield f"{line[: len(line) - len(indent)]}}}"
    elif isinstance(value, list) and value:
        yield "["
        for at, one in enumerate(value):
            yield f"{',' if at else ''}{line}"
            yield from _json_pieces(one, path, label, replace, line and line + indent, indent)
        yield f"{line[: len(line) - len(indent)]}]"
    elif isinstance(value, list):
        yield "{}" if isinstance(value, _Members) else "[]"
    else:
        yield json.dumps(value)


def _label(members: Sequence[tuple[str, Any]]) -> str:
    named: Mapping[str, Any] = {name.lower(): value for name, value in members}
    found = next((named[name] for name in _LABELS if name in named), "")
    return found if isinstance(found, str) else ""


def rewritten_csv(body: bytes, form: Csv, replace: Replace) -> bytes:
    """The file with other cells; the line with the names stays.

    Raises: InvalidMessage for another encoding and for cells that no column has a name for.
    """
    text = guard(lambda: body.decode(form.encoding), where="file")
    new = "".join(_csv_pieces(text, form, replace))
    # A replacement is ASCII: what cannot be encoded was not there before.
    return new.encode(form.encoding)


def _csv_pieces(text: str, form: Csv, replace: Replace) -> Iterator[str]:
    names = list(form.header)
    for number, row in enumerate(_csv_rows(text, form), 1):
        cells = [_unquoted(cell, form.quote) for cell, _ in row]
        if not names and any(cell.strip(BLANKS) for cell in cells):
            names = [cell.removeprefix("\ufeff").strip(BLANKS) for cell in cells]
            yield from (piece for cell in row for piece in cell)
            continue
        for at, (raw, separator) in enumerate(row):
            value = cells[at]
            if form.quote and raw.startswith(form.quote) and value == raw:
                raise _unclear(number, "A quote is not closed, or goes on behind its end")
            if value.strip(BLANKS) and not (at < len(names) and names[at]):
                raise _unclear(number, "There is a cell in a column that has no name")
            new = replace(Leaf((names[at],), value)) if value.strip(BLANKS) else value
            yield (raw if new == value else _quoted(new, raw, form.quote)) + separator


def _unclear(row: int, what: str) -> InvalidMessage:
    return InvalidMessage(
        "csv-unclear", what, where=f"row {row}", remedy="Correct the file at the source"
    )


def _csv_rows(text: str, form: Csv) -> Iterator[list[tuple[str, str]]]:
    """Each row as cells as written, each with what separates it from the next."""
    end, quote = re.escape(form.delimiter), re.escape(form.quote)
    quoted = f"{quote}(?:[^{quote}]|{quote}{quote})*+{quote}(?=[{end}\r\n]|\\Z)|" if quote else ""
    cell = re.compile(f"({quoted}[^{end}\r\n]*)({end}|\r\n|\n|\r|\\Z)")
    row: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = cell.match(text, at)
        assert found is not None
        row.append((found[1], found[2]))
        at = found.end()
        if found[2] != form.delimiter:
            yield row
            row = []
    if row:
        yield row


def _unquoted(raw: str, quote: str) -> str:
    if quote and len(raw) > 1 and raw.startswith(quote) and raw.endswith(quote):
        return raw[1:-1].replace(quote * 2, quote)
    return raw


def _quoted(value: str, raw: str, quote: str) -> str:
    if quote and _unquoted(raw, quote) != raw:
        return f"{quote}{value.replace(quote, quote * 2)}{quote}"
    return value
