"""What the verdicts on a batch come to, as rows to write: pure.

broker.application writes these rows; ledgers are left to it, since what becomes of a plan is known
only once its ledger is locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from broker.decision import Context, Verdict
from broker.emission import emission
from broker.intake import Work
from broker.outcomes import not_applied
from broker.policy import Behind, DeadLetter, Done, Invalid, Park, RetryAt
from broker.reads import read_key, waits_for
from broker.store import Position
from broker.store.casebook import Case
from broker.store.documents import NewDocument
from broker.store.messages import LogEntry, Note
from broker.store.outbox import Emission
from broker.store.pending import READING, NewPending, PendingWork
from canonical.codec import encode
from canonical.effects import Emit, Fetch, Open, Plan, Put
from canonical.errors import Failure

Placed = Sequence[tuple[Verdict, Position]]
"""Verdicts with the places of their messages in the log."""

# The subscription of what came as another content under a known id.
ID_CONFLICT = "id-conflict"


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to write for a batch, the ledgers' apart.

    finished: claimed rows that are done with. passing: those of them that supersede what they have
    passed, with who did it. postponed: claimed rows that go on waiting; reading: for an answer.
    waiting: new unfinished work. documents: the last statement about each. said: events, verdict by
    verdict. cases: those with a ledger_key hold only if the plan they were said with is the last
    one its ledger takes. outcomes: what the inbox is to say.
    """

    finished: tuple[PendingWork, ...]
    passing: tuple[tuple[PendingWork, str], ...]
    postponed: tuple[tuple[PendingWork, NewPending], ...]
    reading: tuple[tuple[PendingWork, NewPending], ...]
    waiting: tuple[NewPending, ...]
    documents: tuple[NewDocument, ...]
    said: tuple[tuple[Emission, ...], ...]
    cases: tuple[Case, ...]
    notes: tuple[Note, ...]
    outcomes: Mapping[tuple[str, str, str], str]

    @property
    def is_unfinished(self) -> bool:
        """Whether rows of unfinished work come, change or go, so that some may be due now."""
        return bool(self.finished or self.passing or self.postponed or self.reading or self.waiting)


def consequences(
    verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
) -> Consequences:
    """All rows the verdicts come to; nothing is looked up and nothing written."""
    placed = list(zip(verdicts, positions, strict=True))
    unfinished = [(v.work, _unfinished(v, p, context)) for v, p in placed]
    return Consequences(
        finished=tuple(w.pending for w, row in unfinished if w.pending and row is None),
        passing=_passing(verdicts),
        postponed=tuple(
            (w.pending, row) for w, row in unfinished if w.pending and row and not row.is_reading
        ),
        reading=tuple(
            (w.pending, row) for w, row in unfinished if w.pending and row and row.is_reading
        ),
        waiting=tuple(
            row
            for (w, own), (v, p) in zip(unfinished, placed, strict=True)
            for row in (*_arrived(w, own), *_read_by_the_way(v, p, context))
        ),
        documents=_documents(placed),
        said=tuple(_said(v) for v in verdicts),
        cases=tuple(case for v, p in placed for case in _cases(v, p)),
        notes=tuple(note for v in verdicts for note in _notes(v)),
        outcomes=not_applied(verdicts),
    )


def case_of(failure: Failure, work: Work, position: Position) -> Case:
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


def under_own_identity(entry: LogEntry) -> LogEntry:
    """A second content under a known id, as it is kept beside the first."""
    own = f"{entry.envelope.id}#{entry.digest.hex()[:16]}"
    envelope = msgspec.structs.replace(entry.envelope, id=own)
    return msgspec.structs.replace(entry, subscription=ID_CONFLICT, envelope=envelope, logged=None)


def stale_plan(plan: Plan, work: Work) -> Note:
    """The ledger knows a newer version: the plan says nothing, but is on record."""
    return _stale(work, plan.key, {"version": plan.version, "message": work.entry.envelope.id})


def _unfinished(verdict: Verdict, position: Position, context: Context) -> NewPending | None:
    """The row in which a message waits; None where it is done with."""
    work = verdict.work
    state, due_at, attempts, reason = "in_case", context.now, 1, ""
    match verdict.fate:
        case Done():
            return _reading(verdict, position, context)
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


def _arrived(work: Work, row: NewPending | None) -> tuple[NewPending, ...]:
    """The row of a message that has none yet; without a key nothing waits."""
    return (row,) if row and row.key and not work.pending else ()


def _reading(verdict: Verdict, position: Position, context: Context) -> NewPending | None:
    """The row in which a message waits for the answer that it asks for; None where it does not."""
    fetches = [fetch for fetch in _fetches(verdict) if not fetch.is_by_the_way]
    if not fetches:
        return None
    (fetch,) = fetches
    return _place_of_answer(fetch, verdict.work, position, context)


def _read_by_the_way(
    verdict: Verdict, position: Position, context: Context
) -> tuple[NewPending, ...]:
    """Rows for the answers that a message asks for and does not wait for."""
    return tuple(
        _place_of_answer(fetch, verdict.work, position, context)
        for fetch in _fetches(verdict)
        if fetch.is_by_the_way
    )


def _fetches(verdict: Verdict) -> list[Fetch]:
    return [effect for effect in verdict.effects if isinstance(effect, Fetch)]


def _place_of_answer(fetch: Fetch, work: Work, position: Position, context: Context) -> NewPending:
    """The row that keeps the place of an answer among the messages of its key."""
    scope, key = waits_for(fetch, work)
    return NewPending(
        subscription=work.entry.subscription,
        scope=scope,
        key=key,
        lane=work.lane,
        position=position,
        state=READING,
        due_at=context.now,
        reason=f"waits for {fetch.kind} {fetch.id} to be read at {fetch.system}",
        merge_key=read_key(fetch),
    )


def _passing(verdicts: Sequence[Verdict]) -> tuple[tuple[PendingWork, str], ...]:
    """What a finished row has passed is superseded by it, unless it said nothing new itself."""
    return tuple(
        (v.work.pending, f"message {v.work.entry.envelope.id}")
        for v in verdicts
        if v.work.pending is not None and v.work.pending.passed
        if isinstance(v.fate, Done) and v.fate != Done("stale")
    )


def _documents(placed: Placed) -> tuple[NewDocument, ...]:
    latest: dict[str, NewDocument] = {}
    for verdict, position in placed:
        work, source = verdict.work, verdict.work.entry.envelope.source
        for key, put in {e.key: e for e in verdict.effects if isinstance(e, Put)}.items():
            writes = latest[key].writes + 1 if key in latest else 1
            latest[key] = NewDocument(put, source, position, work.cause, writes)
    return tuple(latest.values())


def _said(verdict: Verdict) -> tuple[Emission, ...]:
    # A plan made anew says again what the first one said; its events went out then.
    if verdict.work.pending and verdict.work.pending.is_replan:
        return ()
    envelope = verdict.work.entry.envelope
    return tuple(
        emission(
            effect.event,
            effect.key,
            encode(effect.data),
            lane=effect.lane,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.id,
        )
        for effect in verdict.effects
        if isinstance(effect, Emit)
    )


def _cases(verdict: Verdict, position: Position) -> list[Case]:
    """What went wrong, and what the handler wants a person to look at."""
    match verdict.fate:
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            return [case_of(failure, verdict.work, position)]
    envelope = verdict.work.entry.envelope
    ledger_key = next((e.key for e in verdict.effects if isinstance(e, Plan)), "")
    return [
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
            ledger_key=ledger_key,
            origin="plan" if ledger_key else "message",
        )
        for effect in verdict.effects
        if isinstance(effect, Open)
    ]


def _notes(verdict: Verdict) -> list[Note]:
    """What was older than what is known writes nothing but is on record."""
    work, envelope = verdict.work, verdict.work.entry.envelope
    notes = [
        _stale(
            work, put.key, {"version": put.version, "stated": put.stated, "message": envelope.id}
        )
        for put in verdict.stale
    ]
    if verdict.fate == Done("superseded"):
        detail = {"version": work.version, "message": envelope.id}
        notes.append(
            Note(envelope.source, "superseded", envelope.key, envelope.correlation_id, detail)
        )
    return notes


def _stale(work: Work, subject: str, detail: Mapping[str, str | int | None]) -> Note:
    envelope = work.entry.envelope
    return Note(envelope.source, "stale-refused", subject, envelope.correlation_id, detail)
