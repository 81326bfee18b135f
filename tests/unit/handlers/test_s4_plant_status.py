"""A material's status in a plant, written to S/4HANA for obsolete parts and taken back later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Present
from canonical.effects import Step
from canonical.errors import Conflict, Misconfigured
from canonical.exchange import Response
from canonical.operations import PutPlantStatus
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model

JSON = {"content-type": "application/json"}
STOP = PutPlantStatus("SEAL-7", "1010", "Z5")
BACK = msgspec.structs.replace(STOP, is_lifted=True)
PATH = "/sap/opu/odata/sap/API_PRODUCT_SRV/A_ProductPlant(Product='SEAL-7',Plant='1010')"


def step(operation: PutPlantStatus) -> Step:
    return Step(operation.plant, "erp", "item", operation.item, operation)


def seen(operation: PutPlantStatus, status: str = "", **changed: Any) -> Present:
    entity = {
        "__metadata": {"etag": 'W/"7"'},
        "Product": "SEAL-7",
        "Plant": "1010",
        "ProfileCode": status,
        "IsMarkedForDeletion": False,
    } | changed
    response = Response(200, JSON, msgspec.json.encode({"d": entity}))
    found = DRIVER.read(step(operation), response)
    assert isinstance(found, Present)
    return found


def test_the_status_is_read_and_written_at_the_view_of_the_plant_and_nothing_else_of_it() -> None:
    assert DRIVER.observe(step(STOP)).path.split("?")[0] == PATH
    found = seen(STOP)
    assert found.differences == ("ProfileCode: empty, wanted Z5",)
    write = DRIVER.write(step(STOP), found, "key-1")
    assert write is not None
    assert write.completes
    assert (write.request.method, write.request.path.split("?")[0]) == ("PATCH", PATH)
    assert ("If-Match", 'W/"7"') in write.request.headers
    body = msgspec.json.decode(write.request.body or b"")
    assert body == {"ProfileCode": "Z5"}
    model = load_model()
    check_payload(model, model.find("A_ProductPlant")[1], body, creating=False)


def test_the_status_that_stands_is_not_written_again_in_whatever_case_the_rule_has_it() -> None:
    assert seen(STOP, "Z5").equal
    lower = msgspec.structs.replace(STOP, status="z5")
    assert seen(lower, "Z5").equal
    write = DRIVER.write(step(lower), seen(lower), "key-1")
    assert write is not None
    assert msgspec.json.decode(write.request.body or b"") == {"ProfileCode": "Z5"}


def test_another_status_is_neither_written_over_nor_passed_over_in_silence() -> None:
    found = seen(STOP, "Z1")
    assert not found.equal
    with pytest.raises(Conflict, match="has status Z1 in plant 1010") as raised:
        DRIVER.write(step(STOP), found, "key-1")
    assert raised.value.code == "plant-status-differs"


def test_it_is_taken_back_where_it_stands_and_nowhere_else() -> None:
    write = DRIVER.write(step(BACK), seen(BACK, "Z5"), "key-1")
    assert write is not None
    assert msgspec.json.decode(write.request.body or b"") == {"ProfileCode": ""}
    assert seen(BACK, "").equal
    assert seen(BACK, "Z1").equal


def test_a_plant_without_a_view_has_nothing_to_stop_and_gets_none() -> None:
    said = {"error": {"code": "X", "message": {"lang": "en", "value": "There is no such view"}}}
    missing = Response(404, JSON, msgspec.json.encode(said))
    for operation in (STOP, BACK):
        assert DRIVER.read(step(operation), missing) == Present(equal=True)
        assert DRIVER.write(step(operation), Absent(), "key-1") is None


@pytest.mark.parametrize("status", ["", "Z55"])
def test_a_status_that_the_field_cannot_hold_is_the_rules_mistake(status: str) -> None:
    wrong = msgspec.structs.replace(STOP, status=status)
    with pytest.raises(Misconfigured, match="is no plant status"):
        seen(wrong)


def test_an_answer_about_another_view_is_not_believed() -> None:
    with pytest.raises(Misconfigured, match="another plant view"):
        seen(STOP, Plant="2010")


@given(st.sampled_from(["", "Z5", "Z1", "01"]), st.booleans())
def test_what_was_written_reads_back_as_equal(held: str, is_lifted: bool) -> None:
    operation = msgspec.structs.replace(STOP, is_lifted=is_lifted)
    found = seen(operation, held)
    if found.equal:
        return
    try:
        write = DRIVER.write(step(operation), found, "key-1")
    except Conflict:
        assert held not in ("", "Z5")
        return
    assert write is not None
    body = msgspec.json.decode(write.request.body or b"")
    assert seen(operation, body["ProfileCode"]).equal
