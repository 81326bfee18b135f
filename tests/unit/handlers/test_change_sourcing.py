"""How bought items of a change come to have info records, and what a person is asked."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from canonical.codec import encode
from canonical.effects import Plan
from canonical.events import ApprovalRequested
from canonical.item import Lifecycle
from canonical.money import Money, UnitPrice
from canonical.operations import Announce, Approve, RequestReview
from canonical.price_periods import PriceScale
from canonical.purchasing import InfoRecord
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.sourcing import Coverage, CoverageLine
from canonical.supplier import Supplier
from handlers.flows.change_sourcing import usable_line
from tests.fixtures.gearbox import (
    ANSWERS,
    CENTRAL,
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    LOCAL,
    SUPPLIERS,
    awaited,
    bom,
    change,
    contract_line,
    covered,
    decide,
    facts,
    item,
    line,
    named,
    names,
    plan,
    records,
    supplier,
)

APPROVAL = "|quality|supplier|S-3|approve"
BOLT = item("BOLT-1")
ONE = change("BOLT-1")
TODAY = date(2026, 3, 2)
HUNDRED = UnitPrice(Money(Decimal("11.00"), "EUR"), Quantity(Decimal(100), "H87"))


def behind(made: Plan, identity: str) -> list[str]:
    """Steps that depend on it, announcements left out."""
    return [s.identity for s in made.steps if identity in s.depends_on and s.kind != "announce"]


def approval(made: Plan, identity: str = APPROVAL) -> Approve:
    """The question a person is asked."""
    operation = named(made, identity).operation
    assert isinstance(operation, Approve)
    return operation


# --- central and local ---


def test_a_central_plant_buys_by_the_central_organisation_a_local_one_by_its_own() -> None:
    made = records(plan(ONE, BOLT, covered("BOLT-1"), supplier()))
    assert {plant: record.purchasing_org for plant, record in made.items()} == {
        "BOLT-1 1010": "1000",
        "BOLT-1 2010": "2010",
    }


def test_an_info_record_has_the_terms_of_the_contract_line() -> None:
    price = UnitPrice(Money(Decimal("12.50"), "EUR"), Quantity(Decimal(10), "XBX"))
    boxed = item("BOLT-1", alternates=(ItemUnit("XBX", Ratio(250)),))
    terms = covered("BOLT-1", price=price, order_unit="XBX", last_day=date(2026, 12, 31))
    assert records(plan(ONE, boxed, terms, supplier()))["BOLT-1 1010"] == InfoRecord(
        supplier="S-1",
        item="BOLT-1",
        purchasing_org="1000",
        plant="1010",
        order_unit="XBX",
        base_unit="H87",
        order_to_base=(250, 1),
        price=price,
        lead_time_days=5,
        contract="C-1",
        last_day=date(2026, 12, 31),
        purchasing_group="C01",
    )


def test_who_buys_for_a_plant_is_named_in_its_info_record() -> None:
    made = records(plan(ONE, BOLT, covered("BOLT-1"), supplier()))
    assert {place: record.purchasing_group for place, record in made.items()} == {
        "BOLT-1 1010": "C01",
        "BOLT-1 2010": "L01",
    }


@pytest.mark.parametrize(("stated", "tolerance"), [("5.50", "5.5"), ("0.0", "0"), ("10", "10")])
def test_a_tolerance_of_the_contract_line_has_one_spelling(stated: str, tolerance: str) -> None:
    terms = covered("BOLT-1", under_tolerance=Decimal(stated), over_tolerance=Decimal("2.0"))
    made = records(plan(ONE, BOLT, terms, supplier()))["BOLT-1 1010"]
    assert str(made.under_tolerance) == tolerance
    assert str(made.over_tolerance) == "2"


def test_of_tolerances_that_nobody_agreed_nothing_is_said() -> None:
    made = records(plan(ONE, BOLT, covered("BOLT-1"), supplier()))["BOLT-1 1010"]
    assert (made.under_tolerance, made.over_tolerance) == (UNSET, UNSET)
    assert b"tolerance" not in encode(made)


@pytest.mark.parametrize(
    "agreed", [UNSET, (), (PriceScale(Quantity(Decimal(500), "H87"), HUNDRED),)]
)
def test_an_info_record_has_the_scale_of_the_contract_line(
    agreed: tuple[PriceScale, ...] | UnsetType,
) -> None:
    terms = covered("BOLT-1", scales=agreed)
    assert records(plan(ONE, BOLT, terms, supplier()))["BOLT-1 1010"].scales == agreed


def test_a_tolerance_below_nothing_is_a_case_and_no_info_record() -> None:
    terms = covered("BOLT-1", over_tolerance=Decimal("-1"))
    made, cases = decide(ONE, facts(BOLT, terms, supplier()))
    assert {case.code for case in cases} == {"tolerance-negative"}
    assert records(made) == {}


@pytest.mark.parametrize(
    ("stated", "minimum"),
    [
        ("20", Quantity(Decimal(20), "XBX")),
        ("0.5", Quantity(Decimal("0.5"), "XBX")),
        ("0", UNSET),
        ("", UNSET),
    ],
)
def test_the_minimum_of_the_contract_line_is_in_its_order_unit(
    stated: str, minimum: Quantity | UnsetType
) -> None:
    boxed = item("BOLT-1", alternates=(ItemUnit("XBX", Ratio(250)),))
    terms = covered("BOLT-1", order_unit="XBX", minimum_quantity=stated)
    made = records(plan(ONE, boxed, terms, supplier()))
    assert made["BOLT-1 1010"].minimum == minimum


@pytest.mark.parametrize(
    ("stated", "code"), [("-1", "minimum-negative"), ("some", "number-malformed")]
)
def test_a_minimum_that_is_none_is_a_case_and_no_info_record(stated: str, code: str) -> None:
    terms = covered("BOLT-1", minimum_quantity=stated)
    made, cases = decide(ONE, facts(BOLT, terms, supplier()))
    assert {case.code for case in cases} == {code}
    assert records(made) == {}


def test_an_info_record_follows_the_plant_view_and_the_catalogue_and_nothing_else() -> None:
    made = plan(ONE, BOLT, covered("BOLT-1"), supplier())
    assert named(made, "1010|erp|info-record|S-1/BOLT-1|put-info-record").depends_on == (
        "1010|erp|item|BOLT-1|extend-to-plant",
        "|procurement|item|BOLT-1|publish-item",
    )
    assert named(made, "|procurement|item|BOLT-1|publish-item").depends_on == ()


OWN = contract_line(contract="C-9", plants=("1010", "2010"))
OF_ALL = contract_line(contract="C-5")


@pytest.mark.parametrize(
    ("lines", "central", "local"),
    [
        ((), None, None),
        ((OF_ALL, OWN), OF_ALL, OWN),
        ((OWN,), OWN, OWN),
        ((contract_line(contract="C-6"), OF_ALL), OF_ALL, OF_ALL),
        ((contract_line("S-2", "C-5"), OF_ALL), OF_ALL, OF_ALL),
        (
            (OF_ALL, contract_line(contract="C-5", first_day=date(2026, 1, 1))),
            contract_line(contract="C-5", first_day=date(2026, 1, 1)),
            contract_line(contract="C-5", first_day=date(2026, 1, 1)),
        ),
        ((contract_line(plants=("9999",)),), None, None),
        ((contract_line(last_day=date(2026, 3, 1)),), None, None),
        ((contract_line(first_day=date(2026, 3, 3)),), None, None),
        ((contract_line(last_day=TODAY, first_day=TODAY),),
         contract_line(last_day=TODAY, first_day=TODAY),
         contract_line(last_day=TODAY, first_day=TODAY)),
    ],
    ids=["none", "own or company-wide", "own for a central plant", "lowest contract", "supplier",
         "begun last", "of another plant", "over", "not begun", "first and last day"],
)  # fmt: skip
def test_the_contract_line_is_chosen_by_rule(
    lines: tuple[CoverageLine, ...], central: CoverageLine | None, local: CoverageLine | None
) -> None:
    for stated in (lines, lines[::-1]):
        coverage = Coverage("BOLT-1", stated)
        assert usable_line(coverage, CENTRAL, TODAY) == central
        assert usable_line(coverage, LOCAL, TODAY) == local


def test_a_contract_ends_with_the_day_of_the_plant() -> None:
    """At that moment it is the next day in Regensburg, and still its last one in Greenville."""
    known = facts(BOLT, Coverage("BOLT-1", (contract_line(last_day=TODAY),)), supplier())
    made, _ = decide(ONE, known, datetime(2026, 3, 3, 1, tzinfo=UTC))
    assert sorted(records(made)) == ["BOLT-1 2010"]


# --- questions to procurement ---


def test_procurement_is_asked_for_contracts_first_and_for_suppliers_then() -> None:
    first = plan(ONE, BOLT)
    assert names(first.steps, "read-coverage") == ["BOLT-1"]
    assert names(first.steps, "read-supplier") == []
    assert named(first, "|layshaft|coverage|BOLT-1|await-fact").depends_on == (
        "|procurement|coverage|BOLT-1|read-coverage",
    )
    then = plan(ONE, BOLT, covered("BOLT-1"))
    assert names(then.steps, "read-supplier") == ["S-1"]
    assert awaited(then) == ["supplier/S-1"]
    assert awaited(plan(ONE, BOLT, covered("BOLT-1"), supplier())) == []


def test_an_info_record_waits_for_the_answer_about_its_supplier() -> None:
    made = plan(ONE, BOLT, covered("BOLT-1"))
    assert behind(made, "|layshaft|supplier|S-1|await-fact") == [
        "1010|erp|info-record|S-1/BOLT-1|put-info-record",
        "2010|erp|info-record|S-1/BOLT-1|put-info-record",
    ]


def test_a_supplier_of_several_items_is_asked_for_once() -> None:
    assert names(plan(CHANGE, *DEFINITIONS, *ANSWERS).steps, "read-supplier") == ["S-1", "S-3"]


@pytest.mark.parametrize(
    ("lifecycle", "bought"),
    [("in_design", True), ("in_review", True), ("released", True), ("superseded", True),
     ("on_hold", False), ("obsolete", False)],
)  # fmt: skip
def test_what_is_on_hold_or_obsolete_is_published_as_such_and_not_bought(
    lifecycle: Lifecycle, bought: bool
) -> None:
    made = plan(ONE, item("BOLT-1", lifecycle=lifecycle), covered("BOLT-1"), supplier())
    assert names(made.steps, "publish-item") == ["BOLT-1"]
    assert names(made.steps, "read-coverage") == (["BOLT-1"] if bought else [])
    assert sorted(records(made)) == (["BOLT-1 1010", "BOLT-1 2010"] if bought else [])


# --- no contract ---


def test_a_plant_without_a_contract_is_a_case_for_sourcing_and_waits_alone() -> None:
    terms = covered("BOLT-1", plants=("1010",))
    made, cases = decide(ONE, facts(BOLT, terms, supplier()))
    assert awaited(made) == ["coverage/BOLT-1 2010"]
    wait = named(made, "2010|layshaft|coverage|BOLT-1|await-fact")
    assert (wait.owner, behind(made, wait.identity)) == ("sourcing", [])
    assert sorted(records(made)) == ["BOLT-1 1010"]
    [case] = cases
    assert (case.code, case.word, case.owner, case.where) == (
        "contract-missing",
        "business_rule",
        "sourcing",
        "engineering-change/ECO-7: item/BOLT-1 2010",
    )
    assert case.what == "No published contract covers BOLT-1 for plant 2010"


def test_a_contract_in_a_unit_without_a_factor_waits_for_either_side_to_mend_it() -> None:
    made, cases = decide(ONE, facts(BOLT, covered("BOLT-1", order_unit="XBX"), supplier()))
    assert awaited(made) == [
        "coverage/BOLT-1 1010",
        "item/BOLT-1 1010",
        "coverage/BOLT-1 2010",
        "item/BOLT-1 2010",
    ]
    assert [(case.code, case.word, case.owner) for case in cases] == [
        ("unit-mismatch", "data_quality", "sourcing")
    ] * 2
    assert records(made) == {}


def test_a_gap_is_nobodys_business_while_a_definition_may_close_it() -> None:
    """SEAL-9 is in the structure of revision A, and the change releases B."""
    old = (item("GB-100", "make", "A"), bom("GB-100", line("SEAL-9"), label="A"))
    made, cases = decide(CHANGE, facts(*old, item("SEAL-9"), Coverage("SEAL-9", ())))
    assert awaited(made) == ["item/GB-100"]
    assert cases == ()
    made, cases = decide(change("SEAL-9"), facts(item("SEAL-9"), Coverage("SEAL-9", ())))
    assert [case.code for case in cases] == ["contract-missing", "contract-missing"]


def test_a_supplier_is_not_asked_about_for_what_may_drop_out() -> None:
    old = (item("GB-100", "make", "A"), bom("GB-100", line("SEAL-9"), label="A"))
    known = (*old, item("SEAL-9"), covered("SEAL-9"))
    held = "|layshaft|item|GB-100|await-fact"
    question = named(plan(CHANGE, *known), "|procurement|supplier|S-1|read-supplier")
    assert question.depends_on == (held,)
    both = plan(change("GB-100", "SEAL-9"), *known)
    assert named(both, "|procurement|supplier|S-1|read-supplier").depends_on == ()


# --- a supplier that is not qualified ---


def test_exactly_the_suppliers_own_info_records_wait_for_the_decision() -> None:
    made = plan(CHANGE, *EVERYTHING)
    assert behind(made, APPROVAL) == [
        "1010|erp|info-record|S-3/SEAL-1|put-info-record",
        "2010|erp|info-record|S-3/SEAL-1|put-info-record",
    ]
    assert len(records(made)) == 8
    assert names(made.steps, "approve") == ["S-3"]


def test_the_role_reads_who_what_where_and_under_which_contract() -> None:
    made = plan(CHANGE, *EVERYTHING)
    assert named(made, APPROVAL).owner == "quality"
    assert approval(made) == Approve(
        "supplier-qualification",
        "May Supplier S-3 (S-3), which is InQualification, be bought from for ECO-7?",
        (
            "qualification: InQualification",
            "items: SEAL-1",
            "plants: 1010, 2010",
            "contracts: C-3",
        ),
    )


def test_procurement_reviews_and_everybody_is_told() -> None:
    made, cases = decide(CHANGE, facts(*EVERYTHING))
    assert named(made, "|procurement|supplier|S-3|request-review").operation == RequestReview(
        supplier="S-3",
        change="ECO-7",
        items=("SEAL-1",),
        reason="ECO-7 needs S-3, which is InQualification",
        reference="layshaft:ECO-7:S-3",
    )
    notice = named(made, "|layshaft|supplier|S-3|announce")
    assert notice.depends_on == ()
    assert isinstance(notice.operation, Announce)
    asked = approval(made)
    assert msgspec.json.decode(notice.operation.data, type=ApprovalRequested) == (
        ApprovalRequested("ECO-7", asked.question, asked.text, "quality", asked.evidence)
    )
    [case] = cases
    assert (case.code, case.word, case.owner, case.where) == (
        "supplier-not-qualified",
        "business_rule",
        "sourcing",
        "engineering-change/ECO-7: supplier/S-3",
    )


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (supplier("S-1", "conditional", stated_as="QualifiedRestricted"), "QualifiedRestricted"),
        (supplier("S-1", "disqualified"), "disqualified"),
        (supplier("S-1", active=False), "inactive"),
        (supplier("S-1", valid_until=date(2026, 3, 1)), "qualified until 2026-03-01 only"),
    ],
)
def test_whoever_is_not_fully_qualified_today_needs_a_decision(
    stated: Supplier, words: str
) -> None:
    made = plan(ONE, BOLT, covered("BOLT-1"), stated)
    asked = approval(made, "|quality|supplier|S-1|approve")
    assert asked.text == f"May Supplier S-1 (S-1), which is {words}, be bought from for ECO-7?"


def test_a_qualification_holds_on_its_last_day() -> None:
    made = plan(ONE, BOLT, covered("BOLT-1"), supplier(valid_until=TODAY))
    assert names(made.steps, "approve") == []


def test_a_person_is_not_asked_before_all_that_belongs_to_the_question_is_known() -> None:
    without_bolt = [d for d in EVERYTHING if d != covered("BOLT-1")]
    made, cases = decide(CHANGE, facts(*without_bolt))
    assert names(made.steps, "approve") == []
    assert cases == ()
    # The info records are in the plan all the same, so that what was done stays planned.
    assert (
        "|layshaft|coverage|BOLT-1|await-fact"
        in named(made, "1010|erp|info-record|S-3/SEAL-1|put-info-record").depends_on
    )
    assert (
        "|layshaft|coverage|BOLT-1|await-fact"
        not in named(made, "1010|erp|info-record|S-1/ROD-1|put-info-record").depends_on
    )


def test_the_question_is_the_same_whatever_else_becomes_known() -> None:
    """Another supplier's answer, a contract that is missing: no reason to ask again."""
    gap = [d for d in EVERYTHING if d not in (covered("BOLT-1"), SUPPLIERS[0])]
    asked = [
        approval(plan(CHANGE, *gap, *more))
        for more in (
            (Coverage("BOLT-1", ()),),
            (Coverage("BOLT-1", ()), SUPPLIERS[0]),
            (covered("BOLT-1"), SUPPLIERS[0]),
        )
    ]
    assert asked[0] == asked[1] == asked[2]


def test_a_change_that_grows_keeps_what_was_planned_and_asks_again_when_it_knows() -> None:
    structure = bom("GB-100", line("SEAL-1"))
    known = (item("GB-100", "make"), structure, item("SEAL-1"), *ANSWERS, *SUPPLIERS)
    before = plan(CHANGE, *known)
    grown = change("GB-100", "SEAL-2")
    during = plan(grown, *known, item("SEAL-2"))
    after = plan(grown, *known, item("SEAL-2"), covered("SEAL-2", "S-3", "C-3"))
    calls = {step.identity for step in before.steps if step.kind == "call"}
    assert {i for i in calls if not i.endswith("request-review")} <= {
        step.identity for step in during.steps
    }
    assert "items: SEAL-1, SEAL-2" in approval(after).evidence


@pytest.mark.parametrize(
    ("approvers", "role"), [({}, "quality"), ({"supplier-qualification": "buyers"}, "buyers")]
)
def test_the_rules_name_the_role_that_decides(approvers: dict[str, str], role: str) -> None:
    known = facts(BOLT, covered("BOLT-1"), supplier("S-1", "disqualified"))
    rules: Any = msgspec.structs.replace(known.rules, approvers=approvers)
    made, _ = decide(ONE, msgspec.structs.replace(known, rules=rules))
    assert [s.system for s in made.steps if isinstance(s.operation, Approve)] == [role]


@pytest.mark.parametrize(("signatures", "number"), [({}, 1), ({"supplier-qualification": 2}, 2)])
def test_the_rules_say_how_many_have_to_sign(signatures: dict[str, int], number: int) -> None:
    known = facts(BOLT, covered("BOLT-1"), supplier("S-1", "disqualified"))
    rules: Any = msgspec.structs.replace(known.rules, signatures=signatures)
    made, _ = decide(ONE, msgspec.structs.replace(known, rules=rules))
    asked = [s.operation for s in made.steps if isinstance(s.operation, Approve)]
    assert [a.signatures for a in asked] == [number]
