"""What a step would change at its target, by what the target last said of the object: pure.

A target that has said nothing is not one that holds nothing: the answer is then None, and only the
look before the write will tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from typing import Literal

import msgspec

from canonical.bom import BomLine, PlantBom, PlantBomState, owner_of, plant_bom_key_of
from canonical.change import ChangeMaster, ChangeMasterState, change_master_key
from canonical.facts import Document
from canonical.item import Item
from canonical.item_master import ItemMaster, item_master_key
from canonical.money import UnitPrice
from canonical.operations import (
    ExtendToPlant,
    Operation,
    PutBom,
    PutChangeMaster,
    PutInfoRecord,
    PutItem,
    PutPlantStatus,
    PutSourceList,
)
from canonical.purchasing import InfoRecord, InfoRecordTerms, info_record_key_of
from canonical.quantity import Quantity
from canonical.source_list import SourceList, open_days, source_list_key

# Of the category that steps are about.
STANDARD = "standard"


class TargetChange(msgspec.Struct, frozen=True):
    """One thing that would be other than the target last said.

    where: part of the object, in words. known, planned: as text, "" where it is not there.
    """

    kind: Literal["added", "removed", "changed"]
    where: str
    known: str = ""
    planned: str = ""


def known_key(operation: Operation) -> str:
    """Key of the document in which the target's own words about the object are kept; "" where none
    is."""
    match operation:
        case PutItem(item):
            return item_master_key(item.number)
        case ExtendToPlant(item=number) | PutPlantStatus(item=number):
            return item_master_key(number)
        case PutBom(bom):
            return plant_bom_key_of(bom.plant, bom.usage, bom.alternative, bom.parent)
        case PutInfoRecord(record):
            return info_record_key_of(
                record.supplier, record.purchasing_org, record.plant, STANDARD, record.item
            )
        case PutChangeMaster(change):
            return change_master_key(change.number)
        case PutSourceList(sources, is_partial=True):
            return source_list_key(sources.plant, sources.item)
        case _:
            return ""


def target_changes(
    operation: Operation, known: Document | None, *, system: str = ""
) -> tuple[TargetChange, ...] | None:
    """What the operation would change of what is known of its object; () = nothing.

    known: the document of `known_key`. None where it says nothing, or nothing that could be
    compared. system: the target, where another system may have stated the document.
    """
    match operation, known:
        case PutItem(item), ItemMaster():
            return tuple(_item(item, known))
        case ExtendToPlant(), ItemMaster():
            return tuple(_view(operation, known))
        case PutPlantStatus(), ItemMaster():
            return tuple(_status(operation, known))
        case PutBom(bom), PlantBomState():
            return tuple(_bom(bom, known))
        case PutInfoRecord(record), InfoRecordTerms():
            return tuple(_terms(record, known))
        case PutChangeMaster(change), ChangeMasterState():
            return tuple(_change(change, known))
        case PutSourceList(sources), SourceList() if known.origin == system:
            return tuple(_sources(sources, known))
        case _:
            return None


def changes_back(wrote: Operation, back: Operation) -> tuple[TargetChange, ...] | None:
    """What putting back would change of what was written; None where nothing says it in words."""
    match wrote:
        case PutBom(bom):
            held = PlantBomState(
                bom.plant, bom.parent, bom.usage, bom.alternative, 0, base=bom.base, lines=bom.lines
            )
            return target_changes(back, held) or None
        case PutInfoRecord(record):
            terms = InfoRecordTerms(
                supplier=record.supplier,
                item=record.item,
                organisation=record.purchasing_org,
                plant=record.plant,
                category=STANDARD,
                version=0,
                order_unit=record.order_unit,
                price=record.price,
                price_until=record.last_day,
                lead_time_days=record.lead_time_days,
            )
            return target_changes(back, terms) or None
        case _:
            return None


def _item(item: Item, known: ItemMaster) -> Iterator[TargetChange]:
    yield from _differs("base unit", known.base_unit, item.base_unit)
    texts = known.descriptions.values()
    if texts and item.description and item.description not in texts:
        yield TargetChange("changed", "description", next(iter(texts)), item.description)


def _view(wanted: ExtendToPlant, known: ItemMaster) -> Iterator[TargetChange]:
    view = next((one for one in known.plants if one.plant == wanted.plant), None)
    if view is None:
        yield TargetChange("added", f"view of plant {wanted.plant}", planned=wanted.procurement)
        return
    yield from _differs("procurement", view.procurement or "", wanted.procurement)
    yield from _differs("purchasing group", view.purchasing_group, wanted.purchasing_group)


def _status(wanted: PutPlantStatus, known: ItemMaster) -> Iterator[TargetChange]:
    view = next((one for one in known.plants if one.plant == wanted.plant), None)
    if view is None:
        return
    where = f"status in plant {wanted.plant}"
    stands = view.status.casefold() == wanted.status.casefold()
    if wanted.is_lifted and stands:
        yield TargetChange("removed", where, known=view.status)
    if not wanted.is_lifted and not stands:
        kind: Literal["added", "changed"] = "changed" if view.status else "added"
        yield TargetChange(kind, where, view.status, wanted.status)


def _bom(wanted: PlantBom, known: PlantBomState) -> Iterator[TargetChange]:
    if known.is_deleted or known.base is None:
        for line in wanted.lines:
            yield TargetChange("added", _line(line), planned=_per(line, wanted.base))
        return
    pairs, left = _pairs(wanted, known)
    for line, held in pairs:
        planned = _per(line, wanted.base)
        if held is None:
            yield TargetChange("added", _line(line), planned=planned)
        elif not _is_as_much(line, wanted.base, held, known.base):
            yield TargetChange("changed", _line(line), _per(held, known.base), planned)
    for line in _of_engineering(wanted, left):
        yield TargetChange("removed", _line(line), known=_per(line, known.base))


class Removal(msgspec.Struct, frozen=True):
    """How many lines of a BOM would be taken out, of so many that are engineering's."""

    removed: int
    of: int


def removal(wanted: PlantBom, known: PlantBomState) -> Removal:
    """How much of the BOM would be gone. What is the plant's own, or may be, does not count."""
    if known.is_deleted:
        return Removal(0, 0)
    pairs, left = _pairs(wanted, known)
    removed = sum(1 for _ in _of_engineering(wanted, left))
    return Removal(removed, removed + sum(1 for _, held in pairs if held is not None))


def _of_engineering(wanted: PlantBom, lines: Iterable[BomLine]) -> Iterator[BomLine]:
    """Those that the step may take out. Item categories of held lines are not known here."""
    owner, stated = owner_of(wanted), {line.component for line in wanted.lines}

    def is_theirs(line: BomLine) -> bool:
        whose = owner(line.component, "")
        # Of what is stated it is not said once more whose it is.
        return whose == "engineering" or (whose == "unknown" and line.component in stated)

    return filter(is_theirs, lines)


def _pairs(
    wanted: PlantBom, known: PlantBomState
) -> tuple[list[tuple[BomLine, BomLine | None]], list[BomLine]]:
    """Each wanted line with the one that is held for it, and what is held for none, in its order.

    Lines are those of one component, first at the same position, then wherever it stands.
    """
    left = dict(enumerate(known.lines))
    by_component: dict[str, dict[int, None]] = {}
    by_place: dict[tuple[str, str], deque[int]] = {}
    for n, held in left.items():
        by_component.setdefault(held.component, {})[n] = None
        by_place.setdefault((held.component, _place(held)), deque()).append(n)
    pairs: list[tuple[BomLine, BomLine | None]] = []
    for line in wanted.lines:
        there = by_place.get((line.component, _place(line)), deque())
        same = by_component.get(line.component, {})
        while there and there[0] not in same:
            there.popleft()
        taken = there[0] if there else next(iter(same), None)
        if taken is not None:
            del same[taken]
        pairs.append((line, None if taken is None else left.pop(taken)))
    return pairs, list(left.values())


def _place(line: BomLine) -> str:
    return line.position.lstrip("0")


def _line(line: BomLine) -> str:
    return f"line {line.position} {line.component}"


def _per(line: BomLine, base: Quantity) -> str:
    text = _amount(line.quantity)
    return text if line.fixed or base.value == 1 else f"{text} per {_amount(base)}"


def _amount(quantity: Quantity) -> str:
    return f"{quantity.value:f} {quantity.unit}"


def _is_as_much(line: BomLine, base: Quantity, held: BomLine, held_base: Quantity) -> bool:
    if (line.quantity.unit, line.fixed) != (held.quantity.unit, held.fixed):
        return False
    if line.fixed:
        return line.quantity == held.quantity
    if base.unit != held_base.unit or not base.value or not held_base.value:
        return False
    return Fraction(line.quantity.value) / Fraction(base.value) == Fraction(
        held.quantity.value
    ) / Fraction(held_base.value)


def _terms(record: InfoRecord, known: InfoRecordTerms) -> Iterator[TargetChange]:
    if known.price is not None and not _is_same_price(record.price, known.price):
        yield TargetChange("changed", "price", _price(known.price), _price(record.price))
    yield from _differs("order unit", known.order_unit, record.order_unit)
    if known.lead_time_days is not None:
        days = [f"{each} days" for each in (known.lead_time_days, record.lead_time_days)]
        yield from _differs("lead time", *days)
    if known.price_until != record.last_day:
        until = [str(day) if day else "open" for day in (known.price_until, record.last_day)]
        yield from _differs("price until", *until)
    if known.is_deleted or known.is_deleted_here:
        yield TargetChange("changed", "deletion mark", "set", "not set")


def _is_same_price(one: UnitPrice, other: UnitPrice) -> bool:
    if (one.amount.currency, one.per.unit) != (other.amount.currency, other.per.unit):
        return False
    return Fraction(one.amount.amount) / Fraction(one.per.value) == Fraction(
        other.amount.amount
    ) / Fraction(other.per.value)


def _price(price: UnitPrice) -> str:
    return f"{price.amount.amount:f} {price.amount.currency} per {_amount(price.per)}"


def _sources(wanted: SourceList, known: SourceList) -> Iterator[TargetChange]:
    """Days of each source on which the list does not let it be bought from yet.

    A contract is there under a number of the target's, so that it is not compared.
    """
    for source in wanted.sources:
        there = [
            (held.first_day, held.last_day or date.max)
            for held in known.sources
            if (held.supplier, held.organisation) == (source.supplier, source.organisation)
            and not held.is_blocked
        ]
        for first, last in open_days((source.first_day, source.last_day or date.max), there):
            until = "" if last == date.max else f" until {last}"
            yield TargetChange("added", f"source {source.supplier}", planned=f"from {first}{until}")


def _change(wanted: ChangeMaster, known: ChangeMasterState) -> Iterator[TargetChange]:
    yield from _differs("description", known.description, wanted.description)
    if wanted.is_dated and known.valid_from is not None:
        yield from _differs("valid from", str(known.valid_from), str(wanted.valid_from))


def _differs(where: str, known: str, planned: str) -> Iterator[TargetChange]:
    """A change, where the target has said something and it is something else."""
    if known and planned and known != planned:
        yield TargetChange("changed", where, known, planned)
