"""What tests of replays share: replays of toy orders, started, worked off and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from broker import replay_orders as orders_of
from broker.failpoints import FailPoints
from broker.pipeline import Pipeline
from broker.reading import Reader
from broker.replay import Replayer
from broker.store import Database
from broker.store import replays as rows
from broker.store.replays import Mode, ReplayRow
from broker.store.selections import Selection
from broker.unit import SqlStorage
from canonical.envelope import Lane
from canonical.errors import InvalidMessage
from canonical.handler import Delivery, Handler
from tests.integration.toy import DEADLINE_S, ORDERS, SOURCE, Bench, Order

WINDOW = timedelta(days=30)


def an_order(number: int, key: str = "order/1", **fields: Any) -> Order:
    return Order(id=f"m{number}", key=key, **fields)


def reader_of(database: Database, orders: Handler = ORDERS) -> Reader:
    """A reader of orders; nobody takes anything else."""

    def recognise(delivery: Delivery) -> Handler:
        if delivery.source != SOURCE:
            raise InvalidMessage("kind-unknown", "Nobody takes this")
        return orders

    return Reader(
        storage=SqlStorage(database),
        recognise=recognise,
        handler_named=lambda name: orders,
        read_s=60.0,
    )


def replayer(
    bench: Bench,
    *,
    orders: Handler = ORDERS,
    fail_points: str = "",
    backlogs: Sequence[Lane] = (),
    database: Database | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Replayer:
    """A replayer of orders, as a process with these backlogs has one."""
    return Replayer(
        database=database or bench.database,
        reader=reader_of(database or bench.database, orders),
        dedupe_window=WINDOW,
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
        backlogs=lambda: backlogs,
        committed=lambda: None,
        now=now,
    )


async def start(bench: Bench, mode: Mode, *, rate: float = 10_000, **selection: Any) -> int:
    """A replay is started; its number."""
    async with bench.database.transaction() as tx:
        return await orders_of.start(
            tx, mode=mode, selection=Selection(**selection), rate=rate, by="ann", reason="repaired"
        )


async def view(bench: Bench, replay_id: int) -> ReplayRow:
    async with bench.database.transaction() as tx:
        [row] = await rows.views(tx, limit=1, only=replay_id)
    return row


async def run(bench: Bench, replay_id: int, turns: Replayer, pipeline: Pipeline) -> ReplayRow:
    """The replay has ended, its rows taken as they became due."""
    async with asyncio.timeout(DEADLINE_S):
        while (row := await view(bench, replay_id)).state == "running":
            await turns.turn()
            await pipeline.take_pending(50)
    return row


async def emitted(bench: Bench) -> list[str]:
    """Keys of the events to publish, in order."""
    return await bench.column("select key from outbox order by id")
