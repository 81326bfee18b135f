"""What targets last said of the objects that guards compare with, as document keys: pure.

Asked for by plant, of all that a change may come to: a plan is known only once they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from canonical.bom import plant_bom_key_of
from canonical.facts import Facts
from canonical.guards import Guard
from canonical.item import Item
from canonical.purchasing import info_record_key_of
from canonical.sourcing import CoverageLine
from handlers.flows.target_changes import STANDARD


def keys_of_boms(item: Item, plants: Iterable[str], facts: Facts) -> frozenset[str]:
    """The item's BOMs in those of the plants where lines are guarded."""
    uses = ((plant, facts.rules.boms.use(plant, item.family)) for plant in plants)
    return frozenset(
        plant_bom_key_of(plant, use.usage, use.alternative, item.number)
        for plant, use in uses
        if is_guarded("removed_lines_percent", plant, facts)
    )


def keys_of_info_records(
    item: str, line: CoverageLine, plants: Iterable[str], facts: Facts
) -> frozenset[str]:
    """The terms that plants may have by the contract line, where prices are guarded."""
    ours = (facts.rules.plant(code) for code in plants if not line.plants or code in line.plants)
    return frozenset(
        info_record_key_of(line.supplier, facts.rules.buys_for(plant), plant.code, STANDARD, item)
        for plant in ours
        if plant is not None and is_guarded("price_percent", plant.code, facts)
    )


def is_guarded(guard: Guard, plant: str, facts: Facts) -> bool:
    """Whether anything is compared there at all."""
    return facts.rules.guards.limit(guard, plant) is not None
