"""Ready call steps become calls: claimed by target object, carried out, settled in their ledger.

Crash after the claim: the lease lapses and the step is in doubt. Crash after the target applied
the call: the same; the next try observes the target first and finds it done. Crash after the
result is committed: nothing is left to do. A call is never repeated blindly.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

import asyncpg
import msgspec
import structlog

from broker.blame import may_be_one_message
from broker.book import Settled, settle_calls
from broker.failpoints import FailPoints
from broker.gate import Close, Gate, Proven, asked_to_close
from broker.metrics import Metrics
from broker.policy import CallFate, NotNow, RetryPolicy, Unfinished, call_fate
from broker.settings import Deadlines
from broker.store import Database, Tx
from broker.store import calls as rows
from broker.store import closures as closure_rows
from broker.store.calls import Before, CallResult, ClaimedStep, Undo
from broker.store.casebook import Case
from broker.store.connection import CLIENT_ERRORS
from broker.store.messages import LogEntry
from broker.store.storable import storable
from canonical.connector import Answer, Confirmed, Driver, Former, More, Observed, Present
from canonical.effects import Step
from canonical.envelope import Envelope, Lane
from canonical.errors import Conflict, Failure, InDoubt, Unavailable
from canonical.exchange import Request, Response
from canonical.handler import Delivery, Handler
from canonical.operations import Operation, ReadObject, changes_a_system

log = structlog.get_logger(__name__)

# An update may need many writes (header, lines); after so many the next claim goes on, so that what
# is noted about a try stays readable.
MAX_WRITES = 200
# Calls that one look may take, for the same reason.
MAX_PARTS = 20
# A result that cannot be stored is tried again after this, one whose ledger somebody else has at
# work sooner. It keeps its slot: where none can be stored, no more calls are made.
LEFT_S = 5.0
BUSY_S = 0.2
# Differences that a case names.
SHOWN = 20
# A call that is cut off at shutdown ends within this, and a ledger is waited for so long.
CUT_OFF_S = 1.0
LEASE_USED_UP = "lease-used-up"
WITHDRAWN = "withdrawn"
PUT_BACK = "as it was before"
UNTOUCHED = "it was so before: nothing was written"
# What PostgreSQL or its client library may say against one result.
RESULT_ERRORS = (asyncpg.PostgresError, ValueError)


class _Try(msgspec.Struct):
    """What one try comes to, as far as it has got.

    calls: method, path and what came of it. found: what was there before, once that was looked at;
    is_written: whether the target may hold something of this try.
    """

    calls: list[str] = []
    found: Before | None = None
    is_written: bool = False

    @property
    def before(self) -> Before | None:
        """What is put on record of it."""
        return self.found if self.is_written else None


class Outlet:
    """A target system: its driver and the channel that reaches it."""

    def __init__(
        self,
        *,
        name: str,
        driver: Driver,
        perform: Callable[[Request], Awaitable[Response]],
        settle_s: float,
    ) -> None:
        self.name = name
        self.driver = driver
        self.perform = perform
        self.settle_s = settle_s


class Dispatcher:
    """Makes the call steps of one lane true. `turn` claims; results are settled in batches."""

    def __init__(
        self,
        *,
        lane: Lane,
        database: Database,
        outlets: Mapping[str, Outlet],
        translator: Callable[[str], Handler],
        slots: int,
        deadlines: Deadlines,
        policy: RetryPolicy,
        metrics: Metrics,
        fail_points: FailPoints,
        committed: Callable[[], None],
        gate: Gate,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """gate: of the process, over all lanes. now: by which systems have their hours."""
        self._gate = gate
        self._now = now
        self._news: list[Close | Proven] = []
        self._lane = lane
        self._database = database
        self._outlets = outlets
        self._translator = translator
        self._slots = slots
        self._deadlines = deadlines
        self._policy = policy
        self._metrics = metrics
        self._fail_points = fail_points
        self._committed = committed
        self._calls: set[asyncio.Task[None]] = set()
        self._ended: list[Settled] = []
        # Results that could not be stored alone either, by their id, and until when they are left.
        self._left_until: dict[int, float] = {}
        self.wake: Callable[[], None] = lambda: None

    async def turn(self) -> bool:
        """Settles what has ended, then claims as many due calls as slots are free."""
        settled = await self._settle()
        await self._tell()
        free = self._slots - len(self._calls) - len(self._left_until)
        if free <= 0:
            return settled
        # Before the claim: the lease counts from its statement, and the commit may take its time.
        sent_by = monotonic() + self._deadlines.lease_s - self._deadlines.http_total_s
        async with self._database.transaction() as tx:
            claimed = await self._claim(tx, free)
        for step in claimed:
            self._gate.began(step.step.system)
        if __debug__:
            await self._fail_points("claim.after")
        for step in claimed:
            task = asyncio.create_task(self._call(step, sent_by), name=f"call-{step.id}")
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return settled or bool(claimed)

    async def _claim(self, tx: Tx, free: int) -> list[ClaimedStep]:
        """Due calls to systems that are open, at most so many; those to a system that takes only
        some at once are claimed for it alone."""
        if self._gate.is_stale(monotonic()):
            found = await closure_rows.in_force(tx)
            now = monotonic()
            self._gate.learn(
                [msgspec.structs.replace(one, until_s=now + left_s) for one, left_s in found],
                now,
                self._now(),
            )
        rooms = self._gate.rooms(self._lane, monotonic())
        claims = [([name], room) for name, room in rooms.items() if room is not None]
        claims.append(([name for name, room in rooms.items() if room is None], free))
        claimed: list[ClaimedStep] = []
        for systems, room in claims:
            limit = min(room, free - len(claimed))
            if systems and limit > 0:
                claimed += await rows.claim_calls(
                    tx,
                    lane=self._lane,
                    systems=systems,
                    limit=limit,
                    lease_s=self._deadlines.lease_s,
                )
        return claimed

    async def _tell(self) -> None:
        """All processes know what calls have shown of their systems; what could not be told is told
        by a later turn."""
        if not self._news:
            return
        news, self._news = self._news, []
        try:
            async with self._database.transaction() as tx:
                if closed := [one for one in news if isinstance(one, Close)]:
                    await closure_rows.close(tx, closed)
                if proven := [one for one in news if isinstance(one, Proven)]:
                    await closure_rows.prove(tx, proven)
        except BaseException:
            self._news = [*news, *self._news]
            raise
        self._gate.forget()

    async def drain(self, deadline_s: float) -> None:
        """Calls under way have ended and are settled, as far as deadline and database allow.

        The others are cut off: what had not written anything yet is given back, the rest lapses,
        and whoever runs next looks it up.
        """
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=deadline_s)
        if late := set(self._calls):
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=CUT_OFF_S)
        try:
            await self._settle_last()
        except (*RESULT_ERRORS, *CLIENT_ERRORS) as error:
            log.warning("not settled: calls will be looked up", error=repr(error)[:200])
        else:
            if self._ended:
                log.warning("ledgers are at work: calls will be looked up", calls=len(self._ended))

    async def _settle_last(self) -> None:
        """What has ended is settled, some time given to who has a ledger at work."""
        end = monotonic() + CUT_OFF_S
        while self._ended:
            self._left_until.clear()
            await self._settle()
            if not self._ended or monotonic() > end:
                return
            await asyncio.sleep(BUSY_S)

    async def _settle(self) -> bool:
        """Everything that has ended so far is committed together; where one result cannot be
        stored, each alone, and that one is left for a while.

        What could not be committed is kept for a later turn; should we die before, it lapses.
        Returns whether anything was. Raises: what kept all of them from being stored.
        """
        now = monotonic()
        batch = [s for s in self._ended if self._left_until.get(id(s), now) <= now]
        if not batch:
            return False
        try:
            return await self._settle_together(batch)
        except RESULT_ERRORS as error:
            if not _is_about_a_result(error):
                raise
            if len(batch) == 1:
                self._leave(batch[0], error)
                raise
            if not await self._settle_each(batch):
                raise
        return True

    async def _settle_each(self, batch: Sequence[Settled]) -> bool:
        """All but those that fail alone too are committed; whether there were any."""
        stored = False
        for settled in batch:
            try:
                stored |= await self._settle_together([settled])
            except RESULT_ERRORS as error:
                if not _is_about_a_result(error):
                    raise
                self._leave(settled, error)
        return stored

    def _leave(self, settled: Settled, error: Exception) -> None:
        """The result is not tried again for a while."""
        self._left_until[id(settled)] = monotonic() + LEFT_S
        log.warning(
            "result not stored",
            step=settled.result.claimed.step.identity,
            ledger=settled.result.claimed.ledger_key,
            error=repr(error)[:200],
        )

    async def _settle_together(self, batch: Sequence[Settled]) -> bool:
        """All but those whose ledgers somebody else has are committed; whether there were any."""
        async with self._database.transaction() as tx:
            busy = await settle_calls(tx, batch)
            if __debug__:
                await self._fail_points("result.before_commit")
        for settled in busy:
            self._left_until[id(settled)] = monotonic() + BUSY_S
        done = {id(settled) for settled in batch} - {id(settled) for settled in busy}
        self._ended = [settled for settled in self._ended if id(settled) not in done]
        for number in done:
            self._left_until.pop(number, None)
        if __debug__:
            await self._fail_points("result.after_commit")
        if done:
            self._committed()
        return bool(done)

    async def _call(self, claimed: ClaimedStep, sent_by: float) -> None:
        """One try of one step, as a result to settle."""
        outlet = self._outlets[claimed.step.system]
        started = datetime.now(UTC)
        trial = _Try()
        calls = trial.calls
        fault: Exception | None = None
        try:
            reference, answer, note = await self._cycle(outlet, claimed, sent_by, trial)
            settled = self._done(claimed, reference, answer, note, started, trial)
        except asyncio.CancelledError:
            if not _wrote(calls):
                why = Unavailable("shutdown", "Layshaft stopped before it wrote anything")
                self._ended.append(self._unsent(claimed, why, started, wait_s=0.0))
            self._gate.ended(outlet.name, NotNow("shutdown", ""), monotonic(), 0.0)
            raise
        except Exception as error:  # every failure is a fate of this step, defects included
            fault = error
            if isinstance(error, NotNow) and not _wrote(calls):
                wait_s = self._policy.asked_s(error)
                wait_s += self._policy.transient.wait_s(1, random.random())
                settled = self._unsent(claimed, error, started, wait_s=wait_s)
            else:
                settled = self._failed(claimed, outlet, error, started, trial)
        self._metrics.calls.labels(
            claimed.step.system,
            claimed.step.operation.__struct_config__.tag,
            settled.result.outcome,
        ).inc()
        self._metrics.call_seconds.labels(claimed.step.system).observe(
            (settled.result.ended_at - started).total_seconds()
        )
        self._note(outlet.name, fault)
        self._ended.append(settled)
        self.wake()

    def _note(self, system: str, fault: Exception | None) -> None:
        """What the end of a call tells of its system."""
        found = self._gate.ended(system, fault, monotonic(), random.random())
        if found is not None:
            self._news.append(found)
        closes = asked_to_close(system, fault, self._policy, self._lane)
        if closes is not None:
            self._news.append(closes)

    async def _cycle(
        self, outlet: Outlet, claimed: ClaimedStep, sent_by: float, trial: _Try
    ) -> tuple[str, Answer | None, str]:
        """Observe, compare, write the difference, until the target holds what the step wants.

        Nothing is sent after `sent_by` (monotonic): it might be applied when the lease is gone, and
        somebody else does the same. What was written until then stays written; the next claim goes
        on from there, and no attempt is burnt.
        An undo wants what was there before, and writes only over what it undoes.
        Returns the target's reference, the content a read brought, and warnings.
        """
        driver, step = outlet.driver, claimed.goal
        warnings: list[str] = [PUT_BACK] if claimed.undo else []
        before = math.inf
        for written in range(MAX_WRITES):
            ask = partial(self._perform_by, sent_by, written, outlet, trial.calls)
            observed = await look(driver, step, ask)
            if __debug__:
                await self._fail_points("call.after_observe")
            if written == 0:
                trial.found = _found_before(driver, claimed, observed)
            if isinstance(observed, Present) and observed.equal:
                trial.is_written = True
                return observed.reference, observed.answer, "; ".join(warnings)
            if claimed.withdrawn:
                # Nobody plans it any more and it was not applied: it lapses without a write.
                raise Unavailable(WITHDRAWN, "No longer planned, and not applied")
            if written == 0 and claimed.undo is not None:
                # After the look: what somebody changes in between differs from what that one read.
                await _require_untouched(driver, claimed, claimed.undo, ask)
            left = len(observed.differences) if isinstance(observed, Present) else math.inf
            if written and left >= before:
                raise Failure("driver-stuck", "The target confirmed a write and differs as before")
            before = left
            write = driver.write(step, observed, claimed.idempotency_key)
            if write is None:
                raise Failure(
                    "driver-stuck", "The target differs and the driver has nothing to write"
                )
            if __debug__:
                await self._fail_points("handler.before_effect")
            # Again: the observation may have taken as long as a call may.
            _require_time(sent_by, written)
            confirmed = await self._write(outlet, step, write.request, trial)
            warnings += confirmed.warnings
            if write.completes and confirmed.is_full:
                return confirmed.reference, confirmed.answer, "; ".join(warnings)
        raise _unfinished(MAX_WRITES)

    async def _write(self, outlet: Outlet, step: Step, request: Request, trial: _Try) -> Confirmed:
        """The write is confirmed. What is known not to be applied leaves no trace."""
        was_written, trial.is_written = trial.is_written, True
        try:
            return outlet.driver.confirm(step, await self._perform(outlet, request, trial.calls))
        except InDoubt:
            raise
        except Failure:
            trial.is_written = was_written
            raise

    async def _perform_by(
        self, sent_by: float, written: int, outlet: Outlet, calls: list[str], request: Request
    ) -> Response:
        _require_time(sent_by, written)
        return await self._perform(outlet, request, calls)

    async def _perform(self, outlet: Outlet, request: Request, calls: list[str]) -> Response:
        line = f"{request.method} {request.path}"
        # Stands as it is where the answer is never known.
        calls.append(f"{line} -> cut off")
        try:
            response = await outlet.perform(request)
        except NotNow:
            calls.pop()  # Nothing was sent.
            raise
        except Failure as failure:
            calls[-1] = f"{line} -> {failure.word}"
            raise
        calls[-1] = f"{line} -> {response.status}"
        return response

    def _done(
        self,
        claimed: ClaimedStep,
        reference: str,
        answer: Answer | None,
        note: str,
        started: datetime,
        trial: _Try,
    ) -> Settled:
        ended, calls = datetime.now(UTC), trial.calls
        result = CallResult(
            claimed=claimed,
            state="done",
            next_at=ended,
            started_at=started,
            ended_at=ended,
            calls=tuple(calls),
            outcome="applied" if _wrote(calls) else ("read" if answer else "already true"),
            note=storable(note),
            reference=storable(reference),
            before=trial.before,
        )
        if answer is None:
            return Settled(result)
        handler = self._translator(answer.type)
        return Settled(result, answer_entry(claimed, answer, handler, ended), handler.scope)

    def _unsent(
        self, claimed: ClaimedStep, why: Unavailable, started: datetime, *, wait_s: float
    ) -> Settled:
        """The claim is given back as it was: no try of the step, whoever is to blame."""
        ended = datetime.now(UTC)
        log.info(
            "call not sent",
            system=claimed.step.system,
            step=claimed.step.identity,
            ledger=claimed.ledger_key,
            correlation_id=claimed.correlation_id,
            reason=f"{why.code}: {why.what}",
        )
        return Settled(
            CallResult(
                claimed=claimed,
                state="in_doubt" if claimed.was_in_doubt else "ready",
                next_at=ended + timedelta(seconds=wait_s),
                started_at=started,
                ended_at=ended,
                calls=(),
                outcome="not sent",
                note=f"{why.code}: {why.what}",
                burns_attempt=False,
            )
        )

    def _failed(
        self,
        claimed: ClaimedStep,
        outlet: Outlet,
        error: Exception,
        started: datetime,
        trial: _Try,
    ) -> Settled:
        ended, calls = datetime.now(UTC), trial.calls
        fate = call_fate(
            error,
            attempt=claimed.attempts,
            policy=self._policy,
            settle_s=outlet.settle_s,
            now=ended,
            jitter=random.random(),
        )
        # A look that failed has cleared no doubt: taken for not sent, it might be cancelled unseen.
        is_seen = _wrote(calls) or fate.failure.code == WITHDRAWN
        stays = claimed.was_in_doubt and not is_seen and fate.state == "ready"
        state = "in_doubt" if stays else fate.state
        log.warning(
            "call not done",
            system=claimed.step.system,
            step=claimed.step.identity,
            ledger=claimed.ledger_key,
            correlation_id=claimed.correlation_id,
            attempt=claimed.attempts,
            state=state,
            reason=f"{fate.failure.code}: {fate.failure.what}",
            exc_info=None if isinstance(error, Failure) else error,
        )
        result = CallResult(
            claimed=claimed,
            state=state,
            next_at=fate.next_at,
            started_at=started,
            ended_at=ended,
            calls=tuple(calls),
            outcome=_outcome(fate.failure),
            note=storable(f"{fate.failure.code}: {fate.failure.what}"),
            burns_attempt=fate.burns_attempt,
            before=trial.before,
        )
        case = _case_of(claimed, fate) if fate.state == "failed" else None
        return Settled(result, case=case)


async def look(
    driver: Driver, step: Step, perform: Callable[[Request], Awaitable[Response]]
) -> Observed:
    """What the target holds, in as many calls as the driver says that it takes.

    Raises: what the driver and the calls raise; Failure where it is not known after MAX_PARTS.
    """
    found = driver.read(step, await perform(driver.observe(step)))
    for _ in range(MAX_PARTS - 1):
        if not isinstance(found, More):
            return found
        found = found.read(await perform(found.request))
    if isinstance(found, More):
        raise Failure("driver-stuck", f"The object is not known after {MAX_PARTS} calls")
    return found


async def lapse(database: Database, *, settle_s: float, fail_points: FailPoints) -> bool:
    """Calls of processes that died, of all lanes, are in doubt; True if there were any.

    settle_s: how long the slowest target may still be busy with one.
    """
    async with database.transaction() as tx:
        lapsed = await rows.lapse_calls(tx, settle_s=settle_s)
        if __debug__ and lapsed:
            await fail_points("lapse.before_commit")
    return lapsed > 0


def answer_entry(claimed: ClaimedStep, answer: Answer, handler: Handler, at: datetime) -> LogEntry:
    """A read's answer as a message from the system that was asked.

    Its id is that of the claim, so that a result committed once is taken once.
    """
    envelope = Envelope(
        id=f"step/{claimed.id}/{claimed.fence}",
        source=claimed.step.system,
        type=answer.type,
        key=answer.key,
        time=at,
        correlation_id=claimed.correlation_id,
        causation_id=f"step/{claimed.id}",
        lane=claimed.step.lane,
    )
    return LogEntry(
        subscription=handler.name,
        envelope=envelope,
        digest=hashlib.sha256(answer.body).digest(),
        delivery=Delivery(
            source=claimed.step.system,
            kind=answer.type,
            body=answer.body,
            content_type="application/json",
            attributes={
                "id": envelope.id,
                "type": answer.type,
                "subject": answer.key,
                "time": at.isoformat(),
                "correlationid": claimed.correlation_id,
                "causationid": envelope.causation_id,
            },
        ),
    )


def _found_before(driver: Driver, claimed: ClaimedStep, observed: Observed) -> Before | None:
    """What is there before the first write; None where it is on record or is nobody's concern.

    Where the target holds what this ledger made true of it before, it is what that had found.
    """
    if driver.former is None or not changes_a_system(claimed.step.operation):
        return None
    # In doubt without a record, it may have written whatever is there.
    if not claimed.is_fresh or claimed.was_in_doubt or claimed.undo is not None:
        return None
    if claimed.prior is not None and _holds(driver, claimed, claimed.prior.operation, observed):
        return Before(as_of=claimed.prior.id)
    if isinstance(observed, Present) and observed.equal:
        return Before(Former(why_not=UNTOUCHED))
    return Before(driver.former(claimed.step, observed))


def _holds(driver: Driver, claimed: ClaimedStep, operation: Operation, observed: Observed) -> bool:
    """Whether nothing would be left to write of the operation."""
    step = msgspec.structs.replace(claimed.step, operation=operation)
    try:
        return driver.write(step, observed, claimed.idempotency_key) is None
    except Failure:
        return False


async def _require_untouched(
    driver: Driver,
    claimed: ClaimedStep,
    undo: Undo,
    ask: Callable[[Request], Awaitable[Response]],
) -> None:
    """Raises: Conflict where the target does not hold exactly what is undone, or another change
    counts on it."""
    about = _about(claimed.step)
    remedy = "Settle it at the target, then skip the step, or try it again"
    if undo.needed_by:
        raise Conflict(
            "needed-by-another",
            f"{undo.needed_by} made the same true since, or found it so: it is not undone",
            where=about,
            remedy=remedy,
        )
    held = await look(driver, claimed.step, ask)
    if isinstance(held, Present) and held.equal:
        return
    differs = held.differences if isinstance(held, Present) else ("it is not there",)
    shown = "; ".join(differs[:SHOWN])
    rest = f" and {len(differs) - SHOWN} more" if len(differs) > SHOWN else ""
    raise Conflict(
        "changed-since",
        f"{about} does not hold what {claimed.ledger_key} wrote: it is not undone: {shown}{rest}",
        where=about,
        remedy=remedy,
    )


def _require_time(sent_by: float, written: int) -> None:
    """A call that is sent now ends within the lease. written: writes made under it before."""
    if monotonic() <= sent_by:
        return
    if written:
        raise _unfinished(written)
    raise NotNow(LEASE_USED_UP, "The claim is too old to send on")


def _unfinished(written: int) -> Unfinished:
    return Unfinished("unfinished", f"{written} writes are made, the next claim goes on")


def _is_about_a_result(error: Exception) -> bool:
    """Whether others may well be stored where this one was not."""
    return may_be_one_message(error) and not isinstance(error, asyncpg.PostgresConnectionError)


def _outcome(failure: Failure) -> str:
    """What the log of tries and the counter of calls say of it."""
    match failure:
        case InDoubt():
            return "in doubt"
        case Unfinished():
            return "unfinished"
        case _:
            return failure.word


def _wrote(calls: Sequence[str]) -> bool:
    """Whether the target may hold something of it: more than reads has left."""
    return any(not call.startswith("GET ") for call in calls)


def _about(step: Step) -> str:
    """The business object; what is read has a name of its target's besides."""
    if isinstance(step.operation, ReadObject):
        return step.operation.key
    return f"{step.object_kind}/{step.object_id}"


def _case_of(claimed: ClaimedStep, fate: CallFate) -> Case:
    failure, step = fate.failure, claimed.step
    return Case(
        code=failure.code,
        word=failure.word,
        what=storable(failure.what),
        place=f"{claimed.ledger_key}: {step.identity}",
        remedy=failure.remedy or "Repair the cause at the target, then release the step again",
        owner=step.owner if failure.word == "business_rule" else failure.owner,
        source=step.system,
        key=_about(step),
        ledger_key=claimed.ledger_key,
        origin="call",
    )
