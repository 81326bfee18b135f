"""A process that works off replays and due rows of the toy business, to be killed: needs a URL."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from broker.failpoints import FailPoints
from broker.replay import Replayer
from tests.integration.toy import bench_on, repaired


async def work(url: str) -> None:
    """Works until it is killed."""
    async with bench_on(url, purpose="replay-process") as bench:
        orders = repaired()
        pipeline = bench.pipeline(orders=orders)
        replayer = Replayer(
            database=bench.database,
            recognise=lambda delivery: orders,
            dedupe_window=timedelta(days=30),
            metrics=bench.metrics,
            fail_points=FailPoints.parse(""),
            busy=lambda: False,
            committed=lambda: None,
        )
        print("works", flush=True)
        while True:
            queued = await replayer.turn()
            if not (await pipeline.take_pending(50) or queued):
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
