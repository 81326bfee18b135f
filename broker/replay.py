"""Replay: messages of the log go down the path once more, on purpose, slowly and on record.

A replay queues them as unfinished work, slice by slice; the row workers of the lanes do the rest.
Its place in the log moves in the transaction that queues a slice, so a process that is killed at
any point leaves a replay that goes on exactly where it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from time import monotonic
from typing import Literal

import asyncpg
import msgspec

from broker import cases
from broker.blame import ACCUSES_A_MESSAGE
from broker.failpoints import FailPoints
from broker.intake import UNREAD, Arrival, Work
from broker.metrics import Metrics
from broker.ordering import claims
from broker.reading import Reader, is_content_gone, portions
from broker.store import Database, Position, Tx
from broker.store import cases as case_rows
from broker.store import lane_work as lane_rows
from broker.store import messages as message_rows
from broker.store import order as order_rows
from broker.store import pending as pending_rows
from broker.store import replays as rows
from broker.store import selections as selection_rows
from broker.store.pending import NewPending
from broker.store.replays import Counts, Load, Mode, Queued, Replay, Standing
from broker.store.selections import Extent, Logged, Selection, Slice
from broker.store.views import snapshot
from canonical.envelope import Lane
from canonical.package import is_reference

Fate = Literal[
    "queued", "released", "duplicates", "unfinished", "too_old", "not_taken", "content_gone"
]

# A slice is what is queued in one transaction: a second's worth, and never more than this.
SLICE = 100
# With so many live rows due, one turn of a row worker, a replay waits.
LIVE_ROWS = 50
YIELD_S = 0.2
# One that waits for its own messages looks again after this, while some of them are finished within
# a second.
SOON_S, MOVING_S = 0.05, 1.0
# What handled messages cost, which are looked at and left alone.
LOOKS_PER_S = 2_000
# While a process reads a slice, others leave the replay alone: for so long, or for as long as a
# package may take. One that dies meanwhile holds it up for no longer.
LEASE_S = 2.0


@dataclass(frozen=True, slots=True)
class Sorted:
    """A logged message, how it is read today, and what a replay does about it."""

    message: Logged
    work: Work
    fate: Fate


async def sort(
    tx: Tx,
    messages: Sequence[Logged],
    works: Sequence[Work],
    *,
    mode: Mode,
    oldest: datetime,
) -> list[Sorted]:
    """What a replay does about each of these messages; nothing is changed.

    works: how each of them is read today. oldest: whether an older message was handled is not known
    any more.
    """
    keyed = {w.entry.identity: key for w in works if (key := w.order_key) is not None}
    known = await rows.standing(tx, list(keyed), list(keyed.values()))
    seen: set[rows.Identity] = set()
    result: list[Sorted] = []
    for message, work in zip(messages, works, strict=True):
        identity = work.entry.identity
        fate = fate_of(work, known.get(identity), mode=mode, oldest=oldest)
        # The same identity twice in the log: the first one counts.
        result.append(Sorted(message, work, "duplicates" if identity in seen else fate))
        seen |= {identity}
    return result


async def read_logged(messages: Sequence[Logged], reader: Reader) -> list[Work]:
    """The messages as today's handlers read them, with what they refer to.

    It takes what that takes: no transaction is to be open meanwhile.
    """
    return await reader.arrivals([_arrival(message) for message in messages])


async def read_selected(
    database: Database,
    selection: Selection,
    extent: Extent,
    *,
    reader: Reader,
    at_most: int,
) -> AsyncIterator[tuple[Sequence[Logged], list[Work]]]:
    """All that is selected, the oldest first, until there are `at_most` of them; as much at once as
    a commit may hold, each with how it is read today."""
    if extent.span is None:
        return
    cursor, end = Position(extent.span[0], -1), Position(extent.span[1], selection_rows.LAST)
    seen = 0
    while cursor != end and seen < at_most:
        limit = min(SLICE, at_most - seen)
        async with snapshot(database) as tx:
            found = await selection_rows.next_slice(
                tx, selection, after=cursor, end=end, limit=limit
            )
        found = first_portion(found)
        cursor = found.cursor
        seen += len(found.messages)
        yield found.messages, await read_logged(found.messages, reader)


def first_portion(found: Slice) -> Slice:
    """As much of it, from its beginning, as one commit may hold: a package comes alone."""
    cut = portions([_arrival(message) for message in found.messages])
    if len(cut) < 2:
        return found
    messages = found.messages[: len(cut[0])]
    return Slice(messages, messages[-1].position)


def _arrival(message: Logged) -> Arrival:
    return Arrival(message.delivery, message.lane, queue="", logged=message.position)


def fate_of(work: Work, known: Standing | None, *, mode: Mode, oldest: datetime) -> Fate:
    """What a replay does about one message. known: None if nobody is known to have handled it."""
    place = work.entry.logged
    assert place is not None
    if work.message is None or work.order_key is None:
        return "content_gone" if is_content_gone(work) else "not_taken"
    if known is None:
        return "too_old" if mode == "redeliver" and place.at < oldest else "queued"
    if known.position != place:
        return "duplicates"
    if known.state is not None:
        return "released" if known.state == "in_case" else "unfinished"
    return "queued" if mode == "reprocess" else "duplicates"


def slice_size(rate: float) -> int:
    """Messages queued in one transaction at that rate."""
    return max(1, min(ceil(rate), SLICE))


def held_up(load: Load, *, size: int) -> str:
    """Why no slice is queued now; "" if nothing speaks against it.

    A replay stays below live traffic: it waits while live rows or deliveries do. And no more than
    two slices of it are on their way or in cases, so that its messages never crowd a lane, and one
    whose messages fail comes to a stand by itself. What is behind a case crowds nobody.
    """
    unfinished = load.on_their_way + load.in_cases
    if unfinished > size:
        cases = f", {load.in_cases} of them in cases" if load.in_cases else ""
        return f"{unfinished} of its messages are not finished{cases}"
    if load.backlog or load.live >= LIVE_ROWS:
        return "live messages go first"
    return ""


class Replayer:
    """Queues the slices of the replays that run. Starts nothing by itself."""

    def __init__(
        self,
        *,
        database: Database,
        reader: Reader,
        dedupe_window: timedelta,
        metrics: Metrics,
        fail_points: FailPoints,
        backlogs: Callable[[], Collection[Lane]],
        committed: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """backlogs: lanes with more deliveries waiting in this process than they take at once.
        committed: rows may be due."""
        self._database = database
        self._reader = reader
        self._dedupe_window = dedupe_window
        self._metrics = metrics
        self._fail_points = fail_points
        self._backlogs = backlogs
        self._committed = committed
        self._now = now
        # What was on its way of which replay when it was looked at last, and when less of it was.
        self._seen = (0, 0)
        self._moved_at = float("-inf")

    async def turn(self) -> bool:
        """The next slice of one replay is queued, or waits for messages of its own that are being
        finished; False where none is due or it has to wait longer.

        It is read between two transactions, with nothing locked, since a package takes its time:
        meanwhile the replay is not due for others, and the slice counts only if the replay still
        stands before it. Crash before the second commit: nothing happened, and the replay is due
        again after its lease. After it: the slice is queued and the replay stands behind it.
        """
        await self._tell_backlogs()
        async with self._database.transaction() as tx:
            replay = await rows.take_turn(tx)
            if replay is None:
                return False
            load = await rows.load(tx, replay.id, bound=LIVE_ROWS)
            if replay.cursor == replay.end:
                return await self._end(tx, replay, load)
            is_moving = self._is_moving(replay, load)
            found = await self._next_slice(tx, replay, load, is_moving=is_moving)
        if found is None:
            if is_moving:
                await asyncio.sleep(SOON_S)
            return is_moving
        works = await read_logged(found.messages, self._reader)
        if __debug__:
            await self._fail_points("replay.after_read")
        try:
            async with self._database.transaction() as tx:
                now = await rows.lock(tx, replay.id)
                if now is None or (now.state, now.cursor) != ("running", replay.cursor):
                    return False
                counts = await self._queue_slice(tx, replay, found, works)
                if __debug__:
                    await self._fail_points("replay.before_commit")
        except asyncpg.PostgresError as error:
            if not (error.sqlstate or "").startswith(ACCUSES_A_MESSAGE):
                raise
            await self._give_up(replay, error)
            return True
        if __debug__:
            await self._fail_points("replay.after_commit")
        self._seen = (replay.id, load.on_their_way + counts.queued)
        self._committed()
        return True

    async def _tell_backlogs(self) -> None:
        """Whatever process has the next turn, it knows what waits in this one."""
        if lanes := self._backlogs():
            async with self._database.session() as session:
                await lane_rows.tell_backlog(session, lanes)

    def _is_moving(self, replay: Replay, load: Load) -> bool:
        """Whether its messages are being finished, as far as this process has seen."""
        before, self._seen = self._seen, (replay.id, load.on_their_way)
        if before[0] == replay.id and load.on_their_way < before[1]:
            self._moved_at = monotonic()
        return monotonic() - self._moved_at < MOVING_S

    async def _next_slice(
        self, tx: Tx, replay: Replay, load: Load, *, is_moving: bool
    ) -> Slice | None:
        """What is to be read and queued next, the replay being ours meanwhile; None: it waits.

        is_moving: for its own messages, and not for long: that need not be on record.
        """
        size = slice_size(replay.rate)
        if why := held_up(load, size=size):
            if not is_moving:
                await rows.wait(tx, replay.id, seconds=YIELD_S, note=why)
            return None
        found = first_portion(
            await selection_rows.next_slice(
                tx, replay.selection, after=replay.cursor, end=replay.end, limit=size
            )
        )
        if any(is_reference(m.delivery.content_type) for m in found.messages):
            lease_s, note = self._reader.read_s, "its next message is a package, which is read"
        else:
            lease_s, note = LEASE_S, ""
        await rows.wait(tx, replay.id, seconds=lease_s, note=note)
        return found

    async def _queue_slice(
        self, tx: Tx, replay: Replay, found: Slice, works: Sequence[Work]
    ) -> Counts:
        counts = await self._queue(tx, replay, found.messages, works)
        taken = counts.queued + counts.released
        costs_s = taken / replay.rate + (counts.looked - taken) / LOOKS_PER_S
        await rows.move(tx, replay, cursor=found.cursor, counts=counts, costs_s=costs_s)
        return counts

    async def _end(self, tx: Tx, replay: Replay, load: Load) -> bool:
        """Done once nothing of it is on its way; what waits for a person is the person's."""
        if load.on_their_way:
            note = f"the last {load.on_their_way} of its messages are not finished"
            await rows.wait(tx, replay.id, seconds=YIELD_S, note=note)
            return False
        await rows.change_state(tx, replay.id, "done")
        return True

    async def _give_up(self, replay: Replay, error: asyncpg.PostgresError) -> None:
        note = f"the database refuses a message behind {replay.cursor.at} ({error.sqlstate})"
        async with self._database.transaction() as tx:
            now = await rows.lock(tx, replay.id)
            if now is not None and now.state == "running":
                await rows.change_state(tx, replay.id, "failed", note=note)
            if __debug__:
                await self._fail_points("replay.before_give_up")

    async def _queue(
        self, tx: Tx, replay: Replay, messages: Sequence[Logged], works: Sequence[Work]
    ) -> Counts:
        """Unfinished rows for what is to be decided, behind the holds of its keys."""
        oldest = self._now() - self._dedupe_window
        found = await sort(tx, messages, works, mode=replay.mode, oldest=oldest)
        queued = [s for s in found if s.fate == "queued"]
        released = [s for s in found if s.fate == "released"]
        # Objects first, then inbox rows, then holds: the order of tables everywhere. How far the
        # flow has come with an object is not for a replay to say: it takes what it selects.
        taken = claims(s.work for s in queued)
        await order_rows.lock_order(
            tx, {key: msgspec.structs.replace(claim, sequence=0) for key, claim in taken.items()}
        )
        admitted = await message_rows.admit(tx, [s.work.entry for s in queued])
        if replay.mode == "redeliver":
            queued = [s for s in queued if s.work.entry.identity in admitted]
        await pending_rows.held_keys(tx, [_key(s.work) for s in (*queued, *released)])
        await pending_rows.add_pending(tx, [self._row(s.work, replay) for s in queued])
        await _settle_cases(tx, replay, queued, released)
        again = {
            # What is older than what is remembered was handled, as far as the log tells.
            s.work.entry.identity: s.work.entry.identity not in admitted
            or s.message.position.at < oldest
            for s in queued
        }
        again |= {s.work.entry.identity: False for s in released}
        await rows.mark(tx, replay.id, [_queued(s.work) for s in (*queued, *released)], again)
        fates = Counter[str](s.fate for s in found)
        fates["duplicates"] += fates["queued"] - len(queued)
        fates["queued"] = len(queued)
        for fate, number in fates.items():
            self._metrics.replayed.labels(replay.mode, fate).inc(number)
        return Counts(looked=len(found), **fates)

    def _row(self, work: Work, replay: Replay) -> NewPending:
        assert work.handler is not None
        assert work.entry.logged is not None
        scope, key = _key(work)
        return NewPending(
            subscription=work.handler.name,
            scope=scope,
            key=key,
            lane=work.lane,
            position=work.entry.logged,
            state="ready",
            due_at=self._now(),
            reason=f"replay {replay.id}",
            version=work.version,
            passes=work.passes,
        )


async def _settle_cases(
    tx: Tx, replay: Replay, queued: Sequence[Sorted], released: Sequence[Sorted]
) -> None:
    """Messages in cases are tried again as a person would; what is read at last needs none."""
    unread = [s for s in queued if s.message.type == UNREAD]
    about = [s.message.position for s in (*unread, *released)]
    known = await rows.cases_at(tx, about) if about else {}
    why = f"replay {replay.id}: {replay.reason}"
    for s in sorted(released, key=lambda s: _key(s.work)):
        if (case := known.get(s.message.position)) is not None:
            await cases.retry(tx, case_id=case, by=replay.created_by, reason=why)
        elif (stuck := await case_rows.lock_stuck(tx, s.message.position)) is not None:
            await case_rows.make_ready(tx, stuck)
    for s in unread:
        if (case := known.get(s.message.position)) is not None:
            await cases.read_at_last(tx, case_id=case, by=replay.created_by, reason=why)


def _key(work: Work) -> tuple[str, str]:
    assert work.order_key is not None
    return work.order_key


def _queued(work: Work) -> Queued:
    assert work.entry.logged is not None
    return Queued(work.entry.subscription, *_key(work), work.entry.logged)
