"""What the ERP stand-in refuses of a business partner, and what a write of one makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.erp_rules import CHECK, CREATE
from ops.sandbox.erp_work import Seed, Work
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.partner_rules import require_supplier, require_unblocked
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored, Tables

MODEL = load_model()


@pytest.fixture
def work() -> Work:
    tables = Tables(Path(":memory:"), [entity_set.name for _, entity_set in MODEL.sets()])
    seed = Seed(suppliers=("17300001",))
    return Work(MODEL, tables, seed, datetime(2026, 3, 2, tzinfo=UTC), "demo", changes=[])


def partner(**fields: object) -> dict[str, Any]:
    return {
        "BusinessPartner": "17300009",
        "BusinessPartnerCategory": "2",
        "BusinessPartnerGrouping": "BPEE",
        "OrganizationBPName1": "Southern Seals",
        "to_BusinessPartnerRole": [{"BusinessPartnerRole": "FLVN01"}],
        "to_BusinessPartnerAddress": [{"CityName": "Ulm", "Country": "DE"}],
        "to_Supplier": {"PurchasingIsBlocked": True},
        **fields,
    }


def create(work: Work, name: str, payload: object) -> Stored:
    return CREATE[name](work, check_payload(MODEL, MODEL.find(name)[1], payload, creating=True))


@contextmanager
def refused_as(code: str, target: str) -> Iterator[None]:
    with pytest.raises(Refused) as refused:
        yield
    assert (refused.value.code, refused.value.target) == (f"ZSANDBOX/{code}", target)


def test_a_partner_with_the_role_is_a_supplier_of_its_number_with_a_standard_address(
    work: Work,
) -> None:
    made = create(work, "A_BusinessPartner", partner())
    assert made.row["Supplier"] == "17300009"
    assert work.get("A_Supplier", Supplier="17300009") is not None
    [use] = work.tables.find("A_BuPaAddressUsage", {})
    assert (use.row["AddressUsage"], use.row["AddressID"]) == ("XXDEFAULT", "20001")
    second = {"BusinessPartner": "17300009", "CityName": "Bonn", "Country": "DE"}
    create(work, "A_BusinessPartnerAddress", second)
    assert len(work.tables.find("A_BusinessPartnerAddress", {})) == 2
    assert len(work.tables.find("A_BuPaAddressUsage", {})) == 1


def test_a_partner_without_the_role_is_no_supplier(work: Work) -> None:
    payload = partner(to_BusinessPartnerRole=[])
    del payload["to_Supplier"]
    assert create(work, "A_BusinessPartner", payload).row["Supplier"] == ""
    with refused_as("SUPPLIER_UNKNOWN", "Supplier"):
        require_supplier(work, "17300009", "")


@pytest.mark.parametrize(
    ("payload", "code", "target"),
    [
        (partner(BusinessPartner=""), "PROPERTY_MISSING", "BusinessPartner"),
        (partner(BusinessPartnerGrouping="BP02"), "PARTNER_GROUPING", "BusinessPartnerGrouping"),
        (partner(BusinessPartnerCategory="9"), "PARTNER_CATEGORY", "BusinessPartnerCategory"),
        (partner(OrganizationBPName1=""), "PARTNER_NAME", "OrganizationBPName1"),
        (partner(to_BusinessPartnerRole=[{"BusinessPartnerRole": "FLCU01"}]), "PARTNER_ROLE",
         "to_BusinessPartnerRole"),
        (partner(to_BusinessPartnerRole=[{"BusinessPartnerRole": "FLVN01"},
                                         {"BusinessPartnerRole": "X"}]), "PARTNER_ROLE",
         "to_BusinessPartnerRole(1)/BusinessPartnerRole"),
        (partner(to_BusinessPartnerAddress=[{"CityName": "Ulm"}]), "ADDRESS_COUNTRY",
         "to_BusinessPartnerAddress(0)/Country"),
    ],
)  # fmt: skip
def test_a_partner_that_breaks_a_rule_is_refused_with_its_place(
    work: Work, payload: dict[str, Any], code: str, target: str
) -> None:
    with refused_as(code, target):
        create(work, "A_BusinessPartner", payload)


def test_an_address_needs_its_partner(work: Work) -> None:
    with refused_as("PARTNER_MISSING", "BusinessPartner"):
        create(work, "A_BusinessPartnerAddress", {"BusinessPartner": "1", "Country": "DE"})


def test_a_blocked_supplier_is_not_bought_from(work: Work) -> None:
    create(work, "A_BusinessPartner", partner())
    require_supplier(work, "17300009", "")
    with refused_as("SUPPLIER_BLOCKED", "Supplier"):
        require_unblocked(work, "17300009", "")
    # One of the seed has no row of its own.
    require_supplier(work, "17300001", "")
    require_unblocked(work, "17300001", "")


def test_views_are_kept_by_people(work: Work) -> None:
    view = {"Supplier": "17300001", "CompanyCode": "1010"}
    with refused_as("VIEWS_READ_ONLY", ""):
        create(work, "A_SupplierCompany", view)
    with refused_as("VIEWS_READ_ONLY", ""):
        CHECK["A_SupplierPurchasingOrg"](work, {}, "")
