"""Databases for tests, one at a time: migrated and empty, and emptied after each for the next.

To copy the template is what most tests would otherwise wait for: every page of the copy goes
through the log of the server, and dropping it asks for a checkpoint.
"""

from __future__ import annotations

import secrets

import asyncpg

from ops.stack import databases

_CONNECT_S = 10.0
_COMMAND_S = 60.0
# Until a session that was told to end has ended.
_GONE_MS = 20_000

# Everything of the schema that a test could have changed; what it says is only compared.
_SCHEMA = """
select md5(string_agg(what, '|' order by what)) from (
    select format('%s %s %s %s %s', c.oid::regclass, c.relkind, c.reloptions, c.relpersistence,
                  pg_get_expr(c.relpartbound, c.oid)) as what
    from pg_class c where relnamespace = 'public'::regnamespace
    union all
    select format('%s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and not a.attisdropped
    union all
    select format('%s %s', conname, pg_get_constraintdef(oid)) from pg_constraint
    where connamespace = 'public'::regnamespace
    union all
    select format('%s %s %s', tgrelid::regclass, tgname, tgenabled) from pg_trigger
    where not tgisinternal
    union all
    select format('%s %s', oid::regprocedure, md5(prosrc)) from pg_proc
    where pronamespace = 'public'::regnamespace
    union all
    select nspname::text from pg_namespace where nspname !~ '^pg_(toast_)?temp'
    union all
    select format('%s %s', setrole, setconfig) from pg_db_role_setting
    where setdatabase = (select oid from pg_database where datname = current_database())
) as everything
"""

_MIGRATIONS = "schema_migrations"
_TABLES = """
select oid::regclass::text from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> $1
"""
_RESET_SEQUENCES = """
select setval(seqrelid::regclass, seqstart, false) from pg_sequence
"""
_END_OTHERS = """
select bool_and(pg_terminate_backend(pid, $1)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


class CleanDatabases:
    """Copies of a template on the server of `server_url`, which are used again and again.

    A copy whose schema a test has changed is dropped, and another one made. What the server knows
    of the distribution of values stays: what is about plans of statements takes a `fresh` one.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._schema = ""
        self._clean: list[str] = []

    def fresh(self) -> str:
        """URL of a database that nobody used before."""
        name = f"{databases.database_name(self._server_url)}_{secrets.token_hex(4)}"
        return databases.create_database(self._server_url, name, template=self._template)

    def take(self) -> str:
        """URL of a migrated, empty database for one test."""
        if self._clean:
            return self._clean.pop()
        url = self.fresh()
        self._schema = self._schema or databases.blocking(_schema(url))
        return url

    def give_back(self, url: str) -> None:
        """The test is over: whoever is still connected is disconnected."""
        if databases.blocking(_emptied(url, self._schema)):
            self._clean.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """The database of that URL is gone."""
        databases.drop_database(self._server_url, databases.database_name(url))

    def drop_all(self) -> None:
        """Nothing is left on the server, of what was given back."""
        while self._clean:
            self.drop(self._clean.pop())


async def _schema(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=_CONNECT_S, command_timeout=_COMMAND_S)
    try:
        return str(await connection.fetchval(_SCHEMA))
    finally:
        await connection.close()


async def _emptied(url: str, schema: str) -> bool:
    """Empty it; False where that is not worth it: its schema is another one by now."""
    connection = await asyncpg.connect(url, timeout=_CONNECT_S, command_timeout=_COMMAND_S)
    try:
        if await connection.fetchval(_END_OTHERS, _GONE_MS) is False:
            return False
        if await connection.fetchval(_SCHEMA) != schema:
            return False
        # Triggers that keep tables append-only are for users.
        await connection.execute("set session_replication_role = replica")
        tables = [row[0] for row in await connection.fetch(_TABLES, _MIGRATIONS)]
        filled = await connection.fetchrow(
            "select " + ", ".join(f"exists(select from {table})" for table in tables)
        )
        assert filled is not None
        used = [table for table, has_rows in zip(tables, filled, strict=True) if has_rows]
        if used:
            await connection.execute(f"truncate {', '.join(used)} cascade")
        await connection.execute(_RESET_SEQUENCES)
        return True
    finally:
        await connection.close()
