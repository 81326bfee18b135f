"""`layshaft table`: what is known as a file of rows, by the table that reads such files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
from cyclopts import App

from broker.store import Tx
from broker.store import documents as rows
from canonical.facts import Document
from handlers.systems.table.inbound import MAX_OBJECTS
from handlers.systems.table.mapping import Mapped
from handlers.systems.table.outbound import unsaid, write
from ops.cli.files import refuse_existing, write_whole
from ops.cli.output import plural, put_json, screen
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, read
from ops.tables import mapped_at

app = App(name="table", help="Write what is known as CSV or JSON, by a table of an integrator.")

_SHOWN = 10


class Written(msgspec.Struct, frozen=True):
    """What was written. unsaid: fields that no column of the table carries, and in how many
    places each of them says something."""

    file: str
    table: str
    bytes: int
    sha256: str
    objects: int
    unsaid: Mapping[str, int]


@app.command(name="write")
def write_table(
    table: Path,
    /,
    *numbers: str,
    out: Path,
    force: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Write what is known of the objects that TABLE is about, all of them or those of NUMBERS.

    The file is read back by the same table as the same objects; what cannot be said so leaves no
    file. Fields that no column carries are named.

    Parameters
    ----------
    table
        TOML file of the table, as `tables` of the configuration names it.
    numbers
        Numbers of objects, as their keys have them: SEAL-1; of a source list 1010/SEAL-1.
    out
        File to write, such as suppliers.csv.
    force
        Write over a file that exists.
    """
    refuse_existing(out, force=force)
    mapped = mapped_at(table)
    kind = _kind(mapped)
    found = read(reading, lambda tx: _find(tx, kind, numbers))
    content = write(mapped, found)
    refuse_existing(out, force=force)
    write_whole(out, content)
    done = Written(
        file=str(out),
        table=mapped.table.name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        objects=len(found),
        unsaid=unsaid(mapped, found),
    )
    if reading.is_json:
        put_json(done)
    else:
        screen().fields(_fields(done, kind))


def _kind(mapped: Mapped) -> str:
    """Kind of the documents that the events of the table become."""
    return mapped.target.key(*("x" for _ in mapped.target.identity)).partition("/")[0]


async def _find(tx: Tx, kind: str, numbers: Sequence[str]) -> list[Document]:
    """The objects in the order asked for, else of their keys.

    Raises: Problem where one is not known, where none is, and for more than a file may have.
    """
    if not numbers:
        found = list((await rows.of_kind(tx, kind, limit=MAX_OBJECTS + 1)).values())
        if not found:
            _not_found(f"Layshaft knows no {kind}", "none has come in so far")
        if len(found) > MAX_OBJECTS:
            raise Problem(
                Exit.REFUSED,
                "table-too-large",
                f"Layshaft knows more than {MAX_OBJECTS} objects of the kind {kind}",
                why="so many are taken in a file, and none that could not be read is written",
                fix="Name the ones that are wanted",
            )
        return found
    keys = [f"{kind}/{number}" for number in dict.fromkeys(numbers)]
    known = await rows.load(tx, keys)
    if missing := [key for key in keys if key not in known]:
        _not_found(f"Layshaft does not know {plural(len(missing), 'object')}", ", ".join(missing))
    return [known[key].known.document for key in keys]


def _not_found(what: str, why: str) -> NoReturn:
    raise Problem(
        Exit.NOT_FOUND,
        "not-found",
        what,
        why=why,
        fix="Correct the numbers; `layshaft trace NUMBER` shows what came in about one",
    )


def _fields(done: Written, kind: str) -> list[tuple[str, str]]:
    listed = [f"{path} ({times})" for path, times in list(done.unsaid.items())[:_SHOWN]]
    rest = len(done.unsaid) - _SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return [
        ("file", done.file),
        ("bytes", str(done.bytes)),
        ("sha256", done.sha256),
        ("table", done.table),
        ("objects", f"{done.objects} of the kind {kind}"),
        ("not in it", f"{', '.join(listed)}{more}" if listed else "nothing"),
    ]
