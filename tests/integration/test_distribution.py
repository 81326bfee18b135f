"""An order, a contract or a source list of one system goes into another one by a route, as a step
of a ledger of its own."""

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
from handlers.systems.s4.outbound import DRIVER as S4
from tests.corpus import CORPUS
from tests.fixtures.change_sets import carried_out, in_batch, writes_of
from tests.integration.toy import RULES, Bench, bench_on, turn_until_idle

KINDS = ("purchase-order", "purchase-contract", "source-list")
ROUTED = replace(
    RULES,
    routes=tuple(Route(kind, "*", "erp", date(2020, 1, 1)) for kind in KINDS),
    central_purchasing_group="001",
)
ROW: dict[str, Any] = msgspec.json.decode((CORPUS / "coupa" / "order.json").read_bytes())
CONTRACT: dict[str, Any] = msgspec.json.decode(
    (CORPUS / "coupa" / "contract-of-value.json").read_bytes()
)
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
            (SOURCE,) if d.source == SOURCE else (d.attributes["type"],), d
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
    await state_row(bench, "coupa.order", ROW, minutes, of=of, **row)


async def state_row(
    bench: Bench,
    message_type: str,
    of_old: dict[str, Any],
    minutes: int = 0,
    *,
    of: str = "procurement",
    **row: object,
) -> None:
    """The suite states what a row of it is, likewise."""
    changed_at = CHANGED_AT + timedelta(minutes=minutes)
    body = msgspec.json.encode(of_old | {"updated-at": changed_at.isoformat()} | row)
    delivery = Delivery("suite-rows", "row", body, attributes={"type": message_type})
    await decide(bench, delivery, of)


async def decide(bench: Bench, delivery: Delivery, reads_from: str = "") -> None:
    """The message is translated, and the event that it becomes is decided."""
    path = pipeline(bench, reads_from)
    inlet = f"in.{delivery.source}.{delivery.kind}.standard"
    await path.take([Arrival(delivery, "standard", inlet)])
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


class Erp:
    """A target that takes contracts whole, changes of them in batches, and rows of source lists;
    writes: what reached it."""

    def __init__(self) -> None:
        self.contracts: list[dict[str, Any]] = []
        self.sources: list[dict[str, Any]] = []
        self.writes: list[str] = []

    async def perform(self, request: Request) -> Response:
        """Answers one call; applies it where it writes."""
        is_of_sources = "A_PurchasingSource" in request.path
        if request.method == "GET":
            return _shown({"results": self.sources if is_of_sources else self.contracts})
        if request.path.endswith("/$batch"):
            return self._change(request)
        self.writes.append(f"{request.method} {request.path.rpartition('/')[2]}")
        if request.method == "DELETE":
            self.sources = [row for row in self.sources if row["SourceListRecord"] == "1"]
            return Response(204, {}, b"")
        body = msgspec.json.decode(request.body or b"{}")
        if is_of_sources:
            self.sources.append(body | {"SourceListRecord": str(len(self.sources) + 1)})
        else:
            self.contracts.append(body | {"PurchaseContract": "4600000001"})
        return _shown((self.sources if is_of_sources else self.contracts)[-1], 201)

    def _change(self, request: Request) -> Response:
        (call,) = writes_of(request)
        self.writes.append(f"{call.method} {call.path.rpartition('/')[2]}")
        self.contracts[0] |= msgspec.json.decode(call.body or b"")
        return in_batch(carried_out(Response(204, {}, b"")))


def _shown(content: object, status: int = 200) -> Response:
    return Response(
        status, {"content-type": "application/json"}, msgspec.json.encode({"d": content})
    )


async def states(bench: Bench) -> list[tuple[str, str, int]]:
    return [(identity, state, generation) for identity, state, _, generation in await steps(bench)]


async def test_a_contract_is_put_where_a_route_says_so_and_followed(bench: Bench) -> None:
    erp, put = Erp(), "|erp|purchase-contract|C-2026-7|put-contract"
    await state_row(bench, "coupa.contract", CONTRACT)
    assert await states(bench) == [(put, "ready", 1)]
    await turn_until_idle(bench.dispatcher(driver=S4, perform=erp.perform))
    assert await steps(bench) == [(put, "done", "4600000001", 1)]
    # Stated anew without another content: nothing is asked for.
    await state_row(bench, "coupa.contract", CONTRACT, 1)
    assert await states(bench) == [(put, "done", 1)]
    await state_row(bench, "coupa.contract", CONTRACT, 2, **{"maximum-value": "60000.00"})
    await turn_until_idle(bench.dispatcher(driver=S4, perform=erp.perform))
    assert await states(bench) == [(put, "done", 1), (put, "done", 2)]
    assert erp.writes == ["POST A_PurchaseContract", "PATCH A_PurchaseContract('4600000001')"]
    assert erp.contracts[0]["CorrespncInternalReference"] == "C-2026-7"
    assert erp.contracts[0]["PurchaseContractTargetAmount"] == "60000"
    # What another system says of it goes nowhere.
    await state_row(bench, "coupa.contract", CONTRACT, 3, of="archive")
    assert await states(bench) == [(put, "done", 1), (put, "done", 2)]
    assert await bench.rows("select key, state from ledger") == [
        {"key": "contract/C-2026-7", "state": "complete"}
    ]
    assert await bench.cases() == []


def source_list(minutes: int, *suppliers: str, system: str = "erp-2") -> Delivery:
    """From whom plant 1010 may buy a seal, as that system showed it then."""
    rows = [
        {
            "Material": "SEAL/7",
            "Plant": "1010",
            "SourceListRecord": str(number),
            "ValidityStartDate": "/Date(1467331200000)/",
            "Supplier": supplier,
            "PurchasingOrganization": "1010",
        }
        for number, supplier in enumerate(suppliers, start=1)
    ]
    read_at = CHANGED_AT + timedelta(minutes=minutes)
    attributes = {
        "type": "s4.source-list",
        "id": f"step/{minutes}/1",
        "subject": "source-list/1010/SEAL/7",
        "time": read_at.isoformat(),
    }
    body = msgspec.json.encode({"d": {"results": rows}})
    return Delivery(system, "s4.source-list", body, attributes=attributes)


async def test_a_source_list_of_one_erp_is_put_into_another_one_and_followed(bench: Bench) -> None:
    erp, put = Erp(), "1010|erp|source-list|SEAL/7|put-source-list"
    await decide(bench, source_list(0, "17300001", "17300002"))
    assert await states(bench) == [(put, "ready", 1)]
    await turn_until_idle(bench.dispatcher(driver=S4, perform=erp.perform))
    assert await states(bench) == [(put, "done", 1)]
    # The target tells of its copy: nothing goes back, and the list stays the other one's.
    await decide(bench, source_list(1, "17300001", system="erp"))
    assert await states(bench) == [(put, "done", 1)]
    (document,) = await bench.column("select body from document")
    assert msgspec.json.decode(document)["origin"] == "erp-2"
    await decide(bench, source_list(2, "17300001"))
    await turn_until_idle(bench.dispatcher(driver=S4, perform=erp.perform))
    assert await states(bench) == [(put, "done", 1), (put, "done", 2)]
    assert erp.writes == [
        "POST A_PurchasingSource",
        "POST A_PurchasingSource",
        "DELETE A_PurchasingSource(Material='SEAL%2F7',Plant='1010',SourceListRecord='2')",
    ]
    assert [row["Supplier"] for row in erp.sources] == ["17300001"]
    assert await bench.cases() == []
