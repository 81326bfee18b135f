"""What the customer decides about the BOMs of plants: under which usage they are kept, what of
engineering's is in them, and which lines are the plant's own.

A part of the rules, `[rules.boms]`; docs/plant-boms.md shows all of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import combinations

import msgspec

from canonical.item import Item, ItemKind, Procurement


class BomUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under which usage and alternative plants keep the structures that engineering releases.

    plant, family: of the assembly; "*" = any. usage, alternative: the ERP's own numbers.
    """

    plant: str = "*"
    family: str = "*"
    usage: str = "1"
    alternative: str = "1"

    def __post_init__(self) -> None:
        if not self.usage.strip() or not self.alternative.strip():
            raise ValueError("A BOM has a usage and an alternative; one of them is empty")


class LineCategory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The item category that new lines of such components get in the ERP.

    category: the ERP's own word. plants, kinds, procurement: of the component; () = any.
    """

    category: str
    plants: tuple[str, ...] = ()
    kinds: tuple[ItemKind, ...] = ()
    procurement: tuple[Procurement, ...] = ()

    def __post_init__(self) -> None:
        if not self.category.strip():
            raise ValueError("The item category of lines is empty")


class Components(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kinds of components in some plants; whatever of them is named will do.

    plants: () = all. families, categories: of the item, as engineering states it. prefixes: what
    its number begins with.
    """

    plants: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def concerns(self, plant: str) -> bool:
        """Whether it is about the plant."""
        return _is_among(plant, self.plants)

    def names(self, number: str, item: Item | None) -> bool:
        """Whether the component is of one of the kinds; of an unknown item the number alone can
        tell."""
        if number.startswith(self.prefixes):
            return True
        return item is not None and (
            item.family in self.families or item.category in self.categories
        )


class LeftOut(Components, frozen=True, forbid_unknown_fields=True):
    """Components that plants do not keep in their BOMs, nor need for them."""

    def __post_init__(self) -> None:
        _refuse_emptiness("left_out", self.families, self.categories, self.prefixes)


class PlantOwned(Components, frozen=True, forbid_unknown_fields=True):
    """Lines that are the plant's own, whatever engineering states.

    line_categories: item categories of lines in the ERP, in its own words.
    """

    line_categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _refuse_emptiness(
            "plant_owned", self.families, self.categories, self.prefixes, self.line_categories
        )

    @property
    def goes_by_item(self) -> bool:
        """Whether it takes more than number and line to know one."""
        return bool(self.families or self.categories)


class Replacement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Plants that take another component on some days.

    by: its number. plants: () = all. ratio: so many of it for so many of the component, each in its
    own base unit; None = as much of the one as of the other. first_day, last_day: by the plant's
    calendar, both inclusive; None = open.
    """

    component: str
    by: str
    plants: tuple[str, ...] = ()
    ratio: tuple[int, int] | None = None
    first_day: date | None = None
    last_day: date | None = None

    def __post_init__(self) -> None:
        if self.component == self.by:
            raise ValueError(f"{self.component} is replaced by itself")
        if self.ratio is not None and min(self.ratio) <= 0:
            raise ValueError(f"The ratio of {self.by} to {self.component} is not positive")
        if self._begin > self._end:
            raise ValueError(f"The replacement of {self.component} ends before it begins")

    @property
    def factor(self) -> Fraction:
        """How many base units of the other one component stands for one of this."""
        return Fraction(1) if self.ratio is None else Fraction(*self.ratio)

    def concerns(self, plant: str) -> bool:
        """Whether it is about the plant."""
        return _is_among(plant, self.plants)

    def is_valid(self, on: date) -> bool:
        """Whether it holds on that day."""
        return self._begin <= on <= self._end

    def turns(self) -> Iterator[date]:
        """The first day on which it holds, and the first on which it does not any more."""
        if self.first_day is not None:
            yield self.first_day
        if self.last_day is not None and self.last_day < date.max:
            yield self.last_day + timedelta(days=1)

    def contradicts(self, other: Replacement) -> bool:
        """Whether both say what stands for one component, in one plant on one day."""
        share_a_plant = (
            not self.plants or not other.plants or not set(self.plants).isdisjoint(other.plants)
        )
        share_a_day = self._begin <= other._end and other._begin <= self._end
        return self.component == other.component and share_a_plant and share_a_day

    @property
    def _begin(self) -> date:
        return self.first_day or date.min

    @property
    def _end(self) -> date:
        return self.last_day or date.max


class BomRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them. Where they say nothing, engineering's structure is the plant's, under usage 1
    and alternative 1."""

    uses: tuple[BomUse, ...] = ()
    line_categories: tuple[LineCategory, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    plant_owned: tuple[PlantOwned, ...] = ()
    replacements: tuple[Replacement, ...] = ()

    def __post_init__(self) -> None:
        for one, other in combinations(self.uses, 2):
            if (one.plant, one.family) == (other.plant, other.family):
                raise ValueError(f"Two uses are of plant {one.plant} and family {one.family}")
        _refuse_contradictions(self.replacements)
        for plant in ("", *sorted(self.plants())):
            _refuse_cycles(plant, self.replacements)

    def plants(self) -> frozenset[str]:
        """Codes of all plants that are named."""
        named: tuple[LineCategory | Components | Replacement, ...] = (
            *self.line_categories,
            *self.left_out,
            *self.plant_owned,
            *self.replacements,
        )
        by_use = {use.plant for use in self.uses} - {"*"}
        return frozenset({code for rule in named for code in rule.plants} | by_use)

    def use(self, plant: str, family: str) -> BomUse:
        """Usage and alternative of an assembly of the family: what is said of the plant counts
        before what is said of the family."""
        fitting = (u for u in self.uses if u.plant in ("*", plant) and u.family in ("*", family))
        return max(fitting, key=lambda u: (u.plant != "*", u.family != "*"), default=BomUse())

    def category(self, plant: str, item: Item) -> str:
        """The item category of new lines of the component: the first that fits; "" where it is the
        driver's to say."""
        return next(
            (
                rule.category
                for rule in self.line_categories
                if _is_among(plant, rule.plants)
                and _is_among(item.kind, rule.kinds)
                and _is_among(item.procurement, rule.procurement)
            ),
            "",
        )

    def leaves_out(self, plant: str, number: str, item: Item | None) -> bool:
        """Whether the plant does not keep the component in its BOMs."""
        return any(rule.names(number, item) for rule in self.left_out if rule.concerns(plant))

    def owned_in(self, plant: str) -> tuple[PlantOwned, ...]:
        """What is said of the plant's own lines."""
        return tuple(rule for rule in self.plant_owned if rule.concerns(plant))

    def owns(self, plant: str, number: str, item: Item | None) -> bool:
        """Whether lines of the component are the plant's own, whatever else they say."""
        return any(rule.names(number, item) for rule in self.owned_in(plant))

    def replacements_in(self, plant: str, on: date) -> dict[str, Replacement]:
        """What holds in the plant on that day, by the component that is replaced."""
        return {
            one.component: one
            for one in self.replacements
            if one.concerns(plant) and one.is_valid(on)
        }

    def turns_in(self, plant: str, components: Container[str]) -> Iterator[date]:
        """The days on which what stands for one of these components in the plant may be another
        one than on the day before."""
        for one in self.replacements:
            if one.component in components and one.concerns(plant):
                yield from one.turns()

    def substitutable(self) -> dict[str, frozenset[str]]:
        """By component, what stands for it in any plant on any day; one step of a chain."""
        found: dict[str, set[str]] = {}
        for one in self.replacements:
            found.setdefault(one.component, set()).add(one.by)
        return {component: frozenset(others) for component, others in found.items()}


def chain_from(component: str, in_force: Mapping[str, Replacement]) -> tuple[Replacement, ...]:
    """The replacements that lead from the component to what is taken; () where it is itself.

    in_force: as of one plant and day.
    """
    found: list[Replacement] = []
    while (one := in_force.get(component)) is not None:
        found.append(one)
        component = one.by
    return tuple(found)


def _is_among(value: str, named: Sequence[str]) -> bool:
    return not named or value in named


def _refuse_emptiness(where: str, *named: tuple[str, ...]) -> None:
    if not any(named):
        raise ValueError(f"A rule of {where} says of no component that it is about it")
    if any(not word.strip() for words in named for word in words):
        raise ValueError(f"A rule of {where} names an empty word, which would fit everything")


def _refuse_contradictions(replacements: Iterable[Replacement]) -> None:
    by_component: dict[str, list[Replacement]] = {}
    for one in replacements:
        for other in by_component.setdefault(one.component, []):
            if one.contradicts(other):
                raise ValueError(
                    f"{one.component} is replaced by {other.by} and by {one.by}"
                    " in one plant on one day"
                )
        by_component[one.component].append(one)


def _refuse_cycles(plant: str, replacements: Sequence[Replacement]) -> None:
    """plant: "" = any that is not named. Days on which one begins are enough: what is in force
    together on some day is so on the last of their first days."""
    concerned = [one for one in replacements if not one.plants or plant in one.plants]
    for day in sorted({one.first_day or date.min for one in concerned}):
        in_force = {one.component: one.by for one in concerned if one.is_valid(day)}
        sound: set[str] = set()
        for start in sorted(in_force):
            path = [start]
            while path[-1] in in_force and path[-1] not in sound:
                following = in_force[path[-1]]
                if following in path:
                    told = " by ".join((*path[path.index(following) :], following))
                    raise ValueError(f"Replacements go round in a circle: {told}")
                path.append(following)
            sound.update(path)
