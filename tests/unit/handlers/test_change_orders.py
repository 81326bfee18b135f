"""Open order lines on a superseded revision are put before their buyers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from canonical.change import AffectedItem, Disposition
from canonical.effectivity import DateEffectivity
from canonical.effects import Plan, Step
from canonical.money import Money, UnitPrice
from canonical.operations import Approve
from canonical.order import OrderedLine, OrderLine, PurchaseOrder, ScheduleLine, line_now
from canonical.quantity import Quantity
from handlers.flows.change_orders import OPEN_ORDER
from handlers.flows.change_scope import facts_needed
from tests.fixtures.gearbox import NOW, RULES, change, decide, facts, item, named, plan

BOLT = item("BOLT-1")
STATED = change("BOLT-1", plants=("1010", "2010"))
BEFORE, LATER, LATEST = date(2026, 2, 1), date(2026, 4, 1), date(2026, 6, 1)


def pieces(amount: str, unit: str = "H87") -> Quantity:
    return Quantity(Decimal(amount), unit)


def on(*days: date | None) -> tuple[ScheduleLine, ...]:
    return tuple(ScheduleLine(pieces("5"), day) for day in days)


def ordered(number: str = "10", part: str = "BOLT-1", **stated: Any) -> OrderLine:
    defaults: dict[str, Any] = {"revision": "A", "plant": "1010"}
    return OrderLine(number, part, stated.pop("quantity", pieces("500")), **defaults | stated)


def order(*lines: OrderLine, number: str = "45001", **stated: Any) -> PurchaseOrder:
    return PurchaseOrder(number, 1, "S-1", "EUR", lines, **stated)


def questions(made: Plan) -> dict[str, Step]:
    return {
        step.object_id: step
        for step in made.steps
        if isinstance(step.operation, Approve) and step.operation.question == OPEN_ORDER
    }


def asked_about(*lines: OrderLine, stated: Any = STATED, **of_order: Any) -> list[str]:
    return sorted(questions(plan(stated, BOLT, order(*lines, **of_order))))


def line_of(step: Step) -> OrderedLine:
    assert isinstance(step.operation, Approve)
    assert step.operation.order_line is not None
    return step.operation.order_line


def test_a_buyer_is_asked_about_each_line_with_all_that_is_known_of_it() -> None:
    row = AffectedItem("BOLT-1", "B", "A", dispositions=(Disposition("on_order", "Cancel"),))
    price = UnitPrice(Money(Decimal("25.00"), "EUR"), pieces("100"))
    made = plan(
        change(row, plants=("1010",)), BOLT, order(ordered(price=price, schedule=on(LATEST, LATER)))
    )
    (step,) = questions(made).values()
    assert step.identity == "1010|purchasing|order-line|45001/10|approve"
    assert (step.owner, step.fact, step.seen) == ("purchasing", "open-orders/BOLT-1", 1)
    assert step.operation == Approve(
        "open-order",
        "What becomes of BOLT-1 on order 45001/10, now that ECO-7 releases B?",
        (
            "supplier: S-1",
            "quantity: 500 H87",
            "delivery: 2026-04-01",
            "value: 125.00 EUR",
            "ordered revision: A",
            "PLM on what is on order: Cancel",
        ),
        choices=("as-ordered", "new-revision", "cancel"),
        order_line=OrderedLine(
            order="45001",
            line="10",
            item="BOLT-1",
            supplier="S-1",
            quantity=pieces("500"),
            revision="A",
            plant="1010",
            on=LATER,
            value=Money(Decimal("125.00"), "EUR"),
            disposition="Cancel",
        ),
    )


def test_the_change_is_not_complete_before_every_line_is_decided_on() -> None:
    made = plan(STATED, BOLT, order(ordered(), ordered("20")))
    completed = named(made, "|layshaft|engineering-change|ECO-7|announce")
    assert {step.identity for step in questions(made).values()} <= set(completed.depends_on)
    # And nothing else waits for a buyer.
    behind = [
        s for s in made.steps if "1010|purchasing|order-line|45001/10|approve" in s.depends_on
    ]
    assert behind == [completed]


@pytest.mark.parametrize(
    ("line", "is_asked"),
    [
        (ordered(revision="A"), True),
        (ordered(revision="B"), False),
        (ordered(revision="C"), False),
        (ordered(revision="??"), True),
        (ordered(revision=""), True),
        (ordered(plant="2010"), True),
        (ordered(plant=""), True),
        (ordered(plant="9999"), False),
        (ordered(part="OTHER"), False),
    ],
)
def test_only_lines_on_an_older_revision_in_a_plant_of_the_change_are_asked_about(
    line: OrderLine, is_asked: bool
) -> None:
    assert asked_about(line) == (["45001/10"] if is_asked else [])


@pytest.mark.parametrize(
    ("ordered_on", "is_asked"),
    [(None, True), (date(2026, 3, 1), True), (date(2026, 3, 2), False)],
)
def test_a_line_without_a_revision_is_of_what_held_when_it_was_ordered(
    ordered_on: date | None, is_asked: bool
) -> None:
    found = asked_about(ordered(revision=""), ordered_on=ordered_on)
    assert bool(found) is is_asked


@pytest.mark.parametrize("status", ["closed", "cancelled"])
def test_orders_that_are_not_open_are_no_question(status: Any) -> None:
    assert asked_about(ordered(), status=status) == []


@pytest.mark.parametrize(
    ("schedule", "is_asked"),
    [
        (on(LATER), False),  # delivered before the change holds
        (on(LATER, LATEST), True),
        (on(LATEST), True),
        (on(BEFORE), True),  # overdue: it comes whenever it comes
        (on(LATER, None), True),
        ((), True),
    ],
)
def test_what_is_delivered_before_the_change_takes_effect_is_no_question(
    schedule: tuple[ScheduleLine, ...], is_asked: bool
) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    later = msgspec.structs.replace(STATED, effectivity=DateEffectivity(start, None, "UTC"))
    assert bool(asked_about(ordered(schedule=schedule), stated=later)) is is_asked


def test_of_an_obsolete_part_every_line_is_a_question() -> None:
    row = AffectedItem("BOLT-1", "B", "B", lifecycle="obsolete")
    assert asked_about(ordered(revision="B"), stated=change(row, plants=("1010",))) == ["45001/10"]


def test_a_value_that_nobody_can_tell_is_left_out() -> None:
    price = UnitPrice(Money(Decimal("25.00"), "EUR"), pieces("1", "KGM"))
    (step,) = questions(plan(STATED, BOLT, order(ordered(price=price)))).values()
    assert line_of(step).value is None
    assert not any(said.startswith("value") for said in step.operation.evidence)  # type: ignore[union-attr]


def test_an_item_without_orders_watches_for_those_that_come() -> None:
    made = plan(STATED, BOLT)
    views = [s for s in made.steps if s.identity.endswith("|erp|item|BOLT-1|extend-to-plant")]
    assert [(view.fact, view.seen) for view in views] == [("open-orders/BOLT-1", 0)] * len(views)
    assert views
    assert "open-orders/BOLT-1" in facts_needed(STATED, facts())


def test_an_item_master_watches_for_a_newer_release_of_its_item() -> None:
    made = plan(STATED, BOLT)
    (master,) = [s for s in made.steps if s.identity == "|erp|item|BOLT-1|put-item"]
    assert (master.fact, master.seen) == ("item/BOLT-1", 1)


def test_the_role_and_the_choices_are_rules() -> None:
    rules = msgspec.structs.replace(
        RULES, approvers={OPEN_ORDER: "buyers"}, order_dispositions=("keep", "scrap")
    )
    (step,) = questions(plan(STATED, BOLT, order(ordered()), rules=rules)).values()
    assert step.system == "buyers"
    assert isinstance(step.operation, Approve)
    assert step.operation.choices == ("keep", "scrap")


def test_more_orders_than_are_read_are_a_finding() -> None:
    known = facts(BOLT, order(ordered()))
    cut = msgspec.structs.replace(known.open_orders("BOLT-1"), more=7)
    documents = dict(known.documents)
    documents["open-orders/BOLT-1"] = msgspec.structs.replace(
        documents["open-orders/BOLT-1"], document=cut
    )
    made, _ = decide(STATED, msgspec.structs.replace(known, documents=documents), NOW)
    (finding,) = [f for f in made.findings if f.code == "open-orders-cut"]
    assert finding.what == "7 further open orders of BOLT-1 are not asked about"


# --- what has become of a line since ---


DAY = date(2026, 4, 1)
ASKED = OrderedLine("45001", "10", "BOLT-1", "S-1", pieces("500"), "A", "1010", DAY)
AS_ASKED = ordered(schedule=(ScheduleLine(pieces("500"), DAY),))


@pytest.mark.parametrize(
    ("stated", "now"),
    [
        (order(AS_ASKED), "as-it-was"),
        (order(ordered("20"), AS_ASKED), "as-it-was"),
        (order(msgspec.structs.replace(AS_ASKED, description="Bolt")), "as-it-was"),
        (order(msgspec.structs.replace(AS_ASKED, quantity=pieces("100"))), "changed"),
        (order(msgspec.structs.replace(AS_ASKED, revision="B")), "changed"),
        (order(msgspec.structs.replace(AS_ASKED, item="BOLT-2")), "changed"),
        (order(msgspec.structs.replace(AS_ASKED, plant="2010")), "changed"),
        (order(msgspec.structs.replace(AS_ASKED, schedule=())), "changed"),
        (msgspec.structs.replace(order(AS_ASKED), supplier="S-2"), "changed"),
        (order(ordered("20")), "gone"),
        (order(AS_ASKED, status="cancelled"), "gone"),
        (order(AS_ASKED, status="closed"), "gone"),
        (None, "unknown"),
    ],
)
def test_what_has_become_of_a_line_is_told_by_what_was_asked_about(
    stated: PurchaseOrder | None, now: str
) -> None:
    assert line_now(ASKED, stated) == now


def test_a_line_without_a_day_is_as_it_was_while_it_has_none() -> None:
    asked = msgspec.structs.replace(ASKED, on=None)
    assert line_now(asked, order(ordered())) == "as-it-was"
    assert line_now(asked, order(AS_ASKED)) == "changed"
