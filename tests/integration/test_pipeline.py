"""The path of a message on a real database: once, in order, and one bad message alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import asyncpg
import pytest

from broker import application
from broker.failpoints import FailPointHit
from broker.intake import read_arrival
from broker.policy import RetryPolicy, Schedule
from broker.store import messages as message_rows
from broker.store.pending import Begun, begin_pending
from canonical.effects import Effect
from canonical.envelope import Lane, Message
from canonical.facts import Facts
from canonical.handler import Handler
from tests.integration.toy import (
    DEADLINE_S,
    ORDERS,
    SOURCE,
    Bench,
    Died,
    Order,
    Stated,
    Wanted,
    arrival,
    arrivals,
    at_once,
    bench_on,
    blocked,
    repaired,
    until,
)

NUL = "\0"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def everything(bench: Bench) -> dict[str, list[Any]]:
    """What is known, planned and said, without what only counts repeats."""
    tables = ("document", "ledger", "step", "step_event", "outbox", "inbox", "hold", "pending",
              "exception_case", "object_sequence")  # fmt: skip
    return {t: await bench.rows(f"select * from {t} order by 1, 2") for t in tables}


async def release_case(bench: Bench) -> None:
    """A person has repaired the cause: what waits in a case is due."""
    await bench.execute(
        "update pending set state = 'ready', due_at = now() where state = 'in_case'"
    )


def an_order(number: int, key: str = "order/1", **fields: Any) -> Order:
    return Order(id=f"m{number}", key=key, **fields)


# Once


async def test_redelivery_of_a_committed_message_changes_nothing(bench: Bench) -> None:
    order = an_order(
        1, states=(Stated("S1", 1),), emits=("S1",), plans=(Wanted("S1", "please"),), opens="look"
    )
    pipeline = bench.pipeline()
    await pipeline.take([arrival(order)])
    before = await everything(bench)
    await pipeline.take([arrival(order)])
    await pipeline.take([arrival(order, redelivered=True)])
    assert await everything(bench) == before
    assert await bench.count("duplicate") == 2
    assert await bench.count("delivery_attempt") == 0


async def test_a_message_that_comes_through_another_queue_and_lane_has_one_effect(
    bench: Bench,
) -> None:
    order = an_order(
        1, states=(Stated("S1", 1),), emits=("S1",), plans=(Wanted("S1", "please"),), opens="look"
    )
    await bench.pipeline().take([arrival(order, queue="in.shop.order.standard")])
    before = await everything(bench)
    # Its lane was changed, then its queue was divided.
    for redelivered in (False, True):
        again = arrival(
            order, lane="critical", queue="in.shop.order.critical.1", redelivered=redelivered
        )
        await bench.pipeline(lane="critical").take([again])
    assert await everything(bench) == before
    assert [await bench.count(t) for t in ("outbox", "duplicate")] == [1, 2]
    assert (
        bench.metrics.registry.get_sample_value(
            "layshaft_inbox_duplicates_total", {"source": SOURCE}
        )
        == 2
    )


async def test_what_waits_in_one_lane_has_one_effect_if_it_comes_through_another(
    bench: Bench,
) -> None:
    order = an_order(1, emits=("S1",), fault="unavailable")
    await bench.pipeline().take([arrival(order)])
    assert await bench.column("select state from pending") == ["retry"]
    again = arrival(order, lane="critical", queue="in.shop.order.critical")
    await bench.pipeline(lane="critical", orders=repaired()).take([again])
    assert [await bench.count(t) for t in ("outbox", "duplicate")] == [0, 1]
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 1
    assert [await bench.count(t) for t in ("outbox", "duplicate", "pending")] == [1, 1, 0]


async def test_three_copies_at_once_have_one_effect(bench: Bench) -> None:
    order = an_order(1, states=(Stated("S1", 1),), emits=("S1",), plans=(Wanted("S1"),))
    await asyncio.gather(*(bench.pipeline().take([arrival(order)]) for _ in range(3)))
    counts = [await bench.count(t) for t in ("inbox", "document", "outbox", "step", "duplicate")]
    assert counts == [1, 1, 1, 1, 2]


async def test_f41_two_transactions_that_admit_one_message_at_once_admit_it_once(
    bench: Bench,
) -> None:
    entry = read_arrival(arrival(an_order(1)), lambda _: ORDERS).entry

    async def admit() -> int:
        async with bench.database.transaction() as tx:
            return len(await message_rows.admit(tx, [entry]))

    async with bench.database.transaction() as first:
        assert len(await message_rows.admit(first, [entry])) == 1
        second = asyncio.create_task(admit())
        await until(lambda: blocked(bench), "the second one waits for the first one")
    # The unique key decides, without an error.
    assert await second == 0


async def test_copies_within_a_batch_have_one_effect(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    await bench.pipeline().take(arrivals([order, order, an_order(2, emits=("S2",)), order]))
    counts = [await bench.count(t) for t in ("inbox", "message", "outbox", "duplicate")]
    assert counts == [2, 4, 2, 2]


async def test_a_process_that_dies_between_commit_and_ack_leaves_a_duplicate(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    with pytest.raises(FailPointHit):
        await bench.pipeline(fail_points="inbox.after_commit:raise:1").take([arrival(order)])
    assert await bench.count("outbox") == 1
    await bench.pipeline().take([arrival(order, redelivered=True)])
    assert [await bench.count("outbox"), await bench.count("duplicate")] == [1, 1]


async def test_a_redelivery_that_is_committed_has_no_attempt_on_record(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    back = arrival(order, redelivered=True)
    with pytest.raises(FailPointHit):
        await bench.pipeline(fail_points="inbox.before_commit:raise:1").take([back])
    assert [await bench.count(t) for t in ("inbox", "delivery_attempt")] == [0, 0]
    with pytest.raises(FailPointHit):
        await bench.pipeline(fail_points="inbox.after_commit:raise:1").take([back])
    assert [await bench.count(t) for t in ("inbox", "delivery_attempt")] == [1, 0]


async def test_a_process_that_dies_before_the_commit_leaves_nothing(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    with pytest.raises(FailPointHit):
        await bench.pipeline(fail_points="inbox.before_commit:raise:1").take([arrival(order)])
    assert [await bench.count(t) for t in ("inbox", "message", "outbox")] == [0, 0, 0]
    await bench.pipeline().take([arrival(order, redelivered=True)])
    assert [await bench.count(t) for t in ("inbox", "message", "outbox")] == [1, 2, 1]


async def test_an_id_reused_for_other_content_is_one_case_and_the_first_one_counts(
    bench: Bench,
) -> None:
    first = an_order(1, states=(Stated("S1", 1, "First"),))
    second = an_order(1, states=(Stated("S1", 2, "Second"),))
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([first, second]))
    await pipeline.take(arrivals([second, first]))
    [document] = await bench.rows(
        "select version, convert_from(body, 'UTF8') as body from document"
    )
    assert document["version"] == 1
    assert "First" in document["body"]
    cases = await bench.rows("select code, owner, seen, state from exception_case")
    assert cases == [
        {"code": "id-reused", "owner": "sender (shop)", "seen": 1, "state": "open"},
    ]
    kept = await bench.column("select convert_from(body, 'UTF8') from message order by seq")
    assert len(kept) == 2
    assert "Second" in kept[1]


async def test_an_undecodable_message_is_one_case_however_often_it_comes(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take([arrival(b"\xff{"), arrival(b"\xff{")])
    await pipeline.take([arrival(b"\xff{")])
    await pipeline.take([arrival(b"\xff{", redelivered=True)])
    cases = await bench.rows("select code, word, owner, seen from exception_case")
    assert cases == [
        {"code": "undecodable", "word": "data_quality", "owner": "sender (shop)", "seen": 1}
    ]
    assert await bench.column("select body from message") == [b"\xff{"]


async def test_the_same_id_from_two_sources_is_two_messages(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    await bench.pipeline().take([arrival(order), arrival(order, source="other-shop")])
    assert await bench.count("inbox") == 2
    assert await bench.count("outbox") == 2


# One bad message alone

BAD = {
    "a document PostgreSQL refuses": Order(id="bad", key="order/bad", states=(Stated(NUL, 1),)),
    "an event PostgreSQL refuses": Order(id="bad", key="order/bad", emits=(NUL,)),
    "a case PostgreSQL refuses": Order(id="bad", key="order/bad", opens=NUL),
    "a step PostgreSQL refuses": Order(id="bad", key="order/bad", plans=(Wanted(NUL),)),
    "a number beyond the column": Order(id="bad", key="order/bad", states=(Stated("S", 2**63),)),
    "a bug in recognise": Order(id="bad", key="order/bad"),
    "a bug in read": Order(id="bad", key="order/bad", fault="bug in read"),
    "a bug in needs": Order(id="bad", key="order/bad", fault="bug in needs"),
    "a bug in decide": Order(id="bad", key="order/bad", fault="bug in decide"),
    "needs without end": Order(id="bad", key="order/bad", fault="endless needs"),
    "an event nobody knows": Order(id="bad", key="order/bad", fault="unknown event"),
}


@pytest.mark.parametrize("what", BAD)
async def test_one_bad_message_spoils_nobody_else(bench: Bench, what: str) -> None:
    good = [an_order(n, f"order/{n}", emits=(f"S{n}",)) for n in range(7)]
    kind = "bug in recognise" if what == "a bug in recognise" else "order"
    batch = [*arrivals(good[:3]), arrival(BAD[what], kind=kind), *arrivals(good[3:])]
    pipeline = bench.pipeline(policy=at_once(defect_attempts=1))
    async with asyncio.timeout(5):
        await pipeline.take(batch)
    assert await bench.count("inbox") == 8
    assert await bench.count("outbox") == 7
    assert len(await bench.cases()) == 1


HOSTILE_PROPERTIES: dict[str, dict[str, Any]] = {
    "message id": {"message_id": f"a{NUL}b"},
    "content type": {"content_type": f"text{NUL}"},
    "attribute": {"attributes": {"subject": f"a{NUL}b"}},
    "correlation id": {"attributes": {"correlationid": f"a{NUL}b"}},
    "correlation id of lone surrogates": {"attributes": {"correlationid": "\ud800"}},
}


@pytest.mark.parametrize("what", HOSTILE_PROPERTIES)
async def test_a_property_that_cannot_be_stored_is_one_case_and_neighbours_pass(
    bench: Bench, what: str
) -> None:
    bad = arrival(an_order(1, "order/bad", emits=("S9",)), **HOSTILE_PROPERTIES[what])
    good = an_order(2, emits=("S1",))
    await bench.pipeline().take([bad, arrival(good)])
    assert await bench.count("inbox") == 2
    stored = await bench.column("select key from outbox")
    assert "supplier/S1" in stored
    assert len(await bench.cases()) == len(BAD_OR_STORED - set(stored))


BAD_OR_STORED = {"supplier/S9"}
"""Cleaned and handled, or a case: one of the two, never neither."""


async def test_ninety_nine_of_a_hundred_are_stored_beside_a_refused_one(bench: Bench) -> None:
    orders = [an_order(n, f"order/{n}", emits=(f"S{n}",)) for n in range(100)]
    orders[37] = an_order(37, "order/37", emits=(NUL,))
    await bench.pipeline().take(arrivals(orders))
    assert await bench.count("outbox") == 99
    assert await bench.cases() == ["unstorable"]
    assert await bench.rows("select key, reason from pending") == [
        {"key": "order/37", "reason": "unstorable"}
    ]


async def test_the_halves_of_a_batch_with_a_refused_message_keep_the_order(bench: Bench) -> None:
    batch = [
        an_order(1, "order/a", emits=("A1",)),
        an_order(2, "order/b", emits=("B1",)),
        an_order(3, "order/b", emits=(NUL,)),
        an_order(4, "order/b", emits=("B3",)),
        an_order(5, "order/a", emits=("A2",)),
        an_order(6, "order/c", emits=("C1",)),
    ]
    await bench.pipeline().take(arrivals(batch))
    said = [key for _, key in await emitted(bench)]
    assert said == ["supplier/A1", "supplier/B1", "supplier/A2", "supplier/C1"]
    b = "select outcome from inbox where id in ('m2', 'm3', 'm4') order by id"
    assert await bench.column(b) == ["applied", "invalid", "behind"]
    assert await bench.cases() == ["unstorable"]


async def test_retries_of_one_moment_are_spread(bench: Bench) -> None:
    schedule = Schedule(ceilings_s=(900,), attempts=3)
    pipeline = bench.pipeline(policy=RetryPolicy(transient=schedule))
    orders = [an_order(n, f"order/{n}", fault="unavailable") for n in range(30)]
    await pipeline.take(arrivals(orders))
    waits = await bench.column(
        "select extract(epoch from due_at - now())::float8 from pending order by 1"
    )
    assert len(set(waits)) == 30
    # Less than a millionth of all draws lie outside.
    assert min(waits) < 900 * 0.4
    assert max(waits) > 900 * 0.6


async def test_a_message_refused_on_its_second_try_stops_no_other_retry(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(
        arrivals([an_order(1, "order/1", emits=(NUL,), fault="unavailable"),
                  an_order(2, "order/2", emits=("S2",), fault="unavailable")])
    )  # fmt: skip
    later = bench.pipeline(orders=repaired())
    for _ in range(3):
        await later.take_pending(10)
    assert await bench.column("select key from outbox") == ["supplier/S2"]
    assert await bench.cases() == ["unstorable"]
    assert await bench.column("select key from pending") == ["order/1"]


async def test_a_delivery_that_kills_the_process_while_it_is_read_is_quarantined(
    bench: Bench,
) -> None:
    killer = arrival(an_order(1, fault="death in read"), redelivered=True)
    deaths = 0
    for _ in range(6):
        try:
            # Each try is a new process: a pipeline of its own.
            await bench.pipeline().take([killer])
            break
        except Died:
            deaths += 1
    # The delivery before the first of these may have been a crash too.
    assert deaths == 2
    assert await bench.cases() == ["crashes-the-worker"]
    assert await bench.count("message") == 1


async def test_what_other_lanes_have_in_hand_when_a_process_dies_is_not_accused(
    bench: Bench,
) -> None:
    killer = arrival(an_order(1, fault="death in read"), redelivered=True)
    others: tuple[Lane, ...] = ("critical", "enrichment")
    companions = [
        arrival(an_order(n, f"order/{n}", emits=(f"S{n}",)), redelivered=True, lane=lane)
        for n, lane in enumerate(others, start=2)
    ]
    deaths = 0
    for _ in range(6):
        # A process: its lanes begin what came back at once; the companions wait for the database
        # until it dies.
        one_suspect = asyncio.Lock()
        async with bench.database.transaction() as other:
            await other.execute("lock table outbox in access exclusive mode")
            takes = [
                asyncio.create_task(
                    bench.pipeline(lane=each.lane, one_suspect=one_suspect).take([each])
                )
                for each in (killer, *companions)
            ]
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await takes[0]
            except Died:
                deaths += 1
            else:
                break
            finally:
                for take in takes:
                    take.cancel()
                await asyncio.wait(takes)
    assert deaths == 2
    assert await bench.cases() == ["crashes-the-worker"]
    assert await bench.column("select attempts from delivery_attempt") == [1, 1]
    for each in companions:
        await bench.pipeline(lane=each.lane).take([each])
    assert sorted(await bench.column("select key from outbox")) == ["supplier/S2", "supplier/S3"]


async def test_a_retry_that_kills_its_process_is_quarantined_and_its_neighbours_go_on(
    bench: Bench,
) -> None:
    orders = [an_order(n, f"order/{n}", emits=(f"S{n}",), fault="unavailable") for n in range(5)]
    await bench.pipeline().take(arrivals(orders))
    deadly = killing("m2")
    deaths = 0
    for _ in range(9):
        # What a dead process has begun is left to it for a while.
        await bench.execute("update pending set begun_at = begun_at - interval '1 minute'")
        try:
            while await bench.pipeline(orders=deadly).take_pending(10):
                pass
        except Died:
            deaths += 1
    assert deaths == 3
    assert await bench.cases() == ["crashes-the-worker"]
    assert await bench.column("select place from exception_case") == ["order/2: message"]
    assert sorted(await bench.column("select key from outbox")) == [
        "supplier/S0", "supplier/S1", "supplier/S3", "supplier/S4"
    ]  # fmt: skip


def killing(message_id: str) -> Handler:
    """The mended handler, but for one message of which the process dies."""
    mended = repaired()

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        if message.envelope.id == message_id:
            raise Died
        return mended.decide(message, facts, now)

    return replace(mended, decide=decide)


async def test_living_processes_that_fail_for_the_databases_sake_accuse_no_row(
    bench: Bench, database_url: str
) -> None:
    await bench.pipeline().take(arrivals([an_order(1, emits=("S1",), fault="unavailable")]))
    async with bench_on(database_url, statement_s=0.2) as hasty:
        workers = [hasty.pipeline(orders=repaired()) for _ in range(2)]
        async with bench.database.transaction() as other:
            await other.execute("lock table outbox in access exclusive mode")
            for turn in range(6):
                # Long enough apart for what a dead process had begun to be taken over.
                await bench.execute("update pending set begun_at = begun_at - interval '1 minute'")
                with pytest.raises(asyncpg.QueryCanceledError):
                    await workers[turn % 2].take_pending(10)
            assert await bench.column("select begun from pending") == [0]
        assert await workers[0].take_pending(10) == 1
    assert await bench.cases() == []
    assert await bench.column("select key from outbox") == ["supplier/S1"]


async def test_a_delivery_that_moves_between_living_processes_is_not_taken_for_deadly(
    bench: Bench, database_url: str
) -> None:
    order = an_order(1, emits=("S1",))
    async with bench_on(database_url, statement_s=0.2) as hasty:
        workers = [hasty.pipeline() for _ in range(2)]
        async with bench.database.transaction() as other:
            await other.execute("lock table outbox in access exclusive mode")
            for turn in range(6):
                with pytest.raises(asyncpg.QueryCanceledError):
                    await workers[turn % 2].take([arrival(order, redelivered=True)])
        await workers[0].take([arrival(order, redelivered=True)])
    assert await bench.cases() == []
    assert await bench.count("delivery_attempt") == 0


async def test_rows_another_process_has_just_begun_are_left_to_it(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(1, fault="unavailable")]))
    async with bench.database.transaction() as tx:
        mine = await begin_pending(tx, lane="standard", limit=9, worker="a")
        assert len(mine.rows) == 1
        assert await begin_pending(tx, lane="standard", limit=9, worker="b") == Begun((), ())
        assert await begin_pending(tx, lane="standard", limit=9, worker="a") == mine


async def test_what_another_process_has_begun_stands_before_nothing_that_is_left(
    bench: Bench,
) -> None:
    orders = [an_order(n, f"order/{n}", fault="unavailable") for n in range(12)]
    await bench.pipeline().take(arrivals(orders))
    async with bench.database.transaction() as tx:
        mine = await begin_pending(tx, lane="standard", limit=8, worker="a")
    async with bench.database.transaction() as tx:
        others = await begin_pending(tx, lane="standard", limit=8, worker="b")
    assert [len(mine.rows), len(others.rows)] == [8, 4]
    assert not {*mine.rows} & {*others.rows}


async def test_a_database_that_is_busy_does_not_count_as_a_crash(
    bench: Bench, database_url: str
) -> None:
    order = an_order(1, states=(Stated("S1", 1),), emits=("S1",))
    async with bench_on(database_url, statement_s=0.1) as hasty:
        pipeline = hasty.pipeline()
        async with bench.database.transaction() as other:
            await other.execute("lock table document in access exclusive mode")
            for _ in range(4):
                with pytest.raises((asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)):
                    await pipeline.take([arrival(order, redelivered=True)])
        await pipeline.take([arrival(order, redelivered=True)])
    assert await bench.cases() == []
    assert await bench.count("outbox") == 1


# In order


async def emitted(bench: Bench) -> list[tuple[str, str]]:
    """Business key and id of what was handled, in the order of its effects."""
    rows = await bench.rows(
        "select causation_id, key from message where direction = 'out' order by seq"
    )
    return [(r["causation_id"], r["key"]) for r in rows]


async def test_what_follows_a_failed_message_of_its_key_waits_and_other_keys_flow(
    bench: Bench,
) -> None:
    await bench.pipeline().take(
        arrivals(
            [
                an_order(1, "order/a", emits=("A",), fault="rejected"),
                an_order(2, "order/b", emits=("B",)),
                an_order(3, "order/a", emits=("A",)),
            ]
        )
    )
    await bench.pipeline().take(
        arrivals([an_order(4, "order/a", emits=("A",)), an_order(5, "order/b", emits=("B",))])
    )
    assert await emitted(bench) == [("m2", "supplier/B"), ("m5", "supplier/B")]
    assert await bench.rows("select state, attempts from pending order by id") == [
        {"state": "in_case", "attempts": 1},
        {"state": "parked", "attempts": 0},
        {"state": "parked", "attempts": 0},
    ]
    assert await bench.cases() == ["toy-rejected"]
    assert await bench.rows("select id, outcome from inbox order by id") == [
        {"id": "m1", "outcome": "parked"},
        {"id": "m2", "outcome": "applied"},
        {"id": "m3", "outcome": "behind"},
        {"id": "m4", "outcome": "behind"},
        {"id": "m5", "outcome": "applied"},
    ]


async def test_a_released_case_lets_its_key_run_in_order(bench: Bench) -> None:
    orders = [an_order(n, "order/a", emits=("A",)) for n in range(2, 5)]
    broken = an_order(1, "order/a", emits=("A",), fault="rejected")
    await bench.pipeline().take(arrivals([broken, *orders]))
    assert await bench.pipeline().take_pending(10) == 0
    await release_case(bench)
    later = bench.pipeline(orders=repaired())
    # One message per key and turn: nobody can take a later one beside it.
    assert [await later.take_pending(10) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert [message for message, _ in await emitted(bench)] == ["m1", "m2", "m3", "m4"]
    assert [await bench.count("pending"), await bench.count("hold")] == [0, 0]
    assert set(await bench.column("select outcome from inbox")) == {"applied"}


async def test_a_retry_runs_when_it_is_due_and_not_before(bench: Bench) -> None:
    policy = at_once(wait_s=3600)
    order = an_order(1, "order/a", emits=("A",), fault="unavailable")
    await bench.pipeline(policy=policy).take(arrivals([order]))
    later = bench.pipeline(orders=repaired())
    assert await later.take_pending(10) == 0
    await bench.execute("update pending set due_at = now()")
    assert await later.take_pending(10) == 1
    assert await emitted(bench) == [("m1", "supplier/A")]


async def test_tries_are_counted_until_the_limit_and_end_in_one_case(bench: Bench) -> None:
    pipeline = bench.pipeline(policy=at_once(attempts=3))
    await pipeline.take(arrivals([an_order(1, fault="unavailable")]))
    assert await bench.rows("select state, attempts from pending") == [
        {"state": "retry", "attempts": 1}
    ]
    assert await pipeline.take_pending(10) == 1
    assert await bench.cases() == []
    assert await pipeline.take_pending(10) == 1
    assert await pipeline.take_pending(10) == 0
    assert await bench.cases() == ["toy-away"]
    assert await bench.rows("select state, attempts from pending") == [
        {"state": "in_case", "attempts": 3}
    ]


async def test_keys_that_wait_in_cases_do_not_keep_others_from_their_turn(bench: Bench) -> None:
    plan = (Wanted("S1", kind="wait", content="Known"),)
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, "order/a", plans=plan)]))
    await pipeline.take(arrivals([an_order(2, "order/a", fault="rejected")]))
    # The fact wakes order/a behind its own case.
    known = an_order(3, "order/b", states=(Stated("S1", 1, "Known"),))
    await pipeline.take(arrivals([known]))
    assert await bench.column("select state from pending order by id") == ["in_case", "ready"]
    await pipeline.take(arrivals([an_order(4, "order/c", emits=("C",), fault="unavailable")]))
    assert await bench.pipeline(orders=repaired()).take_pending(1) == 1
    assert await emitted(bench) == [("m4", "supplier/C")]


async def test_two_pipelines_never_run_one_key_side_by_side(bench: Bench) -> None:
    keys = ("order/a", "order/b", "order/c")
    orders = [
        an_order(
            n,
            key := keys[n % 3],
            emits=(key[-1],),
            # The first one of each key fails, so that all of them wait in rows.
            fault="unavailable" if n < 3 else "",
        )
        for n in range(90)
    ]
    await bench.pipeline().take(arrivals(orders))

    async def work() -> None:
        pipeline = bench.pipeline(orders=repaired())
        while await bench.count("pending"):
            await pipeline.take_pending(5)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(work(), work(), work())
    sent = await emitted(bench)
    for key in keys:
        mine = [int(message[1:]) for message, k in sent if k == f"supplier/{key[-1]}"]
        assert mine == list(range(keys.index(key), 90, 3))


async def test_two_pipelines_on_the_same_messages_have_one_effect(bench: Bench) -> None:
    orders = [
        an_order(n, f"order/{n % 3}", states=(Stated(f"S{n % 3}", n + 1),), emits=(f"S{n % 3}",))
        for n in range(12)
    ]

    async def take(batch: list[Order]) -> None:
        pipeline = bench.pipeline()
        for _ in range(20):
            try:
                await pipeline.take(arrivals(batch))
                return
            except (asyncpg.DeadlockDetectedError, application.RaceLost):
                continue
        pytest.fail("never committed")

    await asyncio.gather(take(orders), take(orders))
    assert await bench.count("outbox") == 12
    assert await bench.count("inbox") == 12
    assert await bench.column("select version from document order by key") == [10, 11, 12]


async def test_events_are_numbered_without_gaps_by_two_pipelines_at_once(bench: Bench) -> None:
    async def take(first: int) -> None:
        pipeline = bench.pipeline()
        for n in range(first, first + 20, 2):
            batch = [an_order(n, f"order/{n}", emits=("A", "B")),
                     an_order(n + 1, f"order/{n + 1}", emits=("B", "A"))]  # fmt: skip
            await pipeline.take(arrivals(batch))

    await asyncio.gather(take(0), take(100))
    for key in ("supplier/A", "supplier/B"):
        numbers = await bench.column(
            "select sequence from message where direction = 'out' and key = $1 order by seq", key
        )
        assert numbers == list(range(1, 41))
    # The outbox holds them in the order of their numbers, so "oldest first" is in order per key.
    held = await bench.rows(
        "select o.key, m.sequence from outbox o join message m"
        " on m.at = o.message_at and m.seq = o.message_seq order by o.id"
    )
    for key in ("supplier/A", "supplier/B"):
        assert [r["sequence"] for r in held if r["key"] == key] == list(range(1, 41))


async def test_a_rolled_back_batch_leaves_no_gap_in_the_numbers(bench: Bench) -> None:
    with pytest.raises(FailPointHit):
        await bench.pipeline(fail_points="inbox.before_commit:raise:1").take(
            arrivals([an_order(1, emits=("A",))])
        )
    await bench.pipeline().take(arrivals([an_order(1, emits=("A",)), an_order(2, emits=("A",))]))
    assert await bench.column("select sequence from message where direction = 'out'") == [1, 2]


async def test_a_statement_overtaken_while_it_was_decided_is_decided_again(bench: Bench) -> None:
    order = an_order(1, states=(Stated("S1", 1, "Old"),), emits=("S1",))
    async with bench.database.transaction() as other:
        # Another batch stores version 2 and has not committed yet: nobody can see it.
        await other.execute(
            "insert into document values ('supplier/S1', 1, 2, 0, '', $1, 'x', now(), 1)",
            b'{"number":"S1","name":"New","active":true,"qualification":{"status":"qualified"}}',
        )
        taking = asyncio.create_task(bench.pipeline().take([arrival(order)]))
        await until(lambda: blocked(bench), "the batch waits for the other one")
    with pytest.raises(application.RaceLost):
        await taking
    assert await bench.count("inbox") == 0
    await bench.pipeline().take([arrival(order)])
    assert await bench.column("select version from document") == [2]
    assert await bench.column("select action from audit") == ["stale-refused"]


# Beside others


async def test_the_event_loop_gets_its_turn_between_decisions(bench: Bench) -> None:
    ticks = 0
    seen: list[int] = []

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        seen.append(ticks)
        until_then = perf_counter() + 0.001
        while perf_counter() < until_then:
            pass
        return ()

    ticker = asyncio.create_task(tick())
    slow = bench.pipeline(orders=replace(ORDERS, decide=decide))
    await slow.take(arrivals([an_order(n, f"order/{n}") for n in range(20)]))
    ticker.cancel()
    # Every two milliseconds or three.
    assert len(set(seen)) >= 20 / 4


# Plans and the facts they wait for

WAITS = (Wanted("S1", kind="wait", content="Known"), Wanted("T1", "please"))


async def test_a_fact_that_arrives_wakes_the_ledger_that_waits_for_it(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, plans=WAITS, emits=("E",))]))
    assert await bench.states() == {"S1": "waiting", "T1": "ready"}
    await pipeline.take(arrivals([an_order(2, "x", states=(Stated("S1", 1, "Other"),))]))
    assert [await pipeline.take_pending(10) for _ in range(2)] == [1, 0]
    assert await bench.states() == {"S1": "waiting", "T1": "ready"}
    await pipeline.take(arrivals([an_order(3, "x", states=(Stated("S1", 2, "Known"),))]))
    assert [await pipeline.take_pending(10) for _ in range(2)] == [1, 0]
    assert await bench.states() == {"S1": "done", "T1": "ready"}
    # Planning again says nothing a second time.
    assert await emitted(bench) == [("m1", "supplier/E")]


async def test_rows_and_calls_are_looked_for_where_a_commit_may_have_left_some(
    bench: Bench,
) -> None:
    woken = 0

    def committed() -> None:
        nonlocal woken
        woken += 1

    pipeline = bench.pipeline(committed=committed)
    plain = an_order(1, "order/a", states=(Stated("S2", 1),), emits=("E",), opens="look")
    await pipeline.take(arrivals([plain]))
    assert woken == 0
    await pipeline.take(arrivals([an_order(2, "order/b", plans=WAITS)]))
    assert woken == 1  # a call may be made
    await pipeline.take(arrivals([an_order(3, "order/c", fault="unavailable")]))
    assert woken == 2  # a retry may be due
    await pipeline.take(arrivals([an_order(4, "order/d", states=(Stated("S1", 1),))]))
    assert woken == 3  # who waited for it is planned again


async def test_a_fact_stated_twice_in_the_batch_of_the_plan_still_wakes_it_later(
    bench: Bench,
) -> None:
    states = [an_order(n, "x", states=(Stated("S1", n, f"Name {n}"),)) for n in (1, 2)]
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([*states, an_order(3, plans=WAITS)]))
    await pipeline.take(arrivals([an_order(4, "x", states=(Stated("S1", 3, "Known"),))]))
    assert await pipeline.take_pending(10) == 1
    assert (await bench.states())["S1"] == "done"


async def test_a_fact_between_the_look_and_the_plan_is_found_by_the_plan(bench: Bench) -> None:
    async with bench.database.transaction() as other:
        # Holds the ledger's key, so that the plan waits between its look and its insert.
        await other.execute(
            "insert into ledger (key, title, version, subscription, scope, lane, source,"
            " correlation_id, message_at, message_seq)"
            " values ('order/1', '', 0, 'toy-orders', 'toy', 'standard', '', '', now(), 0)"
        )
        planning = asyncio.create_task(bench.pipeline().take(arrivals([an_order(1, plans=WAITS)])))
        await until(lambda: blocked(bench), "the plan waits")
        known = an_order(2, "x", states=(Stated("S1", 1, "Known"),))
        await bench.pipeline().take(arrivals([known]))
    await planning
    assert (await bench.states())["S1"] == "waiting"
    # What the sweep finds too is pending already, and once.
    await sweep(bench)
    assert await bench.count("pending") == 1
    assert await bench.pipeline().take_pending(10) == 1
    assert (await bench.states())["S1"] == "done"


async def sweep(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await application.wake_ledgers(tx, None, datetime.now(UTC))


async def test_the_same_plan_again_changes_nothing(bench: Bench) -> None:
    plan = (*WAITS, Wanted("Q1", kind="approval"), Wanted("N1", kind="announce"))
    await bench.pipeline().take(arrivals([an_order(1, plans=plan)]))
    before = await bench.rows("select * from step order by id")
    outbox = await bench.count("outbox")
    await bench.pipeline().take(arrivals([an_order(2, plans=plan, version=2)]))
    assert await bench.rows("select * from step order by id") == before
    assert await bench.count("outbox") == outbox


async def test_a_plan_made_again_keeps_what_was_approved(bench: Bench) -> None:
    plan = (*WAITS, Wanted("Q1", "Is Q1 good?", kind="approval"))
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, plans=plan)]))
    await bench.execute("update step set state = 'done' where object_id = 'Q1'")
    await pipeline.take(arrivals([an_order(2, "x", states=(Stated("S1", 1, "Known"),))]))
    assert await pipeline.take_pending(10) == 1
    assert await bench.states() == {"S1": "done", "T1": "ready", "Q1": "done"}
    assert await bench.count("step") == 3


async def test_a_stale_plan_plans_nothing_and_is_on_record(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, plans=(Wanted("T1", "new"),), version=5)]))
    before = await bench.rows("select * from step")
    await pipeline.take(arrivals([an_order(2, plans=(Wanted("T2", "old"),), version=4)]))
    assert await bench.rows("select * from step") == before
    assert await bench.column("select version from ledger") == [5]
    assert await bench.rows("select action, subject from audit") == [
        {"action": "stale-refused", "subject": "order/1"}
    ]


async def test_a_complete_ledger_planned_again_without_change_is_complete(bench: Bench) -> None:
    plan = (Wanted("N1", kind="announce"),)
    await bench.pipeline().take(arrivals([an_order(1, plans=plan)]))
    assert await bench.column("select state from ledger") == ["complete"]
    await bench.pipeline().take(arrivals([an_order(2, plans=plan, version=2)]))
    assert await bench.column("select state from ledger") == ["complete"]


async def test_what_was_done_and_is_planned_no_more_is_reported_once(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, plans=(Wanted("T1"), Wanted("T2")))]))
    await bench.execute("update step set state = 'done'")
    for n in (2, 3):
        await pipeline.take(arrivals([an_order(n, plans=(Wanted("T2"),), version=n)]))
    assert await bench.rows("select code, seen from exception_case") == [
        {"code": "left-behind", "seen": 1}
    ]


async def test_a_stale_document_is_kept_out_and_on_record(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, states=(Stated("S1", 2, "New"),))]))
    await pipeline.take(arrivals([an_order(2, states=(Stated("S1", 1, "Old"),))]))
    assert await bench.column("select version from document") == [2]
    assert await bench.column("select outcome from inbox order by id") == ["applied", "stale"]
    assert await bench.column("select action from audit") == ["stale-refused"]
    assert await bench.cases() == []


async def test_one_version_with_two_contents_is_a_case_for_the_data_owner(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(arrivals([an_order(1, states=(Stated("S1", 1, "Right"),))]))
    await pipeline.take(arrivals([an_order(2, states=(Stated("S1", 1, "Wrong"),))]))
    assert await bench.rows("select code, word, owner from exception_case") == [
        {"code": "same-version-other-content", "word": "ownership_conflict", "owner": "data owner"}
    ]
    assert await bench.column("select row_version from document") == [1]


async def test_an_old_version_does_not_come_back_through_the_parked_row(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(
        arrivals([an_order(1, states=(Stated("S1", 1, "Old"),), fault="unavailable")])
    )
    await pipeline.take(arrivals([an_order(2, "order/2", states=(Stated("S1", 2, "New"),))]))
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 1
    assert await bench.column("select version from document") == [2]
    assert await bench.column("select outcome from inbox order by id") == ["stale", "applied"]


async def test_the_clock_of_the_pipeline_sets_the_due_time(bench: Bench) -> None:
    then = datetime(2030, 1, 1, tzinfo=UTC)
    pipeline = bench.pipeline(now=lambda: then, policy=at_once())
    await pipeline.take(arrivals([an_order(1, fault="unavailable")]))
    [due_at] = await bench.column("select due_at from pending")
    assert due_at - then < timedelta(seconds=1)
