"""Lower lanes give way to the critical lane of any process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aio_pika.abc import AbstractConnection

from broker.intake import Arrival
from broker.precedence import RECENT_S, SMALL_BATCH, Pace, Precedence
from tests.integration.test_consumer import broker, consuming, has_handled, publish
from tests.integration.toy import Bench, bench_on, until

__all__ = ["broker"]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def test_processes_tell_each_other_and_forget_after_a_moment(bench: Bench) -> None:
    one, other, third = Precedence(), Precedence(), Precedence()
    await other.exchange(bench.database)
    assert not other.is_claimed
    one.worked()
    await one.exchange(bench.database)
    await third.exchange(bench.database)
    assert third.is_claimed
    await asyncio.sleep(RECENT_S)
    await other.exchange(bench.database)
    assert not other.is_claimed


async def test_a_lane_that_gives_way_takes_small_batches_and_all_of_them(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    sizes: list[int] = []
    precedence, pipeline = Precedence(), bench.pipeline()

    async def take(arrivals: Sequence[Arrival]) -> None:
        precedence.worked()
        sizes.append(len(arrivals))
        await pipeline.take(arrivals)

    precedence.worked()
    await publish(broker, range(150))
    pace = Pace("standard", precedence, 0.5)
    async with consuming(bench, amqp_url, take=take, batch=150, prefetch=200, pace=pace):
        await until(lambda: has_handled(bench, 150), "all are handled")
    assert max(sizes) <= SMALL_BATCH


class Watched(Pace):
    """A pace that keeps what it is told about the backlog."""

    def __init__(self) -> None:
        super().__init__("standard", Precedence(), 0.5)
        self.told: list[bool] = []

    def rest_s(self, messages: int, seconds: float, *, behind: bool) -> float:
        """See Pace."""
        self.told.append(behind)
        return super().rest_s(messages, seconds, behind=behind)


async def test_a_few_that_wait_are_no_backlog(
    bench: Bench, broker: AbstractConnection, amqp_url: str
) -> None:
    pace = Watched()
    async with consuming(bench, amqp_url, batch=40, prefetch=120, pace=pace):
        await publish(broker, range(15))
        await until(lambda: has_handled(bench, 15), "the few are handled")
        assert not any(pace.told)
    await publish(broker, range(15, 400))
    async with consuming(bench, amqp_url, batch=40, prefetch=120, pace=pace):
        await until(lambda: has_handled(bench, 400), "all are handled")
    assert any(pace.told)
