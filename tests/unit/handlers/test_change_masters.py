"""An ERP that a route names keeps the change under its number before items and BOMs are written."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import (
    AffectedItem,
    ChangedBom,
    ChangedObjects,
    ChangeMaster,
    EngineeringChange,
)
from canonical.effectivity import from_inclusive_dates
from canonical.effects import Plan, Step
from canonical.errors import Rejected
from canonical.facts import Document
from canonical.operations import PutChangedObjects, PutChangeMaster, verb
from canonical.rules import Route, Rules
from tests.fixtures.gearbox import (
    CENTRAL,
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    ITEMS,
    LOCAL,
    RULES,
    decide,
    item,
    named,
    plan,
)
from tests.unit.handlers.plans import Book, learned, nothing
from tests.unit.handlers.test_change_plan import arrivals

LONG_AGO = date(2020, 1, 1)
ROUTE = Route("change-master", "*", "erp", LONG_AGO)
NUMBER = "|erp|change-master|ECO-7|put-change-master"
LISTED = "|erp|change-master|ECO-7|put-changed-objects"
COMPLETED = "|layshaft|engineering-change|ECO-7|announce"
# Half past ten in the evening of the day before in Greenville.
RELEASED = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)
STATED = msgspec.structs.replace(CHANGE, released_at=RELEASED, description="It leaks at 5 bar")


def rules(*routes: Route) -> Rules:
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes))


def planned(
    *routes: Route,
    stated: EngineeringChange = STATED,
    known: tuple[Document, ...] = EVERYTHING,
) -> Plan:
    return plan(stated, *known, rules=rules(*routes))


def numbers(made: Plan) -> list[Step]:
    return [step for step in made.steps if isinstance(step.operation, PutChangeMaster)]


def kept(made: Plan) -> ChangeMaster:
    """The change as the only system keeps it."""
    [step] = numbers(made)
    assert isinstance(step.operation, PutChangeMaster)
    return step.operation.change


def listed(made: Plan) -> dict[str, ChangedObjects]:
    """What each system lists under the number."""
    return {
        step.system: step.operation.objects
        for step in made.steps
        if isinstance(step.operation, PutChangedObjects)
    }


def following(made: Plan, identity: str) -> list[str]:
    """What waits for the step itself."""
    return [step.identity for step in made.steps if identity in step.depends_on]


def test_the_number_comes_before_every_item_and_bom_of_its_system() -> None:
    made = planned(ROUTE)
    [step] = numbers(made)
    assert (step.identity, step.depends_on, step.owner) == (NUMBER, (), "master data")
    written = [s.identity for s in made.steps if verb(s.operation) in ("put-item", "put-bom")]
    assert following(made, NUMBER) == [*written, LISTED, COMPLETED]


def test_the_rest_of_the_plan_is_the_same() -> None:
    def without(step: Step) -> Step:
        found = tuple(identity for identity in step.depends_on if identity not in (NUMBER, LISTED))
        return msgspec.structs.replace(step, depends_on=found)

    own = (PutChangeMaster, PutChangedObjects)
    rest = [without(step) for step in planned(ROUTE).steps if not isinstance(step.operation, own)]
    assert tuple(rest) == planned().steps


def test_the_change_is_kept_by_its_title_and_its_reason() -> None:
    assert kept(planned(ROUTE)) == ChangeMaster(
        number="ECO-7",
        description="Seal the shaft",
        valid_from=date(2026, 3, 1),
        is_dated=False,
        reason="It leaks at 5 bar",
    )
    nameless = msgspec.structs.replace(STATED, title="", description="")
    found = kept(planned(ROUTE, stated=nameless))
    assert (found.description, found.reason) == ("ECO-7", "")


def test_an_effectivity_is_the_first_day_in_its_own_zone() -> None:
    for first, last in ((date(2026, 2, 1), None), (date(2026, 2, 1), date(2026, 12, 31))):
        stated = msgspec.structs.replace(
            STATED, effectivity=from_inclusive_dates(first, last, "America/New_York")
        )
        found = kept(planned(ROUTE, stated=stated))
        assert (found.valid_from, found.is_dated) == (first, True)


def test_a_release_counts_by_the_earliest_day_that_a_plant_with_a_number_had() -> None:
    central = Route("change-master", CENTRAL.code, "erp", LONG_AGO)
    local = Route("change-master", LOCAL.code, "erp", LONG_AGO)
    assert kept(planned(central)).valid_from == date(2026, 3, 2)
    assert kept(planned(local)).valid_from == date(2026, 3, 1)


def test_the_day_does_not_move_as_more_plants_become_known() -> None:
    motors = (item("GB-100", family="Motors"),)
    [one] = numbers(planned(ROUTE, known=motors, stated=in_family("")))
    both = numbers(planned(ROUTE, known=(item("GB-100"),), stated=in_family("")))
    assert [one.operation] == [step.operation for step in both]


def in_family(family: str) -> EngineeringChange:
    return msgspec.structs.replace(STATED, family=family)


def test_a_change_without_any_day_is_refused_where_it_would_have_to_have_one() -> None:
    undated = msgspec.structs.replace(STATED, released_at=None)
    assert numbers(planned(stated=undated)) == []
    with pytest.raises(Rejected, match="change-undated") as refused:
        planned(ROUTE, stated=undated)
    assert refused.value.owner == "engineering"


@pytest.mark.parametrize(
    "route",
    [
        Route("*", "*", "erp", LONG_AGO),
        Route("change-master", "3010", "erp", LONG_AGO),
        Route("change-master", "*", "erp", date(2999, 1, 1)),
    ],
    ids=["of any kind", "of another plant", "of later"],
)
def test_without_a_route_that_names_it_today_there_is_no_number(route: Route) -> None:
    def without_times(made: Plan) -> list[Step]:
        return [msgspec.structs.replace(step, wake_at=None) for step in made.steps]

    # One of later makes the plan anew on its day.
    assert without_times(planned(route)) == without_times(planned())


def test_each_system_has_a_number_of_its_own_and_waits_for_no_other() -> None:
    new = Route("*", "2010", "erp-new", LONG_AGO)
    own = Route("change-master", "2010", "erp-new", LONG_AGO)
    made = planned(ROUTE, new, own)
    other = NUMBER.replace("erp", "erp-new")
    assert [step.identity for step in numbers(made)] == [NUMBER, other]
    *waiting, completed = following(made, other)
    assert completed == COMPLETED
    assert waiting
    assert all("|erp-new|" in identity for identity in waiting)


def test_what_another_system_holds_of_the_plant_does_not_wait() -> None:
    apart = Route("bom", "*", "boms", LONG_AGO)
    made = planned(ROUTE, apart)
    assert not [identity for identity in following(made, NUMBER) if "|boms|" in identity]
    gearbox = "1010|boms|bom|GB-100|put-bom"
    assert named(made, gearbox) == named(planned(apart), gearbox)


def test_what_the_change_is_about_is_listed_after_it_is_there() -> None:
    made = planned(ROUTE)
    boms = (ChangedBom("GB-100", "1010", "1"), ChangedBom("GB-100", "2010", "1"))
    assert listed(made) == {"erp": ChangedObjects("ECO-7", ("GB-100",), boms)}
    assert named(made, LISTED).depends_on == (
        "1010|erp|bom|GB-100|put-bom",
        "2010|erp|bom|GB-100|put-bom",
        "|erp|change-master|ECO-7|put-change-master",
        "|erp|item|GB-100|put-item",
    )


def test_what_is_listed_is_the_same_in_whatever_order_it_is_affected() -> None:
    rows = (AffectedItem("SH-10", "B"), AffectedItem("BOLT-1", "B"), AffectedItem("GB-100", "B"))
    made = listed(planned(ROUTE, stated=msgspec.structs.replace(STATED, affected=rows)))["erp"]
    assert made.items == ("BOLT-1", "GB-100", "SH-10")
    assert [(bom.item, bom.plant) for bom in made.boms] == [
        ("GB-100", "1010"),
        ("GB-100", "2010"),
        ("SH-10", "1010"),
        ("SH-10", "2010"),
    ]
    turned = msgspec.structs.replace(STATED, affected=rows[::-1])
    assert listed(planned(ROUTE, stated=turned))["erp"] == made


def test_only_what_its_own_system_holds_is_listed_there() -> None:
    local = Route("change-master", "2010", "erp", LONG_AGO)
    assert listed(planned(local)) == {
        "erp": ChangedObjects("ECO-7", ("GB-100",), (ChangedBom("GB-100", "2010", "1"),))
    }
    apart = Route("bom", "*", "boms", LONG_AGO)
    assert listed(planned(ROUTE, apart)) == {"erp": ChangedObjects("ECO-7", ("GB-100",))}


def test_a_document_is_listed_nowhere() -> None:
    drawing = item("GB-100", "none", kind="document")
    made = planned(ROUTE, known=(drawing,))
    assert (len(numbers(made)), listed(made)) == (1, {})


def test_one_plant_alone_may_have_change_masters() -> None:
    made = planned(Route("change-master", "1010", "erp", LONG_AGO))
    boms = [identity for identity in following(made, NUMBER) if identity.endswith("put-bom")]
    assert boms == ["1010|erp|bom|SH-10|put-bom", "1010|erp|bom|GB-100|put-bom"]


def test_a_number_is_made_before_the_last_definition_has_come() -> None:
    made = planned(ROUTE, known=DEFINITIONS[:1])
    assert numbers(made)[0].depends_on == ()
    assert [step.identity for step in made.steps if step.kind == "wait"]


def test_a_number_waits_for_an_item_whose_new_revision_may_go_to_other_plants() -> None:
    wait = "|layshaft|item|GB-100|await-fact"
    central = Route("change-master", "1010", "erp", LONG_AGO)
    former = item("GB-100", label="A")
    assert numbers(planned(central, stated=in_family(""), known=(former,)))[0].depends_on == (wait,)
    moved = item("GB-100", family="Motors")
    assert numbers(planned(central, stated=in_family(""), known=(moved,))) == []
    rows = (AffectedItem("BOLT-1", "B"), AffectedItem("GB-100", "B"))
    both = msgspec.structs.replace(in_family(""), affected=rows)
    made = planned(central, stated=both, known=(former, item("BOLT-1")))
    assert numbers(made)[0].depends_on == ()


def test_a_number_waits_while_a_finding_may_still_stop_the_change() -> None:
    medical = in_family("Medical")
    stated = msgspec.structs.replace(medical, plants=("1010",))
    made = planned(ROUTE, stated=stated, known=ITEMS[:1])
    waits = tuple(sorted(step.identity for step in made.steps if step.kind == "wait"))
    assert waits
    assert numbers(made)[0].depends_on == tuple(w for w in waits if w.startswith("|"))


def test_a_change_is_not_complete_before_its_number_is() -> None:
    book = Book()
    known = learned(nothing(rules(ROUTE)), *EVERYTHING)
    book.plan(decide(STATED, known)[0])
    assert book.states("put-change-master") == {"ECO-7": "ready"}
    assert set(book.states("put-item").values()) == {"waiting"}
    assert book.states("put-changed-objects") == {"ECO-7": "waiting"}
    book.work()
    assert book.states("put-changed-objects") == {"ECO-7": "done"}
    assert book.states("put-change-master") == {"ECO-7": "done"}
    assert set(book.states("put-bom").values()) == {"done"}


def test_planning_again_leaves_a_number_as_it_is() -> None:
    book = Book()
    known = learned(nothing(rules(ROUTE)), *EVERYTHING)
    for _ in range(2):
        book.plan(decide(STATED, known)[0])
        book.work()
    assert book.states("put-change-master") == {"ECO-7": "done"}
    assert book.left_behind == []


def test_what_becomes_known_bit_by_bit_is_listed_in_the_end_as_if_known_at_once() -> None:
    rows = (AffectedItem("BOLT-1", "B"), AffectedItem("GB-100", "B"))
    stated = msgspec.structs.replace(STATED, affected=rows)
    book, known = Book(), nothing(rules(ROUTE))
    plans = []
    for document in EVERYTHING:
        known = learned(known, document)
        plans.append(decide(stated, known)[0])
        book.plan(plans[-1])
        book.work()
    # GB-100 alone, with BOLT-1, with its BOM.
    assert listed(plans[-1]) == listed(planned(ROUTE, stated=stated))
    assert len({str(listed(made)) for made in plans}) == 3
    assert book.states("put-change-master") == {"ECO-7": "done"}
    assert book.states("put-changed-objects") == {"ECO-7": "done"}
    assert book.left_behind == []


@given(arrivals(), st.sampled_from(["*", "1010", "2010"]))
def test_facts_in_any_order_make_a_number_only_where_it_stays(
    story: tuple[EngineeringChange, list[Document]], plant: str
) -> None:
    stated = msgspec.structs.replace(story[0], released_at=RELEASED)
    allowed = rules(Route("change-master", plant, "erp", LONG_AGO))
    book, known = Book(), nothing(allowed)
    made = decide(stated, known)[0]
    for document in story[1]:
        known = learned(known, document)
        made = decide(stated, known)[0]
        book.plan(made)
        book.work()
    for word in ("put-change-master", "put-changed-objects"):
        wanted = [step.object_id for step in made.steps if verb(step.operation) == word]
        assert book.states(word) == dict.fromkeys(wanted, "done")
    assert book.left_behind == []
