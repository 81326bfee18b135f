"""A simulation that cannot fail is worth nothing: each promise is broken once, and noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from broker.decision import Context, Verdict, broken
from broker.intake import Arrival, Work
from broker.pipeline import Pipeline
from broker.store import Position
from broker.store.messages import LogEntry
from broker.store.order import Claim, Gap, LoggedEvent, OrderKey, Taken
from broker.store.outbox import Emission
from broker.store.pending import NewPending, PendingWork
from broker.unit import Unit
from canonical.envelope import Lane
from tests.simulation.memory import MemoryStorage, MemoryUnit, may_begin
from tests.simulation.simulate import run
from tests.simulation.tables import Identity, InboxRow, OrderRow
from tests.simulation.world import Broker, Channel, Turn, Violation, World

SEEDS = range(300)


class NoOrderLocks(MemoryUnit):
    """Batches of one object are decided side by side."""

    async def lock_order(self, claims: Mapping[OrderKey, Claim]) -> dict[OrderKey, Taken]:
        taken: dict[OrderKey, Taken] = {}
        for key, claim in claims.items():
            row = self.tx.order.get(key) or OrderRow(0, 0, None)
            newest = max((v for v in (row.newest, claim.newest) if v is not None), default=None)
            taken[key] = Taken(row.done, newest)
            self.tx.order.put(key, OrderRow(max(row.done, claim.sequence), row.done, newest))
        return taken


class NothingMissed(MemoryUnit):
    """An event that was overtaken is not taken along."""

    async def missed_events(self, gaps: Sequence[Gap], *, since: datetime) -> list[LoggedEvent]:
        return []


class NoHolds(MemoryUnit):
    """What waits holds nothing back."""

    async def held_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        return frozenset()


class NoInbox(MemoryUnit):
    """Repeats are taken for new messages."""

    async def admit(self, entries: Sequence[LogEntry]) -> dict[Identity, Position]:
        positions = await super().admit(entries)
        for entry in entries:
            known = self.tx.inbox.get(entry.identity)
            assert known is not None
            positions.setdefault(entry.identity, known.position)
        return positions


class InboxAhead(MemoryUnit):
    """The inbox row is there before the transaction that it belongs to is committed."""

    async def admit(self, entries: Sequence[LogEntry]) -> dict[Identity, Position]:
        positions = await super().admit(entries)
        for entry in entries:
            if entry.identity in positions:
                row = InboxRow(entry.digest, positions[entry.identity])
                self.tx.tables.inbox[entry.identity] = row
        return positions


class EventsAhead(MemoryUnit):
    """Events are out before the transaction that says them is committed."""

    async def _emit(self, emissions: Sequence[Emission]) -> None:
        await super()._emit(emissions)
        for view in (self.tx.log, self.tx.events, self.tx.outbox, self.tx.numbers):
            view.commit()


class NobodyNext(MemoryUnit):
    """A row that is done does not free the next one."""

    async def _finish(self, works: Sequence[PendingWork]) -> None:
        for work in works:
            self.tx.pending.drop(work.id)


class NoCases(MemoryUnit):
    """What waits for a person is shown to nobody."""

    async def apply(
        self, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
    ) -> bool:
        leaves_work = await super().apply(verdicts, positions, context)
        for row in list(self.tx.cases.new_rows()):
            self.tx.cases.drop(row.id)
        return leaves_work


class WeatherBurns(MemoryUnit):
    """Waiting behind another message counts as a try."""

    async def _add_pending(self, rows: Sequence[NewPending]) -> None:
        await super()._add_pending([replace(row, attempts=1) for row in rows])


class GapInNumbers(MemoryUnit):
    """A number is given to no event."""

    async def _emit(self, emissions: Sequence[Emission]) -> None:
        await super()._emit(emissions)
        for key in sorted({e.key for e in emissions})[:1]:
            self.tx.numbers.put(key, (self.tx.numbers.get(key) or 0) + 1)


class BlamesAnybody(Pipeline):
    """A database that is away is a message's fault."""

    async def _judge(self, error: Exception, failures: int) -> Callable[[Work], Work]:
        return lambda work: broken(work, error)


class AccusesNeighbours(Pipeline):
    """What came back is quarantined with the one beside it that was begun so often."""

    _most = 0

    async def _begin(self, arrival: Arrival, *, suspect: bool) -> int:
        begun = await super()._begin(arrival, suspect=suspect)
        self._most = max(self._most, begun)
        return self._most if begun else 0


class BeginsAllAtOnce(Pipeline):
    """All that came back is begun on record before any of it is decided."""

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.redelivered:
                await self._begin(arrival, suspect=True)
        await super().take(arrivals)


class SuspectsSideBySide(Pipeline):
    """Each lane of a process has a suspect in hand, for itself."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**{**parts, "one_suspect": Turn()})


class KeepsItsMarks(Pipeline):
    """What this process began and could not end stays counted, though it lives."""

    async def _withdraw(self, withdraw: Callable[[Unit], Awaitable[None]]) -> None:
        pass


class AccusesTogether(MemoryUnit):
    """Suspects are counted with the one that is taken, not each when its turn comes."""

    async def begin_suspect(self, row_id: int, *, worker: str) -> int:
        for row in list(self.tx.pending.rows()):
            if row.begun and row.id != row_id and may_begin(row, worker, self.tx.began_at):
                await super().begin_suspect(row.id, worker=worker)
        return await super().begin_suspect(row_id, worker=worker)


class AckFirst(Broker):
    """Deliveries are acknowledged when they are taken, not when they are committed."""

    def deliver(self, lane: Lane, channel: Channel, limit: int) -> list[Arrival]:
        arrivals = super().deliver(lane, channel, limit)
        self.acknowledge(channel, arrivals)
        return arrivals


@pytest.mark.parametrize(
    ("unit", "noticed"),
    [
        (NoOrderLocks, "order|overtaken|end"),
        (NothingMissed, "passed"),
        (NoHolds, "overtaken"),
        (NoInbox, "effects|passed"),
        (InboxAhead, "not in the log|lost|effects"),
        (EventsAhead, "effects"),
        (NobodyNext, "hold without rows|waits for nothing"),
        (NoCases, "in no case"),
        (WeatherBurns, "blamed for nothing"),
        (GapInNumbers, "numbers of"),
        (AccusesTogether, "by one crash|leaves"),
    ],
)
def test_a_broken_unit_is_noticed(unit: type[MemoryUnit], noticed: str) -> None:
    class Storage(MemoryStorage):
        unit_type = unit

    class Broken(World):
        storage_type = Storage

    with pytest.raises(Violation, match=noticed):
        _run_all(Broken)


@pytest.mark.parametrize(
    ("pipeline", "noticed"),
    [
        (BlamesAnybody, "blamed for nothing"),
        (AccusesNeighbours, "quarantines .* after [01] crashes"),
        (BeginsAllAtOnce, "by one crash"),
        (SuspectsSideBySide, "by one crash"),
        (KeepsItsMarks, "lives and leaves"),
    ],
)
def test_a_broken_pipeline_is_noticed(pipeline: type[Pipeline], noticed: str) -> None:
    class Broken(World):
        pipeline_type = pipeline

    with pytest.raises(Violation, match=noticed):
        _run_all(Broken)


def test_an_early_acknowledgement_is_noticed() -> None:
    class Broken(World):
        broker_type = AckFirst

    with pytest.raises(Violation, match="lost"):
        _run_all(Broken)


def _run_all(world_type: type[World]) -> None:
    for seed in SEEDS:
        run(seed, world_type)
