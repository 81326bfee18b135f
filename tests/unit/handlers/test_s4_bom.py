"""BOMs of S/4HANA: what the states that were read after an event become on the day of the read."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import BomLine, BomNote, PlantBomState
from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.quantity import Quantity
from handlers.systems.s4.inbound import HANDLER_BOM, HANDLER_EVENT
from tests.corpus import CORPUS, golden
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

SAMPLES = CORPUS / "s4"
KEY = "material-bom/1010/7/1/GEAR/2"

# The day of the read is 2026-03-02.
EARLY = "/Date(1467331200000)/"  # 2016-07-01
BEFORE = "/Date(1767225600000)/"  # 2026-01-01
YESTERDAY = "/Date(1772323200000)/"  # 2026-03-01
TODAY = "/Date(1772409600000)/"  # 2026-03-02
TOMORROW = "/Date(1772496000000)/"  # 2026-03-03
OPEN = "/Date(253402214400000)/"  # 9999-12-31

PIN: dict[str, Any] = {
    "BillOfMaterialItemNodeNumber": "00000001",
    "InheritedNodeNumberForBOMItem": "00000000",
    "ValidityStartDate": EARLY,
    "ValidityEndDate": OPEN,
    "EngineeringChangeDocument": "",
    "BillOfMaterialComponent": "000000000000004711",
    "BillOfMaterialItemCategory": "L",
    "BillOfMaterialItemNumber": "0010",
    "BillOfMaterialItemUnit": "PC",
    "BillOfMaterialItemQuantity": "20.000",
    "FixedQuantity": False,
    "BOMItemDescription": "Press in",
    "BOMItemText2": "dry",
    "AlternativeItemGroup": "",
    "IsDeleted": False,
}
OIL: dict[str, Any] = {
    "BillOfMaterialItemNodeNumber": "00000002",
    "ValidityStartDate": BEFORE,
    "ValidityEndDate": OPEN,
    "EngineeringChangeDocument": "500000000042",
    "BillOfMaterialComponent": "OIL-1",
    "BillOfMaterialItemCategory": "L",
    "BillOfMaterialItemNumber": "0020",
    "BillOfMaterialItemUnit": "L",
    "BillOfMaterialItemQuantity": "0.250",
    "FixedQuantity": True,
}
WORDS: dict[str, Any] = {
    "BillOfMaterialItemNodeNumber": "00000003",
    "BillOfMaterialComponent": "",
    "BillOfMaterialItemCategory": "T",
    "BillOfMaterialItemNumber": "0030",
    "BOMItemDescription": "Grease before use",
}
BOM: dict[str, Any] = {
    "BillOfMaterial": "00000007",
    "BillOfMaterialCategory": "M",
    "BillOfMaterialVariant": "01",
    "BillOfMaterialVersion": "",
    "EngineeringChangeDocument": "",
    "Material": "GEAR/2",
    "Plant": "1010",
    "BillOfMaterialVariantUsage": "1",
    "BOMHeaderText": "Gear",
    "BOMAlternativeText": "With oil",
    "BillOfMaterialStatus": "1",
    "HeaderValidityStartDate": EARLY,
    "HeaderValidityEndDate": OPEN,
    "IsMarkedForDeletion": False,
    "BOMHeaderBaseUnit": "PC",
    "BOMHeaderQuantityInBaseUnit": "10.000",
    "to_BillOfMaterialItem": {"results": [PIN, OIL, WORDS]},
}


def of_the_sandbox() -> dict[str, Any]:
    """The sandbox's BOM with its lines; days as the service writes them, and what the client that
    read it left out of a line: its unit, its number, its category."""

    def day(text: str) -> str:
        return f"/Date({int(datetime.fromisoformat(text).timestamp()) * 1000})/"

    head: dict[str, Any]
    [head] = json.loads((SAMPLES / "bom.json").read_text())
    items = json.loads((SAMPLES / "bom-items.json").read_text())
    for place, item in enumerate(items, start=1):
        item |= {
            "ValidityStartDate": day(item["ValidityStartDate"]),
            "ValidityEndDate": day(item["ValidityEndDate"]),
            "BillOfMaterialItemNumber": f"{place * 10:04}",
            "BillOfMaterialItemUnit": "PC",
            "BillOfMaterialItemCategory": "L",
        }
    return head | {
        "HeaderValidityStartDate": day(head["HeaderValidityStartDate"]),
        "HeaderValidityEndDate": day(head["HeaderValidityEndDate"]),
        "to_BillOfMaterialItem": {"results": items},
    }


def with_items(*items: dict[str, Any]) -> Edit:
    return with_fields(to_BillOfMaterialItem={"results": list(items)})


def first_with(**fields: object) -> Edit:
    return with_items({**PIN, **fields}, OIL, WORDS)


def effects_of(*states: dict[str, Any], subject: str = KEY) -> tuple[Effect, ...]:
    message = HANDLER_BOM.read(answer(subject, {"d": {"results": states}}))
    assert HANDLER_BOM.needs(message, Facts(RULES)) == frozenset()
    return HANDLER_BOM.decide(message, facts(), NOW)


def said(*states: dict[str, Any]) -> tuple[PlantBomState, list[Open]]:
    event, *cases = effects_of(*states)
    assert isinstance(event, Emit)
    assert (event.event, event.key) == ("bom.changed", "plant-bom/1010/1/1/GEAR/2")
    assert isinstance(event.data, PlantBomState)
    return event.data, [case for case in cases if isinstance(case, Open)]


def bom_of(*states: dict[str, Any]) -> PlantBomState:
    """Where there is nothing for a person to look at."""
    found, cases = said(*states)
    assert cases == []
    return found


def refusal(*states: dict[str, Any]) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        effects_of(*states)
    assert caught.value.remedy
    return caught.value


def event(data: dict[str, object]) -> Delivery:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/100200300",
        "type": "sap.s4.beh.billofmaterial.v1.BillOfMaterial.Changed.v1",
    }
    return Delivery("erp-events", "", json.dumps(data).encode(), attributes=attributes)


TOLD: dict[str, object] = {
    "BillOfMaterial": "00000007",
    "BillOfMaterialCategory": "M",
    "BillOfMaterialHeaderUUID": "00163e19-8846-1ed6-8ebf-6035b1bec3e4",
    "BillOfMaterialVariant": "1",
    "BillOfMaterialVersion": "",
    "EngineeringChangeDocument": "500000000042",
    "Material": "GEAR/2",
    "Plant": "1010",
}


def test_an_event_of_one_state_asks_for_a_read_of_all_of_them() -> None:
    message = HANDLER_EVENT.read(event(TOLD))
    assert message.envelope.key == KEY
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (
        Fetch("bom", "1010/00000007/1/GEAR/2"),
    )


def test_a_bom_of_no_plant_is_read_too() -> None:
    message = HANDLER_EVENT.read(event(TOLD | {"Plant": ""}))
    assert message.envelope.key == "material-bom//7/1/GEAR/2"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (Fetch("bom", "/00000007/1/GEAR/2"),)
    (found,) = effects_of(edited(BOM, with_fields(Plant="")), subject="material-bom//7/1/GEAR/2")
    assert isinstance(found, Emit)
    assert found.key == "plant-bom//1/1/GEAR/2"


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"BillOfMaterialCategory": "D"}, "s4-event-unknown"),
        ({"BillOfMaterial": ""}, "id-empty"),
        ({"Material": None}, "contract-violated"),
    ],
)
def test_an_event_of_another_boms_or_without_a_key_is_refused(
    told: dict[str, object], code: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_EVENT.read(event(TOLD | told))
    assert caught.value.code == code
    assert caught.value.remedy


def test_the_bom_of_the_sandbox_comes_to_its_golden() -> None:
    content = {"d": {"results": [of_the_sandbox()]}}
    assert json.loads((SAMPLES / "bom.answer.json").read_text()) == content
    found = effects_of(of_the_sandbox(), subject="material-bom/1010/1/1/SG23")
    assert golden(found) == (SAMPLES / "bom.answer.golden.json").read_text()


def test_a_bom_says_what_its_header_and_its_lines_say() -> None:
    assert bom_of(BOM) == PlantBomState(
        plant="1010",
        parent="GEAR/2",
        usage="1",
        alternative="1",
        version=READ_US,
        base=Quantity(Decimal(10), "H87"),
        lines=(
            BomLine("10", "4711", Quantity(Decimal(20), "H87"), note="Press in dry"),
            BomLine("20", "OIL-1", Quantity(Decimal("0.25"), "LTR"), fixed=True),
        ),
        notes=(BomNote("30", "text", "Grease before use"),),
        change="500000000042",
        valid_from=date(2026, 1, 1),
        status="1",
        text="With oil",
        source_id="GEAR/2",
        stated_at=READ,
    )


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (with_fields(BOMAlternativeText=""), "text", "Gear"),
        (with_fields(IsMarkedForDeletion=True), "is_deleted", True),
        (with_fields(IsMarkedForDeletion=None), "is_deleted", False),
        (with_items(), "lines", ()),
        (with_items(PIN), "change", ""),
        (with_items(PIN), "valid_from", date(2016, 7, 1)),
        (with_fields(EngineeringChangeDocument="500000000001"), "change", "500000000042"),
        (first_with(IsDeleted=True), "lines",
         (BomLine("20", "OIL-1", Quantity(Decimal("0.25"), "LTR"), fixed=True),)),
    ],
)  # fmt: skip
def test_a_bom_says(edit: Edit, field: str, value: object) -> None:
    assert getattr(bom_of(edited(BOM, edit)), field) == value


def test_trap_lines_are_in_the_order_of_their_numbers_whatever_order_they_come_in() -> None:
    numbers = ("0100", "0020", "5", "0010")
    items = [
        {**PIN, "BillOfMaterialItemNodeNumber": f"{node}", "BillOfMaterialItemNumber": number}
        for node, number in enumerate(numbers, start=1)
    ]
    found = bom_of(edited(BOM, with_items(*items)))
    assert [line.position for line in found.lines] == ["5", "10", "20", "100"]


@pytest.mark.parametrize(
    ("item", "note"),
    [
        ({"BillOfMaterialItemCategory": "D", "DocumentType": "DRW", "DocNumber": "10000123",
          "DocumentPart": "000", "DocumentVersion": "01"},
         BomNote("30", "document", "DRW 10000123 000 01 Grease before use")),
        ({"BillOfMaterialItemCategory": "N"}, BomNote("30", "non-stock", "Grease before use")),
    ],
)  # fmt: skip
def test_a_line_without_a_component_is_a_note(item: dict[str, Any], note: BomNote) -> None:
    assert bom_of(edited(BOM, with_items(PIN, {**WORDS, **item}))).notes == (note,)


def test_components_that_stand_for_each_other_and_classes_are_cases() -> None:
    either = {"AlternativeItemGroup": "A1"}
    chosen = {**WORDS, "BillOfMaterialItemCategory": "K", "ClassNumber": "SEALS"}
    found, cases = said(edited(BOM, with_items(PIN | either, OIL | either, chosen)))
    assert len(found.lines) == 2
    assert found.notes == (BomNote("30", "class", "SEALS Grease before use"),)
    assert [(case.code, case.where) for case in cases] == [
        ("bom-alternatives", "BOM of GEAR/2 in plant 1010, line 0010: AlternativeItemGroup"),
        ("bom-class", "BOM of GEAR/2 in plant 1010, line 0030: BillOfMaterialItemCategory"),
    ]


# --- which state holds ---


def quantities(*states: dict[str, Any]) -> list[str]:
    return [str(line.quantity.value) for line in bom_of(*states).lines]


def of_days(item: dict[str, Any], first: str | None, last: str | None, **fields: Any) -> Any:
    return {**item, "ValidityStartDate": first, "ValidityEndDate": last, **fields}


def test_lines_of_other_days_are_not_in_it() -> None:
    for first, last, is_in in (
        (EARLY, YESTERDAY, False),
        (TOMORROW, OPEN, False),
        (EARLY, TODAY, True),
        (TODAY, OPEN, True),
        (None, None, True),
        ("", TOMORROW, True),
    ):
        assert quantities(edited(BOM, with_items(of_days(PIN, first, last)))) == (
            ["20"] if is_in else []
        )


def test_trap_of_two_states_of_a_line_the_later_one_holds_even_on_the_day_it_begins() -> None:
    # A change gives the line a node of its own, and the last day of the state before may be told
    # as the first one of the state after it.
    old = of_days(PIN, EARLY, TODAY)
    new = of_days(
        PIN, TODAY, OPEN,
        BillOfMaterialItemNodeNumber="00000009",
        InheritedNodeNumberForBOMItem="00000001",
        BillOfMaterialItemQuantity="30.000",
    )  # fmt: skip
    for items in ((old, new), (new, old)):
        assert quantities(edited(BOM, with_items(*items))) == ["30"]


def test_two_states_of_a_line_that_begin_on_one_day_are_refused() -> None:
    twice = edited(BOM, with_items(PIN, {**PIN, "BillOfMaterialItemQuantity": "30.000"}))
    failure = refusal(twice)
    assert (failure.code, failure.where) == ("bom-with-history", "line 0010: ValidityStartDate")


def test_the_header_of_today_is_the_one_that_began_last() -> None:
    late = edited(BOM, with_fields(
        EngineeringChangeDocument="500000000043",
        HeaderValidityStartDate=YESTERDAY,
        BOMHeaderQuantityInBaseUnit="1.000",
    ))  # fmt: skip
    never = edited(BOM, with_fields(HeaderValidityStartDate=TOMORROW))
    for states in ((BOM, late, never), (never, late, BOM)):
        found = bom_of(*states)
        assert found.base == Quantity(Decimal(1), "H87")
        assert (found.change, found.valid_from) == ("500000000043", date(2026, 3, 1))


def test_trap_a_line_that_stands_under_an_older_header_only_is_not_lost() -> None:
    late = edited(BOM, with_fields(HeaderValidityStartDate=BEFORE))
    failure = refusal(edited(BOM, with_items(PIN, OIL)), edited(late, with_items(PIN)))
    assert (failure.code, failure.where) == ("bom-with-history", "line 0020: HeaderChangeDocument")
    ended = edited(BOM, with_items(PIN, of_days(OIL, EARLY, YESTERDAY)))
    assert quantities(ended, edited(late, with_items(PIN))) == ["20"]


def test_two_headers_that_begin_on_one_day_are_refused() -> None:
    failure = refusal(BOM, BOM)
    assert (failure.code, failure.where) == ("bom-with-history", "HeaderValidityStartDate")


@pytest.mark.parametrize(
    "edit",
    [
        with_fields(HeaderValidityStartDate=TOMORROW),
        with_fields(HeaderValidityEndDate=YESTERDAY),
    ],
)
def test_a_bom_that_is_not_valid_today_is_a_case(edit: Edit) -> None:
    assert effects_of(edited(BOM, edit)) == (
        Open(
            code="bom-not-valid",
            word="business_rule",
            what="On 2026-03-02 the BOM of GEAR/2 is not valid; what is on record of it stays",
            where="BOM of GEAR/2 in plant 1010",
            remedy="Have it read again once it is valid: change it in the ERP on that day",
            owner="master data",
        ),
    )


def test_a_bom_that_is_gone_is_a_case_for_no_answer_tells_what_it_was_for() -> None:
    assert effects_of() == (
        Open(
            code="gone-at-erp",
            word="business_rule",
            what="The ERP has no BOM 1010/7/1/GEAR/2 any more; what is on record of it stays as it"
            " was",
            where=KEY,
            remedy="Find out why it was deleted or archived, and what hangs on it",
            owner="master data",
        ),
    )


# --- what cannot be understood ---


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(Material="GEAR/3"), "answer-about-another", "ce-subject"),
        (with_fields(BillOfMaterialVariant="2"), "answer-about-another", "ce-subject"),
        (with_fields(BillOfMaterialVersion="0001"), "bom-with-versions", "BillOfMaterialVersion"),
        (with_fields(BillOfMaterialVariantUsage=""), "id-empty", "BillOfMaterialVariantUsage"),
        (with_fields(BOMHeaderQuantityInBaseUnit="0.000"), "base-quantity",
         "BOMHeaderQuantityInBaseUnit"),
        (with_fields(BOMHeaderQuantityInBaseUnit=None), "bom-incomplete",
         "BOMHeaderQuantityInBaseUnit"),
        (with_fields(BOMHeaderBaseUnit="QQ"), "unit-unmapped", "BOMHeaderBaseUnit"),
        (with_fields(HeaderValidityStartDate="2016"), "time-malformed", "HeaderValidityStartDate"),
        (first_with(BillOfMaterialItemQuantity="1,5"), "number-malformed",
         "line 0010: BillOfMaterialItemQuantity"),
        (first_with(BillOfMaterialItemQuantity=""), "bom-incomplete",
         "line 0010: BillOfMaterialItemQuantity"),
        (first_with(BillOfMaterialItemUnit=""), "unit-unmapped",
         "line 0010: BillOfMaterialItemUnit"),
        (first_with(BillOfMaterialComponent=""), "bom-incomplete",
         "line 0010: BillOfMaterialComponent"),
        (first_with(BillOfMaterialItemNodeNumber=""), "id-empty", "BillOfMaterialItemNodeNumber"),
    ],
)  # fmt: skip
def test_a_bom_of_which_something_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    failure = refusal(edited(BOM, edit))
    assert (failure.code, failure.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        {"d": BOM},
        {"d": {"results": [edited(BOM, without("to_BillOfMaterialItem"))]}},
        {"d": {"results": [{**BOM, "to_BillOfMaterialItem": {"__deferred": {"uri": "x"}}}]}},
        {"d": None},
        {},
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_BOM.read(answer(KEY, content))


def test_fields_that_a_customer_added_to_header_and_line_are_told() -> None:
    state = {**BOM, "YY1_Colour": "red", "to_BillOfMaterialItem": {"results": [PIN | {"YY1_A": 1}]}}
    message = HANDLER_BOM.read(answer(KEY, {"d": {"results": [state]}}))
    assert message.ignored == (
        "d.results[].YY1_Colour",
        "d.results[].to_BillOfMaterialItem.results[].YY1_A",
    )


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_BOM.version is not None
    for states in ([BOM], []):
        message = HANDLER_BOM.read(answer(KEY, {"d": {"results": states}}))
        assert HANDLER_BOM.version(message) == READ_US


# --- whatever comes ---


@given(data=st.data())
def test_a_mutated_answer_is_understood_or_refused_in_our_words(data: st.DataObject) -> None:
    content = mutated(data, {"d": {"results": [BOM]}})
    assert_in_our_words(HANDLER_BOM, answer(KEY, content))
