"""Migrations against a real database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from canonical.errors import Misconfigured
from ops.migrate import MIGRATIONS, migrate, pending
from ops.stack import Servers, databases


@pytest.fixture
def empty_database_url(servers: Servers) -> Iterator[str]:
    name = f"{databases.database_name(servers.database_url)}_empty"
    yield databases.create_database(servers.database_url, name)
    databases.drop_database(servers.database_url, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (id int); CREATE TABLE b (id int);")
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN name text;")
    return tmp_path


async def table_names(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return {row["tablename"] for row in rows}


async def test_files_are_applied_once_in_order(empty_database_url: str, folder: Path) -> None:
    assert await pending(empty_database_url, folder=folder) == ["0001_first.sql", "0002_second.sql"]
    assert await migrate(empty_database_url, folder=folder) == ["0001_first.sql", "0002_second.sql"]
    assert await pending(empty_database_url, folder=folder) == []
    assert await migrate(empty_database_url, folder=folder) == []
    assert await table_names(empty_database_url) == {"a", "b", "schema_migrations"}


async def test_asking_what_is_pending_changes_nothing(
    empty_database_url: str, folder: Path
) -> None:
    await pending(empty_database_url, folder=folder)
    assert await table_names(empty_database_url) == set()


async def test_several_processes_migrate_at_once_and_one_applies(
    empty_database_url: str, folder: Path
) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url, folder=folder) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["0001_first.sql", "0002_second.sql"]]


async def test_a_failing_file_leaves_nothing_of_itself(
    empty_database_url: str, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text("CREATE TABLE c (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database_url, folder=folder)
    assert await table_names(empty_database_url) == {"a", "b", "schema_migrations"}
    assert await pending(empty_database_url, folder=folder) == ["0003_third.sql"]


async def test_a_changed_file_is_refused(empty_database_url: str, folder: Path) -> None:
    await migrate(empty_database_url, folder=folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE other (id int);")
    with pytest.raises(Misconfigured) as refusal:
        await migrate(empty_database_url, folder=folder)
    assert (refusal.value.code, refusal.value.where) == ("migration-changed", "0001_first.sql")


async def test_a_file_numbered_before_an_applied_one_is_refused(
    empty_database_url: str, folder: Path
) -> None:
    (folder / "0001_first.sql").rename(folder / "0003_first.sql")
    (folder / "0002_second.sql").rename(folder / "0004_second.sql")
    await migrate(empty_database_url, folder=folder)
    (folder / "0002_late.sql").write_text("SELECT 1;")
    with pytest.raises(Misconfigured) as refusal:
        await migrate(empty_database_url, folder=folder)
    assert (refusal.value.code, refusal.value.where) == ("migration-out-of-order", "0002_late.sql")


async def test_two_files_of_one_number_are_refused(empty_database_url: str, folder: Path) -> None:
    (folder / "0002_again.sql").write_text("SELECT 1;")
    with pytest.raises(Misconfigured) as refusal:
        await pending(empty_database_url, folder=folder)
    assert refusal.value.code == "migration-number-twice"


async def test_a_newer_release_may_have_migrated_before(
    empty_database_url: str, folder: Path
) -> None:
    await migrate(empty_database_url, folder=folder)
    (folder / "0002_second.sql").unlink()
    assert await migrate(empty_database_url, folder=folder) == []


async def test_changes_that_were_taken_back_before_are_cancelled_and_calls_know_their_flow(
    empty_database_url: str, tmp_path: Path
) -> None:
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.name < "0019":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    await migrate(empty_database_url, folder=tmp_path)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(
        """
        insert into ledger (key, title, version, state, subscription, scope, lane, source,
                            correlation_id, findings, message_at, message_seq)
        select 'engineering-change/C' || n, title, 1, state, '', '', 'standard', '', '',
               findings::jsonb, now(), n
        from (values
            (1, 'Back (cancelled)', 'complete', '[{"code": "change-cancelled"}]'),
            (2, 'Going (cancelled)', 'open', '[{"code": "change-cancelled"}]'),
            (3, 'Of this name (cancelled)', 'complete', '[]'),
            (4, 'True', 'complete', '[]')
        ) as l(n, title, state, findings);
        insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                          object_id, verb, operation, digest, idempotency_key, depends_on, state,
                          reason, lane, owner, due_at)
        select l.id, s.identity, 1, 'call', '', 'erp', 'item', s.identity, s.verb, '', '', '', '{}',
               s.state, s.reason, 'standard', '', now()
        from ledger l, (values
            ('a', 'put-item', 'ready', ''),
            ('b', 'read-supplier', 'ready', ''),
            ('c', 'put-item', 'superseded', 'done, and no longer planned'),
            ('d', 'put-item', 'superseded', 'done, and no longer planned')
        ) as s(identity, verb, state, reason) where l.key = 'engineering-change/C4';
        insert into exception_case (code, word, what, place, remedy, owner, ledger_key, state,
                                    closed_at, closed_by)
        values ('left-behind', '', '', 'engineering-change/C4: c', '', '', 'engineering-change/C4',
                'resolved', now(), 'ada'),
               ('left-behind', '', '', 'engineering-change/C4: d', '', '', 'engineering-change/C4',
                'open', null, '')
        """
    )
    await migrate(empty_database_url)
    ledgers = await connection.fetch("select title, state, ends_as from ledger order by key")
    steps = await connection.fetch(
        "select identity, flow, only_asks, reason from step order by identity"
    )
    await connection.close()
    assert [tuple(row) for row in ledgers] == [
        ("Back", "cancelled", "cancelled"),
        ("Going", "open", "cancelled"),
        ("Of this name (cancelled)", "complete", "complete"),
        ("True", "complete", "complete"),
    ]
    assert [tuple(row) for row in steps] == [
        ("a", "engineering-change", False, ""),
        ("b", "engineering-change", True, ""),
        ("c", "", False, "done, and no longer planned; left so by ada"),
        ("d", "", False, "done, and no longer planned"),
    ]
