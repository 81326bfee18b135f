"""Bills of material as engineering releases them and as a plant builds by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.effectivity import LotEffectivity, SerialEffectivity
from canonical.quantity import Quantity
from canonical.text import joined_key


class Substitute(msgspec.Struct, frozen=True, gc=False):
    """An item that may stand in a line in the place of its component.

    rank: the lowest is taken first; None where the source has no order. quantity: in the place of
    the line's, per the same base; None: the line's own. group: the source's name for the line and
    all that may replace its component.
    """

    item: str
    rank: Int64 | None = None
    quantity: Quantity | None = None
    group: str = ""


class BomLine(msgspec.Struct, frozen=True, gc=False):
    """One component of an assembly.

    position: find number as the source writes it; may repeat or be "0" at the source.
    quantity: per header base quantity, in the unit the source uses for the line; may be 0.
    component_revision: label, where the BOM is precise; "" where any released revision will do.
    substitutes: item numbers. substitutions: those of which the source tells more than a number.
    scrap_percent: of the quantity, planned on top of it; None where nothing is stated.
    first_day, last_day: on which the line counts, both inclusive; None = open. serials, lots: of
    the end product, for which it counts; absent = for all.
    """

    position: str
    component: str
    quantity: Quantity
    component_revision: str = ""
    reference_designators: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    fixed: bool = False
    note: str = ""
    substitutions: tuple[Substitute, ...] = ()
    scrap_percent: Decimal | None = None
    first_day: date | None = None
    last_day: date | None = None
    serials: SerialEffectivity | UnsetType = UNSET
    lots: LotEffectivity | UnsetType = UNSET

    @property
    def numbers(self) -> SerialEffectivity | LotEffectivity | None:
        """The numbers for which alone it counts, serial numbers first; None = it counts for all."""
        return next((one for one in (self.serials, self.lots) if one is not UNSET), None)


def substitutes_of(line: BomLine) -> tuple[Substitute, ...]:
    """All that may stand in for the component, each once, with what more is told of it."""
    told = {one.item: one for one in line.substitutions}
    numbers = dict.fromkeys((*line.substitutes, *told))
    return tuple(told.get(number) or Substitute(number) for number in numbers)


class Bom(msgspec.Struct, frozen=True):
    """The structure of one item revision, one level deep.

    base: header base quantity; line quantities are per this much of the parent. origin: system that
    says so; not on record.
    """

    parent: str
    revision: str
    base: Quantity
    lines: tuple[BomLine, ...]
    change: str = ""
    released_at: Instant | None = None
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET


# Who may change a line, or take it out. unknown: only a person can tell.
LineOwner = Literal["engineering", "plant", "unknown"]


class Kept(msgspec.Struct, frozen=True):
    """Lines of a plant's BOM that are the plant's own; `owner_of` tells one.

    prefixes: that its component's number begins with. line_categories: item categories, in the
    ERP's own words. numbers: components of a kind of item that is the plant's. others: components
    that are known to be of no such kind; None where no kind of item is the plant's.
    """

    prefixes: tuple[str, ...] = ()
    line_categories: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    others: tuple[str, ...] | None = None


class PlantBom(msgspec.Struct, frozen=True):
    """A BOM as one plant's ERP is to hold it: lines in the components' base units.

    usage: the ERP's BOM usage, e.g. "1" production. alternative: e.g. "1".
    base_unit / lines' units: Rec 20 codes. Scrap of a line is the ERP's, whatever the line says.
    kept: lines that stay as they are. line_categories: by component, the ERP's item category of new
    lines; of one that is not there, the driver's own.
    """

    plant: str
    parent: str
    revision: str
    usage: str
    alternative: str
    base: Quantity
    lines: tuple[BomLine, ...]
    change: str = ""
    kept: Kept | UnsetType = UNSET
    line_categories: Mapping[str, str] | UnsetType = UNSET


def owner_of(
    bom: PlantBom, *, spelled: Callable[[str], str] = str
) -> Callable[[str, str], LineOwner]:
    """What tells whose a line is, by component and item category as the ERP has them.

    spelled: the form in which numbers are compared at the target.
    """
    kept = Kept() if isinstance(bom.kept, UnsetType) else bom.kept
    numbers = frozenset(map(spelled, kept.numbers))
    others = None if kept.others is None else frozenset(map(spelled, kept.others))

    def owner(component: str, line_category: str) -> LineOwner:
        number = spelled(component)
        begins = any(one.startswith(kept.prefixes) for one in (component, number))
        if begins or number in numbers or line_category in kept.line_categories:
            return "plant"
        return "engineering" if others is None or number in others else "unknown"

    return owner


class BomNote(msgspec.Struct, frozen=True, gc=False):
    """A line of a BOM that names no item: a text, a document, a class, or something bought without
    an item. kind: which of them; text: what it says or names."""

    position: str
    kind: str
    text: str


class PlantBomState(msgspec.Struct, frozen=True):
    """A plant's BOM as its ERP has it now, whole; `PlantBom` is what a step wants it to be.

    plant: "" where it is of none. version: grows with every statement about it. base: None only
    where it is deleted and nothing else is told. lines: as `PlantBom`. notes: lines without an
    item. change, valid_from: that made it so, and the day from which it is. status: the ERP's own
    word. origin: system that says so; not on record.
    """

    plant: str
    parent: str
    usage: str
    alternative: str
    version: Int64
    base: Quantity | None = None
    lines: tuple[BomLine, ...] = ()
    notes: tuple[BomNote, ...] = ()
    change: str = ""
    valid_from: date | None = None
    status: str = ""
    text: str = ""
    is_deleted: bool = False
    source_id: str = ""
    stated_at: Instant | None = None
    origin: str | UnsetType = UNSET


def plant_bom_key(bom: PlantBomState) -> str:
    """Order and document key of a plant's BOM."""
    return plant_bom_key_of(bom.plant, bom.usage, bom.alternative, bom.parent)


def plant_bom_key_of(plant: str, usage: str, alternative: str, parent: str) -> str:
    """The same by what tells BOMs apart: the parent stands last, its number may hold slashes."""
    return joined_key("plant-bom", plant, usage, alternative, parent)


class BomRevisions(msgspec.Struct, frozen=True):
    """An item's BOM as each of its revisions was released last, the newest first."""

    boms: tuple[Bom, ...]


# Name under which the revisions of an item's BOM are found.
BOM_REVISIONS = "bom-revisions"


def bom_key(parent: str) -> str:
    """Order and document key of an item's BOM."""
    return f"bom/{parent}"


def bom_revisions_key(parent: str) -> str:
    """Name of all revisions of an item's BOM that are on record."""
    return f"{BOM_REVISIONS}/{parent}"
