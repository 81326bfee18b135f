"""Change numbers of S/4HANA: what one that was read after an event becomes."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import ChangeMasterState, ListedObject
from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.s4.inbound import HANDLER_CHANGE_MASTER, HANDLER_EVENT
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

NUMBER = "500000000042"
KEY = f"change-master/{NUMBER}"

MATERIALS = "to_ChangeMstrObMgReMaterial"
BOMS = "to_ChangeMstrObMgReMatlBOM"
KINDS = "to_ObjTypeAssignment"
CHANGE: dict[str, Any] = {
    "ChangeNumber": NUMBER,
    "ChangeNumberStatus": "01",
    "ReasonForChangeText": "It leaks",
    "ChangeNumberDescription": "Seal the shaft",
    "ChangeNumberValidFromDate": "/Date(1772409600000)/",  # 2026-03-02
    "ChangeNumberCreationDate": "/Date(1471305600000)/",  # 2016-08-16
    "ChangeNumberLastChangedDate": "/Date(1570665600000)/",  # 2019-10-10
    "ChangeNumberLastChgdDateTime": "/Date(1570712345678+0000)/",
    "IsUsedForDataDefinition": True,
    "ChangeNumberIsMrkdForDeletion": False,
    KINDS: {
        "results": [
            {"SAPObjectType": "MaterialBOM", "IsActiveForChangeNumber": True,
             "IsLockedForChanges": "X"},
            {"SAPObjectType": "DocumentInfoRecord", "IsActiveForChangeNumber": True,
             "IsLockedForChanges": ""},
            {"SAPObjectType": "Material", "IsActiveForChangeNumber": True,
             "IsLockedForChanges": ""},
        ]
    },
    MATERIALS: {
        "results": [
            {"Material": "SEAL/7-A", "ObjMgmtRecdObjIsLockedForChg": ""},
            {"Material": "000000000000004711", "ObjMgmtRecdObjIsLockedForChg": "X"},
        ]
    },
    BOMS: {
        "results": [
            {"Material": "PUMP", "Plant": "1020", "BillOfMaterialVariantUsage": "1",
             "ObjMgmtRecdObjIsLockedForChg": ""},
            {"Material": "PUMP", "Plant": "", "BillOfMaterialVariantUsage": "2",
             "ObjMgmtRecdObjIsLockedForChg": "X"},
        ]
    },
}  # fmt: skip


def first_of(navigation: str, **fields: object) -> Edit:
    """The first row below the change is another one."""
    return lambda entity: entity[navigation]["results"][0].update(fields)


def kinds(*rows: tuple[str, object, object]) -> Edit:
    """(type, whether it is active, whether it is locked) of what the number may be open to."""
    names = ("SAPObjectType", "IsActiveForChangeNumber", "IsLockedForChanges")
    results = [dict(zip(names, row, strict=True)) for row in rows]
    return with_fields(**{KINDS: {"results": results}})


def effects_of(entity: dict[str, Any] | None, *known: ChangeMasterState) -> tuple[Effect, ...]:
    content: dict[str, Any] = {"gone": True, "id": NUMBER} if entity is None else {"d": entity}
    message = HANDLER_CHANGE_MASTER.read(answer(KEY, content))
    assert HANDLER_CHANGE_MASTER.needs(message, Facts(RULES)) == frozenset({KEY})
    return HANDLER_CHANGE_MASTER.decide(message, facts(*known), NOW)


def said_with_cases(edit: Edit) -> tuple[ChangeMasterState, list[Open]]:
    event, *cases = effects_of(edited(CHANGE, edit))
    assert isinstance(event, Emit)
    assert (event.event, event.key) == ("change-master.changed", KEY)
    assert isinstance(event.data, ChangeMasterState)
    return event.data, [case for case in cases if isinstance(case, Open)]


def said(edit: Edit = lambda entity: None) -> ChangeMasterState:
    """What is said of a change of which nothing has to be asked."""
    found, cases = said_with_cases(edit)
    assert cases == []
    return found


@pytest.mark.parametrize("verb", ["Created", "Changed"])
def test_an_event_asks_for_a_read_of_its_change(verb: str) -> None:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/100200300",
        "type": f"sap.s4.beh.changemaster.v1.ChangeMaster.{verb}.v1",
    }
    delivery = Delivery(
        "erp-events", "", b'{"ChangeNumber": "500000000042"}', attributes=attributes
    )
    message = HANDLER_EVENT.read(delivery)
    assert message.envelope.key == "change-master/500000000042"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (Fetch("change-master", NUMBER),)


def test_a_change_says_what_its_header_and_its_records_say() -> None:
    assert said() == ChangeMasterState(
        number=NUMBER,
        version=1_570_712_345_678_000,
        description="Seal the shaft",
        reason="It leaks",
        valid_from=date(2026, 3, 2),
        status="active",
        open_to=("item",),
        locked=("bom",),
        objects=(
            ListedObject("item", "4711", is_locked=True),
            ListedObject("item", "SEAL/7-A"),
            ListedObject("bom", "PUMP", "", "2", is_locked=True),
            ListedObject("bom", "PUMP", "1020", "1"),
        ),
        is_used=True,
        is_deleted=False,
        stated_as="01",
        source_id=NUMBER,
        stated_at=READ,
    )


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (with_fields(ReasonForChangeText=""), "reason", ""),
        (without("ReasonForChangeText"), "reason", ""),
        (with_fields(ChangeNumberDescription=" Seal it "), "description", "Seal it"),
        (with_fields(ChangeNumberValidFromDate=None), "valid_from", None),
        (with_fields(ChangeNumberValidFromDate="/Date(253402214400000)/"), "valid_from", None),
        (with_fields(ChangeNumberStatus="02"), "status", "inactive"),
        # Some gateways write such a number without its zeros.
        (with_fields(ChangeNumberStatus="1"), "status", "active"),
        (with_fields(ChangeNumberStatus=""), "status", None),
        (without("ChangeNumberStatus"), "status", None),
        (with_fields(IsUsedForDataDefinition=None), "is_used", False),
        (without("IsUsedForDataDefinition"), "is_used", False),
        (with_fields(ChangeNumberIsMrkdForDeletion=True), "is_deleted", True),
        (without("ChangeNumberIsMrkdForDeletion"), "is_deleted", False),
        (with_fields(ChangeNumberLastChgdDateTime=None), "version", 1_570_665_600_000_000),
        (with_fields(ChangeNumberLastChgdDateTime="", ChangeNumberLastChangedDate=None),
         "version", 1_471_305_600_000_000),
        (with_fields(ChangeNumberLastChgdDateTime=None, ChangeNumberLastChangedDate=None,
                     ChangeNumberCreationDate=None), "version", READ_US),
        (with_fields(**{MATERIALS: {"results": []}, BOMS: {"results": []}}), "objects", ()),
    ],
)  # fmt: skip
def test_a_change_says(edit: Edit, field: str, value: object) -> None:
    assert getattr(said(edit), field) == value


@pytest.mark.parametrize(
    ("edit", "open_to", "locked"),
    [
        (kinds(), (), ()),
        (kinds(("Material", True, ""), ("MaterialBOM", True, "")), ("item", "bom"), ()),
        (kinds(("MaterialBOM", True, None), ("Material", True, None)), ("item", "bom"), ()),
        (kinds(("Material", True, "X"), ("MaterialBOM", True, "X")), (), ("item", "bom")),
        # What is not open is not locked either: nobody waits for it.
        (kinds(("Material", False, "X"), ("MaterialBOM", None, "")), (), ()),
        (kinds(("Routing", True, ""), ("DocumentInfoRecord", True, "?")), (), ()),
    ],
)
def test_a_change_is_open_to_kinds_of_objects(
    edit: Edit, open_to: tuple[str, ...], locked: tuple[str, ...]
) -> None:
    found = said(edit)
    assert (found.open_to, found.locked) == (open_to, locked)


def test_a_status_of_the_customers_own_is_a_case_and_the_rest_is_taken() -> None:
    found, [case] = said_with_cases(with_fields(ChangeNumberStatus="17"))
    assert (found.status, found.stated_as, len(found.objects)) == (None, "17", 4)
    assert (case.code, case.where, case.owner) == (
        "change-status-unmapped",
        "change 500000000042, ChangeNumberStatus",
        "master data",
    )
    assert "17" in case.what
    assert case.remedy


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(ChangeNumber="500000000043"), "answer-about-another", "ce-subject"),
        (with_fields(ChangeNumber=None), "id-empty", "ChangeNumber"),
        (with_fields(ChangeNumberDescription="Seal\x00"), "character-forbidden",
         "ChangeNumberDescription"),
        (with_fields(ReasonForChangeText="\u202eleaks"), "character-forbidden",
         "ReasonForChangeText"),
        (with_fields(ChangeNumberStatus="0\u200b1"), "character-forbidden", "ChangeNumberStatus"),
        (with_fields(ChangeNumberValidFromDate="2026-03-02"), "time-malformed",
         "ChangeNumberValidFromDate"),
        (with_fields(ChangeNumberLastChgdDateTime="now"), "time-malformed",
         "ChangeNumberLastChgdDateTime, ChangeNumberLastChangedDate, ChangeNumberCreationDate"),
        (first_of(KINDS, IsLockedForChanges="Y"), "flag-malformed",
         "MaterialBOM: IsLockedForChanges"),
        (first_of(MATERIALS, Material=""), "id-empty", "listed material: Material"),
        (first_of(MATERIALS, ObjMgmtRecdObjIsLockedForChg="1"), "flag-malformed",
         "material SEAL/7-A: ObjMgmtRecdObjIsLockedForChg"),
        (first_of(BOMS, Material=None), "id-empty", "listed BOM: Material"),
        (first_of(BOMS, Plant="10\x0020"), "character-forbidden", "BOM of PUMP: Plant"),
        (first_of(BOMS, BillOfMaterialVariantUsage=""), "id-empty",
         "BOM of PUMP: BillOfMaterialVariantUsage"),
        (first_of(BOMS, ObjMgmtRecdObjIsLockedForChg="true"), "flag-malformed",
         "BOM of PUMP: ObjMgmtRecdObjIsLockedForChg"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        effects_of(edited(CHANGE, edit))
    assert caught.value.remedy
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        *({"d": edited(CHANGE, without(name))} for name in (KINDS, MATERIALS, BOMS)),
        {"d": edited(CHANGE, with_fields(**{BOMS: {"__deferred": {"uri": "x"}}}))},
        {"d": None},
        {"d": CHANGE, "gone": True},
        {},
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_CHANGE_MASTER.read(answer(KEY, content))


def test_a_change_that_is_gone_is_a_case_where_it_is_known_and_nothing_elsewhere() -> None:
    assert effects_of(None) == ()
    assert effects_of(None, ChangeMasterState(NUMBER, 1)) == (
        Open(
            code="gone-at-erp",
            word="business_rule",
            what="The ERP has no change number 500000000042 any more; it stays on record as it was",
            where="change-master/500000000042",
            remedy="Find out why it was deleted or archived, and what hangs on it",
            owner="master data",
        ),
    )


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_CHANGE_MASTER.version is not None
    for content in ({"d": CHANGE}, {"gone": True}):
        message = HANDLER_CHANGE_MASTER.read(answer(KEY, content))
        assert HANDLER_CHANGE_MASTER.version(message) == READ_US


# --- whatever comes ---


@given(data=st.data())
def test_a_mutated_answer_is_understood_or_refused_in_our_words(data: st.DataObject) -> None:
    assert_in_our_words(HANDLER_CHANGE_MASTER, answer(KEY, mutated(data, {"d": CHANGE})))


@given(data=st.data())
def test_the_order_of_records_changes_nothing(data: st.DataObject) -> None:
    def mixed(entity: dict[str, Any]) -> None:
        for navigation in (KINDS, MATERIALS, BOMS):
            rows = entity[navigation]["results"]
            entity[navigation]["results"] = data.draw(st.permutations(rows))

    assert said(mixed) == said()
