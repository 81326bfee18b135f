"""Folders of samples, each with its goldens beside it or in a folder of the same shape: one of what
the message says, and one of the requests that follow where any do. What was recorded or accepted
has its digest beside it, so that a golden that was changed by hand is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from hashlib import sha256
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
SUMS = "SHA256SUMS"
_TITLE = "# Why goldens changed\n\n"

Word = Literal["same", "changed", "fails", "succeeds", "new", "gone", "altered", "foreign"]

Say = Callable[[Path], Said]


class Compared(msgspec.Struct, frozen=True):
    """A sample against its golden.

    same. changed: says or asks something else. fails: was understood and is refused now; succeeds:
    the other way round. new: has no golden, or none of its requests. gone: a golden without its
    sample. altered: is as its golden, which is not as it was recorded or accepted. foreign: has no
    golden and nobody recognises it, such as a page of notes.
    missing: goldens that it has not, by their names; also of one that differs otherwise. altered:
    goldens that were changed by hand.
    ignored: what of the sample nobody reads now, by its path; no golden holds it.
    """

    file: str
    word: Word
    changes: tuple[Change, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

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
        and path.name not in (REASONS, SUMS)
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
    """Goldens written for the samples that lack one, and digests of those that lack theirs; nothing
    else is touched."""
    found = compare(folder, goldens, say)
    for row in found:
        if row.word == "same":
            _seal_unsealed(goldens, Path(row.file))
        if row.missing:
            sample = Path(row.file)
            for name, said in goldens_of(sample, say(folder / sample)):
                if str(name) in row.missing:
                    write_golden(goldens / name, said)
            _seal_unsealed(goldens, sample)
    return found


def accept(goldens: Path, sample: Path, said: Said) -> None:
    """The goldens of the sample, which is relative to them, are what it comes to now."""
    for name, entries in goldens_of(sample, said):
        write_golden(goldens / name, entries)
        seal(goldens / name)
    if not said.requests:
        (goldens / outbound_name(sample)).unlink(missing_ok=True)
        seal(goldens / outbound_name(sample))


def read_sums(folder: Path) -> Mapping[str, str]:
    """Digests of the folder's goldens as they were recorded or accepted, by their names; none where
    nothing was since digests are kept. Raises: Misconfigured where it is no list of them."""
    path = folder / SUMS
    lines = path.read_text().splitlines() if path.exists() else []
    found = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not all(found):
        raise Misconfigured(
            "sums-unreadable",
            f"{path} has a line that is no digest and name",
            where=str(path),
            remedy="Take it back from version control",
        )
    return found


def seal(golden: Path) -> None:
    """The golden counts as it is now; one that is not there has no digest."""
    sums = dict(read_sums(golden.parent))
    sums.pop(golden.name, None)
    if golden.exists():
        sums[golden.name] = digest_of(golden)
    (golden.parent / SUMS).write_text(_lines(sums))


def sums_of(goldens: Mapping[str, str]) -> str:
    """The list of digests of goldens, which are given by their names."""
    return _lines({name: sha256(text.encode()).hexdigest() for name, text in goldens.items()})


def _lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def _seal_unsealed(goldens: Path, sample: Path) -> None:
    sums = read_sums((goldens / sample).parent)
    for name in (golden_name(sample), outbound_name(sample)):
        if (goldens / name).exists() and name.name not in sums:
            seal(goldens / name)


def digest_of(golden: Path) -> str:
    """As `sha256sum` tells it."""
    return sha256(golden.read_bytes()).hexdigest()


def altered(goldens: Path, sample: Path) -> tuple[str, ...]:
    """Goldens of the sample, by their names, that are not as they were recorded or accepted. One
    that has no digest is from before they were kept."""
    sums = read_sums((goldens / sample).parent)
    names = (golden_name(sample), outbound_name(sample))
    kept = (name for name in names if name.name in sums and (goldens / name).exists())
    return tuple(str(name) for name in kept if digest_of(goldens / name) != sums[name.name])


def write_golden(path: Path, said: Sequence[Entry]) -> None:
    """The golden is what the sample comes to now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(golden_text(said))


def note_reason(folder: Path, sample: str, found: Compared, reason: str, on: date) -> None:
    """The reason stands at the end of the folder's list of reasons."""
    path = folder / REASONS
    before = path.read_text() if path.exists() else _TITLE
    fields = len(found.changes)
    counted = f"{fields} field" if fields == 1 else f"{fields} fields"
    if found.word == "altered":
        counted = "by hand"
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
    by_hand = altered(goldens, sample)
    if word == "same" and by_hand:
        word = "altered"
    return Compared(str(sample), word, told, missing, ignored, by_hand)
