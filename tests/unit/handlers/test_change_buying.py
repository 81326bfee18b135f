"""Parts that a change makes obsolete are bought no longer, plant by plant, and released ones are
again: which steps a plan has for it, after what, and what it says where no rule tells the
status."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import AffectedItem, EngineeringChange
from canonical.effectivity import DateEffectivity
from canonical.effects import Open, Plan, Step
from canonical.events import PlanAdjustmentNeeded
from canonical.facts import Document
from canonical.guards import Guards
from canonical.item import Lifecycle
from canonical.item_master import ItemMaster, PlantView
from canonical.obsolete import ObsoleteRules, PlaceStatus
from canonical.operations import Announce, Approve, AwaitFact, PutBom, PutPlantStatus, Reconcile
from canonical.rules import Plant, Route, Rules
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    EVERYTHING,
    NOW,
    RULES,
    bom,
    change,
    decide,
    facts,
    item,
    line,
    message,
    named,
    names,
)
from tests.unit.handlers.plans import Book

THIRD = Plant("3010", "Linz", "Europe/Vienna", "central", "1010", "C01")
STATED = msgspec.structs.replace(RULES, plants=(*RULES.plants, THIRD), obsolete=ObsoleteRules("Z5"))
SILENT = msgspec.structs.replace(STATED, obsolete=ObsoleteRules())
# The shaft is sealed by another part from this change on.
AFTER: tuple[Document, ...] = (
    *EVERYTHING,
    bom("SH-10", line("ROD-1", "260", "KGM"), line("SEAL-2", "2", position="20"), base="100"),
    item("SEAL-2"),
    item("SEAL-1", lifecycle="obsolete"),
)
WHOLE = ("GB-100", AffectedItem("SEAL-1", "B", lifecycle="obsolete"))
START = datetime(2026, 6, 1, tzinfo=UTC)
WAIT = "|layshaft|engineering-change|ECO-7|await-time"
COMPLETED = "|layshaft|engineering-change|ECO-7|announce"
STOPPED, BOUGHT = "put-plant-status", "extend-to-plant"


def planned(
    stated: EngineeringChange, *more: Document, rules: Rules = STATED, now: datetime = NOW
) -> Plan:
    return decide(stated, facts(*AFTER, *more, rules=rules), now)[0]


def row(lifecycle: Lifecycle | None = "obsolete", **more: Any) -> AffectedItem:
    return AffectedItem("SEAL-1", "B", lifecycle=lifecycle, **more)


def held(*plants: str, status: str = "") -> ItemMaster:
    return ItemMaster("SEAL-1", 4, plants=tuple(PlantView(p, status=status) for p in plants))


def written(made: Plan, number: str = "SEAL-1") -> dict[str, PutPlantStatus]:
    """Of the item, by plant and system."""
    return {
        f"{step.plant} {step.system}": step.operation
        for step in made.steps
        if isinstance(step.operation, PutPlantStatus) and step.object_id == number
    }


def before(made: Plan, step: Step) -> set[str]:
    """All that the step comes after, over any number of others."""
    steps = {each.identity: each for each in made.steps}
    found: set[str] = set()
    left = list(step.depends_on)
    while left:
        identity = left.pop()
        if identity not in found:
            found.add(identity)
            left += steps[identity].depends_on
    return found


# --- what stops ---


def test_an_obsolete_part_is_stopped_in_each_of_its_plants_after_their_boms() -> None:
    made = planned(change(*WHOLE))
    assert written(made) == {
        f"{plant} erp": PutPlantStatus("SEAL-1", plant, "Z5") for plant in ("1010", "2010")
    }
    for plant in ("1010", "2010"):
        step = named(made, f"{plant}|erp|item|SEAL-1|put-plant-status")
        boms = {s.identity for s in made.steps if isinstance(s.operation, PutBom)}
        in_plant = {identity for identity in boms if identity.startswith(plant)}
        assert len(in_plant) == 2
        assert before(made, step) & boms == in_plant
        assert f"{plant}|erp|item|SEAL-1|extend-to-plant" in before(made, step)
        assert step.identity in named(made, COMPLETED).depends_on
        assert (step.kind, step.owner) == ("call", "master data")


def test_nothing_is_stopped_before_the_day_of_the_change() -> None:
    made = planned(change(*WHOLE, effectivity=DateEffectivity(START, None, "UTC")))
    assert len(written(made)) == 2
    for plant in ("1010", "2010"):
        assert WAIT in named(made, f"{plant}|erp|item|SEAL-1|put-plant-status").depends_on
    book = Book()
    book.plan(made)
    book.work()
    assert set(book.states(STOPPED).values()) == {"waiting"}
    assert {"SEAL-1 1010", "SEAL-1 2010"} <= set(book.states(STOPPED))
    book.plan(planned(change(*WHOLE, effectivity=DateEffectivity(START, None, "UTC")), now=START))
    book.work()
    assert set(book.states(STOPPED).values()) == {"done"}


def test_the_row_counts_and_where_it_is_silent_the_item() -> None:
    released = item("SEAL-1")
    assert written(planned(change(row()), released))
    assert written(planned(change(row(None))))
    assert not any(s.is_lifted for s in written(planned(change(row(None)))).values())
    for word in ("in_design", "in_review", "superseded", "on_hold"):
        assert not written(planned(change(row(word)), released))
        assert not written(planned(change(row(None)), item("SEAL-1", lifecycle=word)))


def test_what_row_and_item_contradict_each_other_in_is_left() -> None:
    assert written(planned(change(row("released")))) == {}


def test_a_revision_that_ends_beside_one_that_begins_is_no_part_that_ends() -> None:
    rows = (row(), AffectedItem("SEAL-1", "C", lifecycle="released"))
    for both in (rows, rows[::-1]):
        found = written(planned(change(*both), item("SEAL-1", label="C")))
        assert [status.is_lifted for status in found.values()] == [True, True]


def test_what_a_later_change_released_is_its_affair() -> None:
    stated = change(row(), released_at=NOW)
    for days, expected in ((1, 0), (0, 2), (-1, 2)):
        later = item("SEAL-1", change="ECO-8", released_at=NOW + timedelta(days=days))
        assert len(written(planned(stated, later))) == expected
    own = item("SEAL-1", change="ECO-7", released_at=NOW + timedelta(days=1))
    assert len(written(planned(stated, own))) == 2


def test_components_of_an_obsolete_assembly_are_bought_on() -> None:
    made = planned(change(AffectedItem("GB-100", "B", lifecycle="obsolete")))
    assert names(made.steps, STOPPED) == ["GB-100 1010", "GB-100 2010"]


def test_documents_are_not_bought_and_not_stopped() -> None:
    manual = item("DOC-1", "none", kind="document", lifecycle="obsolete")
    stated = change(AffectedItem("DOC-1", "B", lifecycle="obsolete"), "SEAL-2")
    assert names(planned(stated, manual).steps, STOPPED) == ["SEAL-2 1010", "SEAL-2 2010"]


# --- where ---


def test_it_stops_in_every_plant_in_which_an_erp_has_the_part() -> None:
    """The rule for the family names two; no view of it is made in the third."""
    made = planned(change(row()), held("1010", "3010", "9999"))
    assert set(written(made)) == {"1010 erp", "2010 erp", "3010 erp"}
    assert "SEAL-1 3010" not in names(made.steps, BOUGHT)


def told_of(made: Plan) -> dict[str, tuple[str, ...]]:
    """By plant, the items of which planning hears there."""
    notices = [
        msgspec.json.decode(step.operation.data, type=PlanAdjustmentNeeded)
        for step in made.steps
        if isinstance(step.operation, Announce) and step.operation.event == "plan.adjustment-needed"
    ]
    assert len({notice.plant for notice in notices}) == len(notices)
    return {notice.plant: notice.items for notice in notices}


def test_planning_hears_of_each_plant_in_which_the_part_is_once_it_is_stopped() -> None:
    made = planned(change(row()), held("1010", "3010", "9999"))
    told = told_of(made)
    assert set(told) == {"1010", "2010", "3010"}
    assert told["3010"] == ("SEAL-1",)
    [notice] = [s for s in made.steps if s.kind == "announce" and s.plant == "3010"]
    assert "3010|erp|item|SEAL-1|put-plant-status" in notice.depends_on
    # Where nobody says how it is stopped, planning hears of it with what is waited for.
    without = planned(change(row()), held("3010"), rules=SILENT)
    [notice] = [s for s in without.steps if s.kind == "announce" and s.plant == "3010"]
    assert "3010|layshaft|item-master|SEAL-1|await-fact" in notice.depends_on
    # Where people stop it themselves, nothing is waited for.
    people = msgspec.structs.replace(STATED, obsolete=ObsoleteRules("off"))
    off = planned(change(row()), held("3010"), rules=people)
    assert set(told_of(off)) == {"1010", "2010", "3010"}


def test_in_a_plant_of_other_items_it_is_named_beside_them() -> None:
    rows = (row(), AffectedItem("SEAL-2", "B", plants=("3010",)))
    assert told_of(planned(change(*rows), held("3010")))["3010"] == ("SEAL-1", "SEAL-2")


def test_planning_hears_of_no_plant_that_the_change_does_not_name() -> None:
    known = held("1010", "2010", "3010")
    assert set(told_of(planned(change(row(plants=("1010",))), known))) == {"1010"}


def test_plants_that_the_change_or_its_row_names_are_all() -> None:
    known = held("1010", "2010", "3010")
    assert set(written(planned(change(row(plants=("1010",))), known))) == {"1010 erp"}
    assert set(written(planned(change(row(), plants=("2010",)), known))) == {"2010 erp"}


def test_both_systems_of_a_plant_that_goes_over_stop_it() -> None:
    routes = (*STATED.routes, Route("item", "2010", "new", date(2026, 3, 2)))
    stated = change(row(), released_at=datetime(2026, 2, 1, tzinfo=UTC))
    made = planned(stated, rules=msgspec.structs.replace(STATED, routes=routes))
    assert set(written(made)) == {"1010 erp", "2010 erp", "2010 new"}


def test_the_plan_is_made_anew_when_a_plant_beside_its_own_goes_over() -> None:
    routes = (*STATED.routes, Route("*", "3010", "new", date(2026, 4, 1)))
    rules = msgspec.structs.replace(STATED, routes=routes)
    midnight = datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert {s.wake_at for s in planned(change(row()), held("3010"), rules=rules).steps} == {
        midnight
    }


def test_the_most_special_rule_says_the_code() -> None:
    places = (PlaceStatus("off", plant="1010"), PlaceStatus("Z6", system="erp"))
    rules = msgspec.structs.replace(STATED, obsolete=ObsoleteRules("Z5", places))
    assert written(planned(change(row()), rules=rules)) == {
        "2010 erp": PutPlantStatus("SEAL-1", "2010", "Z6")
    }


# --- where no rule says so ---


def cases(*more: AffectedItem, rules: Rules = SILENT) -> tuple[Plan, tuple[Open, ...]]:
    plan, found = decide(change(row(), *more), facts(*AFTER, rules=rules))
    return plan, tuple(case for case in found if case.code == "plant-status-missing")


def test_without_a_code_one_case_says_who_has_to_say_it() -> None:
    _, (case,) = cases(AffectedItem("GB-100", "B", lifecycle="obsolete"))
    assert (case.owner, case.word) == ("operations", "configuration")
    assert case.where == "engineering-change/ECO-7: rules.obsolete"
    assert case.what == (
        "GB-100, SEAL-1 is to be bought no longer, and no rule says by which material status the"
        " ERP stops that: plant 1010 in erp, 2010 in erp"
    )
    assert "[rules.obsolete]" in case.remedy


def test_without_a_code_nothing_is_written_and_the_change_is_not_complete() -> None:
    made, _ = cases()
    assert written(made) == {}
    waits = [s for s in made.steps if s.object_kind == "item-master"]
    assert [(s.plant, s.owner) for s in waits] == [("1010", "operations"), ("2010", "operations")]
    assert all(isinstance(s.operation, AwaitFact) for s in waits)
    assert {s.identity for s in waits} <= set(named(made, COMPLETED).depends_on)


def test_where_people_stop_it_themselves_nothing_is_planned_and_nobody_told() -> None:
    made, found = cases(rules=msgspec.structs.replace(STATED, obsolete=ObsoleteRules("off")))
    assert (written(made), found) == ({}, ())
    assert [s for s in made.steps if s.object_kind == "item-master"] == []


def test_rules_that_say_nothing_change_nothing_of_what_is_released() -> None:
    made, found = decide(change("GB-100", "SEAL-1"), facts(*EVERYTHING, rules=SILENT))
    assert names(made.steps, STOPPED) == []
    assert [case.code for case in found if case.code == "plant-status-missing"] == []


# --- released again ---


def test_a_part_that_is_released_again_loses_the_status_before_it_is_built_and_bought() -> None:
    made = decide(change("GB-100", "SEAL-1"), facts(*EVERYTHING, rules=STATED))[0]
    back = "1010|erp|item|SEAL-1|put-plant-status"
    assert named(made, back).operation == PutPlantStatus("SEAL-1", "1010", "Z5", is_lifted=True)
    assert "1010|erp|item|SEAL-1|extend-to-plant" in named(made, back).depends_on
    assert back in before(made, named(made, "1010|erp|bom|SH-10|put-bom"))
    (terms,) = [
        s for s in made.steps if s.identity == "1010|erp|info-record|S-1/BOLT-1|put-info-record"
    ]
    assert "1010|erp|item|BOLT-1|extend-to-plant" in terms.depends_on
    records = [s for s in made.steps if s.identity.startswith("1010|erp|info-record|S-3/SEAL-1|")]
    assert all(back in before(made, step) for step in records)
    # Components that no row names are not asked for.
    assert sorted(names(made.steps, STOPPED)) == [
        "GB-100 1010", "GB-100 2010", "SEAL-1 1010", "SEAL-1 2010",
    ]  # fmt: skip


def test_it_comes_back_wherever_an_erp_has_it() -> None:
    stated = change("SEAL-1")
    made = decide(stated, facts(*EVERYTHING, held("3010"), rules=STATED))[0]
    assert set(written(made)) == {"1010 erp", "2010 erp", "3010 erp"}


def test_a_correction_of_the_change_takes_back_what_it_did() -> None:
    book = Book()
    book.plan(planned(change(row())))
    book.work()
    assert set(book.states(STOPPED).values()) == {"done"}
    corrected = planned(change(row("released"), version=4), item("SEAL-1"))
    book.plan(corrected)
    book.work()
    assert set(book.states(STOPPED).values()) == {"done"}
    assert book.left_behind == []
    assert all(status.is_lifted for status in written(corrected).values())


def test_the_plm_is_told_of_the_item_once_it_is_stopped() -> None:
    routes = (*STATED.routes, Route("item-notice", "*", "plm", date(2020, 1, 1)))
    stated = change(row(), notice="INT1/EVT4")
    made = planned(stated, rules=msgspec.structs.replace(STATED, routes=routes))
    (told,) = [s for s in made.steps if isinstance(s.operation, Reconcile)]
    assert {f"{p}|erp|item|SEAL-1|put-plant-status" for p in ("1010", "2010")} <= set(
        told.depends_on
    )


def test_a_row_alone_counts_as_an_item_that_is_blocked_and_a_mass_of_them_waits() -> None:
    """Whatever the item says itself: the status would stop it all the same."""
    rules = msgspec.structs.replace(STATED, guards=Guards(blocked_items=0))
    made = planned(change(row()), item("SEAL-1"), rules=rules)
    question = "|engineering|mass-change|ECO-7|approve"
    asked = named(made, question).operation
    assert isinstance(asked, Approve)
    assert "blocked: SEAL-1 (obsolete)" in asked.evidence
    for plant in ("1010", "2010"):
        stop = named(made, f"{plant}|erp|item|SEAL-1|put-plant-status")
        assert question in stop.depends_on


# --- laws ---


@given(
    st.lists(st.sampled_from(["GB-100", "SH-10", "SEAL-1", "BOLT-1"]), min_size=1, unique=True),
    st.sampled_from(["Z5", "", "off"]),
    st.sets(st.sampled_from(["1010", "2010", "3010"])),
    st.booleans(),
)
def test_each_place_is_stopped_once_or_awaited_once_or_left_on_purpose(
    numbers: list[str], code: str, known: set[str], is_dated: bool
) -> None:
    rules = msgspec.structs.replace(STATED, obsolete=ObsoleteRules(code))
    day: dict[str, Any] = {"effectivity": DateEffectivity(START, None, "UTC")} if is_dated else {}
    stated = change(*(AffectedItem(n, "B", lifecycle="obsolete") for n in numbers), **day)
    masters = [ItemMaster(n, 1, plants=tuple(PlantView(p) for p in sorted(known))) for n in numbers]
    asked = facts(*AFTER, *masters, rules=rules)
    made = decide(stated, asked)[0]
    assert len({step.identity for step in made.steps}) == len(made.steps)
    places = {f"{n} {p}" for n in numbers for p in {"1010", "2010", *known}}
    waits = {f"{s.object_id} {s.plant}" for s in made.steps if s.object_kind == "item-master"}
    assert sorted(names(made.steps, STOPPED)) == (sorted(places) if code == "Z5" else [])
    assert waits == (set() if code else places)
    for step in made.steps:
        if isinstance(step.operation, PutPlantStatus):
            follows = before(made, step)
            assert (WAIT in follows) is is_dated
            assert follows >= {
                s.identity
                for s in made.steps
                if isinstance(s.operation, PutBom) and s.plant == step.plant
            }
    keys = {f"item-master/{number}" for number in numbers}
    assert keys <= HANDLER.needs(message(stated), asked)


# --- the rules ---


def test_rules_read_from_their_file_are_these() -> None:
    text = {"plant_status": "Z5", "places": [{"plant": "2010", "plant_status": "Z6"}]}
    rules = msgspec.convert(text, ObsoleteRules)
    assert [rules.status(plant, "erp") for plant in ("1010", "2010")] == ["Z5", "Z6"]


def test_the_plant_counts_before_the_system_and_both_before_either() -> None:
    rules = ObsoleteRules(
        "A",
        (
            PlaceStatus("B", system="new"),
            PlaceStatus("C", plant="2010"),
            PlaceStatus("D", plant="2010", system="new"),
        ),
    )
    found = {(p, s): rules.status(p, s) for p in ("1010", "2010") for s in ("erp", "new")}
    assert found == {
        ("1010", "erp"): "A", ("1010", "new"): "B", ("2010", "erp"): "C", ("2010", "new"): "D",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((PlaceStatus("Z6", plant="9999"),), "plant 9999"),
        ((PlaceStatus("Z6", system="epr"),), "system epr"),
    ],
)
def test_plants_that_are_not_ours_and_systems_nobody_routes_to_are_refused(
    places: tuple[PlaceStatus, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        msgspec.structs.replace(STATED, obsolete=ObsoleteRules("Z5", places))


@pytest.mark.parametrize(
    "wrong",
    [
        {"plant_status": " Z5"},
        {"places": [{"plant": "1010", "plant_status": ""}]},
        {"places": [{"plant_status": "Z5"}]},
        {"places": [{"plant": "1010", "plant_status": c} for c in ("Z5", "Z6")]},
    ],
)
def test_rules_that_say_nothing_or_two_things_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, ObsoleteRules)
