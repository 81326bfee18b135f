"""What a claim allows: until when something is sent, and what is settled with which claim."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from broker import dispatcher as dispatching
from broker.book import Settled, settle_calls
from broker.settings import Deadlines
from broker.store.calls import CallResult, ClaimedStep, claim_calls
from broker.store.casebook import Case
from canonical.exchange import Request, Response
from tests.integration.toy import (
    DEADLINE_S,
    WORD_DRIVER,
    Bench,
    Order,
    Target,
    Wanted,
    arrivals,
    at_once,
    bench_on,
    path_of,
    turn_until_idle,
)


class Clock:
    """The dispatcher's monotonic clock, which goes on only when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class SlowTarget(Target):
    """A target each of whose answers takes so many seconds of a clock."""

    def __init__(self, clock: Clock, answer_s: float) -> None:
        super().__init__()
        self.clock = clock
        self.answer_s = answer_s

    async def perform(self, request: Request) -> Response:
        self.clock.now_s += self.answer_s
        return await super().perform(request)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock all dispatchers go by."""
    made = Clock()
    monkeypatch.setattr(dispatching, "monotonic", made)
    return made


async def plan(bench: Bench, *wanted: Wanted, number: int = 1, key: str = "order/1") -> None:
    """An order was decided that wants these steps."""
    await bench.pipeline().take(arrivals([Order(id=f"m{number}", key=key, plans=wanted)]))


async def test_nothing_is_written_that_could_be_applied_after_the_lease(
    bench: Bench, clock: Clock
) -> None:
    # The lease allows 90 s, of which the write may take 30.
    target = bench.target = SlowTarget(clock, answer_s=61)
    await plan(bench, Wanted("T1", "please"))
    slow = bench.dispatcher()
    await slow.turn()
    await slow.drain(DEADLINE_S)
    assert target.journal == [("GET", path_of("T1"))]
    assert await bench.states() == {"T1": "ready"}
    target.answer_s = 29
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done"}
    assert target.writes(path_of("T1")) == 1


async def test_a_lease_counts_from_before_its_claim_was_committed(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "please"))
    await bench.execute(
        """
        create function linger() returns trigger language plpgsql as $$
        begin perform pg_sleep(0.5); return null; end $$;
        create constraint trigger linger after update on target deferrable initially deferred
        for each row when (new.lease_until is not null) execute function linger()
        """
    )
    late = bench.dispatcher(deadlines=Deadlines(lease_s=30.25, http_total_s=30))
    await late.turn()
    await late.drain(DEADLINE_S)
    assert bench.target.journal == []
    assert await bench.states() == {"T1": "ready"}


async def test_an_update_of_very_many_writes_goes_on_with_the_next_claim(bench: Bench) -> None:
    words = " ".join(f"w{n}" for n in range(450))
    await plan(bench, Wanted("T1", words))
    # One try is all that it has.
    patient = bench.dispatcher(driver=WORD_DRIVER, policy=at_once(attempts=1, wait_s=3600))
    await turn_until_idle(patient)
    assert await bench.states() == {"T1": "done"}
    assert bench.target.rows[path_of("T1")] == words.encode()
    assert bench.target.writes(path_of("T1")) == 450
    assert await bench.column("select outcome from attempt order by ended_at") == [
        "unfinished",
        "unfinished",
        "applied",
    ]
    assert await bench.column("select attempts from step") == [1]


async def test_an_update_longer_than_its_lease_burns_no_attempt(bench: Bench, clock: Clock) -> None:
    # Five calls fit before the claim is too old: two or three writes.
    target = bench.target = SlowTarget(clock, answer_s=14)
    await plan(bench, Wanted("T1", "a b c d e f g h"))
    patient = bench.dispatcher(driver=WORD_DRIVER, policy=at_once(attempts=1, wait_s=3600))
    await turn_until_idle(patient)
    assert await bench.states() == {"T1": "done"}
    assert target.rows[path_of("T1")] == b"a b c d e f g h"
    assert target.writes(path_of("T1")) == 8
    assert await bench.column("select attempts from step") == [1]


async def test_a_write_that_leaves_everything_different_is_not_repeated(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["", "forget"]
    await plan(bench, Wanted("T1", "a b c"))
    await turn_until_idle(bench.dispatcher(driver=WORD_DRIVER))
    assert await bench.states() == {"T1": "failed"}
    assert await bench.cases() == ["driver-stuck"]
    assert bench.target.writes(path_of("T1")) == 2


async def test_calls_go_on_while_a_plan_about_their_objects_is_being_stored(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "claimed"), Wanted("T2", "lapsed"))
    await bench.execute(
        """
        with leased as (
            update target set lease_until = now() - interval '1 s' where object_id = 'T2'
            returning id
        )
        update step s set state = 'in_flight' from leased l where s.target_id = l.id
        """
    )
    async with bench.database.transaction() as other:
        # A plan that is not committed yet holds the objects of its calls, by their foreign key.
        await other.execute("select from target for key share")
        dispatcher = bench.dispatcher()
        assert await bench.lapse()
        assert await dispatcher.turn()
        await dispatcher.drain(DEADLINE_S)
        assert await bench.states() == {"T1": "done", "T2": "done"}


async def test_an_end_that_cannot_be_settled_is_left_to_whoever_runs_next(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "please"))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    async with bench.database.transaction() as other:
        await other.execute("select from ledger for update")
        await dispatcher.drain(DEADLINE_S)
        assert await bench.states() == {"T1": "in_flight"}
    await dispatcher.drain(DEADLINE_S)
    assert await bench.states() == {"T1": "done"}


async def test_an_end_without_a_database_is_an_end(bench: Bench, database_url: str) -> None:
    await plan(bench, Wanted("T1", "please"))
    async with bench_on(database_url) as other:
        other.target = bench.target
        dispatcher = other.dispatcher()
        await dispatcher.turn()
    await dispatcher.drain(DEADLINE_S)
    assert bench.target.writes(path_of("T1")) == 1
    assert await bench.states() == {"T1": "in_flight"}


@pytest.mark.parametrize("is_late_first", [True, False])
async def test_a_late_result_in_one_batch_with_its_successor_changes_nothing(
    bench: Bench, is_late_first: bool
) -> None:
    await plan(bench, Wanted("T1", "please"))
    lost = await claim(bench)
    await bench.execute("update target set lease_until = now() - interval '1 s'")
    assert await bench.lapse()
    ours = await claim(bench)
    assert (ours.id, ours.fence) == (lost.id, lost.fence + 2)
    now = datetime.now(UTC)
    late = CallResult(lost, "failed", now, now, now, (), "transient", "late", reference="R-late")
    case = Case("late", "transient", "What is over", "T1", "Nothing", "operations", origin="call")
    done = CallResult(ours, "done", now, now, now, (), "applied", "", reference="R-ours")
    batch = [Settled(late, case=case), Settled(done)]
    async with bench.database.transaction() as tx:
        await settle_calls(tx, batch if is_late_first else batch[::-1])
    assert await bench.rows("select state, reference, version from step") == [
        {"state": "done", "reference": "R-ours", "version": ours.version + 1}
    ]
    assert await bench.cases() == []
    assert await bench.column("select count(*) from step_event where state = 'failed'") == [0]


async def claim(bench: Bench) -> ClaimedStep:
    """The one call that is due."""
    async with bench.database.transaction() as tx:
        (claimed,) = await claim_calls(tx, lane="standard", systems=["erp"], limit=8, lease_s=60)
    return claimed


async def test_calls_of_one_batch_to_one_object_come_in_the_order_of_its_decisions(
    bench: Bench,
) -> None:
    """Whatever the plans are called: the content that was decided last is what the target has."""
    orders = [
        Order(id=f"m{n}", key=key, plans=(Wanted("S1", f"content {n}"),))
        for n, key in enumerate(["order/2", "order/3", "order/1"])
    ]
    await bench.pipeline().take(arrivals(orders))
    await turn_until_idle(bench.dispatcher())
    assert bench.target.writes(path_of("S1")) == 3
    assert bench.target.rows[path_of("S1")] == b"content 2"
