"""The path of a message. Read this file from top to bottom:

    1 receive   the consumer hands a delivery over (broker.consumer)
    2 gather    whatever has arrived becomes one batch; nobody waits for a fuller one
    3 decide    known ones are absorbed, held ones wait, the others are decided by pure handlers
    4 commit    inbox, documents, ledgers, events and cases in one transaction
    5 settle    one acknowledgement per channel, after the commit; then the relay publishes

Unfinished work (retries, answers, released successors) enters at 3 from its rows instead of a
queue. A crash before 4 leaves nothing: everything comes again. A crash after 4 leaves everything:
what comes again is a duplicate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import perf_counter

import asyncpg
import structlog

from broker.application import RaceLost, apply, keep_id_conflict
from broker.decision import (
    MAX_NEED_ROUNDS,
    Context,
    Desk,
    Verdict,
    broken,
    crashes_the_worker,
    refused_by_database,
)
from broker.failpoints import FailPointHit, FailPoints
from broker.intake import UNREAD, Arrival, Recognise, Work, read_arrival, read_pending, unread
from broker.metrics import Metrics
from broker.policy import (
    Behind,
    DeadLetter,
    Disposition,
    Done,
    Invalid,
    Park,
    RetryAt,
    RetryPolicy,
)
from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store import messages as rows
from canonical.envelope import Lane
from canonical.errors import Misconfigured
from canonical.handler import Handler
from canonical.rules import Rules

log = structlog.get_logger(__name__)

# PostgreSQL accuses a message only with these classes: data exception, integrity, limits.
ACCUSES_A_MESSAGE = ("22", "23", "54")
# Our schema and our code do not fit each other: no message can help that.
STOPS_THE_LANE = ("21", "42")
# The database or the network is away, another batch was faster, or a test asked for it.
NOBODYS_FAULT = (
    asyncpg.InterfaceError,
    # A backend that is killed under a pooled connection leaves its protocol in the middle.
    asyncpg.InternalClientError,
    EOFError,
    OSError,
    TimeoutError,
    Misconfigured,
    RaceLost,
    FailPointHit,
)
CRASHES_UNTIL_QUARANTINE = 3


class Pipeline:
    """Takes batches of one lane along the path. Starts nothing by itself."""

    def __init__(
        self,
        *,
        lane: Lane,
        database: Database,
        recognise: Recognise,
        handler_named: Callable[[str], Handler],
        rules: Rules,
        policy: RetryPolicy,
        metrics: Metrics,
        fail_points: FailPoints,
        committed: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lane = lane
        self._database = database
        self._recognise = recognise
        self._handler_named = handler_named
        self._rules = rules
        self._policy = policy
        self._metrics = metrics
        self._fail_points = fail_points
        self._committed = committed
        self._now = now
        # Deliveries that came back and are in hand: crashes counted so far.
        self._begun: dict[bytes, int] = {}

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """All arrivals are decided and committed: the caller may acknowledge every one.

        Raises only what is not a message's fault: the database is away, the schema does not fit.
        """
        again = [a for a in arrivals if a.redelivered]
        fresh = [a for a in arrivals if not a.redelivered]
        for arrival in again:
            await self._take_carefully(arrival)
        if fresh:
            await self._fail_points("amqp.delivered")
            await self._decide_or_halve([read_arrival(a, self._recognise) for a in fresh])

    async def _take_carefully(self, arrival: Arrival) -> None:
        """A delivery that came back may be what killed us: begun on record, then decided alone.

        Counted once per process: a crash ends the process, a lost database does not.
        """
        fingerprint = arrival.fingerprint
        if fingerprint not in self._begun:
            async with self._database.transaction() as tx:
                self._begun[fingerprint] = await rows.begin_attempt(tx, fingerprint)
        await self._fail_points("amqp.delivered")
        # The first delivery was one crash already; the message is not even read any more.
        if (crashes := self._begun[fingerprint]) >= CRASHES_UNTIL_QUARANTINE:
            work = unread(arrival.delivery, arrival.lane, crashes_the_worker(crashes))
        else:
            work = read_arrival(arrival, self._recognise)
        await self._decide_or_halve([work])
        async with self._database.transaction() as tx:
            await rows.end_attempt(tx, fingerprint)
        del self._begun[fingerprint]

    async def _decide_or_halve(self, works: Sequence[Work]) -> None:
        """The batch is committed; where a message is to blame, the batch is halved, left half
        first, until that message stands alone. Each half is decided anew from fresh facts.
        """
        try:
            await self._decide_and_commit(works)
        except Exception as error:
            blame = blamed(error, self._lane)
            if len(works) == 1:
                await self._decide_and_commit([blame(works[0])])
                return
            middle = len(works) // 2
            await self._decide_or_halve(works[:middle])
            await self._decide_or_halve(works[middle:])

    async def _decide_and_commit(self, works: Sequence[Work]) -> None:
        """Steps 3 and 4 for arrivals."""
        started = perf_counter()
        context = self._context()
        async with self._database.transaction() as tx:
            fresh, positions = await self._absorb(tx, works)
            held = await rows.held_keys(tx, {w.order_key for w in fresh if w.order_key})
            verdicts = await self._decide(tx, fresh, Desk(context, stopped=set(held)))
            await apply(tx, verdicts, positions, context)
            await rows.set_outcomes(tx, not_applied(verdicts))
            await self._fail_points("inbox.before_commit")
        await self._fail_points("inbox.after_commit")
        self._committed()
        self._report(verdicts, len(works) - len(fresh), perf_counter() - started)

    async def take_pending(self, limit: int) -> int:
        """Due rows of this lane, one per key, have gone steps 3 and 4; how many there were.

        Where one of them is to blame for a failure they go one by one.
        """
        try:
            return await self._take_rows(limit=limit)
        except Exception as error:
            blamed(error, self._lane)
        async with self._database.transaction() as tx:
            due = [p.id for p in await rows.claim_pending(tx, lane=self._lane, limit=limit)]
        for row_id in due:
            try:
                await self._take_rows(limit=1, only=row_id)
            except Exception as error:
                blame = blamed(error, self._lane)
                await self._take_rows(limit=1, only=row_id, judge=blame)
        return len(due)

    async def _take_rows(
        self,
        *,
        limit: int,
        only: int | None = None,
        judge: Callable[[Work], Work] = lambda work: work,
    ) -> int:
        started = perf_counter()
        context = self._context()
        async with self._database.transaction() as tx:
            claimed = await rows.claim_pending(tx, lane=self._lane, limit=limit, only=only)
            if not claimed:
                return 0
            works = [judge(read_pending(p, self._handler_named)) for p in claimed]
            verdicts = await self._decide(tx, works, Desk(context))
            await apply(tx, verdicts, [p.position for p in claimed], context)
            await rows.set_outcomes(tx, not_applied(verdicts))
        self._committed()
        self._report(verdicts, 0, perf_counter() - started)
        return len(works)

    async def _absorb(self, tx: Tx, works: Sequence[Work]) -> tuple[list[Work], list[Position]]:
        """Works nobody handled before, with their places in the log; repeats are counted.

        The same id with other content is not a repeat: the first one counts, the other one is
        kept and becomes a case.
        """
        first: dict[tuple[str, str, str], Work] = {}
        for work in works:
            first.setdefault(work.entry.identity, work)
        positions = await rows.admit(tx, [w.entry for w in first.values()])
        fresh = [w for identity, w in first.items() if identity in positions]
        new = {id(w) for w in fresh}
        repeats = [w for w in works if id(w) not in new]
        if repeats:
            known = await rows.record_duplicates(tx, [w.entry for w in repeats])
            for work in repeats:
                self._metrics.duplicates.labels(work.entry.envelope.source).inc()
                if known[work.entry.identity] != work.entry.digest:
                    await keep_id_conflict(tx, work)
        return fresh, [positions[w.entry.identity] for w in fresh]

    async def _decide(self, tx: Tx, works: Sequence[Work], desk: Desk) -> list[Verdict]:
        """One verdict per message, in order, on facts read in this transaction."""
        for _ in range(MAX_NEED_ROUNDS):
            if not await self._look_up(tx, desk, desk.wanted(works)):
                break
        verdicts: list[Verdict] = []
        for work in works:
            # A predecessor in this batch may have made something known that asks for more.
            for _ in range(MAX_NEED_ROUNDS):
                if not await self._look_up(tx, desk, desk.wanted([work])):
                    break
            else:
                desk.broke(work, RuntimeError("needs without end"))
            verdict = desk.decide(work)
            await self._look_up(tx, desk, desk.unseen(verdict))
            verdicts.append(desk.fold(verdict))
        return verdicts

    async def _look_up(self, tx: Tx, desk: Desk, keys: set[str]) -> bool:
        if keys:
            desk.add(keys, await document_rows.load(tx, keys))
        return bool(keys)

    def _context(self) -> Context:
        return Context(
            rules=self._rules, policy=self._policy, now=self._now(), jitter=random.random
        )

    def _report(self, verdicts: Sequence[Verdict], repeats: int, duration_s: float) -> None:
        """One line per batch, and one per message that did not end in Done."""
        self._metrics.batch_seconds.labels(self._lane).observe(duration_s)
        for verdict in verdicts:
            work = verdict.work
            handler = work.handler.name if work.handler else UNREAD
            word = outcome_word(verdict.fate)
            self._metrics.settled.labels(handler, word).inc()
            if not isinstance(verdict.fate, Done):
                log.warning(
                    "not done",
                    id=work.entry.envelope.id,
                    correlation_id=work.entry.envelope.correlation_id,
                    subject=work.entry.envelope.key,
                    handler=handler,
                    attempt=work.attempt,
                    disposition=word,
                    reason=_reason(verdict.fate),
                    exc_info=_defect(verdict.fate),
                )
        log.debug(
            "batch",
            lane=self._lane,
            messages=len(verdicts),
            repeats=repeats,
            duration_s=round(duration_s, 4),
        )


def blamed(error: Exception, lane: Lane) -> Callable[[Work], Work]:
    """How to mark the message that is to blame for `error`, once it stands alone.

    Raises `error` again where no message is to blame: connection, lock, time-out, our schema.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith(STOPS_THE_LANE):
            raise Misconfigured(
                "schema-mismatch",
                f"The database refused a statement of ours ({state})",
                where=lane,
                remedy="Run `layshaft migrate`; restart after it",
            ) from error
        if not state.startswith(ACCUSES_A_MESSAGE):
            raise error
        return lambda work: refused_by_database(work, state)
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        # The client library refuses a value before it is sent, e.g. an integer beyond 64 bits.
        return lambda work: refused_by_database(work, "client")
    if isinstance(error, NOBODYS_FAULT):
        raise error
    return lambda work: broken(work, error)


def not_applied(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str], str]:
    """Outcomes worth a word in the inbox; the others are `applied` by default."""
    words = {v.work.entry.identity: outcome_word(v.fate) for v in verdicts}
    retried = {v.work.entry.identity for v in verdicts if v.work.pending is not None}
    return {i: word for i, word in words.items() if word != "applied" or i in retried}


def outcome_word(fate: Disposition) -> str:
    """The disposition in one word, for tables and labels."""
    match fate:
        case Done(outcome):
            return outcome
        case RetryAt():
            return "retry"
        case Park():
            return "parked"
        case Invalid():
            return "invalid"
        case Behind():
            return "behind"
        case DeadLetter():
            return "dead-letter"


def _reason(fate: Disposition) -> str:
    match fate:
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            return f"{failure.code}: {failure.what}"
        case RetryAt(reason=reason):
            return reason
        case _:
            return ""


def _defect(fate: Disposition) -> BaseException | None:
    """The traceback belongs into the log only where the failure is ours."""
    return fate.failure.__cause__ if isinstance(fate, DeadLetter) else None
