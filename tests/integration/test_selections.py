"""Documents are found by what they are about: the open orders of an item are one fact."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from broker import application, book
from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.effects import Plan, Put, Step
from canonical.facts import Facts
from canonical.operations import Approve
from canonical.order import OpenOrders, OrderLine, OrderStatus, PurchaseOrder, order_key
from canonical.quantity import Quantity
from tests.fixtures.gearbox import RULES

NOW = datetime(2026, 1, 5, tzinfo=UTC)
POSITION = Position(NOW, 1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(url=database_url, purpose="test", size=2, acquire_s=5, statement_s=5)
    await made.open()
    yield made
    await made.close()


async def state(
    tx: Tx, number: str, version: int, *items: str, status: OrderStatus = "open"
) -> None:
    lines = tuple(
        OrderLine(str(n * 10), item, Quantity(Decimal(5), "H87")) for n, item in enumerate(items, 1)
    )
    order = PurchaseOrder(number, version, "S-1", "EUR", lines, status=status)
    new = [NewDocument(Put(order_key(number), version, order), "erp", POSITION)]
    await document_rows.store(tx, document_rows.as_rows(new))


async def open_orders(tx: Tx, item: str) -> tuple[list[str], int]:
    """Numbers of the orders, and the version of the fact."""
    key = f"open-orders/{item}"
    found = await document_rows.load(tx, [key, "item/unknown"])
    facts = Facts(RULES, {name: stored.known for name, stored in found.items()})
    return [order.number for order in facts.open_orders(item).orders], facts.version(key)


async def test_an_order_is_found_by_each_of_its_items_while_it_is_open(database: Database) -> None:
    async with database.transaction() as tx:
        assert await open_orders(tx, "A") == ([], 0)
        await state(tx, "2", 1, "A", "B", "A", "")
        await state(tx, "1", 1, "A")
        assert await open_orders(tx, "A") == (["1", "2"], 2)
        assert await open_orders(tx, "B") == (["2"], 1)
        await state(tx, "2", 2, "B")
        assert await open_orders(tx, "A") == (["1"], 3)
        await state(tx, "2", 3, "B", status="closed")
        assert await open_orders(tx, "B") == ([], 3)
        assert await open_orders(tx, "A") == (["1"], 3)
        await state(tx, "2", 4, "A")
        assert await open_orders(tx, "A") == (["1", "2"], 4)


async def test_an_older_statement_changes_nothing_of_what_is_found(database: Database) -> None:
    async with database.transaction() as tx:
        await state(tx, "1", 2, "A")
        await state(tx, "1", 1, "B")
        assert await open_orders(tx, "A") == (["1"], 1)
        assert await open_orders(tx, "B") == ([], 0)


async def test_what_is_too_much_to_show_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_rows, "MOST_SELECTED", 2)
    async with database.transaction() as tx:
        for number in "12345":
            await state(tx, number, 1, "A")
        found = (await document_rows.load(tx, ["open-orders/A"]))["open-orders/A"]
        assert isinstance(found.known.document, OpenOrders)
        assert [order.number for order in found.known.document.orders] == ["1", "2"]
        assert found.known.document.more == 3
        assert found.known.version == 5


@pytest.mark.parametrize("whole", [True, False], ids=["by its ledger", "by a step"])
@pytest.mark.parametrize("named", [True, False], ids=["by the document", "by the sweep"])
async def test_a_plan_that_saw_fewer_orders_is_made_anew(
    database: Database, named: bool, whole: bool
) -> None:
    fact = ("", 0) if whole else ("open-orders/A", 1)
    asked = Step(
        "", "purchasing", "item", "A", Approve("toy", "Go on?"), fact=fact[0], seen=fact[1]
    )
    watched = (("open-orders/A", 1),) if whole else ()
    async with database.transaction() as tx:
        await state(tx, "1", 1, "A")
        origin = book.Origin("toy", "toy", "plm", "m1", "story", "standard", POSITION)
        assert await book.apply_plans(
            tx, [book.Planned(Plan("toy/1", 1, "T", (asked,), watched=watched), origin)], NOW
        ) == ["taken"]
        wake = [order_key("1")] if named else None
        assert await application.wake_ledgers(tx, wake, NOW) == 0
        await state(tx, "7", 1, "B")
        assert await application.wake_ledgers(tx, [order_key("7")] if named else None, NOW) == 0
        # One that goes is news as well as one that comes.
        await state(tx, "1", 2, status="cancelled")
        assert await application.wake_ledgers(tx, wake, NOW) == 1
