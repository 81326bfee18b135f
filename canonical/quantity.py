"""Quantities with their unit, exact conversion, and decimals as text from outside.

Nothing is rounded unless the caller says to how many places; results that are no decimal (thirds)
are Fractions or are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction

import msgspec

from canonical.errors import InvalidMessage
from canonical.units import Ratio, UnknownUnit, unit

__all__ = [
    "InexactResult",
    "ItemUnit",
    "Quantity",
    "Ratio",
    "UnitMismatch",
    "UnknownUnit",
    "convert",
    "convert_exact",
    "is_plain",
    "parse_decimal",
    "per_base",
    "plain_decimal",
    "rounded",
    "same_amount",
]

# numeric(18, 6): what every target system at hand can hold.
MAX_DIGITS = 18
MAX_SCALE = 6

# An ERP that states 454 g to the pound rounds; one that states 400 g contradicts physics.
ITEM_RATIO_TOLERANCE = Fraction(1, 200)

_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
# Room for the sign, the point and zeros that pad; longer text is not worth parsing.
_MAX_DECIMAL_CHARS = 40
# Moving the point must not depend on the precision somebody set for the thread.
_WIDE = Context(prec=MAX_DIGITS + MAX_SCALE)


class UnitMismatch(InvalidMessage):
    """Two units that no exact factor connects."""


class InexactResult(InvalidMessage):
    """The exact result is no decimal with the places asked for, and nobody allowed rounding."""


def parse_decimal(text: str, *, where: str = "") -> Decimal:
    """The number that plain text such as "-1.50", ".001" or "007" states.

    Raises: InvalidMessage for anything but an optional sign, ASCII digits and one point (so no
        exponent, NaN, infinity, underscore, blank or foreign digit), for more than 18 digits and
        for more than 6 decimals; zeros that pad do not count.
    """
    if not is_plain(text):
        raise InvalidMessage(
            "number-malformed",
            f"{text[:_MAX_DECIMAL_CHARS]!r} is not a plain decimal number",
            where=where,
            remedy="Send ASCII digits with an optional sign and decimal point",
        )
    return plain_decimal(Decimal(text), where=where)


def is_plain(text: str) -> bool:
    """Whether it is an optional sign, ASCII digits and at most one point, and not absurdly long."""
    return len(text) <= _MAX_DECIMAL_CHARS and _PLAIN.fullmatch(text) is not None


def plain_decimal(value: Decimal, *, where: str = "") -> Decimal:
    """The same number without exponent, padding zeros or negative zero.

    One number has one spelling, so equal values have equal bytes and equal digests.
    Raises: InvalidMessage for NaN, infinities, more than 18 digits or 6 decimals.
    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise InvalidMessage(
            "number-not-finite", "The number is not finite", where=where, remedy="Send a number"
        )
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return Decimal(0)
    significant = text.rstrip("0")
    exponent += len(text) - len(significant)
    if -exponent > MAX_SCALE or len(significant) + max(exponent, 0) > MAX_DIGITS:
        raise InvalidMessage(
            "number-out-of-bounds",
            f"The number needs more than {MAX_DIGITS} digits or {MAX_SCALE} decimals",
            where=where,
            remedy=f"Send at most {MAX_DIGITS} digits, {MAX_SCALE} of them decimals",
        )
    if exponent > 0:
        significant += "0" * exponent
        exponent = 0
    return Decimal((sign, tuple(map(int, significant)), exponent))


def rounded(value: Fraction, places: int, *, where: str = "") -> Decimal:
    """`value` to that many decimals, halves to the even neighbour."""
    if not 0 <= places <= MAX_SCALE:
        raise ValueError(f"places must be 0 to {MAX_SCALE}, not {places}")
    # round() of a Fraction is exact and half-even; dividing two Decimals would round twice.
    scaled = round(value * 10**places)
    # Bounded before it becomes a Decimal: a hostile ratio can give thousands of digits.
    if abs(scaled) >= 10 ** (MAX_DIGITS + places):
        raise InvalidMessage(
            "number-out-of-bounds",
            f"The result needs more than {MAX_DIGITS} digits",
            where=where,
            remedy="Check the factor and the quantity",
        )
    return plain_decimal(Decimal(scaled).scaleb(-places, _WIDE), where=where)


class Quantity(msgspec.Struct, frozen=True):
    """So much of a unit.

    value: at most 18 digits and 6 decimals, in its one spelling; text in JSON.
    unit: Rec 20 code or X-prefixed Rec 21 code.

    `<` and its kin compare amounts and raise UnitMismatch across categories. `==` compares the
    statement, number and unit: 12 inch and 304.8 mm are the same amount (`same_amount`) but not the
    same document, and a change from one to the other must reach the targets.
    """

    value: Decimal
    unit: str

    def __post_init__(self) -> None:
        plain = plain_decimal(self.value, where="quantity.value")
        if plain.as_tuple() != self.value.as_tuple():
            msgspec.structs.force_setattr(self, "value", plain)
        unit(self.unit, where="quantity.unit")

    def __add__(self, other: Quantity) -> Quantity:
        """The sum in this quantity's unit; InexactResult if it is no decimal there."""
        total = Fraction(self.value) + convert_exact(other, self.unit)
        return Quantity(_exact(total, self.unit, round_to=None), self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        """The difference in this quantity's unit; InexactResult if it is no decimal there."""
        rest = Fraction(self.value) - convert_exact(other, self.unit)
        return Quantity(_exact(rest, self.unit, round_to=None), self.unit)

    def scaled(self, factor: int | Fraction, *, round_to: int | None = None) -> Quantity:
        """So many times this quantity; rounding as in `convert`."""
        return Quantity(_exact(Fraction(self.value) * factor, self.unit, round_to), self.unit)

    def __lt__(self, other: Quantity) -> bool:
        return Fraction(self.value) < convert_exact(other, self.unit)

    def __le__(self, other: Quantity) -> bool:
        return Fraction(self.value) <= convert_exact(other, self.unit)

    def __gt__(self, other: Quantity) -> bool:
        return Fraction(self.value) > convert_exact(other, self.unit)

    def __ge__(self, other: Quantity) -> bool:
        return Fraction(self.value) >= convert_exact(other, self.unit)


class ItemUnit(msgspec.Struct, frozen=True):
    """An alternate unit of one item: 1 `unit` = `ratio` of the item's base unit."""

    unit: str
    ratio: Ratio

    def __post_init__(self) -> None:
        unit(self.unit, where="item_unit.unit")
        if self.ratio.numerator <= 0:
            raise InvalidMessage(
                "item-unit-ratio",
                f"The item's ratio for {self.unit} is not positive",
                where="item_unit.ratio",
                remedy="Correct the alternate unit in the item master",
            )


def convert_exact(
    quantity: Quantity, to_unit: str, alternates: Sequence[ItemUnit] = (), *, base: str = ""
) -> Fraction:
    """The number of `to_unit` in `quantity`, exact.

    Within one category the physical factor counts; else the item's own ratios do.
    base: the item's base unit, to which the alternates' ratios lead; may be left out where
        `alternates` names it with ratio 1.
    Raises: UnitMismatch if no factor is known, or the item contradicts itself or physics.
    """
    if quantity.unit == to_unit:
        return Fraction(quantity.value)
    return Fraction(quantity.value) * _factor(quantity.unit, to_unit, alternates, base)


def convert(
    quantity: Quantity,
    to_unit: str,
    alternates: Sequence[ItemUnit] = (),
    *,
    base: str = "",
    round_to: int | None = None,
) -> Quantity:
    """`quantity` in `to_unit`; factors as in `convert_exact`.

    round_to: decimals (0 to 6) to round to, half-even; None = refuse a result that is no decimal.
    Raises: InexactResult, UnitMismatch.
    """
    exact = convert_exact(quantity, to_unit, alternates, base=base)
    return Quantity(_exact(exact, to_unit, round_to), to_unit)


def same_amount(left: Quantity, right: Quantity) -> bool:
    """Whether both are the same amount, in whatever unit each is stated."""
    return Fraction(left.value) == convert_exact(right, left.unit)


def per_base(quantity: Quantity, base: Quantity) -> Fraction:
    """How much of the line's unit one unit of the header takes.

    base: the BOM header's base quantity, such as 100 H87.
    Raises: InvalidMessage where the base quantity is not positive.
    """
    if base.value <= 0:
        raise InvalidMessage(
            "base-quantity",
            f"The base quantity is {base.value}; lines cannot be divided by it",
            where="base",
            remedy="State how much of the assembly the lines are for",
        )
    return Fraction(quantity.value) / Fraction(base.value)


def _exact(value: Fraction, unit_code: str, round_to: int | None) -> Decimal:
    places = MAX_SCALE if round_to is None else round_to
    if round_to is None and (value * 10**MAX_SCALE).denominator != 1:
        raise InexactResult(
            "quantity-inexact",
            f"The result in {unit_code} is no decimal of {MAX_SCALE} places",
            where=unit_code,
            remedy="State the quantity in a unit that divides evenly or allow rounding",
        )
    return rounded(value, places, where=unit_code)


def _factor(from_unit: str, to_unit: str, alternates: Sequence[ItemUnit], base: str) -> Fraction:
    """How many `to_unit` one `from_unit` is."""
    stated = [*alternates, ItemUnit(base, Ratio(1))] if base else alternates
    physical = _physical(from_unit, to_unit)
    by_item = _by_item(from_unit, to_unit, stated)
    if physical is not None:
        _refuse_contradiction(from_unit, to_unit, physical, by_item)
        return physical
    if by_item is None:
        raise UnitMismatch(
            "unit-mismatch",
            f"No exact factor leads from {from_unit} to {to_unit}",
            where=f"{from_unit} to {to_unit}",
            remedy=f"Add an item unit that says what one {from_unit} of this item is in {to_unit}",
        )
    return by_item


def _refuse_contradiction(
    from_unit: str, to_unit: str, physical: Fraction, by_item: Fraction | None
) -> None:
    if by_item is not None and abs(by_item / physical - 1) > ITEM_RATIO_TOLERANCE:
        raise UnitMismatch(
            "unit-contradiction",
            f"The item says 1 {from_unit} is {by_item} {to_unit}, the unit list says {physical}",
            where=f"{from_unit} to {to_unit}",
            remedy="Correct the item's alternate units",
        )


def _physical(from_unit: str, to_unit: str) -> Fraction | None:
    source, target = unit(from_unit, where="from unit"), unit(to_unit, where="to unit")
    if source.factor is None or target.factor is None or source.category != target.category:
        return None
    return source.factor.fraction / target.factor.fraction


def _by_item(from_unit: str, to_unit: str, stated: Sequence[ItemUnit]) -> Fraction | None:
    source, target = _in_base(from_unit, stated), _in_base(to_unit, stated)
    return None if source is None or target is None else source / target


def _in_base(code: str, stated: Sequence[ItemUnit]) -> Fraction | None:
    """One `code` in the item's base unit: by its own row, else through a row of its category."""
    tolerance = Fraction(0)
    found = [row.ratio.fraction for row in stated if row.unit == code]
    if not found:
        tolerance = ITEM_RATIO_TOLERANCE
        found = [
            row.ratio.fraction * physical
            for row in stated
            if (physical := _physical(code, row.unit)) is not None
        ]
    if found and max(found) / min(found) - 1 > tolerance:
        raise UnitMismatch(
            "unit-contradiction",
            f"The item's alternate units give several values for one {code}",
            where=code,
            remedy="Correct the item's alternate units",
        )
    return found[0] if found else None
