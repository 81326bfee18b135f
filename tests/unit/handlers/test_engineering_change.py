"""What is planned for items, BOMs and plants, and what is awaited before that."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from canonical.bom import Bom, PlantBom, Substitute
from canonical.change import AffectedItem, EngineeringChange
from canonical.effectivity import DateEffectivity, Effectivity, LotEffectivity, SerialEffectivity
from canonical.effects import Plan
from canonical.errors import Failure, InvalidMessage, Misconfigured, Rejected
from canonical.events import ChangeCompleted, PlanAdjustmentNeeded
from canonical.facts import Document
from canonical.item import ApprovedManufacturer
from canonical.operations import Announce, ExtendToPlant, PutBom
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import Revision
from canonical.rules import Route
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    CHANGE,
    DEFINITIONS,
    EVERYTHING,
    ITEMS,
    NOW,
    RULES,
    STRUCTURES,
    awaited,
    bom,
    change,
    decide,
    facts,
    item,
    line,
    message,
    named,
    names,
    plan,
)

COMPLETED = "|layshaft|engineering-change|ECO-7|announce"


def refused(stated: EngineeringChange, *documents: Document, rules: Any = RULES) -> Failure:
    """The failure that deciding ends in."""
    with pytest.raises(Failure) as caught:
        decide(stated, facts(*documents, rules=rules))
    return caught.value


def plant_bom(made: Plan, identity: str) -> PlantBom:
    """The BOM a step wants."""
    operation = named(made, identity).operation
    assert isinstance(operation, PutBom)
    return operation.bom


# --- items and plants ---


def test_each_item_gets_one_master_and_a_view_in_each_plant_of_its_assembly() -> None:
    made = plan(CHANGE, *DEFINITIONS)
    numbers = ["BOLT-1", "GB-100", "ROD-1", "SEAL-1", "SH-10", "WIRE-1"]
    assert sorted(names(made.steps, "put-item")) == numbers
    assert sorted(names(made.steps, "extend-to-plant")) == [
        f"{number} {plant}" for number in numbers for plant in ("1010", "2010")
    ]


def test_a_plant_view_says_how_the_plant_gets_the_item_and_who_buys_it() -> None:
    step = named(plan(CHANGE, *DEFINITIONS), "2010|erp|item|ROD-1|extend-to-plant")
    assert step.operation == ExtendToPlant("ROD-1", "2010", "buy", "KGM", "L01")
    assert step.depends_on == ("|erp|item|ROD-1|put-item",)


@pytest.mark.parametrize(
    ("stated", "plants"),
    [
        (change(AffectedItem("BOLT-1", "B", plants=("2010",)), plants=("1010",)), ["2010"]),
        (change("BOLT-1", plants=("1010",)), ["1010"]),
        (change("BOLT-1", family="Motors"), ["2010"]),
        (change("BOLT-1", family=""), ["1010", "2010"]),
    ],
    ids=["row", "change", "family of the change", "family of the item"],
)
def test_the_row_names_the_plants_else_the_change_else_the_rule_for_a_family(
    stated: EngineeringChange, plants: list[str]
) -> None:
    made = plan(stated, item("BOLT-1"))
    assert names(made.steps, "extend-to-plant") == [f"BOLT-1 {plant}" for plant in plants]


def test_without_any_plant_a_person_has_to_say() -> None:
    failure = refused(change("BOLT-1", family=""), item("BOLT-1", family="Sundries"))
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner, failure.where) == (
        "plants-unknown",
        "engineering",
        "item/BOLT-1",
    )


def test_a_plant_that_is_not_ours_is_refused() -> None:
    failure = refused(change("BOLT-1", plants=("1010", "9999")), item("BOLT-1"))
    assert (failure.code, failure.owner) == ("plant-unknown", "engineering")
    assert failure.what == "Plant 9999 is not known"


def test_the_family_of_an_unknown_item_is_awaited_not_refused() -> None:
    made = plan(change("BOLT-1", family=""))
    assert awaited(made) == ["item/BOLT-1"]
    assert names(made.steps, "extend-to-plant") == []


def test_documents_and_services_are_left_out_and_reported() -> None:
    drawing = item("DRW-1", "none", kind="document")
    made = plan(
        change("GB-100"),
        item("GB-100", "make"),
        bom("GB-100", line("DRW-1"), line("BOLT-1", position="20")),
        drawing,
        item("BOLT-1"),
    )
    assert names(made.steps, "put-item") == ["BOLT-1", "GB-100"]
    wanted = plant_bom(made, "1010|erp|bom|GB-100|put-bom")
    assert [row.component for row in wanted.lines] == ["BOLT-1"]
    assert [(f.code, f.where, f.severity) for f in made.findings] == [
        ("not-a-material", "item/DRW-1", "info")
    ]


def test_an_assembly_of_documents_only_has_no_bom_in_the_erp() -> None:
    made = plan(
        CHANGE,
        item("GB-100", "make"),
        bom("GB-100", line("DRW-1")),
        item("DRW-1", "none", kind="document"),
    )
    assert names(made.steps, "put-bom") == []


def test_the_structure_of_what_is_bought_complete_is_the_suppliers() -> None:
    made = plan(CHANGE, item("GB-100", "buy"), *STRUCTURES)
    assert names(made.steps, "put-item") == ["GB-100"]
    assert names(made.steps, "put-bom") == []
    assert awaited(made) == ["coverage/GB-100"]


def test_where_each_plant_has_its_own_erp_the_master_is_in_both() -> None:
    routes = (*RULES.routes, Route("*", "2010", "erp-new", date(2026, 1, 1)))
    made = plan(
        change("BOLT-1"), item("BOLT-1"), rules=msgspec.structs.replace(RULES, routes=routes)
    )
    assert [step.identity for step in made.steps if step.object_kind == "item"] == [
        "|erp|item|BOLT-1|put-item",
        "|erp-new|item|BOLT-1|put-item",
        "1010|erp|item|BOLT-1|extend-to-plant",
        "2010|erp-new|item|BOLT-1|extend-to-plant",
        "|procurement|item|BOLT-1|publish-item",
    ]
    assert named(made, "2010|erp-new|item|BOLT-1|extend-to-plant").depends_on == (
        "|erp-new|item|BOLT-1|put-item",
    )


def test_a_plant_without_a_route_is_a_fault_of_the_configuration() -> None:
    without = msgspec.structs.replace(RULES, routes=())
    failure = refused(change("BOLT-1"), item("BOLT-1"), rules=without)
    assert isinstance(failure, Misconfigured)
    assert failure.code == "route-missing"


# --- BOMs ---


def test_components_come_before_the_bom_and_its_bom_before_that_of_the_parent() -> None:
    made = plan(CHANGE, *DEFINITIONS)
    assert names(made.steps, "put-bom") == [
        "SH-10 1010",
        "SH-10 2010",
        "GB-100 1010",
        "GB-100 2010",
    ]
    assert named(made, "1010|erp|bom|SH-10|put-bom").depends_on == (
        "1010|erp|item|ROD-1|extend-to-plant",
        "1010|erp|item|SEAL-1|extend-to-plant",
        "1010|erp|item|SH-10|extend-to-plant",
    )
    assert named(made, "1010|erp|bom|GB-100|put-bom").depends_on == (
        "1010|erp|bom|SH-10|put-bom",
        "1010|erp|item|BOLT-1|extend-to-plant",
        "1010|erp|item|GB-100|extend-to-plant",
        "1010|erp|item|SH-10|extend-to-plant",
        "1010|erp|item|WIRE-1|extend-to-plant",
    )


def test_lines_are_in_the_components_unit_and_the_base_quantity_stays() -> None:
    made = plan(CHANGE, *DEFINITIONS)
    gearbox = plant_bom(made, "1010|erp|bom|GB-100|put-bom")
    assert (gearbox.plant, gearbox.revision, gearbox.usage, gearbox.alternative) == (
        "1010",
        "B",
        "1",
        "1",
    )
    assert [row.quantity for row in gearbox.lines] == [
        Quantity(Decimal("1"), "H87"),
        Quantity(Decimal("4"), "H87"),
        Quantity(Decimal("0.35"), "MTR"),
    ]
    assert plant_bom(made, "1010|erp|bom|SH-10|put-bom").base == Quantity(Decimal("100"), "H87")


def test_a_line_in_the_items_own_alternate_unit_is_converted_by_the_items_ratio() -> None:
    rod = item("ROD-1", base_unit="KGM", alternates=(ItemUnit("H87", Ratio(13, 5)),))
    made = plan(CHANGE, item("GB-100", "make"), bom("GB-100", line("ROD-1", "3")), rod)
    [row] = plant_bom(made, "1010|erp|bom|GB-100|put-bom").lines
    assert row.quantity == Quantity(Decimal("7.8"), "KGM")


def test_a_substitute_is_used_in_what_the_line_states_and_not_in_the_unit_of_the_component() -> (
    None
):
    rod = item("ROD-1", base_unit="KGM", alternates=(ItemUnit("H87", Ratio(13, 5)),))
    own = Quantity(Decimal(4), "MTR")
    ranked = (Substitute("ROD-2", 1), Substitute("ROD-3", 2, own))
    stated = msgspec.structs.replace(line("ROD-1", "3"), substitutions=ranked)
    made = plan(CHANGE, item("GB-100", "make"), bom("GB-100", stated), rod)
    [row] = plant_bom(made, "1010|erp|bom|GB-100|put-bom").lines
    assert [one.quantity for one in row.substitutions] == [Quantity(Decimal(3), "H87"), own]
    in_kilograms = msgspec.structs.replace(line("ROD-1", "3", "KGM"), substitutions=ranked)
    made = plan(CHANGE, item("GB-100", "make"), bom("GB-100", in_kilograms), rod)
    assert plant_bom(made, "1010|erp|bom|GB-100|put-bom").lines == (in_kilograms,)


def test_a_bom_waits_for_the_views_of_substitutes_that_are_released_with_it() -> None:
    ranked = msgspec.structs.replace(
        line("ROD-1"), substitutions=(Substitute("ROD-2", 1),), substitutes=("ROD-2",)
    )
    released = change("GB-100", "ROD-2")
    structure = bom("GB-100", ranked)
    made = plan(released, item("GB-100", "make"), structure, item("ROD-1"), item("ROD-2"))
    after = named(made, "1010|erp|bom|GB-100|put-bom").depends_on
    assert "1010|erp|item|ROD-2|extend-to-plant" in after


def test_a_conversion_without_end_is_rounded_to_six_decimals() -> None:
    made = plan(
        CHANGE,
        item("GB-100", "make"),
        bom("GB-100", line("ROD-1", "1", "LBR")),
        item("ROD-1", base_unit="KGM"),
    )
    [row] = plant_bom(made, "1010|erp|bom|GB-100|put-bom").lines
    assert row.quantity == Quantity(Decimal("0.453592"), "KGM")


@pytest.mark.parametrize(
    ("structure", "code", "where"),
    [
        (
            bom("GB-100", line("ROD-1", "2", "MTR", "40")),
            "unit-mismatch",
            "bom/GB-100 line 40 component ROD-1",
        ),
        (
            bom("GB-100", line("ROD-1", "0.0001", "MGM", "40")),
            "quantity-too-small",
            "bom/GB-100 line 40 component ROD-1",
        ),
        (bom("GB-100", line("ROD-1"), base="0"), "base-quantity", "bom/GB-100 base quantity"),
    ],
)
def test_a_quantity_that_cannot_be_used_is_put_before_whoever_keeps_engineering_data(
    structure: Bom, code: str, where: str
) -> None:
    rod = item("ROD-1", base_unit="KGM", alternates=(ItemUnit("H87", Ratio(13, 5)),))
    failure = refused(CHANGE, item("GB-100", "make"), structure, rod)
    assert isinstance(failure, InvalidMessage)
    assert (failure.code, failure.where, failure.owner) == (code, where, "engineering data")
    assert failure.remedy


def test_a_structure_that_contains_itself_is_refused() -> None:
    failure = refused(
        CHANGE,
        item("GB-100", "make"),
        item("SH-10", "make"),
        bom("GB-100", line("SH-10")),
        bom("SH-10", line("GB-100")),
    )
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner) == ("bom-cycle", "engineering")
    assert failure.what == "GB-100 contains SH-10 contains GB-100"


def test_an_item_in_its_own_structure_is_refused() -> None:
    failure = refused(CHANGE, item("GB-100", "make"), bom("GB-100", line("GB-100")))
    assert failure.what == "GB-100 contains GB-100"


@pytest.mark.parametrize(("levels", "fate"), [(16, None), (17, "structure-too-deep")])
def test_sixteen_levels_are_planned_and_no_more(levels: int, fate: str | None) -> None:
    chain = [item(f"L{n}", "make" if n < levels else "buy") for n in range(1, levels + 1)]
    structures = [bom(f"L{n}", line(f"L{n + 1}")) for n in range(1, levels)]
    documents: list[Document] = [*chain, *structures]
    if fate is None:
        assert len(names(plan(change("L1"), *documents).steps, "put-item")) == levels
    else:
        assert refused(change("L1"), *documents).code == fate


# --- what is awaited ---


def test_definitions_are_awaited_one_by_one_until_nothing_is() -> None:
    arriving: list[Document] = [ITEMS[0], STRUCTURES[0], *ITEMS[1:], STRUCTURES[1]]
    waits = [awaited(plan(CHANGE, *arriving[:count])) for count in range(len(arriving) + 1)]
    answers = ["coverage/BOLT-1", "coverage/ROD-1", "coverage/SEAL-1", "coverage/WIRE-1"]
    assert waits[:4] == [
        ["item/GB-100"],
        ["bom/GB-100"],
        ["item/BOLT-1", "item/SH-10", "item/WIRE-1"],
        ["item/BOLT-1", "bom/SH-10", "item/WIRE-1"],
    ]
    assert sorted(waits[-1]) == answers
    assert awaited(plan(CHANGE, *EVERYTHING)) == []


def test_what_is_known_is_planned_while_the_rest_is_awaited() -> None:
    made = plan(CHANGE, *(d for d in DEFINITIONS if d != ITEMS[4]))
    assert "BOLT-1" not in names(made.steps, "put-item")
    assert named(made, "1010|erp|bom|SH-10|put-bom").depends_on == (
        "1010|erp|item|ROD-1|extend-to-plant",
        "1010|erp|item|SEAL-1|extend-to-plant",
        "1010|erp|item|SH-10|extend-to-plant",
    )
    wait = "|layshaft|item|BOLT-1|await-fact"
    assert wait in named(made, "1010|erp|bom|GB-100|put-bom").depends_on
    assert named(made, wait).owner == "engineering"


def test_the_parents_bom_waits_for_the_unknown_bom_of_a_component() -> None:
    made = plan(CHANGE, *ITEMS, STRUCTURES[0], *map(item, ("ROD-1", "SEAL-1")))
    assert "|layshaft|bom|SH-10|await-fact" in named(made, "1010|erp|bom|GB-100|put-bom").depends_on


def test_an_item_in_an_older_revision_is_awaited_and_its_steps_wait() -> None:
    made = plan(change("BOLT-1"), item("BOLT-1", label="A"))
    wait = named(made, "|layshaft|item|BOLT-1|await-fact")
    assert msgspec.to_builtins(wait.operation) == {
        "type": "await-fact",
        "fact": "item/BOLT-1",
        "seen": 1,
        "reason": "BOLT-1 is known in revision A, the change releases B",
    }
    assert named(made, "|erp|item|BOLT-1|put-item").depends_on == (wait.identity,)
    assert [(f.code, f.severity) for f in made.findings] == [("revision-differs", "info")]


def test_an_item_that_went_on_to_a_newer_revision_is_planned_and_reported() -> None:
    made = plan(change("BOLT-1"), item("BOLT-1", label="C"))
    assert "item/BOLT-1" not in awaited(made)
    assert [(f.code, f.severity, f.what) for f in made.findings] == [
        ("revision-differs", "warning", "The change releases BOLT-1 B, known is C")
    ]


def test_a_revision_without_a_common_order_is_awaited() -> None:
    known = msgspec.structs.replace(
        item("BOLT-1"), revision=Revision("change_number", "60053", 1_700_000_000)
    )
    assert "item/BOLT-1" in awaited(plan(change(AffectedItem("BOLT-1", "60054")), known))


def test_a_new_item_with_its_old_bom_is_half_a_release() -> None:
    made = plan(CHANGE, *ITEMS, bom("GB-100", line("BOLT-1"), label="A"))
    wait = named(made, "|layshaft|bom|GB-100|await-fact")
    assert "GB-100 is known in revision B, its BOM in A" in str(wait.operation)
    assert wait.identity in named(made, "1010|erp|bom|GB-100|put-bom").depends_on
    # It may not be in the new structure: nothing is written about it before that is known.
    assert named(made, "|erp|item|BOLT-1|put-item").depends_on == (wait.identity,)
    assert named(made, "|erp|item|GB-100|put-item").depends_on == ()


def test_a_new_bom_with_its_old_item_is_half_a_release_too() -> None:
    stated = change("GB-100")
    made = plan(
        stated, item("GB-100", "make"), bom("GB-100", line("BOLT-1"), label="C"), item("BOLT-1")
    )
    assert "item/GB-100" in awaited(made)
    assert named(made, "|erp|item|GB-100|put-item").depends_on == (
        "|layshaft|item|GB-100|await-fact",
    )


def test_a_line_of_what_is_awaited_stands_as_stated_whatever_its_unit() -> None:
    """The unit of the awaited revision may be the one that fits."""
    structure = bom("GB-100", line("ROD-1", "2", "MTR"))
    rod = item("ROD-1", label="A", base_unit="KGM")
    made = plan(change("GB-100", "ROD-1"), item("GB-100", "make"), structure, rod)
    identity = "1010|erp|bom|GB-100|put-bom"
    assert plant_bom(made, identity).lines == structure.lines
    assert "|layshaft|item|ROD-1|await-fact" in named(made, identity).depends_on


# --- findings ---


def test_findings_name_rule_object_and_owner() -> None:
    maker = ApprovedManufacturer
    made = plan(
        CHANGE,
        item("GB-100", "make"),
        bom("GB-100", line("P-1"), line("P-2"), line("P-3", "0", position="30")),
        item("P-1", lifecycle="in_design", phase="Prototype"),
        item("P-2", manufacturers=(maker("M", "1", "approved"), maker("M", "2", "obsolete"))),
        item("P-3", manufacturers=(maker("M", "3", "disapproved"),)),
    )
    assert [(f.code, f.where, f.severity, f.owner) for f in made.findings] == [
        ("component-not-released", "item/P-1", "warning", "engineering"),
        ("manufacturer-part-obsolete", "item/P-2", "warning", "sourcing"),
        ("manufacturer-part-obsolete", "item/P-3", "warning", "sourcing"),
        ("aml-missing", "item/P-3", "warning", "sourcing"),
        ("quantity-zero", "bom/GB-100", "warning", "engineering"),
    ]
    assert made.findings[0].what == "P-1 is in phase Prototype, inside the released GB-100"


def test_a_conditional_manufacturer_is_one() -> None:
    stated = item("P-1", manufacturers=(ApprovedManufacturer("M", "1", "conditional"),))
    assert plan(change("P-1"), stated).findings == ()


def test_a_prototype_in_a_prototype_is_no_finding() -> None:
    made = plan(
        CHANGE,
        item("GB-100", "make", lifecycle="in_design"),
        bom("GB-100", line("P-1")),
        item("P-1", lifecycle="in_design"),
    )
    assert made.findings == ()


def test_in_a_regulated_family_a_finding_stops_the_change() -> None:
    failure = refused(
        change("P-1", family="Medical", plants=("1010",)), item("P-1", manufacturers=())
    )
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner) == ("finding-stops-change", "quality")
    assert "aml-missing: P-1 is bought and has no approved manufacturer" in failure.what


def test_in_a_regulated_family_nothing_is_written_before_all_definitions_are_known() -> None:
    made = plan(
        change("P-1", "P-2", family="Medical", plants=("1010",)),
        item("P-1"),
        item("P-2", label="A", manufacturers=()),
    )
    wait = "|layshaft|item|P-2|await-fact"
    assert named(made, "|erp|item|P-1|put-item").depends_on == (wait,)
    assert named(made, "|procurement|item|P-1|publish-item").depends_on == (wait,)


# --- lanes, due times, effectivity ---


@pytest.mark.parametrize(
    ("urgency", "lane"),
    [("Critical", "critical"), ("Emergency", "critical"), ("HIGH", "critical"),
     ("Normal", "standard"), ("", "standard")],
)  # fmt: skip
def test_urgent_changes_take_the_critical_lane(urgency: str, lane: str) -> None:
    made = plan(change("BOLT-1", urgency=urgency), item("BOLT-1"))
    notices = {f"{p}|layshaft|engineering-change|ECO-7|announce" for p in ("1010", "2010")}
    assert {s.lane for s in made.steps if s.identity not in notices} == {lane}
    assert {s.lane for s in made.steps if s.identity in notices} == {"enrichment"}


def test_steps_are_late_after_the_seconds_of_the_rules_or_a_day() -> None:
    made = plan(CHANGE, *DEFINITIONS)
    assert named(made, "1010|erp|bom|SH-10|put-bom").due_s == 600
    assert named(made, "|erp|item|SH-10|put-item").due_s == 86_400


@pytest.mark.parametrize(
    ("effectivity", "code"),
    [
        (DateEffectivity(NOW - timedelta(days=1), None, "UTC"), None),
        (DateEffectivity(NOW + timedelta(days=1), None, "UTC"), None),
        (DateEffectivity(NOW + timedelta(days=1), NOW + timedelta(days=2), "UTC"), None),
        (DateEffectivity(datetime(2020, 1, 1, tzinfo=UTC), NOW, "UTC"), "effectivity-over"),
        (SerialEffectivity("SN0001", None), "effectivity-unsupported"),
        (LotEffectivity("L1", "L9"), "effectivity-unsupported"),
    ],
)
def test_only_what_is_effective_by_date_now_or_later_is_planned(
    effectivity: Effectivity, code: str | None
) -> None:
    stated = change("BOLT-1", effectivity=effectivity)
    if code is None:
        assert names(plan(stated, item("BOLT-1")).steps, "put-item") == ["BOLT-1"]
    else:
        failure = refused(stated, item("BOLT-1"))
        assert isinstance(failure, Rejected)
        assert (failure.code, failure.owner) == (code, "engineering")


def test_a_change_by_serial_number_says_from_which_on_and_that_it_has_no_day() -> None:
    stated = change("BOLT-1", effectivity=SerialEffectivity("SN0100", "SN0200"))
    failure = refused(stated, item("BOLT-1"))
    assert "from serial number SN0100 up to, and without, SN0200: it has no day" in failure.what


# --- notices ---


def told(made: Plan, identity: str, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The content of the event that a step announces."""
    operation = named(made, identity).operation
    assert isinstance(operation, Announce)
    assert operation.key == "engineering-change/ECO-7"
    return msgspec.json.decode(operation.data, type=kind)


def test_planning_is_told_per_plant_after_its_items_and_boms() -> None:
    made = plan(CHANGE, *EVERYTHING)
    identity = "1010|layshaft|engineering-change|ECO-7|announce"
    assert told(made, identity, PlanAdjustmentNeeded) == PlanAdjustmentNeeded(
        "ECO-7", "1010", ("BOLT-1", "GB-100", "ROD-1", "SEAL-1", "SH-10", "WIRE-1")
    )
    assert set(named(made, identity).depends_on) == {
        step.identity
        for step in made.steps
        if step.plant == "1010" and step.object_kind in ("item", "bom")
    }


def test_planning_is_not_told_while_a_definition_is_awaited() -> None:
    made = plan(CHANGE, *ITEMS)
    notice = named(made, "1010|layshaft|engineering-change|ECO-7|announce")
    assert "|layshaft|bom|GB-100|await-fact" in notice.depends_on


def test_the_change_is_complete_after_everything_but_notices() -> None:
    made = plan(CHANGE, *EVERYTHING)
    assert told(made, COMPLETED, ChangeCompleted) == ChangeCompleted(
        "ECO-7", 3, "Seal the shaft", ("1010", "2010"), ("GB-100",)
    )
    assert set(named(made, COMPLETED).depends_on) == {
        step.identity for step in made.steps if step.kind != "announce"
    }


def test_the_plan_is_of_the_change_and_its_version() -> None:
    made = plan(CHANGE, *EVERYTHING)
    assert (made.key, made.version, made.title) == ("engineering-change/ECO-7", 3, "Seal the shaft")


# --- needs ---


def test_needs_follow_the_structure_to_contracts_and_suppliers() -> None:
    asked = [
        HANDLER.needs(message(CHANGE), facts(*known))
        for known in ((), (ITEMS[0], STRUCTURES[0]), DEFINITIONS, EVERYTHING)
    ]
    numbers = [stated.number for stated in ITEMS]
    kinds = ("item", "bom", "revision-effectivities")
    definitions = {f"{kind}/{number}" for kind in kinds for number in numbers}
    coverage = {f"coverage/{number}" for number in numbers if number[:2] not in ("GB", "SH")}
    # Only what the change itself affects is asked for by its orders.
    orders = {"open-orders/GB-100"}
    assert asked[0] == {f"{kind}/GB-100" for kind in kinds} | orders
    # And by where an ERP has it: it may stop being bought in a plant that no rule names.
    orders |= {"item-master/GB-100"}
    # And what ERPs hold, which guards compare with.
    at_targets = [
        {key for key in keys if key.startswith(("plant-bom/", "info-record/"))} for keys in asked
    ]
    assert at_targets[1] == {f"plant-bom/{plant}/1/1/GB-100" for plant in ("1010", "2010")}
    # Once it is known, in which plants ERPs have what is affected: there it may have to be stopped.
    there = {"item-master/GB-100"}
    assert asked[1] - at_targets[1] == orders | there | {
        f"{kind}/{number}" for kind in kinds for number in ("GB-100", "SH-10", "BOLT-1", "WIRE-1")
    }
    # And of what is bought, whether an ERP wants a source list of it.
    there |= {f"item-master/{number}" for number in numbers if number[:2] not in ("GB", "SH")}
    assert asked[2] - at_targets[2] == definitions | coverage | orders | there
    assert asked[3] - at_targets[3] == definitions | coverage | orders | there | {
        "supplier/S-1",
        "supplier/S-3",
    }


def test_needs_end_in_a_cycle() -> None:
    known = facts(bom("GB-100", line("SH-10")), bom("SH-10", line("GB-100")))
    assert HANDLER.needs(message(CHANGE), known) == {
        "item/GB-100",
        "bom/GB-100",
        "item/SH-10",
        "bom/SH-10",
        "revision-effectivities/GB-100",
        "revision-effectivities/SH-10",
        "open-orders/GB-100",
    }
