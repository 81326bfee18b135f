"""What waits too long goes on: a decision to a role that may take it too, a failed call to somebody
who gets it as a case; each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker import approvals, cases, controls, holds
from broker.approvals import Decided
from broker.escalator import Escalator
from broker.failpoints import FailPointHit, FailPoints
from broker.metrics import Metrics
from broker.principals import Refused
from broker.store import Database, upkeep, views
from broker.store import ledgers as ledger_rows
from canonical.escalation import Escalation
from canonical.rules import Rules
from ops.change_status import status_of
from tests.integration.gearbox_change import CHANGE, FAILED_BOM, database_at, seed_in
from tests.integration.people import principal_in, token_in
from tests.integration.test_principals import (
    KEY,
    STORY,
    decides,
    execute,
    fetch,
    plan,
    question,
    shown,
)

QUESTION = "supplier-qualification"
RULES = Rules(
    plants=(),
    distribution=(),
    routes=(),
    central_purchasing_org="1",
    approvers={QUESTION: "quality"},
    escalations=(
        Escalation(question=QUESTION, share=0.5, to="quality-lead"),
        Escalation(question=QUESTION, past_due_s=3600, to="plant-manager"),
        Escalation(refused=QUESTION, share=0.5, to="engineering-lead"),
        Escalation(refused=QUESTION, past_due_s=3600, to="plant-manager"),
        Escalation(operation="*", past_due_s=0, to="operations-lead"),
        Escalation(hold="*", past_due_s=0, to="operations-lead"),
        Escalation(hold="*", past_due_s=3600, to="plant-manager"),
        Escalation(operation="put-bom", past_due_s=3600, to="plant-manager"),
    ),
)
# Steps have a day.
EARLY, HALF, LATE, VERY_LATE = (timedelta(hours=h) for h in (11, 13, 24.5, 26))
WHO: dict[str, Any] = {"by": "ada", "reason": "audit"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database, as a service has it whose configuration names subscribers."""
    made = Database(
        url=database_url,
        purpose="test",
        size=4,
        acquire_s=30,
        statement_s=30,
        subscribed=["step.overdue"],
    )
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def escalator(
    database: Database,
    after: timedelta = HALF,
    *,
    rules: Rules = RULES,
    fail_points: str = "",
    batch: int = 500,
) -> Escalator:
    """One that looks so long after now."""
    at = datetime.now(UTC) + after
    return Escalator(
        database=database,
        rules=rules,
        fail_points=FailPoints.parse(fail_points),
        now=lambda: at,
        batch=batch,
    )


async def escalations(database: Database) -> list[tuple[str, int]]:
    """Roles that anything has gone on to and the level, in that order."""
    found = await fetch(
        database, "select role, level from step_escalation order by at, level, role"
    )
    return [(row["role"], row["level"]) for row in found]


async def told(database: Database) -> list[dict[str, Any]]:
    """What was told of steps that wait too long."""
    found = await fetch(
        database,
        "select m.body from outbox o join message m on m.at = o.message_at and"
        " m.seq = o.message_seq where o.routing_key = 'step.overdue' order by o.id",
    )
    return [msgspec.json.decode(row["body"]) for row in found]


async def open_cases(database: Database) -> list[tuple[str, str, str]]:
    found = await fetch(
        database,
        "select code, owner, place from exception_case"
        " where state = 'open' and code = 'step-overdue' order by id",
    )
    return [(row["code"], row["owner"], row["place"]) for row in found]


# A decision


async def test_a_decision_that_waits_too_long_may_be_taken_by_the_next_role(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    lead = await token_in(database, "lin", "quality-lead", plants=("1010",))
    assert not await escalator(database, EARLY).turn()
    with pytest.raises(Refused, match="role-missing"):
        await decides(database, lead)
    await escalator(database, HALF).turn()
    task = await shown(database)
    assert (task.escalated_to, task.overdue_s) == (("quality-lead",), 0)
    [event] = await told(database)
    assert event | {"due_at": ""} == {
        "ledger": KEY,
        "step": task.id,
        "plant": "",
        "system": "quality",
        "object_kind": "supplier",
        "object_id": "S1",
        "verb": "approve",
        "owner": "quality",
        "due_at": "",
        "to": "quality-lead",
        "level": 1,
        "question": QUESTION,
        "reason": "",
        "is_refused": False,
    }
    [row] = await fetch(database, "select * from audit where action = 'task-escalated'")
    assert (row["actor"], row["subject"], row["correlation_id"]) == ("layshaft", KEY, STORY)
    assert msgspec.json.decode(row["after"]) == {"escalated_to": ["quality-lead"]}
    # Who was asked first may decide still; who is of another plant may not.
    other = await token_in(database, "eve", "quality-lead", plants=("2010",))
    with pytest.raises(Refused, match="plant-out-of-scope"):
        await decides(database, other)
    assert await decides(database, lead) == Decided(("lin",), 0)


async def test_it_goes_on_once_to_each_role_in_the_order_of_their_moments(
    database: Database,
) -> None:
    await plan(database, question())
    for after in (HALF, HALF, LATE, VERY_LATE, VERY_LATE):
        await escalator(database, after).turn()
    assert await escalations(database) == [("quality-lead", 1), ("plant-manager", 2)]
    assert [event["to"] for event in await told(database)] == ["quality-lead", "plant-manager"]
    assert (await shown(database)).escalated_to == ("quality-lead", "plant-manager")


async def test_a_leader_that_comes_late_finds_all_that_is_due(database: Database) -> None:
    await plan(database, question())
    await escalator(database, VERY_LATE).turn()
    assert await escalations(database) == [("quality-lead", 1), ("plant-manager", 2)]
    assert [event["level"] for event in await told(database)] == [1, 2]


async def test_two_leaders_at_once_escalate_once(database: Database) -> None:
    await plan(database, question())

    async def several() -> None:
        one = escalator(database, VERY_LATE)
        for _ in range(5):
            await one.turn()

    await asyncio.gather(several(), several())
    assert await escalations(database) == [("quality-lead", 1), ("plant-manager", 2)]
    assert len(await told(database)) == 2


@pytest.mark.parametrize(
    ("point", "left"), [("escalation.before_commit", 0), ("escalation.after_commit", 1)]
)
async def test_a_leader_that_dies_leaves_all_or_nothing(
    database: Database, point: str, left: int
) -> None:
    await plan(database, question())
    with pytest.raises(FailPointHit):
        await escalator(database, fail_points=f"{point}:raise:1").turn()
    assert len(await escalations(database)) == len(await told(database)) == left
    audit = await fetch(database, "select from audit where action = 'task-escalated'")
    assert len(audit) == left
    await escalator(database).turn()
    assert await escalations(database) == [("quality-lead", 1)]
    assert len(await told(database)) == 1


async def test_a_change_that_somebody_is_at_work_on_is_escalated_in_the_next_round(
    database: Database,
) -> None:
    await plan(database, question())
    one = escalator(database)
    async with database.transaction() as tx:
        await ledger_rows.lock_ledgers(tx, [1])
        await one.turn()
        assert await escalations(database) == []
    await one.turn()
    assert await escalations(database) == [("quality-lead", 1)]


async def test_all_of_them_are_looked_at_in_slices(database: Database) -> None:
    await seed_in(database)
    await plan(database, question())
    one = escalator(database, LATE, batch=1)
    turns = 1
    while await one.turn():
        turns += 1
    # Two questions and a failed call.
    assert (turns, len(await escalations(database))) == (4, 3)


async def test_nothing_goes_on_where_no_rule_says_so(database: Database) -> None:
    await plan(database, question())
    none = msgspec.structs.replace(RULES, escalations=())
    await escalator(database, VERY_LATE, rules=none).turn()
    assert (await escalations(database), await told(database)) == ([], [])


# What people and plans do to it


async def test_a_decision_ends_it(database: Database) -> None:
    await plan(database, question())
    await escalator(database).turn()
    await decides(database, await token_in(database, "ada", "quality"))
    await escalator(database, VERY_LATE).turn()
    assert await escalations(database) == [("quality-lead", 1)]


async def test_other_content_is_asked_of_the_same_roles_and_told_to_nobody_twice(
    database: Database,
) -> None:
    await plan(database, question())
    await escalator(database).turn()
    due_at = (await shown(database)).due_at
    await plan(database, question(text="May S1 still be used?"), version=2)
    await escalator(database).turn()
    task = await shown(database)
    assert (task.text, task.escalated_to) == ("May S1 still be used?", ("quality-lead",))
    assert (task.due_at, len(await told(database))) == (due_at, 1)
    lead = await token_in(database, "lin", "quality-lead")
    assert await decides(database, lead) == Decided(("lin",), 0)


async def test_the_same_plan_again_changes_no_due_time(database: Database) -> None:
    columns = "select due_at, due_from, due_s, calendar from step order by id"
    await plan(database, question(), "1010")
    before = await fetch(database, columns)
    await plan(database, question(), "1010", version=2)
    assert await fetch(database, columns) == before


async def test_what_is_put_off_has_not_gone_on_to_anybody(database: Database) -> None:
    await plan(database, question())
    await escalator(database).turn()
    await execute(
        database,
        "update step set due_at = due_at + interval '3 days', due_from = due_from + interval"
        " '3 days'",
    )
    assert (await shown(database)).escalated_to == ()
    await escalator(database).turn()
    assert len(await told(database)) == 1
    await escalator(database, timedelta(days=3) + HALF).turn()
    assert [(e["to"], e["level"]) for e in await told(database)] == [("quality-lead", 1)] * 2


async def test_what_is_asked_anew_after_a_refusal_has_all_its_time(database: Database) -> None:
    await plan(database, question())
    await escalator(database).turn()
    await decides(database, await token_in(database, "ada", "quality"), "rejected")
    later = datetime.now(UTC) + timedelta(days=2)
    [step] = [row["id"] for row in await fetch(database, "select id from step")]
    async with database.transaction() as tx:
        await controls.restart(tx, number="C1", step=str(step), rules=RULES, now=later, **WHO)
    async with views.snapshot(database) as tx:
        [asked] = [task for task in await views.tasks(tx, "open")]
    assert (asked.escalated_to, asked.due_at) == ((), later + timedelta(days=1))
    await escalator(database, timedelta(days=2) + EARLY).turn()
    assert len(await told(database)) == 1
    await escalator(database, timedelta(days=2) + HALF).turn()
    assert len(await told(database)) == 2


async def test_a_change_that_is_cancelled_goes_on_to_nobody(database: Database) -> None:
    await plan(database, question())
    async with database.transaction() as tx:
        await controls.cancel(tx, number="C1", now=datetime.now(UTC), **WHO)
    await escalator(database, VERY_LATE).turn()
    assert await escalations(database) == []


async def test_a_change_that_is_paused_goes_on_once_it_is_resumed(database: Database) -> None:
    await plan(database, question())
    async with database.transaction() as tx:
        await controls.pause(tx, numbers=["C1"], **WHO)
    await escalator(database).turn()
    assert await escalations(database) == []
    async with database.transaction() as tx:
        await controls.resume(tx, numbers=["C1"], **WHO)
    await escalator(database).turn()
    assert await escalations(database) == [("quality-lead", 1)]


async def test_a_hold_keeps_no_decision_waiting(database: Database) -> None:
    await plan(database, question(), "1010")
    async with database.transaction() as tx:
        await holds.place(tx, kind="plant", value="1010", by="ada", reason="stock-taking")
    await escalator(database).turn()
    assert await escalations(database) == [("quality-lead", 1)]


# A refused decision


def without(what: str) -> Rules:
    """The rules but for those about that."""
    kept = tuple(rule for rule in RULES.escalations if not getattr(rule, what))
    return msgspec.structs.replace(RULES, escalations=kept)


async def refuse(database: Database) -> None:
    await plan(database, question(), "1010")
    await decides(
        database, await token_in(database, "ada", "quality", plants=("1010",)), "rejected"
    )


async def test_what_nobody_mends_after_a_refusal_is_a_case_of_whom_it_went_on_to(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    # It had gone on before it was decided; what it goes on to now is another matter.
    await escalator(database, VERY_LATE).turn()
    ada = await token_in(database, "ada", "quality", plants=("1010",))
    await decides(database, ada, "rejected")
    assert (await shown(database)).escalated_to == ()
    await escalator(database, EARLY).turn()
    assert await open_cases(database) == []
    place = f"{KEY}: |quality|supplier|S1|approve"
    for after in (HALF, HALF, VERY_LATE, VERY_LATE):
        await escalator(database, after).turn()
    assert await open_cases(database) == [("step-overdue", "plant-manager", place)]
    events = [(e["to"], e["level"], e["reason"]) for e in await told(database) if e["is_refused"]]
    why = "rejected by ada: seen the audit"
    assert events == [("engineering-lead", 1, why), ("plant-manager", 2, why)]
    notes = await fetch(
        database, "select subject, after from audit where action = 'task-escalated'"
    )
    assert [row["subject"] for row in notes] == [KEY] * 4
    assert msgspec.json.decode(notes[-1]["after"]) == {
        "escalated_to": ["engineering-lead", "plant-manager"]
    }
    assert (await shown(database)).escalated_to == ("engineering-lead", "plant-manager")
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "C1")
    assert view is not None
    [blocker] = status_of(view, datetime.now(UTC)).blockers
    assert blocker.text.endswith(f"failed: {why}; gone on to plant-manager")


async def all_open(database: Database) -> list[str]:
    found = await fetch(
        database, "select code from exception_case where state = 'open' order by id"
    )
    return [row["code"] for row in found]


async def replans(database: Database) -> None:
    await plan(database, question(text="May S1 still be used?"), "1010", version=2)


async def cancels(database: Database) -> None:
    async with database.transaction() as tx:
        await controls.cancel(tx, number="C1", now=datetime.now(UTC), **WHO)


async def restarts(database: Database) -> None:
    step, now = "|quality|supplier|S1|approve", datetime.now(UTC)
    async with database.transaction() as tx:
        await controls.restart(tx, number="C1", step=step, rules=RULES, now=now, **WHO)


@pytest.mark.parametrize("mends", [replans, cancels, restarts])
async def test_a_refusal_is_nobodys_turn_any_more_once_it_is_mended(
    database: Database, mends: Callable[[Database], Awaitable[None]]
) -> None:
    await refuse(database)
    await escalator(database, VERY_LATE).turn()
    assert await all_open(database) == ["approval-refused", "step-overdue"]
    await mends(database)
    await escalator(database, timedelta()).turn()
    assert await all_open(database) == []


async def test_what_is_asked_again_and_refused_again_goes_on_again(database: Database) -> None:
    await refuse(database)
    await escalator(database, HALF).turn()
    async with database.transaction() as tx:
        await controls.restart(
            tx,
            number="C1",
            step="|quality|supplier|S1|approve",
            rules=RULES,
            now=datetime.now(UTC),
            **WHO,
        )
    # While it is asked, the refusal of before is nobody's turn.
    await escalator(database, VERY_LATE, rules=without("question")).turn()
    assert await open_cases(database) == []
    eve = await principal_in(database, "eve", "quality", plants=("1010",))
    async with views.snapshot(database) as tx:
        [asked] = [task for task in await views.tasks(tx, "all") if task.state == "ready"]
    async with database.transaction() as tx:
        await approvals.decide(
            tx,
            step_id=asked.id,
            digest=asked.digest,
            verdict="rejected",
            by=eve,
            reason="still not",
        )
    for _ in range(2):
        await escalator(database, HALF).turn()
    assert [c[1] for c in await open_cases(database)] == ["engineering-lead"]
    assert [e["to"] for e in await told(database)] == ["engineering-lead"] * 2


async def test_asked_and_refused_outside_of_the_hours_it_goes_on_both_times(
    database: Database,
) -> None:
    # Due at one moment, and to one role: the second mark is no repeat of the first one.
    one = Rules(
        plants=(),
        distribution=(),
        routes=(),
        central_purchasing_org="1",
        approvers={QUESTION: "quality"},
        escalations=(
            Escalation(question=QUESTION, share=0.5, to="lead"),
            Escalation(refused=QUESTION, share=0.5, to="lead"),
        ),
    )
    await plan(database, question())
    await escalator(database, HALF, rules=one).turn()
    await decides(database, await token_in(database, "ada", "quality"), "rejected")
    await execute(
        database,
        "update step_escalation e set due_at = s.changed_at + make_interval(secs => s.due_s)"
        " from step s where s.id = e.step_id",
    )
    for _ in range(3):
        await escalator(database, HALF, rules=one).turn()
    assert [(e["to"], e["is_refused"]) for e in await told(database)] == [
        ("lead", False),
        ("lead", True),
    ]


# What people have stopped


async def hold_cases(database: Database) -> list[dict[str, Any]]:
    return await fetch(
        database,
        "select owner, place, what, remedy, ledger_key from exception_case"
        " where state = 'open' and code = 'hold-overdue' order by id",
    )


async def test_a_hold_that_stands_too_long_is_one_case_however_many_calls_wait(
    database: Database,
) -> None:
    await seed_in(database)
    async with database.transaction() as tx:
        done = await holds.place(tx, kind="system", value="erp", by="eve", reason="maintenance")
    waits = done.stopped.waiting
    assert waits > 0
    await escalator(database, EARLY).turn()
    assert await hold_cases(database) == []
    for _ in range(2):
        await escalator(database, LATE).turn()
    [case] = await hold_cases(database)
    assert (case["owner"], case["place"]) == ("operations-lead", "hold 1: system erp")
    assert case["what"].startswith(f"The system erp is on hold, and {waits} calls wait by it.")
    assert ": maintenance, by eve since " in case["what"]
    assert "layshaft release 1 " in case["remedy"]
    await escalator(database, VERY_LATE).turn()
    [case] = await hold_cases(database)
    assert case["owner"] == "plant-manager"
    notes = await fetch(
        database, "select actor, subject, after from audit where action = 'hold-escalated'"
    )
    assert [(n["actor"], n["subject"]) for n in notes] == [("layshaft", "hold 1: system erp")] * 2
    assert msgspec.json.decode(notes[-1]["after"]) == {
        "escalated_to": ["operations-lead", "plant-manager"]
    }
    # Whoever looks at a change that stands still by it sees whose turn it is.
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "ECO-2001")
    assert view is not None
    held = [b.text for b in status_of(view, datetime.now(UTC)).blockers if b.is_held]
    assert held
    assert all(text.endswith("; gone on to plant-manager") for text in held)
    async with database.transaction() as tx:
        await holds.release(tx, hold_id=1, by="eve", reason="maintenance is over")
    await escalator(database, VERY_LATE).turn()
    assert await hold_cases(database) == []


async def test_a_hold_that_is_placed_again_has_all_its_time(database: Database) -> None:
    for number in (1, 2):
        async with database.transaction() as tx:
            await holds.place(tx, kind="plant", value="1010", by="eve", reason="stock-taking")
        await escalator(database, LATE).turn()
        [case] = await hold_cases(database)
        assert case["place"] == f"hold {number}: plant 1010"
        async with database.transaction() as tx:
            await holds.release(tx, hold_id=number, by="eve", reason="counted")
        await escalator(database, LATE).turn()
        assert await hold_cases(database) == []


async def test_a_change_that_is_paused_too_long_is_a_case_until_it_goes_on(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    for _ in range(2):
        async with database.transaction() as tx:
            await controls.pause(tx, numbers=["C1"], **WHO)
        await escalator(database, EARLY).turn()
        assert await hold_cases(database) == []
        await escalator(database, LATE).turn()
        [case] = await hold_cases(database)
        assert (case["owner"], case["ledger_key"]) == ("operations-lead", KEY)
        assert case["what"].startswith(f"{KEY} is paused. It was to be over by ")
        assert "layshaft change resume C1 " in case["remedy"]
        async with views.snapshot(database) as tx:
            view = await views.change(tx, "C1")
        assert view is not None
        assert view.paused is not None
        assert view.paused.words.endswith("; gone on to operations-lead")
        async with database.transaction() as tx:
            await controls.resume(tx, numbers=["C1"], **WHO)
        await escalator(database, LATE).turn()
        assert await hold_cases(database) == []


async def test_the_pause_of_a_change_that_is_cancelled_is_nobodys_turn(database: Database) -> None:
    await plan(database, question(), "1010")
    async with database.transaction() as tx:
        await controls.pause(tx, numbers=["C1"], **WHO)
    await escalator(database, LATE).turn()
    assert len(await hold_cases(database)) == 1
    async with database.transaction() as tx:
        await controls.cancel(tx, number="C1", now=datetime.now(UTC), **WHO)
    await escalator(database, VERY_LATE).turn()
    assert await hold_cases(database) == []


# A failed call


async def test_a_failed_call_is_a_case_of_whom_it_went_on_to_and_ends_with_the_failure(
    database: Database,
) -> None:
    await seed_in(database)
    place = f"{CHANGE}: {FAILED_BOM}"
    await escalator(database, LATE).turn()
    assert await open_cases(database) == [("step-overdue", "operations-lead", place)]
    await escalator(database, VERY_LATE).turn()
    assert await open_cases(database) == [("step-overdue", "plant-manager", place)]
    events = [(e["to"], e["level"], e["verb"]) for e in await told(database) if not e["question"]]
    assert events == [("operations-lead", 1, "put-bom"), ("plant-manager", 2, "put-bom")]
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "ECO-2001")
    assert view is not None
    status = status_of(view, datetime.now(UTC))
    texts = {blocker.identity: blocker.text for blocker in status.blockers}
    assert texts[FAILED_BOM].endswith("; gone on to plant-manager")
    approval = "approval of quality or quality-lead or plant-manager: "
    assert [text for text in texts.values() if text.startswith(approval)]
    # Tried again, both cases of it are over.
    [case] = await fetch(
        database, "select id from exception_case where place = $1 and code <> 'step-overdue'", place
    )
    async with database.transaction() as tx:
        assert await cases.retry(tx, case_id=case["id"], **WHO) == "step"
    assert await fetch(
        database, "select from exception_case where place = $1 and state = 'open'", place
    ) == []  # fmt: skip


async def test_the_case_is_over_once_the_call_has_not_failed_any_more(database: Database) -> None:
    await seed_in(database)
    await escalator(database, LATE).turn()
    await execute(database, "update step set state = 'done' where state = 'failed'")
    await escalator(database, LATE).turn()
    assert await open_cases(database) == []


# What is seen of it


async def test_gauges_count_what_is_asked_and_what_is_late(database_url: str) -> None:
    async with database_at(database_url) as database:
        await plan(database, question())
        metrics = Metrics()

        async def gauges() -> tuple[float | None, float | None]:
            await upkeep.refresh(database, metrics)
            labels = {"role": "quality", "question": QUESTION}
            return (
                metrics.registry.get_sample_value("layshaft_approvals_open", labels),
                metrics.registry.get_sample_value("layshaft_approvals_overdue", labels),
            )

        assert await gauges() == (1, 0)
        await execute(database, "update step set due_at = now() - interval '90 min'")
        assert await gauges() == (1, 1)
        assert 5400 <= (await shown(database)).overdue_s < 5460
        await decides(database, await token_in(database, "ada", "quality"))
        assert await gauges() == (None, None)
        assert (await shown(database)).overdue_s == 0
