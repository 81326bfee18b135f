"""Source lists: from whom a plant may buy an item, day by day, as its ERP has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.text import joined_key

_ONE = timedelta(days=1)


class Source(msgspec.Struct, frozen=True, gc=False):
    """One row of the list.

    first_day, last_day: both inclusive; last_day None = open. contract, contract_line: that it is
    bought on. is_fixed: it is the one that is taken. is_blocked: it may not be bought from, for
    these days; without a supplier nobody may.
    """

    first_day: date
    last_day: date | None = None
    supplier: str = ""
    organisation: str = ""
    contract: str = ""
    contract_line: str = ""
    order_unit: str = ""
    is_fixed: bool = False
    is_blocked: bool = False

    def is_valid(self, on: date) -> bool:
        """Whether the row says anything about that day."""
        return self.first_day <= on and (self.last_day is None or on <= self.last_day)


class SourceList(msgspec.Struct, frozen=True):
    """All rows of an item in a plant, whole.

    version: grows with every statement about it. origin: system that states it; on record, the one
    that stated it first.
    """

    item: str
    plant: str
    version: Int64
    sources: tuple[Source, ...] = ()
    source_id: str = ""
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET

    def allowed(self, on: date) -> tuple[Source, ...]:
        """Rows that may be bought by on that day: the fixed ones, where there are any, else all
        that nothing blocks, in the order of the list."""
        valid = [source for source in self.sources if source.is_valid(on)]
        blocked = {source.supplier for source in valid if source.is_blocked}
        if "" in blocked:
            return ()
        free = [s for s in valid if s.supplier not in blocked]
        return tuple([s for s in free if s.is_fixed] or free)


def open_days(
    wanted: tuple[date, date], there: Iterable[tuple[date, date]]
) -> Iterator[tuple[date, date]]:
    """The days of the wanted ones on which none of the others is, as spans in their order.

    All of them are first and last days, both inclusive; date.max is open.
    """
    first, end = wanted
    for begin, last in sorted(there):
        if last < first or begin > end:
            continue
        if first < begin:
            yield first, begin - _ONE
        if last >= end:
            return
        first = last + _ONE
    yield first, end


def source_list_key(plant: str, item: str) -> str:
    """Order and document key of a source list: the item stands last, it may hold slashes."""
    return joined_key("source-list", plant, item)
