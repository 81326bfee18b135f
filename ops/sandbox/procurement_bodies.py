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


class Code(Strict, frozen=True):
    """A unit, currency, country or payment term by its code."""

    code: str


class PostalAddress(Strict, frozen=True):
    street1: str | UnsetType = UNSET
    city: str | UnsetType = UNSET
    postal_code: str | UnsetType = UNSET
    country: Code | UnsetType = UNSET


class SupplierChange(Strict, frozen=True):
    """Body of PUT /api/suppliers/:id; what is absent stays as it is."""

    name: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    primary_address: PostalAddress | UnsetType = UNSET
    payment_term: Code | UnsetType = UNSET
    custom_fields: SupplierFields | UnsetType = UNSET


class NewSupplier(SupplierChange, frozen=True, kw_only=True):
    """Body of POST /api/suppliers."""

    number: str


class SeedSupplier(Strict, frozen=True):
    number: str
    name: str
    status: Status = "active"
    custom_fields: SupplierFields = SupplierFields("InQualification", None)


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


class ShipTo(Strict, frozen=True):
    location_code: str


class LineFields(Strict, frozen=True):
    revision: str | UnsetType = UNSET


class OrderLine(Strict, frozen=True):
    """With `id` a change of that line, without it a new one. Decimals in text, the day is due."""

    id: int | UnsetType = UNSET
    delete: bool | UnsetType = msgspec.field(name="_delete", default=UNSET)
    line_num: str | UnsetType = UNSET
    type: Literal["OrderQuantityLine"] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    quantity: str | UnsetType = UNSET
    uom: Code | UnsetType = UNSET
    price: str | UnsetType = UNSET
    currency: Code | UnsetType = UNSET
    item: ItemNumber | UnsetType = UNSET
    source_part_num: str | UnsetType = UNSET
    need_by_date: date | UnsetType = UNSET
    custom_fields: LineFields | UnsetType = UNSET


class OrderChange(Strict, frozen=True):
    """Body of PUT /api/purchase_orders/:id; lines that are not named stay as they are."""

    payment_term: Code | UnsetType = UNSET
    ship_to_address: ShipTo | UnsetType = UNSET
    order_lines: tuple[OrderLine, ...] | UnsetType = UNSET


class NewOrder(OrderChange, frozen=True, kw_only=True):
    """Body of POST /api/purchase_orders: an order of another system."""

    type: Literal["ExternalOrderHeader"]
    po_number: str
    supplier: SupplierNumber
    currency: Code


class NewReview(Strict, frozen=True):
    """Body of POST /api/supplier_reviews: asks for a decision on a supplier for an item."""

    external_ref: str
    supplier: SupplierNumber
    item: ItemNumber
    change: str
    reason: str


class ReviewChange(Strict, frozen=True):
    """Body of PUT /api/supplier_reviews/:id; what is not named stays as it is."""

    status: Literal["open", "closed"]
    verdict: Literal["", "approved", "rejected", "withdrawn"] | UnsetType = UNSET
    decision_reason: str | UnsetType = UNSET


class Seed(Strict, frozen=True):
    """What the suite knows before the first request."""

    suppliers: tuple[SeedSupplier, ...] = ()
    contracts: tuple[SeedContract, ...] = ()
