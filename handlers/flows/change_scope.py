"""Which items and plants a change is about, and which of their definitions are still to come."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

import msgspec

from canonical.bom import Bom, bom_key, bom_revisions_key, substitutes_of
from canonical.change import (
    AffectedItem,
    EngineeringChange,
    change_key,
    revision_effectivities_key,
)
from canonical.eligibility import chain
from canonical.errors import Rejected
from canonical.facts import Facts
from canonical.item import Item, item_key, item_revisions_key
from canonical.item_master import item_master_key
from canonical.order import open_orders_key
from canonical.purchase_contract import contract_key
from canonical.revision import Revision, UnknownRevision, parse_revision
from canonical.source_list import source_list_key
from canonical.sourcing import coverage_key
from canonical.supplier import supplier_key
from handlers.flows.guarded_targets import keys_of_boms, keys_of_info_records
from handlers.flows.plant_lines import PlantStructure, plant_structure
from handlers.flows.plant_owned import keys_of_held_lines

# Levels below the affected items; a product has far fewer, a mistake in its data may have more.
MAX_DEPTH = 16
# Kinds that a plant stocks and an ERP keeps as materials; documents and services are neither.
MATERIAL_KINDS = frozenset({"part", "assembly"})


class Awaited(msgspec.Struct, frozen=True):
    """A definition that has to arrive, or to arrive anew, before the item can be finished.

    fact: document key, of the item itself or of its BOM. reason: for people. until: when what is
    known comes into force; None where something has to arrive.
    """

    item: str
    fact: str
    reason: str
    until: datetime | None = None


class Scope(msgspec.Struct, frozen=True):
    """What a change is about, as far as it is known.

    plants: codes by item number, components before the assemblies they go into; () where nothing
        known says where the item goes, and where every plant takes another one in its place.
    items: the materials among them that are known and go to a plant, in the same order.
    provisional: (item, plant) that are in it only by a structure which is awaited anew: they may
        drop out.
    structures: of what is built, by number and plant.
    """

    plants: dict[str, tuple[str, ...]]
    items: tuple[Item, ...]
    awaited: tuple[Awaited, ...]
    provisional: frozenset[tuple[str, str]]
    structures: dict[tuple[str, str], PlantStructure]

    def all_plants(self) -> tuple[str, ...]:
        """Every plant that is concerned."""
        return tuple(sorted({code for codes in self.plants.values() for code in codes}))


def facts_needed(change: EngineeringChange, facts: Facts) -> frozenset[str]:
    """Document keys a plan looks at, given what is known so far; more facts never ask for less."""
    numbers, _ = _reach(
        (row.item for row in change.affected),
        _parts(facts, lambda number: (facts.bom(number), *facts.bom_revisions(number))),
    )
    plants = _plants_so_far(change, facts)
    # Where sources are entered in lists, under their contracts.
    listing = [c for c in plants if (plant := facts.rules.plant(c)) and plant.source_list]
    keys = {
        key(number) for number in numbers for key in (item_key, bom_key, revision_effectivities_key)
    }
    keys |= {open_orders_key(row.item) for row in change.affected}
    for row in change.affected:
        # Also beside plants by a rule: what is bought no longer is so wherever it is.
        if facts.item(row.item) is not None and not named_by_change(change, row):
            keys.add(item_master_key(row.item))
    for number in numbers:
        if facts.revision_effectivities(number):
            # Another revision than the newest may be in force.
            keys |= {item_revisions_key(number), bom_revisions_key(number)}
        item = facts.item(number)
        revisions = (*((item,) if item else ()), *facts.item_revisions(number))
        for made in filter(is_made, revisions):
            keys |= keys_of_held_lines(made, facts) | keys_of_boms(made, plants, facts)
        if any(map(is_bought, revisions)):
            keys |= {coverage_key(number), item_master_key(number)}
            keys |= {source_list_key(code, number) for code in listing}
            coverage = facts.coverage(number)
            for line in coverage.lines if coverage else ():
                # A parent is known by its child, so each level takes one more round.
                keys |= {supplier_key(n) for n in chain(line.supplier, facts.supplier)}
                keys |= keys_of_info_records(number, line, plants, facts)
                if listing:
                    keys.add(contract_key(line.contract))
    return frozenset(keys)


def scope_of(
    change: EngineeringChange,
    facts: Facts,
    now: datetime,
    to_come: Mapping[str, Awaited] = MappingProxyType({}),
) -> Scope:
    """Affected items and all that plants build them of, each with its plants: where its assemblies
    are built.

    now: says by which replacements. to_come: items that are known and not in force, by number.
    Raises: Rejected if nothing is affected, nobody says which plants, a plant is not ours, or a
    structure contains itself or does not end; UnknownRevision for a label that is none of the
    item's scheme.
    """
    affected = {row.item for row in change.affected}
    if not affected:
        # Else it would be reported complete at once, with nothing done.
        raise Rejected(
            "nothing-affected",
            f"{change.number} names no affected item",
            where=change_key(change.number),
            remedy="Add the affected items in PLM and release it anew",
            owner="engineering",
        )
    _, ends = _reach(affected, _parts(facts, lambda number: (structure(number, facts),)))
    if not ends:
        raise Rejected(
            "structure-too-deep",
            f"The structure has more than {MAX_DEPTH} levels",
            where=change_key(change.number),
            remedy="Correct the structure in PLM and release it anew",
            owner="engineering",
        )
    own: dict[str, set[str]] = {number: set() for number in affected}
    for row in change.affected:
        own[row.item].update(which_plants(change, row, facts))
    structure_in = _structures(facts, now)
    spread = _spread(own, structure_in)
    order = _creation_order(_graph(spread, structure_in))
    plants = {number: tuple(sorted(spread.get(number, ()))) for number in order}
    awaited = tuple(_awaited_definitions(change, plants, facts, to_come))
    firm = _spread(own, structure_in, passed_over={a.item for a in awaited})
    known = (facts.item(number) for number in order)
    return Scope(
        plants=plants,
        items=tuple(
            item for item in known if item and plants[item.number] and item.kind in MATERIAL_KINDS
        ),
        awaited=awaited,
        provisional=frozenset(
            (n, code) for n in order for code in plants[n] if code not in firm.get(n, ())
        ),
        structures={
            (n, code): found
            for n in order
            for code in plants[n]
            if (found := structure_in(n, code)) is not None
        },
    )


def which_plants(change: EngineeringChange, row: AffectedItem, facts: Facts) -> tuple[str, ...]:
    """Plants the row names, else the change, else the rule for the change's or item's family and
    the item's class and kind, else those of ours in which an ERP has it already.

    Never "all": without any of these a person has to say. () while the item, and with it its
    family, is not known yet.
    """
    item = facts.item(row.item)
    codes = _named_plants(change, row, facts) or (extended_to(item, facts) if item else ())
    if not codes and item is not None:
        raise Rejected(
            "plants-unknown",
            f"No plant is named for {row.item}: neither by the change nor by a rule for its family,"
            " and no ERP has told in which it is",
            where=item_key(row.item),
            remedy="Name plants in the change, or add a distribution rule for the product family",
            owner="engineering",
        )
    for code in codes:
        if facts.rules.plant(code) is None:
            raise Rejected(
                "plant-unknown",
                f"Plant {code} is not known",
                where=item_key(row.item),
                remedy="Correct the plant in the change, or add it to the rules",
                owner="engineering",
            )
    return codes


def _named_plants(change: EngineeringChange, row: AffectedItem, facts: Facts) -> tuple[str, ...]:
    item, rules = facts.item(row.item), facts.rules
    kind, classes = (item.kind, item.classes) if item else (None, ())
    by_rule = rules.plants_of(change.family, kind, classes)
    by_rule = by_rule or rules.plants_of(item.family if item else "", kind, classes)
    return named_by_change(change, row) or by_rule


def named_by_change(change: EngineeringChange, row: AffectedItem) -> tuple[str, ...]:
    """Plants that the row names, or else the change: it is for these alone."""
    return row.plants or change.plants


def _plants_so_far(change: EngineeringChange, facts: Facts) -> tuple[str, ...]:
    """Every plant that the change may come to, components too: they go where an assembly with them
    is built. With more facts there are more, never fewer."""
    found: set[str] = set()
    for row in change.affected:
        item = facts.item(row.item)
        if item is not None or row.plants or change.plants:
            named = _named_plants(change, row, facts)
            found.update(named or (extended_to(item, facts) if item else ()))
    return tuple(sorted(found))


def extended_to(item: Item, facts: Facts) -> tuple[str, ...]:
    """Our plants that have a view of the item, as far as their ERPs have said so."""
    master = facts.item_master(item.number)
    if master is None or master.is_deleted:
        return ()
    return tuple(
        view.plant
        for view in master.plants
        if not view.is_deleted and facts.rules.plant(view.plant) is not None
    )


def structure(number: str, facts: Facts) -> Bom | None:
    """The BOM a plant builds the item by.

    None for what is bought complete: its structure is the supplier's affair. None also while the
    item is unknown, since then nobody knows which of the two it is.
    """
    item = facts.item(number)
    return facts.bom(number) if item is not None and is_made(item) else None


def replaceable(scope: Scope, facts: Facts) -> frozenset[str]:
    """All that the rules may say something else of, by the day: what the structures state, with
    substitutes, and what stands for these on some day."""
    found: set[str] = set()
    if facts.rules.boms.replacements:
        for number in {number for number, _ in scope.structures}:
            bom = structure(number, facts)
            for line in bom.lines if bom else ():
                found.update((line.component, *(one.item for one in substitutes_of(line))))
        found.update(_with_substitutable(found, facts))
    return frozenset(found)


def components(bom: Bom | None) -> tuple[str, ...]:
    """Component numbers of a BOM, each once, in line order."""
    return tuple(dict.fromkeys(line.component for line in bom.lines)) if bom else ()


def is_bought(item: Item) -> bool:
    """Whether purchasing has to do with it."""
    return item.procurement == "buy" and item.kind in MATERIAL_KINDS


def is_made(item: Item) -> bool:
    """Whether a plant builds it by a BOM, or through it."""
    return item.procurement in ("make", "phantom") and item.kind in MATERIAL_KINDS


def revision_order(known: Revision, label: str, *, where: str) -> int | None:
    """-1, 0 or 1 as the known revision is older than, the same as or newer than the label.

    None where nobody can tell: the scheme has no order, or the source has one of its own.
    """
    if known.label == label:
        return 0
    by_scheme = parse_revision(known.label, known.scheme).ordinal
    try:
        other = parse_revision(label, known.scheme, where=where).ordinal
    except UnknownRevision as error:
        # Layshaft itself sent the event: the one to ask keeps the definitions.
        raise UnknownRevision(
            error.code, error.what, where=where, remedy=error.remedy, owner="engineering data"
        ) from error
    if by_scheme is None or other is None or by_scheme != known.ordinal:
        return None
    return (by_scheme > other) - (by_scheme < other)


def _reach(
    starts: Iterable[str], parts: Callable[[str], tuple[str, ...]]
) -> tuple[frozenset[str], bool]:
    """All that is reached in MAX_DEPTH levels, and whether that is all there is."""
    found: set[str] = set()
    level = set(starts)
    for _ in range(MAX_DEPTH):
        found |= level
        level = {component for number in level for component in parts(number)} - found
    return frozenset(found), not level


def _creation_order(graph: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Components before assemblies; equal ones by number, so that input order does not matter.

    graph: components by what is built of them.
    """
    graph = {number: sorted(graph[number]) for number in sorted(graph)}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle: list[str] = error.args[1]
        raise Rejected(
            "bom-cycle",
            # The sorter lists each node before the one it is a component of.
            " contains ".join(reversed(cycle)),
            where=bom_key(cycle[0]),
            remedy="Correct the structure in PLM and release it anew",
            owner="engineering",
        ) from error


StructureIn = Callable[[str, str], PlantStructure | None]


def _structures(facts: Facts, now: datetime) -> StructureIn:
    """What tells by which structure an item is built in a plant; None where by none."""

    @cache
    def structure_in(number: str, plant: str) -> PlantStructure | None:
        bom = structure(number, facts)
        day = facts.rules.day_in(plant, now)
        return plant_structure(bom, plant, facts, day) if bom else None

    return structure_in


def _spread(
    own: Mapping[str, Iterable[str]],
    structure_in: StructureIn,
    *,
    passed_over: Container[str] = (),
) -> dict[str, set[str]]:
    """Plants of each item: its own, and those in which an assembly with it is built."""
    plants = {number: set(codes) for number, codes in own.items()}
    found = [(number, code) for number, codes in plants.items() for code in codes]
    while found:
        number, code = found.pop()
        built = None if number in passed_over else structure_in(number, code)
        for component in built.components() if built else ():
            codes = plants.setdefault(component, set())
            if code not in codes:
                codes.add(code)
                found.append((component, code))
    return plants


def _graph(plants: Mapping[str, Iterable[str]], structure_in: StructureIn) -> dict[str, set[str]]:
    """Components by what is built of them in any plant. What is replaced everywhere is in it too:
    how much of the other one is taken is said of it."""
    graph: dict[str, set[str]] = {number: set() for number in plants}
    for number, codes in plants.items():
        for code in codes:
            if built := structure_in(number, code):
                graph[number].update(built.components())
                for stated in built.replaced():
                    graph.setdefault(stated, set())
    return graph


def _parts(
    facts: Facts, boms_of: Callable[[str], Iterable[Bom | None]]
) -> Callable[[str], tuple[str, ...]]:
    """What tells of which components an assembly may be made: those that are stated, and whatever
    stands for one of them in some plant on some day."""

    def parts(number: str) -> tuple[str, ...]:
        stated = (part for bom in boms_of(number) for part in components(bom))
        return _with_substitutable(stated, facts)

    return parts


def _with_substitutable(numbers: Iterable[str], facts: Facts) -> tuple[str, ...]:
    """These, and whatever stands for one of them in some plant on some day."""
    substitutable = facts.rules.boms.substitutable()
    found = dict.fromkeys(numbers)
    looked_at = list(found) if substitutable else []
    while looked_at:
        for other in substitutable.get(looked_at.pop(), ()):
            if other not in found:
                found[other] = None
                looked_at.append(other)
    return tuple(found)


def _awaited_definitions(
    change: EngineeringChange,
    plants: Mapping[str, tuple[str, ...]],
    facts: Facts,
    to_come: Mapping[str, Awaited],
) -> Iterator[Awaited]:
    """What is missing, and what is known in an older state than the change speaks of.

    An item and its BOM are released by two messages: until both are known in one revision, the
    release is half of one.
    plants, to_come: as of the scope, in its order.
    """
    releases = sorted({(row.item, row.new_revision) for row in change.affected})
    for number in plants:
        item = facts.item(number)
        if item is None:
            yield Awaited(number, item_key(number), f"{number} has not been released")
            continue
        behind = [
            label
            for affected, label in releases
            if affected == number
            and revision_order(item.revision, label, where=item_key(number)) in (-1, None)
        ]
        if behind:
            reason = f"{number} is known in revision {item.revision.label}, the change releases "
            yield Awaited(number, item_key(number), reason + ", ".join(behind))
        elif number in to_come:
            yield to_come[number]
        elif is_made(item) and plants[number]:
            yield from _awaited_structure(item, facts.bom(number))


def _awaited_structure(item: Item, bom: Bom | None) -> Iterator[Awaited]:
    number = item.number
    if bom is None:
        yield Awaited(number, bom_key(number), f"{number} is made and its BOM is not known")
        return
    order = revision_order(item.revision, bom.revision, where=bom_key(number))
    if order == 0:
        return
    yield Awaited(
        number,
        item_key(number) if order == -1 else bom_key(number),
        f"{number} is known in revision {item.revision.label}, its BOM in {bom.revision}",
    )
