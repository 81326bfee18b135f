"""What of an IDoc nobody reads: segments, and fields of those that are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.known import KNOWN

# The names from the outermost segment on.
Way = tuple[str, ...]

# How the names begin that SAP keeps for others: of customers, and of anybody with a name space.
_OF_A_CUSTOMER = ("ZZ", "YY", "/")


def unread(idoc: IDoc, segments: Collection[str]) -> Iterator[Way]:
    """The way to each segment that nobody reads, without what stands below it, and to each field of
    the others that says something and is not known.

    segments: that are read of such an IDoc.
    """
    yield from _within(idoc.control, segments, (idoc.control.name,))
    yield from _within(idoc.root, segments, ())


def counted(idoc: IDoc, segments: Collection[str]) -> Counter[str]:
    """How many segments those are, and below them too: of SAP's own, and of those that a customer
    has added; and how many fields."""
    found: Counter[str] = Counter()
    for whole in (idoc.control, idoc.root):
        found.update(map(_of_whom, _fields(whole)))
        for segment in _below(whole):
            if segment.name not in segments:
                whose = "SAP" if segment.name.startswith("E1") else "a customer"
                found[f"segments of {whose}"] += 1
            else:
                found.update(map(_of_whom, _fields(segment)))
    return found


def _within(segment: Segment, segments: Collection[str], way: Way) -> Iterator[Way]:
    yield from ((*way, name) for name in _fields(segment))
    for child in segment.children:
        below = (*way, child.name)
        if child.name in segments:
            yield from _within(child, segments, below)
        else:
            yield below


def _below(segment: Segment) -> Iterator[Segment]:
    # Nesting is bounded where the document is read.
    for child in segment.children:
        yield child
        yield from _below(child)


def _fields(segment: Segment) -> list[str]:
    """The fields that say something and are not known; of the IDoc itself none is: they stand in
    its segments."""
    known = KNOWN.get(segment.name, frozenset())
    return [name for name in segment.fields if name not in known and segment.get(name)]


def _of_whom(field: str) -> str:
    return "fields of a customer" if field.startswith(_OF_A_CUSTOMER) else "fields of SAP"
