"""`layshaft schema`: what other teams are promised, checked against what the code keeps.

Also what is supported and how far that is shown, which stands in the drivers' READMEs.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from broker.store import contract_use as rows
from canonical.compatibility import Break, breaks
from handlers import CATALOGUE
from ops.cli.numbered import put_list
from ops.cli.output import Column, moment, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, configuration, read
from ops.contracts.files import ROOT, Finding, documents, export, findings
from ops.contracts.site import INDEX, site

app = App(
    name="schema",
    help="Publish contracts, and see that nobody is broken: export, page, check, diff, use.",
)

Root = Annotated[Path, Parameter(help="Folder with canonical/ and docs/; the one it runs from.")]


class Checked(msgspec.Struct, frozen=True):
    """What `schema check` found; findings: none where all is well."""

    findings: list[Finding]


class Compared(msgspec.Struct, frozen=True):
    """What `schema diff` found; breaks: none where the new one may follow the old one."""

    breaks: tuple[Break, ...]


class Used(msgspec.Struct, frozen=True):
    """How a source uses a contract. messages: of the last days. last_day: it is taken on."""

    source: str
    contract: str
    messages: int
    last_at: datetime | None
    last_day: date | None


@app.command(name="export")
def write_contracts(*, root: Root = ROOT) -> int:
    """Write schemas, AsyncAPI document, catalogue page and docs/support.md anew from the code.

    A published version that somebody would stumble over is not replaced: give the event a new
    version. Nor is what sources may send, where less would be taken than before. What is supported
    is taken from the drivers' READMEs, which have to name what the code has. Exit code 1: refused
    for one of these, and nothing was written.
    """
    written, refused = export(root, CATALOGUE)
    if refused:
        _show(refused)
        if any(f.word == "breaking" for f in refused):
            talk(
                "Nothing was written: give the event a new version, or what a source sends another"
                " message type; or take the change back"
            )
        elif any(f.word == "altered" for f in refused):
            talk("Nothing was written: restore these files as they were published")
        else:
            talk("Nothing was written: correct the tables of these READMEs")
        return Exit.FINDINGS
    for path in written:
        screen().line(f"written: {path}")
    if not written:
        talk("Everything was as it should be")
    return Exit.DONE


@app.command(name="page")
def write_page(folder: Path, /) -> int:
    """Write the catalogue into a folder as pages for browsers, with the documents they link to.

    They can be put on any web server, or opened as they are: index.html. They say what this version
    of Layshaft keeps.
    """
    for path, text in site(documents(CATALOGUE)).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    screen().line(f"written: {folder / INDEX}")
    return Exit.DONE


@app.command(name="check")
def check_contracts(
    *,
    root: Root = ROOT,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """See whether the published contracts, and what is said to be supported, are what the code has.

    Nothing is changed. Exit code 1: something is out of date, would break somebody, or is missing
    in the README of a driver.
    """
    found = findings(root, CATALOGUE)
    if reading.is_json:
        put_json(Checked(found))
    elif found:
        _show(found)
        if any(f.word in ("untold", "unclear") for f in found):
            talk("The tables of these READMEs are corrected by hand")
        elif any(f.word in ("missing", "outdated") for f in found):
            talk("Where nobody is broken, layshaft schema export writes them anew")
    else:
        screen().line("The published contracts are those that the code keeps.")
    return Exit.FINDINGS if found else Exit.DONE


@app.command(name="diff")
def compare_contracts(
    old: Path,
    new: Path,
    /,
    *,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Compare two schemas: who would stumble if the new one took the place of the old one.

    Readers: who reads by the new schema what was written by the old one. Writers: what they write
    by the new schema meets readers of the old one. Exit code 1: somebody stumbles.

    Parameters
    ----------
    old
        A JSON Schema, as in canonical/contracts.
    new
        Another one.
    """
    earlier, later = _schema(old), _schema(new)
    try:
        found = breaks(earlier, later)
    except (LookupError, TypeError, AttributeError) as error:
        raise _no_schema(old, f"one of the two refers to what is not there: {error}") from error
    if reading.is_json:
        put_json(Compared(found))
    elif found:
        columns = [Column("fails"), Column("field"), Column("why", is_text=True)]
        screen().table(columns, [(b.side, b.path or "(the whole)", b.what) for b in found])
    else:
        screen().line("Nobody stumbles: the new one may take the place of the old one.")
    return Exit.FINDINGS if found else Exit.DONE


@app.command(name="use")
def show_use(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show which source sends by which contract, when it last did, and which contracts end.

    Events of ours are listed by the version that was sent, under `layshaft`.
    """
    known = {(row.source, row.contract): row for row in read(reading, rows.uses)}
    endings = configuration(reading).settings.endings
    configured = {(s.name, c) for s in configuration(reading).settings.sources for c in s.contracts}
    used = [
        Used(
            source=source,
            contract=contract,
            messages=row.messages if row else 0,
            last_at=row.last_at if row else None,
            last_day=ending.last_day if ending else None,
        )
        for source, contract in sorted(configured | known.keys())
        for row in [known.get((source, contract))]
        for ending in [endings.get((source, contract))]
    ]
    put_list(
        reading,
        used,
        [
            (Column("source"), lambda u: u.source),
            (Column("contract"), lambda u: u.contract),
            (Column(f"messages, {rows.DAYS} days", is_number=True), lambda u: str(u.messages)),
            (Column("last (UTC)"), lambda u: moment(u.last_at) or "never"),
            (Column("taken until"), lambda u: str(u.last_day or "")),
        ],
        nothing="No source is configured, and none ever sent anything.",
    )


def _show(found: list[Finding]) -> None:
    columns = [Column("file"), Column("is"), Column("why", is_text=True)]
    screen().table(columns, [(f.file, f.word, f.what) for f in found])


def _schema(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise Problem(
            Exit.NOT_FOUND,
            "file-unreadable",
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix="Name a file that is there",
        ) from error
    except ValueError as error:
        raise _no_schema(path, str(error)) from error
    if not isinstance(found, dict):
        raise _no_schema(path, "it is no JSON object")
    return found


def _no_schema(path: Path, why: str) -> Problem:
    return Problem(
        Exit.USAGE, "no-schema", f"{path} is no JSON Schema", why=why, fix="Name a JSON Schema"
    )
