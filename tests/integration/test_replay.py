"""Replays on a real database: once, in order per key, below live traffic, from where they stood."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from broker import replay_orders as orders_of
from broker.failpoints import FailPointHit
from broker.intake import Arrival
from broker.precedence import Precedence
from broker.store import Position
from broker.store import selections as selection_rows
from broker.store.replays import Mode, ReplayRow
from broker.store.selections import Selection
from canonical.effects import Effect
from canonical.envelope import Message
from canonical.errors import Conflict, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from tests.integration.aging import DAY, days, keep_house, let_pass
from tests.integration.replaying import an_order, emitted, replayer, run, start, view
from tests.integration.toy import (
    DEADLINE_S,
    ORDERS,
    SOURCE,
    Bench,
    Order,
    Stated,
    Wanted,
    arrival,
    arrivals,
    bench_on,
    decide_order,
    path_of,
    repaired,
    turn_until_idle,
)

TABLES = ("document", "document_version", "ledger", "step", "step_event", "message", "outbox",
          "hold", "pending", "exception_case", "object_sequence")  # fmt: skip


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def replay(
    bench: Bench, mode: Mode, *, orders: Handler = ORDERS, **selection: Any
) -> ReplayRow:
    """A replay was started and has ended."""
    replay_id = await start(bench, mode, **selection)
    return await run(
        bench, replay_id, replayer(bench, orders=orders), bench.pipeline(orders=orders)
    )


async def everything(bench: Bench) -> dict[str, list[Any]]:
    """What is known, planned, said and unfinished."""
    return {t: await bench.rows(f"select * from {t} order by 1, 2") for t in TABLES}


def recording(journal: list[str]) -> Handler:
    """Orders whose decisions are written down in the order in which they are made."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        journal.append(message.payload.id)
        return decide_order(message, facts, now)

    return Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"decide": decide})


def renaming(name: str) -> Handler:
    """Orders as another version of the code reads them: every supplier it announces is renamed."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        effects = decide_order(message, facts, now)
        return tuple(
            msgspec.structs.replace(e, data=msgspec.structs.replace(e.data, name=name))
            if hasattr(e, "data")
            else e
            for e in effects
        )

    return Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"decide": decide})


def restating(name: str) -> Handler:
    """Orders as another version of the code reads them: the suppliers they state have that name."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        states = tuple(msgspec.structs.replace(s, name=name) for s in message.payload.states)
        order = msgspec.structs.replace(message.payload, states=states)
        return decide_order(Message(message.envelope, order), facts, now)

    return Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"decide": decide})


FULL: dict[str, Any] = {
    "states": (Stated("S1", 1),),
    "emits": ("S1",),
    "plans": (Wanted("S1", "please"),),
    "opens": "look",
}


# Redeliver


async def test_redelivering_what_was_handled_changes_nothing(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(1, **FULL), an_order(2, "order/2")]))
    before = await everything(bench)
    row = await replay(bench, "redeliver", sources=(SOURCE,))
    assert await everything(bench) == before
    assert (row.state, row.counts.duplicates, row.counts.queued) == ("done", 2, 0)


async def test_redelivering_what_nobody_handled_decides_it_once_from_its_place_in_the_log(
    bench: Bench,
) -> None:
    await bench.pipeline().take([arrival(an_order(1, emits=("S1",)))])
    await bench.execute("delete from inbox")
    await bench.execute("delete from message where direction = 'out'")
    await bench.execute("delete from outbox")
    row = await replay(bench, "redeliver")
    assert (row.counts.queued, row.outcomes) == (1, {"applied": 1})
    assert await bench.column("select key from outbox") == ["supplier/S1"]
    assert await bench.column("select count(*) from message where direction = 'in'") == [1]
    assert await bench.column("select generation from inbox") == [1]
    again = await replay(bench, "redeliver", types=("toy.order",))
    assert again.counts.duplicates == 1
    assert await bench.count("outbox") == 1


async def test_a_live_copy_and_its_redelivery_have_one_effect(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    await bench.pipeline().take([arrival(order)])
    for table in ("inbox", "outbox"):
        await bench.execute(f"delete from {table}")
    await bench.execute("delete from message where direction = 'out'")
    replay_id = await start(bench, "redeliver")
    assert await replayer(bench).turn()
    await bench.pipeline().take([arrival(order)])
    row = await run(bench, replay_id, replayer(bench), bench.pipeline())
    assert row.counts.queued == 1
    assert await bench.count("outbox") == 1


async def test_what_is_too_old_to_know_is_not_redelivered_and_counted(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(1), an_order(2)]))
    await bench.execute("delete from inbox where id = 'm1'")
    replay_id = await start(bench, "redeliver")
    later = replayer(bench, now=lambda: datetime.now(UTC) + timedelta(days=31))
    row = await run(bench, replay_id, later, bench.pipeline())
    assert (row.counts.too_old, row.counts.duplicates, row.counts.queued) == (1, 1, 0)
    assert await bench.count("inbox") == 1


async def test_redelivering_what_waits_in_a_case_is_trying_the_case_again(bench: Bench) -> None:
    failing = an_order(1, fault="rejected", emits=("S1",))
    await bench.pipeline().take(arrivals([failing, an_order(2, emits=("S2",))]))
    assert await bench.cases() == ["toy-rejected"]
    row = await replay(bench, "redeliver", orders=repaired())
    assert (row.counts.released, row.counts.unfinished) == (1, 1)
    assert await bench.cases() == []
    assert await emitted(bench) == [
        "supplier/S1",
        "supplier/S2",
    ]
    [audit] = await bench.rows("select actor, detail from audit where action = 'case-retried'")
    assert audit["actor"] == "ann"
    assert f"replay {row.id}: repaired" in audit["detail"]


async def test_a_case_alone_can_be_replayed_and_what_waits_behind_it_follows(bench: Bench) -> None:
    failing = [an_order(n, f"order/{n}", fault="rejected", emits=(f"S{n}",)) for n in (1, 2)]
    await bench.pipeline().take(arrivals([*failing, an_order(3, "order/1", emits=("S3",))]))
    [case] = await bench.column("select id from exception_case where key = 'order/1'")
    row = await replay(bench, "redeliver", orders=repaired(), cases=(case,))
    assert (row.expected, row.counts.released) == (1, 1)
    assert await emitted(bench) == [
        "supplier/S1",
        "supplier/S3",
    ]
    assert await bench.column("select key from exception_case where state = 'open'") == ["order/2"]


async def test_what_nobody_could_read_is_read_by_todays_handler_when_it_is_asked_for(
    bench: Bench,
) -> None:
    await bench.pipeline().take([arrival(an_order(1, emits=("S1",), fault="bug in read"))])
    assert await bench.cases() == ["defect"]
    with pytest.raises(Rejected, match="nothing-selected"):
        await start(bench, "redeliver", sources=(SOURCE,))
    healthy = Handler(
        **{f: getattr(repaired(), f) for f in ORDERS.__slots__}
        | {"read": lambda d: _read_healthy(d)}
    )
    row = await replay(bench, "redeliver", orders=healthy, types=("unread",))
    assert row.counts.queued == 1
    assert await bench.column("select key from outbox") == ["supplier/S1"]
    assert await bench.cases() == []


def _read_healthy(delivery: Delivery) -> Message[Order]:
    body = delivery.body.replace(b"bug in read", b"")
    return ORDERS.read(msgspec.structs.replace(delivery, body=body))


# Reprocess


async def test_reprocessing_with_the_same_code_repeats_no_effect(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, **FULL))])
    before = await everything(bench)
    row = await replay(bench, "reprocess", types=("toy.order",))
    after = await everything(bench)
    # What only counts that it was planned and said again
    for table, column in (("ledger", "planned_at"), ("exception_case", "seen")):
        for state in (before, after):
            state[table] = [{k: v for k, v in r.items() if k != column} for r in state[table]]
    assert after == before
    assert (row.counts.queued, row.outcomes) == (1, {"applied": 1})
    assert await bench.column("select generation from inbox") == [2]


async def test_reprocessing_says_only_what_differs(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(1, emits=("S1", "S2")), an_order(2, "order/2")]))
    for name, events in (("New", 4), ("New", 4), ("Bolt & Co", 6)):
        await replay(bench, "reprocess", orders=renaming(name), types=("toy.order",))
        assert await bench.count("outbox") == events
    names = await bench.column(
        "select convert_from(body, 'UTF8')::jsonb ->> 'name' from message"
        " where direction = 'out' order by seq"
    )
    assert names == ["Bolt & Co", "Bolt & Co", "New", "New", "Bolt & Co", "Bolt & Co"]


async def test_reprocessing_what_is_older_than_what_is_known_is_refused_and_counted(
    bench: Bench,
) -> None:
    first, second = (
        an_order(1, states=(Stated("S1", 1, "Old"),)),
        an_order(2, states=(Stated("S1", 2, "New"),)),
    )
    await bench.pipeline().take([arrival(first)])
    await bench.pipeline().take([arrival(second)])
    row = await replay(bench, "reprocess", types=("toy.order",))
    assert row.outcomes == {"applied": 1, "stale": 1}
    assert await bench.column("select version from document") == [2]
    assert await bench.count("document_version") == 2


async def test_a_message_read_better_corrects_what_it_stated(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, states=(Stated("S1", 1, "Blot"),)))])
    better = restating("Bolt")
    for _ in range(2):
        row = await replay(bench, "reprocess", orders=better)
        assert row.outcomes == {"applied": 1}
        document = await bench.rows("select version, row_version, cause from document")
        assert document == [{"version": 1, "row_version": 2, "cause": "m1"}]
    names = await bench.column(
        "select convert_from(body, 'UTF8')::jsonb ->> 'name' from document_version order by 1"
    )
    assert names == ["Blot", "Bolt"]


async def test_an_event_corrects_what_an_earlier_one_of_the_same_cause_stated(
    bench: Bench,
) -> None:
    now = datetime.now(UTC)

    def event(number: int, name: str, cause: str, after_s: float) -> Arrival:
        order = an_order(number, states=(Stated("S1", 1, name),))
        made = arrival(order, source="layshaft", attributes={"causationid": cause})
        return replace(made, logged=Position(now + timedelta(seconds=after_s), number))

    pipeline = bench.pipeline()
    await pipeline.take([event(1, "Blot", "package-1", 0)])
    await pipeline.take([event(2, "Bolt", "package-1", 1)])
    assert await bench.column("select row_version from document") == [2]
    assert await bench.cases() == []
    # Another package says otherwise of this very version: somebody has to find out who is right.
    await pipeline.take([event(3, "Bold", "package-2", 2)])
    assert await bench.column("select row_version from document") == [2]
    assert await bench.cases() == ["same-version-other-content"]


async def test_a_message_on_its_way_is_not_queued_beside_itself(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, fault="unavailable", emits=("S1",)))])
    row = await replay(bench, "reprocess", orders=repaired())
    assert (row.counts.unfinished, row.counts.queued) == (1, 0)
    assert await bench.count("outbox") == 1


async def test_a_replayed_message_keeps_the_order_of_its_key(bench: Bench) -> None:
    journal: list[str] = []
    orders = recording(journal)
    await bench.pipeline(orders=orders).take(
        arrivals([an_order(n, f"order/{n % 2}") for n in range(6)])
    )
    journal.clear()
    replay_id = await start(bench, "reprocess")
    assert await replayer(bench).turn()
    # A live message of a key that is being replayed waits behind what is queued.
    await bench.pipeline(orders=orders).take([arrival(an_order(9, "order/0"))])
    await run(bench, replay_id, replayer(bench), bench.pipeline(orders=orders))
    while await bench.pipeline(orders=orders).take_pending(50):
        pass
    assert [i for i in journal if i in ("m0", "m2", "m4", "m9")] == ["m0", "m2", "m4", "m9"]
    assert [i for i in journal if i in ("m1", "m3", "m5")] == ["m1", "m3", "m5"]


# Reprocess what is older than what is remembered


async def forget(bench: Bench, *, messages: int) -> None:
    """So much time has passed that the log has these messages and the inbox does not."""
    await let_pass(bench, 40 * DAY)
    await keep_house(bench)
    assert await bench.count("inbox") == 0
    assert await bench.column("select count(*) from message where direction = 'in'") == [messages]


async def test_reprocessing_what_is_forgotten_repeats_no_effect(bench: Bench) -> None:
    pipeline = bench.pipeline()
    # Its open case would be remembered.
    await pipeline.take([arrival(an_order(1, **FULL | {"opens": ""}))])
    for version in (1, 2):
        order = an_order(1 + version, states=(Stated("S2", version),))
        await pipeline.take([arrival(order)])
    await turn_until_idle(bench.dispatcher())
    assert bench.target.writes(path_of("S1")) == 1
    await forget(bench, messages=3)
    await bench.execute("delete from outbox")
    before = await everything(bench)
    row = await replay(bench, "reprocess", types=("toy.order",))
    await turn_until_idle(bench.dispatcher())
    # What is known is said again, and once what is older than that.
    assert (row.counts.queued, row.outcomes) == (3, {"applied": 2, "stale": 1})
    after = await everything(bench)
    for state in (before, after):  # what only tells that it was planned again
        state["ledger"] = [{**r, "planned_at": None} for r in state["ledger"]]
    assert after == before
    assert bench.target.writes(path_of("S1")) == 1
    # It may have been handled, and counts as such.
    assert set(await bench.column("select generation from inbox")) == {2}


async def test_a_cancel_takes_back_what_was_forgotten_too(bench: Bench) -> None:
    orders = [an_order(n, f"order/{n}", emits=(f"S{n}",)) for n in range(4)]
    await bench.pipeline().take(arrivals(orders))
    await forget(bench, messages=4)
    await bench.execute("delete from outbox")
    replay_id = await start(bench, "reprocess", rate=2, types=("toy.order",))
    assert await replayer(bench).turn()
    assert await bench.count("pending") == 2
    async with bench.database.transaction() as tx:
        assert await orders_of.cancel(tx, replay_id=replay_id, by="ann", reason="wrong") == 2
    assert [await bench.count("pending"), await bench.count("hold")] == [0, 0]
    row = await view(bench, replay_id)
    assert (row.counts.queued, row.counts.removed, row.outcomes) == (2, 2, {})
    # What was taken back is known again: a late copy of it is a repeat, and it can be reprocessed.
    await bench.pipeline().take([arrival(orders[0])])
    assert await bench.count("duplicate") == 1
    again = await replay(bench, "reprocess", types=("toy.order",))
    assert (again.counts.queued, again.outcomes) == (4, {"applied": 4})
    assert await bench.count("outbox") == 0


async def test_a_cancel_takes_back_nothing_that_nobody_has_handled(bench: Bench) -> None:
    """It is remembered for long enough to know, so the copy that was absorbed counts on it."""
    order = an_order(1, emits=("S1",))
    await bench.pipeline().take([arrival(order)])
    for table in ("inbox", "outbox"):
        await bench.execute(f"delete from {table}")
    await bench.execute("delete from message where direction = 'out'")
    replay_id = await start(bench, "reprocess")
    assert await replayer(bench).turn()
    await bench.pipeline().take([arrival(order)])
    async with bench.database.transaction() as tx:
        assert await orders_of.cancel(tx, replay_id=replay_id, by="ann", reason="no") == 0
    await bench.pipeline().take_pending(50)
    assert await emitted(bench) == ["supplier/S1"]


# What is selected


async def test_messages_are_selected_by_type_source_key_time_and_story(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.pipeline().take(
        [arrival(an_order(n, f"order/{n}", emits=(f"S{n}",))) for n in range(4)]
        + [arrival(an_order(9, "order/9"), source="other")]
    )
    [[story]] = [await bench.column("select correlation_id from message where id = 'm2'")]
    await bench.execute("update message set at = at - interval '2 hours' where id = 'm3'")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)

    monkeypatch.setattr(selection_rows, "SCAN", 2)

    async def selected(**selection: Any) -> int:
        async with bench.database.transaction() as tx:
            extent = await selection_rows.extent(tx, Selection(**selection))
            assert extent.messages == sum(group.messages for group in extent.groups)
            return extent.messages

    assert await selected() == 9
    assert await selected(types=("toy.order",)) == 5
    assert await selected(sources=("other",)) == 1
    assert await selected(sources=("layshaft", "other")) == 5
    assert await selected(keys=("order/1", "supplier/S1", "order/4711")) == 2
    assert await selected(correlation_id=story) == 2
    assert await selected(until=hour_ago) == 1
    assert await selected(since=hour_ago, types=("toy.order",)) == 4


async def test_no_statement_counts_the_whole_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.pipeline().take([arrival(an_order(n, f"order/{n % 3}")) for n in range(10)])
    monkeypatch.setattr(selection_rows, "SCAN", 4)
    counting: list[str] = []
    async with bench.database.transaction() as tx:
        with tx.query_logger(lambda q: counting.append(q.query) if "count(*)" in q.query else None):
            extent = await selection_rows.extent(tx, Selection(types=("toy.order",)))
    assert (extent.messages, extent.keys, len(counting)) == (10, 3, 3)


async def test_a_replay_ends_with_what_was_logged_when_it_was_started(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1))])
    replay_id = await start(bench, "reprocess")
    await bench.pipeline().take([arrival(an_order(2, "order/2"))])
    row = await run(bench, replay_id, replayer(bench), bench.pipeline())
    assert (row.expected, row.counts.looked, row.counts.queued) == (1, 1, 1)


async def test_what_nobody_takes_today_is_counted(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, emits=("S1",)))])
    row = await replay(bench, "reprocess")
    assert (row.counts.looked, row.counts.queued, row.counts.not_taken) == (2, 1, 1)


async def test_a_large_log_is_looked_through_in_bounded_pieces(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection_rows, "SCAN", 3)
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(20)]))
    row = await replay(bench, "reprocess", keys=("order/2", "order/19"))
    assert (row.counts.looked, row.counts.queued) == (2, 2)


async def test_thousands_of_parked_messages_are_all_decided_once_and_in_order(
    bench: Bench,
) -> None:
    keys = 5_000 if os.environ.get("LAYSHAFT_FULL") == "1" else 150
    # The first order of each key is in a case, the second one waits behind it.
    works = [
        an_order(2 * n + m, f"order/{n}", emits=(f"S{2 * n + m}",), fault="" if m else "rejected")
        for n in range(keys)
        for m in (0, 1)
    ]
    for first in range(0, len(works), 200):
        await bench.pipeline().take(arrivals(works[first : first + 200]))
    assert await bench.count("pending") == 2 * keys
    replay_id = await start(bench, "redeliver")
    turns, pipeline = replayer(bench), bench.pipeline(orders=repaired())
    async with asyncio.timeout(20 * DEADLINE_S):
        while (await view(bench, replay_id)).state == "running" or await bench.count("pending"):
            await turns.turn()
            await pipeline.take_pending(50)
    row = await view(bench, replay_id)
    assert (row.state, row.counts.looked, row.counts.released) == ("done", row.expected, keys)
    assert await bench.cases() == []
    events = await emitted(bench)
    assert sorted(events) == sorted(f"supplier/S{n}" for n in range(2 * keys))
    place = {key: n for n, key in enumerate(events)}
    assert all(place[f"supplier/S{2 * n}"] < place[f"supplier/S{2 * n + 1}"] for n in range(keys))


# From where it stood


@pytest.mark.parametrize(
    "point", ["replay.after_read", "replay.before_commit", "replay.after_commit"]
)
async def test_a_process_that_dies_leaves_a_replay_that_goes_on_where_it_was(
    bench: Bench, point: str
) -> None:
    journal: list[str] = []
    orders = recording(journal)
    await bench.pipeline(orders=orders).take(
        arrivals([an_order(n, f"order/{n}") for n in range(12)])
    )
    journal.clear()
    replay_id = await start(bench, "reprocess", rate=4)
    await bench.execute("update replay set next_at = now() - interval '1 hour'")
    pipeline = bench.pipeline(orders=orders)
    with pytest.raises(FailPointHit):
        await replayer(bench, fail_points=f"{point}:raise:1").turn()
    while (await view(bench, replay_id)).state == "running":
        await bench.execute("update replay set next_at = now()")
        await replayer(bench).turn()
        await pipeline.take_pending(50)
    assert sorted(journal) == sorted(f"m{n}" for n in range(12))
    assert (await view(bench, replay_id)).counts.queued == 12


async def test_two_processes_never_work_on_one_replay_at_once(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(300)]))
    replay_id = await start(bench, "reprocess")
    pipeline = bench.pipeline()
    async with asyncio.timeout(DEADLINE_S):
        while (await view(bench, replay_id)).state == "running":
            await asyncio.gather(replayer(bench).turn(), replayer(bench).turn())
            await pipeline.take_pending(200)
    row = await view(bench, replay_id)
    assert (row.counts.looked, row.counts.queued) == (300, 300)
    assert set(await bench.column("select generation from inbox")) == {2}


async def test_a_paused_replay_queues_nothing_until_it_goes_on(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(4)]))
    replay_id = await start(bench, "reprocess")
    async with bench.database.transaction() as tx:
        await orders_of.pause(tx, replay_id=replay_id, by="ann", reason="lunch")
    assert not await replayer(bench).turn()
    assert await bench.count("pending") == 0
    async with bench.database.transaction() as tx:
        await orders_of.resume(tx, replay_id=replay_id, by="bob", reason="back")
    row = await run(bench, replay_id, replayer(bench), bench.pipeline())
    assert row.counts.queued == 4
    said = await bench.rows("select actor, action from audit order by id")
    assert [(r["actor"], r["action"]) for r in said] == [
        ("ann", "replay-started"), ("ann", "replay-paused"), ("bob", "replay-resumed"),
    ]  # fmt: skip


async def test_a_cancelled_replay_takes_back_what_is_not_begun_and_frees_what_waits_behind(
    bench: Bench,
) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(4)]))
    replay_id = await start(bench, "reprocess", rate=2)
    assert await replayer(bench).turn()
    await bench.pipeline().take([arrival(an_order(9, "order/0", emits=("S9",)))])
    assert await bench.count("pending") == 3
    async with bench.database.transaction() as tx:
        assert await orders_of.cancel(tx, replay_id=replay_id, by="ann", reason="wrong day") == 2
    assert await bench.column("select state from pending") == ["ready"]
    await bench.pipeline().take_pending(50)
    assert await bench.column("select key from outbox") == ["supplier/S9"]
    assert [await bench.count("pending"), await bench.count("hold")] == [0, 0]
    assert not await replayer(bench).turn()
    row = await view(bench, replay_id)
    assert (row.state, row.counts.queued, row.counts.removed) == ("cancelled", 2, 2)
    assert set(await bench.column("select generation from inbox")) == {1}
    with pytest.raises(Conflict, match="not-in-state"):
        async with bench.database.transaction() as tx:
            await orders_of.resume(tx, replay_id=replay_id, by="ann", reason="no")


async def test_cancelling_loses_no_message_that_the_replay_admitted(bench: Bench) -> None:
    order = an_order(1, emits=("S1",))
    await bench.pipeline().take([arrival(order)])
    for table in ("inbox", "outbox"):
        await bench.execute(f"delete from {table}")
    replay_id = await start(bench, "redeliver", types=("toy.order",))
    await bench.execute("delete from message where direction = 'out'")
    assert await replayer(bench).turn()
    # Its live copy comes, is absorbed and acknowledged; then somebody cancels.
    await bench.pipeline().take([arrival(order)])
    async with bench.database.transaction() as tx:
        assert await orders_of.cancel(tx, replay_id=replay_id, by="ann", reason="no") == 0
    await bench.pipeline().take_pending(50)
    assert await bench.column("select key from outbox") == ["supplier/S1"]


async def test_a_replay_that_the_database_refuses_fails_and_goes_on_after_the_repair(
    bench: Bench,
) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(4)]))
    await bench.execute("alter table pending add constraint odd check (key <> 'order/2')")
    replay_id = await start(bench, "reprocess")
    assert await replayer(bench).turn()
    row = await view(bench, replay_id)
    assert (row.state, row.counts.looked) == ("failed", 0)
    assert "23514" in row.note
    assert await bench.count("pending") == 0
    assert not await replayer(bench).turn()
    await bench.execute("alter table pending drop constraint odd")
    async with bench.database.transaction() as tx:
        await orders_of.resume(tx, replay_id=replay_id, by="ann", reason="repaired")
    row = await run(bench, replay_id, replayer(bench), bench.pipeline())
    assert (row.state, row.counts.queued) == ("done", 4)


async def test_a_day_that_a_replay_has_still_to_look_at_is_not_dropped(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(3)]))
    await let_pass(bench, 100 * DAY)
    replay_id = await start(bench, "reprocess")
    await keep_house(bench)
    assert len(await days(bench)) == 1
    row = await run(bench, replay_id, replayer(bench), bench.pipeline())
    assert (row.counts.queued, row.outcomes) == (3, {"applied": 3})
    await keep_house(bench)
    assert await days(bench) == []


# Below live traffic


async def test_no_more_than_two_slices_are_unfinished(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(40)]))
    replay_id = await start(bench, "reprocess", rate=5)
    for _ in range(6):
        await bench.execute("update replay set next_at = now()")
        await replayer(bench).turn()
    assert await bench.count("pending") == 10
    assert (await view(bench, replay_id)).note == "10 of its messages are not finished"


async def test_one_that_waits_for_its_own_messages_looks_again_soon_while_they_are_finished(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(40)]))
    replay_id = await start(bench, "reprocess", rate=5)
    turns = replayer(bench)

    async def turn() -> bool:
        await bench.execute("update replay set next_at = now()")
        return await turns.turn()

    assert [await turn() for _ in range(3)] == [True, True, False]
    assert await bench.pipeline().take_pending(3) == 3
    assert await turn()
    # Nothing is due later than it was, and nothing was queued.
    assert await bench.column("select next_at <= now() from replay") == [True]
    assert await bench.count("pending") == 7
    monkeypatch.setattr("broker.replay.MOVING_S", 0)
    assert not await turn()
    assert (await view(bench, replay_id)).note == "7 of its messages are not finished"


async def test_the_rate_is_kept(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(40)]))
    await start(bench, "reprocess", rate=5)
    turns = [await replayer(bench).turn() for _ in range(5)]
    assert turns == [True, False, False, False, False]
    [wait_s] = await bench.column("select extract(epoch from next_at - now()) from replay")
    assert 0 < wait_s <= 1.01


async def test_a_replay_waits_while_live_messages_do(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(60)]))
    failing = [an_order(100 + n, f"live/{n}", fault="unavailable") for n in range(50)]
    await bench.pipeline().take(arrivals(failing))
    replay_id = await start(bench, "reprocess", types=("toy.order",))
    assert not await replayer(bench).turn()
    assert (await view(bench, replay_id)).note == "live messages go first"
    await bench.pipeline(orders=repaired()).take_pending(50)
    await bench.execute("update replay set next_at = now()")
    assert await replayer(bench).turn()


async def test_a_replay_waits_for_the_backlog_of_any_process(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n}") for n in range(4)]))
    async with bench_on(bench.url, purpose="other") as other:
        flooded = replayer(bench, database=other.database, backlogs=["enrichment", "critical"])
        standby = replayer(bench)
        # Nobody would give way.
        assert not await flooded.turn()
        assert await bench.count("lane_work") == 0
        replay_id = await start(bench, "reprocess", rate=2)
        for turns in (flooded, standby):
            await bench.execute("update replay set next_at = now(), note = ''")
            assert not await turns.turn()
            assert (await view(bench, replay_id)).note == "live messages go first"
        told = await bench.column("select lane from lane_work where backlog_at is not null")
        assert sorted(told) == ["critical", "enrichment"]
        assert await bench.count("pending") == 0
        # A moment after it was told last it is over, whether that process lives or not.
        await bench.execute("update lane_work set backlog_at = backlog_at - interval '1 second'")
        await bench.execute("update replay set next_at = now()")
        assert await standby.turn()
        assert await bench.count("pending") == 2


async def test_a_backlog_alone_is_no_work_of_the_critical_lane(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1))])
    await start(bench, "reprocess")
    await replayer(bench, backlogs=["critical"]).turn()
    precedence = Precedence()
    await precedence.exchange(bench.database)
    assert not precedence.is_claimed
    precedence.worked()
    await precedence.exchange(bench.database)
    [row] = await bench.rows(
        "select lane, at <= now() as at, backlog_at <= now() as backlog_at from lane_work"
    )
    assert row == {"lane": "critical", "at": True, "backlog_at": True}


async def test_a_replay_whose_messages_fail_comes_to_a_stand_by_itself(bench: Bench) -> None:
    healthy = [an_order(n, f"order/{n}", fault="rejected") for n in range(40)]
    await bench.pipeline(orders=repaired()).take(arrivals(healthy))
    replay_id = await start(bench, "reprocess", rate=5)
    for _ in range(8):
        await bench.execute("update replay set next_at = now()")
        await replayer(bench).turn()
        await bench.pipeline().take_pending(50)
    row = await view(bench, replay_id)
    assert (row.state, row.in_cases, row.waiting) == ("running", 10, 0)
    assert row.note == "10 of its messages are not finished, 10 of them in cases"


async def test_what_is_behind_somebody_elses_case_holds_no_replay_up(bench: Bench) -> None:
    await bench.pipeline().take(arrivals([an_order(n, f"order/{n % 2}") for n in range(8)]))
    await bench.pipeline().take([arrival(an_order(100, "order/0", fault="rejected"))])
    replay_id = await start(bench, "reprocess", rate=2)
    async with asyncio.timeout(DEADLINE_S):
        while (await view(bench, replay_id)).state == "running":
            await bench.execute("update replay set next_at = now()")
            await replayer(bench).turn()
            await bench.pipeline().take_pending(50)
    row = await view(bench, replay_id)
    # m100 is tried again and fails again; what is queued of its key waits behind it.
    assert (row.state, row.counts.queued, row.counts.released) == ("done", 8, 1)
    assert (row.in_cases, row.waiting, row.outcomes) == (1, 4, {"applied": 4})
