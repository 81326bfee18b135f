"""SQL for the service's own upkeep: safe settings, and gauges read from tables."""

from __future__ import annotations

from broker.metrics import Metrics
from broker.store.connection import Database, Tx
from broker.store.diagnosis import stuck_rows
from broker.store.holds import KINDS, Hold, open_holds


async def unsafe_settings(session: Tx) -> list[str]:
    """Server settings under which a reported commit can be lost; empty for a safe server."""
    rows = await session.fetch(
        """
        select name from pg_settings
        where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting = 'off'
        """
    )
    return [r["name"] for r in rows]


async def probe(tx: Tx) -> None:
    """Every table a message can touch takes a row now; nothing of it stays.

    Raises what PostgreSQL raises where one of them is locked, full or away.
    """
    attempt = tx.transaction()
    await attempt.start()
    try:
        await tx.execute(
            """
            insert into flow_order (scope, key) values ('probe', 'probe');
            insert into inbox (subscription, source, id, digest, message_at, message_seq)
                values ('probe', 'probe', 'probe', '', now(), 0);
            insert into message (direction, source, id, type, key, correlation_id, causation_id,
                                 lane, kind, content_type, message_id, attributes, body)
                values ('in', 'probe', 'probe', '', '', '', '', 'standard', '', '', '', '{}', '');
            insert into duplicate (subscription, source, id) values ('probe', 'probe', 'probe');
            insert into hold (scope, key) values ('probe', 'probe');
            insert into pending (subscription, scope, key, lane, message_at, message_seq, state)
                values ('probe', 'probe', 'probe', 'standard', now(), 0, 'parked');
            insert into document (key, row_version, version, stated, digest, body, source,
                                  message_at, message_seq)
                values ('probe', 1, 0, 0, '', '', 'probe', now(), 0);
            insert into document_version
                select key, row_version, version, stated, digest, body, source, message_at,
                       message_seq
                from document where key = 'probe';
            insert into object_sequence (key, last) values ('probe', 1);
            insert into outbox (key, exchange, routing_key, message_at, message_seq)
                values ('probe', '', '', now(), 0);
            insert into ledger (key, title, version, subscription, scope, lane, source,
                                correlation_id, message_at, message_seq)
                values ('probe', '', 0, '', '', 'standard', '', '', now(), 0);
            lock table target, step, step_event, attempt in row exclusive mode;
            insert into exception_case (code, word, what, place, remedy, owner)
                values ('probe', '', '', 'probe', '', '');
            insert into audit (actor, action, subject, detail) values ('probe', '', '', '{}')
            """
        )
    finally:
        await attempt.rollback()


async def refresh(database: Database, metrics: Metrics) -> tuple[Hold, ...]:
    """The gauges show what the tables say now; the holds in force, for readiness."""
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
            select system, convert_from(operation, 'UTF8')::jsonb ->> 'question' as question,
                   count(*) as open, count(*) filter (where due_at < now()) as overdue
            from step where kind = 'approval' and state = 'ready'
            group by 1, 2
            """
        )
        stuck = await stuck_rows(session)
        unfinished = await session.fetch("select state, count(*) from pending group by state")
        holds = await open_holds(session)
    metrics.stuck_keys.set(stuck)
    for kind in KINDS:
        metrics.outbound_holds.labels(kind).set(sum(hold.kind == kind for hold in holds))
    assert outbox is not None
    metrics.outbox_pending.set(outbox["pending"])
    metrics.outbox_oldest.set(outbox["oldest_s"])
    for gauge, rows in (
        (metrics.cases_open, cases),
        (metrics.unfinished, unfinished),
        (metrics.steps, steps),
    ):
        gauge.clear()
        for word, number in rows:
            gauge.labels(word).set(number)
    for gauge, which in (
        (metrics.approvals_open, "open"),
        (metrics.approvals_overdue, "overdue"),
    ):
        gauge.clear()
        for row in approvals:
            gauge.labels(row["system"], row["question"]).set(row[which])
    return holds
