"""Words of one installation in its configuration: as the page says it, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from canonical.errors import Misconfigured
from ops.cli.tree import run
from ops.configuration import Configuration, load
from tests.fixtures.pdx_text import (
    affected_xml,
    bom_xml,
    change_xml,
    item_xml,
    line_xml,
    package_xml,
)

PAGE = Path(__file__).parents[3] / "docs" / "connect-a-source.md"
CONFIGURATION = """
[settings]
database_url = "postgresql://nobody@127.0.0.1:9/nothing"
amqp_url = "amqp://127.0.0.1:9"

[[settings.sources]]
name = "plm"
kinds = ["product-definition"]
contracts = ["pdx.package"]

[[settings.sources]]
name = "other-plm"
kinds = ["product-definition"]
contracts = ["pdx.package"]

[[settings.systems]]
name = "erp"
driver = "s4"
base_url = "http://127.0.0.1:9"
auth = "s4"
user = "x"
secret = "env:NOTHING"

[rules]
central_purchasing_org = "1000"
distribution = [{ family = "Widgets", plants = ["1010"] }]

[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "Europe/Berlin"
sourcing = "central"
purchasing_org = "1000"

[[rules.routes]]
object_kind = "*"
plant = "*"
system = "erp"
from_day = 2020-01-01
"""
PACKAGE = package_xml(
    item_xml(
        "WIDGET-1",
        bom_xml(line_xml("SEAL-1")),
        globalProductUnitOfMeasureCode="stk.",
        globalLifeCyclePhaseCode="Other",
        globalLifeCyclePhaseCodeOther="In Work (Plant)",
        proprietaryProductFamily="Widgets",
    ),
    item_xml("SEAL-1", globalProductUnitOfMeasureCode="Rolle"),
    changes=change_xml(affected_xml("WIDGET-1", newRevision="A", oldRevision="")),
)


def written(folder: Path, text: str) -> Path:
    file = folder / "layshaft.toml"
    file.write_text(CONFIGURATION + text)
    return file


def loaded(folder: Path, text: str) -> Configuration:
    return load(written(folder, text), {})


def refusal(folder: Path, text: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        loaded(folder, text)
    return caught.value


@pytest.fixture(scope="module")
def blocks() -> tuple[str, str]:
    """The words of the page, and the naming of a file that holds them."""
    _, _, section = PAGE.read_text().partition("## Words of your own\n")
    inline, named, *_ = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    return inline, named


def test_words_of_the_page_are_those_of_the_source(tmp_path: Path, blocks: tuple[str, str]) -> None:
    rules = loaded(tmp_path, blocks[0]).rules
    assert rules.words_of("plm").units == {"Stk.": "H87", "Rolle": "XRO"}
    assert rules.words_of("plm").state("In Work (Plant)") == "in_design"
    assert rules.words_of("erp").units == {}


def test_a_file_of_words_stands_relative_to_the_configuration(
    tmp_path: Path, blocks: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inline, named = blocks
    (tmp_path / "plm-words.toml").write_text(inline.replace("rules.words.plm.", ""))
    path = written(tmp_path, named)
    monkeypatch.chdir("/")
    assert load(path, {}).rules.words == loaded(tmp_path, inline).rules.words


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ('[units]\n"Stk." = "PIECE"', 'units."Stk."', "'PIECE' is no unit code"),
        ('[lifecycle]\nWork = "work"', 'lifecycle."Work"', "'work' is no state"),
        ('[units]\nStk = "H87"\nSTK = "H87"', 'units."STK"', "there twice"),
    ],
)
def test_a_row_that_means_nothing_is_refused_with_file_and_row(
    tmp_path: Path, rows: str, where: str, what: str
) -> None:
    file = tmp_path / "plm.toml"
    file.write_text(rows)
    failure = refusal(tmp_path, '[rules.words]\nplm = "plm.toml"\n')
    assert (failure.code, failure.where) == ("words-invalid", f"{file}: {where}")
    assert what in failure.what
    assert failure.remedy


def test_a_row_in_the_configuration_is_refused_with_its_place_there(tmp_path: Path) -> None:
    failure = refusal(tmp_path, '[rules.words.erp.units]\nSTK = "EA"\n')
    assert failure.code == "words-invalid"
    assert failure.where == f'{tmp_path / "layshaft.toml"}: rules.words.erp: units."STK"'
    assert failure.remedy == "Write H87"


@pytest.mark.parametrize(
    ("text", "code", "where", "remedy"),
    [
        ('[rules.words]\nplm = "none.toml"', "configuration-unreadable", "none.toml", "words"),
        ('[rules.words.pml.units]\nStk = "H87"', "words-of-nobody", "rules.words.pml", "plm"),
        ('[rules.words.plm.unit]\nStk = "H87"', "words-invalid", "rules.words.plm", "`units`"),
        ("[rules.words.plm.units]\nStk = 7", "words-invalid", "rules.words.plm", "as texts"),
        ("[rules.words]\nplm = 7", "words-invalid", "rules.words.plm", "`units`"),
    ],
)
def test_words_that_are_none_are_refused_at_load(
    tmp_path: Path, text: str, code: str, where: str, remedy: str
) -> None:
    failure = refusal(tmp_path, f"{text}\n")
    assert failure.code == code
    assert failure.where.endswith(where)
    assert remedy in failure.remedy


# --- a dry run ---


def dry_run(
    folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    package = folder / "package.xml"
    package.write_bytes(PACKAGE)
    named = ["--config", str(folder / "layshaft.toml"), "-o", "json"]
    exit_code = run(["map", "dry-run", str(package), *named, *arguments])
    said = capsys.readouterr()
    return exit_code, said.out, said.err


def test_a_dry_run_reads_and_writes_with_the_words_that_the_service_has(
    tmp_path: Path, blocks: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, blocks[0] + '[rules.words.erp.units]\nSTK = "H87"\n')
    exit_code, out, err = dry_run(tmp_path, capsys, "--source", "plm")
    assert (exit_code, err) == (0, "")
    found = json.loads(out)
    (file,) = found["files"]
    items = {e["key"]: e["data"] for e in file["events"] if e["event"] == "item.released"}
    widget = items["item/WIDGET-1"]
    assert (widget["base_unit"], widget["lifecycle"]) == ("H87", "in_design")
    assert widget["phase"] == "In Work (Plant)"
    assert items["item/SEAL-1"]["base_unit"] == "XRO"
    written_bodies = [json.loads(call["write"]["body"]) for call in found["calls"] if call["write"]]
    units = {body["Product"]: body["BaseUnit"] for body in written_bodies if "BaseUnit" in body}
    assert units == {"WIDGET-1": "STK", "SEAL-1": "ROL"}


@pytest.mark.parametrize("source", ["other-plm", ""])
def test_words_of_one_source_are_no_words_of_another(
    tmp_path: Path, blocks: tuple[str, str], capsys: pytest.CaptureFixture[str], source: str
) -> None:
    written(tmp_path, blocks[0])
    arguments = ("--source", source) if source else ()
    exit_code, out, err = dry_run(tmp_path, capsys, *arguments)
    assert exit_code != 0
    assert "lifecycle-unmapped" in out + err
    assert ("name it with --source" in err) == (not source)


def test_the_doctor_says_which_row_means_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, '[rules.words.plm.units]\n"Stk." = "PIECE"\n')
    assert run(["doctor", "--config", str(path)]) != 0
    assert "LAY-words-invalid" in capsys.readouterr().out
