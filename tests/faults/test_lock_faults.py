"""F29, F30 and F32: somebody else holds locks that the service needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from datetime import datetime
from itertools import pairwise

import asyncpg
import msgspec
import pytest

from broker.store import Database
from canonical.envelope import Lane
from canonical.package import MAX_INLINE_BYTES
from ops.app import SHARDS
from tests.faults.business import Order
from tests.faults.conftest import Running, is_full
from tests.faults.database import RESTART_BOUND_S, SESSIONS, lasting, require_no_attempt_burnt
from tests.faults.invariants import SLACK
from tests.faults.load import Load, Sent, Size
from tests.faults.private_postgres import connected
from tests.faults.target import Fault
from tests.faults.world import Servers, World, until

# Little enough for a shared machine to keep up with: the times of single messages are compared.
GENTLE = Size(rate=10, seconds=50, keys=40, instances=2 if is_full() else 1)


# F29: connections stuck behind a lock


@pytest.mark.fault("F29", quick=False)
@pytest.mark.usefixtures("seed")
async def test_f29_a_pool_of_two_behind_a_row_lock_refuses_a_third_at_its_deadline(
    usual: Servers,
) -> None:
    held_s, acquire_s, lock_s = (20.0 if is_full() else 4.0), 0.5, 2.0
    database = Database(
        url=usual.database_url, purpose="few", size=2, acquire_s=acquire_s, statement_s=5.0
    )
    await database.open()
    try:
        async with connected(usual.database_url) as other:
            await other.execute("insert into flow_order (scope, key) values ('s', 'k')")
            await other.execute("begin; select 1 from flow_order for update")
            end = time.monotonic() + held_s
            stuck = [asyncio.create_task(_lock_until(database, end)) for _ in range(2)]
            refused = 0
            while time.monotonic() < end:
                began = time.monotonic()
                with pytest.raises((TimeoutError, asyncpg.LockNotAvailableError)) as failed:
                    await _lock(database)
                refused += failed.type is TimeoutError
                assert time.monotonic() - began < 3 * (acquire_s + lock_s)
            assert refused
            await asyncio.gather(*stuck)
            await other.execute("rollback")
        await _lock(database)
    finally:
        await database.close()


async def _lock(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("select 1 from flow_order for update")


async def _lock_until(database: Database, end: float) -> None:
    """A connection that waits for the row nearly all the time."""
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError, asyncpg.LockNotAvailableError):
            await _lock(database)


@pytest.mark.fault("F29", quick=False)
async def test_f29_every_connection_of_a_lane_stuck_behind_a_lock(run: Running) -> None:
    seconds = 20 if is_full() else 8
    async with run(size=lasting(seconds + 10)) as world:
        await world.start()
        await world.warm_up()
        # What is heavy is decided apart from the rest, with a connection of its own.
        world.plan(with_heavy_ones)
        async with world.load() as load:
            await load.passes(world.size.messages // 8)
            async with (
                world.unwell(
                    "no connection is free", names="PostgreSQL", logs="batch not committed"
                ) as watch,
                connected(world.servers.database_url) as other,
            ):
                # One instance may have all the queues: that of its connections which looks for due
                # rows waits for their holds, whether there are any or not.
                await other.execute("begin; lock table inbox, hold in exclusive mode")
                await until(
                    lambda: is_exhausted(world, "intake-standard", SHARDS + 2),
                    "every connection of the lane waits",
                    20,
                )
                world.injected("every connection of the lane orders come in through is stuck")
                async with world.idling("every connection stuck"):
                    began = time.monotonic()
                    await load.passes(world.size.rate)
                    await watch.showed()
                    await asyncio.sleep(max(began + seconds - time.monotonic(), 0))
            await world.recovers("the lock is gone", RESTART_BOUND_S, ended_at=watch.ended_at)
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable={"I5": "messages of every lane are written to the inbox"})


def with_heavy_ones(load: list[Sent]) -> list[Sent]:
    """The first source sends orders that are not read ahead, about few objects; another one has
    taken over the rest of its objects, as these orders go beside none of the same queue."""
    for sent in load:
        if sent.source == "source-1" and int(sent.order.key.removeprefix("key/")) % 40:
            sent.source = "source-2"
        elif sent.source == "source-1":
            padding = "x" * (MAX_INLINE_BYTES + 1)
            sent.order = msgspec.structs.replace(sent.order, padding=padding)
    return load


async def is_exhausted(world: World, purpose: str, size: int) -> bool:
    """Of an instance's pool of this size every connection waits for a lock."""
    waits = await waiting(world)
    return waits.count[purpose] >= size


@pytest.mark.fault("F29", quick=False)
async def test_f29_an_object_locked_for_long_keeps_no_other_lane_waiting(run: Running) -> None:
    async with run(size=GENTLE) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 4)
            key = busiest_key(load, "enrichment")
            async with (
                world.spared("the other lanes", lambda sent: sent.order.lane != "enrichment"),
                connected(world.servers.database_url) as other,
            ):
                await other.execute("begin")
                # Not in the flow of the orders: those of all lanes come in through one.
                await other.execute(
                    f"""
                    select from flow_order where scope = 'fault-effect' and key = '{key}' for update
                    """
                )
                world.injected(f"{key} locked")
                await asyncio.sleep(20)
            await world.recovers("the lock is gone", RESTART_BOUND_S)
        found = await world.judge()
        assert not found.parked


@pytest.mark.fault("F29", quick=False)
async def test_f29_a_ledger_locked_for_long_keeps_no_other_result_waiting(run: Running) -> None:
    async with run(size=GENTLE) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 4)
            key = busiest_key(load, "standard")
            await world.set_target_faults(Fault("slow", key=key, seconds=1.0))
            async with (
                world.spared("other objects", lambda sent: sent.order.key != key),
                connected(world.servers.database_url) as other,
            ):
                await other.execute("begin")

                async def is_locked() -> bool:
                    found = await other.fetch(
                        """
                        select l.key from ledger l join step s on s.ledger_id = l.id
                        where s.state = 'in_flight' and s.object_id = $1 for update of l
                        """,
                        key,
                    )
                    return bool(found)

                await until(is_locked, "a ledger with a call in flight is locked", 20)
                world.injected(f"a ledger of {key} locked")
                await asyncio.sleep(20)
            await world.recovers("the lock is gone", RESTART_BOUND_S)
        found = await world.judge()
        assert not found.parked


def busiest_key(load: Load, lane: Lane) -> str:
    """The object of the lane that most of what is still to come is about."""
    orders = [s.order for s in load.ledger if s.answer == "planned" and s.order.lane == lane]
    return Counter(order.key for order in orders).most_common(1)[0][0]


# F30: a table locked


BEHIND_THE_OUTBOX = {"intake-standard": SHARDS, "relay": 2, "upkeep": 2}
"""Sessions of an instance that can wait for it at once: who decides orders and makes events of
them; who clears and who sweeps; the gauges, and who looks what a day of the log is needed for."""
LOCK_S = 2.0


@pytest.mark.fault("F30", quick=True)
async def test_f30_outbox_locked_as_a_whole(run: Running) -> None:
    seconds = 60 if is_full() else 8
    async with run(size=lasting(seconds)) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(world.size.messages // 8)
            async with (
                world.unwell("outbox locked", names="PostgreSQL", logs="LockNotAvailable") as watch,
                connected(world.servers.database_url) as other,
            ):
                await other.execute("begin; lock table outbox in access exclusive mode")
                world.injected("outbox locked")
                async with world.idling("outbox locked"):
                    most = await most_waiting(world, seconds)
            await world.recovers("outbox is free", RESTART_BOUND_S, ended_at=watch.ended_at)
        world.figures |= {"waiting_sessions": dict(most.count), "waited_s": most.longest_s}
        # Whoever has to do with events waits, and no more of them than there are at work; they give
        # up after a while and leave nothing behind that goes on waiting.
        assert most.count
        assert most.count <= Counter(
            {purpose: n * len(world.instances) for purpose, n in BEHIND_THE_OUTBOX.items()}
        )
        assert most.longest_s < LOCK_S * SLACK
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable={"I5": "what every order becomes goes to the outbox"})


class Waiting(msgspec.Struct):
    """Sessions of the service that wait for a lock: how many at once, by the purpose of their pool,
    and for how long the longest of them has."""

    count: Counter[str]
    longest_s: float = 0.0


async def waiting(world: World) -> Waiting:
    """Those that wait now."""
    rows = await world.column(
        f"""
        select (substring(application_name from 10),
                coalesce(extract(epoch from clock_timestamp() - waitstart), 0)::float8)
        from pg_locks join pg_stat_activity using (pid)
        where not granted and {SESSIONS}
        """
    )
    return Waiting(Counter(r[0] for r in rows), max((r[1] for r in rows), default=0.0))


async def most_waiting(world: World, seconds: float) -> Waiting:
    """The most of each purpose that waited at once in so many seconds."""
    most, end = Waiting(Counter()), time.monotonic() + seconds
    while time.monotonic() < end:
        now = await waiting(world)
        most = Waiting(most.count | now.count, max(most.longest_s, now.longest_s))
        await asyncio.sleep(0.2)
    return most


# F32: transactions that PostgreSQL breaks off

RETRIES = 3
SINGLE = 6
"""Messages that are refused one by one."""
PAUSES_DIFFER_S = 0.05
"""Of a dozen first pauses, drawn from 0.05 to 0.4 s, the longest and the shortest at least."""


@pytest.mark.fault("F32", quick=False)
async def test_f32_deadlocks_with_a_session_that_locks_in_reverse_order(run: Running) -> None:
    seconds = 30 if is_full() else 15
    # Few objects: most batches hold two that somebody else locks the other way round. And not too
    # much about each: their calls are made one after the other.
    size = msgspec.structs.replace(lasting(seconds), keys=30, rate=20)
    async with run(size=size) as world:
        await world.start()
        await world.warm_up()
        async with world.load():
            await lock_in_reverse(world, seconds)
            await world.recovers("the other session is gone", RESTART_BOUND_S)
        [deadlocks] = await world.column(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        world.figures["deadlocks"] = deadlocks
        assert deadlocks
        world.injected(f"{deadlocks} deadlocks")
        tried = retries(world, "DeadlockDetected")
        # Each of them broke off one transaction, which was carried out anew and soon went through.
        assert len(tried) <= deadlocks
        assert max(retry.failures for retry in tried) <= RETRIES
        found = await world.judge(not_applicable={"I5": "the other session locks every object"})
        assert not found.parked


async def lock_in_reverse(world: World, seconds: float) -> None:
    """Somebody else locks the objects of a flow, the last ones first, and never finds the deadlock
    himself. He has had all of them before, so that batches about many are waiting."""
    async with connected(world.servers.database_url) as other:
        await other.execute("set deadlock_timeout = '1min'")
        keys = await world.column("select key from flow_order where scope = 'fault-order'")
        middle = sorted(keys)[len(keys) // 2]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await other.execute("begin")
            await other.execute(LOCK_IN_REVERSE, "")
            await asyncio.sleep(1)
            await other.execute("commit")
            await other.execute("begin")
            await other.execute(LOCK_IN_REVERSE, middle)
            with contextlib.suppress(AssertionError):
                await until(lambda: is_exhausted(world, "intake-standard", 1), "a batch waits", 1)
            await other.execute(LOCK_IN_REVERSE, "")
            await other.execute("commit")
            await asyncio.sleep(world.chance.uniform(0.1, 0.5))


LOCK_IN_REVERSE = """
select from flow_order where scope = 'fault-order' and key >= $1 order by key desc for update
"""


def retries(world: World, error: str) -> list[Retry]:
    """All that was tried again for this error, as the instances say in their logs; in order."""
    lines = [
        line
        for i in world.instances
        for line in i.log.read_text().splitlines()
        if error in line and "failures" in line
    ]
    found = [msgspec.json.decode(line, type=Retry) for line in lines]
    return sorted(found, key=lambda retry: retry.timestamp)


class Retry(msgspec.Struct, frozen=True):
    """A transaction that was broken off and is carried out anew; failures: how often it was."""

    failures: int
    timestamp: datetime
    event: str
    lane: str = ""


@pytest.mark.fault("F32", quick=False)
async def test_f32_serialization_failures_of_every_fifth_batch(run: Running) -> None:
    seconds = 30 if is_full() else 10
    async with run(size=lasting(seconds)) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            await load.passes(20)
            async with connected(world.servers.database_url) as other:
                await other.execute(FAILING_SERIALIZATION)
                world.injected("every fifth transaction is refused with 40001")
                await asyncio.sleep(seconds)
                [failures] = await world.column("select last_value from failures")
                world.figures["failures"] = failures
                assert failures > 1
                await other.execute(NOTHING_FAILS)
            await world.recovers("nothing is refused any more", RESTART_BOUND_S)
        await world.settled()
        # One that fails again and again while others pass may be put off, never into a case.
        assert await world.column("select code from exception_case") == []
        await require_few_retries_not_in_step(world)
        await world.judge(not_applicable={"I5": "transactions of every lane are refused"})


async def require_few_retries_not_in_step(world: World) -> None:
    """What is refused three times in a row goes through at the fourth try; the pauses in between
    are drawn. One message after the other comes, so that each batch holds one."""
    before = len(retries(world, "SerializationError"))
    async with connected(world.servers.database_url) as other:
        await other.execute(FAILING_THREE_TIMES)
        for number in range(SINGLE):
            key = f"refused/{number}"
            await world.send([Sent("source-1", Order(key, key, 1, key))], rate=1)
            await world.settled()
        await other.execute(NOTHING_FAILS)
    tried = retries(world, "SerializationError")[before:]
    # The order and its event.
    assert [r.failures for r in tried] == [*range(1, RETRIES + 1)] * SINGLE * 2
    assert {r.event for r in tried} == {"batch not committed"}
    first_s = [
        (second.timestamp - first.timestamp).total_seconds()
        for first, second in pairwise(tried)
        if first.failures == 1
    ]
    world.figures["first_pauses_s"] = [round(s, 2) for s in first_s]
    assert max(first_s) - min(first_s) > PAUSES_DIFFER_S


# Sequences are not rolled back: they count the failures too.
FAILING_SERIALIZATION = """
create sequence failures;
create sequence statements;
create function fail() returns trigger language plpgsql as $$
begin
    if nextval('statements') % 5 = 0 then
        perform nextval('failures');
        raise exception 'could not serialize access' using errcode = '40001';
    end if;
    return null;
end $$;
create trigger fail after insert on inbox for each statement execute function fail();
create trigger fail after update on step for each statement execute function fail();
"""
FAILING_THREE_TIMES = """
create sequence tries;
create or replace function fail() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'inbox' and nextval('tries') % 4 <> 0 then
        raise exception 'could not serialize access' using errcode = '40001';
    end if;
    return null;
end $$;
"""
# Neither trigger is dropped: that would wait for a lock of its own.
NOTHING_FAILS = """
create or replace function fail() returns trigger language plpgsql as $$
begin
    return null;
end $$;
"""
