"""A table checked against the canonical types: nonsense is refused at the start, with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from string import ascii_letters, digits
from typing import Any

from msgspec import UNSET

from canonical.effectivity import midnight
from canonical.errors import Failure
from canonical.units import UnknownUnit, to_rec20, unit
from handlers.systems.table.mapping import Filling, Mapped, Part
from handlers.systems.table.native import (
    FieldSpec,
    Table,
    Units,
    flat_fields,
    nearest,
    read_table,
    wrong,
)
from handlers.systems.table.targets import TARGETS, Branch, Leaf, Target, Texts, leaf_at, paths
from handlers.systems.table.values import (
    CLOCK,
    DAY,
    Convert,
    converter,
    directives,
    manner,
    mapped,
)
from handlers.systems.table.writing import writer

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
# Neither a unit nor a currency alone says that there is something.
_SILENT = frozenset({"unit", "currency"})
_TAKEN = frozenset('"\r\n\0. ' + digits + ascii_letters)
# Order of statements, as the flows for the events take it.
_TIMES = ("released_at", "stated_at")


def mapped_table(document: Mapping[str, Any], where: str) -> Mapped:
    """The table of a TOML document, ready for use. where: the file's name, for a person.

    Raises: Misconfigured naming the file, the key and what to do.
    """
    table = read_table(document, where)
    target = TARGETS.get(table.event)
    if target is None:
        raise wrong(where, f"event: nobody takes {table.event!r}", nearest(table.event, TARGETS))
    _check_form(table, where)
    _check_units(table.units, where)
    specs = flat_fields(table.fields, where)
    for path in specs:
        _check_path(target, path, where)
    root = _Maker(table, specs, where).part(target.root, "")
    columns = _once(*root.columns, _check_mark(table, where))
    _check_whole(target, root, columns, table, where)
    return Mapped(
        table=table,
        target=target,
        root=root,
        columns=columns,
        is_sent=any(spec.header for spec in specs.values()),
        versions=_versions(specs),
    )


def _check_form(table: Table, where: str) -> None:
    if not _NAME.fullmatch(table.name):
        raise wrong(where, f"name: {table.name!r}", "Take lower-case letters, digits and dashes")
    if not table.kinds:
        raise wrong(where, "kinds: there is none", "Name the routing keys that its files come with")
    if (table.csv is None) == (table.json is None):
        raise wrong(
            where, "It says not whether it is csv or json", "Have [csv] or [json], not both"
        )
    if table.csv is None:
        return
    delimiter, quote = table.csv.delimiter, table.csv.quote
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in _TAKEN:
        raise wrong(where, f"csv.delimiter: {delimiter!r}", r'Take one of , ; | or "\t"')
    if len(quote) > 1 or not quote.isascii() or (quote and quote in f"{delimiter}\r\n\0"):
        raise wrong(where, f"csv.quote: {quote!r}", "Take one mark, or none")
    if table.csv.decimal == table.csv.grouping:
        raise wrong(where, "csv.grouping is the decimal mark", "Take another mark, or none")
    names = table.csv.header
    if len(set(names)) < len(names) or not all(name == name.strip() != "" for name in names):
        raise wrong(where, "csv.header: names twice, empty or with blanks", "Name each column once")


def _check_mark(table: Table, where: str) -> str:
    """The column that tells a test; "" where none does."""
    mark = table.test
    if mark is None:
        return ""
    if not mark.column or mark.column != mark.column.strip():
        raise wrong(where, f"test.column: {mark.column!r}", "Write the name, without blanks around")
    if not mark.words or any(word != word.strip() or not word for word in mark.words):
        raise wrong(
            where,
            "test.words: there is none, or one is empty or has blanks around it",
            "Name what stands in the column of a test; anything else is none",
        )
    return mark.column


def _check_units(units: Units | None, where: str) -> None:
    if units is None:
        return
    if units.names not in ("", "rec20"):
        try:
            # Of a source that is known, no unit is called so.
            with suppress(UnknownUnit):
                to_rec20(units.names, "?")
        except Failure as failure:
            raise wrong(where, f"units.names: {failure.what}", failure.remedy) from failure
    if len({name.strip().casefold() for name in units.words}) < len(units.words):
        raise wrong(where, "units.words: one name twice", "Blanks and case do not matter in them")
    for name, code in units.words.items():
        try:
            unit(code)
        except Failure as failure:
            raise wrong(where, f"units.words.{name}: {failure.what}", failure.remedy) from failure


def _check_path(target: Target, path: str, where: str) -> None:
    if leaf_at(target.root, path) is not None:
        return
    known = list(paths(target.root))
    below = [one for one in known if one.startswith(f"{path}.")]
    remedy = f"Fill {', '.join(below)}" if below else nearest(path, known)
    what = "consists of several fields" if below else f"is no field of {target.root.cls.__name__}"
    raise wrong(where, f"fields.{path} {what}", remedy)


def _check_whole(
    target: Target, root: Part, columns: tuple[str, ...], table: Table, where: str
) -> None:
    """What tells objects apart and statements in order is filled."""
    if not any(root.fillings[name].column for name in target.identity):
        names = ", ".join(f"fields.{name}" for name in target.identity)
        raise wrong(
            where,
            f"{names} tells objects apart and is filled by no column",
            "Name the column with the number of the object",
        )
    times = [root.fillings[name] for name in (*_TIMES, "version") if name in root.fillings]
    if not any(time.column or time.fixed is UNSET for time in times):
        raise wrong(
            where,
            "Nothing tells which of two files is the newer one",
            'Fill stated_at by a column, or have the sender say it: { header = "ce-time" }',
        )
    if table.csv is not None and table.csv.header:
        for column in columns:
            if column not in table.csv.header:
                raise wrong(
                    where, f"No column is called {column!r}", nearest(column, table.csv.header)
                )
    if both := sorted(set(table.ignore) & set(columns)):
        raise wrong(where, f"ignore: {both[0]!r} is used", "Take it out of ignore, or use it not")


def _versions(specs: Mapping[str, FieldSpec]) -> tuple[str, ...]:
    """What a column says of the order of statements; nothing where a column does not say it."""
    if "version" in specs:
        return ("version",) if specs["version"].column else ()
    filled = [name for name in _TIMES if name in specs]
    return tuple(filled) if all(specs[name].column for name in filled) else ()


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes parts out of what the table says of fields."""

    table: Table
    specs: Mapping[str, FieldSpec]
    where: str

    def part(self, branch: Branch, path: str) -> Part:
        """What fills the Struct at that path."""
        above = f"{path}." if path else ""
        fillings: dict[str, Filling] = {}
        texts: dict[str, dict[str, Filling]] = {}
        parts: dict[str, Part] = {}
        lists: dict[str, Part] = {}
        for name, field in branch.fields.items():
            here = f"{above}{name}"
            if isinstance(field, Leaf):
                if here in self.specs:
                    fillings[name] = self._filling(field, here)
            elif not any(one.startswith(f"{here}.") for one in self.specs):
                continue
            elif isinstance(field, Texts):
                texts[name] = dict(self._texts(here))
            else:
                (lists if field.is_list else parts)[name] = self.part(field, here)
        self._check(branch, above, {*fillings, *texts, *parts, *lists}, lists)
        own = [*fillings.values(), *(f for by_key in texts.values() for f in by_key.values())]
        below = [*parts.values(), *lists.values()]
        columns = _once(*(f.column for f in own), *(c for p in below for c in p.columns))
        telling = _once(*(f.column for f in own if f.tells), *(c for p in below for c in p.telling))
        return Part(
            path=path,
            cls=branch.cls,
            required=branch.required | (self._order(fillings) if not path else frozenset()),
            open=branch.open,
            fillings=fillings,
            texts=texts,
            parts=parts,
            lists=lists,
            columns=columns,
            telling=telling or columns,
            own=_once(*(f.column for f in own), *(c for p in parts.values() for c in p.own)),
        )

    def _order(self, fillings: Mapping[str, Filling]) -> frozenset[str]:
        """What of the times has to be said of each object: a statement without one would count as
        older than all others."""
        if "version" in fillings:
            return frozenset()
        return frozenset([name for name in _TIMES[::-1] if name in fillings][:1])

    def _check(
        self, branch: Branch, above: str, filled: set[str], lists: Mapping[str, Part]
    ) -> None:
        if len(lists) > 1:
            names = " and ".join(f"{above}{name}" for name in lists)
            raise wrong(
                self.where,
                f"A row cannot be one of {names} at once",
                "Have a table for each, or leave one of them out",
            )
        missing = branch.required - filled
        # The time of the statement is its version where nothing else is.
        if not above and "stated_at" in filled:
            missing -= {"version"}
        if missing:
            name = next(field for field in branch.fields if field in missing)
            field = branch.fields[name]
            all_of_it = [f"{above}{name}"]
            if isinstance(field, Branch):
                all_of_it = list(paths(field, f"{above}{name}."))
            raise wrong(
                self.where,
                f"fields.{above}{name} is needed and nothing fills it",
                f"Fill {', '.join(all_of_it)}",
            )

    def _texts(self, path: str) -> Iterator[tuple[str, Filling]]:
        for one in self.specs:
            if one.startswith(f"{path}."):
                yield one.removeprefix(f"{path}."), self._filling(Leaf("prose"), one)

    def _filling(self, leaf: Leaf, path: str) -> Filling:
        spec, where = self.specs[path], f"{self.where}: fields.{path}"
        _check_spec(leaf, spec, self.table, where)
        if spec.header:
            return Filling()
        if spec.constant is not None:
            value = _constant(leaf, spec.constant, where)
            return Filling(fixed=(value,) if leaf.is_list else value)
        words = {w: _constant(leaf, v, where) for w, v in (spec.words or {}).items()}
        empty = words.get("", UNSET)
        if spec.empty is not None:
            is_nothing = spec.empty == "" and leaf.kind in ("id", "prose")
            empty = "" if is_nothing else _constant(leaf, spec.empty, where)
        return Filling(
            column=spec.column,
            convert=mapped(words) if spec.words is not None else self._convert(leaf, spec),
            empty=empty,
            is_list=leaf.is_list,
            separator=spec.separator,
            tells=leaf.kind not in _SILENT,
            write=writer(leaf, spec, words, csv=self.table.csv, units=self.table.units),
            is_open=leaf.is_open,
            manner=manner(leaf, spec, units=self.table.units),
        )

    def _convert(self, leaf: Leaf, spec: FieldSpec) -> Convert:
        return converter(leaf, spec, csv=self.table.csv, units=self.table.units)


def _once(*columns: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for column in columns if column))


def _constant(leaf: Leaf, value: str | bool | int, where: str) -> Any:
    """A value of the table, written as we write it: a point before decimals, ISO days, codes."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    plain = converter(leaf, FieldSpec(), csv=None, units=None)
    try:
        return plain(text, where)
    except Failure as failure:
        known = leaf.words or (("true", "false") if leaf.kind == "flag" else ())
        remedy = nearest(text, known) if known else failure.remedy
        raise wrong(
            where, f"{text!r} is no value of the field: {failure.what}", remedy
        ) from failure


def _check_spec(leaf: Leaf, spec: FieldSpec, table: Table, where: str) -> None:
    ways = [bool(spec.column), spec.constant is not None, spec.header is not None]
    if sum(ways) != 1:
        raise wrong(where, "It is filled by none or by several", "Have column, constant or header")
    if spec.column != spec.column.strip():
        raise wrong(where, f"{spec.column!r} has blanks around it", "Write the name without them")
    of_cells = (
        spec.words is not None,
        spec.empty is not None,
        spec.separator,
        spec.format,
        spec.zone,
    )
    if not spec.column and any(of_cells):
        raise wrong(where, "There is no cell to convert", "Take words, empty, format and so on out")
    if spec.header and leaf.kind != "instant":
        raise wrong(where, "The header is a time and the field is none", "Take a column")
    if spec.separator and not leaf.is_list:
        raise wrong(where, "separator: the field has one value", "Take it out")
    if leaf.is_list and spec.column and table.csv is not None and not spec.separator:
        raise wrong(where, "The field has several values", 'Say what is between: separator = ","')
    if leaf.is_list and (spec.empty is not None or "" in (spec.words or {})):
        raise wrong(where, "empty: an empty cell is a list of nothing", "Take it out")
    if spec.words is not None and not spec.words:
        raise wrong(where, "words: there is none", "Name the words, or take them out")
    if spec.words is not None and spec.format:
        raise wrong(where, "words and format exclude each other", "Take one of them")
    _check_format(leaf, spec, where)


def _check_format(leaf: Leaf, spec: FieldSpec, where: str) -> None:
    is_instant = leaf.kind == "instant"
    if spec.format and leaf.kind not in ("day", "instant"):
        raise wrong(where, "format: the field is no time", "Take it out")
    if spec.zone and not (is_instant and spec.format):
        raise wrong(where, "zone: it is for instants with a format of their own", "Take it out")
    if not spec.format:
        return
    found = directives(spec.format)
    if not found >= DAY or found - DAY - (CLOCK if is_instant else frozenset()):
        takes = "%Y, %m and %d" + (", and some of %H %M %S %f %z" if is_instant else "")
        raise wrong(where, f"format: {spec.format!r}", f"Take {takes}")
    if is_instant and ("z" in found) == bool(spec.zone):
        raise wrong(
            where,
            "format: it has to be clear in which zone the time is",
            'Have %z in the format, or zone = "Europe/Berlin"',
        )
    if spec.zone:
        try:
            midnight(date(2000, 1, 1), spec.zone)
        except Failure as failure:
            raise wrong(where, f"zone: {failure.what}", failure.remedy) from failure
