"""A plant goes over to another ERP while a change is open: two stand-ins of an ERP, and a clock
that the test sets, since a cut-over is at midnight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from broker import application
from broker.approvals import decide
from broker.channels.auth import CsrfSession, OAuth2ClientCredentials
from broker.channels.http import HttpChannel
from broker.dispatcher import Dispatcher, Outlet
from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.settings import Deadlines
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.handler import Delivery
from canonical.rules import Route
from handlers import CATALOGUE
from handlers.systems.coupa.outbound import DRIVER as COUPA
from handlers.systems.s4.access import ACCESS as S4_ACCESS
from handlers.systems.s4.outbound import DRIVER as S4
from ops.sandbox.process import running
from tests.fixtures.gearbox import RULES
from tests.fixtures.pin_change import (
    ARM,
    CHANGE,
    ERP_SEED,
    PIN,
    package,
    procurement_seed,
    received,
    table,
)
from tests.integration.people import principal_in
from tests.integration.toy import Bench, at_once, bench_on, turn_until_idle

# All of it is over by the clock of the database, by which rows are due.
BEFORE = datetime(2025, 3, 3, 12, tzinfo=UTC)
# Midnight in Regensburg.
CUT_OVER, MOMENT = date(2025, 4, 1), datetime(2025, 3, 31, 22, tzinfo=UTC)
MOVED = msgspec.structs.replace(
    RULES, routes=(*RULES.routes, Route("*", "1010", "erp-new", CUT_OVER))
)
NUT = "NUT-8"


class Hall:
    """The runtime around one database, with its targets. now: what it takes for the time."""

    def __init__(self, bench: Bench, urls: dict[str, str], outlets: dict[str, Outlet]) -> None:
        self.bench = bench
        self.urls = urls
        self.now = BEFORE
        self._path = Pipeline(
            lane="standard",
            storage=SqlStorage(bench.database),
            recognise=lambda d: CATALOGUE.recognise(
                (SOURCE,) if d.source == SOURCE else ("pdx.package",), d
            ),
            handler_named=CATALOGUE.handler_named,
            rules=MOVED,
            policy=at_once(),
            metrics=bench.metrics,
            fail_points=FailPoints({}),
            committed=lambda: None,
            now=lambda: self.now,
        )
        self._dispatcher = Dispatcher(
            lane="standard",
            database=bench.database,
            outlets=outlets,
            translator=CATALOGUE.translator,
            slots=8,
            deadlines=Deadlines(),
            policy=at_once(),
            metrics=bench.metrics,
            fail_points=FailPoints({}),
            committed=lambda: None,
        )

    async def send(self, body: bytes) -> None:
        """The package has come, and all that follows from it is done."""
        await self._path.take(
            [Arrival(Delivery("plm", "", body), "standard", "in.plm.product-definition.standard")]
        )
        await self.settle()

    async def settle(self) -> None:
        """Events are decided, calls made and their answers taken, until nothing is left."""
        busy = True
        while busy:
            busy = await self._hand_on()
            await turn_until_idle(self._dispatcher)
            busy |= bool(await self._path.take_pending(50))

    async def wake(self) -> int:
        """How many ledgers are planned anew now; they are, with all that follows."""
        async with self.bench.database.transaction() as tx:
            woken = await application.wake_ledgers(tx, None, self.now)
        await self.settle()
        return woken

    async def approve(self) -> None:
        """Quality says yes to what is asked."""
        (task,) = await self.bench.rows(
            "select id, digest from step where kind = 'approval' and state = 'ready'"
        )
        by = await principal_in(self.bench.database, "ann", "quality")
        async with self.bench.database.transaction() as tx:
            await decide(
                tx,
                step_id=task["id"],
                digest=task["digest"].hex(),
                verdict="approved",
                by=by,
                reason="audited",
            )
        await self.settle()

    async def held(self, system: str) -> dict[str, set[tuple[str, str]]]:
        """What an ERP has: its materials, views, BOMs and info records, with their plants."""
        url = self.urls[system]
        return {
            "materials": {(r["Product"], "") for r in await table(url, "A_Product")},
            "views": {(r["Product"], r["Plant"]) for r in await table(url, "A_ProductPlant")},
            "boms": {(r["Material"], r["Plant"]) for r in await table(url, "MaterialBOM")},
            "terms": {(PIN, r["Plant"]) for r in await table(url, "A_PurgInfoRecdOrgPlantData")},
        }

    async def ledgers(self) -> dict[str, str]:
        rows = await self.bench.rows("select key, state from ledger")
        return {r["key"].partition("/")[2]: r["state"] for r in rows}

    async def _hand_on(self) -> bool:
        """Events of ours that nobody has taken yet are decided; whether there were any."""
        rows = await self.bench.rows(
            "select * from message m where direction = 'out' and kind = any($1::text[])"
            " and not exists (select from inbox i where i.source = $2 and i.id = m.id)"
            " order by seq",
            list(CATALOGUE.events),
            SOURCE,
        )
        # Rows of the log as the library gives them, by name.
        await self._path.take(
            [
                Arrival(
                    delivery_of(r),  # type: ignore[arg-type]
                    "standard",
                    f"{r['kind']}.standard",
                    logged=Position(r["at"], r["seq"]),
                )
                for r in rows
            ]
        )
        return bool(rows)


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Hall]:
    """Two ERPs and a procurement suite that has not finished qualifying the supplier."""
    async with AsyncExitStack() as exits:
        bench = await exits.enter_async_context(bench_on(database_url))
        urls, outlets = {}, {}
        for name in ("erp", "erp-new"):
            stand_in = exits.enter_context(running("erp", tmp_path / name, ERP_SEED))
            session = CsrfSession(
                tokens=S4_ACCESS,
                user="demo",
                password=lambda: "demo",
                token_path="/sap/opu/odata/sap/API_PRODUCT_SRV/",
            )
            channel = HttpChannel(base_url=stand_in.url, auth=session)
            perform = (await exits.enter_async_context(channel)).perform
            urls[name] = stand_in.url
            outlets[name] = Outlet(name=name, driver=S4, perform=perform, settle_s=0.0)
        seed = procurement_seed("InQualification")
        suite = exits.enter_context(running("procurement", tmp_path / "procurement", seed))
        credentials = OAuth2ClientCredentials(
            token_url="/oauth2/token", client_id="demo", client_secret=lambda: "demo"
        )
        channel = HttpChannel(base_url=suite.url, auth=credentials)
        perform = (await exits.enter_async_context(channel)).perform
        outlets["procurement"] = Outlet(
            name="procurement", driver=COUPA, perform=perform, settle_s=0.0
        )
        yield Hall(bench, urls, outlets)


def in_plants(*plants: str) -> dict[str, set[tuple[str, str]]]:
    """The arm and its pin in these plants, without terms."""
    return {
        "materials": {(ARM, ""), (PIN, "")},
        "views": {(number, plant) for number in (ARM, PIN) for plant in plants},
        "boms": {(ARM, plant) for plant in plants},
        "terms": set(),
    }


def with_terms(held: dict[str, set[tuple[str, str]]], *plants: str) -> object:
    return held | {"terms": {(PIN, plant) for plant in plants}}


async def test_a_change_that_is_open_at_a_cut_over_is_made_true_in_both_erps(hall: Hall) -> None:
    await hall.send(package("P-1"))
    assert await hall.held("erp") == in_plants("1010", "2010")
    assert await received(hall.urls["erp-new"]) == []
    assert await hall.ledgers() == {CHANGE: "open"}

    hall.now = MOMENT - timedelta(seconds=1)
    assert await hall.wake() == 0
    hall.now = MOMENT
    assert await hall.wake() == 1
    assert await hall.held("erp-new") == in_plants("1010")
    assert await hall.held("erp") == in_plants("1010", "2010")
    assert await hall.wake() == 0

    await hall.approve()
    assert await hall.held("erp") == with_terms(in_plants("1010", "2010"), "1010", "2010")
    assert await hall.held("erp-new") == with_terms(in_plants("1010"), "1010")
    assert await hall.ledgers() == {CHANGE: "complete"}
    assert "left-behind" not in await hall.bench.cases()


async def test_what_was_complete_before_is_not_touched_and_what_comes_later_goes_to_the_new_erp(
    hall: Hall,
) -> None:
    await hall.send(package("P-1"))
    await hall.approve()
    assert await hall.ledgers() == {CHANGE: "complete"}
    before = len(await received(hall.urls["erp"]))
    hall.now = MOMENT
    assert await hall.wake() == 0
    assert await received(hall.urls["erp-new"]) == []
    assert len(await received(hall.urls["erp"])) == before

    later = package(
        "P-2", change="ECO-7701", stated_at="2025-04-01T08:00:00Z", arm="ARM-8", pin=NUT
    )
    hall.now = MOMENT + timedelta(days=1)
    await hall.send(later)
    assert ("ARM-8", "1010") in (await hall.held("erp-new"))["views"]
    assert (await hall.held("erp-new"))["boms"] == {("ARM-8", "1010")}
    assert {plant for number, plant in (await hall.held("erp"))["views"] if number == "ARM-8"} == {
        "2010"
    }
