"""Bytes into rows of text: CSV and JSON, under limits, and nothing understood yet.

A row is counted as a spreadsheet counts it: the line with the names is row 1, a cell with line
breaks is within one row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from canonical.codec import check_keys, check_shape, check_size, guard
from canonical.errors import InvalidMessage
from handlers.systems.table.native import Csv, Json

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COLUMNS = 500
# As many as a cell of a spreadsheet holds; the csv module gives up at 131,072 by itself.
MAX_CELL_CHARS = 32_767
_MAX_NAME_CHARS = 100
# Around a cell they come from files and copy-and-paste and mean nothing.
BLANKS = " \t\r\n\u00a0"

# What a file begins with that is written in another encoding than the table says.
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Cell = str | tuple[str, ...]
# None: a list of something else than texts, which no field is filled by.
Found = dict[str, Cell | None]


class Row(msgspec.Struct, frozen=True):
    """Cells by column, without blanks around them; a column that is missing here is empty.

    place: for a person who looks for it: "row 17".
    """

    place: str
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell. Raises: InvalidMessage where it is a list."""
        cell = self.cells.get(column, "")
        if not isinstance(cell, str):
            raise InvalidMessage(
                "value-malformed",
                "There is a list where one value belongs",
                where=self.where(column),
                remedy="Send one value, or have the table say what fills the field",
            )
        return cell

    def where(self, column: str) -> str:
        """A cell, for a person."""
        return f'{self.place}, column "{shown(column)}"'


class Rows(msgspec.Struct, frozen=True):
    """All rows that are not blank, and the columns that the table does not name."""

    rows: tuple[Row, ...]
    unknown: tuple[str, ...]


def read_csv(body: bytes, form: Csv, used: Sequence[str], ignored: Sequence[str]) -> Rows:
    """The rows of a CSV file; used: columns that have to be there.

    Raises: InvalidMessage for content in another encoding, quotes that do not close, names that are
        missing or stand there twice, rows that are shorter or longer than the names, and limits.
    """
    check_size(body, limit=MAX_BYTES, where="file")
    lines = _lines(_decoded(body, form), form)
    header = form.header or tuple(_header(lines))
    places = _places(header, used)
    last = max(places.values())
    unknown = {at: name for name, at in places.items() if name not in {*used, *ignored}}
    wanted = [(column, places[column]) for column in used]
    rows: list[Row] = []
    unnamed = False
    for number, cells in lines:
        if not any(cell.strip(BLANKS) for cell in cells):
            continue
        _check_row(number, cells, len(header), last, len(rows))
        unnamed = unnamed or any(
            cell.strip(BLANKS) for name, cell in zip(header, cells, strict=False) if not name
        )
        rows.append(
            Row(f"row {number}", {column: cells[at].strip(BLANKS) for column, at in wanted})
        )
    names = [unknown[at] for at in sorted(unknown)] + ["(without a name)"] * unnamed
    return Rows(_some(rows), tuple(names))


def _decoded(body: bytes, form: Csv) -> str:
    for mark, encoding in _MARKS.items():
        if body.startswith(mark) and encoding != form.encoding:
            raise _wrong(
                "encoding-other",
                f"It begins with the byte order mark of {encoding}; the table says {form.encoding}",
                "file",
                "Save it as the table says, or correct `encoding` in the table",
            )
    try:
        text = body.decode(form.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _wrong(
            "undecodable",
            f"The byte {body[error.start]:#04x} in line {line} is no {form.encoding}",
            f"line {line}",
            "Save it as the table says, or correct `encoding` in the table",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _wrong(
            "character-forbidden",
            f"There is a NUL in line {line}",
            f"line {line}",
            "Remove the character at the source and send again",
        )
    return text


def _lines(text: str, form: Csv) -> Iterator[tuple[int, list[str]]]:
    """Rows with their numbers."""
    options: dict[str, Any] = {"delimiter": form.delimiter, "strict": True}
    if form.quote:
        options["quotechar"] = form.quote
    else:
        options["quoting"] = csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), **options)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _wrong(
                "csv-malformed",
                f"The row cannot be read: {error}",
                f"row {number}",
                "Check quotes and delimiter; a quote within a quoted cell is written twice",
            ) from error
        yield number, cells


def _header(lines: Iterator[tuple[int, list[str]]]) -> Iterator[str]:
    """The names of the first row that is not blank."""
    for _, cells in lines:
        if any(cell.strip(BLANKS) for cell in cells):
            yield from (cell.strip(BLANKS) for cell in cells)
            return


def _places(header: Sequence[str], used: Sequence[str]) -> dict[str, int]:
    """Where each named column stands."""
    if len(header) > MAX_COLUMNS:
        raise beyond(f"{len(header)} columns", f"{MAX_COLUMNS} columns", "row 1")
    places: dict[str, int] = {}
    for at, name in enumerate(header):
        if name in places:
            raise _wrong(
                "column-twice",
                f'Two columns are called "{shown(name)}"',
                "row 1",
                "Give each column a name of its own",
            )
        if name:
            places[name] = at
    if missing := [column for column in used if column not in places]:
        raise _wrong(
            "column-missing",
            f"There is no column {_listed(missing)}; there are {_listed(list(places))}",
            "row 1",
            "Send the columns that the table names, or correct the table or its delimiter",
        )
    return places


def _check_row(number: int, cells: Sequence[str], named: int, last: int, before: int) -> None:
    place = f"row {number}"
    if before == MAX_ROWS:
        raise beyond("more rows", f"{MAX_ROWS} rows", place)
    if len(cells) <= last or any(cell.strip(BLANKS) for cell in cells[named:]):
        raise _wrong(
            "row-length",
            f"The row has {len(cells)} cells, the names are {named}",
            place,
            "Send as many cells as names; put cells with the delimiter in them into quotes",
        )
    for cell in cells:
        _check_cell(cell, place)


def read_json(
    body: bytes, form: Json, used: Sequence[str], ignored: Sequence[str], values: int
) -> Rows:
    """The rows of a JSON document; names of nested objects are joined with points.

    values: that it may have at most.
    Raises: InvalidMessage for content that is no JSON, for paths that lead to no records, for a
        name that stands there twice, and for limits.
    """
    records = _at(_document(body, values), form.records, "document")
    rows: list[Row] = []
    unknown: dict[str, None] = {}
    for number, record in enumerate(_objects(records, form.records or "document"), 1):
        for place, cells in _record(record, form, f"record {number}"):
            if len(rows) == MAX_ROWS:
                raise beyond("more rows", f"{MAX_ROWS} rows", place)
            if len(cells) > MAX_COLUMNS:
                raise beyond(f"{len(cells)} values", f"{MAX_COLUMNS} of them", place)
            unknown.update(dict.fromkeys(_not_named(cells, used, ignored)))
            if any(cell is None or cell for cell in cells.values()):
                rows.append(Row(place, dict(_used(cells, used, place))))
    return Rows(_some(rows), tuple(unknown))


def _document(body: bytes, values: int) -> Any:
    check_size(body, limit=MAX_BYTES, where="document")
    guard(body.decode, where="document")
    check_shape(body, limit=values, where="document")
    # A number stays the text it is written as: a float would be another number.
    decoder = msgspec.json.Decoder(float_hook=str)
    document = guard(lambda: decoder.decode(body), where="document")
    check_keys(body, where="document")
    return document


def _at(value: Any, path: str, where: str) -> Any:
    for name in path.split(".") if path else ():
        if not isinstance(value, dict) or name not in value:
            raise _wrong(
                "records-missing",
                f'There is no "{shown(name)}" where the table says that rows stand',
                where,
                "Send it as before, or correct `records` or `rows` in the table",
            )
        value = value[name]
    return value


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in found):
        raise _wrong(
            "records-missing",
            "There is something else than objects where the table says that rows stand",
            where,
            "Send a list of objects, or correct `records` or `rows` in the table",
        )
    return found


def _used(cells: Found, used: Sequence[str], place: str) -> Iterator[tuple[str, Cell]]:
    for column in used:
        cell = cells.get(column, "")
        if cell is None:
            raise _wrong(
                "value-malformed",
                "A list of something else than texts is no value of a row",
                f'{place}, column "{shown(column)}"',
                "Send it flat, or have the table say that rows stand there",
            )
        if column in cells:
            yield column, cell


def _record(record: dict[str, Any], form: Json, place: str) -> Iterator[tuple[str, Found]]:
    """The record as rows: one, or one for each object of its list."""
    if not form.rows:
        yield place, _flat(record, place)
        return
    listed = _objects(_at(record, form.rows, place), f"{place}, {form.rows}")
    said = _flat(record, place, without=form.rows)
    if not listed:
        yield place, said
    for number, row in enumerate(listed, 1):
        where = f"{place}, {form.rows} {number}"
        yield where, said | _flat(row, where, below=f"{form.rows}.")


def _flat(level: dict[str, Any], place: str, *, below: str = "", without: str = "") -> Found:
    # Nesting is bounded by check_shape.
    cells: Found = {}
    for name, value in level.items():
        path = f"{below}{name}"
        if without and path == without:
            continue
        found = (
            _flat(value, place, below=f"{path}.", without=without)
            if isinstance(value, dict)
            else {path: _cell(value, f'{place}, column "{shown(path)}"')}
        )
        if twice := cells.keys() & found.keys():
            raise _wrong(
                "column-twice",
                f'"{shown(min(twice))}" stands there in two ways',
                place,
                "Send each value once",
            )
        cells |= found
    return cells


def _cell(value: Any, where: str) -> Cell | None:
    match value:
        case None:
            return ""
        case str():
            _check_cell(value, where)
            return value.strip(BLANKS)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list() if all(isinstance(one, str) for one in value):
            for one in value:
                _check_cell(one, where)
            return tuple(one.strip(BLANKS) for one in value)
    return None


def _not_named(cells: Found, used: Sequence[str], ignored: Sequence[str]) -> Iterator[str]:
    """Names that the table neither uses nor ignores; who ignores a name ignores what is below."""
    for name in cells:
        parts = name.split(".")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        if name not in used and not any(path in ignored for path in above):
            yield name


def _some(rows: list[Row]) -> tuple[Row, ...]:
    if not rows:
        raise _wrong("rows-missing", "There is no row in it", "file", "Send it with rows")
    return tuple(rows)


def _check_cell(cell: str, where: str) -> None:
    if len(cell) > MAX_CELL_CHARS:
        raise beyond(f"a cell of {len(cell)} characters", f"{MAX_CELL_CHARS} characters", where)


def shown(text: str) -> str:
    """A name out of a file, printable and short."""
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_NAME_CHARS]


def _listed(names: list[str]) -> str:
    first = ", ".join(f'"{shown(name)}"' for name in names[:20])
    return f"{first} and {len(names) - 20} more" if len(names) > 20 else first or "none"


def beyond(what: str, limit: str, where: str) -> InvalidMessage:
    """It is larger than anything that is taken."""
    return _wrong(
        "table-too-large", f"It has {what}; at most {limit} are taken", where, "Send it in parts"
    )


def _wrong(code: str, what: str, where: str, remedy: str) -> InvalidMessage:
    return InvalidMessage(code, what, where=where, remedy=remedy)
