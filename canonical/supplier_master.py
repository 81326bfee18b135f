"""Supplier masters as an ERP holds them: who it is, what each company pays by and what each
purchasing organisation buys by. Bank data is not in it, on purpose: nobody here pays.

Kept apart from `canonical/supplier.py`, which is what procurement says of a qualification.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.money import Money
from canonical.patch import Flag, Text, merge_texts, merge_views, said


class CompanyView(msgspec.Struct, frozen=True, gc=False):
    """What one company (legal entity) adds.

    reconciliation_account: of its general ledger. payment_block: the ERP's own word; "" = none.
    remit_to: number of the supplier that is paid instead.
    """

    company: str
    payment_terms: str = ""
    reconciliation_account: str = ""
    payment_block: str = ""
    remit_to: str = ""
    is_posting_blocked: bool = False
    is_deleted: bool = False


class PurchasingView(msgspec.Struct, frozen=True, gc=False):
    """What one purchasing organisation adds.

    incoterms: the rule, such as FCA; incoterms_place: where it is fulfilled. minimum_order: value
    that an order has at least.
    """

    organisation: str
    currency: str = ""
    payment_terms: str = ""
    incoterms: str = ""
    incoterms_place: str = ""
    minimum_order: Money | None = None
    purchasing_group: str = ""
    lead_time_days: Int64 | None = None
    is_confirmation_required: bool = False
    is_purchasing_blocked: bool = False
    is_deleted: bool = False


class SupplierMaster(msgspec.Struct, frozen=True):
    """The supplier as the ERP has it now.

    version: of the last patch. name2 to name4: lines below the name. country, region: as the ERP
    writes them. language: ISO 639. tax_numbers: by "vat" and "tax-1" to "tax-5", what each means
    depends on the country. account_group, quality_block: the ERP's own words. group: key that
    suppliers of one group share. remit_to: number of the supplier that is paid instead. origin:
    system that stated it first; "" = not known.
    """

    number: str
    version: Int64
    name: str = ""
    name2: str = ""
    name3: str = ""
    name4: str = ""
    street: str = ""
    district: str = ""
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    po_box: str = ""
    po_box_postal_code: str = ""
    po_box_city: str = ""
    language: str = ""
    tax_numbers: Mapping[str, str] = {}
    account_group: str = ""
    group: str = ""
    remit_to: str = ""
    quality_block: str = ""
    is_posting_blocked: bool = False
    is_purchasing_blocked: bool = False
    is_deleted: bool = False
    companies: tuple[CompanyView, ...] = ()
    organisations: tuple[PurchasingView, ...] = ()
    source_id: str = ""
    stated_at: Instant | None = None
    origin: str = ""


class CompanyPatch(msgspec.Struct, frozen=True, gc=False):
    """What an ERP says of one company's view."""

    company: str
    payment_terms: Text = UNSET
    reconciliation_account: Text = UNSET
    payment_block: Text = UNSET
    remit_to: Text = UNSET
    is_posting_blocked: Flag = UNSET
    is_deleted: Flag = UNSET


class PurchasingPatch(msgspec.Struct, frozen=True, gc=False):
    """What an ERP says of one purchasing organisation's view."""

    organisation: str
    currency: Text = UNSET
    payment_terms: Text = UNSET
    incoterms: Text = UNSET
    incoterms_place: Text = UNSET
    minimum_order: Money | UnsetType | None = UNSET
    purchasing_group: Text = UNSET
    lead_time_days: Int64 | UnsetType | None = UNSET
    is_confirmation_required: Flag = UNSET
    is_purchasing_blocked: Flag = UNSET
    is_deleted: Flag = UNSET


class SupplierMasterPatch(msgspec.Struct, frozen=True):
    """What an ERP says of a supplier.

    tax_numbers: by kind; None takes one away. companies, organisations: those that are not named
    stay as they are. origin: system that says so.
    """

    number: str
    version: Int64
    name: Text = UNSET
    name2: Text = UNSET
    name3: Text = UNSET
    name4: Text = UNSET
    street: Text = UNSET
    district: Text = UNSET
    postal_code: Text = UNSET
    city: Text = UNSET
    region: Text = UNSET
    country: Text = UNSET
    po_box: Text = UNSET
    po_box_postal_code: Text = UNSET
    po_box_city: Text = UNSET
    language: Text = UNSET
    tax_numbers: Mapping[str, str | None] = {}
    account_group: Text = UNSET
    group: Text = UNSET
    remit_to: Text = UNSET
    quality_block: Text = UNSET
    is_posting_blocked: Flag = UNSET
    is_purchasing_blocked: Flag = UNSET
    is_deleted: Flag = UNSET
    companies: tuple[CompanyPatch, ...] = ()
    organisations: tuple[PurchasingPatch, ...] = ()
    source_id: Text = UNSET
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET


_MERGED = ("tax_numbers", "companies", "organisations", "origin")


def merge(known: SupplierMaster | None, patch: SupplierMasterPatch) -> SupplierMaster:
    """The supplier after the patch; known: before it, None where nothing was.

    Merging a patch twice is merging it once.
    """
    before = known or SupplierMaster(patch.number, patch.version)
    return msgspec.structs.replace(
        before,
        **said(patch, SupplierMaster, without=_MERGED),
        tax_numbers=merge_texts(before.tax_numbers, patch.tax_numbers),
        companies=merge_views(before.companies, patch.companies, of=CompanyView, by="company"),
        organisations=merge_views(
            before.organisations, patch.organisations, of=PurchasingView, by="organisation"
        ),
        origin=before.origin or patch.origin or "",
    )


def supplier_master_key(number: str) -> str:
    """Order and document key of a supplier master."""
    return f"supplier-master/{number}"
