"""A_PurchasingSource as it was read back: the source list of a material in a plant, whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.own_words import OwnWords
from canonical.source_list import Source, SourceList
from canonical.text import received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import SourceRecord
from handlers.systems.s4.values import Findings, day, key_or_none, place, prose, unit
from handlers.systems.timestamps import microseconds


def to_source_list(
    item: str, plant: str, records: Sequence[SourceRecord], read_at: datetime, own: OwnWords
) -> tuple[SourceList, tuple[Open, ...]]:
    """The list in the order of its records' numbers, and a case for each row that has no supplier.

    It is as new as its read: a row that was deleted takes the time of the deletion along.
    Raises: InvalidMessage where a number, a unit or a day cannot be read.
    """
    found = Findings(f"source list of {item} in {plant}")
    rows = sorted(records, key=lambda row: place(row.SourceListRecord))
    sources = [_to_source(row, own) for row in rows if _has_supplier(row, found)]
    stated = text_of(rows[0].Material) if rows else item
    return (
        SourceList(
            item=item,
            plant=plant,
            version=microseconds(read_at),
            sources=tuple(sources),
            source_id=received_id(stated, where="Material"),
            stated_at=read_at,
        ),
        tuple(found.cases),
    )


def _where(row: SourceRecord) -> str:
    return f"record {printable(text_of(row.SourceListRecord)[:10])}"


def _has_supplier(row: SourceRecord, found: Findings) -> bool:
    """A block of no supplier in particular needs none: it is of all of them."""
    if text_of(row.Supplier).strip():
        return True
    plant = text_of(row.SupplyingPlant).strip()
    if row.SourceOfSupplyIsBlocked is True and not plant:
        return True
    found.add(_from_plant(row, plant) if plant else _from_nobody(row))
    return False


def _from_plant(row: SourceRecord, plant: str) -> InvalidMessage:
    return InvalidMessage(
        "source-is-a-plant",
        f"The material comes from plant {printable(plant[:10])}, which is no supplier",
        where=f"{_where(row)}: SupplyingPlant",
        remedy="Keep in mind that it need not be bought: the row is left out",
    )


def _from_nobody(row: SourceRecord) -> InvalidMessage:
    return InvalidMessage(
        "source-without-supplier",
        "From whom it may be bought is not told, so the row is left out",
        where=f"{_where(row)}: Supplier",
        remedy="Have the supplier kept in the source list",
    )


def _to_source(row: SourceRecord, own: OwnWords) -> Source:
    where = _where(row)
    contract = key_or_none(row.PurchaseOutlineAgreement, where=f"{where}: PurchaseOutlineAgreement")
    line = key_or_none(
        row.PurchaseOutlineAgreementItem, where=f"{where}: PurchaseOutlineAgreementItem"
    )
    stated = text_of(row.OrderQuantityUnit)
    order_unit = unit(stated, own, where=f"{where}: OrderQuantityUnit") if stated else ""
    return Source(
        first_day=_first_day(row),
        last_day=day(row.ValidityEndDate, where=f"{where}: ValidityEndDate"),
        supplier=key_or_none(row.Supplier, where=f"{where}: Supplier"),
        organisation=prose(row.PurchasingOrganization, where=f"{where}: PurchasingOrganization"),
        contract=contract,
        # Without an agreement its item is 00000.
        contract_line=line if contract and line != "0" else "",
        order_unit=order_unit,
        is_fixed=True
        in (row.SourceOfSupplyIsFixed, row.SupplierIsFixed, row.PurOutlineAgreementIsFixed),
        is_blocked=row.SourceOfSupplyIsBlocked is True,
    )


def _first_day(row: SourceRecord) -> date:
    where = f"{_where(row)}: ValidityStartDate"
    found = day(row.ValidityStartDate, where=where)
    if found is None:
        raise InvalidMessage(
            "field-missing",
            "From which day the row is valid is not told",
            where=where,
            remedy="Have the source list kept with its validity",
        )
    return found
