"""Quantities and prices as SAP's fields have room for them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from canonical.errors import InvalidMessage, Rejected
from canonical.money import UnitPrice, minor_digits
from canonical.quantity import parse_decimal, plain_decimal
from handlers.systems.s4.compare import same_number

PLACES = 3
MAX_QUANTITY = 10**10

_MAX_PRICE_UNIT = 99_999
_MAX_PRICE = 10**9
_MAX_PRICE_PLACES = 3


def fits(quantity: Decimal) -> bool:
    """Whether a quantity has ten digits before and three after the point at most."""
    return abs(quantity) < MAX_QUANTITY and quantity == round(quantity, PLACES)


def price_in_erp(price: UnitPrice, *, where: str = "") -> tuple[Decimal, int]:
    """The same price with an amount the currency can be paid in, for a whole number of units.

    0.0123 EUR for 1 is 1.23 EUR for 100. Raises: Rejected where there is no such pair.
    """
    places = _places(price, where)
    for power in range(7):
        amount = Fraction(price.amount.amount) * 10**power
        per = Fraction(price.per.value) * 10**power
        units = amount * 10**places
        if per.denominator == 1 and units.denominator == 1:
            if per > _MAX_PRICE_UNIT or abs(amount) >= _MAX_PRICE:
                break
            return plain_decimal(Decimal(int(units)).scaleb(-places)), int(per)
    raise Rejected(
        "price-not-representable",
        f"{price.amount.amount} {price.amount.currency} for {price.per.value} {price.per.unit}"
        f" has no amount of {places} decimals for at most {_MAX_PRICE_UNIT} units",
        where=where,
        remedy="State the price for another quantity in the contract",
    )


def amount_for(price: UnitPrice, per: Fraction) -> Decimal | None:
    """What so many units cost at that price; None where that is no amount that can be paid, or one
    too large."""
    exact = Fraction(price.amount.amount) * per / Fraction(price.per.value)
    places = _places(price, "")
    scaled = exact * 10**places
    if scaled.denominator != 1 or abs(exact) >= _MAX_PRICE:
        return None
    return plain_decimal(Decimal(int(scaled)).scaleb(-places))


def _places(price: UnitPrice, where: str) -> int:
    return min(minor_digits(price.amount.currency, where=where), _MAX_PRICE_PLACES)


def same_price(held: tuple[str, str], want: tuple[str, str]) -> bool:
    """Whether amount and price unit make the same price: 25.00 for 1000 is 2.50 for 100. A price
    unit of 0 stands for 1."""
    return _per_unit(*held) == _per_unit(*want)


def _per_unit(amount: str, per: str) -> Fraction | None:
    return quotient(amount or "0", "1" if same_number(per, "0") else per)


def quotient(numerator: str, denominator: str) -> Fraction | None:
    """None for what is no fraction, which differs from everything that is wanted."""
    try:
        return Fraction(parse_decimal(numerator)) / Fraction(parse_decimal(denominator))
    except (InvalidMessage, ZeroDivisionError):
        return None
