"""Names of places and ranges of them: what is one, and what only looks like it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom, BomLine
from canonical.designators import MAX_SPELLED_OUT, Ranges, with_single_names
from canonical.errors import InvalidMessage
from canonical.quantity import Quantity


def by_count(count: int | str, *stated: str) -> tuple[str, ...]:
    return Ranges().by_count(stated, Decimal(count), where="here")


def test_a_range_that_names_its_letters_twice_is_one_whatever_the_quantity() -> None:
    assert by_count(3, "C10-C12") == ("C10", "C11", "C12")
    assert by_count(99, "C10-C12", "R5") == ("C10", "C11", "C12", "R5")
    assert by_count("0.5", "R08 - R10") == ("R08", "R09", "R10")


def test_a_short_range_is_one_only_where_the_quantity_says_so() -> None:
    assert by_count(3, "R1-3") == ("R1", "R2", "R3")
    assert by_count(4, "R1-3", "C7") == ("R1", "R2", "R3", "C7")
    assert by_count(5, "R1-3") == ("R1-3",)
    # Pin 12 of the connector C10.
    assert by_count(1, "C10-12") == ("C10-12",)
    assert by_count(2, "C10-12", "C10-13") == ("C10-12", "C10-13")


def test_where_there_is_a_name_for_each_place_none_of_them_is_a_range() -> None:
    assert by_count(1, "K1-K2") == ("K1-K2",)
    assert by_count(2, "K1-K2", "K3") == ("K1-K2", "K3")


def test_a_short_name_beside_a_long_range_stays_where_both_would_be_too_many() -> None:
    assert by_count(4, "C1-C3", "J1-3") == ("C1", "C2", "C3", "J1-3")
    assert by_count(6, "C1-C3", "J1-3") == ("C1", "C2", "C3", "J1", "J2", "J3")


@pytest.mark.parametrize(
    "name",
    ["C3-C1", "C3-R5", "C-5", "3-5", "C1-", "-", "C1-2-3", "A-B1-3", "C1-9999999", "", "C1--3",
     "C\u0661-\u0663", "x" * 90_000 + "1-3"],
)  # fmt: skip
def test_what_is_no_clean_range_stays_as_it_is(name: str) -> None:
    assert by_count(3, name) == (name,)
    assert Ranges().spelled_out([name], where="here") == (name,)


def test_ranges_of_a_message_come_to_no_more_than_so_many() -> None:
    ranges = Ranges()
    assert len(ranges.spelled_out([f"C1-{MAX_SPELLED_OUT - 1}"], where="here")) == 99_999
    assert ranges.by_count(["R1-R1"], Fraction(7), where="here") == ("R1",)
    with pytest.raises(InvalidMessage, match="designators-too-many") as refused:
        ranges.by_count(["R1-R1"], Fraction(7), where="there")
    assert refused.value.where == "there"


def bom(*lines: BomLine, base: int = 1) -> Bom:
    return Bom("P", "A", Quantity(Decimal(base), "H87"), lines)


def line(quantity: int, *names: str, fixed: bool = False) -> BomLine:
    needed = Quantity(Decimal(quantity), "H87")
    return BomLine("10", "C", needed, reference_designators=names, fixed=fixed)


def test_places_are_counted_for_one_of_the_parent() -> None:
    hundred = bom(line(300, "C1-3"), line(3, "C1-3", fixed=True), line(3, "C1-3"), base=100)
    assert [one.reference_designators for one in with_single_names(hundred, Ranges()).lines] == [
        ("C1", "C2", "C3"),
        ("C1", "C2", "C3"),
        ("C1-3",),
    ]


# --- properties ---

prefixes = st.from_regex(r"[A-Z]{1,2}[0-9]{0,2}[A-Z]", fullmatch=True)
numbers = st.integers(0, 9_999)
spans = st.tuples(prefixes, numbers, st.integers(0, 40))
plain_names = st.from_regex(r"[A-Z]{1,3}[0-9]{0,4}", fullmatch=True)
odd_names = st.text("CR01-9 ", min_size=1, max_size=8)
stated_names = st.lists(plain_names | odd_names, max_size=6)


@given(spans, st.booleans(), stated_names)
def test_a_range_is_every_number_from_its_first_to_its_last(
    span: tuple[str, int, int], is_long: bool, others: list[str]
) -> None:
    prefix, first, more = span
    text = f"{prefix}{first}-{prefix if is_long else ''}{first + more}"
    names = tuple(f"{prefix}{number}" for number in range(first, first + more + 1))
    assert Ranges().spelled_out([text], where="") == names
    plain = [name for name in others if "-" not in name]
    found = by_count(len(names) + len(plain), text, *plain)
    # With as many names as places nothing is a range; one of a single number is as many.
    assert found == ((*names, *plain) if more else (text, *plain))


@given(stated_names, st.integers(0, 12))
def test_what_was_spelled_out_once_stays(stated: list[str], count: int) -> None:
    once = by_count(count, *stated)
    assert by_count(count, *once) == once
    always = Ranges().spelled_out(stated, where="")
    assert Ranges().spelled_out(always, where="") == always
    assert by_count(count, *always) == always


@given(stated_names, st.integers(0, 12))
def test_no_name_is_lost_and_those_without_a_dash_are_as_they_were(
    stated: list[str], count: int
) -> None:
    found = by_count(count, *stated)
    plain = [name for name in stated if "-" not in name]
    assert len(found) >= len(stated)
    remaining = iter(found)
    assert all(name in remaining for name in plain)
