"""A newer fact makes the plan anew where somebody waits for it, or is asked because of it; and so
does a time that has come."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from broker import application, book
from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.effects import Plan, Put, Step
from canonical.operations import Approve, AwaitTime, ExtendToPlant
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


async def planned(
    tx: Tx,
    *steps: Step,
    watched: tuple[tuple[str, int], ...] = (),
    along: tuple[str, ...] = (),
    story: str = "story",
) -> None:
    origin = book.Origin("toy", "toy", "plm", "m1", story, "standard", POSITION)
    plan = Plan("order/1", 1, "T", steps, watched=watched, along=along)
    now: datetime = await tx.fetchval("select now()")
    assert await book.apply_plans(tx, [book.Planned(plan, origin)], now) == ["taken"]


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


# --- what a whole plan hangs on ---

UNWATCHING = msgspec.structs.replace(ASKED, fact="", seen=0)


async def test_a_plan_is_made_anew_for_a_fact_that_none_of_its_steps_watches(
    database: Database,
) -> None:
    keys = ["supplier/S1"]
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, UNWATCHING, watched=(("supplier/S0", 7), ("supplier/S1", 1)))
        assert await application.wake_ledgers(tx, keys, NOW) == 0
        await stated(tx, 2)
        assert await application.wake_ledgers(tx, ["supplier/other"], NOW) == 0
        assert await application.wake_ledgers(tx, keys, NOW) == 1
        await planned(tx, UNWATCHING, watched=(("supplier/S1", 2),))
        await tx.execute("delete from pending")
        assert await application.wake_ledgers(tx, keys, NOW) == 0
        # The next plan does not hang on it any more.
        await planned(tx, UNWATCHING)
        await stated(tx, 3)
        assert await application.wake_ledgers(tx, keys, NOW) == 0


async def test_a_ledger_that_has_ended_watches_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await stated(tx, 1)
        await planned(tx, watched=(("supplier/S1", 1),))
        await stated(tx, 2)
        assert await tx.fetchval("select state from ledger") == "complete"
        assert await application.wake_ledgers(tx, ["supplier/S1"], NOW) == 0
        assert await application.wake_ledgers(tx, None, NOW) == 0


async def test_what_nobody_has_stated_yet_is_found_by_the_sweep_as_well(database: Database) -> None:
    async with database.transaction() as tx:
        await planned(tx, UNWATCHING, watched=(("supplier/S1", 0),))
        assert await application.wake_ledgers(tx, None, NOW) == 0
        await stated(tx, 1)
        assert await application.wake_ledgers(tx, None, NOW) == 1
        await tx.execute("delete from pending")
        assert await application.wake_ledgers(tx, ["supplier/S1"], NOW) == 1


async def test_what_was_stated_along_with_it_makes_even_a_complete_plan_anew(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await planned(tx, along=("supplier", "item"))
        assert await tx.fetchval("select state from ledger") == "complete"

        async def woken(*along: tuple[str, str]) -> int:
            return await application.wake_ledgers(tx, ["item/1"], NOW, along=along)

        assert await woken() == 0
        assert await woken(("another", "item"), ("story", "order")) == 0
        assert await woken(("story", "item"), ("story", "supplier")) == 1
        await tx.execute("delete from pending")
        # A later statement is a story of its own.
        await planned(tx, along=("item",), story="next")
        assert await woken(("story", "item")) == 0
        assert await woken(("next", "supplier")) == 0
        assert await woken(("next", "item")) == 1


# --- times ---

# Yet to come by the clock of the database, too.
DAY = datetime(2099, 1, 4, tzinfo=UTC)
START = Step("", "layshaft", "order", "1", AwaitTime(DAY, "it takes effect"), wake_at=DAY)


def call(name: str, *after: Step, wake_at: datetime | None = None, content: str = "") -> Step:
    operation = ExtendToPlant(name, "1010", "buy", "H87", content)
    depends_on = tuple(step.identity for step in after)
    return Step("", "erp", "supplier", name, operation, depends_on, due_s=3600, wake_at=wake_at)


async def reasons(tx: Tx) -> list[str]:
    return [r["reason"] for r in await tx.fetch("select reason from pending order by id")]


async def test_a_ledger_is_planned_anew_when_its_time_has_come_and_not_before(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await planned(tx, START, call("a", START))
        second = timedelta(seconds=1)
        assert await application.wake_ledgers(tx, None, DAY - second) == 0
        assert await application.wake_ledgers(tx, None, DAY) == 1
        assert await application.wake_ledgers(tx, None, DAY + second) == 0
        assert await reasons(tx) == ["its time has come"]


async def test_a_document_that_comes_after_the_time_wakes_whose_time_it_is_too(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await planned(tx, START)
        assert await application.wake_ledgers(tx, ["supplier/other"], DAY) == 1


async def test_a_plan_made_after_the_time_is_not_woken_again(database: Database) -> None:
    async with database.transaction() as tx:
        await planned(tx, START, call("a", START))
        await planned(tx, call("a"))
        rows = await tx.fetch("select kind, state, reason from step order by id")
        assert [tuple(r) for r in rows] == [
            ("wait", "done", "its time has come"),
            ("call", "ready", ""),
        ]
        assert await application.wake_ledgers(tx, None, DAY) == 0


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "in_flight", "in_doubt", "failed"])
async def test_every_open_step_wakes_its_ledger_until_it_is_planned_anew(
    database: Database, state: str
) -> None:
    later = DAY + timedelta(days=1)
    async with database.transaction() as tx:
        await planned(tx, call("a", wake_at=DAY), call("b"))
        await tx.execute("update step set state = $1 where object_id = 'a'", state)
        assert await application.wake_ledgers(tx, None, DAY) == 1
        await tx.execute("delete from pending")
        await planned(tx, call("a", wake_at=later), call("b"))
        assert await application.wake_ledgers(tx, None, DAY) == 0
        assert await application.wake_ledgers(tx, None, later) == 1


@pytest.mark.parametrize("state", ["done", "cancelled", "superseded"])
async def test_a_settled_step_wakes_nobody(database: Database, state: str) -> None:
    async with database.transaction() as tx:
        await planned(tx, call("a", wake_at=DAY), call("b"))
        await tx.execute("update step set state = $1 where object_id = 'a'", state)
        assert await application.wake_ledgers(tx, None, DAY) == 0


async def test_what_is_overtaken_at_its_target_wakes_nobody(database: Database) -> None:
    async with database.transaction() as tx:
        await planned(tx, call("a", wake_at=DAY), call("b", wake_at=DAY))
        await tx.execute("update step set state = 'in_flight'")
        await planned(tx, call("a", content="other"))
        assert await application.wake_ledgers(tx, None, DAY) == 0


async def late(tx: Tx) -> dict[str, datetime]:
    """When each open step is late."""
    rows = await tx.fetch(
        "select object_id, due_at from step where state not in ('done', 'cancelled')"
    )
    return {r["object_id"]: r["due_at"] for r in rows}


async def test_steps_behind_a_wait_are_late_so_long_after_its_end(database: Database) -> None:
    hour = timedelta(hours=1)
    async with database.transaction() as tx:
        planned_at: datetime = await tx.fetchval("select now()")
        await planned(tx, START, call("a", START), call("b", call("a")), call("c"))
        found = await late(tx)
        assert found == {
            "1": DAY + timedelta(days=1),
            "a": DAY + hour,
            "b": DAY + hour,
            "c": planned_at + hour,
        }
        moved = DAY + timedelta(days=14)
        other = msgspec.structs.replace(
            START, operation=AwaitTime(moved, "it takes effect"), wake_at=moved
        )
        await planned(tx, other, call("a", other), call("b", call("a")), call("c"))
        assert await late(tx) == found | {
            "1": moved + timedelta(days=1),
            "a": moved + hour,
            "b": moved + hour,
        }
        assert await application.wake_ledgers(tx, None, DAY) == 0
        # It holds at once after all: late from now on, and not from a day that is none any more.
        await planned(tx, call("a"), call("b", call("a")), call("c"))
        assert (await late(tx))["a"] == planned_at + hour
