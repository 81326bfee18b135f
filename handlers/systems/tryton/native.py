"""Tryton's own shapes, in its own names: what a look asks for, and the values of its JSON.

A field that ends with a dot holds the fields asked for of the record that it refers to.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

import msgspec

from canonical.manners import of_id, unit_of
from canonical.members import Foreign
from handlers.systems.tryton.words import UNITS

# A number as the server writes a float; exact, since it is read from its text.
Float = Decimal
Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What every record is known by. timestamp: of its last change; in a write it says that
    nothing has changed since."""

    id: Id
    timestamp: str = msgspec.field(name="_timestamp", default="")


class Exact(msgspec.Struct, frozen=True):
    """A decimal number."""

    decimal: str
    kind: Literal["Decimal"] = msgspec.field(name="__class__", default="Decimal")


class Day(msgspec.Struct, frozen=True):
    """A date."""

    year: int
    month: int
    day: int
    kind: Literal["date"] = msgspec.field(name="__class__", default="date")


class Span(msgspec.Struct, frozen=True):
    """A duration."""

    seconds: float
    kind: Literal["timedelta"] = msgspec.field(name="__class__", default="timedelta")


def day(value: date) -> Day:
    """The date as Tryton writes it."""
    return Day(value.year, value.month, value.day)


def days(value: int) -> Span:
    """So many days as Tryton writes them."""
    return Span(timedelta(days=value).total_seconds())


# --- what records refer to ---


class Symbol(Record, frozen=True, kw_only=True):
    """A unit of measure."""

    symbol: str


class Coded(Record, frozen=True, kw_only=True):
    """A product, party or currency by its code."""

    code: str | None = None
    active: bool = True


# --- items ---


class Template(Record, frozen=True, kw_only=True):
    """What all variants of a product share."""

    name: str
    type: str
    active: bool
    default_uom: Symbol = msgspec.field(name="default_uom.")
    purchase_uom: Symbol | None = msgspec.field(name="purchase_uom.", default=None)
    purchasable: bool = False
    producible: bool = False


class Product(Record, frozen=True, kw_only=True):
    """A product, which is one variant of its template."""

    code: str | None = None
    active: bool = True
    description: str | None = None
    template: Template = msgspec.field(name="template.")


class HeldItem(msgspec.Struct, frozen=True):
    """What a look at an item found. units: ids by symbol, where they are needed."""

    product: Product | None = None
    units: dict[str, int] = {}


# --- bills of material ---


class Row(Record, frozen=True, kw_only=True):
    """An input or an output of a BOM. product: None where another BOM stands in the line."""

    quantity: Float
    unit: Symbol = msgspec.field(name="unit.")
    product: Coded | None = msgspec.field(name="product.", default=None)


class BillOfMaterial(Record, frozen=True, kw_only=True):
    """A BOM with what goes in and what comes out."""

    name: str
    code: str | None = None
    active: bool = True
    inputs: tuple[Row, ...] = msgspec.field(name="inputs.", default=())
    outputs: tuple[Row, ...] = msgspec.field(name="outputs.", default=())


class Link(Record, frozen=True, kw_only=True):
    """That a product is made by a BOM."""

    bom: int | None = None


class Made(Coded, frozen=True, kw_only=True):
    """A product with the BOMs that it is made by."""

    boms: tuple[Link, ...] = msgspec.field(name="boms.", default=())


class HeldBom(msgspec.Struct, frozen=True):
    """What a look at a BOM found. products, units: ids by code and symbol, of what it refers to.
    is_linked: the parent is made by it."""

    bom: BillOfMaterial | None = None
    products: dict[str, int] = {}
    units: dict[str, int] = {}
    is_linked: bool = False


# --- suppliers ---


class Address(Record, frozen=True, kw_only=True):
    """An address of a party."""

    active: bool = True
    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    country: Coded | None = msgspec.field(name="country.", default=None)


class Identifier(Record, frozen=True, kw_only=True):
    """A number that others know a party by."""

    type: str | None = None
    code: str | None = None


class Party(Coded, frozen=True, kw_only=True):
    """A party with its addresses."""

    name: str | None = None
    addresses: tuple[Address, ...] = msgspec.field(name="addresses.", default=())
    identifiers: tuple[Identifier, ...] = msgspec.field(name="identifiers.", default=())


class HeldParty(msgspec.Struct, frozen=True):
    """What a look at a supplier found. countries: ids by code, of those that are needed."""

    party: Party | None = None
    countries: dict[str, int] = {}


class Company(Record, frozen=True, kw_only=True):
    """A company, known by its party."""

    party: Coded = msgspec.field(name="party.")


# --- terms ---


class Price(Record, frozen=True, kw_only=True):
    """A price from a quantity on; the last one that fits is taken."""

    quantity: Float
    unit_price: Exact


class Supplied(Record, frozen=True, kw_only=True):
    """That a supplier has a product, and on which terms."""

    code: str | None = None
    active: bool = True
    lead_time: Span | None = None
    currency: Coded = msgspec.field(name="currency.")
    template: Id
    product: Id | None = None
    prices: tuple[Price, ...] = msgspec.field(name="prices.", default=())


class BoughtTemplate(Record, frozen=True, kw_only=True):
    """The unit in which a product is bought; None where it is not."""

    purchase_uom: Symbol | None = msgspec.field(name="purchase_uom.", default=None)


class Bought(Coded, frozen=True, kw_only=True):
    """A product as it is bought."""

    template: BoughtTemplate = msgspec.field(name="template.")


class HeldTerms(msgspec.Struct, frozen=True):
    """What a look at terms found; company, party, currencies: ids."""

    supplied: Supplied | None = None
    product: Bought | None = None
    company: int = 0
    parties: dict[str, int] = {}
    currencies: dict[str, int] = {}


# --- documents of purchase ---


class References(msgspec.Struct, frozen=True):
    """Ids of what a document refers to. address: of the supplier, the first active one; 0 where it
    has none."""

    company: int = 0
    party: int = 0
    address: int = 0
    currency: int = 0
    products: dict[str, int] = {}
    units: dict[str, int] = {}


class PurchaseLine(Record, frozen=True, kw_only=True):
    """A line of a purchase; of type "line" or a text between them."""

    type: str
    sequence: int | None = None
    quantity: Float | None = None
    unit: Symbol | None = msgspec.field(name="unit.", default=None)
    product: Coded | None = msgspec.field(name="product.", default=None)
    unit_price: Exact | None = None
    description: str | None = None
    delivery_date_store: Day | None = None


class Purchase(Record, frozen=True, kw_only=True):
    """A purchase with its lines. number: Tryton's own, once it is quoted."""

    reference: str | None = None
    number: str | None = None
    state: str
    party: Coded = msgspec.field(name="party.")
    currency: Coded = msgspec.field(name="currency.")
    lines: tuple[PurchaseLine, ...] = msgspec.field(name="lines.", default=())


class HeldPurchase(msgspec.Struct, frozen=True):
    """What a look at a purchase found."""

    purchase: Purchase | None = None
    references: References = References()


class AgreedLine(Record, frozen=True, kw_only=True):
    """A line of a blanket agreement. quantity: that is agreed; None = any."""

    quantity: Float | None = None
    unit: Symbol = msgspec.field(name="unit.")
    product: Coded = msgspec.field(name="product.")
    unit_price: Exact


class Agreement(Record, frozen=True, kw_only=True):
    """A blanket agreement with its lines."""

    reference: str | None = None
    number: str | None = None
    state: str
    from_date: Day | None = None
    to_date: Day | None = None
    supplier: Coded = msgspec.field(name="supplier.")
    currency: Coded = msgspec.field(name="currency.")
    lines: tuple[AgreedLine, ...] = msgspec.field(name="lines.", default=())


class HeldAgreement(msgspec.Struct, frozen=True):
    """What a look at a blanket agreement found."""

    agreement: Agreement | None = None
    references: References = References()


# --- what is read ---


class Moment(msgspec.Struct, frozen=True):
    """A time, in UTC."""

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0
    kind: Literal["datetime"] = msgspec.field(name="__class__", default="datetime")


class Changed(msgspec.Struct, frozen=True):
    """A record of a list of what changed. write_date: None where it never was."""

    id: Id
    write_date: Moment | None = None
    create_date: Moment | None = None


class ChangedRecords(msgspec.Struct, frozen=True):
    """The answer to a search for what changed, as it stands."""

    result: tuple[Changed, ...]
    id: int | str | None = None


class _Read(Foreign, frozen=True):
    """Part of a record that was read: how its texts are usually written."""

    manners: ClassVar = {
        **dict.fromkeys(("code", "number", "reference"), of_id),
        "symbol": unit_of(UNITS),
    }


LineType = Literal["line", "title", "comment", "subtotal"]


class ReadSymbol(_Read, frozen=True):
    """A unit of measure."""

    symbol: str
    id: Id | None = None


class ReadCode(_Read, frozen=True):
    """What has a code."""

    code: str | None = None
    id: Id | None = None


class ReadTemplate(_Read, frozen=True):
    """What all variants of a product share."""

    name: str
    type: str
    default_uom: ReadSymbol = msgspec.field(name="default_uom.")
    active: bool = True
    write_date: Moment | None = None
    create_date: Moment | None = None
    id: Id | None = None


class ReadProduct(_Read, frozen=True):
    """A product as it was read."""

    id: Id
    template: ReadTemplate = msgspec.field(name="template.")
    code: str | None = None
    active: bool = True
    write_date: Moment | None = None
    create_date: Moment | None = None


class ReadPurchaseLine(_Read, frozen=True):
    """A line of a purchase as it was read. quantity: what its shortest text says."""

    id: Id
    type: LineType
    sequence: int | None = None
    quantity: float | None = None
    unit: ReadSymbol | None = msgspec.field(name="unit.", default=None)
    product: ReadCode | None = msgspec.field(name="product.", default=None)
    unit_price: Exact | None = None
    description: str | None = None
    delivery_date: Day | None = None
    write_date: Moment | None = None
    create_date: Moment | None = None


class ReadCompany(_Read, frozen=True):
    """A company, known by its party."""

    party: ReadCode = msgspec.field(name="party.")
    id: Id | None = None


class ReadPurchase(_Read, frozen=True):
    """A purchase as it was read."""

    id: Id
    state: str
    party: ReadCode = msgspec.field(name="party.")
    company: ReadCompany = msgspec.field(name="company.")
    currency: ReadCode = msgspec.field(name="currency.")
    number: str | None = None
    reference: str | None = None
    purchase_date: Day | None = None
    lines: tuple[ReadPurchaseLine, ...] = msgspec.field(name="lines.", default=())
    write_date: Moment | None = None
    create_date: Moment | None = None


R = TypeVar("R", ReadProduct, ReadPurchase)


class ReadBack(msgspec.Struct, Generic[R], frozen=True):
    """A record as a read by its id brought it back, or that there is none."""

    object: R | None = None
    gone: bool = False
