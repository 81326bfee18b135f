"""A change of Arena has the items read that it releases, and its plan goes on by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from broker import cases
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
from canonical.rules import Route
from handlers import CATALOGUE
from handlers.systems.arena.outbound import DRIVER
from tests.fixtures.gearbox import RULES
from tests.integration.toy import DEADLINE_S, Bench, at_once, bench_on, turn_until_idle, until

# The bench has one target, in whose place Arena stands here; what is planned is for another one.
ARENA = "erp"
PLANNED = msgspec.structs.replace(RULES, routes=(Route("*", "*", "sap", date(2020, 1, 1)),))
CONTRACTS = (
    *("arena.change", "arena.item", "arena.event", "arena.event-item"),
    *("arena.outbound-event", "arena.supplier-item"),
)
ENTRY = "/outboundintegrations/INT1/events/EVT1"
EMPTY: dict[str, Any] = {"count": 0, "results": []}
CHANGE = "engineering-change/ECO-31"
PLACES = "select key, state from pending order by id"
WAITS = "select object_id, state from step where kind = 'wait' and object_kind = 'item' order by 1"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench whose target shows two items as Arena does."""
    async with bench_on(database_url) as made:
        for number in ("SEAL-7", "RING-2"):
            _show(made, number)
        yield made


def _guid(number: str) -> str:
    return f"REV{number.replace('-', '')}"


def _show(bench: Bench, number: str, **fields: Any) -> None:
    item = {
        "category": {"guid": "CAT9", "name": "Mechanical"},
        "effectiveDateTime": "2026-02-27T17:05:09Z",
        "guid": _guid(number),
        "lifecyclePhase": {"guid": "PH1", "name": "In Production"},
        "name": "Seal, 12 mm",
        "number": number,
        "procurementType": "OTS",
        "revisionNumber": "B",
        "revisionStatus": "EFFECTIVE",
        "uom": "each",
    }
    path = f"/items/{_guid(number)}"
    bench.target.rows[path] = json.dumps(item | fields).encode()
    bench.target.rows[f"{path}/bom"] = json.dumps(EMPTY).encode()
    bench.target.rows[f"{path}/sourcing"] = json.dumps(EMPTY).encode()


def _pipeline(bench: Bench, *, reads: bool = True, fail_points: str = "") -> Pipeline:
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise((SOURCE,) if d.source == SOURCE else CONTRACTS, d),
        handler_named=CATALOGUE.handler_named,
        rules=PLANNED,
        policy=at_once(),
        metrics=bench.metrics,
        fail_points=FailPoints.parse(fail_points),
        committed=lambda: None,
        reads_from={"plm": ARENA, ARENA: ARENA} if reads else {},
    )


def _dispatcher(
    bench: Bench,
    *refused: str,
    gone: Sequence[str] = (),
    missing: Mapping[str, str] = MappingProxyType({}),
) -> Dispatcher:
    """refused: numbers of items whose read Arena refuses; gone: of items that it does not have.
    missing: guids of other objects that it does not have, by their paths."""
    said = {f"/items/{_guid(number)}": "Not readable" for number in refused}
    said |= {f"/items/{_guid(number)}": f'No "{_guid(number)}" here' for number in gone}

    said |= {path: f'The guid "{guid}" is not valid.' for path, guid in missing.items()}

    async def perform(request: Request) -> Response:
        if request.path in said:
            error = {"status": 400, "errors": [{"code": 3011, "message": said[request.path]}]}
            return Response(400, {}, json.dumps(error).encode())
        return await bench.target.perform(request)

    return bench.dispatcher(driver=DRIVER, translator=CATALOGUE.translator, perform=perform)


def change(*numbers: str, name: str = "ECO-31", at: str = "2026-02-27T17:05:09Z") -> Arrival:
    """The statement of an effective change that releases revision B of these items."""
    rows = [
        {
            "guid": f"ROW{n}",
            "newItemRevision": {"guid": _guid(n), "number": n, "revisionNumber": "B"},
        }
        for n in numbers
    ]
    stated = {
        "change": {
            "guid": f"CHG{name.replace('-', '')}",
            "number": name,
            "title": "New seal",
            "lifecycleStatus": {"type": "EFFECTIVE"},
            "lifecycleDateTime": at,
            "effectivityType": "PERMANENT_ON_APPROVAL",
            "additionalAttributes": [{"name": "Plants", "value": ["1010"]}],
        },
        "changeItems": {"count": len(rows), "results": rows},
    }
    return _from_plm(stated, correlationid=f"story of {name}")


def entry() -> Arrival:
    """The entry of the queue that announced the change of `change`."""
    named = {"guid": "CHGECO31", "number": "ECO-31", "title": "New seal"}
    event = {
        "guid": "EVT1",
        "eventType": "CHANGE",
        "creationDateTime": "2026-02-27T17:05:09Z",
        "itemsReconciled": False,
        "change": named,
    }
    return _from_plm({"integration": {"guid": "INT1"}, "event": event})


def _show_change(bench: Bench, *numbers: str) -> None:
    """Arena has the change of `change`, without its entry."""
    stated = json.loads(change(*numbers).delivery.body)
    bench.target.rows["/changes/CHGECO31"] = json.dumps(stated["change"]).encode()
    bench.target.rows["/changes/CHGECO31/items"] = json.dumps(stated["changeItems"]).encode()


def item(number: str) -> Arrival:
    """The item as a client sends it by itself."""
    shown = {"guid": _guid(number), "effectiveDateTime": "2026-02-27T17:05:09Z"}
    stated = {
        "category": {"name": "Mechanical"},
        "lifecyclePhase": {"name": "In Production"},
        "name": "Sent by a client",
        "number": number,
        "procurementType": "OTS",
        "revisionNumber": "B",
        "revisionStatus": "EFFECTIVE",
        "uom": "each",
    }
    return _from_plm(
        {"item": shown | stated, "bom": EMPTY, "sourcing": EMPTY}, time="2026-03-01T00:00:00Z"
    )


def listed(number: str) -> Arrival:
    """The item of an entry of the queue, which tells no more than the key."""
    revision = {"guid": _guid(number), "number": number, "revisionNumber": "B"}
    entry = {"guid": f"EVI{number}", "reconciled": False, "effectiveItemRevision": revision}
    return _from_plm({"eventItem": entry})


def outbound(*numbers: str) -> Arrival:
    """An event of the newer kind: of the change of `change`, and of these items."""
    event = {
        "guid": "OUT1",
        "eventType": "OUTBOUND_EVENT",
        "creationDateTime": "2026-02-27T17:05:09Z",
        "resourcesReconciled": False,
        "triggers": [{"resource": "CHANGE"}, {"resource": "ITEM"}],
    }
    named = {
        "changes": [{"guid": "CHGECO31", "number": "ECO-31"}],
        "items": [{"guid": _guid(number), "number": number} for number in numbers],
    }
    return _from_plm({"outboundEvent": event} | named)


def used_by(*numbers: str, look: str) -> Arrival:
    """The items that a supplier's item is a source of, by one look at them."""
    rows = [
        {"item": {"guid": _guid(n), "number": n, "revisionStatus": "EFFECTIVE"}} for n in numbers
    ]
    sourcing = {"count": len(rows), "results": rows}
    return _from_plm({"supplierItem": {"guid": "PART1"}, "sourcing": sourcing}, id=look)


def _from_plm(content: object, **attributes: str) -> Arrival:
    body = json.dumps(content).encode()
    return Arrival(Delivery("plm", "", body, attributes=attributes), "standard", "in.plm")


async def hand_on(bench: Bench, pipeline: Pipeline) -> None:
    """Events of ours that nobody has taken yet are decided, as if their queues had brought them."""
    async with bench.database.transaction() as tx:
        rows = await tx.fetch(
            "select * from message m where direction = 'out'"
            " and kind in ('item.released', 'engineering-change.released')"
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


def reads(bench: Bench, number: str) -> int:
    """How often the item was asked for."""
    return bench.target.journal.count(("GET", f"/items/{_guid(number)}"))


async def released(bench: Bench) -> list[tuple[str, str]]:
    """Items that were announced, with their story."""
    said = "select key, correlation_id from message where kind = 'item.released' order by key"
    return [(r["key"], r["correlation_id"]) for r in await bench.rows(said)]


async def test_the_plan_of_a_change_goes_on_once_its_items_were_read(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    await pipeline.take([change("SEAL-7", "RING-2")])
    assert await bench.column("select outcome from inbox") == ["applied"]
    assert await bench.rows(PLACES) == [
        {"key": "item/SEAL-7", "state": "reading"},
        {"key": "item/RING-2", "state": "reading"},
    ]
    await hand_on(bench, pipeline)
    assert [r["state"] for r in await bench.rows(WAITS)] == ["waiting", "waiting"]
    await settle(bench, dispatcher, pipeline)
    assert await bench.rows(WAITS) == [
        {"object_id": "RING-2", "state": "done"},
        {"object_id": "SEAL-7", "state": "done"},
    ]
    story = "story of ECO-31"
    assert await released(bench) == [("item/RING-2", story), ("item/SEAL-7", story)]
    assert await bench.cases() == []
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_what_is_on_record_is_not_read_again(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    await pipeline.take([change("SEAL-7")])
    await settle(bench, dispatcher, pipeline)
    await pipeline.take([change("SEAL-7", "RING-2", at="2026-03-01T00:00:00Z")])
    await settle(bench, dispatcher, pipeline)
    assert (reads(bench, "SEAL-7"), reads(bench, "RING-2")) == (1, 1)


async def test_changes_that_name_one_item_and_its_entry_join_one_read(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    await pipeline.take([change("SEAL-7"), change("SEAL-7", name="ECO-32"), listed("SEAL-7")])
    await pipeline.take([change("SEAL-7", "RING-2", name="ECO-33")])
    assert await bench.column("select key from pending order by id") == [
        "item/SEAL-7",
        "item/RING-2",
    ]
    await settle(bench, dispatcher, pipeline)
    assert (reads(bench, "SEAL-7"), reads(bench, "RING-2")) == (1, 1)
    assert set(await bench.column("select outcome from inbox")) == {"applied"}
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_what_stands_beside_an_event_of_the_newer_kind_is_read(bench: Bench) -> None:
    _show_change(bench, "SEAL-7")
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    await pipeline.take([outbound("RING-2")])
    assert await bench.rows(PLACES) == [
        {"key": CHANGE, "state": "reading"},
        {"key": "item/RING-2", "state": "reading"},
    ]
    await settle(bench, dispatcher, pipeline)
    assert bench.target.journal.count(("GET", "/changes/CHGECO31")) == 1
    assert (reads(bench, "SEAL-7"), reads(bench, "RING-2")) == (1, 1)
    assert [key for key, _ in await released(bench)] == ["item/RING-2", "item/SEAL-7"]
    assert await bench.cases() == []
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_each_look_at_the_use_of_a_suppliers_item_has_its_items_read(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    for look in ("look-1", "look-1", "look-2"):
        await pipeline.take([used_by("SEAL-7", "RING-2", look=look)])
        await settle(bench, dispatcher, pipeline)
    assert (reads(bench, "SEAL-7"), reads(bench, "RING-2")) == (2, 2)
    assert await bench.cases() == []
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_a_change_that_comes_while_its_item_is_read_has_it_read_once_more(
    bench: Bench,
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    gate = bench.target.gates[f"/items/{_guid('SEAL-7')}"] = asyncio.Event()
    await pipeline.take([change("SEAL-7")])
    await dispatcher.turn()

    async def is_asked() -> bool:
        return reads(bench, "SEAL-7") == 1

    await until(is_asked, "Arena is asked")
    await pipeline.take([change("SEAL-7", name="ECO-32"), change("SEAL-7", name="ECO-33")])
    gate.set()
    await settle(bench, dispatcher, pipeline)
    assert reads(bench, "SEAL-7") == 2
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_an_item_that_is_read_holds_its_own_messages_and_no_others(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench)
    await pipeline.take([change("SEAL-7"), item("SEAL-7"), item("RING-2")])
    await pipeline.take([change("RING-2", name="ECO-32", at="2026-03-01T00:00:00Z")])
    assert (await bench.rows(PLACES))[:2] == [
        {"key": "item/SEAL-7", "state": "reading"},
        {"key": "item/SEAL-7", "state": "parked"},
    ]
    # RING-2 was decided at once; that it is on record is not known before its event is decided.
    assert [key for key, _ in await released(bench)] == ["item/RING-2"]
    await settle(bench, dispatcher, pipeline)
    keys = [key for key, _ in await released(bench)]
    assert keys.count("item/SEAL-7") == 2
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_an_item_that_cannot_be_read_is_a_case_of_its_own(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, "RING-2")
    await pipeline.take([change("SEAL-7", "RING-2")])
    await settle(bench, dispatcher, pipeline)
    assert await bench.rows(WAITS) == [
        {"object_id": "RING-2", "state": "waiting"},
        {"object_id": "SEAL-7", "state": "done"},
    ]
    said = "select id, code, key, ledger_key from exception_case where state = 'open'"
    ((case_id, *case),) = [tuple(r.values()) for r in await bench.rows(said)]
    assert case == ["target-refused", "item/RING-2", "read/erp/item/REVRING2"]
    async with bench.database.transaction() as tx:
        let_go = await cases.discard(tx, case_id=case_id, by="eve", reason="it is gone for good")
    assert not let_go, "no message waited"
    assert set(await bench.column("select outcome from inbox")) == {"applied"}
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_an_item_that_is_gone_is_a_case_and_holds_nothing(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, gone=["SEAL-7"])
    await pipeline.take([change("SEAL-7"), item("SEAL-7")])
    await settle(bench, dispatcher, pipeline)
    assert [key for key, _ in await released(bench)] == ["item/SEAL-7"]
    found = await bench.rows("select code, place from exception_case where state = 'open'")
    assert found == [{"code": "gone-at-plm", "place": "item/SEAL-7"}]
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_where_an_entry_is_gone_its_change_is_read_and_nothing_is_held(
    bench: Bench,
) -> None:
    _show_change(bench, "SEAL-7")
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, missing={ENTRY: "EVT1"})
    await pipeline.take([entry(), change("SEAL-7", at="2026-03-01T00:00:00Z")])
    assert [r["key"] for r in await bench.rows(PLACES)] == [CHANGE, CHANGE]
    await settle(bench, dispatcher, pipeline)
    said = "select count(*) from message where kind = 'engineering-change.released'"
    assert await bench.column(said) == [2]
    assert await bench.cases() == []
    assert [r["state"] for r in await bench.rows(WAITS)] == ["done"]
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_where_an_entry_and_its_change_are_gone_is_a_case_and_nothing_is_held(
    bench: Bench,
) -> None:
    missing = {ENTRY: "EVT1", "/changes/CHGECO31": "CHGECO31"}
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, missing=missing)
    await pipeline.take([entry(), change("SEAL-7", at="2026-03-01T00:00:00Z")])
    await settle(bench, dispatcher, pipeline)
    found = await bench.rows("select code, place from exception_case where state = 'open'")
    assert found == [{"code": "gone-at-plm", "place": CHANGE}]
    assert await bench.column("select key from ledger where key not like 'read/%'") == [CHANGE]
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_what_waited_for_an_item_that_cannot_be_read_goes_on_when_it_is_let_go(
    bench: Bench,
) -> None:
    pipeline, dispatcher = _pipeline(bench), _dispatcher(bench, "SEAL-7")
    await pipeline.take([change("SEAL-7"), item("SEAL-7")])
    await settle(bench, dispatcher, pipeline)
    assert await released(bench) == []
    (case_id,) = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        await cases.discard(tx, case_id=case_id, by="eve", reason="the client sent it")
    await settle(bench, dispatcher, pipeline)
    assert [key for key, _ in await released(bench)] == ["item/SEAL-7"]
    assert [r["state"] for r in await bench.rows(WAITS)] == ["done"]


async def test_without_a_system_to_read_from_the_plan_waits_for_what_is_sent(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench, reads=False), _dispatcher(bench)
    await pipeline.take([change("SEAL-7")])
    await settle(bench, dispatcher, pipeline)
    assert [r["state"] for r in await bench.rows(WAITS)] == ["waiting"]
    assert await bench.column("select key from ledger") == [CHANGE]
    assert await bench.cases() == []
    await pipeline.take([item("SEAL-7")])
    await settle(bench, dispatcher, pipeline)
    assert [r["state"] for r in await bench.rows(WAITS)] == ["done"]


@pytest.mark.parametrize(("point", "left"), [("inbox.before_commit", 0), ("inbox.after_commit", 1)])
async def test_a_crash_leaves_the_reads_of_a_change_with_all_of_it_or_not_at_all(
    bench: Bench, point: str, left: int
) -> None:
    with pytest.raises(FailPointHit):
        await _pipeline(bench, fail_points=f"{point}:raise:1").take([change("SEAL-7")])
    for table in ("document", "ledger", "step", "pending", "hold"):
        assert await bench.count(table) == left, table
    said = await bench.column("select kind from message where direction = 'out' order by seq")
    assert said == ["engineering-change.released", "engineering-change.effective"] * left
    pipeline = _pipeline(bench)
    await pipeline.take([change("SEAL-7")])
    await settle(bench, _dispatcher(bench), pipeline)
    assert reads(bench, "SEAL-7") == 1
    assert [r["state"] for r in await bench.rows(WAITS)] == ["done"]


@pytest.mark.parametrize("point", ["result.before_commit", "result.after_commit"])
async def test_a_crash_around_the_answer_takes_the_item_once(bench: Bench, point: str) -> None:
    pipeline = _pipeline(bench)
    await pipeline.take([change("SEAL-7")])
    dying = bench.dispatcher(
        driver=DRIVER, translator=CATALOGUE.translator, fail_points=f"{point}:raise:1"
    )
    await dying.turn()
    with pytest.raises(FailPointHit):
        await dying.drain(DEADLINE_S)
    await bench.execute("update target set lease_until = lease_until - interval '1 day'")
    await bench.lapse()
    await settle(bench, _dispatcher(bench), pipeline)
    assert [key for key, _ in await released(bench)] == ["item/SEAL-7"]
    assert await bench.count("pending") == await bench.count("hold") == 0
