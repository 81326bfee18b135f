"""A lock that goes while somebody finds out whom to blame for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random

import asyncpg
import pytest
from msgspec.structs import replace

from broker.decision import Verdict
from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from canonical.codec import encode
from canonical.handler import Delivery
from tests.simulation.business import PLM, RULES, Business, Notice
from tests.simulation.memory import MemoryStorage, Weather
from tests.simulation.tables import Tables
from tests.simulation.world import BEGAN_AT, METRICS


class Locked(Weather):
    """A database that takes no events until it was probed so often."""

    def __init__(self, probes: int) -> None:
        self._probes = probes

    async def before(self, statement: str) -> None:
        self._probes -= statement == "probe"

    def refuse(self, verdicts: Sequence[Verdict]) -> None:
        if self._probes > 0 and any(v.effects for v in verdicts):
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")


def pipeline_on(tables: Tables, weather: Weather) -> Pipeline:
    """A pipeline over these tables."""
    business = Business(BEGAN_AT, "curing", "strict")
    return Pipeline(
        lane="standard",
        storage=MemoryStorage(tables, now=lambda: BEGAN_AT, weather=weather),
        recognise=business.recognise,
        handler_named=business.handler_named,
        rules=RULES,
        policy=RetryPolicy(),
        metrics=METRICS,
        fail_points=FailPoints({}),
        committed=lambda: None,
        now=lambda: BEGAN_AT,
        jitter=Random(0).random,
    )


async def take(pipeline: Pipeline) -> None:
    """One message is taken, as often as the consumer has to try."""
    delivery = Delivery(
        source=PLM, kind=PLM, body=encode(Notice(1)), attributes={"id": "1", "subject": "change/1"}
    )
    arrival = Arrival(delivery, "standard", "queue", tag=1, channel=None)
    for _ in range(3):
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pipeline.take([arrival])
    await pipeline.take([arrival])


async def test_a_message_whose_lock_went_meanwhile_is_not_put_off() -> None:
    tables = Tables()
    await take(pipeline_on(tables, Locked(probes=1)))
    assert [row.outcome for row in tables.inbox.values()] == ["applied"]
    assert not tables.pending


async def test_a_message_that_meets_its_lock_again_is_put_off() -> None:
    tables = Tables()
    await take(pipeline_on(tables, Locked(probes=9)))
    (row,) = tables.pending.values()
    assert (row.state, row.attempts) == ("retry", 0)


async def test_a_row_that_may_have_killed_its_process_and_meets_a_lock_is_put_off() -> None:
    tables = Tables()
    await take(pipeline_on(tables, Locked(probes=9)))
    (row,) = tables.pending.values()
    long_ago = BEGAN_AT - timedelta(hours=1)
    tables.pending[row.id] = replace(
        row, due_at=BEGAN_AT, begun=1, begun_by="dead", begun_at=long_ago
    )
    pipeline = pipeline_on(tables, Locked(probes=9))
    for _ in range(3):
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pipeline.take_pending(10)
    assert await pipeline.take_pending(10) == 1
    (row,) = tables.pending.values()
    assert (row.state, row.attempts) == ("retry", 0)
    assert row.due_at > BEGAN_AT
