"""Folders of samples, each with its golden beside it or in a folder of the same shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
from ops.mapping.translation import Translation

ENDING = ".golden.json"
REASONS = "REASONS.md"
# Of a table that maps the rows beside it.
TABLE = ".toml"
# Of a file with the headers that the sample beside it comes with: CloudEvents attributes by name.
HEADERS = ".headers.toml"
_TITLE = "# Why goldens changed\n\n"

Word = Literal["same", "changed", "fails", "succeeds", "new", "gone", "foreign"]

Say = Callable[[Path], Translation]


class Compared(msgspec.Struct, frozen=True):
    """A sample against its golden.

    same. changed: says something else. fails: was understood and is refused now; succeeds: the
    other way round. new: has no golden. gone: a golden without its sample. foreign: has no golden
    and nobody recognises it, such as a page of notes.
    ignored: what of the sample nobody reads now, by its path; no golden holds it.
    """

    file: str
    word: Word
    changes: tuple[Change, ...] = ()
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
        if path.is_file() and not path.name.endswith((ENDING, TABLE)) and path.name != REASONS
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


def headers_of(sample: Path) -> dict[str, str]:
    """What stands in the file of headers beside a sample; none where there is none.

    Raises: Misconfigured for a file that is anything else than names and texts.
    """
    path = sample.with_name(sample.stem + HEADERS)
    if not path.is_file():
        return {}
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, str])
    except (msgspec.MsgspecError, ValueError) as error:
        raise Misconfigured(
            "headers-unreadable",
            f"{path} holds no headers: {error}",
            where=str(path),
            remedy='Write each as a line like: type = "coupa.order"',
        ) from error


def headers_text(headers: Mapping[str, str]) -> str:
    """The headers as such a file has them."""
    lines = (f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in headers.items())
    return "".join(f"{line}\n" for line in lines)


def compare(folder: Path, goldens: Path, say: Say) -> list[Compared]:
    """Every sample of the folder against its golden, and the goldens without one."""
    names = samples(folder)
    found = [_compared(folder, goldens, name, say) for name in names]
    known = {golden_name(name) for name in names}
    for path in sorted(goldens.rglob(f"*{ENDING}")):
        name = path.relative_to(goldens)
        if name not in known:
            found.append(Compared(str(name), "gone"))
    return found


def record(folder: Path, goldens: Path, say: Say) -> list[Compared]:
    """Goldens written for the samples that have none; nothing else is touched."""
    found = compare(folder, goldens, say)
    for row in found:
        if row.word == "new":
            said = say(folder / row.file)
            write_golden(goldens / golden_name(Path(row.file)), entries_of(said))
    return found


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


def judge(file: str, golden: Sequence[Entry], said: Sequence[Entry]) -> Compared:
    """What became of a sample."""
    if is_refused(golden) != is_refused(said):
        # Of a refusal, only why; that nothing else is said any more goes without saying.
        told = [change for change in changes(golden, said) if change.kind == REFUSED]
        return Compared(file, "fails" if is_refused(said) else "succeeds", tuple(told))
    found = changes(golden, said)
    return Compared(file, "changed" if found else "same", found)


def _compared(folder: Path, goldens: Path, name: Path, say: Say) -> Compared:
    golden = goldens / golden_name(name)
    said = say(folder / name)
    if golden.exists():
        found = judge(str(name), read_entries(golden), entries_of(said))
    else:
        found = Compared(str(name), "foreign" if said.handler is None else "new")
    return msgspec.structs.replace(found, ignored=said.ignored)
