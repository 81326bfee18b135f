"""`layshaft table write`: what is known becomes a file that its table reads as the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.store import documents as document_rows
from broker.store import messages as message_rows
from broker.store.documents import NewDocument
from canonical.effects import Put
from canonical.supplier import Qualification, Supplier, supplier_key
from handlers.systems.table import inbound
from ops.cli.tree import run
from tests.integration.gearbox_change import database_at, package

Command = Callable[..., tuple[int, str, str]]

STATED = datetime(2026, 3, 2, 8, tzinfo=UTC)
TABLE = """
name = "suppliers"
kinds = ["suppliers"]
event = "supplier.changed"
[csv]
[fields]
number = "No"
name = "Name"
active = "Active"
stated_at = "At"
qualification.status = "Status"
"""


def supplier(number: str, **stated: Any) -> Supplier:
    made = Supplier(
        number, f"Supplier {number}", True, Qualification("qualified"), stated_at=STATED
    )
    return msgspec.structs.replace(made, **stated)


async def know(url: str, suppliers: Sequence[Supplier]) -> None:
    """The documents are stored, as following from one message."""
    async with database_at(url) as database, database.transaction() as tx:
        positions = await message_rows.admit(tx, [package()])
        place = positions[package().identity]
        puts = [Put(supplier_key(s.number), 1, s) for s in suppliers]
        new = [NewDocument(put, "suite", place) for put in puts]
        await document_rows.store(tx, document_rows.as_rows(new))


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command on a database that knows three suppliers; the table is t.toml."""
    known = supplier("S-1"), supplier("S-2", parent="S-1"), supplier("S-10", name='"Ost"; Zahn')
    asyncio.run(know(database_url, known))
    (tmp_path / "t.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(("table", "write", *arguments))
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def test_all_that_is_known_is_written_in_the_order_of_its_keys(
    layshaft: Command, tmp_path: Path
) -> None:
    exit_code, out, err = layshaft("t.toml", "--out", "all.csv", "-o", "json")
    assert (exit_code, err) == (0, "")
    said = msgspec.json.decode(out)
    body = (tmp_path / "all.csv").read_bytes()
    assert body.decode() == (
        "No,Name,Active,At,Status\r\n"
        "S-1,Supplier S-1,true,2026-03-02T08:00:00+00:00,qualified\r\n"
        'S-10,"""Ost""; Zahn",true,2026-03-02T08:00:00+00:00,qualified\r\n'
        "S-2,Supplier S-2,true,2026-03-02T08:00:00+00:00,qualified\r\n"
    )
    assert (said["file"], said["bytes"], said["objects"]) == ("all.csv", len(body), 3)
    assert said["unsaid"] == {"parent": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "t.toml"]


def test_those_that_are_named_are_written_in_the_order_named(
    layshaft: Command, tmp_path: Path
) -> None:
    exit_code, out, _ = layshaft("t.toml", "S-2", "S-1", "S-2", "--out", "two.csv")
    assert exit_code == 0
    assert "objects    2 of the kind supplier" in out
    assert "not in it  parent (1)" in out
    numbers = [row[:3] for row in (tmp_path / "two.csv").read_text().splitlines()[1:]]
    assert numbers == ["S-2", "S-1"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("t.toml", "S-3", "S-1", "S-4"), 4, "supplier/S-3, supplier/S-4"),
        (("none.toml",), 2, "none.toml"),
        (("odd.toml",), 2, "fields.nmae is no field of Supplier"),
        (("items.toml",), 4, "Layshaft knows no item"),
        (("short.toml",), 2, "No word of the table means 'true'"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(
    layshaft: Command, tmp_path: Path, arguments: Sequence[str], exit_code: int, says: str
) -> None:
    (tmp_path / "odd.toml").write_text(TABLE.replace('\nname = "Name"', '\nnmae = "Name"'))
    short = TABLE.replace('active = "Active"', 'active = { column = "A", words = { no = false } }')
    (tmp_path / "short.toml").write_text(short)
    corpus = Path(__file__).resolve().parents[1] / "corpus/table/items.toml"
    (tmp_path / "items.toml").write_text(corpus.read_text())
    found, out, err = layshaft(*arguments, "--out", "out.csv")
    assert (found, out) == (exit_code, "")
    assert says in err
    assert "  do:   " in err
    assert not (tmp_path / "out.csv").exists()


def test_a_file_is_written_over_only_when_that_is_asked_for(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "out.csv").write_text("mine")
    exit_code, _, err = layshaft("t.toml", "--out", "out.csv")
    assert (exit_code, "LAY-file-exists" in err) == (5, True)
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert layshaft("t.toml", "--out", "out.csv", "--force")[0] == 0


def test_more_objects_than_a_file_may_have_are_refused(
    layshaft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.cli.table.MAX_OBJECTS", 2)
    exit_code, _, err = layshaft("t.toml", "--out", "out.csv")
    assert (exit_code, "more than 2 objects" in err) == (5, True)
    assert inbound.MAX_OBJECTS == 10_000
