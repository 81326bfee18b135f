"""Create and drop databases over a plain connection, from blocking code."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

_T = TypeVar("_T")

_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 60.0


def database_name(url: str) -> str:
    """The database a URL points at."""
    return unquote(urlsplit(url).path.lstrip("/"))


def with_database(url: str, name: str) -> str:
    """The same server and credentials, another database."""
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(name, safe="")))


def create_database(url: str, name: str, *, template: str = "template0") -> str:
    """Create `name` beside the database of `url` as a copy of `template`; its URL."""
    # FILE_COPY would force two checkpoints; WAL_LOG, the default, is quicker for small templates.
    _execute(url, f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")
    return with_database(url, name)


def drop_database(url: str, name: str) -> None:
    """Drop `name` if it exists, ending whatever is still connected to it."""
    _execute(url, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def drop_family(url: str, name: str) -> None:
    """Drop `name` and every database called `<name>_...`; `url` must point at another one."""
    members = _fetch_names(
        url,
        "SELECT datname FROM pg_database WHERE datname = $1 OR starts_with(datname, $1 || '_')",
        name,
    )
    for member in members:
        drop_database(url, member)


def exists(url: str, name: str) -> bool:
    """True if the server of `url` has a database called `name`."""
    return bool(_fetch_names(url, "SELECT datname FROM pg_database WHERE datname = $1", name))


def server_version(url: str) -> str:
    """The server's version as it names it, for example '18.6'."""
    return _fetch_names(url, "SELECT current_setting('server_version')")[0].split()[0]


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(
            url, timeout=_CONNECT_TIMEOUT_S, command_timeout=_STATEMENT_TIMEOUT_S
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    blocking(run())


def _fetch_names(url: str, query: str, *arguments: str) -> list[str]:
    async def run() -> list[str]:
        connection = await asyncpg.connect(
            url, timeout=_CONNECT_TIMEOUT_S, command_timeout=_STATEMENT_TIMEOUT_S
        )
        try:
            return [str(row[0]) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    return blocking(run())


def blocking(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run in a thread of its own: the caller may itself live inside a running event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
