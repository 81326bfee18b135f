"""The folder of an export: it comes into being whole, and says in SOURCE.txt what is in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from canonical.errors import Misconfigured, Rejected

ABOUT = "SOURCE.txt"

_HIDDEN = """\
Masked: names of persons and companies, addresses, contacts, accounts, tax numbers, notes, prices
and amounts, by the names of their fields; mail addresses, IBANs and phone numbers wherever they
stand. The same value has the same replacement in all files here; the key is kept nowhere. Lengths
and magnitudes are those of the originals. Descriptions of items and changes are as they were: read
them before you give this away."""
_NUMBERS = {
    True: "Numbers of items, documents and partners are masked too.",
    False: "Numbers of items, documents and partners are as they were.",
}
_SHOWN = "NOT MASKED: the files hold personal data and prices as they came."


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One file and the message it was.

    time, subject: what its CloudEvents headers said. left_out: files of its archive that are not
    in it.
    """

    file: str
    logged_at: datetime
    source: str
    type: str
    kind: str
    content_type: str
    time: str
    subject: str
    left_out: int


class NotExported(msgspec.Struct, frozen=True):
    """A message that became no file, and why."""

    logged_at: datetime
    source: str
    type: str
    why: str


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What an export came to.

    selected: messages of the log; own: events of ours among them, which are never exported.
    has_more: whether the limit left foreign ones out.
    """

    folder: str
    masked: bool
    with_numbers: bool
    selected: int
    own: int
    has_more: bool
    files: tuple[Exported, ...]
    not_exported: tuple[NotExported, ...]


def about(export: Export, selected: str, at: datetime) -> str:
    """SOURCE.txt. selected: the selection for people."""
    masked = f"{_HIDDEN}\n{_NUMBERS[export.with_numbers]}" if export.masked else _SHOWN
    lines = [
        f"Messages of the log of a Layshaft, exported {at:%Y-%m-%d %H:%M:%S} UTC.",
        f"Selected: {selected}" + (", the oldest of them" if export.has_more else ""),
        "",
        masked,
        "",
        *(f"  {line}" for file in export.files for line in _about_file(file)),
    ]
    if export.not_exported:
        lines += ["", "Not exported:"]
        lines += [
            f"  {_seconds(m.logged_at)} UTC, {m.source}, {m.type}: {m.why}"
            for m in export.not_exported
        ]
    return "\n".join(lines) + "\n"


def _about_file(file: Exported) -> Iterator[str]:
    yield f"{file.file}  {file.type} from {file.source}, logged {_seconds(file.logged_at)} UTC"
    said = (
        ("kind", file.kind),
        ("content type", file.content_type),
        ("time", file.time),
        ("subject", file.subject),
    )
    if any(value for _, value in said):
        yield "  " + ", ".join(f"{name} {_line(value)}" for name, value in said if value)
    if file.left_out:
        yield f"  left out: {file.left_out} more of the files in its archive"


def _seconds(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _line(text: str) -> str:
    """A sender's word within a line of ours."""
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, beside the one it is to become by `move`; gone where it does not.

    Killed: a folder `.<name>.part-...` is left, which nobody takes for an export.
    Raises: Rejected if there is something in `folder`; Misconfigured if nothing can be written.
    """
    with writing(folder):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise _used(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Nobody but who exports may read it.
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write(file: Path, content: bytes, folder: Path) -> None:
    """The content is on disk. Raises: Misconfigured."""
    with writing(folder), file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def move(part: Path, folder: Path) -> None:
    """The folder is there, with all that was written. Raises: Rejected, Misconfigured."""
    with writing(folder):
        try:
            # An empty folder is replaced, any other one is not.
            part.rename(folder)
        except OSError as error:
            if folder.exists():
                raise _used(folder) from error
            raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What is wrong with files is not taken for the database's fault."""
    try:
        yield
    except OSError as error:
        raise Misconfigured(
            "folder-unwritable",
            f"The folder {folder} cannot be written",
            where=error.strerror or type(error).__name__,
            remedy="Name one that may be written, where there is room for it",
        ) from error


def _used(folder: Path) -> Rejected:
    return Rejected(
        "folder-used",
        f"There is something in {folder} already",
        where="nothing is ever overwritten by an export",
        remedy="Name a folder that does not exist yet",
        owner="operations",
    )
