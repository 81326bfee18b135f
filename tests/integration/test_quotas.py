"""Quotas hold over several processes, and what closes a system is known to all of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from time import monotonic

import pytest

from broker import metering
from broker.channels.http import HttpChannel
from broker.gate import Close, Proven
from broker.metering import Meter
from broker.policy import NotNow
from broker.quota import BUCKETS, Quota
from broker.store import Database
from broker.store import closures as closure_rows
from broker.store import quotas as rows
from canonical.envelope import Lane
from canonical.exchange import Request, Response
from tests.integration.raw_server import raw_server

PER_SECOND = Quota(limit=20, per_s=1.0, reserve=0.5, margin=0)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A pool of one process."""
    made = Database(url=url, purpose="test", size=2, acquire_s=5, statement_s=5)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


def meter(database: Database, *quotas: Quota) -> Meter:
    return Meter(system="erp", quotas=quotas, database=database)


async def taken(made: Meter, calls: int, lane: Lane = "critical", path: str = "/a") -> list[float]:
    """When so many calls at once might be sent; those that might not are left out."""

    async def one() -> float:
        await made.take(path, lane)
        return monotonic()

    found = await asyncio.gather(*(one() for _ in range(calls)), return_exceptions=True)
    assert all(isinstance(each, float | NotNow) for each in found), found
    return [each for each in found if isinstance(each, float)]


def most_within(times: Sequence[float], length: float) -> int:
    times = sorted(times)
    return max(sum(at <= other < at + length for other in times) for at in times)


# --- what is taken ---


async def test_so_many_are_taken_at_once_and_the_rest_when_they_count_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "PATIENCE_S", 20.0)
    quota = Quota(limit=20, per_s=3.0, reserve=0.5, margin=0)
    times = await taken(meter(database, quota), 30)
    assert len(times) == 30
    assert most_within(times, quota.per_s) <= 20


async def test_lower_lanes_leave_the_critical_one_its_reserve(database: Database) -> None:
    made = meter(database, Quota(limit=20, per_s=60.0, reserve=0.5, margin=0))
    assert len(await taken(made, 15, "standard")) == 10
    assert len(await taken(made, 15, "enrichment")) == 0
    assert len(await taken(made, 15, "critical")) == 10
    assert len(await taken(made, 1, "critical")) == 0


async def test_who_would_wait_too_long_is_told_when_there_is_some(database: Database) -> None:
    made = meter(database, Quota(limit=2, per_s=60.0, margin=0))
    assert len(await taken(made, 2)) == 2
    began = monotonic()
    with pytest.raises(NotNow) as caught:
        await made.take("/a", "critical")
    assert monotonic() - began < 3 * metering.PATIENCE_S
    assert caught.value.code == "quota"
    assert 60 < (caught.value.retry_after_s or 0) <= 60 * (BUCKETS + 2) / BUCKETS


async def test_each_quota_counts_the_paths_it_is_about(database: Database) -> None:
    of_api = Quota(limit=3, per_s=60.0, api="/orders", margin=0, reserve=0)
    made = meter(database, of_api, Quota(limit=5, per_s=3600.0, margin=0, reserve=0))
    assert len(await taken(made, 4, path="/orders/1")) == 3
    with pytest.raises(NotNow) as caught:
        await made.take("/orders/1", "critical")
    assert caught.value.code == "quota-of-api"
    assert len(await taken(made, 4, path="/items/1")) == 2
    # Nothing was taken of the one where the other had none.
    async with database.session() as session:
        standing = await rows.standing(session, "erp", [of_api])
    assert sum(standing.taken[0].values()) == 3


async def test_a_call_of_no_quota_asks_nobody(database: Database) -> None:
    made = meter(database, Quota(limit=1, per_s=60.0, api="/orders"))
    assert len(await taken(made, 50, path="/items")) == 50
    async with database.session() as session:
        assert await session.fetchval("select count(*) from quota_taken") == 0


async def test_where_nobody_knows_what_is_used_nothing_is_sent(database: Database) -> None:
    made = meter(database, PER_SECOND)
    async with database.session() as session:
        await session.execute("alter table quota_taken rename to elsewhere")
    with pytest.raises(NotNow) as caught:
        await made.take("/a", "critical")
    assert caught.value.code == "quota-unknown"


async def test_what_was_taken_and_not_used_in_time_is_lost(database: Database) -> None:
    """The process stands still between any two of its looks at the clock."""
    quota = Quota(limit=3, per_s=60.0, margin=0)
    looks = count()
    made = Meter(
        system="erp",
        quotas=[quota],
        database=database,
        now=lambda: next(looks) * quota.bucket_s,
    )
    with pytest.raises(NotNow):
        await made.take("/a", "critical")
    async with database.session() as session:
        assert await session.fetchval("select sum(taken) from quota_taken") == 1


async def test_a_call_that_was_cut_off_leaves_its_share_to_the_next(database: Database) -> None:
    made = meter(database, Quota(limit=1, per_s=60.0))
    async with AsyncExitStack() as held, asyncio.timeout(30):
        session = await held.enter_async_context(database.transaction())
        await session.execute("insert into quota_gate (system) values ('erp')")
        first = asyncio.create_task(made.take("/a", "critical"))
        second = asyncio.create_task(made.take("/a", "critical"))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.sleep(0)
    await second
    assert first.cancelled()


async def test_buckets_that_count_no_more_are_forgotten(database: Database) -> None:
    made = meter(database, PER_SECOND)
    await taken(made, 5)
    await asyncio.sleep(1.2)
    await taken(made, 1)
    async with database.session() as session:
        assert await session.fetchval("select sum(taken) from quota_taken") == 1


class StandsStill:
    """A process that now and then does not run for a while, with all that it has."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def take(self, path: str, lane: Lane) -> None:
        """As the meter, and sometimes the whole process stands still meanwhile."""
        task = asyncio.create_task(self._meter.take(path, lane))
        if random.random() < 0.1:
            await asyncio.sleep(0.01)
            time.sleep(random.random() / 5)  # noqa: ASYNC251 - that is what it is about
        await task

    def hear(self, response: Response) -> None:
        """As the meter."""
        self._meter.hear(response)


async def test_what_a_vendor_says_of_others_counts(database: Database) -> None:
    made = meter(database, Quota(limit=100, per_s=60.0, margin=0, reserve=0))
    made.hear(answer_with("100", "3"))
    made.hear(answer_with("5000", "0"))
    assert len(await taken(made, 5)) == 3
    # Whatever it says next, what is counted stays.
    made.hear(answer_with("100", "99"))
    assert len(await taken(made, 1)) == 0


def answer_with(limit: str, remaining: str) -> Response:
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining}
    return Response(200, headers, b"")


async def test_three_processes_one_of_which_stands_still_now_and_then_stay_within_it(
    database_url: str,
) -> None:
    """What counts is when the target is asked."""
    quota = Quota(limit=40, per_s=1.0, margin=4)
    asked: list[float] = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(monotonic())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async def work(channel: HttpChannel, chance: random.Random, end: float) -> None:
        while monotonic() < end:
            try:
                await channel.perform(Request(method="GET", path="/a", effectful=False))
            except NotNow:
                await asyncio.sleep(chance.random() / 10)

    async with AsyncExitStack() as stack:
        _, url = await stack.enter_async_context(raw_server(answer))
        workers = []
        end = monotonic() + 5.0
        for n in range(3):
            database = await stack.enter_async_context(opened(database_url))
            made = meter(database, quota)
            admission = StandsStill(made) if n == 0 else made
            channel = HttpChannel(base_url=url, admission=admission)
            await stack.enter_async_context(channel)
            workers += [work(channel, random.Random(n * 10 + k), end) for k in range(6)]
        await asyncio.gather(*workers)
    assert most_within(asked, 1.0) <= quota.limit
    # And most of it is used.
    assert len(asked) > 5.0 * quota.usable(critical=False) / 3


# --- what is closed ---


async def causes(database: Database) -> dict[str, tuple[int, int]]:
    """How often and how far proven, by system and cause."""
    async with database.session() as session:
        found = await closure_rows.listed(session)
        in_force = await closure_rows.in_force(session)
    assert {(c.system, c.cause) for c, _ in in_force} == {(c.system, c.cause) for c in found}
    return {f"{c.system} {c.cause}": (c.times, c.proven) for c in found}


async def test_a_circuit_stays_until_enough_calls_were_answered(database: Database) -> None:
    async with database.transaction() as tx:
        # Two processes find out at the same time.
        for _ in range(2):
            await closure_rows.close(tx, [Close("erp", "circuit", 0.05, "Calls to erp fail")])
    assert await causes(database) == {"erp circuit": (1, 0)}
    await asyncio.sleep(0.1)
    async with database.transaction() as tx:
        await closure_rows.prove(tx, [Proven("erp"), Proven("plm")])
    assert await causes(database) == {"erp circuit": (1, 1)}
    async with database.transaction() as tx:
        await closure_rows.close(tx, [Close("erp", "circuit", 0.0, "Calls to erp fail")])
    assert await causes(database) == {"erp circuit": (2, 0)}
    async with database.transaction() as tx:
        await closure_rows.prove(tx, [Proven("erp"), Proven("erp")])
        await closure_rows.prove(tx, [Proven("erp")])
    assert await causes(database) == {}


async def test_of_several_pauses_the_longest_counts(database: Database) -> None:
    async with database.transaction() as tx:
        await closure_rows.close(
            tx,
            [
                Close("erp", "asked", 50.0, "long"),
                Close("erp", "asked", 5.0, "short", lower=True),
                Close("erp", "quota", 20.0, "used up", lower=True),
            ],
        )
        await closure_rows.close(tx, [Close("erp", "asked", 1.0, "shorter")])
        found = {c.cause: (c, left_s) for c, left_s in await closure_rows.in_force(tx)}
    assert 40 < found["asked"][1] <= 50
    assert not found["asked"][0].lower
    assert found["quota"][0].lower


async def test_a_pause_is_over_by_itself(database: Database) -> None:
    async with database.transaction() as tx:
        await closure_rows.close(tx, [Close("erp", "asked", 0.05, "short")])
    await asyncio.sleep(0.1)
    assert await causes(database) == {}
