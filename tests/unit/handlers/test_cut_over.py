"""A plant goes over to another ERP on a day: which of the two gets what of a change.

Regensburg (1010) is held by `erp` until March 2026 and by `erp-new` from April on; Greenville
(2010) stays where it is.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from canonical.change import ChangedBom, EngineeringChange
from canonical.effectivity import DateEffectivity, from_inclusive_dates
from canonical.effects import Plan
from canonical.errors import Misconfigured
from canonical.facts import Facts
from canonical.operations import PutChangedObjects, PutChangeMaster, Reconcile
from canonical.rules import Route, Rules
from tests.fixtures.gearbox import (
    CENTRAL,
    CHANGE,
    EVERYTHING,
    LOCAL,
    NOW,
    RULES,
    decide,
    facts,
    named,
)
from tests.unit.handlers.plans import Book, learned, nothing

LONG_AGO, CUT_OVER = date(2020, 1, 1), date(2026, 4, 1)
# Two hours before midnight by UTC.
MOMENT = datetime(2026, 3, 31, 22, tzinfo=UTC)
A_SECOND = timedelta(seconds=1)
MOVES = Route("*", "1010", "erp-new", CUT_OVER)
# Released while `erp` held both.
STATED = msgspec.structs.replace(CHANGE, released_at=NOW, notice="INT1/EVT4")
APPROVAL = "|quality|supplier|S-3|approve"
OF_SHAFT = ("ROD-1", "SEAL-1", "SH-10")


def routed(*routes: Route) -> Rules:
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes))


def planned(
    now: datetime, *routes: Route, stated: EngineeringChange = STATED, rules: Rules | None = None
) -> Plan:
    return decide(stated, facts(*EVERYTHING, rules=rules or routed(*routes)), now)[0]


def plants(made: Plan) -> dict[str, set[str]]:
    """The plants of which each ERP gets something; "" for item masters."""
    found: dict[str, set[str]] = {}
    for step in made.steps:
        if step.system.startswith("erp"):
            found.setdefault(step.system, set()).add(step.plant)
    return found


def of_system(made: Plan, system: str, plant: str) -> set[str]:
    """What a system gets of a plant, without naming either."""
    return {
        f"{step.object_kind} {step.object_id}"
        for step in made.steps
        if (step.system, step.plant) == (system, plant)
    }


# --- before, across, after ---


def test_before_the_cut_over_all_goes_to_the_old_one_and_is_planned_anew_at_its_midnight() -> None:
    for now in (NOW, MOMENT - A_SECOND):
        made = planned(now, MOVES)
        assert plants(made) == {"erp": {"", "1010", "2010"}}
        assert {step.wake_at for step in made.steps} == {MOMENT}


def test_a_change_that_is_open_across_it_is_made_true_in_both() -> None:
    made = planned(MOMENT, MOVES)
    assert plants(made) == {"erp": {"", "1010", "2010"}, "erp-new": {"", "1010"}}
    assert of_system(made, "erp-new", "1010") == of_system(made, "erp", "1010")
    assert of_system(made, "erp-new", "") == of_system(made, "erp", "")
    # Nothing more is to come.
    assert {step.wake_at for step in made.steps} == {None}


def test_a_change_that_takes_effect_after_it_goes_to_the_new_one_alone() -> None:
    for released in (MOMENT, MOMENT + timedelta(days=5)):
        stated = msgspec.structs.replace(STATED, released_at=released)
        made = planned(released, MOVES, stated=stated)
        assert plants(made) == {"erp": {"", "2010"}, "erp-new": {"", "1010"}}


def test_the_day_on_which_it_takes_effect_counts_and_not_that_of_its_release() -> None:
    later = msgspec.structs.replace(STATED, effectivity=DateEffectivity(MOMENT, None, "UTC"))
    both = {"erp": {"", "2010"}, "erp-new": {"", "1010"}}
    assert plants(planned(NOW, MOVES, stated=later)) == both
    assert plants(planned(MOMENT, MOVES, stated=later)) == both
    earlier = DateEffectivity(MOMENT - A_SECOND, None, "UTC")
    stated = msgspec.structs.replace(STATED, effectivity=earlier)
    assert "1010" in plants(planned(MOMENT, MOVES, stated=stated))["erp"]


def test_each_write_follows_those_of_its_own_system() -> None:
    made = planned(MOMENT, MOVES)
    for system in ("erp", "erp-new"):
        views = tuple(f"1010|{system}|item|{number}|extend-to-plant" for number in OF_SHAFT)
        assert named(made, f"1010|{system}|bom|SH-10|put-bom").depends_on == views
        gearbox = named(made, f"1010|{system}|bom|GB-100|put-bom")
        assert f"1010|{system}|bom|SH-10|put-bom" in gearbox.depends_on
        assert all(f"|{system}|" in identity for identity in gearbox.depends_on)
        assert named(made, f"1010|{system}|item|ROD-1|extend-to-plant").depends_on == (
            f"|{system}|item|ROD-1|put-item",
        )
        record = named(made, f"1010|{system}|info-record|S-1/ROD-1|put-info-record")
        assert record.depends_on == (
            f"1010|{system}|item|ROD-1|extend-to-plant",
            "|procurement|item|ROD-1|publish-item",
        )


def test_where_boms_go_over_before_items_they_follow_what_is_there() -> None:
    boms = Route("bom", "1010", "erp-new", CUT_OVER)
    made = planned(MOMENT, boms)
    step = named(made, "1010|erp-new|bom|SH-10|put-bom")
    assert step.depends_on == tuple(f"1010|erp|item|{n}|extend-to-plant" for n in OF_SHAFT)
    assert of_system(made, "erp-new", "1010") == {"bom SH-10", "bom GB-100"}


def test_a_company_goes_over_with_all_its_plants() -> None:
    rules = msgspec.structs.replace(
        routed(Route("*", "*", "erp-new", CUT_OVER, company="DE01")),
        plants=(msgspec.structs.replace(CENTRAL, company="DE01"), LOCAL),
    )
    assert plants(planned(MOMENT, rules=rules)) == plants(planned(MOMENT, MOVES))


def test_a_plant_that_closes_keeps_what_it_has_and_gets_no_new_change() -> None:
    until = Route("*", "1010", "erp", LONG_AGO, until_day=date(2026, 3, 31))
    rules = msgspec.structs.replace(RULES, routes=(until, Route("*", "2010", "erp", LONG_AGO)))
    assert {step.wake_at for step in planned(NOW, rules=rules).steps} == {MOMENT}
    assert plants(planned(MOMENT, rules=rules)) == {"erp": {"", "1010", "2010"}}
    stated = msgspec.structs.replace(STATED, released_at=MOMENT)
    with pytest.raises(Misconfigured, match="route-missing"):
        planned(MOMENT, rules=rules, stated=stated)


def test_there_and_back_again_is_once_each() -> None:
    lent = Route("*", "1010", "erp-new", CUT_OVER, until_day=date(2026, 4, 30))
    after = datetime(2026, 5, 10, tzinfo=UTC)
    made = planned(after, lent)
    assert plants(made) == {"erp": {"", "1010", "2010"}, "erp-new": {"", "1010"}}
    assert plants(planned(MOMENT, lent)) == plants(made)
    wakes = {step.wake_at for step in planned(MOMENT, lent).steps}
    assert wakes == {datetime(2026, 4, 30, 22, tzinfo=UTC)}


# --- change masters ---


def test_each_of_the_two_has_the_number_and_lists_what_it_has() -> None:
    numbers = (
        Route("change-master", "*", "erp", LONG_AGO),
        Route("change-master", "1010", "erp-new", CUT_OVER),
    )
    made = planned(MOMENT, MOVES, *numbers)
    listed = {
        step.system: step.operation.objects.boms
        for step in made.steps
        if isinstance(step.operation, PutChangedObjects)
    }
    of_both = (ChangedBom("GB-100", "1010", "1"), ChangedBom("GB-100", "2010", "1"))
    assert listed == {"erp": of_both, "erp-new": of_both[:1]}
    for system in ("erp", "erp-new"):
        number = f"|{system}|change-master|ECO-7|put-change-master"
        following = [step.system for step in made.steps if number in step.depends_on]
        assert set(following) == {system, "layshaft"}
    days = {
        step.system: step.operation.change.valid_from
        for step in made.steps
        if isinstance(step.operation, PutChangeMaster)
    }
    assert days == {"erp": date(2026, 3, 2), "erp-new": date(2026, 3, 2)}


def test_the_number_of_a_dated_change_has_its_day_in_both() -> None:
    numbers = (
        Route("change-master", "*", "erp", LONG_AGO),
        Route("change-master", "1010", "erp-new", CUT_OVER),
    )
    effectivity = from_inclusive_dates(date(2026, 3, 20), None, "Europe/Berlin")
    stated = msgspec.structs.replace(STATED, effectivity=effectivity)
    made = planned(MOMENT, MOVES, *numbers, stated=stated)
    days = [
        step.operation.change.valid_from
        for step in made.steps
        if isinstance(step.operation, PutChangeMaster)
    ]
    assert days == [date(2026, 3, 20)] * 2


# --- reports and procurement ---


def test_the_plm_that_released_the_change_is_told_and_no_later_one() -> None:
    routes = (
        Route("change-notice", "*", "plm", LONG_AGO),
        Route("change-notice", "*", "new-plm", CUT_OVER),
    )
    for now in (NOW, datetime(2026, 4, 2, tzinfo=UTC)):
        made = planned(now, *routes)
        told = [step.system for step in made.steps if isinstance(step.operation, Reconcile)]
        assert told == ["plm"]


def test_a_change_whose_plm_alone_was_not_told_goes_over_to_nothing() -> None:
    notice = Route("change-notice", "*", "plm", LONG_AGO)
    made = planned(NOW, MOVES, notice)
    reports = [step for step in made.steps if isinstance(step.operation, Reconcile)]
    assert reports
    assert {step.wake_at for step in reports} == {None}
    assert {step.wake_at for step in made.steps if step not in reports} == {MOMENT}


def test_a_plm_that_is_told_from_now_on_is_told_of_what_is_open() -> None:
    route = Route("change-notice", "*", "plm", CUT_OVER)
    assert {step.wake_at for step in planned(NOW, route).steps} == {MOMENT}
    made = planned(datetime(2026, 4, 2, tzinfo=UTC), route)
    assert "plm" in {step.system for step in made.steps}


def test_both_catalogues_show_what_is_bought_and_the_new_suite_is_asked() -> None:
    suite = Route("procurement", "*", "suite", CUT_OVER)
    made = planned(datetime(2026, 4, 2, tzinfo=UTC), suite)
    published = [s.system for s in made.steps if s.identity.endswith("BOLT-1|publish-item")]
    asked = [s.system for s in made.steps if s.identity.endswith("BOLT-1|read-coverage")]
    assert (published, asked) == (["procurement", "suite"], ["suite"])
    before = planned(NOW, suite)
    assert not [step for step in before.steps if step.system == "suite"]


# --- in a ledger ---


class Story:
    """The change in a ledger; every call that may be made has been made after each plan."""

    def __init__(self, *routes: Route) -> None:
        self.book = Book()
        self._known: Facts = learned(nothing(routed(*routes)), *EVERYTHING)

    def plan(self, now: datetime) -> None:
        self.book.plan(decide(STATED, self._known, now)[0])
        self.book.work()

    def decide(self) -> None:
        self.book.decide(APPROVAL, granted=True)
        self.book.work()

    def systems(self, word: str) -> set[str]:
        """Systems of which something was done by this verb."""
        return self.book.systems(word, "done")


def test_what_is_open_at_midnight_is_done_in_both_and_nothing_is_left_behind() -> None:
    story = Story(MOVES)
    story.plan(NOW)
    assert story.book.wakes() == [MOMENT]
    assert story.systems("put-bom") == {"erp"}
    story.plan(MOMENT)
    assert story.systems("put-bom") == {"erp", "erp-new"}
    assert story.systems("put-item") == {"erp", "erp-new"}
    assert not story.book.is_complete()
    story.decide()
    assert story.book.is_complete()
    assert story.systems("put-info-record") == {"erp", "erp-new"}
    assert story.book.told.count("engineering-change.completed") == 1
    assert story.book.left_behind == []


def test_what_was_complete_before_it_is_not_touched() -> None:
    story = Story(MOVES)
    story.plan(NOW)
    story.decide()
    assert story.book.is_complete()
    assert story.book.wakes() == []


def test_one_that_was_held_by_a_refusal_is_woken_too() -> None:
    story = Story(MOVES)
    story.plan(NOW)
    story.book.decide(APPROVAL, granted=False)
    story.book.work()
    assert story.book.wakes() == [MOMENT]
    story.plan(MOMENT)
    assert story.systems("put-bom") == {"erp", "erp-new"}
    assert story.book.wakes() == []
    assert story.book.states("approve") == {"S-3": "failed"}
