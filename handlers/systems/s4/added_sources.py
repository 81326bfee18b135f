"""What is added to a source list of which a part is wanted: rows of the ERP and its buyers stay as
they are, so days that they leave open get rows of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import msgspec
from msgspec import UNSET

from canonical.errors import Conflict
from canonical.source_list import SourceList, open_days, source_list_key
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import Difference, text_of
from handlers.systems.s4.native import ListedSource
from handlers.systems.s4.read_back import SOURCE_SERVICE as SERVICE
from handlers.systems.s4.source_list_wanted import days, whose

SOURCES = "A_PurchasingSource"
_Days = tuple[date, date]


def added(
    sources: SourceList, wanted: Sequence[ListedSource], held: Sequence[ListedSource]
) -> tuple[Difference, ...]:
    """The creates that are missing, in the order of the wanted rows and of their days.

    A wanted row without an agreement is there where any row lets that organisation buy from the
    supplier, whatever it buys on. Days on which somebody has blocked the supplier, or everybody,
    are a conflict: nobody here knows why.
    """
    return tuple(difference for want in wanted for difference in _of_row(sources, want, held))


def missing(sources: SourceList, row: ListedSource) -> Difference:
    """The create of a row that is not there; one of all suppliers is left to people."""
    words = f"{shown(row)}: missing"
    if not text_of(row.Supplier):
        # The service makes no row without a supplier.
        return Difference((words,), conflict=_block_missing(sources, words))
    names = ("PurchaseOutlineAgreement", "PurchaseOutlineAgreementItem")
    empty = {name: UNSET for name in names if not getattr(row, name)}
    body = msgspec.structs.replace(row, **empty)
    return Difference((words,), odata.post(odata.address(SERVICE, SOURCES), body))


def shown(row: ListedSource) -> str:
    """The row as a person finds it: its number where it has one, whose it is, from when."""
    supplier, agreement, item = whose(row)
    number = text_of(row.SourceListRecord)
    words = (
        f"Row {number}," if number else "Row",
        f"supplier {supplier}" if supplier else "of all suppliers",
        f"contract {agreement}/{item}" if agreement else "",
        f"from {days(row)[0]}",
    )
    return " ".join(word for word in words if word)


def _of_row(
    sources: SourceList, want: ListedSource, held: Sequence[ListedSource]
) -> Iterator[Difference]:
    wanted = _days(want)
    if wanted is None:
        return
    blocks = [row for row in held if _blocks(row, want) and _meet(_days(row), wanted)]
    if blocks:
        words = f"{shown(want)}: blocked by {shown(blocks[0])}"
        yield Difference((words,), conflict=_blocked(sources, want, blocks[0]))
        return
    there = [_days(row) for row in held if _lets_buy(row, want)]
    for first, last in open_days(wanted, [span for span in there if span is not None]):
        yield missing(
            sources,
            msgspec.structs.replace(
                want,
                ValidityStartDate=odata.date_literal(first),
                ValidityEndDate=odata.date_literal(last),
            ),
        )


def _blocks(row: ListedSource, want: ListedSource) -> bool:
    """A block names its supplier, or none for all of them; one of another plant is of that."""
    if row.SourceOfSupplyIsBlocked is not True or text_of(row.SupplyingPlant).strip():
        return False
    supplier, agreement, item = whose(row)
    if agreement:
        # Of what may be bought on one agreement only.
        return (supplier, agreement, item) == whose(want)
    return supplier in ("", whose(want)[0])


def _lets_buy(row: ListedSource, want: ListedSource) -> bool:
    if row.SourceOfSupplyIsBlocked is True or text_of(row.SupplyingPlant).strip():
        return False
    if text_of(row.PurchasingOrganization) != text_of(want.PurchasingOrganization):
        return False
    theirs, ours = whose(row), whose(want)
    return theirs == ours if ours[1] else theirs[0] == ours[0]


def _days(row: ListedSource) -> _Days | None:
    """First and last day; None where they are no days."""
    first, last = days(row)
    return (first, last) if isinstance(first, date) and isinstance(last, date) else None


def _meet(one: _Days | None, other: _Days) -> bool:
    return one is not None and one[0] <= other[1] and other[0] <= one[1]


def _blocked(sources: SourceList, want: ListedSource, block: ListedSource) -> Conflict:
    supplier = whose(want)[0]
    return Conflict(
        "source-blocked",
        f"Supplier {supplier} is to be a source of {sources.item} in {sources.plant} from"
        f" {days(want)[0]} on, and somebody has blocked it there: {shown(block)}",
        where=source_list_key(sources.plant, sources.item),
        remedy="Take the block away in the ERP and release the step again, or skip the step where"
        " it is not to be bought from",
    )


def _block_missing(sources: SourceList, words: str) -> Conflict:
    return Conflict(
        "block-missing",
        f"The service makes no block of all suppliers of {sources.item} in {sources.plant}:"
        f" {words}",
        where=source_list_key(sources.plant, sources.item),
        remedy="Enter the block in the ERP, then release the step again",
    )
