"""What each plant builds by: its structures in the base units of their components, as BOM steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from fractions import Fraction
from functools import cache
from math import prod

import msgspec
from msgspec import UNSET

from canonical.bom import Bom, BomLine, PlantBom, bom_key, substitutes_of
from canonical.effects import Step
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.item import Item, item_key
from canonical.operations import PutBom
from canonical.quantity import MAX_SCALE, Quantity, convert_exact, rounded
from handlers.flows.change_masters import Numbers, before
from handlers.flows.change_scope import MATERIAL_KINDS, Scope, components, structure
from handlers.flows.planning import Planning, Views, views_before
from handlers.flows.plant_lines import PlantLine, PlantStructure
from handlers.flows.plant_owned import held_bom_key, kept_lines


def bom_steps(
    planning: Planning,
    waits: dict[str, Step],
    views: Views,
    numbers: Numbers,
) -> dict[tuple[str, str, str], Step]:
    """BOMs by (parent, plant, system): after the change's number, the plant views of all they name
    and the components' BOMs."""
    steps: dict[tuple[str, str, str], Step] = {}
    unsettled = {awaited.item for awaited in planning.scope.awaited}
    for parent in planning.scope.items:  # components come first
        bom = structure(parent.number, planning.facts)
        if bom is None:
            continue
        for plant in planning.scope.plants[parent.number]:
            built = planning.scope.structures[parent.number, plant]
            wanted = _plant_bom(planning, bom, built, parent, plant, unsettled)
            if not wanted.lines:
                continue
            named = (parent.number, *built.components())
            substitutes = _substitutes(wanted.lines) - {*named}
            # What a line means, or whether it is in the BOM, hangs on what engineering states too.
            stated = dict.fromkeys((*named, *components(bom)))
            awaited = [waits[item_key(n)] for n in stated if item_key(n) in waits]
            awaited += [waits[bom_key(n)] for n in named if bom_key(n) in waits]
            for system in planning.holders("bom", plant):
                after = views_before(views, named, plant, system)
                after += [steps[n, plant, system] for n in named if (n, plant, system) in steps]
                after += views_before(views, sorted(substitutes), plant, system)
                steps[parent.number, plant, system] = planning.step(
                    system,
                    ("bom", parent.number),
                    PutBom(wanted),
                    plant=plant,
                    after=[*before(numbers, system, [plant]), *after, *awaited],
                    owner="master data",
                    fact=bom_key(parent.number),
                )
    return steps


def held_boms(planning: Planning) -> tuple[tuple[str, int], ...]:
    """BOMs as ERPs hold them, of which plants keep lines of their own, in the versions known."""
    facts = planning.facts
    keys = {
        held_bom_key(parent, plant, facts)
        for parent in planning.scope.items
        if structure(parent.number, facts) is not None
        for plant in planning.scope.plants[parent.number]
    }
    return tuple((key, facts.version(key)) for key in sorted(keys - {""}))


def built_into(
    scope: Scope, boms: Mapping[tuple[str, str, str], Step]
) -> Callable[[str, str], tuple[Step, ...]]:
    """What tells which BOMs of a plant have to be there for an item to be built in: by number and
    plant, those at the top of all that contain it, over any number of others, which they follow.

    boms: as of `bom_steps`.
    """
    steps: dict[tuple[str, str], list[Step]] = {}
    for (parent, plant, _), step in boms.items():
        steps.setdefault((parent, plant), []).append(step)
    parents: dict[tuple[str, str], list[str]] = {}
    for parent, plant in steps:
        for component in dict.fromkeys(scope.structures[parent, plant].components()):
            parents.setdefault((component, plant), []).append(parent)

    @cache
    def tops(number: str, plant: str) -> tuple[Step, ...]:
        found: dict[str, Step] = {}
        for parent in parents.get((number, plant), ()):
            for step in tops(parent, plant) or steps[parent, plant]:
                found[step.identity] = step
        return tuple(found.values())

    return tops


def _plant_bom(
    planning: Planning,
    bom: Bom,
    built: PlantStructure,
    parent: Item,
    plant: str,
    unsettled: Set[str],
) -> PlantBom:
    facts, rules = planning.facts, planning.facts.rules.boms
    lines = material_lines(built, parent.number, facts, unsettled)
    use = rules.use(plant, parent.family)
    items = (facts.item(line.component) for line in lines)
    categories = {item.number: rules.category(plant, item) for item in items if item}
    stated = {number: category for number, category in categories.items() if category}
    wanted = {*(line.component for line in lines), *_substitutes(lines)}
    return PlantBom(
        plant=plant,
        parent=parent.number,
        revision=bom.revision,
        usage=use.usage,
        alternative=use.alternative,
        # Of what has no lines nothing is asked.
        base=bom.base if parent.number in unsettled or not lines else _base_quantity(bom, parent),
        lines=lines,
        kept=kept_lines(parent, plant, built, wanted, facts),
        line_categories=stated or UNSET,
    )


def _substitutes(lines: Iterable[BomLine]) -> set[str]:
    return {one.item for line in lines for one in substitutes_of(line)}


def material_lines(
    built: PlantStructure, parent: str, facts: Facts, unsettled: Set[str]
) -> tuple[BomLine, ...]:
    """The lines that name materials, with what the plant takes, in its base units.

    unsettled: items with a definition that is awaited. Their units may be others then: the
    quantities stand as stated until it has come, and the BOM waits for it.
    Raises: InvalidMessage for a unit without a factor.
    """
    lines: list[BomLine] = []
    for line in built.lines:
        component = facts.item(line.component)
        if component is not None and component.kind not in MATERIAL_KINDS:
            continue
        stated = facts.item(line.stated.component)
        named = (parent, line.stated.component, line.component)
        if component is None or stated is None or not unsettled.isdisjoint(named):
            lines.append(_with_component(line, line.stated.quantity))
            continue
        where = f"{bom_key(parent)} line {line.stated.position} component {line.stated.component}"
        lines.append(_with_component(line, _quantity(line, stated, component, where)))
    return tuple(lines)


def _with_component(line: PlantLine, quantity: Quantity) -> BomLine:
    """The line with what the plant takes, and so much of it. What is said of the component's
    revision is not said of what stands for it."""
    stated = line.stated
    if line.by or quantity.unit != stated.quantity.unit:
        stated = _as_stated_for_substitutes(stated)
    if line.by:
        stated = msgspec.structs.replace(stated, component=line.component, component_revision="")
    return msgspec.structs.replace(stated, quantity=quantity)


def _as_stated_for_substitutes(line: BomLine) -> BomLine:
    """The line with its quantity at each substitute without one of its own: what so much is in
    another unit, or of another component, differs from item to item."""
    return msgspec.structs.replace(
        line,
        substitutions=tuple(
            msgspec.structs.replace(one, quantity=one.quantity or line.quantity)
            for one in line.substitutions
        ),
    )


def _base_quantity(bom: Bom, parent: Item) -> Quantity:
    where = f"{bom_key(bom.parent)} base quantity"
    if bom.base.value <= 0:
        raise InvalidMessage(
            "base-quantity",
            f"The lines are for {bom.base.value} {bom.base.unit} of {bom.parent}",
            where=where,
            remedy="State how much of the assembly the lines are for",
            owner="engineering data",
        )
    return _in_base_unit(bom.base, parent, where)


def _quantity(line: PlantLine, stated: Item, component: Item, where: str) -> Quantity:
    """So much of what the plant takes, in its base unit.

    A ratio is between base units; without one as much is taken, which is the same amount in
    whatever unit the other item has.
    """
    quantity = _in_base_unit(line.stated.quantity, stated, where)
    if not line.by:
        return quantity
    if all(one.ratio is None for one in line.by):
        return _in_base_unit(quantity, component, where)
    exact = _amount(line.stated.quantity, stated, where)
    factor = prod((one.factor for one in line.by), start=Fraction(1))
    return _rounded(exact * factor, line.stated.quantity, component.base_unit, where)


def _in_base_unit(quantity: Quantity, item: Item, where: str) -> Quantity:
    """The quantity in the item's base unit, to the six decimals that ERP fields have at most."""
    if quantity.unit == item.base_unit:
        return quantity
    return _rounded(_amount(quantity, item, where), quantity, item.base_unit, where)


def _amount(quantity: Quantity, item: Item, where: str) -> Fraction:
    """How many base units of the item it is, exact."""
    try:
        return convert_exact(quantity, item.base_unit, item.alternates, base=item.base_unit)
    except InvalidMessage as error:
        raise _placed(error, where) from error


def _rounded(exact: Fraction, stated: Quantity, unit: str, where: str) -> Quantity:
    try:
        found = Quantity(rounded(exact, MAX_SCALE, where=unit), unit)
    except InvalidMessage as error:
        raise _placed(error, where) from error
    if found.value == 0 and stated.value != 0:
        raise InvalidMessage(
            "quantity-too-small",
            f"{stated.value} {stated.unit} is less than a millionth {unit}",
            where=where,
            remedy="State the structure for a larger base quantity",
            owner="engineering data",
        )
    return found


def _placed(error: InvalidMessage, where: str) -> InvalidMessage:
    """The same failure, where the person who can mend it will look for it."""
    return InvalidMessage(
        error.code, error.what, where=where, remedy=error.remedy, owner="engineering data"
    )
