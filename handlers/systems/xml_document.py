"""Reading XML from strangers piece by piece, with every bound checked while parsing.

A caller names the elements it takes; each is handed over when it ends and is not kept, so that
memory depends on the largest of them and not on the document.

Text is kept where a caller asks for it, as one piece: a comment or a CDATA section within it
changes nothing. A document type may come along, as genuine packages carry theirs, but nothing is
fetched for it, its default values are not filled in, and one that declares an entity is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol
from xml.parsers import expat

import msgspec

from canonical.errors import InvalidMessage
from canonical.members import MAX_NAMED, shown

MAX_DEPTH = 64
MAX_ATTRIBUTES = 256
# The IPC-2571 document type declares about 290.
MAX_DECLARATIONS = 5_000

# Of a stranger's words in a sentence of ours.
_SHOWN_CHARS = 60
# The parser is stopped between two pieces at the latest, however large the document.
_PIECE_BYTES = 64 * 1024
# A name without an end; genuine ones are shorter.
_MAX_OPEN_REFERENCE = 4096
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
_OPEN_REFERENCE = re.compile(rb"&[^\s#;<&\"']*")

Path = tuple[str, ...]


class Limits(msgspec.Struct, frozen=True):
    """What a document may have at most.

    elements: in the whole document. kept: within one element that is handed over.
    """

    bytes: int
    elements: int
    kept: int = 200_000


class Source(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; b"" at the end."""


class Element(msgspec.Struct, frozen=True):
    """An element with its attributes as written; line: where it starts. text: directly in it."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Element, ...]
    line: int
    text: str = ""

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


class Known(msgspec.Struct, frozen=True):
    """What of an element is read, or is known and left out on purpose.

    attributes: by name. below: the elements in it, by tag; None for one of which nothing is told,
    whatever it holds.
    """

    attributes: frozenset[str] = frozenset()
    below: Mapping[str, Known | None] = {}


class DeclaredAttribute(msgspec.Struct, frozen=True):
    """What a document type says of an attribute; choices: empty = any text."""

    required: bool
    choices: frozenset[str] = frozenset()


class Reading:
    """One pass over a document.

    heads: paths of elements that are handed over when they begin, without what is in them.
    whole: those that are handed over when they end, without the parts that were handed over before.
    A path is the names below the root, () is the root itself.
    with_text: of elements that are handed over when they end, text is kept too.
    known: of the root; None where nothing is told of what nobody reads.
    ignored: what is not known so far, as `Item/Foo` and `Item/@foo`: attributes that say something,
    and elements, of which nothing more is told. Each once, MAX_NAMED at most.
    deviations: where the document breaks its own document type so far, as line and sentence.
    Attributes only: required ones, undeclared ones, choices. Order of elements is not checked,
    since matching a content model that a stranger wrote can take arbitrarily long.
    """

    def __init__(
        self,
        source: Source,
        *,
        limits: Limits,
        heads: Collection[Path] = (),
        whole: Collection[Path] = (),
        with_text: bool = False,
        known: Known | None = None,
        max_deviations: int = 0,
    ) -> None:
        self.ignored: dict[str, None] = {}
        self.deviations: list[tuple[int, str]] = []
        self._source = source
        self._limits = limits
        self._heads = frozenset(heads)
        self._whole = frozenset(whole)
        self._with_text = with_text
        self._known = known
        # Of the elements that have not ended.
        self._known_open: list[Known | None] = []
        self._max_deviations = max_deviations
        self._declared: dict[str, dict[str, DeclaredAttribute]] = {}
        self._has_document_type = False
        self._path: list[str] = []
        # Elements that are kept until the outermost of them ends.
        self._open: list[_Frame] = []
        self._done: list[tuple[Path, Element]] = []
        self._elements = 0
        self._kept = 0
        self._declarations = 0
        self._parser = self._new_parser()

    def __iter__(self) -> Iterator[tuple[Path, Element]]:
        """The elements asked for, in the order of the document.

        Encodings: UTF-8, UTF-16 with byte-order mark, ISO-8859-1, Windows-1252, ASCII.
        Raises: InvalidMessage for anything else, malformed XML, entities, and documents beyond the
            bounds of this module; before the last element or after it.
        """
        try:
            open_reference = b""
            for piece in _as_utf8(self._source, self._limits.bytes):
                self._parser.Parse(piece, False)
                open_reference = self._refuse_references(open_reference + piece)
                yield from self._handed_over()
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise InvalidMessage(
                "xml-malformed",
                f"This is not well-formed XML: {expat.ErrorString(error.code)}",
                where=f"line {error.lineno}, column {error.offset + 1}",
                remedy="Send the document as the exporting system wrote it",
            ) from error
        yield from self._handed_over()

    def first(self) -> tuple[Path, Element] | None:
        """The first of the elements asked for, whether or not what comes after it can be read; None
        where the document has none, or cannot be read before it."""
        try:
            return next(iter(self), None)
        except InvalidMessage:
            return next(self._handed_over(), None)

    def _handed_over(self) -> Iterator[tuple[Path, Element]]:
        done, self._done = self._done, []
        yield from done

    def _refuse_references(self, content: bytes) -> bytes:
        """Where a document type may go on elsewhere, the parser drops references that it cannot
        resolve from attribute values without a word: PO&x;1 would be read as PO1.

        Returns the beginning of a reference that goes on in the next piece.
        """
        # A document type stands before the first element: pieces before it have no values yet.
        if self._has_document_type and _ENTITY_REFERENCE.search(content):
            raise _entity("The document refers to an entity", "document")
        begun = content[content.rfind(b"&") :] if b"&" in content else b""
        if not (self._has_document_type and _OPEN_REFERENCE.fullmatch(begun)):
            return b""
        if len(begun) > _MAX_OPEN_REFERENCE:
            raise _entity("The document refers to an entity", "document")
        return begun

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8")
        parser.specified_attributes = True
        parser.StartDoctypeDeclHandler = self._document_type
        parser.AttlistDeclHandler = self._attribute_declared
        parser.EntityDeclHandler = self._entity_declared
        parser.SkippedEntityHandler = self._entity_skipped
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        if self._with_text:
            parser.CharacterDataHandler = self._characters
        return parser

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._path) >= MAX_DEPTH:
            raise _beyond("levels", MAX_DEPTH, self._where())
        if self._elements > self._limits.elements:
            raise _beyond("elements", self._limits.elements, self._where())
        if len(attributes) > MAX_ATTRIBUTES:
            raise _beyond("attributes on one element", MAX_ATTRIBUTES, self._where())
        line = self._parser.CurrentLineNumber
        if self._declared and len(self.deviations) < self._max_deviations:
            self._note_deviations(tag, attributes, line)
        if self._known is not None:
            self._known_open.append(self._look_up(tag, attributes))
        self._path.append(tag)
        path = tuple(self._path[1:])
        if path in self._heads:
            self._done.append((path, Element(tag, attributes, (), line)))
        if self._open or path in self._whole:
            self._kept += 1
            if self._kept > self._limits.kept:
                raise _beyond("elements in one element", self._limits.kept, self._where())
            self._open.append(_Frame(tag, attributes, [], line))

    def _end(self, tag: str) -> None:
        path = tuple(self._path[1:])
        self._path.pop()
        if self._known_open:
            self._known_open.pop()
        if not self._open:
            return
        frame = self._open.pop()
        text = "".join(frame.texts)
        element = Element(tag, frame.attributes, tuple(frame.children), frame.line, text)
        if path in self._whole:
            self._done.append((path, element))
            # What was handed over is kept no longer.
            self._kept -= frame.kept + 1
        else:
            self._open[-1].children.append(element)
            self._open[-1].kept += frame.kept + 1

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].texts.append(text)

    def _look_up(self, tag: str, attributes: Mapping[str, str]) -> Known | None:
        """What is known of an element that begins; what of it is not is noted."""
        known = self._known
        if self._known_open:
            above = self._known_open[-1]
            if above is None:
                return None
            if tag not in above.below:
                self._ignore(f"{shown(self._path[-1])}/{shown(tag)}")
                return None
            known = above.below[tag]
        if known is not None and not attributes.keys() <= known.attributes:
            for name, value in attributes.items():
                if name not in known.attributes and value.strip():
                    self._ignore(f"{shown(tag)}/@{shown(name)}")
        return known

    def _ignore(self, what: str) -> None:
        if len(self.ignored) < MAX_NAMED:
            self.ignored[what] = None

    def _note_deviations(self, tag: str, attributes: dict[str, str], line: int) -> None:
        for what in _attribute_deviations(tag, attributes, self._declared.get(tag, {})):
            if len(self.deviations) == self._max_deviations:
                return
            self.deviations.append((line, what))

    def _document_type(self, name: str, *_: object) -> None:
        self._has_document_type = True

    def _attribute_declared(
        self, element: str, name: str, kind: str, default: str | None, required: bool
    ) -> None:
        self._declarations += 1
        if self._declarations > MAX_DECLARATIONS:
            raise _beyond("declarations", MAX_DECLARATIONS, self._where())
        choices = kind[1:-1].split("|") if kind.startswith("(") else ()
        rule = DeclaredAttribute(bool(required) and default is None, frozenset(choices))
        # The first declaration counts, as XML has it.
        self._declared.setdefault(element, {}).setdefault(name, rule)

    def _entity_declared(self, name: str, *_: object) -> None:
        raise _entity("The document declares an entity", self._where())

    def _entity_skipped(self, name: str, is_parameter: bool) -> None:
        raise _entity("The document refers to an entity", self._where())

    def _where(self) -> str:
        return f"line {self._parser.CurrentLineNumber}"


class _Frame(msgspec.Struct):
    """An element whose end has not been seen yet. kept: elements kept below it."""

    tag: str
    attributes: Mapping[str, str]
    children: list[Element]
    line: int
    kept: int = 0
    texts: list[str] = msgspec.field(default_factory=list)


def _attribute_deviations(
    tag: str, attributes: Mapping[str, str], declared: Mapping[str, DeclaredAttribute]
) -> Iterator[str]:
    tag = tag[:_SHOWN_CHARS]
    for name, rule in declared.items():
        if rule.required and name not in attributes:
            yield f"{tag} has no {name[:_SHOWN_CHARS]}, which is required"
    for name, value in attributes.items():
        known = declared.get(name)
        if known is None:
            yield f"{tag} has {name[:_SHOWN_CHARS]}, which is not declared"
        elif known.choices and value not in known.choices:
            yield f"{tag} has {name[:_SHOWN_CHARS]}={value[:_SHOWN_CHARS]!r}, none of its choices"


def _as_utf8(source: Source, limit_bytes: int) -> Iterator[bytes]:
    """The document in one encoding, in pieces; its declaration has been taken into account."""
    piece = source.read(_PIECE_BYTES)
    encoding = encoding_of(piece)
    decoder = codecs.getincrementaldecoder(encoding)()
    is_first = True
    size = 0
    while True:
        size += len(piece)
        if size > limit_bytes:
            raise _beyond("bytes", limit_bytes, "document")
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            raise InvalidMessage(
                "xml-encoding",
                f"The bytes are not {encoding}",
                where="document",
                remedy="Send UTF-8 and declare it",
            ) from error
        if text:
            yield (text.lstrip("\ufeff") if is_first else text).encode("utf-8")
            is_first = False
        if not piece:
            return
        piece = source.read(_PIECE_BYTES)


def encoding_of(head: bytes) -> str:
    """The encoding that the first bytes of a document tell. Raises: InvalidMessage."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), "")
    if encoding:
        return encoding
    declared = _DECLARED_ENCODING.match(head[:200])
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
    return encoding


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
