"""A Storage in memory: the same transaction as broker.unit.SqlUnit, as far as messages go.

tests/integration/test_memory_storage.py runs both side by side and compares every table. Ledgers
are left out: a handler in the simulation emits, puts, fails and dies, but makes no plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import IO, cast

from msgspec.structs import replace

from broker.application import RaceLost
from broker.consequences import case_of, consequences, under_own_identity
from broker.decision import Context, Verdict, id_conflict
from broker.intake import Work
from broker.store import Position
from broker.store.casebook import Case
from broker.store.documents import NewDocument, Stored, digest_of
from broker.store.messages import LogEntry, Note
from broker.store.order import Claim, Gap, LoggedEvent, OrderKey, Taken
from broker.store.outbox import Emission
from broker.store.pending import BEGUN_FOR_S, Begun, NewPending, PendingWork
from canonical.envelope import Lane
from canonical.errors import InvalidMessage
from canonical.events import SOURCE
from canonical.facts import Known
from canonical.handler import Delivery
from canonical.package import PackageReference
from tests.simulation.tables import (
    CaseRow,
    Identity,
    InboxRow,
    LogRow,
    OrderRow,
    OutboxRow,
    PendingRow,
    Tables,
    Transaction,
)


class Weather:
    """What can go wrong with a database; this one is fair."""

    async def before(self, statement: str) -> None:
        """A statement is about to run. Raises what its caller meets instead."""

    async def until(self, is_free: Callable[[], bool]) -> None:
        """A lock was waited for; nobody else is here, so that nobody gives it back."""
        raise AssertionError("waits for itself")

    def refuse(self, verdicts: Sequence[Verdict]) -> None:
        """Raises where the database refuses what these verdicts write."""

    def commit_fate(self) -> tuple[bool, Exception | None]:
        """Whether a COMMIT is carried out, and what its caller is told."""
        return True, None


class MemoryStorage:
    """Units over tables in memory. committed: told of each unit after its commit."""

    unit_type: type[MemoryUnit]

    def __init__(
        self,
        tables: Tables,
        *,
        now: Callable[[], datetime],
        weather: Weather,
        committed: Callable[[MemoryUnit], None] = lambda unit: None,
    ) -> None:
        self.tables = tables
        self.now = now
        self.weather = weather
        self.committed = committed

    def unit(self) -> MemoryUnit:
        """See broker.unit.Storage."""
        return self.unit_type(self)

    async def bodies(self, places: Sequence[Position]) -> dict[Position, bytes]:
        """See broker.unit.Storage."""
        log = self.tables.log
        return {place: log[place].delivery.body for place in places if place in log}

    def package_file(self, wanted: PackageReference) -> AbstractAsyncContextManager[IO[bytes]]:
        """See broker.unit.Storage; nobody puts packages here."""
        raise InvalidMessage("package-missing", "There are no packages", where=wanted.reference)


def queues_of(rows: Iterable[PendingRow]) -> dict[OrderKey, list[PendingRow]]:
    """Unfinished rows by key, oldest first."""
    queues: dict[OrderKey, list[PendingRow]] = {}
    for row in sorted(rows, key=lambda r: r.id):
        queues.setdefault((row.scope, row.key), []).append(row)
    return queues


def may_be_next(row: PendingRow, queue: Sequence[PendingRow], now: datetime) -> bool:
    """Whether the row may be claimed: the oldest one of its key, or one that may pass."""
    return (row is queue[0] and is_due(row, now)) or may_pass(row, queue, now)


def is_due(row: PendingRow, now: datetime) -> bool:
    """Whether the row may be tried now, if nothing is before it."""
    return row.state in ("ready", "retry") and row.due_at <= now


def may_pass(row: PendingRow, queue: Sequence[PendingRow], now: datetime) -> bool:
    """See broker.store.pending; no calls, so none in doubt."""
    if not row.passes or row.state not in ("parked", "ready", "retry") or row.due_at > now:
        return False
    return all(
        e.version is not None
        and row.version is not None
        and e.version < row.version
        and (e.state in ("in_case", "parked") or row.passes == "all")
        for e in queue
        if e.id < row.id
    )


def may_begin(row: PendingRow, worker: str, now: datetime) -> bool:
    """Nobody else has begun the row, or so long ago that it is taken for dead."""
    if row.begun_by in ("", worker):
        return True
    assert row.begun_at is not None
    return row.begun_at < now - timedelta(seconds=BEGUN_FOR_S)


class MemoryUnit:
    """A unit in memory; its statements are those of broker.store, under the same names."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._weather = storage.weather
        self._tables = storage.tables
        self.tx = Transaction(storage.tables, storage.now(), storage.weather.until)
        self.verdicts: Sequence[Verdict] = ()
        self.positions: Sequence[Position] = ()

    async def __aenter__(self) -> MemoryUnit:
        await self._weather.before("begin")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self._weather.before("commit")
                carried_out, failure = self._weather.commit_fate()
                if carried_out:
                    self.tx.commit()
                    self._storage.committed(self)
                if failure is not None:
                    raise failure
        finally:
            self.tx.end()

    # Order

    async def lock_order(self, claims: Mapping[OrderKey, Claim]) -> dict[OrderKey, Taken]:
        """See broker.unit.Unit."""
        await self._weather.before("lock_order")
        taken: dict[OrderKey, Taken] = {}
        for key in sorted(claims):
            await self.tx.lock("flow_order", [key])
            claim, row = claims[key], self.tx.order.get(key)
            before, newest = (row.done, row.newest) if row else (0, None)
            newest = _greatest(newest, claim.newest)
            done = max(before, claim.sequence)
            # A row that is inserted has had nothing before it.
            self.tx.order.put(key, OrderRow(done, before, newest))
            taken[key] = Taken(before, newest)
        return taken

    async def missed_events(self, gaps: Sequence[Gap], *, since: datetime) -> list[LoggedEvent]:
        """See broker.unit.Unit."""
        await self._weather.before("missed_events")
        found: list[LoggedEvent] = []
        for gap in sorted(gaps, key=lambda g: g.key):
            for number in range(gap.after + 1, gap.before):
                row = self.tx.events.get((gap.key[1], number))
                if row is not None and row.position.at >= since:
                    found.append(LoggedEvent(gap.key[0], row.position, row.lane, row.delivery))
        return found

    async def newest_versions(self, keys: Sequence[OrderKey]) -> dict[OrderKey, int]:
        """See broker.unit.Unit."""
        await self._weather.before("newest_versions")
        rows = {key: self.tx.order.get(key) for key in keys}
        return {k: row.newest for k, row in rows.items() if row and row.newest is not None}

    # Inbox and log

    async def admit(self, entries: Sequence[LogEntry]) -> dict[Identity, Position]:
        """See broker.unit.Unit."""
        await self._weather.before("admit")
        placed = [
            (e, e.logged or Position(self.tx.began_at, self._tables.next_number())) for e in entries
        ]
        positions: dict[Identity, Position] = {}
        for entry, position in sorted(placed, key=lambda p: p[0].identity):
            await self.tx.wait("inbox", entry.identity)
            if self.tx.inbox.get(entry.identity) is not None:
                continue
            self.tx.try_lock("inbox", entry.identity)
            self.tx.inbox.put(entry.identity, InboxRow(entry.digest, position))
            positions[entry.identity] = position
            if entry.logged is None:
                self._log(entry, position)
        return positions

    def _log(self, entry: LogEntry, position: Position) -> None:
        envelope = entry.envelope
        row = LogRow(
            position,
            "in",
            envelope.id,
            envelope.key,
            envelope.lane,
            envelope.correlation_id,
            envelope.causation_id,
            replace(entry.delivery, source=envelope.source),
        )
        self.tx.log.put(position, row)

    async def record_duplicates(self, entries: Sequence[LogEntry]) -> dict[Identity, bytes]:
        """See broker.unit.Unit."""
        await self._weather.before("record_duplicates")
        known: dict[Identity, bytes] = {}
        for entry in entries:
            self.tx.duplicates.put(self._tables.next_number(), entry.identity)
            row = self.tx.inbox.get(entry.identity)
            if row is not None:
                known[entry.identity] = row.digest
        return known

    async def keep_id_conflict(self, work: Work) -> None:
        """See broker.unit.Unit."""
        for position in (await self.admit([under_own_identity(work.entry)])).values():
            await self._open_cases([case_of(id_conflict(work), work, position)])

    async def begin_attempt(self, fingerprint: bytes, *, worker: str, suspect: bool) -> int:
        """See broker.unit.Unit."""
        await self._weather.before("begin_attempt")
        await self.tx.lock("delivery_attempt", [fingerprint])
        begun, last = self.tx.attempts.get(fingerprint) or (0, "")
        if begun and not suspect and (begun, last) != (1, worker):
            return 0
        begun += last != worker
        self.tx.attempts.put(fingerprint, (begun, worker))
        return begun

    async def withdraw_attempt(self, fingerprint: bytes, *, worker: str) -> None:
        """See broker.unit.Unit."""
        await self._weather.before("withdraw_attempt")
        await self.tx.lock("delivery_attempt", [fingerprint])
        begun, last = self.tx.attempts.get(fingerprint) or (0, "")
        if last != worker:
            return
        if begun > 1:
            self.tx.attempts.put(fingerprint, (begun - 1, ""))
        else:
            self.tx.attempts.drop(fingerprint)

    async def end_attempt(self, fingerprint: bytes) -> None:
        """See broker.unit.Unit."""
        await self._weather.before("end_attempt")
        await self.tx.lock("delivery_attempt", [fingerprint])
        self.tx.attempts.drop(fingerprint)

    # Unfinished work

    async def held_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        """See broker.unit.Unit."""
        await self._weather.before("held_keys")
        held: set[OrderKey] = set()
        for key in [k for k in sorted(set(keys)) if self.tx.holds.get(k)]:
            await self.tx.wait("hold", key)
            # Whoever was waited for may have finished the last row of the key.
            if self.tx.holds.get(key) and self.tx.try_lock("hold", key):
                held.add(key)
        return frozenset(held)

    async def reading_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        """See broker.unit.Unit; nothing is read."""
        return frozenset()

    async def begin_pending(self, *, lane: str, limit: int, worker: str) -> Begun:
        """See broker.unit.Unit."""
        await self._weather.before("begin_pending: holds")
        keys = self._lock_due(lane, limit, worker=worker)
        await self._weather.before("begin_pending: rows")
        rows: list[int] = []
        suspects: list[int] = []
        for found, _ in self._next_of(keys, lane, None):
            await self.tx.lock("pending", [found.id])
            row = self.tx.pending.get(found.id)
            if row is None or not may_begin(row, worker, self.tx.began_at):
                continue
            if row.begun == 0:
                marked = replace(row, begun=1, begun_by=worker, begun_at=self.tx.began_at)
                self.tx.pending.put(row.id, marked)
                rows.append(row.id)
            else:
                (suspects if row.begun_by != worker else rows).append(row.id)
        return Begun(rows=tuple(sorted(rows)), suspects=tuple(sorted(suspects)))

    async def begin_suspect(self, row_id: int, *, worker: str) -> int:
        """See broker.unit.Unit."""
        await self._weather.before("begin_suspect")
        await self.tx.lock("pending", [row_id])
        row = self.tx.pending.get(row_id)
        if row is None or not may_begin(row, worker, self.tx.began_at):
            return 0
        begun = row.begun + (row.begun_by != worker)
        marked = replace(row, begun=begun, begun_by=worker, begun_at=self.tx.began_at)
        self.tx.pending.put(row_id, marked)
        return begun

    async def withdraw_pending(self, rows: Sequence[int], *, worker: str) -> None:
        """See broker.unit.Unit."""
        await self._weather.before("withdraw_pending")
        await self.tx.lock("pending", sorted(rows))
        for row_id in sorted(rows):
            row = self.tx.pending.get(row_id)
            if row is not None and row.begun_by == worker and row.begun > 0:
                self.tx.pending.put(row_id, replace(row, begun=row.begun - 1, begun_by=""))

    async def claim_pending(
        self, *, lane: str, limit: int, only: Sequence[int] | None = None
    ) -> list[PendingWork]:
        """See broker.unit.Unit."""
        await self._weather.before("claim_pending: holds")
        keys = self._lock_due(lane, limit, only=only)
        await self._weather.before("claim_pending: rows")
        rows = self._next_of(keys, lane, only)
        return sorted((self._as_work(row, passed=p) for row, p in rows), key=lambda w: w.id)

    def _lock_due(
        self,
        lane: str,
        limit: int,
        *,
        only: Sequence[int] | None = None,
        worker: str | None = None,
    ) -> list[OrderKey]:
        """Keys with something to do, their holds locked; those in work are skipped."""
        queues, now = queues_of(self.tx.pending.rows()), self.tx.began_at

        def wanted(row: PendingRow) -> bool:
            is_free = worker is None or may_begin(row, worker, now)
            return row.lane == lane and is_free and (only is None or row.id in only)

        heads = [k for k, q in queues.items() if wanted(q[0]) and is_due(q[0], now)]
        passing = [
            k for k, q in queues.items() if any(wanted(p) and may_pass(p, q, now) for p in q)
        ]
        due = sorted({*heads[:limit], *passing[:limit]})
        return [k for k in due if self.tx.try_lock("hold", k)][:limit]

    def _next_of(
        self, keys: Sequence[OrderKey], lane: str, only: Sequence[int] | None
    ) -> list[tuple[PendingRow, bool]]:
        """The row to do next of each key, with whether it passes older ones."""
        queues, found = queues_of(self.tx.pending.rows()), []
        for key in keys:
            queue = queues.get(key, [])
            row = next((p for p in queue if may_be_next(p, queue, self.tx.began_at)), None)
            if row is not None and row.lane == lane and (only is None or row.id in only):
                found.append((row, row is not queue[0]))
        return found

    def _as_work(self, row: PendingRow, *, passed: bool = False) -> PendingWork:
        logged = self.tx.log.get(row.position)
        assert logged is not None
        return PendingWork(
            id=row.id,
            subscription=row.subscription,
            scope=row.scope,
            key=row.key,
            lane=row.lane,
            attempts=row.attempts,
            position=row.position,
            delivery=logged.delivery,
            correlation_id=logged.correlation_id,
            sent_id=logged.id,
            failing_since=row.failing_since,
            is_replan=row.is_replan,
            passed=passed,
        )

    async def load_documents(self, keys: Iterable[str]) -> dict[str, Stored]:
        """See broker.unit.Unit."""
        await self._weather.before("load_documents")
        found = {key: self.tx.documents.get(key) for key in sorted(set(keys))}
        return {key: stored for key, stored in found.items() if stored is not None}

    # Applying

    async def apply(
        self, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
    ) -> bool:
        """See broker.unit.Unit."""
        self._weather.refuse(verdicts)
        self.verdicts, self.positions = verdicts, positions
        rows = consequences(verdicts, positions, context)
        await self._weather.before("apply: pending")
        for work, by in rows.passing:
            await self._supersede_passed(work, by)
        for work, row in rows.postponed:
            await self._postpone(work, row)
        await self._add_pending(rows.waiting)
        await self._finish(rows.finished)
        await self._weather.before("apply: documents")
        await self._store(rows.documents)
        await self._weather.before("apply: events")
        await self._emit([event for said in rows.said for event in said])
        await self._weather.before("apply: cases")
        await self._open_cases(rows.cases)
        for note in rows.notes:
            self._note(note)
        for identity, word in rows.outcomes.items():
            self._set_outcome(identity, word)
        return rows.is_unfinished

    async def allow_long_pauses(self) -> None:
        """See broker.unit.Unit; this one has all the time there is."""

    async def probe(self) -> None:
        """See broker.unit.Unit."""
        await self._weather.before("probe")

    async def _add_pending(self, rows: Sequence[NewPending]) -> None:
        for key in sorted({(r.scope, r.key) for r in rows}):
            await self.tx.lock("hold", [key])
            self.tx.holds.put(key, True)
        for row in rows:
            assert row.merge_key is None, "plans are not simulated"
            number = self._tables.next_number()
            has_failed = row.state in ("retry", "in_case")
            self.tx.pending.put(
                number,
                PendingRow(
                    id=number,
                    subscription=row.subscription,
                    scope=row.scope,
                    key=row.key,
                    lane=cast(Lane, row.lane),
                    position=row.position,
                    state=row.state,
                    due_at=row.due_at,
                    attempts=row.attempts,
                    reason=row.reason,
                    merge_key=None,
                    is_replan=False,
                    version=row.version,
                    passes=row.passes,
                    failing_since=self.tx.began_at if has_failed else None,
                ),
            )

    async def _postpone(self, work: PendingWork, row: NewPending) -> None:
        await self.tx.lock("pending", [work.id])
        was = self.tx.pending.get(work.id)
        if was is not None:
            changed = replace(
                was,
                state=row.state,
                due_at=row.due_at,
                attempts=was.attempts + row.attempts,
                reason=row.reason,
                version=was.version if row.version is None else row.version,
                passes=was.passes if row.version is None else row.passes,
                merge_key=None,
                begun=0,
                begun_by="",
                failing_since=was.failing_since or self.tx.began_at,
            )
            self.tx.pending.put(work.id, changed)

    async def _finish(self, works: Sequence[PendingWork]) -> None:
        if not works:
            return
        # Whoever counts a row as begun holds no more than the row.
        await self.tx.lock("pending", sorted(work.id for work in works))
        for work in works:
            self.tx.pending.drop(work.id)
        queues = queues_of(self.tx.pending.rows())
        for key in sorted({(w.scope, w.key) for w in works}):
            if key not in queues:
                self.tx.holds.drop(key)
            elif queues[key][0].state == "parked":
                await self._set_due(queues[key][0], "ready")

    async def _set_due(self, row: PendingRow, state: str) -> None:
        await self.tx.lock("pending", [row.id])
        now = self.tx.pending.get(row.id)
        assert now is not None, "its hold is ours"
        self.tx.pending.put(row.id, replace(now, state=state, due_at=self.tx.began_at))

    async def _supersede_passed(self, work: PendingWork, by: str) -> None:
        for row in queues_of(self.tx.pending.rows()).get((work.scope, work.key), []):
            if row.id >= work.id:
                continue
            await self.tx.lock("pending", [row.id])
            self.tx.pending.drop(row.id)
            said = self.tx.log.get(row.position)
            assert said is not None
            self._set_outcome((row.subscription, said.delivery.source, said.id), "superseded")
            for opened in list(self.tx.cases.rows()):
                case = opened.case
                if (
                    opened.state == "open"
                    and case.position == row.position
                    and case.origin == "message"
                ):
                    self.tx.cases.put(opened.id, replace(opened, state="resolved", closed_by=by))
            detail = {"message": said.id, "source": said.delivery.source, "version": row.version}
            self._note(Note(by, "superseded", said.key, said.correlation_id, detail))

    async def _store(self, documents: Sequence[NewDocument]) -> None:
        written = 0
        for document in sorted(documents, key=lambda d: d.put.key):
            put = document.put
            await self.tx.lock("document", [put.key])
            was = self.tx.documents.get(put.key)
            if was is None or (was.version, was.stated) < put.order:
                number = (was.known.version if was else 0) + document.writes
                known = Known(number, put.document)
                stored = Stored(known, *put.order, digest_of(put))
                self.tx.documents.put(put.key, stored)
                written += 1
        if written != len(documents):
            raise RaceLost(f"{len(documents) - written} documents were overtaken")

    async def _emit(self, emissions: Sequence[Emission]) -> None:
        for key in sorted({e.key for e in emissions}):
            await self.tx.lock("object_sequence", [key])
        for emission in emissions:
            sequence = (self.tx.numbers.get(emission.key) or 0) + 1
            self.tx.numbers.put(emission.key, sequence)
            number = self._tables.next_number()
            position = Position(self.tx.began_at, number)
            # An id that a second run of the same seed gives again.
            event = _logged(replace(emission, id=f"event-{number}"), position, sequence)
            self.tx.log.put(position, event)
            self.tx.events.put((emission.key, sequence), event)
            row = OutboxRow(emission.key, emission.exchange, emission.event, position)
            self.tx.outbox.put(number, row)

    async def _open_cases(self, cases: Sequence[Case]) -> None:
        unique = {(c.code, c.place): c for c in cases}
        for name in sorted(unique):
            await self.tx.lock("exception_case", [name])
            case = unique[name]
            opened = next(
                (
                    row
                    for row in self.tx.cases.rows()
                    if row.state == "open" and (row.case.code, row.case.place) == name
                ),
                None,
            )
            if opened is None:
                number = self._tables.next_number()
                self.tx.cases.put(number, CaseRow(number, case))
                self._note(Note("layshaft", "case-opened", case.place, "", {"code": case.code}))
            else:
                counted = replace(
                    opened, seen=opened.seen + 1, case=replace(opened.case, what=case.what)
                )
                self.tx.cases.put(opened.id, counted)

    def _note(self, note: Note) -> None:
        self.tx.audit.put(self._tables.next_number(), note)

    def _set_outcome(self, identity: Identity, word: str) -> None:
        row = self.tx.inbox.get(identity)
        if row is not None:
            self.tx.inbox.put(identity, replace(row, outcome=word))

    # People: broker.cases

    async def retry_case(self, case_id: int, by: str) -> bool:
        """As broker.cases.retry; False where nothing waits in the case."""
        await self._weather.before("retry_case")
        case = self._open_case(case_id)
        row = await self._lock_stuck(case) if case else None
        if case is None or row is None:
            return False
        await self.tx.lock("pending", [row.id])
        ready = replace(
            self.tx.pending.get(row.id) or row,
            state="ready",
            due_at=self.tx.began_at,
            attempts=0,
            failing_since=None,
            begun=0,
            begun_by="",
            reason="tried again by a person",
        )
        self.tx.pending.put(row.id, ready)
        await self._resolve(case_id, "case-retried", by)
        await self._park_without_case(row)
        return True

    async def discard_case(self, case_id: int, by: str) -> bool:
        """As broker.cases.discard; whether a message was let go."""
        await self._weather.before("discard_case")
        case = self._open_case(case_id)
        if case is None:
            return False
        row = await self._lock_stuck(case)
        await self._resolve(case_id, "case-closed", by)
        if row is not None:
            await self._park_without_case(row)
            await self._finish([self._as_work(row)])
            logged = self.tx.log.get(row.position)
            assert logged is not None
            self._set_outcome((row.subscription, logged.delivery.source, logged.id), "discarded")
        return row is not None

    def _open_case(self, case_id: int) -> CaseRow | None:
        row = self.tx.cases.get(case_id)
        return row if row is not None and row.state == "open" else None

    async def _lock_stuck(self, opened: CaseRow) -> PendingRow | None:
        def stuck() -> list[PendingRow]:
            rows = (r for r in self.tx.pending.rows() if r.state == "in_case")
            return sorted(
                (r for r in rows if r.position == opened.case.position), key=lambda r: r.id
            )

        for key in sorted({(r.scope, r.key) for r in stuck()}):
            await self.tx.lock("hold", [key])
        rows = stuck()
        return rows[0] if rows else None

    async def _park_without_case(self, stuck: PendingRow) -> None:
        in_cases = {c.case.position for c in self.tx.cases.rows() if c.state == "open"}
        queue = queues_of(self.tx.pending.rows())[stuck.scope, stuck.key]
        for row in queue:
            is_other = row.id != stuck.id and row.state == "in_case"
            if is_other and row.position not in in_cases:
                await self._set_due(row, "ready" if row is queue[0] else "parked")

    async def _resolve(self, case_id: int, action: str, by: str) -> None:
        opened = self.tx.cases.get(case_id)
        assert opened is not None
        await self.tx.lock("exception_case", [(opened.case.code, opened.case.place)])
        opened = self._open_case(case_id)
        if opened is None:
            raise RaceLost("the case is not open any more")
        self.tx.cases.put(case_id, replace(opened, state="resolved", closed_by=by))
        detail: dict[str, str | int | None] = {"case": case_id, "code": opened.case.code}
        self._note(Note(by, action, opened.case.place, "", detail))


MemoryStorage.unit_type = MemoryUnit


def _greatest(a: int | None, b: int | None) -> int | None:
    return max((n for n in (a, b) if n is not None), default=None)


def _logged(emission: Emission, position: Position, sequence: int) -> LogRow:
    """An event of ours as broker.store.outbox.emit logs it."""
    attributes = {
        "id": emission.id,
        "source": SOURCE,
        "type": emission.type,
        "subject": emission.key,
        "correlationid": emission.correlation_id,
        "causationid": emission.causation_id,
        "sequence": str(sequence),
    }
    delivery = Delivery(
        source=SOURCE,
        kind=emission.event,
        body=emission.body,
        content_type="application/json",
        attributes=attributes,
    )
    return LogRow(
        position,
        "out",
        emission.id,
        emission.key,
        emission.lane,
        emission.correlation_id,
        emission.causation_id,
        delivery,
        sequence,
    )
