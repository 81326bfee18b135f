"""Two at once, in every order of their commits: ledgers go on by themselves, nothing is done twice,
and targets hold what was planned last.

In each test one side stands at its commit while the other one does all that it can do meanwhile.
After that nobody is told anything any more, and everything is at rest within `GOES_ON_S`: rows and
calls are looked for every 0.5 s, wakes that were missed every 2 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg
import msgspec
import pytest

from broker import approvals
from broker.principals import ALL_PLANTS, Principal
from broker.settings import Deadlines
from canonical.effects import Effect, Plan, Put, Step
from canonical.envelope import Message
from canonical.errors import Conflict
from canonical.facts import Facts
from canonical.handler import Handler
from canonical.supplier import Qualification, Supplier
from tests.integration.interleaving import Process, at_work, gate, processes_on, waits_for
from tests.integration.people import principal_in
from tests.integration.toy import (
    ORDERS,
    Bench,
    Order,
    Stated,
    Wanted,
    bench_on,
    path_of,
    step,
    until,
)

KEY = "engineering-change/C1"
# Within this a ledger goes on by itself, whoever missed whose commit.
GOES_ON_S = 5.0
# On a machine that has other things to do.
SLACK = 3.0


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database, where ada decides for quality."""
    async with bench_on(database_url) as made:
        await principal_in(made.database, "ada", "quality")
        yield made


def test_a_wake_that_was_missed_is_made_up_for_in_time() -> None:
    """The longest way: waiting facts are looked for, the plan is made anew, its calls are found."""
    limits = Deadlines()
    assert limits.fact_sweep_s + limits.sweep_s + limits.sweep_s < GOES_ON_S


def change(*plans: Wanted, number: int = 1, key: str = KEY) -> Order:
    """A change that wants these steps, in the version of its number."""
    return Order(id=f"{key} {number}", key=key, version=number, plans=plans)


async def comes_to_rest(
    bench: Bench, *processes: Process, sweeps: bool = True, cases: Sequence[str] = ()
) -> None:
    """By themselves the processes bring everything to its end. Nothing is left, but these cases;
    no object had two calls at once, and no content of a step was written twice."""

    async def is_at_rest() -> bool:
        is_open = (
            "select 1 from ledger where state = 'open' union all select 1 from pending"
            " union all select 1 from target where lease_until is not null"
        )
        return not await bench.column(is_open)

    async with at_work(*processes, sweeps=sweeps):
        await until(is_at_rest, "every ledger is complete", within_s=GOES_ON_S * SLACK)
    settled = {"done", "cancelled", "superseded"}
    assert set(await bench.column("select state from step")) <= settled
    assert await bench.column("select distinct state from ledger") == ["complete"]
    assert await bench.count("hold") == 0
    assert await bench.cases() == list(cases)
    assert len(set(bench.target.keys)) == len(bench.target.keys)
    assert all(n == 1 for n in bench.target.most_at_once.values())


def written(bench: Bench) -> list[str]:
    """Objects that were written, in that order."""
    paths = [path for method, path in bench.target.journal if method == "PUT"]
    return [path.rpartition("/")[2] for path in paths]


def held(bench: Bench, object_id: str = "T1") -> str:
    """What the target holds of the object."""
    return bench.target.rows[path_of(object_id)].decode()


async def decide(process: Process, task: tuple[int, str]) -> None:
    """Ada says yes to that content, as often as the database keeps her from it."""
    while True:
        with suppress(asyncpg.LockNotAvailableError):
            async with process.database.transaction() as tx:
                await approvals.decide(
                    tx,
                    step_id=task[0],
                    digest=task[1],
                    verdict="approved",
                    by=Principal("ada", ("quality",), ALL_PLANTS),
                    reason="seen the audit",
                )
            return


async def shown(bench: Bench, object_id: str = "S1") -> tuple[int, str]:
    """Id and digest of a question as a person sees it."""
    [row] = await bench.rows(
        "select id, encode(digest, 'hex') as digest from step"
        " where kind = 'approval' and object_id = $1 order by generation desc limit 1",
        object_id,
    )
    return row["id"], row["digest"]


# 1. The last two dependencies of a step end in the same instant

JOIN = (Wanted("T1", "one"), Wanted("T2", "two"), Wanted("T3", "both", after=("T1", "T2")))
DONE_T1 = "new.object_id = 'T1' and new.state = 'done'"


@pytest.mark.parametrize("first", ["T1", "T2"])
async def test_a_step_goes_on_where_two_processes_settle_its_last_calls_at_once(
    bench: Bench, first: str
) -> None:
    second = {"T1": "T2", "T2": "T1"}[first]
    async with processes_on(bench, slots=1) as (one, two):
        await one.take(change(*JOIN))
        # Calls are claimed in the order of their steps.
        for process in (one, two) if first == "T1" else (two, one):
            await process.call()
        async with gate(bench, "step", f"new.object_id = '{first}' and new.state = 'done'") as here:
            settling = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            # The ledger is at work, and nobody waits for it.
            assert not await two.dispatcher.turn()
            assert await bench.states() == {"T1": "in_flight", "T2": "in_flight", "T3": "waiting"}
            await here.open(one)
            assert await settling
        assert await bench.states() == {first: "done", second: "in_flight", "T3": "waiting"}
        await comes_to_rest(bench, one, two)
    assert sorted(written(bench)) == ["T1", "T2", "T3"]
    assert written(bench)[-1] == "T3"


async def test_a_step_goes_on_once_where_one_process_settles_its_last_calls_together(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(*JOIN))
        await one.call(2)
        async with gate(bench, "step", DONE_T1) as here:
            settling = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            assert not await two.dispatcher.turn()
            await here.open(one)
            assert await settling
        await comes_to_rest(bench, one, two)
    assert written(bench)[2:] == ["T3"]
    freed = "select count(*) from step_event e join step s on s.id = e.step_id"
    freed += " where s.object_id = 'T3' and e.state = 'ready'"
    assert await bench.column(freed) == [1]


ASKED = (
    Wanted("S1", "May S1 be used?", kind="approval"),
    Wanted("S2", "May S2 be used?", kind="approval"),
    Wanted("T1", "one"),
)


async def test_a_step_goes_on_where_its_last_call_ends_while_its_last_question_is_decided(
    bench: Bench,
) -> None:
    plan = (ASKED[0], ASKED[2], Wanted("T3", "both", after=("S1", "T1")))
    async with processes_on(bench) as (one, two):
        await one.take(change(*plan))
        await two.call()
        async with gate(bench, "step", "new.object_id = 'S1' and new.state = 'done'") as here:
            deciding = asyncio.create_task(decide(one, await shown(bench)))
            await here.reached(one)
            assert not await two.dispatcher.turn()
            assert await bench.states() == {"S1": "ready", "T1": "in_flight", "T3": "waiting"}
            await here.open(one)
            await deciding
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T3"]


async def test_a_step_goes_on_where_its_last_question_is_decided_while_its_last_call_ends(
    bench: Bench,
) -> None:
    plan = (ASKED[0], ASKED[2], Wanted("T3", "both", after=("S1", "T1")))
    async with processes_on(bench) as (one, two):
        await one.take(change(*plan))
        await one.call()
        async with gate(bench, "step", DONE_T1) as here:
            settling = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            deciding = asyncio.create_task(decide(two, await shown(bench)))
            await waits_for(bench, two, one)
            assert await bench.states() == {"S1": "ready", "T1": "in_flight", "T3": "waiting"}
            await here.open(one)
            await deciding
            assert await settling
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T3"]


@pytest.mark.parametrize(("first", "second"), [("S1", "S2"), ("S2", "S1")])
async def test_a_step_goes_on_where_its_last_two_questions_are_decided_at_once(
    bench: Bench, first: str, second: str
) -> None:
    plan = (*ASKED[:2], Wanted("T3", "both", after=("S1", "S2")))
    async with processes_on(bench) as (one, two):
        await one.take(change(*plan))
        is_done = f"new.object_id = '{first}' and new.state = 'done'"
        async with gate(bench, "step", is_done) as here:
            deciding = asyncio.create_task(decide(one, await shown(bench, first)))
            await here.reached(one)
            later = asyncio.create_task(decide(two, await shown(bench, second)))
            await waits_for(bench, two, one)
            assert await bench.states() == {"S1": "ready", "S2": "ready", "T3": "waiting"}
            await here.open(one)
            await asyncio.gather(deciding, later)
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T3"]


# 2. A supplier is qualified between the reading and the commit of a plan


def _purchase(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """Buys T1 from S1: once quality has decided, or at once where S1 is qualified. An order that
    states S1 says by its name what its qualification is."""
    order = message.payload
    for stated in order.states:
        qualification = msgspec.convert({"status": stated.name}, Qualification)
        known = Supplier(stated.number, "Bolt & Co", active=True, qualification=qualification)
        return (Put(f"supplier/{stated.number}", stated.version, known),)
    steps: tuple[Step, ...] = (step(Wanted("T1", "buy"), key=order.key),)
    s1 = facts.supplier("S1")
    if s1 is None or s1.qualification.status != "qualified":
        wanted = Wanted("S1", "May S1 be bought from?", kind="approval")
        fact, seen = "supplier/S1", facts.version("supplier/S1")
        asked = msgspec.structs.replace(step(wanted, key=order.key), fact=fact, seen=seen)
        steps = (asked, msgspec.structs.replace(steps[0], depends_on=(asked.identity,)))
    return (Plan(order.key, order.version, "Buys T1", steps),)


PURCHASES = Handler(
    name=ORDERS.name,
    scope=ORDERS.scope,
    types=ORDERS.types,
    read=ORDERS.read,
    needs=lambda message, facts: frozenset({"supplier/S1"}),
    decide=_purchase,
)
BUY = Order(id="buy", key=KEY)


def qualification(version: int, status: str) -> Order:
    """What procurement states of S1."""
    return Order(id=f"S1 {version}", key="supplier/S1", states=(Stated("S1", version, status),))


async def is_bought(bench: Bench, *processes: Process, sweeps: bool = True) -> None:
    """By themselves the processes buy T1, and nobody is asked any more."""
    await comes_to_rest(bench, *processes, sweeps=sweeps)
    assert written(bench) == ["T1"]
    assert (await bench.states()).get("S1", "cancelled") == "cancelled"
    assert await bench.count("decision") == 0


async def seen(bench: Bench) -> list[int]:
    """The versions of S1 that what quality is asked rests on."""
    return await bench.column("select seen from step where fact = 'supplier/S1'")


async def test_a_plan_that_has_read_while_its_supplier_was_qualified_is_made_anew(
    bench: Bench,
) -> None:
    async with processes_on(bench, orders=PURCHASES) as (one, two):
        await two.take(qualification(1, "in_qualification"))
        async with gate(bench, "document", "new.row_version = 2") as here:
            # It has looked for plans to wake, and found none.
            stating = asyncio.create_task(two.take(qualification(2, "qualified")))
            await here.reached(two)
            planning = asyncio.create_task(one.take(BUY))
            await waits_for(bench, one, two)
            await here.open(two)
            await asyncio.gather(stating, planning)
        assert await seen(bench) == [1]
        # Nobody looks for wakes that were missed.
        await is_bought(bench, one, two, sweeps=False)


async def test_a_supplier_that_is_qualified_between_reading_and_commit_of_a_plan_wakes_it(
    bench: Bench,
) -> None:
    async with processes_on(bench, orders=PURCHASES) as (one, two):
        await two.take(qualification(1, "in_qualification"))
        async with gate(bench, "ledger", "true") as here:
            planning = asyncio.create_task(one.take(BUY))
            await here.reached(one)
            stating = asyncio.create_task(two.take(qualification(2, "qualified")))
            await waits_for(bench, two, one)
            await here.open(one)
            await asyncio.gather(stating, planning)
        assert await seen(bench) == [1]
        await is_bought(bench, one, two, sweeps=False)


async def to_be_planned_anew(one: Process, two: Process) -> None:
    """A purchase waits for quality, and its plan is to be made anew: S1 is in qualification
    still."""
    await two.take(qualification(1, "in_qualification"))
    await one.take(BUY)
    await two.take(qualification(2, "in_qualification"))


async def test_a_supplier_that_is_qualified_while_its_plan_is_made_anew_wakes_it_again(
    bench: Bench,
) -> None:
    async with processes_on(bench, orders=PURCHASES) as (one, two):
        await to_be_planned_anew(one, two)
        async with gate(bench, "step", "new.seen = 2") as here:
            planning = asyncio.create_task(one.take_rows())
            await here.reached(one)
            stating = asyncio.create_task(two.take(qualification(3, "qualified")))
            await waits_for(bench, two, one)
            await here.open(one)
            await asyncio.gather(stating, planning)
        assert await seen(bench) == [2]
        await is_bought(bench, one, two, sweeps=False)


async def test_a_plan_that_is_made_anew_while_its_supplier_was_qualified_is_so_once_more(
    bench: Bench,
) -> None:
    async with processes_on(bench, orders=PURCHASES) as (one, two):
        await to_be_planned_anew(one, two)
        async with gate(bench, "document", "new.row_version = 3") as here:
            stating = asyncio.create_task(two.take(qualification(3, "qualified")))
            await here.reached(two)
            planning = asyncio.create_task(one.take_rows())
            await waits_for(bench, one, two)
            await here.open(two)
            await asyncio.gather(stating, planning)
        assert await seen(bench) == [2]
        await is_bought(bench, one, two, sweeps=False)


AWAITING = change(
    Wanted("S1", "qualified", kind="wait"), Wanted("T1", "buy", after=("S1",)), key=KEY
)
UNKNOWN = qualification(1, "qualified")


@pytest.mark.parametrize("first", ["ledger", "document"])
async def test_a_plan_and_the_first_word_of_its_supplier_at_once_find_each_other(
    bench: Bench, first: str
) -> None:
    """Nobody can hold what is not there yet: neither sees the other one, and the sweep does."""
    orders = (AWAITING, UNKNOWN) if first == "ledger" else (UNKNOWN, AWAITING)
    async with processes_on(bench) as (one, two):
        async with gate(bench, first, "true") as here:
            standing = asyncio.create_task(one.take(orders[0]))
            await here.reached(one)
            await two.take(orders[1])
            await here.open(one)
            await standing
        assert await bench.states() == {"S1": "waiting", "T1": "waiting"}
        assert await bench.count("pending") == 0
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1"]


# 3. A re-plan meets the claim of the dispatcher

CLAIMED = "new.lease_until is not null"
OLD, NEW = Wanted("T1", "old"), Wanted("T1", "new")
BESIDE = Wanted("T2", "beside")


async def test_a_plan_that_meets_a_claim_waits_for_it_and_its_content_comes_after(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(OLD))
        async with gate(bench, "target", CLAIMED) as here:
            claiming = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            planning = asyncio.create_task(two.take(change(NEW, number=2)))
            await waits_for(bench, two, one)
            assert bench.target.journal == []
            await here.open(one)
            assert await claiming
            await planning
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1"]
    assert held(bench) == "new"
    assert await bench.column("select state from step order by generation") == ["done", "done"]


async def test_a_plan_without_the_step_meets_its_claim_and_what_was_done_is_left_behind(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(OLD))
        async with gate(bench, "target", CLAIMED) as here:
            claiming = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            planning = asyncio.create_task(two.take(change(BESIDE, number=2)))
            await waits_for(bench, two, one)
            await here.open(one)
            assert await claiming
            await planning
        await comes_to_rest(bench, one, two, cases=["left-behind"])
    assert sorted(written(bench)) == ["T1", "T2"]
    assert await bench.states() == {"T1": "superseded", "T2": "done"}


async def test_a_claim_passes_over_what_is_being_planned_otherwise(bench: Bench) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(OLD))
        async with gate(bench, "ledger", "new.version = 2") as here:
            planning = asyncio.create_task(two.take(change(NEW, number=2)))
            await here.reached(two)
            assert not await one.dispatcher.turn()
            assert await bench.states() == {"T1": "ready"}
            await here.open(two)
            await planning
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1"]
    assert held(bench) == "new"


async def test_a_claim_passes_over_what_a_plan_takes_out_and_nothing_of_it_is_sent(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(OLD))
        async with gate(bench, "ledger", "new.version = 2") as here:
            planning = asyncio.create_task(two.take(change(BESIDE, number=2)))
            await here.reached(two)
            assert not await one.dispatcher.turn()
            await here.open(two)
            await planning
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T2"]
    assert await bench.states() == {"T1": "cancelled", "T2": "done"}


@pytest.mark.parametrize("is_answer_first", [True, False])
async def test_a_plan_that_meets_the_end_of_a_call_has_its_content_written_after_it(
    bench: Bench, is_answer_first: bool
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(OLD))
        await one.call()
        where = ("step", DONE_T1) if is_answer_first else ("ledger", "new.version = 2")
        async with gate(bench, *where) as here:
            if is_answer_first:
                settling = asyncio.create_task(one.dispatcher.turn())
                await here.reached(one)
                planning = asyncio.create_task(two.take(change(NEW, number=2)))
                await waits_for(bench, two, one)
                await here.open(one)
                assert await settling
            else:
                planning = asyncio.create_task(two.take(change(NEW, number=2)))
                await here.reached(two)
                assert not await one.dispatcher.turn()
                await here.open(two)
            await planning
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1"]
    assert held(bench) == "new"


# 4. An approval comes for a version that is not shown any more

QUESTION = Wanted("S1", "May S1 be used?", kind="approval")
OTHER = Wanted("S1", "May S1 be used for more?", kind="approval")
AFTER = Wanted("T1", "activate", after=("S1",))


async def test_an_approval_that_meets_another_question_is_refused_and_that_one_is_asked(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(QUESTION, AFTER))
        task = await shown(bench)
        async with gate(bench, "ledger", "new.version = 2") as here:
            planning = asyncio.create_task(one.take(change(OTHER, AFTER, BESIDE, number=2)))
            await here.reached(one)
            deciding = asyncio.create_task(decide(two, task))
            await waits_for(bench, two, one)
            await here.open(one)
            await planning
            with pytest.raises(Conflict, match="content-changed"):
                await deciding
        assert await bench.count("decision") == 0
        async with at_work(one, two):
            await until_states(bench, {"S1": "ready", "T1": "waiting", "T2": "done"})
        await decide(two, await shown(bench))
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T2", "T1"]


async def test_an_approval_that_meets_a_plan_without_its_question_is_refused(bench: Bench) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(QUESTION, AFTER))
        task = await shown(bench)
        async with gate(bench, "ledger", "new.version = 2") as here:
            planning = asyncio.create_task(one.take(change(Wanted("T1", "activate"), number=2)))
            await here.reached(one)
            deciding = asyncio.create_task(decide(two, task))
            await waits_for(bench, two, one)
            await here.open(one)
            await planning
            with pytest.raises(Conflict, match="not-open"):
                await deciding
        await comes_to_rest(bench, one, two)
    assert await bench.count("decision") == 0
    assert written(bench) == ["T1"]
    assert await bench.states() == {"S1": "cancelled", "T1": "done"}


async def test_an_approval_that_meets_a_plan_with_the_same_question_counts(bench: Bench) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(QUESTION, AFTER))
        task = await shown(bench)
        async with gate(bench, "ledger", "new.version = 2") as here:
            planning = asyncio.create_task(one.take(change(QUESTION, AFTER, BESIDE, number=2)))
            await here.reached(one)
            deciding = asyncio.create_task(decide(two, task))
            await waits_for(bench, two, one)
            await here.open(one)
            await planning
            await deciding
        await comes_to_rest(bench, one, two)
    assert sorted(written(bench)) == ["T1", "T2"]


async def test_another_question_that_meets_an_approval_is_asked_and_what_waits_goes_on_waiting(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(QUESTION, AFTER))
        async with gate(bench, "step", "new.object_id = 'S1' and new.state = 'done'") as here:
            deciding = asyncio.create_task(decide(one, await shown(bench)))
            await here.reached(one)
            planning = asyncio.create_task(two.take(change(OTHER, AFTER, BESIDE, number=2)))
            await waits_for(bench, two, one)
            await here.open(one)
            await deciding
            await planning
        async with at_work(one, two):
            await until_states(bench, {"S1": "ready", "T1": "waiting", "T2": "done"})
        assert written(bench) == ["T2"]
        await decide(two, await shown(bench))
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T2", "T1"]
    assert await bench.count("decision") == 2


async def until_states(bench: Bench, states: dict[str, str]) -> None:
    """The steps come to these states by themselves, and nothing else is to do."""

    async def are_so() -> bool:
        return await bench.states() == states and await bench.count("pending") == 0

    await until(are_so, f"{states}")


# 5. Two changes touch one item at once

FIRST, SECOND = "engineering-change/A", "engineering-change/B"


async def test_two_changes_of_an_item_nobody_knew_are_written_in_the_order_of_their_commits(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        async with gate(bench, "ledger", f"new.key = '{FIRST}'") as here:
            planning = asyncio.create_task(one.take(change(Wanted("T1", "a"), key=FIRST)))
            await here.reached(one)
            other = asyncio.create_task(two.take(change(Wanted("T1", "b"), key=SECOND)))
            await waits_for(bench, two, one)
            await here.open(one)
            await asyncio.gather(planning, other)
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1"]
    assert held(bench) == "b"


async def test_two_changes_of_one_item_are_claimed_one_after_the_other(bench: Bench) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(Wanted("T1", "a"), key=FIRST))
        await one.take(change(Wanted("T1", "b"), key=SECOND))
        async with gate(bench, "target", CLAIMED) as here:
            claiming = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            assert not await two.dispatcher.turn()
            await here.open(one)
            assert await claiming
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1"]
    assert held(bench) == "b"


async def test_a_change_that_commits_while_another_one_writes_its_item_is_written_after_it(
    bench: Bench,
) -> None:
    async with processes_on(bench) as (one, two):
        await one.take(change(Wanted("T1", "before"), key="engineering-change/0"))
        await one.call()
        assert await one.dispatcher.turn()
        async with gate(bench, "ledger", f"new.key = '{FIRST}'") as here:
            planning = asyncio.create_task(one.take(change(Wanted("T1", "a"), key=FIRST)))
            await here.reached(one)
            await two.take(change(Wanted("T1", "b"), key=SECOND))
            bench.target.gates[f"PUT {path_of('T1')}"] = slow = asyncio.Event()
            assert await two.dispatcher.turn()
            await until_written(bench, 2)
            await here.open(one)
            await planning
        assert not await one.dispatcher.turn()
        slow.set()
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1", "T1"]
    assert held(bench) == "a"


async def test_a_change_that_commits_while_the_answer_of_another_one_is_lost_is_written_after_it(
    bench: Bench,
) -> None:
    async with processes_on(bench, settle_s=3.0) as (one, two):
        bench.target.faults[path_of("T1")] = ["lose"]
        await one.take(change(Wanted("T1", "a"), key=FIRST))
        await one.call()
        async with gate(bench, "step", "new.state = 'in_doubt'") as here:
            settling = asyncio.create_task(one.dispatcher.turn())
            await here.reached(one)
            planning = asyncio.create_task(two.take(change(Wanted("T1", "b"), key=SECOND)))
            await waits_for(bench, two, one)
            await here.open(one)
            assert await settling
            await planning
        # The object is looked at first, once its settling time is over.
        assert not await two.dispatcher.turn()
        await comes_to_rest(bench, one, two)
    assert written(bench) == ["T1", "T1"]
    assert held(bench) == "b"


async def until_written(bench: Bench, times: int) -> None:
    """So many writes have reached the target."""

    async def have() -> bool:
        return len(written(bench)) == times

    await until(have, f"{times} writes")


def _release(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """Writes item T1 in the revision that is known, with the word of the change; an order that
    states it says by a supplier's name what its revision is."""
    order = message.payload
    effects: list[Effect] = [
        Put(f"supplier/{s.number}", s.version, Supplier(s.number, s.name, True, NO_MATTER))
        for s in order.states
    ]
    if order.plans:
        known = facts.supplier("T1")
        assert known is not None
        content = f"{known.name} {order.plans[0].content}".strip()
        write = step(Wanted("T1", content), key=order.key)
        fact, seen = "supplier/T1", facts.version("supplier/T1")
        write = msgspec.structs.replace(write, fact=fact, seen=seen)
        effects.append(Plan(order.key, order.version, "Releases T1", (write,)))
    return tuple(effects)


NO_MATTER = Qualification("qualified")
RELEASES = Handler(
    name=ORDERS.name,
    scope=ORDERS.scope,
    types=ORDERS.types,
    read=ORDERS.read,
    needs=lambda message, facts: frozenset({"supplier/T1"}),
    decide=_release,
)


def revision(version: int, *, key: str = "supplier/T1") -> Order:
    """T1 in a revision, by whoever states it."""
    states = (Stated("T1", version, f"revision {version}"),)
    return Order(id=f"{key} states {version}", key=key, states=states)


async def test_a_change_that_commits_after_a_newer_revision_was_written_does_not_take_it_back(
    bench: Bench,
) -> None:
    async with processes_on(bench, orders=RELEASES) as (one, two):
        await one.take(revision(1))
        await one.take(change(Wanted("T1", "A"), key=FIRST))
        await one.call()
        assert await one.dispatcher.turn()
        where = ("ledger", f"new.key = '{FIRST}'")
        async with gate(bench, *where, at_commit=False) as here:
            again = change(Wanted("T1", "C"), key=FIRST, number=2)
            planning = asyncio.create_task(one.take(again))
            # It has read the older revision, and comes to its ledger.
            await here.reached(one)
            await two.take(revision(2))
            await two.take(change(Wanted("T1", "B"), key=SECOND))
            await two.call()
            assert await two.dispatcher.turn()
            assert held(bench) == "revision 2 B"
            await here.open(one)
            await planning
        assert await bench.column("select seen from step where state = 'ready'") == [1]
        # Nobody looks for wakes that were missed.
        await comes_to_rest(bench, one, two, sweeps=False)
    assert held(bench) == "revision 2 C"


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
async def test_of_two_changes_that_state_an_item_at_once_the_newer_revision_is_kept(
    bench: Bench, first: int, second: int
) -> None:
    async with processes_on(bench, orders=RELEASES) as (one, two):
        await one.take(revision(1))
        await one.take(change(Wanted("T1"), key="engineering-change/0"))
        async with gate(bench, "document", "new.row_version = 2") as here:
            stating = asyncio.create_task(one.take(revision(first, key=FIRST)))
            await here.reached(one)
            other = asyncio.create_task(two.take(revision(second, key=SECOND)))
            await waits_for(bench, two, one)
            await here.open(one)
            await asyncio.gather(stating, other)
        await comes_to_rest(bench, one, two)
    assert held(bench) == "revision 3"
    outcomes = {first: "applied", second: "applied" if second == 3 else "stale"}
    said = "select outcome from inbox where id = $1"
    for version, key in ((first, FIRST), (second, SECOND)):
        assert await bench.column(said, f"{key} states {version}") == [outcomes[version]]
