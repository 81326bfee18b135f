"""Transactions and the sessions they run in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from broker.store import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of one."""
    made = Database(url=database_url, purpose="test", size=1, acquire_s=5, statement_s=5)
    await made.open()
    yield made
    await made.close()


async def test_a_transaction_tells_its_first_failure_and_not_that_of_its_rollback(
    database: Database, database_url: str
) -> None:
    with pytest.raises(ZeroDivisionError):
        await _fail_without_a_session(database, database_url)
    async with database.transaction() as tx:
        assert await tx.fetchval("select 1") == 1


async def _fail_without_a_session(database: Database, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    async with database.transaction() as tx:
        pid = await tx.fetchval("select pg_backend_pid()")
        await other.execute(f"select pg_terminate_backend({pid}, 5000)")
        await other.close()
        raise ZeroDivisionError


async def test_a_transaction_that_fails_leaves_nothing_and_its_session_goes_on(
    database: Database,
) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _fail_after_a_write(database)
    async with database.transaction() as tx:
        assert await tx.fetchval("select count(*) from hold") == 0


async def _fail_after_a_write(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("insert into hold (scope, key) values ('s', 'k')")
        await tx.execute("select 1 / 0")


async def test_transactions_are_read_committed_whatever_the_database_is_set_to(
    database: Database, database_url: str
) -> None:
    name = database_url.rpartition("/")[2]
    async with database.session() as session:
        await session.execute(
            f"alter database {name} set default_transaction_isolation = 'serializable'"
        )
    await database.close()
    await database.open()
    async with database.transaction() as tx:
        assert await tx.fetchval("show transaction_isolation") == "read committed"


async def test_a_lock_that_a_session_left_goes_with_it(
    database: Database, database_url: str
) -> None:
    async with database.session(may_lock=True) as session:
        await session.execute("select pg_advisory_lock(7)")
    # The session is in the pool, and lives.
    other = await asyncpg.connect(database_url)
    try:
        assert await other.fetchval("select pg_try_advisory_lock(7)")
    finally:
        await other.close()


async def test_nothing_is_asked_after_a_commit_or_a_single_statement(
    database: Database, database_url: str
) -> None:
    async with database.session(may_lock=True):
        pass
    async with database.transaction() as tx:
        pid = await tx.fetchval("select pg_backend_pid()")
    last = f"select query from pg_stat_activity where pid = {pid}"
    other = await asyncpg.connect(database_url)
    try:
        assert await other.fetchval(last) == "COMMIT;"
        async with database.session() as session:
            await session.execute("select 1")
        assert await other.fetchval(last) == "select 1"
    finally:
        await other.close()
