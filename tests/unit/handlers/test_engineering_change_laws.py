"""What holds for every plan, whatever the structure, and however the facts arrive."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from graphlib import TopologicalSorter
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom
from canonical.change import AffectedItem, EngineeringChange
from canonical.effects import Plan, Step
from canonical.facts import Document, Facts
from canonical.operations import Approve, PutBom, verb
from canonical.quantity import Quantity
from canonical.rules import Rules
from canonical.sourcing import Coverage
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    RULES,
    bom,
    change,
    contract_line,
    decide,
    facts,
    item,
    key_of,
    line,
    message,
    supplier,
)

GRAMS = {
    "GRM": Decimal(1),
    "KGM": Decimal(1000),
    "LBR": Decimal("453.59237"),
    "MGM": Decimal("0.001"),
    "ONZ": Decimal("28.349523125"),
    "TNE": Decimal(10**6),
}


# Asking changes nothing at a target.
QUESTIONS = {"read-coverage", "read-supplier"}


class World(msgspec.Struct, frozen=True):
    """A change and all that will ever be known about it.

    former: definitions of the same items in the revision before.
    """

    change: EngineeringChange
    documents: tuple[Document, ...]
    former: tuple[Document, ...]


@st.composite
def definitions(draw: st.DrawFn, numbers: list[str], label: str) -> list[Document]:
    """Items and BOMs; one is built of such with a higher number only, so nothing is circular."""
    documents: list[Document] = []
    for place, number in enumerate(numbers):
        below = numbers[place + 1 :]
        parts = draw(st.lists(st.sampled_from(below), max_size=3)) if below else []
        is_document = draw(st.sampled_from([False, False, False, True]))
        if parts:
            amounts = [str(draw(st.integers(0, 5))) for _ in parts]
            lines = [
                line(part, amount, position=str(at))
                for at, (part, amount) in enumerate(zip(parts, amounts, strict=True))
            ]
            documents += [item(number, "make", label), bom(number, *lines, label=label)]
        elif is_document:
            documents.append(item(number, "none", label, kind="document"))
        else:
            documents.append(item(number, "buy", label))
    return documents


@st.composite
def worlds(draw: st.DrawFn, *, whole: bool = False) -> World:
    """Up to eight items, some or all of them affected."""
    numbers = [f"I-{n}" for n in range(draw(st.integers(1, 8)))]
    documents = draw(definitions(numbers, "B"))
    for number in numbers:
        contracts = draw(st.lists(st.sampled_from(["S-1", "S-2", "S-3"]), max_size=2))
        plants = draw(st.sampled_from([(), ("1010",)]))
        terms = [contract_line(s, f"C-{s}", plants=plants) for s in contracts]
        documents.append(Coverage(number, tuple(terms)))
    documents += [supplier("S-1"), supplier("S-2", "disqualified"), supplier("S-3", active=False)]
    some = st.lists(st.sampled_from(numbers), min_size=1, unique=True)
    rows = [
        AffectedItem(n, "B", plants=draw(st.sampled_from([(), ("1010",), ("2010", "1010")])))
        for n in (numbers if whole else draw(some))
    ]
    return World(change(*rows), tuple(documents), tuple(draw(definitions(numbers, "A"))))


def partly(world: World, seed: int) -> tuple[Document, ...]:
    """Some of the documents, in some order."""
    die = Random(seed)
    return tuple(die.sample(world.documents, die.randint(0, len(world.documents))))


def planned(stated: EngineeringChange, known: Facts) -> Plan:
    """The plan alone."""
    return decide(stated, known)[0]


def by_identity(made: Plan) -> dict[str, Step]:
    """Steps by identity; every identity stands once."""
    found = {step.identity: step for step in made.steps}
    assert len(found) == len(made.steps)
    return found


def waiting(steps: dict[str, Step]) -> set[str]:
    """The waits, and whatever follows one of them."""
    found = {identity for identity, step in steps.items() if step.kind == "wait"}
    for identity in TopologicalSorter({i: s.depends_on for i, s in steps.items()}).static_order():
        if not found.isdisjoint(steps[identity].depends_on):
            found.add(identity)
    return found


@given(worlds(), st.integers())
def test_every_plan_can_be_done_in_some_order(world: World, seed: int) -> None:
    steps = by_identity(planned(world.change, facts(*partly(world, seed))))
    graph = {identity: step.depends_on for identity, step in steps.items()}
    assert set(TopologicalSorter(graph).static_order()) == set(steps)


@given(worlds())
def test_components_come_before_the_bom_and_boms_before_those_of_their_parents(
    world: World,
) -> None:
    steps = by_identity(planned(world.change, facts(*world.documents)))
    for document in world.documents:
        if not isinstance(document, Bom):
            continue
        for plant in ("1010", "2010"):
            step = steps.get(f"{plant}|erp|bom|{document.parent}|put-bom")
            for row in document.lines if step else ():
                view = f"{plant}|erp|item|{row.component}|extend-to-plant"
                below = f"{plant}|erp|bom|{row.component}|put-bom"
                assert step is not None
                assert {i for i in (view, below) if i in steps} <= set(step.depends_on)
                assert view in steps or f"|erp|item|{row.component}|put-item" not in steps


@given(worlds(), st.integers())
def test_the_same_facts_in_any_order_give_the_same_plan(world: World, seed: int) -> None:
    known = partly(world, seed)
    shuffled = Random(seed + 1).sample(known, len(known))
    rows = Random(seed + 2).sample(world.change.affected, len(world.change.affected))
    other = msgspec.structs.replace(world.change, affected=tuple(rows))
    assert decide(world.change, facts(*known)) == decide(other, facts(*shuffled))


@given(worlds(), st.integers())
def test_facts_that_arrive_one_by_one_take_nothing_back(world: World, seed: int) -> None:
    """What may have been sent stays planned, and no question to a person is taken back."""
    arriving = Random(seed).sample(world.documents, len(world.documents))
    last = replayed(world.change, (), arriving)
    # What is awaited in the end is a contract for one plant.
    waits = [step for step in last.values() if step.kind == "wait"]
    assert {(wait.object_kind, bool(wait.plant)) for wait in waits} <= {("coverage", True)}


@given(worlds(whole=True), st.integers())
def test_a_release_that_comes_in_pieces_over_an_older_one_takes_nothing_back(
    world: World, seed: int
) -> None:
    """The old structure is never acted upon where the new one may have dropped an item."""
    arriving = Random(seed).sample(world.documents, len(world.documents))
    last = replayed(world.change, world.former, arriving)
    assert last == by_identity(planned(world.change, facts(*world.documents)))


def replayed(
    stated: EngineeringChange,
    known: Sequence[Document],
    arriving: Sequence[Document],
    rules: Rules = RULES,
) -> dict[str, Step]:
    """The last plan, after a plan with each arrival."""
    before: dict[str, Step] = {}
    for count in range(len(arriving) + 1):
        after = by_identity(planned(stated, facts(*known, *arriving[:count], rules=rules)))
        gone = before.keys() - after.keys() - waiting(before)
        assert {verb(before[identity].operation) for identity in gone} <= QUESTIONS
        for identity, step in before.items():
            if isinstance(step.operation, Approve):
                assert after[identity].operation == step.operation
        before = after
    return before


@given(worlds(), st.integers())
def test_asking_for_facts_ends_and_more_facts_never_ask_for_less(world: World, seed: int) -> None:
    documents = {key_of(document): document for document in world.documents}
    known: dict[str, Document] = {}
    asked: frozenset[str] = frozenset()
    for _ in range(20):
        wanted = HANDLER.needs(message(world.change), facts(*known.values()))
        assert asked <= wanted
        if wanted == asked:
            break
        asked = wanted
        known = {key: documents[key] for key in wanted if key in documents}
    else:
        raise AssertionError("it never ends")
    # What was not asked for makes no difference.
    assert decide(world.change, facts(*known.values())) == decide(
        world.change, facts(*world.documents)
    )
    fewer = facts(*partly(world, seed))
    assert HANDLER.needs(message(world.change), fewer) <= HANDLER.needs(
        message(world.change), facts(*world.documents)
    )


@given(worlds())
def test_no_info_record_of_an_unqualified_supplier_can_go_before_its_decision(
    world: World,
) -> None:
    made = planned(world.change, facts(*world.documents))
    for step in made.steps:
        if verb(step.operation) == "put-info-record":
            chosen = step.object_id.partition("/")[0]
            gates = {i for i in step.depends_on if i.endswith("|approve")}
            assert gates == (set() if chosen == "S-1" else {f"|quality|supplier|{chosen}|approve"})
        else:
            assert step.kind == "announce" or not any("|approve" in i for i in step.depends_on)


@given(st.integers(1, 10**6), st.sampled_from(sorted(GRAMS)))
def test_a_converted_line_is_the_same_amount_to_a_millionth(amount: int, unit: str) -> None:
    rod = item("ROD-1", base_unit="KGM")
    quantity = Quantity(Decimal(amount), unit)
    stated = bom("GB-100", line("ROD-1", str(amount), unit))
    made = planned(change("GB-100"), facts(item("GB-100", "make"), stated, rod))
    [put] = [s.operation for s in made.steps if s.identity == "1010|erp|bom|GB-100|put-bom"]
    assert isinstance(put, PutBom)
    [row] = put.bom.lines
    exact = quantity.value * GRAMS[unit] / 1000
    assert row.quantity.unit == "KGM"
    assert abs(row.quantity.value - exact) <= Decimal("0.0000005")
