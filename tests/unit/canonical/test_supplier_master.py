"""Patches of a supplier master: what is not said stays, what is empty goes."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.codec import decode_json, encode
from canonical.money import Money
from canonical.supplier_master import (
    CompanyPatch,
    CompanyView,
    PurchasingPatch,
    PurchasingView,
    SupplierMaster,
    SupplierMasterPatch,
    merge,
)

WORDS = st.sampled_from(["A", "B", None, UNSET])
FLAGS = st.sampled_from([True, False, UNSET])
PATCHES = st.builds(
    SupplierMasterPatch,
    number=st.just("S-1"),
    version=st.integers(1, 9),
    name=WORDS,
    remit_to=WORDS,
    tax_numbers=st.dictionaries(
        st.sampled_from(["vat", "tax-1"]), st.sampled_from(["1", None]), max_size=2
    ),
    is_deleted=FLAGS,
    companies=st.lists(
        st.builds(CompanyPatch, st.sampled_from(["1000", "2000"]), payment_terms=WORDS), max_size=3
    ).map(tuple),
    organisations=st.lists(
        st.builds(
            PurchasingPatch,
            st.sampled_from(["1000", "3000"]),
            currency=WORDS,
            minimum_order=st.sampled_from([Money(Decimal(5), "EUR"), None, UNSET]),
            is_purchasing_blocked=FLAGS,
        ),
        max_size=3,
    ).map(tuple),
)


def state(*patches: SupplierMasterPatch) -> SupplierMaster:
    found: SupplierMaster | None = None
    for patch in patches:
        found = merge(found, patch)
    assert found is not None
    return found


@given(PATCHES, PATCHES)
def test_a_patch_that_is_merged_again_changes_nothing(
    first: SupplierMasterPatch, then: SupplierMasterPatch
) -> None:
    assert state(first, then, then) == state(first, then)


@given(PATCHES, st.integers(1, 9))
def test_a_patch_that_says_nothing_changes_nothing_but_the_version(
    first: SupplierMasterPatch, version: int
) -> None:
    silent = SupplierMasterPatch("S-1", version)
    assert state(first, silent) == msgspec.structs.replace(state(first), version=version)


@given(PATCHES)
def test_a_patch_says_on_the_wire_what_it_says(said: SupplierMasterPatch) -> None:
    assert decode_json(encode(said), SupplierMasterPatch) == said


def test_every_field_of_a_patch_is_one_of_the_document() -> None:
    pairs = (
        (SupplierMasterPatch, SupplierMaster),
        (CompanyPatch, CompanyView),
        (PurchasingPatch, PurchasingView),
    )
    for patch, document in pairs:
        assert patch.__struct_fields__ == document.__struct_fields__


def test_companies_and_organisations_are_merged_one_by_one() -> None:
    known = state(
        SupplierMasterPatch(
            "S-1",
            1,
            companies=(CompanyPatch("2000", payment_terms="NT30"),),
            organisations=(PurchasingPatch("1000", currency="EUR", incoterms="FCA"),),
        )
    )
    found = merge(
        known,
        SupplierMasterPatch(
            "S-1",
            2,
            companies=(CompanyPatch("1000", remit_to="S-9"),),
            organisations=(PurchasingPatch("1000", incoterms=None, lead_time_days=3),),
        ),
    )
    assert found.companies == (
        CompanyView("1000", remit_to="S-9"),
        CompanyView("2000", payment_terms="NT30"),
    )
    assert found.organisations == (PurchasingView("1000", currency="EUR", lead_time_days=3),)
