"""Changes for the console's list and pages: some open, some complete, one with words of somebody
who means harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from broker import book, controls
from broker.book import Settled
from broker.store import Database, Tx
from broker.store import documents as document_rows
from broker.store.calls import Before, CallResult, ClaimedStep, claim_calls
from broker.store.documents import NewDocument
from canonical.bom import BomLine, PlantBom
from canonical.change import AffectedItem, EngineeringChange
from canonical.connector import Former
from canonical.effects import Finding, Plan, Put, Step
from canonical.item import Procurement
from canonical.operations import Approve, AwaitFact, PutBom, PutItem
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
    tx: Tx,
    number: str,
    *steps: Step,
    title: str = "",
    findings: tuple[Finding, ...] = (),
    version: int = 1,
) -> None:
    """A change with these steps is open."""
    plan = Plan(
        key=f"engineering-change/{number}",
        version=version,
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
            with done as (
                update step set state = 'done' from ledger l
                where l.id = ledger_id and l.key = 'engineering-change/ECO-2900' returning step.id
            ),
            planned as (
                update step_event set at = $1 where step_id in (select id from done)
            )
            insert into step_event (step_id, at, state) select id, $2, 'done' from done
            """,
            NOW - timedelta(days=2),
            NOW - timedelta(days=1),
        )
        await tx.execute(
            """
            update ledger
            set state = 'complete', opened_at = $1, planned_at = $1, completed_at = $2
            where key = 'engineering-change/ECO-2900'
            """,
            NOW - timedelta(days=2),
            NOW - timedelta(days=1),
        )


async def seed_half_way(database: Database) -> None:
    """ECO-5000 puts twelve items into plant 1010 since six hours, and four into 2010 as well since
    three; every half hour one was done, nine of them, each within 20 minutes of its turn."""
    first = [step_of("1010", f"PIN-{n}") for n in range(1, 13)]
    more = [step_of("2010", f"PIN-{n}") for n in range(1, 5)]
    async with database.transaction() as tx:
        await planned(tx, "ECO-5000", *first, title="Pins: harder steel")
        await planned(tx, "ECO-5000", *first, *more, title="Pins: harder steel", version=2)
        await tx.execute(
            """
            create temporary table known on commit drop as
            select s.id, s.plant, row_number() over (order by s.id) as n
            from step s join ledger l on l.id = s.ledger_id
            where l.key = 'engineering-change/ECO-5000'
            """
        )
        await tx.execute(
            """
            update step_event e
            set at = now() - case k.plant when '1010' then interval '6 h' else interval '3 h' end
            from known k where k.id = e.step_id
            """
        )
        for state, minutes in (("ready", -20), ("done", 0)):
            await tx.execute(
                """
                insert into step_event (step_id, at, state)
                select id, now() - interval '6 h' + make_interval(mins => 30 * n::int + $2), $1
                from known where n <= 9
                """,
                state,
                minutes,
            )
        await tx.execute(
            """
            update step s set state = 'done',
                changed_at = now() - interval '6 h' + make_interval(mins => 30 * k.n::int)
            from known k where k.id = s.id and k.n <= 9
            """
        )
        await tx.execute(
            """
            update ledger set opened_at = now() - interval '6 h',
                              planned_at = now() - interval '3 h'
            where key = 'engineering-change/ECO-5000'
            """
        )


def shaft(plant: str, *lines: tuple[str, int]) -> PutBom:
    """The BOM of the shaft there, of so many of these components."""
    return PutBom(
        PlantBom(
            plant=plant,
            parent="SH-10",
            revision="B",
            usage="1",
            alternative="1",
            base=Quantity(Decimal(1), "H87"),
            lines=tuple(
                BomLine(f"{n * 10:04}", name, Quantity(Decimal(amount), "H87"))
                for n, (name, amount) in enumerate(lines, 1)
            ),
        )
    )


async def seed_taken_back(database: Database, *, boms: int = 2, is_under_way: bool = False) -> None:
    """ECO-4000 seals the shaft in so many plants, and Ada cancelled it once that was done: the BOMs
    can be put back, the item of the seal is left to people. is_under_way: the last BOM is at its
    target still."""
    new = step_of("1010", "SEAL-2")
    wrote = [shaft(f"{n}010", ("ROD-1", 3), ("SEAL-2", 2)) for n in range(1, boms + 1)]
    steps = [
        Step(each.bom.plant, "erp", "bom", "SH-10", each, (new.identity,), "master data")
        for each in wrote
    ]
    # Nobody has decided yet, or it would be complete.
    ask = Approve(question="supplier-qualification", text="May S-4 deliver?", evidence=())
    question = Step("", "quality", "supplier", "S-4", ask, owner="quality")
    async with database.transaction() as tx:
        await planned(tx, "ECO-4000", new, *steps, question, title="Shaft: sealed")
    for _ in range(2):
        async with database.transaction() as tx:
            await _settle(tx, is_under_way=is_under_way)
    async with database.transaction() as tx:
        await controls.cancel(
            tx, number="ECO-4000", by="Ada", reason="released by mistake", now=datetime.now(UTC)
        )


async def _settle(tx: Tx, *, is_under_way: bool) -> None:
    claimed = await claim_calls(tx, lane="standard", systems=["erp"], limit=500, lease_s=60)
    boms = [each for each in claimed if each.step.object_kind == "bom"]
    left = boms[-1:] if is_under_way else []
    await book.settle_calls(tx, [Settled(_done(each)) for each in claimed if each not in left])


def _done(claimed: ClaimedStep) -> CallResult:
    """It was applied; a BOM had one seal before, of another kind."""
    at, plant = datetime.now(UTC), claimed.step.plant
    former = Former(why_not="put-item is not undone from here")
    if claimed.step.object_kind == "bom":
        former = Former(shaft(plant, ("ROD-1", 2), ("SEAL-1", 1)))
    return CallResult(claimed, "done", at, at, at, (), "applied", "", before=Before(former))


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
