"""What was handled is forgotten after its time, and a message that comes later than that is refused
or stale; what is unfinished is never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.application import RaceLost
from broker.intake import Arrival
from broker.lateness import Memory
from broker.store import Position
from tests.integration.aging import DAY, days, housekeeper, keep_house, let_pass
from tests.integration.toy import (
    Bench,
    Order,
    Stated,
    arrival,
    bench_on,
    blocked,
    repaired,
    until,
)

TRUSTING = Memory(trusted=frozenset({"shop"}))


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def an_order(number: int = 1, **fields: Any) -> Order:
    fields.setdefault("states", (Stated("1", version=number, name=f"Name {number}"),))
    return Order(id=f"m{number}", key="order/1", version=number, **fields)


def sent(order: Order, at: datetime) -> Arrival:
    """The order, saying when it was sent."""
    return arrival(order, attributes={"time": at.isoformat()})


async def versions(bench: Bench) -> list[int]:
    return await bench.column("select row_version from document_version order by row_version")


# F47: a late repeat


async def test_f47_a_repeat_29_days_later_is_absorbed(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order())])
    await let_pass(bench, 29 * DAY)
    await keep_house(bench)
    await bench.pipeline().take([arrival(an_order())])
    assert await versions(bench) == [1]
    assert await bench.count("duplicate") == 1
    assert await bench.cases() == []


async def test_f47_a_repeat_31_days_later_is_refused_to_a_case_where_its_time_is_trusted(
    bench: Bench,
) -> None:
    then = datetime.now(UTC) - 31 * DAY
    pipeline = bench.pipeline(memory=TRUSTING)
    await bench.pipeline(memory=TRUSTING, now=lambda: then).take([sent(an_order(), then)])
    await let_pass(bench, 31 * DAY)
    await keep_house(bench)
    assert await bench.count("inbox") == 0
    await pipeline.take([sent(an_order(), then)])
    assert await versions(bench) == [1]
    [case] = await bench.rows("select code, word, owner, remedy, key from exception_case")
    assert case == {
        "code": "too-old",
        "word": "data_quality",
        "owner": "sender (shop)",
        "remedy": "If it never was handled, replay it or send it anew under an id of its own",
        "key": "order/1",
    }
    # The refused bytes are kept, and nobody waits behind a message that is refused for good.
    assert await bench.column(
        "select convert_from(m.body, 'utf8') like '%\"m1\"%' from message m"
        " join exception_case c on m.at = c.message_at and m.seq = c.message_seq"
    ) == [True]
    assert await bench.count("hold") == 0
    await pipeline.take([sent(an_order(2), datetime.now(UTC))])
    assert await versions(bench) == [1, 2]


async def test_f47_a_repeat_31_days_later_is_stale_and_audited_where_its_age_is_unknown(
    bench: Bench,
) -> None:
    await bench.pipeline().take([arrival(an_order(1)), arrival(an_order(2))])
    await let_pass(bench, 31 * DAY)
    await keep_house(bench)
    assert await bench.count("inbox") == 0
    # The source says a time, but is not believed: it may stamp each try anew.
    await bench.pipeline().take([sent(an_order(1), datetime.now(UTC) - 31 * DAY)])
    assert await bench.column(
        "select convert_from(body, 'utf8') like '%Name 2%' from document"
    ) == [True]
    assert await bench.rows("select action, subject from audit") == [
        {"action": "stale-refused", "subject": "supplier/1"}
    ]
    assert await bench.cases() == []


async def test_a_late_repeat_that_is_still_remembered_is_a_repeat(bench: Bench) -> None:
    then = datetime.now(UTC)
    await bench.pipeline(memory=TRUSTING).take([sent(an_order(), then)])
    later = bench.pipeline(memory=TRUSTING, now=lambda: then + 31 * DAY)
    await later.take([sent(an_order(), then)])
    assert await bench.cases() == []
    assert await bench.count("duplicate") == 1
    assert await bench.count("message") == 1


async def test_an_event_of_ours_older_than_the_window_is_refused_by_its_place_in_the_log(
    bench: Bench,
) -> None:
    place = Position(datetime.now(UTC) - 100 * DAY, 7)
    await bench.pipeline().take([replace(arrival(an_order()), logged=place)])
    assert await bench.cases() == ["too-old"]
    assert await versions(bench) == []
    # Its old day may be gone, so its bytes are in today's log.
    assert await bench.column("select at > now() - interval '1 hour' from message") == [True]


async def test_an_event_published_late_is_taken_like_a_new_one(bench: Bench) -> None:
    place = Position(datetime.now(UTC) - 100 * DAY, 7)
    order = an_order(fault="unavailable")
    late = arrival(order, attributes={"publishtime": datetime.now(UTC).isoformat()})
    await bench.pipeline().take([replace(late, logged=place)])
    # Its old place in the log is gone since it was published: it has a new one to be tried from.
    await keep_house(bench)
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 1
    assert await versions(bench) == [1]
    assert await bench.cases() == []


async def test_a_repeat_forgotten_while_it_is_looked_up_is_decided_again(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order())])
    async with bench.database.transaction() as tx:
        # The pipeline has found the repeat and is about to count it.
        await tx.execute("lock table duplicate in exclusive mode")
        taking = asyncio.create_task(bench.pipeline().take([arrival(an_order())]))
        await until(lambda: blocked(bench), "the repeat is being counted")
        await bench.execute("delete from inbox")
    with pytest.raises(RaceLost):
        await taking
    await bench.pipeline().take([arrival(an_order())])
    assert await versions(bench) == [1]
    assert await bench.cases() == []


async def test_an_old_message_that_comes_back_is_refused_like_a_new_one(bench: Bench) -> None:
    long_ago = sent(an_order(), datetime.now(UTC) - 31 * DAY)
    await bench.pipeline(memory=TRUSTING).take([replace(long_ago, redelivered=True)])
    assert await bench.cases() == ["too-old"]


async def test_a_retry_is_never_too_old(bench: Bench) -> None:
    then = datetime.now(UTC)
    order = an_order(fault="unavailable")
    await bench.pipeline(memory=TRUSTING).take([sent(order, then)])
    later = bench.pipeline(memory=TRUSTING, orders=repaired(), now=lambda: then + 40 * DAY)
    assert await later.take_pending(10) == 1
    assert await versions(bench) == [1]
    assert await bench.cases() == []


# A clock that is set, in place of the one of the database, for every statement of ours.
A_CLOCK = """
create schema clock;
create table clock.reading (at timestamptz not null);
insert into clock.reading values (pg_catalog.now());
create function clock.now() returns timestamptz language sql stable
    return (select at from clock.reading);
do $$ begin
    execute format('alter database %I set search_path = clock, pg_catalog, public',
                   current_database());
end $$;
"""


async def test_f35_a_message_on_both_sides_of_midnight_has_one_effect(
    bench: Bench, database_url: str
) -> None:
    await bench.execute(A_CLOCK)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    around = [today + DAY - timedelta(seconds=1), today + DAY + timedelta(seconds=1)]
    async with bench_on(database_url) as clocked:
        await clocked.execute("update clock.reading set at = $1", around[0])
        await clocked.pipeline().take([arrival(an_order())])
        await clocked.execute("update clock.reading set at = $1", around[1])
        await clocked.pipeline().take([arrival(an_order()), arrival(an_order(2))])
    # Two days of the log, three deliveries, two effects.
    assert await bench.column("select at from message order by at") == around
    assert await bench.column("select count(distinct tableoid) from message") == [2]
    assert await versions(bench) == [1, 2]
    assert await bench.count("duplicate") == 1


# Forgetting


async def test_dedupe_rows_expire_batch_by_batch_and_unfinished_ones_stay(bench: Bench) -> None:
    await bench.execute(
        """
        insert into inbox (subscription, source, id, digest, message_at, message_seq, received_at)
        select 'toy', 's', 'm' || n, '', now() - interval '40 days', n,
               now() - interval '40 days' + n * interval '1 second'
        from generate_series(1, 2500) n;
        insert into inbox (subscription, source, id, digest, message_at, message_seq)
        values ('toy', 's', 'young', '', now(), 0);
        insert into hold (scope, key) values ('toy', 'order/1');
        insert into pending (subscription, scope, key, lane, message_at, message_seq, state)
        select 'toy', 'toy', 'order/1', 'standard', message_at, message_seq, 'in_case'
        from inbox where message_seq in (1, 1200);
        insert into outbox (key, exchange, routing_key, message_at, message_seq)
        select 'k', 'e', 'r', message_at, message_seq from inbox where message_seq = 3
        """
    )
    keeper = housekeeper(bench)
    for rows_left, is_more in ((1501, True), (501, True), (4, False)):
        assert await keeper.turn() is is_more
        assert await bench.count("inbox") == rows_left
    left = await bench.column("select id from inbox order by message_seq")
    assert left == ["young", "m1", "m3", "m1200"]
    assert bench.metrics.inbox_expired._value.get() == 2497
    # Finished, they go as well.
    await bench.execute("delete from pending; delete from outbox")
    await keep_house(bench)
    assert await bench.column("select id from inbox") == ["young"]


async def test_counted_repeats_and_left_attempt_counters_expire(bench: Bench) -> None:
    await bench.execute(
        """
        insert into duplicate (subscription, source, id, at)
        values ('toy', 's', 'old', now() - interval '31 days'), ('toy', 's', 'young', now());
        insert into delivery_attempt (fingerprint, attempts, last_at)
        values ('old', 1, now() - interval '31 days'), ('young', 1, now())
        """
    )
    await keep_house(bench)
    assert await bench.column("select id from duplicate") == ["young"]
    assert await bench.column("select fingerprint from delivery_attempt") == [b"young"]


async def test_two_housekeepers_do_not_work_at_once(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order())])
    await let_pass(bench, 100 * DAY)
    async with bench.database.transaction() as tx:
        await tx.fetchval("select pg_advisory_xact_lock($1)", 0x4C61_794B)
        await keep_house(bench)
        assert await bench.count("inbox") == 1
        assert len(await days(bench)) == 1
    await keep_house(bench)
    assert await bench.count("inbox") == 0
    assert await days(bench) == []
