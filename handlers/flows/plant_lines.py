"""What of a structure that engineering released is in a plant's BOM: what the plant leaves out,
keeps itself or replaces, as the rules say. Kinds that no plant stocks are no matter of plants and
are still in it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec

from canonical.bom import Bom, BomLine, substitutes_of
from canonical.bom_rules import Replacement, chain_from
from canonical.facts import Facts


class PlantLine(msgspec.Struct, frozen=True, gc=False):
    """A line as a plant has it.

    stated: as engineering states it, without substitutes that the plant does not use. by: the
    replacements that lead to what the plant takes; () where that is what is stated.
    """

    stated: BomLine
    by: tuple[Replacement, ...] = ()

    @property
    def component(self) -> str:
        """What the plant takes."""
        return self.by[-1].by if self.by else self.stated.component


class PlantStructure(msgspec.Struct, frozen=True):
    """A structure as a plant builds by it. left_out, owned: numbers of components that engineering
    states and that are not in it, each once."""

    lines: tuple[PlantLine, ...]
    left_out: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()

    def components(self) -> tuple[str, ...]:
        """What the plant takes, each once, in line order."""
        return tuple(dict.fromkeys(line.component for line in self.lines))

    def replaced(self) -> dict[str, str]:
        """What engineering states and the plant replaces, with what it takes in its place."""
        return {line.stated.component: line.component for line in self.lines if line.by}


def plant_structure(bom: Bom, plant: str, facts: Facts, on: date) -> PlantStructure:
    """The structure in that plant on that day.

    A component is left to the plant where it is the plant's own, whether it is stated or taken in
    the place of one; then it is left out where that is said of it.
    """
    rules = facts.rules.boms
    in_force = rules.replacements_in(plant, on)
    if not (in_force or rules.left_out or rules.plant_owned):
        return PlantStructure(tuple(map(PlantLine, bom.lines)))

    def is_owned(number: str) -> bool:
        return rules.owns(plant, number, facts.item(number))

    def is_left_out(number: str) -> bool:
        return rules.leaves_out(plant, number, facts.item(number))

    def is_unused(number: str) -> bool:
        return number in in_force or is_owned(number) or is_left_out(number)

    lines: list[PlantLine] = []
    left_out: list[str] = []
    owned: list[str] = []
    for line in bom.lines:
        by = chain_from(line.component, in_force)
        concerned = (line.component, *(one.by for one in by[-1:]))
        if theirs := [number for number in concerned if is_owned(number)]:
            owned += theirs
        elif any(is_left_out(number) for number in concerned):
            left_out.append(line.component)
        else:
            lines.append(PlantLine(_with_used(line, concerned[-1], is_unused), by))
    return PlantStructure(tuple(lines), tuple(dict.fromkeys(left_out)), tuple(dict.fromkeys(owned)))


def _with_used(line: BomLine, component: str, is_unused: Callable[[str], bool]) -> BomLine:
    """The line without the substitutes that the plant does not use, among them the one that it
    takes anyway."""
    unused = {
        one.item
        for one in substitutes_of(line)
        if is_unused(one.item) or (one.item == component != line.component)
    }
    if not unused:
        return line
    return msgspec.structs.replace(
        line,
        substitutes=tuple(number for number in line.substitutes if number not in unused),
        substitutions=tuple(one for one in line.substitutions if one.item not in unused),
    )
