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

from broker.application import apply, keep_id_conflict
from broker.blame import blamed
from broker.decision import MAX_NEED_ROUNDS, Context, Desk, Verdict, crashes_the_worker
from broker.failpoints import FailPoints
from broker.intake import Arrival, Recognise, Work, read_arrival, read_pending, unread
from broker.metrics import Metrics
from broker.outcomes import not_applied, report
from broker.policy import RetryPolicy
from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store import messages as rows
from broker.store import pending as pending_rows
from canonical.envelope import Lane
from canonical.handler import Handler
from canonical.rules import Rules

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

    async def _decide_and_commit(self, works: Sequence[Work]) -> None:
        """Steps 3 and 4: everything about these messages happens in one transaction."""
        started = perf_counter()
        context = self._context()
        async with self._database.transaction() as tx:
            # 3 decide: what is new, and not held by unfinished work of its key
            fresh, positions = await self._absorb(tx, works)
            held = await pending_rows.held_keys(tx, {w.order_key for w in fresh if w.order_key})
            verdicts = await self._decide(tx, fresh, Desk(context, stopped=set(held)))
            # 4 commit: documents, plans, events, cases, retries
            await apply(tx, verdicts, positions, context)
            await rows.set_outcomes(tx, not_applied(verdicts))
            await self._fail_points("inbox.before_commit")
        await self._fail_points("inbox.after_commit")
        # 5 settle: returning is the consumer's leave to acknowledge; the relay is woken
        self._committed()
        self._report(verdicts, repeats=len(works) - len(fresh), since=started)

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

    # With care: what came back, what failed, what was left unfinished

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

    async def take_pending(self, limit: int) -> int:
        """Due rows of this lane, one per key, have gone steps 3 and 4; how many there were.

        Where one of them is to blame for a failure they go one by one.
        """
        try:
            return await self._take_rows(limit=limit)
        except Exception as error:
            blamed(error, self._lane)
        async with self._database.transaction() as tx:
            due = [p.id for p in await pending_rows.claim_pending(tx, lane=self._lane, limit=limit)]
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
            claimed = await pending_rows.claim_pending(tx, lane=self._lane, limit=limit, only=only)
            if not claimed:
                return 0
            works = [judge(read_pending(p, self._handler_named)) for p in claimed]
            verdicts = await self._decide(tx, works, Desk(context))
            await apply(tx, verdicts, [p.position for p in claimed], context)
            await rows.set_outcomes(tx, not_applied(verdicts))
        self._committed()
        self._report(verdicts, repeats=0, since=started)
        return len(works)

    def _context(self) -> Context:
        return Context(
            rules=self._rules, policy=self._policy, now=self._now(), jitter=random.random
        )

    def _report(self, verdicts: Sequence[Verdict], *, repeats: int, since: float) -> None:
        report(self._metrics, self._lane, verdicts, repeats, perf_counter() - since)
