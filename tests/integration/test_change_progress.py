"""How a change gets on is told to those who subscribe, as it happens and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from broker import approvals, book, controls, holds
from broker.change_progress import EVENT
from broker.failpoints import FailPointHit, FailPoints
from broker.herald import Herald
from broker.store import Database, Tx, views
from broker.store import documents as document_rows
from broker.store import ledgers as ledger_rows
from broker.store.documents import NewDocument
from canonical.change import EngineeringChange
from canonical.effects import Put
from ops.change_status import status_of
from tests.fixtures.gearbox import CHANGE as RELEASED
from tests.integration import gearbox_change
from tests.integration.people import principal_in
from tests.integration.toy import Bench, bench_on

NUMBER = "ECO-2001"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@pytest.fixture
async def database(bench: Bench) -> AsyncIterator[Database]:
    """As a service has it whose configuration names a subscriber, with the change half-way."""
    database = Database(
        url=bench.url, purpose="asked", size=2, acquire_s=5, statement_s=5, subscribed=(EVENT,)
    )
    await database.open()
    try:
        await gearbox_change.seed_in(database)
        yield database
    finally:
        await database.close()


async def told(bench: Bench) -> list[dict[str, Any]]:
    """What the events say, in order."""
    rows = await bench.rows(
        "select m.body from outbox o"
        " join message m on m.at = o.message_at and m.seq = o.message_seq"
        f" where o.routing_key = '{EVENT}' order by o.id"
    )
    return [msgspec.json.decode(row["body"]) for row in rows]


async def statuses(bench: Bench) -> list[str]:
    return [event["status"] for event in await told(bench)]


async def do(database: Database, work: Callable[[Tx], Awaitable[object]]) -> None:
    async with database.transaction() as tx:
        await work(tx)


async def settle_the_rest(bench: Bench, database: Database) -> None:
    """Whatever is called from now on succeeds; the BOM that failed stays so."""
    await bench.execute("update step set next_at = now() where state = 'in_doubt'")
    while True:
        async with database.transaction() as tx:
            if not (claimed := await gearbox_change.claim(tx)):
                return
            await book.settle_calls(tx, [gearbox_change._applied(step) for step in claimed])


async def test_it_begins_and_is_blocked_once_nothing_goes_on_by_itself(
    bench: Bench, database: Database
) -> None:
    # One BOM has failed and a question is open, but an answer is still to be looked up.
    assert await statuses(bench) == ["started"]
    await settle_the_rest(bench, database)
    begun, blocked = await told(bench)
    assert (begun["number"], begun["version"], begun["blocked_by"]) == (NUMBER, 2, [])
    assert blocked["title"] == "Gearbox: new input shaft"
    by = {each["owner"]: (each["reason"], each["steps"]) for each in blocked["blocked_by"]}
    owners = await bench.column(
        "select distinct owner from step where state = 'failed'"
        " or (kind = 'approval' and state = 'ready') or (kind = 'wait' and state = 'waiting')"
    )
    assert by.keys() == set(owners)
    asks = "Supplier 17300003 is not qualified: may GB-120 be bought there?"
    assert by["quality"] == (asks, 1)
    [failed] = [reason for reason, _ in by.values() if gearbox_change.FAILED_BOM in reason]
    assert "BOM_COMPONENT_NOT_IN_PLANT" in failed


async def test_what_is_the_same_is_not_told_again(bench: Bench, database: Database) -> None:
    await settle_the_rest(bench, database)
    before = await told(bench)
    async with database.transaction() as tx:
        origin = await gearbox_change.known_origin(tx)
        same = book.Planned(gearbox_change.plan(), origin)
        await book.apply_plans(tx, [same], datetime.now(UTC))
    assert await told(bench) == before


async def test_a_pause_and_its_end_are_told(bench: Bench, database: Database) -> None:
    about = {"numbers": [NUMBER], "by": "eve", "reason": "wrong drawing"}
    await do(database, lambda tx: controls.pause(tx, **about))  # type: ignore[arg-type]
    await do(database, lambda tx: controls.resume(tx, **about))  # type: ignore[arg-type]
    _, paused, resumed = await told(bench)
    [by] = paused["blocked_by"]
    assert (by["owner"], by["steps"]) == ("eve", 0)
    assert by["reason"].startswith("held: wrong drawing, by eve since ")
    assert (paused["status"], resumed["status"]) == ("blocked", "started")


def herald(bench: Bench, database: Database, fail_points: str = "") -> Herald:
    return Herald(
        database=database,
        watches={},
        subscribed=(EVENT,),
        fail_points=FailPoints.parse(fail_points),
    )


async def hold_erp(database: Database, by: str = "eve") -> None:
    await do(
        database,
        lambda tx: holds.place(tx, kind="system", value="erp", by=by, reason="maintenance"),
    )


async def release(database: Database, number: int) -> None:
    await do(
        database,
        lambda tx: holds.release(tx, hold_id=number, by="eve", reason="maintenance is over"),
    )


async def blockers_shown(database: Database) -> list[tuple[str, str]]:
    """Step by step, as `change show` and the console say it: who is waited for, and why."""
    async with views.snapshot(database) as tx:
        view = await views.change(tx, NUMBER)
    assert view is not None
    held = [step for step in status_of(view, datetime.now(UTC)).steps if step.state == "in_doubt"]
    return [(step.identity, step.waits_for) for step in held]


async def test_a_hold_and_its_end_are_told_though_no_step_moves(
    bench: Bench, database: Database
) -> None:
    ours = herald(bench, database)
    await ours.turn()
    assert await statuses(bench) == ["started"]
    await hold_erp(database)
    for _ in range(2):
        await ours.turn()
    assert await statuses(bench) == ["started", "blocked"]
    [by] = [b for b in (await told(bench))[-1]["blocked_by"] if b["owner"] == "eve"]
    assert by["reason"].startswith("held: maintenance, by eve since ")
    assert by["steps"] == 1
    [(_, shown)] = await blockers_shown(database)
    assert shown == by["reason"]
    await release(database, 1)
    for _ in range(2):
        await ours.turn()
    assert await statuses(bench) == ["started", "blocked", "started"]


async def test_what_comes_to_a_stand_behind_a_hold_is_told_with_the_commit(
    bench: Bench, database: Database
) -> None:
    await settle_the_rest(bench, database)
    await hold_erp(database)
    [asked] = await bench.rows("select id, digest from step where kind = 'approval'")
    quinn = await principal_in(database, "quinn", "quality")
    await do(
        database,
        lambda tx: approvals.decide(
            tx,
            step_id=asked["id"],
            digest=asked["digest"].hex(),
            verdict="approved",
            by=quinn,
            reason="audited last week",
        ),
    )
    # The call that the decision set free would go on but for the hold.
    blocked = (await told(bench))[-1]
    assert blocked["status"] == "blocked"
    assert [b["steps"] for b in blocked["blocked_by"] if b["owner"] == "eve"] == [1]
    assert "quality" not in {b["owner"] for b in blocked["blocked_by"]}


async def test_a_hold_that_came_and_went_between_two_looks_is_no_news(
    bench: Bench, database: Database
) -> None:
    ours = herald(bench, database)
    await ours.turn()
    await hold_erp(database)
    await release(database, 1)
    await ours.turn()
    assert await statuses(bench) == ["started"]


async def test_what_a_process_before_had_not_told_is_told_by_the_next_one(
    bench: Bench, database: Database
) -> None:
    await hold_erp(database)
    await herald(bench, database).turn()
    await release(database, 1)
    with pytest.raises(FailPointHit):
        await herald(bench, database, "herald.before_commit:raise:1").turn()
    assert await statuses(bench) == ["started", "blocked"]
    await herald(bench, database).turn()
    assert await statuses(bench) == ["started", "blocked", "started"]


async def test_a_change_that_somebody_is_at_work_on_is_looked_at_once_it_is_free(
    bench: Bench, database: Database
) -> None:
    ours = herald(bench, database)
    await ours.turn()
    await hold_erp(database)
    async with database.transaction() as tx:
        await ledger_rows.lock_ledgers(tx, [1])
        assert not await ours.turn()
        assert await statuses(bench) == ["started"]
    await ours.turn()
    assert await statuses(bench) == ["started", "blocked"]


async def test_a_decision_that_lets_it_go_on_is_told(bench: Bench, database: Database) -> None:
    await settle_the_rest(bench, database)
    [asked] = await bench.rows("select id, digest from step where kind = 'approval'")
    quinn = await principal_in(database, "quinn", "quality")
    async with database.transaction() as tx:
        await approvals.decide(
            tx,
            step_id=asked["id"],
            digest=asked["digest"].hex(),
            verdict="approved",
            by=quinn,
            reason="audited last week",
        )
    assert await statuses(bench) == ["started", "blocked", "started"]


async def test_its_end_is_told_and_nothing_of_what_ended_before_anybody_asked(
    bench: Bench, database: Database
) -> None:
    await settle_the_rest(bench, database)
    ends = {"number": NUMBER, "by": "eve", "reason": "not wanted", "now": datetime.now(UTC)}
    await do(database, lambda tx: controls.cancel(tx, **ends))  # type: ignore[arg-type]
    assert await statuses(bench) == ["started", "blocked", "cancelled"]
    await bench.execute("update ledger set told = ''")
    async with database.transaction() as tx:
        origin = await gearbox_change.known_origin(tx)
        again = msgspec.structs.replace(gearbox_change.plan(), steps=(), cancels=True)
        await book.apply_plans(tx, [book.Planned(again, origin)], datetime.now(UTC))
    assert len(await told(bench)) == 3


async def test_its_plm_finds_it_by_the_id_that_it_gave(bench: Bench, database: Database) -> None:
    released = msgspec.structs.replace(RELEASED, number=NUMBER, source_id="CHG9")
    assert isinstance(released, EngineeringChange)
    async with database.transaction() as tx:
        position = await gearbox_change.first_position(tx)
        put = Put(gearbox_change.CHANGE, 2, released)
        await document_rows.store(tx, document_rows.as_rows([NewDocument(put, "plm", position)]))
    await settle_the_rest(bench, database)
    assert [event["source_id"] for event in await told(bench)] == ["", "CHG9"]


async def test_nobody_is_told_who_does_not_ask(bench: Bench) -> None:
    await gearbox_change.seed(bench.url)
    assert await told(bench) == []
    assert await bench.column("select told from ledger") == [""]
