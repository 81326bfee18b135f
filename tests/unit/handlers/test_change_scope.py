"""Which items go to which plants, in which order, and what is still to come."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom
from canonical.change import AffectedItem, EngineeringChange
from canonical.errors import Failure, InvalidMessage, Rejected
from canonical.facts import Document
from handlers.flows.change_scope import Scope, facts_needed, scope_of
from tests.fixtures.gearbox import NOW, bom, change, facts, item, line

CENTRAL, LOCAL = "1010", "2010"


def in_plants(number: str, *plants: str, label: str = "B") -> AffectedItem:
    """A row that names its plants."""
    return AffectedItem(number, label, plants=plants)


def scope(stated: EngineeringChange, *documents: Document) -> Scope:
    return scope_of(stated, facts(*documents), NOW)


def refused(stated: EngineeringChange, *documents: Document) -> Failure:
    with pytest.raises(Failure) as caught:
        scope(stated, *documents)
    return caught.value


# --- plants ---


def test_a_component_of_two_assemblies_goes_wherever_one_of_them_is_built() -> None:
    documents = (
        item("HOIST", "make"), bom("HOIST", line("SEAL"), line("HOOK")),
        item("WINCH", "make"), bom("WINCH", line("SEAL"), line("DRUM")),
        item("SEAL"), item("HOOK"), item("DRUM"),
    )  # fmt: skip
    found = scope(change(in_plants("HOIST", CENTRAL), in_plants("WINCH", LOCAL)), *documents)
    assert found.plants == {
        "HOOK": (CENTRAL,),
        "SEAL": (CENTRAL, LOCAL),
        "HOIST": (CENTRAL,),
        "DRUM": (LOCAL,),
        "WINCH": (LOCAL,),
    }


def test_plants_reach_a_component_that_was_reached_before_by_another_path() -> None:
    """PIN is in BASE directly and in ARM, which a second plant builds too."""
    documents = (
        item("BASE", "make"), bom("BASE", line("PIN"), line("ARM")),
        item("ARM", "make"), bom("ARM", line("PIN")), item("PIN"),
    )  # fmt: skip
    rows = (in_plants("BASE", CENTRAL), in_plants("ARM", LOCAL))
    for stated in (change(*rows), change(*reversed(rows))):
        assert scope(stated, *documents).plants == {
            "PIN": (CENTRAL, LOCAL),
            "ARM": (CENTRAL, LOCAL),
            "BASE": (CENTRAL,),
        }


def test_an_item_in_two_rows_goes_to_the_plants_of_both_once() -> None:
    rows = (in_plants("PIN", LOCAL, LOCAL), in_plants("PIN", CENTRAL), in_plants("PIN", LOCAL))
    found = scope(change(*rows), item("PIN"))
    assert found.plants == {"PIN": (CENTRAL, LOCAL)}
    assert [known.number for known in found.items] == ["PIN"]
    assert [awaited.fact for awaited in scope(change(*rows)).awaited] == ["item/PIN"]


def test_an_item_in_two_rows_with_two_revisions_is_awaited_in_the_newer_one() -> None:
    rows = (AffectedItem("PIN", "C"), AffectedItem("PIN", "B"))
    [awaited] = scope(change(*rows), item("PIN", label="B")).awaited
    assert awaited.reason == "PIN is known in revision B, the change releases C"
    assert scope(change(*rows), item("PIN", label="C")).awaited == ()


# --- refusals ---


def test_a_change_that_affects_nothing_is_refused() -> None:
    failure = refused(change())
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner) == ("nothing-affected", "engineering")
    assert failure.where == "engineering-change/ECO-7"


@pytest.mark.parametrize(
    ("stated", "documents", "where"),
    [
        (change(AffectedItem("PIN", "b-1")), (item("PIN"),), "item/PIN"),
        (change("PIN"), (item("PIN", "make"), bom("PIN", label="b-1")), "bom/PIN"),
    ],
)
def test_a_label_outside_the_items_scheme_is_put_before_who_keeps_engineering_data(
    stated: EngineeringChange, documents: tuple[Document, ...], where: str
) -> None:
    failure = refused(stated, *documents)
    assert isinstance(failure, InvalidMessage)
    assert failure.code == "revision-outside-scheme"
    assert (failure.where, failure.owner) == (where, "engineering data")


def test_a_cycle_far_below_the_affected_item_is_named_with_its_members_only() -> None:
    documents = [item(number, "make") for number in ("TOP", "A", "B", "C")]
    structures = (bom("TOP", line("A")), bom("A", line("B")), bom("B", line("C")),
                  bom("C", line("A")))  # fmt: skip
    failure = refused(change("TOP"), *documents, *structures)
    assert (failure.code, failure.where) == ("bom-cycle", "bom/A")
    assert failure.what == "A contains B contains C contains A"


def test_a_thousand_levels_are_refused_and_not_a_crash() -> None:
    documents: list[Document] = []
    for level in range(1000):
        documents += [item(f"L{level}", "make"), bom(f"L{level}", line(f"L{level + 1}"))]
    failure = refused(change("L0"), *documents)
    assert (failure.code, failure.owner) == ("structure-too-deep", "engineering")
    # Item, BOM and days of revisions of 16 levels, each BOM as the ERPs of two plants have it, and
    # of the item that is affected what is on order and where it is already.
    assert len(facts_needed(change("L0"), facts(*documents))) == 16 * (3 + 2) + 2


# --- lines ---


def test_one_component_on_two_lines_is_one_item() -> None:
    twice = bom("ARM", line("PIN", "2"), line("PIN", "1", position="20"))
    assert scope(change("ARM"), item("ARM", "make"), twice, item("PIN")).plants == {
        "PIN": (CENTRAL, LOCAL),
        "ARM": (CENTRAL, LOCAL),
    }


def test_a_phantom_is_built_through_and_its_components_are_needed() -> None:
    documents = (
        item("ARM", "make"), bom("ARM", line("KIT")),
        item("KIT", "phantom"), bom("KIT", line("PIN")), item("PIN"),
    )  # fmt: skip
    found = scope(change("ARM"), *documents)
    assert [known.number for known in found.items] == ["PIN", "KIT", "ARM"]
    assert [a.fact for a in scope(change("ARM"), *documents[:3]).awaited] == ["bom/KIT"]


# --- any structure ---


@st.composite
def structures(draw: st.DrawFn) -> tuple[list[Document], list[str]]:
    """Up to twelve items, each made of such with a higher number; levels stay below the limit."""
    numbers = [f"I-{n:02d}" for n in range(draw(st.integers(1, 12)))]
    documents: list[Document] = []
    for place, number in enumerate(numbers):
        below = numbers[place + 1 :]
        parts = draw(st.lists(st.sampled_from(below), max_size=4)) if below else []
        documents.append(item(number, "make" if parts else "buy"))
        if parts:
            documents.append(bom(number, *map(line, parts)))
    return documents, numbers


def built_in(number: str, documents: list[Document], rows: dict[str, set[str]]) -> set[str]:
    """The plants of an item by the plain definition: its own and those of all its parents."""
    found = set(rows.get(number, ()))
    for document in documents:
        if isinstance(document, Bom) and any(part.component == number for part in document.lines):
            found |= built_in(document.parent, documents, rows)
    return found


@given(structures(), st.data())
def test_every_item_has_the_plants_of_all_its_assemblies_and_comes_before_them(
    product: tuple[list[Document], list[str]], data: st.DataObject
) -> None:
    documents, numbers = product
    codes = st.sets(st.sampled_from([CENTRAL, LOCAL]), min_size=1)
    rows = data.draw(st.dictionaries(st.sampled_from(numbers), codes, min_size=1))
    stated = change(*(in_plants(number, *sorted(plants)) for number, plants in rows.items()))
    found = scope(stated, *documents)
    expected = {n: built_in(n, documents, rows) for n in numbers}
    assert {n: set(p) for n, p in found.plants.items()} == {n: p for n, p in expected.items() if p}
    assert (found.awaited, found.provisional) == ((), frozenset())
    order = list(found.plants)
    for document in documents:
        if isinstance(document, Bom) and document.parent in order:
            for part in document.lines:
                assert order.index(part.component) < order.index(document.parent)


@given(structures(), st.integers(0, 2**32))
def test_what_is_known_in_part_is_awaited_where_it_ends(
    product: tuple[list[Document], list[str]], seed: int
) -> None:
    documents, numbers = product
    die = Random(seed)
    known = die.sample(documents, die.randint(0, len(documents)))
    found = scope(change(numbers[0]), *known)
    awaited = {a.fact for a in found.awaited}
    stated = facts(*known)
    for number in found.plants:
        stands = stated.item(number)
        assert (stands is None) == (f"item/{number}" in awaited)
        is_open = stands is not None and stands.procurement == "make" and not stated.bom(number)
        assert is_open == (f"bom/{number}" in awaited)
    whole = set(scope(change(numbers[0]), *documents).plants)
    assert set(found.plants) <= whole
    assert bool(awaited) or set(found.plants) == whole
