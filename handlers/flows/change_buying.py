"""The steps that stop an obsolete part from being bought in a plant, and those that take this back
once it is released again.

By which status an ERP stops buying is a rule. Where none says so it is not guessed: the change
waits there, and a case says who has to say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from canonical.change import change_key
from canonical.effects import Open, Step
from canonical.item_master import item_master_key
from canonical.obsolete import OFF
from canonical.operations import PutPlantStatus
from handlers.flows.obsolete_parts import Buying
from handlers.flows.planning import Planning, Views, views_before

OWNER = "master data"


class Stops(msgspec.Struct, frozen=True):
    """Steps that stop buying, by the waits in place of those of which no rule tells, and the case
    that says so."""

    steps: tuple[Step, ...] = ()
    waits: tuple[Step, ...] = ()
    cases: tuple[Open, ...] = ()


def resumed(planning: Planning, waits: dict[str, Step], views: Views) -> Views:
    """The views, each followed by the step that takes our status back where the part is released:
    what needs the part in the plant comes after that.

    Whether we set it shows the target alone, so that each place is asked.
    """
    found = dict(views)
    for number, plant in _places(planning, "goes-on"):
        there = dict(found.get((number, plant), {}))
        for system in planning.holders("item", plant):
            code = planning.facts.rules.obsolete.status(plant, system)
            if code and code != OFF:
                there[system] = planning.step(
                    system,
                    ("item", number),
                    PutPlantStatus(number, plant, code, is_lifted=True),
                    plant=plant,
                    after=[
                        *views_before(views, [number], plant, system),
                        *planning.waits_before(waits, number, [plant]),
                    ],
                    owner=OWNER,
                )
        if there:
            found[number, plant] = there
    return found


def stop_steps(
    planning: Planning, waits: dict[str, Step], views: Views, boms: Iterable[Step]
) -> Stops:
    """Each place of a part that becomes obsolete, after the BOMs of its plant: they are without it
    by then."""
    steps: list[Step] = []
    unsaid: list[tuple[str, str, str]] = []
    last = _last_by_plant(boms)
    for number, plant in _places(planning, "stops"):
        for system in planning.holders("item", plant):
            code = planning.facts.rules.obsolete.status(plant, system)
            if not code:
                unsaid.append((number, plant, system))
            elif code != OFF:
                steps.append(
                    planning.step(
                        system,
                        ("item", number),
                        PutPlantStatus(number, plant, code),
                        plant=plant,
                        after=[
                            *views_before(views, [number], plant, system),
                            *last.get(plant, ()),
                            *planning.waits_before(waits, number, [plant]),
                        ],
                        owner=OWNER,
                    )
                )
    if not unsaid:
        return Stops(tuple(steps))
    return Stops(tuple(steps), tuple(_waits(planning, unsaid)), (_case(planning, unsaid),))


def _last_by_plant(boms: Iterable[Step]) -> dict[str, list[Step]]:
    """BOMs that no other one follows: whatever comes after these comes after all of the plant."""
    steps = tuple(boms)
    followed = {identity for step in steps for identity in step.depends_on}
    found: dict[str, list[Step]] = {}
    for step in steps:
        if step.identity not in followed:
            found.setdefault(step.plant, []).append(step)
    return found


def _waits(planning: Planning, unsaid: Iterable[tuple[str, str, str]]) -> Iterator[Step]:
    """One a part and plant: the change is not done there, whatever else is."""
    systems: dict[tuple[str, str], list[str]] = {}
    for number, plant, system in unsaid:
        systems.setdefault((number, plant), []).append(system)
    for (number, plant), named in systems.items():
        reason = f"No rule says by which status {', '.join(named)} stops buying {number}"
        yield planning.wait(item_master_key(number), reason, "operations", plant=plant)


def _case(planning: Planning, unsaid: list[tuple[str, str, str]]) -> Open:
    """One for the change: it is one gap of the rules, however many parts there are."""
    parts = sorted({number for number, _, _ in unsaid})
    places = sorted({f"{plant} in {system}" for _, plant, system in unsaid})
    shown = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
    return Open(
        code="plant-status-missing",
        word="configuration",
        what=f"{shown} is to be bought no longer, and no rule says by which material status the ERP"
        f" stops that: plant {', '.join(places)}",
        where=f"{change_key(planning.change.number)}: rules.obsolete",
        remedy='Ask master data for the code, set plant_status in [rules.obsolete] ("off" where'
        " people stop it themselves), restart, then retry this case",
        owner="operations",
    )


def _places(planning: Planning, wanted: Buying) -> list[tuple[str, str]]:
    return [place for place, buying in planning.buying.items() if buying == wanted]
