"""The report: lines with what was expected, what was seen, and whether it held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

SHOWN_NAMES = 4
WIDTH = 132


class Line(msgspec.Struct, frozen=True):
    """One statement about the run."""

    chapter: str
    what: str
    expected: str
    observed: str
    held: bool


class Report(msgspec.Struct, frozen=True):
    """All lines of a run. seed: chose the passes at which Layshaft was killed. deadlines: in
    seconds, as they were shortened for the demo."""

    seed: int
    seconds: float
    deadlines: dict[str, float]
    lines: tuple[Line, ...]
    held: bool


def equal(chapter: str, what: str, expected: object, observed: object) -> Line:
    """Held if both are the same."""
    return Line(chapter, what, str(expected), str(observed), expected == observed)


def at_least(chapter: str, what: str, expected: float, observed: float, unit: str = "") -> Line:
    """Held if no less was seen."""
    ending = f" {unit}" if unit else ""
    return Line(
        chapter,
        what,
        f"at least {expected:g}{ending}",
        f"{observed:g}{ending}",
        observed >= expected,
    )


def same(chapter: str, what: str, expected: Collection[object], observed: Sequence[object]) -> Line:
    """Held if nothing is missing, nothing is there that was not asked for, and nothing twice."""
    due, seen = Counter(expected), Counter(observed)
    too_many = seen - due
    faults = {
        "missing": _names(due - seen),
        "not asked for": _names(one for one in too_many if one not in due),
        "too often": _names(one for one in too_many if one in due),
    }
    told = "; ".join(f"{word}: {names}" for word, names in faults.items() if names)
    return Line(
        chapter,
        what,
        f"{len(expected)}, no other",
        f"{len(observed)}, {told or 'no other'}",
        not told,
    )


def show_table(report: Report, console: Console) -> None:
    """The report for people."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("what", "expected", "observed", "held"):
        table.add_column(heading, overflow="fold")
    chapter = ""
    for line in report.lines:
        if line.chapter != chapter:
            chapter = line.chapter
            table.add_section()
            table.add_row(f"[bold]{chapter}[/]")
        held = "yes" if line.held else "[bold red]no[/]"
        table.add_row(f"  {line.what}", line.expected, line.observed, held)
    console.print(table)
    not_held = sum(not line.held for line in report.lines)
    shortened = ", ".join(f"{name} {seconds:g}" for name, seconds in report.deadlines.items())
    console.print(f"Deadlines shortened for the demo, in seconds: {shortened}.")
    console.print(
        f"Kills chosen by seed {report.seed}; LAYSHAFT_DEMO_SEED={report.seed} repeats them."
    )
    console.print(
        f"{len(report.lines)} lines, {not_held} not held, {report.seconds:.1f} s.", highlight=False
    )


def _names(found: Iterable[object]) -> str:
    names = sorted(map(_name, found))
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _name(one: object) -> str:
    if isinstance(one, msgspec.Struct):
        one = msgspec.structs.astuple(one)
    return " ".join(map(str, one)) if isinstance(one, tuple) else str(one)
