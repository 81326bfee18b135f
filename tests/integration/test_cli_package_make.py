"""`layshaft package make`: what is known becomes a package that says the same when it is read."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from broker.store import documents as document_rows
from broker.store import messages as message_rows
from broker.store.documents import NewDocument
from canonical.bom import Bom, BomLine, bom_key
from canonical.change import EngineeringChange, change_key
from canonical.effects import Put
from canonical.item import Item, item_key
from canonical.quantity import Quantity
from canonical.revision import Revision
from ops.cli.tree import run
from tests.fixtures.pdx_text import GEARBOX, boms, changes, items
from tests.integration.gearbox_change import database_at, package

Command = Callable[..., tuple[int, str, str]]

GEARBOX_ITEMS = (
    "GBX-1000", "GBX-1100", "GBX-1200", "GBX-1310", "GBX-1320", "GBX-1400", "GBX-1500",
    "GBX-1110", "GBX-1120", "GBX-1130", "GBX-1140", "GBX-1111", "GBX-1112",
)  # fmt: skip


def put(document: Item | Bom | EngineeringChange) -> Put:
    match document:
        case Item(number=number):
            return Put(item_key(number), 1, document)
        case Bom(parent=parent):
            return Put(bom_key(parent), 1, document)
        case EngineeringChange(number=number):
            return Put(change_key(number), 1, document)


async def know(url: str, documents: Sequence[Item | Bom | EngineeringChange]) -> None:
    """The documents are stored, as following from one message."""
    async with database_at(url) as database, database.transaction() as tx:
        positions = await message_rows.admit(tx, [package()])
        place = positions[package().identity]
        new = [NewDocument(put(document), "plm", place) for document in documents]
        await document_rows.store(tx, document_rows.as_rows(new))


def part(number: str, **values: Any) -> Item:
    made = Item(
        number=number,
        revision=Revision("prototype_then_production", "B", 1_000_002),
        lifecycle="released",
        description=f"Part {number}",
        kind="part",
        procurement="buy",
        base_unit="H87",
    )
    return replace(made, **values)


def structure(parent: str, *components: str, substitutes: tuple[str, ...] = ()) -> Bom:
    one = Quantity(Decimal(1), "H87")
    lines = tuple(BomLine("10", number, one, substitutes=substitutes) for number in components)
    return Bom(parent, "B", one, lines)


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command on a database that knows the gearbox and some odd parts."""
    odd: tuple[Item | Bom, ...] = (
        structure("LOOP-1", "LOOP-2"), part("LOOP-1"),
        structure("LOOP-2", "LOOP-1"), part("LOOP-2"),
        structure("HOLE-1", "HOLE-2", "GBX-1200", "HOLE-3", substitutes=("HOLE-4",)),
        part("HOLE-1"),
        structure("SUBST-1", "GBX-1310", substitutes=("GBX-1320",)), part("SUBST-1"),
        part("OLD-1", lifecycle="superseded"),
    )  # fmt: skip
    gearbox: tuple[Any, ...] = (
        *items(GEARBOX).values(),
        *boms(GEARBOX).values(),
        *changes(GEARBOX),
    )
    asyncio.run(know(database_url, (*gearbox, *odd)))
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def made(layshaft: Command, *arguments: str) -> dict[str, Any]:
    """What `-o json` printed; the package is out.pdx."""
    exit_code, out, err = layshaft("package", "make", *arguments, "--out", "out.pdx", "-o", "json")
    assert exit_code == 0, err
    found: dict[str, Any] = msgspec.json.decode(out)
    return found


def generated(content: bytes) -> datetime:
    times = {item.stated_at for item in items(content).values()}
    (at,) = times
    assert at is not None
    return at


def test_a_gearbox_that_came_in_goes_out_with_its_change(layshaft: Command, tmp_path: Path) -> None:
    said = made(layshaft, "GBX-1000", "--change", "ECO-2001")
    content = (tmp_path / "out.pdx").read_bytes()
    assert (said["items"], said["boms"], said["lines"], said["levels"]) == (13, 3, 12, 3)
    assert (said["manufacturer_parts"], said["change"]) == (11, "ECO-2001")
    assert (said["affected_elsewhere"], said["bytes"]) == (0, len(content))
    at = generated(content)
    assert tuple(items(content)) == GEARBOX_ITEMS
    assert items(content) == {n: replace(i, stated_at=at) for n, i in items(GEARBOX).items()}
    assert boms(content) == {n: replace(b, stated_at=at) for n, b in boms(GEARBOX).items()}
    assert changes(content) == changes(GEARBOX)
    with zipfile.ZipFile(tmp_path / "out.pdx") as archive:
        assert archive.namelist() == ["pdx.xml"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.pdx"]


def test_a_page_says_what_went_in(layshaft: Command) -> None:
    exit_code, out, _ = layshaft(
        "package", "make", "GBX-1110", "--out", "out.pdx", "--change", "ECO-2001"
    )
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert exit_code == 0
    assert lines[0] == "file out.pdx"
    assert "items 3 with 2 approved manufacturer parts" in lines
    assert "BOMs 1 with 2 lines, 1 level" in lines
    assert "change ECO-2001, affects 10 items outside of it" in lines


@pytest.mark.parametrize(
    ("levels", "expected"), [("0", (1, 0, 0, 0)), ("1", (7, 1, 6, 1)), ("2", (11, 2, 10, 2))]
)
def test_levels_end_what_is_below(
    layshaft: Command, levels: str, expected: tuple[int, int, int, int]
) -> None:
    said = made(layshaft, "GBX-1000", "--levels", levels)
    assert (said["items"], said["boms"], said["lines"], said["levels"]) == expected


def test_several_items_share_what_is_below_them(layshaft: Command, tmp_path: Path) -> None:
    said = made(layshaft, "GBX-1110", "GBX-1100", "GBX-1110")
    assert (said["items"], said["boms"]) == (7, 2)
    assert list(items((tmp_path / "out.pdx").read_bytes()))[:2] == ["GBX-1110", "GBX-1100"]


def test_assemblies_that_contain_each_other_are_taken_once(layshaft: Command) -> None:
    said = made(layshaft, "LOOP-1")
    assert (said["items"], said["boms"], said["levels"]) == (2, 2, 2)


def test_a_substitute_comes_along(layshaft: Command, tmp_path: Path) -> None:
    assert made(layshaft, "SUBST-1")["items"] == 3
    (line,) = boms((tmp_path / "out.pdx").read_bytes())["SUBST-1"].lines
    assert line.substitutes == ("GBX-1320",)


def test_all_that_is_not_known_is_listed_and_nothing_is_written(
    layshaft: Command, tmp_path: Path
) -> None:
    exit_code, out, err = layshaft(
        "package", "make", "HOLE-1", "HOLE-9", "--out", "out.pdx", "--change", "ECO-1"
    )
    assert (exit_code, out) == (4, "")
    assert "Layshaft does not know 5 of what the package needs  [LAY-not-found]" in err
    assert (
        "why:  item/HOLE-9, item/HOLE-2 (in bom/HOLE-1), item/HOLE-4 (in bom/HOLE-1), "
        "item/HOLE-3 (in bom/HOLE-1), engineering-change/ECO-1\n"
    ) in err
    assert list(tmp_path.iterdir()) == []


def test_what_no_package_can_say_leaves_no_file(layshaft: Command, tmp_path: Path) -> None:
    exit_code, out, err = layshaft("package", "make", "OLD-1", "--out", "out.pdx")
    assert (exit_code, out) == (2, "")
    assert "LAY-package-inexpressible" in err
    assert "why:  item/OLD-1 lifecycle" in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_over_only_by_force(layshaft: Command, tmp_path: Path) -> None:
    (tmp_path / "out.pdx").write_bytes(b"sent last week")
    arguments = ("package", "make", "GBX-1200", "--out", "out.pdx")
    exit_code, _, err = layshaft(*arguments)
    assert (exit_code, "LAY-file-exists" in err) == (5, True)
    assert (tmp_path / "out.pdx").read_bytes() == b"sent last week"
    assert layshaft(*arguments, "--force")[0] == 0
    assert list(items((tmp_path / "out.pdx").read_bytes())) == ["GBX-1200"]


@pytest.mark.parametrize(
    ("out", "exit_code", "code"),
    [("no/such/folder.pdx", 2, "LAY-file-unwritable"), (".", 5, "LAY-file-exists")],
)
def test_a_place_that_is_no_file_is_refused(
    layshaft: Command, tmp_path: Path, out: str, exit_code: int, code: str
) -> None:
    found, _, err = layshaft("package", "make", "GBX-1200", "--out", out, "--force")
    assert (found, code in err) == (exit_code, True)
    assert list(tmp_path.iterdir()) == []
