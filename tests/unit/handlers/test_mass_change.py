"""What of a plan waits for a person because of its size: lines, prices, blocked items, steps."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.bom import BomLine, PlantBomState
from canonical.bom_rules import BomRules
from canonical.effects import Plan
from canonical.facts import Document, Facts
from canonical.guards import Guards
from canonical.item import Item
from canonical.money import Money, UnitPrice
from canonical.operations import Approve, PutBom, PutInfoRecord, changes_a_system, verb
from canonical.purchasing import InfoRecordTerms
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.rules import Rules
from handlers.flows.engineering_change import HANDLER
from handlers.flows.target_changes import known_key, removal
from tests.fixtures.gearbox import (
    ANSWERS,
    CHANGE,
    EVERYTHING,
    RULES,
    bom,
    change,
    contract_line,
    covered,
    decide,
    facts,
    item,
    line,
    message,
    plan,
    supplier,
)
from tests.unit.handlers.plans import Book, learned

BOM_QUESTION = "1010|engineering|bom|GB-100|approve"
WHOLE = "|engineering|mass-change|ECO-7|approve"


def with_guards(rules: Rules = RULES, **stated: Any) -> Rules:
    """The rules with what a configuration says of guards."""
    return msgspec.structs.replace(rules, guards=msgspec.convert(stated, Guards))


def lines_of(*components: str) -> tuple[BomLine, ...]:
    return tuple(line(c, position=str(10 * n)) for n, c in enumerate(components, 1))


def held(*components: str, plant: str = "1010", parent: str = "GB-100") -> PlantBomState:
    """The BOM as the plant's ERP has it."""
    one = Quantity(Decimal(1), "H87")
    return PlantBomState(plant, parent, "1", "1", 7, one, lines_of(*components))


def terms(amount: str, **stated: Any) -> InfoRecordTerms:
    """What plant 1010 buys BOLT-1 for now; the contract says 25.00 EUR for 100."""
    per = Quantity(Decimal(stated.pop("per", "100")), stated.pop("unit", "H87"))
    price = UnitPrice(Money(Decimal(amount), stated.pop("currency", "EUR")), per)
    defaults: dict[str, Any] = {"order_unit": "H87", "base_unit": "H87", "price": price}
    defaults["order_to_base"] = Ratio(1)
    return InfoRecordTerms("S-1", "BOLT-1", "1000", "1010", "standard", 7, **defaults | stated)


def questions(made: Plan) -> dict[str, Approve]:
    """The guard's questions by identity."""
    return {
        step.identity: step.operation
        for step in made.steps
        if isinstance(step.operation, Approve) and step.operation.question == "mass-change"
    }


def behind(made: Plan, identity: str) -> list[str]:
    """What waits for that decision, and what does so by way of nothing else."""
    return [step.identity for step in made.steps if identity in step.depends_on]


# Lines of a BOM


def test_a_bom_that_loses_more_than_a_fifth_of_its_lines_waits_for_a_person() -> None:
    made = plan(CHANGE, *EVERYTHING, held("SH-10", "BOLT-1", "OLD-1", "WIRE-1"))
    (identity, asked), *others = questions(made).items()
    assert (identity, others) == (BOM_QUESTION, [])
    assert asked.text == "May ECO-7 take 1 line of 4 out of the BOM of GB-100 in plant 1010?"
    assert asked.evidence == (
        "revision: B, for 1 H87",
        "taken out: 25 % of 4 lines that are engineering's",
        "taken out: line 30 OLD-1, 1 H87",
        "changed: line 20 BOLT-1, 1 H87 -> 4 H87",
        "changed: line 30 WIRE-1, 1 H87 -> 0.35 MTR",
    )
    # Nothing else waits: neither the other plant nor the items.
    assert behind(made, identity) == ["1010|erp|bom|GB-100|put-bom"]


@pytest.mark.parametrize(
    ("gone", "of", "limit", "expected"),
    [
        (1, 5, 20, False),
        (2, 9, 20, True),
        (1, 100, 0, True),
        (5, 5, 100, False),
        (3, 3, "off", False),
    ],
)
def test_the_limit_may_be_reached_and_not_exceeded(
    gone: int, of: int, limit: int | str, expected: bool
) -> None:
    kept = ["SH-10", "BOLT-1", "WIRE-1"]
    built = [*kept, *(f"OLD-{n}" for n in range(of))][: of - gone]
    parts = [item(number) for number in built]
    known = held(*built, *(f"GONE-{n}" for n in range(gone)))
    rules = with_guards(removed_lines_percent=limit)
    structure = bom("GB-100", *lines_of(*built)) if built else bom("GB-100", line("BOLT-1"))
    made = plan(
        CHANGE, item("GB-100", "make"), structure, item("BOLT-1"), *parts, known, rules=rules
    )
    assert (BOM_QUESTION in questions(made)) is expected


def test_what_no_target_has_told_of_is_not_asked_about() -> None:
    elsewhere = held("OLD-1", "OLD-2", plant="3010")
    deleted = msgspec.structs.replace(held("OLD-1", "OLD-2"), is_deleted=True)
    assert questions(plan(CHANGE, *EVERYTHING)) == {}
    assert questions(plan(CHANGE, *EVERYTHING, elsewhere)) == {}
    assert questions(plan(CHANGE, *EVERYTHING, deleted)) == {}


def test_what_is_the_plants_own_is_not_taken_out() -> None:
    rules = msgspec.structs.replace(
        RULES, boms=msgspec.convert({"plant_owned": [{"prefixes": ["PKG-"]}]}, BomRules)
    )
    known = held("SH-10", "BOLT-1", "WIRE-1", "PKG-1", "PKG-2", "PKG-3")
    assert questions(plan(CHANGE, *EVERYTHING, known, rules=rules)) == {}
    assert BOM_QUESTION in questions(plan(CHANGE, *EVERYTHING, known))


def test_a_plant_may_have_a_limit_of_its_own_or_none() -> None:
    known = [held("SH-10", "BOLT-1", "WIRE-1", "OLD-1", plant=code) for code in ("1010", "2010")]
    rules = with_guards(plants=[{"plant": "1010", "removed_lines_percent": "off"}])
    assert list(questions(plan(CHANGE, *EVERYTHING, *known, rules=rules))) == [
        "2010|engineering|bom|GB-100|approve"
    ]
    rules = with_guards(
        removed_lines_percent="off", plants=[{"plant": "1010", "removed_lines_percent": 20}]
    )
    assert list(questions(plan(CHANGE, *EVERYTHING, *known, rules=rules))) == [BOM_QUESTION]


def test_many_lines_are_counted_and_a_hidden_one_makes_it_another_question() -> None:
    gone = [f"OLD-{n}" for n in range(40)]
    (asked,) = questions(plan(CHANGE, *EVERYTHING, held(*gone))).values()
    shown = [row for row in asked.evidence if row.startswith("taken out: line")]
    assert len(shown) == 12
    assert "taken out: and 28 more" in asked.evidence
    (other,) = questions(plan(CHANGE, *EVERYTHING, held(*gone[:-1], "OLD-X"))).values()
    assert (other.text, other.evidence) == (asked.text, asked.evidence)
    assert other != asked


def test_a_bom_is_not_asked_about_before_it_is_known() -> None:
    """What is awaited may take lines out, or put them back."""
    rest = [one for one in EVERYTHING if one != item("WIRE-1", base_unit="MTR")]
    made = plan(CHANGE, *rest, held("OLD-1", "OLD-2"))
    (asked,) = [step for step in made.steps if step.identity == BOM_QUESTION]
    assert asked.depends_on == ("|layshaft|item|WIRE-1|await-fact",)


def test_who_decides_and_how_many_is_data() -> None:
    rules = msgspec.structs.replace(
        RULES, approvers={"mass-change": "configuration"}, signatures={"mass-change": 2}
    )
    made = plan(CHANGE, *EVERYTHING, held("OLD-1"), rules=rules)
    (asked,) = [s for s in made.steps if verb(s.operation) == "approve" and s.object_kind == "bom"]
    assert (asked.system, asked.owner) == ("configuration", "configuration")
    assert isinstance(asked.operation, Approve)
    assert asked.operation.signatures == 2


# The price of an info record

PRICE_QUESTION = "1010|engineering|info-record|S-1/BOLT-1|approve"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (terms("17.00"), "+47.1 %"),
        (terms("19.23"), "+30 %"),  # and a little more
        (terms("19.24"), None),
        (terms("50.00"), "-50 %"),
        (terms("35.71"), None),
        (terms("35.72"), "-30 %"),
        (terms("0.17", per="1"), "+47.1 %"),
        (terms("25.00", currency="USD"), "USD becomes EUR"),
        (terms("0"), "it was 0"),
        (terms("25.00", unit="KGM"), "KGM becomes H87"),
        # A box of ten was 2.50: as much as now.
        (terms("2.50", per="1", unit="XBX", order_unit="XBX", order_to_base=Ratio(10)), None),
        (terms("3.90", per="1", unit="XBX", order_unit="XBX", order_to_base=Ratio(10)), "-35.9 %"),
        # By weight: ten grams a piece.
        (terms("25.00", per="1", unit="KGM", order_to_price=Ratio(1, 100)), None),
        (terms("60.00", per="1", unit="KGM", order_to_price=Ratio(1, 100)), "-58.3 %"),
    ],
)
def test_a_price_that_moves_by_more_than_three_tenths_waits_for_a_person(
    known: InfoRecordTerms, words: str | None
) -> None:
    made = plan(CHANGE, *EVERYTHING, known)
    asked = questions(made)
    if words is None:
        assert asked == {}
        return
    assert asked[PRICE_QUESTION].text == (
        f"May ECO-7 move the price of BOLT-1 from S-1 in plant 1010 ({words})?"
    )
    assert behind(made, PRICE_QUESTION) == ["1010|erp|info-record|S-1/BOLT-1|put-info-record"]


def test_the_price_is_shown_as_it_is_and_as_it_would_be() -> None:
    (asked,) = questions(plan(CHANGE, *EVERYTHING, terms("10.00", lead_time_days=9))).values()
    assert asked.evidence == (
        "contract: C-1",
        "price: 10 EUR per 100 H87 -> 25 EUR per 100 H87",
        "lead time: 9 days -> 5 days",
    )


def test_terms_that_a_person_keeps_waiting_are_compared_anew_when_they_change() -> None:
    made = plan(CHANGE, *EVERYTHING, terms("10.00"))
    for identity in (PRICE_QUESTION, "1010|erp|info-record|S-1/BOLT-1|put-info-record"):
        (step,) = [step for step in made.steps if step.identity == identity]
        assert (step.fact, step.seen) == ("info-record/S-1/1000/1010/standard/BOLT-1", 1)


# The whole plan


def test_a_plan_of_very_many_steps_waits_as_a_whole_and_what_only_asks_goes_on() -> None:
    made = plan(CHANGE, *EVERYTHING, rules=with_guards(steps=20))
    asked = questions(made)[WHOLE]
    assert asked.text == "May ECO-7 write up to 34 objects?"
    assert asked.evidence == (
        "written: 6 item masters, 12 plant views, 4 BOMs, 4 catalogue items, up to 8 info records",
        "plants: 1010 (22), 2010 (22)",
        "all of it: layshaft plan ECO-7",
    )
    waiting = set(behind(made, WHOLE))
    assert waiting == {s.identity for s in made.steps if changes_a_system(s.operation)}
    assert questions(plan(CHANGE, *EVERYTHING, rules=with_guards(steps=34))) == {}
    assert questions(plan(CHANGE, *EVERYTHING, rules=with_guards(steps="off"))) == {}


def test_the_question_about_the_whole_plan_does_not_vary_while_it_is_carried_out() -> None:
    rules = with_guards(steps=20)
    definitions = EVERYTHING[: -len(ANSWERS) - 2]
    told: list[Document] = []
    first = questions(plan(CHANGE, *definitions, rules=rules))
    for answer in (*ANSWERS, supplier("S-1"), held("SH-10", "BOLT-1", "WIRE-1"), terms("25.00")):
        told.append(answer)
        assert questions(plan(CHANGE, *definitions, *told, rules=rules)) == first
    assert list(first) == [WHOLE]


def test_the_whole_plan_is_not_asked_about_before_all_definitions_are_known() -> None:
    rest = [one for one in EVERYTHING if one != item("WIRE-1", base_unit="MTR")]
    made = plan(CHANGE, *rest, rules=with_guards(steps=20))
    (asked,) = [step for step in made.steps if step.identity == WHOLE]
    assert asked.depends_on == ("|layshaft|item|WIRE-1|await-fact",)


def test_very_many_blocked_items_are_asked_about() -> None:
    rows = [f"P-{n:02}" for n in range(14)]
    states: list[Any] = ["obsolete", "on_hold"]
    parts: list[Item] = [item(n, lifecycle=states[at % 2]) for at, n in enumerate(rows)]
    made = plan(change(*rows), *parts, item("Q-1"), rules=with_guards(blocked_items=13))
    asked = questions(made)[WHOLE]
    assert asked.text == "May ECO-7 write 56 objects and block 14 items?"
    assert [row for row in asked.evidence if row.startswith("blocked")] == [
        *(f"blocked: P-{n:02} ({'on hold' if n % 2 else 'obsolete'})" for n in range(12)),
        "blocked: and 2 more",
    ]
    assert questions(plan(change(*rows), *parts, rules=with_guards(blocked_items=14))) == {}
    # One of those that are not named: another question all the same.
    other = [*parts[:-1], item(rows[-1], lifecycle="obsolete")]
    again = questions(plan(change(*rows), *other, rules=with_guards(blocked_items=13)))[WHOLE]
    assert again.evidence == asked.evidence
    assert again != asked


def test_a_plant_with_a_limit_of_its_own_is_counted_by_itself() -> None:
    def asks(**stated: Any) -> bool:
        return WHOLE in questions(plan(CHANGE, *EVERYTHING, rules=with_guards(**stated)))

    # In each plant: 6 items, 6 views, 2 BOMs, 4 catalogue items, up to 4 info records.
    assert not asks(steps=500, plants=[{"plant": "1010", "steps": 22}])
    assert asks(steps=500, plants=[{"plant": "1010", "steps": 21}])
    # The others together, without the one that has its own.
    assert not asks(steps=22, plants=[{"plant": "1010", "steps": "off"}])
    assert asks(steps=21, plants=[{"plant": "1010", "steps": "off"}])


def test_guards_of_a_plant_that_is_not_ours_are_refused() -> None:
    with pytest.raises(ValueError, match="plant 9, which is not ours"):
        with_guards(plants=[{"plant": "9", "steps": 1}])
    with pytest.raises(ValueError, match="name plant 1010 twice"):
        with_guards(plants=[{"plant": "1010"}, {"plant": "1010"}])


# While it is carried out


def test_what_was_approved_is_not_asked_again_and_what_was_not_is_not_let_through() -> None:
    known = facts(*EVERYTHING, held("SH-10", "BOLT-1", "OLD-1", "WIRE-1"))
    book = Book()
    book.plan(decide(CHANGE, known)[0])
    book.work()
    assert book.states("put-bom")["GB-100 1010"] == "waiting"
    assert book.states("put-bom")["GB-100 2010"] == "done"
    book.decide(BOM_QUESTION, granted=True)
    # Its ERP says otherwise before it is sent: that nobody has approved.
    known = learned(known, held("SH-10", "BOLT-1", "OLD-1", "OLD-2", "WIRE-1"))
    book.plan(decide(CHANGE, known)[0])
    assert book.states("put-bom")["GB-100 1010"] == "waiting"
    book.decide(BOM_QUESTION, granted=True)
    book.work()
    assert book.states("put-bom")["GB-100 1010"] == "done"
    # The ERP tells what has been done, then that a part was put back by hand.
    for now in (["SH-10", "BOLT-1", "WIRE-1"], ["SH-10", "BOLT-1", "WIRE-1", "OLD-1"]):
        known = learned(known, held(*now))
        book.plan(decide(CHANGE, known)[0])
        assert BOM_QUESTION not in book.open()
    assert book.left_behind == []


def test_a_rejection_holds_what_it_was_asked_for_and_nothing_else() -> None:
    book = Book()
    book.plan(plan(CHANGE, *EVERYTHING, held("OLD-1")))
    book.decide(BOM_QUESTION, granted=False)
    book.work()
    assert book.states("put-bom") == {
        "SH-10 1010": "done", "SH-10 2010": "done", "GB-100 1010": "held", "GB-100 2010": "done",
    }  # fmt: skip


@settings(max_examples=40)
@given(st.integers())
def test_no_bom_is_ever_ready_without_the_approval_of_just_that_loss(seed: int) -> None:
    """Targets say what they hold, or what somebody made of it, between any two steps."""
    die = Random(seed)
    pool = ["SH-10", "BOLT-1", "WIRE-1", "OLD-1", "OLD-2", "OLD-3"]
    known = facts(*EVERYTHING)
    approved: set[tuple[str, bytes]] = set()
    book = Book()
    for _ in range(8):
        plant = die.choice(["1010", "2010"])
        some = die.sample(pool, die.randint(1, len(pool)))
        known = learned(known, held(*some, plant=plant)) if die.random() < 0.5 else known
        made = decide(CHANGE, known)[0]
        book.plan(made)
        _require_approved(made, known, book, approved)
        open_now = [i for i in questions(made) if i in book.open()]
        if open_now and die.random() < 0.6:
            identity = die.choice(open_now)
            approved.add((identity, msgspec.json.encode(questions(made)[identity])))
            book.decide(identity, granted=True)
        if die.random() < 0.5:
            book.work()


def _require_approved(
    made: Plan, known: Facts, book: Book, approved: set[tuple[str, bytes]]
) -> None:
    """Of what may go now, what loses too much was approved with just this content."""
    asked = questions(made)
    for step in made.steps:
        if not isinstance(step.operation, PutBom):
            continue
        state = book.states("put-bom")[f"{step.object_id} {step.plant}"]
        document = known.documents.get(known_key(step.operation))
        if state != "ready" or document is None:
            continue
        assert isinstance(document.document, PlantBomState)
        loss = removal(step.operation.bom, document.document)
        identity = f"{step.plant}|engineering|bom|{step.object_id}|approve"
        if loss.removed * 5 > loss.of:
            assert (identity, msgspec.json.encode(asked[identity])) in approved
        else:
            assert identity not in asked


# What is looked at


def test_what_targets_hold_is_asked_for_where_it_is_compared() -> None:
    stated = message(CHANGE)
    off = with_guards(removed_lines_percent="off", price_percent="off")
    plain = HANDLER.needs(stated, facts(*EVERYTHING, rules=off))
    assert HANDLER.needs(stated, facts(*EVERYTHING)) - plain == {
        f"plant-bom/{plant}/1/1/{parent}"
        for plant in ("1010", "2010")
        for parent in ("GB-100", "SH-10")
    } | {
        f"info-record/{supplier}/{org}/standard/{number}"
        for supplier, number in (
            ("S-1", "ROD-1"), ("S-3", "SEAL-1"), ("S-1", "BOLT-1"), ("S-1", "WIRE-1"),
        )
        for org in ("1000/1010", "2010/2010")
    }  # fmt: skip


def test_every_bom_and_every_price_that_is_planned_was_asked_for() -> None:
    rules = with_guards(price_percent=0, removed_lines_percent=0)
    documents = [*EVERYTHING, covered("BOLT-1"), contracts("ROD-1")]
    asked = HANDLER.needs(message(CHANGE), facts(*documents, rules=rules))
    written = [
        step
        for step in plan(CHANGE, *documents, rules=rules).steps
        if isinstance(step.operation, PutBom | PutInfoRecord)
    ]
    assert {known_key(step.operation) for step in written} <= asked
    assert len(written) == 4 + 8


def contracts(number: str) -> Document:
    one = contract_line(order_unit="KGM", plants=("1010",))
    other = contract_line("S-3", "C-9", order_unit="KGM", plants=("2010",))
    return msgspec.structs.replace(covered(number), lines=(one, other))


def test_a_part_in_other_units_is_compared_in_its_base_unit() -> None:
    """The contract is by the box of 100, the ERP's terms are by the piece."""
    part = item("BOLT-1", alternates=(ItemUnit("XBX", Ratio(100)),))
    boxed = UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1), "XBX"))
    documents = [
        *(one for one in EVERYTHING if not isinstance(one, Item) or one.number != "BOLT-1"),
        part,
        covered("BOLT-1", order_unit="XBX", price=boxed),
    ]
    same, twice = terms("0.25", per="1"), terms("0.125", per="1")
    assert questions(plan(CHANGE, *documents, same)) == {}
    assert "(+100 %)" in questions(plan(CHANGE, *documents, twice))[PRICE_QUESTION].text
