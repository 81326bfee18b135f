"""The tables of the message path in memory, and transactions over them.

As in PostgreSQL at READ COMMITTED: a transaction sees what is committed and what it wrote itself;
rows it wrote or locked keep others waiting until it ends; a ring of waits ends in an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from datetime import datetime
from typing import Generic, TypeVar

import asyncpg
import msgspec

from broker.store import Position
from broker.store.casebook import Case
from broker.store.documents import Stored
from broker.store.messages import Note
from broker.store.order import OrderKey
from broker.store.pending import Passes
from canonical.envelope import Lane
from canonical.handler import Delivery

Identity = tuple[str, str, str]
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class OrderRow(msgspec.Struct, frozen=True):
    """flow_order"""

    done: int
    before: int
    newest: int | None


class InboxRow(msgspec.Struct, frozen=True):
    """inbox"""

    digest: bytes
    position: Position
    outcome: str = "applied"


class LogRow(msgspec.Struct, frozen=True):
    """message"""

    position: Position
    direction: str
    id: str
    key: str
    lane: Lane
    correlation_id: str
    causation_id: str
    delivery: Delivery
    sequence: int | None = None


class PendingRow(msgspec.Struct, frozen=True):
    """pending"""

    id: int
    subscription: str
    scope: str
    key: str
    lane: Lane
    position: Position
    state: str
    due_at: datetime
    attempts: int
    reason: str
    merge_key: str | None
    is_replan: bool
    version: int | None
    passes: Passes
    failing_since: datetime | None
    begun: int = 0
    begun_by: str = ""
    begun_at: datetime | None = None


class OutboxRow(msgspec.Struct, frozen=True):
    """outbox"""

    key: str
    exchange: str
    routing_key: str
    position: Position


class CaseRow(msgspec.Struct, frozen=True):
    """exception_case"""

    id: int
    case: Case
    state: str = "open"
    seen: int = 1
    closed_by: str = ""


class View(Generic[K, R]):
    """One table as a transaction sees it."""

    def __init__(self, table: dict[K, R]) -> None:
        self._table = table
        self._changes: dict[K, R | None] = {}

    def get(self, key: K) -> R | None:
        """The row, if the transaction sees one."""
        return self._changes[key] if key in self._changes else self._table.get(key)

    def put(self, key: K, row: R) -> None:
        """The row is written."""
        self._changes[key] = row

    def drop(self, key: K) -> None:
        """The row is deleted."""
        self._changes[key] = None

    def rows(self) -> Iterator[R]:
        """All rows, in the order in which they came to be."""
        for key, row in self._table.items():
            changed = self._changes.get(key, row)
            if changed is not None:
                yield changed
        for key, own in self._changes.items():
            if key not in self._table and own is not None:
                yield own

    def new_rows(self) -> Iterator[R]:
        """Rows the transaction wrote."""
        return (row for row in self._changes.values() if row is not None)

    def commit(self) -> None:
        """Everybody sees what was written."""
        for key, row in self._changes.items():
            if row is None:
                self._table.pop(key, None)
            else:
                self._table[key] = row


class Tables:
    """What is committed, the sequences, and who has locked what."""

    def __init__(self) -> None:
        self.order: dict[OrderKey, OrderRow] = {}
        self.inbox: dict[Identity, InboxRow] = {}
        self.log: dict[Position, LogRow] = {}
        self.events: dict[tuple[str, int], LogRow] = {}
        self.holds: dict[OrderKey, bool] = {}
        self.pending: dict[int, PendingRow] = {}
        self.documents: dict[str, Stored] = {}
        self.numbers: dict[str, int] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self.cases: dict[int, CaseRow] = {}
        self.attempts: dict[bytes, tuple[int, str]] = {}
        self.audit: dict[int, Note] = {}
        self.duplicates: dict[int, Identity] = {}
        self.locks: dict[Hashable, Transaction] = {}
        self._last = 0

    def next_number(self) -> int:
        """A number nobody gets again, whatever becomes of the transaction."""
        self._last += 1
        return self._last


class Transaction:
    """One transaction: a view of every table, and locks."""

    def __init__(
        self,
        tables: Tables,
        began_at: datetime,
        until: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        self.tables = tables
        self.began_at = began_at
        self._until = until
        self._locked: list[Hashable] = []
        self._waits_for: Hashable = None
        self.order = View(tables.order)
        self.inbox = View(tables.inbox)
        self.log = View(tables.log)
        self.events = View(tables.events)
        self.holds = View(tables.holds)
        self.pending = View(tables.pending)
        self.documents = View(tables.documents)
        self.numbers = View(tables.numbers)
        self.outbox = View(tables.outbox)
        self.cases = View(tables.cases)
        self.attempts = View(tables.attempts)
        self.audit = View(tables.audit)
        self.duplicates = View(tables.duplicates)

    async def lock(self, table: str, keys: Iterable[Hashable]) -> None:
        """The rows are ours, whether they exist or are about to; whoever has them is waited for."""
        for key in keys:
            await self.wait(table, key)
            self.try_lock(table, key)

    async def wait(self, table: str, key: Hashable) -> None:
        """Nobody else holds the row."""
        name = (table, key)
        while not self._is_free(name):
            self._waits_for = name
            if self._is_in_ring():
                self._waits_for = None
                raise asyncpg.DeadlockDetectedError(f"a ring of waits at {name}")
            await self._until(lambda: self._is_free(name))
        self._waits_for = None

    def try_lock(self, table: str, key: Hashable) -> bool:
        """Whether the row is ours now."""
        name = (table, key)
        if not self._is_free(name):
            return False
        if name not in self.tables.locks:
            self.tables.locks[name] = self
            self._locked.append(name)
        return True

    def commit(self) -> None:
        """What was written is there for everybody; the locks are gone."""
        for view in (
            *(self.order, self.inbox, self.log, self.events, self.holds, self.pending),
            *(self.documents, self.numbers, self.outbox, self.cases, self.attempts, self.audit),
            self.duplicates,
        ):
            view.commit()
        self.end()

    def end(self) -> None:
        """The locks are gone; what was not committed never was."""
        for name in self._locked:
            del self.tables.locks[name]
        self._locked.clear()
        self._waits_for = None

    def _is_free(self, name: Hashable) -> bool:
        return self.tables.locks.get(name, self) is self

    def _is_in_ring(self) -> bool:
        holder = self.tables.locks.get(self._waits_for)
        while holder is not None and holder is not self:
            holder = self.tables.locks.get(holder._waits_for)
        return holder is self
