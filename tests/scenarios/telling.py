"""Stories as they are written down: Markdown in, sentences with their tables out. Pure but for the
files it reads; knows no sentence by itself (the `vocabulary` does).

README.md beside this file says how a story is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

Part = Literal["given", "when", "then"]

_HEADING = re.compile(r"(#+)\s+(.*\S)")
_BULLET = re.compile(r"-\s+(.*\S)")
_RULER = re.compile(r"[-:| ]+")
_SAME_AS = re.compile(r"everything is as in \[[^]]*\]\(([\w.-]+)\)")
_FOR = re.compile(r"<([a-z ]+)>")
# A bar inside of a cell has a backslash before it.
_CELLS, _BAR = re.compile(r"(?<!\\)\|"), re.compile(r"\\\|")
# Of these columns a cell may name several things, with commas: the row stands for each of them.
SEVERAL = frozenset({"plant", "system", "object", "operation", "item", "parent", "component"})


class Misspelt(Exception):
    """A story that cannot be understood, with its file and line."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class Row(msgspec.Struct, frozen=True):
    """One row of a table. line: of the file, from 1. cells: by column."""

    line: int
    cells: Mapping[str, str]


class Table(msgspec.Struct, frozen=True):
    """A table below a sentence; its first column says what it is about. end: its last line."""

    end: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...] = ()


class Sentence(msgspec.Struct, frozen=True):
    """One point of a list, with the tables below it.

    where: "file:line". section: line of the heading that it stands below.
    """

    part: Part
    text: str
    where: str
    section: int = 0
    tables: tuple[Table, ...] = ()

    def table(self, about: str) -> Table:
        """The table whose first column is `about`. Raises: Misspelt."""
        found = next((t for t in self.tables if t.columns[0] == about), None)
        if found is None:
            raise Misspelt(self.where, f"a table is missing whose first column is {about!r}")
        return found

    def has(self, about: str) -> bool:
        """Whether there is such a table."""
        return any(table.columns[0] == about for table in self.tables)


class Story(msgspec.Struct, frozen=True):
    """What is given, then events and what has to be true after them, in this order."""

    name: str
    sentences: tuple[Sentence, ...]


class _Told(msgspec.Struct):
    """A file half read. common: sentences for all stories that follow."""

    title: str = ""
    common: tuple[Sentence, ...] = ()
    stories: tuple[tuple[str, tuple[Sentence, ...]], ...] = ()


def read_stories(file: Path) -> list[Story]:
    """The stories of a file, in its order: one below each heading that begins with "Story:", or,
    where there is none, the whole file.

    A table that begins with a column in angle brackets tells the story once for each of its rows.
    Raises: Misspelt.
    """
    told = _read(file)
    stories = told.stories or ((told.title, ()),)
    return [
        Story(name, (*told.common, *sentences))
        for title, own in stories
        for name, sentences in _varied(title, own)
    ]


def _read(file: Path) -> _Told:
    part: Part = "given"
    told, section = _Told(), 0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{file.name}:{number}"
        if heading := _HEADING.fullmatch(line):
            words, section = heading[2], number
            if words.casefold() in get_args(Part):
                part = cast(Part, words.casefold())
            elif words.startswith("Story:"):
                told.stories += ((words.removeprefix("Story:").strip(), ()),)
            elif not told.title:
                told.title = words
        elif bullet := _BULLET.fullmatch(line):
            text = bullet[1].replace("`", "").replace("**", "")
            _add(told, *_sentences(file, Sentence(part, text, where, section)))
        elif line.startswith("  ") and line.strip() and not line.strip().startswith("|"):
            _go_on(told, line.strip().replace("`", ""), where)
        elif line.strip().startswith("|"):
            _add_row(told, line, number, where)
    return told


def _sentences(file: Path, sentence: Sentence) -> Sequence[Sentence]:
    """The sentence, or those of the file that it refers to."""
    same = _SAME_AS.fullmatch(sentence.text)
    return _read(file.parent / same[1]).common if same else (sentence,)


def _add(told: _Told, *sentences: Sentence) -> None:
    if told.stories:
        *before, (name, own) = told.stories
        told.stories = (*before, (name, (*own, *sentences)))
    else:
        told.common += sentences


def _replace_last(told: _Told, where: str, **changes: object) -> None:
    last = _last(told, where)
    changed = msgspec.structs.replace(last, **changes)
    if told.stories:
        *before, (name, own) = told.stories
        told.stories = (*before, (name, (*own[:-1], changed)))
    else:
        told.common = (*told.common[:-1], changed)


def _last(told: _Told, where: str) -> Sentence:
    sentences = told.stories[-1][1] if told.stories else told.common
    if not sentences:
        raise Misspelt(where, "nothing is said yet that this belongs to")
    return sentences[-1]


def _go_on(told: _Told, words: str, where: str) -> None:
    last = _last(told, where)
    if not last.tables:
        _replace_last(told, where, text=f"{last.text} {words}")


def _add_row(told: _Told, line: str, number: int, where: str) -> None:
    """Head, ruler or row: the first line of a table is its head."""
    last = _last(told, where)
    inner = line.strip().removeprefix("|").removesuffix("|")
    cells = tuple(_BAR.sub("|", cell).strip().replace("`", "") for cell in _CELLS.split(inner))
    table = last.tables[-1] if last.tables else None
    if table is None or number != table.end + 1:
        _replace_last(told, where, tables=(*last.tables, Table(number, cells)))
        return
    if len(cells) != len(table.columns):
        raise Misspelt(where, f"{len(cells)} cells in a table of {len(table.columns)} columns")
    row = Row(number, dict(zip(table.columns, cells, strict=True)))
    own = () if _RULER.fullmatch(line.strip()) else (row,)
    grown = msgspec.structs.replace(table, end=number, rows=(*table.rows, *own))
    _replace_last(told, where, tables=(*last.tables[:-1], grown))


def rows_of(table: Table) -> list[Row]:
    """The rows, those that stand for several written out."""
    return [each for row in table.rows for each in _written_out(row)]


def _written_out(row: Row) -> Iterator[Row]:
    choices = [
        [part.strip() for part in cell.split(",")] if column in SEVERAL else [cell]
        for column, cell in row.cells.items()
    ]
    for chosen in product(*choices):
        yield Row(row.line, dict(zip(row.cells, chosen, strict=True)))


def _varied(
    title: str, sentences: tuple[Sentence, ...]
) -> Iterator[tuple[str, tuple[Sentence, ...]]]:
    """The story, or one of it for each row of the table that says for what it is told."""
    varies = next((s for s in sentences if s.text.startswith("this is told for each")), None)
    if varies is None:
        yield title, sentences
        return
    rest = tuple(s for s in sentences if s is not varies)
    (table,) = varies.tables
    for row in table.rows:
        first = row.cells[table.columns[0]]
        yield f"{title}, {first}", tuple(_with(row.cells, sentence) for sentence in rest)


def _with(cells: Mapping[str, str], sentence: Sentence) -> Sentence:
    def put(text: str) -> str:
        return _FOR.sub(lambda found: cells.get(found[1], found[0]), text)

    tables = tuple(
        msgspec.structs.replace(
            table,
            rows=tuple(
                Row(row.line, {column: put(cell) for column, cell in row.cells.items()})
                for row in table.rows
            ),
        )
        for table in sentence.tables
    )
    return msgspec.structs.replace(sentence, text=put(sentence.text), tables=tables)
