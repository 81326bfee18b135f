"""Folders of samples, each with its goldens beside it or in a folder of the same shape: one of what
the message says, and one of the requests that follow where any do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from canonical.errors import Misconfigured
from ops.mapping.entries import (
    REFUSED,
    Change,
    Entry,
    changes,
    entries_of,
    golden_text,
    is_refused,
    read_golden,
)
from ops.mapping.sample import TABLE, Said

ENDING = ".golden.json"
OUTBOUND = ".outbound.json"
REASONS = "REASONS.md"
_TITLE = "# Why goldens changed\n\n"

Word = Literal["same", "changed", "fails", "succeeds", "new", "gone", "foreign"]

Say = Callable[[Path], Said]


class Compared(msgspec.Struct, frozen=True):
    """A sample against its golden.

    same. changed: says or asks something else. fails: was understood and is refused now; succeeds:
    the other way round. new: has no golden, or none of its requests. gone: a golden without its
    sample. foreign: has no golden and nobody recognises it, such as a page of notes.
    missing: goldens that it has not, by their names; also of one that differs otherwise.
    ignored: what of the sample nobody reads now, by its path; no golden holds it.
    """

    file: str
    word: Word
    changes: tuple[Change, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether somebody has to look at it."""
        return self.word not in ("same", "foreign")


def samples(folder: Path) -> list[Path]:
    """Files that may be samples, below the folder, by name; paths relative to it.

    Raises: Misconfigured where two would have one golden.
    """
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith((ENDING, OUTBOUND, TABLE))
        and path.name != REASONS
    )
    visible = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    taken: dict[Path, Path] = {}
    for path in visible:
        other = taken.setdefault(golden_name(path), path)
        if other != path:
            raise Misconfigured(
                "golden-shared",
                f"{other} and {path} would share {golden_name(path)}",
                where=str(folder),
                remedy="Rename one of them",
            )
    return visible


def golden_name(sample: Path) -> Path:
    """Where the golden of a sample stands: beside it, with another ending."""
    return sample.with_name(sample.stem + ENDING)


def outbound_name(sample: Path) -> Path:
    """Where the golden of its requests stands."""
    return sample.with_name(sample.stem + OUTBOUND)


def goldens_of(sample: Path, said: Said) -> Iterator[tuple[Path, tuple[Entry, ...]]]:
    """The goldens that the sample should have, by name, with what they should hold."""
    yield golden_name(sample), entries_of(said.translation)
    if said.requests:
        yield outbound_name(sample), said.requests


def compare(folder: Path, goldens: Path, say: Say) -> list[Compared]:
    """Every sample of the folder against its goldens, and the goldens without one."""
    names = samples(folder)
    found = [judge(goldens, name, say(folder / name)) for name in names]
    known = {golden(name) for name in names for golden in (golden_name, outbound_name)}
    left = sorted(path for ending in (ENDING, OUTBOUND) for path in goldens.rglob(f"*{ending}"))
    for path in left:
        name = path.relative_to(goldens)
        if name not in known:
            found.append(Compared(str(name), "gone"))
    return found


def record(folder: Path, goldens: Path, say: Say) -> list[Compared]:
    """Goldens written for the samples that lack one; nothing else is touched."""
    found = compare(folder, goldens, say)
    for row in found:
        if row.missing:
            sample = Path(row.file)
            for name, said in goldens_of(sample, say(folder / sample)):
                if str(name) in row.missing:
                    write_golden(goldens / name, said)
    return found


def accept(goldens: Path, sample: Path, said: Said) -> None:
    """The goldens of the sample, which is relative to them, are what it comes to now."""
    for name, entries in goldens_of(sample, said):
        write_golden(goldens / name, entries)
    if not said.requests:
        (goldens / outbound_name(sample)).unlink(missing_ok=True)


def write_golden(path: Path, said: Sequence[Entry]) -> None:
    """The golden is what the sample comes to now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(golden_text(said))


def note_reason(folder: Path, sample: str, fields: int, reason: str, on: date) -> None:
    """The reason stands at the end of the folder's list of reasons."""
    path = folder / REASONS
    before = path.read_text() if path.exists() else _TITLE
    counted = f"{fields} field" if fields == 1 else f"{fields} fields"
    line = f"- {on.isoformat()}, {sample}, {counted}: {' '.join(reason.split())}\n"
    path.write_text(before + ("" if before.endswith("\n") else "\n") + line)


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The golden. Raises: Misconfigured where it is none."""
    try:
        return read_golden(path.read_text())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(
            "golden-unreadable",
            f"{path} is no golden: {error}",
            where=str(path),
            remedy="Take it back from version control, or delete it and record it anew",
        ) from error


def judge(goldens: Path, sample: Path, said: Said) -> Compared:
    """What became of a sample, whose name is relative to the folder of its goldens.

    Raises: Misconfigured for a golden that is none.
    """
    path, beside = goldens / golden_name(sample), goldens / outbound_name(sample)
    missing = tuple(
        str(name) for name, _ in goldens_of(sample, said) if not (goldens / name).exists()
    )
    ignored = said.translation.ignored
    if not path.exists():
        if said.translation.handler is None:
            return Compared(str(sample), "foreign")
        return Compared(str(sample), "new", missing=missing, ignored=ignored)
    golden, now = read_entries(path), entries_of(said.translation)
    asked = changes(read_entries(beside), said.requests) if beside.exists() else ()
    if is_refused(golden) != is_refused(now):
        # Of a refusal, only why; that nothing else is said any more goes without saying.
        told = tuple(change for change in changes(golden, now) if change.kind == REFUSED)
        word: Word = "fails" if is_refused(now) else "succeeds"
    else:
        told = (*changes(golden, now), *asked)
        word = "changed" if told else "new" if missing else "same"
    return Compared(str(sample), word, told, missing, ignored)
