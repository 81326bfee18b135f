"""What makes transactions meet in a given order: one of them stands at its commit until it is told
to go on, and PostgreSQL says who stands there and who waits for whom.

No pause decides anything here: what did not come about makes its test fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

import asyncpg

from broker import application
from broker.application import RaceLost
from broker.looper import Loop
from broker.pipeline import Pipeline
from broker.settings import Deadlines
from canonical.handler import Handler
from tests.integration.toy import DEADLINE_S, ORDERS, Bench, Order, arrivals, bench_on, until

# Longer than anything stands; what waits for it is ended by its own deadlines before.
_STANDS_S = 30
_GATE = 0x4761_7465  # "Gate"
_STOP_S = 1.0


class Process:
    """A process of the service: what it does alone is done by hand, one turn at a time, until it
    goes on by itself (`at_work`)."""

    def __init__(
        self, bench: Bench, name: str, orders: Handler, slots: int, settle_s: float
    ) -> None:
        self._bench = bench
        self.database = bench.database
        self.name = f"layshaft-{name}"
        self._wakes: list[Callable[[], None]] = []
        self._pipeline: Pipeline = bench.pipeline(orders=orders, committed=self._committed)
        self.dispatcher = bench.dispatcher(
            slots=slots, settle_s=settle_s, committed=self._committed
        )

    async def take(self, order: Order) -> None:
        """The order is decided and committed, however often that has to be tried: so does the
        consumer, where the order is not what keeps it from that."""
        while True:
            with suppress(asyncpg.LockNotAvailableError, RaceLost):
                return await self._pipeline.take(arrivals([order]))

    async def take_rows(self) -> int:
        """One turn of the rows; how many there were."""
        return await self._pipeline.take_pending(10)

    async def call(self, calls: int = 1) -> None:
        """So many calls were claimed and answered: what came of them is not settled yet."""
        ended: asyncio.Queue[None] = asyncio.Queue()
        self.dispatcher.wake = lambda: ended.put_nowait(None)
        assert await self.dispatcher.turn()
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(calls):
                await ended.get()

    def loops(self, *, sweeps: bool) -> list[Loop]:
        """What it does by itself, with the rests and wakes that the service has."""
        limits = Deadlines()
        rows = Loop("rows", self._rows_turn, rest_s=limits.sweep_s)
        calls = Loop("calls", self.dispatcher.turn, rest_s=limits.sweep_s)
        self._wakes = [rows.wake, calls.wake]
        self.dispatcher.wake = calls.wake
        facts = Loop("facts", self._facts_turn, rest_s=limits.fact_sweep_s)
        lapsed = Loop("lapsed calls", self._bench.lapse, rest_s=limits.fact_sweep_s)
        return [rows, calls, lapsed, *([facts] if sweeps else [])]

    def _committed(self) -> None:
        for wake in self._wakes:
            wake()

    async def _rows_turn(self) -> bool:
        return await self.take_rows() > 0

    async def _facts_turn(self) -> bool:
        async with self._bench.database.transaction() as tx:
            await application.wake_ledgers(tx, None, datetime.now(UTC))
        return False


class Gate:
    """Where whoever writes a certain row stands in its transaction until the gate is opened."""

    def __init__(self, bench: Bench, holder: asyncpg.Connection[asyncpg.Record]) -> None:
        self._bench = bench
        self._holder = holder

    async def reached(self, process: Process) -> None:
        """The process stands here: what it did until now is not committed."""

        async def stands() -> bool:
            return await self._standing() == [process.name]

        await until(stands, f"{process.name} stands at the gate")

    async def open(self, process: Process) -> None:
        """The process, which stood here until now, goes on, and so does everybody after it."""
        assert await self._standing() == [process.name]
        await self._holder.execute("select pg_advisory_unlock_all()")

    async def _standing(self) -> list[str]:
        return await self._bench.column(
            """
            select a.application_name from pg_locks l join pg_stat_activity a using (pid)
            where l.locktype = 'advisory' and l.objid = $1 and not l.granted
              and a.datname = current_database()
            """,
            _GATE,
        )


@asynccontextmanager
async def gate(
    bench: Bench, table: str, when: str, *, at_commit: bool = True
) -> AsyncIterator[Gate]:
    """A gate for transactions that insert or update a row of that table for which `when` holds, an
    expression on `new`. One at a time in a database. at_commit: else they stand where the row is
    written."""
    moment = "deferrable initially deferred" if at_commit else "not deferrable"
    holder = await asyncpg.connect(bench.url)
    try:
        await holder.execute(
            f"""
            create function stand_at_gate() returns trigger language plpgsql
            set lock_timeout = '{_STANDS_S}s' as $$
            begin perform pg_advisory_xact_lock_shared({_GATE}); return null; end $$;
            create constraint trigger gate after insert or update on {table}
            {moment} for each row when ({when})
            execute function stand_at_gate()
            """
        )
        await holder.execute("select pg_advisory_lock($1)", _GATE)
        yield Gate(bench, holder)
        # With another schema than it came with the database would be of no use to the next test.
        await holder.execute(f"drop trigger gate on {table}; drop function stand_at_gate()")
    finally:
        await holder.close()


async def waits_for(bench: Bench, waiting: Process, standing: Process) -> None:
    """The one process has come to a lock that the other one holds."""

    async def waits() -> bool:
        return bool(
            await bench.column(
                """
                select 1 from pg_stat_activity w join pg_stat_activity s
                  on s.pid = any(pg_blocking_pids(w.pid))
                where w.application_name = $1 and s.application_name = $2
                  and w.datname = current_database()
                """,
                waiting.name,
                standing.name,
            )
        )

    await until(waits, f"{waiting.name} waits for {standing.name}")


@asynccontextmanager
async def processes_on(
    bench: Bench, *, orders: Handler = ORDERS, slots: int = 8, settle_s: float = 0.0
) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes at the database and the target of the bench."""
    async with AsyncExitStack() as stack:
        made = []
        for name in ("one", "two"):
            its = await stack.enter_async_context(
                bench_on(bench.url, purpose=name, statement_s=_STANDS_S)
            )
            its.target = bench.target
            made.append(Process(its, name, orders, slots, settle_s))
        yield made[0], made[1]


@asynccontextmanager
async def at_work(*processes: Process, sweeps: bool = True) -> AsyncIterator[None]:
    """The processes go on by themselves. sweeps: whether they look for wakes that were missed."""
    loops = [loop for process in processes for loop in process.loops(sweeps=sweeps)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            await loop.stop(_STOP_S)
