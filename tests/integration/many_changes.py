"""Changes for the console's list and pages: some open, some complete, one with words of somebody
who means harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from broker import book
from broker.store import Database, Tx
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.change import AffectedItem, EngineeringChange
from canonical.effects import Finding, Plan, Put, Step
from canonical.item import Procurement
from canonical.operations import Approve, AwaitFact, PutItem
from canonical.order import OrderLine, PurchaseOrder
from canonical.quantity import Quantity
from tests.integration import gearbox_change
from tests.integration.gearbox_change import item, known_origin

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\u2028javascript:"
NOW = datetime.now(UTC)


def step_of(plant: str, number: str, how: Procurement = "buy", system: str = "erp") -> Step:
    """The item is put into that plant's system."""
    return Step(plant, system, "item", number, PutItem(item(number, how)), owner="master data")


async def planned(
    tx: Tx, number: str, *steps: Step, title: str = "", findings: tuple[Finding, ...] = ()
) -> None:
    """A change with these steps is open."""
    plan = Plan(
        key=f"engineering-change/{number}",
        version=1,
        title=title or f"Change {number}",
        steps=steps,
        findings=findings,
    )
    await book.apply_plans(tx, [book.Planned(plan, await known_origin(tx))], NOW)


async def order_for(tx: Tx, number: str, *items: str) -> None:
    """An open purchase order with a line for each item."""
    lines = tuple(
        OrderLine(str(n * 10), name, Quantity(Decimal(1), "H87")) for n, name in enumerate(items, 1)
    )
    order = PurchaseOrder(
        number=number, version=1, supplier="17300003", currency="EUR", lines=lines
    )
    await put(tx, f"purchase-order/{number}", order)


async def put(tx: Tx, key: str, document: EngineeringChange | PurchaseOrder) -> None:
    """The document is known."""
    position = await gearbox_change.first_position(tx)
    new = NewDocument(Put(key, 1, document), "plm", position)
    await document_rows.store(tx, document_rows.as_rows([new]))


async def seed_list(database: Database) -> None:
    """Beside the gearbox change: one that many orders wait for, one that waits for a decision about
    a supplier, one that waits for data, one in another plant, one complete, one hostile."""
    async with database.transaction() as tx:
        await planned(tx, "ECO-3001", step_of("1010", "SEAL-7"), title="Seal: new material")
        for n in range(4):
            await order_for(tx, f"45{n}", "SEAL-7")
        ask = Approve(question="supplier-qualification", text="May S-9 deliver?", evidence=())
        await planned(
            tx,
            "ECO-3002",
            Step("", "quality", "supplier", "S-9", ask, owner="quality"),
            step_of("2010", "PUMP-1"),
            title="Pump: second source",
        )
        wait = AwaitFact("coverage/PUMP-2", 0, "contract cover")
        await planned(
            tx, "ECO-3003", Step("2010", "layshaft", "coverage", "PUMP-2", wait, owner="sourcing")
        )
        await planned(tx, "ECO-3004", step_of("3010", "VALVE-1"), title="Valve for the third plant")
        change = EngineeringChange(
            number="ECO-3004",
            version=1,
            status="released",
            title="Valve",
            affected=(AffectedItem("VALVE-1", "B"),),
            family="Hydraulics",
        )
        await put(tx, "engineering-change/ECO-3004", change)
        await planned(tx, "ECO-2900", step_of("1010", "DONE-1"), title="Housing: done before")
        await tx.execute(
            """
            update step set state = 'done' from ledger l
            where l.id = ledger_id and l.key = 'engineering-change/ECO-2900'
            """
        )
        await tx.execute(
            """
            update ledger set state = 'complete', opened_at = $1, completed_at = $2
            where key = 'engineering-change/ECO-2900'
            """,
            NOW - timedelta(days=2),
            NOW - timedelta(days=1),
        )


async def seed_hostile(database: Database) -> None:
    """A change whose every text is an attack on whoever looks at it."""
    ask = Approve(question="supplier-qualification", text=HOSTILE, evidence=(HOSTILE,))
    found = Finding("bad", HOSTILE, HOSTILE, "warning", HOSTILE)
    async with database.transaction() as tx:
        await planned(
            tx,
            f"ECO-{HOSTILE}",
            Step("", HOSTILE, "supplier", HOSTILE, ask, owner=HOSTILE),
            step_of(HOSTILE, HOSTILE, system=HOSTILE),
            title=HOSTILE,
            findings=(found,),
        )
