"""A process that works on the toy business until it is killed at a fail point: needs a URL, what to
do, and the fail points."""

from __future__ import annotations

import asyncio
import sys

from broker.settings import Deadlines
from tests.integration.toy import DEADLINE_S, Bench, Order, arrival, bench_on, repaired

CAME_BACK = Order(id="m1", key="order/1", emits=("S1",))
# A lease that is over as soon as its owner is gone, and may be sent on all the same.
SHORT = Deadlines(lease_s=0.01, http_total_s=-60)


async def take_back(bench: Bench, fail_points: str) -> None:
    """A delivery that came back is taken."""
    await bench.pipeline(fail_points=fail_points).take([arrival(CAME_BACK, redelivered=True)])


async def take_rows(bench: Bench, fail_points: str) -> None:
    """The rows that are due are taken; what they failed for is mended."""
    await bench.pipeline(orders=repaired(), fail_points=fail_points).take_pending(10)


async def call(bench: Bench, fail_points: str) -> None:
    """The calls that are due are made, at a target of this process."""
    dispatcher = bench.dispatcher(deadlines=SHORT, fail_points=fail_points)
    await dispatcher.turn()
    await dispatcher.drain(DEADLINE_S)


WORKS = {work.__name__: work for work in (take_back, take_rows, call)}


async def main(url: str, work: str, fail_points: str) -> None:
    async with bench_on(url, purpose="crash-process") as bench:
        await WORKS[work](bench, fail_points)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
