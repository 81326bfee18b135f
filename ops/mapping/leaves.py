"""A foreign document as its leaves: every text, number and attribute with its path and place.

Known by its syntax alone: JSON, XML, or a ZIP archive with one such document. A leaf is changed
where it stands; all other bytes stay as the sender wrote them.
"""

from __future__ import annotations

import html
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal
from xml.parsers import expat
from xml.sax.saxutils import escape

import msgspec

from canonical.codec import MAX_BODY_BYTES, decode_json
from canonical.errors import InvalidMessage
from handlers.systems.archive import MAGIC, open_member
from handlers.systems.xml_document import Limits, Reading, encoding_of

LIMITS = Limits(bytes=MAX_BODY_BYTES, elements=200_000)

Spelling = Literal["json-text", "json-bare", "xml-text", "xml-cdata", "xml-attribute"]

_BYTE_ORDER_MARK = "\ufeff"
_ENDINGS = (".xml", ".json")


class Leaf(msgspec.Struct, frozen=True):
    """A value of the document.

    path: with places of repeated elements; XML counts from 1 and JSON from 0, as their own paths
    do. field: the same without places. value: as it is meant, not as it is written.
    start, end: where it is written, in characters.
    """

    path: str
    field: str
    value: str
    start: int
    end: int
    spelling: Spelling


class Document(msgspec.Struct, frozen=True):
    """A document that can be written with one leaf changed.

    member: its name in the archive it came in; "" without an archive. empty: how many leaves have
    no value; they are not among the leaves.
    """

    text: str
    encoding: str
    leaves: tuple[Leaf, ...]
    empty: int = 0
    member: str = ""

    def with_value(self, leaf: Leaf, value: str) -> bytes:
        """The document with another value in that place. Of JSON, "" is null unless it is text."""
        return self.with_values([(leaf, value)])

    def with_values(self, changed: Sequence[tuple[Leaf, str]]) -> bytes:
        """The document with other values in these places, which come in their order."""
        pieces: list[str] = []
        end = 0
        for leaf, value in changed:
            pieces += self.text[end : leaf.start], _spelled(leaf.spelling, value)
            end = leaf.end
        return self._written("".join((*pieces, self.text[end:])))

    def with_blank_end(self) -> bytes:
        """The document with a line break after it, which says nothing in JSON and XML."""
        return self._written(f"{self.text}\n")

    def _written(self, text: str) -> bytes:
        content = text.encode(self.encoding)
        if not self.member:
            return content
        packed = BytesIO()
        # Without the other members: they are large, and each change is packed anew.
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo(self.member), content)
        return packed.getvalue()


def read_document(body: bytes) -> Document | None:
    """The document with its leaves; None where it is no JSON, XML or archive of one of them.

    Raises: InvalidMessage for what is broken, has entities or is beyond the bounds.
    """
    if body.startswith(MAGIC):
        return _packed(body)
    head = body.lstrip()[:1]
    if head in (b"{", b"["):
        decode_json(body, object)  # any JSON within the bounds of the door, or it raises
        text = body.decode()
        found = list(_json_leaves(text))
        return _document(text, "utf-8", found)
    encoding = encoding_of(body)
    text = body.decode(encoding, errors="replace")
    if not text.lstrip(_BYTE_ORDER_MARK).lstrip().startswith("<"):
        return None
    for _ in Reading(BytesIO(body), limits=LIMITS):
        pass  # well-formed, without entities and within bounds, or it raises
    return _document(text, encoding, list(_xml_leaves(text)))


def _document(text: str, encoding: str, found: list[Leaf]) -> Document:
    filled = tuple(leaf for leaf in found if leaf.value)
    return Document(text, encoding, filled, empty=len(found) - len(filled))


def _packed(body: bytes) -> Document | None:
    try:
        with zipfile.ZipFile(BytesIO(body)) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(_ENDINGS)]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InvalidMessage("archive-broken", "The archive cannot be unpacked") from error
    if len(names) != 1:
        return None
    pieces: list[bytes] = []
    with open_member(BytesIO(body), names[0], limit_bytes=LIMITS.bytes) as member:
        while piece := member.read(LIMITS.bytes):
            pieces.append(piece)
    content = b"".join(pieces)
    inside = None if content.startswith(MAGIC) else read_document(content)
    return inside and msgspec.structs.replace(inside, member=names[0])


# --- JSON ---

# Over text that a decoder has found to be JSON; a text before a colon is a key.
_JSON = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")\s*:|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<bare>-?[0-9][0-9.eE+-]*|true|false|null)|(?P<open>[{\[])|(?P<close>[}\]])|(?P<next>,)"
)


def _json_leaves(text: str) -> Iterator[Leaf]:
    # For each open list the place in it, for each open object its key.
    at: list[int | str] = []
    for token in _JSON.finditer(text):
        match token.lastgroup:
            case "open":
                at.append(0 if token[0] == "[" else "")
            case "close":
                at.pop()
            case "key":
                at[-1] = json.loads(token["key"])
            case "next":
                place = at[-1]
                at[-1] = place + 1 if isinstance(place, int) else place
            case "text":
                yield _json_leaf(at, json.loads(token[0]), token, "json-text")
            case _:
                value = "" if token[0] == "null" else token[0]
                yield _json_leaf(at, value, token, "json-bare")


def _json_leaf(at: list[int | str], value: str, token: re.Match[str], spelling: Spelling) -> Leaf:
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in at).removeprefix(".")
    name = "".join("[]" if isinstance(p, int) else f".{p}" for p in at).removeprefix(".")
    return Leaf(path, name, value, token.start(), token.end(), spelling)


# --- XML ---

# Over text that a parser has found to be well-formed, from its first element on.
_XML = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[(?P<cdata>.*?)\]\]>|(?P<end></[^>]*>)"
    r"|<(?P<tag>[^\s/>]+)(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>|(?P<text>[^<]+)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"(?P<name>[^\s=]+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*')")


@dataclass(slots=True)
class _Node:
    """An element; place: which of its name it is below its parent, from 1."""

    tag: str
    parent: _Node | None = None
    place: int = 1
    children: Counter[str] = field(default_factory=Counter)
    texts: int = 0

    def full_path(self) -> str:
        if self.parent is None:
            return self.tag
        is_one_of_many = self.parent.children[self.tag] > 1
        return f"{self.parent.full_path()}/{self.tag}" + (
            f"[{self.place}]" if is_one_of_many else ""
        )

    def plain_path(self) -> str:
        return f"{self.parent.plain_path()}/{self.tag}" if self.parent else self.tag


class _Found(msgspec.Struct, frozen=True):
    """A leaf whose path is not known before its last sibling was seen. part: "" for text."""

    node: Any
    part: str
    place: int
    value: str
    start: int
    end: int
    spelling: Spelling


def _xml_leaves(text: str) -> Iterator[Leaf]:
    for found in list(_found_leaves(text)):
        node: _Node = found.node
        if found.part:
            path, name = f"{node.full_path()}/@{found.part}", f"{node.plain_path()}/@{found.part}"
        elif node.texts > 1:
            path, name = f"{node.full_path()}/text()[{found.place}]", f"{node.plain_path()}/text()"
        else:
            path, name = node.full_path(), node.plain_path()
        yield Leaf(path, name, found.value, found.start, found.end, found.spelling)


def _found_leaves(text: str) -> Iterator[_Found]:
    node: _Node | None = None
    for token in _XML.finditer(text, _first_element(text)):
        match token.lastgroup:
            case "attributes":
                node = _begun(token["tag"], node)
                yield from _attributes(node, token)
                if token["attributes"].endswith("/"):
                    node = node.parent
            case "end":
                assert node is not None
                node = node.parent
            case "text" | "cdata" as kind if node is not None and token[kind].strip():
                node.texts += 1
                value = token[kind] if kind == "cdata" else html.unescape(token[kind])
                start, end = token.span(kind)
                spelling: Spelling = "xml-cdata" if kind == "cdata" else "xml-text"
                yield _Found(node, "", node.texts, value, start, end, spelling)
            case _:
                pass  # comments, instructions, blanks between elements


def _begun(tag: str, parent: _Node | None) -> _Node:
    if parent is None:
        return _Node(tag)
    parent.children[tag] += 1
    return _Node(tag, parent, parent.children[tag])


def _attributes(node: _Node, token: re.Match[str]) -> Iterator[_Found]:
    for attribute in _ATTRIBUTE.finditer(token["attributes"]):
        start, end = (token.start("attributes") + n for n in attribute.span("value"))
        value = html.unescape(attribute["value"][1:-1])
        yield _Found(node, attribute["name"], 0, value, start, end, "xml-attribute")


def _first_element(text: str) -> int:
    """Where the root begins: behind a document type, in which anything may look like an element."""
    skipped = len(text) - len(text.lstrip(_BYTE_ORDER_MARK))
    content = text[skipped:].encode()
    parser = expat.ParserCreate("utf-8")
    places: list[int] = []
    parser.StartElementHandler = lambda *_: places.append(parser.CurrentByteIndex)
    parser.Parse(content, True)
    return skipped + len(content[: places[0]].decode())


def _spelled(spelling: Spelling, value: str) -> str:
    match spelling:
        case "json-text":
            return json.dumps(value, ensure_ascii=False)
        case "json-bare":
            return value or "null"
        case "xml-cdata":
            return value.replace("]]>", "]]]]><![CDATA[>")
        case "xml-attribute":
            return f'"{escape(value, {chr(34): "&quot;"})}"'
        case _:
            return escape(value)
