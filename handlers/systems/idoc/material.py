"""MATMAS in MATMAS05: what an SAP system says of a material."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.item import Lifecycle, Procurement
from canonical.item_master import ItemMasterPatch, PlantPatch
from canonical.own_words import OwnWords
from canonical.patch import Text
from canonical.quantity import ItemUnit, Quantity
from canonical.text import normalise_id, normalise_text, received_id
from canonical.units import UnknownUnit, to_rec20
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.fields import Findings, days, flag, is_deleted, organisation, ratio, text
from handlers.systems.idoc.values import decimal, key
from handlers.systems.idoc.words import ALIASES, DELETE, LIFECYCLE, PROCUREMENT

MATERIAL, BASIC_TYPE = "MATMAS", "MATMAS05"
# Segments that are read.
SEGMENTS = frozenset({"E1MARAM", "E1MAKTM", "E1MARMM", "E1MARCM"})


def material_number(idoc: IDoc) -> str:
    """The number of the material that the IDoc is about."""
    head = _head(idoc)
    return key(head.get("MATNR_LONG", "MATNR"), where=f"{head.where}: MATNR")


def to_patch(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[ItemMasterPatch, tuple[Open, ...]]:
    """What the MATMAS says, and cases for what of it cannot be understood.

    Raises: InvalidMessage where the material itself, its base unit or a number cannot.
    """
    head = _head(idoc)
    number = material_number(idoc)
    findings = Findings(f"material {number}")
    base_unit = _base_unit(head, own)
    status = text(head, "MSTAE")
    patch = ItemMasterPatch(
        number=number,
        version=version,
        base_unit=base_unit,
        kind=text(head, "MTART"),
        group=text(head, "MATKL"),
        hierarchy=text(head, "PRDHA"),
        lifecycle=_lifecycle(status, own),
        status=status,
        gtin=text(head, "EAN11"),
        gross_weight=_measure(head, own, "BRGEW", "GEWEI"),
        net_weight=_measure(head, own, "NTGEW", "GEWEI"),
        volume=_measure(head, own, "VOLUM", "VOLEH"),
        descriptions=dict(_descriptions(head)),
        alternates=tuple(_alternates(head, own, findings)),
        plants=tuple(_plant(segment, base_unit, findings) for segment in head.all("E1MARCM")),
        is_deleted=is_deleted(head, "LVORM"),
        source_id=received_id(head.get("MATNR_LONG", "MATNR"), where=f"{head.where}: MATNR"),
        stated_at=stated_at,
    )
    return patch, tuple(findings.cases)


def _head(idoc: IDoc) -> Segment:
    return idoc.head("E1MARAM")


def _base_unit(head: Segment, own: OwnWords) -> Text:
    stated = head.patch("MEINS")
    if not isinstance(stated, str):
        # Without one a material does not exist: an empty field is one that was not filled.
        return UNSET
    return to_rec20(ALIASES, stated, own.codes, where=f"{head.where}: MEINS")


def _lifecycle(status: Text, own: OwnWords) -> Lifecycle | UnsetType | None:
    found = own.status(status)
    return LIFECYCLE.get(status, found) if isinstance(status, str) and not found else found


def _measure(
    segment: Segment, own: OwnWords, field: str, unit_field: str
) -> Quantity | UnsetType | None:
    stated = segment.patch(field)
    if not isinstance(stated, str):
        return stated
    amount = decimal(stated, where=f"{segment.where}: {field}")
    unit = segment.get(unit_field)
    if not unit and not amount:
        return None
    where = f"{segment.where}: {unit_field}"
    return Quantity(amount, to_rec20(ALIASES, unit, own.codes, where=where))


def _descriptions(head: Segment) -> Iterator[tuple[str, str | None]]:
    for segment in head.all("E1MAKTM"):
        language = segment.get("SPRAS_ISO", "SPRAS").upper()
        stated = normalise_text(segment.get("MAKTX"), where=f"{segment.where}: MAKTX")
        if language:
            language = normalise_id(language, where=f"{segment.where}: SPRAS_ISO, SPRAS")
            yield language, None if segment.get("MSGFN") == DELETE else stated


def _alternates(head: Segment, own: OwnWords, findings: Findings) -> Iterator[ItemUnit]:
    """1 MEINH is UMREZ / UMREN of the base unit."""
    for segment in head.all("E1MARMM"):
        try:
            where = f"{segment.where}: MEINH"
            unit = to_rec20(ALIASES, segment.get("MEINH"), own.codes, where=where)
            yield ItemUnit(unit, ratio(segment, "UMREZ", "UMREN"))
        except UnknownUnit as failure:
            findings.add(failure)


def _plant(segment: Segment, base_unit: Text, findings: Findings) -> PlantPatch:
    return PlantPatch(
        plant=organisation(segment, "WERKS"),
        procurement=_procurement(segment, findings),
        purchasing_group=text(segment, "EKGRP"),
        lead_time_days=days(segment, "PLIFZ"),
        minimum_lot=_minimum(segment, base_unit),
        status=text(segment, "MMSTA"),
        is_deleted=is_deleted(segment, "LVORM"),
        needs_source_list=flag(segment, "KORDB"),
    )


def _procurement(segment: Segment, findings: Findings) -> Procurement | UnsetType | None:
    stated = segment.patch("BESKZ")
    if not isinstance(stated, str):
        return stated
    found = PROCUREMENT.get(stated)
    if found is None:
        findings.add(
            InvalidMessage(
                "procurement-unmapped",
                f"The kind of procurement {stated[:10]!r} is in no table",
                where=f"{segment.where}: BESKZ",
                remedy="Have the word mapped or correct it at the source",
            )
        )
        return UNSET
    return found


def _minimum(segment: Segment, base_unit: Text) -> Quantity | UnsetType | None:
    """Lots are in the base unit: without it nothing is said of them."""
    stated = segment.patch("BSTMI")
    if not isinstance(stated, str):
        return stated
    amount = decimal(stated, where=f"{segment.where}: BSTMI")
    if not amount:
        return None
    return Quantity(amount, base_unit) if isinstance(base_unit, str) else UNSET
