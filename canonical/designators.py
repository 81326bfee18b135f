"""Reference designators: names of places on an assembly, and ranges of them such as C10-C12.

A dash may also be part of a name: J1-3 is J1 to J3, or pin 3 of J1. Which of the two is told by the
rules of the source, or else by how many places the line needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

import msgspec

from canonical.bom import Bom, BomLine, PlantBomState
from canonical.errors import InvalidMessage
from canonical.quantity import Quantity
from canonical.text import MAX_ID_CHARS

# Of one message: a range is short, and what it stands for is not.
MAX_SPELLED_OUT = 100_000

# C10-12, R3-R5
_PREFIX = r"[^\s-]*[^\s0-9-]"
_RANGE = re.compile(rf"({_PREFIX})([0-9]{{1,6}})\s*-\s*({_PREFIX})?([0-9]{{1,6}})", re.ASCII)

_AnyBom = TypeVar("_AnyBom", bound=Bom | PlantBomState)


class _Range(msgspec.Struct, frozen=True):
    """From prefix and first number to prefix and last one, both inclusive. width: digits that a
    number is filled up to. is_long: the prefix stands before both."""

    prefix: str
    first: int
    last: int
    width: int
    is_long: bool

    def __len__(self) -> int:
        return self.last - self.first + 1

    def names(self) -> list[str]:
        numbers = range(self.first, self.last + 1)
        return [f"{self.prefix}{str(number).zfill(self.width)}" for number in numbers]


class Ranges:
    """Spells out the ranges of one message, to `most` names in all."""

    def __init__(self, most: int = MAX_SPELLED_OUT) -> None:
        self._most = self._left = most

    def spelled_out(self, stated: Sequence[str], *, where: str) -> tuple[str, ...]:
        """Each name by itself, of a source where C10-12 is always C10, C11 and C12.

        What is no clean range, such as C12-C10 or C3-R5, is a name as it stands.
        Raises: InvalidMessage for ranges that come to too many.
        """
        return self._names([_parsed(name) or name for name in stated], where)

    def by_count(
        self, stated: Sequence[str], count: Decimal | Fraction, *, where: str
    ) -> tuple[str, ...]:
        """Each name by itself, of a source where a dash may be part of a name.

        count: places that the line needs. Where as many names are stated, none is a range. Else
        C10-C12 is one, and C10-12 is if there are as many names then.
        Raises: InvalidMessage for ranges that come to too many.
        """
        if len(stated) == count or not any("-" in name for name in stated):
            return tuple(stated)
        found = [_parsed(name) or name for name in stated]
        if sum(len(one) if isinstance(one, _Range) else 1 for one in found) != count:
            found = [
                name if isinstance(one, _Range) and not one.is_long else one
                for one, name in zip(found, stated, strict=True)
            ]
        return self._names(found, where)

    def _names(self, found: Sequence[_Range | str], where: str) -> tuple[str, ...]:
        names: list[str] = []
        for one in found:
            if isinstance(one, str):
                names.append(one)
                continue
            self._left -= len(one)
            if self._left < 0:
                raise InvalidMessage(
                    "designators-too-many",
                    f"Ranges of reference designators come to more than {self._most} of them",
                    where=where,
                    remedy="Correct the ranges at the source",
                )
            names += one.names()
        return tuple(names)


def with_single_names(bom: _AnyBom, ranges: Ranges) -> _AnyBom:
    """The BOM with the ranges of its lines spelled out by their quantities."""
    base = bom.base
    if base is None or base.value <= 0 or not any(map(_has_dash, bom.lines)):
        return bom
    lines = tuple(
        _with_single_names(line, base, ranges, f"bom/{bom.parent} line {line.position}")
        if _has_dash(line)
        else line
        for line in bom.lines
    )
    return msgspec.structs.replace(bom, lines=lines)


def _has_dash(line: BomLine) -> bool:
    return any("-" in name for name in line.reference_designators)


def _with_single_names(line: BomLine, base: Quantity, ranges: Ranges, where: str) -> BomLine:
    count = Fraction(line.quantity.value) / (1 if line.fixed else Fraction(base.value))
    names = ranges.by_count(line.reference_designators, count, where=where)
    return msgspec.structs.replace(line, reference_designators=names)


def _parsed(name: str) -> _Range | None:
    """The clean range that a name may be."""
    match = _RANGE.fullmatch(name) if len(name) <= MAX_ID_CHARS else None
    if match is None:
        return None
    prefix, first, again, last = match.groups()
    if (again or prefix) != prefix or int(first) > int(last):
        return None
    width = len(first) if first.startswith("0") else 0
    return _Range(prefix, int(first), int(last), width, bool(again))
