"""Tables beside the configuration: what is read, and what is refused at the start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.intake import Arrival, read_arrival
from canonical.codec import encode, read_event
from canonical.effects import Emit, Put
from canonical.errors import Misconfigured
from canonical.events import EVENTS, SOURCE
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.supplier import Supplier
from handlers import CATALOGUE
from handlers.flows.master_data import SUPPLIER_CHANGED
from handlers.systems.table.native import Csv
from ops.cli.doctor import run_checks
from ops.cli.problems import Exit
from ops.cli.publish import preview
from ops.cli.session import Reading
from ops.configuration import Configuration, load
from ops.sources import recogniser
from ops.tables import catalogue_of, form_of, refuse_unhandled
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

PAGE = Path(__file__).parents[3] / "docs" / "connect-a-source.md"
TABLES = CORPUS / "table"
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
TEXT = """
tables = ["tables/suppliers.toml", "tables/structure.toml"]
[settings]
systems = []
[[settings.sources]]
name = "erp"
kinds = ["supplier-list", "structure", "engineering-change"]
contracts = ["arena.change", "table.suppliers", "table.structure"]
[rules]
central_purchasing_org = "1000"
plants = []
distribution = []
routes = []
"""


def written(folder: Path, text: str = TEXT) -> Path:
    """A configuration with its tables beside it."""
    (folder / "tables").mkdir(exist_ok=True)
    for name in ("suppliers.toml", "structure.toml"):
        file = folder / "tables" / name
        if not file.exists():
            file.write_text((TABLES / name).read_text())
    path = folder / "layshaft.toml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str = TEXT) -> Configuration:
    return load(written(folder, text), URLS)


def refusal(folder: Path, text: str = TEXT) -> Misconfigured:
    configuration = loaded(folder, text)
    with pytest.raises(Misconfigured) as caught:
        refuse_unhandled(configuration, catalogue_of(configuration, CATALOGUE))
    return caught.value


def test_tables_stand_relative_to_the_configuration_whatever_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = loaded(tmp_path)
    monkeypatch.chdir("/")
    catalogue = catalogue_of(configuration, CATALOGUE)
    assert catalogue.handlers.keys() - CATALOGUE.handlers.keys() == {
        ("table", "table.suppliers"),
        ("table", "table.structure"),
    }
    assert catalogue.translator("table.suppliers").name == "table-suppliers"


def test_without_tables_everything_is_as_it_was(tmp_path: Path) -> None:
    text = TEXT.replace('tables = ["tables/suppliers.toml", "tables/structure.toml"]', "")
    text = text.replace(', "table.suppliers", "table.structure"', "")
    assert catalogue_of(loaded(tmp_path, text), CATALOGUE) == CATALOGUE


@pytest.mark.parametrize(("kind", "contract"), [
    ("supplier-list", "table.suppliers"), ("structure", "table.structure"),
    ("structure.gearboxes", "table.structure"),
])  # fmt: skip
def test_a_delivery_is_taken_by_the_table_of_its_routing_key(
    tmp_path: Path, kind: str, contract: str
) -> None:
    configuration = loaded(tmp_path)
    recognise = recogniser(configuration.settings, catalogue_of(configuration, CATALOGUE))
    assert recognise(Delivery("erp", kind, b"whatever")).types == (contract,)


def test_how_the_files_of_a_table_are_written_is_known_by_their_type(tmp_path: Path) -> None:
    csv, filled = form_of(loaded(tmp_path), "table.suppliers")
    assert csv == Csv(delimiter=";", encoding="cp1252")
    assert ("Gesperrt", "active") in filled
    assert ("Freigabe", "qualification.status") in filled
    assert ("Freigabe", "qualification.stated_as") in filled
    assert form_of(loaded(tmp_path), "arena.change") == (None, [])


def test_a_file_goes_the_way_of_every_message_up_to_its_decision(tmp_path: Path) -> None:
    configuration = loaded(tmp_path)
    recognise = recogniser(configuration.settings, catalogue_of(configuration, CATALOGUE))
    delivery = Delivery("erp", "supplier-list", (TABLES / "suppliers.csv").read_bytes())
    work = read_arrival(Arrival(delivery=delivery, lane="standard", queue="q"), recognise)
    assert (work.failure, work.order_key) == (None, ("table", "table/suppliers"))
    broken = delivery.body.replace(b"17300003;", b";")
    work = read_arrival(
        Arrival(delivery=Delivery("erp", "supplier-list", broken), lane="standard", queue="q"),
        recognise,
    )
    assert work.failure is not None
    assert work.failure.word == "data_quality"


def test_publish_says_how_a_file_will_be_read(tmp_path: Path) -> None:
    configuration = loaded(tmp_path)
    (source,) = configuration.settings.sources
    catalogue = catalogue_of(configuration, CATALOGUE)
    body = (TABLES / "suppliers.csv").read_bytes()
    good = preview("a.csv", Delivery("erp", "supplier-list", body), source, catalogue)
    assert (good.type, good.key, good.problem) == ("table.suppliers", "table/suppliers", "")
    bad = preview("a.csv", Delivery("erp", "supplier-list", b"a;b"), source, catalogue)
    assert bad.problem.startswith("column-missing: There is no column")


def test_a_later_file_makes_a_newer_document_and_an_earlier_one_an_older_one(
    tmp_path: Path,
) -> None:
    configuration = loaded(tmp_path)
    handler = catalogue_of(configuration, CATALOGUE).translator("table.suppliers")
    head, row = (TABLES / "suppliers.csv").read_bytes().split(b"\r\n")[:2]
    puts: list[Put] = []
    for day in (b"02.03.2026", b"03.03.2026", b"01.03.2026"):
        file = b"\r\n".join((head, row.replace(b"02.03.2026", day).partition(b'"')[0]))
        message = handler.read(Delivery("erp", "supplier-list", file))
        (said,) = handler.decide(message, Facts(RULES), NOW)
        assert isinstance(said, Emit)
        attributes = {"id": "1", "type": EVENTS[said.event].type, "subject": said.key}
        event = read_event(Delivery(SOURCE, "", encode(said.data), attributes=attributes))
        put, *_ = SUPPLIER_CHANGED.decide(event, Facts(RULES), NOW)
        assert isinstance(put, Put)
        puts.append(put)
    assert {put.key for put in puts} == {"supplier/17300001"}
    assert puts[2].order < puts[0].order < puts[1].order


@pytest.mark.parametrize(
    ("before", "after", "code", "where", "remedy"),
    [
        ("suppliers.toml", "suplliers.toml", "table-unreadable", "suplliers.toml", "relative"),
        ('"tables/structure.toml"', '"tables/suppliers.toml"', "table-invalid", "suppliers.toml",
         "Rename"),
        ('"table.structure"', '"table.strcuture"', "contract-without-handler",
         "settings.sources.erp.contracts", "`table.structure`"),
        ('"arena.change"', '"arena.chnage"', "contract-without-handler",
         "settings.sources.erp.contracts", "`arena.change`"),
        ('"arena.change"', '"s4.event"', "reads-from-nowhere", "settings.sources.erp.reads_from",
         "settings.systems"),
        ('"structure", ', "", "table-invalid", "settings.sources.erp.kinds", "Add structure"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_starts(
    tmp_path: Path, before: str, after: str, code: str, where: str, remedy: str
) -> None:
    failure = refusal(tmp_path, TEXT.replace(before, after))
    assert failure.code == code
    assert where in failure.where
    assert remedy in failure.remedy


def test_two_tables_for_one_kind_of_a_source_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    file = tmp_path / "tables" / "structure.toml"
    file.write_text(file.read_text().replace('["structure"]', '["supplier-list"]'))
    assert "both take supplier-list" in refusal(tmp_path).what


@pytest.mark.parametrize("content", [b"name = ", b"\xff", b"x = 1\n" + b"#" * 300_000])
def test_a_table_that_is_no_toml_is_refused_with_its_file(tmp_path: Path, content: bytes) -> None:
    written(tmp_path)
    (tmp_path / "tables" / "structure.toml").write_bytes(content)
    failure = refusal(tmp_path)
    assert (failure.code, Path(failure.where).name) == ("table-unreadable", "structure.toml")


def test_an_unknown_key_of_a_table_is_refused_with_file_and_nearest_one(tmp_path: Path) -> None:
    written(tmp_path)
    file = tmp_path / "tables" / "structure.toml"
    file.write_text(file.read_text().replace("decimal =", "decimals ="))
    failure = refusal(tmp_path)
    assert (Path(failure.where).name, failure.remedy) == (
        "structure.toml", "Did you mean `decimal`?",
    )  # fmt: skip


def test_doctor_says_what_is_wrong_with_a_table_without_looking_at_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in URLS.items():
        monkeypatch.setenv(name, value)
    path = written(tmp_path)
    file = tmp_path / "tables" / "structure.toml"
    file.write_text(file.read_text().replace("lines.note", "lines.notes"))
    assert run_checks(reading=Reading(config=path, output="json")) == Exit.FINDINGS
    said = capsys.readouterr().out
    assert "structure.toml: fields.lines.notes is no field of Bom" in said
    assert "Did you mean `lines.note`?" in said


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    """The table, the configuration and the file stand there to be copied."""
    section = PAGE.read_text().partition("## A file that nobody has a driver for")[2]
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    table, source = (text for language, text in blocks if language == "toml")
    (file,) = (text for language, text in blocks if language == "csv")
    (tmp_path / "suppliers.toml").write_text(table)
    head, sources = source.split("\n\n", 1)
    rules = "[rules]" + TEXT.partition("[rules]")[2]
    path = tmp_path / "layshaft.toml"
    path.write_text(f"{head}\n[settings]\nsystems = []\n{sources}\n{rules}")
    configuration = load(path, URLS)
    recognise = recogniser(configuration.settings, catalogue_of(configuration, CATALOGUE))
    (kind,) = configuration.settings.sources[0].kinds
    delivery = Delivery(configuration.settings.sources[0].name, kind, file.encode())
    handler = recognise(delivery)
    events = handler.decide(handler.read(delivery), Facts(RULES), NOW)
    suppliers = [event.data for event in events if isinstance(event, Emit)]
    assert [s.number for s in suppliers if isinstance(s, Supplier)] == ["17300001", "17300002"]
    assert len(events) == 2  # and no case
