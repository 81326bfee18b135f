"""What may be published now: pure. One unconfirmed row a key, oldest first, and a bounded number
of unconfirmed rows a channel. Knows no broker, no table and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from broker.store.handover import OutboxRow


class Slot(NamedTuple):
    """A channel: one of a few of its exchange."""

    exchange: str
    number: int


class Lineup:
    """Rows in order per key. Whoever takes one from `startable` says what became of it."""

    def __init__(self, *, channels: int, window: int) -> None:
        """channels: per exchange; window: unconfirmed rows per channel."""
        self._channels = channels
        self._window = window
        self._waiting: dict[str, deque[OutboxRow]] = {}
        self._unconfirmed: dict[str, OutboxRow] = {}
        self._ready: dict[Slot, deque[str]] = {}
        self._in_flight: dict[Slot, int] = {}
        self.rows = 0
        self.body_bytes = 0

    def slot_of(self, row: OutboxRow) -> Slot:
        """The channel of a row: always the same one for a key and exchange."""
        return Slot(row.exchange, crc32(row.key.encode()) % self._channels)

    def add(self, row: OutboxRow) -> None:
        """The row stands behind the older ones of its key."""
        waiting = self._waiting.setdefault(row.key, deque())
        waiting.append(row)
        self.rows += 1
        self.body_bytes += len(row.body)
        if len(waiting) == 1 and row.key not in self._unconfirmed:
            self._make_ready(row)

    def startable(self) -> list[OutboxRow]:
        """Rows to publish now; they are unconfirmed from here on."""
        started: list[OutboxRow] = []
        for slot, keys in self._ready.items():
            while keys and self._in_flight.get(slot, 0) < self._window:
                row = self._start(keys.popleft(), slot)
                if row is not None:
                    started.append(row)
        return started

    def confirmed(self, row: OutboxRow) -> None:
        """The row is out; the next one of its key may go."""
        self._end(row)
        waiting = self._waiting.get(row.key)
        if waiting:
            self._make_ready(waiting[0])

    def stop(self, key: str) -> list[OutboxRow]:
        """All rows of the key, oldest first, are in the line-up no more."""
        stopped: list[OutboxRow] = []
        if key in self._unconfirmed:
            stopped.append(self._unconfirmed[key])
            self._end(self._unconfirmed[key])
        for row in self._waiting.pop(key, ()):
            stopped.append(row)
            self._forget(row)
        return stopped

    def _make_ready(self, row: OutboxRow) -> None:
        self._ready.setdefault(self.slot_of(row), deque()).append(row.key)

    def _start(self, key: str, slot: Slot) -> OutboxRow | None:
        """The key's next row, unless the key was stopped and lined up anew since it was ready."""
        waiting = self._waiting.get(key)
        if not waiting or key in self._unconfirmed or self.slot_of(waiting[0]) != slot:
            return None
        row = self._unconfirmed[key] = waiting.popleft()
        if not waiting:
            del self._waiting[key]
        self._in_flight[slot] = self._in_flight.get(slot, 0) + 1
        return row

    def _end(self, row: OutboxRow) -> None:
        del self._unconfirmed[row.key]
        self._in_flight[self.slot_of(row)] -= 1
        self._forget(row)

    def _forget(self, row: OutboxRow) -> None:
        self.rows -= 1
        self.body_bytes -= len(row.body)


def lined_up(rows: Iterable[OutboxRow], *, channels: int, window: int) -> Lineup:
    """A line-up of these rows."""
    made = Lineup(channels=channels, window=window)
    for row in rows:
        made.add(row)
    return made
