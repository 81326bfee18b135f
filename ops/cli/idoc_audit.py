"""`layshaft idoc audit`: what became of IDocs that came in, as IDocs for those who sent them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from broker.reading import Reader
from broker.store import Database
from broker.unit import SqlStorage
from handlers import CATALOGUE
from handlers.systems.idoc.audit_out import Reports, reports
from handlers.systems.idoc.outbound import FORMS, write
from ops.cli.files import refuse_existing, write_whole
from ops.cli.output import plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, configuration, on_database
from ops.idoc_audit import Auditor, Found, NotTold
from ops.sources import recogniser
from ops.tables import catalogue_of

_SHOWN = 10


class Audited(msgspec.Struct, frozen=True):
    """What was written. told: what became of how many IDocs. not_told: those of which nothing could
    be told. has_more: there are more messages than were looked at. unsaid: fields that this kind of
    IDoc has no place for, and in how many places each of them says something."""

    file: str
    message: str
    basic_type: str
    bytes: int
    sha256: str
    idocs: int
    told: Mapping[str, int]
    not_told: tuple[NotTold, ...]
    has_more: bool
    unsaid: Mapping[str, int]


def audit_idocs(
    source: str,
    /,
    *,
    since: datetime,
    out: Path,
    message: Literal["ALEAUD", "STATUS"] = "ALEAUD",
    until: datetime | None = None,
    limit: int = 1_000,
    force: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Write IDocs that tell those who sent IDocs through SOURCE what became of them.

    Each goes to the partner that sent them, from the one that they were sent to; of tests it is
    told as of tests. IDocs that answer others are not answered. Exit code 0: all are told of; 1:
    some are not, which is said of each, or there are more messages.

    Parameters
    ----------
    source
        Source through which the IDocs came, as the configuration names it.
    since
        Logged at or after this time (UTC if it says no zone).
    out
        File to write, such as audit.xml.
    message
        ALEAUD for an ALE audit; STATUS sets the status of each IDoc where it was sent.
    until
        Logged before this time.
    limit
        So many messages at most, the oldest first.
    force
        Write over a file that exists.
    """
    refuse_existing(out, force=force)
    found = _look_up(reading, source, _utc(since), _utc(until) if until else None, limit)
    told_at = datetime.now(UTC)
    told = reports(found.outcomes, message, told_at)
    not_told = (*found.not_told, *_untellable(told))
    if not told.addressed:
        raise _nothing_to_tell(source, not_told)
    form = FORMS[message]
    document = write(form, told.addressed, told_at)
    refuse_existing(out, force=force)
    write_whole(out, document.body)
    done = Audited(
        file=str(out),
        message=form.kind[0],
        basic_type=form.kind[1],
        bytes=len(document.body),
        sha256=hashlib.sha256(document.body).hexdigest(),
        idocs=len(told.addressed),
        told=_counted(found, told),
        not_told=not_told,
        has_more=found.has_more,
        unsaid=document.unsaid,
    )
    if reading.is_json:
        put_json(done)
    else:
        screen().fields(_fields(done))
    if done.has_more:
        talk(f"There are more than {plural(limit, 'message')}; see --limit.")
    return Exit.FINDINGS if not_told or done.has_more else Exit.DONE


def _look_up(
    reading: Reading, source: str, since: datetime, until: datetime | None, limit: int
) -> Found:
    if limit < 1:
        raise Problem(
            Exit.USAGE,
            "limit-not-positive",
            f"At most {limit} messages are none",
            why="the limit must be above 0",
            fix="Give --limit 100, or leave it out",
        )
    chosen = configuration(reading)
    catalogue = catalogue_of(chosen, CATALOGUE)

    async def work(database: Database) -> Found:
        reader = Reader(
            storage=SqlStorage(database),
            recognise=recogniser(chosen.settings, catalogue),
            handler_named=catalogue.handler_named,
            read_s=chosen.settings.deadlines.read_s,
        )
        auditor = Auditor(database, reader=reader, catalogue=catalogue, rules=chosen.rules)
        return await auditor.audit(source, since=since, until=until, at_most=limit)

    return on_database(reading, work)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _untellable(told: Reports) -> tuple[NotTold, ...]:
    return tuple(
        NotTold(outcome.control.get("DOCNUM"), f"{failure.what} ({failure.where})")
        for outcome, failure in told.untellable
    )


def _counted(found: Found, told: Reports) -> dict[str, int]:
    """How many IDocs came to which end, of those that are told of."""
    counts = Counter(outcome.fate for outcome in found.outcomes)
    counts.subtract(outcome.fate for outcome, _ in told.untellable)
    return {fate: number for fate, number in counts.items() if number}


def _nothing_to_tell(source: str, not_told: tuple[NotTold, ...]) -> Problem:
    nothing = f"no IDoc that wants an answer came through {source} in that time"
    return Problem(
        Exit.NOT_FOUND,
        "nothing-to-tell",
        f"There is no IDoc of {source} to tell anything of",
        why=_listed(not_told) if not_told else nothing,
        fix="Correct the name of the source, or give an earlier --since",
    )


def _fields(done: Audited) -> list[tuple[str, str]]:
    return [
        ("file", done.file),
        ("bytes", str(done.bytes)),
        ("sha256", done.sha256),
        ("IDocs", f"{done.idocs} of {done.message} in {done.basic_type}"),
        ("told", ", ".join(f"{number} {fate}" for fate, number in done.told.items())),
        ("not told", _listed(done.not_told)),
        ("not in it", ", ".join(f"{path} ({times})" for path, times in done.unsaid.items())),
    ]


def _listed(not_told: tuple[NotTold, ...]) -> str:
    shown = "; ".join(f"{_about(one)}: {one.why}" for one in not_told[:_SHOWN])
    rest = len(not_told) - _SHOWN
    return f"{shown}; and {rest} more" if rest > 0 else shown


def _about(one: NotTold) -> str:
    if one.idoc:
        return f"IDoc {one.idoc}"
    return f"message {one.message}" if one.message else "an IDoc without a number"
