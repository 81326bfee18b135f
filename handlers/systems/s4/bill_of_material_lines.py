"""What of a BOM goes to S/4HANA: its lines and their ranked substitutes in SAP's units, numbered,
and at a base quantity that all of them fit; and what of it does not go there.

Lines with quantity 0 are references and are not sent: a stock item without a quantity is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec
from msgspec import UnsetType

from canonical.bom import BomLine, PlantBom, Substitute, owner_of, substitutes_of
from canonical.errors import Misconfigured, Rejected
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, per_base, plain_decimal
from canonical.units import from_rec20
from handlers.systems.s4.amounts import MAX_QUANTITY, PLACES, fits
from handlers.systems.s4.compare import unpadded
from handlers.systems.s4.words import STOCK_ITEM, UNITS

_MAX_POSITION = 9999
# A line is read back in 1.1 to 1.4 kB, by the length of its numbers and of the host's name, and
# 2 MiB of an answer are taken. What could not be read back, could not be confirmed: it is not sent.
MAX_LINES = 1500
# What a line may say and does not get to the target, as a person calls it.
_UNSENT: Mapping[str, Callable[[BomLine], object]] = {
    "Reference designators": lambda line: line.reference_designators,
    "Substitutes without rank or quantity": lambda line: (
        len(substitutes_of(line)) > len(_ranked(line))
    ),
    "Revisions of components": lambda line: line.component_revision,
    "Notes": lambda line: line.note,
    "Percentages of scrap": lambda line: line.scrap_percent,
    "First days": lambda line: line.first_day,
    "Last days": lambda line: line.last_day,
}
# Of the lines that a remark is about: the others are counted.
_MAX_NAMED = 5
# Two characters, in a corner that plants hardly use.
GROUPS = tuple(
    f"{first}{second}" for first in "XYZ" for second in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_MAX_PRIORITY = 99
# Base quantities are taken times these until every line fits three decimals.
_SCALES = (1, 10, 100, 1000)


class _Row(msgspec.Struct, frozen=True):
    """A line or a substitute of one as an item of the BOM: `Line` before units and scale."""

    number: str
    component: str
    quantity: Quantity
    fixed: bool
    where: str
    group: int | None = None
    priority: int = 0


class Line(msgspec.Struct, frozen=True):
    """A line as the target is to hold it.

    number: four digits. unit: SAP's name. quantity: for the header's base quantity if `fixed` is
    not set. per_one: for one unit of the header; the quantity itself if fixed. category: of new
    lines. group: number of its group in the BOM, with its priority within; None where nothing
    stands in for it.
    """

    number: str
    component: str
    unit: str
    quantity: Decimal
    per_one: Fraction
    fixed: bool
    category: str
    group: int | None = None
    priority: int = 0


class Wanted(msgspec.Struct, frozen=True):
    """A BOM as the target is to hold it. base: base quantity that all lines fit. is_counted: the
    lines' numbers are only their places, which move with every line before them."""

    base: Decimal
    unit: str
    lines: tuple[Line, ...]
    is_counted: bool


def wanted(bom: PlantBom, own: OwnWords, at_most: int = MAX_LINES) -> Wanted:
    """The BOM in SAP's units, numbered, at a base quantity that every line fits.

    at_most: lines, with their substitutes.
    Raises: Rejected for a BOM without lines, with more than can be confirmed, with quantities finer
        than three decimals per 1000 of its base, with ranks that it has no room for, or with a line
        that counts for some serial numbers or lots only;
        Misconfigured for one of which a line would be the plant's own once it is there.
    """
    lines = written_lines(bom)
    where = f"bom/{bom.parent}"
    if not lines:
        raise Rejected(
            "bom-empty",
            f"The BOM of {bom.parent} has no line with a quantity",
            where=where,
            remedy="Release the structure with its quantities",
        )
    _refuse_numbers(bom, lines)
    rows = tuple(_rows(bom, lines))
    if len(rows) > at_most:
        raise Rejected(
            "bom-too-long",
            f"The BOM of {bom.parent} has {len(rows)} lines; {at_most} can be confirmed",
            where=where,
            remedy="Split the assembly",
        )
    for scale in _SCALES:
        quantities = [row.quantity.value * (1 if row.fixed else scale) for row in rows]
        base = bom.base.value * scale
        if all(fits(quantity) for quantity in (*quantities, base)):
            break
    else:
        raise Rejected(
            "quantity-not-representable",
            f"A quantity of the BOM of {bom.parent} needs more than three decimals",
            where=where,
            remedy="Use a finer unit or a larger base quantity",
        )
    _refuse_owned(bom, rows)
    return Wanted(
        base=plain_decimal(base),
        unit=from_rec20(UNITS, bom.base.unit, own.units, where=f"{where}.base"),
        lines=tuple(
            Line(
                number=row.number,
                component=row.component,
                unit=from_rec20(UNITS, row.quantity.unit, own.units, where=row.where),
                quantity=plain_decimal(quantity),
                per_one=_per_one(bom, row),
                fixed=row.fixed,
                category=_category(bom, row),
                group=row.group,
                priority=row.priority,
            )
            for row, quantity in zip(rows, quantities, strict=True)
        ),
        is_counted=_own_numbers(lines) is None,
    )


def written_lines(bom: PlantBom) -> tuple[BomLine, ...]:
    """The lines that are sent: all but those with quantity 0."""
    return tuple(line for line in bom.lines if line.quantity.value != 0)


def _rows(bom: PlantBom, lines: Sequence[BomLine]) -> Iterator[_Row]:
    """The items of the BOM: each line, and behind it what may stand in for it."""
    groups = 0
    for number, line in zip(_numbers(lines), lines, strict=True):
        where = f"bom/{bom.parent}/{line.position}"
        substitutes = _ranked(line)
        group = groups if substitutes else None
        groups += bool(substitutes)
        yield _Row(
            number=number,
            component=line.component,
            quantity=line.quantity,
            fixed=line.fixed,
            where=where,
            group=group,
            priority=1 if substitutes else 0,
        )
        if len(substitutes) >= _MAX_PRIORITY or groups > len(GROUPS):
            raise Rejected(
                "substitutes-too-many",
                f"{_MAX_PRIORITY - 1} substitutes of a line and {len(GROUPS)} lines with some"
                " can be told apart",
                where=where,
                remedy="State ranks of those only that the plant is to know",
            )
        for priority, one in enumerate(substitutes, 2):
            yield _Row(
                number=number,
                component=one.item,
                quantity=one.quantity or line.quantity,
                fixed=line.fixed,
                where=where,
                group=group,
                priority=priority,
            )


def _refuse_numbers(bom: PlantBom, lines: Iterable[BomLine]) -> None:
    """The target knows days only: written, such a line would count for every unit that is built."""
    for line in lines:
        if line.numbers is not None:
            raise Rejected(
                "line-effectivity-unsupported",
                f"BOMs of S/4HANA hold days only; line {line.position} of {bom.parent}"
                f" ({line.component}) is effective from {line.numbers.shown}",
                where=f"bom/{bom.parent}/{line.position}",
                remedy="Release the structure by days, or have the plant keep this line itself",
                owner="engineering",
            )


def _category(bom: PlantBom, row: _Row) -> str:
    stated: Mapping[str, str] = (
        {} if isinstance(bom.line_categories, UnsetType) else bom.line_categories
    )
    return stated.get(row.component, STOCK_ITEM)


def _refuse_owned(bom: PlantBom, rows: Sequence[_Row]) -> None:
    """What is the plant's own once it is written would be missing at the next look, for ever."""
    owner = owner_of(bom, spelled=unpadded)
    for row in rows:
        category = _category(bom, row)
        if owner(row.component, category) == "plant":
            raise Misconfigured(
                "line-plant-owned",
                f"A line of {row.component} with category {category} is plant {bom.plant}'s own by"
                " the rules, and is to be written",
                where=row.where,
                remedy="Correct plant_owned or line_categories in the rules of BOMs",
            )


def _ranked(line: BomLine) -> tuple[Substitute, ...]:
    """The substitutes that are sent, in the order of their ranks: the target takes them by it."""
    ranked = [
        (one.rank, one)
        for one in substitutes_of(line)
        if one.rank is not None and (one.quantity is None or one.quantity.value != 0)
    ]
    return tuple(one for _, one in sorted(ranked, key=lambda pair: pair[0]))


def remarks(bom: PlantBom) -> tuple[str, ...]:
    """What of the BOM the target does not get: each line without a quantity, and each kind of
    statement about the others once."""
    references = (
        f"Line {line.position} of {bom.parent} ({line.component}) has quantity 0"
        " and is not sent: it is a reference only"
        for line in bom.lines
        if line.quantity.value == 0
    )
    return (*references, *_unsent(bom))


def _unsent(bom: PlantBom) -> Iterator[str]:
    for words, says in _UNSENT.items():
        stating = [line for line in written_lines(bom) if says(line)]
        if stating:
            yield f"{words} of {bom.parent} are not sent: {_named(stating)}"


def _named(lines: Sequence[BomLine]) -> str:
    """The first of the lines, and how many more there are."""
    named = ", ".join(f"{line.position} ({line.component})" for line in lines[:_MAX_NAMED])
    more = len(lines) - _MAX_NAMED
    return f"line {named}" + (f" and {more} more" if more > 0 else "")


def _per_one(bom: PlantBom, line: _Row) -> Fraction:
    return Fraction(line.quantity.value) if line.fixed else per_base(line.quantity, bom.base)


def quantity_at(line: Line, base: Decimal) -> Decimal | None:
    """The line's quantity for another base quantity; None if the target cannot hold it."""
    exact = line.per_one * (1 if line.fixed else Fraction(base))
    thousandths = exact * 10**PLACES
    if thousandths.denominator != 1 or abs(exact) >= MAX_QUANTITY:
        return None
    return plain_decimal(Decimal(int(thousandths)).scaleb(-PLACES))


def _numbers(lines: Sequence[BomLine]) -> list[str]:
    """Find numbers in four digits where each line has one of its own, else 0010, 0020, ..."""
    own = _own_numbers(lines)
    return list(_counted(len(lines)) if own is None else own)


def _own_numbers(lines: Sequence[BomLine]) -> list[str] | None:
    stated = [_find_number(line.position) for line in lines]
    own = [number for number in stated if number is not None]
    return [f"{number:04}" for number in own] if len(set(own)) == len(lines) else None


def _find_number(position: str) -> int | None:
    if not (position.isascii() and position.isdigit() and len(position) <= 10):
        return None
    number = int(position)
    return number if 0 < number <= _MAX_POSITION else None


def _counted(count: int) -> Iterator[str]:
    step = 10 if count * 10 <= _MAX_POSITION else 1
    return (f"{place * step:04}" for place in range(1, count + 1))
