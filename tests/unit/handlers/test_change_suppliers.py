"""Suppliers of a change that are part of others, or qualified for a part of what is bought."""

from __future__ import annotations

from datetime import date, time
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.change import EngineeringChange
from canonical.effects import Finding, Plan
from canonical.eligibility import MAX_PARENTS
from canonical.facts import Document, Facts
from canonical.operations import Approve, RequestReview, verb
from canonical.rules import Rules
from canonical.supplier import (
    Certificate,
    Qualification,
    QualificationStatus,
    ScopedQualification,
    Supplier,
    SupplierSite,
)
from canonical.working_time import Hours, WorkingCalendar
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    CENTRAL,
    LOCAL,
    RULES,
    awaited,
    bom,
    change,
    covered,
    decide,
    facts,
    item,
    key_of,
    line,
    message,
    named,
    names,
    plan,
    records,
    supplier,
)
from tests.unit.handlers.plans import Book, learned, nothing

BOLT = item("BOLT-1")
TERMS = covered("BOLT-1", "S-1")
ONE = change("BOLT-1")
APPROVAL = "|quality|supplier|S-1|approve"
CENTRAL_RECORD = "1010|erp|info-record|S-1/BOLT-1|put-info-record"
LOCAL_RECORD = "2010|erp|info-record|S-1/BOLT-1|put-info-record"
ENDED = date(2026, 3, 1)


def child(number: str = "S-1", parent: str = "P-1", **stated: Any) -> Supplier:
    """A supplier of whom nobody stated a qualification."""
    return Supplier(
        number,
        f"Supplier {number}",
        True,
        Qualification("in_qualification"),
        parent=parent,
        inherits_qualification=True,
        **stated,
    )


def qualified(status: QualificationStatus = "qualified", **stated: Any) -> ScopedQualification:
    return ScopedQualification(status, **stated)


def under(above: Supplier, parent: str) -> Supplier:
    return msgspec.structs.replace(above, parent=parent)


def gates(made: Plan, identity: str) -> list[str]:
    """What an info record waits for besides the item's view and the catalogue."""
    ends = ("|extend-to-plant", "|publish-item")
    return [step for step in named(made, identity).depends_on if not step.endswith(ends)]


def question(made: Plan) -> Approve:
    operation = named(made, APPROVAL).operation
    assert isinstance(operation, Approve)
    return operation


# --- inheriting ---


def test_a_supplier_without_a_qualification_is_bought_from_by_that_of_its_parent() -> None:
    made, cases = decide(ONE, facts(BOLT, TERMS, child(), supplier("P-1")))
    assert gates(made, CENTRAL_RECORD) == gates(made, LOCAL_RECORD) == []
    assert names(made.steps, "approve") == []
    assert cases == ()
    assert made.findings == (
        Finding(
            "qualification-inherited",
            "supplier/S-1",
            "S-1 is bought from by the qualification of P-1, its parent",
            "info",
            "sourcing",
        ),
    )


def test_the_terms_are_those_of_the_supplier_that_the_contract_names() -> None:
    made = plan(ONE, BOLT, TERMS, child(), supplier("P-1"))
    assert {record.supplier for record in records(made).values()} == {"S-1"}
    of_parent = plan(ONE, BOLT, covered("BOLT-1", "P-1"), child(), supplier("P-1"))
    assert {record.supplier for record in records(of_parent).values()} == {"P-1"}
    assert names(of_parent.steps, "read-supplier") == ["P-1"]


def test_nobody_inherits_where_the_rules_say_so() -> None:
    rules = msgspec.structs.replace(RULES, inherit_qualifications=False)
    made = plan(ONE, BOLT, TERMS, child(), supplier("P-1"), rules=rules)
    assert question(made).text == (
        "May Supplier S-1 (S-1), which is without a qualification, be bought from for ECO-7?"
    )


def test_a_supplier_with_a_qualification_of_its_own_needs_no_parents() -> None:
    own = under(supplier("S-1", "in_qualification"), "P-1")
    assert names(plan(ONE, BOLT, TERMS, own, supplier("P-1")).steps, "approve") == ["S-1"]
    own = under(supplier("S-1"), "P-1")
    made = plan(ONE, BOLT, TERMS, own, supplier("P-1", "in_qualification"))
    assert gates(made, CENTRAL_RECORD) == []
    assert made.findings == ()


def test_a_disqualified_group_is_not_bought_from_by_a_qualified_child() -> None:
    own, parent = under(supplier("S-1"), "P-1"), under(supplier("P-1"), "G-1")
    top = supplier("G-1", "disqualified", stated_as="Disqualified")
    made, [case] = decide(ONE, facts(BOLT, TERMS, own, parent, top))
    assert gates(made, CENTRAL_RECORD) == gates(made, LOCAL_RECORD) == [APPROVAL]
    asked = question(made)
    assert asked.text == (
        "May Supplier S-1 (S-1), which is Disqualified (stated about G-1),"
        " be bought from for ECO-7?"
    )
    assert asked.evidence == (
        "qualification: Disqualified (stated about G-1)",
        "items: BOLT-1",
        "plants: 1010, 2010",
        "contracts: C-1",
        "part of: Supplier P-1 (P-1), Supplier G-1 (G-1)",
    )
    assert (case.code, case.where) == (
        "supplier-not-qualified",
        "engineering-change/ECO-7: supplier/S-1",
    )


# --- asking, round by round ---


def test_parents_are_asked_for_and_awaited_one_after_the_other() -> None:
    own, parent, top = child(), child("P-1", "G-1"), supplier("G-1")
    seen: list[tuple[list[str], list[str]]] = []
    for known in ((), (own,), (own, parent), (own, parent, top)):
        made = plan(ONE, BOLT, TERMS, *known)
        seen.append((names(made.steps, "read-supplier"), awaited(made)))
    assert seen == [
        (["S-1"], ["supplier/S-1"]),
        (["P-1", "S-1"], ["supplier/P-1"]),
        (["G-1", "P-1", "S-1"], ["supplier/G-1"]),
        (["G-1", "P-1", "S-1"], []),
    ]


def test_a_parent_that_is_not_known_is_awaited_even_by_a_qualified_supplier() -> None:
    """It may be disqualified."""
    made = plan(ONE, BOLT, TERMS, under(supplier("S-1"), "P-1"))
    assert gates(made, CENTRAL_RECORD) == ["|layshaft|supplier|P-1|await-fact"]


def test_a_person_is_not_asked_before_all_parents_are_known() -> None:
    own = under(supplier("S-1", "disqualified"), "P-1")
    made = plan(ONE, BOLT, TERMS, own)
    assert gates(made, CENTRAL_RECORD) == ["|layshaft|supplier|P-1|await-fact"]
    assert names(made.steps, "approve") == []
    asked = question(plan(ONE, BOLT, TERMS, own, supplier("P-1")))
    assert asked.evidence[-1] == "part of: Supplier P-1 (P-1)"


def test_two_of_one_group_ask_about_their_parent_once() -> None:
    two = change("BOLT-1", "SEAL-1")
    known = (BOLT, item("SEAL-1"), TERMS, covered("SEAL-1", "S-2"), child(), child("S-2"))
    made = plan(two, *known)
    assert names(made.steps, "read-supplier") == ["P-1", "S-1", "S-2"]
    assert names(made.steps, "await-fact") == ["P-1"]
    assert len({step.identity for step in made.steps}) == len(made.steps)


def needed(stated: EngineeringChange, documents: dict[str, Document]) -> tuple[frozenset[str], int]:
    """What is asked for in the end, and in how many rounds."""
    asked: frozenset[str] = frozenset()
    for rounds in range(1, 100):
        known = [documents[key] for key in asked if key in documents]
        wanted = HANDLER.needs(message(stated), facts(*known))
        if wanted == asked:
            return asked, rounds
        asked = wanted
    raise AssertionError("it never ends")


def test_the_deepest_structure_with_the_highest_hierarchy_is_asked_for_in_time() -> None:
    numbers = [f"I-{n:02}" for n in range(16)]
    documents: list[Document] = [item(n, "make") for n in numbers[:-1]]
    documents += [bom(n, line(below)) for n, below in pairwise(numbers)]
    documents += [item(numbers[-1]), covered(numbers[-1], "0")]
    documents += [child(str(n), str(n + 1)) for n in range(MAX_PARENTS)]
    documents.append(supplier(str(MAX_PARENTS)))
    by_key = {key_of(document): document for document in documents}
    asked, rounds = needed(change(numbers[0]), by_key)
    assert f"supplier/{MAX_PARENTS}" in asked
    assert rounds <= 32  # as many as the runtime asks


# --- hierarchies that are none ---


def test_a_circular_hierarchy_holds_its_supplier_and_is_a_case() -> None:
    two = change("BOLT-1", "SEAL-1")
    known = (BOLT, item("SEAL-1"), TERMS, covered("SEAL-1", "S-2"), supplier("S-2"))
    made, [case] = decide(two, facts(*known, child(), child("P-1", "G-1"), child("G-1", "P-1")))
    assert (case.code, case.word, case.what, case.where, case.owner) == (
        "supplier-hierarchy-circular",
        "data_quality",
        "A supplier is above itself: G-1 is part of P-1 is part of G-1",
        "engineering-change/ECO-7: supplier/S-1",
        "sourcing",
    )
    waits = [f"|layshaft|supplier|{number}|await-fact" for number in ("G-1", "P-1", "S-1")]
    assert gates(made, CENTRAL_RECORD) == waits
    assert gates(made, "1010|erp|info-record|S-2/SEAL-1|put-info-record") == []


def test_a_hierarchy_without_end_is_a_case_too() -> None:
    chain = [child("S-1", "0"), *(child(str(n), str(n + 1)) for n in range(MAX_PARENTS + 3))]
    _, [case] = decide(ONE, facts(BOLT, TERMS, *chain))
    assert case.code == "supplier-hierarchy-too-deep"


def test_a_corrected_hierarchy_ends_the_wait() -> None:
    book, known = Book(), nothing()
    known = stated_to(book, known, BOLT, TERMS, child(), child("P-1", "S-1"))
    assert set(book.states("put-info-record").values()) == {"waiting"}
    stated_to(book, known, supplier("P-1"))
    assert set(book.states("put-info-record").values()) == {"done"}
    assert book.is_complete()


def stated_to(book: Book, known: Facts, *documents: Document) -> Facts:
    """These documents became known, the change was planned again, and what could be done was."""
    now_known = learned(known, *documents)
    book.plan(decide(ONE, now_known)[0])
    book.work()
    return now_known


# --- parts of what is bought ---


def of_regions(central: str, local: str) -> Any:
    plants = (
        msgspec.structs.replace(CENTRAL, region=central, business_unit="gears"),
        msgspec.structs.replace(LOCAL, region=local, business_unit="gears"),
    )
    return msgspec.structs.replace(RULES, plants=plants)


@pytest.mark.parametrize(
    "scope",
    [
        {"plant": "1010"},
        {"region": "EU"},
        {"region": "EU", "category": "bolts", "business_unit": "gears"},
    ],
)
def test_only_the_plants_that_a_supplier_is_not_qualified_for_wait(
    scope: dict[str, Any],
) -> None:
    own = child(parent="", qualifications=(qualified(**scope),))
    bolt = item("BOLT-1", category="bolts")
    made = plan(ONE, bolt, TERMS, own, rules=of_regions("EU", "US"))
    assert gates(made, CENTRAL_RECORD) == []
    assert gates(made, LOCAL_RECORD) == [APPROVAL]
    assert "plants: 2010" in question(made).evidence
    review = named(made, "|procurement|supplier|S-1|request-review").operation
    assert isinstance(review, RequestReview)
    assert review.reason == "ECO-7 needs S-1, which is without a qualification"


def test_the_question_says_for_what_it_is_not_qualified() -> None:
    own = msgspec.structs.replace(
        supplier("S-1"),
        qualifications=(
            ScopedQualification("conditional", plant="1010", stated_as="QualifiedRestricted"),
            ScopedQualification("qualified", region="US", category="bolts", valid_until=ENDED),
        ),
    )
    made = plan(ONE, item("BOLT-1", category="bolts"), TERMS, own, rules=of_regions("EU", "US"))
    assert question(made).evidence[0] == (
        "qualification: QualifiedRestricted for plant 1010,"
        " qualified until 2026-03-01 only for category bolts, region US"
    )


def test_the_question_names_the_sites_that_make_it_for_these_plants() -> None:
    sites = (
        SupplierSite("K", "Cologne", ("ordering", "manufacturing"), plants=("1010",)),
        SupplierSite("L", "Lyon", ("manufacturing",)),
        SupplierSite("M", "Miami", ("manufacturing",), regions=("BR",)),
        SupplierSite("N", "Nice", ("manufacturing",), active=False),
        SupplierSite("P", "Pay here", ("remit_to",)),
    )
    own = msgspec.structs.replace(supplier("S-1", "disqualified"), sites=sites)
    assert "made at: Cologne, Lyon" in question(plan(ONE, BOLT, TERMS, own)).evidence


def test_the_question_is_late_by_the_working_time_of_its_role_else_of_the_plants_it_is_about() -> (
    None
):
    office = WorkingCalendar("Europe/Berlin", (Hours(("mon",), time(8), time(16)),))
    plants = tuple(msgspec.structs.replace(p, calendar="plant") for p in (CENTRAL, LOCAL))
    theirs = msgspec.structs.replace(RULES, calendars={"plant": office}, plants=plants)
    owns = msgspec.structs.replace(
        theirs, calendars={"plant": office, "role": office}, role_calendars={"quality": "role"}
    )

    def by(rules: Rules) -> dict[str, str]:
        made = plan(ONE, BOLT, TERMS, supplier("S-1", "in_qualification"), rules=rules)
        return {verb(s.operation): s.calendar.name for s in made.steps if s.calendar}

    assert [by(RULES), by(theirs), by(owns)] == [{}, {"approve": "plant"}, {"approve": "role"}]


def test_a_certificate_that_ended_is_found_and_holds_nothing() -> None:
    papers = (
        Certificate("ISO 9001", "44 100", ENDED),
        Certificate("IATF 16949", "77", date(2026, 3, 2)),
    )
    own = child(parent="", qualifications=(ScopedQualification("qualified", certificates=papers),))
    made = plan(ONE, BOLT, TERMS, own)
    assert [(f.code, f.where, f.what, f.severity) for f in made.findings] == [
        (
            "certificate-ended",
            "supplier/S-1",
            "Certificate ISO 9001 of S-1 ended on 2026-03-01",
            "info",
        )
    ]
    assert gates(made, CENTRAL_RECORD) == []


# --- what becomes known later ---


@pytest.mark.parametrize(
    "later",
    [
        supplier("S-1"),
        under(supplier("S-1"), "P-1"),
        supplier("P-1"),
        under(supplier("P-1"), "G-1"),
        supplier("G-1"),
    ],
)
def test_whoever_of_a_group_is_qualified_meanwhile_the_plan_hears_of_it(later: Supplier) -> None:
    known = facts(BOLT, TERMS, child(), child("P-1", "G-1"), child("G-1", ""))
    made, _ = decide(ONE, known)
    watched = {step.fact for step in made.steps if step.fact and step.depends_on}
    watched |= {named(made, APPROVAL).fact}
    assert key_of(later) in watched


def test_a_parent_that_is_qualified_meanwhile_makes_the_decision_unnecessary() -> None:
    book, known = Book(), nothing()
    known = stated_to(book, known, BOLT, TERMS, child(), supplier("P-1", "in_qualification"))
    assert book.states("approve") == {"S-1": "ready"}
    stated_to(book, known, supplier("P-1"))
    assert book.states("approve") == {"S-1": "cancelled"}
    assert set(book.states("put-info-record").values()) == {"done"}


STATUSES: list[QualificationStatus] = ["qualified", "conditional", "disqualified"]


@st.composite
def groups(draw: st.DrawFn) -> tuple[Document, ...]:
    """Four suppliers in any hierarchy, circular ones included, with contracts of some of them."""
    numbers = ["S-1", "S-2", "S-3", "S-4"]
    scopes: st.SearchStrategy[dict[str, str]] = st.sampled_from(
        [{}, {"plant": "1010"}, {"plant": "2010"}, {"category": "bolts"}]
    )
    statuses: st.SearchStrategy[QualificationStatus] = st.sampled_from(STATUSES)
    documents: list[Document] = []
    for number in numbers:
        own = [qualified(draw(statuses), **draw(scopes)) for _ in range(draw(st.integers(0, 2)))]
        parent = draw(st.sampled_from(["", *numbers]))
        documents.append(child(number, parent, qualifications=tuple(own)))
    for number in ("BOLT-1", "SEAL-1"):
        documents += [
            item(number, category=draw(st.sampled_from(["", "bolts"]))),
            covered(number, draw(st.sampled_from(numbers))),
        ]
    return tuple(documents)


BOTH = change("BOLT-1", "SEAL-1")


@given(groups(), st.integers())
def test_facts_about_a_group_in_any_order_lead_to_one_plan_and_take_no_question_back(
    documents: tuple[Document, ...], seed: int
) -> None:
    arriving = Random(seed).sample(documents, len(documents))
    before: dict[str, Any] = {}
    for count in range(len(arriving) + 1):
        made, _ = decide(BOTH, facts(*arriving[:count]))
        after = {step.identity: step for step in made.steps}
        assert len(after) == len(made.steps)
        for identity, step in before.items():
            if isinstance(step.operation, Approve):
                assert after[identity].operation == step.operation
        before = after
    assert decide(BOTH, facts(*arriving)) == decide(BOTH, facts(*documents))


@given(groups())
def test_what_is_not_asked_for_makes_no_difference(documents: tuple[Document, ...]) -> None:
    by_key = {key_of(document): document for document in documents}
    asked, _ = needed(BOTH, by_key)
    known = [document for key, document in by_key.items() if key in asked]
    assert decide(BOTH, facts(*known)) == decide(BOTH, facts(*documents))


@given(groups())
def test_nothing_is_bought_freely_from_below_a_disqualified_supplier(
    documents: tuple[Document, ...],
) -> None:
    top = supplier("TOP", "disqualified")
    below: list[Document] = [
        under(d, "TOP") if isinstance(d, Supplier) and not d.parent else d for d in documents
    ]
    made, _ = decide(BOTH, facts(*below, top))
    for step in made.steps:
        if verb(step.operation) == "put-info-record":
            assert gates(made, step.identity) != []
