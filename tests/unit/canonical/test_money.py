"""Money: exact until it is paid, and never across currencies."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from canonical.errors import InvalidMessage
from canonical.money import (
    CurrencyMismatch,
    Money,
    UnitPrice,
    UnknownCurrency,
    exact_value_of,
    minor_digits,
    value_of,
)
from canonical.quantity import ItemUnit, Quantity, Ratio, UnitMismatch
from canonical.units import read_table
from tests.strategies import money, quantities, unit_prices


def eur(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def pieces(value: str) -> Quantity:
    return Quantity(Decimal(value), "H87")


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        ("EUR", 2),
        ("USD", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("ISK", 0),
        ("KWD", 3),
        ("TND", 3),
        ("CLF", 4),
    ],
)
def test_a_currency_is_paid_in_its_minor_unit(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


def test_the_currency_table_is_well_formed() -> None:
    rows = list(read_table("iso4217.csv"))
    codes = [row["code"] for row in rows]
    assert codes == sorted(set(codes))
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in codes)
    assert {row["digits"] for row in rows} == {"0", "2", "3", "4"}


def test_the_currency_table_agrees_with_the_published_one() -> None:
    published = {row.code: row.exponent for row in Currency if row.exponent is not None}
    assert {row["code"]: int(row["digits"]) for row in read_table("iso4217.csv")} == published


@pytest.mark.parametrize("currency", ["", "eur", "DEM", "XXX", "XAU", "EURO", "E\x00R"])
def test_a_code_that_is_no_active_currency_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        Money(Decimal(1), currency)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "1E+400", "0.0000001"])
def test_an_amount_out_of_bounds_is_refused(amount: str) -> None:
    with pytest.raises(InvalidMessage):
        eur(amount)


def test_a_price_per_thousand_is_valued_exactly() -> None:
    price = UnitPrice(eur("25.00"), pieces("1000"))
    assert value_of(price, pieces("1000")) == eur("25")
    assert value_of(price, pieces("400")) == eur("10")
    assert exact_value_of(price, pieces("1")) == Fraction(1, 40)
    assert value_of(price, pieces("1")) == eur("0.02")


@pytest.mark.parametrize(
    ("amount", "currency", "payable"),
    [
        ("0.125", "EUR", "0.12"),
        ("0.135", "EUR", "0.14"),
        ("-0.125", "EUR", "-0.12"),
        ("2.5", "JPY", "2"),
        ("3.5", "JPY", "4"),
        ("0.0005", "KWD", "0"),
    ],
)
def test_half_a_minor_unit_goes_to_the_even_one(amount: str, currency: str, payable: str) -> None:
    assert Money(Decimal(amount), currency).in_minor_units() == Money(Decimal(payable), currency)


def test_a_quantity_in_another_unit_is_valued_by_the_prices_unit() -> None:
    per_hundred_metres = UnitPrice(eur("12.50"), Quantity(Decimal(100), "MTR"))
    assert value_of(per_hundred_metres, Quantity(Decimal(4000), "CMT")) == eur("5")
    reel = [ItemUnit("XRL", Ratio(250))]
    two_reels = Quantity(Decimal(2), "XRL")
    assert value_of(per_hundred_metres, two_reels, reel, base="MTR") == eur("62.5")
    with pytest.raises(UnitMismatch):
        value_of(per_hundred_metres, two_reels)


@pytest.mark.parametrize("per", ["0", "-1"])
def test_a_price_for_nothing_is_refused(per: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        UnitPrice(eur("1"), pieces(per))
    assert caught.value.code == "price-unit"


@given(unit_prices(), quantities(("H87", "DZN")))
def test_rounding_moves_a_value_by_half_a_minor_unit_at_most(
    price: UnitPrice, quantity: Quantity
) -> None:
    minor = Fraction(1, 10 ** minor_digits(price.amount.currency))
    payable = Fraction(value_of(price, quantity).amount)
    assert abs(payable - exact_value_of(price, quantity)) * 2 <= minor
    assert payable % minor == 0


@given(unit_prices(), quantities(("H87",)), quantities(("H87",)))
def test_the_exact_value_of_two_deliveries_is_the_value_of_both(
    price: UnitPrice, first: Quantity, second: Quantity
) -> None:
    apart = exact_value_of(price, first) + exact_value_of(price, second)
    assert apart == exact_value_of(price, first + second)


@given(money(("EUR",)), money(("EUR",)))
def test_what_is_added_can_be_taken_away(left: Money, right: Money) -> None:
    assert left + right - right == left
    assert left + right == right + left


@given(st.tuples(*[money(("EUR",))] * 3))
def test_amounts_of_a_currency_are_totally_ordered(
    triple: tuple[Money, Money, Money],
) -> None:
    low, middle, high = sorted(triple)
    assert low <= middle <= high
    assert [low < high, low == high, low > high].count(True) == 1
    assert (low >= high) == (not low < high)


def test_two_currencies_are_neither_added_nor_compared() -> None:
    dollars = Money(Decimal(1), "USD")
    with pytest.raises(CurrencyMismatch):
        _ = eur("1") + dollars
    with pytest.raises(CurrencyMismatch):
        _ = eur("1") <= dollars
    assert eur("1") != dollars


@given(unit_prices())
def test_a_price_survives_json(price: UnitPrice) -> None:
    assert msgspec.json.decode(msgspec.json.encode(price), type=UnitPrice) == price
