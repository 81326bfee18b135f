"""From engineering's structures to the BOMs of plants, by the rules: usage, what is left out, what
is replaced, which lines are the plant's own, and which plants there are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import UNSET

from canonical.bom import BomLine, Kept, PlantBom, PlantBomState, Substitute
from canonical.bom_rules import BomRules
from canonical.change import AffectedItem, ChangedBom, EngineeringChange
from canonical.effects import Emit, Plan
from canonical.errors import Failure, Rejected
from canonical.facts import Document
from canonical.guards import Guards
from canonical.handler import Delivery
from canonical.item import Classification, Item
from canonical.item_master import ItemMaster, PlantView
from canonical.operations import PutBom, PutChangedObjects, verb
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.rules import Distribution, ItemClass, Route, Rules
from handlers.flows.engineering_change import HANDLER
from handlers.systems.arena.item import HANDLER as ARENA_ITEM
from tests.corpus import CORPUS
from tests.fixtures.gearbox import (
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    NOW,
    RULES,
    awaited,
    bom,
    change,
    decide,
    facts,
    item,
    line,
    message,
    named,
    names,
    plan,
)
from tests.unit.handlers.plans import Book

LONG_AGO = date(2020, 1, 1)
# The day of the plans.
TODAY, TOMORROW = date(2026, 3, 2), date(2026, 3, 3)
RELEASED = msgspec.structs.replace(CHANGE, released_at=datetime(2026, 3, 2, tzinfo=UTC))


def with_boms(**stated: Any) -> Rules:
    """The rules with what a configuration says of BOMs."""
    return msgspec.structs.replace(RULES, boms=msgspec.convert(stated, BomRules))


def boms(made: Plan) -> dict[str, PlantBom]:
    """What is to be held, by `assembly plant`."""
    return {
        f"{step.object_id} {step.plant}": step.operation.bom
        for step in made.steps
        if isinstance(step.operation, PutBom)
    }


def parts(wanted: PlantBom) -> list[str]:
    """Component and quantity of each line."""
    return [f"{row.component} {row.quantity.value} {row.quantity.unit}" for row in wanted.lines]


def views(made: Plan) -> list[str]:
    return sorted(names(made.steps, "extend-to-plant"))


def findings(made: Plan) -> list[tuple[str, str, str]]:
    return [(f.code, f.where, f.what) for f in made.findings if f.where.startswith("bom/")]


def pump(*lines: BomLine, items: Sequence[Item] = (), **stated: Any) -> list[Document]:
    """PUMP of these lines; components that are not given are plain parts."""
    given = {one.number: one for one in items}
    components = dict.fromkeys(row.component for row in lines)
    return [
        item("PUMP", "make", **stated),
        bom("PUMP", *lines),
        *(given.pop(number, item(number)) for number in components),
        *given.values(),
    ]


# --- usage and alternative ---


def test_usage_and_alternative_follow_plant_and_family() -> None:
    stated = with_boms(uses=[{"plant": "2010", "alternative": "2"}, {"family": "S", "usage": "5"}])
    made = plan(CHANGE, *DEFINITIONS, rules=stated)
    found = {place: (one.usage, one.alternative) for place, one in boms(made).items()}
    assert found["GB-100 1010"] == ("1", "1")
    assert found["GB-100 2010"] == found["SH-10 2010"] == ("1", "2")
    spare = plan(change("PUMP"), *pump(line("SEAL"), family="S"), rules=stated)
    assert boms(spare)["PUMP 1010"].usage == "5"


def test_a_change_lists_a_bom_under_the_usage_that_it_has() -> None:
    stated = msgspec.structs.replace(
        with_boms(uses=[{"plant": "2010", "usage": "4"}]),
        routes=(*RULES.routes, Route("change-master", "*", "erp", LONG_AGO)),
    )
    made = plan(RELEASED, *DEFINITIONS, rules=stated)
    [listed] = [s.operation for s in made.steps if isinstance(s.operation, PutChangedObjects)]
    assert listed.objects.boms == (
        ChangedBom("GB-100", "1010", "1"),
        ChangedBom("GB-100", "2010", "4"),
    )


def test_the_item_category_of_new_lines_follows_the_component() -> None:
    documents = pump(line("RAW"), line("SEAL", position="20"), items=[item("RAW", "none")])
    stated = with_boms(line_categories=[{"category": "R", "procurement": ["none"]}])
    found = boms(plan(change("PUMP"), *documents, rules=stated))["PUMP 1010"]
    assert found.line_categories == {"RAW": "R"}
    assert boms(plan(change("PUMP"), *documents))["PUMP 1010"].line_categories is UNSET


# --- left out ---


BOX = item("BOX-1", family="Packaging")


def test_what_a_plant_leaves_out_is_not_in_its_bom_and_not_needed_for_it() -> None:
    stated = with_boms(left_out=[{"plants": ["2010"], "families": ["Packaging"]}])
    documents = pump(line("SEAL"), line("BOX-1", position="20"), items=[BOX])
    made = plan(change("PUMP"), *documents, rules=stated)
    found = boms(made)
    assert parts(found["PUMP 1010"]) == ["SEAL 1 H87", "BOX-1 1 H87"]
    assert parts(found["PUMP 2010"]) == ["SEAL 1 H87"]
    assert [view for view in views(made) if view.startswith("BOX")] == ["BOX-1 1010"]
    assert findings(made) == [
        (
            "component-left-out",
            "bom/PUMP",
            "The BOM of PUMP goes without components that the plant leaves out: BOX-1 in 2010",
        )
    ]


def test_what_no_plant_keeps_is_neither_sent_nor_bought() -> None:
    stated = with_boms(left_out=[{"families": ["Packaging"]}])
    documents = pump(line("SEAL"), line("BOX-1", position="20"), items=[BOX])
    made = plan(change("PUMP"), *documents, rules=stated)
    assert [step.identity for step in made.steps if step.object_id == "BOX-1"] == []
    assert awaited(made) == ["coverage/SEAL"]


def test_what_the_change_itself_brings_to_a_plant_is_there_though_its_bom_leaves_it_out() -> None:
    stated = with_boms(left_out=[{"families": ["Packaging"]}])
    documents = pump(line("SEAL"), line("BOX-1", position="20"), items=[BOX])
    made = plan(change("PUMP", AffectedItem("BOX-1", "B", plants=("1010",))), *documents,
                rules=stated)  # fmt: skip
    assert [view for view in views(made) if view.startswith("BOX")] == ["BOX-1 1010"]
    assert parts(boms(made)["PUMP 1010"]) == ["SEAL 1 H87"]


def test_the_structure_of_what_is_left_out_is_no_matter_of_the_plant() -> None:
    kit = item("KIT", "make", family="Packaging")
    documents = [*pump(line("SEAL"), line("KIT", position="20"), items=[kit])]
    stated = with_boms(left_out=[{"families": ["Packaging"]}])
    made = plan(change("PUMP"), *documents, rules=stated)
    # Its BOM is not known, and nobody waits for it.
    assert awaited(made) == ["coverage/SEAL"]
    assert names(made.steps, "put-bom") == ["PUMP 1010", "PUMP 2010"]


def test_until_an_item_is_known_its_line_may_stay_and_the_bom_waits() -> None:
    stated = with_boms(left_out=[{"families": ["Packaging"]}])
    documents = pump(line("SEAL"), line("BOX-1", position="20"))[:-1]
    made = plan(change("PUMP"), *documents, rules=stated)
    put = named(made, "1010|erp|bom|PUMP|put-bom")
    assert "|layshaft|item|BOX-1|await-fact" in put.depends_on
    assert parts(boms(made)["PUMP 1010"]) == ["SEAL 1 H87", "BOX-1 1 H87"]


def test_a_substitute_that_the_plant_does_not_use_is_not_in_its_bom() -> None:
    ranked = tuple(Substitute(number, rank) for rank, number in enumerate(("A", "BOX-1", "P-9"), 1))
    seal = msgspec.structs.replace(
        line("SEAL"), substitutes=("A", "BOX-1", "P-9"), substitutions=ranked
    )
    stated = with_boms(
        left_out=[{"plants": ["1010"], "prefixes": ["BOX-"]}],
        plant_owned=[{"plants": ["1010"], "prefixes": ["P-"]}],
    )
    found = boms(plan(change("PUMP"), *pump(seal), rules=stated))
    for place, used in (("PUMP 1010", ("A",)), ("PUMP 2010", ("A", "BOX-1", "P-9"))):
        [row] = found[place].lines
        assert row.substitutes == tuple(one.item for one in row.substitutions) == used


# --- replacements ---


def taking(by: str = "SEAL-2", **stated: Any) -> Rules:
    """Plant 2010 takes another seal."""
    row = {"plants": ["2010"], "component": "SEAL", "by": by, **stated}
    return with_boms(replacements=[row])


def test_a_replaced_component_gives_way_in_bom_and_plant_view() -> None:
    documents = pump(line("SEAL", "2"), items=[item("SEAL"), item("SEAL-2")])
    made = plan(change("PUMP"), *documents, rules=taking())
    assert parts(boms(made)["PUMP 1010"]) == ["SEAL 2 H87"]
    assert parts(boms(made)["PUMP 2010"]) == ["SEAL-2 2 H87"]
    assert [view for view in views(made) if view.startswith("SEAL")] == [
        "SEAL 1010",
        "SEAL-2 2010",
    ]
    after = named(made, "2010|erp|bom|PUMP|put-bom").depends_on
    assert after == ("2010|erp|item|PUMP|extend-to-plant", "2010|erp|item|SEAL-2|extend-to-plant")
    assert findings(made) == [
        (
            "component-replaced",
            "bom/PUMP",
            "The BOM of PUMP has other components: SEAL by SEAL-2 in 2010",
        )
    ]


@pytest.mark.parametrize(
    ("days", "taken"),
    [
        ({"first_day": TODAY, "last_day": TODAY}, "SEAL-2"),
        ({"first_day": TOMORROW}, "SEAL"),
        ({"last_day": date(2026, 3, 1)}, "SEAL"),
        ({}, "SEAL-2"),
    ],
)
def test_a_replacement_holds_on_its_days(days: dict[str, Any], taken: str) -> None:
    documents = pump(line("SEAL"), items=[item("SEAL"), item("SEAL-2")])
    made = plan(change("PUMP"), *documents, rules=taking(**days))
    [row] = boms(made)["PUMP 2010"].lines
    assert row.component == taken


def midnight_in(plant: str, day: date) -> datetime:
    """When the day begins there."""
    known = RULES.plant(plant)
    assert known is not None
    return datetime.combine(day, time(), ZoneInfo(known.zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("days", "turn"),
    [
        ({"first_day": date(2026, 4, 1), "last_day": date(2026, 4, 9)}, date(2026, 4, 1)),
        ({"first_day": TODAY, "last_day": date(2026, 4, 9)}, date(2026, 4, 10)),
    ],
)
def test_a_plan_is_made_anew_when_a_replacement_begins_or_has_ended(
    days: dict[str, Any], turn: date
) -> None:
    documents = pump(line("SEAL"), items=[item("SEAL"), item("SEAL-2")])
    rules = taking(**days)
    moment = midnight_in("2010", turn)
    made = plan(change("PUMP"), *documents, rules=rules)
    assert {step.wake_at for step in made.steps} == {moment}
    before, after = (
        decide(change("PUMP"), facts(*documents, rules=rules), now)[0]
        for now in (moment - timedelta(seconds=1), moment)
    )
    begins = turn == days["first_day"]
    assert parts(boms(before)["PUMP 2010"]) == ["SEAL 1 H87" if begins else "SEAL-2 1 H87"]
    assert parts(boms(after)["PUMP 2010"]) == ["SEAL-2 1 H87" if begins else "SEAL 1 H87"]


@pytest.mark.parametrize(
    "row",
    [
        {"component": "SCREW", "by": "BOLT", "first_day": TOMORROW},
        {"component": "SEAL", "by": "SEAL-2", "first_day": TOMORROW, "plants": ["2010"]},
        {"component": "SEAL", "by": "SEAL-2", "last_day": date(2026, 3, 1)},
    ],
)
def test_a_replacement_that_the_plan_does_not_hang_on_wakes_nothing(row: dict[str, Any]) -> None:
    documents = pump(line("SEAL"), items=[item("SEAL"), item("SEAL-2")])
    stated = msgspec.structs.replace(change("PUMP"), plants=("1010",))
    made = plan(stated, *documents, rules=with_boms(replacements=[row]))
    assert {step.wake_at for step in made.steps} == {None}


@pytest.mark.parametrize(
    "rows",
    [
        # What the plant takes now is replaced in turn.
        [
            {"component": "SEAL", "by": "RING"},
            {"component": "RING", "by": "CORD", "first_day": date(2026, 4, 1)},
        ],
        # A substitute that the plant will not use.
        [{"component": "SPARE", "by": "CORD", "first_day": date(2026, 4, 1)}],
    ],
)
def test_it_hangs_on_what_stands_in_turn_and_on_substitutes(rows: list[dict[str, Any]]) -> None:
    seal = msgspec.structs.replace(line("SEAL"), substitutions=(Substitute("SPARE"),))
    documents = pump(seal, items=[item("SEAL"), item("RING"), item("CORD"), item("SPARE")])
    made = plan(change("PUMP"), *documents, rules=with_boms(replacements=rows))
    first = min(midnight_in(plant, date(2026, 4, 1)) for plant in ("1010", "2010"))
    assert {step.wake_at for step in made.steps} == {first}


def test_what_is_open_when_a_replacement_begins_is_written_as_it_is_then() -> None:
    # The contract cover of the bolt is not known: the change stays open.
    documents = pump(
        line("SEAL"), line("BOLT", position="20"), items=[item("SEAL-2"), item("BOLT", "buy")]
    )
    known = facts(*documents, rules=taking(first_day=date(2026, 4, 1)))
    moment = midnight_in("2010", date(2026, 4, 1))
    book = Book()
    book.plan(decide(change("PUMP"), known, NOW)[0])
    book.work()
    assert book.wakes() == [moment]
    assert set(book.states("put-bom").values()) == {"done"}
    book.plan(decide(change("PUMP"), known, moment)[0])
    assert "2010|erp|bom|PUMP|put-bom" in book.open()
    assert "1010|erp|bom|PUMP|put-bom" not in book.open()
    book.work()
    assert set(book.states("put-bom").values()) == {"done"}
    assert book.wakes() == []
    # What was made for the other one alone is for a person to judge.
    assert book.left_behind == ["2010|erp|item|SEAL|extend-to-plant"]


def test_what_the_plant_takes_is_asked_for_before_it_is_known_and_on_any_day() -> None:
    known = facts(*pump(line("SEAL"))[:2], rules=taking(first_day=TOMORROW))
    assert {"item/SEAL-2", "bom/SEAL-2"} <= HANDLER.needs(message(change("PUMP")), known)


def test_a_chain_of_replacements_is_followed_and_its_ratios_multiply() -> None:
    rules = with_boms(
        replacements=[
            {"component": "SEAL", "by": "RING", "ratio": [3, 2]},
            {"component": "RING", "by": "CORD", "ratio": [1, 7], "plants": ["2010"]},
        ]
    )
    cord = item("CORD", base_unit="MTR")
    documents = pump(line("SEAL", "4"), items=[item("SEAL"), item("RING"), cord])
    found = boms(plan(change("PUMP"), *documents, rules=rules))
    assert parts(found["PUMP 1010"]) == ["RING 6 H87"]
    assert parts(found["PUMP 2010"]) == ["CORD 0.857143 MTR"]


def test_a_ratio_is_between_base_units_whatever_unit_the_line_has() -> None:
    """A roll of the one has 100, a roll of the other 50."""
    old = item("SEAL", alternates=(ItemUnit("XRO", Ratio(100)),))
    new = item("SEAL-2", alternates=(ItemUnit("XRO", Ratio(50)),))
    documents = pump(line("SEAL", "1", "XRO"), items=[old, new])
    found = boms(plan(change("PUMP"), *documents, rules=taking(ratio=[1, 2])))
    assert parts(found["PUMP 2010"]) == ["SEAL-2 50 H87"]
    assert parts(boms(plan(change("PUMP"), *documents, rules=taking()))["PUMP 2010"]) == [
        "SEAL-2 100 H87"
    ]


def test_without_a_ratio_as_much_is_taken_in_whatever_unit_the_other_has() -> None:
    old, new = item("OIL", base_unit="KGM"), item("OIL-2", base_unit="GRM")
    documents = pump(line("OIL", "2", "KGM"), items=[old, new])
    rules = with_boms(replacements=[{"component": "OIL", "by": "OIL-2"}])
    assert parts(boms(plan(change("PUMP"), *documents, rules=rules))["PUMP 1010"]) == [
        "OIL-2 2000 GRM"
    ]


def test_without_a_ratio_a_piece_is_no_metre() -> None:
    documents = pump(line("SEAL", "2"), items=[item("SEAL"), item("SEAL-2", base_unit="MTR")])
    with pytest.raises(Failure) as caught:
        decide(change("PUMP"), facts(*documents, rules=taking()))
    assert caught.value.code == "unit-mismatch"
    assert caught.value.where == "bom/PUMP line 10 component SEAL"


def test_a_line_of_another_component_says_no_revision_and_keeps_its_substitutes() -> None:
    ranked = (Substitute("SEAL-2", 1), Substitute("FELT", 2))
    seal = msgspec.structs.replace(
        line("SEAL", "4"), component_revision="C", note="grease", substitutions=ranked
    )
    documents = pump(seal, items=[item("SEAL"), item("SEAL-2")])
    made = plan(change("PUMP"), *documents, rules=taking(ratio=[1, 2]))
    [row] = boms(made)["PUMP 2010"].lines
    assert (row.component, row.component_revision, row.note) == ("SEAL-2", "", "grease")
    assert row.quantity == Quantity(Decimal(2), "H87")
    # As much of it stands for the line as engineering said.
    assert row.substitutions == (Substitute("FELT", 2, Quantity(Decimal(4), "H87")),)


def test_a_bom_waits_for_what_the_plant_takes_and_for_what_engineering_states() -> None:
    seal, other = item("SEAL"), item("SEAL-2")
    for known, missing in (([other], "SEAL"), ([seal], "SEAL-2")):
        documents: list[Document] = [*pump(line("SEAL"))[:2], *known]
        made = plan(change("PUMP"), *documents, rules=taking())
        put = named(made, "2010|erp|bom|PUMP|put-bom")
        assert f"|layshaft|item|{missing}|await-fact" in put.depends_on
        assert [row.component for row in boms(made)["PUMP 2010"].lines] == ["SEAL-2"]


def test_the_structure_of_what_is_taken_is_built_in_that_plant_first() -> None:
    unit = item("UNIT", "make")
    documents = [
        *pump(line("SEAL"), items=[item("SEAL"), unit]), bom("UNIT", line("RING")), item("RING"),
    ]  # fmt: skip
    made = plan(change("PUMP"), *documents, rules=taking("UNIT"))
    assert sorted(boms(made)) == ["PUMP 1010", "PUMP 2010", "UNIT 2010"]
    assert "2010|erp|bom|UNIT|put-bom" in named(made, "2010|erp|bom|PUMP|put-bom").depends_on
    assert [view for view in views(made) if view.startswith("RING")] == ["RING 2010"]


def test_an_assembly_that_would_be_made_of_itself_by_a_replacement_is_refused() -> None:
    unit = item("UNIT", "make")
    documents = [*pump(line("SEAL"), items=[item("SEAL"), unit]), bom("UNIT", line("SEAL"))]
    with pytest.raises(Rejected) as caught:
        decide(change("PUMP"), facts(*documents, rules=taking("UNIT")))
    assert (caught.value.code, caught.value.what) == ("bom-cycle", "UNIT contains UNIT")


def test_a_prototype_that_a_plant_takes_is_found_inside_the_released_assembly() -> None:
    old, new = item("SEAL", lifecycle="obsolete"), item("SEAL-2", lifecycle="in_design")
    everywhere = with_boms(replacements=[{"component": "SEAL", "by": "SEAL-2"}])
    documents = pump(line("SEAL"), items=[old, new])
    made = plan(change("PUMP"), *documents, rules=everywhere)
    assert [(f.code, f.where) for f in made.findings if f.severity == "warning"] == [
        ("component-not-released", "item/SEAL-2")
    ]


# --- lines of the plant's own ---


def test_a_bom_carries_what_tells_the_plants_own_lines() -> None:
    stated = with_boms(
        plant_owned=[
            {"plants": ["2010"], "prefixes": ["PKG-", "LBL-"]},
            {"line_categories": ["N"]},
        ]
    )
    found = boms(plan(change("PUMP"), *pump(line("SEAL")), rules=stated))
    assert found["PUMP 1010"].kept == Kept(line_categories=("N",))
    assert found["PUMP 2010"].kept == Kept(("LBL-", "PKG-"), ("N",))
    assert boms(plan(change("PUMP"), *pump(line("SEAL"))))["PUMP 1010"].kept is UNSET


def test_what_engineering_states_of_a_component_of_the_plants_is_not_sent_and_told() -> None:
    stated = with_boms(plant_owned=[{"plants": ["2010"], "families": ["Packaging"]}])
    documents = pump(line("SEAL"), line("BOX-1", position="20"), items=[BOX])
    made = plan(change("PUMP"), *documents, rules=stated)
    assert parts(boms(made)["PUMP 1010"]) == ["SEAL 1 H87", "BOX-1 1 H87"]
    assert parts(boms(made)["PUMP 2010"]) == ["SEAL 1 H87"]
    assert boms(made)["PUMP 2010"].kept == Kept(numbers=("BOX-1",), others=())
    # Its view is the plant's affair, as its line is.
    assert [view for view in views(made) if view.startswith("BOX")] == ["BOX-1 1010"]
    assert findings(made) == [
        (
            "component-plant-owned",
            "bom/PUMP",
            "The BOM of PUMP goes without components that the plant keeps itself: BOX-1 in 2010",
        )
    ]
    assert [f.severity for f in made.findings if f.where == "bom/PUMP"] == ["info"]


def test_what_stands_for_a_component_may_be_the_plants_own() -> None:
    rules = with_boms(
        replacements=[{"component": "SEAL", "by": "PKG-2"}],
        plant_owned=[{"prefixes": ["PKG-"]}],
    )
    documents = pump(line("SEAL"), line("OIL", position="20"), items=[item("SEAL"), item("PKG-2")])
    made = plan(change("PUMP"), *documents, rules=rules)
    assert parts(boms(made)["PUMP 1010"]) == ["OIL 1 H87"]
    assert [code for code, _, _ in findings(made)] == ["component-plant-owned"]


def held(*components: str, plant: str = "2010") -> PlantBomState:
    """The BOM as its ERP stated it."""
    lines = tuple(line(one, position=str(n)) for n, one in enumerate(components, 1))
    return PlantBomState(plant, "PUMP", "1", "1", 1, Quantity(Decimal(1), "H87"), lines)


OWNING = with_boms(plant_owned=[{"plants": ["2010"], "families": ["Packaging"]}])


def test_of_which_kind_a_line_of_the_erp_is_its_item_tells_as_far_as_it_is_known() -> None:
    documents = [
        *pump(line("SEAL")), BOX, item("OLD"), held("SEAL", "BOX-1", "OLD", "GLUE"),
    ]  # fmt: skip
    made = plan(change("PUMP"), *documents, rules=OWNING)
    # What is wanted anyway is not named, and of GLUE nothing is known.
    assert boms(made)["PUMP 2010"].kept == Kept(numbers=("BOX-1",), others=("OLD",))
    assert boms(made)["PUMP 1010"].kept is UNSET


def unguarded(rules: Rules) -> Rules:
    """Nobody compares with what an ERP holds but for the plant's own lines."""
    return msgspec.structs.replace(rules, guards=Guards(removed_lines_percent="off"))


def test_a_bom_that_hangs_on_what_its_erp_holds_is_planned_anew_when_that_is_told() -> None:
    documents = [*pump(line("SEAL")), held("SEAL")]
    made = plan(change("PUMP"), *documents, rules=unguarded(OWNING))
    here, there = (named(made, f"{plant}|erp|bom|PUMP|put-bom") for plant in ("1010", "2010"))
    assert (here.fact, here.seen) == (there.fact, there.seen) == ("bom/PUMP", 1)
    assert made.watched == (("plant-bom/2010/1/1/PUMP", 1),)
    assert made.along == ("item", "bom")


def test_what_an_erp_holds_is_asked_for_only_where_it_decides() -> None:
    known = [*pump(line("SEAL")), held("SEAL", "BOX-1")]
    stated = message(change("PUMP"))
    asked = HANDLER.needs(stated, facts(*known, rules=unguarded(OWNING)))
    plain = HANDLER.needs(stated, facts(*known, rules=unguarded(RULES)))
    assert asked - plain == {"plant-bom/2010/1/1/PUMP", "item/BOX-1"}
    by_number = with_boms(plant_owned=[{"prefixes": ["PKG-"]}])
    assert HANDLER.needs(stated, facts(*known, rules=unguarded(by_number))) == plain


# --- which plants ---


def distributed(*rows: Distribution) -> Rules:
    return msgspec.structs.replace(RULES, distribution=rows)


PARTS_ONLY = Distribution("Gearboxes", ("2010",), kinds=("part",))
EVERY_KIND = Distribution("Gearboxes", ("1010",))


@pytest.mark.parametrize("rows", [(PARTS_ONLY, EVERY_KIND), (EVERY_KIND, PARTS_ONLY)])
def test_a_rule_for_the_kind_of_item_counts_before_one_for_all_kinds(
    rows: tuple[Distribution, ...],
) -> None:
    rules = distributed(*rows)
    assert views(plan(change("BOLT-1"), item("BOLT-1"), rules=rules)) == ["BOLT-1 2010"]
    made = plan(change("PUMP"), *pump(line("SEAL")), rules=rules)
    assert views(made) == ["PUMP 1010", "SEAL 1010"]


PUMPS = (ItemClass("arena-category", "PCBA"), ItemClass("pdx-category", "Boards"))
OF_A_CLASS = Distribution("Gearboxes", ("1010", "2010"), classes=PUMPS)
PARTS_OF_A_CLASS = Distribution("Gearboxes", ("1010",), ("part",), PUMPS[:1])


@pytest.mark.parametrize(
    ("stated", "plants"),
    [
        (Classification("arena-category", "PCBA"), ["1010"]),
        (Classification("pdx-category", "Boards"), ["1010", "2010"]),
        (Classification("arena-category", "Boards"), ["2010"]),
        (Classification("pdx-category", "boards"), ["2010"]),
        (None, ["2010"]),
    ],
)
def test_a_rule_for_a_class_of_items_counts_before_one_for_the_kind(
    stated: Classification | None, plants: list[str]
) -> None:
    bolt = item("BOLT-1", classes=(stated,) if stated else ())
    for rows in itertools.permutations((EVERY_KIND, PARTS_ONLY, OF_A_CLASS, PARTS_OF_A_CLASS)):
        made = plan(change("BOLT-1"), bolt, rules=distributed(*rows))
        assert views(made) == [f"BOLT-1 {plant}" for plant in plants]


def test_while_the_class_is_not_known_no_plant_is_planned_for() -> None:
    made = plan(change("BOLT-1"), rules=distributed(EVERY_KIND, OF_A_CLASS))
    assert awaited(made) == ["item/BOLT-1"]
    assert {step.plant for step in made.steps} == {""}


def test_an_item_that_arena_states_goes_where_the_rule_for_its_category_says() -> None:
    body = (CORPUS / "arena" / "item.json").read_bytes()
    effects = ARENA_ITEM.decide(ARENA_ITEM.read(Delivery("plm", "item", body)), facts(), NOW)
    (board,) = (e.data for e in effects if isinstance(e, Emit) and isinstance(e.data, Item))
    assert (board.family, board.category) == ("Dosing Pumps", "PCBA")
    bought = msgspec.structs.replace(board, procurement="buy")
    eco = change(AffectedItem(board.number, board.revision.label), family="")
    general = Distribution("Dosing Pumps", ("1010",))
    of_the_class = Distribution("Dosing Pumps", ("2010",), classes=PUMPS[:1])
    made = plan(eco, bought, rules=distributed(general, of_the_class))
    assert views(made) == [f"{board.number} 2010"]
    assert views(plan(eco, bought, rules=distributed(general))) == [f"{board.number} 1010"]


def test_a_class_of_a_rule_has_a_scheme_and_a_code() -> None:
    with pytest.raises(ValueError, match="needs a scheme and a code"):
        ItemClass("arena-category", " ")


def test_while_the_kind_is_not_known_no_plant_is_planned_for() -> None:
    made = plan(change("BOLT-1"), rules=distributed(EVERY_KIND, PARTS_ONLY))
    assert awaited(made) == ["item/BOLT-1"]
    assert {step.plant for step in made.steps} == {""}


def master(*plants: PlantView, **stated: Any) -> ItemMaster:
    return ItemMaster("BOLT-1", 1, plants=plants, **stated)


UNPLACED = change("BOLT-1", family="")
SUNDRY = item("BOLT-1", family="Sundries")


def test_without_a_rule_an_item_goes_where_it_is_already() -> None:
    known = master(PlantView("2010"), PlantView("1010", is_deleted=True), PlantView("9999"))
    assert views(plan(UNPLACED, SUNDRY, known)) == ["BOLT-1 2010"]


@pytest.mark.parametrize(
    "stated",
    [
        change(AffectedItem("BOLT-1", "B", plants=("1010",)), family=""),
        change("BOLT-1", family="", plants=("1010",)),
    ],
)
def test_what_the_change_or_a_rule_says_counts_before_where_an_item_is(
    stated: EngineeringChange,
) -> None:
    known = master(PlantView("2010"))
    assert views(plan(stated, SUNDRY, known)) == ["BOLT-1 1010"]
    assert views(plan(UNPLACED, item("BOLT-1", family="Gearboxes"), known)) == [
        "BOLT-1 1010",
        "BOLT-1 2010",
    ]


@pytest.mark.parametrize(
    "known",
    [
        master(),
        master(PlantView("9999")),
        master(PlantView("2010", is_deleted=True)),
        master(PlantView("2010"), is_deleted=True),
    ],
)
def test_an_item_that_is_in_none_of_our_plants_is_put_before_a_person(known: ItemMaster) -> None:
    with pytest.raises(Rejected) as caught:
        decide(UNPLACED, facts(SUNDRY, known))
    assert caught.value.code == "plants-unknown"


def test_the_item_master_is_asked_for_unless_the_change_says_which_plants() -> None:
    """Also beside plants by a rule: what is bought no longer is so wherever it is."""
    made = item("BOLT-1", "make", family="")
    asked = HANDLER.needs(message(UNPLACED), facts(made))
    assert "item-master/BOLT-1" in asked
    assert "item-master/BOLT-1" in HANDLER.needs(message(UNPLACED), facts(item("BOLT-1")))
    for stated, known in (
        (UNPLACED, facts()),
        (change("BOLT-1", family="", plants=("1010",)), facts(made)),
    ):
        assert "item-master/BOLT-1" not in HANDLER.needs(message(stated), known)


# --- the order of steps ---


def test_steps_of_three_levels_follow_numbers_items_views_boms_of_components_and_terms() -> None:
    """GB-100 is made of SH-10, which is made of ROD-1, which is bought.

    Where no source list is needed, terms of purchasing need the item in the plant and no BOM: a BOM
    in dispute stops no purchase of what is in it.
    """
    rules = msgspec.structs.replace(
        RULES, routes=(*RULES.routes, Route("change-master", "*", "erp", LONG_AGO))
    )
    made = plan(RELEASED, *EVERYTHING, rules=rules)
    number = "|erp|change-master|ECO-7|put-change-master"
    after = {step.identity: set(step.depends_on) for step in made.steps}
    for one in ("GB-100", "SH-10", "ROD-1"):
        assert after[f"|erp|item|{one}|put-item"] == {number}
        assert after[f"1010|erp|item|{one}|extend-to-plant"] == {f"|erp|item|{one}|put-item"}
    assert after["1010|erp|bom|SH-10|put-bom"] == {
        number,
        *(f"1010|erp|item|{one}|extend-to-plant" for one in ("SH-10", "ROD-1", "SEAL-1")),
    }
    assert after["1010|erp|bom|GB-100|put-bom"] == {
        number,
        "1010|erp|bom|SH-10|put-bom",
        *(f"1010|erp|item|{n}|extend-to-plant" for n in ("GB-100", "SH-10", "BOLT-1", "WIRE-1")),
    }
    terms = after["1010|erp|info-record|S-1/ROD-1|put-info-record"]
    assert "1010|erp|item|ROD-1|extend-to-plant" in terms
    order = ["put-change-master", "put-item", "extend-to-plant", "put-bom", "put-info-record"]
    ranks = {word: rank for rank, word in enumerate(order)}
    words = {step.identity: verb(step.operation) for step in made.steps}
    for identity, before in after.items():
        for earlier in before:
            if {words[identity], words[earlier]} <= ranks.keys():
                assert ranks[words[earlier]] <= ranks[words[identity]]
