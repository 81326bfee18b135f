"""Which row of a BOM at S/4HANA holds which line of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from canonical.bom import BomLine, Substitute
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, parse_decimal
from canonical.units import to_rec20
from handlers.systems.s4.bill_of_material_lines import GROUPS, Line, Wanted
from handlers.systems.s4.compare import text_of, unpadded
from handlers.systems.s4.native import BomItem
from handlers.systems.s4.words import UNITS

Pairs = tuple[tuple[Line, BomItem | None], ...]


class _Traits(NamedTuple):
    """What lines and rows are told apart by. amount: whether fixed, and per one unit of the header
    if not. priority: the place within its group, "" in none: a line and its own stand-in may be
    the same in all else."""

    component: str
    number: str
    amount: tuple[bool, Fraction]
    priority: str


# One pass after the other, each by the component and these. A number counts before an amount where
# engineering gave it, and after it where it is no more than the place of the line.
_Passes = tuple[tuple[str, ...], ...]
_WRITTEN = ("number", "amount", "priority")
_NUMBERS_ARE_GIVEN: _Passes = (_WRITTEN, ("number", "amount"), ("number",), ("amount",), ())
_NUMBERS_ARE_PLACES: _Passes = (_WRITTEN, ("number", "amount"), ("amount",), ("number",), ())


def paired(want: Wanted, rows: Sequence[BomItem], base: Decimal) -> Pairs:
    """Each line with the row that holds it, always one of its component: what else the plant said
    in a row, its scrap above all, is about that component.

    A component may stand on several lines, so every row is given away once. What stands in a group
    of the plant's is a line of ours only under its own number.
    base: of the header at the target.
    """
    ours = [
        _Traits(
            unpadded(line.component),
            unpadded(line.number),
            (line.fixed, line.per_one),
            _priority(str(line.priority)),
        )
        for line in want.lines
    ]
    theirs = [
        _Traits(
            unpadded(text_of(row.BillOfMaterialComponent)),
            unpadded(text_of(row.BillOfMaterialItemNumber)),
            amount_of(row, base),
            _priority(text_of(row.AlternativeItemPriority)),
        )
        for row in rows
    ]
    found: dict[int, int] = {}
    for by in _NUMBERS_ARE_PLACES if want.is_counted else _NUMBERS_ARE_GIVEN:
        if len(found) < len(ours):
            free = _free(theirs, by, rows, found)
            for at, line in enumerate(ours):
                if at not in found and (places := free.get(_key(line, by))):
                    found[at] = places.pop()
    return tuple(
        (line, rows[found[at]] if at in found else None) for at, line in enumerate(want.lines)
    )


def _free(
    theirs: Sequence[_Traits],
    by: tuple[str, ...],
    rows: Sequence[BomItem],
    found: Mapping[int, int],
) -> dict[tuple[object, ...], list[int]]:
    """Places of rows that nobody has, the last one first."""
    taken = set(found.values())
    free: dict[tuple[object, ...], list[int]] = {}
    for place in reversed(range(len(rows))):
        if place not in taken and ("number" in by or not plants_group(rows[place])):
            free.setdefault(_key(theirs[place], by), []).append(place)
    return free


def _key(traits: _Traits, by: tuple[str, ...]) -> tuple[object, ...]:
    return traits.component, *(getattr(traits, name) for name in by)


def _priority(stated: str) -> str:
    """As it is compared: without leading zeros, "" for none."""
    bare = unpadded(stated)
    return "" if bare == "0" else bare


def plants_group(row: BomItem) -> str:
    """The name of a group of alternatives that the plant made; "" where it stands in none."""
    name = text_of(row.AlternativeItemGroup)
    return "" if name in GROUPS else name


def amount_of(row: BomItem, base: Decimal) -> tuple[bool, Fraction]:
    """Whether the quantity is fixed, and how much it is, per one unit of the header if not."""
    is_fixed = row.FixedQuantity is True
    held = Fraction(number_of(row.BillOfMaterialItemQuantity, "BillOfMaterialItemQuantity"))
    return is_fixed, held if is_fixed else held / Fraction(base)


def former_lines(rows: Sequence[BomItem], own: OwnWords) -> tuple[BomLine, ...]:
    """The rows as lines of ours; those of one of our groups are one line and its substitutes."""
    lines: list[BomLine] = []
    groups: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: number_of(_priority(_place(row)), "priority")):
        group = text_of(row.AlternativeItemGroup)
        quantity = _quantity(row, own)
        component = text_of(row.BillOfMaterialComponent)
        if group in groups:
            line = lines[groups[group]]
            stand_in = Substitute(component, len(line.substitutions) + 1, quantity)
            lines[groups[group]] = msgspec.structs.replace(
                line, substitutions=(*line.substitutions, stand_in)
            )
            continue
        if group in GROUPS:
            groups[group] = len(lines)
        lines.append(
            BomLine(
                position=text_of(row.BillOfMaterialItemNumber),
                component=component,
                quantity=quantity,
                fixed=row.FixedQuantity is True,
            )
        )
    return tuple(sorted(lines, key=lambda line: line.position))


def _place(row: BomItem) -> str:
    """Within a group of ours; those in none stand before them."""
    in_ours = text_of(row.AlternativeItemGroup) in GROUPS
    return text_of(row.AlternativeItemPriority) if in_ours else ""


def _quantity(row: BomItem, own: OwnWords) -> Quantity:
    value = number_of(row.BillOfMaterialItemQuantity, "BillOfMaterialItemQuantity")
    return Quantity(value, to_rec20(UNITS, text_of(row.BillOfMaterialItemUnit), own.codes))


def number_of(value: object, where: str) -> Decimal:
    """The number that a field states; 0 where it states none. Raises: InvalidMessage."""
    return parse_decimal(text_of(value) or "0", where=where)
