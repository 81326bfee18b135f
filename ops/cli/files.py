"""Files that a command writes: whole or not at all, and never over another one by mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.cli.problems import Exit, Problem


@contextmanager
def writing(to: Path | None) -> Iterator[None]:
    """What is wrong with the file is not taken for the database's fault."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Problem(
            Exit.USAGE,
            "file-unwritable",
            f"{to or 'Standard output'} cannot be written",
            why=error.strerror or type(error).__name__,
            fix="Name a file that may be written, where there is room for it",
        ) from error


def refuse_existing(out: Path, *, force: bool) -> None:
    """Raises: Problem where there is a folder, or without force anything, of that name."""
    with writing(out):
        is_there = out.is_dir() or (out.exists() and not force)
    if is_there:
        raise Problem(
            Exit.REFUSED,
            "file-exists",
            f"{out} exists",
            why="what was sent to somebody is not written over by mistake",
            fix="Name another file; --force writes over one, but never over a folder",
        )


def write_whole(out: Path, content: bytes) -> None:
    """The file is there whole.

    Crash before the last step: a file of the same name with a dot before it, and nothing else.
    """
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    with writing(out):
        try:
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(out)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
