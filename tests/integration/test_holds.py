"""Holds: what is written to other systems stops at once, intake goes on, release keeps order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from broker import holds
from broker.book import Planned, apply_plans
from broker.dispatcher import Dispatcher
from broker.holds import Done
from broker.metrics import Metrics
from broker.store import upkeep
from broker.store.calls import claim_calls
from broker.store.holds import KINDS, HoldKind
from canonical.effects import Plan, Step
from canonical.errors import Conflict, Rejected
from canonical.exchange import Request, Response
from canonical.operations import ReadCoverage, RequestReview
from tests.integration.gearbox_change import known_origin
from tests.integration.toy import (
    DEADLINE_S,
    Bench,
    Order,
    Wanted,
    arrivals,
    bench_on,
    blocked,
    path_of,
    turn_until_idle,
    until,
)

SUPPLIER = b'{"number":"S1","name":"Known","version":7}'


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def plan(bench: Bench, *wanted: Wanted, number: int = 1, key: str = "order/1") -> None:
    """An order was decided that wants these steps."""
    await bench.pipeline().take(arrivals([Order(id=f"m{number}", key=key, plans=wanted)]))


async def place(bench: Bench, kind: HoldKind = "system", value: str = "erp") -> Done:
    async with bench.database.transaction() as tx:
        return await holds.place(tx, kind=kind, value=value, reason="maintenance", by="ada")


async def release(bench: Bench, hold_id: int) -> Done:
    async with bench.database.transaction() as tx:
        return await holds.release(tx, hold_id=hold_id, reason="it is back", by="bob")


def written(bench: Bench) -> list[str]:
    """Paths that were written, in order."""
    return [path for method, path in bench.target.journal if method == "PUT"]


@pytest.mark.parametrize(
    ("kind", "value"), [("system", "erp"), ("plant", "1010"), ("flow", "order")]
)
async def test_what_is_held_is_planned_and_not_called(
    bench: Bench, kind: HoldKind, value: str
) -> None:
    done = await place(bench, kind, value)
    await plan(bench, Wanted("T1", "please"), Wanted("T2", "then", after=("T1",)))
    await bench.execute("update step set plant = '1010'")
    await turn_until_idle(bench.dispatcher())
    assert bench.target.journal == []
    assert await bench.states() == {"T1": "ready", "T2": "waiting"}
    # Messages go on: the next one is planned too.
    await plan(bench, Wanted("T3"), number=2, key="order/2")
    assert await bench.column("select outcome from inbox") == ["applied", "applied"]
    await bench.execute("update step set plant = '1010'")
    await turn_until_idle(bench.dispatcher())
    assert bench.target.journal == []
    await release(bench, done.hold.id)
    await turn_until_idle(bench.dispatcher())
    assert set((await bench.states()).values()) == {"done"}
    assert sorted(written(bench)) == [path_of("T1"), path_of("T2"), path_of("T3")]


@pytest.mark.parametrize(
    ("kind", "value"), [("system", "crm"), ("plant", "1010"), ("flow", "memo")]
)
async def test_what_a_hold_is_not_about_goes_on(bench: Bench, kind: HoldKind, value: str) -> None:
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)))
    await place(bench, kind, value)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "done"}


async def test_a_hold_lets_the_calls_beside_it_go_on(bench: Bench) -> None:
    await plan(bench, *(Wanted(f"T{n}") for n in range(20)))
    await plan(bench, *(Wanted(f"U{n}") for n in range(20)), number=2, key="memo/1")
    await place(bench, "flow", "order")
    await turn_until_idle(bench.dispatcher())
    assert sorted(written(bench)) == sorted(path_of(f"U{n}") for n in range(20))


async def test_what_only_asks_goes_on(bench: Bench) -> None:
    bench.target.rows[path_of("S1")] = SUPPLIER
    held: list[tuple[HoldKind, str]] = [("system", "erp"), ("plant", ""), ("flow", "order")]
    for kind, value in held:
        await place(bench, kind, value)
    await plan(bench, Wanted("S1", kind="read"), Wanted("T1"))
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "done", "T1": "ready"}
    assert bench.target.journal == [("GET", path_of("S1"))]


async def test_a_review_that_is_asked_for_is_written_and_held(bench: Bench) -> None:
    review = RequestReview("S1", "C1", (), "not qualified", "C1/S1")
    steps = (
        Step("", "erp", "supplier", "S1", review),
        Step("", "erp", "coverage", "I1", ReadCoverage("I1")),
    )
    async with bench.database.transaction() as tx:
        origin = await known_origin(tx)
        await apply_plans(
            tx, [Planned(Plan("order/1", 1, "Order", steps), origin)], datetime.now(UTC)
        )
    await place(bench)
    async with bench.database.transaction() as tx:
        claimed = await claim_calls(tx, lane="standard", systems=["erp"], limit=8, lease_s=60)
    assert [c.step.object_id for c in claimed] == ["I1"]


async def test_a_release_drains_each_object_in_order(bench: Bench) -> None:
    done = await place(bench)
    for n in range(6):
        await plan(
            bench,
            Wanted("T1", f"content {n}"),
            Wanted(f"U{n}", "other"),
            number=n,
            key=f"order/{n}",
        )
    seen: list[bytes] = []
    perform = bench.target.perform

    async def noting(request: Request) -> Response:
        if request.method == "PUT" and request.path == path_of("T1"):
            seen.append(request.body or b"")
        return await perform(request)

    dispatcher = bench.dispatcher(perform=noting)
    await turn_until_idle(dispatcher)
    assert bench.target.journal == []
    assert (await release(bench, done.hold.id)).stopped.waiting == 12
    await turn_until_idle(dispatcher)
    assert seen == [f"content {n}".encode() for n in range(6)]
    assert bench.target.most_at_once[path_of("T1")] == 1
    assert set(await bench.column("select state from step")) == {"done"}


async def test_a_call_that_is_held_keeps_its_object(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "old"), key="order/1")
    done = await place(bench, "flow", "order")
    await plan(bench, Wanted("T1", "new"), Wanted("T2", "new"), number=2, key="memo/1")
    await turn_until_idle(bench.dispatcher())
    assert written(bench) == [path_of("T2")]
    await release(bench, done.hold.id)
    await turn_until_idle(bench.dispatcher())
    assert bench.target.rows[path_of("T1")] == b"new"
    assert bench.target.writes(path_of("T1")) == 2


async def test_a_call_under_way_ends_and_nothing_follows_it(bench: Bench) -> None:
    gate = bench.target.gates[path_of("T1")] = asyncio.Event()
    await plan(bench, Wanted("T1"), Wanted("T2", after=("T1",)))
    dispatcher = bench.dispatcher()
    await dispatcher.turn()
    done = await place(bench)
    assert (done.stopped.under_way, done.stopped.waiting) == (1, 0)
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done", "T2": "ready"}
    assert written(bench) == [path_of("T1")]


async def test_a_call_in_doubt_is_looked_up_after_the_release(bench: Bench) -> None:
    bench.target.faults[path_of("T1")] = ["lose"]
    await plan(bench, Wanted("T1"))
    dispatcher = bench.dispatcher(settle_s=3600)
    await turn_until_idle(dispatcher)
    done = await place(bench)
    await bench.execute("update step set next_at = now()")
    calls = len(bench.target.journal)
    await turn_until_idle(dispatcher)
    assert len(bench.target.journal) == calls
    assert await bench.states() == {"T1": "in_doubt"}
    await release(bench, done.hold.id)
    await turn_until_idle(dispatcher)
    assert await bench.states() == {"T1": "done"}
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_hold_is_placed_after_the_claims_that_do_not_know_it(bench: Bench) -> None:
    await plan(bench, Wanted("T1"))
    async with bench.database.transaction() as tx:
        claimed = await claim_calls(tx, lane="standard", systems=["erp"], limit=1, lease_s=60)
        assert [c.step.object_id for c in claimed] == ["T1"]
        await plan(bench, Wanted("T2"), number=2, key="order/2")
        placing = asyncio.create_task(place(bench))
        await until(lambda: blocked(bench), "the hold waits for the claim")
        # Who comes now neither waits nor claims what the hold is about.
        async with asyncio.timeout(1):
            assert not await bench.dispatcher().turn()
        assert not placing.done()
    async with asyncio.timeout(DEADLINE_S):
        done = await placing
    assert (done.stopped.under_way, done.stopped.waiting) == (1, 1)
    assert not await bench.dispatcher().turn()
    assert await bench.states() == {"T1": "in_flight", "T2": "ready"}


async def test_no_claim_passes_a_hold_that_is_not_committed_yet(bench: Bench) -> None:
    await plan(bench, Wanted("T1"))
    async with bench.database.transaction() as tx:
        await holds.place(tx, kind="system", value="erp", reason="now", by="ada")
        async with asyncio.timeout(1):
            assert not await bench.dispatcher().turn()
    assert not await bench.dispatcher().turn()
    assert bench.target.journal == []


@pytest.mark.parametrize("turns", range(5))
async def test_no_call_begins_once_the_hold_is_there(bench: Bench, turns: int) -> None:
    orders = [Order(id=f"m{n}", key=f"order/{n}", plans=(Wanted(f"T{n}"),)) for n in range(60)]
    await bench.pipeline().take(arrivals(orders))
    dispatchers = [bench.dispatcher(slots=2), bench.dispatcher(slots=3)]
    calling = [asyncio.create_task(_call(d)) for d in dispatchers]
    await until(lambda: _reached(bench, 4 * turns), "some calls are made")
    await place(bench)
    begun = await bench.column("select object_id from step where state <> 'ready'")
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*calling)
    for dispatcher in dispatchers:
        await turn_until_idle(dispatcher)
    assert {path for _, path in bench.target.journal} == set(map(path_of, begun))
    assert len(begun) < 60


async def _call(dispatcher: Dispatcher) -> None:
    """Turns of a dispatcher, until one finds nothing to do."""
    while await dispatcher.turn():
        await dispatcher.drain(DEADLINE_S)


async def _reached(bench: Bench, calls: int) -> bool:
    return len(bench.target.journal) >= calls


async def test_one_thing_is_held_once_and_released_once(bench: Bench) -> None:
    done = await place(bench)
    with pytest.raises(Conflict, match="held-already") as twice:
        await place(bench)
    assert "maintenance, by ada since" in twice.value.what
    await place(bench, "plant", "1010")
    await release(bench, done.hold.id)
    with pytest.raises(Conflict, match="not-in-force") as again:
        await release(bench, done.hold.id)
    assert "released by bob" in again.value.what
    with pytest.raises(Rejected, match="not-found"):
        await release(bench, 4711)
    assert (await place(bench)).hold.id != done.hold.id


async def test_two_people_at_once_place_one_hold(bench: Bench) -> None:
    ended = await asyncio.gather(place(bench), place(bench), return_exceptions=True)
    assert sorted(type(e).__name__ for e in ended) == ["Conflict", "Done"]
    assert await bench.count("outbound_hold") == 1


async def test_who_held_and_released_what_and_why_is_on_record(bench: Bench) -> None:
    done = await place(bench)
    await release(bench, done.hold.id)
    assert await bench.rows(
        "select actor, action, subject, before->>'state' as before, after->>'state' as after,"
        " detail->>'reason' as reason from audit order by id"
    ) == [
        {
            "actor": "ada",
            "action": "hold-placed",
            "subject": "system/erp",
            "before": "free",
            "after": "held",
            "reason": "maintenance",
        },
        {
            "actor": "bob",
            "action": "hold-released",
            "subject": "system/erp",
            "before": "held",
            "after": "free",
            "reason": "it is back",
        },
    ]


async def test_holds_in_force_are_a_gauge_by_kind(bench: Bench) -> None:
    metrics = Metrics()
    placed = await place(bench)
    await place(bench, "plant", "1010")
    await place(bench, "plant", "2010")
    assert await _gauge(bench, metrics) == {"system": 1, "plant": 2, "flow": 0}
    await release(bench, placed.hold.id)
    assert await _gauge(bench, metrics) == {"system": 0, "plant": 2, "flow": 0}


async def _gauge(bench: Bench, metrics: Metrics) -> dict[str, float | None]:
    await upkeep.refresh(bench.database, metrics)
    name = "layshaft_outbound_holds"
    return {kind: metrics.registry.get_sample_value(name, {"kind": kind}) for kind in KINDS}
