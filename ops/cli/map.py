"""`layshaft map`: what a vendor's message comes to, without a server, and what became of that."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from canonical.catalogue import Catalogue
from canonical.codec import MAX_BODY_BYTES
from canonical.errors import DEFECT, Failure, Misconfigured
from canonical.handler import Delivery, content_of
from handlers import CATALOGUE
from ops.cli import map_pages as pages
from ops.cli.map_goldens import OTHER_VERSION, show_compared
from ops.cli.output import plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem, problem_of
from ops.cli.publish import sender_of
from ops.cli.session import Reading, configuration, locate
from ops.configuration import Configuration
from ops.mapping import goldens as work
from ops.mapping.consequences import Consequences, Landscape, as_entries, consequences_of
from ops.mapping.entries import Entry, entries, is_refused, refusal, with_identity
from ops.mapping.leaves import read_document
from ops.mapping.lineage import Lineage, trace_fields
from ops.mapping.other_version import record_by
from ops.mapping.sample import ANYBODY, say
from ops.mapping.translation import NO_RULES, Translation, contracts_of, delivery_of, translate
from ops.tables import catalogue_of

app = App(
    name="map",
    help="See what a vendor's message comes to, and keep it so: dry-run, record, diff, accept.",
)

_LINEAGE_S = 10.0
# A folder of some thousand messages takes a minute.
_OTHER_VERSION_S = 600.0

Contract = Annotated[str, Parameter(help="Message type; without it, known by its content.")]
Goldens = Annotated[Path | None, Parameter(help="Folder of the goldens; else beside the samples.")]


class Recorded(msgspec.Struct, frozen=True):
    """What `map record` did; differs: samples that it left alone."""

    recorded: list[str]
    differs: list[str]


@app.command(name="dry-run")
def dry_run(
    *files: Path,
    contract: Contract = "",
    source: str = "",
    attribute: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    lineage: bool = False,
    seconds: float = _LINEAGE_S,
    requests: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Show what FILES come to: events, cases, requests. Nothing is sent.

    Nothing is taken as known but what the files say. With a configuration
    its rules plan what they state; without one, requests are shown only
    where an event alone tells them. A file that is refused ends it with the
    exit code of its failure.

    layshaft map dry-run order.xml --lineage

    layshaft map dry-run items.xml change.json --config layshaft.toml --requests

    Parameters
    ----------
    files
        Messages as their sources send them.
    source
        Name of a source in the configuration: only its contracts count, and words of its own
        do. Or of a system, for what a read of it brought back.
    attribute
        NAME=VALUE, a CloudEvents attribute that comes along as a header; may be repeated.
    lineage
        Show which fields reach what, found by changing one at a time.
    seconds
        How long to look for that, each file; what was left out is said.
    requests
        Show every request with its body; without it, one of each kind.
    """
    if not files:
        raise Problem(
            Exit.USAGE,
            "usage",
            "No file is named",
            why="a dry run is of files",
            fix="See: layshaft map dry-run --help",
        )
    settings = _configuration(reading, is_needed=bool(source))
    catalogue = catalogue_of(settings, CATALOGUE) if settings else CATALOGUE
    contracts = _contracts(contract, source, settings, catalogue)
    attributes = _attributes(attribute, contract)
    now = datetime.now(UTC)
    deliveries = [
        delivery_of(_body(file), source=source or ANYBODY, attributes=attributes) for file in files
    ]
    asking = _Asking(catalogue, contracts, _landscape(settings), now)
    found = [asking.translated(delivery) for delivery in deliveries]
    traced = [
        _lineage(asking, deliveries, found, place, seconds) if lineage else None
        for place in range(len(files))
    ]
    said = [
        pages.Said(str(file), translation, fields)
        for file, translation, fields in zip(files, found, traced, strict=True)
    ]
    if settings and settings.rules.words and not source:
        talk("No source's own words count here: name it with --source")
    rules_of = str(locate(reading.config, os.environ) or "") if settings else ""
    follows = asking.consequences(found)
    if reading.is_json:
        put_json(pages.as_data(said, rules_of, follows))
    else:
        pages.show(screen(), said, rules_of, follows, whole=requests)
    return _end(said)


@app.command(name="record")
def record_goldens(
    folder: Path,
    /,
    *,
    goldens: Goldens = None,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Write what goldens samples lack: what they come to now, and ask for.

    NAME.golden.json holds the events and cases, NAME.outbound.json the requests
    that follow, where any do. A golden that differs stays as it is: see map diff, then map accept.
    Exit code 1: there is one.

    layshaft map record samples

    Parameters
    ----------
    folder
        Messages as vendors sent them; files that nobody recognises are left alone. Rows
        have a table beside them: suppliers.csv is mapped by suppliers.toml. Headers that a
        message comes with stand in order.headers.toml, beside order.json; what its requests
        rest on, beside itself, in order.rules.toml.
    """
    with _on_files():
        found = work.record(_folder(folder), goldens or folder, say)
    written = [row.file for row in found if row.missing]
    others = [row for row in found if row.differs and row.word != "new"]
    if reading.is_json:
        put_json(Recorded(written, [row.file for row in others]))
        return Exit.FINDINGS if others else Exit.DONE
    for name in (name for row in found for name in row.missing):
        screen().line(f"recorded: {name}")
    if not written:
        talk("No sample is without a golden")
    if others:
        talk(f"{plural(len(others), 'golden')} left alone: see layshaft map diff {folder}")
    return Exit.FINDINGS if others else Exit.DONE


@app.command(name="diff")
def compare_goldens(
    folder: Path,
    /,
    *,
    goldens: Goldens = None,
    against: Path | None = None,
    seconds: float = _OTHER_VERSION_S,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Compare what samples come to now with their goldens, field by field.

    Goldens are what another version of Layshaft recorded; with --against that version is asked
    now, and goldens that there are do not matter. Exit code 1: something differs.

    layshaft map diff samples

    layshaft map diff traffic --against ../layshaft-1.4/.venv/bin/layshaft

    Parameters
    ----------
    folder
        Samples, as they were recorded.
    against
        The command of another version, in another checkout or environment.
    seconds
        How long that one may take.
    """
    if against is not None and goldens is not None:
        raise Problem(
            Exit.USAGE,
            "usage",
            "--goldens and --against exclude each other",
            why="what is compared with either stands in a folder or is made by another version",
            fix="See: layshaft map diff --help",
        )
    samples = _folder(folder)
    with _on_files(), tempfile.TemporaryDirectory(prefix="layshaft-goldens-") as made:
        if against is not None:
            record_by(against, samples, Path(made), seconds=seconds)
            goldens = Path(made)
        found = work.compare(samples, goldens or folder, say)
    if reading.is_json:
        put_json(found)
    elif against is not None:
        show_compared(screen(), found, OTHER_VERSION)
    else:
        show_compared(screen(), found)
        if any(row.word == "new" for row in found):
            talk(f"What has no golden gets one by: layshaft map record {folder}")
        for row in found:
            if row.altered:
                talk(
                    f"If {', '.join(row.altered)} is right:"
                    f" layshaft map accept {folder / row.file} --reason TEXT"
                )
    return Exit.FINDINGS if any(row.differs for row in found) else Exit.DONE


@app.command(name="accept")
def accept_change(
    file: Path,
    /,
    *,
    reason: str,
    goldens: Goldens = None,
) -> int:
    """Make what a sample comes to now its golden, with a reason on record.

    The reason goes to REASONS.md beside the golden, the digest of the golden to SHA256SUMS; commit
    all three. A golden that was changed by hand is accepted in the same way.

    layshaft map accept samples/order.xml --reason "prices are per 1000 now"

    Parameters
    ----------
    file
        A sample with a golden that differs.
    reason
        Why the new content is right, for whoever asks later.
    """
    if not reason.strip():
        raise Problem(
            Exit.USAGE,
            "reason-missing",
            f"{file} is not accepted without a reason",
            why="a golden is what the translation is held to",
            fix="Say with --reason why the new content is right",
        )
    _body(file)
    folder, sample = goldens or file.parent, Path(file.name)
    with _on_files():
        said = say(file)
        row = work.judge(folder, sample, said)
    if row.word in ("new", "foreign"):
        missing = row.missing or (str(work.golden_name(sample)),)
        raise Problem(
            Exit.NOT_FOUND,
            "golden-missing",
            f"{file} has no golden",
            why=f"there is no {', '.join(str(folder / name) for name in missing)}",
            fix=f"Record it: layshaft map record {file.parent}",
        )
    show_compared(screen(), [row])
    if not row.differs:
        talk("Nothing to accept")
        return Exit.DONE
    # First: a golden without its reason would be worse than a reason without its golden.
    with _on_files():
        today = datetime.now(UTC).date()
        work.note_reason(folder, file.name, row, reason, today)
        work.accept(folder, sample, said)
    path = folder / work.golden_name(sample)
    talk(f"Accepted: commit {path}, {folder / work.REASONS} and {folder / work.SUMS} together")
    return Exit.DONE


class _Asking(msgspec.Struct, frozen=True):
    """What every message of a dry run is translated and followed with."""

    catalogue: Catalogue
    contracts: Sequence[str]
    landscape: Landscape | None
    now: datetime

    def translated(self, delivery: Delivery) -> Translation:
        return translate(
            delivery,
            catalogue=self.catalogue,
            contracts=self.contracts,
            now=self.now,
            rules=self.landscape.rules if self.landscape else NO_RULES,
        )

    def consequences(self, translations: Sequence[Translation]) -> Consequences:
        return consequences_of(
            translations, catalogue=self.catalogue, landscape=self.landscape, now=self.now
        )


def _lineage(
    asking: _Asking,
    deliveries: Sequence[Delivery],
    found: Sequence[Translation],
    place: int,
    seconds: float,
) -> Lineage | str:
    """The lineage of one of the files, the others as they are; or why there is none."""
    like = deliveries[place]
    body = content_of(like).read()
    if found[place].failure is not None:
        return "a message that is refused has none"
    if len(body) > MAX_BODY_BYTES:
        return f"the file has more than {MAX_BODY_BYTES} bytes"
    try:
        document = read_document(body)
    except Failure as failure:
        return failure.what
    if document is None or not document.leaves:
        return "the file is neither JSON nor XML, nor an archive of one such document"

    def say(changed: bytes) -> tuple[Entry, ...]:
        try:
            other = asking.translated(msgspec.structs.replace(like, body=changed))
            if other.failure is not None:
                return entries((), other.failure)
            together = [*found[:place], other, *found[place + 1 :]]
            return (*with_identity(other), *as_entries(asking.consequences(together)))
        except Failure as failure:
            return entries((), failure)
        except Exception as error:  # a driver's bug is a finding about that field, and is shown
            return refusal(DEFECT, f"{type(error).__name__}: {error}")

    if is_refused(say(document.with_values(()))):
        return f"{document.member} alone is not read as the archive is"
    end = time.monotonic() + seconds
    return trace_fields(document, say, lambda: time.monotonic() < end)


def _landscape(settings: Configuration | None) -> Landscape | None:
    if settings is None:
        return None
    systems = {system.name: system.driver for system in settings.settings.systems}
    return Landscape(settings.rules, systems, settings.settings.reads_from)


def _configuration(reading: Reading, *, is_needed: bool) -> Configuration | None:
    if not is_needed and locate(reading.config, os.environ) is None:
        return None
    return configuration(reading)


def _contracts(
    contract: str, source: str, settings: Configuration | None, catalogue: Catalogue
) -> tuple[str, ...]:
    """What the message may be. Raises: Misconfigured for a contract that nobody handles."""
    if contract:
        catalogue.translator(contract)
        return (contract,)
    if source and settings is not None:
        senders = {sender.name for sender in settings.settings.sources}
        systems = {system.name for system in settings.settings.systems}
        if source in systems - senders:
            return contracts_of(catalogue)
        return sender_of(settings.settings, source).contracts
    return contracts_of(catalogue)


def _attributes(stated: Sequence[str], contract: str) -> dict[str, str]:
    attributes = {"type": contract} if contract else {}
    for text in stated:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Misconfigured(
                "attribute-malformed",
                f"{text!r} is no attribute",
                where="--attribute",
                remedy="Write it as NAME=VALUE",
            )
        attributes[name] = value
    return attributes


def _end(said: Sequence[pages.Said]) -> int:
    refused = [row for row in said if row.translation.failure is not None]
    if not refused:
        return Exit.DONE
    failure = refused[0].translation.failure
    assert failure is not None
    problem = problem_of(failure)
    if len(said) > 1:
        problem.what = f"{refused[0].file}: {problem.what}"
    for row in refused[1:]:
        other = row.translation.failure
        assert other is not None
        talk(f"Refused too: {row.file}: {other.what}  [LAY-{other.code}]")
    raise problem


def _body(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Problem(
            Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.USAGE,
            "file-unreadable",
            f"The file {file} cannot be read",
            why=error.strerror or type(error).__name__,
            fix="Name a file that exists and may be read",
        ) from error


@contextmanager
def _on_files() -> Iterator[None]:
    """Whatever the file system refuses ends the command with the file's name."""
    try:
        yield
    except OSError as error:
        raise Problem(
            Exit.USAGE,
            "file-unusable",
            f"{error.filename} cannot be used",
            why=error.strerror or type(error).__name__,
            fix="See that samples may be read and goldens written there",
        ) from error


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    raise Problem(
        Exit.NOT_FOUND,
        "folder-missing",
        f"There is no folder {path}",
        why="samples are the files below a folder",
        fix="Name a folder that exists",
    )
