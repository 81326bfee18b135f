"""What a person reads when a command did not do what was asked: what, why, what to do, and a code.

The exit codes are an interface: scripts decide by them, whatever the output format.
"""

from __future__ import annotations

import difflib
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from broker.principals import without_tokens
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    CONFLICT = 6
    BUG = 70
    INTERRUPTED = 130


class Problem(Exception):
    """A command ends here. code: kebab-case word, shown as LAY-<code>."""

    def __init__(self, exit_code: Exit, code: str, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"LAY-{code}: {what}")
        self.exit_code = exit_code
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix

    def text(self) -> str:
        """Three lines and the code, for standard error."""
        return (
            f"layshaft: {_line(self.what)}  [LAY-{self.code}]\n"
            f"  why:  {_line(self.why)}\n"
            f"  do:   {_line(self.fix)}"
        )


def problem_of(failure: Failure) -> Problem:
    """A failure of the runtime as the end of a command."""
    match failure:
        case Rejected(code="not-found"):
            exit_code = Exit.NOT_FOUND
        case Conflict():
            exit_code = Exit.CONFLICT
        case Unavailable() | InDoubt():
            exit_code = Exit.UNREACHABLE
        case Misconfigured() | InvalidMessage():
            exit_code = Exit.USAGE
        case _:
            exit_code = Exit.REFUSED
    return Problem(
        exit_code,
        failure.code,
        failure.what,
        why=failure.where or f"{failure.word}, {failure.owner} decides",
        fix=failure.remedy or f"Ask {failure.owner}",
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names what is nearest, with a blank behind it; "" where nothing is near."""
    near = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.5)
    return f"Did you mean {', '.join(near)}? " if near else ""


def not_found(kind: str, name: str, known: Iterable[str]) -> Problem:
    """There is no such thing; names what is nearest to it."""
    meant = did_you_mean(name, known)
    listing = {"trace": "change list"}.get(kind, f"{kind} list")
    if kind == "trace":
        what, why = f"Nothing is known of {name!r}", "no message, document, step or case names it"
    else:
        what, why = f"There is no {kind} {name!r}", f"no {kind} of this database has that number"
    return Problem(
        Exit.NOT_FOUND, "not-found", what, why=why, fix=f"{meant}See: layshaft {listing}"
    )


def bug(error: BaseException, environ: Mapping[str, str]) -> Problem:
    """A defect of ours: the traceback goes into a file, never onto the screen."""
    log = _log_folder(environ) / f"layshaft-bug-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
    log.write_text(without_tokens("".join(traceback.format_exception(error))))
    return Problem(
        Exit.BUG,
        "defect",
        f"Layshaft failed with {type(error).__name__}",
        why="this is a defect of Layshaft, not of what you typed",
        fix=f"Report it with {log}",
    )


def _log_folder(environ: Mapping[str, str]) -> Path:
    state = Path(environ.get("LAYSHAFT_STATE_DIR", ".layshaft"))
    return state if state.is_dir() else Path(tempfile.gettempdir())


def _line(text: str) -> str:
    """One line without control characters, which may come from somebody else's message, and without
    a token that somebody gave in the wrong place."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return without_tokens(" ".join(printable.split()))
