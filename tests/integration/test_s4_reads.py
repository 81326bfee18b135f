"""Objects of S/4HANA that are gone when they are read after their event: an answer like others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from broker.dispatcher import Dispatcher
from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.store import Position
from broker.store.diagnosis import stuck_rows
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.exchange import Request, Response
from canonical.handler import Delivery
from handlers import CATALOGUE
from handlers.systems.s4.outbound import DRIVER
from tests.fixtures.gearbox import RULES
from tests.integration.toy import Bench, at_once, bench_on, turn_until_idle, until
from tests.unit.handlers.test_s4_inbound import material

JSON = {"content-type": "application/json"}
NO_ENTITY = "/IWBEP/CM_MGW_RT/020"
KEY = "item-master/TG12"


@dataclass
class Erp:
    """S/4HANA with one material. material: None once it is gone. gate: reads wait for it."""

    material: dict[str, Any] | None
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, request: Request) -> Response:
        assert request.method == "GET"
        self.asked += 1
        await self.gate.wait()
        if self.material is None:
            error = {"code": NO_ENTITY, "message": {"lang": "en", "value": "Not found"}}
            return Response(404, JSON, json.dumps({"error": error}).encode())
        return Response(200, JSON, json.dumps({"d": self.material}).encode())


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
def erp() -> Erp:
    """One that answers at once."""
    made = Erp(material())
    made.gate.set()
    return made


def _pipeline(bench: Bench) -> Pipeline:
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise(
            (SOURCE,) if d.source == SOURCE else ("s4.event",), d
        ),
        handler_named=CATALOGUE.handler_named,
        rules=RULES,
        policy=at_once(),
        metrics=bench.metrics,
        fail_points=FailPoints.parse(""),
        committed=lambda: None,
        reads_from={"erp-events": "erp", "erp": "erp"},
    )


def _dispatcher(bench: Bench, erp: Erp) -> Dispatcher:
    return bench.dispatcher(driver=DRIVER, translator=CATALOGUE.translator, perform=erp.perform)


def changed(event_id: str) -> Arrival:
    """That something happened to the material."""
    attributes = {
        "id": event_id,
        "source": "/default/sap.s4.beh/100",
        "type": "sap.s4.beh.product.v1.Product.Changed.v1",
    }
    delivery = Delivery("erp-events", "", b'{"Product": "TG12"}', attributes=attributes)
    return Arrival(delivery, "standard", "in.erp-events")


async def settle(bench: Bench, dispatcher: Dispatcher, pipeline: Pipeline) -> None:
    """Reads have ended, what they brought and its events are decided, and nothing is stuck."""
    await turn_until_idle(dispatcher)
    while await pipeline.take_pending(10):
        await turn_until_idle(dispatcher)
    async with bench.database.transaction() as tx:
        said = await tx.fetch(
            "select * from message m where direction = 'out' and kind = 'item.changed'"
            " and not exists (select from inbox i where i.source = $1 and i.id = m.id)",
            SOURCE,
        )
        assert await stuck_rows(tx) == 0
    await pipeline.take(
        [
            Arrival(delivery_of(r), "standard", "events", logged=Position(r["at"], r["seq"]))
            for r in said
        ]
    )


async def records(bench: Bench) -> list[str]:
    return await bench.column("select key from document order by key")


async def test_a_material_that_is_gone_is_a_case_and_holds_nothing(bench: Bench, erp: Erp) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, erp)
    await pipeline.take([changed("e1")])
    await settle(bench, dispatcher, pipeline)
    assert await records(bench) == [KEY]
    erp.material = None
    await pipeline.take([changed("e2")])
    assert await bench.column("select state from pending") == ["reading"]
    await settle(bench, dispatcher, pipeline)
    found = await bench.rows("select code, place from exception_case where state = 'open'")
    assert found == [{"code": "gone-at-erp", "place": KEY}]
    assert set(await bench.column("select state from ledger")) == {"complete"}
    assert set(await bench.column("select outcome from inbox")) == {"applied"}
    assert await bench.count("pending") == await bench.count("hold") == 0
    assert await records(bench) == [KEY], "what is on record stays"


async def test_an_event_that_came_while_it_was_found_gone_is_read_after_it(
    bench: Bench, erp: Erp
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, erp)
    await pipeline.take([changed("e1")])
    await settle(bench, dispatcher, pipeline)
    erp.material = None
    erp.gate.clear()
    await pipeline.take([changed("e2")])
    await dispatcher.turn()

    async def is_asked() -> bool:
        return erp.asked == 2

    await until(is_asked, "the ERP is asked")
    await pipeline.take([changed("e3")])
    erp.gate.set()
    await settle(bench, dispatcher, pipeline)
    assert erp.asked == 3
    assert await bench.cases() == ["gone-at-erp"]
    erp.material = material()
    await pipeline.take([changed("e4")])
    await settle(bench, dispatcher, pipeline)
    assert erp.asked == 4
    assert await bench.count("pending") == await bench.count("hold") == 0
    assert set(await bench.column("select outcome from inbox")) == {"applied"}


async def test_a_material_that_was_never_known_and_is_gone_is_missed_by_nobody(
    bench: Bench, erp: Erp
) -> None:
    erp.material = None
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, erp)
    await pipeline.take([changed("e1")])
    await settle(bench, dispatcher, pipeline)
    assert await bench.cases() == []
    assert await records(bench) == []
    assert await bench.count("pending") == await bench.count("hold") == 0
