"""When a contract is told of as ending soon, and for what occasion."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Emit
from canonical.events import EVENTS
from canonical.purchase_contract import ContractExpiring, ContractLine, PurchaseContract
from canonical.reminders import Reminder
from handlers import WATCHES
from handlers.flows.expiry import NOTICE_DAYS, expiring
from tests.fixtures.gearbox import supplier

LAST = date(2026, 12, 31)


def contract(**stated: Any) -> PurchaseContract:
    """Active until LAST, with two lines of one item, one of another and one of a text."""
    numbers = ("SEAL-1", "PIN", "SEAL-1", "")
    lines = tuple(ContractLine(str(n), number) for n, number in enumerate(numbers))
    made = PurchaseContract("C-1", 1, "S-1", "active", date(2026, 1, 1), LAST, lines=lines)
    return msgspec.structs.replace(made, **stated)


def test_it_is_told_with_its_items_and_the_days_that_are_left() -> None:
    data = ContractExpiring("C-1", "S-1", LAST, 10, ("PIN", "SEAL-1"))
    said = Emit("contract.expiring", "contract/C-1", data)
    assert expiring(contract(), date(2026, 12, 21)) == Reminder(said, "2026-12-31")
    assert type(data) is EVENTS["contract.expiring"].data


@given(st.integers(-400, 400))
def test_it_is_due_within_its_last_days_and_not_after_them(days_left: int) -> None:
    found = expiring(contract(), LAST - timedelta(days=days_left))
    assert (found is not None) == (0 <= days_left <= NOTICE_DAYS)


@pytest.mark.parametrize("status", ["draft", "suspended", "ended"])
def test_one_that_is_not_active_is_nobodys_news(status: str) -> None:
    assert expiring(contract(status=status), LAST) is None


def test_one_without_an_end_is_never_due() -> None:
    assert expiring(contract(last_day=None), LAST) is None


def test_one_that_is_prolonged_is_another_occasion() -> None:
    first, second = (
        expiring(contract(), LAST),
        expiring(contract(last_day=LAST + timedelta(1)), LAST),
    )
    assert first is not None
    assert second is not None
    assert first.occasion != second.occasion


def test_nothing_else_is_due() -> None:
    assert expiring(supplier("S-1"), LAST) is None


def test_each_watch_is_of_an_event_that_is_told_on_request() -> None:
    assert {event for event in WATCHES if not EVENTS[event].on_request} == set()
