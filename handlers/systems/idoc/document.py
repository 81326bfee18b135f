"""An IDoc XML document: its IDocs, each with control record and segments, as they stand there.

What an IDoc means is told by MESTYP and IDOCTYP, never by the name of the root. Customers add
fields and segments anywhere; all of them are read, and who reads an IDoc takes what it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from canonical.errors import InvalidMessage
from handlers.systems.idoc.words import NO_CHANGE
from handlers.systems.xml_document import Element, Known, Limits, Reading, Source

CONTROL = "EDI_DC40"
MAX_IDOCS = 1_000

# Where an IDoc stands, whatever the root is called; what is in it is looked into elsewhere.
IDOC = ("IDOC",)
_BESIDE = Known(below={"IDOC": None})


class Segment(msgspec.Struct, frozen=True):
    """A segment with its fields as written and the segments below it; line: where it starts, 0 for
    one that is to be written."""

    name: str
    fields: Mapping[str, str]
    children: tuple[Segment, ...]
    line: int

    def get(self, *names: str) -> str:
        """The first of the fields that says something; "" where none does."""
        # Asked more often than anything else of a long document: no generators.
        for name in names:
            value = self.fields.get(name, "")
            if value not in ("", NO_CHANGE):
                return value
        return ""

    def patch(self, name: str) -> str | UnsetType | None:
        """What the sender says of a field: UNSET = as it is, None = it is empty now."""
        value = self.fields.get(name, NO_CHANGE)
        return UNSET if value == NO_CHANGE else value or None

    def all(self, name: str, **having: str) -> Iterator[Segment]:
        """The segments of that name right below this one, with these values of fields; one with
        nothing in it says nothing."""
        return (
            child
            for child in self.children
            if child.name == name
            and (child.fields or child.children)
            and all(child.get(f) == v for f, v in having.items())
        )

    def first(self, name: str, **having: str) -> Segment | None:
        """The first of them."""
        return next(self.all(name, **having), None)

    @property
    def where(self) -> str:
        """For a person who looks for it in the document."""
        return f"{self.name}, line {self.line}"


class IDoc(msgspec.Struct, frozen=True):
    """One IDoc. root: stands for the whole of it; its children are the segments of level one.
    begins_with_control: whether its control record stands where it belongs."""

    control: Segment
    root: Segment
    begins_with_control: bool = True

    @property
    def kind(self) -> tuple[str, str]:
        """Message type and basic type, e.g. ("ORDERS", "ORDERS05")."""
        return self.control.get("MESTYP"), self.control.get("IDOCTYP")

    @property
    def identity(self) -> str:
        """Sender, client and number: the same for each time the same IDoc is sent."""
        names = ("SNDPRN", "MANDT", "DOCNUM")
        return "/".join(self.control.get(name) for name in names)

    @property
    def is_test(self) -> bool:
        """Whether its sender marked it as a test."""
        return bool(self.control.get("TEST"))

    def head(self, name: str) -> Segment:
        """The segment that every IDoc of its kind has once. Raises: InvalidMessage where it has
        none, or several: it is about one object."""
        found = list(self.root.all(name))
        if not found:
            raise InvalidMessage(
                "segment-missing",
                f"The IDoc has no segment {name}",
                where=self.root.where,
                remedy="Send the whole IDoc",
            )
        if len(found) > 1:
            raise InvalidMessage(
                "segment-twice",
                f"The IDoc has {len(found)} segments {name}",
                where=found[1].where,
                remedy="Send an IDoc for each object",
            )
        return found[0]


class Document(msgspec.Struct, frozen=True):
    """The IDocs of a document, in its order; ignored: what stands beside them, as of a Reading."""

    idocs: tuple[IDoc, ...]
    ignored: tuple[str, ...] = ()


def read_idocs(source: Source, limits: Limits) -> list[IDoc]:
    """The IDocs of the document, in its order. Raises: as `read_document`."""
    return list(read_document(source, limits).idocs)


def read_document(source: Source, limits: Limits) -> Document:
    """The whole document.

    Raises: InvalidMessage for XML that is malformed or beyond the limits, for a document without
        an IDoc, and for an IDoc without control record or with a field given twice.
    """
    found: list[IDoc] = []
    reading = Reading(source, limits=limits, whole=[IDOC], with_text=True, known=_BESIDE)
    for _, element in reading:
        if len(found) == MAX_IDOCS:
            raise _wrong(f"It has more than {MAX_IDOCS} IDocs", element)
        root = _segment(element)
        controls = list(root.all(CONTROL))
        if len(controls) != 1:
            raise _wrong(
                f"The IDoc has {len(controls)} control records {CONTROL}, not one", element
            )
        others = tuple(child for child in root.children if child.name != CONTROL)
        whole = msgspec.structs.replace(root, children=others)
        found.append(IDoc(controls[0], whole, root.children[0] is controls[0]))
    if not found:
        raise InvalidMessage(
            "idoc-missing",
            "The document has no element IDOC below its root",
            where="document",
            remedy="Send IDocs as XML, as the SAP system writes them",
        )
    return Document(tuple(found), tuple(reading.ignored))


def _segment(element: Element) -> Segment:
    """An element with the attribute SEGMENT, or with elements below it; any other is a field."""
    fields: dict[str, str] = {}
    children: list[Segment] = []
    for child in element.children:
        if child.children or "SEGMENT" in child.attributes:
            children.append(_segment(child))
            continue
        name = _name(child.tag)
        if name in fields:
            raise _wrong(f"{_name(element.tag)} gives {name} twice", child)
        fields[name] = child.text.strip()
    return Segment(_name(element.tag), fields, tuple(children), element.line)


def _name(tag: str) -> str:
    """XML has no slashes in names: /NS/NAME is written _-NS_-NAME."""
    return tag.replace("_-", "/")


def _wrong(what: str, element: Element) -> InvalidMessage:
    return InvalidMessage(
        "idoc-malformed",
        what,
        where=f"line {element.line}",
        remedy="Send the IDoc as the SAP system writes it",
    )
