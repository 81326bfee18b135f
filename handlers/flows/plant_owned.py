"""Which lines of a plant's BOM are its own, as the step that writes the BOM has to know.

Number and item category of a line tell by themselves. Of which kind a component is, its item tells:
those that engineering states are known, and of those that an ERP has in the BOM, as far as it has
stated it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from canonical.bom import Kept, PlantBomState, plant_bom_key_of, substitutes_of
from canonical.facts import Facts
from canonical.item import Item, item_key
from handlers.flows.plant_lines import PlantStructure


def held_bom_key(parent: Item, plant: str, facts: Facts) -> str:
    """Document key of the BOM as the plant's ERP has it, where that says which lines are the
    plant's own; "" where it does not."""
    rules = facts.rules.boms
    if not any(rule.goes_by_item for rule in rules.owned_in(plant)):
        return ""
    use = rules.use(plant, parent.family)
    return plant_bom_key_of(plant, use.usage, use.alternative, parent.number)


def keys_of_held_lines(parent: Item, facts: Facts) -> frozenset[str]:
    """Document keys of the item's BOMs as the plants' ERPs have them, and of what stands in them,
    where that says which lines are the plants' own."""
    keys: set[str] = set()
    for plant in facts.rules.plants if facts.rules.boms.plant_owned else ():
        if key := held_bom_key(parent, plant.code, facts):
            keys |= {key, *map(item_key, _held(parent, plant.code, facts))}
    return frozenset(keys)


def kept_lines(
    parent: Item, plant: str, built: PlantStructure, wanted: Iterable[str], facts: Facts
) -> Kept | UnsetType:
    """What tells the plant's own lines; UNSET where it has none.

    wanted: components and substitutes that are to be in the BOM.
    """
    owned = facts.rules.boms.owned_in(plant)
    if not owned:
        return UNSET
    prefixes = sorted({word for rule in owned for word in rule.prefixes})
    line_categories = sorted({word for rule in owned for word in rule.line_categories})
    if not held_bom_key(parent, plant, facts):
        return Kept(tuple(prefixes), tuple(line_categories))
    numbers, others = set(built.owned), set[str]()
    for number in _held(parent, plant, facts):
        item = facts.item(number)
        if facts.rules.boms.owns(plant, number, item):
            numbers.add(number)
        elif item is not None:
            others.add(number)
    return Kept(
        tuple(prefixes),
        tuple(line_categories),
        numbers=tuple(sorted(numbers)),
        # What is wanted anyway is nothing that would be taken out.
        others=tuple(sorted(others.difference(wanted))),
    )


def _held(parent: Item, plant: str, facts: Facts) -> frozenset[str]:
    """Numbers of all components that the plant's ERP has in the BOM, as far as it has said so."""
    use = facts.rules.boms.use(plant, parent.family)
    held: PlantBomState | None = facts.plant_bom(plant, use.usage, use.alternative, parent.number)
    if held is None:
        return frozenset()
    return frozenset(
        number
        for line in held.lines
        for number in (line.component, *(one.item for one in substitutes_of(line)))
    )
