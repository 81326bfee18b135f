"""`layshaft package`: content that is too large for a message, put once and sent by reference."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import uuid_utils
from cyclopts import App

from broker import packages as work
from broker.principals import Principal
from broker.store import Database
from broker.store import messages as message_rows
from broker.store import packages as rows
from broker.store.messages import log_position
from broker.store.packages import PackageRow
from broker.store.views import LIST_LIMIT
from canonical.codec import encode
from canonical.handler import Delivery
from canonical.package import (
    LOG_REFERENCE,
    MAX_PACKAGE_BYTES,
    PACKAGE_TYPE,
    PackageReference,
    package_number,
)
from ops.cli.files import writing
from ops.cli.numbered import put_list
from ops.cli.output import Column, moment, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.publish import KIND_OF_FILE, routing_key_of, send, sender_of
from ops.cli.session import (
    Actor,
    Common,
    Reading,
    act_on_database,
    configuration,
    fail_points,
    on_database,
    read,
)

app = App(
    name="package",
    help="Put what is too large for a message; list, show and get it. Make one for a supplier.",
)
# Imported when used: the other commands need no driver.
app.command(
    "ops.cli.package_make:make_package",
    name="make",
    help="Write an IPC-2571 package of items and all that is below them.",
)


class Put(msgspec.Struct, frozen=True):
    """What was put. reference, bytes, sha256: as the message says it; message_id: of the message
    that was sent with it, "" without --source."""

    reference: str
    bytes: int
    sha256: str
    name: str
    content_type: str
    message_id: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A package as it is listed; messages: how many in the log refer to it."""

    reference: str
    bytes: int
    sha256: str
    name: str
    content_type: str
    by: str
    created_at: str
    messages: int = 0


@app.command(name="put")
def put_file(
    file: Path,
    /,
    *,
    source: str = "",
    kind: str = "",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Store FILE and print the reference that a message carries in its place.

    The same content is one package, however often it is put. With --source the message is sent
    too, as the source would send it.

    Parameters
    ----------
    file
        What to store, up to 256 MiB.
    source
        Name of a source in the configuration: send the message as well.
    kind
        Routing key of the message; without it, by the ending of the file name.
    """
    known_kind, content_type = KIND_OF_FILE.get(
        file.suffix.lower(), ("", "application/octet-stream")
    )
    # What would refuse the message is found before megabytes are stored.
    settings = configuration(reading).settings if source else None
    sender = sender_of(settings, source) if settings else None
    routing_key = routing_key_of(file, kind or known_kind, sender) if sender else ""
    with _opened(file) as content:

        async def put(database: Database, who: Principal) -> PackageRow:
            return await work.put_package(
                database,
                _pieces(content, file),
                name=file.name,
                content_type=content_type,
                by=who.name,
                fail_points=fail_points(),
            )

        stored = act_on_database(reading, actor, lambda tx: work.deed(tx, file.name), put)
    done = Put(
        stored.reference, stored.bytes, stored.sha256.hex(), stored.name, stored.content_type
    )
    if settings is not None:
        message_id = str(uuid_utils.uuid7())
        body = encode(PackageReference(done.reference, done.bytes, done.sha256))
        delivery = Delivery(source, routing_key, body, PACKAGE_TYPE, message_id)
        asyncio.run(send(settings.amqp_url, delivery))
        done = msgspec.structs.replace(done, message_id=message_id)
    if reading.is_json:
        put_json(done)
        return
    page = screen()
    page.fields(
        [
            ("reference", done.reference),
            ("bytes", str(done.bytes)),
            ("sha256", done.sha256),
            ("content type", done.content_type),
        ]
    )
    if done.message_id:
        page.line(f"Confirmed: its message, to in.{source} as {routing_key}")
        page.line(f"layshaft trace {done.message_id}")


@app.command(name="list")
def list_packages(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """List packages, the latest first."""
    found = read(reading, lambda tx: rows.packages(tx, limit=LIST_LIMIT))
    put_list(
        reading,
        [_shown(row) for row in found],
        [
            (Column("reference"), lambda p: p.reference),
            (Column("bytes", is_number=True), lambda p: str(p.bytes)),
            (Column("put (UTC)"), lambda p: p.created_at),
            (Column("by"), lambda p: p.by),
            (Column("name", is_text=True), lambda p: p.name),
        ],
        nothing="There is no package.",
    )


@app.command(name="show")
def show_package(reference: str, /, *, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show a package and how many messages in the log refer to it.

    Parameters
    ----------
    reference
        As `package put` printed it.
    """
    row = _find(reading, reference)
    messages = read(reading, lambda tx: rows.messages_of(tx, row.id))
    shown = msgspec.structs.replace(_shown(row), messages=messages)
    if reading.is_json:
        put_json(shown)
        return
    screen().fields(
        [
            ("reference", shown.reference),
            ("bytes", str(shown.bytes)),
            ("sha256", shown.sha256),
            ("content type", shown.content_type),
            ("name", shown.name),
            ("put", f"{shown.created_at} UTC by {shown.by}"),
            ("messages", str(shown.messages)),
        ]
    )


@app.command(name="get")
def get_content(
    reference: str,
    /,
    *,
    to: Path | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Write the content of a package, or of an event that was published by reference.

    Parameters
    ----------
    reference
        `package/<number>`, or the `dataref` of an event: `log/<time>/<number>`.
    to
        File to write; without it, standard output.
    """
    if reference.startswith(LOG_REFERENCE):
        body = _event_body(common, reference)

        async def content(database: Database) -> AsyncIterator[bytes]:
            yield body
    else:
        row = _find(common, reference)

        def content(database: Database) -> AsyncIterator[bytes]:
            return work.chunks_of(database, row.id)

    with _target(to) as sink:

        async def copy(database: Database) -> int:
            written = 0
            try:
                async for piece in content(database):
                    with writing(to):
                        written += sink.write(piece)
            except BrokenPipeError:
                pass  # nobody reads on: said by the flush, after the database was let go
            return written

        written = on_database(common, copy)
    talk(f"{reference}: {written} bytes" + (f" to {to}" if to else ""))


def _event_body(common: Common, reference: str) -> bytes:
    position = log_position(reference.removeprefix(LOG_REFERENCE))
    if position is not None:
        found = read(common, lambda tx: message_rows.bodies(tx, [position]))
        if position in found:
            return found[position]
    raise Problem(
        Exit.NOT_FOUND,
        "not-found",
        f"There is no {reference} in the log",
        why="a place in the log is log/<time>/<number>, and its day may have been dropped",
        fix="Copy the dataref of the event as it stands in its header",
    )


def _find(common: Common, reference: str) -> PackageRow:
    number = package_number(reference)
    row = read(common, lambda tx: rows.package(tx, number))
    if row is None:
        raise Problem(
            Exit.NOT_FOUND,
            "not-found",
            f"There is no {reference}",
            why="it was never put, or it expired since no message refers to it",
            fix="See: layshaft package list",
        )
    return row


def _shown(row: PackageRow) -> Shown:
    return Shown(
        reference=row.reference,
        bytes=row.bytes,
        sha256=row.sha256.hex(),
        name=row.name,
        content_type=row.content_type,
        by=row.created_by,
        created_at=moment(row.created_at),
    )


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """The file, if it is one and small enough; said before anything is stored."""
    try:
        size = file.stat().st_size
        stream = file.open("rb")
    except OSError as error:
        raise _unreadable(file, error) from error
    with stream:
        if size > MAX_PACKAGE_BYTES:
            raise Problem(
                Exit.REFUSED,
                "package-too-large",
                f"{file.name} has {size} bytes",
                why=f"a package has at most {MAX_PACKAGE_BYTES}",
                fix="Export it in parts",
            )
        yield stream


async def _pieces(content: BinaryIO, file: Path) -> AsyncIterator[bytes]:
    try:
        async for piece in work.pieces_of(content):
            yield piece
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> Problem:
    return Problem(
        Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.USAGE,
        "file-unreadable",
        f"The file {file} cannot be read",
        why=error.strerror or type(error).__name__,
        fix="Name a file that exists and may be read",
    )


@contextmanager
def _target(to: Path | None) -> Iterator[BinaryIO]:
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with writing(to), to.open("wb") as file:
        yield file
