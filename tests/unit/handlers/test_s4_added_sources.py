"""Sources that are added to a list of S/4HANA: what stands there stays, open days get rows of their
own, and a block is for people."""

from __future__ import annotations

import copy
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Former, Present
from canonical.errors import Conflict, Rejected
from canonical.source_list import SourceList
from handlers.systems.s4 import odata
from handlers.systems.s4.outbound import DRIVER
from tests.unit.handlers.test_s4_placed_source_list import (
    FIRST,
    JULY,
    JUNE,
    MARCH,
    SECOND,
    Target,
    contract,
    row,
    source,
    sources,
    step_of,
)

END = date(9999, 12, 31)


def part(*rows: Any) -> SourceList:
    return sources(*rows, origin="")


def target(*rows: dict[str, Any], **more: Any) -> Target:
    return Target(*rows, is_partial=True, **more)


def days_of(held: Target, supplier: str = FIRST) -> list[tuple[date | None, date | None]]:
    return sorted(
        (odata.parse_date(r["ValidityStartDate"]), odata.parse_date(r["ValidityEndDate"]) or END)
        for r in held.rows
        if r["Supplier"] == supplier
    )


def on(first: date, last: date = END, **more: Any) -> dict[str, Any]:
    return row(
        ValidityStartDate=odata.date_literal(first),
        ValidityEndDate=odata.date_literal(last),
        **more,
    )


def test_a_source_is_added_and_every_other_row_stays_as_it_is() -> None:
    theirs = [
        on(MARCH, JUNE, record="1", supplier=SECOND),
        on(date(2020, 1, 1), date(2020, 12, 31), record="2"),
        row("3", "", SupplyingPlant="1020"),
        row("4", SECOND, SourceOfSupplyIsBlocked=True),
    ]
    held = target(*theirs)
    assert held.become(part(source())) == ["POST 5"]
    assert held.rows[:4] == theirs
    assert days_of(held) == [(date(2020, 1, 1), date(2020, 12, 31)), (MARCH, END)]
    assert held.become(part(source())) == []


@pytest.mark.parametrize(
    "there",
    [
        row(),
        row(Supplier=f"00{FIRST}"),
        on(date(2020, 1, 1)),
        row(PurchaseOutlineAgreement="4600000001", PurchaseOutlineAgreementItem="00010"),
        row(OrderQuantityUnit="KG"),
    ],
)
def test_a_source_that_stands_there_already_is_not_written(there: dict[str, Any]) -> None:
    held = target(there)
    assert held.become(part(source())) == []
    assert held.rows == [there]


@pytest.mark.parametrize("there", [row(PurchasingOrganization="1020"), row(SupplyingPlant="1020")])
def test_another_organisation_or_plant_is_another_source(there: dict[str, Any]) -> None:
    held = target(there)
    assert held.become(part(source())) == ["POST 2"]
    assert held.rows[0] == there


def test_days_that_rows_of_the_source_leave_open_get_rows_of_their_own() -> None:
    held = target(on(MARCH, date(2026, 4, 30), record="1"), on(JULY, date(2026, 7, 31), record="2"))
    assert held.become(part(source(last_day=date(2026, 12, 31)))) == ["POST 3", "POST 4"]
    assert days_of(held) == [
        (MARCH, date(2026, 4, 30)),
        (date(2026, 5, 1), JUNE),
        (JULY, date(2026, 7, 31)),
        (date(2026, 8, 1), date(2026, 12, 31)),
    ]


def test_a_contract_that_is_extended_adds_the_days_and_one_that_is_cut_takes_none_away() -> None:
    held = target()
    held.become(part(source(last_day=JUNE)))
    held.become(part(source()))
    assert days_of(held) == [(MARCH, JUNE), (JULY, END)]
    assert held.become(part(source(last_day=JUNE))) == []


def test_a_row_on_the_contract_is_wanted_where_the_contract_is() -> None:
    wanted = part(source(contract="C-1", contract_line="10"))
    there = contract("4600000001", "C-1")
    held = target(row(), held=(there,))
    assert held.become(wanted) == ["POST 2"]
    assert (held.rows[1]["PurchaseOutlineAgreement"], held.looks) == ("4600000001", [""])
    assert held.rows[0] == row()
    assert held.become(wanted) == []
    with pytest.raises(Rejected, match="contract-unknown"):
        target(row()).look(wanted)


@pytest.mark.parametrize(
    "block",
    [
        row(SourceOfSupplyIsBlocked=True),
        row("1", "", SourceOfSupplyIsBlocked=True),
        on(JUNE, JUNE, SourceOfSupplyIsBlocked=True),
    ],
)
def test_a_block_is_neither_lifted_nor_written_beside(block: dict[str, Any]) -> None:
    held, wanted = target(block, on(MARCH, JUNE, record="2")), part(source())
    found = held.look(wanted)
    assert isinstance(found, Present)
    assert not found.equal
    with pytest.raises(Conflict) as refused:
        DRIVER.write(step_of(wanted, is_partial=True), found, "key-1")
    assert refused.value.code == "source-blocked"
    assert "skip the step" in refused.value.remedy
    assert FIRST in refused.value.what


@pytest.mark.parametrize(
    "other",
    [
        on(date(2020, 1, 1), date(2020, 12, 31), SourceOfSupplyIsBlocked=True),
        row("1", SECOND, SourceOfSupplyIsBlocked=True),
        row("1", "", SupplyingPlant="1020", SourceOfSupplyIsBlocked=True),
        row(PurchaseOutlineAgreement="4600000009", SourceOfSupplyIsBlocked=True),
    ],
)
def test_blocks_of_other_days_sources_and_contracts_are_no_matter(other: dict[str, Any]) -> None:
    held = target(other)
    assert held.become(part(source())) == ["POST 2"]
    assert held.rows[0] == other


def test_what_was_entered_is_left_to_people() -> None:
    wanted = part(source())
    step, found = step_of(wanted, is_partial=True), target(row("1", SECOND)).look(wanted)
    assert isinstance(found, Present)
    assert DRIVER.former is not None
    assert DRIVER.former(step, found) == Former(why_not="put-source-list is not undone from here")


DAYS = st.integers(0, 40).map(lambda n: MARCH + timedelta(n))
SPANS = st.tuples(DAYS, DAYS).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(SPANS, max_size=5), SPANS)
def test_afterwards_each_wanted_day_is_there_and_nothing_else_has_changed(
    there: list[tuple[date, date]], wanted: tuple[date, date]
) -> None:
    before = [on(*span, record=str(at + 1)) for at, span in enumerate(there)]
    held = target(*copy.deepcopy(before))
    put = part(source(first_day=wanted[0], last_day=wanted[1]))
    held.become(put)
    assert held.rows[: len(before)] == before
    added = days_of(target(*held.rows[len(before) :]))

    def covered(spans: list[Any]) -> set[date]:
        return {
            MARCH + timedelta(n)
            for n in range(41)
            if any(first <= MARCH + timedelta(n) <= last for first, last in spans)
        }

    open_days = covered([wanted]) - covered(there)
    assert covered(added) == open_days
    # None of them lies over another row of the source.
    assert sum((last - first).days + 1 for first, last in added if first and last) == len(open_days)
    assert held.become(put) == []
