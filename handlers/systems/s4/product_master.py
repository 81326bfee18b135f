"""A_Product as it was read back: what the ERP has of a material, as a patch of what is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.item import Procurement
from canonical.item_master import ItemMasterPatch, PlantPatch
from canonical.patch import Text as Patched
from canonical.quantity import ItemUnit, Quantity, Ratio, UnknownUnit
from canonical.text import normalise_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import Mark, Material, Plant, Said
from handlers.systems.s4.values import key, number, prose, unit, version
from handlers.systems.s4.words import PROCUREMENT


def to_patch(material: Material, read_at: datetime) -> tuple[ItemMasterPatch, tuple[Open, ...]]:
    """What the ERP has of the material, and cases for what of it cannot be understood.

    What the answer does not tell stays as it is known. The lead time is not in it, nor a life
    cycle: the numbers of statuses are a customer's own.
    Raises: InvalidMessage where the material itself, its base unit or a number cannot be read.
    """
    number_of = key(material.Product, where="Product")
    base_unit = unit(material.BaseUnit, where="BaseUnit")
    cases: list[Open] = []
    patch = ItemMasterPatch(
        number=number_of,
        version=version(
            material.LastChangeDateTime,
            material.LastChangeDate,
            material.CreationDate,
            read_at=read_at,
            where="LastChangeDateTime, LastChangeDate, CreationDate",
        ),
        base_unit=base_unit,
        kind=_text(material.ProductType, "ProductType"),
        group=_text(material.ProductGroup, "ProductGroup"),
        status=_text(material.CrossPlantStatus, "CrossPlantStatus"),
        gtin=_text(material.ProductStandardID, "ProductStandardID"),
        gross_weight=_measure(material.GrossWeight, material.WeightUnit, "GrossWeight"),
        net_weight=_measure(material.NetWeight, material.WeightUnit, "NetWeight"),
        volume=_measure(material.MaterialVolume, material.VolumeUnit, "MaterialVolume"),
        descriptions=dict(_descriptions(material)),
        alternates=tuple(_alternates(material, number_of, cases)),
        plants=tuple(
            _plant(plant, base_unit, number_of, cases) for plant in material.to_Plant.results
        ),
        is_deleted=_mark(material.IsMarkedForDeletion),
        source_id=normalise_id(text_of(material.Product), where="Product"),
        stated_at=read_at,
    )
    return patch, tuple(cases)


def _text(said: Said, where: str) -> Patched:
    """What the field says; None where it is empty, UNSET where the answer does not have it."""
    return UNSET if said is UNSET else prose(said, where=where) or None


def _mark(said: Mark) -> bool | UnsetType:
    return UNSET if said is UNSET else said is True


def _measure(said: Said, unit_said: Said, where: str) -> Quantity | UnsetType | None:
    """A weight or volume of 0 is one that nobody has stated."""
    if said is UNSET:
        return UNSET
    amount = number(said, where=where)
    return Quantity(amount, unit(unit_said, where=f"{where}: unit")) if amount else None


def _descriptions(material: Material) -> Iterator[tuple[str, str | None]]:
    for text in material.to_Description.results:
        language = prose(text.Language, where="to_Description: Language").upper()
        if language:
            where = f"to_Description, {language[:10]}"
            yield language, prose(text.ProductDescription, where=where) or None


def _alternates(material: Material, of: str, cases: list[Open]) -> Iterator[ItemUnit]:
    """1 alternative unit is Numerator / Denominator of the base unit."""
    for row in material.to_ProductUnitsOfMeasure.results:
        name = text_of(row.AlternativeUnit)
        where = f"to_ProductUnitsOfMeasure, {printable(name[:10])}"
        try:
            alternate = unit(name, where=where)
        except UnknownUnit as failure:
            cases.append(_left_out(of, failure))
            continue
        numerator = _whole(row.QuantityNumerator, f"{where}: QuantityNumerator")
        denominator = _whole(row.QuantityDenominator, f"{where}: QuantityDenominator")
        yield ItemUnit(alternate, Ratio(numerator, denominator))


def _plant(plant: Plant, base_unit: str, of: str, cases: list[Open]) -> PlantPatch:
    name = normalise_id(text_of(plant.Plant), where="to_Plant: Plant")
    where = f"to_Plant, {name[:10]}"
    return PlantPatch(
        plant=name,
        procurement=_procurement(plant, where, of, cases),
        purchasing_group=_text(plant.PurchasingGroup, f"{where}: PurchasingGroup"),
        minimum_lot=_minimum(plant, base_unit, where),
        status=_text(plant.ProfileCode, f"{where}: ProfileCode"),
        is_deleted=_mark(plant.IsMarkedForDeletion),
    )


def _procurement(
    plant: Plant, where: str, of: str, cases: list[Open]
) -> Procurement | UnsetType | None:
    said = plant.ProcurementType
    if not isinstance(said, str) or not said:
        return UNSET if said is UNSET else None
    if said not in PROCUREMENT:
        unmapped = InvalidMessage(
            "procurement-unmapped",
            f"The kind of procurement {said[:10]!r} is in no table",
            where=f"{where}: ProcurementType",
            remedy="Have the word mapped or correct it in the ERP",
        )
        cases.append(_left_out(of, unmapped))
        return UNSET
    return PROCUREMENT[said]


def _minimum(plant: Plant, base_unit: str, where: str) -> Quantity | UnsetType | None:
    """Lots are in the base unit; one of 0 is none."""
    if plant.MinimumLotSizeQuantity is UNSET:
        return UNSET
    amount = number(plant.MinimumLotSizeQuantity, where=f"{where}: MinimumLotSizeQuantity")
    return Quantity(amount, base_unit) if amount else None


def _left_out(of: str, failure: InvalidMessage) -> Open:
    """The field that failed is left out; the rest is taken."""
    return Open(
        code=failure.code,
        word=failure.word,
        what=failure.what,
        where=f"material {of}, {failure.where}",
        remedy=failure.remedy,
        owner="master data",
    )


def _whole(said: Said, where: str) -> int:
    amount = number(said, where=where)
    if amount != amount.to_integral_value():
        raise InvalidMessage(
            "number-malformed",
            f"{text_of(said)[:40]!r} is no whole number",
            where=where,
            remedy="Correct the ratio in the ERP",
        )
    return int(amount)
