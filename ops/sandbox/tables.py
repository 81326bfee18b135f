"""The business table of a stand-in: SQLite in its folder, one table a kind of object.

Columns `key`, `plant`, `version` and the object as JSON in `row`, so anyone can count with
`select plant, count(*) from "MaterialBOMItem" group by plant` while the server runs.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ops.sandbox.odata import Json

Record = dict[str, Json]


class KeyTaken(Exception):
    """The table has a row with this key."""


class Stored(msgspec.Struct, frozen=True):
    """One row; `version` starts at 1 and grows with every write of the row."""

    key: str
    plant: str
    version: int
    row: Record


class Count(msgspec.Struct, frozen=True):
    """Rows of one table; rows that belong to no plant count under the empty name."""

    rows: int
    by_plant: dict[str, int]


class Tables:
    """Rows that survive a restart. Every call is one transaction unless inside `transaction`."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        for name in self.names:
            self._db.execute(
                f'create table if not exists "{name}" (key text primary key, plant text not null,'
                " version integer not null, row text not null)"
            )
        self._db.execute(
            "create table if not exists number_range (name text primary key, last integer not null)"
        )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are kept together, or none if the block raises."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def insert(self, name: str, key: str, row: Record, *, plant: str = "") -> Stored:
        """Raises: KeyTaken."""
        values = (key, plant, msgspec.json.encode(row).decode())
        try:
            self._db.execute(f'insert into "{name}" values (?, ?, 1, ?)', values)
        except sqlite3.IntegrityError as error:
            raise KeyTaken(f"{name}({key})") from error
        return Stored(key, plant, 1, row)

    def replace(self, name: str, stored: Stored, row: Record) -> Stored:
        """The stored row with new content and the next version."""
        text = msgspec.json.encode(row).decode()
        statement = f'update "{name}" set row = ?, version = version + 1 where key = ?'
        self._db.execute(statement, (text, stored.key))
        return Stored(stored.key, stored.plant, stored.version + 1, row)

    def delete(self, name: str, key: str) -> None:
        self._db.execute(f'delete from "{name}" where key = ?', (key,))

    def get(self, name: str, key: str) -> Stored | None:
        statement = f'select key, plant, version, row from "{name}" where key = ?'
        found = self._db.execute(statement, (key,)).fetchone()
        return None if found is None else _stored(found)

    def find(self, name: str, where: Mapping[str, str | int | bool | None]) -> list[Stored]:
        """Rows whose fields equal `where`, oldest first; `a.b` looks into an inner object."""
        tests = " and ".join("json_extract(row, ?) is ?" for _ in where) or "true"
        values = [v for field, value in where.items() for v in (_json_path(field), value)]
        statement = f'select key, plant, version, row from "{name}" where {tests} order by rowid'
        return [_stored(found) for found in self._db.execute(statement, values)]

    def next_number(self, name: str, *, first: int) -> int:
        """The next number of a range; numbers are not given twice, also after a restart."""
        (number,) = self._db.execute(
            "insert into number_range values (?, ?)"
            " on conflict (name) do update set last = last + 1 returning last",
            (name, first),
        ).fetchone()
        return int(number)

    def counts(self) -> dict[str, Count]:
        counted = {}
        for name in self.names:
            statement = f'select plant, count(*) from "{name}" group by plant order by plant'
            by_plant = dict(self._db.execute(statement).fetchall())
            counted[name] = Count(sum(by_plant.values()), by_plant)
        return counted

    def empty(self, name: str) -> int:
        """Deletes all rows of a table; returns how many there were."""
        return self._db.execute(f'delete from "{name}"').rowcount


def _json_path(field: str) -> str:
    return "$" + "".join(f'."{part}"' for part in field.split("."))


def _stored(found: tuple[str, str, int, str]) -> Stored:
    key, plant, version, text = found
    return Stored(key, plant, version, msgspec.json.decode(text))
