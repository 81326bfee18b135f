"""The last row of a key is finished while another message is about to wait behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker.store.diagnosis import stuck_rows
from tests.integration.toy import Bench, Order, arrivals, bench_on, repaired

ROUNDS = 20
# Who is held up between what it wrote and its commit; and for how long the other one waits with it.
INTERLEAVINGS = {
    "the last row is finished first": ("rows.before_commit:sleep=0.05:1", "", 0.0, 0.02),
    "the new one is parked first": ("", "inbox.before_commit:sleep=0.05:1", 0.0, 0.0),
    "both at once": ("", "", 0.0, 0.0),
    "the new one a little later": ("", "", 0.0, 0.005),
}


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.mark.parametrize("interleaving", INTERLEAVINGS)
async def test_whichever_commits_first_nothing_is_stuck_and_the_new_one_is_decided(
    bench: Bench, interleaving: str
) -> None:
    finishing, parking, first_s, second_s = INTERLEAVINGS[interleaving]

    async def finish() -> None:
        await asyncio.sleep(first_s)
        await bench.pipeline(orders=repaired(), fail_points=finishing).take_pending(1)

    async def park(new: Order) -> None:
        await asyncio.sleep(second_s)
        await bench.pipeline(fail_points=parking).take(arrivals([new]))

    for n in range(ROUNDS):
        last = Order(id=f"last{n}", key=f"order/{n}", emits=(f"L{n}",), fault="unavailable")
        new = Order(id=f"new{n}", key=f"order/{n}", emits=(f"N{n}",))
        await bench.pipeline().take(arrivals([last]))
        await asyncio.gather(finish(), park(new))
        async with bench.database.session() as session:
            assert await stuck_rows(session) == 0
        while await bench.pipeline(orders=repaired()).take_pending(10):
            pass
        said = "select key from outbox order by id desc limit 2"
        assert await bench.column(said) == [f"supplier/N{n}", f"supplier/L{n}"]
        assert await bench.count("pending") == await bench.count("hold") == 0
