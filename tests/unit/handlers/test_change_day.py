"""A change whose day is yet to come: all is asked and decided before, and nothing is shown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from canonical.change import EngineeringChange
from canonical.effectivity import DateEffectivity
from canonical.effects import Plan, Step
from canonical.errors import Misconfigured, Rejected
from canonical.facts import Document, Facts
from canonical.operations import (
    Approve,
    AwaitTime,
    PutChangeMaster,
    ReadCoverage,
    ReadSupplier,
    RequestReview,
    verb,
)
from canonical.rules import Route, Rules
from canonical.supplier import Certificate, ScopedQualification
from handlers.flows.engineering_change import CANCELLED
from tests.fixtures.gearbox import (
    ANSWERS,
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    ITEMS,
    NOW,
    RULES,
    awaited,
    change,
    covered,
    decide,
    facts,
    item,
    message,
    named,
    names,
    records,
    supplier,
)
from tests.unit.handlers.plans import Book, learned, nothing

# In Greenville it is still the evening before.
START = datetime(2026, 6, 1, tzinfo=UTC)
WAIT = "|layshaft|engineering-change|ECO-7|await-time"
APPROVAL = "|quality|supplier|S-3|approve"
COMPLETED = "|layshaft|engineering-change|ECO-7|announce"
LONG_AGO = date(2020, 1, 1)
ASKING = (ReadCoverage, ReadSupplier, RequestReview)


def dated(
    start: datetime = START, version: int = 3, end: datetime | None = None
) -> EngineeringChange:
    """ECO-7, effective from then on."""
    return change("GB-100", effectivity=DateEffectivity(start, end, "UTC"), version=version)


def planned(
    *known: Document,
    stated: EngineeringChange | None = None,
    now: datetime = NOW,
    rules: Rules = RULES,
) -> Plan:
    return decide(stated or dated(), facts(*known, rules=rules), now)[0]


def routed(*routes: Route) -> Rules:
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes))


def behind(made: Plan) -> set[str]:
    """Steps that follow the wait for the day, over any number of others."""
    found = {WAIT}
    for _ in made.steps:
        found |= {s.identity for s in made.steps if not found.isdisjoint(s.depends_on)}
    return found - {WAIT}


def without_wait(made: Plan) -> list[Step]:
    return [
        msgspec.structs.replace(s, depends_on=tuple(d for d in s.depends_on if d != WAIT))
        for s in made.steps
        if s.identity != WAIT
    ]


# --- what waits ---


def test_the_plan_is_that_of_a_change_without_a_day_behind_one_wait() -> None:
    made = planned(*EVERYTHING)
    assert without_wait(made) == list(planned(*EVERYTHING, stated=CHANGE).steps)
    wait = named(made, WAIT)
    assert wait.operation == AwaitTime(START, "ECO-7 takes effect")
    assert (wait.kind, wait.owner, wait.depends_on) == ("wait", "calendar", ())
    assert (wait.wake_at, wait.fact) == (START, "")


def test_all_that_a_system_would_show_waits_and_so_do_the_notices_of_it() -> None:
    made = planned(*EVERYTHING)
    calls = [s for s in made.steps if s.kind == "call" and not isinstance(s.operation, ASKING)]
    assert {verb(s.operation) for s in calls} == {
        "put-item", "extend-to-plant", "put-bom", "put-info-record", "publish-item",
    }  # fmt: skip
    assert all(WAIT in s.depends_on for s in calls)
    notices = {f"{p}|layshaft|engineering-change|ECO-7|announce" for p in ("1010", "2010")}
    assert behind(made) == {s.identity for s in calls} | notices | {COMPLETED}


def test_what_only_asks_and_what_people_decide_goes_on() -> None:
    made = planned(*EVERYTHING)
    free = [s for s in made.steps if s.identity not in behind(made) and s.identity != WAIT]
    assert {verb(s.operation) for s in free} == {
        "read-coverage", "read-supplier", "request-review", "approve", "announce",
    }  # fmt: skip
    requested = [s.identity for s in free if s.kind == "announce"]
    assert requested == ["|layshaft|supplier|S-3|announce"]


def test_definitions_are_awaited_meanwhile() -> None:
    made = planned(ITEMS[0])
    wait = "|layshaft|bom|GB-100|await-fact"
    assert named(made, wait).depends_on == ()
    assert awaited(made) == ["engineering-change/ECO-7", "bom/GB-100"]
    assert set(named(made, COMPLETED).depends_on) >= {wait, WAIT}


def test_reports_to_the_plm_and_the_number_of_the_change_wait_too() -> None:
    kinds = ("change-master", "implementation-status", "change-notice", "item-notice")
    rules = routed(*(Route(kind, "*", "there", LONG_AGO) for kind in kinds))
    stated = msgspec.structs.replace(dated(), source_id="CHG9", notice="INT1/EVT4")
    made = planned(*EVERYTHING, stated=stated, rules=rules)
    there = [s for s in made.steps if s.system == "there"]
    assert {verb(s.operation) for s in there} == {
        "put-change-master", "report-implementation", "reconcile",
    }  # fmt: skip
    assert all(WAIT in s.depends_on for s in there)
    [number] = [s.operation for s in there if isinstance(s.operation, PutChangeMaster)]
    assert number.change.valid_from == date(2026, 6, 1)


def test_a_change_of_a_document_is_not_said_to_be_complete_before_its_day() -> None:
    drawing = item("DRW-1", "none", kind="document")
    stated = msgspec.structs.replace(dated(), affected=change("DRW-1").affected)
    book = Book()
    book.plan(decide(stated, facts(drawing))[0])
    assert book.told == []
    book.plan(decide(stated, facts(drawing), START)[0])
    assert book.told == ["plan.adjustment-needed"] * 2 + ["engineering-change.completed"]


@pytest.mark.parametrize("now", [START, START + timedelta(days=400)])
def test_once_its_time_has_come_nothing_waits_for_it(now: datetime) -> None:
    undated = planned(*EVERYTHING, now=now, stated=CHANGE)
    assert planned(*EVERYTHING, now=now).steps == undated.steps


def test_a_moment_before_it_waits() -> None:
    now = START - timedelta(microseconds=1)
    assert named(planned(*EVERYTHING, now=now), WAIT).wake_at == START


# --- what is judged on the day ---


def test_the_contract_of_the_day_counts_and_not_that_of_today() -> None:
    bolt = change("BOLT-1", effectivity=dated().effectivity)
    begins = covered("BOLT-1", first_day=date(2026, 5, 1))
    made = planned(item("BOLT-1"), begins, supplier(), stated=bolt)
    assert sorted(records(made)) == ["BOLT-1 1010", "BOLT-1 2010"]


def test_a_contract_that_ends_before_the_day_is_missed_at_once() -> None:
    bolt = change("BOLT-1", effectivity=dated().effectivity)
    ends = covered("BOLT-1", last_day=date(2026, 5, 31))
    made, cases = decide(bolt, facts(item("BOLT-1"), ends, supplier()))
    # In Greenville the change takes effect on its last day.
    assert sorted(records(made)) == ["BOLT-1 2010"]
    said = "No published contract covers BOLT-1 for plant 1010 on 2026-06-01"
    assert [(case.code, case.what) for case in cases] == [("contract-missing", said)]
    assert awaited(made) == ["engineering-change/ECO-7", "coverage/BOLT-1 1010"]


def test_a_qualification_that_ends_before_the_day_is_decided_before_it() -> None:
    bolt = change("BOLT-1", effectivity=dated().effectivity)
    known = (item("BOLT-1"), covered("BOLT-1"), supplier(valid_until=date(2026, 5, 15)))
    question = named(planned(*known, stated=bolt), "|quality|supplier|S-1|approve").operation
    assert isinstance(question, Approve)
    assert "which is qualified until 2026-05-15 only" in question.text
    today = change("BOLT-1")
    assert names(planned(*known, stated=today).steps, "approve") == []


def test_a_certificate_that_ends_before_the_day_is_told_of_as_such() -> None:
    bolt = change("BOLT-1", effectivity=dated().effectivity)
    papers = (
        Certificate("ISO 9001", valid_until=date(2026, 3, 1)),
        Certificate("ISO 14001", valid_until=date(2026, 5, 1)),
        Certificate("AS9100", valid_until=date(2026, 6, 1)),
    )
    known = msgspec.structs.replace(
        supplier(),
        inherits_qualification=True,
        qualifications=(ScopedQualification("qualified", certificates=papers),),
    )
    made = planned(item("BOLT-1"), covered("BOLT-1"), known, stated=bolt)
    assert [f.what for f in made.findings if f.code == "certificate-ended"] == [
        "Certificate ISO 14001 of S-1 ends on 2026-05-01",
        "Certificate ISO 9001 of S-1 ended on 2026-03-01",
    ]


def test_what_goes_to_an_erp_goes_to_that_of_the_day() -> None:
    rules = routed(Route("*", "*", "erp-new", date(2026, 4, 1)))
    made = planned(*EVERYTHING, rules=rules)
    assert {s.system for s in made.steps} == {
        "erp-new", "procurement", "quality", "layshaft",
    }  # fmt: skip


def test_a_plant_without_an_erp_on_the_day_is_a_fault_that_is_told_at_once() -> None:
    closed = Route("*", "2010", "erp", LONG_AGO, until_day=date(2026, 5, 30))
    open_end = Route("*", "1010", "erp", LONG_AGO)
    rules = msgspec.structs.replace(RULES, routes=(open_end, closed))
    with pytest.raises(Misconfigured, match="of plant 2010 on 2026-05-31") as raised:
        planned(*EVERYTHING, rules=rules)
    assert raised.value.code == "route-missing"


def test_who_is_asked_is_the_procurement_of_today_and_the_catalogue_that_of_the_day() -> None:
    rules = routed(Route("procurement", "*", "suite", date(2026, 4, 1)))

    def systems(now: datetime) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for step in planned(*EVERYTHING, now=now, rules=rules).steps:
            if step.system in ("procurement", "suite"):
                found.setdefault(verb(step.operation), set()).add(step.system)
        return found

    asking = {"read-coverage", "read-supplier", "request-review"}
    assert systems(NOW) == {word: {"procurement"} for word in asking} | {"publish-item": {"suite"}}
    after = datetime(2026, 4, 1, tzinfo=UTC)
    assert systems(after) == {word: {"suite"} for word in asking} | {"publish-item": {"suite"}}
    # So that the new one is asked, too, the plan is made anew when it comes in.
    wakes = {s.wake_at for s in planned(*EVERYTHING, rules=rules).steps if s.identity != WAIT}
    assert all(wake is not None and wake <= after for wake in wakes)


# --- from its plan to its day, in a ledger ---


class Story:
    """The change in a ledger; every call that may be made has been made after each plan."""

    def __init__(self) -> None:
        self.book = Book()
        self.known: Facts = nothing()

    def plan(
        self, now: datetime, *documents: Document, stated: EngineeringChange | None = None
    ) -> None:
        self.known = learned(self.known, *documents)
        self.book.plan(decide(stated or dated(), self.known, now)[0])
        self.book.work()

    def shown(self) -> set[str]:
        """States of all that a target would show."""
        words = ("put-item", "extend-to-plant", "put-bom", "put-info-record", "publish-item")
        return {state for word in words for state in self.book.states(word).values()}


def before_its_day() -> Story:
    """All is known, asked and decided."""
    story = Story()
    for documents in ((), DEFINITIONS, ANSWERS, EVERYTHING[len(DEFINITIONS) + len(ANSWERS) :]):
        story.plan(NOW, *documents)
    story.book.decide(APPROVAL, granted=True)
    story.book.work()
    return story


def test_all_is_ready_before_its_day_and_goes_on_it() -> None:
    story = before_its_day()
    assert story.shown() == {"waiting"}
    assert set(story.book.states("read-coverage").values()) == {"done"}
    assert set(story.book.states("read-supplier").values()) == {"done"}
    assert story.book.states("request-review") == {"S-3": "done"}
    assert story.book.told == ["approval.requested"]
    assert story.book.wakes() == [START]
    story.plan(START)
    assert story.book.is_complete()
    assert story.book.states("await-time") == {"ECO-7": "done"}
    assert story.shown() == {"done"}
    assert story.book.told == [
        "approval.requested",
        *["plan.adjustment-needed"] * 2,
        "engineering-change.completed",
    ]
    assert story.book.left_behind == []
    assert story.book.wakes() == []


def test_planning_again_before_its_day_changes_nothing() -> None:
    story = before_its_day()
    before = (story.book.open(), story.book.told[:], story.book.wakes())
    for days in (1, 30, 90):
        story.plan(NOW + timedelta(days=days))
    assert (story.book.open(), story.book.told, story.book.wakes()) == before


def test_whoever_was_away_on_the_day_goes_on_at_once() -> None:
    story = before_its_day()
    story.plan(START + timedelta(days=3))
    assert story.book.is_complete()
    assert story.book.left_behind == []


def test_a_correction_moves_the_day() -> None:
    story, later = before_its_day(), START + timedelta(days=14)
    moved = dated(later, version=4)
    story.plan(NOW, stated=moved)
    assert story.book.wakes() == [later]
    story.plan(START, stated=moved)
    assert story.shown() == {"waiting"}
    story.plan(later, stated=moved)
    assert story.book.is_complete()


@pytest.mark.parametrize(
    "stated",
    [dated(NOW - timedelta(days=1), version=4), change("GB-100", version=4)],
    ids=["a day that is over", "none"],
)
def test_a_correction_that_brings_the_day_forward_lets_it_go_at_once(
    stated: EngineeringChange,
) -> None:
    story = before_its_day()
    story.plan(NOW, stated=stated)
    assert story.book.is_complete()
    assert story.book.left_behind == []


def test_a_day_that_is_put_off_after_it_has_come_takes_nothing_back() -> None:
    story = before_its_day()
    story.plan(START)
    later = START + timedelta(days=14)
    moved = dated(later, version=4)
    story.plan(START + timedelta(hours=1), stated=moved)
    assert story.book.left_behind == []
    assert story.book.open() == [WAIT, COMPLETED]
    story.plan(later, stated=moved)
    assert story.book.is_complete()
    assert story.book.told.count("engineering-change.completed") == 2


def test_a_change_that_is_taken_back_before_its_day_has_left_nothing() -> None:
    story = before_its_day()
    taken_back = msgspec.structs.replace(dated(version=4), status="cancelled")
    [nothing_more] = CANCELLED.decide(message(taken_back), story.known, NOW)
    assert isinstance(nothing_more, Plan)
    story.book.plan(nothing_more)
    assert story.book.is_complete()
    assert story.shown() == {"cancelled"}
    # What was only asked is no more than not asked any more.
    words = {identity.rpartition("|")[2] for identity in story.book.left_behind}
    assert words == {"read-coverage", "read-supplier", "request-review"}


def test_a_change_that_is_over_before_anybody_was_there_is_refused() -> None:
    ends = START + timedelta(days=2)
    stated = dated(end=ends)
    assert decide(stated, facts(*EVERYTHING), START)[0].steps
    with pytest.raises(Rejected, match="effectivity-over"):
        decide(stated, facts(*EVERYTHING), ends)
