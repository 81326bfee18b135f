"""Published contracts are those that the code keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from canonical.events import EVENTS, EventType
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.contracts.asyncapi import asyncapi
from ops.contracts.files import (
    ASYNCAPI,
    INBOUND,
    PAGE,
    PUBLISHED,
    ROOT,
    SCHEMAS,
    SUPPORT,
    export,
    findings,
)
from ops.contracts.inbound import HEADERS
from ops.contracts.inbound import schemas as inbound_schemas
from ops.contracts.schemas import file_name

OFFICIAL = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "asyncapi" / "3.0.0.json").read_text()
)
RELEASED = SCHEMAS / "item.released.v1.json"
ROWS_OF_ORDERS = INBOUND / "coupa.order.json"


def published(event: EventType) -> dict[str, Any]:
    found = json.loads((ROOT / SCHEMAS / file_name(event)).read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything published, which nobody changes."""
    folder = tmp_path_factory.mktemp("everything")
    written, refused = export(folder, CATALOGUE)
    assert refused == []
    assert len(written) == len(EVENTS) + len(inbound_schemas(CATALOGUE)) + 4
    return folder


@pytest.fixture
def exported(everything: Path, tmp_path: Path) -> Path:
    """A copy of it of one's own."""
    shutil.copytree(everything, tmp_path, dirs_exist_ok=True)
    return tmp_path


def edit(path: Path, change: Any) -> str:
    """The file with a change to its content; its text."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path.read_text()


def publish_as_it_is(root: Path) -> None:
    """What lies there is what was published last."""
    (root / PUBLISHED).unlink()
    files = sorted((root / SCHEMAS).rglob("*.json"))
    names = {file: file.relative_to(root / SCHEMAS) for file in files}
    sums = [f"{sha256(file.read_bytes()).hexdigest()}  {names[file]}\n" for file in files]
    (root / PUBLISHED).write_text("".join(sums))


def test_what_is_published_is_what_the_code_keeps() -> None:
    assert findings(ROOT, CATALOGUE) == [], "run `layshaft schema export`"


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_published_schema_is_one(event: EventType) -> None:
    Draft202012Validator.check_schema(published(event))


def test_the_asyncapi_document_is_one() -> None:
    Draft7Validator(OFFICIAL).validate(json.loads((ROOT / ASYNCAPI).read_text()))


def test_a_document_that_is_none_is_noticed() -> None:
    document = asyncapi(CATALOGUE)
    document["operations"]["take.inbound"] = {
        **document["operations"]["take.inbound"],
        "action": "subscribe",
    }
    assert list(Draft7Validator(OFFICIAL).iter_errors(document))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads((ROOT / ASYNCAPI).read_text())

    def references(value: Any) -> list[str]:
        match value:
            case dict():
                own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
                return own + [r for part in value.values() for r in references(part)]
            case list():
                return [r for part in value for r in references(part)]
            case _:
                return []

    found = references(document)
    assert found
    for reference in found:
        place: Any = document
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]


def test_what_would_break_a_reader_is_refused_and_nothing_is_written(exported: Path) -> None:
    def was_wider(schema: dict[str, Any]) -> None:
        schema["$defs"]["Item"]["properties"]["kind"]["enum"].append("tool")

    before = edit(exported / RELEASED, was_wider)
    publish_as_it_is(exported)
    (exported / PAGE).unlink()
    written, refused = export(exported, CATALOGUE)
    assert written == []
    assert [(f.file, f.word) for f in refused] == [(str(RELEASED), "breaking")]
    assert refused[0].what == "readers, kind: the old one may hold 'tool', the new version does not"
    assert (exported / RELEASED).read_text() == before
    assert not (exported / PAGE).exists()


def test_what_breaks_nobody_is_written_anew(exported: Path) -> None:
    def knew_less(schema: dict[str, Any]) -> None:
        del schema["$defs"]["Item"]["properties"]["weight"]

    edit(exported / RELEASED, knew_less)
    publish_as_it_is(exported)
    assert [(f.file, f.word) for f in findings(exported, CATALOGUE)] == [
        (str(RELEASED), "outdated")
    ]
    assert export(exported, CATALOGUE) == ([RELEASED, PUBLISHED], [])
    assert findings(exported, CATALOGUE) == []


def _took_numbers(schema: dict[str, Any]) -> None:
    schema["$defs"]["Order"]["properties"]["status"] = {"type": "integer"}


def _needed_no_supplier(schema: dict[str, Any]) -> None:
    schema["$defs"]["Order"]["required"].remove("supplier")


def _needed_no_type(schema: dict[str, Any]) -> None:
    schema[HEADERS]["required"].remove("ce-type")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            _took_numbers,
            "readers, status: the old one may hold integer, the new version does not",
        ),
        (
            _needed_no_supplier,
            "readers, supplier: the old one may leave it out, the new version requires it",
        ),
        (
            _needed_no_type,
            "readers, ce-type: the old one may leave it out, the new version requires it",
        ),
    ],
)
def test_what_sources_send_is_not_taken_less_tolerantly(
    exported: Path, before: Callable[[dict[str, Any]], None], said: str
) -> None:
    edit(exported / ROWS_OF_ORDERS, before)
    publish_as_it_is(exported)
    written, refused = export(exported, CATALOGUE)
    assert written == []
    assert {(f.file, f.word) for f in refused} == {(str(ROWS_OF_ORDERS), "breaking")}
    assert said in [f.what for f in refused]


def test_what_sources_send_may_be_taken_more_tolerantly(exported: Path) -> None:
    def needed_more(schema: dict[str, Any]) -> None:
        schema["$defs"]["Order"]["required"].append("type")
        schema[HEADERS]["required"].append("ce-time")
        del schema["$defs"]["Order"]["properties"]["payment-term"]

    edit(exported / ROWS_OF_ORDERS, needed_more)
    publish_as_it_is(exported)
    assert export(exported, CATALOGUE) == ([ROWS_OF_ORDERS, PUBLISHED], [])
    assert findings(exported, CATALOGUE) == []


def test_a_kind_that_nobody_takes_any_more_is_noticed(exported: Path) -> None:
    gone = INBOUND / "coupa.invoice.json"
    (exported / ROWS_OF_ORDERS).rename(exported / gone)
    publish_as_it_is(exported)
    words = {f.file: f.word for f in findings(exported, CATALOGUE)}
    assert words == {str(ROWS_OF_ORDERS): "missing", str(gone): "abandoned"}


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_published_file_that_is_gone_or_edited_is_not_taken_for_one_that_never_was(
    exported: Path, is_gone: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def knew_less(schema: dict[str, Any]) -> None:
        del schema["$defs"]["Item"]["properties"]["weight"]

    if is_gone:
        (exported / RELEASED).unlink()
    else:
        edit(exported / RELEASED, knew_less)
    root = ["--root", str(exported)]
    assert findings(exported, CATALOGUE)[0].word == "altered"
    assert run(["schema", "export", *root]) == 1
    told = capsys.readouterr()
    assert f"{RELEASED}  altered" in told.out
    assert "restore these files as they were published" in told.err
    assert (exported / RELEASED).exists() is not is_gone


def test_a_version_that_nobody_keeps_any_more_is_noticed(exported: Path) -> None:
    (exported / RELEASED).rename(exported / SCHEMAS / "item.released.v9.json")
    publish_as_it_is(exported)
    words = {f.file: f.word for f in findings(exported, CATALOGUE)}
    assert words == {
        str(RELEASED): "missing",
        str(SCHEMAS / "item.released.v9.json"): "abandoned",
    }


def test_the_command_says_what_is_wrong_and_mends_it(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(exported)]
    assert run(["schema", "check", *root]) == 0
    (exported / PAGE).write_text("old")
    assert run(["schema", "check", *root]) == 1
    assert "docs/contracts/README.md  outdated" in capsys.readouterr().out
    assert run(["schema", "export", *root]) == 0
    assert capsys.readouterr().out == f"written: {PAGE}\n"
    assert run(["schema", "check", *root, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": []}


def test_what_is_supported_is_among_it(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "supported" in (exported / SUPPORT).read_text()
    (exported / SUPPORT).unlink()
    assert run(["schema", "check", "--root", str(exported)]) == 1
    assert "docs/support.md  missing" in capsys.readouterr().out


def test_the_command_tells_two_schemas_apart(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = exported / RELEASED, tmp_path / "new.json"
    new.write_text(old.read_text())
    assert run(["schema", "diff", str(old), str(new)]) == 0

    def requires_more(schema: dict[str, Any]) -> None:
        schema["$defs"]["Item"]["required"].append("family")

    edit(new, requires_more)
    capsys.readouterr()
    assert run(["schema", "diff", str(old), str(new), "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "breaks": [
            {
                "side": "readers",
                "path": "family",
                "what": "the old one may leave it out, the new version requires it",
            }
        ]
    }


@pytest.mark.parametrize("content", ["", "[]", '{"$ref": "#/$defs/None"}'])
def test_a_file_that_is_no_schema_is_said_so(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    other = tmp_path / "other.json"
    other.write_text(content)
    assert run(["schema", "diff", str(exported / RELEASED), str(other)]) == 2
    assert "LAY-no-schema" in capsys.readouterr().err
