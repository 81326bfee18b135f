"""A newer fact makes the plan anew where somebody waits for it, or is asked because of it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from broker import application, book
from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.effects import Plan, Put, Step
from canonical.operations import Approve
from tests.integration.toy import supplier

NOW = datetime(2026, 1, 5, tzinfo=UTC)
POSITION = Position(NOW, 1)
ASKED = Step(
    "",
    "quality",
    "supplier",
    "S1",
    Approve("supplier-qualification", "May S1 be bought from?"),
    fact="supplier/S1",
    seen=1,
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(url=database_url, purpose="test", size=2, acquire_s=5, statement_s=5)
    await made.open()
    yield made
    await made.close()


async def planned(tx: Tx, *steps: Step) -> None:
    origin = book.Origin("toy", "toy", "plm", "m1", "story", "standard", POSITION)
    assert await book.apply_plans(tx, [book.Planned(Plan("order/1", 1, "T", steps), origin)])


async def stated(tx: Tx, version: int) -> None:
    put = Put("supplier/S1", version, supplier("S1", f"name {version}"))
    written = await document_rows.store(
        tx, document_rows.as_rows([NewDocument(put, "procurement", POSITION)])
    )
    assert written == {"supplier/S1": version}


async def test_a_newer_supplier_makes_the_plan_of_an_open_approval_anew(database: Database) -> None:
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, ASKED)
        assert await application.wake_ledgers(tx, None, NOW) == 0
        await stated(tx, 2)
        assert await application.wake_ledgers(tx, ["supplier/S1"], NOW) == 1
        assert await application.wake_ledgers(tx, ["supplier/other"], NOW) == 0


async def test_a_plan_made_on_the_newer_state_is_not_woken_again(database: Database) -> None:
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, ASKED)
        await stated(tx, 2)
        await planned(tx, msgspec.structs.replace(ASKED, seen=2))
        assert await application.wake_ledgers(tx, None, NOW) == 0


async def test_many_facts_wake_a_ledger_once(database: Database) -> None:
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, ASKED)
        await stated(tx, 2)
        for _ in range(3):
            await application.wake_ledgers(tx, None, NOW)
        assert await tx.fetchval("select count(*) from pending") == 1


async def test_a_decided_approval_is_not_woken(database: Database) -> None:
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, ASKED)
        await tx.execute("update step set state = 'done'")
        await stated(tx, 2)
        assert await application.wake_ledgers(tx, None, NOW) == 0
