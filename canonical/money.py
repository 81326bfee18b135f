"""Money with its currency, and prices per so much of a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache

import msgspec

from canonical.errors import InvalidMessage
from canonical.quantity import ItemUnit, Quantity, convert_exact, plain_decimal, rounded
from canonical.units import read_table


class CurrencyMismatch(InvalidMessage):
    """Two amounts in different currencies; no rate is ever assumed."""


class UnknownCurrency(InvalidMessage):
    """The code is no active currency of ISO 4217 with a minor unit."""


class Money(msgspec.Struct, frozen=True):
    """An amount in a currency.

    amount: up to 6 decimals, since unit prices go below the minor unit; `in_minor_units` rounds.
    currency: ISO 4217 code.

    Equal amounts of one currency are equal; `<` and its kin raise CurrencyMismatch across
    currencies, `==` is False there.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        plain = plain_decimal(self.amount, where="money.amount")
        if plain.as_tuple() != self.amount.as_tuple():
            msgspec.structs.force_setattr(self, "amount", plain)
        minor_digits(self.currency, where="money.currency")

    def __add__(self, other: Money) -> Money:
        return self._sum(Fraction(self.amount) + self._same_currency(other))

    def __sub__(self, other: Money) -> Money:
        return self._sum(Fraction(self.amount) - self._same_currency(other))

    def __lt__(self, other: Money) -> bool:
        return Fraction(self.amount) < self._same_currency(other)

    def __le__(self, other: Money) -> bool:
        return Fraction(self.amount) <= self._same_currency(other)

    def __gt__(self, other: Money) -> bool:
        return Fraction(self.amount) > self._same_currency(other)

    def __ge__(self, other: Money) -> bool:
        return Fraction(self.amount) >= self._same_currency(other)

    def in_minor_units(self) -> Money:
        """The amount as it can be paid, halves to the even neighbour."""
        return _payable(Fraction(self.amount), self.currency)

    def _sum(self, total: Fraction) -> Money:
        # Both amounts have at most 6 decimals, so 6 places lose nothing.
        return Money(rounded(total, 6, where="money.amount"), self.currency)

    def _same_currency(self, other: Money) -> Fraction:
        if self.currency != other.currency:
            raise CurrencyMismatch(
                "currency-mismatch",
                f"{self.currency} and {other.currency} cannot be added or compared",
                where="currency",
                remedy="State both amounts in one currency",
            )
        return Fraction(other.amount)


class UnitPrice(msgspec.Struct, frozen=True):
    """A price for so much: 25.00 EUR per 1000 H87.

    per: the price unit quantity with its unit; positive.
    """

    amount: Money
    per: Quantity

    def __post_init__(self) -> None:
        if self.per.value <= 0:
            raise InvalidMessage(
                "price-unit",
                f"A price per {self.per.value} {self.per.unit} is none",
                where="price.per",
                remedy="State for how much the price is",
            )


def exact_value_of(
    price: UnitPrice, quantity: Quantity, alternates: Sequence[ItemUnit] = (), *, base: str = ""
) -> Fraction:
    """What the quantity costs, in the price's currency, before any rounding.

    Raises: UnitMismatch where the quantity cannot be stated in the price's unit.
    """
    amount = convert_exact(quantity, price.per.unit, alternates, base=base)
    return amount * Fraction(price.amount.amount) / Fraction(price.per.value)


def value_of(
    price: UnitPrice, quantity: Quantity, alternates: Sequence[ItemUnit] = (), *, base: str = ""
) -> Money:
    """What the quantity costs, rounded once, at the end, to the minor unit (half-even)."""
    exact = exact_value_of(price, quantity, alternates, base=base)
    return _payable(exact, price.amount.currency)


def minor_digits(currency: str, *, where: str = "") -> int:
    """How many decimals the currency is paid in: 2 for EUR, 0 for JPY, 3 for KWD."""
    digits = _currencies().get(currency)
    if digits is None:
        raise UnknownCurrency(
            "currency-unknown",
            f"{currency[:10]!r} is no active currency of ISO 4217",
            where=where,
            remedy="Send the three-letter code of an active currency",
        )
    return digits


def _payable(amount: Fraction, currency: str) -> Money:
    return Money(rounded(amount, minor_digits(currency), where="money.amount"), currency)


@cache
def _currencies() -> Mapping[str, int]:
    return {row["code"]: int(row["digits"]) for row in read_table("iso4217.csv")}
