"""Plant BOMs as MaterialBOM with MaterialBOMItem.

Quantities of lines are for the header's base quantity, on both sides; they are compared per one
unit of the header. What of a BOM is sent stands in `bill_of_material_lines`.

Ranked substitutes are items of one group with their line. Groups whose names are of `GROUPS` are
ours; those of other names are the plant's, and what stands in them is never deleted. Lines that the
plant keeps itself (`canonical.bom.owner_of`) are no lines of ours, whatever they are like.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal

import msgspec

from canonical.bom import LineOwner, PlantBom, owner_of
from canonical.connector import Absent, Observed
from canonical.errors import Conflict, Rejected
from canonical.exchange import Request, Response
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.units import to_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.bill_of_material_lines import (
    GROUPS,
    MAX_LINES,
    Line,
    quantity_at,
    wanted,
)
from handlers.systems.s4.bill_of_material_rows import (
    Pairs,
    amount_of,
    former_lines,
    number_of,
    paired,
    plants_group,
)
from handlers.systems.s4.compare import (
    Difference,
    in_words,
    present,
    same_id,
    same_unit,
    text_of,
    unpadded,
)
from handlers.systems.s4.native import BomHeader, BomItem, Children
from handlers.systems.s4.words import BOM_CATEGORY, PRODUCTION_USAGE, UNITS

SERVICE = "API_BILL_OF_MATERIAL_SRV;v=0002"

# Of a line: written only, or that of its header.
_UNREAD = frozenset(
    {
        "IsProductionRelevant",
        "AlternativeItemStrategy",
        "BillOfMaterial",
        "BillOfMaterialCategory",
        "Material",
        "Plant",
    }
)
# The line is planned, and withdrawn if all of it is there; else the next one by priority.
_BY_PRIORITY, _PLANNED, _STANDING_IN = "2", "100", "0"


def observe(bom: PlantBom) -> Request:
    """The read of the BOM with its items by material, plant and usage; its number is the ERP's."""
    asked = odata.equals(
        Material=bom.parent,
        Plant=bom.plant,
        BillOfMaterialCategory=BOM_CATEGORY,
        BillOfMaterialVariantUsage=bom.usage,
    )
    # Everything of a line is 3.4 kB; what is read of it, a third.
    return odata.get(
        odata.address(SERVICE, "MaterialBOM"),
        filter=asked,
        expand="to_BillOfMaterialItem",
        select=",".join(
            (
                *odata.fields(BomHeader),
                *(f"to_BillOfMaterialItem/{f}" for f in odata.fields(BomItem) if f not in _UNREAD),
            )
        ),
    )


def read(bom: PlantBom, own: OwnWords, response: Response) -> Observed:
    """What the target holds as this alternative of the BOM."""
    header = _alternative(bom, odata.read_all(response, BomHeader))
    if header is None:
        return Absent()
    return present(header, header.BillOfMaterial, differences(bom, own, header))


def create(bom: PlantBom, own: OwnWords, at_most: int = MAX_LINES) -> Request:
    """The create of header and lines in one call; validity begins on the day of the create."""
    want = wanted(bom, own, at_most)
    names = _group_names(bom, tuple((line, None) for line in want.lines))
    header = BomHeader(
        Material=bom.parent,
        Plant=bom.plant,
        BillOfMaterialCategory=BOM_CATEGORY,
        BillOfMaterialVariant=bom.alternative,
        BillOfMaterialVariantUsage=bom.usage,
        BOMHeaderBaseUnit=want.unit,
        BOMHeaderQuantityInBaseUnit=format(want.base, "f"),
        to_BillOfMaterialItem=Children(
            tuple(_to_item(bom, line, line.quantity, names) for line in want.lines)
        ),
    )
    return odata.post(odata.address(SERVICE, "MaterialBOM"), header)


def check_written(bom: PlantBom, response: Response) -> str:
    """The BOM's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    if not same_id(text_of(written.Material), bom.parent) or text_of(written.Plant) != bom.plant:
        raise odata.about_another("BOM", text_of(written.Material), "Material, Plant")
    return text_of(written.BillOfMaterial)


def former(bom: PlantBom, own: OwnWords, header: BomHeader) -> PlantBom | str:
    """The BOM with the lines that the target holds, but for the plant's own; or why these could not
    be put back as they are."""
    base = number_of(header.BOMHeaderQuantityInBaseUnit, "BOMHeaderQuantityInBaseUnit")
    unit = to_rec20(UNITS, text_of(header.BOMHeaderBaseUnit), own.codes)
    owner = _owner(bom)
    rows = [row for row in _rows(header) if owner(row) != "plant" and not _stands_in(row)]
    kept = {id(row) for _, row in paired(wanted(bom, own), rows, base) if row is not None}
    for row in rows:
        scrap = number_of(row.ComponentScrapInPercent, "ComponentScrapInPercent")
        if scrap and id(row) not in kept:
            return f"the scrap of line {text_of(row.BillOfMaterialItemNumber)} went with it"
    if not rows:
        return "it had no lines, and is not written without any"
    held = msgspec.structs.replace(
        bom,
        base=Quantity(base, unit),
        lines=former_lines(rows, own),
        line_categories={
            text_of(row.BillOfMaterialComponent): text_of(row.BillOfMaterialItemCategory)
            for row in rows
            if text_of(row.BillOfMaterialItemCategory)
        },
    )
    categories = {(r.BillOfMaterialComponent, r.BillOfMaterialItemCategory) for r in rows}
    if len(categories) > len({text_of(row.BillOfMaterialComponent) for row in rows}):
        return "a component stood in lines of several categories"
    # True of what is there, or it is not what was there.
    if left := differences(held, own, header):
        return f"what was there cannot be written so: {left[0].what[0]}"
    return held


def differences(
    bom: PlantBom, own: OwnWords, header: BomHeader, at_most: int = MAX_LINES
) -> tuple[Difference, ...]:
    """The writes that are missing, in their order: new lines, changed ones, then the deletions,
    so that a BOM is never empty on the way.

    The header's own base quantity stays: while it and the lines changed one after the other, the
    plant would read wrong quantities.
    """
    if header.IsMarkedForDeletion is True:
        return (_conflict(bom, in_words("IsMarkedForDeletion", "true", "false")),)
    want = wanted(bom, own, at_most)
    if not same_unit(text_of(header.BOMHeaderBaseUnit), want.unit, own):
        return (_conflict(bom, in_words("BOMHeaderBaseUnit", header.BOMHeaderBaseUnit, want.unit)),)
    base = number_of(header.BOMHeaderQuantityInBaseUnit, "BOMHeaderQuantityInBaseUnit")
    if base <= 0:
        name = "BOMHeaderQuantityInBaseUnit"
        return (_conflict(bom, in_words(name, getattr(header, name), "more than 0")),)
    held = _rows(header)
    owner = _owner(bom)
    rows = [row for row in held if owner(row) != "plant"]
    pairs = paired(want, rows, base)
    names = _group_names(bom, pairs, held)
    there = [(line, row) for line, row in pairs if row is not None]
    matched = {id(row) for _, row in there}
    standing = {plants_group(row) for _, row in there}
    added = [_added(bom, header, line, base, names) for line, row in pairs if row is None]
    changed = [_changed(bom, own, header, line, row, base, names) for line, row in there]
    left = [row for row in rows if id(row) not in matched]
    deleted = [_deleted(bom, header, row, standing, owner(row)) for row in left]
    return tuple(d for d in (*added, *changed, *deleted) if d is not None)


# --- the target's side ---


def _alternative(bom: PlantBom, headers: Sequence[BomHeader]) -> BomHeader | None:
    """The BOM meant, among those of the same material, plant and usage."""
    found = [
        header
        for header in headers
        if same_id(text_of(header.Material), bom.parent)
        and text_of(header.Plant) == bom.plant
        and text_of(header.BillOfMaterialVariantUsage) == bom.usage
        and same_id(text_of(header.BillOfMaterialVariant), bom.alternative)
    ]
    plain = [
        header
        for header in found
        if not text_of(header.BillOfMaterialVersion)
        and not text_of(header.EngineeringChangeDocument)
    ]
    candidates = plain or found
    if len(candidates) > 1:
        raise Conflict(
            "bom-ambiguous",
            f"{bom.parent} has {len(candidates)} BOMs as alternative {bom.alternative}"
            f" of usage {bom.usage} in plant {bom.plant}",
            where=f"bom/{bom.parent}",
            remedy="Say in the ERP which of them counts and mark the others for deletion",
        )
    return candidates[0] if candidates else None


def _rows(header: BomHeader) -> list[BomItem]:
    """Those that name a component: the others are the plant's texts and documents."""
    return [
        row
        for row in odata.expanded(header.to_BillOfMaterialItem, "to_BillOfMaterialItem")
        if text_of(row.BillOfMaterialComponent) and row.IsDeleted is not True
    ]


def _stands_in(row: BomItem) -> bool:
    """Whether it is an alternative that the plant gave to a line, and not what is planned."""
    probability = number_of(row.UsageProbabilityPercent, "UsageProbabilityPercent")
    return plants_group(row) != "" and probability == 0


def _owner(bom: PlantBom) -> Callable[[BomItem], LineOwner]:
    """Whose a row is; components are padded in some answers."""
    tells = owner_of(bom, spelled=unpadded)
    return lambda row: tells(
        text_of(row.BillOfMaterialComponent), text_of(row.BillOfMaterialItemCategory)
    )


def _group_names(bom: PlantBom, pairs: Pairs, rows: Sequence[BomItem] = ()) -> Mapping[int, str]:
    """What our groups are called: as one of their rows has it, first that of the line itself; else
    a name that no row has."""
    taken = {text_of(row.AlternativeItemGroup) for row in rows}
    free = deque(name for name in GROUPS if name not in taken)
    names: dict[int, str] = {}
    for line, row in pairs:
        held = text_of(row.AlternativeItemGroup) if row is not None else ""
        if line.group is not None and held in GROUPS and held not in names.values():
            names.setdefault(line.group, held)
    for line, _ in pairs:
        if line.group is None or line.group in names:
            continue
        if not free:
            raise _all_names_taken(bom)
        names[line.group] = free.popleft()
    return names


def _all_names_taken(bom: PlantBom) -> Rejected:
    return Rejected(
        "substitutes-too-many",
        f"All {len(GROUPS)} names of groups are in use in the BOM of {bom.parent}",
        where=f"bom/{bom.parent}",
        remedy="Have rows that nobody needs deleted in the ERP, then release the step again",
    )


def _added(
    bom: PlantBom, header: BomHeader, line: Line, base: Decimal, names: Mapping[int, str]
) -> Difference:
    quantity = quantity_at(line, base)
    what = f"Line {line.number}: missing, wanted {line.component}"
    if quantity is None:
        return _base_conflict(bom, line, base)
    path = odata.address(
        SERVICE,
        "MaterialBOM",
        BillOfMaterial=text_of(header.BillOfMaterial),
        BillOfMaterialCategory=text_of(header.BillOfMaterialCategory),
        BillOfMaterialVariant=text_of(header.BillOfMaterialVariant),
        BillOfMaterialVersion=text_of(header.BillOfMaterialVersion),
        EngineeringChangeDocument=text_of(header.EngineeringChangeDocument),
        Material=text_of(header.Material),
        Plant=text_of(header.Plant),
    )
    item = _to_item(bom, line, quantity, names)
    return Difference((what,), odata.post(f"{path}/to_BillOfMaterialItem", item))


def _changed(
    bom: PlantBom,
    own: OwnWords,
    header: BomHeader,
    line: Line,
    row: BomItem,
    base: Decimal,
    names: Mapping[int, str],
) -> Difference | None:
    stated = text_of(row.BillOfMaterialItemNumber)
    changes: dict[str, str | bool] = {}
    if unpadded(stated) != unpadded(line.number):
        changes["BillOfMaterialItemNumber"] = line.number
    is_fixed, per_one = amount_of(row, base)
    has_unit = same_unit(text_of(row.BillOfMaterialItemUnit), line.unit, own)
    if is_fixed != line.fixed or per_one != line.per_one or not has_unit:
        quantity = quantity_at(line, base)
        if quantity is None:
            return _base_conflict(bom, line, base)
        changes["BillOfMaterialItemQuantity"] = format(quantity, "f")
        changes["BillOfMaterialItemUnit"] = line.unit
        if is_fixed != line.fixed:
            changes["FixedQuantity"] = line.fixed
    if line.group is not None and plants_group(row):
        name = "AlternativeItemGroup"
        return _conflict(bom, in_words(name, plants_group(row), names[line.group]))
    changes |= _regrouped(line, row, names)
    if not changes:
        return None
    what = tuple(
        f"Line {stated} {in_words(name, str(getattr(row, name)), str(value))}"
        for name, value in changes.items()
    )
    body = msgspec.convert(changes, BomItem)
    return Difference(what, odata.patch(_item_address(header, row), body, odata.etag_of(row)))


def _regrouped(line: Line, row: BomItem, names: Mapping[int, str]) -> dict[str, str]:
    """What differs of the row's place in a group. What enters or leaves one does so whole; within
    it the strategy and the probability are the plant's."""
    held = text_of(row.AlternativeItemGroup)
    if line.group is None:
        return {} if plants_group(row) or not held else dict(_place_in_group(line, names))
    if held != names[line.group]:
        return dict(_place_in_group(line, names))
    priority = _place_in_group(line, names)["AlternativeItemPriority"]
    is_same = unpadded(text_of(row.AlternativeItemPriority)) == unpadded(priority)
    return {} if is_same else {"AlternativeItemPriority": priority}


def _place_in_group(line: Line, names: Mapping[int, str]) -> Mapping[str, str]:
    """The fields of a row's place in a group, or of none."""
    if line.group is None:
        return {
            "AlternativeItemGroup": "",
            "AlternativeItemPriority": "",
            "AlternativeItemStrategy": "",
            "UsageProbabilityPercent": "0",
        }
    return {
        "AlternativeItemGroup": names[line.group],
        "AlternativeItemPriority": f"{line.priority:02}",
        "AlternativeItemStrategy": _BY_PRIORITY,
        "UsageProbabilityPercent": _PLANNED if line.priority == 1 else _STANDING_IN,
    }


def _deleted(
    bom: PlantBom, header: BomHeader, row: BomItem, standing: Set[str], owner: LineOwner
) -> Difference | None:
    """The deletion of a row that no line wants. An alternative that the plant gave to a line of
    ours stays, as long as the line does and it is not what is planned.

    standing: groups of the plant's with a line of ours. owner: of the row, not the plant.
    """
    component = text_of(row.BillOfMaterialComponent)
    what = f"Line {text_of(row.BillOfMaterialItemNumber)}: {component}, wanted none"
    scrap = number_of(row.ComponentScrapInPercent, "ComponentScrapInPercent")
    if scrap:
        what += f", and its scrap of {scrap} percent goes with it"
    if group := plants_group(row):
        if group in standing and _stands_in(row):
            return None
        return _conflict(bom, f"{what}, and it is in the plant's group {group} of alternatives")
    if owner == "unknown":
        return _conflict(bom, f"{what}, and nothing on record tells whether it is the plant's own")
    return Difference((what,), odata.delete(_item_address(header, row), odata.etag_of(row)))


def _item_address(header: BomHeader, row: BomItem) -> str:
    return odata.address(
        SERVICE,
        "MaterialBOMItem",
        BillOfMaterial=text_of(header.BillOfMaterial),
        BillOfMaterialCategory=text_of(header.BillOfMaterialCategory),
        BillOfMaterialVariant=text_of(row.BillOfMaterialVariant),
        BillOfMaterialVersion=text_of(row.BillOfMaterialVersion),
        BillOfMaterialItemNodeNumber=text_of(row.BillOfMaterialItemNodeNumber),
        HeaderChangeDocument=text_of(row.HeaderChangeDocument),
        Material=text_of(header.Material),
        Plant=text_of(header.Plant),
    )


# --- our side ---


def _to_item(bom: PlantBom, line: Line, quantity: Decimal, names: Mapping[int, str]) -> BomItem:
    is_production = bom.usage == PRODUCTION_USAGE
    item = BomItem(
        BillOfMaterialComponent=line.component,
        BillOfMaterialItemCategory=line.category,
        BillOfMaterialItemNumber=line.number,
        BillOfMaterialItemUnit=line.unit,
        BillOfMaterialItemQuantity=format(quantity, "f"),
        FixedQuantity=True if line.fixed else msgspec.UNSET,
        # A production BOM insists on it.
        IsProductionRelevant=True if is_production else msgspec.UNSET,
    )
    return (
        item
        if line.group is None
        else msgspec.structs.replace(item, **_place_in_group(line, names))
    )


def _base_conflict(bom: PlantBom, line: Line, base: Decimal) -> Difference:
    return _conflict(
        bom,
        f"Line {line.number} ({line.component}) has no quantity of three decimals"
        f" for the base quantity {base} of the ERP",
    )


def _conflict(bom: PlantBom, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "bom-differs",
            f"The BOM of {bom.parent} in plant {bom.plant} cannot be changed so: {shown}",
            where=f"bom/{bom.parent}",
            remedy="Settle it with the BOM's owner in the plant, then release the step again",
        ),
    )
