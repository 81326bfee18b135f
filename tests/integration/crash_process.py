"""A process that works on the toy business until it is killed at a fail point: needs a URL, what to
do, and the fail points."""

from __future__ import annotations

import asyncio
import os
import sys

from broker.channels.auth import OAuth2ClientCredentials
from broker.channels.http import HttpChannel
from broker.failpoints import FailPoints
from broker.settings import Deadlines
from tests.integration.test_consumer import consuming
from tests.integration.test_partitions import dealer
from tests.integration.toy import DEADLINE_S, Bench, Order, arrival, bench_on, repaired

CAME_BACK = Order(id="m1", key="order/1", emits=("S1",))
# A lease that is over as soon as its owner is gone, and may be sent on all the same.
AMQP_URL = "LAYSHAFT_TEST_AMQP_URL"
TARGET_URL = "LAYSHAFT_TEST_TARGET_URL"
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


async def call_with_token(bench: Bench, fail_points: str) -> None:
    """The calls that are due are made, at a target that wants a token."""
    async with tokens_at(os.environ[TARGET_URL], fail_points) as target:
        dispatcher = bench.dispatcher(deadlines=SHORT, perform=target.perform)
        await dispatcher.turn()
        await dispatcher.drain(DEADLINE_S)


def tokens_at(url: str, fail_points: str = "") -> HttpChannel:
    """A target that takes calls with a token of its own."""
    auth = OAuth2ClientCredentials(
        token_url=f"{url}/token", client_id="layshaft", client_secret=lambda: "secret"
    )
    points = FailPoints.parse(fail_points)
    return HttpChannel(base_url=url, auth=auth, fail_point=points)


async def consume(bench: Bench, fail_points: str) -> None:
    """Orders are taken from their queue."""
    async with consuming(bench, os.environ[AMQP_URL], fail_points=fail_points):
        await asyncio.sleep(DEADLINE_S)


async def deal(bench: Bench, fail_points: str) -> None:
    """Partitions are taken, then renewed."""
    replica = dealer(bench, fail_points=fail_points)
    for _ in range(2):
        await replica.turn()


WORKS = {w.__name__: w for w in (take_back, take_rows, call, call_with_token, consume, deal)}


async def main(url: str, work: str, fail_points: str) -> None:
    async with bench_on(url, purpose="crash-process") as bench:
        await WORKS[work](bench, fail_points)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
