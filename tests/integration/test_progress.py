"""How far a change was when, from what is on record of its steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from broker.store import Database
from broker.store.progress import Point, progress
from tests.integration.many_changes import (
    planned,
    seed_half_way,
    seed_taken_back,
    step_of,
)

KEY = "engineering-change/ECO-5000"


async def progress_of(database: Database, key: str = KEY, most: int = 60) -> list[Point]:
    async with database.transaction() as tx:
        return await progress(tx, key, most=most)


async def test_it_is_told_each_time_that_it_changed(database: Database) -> None:
    await seed_half_way(database)
    found = await progress_of(database)
    assert [(p.done, p.planned) for p in found] == [
        (0, 12), (1, 12), (2, 12), (3, 12), (4, 12), (5, 12), (6, 16), (7, 16), (8, 16), (9, 16),
    ]  # fmt: skip
    began = found[0].at
    assert [round((p.at - began) / timedelta(minutes=30)) for p in found] == list(range(10))


async def test_of_very_many_moments_those_close_to_each_other_are_one(database: Database) -> None:
    await seed_half_way(database)
    found = await progress_of(database, most=3)
    assert len(found) <= 4
    assert (found[-1].done, found[-1].planned) == (9, 16)
    assert all(a.at < b.at for a, b in pairwise(found))


async def test_what_is_not_planned_any_more_and_what_runs_anew_is_not_done(
    database: Database,
) -> None:
    await seed_half_way(database)
    later = datetime.now(UTC) + timedelta(minutes=1)
    async with database.transaction() as tx:
        await tx.execute(
            """
            insert into step_event (step_id, at, state)
            select id, $1, case object_id when 'PIN-1' then 'waiting' when 'PIN-2' then 'superseded'
                           else 'cancelled' end
            from step where plant = '1010' and object_id in ('PIN-1', 'PIN-2', 'PIN-12')
            """,
            later,
        )
    last = (await progress_of(database))[-1]
    assert (last.done, last.planned) == (7, 14)


async def test_a_change_that_was_taken_back_ends_with_nothing(database: Database) -> None:
    await seed_taken_back(database)
    last = (await progress_of(database, "engineering-change/ECO-4000"))[-1]
    assert (last.done, last.planned) == (0, 0)


async def test_a_plan_is_one_moment_however_long_its_rows_took(database: Database) -> None:
    async with database.transaction() as tx:
        await planned(tx, "ECO-5000", *(step_of("1010", f"P-{n}") for n in range(40)))
        # Not over a change of the second.
        await tx.execute("update step_event set at = date_trunc('second', now()) + (at - now())")
    assert [(p.done, p.planned) for p in await progress_of(database)] == [(0, 40)]
    assert await progress_of(database, "engineering-change/none") == []
