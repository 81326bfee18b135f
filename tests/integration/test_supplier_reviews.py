"""The review in procurement ends with its question: against the stand-in of procurement, with the
database, in the orders in which a decision and the request may meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker import controls, holds
from broker.approvals import Verdict
from handlers.systems.coupa import native, rest
from tests.fixtures.gearbox import RULES
from tests.fixtures.pin_change import CHANGE, SUPPLIER, package, table
from tests.integration.halls import Hall, hall_on

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)
LEDGER = f"supplier-review/{CHANGE}:{SUPPLIER}"
POST = "POST /api/supplier_reviews"


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Hall]:
    """Where a lost answer is asked about only when the test says so."""
    async with hall_on(database_url, tmp_path, rules=RULES, now=NOW, settle_s=3600) as made:
        yield made


async def reviews(hall: Hall) -> list[dict[str, Any]]:
    """What procurement holds of each review: how it stands, and what it came to."""
    rows = await table(hall.urls["procurement"], "supplier_reviews")
    return [{k: row.get(k) for k in ("status", "verdict", "decision-reason")} for row in rows]


def closed(verdict: str, reason: str) -> dict[str, Any]:
    return {"status": "closed", "verdict": verdict, "decision-reason": reason}


OPEN = {"status": "open", "verdict": None, "decision-reason": None}


async def steps(hall: Hall, word: str) -> list[str]:
    """States of all steps with that verb, the oldest first."""
    return await hall.bench.column(f"select state from step where verb = '{word}' order by id")


async def writes(hall: Hall, word: str) -> list[str]:
    """Writes that were tried for steps with that verb."""
    rows = await hall.bench.rows(
        "select a.calls from attempt a join step s on s.id = a.step_id where s.verb = $1"
        " order by a.step_id, a.number",
        word,
    )
    calls = [call for row in rows for call in msgspec.json.decode(row["calls"], type=list[str])]
    return [call for call in calls if not call.startswith("GET ")]


async def cancel(hall: Hall) -> None:
    async with hall.bench.database.transaction() as tx:
        await controls.cancel(
            tx, number=CHANGE, by="ann", reason="not wanted", now=datetime.now(UTC)
        )


async def look_up(hall: Hall) -> None:
    """The time has come to ask what became of a lost answer, and all that follows is done."""
    await hall.bench.column("update step set next_at = now() where state = 'in_doubt' returning id")
    await hall.settle()


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
async def test_a_decision_here_closes_the_review_there(hall: Hall, verdict: Verdict) -> None:
    await hall.send(package("P-1"))
    assert await reviews(hall) == [OPEN]
    await hall.decide(verdict)
    await hall.settle()
    assert await reviews(hall) == [closed(verdict, "ann in Layshaft: audited")]
    assert await hall.ledgers() == {CHANGE: "complete" if verdict == "approved" else "open"}
    assert await steps(hall, "request-review") == ["done"]
    # A ledger of its own, of the same story.
    assert await hall.bench.rows("select key, state from ledger where key not like 'eng%'") == [
        {"key": LEDGER, "state": "complete"}
    ]
    assert len(set(await hall.bench.column("select correlation_id from ledger"))) == 1


async def test_a_change_that_is_cancelled_withdraws_its_review(hall: Hall) -> None:
    await hall.send(package("P-1"))
    await cancel(hall)
    await hall.settle()
    assert await reviews(hall) == [closed("withdrawn", f"{CHANGE} does not need it any more")]
    events = await hall.bench.column(
        "select kind from message where direction = 'out' and kind like 'approval.%' order by seq"
    )
    assert events == ["approval.requested", "approval.withdrawn"]


@pytest.mark.parametrize("end", ["approved", "rejected", "cancelled"])
async def test_what_was_not_asked_for_yet_is_not_asked_for_afterwards(hall: Hall, end: str) -> None:
    async with hall.bench.database.transaction() as tx:
        placed = await holds.place(
            tx, kind="system", value="procurement", reason="maintenance", by="ann"
        )
    await hall.send(package("P-1"))
    assert await steps(hall, "request-review") == ["ready"]
    await (cancel(hall) if end == "cancelled" else hall.decide(end))  # type: ignore[arg-type]
    assert await steps(hall, "request-review") == ["cancelled"]
    async with hall.bench.database.transaction() as tx:
        await holds.release(tx, hold_id=placed.hold.id, reason="over", by="ann")
    await hall.settle()
    assert await steps(hall, "close-review") == ["done"]
    assert await reviews(hall) == []
    assert await writes(hall, "request-review") == await writes(hall, "close-review") == []


@pytest.mark.parametrize("end", ["approved", "rejected", "cancelled"])
@pytest.mark.parametrize("is_applied", [True, False], ids=["applied", "not applied"])
async def test_what_is_in_doubt_is_looked_up_before_the_review_is_closed(
    hall: Hall, is_applied: bool, end: str
) -> None:
    hall.procurement.lost, hall.procurement.is_applied = POST, is_applied
    await hall.send(package("P-1"))
    assert await steps(hall, "request-review") == ["in_doubt"]
    await (cancel(hall) if end == "cancelled" else hall.decide(end))  # type: ignore[arg-type]
    await hall.settle()
    # It is about the same object, so it waits.
    assert await steps(hall, "close-review") == ["ready"]
    assert await reviews(hall) == ([OPEN] if is_applied else [])
    await look_up(hall)
    assert await steps(hall, "close-review") == ["done"]
    assert [row["status"] for row in await reviews(hall)] in ([], ["closed"])
    if is_applied:
        assert await writes(hall, "request-review") == [f"{POST} -> in_doubt"]
        verdict = "withdrawn" if end == "cancelled" else end
        assert [row["verdict"] for row in await reviews(hall)] == [verdict]


async def test_a_close_whose_answer_is_lost_is_made_once(hall: Hall) -> None:
    await hall.send(package("P-1"))
    put = "PUT /api/supplier_reviews/1"
    hall.procurement.lost = put
    await hall.approve()
    assert await steps(hall, "close-review") == ["in_doubt"]
    await look_up(hall)
    assert await steps(hall, "close-review") == ["done"]
    assert await writes(hall, "close-review") == [f"{put} -> in_doubt"]
    assert await reviews(hall) == [closed("approved", "ann in Layshaft: audited")]


async def test_what_procurement_closed_first_stays_as_it_was_closed(hall: Hall) -> None:
    await hall.send(package("P-1"))
    theirs = closed("rejected", "no audit")
    body = msgspec.convert(theirs, native.ReviewChange)
    put = rest.write("PUT", "/api/supplier_reviews/1", body, "theirs").request
    assert (await hall.procurement.perform(put)).status == 200
    await hall.approve()
    assert await steps(hall, "close-review") == ["done"]
    assert await reviews(hall) == [theirs]
