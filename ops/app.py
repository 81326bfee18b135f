"""Composition root: the only place that knows every part and how they are put together."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import structlog

from broker import amqp_properties, application
from broker.blame import server_in_words
from broker.channels.http import HttpChannel
from broker.consumer import Inlet, LaneConsumer
from broker.contract_use import ContractUse
from broker.dealer import Dealer
from broker.dispatcher import Dispatcher, Outlet, lapse
from broker.escalator import Escalator
from broker.failpoints import FailPoints
from broker.gate import Gate
from broker.herald import Herald
from broker.housekeeper import Housekeeper
from broker.looper import Clearing, Loop
from broker.metering import Meter
from broker.metrics import Metrics
from broker.packages import expire_packages
from broker.partitions import Ring
from broker.pipeline import Pipeline
from broker.planner import planner_of
from broker.precedence import Pace, Precedence
from broker.publisher import Publisher, Unpublishable
from broker.reading import Reader
from broker.relay import GATHER_S, Relay
from broker.replay import Replayer
from broker.rings import Rings
from broker.settings import System
from broker.store import Database
from broker.store import partitions as partition_rows
from broker.store import upkeep as upkeep_rows
from broker.succession import Succession
from broker.sweeper import Sweeper
from broker.unit import SqlStorage
from canonical.catalogue import Catalogue
from canonical.envelope import Lane
from canonical.errors import Misconfigured
from canonical.events import SOURCE
from ops.configuration import Configuration
from ops.console.server import ConsoleServer
from ops.health import HealthServer
from ops.memory import collect_rarely, give_large_blocks_back
from ops.queues import (
    declare_topology,
    inlets_of,
    lineages_of,
    origin_of,
    restore_topology,
)
from ops.roles import Share
from ops.sources import recogniser
from ops.systems import channel_of, driver_of

log = structlog.get_logger(__name__)

# Of the ways to say who calls, the one that is no driver's.
PENDING_BATCH = 50
# A step that gave way to somebody is made at the next turn.
HOUSEKEEPING_S = 30.0
HERALD_S = 1.0
ESCALATION_S = 5.0
# A package may be put days before its message is sent; a put that broke off is over after hours.
UNUSED_PACKAGE = timedelta(days=7)
UNFINISHED_PACKAGE = timedelta(days=1)
# Loops whose failure keeps nobody from working.
WITHOUT_READINESS = frozenset(
    {
        "contracts",
        "escalation",
        "gauges",
        "herald",
        "housekeeping",
        "packages",
        "precedence",
        "replay",
    }
)
GAUGES_S = 5.0
CONTRACTS_S = 2.0
REPLAY_S = 0.1
PRECEDENCE_S = 0.25
PARTITIONS_S = 1.0
RINGS_S = 5.0
SUCCESSION_S = 1.0
# A page has to come; a narrower filter makes it come sooner.
CONSOLE_READING_S = 5.0
# The code that turns messages into plans.
_ROOT = Path(__file__).resolve().parents[1]
_PLANNING = (_ROOT / "handlers" / "flows", _ROOT / "canonical")
# Of a lane, each with a connection to PostgreSQL: more than two gain nothing in one process.
SHARDS = 2


def in_words(error: BaseException) -> str:
    """What keeps a loop from working, as far as its exception tells."""
    return str(error) if isinstance(error, Unpublishable) else server_in_words(error)


class App:
    """The service: everything is made here, started in order and stopped in reverse."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        catalogue: Catalogue,
        share: Share = Share(),  # noqa: B008 - frozen
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """share: what of the work this process does. now: by which business days and moments come;
        calls, retries and leases go by the clocks of the machines."""
        self.configuration = configuration
        self._now = now
        self._share = share
        self._catalogue = catalogue
        settings = configuration.settings
        self._settings = settings
        self._recognise = recogniser(settings, catalogue)
        self._planner = planner_of(_PLANNING, configuration.rules)
        self._subscribed = frozenset(catalogue.events).union(*settings.subscribers.values())
        self._environ = environ
        self.metrics = Metrics()
        self._contract_use: ContractUse | None = None
        self._fail_points = FailPoints.parse(settings.failpoints)
        self._publisher = Publisher(
            amqp_url=settings.amqp_url,
            metrics=self.metrics,
            fail_points=self._fail_points,
            confirm_s=settings.deadlines.confirm_s,
            heartbeat_s=settings.heartbeat_s,
            subscribed=self._subscribed,
        )
        relay_database = self._database("relay", 2)
        self._relay = Relay(
            publisher=self._publisher,
            database=relay_database,
            metrics=self.metrics,
            fail_points=self._fail_points,
        )
        self._sweeper = Sweeper(
            publisher=self._publisher,
            database=relay_database,
            metrics=self.metrics,
            fail_points=self._fail_points,
        )
        self._databases = {
            "relay": relay_database,
            "upkeep": self._database("upkeep", 2),
            **{
                purpose: self._database(purpose, size, handover=self._relay)
                for purpose, size in self._pools()
            },
        }
        self._channels: dict[str, HttpChannel] = {}
        self._trouble: dict[str, str] = {}
        self._holds: tuple[str, ...] = ()
        self._loops: list[Loop] = []
        self._clearing = Clearing()
        self._gate = Gate(
            {system.name: system.concurrency for system in self._settings.systems},
            self._settings.breaker,
            {system.name: system.closed for system in self._settings.systems},
        )
        self._precedence = Precedence()
        # Since the processes told each other last.
        self._took_rows = False
        self._one_suspect = asyncio.Lock()
        self._consumers: list[LaneConsumer] = []
        self._dealers: list[Dealer] = []
        self._dispatchers: list[Dispatcher] = []
        self._health = HealthServer(
            host=configuration.listen_host,
            port=configuration.listen_port,
            registry=self.metrics.registry,
            trouble=self.trouble,
            holds=lambda: self._holds,
        )
        self._console = self._make_console()
        self.port = 0
        self.console_port = 0

    def trouble(self) -> dict[str, str]:
        """Parts and what keeps them from working; "" where nothing does."""
        lanes = {f"lane {c.lane}": c.trouble for c in self._consumers}
        found = {**self._trouble, **lanes, "events": self._sweeper.trouble}
        for part, why in found.items():
            self.metrics.ready.labels(part).set(0 if why else 1)
        return found

    async def start(self) -> None:
        """The service works: topology declared, pools open, lanes consuming."""
        amqp_properties.install()
        amqp_properties.self_test()
        await self._require_safe_database()
        await declare_topology(self._settings, self._catalogue.events, await self._declared_rings())
        event_loop = asyncio.get_running_loop()
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks(event_loop)))
        self.port = await self._health.start()
        if self._console is not None:
            self.console_port = await self._console.start()
        sweep_s = self._settings.deadlines.sweep_s
        relay = self._loop("relay", self._relay.turn, sweep_s, gather_s=GATHER_S)
        sweeper = self._loop("sweeper", self._sweeper.turn, sweep_s)
        self._relay.wake, self._relay.wake_sweeper = relay.wake, sweeper.wake

        def publish_again() -> None:
            relay.wake()
            sweeper.wake()

        self._publisher.unblocked = publish_again
        self._make_lanes()
        upkeep = self._databases["upkeep"]
        if self._share.consumes:
            self._loop("precedence", lambda: self._exchange_precedence(upkeep), PRECEDENCE_S)
            # Where live messages are taken: a replay gives way to them.
            self._loop("replay", self._replayer(upkeep).turn, REPLAY_S)
            self._contract_use = ContractUse(
                database=upkeep,
                metrics=self.metrics,
                endings=self._settings.endings,
                now=self._now,
            )
            self._loop("contracts", self._contract_use.turn, CONTRACTS_S)
        if "upkeep" in self._share.roles:
            self._make_upkeep(upkeep)
        self._loop("gauges", lambda: self._refresh_gauges(upkeep), GAUGES_S)
        for loop in self._loops:
            loop.start()
        for consumer in self._consumers:
            consumer.start()
        log.info(
            "started",
            port=self.port,
            console_port=self.console_port,
            roles=sorted(self._share.roles),
            lanes=list(self._share.lanes),
        )

    async def stop(self) -> None:
        """Intake stopped, work in hand finished as far as the deadline allows, all closed.

        The deadline is one for all of it. A call that is cut off stays in flight; its lease
        lapses, and whoever runs next looks it up.
        """
        drain_s = self._settings.deadlines.drain_s
        until = monotonic() + drain_s
        # Streams first: whoever looks on is told at once, and waits for nothing.
        if self._console is not None:
            await self._console.close()
        async with asyncio.TaskGroup() as group:
            for consumer in self._consumers:
                group.create_task(consumer.stop(drain_s))
            for loop in self._loops:
                group.create_task(loop.stop(drain_s))
        for dealer in self._dealers:
            await dealer.leave()
        for dispatcher in self._dispatchers:
            await dispatcher.drain(max(until - monotonic(), 0.1))
        if self._contract_use is not None:
            await self._contract_use.drain(max(until - monotonic(), 0.1))
        await self._relay.drain(max(until - monotonic(), 0.1))
        await self._publisher.close()
        for channel in self._channels.values():
            await channel.close()
        for database in self._databases.values():
            await database.close()
        await self._health.close()
        # The AMQP library finishes its callbacks in tasks of their own.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest, timeout=1)
        log.info("stopped")

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT; a second signal ends it at once."""
        give_large_blocks_back()
        collect_rarely()
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def ask() -> None:
            if asked.is_set():
                os._exit(130)
            asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        await self.start()
        await asked.wait()
        await self.stop()

    # Parts

    def _database(self, purpose: str, size: int, *, handover: Relay | None = None) -> Database:
        return Database(
            url=self._settings.database_url,
            purpose=purpose,
            size=size,
            acquire_s=self._settings.deadlines.acquire_s,
            statement_s=self._settings.deadlines.statement_s,
            handover=handover,
            subscribed=self._subscribed,
        )

    def _make_console(self) -> ConsoleServer | None:
        """The pages, where this process is to serve any."""
        settings = self.configuration.console
        if settings is None or "console" not in self._share.roles:
            return None
        reading = self._databases["console-reading"] = self._console_pool(
            "console-reading", size=4, statement_s=CONSOLE_READING_S
        )
        acting = self._databases["console-acting"] = self._console_pool(
            "console-acting", size=2, statement_s=self._settings.deadlines.statement_s
        )
        return ConsoleServer(
            settings, reading=reading, acting=acting, rules=self.configuration.rules
        )

    def _console_pool(self, purpose: str, *, size: int, statement_s: float) -> Database:
        """A pool of the console's own: whoever looks keeps nothing from working."""
        return Database(
            url=self._settings.database_url,
            purpose=purpose,
            size=size,
            acquire_s=self._settings.deadlines.acquire_s,
            statement_s=statement_s,
            handover=self._relay,
            subscribed=self._subscribed,
        )

    def _loop(
        self,
        name: str,
        turn: Callable[[], Awaitable[bool]],
        rest_s: float,
        *,
        gather_s: float = 0.0,
    ) -> Loop:
        def note(error: BaseException | None) -> None:
            if name not in WITHOUT_READINESS:
                self._trouble[name] = in_words(error) if error else ""

        loop = Loop(
            name,
            turn,
            rest_s=rest_s,
            gather_s=gather_s,
            failed=note,
            clearing=self._clearing,
        )
        self._loops.append(loop)
        return loop

    def _pools(self) -> list[tuple[str, int]]:
        """Database pools of this process's lanes, with their sizes."""
        pools: list[tuple[str, int]] = []
        for lane in self._share.lanes:
            if self._share.consumes:
                pools.append((f"intake-{lane}", SHARDS + 2))
            if "dispatch" in self._share.roles:
                pools.append((f"dispatch-{lane}", 2))
        if "dispatch" in self._share.roles and any(s.quotas for s in self._settings.systems):
            pools.append(("quotas", 2))
        return pools

    def _make_lanes(self) -> None:
        if "dispatch" in self._share.roles:
            self._channels = {s.name: self._channel(s) for s in self._settings.systems}
        for lane in self._share.lanes:
            self._make_lane(lane)

    def _make_lane(self, lane: Lane) -> None:
        """One lane's consumer, pipeline, row worker and dispatcher, wired to wake each other.

        Those of other processes find what was committed when they look the next time.
        """
        sweep_s = self._settings.deadlines.sweep_s
        wakes: list[Callable[[], None]] = []

        def committed() -> None:
            for wake in wakes:
                wake()

        if self._share.consumes:
            # One for each shard and one for what is taken with care: each has failures of its own.
            pipelines = [self._pipeline(lane, committed) for _ in range(SHARDS + 1)]
            pipeline = pipelines[0]
            pace = Pace(lane, self._precedence, self._settings.yield_share)
            rows = self._loop(f"rows {lane}", lambda: self._take_rows(pipeline, pace), sweep_s)
            wakes.append(rows.wake)
            inlets, succession = self._inlets(lane), self._succession(lane)
            if inlets or succession.takes_anything:
                dealer = self._dealer(lane)
                consumer = self._consumer(
                    lane, pipelines, pace.companion(), inlets, succession, dealer
                )
                self._consumers.append(consumer)
        if "dispatch" in self._share.roles:
            dispatcher = self._dispatcher(lane, committed)
            calls = self._loop(f"calls {lane}", dispatcher.turn, sweep_s)
            dispatcher.wake = calls.wake
            wakes.append(calls.wake)
            self._dispatchers.append(dispatcher)

    def _make_upkeep(self, upkeep: Database) -> None:
        """What goes by the clock; of several processes one does it at a time, or it does not matter
        who does."""
        fact_sweep_s = self._settings.deadlines.fact_sweep_s
        self._loop("lapsed calls", lambda: self._lapse_calls(upkeep), fact_sweep_s)
        self._loop("facts", lambda: self._wake_waiting(upkeep), fact_sweep_s)
        self._loop("housekeeping", self._housekeeper(upkeep).turn, HOUSEKEEPING_S)
        self._loop("rings", self._rings(upkeep).turn, RINGS_S)
        self._loop("packages", lambda: self._expire_packages(upkeep), HOUSEKEEPING_S)
        herald = Herald(
            database=upkeep,
            watches=self._catalogue.watches,
            subscribed=self._subscribed,
            fail_points=self._fail_points,
            now=self._now,
        )
        if herald.is_asked:
            self._loop("herald", herald.turn, HERALD_S)
        if self.configuration.rules.escalations:
            escalator = Escalator(
                database=upkeep,
                rules=self.configuration.rules,
                fail_points=self._fail_points,
                now=self._now,
            )
            self._loop("escalation", escalator.turn, ESCALATION_S)

    def _inlets(self, lane: Lane) -> list[Inlet]:
        return inlets_of(self._settings, self._catalogue.events, lane, self._share.roles)

    def _pipeline(self, lane: Lane, committed: Callable[[], None]) -> Pipeline:
        return Pipeline(
            lane=lane,
            storage=SqlStorage(self._databases[f"intake-{lane}"]),
            recognise=self._recognise,
            handler_named=self._catalogue.handler_named,
            rules=self.configuration.rules,
            policy=self._settings.retry,
            memory=self._settings.memory,
            metrics=self.metrics,
            fail_points=self._fail_points,
            committed=committed,
            read_s=self._settings.deadlines.read_s,
            one_suspect=self._one_suspect,
            reads_from=self._settings.reads_from,
            endings=self._settings.endings,
            now=self._now,
            planner=self._planner,
        )

    def _housekeeper(self, database: Database) -> Housekeeper:
        return Housekeeper(
            database=database,
            retention=self._settings.retention,
            metrics=self.metrics,
            fail_points=self._fail_points,
        )

    def _dispatcher(self, lane: Lane, committed: Callable[[], None]) -> Dispatcher:
        return Dispatcher(
            lane=lane,
            database=self._databases[f"dispatch-{lane}"],
            outlets={s.name: self._outlet(s, lane) for s in self._settings.systems},
            translator=self._catalogue.translator,
            slots=self._settings.dispatch.of(lane),
            deadlines=self._settings.deadlines,
            policy=self._settings.retry,
            metrics=self.metrics,
            fail_points=self._fail_points,
            committed=committed,
            gate=self._gate,
            now=self._now,
        )

    def _dealer(self, lane: Lane) -> Dealer:
        decides = "decide" in self._share.roles
        dealer = Dealer(
            lane=lane,
            events=self._catalogue.events if decides else (),
            database=self._databases["upkeep"],
            lease_s=self._settings.deadlines.partition_lease_s,
            metrics=self.metrics,
            fail_points=self._fail_points,
        )
        if decides:
            self._loop(f"partitions {lane}", dealer.turn, PARTITIONS_S)
            self._dealers.append(dealer)
        return dealer

    def _succession(self, lane: Lane) -> Succession:
        succession = Succession(
            lineages=lineages_of(self._settings, lane, self._share.roles),
            amqp_url=self._settings.amqp_url,
            heartbeat_s=self._settings.heartbeat_s,
            within_s=self._settings.deadlines.reconnect_max_s,
            fail_points=self._fail_points,
        )
        if succession.takes_anything:
            self._loop(f"inbound {lane}", succession.turn, SUCCESSION_S)
        return succession

    def _rings(self, database: Database) -> Rings:
        return Rings(
            database=database,
            amqp_url=self._settings.amqp_url,
            heartbeat_s=self._settings.heartbeat_s,
            within_s=self._settings.deadlines.reconnect_max_s,
            declare=partial(declare_topology, self._settings, self._catalogue.events),
            fail_points=self._fail_points,
        )

    def _consumer(
        self,
        lane: Lane,
        pipelines: Sequence[Pipeline],
        pace: Pace,
        inlets: Sequence[Inlet],
        succession: Succession,
        dealer: Dealer,
    ) -> LaneConsumer:
        settings = self._settings
        handled = self._catalogue.events

        def dealt() -> list[Inlet]:
            partitions = dealer.share.items()
            ours = [Inlet(queue, SOURCE, event, ours=True) for queue, event in partitions]
            return [*succession.share, *ours]

        consumer = LaneConsumer(
            lane=lane,
            amqp_url=settings.amqp_url,
            inlets=inlets,
            dealt=dealt,
            origins=lambda queue: origin_of(settings, handled, queue),
            takes=[pipeline.take for pipeline in pipelines],
            read=pipelines[0].read_ahead,
            pace=pace,
            prefetch=settings.prefetch.of(lane),
            batch=settings.batch.of(lane),
            heartbeat_s=settings.heartbeat_s,
            reconnect_max_s=settings.deadlines.reconnect_max_s,
            metrics=self.metrics,
            fail_points=self._fail_points,
            restore=self._restore_topology,
            clearing=self._clearing,
            max_body_bytes=settings.max_body_bytes,
        )
        dealer.attached = lambda: consumer.attached
        dealer.dealt = succession.changed = consumer.look_again
        return consumer

    def _replayer(self, database: Database) -> Replayer:
        def wake_rows() -> None:
            for loop in self._loops:
                if loop.name.startswith("rows "):
                    loop.wake()

        return Replayer(
            database=database,
            reader=Reader(
                storage=SqlStorage(database),
                recognise=self._recognise,
                handler_named=self._catalogue.handler_named,
                read_s=self._settings.deadlines.read_s,
            ),
            dedupe_window=self._settings.memory.window,
            metrics=self.metrics,
            fail_points=self._fail_points,
            backlogs=lambda: [
                c.lane for c in self._consumers if c.backlog > self._settings.batch.of(c.lane)
            ],
            committed=wake_rows,
        )

    async def _restore_topology(self, queues: Collection[str]) -> Mapping[str, str]:
        log.warning("queues were lost, the topology is declared anew", queues=sorted(queues))
        rings = await self._declared_rings()
        return await restore_topology(self._settings, self._catalogue.events, rings, queues)

    async def _declared_rings(self) -> list[Ring]:
        async with self._databases["upkeep"].session() as session:
            found = await partition_rows.rings(session)
        return [ring for ring in found if ring.is_declared]

    def _channel(self, system: System) -> HttpChannel:
        return channel_of(
            system,
            self._settings.deadlines,
            self._catalogue.access,
            self._environ,
            fail_point=self._fail_points,
            admission=self._meter(system) if system.quotas else None,
        )

    def _meter(self, system: System) -> Meter:
        return Meter(system=system.name, quotas=system.quotas, database=self._databases["quotas"])

    def _outlet(self, system: System, lane: Lane) -> Outlet:
        words = self.configuration.rules.words_of(system.name)
        return Outlet(
            name=system.name,
            driver=driver_of(system, self._catalogue.drivers, words),
            perform=partial(self._channels[system.name].perform, lane=lane),
            settle_s=system.settle_s,
        )

    # Turns of the background loops

    async def _take_rows(self, pipeline: Pipeline, pace: Pace) -> bool:
        began, limit = monotonic(), pace.at_most(PENDING_BATCH)
        taken = await pipeline.take_pending(limit)
        if taken:
            self._took_rows = True
            await asyncio.sleep(pace.rest_s(taken, monotonic() - began, behind=taken == limit))
        return taken > 0

    async def _exchange_precedence(self, database: Database) -> bool:
        """Nothing is said or asked where nobody would give way."""
        backlog = self._took_rows or any(c.backlog for c in self._consumers)
        if self._precedence.has_news or backlog:
            self._took_rows = False
            await self._precedence.exchange(database)
        return False

    async def _lapse_calls(self, database: Database) -> bool:
        settle_s = max((system.settle_s for system in self._settings.systems), default=0.0)
        return await lapse(database, settle_s=settle_s, fail_points=self._fail_points)

    async def _wake_waiting(self, database: Database) -> bool:
        """The guarantee behind waking by event: waits whose fact is newer are planned again. Times
        that have come have no other way."""
        async with database.transaction() as tx:
            await application.wake_ledgers(tx, None, self._now(), self._planner)
            if __debug__:
                await self._fail_points("facts.before_commit")
        return False

    async def _refresh_gauges(self, database: Database) -> bool:
        self.trouble()
        holds = await upkeep_rows.refresh(database, self.metrics)
        self._holds = tuple(f"{hold.name}: {hold.words}" for hold in holds)
        return False

    async def _expire_packages(self, database: Database) -> bool:
        return await expire_packages(
            database,
            unused_for=UNUSED_PACKAGE,
            unfinished_for=UNFINISHED_PACKAGE,
            fail_points=self._fail_points,
        )

    async def _require_safe_database(self) -> None:
        """Refuses a database that may lose what it said was committed."""
        for database in self._databases.values():
            await database.open()
        async with self._databases["upkeep"].session() as session:
            unsafe = await upkeep_rows.unsafe_settings(session)
        if unsafe:
            raise Misconfigured(
                "database-unsafe",
                f"PostgreSQL runs with {', '.join(unsafe)} off: commits may be lost",
                where="database",
                remedy=f"Set {' = on, '.join(unsafe)} = on",
            )
