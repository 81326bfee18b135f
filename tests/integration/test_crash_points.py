"""At a fail point is left what docs/crash-points.md says, and it is brought to its end once."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aio_pika
import pytest
from aiohttp import web

from broker.failpoints import FailPointHit, FailPoints
from broker.packages import CHUNK_BYTES, expire_packages, pieces_of, put_package
from broker.store.packages import PackageRow
from broker.store.pending import held_keys
from broker.topology import declare, queue_states
from canonical.exchange import Request
from handlers import CATALOGUE
from ops.app import App
from ops.configuration import load
from tests.integration.aging import DAY, housekeeper, keep_house, let_pass
from tests.integration.crash_process import AMQP_URL, CAME_BACK, SHORT, TARGET_URL, tokens_at
from tests.integration.relaying import broker_at, process_on, received
from tests.integration.replaying import replayer, start, view
from tests.integration.test_cli import configuration
from tests.integration.test_consumer import QUEUE, WANTED, consuming, publish
from tests.integration.test_http_channel import web_server
from tests.integration.test_partitions import dealer
from tests.integration.test_partitions import put as put_ring
from tests.integration.test_wakes import ASKED, planned, stated
from tests.integration.toy import (
    DEADLINE_S,
    Bench,
    Order,
    Wanted,
    arrival,
    arrivals,
    bench_on,
    path_of,
    repaired,
    turn_until_idle,
    until,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def killed(bench: Bench, work: str, fail_points: str) -> None:
    """A process of its own worked and was killed at its fail point; its sessions have ended."""
    module = "tests.integration.crash_process"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, bench.url, work, fail_points, cwd=ROOT
    )
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == -signal.SIGKILL

    async def is_gone() -> bool:
        name = "layshaft-crash-process"
        sql = (
            "select 1 from pg_stat_activity"
            " where datname = current_database() and application_name = $1"
        )
        return await bench.column(sql, name) == []

    await until(is_gone, "its sessions end")


async def emitted(bench: Bench) -> list[str]:
    """Keys of the events to publish."""
    return sorted(await bench.column("select key from outbox"))


# In: what came back


@pytest.mark.parametrize(
    ("fail_points", "attempts"),
    [
        ("amqp.delivered:kill:1", []),
        ("attempt.after_begin:kill:1", [1]),
        ("inbox.before_commit:kill:1", [1]),
        ("inbox.before_commit:raise:1,begun.before_withdraw:kill:1", [1]),
    ],
)
async def test_a_delivery_that_came_back_is_counted_and_taken_once(
    bench: Bench, fail_points: str, attempts: list[int]
) -> None:
    await killed(bench, "take_back", fail_points)
    assert await bench.count("inbox") == 0
    assert await bench.column("select attempts from delivery_attempt") == attempts
    await bench.pipeline().take([arrival(CAME_BACK, redelivered=True)])
    assert await emitted(bench) == ["supplier/S1"]
    assert await bench.count("delivery_attempt") == 0
    assert await bench.cases() == []


async def test_what_was_acknowledged_before_a_process_died_does_not_come_again(
    bench: Bench, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AMQP_URL, amqp_url)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await declare(channel, WANTED)
        await (await channel.get_queue(QUEUE)).purge()
        await publish(connection, [1])

        async def publish_second() -> None:
            await until(lambda: has_taken(bench, "m1"), "the first is taken")
            await publish(connection, [2])

        async with asyncio.TaskGroup() as group:
            group.create_task(publish_second())
            group.create_task(killed(bench, "consume", "amqp.after_ack:kill:2"))

        async def is_left() -> bool:
            state = (await queue_states(connection, [QUEUE]))[QUEUE]
            return state.consumers == 0

        await until(is_left, "its connection ends")
        # RabbitMQ may learn of the connection's end before it looks at what came last.
        left = (await queue_states(connection, [QUEUE]))[QUEUE].messages
        assert left <= 1

        async def is_absorbed() -> bool:
            return await bench.count("duplicate") == left

        async with consuming(bench, amqp_url):
            await until(is_absorbed, "what it died with is a repeat where it comes again")
        assert (await queue_states(connection, [QUEUE]))[QUEUE].messages == 0
    assert await bench.column("select id from duplicate") == ["m2"] * left
    assert await bench.column("select id from inbox order by id") == ["m1", "m2"]
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]
    assert await bench.count("delivery_attempt") == 0


async def has_taken(bench: Bench, message_id: str) -> bool:
    return message_id in await bench.column("select id from inbox")


# Rows


async def two_rows(bench: Bench) -> None:
    """Two orders wait for their retry, which is due."""
    await bench.pipeline().take(
        arrivals(
            [
                Order(id=f"m{n}", key=f"order/{n}", emits=(f"S{n}",), fault="unavailable")
                for n in (1, 2)
            ]
        )
    )


async def marks(bench: Bench) -> list[tuple[int, bool]]:
    """Of each row, how many have begun it, and whether the last one is on record."""
    rows = await bench.rows("select begun, begun_by <> '' as marked from pending order by id")
    return [(row["begun"], row["marked"]) for row in rows]


async def taken_over(bench: Bench) -> int:
    """Rows another process took: none at first, these once the dead one's time is over."""
    living = bench.pipeline(orders=repaired())
    assert await living.take_pending(10) == 0
    await bench.execute("update pending set begun_at = begun_at - interval '6 seconds'")
    return await living.take_pending(10)


@pytest.mark.parametrize(
    "fail_points",
    [
        "rows.after_begin:kill:1",
        "rows.before_commit:kill:1",
        "rows.before_commit:raise:1,begun.before_withdraw:kill:1",
    ],
)
async def test_rows_of_a_process_that_died_before_their_commit_are_begun_anew_and_end_once(
    bench: Bench, fail_points: str
) -> None:
    await two_rows(bench)
    await killed(bench, "take_rows", fail_points)
    assert await marks(bench) == [(1, True), (1, True)]
    assert await emitted(bench) == []
    assert await taken_over(bench) == 2
    assert await marks(bench) == []
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]
    assert await bench.cases() == []


async def test_rows_of_a_process_that_died_after_their_commit_are_done(bench: Bench) -> None:
    await two_rows(bench)
    await killed(bench, "take_rows", "rows.after_commit:kill:1")
    assert await marks(bench) == []
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 0


async def test_a_suspect_is_counted_before_it_is_claimed_and_its_neighbour_is_not(
    bench: Bench,
) -> None:
    await two_rows(bench)
    await killed(bench, "take_rows", "rows.after_begin:kill:1")
    await bench.execute("update pending set begun_at = begun_at - interval '6 seconds'")
    await killed(bench, "take_rows", "rows.after_suspect:kill:1")
    assert await marks(bench) == [(2, True), (1, True)]
    await bench.execute("update pending set begun_at = begun_at - interval '6 seconds'")
    assert await bench.pipeline(orders=repaired()).take_pending(10) == 2
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]
    assert await bench.cases() == []


async def test_rows_that_could_not_be_given_back_are_begun_at_once_by_who_lives(
    bench: Bench,
) -> None:
    await two_rows(bench)
    living = bench.pipeline(
        orders=repaired(), fail_points="rows.before_commit:raise:1,begun.before_withdraw:raise:1"
    )
    with pytest.raises(FailPointHit):
        await living.take_pending(10)
    assert await marks(bench) == [(1, True), (1, True)]
    assert await living.take_pending(10) == 2
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]


async def test_a_row_whose_object_somebody_else_has_in_hand_is_no_suspect_of_ours(
    bench: Bench,
) -> None:
    await two_rows(bench)
    living = bench.pipeline(orders=repaired(), fail_points="rows.after_begin:sleep=1:1")
    turn = asyncio.create_task(living.take_pending(10))

    async def are_begun() -> bool:
        return await marks(bench) == [(1, True), (1, True)]

    await until(are_begun, "they are begun")
    async with bench.database.transaction() as tx:
        assert await held_keys(tx, [("toy", "order/1")]) == {("toy", "order/1")}
        assert await turn == 2
        assert await emitted(bench) == ["supplier/S2"]
    assert await marks(bench) == [(0, False)]
    assert await living.take_pending(10) == 1
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]


# Calls


async def in_flight(bench: Bench) -> list[bool]:
    """Of each step in flight, whether its object has a lease."""
    return await bench.column(
        "select t.lease_until is not null from step s join target t on t.id = s.target_id"
        " where s.state = 'in_flight'"
    )


@pytest.mark.parametrize("point", ["call.after_observe", "handler.before_effect"])
async def test_a_call_of_a_process_that_died_before_it_wrote_is_looked_at_and_written_once(
    bench: Bench, point: str
) -> None:
    order = Order(id="m1", key="order/1", plans=(Wanted("T1", "please"),))
    await bench.pipeline().take(arrivals([order]))
    await killed(bench, "call", f"{point}:kill:1")
    assert await in_flight(bench) == [True]
    living = bench.dispatcher()
    await until(bench.lapse, "the lease lapses")
    assert await bench.states() == {"T1": "in_doubt"}
    await turn_until_idle(living)
    assert await bench.states() == {"T1": "done"}
    assert [method for method, _ in bench.target.journal] == ["GET", "PUT"]
    assert bench.target.writes(path_of("T1")) == 1


async def test_a_token_of_a_process_that_died_is_of_no_use_and_nothing_reached_the_target(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = 0

    async def guarded(request: web.BaseRequest) -> web.Response:
        nonlocal grants
        if request.path == "/token":
            grants += 1
            grant = {"access_token": f"t{grants}", "expires_in": 3600, "token_type": "bearer"}
            return web.json_response(grant)
        assert request.headers["Authorization"] == f"Bearer t{grants}"
        call = Request(
            method=request.method,
            path=request.path,
            headers=tuple(request.headers.items()),
            body=await request.read(),
            effectful=request.method != "GET",
        )
        answer = await bench.target.perform(call)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    await bench.pipeline().take(
        arrivals([Order(id="m1", key="order/1", plans=(Wanted("T1", "please"),))])
    )
    async with web_server(guarded) as url:
        monkeypatch.setenv(TARGET_URL, url)
        await killed(bench, "call_with_token", "token.after_fetch:kill:1")
        assert (grants, bench.target.journal) == (1, [])
        assert await in_flight(bench) == [True]
        await until(bench.lapse, "the lease lapses")
        async with tokens_at(url) as target:
            await turn_until_idle(bench.dispatcher(perform=target.perform))
    assert await bench.states() == {"T1": "done"}
    assert grants == 2
    assert [method for method, _ in bench.target.journal] == ["GET", "PUT"]


async def test_a_result_of_a_process_that_died_after_its_commit_has_set_the_next_step_free(
    bench: Bench,
) -> None:
    plans = (Wanted("T1", "please"), Wanted("T2", "then", after=("T1",)))
    await bench.pipeline().take(arrivals([Order(id="m1", key="order/1", plans=plans)]))
    await killed(bench, "call", "result.after_commit:kill:1")
    assert await bench.states() == {"T1": "done", "T2": "ready"}
    assert await in_flight(bench) == []
    assert not await bench.lapse()
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"T1": "done", "T2": "done"}
    # The first one's calls were made by the process that died.
    assert bench.target.writes(path_of("T1")) == 0
    assert bench.target.writes(path_of("T2")) == 1


async def test_leases_that_could_not_be_ended_are_ended_by_the_next_look(bench: Bench) -> None:
    order = Order(id="m1", key="order/1", plans=(Wanted("T1", "please"),))
    await bench.pipeline().take(arrivals([order]))
    with pytest.raises(FailPointHit):
        await bench.dispatcher(deadlines=SHORT, fail_points="claim.after:raise:1").turn()
    with pytest.raises(FailPointHit):
        await until(
            lambda: bench.lapse(fail_points="lapse.before_commit:raise:1"), "the lease lapses"
        )
    assert await in_flight(bench) == [True]
    assert await bench.lapse()
    assert await bench.states() == {"T1": "in_doubt"}


# Out


async def test_rows_given_up_and_not_given_back_are_swept_when_their_lease_ends(
    bench: Bench, database_url: str, amqp_url: str
) -> None:
    points = "relay.after_claim:raise:1,relay.before_release:raise:1"
    async with (
        broker_at(amqp_url) as broker,
        process_on(database_url, amqp_url) as living,
        process_on(database_url, amqp_url, confirm_s=1, fail_points=points) as dying,
    ):
        await dying.emit("A")
        with pytest.raises(FailPointHit):
            await until(dying.relay.turn, "it is given up")
        await dying.die()
        assert await bench.column("select sweep_at > now() from outbox") == [True]
        assert not await living.sweeper.turn()
        await until(living.sweeper.turn, "it is swept")
        assert [key for key, _, _ in await received(broker, 1)] == ["supplier/A"]
    assert await bench.count("outbox") == 0


async def test_a_refusal_that_is_not_on_record_is_found_by_the_next_sweep(
    bench: Bench, database_url: str, amqp_url: str
) -> None:
    async with (
        broker_at(amqp_url),
        process_on(database_url, amqp_url) as living,
        process_on(database_url, amqp_url, fail_points="relay.before_refuse:raise:1") as dying,
    ):
        await bench.pipeline().take(arrivals([CAME_BACK]))
        await bench.execute("update outbox set routing_key = 'nobody.listens'")
        with pytest.raises(FailPointHit):
            await dying.sweeper.turn()
        seen = "select refusals, sweep_at <= now() as is_due from outbox"
        assert await bench.rows(seen) == [{"refusals": 0, "is_due": True}]
        await living.sweeper.turn()
        assert await bench.rows(seen) == [{"refusals": 1, "is_due": False}]


# Replay


async def test_a_replay_whose_giving_up_was_not_committed_gives_up_at_its_next_turn(
    bench: Bench,
) -> None:
    await bench.pipeline().take(arrivals([CAME_BACK]))
    await bench.execute("alter table pending add constraint odd check (key <> 'order/1')")
    replay_id = await start(bench, "reprocess")
    with pytest.raises(FailPointHit):
        await replayer(bench, fail_points="replay.before_give_up:raise:1").turn()
    assert (await view(bench, replay_id)).state == "running"
    await bench.execute("update replay set next_at = now()")  # its lease has ended
    assert await replayer(bench).turn()
    assert (await view(bench, replay_id)).state == "failed"


# Upkeep


@pytest.mark.parametrize(
    ("point", "left"), [("housekeeping.before_commit", 1), ("housekeeping.after_commit", 0)]
)
async def test_a_step_of_housekeeping_is_undone_or_done(
    bench: Bench, point: str, left: int
) -> None:
    await bench.pipeline().take(arrivals([CAME_BACK]))
    await bench.execute("delete from outbox")
    await let_pass(bench, 31 * DAY)
    # No day is missing: the first step with a transaction forgets dedupe rows.
    with pytest.raises(FailPointHit):
        await housekeeper(bench, fail_points=f"{point}:raise:1").turn()
    assert await bench.count("inbox") == left
    await keep_house(bench)
    assert await bench.count("inbox") == 0


async def test_waits_whose_waking_was_not_committed_are_woken_by_the_next_look(
    bench: Bench, database_url: str, tmp_path: Path
) -> None:
    async with bench.database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, ASKED)
        await stated(tx, 2)
    path = configuration(tmp_path, database_url, "amqp://127.0.0.1:9/")
    environ = {"LAYSHAFT_FAILPOINTS": "facts.before_commit:raise:1"}
    app = App(load(path, environ), catalogue=CATALOGUE, environ=environ)
    with pytest.raises(FailPointHit):
        await app._wake_waiting(bench.database)
    assert await bench.count("pending") == 0
    await app._wake_waiting(bench.database)
    assert await bench.count("pending") == 1


# Partitions


@pytest.mark.parametrize(
    ("fail_points", "left", "first"),
    [
        # Nothing was taken: it is not there, and all are free.
        ("leases.before_commit:kill:1", 0, 4),
        # What it had is its own to the end of its leases, and its share is counted as long.
        ("leases.before_commit:kill:2", 4, 0),
        ("leases.after_commit:kill:1", 4, 0),
    ],
)
async def test_leases_of_a_replica_that_died_are_taken_when_they_end(
    bench: Bench, fail_points: str, left: int, first: int
) -> None:
    await put_ring(bench, 4)
    await killed(bench, "deal", fail_points)
    assert await bench.count("partition_lease") == left
    living = dealer(bench)
    await living.turn()
    assert len(living.share) == first
    # The dead one says nothing for the length of a lease; the living one does.
    await bench.execute("update replica set seen_at = seen_at - interval '31 seconds'")
    await bench.execute("update partition_lease set until = until - interval '31 seconds'")
    await living.turn()
    assert len(living.share) == 4
    assert set(await bench.column("select fence from partition_lease")) == {2 if left else 1}


# Packages

CONTENT = b"x" * (CHUNK_BYTES + 1)


async def put(bench: Bench, fail_points: str = "") -> PackageRow:
    return await put_package(
        bench.database,
        pieces_of(io.BytesIO(CONTENT)),
        name="big.pdx",
        content_type="application/zip",
        by="somebody",
        fail_points=FailPoints.parse(fail_points),
    )


async def expire(bench: Bench, fail_points: str = "") -> bool:
    """Unfinished packages expire at once, the others never."""
    return await expire_packages(
        bench.database,
        unused_for=DAY,
        unfinished_for=timedelta(0),
        fail_points=FailPoints.parse(fail_points),
    )


@pytest.mark.parametrize(
    ("point", "chunks"), [("package.after_chunk", 1), ("package.before_finish", 2)]
)
async def test_a_package_whose_put_died_expires_and_is_put_again(
    bench: Bench, point: str, chunks: int
) -> None:
    with pytest.raises(FailPointHit):
        await put(bench, f"{point}:raise:1")
    assert await bench.column("select finished_at from package") == [None]
    assert await bench.count("package_chunk") == chunks
    again = await put(bench)
    with pytest.raises(FailPointHit):
        await expire(bench, "package.before_expire:raise:1")
    assert await bench.count("package") == 2
    assert await expire(bench)
    assert await bench.column("select id from package") == [again.id]
    assert await bench.count("package_chunk") == 2


async def test_a_package_whose_put_died_at_its_end_is_the_one_that_is_put_again(
    bench: Bench,
) -> None:
    with pytest.raises(FailPointHit):
        await put(bench, "package.after_finish:raise:1")
    [number] = await bench.column("select id from package where finished_at is not null")
    assert (await put(bench)).id == number
    assert await bench.count("package") == 1
