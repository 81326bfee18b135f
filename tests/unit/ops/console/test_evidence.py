"""What a decision rests on and sets free, of values alone."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.store.views import StepRow
from canonical.bom import Kept, PlantBom, PlantBomState
from canonical.money import Money, UnitPrice
from canonical.quantity import Quantity
from ops.console.evidence import behind_of, bom_change, listed, price_words
from tests.fixtures.gearbox import line
from tests.unit.ops.console.steps import step

PIECES = Quantity(Decimal(1), "H87")
WANTED = PlantBom(
    "1010", "SH-10", "B", "1", "1", PIECES, (line("ROD-1", "2"), line("SEAL-1", position="20"))
)


def held(*lines: object, **stated: object) -> PlantBomState:
    """The plant's BOM as its ERP has it."""
    found = {"plant": "1010", "parent": "SH-10", "usage": "1", "alternative": "1", "version": 1}
    return (
        msgspec.convert({**found, **stated}, PlantBomState)
        if not lines
        else (
            msgspec.structs.replace(
                msgspec.convert({**found, **stated}, PlantBomState), lines=lines
            )
        )
    )


def differences(bom: PlantBom, there: PlantBomState | None) -> list[tuple[str, str, str, str]]:
    found = bom_change(step(1), bom, there)
    return [(d.kind, d.component, d.was, d.now) for d in found.differences]


def test_lines_of_a_bom_differ_by_what_is_there_and_how_much() -> None:
    there = held(line("ROD-1", "3.0", position="0010"), line("OLD-1", position="0030"))
    assert differences(WANTED, there) == [
        ("changed", "ROD-1", "3 H87", "2 H87"),
        ("added", "SEAL-1", "", "1 H87"),
        ("removed", "OLD-1", "1 H87", ""),
    ]


def test_lines_that_are_the_plants_own_are_no_difference() -> None:
    bom = msgspec.structs.replace(WANTED, kept=Kept(prefixes=("PACK-",)))
    there = held(*WANTED.lines, line("PACK-7", position="0040"))
    assert differences(bom, there) == []
    assert bom_change(step(1), bom, there).alike == 2


@pytest.mark.parametrize("there", [None, held(is_deleted=True)])
def test_of_a_bom_that_is_not_known_nothing_is_said(there: PlantBomState | None) -> None:
    found = bom_change(step(1), WANTED, there)
    assert (found.is_known, found.differences) == (False, ())


def test_a_line_that_comes_twice_is_two_lines() -> None:
    twice = msgspec.structs.replace(WANTED, lines=(line("ROD-1"), line("ROD-1")))
    assert differences(twice, held(line("ROD-1"))) == [("added", "ROD-1", "", "1 H87")]


def chained(*after: tuple[int, tuple[int, ...]]) -> list[StepRow]:
    """Steps of which each waits for others, by their numbers."""
    return [
        msgspec.structs.replace(
            step(number), identity=f"s{number}", depends_on=tuple(f"s{one}" for one in needs)
        )
        for number, needs in after
    ]


def test_behind_a_decision_is_what_waits_for_it_and_what_waits_for_that() -> None:
    steps = chained((1, ()), (2, (1,)), (3, (2,)), (4, (3, 2)), (5, ()), (6, (1, 5)))
    found = behind_of(1, steps)
    assert [s.id for s in found.direct] == [2, 6]
    assert [s.id for s in found.later] == [3, 4]


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=30))
def test_it_comes_to_an_end_whatever_waits_for_what(pairs: list[tuple[int, int]]) -> None:
    needs = {n: tuple(b for a, b in pairs if a == n) for n in range(1, 9)}
    found = behind_of(1, chained(*needs.items()))
    reached = [s.id for s in (*found.direct, *found.later)]
    assert len(reached) == len(set(reached))
    assert 1 not in reached


def test_what_is_set_free_is_counted_by_kind_and_named_with_its_plants() -> None:
    steps = chained((1, ()), (2, (1,)), (3, (1,)), (4, (1,)))
    kinds = [("put-info-record", "1010"), ("put-info-record", "2010"), ("announce", "")]
    steps[1:] = [
        msgspec.structs.replace(each, operation=operation, plant=plant)
        for each, (operation, plant) in zip(steps[1:], kinds, strict=True)
    ]
    words = "2 purchasing info records in plants 1010 and 2010, and 1 notice"
    assert behind_of(1, steps).words == words
    assert behind_of(1, steps[:1]).words == ""


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("25", "EUR", "25.00 EUR for 100 H87"),
        ("0.0375", "EUR", "0.0375 EUR for 100 H87"),
        ("1200", "JPY", "1200 JPY for 100 H87"),
    ],
)
def test_a_price_has_the_digits_of_its_currency_at_least(
    amount: str, currency: str, words: str
) -> None:
    price = UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(100), "H87"))
    assert price_words(price) == words


def test_words_are_listed_as_people_do() -> None:
    assert [listed(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c"),
    ]
