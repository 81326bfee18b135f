"""F46: what is parked is replayed, while live messages come and processes are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import time

import msgspec
import pytest

from broker.store import Database
from ops.stack.processes import log_tail
from tests.faults import evidence
from tests.faults.business import CONTRACT, UNFINISHED_RULES, Order
from tests.faults.conftest import Running, is_full
from tests.faults.invariants import SLACK, Effort, Evidence, Recovery, p99
from tests.faults.load import Load, Sent, Size, lane_of
from tests.faults.service import Child, Instance
from tests.faults.world import BURST, KILL_BOUND_S, World, until
from tests.integration.people import token_in


class Parking(msgspec.Struct, frozen=True, kw_only=True):
    """What is parked before the live load: so many orders of every other key, of which the first
    one is refused and becomes a case. rate: cases a second that the replay may try again."""

    per_key: int
    rate: int


# What comes live, which is the load without its warm-up, takes 25 s, or 60 s, and should outlast
# the commands and the kills. Two cores keep up with it, and with what is replayed, while a third
# process starts.
QUICK_TWO = Size(rate=40, seconds=29, keys=320, instances=2, judged_again=False)
FULL_TWO = Size(rate=40, seconds=68, keys=2_000, instances=2)
QUICK_PARKING = Parking(per_key=2, rate=8)
FULL_PARKING = Parking(per_key=10, rate=10)
"""10,000 orders, 1,000 of them in cases: what waits behind those follows, 100 orders a second."""
PARKED_FROM = 1_000
"""Versions of what is parked: higher than all before; what comes live later is higher still."""
REPLAY_BOUND_S = KILL_BOUND_S
POINTS = ("replay.after_read", "replay.before_commit", "replay.after_commit", "inbox.after_commit")


def two() -> Size:
    return FULL_TWO if is_full() else QUICK_TWO


def parking() -> Parking:
    return FULL_PARKING if is_full() else QUICK_PARKING


def kills(chance: random.Random) -> list[str]:
    """How processes die, one after the other: "" by a plain SIGKILL, else at that fail point."""
    points = [f"{point}:kill:{chance.randint(1, 3)}" for point in POINTS]
    chance.shuffle(points)
    return ["", *points[:2], "", *points[2:]] if is_full() else ["", points[0]]


def may_park(order: Order) -> bool:
    """Every other key is one that nobody has to do with."""
    return int(order.key.removeprefix("key/")) % 2 == 0


def to_park(size: Size) -> list[Sent]:
    """Orders of every other key, of which the very first one is refused until the rules are
    complete, so that the next ones wait behind it."""
    return [
        Sent(
            size.source_names[number % size.sources],
            Order(
                id=f"parked-{number:04}-{n:02}",
                key=f"key/{number:04}",
                version=PARKED_FROM + n,
                effect_id=f"p{number:04}-{n:02}",
                lane=lane_of(number),
                fault="" if n else "unruled",
            ),
        )
        for n in range(parking().per_key)
        for number in range(0, size.keys, 2)
    ]


def after_parked(load: list[Sent]) -> list[Sent]:
    """The load, which comes after what is parked."""
    for sent in load:
        version = PARKED_FROM + parking().per_key + sent.order.version
        sent.order = msgspec.structs.replace(sent.order, version=version)
    return load


def complete_the_rules(world: World) -> None:
    """The configuration is repaired; whoever starts from now on works by it."""
    config = world.folder / "layshaft.toml"
    text = config.read_text()
    old, new = f'central_purchasing_org = "{UNFINISHED_RULES}"', 'central_purchasing_org = "2000"'
    assert text.count(old) == 1
    config.write_text(text.replace(old, new))


async def integrator(world: World) -> str:
    """Token of one who may replay."""
    database = Database(
        url=world.servers.database_url, purpose="test", size=1, acquire_s=5.0, statement_s=5.0
    )
    await database.open()
    try:
        return await token_in(database, "ann", "integrator")
    finally:
        await database.close()


async def command(world: World, token: str, *words: str) -> None:
    """Somebody has given the command by that token, in a process of its own."""
    config = str(world.folder / "layshaft.toml")
    child = Child(
        *("ops", "replay", *words, "--config", config),
        *("--reason", "the rules are complete"),
        log=world.folder / "command.log",
    )
    child.start(LAYSHAFT_TOKEN=token)
    try:
        assert await child.ended() == 0, log_tail(child.log)
    finally:
        child.send(signal.SIGKILL)


async def start_replay(world: World, token: str) -> None:
    """Somebody has started a replay of all orders."""
    rate = str(parking().rate)
    await command(world, token, "start", "--type", CONTRACT, "--rate", rate, "--yes")


async def pause_resume_and_cancel(world: World, token: str) -> None:
    """Somebody has held the first replay, has let it go on, and has cancelled it; each holds."""
    await command(world, token, "pause", "1")
    held_at = await released(world)
    await asyncio.sleep(1.0)
    assert (await state(world), await released(world)) == ("paused", held_at)
    await command(world, token, "resume", "1")

    async def goes_on_again() -> bool:
        return await released(world) > held_at

    await until(goes_on_again, "the replay goes on where it was held", REPLAY_BOUND_S * SLACK)
    await command(world, token, "cancel", "1")
    ended_at = await released(world)
    await asyncio.sleep(1.0)
    assert (await state(world), await released(world)) == ("cancelled", ended_at)


async def state(world: World) -> str:
    """How the last replay stands."""
    [found] = await world.column("select state from replay order by id desc limit 1")
    return str(found)


async def released(world: World) -> int:
    """Cases that all replays have tried again."""
    [found] = await world.column("select sum(released)::int from replay")
    return int(found)


async def goes_on(world: World, parked: frozenset[str], after: str) -> None:
    """Something that was parked has its effect since now; how long it took is judged: what waited
    live meanwhile goes first, so it gets the time that a shared machine may take."""
    began, before = time.monotonic(), len(parked & world.journal().applied_at.keys())

    async def has_gone_on() -> bool:
        return len(parked & world.journal().applied_at.keys()) > before

    await until(has_gone_on, f"a replayed effect after {after}", 2 * REPLAY_BOUND_S * SLACK)
    took_s = time.monotonic() - began
    world.recoveries.append(Recovery(f"the replay after {after}", took_s, REPLAY_BOUND_S))


async def dies(world: World, load: Load, instance: Instance, point: str) -> str:
    """One process is killed, the plain way or by what it was armed with, while the replay runs and
    live messages come; how."""
    if point:
        await world.one_dies()
    else:
        await instance.kill()
        world.injected(f"SIGKILL to {instance.name}")
    assert await state(world) == "running", "the replay ended before the kill"
    applied = world.journal().applied_at
    assert any(s.order.effect_id not in applied for s in load.ledger), "nothing live is left"
    return point or f"SIGKILL to {instance.name}"


async def comes_back(world: World, instance: Instance, point: str) -> None:
    """The instance works again; or it may have died at that point before it was ready."""
    if point:
        instance.launch(failpoints=point, ERP_SECRET="secret")
    else:
        await world.relaunch(instance)


async def kill_again_and_again(world: World, load: Load, parked: frozenset[str]) -> list[str]:
    """Processes die in their work on the replay, one after the other, and are started again; how
    each of them died."""
    deaths: list[str] = []
    planned = kills(world.chance)
    instance = world.chance.choice(world.instances)
    for point, following in zip(planned, [*planned[1:], ""], strict=True):
        how = await dies(world, load, instance, point)
        deaths.append(how)
        async with asyncio.TaskGroup() as group:
            group.create_task(world.recovers(how))
            group.create_task(goes_on(world, parked, how))
            # The one that comes back is the next to die at a fail point; the other one, plainly.
            group.create_task(comes_back(world, instance, following))
        if not following:
            instance = next(i for i in world.instances if i is not instance)
    return deaths


def p99_between(world: World, load: Load, began: float, ended: float) -> float:
    """Seconds from sending to effect, of messages of untouched keys that were sent then."""
    applied_at = world.journal().applied_at
    return p99([
        applied_at[s.order.effect_id] - s.at
        for s in load.ledger
        if not may_park(s.order) and s.answer == "confirmed" and began <= s.at < ended
    ])  # fmt: skip


@pytest.mark.fault("F46", quick=True)
async def test_f46_parked_messages_are_replayed_beside_live_ones_through_kills(
    run: Running,
) -> None:
    async with run(size=two()) as world:
        await world.start()
        await world.warm_up()
        parked = to_park(world.size)
        world.plan(after_parked)
        parking_since = time.monotonic()
        await world.send(parked, rate=BURST)
        await world.settled()
        parking_s = time.monotonic() - parking_since
        refused = {s.order.effect_id for s in parked if s.order.fault}
        effects = frozenset(s.order.effect_id for s in parked)
        tables = await evidence.read_tables(world.servers.database_url)
        assert tables.parked == effects
        assert not effects & world.journal().applied_at.keys()
        token = await integrator(world)
        complete_the_rules(world)
        await world.restart_all()

        async with world.load() as load:
            await load.passes(world.size.rate)
            began = time.monotonic()
            await start_replay(world, token)
            await pause_resume_and_cancel(world, token)
            before = await released(world)
            began_again = time.monotonic()
            await start_replay(world, token)
            async with world.spared("live keys", lambda sent: not may_park(sent.order)):
                await load.passes((10 if is_full() else 3) * world.size.rate)
            assert effects & world.journal().applied_at.keys(), "nothing was replayed meanwhile"
            killing_since = time.time()
            deaths = await kill_again_and_again(world, load, effects)
            killed_until = time.time()

            async def has_ended() -> bool:
                return await state(world) != "running"

            await until(has_ended, "the end of the replay", len(refused) / parking().rate + 60.0)
            took_s, ended = time.monotonic() - began_again, time.monotonic()
        world.efforts.append(await effort(world))
        found = await world.judge()

        assert not found.parked
        await require_all_said_once(world, found)
        assert await world.column("select state from replay order by id") == ["cancelled", "done"]
        assert await released(world) == len(refused)
        assert 0 < before < len(refused)
        # Never more than its rate, a second of delay caught up.
        assert (len(refused) - before) / parking().rate <= took_s + 2.0
        world.figures |= {
            "parked_before": len(effects),
            "in_cases_before": len(refused),
            "parking_s": round(parking_s, 1),
            "replays_s": round(ended - began, 1),
            "rate": parking().rate,
            "deaths": deaths,
            "live_p99_through_kills_s": round(
                p99_between(world, load, killing_since, killed_until), 2
            ),
        }


async def effort(world: World) -> Effort:
    """The calls that made something at the target, against what had to be made."""
    await world.settled()
    journal = world.journal()
    return Effort(
        what="calls through a replay and kills",
        attempts=len(journal.calls),
        offered=len(journal.applied_at),
    )


async def require_all_said_once(world: World, found: Evidence) -> None:
    """Each order was decided once, into one event: no attempt that died has left another."""
    said = await world.column("select count(*) from message where direction = 'out'")
    assert said == [len(found.applied)]
    assert await world.column("select count(*) from exception_case where state = 'open'") == [0]
