"""Decisions of people on approval steps: the content decided on is the content that was shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from broker import book
from broker.emission import emission
from broker.ledger import Move
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import steps as step_rows
from broker.store.casebook import Case
from broker.store.messages import Note
from canonical.codec import encode
from canonical.errors import Conflict, Rejected
from canonical.events import ApprovalDecided
from canonical.operations import Approve

Verdict = Literal["approved", "rejected"]


async def decide(
    tx: Tx, *, step_id: int, digest: str, verdict: Verdict, by: str, reason: str
) -> None:
    """The decision is recorded, announced, and the ledger has moved on.

    digest: hex digest of the content that was shown.
    Raises: Rejected("not-found") if there is no such approval; Conflict if it is not open any
    more or asks something else than what was shown: it has to be read and decided again.
    """
    approval = await step_rows.approval(tx, step_id)
    if approval is None:
        raise Rejected("not-found", f"There is no approval {step_id}", where=f"task {step_id}")
    ledgers = await ledger_rows.lock_ledgers(tx, [approval.ledger_id])
    ledger = ledgers[approval.ledger_id]
    steps = (await step_rows.load_steps(tx, [ledger.id]))[ledger.id]
    step = next(s for s in steps if s.id == step_id)
    if step.state != "ready":
        raise Conflict(
            "not-open",
            f"The approval is {step.state}, not open",
            where=f"task {step_id}",
            remedy="Look at the change: somebody decided, or it is not needed any more",
        )
    if step.digest.hex() != digest:
        raise Conflict(
            "content-changed",
            "What is asked has changed since it was shown",
            where=f"task {step_id}",
            remedy="Read it again and decide on what it says now",
        )
    state = "done" if verdict == "approved" else "failed"
    note = f"{verdict} by {by}: {reason}"
    await step_rows.move_steps(tx, [Move(step, state, note)])
    await step_rows.record_decision(
        tx, step_id=step_id, digest=step.digest, verdict=verdict, by=by, reason=reason
    )
    await _announce(tx, ledger, approval.operation, verdict, approval.object_id, by, reason)
    await book.advance(tx, [ledger])


async def _announce(
    tx: Tx,
    ledger: ledger_rows.Ledger,
    operation: Approve,
    verdict: Verdict,
    about: str,
    by: str,
    reason: str,
) -> None:
    event = "approval.granted" if verdict == "approved" else "approval.refused"
    decided = ApprovalDecided(
        change=ledger.key.partition("/")[2],
        question=operation.question,
        about=about,
        by=by,
        at=datetime.now(UTC),
        reason=reason,
    )
    await outbox_rows.emit(
        tx,
        [
            emission(
                event,
                ledger.key,
                encode(decided),
                lane=ledger.lane,
                correlation_id=ledger.correlation_id,
                causation_id=f"decision by {by}",
            )
        ],
    )
    subject = f"{ledger.key}: {operation.question} {about}"
    await message_rows.write_audit(
        tx, [Note(by, verdict, subject, ledger.correlation_id, {"reason": reason})]
    )
    await case_rows.close_cases(tx, about=about, ledger_key=ledger.key, by=by)
    if verdict == "rejected":
        await case_rows.open_cases(tx, [_refused(ledger, operation, about, by, reason)])


def _refused(
    ledger: ledger_rows.Ledger, operation: Approve, about: str, by: str, reason: str
) -> Case:
    return Case(
        code="approval-refused",
        word="business_rule",
        what=f"{by} refused ({reason}): {operation.text}",
        place=f"{ledger.key}: {operation.question} {about}",
        remedy="Choose another source or change the order in PLM; a newer release plans anew",
        owner="engineering",
        key=ledger.key,
        ledger_key=ledger.key,
    )
