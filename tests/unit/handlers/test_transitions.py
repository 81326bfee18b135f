"""What is said of an object whose document is another one now: once, and only where it is so."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.codec import encode
from canonical.effects import Effect, Put
from canonical.events import (
    EVENTS,
    ApprovedSourcesChanged,
    ContractStanding,
    ItemCreated,
    ItemStopped,
    ItemSuperseded,
    OrderStanding,
    SupplierStanding,
)
from canonical.facts import Document, Facts, Known
from canonical.handler import Delivery, Handler
from canonical.item import ApprovedManufacturer, ApprovedSupplier
from canonical.order import OrderLine, PurchaseOrder
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity
from canonical.supplier import Qualification, Supplier
from canonical.units import Ratio
from handlers.flows.master_data import CONTRACT_CHANGED, ITEM_RELEASED, SUPPLIER_CHANGED
from handlers.flows.transitions import transitions
from tests.fixtures.gearbox import RULES, item, supplier

T1 = datetime(2026, 3, 1, 8, tzinfo=UTC)
T2 = T1 + timedelta(hours=1)
FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)


def contract(status: Any = "active", **stated: Any) -> PurchaseContract:
    """Of one line for the item PIN and another for a text."""
    lines = (ContractLine("10", "PIN"), ContractLine("20", description="packing"))
    return PurchaseContract("C-1", 1, "S-1", status, FIRST, LAST, lines=lines, **stated)


def said(before: Document | None, after: Document) -> list[tuple[str, str, Any]]:
    return [(e.event, e.key, e.data) for e in transitions(before, after)]


# What is said


def test_a_revision_that_takes_the_place_of_another_supersedes_it() -> None:
    after = item("PIN", label="C", change="ECO-7")
    assert said(item("PIN", label="B"), after) == [
        ("item.superseded", "item/PIN", ItemSuperseded("PIN", "B", "C", "ECO-7"))
    ]


@pytest.mark.parametrize(
    ("lifecycle", "event"), [("obsolete", "item.obsoleted"), ("on_hold", "item.blocked")]
)
def test_an_item_that_is_not_to_be_used_any_more_is_told(lifecycle: str, event: str) -> None:
    after = item("PIN", lifecycle=lifecycle, phase="Phase out")
    expected = ItemStopped("PIN", "B", after.lifecycle, "released", "", "Phase out")
    assert said(item("PIN"), after) == [(event, "item/PIN", expected)]
    unknown = msgspec.structs.replace(expected, before=None)
    assert said(None, after)[1:] == [(event, "item/PIN", unknown)]


def test_a_revision_that_makes_an_item_obsolete_says_both() -> None:
    events = said(item("PIN", label="B"), item("PIN", label="C", lifecycle="obsolete"))
    assert [event for event, _, _ in events] == ["item.superseded", "item.obsoleted"]


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (supplier(status="in_qualification"), supplier(), "supplier.qualified"),
        (supplier(), supplier(status="disqualified"), "supplier.disqualified"),
    ],
)
def test_a_supplier_that_is_qualified_or_disqualified_is_told(
    before: Supplier | None, after: Supplier, event: str
) -> None:
    was = before.qualification.status if before else None
    status = after.qualification.status
    expected = SupplierStanding("S-1", "Supplier S-1", True, status, was)
    assert said(before, after) == [(event, "supplier/S-1", expected)]


def test_a_supplier_nobody_knew_is_registered_and_stands_as_it_does() -> None:
    expected = SupplierStanding("S-1", "Supplier S-1", True, "qualified", None)
    assert said(None, supplier()) == [
        ("supplier.registered", "supplier/S-1", expected),
        ("supplier.qualified", "supplier/S-1", expected),
    ]


def test_an_item_nobody_knew_is_created() -> None:
    expected = ItemCreated("PIN", "B", "released", "part", "A pin", "ECO-7")
    assert said(None, item("PIN", description="A pin", change="ECO-7")) == [
        ("item.created", "item/PIN", expected)
    ]


BOLT, SEAL = (ApprovedManufacturer(maker, "P-1", "approved") for maker in ("Bolt & Co", "Seal AG"))
VENDOR = ApprovedSupplier("S-1", "V-1", "approved", to_base=Ratio(12))


@pytest.mark.parametrize(
    "after",
    [
        {"manufacturers": (BOLT,)},
        {"manufacturers": (BOLT, msgspec.structs.replace(SEAL, status="disapproved"))},
        {"suppliers": (VENDOR,)},
    ],
)
def test_other_makers_or_vendors_of_a_known_item_are_told_with_those_before(
    after: dict[str, Any],
) -> None:
    before = item("PIN", manufacturers=(BOLT, SEAL))
    now = msgspec.structs.replace(before, change="ECO-7", **after)
    expected = ApprovedSourcesChanged(
        "PIN", "B", now.manufacturers, now.suppliers, (BOLT, SEAL), (), "ECO-7"
    )
    assert said(before, now) == [("approved-sources.changed", "item/PIN", expected)]


def an_order(status: Any = "open", *items: str) -> PurchaseOrder:
    lines = tuple(OrderLine(str(n), i, Quantity(Decimal(1), "H87")) for n, i in enumerate(items))
    return PurchaseOrder("PO-1", 1, "S-1", "EUR", lines, status=status)


@pytest.mark.parametrize("status", ["closed", "cancelled"])
def test_an_order_of_which_nothing_is_expected_any_more_is_told_with_all_its_items(
    status: Any,
) -> None:
    expected = OrderStanding("PO-1", "S-1", status, "open", ("NUT", "PIN"))
    before, after = an_order("open", "PIN", "", "NUT"), an_order(status, "PIN")
    assert said(before, after) == [("purchase-order.closed", "purchase-order/PO-1", expected)]
    [(_, _, standing)] = said(None, after)
    assert (standing.before, standing.items) == (None, ("PIN",))


def test_the_last_day_of_a_qualification_and_the_sources_word_are_told() -> None:
    after = supplier(valid_until=LAST, stated_as="Approved")
    *_, (_, _, standing) = said(None, after)
    assert (standing.valid_until, standing.stated_as) == (LAST, "Approved")


def test_a_supplier_that_procurement_makes_inactive_is_told() -> None:
    after = supplier(active=False)
    expected = SupplierStanding("S-1", "Supplier S-1", False, "qualified", "qualified")
    assert said(supplier(), after) == [("supplier.blocked", "supplier/S-1", expected)]


def test_a_qualification_that_only_fills_the_place_is_nobodys_statement() -> None:
    inherited = Supplier(
        "S-1", "Supplier S-1", True, Qualification("qualified"), inherits_qualification=True
    )
    [(registered, _, standing)] = said(None, inherited)
    assert (registered, standing.status) == ("supplier.registered", None)
    [(event, _, standing)] = said(inherited, supplier())
    assert (event, standing.before) == ("supplier.qualified", None)


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (None, "active", "contract.activated"),
        ("draft", "active", "contract.activated"),
        ("suspended", "active", "contract.activated"),
        ("active", "ended", "contract.expired"),
    ],
)
def test_a_contract_that_begins_or_ends_is_told_with_its_items(
    before: Any, after: Any, event: str
) -> None:
    known = contract(before) if before else None
    expected = ContractStanding("C-1", "S-1", after, FIRST, before, LAST, ("PIN",), "published")
    assert said(known, contract(after, stated_as="published")) == [
        (event, "contract/C-1", expected)
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (item("PIN"), item("PIN", description="Another text")),
        (item("PIN", manufacturers=(BOLT, SEAL)), item("PIN", manufacturers=(SEAL, BOLT))),
        (supplier(), supplier(valid_until=LAST)),
        (supplier(), supplier(status="conditional")),
        (an_order("open", "PIN"), an_order("open")),
        (None, an_order("open", "PIN")),
        (an_order("cancelled"), an_order("closed")),
        (contract("active"), contract("suspended")),
        (None, contract("draft")),
    ],
)
def test_of_what_means_nothing_to_others_nothing_is_said(
    before: Document | None, after: Document
) -> None:
    assert said(before, after) == []


STATES = st.one_of(
    st.builds(
        lambda label, lifecycle, makers: item(
            "PIN", label=label, lifecycle=lifecycle, manufacturers=makers
        ),
        st.sampled_from("ABC"),
        st.sampled_from(("in_design", "released", "superseded", "on_hold", "obsolete")),
        st.sampled_from(((), (BOLT,), (BOLT, SEAL))),
    ),
    st.builds(
        lambda status, active: supplier(status=status, active=active),
        st.sampled_from(("qualified", "conditional", "in_qualification", "disqualified")),
        st.booleans(),
    ),
    st.builds(contract, st.sampled_from(("draft", "active", "suspended", "ended"))),
    st.builds(an_order, st.sampled_from(("open", "closed", "cancelled"))),
)


@given(STATES)
def test_what_is_stated_again_says_nothing(state: Document) -> None:
    assert transitions(state, state) == ()


@given(st.one_of(st.none(), STATES), STATES)
def test_each_event_is_in_the_table_with_its_content(before: Any, after: Document) -> None:
    for emit in transitions(before, after):
        row = EVENTS[emit.event]
        assert type(emit.data) is row.data
        assert emit.key.partition("/")[0] == row.key.partition("/")[0]
        assert msgspec.json.decode(encode(emit.data), type=row.data) == emit.data


# Where it is said


def decided(handler: Handler, after: Any, before: Document | None, key: str) -> tuple[Effect, ...]:
    attributes = {"type": EVENTS[handler.types[0]].type, "id": "1", "subject": key}
    message = handler.read(Delivery("layshaft", "", encode(after), attributes=attributes))
    facts = Facts(RULES, {key: Known(1, before)} if before else {})
    return handler.decide(message, facts, T2)


CASES: list[tuple[Handler, Any, Any, str]] = [
    (ITEM_RELEASED, item("PIN", label="B", released_at=T1), item("PIN", label="C", released_at=T2),
     "item/PIN"),
    (SUPPLIER_CHANGED, msgspec.structs.replace(supplier(status="conditional"), stated_at=T1),
     msgspec.structs.replace(supplier(), stated_at=T2), "supplier/S-1"),
    (CONTRACT_CHANGED, contract("draft"), msgspec.structs.replace(contract(), version=2),
     "contract/C-1"),
]  # fmt: skip


@pytest.mark.parametrize(("handler", "before", "after", "key"), CASES)
def test_a_newer_statement_is_stored_and_says_what_it_means(
    handler: Handler, before: Any, after: Any, key: str
) -> None:
    put, told = decided(handler, after, before, key)
    assert isinstance(put, Put)
    assert put.document == after
    assert (told,) == transitions(before, after)


@pytest.mark.parametrize(("handler", "before", "after", "key"), CASES)
def test_an_older_statement_or_one_that_is_known_says_nothing(
    handler: Handler, before: Any, after: Any, key: str
) -> None:
    for stated in (before, after):
        [put] = decided(handler, stated, after, key)
        assert isinstance(put, Put)
