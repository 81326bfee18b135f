"""Suppliers and orders go on into the systems that a route names, and never back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from canonical.effects import Plan, Put, Step
from canonical.envelope import Envelope, Message
from canonical.facts import Document, Facts
from canonical.operations import PutOrder, PutSupplier
from canonical.order import OrderLine, PurchaseOrder
from canonical.quantity import Quantity
from canonical.rules import Route, Rules
from canonical.supplier_master import SupplierMaster, SupplierMasterPatch
from handlers.flows.master_data import ORDER_CHANGED, SUPPLIER_MASTER_CHANGED
from tests.fixtures.gearbox import NOW, RULES, facts

TODAY = NOW.date()
LONG_AGO = date(2020, 1, 1)
SAID_AT = datetime(2026, 3, 1, tzinfo=UTC)


def rules(*routes: Route, **stated: Any) -> Rules:
    """Everything is of the ERP; these routes on top."""
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes), **stated)


def to(system: str, kind: str, plant: str = "*", from_day: date = LONG_AGO) -> Route:
    return Route(kind, plant, system, from_day)


TOLD = rules(to("procurement", "supplier"), to("procurement", "purchase-order"))


def order(*plants: str, **stated: Any) -> PurchaseOrder:
    """PO-1 of the ERP, with a line for each of the plants."""
    lines = tuple(
        OrderLine(str(n), "PIN", Quantity(Decimal(5), "H87"), plant=plant)
        for n, plant in enumerate(plants, start=1)
    )
    plain = PurchaseOrder("PO-1", 7, "S-1", "EUR", lines, stated_at=SAID_AT, origin="erp")
    return msgspec.structs.replace(plain, **stated)


def patch(**stated: Any) -> SupplierMasterPatch:
    """What the ERP says of S-1."""
    plain = SupplierMasterPatch("S-1", 7, name="Seals", stated_at=SAID_AT, origin="erp")
    return msgspec.structs.replace(plain, **stated)


def decided(payload: Any, known: Facts) -> tuple[Document, Plan | None]:
    """The document that is stored, and the plan beside it."""
    is_order = isinstance(payload, PurchaseOrder)
    handler = ORDER_CHANGED if is_order else SUPPLIER_MASTER_CHANGED
    message = Message(Envelope("1", "layshaft", handler.types[0], payload.number), payload)
    put, *plans = handler.decide(message, known, NOW)
    assert isinstance(put, Put)
    assert len(plans) <= 1
    plan = plans[0] if plans else None
    assert plan is None or isinstance(plan, Plan)
    return put.document, plan


def systems(payload: Any, told: Rules = TOLD, *known: Document) -> list[str]:
    """Who gets it."""
    _, plan = decided(payload, facts(*known, rules=told))
    return [step.system for step in plan.steps] if plan else []


# --- plans ---


def test_an_order_is_planned_under_its_number_by_the_version_of_its_statement() -> None:
    stored, plan = decided(order("1010"), facts(rules=TOLD))
    assert stored == order("1010")
    assert plan == Plan(
        "purchase-order/PO-1",
        7,
        "Order PO-1",
        (
            Step(
                plant="",
                system="procurement",
                object_kind="purchase-order",
                object_id="PO-1",
                operation=PutOrder(order("1010", version=0, stated_at=None, organisation="1000")),
                owner="procurement",
            ),
        ),
    )


def test_a_supplier_is_planned_as_it_is_after_the_patch() -> None:
    before = SupplierMaster("S-1", 5, name="Seal", city="Ulm", origin="erp")
    after = msgspec.structs.replace(before, version=7, name="Seals", stated_at=SAID_AT)
    stored, plan = decided(patch(), facts(before, rules=TOLD))
    assert stored == after
    assert plan == Plan(
        "supplier-master/S-1",
        7,
        "Supplier S-1",
        (
            Step(
                plant="",
                system="procurement",
                object_kind="supplier",
                object_id="S-1",
                operation=PutSupplier(msgspec.structs.replace(after, version=0, stated_at=None)),
                owner="master data",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("plants", "stated", "organisation"),
    [
        (("1010", "1010"), "", "1000"),
        (("2010",), "", "2010"),
        (("1010",), "3000", "3000"),
        (("1010", "2010"), "", ""),
        (("1010", ""), "", ""),
        (("9999",), "", ""),
        ((), "", ""),
    ],
)
def test_an_order_that_names_no_organisation_is_of_the_one_that_buys_for_its_plants(
    plants: tuple[str, ...], stated: str, organisation: str
) -> None:
    stored, plan = decided(order(*plants, organisation=stated), facts(rules=TOLD))
    assert isinstance(stored, PurchaseOrder)
    assert stored.organisation == stated
    assert plan is not None
    (step,) = plan.steps
    assert isinstance(step.operation, PutOrder)
    assert step.operation.order.organisation == organisation


def test_what_is_said_again_asks_for_nothing_else() -> None:
    first = decided(order("1010"), facts(rules=TOLD))[1]
    again = decided(order("1010", version=8), facts(order("1010"), rules=TOLD))[1]
    assert first is not None
    assert again is not None
    assert (first.version, again.version) == (7, 8)
    assert first.steps == again.steps


def test_a_step_is_late_when_the_rules_say_so() -> None:
    quick = msgspec.structs.replace(TOLD, due_s={"put-order": 600})
    _, plan = decided(order("1010"), facts(rules=quick))
    assert plan is not None
    assert [step.due_s for step in plan.steps] == [600]


# --- who gets it ---


def test_without_a_route_of_its_kind_nothing_goes_anywhere() -> None:
    assert systems(order("1010"), RULES) == []
    assert systems(patch(), rules(to("procurement", "purchase-order"))) == []


def test_routes_of_one_day_stand_beside_each_other_and_a_later_one_takes_their_place() -> None:
    two = (to("archive", "supplier"), to("procurement", "supplier"))
    assert systems(patch(), rules(*two)) == ["archive", "procurement"]
    assert systems(patch(), rules(*two, to("suite", "supplier", from_day=TODAY))) == ["suite"]
    tomorrow = date(2026, 3, 3)
    assert systems(patch(), rules(to("suite", "supplier", from_day=tomorrow))) == []


def test_an_order_goes_to_the_systems_of_all_its_plants() -> None:
    told = rules(
        to("suite", "purchase-order"),
        to("local", "purchase-order", plant="2010"),
        to("other", "purchase-order", plant="3010"),
    )
    assert systems(order("1010"), told) == ["suite"]
    assert systems(order("2010"), told) == ["local"]
    assert systems(order("1010", "2010"), told) == ["local", "suite"]
    assert systems(order(""), told) == ["suite"]


def test_an_order_without_lines_is_told_to_whoever_may_have_it() -> None:
    told = rules(to("local", "purchase-order", plant="2010"), to("suite", "purchase-order"))
    assert systems(order(), told) == ["local", "suite"]


# --- never back ---


def test_nothing_goes_back_to_the_system_it_comes_from() -> None:
    both = rules(
        *(to(s, kind) for s in ("erp", "procurement") for kind in ("supplier", "purchase-order"))
    )
    assert systems(order("1010"), both) == ["procurement"]
    assert systems(order("1010", origin="procurement"), both) == ["erp"]
    assert systems(patch(), both) == ["procurement"]


def test_what_another_system_says_of_an_order_goes_nowhere_and_leaves_its_origin() -> None:
    copy = order("1010", version=8, origin="procurement")
    both = rules(to("erp", "purchase-order"), to("procurement", "purchase-order"))
    stored, plan = decided(copy, facts(order("1010"), rules=both))
    assert plan is None
    assert stored == order("1010", version=8)


def test_what_another_system_says_of_a_supplier_goes_nowhere_and_leaves_its_origin() -> None:
    known = SupplierMaster("S-1", 5, origin="erp")
    stored, plan = decided(patch(origin="erp-2"), facts(known, rules=TOLD))
    assert plan is None
    assert isinstance(stored, SupplierMaster)
    assert (stored.origin, stored.name) == ("erp", "Seals")


def test_an_origin_that_nobody_knew_is_that_of_the_next_statement() -> None:
    known = order("1010", version=5, origin=UNSET)
    stored, plan = decided(order("1010"), facts(known, rules=TOLD))
    assert isinstance(stored, PurchaseOrder)
    assert stored.origin == "erp"
    assert plan is not None
    supplier, _ = decided(patch(), facts(SupplierMaster("S-1", 5), rules=TOLD))
    assert isinstance(supplier, SupplierMaster)
    assert supplier.origin == "erp"


def test_without_a_known_origin_nothing_goes_anywhere() -> None:
    assert systems(order("1010", origin=UNSET)) == []
    assert systems(patch(origin=UNSET)) == []


# --- order of statements ---


def test_what_is_older_than_what_is_known_is_not_planned() -> None:
    assert systems(order("1010"), TOLD, order("1010", version=8)) == []
    newer = SupplierMaster("S-1", 8, stated_at=SAID_AT, origin="erp")
    assert systems(patch(), TOLD, newer) == []


def test_what_is_decided_again_on_its_own_statement_is_planned_as_before() -> None:
    _, first = decided(order("1010"), facts(rules=TOLD))
    stored, again = decided(order("1010"), facts(order("1010"), rules=TOLD))
    assert (stored, again) == (order("1010"), first)
    known, plan = decided(patch(), facts(rules=TOLD))
    assert decided(patch(), facts(known, rules=TOLD)) == (known, plan)
