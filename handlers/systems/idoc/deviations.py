"""Where an IDoc is not as an SAP system writes it, and is taken all the same."""

from __future__ import annotations

from collections.abc import Iterator

from canonical.envelope import Deviation
from canonical.errors import InvalidMessage
from canonical.manners import unit_of
from canonical.members import shown
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.known import READ
from handlers.systems.idoc.lengths import FIELDS, Digits
from handlers.systems.idoc.orders import CONFIRMATION, confirmed_line
from handlers.systems.idoc.values import unpadded
from handlers.systems.idoc.words import ALIASES

_UNITS = frozenset(
    {"MEINS", "MEINH", "GEWEI", "VOLEH", "MENEE", "PMENE", "LMEIN", "BPRME", "KONMS", "KMEIN",
     "BMEIN"}
)  # fmt: skip
# Numbers that are no numbers of SAP's data dictionary, beside those that FIELDS has.
_NUMBERS = frozenset({"VPREI", "SUMME", "MINBW2", "EWAHR", "ALPRF"})
# Numbers that SAP fills up with zeros to the length of their field: of lines, and of alternatives
# and nodes of a BOM. They are compared without.
_FILLED_UP = frozenset({"POSEX", "ZEILE", "POSNR", "STLAL", "STLKN"})
_IN_FRONT = ("-", "+")

_odd_unit = unit_of(ALIASES)


def deviations_of(idoc: IDoc) -> Iterator[Deviation]:
    """Those of one IDoc."""
    if not idoc.begins_with_control:
        yield Deviation(idoc.control.where, "The control record does not stand first in its IDoc")
    if not idoc.control.get("DOCNUM"):
        where = f"{idoc.control.where}: DOCNUM"
        yield Deviation(where, "The IDoc has no number: it is known by the content of the document")
    lengths: dict[tuple[str, str], str] = {}
    for segment in _read_ones(idoc.root):
        for name in segment.fields:
            text = segment.get(name) if name in READ[segment.name] else ""
            if what := _odd(segment, name, text, lengths):
                yield Deviation(f"{segment.where}: {name}", what)
    yield from _twice(idoc)


def _read_ones(segment: Segment) -> Iterator[Segment]:
    # Nesting is bounded where the document is read.
    for child in segment.children:
        if child.name in READ:
            yield child
            yield from _read_ones(child)


def _odd(segment: Segment, name: str, text: str, lengths: dict[tuple[str, str], str]) -> str:
    """lengths: by field, and whose number it is, the first one that is filled up or not."""
    if not text:
        return ""
    if name in _FILLED_UP:
        first = lengths.setdefault((name, segment.get("QUALF")), text)
        is_mixed = len(first) != len(text) and (first.startswith("0") or text.startswith("0"))
        return f"{shown(text)} is filled up otherwise than {shown(first)}" if is_mixed else ""
    if name in _UNITS:
        return _odd_unit(text)
    is_number = name in _NUMBERS or isinstance(FIELDS.get(segment.name, {}).get(name), Digits)
    if is_number and text.startswith(_IN_FRONT):
        return "The sign stands in front of the number"
    return ""


def _twice(idoc: IDoc) -> Iterator[Deviation]:
    """What is said twice and counts once. What is said in other words is refused elsewhere."""
    message_type, _ = idoc.kind
    if message_type == CONFIRMATION:
        lines: set[str] = set()
        for segment in idoc.root.all("E1EDP01"):
            try:
                number = confirmed_line(segment)
            except InvalidMessage:
                return
            if number in lines:
                yield Deviation(segment.where, f"Line {number} is confirmed twice: it counts once")
            lines.add(number)
    for head in idoc.root.all("E1STZUM"):
        members: set[tuple[str, str]] = set()
        for member in head.all("E1STASM"):
            node = unpadded(member.get("STLAL")), unpadded(member.get("STLKN"))
            if node in members:
                yield Deviation(member.where, "The line is named twice: it is taken once")
            members.add(node)
