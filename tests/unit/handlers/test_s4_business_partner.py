"""Suppliers out to S/4HANA: what is sent, which partner is meant, and what of it is changed; the
target is simulated by plain values."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Confirmed, More, Present
from canonical.effects import Step
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
)
from canonical.exchange import Request, Response
from canonical.operations import PutSupplier
from canonical.supplier_master import CompanyView, PurchasingView, SupplierMaster
from handlers.systems.s4.native import (
    BusinessPartner,
    Entity,
    PartnerAddress,
    PartnerAddressUse,
    PartnerRole,
    SupplierGeneral,
)
from handlers.systems.s4.odata import fields
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.resource import parse_query, parse_resource
from tests.garbage import VALUES, inside

MODEL = load_model()
JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
ROOT = "/sap/opu/odata/sap/API_BUSINESS_PARTNER"


def supplier(**more: Any) -> SupplierMaster:
    plain = SupplierMaster(
        number="17300001",
        version=1,
        name="Northern Seals",
        name2="Sealing Division",
        street="Hafenstrasse 7 b",
        postal_code="20457",
        city="Hamburg",
        region="HH",
        country="DE",
        language="DE",
    )
    return msgspec.structs.replace(plain, **more)


def step_of(wanted: SupplierMaster) -> Step:
    return Step("", "erp", "supplier", wanted.number, PutSupplier(wanted))


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def create_of(wanted: SupplierMaster) -> Request:
    write = DRIVER.write(step_of(wanted), Absent(), "key-1")
    assert write is not None
    assert write.completes
    return write.request


def one(entity: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": entity}))


def listed(*entities: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": {"results": entities}}))


GONE = Response(
    404,
    JSON,
    msgspec.json.encode({"error": {"code": "/IWBEP/CM_MGW_RT/020", "message": {"value": "none"}}}),
)


def stored(wanted: SupplierMaster, partner: str = "") -> dict[str, Any]:
    """What a target shows after the create; partner: its number, where it is another one."""
    entity = body_of(create_of(wanted))
    number = partner or entity["BusinessPartner"]
    tag = {"__metadata": {"etag": ETAG}}
    del entity["to_BusinessPartnerRole"], entity["BusinessPartnerGrouping"]
    general = {"Supplier": wanted.number, "SupplierProcurementBlock": ""} | entity["to_Supplier"]
    addresses = entity.get("to_BusinessPartnerAddress", {"results": []})["results"]
    return entity | tag | {
        "BusinessPartner": number,
        "Supplier": wanted.number,
        "to_Supplier": general | tag,
        "to_BusinessPartnerAddress": {
            "results": [
                address | tag | {
                    "BusinessPartner": number,
                    "AddressID": "20001",
                    "to_AddressUsage": {"results": [{"AddressUsage": "XXDEFAULT"}]},
                }
                for address in addresses
            ]
        },
    }  # fmt: skip


def observed(wanted: SupplierMaster, entity: dict[str, Any]) -> Present:
    found = DRIVER.read(step_of(wanted), listed(entity))
    assert isinstance(found, Present)
    return found


def become(entity: dict[str, Any], wanted: SupplierMaster) -> list[tuple[str, dict[str, Any]]]:
    """Where the target was written, and what; it ends as it is wanted."""
    writes: list[tuple[str, dict[str, Any]]] = []
    entity = copy.deepcopy(entity)
    for _ in range(5):
        found = observed(wanted, entity)
        if found.equal:
            return writes
        write = DRIVER.write(step_of(wanted), found, "key-1")
        assert write is not None
        request, body = write.request, body_of(write.request)
        resource = parse_resource(MODEL, request.path)
        entity_set = resource.entity_set
        assert entity_set is not None
        if request.method == "POST":
            assert resource.navigation is not None
            _, entity_set = MODEL.find(resource.navigation.set)
        else:
            assert ("If-Match", ETAG) in request.headers
        check_payload(MODEL, entity_set, body, creating=request.method == "POST")
        writes.append((f"{request.method} {request.path.removeprefix(ROOT)}", body))
        addresses = entity["to_BusinessPartnerAddress"]["results"]
        match entity_set.name, request.method:
            case "A_BusinessPartner", _:
                entity |= body
            case "A_Supplier", _:
                entity["to_Supplier"] |= body
            case _, "POST":
                addresses.append(body)
            case _:
                [address] = [a for a in addresses if a["AddressID"] in request.path]
                address |= body
        if write.completes:
            assert observed(wanted, entity).differences == ()
            return writes
    raise AssertionError("never done")


# --- names ---


@pytest.mark.parametrize(
    ("kind", "entity_set"),
    [
        (BusinessPartner, "A_BusinessPartner"),
        (PartnerRole, "A_BusinessPartnerRole"),
        (PartnerAddress, "A_BusinessPartnerAddress"),
        (PartnerAddressUse, "A_BuPaAddressUsage"),
        (SupplierGeneral, "A_Supplier"),
    ],
)
def test_every_field_is_one_of_the_vendors(kind: type[Entity], entity_set: str) -> None:
    _, described = MODEL.find(entity_set)
    assert set(fields(kind)) <= {p.name for p in described.properties}


def test_the_read_and_the_create_are_what_the_vendor_describes() -> None:
    read = DRIVER.observe(step_of(supplier()))
    resource = parse_resource(MODEL, read.path)
    assert resource.entity_set is not None
    query = parse_query(MODEL, resource.entity_set, dict(read.query))
    assert query.where == {"Supplier": "17300001"}
    assert "BusinessPartnerGrouping" not in dict(read.query)["$select"]
    draft = check_payload(MODEL, resource.entity_set, body_of(create_of(supplier())), creating=True)
    assert draft.children.keys() == {
        "to_BusinessPartnerRole",
        "to_BusinessPartnerAddress",
        "to_Supplier",
    }


# --- what is sent ---


def test_a_supplier_is_created_as_a_partner_with_its_role_and_address() -> None:
    request = create_of(supplier(is_purchasing_blocked=True, quality_block="01"))
    assert (request.method, request.path) == ("POST", f"{ROOT}/A_BusinessPartner")
    assert body_of(request) == {
        "BusinessPartner": "17300001",
        "BusinessPartnerCategory": "2",
        "BusinessPartnerGrouping": "BPEE",
        "OrganizationBPName1": "Northern Seals",
        "OrganizationBPName2": "Sealing Division",
        "to_BusinessPartnerRole": {"results": [{"BusinessPartnerRole": "FLVN01"}]},
        "to_BusinessPartnerAddress": {
            "results": [
                {
                    "StreetName": "Hafenstrasse 7 b",
                    "PostalCode": "20457",
                    "CityName": "Hamburg",
                    "Region": "HH",
                    "Country": "DE",
                    "Language": "DE",
                }
            ]
        },
        "to_Supplier": {
            "PostingIsBlocked": False,
            "PurchasingIsBlocked": True,
            "DeletionIndicator": False,
            "SupplierProcurementBlock": "01",
        },
    }


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (supplier(number="S-173000012"), "number-too-long"),
        (supplier(name=" "), "name-missing"),
        (supplier(postal_code="1" * 11), "address-too-long"),
        (supplier(country="Germany"), "address-too-long"),
        (supplier(quality_block="poor"), "quality-block-unmapped"),
    ],
)
def test_what_no_partner_can_be_is_refused(wanted: SupplierMaster, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        create_of(wanted)
    assert refused.value.code == code
    assert (refused.value.where, refused.value.owner) == (
        f"supplier-master/{wanted.number}",
        "master data",
    )


def test_what_is_each_erps_own_is_not_sent_and_named() -> None:
    wanted = supplier(
        name="N" * 41,
        city="Ü" * 41,
        companies=(CompanyView("1010"),),
        organisations=(PurchasingView("1010"),),
        tax_numbers={"vat": "DE1"},
        remit_to="17300002",
    )
    assert DRIVER.confirm(step_of(wanted), one(stored(wanted))) == Confirmed(
        "17300001",
        warnings=(
            "Not sent of 17300001, since each ERP has its own: views of companies, views of"
            " purchasing organisations, tax numbers, alternative payee",
            "Texts of 17300001 are cut to what the ERP holds: name, city",
        ),
    )
    assert observed(wanted, stored(wanted)).equal


# --- which partner is meant ---


def by_number(wanted: SupplierMaster, response: Response) -> object:
    """What the second call finds, which asks whether the number is free."""
    more = DRIVER.read(step_of(wanted), listed())
    assert isinstance(more, More)
    assert more.request.path == f"{ROOT}/A_BusinessPartner('{wanted.number}')"
    return more.read(response)


def test_a_supplier_of_a_partner_with_another_number_is_found() -> None:
    found = observed(supplier(), stored(supplier(), partner="9000017"))
    assert (found.equal, found.reference) == (True, "17300001")


def test_a_supplier_whose_number_is_free_is_absent() -> None:
    assert by_number(supplier(), GONE) == Absent()


def test_a_supplier_that_is_deleted_where_it_is_kept_need_not_be_made() -> None:
    assert by_number(supplier(is_deleted=True), GONE) == Present(equal=True)


def test_a_partner_of_the_number_that_is_no_supplier_is_for_a_person() -> None:
    customer = stored(supplier()) | {"Supplier": "", "to_Supplier": None}
    with pytest.raises(Conflict, match="partner-taken"):
        by_number(supplier(), one(customer))


def test_trap_two_partners_of_one_supplier_are_a_suspected_duplicate() -> None:
    two = (stored(supplier()), stored(supplier(), partner="9000017"))
    with pytest.raises(SuspectedDuplicate, match="supplier-ambiguous"):
        DRIVER.read(step_of(supplier()), listed(*two))


def test_a_supplier_that_the_answer_does_not_show_is_a_fault_of_the_configuration() -> None:
    hidden = stored(supplier()) | {"to_Supplier": None}
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        DRIVER.read(step_of(supplier()), listed(hidden))


# --- what has to change ---


@pytest.mark.parametrize(
    "address",
    [
        {"StreetName": "Hafenstrasse", "HouseNumber": "7", "HouseNumberSupplementText": "b"},
        {"CityName": " Hamburg"},
        {"District": "", "POBox": ""},
    ],
)
def test_what_is_only_written_otherwise_is_equal(address: dict[str, str]) -> None:
    entity = stored(supplier())
    entity["to_BusinessPartnerAddress"]["results"][0] |= address
    assert observed(supplier(), entity).differences == ()


def test_blocks_come_before_names_and_names_before_the_address() -> None:
    wanted = supplier(
        name="Southern Seals",
        name2="",
        street="Kai 1",
        po_box="123",
        is_purchasing_blocked=True,
        is_posting_blocked=True,
        quality_block="01",
    )
    entity = stored(supplier(), partner="9000017")
    assert become(entity, wanted) == [
        (
            "PATCH /A_Supplier('17300001')",
            {
                "PostingIsBlocked": True,
                "PurchasingIsBlocked": True,
                "SupplierProcurementBlock": "01",
            },
        ),
        (
            "PATCH /A_BusinessPartner('9000017')",
            {"OrganizationBPName1": "Southern Seals", "OrganizationBPName2": ""},
        ),
        (
            "PATCH /A_BusinessPartnerAddress(BusinessPartner='9000017',AddressID='20001')",
            {"StreetName": "Kai 1", "POBox": "123"},
        ),
    ]
    assert observed(wanted, entity).differences[:2] == (
        "PostingIsBlocked: false, wanted true",
        "PurchasingIsBlocked: false, wanted true",
    )


def test_blocks_follow_the_keeper_both_ways() -> None:
    blocked = stored(supplier(is_purchasing_blocked=True, is_deleted=True, quality_block="01"))
    assert become(blocked, supplier()) == [
        (
            "PATCH /A_Supplier('17300001')",
            {
                "PurchasingIsBlocked": False,
                "DeletionIndicator": False,
                "SupplierProcurementBlock": "",
            },
        )
    ]


def test_a_house_number_that_stood_by_itself_is_emptied_with_a_new_street() -> None:
    entity = stored(supplier())
    entity["to_BusinessPartnerAddress"]["results"][0] |= {"HouseNumber": "9"}
    [(_, body)] = become(entity, supplier(street="Kai 1"))
    assert body == {"StreetName": "Kai 1", "HouseNumber": ""}


def test_an_address_that_is_missing_is_added_and_one_that_is_unknown_stays() -> None:
    bare = stored(supplier()) | {"to_BusinessPartnerAddress": {"results": []}}
    [(where, body)] = become(bare, supplier())
    assert where == "POST /A_BusinessPartner('17300001')/to_BusinessPartnerAddress"
    assert body["CityName"] == "Hamburg"
    unknown = supplier(street="", postal_code="", city="", region="", country="", language="")
    assert observed(unknown, stored(supplier())).equal


def test_of_several_addresses_the_standard_one_follows() -> None:
    entity = stored(supplier())
    [address] = entity["to_BusinessPartnerAddress"]["results"]
    other = address | {"AddressID": "7", "to_AddressUsage": {"results": [{"AddressUsage": "WE"}]}}
    entity["to_BusinessPartnerAddress"]["results"] = [other | {"CityName": "Bonn"}, address]
    assert observed(supplier(), entity).equal
    address["to_AddressUsage"] = {"results": []}
    with pytest.raises(Conflict, match="address-unclear"):
        DRIVER.read(step_of(supplier()), listed(entity))


def test_names_of_a_person_stay() -> None:
    entity = stored(supplier()) | {"BusinessPartnerCategory": "1", "OrganizationBPName1": ""}
    assert observed(supplier(), entity).equal


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=45)
suppliers = st.builds(
    supplier,
    name=names.filter(bool),
    name2=names,
    street=names,
    city=names,
    postal_code=names.map(lambda text: text[:10]),
    po_box=names.map(lambda text: text[:10]),
    country=st.sampled_from(["", "DE", "US"]),
    language=st.sampled_from(["", "DE", "EN"]),
    quality_block=st.sampled_from(["", "01", "02"]),
    is_posting_blocked=st.booleans(),
    is_purchasing_blocked=st.booleans(),
    is_deleted=st.booleans(),
)


@given(suppliers)
def test_what_was_created_reads_back_as_equal(wanted: SupplierMaster) -> None:
    assert observed(wanted, stored(wanted)).differences == ()


@given(suppliers, suppliers)
def test_any_supplier_becomes_any_other(old: SupplierMaster, new: SupplierMaster) -> None:
    writes = become(stored(old), new)
    assert len(writes) <= 3


# --- answers ---


def confirm(body: dict[str, Any]) -> Confirmed:
    return DRIVER.confirm(
        step_of(supplier()), Response(201, JSON, msgspec.json.encode({"d": body}))
    )


def test_a_write_is_confirmed_with_the_suppliers_number() -> None:
    entity = stored(supplier(), partner="9000017")
    [address] = entity["to_BusinessPartnerAddress"]["results"]
    assert [confirm(body).reference for body in (entity, address)] == ["17300001"] * 2
    # A create may answer before the supplier has its number.
    assert confirm(stored(supplier()) | {"Supplier": ""}).reference == "17300001"
    assert DRIVER.confirm(step_of(supplier()), Response(204, {}, b"")) == Confirmed()


def test_a_confirmation_of_another_partner_is_not_tried_again() -> None:
    with pytest.raises(Conflict, match="answer-about-another"):
        confirm({"BusinessPartner": "17300002"})


def test_a_confirmation_that_names_nothing_is_in_doubt() -> None:
    with pytest.raises(InDoubt, match="answer-nameless"):
        confirm({"CityName": "Hamburg"})


# --- garbage ---


@given(st.data())
def test_garbage_raises_only_canonical_failures(data: st.DataObject) -> None:
    entity = stored(supplier())
    container, name = data.draw(st.sampled_from(inside(entity)))
    container[name] = data.draw(VALUES)
    step = step_of(supplier())
    try:
        found = DRIVER.read(step, data.draw(st.sampled_from([listed(entity), one(entity)])))
        if isinstance(found, More):
            found = found.read(one(entity))
        if isinstance(found, Present) and not found.equal:
            DRIVER.write(step, found, "key-1")
        DRIVER.confirm(step, one(entity))
    except Failure:
        return
