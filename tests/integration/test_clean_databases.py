"""What one test leaves behind, the next one does not see."""

from __future__ import annotations

import asyncpg
import pytest

from tests.clean_databases import CleanDatabases


async def test_rows_numbers_and_sessions_of_one_user_are_gone_for_the_next(
    clean_databases: CleanDatabases,
) -> None:
    url = clean_databases.take()
    left = await asyncpg.connect(url)
    first = "insert into target (system, object_kind, object_id, plant) values ('e', 'k', 'o', '')"
    await left.execute(first)
    # A table that takes no deletion from users.
    await left.execute(
        "insert into audit (actor, action, subject, detail) values ('a', 'b', 'c', '{}')"
    )
    clean_databases.give_back(url)
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await left.execute("select 1")
    left.terminate()

    again = clean_databases.take()
    assert again == url
    connection = await asyncpg.connect(again)
    assert await connection.fetchval("select count(*) from audit") == 0
    assert await connection.fetchval(first + " returning id") == 1
    assert await connection.fetchval("select exists(select from schema_migrations)")
    await connection.close()
    clean_databases.give_back(again)


@pytest.mark.parametrize(
    "change",
    [
        "create table more (id int)",
        "alter table step add column more int",
        "alter table step set (autovacuum_enabled = off)",
        "drop index step_due",
        "alter table audit disable trigger all",
        "create schema more",
        "do $$ begin execute format('alter database %I set work_mem = 64', current_database());"
        " end $$",
    ],
)
async def test_a_database_whose_schema_was_changed_is_not_used_again(
    clean_databases: CleanDatabases, change: str
) -> None:
    url = clean_databases.take()
    connection = await asyncpg.connect(url)
    await connection.execute(change)
    await connection.close()
    clean_databases.give_back(url)
    other = clean_databases.take()
    assert other != url
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    clean_databases.give_back(other)
