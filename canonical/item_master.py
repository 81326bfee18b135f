"""Material masters as an ERP holds them: what is the same in all plants, and what each plant adds.

An ERP tells what changes and not what is: a patch says of each field that it is something else,
that it is empty now (None), or nothing at all (UNSET). Patches are merged in the order of their
making.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.item import Lifecycle, Procurement
from canonical.quantity import ItemUnit, Quantity

Text = str | UnsetType | None


class PlantView(msgspec.Struct, frozen=True, gc=False):
    """What one plant adds. lead_time_days: of buying it. status: the ERP's own word."""

    plant: str
    procurement: Procurement | None = None
    purchasing_group: str = ""
    lead_time_days: Int64 | None = None
    minimum_lot: Quantity | None = None
    status: str = ""
    is_deleted: bool = False


class ItemMaster(msgspec.Struct, frozen=True):
    """The material as the ERP has it now.

    version: of the last patch. base_unit: "" until the ERP has said it. descriptions: by language,
    ISO 639. status: the ERP's own word, which lifecycle is mapped from where a table has it.
    """

    number: str
    version: Int64
    base_unit: str = ""
    kind: str = ""
    group: str = ""
    lifecycle: Lifecycle | None = None
    status: str = ""
    gtin: str = ""
    gross_weight: Quantity | None = None
    net_weight: Quantity | None = None
    volume: Quantity | None = None
    descriptions: Mapping[str, str] = {}
    alternates: tuple[ItemUnit, ...] = ()
    plants: tuple[PlantView, ...] = ()
    is_deleted: bool = False
    source_id: str = ""
    stated_at: Instant | None = None


class PlantPatch(msgspec.Struct, frozen=True, gc=False):
    """What an ERP says of one plant's view."""

    plant: str
    procurement: Procurement | UnsetType | None = UNSET
    purchasing_group: Text = UNSET
    lead_time_days: Int64 | UnsetType | None = UNSET
    minimum_lot: Quantity | UnsetType | None = UNSET
    status: Text = UNSET
    is_deleted: bool | UnsetType = UNSET


class ItemMasterPatch(msgspec.Struct, frozen=True):
    """What an ERP says of a material.

    descriptions: by language; None takes one away. alternates, plants: by unit and by plant; those
    that are not named stay as they are.
    """

    number: str
    version: Int64
    base_unit: Text = UNSET
    kind: Text = UNSET
    group: Text = UNSET
    lifecycle: Lifecycle | UnsetType | None = UNSET
    status: Text = UNSET
    gtin: Text = UNSET
    gross_weight: Quantity | UnsetType | None = UNSET
    net_weight: Quantity | UnsetType | None = UNSET
    volume: Quantity | UnsetType | None = UNSET
    descriptions: Mapping[str, str | None] = {}
    alternates: tuple[ItemUnit, ...] = ()
    plants: tuple[PlantPatch, ...] = ()
    is_deleted: bool | UnsetType = UNSET
    source_id: Text = UNSET
    stated_at: Instant | None = None


_MERGED = ("descriptions", "alternates", "plants")


def merge(known: ItemMaster | None, patch: ItemMasterPatch) -> ItemMaster:
    """The material after the patch; known: before it, None where nothing was.

    Merging a patch twice is merging it once.
    """
    before = known or ItemMaster(patch.number, patch.version)
    return msgspec.structs.replace(
        before,
        **_said(patch, ItemMaster, without=_MERGED),
        descriptions=_texts(before.descriptions, patch.descriptions),
        alternates=_units(before.alternates, patch.alternates),
        plants=_plants(before.plants, patch.plants),
    )


def _said(
    patch: msgspec.Struct, of: type[msgspec.Struct], without: Sequence[str]
) -> dict[str, Any]:
    """Fields of `of` that the patch says something of; None is what the field has by default."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(of)}
    said: dict[str, Any] = {}
    for name in patch.__struct_fields__:
        value = getattr(patch, name)
        if name not in without and value is not UNSET:
            said[name] = defaults[name] if value is None else value
    return said


def _texts(before: Mapping[str, str], said: Mapping[str, str | None]) -> Mapping[str, str]:
    merged = {**before, **said}
    texts = ((language, merged[language]) for language in sorted(merged))
    return {language: text for language, text in texts if text is not None}


def _units(before: Sequence[ItemUnit], said: Sequence[ItemUnit]) -> tuple[ItemUnit, ...]:
    merged = {one.unit: one for one in (*before, *said)}
    return tuple(merged[code] for code in sorted(merged))


def _plants(before: Sequence[PlantView], patches: Sequence[PlantPatch]) -> tuple[PlantView, ...]:
    views = {view.plant: view for view in before}
    for patch in patches:
        view = views.get(patch.plant, PlantView(patch.plant))
        views[patch.plant] = msgspec.structs.replace(view, **_said(patch, PlantView, without=()))
    return tuple(views[plant] for plant in sorted(views))


def item_master_key(number: str) -> str:
    """Order and document key of a material master."""
    return f"item-master/{number}"
