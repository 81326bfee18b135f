"""The number that an ERP keeps a change under, so that items and BOMs may refer to it.

Only where a route of this kind names the system; without one nobody has change masters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from zoneinfo import ZoneInfo

from canonical.change import ChangedBom, ChangedObjects, ChangeMaster, change_key
from canonical.effectivity import DateEffectivity
from canonical.effects import Step
from canonical.errors import Rejected
from canonical.item import item_key
from canonical.operations import PutBom, PutChangedObjects, PutChangeMaster, PutItem
from handlers.flows.planning import Planning

# Kind of objects by which a route names the system that keeps change masters; "*" is not enough.
CHANGE_MASTER = "change-master"

Numbers = dict[tuple[str, str], Step]
"""The steps that give systems the number of the change, by plant and system."""


def change_master_steps(planning: Planning, waits: dict[str, Step]) -> Numbers:
    """The change's number, one step a system that is to have it.

    Raises: Rejected for a change that tells no day from which it holds.
    """
    plants: dict[str, list[str]] = {}
    for plant in planning.scope.all_plants():
        for system in planning.keepers(CHANGE_MASTER, plant):
            plants.setdefault(system, []).append(plant)
    steps: Numbers = {}
    for system in sorted(plants):
        step = planning.step(
            system,
            (CHANGE_MASTER, planning.change.number),
            PutChangeMaster(change_master(planning, system)),
            after=_waits_before(planning, waits, plants[system]),
            owner="master data",
        )
        steps |= {(plant, system): step for plant in plants[system]}
    return steps


def before(numbers: Numbers, system: str, plants: Iterable[str]) -> tuple[Step, ...]:
    """The numbers that a write to the system for these plants comes after."""
    return tuple(numbers[plant, system] for plant in plants if (plant, system) in numbers)


def changed_object_steps(
    planning: Planning, numbers: Numbers, written: Iterable[Step]
) -> list[Step]:
    """What the change is about, listed under its number once it is there: an ERP lists nothing that
    it does not have.

    written: item masters and BOMs; those that came after a number are listed under it.
    """
    affected = {row.item for row in planning.change.affected}
    about = [step for step in written if step.object_id in affected]
    steps: list[Step] = []
    for number in dict.fromkeys(numbers.values()):
        listed = [step for step in about if number.identity in step.depends_on]
        if listed:
            steps.append(
                planning.step(
                    number.system,
                    (number.object_kind, number.object_id),
                    PutChangedObjects(_objects(planning.change.number, listed)),
                    after=[number, *listed],
                    owner="master data",
                )
            )
    return steps


def _objects(number: str, written: Iterable[Step]) -> ChangedObjects:
    items: list[str] = []
    boms: list[ChangedBom] = []
    for step in written:
        match step.operation:
            case PutItem(item):
                items.append(item.number)
            case PutBom(bom):
                boms.append(ChangedBom(bom.parent, bom.plant, bom.usage))
    # Sorted: a plan made again in another order lists the same.
    by_item = sorted(boms, key=lambda bom: (bom.item, bom.plant, bom.usage))
    return ChangedObjects(number, tuple(sorted(items)), tuple(by_item))


def change_master(planning: Planning, system: str) -> ChangeMaster:
    """The change as that system is to hold it."""
    change = planning.change
    return ChangeMaster(
        number=change.number,
        description=change.title or change.number,
        valid_from=_first_day(planning, system),
        is_dated=change.effectivity is not None,
        reason=change.description,
    )


def _first_day(planning: Planning, system: str) -> date:
    """The day of the effectivity in its own zone, else the earliest that a plant had at release.

    A number has one day for all plants of its system. Which of them the change is about does not
    count: that becomes known bit by bit, and the day would move with it.
    """
    change = planning.change
    if isinstance(change.effectivity, DateEffectivity):
        return change.effectivity.by_whole_days().to_inclusive_dates()[0]
    if change.released_at is None:
        raise Rejected(
            "change-undated",
            f"{change.number} tells neither when it was released nor from when it is effective,"
            f" and {system} keeps changes with their first day",
            where=change_key(change.number),
            remedy="Release it again with the time of its release or with an effectivity",
            owner="engineering",
        )
    zones = {
        plant.zone
        for plant in planning.facts.rules.plants
        if system in planning.keepers(CHANGE_MASTER, plant.code)
    }
    return min(change.released_at.astimezone(ZoneInfo(zone)).date() for zone in zones)


def _waits_before(
    planning: Planning, waits: dict[str, Step], plants: Collection[str]
) -> tuple[Step, ...]:
    """All waits where a finding may still stop the change, else those for the affected items of the
    plants while none of them is known as it is released: another family may go to other plants, and
    a number is not taken back."""
    if planning.regulated:
        return tuple(waits.values())
    affected = sorted({row.item for row in planning.change.affected})
    there = [n for n in affected if not set(planning.scope.plants[n]).isdisjoint(plants)]
    awaited = [waits[item_key(n)] for n in there if item_key(n) in waits]
    return tuple(awaited) if len(awaited) == len(there) else ()
