"""Events leave from memory right after their commit; what cannot is left to the sweeper.

A row is ours until its lease ends. No publish is begun whose deadline could end after that, so
the sweeper of another process never works on a row we still speak for. A key whose row did not go
out is given up as a whole: its rows are the sweeper's, in their order.

Crash after a publish and before the row goes: the lease ends, the sweeper publishes it again under
the same id, and the subscriber's inbox absorbs it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic

import asyncpg
import structlog

from broker.failpoints import FailPoints
from broker.lineup import Lineup, Slot
from broker.metrics import Metrics
from broker.publisher import CHANNELS, OUT, Outcome, Publisher
from broker.store import Database
from broker.store import outbox as outbox_rows
from broker.store.handover import STOPPED, OutboxRow, Owned

log = structlog.get_logger(__name__)

DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
# Unconfirmed rows per channel.
WINDOW = 512
# Copies of rows in memory at most; what exceeds them is the sweeper's.
MEMORY_ROWS = 2_000
MEMORY_BYTES = 16 * 1024 * 1024
# Rows cleared or given back in one statement.
SETTLE_BATCH = 1_000
# For so long confirmed rows are gathered. To clear what comes with each confirm took 200 commits a
# second of a busy process; what is not cleared is published twice after a crash, and absorbed.
GATHER_S = 0.05


class Relay:
    """Takes over rows after their commit and publishes them. `turn` clears what is confirmed."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        database: Database,
        metrics: Metrics,
        fail_points: FailPoints,
        memory_rows: int = MEMORY_ROWS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._publisher = publisher
        self._database = database
        self._metrics = metrics
        self._fail_points = fail_points
        self._memory_rows = memory_rows
        self._memory_bytes = memory_bytes
        self._lineup = Lineup(channels=CHANNELS, window=WINDOW)
        self._until: dict[int, float] = {}
        # The newest row of a key that is ours and not cleared.
        self._tails: dict[str, int] = {}
        # Keys given up, and until when rows chained to the rows given up may still come in.
        self._stopped: dict[str, float] = {}
        self._confirmed: dict[int, str] = {}
        self._given_up: set[int] = set()
        self._publishes: set[asyncio.Task[None]] = set()
        self._is_drained = False
        self.wake: Callable[[], None] = lambda: None
        self.wake_sweeper: Callable[[], None] = lambda: None

    # What emitting transactions ask and bring (broker.store.handover.Handover)

    @property
    def lease_s(self) -> float:
        """Time to commit, hand over and begin a publish, and then its whole deadline.

        It is what a dead process keeps others waiting, so no longer than needed.
        """
        return 1.5 * self._publisher.confirm_s

    @property
    def in_hand(self) -> int:
        """Rows not confirmed, and rows confirmed and not cleared."""
        return self._lineup.rows + len(self._confirmed)

    def has_room(self, rows: int, body_bytes: int) -> bool:
        """Whether so much more fits, and the broker took what came last."""
        return (
            self._publisher.is_working
            and not self._is_drained
            and self.in_hand + rows <= self._memory_rows
            and self._lineup.body_bytes + body_bytes <= self._memory_bytes
        )

    def tails(self, keys: Collection[str]) -> Mapping[str, int]:
        """The newest row in hand, by key; STOPPED for a key given up a moment ago."""
        return {
            key: STOPPED if key in self._stopped else self._tails[key]
            for key in keys
            if key in self._tails or key in self._stopped
        }

    def take(self, owned: Sequence[Owned], *, others: bool) -> None:
        """The rows are on their way, or given up where there is no room or an older one was."""
        for each in owned:
            row = each.row
            if row.key in self._stopped or not self.has_room(1, len(row.body)):
                self._give_up(row.key, [row])
                continue
            self._lineup.add(row)
            self._until[row.id] = each.until
            self._tails[row.key] = row.id
        self._start()
        if others:
            self.wake_sweeper()

    # Publishing

    def _start(self) -> None:
        """Everything that may go out now is being published."""
        lot: list[tuple[OutboxRow, Slot]] = []
        for row in () if self._is_drained else self._lineup.startable():
            if monotonic() + self._publisher.confirm_s > self._until[row.id]:
                self._stop(row.key)
            else:
                lot.append((row, self._lineup.slot_of(row)))
        if lot:
            task = asyncio.create_task(self._publish(lot), name=f"publish-{lot[0][0].id}")
            self._publishes.add(task)
            task.add_done_callback(self._ended)

    async def _publish(self, lot: Sequence[tuple[OutboxRow, Slot]]) -> None:
        """Each row is out, or its key is given up."""
        unsettled = {row.id: row for row, _ in lot}

        async def settled(fates: Sequence[tuple[OutboxRow, Outcome]]) -> None:
            for lane, number in Counter(_lane(r) for r, o in fates if o == "confirmed").items():
                self._metrics.published.labels(lane, "memory").inc(number)
            for row, outcome in fates:
                if __debug__ and outcome == "confirmed":
                    await self._fail_points("relay.after_confirm")
                del unsettled[row.id]
                if outcome in OUT:
                    self._is_out(row)
                else:
                    self._stop(row.key)
            self._start()

        try:
            if __debug__:
                for _ in lot:
                    await self._fail_points("relay.after_claim")
            await self._publisher.publish(lot, settled)
        finally:
            for row in unsettled.values():
                self._stop(row.key)
            self._start()

    def _is_out(self, row: OutboxRow) -> None:
        self._lineup.confirmed(row)
        del self._until[row.id]
        self._confirmed[row.id] = row.key
        self.wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._publishes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("publish failed", task=task.get_name(), exc_info=error)

    def _stop(self, key: str) -> None:
        self._give_up(key, self._lineup.stop(key))

    def _give_up(self, key: str, rows: Iterable[OutboxRow]) -> None:
        """The rows are the sweeper's; rows that were chained to them will be."""
        for row in rows:
            self._until.pop(row.id, None)
            self._given_up.add(row.id)
        self._stopped[key] = monotonic() + self.lease_s
        self._tails.pop(key, None)
        self.wake()

    # Settling, in turns of a Loop

    async def turn(self) -> bool:
        """Confirmed rows are cleared, rows given up are the sweeper's; True if more of either wait
        than one statement takes.

        Crash before: confirmed rows are published again; rows given up lapse. Raises where the
        database is away (all is kept for the next turn) and where RabbitMQ takes nothing.
        """
        now = monotonic()
        self._stopped = {key: until for key, until in self._stopped.items() if until > now}
        await self._settle()
        if not self._publisher.is_working:
            await self._publisher.ready()
        return max(len(self._confirmed), len(self._given_up)) >= SETTLE_BATCH

    async def _settle(self) -> bool:
        cleared = dict(list(self._confirmed.items())[:SETTLE_BATCH])
        given_up = list(self._given_up)[:SETTLE_BATCH]
        if not cleared and not given_up:
            return False
        async with self._database.session() as session:
            if cleared:
                await outbox_rows.clear_rows(session, cleared)
            if given_up:
                if __debug__:
                    await self._fail_points("relay.before_release")
                await outbox_rows.release_rows(session, given_up)
        if __debug__:
            await self._fail_points("relay.after_mark")
        for row_id, key in cleared.items():
            del self._confirmed[row_id]
            if self._tails.get(key) == row_id:
                del self._tails[key]
        if given_up:
            self._given_up.difference_update(given_up)
            self.wake_sweeper()
        return True

    async def drain(self, deadline_s: float) -> None:
        """Publishes under way have ended and are settled, as far as the deadline allows.

        What is left lapses to the sweeper of whoever runs next.
        """
        until = monotonic() + deadline_s
        while self._publishes and (left_s := until - monotonic()) > 0:
            await asyncio.wait(set(self._publishes), timeout=left_s)
        self._is_drained = True
        if self._publishes:
            for task in self._publishes:
                task.cancel()
            await asyncio.wait(set(self._publishes), timeout=1)
        try:
            while await self._settle():
                pass
        except DATABASE_ERRORS as error:
            log.warning("not settled: rows will be published again", error=repr(error)[:200])


def _lane(row: OutboxRow) -> str:
    return row.exchange.rpartition(".")[2]
