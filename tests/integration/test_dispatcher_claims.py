"""What a claim allows: until when something is sent, and what is settled with which claim."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker import dispatcher as dispatching
from broker.settings import Deadlines
from canonical.exchange import Request, Response
from tests.integration.toy import (
    DEADLINE_S,
    Bench,
    Order,
    Target,
    Wanted,
    arrivals,
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
