"""Material masters as an ERP holds them: what is the same in all plants, and what each plant adds.

An ERP tells what changes and not what is: patches (`canonical/patch.py`) are merged in the order of
their making.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.item import Lifecycle, Procurement
from canonical.patch import Flag, Text, merge_texts, merge_views, said
from canonical.quantity import ItemUnit, Quantity


class PlantView(msgspec.Struct, frozen=True, gc=False):
    """What one plant adds. lead_time_days: of buying it. status: the ERP's own word.

    needs_source_list: it is bought there only from sources that a source list allows.
    """

    plant: str
    procurement: Procurement | None = None
    purchasing_group: str = ""
    lead_time_days: Int64 | None = None
    minimum_lot: Quantity | None = None
    status: str = ""
    is_deleted: bool = False
    needs_source_list: bool = False


class ItemMaster(msgspec.Struct, frozen=True):
    """The material as the ERP has it now.

    version: of the last patch. base_unit: "" until the ERP has said it. descriptions: by language,
    ISO 639. status: the ERP's own word, which lifecycle is mapped from where a table has it.
    group, hierarchy: the classes by which the ERP sorts its materials, in its own codes.
    """

    number: str
    version: Int64
    base_unit: str = ""
    kind: str = ""
    group: str = ""
    hierarchy: str = ""
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
    is_deleted: Flag = UNSET
    needs_source_list: Flag = UNSET


class ItemMasterPatch(msgspec.Struct, frozen=True):
    """What an ERP says of a material.

    descriptions: by language; None takes one away. alternates, plants: by unit and by plant; those
    that are not named stay as they are. origin: system that says so; not on record.
    """

    number: str
    version: Int64
    base_unit: Text = UNSET
    kind: Text = UNSET
    group: Text = UNSET
    hierarchy: Text = UNSET
    lifecycle: Lifecycle | UnsetType | None = UNSET
    status: Text = UNSET
    gtin: Text = UNSET
    gross_weight: Quantity | UnsetType | None = UNSET
    net_weight: Quantity | UnsetType | None = UNSET
    volume: Quantity | UnsetType | None = UNSET
    descriptions: Mapping[str, str | None] = {}
    alternates: tuple[ItemUnit, ...] = ()
    plants: tuple[PlantPatch, ...] = ()
    is_deleted: Flag = UNSET
    source_id: Text = UNSET
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET


_MERGED = ("descriptions", "alternates", "plants", "origin")


def merge(known: ItemMaster | None, patch: ItemMasterPatch) -> ItemMaster:
    """The material after the patch; known: before it, None where nothing was.

    Merging a patch twice is merging it once.
    """
    before = known or ItemMaster(patch.number, patch.version)
    return msgspec.structs.replace(
        before,
        **said(patch, ItemMaster, without=_MERGED),
        descriptions=merge_texts(before.descriptions, patch.descriptions),
        alternates=_units(before.alternates, patch.alternates),
        plants=merge_views(before.plants, patch.plants, of=PlantView, by="plant"),
    )


def _units(before: Sequence[ItemUnit], stated: Sequence[ItemUnit]) -> tuple[ItemUnit, ...]:
    merged = {one.unit: one for one in (*before, *stated)}
    return tuple(merged[code] for code in sorted(merged))


def item_master_key(number: str) -> str:
    """Order and document key of a material master."""
    return f"item-master/{number}"
