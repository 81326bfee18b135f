"""F44: one lane is flooded, poisoned, or calls a slow target; the others go on beside it, and the
lowest one gets its share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from msgspec.structs import replace

from broker.settings import LEAST_SHARE
from canonical.envelope import Lane
from tests.faults.business import BULK_KIND, KIND, URGENT_KIND, Order
from tests.faults.conftest import Running
from tests.faults.flood import Flood, flooding
from tests.faults.invariants import Latencies
from tests.faults.load import Sent, Size
from tests.faults.target import Fault
from tests.faults.world import KILL_BOUND_S, SETTLE_S, World, until

KINDS: dict[str, Lane] = {KIND: "standard", URGENT_KIND: "critical", BULK_KIND: "enrichment"}
SOURCE = "source-1"
BACKLOG = 100_000
YIELD_SHARE = 0.3
"""As the service has it by default."""
LEAST = 5_000
"""In the queue of a lane that is to be saturated."""
URGENT = 100
SIZE = Size(rate=10, seconds=16, keys=160)
FREE_S = 4.0
SATURATED_S = 300.0
BESIDE = Size(rate=20, seconds=30, keys=300)
POISON, POISON_RATE = 2_000, 200
SLOW, SLOW_RATE, SLOW_S = 80, 10, 1.0
"""More than the lane has slots for, and no more than goes within a moment once it is quick."""
QUICK_S = 0.3
"""Of a lane that nothing is wrong with. Some 20 to 60 ms are usual."""


@pytest.mark.fault("F44", quick=False)
async def test_f44_a_flood_in_one_lane_leaves_the_others_what_is_theirs(run: Running) -> None:
    async with run(size=SIZE, kinds=KINDS) as world, flooding(world.servers.amqp_url, SOURCE) as f:
        await world.start()
        await world.warm_up()
        alone = urgent("alone")
        await world.send(alone, SIZE.rate)
        assert await world.service.terminate() == 0
        await f.fill(BULK_KIND, "enrichment", BACKLOG)
        await world.relaunch(world.service)
        world.injected(f"{BACKLOG} of the lowest lane wait")
        free = await rate(world, FREE_S)

        beside = urgent("beside")
        world.plan(lambda _: beside)
        async with world.load():
            held = await rate(world, URGENT / SIZE.rate) / free
            await effects_of(world, beside)
        assert await f.depth(BULK_KIND, "enrichment"), "the backlog was gone before its time"
        latencies = Latencies(
            what="the critical lane",
            before=world.took(alone),
            during=world.took(beside),
            quick_s=QUICK_S,
        )
        world.latencies.append(latencies)

        share = await share_under_saturation(world, f, free)
        await world.recovers("the flood", KILL_BOUND_S)
        world.figures |= {"free_rate": round(free), "sent": dict(f.sent)}
        world.figures |= {"share_beside_few": round(held, 3), "share": round(share, 3)}
        await world.judge()
        assert held <= YIELD_SHARE * 2
        assert share >= LEAST_SHARE
        assert await taken(world) == f.sent[BULK_KIND]
        assert await taken(world, URGENT_KIND) == f.sent[URGENT_KIND]


@pytest.mark.fault("F44", quick=False)
async def test_f44_poison_in_one_lane_leaves_the_others_quick(run: Running) -> None:
    poison = bulk("poison", POISON, fault="invalid")
    async with run(size=BESIDE, kinds=KINDS) as world:
        await world.start()
        await world.warm_up()
        world.plan(two_lanes)
        async with world.load() as load:
            await load.passes(BESIDE.messages // 5)
            async with others_spared(world):
                await world.send(poison, POISON_RATE)
                world.injected(f"{POISON} messages of the lowest lane make no sense")
            await world.recovers("the poison", KILL_BOUND_S)
        found = await world.judge()
        assert found.parked == {sent.order.effect_id for sent in poison}


@pytest.mark.fault("F44", quick=False)
async def test_f44_a_slow_target_of_one_lane_leaves_the_others_quick(run: Running) -> None:
    async with run(size=BESIDE, kinds=KINDS) as world:
        await world.start()
        await world.warm_up()
        world.plan(two_lanes)
        slow = Fault("slow", lane="enrichment", times=None, seconds=SLOW_S)
        async with world.load() as load:
            await load.passes(BESIDE.messages // 5)
            async with others_spared(world):
                await world.set_target_faults(slow)
                await world.send(bulk("slow", SLOW, fault=""), SLOW_RATE)
                world.injected(f"{SLOW} calls of the lowest lane take {SLOW_S:g} s")
            await world.set_target_faults()
            await world.recovers("the slow target", KILL_BOUND_S)
        found = await world.judge()
        assert not found.parked


@asynccontextmanager
async def others_spared(world: World) -> AsyncIterator[None]:
    """What happens in the block is no business of the two upper lanes."""
    async with (
        world.spared("the critical lane", lambda sent: sent.kind == URGENT_KIND, QUICK_S),
        world.spared("the standard lane", lambda sent: sent.kind == KIND, QUICK_S),
    ):
        yield


def two_lanes(load: list[Sent]) -> list[Sent]:
    """The load, in turn of the critical lane and of the standard one all the way."""
    critical = urgent("beside", len(load))
    standard = [replace(sent, order=replace(sent.order, lane="standard")) for sent in load]
    return [(critical if n % 2 else standard)[n] for n in range(len(load))]


def bulk(what: str, number: int, *, fault: str) -> list[Sent]:
    """Messages of the lowest lane, each about an object of its own."""
    names = [f"{what}-{n:04}" for n in range(number)]
    return [
        Sent(
            SOURCE,
            Order(name, f"bulk/{name}", 1, name, "enrichment", fault=fault),
            kind=BULK_KIND,
        )
        for name in names
    ]


def urgent(what: str, number: int = URGENT) -> list[Sent]:
    """Messages of the critical lane, each about an object of its own."""
    names = [f"{what}-{n:03}" for n in range(number)]
    return [
        Sent(SOURCE, Order(name, f"urgent/{name}", 1, name, "critical"), kind=URGENT_KIND)
        for name in names
    ]


async def share_under_saturation(world: World, flood: Flood, free: float) -> float:
    """Of its rate alone, what the lowest lane does while the critical one always has work."""
    await flood.fill(URGENT_KIND, "critical", LEAST)
    world.injected("the critical lane has work all the time")
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as keeping:
        for kind in (URGENT_KIND, BULK_KIND):
            keeping.create_task(flood.keep_up(kind, KINDS[kind], LEAST, enough))
        measured = await rate(world, SATURATED_S)
        enough.set()
    return measured / free


async def rate(world: World, seconds: float) -> float:
    """Messages a second that the lowest lane takes, over so long."""
    began, before = monotonic(), await taken(world)
    await asyncio.sleep(seconds)
    return (await taken(world) - before) / (monotonic() - began)


async def taken(world: World, kind: str = BULK_KIND) -> int:
    """Notes of a kind that are in the inbox."""
    (found,) = await world.column(
        f"""
        select count(*) from inbox i
        where i.subscription = 'fault-orders' and i.id like '{kind}-%' and i.outcome = 'applied'
        """
    )
    return int(found)


async def effects_of(world: World, sent: Sequence[Sent]) -> None:
    """All of them have had their effect."""
    wanted = {s.order.effect_id for s in sent}

    async def are_there() -> bool:
        return wanted <= set(world.journal().applied_at)

    await until(are_there, "effects of the critical lane", SETTLE_S)
