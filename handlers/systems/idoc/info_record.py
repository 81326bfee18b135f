"""INFREC in INFREC01: under which terms an SAP system buys a material from a supplier.

One IDoc tells of all purchasing organisations; each has terms of its own. Fields: the public field
lists of EINA and EINE, of which the segments E1EINAM and E1EINEM are made (README.md). Scales and
later prices are condition records, which SAP sends as another kind of IDoc.
"""

from __future__ import annotations

from datetime import date, datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import UnitPrice
from canonical.own_words import OwnWords
from canonical.patch import Text
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity, Ratio
from canonical.text import joined_key, received_id
from canonical.units import UnknownUnit, to_rec20
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.fields import (
    Findings,
    amount,
    days,
    flag,
    is_deleted,
    organisation,
    ratio,
    text,
)
from handlers.systems.idoc.money import currency, to_money
from handlers.systems.idoc.values import day, decimal, key
from handlers.systems.idoc.words import ALIASES, CATEGORIES

INFO_RECORD, BASIC_TYPE = "INFREC", "INFREC01"
# Segments that are read.
SEGMENTS = frozenset({"E1EINAM", "E1EINEM"})


def record_key(idoc: IDoc) -> str:
    """What the IDoc is about: the terms of all organisations at once."""
    head = _head(idoc)
    return joined_key("info-records", _supplier(head), _item(head))


def to_patches(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[tuple[InfoRecordTermsPatch, ...], tuple[Open, ...]]:
    """What the INFREC says for each organisation, and cases for what cannot be understood.

    Raises: InvalidMessage where supplier, material, organisation, category, a unit of the record or
        a number cannot.
    """
    head = _head(idoc)
    findings = Findings(f"info record {_supplier(head)}/{_item(head)}")
    patches = tuple(
        _to_patch(head, segment, own, findings, version, stated_at)
        for segment in head.all("E1EINEM")
    )
    if not patches:
        findings.add(
            InvalidMessage(
                "info-record-without-organisation",
                "It says nothing of any purchasing organisation, so nothing of it is taken",
                where=head.where,
                remedy="Send the info record with the data of its purchasing organisations",
            )
        )
    return patches, tuple(findings.cases)


def _head(idoc: IDoc) -> Segment:
    return idoc.head("E1EINAM")


def _supplier(head: Segment) -> str:
    return key(head.get("LIFNR"), where=f"{head.where}: LIFNR")


def _item(head: Segment) -> str:
    stated = head.get("MATNR_LONG", "MATNR")
    if not stated:
        raise InvalidMessage(
            "info-record-without-item",
            "The info record is of a group of materials, and of none in particular",
            where=f"{head.where}: MATNR",
            remedy="Send info records of materials only",
        )
    return key(stated, where=f"{head.where}: MATNR")


def _to_patch(
    head: Segment,
    segment: Segment,
    own: OwnWords,
    findings: Findings,
    version: int,
    stated_at: datetime,
) -> InfoRecordTermsPatch:
    order_unit = _unit(head, own, "MEINS")
    return InfoRecordTermsPatch(
        supplier=_supplier(head),
        item=_item(head),
        organisation=organisation(segment, "EKORG"),
        plant=organisation(segment, "WERKS") if segment.get("WERKS") else "",
        category=_category(segment),
        version=version,
        number=text(head, "INFNR"),
        supplier_item=text(head, "IDNLF"),
        is_regular_supplier=flag(head, "RELIF"),
        order_unit=order_unit,
        base_unit=_unit(head, own, "LMEIN"),
        order_to_base=_ratio(head, "UMREZ", "UMREN"),
        purchasing_group=text(segment, "EKGRP"),
        currency=currency(segment, "WAERS", findings),
        price=_price(segment, own, findings),
        order_to_price=_ratio(segment, "BPUMZ", "BPUMN"),
        price_until=_day(segment, "PRDAT"),
        lead_time_days=days(segment, "APLFZ"),
        minimum=_quantity(segment, "MINBM", order_unit, findings),
        standard=_quantity(segment, "NORBM", order_unit, findings),
        maximum=_quantity(segment, "BSTMA", order_unit, findings),
        under_tolerance=amount(segment, "UNTTO"),
        over_tolerance=amount(segment, "UEBTO"),
        is_over_unlimited=flag(segment, "UEBTK"),
        is_confirmation_required=flag(segment, "KZABS"),
        confirmation_control=text(segment, "BSTAE"),
        is_deleted=is_deleted(head, "LOEKZ"),
        is_deleted_here=is_deleted(segment, "LOEKZ"),
        source_id=received_id(head.get("MATNR_LONG", "MATNR"), where=f"{head.where}: MATNR"),
        stated_at=stated_at,
    )


def _category(segment: Segment) -> str:
    stated = segment.get("ESOKZ")
    found = CATEGORIES.get(stated)
    if found is None:
        raise InvalidMessage(
            "category-unmapped",
            f"The category {stated[:10]!r} of info records is in no table",
            where=f"{segment.where}: ESOKZ",
            remedy="Send the category, or have it mapped",
        )
    return found


def _unit(head: Segment, own: OwnWords, field: str) -> Text:
    """Without one there is no record: an empty field is one that was not filled."""
    stated = head.patch(field)
    if not isinstance(stated, str):
        return UNSET
    return to_rec20(ALIASES, stated, own.codes, where=f"{head.where}: {field}")


def _ratio(segment: Segment, numerator: str, denominator: str) -> Ratio | UnsetType | None:
    """Of two units, where both fields say something."""
    said = segment.patch(numerator), segment.patch(denominator)
    if UNSET in said:
        return UNSET
    return None if None in said else ratio(segment, numerator, denominator)


def _day(segment: Segment, field: str) -> date | UnsetType | None:
    stated = segment.patch(field)
    return day(stated, where=f"{segment.where}: {field}") if isinstance(stated, str) else stated


def _price(segment: Segment, own: OwnWords, findings: Findings) -> UnitPrice | UnsetType | None:
    """NETPR for PEINH of BPRME; zero where no price is kept. It counts whole or not at all."""
    stated = amount(segment, "NETPR")
    if stated is UNSET or not stated:
        return UNSET if stated is UNSET else None
    per = decimal(segment.get("PEINH") or "0", where=f"{segment.where}: PEINH")
    try:
        where = f"{segment.where}: BPRME"
        unit = to_rec20(ALIASES, segment.get("BPRME"), own.codes, where=where)
    except UnknownUnit as failure:
        findings.add(failure)
        return UNSET
    if per <= 0:
        findings.add(
            InvalidMessage(
                "price-unit",
                "For how much the price is, is not told",
                where=f"{segment.where}: PEINH",
                remedy="Send the price with its unit",
            )
        )
        return UNSET
    where = f"{segment.where}: NETPR"
    money = to_money(stated, segment.get("WAERS"), findings, where=where)
    return money if isinstance(money, UnsetType) else UnitPrice(money, Quantity(per, unit))


def _quantity(
    segment: Segment, field: str, unit: Text, findings: Findings
) -> Quantity | UnsetType | None:
    """In the order unit; zero where none is kept."""
    stated = amount(segment, field)
    if stated is UNSET or not stated:
        return UNSET if stated is UNSET else None
    if not isinstance(unit, str):
        findings.add(
            InvalidMessage(
                "unit-missing",
                "A quantity of an order is told without the order unit",
                where=f"{segment.where}: {field}",
                remedy="Send the info record with its order unit",
            )
        )
        return UNSET
    return Quantity(stated, unit)
