"""Calls to a target system: once in effect, in order per object, never repeated blindly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from broker.dispatcher import Dispatcher
from broker.failpoints import FailPointHit
from broker.settings import Deadlines
from canonical.connector import Confirmed
from canonical.effects import Step
from canonical.errors import Misconfigured
from canonical.exchange import Response
from canonical.handler import Handler
from tests.integration.toy import (
    DEADLINE_S,
    TOY_DRIVER,
    Bench,
    Order,
    Wanted,
    arrivals,
    at_once,
    bench_on,
    blocked,
    path_of,
    turn_until_idle,
    until,
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def plan(
    bench: Bench, *wanted: Wanted, number: int = 1, key: str = "order/1", version: int = 1
) -> None:
    """An order was decided that wants these steps."""
    order = Order(id=f"m{number}", key=key, version=version, plans=wanted)
    await bench.pipeline().take(arrivals([order]))


async def steps(bench: Bench, columns: str) -> list[dict[str, Any]]:
    return await bench.rows(f"select {columns} from step order by id")


async def no_lease_is_left(bench: Bench) -> bool:
    return await bench.column("select 1 from target where lease_until is not null") == []


async def test_a_call_is_done_when_the_target_confirmed_it(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "please"), Wanted("T2", "then", after=("T1",)))
    await turn_until_idle(bench.dispatcher())
    assert await steps(bench, "object_id, state, reference, attempts") == [
        {"object_id": "T1", "state": "done", "reference": "R-T1", "attempts": 1},
        {"object_id": "T2", "state": "done", "reference": "R-T2", "attempts": 1},
    ]
    assert bench.target.rows == {path_of("T1"): b"please", path_of("T2"): b"then"}
    assert [path for method, path in bench.target.journal if method == "PUT"] == [
        path_of("T1"),
        path_of("T2"),
    ]
    assert await bench.rows("select outcome, calls::text from attempt order by step_id") == [
        {
            "outcome": "applied",
            "calls": '["GET /suppliers/T1 -> 404", "PUT /suppliers/T1 -> 200"]',
        },
        {
            "outcome": "applied",
            "calls": '["GET /suppliers/T2 -> 404", "PUT /suppliers/T2 -> 200"]',
        },
    ]
    assert await bench.column("select state from ledger") == ["complete"]
    assert await no_lease_is_left(bench)


async def test_a_success_with_a_warning_is_looked_at_before_it_counts(bench: Bench) -> None:
    def confirm(step: Step, response: Response) -> Confirmed:
        # Of the first write the target keeps less than it says.
        if bench.target.writes(path_of("T1")) == 1:
            bench.target.rows[path_of("T1")] = b"half"
        return Confirmed("R-T1", warnings=("left out",), is_full=False)

    await plan(bench, Wanted("T1", "please"))
    await turn_until_idle(bench.dispatcher(driver=replace(TOY_DRIVER, confirm=confirm)))
    assert [method for method, _ in bench.target.journal] == ["GET", "PUT", "GET", "PUT", "GET"]
    assert bench.target.rows == {path_of("T1"): b"please"}
    assert await bench.rows("select state, attempts, reason from step") == [
        {"state": "done", "attempts": 1, "reason": "left out; left out"}
    ]


async def test_what_the_target_holds_already_is_not_written(bench: Bench) -> None:
    bench.target.rows[path_of("T1")] = b"please"
    await plan(bench, Wanted("T1", "please"))
    await turn_until_idle(bench.dispatcher())
    assert bench.target.writes(path_of("T1")) == 0
    assert await bench.states() == {"T1": "done"}
    assert await bench.column("select outcome from attempt") == ["already true"]


async def test_a_target_that_is_away_is_tried_again_when_due(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["away"]
    await plan(bench, Wanted("T1", "please"))
    dispatcher = bench.dispatcher(policy=at_once(wait_s=3600))
    await turn_until_idle(dispatcher)
    assert await steps(bench, "state, attempts, next_at > now() + interval '1 s' as later") == [
        {"state": "ready", "attempts": 1, "later": True}
    ]
    await turn_until_idle(dispatcher)
    assert bench.target.writes(path_of("T1")) == 1
    await bench.execute("update step set next_at = now()")
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path_of("T1")) == 2
    assert await bench.column("select number from attempt order by number") == [1, 2]


async def test_every_try_of_a_content_carries_the_same_idempotency_key(bench: Bench) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["lose"]
    await plan(bench, Wanted("T1", "please"))
    await turn_until_idle(bench.dispatcher())
    # The target forgot: the look-up finds nothing, and the call is made again.
    bench.target.rows.clear()
    await bench.execute("update step set state = 'in_doubt', next_at = now()")
    await turn_until_idle(bench.dispatcher())
    first, second = bench.target.keys
    assert first == second
    await plan(bench, Wanted("T1", "other"), number=2, version=2)
    await turn_until_idle(bench.dispatcher())
    assert bench.target.keys[2] != first


async def test_a_lost_answer_is_looked_up_and_not_sent_again(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["lose"]
    await plan(bench, Wanted("T1", "please"), Wanted("T2", "then", after=("T1",)))
    dispatcher = bench.dispatcher(settle_s=3600)
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "in_doubt", "T2": "waiting"}
    await bench.execute("update step set next_at = now() where state = 'in_doubt'")
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done", "T2": "done"}
    assert bench.target.writes(path_of("T1")) == 1
    assert await bench.column("select outcome from attempt order by step_id, number") == [
        "in doubt",
        "already true",
        "applied",
    ]


async def test_a_call_in_doubt_stays_so_while_nobody_can_look(bench: Bench) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["lose"]
    await plan(bench, Wanted("T1", "please"))
    await turn_until_idle(bench.dispatcher(settle_s=3600))
    bench.target.faults[f"GET {path}"] = ["away"]
    for _ in range(2):
        await bench.execute("update step set next_at = now()")
        await turn_until_idle(bench.dispatcher())
    states = await bench.column("select state from step_event order by at")
    assert states[states.index("in_doubt") :] == [
        "in_doubt", "in_flight", "in_doubt", "in_flight", "done"
    ]  # fmt: skip
    assert bench.target.writes(path) == 1


async def test_a_lapsed_lease_is_in_doubt_and_a_late_result_changes_nothing(bench: Bench) -> None:
    path = path_of("T1")
    gate = bench.target.gates[path] = asyncio.Event()
    await plan(bench, Wanted("T1", "please"))
    # A lease that is over at once, and a deadline below it so that the call is still sent.
    hasty = Deadlines(lease_s=0.01, http_total_s=-60)
    slow = bench.dispatcher(deadlines=hasty)
    assert await slow.turn()
    await until(lambda: reached(bench, 1), "the call is at the target")
    await until(lambda: bench.lapse(settle_s=3600), "the lease lapses")
    assert await bench.states() == {"T1": "in_doubt"}
    before = await steps(bench, "state, version, reference, attempts, next_at")
    gate.set()
    await slow.drain(DEADLINE_S)
    assert bench.target.writes(path) == 1
    assert await steps(bench, "state, version, reference, attempts, next_at") == before
    await bench.execute("update step set next_at = now()")
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path) == 1


async def reached(bench: Bench, calls: int) -> bool:
    return len(bench.target.journal) >= calls


async def test_a_process_that_dies_after_its_claim_leaves_a_call_to_look_up(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "please"))
    dying = bench.dispatcher(deadlines=Deadlines(lease_s=0.01), fail_points="claim.after:raise:1")
    with pytest.raises(FailPointHit):
        await dying.turn()
    assert await bench.states() == {"T1": "in_flight"}
    living = bench.dispatcher()
    await until(bench.lapse, "the lease lapses")
    await turn_until_idle(living)
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path_of("T1")) == 1
    assert await no_lease_is_left(bench)


async def test_a_process_that_dies_before_its_result_is_committed_sends_nothing_twice(
    bench: Bench,
) -> None:
    await plan(bench, Wanted("T1", "please"))
    dying = bench.dispatcher(
        deadlines=Deadlines(lease_s=0.01, http_total_s=-60),
        fail_points="result.before_commit:raise:1",
    )
    await dying.turn()
    with pytest.raises(FailPointHit):
        await dying.drain(DEADLINE_S)
    assert bench.target.writes(path_of("T1")) == 1
    living = bench.dispatcher()
    await until(bench.lapse, "the lease lapses")
    await turn_until_idle(living)
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_result_that_could_not_be_committed_is_settled_by_the_next_turn(
    bench: Bench,
) -> None:
    await plan(bench, Wanted("T1", "please"))
    dispatcher = bench.dispatcher(fail_points="result.before_commit:raise:1")
    await dispatcher.turn()
    with pytest.raises(FailPointHit):
        await dispatcher.drain(DEADLINE_S)
    assert await dispatcher.turn()
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_claim_too_old_to_be_sent_is_given_back_unsent(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "please"))
    # One attempt is all there is: a claim that counted as one would be the last.
    once = at_once(attempts=1)
    late = bench.dispatcher(deadlines=Deadlines(lease_s=10, http_total_s=30), policy=once)
    for _ in range(3):
        assert await late.turn()
        await late.drain(DEADLINE_S)
        assert await steps(bench, "state, attempts") == [{"state": "ready", "attempts": 0}]
    assert bench.target.journal == []
    assert await bench.count("attempt") == 0
    assert await no_lease_is_left(bench)
    await turn_until_idle(bench.dispatcher(policy=once))
    assert await steps(bench, "state, attempts") == [{"state": "done", "attempts": 1}]


async def test_a_look_up_too_old_to_be_sent_stays_in_doubt(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["lose"]
    await plan(bench, Wanted("T1", "please"))
    await turn_until_idle(bench.dispatcher(settle_s=3600))
    await bench.execute("update step set next_at = now()")
    late = bench.dispatcher(deadlines=Deadlines(lease_s=10, http_total_s=30))
    assert await late.turn()
    await late.drain(DEADLINE_S)
    assert await steps(bench, "state, attempts") == [{"state": "in_doubt", "attempts": 1}]


async def test_a_call_that_shutdown_cuts_off_before_it_writes_is_given_back(bench: Bench) -> None:
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1", "please"))
    stopping = bench.dispatcher()
    await stopping.turn()
    await until(lambda: reached(bench, 1), "the look is at the target")
    await stopping.drain(0.01)
    assert await steps(bench, "state, attempts") == [{"state": "ready", "attempts": 0}]
    assert await bench.count("attempt") == 0
    assert await no_lease_is_left(bench)
    gate.set()
    await turn_until_idle(bench.dispatcher())
    assert await steps(bench, "state, attempts") == [{"state": "done", "attempts": 1}]
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_write_that_shutdown_cuts_off_is_in_doubt_and_counts(bench: Bench) -> None:
    bench.target.gates[f"PUT {path_of('T1')}"] = asyncio.Event()
    await plan(bench, Wanted("T1", "please"))
    stopping = bench.dispatcher()
    await stopping.turn()
    await until(lambda: reached(bench, 2), "the write is at the target")
    await stopping.drain(0.01)
    assert await steps(bench, "state, attempts") == [{"state": "in_flight", "attempts": 1}]
    await bench.execute("update target set lease_until = now() - interval '1 s'")
    await until(bench.lapse, "the lease lapses")
    assert await steps(bench, "state, attempts") == [{"state": "in_doubt", "attempts": 1}]


async def test_a_refused_call_fails_with_a_case_and_holds_only_what_follows_it(
    bench: Bench,
) -> None:
    bench.target.faults[path_of("T1")] = ["refuse"]
    await plan(
        bench,
        Wanted("T1", "please"),
        Wanted("T2", "then", after=("T1",)),
        Wanted("T3", "last", after=("T2",)),
        Wanted("T4", "beside"),
    )
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "failed", "T2": "held", "T3": "held", "T4": "done"}
    assert await bench.rows("select code, word, what, owner, ledger_key from exception_case") == [
        {
            "code": "toy-refused",
            "word": "business_rule",
            "what": "The target says no",
            "owner": "operations",
            "ledger_key": "order/1",
        }
    ]
    assert await bench.column("select state from ledger") == ["open"]
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_failed_call_planned_with_other_content_frees_what_it_held(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["refuse"]
    await plan(bench, Wanted("T1", "please"), Wanted("T2", "then", after=("T1",)))
    await turn_until_idle(bench.dispatcher())
    await plan(
        bench,
        Wanted("T1", "pretty please"),
        Wanted("T2", "then", after=("T1",)),
        number=2,
        version=2,
    )
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "done"}
    assert await bench.column("select state from ledger") == ["complete"]


@pytest.mark.parametrize(
    ("then", "states"),
    [
        ((Wanted("T1", "other"), Wanted("T2")), {"T1": "ready", "T2": "done"}),
        ((Wanted("T2"),), {"T1": "cancelled", "T2": "done"}),
    ],
    ids=["planned otherwise", "not planned"],
)
async def test_the_case_of_a_failed_call_ends_with_the_plan_that_replaces_it(
    bench: Bench, then: tuple[Wanted, ...], states: dict[str, str]
) -> None:
    bench.target.faults[path_of("T1")] = ["refuse", "refuse"]
    await plan(bench, Wanted("T1", "no"), Wanted("T2"))
    await turn_until_idle(bench.dispatcher())
    assert await bench.cases() == ["toy-refused"]
    # Planned as it is, it has failed still.
    await plan(bench, Wanted("T1", "no"), Wanted("T2"), number=2, version=2)
    assert await bench.cases() == ["toy-refused"]
    await plan(bench, *then, number=3, version=3)
    assert await bench.states() == states
    assert await bench.cases() == []
    noted = await bench.rows("select actor, subject from audit where action = 'case-resolved'")
    subject = "order/1: |erp|supplier|T1|extend-to-plant"
    assert noted == [{"actor": "a newer plan", "subject": subject}]
    await turn_until_idle(bench.dispatcher())
    # What goes wrong with the new form is told anew.
    assert await bench.cases() == (["toy-refused"] if states["T1"] == "ready" else [])


async def test_words_of_a_target_that_cannot_be_stored_stop_nobody(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["refuse"]
    bench.target.refusal = "no\0, says the target"
    await plan(bench, Wanted("T1", "please"), Wanted("T2", "beside"))
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "failed", "T2": "done"}
    assert await bench.cases() == ["toy-refused"]


async def test_one_target_object_has_one_call_at_a_time(bench: Bench) -> None:
    for n in range(4):
        await plan(bench, Wanted("T1", f"content {n}"), number=n, key=f"order/{n}")
        await plan(bench, Wanted(f"U{n}", "other"), number=100 + n, key=f"order/1{n}")
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    first, second = bench.dispatcher(), bench.dispatcher()
    await asyncio.gather(first.turn(), second.turn())
    await until(lambda: reached(bench, 5), "one call for T1, one for each of the others")
    await asyncio.gather(first.turn(), second.turn())
    gate.set()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(turn_until_idle(first), turn_until_idle(second))
        await turn_until_idle(first)
    assert bench.target.most_at_once[path_of("T1")] == 1
    assert set(await bench.column("select state from step")) == {"done"}
    # In the order of their plans: the last one stands.
    assert bench.target.rows[path_of("T1")] == b"content 3"


async def test_an_older_call_that_waits_for_its_retry_is_not_overtaken(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["away"]
    await plan(bench, Wanted("T1", "old"), number=1, key="order/1")
    dispatcher = bench.dispatcher(policy=at_once(wait_s=3600))
    await turn_until_idle(dispatcher)
    await plan(bench, Wanted("T1", "new"), number=2, key="order/2")
    await turn_until_idle(dispatcher)
    assert bench.target.writes(path_of("T1")) == 1
    await bench.execute("update step set next_at = now()")
    await turn_until_idle(dispatcher)
    assert bench.target.rows[path_of("T1")] == b"new"


async def test_a_call_in_doubt_holds_its_target_object(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["lose"]
    await plan(bench, Wanted("T1", "old"), number=1, key="order/1")
    dispatcher = bench.dispatcher(settle_s=3600)
    await turn_until_idle(dispatcher)
    await plan(bench, Wanted("T1", "new"), number=2, key="order/2")
    await turn_until_idle(dispatcher)
    assert await bench.column("select state from step order by id") == ["in_doubt", "ready"]
    assert bench.target.rows[path_of("T1")] == b"old"


async def test_a_follow_up_waits_for_the_call_under_way_and_the_old_content_never_returns(
    bench: Bench,
) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["away"]
    gate = bench.target.gates[path] = asyncio.Event()
    await plan(bench, Wanted("T1", "old"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await until(lambda: reached(bench, 1), "the old call is at the target")
    await plan(bench, Wanted("T1", "new"), number=2, version=2)
    assert await bench.column("select state from step order by id") == ["in_flight", "waiting"]
    gate.set()
    await turn_until_idle(dispatcher)
    await turn_until_idle(dispatcher)
    assert await bench.column("select state from step order by id") == ["superseded", "done"]
    assert bench.target.rows[path] == b"new"
    assert bench.target.writes(path) == 2


async def test_a_call_taken_out_of_the_plan_while_under_way_is_not_tried_again(
    bench: Bench,
) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["away"]
    gate = bench.target.gates[path] = asyncio.Event()
    await plan(bench, Wanted("T1", "old"), Wanted("T2", "stays"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await until(lambda: reached(bench, 2), "the calls are at the target")
    await plan(bench, Wanted("T2", "stays"), number=2, version=2)
    gate.set()
    await turn_until_idle(dispatcher)
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "cancelled", "T2": "done"}
    assert bench.target.writes(path) == 1
    assert await bench.column("select state from ledger") == ["complete"]


async def test_a_call_in_doubt_that_nobody_plans_any_more_is_looked_up_and_not_made(
    bench: Bench,
) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["lose"]
    await plan(bench, Wanted("T1", "old"), Wanted("T2", "stays"))
    await turn_until_idle(bench.dispatcher(settle_s=3600))
    # The answer was lost, and the target did not keep what was sent.
    bench.target.rows.pop(path)
    await plan(bench, Wanted("T2", "stays"), number=2, version=2)
    await bench.execute("update step set next_at = now()")
    await turn_until_idle(bench.dispatcher())
    await turn_until_idle(bench.dispatcher())
    assert path not in bench.target.rows
    assert await bench.states() == {"T1": "cancelled", "T2": "done"}


async def test_a_call_in_doubt_that_is_planned_otherwise_by_now_is_not_made_in_its_old_form(
    bench: Bench,
) -> None:
    path = path_of("T1")
    bench.target.faults[path] = ["lose"]
    await plan(bench, Wanted("T1", "old"))
    await turn_until_idle(bench.dispatcher(settle_s=3600))
    bench.target.rows.pop(path)
    await plan(bench, Wanted("T1", "new"), number=2, version=2)
    before = bench.target.writes(path)
    await bench.execute("update step set next_at = now()")
    await turn_until_idle(bench.dispatcher())
    await turn_until_idle(bench.dispatcher())
    assert b"new" in bench.target.rows[path]
    assert bench.target.writes(path) == before + 1
    assert await bench.column("select state from step order by id") == ["superseded", "done"]


async def test_what_is_done_after_its_newer_form_left_the_plan_is_put_before_a_person(
    bench: Bench,
) -> None:
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1", "old"), Wanted("T2", "stays"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await until(lambda: reached(bench, 2), "the calls are at the target")
    await plan(bench, Wanted("T1", "new"), Wanted("T2", "stays"), number=2, version=2)
    await plan(bench, Wanted("T2", "stays"), number=3, version=3)
    gate.set()
    await turn_until_idle(dispatcher)
    states = await bench.column("select state from step where object_id = 'T1' order by id")
    assert states == ["superseded", "cancelled"]
    assert await bench.cases() == ["left-behind"]


async def test_a_call_done_after_it_left_the_plan_is_put_before_a_person(bench: Bench) -> None:
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1", "old"), Wanted("T2", "stays"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await until(lambda: reached(bench, 2), "the calls are at the target")
    await plan(bench, Wanted("T2", "stays"), number=2, version=2)
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "superseded", "T2": "done"}
    assert await bench.cases() == ["left-behind"]


async def test_a_plan_and_a_claim_at_once_leave_no_lease_without_a_call(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "old"))
    async with bench.database.transaction() as other:
        # A plan under way holds the ledger and its steps.
        await other.execute("select from ledger for update")
        await other.execute("select from step for update")
        dispatcher = bench.dispatcher()
        assert not await dispatcher.turn()
        assert not await blocked(bench)
    assert await no_lease_is_left(bench)
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done"}


async def test_a_locked_ledger_keeps_no_other_call_and_no_other_result_waiting(
    bench: Bench,
) -> None:
    await plan(bench, Wanted("T1", "held"))
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await until(lambda: reached(bench, 1), "the call is at the target")
    await plan(bench, Wanted("T2", "free"), number=2, key="order/2")
    async with bench.database.transaction() as other:
        await other.execute("select from ledger where id = (select min(id) from ledger) for update")
        gate.set()
        await until(lambda: _is_done(dispatcher, bench, "T2"), "the other one is done")
        assert (await bench.states())["T1"] == "in_flight"
    await until(lambda: _is_done(dispatcher, bench, "T1"), "the first one too")
    assert bench.target.rows == {path_of("T1"): b"held", path_of("T2"): b"free"}


async def _is_done(dispatcher: Dispatcher, bench: Bench, target: str) -> bool:
    with contextlib.suppress(asyncpg.LockNotAvailableError):
        await dispatcher.turn()
    return (await bench.states())[target] == "done"


SUPPLIER = b'{"number":"S1","name":"Known","version":7}'


async def test_an_answer_becomes_one_message_and_then_a_fact(bench: Bench) -> None:
    bench.target.rows[path_of("S1")] = SUPPLIER
    await plan(bench, Wanted("S1", kind="read"))
    await turn_until_idle(bench.dispatcher())
    assert await bench.rows("select subscription, state from pending") == [
        {"subscription": "toy-answers", "state": "ready"}
    ]
    assert [await bench.pipeline().take_pending(10) for _ in range(2)] == [1, 0]
    assert await bench.rows("select key, version from document") == [
        {"key": "supplier/S1", "version": 7}
    ]
    [story] = await bench.column("select distinct correlation_id from message")
    assert story
    assert await bench.column("select outcome from attempt") == ["read"]


async def test_an_answer_wakes_the_ledger_that_asked_for_it(bench: Bench) -> None:
    bench.target.rows[path_of("S1")] = SUPPLIER
    await plan(
        bench,
        Wanted("S1", kind="read"),
        Wanted("S1", "Known", kind="wait"),
        Wanted("T1", "please", after=("S1",)),
    )
    for _ in range(3):
        await turn_until_idle(bench.dispatcher())
        await bench.pipeline().take_pending(10)
    assert bench.target.rows[path_of("T1")] == b"please"
    assert await bench.column("select state from ledger") == ["complete"]


async def test_an_answer_nobody_translates_is_a_case_and_the_step_fails(bench: Bench) -> None:
    bench.target.rows[path_of("S1")] = SUPPLIER

    def nobody(answer_type: str) -> Handler:
        raise Misconfigured("translator-missing", f"Nobody translates {answer_type}")

    await plan(bench, Wanted("S1", kind="read"))
    await turn_until_idle(bench.dispatcher(translator=nobody))
    assert await bench.states() == {"S1": "failed"}
    assert await bench.cases() == ["translator-missing"]


async def test_a_driver_that_wants_to_write_nothing_fails_as_a_defect(bench: Bench) -> None:
    # The toy driver reads suppliers and has nothing to write where the target has none.
    await plan(bench, Wanted("S1", kind="read"))
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "failed"}
    assert await bench.rows("select code, word from exception_case") == [
        {"code": "driver-stuck", "word": "defect"}
    ]


async def test_a_lane_uses_no_more_slots_than_it_has(bench: Bench) -> None:
    for n in range(5):
        bench.target.gates[path_of(f"T{n}")] = asyncio.Event()
    await plan(bench, *(Wanted(f"T{n}") for n in range(5)))
    dispatcher = bench.dispatcher(slots=2)
    await dispatcher.turn()
    await dispatcher.turn()
    await until(lambda: reached(bench, 2), "two calls are at the target")
    assert await bench.column("select count(*) from step where state = 'in_flight'") == [2]
    for gate in bench.target.gates.values():
        gate.set()
    await turn_until_idle(dispatcher)
    assert set((await bench.states()).values()) == {"done"}


async def test_calls_under_way_at_the_end_are_settled_before_it(bench: Bench) -> None:
    await plan(bench, Wanted("T1"), Wanted("T2"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    await dispatcher.drain(DEADLINE_S)
    assert await bench.states() == {"T1": "done", "T2": "done"}
