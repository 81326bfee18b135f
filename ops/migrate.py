"""Bring a database's schema up to date with the SQL files in `ops/migrations/`.

A file is applied once, in the order of its number, in a transaction of its own, and never changed
afterwards: `schema_migrations` keeps its digest.
"""

import hashlib
from pathlib import Path

import asyncpg
import msgspec

from canonical.errors import Misconfigured

MIGRATIONS = Path(__file__).with_name("migrations")
# Any constant serves that no other advisory lock of this database uses: "lays" in ASCII.
_LOCK_KEY = 0x6C617973
_CONNECT_TIMEOUT_S = 10.0
# Another process may be migrating; a large index takes its time, but not for ever.
_LOCK_TIMEOUT = "120s"

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class _Migration(msgspec.Struct, frozen=True):
    name: str
    sql: str
    sha256: str


async def migrate(database_url: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing; the names applied, in order.

    Several processes may call this at once: one applies, the others wait and find nothing to do.
    If a file fails, those before it stay applied and it leaves nothing behind.
    Raises: Misconfigured if files and record disagree; asyncpg.PostgresError from a file's SQL.
    """
    connection = await asyncpg.connect(database_url, timeout=_CONNECT_TIMEOUT_S)
    try:
        await connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        # Held by the session, not by a transaction: it spans the transactions of all files, and a
        # lost connection gives it back.
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK_KEY})")
        await connection.execute(_CREATE_TABLE)
        missing = _missing(_read(folder), await _applied(connection))
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)",
                    migration.name,
                    migration.sha256,
                )
        return [migration.name for migration in missing]
    finally:
        await connection.close()


async def pending(database_url: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """The names `migrate` would apply now, in order; changes nothing.

    Raises: Misconfigured if files and record disagree.
    """
    connection = await asyncpg.connect(database_url, timeout=_CONNECT_TIMEOUT_S)
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        applied = await _applied(connection) if known else {}
        return [migration.name for migration in _missing(_read(folder), applied)]
    finally:
        await connection.close()


def _read(folder: Path) -> list[_Migration]:
    migrations: list[_Migration] = []
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
        content = path.read_bytes()
        migrations.append(
            _Migration(path.name, content.decode(), hashlib.sha256(content).hexdigest())
        )
    numbers = [migration.name[:4] for migration in migrations]
    for migration in migrations:
        if numbers.count(migration.name[:4]) > 1:
            raise Misconfigured(
                "migration-number-twice",
                "two migration files have the same number",
                where=migration.name,
                remedy="give one of them the next free number",
            )
    return migrations


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    return {row["name"]: row["sha256"] for row in rows}


def _missing(migrations: list[_Migration], applied: dict[str, str]) -> list[_Migration]:
    """Files not applied yet. Applied names without a file are a newer release's: left alone."""
    newest = max(applied, default="")
    missing: list[_Migration] = []
    for migration in migrations:
        recorded = applied.get(migration.name)
        if recorded is None and migration.name < newest:
            raise Misconfigured(
                "migration-out-of-order",
                f"the file is new, but {newest} is applied already",
                where=migration.name,
                remedy="give it the next free number",
            )
        if recorded is None:
            missing.append(migration)
        elif recorded != migration.sha256:
            raise Misconfigured(
                "migration-changed",
                "the file is applied already and has other content now",
                where=migration.name,
                remedy="restore the file and put the change into a new one",
            )
    return missing
