"""A run: service instances, the target, the load, one fault or more, and the judgement.

async with running(...) as world:
    await world.warm_up()
    async with world.load():
        ...                      # the fault; world.injected(...) says that it happened
        await world.recovers("...")
    await world.judge()

Nothing holds because nobody looked. Health and connections are looked at all through a load; which
messages the fault spares, and where its end is, only the test can say: `spared`, `recovers`. What
has no meaning for a fault is told to `judge`, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec

from broker.failpoints import FailPoints
from broker.rings import change_partitions
from broker.settings import Settings
from broker.store import Database
from broker.topology import LANES
from canonical.envelope import Lane
from canonical.handler import Order as OrderPolicy
from ops.configuration import load as load_configuration
from ops.queues import declare_topology, inlets_of, topology_of
from ops.roles import share_of
from ops.stack import management
from ops.stack.processes import free_port
from tests.faults import evidence, invariants, machine
from tests.faults.business import CATALOGUE, CONTRACT, EVENT, KIND, Order, ledger_of
from tests.faults.health import Watch, gone_round, watched
from tests.faults.invariants import (
    QUICK_S,
    Candour,
    Draining,
    Effort,
    Evidence,
    Idling,
    Illness,
    Latencies,
    Peak,
    Recovery,
    Resources,
    Standstill,
)
from tests.faults.load import Load, Sent, Size, planned
from tests.faults.service import Child, Instance, RolesAndLanes
from tests.faults.target import Fault

WARM_UP = 60
"""Messages sent before the baseline is taken, at least: as many as an eighth of the load is."""
POOLED = 22
"""Database sessions of an instance at most: of each lane 4 for intake and 2 for calls, and 4."""
BURST = 10_000.0
SETTLE_S = 180.0
SENT_AT_LEAST = 0.95
KILL_BOUND_S = 10.0
IDLE_S = 2.0
RECONNECT_MAX_S = 2.0
"""How long the service tries to connect, and pauses at most; a bad network needs more."""


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run finds its servers.

    The sources and the judges always use the first three. service_database_url and
    service_amqp_url: what the service is given instead, a line that fails, or a user of its own.
    """

    database_url: str
    amqp_url: str
    management_url: str
    service_database_url: str = ""
    service_amqp_url: str = ""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a fault, in seconds of the wall clock, and the effects it had kept waiting."""

    after: str
    at: float
    waiting: frozenset[str]


class World:
    """What a fault test works with. patience_s: in which something moves while work is left."""

    patience_s = SETTLE_S

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        size: Size,
        seed: int,
        *,
        reconnect_max_s: float = RECONNECT_MAX_S,
        order: OrderPolicy = "strict",
        trusted: Sequence[str] = (),
        kinds: Mapping[str, Lane] = MappingProxyType({KIND: "standard"}),
        shares: Sequence[RolesAndLanes] = (),
    ) -> None:
        """order: what orders of a key wait for. trusted: sources whose time is believed. kinds:
        what each source sends, and in which lane. shares: what of the work each instance does; each
        does all of it where none are given."""
        self.servers = servers
        self._reconnect_max_s = reconnect_max_s
        self.folder = folder
        self.size = size
        self.seed = seed
        self.chance = random.Random(seed)
        self.faults: list[str] = []
        self.recoveries: list[Recovery] = []
        self.latencies: list[Latencies] = []
        self.efforts: list[Effort] = []
        self.idlings: list[Idling] = []
        self.illnesses: list[Illness] = []
        self.candours: list[Candour] = []
        self.standstills: list[Standstill] = []
        self.peaks: list[Peak] = []
        self.endings: list[Ending] = []
        self.figures: dict[str, object] = {}
        port = free_port()
        self.target_url = f"http://127.0.0.1:{port}"
        self.target = Child(
            "tests.faults.target", str(folder), str(port), log=folder / "target.log"
        )
        self._stalls = folder / "stalls.jsonl"
        self.machine = Child("tests.faults.machine", str(self._stalls), log=folder / "machine.log")
        self._journal = evidence.JournalReader(folder)
        self._trusted = trusted
        self._kinds = kinds
        self._config = folder / "layshaft.toml"
        self._config.write_text(self._configuration())
        shares = shares or [("", "")] * size.instances
        self._shares = [share_of(*share) for share in shares]
        self.instances = [
            Instance(f"layshaft-{n}", config=self._config, folder=folder, order=order, share=share)
            for n, share in enumerate(shares, start=1)
        ]
        load = planned(size, seed)
        first = max(WARM_UP, size.messages // 8)
        self._warm_up, self._main = load[:first], load[first:]
        self._loads: list[Load] = []
        # What a test has brought in by another way than a load.
        self.written: list[Sent] = []
        self.baseline: Resources | None = None
        self._usual_rate = 0.0

    @property
    def service(self) -> Instance:
        """The first instance, which most faults happen to."""
        return self.instances[0]

    @property
    def sent(self) -> list[Sent]:
        """The whole ledger of the sources, and of who else is answered for."""
        return [*(s for load in self._loads for s in load.ledger), *self.written]

    # Running

    async def start(self) -> None:
        """The target and all instances work."""
        for child in (self.machine, self.target):
            if not child.is_running:
                child.start()
        for instance in self.instances:
            instance.launch(ERP_SECRET="secret")
        for instance in self.instances:
            await instance.ready()

    async def relaunch(self, instance: Instance, failpoints: str = "") -> None:
        """The instance works again after its end."""
        instance.launch(failpoints=failpoints, ERP_SECRET="secret")
        await instance.ready()

    async def warm_up(self) -> None:
        """The first messages are through, all at once, so that pools are as full as they get; what
        the service holds then is the baseline."""
        await self.send(self._warm_up, rate=BURST)
        await self.settled()
        times = self.journal().applied_at.values()
        self._usual_rate = len(times) / (max(times) - min(times))
        found = await self.resources()
        # An instance that stood by may come to open all of its pools, and to do what the busiest
        # one does (relay, take the inbound queues): no leak.
        spare = max(POOLED * len(self.instances) - found.sessions, 0)
        tasks = [await i.tasks() for i in self.instances]
        self.baseline = Resources(
            rss=max(i.rss for i in self.instances) * len(self.instances),
            sockets=found.sockets + spare,
            tasks=max(tasks) * len(tasks),
            sessions=found.sessions + spare,
        )

    async def arm(self, failpoints: str, instance: Instance | None = None) -> None:
        """All instances were ended in order; this one works again with these fail points, then the
        others do: the inbound queues have one active consumer, which is who comes first."""
        instance = instance or self.service
        for running in self.instances:
            assert await running.terminate() == 0
        await self.relaunch(instance, failpoints)
        for other in self.instances:
            if other is not instance:
                await self.relaunch(other)

    @asynccontextmanager
    async def load(self, *, copies: int = 1) -> AsyncIterator[Load]:
        """The rest is being sent, and observed what becomes of it; left once all of it is answered
        or given up.

        copies: how often each message is sent at once.
        """
        load = Load(self.servers.amqp_url, self._main, rate=self.size.rate, copies=copies)
        self._loads.append(load)
        running = asyncio.create_task(load.run())
        try:
            async with self.observed("the load"):
                yield load
                async with asyncio.timeout(self.size.seconds + SETTLE_S):
                    await running
        finally:
            running.cancel()
            await asyncio.wait({running})
            load.keep(self.folder / "ledger.jsonl")

    async def send(self, ledger: list[Sent], rate: float) -> None:
        """These messages were sent besides the load, and answered or given up."""
        load = Load(self.servers.amqp_url, ledger, rate=rate)
        self._loads.append(load)
        async with asyncio.timeout(SETTLE_S):
            await load.run()

    async def stop(self) -> None:
        """No process of this run is left."""
        for child in (*self.instances, self.target, self.machine):
            child.send(signal.SIGCONT)
            if child.is_running:
                await child.kill()

    # Faults

    def plan(self, change: Callable[[list[Sent]], list[Sent]]) -> None:
        """The load to come is another one."""
        self._main = change(self._main)

    def spoil(self, fault: str) -> Sent:
        """One message in the middle of the load will carry a fault; see `Order.fault`."""
        sent = self._main[len(self._main) // 2]
        sent.order = msgspec.structs.replace(sent.order, fault=fault)
        return sent

    def change(self, changed: Callable[[Order], Order]) -> None:
        """Every message of the load will be another; to be called before it begins."""
        for sent in self._main:
            sent.order = changed(sent.order)

    def injected(self, what: str) -> None:
        """The fault has happened; a run without one proves nothing."""
        self.faults.append(what)
        print(f"{time.strftime('%H:%M:%S')} fault: {what}")

    async def set_target_faults(self, *faults: Fault) -> None:
        """The target commits these faults from now on, and no others."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self.target_url}/_faults", data=msgspec.json.encode(faults)) as answer,
        ):
            assert answer.status == 204

    async def dies(self, instance: Instance, within_s: float = 60.0) -> int:
        """The instance has ended by its fail point; its exit code."""
        code = await instance.ended(within_s)
        self.injected(f"{instance.name} ended with {code}")
        return code

    async def one_dies(self, within_s: float = 60.0) -> tuple[Instance, int]:
        """An instance has ended by itself, whichever it was; it and its exit code."""

        async def has_ended() -> bool:
            return not all(i.is_running for i in self.instances)

        await until(has_ended, "the end of an instance", within_s)
        instance = next(i for i in self.instances if not i.is_running)
        return instance, await self.dies(instance)

    async def counted(self, metric: str) -> float:
        """A metric, summed over all instances."""
        return sum([(await i.metrics()).get(metric, 0.0) for i in self.instances])

    async def recovers(
        self,
        after: str,
        bound_s: float = KILL_BOUND_S,
        *,
        sources: Sequence[str] = (),
        ended_at: float | None = None,
    ) -> None:
        """A message that each of these sources, or each there is, sent since now has had its
        effect: how long it took is judged in the end, and how quickly what had waited went.

        ended_at: when the fault ended, in seconds of the wall clock, where that was before.
        """
        ended_at = ended_at or time.time()
        held = await self._held_otherwise()
        # What its sender lets wait is not kept waiting by the fault.
        due = {
            s.order.effect_id
            for s in self.sent
            if s.answer == "confirmed" and s.at < ended_at and s.order.not_before < ended_at
            if s.order.key not in held
        }
        known = self.journal().applied_at
        waiting = frozenset(e for e in due if known.get(e, ended_at) >= ended_at)
        self.endings.append(Ending(after=after, at=ended_at, waiting=waiting))
        probes = self._probes(sources or self.size.source_names)
        async with asyncio.TaskGroup() as group:
            for probe in probes:
                group.create_task(self._goes_through(probe, after))
        self.recoveries.append(Recovery(after, time.time() - ended_at, bound_s))

    def _probes(self, sources: Sequence[str]) -> list[Sent]:
        """A message of each of the sources, about an object that there was not before; of all lanes
        where there are as many sources."""
        number = sum(s.order.key.startswith("probe/") for s in self.sent)
        names = [f"probe/{number + n:04}" for n in range(len(sources))]
        return [
            # The target is asked for an effect by its id, in a path.
            Sent(source, Order(name, name, 1, name.replace("/", "-"), LANES[n % len(LANES)]))
            for n, (source, name) in enumerate(zip(sources, names, strict=True))
        ]

    async def _held_otherwise(self) -> set[str]:
        """Keys whose messages wait for something else than their turn, however quickly the rest
        goes: a call or an event of a process that has ended, for the end of its lease; what stands
        in a case, for a person or a replay, which has a rate of its own."""
        ended_at = max(i.ended_at for i in self.instances)
        calls = await self.column(
            f"""
            select l.key from step s join ledger l on l.id = s.ledger_id
            where s.state = 'in_flight' and s.changed_at < to_timestamp({ended_at:f})
            """
        )
        events = await self.column(
            f"""
            select key from outbox
            where sweep_at > now() and message_at < to_timestamp({ended_at:f})
            """
        )
        cases = await self.column(
            "select key from pending where state in ('parked', 'in_case') or replay_id is not null"
        )
        called = {s.order.key for s in self.sent if ledger_of(s.order.effect_id) in calls}
        return called.union(events, cases)

    async def _goes_through(self, probe: Sent, after: str) -> None:
        """It was confirmed and has had its effect. Whoever gets no answer sends it once more, as a
        source does: it is the same message."""

        async def has_effect() -> bool:
            return probe.order.effect_id in self.journal().applied_at

        self.written.append(probe)
        async with asyncio.timeout(SETTLE_S):
            while probe.answer != "confirmed" and not await has_effect():
                await Load(self.servers.amqp_url, [probe], rate=BURST).run()
        await until(has_effect, f"an effect of {probe.source} after {after}", SETTLE_S)

    @asynccontextmanager
    async def observed(self, during: str) -> AsyncIterator[None]:
        """What all instances say about themselves, and how much they hold, is judged in the end."""
        began = time.time()
        async with gone_round(self.instances) as rounds:
            yield
            ended = time.time()
        candours = [c for c in rounds.candours.values() if c.looks]
        self.candours += candours
        if candours:
            # An instance that began without work holds less than one at work does.
            before = self.baseline.sockets if self.baseline else rounds.sockets
            self.peaks.append(Peak(during, rounds.sockets, before))
            lasted_s = self._longest_standstill(began, ended, rounds.unready_at)
            self.standstills.append(Standstill(during, lasted_s))

    def _longest_standstill(self, began: float, ended: float, told_at: Sequence[float]) -> float:
        """Seconds in which something confirmed waited, nothing had an effect and nobody told."""
        applied_at = self.journal().applied_at
        moments = sorted(
            [began, ended, *told_at, *(at for at in applied_at.values() if began < at < ended)]
        )
        waits = [
            (max(s.at, s.order.not_before), applied_at.get(s.order.effect_id, ended))
            for s in self.sent
            if s.answer == "confirmed" and not s.order.fault
        ]
        longest = 0.0
        for earlier, later in pairwise(moments):
            since = [begins for begins, ends in waits if begins < later <= ends]
            if since:
                longest = max(longest, later - max(earlier, min(since)))
        return longest

    @asynccontextmanager
    async def unwell(
        self, why: str, *, names: str, logs: str, instance: Instance | None = None
    ) -> AsyncIterator[Watch]:
        """The instance, or the one that has taken most, cannot work for a part of the block and
        has to say so: see `Illness`. One that has nothing to do would not notice.

        The fault begins and ends within the block; `watch.showed()` waits until it is told.
        names: a word that the reported cause holds; logs: one that a log line holds.
        """
        instance = instance or await self._busiest()
        async with watched(instance, why, names=names, logs=logs) as watch:
            self.illnesses.append(watch.illness)
            yield watch

    async def _busiest(self) -> Instance:
        taken = [
            (await i.metrics()).get("layshaft_messages_received_total", 0.0) for i in self.instances
        ]
        return self.instances[taken.index(max(taken))]

    @asynccontextmanager
    async def spared(
        self, what: str, which: Callable[[Sent], bool], quick_s: float = QUICK_S
    ) -> AsyncIterator[None]:
        """The fault of the block is no business of these messages: how long those sent meanwhile
        took, against those before it, is judged in the end; see `Latencies`."""
        load = self._loads[-1]
        began = time.time()
        yield
        ended = time.time()
        sent = [s for s in load.ledger if which(s) and s.answer == "confirmed"]

        async def have_effect() -> bool:
            return {s.order.effect_id for s in sent if s.at < ended} <= set(
                self.journal().applied_at
            )

        with contextlib.suppress(AssertionError):  # then it is late, or lost, which is said as such
            await until(have_effect, f"effects of {what}", SETTLE_S)
        applied_at, now = self.journal().applied_at, time.time()
        before = [s for s in sent if applied_at.get(s.order.effect_id, now) < began]
        during = [s for s in sent if began <= s.at < ended]
        self.latencies.append(Latencies(what, self.took(before), self.took(during), quick_s))

    def took(self, sent: Sequence[Sent]) -> list[float]:
        """Seconds from sending to effect, or to now, those in which the machine stood still left
        out."""
        applied_at, now = self.journal().applied_at, time.time()
        stalls = machine.stalls(self._stalls)
        return [machine.without(stalls, s.at, applied_at.get(s.order.effect_id, now)) for s in sent]

    async def idles(self, why: str, seconds: float = 5.0) -> None:
        """For so long there is nothing the service can do: see `idling`."""
        async with self.idling(why):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def idling(self, why: str) -> AsyncIterator[None]:
        """There is nothing the service can do, as nothing comes or a fault blocks it: how much
        processor time it uses is judged in the end."""
        instances = [i for i in self.instances if i.is_running]
        began, before = time.monotonic(), {i.name: i.cpu_s for i in instances}
        yield
        wall_s = time.monotonic() - began
        self.idlings += [
            Idling(f"{i.name}, {why}", i.cpu_s - before[i.name], wall_s) for i in instances
        ]

    # Looking

    def journal(self) -> evidence.Journalled:
        """What the target has written down so far."""
        return self._journal.read()

    async def found(self) -> Evidence:
        """Everything the judgement needs."""
        tables = await evidence.read_tables(self.servers.database_url)
        return Evidence(
            sent=self.sent,
            applied=self.journal().applied,
            parked=tables.parked,
            superseded=tables.superseded,
        )

    async def resources(self) -> Resources:
        """What all instances together hold."""
        tasks = [await i.tasks() for i in self.instances]
        return Resources(
            rss=sum(i.rss for i in self.instances),
            sockets=sum(i.sockets for i in self.instances),
            tasks=sum(tasks),
            sessions=await evidence.sessions(self.servers.database_url),
        )

    async def queues(self) -> dict[str, evidence.QueueState]:
        """All queues that the service consumes."""
        return await evidence.read_queues(self.servers.amqp_url, list(await self._consumers()))

    async def _consumers(self) -> dict[str, int]:
        """How many consumers each of them has to have, of those that get messages."""
        rings = await evidence.rings(self.servers.database_url)
        settings, events = self._settings, CATALOGUE.events
        taken = Counter(
            inlet.queue
            for share in self._shares
            for lane in share.lanes
            for inlet in inlets_of(settings, events, lane, share.roles)
        )
        return {
            q.name: 1 if "x-single-active-consumer" in q.arguments else taken[q.name]
            for q in topology_of(settings, events, rings).queues
            if not q.name.startswith("out.")
        }

    @property
    def _settings(self) -> Settings:
        return load_configuration(self._config, {}).settings

    async def split(self, partitions: int) -> None:
        """The event has so many partitions, as `layshaft topology partitions` makes them."""
        database = Database(
            url=self.servers.database_url,
            purpose="cli",
            size=1,
            acquire_s=evidence.DEADLINE_S,
            statement_s=evidence.DEADLINE_S,
        )
        await database.open()
        try:
            await change_partitions(
                database,
                event=EVENT,
                partitions=partitions,
                declare=partial(declare_topology, self._settings, CATALOGUE.events),
                actor="tester",
                fail_points=FailPoints({}),
            )
        finally:
            await database.close()

    async def settled(self) -> None:
        """Nothing is left to do: every confirmed message has its fate, no work is unfinished and
        the queues are empty; or nothing has moved for `patience_s`."""
        seen: tuple[object, ...] = ()
        moved_at = time.monotonic()

        async def is_settled() -> bool:
            nonlocal seen, moved_at
            tables = await evidence.read_tables(self.servers.database_url)
            known = {w.effect_id for w in self.journal().applied}
            known |= tables.parked | tables.superseded
            confirmed = {s.order.effect_id for s in self.sent if s.answer == "confirmed"}
            ready = sum(q.ready for q in (await self.queues()).values())
            unfinished = sum(tables.unfinished.values())
            if not (unfinished or ready) and confirmed <= known:
                return True
            if (now := (len(known), unfinished, ready)) != seen:
                seen, moved_at = now, time.monotonic()
            if time.monotonic() - moved_at < self.patience_s:
                return False
            raise AssertionError(f"nothing has moved for {self.patience_s:g} s")

        # Whether something is lost says the judgement, with names.
        try:
            await until(is_settled, "all work done", SETTLE_S)
        except AssertionError as error:
            print(f"not settled: {error}")

    async def witnessed(self) -> dict[str, list[str]]:
        """Ids of the events that a foreign subscriber got, by effect; takes them off its queue."""
        return await evidence.drain_witness(self.servers.amqp_url)

    async def column(self, sql: str) -> list[Any]:
        """The first column of a query over the service's tables."""
        return await evidence.column(self.servers.database_url, sql)

    # Judging

    async def judge(
        self, *, may_pass_parked: bool = False, not_applicable: Mapping[str, str] | None = None
    ) -> Evidence:
        """All invariants hold now, and again after a restart of everything where the size asks.

        not_applicable: reasons why there is no evidence for an invariant, by its name.
        """
        assert self.faults, "no fault was injected"
        answered = [s for s in self.sent if s.answer != "planned"]
        assert len(answered) >= SENT_AT_LEAST * self.size.messages, (
            f"only {len(answered)} of {self.size.messages} messages were sent"
        )
        began = time.monotonic()
        await self.settled()
        self.figures["settled_s"] = round(time.monotonic() - began, 1)
        await self.idles("with nothing left to do", IDLE_S)
        self.efforts.append(self._calling())
        self._require_evidence(not_applicable or {})
        found = await self._require(may_pass_parked=may_pass_parked, what="after the fault")
        if self.size.judged_again:
            await self.restart_all()
            await self.settled()
            found = await self._require(may_pass_parked=may_pass_parked, what="after a restart")
        self._report(found)
        return found

    def _require_evidence(self, not_applicable: Mapping[str, str]) -> None:
        """There is something to judge each invariant by, or a reason why there is not."""
        shown = {
            "I5": len(self.latencies),
            "I6": len(self.recoveries),
            "I7": min(len(self.idlings), sum(e.offered for e in self.efforts)),
            "I8": len(self.candours) + len(self.illnesses),
            "I9": min(len(self.peaks), int(self.baseline is not None)),
        }
        assert not (wrong := invariants.unshown(shown, not_applicable)), "\n".join(wrong)
        self.figures["not_applicable"] = dict(not_applicable)

    def _calling(self) -> Effort:
        """What all went through to the target, for so many effects."""
        journal = self.journal()
        effects = len({call.effect_id for call in journal.calls})
        return Effort(what="calls", attempts=len(journal.calls), offered=effects)

    def _drainings(self) -> list[Draining]:
        """How quickly went nine tenths of what each fault had kept waiting; a few of the last ones
        may rest before they are tried again."""
        applied_at = self.journal().applied_at
        found: list[Draining] = []
        for ending in self.endings:
            after = sorted(at for at in applied_at.values() if at >= ending.at)
            gone = sorted(applied_at[e] for e in ending.waiting if e in applied_at)
            last = gone[9 * len(gone) // 10 - 1] if len(gone) > 1 else 0.0
            meanwhile = [at for at in after if at <= last]
            if len(meanwhile) > 1 and meanwhile[-1] > meanwhile[0]:
                draining = Draining(
                    after=ending.after,
                    waiting=len(ending.waiting),
                    effects=len(meanwhile),
                    took_s=meanwhile[-1] - meanwhile[0],
                    usual=self._usual_rate,
                )
                found.append(draining)
        return found

    async def restart_all(self) -> None:
        """Every instance was ended in order and works again."""
        for instance in self.instances:
            code = await instance.terminate()
            assert code == 0, f"{instance.name} ended with {code}"
        await self.start()

    async def _require(self, *, may_pass_parked: bool, what: str) -> Evidence:
        found = await self.found()
        wrong = [
            *(f"I1 {w}" for w in invariants.no_loss(found)),
            *(f"I2 {w}" for w in invariants.effects_once(found)),
            *(f"I3 {w}" for w in invariants.indeterminate_at_most_once(found)),
            *(f"I4 {w}" for w in invariants.ordered_by_key(found, may_pass_parked=may_pass_parked)),
            *(f"I5 {w}" for w in invariants.isolated(self.latencies)),
            *(f"I6 {w}" for w in invariants.bounded_recovery(self.recoveries)),
            *(f"I6 {w}" for w in invariants.drained(self._drainings())),
            *(f"I7 {w}" for w in invariants.no_amplification(self.efforts)),
            *(f"I7 {w}" for w in invariants.no_busy_loop(self.idlings)),
            *(f"I8 {w}" for w in invariants.honest_health(self.illnesses)),
            *(f"I8 {w}" for w in invariants.candid(self.candours, self.standstills)),
            *(f"I9 {w}" for w in invariants.no_pile(self.peaks)),
            *(f"I9 {w}" for w in await self._overgrown()),
            *(f"I12 {w}" for w in await self._orphans()),
        ]
        assert not wrong, "\n".join([f"{what}, seed {self.seed}:", *wrong, f"see {self.folder}"])
        return found

    async def _overgrown(self) -> list[str]:
        """Tasks of calls that have just ended go within a moment, connections that only read after
        15 s: the HTTP library keeps them so long."""
        if self.baseline is None:
            return []
        baseline = self.baseline
        return await settles(lambda: self._growth(baseline), within_s=20.0)

    async def _growth(self, baseline: Resources) -> list[str]:
        return invariants.bounded_resources(baseline, await self.resources())

    async def _orphans(self) -> list[str]:
        """The broker's statistics are some seconds old."""
        return await settles(self._leftovers, within_s=20.0)

    async def _leftovers(self) -> list[str]:
        vhost = management.vhost_name(self.servers.amqp_url)
        left = await evidence.read_leftovers(
            self.servers.database_url,
            await self.queues(),
            unacknowledged=management.unacknowledged(self.servers.management_url, vhost),
            consumers=await self._consumers(),
        )
        return invariants.no_orphans(left)

    def _report(self, found: Evidence) -> None:
        answers = [s.answer for s in found.sent]
        size = self.size
        self.figures |= {
            "load": {
                "messages": size.messages,
                "rate": size.rate,
                "keys": size.keys,
                "instances": size.instances,
            },
            "planned": self.size.messages,
            "confirmed": answers.count("confirmed"),
            "indeterminate": answers.count("indeterminate"),
            "refused": answers.count("refused"),
            "applied": len(found.applied),
            "parked": len(found.parked),
            "superseded": len(found.superseded),
            "calls": len(self.journal().calls),
            "recovery_s": [round(r.took_s, 1) for r in self.recoveries],
            "drained": [
                [d.waiting, round(d.effects / d.took_s), round(d.usual)] for d in self._drainings()
            ],
            "p99_s": {
                x.what: [round(invariants.p99(s), 2) for s in (x.before, x.during) if s]
                for x in self.latencies
            },
            "stalls_s": [
                [s.what, round(s.ended - s.began, 2)] for s in machine.stalls(self._stalls)
            ],
            "idle_cpu": [round(i.share, 3) for i in self.idlings],
            "told_s": [round(c.unready_s, 1) for c in self.candours],
            "standstill_s": [round(s.lasted_s, 1) for s in self.standstills],
            "peaks": [[p.sockets, p.before] for p in self.peaks],
            "unready_s": [i.unready_s and round(i.unready_s, 1) for i in self.illnesses],
            "rss_mib": round(sum(i.rss for i in self.instances) / 2**20),
            "faults": len(self.faults),
        }
        print(f"seed {self.seed}: {self.figures}")

    def _configuration(self) -> str:
        kinds = ", ".join(f'"{kind}"' for kind in self._kinds)
        lanes = ", ".join(f'"{kind}" = "{lane}"' for kind, lane in self._kinds.items())
        sources = "".join(
            f'[[settings.sources]]\nname = "{name}"\nkinds = [{kinds}]\nlanes = {{ {lanes} }}\n'
            f'contracts = ["{CONTRACT}"]\ntrusted_time = {str(name in self._trusted).lower()}\n\n'
            for name in self.size.source_names
        )
        template = Template(Path(__file__).with_name("layshaft.toml").read_text())
        return template.substitute(
            database_url=self.servers.service_database_url or self.servers.database_url,
            amqp_url=self.servers.service_amqp_url or self.servers.amqp_url,
            target_url=self.target_url,
            reconnect_max_s=self._reconnect_max_s,
            sources=sources,
        )


async def until(holds: Callable[[], Awaitable[bool]], what: str, within_s: float) -> None:
    """Looks again and again until it holds; fails after the deadline."""
    end = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.1)


async def settles(wrong: Callable[[], Awaitable[list[str]]], within_s: float) -> list[str]:
    """What is still wrong after the deadline; empty as soon as nothing is."""
    end = time.monotonic() + within_s
    found = await wrong()
    while found and time.monotonic() < end:
        await asyncio.sleep(0.5)
        found = await wrong()
    return found


@asynccontextmanager
async def running(
    servers: Servers,
    folder: Path,
    size: Size,
    seed: int,
    *,
    reconnect_max_s: float = RECONNECT_MAX_S,
    order: OrderPolicy = "strict",
    trusted: Sequence[str] = (),
    kinds: Mapping[str, Lane] = MappingProxyType({KIND: "standard"}),
    shares: Sequence[RolesAndLanes] = (),
) -> AsyncIterator[World]:
    """A world whose processes are gone afterwards."""
    print(f"seed {seed}, {size.messages} messages, {size.instances} instance(s)")
    world = World(
        servers,
        folder,
        size,
        seed,
        reconnect_max_s=reconnect_max_s,
        order=order,
        trusted=trusted,
        kinds=kinds,
        shares=shares,
    )
    try:
        yield world
    finally:
        await world.stop()
