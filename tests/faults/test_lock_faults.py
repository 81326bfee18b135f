"""F29, F30 and F32: somebody else holds locks that the service needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter

import asyncpg
import msgspec
import pytest

from broker.store import Database
from canonical.envelope import Lane
from tests.faults.conftest import Running, is_full
from tests.faults.database import RESTART_BOUND_S, SESSIONS, lasting, require_no_attempt_burnt
from tests.faults.load import Load, Size
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


@pytest.mark.fault("F30", quick=True)
async def test_f30_outbox_locked_as_a_whole(run: Running) -> None:
    seconds = 60 if is_full() else 8
    async with run(size=lasting(seconds)) as world:
        await world.start()
        await world.warm_up()
        assert world.baseline is not None
        usual = world.baseline.sessions
        async with world.load() as load:
            await load.passes(world.size.messages // 8)
            async with (
                world.unwell("outbox locked", names="PostgreSQL", logs="LockNotAvailable") as watch,
                connected(world.servers.database_url) as other,
            ):
                await other.execute("begin; lock table outbox in access exclusive mode")
                world.injected("outbox locked")
                async with world.idling("outbox locked"):
                    waiting = await _most_waiting(world, seconds)
            await world.recovers("outbox is free", RESTART_BOUND_S, ended_at=watch.ended_at)
        world.figures["waiting_sessions"] = waiting
        # They give up after a while and do not pile up.
        assert waiting <= usual
        await world.settled()
        await require_no_attempt_burnt(world)
        await world.judge(not_applicable={"I5": "what every order becomes goes to the outbox"})


async def _most_waiting(world: World, seconds: float) -> int:
    """The highest number of the service's sessions that waited for a lock at once."""
    highest, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        [waiting] = await world.column(
            f"select count(*) from pg_stat_activity where {SESSIONS} and wait_event_type = 'Lock'"
        )
        highest = max(highest, waiting)
        await asyncio.sleep(0.2)
    return highest


# F32: transactions that PostgreSQL breaks off


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
            await _lock_in_reverse(world, seconds)
            await world.recovers("the other session is gone", RESTART_BOUND_S)
        [deadlocks] = await world.column(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        world.figures["deadlocks"] = deadlocks
        assert deadlocks
        world.injected(f"{deadlocks} deadlocks")
        found = await world.judge(not_applicable={"I5": "the other session locks every object"})
        assert not found.parked


async def _lock_in_reverse(world: World, seconds: float) -> None:
    """Somebody else locks the objects of a flow one by one, the last one first, and never finds
    the deadlock himself."""
    async with connected(world.servers.database_url) as other:
        await other.execute("set deadlock_timeout = '1min'")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await other.execute("begin")
            for key in await other.fetch(
                "select key from flow_order where scope = 'fault-order' order by key desc"
            ):
                await other.execute(
                    "update flow_order set done = done where scope = 'fault-order' and key = $1",
                    key["key"],
                )
                await asyncio.sleep(0.1)
            await other.execute("commit")
            await asyncio.sleep(world.chance.uniform(0.1, 0.5))


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
        await world.judge(not_applicable={"I5": "transactions of every lane are refused"})


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
# Neither trigger is dropped: that would wait for a lock of its own.
NOTHING_FAILS = """
create or replace function fail() returns trigger language plpgsql as $$
begin
    return null;
end $$;
"""
