"""What the procurement stand-in takes and is seeded with: hyphenated JSON, every field known."""

from datetime import date
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Status = Literal["active", "inactive"]
Qualification = Literal["Qualified", "InQualification", "Disqualified"]


class Strict(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """A JSON object with hyphenated names in which every field is known."""


class SupplierFields(Strict, frozen=True):
    qualification_status: Qualification | UnsetType = UNSET
    qualified_until: date | UnsetType | None = UNSET  # last day


class SupplierChange(Strict, frozen=True):
    """Body of PUT /api/suppliers/:id."""

    name: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    custom_fields: SupplierFields | UnsetType = UNSET


class SeedSupplier(Strict, frozen=True):
    number: str
    name: str
    status: Status = "active"
    custom_fields: SupplierFields = SupplierFields("InQualification", None)


class Code(Strict, frozen=True):
    """A unit or currency by its code."""

    code: str


class ContractLine(Strict, frozen=True):
    """`price` is for `price_unit_quantity` units; both are decimals in text. Dates are days, the
    end is the last valid one."""

    item_number: str
    price: str
    price_unit_quantity: str
    uom: Code
    currency: Code
    start_date: date
    end_date: date


class SupplierNumber(Strict, frozen=True):
    number: str


class SeedContract(Strict, frozen=True):
    number: str
    name: str
    supplier: SupplierNumber
    start_date: date
    end_date: date  # last valid day
    status: Literal["draft", "published", "expired"] = "published"
    lines: tuple[ContractLine, ...] = ()


class ApprovedManufacturer(Strict, frozen=True):
    manufacturer: str
    part_number: str
    status: str = ""


class ItemFields(Strict, frozen=True):
    revision: str | UnsetType = UNSET
    lifecycle: str | UnsetType = UNSET
    compliance: tuple[str, ...] | UnsetType = UNSET
    approved_manufacturers: tuple[ApprovedManufacturer, ...] | UnsetType = UNSET


class ItemChange(Strict, frozen=True):
    """Body of POST /api/items and PUT /api/items/:id; what is absent stays as it is."""

    item_number: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    uom: Code | UnsetType = UNSET
    custom_fields: ItemFields | UnsetType = UNSET


class ItemNumber(Strict, frozen=True):
    item_number: str


class NewReview(Strict, frozen=True):
    """Body of POST /api/supplier_reviews: asks for a decision on a supplier for an item."""

    external_ref: str
    supplier: SupplierNumber
    item: ItemNumber
    change: str
    reason: str


class ReviewChange(Strict, frozen=True):
    status: Literal["open", "closed"]


class Seed(Strict, frozen=True):
    """What the suite knows before the first request."""

    suppliers: tuple[SeedSupplier, ...] = ()
    contracts: tuple[SeedContract, ...] = ()
