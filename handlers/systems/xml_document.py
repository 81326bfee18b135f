"""Reading XML from strangers into plain elements, with every bound checked while parsing.

Only elements and attributes are kept: the formats read with it put no data into text. A document
type may come along, as genuine packages carry theirs, but nothing is fetched for it, its default
values are not filled in, and one that declares an entity is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from xml.parsers import expat

import msgspec

from canonical.errors import InvalidMessage

MAX_XML_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
MAX_ATTRIBUTES = 256
# The IPC-2571 document type declares about 290.
MAX_DECLARATIONS = 5_000

# Of a stranger's words in a sentence of ours.
_SHOWN_CHARS = 60
# The parser is stopped between two pieces at the latest, however large the document.
_PIECE_BYTES = 64 * 1024
_DECLARED_ENCODING = re.compile(
    rb"\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']"
)
_ENCODINGS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENTITY_REFERENCE = re.compile(rb"&(?!(?:lt|gt|amp|apos|quot);)[^\s#;<&\"']+;")


class Element(msgspec.Struct, frozen=True):
    """An element with its attributes as written; line: where it starts."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Element, ...]
    line: int

    def get(self, name: str) -> str:
        """The attribute without blanks around it; "" where there is none."""
        return self.attributes.get(name, "").strip()

    def all(self, tag: str) -> Iterator[Element]:
        """The children of that name, in order."""
        return (child for child in self.children if child.tag == tag)

    def within(self, *path: str) -> Iterator[Element]:
        """The elements at the end of a path of names below this one, in order."""
        if not path:
            yield self
            return
        for child in self.all(path[0]):
            yield from child.within(*path[1:])


class DeclaredAttribute(msgspec.Struct, frozen=True):
    """What a document type says of an attribute; choices: empty = any text."""

    required: bool
    choices: frozenset[str] = frozenset()


class Document(msgspec.Struct, frozen=True):
    """A document and the attributes that its own document type declares, by element name."""

    root: Element
    declared: Mapping[str, Mapping[str, DeclaredAttribute]]


def read_xml(body: bytes) -> Document:
    """The document that the bytes hold.

    Encodings: UTF-8, UTF-16 with byte-order mark, ISO-8859-1, Windows-1252, ASCII.
    Raises: InvalidMessage for anything else, malformed XML, entities, and documents beyond the
        bounds of this module.
    """
    if len(body) > MAX_XML_BYTES:
        raise _beyond("bytes", MAX_XML_BYTES, "document")
    content = _as_utf8(body)
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.specified_attributes = True
    builder.attach(parser)
    try:
        for start in range(0, len(content), _PIECE_BYTES):
            parser.Parse(content[start : start + _PIECE_BYTES], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise InvalidMessage(
            "xml-malformed",
            f"This is not well-formed XML: {expat.ErrorString(error.code)}",
            where=f"line {error.lineno}, column {error.offset + 1}",
            remedy="Send the document as the exporting system wrote it",
        ) from error
    # Where a document type may go on elsewhere, the parser drops references that it cannot resolve
    # from attribute values without a word: PO&x;1 would be read as PO1.
    if builder.has_document_type and _ENTITY_REFERENCE.search(content):
        raise _entity("The document refers to an entity", "document")
    assert builder.root is not None
    return Document(root=builder.root, declared=builder.declared)


def deviations_from_type(document: Document, *, limit: int) -> Iterator[tuple[int, str]]:
    """Where the document breaks its own document type, as line and sentence; `limit` at most.

    Attributes only: required ones, undeclared ones, choices. Order of elements is not checked,
    since matching a content model that a stranger wrote can take arbitrarily long.
    """
    if not document.declared:
        return
    open_elements = [document.root]
    while open_elements and limit > 0:
        element = open_elements.pop()
        open_elements.extend(reversed(element.children))
        for what in _attribute_deviations(element, document.declared.get(element.tag, {})):
            if limit == 0:
                return
            limit -= 1
            yield element.line, what


def _attribute_deviations(
    element: Element, declared: Mapping[str, DeclaredAttribute]
) -> Iterator[str]:
    tag = element.tag[:_SHOWN_CHARS]
    for name, rule in declared.items():
        if rule.required and name not in element.attributes:
            yield f"{tag} has no {name[:_SHOWN_CHARS]}, which is required"
    for name, value in element.attributes.items():
        known = declared.get(name)
        if known is None:
            yield f"{tag} has {name[:_SHOWN_CHARS]}, which is not declared"
        elif known.choices and value not in known.choices:
            yield f"{tag} has {name[:_SHOWN_CHARS]}={value[:_SHOWN_CHARS]!r}, none of its choices"


class _Frame(msgspec.Struct):
    """An element whose end has not been seen yet."""

    tag: str
    attributes: Mapping[str, str]
    children: list[Element]
    line: int


class _Builder:
    """Collects what the parser reports; raises as soon as a bound is passed."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.declared: dict[str, dict[str, DeclaredAttribute]] = {}
        self.has_document_type = False
        self._open: list[_Frame] = []
        self._elements = 0
        self._declarations = 0

    def attach(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        parser.StartDoctypeDeclHandler = self._document_type
        parser.AttlistDeclHandler = self._attribute_declared
        parser.EntityDeclHandler = self._entity_declared
        parser.SkippedEntityHandler = self._entity_skipped
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH:
            raise _beyond("levels", MAX_DEPTH, self._where())
        if self._elements > MAX_ELEMENTS:
            raise _beyond("elements", MAX_ELEMENTS, self._where())
        if len(attributes) > MAX_ATTRIBUTES:
            raise _beyond("attributes on one element", MAX_ATTRIBUTES, self._where())
        self._open.append(_Frame(tag, attributes, [], self._parser.CurrentLineNumber))

    def _end(self, tag: str) -> None:
        frame = self._open.pop()
        element = Element(tag, frame.attributes, tuple(frame.children), frame.line)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element

    def _document_type(self, name: str, *_: object) -> None:
        self.has_document_type = True

    def _attribute_declared(
        self, element: str, name: str, kind: str, default: str | None, required: bool
    ) -> None:
        self._declarations += 1
        if self._declarations > MAX_DECLARATIONS:
            raise _beyond("declarations", MAX_DECLARATIONS, self._where())
        choices = kind[1:-1].split("|") if kind.startswith("(") else ()
        rule = DeclaredAttribute(bool(required) and default is None, frozenset(choices))
        # The first declaration counts, as XML has it.
        self.declared.setdefault(element, {}).setdefault(name, rule)

    def _entity_declared(self, name: str, *_: object) -> None:
        raise _entity("The document declares an entity", self._where())

    def _entity_skipped(self, name: str, is_parameter: bool) -> None:
        raise _entity("The document refers to an entity", self._where())

    def _where(self) -> str:
        return f"line {self._parser.CurrentLineNumber}"


def _as_utf8(body: bytes) -> bytes:
    """The document in one encoding; what the declaration says has been taken into account."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if body.startswith(mark)), "")
    if not encoding:
        declared = _DECLARED_ENCODING.match(body[:200])
        encoding = declared[1].decode("ascii") if declared else "utf-8"
        try:
            known = codecs.lookup(encoding).name in _ENCODINGS
        except LookupError:
            known = False
        if not known:
            raise InvalidMessage(
                "xml-encoding",
                f"The encoding {encoding[:40]!r} is not taken",
                where="XML declaration",
                remedy="Send UTF-8",
            )
    try:
        return body.decode(encoding).lstrip("\ufeff").encode("utf-8")
    except UnicodeError as error:
        raise InvalidMessage(
            "xml-encoding",
            f"The bytes are not {encoding}",
            where="document",
            remedy="Send UTF-8 and declare it",
        ) from error


def _beyond(what: str, limit: int, where: str) -> InvalidMessage:
    return InvalidMessage(
        "xml-too-large",
        f"The document has more than {limit} {what}",
        where=where,
        remedy="Send the package in parts",
    )


def _entity(what: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        "xml-entity", f"{what}; none are taken", where=where, remedy="Write the text out"
    )
