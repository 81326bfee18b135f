"""`layshaft plan`: what would come of a file or a change, with nothing executed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec
import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.bom import BomLine, PlantBomState, plant_bom_key
from canonical.effects import Put
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.order import OrderLine, PurchaseOrder, order_key
from canonical.quantity import Quantity
from canonical.sourcing import Coverage, CoverageLine, coverage_key
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.configuration import load
from ops.demo.configuration import with_addresses
from ops.sources import recogniser
from tests.fixtures.build_packages import PACKAGES
from tests.integration.gearbox_change import database_at

PACKAGE = ZipFile(PACKAGES / "gearbox_package.pdx").read("pdx.xml").decode()
CANCELLED = (
    PACKAGE.replace('ChangeStatusCode="Released"', 'ChangeStatusCode="Cancelled"')
    .replace('changeStatusDate="2024-03-04', 'changeStatusDate="2024-03-05')
    .replace('thisDocumentIdentifier="', 'thisDocumentIdentifier="2-')
)
AGAIN = PACKAGE.replace('changeStatusDate="2024-03-04', 'changeStatusDate="2024-03-05').replace(
    'thisDocumentIdentifier="', 'thisDocumentIdentifier="3-'
)
CHANGE = "ECO-2001"
COUNTED = ("message", "inbox", "outbox", "document", "ledger", "step", "exception_case", "audit")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    """The demo's rules and sources, on this database."""
    (tmp_path / "secret").write_text("s")
    path = tmp_path / "layshaft.toml"
    path.write_text(
        with_addresses(
            listen_port=0,
            database_url=database_url,
            amqp_url="amqp://127.0.0.1:9/",
            erp_url="http://127.0.0.1:9",
            procurement_url="http://127.0.0.1:9",
            secret_file=tmp_path / "secret",
        )
    )
    return path


@pytest.fixture
def layshaft(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command; (exit code, stdout, stderr)."""
    monkeypatch.setenv("LAYSHAFT_CONFIG", str(config))

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


async def take(config: Path, *packages: str) -> None:
    """The packages came, and all that they say was decided."""
    chosen = load(config, {})
    async with database_at(chosen.settings.database_url) as database:
        path = Pipeline(
            lane="standard",
            storage=SqlStorage(database),
            recognise=recogniser(chosen.settings, CATALOGUE),
            handler_named=CATALOGUE.handler_named,
            rules=chosen.rules,
            policy=RetryPolicy(),
            metrics=Metrics(),
            fail_points=FailPoints.parse(""),
            committed=lambda: None,
            reads_from=chosen.settings.reads_from,
        )
        for package in packages:
            delivery = Delivery("plm", "product-definition", package.encode())
            await path.take([Arrival(delivery, "standard", "in.plm")])
            async with database.session() as session:
                said = await session.fetch(
                    "select * from message where direction = 'out' order by seq"
                )
            for event in said:
                place = Position(event["at"], event["seq"])
                await path.take([Arrival(delivery_of(event), event["lane"], "q", logged=place)])


async def rows_of(url: str) -> dict[str, int]:
    async with database_at(url) as database, database.session() as session:
        return {
            name: (await session.fetch(f"select count(*) as n from {name}"))[0]["n"]
            for name in COUNTED
        }


async def know(url: str, *puts: Put) -> None:
    """The targets have said this."""
    async with database_at(url) as database, database.transaction() as tx:
        [row] = await tx.fetch("select at, seq from message order by seq limit 1")
        place = Position(row["at"], row["seq"])
        new = [NewDocument(put, "erp", place) for put in puts]
        await document_rows.store(tx, document_rows.as_rows(new))


def plans(out: str) -> list[Any]:
    return msgspec.json.decode(out)["plans"]  # type: ignore[no-any-return]


def file_of(folder: Path, text: str) -> str:
    path = folder / "package.xml"
    path.write_text(text)
    return str(path)


def test_a_file_is_planned_as_if_it_came_and_nothing_is_stored(
    layshaft: Command, database_url: str, tmp_path: Path
) -> None:
    before = asyncio.run(rows_of(database_url))
    _, out, err = layshaft("plan", file_of(tmp_path, PACKAGE), "--source", "plm", "-o", "json")
    [plan] = plans(out)
    assert err == ""
    assert (plan["key"], plan["is_new"]) == (f"engineering-change/{CHANGE}", True)
    assert {step["becomes"] for step in plan["steps"]} == {"new"}
    boms = [step for step in plan["steps"] if step["operation"] == "put-bom"]
    assert boms
    assert asyncio.run(rows_of(database_url)) == before


def test_what_is_planned_of_a_file_is_what_the_service_plans_when_it_comes(
    layshaft: Command, config: Path, database_url: str, tmp_path: Path
) -> None:
    _, out, _ = layshaft("plan", file_of(tmp_path, PACKAGE), "--source", "plm", "-o", "json")
    [foreseen] = plans(out)
    asyncio.run(take(config, PACKAGE))

    async def planned() -> list[str]:
        async with database_at(database_url) as database, database.session() as session:
            found = await session.fetch("select identity from step order by id")
            return [row["identity"] for row in found]

    assert [step["identity"] for step in foreseen["steps"]] == asyncio.run(planned())


def test_a_change_on_record_is_planned_as_its_ledger_stands(
    layshaft: Command, config: Path
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    assert not plan["is_new"]
    assert {step["becomes"] for step in plan["steps"]} == {"as it is"}
    assert plan["gone"] == {}
    exit_code, out, _ = layshaft("plan", CHANGE)
    assert out.splitlines()[0].startswith(CHANGE)
    assert "as it is; 0 no longer planned" in out
    assert out.splitlines()[-1] == "Nothing was executed."
    assert exit_code in (0, 1)


def test_a_change_taken_back_would_cancel_what_was_not_sent(
    layshaft: Command, config: Path, tmp_path: Path
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", file_of(tmp_path, CANCELLED), "--source", "plm", "-o", "json")
    [plan] = plans(out)
    assert plan["steps"] == []
    assert set(plan["gone"].values()) == {"cancelled"}
    assert any(identity.endswith("|put-bom") for identity in plan["gone"])


def test_what_would_change_at_the_target_is_shown_by_what_it_last_said(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    bom = next(step for step in plan["steps"] if step["operation"] == "put-bom")
    assert bom["changes"] is None
    one = Quantity(Decimal(1), "H87")
    state = PlantBomState(
        *(bom["plant"], bom["object_id"], "1", "1", 1, one),
        lines=(BomLine("10", "OLD-PART", one),),
    )
    asyncio.run(know(database_url, Put(plant_bom_key(state), 1, state)))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    [again] = [step for step in plan["steps"] if step["identity"] == bom["identity"]]
    removed = [change for change in again["changes"] if change["kind"] == "removed"]
    assert [change["where"] for change in removed] == ["line 10 OLD-PART"]
    assert any(change["kind"] == "added" for change in again["changes"])
    _, out, _ = layshaft("plan", CHANGE, "--all")
    assert "- line 10 OLD-PART 1 H87" in out


def test_questions_of_the_guard_are_shown_before_and_while_they_are_asked(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    assert plan["questions"] == []
    bom = next(step for step in plan["steps"] if step["operation"] == "put-bom")
    one = Quantity(Decimal(1), "H87")
    gone = tuple(BomLine(f"{n:04}", f"OLD-{n}", one) for n in range(10, 160, 10))
    state = PlantBomState(bom["plant"], bom["object_id"], "1", "1", 1, one, gone)
    asyncio.run(know(database_url, Put(plant_bom_key(state), 1, state)))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [asked] = plans(out)[0]["questions"]
    assert asked["becomes"] == "new"
    _, shown, _ = layshaft("plan", CHANGE)
    assert f"engineering: {asked['text']}" in shown
    assert "  - taken out: line 0010 OLD-10, 1 H87" in shown
    assert "  - taken out: and 3 more" in shown
    # The next plan asks it.
    asyncio.run(take(config, AGAIN))
    _, out, _ = layshaft("task", "list", "-o", "json")
    [task] = [each for each in msgspec.json.decode(out) if each["question"] == "mass-change"]
    assert (task["text"], task["role"]) == (asked["text"], "engineering")
    assert task["plants"] == [bom["plant"]]
    _, shown, _ = layshaft("task", "show", str(task["id"]))
    for line in asked["evidence"]:
        assert f"  - {line}" in shown


def test_open_order_lines_of_its_items_are_listed(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    item = next(s["object_id"] for s in plans(out)[0]["steps"] if s["operation"] == "put-item")
    lines = (
        OrderLine("10", item, Quantity(Decimal(5), "H87"), plant="1010", revision="A"),
        OrderLine("20", "OTHER", Quantity(Decimal(5), "H87"), plant="1010"),
    )
    is_open = PurchaseOrder("PO-1", 1, "S-1", "EUR", lines)
    closed = PurchaseOrder("PO-2", 1, "S-1", "EUR", lines, status="closed")
    puts = [Put(order_key(order.number), 1, order) for order in (is_open, closed)]
    asyncio.run(know(database_url, *puts))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [order] = plans(out)[0]["orders"]
    assert order == {
        "order": "PO-1",
        "line": "10",
        "item": item,
        "supplier": "S-1",
        "plant": "1010",
        "quantity": "5 H87",
        "revision": "A",
    }


def test_suppliers_and_contracts_of_its_items_are_named(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, PACKAGE))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    assert (plan["suppliers"], plan["contracts"]) == ([], [])
    item = next(s["object_id"] for s in plan["steps"] if s["operation"] == "publish-item")

    def covered(number: str, contract: str, supplier: str) -> Put:
        price = UnitPrice(Money(Decimal(5), "EUR"), Quantity(Decimal(1), "H87"))
        line = CoverageLine(contract, supplier, price, "H87", date(2020, 1, 1))
        return Put(coverage_key(number), 1, Coverage(number, (line,)))

    puts = covered(item, "C-7001", "S-100"), covered("OTHER", "C-9", "S-9")
    asyncio.run(know(database_url, *puts))
    _, out, _ = layshaft("plan", CHANGE, "-o", "json")
    [plan] = plans(out)
    assert (plan["suppliers"], plan["contracts"]) == (["S-100"], ["C-7001"])
    _, out, _ = layshaft("plan", CHANGE)
    assert "S-100" in out
    assert "C-7001" in out


def test_what_would_be_refused_is_told_with_its_place(
    layshaft: Command, tmp_path: Path, database_url: str
) -> None:
    text = PACKAGE.replace('itemQuantity="', 'itemQuantity="x', 1)
    exit_code, out, _ = layshaft("plan", file_of(tmp_path, text), "--source", "plm", "-o", "json")
    said = msgspec.json.decode(out)
    assert exit_code == 1
    assert said["plans"] == []
    [refusal] = said["refusals"]
    assert refusal["where"]
    assert refusal["remedy"]
    assert asyncio.run(rows_of(database_url))["exception_case"] == 0


def test_a_number_that_nobody_knows_is_not_found(layshaft: Command) -> None:
    exit_code, out, err = layshaft("plan", "ECO-404")
    assert exit_code == 4
    assert out == ""
    assert "ECO-404" in err
