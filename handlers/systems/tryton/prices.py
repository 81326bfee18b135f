"""Prices as Tryton holds them: for one unit, with so many decimals."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from canonical.errors import Rejected
from canonical.money import UnitPrice
from canonical.quantity import plain_decimal
from handlers.systems.tryton.native import Exact
from handlers.systems.tryton.words import PRICE_PLACES


def amount_of(price: UnitPrice, unit: str, currency: str, where: str) -> Decimal:
    """What one unit costs in the currency.

    Raises: Rejected for a price in another unit or currency, or one that is no such decimal.
    """
    exact = Fraction(price.amount.amount) / Fraction(price.per.value)
    scaled = exact * 10**PRICE_PLACES
    is_held = price.per.unit == unit and price.amount.currency == currency
    if not is_held or scaled.denominator != 1:
        raise Rejected(
            "price-unwritable",
            f"Tryton holds a price in {currency} for one {unit} with {PRICE_PLACES} decimals, and"
            f" it is {price.amount.amount} {price.amount.currency} for"
            f" {price.per.value} {price.per.unit}",
            where=where,
            remedy="State the price for the unit that is ordered, in another quantity",
        )
    return plain_decimal(Decimal(int(scaled)).scaleb(-PRICE_PLACES))


def exact(amount: Decimal) -> Exact:
    """The number as Tryton writes it."""
    return Exact(format(amount, "f"))
