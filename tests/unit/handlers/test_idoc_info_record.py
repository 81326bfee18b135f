"""Info records out of IDocs: an IDoc of ours, shaped like the public field lists of INFREC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from msgspec import UNSET

from canonical.codec import encode
from canonical.effects import Emit, Open, Put
from canonical.errors import Failure
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.purchasing import InfoRecordTerms, InfoRecordTermsPatch
from canonical.quantity import Quantity, Ratio
from handlers.flows.master_data import INFO_RECORD_CHANGED
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

INFREC = (CORPUS / "idoc" / "infrec.made.xml").read_text()
STATED = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)


def said(text: str = INFREC) -> tuple[dict[str, InfoRecordTermsPatch], list[Open]]:
    """The patches by their keys, and the cases of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    patches: dict[str, InfoRecordTermsPatch] = {}
    for event in effects:
        if isinstance(event, Emit):
            assert event.event == "info-record.changed"
            assert isinstance(event.data, InfoRecordTermsPatch)
            patches[event.key] = event.data
    return patches, [case for case in effects if isinstance(case, Open)]


def first(text: str = INFREC) -> InfoRecordTermsPatch:
    """The terms of the first organisation."""
    return next(iter(said(text)[0].values()))


def cartons(number: str) -> Quantity:
    return Quantity(Decimal(number), "XCT")


def price(amount: str, currency: str, per: str, unit: str) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), unit))


def test_each_organisation_has_terms_of_its_own() -> None:
    found, _ = said()
    assert list(found) == [
        "info-record/100042/1000//standard/SEAL/7-A",
        "info-record/100042/1000/1010/subcontracting/SEAL/7-A",
        "info-record/100042/3000//standard/SEAL/7-A",
    ]


def test_the_terms_say_what_the_file_says() -> None:
    assert first() == InfoRecordTermsPatch(
        supplier="100042",
        item="SEAL/7-A",
        organisation="1000",
        plant="",
        category="standard",
        version=1_772_442_300_417_002,
        number="5300000815",
        supplier_item="TP-7 A",
        is_regular_supplier=True,
        order_unit="XCT",
        base_unit="H87",
        order_to_base=Ratio(500),
        purchasing_group="C01",
        currency="EUR",
        price=price("25", "EUR", "1000", "H87"),
        order_to_price=Ratio(500),
        price_until=None,
        lead_time_days=14,
        minimum=cartons("2"),
        standard=cartons("10"),
        maximum=None,
        under_tolerance=Decimal("2.5"),
        over_tolerance=Decimal(5),
        is_confirmation_required=True,
        confirmation_control="0001",
        source_id="SEAL/7-A",
        stated_at=STATED,
    )


def test_what_is_not_selected_is_as_it_was() -> None:
    found = said()[0]["info-record/100042/1000/1010/subcontracting/SEAL/7-A"]
    assert (found.purchasing_group, found.minimum, found.standard) == (UNSET, UNSET, UNSET)
    assert (found.over_tolerance, found.is_over_unlimited) == (UNSET, True)
    assert (found.is_deleted, found.is_deleted_here) == (UNSET, True)
    assert (found.price, found.price_until) == (
        price("3.75", "EUR", "1", "XCT"),
        date(2026, 12, 31),
    )
    assert (found.lead_time_days, found.is_confirmation_required) == (21, False)


def test_an_amount_that_may_be_two_is_a_case_and_the_rest_is_taken() -> None:
    found, cases = said()
    terms = found["info-record/100042/3000//standard/SEAL/7-A"]
    assert (terms.price, terms.currency, terms.price_until) == (UNSET, "JPY", None)
    assert [case.code for case in cases] == ["amount-ambiguous"]
    assert "info record 100042/SEAL/7-A, E1EINEM, line" in cases[0].where


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda t: t.replace("<NETPR>25.00<", "<NETPR>0.00<"), None),
        (lambda t: t.replace("<NETPR>25.00<", "<NETPR>/<"), UNSET),
        (lambda t: t.replace("<PEINH>1000<", "<PEINH>0<"), UNSET),
        (lambda t: t.replace("<BPRME>PCE<", "<BPRME>KA<"), UNSET),
        (lambda t: t.replace("<WAERS>EUR<", "<WAERS><"), UNSET),
        (
            lambda t: t.replace("<NETPR>25.00<", "<NETPR>1.25-<"),
            price("-1.25", "EUR", "1000", "H87"),
        ),
    ],
)
def test_a_price_counts_whole_or_not_at_all(change: Callable[[str], str], found: object) -> None:
    assert first(change(INFREC)).price == found


def test_quantities_are_said_in_the_order_unit_or_not_at_all() -> None:
    found, cases = said(INFREC.replace("<MEINS>CT</MEINS>", ""))
    terms = next(iter(found.values()))
    assert (terms.order_unit, terms.minimum, terms.standard) == (UNSET, UNSET, UNSET)
    assert [case.code for case in cases].count("unit-missing") == 2


def test_trap_the_long_number_of_a_material_counts() -> None:
    long = INFREC.replace("</MATNR>", "</MATNR><MATNR_LONG>000000000000000815</MATNR_LONG>")
    assert (first(long).item, first(long).source_id) == ("815", "000000000000000815")


def test_records_of_one_supplier_and_material_are_taken_in_their_order() -> None:
    one = INFREC.replace("<ESOKZ>3<", "<ESOKZ>2<")
    keys = {HANDLER.read(Delivery("erp", "", t.encode())).envelope.key for t in (INFREC, one)}
    assert keys == {"info-records/100042/SEAL/7-A"}


def test_a_record_without_an_organisation_is_a_case() -> None:
    start, end = INFREC.index("<E1EINEM"), INFREC.rindex("</E1EINEM>") + len("</E1EINEM>")
    found, cases = said(INFREC[:start] + INFREC[end:])
    assert not found
    assert [case.code for case in cases] == ["info-record-without-organisation"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace("<MATNR>SEAL/7-A<", "<MATNR><"), "info-record-without-item"),
        (lambda t: t.replace(">0000100042<", "><"), "field-missing"),
        (lambda t: t.replace(">0000100042<", ">10/42<"), "id-with-slash"),
        (lambda t: t.replace("<ESOKZ>3<", "<ESOKZ>9<"), "category-unmapped"),
        (lambda t: t.replace("<ESOKZ>3<", "<ESOKZ><"), "category-unmapped"),
        (lambda t: t.replace("<EKORG>3000<", "<EKORG><"), "id-empty"),
        (lambda t: t.replace("<MEINS>CT<", "<MEINS>KA<"), "unit-unmapped"),
        (lambda t: t.replace("<UMREN>1<", "<UMREN>0<"), "item-unit-ratio"),
        (lambda t: t.replace("<APLFZ>14<", "<APLFZ>1.5<"), "number-malformed"),
        (lambda t: t.replace("<PRDAT>20261231<", "<PRDAT>20261331<"), "day-malformed"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(
    change: Callable[[str], str], code: str
) -> None:
    with pytest.raises(Failure) as refused:
        said(change(INFREC))
    assert refused.value.code == code
    assert refused.value.where


def test_patches_of_terms_come_to_what_the_erp_has() -> None:
    key = "info-record/100042/1000//standard/SEAL/7-A"
    initial = first()
    second = InfoRecordTermsPatch(
        "100042",
        "SEAL/7-A",
        "1000",
        "",
        "standard",
        initial.version + 1,
        lead_time_days=None,
        price=price("24", "EUR", "1000", "H87"),
    )
    known: InfoRecordTerms | None = None
    for patch in (initial, second):
        documents = {key: Known(1, known)} if known else {}
        attributes = {"type": "com.layshaft.info-record.changed.v1", "id": "1", "subject": key}
        delivery = Delivery("layshaft", "", encode(patch), attributes=attributes)
        message = INFO_RECORD_CHANGED.read(delivery)
        assert INFO_RECORD_CHANGED.needs(message, Facts(RULES)) == {key}
        (put,) = INFO_RECORD_CHANGED.decide(message, Facts(RULES, documents), NOW)
        assert isinstance(put, Put)
        assert (put.key, put.version) == (key, patch.version)
        assert isinstance(put.document, InfoRecordTerms)
        known = put.document
    assert known is not None
    assert (known.lead_time_days, known.price) == (None, price("24", "EUR", "1000", "H87"))
    assert (known.minimum, known.maximum, known.supplier_item) == (cartons("2"), None, "TP-7 A")
