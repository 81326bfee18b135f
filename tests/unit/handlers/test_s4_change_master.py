"""Change numbers at S/4HANA: what is created, what is changed, and what is left to people."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import ChangedBom, ChangedObjects, ChangeMaster
from canonical.connector import Absent, Confirmed, Present
from canonical.effects import Step
from canonical.errors import Conflict, Misconfigured, Rejected
from canonical.exchange import Request, Response
from canonical.operations import PutChangedObjects, PutChangeMaster
from handlers.systems.s4.outbound import DRIVER

JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
ROOT = "/sap/opu/odata/sap/API_CHANGEMASTER;v=0002"
SECOND_OF_MARCH = "/Date(1772409600000)/"
THIRD_OF_MARCH = "/Date(1772496000000)/"


def change(**stated: Any) -> PutChangeMaster:
    plain = ChangeMaster(
        number="ECO-7",
        description="Seal the shaft",
        valid_from=date(2026, 3, 2),
        is_dated=True,
        reason="It leaks at 5 bar",
    )
    return PutChangeMaster(msgspec.structs.replace(plain, **stated))


def step_of(wanted: PutChangeMaster) -> Step:
    return Step("", "erp", "change-master", wanted.change.number, wanted)


def deferred(*names: str) -> dict[str, Any]:
    """Navigations that a read did not ask for, as a service shows them."""
    return {name: {"__deferred": {"uri": f"https://erp/{name}"}} for name in names}


def created(wanted: PutChangeMaster) -> dict[str, Any]:
    """The body of the create."""
    write = DRIVER.write(step_of(wanted), Absent(), "key-1")
    assert write is not None
    assert write.completes
    assert (write.request.method, write.request.path) == ("POST", f"{ROOT}/A_ChangeMaster")
    return body_of(write.request)


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def objects(*kinds: str, **fields: object) -> dict[str, Any]:
    """The rows of these kinds, open and with records."""
    plain = {"ChangeNumber": "ECO-7", "IsActiveForChangeNumber": True}
    rows = [
        plain | {"SAPObjectType": kind, "__metadata": {"etag": ETAG}} | fields for kind in kinds
    ]
    return {"to_ObjTypeAssignment": {"results": rows}}


def observed(wanted: PutChangeMaster, held: PutChangeMaster, **fields: object) -> Present:
    """What a read finds where `held` was created and some fields were set by somebody since."""
    others = deferred("to_ChangeMstrObMgReMaterial", "to_ChangeMstrObMgReMatlBOM")
    entity = created(held) | {"__metadata": {"etag": ETAG}} | others | fields
    response = Response(200, JSON, msgspec.json.encode({"d": entity}))
    found = DRIVER.read(step_of(wanted), response)
    assert isinstance(found, Present)
    return found


def writes(wanted: PutChangeMaster, found: Present) -> Request:
    """The next write."""
    write = DRIVER.write(step_of(wanted), found, "key-1")
    assert write is not None
    return write.request


def refused(wanted: PutChangeMaster, found: Present) -> Conflict:
    with pytest.raises(Conflict, match="change-master-differs") as caught:
        DRIVER.write(step_of(wanted), found, "key-1")
    return caught.value


def warnings(wanted: PutChangeMaster) -> tuple[str, ...]:
    body = msgspec.json.encode({"d": created(wanted)})
    confirmed = DRIVER.confirm(step_of(wanted), Response(201, JSON, body))
    return confirmed.warnings


def test_a_number_is_created_active_and_open_to_materials_and_boms() -> None:
    opened = {"IsActiveForChangeNumber": True, "ObjMgmtRecdIsGenerated": True}
    assert created(change()) == {
        "ChangeNumber": "ECO-7",
        "ChangeNumberStatus": "01",
        "ReasonForChangeText": "It leaks at 5 bar",
        "ChangeNumberDescription": "Seal the shaft",
        "ChangeNumberValidFromDate": SECOND_OF_MARCH,
        "to_ObjTypeAssignment": {
            "results": [
                {"SAPObjectType": "Material", **opened},
                {"SAPObjectType": "MaterialBOM", **opened},
            ]
        },
    }


def test_a_number_begins_with_the_day_of_its_release_where_no_other_is_stated() -> None:
    assert created(change(is_dated=False))["ChangeNumberValidFromDate"] == SECOND_OF_MARCH


def test_a_change_without_a_reason_says_none() -> None:
    assert "ReasonForChangeText" not in created(change(reason=""))
    assert observed(change(reason=""), change()).equal


def test_texts_are_cut_at_forty_and_a_person_is_told() -> None:
    long = change(
        description="Seal the shaft of the second stage of the feed pump",
        reason="It leaks at 5 bar\nafter two hours on the bench with water",
    )
    body = created(long)
    assert body["ChangeNumberDescription"] == "Seal the shaft of the second stage of th"
    assert body["ReasonForChangeText"] == "It leaks at 5 bar after two hours on the"
    assert observed(long, long).equal
    assert warnings(long) == (
        "The description of ECO-7 is cut to 40 characters",
        "The reason of ECO-7 is cut to 40 characters",
    )
    assert warnings(change()) == ()


def test_a_number_is_written_in_capital_letters_and_read_by_them() -> None:
    lower = change(number="eco-7a")
    assert created(lower)["ChangeNumber"] == "ECO-7A"
    assert DRIVER.observe(step_of(lower)).path == f"{ROOT}/A_ChangeMaster('ECO-7A')"
    assert observed(lower, lower).equal


def test_a_number_that_the_erp_pads_is_the_same() -> None:
    numeric = change(number="451")
    found = observed(numeric, numeric, ChangeNumber="000000000451")
    assert (found.equal, found.reference) == (True, "000000000451")


def test_a_number_of_thirteen_is_refused_since_a_part_of_it_would_be_another_change() -> None:
    assert created(change(number="ECO-00000012"))["ChangeNumber"] == "ECO-00000012"
    with pytest.raises(Rejected, match="change-number-too-long") as caught:
        DRIVER.observe(step_of(change(number="ECO-000000123")))
    assert caught.value.where == "engineering-change/ECO-000000123"


def test_new_words_are_one_patch_with_the_tag_that_was_read() -> None:
    wanted = change(description="Seal the shaft twice", reason="It still leaks")
    found = observed(wanted, change())
    assert found.differences == (
        "ChangeNumberDescription: Seal the shaft, wanted Seal the shaft twice",
        "ReasonForChangeText: It leaks at 5 bar, wanted It still leaks",
    )
    request = writes(wanted, found)
    assert (request.method, request.path) == ("PATCH", f"{ROOT}/A_ChangeMaster('ECO-7')")
    assert ("If-Match", ETAG) in request.headers
    assert body_of(request) == {
        "ReasonForChangeText": "It still leaks",
        "ChangeNumberDescription": "Seal the shaft twice",
    }


def test_a_stated_day_moves_a_number_that_nothing_refers_to() -> None:
    wanted = change(valid_from=date(2026, 3, 3))
    assert body_of(writes(wanted, observed(wanted, change()))) == {
        "ChangeNumberValidFromDate": THIRD_OF_MARCH
    }


def test_a_day_under_which_objects_were_changed_is_left_to_people() -> None:
    wanted = change(valid_from=date(2026, 3, 3), description="Seal it")
    found = observed(wanted, change(), IsUsedForDataDefinition=True)
    conflict = refused(wanted, found)
    assert conflict.where == "engineering-change/ECO-7"
    assert f"ChangeNumberValidFromDate: {SECOND_OF_MARCH}" in conflict.what
    same_day = change(description="Seal it")
    used = observed(same_day, change(), IsUsedForDataDefinition=True)
    assert body_of(writes(same_day, used)) == {"ChangeNumberDescription": "Seal it"}


def test_a_later_release_does_not_move_a_number_that_exists() -> None:
    later = change(valid_from=date(2026, 5, 1), is_dated=False)
    assert observed(later, change(is_dated=False)).equal


def test_what_the_erp_decides_of_a_number_stays() -> None:
    decided = {
        "ChangeNumberStatus": "02",
        "AuthorizationGroup": "ENG",
        "IsTechnicallyReleased": "X",
        "ChangeNumberIsMrkdForDeletion": False,
    }
    assert observed(change(), change(), **decided).equal
    kept = objects("Material", "MaterialBOM", "DocumentInfoRecord", ObjMgmtRecdIsGenerated=False)
    assert observed(change(), change(), **kept).equal


def test_a_number_marked_for_deletion_is_left_to_people() -> None:
    found = observed(change(), change(), ChangeNumberIsMrkdForDeletion=True)
    assert found.differences == ("ChangeNumberIsMrkdForDeletion: true, wanted false",)
    assert "Settle with engineering" in refused(change(), found).remedy


def test_a_number_that_people_made_is_opened_to_what_refers_to_it() -> None:
    found = observed(change(), change(), **objects("Material"))
    assert found.differences == ("MaterialBOM: missing, wanted active",)
    request = writes(change(), found)
    path = f"{ROOT}/A_ChangeMaster('ECO-7')/to_ObjTypeAssignment"
    assert (request.method, request.path) == ("POST", path)
    assert body_of(request) == {
        "SAPObjectType": "MaterialBOM",
        "IsActiveForChangeNumber": True,
        "ObjMgmtRecdIsGenerated": True,
    }


def test_a_kind_of_objects_that_was_closed_is_opened_again() -> None:
    rows = objects("Material", "MaterialBOM", IsActiveForChangeNumber=False)
    found = observed(change(), change(), **rows)
    assert found.differences == (
        "Material: not active, wanted active",
        "MaterialBOM: not active, wanted active",
    )
    first = DRIVER.write(step_of(change()), found, "key-1")
    assert first is not None
    assert not first.completes
    assert first.request.path == (
        f"{ROOT}/A_ChangeMasterObjTypeAssgmt(ChangeNumber='ECO-7',SAPObjectType='Material')"
    )
    assert ("If-Match", ETAG) in first.request.headers
    assert body_of(first.request) == {"IsActiveForChangeNumber": True}


def test_an_answer_about_another_number_is_no_answer() -> None:
    with pytest.raises(Misconfigured, match="answer-about-another"):
        observed(change(), change(), ChangeNumber="ECO-8")


def test_kinds_that_were_not_expanded_are_not_taken_for_missing() -> None:
    entity = created(change())
    del entity["to_ObjTypeAssignment"]
    response = Response(200, JSON, msgspec.json.encode({"d": entity}))
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        DRIVER.read(step_of(change()), response)


def test_opening_it_is_confirmed_by_the_row_that_names_the_number() -> None:
    row = {"ChangeNumber": "ECO-7", "SAPObjectType": "MaterialBOM"}
    response = Response(201, JSON, msgspec.json.encode({"d": row}))
    assert DRIVER.confirm(step_of(change()), response) == Confirmed("ECO-7")


# --- what the change is about ---

OBJECTS = PutChangedObjects(
    ChangedObjects(
        "ECO-7", ("PIN", "PUMP"), (ChangedBom("PUMP", "1010", "1"), ChangedBom("PUMP", "2010", "1"))
    )
)
LISTING = Step("", "erp", "change-master", "ECO-7", OBJECTS)


def listed(*materials: str, boms: tuple[dict[str, str], ...] = ()) -> Response:
    """A change that lists these."""
    entity = {
        "ChangeNumber": "ECO-7",
        "__metadata": {"etag": ETAG},
        **deferred("to_ObjTypeAssignment"),
        "to_ChangeMstrObMgReMaterial": {"results": [{"Material": name} for name in materials]},
        "to_ChangeMstrObMgReMatlBOM": {"results": list(boms)},
    }
    return Response(200, JSON, msgspec.json.encode({"d": entity}))


def bom_row(material: str, plant: str, usage: str = "1") -> dict[str, str]:
    return {"Material": material, "Plant": plant, "BillOfMaterialVariantUsage": usage}


def test_what_it_is_about_is_read_by_its_number_and_nothing_else_of_it() -> None:
    materials, boms = "to_ChangeMstrObMgReMaterial", "to_ChangeMstrObMgReMatlBOM"
    request = DRIVER.observe(LISTING)
    assert (request.method, request.path) == ("GET", f"{ROOT}/A_ChangeMaster('ECO-7')")
    assert request.query == (
        ("$expand", f"{materials},{boms}"),
        (
            "$select",
            f"ChangeNumber,{materials}/ChangeNumber,{materials}/Material,{boms}/ChangeNumber,"
            f"{boms}/Material,{boms}/Plant,{boms}/BillOfMaterialVariantUsage",
        ),
    )


def test_each_object_that_is_missing_is_one_record() -> None:
    sent: list[tuple[str, dict[str, Any], bool]] = []
    materials, boms = ["PIN"], [bom_row("PUMP", "1010", "2")]
    for _ in range(3):
        found = DRIVER.read(LISTING, listed(*materials, boms=tuple(boms)))
        assert isinstance(found, Present)
        write = DRIVER.write(LISTING, found, "key-1")
        assert write is not None
        body = body_of(write.request)
        assert write.request.method == "POST"
        sent.append((write.request.path, body, write.completes))
        if "Plant" in body:
            boms.append(body)
        else:
            materials.append(body["Material"])
    path = f"{ROOT}/A_ChangeMaster('ECO-7')"
    assert sent == [
        (f"{path}/to_ChangeMstrObMgReMaterial", {"Material": "PUMP"}, False),
        (f"{path}/to_ChangeMstrObMgReMatlBOM", bom_row("PUMP", "1010"), False),
        (f"{path}/to_ChangeMstrObMgReMatlBOM", bom_row("PUMP", "2010"), True),
    ]


def test_what_else_is_listed_stays_and_zeros_that_fill_up_do_not_count() -> None:
    objects = ChangedObjects("ECO-7", ("42",), (ChangedBom("42", "1010", "1"),))
    step = msgspec.structs.replace(LISTING, operation=PutChangedObjects(objects))
    padded = "000000000000000042"
    others = (bom_row("OTHER", "1010"), bom_row(padded, "1010"))
    found = DRIVER.read(step, listed("OTHER", padded, boms=others))
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, "ECO-7")


def test_differences_name_the_objects() -> None:
    found = DRIVER.read(LISTING, listed("PUMP", boms=(bom_row("PUMP", "1010"),)))
    assert isinstance(found, Present)
    assert found.differences == (
        "Material PIN: not listed",
        "BOM of PUMP in plant 2010, usage 1: not listed",
    )


def test_a_number_that_is_gone_is_not_made_by_what_it_lists() -> None:
    error = {"code": "/IWBEP/CM_MGW_RT/020", "message": {"value": "Resource not found"}}
    gone = Response(404, JSON, msgspec.json.encode({"error": error}))
    with pytest.raises(Rejected, match="change-master-missing") as caught:
        DRIVER.read(LISTING, gone)
    assert caught.value.where == "engineering-change/ECO-7"
    assert DRIVER.write(LISTING, Absent(), "key-1") is None
    assert DRIVER.read(step_of(change()), gone) == Absent()


def test_a_list_that_is_not_whole_is_not_added_to() -> None:
    entity = {"ChangeNumber": "ECO-7", "to_ChangeMstrObMgReMaterial": {"results": []}}
    response = Response(200, JSON, msgspec.json.encode({"d": entity}))
    with pytest.raises(Misconfigured, match="to_ChangeMstrObMgReMatlBOM was not expanded"):
        DRIVER.read(LISTING, response)
    other = Response(200, JSON, msgspec.json.encode({"d": entity | {"ChangeNumber": "ECO-8"}}))
    with pytest.raises(Misconfigured, match="answer-about-another"):
        DRIVER.read(LISTING, other)


changes = st.builds(
    lambda **fields: change(**fields),
    number=st.text(
        st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=12
    ),
    description=st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs", "So"))),
    reason=st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs", "So"))),
    valid_from=st.dates(date(1800, 1, 1), date(9999, 12, 31)),
    is_dated=st.booleans(),
)


@given(changes)
def test_what_was_created_reads_back_as_equal(wanted: PutChangeMaster) -> None:
    found = observed(wanted, wanted)
    assert (found.equal, found.differences) == (True, ())
