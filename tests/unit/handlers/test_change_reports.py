"""A PLM that a route names is told once a change is true everywhere."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from canonical.change import AffectedItem, EngineeringChange
from canonical.effects import Plan, Step
from canonical.operations import Reconcile, ReportImplementation
from canonical.rules import Route, Rules
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import CHANGE, EVERYTHING, NOW, RULES, facts, message

LONG_AGO = date(2020, 1, 1)
STATUS = Route("implementation-status", "*", "plm", LONG_AGO)
NOTICE = Route("change-notice", "*", "plm", LONG_AGO)
ITEMS = Route("item-notice", "*", "plm", LONG_AGO)
COMPLETED = "|layshaft|engineering-change|ECO-7|announce"
STATED = msgspec.structs.replace(CHANGE, source_id="CHG9", notice="INT1/EVT4")


def rules(*routes: Route) -> Rules:
    return msgspec.structs.replace(RULES, routes=(*RULES.routes, *routes))


def planned(stated: EngineeringChange, *routes: Route) -> Plan:
    known = facts(*EVERYTHING, rules=rules(*routes))
    [plan, *_] = HANDLER.decide(message(stated), known, NOW)
    assert isinstance(plan, Plan)
    return plan


def reports(plan: Plan) -> list[Step]:
    return [s for s in plan.steps if isinstance(s.operation, ReportImplementation | Reconcile)]


def test_the_plm_is_told_after_everybody_is() -> None:
    told = reports(planned(STATED, STATUS, NOTICE))
    assert [step.identity for step in told] == [
        "|plm|engineering-change|ECO-7|report-implementation",
        "|plm|engineering-change|ECO-7|reconcile",
    ]
    assert [step.depends_on for step in told] == [(COMPLETED,), (COMPLETED,)]
    assert [step.operation for step in told] == [
        ReportImplementation(
            "ECO-7", "CHG9", "done", "ECO-7 is implemented in every plant and system"
        ),
        Reconcile("ECO-7", "INT1/EVT4"),
    ]
    assert [step.owner for step in told] == ["engineering", "operations"]


def test_the_rest_of_the_plan_is_the_same() -> None:
    plan = planned(STATED, STATUS, NOTICE)
    rest = tuple(step for step in plan.steps if step not in reports(plan))
    assert rest == planned(STATED).steps


@pytest.mark.parametrize(
    ("route", "operation"), [(STATUS, ReportImplementation), (NOTICE, Reconcile)]
)
def test_each_report_has_a_route_of_its_own(route: Route, operation: type[msgspec.Struct]) -> None:
    assert [type(step.operation) for step in reports(planned(STATED, route))] == [operation]


@pytest.mark.parametrize(
    "route",
    [
        Route("*", "*", "plm", LONG_AGO),
        Route("implementation-status", "1010", "plm", LONG_AGO),
        Route("implementation-status", "*", "plm", date(2999, 1, 1)),
    ],
    ids=["of any kind", "of one plant", "of later"],
)
def test_without_a_route_that_names_it_today_nobody_is_told(route: Route) -> None:
    assert reports(planned(STATED, route)) == []


def test_the_latest_route_tells_the_new_plm() -> None:
    newer = Route("implementation-status", "*", "new-plm", date(2021, 1, 1))
    assert [step.system for step in reports(planned(STATED, newer, STATUS))] == ["new-plm"]


def test_a_change_that_no_plm_can_find_again_is_reported_to_none() -> None:
    stated = msgspec.structs.replace(STATED, source_id="", notice="")
    assert reports(planned(stated, STATUS, NOTICE)) == []


def test_each_affected_item_is_marked_once_its_own_steps_are_done() -> None:
    stated = msgspec.structs.replace(
        STATED, affected=(*CHANGE.affected, AffectedItem("DOC-1", "B"))
    )
    plan = planned(stated, ITEMS)
    told = reports(plan)
    assert [step.identity for step in told] == [
        "|plm|item|DOC-1|reconcile",
        "|plm|item|GB-100|reconcile",
    ]
    assert [step.operation for step in told] == [
        Reconcile("ECO-7", "INT1/EVT4", "DOC-1"),
        Reconcile("ECO-7", "INT1/EVT4", "GB-100"),
    ]
    own = {
        step.identity
        for step in plan.steps
        if (step.object_kind, step.object_id) in {("item", "GB-100"), ("bom", "GB-100")}
        if step.kind == "call" and step.system == "erp"
    }
    assert len(own) > 2
    assert [set(step.depends_on) for step in told] == [{COMPLETED}, own]
    assert {step.owner for step in told} == {"operations"}


def test_the_end_of_a_change_does_not_wait_for_marks_on_its_items() -> None:
    plan = planned(STATED, NOTICE, ITEMS)
    marks = {"|plm|item|GB-100|reconcile"}
    assert not any(marks & set(step.depends_on) for step in plan.steps)
    rest = tuple(step for step in plan.steps if step.identity not in marks)
    assert rest == planned(STATED, NOTICE).steps


def test_items_of_a_change_without_a_notice_are_not_marked() -> None:
    assert reports(planned(msgspec.structs.replace(STATED, notice=""), ITEMS)) == []


def test_a_later_statement_of_the_change_reports_nothing_new() -> None:
    # Arena states the change once more when it is completed: that must not go round in a circle.
    later = msgspec.structs.replace(STATED, version=STATED.version + 1, status="completed")
    routes = (STATUS, NOTICE, ITEMS)
    assert reports(planned(later, *routes)) == reports(planned(STATED, *routes))
