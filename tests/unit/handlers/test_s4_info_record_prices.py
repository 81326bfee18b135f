"""Prices of S/4HANA's info records: what condition records that were read after an event become."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Emit, Open
from canonical.facts import Facts
from canonical.money import Money, UnitPrice
from canonical.own_words import OwnWords
from canonical.price_periods import PricePeriod, PriceScale, merge_periods, period_on
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity
from handlers.systems.s4 import odata
from handlers.systems.s4.inbound import HANDLER_INFO_RECORD
from tests.fixtures.answers_of_s4 import (
    Edit,
    answer,
    assert_in_our_words,
    edited,
    mutated,
    with_fields,
    without,
)
from tests.fixtures.gearbox import NOW, RULES, facts

KEY = "purchasing-info-record/5300000042"
DAYS = "to_PurInfoRecdPrcgCndnValidity"
CONDITION = "to_PurInfoRecdPrcgCndn"
SUPPLEMENTS = "to_PurInfoRecdSuplmntPrcgCndn"
LINES = "to_PurgInfoPricingCndnRecdScale"
PLACE = f"info record 5300000042, to_PurgInfoRecdOrgPlantData, 1010 1010, {DAYS} 0000010248"
# Before what is agreed: nothing else is.
NOTHING_ELSE = PricePeriod(date.min)
YEAR = (date(2026, 1, 1), date(2026, 12, 31))


def price(amount: str, per: str = "100", unit: str = "H87", currency: str = "EUR") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), unit))


def scale(start: str, amount: str, per: str = "100", unit: str = "H87") -> PriceScale:
    return PriceScale(Quantity(Decimal(start), unit), price(amount, per, unit))


def line(number: str, start: str, rate: str, **changed: Any) -> dict[str, Any]:
    return {
        "ConditionScaleLine": number,
        "ConditionScaleQuantity": start,
        "ConditionScaleQuantityUnit": "PC",
        "ConditionRateValue": rate,
        "ConditionRateValueUnit": "EUR",
        "ConditionScaleIsDeleted": False,
        **changed,
    }


LINE, OTHER_LINE = line("0001", "500.000", "24.000"), line("0002", "2000.000", "22.500")


def condition(rate: str = "25.500", **changed: Any) -> dict[str, Any]:
    """A price without a scale; its own days are not those on which it counts."""
    return {
        "ConditionRecord": "0000010248",
        "ConditionValidityStartDate": "/Date(1521072000000)/",
        "ConditionValidityEndDate": "/Date(253402214400000)/",
        "PricingScaleType": "A",
        "PricingScaleBasis": "",
        "ConditionScaleQuantityUnit": "",
        "ConditionCalculationType": "C",
        "ConditionRateValue": rate,
        "ConditionRateValueUnit": "EUR",
        "ConditionQuantity": "100",
        "ConditionQuantityUnit": "PC",
        "ConditionIsDeleted": False,
        SUPPLEMENTS: {"results": []},
        **changed,
    }


def scaled(*lines: dict[str, Any], **changed: Any) -> dict[str, Any]:
    said = {"PricingScaleBasis": "C", LINES: {"results": list(lines)}}
    return condition() | said | changed


def days(
    first: date = YEAR[0], last: date = YEAR[1], price: object = None, **changed: Any
) -> dict[str, Any]:
    return {
        "ConditionRecord": "0000010248",
        "ConditionType": "PPR0",
        "ConditionValidityStartDate": odata.date_literal(first),
        "ConditionValidityEndDate": odata.date_literal(last),
        CONDITION: condition() if price is None else price,
        **changed,
    }


def record(*rows: dict[str, Any]) -> dict[str, Any]:
    terms = {
        "PurchasingInfoRecordCategory": "0",
        "PurchasingOrganization": "1010",
        "Plant": "1010",
        DAYS: {"results": list(rows)},
    }
    return {
        "PurchasingInfoRecord": "5300000042",
        "Supplier": "100042",
        "Material": "SEAL-7",
        "to_PurgInfoRecdOrgPlantData": {"results": [terms]},
    }


def said(entity: dict[str, Any], own: Facts | None = None) -> tuple[Any, list[Open]]:
    """The prices of the terms, and the cases."""
    message = HANDLER_INFO_RECORD.read(answer(KEY, {"d": entity}))
    event, *cases = HANDLER_INFO_RECORD.decide(message, own or facts(), NOW)
    assert isinstance(event, Emit)
    assert isinstance(event.data, InfoRecordTermsPatch)
    return event.data.prices, [case for case in cases if isinstance(case, Open)]


def prices(*rows: dict[str, Any]) -> tuple[PricePeriod, ...]:
    """Where all of them are understood: those of the rows."""
    (first, *others), cases = said(record(*rows))
    assert cases == []
    assert first == NOTHING_ELSE
    return tuple(others)


def test_a_price_counts_on_the_days_of_its_validity_both_of_them_included() -> None:
    assert prices(days()) == (PricePeriod(*YEAR, price("25.5")),)


def test_one_without_an_end_is_open() -> None:
    assert prices(days(last=date(9999, 12, 31))) == (PricePeriod(YEAR[0], None, price("25.5")),)


def test_prices_of_later_days_come_in_the_order_of_their_days() -> None:
    later = days(date(2027, 1, 1), date(9999, 12, 31), condition("27.000"))
    assert prices(later, days()) == (
        PricePeriod(*YEAR, price("25.5")),
        PricePeriod(date(2027, 1, 1), None, price("27")),
    )


def test_lines_of_a_scale_stand_below_the_price_in_the_order_of_their_numbers() -> None:
    (found,) = prices(days(price=scaled(OTHER_LINE, LINE)))
    assert found == PricePeriod(*YEAR, price("25.5"), (scale("500", "24"), scale("2000", "22.5")))
    ordered = {
        amount: found.price_of(Quantity(Decimal(amount), "H87"))
        for amount in ("499", "500", "2000")
    }
    assert ordered == {"499": price("25.5"), "500": price("24"), "2000": price("22.5")}


@pytest.mark.parametrize(
    ("changed", "scales"),
    [
        (scaled(LINE, line("0002", "900", "23", ConditionScaleIsDeleted=True)),
         (scale("500", "24"),)),
        (scaled(line("0001", "500", "24", ConditionScaleQuantityUnit="")), (scale("500", "24"),)),
        (scaled(line("0001", "3", "24", ConditionScaleQuantityUnit=""),
                ConditionScaleQuantityUnit="KAR"),
         (PriceScale(Quantity(Decimal(3), "XCT"), price("24")),)),
        (scaled(line("0001", "0", "24", PricingScaleType="")), (scale("0", "24"),)),
        (scaled(), ()),
        # Without a basis none of them counts, and nobody asks for them.
        (condition() | {LINES: {"results": [LINE]}}, ()),
        (condition() | {LINES: {"__deferred": {"uri": "x"}}}, ()),
    ],
)  # fmt: skip
def test_a_scale_is(changed: dict[str, Any], scales: tuple[PriceScale, ...]) -> None:
    assert prices(days(price=changed)) == (PricePeriod(*YEAR, price("25.5"), scales),)


def test_a_price_that_is_deleted_is_none() -> None:
    assert prices(days(price=condition(ConditionIsDeleted=True))) == ()
    # Another one may have its days.
    new = days(price=condition("26.000"))
    assert prices(days(price=condition(ConditionIsDeleted=True)), new) == (
        PricePeriod(*YEAR, price("26")),
    )


def test_supplements_that_are_deleted_do_not_count() -> None:
    rows = [{"ConditionType": "RA00", "ConditionIsDeleted": True}]
    assert prices(days(price=condition() | {SUPPLEMENTS: {"results": rows}})) == (
        PricePeriod(*YEAR, price("25.5")),
    )


def test_units_of_a_price_may_be_words_of_its_system() -> None:
    words = {"erp": OwnWords(units={"STK": "H87"})}
    own = Facts(msgspec.structs.replace(RULES, words=words))
    assert said(record(days(price=condition(ConditionQuantityUnit="STK"))), own) == (
        (NOTHING_ELSE, PricePeriod(*YEAR, price("25.5"))),
        [],
    )


def test_where_no_condition_is_kept_nothing_is_agreed() -> None:
    assert said(record()) == ((NOTHING_ELSE,), [])


@pytest.mark.parametrize("offered", [{"__deferred": {"uri": "x"}}, None])
def test_an_answer_that_tells_no_conditions_says_nothing_of_prices(offered: object) -> None:
    """As those did that came before prices were asked for."""
    entity = record()
    (terms,) = entity["to_PurgInfoRecdOrgPlantData"]["results"]
    if offered is None:
        del terms[DAYS]
    else:
        terms[DAYS] = offered
    assert said(entity) == ((), [])


def price_with(**changed: Any) -> Edit:
    return lambda row: row[CONDITION].update(changed)


@pytest.mark.parametrize(
    ("edit", "code", "field"),
    [
        (with_fields(ConditionValidityStartDate=None), "price-unreadable",
         ": ConditionValidityStartDate"),
        (with_fields(ConditionValidityStartDate="2026-01-01"), "time-malformed",
         ": ConditionValidityStartDate"),
        (with_fields(ConditionValidityEndDate=odata.date_literal(date(2025, 12, 31))),
         "price-unreadable", ": ConditionValidityEndDate"),
        (with_fields(**{CONDITION: None}), "price-unreadable", ""),
        (without(CONDITION), "price-unreadable", ""),
        (price_with(ConditionCalculationType="A"), "price-unreadable",
         ": ConditionCalculationType"),
        (price_with(ConditionQuantity="0"), "price-unreadable", ": ConditionQuantity"),
        (price_with(ConditionQuantityUnit="QQ"), "unit-unmapped", ": ConditionQuantityUnit"),
        (price_with(ConditionRateValueUnit="DEM"), "currency-unknown",
         ": ConditionRateValueUnit"),
        (price_with(ConditionRateValue="1.2.3"), "number-malformed", ": ConditionRateValue"),
        (price_with(**{SUPPLEMENTS: {"results": [{"ConditionType": "RA00"}]}}),
         "price-unreadable", ": ConditionType"),
        (price_with(PricingScaleBasis="B"), "price-unreadable",
         ": PricingScaleBasis, PricingScaleType"),
        (price_with(PricingScaleBasis="C", PricingScaleType="B"), "price-unreadable",
         ": PricingScaleBasis, PricingScaleType"),
        (price_with(PricingScaleBasis="C"), "price-unreadable", ""),
        (price_with(PricingScaleBasis="C", **{LINES: {"results": [OTHER_LINE, {
            **LINE, "ConditionScaleLine": "0003"}]}}), "price-unreadable",
         ": ConditionScaleQuantity"),
        (price_with(PricingScaleBasis="C", **{LINES: {"results": [
            LINE, line("0002", "2", "20", ConditionScaleQuantityUnit="KG")]}}), "unit-mismatch",
         ": KGM to H87"),
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_understood_is_a_case_and_what_is_known_of_its_days_stays(
    edit: Edit, code: str, field: str
) -> None:
    later = days(date(2027, 1, 1), date(2027, 12, 31), condition("27.000"))
    found, [case] = said(record(edited(days(), edit), later))
    assert (case.code, case.where, case.owner) == (code, PLACE + field, "master data")
    assert found == (PricePeriod(date(2027, 1, 1), date(2027, 12, 31), price("27")),)


def test_a_discount_or_freight_is_a_case_and_no_price() -> None:
    freight = days(ConditionType="FRB1", price={"ConditionRecord": "0000010249"})
    found, [case] = said(record(freight, days()))
    assert (case.code, case.where) == ("condition-not-a-price", f"{PLACE}: ConditionType")
    assert found == (NOTHING_ELSE, PricePeriod(*YEAR, price("25.5")))


def test_of_two_prices_of_one_day_neither_is_taken() -> None:
    other = days(date(2026, 12, 31), date(2027, 1, 1), condition("27.000"))
    found, [case] = said(record(other, days()))
    assert found == ()
    assert (case.code, case.what) == (
        "price-unreadable",
        "Two prices of one kind count on 2026-12-31",
    )


# Days apart from each other, of which none is the last one.
LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=4)
KNOWN = st.lists(
    st.builds(
        lambda start, length: PricePeriod(
            date(2026, 1, 1) + timedelta(start),
            date(2026, 1, 1) + timedelta(start + length),
            price("1"),
        ),
        st.integers(-100, 200),
        st.integers(0, 60),
    ),
    max_size=4,
)


@given(lengths=LENGTHS, known=KNOWN, data=st.data())
def test_after_a_read_that_was_understood_its_prices_are_all_there_are(
    lengths: list[tuple[int, int]], known: list[PricePeriod], data: st.DataObject
) -> None:
    """Law: whatever was known before, what counts on a day is what the answer says of it."""
    day, spans = date(2026, 1, 1), []
    for gap, length in lengths:
        first = day + timedelta(gap)
        day = first + timedelta(length)
        spans.append((first, day))
    rows = [
        days(first, last, condition(f"{number}.000"))
        for number, (first, last) in enumerate(spans, start=1)
    ]
    found, cases = said(record(*data.draw(st.permutations(rows))))
    assert cases == []
    after = merge_periods(merge_periods((), known), found)
    expected = tuple(
        PricePeriod(first, last, price(str(number)))
        for number, (first, last) in enumerate(spans, start=1)
    )
    assert after == expected
    assert period_on(after, date(2025, 12, 31)) is None
    # Reading it again changes nothing.
    assert merge_periods(after, found) == after


@given(data=st.data())
def test_prices_however_they_are_written_are_taken_or_told_in_our_words(
    data: st.DataObject,
) -> None:
    entity = record(days(), days(date(2027, 1, 1), date(2027, 12, 31), scaled(LINE, OTHER_LINE)))
    assert_in_our_words(HANDLER_INFO_RECORD, answer(KEY, {"d": mutated(data, entity)}))
