"""Rows of a source list as A_PurchasingSource is to hold them, with what it has no place for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET

from canonical.effectivity import OPEN_END
from canonical.errors import Rejected
from canonical.own_words import OwnWords
from canonical.source_list import Source, SourceList, source_list_key
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import text_of, unpadded
from handlers.systems.s4.native import ListedSource
from handlers.systems.s4.words import UNITS

# A row is read back in less than a kilobyte, and 2 MiB of an answer are taken.
_MAX_ROWS = 1000
# Each may take two calls of a look, which has 20.
_MAX_CONTRACTS = 9


def contracts(sources: SourceList) -> tuple[str, ...]:
    """The contracts that the list names, each once, by their numbers where it is stated.

    Raises: Rejected where they are more than a look can ask for.
    """
    named = tuple(dict.fromkeys(source.contract for source in sources.sources if source.contract))
    if len(named) > _MAX_CONTRACTS:
        raise _refused(
            sources,
            "contracts-too-many",
            f"It names {len(named)} contracts; {_MAX_CONTRACTS} can be looked up",
            "Take contracts out of it that have ended",
        )
    return named


def wanted_rows(
    sources: SourceList, own: OwnWords, agreements: Mapping[str, str]
) -> tuple[ListedSource, ...]:
    """The rows in their order, without their numbers, which the ERP gives; what is stated twice is
    one. agreements: contract as the list names it -> its number in the ERP, "" where it has none.

    Raises: Rejected, naming the row, for what no row of the ERP can be.
    """
    if len(sources.sources) > _MAX_ROWS:
        raise _refused(
            sources,
            "source-list-too-long",
            f"It has {len(sources.sources)} rows; {_MAX_ROWS} can be confirmed",
            "Take rows out of it whose days are past",
        )
    rows = dict.fromkeys(_row(sources, own, source, agreements) for source in sources.sources)
    found: dict[object, ListedSource] = {}
    for row in rows:
        if found.setdefault(which(row), row) is not row:
            raise _refused(
                sources,
                "source-twice",
                f"Two rows of supplier {row.Supplier} for the same days say different things",
                "State one of them",
            )
    return tuple(rows)


def which(row: ListedSource) -> tuple[object, ...]:
    """What tells rows apart, besides their numbers: whose they are, and their days."""
    return (*whose(row), *days(row), text_of(row.PurchasingOrganization))


def whose(row: ListedSource) -> tuple[str, str, str]:
    """Supplier, agreement and its item, without zeros that pad; "" for none."""
    agreement = _number(row.PurchaseOutlineAgreement)
    item = _number(row.PurchaseOutlineAgreementItem) if agreement else ""
    return _number(row.Supplier), agreement, item


def days(row: ListedSource) -> tuple[object, object]:
    """First and last day, whichever way they are written."""
    first, last = text_of(row.ValidityStartDate), text_of(row.ValidityEndDate)
    return odata.parse_date(first), odata.parse_date(last) or OPEN_END


def remarks(sources: SourceList) -> tuple[str, ...]:
    """What of the list the target does not get."""
    return tuple(_remarks(sources))


def _remarks(sources: SourceList) -> Iterator[str]:
    fixed = [
        f"supplier {source.supplier} from {source.first_day}"
        for source in sources.sources
        if source.is_fixed
    ]
    if fixed:
        yield f"Which source is fixed is for people of the ERP to mark: {', '.join(fixed)}"


def _row(
    sources: SourceList, own: OwnWords, source: Source, agreements: Mapping[str, str]
) -> ListedSource:
    shown = f"The row of supplier {source.supplier} from {source.first_day}"
    if not source.supplier and not source.is_blocked:
        raise _refused(
            sources,
            "source-without-supplier",
            f"The row from {source.first_day} does not say from whom it may be bought",
            "State the supplier, or block the row if nobody may be bought from",
        )
    if source.supplier and not source.organisation:
        raise _refused(
            sources,
            "organisation-missing",
            f"{shown} does not say which purchasing organisation buys",
            "State it where the list is kept, or for the plant",
        )
    agreement = agreements.get(source.contract, "") if source.contract else ""
    if source.contract and not agreement:
        raise _refused(
            sources,
            "contract-unknown",
            f"{shown} is on contract {source.contract}, which the ERP does not have",
            "Have the contract put there by a route of the kind purchase-contract, or take it out"
            " of the list; then release the step again",
        )
    where = source_list_key(sources.plant, sources.item)
    unit = source.order_unit
    return ListedSource(
        Material=sources.item,
        Plant=sources.plant,
        ValidityStartDate=odata.date_literal(source.first_day),
        ValidityEndDate=odata.date_literal(source.last_day or OPEN_END),
        Supplier=source.supplier,
        PurchaseOutlineAgreement=agreement,
        PurchaseOutlineAgreementItem=source.contract_line if agreement else "",
        SourceOfSupplyIsBlocked=source.is_blocked,
        PurchasingOrganization=source.organisation,
        OrderQuantityUnit=from_rec20(UNITS, unit, own.units, where=where) if unit else UNSET,
    )


def _number(said: object) -> str:
    """Without zeros that pad; "" where there is none, which is written as nothing but zeros too."""
    number = unpadded(text_of(said).strip())
    return "" if number == "0" else number


def _refused(sources: SourceList, code: str, what: str, remedy: str) -> Rejected:
    return Rejected(
        code,
        f"The source list of {sources.item} in plant {sources.plant} cannot be kept so: {what}",
        where=source_list_key(sources.plant, sources.item),
        remedy=remedy,
        owner="purchasing",
    )
