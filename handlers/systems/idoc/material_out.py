"""Material masters into MATMAS05: what is known of a material, as `material` reads it."""

from __future__ import annotations

from canonical.item_master import ItemMaster, PlantView, item_master_key
from canonical.quantity import ItemUnit
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.values import decimal_text
from handlers.systems.idoc.words import PROCUREMENT_OF, REPLACE
from handlers.systems.idoc.writing import (
    amount_text,
    inexpressible,
    languages,
    mark,
    materials,
    one_unit,
    segment,
    unit_text,
)


def to_segments(item: ItemMaster) -> tuple[Segment, ...]:
    """E1MARAM with descriptions, plants and units; what nothing is known of is left out.

    Raises: InvalidMessage, naming material, segment and field, for what a field cannot say.
    """
    about = item_master_key(item.number)
    weights = item.gross_weight, item.net_weight
    fields = {
        "MSGFN": REPLACE,
        **materials("E1MARAM", "MATNR", item.number),
        "LVORM": mark(item.is_deleted),
        "MTART": item.kind,
        "MATKL": item.group,
        "MEINS": unit_text(item.base_unit, f"{about}: E1MARAM MEINS"),
        "BRGEW": amount_text(item.gross_weight),
        "NTGEW": amount_text(item.net_weight),
        "GEWEI": one_unit(weights, f"{about}: E1MARAM GEWEI"),
        "VOLUM": amount_text(item.volume),
        "VOLEH": one_unit((item.volume,), f"{about}: E1MARAM VOLEH"),
        "EAN11": item.gtin,
        "PRDHA": item.hierarchy,
        "MSTAE": item.status,
    }
    return (
        segment(
            about,
            "E1MARAM",
            fields,
            *(_description(about, *pair) for pair in item.descriptions.items()),
            *(_plant(f"{about} plant {view.plant}", view, item) for view in item.plants),
            *(_unit(about, unit) for unit in item.alternates),
        ),
    )


def _description(about: str, language: str, text: str) -> Segment:
    fields = {"MSGFN": REPLACE, "MAKTX": text, **languages(language)}
    return segment(f"{about} description {language}", "E1MAKTM", fields)


def _plant(about: str, view: PlantView, item: ItemMaster) -> Segment:
    minimum = view.minimum_lot
    if minimum is not None and minimum.unit != item.base_unit:
        raise inexpressible(
            f"the lot is in {minimum.unit}, and SAP has lots in the base unit",
            f"{about}: E1MARCM BSTMI",
        )
    fields = {
        "MSGFN": REPLACE,
        "WERKS": view.plant,
        "LVORM": mark(view.is_deleted),
        "EKGRP": view.purchasing_group,
        "PLIFZ": decimal_text(view.lead_time_days),
        "BESKZ": _procurement(about, view),
        "BSTMI": amount_text(minimum),
        "MMSTA": view.status,
        "KORDB": mark(view.needs_source_list),
    }
    return segment(about, "E1MARCM", fields)


def _procurement(about: str, view: PlantView) -> str:
    if view.procurement is None:
        return ""
    found = PROCUREMENT_OF.get(view.procurement)
    if found is None:
        raise inexpressible(
            f"no kind of procurement means {view.procurement}", f"{about}: E1MARCM BESKZ"
        )
    return found


def _unit(about: str, unit: ItemUnit) -> Segment:
    about = f"{about} unit {unit.unit}"
    fields = {
        "MSGFN": REPLACE,
        "MEINH": unit_text(unit.unit, f"{about}: E1MARMM MEINH"),
        "UMREZ": str(unit.ratio.numerator),
        "UMREN": str(unit.ratio.denominator),
    }
    return segment(about, "E1MARMM", fields)
