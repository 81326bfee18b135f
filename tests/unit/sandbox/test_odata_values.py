"""Payloads against metadata: what passes, in which form, and what is refused with which code."""

import string
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.odata import (
    EntitySet,
    Property,
    Scalar,
    check_payload,
    check_value,
    date_literal,
    entity_path,
    etag,
    load_model,
    render,
    timestamp_literal,
)
from ops.sandbox.refusal import Refused

MODEL = load_model()
QUANTITY = Property("Quantity", "Edm.Decimal", precision=13, scale=3)


def set_called(name: str) -> EntitySet:
    return MODEL.find(name)[1]


def code_of(described: Property, value: object) -> str:
    with pytest.raises(Refused) as caught:
        check_value(described, value)
    assert caught.value.status == 400
    assert caught.value.target == described.name
    return caught.value.code.removeprefix("ZSANDBOX/")


@pytest.mark.parametrize(
    ("edm_type", "value", "kept"),
    [
        ("Edm.String", "PC", "PC"),
        ("Edm.String", "", ""),
        ("Edm.Boolean", True, True),
        ("Edm.DateTime", "/Date(1492041600000)/", "/Date(1492041600000)/"),
        ("Edm.DateTime", None, None),
        ("Edm.DateTimeOffset", "/Date(1492098664000+0000)/", "/Date(1492098664000+0000)/"),
        (
            "Edm.Guid",
            "00163e19-8846-1ed6-8ebf-6035b1bec3e4",
            "00163e19-8846-1ed6-8ebf-6035b1bec3e4",
        ),
        ("Edm.Byte", 255, 255),
        ("Edm.Int16", -32767, -32767),
    ],
)
def test_a_value_of_its_type_is_kept(edm_type: str, value: Scalar, kept: Scalar) -> None:
    assert check_value(Property("P", edm_type), value) == kept


@pytest.mark.parametrize(
    ("edm_type", "value"),
    [
        ("Edm.String", 5),
        ("Edm.String", None),
        ("Edm.Boolean", "true"),
        ("Edm.Boolean", 1),
        ("Edm.Decimal", 1.5),
        ("Edm.Decimal", 1),
        ("Edm.Decimal", "1,5"),
        ("Edm.Decimal", "1e3"),
        ("Edm.Decimal", ""),
        ("Edm.DateTime", "2026-01-31"),
        ("Edm.DateTime", 1492041600000),
        ("Edm.Guid", "00163e19"),
        ("Edm.Byte", 256),
        ("Edm.Int32", True),
        ("Edm.Int32", "7"),
        ("Edm.String", {"results": []}),
    ],
)
def test_a_value_of_another_type_is_refused(edm_type: str, value: object) -> None:
    assert code_of(Property("P", edm_type), value) == "VALUE_TYPE"


def test_a_text_is_refused_one_character_over_its_length() -> None:
    described = Property("P", "Edm.String", max_length=3)
    assert check_value(described, "abc") == "abc"
    assert code_of(described, "abcd") == "VALUE_TOO_LONG"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2.5", "2.500"),
        ("-0.001", "-0.001"),
        ("0", "0.000"),
        ("0001.5000", "1.500"),
        ("9999999999.999", "9999999999.999"),
    ],
)
def test_a_decimal_is_shown_at_its_scale(sent: str, shown: str) -> None:
    assert check_value(QUANTITY, sent) == shown


@pytest.mark.parametrize("sent", ["0.0001", "10000000000", "-10000000000"])
def test_a_decimal_that_would_be_rounded_or_cut_is_refused(sent: str) -> None:
    assert code_of(QUANTITY, sent) == "VALUE_OUT_OF_RANGE"


@given(st.decimals(-9_999_999_999, 9_999_999_999, places=3))
def test_a_decimal_keeps_its_value(value: Decimal) -> None:
    kept = check_value(QUANTITY, f"{value:f}")
    assert Decimal(str(kept)) == value
    assert check_value(QUANTITY, kept) == kept


def refusal_of(name: str, payload: object, *, creating: bool = True) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        check_payload(MODEL, set_called(name), payload, creating=creating)
    return caught.value.code.removeprefix("ZSANDBOX/"), caught.value.target


def test_children_are_taken_as_a_bare_list_or_under_results() -> None:
    text = {"Language": "EN", "ProductDescription": "Pump"}
    drafts = [
        check_payload(
            MODEL, set_called("A_Product"), {"Product": "P", "to_Description": sent}, creating=True
        )
        for sent in ([text], {"results": [text]})
    ]
    assert drafts[0] == drafts[1]
    assert drafts[0].children["to_Description"][0].row == text


def test_what_a_client_echoes_from_a_read_is_passed_over() -> None:
    echoed = {"__metadata": {"uri": "x"}, "to_Plant": {"__deferred": {"uri": "x"}}}
    draft = check_payload(MODEL, set_called("A_Product"), echoed, creating=False)
    assert (draft.row, draft.children) == ({}, {})


@pytest.mark.parametrize(
    ("payload", "code", "target"),
    [
        ([], "PAYLOAD_NOT_OBJECT", ""),
        ({"Colour": "red"}, "PROPERTY_UNKNOWN", "Colour"),
        ({"CreatedByUser": "ME"}, "PROPERTY_READ_ONLY", "CreatedByUser"),
        ({"to_Plant": "1010"}, "DEEP_INSERT", "to_Plant"),
        ({"to_Plant": [{"Plant": "1010"}, {"Plnt": "1"}]}, "PROPERTY_UNKNOWN", "to_Plant(1)/Plnt"),
        (
            {"to_Plant": [{"to_ProductPlantProcurement": {}}]},
            "DEEP_INSERT",
            "to_Plant(0)/to_ProductPlantProcurement",
        ),
    ],
)
def test_a_create_that_the_metadata_does_not_allow_names_the_place(
    payload: object, code: str, target: str
) -> None:
    assert refusal_of("A_Product", payload) == (code, target)


@pytest.mark.parametrize(
    ("payload", "code"),
    [({"Product": "P"}, "PROPERTY_READ_ONLY"), ({"to_Plant": []}, "DEEP_INSERT")],
)
def test_an_update_can_neither_move_a_key_nor_add_children(payload: object, code: str) -> None:
    assert refusal_of("A_Product", payload, creating=False)[0] == code


def test_a_day_and_a_moment_become_the_vendors_literals() -> None:
    moment = datetime(2026, 3, 1, 13, 45, 0, 250_000, tzinfo=UTC)
    assert date_literal(moment) == "/Date(1772323200000)/"
    assert timestamp_literal(moment) == "/Date(1772372700250+0000)/"


@given(st.text(string.ascii_letters + string.digits + "-_/ '%#?&()=,;äß", min_size=1))
def test_the_address_of_an_entity_holds_no_character_that_would_end_it(product: str) -> None:
    service, entity_set = MODEL.find("A_Product")
    path = entity_path(service, entity_set, {"Product": product})
    inside = path.removeprefix("/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product('")
    assert not set(inside) & set("/ #?&")


def test_an_entity_shows_all_properties_its_tag_and_links_that_are_not_expanded() -> None:
    service, entity_set = MODEL.find("A_ProductPlant")
    row: dict[str, Scalar] = {"Product": "P", "Plant": "1010"}
    shown: dict[str, Any] = render(service, entity_set, row, 1, origin="http://erp")
    uri = "http://erp/sap/opu/odata/sap/API_PRODUCT_SRV/A_ProductPlant(Product='P',Plant='1010')"
    assert shown["__metadata"]["uri"] == uri
    assert shown["__metadata"]["etag"] == etag(1, row)
    assert shown["MinimumLotSizeQuantity"] == "0.000"
    assert shown["IsMarkedForDeletion"] is False
    assert shown["ProfileValidityStartDate"] is None
    assert shown["to_ProductPlantProcurement"] == {
        "__deferred": {"uri": f"{uri}/to_ProductPlantProcurement"}
    }


def test_a_tag_changes_with_every_write_even_back_to_the_same_values() -> None:
    assert etag(1, {"Product": "P"}) != etag(3, {"Product": "P"})
    assert etag(1, {"Product": "P"}).startswith("W/\"'")
