"""The driver at a real Tryton, over the channel that production uses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from broker.channels.http import HttpChannel
from broker.dispatcher import look
from canonical.connector import Present
from canonical.effects import Emit, Fetch
from canonical.errors import InDoubt, Rejected, Unavailable
from canonical.exchange import Request, Response
from canonical.handler import Delivery
from canonical.operations import PutInfoRecord, PutItem, ReadObject
from canonical.order import PurchaseOrder
from canonical.revision import parse_revision
from canonical.rules import Plant
from handlers.systems.tryton.changed import CHANGED_PURCHASES, READ_PURCHASE
from handlers.systems.tryton.outbound import DRIVER
from ops.cli.problems import Exit
from ops.cli.tree import run
from ops.sandbox.tryton import Running, Sandbox
from ops.sandbox.tryton.client import Client
from ops.sandbox.tryton.seed import COMPANY
from tests.fixtures.gearbox import NOW, facts
from tests.fixtures.tryton.record import apply, channel
from tests.fixtures.tryton.stories import (
    BOM,
    CONTRACT,
    ORDER,
    PUMP,
    SEAL,
    SEALS,
    WIRE,
    contract,
    item,
    moved,
    order,
    ordered,
    step,
    terms,
)
from tests.integration import test_distribution
from tests.integration.test_distribution import ROUTED, ROW, state, steps
from tests.integration.toy import bench_on, turn_until_idle

# The first time its packages are installed and its database is made.
pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

PRODUCT, PARTY = "product.product.search_read", "party.party.search_read"
BOMS, TERMS = "production.bom.search_read", "purchase.product_supplier.search_read"
PURCHASE, AGREEMENT = "purchase.purchase.search_read", "purchase.blanket_agreement.search_read"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A Tryton with nothing but its company."""
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft"))
    sandbox = Sandbox(state / "check" / "tryton")
    try:
        yield sandbox.start(is_fresh=True)
    finally:
        sandbox.stop()


@pytest.fixture
async def way(running: Running) -> AsyncIterator[HttpChannel]:
    """The driver's way to it."""
    async with channel(running.url, running.user, running.password) as opened:
        yield opened


@pytest.fixture
def people(running: Running) -> Client:
    """Somebody else who works in it, by the same interface and with code of his own."""
    return Client(running.url, running.user, running.password)


def rows(people: Client, method: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = people.call(method, domain, 0, None, None, list(fields))
    return found


def test_what_runs_goes_on_and_is_started_once(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")).absolute() / "check"
    assert Sandbox(state / "tryton").running() == running
    monkeypatch.setenv("LAYSHAFT_STATE_DIR", str(state))
    assert run(("sandbox", "tryton")) == Exit.DONE
    said = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert (said["base_url"], said["user"]) == (running.url, running.user)
    assert Sandbox(state / "tryton").running() == running


_PARTS = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def _moments(found: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """When each record was changed last."""
    return [
        tuple((one["write_date"] or one["create_date"])[part] for part in _PARTS) for one in found
    ]


async def test_what_is_written_is_what_tryton_shows(way: HttpChannel, people: Client) -> None:
    for operation in (PUMP, SEAL, WIRE, BOM, SEALS, terms("425", ("100", "3.8"))):
        assert await apply(way.perform, step(operation)) > 0
        assert await apply(way.perform, step(operation)) == 0
    fields = ("name", "type", "default_uom.symbol", "purchasable", "producible")
    found = rows(people, "product.template.search_read", [["code", "=", "PUMP-1"]], *fields)
    (template,) = found
    assert (template["name"], template["type"]) == ("Pump 40/2", "goods")
    assert (template["purchasable"], template["producible"]) == (False, True)
    assert template["default_uom."]["symbol"] == "u"
    lines = ("inputs.product.code", "inputs.quantity", "inputs.unit.symbol")
    domain = [["output_products.code", "=", "PUMP-1"]]
    (bom,) = rows(people, "production.bom.search_read", domain, "name", *lines)
    assert bom["name"] == "PUMP-1 revision A"
    assert {
        (row["product."]["code"], row["quantity"], row["unit."]["symbol"]) for row in bom["inputs."]
    } == {("SEAL-7", 2.0, "u"), ("WIRE-3", 0.35, "m")}
    (pump,) = rows(people, PRODUCT, [["code", "=", "PUMP-1"]], "boms.bom")
    assert [link["bom"] for link in pump["boms."]] == [bom["id"]]
    address = ("addresses.street", "addresses.city", "addresses.country.code", "identifiers.code")
    (party,) = rows(people, PARTY, [["code", "=", "17300001"]], "name", *address)
    assert party["name"] == "Northern Seals"
    assert [(a["street"], a["city"], a["country."]["code"]) for a in party["addresses."]] == [
        ("Kanalstr. 5", "Hamburg", "DE")
    ]
    assert [one["code"] for one in party["identifiers."]] == ["DE136695976"]
    prices = ("lead_time", "currency.code", "prices.quantity", "prices.unit_price")
    domain = [["party.code", "=", "17300001"], ["product.code", "=", "SEAL-7"]]
    (supplied,) = rows(people, "purchase.product_supplier.search_read", domain, *prices)
    assert supplied["lead_time"]["seconds"] == 14 * 86_400
    assert supplied["currency."]["code"] == "EUR"
    assert {
        (row["quantity"], Decimal(row["unit_price"]["decimal"])) for row in supplied["prices."]
    } == {(0.0, Decimal("4.25")), (100.0, Decimal("3.8"))}


async def test_an_order_is_confirmed_changed_and_cancelled(
    way: HttpChannel, people: Client
) -> None:
    for operation in (SEAL, item("PACK-2"), SEALS):
        await apply(way.perform, step(operation))
    assert await apply(way.perform, step(ORDER)) == 3
    fields = ("number", "state", "party.code", "currency.code", "total_amount", "purchase_date")
    lines = ("lines.sequence", "lines.product.code", "lines.quantity", "lines.delivery_date")
    domain = [["reference", "=", "PO-77"]]
    (placed,) = rows(people, PURCHASE, domain, *fields, *lines)
    assert placed["number"]
    assert (placed["state"], placed["party."]["code"]) == ("confirmed", "17300001")
    assert placed["purchase_date"] == {"__class__": "date", "year": 2026, "month": 11, "day": 2}
    # 100 at 4.25 and 5 at 12, as Tryton reckons it.
    assert Decimal(placed["total_amount"]["decimal"]) == Decimal("485.00")
    assert {
        (one["sequence"], one["product."]["code"], one["quantity"]) for one in placed["lines."]
    } == {(10, "SEAL-7", 100.0), (20, "PACK-2", 5.0)}
    assert {one["delivery_date"]["month"] for one in placed["lines."]} == {3}
    changed = order(ordered("10", "SEAL-7", "150", "4.25"))
    assert await apply(way.perform, step(changed)) == 4
    (placed,) = rows(people, PURCHASE, domain, *fields, *lines)
    assert [(one["sequence"], one["quantity"]) for one in placed["lines."]] == [(10, 150.0)]
    assert placed["state"] == "confirmed"
    assert await apply(way.perform, step(order())) == 2
    assert [one["state"] for one in rows(people, PURCHASE, domain, "state")] == ["cancelled"]


async def test_a_contract_runs_and_its_end_is_for_a_person_to_confirm(
    way: HttpChannel, people: Client
) -> None:
    for operation in (SEAL, item("PACK-2"), SEALS):
        await apply(way.perform, step(operation))
    assert await apply(way.perform, step(CONTRACT)) == 2
    fields = ("state", "to_date", "lines.product.code", "lines.quantity", "lines.unit_price")
    domain = [["reference", "=", "C-9"]]
    (held,) = rows(people, AGREEMENT, domain, *fields)
    assert (held["state"], held["to_date"]["year"]) == ("running", 2027)
    assert {
        (one["product."]["code"], one["quantity"], Decimal(one["unit_price"]["decimal"]))
        for one in held["lines."]
    } == {("SEAL-7", 1000.0, Decimal("4.10")), ("PACK-2", None, Decimal("11.5"))}
    # A thousand are agreed, and none was ordered.
    with pytest.raises(Rejected) as asked:
        await apply(way.perform, step(contract(status="ended")))
    assert asked.value.code == "target-asks"
    assert [one["state"] for one in rows(people, AGREEMENT, domain, "state")] == ["running"]
    assert await apply(way.perform, step(contract(status="suspended"))) == 1
    assert [one["state"] for one in rows(people, AGREEMENT, domain, "state")] == ["draft"]


async def test_what_people_changed_since_a_mark_is_named_and_read(
    way: HttpChannel, people: Client
) -> None:
    """As a client asks that is started by a timer: docs of the driver."""
    for operation in (SEAL, SEALS, item("OLD-1")):
        await apply(way.perform, step(operation))
    await apply(way.perform, step(order(ordered("10", "SEAL-7", "7", "4.25"), number="PO-88")))
    (placed,) = rows(people, PURCHASE, [["reference", "=", "PO-88"]], "id", "lines.id")
    latest = max(_moments(rows(people, PRODUCT, [], "write_date", "create_date")))
    since = {"__class__": "datetime", **dict(zip(_PARTS, latest, strict=True))}
    # Of a confirmed one Tryton lets nobody change a line.
    people.call("purchase.purchase.draft", [placed["id"]])
    people.call("purchase.line.write", [placed["lines."][0]["id"]], {"description": "Urgent"})
    for button in ("quote", "confirm"):
        people.call(f"purchase.purchase.{button}", [placed["id"]])
    marks = ("write_date", "create_date", "lines.write_date", "lines.create_date")
    domain = ["OR", *([mark, ">=", since] for mark in marks)]
    listed = rows(people, PURCHASE, domain, "write_date", "create_date")
    assert placed["id"] in {one["id"] for one in listed}
    body = msgspec.json.encode({"id": 1, "result": listed})
    message = CHANGED_PURCHASES.read(Delivery("erp", "", body))
    fetches = CHANGED_PURCHASES.decide(message, facts(), NOW)
    (fetch,) = [e for e in fetches if isinstance(e, Fetch) and e.id == str(placed["id"])]
    asked = ReadObject(fetch.kind, fetch.id, fetch.key, 1, "c-1")
    seen = await look(DRIVER, step(asked), way.perform)
    assert isinstance(seen, Present)
    assert seen.answer is not None
    attributes = {"id": "a-1", "subject": seen.answer.key, "time": "2026-11-29T16:00:00+00:00"}
    told = READ_PURCHASE.read(Delivery("erp", "", seen.answer.body, attributes=attributes))
    (said,) = READ_PURCHASE.decide(told, facts(), NOW)
    assert isinstance(said, Emit)
    assert isinstance(said.data, PurchaseOrder)
    assert [(one.item, one.description) for one in said.data.lines] == [("SEAL-7", "Urgent")]


async def test_a_foreign_change_between_look_and_write_is_met_and_not_written_over(
    way: HttpChannel, people: Client
) -> None:
    one = step(item("MEET-1"))
    await apply(way.perform, one)
    newer = step(item("MEET-1", revision=parse_revision("B", "letters")))
    seen = await look(DRIVER, newer, way.perform)
    (product,) = rows(people, PRODUCT, [["code", "=", "MEET-1"]], "template")
    people.call("product.template.write", [product["template"]], {"name": "A person's name"})
    write = DRIVER.write(newer, seen, "key-1")
    assert write is not None
    with pytest.raises(Unavailable) as met:
        DRIVER.confirm(newer, await way.perform(write.request))
    assert met.value.code == "changed-meanwhile"
    (held,) = rows(people, PRODUCT, [["code", "=", "MEET-1"]], "description", "template.name")
    assert held["description"] == "Revision A"
    assert held["template."]["name"] == "A person's name"
    # Looked at anew, the difference is what it is now.
    assert await apply(way.perform, newer) == 1


async def test_a_create_whose_answer_was_lost_makes_no_second_object(
    way: HttpChannel, people: Client
) -> None:
    await apply(way.perform, step(SEAL))
    await apply(way.perform, step(WIRE))
    await apply(way.perform, step(SEALS))
    await apply(way.perform, step(item("LOST-2", procurement="make")))
    lost = msgspec.structs.replace(BOM.bom, parent="LOST-2")
    terms_of_lost = PutInfoRecord(msgspec.structs.replace(terms("2").record, item="LOST-1"))
    for put, method, code in (
        (item("LOST-1"), PRODUCT, "LOST-1"),
        (moved(SEALS, number="17300009", name="Lost Seals", tax_numbers={}), PARTY, "17300009"),
        (msgspec.structs.replace(BOM, bom=lost), BOMS, "1000/1/1/LOST-2"),
        (terms_of_lost, TERMS, ""),
        (order(ordered("10", "LOST-1", "1", "2"), number="PO-LOST"), PURCHASE, "PO-LOST"),
        (contract(("LOST-1", "2", None), number="C-LOST"), AGREEMENT, "C-LOST"),
    ):
        writes = 0

        async def lossy(request: Request) -> Response:
            nonlocal writes
            response = await way.perform(request)
            if request.effectful:
                writes += 1
                raise InDoubt("answer-lost", "Nobody knows whether it was applied")
            return response

        with pytest.raises(InDoubt):
            await apply(lossy, step(put))
        assert writes == 1
        # What is left are no creates: a link, or buttons.
        assert await apply(way.perform, step(put)) == {BOMS: 1, PURCHASE: 2, AGREEMENT: 1}.get(
            method, 0
        )
        key = {PURCHASE: "reference", AGREEMENT: "reference", TERMS: "product.code"}
        domain = [[key.get(method, "code"), "=", code or "LOST-1"]]
        assert len(rows(people, method, domain, "id")) == 1


async def test_of_two_that_make_one_object_at_once_one_finds_the_others(
    way: HttpChannel, people: Client
) -> None:
    one = step(item("BOTH-1"))
    absent = await look(DRIVER, one, way.perform)
    write = DRIVER.write(one, absent, "key-1")
    assert write is not None
    DRIVER.confirm(one, await way.perform(write.request))
    with pytest.raises(Unavailable) as second:
        DRIVER.confirm(one, await way.perform(write.request))
    assert second.value.code == "exists-already"
    assert await apply(way.perform, one) == 0
    assert len(rows(people, PRODUCT, [["code", "=", "BOTH-1"]], "id")) == 1


async def test_a_session_that_has_ended_is_begun_anew(way: HttpChannel, running: Running) -> None:
    one = step(item("AGAIN-1"))
    await apply(way.perform, one)
    connection = await asyncpg.connect(running.database_url)
    try:
        ended = await connection.fetchval(
            "with gone as (delete from ir_session returning 1) select count(*) from gone"
        )
    finally:
        await connection.close()
    assert ended > 0
    assert await apply(way.perform, one) == 0


async def test_a_rule_of_trytons_is_a_refusal_in_its_own_words(way: HttpChannel) -> None:
    one = step(item("RULE-1", base_unit="KGM"))
    await apply(way.perform, one)
    other = step(PutItem(msgspec.structs.replace(SEAL.item, number="RULE-2")))
    await apply(way.perform, other)
    half = msgspec.structs.replace(
        BOM.bom,
        parent="RULE-2",
        lines=(msgspec.structs.replace(BOM.bom.lines[1], component="RULE-1"),),
    )
    with pytest.raises(Rejected, match=r"target-refused.*UserError"):
        await apply(way.perform, step(msgspec.structs.replace(BOM, bom=half)))


async def test_an_answer_of_many_lines_comes_compressed_and_is_read(way: HttpChannel) -> None:
    await asyncio.gather(*(apply(way.perform, step(item(f"MANY-{n}"))) for n in range(20)))
    lines = tuple(
        msgspec.structs.replace(BOM.bom.lines[0], position=str(n), component=f"MANY-{n}")
        for n in range(20)
    )
    await apply(way.perform, step(item("MANY-PUMP", procurement="make")))
    put = step(
        msgspec.structs.replace(
            BOM, bom=msgspec.structs.replace(BOM.bom, parent="MANY-PUMP", lines=lines)
        )
    )
    await apply(way.perform, put)
    found = await look(DRIVER, put, way.perform)
    assert isinstance(found, Present)
    assert found.equal
    assert len(found.native) > 1_400


async def test_the_runtime_brings_an_order_there_once_though_each_answer_is_lost(
    way: HttpChannel, people: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ROW["order-lines"][0]
    supplier, number = ROW["supplier"]["number"], line["item"]["item-number"]
    await apply(way.perform, step(moved(SEALS, number=supplier, tax_numbers={})))
    await apply(way.perform, step(item(number)))
    # The company of the sandbox buys for the plant that the order is for.
    plant = Plant(ROW["ship-to-address"]["location-code"], "Lyon", "Europe/Paris", "local", COMPANY)
    monkeypatch.setattr(test_distribution, "ROUTED", replace(ROUTED, plants=(plant,)))
    lost: list[bytes] = []

    async def lossy(request: Request) -> Response:
        """Each write arrives, and its first answer does not."""
        response = await way.perform(request)
        if request.effectful and request.body not in lost:
            assert request.body is not None
            lost.append(request.body)
            raise InDoubt("answer-lost", "Nobody knows whether it was applied")
        return response

    async with bench_on(database_url) as bench:
        await state(bench)
        await turn_until_idle(bench.dispatcher(driver=DRIVER, perform=lossy))
        assert await bench.cases() == []
        ((identity, ended, reference, _),) = await steps(bench)
    assert (identity, ended) == ("|erp|purchase-order|PO-1|put-order", "done")
    # Made, quoted and confirmed, and none of it twice.
    assert len(lost) == 3
    (placed,) = rows(people, PURCHASE, [["reference", "=", "PO-1"]], "state", "number")
    assert (placed["state"], placed["number"]) == ("confirmed", reference)
