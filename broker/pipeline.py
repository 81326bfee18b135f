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

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from types import MappingProxyType

import structlog
import uuid_utils
from msgspec.structs import replace

from broker.application import RaceLost
from broker.aside import MANY, aside_if
from broker.blame import accuses, blamed, may_be_one_message
from broker.deciding import decide_one
from broker.decision import MAX_NEED_ROUNDS, Context, Desk, Verdict, blocked, crashes_the_worker
from broker.failpoints import FailPoints
from broker.intake import TURN_S, Arrival, Recognise, Work, read_ahead, untouched
from broker.lateness import Memory, refuse_late
from broker.metrics import Metrics
from broker.ordering import claims, gaps, in_order
from broker.outcomes import report
from broker.planner import UNKNOWN, Planner
from broker.policy import RetryPolicy
from broker.reading import Reader, portions
from broker.settings import Deadlines
from broker.store import Position
from broker.store.order import OrderKey, Taken
from broker.store.pending import PendingWork
from broker.sunset import Endings, refuse_ended
from broker.unit import Storage, Unit
from canonical.envelope import Lane
from canonical.handler import Handler
from canonical.package import is_reference
from canonical.rules import Rules

log = structlog.get_logger(__name__)

CRASHES_UNTIL_QUARANTINE = 3
# Failures in a row that accuse nobody, until one message among many may be what the weather is.
PATIENCE = 3


class Pipeline:
    """Takes batches of one lane along the path. Starts nothing by itself."""

    def __init__(
        self,
        *,
        lane: Lane,
        storage: Storage,
        recognise: Recognise,
        handler_named: Callable[[str], Handler],
        rules: Rules,
        policy: RetryPolicy,
        metrics: Metrics,
        fail_points: FailPoints,
        committed: Callable[[], None],
        read_s: float = Deadlines().read_s,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
        worker: str = "",
        memory: Memory = Memory(),  # noqa: B008 - frozen
        one_suspect: AbstractAsyncContextManager[object] | None = None,
        reads_from: Mapping[str, str] = MappingProxyType({}),
        endings: Endings = MappingProxyType({}),
        planner: Planner = UNKNOWN,
    ) -> None:
        """committed: told where a commit left rows or calls that may be due at once. worker: name
        of this process and lane, never used twice. memory: how old an arrival may be; missed events
        are taken from the log as far back. one_suspect: a lock that all pipelines of this process
        share, for what may have killed one before. reads_from, planner: as in
        broker.decision.Context. endings: contracts that end."""
        self._lane = lane
        self._storage = storage
        self._reader = Reader(
            storage=storage, recognise=recognise, handler_named=handler_named, read_s=read_s
        )
        self._recognise = recognise
        self._rules = rules
        self._policy = policy
        self._metrics = metrics
        self._fail_points = fail_points
        self._committed = committed
        self._now = now
        self._jitter = jitter
        self._worker = worker or uuid_utils.uuid7().hex
        self._memory = memory
        self._one_suspect = one_suspect or asyncio.Lock()
        self._reads_from = reads_from
        self._endings = endings
        self._planner = planner
        # Failures in a row that accuse nobody.
        self._failed_takes = 0
        self._failed_rows = 0

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """All arrivals are decided and committed: the caller may acknowledge every one.

        Raises only what is not a message's fault: the database is away, the schema does not fit.
        The caller tries the same arrivals again.
        """
        try:
            for arrival in arrivals:
                if arrival.redelivered:
                    await self._take_carefully(arrival)
            fresh = [a for a in arrivals if not a.redelivered]
            if __debug__ and fresh:
                await self._fail_points("amqp.delivered")
            for portion in portions(fresh):
                await self._decide_or_halve(await self._read(portion))
        except Exception:
            self._failed_takes += 1
            raise
        self._failed_takes = 0

    def read_ahead(self, arrival: Arrival) -> Arrival:
        """See broker.intake."""
        return read_ahead(arrival, self._recognise)

    async def _read(self, arrivals: Sequence[Arrival]) -> list[Work]:
        """The arrivals as works; one that is too old, or by a contract that has ended, is work that
        is refused."""
        works = await self._reader.arrivals(arrivals)
        now = self._now()
        works = [refuse_late(work, now=now, memory=self._memory) for work in works]
        return [refuse_ended(work, now=now, endings=self._endings) for work in works]

    async def _decide_and_commit(self, works: list[Work], *, begun: bytes = b"") -> None:
        """Steps 3 and 4: everything about these messages happens in one transaction.

        `works` becomes what is decided: in order, with what was overtaken. begun: the attempt on
        record that ends with it.
        """
        started = perf_counter()
        context = self._context()
        async with self._storage.unit() as unit:
            # 3 decide: in order, what is new, and not held by unfinished work of its key
            works[:], taken = await self._put_in_order(unit, works)
            fresh, positions = await self._absorb(unit, works)
            held = await unit.held_keys({w.order_key for w in fresh if w.order_key})
            told = {w.order_key for w in fresh if w.is_notification and w.order_key}
            reading = await unit.reading_keys(held & told)
            verdicts = await self._decide(
                unit,
                fresh,
                Desk(context, stopped=set(held), reading=set(reading), taken=taken),
            )
            # 4 commit: documents, plans, events, cases, retries
            leaves_work = await unit.apply(verdicts, positions, context)
            if begun:
                await unit.end_attempt(begun)
            if __debug__:
                await self._fail_points("inbox.before_commit")
        if __debug__:
            await self._fail_points("inbox.after_commit")
        # 5 settle: returning is the consumer's leave to acknowledge; events are on their way
        if leaves_work:
            self._committed()
        self._report(verdicts, repeats=len(works) - len(fresh), since=started)

    async def _put_in_order(
        self, unit: Unit, works: Sequence[Work]
    ) -> tuple[list[Work], dict[OrderKey, Taken]]:
        """The batch in the order of its objects, which are locked, with what it overtook.

        An event that was overtaken by this one in another queue is in the log: it is taken now,
        and its own delivery will be a repeat.
        """
        taken = await unit.lock_order(claims(works))
        since = self._now() - self._memory.window
        missed = [
            replace(work, lane=event.lane)
            for event in await unit.missed_events(gaps(works, taken), since=since)
            if (work := await self._reader.missed(event)).order_key is not None
            and work.order_key[0] == event.scope
        ]
        return in_order(works, missed), taken

    async def _absorb(self, unit: Unit, works: Sequence[Work]) -> tuple[list[Work], list[Position]]:
        """Works nobody handled before, with their places in the log; repeats are counted.

        The same id with other content is not a repeat: the first one counts, the other one is
        kept and becomes a case.
        """
        first: dict[tuple[str, str, str], Work] = {}
        for work in works:
            first.setdefault(work.entry.identity, work)
        positions = await unit.admit([w.entry for w in first.values()])
        fresh = [w for identity, w in first.items() if identity in positions]
        new = {id(w) for w in fresh}
        repeats = [w for w in works if id(w) not in new and not w.caught_up]
        if repeats:
            known = await unit.record_duplicates([w.entry for w in repeats])
            for work in repeats:
                self._metrics.duplicates.labels(work.entry.envelope.source).inc()
                if work.entry.identity not in known:
                    raise RaceLost("a repeat was forgotten between our look and our count")
                # What a quarantined event refers to was not fetched: its digest tells nothing.
                is_other = known[work.entry.identity] != work.entry.digest
                if is_other and not work.is_by_reference:
                    await unit.keep_id_conflict(work)
        places = [positions[w.entry.identity] for w in fresh]
        return [replace(w, admitted=at) for w, at in zip(fresh, places, strict=True)], places

    async def _decide(self, unit: Unit, works: Sequence[Work], desk: Desk) -> list[Verdict]:
        """One verdict per message, in order, on facts read in this transaction.

        Where there is much to decide on, that is done beside the event loop: pure functions on
        values that nobody else has.
        """
        if any(work.is_large for work in works):
            await unit.allow_long_pauses()
        for _ in range(MAX_NEED_ROUNDS):
            wanted = await aside_if(desk.is_crowded, desk.wanted, works)
            if not await self._look_up(unit, desk, wanted):
                break
        verdicts: list[Verdict] = []
        turn_began = perf_counter()
        for work in works:
            # A predecessor in this batch may have made something known that asks for more.
            _, verdict = await decide_one(desk, work, partial(self._look_up, unit, desk))
            verdicts.append(verdict)
            if perf_counter() - turn_began > TURN_S:
                await asyncio.sleep(0)
                turn_began = perf_counter()
        return verdicts

    async def _look_up(self, unit: Unit, desk: Desk, keys: set[str]) -> bool:
        if keys:
            if len(keys) > MANY:
                await unit.allow_long_pauses()
            desk.add(keys, await unit.load_documents(keys))
        return bool(keys)

    # With care: what came back, what failed, what was left unfinished

    async def _take_carefully(self, arrival: Arrival) -> None:
        """A delivery that came back may be what killed us: begun on record, then decided alone.

        Counted once per process: a crash ends the process, a lost database does not. What another
        process had begun and not ended is begun while no other lane has one of that kind, or the
        deaths of one that kills would be counted for its companions too.
        """
        if __debug__:
            await self._fail_points("amqp.delivered")
        if attempts := await self._begin(arrival, suspect=False):
            await self._take_begun(arrival, attempts)
            return
        async with self._one_suspect:
            attempts = await self._begin(arrival, suspect=True)
            await self._take_begun(arrival, attempts)

    async def _begin(self, arrival: Arrival, *, suspect: bool) -> int:
        """See broker.store.messages.begin_attempt."""
        async with self._storage.unit() as unit:
            return await unit.begin_attempt(
                arrival.fingerprint, worker=self._worker, suspect=suspect
            )

    async def _take_begun(self, arrival: Arrival, attempts: int) -> None:
        """attempts: how many processes have begun it, this one included."""
        fingerprint, worker = arrival.fingerprint, self._worker
        if __debug__:
            await self._fail_points("attempt.after_begin")
        try:
            # The first delivery was one crash already; the message is not even read any more.
            if attempts >= CRASHES_UNTIL_QUARANTINE:
                work = self._reader.unreadable(arrival, crashes_the_worker(attempts))
            else:
                (work,) = await self._read([arrival])
            await self._decide_or_halve([work], begun=fingerprint)
        except Exception:
            await self._withdraw(lambda unit: unit.withdraw_attempt(fingerprint, worker=worker))
            raise

    async def _withdraw(self, withdraw: Callable[[Unit], Awaitable[None]]) -> None:
        """What this process began and could not end is not counted: it lives.

        If that cannot be said either, it stays counted, once.
        """
        try:
            if __debug__:
                await self._fail_points("begun.before_withdraw")
            async with self._storage.unit() as unit:
                await withdraw(unit)
        except Exception as error:
            log.info("stays counted as begun", lane=self._lane, error=repr(error)[:200])

    async def _decide_or_halve(
        self, works: Sequence[Work], *, begun: bytes = b"", again: bool = False
    ) -> None:
        """The batch is committed; where a message is to blame, the batch is halved, left half
        first, until that message stands alone. Each half is decided anew from fresh facts. What
        the batch has overtaken is part of it: that may be what is to blame.

        What accuses nobody is raised, to be tried again with everything; after some failures in a
        row the batch is halved for it too, as long as the database takes anything at all. again:
        the message stood alone before, and may have been caught by a lock that went with it.
        """
        together = list(works)
        try:
            await self._decide_and_commit(together, begun=begun)
        except Exception as error:
            judge = await self._judge(error, self._failed_takes)
            if len(together) == 1 and not again and not accuses(error):
                await self._decide_or_halve(together, begun=begun, again=True)
                return
            if len(together) == 1:
                await self._decide_and_commit([judge(together[0])], begun=begun)
                return
            middle = len(together) // 2
            await self._decide_or_halve(together[:middle])
            await self._decide_or_halve(together[middle:], begun=begun)

    async def take_pending(self, limit: int) -> int:
        """Due rows of this lane, one per key, have gone steps 3 and 4; how many there were.

        They are begun on record first. One that was begun before and not ended may have killed its
        process: it goes alone, as does each where one of them may be to blame for a failure.
        """
        async with self._storage.unit() as unit:
            begun = await unit.begin_pending(lane=self._lane, limit=limit, worker=self._worker)
        if __debug__ and (begun.suspects or begun.rows):
            await self._fail_points("rows.after_begin")
        try:
            for row_id in begun.suspects:
                async with self._one_suspect:
                    await self._with_marks([row_id], self._take_suspect(row_id))
            if begun.rows:
                await self._with_marks(begun.rows, self._take_first(begun.rows))
        except Exception:
            self._failed_rows += 1
            raise
        self._failed_rows = 0
        return len(begun.suspects) + len(begun.rows)

    async def _with_marks(self, ids: Sequence[int], take: Awaitable[Sequence[int]]) -> None:
        """Rows that are not taken in the end lose their marks: this process lives, and what it has
        not in hand is no suspect when it dies."""
        try:
            left = await take
        except Exception:
            await self._unmark(ids)
            raise
        if left:
            await self._unmark(left)

    async def _unmark(self, ids: Sequence[int]) -> None:
        await self._withdraw(lambda unit: unit.withdraw_pending(ids, worker=self._worker))

    async def _take_first(self, ids: Sequence[int]) -> Sequence[int]:
        """Rows that nobody had begun are taken together, or one by one; these are left."""
        left: list[int] = []
        for row_id in await self._take_together(ids):
            left += await self._take_alone(row_id)
        return left

    async def _take_suspect(self, row_id: int) -> Sequence[int]:
        """A row that may have killed a process is counted, then decided alone; or quarantined."""
        async with self._storage.unit() as unit:
            times = await unit.begin_suspect(row_id, worker=self._worker)
        if __debug__:
            await self._fail_points("rows.after_suspect")
        if times > CRASHES_UNTIL_QUARANTINE:
            failure = crashes_the_worker(times)

            async def not_read(row: PendingWork) -> Work:
                return untouched(row, failure)

            return await self._take_rows([row_id], read=not_read)
        return await self._take_alone(row_id) if times else ()

    async def _take_together(self, ids: Sequence[int]) -> Sequence[int]:
        """The rows are decided and committed; but these, which are to be taken one by one."""
        try:
            return await self._take_rows(ids)
        except Exception as error:
            await self._judge(error, self._failed_rows)
            return ids

    async def _take_alone(self, row_id: int, *, again: bool = False) -> Sequence[int]:
        """The row is decided and committed, as its own failure if it cannot be otherwise. again:
        see `_decide_or_halve`."""
        try:
            return await self._take_rows([row_id])
        except Exception as error:
            judge = await self._judge(error, self._failed_rows)
            if not again and not accuses(error):
                return await self._take_alone(row_id, again=True)

            async def judged(row: PendingWork) -> Work:
                return judge(await self._reader.pending(row))

            return await self._take_rows([row_id], read=judged)

    async def _judge(self, error: Exception, failures: int) -> Callable[[Work], Work]:
        """How to mark the message that is to blame for `error`, once it stands alone.

        failures: how often in a row this failed. A message that alone meets a lock or a time-out
        is put off, if a transaction over the same tables goes through meanwhile, and the message
        fails once more after that.
        Raises: `error` where the fault is nobody's; Misconfigured where schema and code do not fit.
        """
        mark = blamed(error, self._lane)
        if mark is not None:
            return mark
        if failures < PATIENCE or not may_be_one_message(error):
            raise error
        async with self._storage.unit() as unit:
            await unit.probe()
        return lambda work: blocked(work, error)

    async def _take_rows(
        self, ids: Sequence[int], *, read: Callable[[PendingWork], Awaitable[Work]] | None = None
    ) -> Sequence[int]:
        """Steps 3 and 4 for rows of unfinished work; but these, which are not due any more, or
        whose object somebody else has in hand.

        All of them, and nothing done, where one of several refers to a package: reading that takes
        long, and nobody else's object is to be locked meanwhile.
        """
        started = perf_counter()
        context = self._context()
        async with self._storage.unit() as unit:
            claimed = await unit.claim_pending(lane=self._lane, limit=len(ids), only=ids)
            if not claimed:
                return ids
            if any(is_reference(p.delivery.content_type) for p in claimed):
                if len(claimed) > 1:
                    return ids
                await unit.allow_long_pauses()
            works = [await (read or self._reader.pending)(row) for row in claimed]
            latest = [w.order_key for w in works if w.latest_wins and w.order_key]
            newest = await unit.newest_versions(latest)
            desk = Desk(context, taken={k: Taken(newest=v) for k, v in newest.items()})
            verdicts = await self._decide(unit, works, desk)
            await unit.apply(verdicts, [p.position for p in claimed], context)
            if __debug__:
                await self._fail_points("rows.before_commit")
        if __debug__:
            await self._fail_points("rows.after_commit")
        self._committed()
        self._report(verdicts, repeats=0, since=started)
        return sorted(set(ids) - {p.id for p in claimed})

    def _context(self) -> Context:
        return Context(
            rules=self._rules,
            policy=self._policy,
            now=self._now(),
            jitter=self._jitter,
            reads_from=self._reads_from,
            planner=self._planner,
        )

    def _report(self, verdicts: Sequence[Verdict], *, repeats: int, since: float) -> None:
        report(self._metrics, self._lane, verdicts, repeats, perf_counter() - since)
