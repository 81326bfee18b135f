"""F01 to F10: the service dies, is asked to end, or runs out of memory."""

from __future__ import annotations

import signal
import time

import aio_pika
import pytest
from msgspec.structs import replace

from broker.topology import subscriber_queue
from canonical.codec import MAX_BODY_BYTES
from tests.faults.business import Order, ledger_of
from tests.faults.conftest import Running, is_full
from tests.faults.evidence import DEADLINE_S, WITNESS
from tests.faults.load import Size
from tests.faults.target import Fault
from tests.faults.world import World

LEASE_S = 4.0
SETTLE_S = 0.5
EXIT_S = 25.0
SPARE_BYTES = 60 * 1024 * 1024
NO_LANE_SPARED = {"I5": "the process that ends works for every lane"}
BURST = (
    Size(rate=400, seconds=3, keys=300, instances=2)
    if is_full()
    else Size(rate=400, seconds=1, keys=40, judged_again=False)
)
"""More than is decided at once: what waits must not be acknowledged with what is committed."""
AMIDST = range(3, 10)
REFUSED = 8
"""Calls that the target does not apply at first, so that they are sent again."""


async def killed_at(
    world: World,
    point: str,
    *,
    bound_s: float = 10.0,
    target: tuple[Fault, ...] = (),
    passes: range | None = None,
) -> None:
    """The service dies at the fail point in the middle of the load, and is started again. passes:
    of the point, before one of which it dies; by default a good part of those there will be."""
    await world.start()
    await world.warm_up()
    # Messages go in batches, so there are fewer passes than messages.
    most = world.size.messages // 20
    failpoints = f"{point}:kill:{world.chance.choice(passes or range(most // 3, most))}"
    await world.set_target_faults(*target)
    await world.arm(failpoints)
    async with world.load():
        assert await world.dies(world.service) == -signal.SIGKILL
        died_at = time.time()
        await world.relaunch(world.service)
        await world.recovers(failpoints, bound_s, ended_at=died_at)


def require_one_key_per_effect(world: World) -> None:
    """Every call of an effect carried the same idempotency key."""
    keys: dict[str, set[str]] = {}
    for call in world.journal().calls:
        keys.setdefault(call.effect_id, set()).add(call.idempotency_key)
    assert [e for e, used in keys.items() if len(used) > 1] == []


async def require_one_event_per_effect(world: World) -> None:
    """A foreign subscriber got each event once or twice, each time under the same id."""
    for effect_id, ids in (await world.witnessed()).items():
        assert len(set(ids)) == 1, f"{effect_id} was announced under several ids"
        assert len(ids) <= 2, f"{effect_id} was announced {len(ids)} times"


async def require_fresh_message_ids(world: World) -> None:
    """Each try to publish an event had an AMQP message_id of its own, and one event two tries.

    What the foreign subscriber got goes back to his queue.
    """
    tries: dict[str, list[str]] = {}
    connection = await aio_pika.connect(world.servers.amqp_url, timeout=DEADLINE_S)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(subscriber_queue(WITNESS), ensure=False)
        while (message := await queue.get(fail=False)) is not None:
            tries.setdefault(str(message.headers["ce-id"]), []).append(message.message_id or "")
    assert max(len(ids) for ids in tries.values()) > 1
    used = [i for ids in tries.values() for i in ids]
    assert "" not in used
    assert len(set(used)) == len(used)


@pytest.mark.fault("F01", quick=True)
async def test_f01_killed_after_the_inbox_commit_before_the_ack(run: Running) -> None:
    async with run() as world:
        await killed_at(world, "inbox.after_commit")
        await world.settled()
        # What was committed and not acknowledged came again, and was only counted.
        assert await world.counted("layshaft_inbox_duplicates_total") >= 1
        await world.judge(not_applicable=NO_LANE_SPARED)


@pytest.mark.fault("F02", quick=False)
async def test_f02_killed_after_the_decision_before_its_commit(run: Running) -> None:
    async with run(size=BURST) as world:
        await killed_at(world, "inbox.before_commit", passes=AMIDST)
        await world.judge(not_applicable=NO_LANE_SPARED)
        # The attempt that died left no event behind.
        events = await world.column("select count(*) from message where direction = 'out'")
        assert events == [len(world.sent)]


@pytest.mark.fault("F02", quick=False)
async def test_f02_killed_after_the_call_before_its_result_is_committed(run: Running) -> None:
    async with run() as world:
        await killed_at(world, "result.before_commit")
        await world.judge(not_applicable=NO_LANE_SPARED)
        attempts = await world.column("select max(attempts) from step")
        assert attempts == [2]
        require_one_key_per_effect(world)


@pytest.mark.fault("F03", quick=False)
async def test_f03_killed_after_the_publish_before_its_confirm(run: Running) -> None:
    async with run() as world:
        await killed_at(world, "relay.after_publish")
        await world.judge(not_applicable=NO_LANE_SPARED)
        await require_one_event_per_effect(world)


@pytest.mark.fault("F04", quick=False)
async def test_f04_killed_after_the_confirm_before_the_row_goes(run: Running) -> None:
    async with run() as world:
        await killed_at(world, "relay.after_confirm")
        await world.judge(not_applicable=NO_LANE_SPARED)
        await require_fresh_message_ids(world)
        await require_one_event_per_effect(world)


@pytest.mark.fault("F05", quick=False)
async def test_f05_killed_after_the_answer_of_the_target_before_it_is_recorded(
    run: Running,
) -> None:
    async with run() as world:
        await killed_at(world, "http.after_response", target=(Fault("refuse_503", times=REFUSED),))
        await world.judge(not_applicable=NO_LANE_SPARED)
        require_one_key_per_effect(world)
        # The call whose answer was lost was looked up and found done; only what the target had not
        # applied was sent again.
        assert len(world.journal().calls) == len(world.journal().applied) + REFUSED


@pytest.mark.fault("F06", quick=True)
async def test_f06_killed_while_the_request_is_in_flight(run: Running) -> None:
    async with run() as world:
        await world.start()
        await world.warm_up()
        await world.set_target_faults(
            Fault("late", times=8, seconds=2.0), Fault("refuse_503", times=REFUSED)
        )
        await world.arm("http.after_send:kill:1")
        async with world.load():
            assert await world.dies(world.service) == -signal.SIGKILL
            died_at = time.time()
            await world.relaunch(world.service)
            await world.recovers("SIGKILL", ended_at=died_at)
        await world.judge(not_applicable=NO_LANE_SPARED)
        doubted = await world.column("select count(*) from step_event where state = 'in_doubt'")
        assert doubted[0] >= 1
        # Some were sent again: those the target refused.
        assert len(world.journal().calls) >= len(world.journal().applied) + REFUSED
        require_one_key_per_effect(world)


@pytest.mark.fault("F08", quick=False)
async def test_f08_asked_to_end_under_load_again_and_again(run: Running) -> None:
    times = 10 if is_full() else 2
    # A restart takes some seconds: the load has to outlast all of them.
    size = Size(
        rate=25,
        seconds=times * 15,
        keys=100,
        instances=2 if is_full() else 1,
        judged_again=is_full(),
    )
    async with run(size=size) as world:
        await world.start()
        await world.warm_up()
        async with world.load() as load:
            for n in range(times):
                instance = world.instances[n % len(world.instances)]
                await load.passes(20)
                assert await instance.terminate(EXIT_S) == 0
                world.injected(f"SIGTERM to {instance.name}")
                ended_at = time.time()
                await world.relaunch(instance)
                await world.recovers(f"SIGTERM to {instance.name}", ended_at=ended_at)
        found = await world.judge(not_applicable=NO_LANE_SPARED)
        assert not found.parked


@pytest.mark.fault("F09", quick=False)
async def test_f09_bodies_of_two_mib_under_a_memory_cap(run: Running) -> None:
    size = Size(rate=15, seconds=300 / 15, keys=40, judged_again=is_full())
    async with run(size=size) as world:
        await world.start()
        await world.warm_up()
        cap = world.service.data + SPARE_BYTES
        assert await world.service.terminate() == 0
        world.change(heavy)
        # Everything waits in the queues, so that the prefetch, 600, allows far more than the cap.
        async with world.load():
            pass
        world.service.launch(ERP_SECRET="secret")
        world.service.limit_data(cap)
        world.injected(f"{size.messages} bodies of 2 MiB under a cap of {cap >> 20} MiB")
        await world.service.ready()
        async with world.observed("bodies of 2 MiB"):
            await world.settled()
        assert world.service.is_running
        assert "MemoryError" not in world.service.log.read_text()
        world.figures |= {
            "cap_mib": cap >> 20,
            "data_mib": world.service.data >> 20,
            "rss_peak_mib": world.service.rss_peak >> 20,
        }
        await world.judge(
            not_applicable={
                "I5": "all orders come in through one lane",
                "I6": "the cap stays, and the service works under it",
            }
        )


def heavy(order: Order) -> Order:
    """The order in a body of 2 MiB, as large as the door takes."""
    return replace(order, padding="x" * (MAX_BODY_BYTES - 1024))


@pytest.mark.fault("F10", quick=True)
async def test_f10_a_message_that_aborts_the_process(run: Running) -> None:
    async with run() as world:
        await world.start()
        await world.warm_up()
        poison = world.spoil("abort")
        async with world.load():
            for _ in range(3):
                instance, code = await world.one_dies()
                assert code == -signal.SIGABRT
                # It may die of it again before it has become ready.
                instance.launch(ERP_SECRET="secret")
            for instance in world.instances:
                await instance.ready()
            await world.recovers("the third crash")
        # Nobody reads it any more, so nobody knows the key it would hold.
        found = await world.judge(may_pass_parked=True, not_applicable=NO_LANE_SPARED)
        assert found.parked == {poison.order.effect_id}
        codes = await world.column("select code from exception_case where state = 'open'")
        assert codes == ["crashes-the-worker"]
        assert ledger_of(poison.order.effect_id) not in await world.column("select key from ledger")
