"""Publishes what no process holds in memory: rows of a process that died, of one that could not
get them out, and of those that never owned them.

One process leads, by a session lock, so that the work is done once. Should two lead for a moment,
rows are published twice under the same id and cleared twice: both change nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from time import monotonic

import structlog

from broker.failpoints import FailPoints
from broker.lineup import lined_up
from broker.metrics import Metrics
from broker.publisher import CHANNELS, OUT, Outcome, Publisher, Unpublishable
from broker.relay import WINDOW
from broker.store import Database, Tx
from broker.store import outbox as outbox_rows
from broker.store.handover import OutboxRow
from broker.store.outbox import Refusal, RefusedEvents

log = structlog.get_logger(__name__)

# Readiness names an event that is refused for so long.
REFUSED_S = 5.0
LOOK_S = 1.0
NAMED = 5


class Sweeper:
    """Publishes due rows in order per key. `turn` is one sweep; a Loop repeats it."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        database: Database,
        metrics: Metrics,
        fail_points: FailPoints,
        refused_s: float = REFUSED_S,
    ) -> None:
        self._publisher = publisher
        self._database = database
        self._metrics = metrics
        self._fail_points = fail_points
        self._refused_s = refused_s
        self._looked_at = float("-inf")
        # What the broker has refused for a while, in words; "" where nothing is.
        self.trouble = ""

    async def turn(self) -> bool:
        """Due rows are published; True if any went out, so that there may be more.

        Raises where RabbitMQ cannot be reached or blocks publishers: that is no row's fault, and
        none of them is marked for it.
        """
        async with self._database.session(may_lock=True) as session:
            await self._look(session)
            if not await outbox_rows.try_relay_lock(session):
                return False
            try:
                return await self._sweep(session)
            finally:
                await outbox_rows.release_relay_lock(session)

    async def _sweep(self, session: Tx) -> bool:
        rows = await outbox_rows.due_rows(session)
        if not rows:
            return False
        await self._publisher.ready()
        if __debug__:
            await self._fail_points("relay.after_claim")
        out, refused = await self._publish(rows)
        await outbox_rows.clear_swept(session, [r.id for r in out])
        if __debug__:
            await self._fail_points("relay.after_mark")
        if refused and not self._publisher.is_connected:
            raise Unpublishable("the connection to RabbitMQ was lost")
        if refused:
            if __debug__:
                await self._fail_points("relay.before_refuse")
            await outbox_rows.refuse_rows(
                session, [Refusal(row.id, why, random.random()) for row, why in refused]
            )
        return bool(out)

    async def _publish(
        self, rows: Sequence[OutboxRow]
    ) -> tuple[list[OutboxRow], list[tuple[OutboxRow, Outcome]]]:
        """What went out, and the first row of each key that did not."""
        lineup = lined_up(rows, channels=CHANNELS, window=WINDOW)
        out: list[OutboxRow] = []
        refused: list[tuple[OutboxRow, Outcome]] = []

        async def settled(fates: Sequence[tuple[OutboxRow, Outcome]]) -> None:
            for row, outcome in fates:
                if outcome == "confirmed":
                    if __debug__:
                        await self._fail_points("relay.after_confirm")
                    lane = row.exchange.rpartition(".")[2]
                    self._metrics.published.labels(lane, "sweep").inc()
                if outcome in OUT:
                    out.append(row)
                    lineup.confirmed(row)
                else:
                    refused.append((row, outcome))
                    lineup.stop(row.key)
            start()

        async with asyncio.TaskGroup() as group:

            def start() -> None:
                lot = [(row, lineup.slot_of(row)) for row in lineup.startable()]
                if lot:
                    group.create_task(self._publisher.publish(lot, settled))

            start()
        return out, refused

    async def _look(self, session: Tx) -> None:
        """What readiness says about refused events is as the table says, in every process."""
        if monotonic() - self._looked_at < LOOK_S:
            return
        self.trouble = in_words(await outbox_rows.refused_events(session, for_s=self._refused_s))
        self._looked_at = monotonic()


def in_words(refused: Sequence[RefusedEvents]) -> str:
    """The events that are not publishable, by name and reason; "" where all are."""
    if not refused:
        return ""
    named = [f"{r.routing_key}.{r.exchange.rpartition('.')[2]} {r.why}" for r in refused[:NAMED]]
    if len(refused) > NAMED:
        named.append(f"{len(refused) - NAMED} more")
    return f"events not publishable: {', '.join(named)}"
