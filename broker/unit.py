"""One transaction of the path, as the pipeline sees it: everything a batch may do to the database.

The pipeline is written against `Storage` and `Unit`; `SqlStorage` is PostgreSQL, and a simulation
brings another one that loses commits on purpose.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import IO, Protocol

from broker import application
from broker.decision import Context, Verdict
from broker.intake import Work
from broker.packages import package_file
from broker.store import Database, Position, Tx
from broker.store import connection as connection_rows
from broker.store import documents as document_rows
from broker.store import messages as message_rows
from broker.store import order as order_rows
from broker.store import pending as pending_rows
from broker.store import upkeep as upkeep_rows
from broker.store.documents import Stored
from broker.store.messages import LogEntry
from broker.store.order import Claim, Gap, LoggedEvent, OrderKey, Taken
from broker.store.pending import Begun, PendingWork
from canonical.package import PackageReference

Identity = tuple[str, str, str]

# A plan over 50,000 items takes some seconds of computing, more where other lanes compute too.
LONG_PAUSE_S = 120


class Unit(Protocol):
    """What a batch does, in the order in which it may be done.

    Order rows are locked first, then inbox rows are inserted, then holds and facts are read: each
    a statement of its own, so that it sees what was committed before its lock was given.
    """

    async def lock_order(self, claims: Mapping[OrderKey, Claim]) -> dict[OrderKey, Taken]:
        """See broker.store.order."""

    async def missed_events(self, gaps: Sequence[Gap], *, since: datetime) -> list[LoggedEvent]:
        """See broker.store.order."""

    async def newest_versions(self, keys: Sequence[OrderKey]) -> dict[OrderKey, int]:
        """See broker.store.order."""

    async def admit(self, entries: Sequence[LogEntry]) -> dict[Identity, Position]:
        """See broker.store.messages."""

    async def record_duplicates(self, entries: Sequence[LogEntry]) -> dict[Identity, bytes]:
        """See broker.store.messages."""

    async def keep_id_conflict(self, work: Work) -> None:
        """See broker.application."""

    async def held_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        """See broker.store.pending."""

    async def reading_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        """See broker.store.pending."""

    async def begin_pending(self, *, lane: str, limit: int, worker: str) -> Begun:
        """See broker.store.pending."""

    async def begin_suspect(self, row_id: int, *, worker: str) -> int:
        """See broker.store.pending."""

    async def claim_pending(
        self, *, lane: str, limit: int, only: Sequence[int] | None = None
    ) -> list[PendingWork]:
        """See broker.store.pending."""

    async def load_documents(self, keys: Iterable[str]) -> dict[str, Stored]:
        """See broker.store.documents."""

    async def allow_long_pauses(self) -> None:
        """Between two statements of this unit a long computation may come."""

    async def apply(
        self, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
    ) -> bool:
        """See broker.application."""

    async def withdraw_pending(self, rows: Sequence[int], *, worker: str) -> None:
        """See broker.store.pending."""

    async def begin_attempt(self, fingerprint: bytes, *, worker: str, suspect: bool) -> int:
        """See broker.store.messages."""

    async def withdraw_attempt(self, fingerprint: bytes, *, worker: str) -> None:
        """See broker.store.messages."""

    async def end_attempt(self, fingerprint: bytes) -> None:
        """See broker.store.messages."""

    async def probe(self) -> None:
        """See broker.store.upkeep."""


class Storage(Protocol):
    """Where units come from."""

    def unit(self) -> AbstractAsyncContextManager[Unit]:
        """A unit: committed on leaving, rolled back on an exception."""

    async def bodies(self, places: Sequence[Position]) -> dict[Position, bytes]:
        """See broker.store.messages."""

    def package_file(self, wanted: PackageReference) -> AbstractAsyncContextManager[IO[bytes]]:
        """See broker.packages."""


class SqlUnit:
    """A unit in a PostgreSQL transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    async def lock_order(self, claims: Mapping[OrderKey, Claim]) -> dict[OrderKey, Taken]:
        return await order_rows.lock_order(self._tx, claims) if claims else {}

    async def missed_events(self, gaps: Sequence[Gap], *, since: datetime) -> list[LoggedEvent]:
        return await order_rows.missed_events(self._tx, gaps, since=since) if gaps else []

    async def newest_versions(self, keys: Sequence[OrderKey]) -> dict[OrderKey, int]:
        return await order_rows.newest_versions(self._tx, keys) if keys else {}

    async def admit(self, entries: Sequence[LogEntry]) -> dict[Identity, Position]:
        return await message_rows.admit(self._tx, entries)

    async def record_duplicates(self, entries: Sequence[LogEntry]) -> dict[Identity, bytes]:
        return await message_rows.record_duplicates(self._tx, entries)

    async def keep_id_conflict(self, work: Work) -> None:
        await application.keep_id_conflict(self._tx, work)

    async def held_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        return await pending_rows.held_keys(self._tx, keys)

    async def reading_keys(self, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
        return await pending_rows.reading_keys(self._tx, keys)

    async def begin_suspect(self, row_id: int, *, worker: str) -> int:
        return await pending_rows.begin_suspect(self._tx, row_id, worker=worker)

    async def begin_pending(self, *, lane: str, limit: int, worker: str) -> Begun:
        return await pending_rows.begin_pending(self._tx, lane=lane, limit=limit, worker=worker)

    async def claim_pending(
        self, *, lane: str, limit: int, only: Sequence[int] | None = None
    ) -> list[PendingWork]:
        return await pending_rows.claim_pending(self._tx, lane=lane, limit=limit, only=only)

    async def load_documents(self, keys: Iterable[str]) -> dict[str, Stored]:
        return await document_rows.load(self._tx, keys)

    async def allow_long_pauses(self) -> None:
        await connection_rows.allow_pauses(self._tx, LONG_PAUSE_S)

    async def apply(
        self, verdicts: Sequence[Verdict], positions: Sequence[Position], context: Context
    ) -> bool:
        return await application.apply(self._tx, verdicts, positions, context)

    async def withdraw_pending(self, rows: Sequence[int], *, worker: str) -> None:
        await pending_rows.withdraw_pending(self._tx, rows, worker=worker)

    async def begin_attempt(self, fingerprint: bytes, *, worker: str, suspect: bool) -> int:
        return await message_rows.begin_attempt(
            self._tx, fingerprint, worker=worker, suspect=suspect
        )

    async def withdraw_attempt(self, fingerprint: bytes, *, worker: str) -> None:
        await message_rows.withdraw_attempt(self._tx, fingerprint, worker=worker)

    async def end_attempt(self, fingerprint: bytes) -> None:
        await message_rows.end_attempt(self._tx, fingerprint)

    async def probe(self) -> None:
        await upkeep_rows.probe(self._tx)


class SqlStorage:
    """Units in transactions of one pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        """See Storage."""
        async with self._database.transaction() as tx:
            yield SqlUnit(tx)

    async def bodies(self, places: Sequence[Position]) -> dict[Position, bytes]:
        """See Storage."""
        async with self._database.session() as session:
            return await message_rows.bodies(session, places)

    def package_file(self, wanted: PackageReference) -> AbstractAsyncContextManager[IO[bytes]]:
        """See Storage."""
        return package_file(self._database, wanted)
