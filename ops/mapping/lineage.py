"""Which fields of a message reach which canonical fields, found by changing one at a time.

A translation is asked, not read: what a changed field changes depends on it, whatever the driver
looks like inside. It says nothing of what two fields do together: one that only counts where
another is missing makes no difference alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import msgspec

from ops.mapping.entries import (
    CASE,
    FINDING,
    REFUSED,
    STOPPED,
    WHOLE,
    Change,
    Entry,
    changes,
    is_refused,
)
from ops.mapping.leaves import Document, Leaf

Fate = Literal["reaches", "refused", "unread"]
# What a document comes to.
Say = Callable[[bytes], Sequence[Entry]]

_TOLD_BY_CODE = frozenset({CASE, FINDING, STOPPED})
# Where a code is refused, so many others are tried.
_MAX_ALIKE = 4
_CURRENCIES = ("USD", "EUR")

_DAY = re.compile(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})(?![0-9])(.*)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(
    r"([+-]?(?:[0-9]*|\.[0-9]*))([0-9])((?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)", re.ASCII
)
_OPPOSITES = {
    "true": "false", "false": "true", "yes": "no", "no": "yes", "y": "n", "n": "y",
}  # fmt: skip


class Target(msgspec.Struct, frozen=True, order=True):
    """A canonical field, or one of a request, that depends on a source field.

    kind, about: of its entry. path: of a case or finding that comes or goes, its code.
    """

    kind: str
    about: str
    path: str

    @property
    def field(self) -> str:
        """The path without places."""
        return re.sub(r"\[[0-9]+\]", "[]", self.path)


class Trace(msgspec.Struct, frozen=True):
    """What changing one leaf did.

    reaches: `targets` changed. refused: the message was refused with every other value that was
    tried, `code` says why; it is read. unread: no other value made any difference.
    """

    path: str
    field: str
    value: str
    fate: Fate
    targets: tuple[Target, ...] = ()
    code: str = ""


class Lineage(msgspec.Struct, frozen=True):
    """What was found.

    untried: leaves left out because time was up; unknown: fields of which none was tried. empty:
    how many leaves have no value.
    together: of fields that are repeated and of which each alone is unread, or refused, what all of
    them at once change. everywhere: of fields that are refused even so, what their first value
    changes where it is another one wherever it stands, as what others refer to is. digests:
    canonical fields that any other byte changes, so that they tell nothing.
    """

    traces: tuple[Trace, ...]
    together: tuple[Trace, ...] = ()
    everywhere: tuple[Trace, ...] = ()
    untried: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    empty: int = 0
    digests: tuple[Target, ...] = ()


def trace_fields(
    document: Document,
    say: Say,
    go_on: Callable[[], bool],
) -> Lineage:
    """For each leaf what depends on it, as far as there is time.

    say: what a document comes to; it is not refused as it stands. Of a field that is repeated, the
    first of each come first, so that what is left out is alike to what was tried.
    """
    # Written as the changed ones will be: what differs then is due to the change alone.
    base = tuple(say(document.with_values(())))
    digests = frozenset(map(_target, changes(base, say(document.with_blank_end()))))
    values = _Values(document.leaves)
    found: dict[int, Trace] = {}
    for place in _by_turns(document.leaves):
        if not go_on():
            break
        leaf = document.leaves[place]
        trace = _traced(leaf, base, _tries(document, leaf, values.first(leaf), say), digests)
        if trace.fate == "refused":
            # It is read; a word from elsewhere in the document may show where it goes.
            more = _traced(leaf, base, _tries(document, leaf, values.alike(leaf), say), digests)
            trace = more if more.fate == "reaches" else trace
        found[place] = trace
    untried = [leaf for n, leaf in enumerate(document.leaves) if n not in found]
    tried = {trace.field for trace in found.values()}
    together = tuple(_together(document, found, base, say, go_on, digests))
    told = {trace.field for trace in together}
    return Lineage(
        traces=tuple(found[place] for place in sorted(found)),
        together=together,
        everywhere=tuple(_everywhere(document, found, told, base, say, go_on, digests)),
        untried=tuple(leaf.path for leaf in untried),
        unknown=tuple(dict.fromkeys(leaf.field for leaf in untried if leaf.field not in tried)),
        empty=document.empty,
        digests=tuple(sorted(digests)),
    )


@dataclass(slots=True)
class _Values:
    """Which values a document has, to be tried in each other's place."""

    leaves: Sequence[Leaf]
    by_field: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    by_shape: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for leaf in self.leaves:
            self.by_field.setdefault((leaf.field, leaf.spelling), {})[leaf.value] = None
            self.by_shape.setdefault(_shape(leaf), {})[leaf.value] = None

    def first(self, leaf: Leaf) -> tuple[str, ...]:
        return alternatives(leaf, self.by_field[leaf.field, leaf.spelling])

    def alike(self, leaf: Leaf) -> tuple[str, ...]:
        shape = _shape(leaf)
        codes = _CURRENCIES if shape[1] == "AAA" else ()
        values = (*codes, *self.by_shape[shape])
        return tuple(value for value in values if value != leaf.value)[:_MAX_ALIKE]


def _shape(leaf: Leaf) -> tuple[str, str]:
    """Its spelling and what its value looks like: capitals, small letters, digits, others."""
    text = re.sub(r"[^\W\d_]", lambda c: "A" if c[0].isupper() else "a", leaf.value)
    return leaf.spelling, re.sub(r"\d", "9", text)


def _tries(
    document: Document, leaf: Leaf, values: Iterable[str], say: Say
) -> Iterator[Sequence[Entry]]:
    return (say(document.with_value(leaf, value)) for value in values)


def _together(
    document: Document,
    found: Mapping[int, Trace],
    base: Sequence[Entry],
    say: Say,
    go_on: Callable[[], bool],
    digests: frozenset[Target],
) -> Iterator[Trace]:
    """What several say alike hangs on none of them, or is refused where one says otherwise: all
    leaves of such a field are changed."""
    for places in _by_field(document).values():
        fates = {found[place].fate if place in found else "untried" for place in places}
        if len(places) == 1 or fates not in ({"unread"}, {"refused"}) or not go_on():
            continue
        yield from _if_it_reaches(document, places[0], places, base, say, digests)


def _everywhere(
    document: Document,
    found: Mapping[int, Trace],
    told: Container[str],
    base: Sequence[Entry],
    say: Say,
    go_on: Callable[[], bool],
    digests: frozenset[Target],
) -> Iterator[Trace]:
    """A key that others refer to is refused where one of them says otherwise."""
    by_value: dict[str, list[int]] = defaultdict(list)
    for place, leaf in enumerate(document.leaves):
        by_value[leaf.value].append(place)
    for field_name, places in _by_field(document).items():
        traces = [found[place] for place in places if place in found]
        if field_name in told or {trace.fate for trace in traces} != {"refused"} or not go_on():
            continue
        first = document.leaves[places[0]]
        alike = by_value[first.value]
        if len(alike) > 1:
            yield from _if_it_reaches(document, places[0], alike, base, say, digests)


def _by_field(document: Document) -> Mapping[str, list[int]]:
    fields: dict[str, list[int]] = defaultdict(list)
    for place, leaf in enumerate(document.leaves):
        fields[leaf.field].append(place)
    return fields


def _if_it_reaches(
    document: Document,
    about: int,
    places: Sequence[int],
    base: Sequence[Entry],
    say: Say,
    digests: frozenset[Target],
) -> Iterator[Trace]:
    """The trace of a leaf by what is reached where all in these places are changed at once."""
    leaves = [document.leaves[place] for place in places]
    others = ([(leaf, alternatives(leaf, ())[n]) for leaf in leaves] for n in (0, -1))
    tries = (say(document.with_values(changed)) for changed in others)
    trace = _traced(document.leaves[about], base, tries, digests)
    if trace.fate == "reaches":
        yield msgspec.structs.replace(trace, path=trace.field)


def alternatives(leaf: Leaf, siblings: Iterable[str]) -> tuple[str, ...]:
    """Other values that could stand there: of its like, of its kind, none at all."""
    like = next((value for value in siblings if value != leaf.value), None)
    other = another(leaf.value)
    if leaf.spelling == "json-bare" and _NUMBER.fullmatch(leaf.value) is None:
        other = _OPPOSITES.get(leaf.value, "null")
    values = (like, other, "")
    return tuple(dict.fromkeys(v for v in values if v is not None and v != leaf.value))


def another(text: str) -> str:
    """Another day for a day, number for a number, answer for an answer; else a longer text."""
    if text.lower() in _OPPOSITES:
        opposite = _OPPOSITES[text.lower()]
        return opposite.upper() if text.isupper() else opposite
    day = _DAY.fullmatch(text)
    if day is not None and (neighbour := _neighbour(day)) is not None:
        return neighbour
    number = _NUMBER.fullmatch(text)
    if number is None:
        return f"{text}X" if text.isupper() else f"{text}x"
    before, digit, after = number.groups()
    # The digit before the point: pieces stay whole, and a number keeps its length.
    return f"{before}{int(digit) - 1 if digit == '9' else int(digit) + 1}{after}"


def _neighbour(day: re.Match[str]) -> str | None:
    year, dash, month, number, rest = day.groups()
    try:
        stated = date(int(year), int(month), int(number))
        other = stated + timedelta(days=1 if stated.day == 1 else -1)
    except (ValueError, OverflowError):
        return None
    return f"{other.year:04}{dash}{other.month:02}{dash}{other.day:02}{rest}"


def _traced(
    leaf: Leaf, base: Sequence[Entry], tried: Iterator[Sequence[Entry]], digests: frozenset[Target]
) -> Trace:
    code = ""
    for said in tried:
        if is_refused(said):
            code = code or next(e.content["code"] for e in said if e.kind == REFUSED)
            continue
        targets = {_target(change) for change in changes(base, said)} - digests
        if targets:
            return Trace(leaf.path, leaf.field, leaf.value, "reaches", tuple(sorted(targets)))
    return Trace(leaf.path, leaf.field, leaf.value, "refused" if code else "unread", code=code)


def _target(change: Change) -> Target:
    path = change.path
    if path == WHOLE and change.kind in _TOLD_BY_CODE:
        path = json.loads(change.new or change.old or "{}").get("code", WHOLE)
    return Target(change.kind, change.about, path)


def _by_turns(leaves: Sequence[Leaf]) -> list[int]:
    """Places of the leaves: the first of every field, then the second of every field, ..."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    for place, leaf in enumerate(leaves):
        turns.append((seen[leaf.field], place))
        seen[leaf.field] += 1
    return [place for _, place in sorted(turns)]
