"""Purchasing info records: under which terms a plant buys an item from a supplier."""

from __future__ import annotations

from datetime import date

import msgspec

from canonical.money import UnitPrice


class InfoRecord(msgspec.Struct, frozen=True):
    """One supplier's terms for one item at one purchasing organisation and plant.

    order_unit: Rec 20 code; base_unit of the item is the same unless `order_to_base` says
        otherwise (numerator, denominator: 1 order unit = n/d base units).
    last_day: last valid day of the price; None = open.
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
