"""SQL for the gauges that are read from tables: what waits, for whom, how long."""

from __future__ import annotations

from broker.metrics import Metrics
from broker.store.connection import Database


async def refresh(database: Database, metrics: Metrics) -> bool:
    """The gauges show what the tables say now; never more to do at once."""
    async with database.session() as session:
        outbox = await session.fetchrow(
            """
            select count(*) as pending,
                   coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest_s
            from outbox
            """
        )
        cases = await session.fetch(
            "select word, count(*) from exception_case where state = 'open' group by word"
        )
        steps = await session.fetch(
            """
            select s.state, count(*) from step s join ledger l on l.id = s.ledger_id
            where l.state = 'open' group by s.state
            """
        )
        approvals = await session.fetch(
            """
            select system, count(*) from step where kind = 'approval' and state = 'ready'
            group by system
            """
        )
    assert outbox is not None
    metrics.outbox_pending.set(outbox["pending"])
    metrics.outbox_oldest.set(outbox["oldest_s"])
    for gauge, rows in (
        (metrics.cases_open, cases),
        (metrics.steps, steps),
        (metrics.approvals_open, approvals),
    ):
        gauge.clear()
        for word, number in rows:
            gauge.labels(word).set(number)
    return False
