"""Canonical objects into a file of anybody's, by the table that reads it.

What is written is read back as the same, or refused with object and field. What no column of the
table carries stays here: `unsaid` tells which fields that is.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from canonical.bom import Bom, PlantBomState
from canonical.codec import encode
from canonical.designators import Ranges, with_single_names
from canonical.errors import InvalidMessage
from handlers.systems.table.mapping import Filling, Mapped, Part
from handlers.systems.table.native import Csv, Json, flat_fields
from handlers.systems.table.rows import BLANKS, MAX_BYTES, MAX_CELL_CHARS, MAX_ROWS, shown
from handlers.systems.table.targets import Branch
from handlers.systems.table.writing import is_absent, unwritable

Cells = dict[str, str | list[str]]

_UNQUOTED = {"quoting": csv.QUOTE_NONE, "quotechar": None}
# What follows from the rest and from who sends it, whichever columns there are.
_DERIVED = frozenset({"version", "ordinal", "origin"})


def write(mapped: Mapped, objects: Sequence[msgspec.Struct]) -> bytes:
    """The file, which holds these objects in their order. An object of an ERP's patches is written
    as it is after them.

    Raises: InvalidMessage, naming object and field, for what a cell cannot say, and for more than
        a file may hold.
    """
    found = []
    for one in objects:
        name = " ".join(str(getattr(one, field)) for field in mapped.target.identity)
        _check_designators(mapped, one, name)
        found.append((name, list(_rows(mapped.root, one, name))))
        _check_no_test(mapped, found[-1][1], name)
    rows = sum(len(of) for _, of in found)
    if rows > MAX_ROWS:
        raise _too_large(f"{rows} rows; at most {MAX_ROWS} are taken")
    if mapped.table.csv is not None:
        body = _csv(mapped, mapped.table.csv, found)
    else:
        assert mapped.table.json is not None
        body = _json(mapped.table.json, found)
    if len(body) > MAX_BYTES:
        raise _too_large(f"{len(body)} bytes; at most {MAX_BYTES} are taken")
    return body


def _check_no_test(mapped: Mapped, rows: Sequence[Cells], name: str) -> None:
    mark = mapped.table.test
    if mark is not None and any(row.get(mark.column) in mark.words for row in rows):
        raise unwritable(
            f"What stands in {shown(mark.column)!r} marks a test, and the file would be refused",
            name,
            "Have another column of the table mark tests",
        )


def _check_designators(mapped: Mapped, one: msgspec.Struct, name: str) -> None:
    lines = mapped.root.lists.get("lines")
    is_told = lines is not None and "reference_designators" in lines.fillings
    if is_told and isinstance(one, Bom | PlantBomState) and with_single_names(one, Ranges()) != one:
        raise unwritable(
            "A reference designator would be read as a range of them",
            f"{name} lines reference_designators",
            "Have the BOM stated again, or leave it out",
        )


def unsaid(mapped: Mapped, objects: Sequence[msgspec.Struct]) -> Mapping[str, int]:
    """Fields that say something and that no column carries, each with how often it does."""
    found: Counter[str] = Counter()
    for one in objects:
        found.update(_unsaid(mapped.target.root, mapped.root, one, ""))
    return dict(sorted(found.items()))


# --- objects into rows ---


def _rows(part: Part, value: Any, where: str) -> Iterator[Cells]:
    """The rows that say the object: one, or one for each element of its list."""
    rows: list[Cells] = [{}]
    for name, filling in part.fillings.items():
        cell = _cell(part, name, filling, getattr(value, name), where)
        if filling.column:
            rows = [_joined(row, {filling.column: cell}, f"{where} {name}") for row in rows]
    for name, texts in part.texts.items():
        stated = getattr(value, name)
        for key, filling in texts.items():
            cell = _cell(part, "", filling, stated.get(key, ""), f"{where} {name}.{key}")
            rows = [_joined(row, {filling.column: cell}, where) for row in rows]
    for name, below in part.parts.items():
        one = getattr(value, name)
        if is_absent(one):
            continue
        found = list(_rows(below, one, f"{where} {name}"))
        rows = [_joined(row, more, f"{where} {name}") for row in rows for more in found]
    for name, below in part.lists.items():
        found = _elements(below, getattr(value, name) or (), f"{where} {name}")
        rows = [_joined(row, more, f"{where} {name}") for row in rows for more in found or [{}]]
    yield from rows


def _elements(part: Part, listed: Sequence[Any], where: str) -> list[Cells]:
    """The rows of a list. Where its elements have a list in them again, they are told apart by what
    else they say, so no two may say the same."""
    found: list[Cells] = []
    told: set[tuple[str, ...]] = set()
    for place, one in enumerate(listed):
        rows = list(_rows(part, one, f"{where}[{place}]"))
        own = tuple(str(rows[0].get(column, "")) for column in part.own)
        if part.lists and own in told:
            raise unwritable(
                "It says the same as one before it, and both would be read as one",
                f"{where}[{place}]",
                "Give the table a column that tells them apart",
            )
        told.add(own)
        found += rows
    return found


def _cell(part: Part, name: str, filling: Filling, value: Any, where: str) -> str | list[str]:
    where = f"{where} {name}".rstrip()
    if filling.convert is None:
        _check_fixed(filling, value, where)
        return ""
    if filling.is_list:
        return _listed(filling, value or (), where)
    has_meaning = filling.empty is not msgspec.UNSET
    if has_meaning and filling.empty == value:
        return ""
    is_needed = name in part.required
    if is_absent(value) and not (is_needed and filling.is_open):
        if has_meaning:
            raise unwritable(
                f"Nothing is known, and an empty cell means {str(filling.empty)[:40]!r}",
                where,
                "Have the table say what an empty cell means, or leave the object out",
            )
        if is_needed:
            raise unwritable(
                "Nothing is known, and whoever reads the file needs it",
                where,
                "Fill it at the source, or leave the object out",
            )
        return ""
    return _one(filling, value, where)


def _one(filling: Filling, value: Any, where: str) -> str:
    """The text of a value, which is read as that value."""
    assert filling.write is not None
    assert filling.convert is not None
    text = filling.write(value, where)
    try:
        again = filling.convert(text.strip(BLANKS), where)
    except InvalidMessage as error:
        raise unwritable(
            f"It would stand there as {shown(text)[:40]!r}, which nobody could read: {error.what}",
            where,
            "Correct it at the source, or the table",
        ) from error
    if again != value:
        raise unwritable(
            f"It would be read as {str(again)[:40]!r}, and is {str(value)[:40]!r}",
            where,
            "Correct the table: its form loses something",
        )
    if len(text) > MAX_CELL_CHARS:
        raise unwritable(
            f"It has {len(text)} characters, and a cell holds {MAX_CELL_CHARS}",
            where,
            "Leave the column out of the table",
        )
    return text


def _listed(filling: Filling, values: Sequence[Any], where: str) -> str | list[str]:
    texts = [_one(filling, value, where) for value in values]
    if not filling.separator:
        return texts
    for text in texts:
        if filling.separator in text or not text.strip() or text != text.strip():
            raise unwritable(
                f"{shown(text)[:40]!r} would come apart at {filling.separator!r}",
                where,
                "Take another separator in the table",
            )
    return filling.separator.join(texts)


def _check_fixed(filling: Filling, value: Any, where: str) -> None:
    if filling.fixed is not msgspec.UNSET and value != filling.fixed:
        raise unwritable(
            f"The table says {str(filling.fixed)[:40]!r} of all, and it is {str(value)[:40]!r}",
            where,
            "Give the field a column, or leave the object out",
        )


def _joined(row: Cells, more: Cells, where: str) -> Cells:
    """Both in one row; a column that fills two fields says the same of both."""
    for column, cell in more.items():
        before = row.get(column, "")
        if before and cell and before != cell:
            raise unwritable(
                f'Two fields share the column "{shown(column)}" and say {before!r} and {cell!r}',
                where,
                "Give each field a column of its own",
            )
    return {**row, **{column: cell or row.get(column, "") for column, cell in more.items()}}


# --- rows into a file ---


def _csv(mapped: Mapped, form: Csv, found: Sequence[tuple[str, list[Cells]]]) -> bytes:
    specs = flat_fields(mapped.table.fields, mapped.table.name).values()
    mark = mapped.table.test
    named = (*(spec.column for spec in specs), mark.column if mark else "")
    # In the order of the table, where the file does not say one.
    columns = form.header or tuple(dict.fromkeys(column for column in named if column))
    text = io.StringIO(newline="")
    options: dict[str, Any] = {"delimiter": form.delimiter, "lineterminator": "\r\n"}
    options |= {"quotechar": form.quote} if form.quote else _UNQUOTED
    lines = csv.writer(text, **options)
    if not form.header:
        lines.writerow(columns)
    for name, rows in found:
        for row in rows:
            try:
                lines.writerow([row.get(column, "") for column in columns])
            except csv.Error as error:
                raise unwritable(
                    "A value has the delimiter or a line break in it, and nothing is quoted",
                    name,
                    "Say `quote` in the table, or take another delimiter",
                ) from error
    try:
        return text.getvalue().encode(form.encoding)
    except UnicodeEncodeError as error:
        raise unwritable(
            f"{error.object[error.start]!r} is no character of {form.encoding}",
            "file",
            "Write the file in utf-8, or correct the text at the source",
        ) from error


def _json(form: Json, found: Sequence[tuple[str, list[Cells]]]) -> bytes:
    records: list[dict[str, Any]] = []
    for name, rows in found:
        records += [_record(name, rows, form)] if form.rows else [_nested(row) for row in rows]
    document: Any = records
    for name in reversed(form.records.split(".") if form.records else []):
        document = {name: document}
    return encode(document)


def _record(name: str, rows: Sequence[Cells], form: Json) -> dict[str, Any]:
    """A record with its list of rows; what stands beside the list is the same in all of them."""
    below = f"{form.rows}."
    beside = [{c: cell for c, cell in row.items() if not c.startswith(below)} for row in rows]
    if any(one != beside[0] for one in beside):
        raise unwritable(
            "What stands beside its rows is not the same in all of them",
            name,
            f"Have the table take these columns from {form.rows}",
        )
    listed = [
        _nested({c.removeprefix(below): cell for c, cell in row.items() if c.startswith(below)})
        for row in rows
    ]
    record = _nested(beside[0])
    level = record
    *above, last = form.rows.split(".")
    for step in above:
        level = level.setdefault(step, {})
    level[last] = [row for row in listed if row]
    return record


def _nested(row: Cells) -> dict[str, Any]:
    """Names with points as objects within objects; cells without a word are left out."""
    made: dict[str, Any] = {}
    for column, cell in row.items():
        if not cell:
            continue
        level = made
        *above, last = column.split(".")
        for step in above:
            level = level.setdefault(step, {})
        level[last] = cell
    return made


# --- what stays here ---


def _unsaid(branch: Branch, part: Part, value: Any, above: str) -> Iterator[str]:
    for field in msgspec.structs.fields(type(value)):
        name, stated = field.name, getattr(value, field.name)
        if is_absent(stated) or stated is False or stated == {} or stated == field.default:
            continue
        path, below = f"{above}{name}", branch.fields.get(name)
        found = part.parts.get(name) or part.lists.get(name)
        if found is not None and isinstance(below, Branch):
            for one in stated if below.is_list else (stated,):
                yield from _unsaid(below, found, one, f"{path}.")
        elif name in part.texts:
            yield from (f"{path}.{key}" for key in stated if key not in part.texts[name])
        elif name not in part.fillings and name not in _DERIVED:
            yield path


def _too_large(what: str) -> InvalidMessage:
    return InvalidMessage(
        "table-too-large", f"The file would have {what}", where="file", remedy="Write it in parts"
    )
