"""Replay: messages of the log go down the path once more, on purpose, slowly and on record.

A replay queues them as unfinished work, slice by slice; the row workers of the lanes do the rest.
Its place in the log moves in the transaction that queues a slice, so a process that is killed at
any point leaves a replay that goes on exactly where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Literal

import asyncpg
import msgspec

from broker import cases
from broker.blame import ACCUSES_A_MESSAGE
from broker.failpoints import FailPoints
from broker.intake import UNREAD, Arrival, Recognise, Work, read_arrival
from broker.metrics import Metrics
from broker.ordering import claims
from broker.store import Database, Tx
from broker.store import cases as case_rows
from broker.store import messages as message_rows
from broker.store import order as order_rows
from broker.store import pending as pending_rows
from broker.store import replays as rows
from broker.store import selections as selection_rows
from broker.store.pending import NewPending
from broker.store.replays import Counts, Load, Mode, Queued, Replay, Standing
from broker.store.selections import Logged

Fate = Literal["queued", "released", "duplicates", "unfinished", "too_old", "not_taken"]

# A slice is what is queued in one transaction: a second's worth, and never more than this.
SLICE = 100
# With so many live rows due, one turn of a row worker, a replay waits.
LIVE_ROWS = 50
YIELD_S = 0.2
# What handled messages cost, which are looked at and left alone.
LOOKS_PER_S = 2_000


@dataclass(frozen=True, slots=True)
class Sorted:
    """A logged message, how it is read today, and what a replay does about it."""

    message: Logged
    work: Work
    fate: Fate


async def sort(
    tx: Tx, messages: Sequence[Logged], *, mode: Mode, recognise: Recognise, oldest: datetime
) -> list[Sorted]:
    """What a replay does about each of these messages; nothing is changed.

    oldest: whether an older message was handled is not known any more.
    """
    works = [read_logged(message, recognise) for message in messages]
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


def read_logged(message: Logged, recognise: Recognise) -> Work:
    """The message as today's handlers read it."""
    arrival = Arrival(message.delivery, message.lane, queue="", logged=message.position)
    return read_arrival(arrival, recognise)


def fate_of(work: Work, known: Standing | None, *, mode: Mode, oldest: datetime) -> Fate:
    """What a replay does about one message. known: None if nobody is known to have handled it."""
    place = work.entry.logged
    assert place is not None
    if work.order_key is None:
        return "not_taken"
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


def held_up(load: Load, *, size: int, busy: bool) -> str:
    """Why no slice is queued now; "" if nothing speaks against it.

    A replay stays below live traffic: it waits while live rows or deliveries do. And no more than
    two slices of it are on their way or in cases, so that its messages never crowd a lane, and one
    whose messages fail comes to a stand by itself. What is behind a case crowds nobody.
    """
    unfinished = load.on_their_way + load.in_cases
    if unfinished > size:
        cases = f", {load.in_cases} of them in cases" if load.in_cases else ""
        return f"{unfinished} of its messages are not finished{cases}"
    if busy or load.live >= LIVE_ROWS:
        return "live messages go first"
    return ""


class Replayer:
    """Queues the slices of the replays that run. Starts nothing by itself."""

    def __init__(
        self,
        *,
        database: Database,
        recognise: Recognise,
        dedupe_window: timedelta,
        metrics: Metrics,
        fail_points: FailPoints,
        busy: Callable[[], bool],
        committed: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """busy: whether deliveries wait in this process. committed: rows may be due."""
        self._database = database
        self._recognise = recognise
        self._dedupe_window = dedupe_window
        self._metrics = metrics
        self._fail_points = fail_points
        self._busy = busy
        self._committed = committed
        self._now = now

    async def turn(self) -> bool:
        """The next slice of one replay is queued; False where none is due or it has to wait.

        One process at a time works on a replay: its row stays locked. Crash before the commit:
        nothing happened. After it: the slice is queued and the replay stands behind it.
        """
        replay: Replay | None = None
        try:
            async with self._database.transaction() as tx:
                replay = await rows.take_turn(tx)
                if replay is None:
                    return False
                went_on = await self._go_on(tx, replay)
                if __debug__:
                    await self._fail_points("replay.before_commit")
        except asyncpg.PostgresError as error:
            if replay is None or not (error.sqlstate or "").startswith(ACCUSES_A_MESSAGE):
                raise
            await self._give_up(replay, error)
            return True
        if __debug__:
            await self._fail_points("replay.after_commit")
        if went_on:
            self._committed()
        return went_on

    async def _go_on(self, tx: Tx, replay: Replay) -> bool:
        size = slice_size(replay.rate)
        load = await rows.load(tx, replay.id, bound=LIVE_ROWS)
        if replay.cursor == replay.end:
            return await self._end(tx, replay, load)
        if why := held_up(load, size=size, busy=self._busy()):
            await rows.wait(tx, replay.id, seconds=YIELD_S, note=why)
            return False
        found = await selection_rows.next_slice(
            tx, replay.selection, after=replay.cursor, end=replay.end, limit=size
        )
        counts = await self._queue(tx, replay, found.messages)
        costs_s = (counts.queued + counts.released) / replay.rate + counts.looked / LOOKS_PER_S
        await rows.move(tx, replay.id, cursor=found.cursor, counts=counts, costs_s=costs_s)
        return True

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

    async def _queue(self, tx: Tx, replay: Replay, messages: Sequence[Logged]) -> Counts:
        """Unfinished rows for what is to be decided, behind the holds of its keys."""
        oldest = self._now() - self._dedupe_window
        found = await sort(tx, messages, mode=replay.mode, recognise=self._recognise, oldest=oldest)
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
        again = {s.work.entry.identity: s.work.entry.identity not in admitted for s in queued}
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
