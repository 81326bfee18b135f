"""Who sends by which contract is kept by day; who sends by one that ends is told, then refused."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from broker.contract_use import ContractUse
from broker.store import contract_use as rows
from broker.sunset import Ending
from tests.integration.toy import SOURCE, Bench, Order, Stated, arrivals, bench_on

LAST_DAY = date(2026, 3, 31)
ENDINGS = {(SOURCE, "toy.order"): Ending(SOURCE, "toy.order", LAST_DAY, "shop team")}


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def orders(*numbers: int) -> list[Order]:
    return [
        Order(id=f"m{n}", key=f"order/{n}", states=(Stated(str(n), version=1),)) for n in numbers
    ]


async def test_what_came_is_kept_by_day_and_source_and_counted_once(bench: Bench) -> None:
    use = ContractUse(database=bench.database, metrics=bench.metrics, endings={})
    await bench.pipeline().take(arrivals(orders(1, 2)))
    assert await use.turn()
    assert not await use.turn()
    await bench.pipeline().take(arrivals(orders(2, 3)))  # 2 is a repeat
    assert await use.turn()
    async with bench.database.transaction() as tx:
        (row,) = await rows.uses(tx)
    assert (row.source, row.contract, row.messages) == (SOURCE, "toy.order", 3)
    assert datetime.now(UTC) - row.last_at < timedelta(minutes=1)


async def test_the_owner_is_told_once_a_day_of_a_contract_that_ends(bench: Bench) -> None:
    now = [datetime(2026, 3, 20, tzinfo=UTC)]
    use = ContractUse(
        database=bench.database, metrics=bench.metrics, endings=ENDINGS, now=lambda: now[0]
    )
    await bench.pipeline().take(arrivals(orders(1)))
    await use.turn()
    assert await bench.rows("select code, owner, place from exception_case") == [
        {"code": "contract-ends-soon", "owner": "shop team", "place": "shop toy.order"}
    ]
    await bench.execute("update exception_case set state = 'resolved', closed_at = now(),"
                        " closed_by = 'eve'")  # fmt: skip
    await bench.pipeline().take(arrivals(orders(2)))
    await use.turn()
    assert await bench.cases() == []
    now[0] += timedelta(days=1)
    await bench.pipeline().take(arrivals(orders(3)))
    await use.turn()
    assert await bench.cases() == ["contract-ends-soon"]


async def test_after_its_last_day_nothing_is_taken_and_nothing_is_lost(bench: Bench) -> None:
    late = datetime(2026, 4, 1, tzinfo=UTC)
    refusing = bench.pipeline(endings=ENDINGS, now=lambda: late)
    await refusing.take(arrivals(orders(1)))
    assert await bench.cases() == ["contract-ended"]
    assert await bench.count("document") == 0
    assert await bench.column("select state from pending") == ["in_case"]
    # The day is set anew, and a person has it tried again.
    await bench.execute("update pending set state = 'ready', due_at = now()")
    assert await bench.pipeline().take_pending(10) == 1
    assert await bench.column("select key from document") == ["supplier/1"]


async def test_what_came_last_is_kept_at_the_end_and_no_end_waits_for_that(bench: Bench) -> None:
    use = ContractUse(database=bench.database, metrics=bench.metrics, endings={})
    await bench.pipeline().take(arrivals(orders(1)))
    await use.drain(5.0)
    assert await bench.column("select messages from contract_use") == [1]
    await bench.pipeline().take(arrivals(orders(2)))
    async with bench.database.transaction() as tx:
        await tx.execute("lock table contract_use in exclusive mode")
        began = time.monotonic()
        await use.drain(0.2)
        assert time.monotonic() - began < 3 * 0.2 + 1
    await use.drain(5.0)
    assert await bench.column("select messages from contract_use") == [2]
