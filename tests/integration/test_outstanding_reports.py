"""A change whose PLM cannot be told is complete all the same, and says what is outstanding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from broker import book, cases, controls
from broker.book import Settled
from broker.change_progress import EVENT
from broker.store import Database, views
from broker.store import calls as call_rows
from broker.store.casebook import Case
from broker.store.change_list import ChangeRow, Wanted, changes
from canonical.codec import encode
from canonical.effects import Plan, Step
from canonical.events import ChangeCompleted
from canonical.operations import Announce, PutItem, ReportImplementation
from ops.change_status import ChangeStatus, dates, status_of, summary
from tests.integration import gearbox_change
from tests.integration.gearbox_change import CHANGE

REPORT = "|plm|engineering-change|ECO-2001|report-implementation"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database, as a service has it whose configuration names a subscriber."""
    made = Database(
        url=database_url, purpose="test", size=2, acquire_s=5, statement_s=5, subscribed=(EVENT,)
    )
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def plan() -> Plan:
    """One item in the ERP, then everybody is told, then the PLM."""
    put = Step(
        "1010", "erp", "item", "GB-100", PutItem(gearbox_change.item("GB-100", "make")), (), "data"
    )
    completed = ChangeCompleted("ECO-2001", 2, "Gearbox", ("1010",), ("GB-100",))
    announce = Announce("engineering-change.completed", CHANGE, msgspec.Raw(encode(completed)))
    about = ("engineering-change", "ECO-2001")
    told = Step("", "layshaft", *about, announce, (put.identity,), "engineering")
    report = ReportImplementation("ECO-2001", "CHG9", "done", "done")
    return Plan(
        key=CHANGE,
        version=2,
        title="Gearbox",
        steps=(put, told, Step("", "plm", *about, report, (told.identity,), "engineering")),
        findings=(),
    )


async def settle(database: Database, system: str, state: str = "done") -> None:
    """What is due there ends so; what fails opens its case."""
    async with database.transaction() as tx:
        claimed = await call_rows.claim_calls(
            tx, lane="standard", systems=[system], limit=10, lease_s=60
        )
        assert claimed
        await book.settle_calls(tx, [_ended(step, state) for step in claimed])


def _ended(claimed: call_rows.ClaimedStep, state: str) -> Settled:
    result = gearbox_change._result(claimed, state, "", "the request is locked", ())
    if state == "done":
        return Settled(result)
    return Settled(
        result,
        case=Case(
            code="refused",
            word="business_rule",
            what="The PLM refused the report: the request is locked",
            place=f"{CHANGE}: {claimed.step.identity}",
            remedy="Unlock the request, then release the step again",
            owner="engineering",
            source="plm",
            ledger_key=CHANGE,
        ),
    )


async def planned(database: Database) -> None:
    async with database.transaction() as tx:
        origin = await gearbox_change.known_origin(tx)
        await book.apply_plans(tx, [book.Planned(plan(), origin)], datetime.now(UTC))


async def status(database: Database) -> ChangeStatus:
    async with views.snapshot(database) as tx:
        view = await views.change(tx, "ECO-2001")
    assert view is not None
    return status_of(view, datetime.now(UTC))


async def listed(database: Database, wanted: Wanted = Wanted()) -> list[ChangeRow]:  # noqa: B008
    async with views.snapshot(database) as tx:
        return list((await changes(tx, wanted, limit=10)).rows)


async def told(database: Database) -> list[tuple[str, str]]:
    """Events, in order, with the status where they say one."""
    async with database.session() as session:
        rows = await session.fetch(
            "select o.routing_key as event, m.body from outbox o"
            " join message m on m.at = o.message_at and m.seq = o.message_seq order by o.id"
        )
    return [(r["event"], msgspec.json.decode(r["body"]).get("status", "")) for r in rows]


@pytest.mark.parametrize("state", ["ready", "failed"])
async def test_it_is_complete_wherever_one_looks_though_its_plm_was_not_told(
    database: Database, state: str
) -> None:
    await planned(database)
    [row] = await listed(database)
    assert (row.stage, row.is_reporting) == ("calls", False)
    await settle(database, "erp")
    if state == "failed":
        await settle(database, "plm", "failed")
    assert await told(database) == [
        (EVENT, "started"),
        ("engineering-change.completed", ""),
        (EVENT, "complete"),
    ]
    [row] = await listed(database, Wanted(stage="reporting"))
    assert (row.stage, row.risk, row.state) == ("reporting", 0, "open")
    assert await listed(database, Wanted(stage="failed")) == []
    found = await status(database)
    assert found.is_reporting
    assert dates(found).startswith("complete; report to the PLM outstanding; opened ")
    whose = "engineering" if state == "failed" else "calls under way"
    assert summary(found) == (
        "2 of 3 done. Complete in every plant and system; report to the PLM outstanding."
        f" Waiting for: {whose}."
    )
    # What is outstanding has an owner and a time of its own.
    [report] = [step for step in found.steps if step.identity == REPORT]
    assert (report.owner, report.due_at > report.changed_at) == ("engineering", True)
    assert len(found.open_cases) == (state == "failed")


async def test_it_is_over_once_the_report_is_made_or_skipped(database: Database) -> None:
    await planned(database)
    await settle(database, "erp")
    await settle(database, "plm", "failed")
    [case] = (await status(database)).open_cases
    async with database.transaction() as tx:
        assert await cases.retry(tx, case_id=case.id, by="eve", reason="unlocked") == "step"
    await settle(database, "plm", "failed")
    assert (await status(database)).is_reporting
    async with database.transaction() as tx:
        await controls.skip(
            tx, number="ECO-2001", step=REPORT, by="eve", reason="the PLM is not used any more"
        )
    found = await status(database)
    assert (found.state, found.is_reporting, found.open_cases) == ("complete", False, ())
    assert [event for event, _ in await told(database)].count("engineering-change.completed") == 1
    assert (await listed(database))[0].stage == "complete"


async def test_a_change_that_is_taken_back_meanwhile_is_not_called_complete(
    database: Database,
) -> None:
    await planned(database)
    await settle(database, "erp")
    async with database.transaction() as tx:
        claimed = await call_rows.claim_calls(
            tx, lane="standard", systems=["plm"], limit=10, lease_s=60
        )
        assert len(claimed) == 1
    async with database.transaction() as tx:
        await controls.cancel(
            tx, number="ECO-2001", by="eve", reason="not wanted", now=datetime.now(UTC)
        )
    found = await status(database)
    assert (found.state, found.ends_as, found.is_reporting) == ("open", "cancelled", False)
    assert not (await listed(database))[0].is_reporting
