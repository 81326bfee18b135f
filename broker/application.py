"""Applying what was decided: all effects of a batch, set-wise, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker import book
from broker.decision import Context, Verdict, id_conflict
from broker.intake import Work
from broker.outcomes import not_applied
from broker.policy import Behind, DeadLetter, Done, Invalid, Park, RetryAt
from broker.repeats import unsaid
from broker.store import Position, Tx
from broker.store import casebook as case_rows
from broker.store import documents as document_rows
from broker.store import history as history_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import outbox as outbox_rows
from broker.store import pending as pending_rows
from broker.store.casebook import Case
from broker.store.documents import NewDocument
from broker.store.outbox import Emission
from broker.store.pending import NewPending, PendingWork
from canonical.codec import encode
from canonical.effects import Emit, Open, Plan, Put
from canonical.errors import Failure


class RaceLost(Exception):
    """Another batch stored a newer statement between our look and our write: decide again."""


async def apply(
    tx: Tx, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
) -> None:
    """Everything the verdicts say is written; commits nothing by itself.

    Order of tables as in broker.store, so that two batches never wait for each other in a ring.
    """
    placed = list(zip(verdicts, positions, strict=True))
    await _keep_unfinished(tx, placed, context)
    written = await _store_documents(tx, placed)
    await _emit_events(tx, verdicts)
    stale = await _apply_plans(tx, placed)
    await _open_cases(tx, [(v, p) for v, p in placed if _ledger_key(v) not in stale])
    await _note_stale(tx, verdicts)
    await _note_superseded(tx, verdicts)
    await message_rows.set_outcomes(tx, not_applied(verdicts))
    if written:
        await wake_ledgers(tx, sorted(written), context)


async def wake_ledgers(tx: Tx, keys: Sequence[str] | None, context: Context) -> int:
    """Ledgers that wait for one of these documents are planned again; None looks at every wait.

    The event the ledger follows from goes down the path once more; one such row per ledger.
    """
    waiting = await ledger_rows.newly_known(tx, keys)
    await pending_rows.add_pending(
        tx,
        [
            NewPending(
                subscription=subscription,
                scope=scope,
                key=key,
                lane=lane,
                position=position,
                state="ready",
                due_at=context.now,
                reason="a fact it waited for is known",
                merge_key=f"plan:{ledger_id}",
            )
            for subscription, scope, key, lane, ledger_id, position in waiting
        ],
    )
    return len(waiting)


async def _keep_unfinished(
    tx: Tx, placed: Sequence[tuple[Verdict, Position]], context: Context
) -> None:
    """Retries, cases and successors become rows; claimed rows are finished or put back.

    What a finished row has passed is superseded by it, unless it said nothing new itself.
    """
    new: list[NewPending] = []
    finished: list[PendingWork] = []
    for verdict, position in placed:
        pending, row = verdict.work.pending, _unfinished(verdict, position, context)
        if pending is not None and row is None:
            finished.append(pending)
            if pending.passed and verdict.fate != Done("stale"):
                by = f"message {verdict.work.entry.envelope.id}"
                await pending_rows.supersede_passed(tx, pending, by=by)
        elif pending is not None and row is not None:
            await pending_rows.postpone_pending(tx, pending, row)
        elif row is not None and row.key:
            new.append(row)
    await pending_rows.add_pending(tx, new)
    if finished:
        await pending_rows.finish_pending(tx, finished)


def _unfinished(verdict: Verdict, position: Position, context: Context) -> NewPending | None:
    """The row in which a message waits; None where it is done with. Without a key nothing waits."""
    work = verdict.work
    state, due_at, attempts, reason = "in_case", context.now, 1, ""
    match verdict.fate:
        case Done():
            return None
        case Behind():
            state, attempts, reason = "parked", 0, "waits behind an earlier message of its key"
        case RetryAt(due_at, reason, burns_attempt):
            state, attempts = "retry", int(burns_attempt)
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            reason = failure.code
    scope, key = work.order_key or ("", "")
    return NewPending(
        subscription=work.entry.subscription,
        scope=scope,
        key=key,
        lane=work.lane,
        position=position,
        state=state,
        due_at=due_at,
        attempts=attempts,
        reason=reason,
        version=work.version,
        passes=work.passes,
    )


async def _store_documents(tx: Tx, placed: Sequence[tuple[Verdict, Position]]) -> dict[str, int]:
    """The last statement of the batch about each document is stored."""
    latest: dict[str, NewDocument] = {}
    for verdict, position in placed:
        for effect in verdict.effects:
            if isinstance(effect, Put):
                work = verdict.work
                source = work.entry.envelope.source
                latest[effect.key] = NewDocument(effect, source, position, work.cause)
    if not latest:
        return {}
    written = await document_rows.store(tx, list(latest.values()))
    if len(written) != len(latest):
        raise RaceLost(f"{len(latest) - len(written)} documents were overtaken")
    return written


async def _emit_events(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    replayed = [v for v in verdicts if v.work.pending and v.work.pending.replay_id is not None]
    before = await history_rows.said(tx, [_cause(v) for v in replayed])
    emissions: list[Emission] = []
    for verdict in verdicts:
        # A plan made anew says again what the first one said; its events went out then.
        if not (verdict.work.pending and verdict.work.pending.is_replan):
            emissions += unsaid(_said_by(verdict), before.get(_cause(verdict), ()))
    await outbox_rows.emit(tx, emissions)


def _said_by(verdict: Verdict) -> list[Emission]:
    correlation_id, causation_id = _cause(verdict)
    return [
        book.emission(
            effect.event,
            effect.key,
            encode(effect.data),
            lane=effect.lane,
            correlation_id=correlation_id,
            causation_id=causation_id,
        )
        for effect in verdict.effects
        if isinstance(effect, Emit)
    ]


def _cause(verdict: Verdict) -> history_rows.Cause:
    envelope = verdict.work.entry.envelope
    return envelope.correlation_id, envelope.id


async def _apply_plans(tx: Tx, placed: Sequence[tuple[Verdict, Position]]) -> set[str]:
    """Plans are in their ledgers; keys of those that were stale: they say nothing either."""
    stale: set[str] = set()
    plans = [
        (effect, verdict.effects, verdict.work, position)
        for verdict, position in placed
        for effect in verdict.effects
        if isinstance(effect, Plan)
    ]
    for plan, opened, work, position in sorted(plans, key=lambda p: p[0].key):
        if await book.apply_plan(tx, plan, _origin(work, position), work.lane):
            said = [(e.code, e.where) for e in opened if isinstance(e, Open)]
            await case_rows.close_unsaid_cases(tx, ledger_key=plan.key, said=said)
        else:
            stale.add(plan.key)
            await message_rows.write_audit(
                tx,
                actor=work.entry.envelope.source,
                action="stale-refused",
                subject=plan.key,
                correlation_id=work.entry.envelope.correlation_id,
                detail={"version": plan.version, "message": work.entry.envelope.id},
            )
    return stale


def _origin(work: Work, position: Position) -> book.Origin:
    assert work.handler is not None
    return book.Origin(
        subscription=work.handler.name,
        scope=work.handler.scope,
        source=work.entry.envelope.source,
        message_id=work.entry.envelope.id,
        correlation_id=work.entry.envelope.correlation_id,
        lane=work.lane,
        position=position,
    )


async def _open_cases(tx: Tx, placed: Sequence[tuple[Verdict, Position]]) -> None:
    cases: list[Case] = []
    for verdict, position in placed:
        envelope = verdict.work.entry.envelope
        match verdict.fate:
            case Park(failure) | Invalid(failure) | DeadLetter(failure):
                cases.append(_case_of(failure, verdict.work, position))
        for effect in verdict.effects:
            if isinstance(effect, Open):
                cases.append(
                    Case(
                        code=effect.code,
                        word=effect.word,
                        what=effect.what,
                        place=effect.where,
                        remedy=effect.remedy,
                        owner=effect.owner,
                        source=envelope.source,
                        key=envelope.key,
                        position=position,
                        ledger_key=_ledger_key(verdict),
                        origin="plan" if _ledger_key(verdict) else "message",
                    )
                )
    if cases:
        await case_rows.open_cases(tx, cases)


def _case_of(failure: Failure, work: Work, position: Position) -> Case:
    """The case says what is wrong, in which message, whose turn it is and what to do."""
    envelope = work.entry.envelope
    about = envelope.key or f"message {envelope.id[:16]} from {envelope.source}"
    return Case(
        code=failure.code,
        word=failure.word,
        what=failure.what,
        place=f"{about}: {failure.where}" if failure.where else about,
        remedy=failure.remedy,
        owner=f"{failure.owner} ({envelope.source})"
        if failure.owner == "sender"
        else failure.owner,
        source=envelope.source,
        key=envelope.key,
        position=position,
    )


async def keep_id_conflict(tx: Tx, work: Work) -> None:
    """The second content under a known id is kept under an identity of its own, with a case."""
    entry = work.entry
    kept = msgspec.structs.replace(
        entry,
        subscription="id-conflict",
        envelope=msgspec.structs.replace(
            entry.envelope, id=f"{entry.envelope.id}#{entry.digest.hex()[:16]}"
        ),
        logged=None,
    )
    positions = await message_rows.admit(tx, [kept])
    for position in positions.values():
        await case_rows.open_cases(tx, [_case_of(id_conflict(work), work, position)])


def _ledger_key(verdict: Verdict) -> str:
    return next((e.key for e in verdict.effects if isinstance(e, Plan)), "")


async def _note_stale(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    """A statement older than what is known writes nothing but is on record."""
    for verdict in verdicts:
        for put in verdict.stale:
            envelope = verdict.work.entry.envelope
            await message_rows.write_audit(
                tx,
                actor=envelope.source,
                action="stale-refused",
                subject=put.key,
                correlation_id=envelope.correlation_id,
                detail={"version": put.version, "stated": put.stated, "message": envelope.id},
            )


async def _note_superseded(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    """What a later version has made unnecessary is on record."""
    for verdict in verdicts:
        if verdict.fate == Done("superseded"):
            envelope = verdict.work.entry.envelope
            await message_rows.write_audit(
                tx,
                actor=envelope.source,
                action="superseded",
                subject=envelope.key,
                correlation_id=envelope.correlation_id,
                detail={"version": verdict.work.version, "message": envelope.id},
            )
