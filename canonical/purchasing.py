"""Purchasing info records: under which terms a plant buys an item from a supplier.

`InfoRecord` is what a step wants an ERP to hold, `InfoRecordTerms` what an ERP holds.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.money import UnitPrice
from canonical.patch import Flag, Text, said
from canonical.price_periods import PricePeriod, PriceScale, merge_periods
from canonical.quantity import Quantity, Ratio
from canonical.text import joined_key


class InfoRecord(msgspec.Struct, frozen=True):
    """One supplier's terms for one item at one purchasing organisation and plant.

    order_unit: Rec 20 code; base_unit of the item is the same unless `order_to_base` says
        otherwise (numerator, denominator: 1 order unit = n/d base units).
    last_day: last valid day of the price; None = open. minimum: of one order, in the order unit.
    under_tolerance, over_tolerance: percent of a quantity by which a delivery may fall short of it
        or go beyond. scales: of the price, as of `CoverageLine`. Of what is UNSET the contract says
        nothing.
    purchasing_group: who buys for the plant, where the ERP does not know; UNSET = nobody is named.
    """

    supplier: str
    item: str
    purchasing_org: str
    plant: str
    order_unit: str
    base_unit: str
    order_to_base: tuple[int, int]
    price: UnitPrice
    lead_time_days: int
    contract: str
    last_day: date | None = None
    minimum: Quantity | UnsetType = UNSET
    under_tolerance: Decimal | UnsetType = UNSET
    over_tolerance: Decimal | UnsetType = UNSET
    purchasing_group: str | UnsetType = UNSET
    scales: tuple[PriceScale, ...] | UnsetType = UNSET


class InfoRecordTerms(msgspec.Struct, frozen=True):
    """One supplier's terms for one item at one purchasing organisation, as the ERP has them now.

    plant: "" = all plants of the organisation. category: standard, consignment, subcontracting or
    pipeline. version: of the last patch. number: the ERP's own. order_to_base: 1 order unit is so
    many base units. price: net, without scales; price_until: its last valid day, None = open.
    prices: by days and with scales, where the ERP tells them. order_to_price: 1 order unit is so
    many units of the price. minimum, standard, maximum: quantities of an order. tolerances: percent
    of a quantity, under and over it. confirmation_control: the ERP's own word. is_deleted: marked
    in all organisations; is_deleted_here: in this one.
    """

    supplier: str
    item: str
    organisation: str
    plant: str
    category: str
    version: Int64
    number: str = ""
    supplier_item: str = ""
    is_regular_supplier: bool = False
    order_unit: str = ""
    base_unit: str = ""
    order_to_base: Ratio | None = None
    purchasing_group: str = ""
    currency: str = ""
    price: UnitPrice | None = None
    order_to_price: Ratio | None = None
    price_until: date | None = None
    lead_time_days: Int64 | None = None
    minimum: Quantity | None = None
    standard: Quantity | None = None
    maximum: Quantity | None = None
    under_tolerance: Decimal | None = None
    over_tolerance: Decimal | None = None
    is_over_unlimited: bool = False
    is_confirmation_required: bool = False
    confirmation_control: str = ""
    is_deleted: bool = False
    is_deleted_here: bool = False
    source_id: str = ""
    stated_at: Instant | None = None
    prices: tuple[PricePeriod, ...] = ()


class InfoRecordTermsPatch(msgspec.Struct, frozen=True):
    """What an ERP says of the terms. prices: days that none of them names stay as they are; one
    without a price ends what was known of its days. origin: system that says so; not on record."""

    supplier: str
    item: str
    organisation: str
    plant: str
    category: str
    version: Int64
    number: Text = UNSET
    supplier_item: Text = UNSET
    is_regular_supplier: Flag = UNSET
    order_unit: Text = UNSET
    base_unit: Text = UNSET
    order_to_base: Ratio | UnsetType | None = UNSET
    purchasing_group: Text = UNSET
    currency: Text = UNSET
    price: UnitPrice | UnsetType | None = UNSET
    order_to_price: Ratio | UnsetType | None = UNSET
    price_until: date | UnsetType | None = UNSET
    lead_time_days: Int64 | UnsetType | None = UNSET
    minimum: Quantity | UnsetType | None = UNSET
    standard: Quantity | UnsetType | None = UNSET
    maximum: Quantity | UnsetType | None = UNSET
    under_tolerance: Decimal | UnsetType | None = UNSET
    over_tolerance: Decimal | UnsetType | None = UNSET
    is_over_unlimited: Flag = UNSET
    is_confirmation_required: Flag = UNSET
    confirmation_control: Text = UNSET
    is_deleted: Flag = UNSET
    is_deleted_here: Flag = UNSET
    source_id: Text = UNSET
    stated_at: Instant | None = None
    prices: tuple[PricePeriod, ...] = ()
    origin: str | UnsetType = UNSET


def merge(known: InfoRecordTerms | None, patch: InfoRecordTermsPatch) -> InfoRecordTerms:
    """The terms after the patch; known: before it, None where nothing was.

    Merging a patch twice is merging it once.
    """
    before = known or InfoRecordTerms(
        patch.supplier, patch.item, patch.organisation, patch.plant, patch.category, patch.version
    )
    return msgspec.structs.replace(
        before,
        **said(patch, InfoRecordTerms, without=("prices", "origin")),
        prices=merge_periods(before.prices, patch.prices),
    )


def info_record_key(terms: InfoRecordTerms | InfoRecordTermsPatch) -> str:
    """Order and document key of the terms."""
    return info_record_key_of(
        terms.supplier, terms.organisation, terms.plant, terms.category, terms.item
    )


def info_record_key_of(
    supplier: str, organisation: str, plant: str, category: str, item: str
) -> str:
    """Order and document key of terms: the item stands last, its number may hold slashes."""
    return joined_key("info-record", supplier, organisation, plant, category, item)
