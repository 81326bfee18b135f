"""Procurement's objects as far as they are read or written, with its hyphenated field names.

Fields that are not named here are told as ignored; what an instance has not filled is null. Those
that Coupa documents and nobody needs stand in `left_out`; custom fields never do.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Int64
from canonical.manners import of_id, of_time, unit_of
from canonical.members import Foreign
from handlers.systems.coupa.words import UNITS

Name = Annotated[str, msgspec.Meta(min_length=1)]
# Written only where something is to be said.
Text = str | UnsetType | None
# Far beyond a page of the interface, and beyond the lines of the largest contract.
MAX_ROWS = 10_000
# Twenty pages: each is a read of its own, and all are put on record in one transaction.
MAX_KEYS = 1_000


# Where things go: a key tells.
_ADDRESS = frozenset(
    {"attention", "city", "country", "postal-code", "state", "street1", "street2", "street3"}
)
_NAME = frozenset({"name"})


class _Native(Foreign, frozen=True, rename="kebab"):
    """The vendor's spelling of field names; beside a number or code of ours stands an id."""

    left_out: ClassVar = frozenset({"id", "created-at", "updated-at", "created-by", "updated-by"})
    manners: ClassVar = {
        **dict.fromkeys(
            (
                "number",
                "item-number",
                "po-number",
                "line-num",
                "location-code",
                "remit-to-code",
                "region",
                "business-unit",
                "plant",
            ),
            of_id,
        ),
        "updated-at": of_time,
        "uom.code": unit_of(UNITS),
    }


class Identified(_Native, frozen=True):
    """Any object of a list, as far as it is told from the others."""

    id: Int64


class Code(_Native, frozen=True):
    """A unit or a currency."""

    left_out: ClassVar = frozenset({"name", "decimals"})

    code: Name


class SupplierNumber(_Native, frozen=True):
    """A supplier as other objects refer to it."""

    left_out: ClassVar = _NAME

    number: Name


class ItemNumber(_Native, frozen=True):
    """An item as other objects refer to it."""

    item_number: Name


class Certificate(_Native, frozen=True):
    """A paper behind a qualification; valid_until: last valid day."""

    name: Name
    number: str | None = None
    valid_until: str | None = None


Certificates = Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=MAX_ROWS)]


class QualificationRow(_Native, frozen=True):
    """A qualification for a part of what is bought; what is not filled is no limit.

    valid_from, valid_until: first and last valid day.
    """

    status: Name
    category: str | None = None
    region: str | None = None
    business_unit: str | None = None
    plant: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    preferred_level: Int64 | None = None
    certificates: Certificates | None = None


QualificationRows = Annotated[tuple[QualificationRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class SupplierFields(_Native, frozen=True):
    """The instance's own fields of a supplier; qualified_until: last valid day."""

    qualification_status: str | None = None
    qualified_until: str | None = None
    qualifications: QualificationRows | None = None


class Parent(_Native, frozen=True):
    """The supplier that another one is part of; number: the ERP's, which not everybody has."""

    left_out: ClassVar = _NAME

    number: str | None = None


class SiteFields(_Native, frozen=True):
    """The instance's own fields of a supplier site."""

    manufacturing: bool | None = None
    plants: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None


class SupplierSite(_Native, frozen=True):
    """A place that orders go to; code is its key at the supplier."""

    manners: ClassVar = {"code": of_id}

    code: str | None = None
    name: str | None = None
    active: bool | None = None
    custom_fields: SiteFields | None = None


class RemitToAddress(_Native, frozen=True):
    """A place that payments go to; an address without a code has its id."""

    left_out: ClassVar = _ADDRESS

    id: Int64 | None = None
    remit_to_code: str | None = None
    name: str | None = None
    active: bool | None = None


SupplierSites = Annotated[tuple[SupplierSite, ...], msgspec.Meta(max_length=MAX_ROWS)]
RemitToAddresses = Annotated[tuple[RemitToAddress, ...], msgspec.Meta(max_length=MAX_ROWS)]


class Supplier(_Native, frozen=True):
    """A supplier; number: the ERP's."""

    # How it is written to and paid: procurement keeps that.
    left_out: ClassVar = frozenset(
        {
            "account-number",
            "allow-cxml-invoicing",
            "allow-inv-from-connect",
            "allow-inv-no-backing-doc-from-connect",
            "commodity",
            "confirm-by-hrs",
            "contacts",
            "corporate-url",
            "default-locale",
            "display-name",
            "duns",
            "exported",
            "hold-invoices-for-ap-review",
            "invoice-matching-level",
            "order-confirmation-level",
            "payment-method",
            "po-change-method",
            "po-email",
            "po-method",
            "primary-address",
            "primary-contact",
            "send-invoices-to-approvals",
            "supplier-addresses",
            "supplier-status",
            "tax-id",
            "website",
        }
    )

    id: Int64
    number: Name
    status: str
    name: str | None = None
    parent: Parent | None = None
    supplier_sites: SupplierSites | None = None
    remit_to_addresses: RemitToAddresses | None = None
    custom_fields: SupplierFields | None = None


class StatedSupplier(Supplier, frozen=True, kw_only=True):
    """The same as a row of what changed."""

    updated_at: Name


class ContractLine(_Native, frozen=True):
    """A price for an item: `price` is for `price_unit_quantity` of `uom`.

    start_date, end_date: first and last valid day, where they differ from the contract's.
    lead_time: days. id: where the line has one.
    """

    item_number: Name
    price: str
    uom: Code
    currency: Code
    price_unit_quantity: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    lead_time: Int64 | None = None
    minimum_order_quantity: str | None = None
    id: Int64 | None = None


class Contract(_Native, frozen=True):
    """An agreement; start_date and end_date are its first and last valid day."""

    # Coverage is of lines; a row of what changed says these.
    left_out: ClassVar = frozenset({"currency", "exported", "maximum-value", "name"})

    number: Name
    supplier: SupplierNumber
    status: str
    start_date: str
    end_date: str | None = None
    lines: Annotated[tuple[ContractLine, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


class StatedContract(Contract, frozen=True, kw_only=True):
    """The same as a row of what changed. maximum_value: what may be bought in all."""

    id: Int64
    updated_at: Name
    name: str | None = None
    currency: Code | None = None
    maximum_value: str | None = None


class PartNumber(_Native, frozen=True):
    """The item of an order's line; a catalogue item of a supplier's has no number of ours."""

    left_out: ClassVar = _NAME

    item_number: str | None = None


class ContractNumber(_Native, frozen=True):
    """The contract that a line is bought under."""

    left_out: ClassVar = frozenset({"name", "status"})

    number: str | None = None


class ShipTo(_Native, frozen=True):
    """Where an order goes; location_code: the buyer's key of the place."""

    left_out: ClassVar = _ADDRESS | {"name"}

    location_code: str | None = None


class OrderLine(_Native, frozen=True):
    """A line of an order. type: by quantity, or by amount, which has neither quantity nor unit.

    price: of one `uom`. source_part_num: the supplier's number.
    """

    line_num: str | Int64
    type: str | None = None
    status: str | None = None
    description: str | None = None
    quantity: str | None = None
    uom: Code | None = None
    price: str | None = None
    currency: Code | None = None
    item: PartNumber | None = None
    source_part_num: str | None = None
    need_by_date: str | None = None
    contract: ContractNumber | None = None


class Order(_Native, frozen=True):
    """A purchase order as a row of what changed; not every change counts `version` up.

    type: external where it is another system's.
    """

    # How it came about and was sent.
    left_out: ClassVar = frozenset(
        {
            "acknowledged-at",
            "acknowledged-flag",
            "change-type",
            "exported",
            "hide-price",
            "internal-revision",
            "invoice-stop",
            "last-exported-at",
            "payment-method",
            "price-hidden",
            "requester",
            "requisition-header",
            "ship-to-attention",
            "ship-to-user",
            "transmission-emails",
            "transmission-method-override",
            "transmission-status",
            "type",
            "version",
        }
    )

    id: Int64
    po_number: Name
    status: Name
    updated_at: Name
    supplier: SupplierNumber
    currency: Code
    type: str | None = None
    created_at: str | None = None
    payment_term: Code | None = None
    ship_to_address: ShipTo | None = None
    order_lines: Annotated[tuple[OrderLine, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


class ChangedObject(_Native, frozen=True):
    """An object of which a list of changes tells no more than which it is, and when it changed."""

    # What a client may ask for besides: the object is read.
    left_out: ClassVar = frozenset({"exported", "number", "po-number", "status"})

    id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    updated_at: Name


ChangedObjects = Annotated[tuple[ChangedObject, ...], msgspec.Meta(max_length=MAX_KEYS)]
Stated = TypeVar("Stated", StatedSupplier, StatedContract, Order)


class ReadBack(msgspec.Struct, Generic[Stated], frozen=True):
    """What the read of one object brought back: the object as it came, or that it is gone."""

    object: Stated | None = None
    gone: bool = False


Suppliers = Annotated[tuple[Supplier, ...], msgspec.Meta(max_length=MAX_ROWS)]
Contracts = Annotated[tuple[Contract, ...], msgspec.Meta(max_length=MAX_ROWS)]


class Manufacturer(_Native, frozen=True):
    """One approved manufacturer's part."""

    manufacturer: str
    part_number: str
    status: str = ""


class ItemFields(_Native, frozen=True):
    """The instance's own fields of an item."""

    revision: str | None = None
    lifecycle: str | None = None
    compliance: tuple[str, ...] | None = None
    approved_manufacturers: tuple[Manufacturer, ...] | None = None


class ItemBody(_Native, frozen=True):
    """An item as it is written; custom fields that are not named stay as they are."""

    item_number: str
    name: str
    description: str
    active: bool
    uom: Code
    custom_fields: ItemFields


class Item(_Native, frozen=True):
    """An item as it is read."""

    id: Int64
    item_number: Name
    name: str | None = None
    description: str | None = None
    active: bool | None = None
    uom: Code | None = None
    custom_fields: ItemFields | None = None


class PostalAddress(_Native, frozen=True):
    """Where a supplier is, as it is written and read. country: by its code of ISO 3166."""

    street1: Text = UNSET
    city: Text = UNSET
    postal_code: Text = UNSET
    country: Code | UnsetType | None = UNSET


class SupplierBody(_Native, frozen=True):
    """A supplier as it is written; what is not named stays as it is."""

    number: Text = UNSET
    name: Text = UNSET
    status: Text = UNSET
    primary_address: PostalAddress | UnsetType = UNSET
    payment_term: Code | UnsetType = UNSET


class HeldSupplier(_Native, frozen=True):
    """A supplier as it is compared with what is wanted."""

    id: Int64
    number: str | None = None
    name: str | None = None
    status: str | None = None
    primary_address: PostalAddress | None = None
    payment_term: Code | None = None


class LineFields(_Native, frozen=True):
    """The instance's own fields of an order's line."""

    revision: str | None = None


class OrderLineBody(_Native, frozen=True):
    """A line of an order as it is written: with `id` that line, without it a new one."""

    id: Int64 | UnsetType = UNSET
    delete: bool | UnsetType = msgspec.field(name="_delete", default=UNSET)
    line_num: Text = UNSET
    type: Text = UNSET
    description: Text = UNSET
    quantity: Text = UNSET
    uom: Code | UnsetType = UNSET
    price: Text = UNSET
    currency: Code | UnsetType = UNSET
    item: ItemNumber | UnsetType = UNSET
    source_part_num: Text = UNSET
    need_by_date: Text = UNSET
    custom_fields: LineFields | UnsetType = UNSET


class OrderBody(_Native, frozen=True):
    """An order as it is written; lines that are not named stay as they are."""

    type: Text = UNSET
    po_number: Text = UNSET
    supplier: SupplierNumber | UnsetType = UNSET
    currency: Code | UnsetType = UNSET
    payment_term: Code | UnsetType = UNSET
    ship_to_address: ShipTo | UnsetType = UNSET
    order_lines: tuple[OrderLineBody, ...] | UnsetType = UNSET


class Numbered(_Native, frozen=True):
    """An object as another one refers to it; not all have a number."""

    number: str | None = None


class HeldLine(_Native, frozen=True):
    """A line of an order as it is compared with what is wanted."""

    id: Int64
    line_num: str | Int64
    status: str | None = None
    description: str | None = None
    quantity: str | None = None
    uom: Code | None = None
    price: str | None = None
    currency: Code | None = None
    item: PartNumber | None = None
    source_part_num: str | None = None
    need_by_date: str | None = None
    custom_fields: LineFields | None = None


class HeldOrder(_Native, frozen=True):
    """An order as it is compared with what is wanted. type: ours are external ones."""

    id: Int64
    po_number: str | None = None
    type: str | None = None
    status: str | None = None
    supplier: Numbered | None = None
    currency: Code | None = None
    payment_term: Code | None = None
    ship_to_address: ShipTo | None = None
    order_lines: Annotated[tuple[HeldLine, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


class ReviewBody(_Native, frozen=True):
    """A request to decide on a supplier, as it is written."""

    external_ref: str
    supplier: SupplierNumber
    item: ItemNumber
    change: str
    reason: str


class Review(_Native, frozen=True):
    """A request to decide on a supplier, as it is read."""

    id: Int64
    external_ref: Name
    supplier: SupplierNumber
    status: str = ""
    verdict: str | None = None


class Person(_Native, frozen=True):
    """Somebody who works there."""

    left_out: ClassVar = frozenset({"email", "employee-number"})

    login: str | None = None
    fullname: str | None = None


class StatedReview(_Native, frozen=True, kw_only=True):
    """A review as a row of what changed. external_ref: ours, or whatever else asked for it."""

    # What the request said.
    left_out: ClassVar = frozenset({"item", "change", "reason"})

    id: Int64
    updated_at: Name
    supplier: SupplierNumber
    external_ref: str | None = None
    status: str = ""
    verdict: str | None = None
    decided_by: Person | None = None
    decision_reason: str | None = None


class ReviewChange(_Native, frozen=True):
    """The end of a review, or that it is asked for again, as it is written."""

    status: str
    verdict: str
    decision_reason: str


class ErrorDocument(_Native, frozen=True):
    """Body of a refusal: messages by field, `base` where they are about none."""

    errors: dict[str, tuple[str, ...]]
