"""The runtime around one database, with stand-ins of ERPs and of procurement as its targets, and a
clock that the test sets. Nothing happens unless the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

from broker import application
from broker.approvals import Verdict, decide
from broker.channels.auth import CsrfSession, OAuth2ClientCredentials
from broker.channels.http import HttpChannel
from broker.dispatcher import Dispatcher, Outlet
from broker.failpoints import FailPoints
from broker.gate import Gate
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.settings import Deadlines
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.errors import InDoubt
from canonical.events import SOURCE
from canonical.exchange import Request, Response
from canonical.handler import Delivery
from canonical.rules import Rules
from handlers import CATALOGUE
from handlers.systems.coupa.outbound import DRIVER as COUPA
from handlers.systems.s4.access import ACCESS as S4_ACCESS
from handlers.systems.s4.outbound import DRIVER as S4
from ops.sandbox.process import running
from tests.fixtures.pin_change import ERP_SEED, PIN, procurement_seed, table
from tests.integration.people import principal_in
from tests.integration.toy import Bench, at_once, bench_on, turn_until_idle


class Line:
    """The way to procurement. lost: a call, as method and path, whose next answer is lost;
    is_applied: whether it arrives nevertheless."""

    def __init__(self, channel: HttpChannel) -> None:
        self._channel = channel
        self.lost = ""
        self.is_applied = True

    async def perform(self, request: Request) -> Response:
        is_lost = f"{request.method} {request.path}" == self.lost
        if is_lost:
            self.lost = ""
        if is_lost and not self.is_applied:
            raise InDoubt("answer-lost", "Nobody knows whether it arrived")
        response = await self._channel.perform(request)
        if is_lost:
            raise InDoubt("answer-lost", "Nobody knows whether it was applied")
        return response


class Hall:
    """The runtime around one database, with its targets. now: what it takes for the time."""

    def __init__(
        self,
        bench: Bench,
        urls: dict[str, str],
        outlets: dict[str, Outlet],
        procurement: Line,
        *,
        rules: Rules,
        now: datetime,
    ) -> None:
        self.bench = bench
        self.urls = urls
        self.procurement = procurement
        self.now = now
        self._path = Pipeline(
            lane="standard",
            storage=SqlStorage(bench.database),
            recognise=lambda d: CATALOGUE.recognise(
                (SOURCE,) if d.source == SOURCE else ("pdx.package", "coupa.review"), d
            ),
            handler_named=CATALOGUE.handler_named,
            rules=rules,
            policy=at_once(),
            metrics=bench.metrics,
            fail_points=FailPoints({}),
            committed=lambda: None,
            now=lambda: self.now,
            reads_from={"suite": "procurement"},
        )
        self.dispatcher = Dispatcher(
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
            gate=Gate(dict.fromkeys(outlets, 8), None),
        )

    async def send(self, body: bytes) -> None:
        """The package has come, and all that follows from it is done."""
        await self.take(Delivery("plm", "", body))
        await self.settle()

    async def take(self, delivery: Delivery) -> None:
        """It has come and is decided; nothing that follows has happened yet."""
        queue = f"in.{delivery.source}.rows.standard"
        await self._path.take([Arrival(delivery, "standard", queue)])

    async def settle(self) -> None:
        """Events are decided, calls made and their answers taken, until nothing is left."""
        busy = True
        while busy:
            busy = await self.hand_on()
            await turn_until_idle(self.dispatcher)
            busy |= bool(await self._path.take_pending(50))

    async def wake(self) -> int:
        """How many ledgers are planned anew now; they are, with all that follows."""
        async with self.bench.database.transaction() as tx:
            woken = await application.wake_ledgers(tx, None, self.now)
        await self.settle()
        return woken

    async def decide(self, verdict: Verdict = "approved") -> None:
        """Quality decides what is asked; nothing that follows has happened yet."""
        async with self.deciding(verdict):
            pass

    @asynccontextmanager
    async def deciding(self, verdict: Verdict = "approved") -> AsyncIterator[None]:
        """The same, and it is committed at the end."""
        (task,) = await self.bench.rows(
            "select id, digest from step where kind = 'approval' and state = 'ready'"
        )
        by = await principal_in(self.bench.database, "ann", "quality")
        async with self.bench.database.transaction() as tx:
            await decide(
                tx,
                step_id=task["id"],
                digest=task["digest"].hex(),
                verdict=verdict,
                by=by,
                reason="audited",
            )
            yield

    async def approve(self) -> None:
        """Quality says yes to what is asked, and all that follows is done."""
        await self.decide()
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
        """State by number of change."""
        rows = await self.bench.rows(
            "select key, state from ledger where key like 'engineering-change/%'"
        )
        return {r["key"].partition("/")[2]: r["state"] for r in rows}

    async def hand_on(self) -> bool:
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


@asynccontextmanager
async def hall_on(
    database_url: str,
    tmp_path: Path,
    *,
    rules: Rules,
    now: datetime,
    erps: Sequence[str] = ("erp",),
    settle_s: float = 0.0,
) -> AsyncIterator[Hall]:
    """These ERPs, and a procurement suite that has not finished qualifying the supplier. settle_s:
    after which it is asked what became of a lost answer."""
    async with AsyncExitStack() as exits:
        bench = await exits.enter_async_context(bench_on(database_url))
        urls, outlets = {}, {}
        for name in erps:
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
        urls["procurement"] = suite.url
        channel = HttpChannel(base_url=suite.url, auth=credentials)
        line = Line(await exits.enter_async_context(channel))
        outlets["procurement"] = Outlet(
            name="procurement", driver=COUPA, perform=line.perform, settle_s=settle_s
        )
        yield Hall(bench, urls, outlets, line, rules=rules, now=now)
