"""`layshaft messages export`: what came in becomes files, masked, and never over others."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.packages import put_package
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Database
from broker.unit import SqlStorage
from canonical.codec import encode
from canonical.handler import Delivery
from canonical.package import PACKAGE_TYPE, PackageReference
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.configuration import load
from ops.demo.configuration import with_addresses
from ops.sources import recogniser

PACKAGES = Path(__file__).parents[2] / "ops" / "demo" / "packages"
KIT = (PACKAGES / "kit_package_unmapped_unit.pdx").read_bytes()
ECO = (PACKAGES / "arena_eco_000451.json").read_bytes()
UNKNOWN = b"\x00\x01 nobody knows"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command after a source has sent four messages; (exit code, stdout, stderr)."""
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "layshaft.toml"
    config.write_text(
        with_addresses(
            listen_port=0,
            database_url=database_url,
            amqp_url="amqp://127.0.0.1:9/",
            erp_url="http://127.0.0.1:9",
            procurement_url="http://127.0.0.1:9",
            secret_file=tmp_path / "secret",
        )
    )
    asyncio.run(take_messages(config))
    capsys.readouterr()  # log lines of the pipeline
    monkeypatch.setenv("LAYSHAFT_CONFIG", str(config))
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


async def take_messages(config: Path) -> None:
    """A change, a package in a message, one by reference, and something that nobody can read."""
    configuration = load(config, {})
    recognise = recogniser(configuration.settings, CATALOGUE)
    database = Database(
        url=configuration.settings.database_url,
        purpose="test",
        size=2,
        acquire_s=3,
        statement_s=5,
    )
    await database.open()
    storage = SqlStorage(database)
    pipeline = Pipeline(
        lane="standard",
        storage=storage,
        recognise=recognise,
        handler_named=CATALOGUE.handler_named,
        rules=configuration.rules,
        policy=RetryPolicy(),
        metrics=Metrics(),
        fail_points=FailPoints.parse(""),
        committed=lambda: None,
    )
    gearbox = (PACKAGES / "gearbox_package.pdx").read_bytes()

    async def content() -> AsyncIterator[bytes]:
        yield gearbox

    stored = await put_package(
        database, content(), name="g.pdx", content_type="application/zip", by="me"
    )
    reference = PackageReference(stored.reference, stored.bytes, stored.sha256.hex())
    for body, kind, content_type in (
        (ECO, "engineering-change", "application/json"),
        (KIT, "product-definition", "application/zip"),
        (encode(reference), "product-definition", PACKAGE_TYPE),
        (UNKNOWN, "product-definition", "application/octet-stream"),
    ):
        delivery = Delivery(source="plm", kind=kind, body=body, content_type=content_type)
        await pipeline.take([Arrival(delivery, "standard", "in.plm")])
    await database.close()


def data(output: str) -> Any:
    """What `-o json` printed."""
    return msgspec.json.decode(output)


def xml_in(file: Path) -> str:
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        assert archive.namelist() == ["pdx.xml"]
        return archive.read("pdx.xml").decode()


def test_two_mapping_versions_are_compared_over_recorded_traffic(
    layshaft: Command, tmp_path: Path
) -> None:
    exported = layshaft("messages", "export", "--out", "traffic", "--source", "plm", "-o", "json")
    assert exported[0] == 0
    assert layshaft("map", "record", "traffic")[0] == 0
    assert layshaft("map", "diff", "traffic")[0] == 0
    # What another version made of the change: of another family.
    [golden] = [
        path
        for path in (tmp_path / "traffic").glob("*.golden.json")
        if "engineering-change.released" in path.read_text() and "ECO-000451" in path.read_text()
    ]
    said = json.loads(golden.read_text())
    family = said[0][2]["family"]
    assert family
    said[0][2]["family"] = "Pumps"
    golden.write_text(json.dumps(said))
    exit_code, out, _ = layshaft("map", "diff", "traffic", "-o", "json")
    assert exit_code == 1
    [differs] = [row for row in data(out) if row["word"] == "changed"]
    assert differs["file"] == golden.name.replace(".golden.json", ".json")
    [change] = differs["changes"]
    assert (change["path"], json.loads(change["old"]), json.loads(change["new"])) == (
        "family",
        "Pumps",
        family,
    )


def test_what_came_in_is_exported_masked(layshaft: Command, tmp_path: Path) -> None:
    exit_code, out, err = layshaft(
        "messages", "export", "--out", "corpus/plm", "--source", "plm", "-o", "json"
    )
    assert (exit_code, err) == (0, "")
    done = data(out)
    assert [f["type"] for f in done["files"]] == ["arena.change", "pdx.package", "pdx.package"]
    assert [f["left_out"] for f in done["files"]] == [0, 1, 1]
    files = [tmp_path / "corpus" / "plm" / f["file"] for f in done["files"]]
    assert [file.suffix for file in files] == [".json", ".pdx", ".pdx"]
    assert {f.name for f in files[0].parent.iterdir()} == {*(f.name for f in files), "SOURCE.txt"}
    change = json.loads(files[0].read_text())["change"]
    assert change["number"] == "ECO-000451"
    name = change["creator"]["fullName"]
    assert (len(name), name[6], "Oduya" in name) == (12, " ", False)
    for package, number, maker in (
        (files[1], "KIT-2000", "Papyra"),
        (files[2], "GBX-1000", "Kitano"),
    ):
        text = xml_in(package)
        assert number in text
        assert maker not in text
        assert "Oduya" not in text
    originators = {
        text.split('originatedByContactName="')[1].split('"')[0] for text in map(xml_in, files[1:])
    }
    assert len(originators) == 1
    source = (files[0].parent / "SOURCE.txt").read_text()
    assert "Selected: source plm\n" in source
    assert "left out: 1 more of the files in its archive" in source


def test_a_file_that_was_exported_can_be_read_again(layshaft: Command, tmp_path: Path) -> None:
    done = data(layshaft("messages", "export", "--out", "o", "--source", "plm", "-o", "json")[1])
    recognise = recogniser(load(tmp_path / "layshaft.toml", {}).settings, CATALOGUE)
    keys = []
    for file in done["files"]:
        body = (tmp_path / "o" / file["file"]).read_bytes()
        delivery = Delivery("plm", file["kind"], body, file["content_type"])
        keys.append(recognise(delivery).read(delivery).envelope.key)
    assert keys == [
        "engineering-change/ECO-000451", "product-definition/KIT-2000",
        "product-definition/GBX-1000",
    ]  # fmt: skip


def test_as_they_are_has_to_be_said_and_is_said(layshaft: Command, tmp_path: Path) -> None:
    exit_code, out, err = layshaft(
        "messages", "export", "--out", "raw", "--source", "plm", "--as-they-are"
    )
    assert exit_code == 0
    assert "3 messages exported to raw, as they are" in out
    assert "NOT MASKED" in err
    assert "NOT MASKED" in (tmp_path / "raw" / "SOURCE.txt").read_text()
    contents = [file.read_bytes() for file in (tmp_path / "raw").iterdir()]
    assert ECO in contents
    assert KIT in contents


def test_what_nobody_knows_is_not_exported_and_said(layshaft: Command, tmp_path: Path) -> None:
    exit_code, out, _ = layshaft("messages", "export", "--out", "o", "--type", "unread")
    assert exit_code == 1
    assert "0 messages exported" in out
    assert "content-unknown" in out
    assert not (tmp_path / "o").exists()
    exit_code, _, _ = layshaft(
        "messages", "export", "--out", "o", "--type", "unread", "--as-they-are"
    )
    assert exit_code == 0
    (file,) = (tmp_path / "o").glob("*.bin")
    assert file.read_bytes() == UNKNOWN


def test_events_of_our_own_are_left_out_and_counted(layshaft: Command) -> None:
    _, out, _ = layshaft("messages", "export", "--out", "o", "--since", "2000-01-01", "-o", "json")
    done = data(out)
    assert {f["source"] for f in done["files"]} == {"plm"}
    assert done["own"] == done["selected"] - 3
    assert done["own"] > 0


def test_the_oldest_are_taken_up_to_the_limit(layshaft: Command) -> None:
    exit_code, out, err = layshaft(
        "messages", "export", "--out", "o", "--source", "plm", "--limit", "2", "-o", "json"
    )
    assert exit_code == 0
    assert [f["type"] for f in data(out)["files"]] == ["arena.change", "pdx.package"]
    assert "more than 2" in err


def test_numbers_are_masked_where_that_is_asked_for(layshaft: Command, tmp_path: Path) -> None:
    layshaft("messages", "export", "--out", "o", "--source", "plm", "--mask-numbers")
    for file in (tmp_path / "o").iterdir():
        text = xml_in(file) if file.suffix == ".pdx" else file.read_text()
        assert 'itemIdentifier="KIT-2000"' not in text
        assert '"ECO-000451"' not in text


def test_nothing_is_overwritten_and_no_half_folder_is_left(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine").write_text("mine")
    before = sorted(tmp_path.iterdir())
    exit_code, out, err = layshaft("messages", "export", "--out", "o", "--source", "plm")
    assert (exit_code, out) == (5, "")
    assert "LAY-folder-used" in err
    assert [f.name for f in (tmp_path / "o").iterdir()] == ["mine"]
    assert sorted(tmp_path.iterdir()) == before


def test_a_package_that_is_gone_is_said(
    layshaft: Command, tmp_path: Path, database_url: str
) -> None:
    async def forget() -> None:
        database = Database(url=database_url, purpose="test", size=1, acquire_s=3, statement_s=5)
        await database.open()
        async with database.transaction() as tx:
            await tx.execute("delete from package")
        await database.close()

    asyncio.run(forget())
    exit_code, out, _ = layshaft("messages", "export", "--out", "o", "--source", "plm")
    assert exit_code == 1
    assert "2 messages exported" in out
    assert "package-missing" in out
    assert "package-missing" in (tmp_path / "o" / "SOURCE.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "selection-missing"),
        (("--source", "plm", "--as-they-are", "--mask-numbers"), "masking-contradictory"),
        (("--source", "plm", "--limit", "0"), "limit-not-positive"),
    ],
)
def test_what_makes_no_sense_is_refused(
    layshaft: Command, arguments: tuple[str, ...], code: str
) -> None:
    exit_code, out, err = layshaft("messages", "export", "--out", "o", *arguments)
    assert (exit_code, out) == (2, "")
    assert f"LAY-{code}" in err
