"""From whom an item may be bought on a day, by the rows of a source list."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from canonical.source_list import Source, SourceList, open_days, source_list_key

FIRST = date(2026, 1, 1)
ROWS = st.builds(
    Source,
    first_day=st.dates(FIRST, date(2026, 12, 31)),
    last_day=st.none() | st.dates(FIRST, date(2026, 12, 31)),
    supplier=st.sampled_from(["", "S-1", "S-2", "S-3"]),
    is_fixed=st.booleans(),
    is_blocked=st.booleans(),
)


def allowed(*rows: Source, on: date = FIRST) -> tuple[str, ...]:
    return tuple(s.supplier for s in SourceList("SEAL-1", "1010", 1, rows).allowed(on))


def test_rows_hold_from_their_first_to_their_last_day() -> None:
    first_half = Source(FIRST, date(2026, 6, 30), "S-1")
    always = Source(FIRST, None, "S-2")
    assert allowed(first_half, always, on=date(2025, 12, 31)) == ()
    assert allowed(first_half, always, on=FIRST) == ("S-1", "S-2")
    assert allowed(first_half, always, on=date(2026, 6, 30)) == ("S-1", "S-2")
    assert allowed(first_half, always, on=date(2026, 7, 1)) == ("S-2",)


def test_a_fixed_source_goes_before_all_others() -> None:
    assert allowed(Source(FIRST, supplier="S-1"), Source(FIRST, supplier="S-2", is_fixed=True)) == (
        "S-2",
    )


def test_a_block_counts_whatever_other_rows_say_of_its_supplier() -> None:
    fixed = Source(FIRST, supplier="S-1", is_fixed=True)
    other = Source(FIRST, supplier="S-2")
    block = Source(FIRST, date(2026, 1, 31), "S-1", is_blocked=True)
    assert allowed(fixed, other, block) == ("S-2",)
    assert allowed(fixed, other, block, on=date(2026, 2, 1)) == ("S-1",)


def test_a_block_without_a_supplier_stops_all() -> None:
    assert allowed(Source(FIRST, supplier="S-1"), Source(FIRST, is_blocked=True)) == ()


@given(st.lists(ROWS, max_size=6), st.dates(FIRST, date(2026, 12, 31)))
def test_whoever_is_allowed_is_valid_and_not_blocked_that_day(rows: list[Source], on: date) -> None:
    listed = SourceList("SEAL-1", "1010", 1, tuple(rows))
    found = listed.allowed(on)
    blocked = {s.supplier for s in rows if s.is_blocked and s.is_valid(on)}
    assert all(s in rows and s.is_valid(on) and s.supplier not in blocked for s in found)
    assert len({s.is_fixed for s in found}) <= 1
    free = [s for s in rows if s.is_valid(on) and s.supplier not in blocked]
    assert bool(found) == bool(free and "" not in blocked)


def test_days_that_nobody_has_are_left_open() -> None:
    def left(*there: tuple[date, date]) -> list[tuple[date, date]]:
        return list(open_days((date(2026, 3, 1), date(2026, 3, 31)), there))

    def march(first: int, last: int) -> tuple[date, date]:
        return date(2026, 3, first), date(2026, 3, last)

    before, after = date(2020, 1, 1), date(2030, 1, 1)
    assert left() == [march(1, 31)]
    assert left((before, after)) == left(march(1, 31)) == []
    assert left(march(10, 12)) == [march(1, 9), march(13, 31)]
    # In any order, over each other, and within each other.
    assert left(march(20, 25), march(3, 8), march(4, 5), march(7, 10)) == [
        march(1, 2),
        march(11, 19),
        march(26, 31),
    ]
    assert left((before, date(2026, 3, 1)), (date(2026, 3, 31), after)) == [march(2, 30)]
    assert left((before, date(2026, 2, 28)), (date(2026, 4, 1), after)) == [march(1, 31)]
    assert list(open_days((FIRST, date.max), [(FIRST, date.max)])) == []


def test_a_list_stands_under_its_plant_and_its_item() -> None:
    assert source_list_key("1010", '3/4" bolt') == 'source-list/1010/3/4" bolt'
    with pytest.raises(InvalidMessage, match="id-with-slash"):
        source_list_key("10/10", "SEAL-1")
