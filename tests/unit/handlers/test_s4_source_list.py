"""Source lists of S/4HANA: what the rows that were read after an event become."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.source_list import Source, SourceList
from handlers.systems.s4.inbound import HANDLER_EVENT, HANDLER_SOURCE_LIST
from tests.fixtures.answers_of_s4 import (
    READ,
    READ_US,
    Edit,
    answer,
    assert_in_our_words,
    edited,
    mutated,
    with_fields,
    without,
)
from tests.fixtures.gearbox import NOW, RULES, facts

KEY = "source-list/1010/SEAL/7-A"

ON_CONTRACT: dict[str, Any] = {
    "Material": "SEAL/7-A",
    "Plant": "1010",
    "SourceListRecord": "1",
    "ValidityStartDate": "/Date(1467331200000)/",  # 2016-07-01
    "ValidityEndDate": "/Date(1592697600000)/",  # 2020-06-21
    "Supplier": "0000100042",
    "SupplierIsFixed": False,
    "PurchaseOutlineAgreement": "4600000007",
    "PurchaseOutlineAgreementItem": "00010",
    "PurOutlineAgreementIsFixed": True,
    "SupplyingPlant": "",
    "SourceOfSupplyIsBlocked": False,
    "SourceOfSupplyIsFixed": True,
    "PurchasingOrganization": "1010",
    "OrderQuantityUnit": "PC",
}
FREE: dict[str, Any] = {
    "Material": "SEAL/7-A",
    "Plant": "1010",
    "SourceListRecord": "2",
    "ValidityStartDate": "/Date(1592784000000)/",  # 2020-06-22
    "ValidityEndDate": "/Date(253402214400000)/",  # 9999-12-31
    "Supplier": "100084",
    "PurchaseOutlineAgreement": "",
    "PurchaseOutlineAgreementItem": "00000",
    "SourceOfSupplyIsBlocked": False,
    "PurchasingOrganization": "1010",
    "OrderQuantityUnit": "",
}


def effects_of(*rows: dict[str, Any]) -> tuple[Effect, ...]:
    message = HANDLER_SOURCE_LIST.read(answer(KEY, {"d": {"results": rows}}))
    assert HANDLER_SOURCE_LIST.needs(message, Facts(RULES)) == frozenset()
    return HANDLER_SOURCE_LIST.decide(message, facts(), NOW)


def said(*rows: dict[str, Any]) -> tuple[SourceList, list[Open]]:
    event, *cases = effects_of(*rows)
    assert isinstance(event, Emit)
    assert (event.event, event.key) == ("source-list.changed", KEY)
    assert isinstance(event.data, SourceList)
    return event.data, [case for case in cases if isinstance(case, Open)]


def only(edit: Edit) -> Source:
    """The one row of a list, where nothing is left out."""
    found, cases = said(edited(ON_CONTRACT, edit))
    assert cases == []
    [source] = found.sources
    return source


def event(data: bytes) -> Delivery:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/100200300",
        "type": "sap.s4.beh.purchasingsource.v1.PurchasingSource.Changed.v1",
    }
    return Delivery("erp-events", "", data, attributes=attributes)


def test_an_event_of_a_row_asks_for_a_read_of_the_whole_list() -> None:
    data = b'{"Material": "0000004711", "Plant": "0010", "SourceListRecord": "00002"}'
    message = HANDLER_EVENT.read(event(data))
    # A plant is no number: its zeros count.
    assert message.envelope.key == "source-list/0010/4711"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (
        Fetch("source-list", "0010/0000004711"),
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"Material": "4711"}', "contract-violated"),
        (b'{"Plant": "1010", "Material": " "}', "id-empty"),
        (b'{"Plant": "10/10", "Material": "4711"}', "id-with-slash"),
        (b'{"Plant": 1010, "Material": "4711"}', "contract-violated"),
    ],
)
def test_an_event_without_its_whole_key_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_EVENT.read(event(data))
    assert caught.value.code == code


def test_a_list_is_stated_whole_in_the_order_of_its_records() -> None:
    found, cases = said(FREE, ON_CONTRACT)
    assert cases == []
    assert found == SourceList(
        item="SEAL/7-A",
        plant="1010",
        version=READ_US,
        sources=(
            Source(
                first_day=date(2016, 7, 1),
                last_day=date(2020, 6, 21),
                supplier="100042",
                organisation="1010",
                contract="4600000007",
                contract_line="10",
                order_unit="H87",
                is_fixed=True,
            ),
            Source(first_day=date(2020, 6, 22), supplier="100084", organisation="1010"),
        ),
        source_id="SEAL/7-A",
        stated_at=READ,
    )


def test_the_last_day_of_a_row_is_in_it() -> None:
    found, _ = said(ON_CONTRACT, FREE)
    for on, supplier in (
        (date(2020, 6, 21), "100042"),
        (date(2020, 6, 22), "100084"),
        (date(9999, 12, 31), "100084"),
    ):
        assert [source.supplier for source in found.allowed(on)] == [supplier]
    assert found.allowed(date(2016, 6, 30)) == ()


def test_trap_records_are_numbers_whether_padded_or_not() -> None:
    rows = [edited(FREE, with_fields(SourceListRecord=n)) for n in ("10", "00002", "1")]
    days = ("/Date(1592784000000)/", "/Date(1592870400000)/", "/Date(1592956800000)/")
    for row, on in zip(rows, days, strict=True):
        row["ValidityStartDate"] = on
    found, _ = said(*rows)
    assert [source.first_day.day for source in found.sources] == [24, 23, 22]


def test_a_list_without_rows_is_a_list_and_no_object_that_is_gone() -> None:
    assert said() == (
        SourceList("SEAL/7-A", "1010", READ_US, source_id="SEAL/7-A", stated_at=READ),
        [],
    )


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (without("SourceOfSupplyIsFixed"), "is_fixed", True),
        (with_fields(SourceOfSupplyIsFixed=False, PurOutlineAgreementIsFixed=False,
                     SupplierIsFixed=True), "is_fixed", True),
        (with_fields(SourceOfSupplyIsFixed=None, PurOutlineAgreementIsFixed=None,
                     SupplierIsFixed=None), "is_fixed", False),
        (with_fields(SourceOfSupplyIsBlocked=True), "is_blocked", True),
        (without("SourceOfSupplyIsBlocked"), "is_blocked", False),
        (with_fields(ValidityEndDate=None), "last_day", None),
        (with_fields(PurchaseOutlineAgreement=""), "contract_line", ""),
        (with_fields(OrderQuantityUnit=None), "order_unit", ""),
        # A plant may be known as a supplier.
        (with_fields(SupplyingPlant="1020"), "supplier", "100042"),
    ],
)  # fmt: skip
def test_a_row_says(edit: Edit, field: str, value: object) -> None:
    assert getattr(only(edit), field) == value


def test_a_block_of_no_supplier_is_one_of_all_of_them() -> None:
    blocked = edited(FREE, with_fields(Supplier="", SourceOfSupplyIsBlocked=True))
    found, cases = said(ON_CONTRACT, blocked)
    assert cases == []
    assert (found.sources[1].supplier, found.sources[1].is_blocked) == ("", True)
    assert found.allowed(date(2021, 1, 1)) == ()


def test_trap_a_blocked_plant_does_not_block_every_supplier() -> None:
    plant = edited(
        FREE, with_fields(Supplier="", SupplyingPlant="1020", SourceOfSupplyIsBlocked=True)
    )
    found, [case] = said(FREE, edited(plant, with_fields(SourceListRecord="3")))
    assert [source.supplier for source in found.allowed(date(2021, 1, 1))] == ["100084"]
    assert (case.code, case.where) == (
        "source-is-a-plant",
        "source list of SEAL/7-A in 1010, record 3: SupplyingPlant",
    )
    assert "1020" in case.what
    assert case.remedy


def test_a_row_without_anybody_to_buy_from_is_a_case_and_the_rest_is_taken() -> None:
    found, [case] = said(ON_CONTRACT, edited(FREE, without("Supplier")))
    assert [source.supplier for source in found.sources] == ["100042"]
    assert (case.code, case.where, case.owner) == (
        "source-without-supplier",
        "source list of SEAL/7-A in 1010, record 2: Supplier",
        "master data",
    )


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(Plant="1020"), "answer-about-another", "ce-subject"),
        (with_fields(Material="SEAL/8"), "answer-about-another", "ce-subject"),
        (with_fields(Material=None), "id-empty", "Material"),
        (with_fields(ValidityStartDate=""), "field-missing", "record 1: ValidityStartDate"),
        (with_fields(ValidityEndDate="2020-06-21"), "time-malformed",
         "record 1: ValidityEndDate"),
        (with_fields(OrderQuantityUnit="QQ"), "unit-unmapped", "record 1: OrderQuantityUnit"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        effects_of(edited(ON_CONTRACT, edit))
    assert caught.value.remedy
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    "content", [{"d": ON_CONTRACT}, {"d": [ON_CONTRACT]}, {"d": None}, {"d": {}}, {}, []]
)
def test_an_answer_that_is_no_list_is_none(content: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_SOURCE_LIST.read(answer(KEY, content))


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_SOURCE_LIST.version is not None
    for rows in ([ON_CONTRACT], []):
        message = HANDLER_SOURCE_LIST.read(answer(KEY, {"d": {"results": rows}}))
        assert HANDLER_SOURCE_LIST.version(message) == READ_US


# --- whatever comes ---


@given(data=st.data())
def test_a_mutated_answer_is_understood_or_refused_in_our_words(data: st.DataObject) -> None:
    content = mutated(data, {"d": {"results": [ON_CONTRACT, FREE]}})
    assert_in_our_words(HANDLER_SOURCE_LIST, answer(KEY, content))
