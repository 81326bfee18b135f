"""Order of a business object within a flow, on a real database: over lanes, cases and retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace

from broker import cases
from broker.application import RaceLost
from broker.failpoints import FailPointHit
from broker.intake import Arrival
from broker.pipeline import PATIENCE, Pipeline
from canonical.catalogue import Catalogue
from canonical.envelope import Lane
from tests.integration.toy import (
    DEADLINE_S,
    Bench,
    Order,
    Stated,
    arrival,
    at_once,
    bench_on,
    until,
)
from tests.integration.toy_flow import (
    CANCELLED,
    RELEASED,
    UNHANDLED,
    Notice,
    Said,
    decided,
    flow,
    outcomes,
    say,
)

REJECTED = Notice(fault="rejected")
AWAY = Notice(fault="unavailable")


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def pipeline(
    bench: Bench, lane: Lane = "standard", catalogue: Catalogue | None = None, wait_s: float = 0
) -> Pipeline:
    return bench.pipeline(
        lane=lane, flow=catalogue or flow(), policy=at_once(attempts=3, wait_s=wait_s)
    )


async def drain(bench: Bench, catalogue: Catalogue | None = None) -> None:
    """Everything due in any lane was taken."""
    lanes: tuple[Lane, ...] = ("critical", "standard", "enrichment")
    async with asyncio.timeout(DEADLINE_S):
        while sum([await pipeline(bench, lane, catalogue).take_pending(50) for lane in lanes]):
            pass


async def states(bench: Bench) -> list[str]:
    return await bench.column("select state from pending order by id")


# Events of one object in different lanes


async def test_an_event_that_overtook_another_in_a_faster_lane_takes_it_along(bench: Bench) -> None:
    released, cancelled = said = await say(
        bench, Said(RELEASED, "enrichment"), Said(CANCELLED, "critical")
    )
    # The consumer of the enrichment lane is stopped.
    await pipeline(bench, "critical").take([cancelled])
    assert await decided(bench, said) == [0, 1]
    # Now it starts.
    await pipeline(bench, "enrichment").take([released])
    assert await decided(bench, said) == [0, 1]
    assert await outcomes(bench, said) == ["applied", "applied"]
    assert await bench.count("duplicate") == 1


async def test_an_event_taken_along_into_a_case_holds_the_one_that_took_it(bench: Bench) -> None:
    said = await say(
        bench, Said(RELEASED, "enrichment", REJECTED), Said(CANCELLED, "critical")
    )  # fmt: skip
    await pipeline(bench, "critical").take(said[1:])
    assert await decided(bench, said) == []
    assert await states(bench) == ["in_case", "parked"]
    assert await bench.column("select lane from pending order by id") == ["enrichment", "critical"]
    [case_id] = await bench.column("select id from exception_case")
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case_id, by="ann", reason="repaired")
    await drain(bench, flow(mended=True))
    assert await decided(bench, said) == [0, 1]
    assert [await bench.count(t) for t in ("pending", "hold")] == [0, 0]


async def test_an_event_taken_along_that_the_database_refuses_is_to_blame_itself(
    bench: Bench,
) -> None:
    unstorable = Said(RELEASED, "enrichment", Notice(fault="unstorable"))
    said = await say(bench, unstorable, Said(CANCELLED, "critical"))
    await pipeline(bench, "critical").take(said[1:])
    assert await states(bench) == ["in_case", "parked"]
    assert await outcomes(bench, said) == ["invalid", "behind"]
    assert await bench.cases() == ["unstorable"]


async def test_a_message_in_retry_holds_later_ones_of_its_key_and_only_those(bench: Bench) -> None:
    other = Said(RELEASED, key="engineering-change/E-2")
    said = await say(bench, Said(RELEASED, notice=AWAY), Said(CANCELLED, "critical"), other)
    await pipeline(bench, wait_s=3600).take([said[0], said[2]])
    await pipeline(bench, "critical").take([said[1]])
    assert await decided(bench, said) == [2]
    assert await states(bench) == ["retry", "parked"]
    await bench.execute("update pending set due_at = now()")
    await drain(bench, flow(mended=True))
    assert await decided(bench, said) == [2, 0, 1]


async def test_events_that_come_out_of_order_in_one_batch_are_decided_in_order(
    bench: Bench,
) -> None:
    said = await say(bench, *[Said(RELEASED if n % 2 else CANCELLED) for n in range(8)])
    mixed = [said[n] for n in (3, 1, 0, 5, 2, 7)]
    await pipeline(bench).take(mixed)
    assert await decided(bench, said) == list(range(8))
    await pipeline(bench).take(said)
    assert await bench.count("duplicate") == 8


async def test_numbers_of_events_the_flow_does_not_take_are_not_waited_for(bench: Bench) -> None:
    said = await say(bench, Said(UNHANDLED), Said(RELEASED), Said(UNHANDLED), Said(CANCELLED))
    await pipeline(bench).take([said[3]])
    assert await decided(bench, said) == [1, 3]
    assert await bench.column("select done from flow_order") == [4]


async def test_an_event_after_its_place_was_passed_is_a_case_and_holds_nothing(
    bench: Bench,
) -> None:
    said = await say(bench, Said(RELEASED), Said(CANCELLED), Said(RELEASED))
    await pipeline(bench).take([said[1]])
    await bench.execute("delete from inbox where id = $1", said[0].delivery.attributes["id"])
    await pipeline(bench).take([said[0], said[2]])
    assert await decided(bench, said) == [0, 1, 2]
    assert await outcomes(bench, said) == ["passed", "applied", "applied"]
    assert await bench.cases() == ["sequence-passed"]
    assert await bench.count("pending") == 0


async def test_only_the_last_plan_of_a_batch_speaks_for_its_change(bench: Bench) -> None:
    said = await say(
        bench,
        Said(notice=Notice(1, calls=("a",), warns=("one",))),
        Said(notice=Notice(4, calls=("a",), warns=("four",))),
        Said(notice=Notice(2, calls=("a",), warns=("two",))),
    )
    await pipeline(bench).take(said)
    assert await bench.column("select code from exception_case where state = 'open'") == ["four"]


async def test_a_batch_that_is_rolled_back_has_not_gone_on(bench: Bench) -> None:
    said = await say(bench, Said(RELEASED, "enrichment"), Said(CANCELLED, "critical"))
    broken = bench.pipeline(flow=flow(), fail_points="inbox.before_commit:raise:1")
    with pytest.raises(FailPointHit):
        await broken.take([said[1]])
    assert await bench.count("flow_order") == 0
    await pipeline(bench, "enrichment").take([said[0]])
    await pipeline(bench, "critical").take([said[1]])
    assert await decided(bench, said) == [0, 1]
    assert await bench.count("duplicate") == 0


async def test_lanes_that_decide_one_object_at_once_keep_its_order(bench: Bench) -> None:
    lanes: tuple[Lane, ...] = ("critical", "standard", "enrichment")
    chance = random.Random(7)
    events = [
        Said(chance.choice((RELEASED, CANCELLED)), chance.choice(lanes), key=f"change/{n % 3}")
        for n in range(90)
    ]
    said = await say(bench, *events)

    async def work(lane: Lane) -> None:
        mine = [a for a in said if a.lane == lane]
        chance.shuffle(mine)
        while mine:
            batch, mine = mine[:4], mine[4:]
            await take_until_committed(pipeline(bench, lane), batch)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(work(lane) for lane in lanes))
    order = await decided(bench, said)
    assert sorted(order) == list(range(90))
    for rest in range(3):
        mine = [n for n in order if n % 3 == rest]
        assert mine == sorted(mine)


async def take_until_committed(taking: Pipeline, batch: list[Arrival]) -> None:
    """As the consumer does: what was nobody's fault is tried again."""
    while True:
        try:
            await taking.take(batch)
            return
        except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, RaceLost):
            continue


async def test_a_key_that_is_decided_keeps_others_of_it_waiting_not_failing(bench: Bench) -> None:
    said = await say(bench, Said(RELEASED), Said(CANCELLED, "critical"))
    async with bench.database.transaction() as other:
        # Another process holds the object, and decides its first event.
        await other.execute(
            "insert into flow_order (scope, key) values ('toy-change', 'engineering-change/E-1')"
        )
        taking = asyncio.create_task(pipeline(bench, "critical").take([said[1]]))
        await until(lambda: waits(bench), "the batch waits for the other one")
    await taking
    assert await decided(bench, said) == [0, 1]


async def waits(bench: Bench) -> bool:
    return bool(
        await bench.column(
            "select 1 from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


# Messages that state the whole object


def state(version: int, fault: str = "", calls: tuple[str, ...] = ()) -> Said:
    return Said(RELEASED, notice=Notice(version, fault, calls))


CURING = flow(order="curing")
LATEST = flow(order="latest")


async def test_a_curing_message_passes_a_case_and_closes_it(bench: Bench) -> None:
    said = await say(bench, state(1, "rejected"), state(2, "rejected"), state(3))
    await pipeline(bench, catalogue=CURING).take([said[0]])
    await pipeline(bench, catalogue=CURING).take([said[1]])
    await drain(bench, CURING)
    assert await states(bench) == ["in_case", "in_case"]
    await pipeline(bench, catalogue=CURING).take([said[2]])
    await drain(bench, CURING)
    assert await decided(bench, said) == [2]
    assert await outcomes(bench, said) == ["superseded", "superseded", "applied"]
    assert [await bench.count(t) for t in ("pending", "hold")] == [0, 0]
    assert await bench.cases() == []
    newest = said[2].delivery.attributes["id"]
    assert await bench.rows(
        "select actor, action, detail->>'version' as version from audit"
        " where action <> 'case-opened' order by 3"
    ) == [
        {"actor": f"message {newest}", "action": "superseded", "version": "1"},
        {"actor": f"message {newest}", "action": "superseded", "version": "2"},
    ]
    # Two messages share the case: it was opened once.
    assert await bench.rows(
        "select a.actor, a.subject = c.place as is_its,"
        " (a.detail->>'case')::bigint = c.id as is_it, c.seen,"
        " a.correlation_id = m.correlation_id as is_story from exception_case c"
        " join audit a on a.action = 'case-opened'"
        " join message m on m.at = c.message_at and m.seq = c.message_seq"
    ) == [{"actor": "layshaft", "is_its": True, "is_it": True, "seen": 2, "is_story": True}]


async def test_messages_that_share_a_case_go_on_together_once_it_is_settled(bench: Bench) -> None:
    said = await say(bench, state(1, "rejected"), state(2, "rejected"))
    for one in said:
        await pipeline(bench, catalogue=CURING).take([one])
        await drain(bench, CURING)
    assert await states(bench) == ["in_case", "in_case"]
    [case_id] = await bench.column("select id from exception_case")
    async with bench.database.transaction() as tx:
        await cases.discard(tx, case_id=case_id, by="ann", reason="in vain")
    assert await states(bench) == ["ready"]
    await drain(bench, flow(order="curing", mended=True))
    assert await decided(bench, said) == [1]
    assert await outcomes(bench, said) == ["discarded", "applied"]
    assert await bench.count("hold") == 0


async def test_a_curing_message_waits_behind_a_retry(bench: Bench) -> None:
    said = await say(bench, state(1, "unavailable"), state(2))
    await pipeline(bench, catalogue=CURING, wait_s=3600).take(said)
    await drain(bench, CURING)
    assert await decided(bench, said) == []
    assert await states(bench) == ["retry", "parked"]


async def test_a_curing_message_waits_while_a_call_of_its_object_is_in_doubt(bench: Bench) -> None:
    said = await say(bench, state(1, calls=("T1",)), state(2, "rejected"), state(3))
    await pipeline(bench, catalogue=CURING).take(said[:2])
    await bench.execute("update step set state = 'in_doubt'")
    await pipeline(bench, catalogue=CURING).take(said[2:])
    await drain(bench, CURING)
    assert await decided(bench, said) == [0]
    assert await states(bench) == ["in_case", "parked"]
    await bench.execute("update step set state = 'done'")
    await drain(bench, CURING)
    assert await decided(bench, said) == [0, 2]


async def test_a_curing_message_does_not_pass_what_is_newer_or_of_unknown_age(bench: Bench) -> None:
    older = await say(bench, state(5, "rejected"), state(4))
    await pipeline(bench, catalogue=CURING).take(older)
    ageless = Said(CANCELLED, notice=REJECTED, key="engineering-change/E-2")
    full = Said(RELEASED, notice=Notice(2), key="engineering-change/E-2")
    unknown = await say(bench, ageless, full)
    await pipeline(bench, catalogue=CURING).take(unknown)
    await drain(bench, CURING)
    assert await decided(bench, [*older, *unknown]) == []
    assert await states(bench) == ["in_case", "parked"] * 2


async def test_a_curing_message_passes_a_plan_that_is_to_be_made_anew(bench: Bench) -> None:
    waits = Said(RELEASED, notice=Notice(1, waits=("S1",)))
    said = await say(bench, waits, state(2, "rejected"), state(3))
    await pipeline(bench, catalogue=CURING).take(said[:2])
    # What the plan waits for is known: it is to be made anew, behind the case.
    known = Order("m1", "order/1", states=(Stated("S1", 1, "Known"),))
    await bench.pipeline().take([arrival(known)])
    assert await states(bench) == ["in_case", "ready"]
    await pipeline(bench, catalogue=CURING).take(said[2:])
    await drain(bench, CURING)
    assert await decided(bench, said) == [0, 2]
    assert await outcomes(bench, said) == ["applied", "superseded", "applied"]
    assert [await bench.count(t) for t in ("pending", "hold")] == [0, 0]
    assert await bench.cases() == []
    superseded = await bench.column(
        "select detail->>'version' from audit where action = 'superseded'"
    )
    assert superseded == ["2"]


async def test_what_a_person_tries_again_passes_the_case_before_it(bench: Bench) -> None:
    said = await say(bench, state(1, "rejected"), state(2, "unstorable"))
    for one in said:
        await pipeline(bench, catalogue=CURING).take([one])
        await drain(bench, CURING)
    assert await states(bench) == ["in_case", "in_case"]
    [case_id] = await bench.column("select id from exception_case where code = 'unstorable'")
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case_id, by="ann", reason="repaired")
    await drain(bench, flow(order="curing", mended=True))
    assert await decided(bench, said) == [1]
    assert await outcomes(bench, said) == ["superseded", "applied"]
    assert [await bench.count(t) for t in ("pending", "hold")] == [0, 0]
    assert await bench.cases() == []


async def test_strict_messages_behind_the_case_go_on_in_order_once_it_is_cured(
    bench: Bench,
) -> None:
    said = await say(bench, state(1, "rejected"), state(2), Said(CANCELLED), state(3))
    await pipeline(bench, catalogue=CURING).take(said)
    await drain(bench, CURING)
    assert await decided(bench, said) == [1, 2, 3]
    assert await outcomes(bench, said) == ["superseded", "applied", "applied", "applied"]


async def test_where_the_latest_wins_a_newer_version_passes_a_retry(bench: Bench) -> None:
    said = await say(bench, state(1, "unavailable"), state(2))
    await pipeline(bench, catalogue=LATEST, wait_s=3600).take(said)
    await drain(bench, LATEST)
    assert await decided(bench, said) == [1]
    assert await outcomes(bench, said) == ["superseded", "applied"]
    assert await bench.count("hold") == 0


async def test_where_the_latest_wins_shuffled_versions_end_as_the_newest(bench: Bench) -> None:
    chance = random.Random(11)
    orders = [
        Said(RELEASED, notice=Notice(version), key=f"change/{key}")
        for version in range(1, 21)
        for key in range(4)
    ]
    chance.shuffle(orders)
    said = await say(bench, *orders)
    versions = [said_.notice.version or 0 for said_ in orders]
    taking = pipeline(bench, catalogue=LATEST)
    for first in range(0, len(said), 7):
        await taking.take(said[first : first + 7])
    order = await decided(bench, said)
    for key in range(4):
        mine = [versions[n] for n in order if orders[n].key == f"change/{key}"]
        assert mine == sorted(mine)
        assert mine[-1] == 20
    ends = await outcomes(bench, said)
    assert set(ends) == {"applied", "superseded"}
    assert ends.count("superseded") == await bench.count("audit") == len(said) - len(order)


# What alone meets a lock


def planning(key: str, version: int, call: str) -> Said:
    return Said(RELEASED, key=key, notice=Notice(version, calls=(call,)))


async def test_a_message_that_alone_meets_a_lock_is_put_off_and_its_neighbours_go_on(
    bench: Bench,
) -> None:
    keys = [f"change/{n}" for n in range(8)]
    await pipeline(bench).take(await say(bench, *[planning(key, 1, "T") for key in keys]))
    said = await say(bench, *[planning(key, 2, "U") for key in keys])
    async with bench_on(bench.url, statement_s=0.3) as hasty:
        taking = pipeline(hasty)
        async with bench.database.transaction() as other:
            await other.execute("select from ledger where key = 'change/3' for update")
            for _ in range(PATIENCE):
                with pytest.raises(asyncpg.QueryCanceledError):
                    await taking.take(said)
            assert await bench.count("pending") == 0
            await taking.take(said)
            assert await bench.rows("select key, state, attempts, reason from pending") == [
                {"key": "change/3", "state": "retry", "attempts": 0,
                 "reason": "The database does not take this message in time (QueryCanceledError)"}
            ]  # fmt: skip
            assert await bench.cases() == []
    await bench.execute("update pending set due_at = now()")
    await drain(bench)
    assert sorted(await decided(bench, said)) == list(range(8))


async def test_rows_that_meet_a_lock_alone_are_put_off_and_the_others_go_on(bench: Bench) -> None:
    keys = [f"change/{n}" for n in range(6)]
    await pipeline(bench).take(await say(bench, *[planning(key, 1, "T") for key in keys]))
    away = [Said(RELEASED, key=key, notice=Notice(2, "unavailable", ("U",))) for key in keys]
    said = await say(bench, *away)
    await pipeline(bench).take(said)
    async with bench_on(bench.url, statement_s=0.3) as hasty:
        taking = pipeline(hasty, catalogue=flow(mended=True))
        async with bench.database.transaction() as other:
            await other.execute("select from ledger where key = 'change/3' for update")
            for _ in range(PATIENCE):
                with pytest.raises(asyncpg.QueryCanceledError):
                    await taking.take_pending(50)
            await taking.take_pending(50)
            assert await bench.rows("select key, attempts from pending") == [
                {"key": "change/3", "attempts": 1}
            ]
    await bench.execute("update pending set due_at = now()")
    await drain(bench, flow(mended=True))
    assert sorted(await decided(bench, said)) == list(range(6))


async def test_while_a_table_is_locked_the_lane_waits_and_nobody_is_parked(bench: Bench) -> None:
    said = await say(bench, *[Said(RELEASED, key=f"change/{n}") for n in range(4)])
    async with bench_on(bench.url, statement_s=0.2) as hasty:
        taking = pipeline(hasty)
        async with bench.database.transaction() as other:
            await other.execute("lock table outbox in access exclusive mode")
            for _ in range(PATIENCE + 4):
                with pytest.raises(asyncpg.QueryCanceledError):
                    await taking.take(said)
        await taking.take(said)
    assert await outcomes(bench, said) == ["applied"] * 4
    assert [await bench.count(t) for t in ("pending", "exception_case")] == [0, 0]


async def test_a_quarantined_event_keeps_its_identity_and_holds_what_follows(bench: Bench) -> None:
    said = await say(bench, Said(RELEASED), Said(CANCELLED))
    deadly = replace(said[0], redelivered=True)
    await bench.execute(
        "insert into delivery_attempt (fingerprint, attempts, worker) values ($1, 2, 'dead')",
        deadly.fingerprint,
    )
    await pipeline(bench).take([deadly])
    await pipeline(bench).take([said[1]])
    assert await bench.cases() == ["crashes-the-worker"]
    assert await outcomes(bench, said) == ["invalid", "behind"]
    assert await decided(bench, said) == []
    [case_id] = await bench.column("select id from exception_case")
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case_id, by="ann", reason="repaired")
    await drain(bench)
    assert await decided(bench, said) == [0, 1]


@pytest.mark.parametrize("fault", ["unreadable", "bug in read"])
@pytest.mark.parametrize("is_overtaken", [False, True])
async def test_an_event_that_cannot_be_read_holds_what_follows(
    bench: Bench, fault: str, is_overtaken: bool
) -> None:
    said = await say(bench, Said(RELEASED, notice=Notice(fault=fault)), Said(CANCELLED))
    for one in reversed(said) if is_overtaken else said:
        await pipeline(bench).take([one])
    await drain(bench)
    assert await decided(bench, said) == []
    assert await states(bench) == ["in_case", "parked"]
    assert (await outcomes(bench, said))[1] == "behind"
    [case_id] = await bench.column("select id from exception_case")
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case_id, by="ann", reason="repaired")
    await drain(bench, flow(mended=True))
    assert await decided(bench, said) == [0, 1]
    assert await outcomes(bench, said) == ["applied", "applied"]
    assert [await bench.count(t) for t in ("pending", "hold")] == [0, 0]
