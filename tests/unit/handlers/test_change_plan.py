"""A change from its release to its end: plans, one after the other, in a ledger."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import AffectedItem, EngineeringChange
from canonical.facts import Document, Facts
from canonical.item import Item
from canonical.operations import PutBom
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.sourcing import Coverage
from tests.fixtures.gearbox import (
    ANSWERS,
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    ITEMS,
    STRUCTURES,
    SUPPLIERS,
    bom,
    change,
    contract_line,
    covered,
    decide,
    facts,
    item,
    line,
    message,
    supplier,
)
from tests.unit.handlers.plans import Book, learned, nothing

APPROVAL = "|quality|supplier|S-3|approve"
COMPLETED = "engineering-change.completed"


def replanned(
    book: Book, known: Facts, *documents: Document, stated: EngineeringChange = CHANGE
) -> Facts:
    """These documents became known, the change was planned again, and what could be done was."""
    now_known = learned(known, *documents)
    book.plan(decide(stated, now_known)[0])
    book.work()
    return now_known


def after_everything() -> tuple[Book, Facts]:
    """The gearbox with all facts, every call made; quality has not decided yet."""
    book = Book()
    return book, replanned(book, nothing(), *EVERYTHING)


# --- one gearbox, two plants ---


def test_a_change_goes_as_far_as_its_facts_and_is_complete_after_the_last_decision() -> None:
    book = Book()
    known = replanned(book, nothing())
    assert book.open() == [
        "|layshaft|item|GB-100|await-fact",
        "1010|layshaft|engineering-change|ECO-7|announce",
        "2010|layshaft|engineering-change|ECO-7|announce",
        "|layshaft|engineering-change|ECO-7|announce",
    ]
    known = replanned(book, known, ITEMS[0], STRUCTURES[0])
    assert book.states("put-item") == {"GB-100": "done"}
    assert book.states("put-bom") == {"GB-100 1010": "waiting", "GB-100 2010": "waiting"}
    assert book.told == []

    known = replanned(book, known, *ITEMS[1:], STRUCTURES[1])
    assert set(book.states("put-bom").values()) == {"done"}
    assert set(book.states("read-coverage").values()) == {"done"}
    assert book.told == ["plan.adjustment-needed"] * 2

    known = replanned(book, known, *ANSWERS)
    assert book.states("read-supplier") == {"S-1": "done", "S-3": "done"}
    assert set(book.states("put-info-record").values()) == {"waiting"}

    replanned(book, known, *SUPPLIERS)
    waiting = {name for name, state in book.states("put-info-record").items() if state != "done"}
    assert waiting == {"S-3/SEAL-1 1010", "S-3/SEAL-1 2010"}
    assert book.states("request-review") == {"S-3": "done"}
    assert book.told == ["plan.adjustment-needed"] * 2 + ["approval.requested"]

    book.decide(APPROVAL, granted=True)
    book.work()
    assert book.is_complete()
    assert book.told[-1] == COMPLETED
    assert len(book.states("put-info-record")) == 8
    assert book.left_behind == []


def test_planning_again_on_the_same_facts_changes_nothing() -> None:
    book, known = after_everything()
    before = (book.open(), book.told[:])
    replanned(book, known)
    assert (book.open(), book.told) == before


def test_a_contract_that_comes_later_ends_the_wait_for_it() -> None:
    book = Book()
    known = replanned(book, nothing(), item("BOLT-1"), covered("BOLT-1", plants=("1010",)),
                      supplier(), stated=change("BOLT-1"))  # fmt: skip
    assert book.states("put-info-record") == {"S-1/BOLT-1 1010": "done"}
    assert COMPLETED not in book.told
    both = Coverage("BOLT-1", (contract_line(plants=("1010",)), contract_line("S-1", "C-2")))
    replanned(book, known, both, stated=change("BOLT-1"))
    assert book.states("put-info-record") == {
        "S-1/BOLT-1 1010": "done",
        "S-1/BOLT-1 2010": "done",
    }
    assert book.is_complete()
    assert book.told[-1] == COMPLETED


def test_a_third_is_written_as_exactly_as_the_erp_can_hold_it() -> None:
    """Three pieces of the cord are one metre."""
    cord = item("CORD", base_unit="MTR", alternates=(ItemUnit("H87", Ratio(1, 3)),))
    documents = (item("GB-100", "make"), bom("GB-100", line("CORD", "2")), cord)
    plan, _ = decide(CHANGE, facts(*documents))
    [cord_line] = [
        row
        for step in plan.steps
        if isinstance(step.operation, PutBom) and step.plant == "1010"
        for row in step.operation.bom.lines
    ]
    assert cord_line.quantity == Quantity(Decimal("0.666667"), "MTR")


# --- decisions ---


def test_a_supplier_that_is_qualified_meanwhile_needs_no_decision_any_more() -> None:
    book, known = after_everything()
    replanned(book, known, supplier("S-3"))
    assert book.states("approve") == {"S-3": "cancelled"}
    assert set(book.states("put-info-record").values()) == {"done"}
    assert book.told[-1] == COMPLETED
    # Procurement still holds a review that nobody needs: a person has to say what becomes of it.
    assert book.left_behind == ["|procurement|supplier|S-3|request-review"]


def test_a_refusal_holds_what_waits_for_it_and_nothing_else() -> None:
    book, _ = after_everything()
    book.decide(APPROVAL, granted=False)
    book.work()
    assert book.open() == [
        APPROVAL,
        "1010|erp|info-record|S-3/SEAL-1|put-info-record",
        "2010|erp|info-record|S-3/SEAL-1|put-info-record",
        "|layshaft|engineering-change|ECO-7|announce",
    ]
    assert set(book.states("put-info-record").values()) == {"done", "held"}


def test_a_refusal_stands_when_a_newer_release_asks_the_same() -> None:
    book, known = after_everything()
    book.decide(APPROVAL, granted=False)
    replanned(book, known, stated=change("GB-100", version=4))
    assert book.states("approve") == {"S-3": "failed"}
    assert book.told.count("approval.requested") == 1


def test_after_a_refusal_a_newer_release_with_another_question_is_asked_anew() -> None:
    book, known = after_everything()
    book.decide(APPROVAL, granted=False)
    book.work()
    replanned(book, known, covered("BOLT-1", "S-3", "C-3"), stated=change("GB-100", version=4))
    assert book.states("approve") == {"S-3": "ready"}
    book.decide(APPROVAL, granted=True)
    book.work()
    assert book.told[-1] == COMPLETED


def test_after_a_refusal_a_newer_release_from_another_source_needs_no_decision() -> None:
    book, known = after_everything()
    book.decide(APPROVAL, granted=False)
    replanned(book, known, covered("SEAL-1", "S-1", "C-9"), stated=change("GB-100", version=4))
    assert book.states("approve") == {"S-3": "cancelled"}
    assert book.is_complete()


def test_a_newer_release_of_the_same_facts_is_said_to_be_complete_again() -> None:
    book = Book()
    known = replanned(book, nothing(), *DEFINITIONS, *ANSWERS, supplier("S-1"), supplier("S-3"))
    written = book.states("put-bom") | book.states("put-item")
    replanned(book, known, stated=change("GB-100", version=4))
    assert book.told.count(COMPLETED) == 2
    assert book.states("put-bom") | book.states("put-item") == written
    assert book.left_behind == []


# --- revisions ---


def test_the_old_structure_of_an_awaited_revision_writes_nothing() -> None:
    """GB-100 is known in A, with a part that B does not have any more."""
    book = Book()
    old = (item("GB-100", "make", "A"), bom("GB-100", line("NUT-9"), label="A"), item("NUT-9"))
    known = replanned(book, nothing(), *old)
    assert set(book.states("put-item").values()) == {"waiting"}
    known = replanned(book, known, ITEMS[0])
    assert set(book.states("put-item").values()) == {"done", "waiting"}
    assert book.states("put-item")["NUT-9"] == "waiting"
    replanned(book, known, *DEFINITIONS[1:])
    assert book.states("put-item")["NUT-9"] == "cancelled"
    assert set(book.states("put-bom").values()) == {"done"}
    assert book.left_behind == []


def test_a_supplier_is_not_asked_about_for_a_part_that_may_drop_out() -> None:
    """NUT-9 is in the old structure only, and bought from a supplier of nothing else."""
    book = Book()
    old = (item("GB-100", "make", "A"), bom("GB-100", line("NUT-9"), label="A"), item("NUT-9"))
    known = replanned(book, nothing(), *old, covered("NUT-9", "S-9", "C-9"))
    assert book.states("read-supplier") == {"S-9": "waiting"}
    replanned(book, known, *EVERYTHING)
    assert book.states("read-supplier") == {"S-1": "done", "S-3": "done", "S-9": "cancelled"}
    assert book.left_behind == []


def test_a_supplier_that_is_in_question_again_is_waited_for_again() -> None:
    """The old structure buys NUT-9 from S-1, the new one BOLT-1: between them nobody needs S-1."""
    book = Book()
    old = (item("GB-100", "make", "A"), bom("GB-100", line("NUT-9"), label="A"), item("NUT-9"))
    known = replanned(book, nothing(), *old, covered("NUT-9"))
    new = (ITEMS[0], bom("GB-100", line("BOLT-1")), item("BOLT-1"))
    known = replanned(book, known, *new)
    replanned(book, known, covered("BOLT-1"))
    assert set(book.open()) == {
        "|layshaft|supplier|S-1|await-fact",
        "1010|erp|info-record|S-1/BOLT-1|put-info-record",
        "2010|erp|info-record|S-1/BOLT-1|put-info-record",
        "|layshaft|engineering-change|ECO-7|announce",
    }


# --- whatever the order of arrival ---


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[EngineeringChange, list[Document]]:
    """A structure of up to seven items; affected ones may be known in revision A before B."""
    numbers = [f"I-{n}" for n in range(draw(st.integers(1, 7)))]
    affected = draw(st.sets(st.sampled_from(numbers), min_size=1))
    older: list[Document] = []
    newer: list[Document] = [supplier("S-1"), supplier("S-2", "in_qualification")]
    for place, number in enumerate(numbers):
        below = numbers[place + 1 :]
        source = draw(st.sampled_from(["S-1", "S-2"]))
        newer.append(covered(number, source, f"C-{source}"))
        for label, documents in (("A", older), ("B", newer)):
            if label == "A" and not (number in affected and draw(st.booleans())):
                continue
            is_built = bool(below) and draw(st.booleans())
            documents.append(item(number, "make" if is_built else "buy", label))
            if is_built:
                parts = draw(st.lists(st.sampled_from(below), min_size=1, max_size=3))
                documents.append(bom(number, *map(line, parts), label=label))
    seed = draw(st.integers(0, 2**32))
    plants = st.sampled_from([(), ("1010",), ("2010",)])
    rows = (AffectedItem(number, "B", plants=draw(plants)) for number in sorted(affected))
    return change(*rows), [*older, *Random(seed).sample(newer, len(newer))]


@given(arrivals(), st.data())
def test_facts_in_any_order_lead_to_the_same_end_with_nothing_left_behind(
    story: tuple[EngineeringChange, list[Document]], data: st.DataObject
) -> None:
    stated, documents = story
    book, known = Book(), nothing()
    for document in documents:
        known = replanned(book, known, document, stated=stated)
        plan, _ = decide(stated, known)
        if any(step.kind == "wait" for step in plan.steps):
            assert COMPLETED not in book.told
        for approval in [i for i in book.open() if i.endswith("|approve")]:
            if data.draw(st.booleans()):
                book.decide(approval, granted=True)
                book.work()
    for approval in [i for i in book.open() if i.endswith("|approve")]:
        book.decide(approval, granted=True)
    book.work()
    assert (book.open(), book.left_behind) == ([], [])
    assert book.told.count(COMPLETED) == 1
    straight, _ = decide(stated, facts(*documents))
    done = {s for word in ("put-item", "put-bom", "put-info-record") for s, state in
            book.states(word).items() if state == "done"}  # fmt: skip
    assert done == {
        f"{step.object_id} {step.plant}".rstrip()
        for step in straight.steps
        if step.identity.rpartition("|")[2] in ("put-item", "put-bom", "put-info-record")
    }


@given(arrivals())
def test_every_step_says_who_acts_if_it_is_stuck_and_by_when(
    story: tuple[EngineeringChange, list[Document]],
) -> None:
    stated, documents = story
    urgent = msgspec.structs.replace(stated, urgency="Critical")
    for count in range(0, len(documents) + 1, 3):
        plan, cases = decide(urgent, facts(*documents[:count]))
        for step in plan.steps:
            assert step.owner in {
                "engineering", "master data", "sourcing", "purchasing", "quality", "operations",
            }  # fmt: skip
            assert step.due_s > 0
            assert step.lane == ("enrichment" if step.plant and step.kind == "announce"
                                 else "critical")  # fmt: skip
            if step.kind in ("wait", "approval"):
                assert step.owner != "operations"
        assert {case.owner for case in cases} <= {"sourcing"}


def test_nothing_planned_rests_on_when_a_definition_was_stated() -> None:
    """A second export of the same revision is no reason to write again."""
    book = Book()
    known = replanned(book, nothing(), *DEFINITIONS, *ANSWERS, supplier("S-1"), supplier("S-3"))
    restated = [
        msgspec.structs.replace(d, stated_at=message(CHANGE).envelope.time)
        for d in DEFINITIONS
        if isinstance(d, Item)
    ]
    told = book.told[:]
    replanned(book, known, *restated)
    assert (book.open(), book.told) == ([], told)
