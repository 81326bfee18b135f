"""The review in procurement ends with its question: against the stand-in of procurement, with the
database, in the orders in which a decision and the request may meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker import controls, holds
from broker.approvals import Verdict
from canonical.codec import encode
from canonical.errors import Conflict
from canonical.handler import Delivery
from handlers.systems.coupa import native, rest
from tests.fixtures.gearbox import RULES
from tests.fixtures.pin_change import CHANGE, SUPPLIER, package, table
from tests.integration.halls import Hall, hall_on
from tests.integration.people import principal_in
from tests.integration.toy import until

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


# Decided there


async def decided_there(hall: Hall, verdict: str, *, at: str = "09:00") -> None:
    """Somebody closes the review in procurement, and a client sends its row; it is translated, and
    nothing else has happened yet."""
    body = msgspec.convert(closed(verdict, "no audit"), native.ReviewChange)
    put = rest.write("PUT", "/api/supplier_reviews/1", body, "theirs").request
    await hall.procurement.perform(put)
    (row,) = await table(hall.urls["procurement"], "supplier_reviews")
    row |= {"decided-by": {"login": "mreiter"}, "updated-at": f"2025-03-03T{at}:00+01:00"}
    await hall.take(Delivery("suite", "", encode(row), attributes={"type": "coupa.review"}))


async def audited(hall: Hall) -> list[tuple[str, str, str]]:
    """Of decisions, taken or refused: who, what, and why not."""
    rows = await hall.bench.rows(
        "select actor, action, detail->>'code' as code from audit"
        " where action ~ '^(approved|rejected|task-)' order by id"
    )
    return [(row["actor"], row["action"], row["code"] or "") for row in rows]


async def may_decide(hall: Hall, role: str = "quality") -> None:
    """Procurement is a principal with that role."""
    await principal_in(hall.bench.database, "procurement", role)


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
async def test_a_decision_there_decides_the_question_here(hall: Hall, verdict: str) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, verdict)
    await hall.settle()
    is_approved = verdict == "approved"
    assert await steps(hall, "approve") == ["done" if is_approved else "failed"]
    assert await hall.ledgers() == {CHANGE: "complete" if is_approved else "open"}
    assert await audited(hall) == [("procurement", verdict, "")]
    assert await hall.bench.rows("select by_whom, verdict, reason from decision") == [
        {
            "by_whom": "procurement",
            "verdict": verdict,
            "reason": "mreiter in procurement: no audit",
        }
    ]
    # Their word stands; the stand-in has taken no write of ours after theirs.
    assert await reviews(hall) == [closed(verdict, "no audit")]
    assert await steps(hall, "close-review") == ["done"]
    assert await writes(hall, "close-review") == []


@pytest.mark.parametrize("again", ["approved", "rejected"])
async def test_a_second_word_is_on_record_and_undoes_nothing(hall: Hall, again: str) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "approved")
    await hall.settle()
    await decided_there(hall, again, at="10:00")
    await hall.settle()
    action = "task-approve-refused" if again == "approved" else "task-reject-refused"
    assert await audited(hall) == [
        ("procurement", "approved", ""),
        ("procurement", action, "not-open"),
    ]
    assert await hall.ledgers() == {CHANGE: "complete"}
    assert await steps(hall, "approve") == ["done"]


async def test_the_same_row_twice_is_one_word(hall: Hall) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "approved")
    await decided_there(hall, "approved")
    await hall.settle()
    assert await audited(hall) == [("procurement", "approved", "")]


async def test_what_contradicts_a_decision_here_is_on_record_and_undoes_nothing(
    hall: Hall,
) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "rejected")
    # Before their word is decided on.
    await hall.decide()
    await hall.settle()
    assert await audited(hall) == [
        ("ann", "approved", ""),
        ("procurement", "task-reject-refused", "not-open"),
    ]
    assert await hall.ledgers() == {CHANGE: "complete"}
    assert "approval-refused" not in await hall.bench.cases()


async def test_a_word_that_comes_after_the_change_was_cancelled_is_on_record(hall: Hall) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "approved")
    await cancel(hall)
    await hall.settle()
    assert await audited(hall) == [("procurement", "task-approve-refused", "not-open")]
    assert await hall.ledgers() == {CHANGE: "cancelled"}


@pytest.mark.parametrize(
    ("role", "code"), [("", "principal-unknown"), ("sourcing", "role-missing")]
)
async def test_a_system_that_may_not_decides_nothing_and_somebody_is_told(
    hall: Hall, role: str, code: str
) -> None:
    if role:
        await may_decide(hall, role)
    await hall.send(package("P-1"))
    await decided_there(hall, "approved")
    await hall.settle()
    assert await steps(hall, "approve") == ["ready"]
    assert await audited(hall) == [("procurement", "task-approve-refused", code)]
    assert "decision-not-taken" in await hall.bench.cases()
    await hall.approve()
    assert "decision-not-taken" not in await hall.bench.cases()


async def test_what_is_decided_already_is_no_case_of_a_system_that_may_not(hall: Hall) -> None:
    """What Layshaft closed there comes back as a row."""
    await hall.send(package("P-1"))
    await hall.approve()
    await decided_there(hall, "approved")
    await hall.settle()
    assert await audited(hall) == [
        ("ann", "approved", ""),
        ("procurement", "task-approve-refused", "principal-unknown"),
    ]
    assert "decision-not-taken" not in await hall.bench.cases()


async def test_a_review_of_what_nobody_asked_is_on_record(hall: Hall) -> None:
    await may_decide(hall)
    row = {
        "id": 7,
        "external-ref": "layshaft:ECO-1:S-9",
        "supplier": {"number": "S-9"},
        "status": "closed",
        "verdict": "approved",
        "updated-at": "2025-03-03T09:00:00+01:00",
    }
    await hall.take(Delivery("suite", "", encode(row), attributes={"type": "coupa.review"}))
    await hall.settle()
    assert await audited(hall) == [("procurement", "task-approve-refused", "not-found")]


async def test_of_two_who_decide_in_the_same_instant_one_is_first(hall: Hall) -> None:
    """Their word comes while the transaction of the person here is open: it waits, and is late."""
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "rejected")
    async with hall.deciding():
        theirs = asyncio.create_task(hall.hand_on())
        await until(lambda: is_waiting(hall), "their word waits for the ledger")
    await theirs
    await hall.settle()
    assert await audited(hall) == [
        ("ann", "approved", ""),
        ("procurement", "task-reject-refused", "not-open"),
    ]
    assert await steps(hall, "approve") == ["done"]


async def is_waiting(hall: Hall) -> bool:
    """Whether a transaction of this database waits for a row."""
    return bool(
        await hall.bench.column(
            "select 1 from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


async def test_both_at_once_come_to_one_decision(hall: Hall) -> None:
    await may_decide(hall)
    await hall.send(package("P-1"))
    await decided_there(hall, "rejected")
    here, _ = await asyncio.gather(hall.decide(), hall.hand_on(), return_exceptions=True)
    await hall.settle()
    assert len(await hall.bench.column("select 1 from decision")) == 1
    if isinstance(here, Conflict):
        assert await audited(hall) == [("procurement", "rejected", "")]
        assert await steps(hall, "approve") == ["failed"]
    else:
        assert here is None
        assert [who for who, *_ in await audited(hall)] == ["ann", "procurement"]
        assert await steps(hall, "approve") == ["done"]
