"""Suppliers hear of changes to what they deliver, and answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from canonical.change import AffectedItem
from canonical.effectivity import DateEffectivity
from canonical.effects import Plan
from canonical.events import NoticedItem, SupplierNotice
from canonical.facts import Document
from canonical.operations import Announce, Approve
from canonical.rules import SupplierNotices
from handlers.flows.change_notices import ANSWERS, NOTICE
from tests.fixtures.gearbox import RULES, change, contract_line, covered, item, named, plan
from tests.fixtures.gearbox import supplier as known_supplier
from tests.unit.handlers.test_change_orders import order, ordered

BOLT = item("BOLT-1")
ROW = AffectedItem("BOLT-1", "B", "A")
STATED = change(ROW, plants=("1010", "2010"))
TOLD = msgspec.structs.replace(RULES, supplier_notices=SupplierNotices(acknowledged=False))
ANSWERED = msgspec.structs.replace(RULES, supplier_notices=SupplierNotices())


def planned(*documents: Document, rules: Any = ANSWERED, stated: Any = STATED) -> Plan:
    return plan(stated, BOLT, *documents, rules=rules)


def notices(made: Plan) -> dict[str, SupplierNotice]:
    return {
        step.object_id: msgspec.json.decode(bytes(step.operation.data), type=SupplierNotice)
        for step in made.steps
        if isinstance(step.operation, Announce) and step.object_kind == NOTICE
    }


def test_nobody_is_told_where_the_rules_do_not_say_so() -> None:
    assert notices(planned(covered("BOLT-1"), rules=RULES)) == {}


def test_whoever_has_a_contract_or_an_order_of_an_affected_item_is_told() -> None:
    both = msgspec.structs.replace(
        covered("BOLT-1"),
        lines=(contract_line(plants=("1010",)), contract_line("S-2", "C-2", plants=("2010",))),
    )
    on_order = msgspec.structs.replace(order(ordered()), supplier="S-9")
    said = notices(planned(both, on_order))
    bolt = (NoticedItem("BOLT-1", "B", "A"),)
    assert said == {
        "S-1": SupplierNotice("ECO-7", "Seal the shaft", "S-1", bolt, ("1010",), ("C-1",),
                              to_acknowledge=True),
        "S-2": SupplierNotice("ECO-7", "Seal the shaft", "S-2", bolt, ("2010",), ("C-2",),
                              to_acknowledge=True),
        "S-9": SupplierNotice("ECO-7", "Seal the shaft", "S-9", bolt, ("1010",), orders=True,
                              to_acknowledge=True),
    }  # fmt: skip


def test_who_only_delivers_other_components_hears_nothing() -> None:
    assert notices(planned(covered("OTHER", "S-4"))) == {}


def test_a_notice_waits_for_what_could_add_to_it() -> None:
    stated = change(ROW, AffectedItem("SEAL-1", "B", "A"), plants=("1010",))
    made = planned(item("SEAL-1"), covered("BOLT-1"), stated=stated)
    issued = named(made, "|layshaft|supplier-notice|S-1|announce")
    assert "|layshaft|coverage|SEAL-1|await-fact" in issued.depends_on


def test_the_change_is_complete_when_every_supplier_has_answered() -> None:
    made = planned(covered("BOLT-1"), known_supplier())
    answer = named(made, "|purchasing|supplier-notice|S-1|approve")
    completed = named(made, "|layshaft|engineering-change|ECO-7|announce")
    assert answer.depends_on == ("|layshaft|supplier-notice|S-1|announce",)
    assert answer.identity in completed.depends_on
    assert isinstance(answer.operation, Approve)
    assert answer.operation.choices == ANSWERS
    assert answer.operation.evidence == (
        "item: BOLT-1 B supersedes A",
        "plants: 1010, 2010",
        "contracts: C-1",
    )


def test_an_answer_is_asked_for_only_where_the_rules_want_one() -> None:
    made = planned(covered("BOLT-1"), rules=TOLD)
    assert [step.kind for step in made.steps if step.object_kind == NOTICE] == ["announce"]
    assert not notices(made)["S-1"].to_acknowledge


def test_a_notice_goes_out_before_the_day_of_the_change() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    later = msgspec.structs.replace(STATED, effectivity=DateEffectivity(start, None, "UTC"))
    made = planned(covered("BOLT-1"), stated=later)
    issued = named(made, "|layshaft|supplier-notice|S-1|announce")
    assert not any("await-time" in identity for identity in issued.depends_on)
    assert notices(made)["S-1"].takes_effect_at == start
    (asked,) = [s.operation for s in made.steps if isinstance(s.operation, Approve)]
    assert asked.evidence[-1] == "takes effect: 2026-05-01 00:00 UTC"


def test_an_order_that_changes_says_nothing_new_to_its_supplier() -> None:
    first = planned(covered("BOLT-1"), order(ordered()))
    second = planned(covered("BOLT-1"), order(ordered(), ordered("20")))
    assert notices(first) == notices(second)
