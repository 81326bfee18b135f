"""Decisions of people on approval steps: the content decided on is the content that was shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from broker import book
from broker.authority import may_do, put_on_record
from broker.emission import emission, lane_following
from broker.ledger import LedgerStep, Move
from broker.principals import Decision, Deed, Principal, Refused, may_be_delegate, may_see, signers
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import comments as comment_rows
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
from canonical.text import normalise_text

# Characters of a comment.
MOST_SAID = 2_000

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
    return _deed(asked, verdict)


def _deed(asked: Approval, verdict: Verdict) -> Deed:
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


async def deed_of_commenting(tx: Tx, step_id: int) -> Deed:
    """What saying something of that question takes; which plants one has to have is seen by
    `comment`.

    Raises: Rejected("not-found").
    """
    asked = await _asked(tx, step_id)
    return Deed(action="task-comment", subject=_subject(asked), correlation_id=asked.correlation_id)


async def comment(tx: Tx, *, step_id: int, said: str, by: Principal) -> None:
    """Something is said of the question, open or decided, on record; it decides nothing, and stays
    with the question when that is asked anew.

    said: up to `MOST_SAID` characters. by: who may do what `deed_of_commenting` says.
    Raises: Rejected("not-found"), Rejected("comment-empty"); Refused where the question is about
    plants of which none is theirs; InvalidMessage for text that is too long or hides something.
    """
    asked = await _asked(tx, step_id)
    if unseen := may_see(by, f"task {step_id}", asked.plants):
        raise unseen
    text = normalise_text(said.strip(), where="comment", max_chars=MOST_SAID)
    if not text:
        raise Rejected(
            "comment-empty",
            "The comment says nothing",
            where=f"task {step_id}",
            remedy="Say what others should know before they decide",
        )
    if not await comment_rows.add(tx, step_id=step_id, by=by.name, said=text):
        raise RuntimeError(f"{by.name!r} commented on task {step_id}, and one of them is gone")
    detail = {"task": step_id, "comment": text}
    await message_rows.write_audit(
        tx, [Note(by.name, "task-commented", _subject(asked), asked.correlation_id, detail)]
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
    note = Note(
        by.name,
        "task-delegated",
        _subject(asked),
        ledger.correlation_id,
        {"task": step_id, "to": to, "reason": reason},
        before={"delegates": [who for who, whose in asked.delegations.items() if whose == by.name]},
        after={"delegates": [to]},
    )
    await message_rows.write_audit(tx, [note])


async def _step(tx: Tx, ledger: Ledger, step_id: int) -> LedgerStep:
    return (await _steps(tx, [ledger.id]))[step_id]


async def _steps(tx: Tx, ledger_ids: Iterable[int]) -> dict[int, LedgerStep]:
    """By id, the steps of ledgers that are locked."""
    loaded = await step_rows.load_steps(tx, ledger_ids)
    return {step.id: step for steps in loaded.values() for step in steps}


def _signed(history: Sequence[Decision], digest: str) -> frozenset[str]:
    """Who has approved this content, and in whose place."""
    in_place = [msgspec.structs.replace(d, by=d.in_place_of or d.by) for d in history]
    return frozenset((*signers(history, digest), *signers(in_place, digest)))


async def deed_of_all(tx: Tx, step_ids: Sequence[int], verdict: Verdict) -> Deed:
    """What deciding all of these takes, which are asked of one role; as `deed`.

    Raises: Rejected("not-found"), Rejected("several-roles").
    """
    before = await _all_asked(tx, step_ids)
    await ledger_rows.lock_ledgers(tx, {each.ledger_id for each in before.values()})
    asked = list((await _all_asked(tx, step_ids)).values())
    roles = {each.role for each in asked}
    if len(roles) != 1:
        raise Rejected(
            "several-roles",
            f"These questions are asked of {len(roles)} roles",
            where=", ".join(sorted(roles)) or "no question is named",
            remedy="Decide those of one role at a time",
        )
    first, *others = asked
    more = f" and {len(others)} more" if others else ""
    return Deed(
        action="task-approve" if verdict == "approved" else "task-reject",
        subject=_subject(first) + more,
        correlation_id=first.correlation_id,
        plants=tuple(sorted({plant for each in asked for plant in each.plants})),
        role=first.role,
        escalated_to=tuple(
            role for role in first.escalated_to if all(role in each.escalated_to for each in others)
        ),
        delegates=tuple(
            name for name in first.delegations if all(name in each.delegations for each in others)
        ),
    )


class Shown(msgspec.Struct, frozen=True):
    """A question as somebody has read it. digest: hex digest of its content."""

    step_id: int
    digest: str


async def decide(
    tx: Tx,
    *,
    step_id: int,
    digest: str,
    verdict: Verdict,
    by: Principal,
    reason: str,
    choice: str = "",
) -> Decided:
    """The decision is recorded; where it was the last one needed, it is announced, and the ledger
    has moved on.

    digest: hex digest of the content that was shown. by: who may do what `deed` says. choice: the
    word that answers a question with choices; such a one is answered by nothing else.
    Raises: Rejected("not-found") if there is no such approval, Rejected("choice-unknown") if it is
    not answered like that; Conflict if it is not open any more or asks something else than what was
    shown: it has to be read and decided again; Refused("signed-already") for the second signature
    of one.
    """
    (decided,) = await decide_all(
        tx, [Shown(step_id, digest)], verdict=verdict, by=by, reason=reason, choice=choice
    )
    return decided


async def decide_all(
    tx: Tx,
    shown: Sequence[Shown],
    *,
    verdict: Verdict,
    by: Principal,
    reason: str,
    choice: str = "",
) -> list[Decided]:
    """All of these questions are decided alike, each on record by itself, or none is.

    Raises: as `decide`.
    """
    ids = [each.step_id for each in shown]
    before = await _all_asked(tx, ids)
    ledgers = await ledger_rows.lock_ledgers(tx, {each.ledger_id for each in before.values()})
    steps = await _steps(tx, ledgers)
    # Once more, now that nobody else can change it.
    asked = await _all_asked(tx, ids)
    found: list[Decided] = []
    moved: set[int] = set()
    for each in shown:
        question, step = asked[each.step_id], steps[each.step_id]
        ledger = ledgers[question.ledger_id]
        _require_open(step, each.digest)
        _require_answer(question, step, verdict, choice)
        decided = await _decide(
            tx, ledger, question, step, verdict=verdict, by=by, reason=reason, choice=choice
        )
        found.append(decided)
        if not decided.missing:
            moved.add(ledger.id)
    await book.advance(tx, [ledgers[ledger_id] for ledger_id in sorted(moved)])
    return found


class Fate(msgspec.Struct, frozen=True):
    """What became of one question of several. refused: why it was not decided; None = it was, as
    `decided` says."""

    step_id: int
    decided: Decided | None = None
    refused: Rejected | Conflict | None = None


async def decide_each(
    tx: Tx,
    shown: Sequence[Shown],
    *,
    verdict: Verdict,
    by: Principal,
    reason: str,
    choice: str = "",
) -> list[Fate]:
    """Each of these questions is decided, where it can be and they may; the others stay as they
    are. Either is on record for each by itself.

    by: whoever acts; what it takes is asked here, of each question.
    """
    ids = [each.step_id for each in shown]
    before = await step_rows.approvals(tx, ids)
    ledgers = await ledger_rows.lock_ledgers(tx, {each.ledger_id for each in before.values()})
    steps = await _steps(tx, ledgers)
    found = await step_rows.approvals(tx, ids)
    refused: dict[int, Rejected | Conflict] = {}
    fit: list[Shown] = []
    for each in shown:
        asked = found.get(each.step_id)
        if asked is None:
            refused[each.step_id] = _unknown(each.step_id)
            continue
        try:
            await _require_fit(
                tx, asked, steps[each.step_id], each, verdict=verdict, by=by, choice=choice
            )
        except (Rejected, Conflict) as failure:
            refused[each.step_id] = failure
            await put_on_record(tx, _deed(asked, verdict), failure, by=by.name)
        else:
            fit.append(each)
    done = await decide_all(tx, fit, verdict=verdict, by=by, reason=reason, choice=choice)
    decided = {each.step_id: one for each, one in zip(fit, done, strict=True)}
    return [
        Fate(each.step_id, decided.get(each.step_id), refused.get(each.step_id)) for each in shown
    ]


async def _require_fit(
    tx: Tx,
    asked: Approval,
    step: LedgerStep,
    shown: Shown,
    *,
    verdict: Verdict,
    by: Principal,
    choice: str,
) -> None:
    """Raises: whatever `decide_all` would, and Refused where they may not."""
    if missing := may_do(by, _deed(asked, verdict)):
        raise missing
    _require_open(step, shown.digest)
    _require_answer(asked, step, verdict, choice)
    if verdict == "approved":
        said = await step_rows.decisions(tx, step.id)
        _require_unsigned(asked, said, step, by)
        _require_same_choice(asked, said, signers(said, shown.digest), choice)


async def _decide(
    tx: Tx,
    ledger: Ledger,
    asked: Approval,
    step: LedgerStep,
    *,
    verdict: Verdict,
    by: Principal,
    reason: str,
    choice: str,
) -> Decided:
    """The question is decided; its ledger has not moved on yet."""
    digest = step.digest.hex()
    said = await step_rows.decisions(tx, step.id)
    before = signers(said, digest)
    in_place_of = asked.delegations.get(by.name, "")
    if verdict == "approved":
        _require_unsigned(asked, said, step, by)
        _require_same_choice(asked, said, before, choice)
    await step_rows.record_decision(
        tx,
        step_id=step.id,
        digest=step.digest,
        verdict=verdict,
        by=by.name,
        in_place_of=in_place_of,
        reason=reason,
        choice=choice,
    )
    # Who decides alone has nobody decide in their place any more.
    await delegation_rows.withdraw(tx, step.id, by.name)
    after = (*before, by.name) if verdict == "approved" else ()
    missing = max(asked.operation.signatures - len(after), 0) if after else 0
    state = "failed" if not after else "ready" if missing else "done"
    if state != "ready":
        names = ", ".join(after or (by.name,))
        words = f"{choice or verdict} by {names}: {reason}"
        await step_rows.move_steps(tx, [Move(step, state, words)])
        await _announce(tx, ledger, asked, verdict, names, reason, choice)
        if verdict == "rejected":
            await case_rows.open_cases(tx, [_refused(asked, step, by.name, reason)])
    detail = {"reason": reason, "content": digest}
    detail |= {"choice": choice} if choice else {}
    detail |= {"in_place_of": in_place_of} if in_place_of else {}
    await message_rows.write_audit(
        tx,
        [
            Note(
                by.name,
                verdict,
                _subject(asked),
                ledger.correlation_id,
                detail,
                before={"state": step.state, "signed_by": before},
                after={"state": state, "signed_by": after},
            )
        ],
    )
    return Decided(after, missing)


async def _locked(tx: Tx, step_id: int) -> tuple[Approval, Ledger]:
    """The approval as it stays until this transaction ends, and its ledger."""
    ledger_id = (await _asked(tx, step_id)).ledger_id
    ledger = (await ledger_rows.lock_ledgers(tx, [ledger_id]))[ledger_id]
    return await _asked(tx, step_id), ledger


async def _asked(tx: Tx, step_id: int) -> Approval:
    return (await _all_asked(tx, [step_id]))[step_id]


async def _all_asked(tx: Tx, step_ids: Sequence[int]) -> dict[int, Approval]:
    """These approvals, in their order."""
    found = await step_rows.approvals(tx, step_ids)
    for step_id in step_ids:
        if step_id not in found:
            raise _unknown(step_id)
    return {step_id: found[step_id] for step_id in step_ids}


def _unknown(step_id: int) -> Rejected:
    return Rejected("not-found", f"There is no approval {step_id}", where=f"task {step_id}")


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


def _require_answer(asked: Approval, step: LedgerStep, verdict: Verdict, choice: str) -> None:
    choices = asked.operation.choices
    if choices and (verdict != "approved" or choice not in choices):
        said = f"{choice!r}" if choice else "yes or no"
        raise Rejected(
            "choice-unknown",
            f"The question is not answered by {said}",
            where=f"task {step.id}",
            remedy=f"Name one of: {', '.join(choices)}",
        )
    if choice and not choices:
        raise Rejected(
            "choice-unknown",
            "The question is answered by yes or no",
            where=f"task {step.id}",
            remedy="Approve or reject it, without a choice",
        )


def _require_unsigned(
    asked: Approval, said: Sequence[Decision], step: LedgerStep, by: Principal
) -> None:
    """Of a person and the one in whose place they act, one signs."""
    digest = step.digest.hex()
    if {by.name, asked.delegations.get(by.name, "")} & _signed(said, digest):
        raise _signed_already(asked, signers(said, digest), by.name, by)


def _require_same_choice(
    asked: Approval, said: Sequence[Decision], before: Sequence[str], choice: str
) -> None:
    """Persons who sign together sign the same."""
    others = {decision.choice for decision in said if decision.by in before}
    if others and others != {choice}:
        raise Conflict(
            "choice-differs",
            f"{', '.join(before)} chose {', '.join(sorted(others))}",
            where=_subject(asked),
            remedy="Agree on one: the same choice has to be signed by all",
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
    tx: Tx, ledger: Ledger, asked: Approval, verdict: Verdict, by: str, reason: str, choice: str
) -> None:
    """The decision is an event, and the cases about its object are closed. by: names of all whose
    decision it is."""
    event = "approval.granted" if verdict == "approved" else "approval.refused"
    about = asked.object_id
    decided = ApprovalDecided(
        change=ledger.key.partition("/")[2],
        question=asked.operation.question,
        about=about,
        by=by,
        at=datetime.now(UTC),
        reason=reason,
        choice=choice,
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


def _refused(asked: Approval, step: LedgerStep, by: str, reason: str) -> Case:
    """Its place names the step, as that of a failed call does: whatever ends the one ends the
    other."""
    return Case(
        code="approval-refused",
        word="business_rule",
        what=f"{by} refused ({reason}): {asked.operation.text}",
        place=f"{asked.ledger_key}: {step.identity}",
        remedy="Correct at its source what was refused, or what it rests on; that plans anew",
        owner="engineering",
        key=asked.ledger_key,
        ledger_key=asked.ledger_key,
    )
