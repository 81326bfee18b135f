"""What procurement tells once: who won a sourcing event, and which suppliers are one now."""

from __future__ import annotations

from datetime import date

import msgspec

from canonical.bounds import Instant, Int64
from canonical.money import UnitPrice
from canonical.quantity import Quantity


class Award(msgspec.Struct, frozen=True):
    """What one supplier won of one item. plants: it is limited to; empty = all. share: percent of
    the demand; None where the source does not split it so."""

    item: str
    supplier: str
    price: UnitPrice | None = None
    quantity: Quantity | None = None
    share: Int64 | None = None
    plants: tuple[str, ...] = ()
    lead_time_days: Int64 | None = None


class SourcingAward(msgspec.Struct, frozen=True):
    """A sourcing event was awarded. number: as its source has it. awards: whole; an item may be
    split among several. A contract or an order is another statement, and comes later."""

    number: str
    version: Int64
    awards: tuple[Award, ...]
    title: str = ""
    awarded_on: date | None = None
    organisation: str = ""
    source_id: str = ""
    stated_at: Instant | None = None


class SupplierMerged(msgspec.Struct, frozen=True):
    """Suppliers that were several are one. number: the one that goes on; merged: those that do not,
    which their source states as inactive by themselves."""

    number: str
    merged: tuple[str, ...]
    name: str = ""
    merged_on: date | None = None
    source_id: str = ""
    stated_at: Instant | None = None


def sourcing_event_key(number: str) -> str:
    """Order key of a sourcing event."""
    return f"sourcing-event/{number}"
