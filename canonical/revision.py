"""Revision labels, the schemes they follow and their order, which is never alphabetical."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import msgspec

from canonical.bounds import Int64
from canonical.errors import InvalidMessage, Misconfigured

Scheme = Literal[
    "asme_letters",  # ASME Y14.35: "-", then A to Y without I O Q S X Z, then two letters
    "letters",  # A to Z, AA to ZZ, AAA to ZZZ
    "numeric",  # 0 1 2 or 00 01 02; the width is kept
    "two_level",  # revision and iteration: A.3 or 01;2
    "prototype_then_production",  # numbers before release, letters after
    "change_number",  # no label of its own: the change that made it, ordered by the source
]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

_ASME = "ABCDEFGHJKLMNPRTUVWY"
_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_INITIAL = "-"
_REMEMBERED_CHARS = 16

# Digits a number in a label may have, and the first ordinal behind all such numbers.
_NUMBER_DIGITS = 6
_BEHIND_NUMBERS = 1_000_000
# Fits a 64-bit integer and takes microseconds since 1970 as a source's sequence.
_MAX_ORDINAL = 10**18
# Longest label kept for change numbers; SAP's has 12, PLM systems use up to about 30.
_MAX_CHANGE_CHARS = 40

_NUMBER = re.compile(rf"[0-9]{{1,{_NUMBER_DIGITS}}}", re.ASCII)
_TWO_LEVEL = re.compile(rf"([A-Z0-9]+)([.;])([0-9]{{1,{_NUMBER_DIGITS}}})", re.ASCII)
_CHANGE = re.compile(rf"[!-~]{{1,{_MAX_CHANGE_CHARS}}}", re.ASCII)


class UnknownRevision(InvalidMessage):
    """The label is none of its scheme, or has no successor in it."""


class RevisionsNotComparable(InvalidMessage):
    """Two revisions without a common order."""


class Revision(msgspec.Struct, frozen=True):
    """A revision label with its place in the order.

    label: as the source writes it, padding included ("01" stays "01").
    ordinal: place among the item's revisions, by the scheme or by the source's own sequence; one
        source uses one of the two for all its revisions. None = the order is not known.
    change: the change that made or will make it, where the source says so next to the label.

    `<` and its kin go by ordinal and raise RevisionsNotComparable across schemes and without
    ordinals. `==` compares the whole statement, so "1" and "01" differ though neither is older.
    """

    scheme: Scheme
    label: str
    ordinal: Int64 | None = None
    change: str | None = None

    def __post_init__(self) -> None:
        if _ordinal(self.label, self.scheme) is None:
            raise _outside(self.label, self.scheme, "revision.label", "its labels look otherwise")
        if self.change is not None and not _CHANGE.fullmatch(self.change):
            raise _outside(self.change, self.scheme, "revision.change", "no change is named so")
        if self.ordinal is not None and abs(self.ordinal) > _MAX_ORDINAL:
            raise InvalidMessage(
                "revision-ordinal",
                "The revision's ordinal has more than 18 digits",
                where="revision.ordinal",
                remedy="Have the source count its revisions with smaller numbers",
            )

    def __lt__(self, other: Revision) -> bool:
        mine, theirs = _ordinals(self, other)
        return mine < theirs

    def __le__(self, other: Revision) -> bool:
        mine, theirs = _ordinals(self, other)
        return mine <= theirs

    def __gt__(self, other: Revision) -> bool:
        return other < self

    def __ge__(self, other: Revision) -> bool:
        return other <= self


def parse_revision(
    text: str, scheme: Scheme, *, where: str = "", ordinal: int | None = None
) -> Revision:
    """The revision that a source writes as `text`: a label, and after blanks perhaps a change.

    "A        44136" is label A made by change 44136.
    ordinal: the source's own order (effective date, sequence); it overrules the scheme's.
    Raises: UnknownRevision for a label outside the scheme; case counts.
    """
    parts = text.split()
    if not 1 <= len(parts) <= 2:
        raise _outside(text, scheme, where, "it is not one label, with or without a change number")
    label = parts[0]
    change = parts[1] if len(parts) == 2 else None
    if change is not None and not _CHANGE.fullmatch(change):
        raise _outside(text, scheme, where, "no change is named so")
    place = _ordinal(label, scheme)
    if place is None:
        raise _outside(label, scheme, where, "its labels look otherwise")
    own = place.by_scheme if ordinal is None else ordinal
    return Revision(scheme=scheme, label=label, ordinal=own, change=change)


def next_label(label: str, scheme: Scheme, *, where: str = "") -> str:
    """The label of the revision after this one.

    A number keeps its width; two-level labels go to iteration 1 of the next revision; prototypes
    stay prototypes, since going to production is a decision and no succession.
    Raises: UnknownRevision for a label outside the scheme, for the last one, and for change
        numbers, which have no successor.
    """
    if _ordinal(label, scheme) is None:
        raise _outside(label, scheme, where, "its labels look otherwise")
    following = _successor(label, scheme)
    if following is None or _ordinal(following, scheme) is None:
        raise UnknownRevision(
            "revision-exhausted",
            f"{label!r} has no successor in the scheme {scheme}",
            where=where,
            remedy="Have the source name the next revision",
        )
    return following


class _Place(NamedTuple):
    """A label is in its scheme; `by_scheme` is None where the scheme gives no order."""

    by_scheme: int | None


def _ordinal(label: str, scheme: Scheme) -> _Place | None:
    """The label's place, or None if it is no label of the scheme."""
    look = _look_up if len(label) <= _REMEMBERED_CHARS else _look_up.__wrapped__
    return look(label, scheme)


# A company writes a handful of labels, and each is looked at several times in a message.
@lru_cache(maxsize=1024)
def _look_up(label: str, scheme: Scheme) -> _Place | None:
    match scheme:
        case "asme_letters":
            found = 0 if label == _INITIAL else _letters(label, _ASME, most=2)
        case "letters":
            found = _letters(label, _LATIN, most=3)
        case "numeric":
            found = int(label) if _NUMBER.fullmatch(label) else None
        case "prototype_then_production":
            found = _number_or_letters(label)
        case "two_level":
            found = _two_level(label)
        case "change_number":
            return _Place(None) if _CHANGE.fullmatch(label) else None
        case _:
            raise Misconfigured(
                "revision-scheme-unknown",
                f"{scheme!r} is no revision scheme",
                remedy=f"Use one of {', '.join(SCHEMES)}",
            )
    return None if found is None else _Place(found)


def _letters(label: str, alphabet: str, *, most: int) -> int | None:
    """A = 1 ... then the two-letter labels: counting without a zero."""
    if not 1 <= len(label) <= most or any(char not in alphabet for char in label):
        return None
    total = 0
    for char in label:
        total = total * len(alphabet) + alphabet.index(char) + 1
    return total


def _number_or_letters(label: str) -> int | None:
    if _NUMBER.fullmatch(label):
        return int(label)
    letters = _letters(label, _LATIN, most=3)
    return None if letters is None else _BEHIND_NUMBERS + letters


def _two_level(label: str) -> int | None:
    parts = _TWO_LEVEL.fullmatch(label)
    major = _number_or_letters(parts[1]) if parts else None
    if parts is None or major is None:
        return None
    return major * _BEHIND_NUMBERS + int(parts[3])


def _successor(label: str, scheme: Scheme) -> str | None:
    if scheme == "change_number":
        return None
    if scheme == "two_level":
        major, separator = re.split(r"([.;])", label)[:2]
        return f"{_successor(major, 'prototype_then_production')}{separator}1"
    if label == _INITIAL:
        return _ASME[0]
    if label.isdigit():
        return f"{int(label) + 1:0{len(label)}d}"
    return _next_letters(label, _ASME if scheme == "asme_letters" else _LATIN)


def _next_letters(label: str, alphabet: str) -> str:
    head, last = label[:-1], label[-1]
    if last != alphabet[-1]:
        return head + alphabet[alphabet.index(last) + 1]
    return (_next_letters(head, alphabet) if head else alphabet[0]) + alphabet[0]


def _ordinals(left: Revision, right: Revision) -> tuple[int, int]:
    if left.scheme != right.scheme or left.ordinal is None or right.ordinal is None:
        raise RevisionsNotComparable(
            "revisions-not-comparable",
            f"{left.label!r} ({left.scheme}) and {right.label!r} ({right.scheme}) have no order",
            where="revision",
            remedy="Have the source state its own sequence of revisions",
        )
    return left.ordinal, right.ordinal


def _outside(label: str, scheme: Scheme, where: str, reason: str) -> UnknownRevision:
    return UnknownRevision(
        "revision-outside-scheme",
        f"{label[:_MAX_CHANGE_CHARS]!r} is no revision of the scheme {scheme}: {reason}",
        where=where,
        remedy="Correct the label at the source or give the source its own scheme",
    )
