"""Decisions of people on approval steps: the content decided on is the content that was shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from broker import book
from broker.emission import emission, lane_following
from broker.ledger import LedgerStep, Move
from broker.principals import Decision, Deed, Principal, Refused, may_be_delegate, signers
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import delegations as delegation_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import principals as principal_rows
from broker.store import steps as step_rows
from broker.store.casebook import Case
from broker.store.ledgers import Ledger
from broker.store.messages import Note
from broker.store.steps import Approval
from canonical.codec import encode
from canonical.errors import Conflict, Rejected
from canonical.events import ApprovalDecided

Verdict = Literal["approved", "rejected"]


class Decided(msgspec.Struct, frozen=True):
    """What became of a question. signed_by: who has approved this content so far; missing: how many
    more have to."""

    signed_by: tuple[str, ...] = ()
    missing: int = 0


async def deed(tx: Tx, step_id: int, verdict: Verdict) -> Deed:
    """What deciding that approval takes; what it rests on stays so to the end of the transaction.

    Raises: Rejected("not-found").
    """
    asked, _ = await _locked(tx, step_id)
    return Deed(
        action="task-approve" if verdict == "approved" else "task-reject",
        subject=_subject(asked),
        correlation_id=asked.correlation_id,
        plants=asked.plants,
        role=asked.role,
        escalated_to=asked.escalated_to,
        delegates=tuple(asked.delegations),
    )


async def deed_of_delegating(tx: Tx, step_id: int) -> Deed:
    """What having somebody decide in one's place takes: being asked oneself.

    Raises: Rejected("not-found").
    """
    asked, _ = await _locked(tx, step_id)
    return Deed(
        action="task-delegate",
        subject=_subject(asked),
        correlation_id=asked.correlation_id,
        plants=asked.plants,
        role=asked.role,
        escalated_to=asked.escalated_to,
    )


async def delegate(tx: Tx, *, step_id: int, to: str, by: Principal, reason: str) -> None:
    """Who is named may decide it in the place of the one who delegates, until that one decides
    alone or names somebody else. Of the two, one signs.

    by: who may do what `deed_of_delegating` says.
    Raises: Rejected("not-found"); Conflict("not-open"); Refused where one of them has signed, or
    the one who is named may decide it anyway, or must not.
    """
    asked, ledger = await _locked(tx, step_id)
    step = await _step(tx, ledger, step_id)
    _require_open(step, step.digest.hex())
    named = await principal_rows.lock(tx, to)
    if named is None or named.is_disabled:
        raise Rejected(
            "not-found",
            f"There is no principal {to}" if named is None else f"{to} is disabled",
            where=f"principal/{to}",
            remedy="See: layshaft token list",
        )
    history = await step_rows.decisions(tx, step_id)
    for name in (by.name, to):
        if name in _signed(history, step.digest.hex()):
            raise _signed_already(asked, signers(history, step.digest.hex()), name, by)
    roles = (asked.role, *asked.escalated_to)
    refused = may_be_delegate(
        named.principal, by, roles=roles, plants=asked.plants, known=asked.delegations
    )
    if refused:
        raise refused
    await delegation_rows.add(tx, step_id, by=by.name, to=to, principal_id=named.id, reason=reason)
    detail = {"task": step_id, "to": to, "reason": reason}
    await message_rows.write_audit(
        tx, [Note(by.name, "task-delegated", _subject(asked), ledger.correlation_id, detail)]
    )


async def _step(tx: Tx, ledger: Ledger, step_id: int) -> LedgerStep:
    steps = (await step_rows.load_steps(tx, [ledger.id]))[ledger.id]
    return next(step for step in steps if step.id == step_id)


def _signed(history: Sequence[Decision], digest: str) -> frozenset[str]:
    """Who has approved this content, and in whose place."""
    in_place = [msgspec.structs.replace(d, by=d.in_place_of or d.by) for d in history]
    return frozenset((*signers(history, digest), *signers(in_place, digest)))


async def decide(
    tx: Tx, *, step_id: int, digest: str, verdict: Verdict, by: Principal, reason: str
) -> Decided:
    """The decision is recorded; where it was the last one needed, it is announced, and the ledger
    has moved on.

    digest: hex digest of the content that was shown. by: who may do what `deed` says.
    Raises: Rejected("not-found") if there is no such approval; Conflict if it is not open any
    more or asks something else than what was shown: it has to be read and decided again;
    Refused("signed-already") for the second signature of one.
    """
    asked, ledger = await _locked(tx, step_id)
    step = await _step(tx, ledger, step_id)
    _require_open(step, digest)
    history = await step_rows.decisions(tx, step_id)
    before = signers(history, digest)
    in_place_of = asked.delegations.get(by.name, "")
    if verdict == "approved" and {by.name, in_place_of} & _signed(history, digest):
        raise _signed_already(asked, before, by.name, by)
    await step_rows.record_decision(
        tx,
        step_id=step_id,
        digest=step.digest,
        verdict=verdict,
        by=by.name,
        in_place_of=in_place_of,
        reason=reason,
    )
    # Who decides alone has nobody decide in their place any more.
    await delegation_rows.withdraw(tx, step_id, by.name)
    after = (*before, by.name) if verdict == "approved" else ()
    missing = max(asked.operation.signatures - len(after), 0) if after else 0
    state = "failed" if not after else "ready" if missing else "done"
    if state != "ready":
        names = ", ".join(after or (by.name,))
        await step_rows.move_steps(tx, [Move(step, state, f"{verdict} by {names}: {reason}")])
        await _announce(tx, ledger, asked, verdict, names, reason)
    await message_rows.write_audit(
        tx,
        [
            Note(
                by.name,
                verdict,
                _subject(asked),
                ledger.correlation_id,
                {"reason": reason, "content": digest}
                | ({"in_place_of": in_place_of} if in_place_of else {}),
                before={"state": step.state, "signed_by": before},
                after={"state": state, "signed_by": after},
            )
        ],
    )
    if state != "ready":
        await book.advance(tx, [ledger])
    return Decided(after, missing)


async def _locked(tx: Tx, step_id: int) -> tuple[Approval, Ledger]:
    """The approval as it stays until this transaction ends, and its ledger."""
    ledger_id = (await _asked(tx, step_id)).ledger_id
    ledger = (await ledger_rows.lock_ledgers(tx, [ledger_id]))[ledger_id]
    return await _asked(tx, step_id), ledger


async def _asked(tx: Tx, step_id: int) -> Approval:
    found = await step_rows.approval(tx, step_id)
    if found is None:
        raise Rejected("not-found", f"There is no approval {step_id}", where=f"task {step_id}")
    return found


def _subject(asked: Approval) -> str:
    return f"{asked.ledger_key}: {asked.operation.question} {asked.object_id}"


def _require_open(step: LedgerStep, digest: str) -> None:
    if step.state != "ready":
        raise Conflict(
            "not-open",
            f"The approval is {step.state}, not open",
            where=f"task {step.id}",
            remedy="Look at the change: somebody decided, or it is not needed any more",
        )
    if step.digest.hex() != digest:
        raise Conflict(
            "content-changed",
            "What is asked has changed since it was shown",
            where=f"task {step.id}",
            remedy="Read it again and decide on what it says now",
        )


def _signed_already(asked: Approval, signed: Sequence[str], name: str, by: Principal) -> Refused:
    missing = asked.operation.signatures - len(signed)
    return Refused(
        "signed-already",
        f"{name} has approved this already, by themselves or by another, and signs once",
        where=f"{len(signed)} of {asked.operation.signatures} have signed: {', '.join(signed)}",
        remedy=f"Ask {missing} more with the role {' or '.join((asked.role, *asked.escalated_to))}:"
        " layshaft token list",
        by=by.name,
    )


async def _announce(
    tx: Tx, ledger: Ledger, asked: Approval, verdict: Verdict, by: str, reason: str
) -> None:
    """The decision is an event, and the cases about it are closed or one is open. by: names of all
    whose decision it is."""
    event = "approval.granted" if verdict == "approved" else "approval.refused"
    about = asked.object_id
    decided = ApprovalDecided(
        change=ledger.key.partition("/")[2],
        question=asked.operation.question,
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
                lane=lane_following(event, ledger.lane),
                correlation_id=ledger.correlation_id,
                causation_id=f"decision by {by}",
            )
        ],
    )
    await case_rows.close_cases(tx, about=about, ledger_key=ledger.key, by=by)
    if verdict == "rejected":
        await case_rows.open_cases(tx, [_refused(asked, by, reason)])


def _refused(asked: Approval, by: str, reason: str) -> Case:
    return Case(
        code="approval-refused",
        word="business_rule",
        what=f"{by} refused ({reason}): {asked.operation.text}",
        place=_subject(asked),
        remedy="Correct the change or what it rests on at its source; a newer release plans anew",
        owner="engineering",
        key=asked.ledger_key,
        ledger_key=asked.ledger_key,
    )
