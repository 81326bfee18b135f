"""F23 and F24: the way to RabbitMQ is bad, or thin.

Both go through a line of ours instead of `tc`: kernels without netem cannot delay, and a service in
a network namespace of its own would not reach servers that listen on loopback only.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import msgspec
import pytest

from broker.settings import Deadlines
from broker.topology import LANES
from tests.faults.conftest import Running, is_full
from tests.faults.health import sampled
from tests.faults.invariants import SLACK
from tests.faults.load import Sent, Size
from tests.faults.proxy import CLEAR, Line, Weather, line_to
from tests.faults.world import Servers, World, until

STORM_S = 300.0 if is_full() else 60.0
RESET_EVERY_S = 60.0
RESET_S = 20.0
EXIT_S = 25.0
CONNECTIONS = len(LANES) + 1
# As in production: a handshake takes seconds here.
RECONNECT_MAX_S = 15.0
BYTES_A_SECOND = 2_000
AT_ONCE = 24
"""Events that take longer through that pipe than a confirm may."""
CONFIRM_S = Deadlines().confirm_s
NOT_SENT = '"event": "not published"'
NO_LANE_SPARED = {"I5": "every lane takes the same way to RabbitMQ"}


async def reconnects(world: World) -> int:
    """Connections made anew by the service since it started."""
    metrics = await world.service.metrics()
    return round(metrics.get("layshaft_amqp_reconnects_total", 0))


async def storm(world: World, line: Line) -> int:
    """Bad weather for a while, with a reset now and then; how many resets there were."""
    began, resets = time.monotonic(), 0
    while (left_s := began + STORM_S - time.monotonic()) > 0:
        await asyncio.sleep(min(RESET_EVERY_S, left_s))
        line.reset()
        resets += 1
        world.injected("all connections reset, in bad weather")
    return resets


@pytest.mark.fault("F23", quick=False)
async def test_f23_a_bad_network_makes_no_connection_flap(run: Running, usual: Servers) -> None:
    # An eighth of it is sent before the storm, to warm up.
    size = Size(rate=3, seconds=(STORM_S + 40) * 8 / 7, keys=100, judged_again=is_full())
    async with line_to(usual.amqp_url) as (line, url):
        servers = msgspec.structs.replace(usual, service_amqp_url=url)
        async with run(size=size, servers=servers, reconnect_max_s=RECONNECT_MAX_S) as world:
            await world.start()
            await world.warm_up()
            async with world.load():
                line.change(Weather(delay_s=0.2, jitter_s=0.1, hold=0.05, hold_s=2.0))
                resets = await storm(world, line)
                line.change(CLEAR)
                await world.recovers("the storm", RESET_S)
            flaps = await reconnects(world) - resets * CONNECTIONS
            world.figures["flaps"] = flaps
            assert flaps <= STORM_S / 60, f"{flaps} connections were given up without a reason"
            await world.judge(not_applicable=NO_LANE_SPARED)


def in_one_moment(load: list[Sent], at: float) -> list[Sent]:
    """The first orders can be decided only then, so that their events go out all at once."""
    for sent in load[:AT_ONCE]:
        sent.order = msgspec.structs.replace(sent.order, not_before=at)
    return load


class NotPublished(msgspec.Struct, frozen=True):
    """A try to publish an event that ended without its confirm."""

    id: str
    reason: str
    timestamp: datetime


async def require_confirm_deadline_kept(world: World) -> None:
    """Events that are too many for the pipe are given up at the deadline, no later, and are sent
    again while it is still thin."""

    async def are_out() -> bool:
        return await world.column("select count(*) from outbox") == [0]

    await until(are_out, "everything is sent through the thin pipe", RESET_S * SLACK)
    lines = world.service.log.read_text().splitlines()
    tries = [msgspec.json.decode(line, type=NotPublished) for line in lines if NOT_SENT in line]
    assert {t.reason for t in tries} == {"timeout"}
    failures = "layshaft_publish_failures_total"
    assert len(tries) == await sampled([world.service], failures, reason="timeout")
    decided = dict(await world.column("select (id, at) from message where direction = 'out'"))
    # The first ones were on their way at once; later ones may have waited for their turn.
    waited_s = min((t.timestamp - decided[t.id]).total_seconds() for t in tries)
    world.figures |= {"gave_up": len(tries), "waited_s": round(waited_s, 1)}
    assert CONFIRM_S <= waited_s < CONFIRM_S * SLACK


@pytest.mark.fault("F24", quick=False)
async def test_f24_a_thin_pipe_is_slow_and_keeps_every_deadline(
    run: Running, usual: Servers
) -> None:
    size = Size(rate=1, seconds=120, keys=100, judged_again=is_full())
    async with line_to(usual.amqp_url) as (line, url):
        servers = msgspec.structs.replace(usual, service_amqp_url=url)
        async with run(size=size, servers=servers, reconnect_max_s=RECONNECT_MAX_S) as world:
            await world.start()
            await world.warm_up()
            world.plan(lambda load: in_one_moment(load, time.time() + 1.5 * AT_ONCE))
            line.change(Weather(rate=BYTES_A_SECOND))
            world.injected(f"{BYTES_A_SECOND} bytes a second")
            async with world.load() as load:
                before = len(world.journal().applied)
                await load.passes(40)
                # Slowly, but it goes on: heartbeats keep the links, or they are replaced.
                await world.recovers("the pipe is thin", RESET_S)
            assert len(world.journal().applied) > before
            await require_confirm_deadline_kept(world)
            assert (await world.service.page("/livez"))[0] == 200
            assert await reconnects(world) <= CONNECTIONS
            # It ends within its deadline, whatever is still in the pipe.
            assert await world.service.terminate(EXIT_S) == 0
            line.change(CLEAR)
            ended_at = time.time()
            await world.start()
            await world.recovers("the pipe was thin", RESET_S, ended_at=ended_at)
            await world.judge(not_applicable=NO_LANE_SPARED)
