"""Connections to PostgreSQL: pools with deadlines, and a transaction that survives cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, cast

import asyncpg
import msgspec

from broker.store.handover import Emitted, Handover
from canonical.errors import Misconfigured

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Tx = PoolConnectionProxy[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Tx = object
    Connection = asyncpg.Connection

# What the client library raises by itself where a connection is lost in the middle.
CLIENT_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a message stands in the log."""

    at: datetime
    seq: int


class Session(Connection):
    """A connection that remembers what its transaction emitted, and what it is used for."""

    emitted: Emitted
    # It may hold a lock that no transaction ends.
    may_lock = False

    def use(self, *, may_lock: bool) -> None:
        """For what it was taken out of the pool."""
        self.may_lock = may_lock


def emitted_by(tx: Tx) -> Emitted:
    """What this transaction leaves to be handed over after its commit."""
    return cast(Session, tx).emitted


class Database:
    """A pool for one purpose; a purpose that is stuck cannot starve another one."""

    def __init__(
        self,
        *,
        url: str,
        purpose: str,
        size: int,
        acquire_s: float,
        statement_s: float,
        handover: Handover | None = None,
        subscribed: Collection[str] = (),
    ) -> None:
        """handover: publishes what is emitted here, from memory; without it the sweeper does.
        subscribed: events that somebody subscribes to; some are told to nobody else."""
        self._url = url
        self._purpose = purpose
        self._size = size
        self._acquire_s = acquire_s
        self._statement_s = statement_s
        self._handover = handover
        self._subscribed = frozenset(subscribed)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """The pool is connected, each connection a session of PostgreSQL's; raises what asyncpg
        raises where it cannot be.

        Raises: Misconfigured where a pooler stands in between.
        """
        try:
            await self._connect()
        except asyncpg.ProtocolViolationError as error:
            if "startup parameter" not in str(error):
                raise
            raise _pooled() from error
        async with self.session() as session:
            # A pooler invents the number that it gives its clients. No prepared statement is used
            # to find out: that is what it breaks first.
            number = session.get_server_pid()
            found = await session.execute(f"select 1 where pg_backend_pid() = {number}")
        if found != "SELECT 1":
            await self.close()
            raise _pooled()

    async def _connect(self) -> None:
        statement_ms = int(self._statement_s * 1000)
        async with asyncio.timeout(self._acquire_s * 5):
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                timeout=self._acquire_s,
                # Slightly above the server's own limit, so that the server's answer wins.
                command_timeout=self._statement_s + 3,
                connection_class=Session,
                init=_prepare,
                reset=_reset,
                server_settings={
                    "application_name": f"layshaft-{self._purpose}",
                    "statement_timeout": str(statement_ms),
                    "lock_timeout": "2000",
                    "idle_in_transaction_session_timeout": "10000",
                    "client_connection_check_interval": "5000",
                    "timezone": "UTC",
                    # A statement has to see what was committed before its lock was given.
                    "default_transaction_isolation": "read committed",
                    # Statements are prepared while tables are young and assumed tiny: at the
                    # default of 4 they would go on reading them as a whole (claims: 96 ms, not 2).
                    "random_page_cost": "1.1",
                },
            )

    async def close(self) -> None:
        """All connections are closed, gracefully if that takes no longer than the deadline."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(self._acquire_s):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A READ COMMITTED transaction: committed on leaving, rolled back on an exception.

        What it emitted is handed over once the commit was answered. Where the answer is lost
        nothing is: the rows, if there are any, lapse to the sweeper.

        Whoever needs begin-to-commit to survive a cancellation runs it in a task of its own and
        shields it (broker.looper.finish).
        """
        if self._pool is None:
            raise asyncpg.InterfaceError(f"the {self._purpose} pool is closed")
        async with self._pool.acquire(timeout=self._acquire_s) as connection:
            cast(Session, connection).use(may_lock=False)
            emitted = emitted_by(connection)
            emitted.begin(self._handover, self._subscribed)
            try:
                async with _begun(connection):
                    yield connection
                emitted.committed()
            finally:
                emitted.begin(None)

    @asynccontextmanager
    async def session(self, *, may_lock: bool = False) -> AsyncIterator[Tx]:
        """A connection outside any transaction, for single statements. may_lock: and for locks
        that last as long as the session, or until they are given up."""
        if self._pool is None:
            raise asyncpg.InterfaceError(f"the {self._purpose} pool is closed")
        async with self._pool.acquire(timeout=self._acquire_s) as connection:
            cast(Session, connection).use(may_lock=may_lock)
            yield connection


def _pooled() -> Misconfigured:
    """Session locks, prepared statements and the time-outs of a session do not survive a pooler."""
    return Misconfigured(
        "database-pooler",
        "A connection pooler stands between Layshaft and PostgreSQL",
        where="database_url",
        remedy="Name PostgreSQL itself, not the pooler; Layshaft keeps small pools of its own",
    )


@asynccontextmanager
async def _begun(connection: Tx) -> AsyncIterator[None]:
    """A transaction that tells its first failure: with the connection lost there is nothing to roll
    back, and the pool does not keep what it cannot reset."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(asyncpg.PostgresError, *CLIENT_ERRORS):
            await transaction.rollback()
        raise
    await transaction.commit()


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    cast(Session, connection).emitted = Emitted()
    _keep_alive(connection)


async def _reset(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Back in the pool without anything of its last user.

    What a transaction or a single statement leaves is nothing: locks, settings and cursors end with
    it. To ask the server all the same would cost each one more round trip.
    """
    if cast(Session, connection).may_lock:
        await connection.execute(connection.get_reset_query())


def _keep_alive(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """asyncpg sets no keepalive: a dead server would be noticed only by a write."""
    transport = getattr(connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)


async def allow_pauses(tx: Tx, seconds: int) -> None:
    """The server does not end this transaction for being idle, for so long at a time."""
    await tx.execute(
        "select set_config('idle_in_transaction_session_timeout', $1, true)", f"{seconds * 1000}"
    )


async def wait_for_locks(tx: Tx, seconds: int) -> None:
    """This transaction waits so long at most for what somebody else has locked."""
    await tx.execute("select set_config('lock_timeout', $1, true)", f"{seconds * 1000}")
