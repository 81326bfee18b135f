"""A plant's BOM goes back to its former lines, by the command, at a stand-in of the ERP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker import book
from broker.channels.auth import CsrfSession
from broker.channels.http import HttpChannel
from broker.store import Position
from canonical.effects import Plan
from canonical.facts import Document
from canonical.operations import ExtendToPlant, PutBom, PutItem
from handlers.systems.s4.access import ACCESS
from handlers.systems.s4.outbound import DRIVER
from ops.cli.tree import run
from ops.sandbox.process import StandIn
from tests.contract.test_drivers_against_stand_ins import erp_client
from tests.contract.test_plant_lines_at_the_erp import RELEASED, SEED, maintain, shaft
from tests.fixtures.gearbox import DEFINITIONS, item, line, plan
from tests.fixtures.pin_change import table
from tests.fixtures.stand_ins import serving
from tests.integration.people import token_in
from tests.integration.test_cli import configuration, data
from tests.integration.toy import Bench, bench_on, turn_until_idle

Command = Callable[..., Any]
WHERE = ("SH-10", "1010")
CHANGED = [
    *shaft(line("ROD-1", "280", "KGM"), line("SEAL-2", "3", position="20"), label="C"),
    item("SEAL-2"),
]


class Shop:
    """The runtime's parts around one database and the ERP, and the command on that database."""

    def __init__(self, bench: Bench, erp: StandIn, channel: HttpChannel) -> None:
        self.bench = bench
        self.erp = erp
        self._channel = channel

    async def plan(self, number: str, documents: Sequence[Document], version: int = 1) -> None:
        """A change asks for what these documents say of items and BOMs; () takes it back."""
        steps = plan(RELEASED, *documents).steps if documents else ()
        kept = [s for s in steps if isinstance(s.operation, PutItem | ExtendToPlant | PutBom)]
        names = {step.identity for step in kept}
        made = Plan(
            key=f"engineering-change/{number}",
            version=version,
            title="Seal the shaft",
            steps=tuple(
                msgspec.structs.replace(
                    step, depends_on=tuple(d for d in step.depends_on if d in names), fact=""
                )
                for step in kept
            ),
            cancels=not documents,
        )
        now = datetime.now(UTC)
        origin = book.Origin("s", "s", "plm", number, number, "standard", Position(now, 1))
        async with self.bench.database.transaction() as tx:
            await book.apply_plans(tx, [book.Planned(made, origin)], now)

    async def carry_out(self) -> None:
        """All that is due is done at the ERP."""
        dispatcher = self.bench.dispatcher(driver=DRIVER, perform=self._channel.perform)
        await turn_until_idle(dispatcher)

    async def lines(self) -> dict[str, tuple[str, str]]:
        """Number and quantity of each line of the shaft's BOM in plant 1010, by component."""
        return {
            row["BillOfMaterialComponent"]: (
                row["BillOfMaterialItemNumber"],
                row["BillOfMaterialItemQuantity"],
            )
            for row in await self.rows()
        }

    async def rows(self) -> list[dict[str, Any]]:
        found = await table(self.erp.url, "MaterialBOMItem")
        return [row for row in found if (row["Material"], row["Plant"]) == WHERE]

    async def step(self) -> dict[str, Any]:
        """The newest form of what is done to that BOM by ECO-7."""
        [row] = await self.bench.rows(
            """
            select s.id, s.state, s.reason from step s join ledger l on l.id = s.ledger_id
            where l.key like '%/ECO-7' and s.verb = 'put-bom' and object_id = $1 and plant = $2
            order by generation desc limit 1
            """,
            *WHERE,
        )
        return row


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(bench_on(database_url))
        erp = await stack.enter_async_context(serving("erp", tmp_path / "erp", SEED))
        auth = CsrfSession(
            tokens=ACCESS,
            user="demo",
            password=lambda: "demo",
            token_path="/sap/opu/odata/sap/API_PRODUCT_SRV/",
        )
        channel = await stack.enter_async_context(HttpChannel(base_url=erp.url, auth=auth))
        yield Shop(bench, erp, channel)


@pytest.fixture
async def layshaft(
    shop: Shop,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command, given by Mia, who operates; (exit code, stdout, stderr)."""
    token = await token_in(shop.bench.database, "Mia", "operator")
    monkeypatch.setenv("LAYSHAFT_TOKEN", token)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    configuration(tmp_path, database_url, "amqp://guest:guest@127.0.0.1:9/")

    async def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = await asyncio.to_thread(run, arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


async def taken_back(shop: Shop) -> dict[str, tuple[str, str]]:
    """ECO-7 changed the BOM that ECO-6 made, and its PLM took it back; the lines as ECO-6 left
    them."""
    await shop.plan("ECO-6", DEFINITIONS)
    await shop.carry_out()
    before = await shop.lines()
    await shop.plan("ECO-7", CHANGED)
    await shop.carry_out()
    assert await shop.lines() == {"ROD-1": ("0010", "280.000"), "SEAL-2": ("0020", "3.000")}
    await shop.plan("ECO-7", (), version=2)
    return before


async def test_a_bom_goes_back_to_its_former_lines(shop: Shop, layshaft: Command) -> None:
    before = await taken_back(shop)
    exit_code, out, err = await layshaft("change", "undo", "ECO-7")
    assert exit_code == 0
    assert "put-bom bom SH-10 of plant 1010 at erp" in out
    assert "    line 0010 ROD-1: 280 KGM per 100 H87 -> 260 KGM per 100 H87" in out
    assert "    + line 0020 SEAL-1 2 H87 per 100 H87" in out
    assert "    - line 20 SEAL-2 3 H87 per 100 H87" in out
    assert "    it was so before: nothing was written" in out
    assert "    put-item is not undone from here" in out
    # Looking changes nothing.
    assert (await shop.step())["state"] == "superseded"
    view = data((await layshaft("change", "undo", "ECO-7", "-o", "json"))[1])
    assert f"--shown {view['mark']}" in err
    assert len(view["undone"]) == 2  # both plants that have the shaft's BOM
    why = ("--reason", "released by mistake")
    refused = await layshaft("change", "undo", "ECO-7", *why)
    assert (refused[0], "LAY-shown-missing" in refused[2]) == (2, True)
    refused = await layshaft("change", "undo", "ECO-7", "--shown", "0" * 12, *why)
    assert (refused[0], "LAY-not-as-shown" in refused[2]) == (6, True)
    exit_code, out, err = await layshaft("change", "undo", "ECO-7", "--shown", view["mark"], *why)
    assert (exit_code, out) == (0, "ECO-7: 2 steps to be undone, wanted by Mia\n")
    assert "undo put-bom" in (await layshaft("change", "show", "ECO-7"))[1]
    await shop.carry_out()
    assert await shop.lines() == before
    assert await shop.step() | {"id": 0} == {
        "id": 0, "state": "done", "reason": "as it was before",
    }  # fmt: skip
    [audit] = await shop.bench.rows(
        "select actor, subject, detail::text from audit where action = 'change-undone'"
    )
    assert (audit["actor"], audit["subject"]) == ("Mia", "engineering-change/ECO-7")
    assert "released by mistake" in audit["detail"]
    told = (await layshaft("trace", "ECO-7"))[1]
    assert "undone: released by mistake (by Mia)" in told
    again = await layshaft("change", "undo", "ECO-7", "--shown", view["mark"], *why)
    assert (again[0], "LAY-nothing-to-undo" in again[2]) == (6, True)


async def test_what_the_plant_changed_since_is_put_before_a_person(
    shop: Shop, layshaft: Command
) -> None:
    await taken_back(shop)
    [row] = [r for r in await shop.rows() if r["BillOfMaterialComponent"] == "ROD-1"]
    async with erp_client(shop.erp) as people:
        await maintain(people, row, BillOfMaterialItemQuantity="290.000")
    view = data((await layshaft("change", "undo", "ECO-7", "-o", "json"))[1])
    await layshaft("change", "undo", "ECO-7", "--shown", view["mark"], "--reason", "a mistake")
    await shop.carry_out()
    assert (await shop.lines())["ROD-1"] == ("0010", "290.000")
    step = await shop.step()
    assert step["state"] == "failed"
    [case] = await shop.bench.rows(
        "select id, what from exception_case where state = 'open' and code = 'changed-since'"
    )
    assert "BillOfMaterialItemQuantity: 290.000, wanted 280" in case["what"]
    exit_code, *_ = await layshaft(
        "change", "skip", "ECO-7", str(step["id"]), "--reason", "the plant is right"
    )
    assert exit_code == 0
    assert (await shop.step())["state"] == "skipped"


async def test_who_may_not_undo_changes_nothing(
    shop: Shop, layshaft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken_back(shop)
    view = data((await layshaft("change", "undo", "ECO-7", "-o", "json"))[1])
    token = await token_in(shop.bench.database, "Vic", "viewer")
    monkeypatch.setenv("LAYSHAFT_TOKEN", token)
    refused = await layshaft(
        "change", "undo", "ECO-7", "--shown", view["mark"], "--reason", "a mistake"
    )
    assert (refused[0], "LAY-role-missing" in refused[2]) == (5, True)
    assert (await shop.step())["state"] == "superseded"
