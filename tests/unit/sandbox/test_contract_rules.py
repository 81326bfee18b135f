"""What the ERP stand-in refuses of purchase contracts and source lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.erp_rules import CHECK, CREATE
from ops.sandbox.erp_work import Seed, Work, row_of
from ops.sandbox.odata import Row, check_payload, load_model
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored, Tables

MODEL = load_model()
SEED = Seed(
    plants=("1010", "1020"),
    purchasing_organizations={"1010": ("1010",)},
    suppliers=("17300001", "17300002"),
)
CONTRACTS, ITEMS, SOURCES = "A_PurchaseContract", "A_PurchaseContractItem", "A_PurchasingSource"
MARCH, APRIL = "/Date(1772323200000)/", "/Date(1775001600000)/"


@pytest.fixture
def work() -> Work:
    tables = Tables(Path(":memory:"), [entity_set.name for _, entity_set in MODEL.sets()])
    work = Work(MODEL, tables, SEED, datetime(2026, 3, 2, tzinfo=UTC), "demo", changes=[])
    for number, unit in (("SEAL", "PC"), ("OIL", "KG"), ("HOSE", "M")):
        work.insert("A_Product", {"Product": number, "ProductType": "ROH", "BaseUnit": unit})
        if number != "HOSE":
            work.insert("A_ProductPlant", {"Product": number, "Plant": "1010"})
    return work


def item(number: str = "10", **fields: object) -> dict[str, Any]:
    return {
        "PurchaseContractItem": number,
        "Material": "SEAL",
        "TargetQuantity": "500",
        "ContractNetPriceAmount": "25",
        **fields,
    }


def contract(*items: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {
        "PurchaseContractType": "MK",
        "Supplier": "17300001",
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "001",
        "DocumentCurrency": "EUR",
        "ValidityStartDate": MARCH,
        "ValidityEndDate": APRIL,
        "to_PurchaseContractItem": {"results": list(items or (item(),))},
        **fields,
    }


def source(**fields: object) -> dict[str, Any]:
    return {
        "Material": "SEAL",
        "Plant": "1010",
        "ValidityStartDate": MARCH,
        "ValidityEndDate": APRIL,
        "Supplier": "17300001",
        "PurchasingOrganization": "1010",
        **fields,
    }


def create(work: Work, name: str, payload: object) -> Stored:
    return CREATE[name](work, check_payload(MODEL, MODEL.find(name)[1], payload, creating=True))


def change(work: Work, name: str, stored: Stored, **fields: Any) -> None:
    check_payload(MODEL, MODEL.find(name)[1], fields, creating=False)
    row = row_of(stored) | fields
    CHECK[name](work, row, "")
    work.update(name, stored, row)


def first(work: Work, name: str) -> Stored:
    return work.tables.find(name, {})[0]


@contextmanager
def refused_as(code: str) -> Iterator[None]:
    with pytest.raises(Refused) as refused:
        yield
    assert refused.value.code == f"ZSANDBOX/{code}"


def test_a_contract_is_stored_whole_and_active(work: Work) -> None:
    stored = create(work, CONTRACTS, contract(item("10", Plant="1010"), item("20")))
    assert stored.row["PurchaseContract"] == "4600000001"
    assert stored.row["PurchasingProcessingStatusName"] == "Active"
    names = ("PurchaseContract", "OrderQuantityUnit", "DocumentCurrency")
    rows = [row.row for row in work.tables.find(ITEMS, {})]
    assert [[row[name] for name in names] for row in rows] == [["4600000001", "PC", "EUR"]] * 2


@pytest.mark.parametrize(
    ("payload", "code", "target"),
    [
        (contract(Supplier="1"), "SUPPLIER_UNKNOWN", "Supplier"),
        (contract(PurchaseContractType="ZZ"), "CONTRACT_TYPE", "PurchaseContractType"),
        (contract(PurchasingOrganization="9"), "PURCHASING_ORGANIZATION", "PurchasingOrganization"),
        (contract(PurchaseContract="46"), "NUMBER_INTERNAL", "PurchaseContract"),
        (contract(ValidityEndDate=None), "PROPERTY_MISSING", "ValidityEndDate"),
        (contract(ValidityStartDate=APRIL, ValidityEndDate=MARCH), "VALIDITY", "ValidityEndDate"),
        (contract(PurchaseContractType="WK"), "CONTRACT_TARGET", "PurchaseContractTargetAmount"),
        (contract(to_PurchaseContractItem=[]), "CONTRACT_EMPTY", "to_PurchaseContractItem"),
        (contract(item(Material="BOLT")), "CONTRACT_MATERIAL_MISSING",
         "to_PurchaseContractItem(0)/Material"),
        (contract(item(), item("20", Material="OIL", Plant="1020")), "PLANT_UNKNOWN",
         "to_PurchaseContractItem(1)/Plant"),
        (contract(item(Material="HOSE", Plant="1010")), "PRODUCT_NOT_IN_PLANT",
         "to_PurchaseContractItem(0)/Plant"),
        (contract(item(OrderQuantityUnit="KG")), "UNIT_NOT_CONVERTIBLE",
         "to_PurchaseContractItem(0)/OrderQuantityUnit"),
        (contract(item(NetPriceQuantity="0")), "PRICE_UNIT",
         "to_PurchaseContractItem(0)/NetPriceQuantity"),
        (contract(item(TargetQuantity="0")), "CONTRACT_TARGET",
         "to_PurchaseContractItem(0)/TargetQuantity"),
        (contract(item(ContractItemConsumedQuantity="5")), "PROPERTY_READ_ONLY",
         "to_PurchaseContractItem(0)/ContractItemConsumedQuantity"),
        (contract(CorrespncInternalReference="C" * 13), "VALUE_TOO_LONG",
         "CorrespncInternalReference"),
    ],
)  # fmt: skip
def test_a_contract_that_breaks_a_rule_is_refused(
    work: Work, payload: dict[str, Any], code: str, target: str
) -> None:
    with pytest.raises(Refused) as refused:
        create(work, CONTRACTS, payload)
    assert (refused.value.code, refused.value.target) == (f"ZSANDBOX/{code}", target)


def test_a_value_contract_needs_no_quantities(work: Work) -> None:
    of_value = contract(
        item(TargetQuantity="0"), PurchaseContractType="WK", PurchaseContractTargetAmount="5000"
    )
    assert create(work, CONTRACTS, of_value).row["PurchaseContractType"] == "WK"


def test_an_item_is_blocked_and_freed_and_once_taken_out_stays_so(work: Work) -> None:
    create(work, CONTRACTS, contract())
    for code in ("S", "", "L"):
        change(work, ITEMS, first(work, ITEMS), PurchasingContractDeletionCode=code)
    with refused_as("CONTRACT_ITEM_DELETED"):
        change(work, ITEMS, first(work, ITEMS), PurchasingContractDeletionCode="")
    with refused_as("CONTRACT_MISSING"):
        create(work, ITEMS, item("20", PurchaseContract="47"))
    create(work, ITEMS, item("20", PurchaseContract="4600000001"))
    with refused_as("DELETION_CODE"):
        change(work, ITEMS, work.tables.find(ITEMS, {})[1], PurchasingContractDeletionCode="Q")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"PurchasingDocumentDeletionCode": "L"}, "CONTRACT_DELETED"),
        ({"PurchasingProcessingStatus": "03"}, "CONTRACT_IN_APPROVAL"),
    ],
)
def test_a_contract_that_is_deleted_or_in_approval_takes_no_changes(
    work: Work, state: dict[str, Any], code: str
) -> None:
    stored = create(work, CONTRACTS, contract())
    work.update(CONTRACTS, stored, row_of(stored) | state)
    with refused_as(code):
        change(work, CONTRACTS, first(work, CONTRACTS), ValidityEndDate=MARCH)
    with refused_as(code):
        change(work, ITEMS, first(work, ITEMS), TargetQuantity="7.000")
    with refused_as(code):
        create(work, ITEMS, item("20", PurchaseContract="4600000001"))


def test_rows_of_a_source_list_are_numbered_for_each_material_and_plant(work: Work) -> None:
    planted: Row = {"Material": "SEAL", "Plant": "1010", "SourceListRecord": "2"}
    work.insert(SOURCES, planted)
    numbers = [
        create(work, SOURCES, source(**of)).row["SourceListRecord"]
        for of in ({}, {"Material": "OIL"}, {"Supplier": "17300002"})
    ]
    assert numbers == ["1", "1", "3"]


@pytest.mark.parametrize(
    ("payload", "code", "target"),
    [
        (source(Supplier=""), "PROPERTY_MISSING", "Supplier"),
        (source(PurchasingOrganization=""), "PROPERTY_MISSING", "PurchasingOrganization"),
        (source(ValidityEndDate=None), "PROPERTY_MISSING", "ValidityEndDate"),
        (source(SourceListRecord="1"), "NUMBER_INTERNAL", "SourceListRecord"),
        (source(SourceOfSupplyIsFixed=True), "PROPERTY_READ_ONLY", "SourceOfSupplyIsFixed"),
        (source(SupplierIsFixed=True), "PROPERTY_READ_ONLY", "SupplierIsFixed"),
        (source(Material="BOLT"), "PRODUCT_MISSING", "Material"),
        (source(Material="HOSE"), "PRODUCT_NOT_IN_PLANT", "Plant"),
        (source(Plant="1020"), "PURCHASING_ORGANIZATION", "PurchasingOrganization"),
        (source(Supplier="9"), "SUPPLIER_UNKNOWN", "Supplier"),
        (source(ValidityStartDate=APRIL, ValidityEndDate=MARCH), "VALIDITY", "ValidityEndDate"),
        (source(PurchaseOutlineAgreement="47"), "AGREEMENT_MISSING", "PurchaseOutlineAgreement"),
        (source(PurchaseOutlineAgreement="4600000001", Supplier="17300002"), "AGREEMENT_MISSING",
         "PurchaseOutlineAgreement"),
        (source(PurchaseOutlineAgreement="4600000001", PurchaseOutlineAgreementItem="20"),
         "AGREEMENT_ITEM_MISSING", "PurchaseOutlineAgreementItem"),
        (source(PurchaseOutlineAgreement="4600000001", PurchaseOutlineAgreementItem="10",
                Material="OIL"), "AGREEMENT_ITEM_MISSING", "PurchaseOutlineAgreementItem"),
    ],
)  # fmt: skip
def test_a_row_that_breaks_a_rule_is_refused(
    work: Work, payload: dict[str, Any], code: str, target: str
) -> None:
    create(work, CONTRACTS, contract())
    with pytest.raises(Refused) as refused:
        create(work, SOURCES, payload)
    assert (refused.value.code, refused.value.target) == (f"ZSANDBOX/{code}", target)


def test_a_row_on_an_agreement_is_taken_and_changed(work: Work) -> None:
    create(work, CONTRACTS, contract())
    on = {"PurchaseOutlineAgreement": "4600000001", "PurchaseOutlineAgreementItem": "10"}
    stored = create(work, SOURCES, source(**on))
    change(work, SOURCES, stored, SourceOfSupplyIsBlocked=True)
    with refused_as("AGREEMENT_ITEM_MISSING"):
        change(work, SOURCES, first(work, SOURCES), PurchaseOutlineAgreementItem="30")
