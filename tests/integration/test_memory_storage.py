"""The memory under the simulation does what PostgreSQL does.

Both run the same pipelines on the same messages, and every table of the one is compared with that
of the other after every step.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from msgspec.structs import replace

from broker.store import Database, Position
from canonical.envelope import Lane
from canonical.handler import Order
from tests.integration.machine import (
    KEYS,
    MIXES,
    Event,
    Rows,
    Run,
    Side,
    Sql,
    label_of,
    model_database,
    run_examples,
    said_in,
)
from tests.simulation.business import ERP, LANES, PLM, SUBSCRIBED
from tests.simulation.memory import MemoryStorage, Weather
from tests.simulation.tables import LogRow, Tables


class Memory:
    """The memory of the simulation."""

    def __init__(self) -> None:
        self._tables = Tables()
        self.storage = MemoryStorage(self._tables, now=lambda: datetime.now(UTC), weather=Weather())

    async def event(self, number: int) -> Event | None:
        """See Side."""
        for row in self._tables.events.values():
            if row.delivery.kind in SUBSCRIBED and said_in(row.delivery.body) == number:
                return Event(row.delivery, row.lane, row.position)
        return None

    async def settle(self, what: str, case: tuple[str, str]) -> str:
        """See Side."""
        [case_id] = [
            row.id
            for row in self._tables.cases.values()
            if row.state == "open" and (row.case.code, self._named(row.case.position)) == case
        ]
        async with self.storage.unit() as unit:
            act = unit.retry_case if what == "retry" else unit.discard_case
            return str(await act(case_id, "ann"))

    async def let_time_pass(self) -> None:
        """See Side."""
        for number, row in self._tables.pending.items():
            due_at = datetime.now(UTC) if row.state == "retry" else row.due_at
            begun_at = row.begun_at and row.begun_at - timedelta(minutes=1)
            self._tables.pending[number] = replace(row, due_at=due_at, begun_at=begun_at)

    def _named(self, position: Position | None) -> str:
        assert position is not None
        said = self._tables.log[position].delivery
        return label_of(said.kind, said.body)

    async def rows(self) -> Rows:
        """See Side."""
        t, now = self._tables, datetime.now(UTC)
        names = {identity: self._named(row.position) for identity, row in t.inbox.items()}

        def logged(row: LogRow) -> tuple[Any, ...]:
            return row.direction, self._named(row.position), row.key, row.sequence, row.lane

        return {
            "flow_order": {k: (r.done, r.before, r.newest) for k, r in t.order.items()},
            "inbox": {
                (identity[0], self._named(r.position)): (r.outcome, r.digest)
                for identity, r in t.inbox.items()
            },
            "message": [logged(r) for r in sorted(t.log.values(), key=lambda r: r.position.seq)],
            "hold": set(t.holds),
            "pending": [
                (
                    *(self._named(r.position), r.subscription, r.scope, r.key, r.lane, r.state),
                    *(r.due_at <= now, r.attempts, r.reason, r.version, r.passes),
                    *(r.failing_since is None, r.begun, r.begun_by),
                )
                for r in sorted(t.pending.values(), key=lambda r: r.id)
            ],
            "document": {
                k: (d.known.version, d.version, d.stated, d.digest) for k, d in t.documents.items()
            },
            "object_sequence": dict(t.numbers),
            "outbox": [
                (r.key, r.exchange, r.routing_key, self._named(r.position))
                for _, r in sorted(t.outbox.items())
            ],
            "exception_case": Counter(
                (
                    *(r.case.code, self._named(r.case.position), r.case.key),
                    *(r.state, r.seen, r.closed_by == ""),
                )
                for r in t.cases.values()
            ),
            "audit": Counter((n.action, n.detail.get("version")) for n in t.audit.values()),
            "duplicate": Counter((i[0], names[i]) for i in t.duplicates.values()),
            "delivery_attempt": Counter(t.attempts.values()),
        }


class SameRun(Run):
    """Both are asked the same, too."""

    @rule(lane=st.sampled_from(LANES), keys=st.lists(KEYS, max_size=3))
    def look(self, lane: Lane, keys: Iterable[int]) -> None:
        """What is asked of a unit, it answers alike; nothing stays of it."""
        order_keys = [
            ("flow", "object/1"),
            *((s, f"{PLM}/{k}") for k in keys for s in ("changes",)),
        ]
        order_keys += [("stock", f"{ERP}/{key}") for key in keys]

        async def ask(side: Side) -> object:
            async with side.storage.unit() as unit:
                claimed = await unit.claim_pending(lane=lane, limit=50)
                held = await unit.held_keys(order_keys)
                newest = await unit.newest_versions(order_keys)
                return (
                    [
                        (
                            label_of(c.delivery.kind, c.delivery.body),
                            c.attempts,
                            c.passed,
                            c.scope,
                            c.key,
                        )
                        for c in claimed
                    ],
                    held,
                    newest,
                    await unit.begin_attempt(b"looked", worker="looker", suspect=True),
                )

        self._run(self._on_all(*(ask(side) for side in self._sides)))


@pytest.mark.timeout(900)
def test_the_memory_of_the_simulation_is_postgresql_as_far_as_messages_go(
    database_url: str,
) -> None:
    with model_database(database_url) as (runner, database):
        for stock, flow in MIXES:
            _compare(runner, database, stock, flow)


def _compare(runner: asyncio.Runner, database: Database, stock: Order, flow: Order) -> None:
    class Machine(SameRun):
        def __init__(self) -> None:
            sql = Sql(database)
            runner.run(sql.empty())
            super().__init__(runner, (sql, Memory()), stock, flow)

    run_examples(Machine)
