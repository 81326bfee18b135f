"""What is measured: each rung drains the same queue, filled with the same messages."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from benchmarks.changes import Letter, letters
from benchmarks.place import QUEUE, SINK, Invalid, Place, counted

PREFETCH = 600
"""What the service has for this lane by default."""
QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
HANDWRITTEN_SINK = "bench.handwritten.events"
CELERY_QUEUE = "celery.noop"
_COMPETITORS = "benchmarks.competitors"


class Passed(msgspec.Struct, frozen=True):
    """One pass: so many messages were handled in so many seconds."""

    messages: int
    seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


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
    command = (sys.executable, "-m", f"{_COMPETITORS}.noop", place.servers.amqp_url, QUEUE)
    async with place.process("noop", (*command, str(PREFETCH))):
        began = await _begun(place, QUEUE, number)
        ended = await place.until(lambda: _is_empty(place, QUEUE), "all taken")
    return Passed(number, ended - began)


async def handwritten(place: Place, number: int, seed: int) -> Passed:
    """A transaction a message, and a relay that publishes one after the other."""
    written = letters(number, seed=seed)
    database = place.fresh_database_without_schema()
    await place.channel.declare_queue(HANDWRITTEN_SINK, durable=True, arguments=QUORUM)
    await place.purge(HANDWRITTEN_SINK)
    await place.fill(written)
    news = sum(letter.is_news for letter in written)
    command = (
        *(str(place.other_python), "-m", f"{_COMPETITORS}.handwritten", place.servers.amqp_url),
        *(database, QUEUE, HANDWRITTEN_SINK, str(PREFETCH)),
    )
    async with place.process("handwritten", command):
        began = await _begun(place, QUEUE, number)
        ended = await place.until(lambda: _holds(place, HANDWRITTEN_SINK, news), "all events out")
    await place.purge(HANDWRITTEN_SINK)
    return Passed(number, ended - began)


async def celery(place: Place, number: int, seed: int) -> Passed:
    """A task that does nothing."""
    python, module = str(place.other_python), f"{_COMPETITORS}.celery_noop"
    environment = {"BENCH_AMQP_URL": place.servers.amqp_url}
    await place.channel.declare_queue(CELERY_QUEUE, durable=True, arguments=QUORUM)
    async with place.process("celery", (python, "-m", module, "send", str(number)), environment):
        await place.until(lambda: _holds(place, CELERY_QUEUE, number), "all tasks queued")
    options = ("worker", "--concurrency", "2", "--without-gossip", "--without-mingle")
    command = (python, "-m", "celery", "-A", module, *options, "--loglevel", "ERROR")
    async with place.process("celery", command, environment):
        began = await _begun(place, CELERY_QUEUE, number)
        ended = await place.until(lambda: _is_empty(place, CELERY_QUEUE), "all taken")
    return Passed(number, ended - began)


async def layshaft(place: Place, number: int, seed: int) -> Passed:
    """The service as it is shipped, one hop: from the source's queue to the event's."""
    written = letters(number, seed=seed)
    database = place.fresh_database()
    await place.purge(SINK)
    await place.fill(written)
    ids = len({letter.id for letter in written})
    async with place.service(database, "--role", "translate", "--lanes", "standard"):
        began = await _begun(place, QUEUE, number)
        ended = await place.until(lambda: _holds(place, SINK, ids), "all events out")
    await _require_everything(database, written)
    await place.purge(SINK)
    return Passed(number, ended - began)


async def _require_everything(database: str, written: Sequence[Letter]) -> None:
    """Each message is in the inbox and in the log, and its event in the log and out."""
    ids = len({letter.id for letter in written})
    for what, sql, wanted in (
        ("inbox rows", "select count(*) from inbox", ids),
        ("messages in the log", "select count(*) from message where direction = 'in'", ids),
        ("events in the log", "select count(*) from message where direction = 'out'", ids),
        ("rows of the outbox", "select count(*) from outbox", 0),
        ("cases", "select count(*) from exception_case", 0),
        ("repeats", "select count(*) from duplicate", len(written) - ids),
    ):
        found = await counted(database, sql)
        if found != wanted:
            raise Invalid(f"{found} {what}, {wanted} expected")


async def _begun(place: Place, queue: str, number: int) -> float:
    async def is_taken() -> bool:
        return await place.waiting(queue) < number

    return await place.until(is_taken, "the first message is taken")


async def _is_empty(place: Place, queue: str) -> bool:
    return await place.waiting(queue) == 0


async def _holds(place: Place, queue: str, number: int) -> bool:
    return await place.waiting(queue) >= number


RUNGS = (
    Rung("noop", "aio-pika: consume and acknowledge", noop, 20_000, 8_000),
    Rung("handwritten", "FastStream, a transaction each, a relay", handwritten, 3_000, 1_000),
    Rung("celery", "a task that does nothing", celery, 6_000, 2_000),
    Rung("layshaft", "the service, one hop", layshaft, 10_000, 4_000),
)
