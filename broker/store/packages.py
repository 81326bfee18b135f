"""SQL for packages: content in chunks beside the log, put once and read by reference.

Chunks are written one a statement, outside any long transaction: a put that breaks off leaves an
unfinished package, which nobody can refer to and which expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from broker.store.connection import Tx


class PackageRow(msgspec.Struct, frozen=True):
    """A finished package without its content."""

    id: int
    sha256: bytes
    bytes: int
    content_type: str
    name: str
    created_by: str
    created_at: datetime

    @property
    def reference(self) -> str:
        """How messages refer to it."""
        return f"package/{self.id}"


_COLUMNS = "id, sha256, bytes, content_type, name, created_by, created_at"


async def begin_package(session: Tx, *, name: str, content_type: str, by: str) -> int:
    """Number of a new package that has no content yet."""
    return int(
        await session.fetchval(
            "insert into package (name, content_type, created_by) values ($1, $2, $3) returning id",
            name,
            content_type,
            by,
        )
    )


async def add_chunk(session: Tx, package_id: int, n: int, content: bytes) -> None:
    """The n-th piece of the content is stored."""
    await session.execute(
        """
        with used as (update package set used_at = now() where id = $1)
        insert into package_chunk (package_id, n, bytes) values ($1, $2, $3)
        """,
        package_id,
        n,
        content,
    )


async def finish_package(session: Tx, package_id: int, *, size: int, sha256: bytes) -> PackageRow:
    """The package with that content: this one, or the one that had it before.

    The unique index decides between two puts of the same content at once; the later one goes.
    """
    try:
        row = await session.fetchrow(
            f"""
            update package set sha256 = $2, bytes = $3, finished_at = now(), used_at = now()
            where id = $1 returning {_COLUMNS}
            """,
            package_id,
            sha256,
            size,
        )
    except asyncpg.UniqueViolationError:
        row = await session.fetchrow(
            f"""
            with gone as (delete from package where id = $1)
            update package set used_at = now()
            where sha256 = $2 and finished_at is not null returning {_COLUMNS}
            """,
            package_id,
            sha256,
        )
    if row is None:
        raise RuntimeError(f"package {package_id} was dropped while it was put")
    return _package(row)


async def drop_package(session: Tx, package_id: int) -> None:
    """The package and its content are gone."""
    await session.execute("delete from package where id = $1", package_id)


async def use_package(session: Tx, package_id: int) -> PackageRow | None:
    """The finished package, marked as in use so that it does not expire now; None if unknown."""
    row = await session.fetchrow(
        f"""
        update package set used_at = now()
        where id = $1 and finished_at is not null returning {_COLUMNS}
        """,
        package_id,
    )
    return _package(row) if row else None


async def package(tx: Tx, package_id: int) -> PackageRow | None:
    """The finished package with that number."""
    row = await tx.fetchrow(
        f"select {_COLUMNS} from package where id = $1 and finished_at is not null", package_id
    )
    return _package(row) if row else None


async def packages(tx: Tx, *, limit: int) -> list[PackageRow]:
    """Finished packages, the latest first."""
    rows = await tx.fetch(
        f"""
        select {_COLUMNS} from package where finished_at is not null order by id desc limit $1
        """,
        limit,
    )
    return [_package(row) for row in rows]


async def chunk(session: Tx, package_id: int, n: int) -> bytes | None:
    """The n-th piece of the content; None after the last one."""
    found = await session.fetchval(
        "select bytes from package_chunk where package_id = $1 and n = $2", package_id, n
    )
    return None if found is None else bytes(found)


async def messages_of(tx: Tx, package_id: int) -> int:
    """How many messages in the log refer to the package."""
    return int(
        await tx.fetchval(
            """
            select count(*) from message
            where attributes ? 'dataref' and attributes ->> 'dataref' = $1
            """,
            f"package/{package_id}",
        )
    )


async def expire_packages(
    tx: Tx, *, unused_for: timedelta, unfinished_for: timedelta, limit: int = 20
) -> Sequence[int]:
    """Numbers of the packages that are gone: those no message in the log refers to and nobody
    used for so long, and those whose put broke off.
    """
    rows = await tx.fetch(
        """
        with expired as (
            select p.id from package p
            where (p.finished_at is null and p.used_at < now() - $2::interval)
               or (p.finished_at is not null and p.used_at < now() - $1::interval
                   and not exists (
                       select from message m
                       where m.attributes ? 'dataref'
                         and m.attributes ->> 'dataref' = 'package/' || p.id))
            order by p.id limit $3
            for update skip locked
        )
        delete from package p using expired e where p.id = e.id returning p.id
        """,
        unused_for,
        unfinished_for,
        limit,
    )
    return [r["id"] for r in rows]


def _package(row: asyncpg.Record) -> PackageRow:
    return PackageRow(**dict(row))
