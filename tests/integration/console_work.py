"""A change that people have to decide about, as rows: what the pages of work lists are looked at
with.

ECO-7 seals the shaft of the gearbox GB-100 in plants 1010 and 2010. Quality is asked about supplier
S-3, who is not qualified; purchasing about open orders of SEAL-1 on revision A: 45001/10 of S-1 for
1010, 45001/20 for 2010, 45002/10 of S-2 for 1010.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec

from broker import book
from broker.store import Database, Position
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from broker.store.views import TaskRow, snapshot, tasks
from canonical.bom import PlantBomState
from canonical.change import AffectedItem, Disposition
from canonical.effects import Plan, Put
from canonical.facts import Document
from canonical.money import Money, UnitPrice
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.quantity import Quantity
from tests.fixtures.gearbox import EVERYTHING, RULES, change, key_of, line, plan

ORIGIN = book.Origin(
    "toy", "toy", "plm", "m1", "story-7", "standard", Position(datetime(2026, 1, 5, tzinfo=UTC), 1)
)
_PRICE = UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(100), "H87"))
CHANGE = change(
    AffectedItem("GB-100", "B", "A"),
    AffectedItem("SEAL-1", "B", "A", dispositions=(Disposition("on_order", "Cancel"),)),
    plants=("1010", "2010"),
)
# What the plant builds by now: without seals, and with less wire.
PLANT_BOMS: tuple[Document, ...] = (
    PlantBomState(
        plant="1010",
        parent="SH-10",
        usage="1",
        alternative="1",
        version=1,
        base=Quantity(Decimal(100), "H87"),
        lines=(line("ROD-1", "250", "KGM", "0010"), line("GREASE-1", "1", "KGM", "0030")),
    ),
)


def ordered(number: str, plant: str = "1010", amount: int = 500) -> OrderLine:
    """A line for SEAL-1 on its revision A, without its history."""
    quantity = Quantity(Decimal(amount), "H87")
    return OrderLine(
        number,
        "SEAL-1",
        quantity,
        price=_PRICE,
        plant=plant,
        revision="A",
        schedule=(ScheduleLine(quantity, date(2027, 4, 1)),),
    )


def order(number: str, supplier: str, *lines: OrderLine) -> PurchaseOrder:
    """An open order."""
    return PurchaseOrder(number, 1, supplier, "EUR", lines)


ORDERS = (
    order("45001", "S-1", ordered("10"), ordered("20", "2010")),
    order("45002", "S-2", ordered("10", amount=80)),
)


def planned(
    orders: Sequence[PurchaseOrder] = ORDERS, *, version: int = 3, signatures: int = 1
) -> Plan:
    """What ECO-7 asks for."""
    rules = msgspec.structs.replace(
        RULES,
        due_s={"approve": 8 * 3600},
        approvers={"supplier-qualification": "quality", "open-order": "purchasing"},
        signatures={"supplier-qualification": signatures} if signatures > 1 else {},
    )
    stated = msgspec.structs.replace(CHANGE, version=version)
    return plan(stated, *EVERYTHING, *PLANT_BOMS, *orders, rules=rules)


async def put(database: Database, plan: Plan, *, hours_ago: float = 2.0) -> None:
    """The change asks for that, so long since."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    async with database.transaction() as tx:
        assert await book.apply_plans(tx, [book.Planned(plan, ORIGIN)], at) == ["taken"]


async def seed_work(
    database: Database, orders: Sequence[PurchaseOrder] = ORDERS, *, signatures: int = 1
) -> None:
    """The change as the module describes it."""
    known: tuple[Document, ...] = (*EVERYTHING, *PLANT_BOMS, *orders, CHANGE)
    rows = [NewDocument(Put(key_of(d), 1, d), "plm", ORIGIN.position) for d in known]
    async with database.transaction() as tx:
        await document_rows.store(tx, document_rows.as_rows(rows))
    await put(database, planned(orders, signatures=signatures))


async def asked(database: Database, about: str) -> TaskRow:
    """The newest question about that object, e.g. "supplier/S-3"."""
    async with snapshot(database) as tx:
        found = [task for task in await tasks(tx, "all", limit=1_000) if task.about == about]
    return max(found, key=lambda task: task.id)


async def fetch(database: Database, sql: str) -> list[tuple[object, ...]]:
    """Rows of a statement."""
    async with database.session() as session:
        return [tuple(row) for row in await session.fetch(sql)]
