"""What is measured: each rung drains a queue of the same kind, filled with the same messages."""

from __future__ import annotations

import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.changes import Letter, letters
from benchmarks.place import BEGIN_LOOK_S, PREFETCH, QUEUE, SINK, Invalid, Place
from benchmarks.processors import Meter

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
SINKS = {"handwritten": "bench.handwritten.events", "limit": "bench.limit.events"}
CELERY_QUEUE = "celery.noop"
_COMPETITORS = "benchmarks.competitors"


class Passed(msgspec.Struct, frozen=True):
    """One pass: so many messages were handled in so many seconds. processor_s: what that took of
    processors' time, by whose it is."""

    messages: int
    seconds: float
    processor_s: Mapping[str, float] = {}

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class Start:
    """When the first message of a pass was taken."""

    def __init__(self, at: float, meter: Meter) -> None:
        self._at = at
        self._meter = meter

    def passed(self, messages: int, ended: float) -> Passed:
        """So many of them were handled by then, which is now or a moment ago."""
        return Passed(messages, ended - self._at, self._meter.spent_s())


class Rung(msgspec.Struct, frozen=True):
    """Something that handles messages. number, quick: of messages in a pass."""

    name: str
    what: str
    measure: Callable[[Place, int, int], Awaitable[Passed]]
    number: int
    quick: int


async def noop(place: Place, number: int, seed: int) -> Passed:
    """aio-pika consumes and acknowledges one by one."""
    await place.fill(letters(number, seed=seed))
    done = place.scratch("noop.done")
    command = (
        *(sys.executable, "-m", f"{_COMPETITORS}.noop", place.servers.amqp_url, QUEUE),
        *(str(PREFETCH), str(number), str(done)),
    )

    async def is_done() -> bool:
        return done.exists() and bool(done.read_text())

    async with place.process("noop", command) as process:
        start = await begun(place, QUEUE, number, process)
        await place.until(is_done, "all acknowledged")
        passed = start.passed(number, float(done.read_text()))
    if left := await place.purge(QUEUE):
        raise Invalid(f"{left} messages were not acknowledged")
    return passed


async def handwritten(place: Place, number: int, seed: int) -> Passed:
    """A transaction a message, and a relay that publishes one after the other.

    Its transactions run side by side and keep no order: a change stated twice within milliseconds
    may be announced once. So the outbox tells when it is done, and not the number of events.
    """

    async def is_done(database: str, written: Sequence[Letter]) -> bool:
        ids = len({letter.id for letter in written})
        done = f"select (select count(*) from inbox) = {ids} and not exists (select from outbox)"
        return await place.counted(database, f"select ({done})::int") == 1

    python = str(place.other_python)
    return await _by_hand("handwritten", python, place, number, seed, is_done, is_news_merged=True)


async def limit(place: Place, number: int, seed: int) -> Passed:
    """What one process reaches with everything left out that can be."""

    async def is_done(_: str, written: Sequence[Letter]) -> bool:
        return await _holds(place, SINKS["limit"], sum(letter.is_news for letter in written))

    return await _by_hand("limit", sys.executable, place, number, seed, is_done)


async def _by_hand(
    name: str,
    python: str,
    place: Place,
    number: int,
    seed: int,
    is_done: Callable[[str, Sequence[Letter]], Awaitable[bool]],
    *,
    is_news_merged: bool = False,
) -> Passed:
    """is_news_merged: of two statements about one change that come together it announces one."""
    written = letters(number, seed=seed)
    database, sink = place.fresh_database_without_schema(), SINKS[name]
    await place.channel.declare_queue(sink, durable=True, arguments=QUORUM)
    await place.purge(sink)
    await place.fill(written)
    command = (
        *(python, "-m", f"{_COMPETITORS}.{name}", place.servers.amqp_url),
        *(database, QUEUE, sink, str(PREFETCH)),
    )
    async with place.process(name, command) as process:
        start = await begun(place, QUEUE, number, process)
        ended = await place.until(lambda: is_done(database, written), "all events out")
        passed = start.passed(number, ended)
    events = await place.purge(sink)
    news, keys = sum(x.is_news for x in written), len({x.key for x in written})
    if not keys <= events <= news or (events != news and not is_news_merged):
        raise Invalid(f"{events} events of {name} instead of {news}")
    wanted = {
        "select count(*) from inbox": len({letter.id for letter in written}),
        "select count(*) from document": keys,
    }
    await _require(place, database, wanted)
    await place.drop(database)
    return passed


async def celery(place: Place, number: int, seed: int) -> Passed:
    """A task that does nothing."""
    python, module = str(place.other_python), f"{_COMPETITORS}.celery_noop"
    environment = {"BENCH_AMQP_URL": place.servers.amqp_url, "BENCH_PREFETCH": str(PREFETCH)}
    await place.channel.declare_queue(CELERY_QUEUE, durable=True, arguments=QUORUM)
    sending = (python, "-m", module, "send", str(number), str(seed))
    async with place.process("celery", sending, environment, may_end=True):
        await place.until(lambda: _holds(place, CELERY_QUEUE, number), "all tasks queued")
    options = ("worker", "--concurrency", "2", "--without-gossip", "--without-mingle")
    command = (python, "-m", "celery", "-A", module, *options, "--loglevel", "ERROR")
    async with place.process("celery", command, environment) as process:
        start = await begun(place, CELERY_QUEUE, number, process)
        ended = await place.until(lambda: _is_empty(place, CELERY_QUEUE), "all taken")
        return start.passed(number, ended)


async def layshaft(place: Place, number: int, seed: int) -> Passed:
    """The service as it is shipped, one hop: from the source's queue to the event's."""
    written = letters(number, seed=seed)
    database = place.fresh_database()
    passed = await drained(place, database, written)
    await _require(place, database, _everything(written))
    events, news = await place.purge(SINK), sum(letter.is_news for letter in written)
    if events != news:
        raise Invalid(f"{events} events instead of {news}")
    await place.drop(database)
    return passed


async def drained(place: Place, database: str, written: Sequence[Letter]) -> Passed:
    """The service takes these messages, one hop; their events wait in the queue."""
    await place.purge(SINK)
    await place.fill(written)
    news = sum(letter.is_news for letter in written)
    async with place.service(database, "--role", "translate") as process:
        start = await begun(place, QUEUE, len(written), process)
        ended = await place.until(lambda: _holds(place, SINK, news), "all events out")
        # The last ones are cleared after they are out.
        await place.until(lambda: _has(place, database, _OUTBOX, 0), "the outbox is empty")
        return start.passed(len(written), ended)


async def layshaft_two_hops(place: Place, number: int, seed: int) -> Passed:
    """Both hops: the change as an event, and what must become true for it in a ledger."""
    written = letters(number, seed=seed)
    news = sum(letter.is_news for letter in written)
    database = place.fresh_database()
    await place.purge(SINK)
    await place.fill(written)
    async with place.service(database, "--role", "translate,decide") as process:
        start = await begun(place, QUEUE, number, process)
        decided = "select count(*) from inbox where source = 'layshaft'"
        ended = await place.until(
            lambda: _has(place, database, decided, news), "all changes planned"
        )
        passed = start.passed(number, ended)
    planned = {
        "select count(*) from document": len({letter.key for letter in written}),
        "select count(*) from exception_case": 0,
    }
    await _require(place, database, planned)
    await place.drop(database)
    return passed


_OUTBOX = "select count(*) from outbox"


def _everything(written: Sequence[Letter]) -> dict[str, int]:
    """Each message is in the inbox and in the log, what is news is the document of its change, and
    its event is in the log and out."""
    ids = len({letter.id for letter in written})
    news = sum(letter.is_news for letter in written)
    return {
        "select count(*) from inbox": ids,
        "select count(*) from message where direction = 'in'": ids,
        "select count(*) from message where direction = 'out'": news,
        "select count(*) from document": len({letter.key for letter in written}),
        "select count(*) from audit where action = 'stale-refused'": ids - news,
        "select count(*) from duplicate": len(written) - ids,
        "select count(*) from exception_case": 0,
        "select count(*) from pending": 0,
        _OUTBOX: 0,
    }


async def _require(place: Place, database: str, wanted: Mapping[str, int]) -> None:
    for sql, number in wanted.items():
        if (found := await place.counted(database, sql)) != number:
            raise Invalid(f"{found} instead of {number}: {sql}")


async def _has(place: Place, database: str, sql: str, number: int) -> bool:
    return (
        await place.counted(database, sql) >= number
        if number
        else not await place.counted(database, sql)
    )


async def begun(place: Place, queue: str, number: int, client: Process) -> Start:
    """The client has taken the first of so many messages."""

    async def is_taken() -> bool:
        return await place.waiting(queue) < number

    at = await place.until(is_taken, "the first message is taken", look_s=BEGIN_LOOK_S)
    return Start(at, Meter(place.servers.pids, client.pid))


async def _is_empty(place: Place, queue: str) -> bool:
    return await place.waiting(queue) == 0


async def _holds(place: Place, queue: str, number: int) -> bool:
    return await place.waiting(queue) >= number


RUNGS = (
    Rung("noop", "aio-pika: consume and acknowledge", noop, 20_000, 8_000),
    Rung("layshaft", "the service, one hop", layshaft, 20_000, 6_000),
    Rung("limit", "what one process reaches by hand", limit, 20_000, 8_000),
    Rung("handwritten", "FastStream, a transaction each, a relay", handwritten, 4_000, 1_000),
    Rung("celery", "a task that does nothing", celery, 6_000, 2_000),
    Rung("layshaft-two-hops", "the service, up to the ledger", layshaft_two_hops, 4_000, 500),
)
