"""Purchase contracts whole: what may be bought from a supplier under them, at which price, how much
and until when. `canonical/sourcing.py` is what they say of one item.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.money import Money, UnitPrice
from canonical.quantity import Quantity

# quantity, value: so much is agreed, and a contract is at its end with it. blanket: prices only.
ContractKind = Literal["quantity", "value", "blanket"]
# active: may be bought on within its days. suspended: for now not. ended: not any more.
ContractStatus = Literal["draft", "active", "suspended", "ended"]


class ContractLine(msgspec.Struct, frozen=True, gc=False):
    """What a contract says of one item.

    line: its number without padding. item: ours; "" where a text or a category is bought. price:
    None where none is agreed. target: so much is agreed; released: of it ordered so far, as the
    source counts it. minimum: of one order. first_day, last_day: both inclusive; None = as the
    contract. plants: it is limited to; empty = all. order_unit: Rec 20 code.
    """

    line: str
    item: str = ""
    order_unit: str = ""
    price: UnitPrice | None = None
    target: Quantity | None = None
    released: Quantity | None = None
    minimum: Quantity | None = None
    first_day: date | None = None
    last_day: date | None = None
    lead_time_days: Int64 | None = None
    plants: tuple[str, ...] = ()
    supplier_item: str = ""
    description: str = ""
    is_blocked: bool = False

    @property
    def is_drawn(self) -> bool:
        """Whether all that is agreed has been ordered; never, where nothing is said of either.

        Raises: UnitMismatch where the two are in units that cannot be compared.
        """
        if self.target is None or self.released is None:
            return False
        return self.target <= self.released


class PurchaseContract(msgspec.Struct, frozen=True):
    """An agreement with a supplier, whole, as it is now.

    version: grows with every statement about it. first_day, last_day: both inclusive, as contracts
    state them; last_day None = open. organisation: that buys. target_value, released_value: agreed
    in all, and ordered of it so far. stated_as: the source's own word for the status. origin:
    system that states it; on record, the one that stated it first.
    """

    number: str
    version: Int64
    supplier: str
    status: ContractStatus
    first_day: date
    last_day: date | None = None
    kind: ContractKind = "blanket"
    currency: str = ""
    lines: tuple[ContractLine, ...] = ()
    title: str = ""
    organisation: str = ""
    payment_terms: str = ""
    incoterms: str = ""
    incoterms_place: str = ""
    target_value: Money | None = None
    released_value: Money | None = None
    stated_as: str = ""
    source_id: str = ""
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET

    def lines_for(self, item: str, *, plant: str, on: date) -> tuple[ContractLine, ...]:
        """Lines by which the item may be bought for the plant on that day, in the contract's
        order; none of a contract that is not active then."""
        if self.status != "active" or not _is_within(on, self.first_day, self.last_day):
            return ()
        return tuple(
            line
            for line in self.lines
            if line.item == item
            and not line.is_blocked
            and (not line.plants or plant in line.plants)
            and _is_within(on, line.first_day, line.last_day)
        )


class ContractExpiring(msgspec.Struct, frozen=True):
    """An active contract ends soon.

    last_day: the last on which it may be bought on; days_left: to it, 0 = today. items: ours on its
    lines, each once, in order.
    """

    number: str
    supplier: str
    last_day: date
    days_left: Int64
    items: tuple[str, ...] = ()


def _is_within(on: date, first_day: date | None, last_day: date | None) -> bool:
    return (first_day is None or first_day <= on) and (last_day is None or on <= last_day)


def contract_key(number: str) -> str:
    """Order and document key of a purchase contract."""
    return f"contract/{number}"
