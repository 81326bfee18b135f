"""Prices by days, with scales: what an ERP charges for an item, from when, and from how much on.

Days are the ERP's own, first and last both inclusive. Of two statements about one day the later one
counts, and what it does not name stays: so does an ERP keep them itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

import msgspec

from canonical.money import UnitPrice
from canonical.quantity import ItemUnit, Quantity, convert_exact


class PriceScale(msgspec.Struct, frozen=True):
    """From so much of one order on, the price is this."""

    start: Quantity
    price: UnitPrice


class PricePeriod(msgspec.Struct, frozen=True):
    """What is charged on these days.

    last_day: None = open; before the first day = none at all. price: None = nothing is agreed for
    them any more. scales: in the order of their starts; below the first one the price itself
    counts.
    """

    first_day: date
    last_day: date | None = None
    price: UnitPrice | None = None
    scales: tuple[PriceScale, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it is about no day."""
        return self.last_day is not None and self.last_day < self.first_day

    def is_valid(self, on: date) -> bool:
        """Whether it is about that day."""
        return self.first_day <= on and (self.last_day is None or on <= self.last_day)

    def price_of(
        self, quantity: Quantity, alternates: Sequence[ItemUnit] = (), *, base: str = ""
    ) -> UnitPrice | None:
        """The price that counts for an order of so much.

        Raises: UnitMismatch where the quantity cannot be stated in the unit of the scales.
        """
        found = self.price
        for scale in self.scales:
            if convert_exact(quantity, scale.start.unit, alternates, base=base) < scale.start.value:
                break
            found = scale.price
        return found


def period_on(periods: Iterable[PricePeriod], on: date) -> PricePeriod | None:
    """What is charged on that day; None where nothing is known of it."""
    return next((period for period in periods if period.is_valid(on)), None)


def merge_periods(
    before: Sequence[PricePeriod], stated: Sequence[PricePeriod]
) -> tuple[PricePeriod, ...]:
    """The periods after the statement, in the order of their days; none of them overlaps another.
    Those without a price end others, and are not kept."""
    found = list(before)
    for period in stated:
        if period.is_empty:
            continue
        found = [rest for known in found for rest in _without(known, period)]
        if period.price is not None:
            found.append(period)
    return tuple(sorted(found, key=lambda period: period.first_day))


def _without(known: PricePeriod, stated: PricePeriod) -> Iterator[PricePeriod]:
    """What is left of a period where another one counts on its own days."""
    if stated.first_day > known.first_day:
        day_before = stated.first_day - timedelta(days=1)
        until = day_before if known.last_day is None else min(known.last_day, day_before)
        yield msgspec.structs.replace(known, last_day=until)
    if stated.last_day is not None and (known.last_day is None or stated.last_day < known.last_day):
        day_after = stated.last_day + timedelta(days=1)
        yield msgspec.structs.replace(known, first_day=max(known.first_day, day_after))
