"""How long steps took that are done, and when a change may be done by that."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from broker.estimate import Pace, kinds
from broker.store import Database, views
from broker.store.paces import paces
from ops.change_status import status_of
from ops.cli import change as page
from ops.cli.output import Screen
from tests.integration.gearbox_change import database_at, seed_in
from tests.integration.test_principals import execute, fetch, plan, question

ITEM = ("put-item", "erp")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with database_at(database_url) as made:
        yield made


async def pace_of_items(database: Database, *, last: int = 100) -> Pace | None:
    async with views.snapshot(database) as tx:
        return (await paces(tx, [ITEM, ("put-order", "erp")], last=last)).get(ITEM)


async def items_took(database: Database) -> list[int]:
    """The six items that are done took 10, 20 ... 60 s from their turn on; their ids."""
    await seed_in(database)
    await execute(
        database,
        """
        with numbered as (
            select id, row_number() over (order by id) as n from step
            where verb = 'put-item' and state = 'done'
        )
        update step_event e set at = timestamptz '2026-01-05 12:00Z' + n * interval '1 day'
            + case e.state when 'waiting' then interval '-1 h' when 'done' then n * interval '10 s'
                           else interval '0' end
        from numbered where e.step_id = numbered.id and e.state in ('waiting', 'ready', 'done')
        """,
    )
    return [row["id"] for row in await fetch(
        database, "select id from step where verb = 'put-item' and state = 'done' order by id"
    )]  # fmt: skip


async def test_the_pace_of_a_kind_is_from_the_turn_of_its_steps_to_their_end(
    database: Database,
) -> None:
    await items_took(database)
    assert await pace_of_items(database) == Pace(6, 35, 55)


async def test_only_the_last_of_a_kind_count(database: Database) -> None:
    [first, *_] = await items_took(database)
    await execute(
        database, f"update step set changed_at = now() + interval '1 h' where id = {first}"
    )
    assert await pace_of_items(database, last=1) == Pace(1, 10, 10)


async def test_a_step_that_ran_anew_counts_from_then_on(database: Database) -> None:
    [first, *_] = await items_took(database)
    await execute(
        database,
        f"""
        update step set changed_at = now() + interval '1 h' where id = {first};
        insert into step_event (step_id, at, state)
        select {first}, now() + seconds * interval '1 s', state
        from (values (0, 'waiting'), (5, 'ready'), (6, 'in_flight'), (8, 'ready'), (12, 'done'))
             as e(seconds, state)
        """,
    )
    assert await pace_of_items(database, last=1) == Pace(1, 7, 7)


async def test_a_kind_of_which_nothing_is_done_has_no_pace(database: Database) -> None:
    await plan(database, question())
    assert await pace_of_items(database) is None


async def test_the_page_says_when_a_change_may_be_done_and_what_that_rests_on(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    # Five of each kind that were done, in another change: a decision takes an hour, an item 60 s.
    await execute(
        database,
        """
        with other as (
            insert into ledger (key, title, version, subscription, scope, lane, source,
                                correlation_id, message_at, message_seq)
            select 'engineering-change/C0', '', 1, subscription, scope, lane, source, '',
                   message_at, message_seq
            from ledger returning id
        ),
        done as (
            insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                              object_id, verb, operation, digest, idempotency_key, depends_on,
                              state, lane, owner, due_at)
            select other.id, identity, n, kind, plant, system, object_kind, object_id, verb,
                   operation, digest, '', '{}', 'done', lane, owner, due_at
            from step, other, generate_series(1, 5) n
            returning id, kind
        )
        insert into step_event (step_id, at, state)
        select id, now() - interval '1 day' + seconds * interval '1 s', state
        from done cross join lateral (
            values ('waiting', -1), ('ready', 0),
                   ('done', case kind when 'approval' then 3600 else 60 end)) e(state, seconds)
        """,
    )
    asked_at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    await execute(
        database, f"update step set changed_at = '{asked_at.isoformat()}' where state <> 'done'"
    )
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "C1")
        assert view is not None
        known = await paces(tx, kinds(view.steps))
    # Half of the hour is over.
    status = status_of(view, asked_at + timedelta(minutes=30), known)
    assert status.estimate is not None
    assert status.estimate.likely_at == status.estimate.slow_at == asked_at + timedelta(minutes=61)
    assert status.estimate.rests_on == 10
    stream = io.StringIO()
    page.print_change(Screen(stream), status, fold=True)
    assert (
        "may be done: 2026-01-05 13:01:00 UTC, or 2026-01-05 13:01:00 UTC where all is slow;"
        " by 10 steps done before, along 2 open steps: approve, extend-to-plant"
    ) in stream.getvalue()


async def test_the_page_says_why_nobody_can_say(database: Database) -> None:
    await seed_in(database)
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "ECO-2001")
    assert view is not None
    stream = io.StringIO()
    page.print_change(Screen(stream), status_of(view, datetime.now(UTC)), fold=True)
    assert "may be done: unknown: 1 failed: somebody has to look at it first" in stream.getvalue()
