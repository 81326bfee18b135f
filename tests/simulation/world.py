"""One seed: pipelines, brokers, a relay and people around one database, interleaved at every await.

Nothing here sleeps and nothing is left to chance but the seed: the same seed gives the same run,
step by step. What is simulated is everything around the core; the core is what runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import asyncpg
from msgspec.structs import replace

from broker.application import RaceLost
from broker.decision import Verdict
from broker.intake import Arrival, Work
from broker.metrics import Metrics
from broker.outcomes import outcome_word
from broker.pipeline import Pipeline
from broker.policy import Done, RetryPolicy, Schedule
from broker.store import Position
from broker.store.pending import BEGUN_FOR_S
from canonical.codec import decode_json, encode
from canonical.effects import Emit
from canonical.envelope import Lane
from canonical.handler import Delivery, Order
from tests.simulation.business import (
    LANES,
    PLM,
    RULES,
    SUBSCRIBED,
    Business,
    Died,
    Notice,
    Sent,
    Traffic,
)
from tests.simulation.memory import (
    MemoryStorage,
    MemoryUnit,
    Weather,
    may_be_next,
    may_begin,
    queues_of,
)
from tests.simulation.suspicion import Begun, Hand, Suspicion, Watched, is_quarantine
from tests.simulation.tables import CaseRow, LogRow, Tables

BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)
# Far beyond what any seed needs: one that takes longer does not come to rest.
MOST_STEPS = 20_000
# What a consumer or a loop may meet; anything else is a defect of the core or of the simulation.
EXPECTED = (RaceLost, asyncpg.PostgresError, asyncpg.InterfaceError)
METRICS = Metrics()


class Violation(BaseException):
    """Something that must always hold does not. No Exception: nothing of ours may take it for the
    fault of a message."""


class _Suspended:
    """Suspends the actor until `ready` holds."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    def __await__(self) -> Generator[Callable[[], bool], None, None]:
        yield self._ready


class Turn:
    """One actor at a time; which of those that wait comes next is a matter of chance."""

    def __init__(self) -> None:
        self._is_taken = False

    async def __aenter__(self) -> None:
        while self._is_taken:
            await _Suspended(lambda: not self._is_taken)
        self._is_taken = True

    async def __aexit__(self, *_: object) -> None:
        self._is_taken = False


def _always() -> bool:
    return True


@dataclass(slots=True)
class Actor:
    """Something under way. process: number of the process it runs in, -1 for everything else.

    hand: where it is a worker, its own.
    """

    name: str
    run: Coroutine[Any, Any, None]
    process: int = -1
    hand: Hand | None = None
    ready: Callable[[], bool] = _always


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a queue."""

    delivery: Delivery
    lane: Lane
    queue: str
    redelivered: bool = False
    logged: Position | None = None


@dataclass(slots=True, eq=False)
class Channel:
    """What was delivered through it and is not acknowledged, oldest first."""

    is_open: bool = True
    unacknowledged: dict[int, Message] = field(default_factory=dict)


@dataclass(slots=True)
class Process:
    """A replica of the service: a pipeline, its name and a channel per lane."""

    number: int
    workers: dict[Lane, str]
    pipelines: dict[Lane, Pipeline]
    channels: dict[Lane, Channel]


class Broker:
    """Queues that keep what is not acknowledged."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._queues: dict[str, deque[Message]] = {}
        self._tag = 0

    def publish(self, message: Message) -> None:
        """The message is in its queue."""
        self._queues.setdefault(message.queue, deque()).append(message)

    def waiting(self, lane: Lane) -> list[deque[Message]]:
        """Queues of the lane that hold something."""
        return [q for q in self._queues.values() if q and q[0].lane == lane]

    @property
    def is_empty(self) -> bool:
        """Whether every queue is."""
        return not any(self._queues.values())

    def deliver(self, lane: Lane, channel: Channel, limit: int) -> list[Arrival]:
        """Up to that many messages of the lane's queues, mixed as chance has it."""
        arrivals: list[Arrival] = []
        while len(arrivals) < limit and (queues := self.waiting(lane)):
            message = self._chance.choice(queues).popleft()
            self._tag += 1
            channel.unacknowledged[self._tag] = message
            arrivals.append(
                Arrival(
                    message.delivery,
                    lane,
                    message.queue,
                    tag=self._tag,
                    channel=channel,
                    redelivered=message.redelivered,
                    logged=message.logged,
                )
            )
        return arrivals

    def acknowledge(self, channel: Channel, arrivals: Sequence[Arrival]) -> None:
        """They are gone, unless their channel is: then they have come back."""
        if channel.is_open:
            for arrival in arrivals:
                channel.unacknowledged.pop(arrival.tag, None)

    def lose(self, channel: Channel) -> None:
        """The channel is closed; what was not acknowledged goes back to the front."""
        channel.is_open = False
        for message in reversed(channel.unacknowledged.values()):
            back = Message(message.delivery, message.lane, message.queue, True, message.logged)
            self._queues[message.queue].appendleft(back)
        channel.unacknowledged.clear()


class Storms(Weather):
    """A database that loses statements, commits and answers, as the seed says."""

    def __init__(self, chance: Random, note: Callable[..., None]) -> None:
        self._chance = chance
        self._note = note
        self.statement_rate = chance.choice((0.0, 0.005, 0.03))
        self.lost_rate = chance.choice((0.0, 0.02, 0.1))
        self.unanswered_rate = chance.choice((0.0, 0.05, 0.2))
        self.is_away = False
        self.locked: set[str] = set()

    def calm_down(self) -> None:
        """Nothing goes wrong any more that is not a message's own fault."""
        self.statement_rate = self.lost_rate = self.unanswered_rate = 0.0
        self.is_away = False
        self.locked.clear()

    async def before(self, statement: str) -> None:
        await _Suspended(_always)
        if self.is_away or (self.statement_rate and self._chance.random() < self.statement_rate):
            self._note("database", "away at", statement)
            raise asyncpg.ConnectionDoesNotExistError(f"connection lost before {statement}")

    async def until(self, is_free: Callable[[], bool]) -> None:
        await _Suspended(is_free)

    def refuse(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            message = verdict.work.message
            if message is None or not any(isinstance(e, Emit) for e in verdict.effects):
                continue
            if message.payload.fault == "unstorable":
                raise asyncpg.CharacterNotInRepertoireError("invalid byte sequence")
            if verdict.work.entry.envelope.key in self.locked:
                self._note("database", "locked", verdict.work.entry.envelope.key)
                raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")

    def commit_fate(self) -> tuple[bool, Exception | None]:
        dice = self._chance.random()
        if dice < self.lost_rate:
            self._note("database", "lost a commit")
            return False, asyncpg.ConnectionDoesNotExistError("connection lost before the commit")
        if dice < self.lost_rate + self.unanswered_rate:
            self._note("database", "committed without an answer")
            return True, asyncpg.ConnectionDoesNotExistError("connection lost in the commit")
        return True, None


class World:
    """Everything of one seed. Subclasses break the core, to show that it is noticed."""

    storage_type: type[MemoryStorage] = MemoryStorage
    pipeline_type: type[Pipeline] = Pipeline
    broker_type: type[Broker] = Broker

    def __init__(self, seed: int, *, committed: Callable[[World, MemoryUnit], None]) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.now = BEGAN_AT
        self.trace: list[tuple[object, ...]] | None = None
        self.tables = Tables()
        self.weather = Storms(chance, self.note)
        self.storage = self.storage_type(
            self.tables,
            now=lambda: self.now,
            weather=self.weather,
            committed=lambda unit: committed(self, unit),
        )
        stock_order: Order = chance.choice(("curing", "latest"))
        flow_order: Order = chance.choice(("strict", "curing", "latest"))
        self.business = Business(BEGAN_AT, stock_order, flow_order)
        self._policy = RetryPolicy(
            transient=Schedule(attempts=chance.choice((2, 20))),
            defect=Schedule((1, 9), attempts=chance.choice((1, 3))),
        )
        self.traffic = Traffic(chance)
        self.broker = self.broker_type(chance)
        self._erp_lane: Lane = chance.choice(LANES)
        self._to_send = deque(self._with_repeats(self.traffic.sent))
        self.conflicts: set[str] = set()
        self.suspicion = Suspicion()
        self.quarantined: set[int] = set()
        # Of the actor whose step it is.
        self._hand: Hand | None = None
        self._batches: dict[Hand, list[Arrival]] = {}
        self._notices: dict[Position, Notice] = {}
        self._batch = chance.choice((1, 3, 10))
        self._trouble = chance.choice((0.0, 0.02, 0.06))
        self._processes = [self._start(n) for n in range(chance.choice((1, 2, 2)))]
        self._beginnings = self._may_begin()
        self._actors: dict[str, Actor] = {}
        self._is_calm = False
        self._storm_steps = chance.randint(200, 1_500)
        self._left: set[int] = set()
        self._timers: list[datetime] = []

    def note(self, who: str, *what: object) -> None:
        """A line of the trace, where one is kept."""
        if self.trace is not None:
            self.trace.append((self.now, who, *what))

    def run(self) -> None:
        """Everything was sent and has come to rest. Raises: Violation where it does not."""
        try:
            self._run()
        finally:
            for actor in self._actors.values():
                actor.run.close()

    def _run(self) -> None:
        for step in range(MOST_STEPS):
            if step == self._storm_steps:
                self._calm_down()
            self.now += timedelta(milliseconds=self.chance.randint(1, 20))
            ready = [a for a in self._actors.values() if a.ready()]
            if ready and self.chance.random() < 0.8:
                self._step(self.chance.choice(ready))
            elif self._happen() or ready or self._wait():
                continue
            elif not self._is_calm:
                self._calm_down()
            else:
                return
        raise Violation(f"no rest within {MOST_STEPS} steps")

    # Actors

    def _act(
        self,
        name: str,
        run: Coroutine[Any, Any, None],
        process: int = -1,
        hand: Hand | None = None,
    ) -> None:
        self._actors[name] = Actor(name, run, process, hand)

    def _step(self, actor: Actor) -> None:
        self._hand = actor.hand
        try:
            ready = actor.run.send(None)
            # Reading gives way by the real clock, which must not change a run: it goes on at once.
            while ready is None:
                ready = actor.run.send(None)
            actor.ready = ready
        except StopIteration:
            del self._actors[actor.name]
        except Died:
            self.note(actor.name, "died")
            del self._actors[actor.name]
            self._crash(self._processes[actor.process])

    def _start(self, number: int) -> Process:
        workers: dict[Lane, str] = {lane: f"worker-{self.tables.next_number()}" for lane in LANES}
        self.suspicion.starts(self.tables.next_number(), workers.values())
        one_suspect = Turn()
        return Process(
            number,
            workers,
            {lane: self._pipeline(lane, worker, one_suspect) for lane, worker in workers.items()},
            {lane: Channel() for lane in LANES},
        )

    def _pipeline(self, lane: Lane, worker: str, one_suspect: Turn) -> Pipeline:
        return self.pipeline_type(
            lane=lane,
            storage=self.storage,
            recognise=self.business.recognise,
            handler_named=self.business.handler_named,
            rules=RULES,
            policy=self._policy,
            metrics=METRICS,
            fail_points=Watched(self._passed),
            committed=lambda: None,
            now=lambda: self.now,
            jitter=self.chance.random,
            worker=worker,
            one_suspect=one_suspect,
        )

    def _passed(self, point: str) -> None:
        assert self._hand is not None, "only a worker passes fail points"
        self.suspicion.passed(self._hand, point)

    def _crash(self, process: Process) -> None:
        """The process ends as it is, and another one starts in its place."""
        self.note(f"process {process.number}", "ends")
        for actor in [a for a in self._actors.values() if a.process == process.number]:
            del self._actors[actor.name]
            actor.run.close()
        for channel in process.channels.values():
            self.broker.lose(channel)
        self._processes[process.number] = self._start(process.number)

    # What may happen next

    def _happen(self) -> bool:
        """One of the things that may begin now; False if there is nothing to begin."""
        if not self._is_calm and self.chance.random() < self._trouble:
            self._go_wrong()
            return True
        first = self.chance.randrange(len(self._beginnings))
        # (a loop: this is where a simulation spends most of its time)
        for begin in self._beginnings[first:] + self._beginnings[:first]:  # noqa: SIM110
            if begin():
                return True
        return False

    def _may_begin(self) -> list[Callable[[], bool]]:
        """What may begin; each does where it can, and says whether it did."""
        begin: list[Callable[[], bool]] = [self._send, self._start_relay, self._start_person]
        for number in range(len(self._processes)):
            for lane in LANES:
                consumer, looper = f"consumer {number} {lane}", f"looper {number} {lane}"
                begin.append(partial(self._start_consumer, consumer, number, lane))
                begin.append(partial(self._start_looper, looper, number, lane))
        self.chance.shuffle(begin)
        return begin

    def _start_consumer(self, name: str, number: int, lane: Lane) -> bool:
        if name in self._actors or not self.broker.waiting(lane):
            return False
        process = self._processes[number]
        hand = (process.workers[lane], bytes)
        self._act(name, self._consume(name, process, lane, hand), number, hand)
        return True

    def _start_looper(self, name: str, number: int, lane: Lane) -> bool:
        if not self.tables.pending or name in self._actors or not self._has_due(number, lane):
            return False
        process = self._processes[number]
        hand = (process.workers[lane], int)
        self._act(name, self._loop(name, process, lane, hand), number, hand)
        return True

    def _start_relay(self) -> bool:
        if not self.tables.outbox or "relay" in self._actors:
            return False
        self._act("relay", self._relay())
        return True

    def _start_person(self) -> bool:
        case = None if "person" in self._actors else self._next_case()
        if case is None:
            return False
        self._act("person", self._treat(case))
        return True

    def _has_due(self, number: int, lane: Lane) -> bool:
        worker = self._processes[number].workers[lane]
        rows = self.tables.pending.values()
        may = [
            row
            for row in rows
            if row.lane == lane
            and row.due_at <= self.now
            and (row.passes or row.state in ("ready", "retry"))
            and may_begin(row, worker, self.now)
        ]
        if not may:
            return False
        queues = queues_of(rows)
        return any(may_be_next(row, queues[row.scope, row.key], self.now) for row in may)

    def _wait(self) -> bool:
        """Time passes until something is due; False if nothing will be."""
        times: list[datetime] = []
        for row in self.tables.pending.values():
            if row.state in ("ready", "retry"):
                times.append(row.due_at)
            if row.begun_at is not None:
                times.append(row.begun_at + timedelta(seconds=BEGUN_FOR_S, milliseconds=1))
        self._timers = [at for at in self._timers if at > self.now]
        times = [at for at in times + self._timers if at > self.now]
        if times:
            self.now = min(times)
        return bool(times)

    def _calm_down(self) -> None:
        self.note("world", "calm")
        self._is_calm = True
        self.weather.calm_down()

    def _go_wrong(self) -> None:
        kind = self.chance.choice(("channel", "process", "database", "lock", "time"))
        process = self.chance.choice(self._processes)
        match kind:
            case "channel":
                lane = self.chance.choice(LANES)
                self.note(f"consumer {process.number} {lane}", "loses its channel")
                self.broker.lose(process.channels[lane])
                process.channels[lane] = Channel()
            case "process":
                self._crash(process)
            case "database":
                self.weather.is_away = not self.weather.is_away
                self.note("database", "away" if self.weather.is_away else "back")
            case "lock":
                key = f"{self.chance.choice(('change', 'stock', 'object'))}/1"
                self.weather.locked ^= {key}
                self.note("database", "locks or frees", key)
            case _:
                self.now += timedelta(seconds=self.chance.choice((1, 60, 4_000)))

    # Sources

    def _with_repeats(self, sent: Sequence[Sent]) -> list[Sent]:
        """What is sent, some of it again, some of it again with another content."""
        repeated: list[Sent] = []
        for message in sent:
            repeated.append(message)
            if self.chance.random() < 0.15:
                repeated.insert(self.chance.randint(0, len(repeated)), message)
        return repeated

    def _send(self) -> bool:
        if not self._to_send:
            return False
        sent = self._to_send.popleft()
        lane: Lane = "standard" if sent.source == PLM else self._erp_lane
        body = encode(sent.notice)
        self.note(sent.source, "sends", body.decode())
        delivery = Delivery(
            sent.source, sent.source, body, attributes={"id": sent.id, "subject": sent.key}
        )
        self.broker.publish(Message(delivery, lane, f"in.{sent.source}.{lane}"))
        return True

    # The service

    async def _consume(self, name: str, process: Process, lane: Lane, hand: Hand) -> None:
        """As broker.consumer: decided until committed, then acknowledged."""
        channel = process.channels[lane]
        batch = self.broker.deliver(lane, channel, self.chance.randint(1, self._batch))
        self._batches[hand] = batch
        self.note(name, "takes", [a.delivery.attributes["id"] for a in batch])
        while batch:
            self.suspicion.begins(hand)
            try:
                await process.pipelines[lane].take(batch)
            except EXPECTED as error:
                self.note(name, "fails with", repr(error))
                self.hold(self.suspicion.ends(hand))
                await self._pause()
                batch = batch if channel.is_open else []
                continue
            self.hold(self.suspicion.ends(hand))
            await _Suspended(_always)
            self.broker.acknowledge(channel, batch)
            self.note(name, "acknowledges" if channel.is_open else "cannot acknowledge")
            return

    async def _pause(self) -> None:
        until = self.now + timedelta(seconds=self.chance.uniform(0.05, 5.0))
        self._timers.append(until)
        await _Suspended(lambda: self.now >= until)

    async def _loop(self, name: str, process: Process, lane: Lane, hand: Hand) -> None:
        """As the loop over unfinished work."""
        self.suspicion.begins(hand)
        try:
            taken = await process.pipelines[lane].take_pending(self.chance.choice((1, 50)))
            self.note(name, "took", taken, "rows")
            self.hold(self.suspicion.ends(hand))
        except EXPECTED as error:
            self.note(name, "fails with", repr(error))
            self.hold(self.suspicion.ends(hand))
            await self._pause()

    async def _relay(self) -> None:
        """As broker.relay: in order per key, at least once, a row goes when it is confirmed."""
        chance = self.chance
        rows = sorted(self.tables.outbox.items())[: chance.randint(1, 20)]
        stuck: set[str] = set()
        confirmed: list[int] = []
        for number, row in rows:
            if row.key in stuck:
                continue
            if row.routing_key in SUBSCRIBED:
                await _Suspended(_always)
                if not self._is_calm and chance.random() < self._trouble:
                    stuck.add(row.key)
                    continue
                self._publish(self.tables.log[row.position])
                if not self._is_calm and chance.random() < self._trouble:
                    # Published, but the confirmation is lost.
                    stuck.add(row.key)
                    continue
            confirmed.append(number)
        await _Suspended(_always)
        if self._is_calm or chance.random() >= self._trouble:
            for number in confirmed:
                del self.tables.outbox[number]

    def _publish(self, event: LogRow) -> None:
        position = f"{event.position.at.isoformat()}/{event.position.seq}"
        attributes = {**event.delivery.attributes, "logposition": position}
        delivery = replace(event.delivery, attributes=attributes)
        self.note("relay", "publishes", event.id, event.key, event.sequence, event.lane)
        queue = f"{event.delivery.kind}.{event.lane}"
        self.broker.publish(Message(delivery, event.lane, queue, logged=event.position))

    # People

    def _next_case(self) -> CaseRow | None:
        cases = [
            c for c in self.tables.cases.values() if c.state == "open" and c.id not in self._left
        ]
        if not cases or (not self._is_calm and self.chance.random() < 0.8):
            return None
        return self.chance.choice(cases)

    async def _treat(self, case: CaseRow) -> None:
        """A person repairs the cause, or not, and tries again; or lets it go; or leaves it."""
        act = self.chance.choices(("mend", "retry", "discard", "leave"), (6, 1, 2, 1))[0]
        self.note("person", act, case.id, case.case.code, case.case.place)
        if act == "leave":
            self._left.add(case.id)
            return
        if act == "mend" and case.case.position is not None:
            self.business.mended.add(self.number_of(case.case.position))
        try:
            async with self.storage.unit() as unit:
                if act == "discard" or not await unit.retry_case(case.id, "ann"):
                    await unit.discard_case(case.id, "ann")
        except EXPECTED as error:
            self.note("person", "fails with", repr(error))

    def number_of(self, position: Position) -> int:
        """The number of the message at that place in the log."""
        return self._notice(position).n

    def has_own_fault(self, position: Position) -> bool:
        """Whether that message may fail by itself: told to, or by what it states."""
        notice = self._notice(position)
        return bool(notice.fault or notice.states)

    def _notice(self, position: Position) -> Notice:
        if position not in self._notices:
            if position not in self.tables.log:
                raise Violation(f"{position} is known, but not in the log")
            self._notices[position] = decode_json(self.tables.log[position].delivery.body, Notice)
        return self._notices[position]

    @staticmethod
    def hold(wrong: str | None) -> None:
        """Raises: Violation where something is wrong."""
        if wrong is not None:
            raise Violation(wrong)

    def suspect(self, unit: MemoryUnit) -> None:
        """What is begun on record, and quarantined for that, is so by the rules."""
        for verdict, position in zip(unit.verdicts, unit.positions, strict=True):
            if is_quarantine(verdict):
                assert self._hand is not None, "only a worker decides"
                begun = self._begun(verdict.work, self._hand)
                self.hold(self.suspicion.quarantines(self._hand[0], begun))
                self.quarantined.add(self.number_of(position))
        self.hold(self.suspicion.committed(self.tables))

    def _begun(self, work: Work, hand: Hand) -> Begun:
        """What stands for the work in the records of what is begun."""
        if work.pending is not None:
            return work.pending.id
        said = work.entry.delivery
        return next(
            a.fingerprint
            for a in self._batches[hand]
            if (a.delivery.body, a.delivery.attributes) == (said.body, said.attributes)
        )

    def tell(self, unit: MemoryUnit) -> None:
        """The verdicts of a commit are in the trace."""
        for verdict in unit.verdicts:
            work = verdict.work
            self.note(
                "commit",
                work.entry.envelope.id,
                work.order_key,
                work.sequence,
                "again" if work.pending else "",
                outcome_word(verdict.fate),
                "" if isinstance(verdict.fate, Done) else verdict.fate,
            )
