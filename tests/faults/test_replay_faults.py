"""F46: what is parked is replayed, while live messages come and processes are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter

import msgspec
import pytest

from ops.stack.processes import log_tail
from tests.faults import evidence
from tests.faults.business import CONTRACT, UNFINISHED_RULES, Order
from tests.faults.conftest import Running, is_full
from tests.faults.invariants import SLACK, Effort, Evidence, Recovery, p99
from tests.faults.load import Load, Sent, Size
from tests.faults.service import Child, Instance
from tests.faults.world import BURST, KILL_BOUND_S, World, until

# What comes live, which is the load without its warm-up and what is parked, takes 15 s, or 32 s,
# and should outlast the kills. Two cores keep up with it while a third process starts.
QUICK_TWO = Size(rate=40, seconds=23, keys=220, instances=2, judged_again=False)
FULL_TWO = Size(rate=40, seconds=53, keys=600, instances=2)
RATE = 8
"""Messages a second that the replay may try again: a fifth of what comes live."""
PARKED_PER_KEY = 2
REPLAY_BOUND_S = KILL_BOUND_S * SLACK
POINTS = ("replay.before_commit", "replay.after_commit", "inbox.after_commit")


def two() -> Size:
    return FULL_TWO if is_full() else QUICK_TWO


def kills(chance: random.Random) -> list[str]:
    """How processes die, one after the other: "" by a plain SIGKILL, else at that fail point."""
    points = [f"{point}:kill:{chance.randint(1, 3)}" for point in POINTS]
    chance.shuffle(points)
    return ["", *points[:2], "", points[2]] if is_full() else ["", points[0]]


def may_park(order: Order) -> bool:
    """Every other key is one that nobody has to do with."""
    return int(order.key.removeprefix("key/")) % 2 == 0


def parts(load: list[Sent]) -> tuple[list[Sent], list[Sent]]:
    """The first orders of every other key, of which the very first one is refused until the rules
    are complete, so that the next waits behind it; and the rest, which comes live."""
    parked: list[Sent] = []
    live: list[Sent] = []
    seen: Counter[str] = Counter()
    for sent in load:
        key = sent.order.key
        if not may_park(sent.order) or seen[key] == PARKED_PER_KEY:
            live.append(sent)
            continue
        if not seen[key]:
            sent.order = msgspec.structs.replace(sent.order, fault="unruled")
        seen[key] += 1
        parked.append(sent)
    return parked, live


def complete_the_rules(world: World) -> None:
    """The configuration is repaired; whoever starts from now on works by it."""
    config = world.folder / "layshaft.toml"
    text = config.read_text()
    old, new = f'central_purchasing_org = "{UNFINISHED_RULES}"', 'central_purchasing_org = "2000"'
    assert text.count(old) == 1
    config.write_text(text.replace(old, new))


async def start_replay(world: World) -> None:
    """Somebody has started the replay, with the command, in a process of its own."""
    command = Child(
        *("ops", "replay", "start", "--config", str(world.folder / "layshaft.toml")),
        *("--type", CONTRACT, "--rate", str(RATE)),
        *("--reason", "the rules are complete", "--by", "ann", "--yes"),
        log=world.folder / "command.log",
    )
    command.start()
    try:
        assert await command.ended() == 0, log_tail(command.log)
    finally:
        command.send(signal.SIGKILL)


async def state(world: World) -> str:
    """How the replay stands."""
    [found] = await world.column("select state from replay")
    return str(found)


async def goes_on(world: World, parked: frozenset[str], after: str) -> None:
    """Something that was parked has its effect since now; how long it took is judged: what waited
    live meanwhile goes first, so it gets the time that a shared machine may take."""
    began, before = time.monotonic(), len(parked & world.journal().applied_at.keys())

    async def has_gone_on() -> bool:
        return len(parked & world.journal().applied_at.keys()) > before

    await until(has_gone_on, f"a replayed effect after {after}", 2 * REPLAY_BOUND_S)
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
        parked: list[Sent] = []

        def park_some(load: list[Sent]) -> list[Sent]:
            first, live = parts(load)
            parked.extend(first)
            return live

        world.plan(park_some)
        await world.send(parked, rate=BURST)
        await world.settled()
        refused = {s.order.effect_id for s in parked if s.order.fault}
        effects = frozenset(s.order.effect_id for s in parked)
        tables = await evidence.read_tables(world.servers.database_url)
        assert tables.parked == effects
        assert not effects & world.journal().applied_at.keys()
        complete_the_rules(world)
        await world.restart_all()

        async with world.load() as load:
            await load.passes(world.size.rate)
            began = time.monotonic()
            await start_replay(world)
            async with world.spared("live keys", lambda sent: not may_park(sent.order)):
                await load.passes(3 * world.size.rate)
            assert effects & world.journal().applied_at.keys(), "nothing was replayed meanwhile"
            killing_since = time.time()
            deaths = await kill_again_and_again(world, load, effects)
            killed_until = time.time()

            async def has_ended() -> bool:
                return await state(world) != "running"

            await until(has_ended, "the end of the replay", world.size.seconds + 60.0)
            took_s = time.monotonic() - began
        world.efforts.append(await effort(world))
        found = await world.judge()

        assert not found.parked
        await require_all_said_once(world, found)
        tried_again = await world.column("select released from replay where looked = expected")
        assert (await state(world), tried_again) == ("done", [len(refused)])
        # Slower than what comes live: never more than its rate, a second of delay caught up.
        assert len(refused) / RATE <= took_s + 2.0
        world.figures |= {
            "parked_before": len(effects),
            "in_cases_before": len(refused),
            "replay_s": round(took_s, 1),
            "rate": RATE,
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
