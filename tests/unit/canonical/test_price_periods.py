"""Prices by days and quantities: which one counts, and what a later statement leaves of others."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.money import Money, UnitPrice
from canonical.price_periods import PricePeriod, PriceScale, merge_periods, period_on
from canonical.quantity import ItemUnit, Quantity, Ratio, UnitMismatch

FIRST = date(2026, 1, 1)
DAYS = st.dates(FIRST, date(2026, 3, 31))


def price(amount: int) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), "EUR"), Quantity(Decimal(100), "H87"))


def pieces(number: int) -> Quantity:
    return Quantity(Decimal(number), "H87")


@st.composite
def periods(draw: st.DrawFn) -> PricePeriod:
    first, last = sorted((draw(DAYS), draw(DAYS)))
    amount = draw(st.none() | st.integers(1, 5))
    return PricePeriod(
        first, draw(st.sampled_from([last, None])), None if amount is None else price(amount)
    )


STATEMENTS = st.lists(periods(), max_size=4)


@given(st.lists(STATEMENTS, max_size=4), DAYS)
def test_of_several_statements_about_a_day_the_last_one_counts(
    statements: list[list[PricePeriod]], on: date
) -> None:
    found: tuple[PricePeriod, ...] = ()
    for stated in statements:
        found = merge_periods(found, stated)
    about = [period for stated in statements for period in stated if period.is_valid(on)]
    counts = period_on(found, on)
    assert (counts.price if counts else None) == (about[-1].price if about else None)


@given(STATEMENTS, STATEMENTS)
def test_periods_never_overlap_and_merging_again_changes_nothing(
    first: list[PricePeriod], then: list[PricePeriod]
) -> None:
    found = merge_periods(merge_periods((), first), then)
    assert merge_periods(found, then) == found
    assert all(period.price is not None for period in found)
    for before, after in pairwise(found):
        assert before.last_day is not None
        assert before.last_day < after.first_day


def test_what_is_left_of_a_period_is_before_and_after_the_new_one() -> None:
    year = PricePeriod(FIRST, date(2026, 12, 31), price(1))
    spring = PricePeriod(date(2026, 3, 1), date(2026, 5, 31), price(2))
    assert merge_periods([year], [spring]) == (
        PricePeriod(FIRST, date(2026, 2, 28), price(1)),
        spring,
        PricePeriod(date(2026, 6, 1), date(2026, 12, 31), price(1)),
    )
    gone = PricePeriod(date(2026, 3, 1), None)
    assert merge_periods([year], [gone]) == (PricePeriod(FIRST, date(2026, 2, 28), price(1)),)
    assert period_on([year], date(2027, 1, 1)) is None


SCALED = PricePeriod(
    FIRST,
    None,
    price(25),
    (PriceScale(pieces(500), price(24)), PriceScale(pieces(2000), price(22))),
)


@pytest.mark.parametrize(
    ("quantity", "amount"), [(1, 25), (499, 25), (500, 24), (1999, 24), (2000, 22), (10**6, 22)]
)
def test_a_scale_counts_from_its_quantity_on(quantity: int, amount: int) -> None:
    assert SCALED.price_of(pieces(quantity)) == price(amount)


def test_a_quantity_in_another_unit_is_converted_exactly_or_refused() -> None:
    boxes = Quantity(Decimal(10), "XBX")
    box = ItemUnit("XBX", Ratio(50))
    assert SCALED.price_of(boxes, [box], base="H87") == price(24)
    with pytest.raises(UnitMismatch):
        SCALED.price_of(boxes)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_whoever_orders_more_pays_no_more_for_one(less: int, more: int) -> None:
    few, many = sorted((less, more))
    first, then = SCALED.price_of(pieces(few)), SCALED.price_of(pieces(many))
    assert first is not None
    assert then is not None
    assert then.amount <= first.amount


def test_a_period_that_ends_before_it_begins_is_about_no_day() -> None:
    assert PricePeriod(FIRST, FIRST).is_valid(FIRST)
    backwards = PricePeriod(FIRST, FIRST - timedelta(days=1), price(1))
    assert not backwards.is_valid(FIRST)
    assert merge_periods([SCALED], [backwards]) == (SCALED,)
