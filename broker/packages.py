"""Packages in and out with bounded memory: one chunk of the content is held at a time."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO

import structlog

from broker.aside import aside
from broker.failpoints import FailPoints
from broker.principals import Deed
from broker.store import Database, Tx
from broker.store import packages as rows
from broker.store.packages import PackageRow
from canonical.errors import InvalidMessage
from canonical.package import MAX_PACKAGE_BYTES, PackageReference

log = structlog.get_logger(__name__)

CHUNK_BYTES = 512 * 1024
# What is larger is kept in a file while it is read.
_SPOOL_BYTES = 1024 * 1024


async def deed(tx: Tx, name: str) -> Deed:
    """What putting that content takes; which plants it is about nobody has read yet."""
    return Deed(action="package-put", subject=name)


async def put_package(
    database: Database,
    content: AsyncIterable[bytes],
    *,
    name: str,
    content_type: str,
    by: str,
    limit: int = MAX_PACKAGE_BYTES,
    fail_points: FailPoints = FailPoints({}),  # noqa: B008 - nothing is armed
) -> PackageRow:
    """The content is stored, all of it, and can be referred to; the same content is one package.

    Crash or failure on the way: an unfinished package, which nobody sees and which expires.
    Raises: InvalidMessage for empty content and for more than `limit` bytes.
    """
    digest = hashlib.sha256()
    size = n = 0
    async with database.session() as session:
        package_id = await rows.begin_package(session, name=name, content_type=content_type, by=by)
    try:
        async for chunk in in_chunks(content):
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            digest.update(chunk)
            # A connection for each: the source of the content may be slow.
            async with database.session() as session:
                await rows.add_chunk(session, package_id, n, chunk)
            if __debug__:
                await fail_points("package.after_chunk")
            n += 1
        if size == 0:
            raise InvalidMessage(
                "package-empty", "The package has no content", where=name, remedy="Put it again"
            )
        if __debug__:
            await fail_points("package.before_finish")
        async with database.session() as session:
            row = await rows.finish_package(session, package_id, size=size, sha256=digest.digest())
        if __debug__:
            await fail_points("package.after_finish")
        return row
    except InvalidMessage:
        async with database.session() as session:
            await rows.drop_package(session, package_id)
        raise


async def expire_packages(
    database: Database,
    *,
    unused_for: timedelta,
    unfinished_for: timedelta,
    fail_points: FailPoints = FailPoints({}),  # noqa: B008 - nothing is armed
) -> bool:
    """Packages nobody refers to are gone, a few at a time; whether there were any."""
    async with database.transaction() as tx:
        gone = await rows.expire_packages(tx, unused_for=unused_for, unfinished_for=unfinished_for)
        if __debug__ and gone:
            await fail_points("package.before_expire")
    if gone:
        log.info("packages expired", packages=list(gone))
    return bool(gone)


async def in_chunks(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of CHUNK_BYTES, the last one shorter."""
    held = bytearray()
    async for piece in content:
        held += piece
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


async def pieces_of(file: BinaryIO) -> AsyncIterator[bytes]:
    """What a file holds, read beside the event loop."""
    while piece := await aside(file.read, CHUNK_BYTES):
        yield piece


@asynccontextmanager
async def package_file(database: Database, wanted: PackageReference) -> AsyncIterator[IO[bytes]]:
    """A file with the content, at its start; on leaving, it is gone.

    Raises: InvalidMessage where there is no such package, or it is not what the message says.
    """
    async with database.session() as session:
        found = await rows.use_package(session, wanted.id)
    if found is None:
        raise InvalidMessage(
            "package-missing",
            f"There is no {wanted.reference}, or not any more",
            where=wanted.reference,
            remedy="Put the package with `layshaft package put` and send its reference anew",
        )
    if (found.bytes, found.sha256.hex()) != (wanted.bytes, wanted.sha256):
        raise InvalidMessage(
            "package-other-content",
            f"{wanted.reference} has {found.bytes} bytes and sha256 {found.sha256.hex()}; the"
            f" message says {wanted.bytes} and {wanted.sha256}",
            where=wanted.reference,
            remedy="Send the reference as `layshaft package put` printed it for this content",
        )
    with SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        await _copy(database, found, file)
        file.seek(0)
        yield file


async def _copy(database: Database, found: PackageRow, file: IO[bytes]) -> None:
    """The file holds the package, and that is what was put."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in chunks_of(database, found.id):
        digest.update(chunk)
        await aside(file.write, chunk)
        size += len(chunk)
    if size != found.bytes or digest.digest() != found.sha256:
        # Not the sender's fault, and no try will mend it.
        raise InvalidMessage(
            "package-damaged",
            f"{found.reference} is no longer what was put: {size} of {found.bytes} bytes",
            where=found.reference,
            remedy="Find out what happened to table package_chunk; put the package again",
            owner="operations",
        )


async def chunks_of(database: Database, package_id: int) -> AsyncIterator[bytes]:
    """The content of a package, a chunk at a time."""
    n = 0
    while True:
        async with database.session() as session:
            chunk = await rows.chunk(session, package_id, n)
        if chunk is None:
            return
        yield chunk
        n += 1


def _too_large(limit: int) -> InvalidMessage:
    return InvalidMessage(
        "package-too-large",
        f"The package has more than {limit} bytes",
        where="package",
        remedy="Export it in parts",
    )
