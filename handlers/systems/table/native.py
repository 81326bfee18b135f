"""The table as an integrator writes it: what a file looks like, and which column becomes what."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from canonical.errors import Misconfigured

S = TypeVar("S", bound=msgspec.Struct)

Encoding = Literal["utf-8", "iso-8859-1", "cp1252"]


class Csv(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a CSV file is written.

    quote: "" where nothing is quoted. decimal: mark before the decimals. grouping: mark between
    thousands, "" where there is none. header: names of the columns, for files that have no line
    with them.
    """

    delimiter: str = ","
    quote: str = '"'
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] = "."
    grouping: Literal["", ".", ",", "'", " ", "\u00a0"] = ""
    header: tuple[str, ...] = ()


class Json(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where in a JSON document the records stand.

    records: path of a list of objects, or of one; "" is the document itself. rows: path within a
    record of a list of objects, each of which is a row beside what the record says of all of them.
    """

    records: str = ""
    rows: str = ""


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What units are called.

    names: "rec20" for codes, or a source of the unit aliases; "" where only words count. words:
    names of this table's own, which go first, to codes.
    """

    names: str = ""
    words: Mapping[str, str] = {}


class FieldSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What fills one field: a column, or the same for all, or a header of the message.

    words: what the sender writes -> what it means; a word that is not there is refused. empty: what
    an empty cell means. separator: between the values of a list in one cell. format: of days and
    times, as in strptime. zone: IANA name, for times without an offset.
    """

    column: str = ""
    constant: str | bool | int | None = None
    header: Literal["ce-time"] | None = None
    words: Mapping[str, str | bool | int] | None = None
    empty: str | bool | int | None = None
    separator: str = ""
    format: str = ""
    zone: str = ""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tells that rows are a test, and not meant: a column, and the words that say so in it."""

    column: str
    words: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message type, `table.<name>`.

    kinds: routing keys its messages come with. event: what an object of it becomes. ignore: columns
    that are left out on purpose. test: what tells a test. fields: by path in the canonical type of
    the event, a column's name or a FieldSpec; several levels of TOML are one path.
    """

    name: str
    kinds: tuple[str, ...]
    event: str
    fields: Mapping[str, Any]
    csv: Csv | None = None
    json: Json | None = None
    units: Units | None = None
    ignore: tuple[str, ...] = ()
    test: Mark | None = None


_SECTIONS: tuple[type[msgspec.Struct], ...] = (Table, Csv, Json, Units, FieldSpec, Mark)


def read_table(document: Mapping[str, Any], where: str) -> Table:
    """The table of a TOML document. Raises: Misconfigured naming the key and the nearest one."""
    return converted(document, Table, where)


def flat_fields(fields: Mapping[str, Any], where: str) -> dict[str, FieldSpec]:
    """Path -> what fills it. Raises: Misconfigured."""
    found: dict[str, FieldSpec] = {}
    _flatten(fields, "", found, where)
    return found


def _flatten(level: Mapping[str, Any], above: str, found: dict[str, FieldSpec], where: str) -> None:
    for key, value in level.items():
        path = f"{above}.{key}" if above else key
        is_table = isinstance(value, dict)
        # No canonical field is called like one of these three, so that a level is told from a leaf.
        if is_table and not value.keys() & {"column", "constant", "header"}:
            _flatten(value, path, found, where)
            continue
        spec = converted(
            value if is_table else {"column": value}, FieldSpec, f"{where}: fields.{path}"
        )
        if path in found:
            raise wrong(where, f"fields.{path} is filled twice", "Say once which column fills it")
        found[path] = spec


def converted(value: object, kind: type[S], where: str) -> S:
    """The value as a Struct. Raises: Misconfigured with what is wrong and what may be meant."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        quoted = str(error).split("`")
        known = [name for section in _SECTIONS for name in section.__struct_fields__]
        hint = "Correct the value"
        if "unknown field" in str(error) and len(quoted) > 1:
            hint = nearest(quoted[1], known)
        raise wrong(where, str(error), hint) from error


def nearest(word: str, known: Collection[str]) -> str:
    """What to do about a word that nobody knows."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(sorted(set(known)))}"


def wrong(where: str, what: str, remedy: str) -> Misconfigured:
    """The table cannot be used."""
    return Misconfigured("table-invalid", what, where=where, remedy=remedy)
