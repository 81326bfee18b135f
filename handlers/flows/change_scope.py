"""Which items and plants a change is about, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

import msgspec

from canonical.bom import Bom, bom_key
from canonical.change import AffectedItem, EngineeringChange
from canonical.errors import Rejected
from canonical.facts import Facts
from canonical.item import Item, item_key
from canonical.sourcing import CoverageLine, coverage_key
from canonical.supplier import supplier_key

MAX_DEPTH = 16
# Kinds that a plant stocks and an ERP keeps as materials.
MATERIAL_KINDS = frozenset({"part", "assembly"})


class Scope(msgspec.Struct, frozen=True):
    """What a change is about, as far as it is known.

    plants: plant codes per item number, in the order of the rule. items: in creation order,
    components before the assemblies they go into. unknown: affected items and components nobody
    has released yet, with their plants.
    """

    plants: dict[str, tuple[str, ...]]
    items: tuple[Item, ...]
    unknown: tuple[str, ...]

    def all_plants(self) -> tuple[str, ...]:
        """Every plant that is concerned."""
        return tuple(dict.fromkeys(p for codes in self.plants.values() for p in codes))


def facts_needed(change: EngineeringChange, facts: Facts) -> frozenset[str]:
    """Document keys a plan wants to look at, given what is known so far."""
    numbers = set(reachable(change, facts))
    keys = {item_key(n) for n in numbers} | {bom_key(n) for n in numbers}
    for number in numbers:
        item = facts.item(number)
        if item is not None and is_bought(item):
            keys.add(coverage_key(number))
            coverage = facts.coverage(number)
            keys |= {supplier_key(line.supplier) for line in coverage.lines} if coverage else set()
    return frozenset(keys)


def reachable(change: EngineeringChange, facts: Facts) -> list[str]:
    """Affected items and everything they contain, as far as BOMs are known; each once."""
    found: dict[str, None] = {}
    layer = [row.item for row in change.affected]
    for _ in range(MAX_DEPTH):
        fresh = [n for n in dict.fromkeys(layer) if n not in found]
        found |= dict.fromkeys(fresh)
        layer = [component for n in fresh for component in components(facts.bom(n))]
    return list(found)


def components(bom: Bom | None) -> tuple[str, ...]:
    """Component numbers of a BOM, each once, in line order."""
    return tuple(dict.fromkeys(line.component for line in bom.lines)) if bom else ()


def is_bought(item: Item) -> bool:
    """Whether purchasing has to do with it."""
    return item.procurement == "buy" and item.kind in MATERIAL_KINDS


def is_made(item: Item) -> bool:
    """Whether a plant builds it by a BOM."""
    return item.procurement in ("make", "phantom") and item.kind in MATERIAL_KINDS


def scope_of(change: EngineeringChange, facts: Facts) -> Scope:
    """Items in creation order with their plants.

    Raises: Rejected if no rule names a plant, a plant is not ours, or a BOM contains itself.
    """
    plants: dict[str, dict[str, None]] = {}
    for row in change.affected:
        _spread(row.item, which_plants(change, row, facts), facts, plants, path=())
    ordered = creation_order(plants, facts)
    known = [item for number in ordered if (item := facts.item(number)) is not None]
    return Scope(
        plants={number: tuple(plants[number]) for number in ordered},
        items=tuple(item for item in known if item.kind in MATERIAL_KINDS),
        unknown=tuple(number for number in ordered if facts.item(number) is None),
    )


def which_plants(change: EngineeringChange, row: AffectedItem, facts: Facts) -> tuple[str, ...]:
    """Plants of the row, else of the change, else by the rule for the product family.

    Never "all": without any of these a person has to say.
    """
    item = facts.item(row.item)
    by_rule = facts.rules.plants_of(change.family) or (
        facts.rules.plants_of(item.family) if item else ()
    )
    codes = row.plants or change.plants or by_rule
    if not codes:
        raise Rejected(
            "plants-unknown",
            f"No plant is named for {row.item}: neither by the change nor by a rule for its family",
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


def _spread(
    number: str,
    codes: Iterable[str],
    facts: Facts,
    plants: dict[str, dict[str, None]],
    path: tuple[str, ...],
) -> None:
    """A component goes wherever its assembly is built."""
    if number in path:
        raise Rejected(
            "bom-cycle",
            f"{' contains '.join((*path[path.index(number) :], number))}",
            where=bom_key(number),
            remedy="Correct the structure in PLM and release it anew",
            owner="engineering",
        )
    seen = plants.setdefault(number, {})
    fresh = [code for code in codes if code not in seen]
    if not fresh and path:
        return
    seen |= dict.fromkeys(fresh)
    if len(path) < MAX_DEPTH:
        for component in components(facts.bom(number)):
            _spread(component, codes, facts, plants, (*path, number))


def creation_order(numbers: Iterable[str], facts: Facts) -> list[str]:
    """Components before assemblies; equal ones by number, so that input order does not matter."""
    wanted = set(numbers)
    done: dict[str, None] = {}

    def visit(number: str) -> Iterator[str]:
        if number in done:
            return
        done[number] = None
        for component in sorted(components(facts.bom(number))):
            if component in wanted:
                yield from visit(component)
        yield number

    return [number for start in sorted(wanted) for number in visit(start)]


def usable_line(item: str, plant: str, today: date, facts: Facts) -> CoverageLine | None:
    """The contract line under which a plant buys: the lowest contract number that covers it.

    A plant that buys centrally uses contracts of the whole company only.
    """
    coverage = facts.coverage(item)
    rule = facts.rules.plant(plant)
    if coverage is None or rule is None:
        return None
    lines = [
        line
        for line in coverage.lines
        if line.covers(plant, today) and not (rule.sourcing == "central" and line.plants)
    ]
    return min(lines, key=lambda line: (line.contract, line.supplier), default=None)
