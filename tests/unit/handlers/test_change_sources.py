"""Source lists of a change: which source a plan enters where, from when, after what; what others
keep; and what it says where an ERP wants a list and no rule does."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from canonical.change import EngineeringChange
from canonical.codec import encode
from canonical.effectivity import DateEffectivity
from canonical.effects import Finding, Open, Plan
from canonical.facts import Document
from canonical.item_master import ItemMaster, PlantView
from canonical.operations import PutBom, PutSourceList
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.rules import Route, Rules
from canonical.source_list import Source, SourceList
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    CENTRAL,
    CHANGE,
    EVERYTHING,
    LOCAL,
    NOW,
    RULES,
    awaited,
    bom,
    change,
    covered,
    decide,
    facts,
    item,
    line,
    message,
    named,
    names,
    plan,
    supplier,
)
from tests.unit.handlers.plans import Book
from tests.unit.handlers.test_change_buying import before

PUT = "put-source-list"
BOLT = item("BOLT-1")
ONE = change("BOLT-1")
BOTH = (BOLT, covered("BOLT-1"), supplier())
SINCE_2020 = date(2020, 1, 1)
LISTED = "1010|erp|source-list|BOLT-1|put-source-list"
RECORD = "1010|erp|info-record|S-1/BOLT-1|put-info-record"


def with_rule(
    central: bool | None = True, local: bool | None = None, *more: Route, rules: Rules = RULES
) -> Rules:
    """What is said of the two plants."""
    plants = (
        msgspec.structs.replace(CENTRAL, source_list=central),
        msgspec.structs.replace(LOCAL, source_list=local),
    )
    return msgspec.structs.replace(rules, plants=plants, routes=(*rules.routes, *more))


LISTS = with_rule()
LONE = (item("PIN-9"), covered("PIN-9"))


def planned(
    stated: EngineeringChange, *known: Document, rules: Rules, now: datetime = NOW
) -> tuple[Plan, tuple[Open, ...]]:
    return decide(stated, facts(*known, rules=rules), now)


def entered(made: Plan) -> dict[str, tuple[Source, ...]]:
    """The sources, by item, plant and system."""
    found: dict[str, tuple[Source, ...]] = {}
    for step in made.steps:
        if isinstance(step.operation, PutSourceList):
            stated = step.operation.sources
            assert step.operation.is_partial
            assert not stated.origin
            assert (stated.item, stated.plant) == (step.object_id, step.plant)
            found[f"{stated.item} {stated.plant} {step.system}"] = stated.sources
    return found


def source(first_day: date = date(2024, 1, 1), **more: Any) -> Source:
    plain = Source(first_day, supplier="S-1", organisation="1000")
    return msgspec.structs.replace(plain, **more)


def held(*plants: str, number: str = "BOLT-1") -> ItemMaster:
    return ItemMaster(number, 4, plants=tuple(PlantView(p, needs_source_list=True) for p in plants))


# --- the rule ---


def test_without_the_rule_a_plan_is_what_it_was() -> None:
    """Also where an ERP has told its materials, and wants no list."""
    whole = plan(CHANGE, *EVERYTHING)
    assert names(whole.steps, PUT) == []
    known = ItemMaster("BOLT-1", 4, plants=(PlantView("1010"), PlantView("2010")))
    assert encode(plan(CHANGE, *EVERYTHING, known)) == encode(whole)
    rules = with_rule(False, False)
    assert encode(plan(CHANGE, *EVERYTHING, rules=rules)) == encode(whole)


def test_what_is_bought_is_entered_in_the_plants_that_need_it() -> None:
    made, cases = planned(CHANGE, *EVERYTHING, rules=with_rule())
    bought = ["BOLT-1", "ROD-1", "SEAL-1", "WIRE-1"]
    assert sorted(names(made.steps, PUT)) == [f"{number} 1010" for number in bought]
    assert len(names(made.steps, "put-info-record")) == 2 * len(bought)
    assert [case.code for case in cases] == ["supplier-not-qualified"]
    everywhere = planned(CHANGE, *EVERYTHING, rules=with_rule(local=True))[0]
    assert len(names(everywhere.steps, PUT)) == 8


def test_the_source_is_that_of_the_contract_line_bought_by_who_buys_for_the_plant() -> None:
    known = (BOLT, covered("BOLT-1", last_day=date(2026, 12, 31)), supplier())
    made, _ = planned(ONE, *known, rules=with_rule(local=True))
    until = {"last_day": date(2026, 12, 31)}
    assert entered(made) == {
        "BOLT-1 1010 erp": (source(**until),),
        "BOLT-1 2010 erp": (source(organisation="2010", **until),),
    }
    step = named(made, LISTED)
    assert (step.kind, step.owner, step.lane) == ("call", "purchasing", "standard")


# --- days ---


def test_it_begins_with_the_change_on_the_day_of_the_plant() -> None:
    """Midnight of Regensburg is the evening before in Greenville."""
    start = datetime(2026, 5, 31, 22, tzinfo=UTC)
    stated = change("BOLT-1", effectivity=DateEffectivity(start, None, "Europe/Berlin"))
    rules = with_rule(local=True)
    made, _ = planned(stated, *BOTH, rules=rules)
    assert {place: rows[0].first_day for place, rows in entered(made).items()} == {
        "BOLT-1 1010 erp": date(2026, 6, 1),
        "BOLT-1 2010 erp": date(2026, 5, 31),
    }
    assert "|layshaft|engineering-change|ECO-7|await-time" in named(made, LISTED).depends_on
    # A plan that is made again on a later day says the same.
    later = planned(stated, *BOTH, rules=rules, now=datetime(2026, 8, 1, tzinfo=UTC))[0]
    assert entered(later) == entered(made)


def test_one_that_holds_from_its_release_begins_then() -> None:
    released = change("BOLT-1", released_at=datetime(2026, 2, 10, 23, 30, tzinfo=UTC))
    made, _ = planned(released, *BOTH, rules=with_rule(local=True))
    assert {place: rows[0].first_day for place, rows in entered(made).items()} == {
        "BOLT-1 1010 erp": date(2026, 2, 11),
        "BOLT-1 2010 erp": date(2026, 2, 10),
    }


def test_it_does_not_begin_before_the_contract_line() -> None:
    released = change("BOLT-1", released_at=datetime(2026, 2, 10, tzinfo=UTC))
    terms = covered("BOLT-1", first_day=date(2026, 3, 1))
    made, _ = planned(released, BOLT, terms, supplier(), rules=with_rule())
    assert entered(made)["BOLT-1 1010 erp"] == (source(date(2026, 3, 1)),)


def test_a_change_without_any_day_has_those_of_the_contract_line_on_every_day() -> None:
    made = [
        planned(ONE, *BOTH, rules=with_rule(), now=at)[0]
        for at in (NOW, datetime(2026, 3, 9, tzinfo=UTC))
    ]
    assert entered(made[0])["BOLT-1 1010 erp"] == (source(date(2024, 1, 1)),)
    assert entered(made[1]) == entered(made[0])


# --- the order of steps ---


def test_a_bom_that_it_does_not_go_into_keeps_it_from_nothing() -> None:
    other = (
        item("PUMP-1", "make"),
        bom("PUMP-1", line("NUT-1")),
        item("NUT-1"),
        covered("NUT-1"),
    )
    made, _ = planned(change("GB-100", "PUMP-1", "PIN-9"), *EVERYTHING, *other, *LONE, rules=LISTS)
    pump, gearbox, shaft = (f"1010|erp|bom|{n}|put-bom" for n in ("PUMP-1", "GB-100", "SH-10"))

    def boms_before(number: str) -> set[str]:
        step = named(made, f"1010|erp|source-list|{number}|{PUT}")
        return {identity for identity in before(made, step) if identity.endswith("put-bom")}

    assert boms_before("NUT-1") == {pump}
    assert boms_before("BOLT-1") == boms_before("ROD-1") == {gearbox, shaft}
    assert boms_before("PIN-9") == set()


def test_one_that_goes_into_two_comes_after_both() -> None:
    other = (item("PUMP-1", "make"), bom("PUMP-1", line("ROD-1", unit="KGM")))
    made, _ = planned(change("GB-100", "PUMP-1"), *EVERYTHING, *other, rules=LISTS)
    step = named(made, f"1010|erp|source-list|ROD-1|{PUT}")
    # The shaft's is before the gearbox's: one of them is enough.
    assert {identity for identity in step.depends_on if identity.endswith("put-bom")} == {
        "1010|erp|bom|GB-100|put-bom",
        "1010|erp|bom|PUMP-1|put-bom",
    }


def test_it_comes_after_its_view_and_all_that_it_goes_into_and_before_its_terms() -> None:
    made, _ = planned(CHANGE, *EVERYTHING, rules=with_rule(local=True))
    boms = {s.identity: s.plant for s in made.steps if isinstance(s.operation, PutBom)}
    assert len(boms) == 4
    for plant in ("1010", "2010"):
        for number in ("BOLT-1", "ROD-1", "WIRE-1"):
            step = named(made, f"{plant}|erp|source-list|{number}|{PUT}")
            found = before(made, step)
            assert {b for b in boms if b in found} == {b for b in boms if boms[b] == plant}
            assert f"{plant}|erp|item|{number}|extend-to-plant" in found
            assert f"|procurement|item|{number}|publish-item" in found
            record = named(made, f"{plant}|erp|info-record|S-1/{number}|put-info-record")
            assert step.identity in record.depends_on
            # The other plant's has nothing to do with it.
            lists = {i for i in before(made, record) if i.endswith(PUT)}
            assert lists == {step.identity}
    assert LISTED in before(made, named(made, "|layshaft|engineering-change|ECO-7|announce"))


def test_steps_of_three_levels_stand_in_the_order_that_each_of_them_needs() -> None:
    """GB-100 is made of SH-10, which is made of ROD-1, which is bought."""
    rules = with_rule(True, True, Route("change-master", "*", "erp", SINCE_2020))
    stated = change("GB-100", released_at=datetime(2026, 2, 1, tzinfo=UTC))
    made, _ = planned(stated, *EVERYTHING, rules=rules)
    chain = [
        "|erp|change-master|ECO-7|put-change-master",
        "|erp|item|ROD-1|put-item",
        "1010|erp|item|ROD-1|extend-to-plant",
        "1010|erp|bom|SH-10|put-bom",
        "1010|erp|bom|GB-100|put-bom",
        f"1010|erp|source-list|ROD-1|{PUT}",
        "1010|erp|info-record|S-1/ROD-1|put-info-record",
    ]
    for earlier, later in itertools.pairwise(chain):
        assert earlier in before(made, named(made, later))
    words = [identity.split("|")[-1] for identity in dict.fromkeys(chain)]
    ranks = {word: rank for rank, word in enumerate(words)}
    for step in made.steps:
        rank = ranks.get(step.identity.split("|")[-1])
        if rank is not None:
            found = {identity.split("|")[-1] for identity in before(made, step)}
            assert all(ranks[word] <= rank for word in found & ranks.keys())


def test_one_whose_supplier_is_not_qualified_waits_for_the_same_decision_as_its_terms() -> None:
    made, _ = planned(CHANGE, *EVERYTHING, rules=with_rule())
    decision = "|quality|supplier|S-3|approve"
    step = named(made, f"1010|erp|source-list|SEAL-1|{PUT}")
    assert decision in step.depends_on
    assert decision not in named(made, LISTED).depends_on
    book = Book()
    book.plan(made)
    book.work()
    # Told about it, and asked of procurement: what is open is that one purchase.
    assert book.states(PUT) == {
        "BOLT-1 1010": "done",
        "ROD-1 1010": "done",
        "WIRE-1 1010": "done",
        "SEAL-1 1010": "waiting",
    }
    book.decide(decision, granted=True)
    book.work()
    assert set(book.states(PUT).values()) == {"done"}
    assert book.is_complete()


def test_what_no_contract_covers_is_not_entered() -> None:
    other = covered("BOLT-1", plants=("2010",))
    made, cases = planned(ONE, BOLT, other, supplier(), rules=with_rule(local=True))
    assert set(entered(made)) == {"BOLT-1 2010 erp"}
    assert [case.code for case in cases] == ["contract-missing"]


def test_nothing_is_entered_of_what_is_made_or_on_hold() -> None:
    made, _ = planned(
        change("BOLT-1", "GB-100"),
        *EVERYTHING,
        item("BOLT-1", lifecycle="on_hold"),
        rules=with_rule(),
    )
    assert sorted(names(made.steps, PUT)) == ["ROD-1 1010", "SEAL-1 1010", "WIRE-1 1010"]


def test_both_systems_of_a_plant_that_goes_over_get_it_and_terms_follow_their_own() -> None:
    rules = with_rule(True, None, Route("*", "1010", "new", date(2026, 3, 2)))
    stated = change("BOLT-1", released_at=datetime(2026, 2, 1, tzinfo=UTC))
    made, _ = planned(stated, *BOTH, rules=rules)
    assert set(entered(made)) == {"BOLT-1 1010 erp", "BOLT-1 1010 new"}
    for system in ("erp", "new"):
        record = named(made, f"1010|{system}|info-record|S-1/BOLT-1|put-info-record")
        lists = {identity for identity in record.depends_on if identity.endswith(PUT)}
        assert lists == {f"1010|{system}|source-list|BOLT-1|{PUT}"}


def test_terms_follow_the_list_where_another_system_keeps_it() -> None:
    rules = with_rule(True, None, Route("source-list", "1010", "lists", SINCE_2020))
    made, _ = planned(ONE, *BOTH, rules=rules)
    assert set(entered(made)) == {"BOLT-1 1010 lists"}
    assert f"1010|lists|source-list|BOLT-1|{PUT}" in named(made, RECORD).depends_on


# --- contracts ---


def contract(origin: str = "procurement", **more: Any) -> PurchaseContract:
    plain = PurchaseContract(
        "C-1",
        3,
        "S-1",
        "active",
        date(2024, 1, 1),
        lines=(ContractLine("10", "NUT-1"), ContractLine("20", "BOLT-1")),
        origin=origin,
    )
    return msgspec.structs.replace(plain, **more)


AGREED = Route("purchase-contract", "*", "erp", SINCE_2020)


def agreement(*known: Document, rules: Rules) -> tuple[str, str]:
    made, _ = planned(ONE, *BOTH, *known, rules=rules)
    (found,) = entered(made)["BOLT-1 1010 erp"]
    return found.contract, found.contract_line


def test_the_contract_is_named_where_the_erp_has_it() -> None:
    assert agreement(contract(), rules=with_rule(True, None, AGREED)) == ("C-1", "20")
    assert agreement(contract("erp"), rules=with_rule()) == ("C-1", "20")


def test_one_that_the_erp_does_not_get_is_not_named() -> None:
    """The ERP would refuse the row."""
    nothing = ("", "")
    assert agreement(contract(), rules=with_rule()) == nothing
    routed = with_rule(True, None, AGREED)
    assert agreement(rules=routed) == nothing
    for other in (
        contract(supplier="S-9"),
        contract(""),
        contract(status="suspended"),
        contract(lines=(ContractLine("20", "BOLT-1", plants=("2010",)),)),
        contract(lines=(ContractLine("10", "NUT-1"),)),
    ):
        assert agreement(other, rules=routed) == nothing


def test_the_plan_is_made_anew_when_the_contract_or_the_list_changes() -> None:
    def watched(*more: Route) -> str:
        made, _ = planned(ONE, *BOTH, rules=with_rule(True, None, *more))
        return named(made, LISTED).fact

    assert watched() == ""
    assert watched(AGREED) == "contract/C-1"
    listed = Route("source-list", "*", "erp", SINCE_2020)
    assert watched(AGREED, listed) == "source-list/1010/BOLT-1"
    needs = HANDLER.needs(message(ONE), facts(*BOTH, rules=with_rule()))
    assert {"contract/C-1", "source-list/1010/BOLT-1"} <= needs
    assert "source-list/2010/BOLT-1" not in needs


# --- lists that others keep ---

ROUTED = Route("source-list", "1010", "erp", SINCE_2020)


def kept(*rows: Source, origin: str = "suite") -> SourceList:
    return SourceList("BOLT-1", "1010", 3, rows, origin=origin)


def test_where_a_list_comes_from_elsewhere_its_own_row_is_entered() -> None:
    """So that the two ledgers want the same of one list."""
    theirs = source(date(2025, 1, 1), organisation="", contract="A-5", contract_line="10")
    known = kept(source(supplier="S-2"), msgspec.structs.replace(theirs, is_fixed=False))
    made, cases = planned(ONE, *BOTH, known, rules=with_rule(True, None, ROUTED))
    assert entered(made)["BOLT-1 1010 erp"] == (
        msgspec.structs.replace(theirs, organisation="1000"),
    )
    assert cases == ()


def test_of_a_row_that_its_list_blocks_on_some_days_the_others_are_entered() -> None:
    known = kept(
        source(date(2025, 1, 1)),
        source(date(2025, 7, 1), last_day=date(2025, 7, 31), is_blocked=True),
        source(date(2026, 12, 1), supplier="", is_blocked=True),
        source(date(2025, 1, 1), supplier="S-2", is_blocked=True),
    )
    made, _ = planned(ONE, *BOTH, known, rules=with_rule(True, None, ROUTED))
    assert entered(made)["BOLT-1 1010 erp"] == (
        source(date(2025, 8, 1), last_day=date(2026, 11, 30)),
    )


def test_one_that_does_not_let_the_supplier_be_bought_from_is_waited_for() -> None:
    rules = with_rule(True, None, ROUTED)
    for rows in (
        (),
        (source(supplier="S-2"),),
        (source(is_blocked=True), source()),
        (source(last_day=date(2026, 3, 1)),),
        (source(), source(supplier="S-2", is_fixed=True)),
    ):
        made, cases = planned(ONE, *BOTH, kept(*rows), rules=rules)
        assert entered(made) == {}
        assert awaited(made) == ["source-list/1010/BOLT-1 1010"]
        wait = "1010|layshaft|source-list|1010/BOLT-1|await-fact"
        assert wait in named(made, RECORD).depends_on
        assert [(case.code, case.word, case.owner) for case in cases] == [
            ("source-not-listed", "business_rule", "purchasing")
        ]
        assert cases[0].where == "engineering-change/ECO-7: source-list/1010/BOLT-1"
        assert "which suite keeps, does not let S-1 be bought from" in cases[0].what
        assert "C-1" in cases[0].remedy


def test_a_list_of_the_erp_itself_or_of_one_that_is_not_sent_on_binds_nobody() -> None:
    expected = {"BOLT-1 1010 erp": (source(),)}
    routed = with_rule(True, None, ROUTED)
    assert entered(planned(ONE, *BOTH, kept(origin="erp"), rules=routed)[0]) == expected
    assert entered(planned(ONE, *BOTH, kept(), rules=with_rule())[0]) == expected


# --- what the ERP says ---


def findings(*known: Document, rules: Rules, stated: EngineeringChange = ONE) -> list[Finding]:
    made, _ = planned(stated, *BOTH, *known, rules=rules)
    return [f for f in made.findings if f.code.startswith("source-list")]


def test_a_list_that_the_erp_wants_and_no_rule_speaks_of_is_told() -> None:
    assert findings(held("1010", "2010", "9999"), rules=RULES) == [
        Finding(
            "source-list-required",
            "item/BOLT-1",
            "BOLT-1 cannot be ordered without a source list in 1010, 2010, and no rule says who"
            " enters its sources: say it with source_list of the plant",
            "warning",
            "purchasing",
        )
    ]


def test_where_people_keep_it_that_is_told_too() -> None:
    assert findings(held("1010", "2010"), rules=with_rule(True, False)) == [
        Finding(
            "source-list-kept-by-people",
            "item/BOLT-1",
            "BOLT-1 cannot be ordered without a source list in 2010, which people keep there",
            "info",
            "purchasing",
        )
    ]


def test_nothing_is_told_where_the_rule_enters_it_or_the_erp_wants_none() -> None:
    assert findings(held("1010", "2010"), rules=with_rule(local=True)) == []
    assert findings(held(), rules=RULES) == []
    assert findings(held("1010", number="NUT-1"), rules=RULES) == []


def test_it_does_not_stop_a_change_of_a_regulated_family() -> None:
    """That is for what is wrong with definitions."""
    regulated = change("BOLT-1", family="Medical", plants=("1010",))
    assert len(findings(held("1010"), rules=RULES, stated=regulated)) == 1


def test_it_is_told_before_procurement_has_answered() -> None:
    made, _ = planned(ONE, BOLT, held("1010"), rules=RULES)
    assert [f.code for f in made.findings] == ["source-list-required"]


# --- a plan made anew ---


def test_another_contract_enters_its_supplier_too_and_takes_nobody_out() -> None:
    rules = with_rule()
    book = Book()
    book.plan(planned(ONE, *BOTH, rules=rules)[0])
    book.work()
    assert book.is_complete()
    other = (BOLT, covered("BOLT-1", "S-2", "C-2"), supplier("S-2"))
    made, _ = planned(ONE, *other, rules=rules)
    assert entered(made) == {"BOLT-1 1010 erp": (source(supplier="S-2"),)}
    book.plan(made)
    book.work()
    assert book.states(PUT) == {"BOLT-1 1010": "done"}
    # It is one step about one list: what it did before is followed, and nobody's to undo.
    assert LISTED not in book.left_behind
