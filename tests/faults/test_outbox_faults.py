"""F31 and F35: events whose commits come out of the order of their ids, and events that are still
unsent when their day of the log is to go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import aio_pika
import pytest

from broker.emission import emission
from broker.store import Database, Tx
from broker.store.log_days import LOCK_MS
from broker.store.outbox import emit
from broker.topology import subscriber_queue
from canonical.codec import encode
from ops.app import HOUSEKEEPING_S
from tests.faults.business import EVENT, Order, Wanted
from tests.faults.conftest import Running, is_full
from tests.faults.database import RESTART_BOUND_S
from tests.faults.evidence import DEADLINE_S, WITNESS
from tests.faults.health import sampled
from tests.faults.invariants import SLACK
from tests.faults.load import Sent, Size
from tests.faults.private_postgres import connected
from tests.faults.world import World, until
from tests.integration.aging import DAY, days, let_pass
from tests.integration.toy import Bench, bench_on

SIZE = (
    Size(rate=50, seconds=30, keys=500, instances=2)
    if is_full()
    else Size(rate=40, seconds=10, keys=40, judged_again=False)
)
ROUNDS = 1_000 if is_full() else 100
ROUNDS_A_S = 10
"""With three events each they leave a shared machine room for the load: its times are compared."""
BESIDE_ROUNDS = Size(
    rate=20,
    seconds=ROUNDS / ROUNDS_A_S + 10,
    keys=200,
    instances=2 if is_full() else 1,
    judged_again=is_full(),
)
UNSENT = 20
"""Events of a day that goes."""
HELD = timedelta(seconds=0.15)
WRITERS = 20
"""Rounds at once, at most."""


# The wait is a part of the commit, when all ids are taken. Sequences are not rolled back.
HELD_AT_COMMIT = f"""
create sequence committed;
create function hold() returns trigger language plpgsql as $$
begin
    if nextval('committed') % 10 = 0 then
        perform pg_sleep({HELD.total_seconds()});
    end if;
    return null;
end $$;
create constraint trigger hold after insert on outbox deferrable initially deferred
    for each row when (new.key like 'key/%') execute function hold();
"""
# The trigger is not dropped: that would wait for a lock of its own.
NOTHING_HELD = """
create or replace function hold() returns trigger language plpgsql as $$
begin
    return null;
end $$;
"""


class Writer:
    """Another process of ours that commits events; nobody but the service publishes them."""

    def __init__(self, world: World, database: Database) -> None:
        self._world = world
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One that waits, and lets wait, for as long as it takes."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0"
            )
            yield tx

    async def write(self, tx: Tx, key: str, version: int) -> None:
        """The event is written and will have an effect once `tx` is committed."""
        wanted = Wanted(key, version, f"{key}/{version}", "standard")
        event = emission(
            EVENT, key, encode(wanted), lane="standard", correlation_id="", causation_id=""
        )
        await emit(tx, [event])
        order = Order(wanted.effect_id, key, version, wanted.effect_id)
        self._world.written.append(Sent("another process", order, "confirmed"))

    async def is_out(self, key: str) -> bool:
        """Nothing of the key waits to be published."""
        async with self._database.session() as session:
            return not await session.fetchval("select count(*) from outbox where key = $1", key)


@asynccontextmanager
async def another_process(world: World) -> AsyncIterator[Writer]:
    """A writer beside the service."""
    database = Database(
        url=world.servers.database_url,
        purpose="writer",
        size=3 * WRITERS,
        acquire_s=10,
        statement_s=60,
    )
    await database.open()
    try:
        yield Writer(world, database)
    finally:
        await database.close()


@pytest.mark.fault("F31", quick=False)
async def test_f31_commits_out_of_the_order_of_their_ids(run: Running) -> None:
    async with run(size=BESIDE_ROUNDS) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load, another_process(world) as writer:
            await load.passes(world.size.messages // 20)
            async with world.spared("orders of the sources", lambda _: True):
                await _write_rounds(writer, range(ROUNDS // 2))
            async with late_commits(world.servers.database_url):
                await _write_rounds(writer, range(ROUNDS // 2, ROUNDS))
            world.injected(f"{ROUNDS} commits out of order")
            await world.recovers("the last commit", RESTART_BOUND_S)
        # Subscribers of ours would make up for a skipped event, so that effects do not tell.
        await until(lambda: _are_out(world), "no event was skipped", 60)
        published = "layshaft_events_published_total"
        swept = await sampled(world.instances, published, path="sweep")
        from_memory = await sampled(world.instances, published, path="memory")
        late = await published_late(world.servers.amqp_url)
        world.figures |= {"swept": swept, "from_memory": from_memory, "late": len(late)}
        # The other process has its events swept; the service publishes its own from memory, and
        # some that were late at least.
        others = 3 * ROUNDS
        assert swept >= others
        assert from_memory >= len(world.sent) - swept
        assert len(late) > swept - others
        found = await world.judge()
        assert not found.parked


async def _are_out(world: World) -> bool:
    return await world.column("select count(*) from outbox") == [0]


@asynccontextmanager
async def late_commits(database_url: str) -> AsyncIterator[None]:
    """Every so many events of the sources' orders keep their transaction open for a while after
    they got their ids."""
    async with connected(database_url) as other:
        await other.execute(HELD_AT_COMMIT)
        yield
        await other.execute(NOTHING_HELD)


async def published_late(amqp_url: str) -> list[int]:
    """Places in the log of the orders' events that a foreign subscriber got although he had had
    later ones, published while these were held."""
    published: list[tuple[datetime, int]] = []
    async with await aio_pika.connect(amqp_url, timeout=DEADLINE_S) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(subscriber_queue(WITNESS), ensure=False)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            headers = {name: str(value) for name, value in message.headers.items()}
            if headers["ce-subject"].startswith("key/"):
                place = int(headers["ce-logposition"].rpartition("/")[2])
                at = datetime.fromisoformat(headers["ce-publishtime"])
                published.append((at, place))
    return [
        place
        for at, place in published
        if any(other > place and at - before > HELD / 2 for before, other in published)
    ]


async def _write_rounds(writer: Writer, rounds: range) -> None:
    places = asyncio.Semaphore(WRITERS)
    async with asyncio.TaskGroup() as group:
        for number in rounds:
            await places.acquire()
            task = group.create_task(_one_round(writer, f"out-of-order/{number:04}"))
            task.add_done_callback(lambda _: places.release())
            await asyncio.sleep(1 / ROUNDS_A_S)


async def _one_round(writer: Writer, key: str) -> None:
    """The later id is published before the earlier one is committed; a third event waits for it."""
    async with writer.transaction() as first:
        await writer.write(first, key, 1)
        async with writer.transaction() as second:
            await writer.write(second, f"{key}/other", 1)
        third = asyncio.create_task(_write(writer, key, 2))
        await until(lambda: writer.is_out(f"{key}/other"), "the later id is published", 60)
    await third


async def _write(writer: Writer, key: str, version: int) -> None:
    async with writer.transaction() as tx:
        await writer.write(tx, key, version)


@pytest.mark.fault("F35", quick=False)
async def test_f35_a_day_to_go_with_unsent_rows_and_a_busy_reader(run: Running) -> None:
    async with run(size=SIZE) as world, bench_on(world.servers.database_url) as bench:
        await world.start()
        await world.warm_up()
        for instance in world.instances:
            assert await instance.terminate() == 0
        unsent = [f"unsent/{number:02}" for number in range(UNSENT)]
        async with another_process(world) as writer:
            for key in unsent:
                await _write(writer, key, 1)
        # They are still that process's to publish, and it does nothing.
        await bench.execute("update outbox set sweep_at = now() + interval '1 hour'")
        await let_pass(bench, 100 * DAY)
        old = await days(bench)
        assert old
        async with world.load(), connected(world.servers.database_url) as reader:
            await reader.execute("begin; select count(*) from message")
            async with _relay_watched(world) as waits_s:
                await world.start()
                await until(lambda: _gives_way(world), "the housekeeper gives way", 60)
            world.figures["relay_waited_s"] = round(max(waits_s), 2)
            assert max(waits_s) < LOCK_MS / 1000 * SLACK
            world.injected("a reader is busy while an old day is to be dropped")
            await world.recovers("the day is kept", 10)
            assert await days(bench) == old
        # It tries again after a while.
        await until(lambda: _are_gone(bench), "the old days are gone", 2 * HOUSEKEEPING_S)
        waiting = await world.column("select key from outbox where key like 'unsent/%' order by 1")
        assert waiting == unsent
        world.injected(f"an old day went with {len(unsent)} events that nobody has sent")
        await bench.execute("update outbox set sweep_at = now() where key like 'unsent/%'")
        await until(lambda: _have_effect(world, unsent), "what was unsent has its effect", 60)
        found = await world.judge(
            not_applicable={"I5": "the service is started when the day is to go: no before"}
        )
        assert not found.parked


async def _are_gone(bench: Bench) -> bool:
    return not await days(bench)


async def _have_effect(world: World, keys: Collection[str]) -> bool:
    return set(keys) <= {wanted.key for wanted in world.journal().applied}


@asynccontextmanager
async def _relay_watched(world: World) -> AsyncIterator[list[float]]:
    """For how long sessions of the relay had been waiting for a lock, looked at all the time."""
    waits_s: list[float] = []

    async def look() -> None:
        async with connected(world.servers.database_url) as other:
            while True:
                waits_s.append(await other.fetchval(RELAY_WAITS))
                await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield waits_s
    finally:
        looking.cancel()
        await asyncio.wait({looking})
    assert waits_s


RELAY_WAITS = """
select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float8
from pg_locks l join pg_stat_activity a on a.pid = l.pid
where not l.granted and a.datname = current_database() and a.application_name = 'layshaft-relay'
"""


async def _gives_way(world: World) -> bool:
    return any('"housekeeping gives way"' in i.log.read_text() for i in world.instances)
