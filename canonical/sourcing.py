"""Contracts as far as they cover items, and the rules that say who buys for which plant."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.money import UnitPrice
from canonical.price_periods import PriceScale

SourcingMode = Literal["central", "local"]


class CoverageLine(msgspec.Struct, frozen=True):
    """One contract line that covers an item.

    supplier: the one that may be bought from under it, at all of its sites; neither its parent nor
        those below it.
    first_day, last_day: both inclusive, as contracts state them; last_day None = open.
    plants: the plants the contract is limited to; empty = all.
    order_unit: Rec 20 code. minimum_quantity: of one order, in this unit; "" where none is agreed.
    under_tolerance, over_tolerance: percent of a quantity by which a delivery may fall short of it
        or go beyond; scales: of the price, in the order of their starts, which are in the order
        unit; below the first one the price itself counts. UNSET = nothing is agreed of it.
    """

    contract: str
    supplier: str
    price: UnitPrice
    order_unit: str
    first_day: date
    last_day: date | None = None
    lead_time_days: Int64 = 0
    minimum_quantity: str = ""
    plants: tuple[str, ...] = ()
    under_tolerance: Decimal | UnsetType = UNSET
    over_tolerance: Decimal | UnsetType = UNSET
    scales: tuple[PriceScale, ...] | UnsetType = UNSET

    def covers(self, plant: str, on: date) -> bool:
        """Whether the line may be used for that plant on that day."""
        in_time = self.first_day <= on and (self.last_day is None or on <= self.last_day)
        return in_time and (not self.plants or plant in self.plants)


class Coverage(msgspec.Struct, frozen=True):
    """All published contract lines for one item; empty = procurement has none."""

    item: str
    lines: tuple[CoverageLine, ...]
    stated_at: Instant | None = None


def coverage_key(item: str) -> str:
    """Order and document key of an item's contract coverage."""
    return f"coverage/{item}"
