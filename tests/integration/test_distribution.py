"""An order of one system goes into another one by a route, as a step of its own ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.exchange import Request, Response
from canonical.handler import Delivery
from canonical.rules import Route
from handlers import CATALOGUE
from handlers.systems.coupa.outbound import DRIVER
from tests.corpus import CORPUS
from tests.integration.toy import RULES, Bench, bench_on, turn_until_idle

ROUTED = replace(RULES, routes=(Route("purchase-order", "*", "erp", date(2020, 1, 1)),))
ROW: dict[str, Any] = msgspec.json.decode((CORPUS / "coupa" / "order.json").read_bytes())
CHANGED_AT = datetime(2026, 3, 2, 7, tzinfo=UTC)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def pipeline(bench: Bench, reads_from: str) -> Pipeline:
    """A pipeline with the real handlers; the suite's rows speak for that system."""
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise(
            (SOURCE,) if d.source == SOURCE else ("coupa.order",), d
        ),
        handler_named=CATALOGUE.handler_named,
        rules=ROUTED,
        policy=RetryPolicy(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        committed=lambda: None,
        reads_from={"suite-rows": reads_from},
    )


async def state(bench: Bench, minutes: int = 0, *, of: str = "procurement", **row: object) -> None:
    """The suite states the order, so many minutes later, and what it is said to be is decided."""
    path = pipeline(bench, of)
    changed_at = CHANGED_AT + timedelta(minutes=minutes)
    body = msgspec.json.encode(ROW | {"updated-at": changed_at.isoformat()} | row)
    delivery = Delivery("suite-rows", "order", body, attributes={"type": "coupa.order"})
    await path.take([Arrival(delivery, "standard", "in.suite-rows.order.standard")])
    (said, *_) = await bench.rows("select * from message where direction = 'out' order by seq desc")
    position = Position(said["at"], said["seq"])
    queue = f"{said['kind']}.{said['lane']}"
    # A row of the log as the library gives it, by name.
    await path.take([Arrival(delivery_of(said), said["lane"], queue, logged=position)])  # type: ignore[arg-type]


class Suite:
    """A target that takes external orders; calls: what reached it."""

    def __init__(self) -> None:
        self.held: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []

    async def perform(self, request: Request) -> Response:
        """Answers one call; applies it where it writes."""
        self.calls.append((request.method, request.path))
        if request.method == "GET":
            return Response(200, {}, msgspec.json.encode(self.held))
        body = msgspec.json.decode(request.body or b"{}")
        if request.path.endswith("/cancel"):
            body = {"status": "cancelled"}
        for number, line in enumerate(body.get("order-lines", ()), start=1):
            line.setdefault("id", number)
        before = self.held[0] if self.held else {"id": 5, "status": "issued"}
        self.held = [before | body]
        return Response(200, {}, msgspec.json.encode(self.held[0]))


async def steps(bench: Bench) -> list[tuple[str, str, str, int]]:
    rows = await bench.rows("select identity, state, reference, generation from step order by id")
    return [(r["identity"], r["state"], r["reference"] or "", r["generation"]) for r in rows]


PUT = "|erp|purchase-order|PO-1|put-order"


async def test_an_order_is_put_where_a_route_says_so_and_followed_until_it_is_cancelled(
    bench: Bench,
) -> None:
    suite = Suite()
    await state(bench)
    assert await steps(bench) == [(PUT, "ready", "", 1)]
    await turn_until_idle(bench.dispatcher(driver=DRIVER, perform=suite.perform))
    assert await steps(bench) == [(PUT, "done", "5", 1)]
    # Stated anew without another content: nothing is asked for.
    await state(bench, 1)
    assert await steps(bench) == [(PUT, "done", "5", 1)]
    await state(bench, 2, status="cancelled")
    await turn_until_idle(bench.dispatcher(driver=DRIVER, perform=suite.perform))
    assert await steps(bench) == [(PUT, "done", "5", 1), (PUT, "done", "5", 2)]
    assert suite.held[0]["status"] == "cancelled"
    writes = [(method, path) for method, path in suite.calls if method != "GET"]
    assert writes == [
        ("POST", "/api/purchase_orders"),
        ("PUT", "/api/purchase_orders/5/cancel"),
    ]
    assert await bench.rows("select key, state from ledger") == [
        {"key": "purchase-order/PO-1", "state": "complete"}
    ]
    assert await bench.cases() == []


async def test_an_order_does_not_go_back_to_the_system_that_its_source_speaks_for(
    bench: Bench,
) -> None:
    await state(bench, of="erp")
    assert await steps(bench) == []
    (document,) = await bench.column("select body from document")
    assert msgspec.json.decode(document)["origin"] == "erp"


async def test_what_another_system_says_of_the_order_goes_nowhere_and_keeps_its_origin(
    bench: Bench,
) -> None:
    await state(bench)
    before = await steps(bench)
    await state(bench, 1, of="archive", **{"payment-term": {"code": "NT60"}})
    assert await steps(bench) == before
    (document,) = await bench.column("select body from document")
    held = msgspec.json.decode(document)
    assert (held["origin"], held["payment_terms"]) == ("procurement", "NT60")
