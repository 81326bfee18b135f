"""Statements of several systems about one object, one after the other, as the runtime takes them:
what is kept, who is asked, and how a question ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.decision import Context, Desk, Verdict
from broker.intake import Arrival, read_arrival
from broker.policy import Done, RetryPolicy, Schedule
from canonical.codec import encode
from canonical.effects import Open, Plan, Put
from canonical.events import EVENTS, SOURCE, AcceptedValue, ForeignValuesAccepted
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMasterPatch, PlantPatch
from canonical.operations import Announce, Approve, AwaitFact
from canonical.ownership import Ownership
from canonical.quantity import Quantity
from canonical.rules import Route, Rules
from canonical.supplier_master import CompanyPatch, SupplierMasterPatch
from handlers import HANDLERS
from tests.fixtures.gearbox import NOW, RULES, item

DAY = datetime(2026, 3, 1, tzinfo=UTC)
PLM = (Ownership("item", "plm"), Ownership("item", "erp", "measures"))


class World:
    """What is known, and what came of the last statement."""

    def __init__(self, *rows: Ownership, routes: tuple[Route, ...] = ()) -> None:
        rules = msgspec.structs.replace(RULES, ownership=rows, routes=(*RULES.routes, *routes))
        self.rules: Rules = rules
        policy = RetryPolicy(transient=Schedule((2,)), defect=Schedule((2,), 1))
        self.desk = Desk(Context(rules=rules, policy=policy, now=NOW, jitter=lambda: 0.5))
        self.said = 0
        self.last = Verdict(
            read_arrival(arrival("item.released", "item/X", item("X")), handler), Done()
        )

    def hear(self, event: str, key: str, data: msgspec.Struct) -> World:
        self.said += 1
        work = read_arrival(arrival(event, key, data, str(self.said)), handler)
        assert work.failure is None, work.failure
        self.last = self.desk.fold(self.desk.decide(work))
        assert isinstance(self.last.fate, Done), self.last.fate
        return self

    def item(self, source: str, *, day: int = 1, **stated: Any) -> World:
        """PIN as the source has it on that day of March."""
        at = DAY + timedelta(days=day)
        said = item("PIN", stated_at=at, released_at=DAY, origin=source, **stated)
        return self.hear("item.released", "item/PIN", said)

    def supplier(self, source: str, *, day: int = 1, **stated: Any) -> World:
        said = SupplierMasterPatch("S-1", day, stated_at=DAY, origin=source, **stated)
        return self.hear("supplier-master.changed", "supplier-master/S-1", said)

    def master(self, source: str, *, day: int = 1, **stated: Any) -> World:
        said = ItemMasterPatch("PIN", day, origin=source, **stated)
        return self.hear("item.changed", "item-master/PIN", said)

    def accept(self) -> World:
        """The person who is asked says yes."""
        (announce,) = [
            step.operation
            for step in self.plan.steps
            if isinstance(step.operation, Announce)
            and step.operation.event == "foreign-values.accepted"
        ]
        data = msgspec.json.decode(announce.data, type=ForeignValuesAccepted)
        return self.hear("foreign-values.accepted", announce.key, data)

    def known(self, key: str) -> Any:
        found = self.desk.known.get(key)
        return found.document if found else None

    @property
    def pin(self) -> Any:
        return self.known("item/PIN")

    @property
    def plans(self) -> list[Plan]:
        return [each for each in self.last.effects if isinstance(each, Plan)]

    @property
    def plan(self) -> Plan:
        (plan,) = (each for each in self.plans if each.key.startswith("ownership/"))
        return plan

    @property
    def question(self) -> Approve | None:
        asked = [s.operation for p in self.plans for s in p.steps]
        return next((each for each in asked if isinstance(each, Approve)), None)

    @property
    def cases(self) -> list[Open]:
        return [each for each in self.last.effects if isinstance(each, Open)]


def arrival(event: str, key: str, data: msgspec.Struct, number: str = "0") -> Arrival:
    attributes = {"type": EVENTS[event].type, "id": number, "subject": key, "source": SOURCE}
    delivery = Delivery(SOURCE, event, encode(data), "application/json", attributes=attributes)
    return Arrival(delivery, "standard", "q")


def handler(delivery: Delivery) -> Any:
    return HANDLERS[SOURCE, delivery.kind]


# A statement of the whole


def test_what_a_non_owner_may_write_applies_and_the_rest_is_asked() -> None:
    world = World(*PLM).item("plm", description="Pin", weight=None)
    assert world.plans == []
    world.item("erp", day=2, description="Bolt", phase="X")
    assert world.pin.description == "Pin"
    question = world.question
    assert question is not None
    assert question.text == "May erp change 1 value of item/PIN, which plm owns?"
    assert question.evidence == ('description (plm\'s): "Pin" -> "Bolt"',)
    (case,) = world.cases
    assert (case.code, case.word, case.owner) == (
        "foreign-values",
        "ownership_conflict",
        "engineering",
    )
    assert case.where == "erp: dispute 1 of item/PIN"
    assert '"Pin" -> "Bolt"' in case.what


def test_equal_values_are_no_conflict() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Pin")
    assert (world.plans, world.cases) == ([], [])


def test_a_second_statement_that_says_the_same_asks_the_same() -> None:
    world = World(*PLM).item("plm").item("erp", day=2, description="Bolt")
    first = world.plan
    world.item("erp", day=3, description="Bolt")
    asked = [
        [s.operation for s in p.steps if not isinstance(s.operation, AwaitFact)]
        for p in (first, world.plan)
    ]
    assert asked[0] == asked[1]
    assert world.plan.version > first.version


def test_the_owners_late_statement_still_counts() -> None:
    world = World(*PLM).item("plm", day=1, description="Pin")
    world.item("erp", day=9, description="Pin", weight=None)
    world.item("plm", day=5, description="Bolt")
    assert world.pin.description == "Bolt"


def test_an_older_statement_of_the_same_system_is_stale() -> None:
    world = World(*PLM).item("plm", day=5, description="Bolt")
    world.item("plm", day=3, description="Pin")
    assert (world.pin.description, world.last.fate) == ("Bolt", Done("stale"))


def test_no_order_of_arrival_changes_what_is_kept() -> None:
    said = (("plm", 1, "Pin"), ("erp", 2, "Bolt"), ("plm", 3, "Pin 2"), ("suite", 4, "Screw"))
    found = set()
    for order in permutations(said):
        world = World(*PLM)
        for source, day, description in order:
            world.item(source, day=day, description=description)
        found.add(world.pin.description)
    assert found == {"Pin 2"}


def test_a_question_is_over_once_the_other_system_agrees() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Bolt")
    world.item("erp", day=3, description="Pin")
    assert (world.plan.steps, world.cases) == ((), [])
    world.item("erp", day=4, description="Pin")
    assert world.plans == []


def test_a_question_is_over_once_its_owner_takes_the_value_over() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Bolt")
    disputed = world.last.work
    world.item("plm", day=3, description="Bolt")
    # What the plan waits for has come: its message is decided anew.
    world.last = world.desk.fold(world.desk.decide(disputed))
    assert (world.plan.steps, world.cases) == ((), [])
    assert world.pin.description == "Bolt"


def test_a_plan_made_anew_without_news_writes_nothing_and_asks_the_same() -> None:
    world = World(*PLM).item("plm").item("erp", day=2, description="Bolt")
    question = world.question
    world.last = world.desk.fold(world.desk.decide(world.last.work))
    assert world.question == question
    assert [each for each in world.last.effects if isinstance(each, Put)] == []


def test_what_is_accepted_is_known_and_the_question_over() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Bolt")
    disputed = world.last.work
    world.accept()
    assert world.pin.description == "Bolt"
    world.last = world.desk.fold(world.desk.decide(disputed))
    assert world.plan.steps == ()


def test_what_was_accepted_is_not_taken_over_any_more_where_the_owner_spoke_meanwhile() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Bolt")
    asked = world.last
    world.item("plm", day=3, description="Pin 2")
    world.last = asked
    world.accept()
    assert world.pin.description == "Pin 2"
    world.last = world.desk.fold(world.desk.decide(asked.work))
    assert world.question is not None
    assert world.question.evidence == ('description (plm\'s): "Pin 2" -> "Bolt"',)


def test_a_dispute_that_comes_back_is_asked_about_again() -> None:
    world = World(*PLM).item("plm", description="Pin").item("erp", day=2, description="Bolt")
    first, disputed = world.question, world.last.work
    world.accept()
    world.last = world.desk.fold(world.desk.decide(disputed))
    world.item("plm", day=5, description="Pin").item("erp", day=6, description="Bolt")
    assert world.question is not None
    assert first is not None
    assert (world.question.evidence, world.question.covers != first.covers) == (
        first.evidence,
        True,
    )
    assert world.cases[0].where == "erp: dispute 2 of item/PIN"


def test_an_object_that_only_its_owner_may_bring_in_waits_for_that() -> None:
    world = World(*PLM).item("erp", day=2, description="Bolt")
    assert world.known("item/PIN") is None
    assert world.question is not None
    assert world.question.text == "May erp bring in item/PIN?"
    world.accept()
    assert world.pin.description == "Bolt"


def test_what_a_non_owner_may_write_of_it_applies_once_its_owner_has_brought_it_in() -> None:
    weight = Quantity(Decimal(2), "KGM")
    world = World(*PLM).item("erp", day=2, weight=weight)
    waiting = world.last.work
    world.item("plm", day=3)
    assert world.pin.weight is None
    world.last = world.desk.fold(world.desk.decide(waiting))
    assert world.pin.weight == weight


def test_without_rows_the_last_statement_counts_and_nothing_else_is_written() -> None:
    world = World().item("plm", day=1, description="Pin").item("erp", day=2, description="Bolt")
    assert world.pin.description == "Bolt"
    assert set(world.desk.known) == {"item/PIN"}
    world.item("plm", day=1, description="Pin")
    assert world.last.fate == Done("stale")


def test_who_says_it_is_no_part_of_an_item_on_record() -> None:
    for rows in ((), PLM):
        assert "origin" not in json.loads(encode(World(*rows).item("plm").pin))


def test_all_that_a_statement_is_decided_on_is_asked_for_at_once() -> None:
    rules = msgspec.structs.replace(RULES, ownership=(*PLM, Ownership("item-master", "erp")))
    for event, key, data in (
        ("item.released", "item/PIN", item("PIN")),
        ("item.changed", "item-master/PIN", ItemMasterPatch("PIN", 1)),
    ):
        asked = HANDLERS[SOURCE, event]
        message = asked.read(arrival(event, key, data).delivery)
        assert asked.needs(message, Facts(rules)) == {key, f"heard/{key}"}
        assert asked.needs(message, Facts(RULES)) == {key}


# Patches

PAYMENT = (Ownership("supplier-master", "erp", "payment"),)


def company(code: str, terms: str | None) -> tuple[CompanyPatch, ...]:
    return (CompanyPatch(code, payment_terms=terms),)


def test_disputed_values_of_several_patches_stay_until_each_is_settled() -> None:
    world = World(*PAYMENT).supplier("erp", companies=company("10", "NT30"), city="Ulm")
    world.supplier("suite", day=2, companies=company("10", "NT60"), city="Bonn")
    world.supplier("suite", day=3, companies=company("20", "NT90"))
    assert world.known("supplier-master/S-1").city == "Bonn"
    assert world.question is not None
    assert world.question.evidence == (
        'companies[10].payment_terms (erp\'s): "NT30" -> "NT60"',
        'companies[20].payment_terms (erp\'s): "" -> "NT90"',
    )
    world.supplier("suite", day=4, companies=company("10", "NT30"))
    left = world.question
    assert left is not None
    assert left.evidence == ('companies[20].payment_terms (erp\'s): "" -> "NT90"',)
    world.accept()
    (first, second) = world.known("supplier-master/S-1").companies
    assert (first.payment_terms, second.payment_terms) == ("NT30", "NT90")


def test_what_the_owner_says_of_other_values_is_not_undone_by_what_is_accepted() -> None:
    rows = (Ownership("item-master", "erp"),)
    world = World(*rows).master("erp", plants=(PlantPatch("1010", status="A"),))
    world.master("suite", day=2, plants=(PlantPatch("1010", status="B"),))
    asked = world.last
    world.master("erp", day=3, plants=(PlantPatch("2010", status="C"),))
    world.last = asked
    world.accept()
    found = {view.plant: view.status for view in world.known("item-master/PIN").plants}
    assert found == {"1010": "B", "2010": "C"}


def test_what_nobody_owns_is_as_it_was_said_last() -> None:
    world = World(*PAYMENT).supplier("suite", day=5, city="Bonn")
    world.supplier("erp", day=3, city="Ulm", companies=company("10", "NT30"))
    master = world.known("supplier-master/S-1")
    assert (master.city, master.companies[0].payment_terms) == ("Bonn", "NT30")
    assert [put.key for put in world.last.stale] == ["heard/supplier-master/S-1"]


def test_so_it_is_where_it_was_said_before_anybody_owned_anything() -> None:
    world = World().supplier("suite", day=5, city="Bonn")
    ruled = World(*PAYMENT)
    ruled.desk.add(["supplier-master/S-1"], dict(world.desk.documents))
    ruled.supplier("erp", day=3, city="Ulm", companies=company("10", "NT30"))
    master = ruled.known("supplier-master/S-1")
    assert (master.city, master.companies[0].payment_terms) == ("Bonn", "NT30")
    assert [put.key for put in ruled.last.stale] == ["supplier-master/S-1"]


# What is sent on

TO_SUITE = Route("supplier", "*", "third", RULES.routes[0].from_day)


def systems(plans: Iterable[Plan]) -> set[str]:
    return {
        step.system
        for plan in plans
        if plan.key.startswith("supplier-master/")
        for step in plan.steps
    }


@pytest.mark.parametrize(
    ("rows", "spoken"),
    [
        ((), {"suite"}),
        (PAYMENT, {"suite"}),
        ((*PAYMENT, Ownership("supplier-master", "suite")), {"suite", "erp"}),
    ],
)
def test_the_origin_speaks_and_where_all_has_owners_each_of_them(
    rows: tuple[Ownership, ...], spoken: set[str]
) -> None:
    world = World(*rows, routes=(TO_SUITE,)).supplier("suite", name="Seals")
    sent = {"suite"} if systems(world.plans) else set()
    world.supplier("erp", day=2, companies=company("10", "NT30"))
    sent |= {"erp"} if systems(world.plans) else set()
    assert sent == spoken


# What cannot be


def test_values_that_an_entity_does_not_have_are_refused() -> None:
    world = World(*PLM).item("plm")
    said = ForeignValuesAccepted("item/PIN", "erp", 1, (AcceptedValue(("nothing",), "", ""),))
    with pytest.raises(AssertionError, match="value-unknown"):
        world.hear("foreign-values.accepted", "item/PIN", said)


# In any order


class Said(NamedTuple):
    """A statement of a system."""

    source: str
    day: int
    description: str
    family: str
    weight: int | None


def statements() -> st.SearchStrategy[list[Said]]:
    one = st.builds(
        Said,
        st.sampled_from(("plm", "erp", "suite")),
        st.just(0),
        st.sampled_from(("Pin", "Bolt")),
        st.sampled_from(("Gearboxes", "Motors")),
        st.sampled_from((None, 1, 2)),
    )
    # At one time each: of two at the same time nobody can tell which is the later one.
    return st.lists(one, min_size=1, max_size=6).map(
        lambda said: [each._replace(day=day) for day, each in enumerate(said, start=1)]
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[Ownership, ...]:
    """The PLM brings items in; the rest is anybody's or nobody's."""
    brings = (Ownership("item", "plm", "revision"), Ownership("item", "plm", "lifecycle"))
    others = (
        Ownership("item", draw(st.sampled_from(("plm", "erp", "suite"))), group)
        for group in draw(st.sets(st.sampled_from(("measures", "compliance"))))
    )
    return (
        *brings,
        *draw(st.sampled_from(((), (Ownership("item", "plm", "definition"),)))),
        *others,
    )


def after(table: tuple[Ownership, ...], said: Iterable[Said]) -> World:
    """What is known once all that waits has been decided again."""
    world = World(*table)
    disputed: dict[str, Any] = {}
    for each in said:
        world.item(
            each.source,
            day=each.day,
            description=each.description,
            family=each.family,
            weight=Quantity(Decimal(each.weight), "KGM") if each.weight else None,
        )
        for _ in range(3):
            for plan in world.plans:
                disputed[plan.key] = world.last.work if plan.steps else None
            for work in [one for one in disputed.values() if one is not None]:
                world.last = world.desk.fold(world.desk.decide(work))
                for plan in world.plans:
                    disputed[plan.key] = work if plan.steps else None
    return world


@settings(max_examples=60)
@given(tables(), statements(), st.data())
def test_what_is_known_does_not_hang_on_the_order_in_which_statements_come(
    table: tuple[Ownership, ...], said: list[Said], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(said))
    one, other = after(table, said), after(table, shuffled)
    known = [world.known("item/PIN") for world in (one, other)]
    found = [None if each is None else replace(each, stated_at=None) for each in known]
    assert found[0] == found[1]


@settings(max_examples=60)
@given(tables(), statements())
def test_a_value_that_is_owned_is_what_its_owner_said_last(
    table: tuple[Ownership, ...], said: list[Said]
) -> None:
    item_known = after(table, said).known("item/PIN")
    owner = next((row.owner for row in table if row.group == "definition"), "")
    by_owner = [each for each in said if each.source == owner]
    if owner and by_owner:
        assert item_known.description == by_owner[-1].description
    assert (item_known is None) == all(each.source != "plm" for each in said)


def test_of_two_that_have_read_the_same_the_second_finds_that_it_has() -> None:
    """Statements and answers are decided in different order scopes: nothing else tells them."""
    orders = set()
    for act in ("state", "accept"):
        world = World(*PLM).item("plm").item("erp", day=2, description="Bolt")
        before = world.desk.documents["heard/item/PIN"]
        if act == "state":
            world.item("plm", day=9, description="Pin 2")
        else:
            world.accept()
        (heard,) = (
            each
            for each in world.last.effects
            if isinstance(each, Put) and each.key == "heard/item/PIN"
        )
        assert heard.order == (before.version, before.stated + 1)
        orders.add(heard.order)
    assert len(orders) == 1
