"""What holds for every change and every table of routes, whenever its plan is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from broker import ledger
from canonical.change import EngineeringChange
from canonical.effectivity import DateEffectivity
from canonical.effects import Plan, Step
from canonical.operations import AwaitTime, verb
from canonical.rules import Route, Rules
from tests.fixtures.gearbox import CENTRAL, LOCAL, NOW, RULES, decide, facts
from tests.unit.handlers.plans import Book, learned, nothing
from tests.unit.handlers.test_engineering_change_laws import World, partly, worlds

ASKING = {"read-coverage", "read-supplier", "request-review"}
PLANTS = (
    msgspec.structs.replace(CENTRAL, company="DE01"),
    msgspec.structs.replace(LOCAL, company="US01"),
)
KINDS = ("*", "*", "item", "bom", "info-record", "change-master", "procurement", "change-notice")
HOURS = st.integers(-40 * 24, 40 * 24).map(lambda n: timedelta(hours=n))


@st.composite
def tables(draw: st.DrawFn) -> Rules:
    """`erp` holds everything, and up to five routes say otherwise for a while."""
    routes = [*RULES.routes]
    for _ in range(draw(st.integers(0, 5))):
        first = date(2026, 3, 2) + timedelta(days=draw(st.integers(-30, 30)))
        days = draw(st.none() | st.integers(0, 20))
        place: dict[str, Any] = draw(
            st.sampled_from(
                [
                    {"plant": "*"},
                    {"plant": "1010"},
                    {"plant": "2010"},
                    {"plant": "*", "company": "DE01"},
                    {"plant": "*", "company": "US01"},
                ]
            )
        )
        routes.append(
            Route(
                object_kind=draw(st.sampled_from(KINDS)),
                system=draw(st.sampled_from(["erp", "erp-new", "suite"])),
                from_day=first,
                until_day=None if days is None else first + timedelta(days=days),
                **place,
            )
        )
    return msgspec.structs.replace(RULES, plants=PLANTS, routes=tuple(routes))


@st.composite
def stories(draw: st.DrawFn) -> tuple[World, Rules]:
    """A change with a release, and with a day of its own or without."""
    world = draw(worlds())
    released = NOW - timedelta(days=draw(st.integers(0, 40)))
    dated = draw(st.booleans())
    start = NOW + draw(HOURS)
    stated = msgspec.structs.replace(
        world.change,
        released_at=released,
        notice="INT1/EVT4",
        effectivity=DateEffectivity(start, None, "UTC") if dated else None,
    )
    return msgspec.structs.replace(world, change=stated), draw(tables())


def start_of(stated: EngineeringChange) -> datetime:
    """From when on it holds."""
    by_date = stated.effectivity
    assert stated.released_at is not None
    return by_date.start if isinstance(by_date, DateEffectivity) else stated.released_at


def planned(world: World, rules: Rules, now: datetime) -> Plan:
    return decide(world.change, facts(*world.documents, rules=rules), now)[0]


def changing(steps: Iterable[Step]) -> list[Step]:
    """What a system would show."""
    return [s for s in steps if s.kind == "call" and verb(s.operation) not in ASKING]


def word_of(identity: str) -> str:
    return identity.rpartition("|")[2]


def waits_for_its_time(made: Plan) -> set[str]:
    return {s.identity for s in made.steps if isinstance(s.operation, AwaitTime)}


def behind(made: Plan, found: set[str]) -> set[str]:
    """What follows one of these, over any number of others."""
    by_identity = {step.identity: step for step in made.steps}
    steps = set(found)
    while True:
        more = {i for i, s in by_identity.items() if not steps.isdisjoint(s.depends_on)} - steps
        if not more:
            return steps
        steps |= more


@given(stories(), HOURS, st.integers())
def test_the_same_facts_and_the_same_moment_give_the_same_plan(
    story: tuple[World, Rules], hours: timedelta, seed: int
) -> None:
    world, rules = story
    known = partly(world, seed)
    shuffled = Random(seed + 1).sample(known, len(known))
    now = NOW + hours
    first = decide(world.change, facts(*known, rules=rules), now)
    assert decide(world.change, facts(*shuffled, rules=rules), now) == first


@given(stories(), HOURS, st.integers())
def test_before_its_time_nothing_that_a_system_would_show_is_free(
    story: tuple[World, Rules], hours: timedelta, seed: int
) -> None:
    world, rules = story
    now, start = NOW + hours, start_of(world.change)
    made, _ = decide(world.change, facts(*partly(world, seed), rules=rules), now)
    waits = waits_for_its_time(made)
    if now >= start or world.change.effectivity is None:
        assert waits == set()
        return
    assert len(waits) == 1
    held = behind(made, waits)
    assert {s.identity for s in changing(made.steps)} <= held
    # What people and procurement are asked is not held by it.
    assert {word_of(identity) for identity in held}.isdisjoint(ASKING | {"approve", "await-fact"})
    # Nor does the ledger let any of it go.
    book = Book()
    book.plan(made)
    book.work()
    for approval in [i for i in book.open() if i.endswith("|approve")]:
        book.decide(approval, granted=True)
    book.work()
    assert {s.identity for s in changing(made.steps)} <= set(book.open())
    assert set(book.told) <= {"approval.requested"}


@given(stories(), HOURS)
def test_every_moment_at_which_a_plan_is_made_anew_is_yet_to_come(
    story: tuple[World, Rules], hours: timedelta
) -> None:
    world, rules = story
    now = NOW + hours
    for step in planned(world, rules, now).steps:
        assert step.wake_at is None or step.wake_at > now


@given(stories(), HOURS, st.integers(0, 999))
def test_until_the_next_such_moment_the_plan_is_the_same(
    story: tuple[World, Rules], hours: timedelta, part: int
) -> None:
    world, rules = story
    assert world.change.released_at is not None
    now = max(NOW + hours, world.change.released_at)
    made = planned(world, rules, now)
    wakes = [step.wake_at for step in made.steps if step.wake_at is not None]
    then = min(wakes, default=now + timedelta(days=60))
    assert planned(world, rules, now + (then - now) * part // 1000) == made


@given(stories(), HOURS, st.integers(0, 60 * 24))
def test_what_was_planned_for_a_system_stays_planned_whatever_day_it_is(
    story: tuple[World, Rules], hours: timedelta, more: int
) -> None:
    world, rules = story
    assert world.change.released_at is not None
    first = max(NOW + hours, world.change.released_at)
    before = {s.identity for s in changing(planned(world, rules, first).steps)}
    later = first + timedelta(hours=more)
    assert before <= {s.identity for s in changing(planned(world, rules, later).steps)}


@given(stories())
def test_planned_at_each_of_its_moments_it_comes_to_its_end_with_nothing_left_behind(
    story: tuple[World, Rules],
) -> None:
    world, rules = story
    assert world.change.released_at is not None
    book, known = Book(), learned(nothing(rules), *world.documents)
    now: datetime | None = world.change.released_at
    moments = 0
    while now is not None:
        book.plan(decide(world.change, known, now)[0])
        book.work()
        assert all(wake > now for wake in book.wakes())
        now = next(iter(book.wakes()), None)
        moments += 1
        assert moments < 40
    for approval in [i for i in book.open() if i.endswith("|approve")]:
        book.decide(approval, granted=True)
        book.work()
    left = {word_of(identity) for identity in book.left_behind}
    # Another suite is asked after a cut-over, and the old one is not any more.
    assert left <= ASKING
    # A contract that is missing for a plant is all that is left, and the end that is told.
    assert {word_of(identity) for identity in book.open()} <= {
        "await-fact",
        "announce",
        "reconcile",
    }


@given(stories(), HOURS)
def test_a_plan_that_is_made_twice_changes_nothing_in_its_ledger(
    story: tuple[World, Rules], hours: timedelta
) -> None:
    world, rules = story
    made = planned(world, rules, NOW + hours)
    steps = [
        ledger.LedgerStep(
            id=number,
            identity=insert.step.identity,
            generation=insert.generation,
            kind=insert.step.kind,
            state="waiting",
            version=1,
            digest=insert.digest,
            depends_on=insert.step.depends_on,
            watched=ledger.watched_fact(insert.step),
            wake_at=insert.step.wake_at,
            due_at=(insert.due_from or NOW) + timedelta(seconds=insert.step.due_s),
        )
        for number, insert in enumerate(ledger.diff([], made).inserts)
    ]
    assert ledger.diff(steps, made) == ledger.PlanDiff((), (), (), ())
