"""What the rules find in the definitions of a change, first of all in the real package."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from canonical.change import EngineeringChange
from canonical.effects import Emit, Finding
from canonical.errors import Failure, Rejected
from canonical.facts import Document
from canonical.handler import Delivery
from canonical.item import ApprovedManufacturer, Lifecycle
from handlers.flows.change_findings import findings_of
from handlers.flows.change_scope import scope_of
from handlers.systems.arena.inbound import HANDLER as ARENA
from tests.fixtures import pdx_text
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.gearbox import NOW, bom, change, facts, item, line

PLANT = ("1010",)


def found(stated: EngineeringChange, *documents: Document) -> tuple[Finding, ...]:
    known = facts(*documents)
    return findings_of(stated, scope_of(stated, known, NOW), known)


def coded(stated: EngineeringChange, *documents: Document) -> list[tuple[str, str]]:
    """(rule, object) of each finding."""
    return [(finding.code, finding.where) for finding in found(stated, *documents)]


def stopped(stated: EngineeringChange, *documents: Document) -> Rejected:
    with pytest.raises(Failure) as caught:
        found(stated, *documents)
    assert isinstance(caught.value, Rejected)
    return caught.value


# --- the real package, with the change order that releases its 32 items ---


def board() -> list[Document]:
    """Items and BOM of the real file, as its driver reads them."""
    return [*pdx_text.items(pdx_text.REAL).values(), *pdx_text.boms(pdx_text.REAL).values()]


def order(**stated: Any) -> EngineeringChange:
    """The change order of the demo, for one plant, with the given fields replaced."""
    body = (PACKAGES / "arena_eco_000451.json").read_bytes()
    message = ARENA.read(Delivery(source="plm", kind="", body=body))
    _, effect, *_ = ARENA.decide(message, facts(), datetime(2026, 3, 2, tzinfo=UTC))
    assert isinstance(effect, Emit)
    assert isinstance(effect.data, EngineeringChange)
    released: EngineeringChange = msgspec.structs.replace(effect.data, plants=PLANT, **stated)
    return released


def test_the_real_package_has_a_prototype_an_obsolete_part_and_two_items_without_a_maker() -> None:
    assert [(f.code, f.where, f.severity, f.owner) for f in found(order(), *board())] == [
        ("aml-missing", "item/XYZ-00285", "warning", "sourcing"),
        ("manufacturer-part-obsolete", "item/XYZ-03135", "warning", "sourcing"),
        ("component-not-released", "item/XYZ-05577", "warning", "engineering"),
        ("aml-missing", "item/XYZ-05869", "warning", "sourcing"),
    ]


def test_the_findings_of_the_real_package_say_what_a_person_has_to_look_for() -> None:
    words = {f.where: f.what for f in found(order(), *board())}
    assert words["item/XYZ-05577"] == (
        "XYZ-05577 is in phase Prototype, inside the released XYZ-03654"
    )
    assert "PN02049 (obsolete)" in words["item/XYZ-03135"]
    assert words["item/XYZ-05869"] == "XYZ-05869 is bought and has no approved manufacturer"


def test_the_same_package_in_a_regulated_family_is_stopped_and_all_reasons_are_named() -> None:
    failure = stopped(order(family="Medical"), *board())
    assert (failure.code, failure.owner) == ("finding-stops-change", "quality")
    assert failure.where == "engineering-change/ECO-000451"
    for number in ("XYZ-00285", "XYZ-03135", "XYZ-05577", "XYZ-05869"):
        assert number in failure.what


# --- rule by rule ---


@pytest.mark.parametrize("lifecycle", ["in_design", "in_review", "on_hold", "obsolete"])
def test_what_is_not_released_is_found_inside_a_released_assembly(lifecycle: Lifecycle) -> None:
    arm = (item("ARM", "make"), bom("ARM", line("PIN")))
    pin = item("PIN", lifecycle=lifecycle)
    assert coded(change("ARM"), *arm, pin) == [("component-not-released", "item/PIN")]
    # By itself it is none: a change may well phase an item out.
    assert coded(change("PIN"), pin) == []


def test_a_component_of_two_assemblies_is_found_once_and_both_are_named() -> None:
    documents = (
        item("ARM", "make"), bom("ARM", line("PIN")),
        item("LEG", "make"), bom("LEG", line("PIN")), item("PIN", lifecycle="on_hold"),
    )  # fmt: skip
    [finding] = found(change("LEG", "ARM"), *documents)
    assert finding.what == "PIN is in phase on_hold, inside the released ARM, LEG"


def test_a_made_item_needs_no_manufacturer() -> None:
    assert coded(change("ARM"), item("ARM", "make"), bom("ARM")) == []


def test_lines_that_take_nothing_are_found_once_for_their_bom() -> None:
    arm = bom("ARM", line("PIN", "0"), line("NUT"), line("CAP", "0", position="30"))
    documents = (item("ARM", "make"), arm, item("PIN"), item("NUT"), item("CAP"))
    [finding] = found(change("ARM"), *documents)
    assert (finding.code, finding.where) == ("quantity-zero", "bom/ARM")
    assert finding.what == "The BOM of ARM takes nothing in line 10 (PIN), 30 (CAP)"


def test_a_document_is_told_of_and_stops_nothing_even_in_a_regulated_family() -> None:
    drawing = item("DRW", "none", kind="document", lifecycle="in_review")
    stated = change("DRW", family="Medical", plants=PLANT)
    assert [(f.code, f.severity) for f in found(stated, drawing)] == [("not-a-material", "info")]


def test_the_family_of_one_component_is_enough_to_make_a_change_regulated() -> None:
    arm = (item("ARM", "make"), bom("ARM", line("PIN"), line("NUT")))
    pin, nut = item("PIN", family="Medical"), item("NUT", manufacturers=())
    assert stopped(change("ARM"), *arm, pin, nut).code == "finding-stops-change"


def test_a_state_that_is_to_be_replaced_is_not_judged() -> None:
    """PIN is known in A without a maker; the change releases B, which may have one."""
    older = item("PIN", label="A", manufacturers=())
    assert coded(change("PIN"), older) == [("revision-differs", "item/PIN")]
    stated = change("PIN", family="Medical", plants=PLANT)
    assert [f.severity for f in found(stated, older)] == ["info"]


def test_the_order_of_the_findings_does_not_depend_on_the_order_of_the_facts() -> None:
    refused = (ApprovedManufacturer("M", "1", "disapproved"),)
    documents = (
        item("ARM", "make"), bom("ARM", line("PIN"), line("NUT")),
        item("PIN", manufacturers=refused), item("NUT", manufacturers=()),
    )  # fmt: skip
    assert found(change("ARM"), *documents) == found(change("ARM"), *reversed(documents))
