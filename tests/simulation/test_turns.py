"""What takes long on one thing leaves the event loop to everything else."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from datetime import datetime
from random import Random
from typing import Any

import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from canonical.codec import encode
from canonical.effects import Effect
from canonical.envelope import Message
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from canonical.package import MAX_INLINE_BYTES
from tests.simulation.business import PLM, RULES, Business, Notice
from tests.simulation.memory import MemoryStorage, Weather
from tests.simulation.tables import Tables
from tests.simulation.world import BEGAN_AT, METRICS


class Told:
    """The handler of the simulation, which tells what goes on while it works."""

    def __init__(self) -> None:
        self.turns = 0
        self.decided_in: list[int] = []
        self.read_by: list[int] = []
        self._usual = Business(BEGAN_AT, "curing", "strict").recognise(_delivery(1))

    def handler(self, _: object = None) -> Handler:
        """The handler of everything."""
        usual = self._usual

        def read(delivery: Delivery) -> Message[Any]:
            self.read_by.append(threading.get_ident())
            return usual.read(delivery)

        def decide(message: Message[Any], facts: Facts, now: datetime) -> tuple[Effect, ...]:
            self.decided_in.append(self.turns)
            return usual.decide(message, facts, now)

        return dataclasses.replace(usual, read=read, decide=decide)

    async def count(self) -> None:
        """Everything else that has its turn."""
        while True:
            self.turns += 1
            await asyncio.sleep(0)


def pipeline_of(told: Told) -> Pipeline:
    """A pipeline whose database never waits."""
    return Pipeline(
        lane="standard",
        storage=MemoryStorage(Tables(), now=lambda: BEGAN_AT, weather=Weather()),
        recognise=told.handler,
        handler_named=told.handler,
        rules=RULES,
        policy=RetryPolicy(),
        metrics=METRICS,
        fail_points=FailPoints({}),
        committed=lambda: None,
        now=lambda: BEGAN_AT,
        jitter=Random(0).random,
    )


def _delivery(number: int, more: int = 0) -> Delivery:
    attributes = {"id": str(number), "subject": f"change/{number}"}
    body = encode(Notice(number)) + b" " * more
    return Delivery(source=PLM, kind=PLM, body=body, attributes=attributes)


def _arrival(number: int, more: int = 0) -> Arrival:
    return Arrival(_delivery(number, more), "standard", "queue", tag=number, channel=None)


async def test_a_batch_is_decided_in_turns_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.pipeline.TURN_S", 0.0)
    told = Told()
    counting = asyncio.create_task(told.count())
    await pipeline_of(told).take([_arrival(number) for number in range(1, 21)])
    counting.cancel()
    assert len(told.decided_in) == len(set(told.decided_in)) == 20


@pytest.mark.parametrize(("more", "is_aside"), [(0, False), (MAX_INLINE_BYTES, True)])
async def test_a_large_content_is_read_beside_the_event_loop(more: int, is_aside: bool) -> None:
    told = Told()
    await pipeline_of(told).take([_arrival(1, more)])
    (reader,) = told.read_by
    assert (reader != threading.get_ident()) is is_aside
