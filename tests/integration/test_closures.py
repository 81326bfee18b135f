"""A system that is closed is not called, whoever found out; open again, it is called one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.gate import Breaker, Gate
from broker.policy import NotNow
from broker.store import closures as closure_rows
from broker.store.closures import ClosureRow
from canonical.errors import Unavailable
from canonical.exchange import Request, Response
from tests.integration.toy import (
    Bench,
    Order,
    Wanted,
    arrivals,
    bench_on,
    turn_until_idle,
    until,
)

# Closed for half of that at least.
QUICK = Breaker(in_a_row=3, closed_s=0.4, longest_s=0.4)
TARGETS = [f"T{n}" for n in range(12)]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def plan(bench: Bench, *names: str) -> None:
    """An order was decided that wants these to be true."""
    order = Order(id="m1", key="order/1", version=1, plans=tuple(Wanted(n, "x") for n in names))
    await bench.pipeline().take(arrivals([order]))


class Weather:
    """How the target is reached: each call fails while it is away; what it is asked stands here."""

    def __init__(self, bench: Bench, failure: Callable[[], Exception]) -> None:
        self._bench = bench
        self._failure = failure
        self.is_away = True
        self.asked = 0
        self.under_way = 0
        self.most_at_once = 0

    async def perform(self, request: Request) -> Response:
        """Answers one call, or fails."""
        self.asked += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await asyncio.sleep(0.01)
            if self.is_away:
                raise self._failure()
            return await self._bench.target.perform(request)
        finally:
            self.under_way -= 1


def unreachable() -> Exception:
    return Unavailable("target-unreachable", "nothing was sent")


def busy() -> Exception:
    return Unavailable("rate-limited", "429", retry_after_s=0.5)


async def closures(bench: Bench) -> list[ClosureRow]:
    async with bench.database.session() as session:
        return await closure_rows.listed(session)


async def states(bench: Bench) -> set[str]:
    return set(await bench.column("select state from step"))


async def attempts(bench: Bench) -> list[Any]:
    return await bench.column("select attempts from step order by id")


async def all_done(bench: Bench) -> bool:
    return await states(bench) == {"done"}


async def test_a_target_that_is_away_is_left_alone_and_burns_no_more_attempts(
    bench: Bench,
) -> None:
    weather = Weather(bench, unreachable)
    never = Breaker(in_a_row=3, closed_s=3_600, longest_s=3_600)
    gate = Gate({"erp": 4}, never)
    await plan(bench, *TARGETS)
    await turn_until_idle(bench.dispatcher(slots=4, perform=weather.perform, gate=gate))
    [closed] = await closures(bench)
    assert (closed.system, closed.cause, closed.why) == ("erp", "circuit", "Calls to erp fail")
    # What was under way when it closed had been claimed.
    assert 3 <= weather.asked <= 2 * 4
    assert sum(await attempts(bench)) == weather.asked
    # Another process has never called it, and leaves it alone as well.
    elsewhere = Weather(bench, unreachable)
    other = bench.dispatcher(perform=elsewhere.perform, gate=Gate({"erp": 4}, never))
    await turn_until_idle(other)
    assert elsewhere.asked == 0
    assert await states(bench) == {"ready"}


async def test_once_it_is_back_it_is_tried_and_all_is_done(bench: Bench) -> None:
    weather = Weather(bench, unreachable)
    gate = Gate({"erp": 8}, QUICK)
    dispatcher = bench.dispatcher(slots=8, perform=weather.perform, gate=gate)
    await plan(bench, *TARGETS)
    await turn_until_idle(dispatcher)
    assert await closures(bench)
    weather.most_at_once = 0
    burnt = sum(await attempts(bench))

    async def was_tried_in_vain() -> bool:
        await dispatcher.turn()
        return any(closed.times > 1 for closed in await closures(bench))

    await until(was_tried_in_vain, "it is tried, and fails again")
    assert weather.most_at_once == 1
    # Of what waited behind it nothing burnt an attempt but what tried it.
    assert sum(await attempts(bench)) == burnt + 1
    weather.is_away = False

    async def goes_on() -> bool:
        await dispatcher.turn()
        return await all_done(bench)

    await until(goes_on, "everything is done")
    assert await closures(bench) == []
    # Calls come back one by one.
    assert weather.most_at_once < 8


async def test_a_pause_that_one_call_is_asked_for_holds_for_all(bench: Bench) -> None:
    weather = Weather(bench, busy)
    gate = Gate({"erp": 1}, None)
    dispatcher = bench.dispatcher(slots=1, perform=weather.perform, gate=gate)
    await plan(bench, *TARGETS)
    await turn_until_idle(dispatcher)
    [closed] = await closures(bench)
    assert (closed.cause, closed.why) == ("asked", "erp asked for a pause: 429")
    assert weather.asked == 1
    weather.is_away = False

    async def goes_on() -> bool:
        await dispatcher.turn()
        return await all_done(bench)

    await until(goes_on, "the pause is over")


async def test_a_quota_that_is_used_up_burns_nothing_and_keeps_who_is_in_doubt_in_doubt(
    bench: Bench,
) -> None:
    weather = Weather(bench, lambda: NotNow("quota", "used up", retry_after_s=0.5))
    gate = Gate({"erp": 8}, QUICK)
    dispatcher = bench.dispatcher(perform=weather.perform, gate=gate)
    await plan(bench, *TARGETS)
    await bench.execute("update step set state = 'in_doubt' where object_id = 'T0'")
    await turn_until_idle(dispatcher)
    assert set(await attempts(bench)) == {0}
    assert await states(bench) == {"ready", "in_doubt"}
    assert {closed.cause for closed in await closures(bench)} == {"quota"}
    # Nothing was asked of the target, and nothing is noted of it.
    assert await bench.column("select calls from attempt where calls <> '[]'") == []
    weather.is_away = False

    async def goes_on() -> bool:
        await dispatcher.turn()
        return await all_done(bench)

    await until(goes_on, "there is some again")


async def test_a_system_that_is_announced_to_be_away_is_not_called_meanwhile(
    bench: Bench,
) -> None:
    weather = Weather(bench, unreachable)
    weather.is_away = False
    gate = Gate({"erp": 8}, QUICK)
    dispatcher = bench.dispatcher(perform=weather.perform, gate=gate)
    await plan(bench, *TARGETS)
    now = datetime.now(UTC)
    async with bench.database.transaction() as tx:
        ends: datetime = await tx.fetchval("select now() + interval '1 hour'")
        await closure_rows.announce(
            tx, system="erp", starts_at=now - timedelta(hours=1), ends_at=ends, reason="x", by="Mia"
        )
        later = await closure_rows.announce(
            tx,
            system="erp",
            starts_at=ends,
            ends_at=ends + timedelta(hours=1),
            reason="y",
            by="Mia",
        )
    await turn_until_idle(dispatcher)
    assert weather.asked == 0
    async with bench.database.transaction() as tx:
        first, second = await closure_rows.outages(tx)
        assert second == later
        assert await closure_rows.end_outage(tx, first.id) == first
        assert await closure_rows.end_outage(tx, first.id) is None

    async def goes_on() -> bool:
        await dispatcher.turn()
        return await all_done(bench)

    await until(goes_on, "what is yet to come keeps nobody from calling")
