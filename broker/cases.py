"""What people do with exception cases: try the cause again after a repair, or let it go."""

from __future__ import annotations

from typing import Literal

from broker import book, consent, left_behind
from broker.ledger import LedgerStep, Move
from broker.principals import Action, Deed
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import cases as rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import pending as pending_rows
from broker.store import steps as step_rows
from broker.store.cases import OpenCase
from broker.store.messages import Note
from canonical.effects import is_identity, parts_of_identity
from canonical.errors import Conflict, Rejected

Released = Literal["message", "step"]


async def deed(tx: Tx, action: Action, case_id: int) -> Deed:
    """What settling that case takes: where it names a failed step of a plant, that plant.

    Raises: Rejected("not-found").
    """
    case = await _found(tx, case_id)
    prefix = f"{case.ledger_key}: "
    identity = case.place.removeprefix(prefix)
    is_step = case.place.startswith(prefix) and is_identity(identity)
    plant = parts_of_identity(identity).plant if is_step else ""
    return Deed(
        action=action,
        subject=case.place,
        correlation_id=case.correlation_id,
        plants=(plant,) if plant else (),
    )


async def retry(tx: Tx, *, case_id: int, by: str, reason: str) -> Released:
    """What the case is about is tried again, and the case is closed.

    A message goes down the path once more, those behind it follow; a failed step may be sent
    again. What goes wrong again opens a new case.
    Raises: Rejected("not-found"); Rejected("nothing-to-retry") where the sender has to send anew;
    Rejected("consent-needed") where a person has to agree to a plan; Conflict("not-open").
    """
    case = await _open_case(tx, case_id)
    if case.ledger_id is not None and case.place == consent.place_of(case.ledger_key):
        raise consent.needed(case.ledger_key)
    stuck = await rows.lock_stuck(tx, case.position) if case.position else None
    if stuck is not None:
        await rows.make_ready(tx, stuck)
        released: Released = "message"
    elif await _move_failed_call(tx, case, "ready", f"released by {by}: {reason}"):
        released = "step"
    else:
        raise Rejected(
            "nothing-to-retry",
            "Nothing waits in this case: nobody could read its message, or it said too little",
            where=f"case {case_id}",
            remedy="Can it be read now, layshaft replay start --mode redeliver --case"
            f" {case_id}; else have the sender correct it and send it again, then close the case",
        )
    await _resolve(tx, case, "case-retried", by, reason)
    if released == "step":
        # That it failed, and that it waited too long, may be two cases.
        await case_rows.close_cases(tx, about=case.place, ledger_key=case.ledger_key, by=by)
    if stuck is not None:
        await rows.park_without_case(tx, stuck)
    return released


async def discard(tx: Tx, *, case_id: int, by: str, reason: str) -> bool:
    """The case is closed; its message, if one waits in it or for what could not be read, is let go
    and the next one goes on.

    Returns whether a message was let go; it stays in the log.
    Raises: Rejected("not-found"), Conflict("not-open").
    """
    case = await _open_case(tx, case_id)
    if case.position:
        stuck = await rows.lock_stuck(tx, case.position)
    else:
        stuck = await rows.lock_reading(tx, case.ledger_key)
        if stuck is not None:
            await _move_failed_call(tx, case, "cancelled", f"let go by {by}: {reason}")
    if case.ledger_id is not None and case.place == left_behind.place_of(case.ledger_key):
        await left_behind.decide(tx, case.ledger_id, by=by, reason=reason)
    if case.ledger_id is not None and case.place == consent.place_of(case.ledger_key):
        # Nobody has agreed: it is asked again as soon as something would have it planned anew.
        await ledger_rows.ask_for_consent(tx, [case.ledger_id], "")
    await _resolve(tx, case, "case-closed", by, reason)
    if stuck is not None:
        await rows.park_without_case(tx, stuck)
        await pending_rows.finish_pending(tx, [stuck.work])
    if stuck is None or stuck.is_by_the_way:
        return False
    identity = (stuck.work.subscription, stuck.source, stuck.message_id)
    await message_rows.set_outcomes(tx, {identity: "discarded"})
    return True


async def read_at_last(tx: Tx, *, case_id: int, by: str, reason: str) -> None:
    """The case of a message that nobody could read is closed: it is read now and goes its way.

    Raises: Rejected("not-found"), Conflict("not-open").
    """
    await _resolve(tx, await _open_case(tx, case_id), "case-replayed", by, reason)


async def _found(tx: Tx, case_id: int) -> OpenCase:
    case = await rows.find(tx, case_id)
    if case is None:
        raise Rejected("not-found", f"There is no case {case_id}", where=f"case {case_id}")
    return case


async def _open_case(tx: Tx, case_id: int) -> OpenCase:
    case = await _found(tx, case_id)
    if case.state != "open":
        raise _not_open(case)
    return case


async def _move_failed_call(tx: Tx, case: OpenCase, state: str, why: str) -> bool:
    """The failed call the case names is in that state, and what it held back goes on."""
    if case.ledger_id is None:
        return False
    ledger = (await ledger_rows.lock_ledgers(tx, [case.ledger_id]))[case.ledger_id]
    steps = (await step_rows.load_steps(tx, [ledger.id]))[ledger.id]
    step = _failed_call(steps, case)
    if step is None:
        return False
    await step_rows.move_steps(tx, [Move(step, state, why)])
    await book.advance(tx, [ledger])
    return True


def _failed_call(steps: list[LedgerStep], case: OpenCase) -> LedgerStep | None:
    return next(
        (
            s
            for s in steps
            if s.kind == "call"
            and s.state == "failed"
            and case.place == f"{case.ledger_key}: {s.identity}"
        ),
        None,
    )


async def _resolve(tx: Tx, case: OpenCase, action: str, by: str, reason: str) -> None:
    if not await rows.resolve(tx, case.id, by):
        raise _not_open(case)
    note = Note(
        by,
        action,
        case.place,
        case.correlation_id,
        {"case": case.id, "code": case.code, "reason": reason},
        before={"state": "open"},
        after={"state": "resolved"},
    )
    await message_rows.write_audit(tx, [note])


def _not_open(case: OpenCase) -> Conflict:
    return Conflict(
        "not-open",
        "The case is not open any more",
        where=f"case {case.id}",
        remedy="Look at it: somebody closed it or tried it again",
    )
