"""A_Product as it was read back: what the ERP has of a material, as a patch of what is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.item import Procurement
from canonical.item_master import ItemMasterPatch, PlantPatch
from canonical.own_words import OwnWords
from canonical.patch import Flag
from canonical.quantity import ItemUnit, Quantity, UnknownUnit
from canonical.text import normalise_id, received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import Material, Plant, Said
from handlers.systems.s4.values import (
    Findings,
    key,
    mark,
    number,
    prose,
    ratio,
    text,
    unit,
    version,
)
from handlers.systems.s4.words import PROCUREMENT


def to_patch(
    material: Material, read_at: datetime, own: OwnWords
) -> tuple[ItemMasterPatch, tuple[Open, ...]]:
    """What the ERP has of the material, and cases for what of it cannot be understood.

    What the answer does not tell stays as it is known. The lead time is not in it, nor a life
    cycle: the numbers of statuses are a customer's own, and mean one where its own words say so.
    Raises: InvalidMessage where the material itself, its base unit or a number cannot be read.
    """
    number_of = key(material.Product, where="Product")
    base_unit = unit(material.BaseUnit, own, where="BaseUnit")
    status = text(material.CrossPlantStatus, where="CrossPlantStatus")
    found = Findings(f"material {number_of}")
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
        kind=text(material.ProductType, where="ProductType"),
        group=text(material.ProductGroup, where="ProductGroup"),
        hierarchy=text(material.ProductHierarchy, where="ProductHierarchy"),
        lifecycle=own.status(status),
        status=status,
        gtin=text(material.ProductStandardID, where="ProductStandardID"),
        gross_weight=_measure(material.GrossWeight, material.WeightUnit, own, "GrossWeight"),
        net_weight=_measure(material.NetWeight, material.WeightUnit, own, "NetWeight"),
        volume=_measure(material.MaterialVolume, material.VolumeUnit, own, "MaterialVolume"),
        descriptions=dict(_descriptions(material)),
        alternates=tuple(_alternates(material, own, found)),
        plants=tuple(_plant(plant, base_unit, found) for plant in material.to_Plant.results),
        is_deleted=mark(material.IsMarkedForDeletion),
        source_id=received_id(text_of(material.Product), where="Product"),
        stated_at=read_at,
    )
    return patch, tuple(found.cases)


def _measure(said: Said, unit_said: Said, own: OwnWords, where: str) -> Quantity | UnsetType | None:
    """A weight or volume of 0 is one that nobody has stated."""
    if said is UNSET:
        return UNSET
    amount = number(said, where=where)
    return Quantity(amount, unit(unit_said, own, where=f"{where}: unit")) if amount else None


def _descriptions(material: Material) -> Iterator[tuple[str, str | None]]:
    for row in material.to_Description.results:
        language = prose(row.Language, where="to_Description: Language").upper()
        if language:
            where = f"to_Description, {language[:10]}"
            yield language, prose(row.ProductDescription, where=where) or None


def _alternates(material: Material, own: OwnWords, found: Findings) -> Iterator[ItemUnit]:
    """1 alternative unit is Numerator / Denominator of the base unit."""
    for row in material.to_ProductUnitsOfMeasure.results:
        name = text_of(row.AlternativeUnit)
        where = f"to_ProductUnitsOfMeasure, {printable(name[:10])}"
        try:
            alternate = unit(name, own, where=where)
        except UnknownUnit as failure:
            found.add(failure)
            continue
        told = ratio(
            row.QuantityNumerator,
            row.QuantityDenominator,
            where=f"{where}: QuantityNumerator, QuantityDenominator",
        )
        yield ItemUnit(alternate, told)


def _plant(plant: Plant, base_unit: str, found: Findings) -> PlantPatch:
    name = normalise_id(text_of(plant.Plant), where="to_Plant: Plant")
    where = f"to_Plant, {name[:10]}"
    return PlantPatch(
        plant=name,
        procurement=_procurement(plant, where, found),
        purchasing_group=text(plant.PurchasingGroup, where=f"{where}: PurchasingGroup"),
        minimum_lot=_minimum(plant, base_unit, where),
        status=text(plant.ProfileCode, where=f"{where}: ProfileCode"),
        is_deleted=mark(plant.IsMarkedForDeletion),
        needs_source_list=_needs_source_list(plant),
    )


def _needs_source_list(plant: Plant) -> Flag:
    """A plant without purchasing data of the material, which is null, requires none; an answer that
    does not have them says nothing."""
    data = plant.to_ProductPlantProcurement
    if data is UNSET:
        return UNSET
    return False if data is None else mark(data.IsSourceListRequired)


def _procurement(plant: Plant, where: str, found: Findings) -> Procurement | UnsetType | None:
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
        found.add(unmapped)
        return UNSET
    return PROCUREMENT[said]


def _minimum(plant: Plant, base_unit: str, where: str) -> Quantity | UnsetType | None:
    """Lots are in the base unit; one of 0 is none."""
    if plant.MinimumLotSizeQuantity is UNSET:
        return UNSET
    amount = number(plant.MinimumLotSizeQuantity, where=f"{where}: MinimumLotSizeQuantity")
    return Quantity(amount, base_unit) if amount else None
