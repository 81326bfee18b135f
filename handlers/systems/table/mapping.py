"""A table made ready for use: which cell becomes which field, and rows into objects by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from canonical.envelope import Deviation
from canonical.errors import InvalidMessage
from canonical.manners import Manner
from canonical.revision import Revision, parse_revision
from handlers.systems.table.native import Table
from handlers.systems.table.rows import BLANKS, Row, shown
from handlers.systems.table.targets import Target
from handlers.systems.table.values import Convert
from handlers.systems.table.writing import Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What fills one field.

    column: "" where no cell does. fixed: the value without a cell; UNSET where a header of the
    message says it. empty: value of an empty cell; UNSET where it has none. tells: whether a cell
    of it says that there is something; a unit alone does not. write: value into a cell. is_open: a
    day that may be no end. manner: how a cell may be written.
    """

    column: str = ""
    fixed: Any = UNSET
    convert: Convert | None = None
    empty: Any = UNSET
    is_list: bool = False
    separator: str = ""
    tells: bool = True
    write: Write | None = None
    is_open: bool = False
    manner: Manner | None = None

    def value(self, row: Row, sent: datetime | None) -> Any:
        """The value in that row; UNSET where nothing is said."""
        if self.convert is None:
            return sent if self.fixed is UNSET else self.fixed
        if self.is_list:
            return self._list(row, self.convert) or UNSET
        text = row.text(self.column)
        if not text and self.empty is not UNSET:
            return self.empty
        return self._one(text, row, self.convert) if text else UNSET

    def deviations(self, row: Row) -> Iterator[Deviation]:
        """Where its cell in that row is not written as it should be."""
        if self.manner is None:
            return
        for text in self._texts(row):
            if what := self.manner(text):
                yield Deviation(row.where(self.column), what)

    def _list(self, row: Row, convert: Convert) -> tuple[Any, ...]:
        return tuple(self._one(text, row, convert) for text in self._texts(row))

    def _texts(self, row: Row) -> Iterator[str]:
        """The values in its cell."""
        cell = row.cells.get(self.column, "")
        if isinstance(cell, str):
            cell = tuple(cell.split(self.separator)) if self.separator else (cell,)
        parts = (part.strip(BLANKS) for part in cell)
        return (part for part in parts if part)

    def _one(self, text: str, row: Row, convert: Convert) -> Any:
        try:
            # The place is put together for a fault alone: it costs as much as the conversion.
            return convert(text, "")
        except InvalidMessage as error:
            raise _placed(error, row.where(self.column)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What fills a Struct: fields, texts by field and key, and Structs below it, one or many.

    path: where it stands, "" for the whole. required: fields that an object must have; of the
    whole, also the time that orders its statements. open: those that are None where nothing is
    said. columns: of all that is below it. telling:
    those that say that it is there. own: those of its fields and single Structs, which are the same
    in all rows of it.
    """

    path: str
    cls: type[msgspec.Struct]
    required: frozenset[str]
    open: frozenset[str]
    fillings: Mapping[str, Filling]
    texts: Mapping[str, Mapping[str, Filling]]
    parts: Mapping[str, Part]
    lists: Mapping[str, Part]
    columns: tuple[str, ...]
    telling: tuple[str, ...]
    own: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A checked table. columns: all that it uses. is_sent: a header of the message says when it was
    made. versions: paths of the times or the counter that order the statements, first one first."""

    table: Table
    target: Target
    root: Part
    columns: tuple[str, ...]
    is_sent: bool
    versions: tuple[str, ...]


def build(part: Part, rows: Sequence[Row], sent: datetime | None, **more: Any) -> Any:
    """The object that these rows say; more: fields that nothing fills.

    Raises: InvalidMessage naming row and column.
    """
    first = rows[0]
    _check_agreement(part, rows)
    values = {name: filling.value(first, sent) for name, filling in part.fillings.items()}
    for name, texts in part.texts.items():
        found = {key: filling.value(first, sent) for key, filling in texts.items()}
        values[name] = {key: text for key, text in found.items() if text is not UNSET}
    for name, below in part.parts.items():
        if name in part.required or is_there(below, first):
            values[name] = build(below, rows, sent)
    for name, below in part.lists.items():
        values[name] = tuple(build(below, found, sent) for found in _elements(below, rows, sent))
    said: dict[str, Any] = dict.fromkeys(part.open)
    said |= {name: value for name, value in values.items() if value is not UNSET} | more
    for name in part.required - said.keys():
        raise _missing(part, name, first)
    return _made(part, said, first)


def judged(part: Part) -> Iterator[Filling]:
    """What fills the Struct and those below it, as far as it is judged how a cell is written; each
    column once."""
    found: dict[str, Filling] = {}
    texts = (filling for by_key in part.texts.values() for filling in by_key.values())
    parts = (*part.parts.values(), *part.lists.values())
    below = (filling for one in parts for filling in judged(one))
    for filling in (*part.fillings.values(), *texts, *below):
        if filling.manner is not None:
            found.setdefault(filling.column, filling)
    yield from found.values()


def is_there(part: Part, row: Row) -> bool:
    """Whether the row says anything of it."""
    return not part.columns or any(row.cells.get(column, "") for column in part.telling)


def _elements(part: Part, rows: Sequence[Row], sent: datetime | None) -> Iterator[list[Row]]:
    """The rows of each object of a list: one each, unless there is a list in it again."""
    if not part.lists:
        yield from ([row] for row in rows if is_there(part, row))
        return
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if is_there(part, row):
            alike.setdefault(_own(part, row, sent), []).append(row)
    yield from alike.values()


def _own(part: Part, row: Row, sent: datetime | None) -> tuple[Any, ...]:
    """What the row says without the lists. Values and not cells: in another spelling of a number it
    would be one object more."""
    texts = (filling for found in part.texts.values() for filling in found.values())
    said = [filling.value(row, sent) for filling in (*part.fillings.values(), *texts)]
    below = [_own(one, row, sent) if is_there(one, row) else () for one in part.parts.values()]
    return (*said, *below)


def _check_agreement(part: Part, rows: Sequence[Row]) -> None:
    """Rows of one object say the same of it: which of two counts would be a guess."""
    if len(rows) == 1:
        return
    first = rows[0]
    for column in part.own:
        said = first.cells.get(column, "")
        for row in rows:
            if row.cells.get(column, "") != said:
                raise InvalidMessage(
                    "rows-contradict",
                    f"It says otherwise than {first.place}, which is about the same object",
                    where=row.where(column),
                    remedy="Have all rows of one object say the same of it",
                )


def _made(part: Part, said: dict[str, Any], row: Row) -> Any:
    where = f"{row.place}, {part.path}" if part.path else row.place
    try:
        if part.cls is Revision:
            return _revision(said, where)
        return part.cls(**said)
    except InvalidMessage as error:
        raise _placed(error, where) from error


def _revision(said: Mapping[str, Any], where: str) -> Revision:
    """By its scheme it has a place in the order, which its fields alone do not tell."""
    label, scheme = said["label"], said["scheme"]
    found = parse_revision(label, scheme, where=where, ordinal=said.get("ordinal"))
    return msgspec.structs.replace(found, change=said.get("change", found.change))


def _missing(part: Part, name: str, row: Row) -> InvalidMessage:
    filling = part.fillings.get(name)
    column = filling.column if filling else ""
    what = f'the column "{shown(column)}" is empty' if column else "nothing in the row says it"
    path = f"{part.path}.{name}" if part.path else name
    return InvalidMessage(
        "field-missing",
        f"{path} is needed, and {what}",
        where=row.where(column) if column else row.place,
        remedy="Fill the cell, or have the table say what an empty one means",
    )


def _placed(error: InvalidMessage, where: str) -> InvalidMessage:
    return InvalidMessage(error.code, error.what, where=where, remedy=error.remedy)
