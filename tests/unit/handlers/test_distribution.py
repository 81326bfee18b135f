"""Suppliers, orders, contracts and source lists go on into the systems that a route names, and
never back."""

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
from canonical.handler import Handler
from canonical.money import Money
from canonical.operations import PutContract, PutOrder, PutSourceList, PutSupplier
from canonical.order import OrderLine, PurchaseOrder
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity
from canonical.rules import Route, Rules
from canonical.source_list import Source, SourceList
from canonical.supplier_master import SupplierMaster, SupplierMasterPatch
from handlers.flows.master_data import (
    CONTRACT_CHANGED,
    ORDER_CHANGED,
    SOURCE_LIST_CHANGED,
    SUPPLIER_MASTER_CHANGED,
)
from tests.fixtures.gearbox import NOW, RULES, facts

TODAY = NOW.date()
LONG_AGO = date(2020, 1, 1)
SAID_AT = datetime(2026, 3, 1, tzinfo=UTC)


def rules(*routes: Route, **stated: Any) -> Rules:
    """Everything is of the ERP; these routes on top."""
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes), **stated)


def to(system: str, kind: str, plant: str = "*", from_day: date = LONG_AGO) -> Route:
    return Route(kind, plant, system, from_day)


KINDS = ("supplier", "purchase-order", "purchase-contract", "source-list")
TOLD = rules(*(to("procurement", kind) for kind in KINDS))


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


def contract(*plants: tuple[str, ...], **stated: Any) -> PurchaseContract:
    """C-1 of the ERP, with a line for each of these groups of plants."""
    lines = tuple(
        ContractLine(str(n), item="PIN", plants=limited)
        for n, limited in enumerate(plants, start=1)
    )
    plain = PurchaseContract(
        "C-1", 7, "S-1", "active", LONG_AGO, lines=lines, stated_at=SAID_AT, origin="erp"
    )
    return msgspec.structs.replace(plain, **stated)


def sources(*suppliers: str, **stated: Any) -> SourceList:
    """From whom plant 1010 of the ERP may buy PIN."""
    rows = tuple(Source(LONG_AGO, supplier=supplier) for supplier in suppliers)
    plain = SourceList("PIN", "1010", 7, rows, stated_at=SAID_AT, origin="erp")
    return msgspec.structs.replace(plain, **stated)


HANDLERS: dict[Any, Handler] = {
    PurchaseOrder: ORDER_CHANGED,
    SupplierMasterPatch: SUPPLIER_MASTER_CHANGED,
    PurchaseContract: CONTRACT_CHANGED,
    SourceList: SOURCE_LIST_CHANGED,
}


def decided(payload: Any, known: Facts) -> tuple[Document, Plan | None]:
    """The document that is stored, and the plan beside it."""
    handler = HANDLERS[type(payload)]
    message = Message(Envelope("1", "layshaft", handler.types[0], "key"), payload)
    put, *others = handler.decide(message, known, NOW)
    assert isinstance(put, Put)
    plans = [effect for effect in others if isinstance(effect, Plan)]
    assert len(plans) <= 1
    return put.document, plans[0] if plans else None


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
                operation=PutOrder(
                    order("1010", version=0, stated_at=None, organisation="1000"), "C01"
                ),
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
    both = rules(*(to(s, kind) for s in ("erp", "procurement") for kind in KINDS))
    assert systems(order("1010"), both) == ["procurement"]
    assert systems(order("1010", origin="procurement"), both) == ["erp"]
    assert systems(patch(), both) == ["procurement"]
    assert systems(contract(()), both) == ["procurement"]
    assert systems(contract((), origin="procurement"), both) == ["erp"]
    assert systems(sources("S-1"), both) == ["procurement"]
    assert systems(sources("S-1", origin="procurement"), both) == ["erp"]


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
    assert systems(contract((), origin=UNSET)) == []
    assert systems(sources("S-1", origin=UNSET)) == []


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


@pytest.mark.parametrize(
    ("stated", "central", "group"),
    [
        (order("1010", "1010"), "", "C01"),
        (order("1010", "2010"), "", ""),
        (order("1010", "2010"), "Z99", "Z99"),
        (order("1010", ""), "Z99", "Z99"),
        (order(), "Z99", "Z99"),
        (contract(("2010",)), "Z99", "L01"),
        (contract(("1010", "2010")), "", ""),
        (contract(("1010", "2010")), "Z99", "Z99"),
        # For all plants the central group buys, and without one theirs, where they have one.
        (contract(()), "Z99", "Z99"),
        (contract(()), "", ""),
        (contract(), "Z99", "Z99"),
    ],
)
def test_who_buys_is_named_by_the_rules(
    stated: PurchaseOrder | PurchaseContract, central: str, group: str
) -> None:
    told = msgspec.structs.replace(TOLD, central_purchasing_group=central)
    _, plan = decided(stated, facts(rules=told))
    assert plan is not None
    [step] = plan.steps
    assert isinstance(step.operation, PutOrder | PutContract)
    assert step.operation.purchasing_group == group


# --- contracts and source lists ---


def test_a_contract_is_planned_without_what_was_ordered_on_it() -> None:
    drawn = ContractLine("1", item="PIN", released=Quantity(Decimal(3), "H87"), plants=("1010",))
    stated = contract(lines=(drawn,), released_value=Money(Decimal(9), "EUR"))
    stored, plan = decided(stated, facts(rules=TOLD))
    assert stored == stated
    wanted = contract(("1010",), version=0, stated_at=None, organisation="1000")
    assert plan == Plan(
        "contract/C-1",
        7,
        "Contract C-1",
        (
            Step(
                plant="",
                system="procurement",
                object_kind="purchase-contract",
                object_id="C-1",
                operation=PutContract(wanted, "C01"),
                owner="procurement",
            ),
        ),
    )


def test_a_source_list_is_planned_for_its_plant_with_who_buys_there() -> None:
    stored, plan = decided(sources("S-1"), facts(rules=TOLD))
    assert stored == sources("S-1")
    row = Source(LONG_AGO, supplier="S-1", organisation="1000")
    assert plan == Plan(
        "source-list/1010/PIN",
        7,
        "Source list of PIN in 1010",
        (
            Step(
                plant="1010",
                system="procurement",
                object_kind="source-list",
                object_id="PIN",
                operation=PutSourceList(sources(version=0, stated_at=None, sources=(row,))),
                owner="procurement",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("plants", "stated", "organisation"),
    [
        ((("1010",), ("1010",)), "", "1000"),
        ((("2010",),), "", "2010"),
        ((("1010", "2010"),), "", ""),
        ((("2010",), ("9999",)), "", ""),
        ((("2010",), ()), "", "1000"),
        ((), "", "1000"),
        ((("2010",),), "3000", "3000"),
    ],
)
def test_a_contract_that_names_no_organisation_is_of_the_one_that_buys_for_its_plants(
    plants: tuple[tuple[str, ...], ...], stated: str, organisation: str
) -> None:
    _, plan = decided(contract(*plants, organisation=stated), facts(rules=TOLD))
    assert plan is not None
    (step,) = plan.steps
    assert isinstance(step.operation, PutContract)
    assert step.operation.contract.organisation == organisation


def test_rows_of_a_list_keep_the_organisation_that_they_state() -> None:
    rows = (
        Source(LONG_AGO, supplier="S-1", organisation="3000"),
        Source(LONG_AGO, supplier="S-2"),
    )
    for plant, buyer in (("1010", "1000"), ("2010", "2010"), ("9999", "")):
        _, plan = decided(sources(plant=plant, sources=rows), facts(rules=TOLD))
        assert plan is not None
        (step,) = plan.steps
        assert isinstance(step.operation, PutSourceList)
        found = [source.organisation for source in step.operation.sources.sources]
        assert found == ["3000", buyer]


def test_a_contract_goes_to_the_systems_of_all_plants_that_it_is_for() -> None:
    told = rules(
        to("suite", "purchase-contract"),
        to("local", "purchase-contract", plant="2010"),
        to("other", "purchase-contract", plant="3010"),
    )
    assert systems(contract(("1010",)), told) == ["suite"]
    assert systems(contract(("2010",)), told) == ["local"]
    assert systems(contract(("1010", "2010")), told) == ["local", "suite"]
    # For all plants, because a line or the whole contract is limited to none.
    assert systems(contract(("2010",), ()), told) == ["local", "other", "suite"]
    assert systems(contract(), told) == ["local", "other", "suite"]
    only_there = rules(to("local", "purchase-contract", plant="2010"))
    assert systems(contract(()), only_there) == ["local"]
    assert systems(contract(("1010",)), only_there) == []


def test_a_source_list_goes_by_the_route_of_its_plant() -> None:
    told = rules(to("suite", "source-list"), to("local", "source-list", plant="2010"))
    assert systems(sources("S-1"), told) == ["suite"]
    assert systems(sources("S-1", plant="2010"), told) == ["local"]
    assert systems(sources("S-1"), RULES) == []
    # A list without rows is one too.
    assert systems(sources(), told) == ["suite"]


def test_a_draft_goes_nowhere_and_whatever_was_agreed_does() -> None:
    assert systems(contract((), status="draft")) == []
    for status in ("active", "suspended", "ended"):
        assert systems(contract((), status=status)) == ["procurement"]


@pytest.mark.parametrize(
    ("first", "copy"),
    [
        (contract(()), contract((), version=8, origin="erp-2")),
        (sources("S-1"), sources("S-2", version=8, origin="erp-2")),
    ],
)
def test_what_another_system_says_of_its_copy_goes_nowhere_and_leaves_the_origin(
    first: Any, copy: Any
) -> None:
    stored, plan = decided(copy, facts(first, rules=TOLD))
    assert plan is None
    assert stored == msgspec.structs.replace(copy, origin="erp")
    # The next statement of the origin goes on, whatever was said meanwhile.
    again = msgspec.structs.replace(first, version=9)
    assert systems(again, TOLD, stored) == ["procurement"]


@pytest.mark.parametrize("stated", [contract(()), sources("S-1")])
def test_an_origin_that_was_not_known_is_that_of_the_next_statement_of_these_too(
    stated: Any,
) -> None:
    known = msgspec.structs.replace(stated, version=5, origin=UNSET)
    stored, plan = decided(stated, facts(known, rules=TOLD))
    assert stored == stated
    assert plan is not None


@pytest.mark.parametrize("stated", [contract(()), sources("S-1")])
def test_what_is_older_or_the_same_is_planned_as_orders_are(stated: Any) -> None:
    newer = msgspec.structs.replace(stated, version=8)
    assert systems(stated, TOLD, newer) == []
    _, first = decided(stated, facts(rules=TOLD))
    assert decided(stated, facts(stated, rules=TOLD)) == (stated, first)
    _, again = decided(newer, facts(stated, rules=TOLD))
    assert first is not None
    assert again is not None
    assert first.steps == again.steps


def test_what_was_ordered_meanwhile_asks_for_nothing_else() -> None:
    drawn = ContractLine("1", item="PIN", released=Quantity(Decimal(3), "H87"), plants=("1010",))
    _, first = decided(contract(("1010",)), facts(rules=TOLD))
    _, again = decided(contract(version=8, lines=(drawn,)), facts(rules=TOLD))
    assert first is not None
    assert again is not None
    assert first.steps == again.steps


def test_a_route_of_a_company_is_one_of_its_plants_and_ends_with_its_last_day() -> None:
    german = tuple(
        msgspec.structs.replace(plant, company="DE01" if plant.code == "1010" else "US01")
        for plant in RULES.plants
    )

    def told(**stated: Any) -> Rules:
        routes = (Route(kind, "*", "suite", LONG_AGO, company="DE01", **stated) for kind in KINDS)
        return rules(*routes, plants=german)

    assert systems(order("1010"), told()) == ["suite"]
    assert systems(order("2010"), told()) == []
    # For all plants, and those that are told apart by their company are among them.
    assert systems(order(), told()) == ["suite"]
    assert systems(contract(()), told()) == ["suite"]
    assert systems(sources("S-1"), told()) == ["suite"]
    assert systems(sources("S-1", plant="2010"), told()) == []
    # A supplier is of no plant.
    assert systems(patch(), told()) == []
    assert systems(order("1010"), told(until_day=TODAY)) == ["suite"]
    assert systems(order("1010"), told(until_day=date(2026, 3, 1))) == []
