"""What holds for the BOMs of plants whatever the structure and whatever the rules say."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom, substitutes_of
from canonical.bom_rules import BomRules, BomUse, LeftOut, LineCategory, PlantOwned, Replacement
from canonical.effects import Plan
from canonical.item import Item
from canonical.operations import ExtendToPlant, PutBom
from canonical.rules import Plant, Rules
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import NOW, RULES, facts, key_of, message
from tests.unit.handlers.test_engineering_change_laws import (
    World,
    by_identity,
    partly,
    planned,
    replayed,
    worlds,
)

# A plant to which nothing goes.
QUIET = Plant("3010", "Nowhere", "UTC", "local", "3010")
NUMBERS = [f"I-{n}" for n in range(8)]
YESTERDAY = NOW.date() - timedelta(days=1)


def with_boms(boms: BomRules) -> Rules:
    return msgspec.structs.replace(RULES, plants=(*RULES.plants, QUIET), boms=boms)


def some_of(numbers: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(numbers), unique=True, max_size=3).map(tuple)


plants = st.sampled_from([(), ("1010",), ("2010",)])


@st.composite
def replacements(draw: st.DrawFn) -> tuple[Replacement, ...]:
    """At most one of a component, by an item with a higher number: nothing goes round."""
    found = []
    for component in draw(some_of(NUMBERS[:-1])):
        by = draw(st.sampled_from(NUMBERS[NUMBERS.index(component) + 1 :]))
        ratio = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
        last_day = draw(st.sampled_from([None, YESTERDAY]))
        found.append(Replacement(component, by, draw(plants), ratio, last_day=last_day))
    return tuple(found)


@st.composite
def said(draw: st.DrawFn) -> BomRules:
    """Rules about items of the worlds, by number: no fact changes what they are about."""
    return BomRules(
        uses=(BomUse(plant="2010", alternative="2"),),
        left_out=tuple(
            LeftOut(draw(plants), prefixes=numbers)
            for numbers in draw(st.lists(some_of(NUMBERS), max_size=2))
            if numbers
        ),
        plant_owned=tuple(
            PlantOwned(draw(plants), prefixes=numbers)
            for numbers in draw(st.lists(some_of(NUMBERS), max_size=1))
            if numbers
        ),
        replacements=draw(replacements()),
    )


SILENT = (
    BomRules(uses=(BomUse(), BomUse(family="Nothing", usage="5"), BomUse("3010", usage="4"))),
    BomRules(line_categories=(LineCategory("N", kinds=("service",)), LineCategory("R", ("3010",)))),
    BomRules(left_out=(LeftOut(families=("Nothing",)), LeftOut(("3010",), prefixes=("I-",)))),
    BomRules(plant_owned=(PlantOwned(("3010",), prefixes=("I-",), line_categories=("L",)),)),
    BomRules(
        replacements=(
            Replacement("I-0", "I-1", ("3010",)),
            Replacement("I-1", "I-2", last_day=YESTERDAY),
            Replacement("X-1", "X-2"),
        )
    ),
)


@given(worlds(), st.integers(), st.sampled_from(SILENT))
def test_rules_that_say_nothing_about_it_leave_a_plan_as_it_is(
    world: World, seed: int, silent: BomRules
) -> None:
    known = partly(world, seed)
    plain = planned(world.change, facts(*known, rules=with_boms(BomRules())))
    assert planned(world.change, facts(*known)) == plain
    assert planned(world.change, facts(*known, rules=with_boms(silent))) == plain


def written(made: Plan) -> dict[tuple[str, str], PutBom]:
    """BOMs by assembly and plant."""
    return {
        (step.object_id, step.plant): step.operation
        for step in made.steps
        if isinstance(step.operation, PutBom)
    }


@given(worlds(), st.integers(), said())
def test_what_is_left_out_owned_or_replaced_is_in_no_bom_of_the_plant(
    world: World, seed: int, rules: BomRules
) -> None:
    made = planned(world.change, facts(*partly(world, seed), rules=with_boms(rules)))
    for (_, plant), operation in written(made).items():
        in_force = rules.replacements_in(plant, NOW.date())
        for line in operation.bom.lines:
            for number in (line.component, *(one.item for one in substitutes_of(line))):
                assert not rules.leaves_out(plant, number, None)
                assert not rules.owns(plant, number, None)
                assert number not in in_force


@given(worlds(), said())
def test_a_bom_has_a_line_for_each_that_is_stated_and_not_left_to_the_plant(
    world: World, rules: BomRules
) -> None:
    """By the plain words of the rules, from what is stated to what is taken."""
    made = planned(world.change, facts(*world.documents, rules=with_boms(rules)))
    stated = {bom.parent: bom for bom in world.documents if isinstance(bom, Bom)}
    kinds = {one.number: one.kind for one in world.documents if isinstance(one, Item)}
    for (parent, plant), operation in written(made).items():
        in_force = rules.replacements_in(plant, NOW.date())
        expected = []
        for line in stated[parent].lines:
            taken = line.component
            while taken in in_force:
                taken = in_force[taken].by
            theirs = any(
                rules.leaves_out(plant, number, None) or rules.owns(plant, number, None)
                for number in (line.component, taken)
            )
            if not theirs and kinds.get(taken) != "document":
                expected.append((line.position, taken))
        assert [(row.position, row.component) for row in operation.bom.lines] == expected


@given(worlds(), st.integers(), said())
def test_whatever_a_bom_names_has_a_view_in_its_plant_once_it_is_known(
    world: World, seed: int, rules: BomRules
) -> None:
    known = facts(*partly(world, seed), rules=with_boms(rules))
    steps = by_identity(planned(world.change, known))
    views = {
        (step.operation.item, step.plant)
        for step in steps.values()
        if isinstance(step.operation, ExtendToPlant)
    }
    for step in steps.values():
        if not isinstance(step.operation, PutBom):
            continue
        for line in step.operation.bom.lines:
            if known.item(line.component) is not None:
                assert (line.component, step.plant) in views
                view = f"{step.plant}|erp|item|{line.component}|extend-to-plant"
                assert view in step.depends_on


@given(worlds(), st.integers(), said())
def test_facts_that_arrive_one_by_one_take_nothing_back_under_any_rules(
    world: World, seed: int, rules: BomRules
) -> None:
    arriving = Random(seed).sample(world.documents, len(world.documents))
    last = replayed(world.change, (), arriving, with_boms(rules))
    waits = [step for step in last.values() if step.kind == "wait"]
    assert {(wait.object_kind, bool(wait.plant)) for wait in waits} <= {
        ("coverage", True),
        # Something that is no item of the world is taken in the place of one.
        ("item", False),
    }


@given(worlds(), st.integers(), said())
def test_asking_for_facts_brings_all_that_a_plan_goes_by(
    world: World, seed: int, rules: BomRules
) -> None:
    stated = with_boms(rules)
    documents = {key_of(document): document for document in world.documents}
    known, asked = facts(rules=stated), frozenset[str]()
    for _ in range(20):
        wanted = HANDLER.needs(message(world.change), known)
        if wanted == asked:
            break
        found = [documents[key] for key in sorted(wanted) if key in documents]
        known, asked = facts(*found, rules=stated), wanted
    else:
        raise AssertionError("it never ends")
    assert planned(world.change, known) == planned(
        world.change, facts(*world.documents, rules=stated)
    )
