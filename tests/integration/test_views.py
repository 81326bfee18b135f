"""The read models, over a change half-way, and what people do with cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic

import asyncpg
import pytest

from broker import cases as case_work
from broker.metrics import Metrics
from broker.store import Database, diagnosis, traces, upkeep, views
from broker.store.calls import claim_calls
from broker.store.change_list import changes
from broker.store.traces import Trace
from canonical.errors import Conflict, Rejected
from ops.cli.trace import KINDS
from tests.integration.gearbox_change import (
    APPROVAL,
    CHANGE,
    FAILED_BOM,
    STORY,
    database_at,
    seed,
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the change half-way."""
    await seed(database_url)
    async with database_at(database_url) as database:
        yield database


async def trace_of(database: Database, name: str) -> Trace | None:
    """What the trace of that name shows."""
    async with views.snapshot(database) as tx:
        return await traces.trace(tx, name, KINDS)


async def test_a_snapshot_can_write_nothing(database: Database) -> None:
    async with views.snapshot(database) as tx:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await tx.execute("delete from audit")


async def test_the_list_says_how_far_a_change_is_and_whose_turn_it_is(database: Database) -> None:
    async with views.snapshot(database) as tx:
        (row,) = (await changes(tx, limit=10)).rows
    assert (row.number, row.state, row.done, row.total, row.open_cases) == (
        "ECO-2001",
        "open",
        6,
        12,
        1,
    )
    assert row.waits_for == ("master data", "quality", "sourcing")


@pytest.mark.parametrize("name", ["ECO-2001", CHANGE])
async def test_a_change_is_found_by_number_and_by_key(database: Database, name: str) -> None:
    async with views.snapshot(database) as tx:
        found = await views.change(tx, name)
    assert found is not None
    assert found.key == CHANGE
    assert [f.code for f in found.findings] == ["aml-missing"]
    states = {step.identity: step.state for step in found.steps}
    assert states[FAILED_BOM] == "failed"
    assert states["2010|erp|bom|GB-100|put-bom"] == "in_doubt"
    assert states[APPROVAL] == "ready"


async def test_an_unknown_change_is_none(database: Database) -> None:
    async with views.snapshot(database) as tx:
        assert await views.change(tx, "ECO-1") is None


async def test_a_task_shows_what_is_asked_and_what_stands_behind_it(database: Database) -> None:
    async with views.snapshot(database) as tx:
        (listed,) = await views.tasks(tx, "open")
        task = await views.task(tx, listed.id)
        assert await views.tasks(tx, "decided") == []
    assert task == listed
    assert task.role == "quality"
    assert task.about == "supplier/17300003"
    assert task.waiting == 1
    assert (task.plant, task.plants) == ("", ("1010",))
    assert (task.signatures, task.signed_by, task.missing) == (1, (), 1)
    assert len(task.digest) == 64
    assert task.evidence[1] == "contract C-77 covers it"


async def test_a_step_that_is_no_approval_is_no_task(database: Database) -> None:
    async with views.snapshot(database) as tx:
        change = await views.change(tx, "ECO-2001")
        assert change is not None
        assert await views.task(tx, change.steps[0].id) is None


async def test_a_case_shows_its_message_and_what_waits_behind_it(database: Database) -> None:
    async with views.snapshot(database) as tx:
        rows = {row.code: row for row in await views.cases(tx, "open")}
        view = await views.case(tx, rows["unit-unknown"].id)
    assert view is not None
    assert view.message is not None
    assert view.message.id == "kit-1"
    assert view.message.excerpt.splitlines()[1] == "  <Unit>\u2300 furlong</Unit>"
    assert view.hold is not None
    assert (view.hold.key, view.hold.behind) == ("product-definition/KIT-7", 1)


async def test_the_trace_of_a_part_tells_its_whole_path(database: Database) -> None:
    found = await trace_of(database, "GB-120")
    assert found is not None
    assert found.changes == (CHANGE,)
    told = {(line.what, line.subject) for line in found.lines}
    assert told >= {
        ("received", "product-definition/GB-100"),
        ("repeat", "product-definition/GB-100"),
        ("stored", "item/GB-120"),
        ("ledger", CHANGE),
        ("step", "put-item item/GB-120"),
        ("call", "put-item item/GB-120"),
        ("step", "put-info-record info-record/17300003/GB-120"),
        ("step", "approve supplier/17300003"),
        ("case", f"{CHANGE}: {FAILED_BOM}"),
    }
    assert not any("GB-110" in line.subject for line in found.lines)
    assert [line.at for line in found.lines] == sorted(line.at for line in found.lines)
    assert {line.correlation_id for line in found.lines} == {STORY}


async def test_a_call_line_carries_its_exchanges(database: Database) -> None:
    found = await trace_of(database, "item/GB-120")
    assert found is not None
    calls = [line for line in found.lines if line.what == "call"]
    assert [(line.plant, line.state, line.seconds) for line in calls] == [
        ("1010", "applied", 0.12),
        ("2010", "applied", 0.12),
    ]
    assert calls[0].calls[1] == "POST /A_Product -> 201"


async def test_a_stale_statement_is_part_of_the_trace(database: Database) -> None:
    found = await trace_of(database, "GB-110")
    assert found is not None
    (note,) = [line for line in found.lines if line.what == "note"]
    assert (note.state, note.causation_id) == ("stale-refused", "pdx-older")


@pytest.mark.parametrize(
    ("name", "matched"),
    [
        ("ECO-2001", ("key",)),
        (STORY, ("correlation",)),
        ("pdx-2001", ("correlation",)),
        ("amqp-pdx-2001", ("correlation",)),
        ("17300003", ("object",)),
        ("KIT-7", ("key",)),
    ],
)
async def test_a_trace_understands_each_kind_of_name(
    database: Database, name: str, matched: tuple[str, ...]
) -> None:
    found = await trace_of(database, name)
    assert found is not None
    assert found.matched == matched
    assert found.is_complete


async def test_the_trace_of_a_change_tells_every_step(database: Database) -> None:
    by_number = await trace_of(database, "ECO-2001")
    by_story = await trace_of(database, STORY)
    assert by_number is not None
    assert by_story is not None
    planned = [line for line in by_number.lines if line.text == "planned"]
    assert len(planned) == 12
    assert set(by_story.lines) >= {line for line in by_number.lines if line.what != "note"}


@pytest.mark.parametrize("name", ["GB-12", "nobody", "item/GB-999"])
async def test_an_unknown_name_has_no_trace(database: Database, name: str) -> None:
    assert await trace_of(database, name) is None


async def test_a_retried_message_is_ready_and_keeps_its_place(database: Database) -> None:
    async with database.transaction() as tx:
        released = await case_work.retry(tx, case_id=1, by="Tom", reason="mapped")
        rows = await tx.fetch("select state, attempts from pending order by id")
        closed = await tx.fetchrow("select state, closed_by from exception_case where id = 1")
        audited = await tx.fetchrow(
            "select actor, before ->> 'state', after ->> 'state', detail ->> 'reason' from audit"
            " where action = 'case-retried'"
        )
    assert released == "message"
    assert [tuple(row) for row in rows] == [("ready", 0), ("parked", 0)]
    assert tuple(closed or ()) == ("resolved", "Tom")
    assert tuple(audited or ()) == ("Tom", "open", "resolved", "mapped")


async def test_a_closed_case_lets_its_message_go_and_the_next_one_run(database: Database) -> None:
    async with database.transaction() as tx:
        assert await case_work.discard(tx, case_id=1, by="Tom", reason="sent anew")
        rows = await tx.fetch(
            "select m.id, p.state from pending p join message m on m.seq = p.message_seq"
        )
        outcome = await tx.fetchval("select outcome from inbox where id = 'kit-1'")
    assert [tuple(row) for row in rows] == [("kit-2", "ready")]
    assert outcome == "discarded"


async def test_the_last_message_let_go_leaves_no_hold(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("delete from pending where state = 'parked'")
        await case_work.discard(tx, case_id=1, by="Tom", reason="sent anew")
        assert await tx.fetchval("select count(*) from hold") == 0


async def test_a_retried_step_may_be_sent_again_and_frees_what_it_held(database: Database) -> None:
    async with database.transaction() as tx:
        case_id = await tx.fetchval("select id from exception_case where code = 'refused'")
        released = await case_work.retry(tx, case_id=case_id, by="Tom", reason="extended")
        held = await tx.fetchval("select count(*) from step where state = 'held'")
    assert released == "step"
    assert held == 0
    async with database.transaction() as tx:
        (claimed,) = await claim_calls(tx, lane="standard", systems=["erp"], limit=9, lease_s=60)
    assert claimed.step.identity == FAILED_BOM


async def test_a_case_is_settled_once(database: Database) -> None:
    async with database.transaction() as tx:
        await case_work.discard(tx, case_id=1, by="Tom", reason="sent anew")
    async with database.transaction() as tx:
        with pytest.raises(Conflict):
            await case_work.retry(tx, case_id=1, by="Tom", reason="again")


async def test_a_case_without_anything_waiting_cannot_be_retried(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("delete from pending")
        with pytest.raises(Rejected) as refused:
            await case_work.retry(tx, case_id=1, by="Tom", reason="again")
    assert refused.value.code == "nothing-to-retry"


async def test_doctors_rows_are_counted(database: Database) -> None:
    async with views.snapshot(database) as tx:
        facts = await diagnosis.row_facts(tx, log_days=90)
    assert facts == diagnosis.RowFacts((), 0, 0, 0, 0, 0, 2, 1)
    async with database.transaction() as tx:
        await tx.execute("delete from pending where state = 'in_case'")
        await tx.execute("insert into hold (scope, key) values ('definition', 'item/none')")
        await tx.execute("drop table message_" + await tx.fetchval("select to_char(now() at time "
            "zone 'UTC' + interval '2 days', 'YYYYMMDD')"))  # fmt: skip
    async with views.snapshot(database) as tx:
        facts = await diagnosis.row_facts(tx, log_days=90)
    assert facts.stuck == 2
    assert len(facts.missing_days) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            "delete from pending where state = 'in_case'", id="parked without a predecessor"
        ),
        pytest.param(
            # The reference forbids it; the count does not rely on it.
            "alter table pending drop constraint pending_scope_key_fkey;"
            "delete from pending where state = 'parked'; delete from hold",
            id="unfinished without a hold",
        ),
        pytest.param(
            "insert into hold (scope, key) values ('definition', 'item/none')", id="hold of nothing"
        ),
    ],
)
async def test_what_nobody_would_wake_is_told_by_the_gauge_and_by_doctor_alike(
    database: Database, fault: str
) -> None:
    assert await told_stuck(database) == (0, 0)
    async with database.transaction() as tx:
        await tx.execute(fault)
    assert await told_stuck(database) == (1, 1)


async def told_stuck(database: Database) -> tuple[float | None, int]:
    """Rows that nobody would wake: as the gauge says, and as doctor does."""
    metrics = Metrics()
    await upkeep.refresh(database, metrics)
    async with views.snapshot(database) as tx:
        facts = await diagnosis.row_facts(tx, log_days=90)
    return metrics.registry.get_sample_value("layshaft_stuck_keys"), facts.stuck


async def test_what_stands_behind_an_approval_is_counted_in_a_large_change(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        # half of them directly behind it, the others behind those
        await tx.execute(
            """
            insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                              object_id, verb, operation, digest, idempotency_key, depends_on,
                              state, lane, owner, due_at)
            select s.ledger_id, 'many' || n, 1, 'call', '', 'erp', 'item', 'M' || n, 'put-item',
                   '', '', '',
                   array[case when n % 2 = 0 then s.identity else 'many' || n + 1 end],
                   'waiting', 'standard', '', now()
            from step s, generate_series(1, 50000) n where s.identity = $1
            """,
            APPROVAL,
        )
    began = monotonic()
    async with views.snapshot(database) as tx:
        (listed,) = await views.tasks(tx, "open")
    took_s = monotonic() - began
    assert listed.waiting == 50_001
    assert took_s < 5  # the search of every step in every other took minutes
