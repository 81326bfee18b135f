"""Prices out of condition records: an IDoc of ours, in the shape of COND_A."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from canonical.codec import encode
from canonical.effects import Emit, Open, Put
from canonical.errors import InvalidMessage
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.price_periods import PricePeriod, PriceScale, period_on
from canonical.purchasing import InfoRecordTerms, InfoRecordTermsPatch
from canonical.quantity import Quantity
from handlers.flows.master_data import INFO_RECORD_CHANGED
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

COND_A = (CORPUS / "idoc" / "cond_a.made.xml").read_text()
INFREC = (CORPUS / "idoc" / "infrec.made.xml").read_text()
STATED = datetime(2026, 3, 2, 9, 10, tzinfo=UTC)
KEY = "info-record/100042/1000//standard/SEAL/7-A"


def said(text: str = COND_A) -> tuple[InfoRecordTermsPatch | None, list[Open]]:
    """The patch, and the cases of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    cases = [effect for effect in effects if isinstance(effect, Open)]
    events = [effect for effect in effects if isinstance(effect, Emit)]
    if not events:
        return None, cases
    (event,) = events
    assert (event.event, event.key) == ("info-record.changed", KEY)
    assert isinstance(event.data, InfoRecordTermsPatch)
    return event.data, cases


def pieces(number: int) -> Quantity:
    return Quantity(Decimal(number), "H87")


def price(amount: str) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), "EUR"), pieces(1000))


PERIODS = (
    PricePeriod(
        date(2026, 1, 1),
        date(2026, 6, 30),
        price("25.00"),
        (PriceScale(pieces(5000), price("24.00")), PriceScale(pieces(20000), price("22.50"))),
    ),
    PricePeriod(date(2026, 7, 1), None, price("26.00")),
    PricePeriod(date(2025, 1, 1), date(2025, 12, 31)),
)


def test_prices_are_taken_over_by_days_and_scales() -> None:
    assert said() == (
        InfoRecordTermsPatch(
            supplier="100042",
            item="SEAL/7-A",
            organisation="1000",
            plant="",
            category="standard",
            version=int(STATED.timestamp()) * 1_000_000 + 417_004,
            stated_at=STATED,
            prices=PERIODS,
        ),
        [],
    )


def test_prices_keep_their_order_with_the_record_that_they_are_of() -> None:
    keys = {HANDLER.read(Delivery("erp", "", t.encode())).envelope.key for t in (COND_A, INFREC)}
    assert keys == {"info-records/100042/SEAL/7-A"}


def test_what_is_known_of_other_days_and_of_the_rest_stays() -> None:
    patch, _ = said()
    before = InfoRecordTerms(
        "100042", "SEAL/7-A", "1000", "", "standard", 1, number="5300000815",
        prices=(PricePeriod(date(2024, 1, 1), None, price("20.00")),),
    )  # fmt: skip
    facts = Facts(RULES, {KEY: Known(1, before)})
    attributes = {"type": "com.layshaft.info-record.changed.v1", "id": "1", "subject": KEY}
    event = Delivery("layshaft", "", encode(patch), attributes=attributes)
    (put,) = INFO_RECORD_CHANGED.decide(INFO_RECORD_CHANGED.read(event), facts, NOW)
    assert isinstance(put, Put)
    assert isinstance(put.document, InfoRecordTerms)
    assert put.document.number == "5300000815"
    prices = put.document.prices
    assert prices == (
        PricePeriod(date(2024, 1, 1), date(2024, 12, 31), price("20.00")), *PERIODS[:2]
    )  # fmt: skip
    assert period_on(prices, date(2025, 6, 1)) is None


@pytest.mark.parametrize(
    ("before", "after", "code", "left"),
    [
        ("<STFKZ>A<", "<STFKZ>B<", "price-unreadable", 2),
        ("<KSTBM>20000.000<", "<KSTBM>5000.000<", "price-unreadable", 2),
        ("<KBETR>22.50<", "<KBETR>cheap<", "number-malformed", 2),
        ("<KMEIN>PCE<", "<KMEIN>HEAP<", "unit-unknown", 2),
        ("<KPEIN>1000<", "<KPEIN>0<", "price-unit", 2),
        ("<KRECH>C<", "<KRECH>A<", "price-unreadable", 2),
        ("<DATAB>20260101<", "<DATAB>00000000<", "price-unreadable", 2),
        ("<DATAB>20260101<", "<DATAB>20261301<", "day-malformed", 2),
        ("<DATBI>20260630<", "<DATBI>20251231<", "price-unreadable", 2),
        ("<KONWA>EUR<", "<KONWA>JPY<", "amount-ambiguous", 2),
        ("</E1KONP>", '</E1KONP><E1KONP SEGMENT="1"><KSCHL>RA01</KSCHL></E1KONP>',
         "price-unreadable", 2),
        ("<E1KONM SEGMENT", "<E1KONW><KSTBW>1.00</KSTBW></E1KONW><E1KONM SEGMENT",
         "price-unreadable", 2),
    ],
)  # fmt: skip
def test_a_period_that_cannot_be_understood_is_a_case_and_the_others_are_taken(
    before: str, after: str, code: str, left: int
) -> None:
    assert before in COND_A
    patch, cases = said(COND_A.replace(before, after, 1))
    assert patch is not None
    assert len(patch.prices) == left
    assert {case.code for case in cases} == {code}
    assert all(case.where.startswith("prices 100042/SEAL/7-A, E1KON") for case in cases)


def test_where_no_period_can_be_understood_nothing_is_said() -> None:
    patch, cases = said(COND_A.replace("<DATAB>20", "<DATAB>xx"))
    assert patch is None
    assert [case.code for case in cases] == ["day-malformed"] * 3


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("<KSCHL>PB00</KSCHL>\n      <VAKEY>", "<KSCHL>FRA1</KSCHL>\n      <VAKEY>",
         "condition-not-a-price"),
        ("<KAPPL>M<", "<KAPPL>V<", "condition-not-a-price"),
        ("<LIFNR>0000100042<", "<LIFNR><", "field-missing"),
        ("<MATNR>SEAL/7-A<", "<MATNR><", "field-missing"),
        ("<ESOKZ>0<", "<ESOKZ>9<", "category-unmapped"),
        ("</E1KOMG>", '</E1KOMG><E1KOMG SEGMENT="1"><LIFNR>1</LIFNR></E1KOMG>', "segment-twice"),
    ],
)  # fmt: skip
def test_what_is_about_no_price_of_an_info_record_is_refused(
    before: str, after: str, code: str
) -> None:
    assert before in COND_A
    with pytest.raises(InvalidMessage) as caught:
        said(COND_A.replace(before, after, 1))
    assert caught.value.code == code
