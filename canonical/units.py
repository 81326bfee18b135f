"""Units of measure: UN/CEFACT Rec 20, X-prefixed Rec 21 packaging, and what sources call them.

The tables in `data/` are read once, at first use. They are part of the program, so reading them is
no I/O in the sense of this package: the same call always gives the same answer.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

import msgspec

from canonical.bounds import Int64
from canonical.errors import InvalidMessage, Misconfigured

# The one code for "each" and "piece"; EA and C62 of a partner become it on arrival.
EACH = "H87"

# Fits a 64-bit integer, so any reader of our JSON can hold both halves of a ratio.
MAX_RATIO_PART = 10**18

# Rec 20 has KA as cake and RM as ream; partners send them for other things.
_NEVER_UNMAPPED = frozenset({"KA", "RM"})
# Where a person maps what is in no table, as remedies say it.
_OWN = "words of your own (rules.words; of a table, units.words)"
_NONE: Mapping[str, str] = MappingProxyType({})

UnitStatus = Literal["active", "deprecated", "deleted"]
_STATUS: dict[str, UnitStatus] = {"": "active", "D": "deprecated", "X": "deleted"}


class UnknownUnit(InvalidMessage):
    """The unit is in no list we know, was deleted from its list, or has no name at the source."""


class Ratio(msgspec.Struct, frozen=True):
    """An exact fraction that survives JSON, kept in lowest terms with a positive denominator."""

    numerator: Int64
    denominator: Int64 = 1

    def __post_init__(self) -> None:
        top, bottom = self.numerator, self.denominator
        if bottom == 0 or max(abs(top), abs(bottom)) > MAX_RATIO_PART:
            raise InvalidMessage(
                "ratio-out-of-bounds",
                "A ratio has a denominator of 0 or a part of more than 18 digits",
                where="ratio",
                remedy="State the ratio with smaller whole numbers",
            )
        lowest = Fraction(top, bottom)
        if (lowest.numerator, lowest.denominator) != (top, bottom):
            msgspec.structs.force_setattr(self, "numerator", lowest.numerator)
            msgspec.structs.force_setattr(self, "denominator", lowest.denominator)

    @property
    def fraction(self) -> Fraction:
        """The same number for arithmetic."""
        return Fraction(self.numerator, self.denominator)


class Unit(msgspec.Struct, frozen=True):
    """One row of the list.

    category: the quantity it measures ("length", "mass", "count"); "" where no factor is known.
    factor: 1 unit in the category's base unit, exact; None = converts only by an item's own ratio.
    """

    code: str
    name: str
    status: UnitStatus
    category: str = ""
    factor: Ratio | None = None
    symbol: str = ""

    @property
    def is_deprecated(self) -> bool:
        """Still understood, but the sender should be told to move on."""
        return self.status == "deprecated"


def unit(code: str, *, where: str = "") -> Unit:
    """The unit with that Rec 20 (or X-prefixed Rec 21) code; deprecated ones are given, flagged.

    Raises: UnknownUnit for codes in no list and for codes deleted from Rec 20.
    """
    found = _units().get(code)
    if found is None:
        raise UnknownUnit(
            "unit-unknown",
            f"{code[:20]!r} is no unit code of Recommendation 20 or 21",
            where=where,
            remedy=f"Correct the unit at the source or map it in {_OWN}",
        )
    if found.status == "deleted":
        packaging = f"X{code}"
        raise UnknownUnit(
            "unit-deleted",
            f"{code!r} ({found.name}) was deleted from Recommendation 20",
            where=where,
            remedy=f"Use {packaging}" if packaging in _units() else "Use an active unit code",
        )
    return found


def to_rec20(source: str, text: str, own: Mapping[str, str] = _NONE, *, where: str = "") -> str:
    """The canonical code for what a source system calls a unit; blanks and case do not matter.

    own: words of its installation, casefolded, to codes; they go before the table.
    Raises: UnknownUnit where the source's table has no such name; Misconfigured where there is no
        table for the source.
    """
    name = text.strip()
    inbound = _table(source).inbound
    mapped = own.get(name.casefold()) or inbound.get(name.casefold())
    if mapped is not None:
        return mapped
    if _table(source).speaks_rec20 and name not in _NEVER_UNMAPPED:
        return unit(name, where=where).code
    raise UnknownUnit(
        "unit-unmapped",
        f"{name[:20]!r} is no unit that {source} is known to use",
        where=where,
        remedy=f"Map it in {_OWN} or correct it at the source",
    )


def from_rec20(system: str, code: str, own: Mapping[str, str] = _NONE, *, where: str = "") -> str:
    """What a system calls the unit with that canonical code.

    own: words of its installation, as they are written, to codes; they go before the table, and of
        several for one code the first counts.
    Raises: UnknownUnit where the system has no name for it, or the name means another unit in its
        own words; Misconfigured as `to_rec20`.
    """
    known = unit(code, where=where)
    for word, meant in own.items():
        if meant == known.code:
            return word.strip()
    by_default = known.code if _table(system).speaks_rec20 else None
    name = _table(system).outbound.get(known.code, by_default)
    is_taken = name is not None and name.casefold() in {word.strip().casefold() for word in own}
    if name is not None and not is_taken:
        return name
    taken = f": {name} is another unit there" if is_taken else ""
    raise UnknownUnit(
        "unit-unmapped",
        f"{system} has no unit for {code} ({known.name}){taken}",
        where=where,
        remedy=f"Map a word to {code} in {_OWN}",
    )


class _Aliases(msgspec.Struct):
    """One source's names: casefolded text -> code, and code -> the text written to it.

    speaks_rec20: by convention; a code that the table does not name is taken as it is.
    """

    inbound: dict[str, str]
    outbound: dict[str, str]
    speaks_rec20: bool = False


def _table(source: str) -> _Aliases:
    table = _aliases().get(source)
    if table is None:
        raise Misconfigured(
            "unit-source-unknown",
            f"There are no unit aliases for {source!r}",
            remedy=f"Use one of {', '.join(sorted(_aliases()))} or add a table",
        )
    return table


@cache
def _units() -> Mapping[str, Unit]:
    units = {}
    for row in read_table("rec20.csv"):
        factor = Ratio(int(row["numerator"]), int(row["denominator"])) if row["numerator"] else None
        units[row["code"]] = Unit(
            code=row["code"],
            name=row["name"],
            status=_STATUS[row["status"]],
            category=row["quantity"],
            factor=factor,
            symbol=row["symbol"],
        )
    for row in read_table("rec21.csv"):
        units[row["code"]] = Unit(code=row["code"], name=row["name"], status=_STATUS[row["status"]])
    return units


@cache
def _aliases() -> Mapping[str, _Aliases]:
    tables: dict[str, _Aliases] = {}
    for row in read_table("unit_aliases.csv"):
        table = tables.setdefault(row["source"], _Aliases(inbound={}, outbound={}))
        table.inbound[row["text"].casefold()] = row["code"]
        # Said once of a source, in whichever of its rows.
        table.speaks_rec20 = table.speaks_rec20 or row["others"] == "rec20"
        if row["outbound"]:
            table.outbound[row["code"]] = row["text"]
    return tables


def read_table(name: str) -> Iterator[dict[str, str]]:
    """The rows of one of the code lists in `canonical/data/`."""
    text = files("canonical").joinpath("data", name).read_text(encoding="utf-8")
    return iter(csv.DictReader(text.splitlines()))
