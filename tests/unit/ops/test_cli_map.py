"""`layshaft map` as people and scripts use it, on real files and with no server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from handlers import CATALOGUE
from ops.cli.map_content import readable
from ops.cli.tree import run
from ops.mapping.translation import contracts_of
from tests.corpus import CORPUS
from tests.fixtures.build_packages import PACKAGES

ROOT = Path(__file__).resolve().parents[3]
ORDER = CORPUS / "idoc" / "orders.xml"
CHANGE = PACKAGES / "arena_eco_000451.json"
ITEMS = PACKAGES / "pdx_subassembly.xml"
GEARBOX = PACKAGES / "gearbox_package.pdx"

Command = Callable[..., tuple[int, str, str]]

RULES = """
[settings]
database_url = "postgresql://nobody@127.0.0.1:9/nothing"
amqp_url = "amqp://127.0.0.1:9"

[[settings.sources]]
name = "plm"
kinds = ["product-definition"]
contracts = ["arena.change"]

[[settings.systems]]
name = "erp"
driver = "s4"
base_url = "http://127.0.0.1:9"
auth = "s4"
user = "x"
secret = "env:NOTHING"

[[settings.systems]]
name = "procurement"
driver = "coupa"
base_url = "http://127.0.0.1:9"
auth = "oauth2"
user = "x"
secret = "env:NOTHING"
token_path = "/oauth2/token"

[rules]
central_purchasing_org = "1000"

[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "Europe/Berlin"
sourcing = "central"
purchasing_org = "1000"

[[rules.distribution]]
family = "Widgets"
plants = ["1010"]

[[rules.distribution]]
family = "Gearboxes"
plants = ["1010"]

[[rules.routes]]
object_kind = "*"
plant = "*"
system = "erp"
from_day = 2020-01-01
"""


@pytest.fixture
def layshaft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command in an empty folder; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LAYSHAFT_")]:
        monkeypatch.delenv(name)

    def command(*arguments: object) -> tuple[int, str, str]:
        exit_code = run(["map", *map(str, arguments)])
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def data(layshaft: Command, *arguments: object) -> dict[str, Any]:
    exit_code, out, err = layshaft(*arguments, "-o", "json")
    assert (exit_code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


# Dry run


def test_a_dry_run_shows_events_with_their_content(layshaft: Command) -> None:
    exit_code, out, err = layshaft("dry-run", ORDER)
    assert (exit_code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{ORDER}: 1 event"
    assert "purchase-order.created  purchase-order/4500000670  (standard lane)" in lines
    assert "  lines[1].quantity              value 1, unit H87" in lines
    assert "  total                          amount 100, currency EUR" in lines


def test_a_dry_run_shows_what_was_left_out_as_cases(layshaft: Command) -> None:
    _, out, _ = layshaft("dry-run", CORPUS / "idoc" / "matmas.xml")
    assert "  what   '201' is no unit code of Recommendation 20 or 21" in out.splitlines()
    assert out.count("\ncase  unit-unknown\n") == 2


def test_a_dry_run_shows_what_nobody_reads_with_its_count(layshaft: Command) -> None:
    _, out, _ = layshaft("dry-run", ORDER)
    shown = out.splitlines()
    at = shown.index("read by nobody: segments of SAP: 6")
    assert shown[at + 1 : at + 4] == ["  E1EDP01/E1EDPA1", "  E1EDP01/E1EDPT1", ""]
    item = data(layshaft, "dry-run", CORPUS / "arena" / "item.json")["files"][0]
    assert item["ignored"] == {
        "counted": {"fields": 1, "vendor without supplierId": 1},
        "paths": ["item.additionalAttributes[Shelf Life (Months)]"],
    }


def test_a_dry_run_shows_where_a_message_is_not_as_it_should_be(layshaft: Command) -> None:
    _, out, _ = layshaft("dry-run", ITEMS)
    line, unit = (
        "line 2282: HistoryItem has no modificationDate, which is required",
        "item/XYZ-03654: No unit is stated, neither here nor where it is used: each",
    )
    assert f"  {line}\n  {unit}\n" in out
    found = data(layshaft, "dry-run", ITEMS)["files"][0]
    assert [f"{d['where']}: {d['what']}" for d in found["deviations"]] == [
        line,
        unit,
    ]


def test_a_file_that_is_refused_ends_with_what_is_wrong_and_its_exit_code(
    layshaft: Command,
) -> None:
    exit_code, out, err = layshaft("dry-run", PACKAGES / "kit_package_unmapped_unit.pdx")
    assert (exit_code, out) == (2, "")
    assert err.splitlines()[0].endswith("[LAY-unit-unmapped]")


def test_a_test_message_is_refused_by_rule_and_others_are_shown(
    layshaft: Command, tmp_path: Path
) -> None:
    test = tmp_path / "test.xml"
    test.write_text(ORDER.read_text().replace("<STATUS>", "<TEST>X</TEST><STATUS>"))
    exit_code, out, err = layshaft("dry-run", test, ORDER)
    assert exit_code == 5
    assert out.startswith(f"{ORDER}: 1 event")
    assert f"{test}: The IDoc is marked as a test  [LAY-test-message]" in err


def test_nobody_recognises_a_page_of_notes(layshaft: Command) -> None:
    exit_code, _, err = layshaft("dry-run", CORPUS / "README.md")
    assert (exit_code, "[LAY-contract-unknown]" in err) == (2, True)


def test_a_contract_that_nobody_handles_is_named(layshaft: Command) -> None:
    exit_code, _, err = layshaft("dry-run", ORDER, "--contract", "idoc.documents")
    assert (exit_code, "[LAY-contract-without-handler]" in err) == (2, True)


def test_an_answer_is_read_with_the_attributes_that_came_with_it(
    layshaft: Command, tmp_path: Path
) -> None:
    answer = tmp_path / "suppliers.json"
    answer.write_text('[{"id": 9, "number": "S-3", "name": "Teller", "status": "active"}]')
    stated = ["id=1", "subject=supplier/S-3", "time=2026-03-02T08:00:00Z"]
    attributes = [part for text in stated for part in ("--attribute", text)]
    found = data(layshaft, "dry-run", answer, "--contract", "coupa.supplier", *attributes)
    (event,) = found["files"][0]["events"]
    assert (event["event"], event["key"]) == ("supplier.changed", "supplier/S-3")
    assert (event["data"]["name"], event["data"]["active"]) == ("Teller", True)


def test_without_rules_items_show_what_each_driver_would_send(layshaft: Command) -> None:
    found = data(layshaft, "dry-run", GEARBOX)
    assert found["plans"] == []
    first, second, third = found["calls"][:3]
    assert (first["driver"], first["step"]["operation"]["type"]) == ("s4", "put-item")
    assert first["observe"]["path"].endswith("/A_Product('GBX-1000')")
    assert json.loads(first["write"]["body"])["Product"] == "GBX-1000"
    assert (second["driver"], second["observe"]["path"]) == ("tryton", "/rpc/")
    assert json.loads(second["write"]["body"])["params"][0][0]["code"] == "GBX-1000"
    assert (third["driver"], third["write"]["path"]) == ("coupa", "/api/items")
    assert json.loads(third["write"]["body"])["item-number"] == "GBX-1000"
    _, out, _ = layshaft("dry-run", GEARBOX)
    assert "plan  " not in out


@pytest.mark.parametrize("files", [(ITEMS, CHANGE), (CHANGE, ITEMS)])
def test_with_rules_a_change_is_planned_on_what_the_files_state(
    layshaft: Command, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    (tmp_path / "layshaft.toml").write_text(RULES)
    found = data(layshaft, "dry-run", *files)
    (plan,) = found["plans"]
    assert plan["key"] == "engineering-change/ECO-000451"
    verbs = [step["operation"]["type"] for step in plan["steps"]]
    # 32 items, one assembly, one plant; 31 bought parts, of whose contracts nothing is known.
    counted = {verb: verbs.count(verb) for verb in verbs}
    assert counted == {
        "put-item": 32,
        "extend-to-plant": 32,
        "put-bom": 1,
        "publish-item": 31,
        "read-coverage": 31,
        "await-fact": 31,
        "announce": 2,
    }
    assert len(found["calls"]) == 32 + 32 + 1 + 31 + 31
    (bom,) = [call for call in found["calls"] if call["step"]["object_kind"] == "bom"]
    body = json.loads(bom["write"]["body"])
    assert len(body["to_BillOfMaterialItem"]["results"]) == 31


def test_an_older_statement_changes_no_plan_whichever_file_comes_first(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "layshaft.toml").write_text(RULES)
    older = PACKAGES / "gearbox_package_older.pdx"
    alone, before, after = (
        data(layshaft, "dry-run", *files)["plans"]
        for files in ([GEARBOX], [older, GEARBOX], [GEARBOX, older])
    )
    assert [plan["key"] for plan in alone] == ["engineering-change/ECO-2001"]
    assert _without_versions(alone) == _without_versions(before) == _without_versions(after)


def _without_versions(plans: list[dict[str, Any]]) -> list[list[tuple[str, ...]]]:
    """The operations; how often a document was stated before is no part of them."""
    return [
        [
            (step["plant"], step["system"], step["object_id"], json.dumps(step["operation"]))
            for step in plan["steps"]
            if step["operation"]["type"] != "await-fact"
        ]
        for plan in plans
    ]


def test_a_source_that_is_named_counts_with_its_contracts(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "layshaft.toml").write_text(RULES)
    exit_code, _, err = layshaft("dry-run", ORDER, "--source", "plm")
    assert exit_code == 2
    assert "none of what plm may send: arena.change" in err
    assert layshaft("dry-run", CHANGE, "--source", "plm")[0] == 0


def test_lineage_is_shown_by_field_with_what_nobody_reads(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("dry-run", ORDER, "--lineage", "--seconds", "60")
    where, _, unread = out.partition("Read by nobody")
    lines = [line.split() for line in where.splitlines()]
    assert exit_code == 0
    assert ["MENGE", "2/2", "purchase-order.created", "lines[].quantity.value"] in lines
    assert ["HWAER", "1/1", "EUR"] in [line.split() for line in unread.splitlines()]
    assert "Time was up" not in out


COUPLING = CORPUS / "pdx" / "coupling.made.xml"


def reached(found: dict[str, Any], path: str, within: str = "traces") -> dict[str, list[str]]:
    """What a source field reaches, by kind and what it is about."""
    (trace,) = [t for t in found["files"][0]["lineage"][within] if t["path"].endswith(path)]
    targets: dict[str, list[str]] = {}
    for target in trace["targets"]:
        targets.setdefault(f"{target['kind']} {target['about']}", []).append(target["path"])
    return targets


def test_lineage_leads_from_a_field_to_the_requests_that_carry_it(layshaft: Command) -> None:
    found = data(layshaft, "dry-run", COUPLING, "--lineage", "--seconds", "60")
    assert reached(found, "Item[2]/@description") == {
        "item.released item/CPL-110": ["description"],
        "request |s4|item|CPL-110|put-item": [
            "write.body.to_Description.results[0].ProductDescription"
        ],
        "request |coupa|item|CPL-110|publish-item": [
            "write.body.description",
            "write.body.name",
        ],
        "request |tryton|item|CPL-110|put-item": ["write.body.params[0][0].name"],
    }
    number = reached(found, "Items/Item/@itemIdentifier", within="everywhere")
    assert number["item.released item/CPL-100"] == ["(about)", "number"]
    assert "write.body.Product" in number["request |s4|item|CPL-100|put-item"]


def test_lineage_by_rules_leads_to_structures_and_to_findings(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "layshaft.toml").write_text(RULES.replace("Gearboxes", "Couplings"))
    found = data(layshaft, "dry-run", COUPLING, "--lineage", "--seconds", "60")
    assert reached(found, "/@itemQuantity") == {
        "bom.released bom/CPL-100": ["lines[0].quantity.value"],
        "request 1010|erp|bom|CPL-100|put-bom": [
            "write.body.to_BillOfMaterialItem.results[0].BillOfMaterialItemQuantity"
        ],
    }
    made = reached(found, "Item[1]/@makeBuy")
    assert made["finding item/CPL-100"] == ["aml-missing"]
    assert made["request 1010|erp|item|CPL-100|extend-to-plant"] == ["write.body.ProcurementType"]
    _, out, _ = layshaft("dry-run", COUPLING, "--lineage", "--seconds", "60")
    (line,) = [line.split() for line in out.splitlines() if line.lstrip().startswith("@itemQ")]
    assert line[1:] == [
        "1/1",
        "bom.released",
        "lines[].quantity.value",
        "->",
        "put-bom",
        "at",
        "erp",
        "to_BillOfMaterialItem.results[].BillOfMaterialItemQuantity",
    ]


def test_the_guide_shows_lineage_as_it_is(layshaft: Command) -> None:
    page = (CORPUS.parents[1] / "docs" / "map-a-message.md").read_text()
    _, _, after = page.partition(f"{COUPLING.relative_to(CORPUS.parents[1])} --lineage\n")
    shown = after.split("```\n")[2].splitlines()
    _, out, _ = layshaft("dry-run", COUPLING, "--lineage", "--seconds", "60")
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert len(shown) > 10
    assert [line for line in shown if line != "..." and " ".join(line.split()) not in said] == []


def test_lineage_says_what_there_was_no_time_for(layshaft: Command) -> None:
    _, out, _ = layshaft("dry-run", ORDER, "--lineage", "--seconds", "0")
    assert "Time was up: 175 values not tried" in out


def test_most_lines_of_a_dry_run_fit_a_terminal_of_100_columns(layshaft: Command) -> None:
    for file in (ORDER, GEARBOX, CHANGE):
        _, out, _ = layshaft("dry-run", file)
        assert [
            line for line in out.splitlines() if len(line) > 100 and str(file) not in line
        ] == []


def test_readable_content_leaves_out_what_is_empty_and_joins_what_is_small() -> None:
    content = {
        "number": "7",
        "note": "",
        "none": None,
        "no": False,
        "zero": 0,
        "total": {"amount": "1", "currency": "EUR"},
        "marks": ["a", "b"],
        "lines": [{"deep": {"deeper": []}}, {"quantity": {"value": "2", "unit": "H87"}}],
    }
    assert list(readable(content)) == [
        ("number", "7"),
        ("no", "false"),
        ("zero", "0"),
        ("total", "amount 1, currency EUR"),
        ("marks", "a, b"),
        ("lines[1].quantity", "value 2, unit H87"),
    ]


# Goldens


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder with an order, a page of notes and a package that is refused."""
    folder = tmp_path / "samples"
    (folder / "deep").mkdir(parents=True)
    copy(ORDER, folder)
    copy(PACKAGES / "kit_package_unmapped_unit.pdx", folder / "deep" / "kit.pdx")
    (folder / "notes.txt").write_text("from the vendor's manual")
    return folder


READ_BY_NOBODY = "orders.xml: read by nobody: E1EDP01/E1EDPA1, E1EDP01/E1EDPT1"


def words(layshaft: Command, *arguments: object) -> dict[str, str]:
    _, out, _ = layshaft("diff", *arguments, "-o", "json")
    return {row["file"]: row["word"] for row in json.loads(out)}


def test_the_corpus_comes_to_its_goldens(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("diff", CORPUS)
    assert exit_code == 0, out


def test_record_writes_what_is_missing_and_nothing_differs_then(
    layshaft: Command, samples: Path
) -> None:
    assert layshaft("diff", samples)[0] == 1
    assert words(layshaft, samples) == {
        "deep/kit.pdx": "new",
        "notes.txt": "foreign",
        "orders.xml": "new",
    }
    exit_code, out, _ = layshaft("record", samples)
    assert (exit_code, out) == (
        0,
        "recorded: deep/kit.golden.json\nrecorded: orders.golden.json\n",
    )
    golden = samples / "orders.golden.json"
    assert golden.read_text() == (CORPUS / "idoc" / "orders.golden.json").read_text()
    assert json.loads((samples / "deep" / "kit.golden.json").read_text())[0][0] == "refused"
    exit_code, out, _ = layshaft("diff", samples)
    assert exit_code == 0
    assert out.splitlines() == [
        READ_BY_NOBODY,
        "2 samples: 2 as recorded, 0 not; 1 other file nobody recognises.",
    ]
    assert sorted(path.name for path in samples.iterdir()) == [
        "SHA256SUMS",
        "deep",
        "notes.txt",
        "orders.golden.json",
        "orders.xml",
    ]


def test_goldens_may_stand_in_a_folder_of_their_own(
    layshaft: Command, samples: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "goldens"
    assert layshaft("record", samples, "--goldens", apart)[0] == 0
    assert (apart / "deep" / "kit.golden.json").is_file()
    assert not (samples / "orders.golden.json").exists()
    assert layshaft("diff", samples, "--goldens", apart)[0] == 0


def test_diff_shows_the_field_with_both_values(layshaft: Command, samples: Path) -> None:
    layshaft("record", samples)
    order = samples / "orders.xml"
    order.write_text(order.read_text().replace("<ZTERM>0004", "<ZTERM>0005"))
    exit_code, out, _ = layshaft("diff", samples)
    assert exit_code == 1
    assert out.splitlines() == [
        "orders.xml: says something else",
        "  purchase-order.created  purchase-order/4500000670",
        "    field          golden  now",
        '    payment_terms  "0004"  "0005"',
        "",
        READ_BY_NOBODY,
        "2 samples: 1 as recorded, 1 not; 1 other file nobody recognises.",
    ]


def other_version(folder: Path, *lines: str) -> Path:
    """The command of a version in which `lines` of Python are different."""
    command = folder / "layshaft-before"
    main = "import sys; from ops.__main__ import main; sys.exit(main())"
    command.write_text("\n".join((f"#!{sys.executable}", *lines, main)))
    command.chmod(0o700)
    return command


# Terms of payment were left out by that version.
LEFT_OUT = (
    "import msgspec; from handlers.systems.idoc import inbound; read = inbound.to_order",
    "inbound.to_order = lambda *a: msgspec.structs.replace(read(*a), payment_terms='')",
)


def test_diff_asks_another_version_what_it_made_of_the_same(
    layshaft: Command, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    same = layshaft("diff", samples, "--against", other_version(tmp_path))
    assert same[0] == 0, same
    assert same[1].endswith("2 samples: 2 the same, 0 not; 1 other file nobody recognises.\n")
    exit_code, out, err = layshaft("diff", samples, "--against", other_version(tmp_path, *LEFT_OUT))
    assert (exit_code, err) == (1, "")
    assert out.splitlines() == [
        "orders.xml: says something else",
        "  purchase-order.created  purchase-order/4500000670",
        "    field          before  now",
        '    payment_terms  ""      "0004"',
        "",
        READ_BY_NOBODY,
        "2 samples: 1 the same, 1 not; 1 other file nobody recognises.",
    ]
    assert not list(samples.rglob("*.golden.json"))


def test_another_version_that_cannot_be_asked_is_named(
    layshaft: Command, samples: Path, tmp_path: Path
) -> None:
    command = tmp_path / "layshaft-before"
    exit_code, _, err = layshaft("diff", samples, "--against", command)
    assert (exit_code, "No such file or directory" in err) == (2, True)
    for body, said in (
        ("echo 'no such command: record' >&2; exit 2", "no such command: record"),
        ("exec sleep 60", "took longer than 0.2 s"),
    ):
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o700)
        exit_code, _, err = layshaft("diff", samples, "--against", command, "--seconds", 0.2)
        assert (exit_code, said in err, "[LAY-other-version-failed]" in err) == (2, True, True)
    exit_code, _, err = layshaft("diff", samples, "--against", command, "--goldens", tmp_path)
    assert (exit_code, "exclude each other" in err) == (2, True)


def test_diff_says_what_newly_fails_newly_succeeds_and_has_gone(
    layshaft: Command, samples: Path
) -> None:
    layshaft("record", samples)
    order = samples / "orders.xml"
    text = order.read_text()
    copy(samples / "orders.golden.json", samples / "lost.golden.json")
    order.write_text(text.replace("<MENEE>PCE", "<MENEE>KA"))
    copy(GEARBOX, samples / "deep" / "kit.pdx")
    assert words(layshaft, samples) == {
        "orders.xml": "fails",
        "deep/kit.pdx": "succeeds",
        "lost.golden.json": "gone",
        "notes.txt": "foreign",
    }
    _, out, _ = layshaft("diff", samples)
    assert "orders.xml: was understood and is refused now" in out
    assert "unit-unmapped" in out
    order.write_text("nothing that anybody knows")
    assert words(layshaft, samples)["orders.xml"] == "fails"


def test_record_leaves_a_golden_that_differs_alone(layshaft: Command, samples: Path) -> None:
    layshaft("record", samples)
    golden = samples / "orders.golden.json"
    before = golden.read_text()
    order = samples / "orders.xml"
    order.write_text(order.read_text().replace("<ZTERM>0004", "<ZTERM>0005"))
    exit_code, out, err = layshaft("record", samples)
    assert (exit_code, out, golden.read_text()) == (1, "", before)
    assert "1 golden left alone" in err


def test_accept_writes_the_golden_and_its_reason(layshaft: Command, samples: Path) -> None:
    layshaft("record", samples)
    order = samples / "orders.xml"
    text = order.read_text()
    for terms, reason in (("0005", "terms were\nmoved"), ("0006", "and again")):
        order.write_text(text.replace("<ZTERM>0004", f"<ZTERM>{terms}"))
        exit_code, out, _ = layshaft("accept", order, "--reason", reason)
        assert exit_code == 0
        assert f'"{terms}"' in out
        assert layshaft("diff", samples)[0] == 0
    title, blank, first, second = (samples / "REASONS.md").read_text().splitlines()
    assert (title, blank) == ("# Why goldens changed", "")
    assert first.endswith(", orders.xml, 1 field: terms were moved")
    assert second.endswith(", orders.xml, 1 field: and again")


def test_a_golden_that_was_changed_by_hand_is_noticed_until_it_is_accepted(
    layshaft: Command, samples: Path
) -> None:
    layshaft("record", samples)
    order, golden = samples / "orders.xml", samples / "orders.golden.json"
    order.write_text(order.read_text().replace("<ZTERM>0004", "<ZTERM>0005"))
    golden.write_text(
        golden.read_text().replace('"payment_terms": "0004"', '"payment_terms": "0005"')
    )
    exit_code, out, err = layshaft("diff", samples)
    assert exit_code == 1
    assert out.splitlines()[:2] == [
        "orders.xml: its golden was changed and not accepted",
        "  changed by hand: orders.golden.json",
    ]
    assert f"If orders.golden.json is right: layshaft map accept {order} --reason TEXT" in err
    # Nor does recording it anew make up for it.
    golden.unlink()
    assert layshaft("record", samples)[1] == "recorded: orders.golden.json\n"
    assert words(layshaft, samples)["orders.xml"] == "altered"
    assert layshaft("accept", order, "--reason", "terms were moved")[0] == 0
    assert layshaft("diff", samples)[0] == 0
    assert (samples / "REASONS.md").read_text().endswith("orders.xml, by hand: terms were moved\n")


def test_a_golden_from_before_digests_were_kept_is_as_it_stands(
    layshaft: Command, samples: Path
) -> None:
    layshaft("record", samples)
    (samples / "SHA256SUMS").unlink()
    assert layshaft("diff", samples)[0] == 0
    assert layshaft("record", samples)[0] == 0
    assert "orders.golden.json" in (samples / "SHA256SUMS").read_text()
    (samples / "SHA256SUMS").write_text("orders.golden.json\n")
    assert "[LAY-sums-unreadable]" in layshaft("diff", samples)[2]


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_nothing_is_accepted_without_a_reason(
    layshaft: Command, samples: Path, reason: str
) -> None:
    layshaft("record", samples)
    golden = samples / "orders.golden.json"
    golden.write_text("[]\n")
    exit_code, _, err = layshaft("accept", samples / "orders.xml", "--reason", reason)
    assert (exit_code, golden.read_text()) == (2, "[]\n")
    assert "[LAY-reason-missing]" in err
    assert layshaft("accept", samples / "orders.xml")[0] == 2
    assert not (samples / "REASONS.md").exists()


def test_what_does_not_differ_leaves_no_reason(layshaft: Command, samples: Path) -> None:
    layshaft("record", samples)
    assert layshaft("accept", samples / "orders.xml", "--reason", "to be sure")[0] == 0
    assert not (samples / "REASONS.md").exists()


def test_a_sample_without_a_golden_is_recorded_and_not_accepted(
    layshaft: Command, samples: Path
) -> None:
    exit_code, _, err = layshaft("accept", samples / "orders.xml", "--reason", "new")
    assert (exit_code, "[LAY-golden-missing]" in err) == (4, True)


def test_two_samples_of_one_name_are_refused(layshaft: Command, samples: Path) -> None:
    copy(CHANGE, samples / "orders.json")
    exit_code, _, err = layshaft("record", samples)
    assert (exit_code, "[LAY-golden-shared]" in err) == (2, True)


def test_a_golden_that_is_none_is_named(layshaft: Command, samples: Path) -> None:
    (samples / "orders.golden.json").write_text('{"a": 1}')
    exit_code, _, err = layshaft("diff", samples)
    assert (exit_code, "[LAY-golden-unreadable]" in err) == (2, True)


def test_goldens_that_cannot_be_written_end_in_a_sentence(
    layshaft: Command, samples: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where a folder should be")
    exit_code, _, err = layshaft("record", samples, "--goldens", taken)
    assert (exit_code, "[LAY-file-unusable]" in err) == (2, True)


# Goldens of requests


@pytest.fixture
def coupling(tmp_path: Path) -> Path:
    """A folder with a package, what its requests rest on, and a contract that comes after it."""
    folder = tmp_path / "coupling"
    folder.mkdir()
    copy(CORPUS / "pdx" / "coupling.made.xml", folder / "coupling.xml")
    for name in ("contracts.json", "contracts.headers.toml"):
        copy(CORPUS / "coupa" / name, folder)
    copy(CORPUS / "rules.toml", folder)
    (folder / "coupling.rules.toml").write_text('rules = "rules.toml"')
    (folder / "contracts.rules.toml").write_text('rules = "rules.toml"\nknown = ["coupling.xml"]')
    return folder


def test_a_golden_of_requests_is_recorded_where_any_follow(
    layshaft: Command, coupling: Path
) -> None:
    exit_code, out, _ = layshaft("record", coupling)
    assert exit_code == 0
    assert out.splitlines() == [
        "recorded: contracts.golden.json",
        "recorded: contracts.outbound.json",
        "recorded: coupling.golden.json",
        "recorded: coupling.outbound.json",
    ]
    for name, recorded in (
        ("coupling", CORPUS / "pdx" / "coupling.made.outbound.json"),
        ("contracts", CORPUS / "coupa" / "contracts.outbound.json"),
    ):
        assert (coupling / f"{name}.outbound.json").read_text() == recorded.read_text()
    assert words(layshaft, coupling) == {"coupling.xml": "same", "contracts.json": "same"}


def test_without_rules_a_golden_has_what_each_driver_would_be_asked_to_hold(
    layshaft: Command, coupling: Path
) -> None:
    (coupling / "coupling.rules.toml").unlink()
    layshaft("record", coupling)
    steps = [about for _, about, _ in json.loads((coupling / "coupling.outbound.json").read_text())]
    assert steps == [
        "|s4|item|CPL-100|put-item",
        "|tryton|item|CPL-100|put-item",
        "|coupa|item|CPL-100|publish-item",
        "|s4|item|CPL-110|put-item",
        "|tryton|item|CPL-110|put-item",
        "|coupa|item|CPL-110|publish-item",
    ]


def test_a_golden_of_requests_is_planned_as_of_a_day_that_rules_may_name(
    layshaft: Command, coupling: Path
) -> None:
    layshaft("record", coupling)
    rules = coupling / "contracts.rules.toml"
    stated = rules.read_text()
    # The day after the contract's last one, in the plant: nobody may be bought from.
    rules.write_text(f"{stated}\nat = 2027-01-01T05:00:00Z")
    _, out, _ = layshaft("diff", coupling)
    assert "put-info-record: only in the golden" in out
    rules.write_text(f"{stated}\nat = 2027-01-01T04:59:59Z")
    assert words(layshaft, coupling)["contracts.json"] == "same"
    rules.write_text(f"{stated}\nat = 2026-12-31T23:59:59")
    assert "[LAY-rules-unreadable]" in layshaft("diff", coupling)[2]


def test_a_request_that_is_another_one_is_shown_and_accepted_with_a_reason(
    layshaft: Command, coupling: Path
) -> None:
    layshaft("record", coupling)
    golden = coupling / "contracts.outbound.json"
    recorded = golden.read_text()
    golden.write_text(recorded.replace('"NetPriceAmount": "530"', '"NetPriceAmount": "53"'))
    exit_code, out, _ = layshaft("diff", coupling)
    assert exit_code == 1
    row = "to_PurgInfoRecdOrgPlantData.results[0].NetPriceAmount"
    assert out.splitlines()[:5] == [
        "contracts.json: says something else",
        "  changed by hand: contracts.outbound.json",
        "  request  2010|erp|info-record|S-400/CPL-110|put-info-record",
        f"    field{' ' * len(f'write.body.{row}'[5:])}  golden  now",
        f'    write.body.{row}  "53"    "530"',
    ]
    layshaft("accept", coupling / "contracts.json", "--reason", "prices are per 100")
    assert golden.read_text() == recorded
    assert "contracts.json, 1 field: prices are per 100" in (coupling / "REASONS.md").read_text()


def test_a_sample_that_asks_for_nothing_any_more_keeps_no_golden_of_requests(
    layshaft: Command, coupling: Path
) -> None:
    layshaft("record", coupling)
    (coupling / "contracts.rules.toml").unlink()
    _, out, _ = layshaft("diff", coupling)
    assert "put-info-record: only in the golden" in out
    layshaft("accept", coupling / "contracts.json", "--reason", "contracts alone lead to nothing")
    assert not (coupling / "contracts.outbound.json").exists()
    assert words(layshaft, coupling) == {"coupling.xml": "same", "contracts.json": "same"}


def test_a_golden_of_requests_that_is_missing_is_recorded_and_the_other_one_left_alone(
    layshaft: Command, coupling: Path
) -> None:
    layshaft("record", coupling)
    (coupling / "coupling.outbound.json").unlink()
    before = (coupling / "coupling.golden.json").read_bytes()
    _, out, _ = layshaft("diff", coupling)
    assert out.splitlines()[:2] == [
        "coupling.xml: has no golden",
        "  missing: coupling.outbound.json",
    ]
    assert layshaft("accept", coupling / "coupling.xml", "--reason", "new")[0] == 4
    assert layshaft("record", coupling)[1] == "recorded: coupling.outbound.json\n"
    assert (coupling / "coupling.golden.json").read_bytes() == before
    copy(coupling / "coupling.outbound.json", coupling / "lost.outbound.json")
    assert words(layshaft, coupling)["lost.outbound.json"] == "gone"


@pytest.mark.parametrize(
    "text", ["", 'rules = "nowhere.toml"', 'rules = "rules.toml"\nknow = []', "rules ="]
)
def test_rules_of_a_sample_that_cannot_be_used_are_named(
    layshaft: Command, coupling: Path, text: str
) -> None:
    (coupling / "coupling.rules.toml").write_text(text)
    exit_code, _, err = layshaft("diff", coupling)
    assert (exit_code, "[LAY-rules-unreadable]" in err) == (2, True)


def test_a_dry_run_plans_what_goes_on_to_other_systems_and_reads_what_a_key_stands_for(
    layshaft: Command, tmp_path: Path
) -> None:
    route = """
[[rules.routes]]
object_kind = "supplier"
plant = "*"
system = "procurement"
from_day = 2020-01-01

[[settings.sources]]
name = "erp-rows"
kinds = ["idoc", "event"]
contracts = ["idoc.document", "s4.event"]
reads_from = "erp"
"""
    head, settings, rules = RULES.partition("[[settings.systems]]")
    routes, _, sources = route.partition("[[settings.sources]]")
    text = f"{head}[[settings.sources]]{sources}\n{settings}{rules}{routes}"
    (tmp_path / "layshaft.toml").write_text(text)
    found = data(layshaft, "dry-run", CORPUS / "idoc" / "cremas.made.xml", "--source", "erp-rows")
    (call,) = found["calls"]
    assert (call["step"]["system"], call["write"]["path"]) == ("procurement", "/api/suppliers")
    event = CORPUS / "s4" / "event.json"
    kind = "type=sap.s4.beh.purchaseorder.v1.PurchaseOrder.Changed.v1"
    stated = ["--attribute", kind, "--attribute", "id=1"]
    found = data(layshaft, "dry-run", event, "--source", "erp-rows", *stated)
    (call,) = found["calls"]
    assert call["step"]["system"] == "erp"
    assert call["observe"]["path"].endswith("/A_PurchaseOrder('4500000028')")


def test_every_vendors_messages_may_be_samples() -> None:
    assert "pdx.package" in contracts_of(CATALOGUE)
    assert not [name for name in contracts_of(CATALOGUE) if name.startswith("item.")]
