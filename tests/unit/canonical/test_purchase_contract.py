"""Which lines of a contract an item may be bought by, and when a line is at its end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.purchase_contract import (
    ContractLine,
    ContractStatus,
    PurchaseContract,
    contract_key,
)
from canonical.quantity import Quantity, UnitMismatch

FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
DAYS = st.dates(date(2025, 1, 1), date(2027, 12, 31))


def contract(*lines: ContractLine, status: ContractStatus = "active") -> PurchaseContract:
    return PurchaseContract("C-1", 1, "S-1", status, FIRST, LAST, lines=lines)


def pieces(number: int) -> Quantity:
    return Quantity(Decimal(number), "H87")


@pytest.mark.parametrize(
    ("on", "is_valid"),
    [
        (date(2025, 12, 31), False),
        (FIRST, True),
        (LAST, True),
        (date(2027, 1, 1), False),
    ],
)
def test_a_contract_is_bought_on_from_its_first_to_its_last_day(on: date, is_valid: bool) -> None:
    line = ContractLine("10", "SEAL-1")
    assert contract(line).lines_for("SEAL-1", plant="1010", on=on) == ((line,) if is_valid else ())


def test_a_line_may_be_narrower_than_its_contract() -> None:
    spring = ContractLine("10", "SEAL-1", first_day=date(2026, 3, 1), last_day=date(2026, 5, 31))
    lyon = ContractLine("20", "SEAL-1", plants=("1020",))
    blocked = ContractLine("30", "SEAL-1", is_blocked=True)
    other = ContractLine("40", "PIN")
    found = contract(spring, lyon, blocked, other).lines_for
    assert found("SEAL-1", plant="1010", on=date(2026, 2, 28)) == ()
    assert found("SEAL-1", plant="1010", on=date(2026, 3, 1)) == (spring,)
    assert found("SEAL-1", plant="1020", on=date(2026, 5, 31)) == (spring, lyon)
    assert found("SEAL-1", plant="1020", on=date(2026, 6, 1)) == (lyon,)


@pytest.mark.parametrize("status", ["draft", "suspended", "ended"])
def test_nothing_is_bought_on_a_contract_that_is_not_active(status: ContractStatus) -> None:
    found = contract(ContractLine("10", "SEAL-1"), status=status)
    assert found.lines_for("SEAL-1", plant="1010", on=FIRST) == ()


def test_a_line_is_drawn_once_all_that_is_agreed_is_ordered() -> None:
    line = ContractLine("10", "SEAL-1", target=pieces(100), released=pieces(99))
    assert not line.is_drawn
    assert msgspec.structs.replace(line, released=pieces(100)).is_drawn
    assert msgspec.structs.replace(line, released=pieces(120)).is_drawn
    assert not ContractLine("10", "SEAL-1", released=pieces(99)).is_drawn
    assert not ContractLine("10", "SEAL-1", target=pieces(99)).is_drawn


def test_amounts_of_one_dimension_are_compared_and_others_are_refused() -> None:
    tonne, kilos = Quantity(Decimal(1), "TNE"), Quantity(Decimal(1000), "KGM")
    assert ContractLine("10", target=tonne, released=kilos).is_drawn
    with pytest.raises(UnitMismatch):
        _ = ContractLine("10", target=tonne, released=pieces(1)).is_drawn


@given(DAYS, DAYS, DAYS)
def test_no_line_is_valid_while_its_contract_is_not(first: date, last: date, on: date) -> None:
    line = ContractLine("10", "SEAL-1", first_day=first, last_day=last)
    found = contract(line).lines_for("SEAL-1", plant="1010", on=on)
    assert bool(found) == (max(first, FIRST) <= on <= min(last, LAST))


def test_a_contract_stands_under_its_number() -> None:
    assert contract_key("4600000007") == "contract/4600000007"
