"""Data on standard output: as aligned text, as a coloured table on a terminal, or as JSON.

Nothing is cut: on a terminal long text wraps, on a narrow one it goes below its row, elsewhere a
row is one line of any length.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from textwrap import wrap
from typing import TextIO

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES: dict[str, str] = {
    "done": "green", "complete": "green", "resolved": "green", "applied": "green", "ok": "green",
    "approved": "green", "ready": "cyan", "in_flight": "cyan", "open": "cyan", "waiting": "dim",
    "held": "yellow", "in_doubt": "magenta", "warning": "yellow", "failed": "red",
    "problem": "red", "rejected": "red", "unreachable": "red", "skipped": "yellow",
    "cancelled": "dim",
}  # fmt: skip


class Column(msgspec.Struct, frozen=True):
    """A column. is_text: prose that may wrap; everything else stays in one piece."""

    title: str
    is_text: bool = False
    is_number: bool = False


class Screen:
    """Where a command's table output goes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # rich leaves colours out under NO_COLOR by itself.
        self._console = Console(file=stream, highlight=False) if stream.isatty() else None

    def line(self, text: str = "", *, style: str = "") -> None:
        """One paragraph."""
        if self._console is not None:
            self._console.print(Text(printable(text), style=style))
        else:
            self._stream.write(f"{printable(text)}\n")

    def fields(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values, without those that are empty."""
        columns = [Column(""), Column("", is_text=True)]
        self.table(columns, [row for row in rows if row[1]])

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """A table without its empty columns; a cell that is a state word gets its colour."""
        cells = [[printable(cell) for cell in row] for row in rows]
        shown = [n for n in range(len(columns)) if any(row[n] for row in cells)]
        heads = [columns[n] for n in shown]
        picked = [[row[n] for n in shown] for row in cells]
        if self._console is None:
            self._stream.writelines(f"{line}\n" for line in _plain_lines(heads, picked))
        elif fits(heads, picked, self._console.width):
            self._console.print(_rich_table(heads, picked))
        else:
            for line in narrow_lines(heads, picked, self._console.width):
                self._console.print(Text(line))


def screen() -> Screen:
    """Standard output."""
    return Screen(sys.stdout)


def put_json(value: object) -> None:
    """The value on standard output; field names are an interface."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(f"{body.decode()}\n")


def talk(text: str) -> None:
    """A sentence to the person, on standard error."""
    sys.stderr.write(f"{printable(text)}\n")


def moment(at: datetime | None) -> str:
    """A point in time, UTC, to the second; "" for none."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def span(seconds: float) -> str:
    """How long something takes, in its two largest units."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((n for n, (number, _) in enumerate(parts) if number), len(parts) - 1)
    shown = [f"{number} {unit}" for number, unit in parts[first : first + 2] if number]
    return " ".join(shown) or "0 s"


def plural(number: int, word: str) -> str:
    """ "1 step", "2 steps"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def printable(text: str) -> str:
    """The text without what could steer a terminal: controls are shown, not obeyed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        padding=(0, 2, 0, 0),
        show_header=any(column.title for column in columns),
    )
    for column in columns:
        table.add_column(
            column.title,
            no_wrap=not column.is_text,
            # Where the terminal is too narrow for an id it goes on in the next line.
            overflow="fold",
            justify="right" if column.is_number else "left",
        )
    for row in rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return table


def _style(cell: str) -> str:
    return STYLES.get(cell.removesuffix(" (late)").replace(" ", "_"), "")


def _plain_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    head = [column.title for column in columns]
    lines = [head, *rows] if any(head) else rows
    widths = [max((cell_len(line[n]) for line in lines), default=0) for n in range(len(columns))]
    return [
        "  ".join(
            _padded(cell, width, right=column.is_number)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    ]


# Prose in a narrower column than this is read letter by letter.
_TEXT_WIDTH = 24


def fits(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a table of these rows can be read on a terminal of that width."""
    widths = _widths(columns, rows)
    whole = sum(widths[n] for n, column in enumerate(columns) if not column.is_text)
    texts = sum(c.is_text for c in columns)
    return whole + texts * _TEXT_WIDTH + 2 * (len(columns) - 1) <= width


def narrow_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The rows for a narrow terminal: a row's prose below it, or one line a cell."""
    pieces = [n for n, column in enumerate(columns) if not column.is_text]
    texts = [n for n, column in enumerate(columns) if column.is_text]
    heads = [columns[n] for n in pieces]
    table = _plain_lines(heads, [[row[n] for n in pieces] for row in rows])
    if max(map(cell_len, table)) > width:
        return _cell_by_cell(columns, rows, width)
    head_lines = len(table) - len(rows)
    lines = table[:head_lines]
    for line, row in zip(table[head_lines:], rows, strict=True):
        lines.append(line)
        for n in texts:
            lines += wrap(row[n], width, initial_indent="    ", subsequent_indent="    ")
    return lines


def _cell_by_cell(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> list[str]:
    name_width = max(cell_len(column.title) for column in columns)
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for column, cell in zip(columns, row, strict=True):
            if cell:
                name = _padded(column.title, name_width, right=False) + "  "
                lines += wrap(cell, width, initial_indent=name, subsequent_indent=" " * len(name))
    return lines


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max((cell_len(cell) for cell in (column.title, *(row[n] for row in rows))), default=0)
        for n, column in enumerate(columns)
    ]


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if right else cell + blanks
