"""People steer a change: pause, resume, skip, restart, cancel, with some of its steps under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from broker import approvals, cases, controls
from broker.controls import Steered
from broker.store import Database
from broker.store.calls import claim_calls
from canonical.errors import Conflict, Rejected
from tests.integration.people import principal_in
from tests.integration.toy import (
    DEADLINE_S,
    RULES,
    Bench,
    Order,
    Stated,
    Wanted,
    arrivals,
    bench_on,
    blocked,
    path_of,
    turn_until_idle,
    until,
)

WHO: dict[str, Any] = {"by": "ada", "reason": "audit"}


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def plan(bench: Bench, *wanted: Wanted, version: int = 1, number: str = "C1") -> None:
    """A change was decided that wants these steps, in that version."""
    key = f"engineering-change/{number}"
    order = Order(id=f"{number}-{version}", key=key, version=version, plans=wanted)
    await bench.pipeline().take(arrivals([order]))


async def pause(bench: Bench, *numbers: str) -> list[Steered]:
    async with bench.database.transaction() as tx:
        return await controls.pause(tx, numbers=numbers or ["C1"], **WHO)


async def resume(bench: Bench, *numbers: str) -> list[Steered]:
    async with bench.database.transaction() as tx:
        return await controls.resume(tx, numbers=numbers or ["C1"], **WHO)


async def skip(bench: Bench, object_id: str, *, database: Database | None = None) -> Steered:
    step = await number_of(bench, object_id)
    async with (database or bench.database).transaction() as tx:
        return await controls.skip(tx, number="C1", step=step, **WHO)


async def restart(bench: Bench, object_id: str) -> Steered:
    step = await number_of(bench, object_id)
    async with bench.database.transaction() as tx:
        return await controls.restart(
            tx, number="C1", step=step, rules=RULES, now=datetime.now(UTC), **WHO
        )


async def cancel(bench: Bench) -> Steered:
    async with bench.database.transaction() as tx:
        return await controls.cancel(tx, number="C1", now=datetime.now(UTC), **WHO)


async def number_of(bench: Bench, object_id: str) -> str:
    """Id of the newest form of the step about that object."""
    [found] = await bench.column(
        "select id from step where object_id = $1 order by generation desc limit 1", object_id
    )
    return str(found)


async def ledger(bench: Bench) -> str:
    [state] = await bench.column("select state from ledger where key = 'engineering-change/C1'")
    return str(state)


async def reached(bench: Bench, calls: int) -> bool:
    return len(bench.target.journal) >= calls


def written(bench: Bench) -> list[str]:
    """Paths that were written, in order."""
    return [path for method, path in bench.target.journal if method == "PUT"]


# Pause and resume


async def test_what_is_under_way_ends_in_a_pause_and_nothing_begins(bench: Bench) -> None:
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)), Wanted("T3", after=("T2",)))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    [done] = await pause(bench)
    assert (done.key, done.changed, done.under_way) == ("engineering-change/C1", 0, 1)
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done", "T2": "held", "T3": "waiting"}
    assert await bench.column("select reason from step where object_id = 'T2'") == [
        "paused by ada: audit"
    ]
    assert written(bench) == [path_of("T1")]
    [done] = await resume(bench)
    assert done.changed == 1
    await turn_until_idle(dispatcher)
    assert set((await bench.states()).values()) == {"done"}
    assert await ledger(bench) == "complete"
    assert await bench.rows(
        "select action, subject, actor, before->>'state' as before, after->>'state' as after,"
        " detail->>'reason' as reason, correlation_id <> '' as has_story from audit order by id"
    ) == [
        {
            "action": action,
            "subject": "engineering-change/C1",
            "actor": "ada",
            "before": before,
            "after": after,
            "reason": "audit",
            "has_story": True,
        }
        for action, before, after in (
            ("change-paused", "open", "paused"),
            ("change-resumed", "paused", "open"),
        )
    ]


async def test_a_call_that_was_not_applied_waits_for_the_end_of_the_pause(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["away"]
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await pause(bench)
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "held"}
    assert bench.target.writes(path_of("T1")) == 1
    await resume(bench)
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done"}


async def test_a_plan_in_a_pause_changes_the_steps_and_starts_none(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "old"), Wanted("T2", "old", after=("T1",)), Wanted("T3"))
    await pause(bench)
    await plan(bench, Wanted("T1", "new"), Wanted("T2", "old", after=("T1",)), version=2)
    await turn_until_idle(bench.dispatcher())
    assert bench.target.journal == []
    assert await bench.states() == {"T1": "held", "T2": "waiting", "T3": "cancelled"}
    await resume(bench)
    await turn_until_idle(bench.dispatcher())
    assert bench.target.rows == {path_of("T1"): b"new", path_of("T2"): b"old"}
    assert await ledger(bench) == "complete"


async def test_a_fact_that_comes_in_a_pause_is_planned_with_and_starts_nothing(
    bench: Bench,
) -> None:
    wanted = (Wanted("S1", "Known", kind="wait"), Wanted("T1", after=("S1",)))
    await plan(bench, *wanted)
    await pause(bench)
    stated = Order(id="fact", key="x", states=(Stated("S1", 1, "Known"),))
    await bench.pipeline().take(arrivals([stated]))
    assert await bench.pipeline().take_pending(10) == 1
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "done", "T1": "held"}
    await resume(bench)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "done", "T1": "done"}


async def test_a_question_is_not_asked_in_a_pause(bench: Bench) -> None:
    await plan(bench, Wanted("S1", "May S1?", kind="approval"), Wanted("T1", after=("S1",)))
    [row] = await bench.rows(
        "select id, encode(digest, 'hex') as digest from step where kind = 'approval'"
    )
    decision: dict[str, Any] = {
        "step_id": row["id"],
        "digest": row["digest"],
        "verdict": "approved",
        "by": await principal_in(bench.database, "ada", "quality"),
        "reason": "audit",
    }
    await pause(bench)
    async with bench.database.transaction() as tx:
        with pytest.raises(Conflict, match="not-open"):
            await approvals.decide(tx, **decision)
    await resume(bench)
    async with bench.database.transaction() as tx:
        await approvals.decide(tx, **decision)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "done", "T1": "done"}


async def test_several_changes_are_paused_all_or_none(bench: Bench) -> None:
    for number in ("C1", "C2", "C3"):
        await plan(bench, Wanted(f"T-{number}"), number=number)
    assert [done.key for done in await pause(bench, "C2", "engineering-change/C1")] == [
        "engineering-change/C1",
        "engineering-change/C2",
    ]
    with pytest.raises(Conflict, match="C2 is paused by ada: audit"):
        await pause(bench, "C3", "C2")
    with pytest.raises(Rejected, match="'C4'"):
        await pause(bench, "C3", "C4")
    with pytest.raises(Conflict, match="C3 is not paused"):
        await resume(bench, "C1", "C2", "C3")
    await turn_until_idle(bench.dispatcher())
    assert written(bench) == [path_of("T-C3")]
    with pytest.raises(Conflict, match="C3 is complete"):
        await pause(bench, "C3")
    await resume(bench, "C1", "C2")
    await turn_until_idle(bench.dispatcher())
    assert set((await bench.states()).values()) == {"done"}


async def test_a_pause_comes_after_the_claim_that_had_begun(bench: Bench) -> None:
    await plan(bench, Wanted("T1"), Wanted("T2"))
    async with bench.database.transaction() as tx:
        claimed = await claim_calls(tx, lane="standard", systems=["erp"], limit=1, lease_s=60)
        assert [c.step.object_id for c in claimed] == ["T1"]
        pausing = asyncio.create_task(pause(bench))
        await until(lambda: blocked(bench), "the pause waits for the claim")
    async with asyncio.timeout(DEADLINE_S):
        [done] = await pausing
    assert done.under_way == 1
    assert not await bench.dispatcher().turn()
    assert await bench.states() == {"T1": "in_flight", "T2": "held"}


@pytest.mark.parametrize("calls", [0, 4, 12])
async def test_no_call_of_a_paused_change_begins(bench: Bench, calls: int) -> None:
    await plan(bench, *(Wanted(f"T{n}") for n in range(40)))
    dispatcher = bench.dispatcher(slots=2)

    async def call() -> None:
        while await dispatcher.turn():
            await dispatcher.drain(DEADLINE_S)

    calling = asyncio.create_task(call())
    await until(lambda: reached(bench, calls), "some calls are made")
    await pause(bench)
    begun = await bench.column("select object_id from step where state <> 'held'")
    await calling
    await turn_until_idle(dispatcher)
    assert {path for _, path in bench.target.journal} == set(map(path_of, begun))
    assert len(begun) < 40


# Skip


async def test_a_failed_step_is_skipped_and_what_it_held_goes_on(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["refuse"]
    wanted = (Wanted("T1", "no"), Wanted("T2", after=("T1",)), Wanted("T3", after=("T2",)))
    await plan(bench, *wanted)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "failed", "T2": "held", "T3": "held"}
    done = await skip(bench, "T1")
    assert (done.step is not None and done.step.state, done.changed) == ("failed", 3)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "skipped", "T2": "done", "T3": "done"}
    assert await ledger(bench) == "complete"
    assert await bench.rows("select state, closed_by from exception_case") == [
        {"state": "resolved", "closed_by": "ada"}
    ]
    [note] = await bench.rows(
        "select action, detail->>'identity' as identity, before->>'state' as before,"
        " after->>'state' as after from audit where actor = 'ada' and action <> 'case-resolved'"
    )
    assert note == {
        "action": "step-skipped",
        "identity": "|erp|supplier|T1|extend-to-plant",
        "before": "failed",
        "after": "skipped",
    }
    # The same again is skipped still, another content is made.
    await plan(bench, *wanted, version=2)
    assert (await bench.states())["T1"] == "skipped"
    await plan(bench, Wanted("T1", "yes"), *wanted[1:], version=3)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "done", "T3": "done"}
    assert bench.target.rows[path_of("T1")] == b"yes"


async def test_what_is_under_way_is_not_skipped_and_decisions_are_not(bench: Bench) -> None:
    bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1"), Wanted("S1", "May S1?", kind="approval"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    with pytest.raises(Conflict, match="at-target"):
        await skip(bench, "T1")
    with pytest.raises(Rejected, match="approval-not-skipped"):
        await skip(bench, "S1")
    async with bench.database.transaction() as tx:
        with pytest.raises(Rejected, match="not-found"):
            await controls.skip(tx, number="C1", step="4711", **WHO)
    assert await bench.states() == {"T1": "in_flight", "S1": "ready"}
    bench.target.gates[path_of("T1")].set()
    await dispatcher.drain(DEADLINE_S)


async def test_a_skipped_call_is_told_to_who_subscribes(bench: Bench, database_url: str) -> None:
    await plan(bench, Wanted("T1"))
    subscribed = Database(
        url=database_url, purpose="test", size=1, acquire_s=3, statement_s=5,
        subscribed={"step.cancelled"},
    )  # fmt: skip
    await subscribed.open()
    try:
        await skip(bench, "T1", database=subscribed)
    finally:
        await subscribed.close()
    [told] = await bench.column(
        "select convert_from(body, 'UTF8')::jsonb from message where kind = 'step.cancelled'"
    )
    assert '"reason": "skipped by ada: audit"' in told


# Restart


async def test_what_was_done_runs_anew_and_what_is_true_is_not_written_again(
    bench: Bench,
) -> None:
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)), Wanted("T3"))
    await turn_until_idle(bench.dispatcher())
    assert await ledger(bench) == "complete"
    # The target has lost one of them.
    del bench.target.rows[path_of("T2")]
    done = await restart(bench, "T1")
    assert done.changed == 2
    assert await ledger(bench) == "open"
    assert await bench.states() == {"T1": "ready", "T2": "waiting", "T3": "done"}
    await turn_until_idle(bench.dispatcher())
    assert await ledger(bench) == "complete"
    assert [bench.target.writes(path_of(t)) for t in ("T1", "T2", "T3")] == [1, 2, 1]
    assert await bench.rows(
        "select object_id, generation, state from step order by object_id, generation"
    ) == [
        {"object_id": object_id, "generation": generation, "state": "done"}
        for object_id, generation in (("T1", 1), ("T1", 2), ("T2", 1), ("T2", 2), ("T3", 1))
    ]
    [anew] = await bench.column("select detail->'anew' from audit where action = 'step-restarted'")
    assert "T1" in anew
    assert "T2" in anew


async def test_a_repeated_call_has_a_key_of_its_own_and_is_held_like_any_other(
    bench: Bench,
) -> None:
    await plan(bench, Wanted("T1"))
    await turn_until_idle(bench.dispatcher())
    bench.target.rows.clear()
    await restart(bench, "T1")
    await turn_until_idle(bench.dispatcher())
    first, second = bench.target.keys
    assert first != second
    assert await bench.rows("select distinct flow, only_asks from step") == [
        {"flow": "engineering-change", "only_asks": False}
    ]


async def test_a_failed_call_runs_anew_with_all_its_tries_and_without_its_case(
    bench: Bench,
) -> None:
    bench.target.faults[path_of("T1")] = ["refuse"]
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)))
    await turn_until_idle(bench.dispatcher())
    await restart(bench, "T1")
    assert await bench.rows("select state, attempts from step where object_id = 'T1'") == [
        {"state": "ready", "attempts": 0}
    ]
    assert await bench.cases() == []
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "done"}


async def test_nothing_runs_anew_while_what_follows_is_under_way(bench: Bench) -> None:
    gate = bench.target.gates[path_of("T2")] = asyncio.Event()
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await dispatcher.drain(DEADLINE_S)
    await dispatcher.turn()
    await until(lambda: reached(bench, 3), "the second call is at the target")
    with pytest.raises(Conflict, match="at-target"):
        await restart(bench, "T1")
    gate.set()
    await turn_until_idle(dispatcher)
    await restart(bench, "T1")
    assert await bench.states() == {"T1": "ready", "T2": "waiting"}


# Cancel, and what it leaves behind


async def test_a_cancelled_change_ends_with_one_case_about_what_is_left_behind(
    bench: Bench,
) -> None:
    gate = bench.target.gates[path_of("T2")] = asyncio.Event()
    await plan(
        bench,
        Wanted("T1", "please"),
        Wanted("T2", "please"),
        Wanted("T3", after=("T2",)),
        Wanted("S1", "May S1?", kind="approval"),
        Wanted("S2", "Known", kind="wait"),
    )
    dispatcher = bench.dispatcher()
    await dispatcher.turn()

    async def first_is_done() -> bool:
        await dispatcher.turn()
        return (await bench.states())["T1"] == "done"

    await until(first_is_done, "the first one is done")
    done = await cancel(bench)
    assert done.under_way == 1
    assert await bench.states() == {
        "T1": "superseded", "T2": "in_flight", "T3": "cancelled", "S1": "cancelled", "S2": "done",
    }  # fmt: skip
    # It is open until what is under way has ended.
    assert await ledger(bench) == "open"
    [what] = await bench.column("select what from exception_case where code = 'left-behind'")
    assert what == (
        "1 step was done and is no longer part of the plan: extend-to-plant supplier T1 at erp"
    )
    gate.set()
    await turn_until_idle(dispatcher)
    assert (await bench.states())["T2"] == "superseded"
    assert await ledger(bench) == "cancelled"
    # The case has grown; it is one.
    assert await bench.rows("select what, state, seen from exception_case") == [
        {
            "what": "2 steps were done and are no longer part of the plan: extend-to-plant supplier"
            " T1 at erp, extend-to-plant supplier T2 at erp",
            "state": "open",
            "seen": 2,
        }
    ]
    [finding] = await bench.column("select findings->0->>'what' from ledger")
    assert finding == "C1 was cancelled by ada: audit"
    assert written(bench) == [path_of("T1"), path_of("T2")]


async def test_only_a_newer_statement_plans_a_cancelled_change_anew(bench: Bench) -> None:
    await plan(bench, Wanted("T1"), version=5)
    await turn_until_idle(bench.dispatcher())
    await plan(bench, Wanted("T1"), Wanted("T2"), version=6)
    await cancel(bench)
    assert await ledger(bench) == "cancelled"
    key = "engineering-change/C1"
    again = Order(id="again", key=key, version=6, plans=(Wanted("T1"), Wanted("T2")))
    await bench.pipeline().take(arrivals([again]))
    assert await ledger(bench) == "cancelled"
    assert await bench.states() == {"T1": "superseded", "T2": "cancelled"}
    assert await bench.cases() == ["left-behind"]
    newer = Order(id="newer", key=key, version=7, plans=(Wanted("T1"), Wanted("T3")))
    await bench.pipeline().take(arrivals([newer]))
    assert await ledger(bench) == "open"
    # What is planned again is left behind no more.
    assert await bench.cases() == []
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "cancelled", "T3": "done"}
    assert await ledger(bench) == "complete"
    assert await bench.column("select ends_as || cancelled_by from ledger") == ["complete"]


async def test_a_change_that_has_ended_is_not_steered(bench: Bench) -> None:
    await plan(bench, Wanted("T1"))
    await turn_until_idle(bench.dispatcher())
    with pytest.raises(Conflict, match="is complete"):
        await cancel(bench)
    with pytest.raises(Conflict, match="is complete"):
        await skip(bench, "T1")
    await plan(bench, Wanted("T2"), version=2)
    await cancel(bench)
    for act in (restart(bench, "T1"), skip(bench, "T1"), cancel(bench)):
        with pytest.raises(Conflict, match="is cancelled"):
            await act


async def test_what_is_left_behind_after_a_decision_is_another_case(bench: Bench) -> None:
    await plan(bench, Wanted("T1"), Wanted("T2"), Wanted("T3"))
    await turn_until_idle(bench.dispatcher())
    await plan(bench, Wanted("T2"), Wanted("T3"), version=2)
    [first] = await bench.column("select id from exception_case")
    async with bench.database.transaction() as tx:
        await cases.discard(tx, case_id=first, by="bob", reason="it is in use")
    assert await bench.column("select reason from step where object_id = 'T1'") == [
        "done, and no longer planned; left so by bob: it is in use"
    ]
    await plan(bench, Wanted("T3"), version=3)
    assert await bench.rows("select what from exception_case where state = 'open'") == [
        {
            "what": "1 step was done and is no longer part of the plan:"
            " extend-to-plant supplier T2 at erp"
        }
    ]
    assert first not in await bench.column("select id from exception_case where state = 'open'")


async def test_very_many_steps_left_behind_are_one_case(bench: Bench) -> None:
    await plan(bench, *(Wanted(f"T{n}") for n in range(184)), Wanted("U1", after=("T0",)))
    await bench.execute("update step set state = 'done' where object_id like 'T%'")
    done = await cancel(bench)
    assert done.changed == 185
    [what] = await bench.column("select what from exception_case")
    assert what.startswith("184 steps were done and are no longer part of the plan: ")
    assert what.endswith(" and 174 more")
