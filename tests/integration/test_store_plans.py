"""Hot statements, prepared on a young table, stay quick when it has grown.

Each statement runs ten times on empty tables, so that its connection may keep a generic plan for
it; then the tables are filled, and the plan kept is read: none of the big tables may be read as a
whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from broker.ledger import Due, Move, Retime
from broker.principals import Principal
from broker.store import (
    Database,
    Position,
    Tx,
    calls,
    casebook,
    connectors,
    documents,
    escalations,
    expiry,
    history,
    ledgers,
    log_days,
    messages,
    news,
    paces,
    progress,
    replays,
    selections,
    task_list,
    views,
    whereabouts,
)
from broker.store import order as order_rows
from broker.store import outbox as outbox_rows
from broker.store import pending as pending_rows
from broker.store import steps as step_rows
from broker.store.order import Claim, Gap
from canonical.envelope import Envelope, Lane
from canonical.handler import Delivery

ROWS = 20_000
BATCH = 200
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=31)
MIA = Principal("Mia", ("quality", "purchasing"), ("1010", "2010"))

# One row is due from the start, or what takes due rows would not be prepared on young tables.
FIRST = """
insert into message (at, seq, direction, source, id, type, key, correlation_id, causation_id, lane,
                     kind, content_type, message_id, attributes, body)
values (now(), 0, 'in', 's', 'm0', 't', 'order/0', 'c0', '', 'standard', '', '', '', '{}', '');
insert into hold (scope, key) values ('toy', 'order/0');
insert into pending (subscription, scope, key, lane, message_at, message_seq, state)
select 'toy', 'toy', key, 'standard', at, seq, 'ready' from message;
"""

# Rows as a busy week leaves them: nearly all is done, some is due.
FILL = """
delete from pending;
delete from hold;
delete from message;
insert into message (at, seq, direction, source, id, type, key, correlation_id, causation_id, lane,
                     kind, content_type, message_id, attributes, body, sequence)
select now(), n, case when n % 2 = 0 then 'in' else 'out' end, 's', 'm' || n, 't',
       'order/' || n, 'c' || n, '', 'standard', '', '', '', '{}', '', n
from generate_series(1, $1::int) n;
insert into inbox (subscription, source, id, digest, message_at, message_seq)
select 'toy', 's', id, '', at, seq from message;
update inbox set received_at = now() - interval '40 days' where message_seq % 20 = 0;
insert into duplicate (subscription, source, id, at)
select 'toy', 's', 'm' || n, now() - case when n % 20 = 0 then interval '40 days' else '0' end
from generate_series(1, $1::int) n;
insert into hold (scope, key) select 'toy', key from message;
insert into flow_order (scope, key, done) select 'toy', key, 1 from message;
insert into pending (subscription, scope, key, lane, message_at, message_seq, state, due_at,
                     version, passes)
select 'toy', 'toy', key, 'standard', at, seq,
       case when seq % 100 = 0 then 'retry' when seq % 100 = 1 then 'parked' else 'in_case' end,
       now(), seq, case when seq % 100 = 1 then 'cases' else '' end from message;
insert into outbox (key, exchange, routing_key, message_at, message_seq)
select key, 'e', 'r', at, seq from message;
insert into object_sequence (key, last) select key, 1 from message;
insert into document (key, row_version, version, stated, digest, body, source, message_at,
                      message_seq)
select 'supplier/' || n, 2, 1, 0, '',
       '{"number":"S","name":"N","active":true,"qualification":{"status":"qualified"}}',
       's', now(), n from generate_series(1, $1::int) n;
insert into document_version (key, row_version, version, stated, digest, body, source, message_at,
                              message_seq)
select key, row_version, version, stated, digest, body, source, message_at, message_seq
from document;
insert into ledger (key, title, version, subscription, scope, lane, source, correlation_id,
                    message_at, message_seq)
select 'order/' || n, '', 1, 'toy', 'toy', 'standard', 's', '', now(), n
from generate_series(1, $1::int / 10) n;
insert into watch (ledger_id, fact, seen)
select (n - 1) % ($1::int / 10) + 1, 'supplier/' || n, 1 from generate_series(1, $1::int) n;
insert into target (system, object_kind, object_id, plant)
select 'erp', 'supplier', 'T' || n, '' from generate_series(1, $1::int) n;
insert into step (ledger_id, identity, generation, kind, plant, system, object_kind, object_id,
                  verb, operation, digest, idempotency_key, depends_on, fact, seen, state,
                  target_id, lane, owner, due_at, wake_at)
select (n - 1) % ($1::int / 10) + 1, 'i' || n, 1,
       case n % 50 when 1 then 'wait' when 3 then 'approval' else 'call' end, '', 'erp', 'supplier',
       'T' || n, 'read-supplier',
       case n % 50 when 3 then '{"type":"approve","question":"q","text":"t","evidence":[]}'::bytea
                   else '{"type":"read-supplier","supplier":"S"}' end, '', '', '{}',
       case when n % 50 = 1 then 'supplier/' || n end, case when n % 50 = 1 then 2 end,
       case when n % 50 = 1 then 'waiting' when n % 100 = 0 then 'ready'
            when n % 1000 in (3, 103) then 'ready' when n % 1000 = 2 then 'in_flight'
            else 'done' end,
       case when n % 50 in (1, 3) then null else n end, 'standard', '', now(),
       case when n % 40 = 0 then now() + case when n % 1000 = 0 then interval '-1 day'
                                              else interval '100 days' end end
from generate_series(1, $1::int) n;
update target t set lease_until = now() from step s
where s.target_id = t.id and s.state = 'in_flight';
insert into step_event (step_id, at, state)
select s.id, now() + make_interval(secs => n), case n when 1 then 'waiting' when 2 then 'ready'
       else s.state end from step s cross join generate_series(1, 3) n;
insert into exception_case (code, word, what, place, remedy, owner, message_at, message_seq, origin,
                            state, closed_at, closed_by)
select 'c', 'business_rule', '', 'order/' || seq, '', '', at, seq, 'plan',
       case when seq % 100 = 0 then 'open' else 'resolved' end, now(), 'somebody' from message;
insert into message_default (at, seq, direction, source, id, type, key, correlation_id,
                             causation_id, lane, kind, content_type, message_id, attributes, body)
select at - interval '100 days', seq, direction, source, id, type, key, correlation_id,
       causation_id, lane, kind, content_type, message_id, attributes, body
from message where seq % 10 = 0;
"""

KEYS = [f"order/{n}" for n in range(5, 5 + BATCH)]
IDENTITIES = [("toy", "s", f"m{n}") for n in range(5, 5 + BATCH)]
Statement = Callable[[Tx], Awaitable[object]]


def entries(prefix: str) -> list[messages.LogEntry]:
    return [
        messages.LogEntry(
            subscription="toy",
            envelope=Envelope(id=f"{prefix}{n}", source="s", type="t", key=key),
            digest=b"",
            delivery=Delivery(source="s", kind="k", body=b""),
        )
        for n, key in enumerate(KEYS, start=5)
    ]


def emissions() -> list[outbox_rows.Emission]:
    return [
        outbox_rows.Emission(f"e{n}", "e", "t", key, "standard", "x", "c", "", b"")
        for n, key in enumerate(KEYS)
    ]


def new_pending() -> list[pending_rows.NewPending]:
    return [
        pending_rows.NewPending("toy", "toy", key, "standard", Position(NOW, 1), "ready", NOW)
        for key in KEYS
    ]


def pending_works() -> list[pending_rows.PendingWork]:
    delivery = Delivery(source="s", kind="k", body=b"")
    return [
        pending_rows.PendingWork(
            n, "toy", "toy", key, "standard", 0, Position(NOW, n), delivery, "", f"m{n}"
        )
        for n, key in enumerate(KEYS, start=5)
    ]


def tasks(wanted: task_list.Wanted) -> Statement:
    return lambda tx: task_list.chosen(tx, wanted, limit=50, newest_first=wanted.state != "open")


async def move_fifty(tx: Tx) -> None:
    steps = [s for its in (await step_rows.load_steps(tx, range(1, 6))).values() for s in its]
    moves = [Move(s, s.state) for s in steps[:50]]
    await step_rows.move_steps(tx, moves)


async def retime_fifty(tx: Tx) -> None:
    steps = [s for its in (await step_rows.load_steps(tx, range(1, 6))).values() for s in its]
    await step_rows.retime_steps(tx, [Retime(s, NOW, Due(NOW, NOW, 0)) for s in steps[:50]])


async def claim_and_record(tx: Tx) -> None:
    claimed = await calls.claim_calls(tx, lane="standard", systems=["erp"], limit=8, lease_s=90)
    results = [calls.CallResult(c, "done", NOW, NOW, NOW, (), "applied", "") for c in claimed]
    await calls.record_results(tx, results)
    await ledgers.lock_ledgers(tx, {c.ledger_id for c in claimed})
    await ledgers.lock_free_ledgers(tx, {c.ledger_id for c in claimed})
    await step_rows.operations_of(tx, [c.id for c in claimed])


HOT: dict[str, Statement] = {
    "admit": lambda tx: messages.admit(tx, entries("new")),
    "admit known": lambda tx: messages.admit(tx, entries("m")),
    "record_duplicates": lambda tx: messages.record_duplicates(tx, entries("m")),
    "set_outcomes": lambda tx: messages.set_outcomes(tx, dict.fromkeys(IDENTITIES, "stale")),
    "lock_order": lambda tx: order_rows.lock_order(
        tx, {("toy", key): Claim(sequence=7, newest=3) for key in KEYS}
    ),
    "newest_versions": lambda tx: order_rows.newest_versions(tx, [("toy", key) for key in KEYS]),
    "missed_events": lambda tx: order_rows.missed_events(
        tx, [Gap(("toy", key), 2, 5) for key in KEYS], since=NOW - timedelta(days=30)
    ),
    "supersede_passed": lambda tx: pending_rows.supersede_passed(
        tx, pending_works()[0], by="a test"
    ),
    "held_keys": lambda tx: pending_rows.held_keys(tx, [("toy", key) for key in KEYS]),
    "reading_keys": lambda tx: pending_rows.reading_keys(tx, [("toy", key) for key in KEYS]),
    "begin_reading": lambda tx: pending_rows.begin_reading(
        tx, pending_works()[0], msgspec.structs.replace(new_pending()[0], merge_key="read/x")
    ),
    "take_places": lambda tx: pending_rows.take_places(
        tx, [msgspec.structs.replace(row, merge_key=f"read/{row.key}") for row in new_pending()]
    ),
    "open_ones": lambda tx: ledgers.open_ones(tx, range(1, 8)),
    "add_pending": lambda tx: pending_rows.add_pending(tx, new_pending()),
    "begin_pending": lambda tx: pending_rows.begin_pending(
        tx, lane="standard", limit=50, worker="w"
    ),
    "begin_suspect": lambda tx: pending_rows.begin_suspect(tx, 7, worker="w"),
    "claim_pending": lambda tx: pending_rows.claim_pending(tx, lane="standard", limit=50),
    "finish_pending": lambda tx: pending_rows.finish_pending(tx, pending_works()),
    "postpone_pending": lambda tx: pending_rows.postpone_pending(
        tx, pending_works()[0], new_pending()[0]
    ),
    "emit": lambda tx: outbox_rows.emit(tx, emissions()),
    "due_rows": outbox_rows.due_rows,
    "clear_rows": lambda tx: outbox_rows.clear_rows(tx, range(5, 5 + BATCH)),
    "clear_swept": lambda tx: outbox_rows.clear_swept(tx, range(5, 5 + BATCH)),
    "release_rows": lambda tx: outbox_rows.release_rows(tx, range(5, 5 + BATCH)),
    "refuse_rows": lambda tx: outbox_rows.refuse_rows(
        tx, [outbox_rows.Refusal(n, "nacked", 0.5) for n in range(5, 5 + BATCH)]
    ),
    "refused_events": lambda tx: outbox_rows.refused_events(tx, for_s=5),
    "load documents": lambda tx: documents.load(tx, [f"supplier/{n}" for n in range(BATCH)]),
    "hold_seen": lambda tx: documents.hold_seen(tx, {f"supplier/{n}": 1 for n in range(BATCH)}),
    "load_steps": lambda tx: step_rows.load_steps(tx, range(1, 8)),
    "move_steps": move_fifty,
    "retime_steps": retime_fifty,
    "claim and record": claim_and_record,
    "lapse_calls": lambda tx: calls.lapse_calls(tx, settle_s=0),
    "newly_known": lambda tx: ledgers.newly_known(tx, ["supplier/51", "supplier/101"], NOW),
    "expire_inbox": lambda tx: expiry.expire_inbox(tx, before=OLD, after=None, limit=1000),
    "expire_duplicates": lambda tx: expiry.expire_duplicates(tx, before=OLD, limit=1000),
    "weigh_unfinished": lambda tx: log_days.weigh_unfinished(tx, OLD.date()),
    "forget_finished": lambda tx: log_days.forget_finished(tx, first_day=OLD.date(), limit=1000),
    "open_cases": lambda tx: casebook.open_cases(
        tx,
        [casebook.Case("c", "business_rule", "", key, "", "", origin="plan") for key in KEYS],
    ),
    "untold_cases": lambda tx: news.untold_cases(tx, limit=BATCH),
    "whereabouts": lambda tx: whereabouts.whereabouts(
        tx,
        whereabouts.Sought(
            position=Position(NOW, 6),
            ids=("m6", "m8"),
            correlation_ids=("c6", "c8"),
            subscriptions=("toy", "unread"),
            events=("e", "f"),
        ),
    ),
    "open cases": lambda tx: whereabouts.open_ones(tx, [("c", key) for key in KEYS]),
    "sweep for facts": lambda tx: ledgers.newly_known(tx, None, NOW),
    "backlogs": lambda tx: connectors.backlogs(tx, ["erp"], ["read-supplier", "put-item"]),
}


# What a replay does per slice, and what replayed rows do beyond others.
OF_REPLAYS: dict[str, Statement] = {
    "take_turn": replays.take_turn,
    "load": lambda tx: replays.load(tx, 1, bound=50),
    "next_slice": lambda tx: selections.next_slice(
        tx,
        selections.Selection(types=("t",)),
        after=Position(NOW - timedelta(days=1), 0),
        end=Position(NOW + timedelta(days=1), 0),
        limit=100,
    ),
    "extent": lambda tx: selections.extent(tx, selections.Selection(types=("t",))),
    "extent of keys": lambda tx: selections.extent(tx, selections.Selection(keys=("order/7",))),
    "standing": lambda tx: replays.standing(tx, IDENTITIES, [("toy", key) for key in KEYS]),
    "mark": lambda tx: replays.mark(
        tx,
        1,
        [replays.Queued("toy", "toy", k, Position(NOW, n)) for n, k in enumerate(KEYS, start=5)],
        dict.fromkeys(IDENTITIES, True),
    ),
    "remove_unbegun": lambda tx: replays.remove_unbegun(tx, 1),
    "said": lambda tx: history.said(tx, [(f"c{n}", f"m{n}") for n in range(BATCH)]),
    "outcome": lambda tx: history.outcome(tx, IDENTITIES[0]),
    "documents_before": lambda tx: history.documents_before(
        tx, [f"supplier/{n}" for n in range(BATCH)], Position(NOW, 1)
    ),
}
HOT |= OF_REPLAYS

# What is looked at every few seconds, or for a page. Apart: a connection keeps a hundred plans.
LOOKS: dict[str, Statement] = {
    "waiting for somebody": lambda tx: escalations.waiting(tx, limit=500),
    "stopped by people": escalations.standstills,
    "of these": lambda tx: escalations.waiting(tx, limit=50, ids=range(1, 51)),
    "close_mended": escalations.close_mended,
    **{f"tasks {state}": tasks(task_list.Wanted(state=state)) for state in task_list.STATES},
    "tasks of somebody": tasks(
        task_list.Wanted(
            role="erp", plant="1010", text="t", due_within_s=0.0, mine=MIA, scope=MIA.plants
        )
    ),
    "tasks of a change": tasks(task_list.Wanted(change="order/3", line={"item": "I"})),
    "choices of tasks": lambda tx: task_list.choices(tx, scope=MIA.plants),
    "what is asked": lambda tx: views.tasks_of(tx, range(3, 2_000, 50)),
    "approvals": lambda tx: step_rows.approvals(tx, range(3, 2_000, 50)),
    "progress": lambda tx: progress.progress(tx, "order/7"),
    "paces": lambda tx: paces.paces(tx, [("read-supplier", "erp"), ("put-item", "erp")]),
}


class Recorder:
    """A connection that remembers what was sent through it."""

    def __init__(self, connection: Tx) -> None:
        self.connection = connection
        self.sent: dict[str, tuple[Any, ...]] = {}
        connection.add_query_logger(self._note)

    def _note(self, query: Any) -> None:
        if query.query not in ("ROLLBACK;", "BEGIN;"):
            self.sent[query.query] = query.args

    async def run(self, statement: Statement) -> None:
        """The statement ran and left nothing."""
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await statement(self.connection)
        finally:
            await transaction.rollback()

    async def whole_tables_read(self) -> dict[str, list[str]]:
        """Big tables that a kept plan reads as a whole, by statement."""
        found: dict[str, list[str]] = {}
        self.connection.remove_query_logger(self._note)
        for text, arguments in self.sent.items():
            plan = await self._kept_plan(text, arguments)
            tables = [t for t in sorted(set(_scanned(plan))) if await self._is_big(t)]
            if tables:
                # What differs between statements made of the same text may stand further on.
                found[" ".join(text.split())[:200]] = tables
        return found

    async def _is_big(self, table: str) -> bool:
        """Empty partitions and tables of settings may be read as a whole."""
        return bool(await self.connection.fetchval(f"select count(*) > 1000 from {table}"))

    async def most_rows_read(self) -> float:
        """The most rows that one part of a kept plan reads, over all statements; they are run."""
        self.connection.remove_query_logger(self._note)
        most = 0.0
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            for text, arguments in self.sent.items():
                plan = await self._kept_plan(text, arguments, "analyze, format json")
                most = max(most, *_rows_read(plan))
        finally:
            await transaction.rollback()
        return most

    async def _kept_plan(
        self, text: str, arguments: tuple[Any, ...], options: str = "format json"
    ) -> dict[str, Any]:
        """What the session would do now with the statement it prepared long ago."""
        row = await self.connection.fetchrow(
            "select name, parameter_types::text[] as types from pg_prepared_statements"
            " where statement = $1",
            text,
        )
        assert row is not None, f"not prepared any more: {text}"
        literals = [
            await self.connection.fetchval(
                f"select quote_nullable($1::{kind}::text) || '::{kind}'", argument
            )
            for kind, argument in zip(row["types"], arguments, strict=True)
        ]
        given = f"({', '.join(literals)})" if literals else ""
        explained = await self.connection.fetchval(
            "select pg_temp.explained($1, $2)", options, f'execute "{row["name"]}"{given}'
        )
        [tree] = msgspec.json.decode(explained, type=list[dict[str, Any]])
        return cast("dict[str, Any]", tree["Plan"])


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scanned(child)


def _rows_read(node: dict[str, Any]) -> Iterator[float]:
    yield node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    for child in node.get("Plans", ()):
        yield from _rows_read(child)


@pytest.fixture
def database_url(fresh_database_url: str) -> str:
    """Nothing is known yet of the values in its tables."""
    return fresh_database_url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Tx]:
    """One connection of a pool of ours to a fresh database."""
    database = Database(url=database_url, purpose="test", size=1, acquire_s=3, statement_s=5)
    await database.open()
    async with database.session() as session:
        # One statement for all looks at a plan: a text of its own for each would push what is to
        # be looked at out of the client's cache of a hundred.
        await session.execute(
            """
            create function pg_temp.explained(options text, what text) returns json
            language plpgsql as $$
            declare plan json;
            begin
                execute format('explain (%s) ', options) || what into plan;
                return plan;
            end $$
            """
        )
        # The server tidies up when it likes: between the vacuuming and the analysing of a table it
        # knows how many rows there are and nothing about them, and plans like nobody afterwards.
        await session.execute(
            """
            do $$
            declare big record;
            begin
                for big in select oid::regclass as name from pg_class
                           where relkind = 'r' and relnamespace = 'public'::regnamespace
                loop
                    execute format('alter table %s set (autovacuum_enabled = off)', big.name);
                end loop;
            end $$
            """
        )
        yield session
    await database.close()


async def fill(database_url: str, *, analysed: bool) -> None:
    """The tables have grown, through another connection."""
    other = await asyncpg.connect(database_url)
    for statement in filter(str.strip, FILL.split(";\n")):
        await other.execute(statement.replace("$1::int", str(ROWS)))
    if analysed:
        await other.execute("analyze")
    await other.close()


@pytest.mark.parametrize("statements", [HOT, LOOKS], ids=["hot", "looks"])
@pytest.mark.parametrize("analysed", [False, True], ids=["young statistics", "analysed"])
async def test_no_hot_statement_reads_a_big_table_as_a_whole(
    connection: Tx, database_url: str, analysed: bool, statements: dict[str, Statement]
) -> None:
    await connection.execute(FIRST)
    recorder = Recorder(connection)
    for statement in statements.values():
        for _ in range(10):
            await recorder.run(statement)
    await fill(database_url, analysed=analysed)
    for statement in statements.values():
        await recorder.run(statement)
    found = await recorder.whole_tables_read()
    assert found == {}, found


@pytest.mark.parametrize("analysed", [False, True], ids=["young statistics", "analysed"])
@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_a_claim_reads_no_more_of_its_lane_than_it_takes(
    connection: Tx, database_url: str, lane: Lane, analysed: bool
) -> None:
    recorder = Recorder(connection)
    claimed: list[calls.ClaimedStep] = []

    async def claim(tx: Tx) -> None:
        claimed[:] = await calls.claim_calls(tx, lane=lane, systems=["erp"], limit=8, lease_s=90)

    for _ in range(10):
        await recorder.run(claim)
    await fill(database_url, analysed=False)
    other = await asyncpg.connect(database_url)
    # Everything is due at once, of it one call in the critical lane.
    await other.execute("update step set state = 'ready', next_at = now() where kind = 'call'")
    await other.execute("update step set lane = 'critical' where object_id = 'T19999'")
    await other.execute("update target set lease_until = null")
    if analysed:
        await other.execute("analyze")
    await other.close()
    await recorder.run(claim)
    assert len(claimed) == {"critical": 1, "standard": 8}[lane]
    assert await recorder.most_rows_read() <= 100


async def test_a_claim_passes_over_what_is_held_without_reading_it(
    connection: Tx, database_url: str
) -> None:
    """Everything of a flow is held, and longer due than the few calls beside it."""
    await connection.execute(
        "insert into outbound_hold (kind, value, reason, by_whom) values ('flow', 'order', '', 'a')"
    )
    recorder = Recorder(connection)
    claimed: list[calls.ClaimedStep] = []

    async def claim(tx: Tx) -> None:
        claimed[:] = await calls.claim_calls(
            tx, lane="standard", systems=["erp", "crm"], limit=8, lease_s=90
        )

    for _ in range(10):
        await recorder.run(claim)
    await fill(database_url, analysed=False)
    other = await asyncpg.connect(database_url)
    await other.execute(
        """
        update step set state = 'ready', flow = 'order', next_at = now() - interval '1 day'
        where kind = 'call'
        """
    )
    await other.execute(
        """
        update step set next_at = now(),
               flow = case when id % 2000 = 0 then 'memo' else 'order' end,
               only_asks = id % 2000 = 500, plant = (id % 7)::text
        where kind = 'call' and id % 500 = 0
        """
    )
    await other.execute("update target set lease_until = null")
    await other.close()
    await recorder.run(claim)
    assert len(claimed) == 8
    assert await recorder.most_rows_read() <= 400


async def test_a_statement_that_reads_a_whole_table_is_found(
    connection: Tx, database_url: str
) -> None:
    recorder = Recorder(connection)

    async def slow(tx: Tx) -> None:
        await tx.fetch("select * from step where owner = $1", "nobody")

    for _ in range(10):
        await recorder.run(slow)
    await fill(database_url, analysed=True)
    found = await recorder.whole_tables_read()
    assert found == {"select * from step where owner = $1": ["step"]}
