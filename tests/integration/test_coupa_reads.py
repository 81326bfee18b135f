"""Lists of what changed in procurement that tell ids alone: each object is read by its id, from the
stand-in of procurement, and counts as it is then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker import cases
from broker.channels.auth import OAuth2ClientCredentials
from broker.channels.http import HttpChannel, Limits
from broker.dispatcher import Dispatcher
from broker.failpoints import FailPointHit, FailPoints
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
from handlers.systems.coupa.outbound import DRIVER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import RULES
from tests.fixtures.stand_ins import serving
from tests.integration.toy import DEADLINE_S, Bench, at_once, bench_on, turn_until_idle, until

# The bench has one target, in whose place procurement stands here.
PROCUREMENT = "erp"
KINDS = ("suppliers", "contracts", "orders")
CONTRACTS = (*(f"coupa.changed-{kind}" for kind in KINDS), "coupa.order")
TABLES = {"suppliers": "suppliers", "contracts": "contracts", "orders": "purchase_orders"}
ORDER = json.loads((CORPUS / "coupa" / "order.json").read_text())
ROWS = {
    "suppliers": json.loads((CORPUS / "coupa" / "supplier-read.json").read_text())["object"],
    "contracts": json.loads((CORPUS / "coupa" / "contract.json").read_text()),
    "orders": ORDER,
}
AT, LATER, LATEST = (f"2026-03-02T{hour}:00:00+01:00" for hour in ("08", "09", "10"))
# Microseconds of AT, and to the next one.
VERSION = 1_772_434_800_000_000
HOUR = 3_600_000_000
STORY = "story of a look"
PLACES = "select key, state from pending order by id"


@dataclass
class Suite:
    """Procurement, over HTTP. gate: reads wait for it. refused: paths that this client may not see;
    asked: how often each path was read."""

    url: str
    channel: HttpChannel
    asked: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, request: Request) -> Response:
        assert request.method == "GET"
        self.asked[request.path] += 1
        await self.gate.wait()
        if request.path in self.refused:
            return Response(403, {"content-type": "application/json"}, b'{"errors": {}}')
        return await self.channel.perform(request)

    async def show(self, kind: str, *rows: dict[str, Any]) -> None:
        """It holds these objects of the kind and no others."""
        url = f"{self.url}/_sandbox/table/{TABLES[kind]}"
        async with aiohttp.ClientSession() as http:
            await http.delete(url)
            for row in rows:
                async with http.post(url, json=row) as planted:
                    assert planted.status == 201

    def reads(self, id_: int) -> int:
        """How often an order was asked for."""
        return self.asked[f"/api/purchase_orders/{id_}"]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    """One that answers at once and holds one order."""
    auth = OAuth2ClientCredentials(
        token_url="/oauth2/token", client_id="demo", client_secret=lambda: "demo"
    )
    async with (
        serving("procurement", tmp_path / "suite", {}) as stand_in,
        HttpChannel(base_url=stand_in.url, auth=auth, limits=Limits(total_s=5.0)) as channel,
    ):
        made = Suite(stand_in.url, channel)
        made.gate.set()
        await made.show("orders", ORDER)
        yield made


def _pipeline(bench: Bench, *, reads: bool = True, fail_points: str = "") -> Pipeline:
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise((SOURCE,) if d.source == SOURCE else CONTRACTS, d),
        handler_named=CATALOGUE.handler_named,
        rules=RULES,
        policy=at_once(),
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
        committed=lambda: None,
        reads_from={"suite": PROCUREMENT, PROCUREMENT: PROCUREMENT} if reads else {},
    )


def _dispatcher(bench: Bench, suite: Suite, fail_points: str = "") -> Dispatcher:
    return bench.dispatcher(
        driver=DRIVER,
        translator=CATALOGUE.translator,
        perform=suite.perform,
        fail_points=fail_points,
    )


def listed(*ids: int, kind: str = "orders", at: str = AT) -> Arrival:
    """A list of what changed."""
    return _sent(f"coupa.changed-{kind}", [{"id": id_, "updated-at": at} for id_ in ids])


def sent(order: dict[str, Any]) -> Arrival:
    """An order as a client sends it whole."""
    return _sent("coupa.order", order)


def _sent(kind: str, content: object) -> Arrival:
    attributes = {"type": kind, "correlationid": STORY}
    delivery = Delivery("suite", "", json.dumps(content).encode(), attributes=attributes)
    return Arrival(delivery, "standard", "in.suite")


async def hand_on(bench: Bench, pipeline: Pipeline) -> None:
    """Events of ours that nobody has taken yet are decided, as if their queues had brought them."""
    async with bench.database.transaction() as tx:
        rows = await tx.fetch(
            "select * from message m where direction = 'out'"
            " and not exists (select from inbox i where i.source = $1 and i.id = m.id)"
            " order by seq",
            SOURCE,
        )
    await pipeline.take(
        [
            Arrival(delivery_of(r), "standard", "events", logged=Position(r["at"], r["seq"]))
            for r in rows
        ]
    )


async def settle(bench: Bench, dispatcher: Dispatcher, pipeline: Pipeline) -> None:
    """Reads have ended, what they brought is decided, its events too, and nothing is stuck."""
    await turn_until_idle(dispatcher)
    await hand_on(bench, pipeline)
    while await pipeline.take_pending(10):
        await turn_until_idle(dispatcher)
        await hand_on(bench, pipeline)
    async with bench.database.transaction() as tx:
        assert await stuck_rows(tx) == 0


async def is_free(bench: Bench) -> bool:
    """Nothing waits and no key is held."""
    return await bench.count("pending") == await bench.count("hold") == 0


async def known(bench: Bench) -> dict[str, int]:
    """What is on record, in which version of procurement's."""
    rows = await bench.rows("select key, version from document order by key")
    return {row["key"]: row["version"] for row in rows}


async def outcomes(bench: Bench, subscription: str) -> list[str]:
    """What became of the messages of one handler."""
    said = "select outcome from inbox where subscription = $1"
    return await bench.column(said, subscription)


@pytest.mark.parametrize(
    ("kind", "id_", "event", "key"),
    [
        ("suppliers", 417, "supplier.changed", "supplier/S-400"),
        ("contracts", 4, "contract.changed", "contract/C-1"),
        ("orders", 12, "purchase-order.created", "purchase-order/PO-1"),
    ],
)
async def test_what_a_list_names_is_read_and_told_in_the_same_story(
    bench: Bench, suite: Suite, kind: str, id_: int, event: str, key: str
) -> None:
    await suite.show(kind, ROWS[kind])
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(id_, kind=kind)])
    await settle(bench, dispatcher, pipeline)
    assert suite.asked == {f"/api/{TABLES[kind]}/{id_}": 1}
    said = (
        "select kind, key, correlation_id from message where direction = 'out' order by seq limit 1"
    )
    assert await bench.rows(said) == [{"kind": event, "key": key, "correlation_id": STORY}]
    stories = await bench.column("select distinct correlation_id from message")
    assert stories == [STORY], "the list, the answer and the event are one story"
    assert list(await known(bench)) == [key]
    assert await bench.cases() == []
    assert await is_free(bench)


async def test_a_list_is_done_with_while_its_objects_are_held_each_by_itself(
    bench: Bench, suite: Suite
) -> None:
    second = ORDER | {"id": 13, "po-number": "PO-2"}
    await suite.show("orders", ORDER, second)
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(12, 13)])
    assert await outcomes(bench, "coupa-changed-orders") == ["applied"]
    assert await bench.rows(PLACES) == [
        {"key": "order-id/12", "state": "reading"},
        {"key": "order-id/13", "state": "reading"},
    ]
    assert await bench.column("select key from hold order by key") == ["order-id/12", "order-id/13"]
    await settle(bench, dispatcher, pipeline)
    assert await known(bench) == {"purchase-order/PO-1": VERSION, "purchase-order/PO-2": VERSION}
    assert await is_free(bench)


async def test_lists_that_name_an_object_before_it_is_asked_for_join_one_read(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(12, 12), listed(12, at=LATER)])
    await pipeline.take([listed(12, at=LATEST)])
    assert await bench.column("select key from pending") == ["order-id/12"]
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 1
    assert await outcomes(bench, "coupa-changed-orders") == ["applied"] * 3
    assert await is_free(bench)


async def test_an_object_that_is_named_while_it_is_read_is_read_once_more(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    suite.gate.clear()
    await pipeline.take([listed(12)])
    await dispatcher.turn()

    async def is_asked() -> bool:
        return suite.reads(12) == 1

    await until(is_asked, "procurement is asked")
    await pipeline.take([listed(12, at=LATER)])
    await pipeline.take([listed(12, at=LATEST)])
    await suite.show("orders", ORDER | {"updated-at": LATEST})
    suite.gate.set()
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 2
    assert await known(bench) == {"purchase-order/PO-1": VERSION + 2 * HOUR}
    assert await is_free(bench)


async def test_the_same_list_is_taken_once_and_a_later_change_is_read_again(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    for _ in range(2):
        await pipeline.take([listed(12)])
        await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 1
    await pipeline.take([listed(12, at=LATER)])
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 2


async def test_what_is_newer_than_its_list_counts_and_what_is_older_than_the_record_does_not(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await suite.show("orders", ORDER | {"updated-at": LATER})
    await pipeline.take([listed(12)])
    await settle(bench, dispatcher, pipeline)
    assert await known(bench) == {"purchase-order/PO-1": VERSION + HOUR}
    # A copy that lags behind answers.
    await suite.show("orders", ORDER | {"status": "closed"})
    await pipeline.take([listed(12, at=LATEST)])
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 2
    assert await known(bench) == {"purchase-order/PO-1": VERSION + HOUR}
    assert await outcomes(bench, "purchase-order.changed") == ["stale"]
    assert await bench.cases() == []
    assert await is_free(bench)


async def test_a_row_that_a_client_sends_meanwhile_is_not_undone_by_an_older_answer(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(12), sent(ORDER | {"updated-at": LATER})])
    await hand_on(bench, pipeline)
    assert await known(bench) == {"purchase-order/PO-1": VERSION + HOUR}
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 1
    assert await known(bench) == {"purchase-order/PO-1": VERSION + HOUR}
    assert await bench.cases() == []
    assert await is_free(bench)


async def test_an_object_that_is_gone_is_a_case_and_holds_nothing(
    bench: Bench, suite: Suite
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(12)])
    await settle(bench, dispatcher, pipeline)
    await suite.show("orders")
    await pipeline.take([listed(12, at=LATER)])
    await settle(bench, dispatcher, pipeline)
    found = await bench.rows("select code, place, owner from exception_case where state = 'open'")
    assert found == [{"code": "gone-at-procurement", "place": "order-id/12", "owner": "purchasing"}]
    assert set(await bench.column("select state from ledger")) == {"complete"}
    assert set(await bench.column("select outcome from inbox")) == {"applied"}
    assert await known(bench) == {"purchase-order/PO-1": VERSION}, "what is on record stays"
    assert await is_free(bench)


async def test_a_list_that_came_while_its_object_was_found_gone_is_read_after_it(
    bench: Bench, suite: Suite
) -> None:
    await suite.show("orders")
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    suite.gate.clear()
    await pipeline.take([listed(12)])
    await dispatcher.turn()

    async def is_asked() -> bool:
        return suite.reads(12) == 1

    await until(is_asked, "procurement is asked")
    await pipeline.take([listed(12, at=LATER)])
    suite.gate.set()
    await settle(bench, dispatcher, pipeline)
    assert suite.reads(12) == 2
    assert await bench.cases() == ["gone-at-procurement"]
    await suite.show("orders", ORDER | {"updated-at": LATEST})
    await pipeline.take([listed(12, at=LATEST)])
    await settle(bench, dispatcher, pipeline)
    assert await known(bench) == {"purchase-order/PO-1": VERSION + 2 * HOUR}
    assert await is_free(bench)


async def test_an_object_that_cannot_be_read_holds_its_own_id_and_no_other(
    bench: Bench, suite: Suite
) -> None:
    await suite.show("orders", ORDER, ORDER | {"id": 13, "po-number": "PO-2"})
    suite.refused.add("/api/purchase_orders/12")
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, suite)
    await pipeline.take([listed(12, 13)])
    await settle(bench, dispatcher, pipeline)
    assert list(await known(bench)) == ["purchase-order/PO-2"]
    said = "select code, key, ledger_key from exception_case where state = 'open'"
    assert await bench.rows(said) == [
        {"code": "not-authorised", "key": "order-id/12", "ledger_key": "read/erp/order/12"}
    ]
    suite.refused.clear()
    await pipeline.take([listed(12, at=LATER)])
    await settle(bench, dispatcher, pipeline)
    assert list(await known(bench)) == ["purchase-order/PO-1", "purchase-order/PO-2"]
    assert await is_free(bench)


async def test_a_list_is_not_lost_where_no_system_is_named_to_read_from(
    bench: Bench, suite: Suite
) -> None:
    await _pipeline(bench, reads=False).take([listed(12)])
    said = "select id, code from exception_case where state = 'open'"
    ((case_id, code),) = [tuple(row.values()) for row in await bench.rows(said)]
    assert code == "reads-from-nowhere"
    assert await bench.count("ledger") == 0
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case_id, by="eve", reason="procurement is named")
    await settle(bench, _dispatcher(bench, suite), _pipeline(bench))
    assert await known(bench) == {"purchase-order/PO-1": VERSION}
    assert await is_free(bench)


@pytest.mark.parametrize(("point", "left"), [("inbox.before_commit", 0), ("inbox.after_commit", 1)])
async def test_a_crash_leaves_the_reads_of_a_list_with_it_or_not_at_all(
    bench: Bench, suite: Suite, point: str, left: int
) -> None:
    with pytest.raises(FailPointHit):
        await _pipeline(bench, fail_points=f"{point}:raise:1").take([listed(12)])
    for table in ("inbox", "ledger", "step", "pending", "hold"):
        assert await bench.count(table) == left, table
    pipeline = _pipeline(bench)
    await pipeline.take([listed(12)])
    await settle(bench, _dispatcher(bench, suite), pipeline)
    assert suite.reads(12) == 1
    assert await is_free(bench)


@pytest.mark.parametrize("point", ["result.before_commit", "result.after_commit"])
async def test_a_crash_around_the_answer_takes_the_object_once(
    bench: Bench, suite: Suite, point: str
) -> None:
    pipeline = _pipeline(bench)
    await pipeline.take([listed(12)])
    dying = _dispatcher(bench, suite, f"{point}:raise:1")
    await dying.turn()
    with pytest.raises(FailPointHit):
        await dying.drain(DEADLINE_S)
    await bench.execute("update target set lease_until = lease_until - interval '1 day'")
    await bench.lapse()
    await settle(bench, _dispatcher(bench, suite), pipeline)
    said = "select kind from message where direction = 'out'"
    assert await bench.column(said) == ["purchase-order.created"]
    assert await is_free(bench)
