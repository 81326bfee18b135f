"""One frozen Settings: everything an operator can set, with the reasons for the defaults.

Read from `LAYSHAFT_*` variables by ops; times are seconds, sizes bytes.
"""

from __future__ import annotations

import math
from collections.abc import Set
from datetime import date, timedelta

import msgspec

from broker.gate import Breaker
from broker.hours import Closing, refuse_endless
from broker.lateness import Memory
from broker.policy import RetryPolicy
from broker.quota import Quota
from broker.sunset import Ending, Endings
from canonical.codec import MAX_BODY_BYTES
from canonical.envelope import Lane
from canonical.errors import Misconfigured

LEAST_SHARE = 0.1


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system that publishes to us.

    kinds: routing keys it uses; each gets a queue of its own. lanes: of kinds whose messages take
    another lane than the standard one. contracts: message types its messages are recognised by, in
    the order tried. trusted_time: its CloudEvents time says when it sent the message, so that one
    older than the dedupe window is refused. users: broker logins it publishes with; where they are
    given, each message has to say one of them as its user_id, which the broker checks. reads_from:
    system that is asked what an object is, where the source sends no more than its key. owner: who
    answers for what it sends. sunset: by contract, the last day (UTC) on which it is taken; 30 days
    before, the owner is told.
    """

    name: str
    kinds: tuple[str, ...]
    contracts: tuple[str, ...]
    trusted_time: bool = False
    users: tuple[str, ...] = ()
    lanes: dict[str, Lane] = {}
    reads_from: str = ""
    owner: str = ""
    sunset: dict[str, date] = {}

    def lane_of(self, kind: str) -> Lane:
        """The lane its messages of this kind take; what they lead to may take another one."""
        return self.lanes.get(kind, "standard")


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system that we call.

    driver: word of the catalogue's drivers. auth: "oauth2", or a word of the catalogue's access.
    user / secret: credentials, given by reference to environment variables.
    tenant: workspace of the target in which the user works, where it has several.
    concurrency: calls at once, over all lanes; see broker.channels.slots for how they share them.
    settle_s: how long it may still be busy with a call whose answer was lost; only then is it asked
        what became of it.
    change_sets: whether it takes several changes in one call, all or none; else each is a call.
    quotas: calls that it allows in any stretch of time, over all processes that share this
        database; nobody else who calls it is known.
    closed: when it is not called by the clock; what is due then waits.
    """

    name: str
    driver: str
    base_url: str
    auth: str
    user: str
    secret: str
    token_path: str = ""
    tenant: str = ""
    concurrency: int = 4
    settle_s: float = 5.0
    change_sets: bool = True
    quotas: tuple[Quota, ...] = ()
    closed: tuple[Closing, ...] = ()


class Deadlines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long Layshaft waits for others.

    lease_s: a call's claim. Nothing is sent once less than the HTTP total is left of it, so that
        nothing is applied after it; twice the total, so that a write fits behind a slow look.
    sweep_s: pause between looks at rows nobody woke us for. read_s: for reading one large content.
    partition_lease_s: how long the partitions of a process that died wait for others.
    """

    http_connect_s: float = 3.0
    http_read_s: float = 15.0
    http_total_s: float = 30.0
    lease_s: float = 90.0
    partition_lease_s: float = 6.0
    confirm_s: float = 5.0
    acquire_s: float = 3.0
    statement_s: float = 5.0
    read_s: float = 60.0
    sweep_s: float = 0.5
    fact_sweep_s: float = 2.0
    reconnect_max_s: float = 15.0
    drain_s: float = 20.0


class PerLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number for each lane."""

    critical: int
    standard: int
    enrichment: int

    def of(self, lane: Lane) -> int:
        """The lane's number."""
        match lane:
            case "critical":
                return self.critical
            case "standard":
                return self.standard
            case "enrichment":
                return self.enrichment


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many days what was handled is remembered; unfinished work always is.

    dedupe_days: a message that comes again within them is known to be a repeat. log_days: its
    content can be looked at and replayed within them.
    """

    dedupe_days: int = 30
    log_days: int = 90


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration of one process."""

    database_url: str
    amqp_url: str
    sources: tuple[Source, ...]
    systems: tuple[System, ...]
    subscribers: dict[str, tuple[str, ...]] = {}
    deadlines: Deadlines = Deadlines()
    retry: RetryPolicy = RetryPolicy()
    breaker: Breaker | None = None
    retention: Retention = Retention()
    # Messages decided in one commit at most, and unacked at once: three batches, so that one is
    # being decided while the next arrives; far below the point where prefetch stops paying.
    batch: PerLane = PerLane(20, 200, 50)
    prefetch: PerLane = PerLane(60, 600, 150)
    # Of its rate alone, what a lower lane is held to while the critical one has work. Never less
    # than a tenth: the lowest lane has to get there too.
    yield_share: float = 0.3
    # Claims of calls at once per lane.
    dispatch: PerLane = PerLane(8, 8, 2)
    # What is longer is kept and not read. A broker of its own accord takes up to 128 MiB; its
    # max_message_size should be no more than this.
    max_body_bytes: int = MAX_BODY_BYTES
    # Messages per second that a replay queues at most, unless it is started with another rate: far
    # below what a lane decides.
    replay_rate: float = 50.0
    heartbeat_s: int = 10
    failpoints: str = ""

    @property
    def reads_from(self) -> dict[str, str]:
        """By who speaks: the system that tells what an object is. A system tells of its own."""
        own = {system.name: system.name for system in self.systems}
        return own | {s.name: s.reads_from for s in self.sources if s.reads_from}

    @property
    def endings(self) -> Endings:
        """Contracts that end, by source and contract."""
        return {
            (s.name, contract): Ending(s.name, contract, last_day, s.owner or f"owner of {s.name}")
            for s in self.sources
            for contract, last_day in s.sunset.items()
        }

    @property
    def memory(self) -> Memory:
        """How old a message may be, and who is believed about it."""
        return Memory(
            window=timedelta(days=self.retention.dedupe_days),
            trusted=frozenset(s.name for s in self.sources if s.trusted_time),
        )


def refuse_contradictions(settings: Settings) -> None:
    """Everything is remembered for as long as something else relies on it; a claim holds a call; no
    lane starves; every lane is somebody's.

    Raises: Misconfigured("retention-too-short"), Misconfigured("lease-too-short"),
    Misconfigured("share-out-of-bounds"), Misconfigured("lane-of-nothing"),
    Misconfigured("sunset-of-nothing"), Misconfigured("reads-from-nowhere"),
    Misconfigured("quota-twice").
    """
    systems = {system.name for system in settings.systems}
    for source in settings.sources:
        _refuse_source(source, systems)
    for system in settings.systems:
        _refuse_quotas(system)
        refuse_endless(system.closed, where=f"settings.systems.{system.name}.closed")
    if not LEAST_SHARE <= settings.yield_share <= 1:
        raise Misconfigured(
            "share-out-of-bounds",
            f"yield_share is {settings.yield_share:g}",
            where="settings.yield_share",
            remedy=f"Set {LEAST_SHARE:g} or more, and 1 for lanes that do not give way",
        )
    _refuse_short_lease(settings.deadlines)
    _refuse_forgetting(settings)


def _refuse_source(source: Source, systems: Set[str]) -> None:
    if unknown := sorted(source.lanes.keys() - set(source.kinds)):
        raise Misconfigured(
            "lane-of-nothing",
            f"{source.name} has a lane for {', '.join(unknown)}, which it does not send",
            where=f"settings.sources.{source.name}.lanes",
            remedy="Add it to kinds, or take it out of lanes",
        )
    if unknown := sorted(source.sunset.keys() - set(source.contracts)):
        raise Misconfigured(
            "sunset-of-nothing",
            f"{source.name} has a last day for {', '.join(unknown)}, which it does not send",
            where=f"settings.sources.{source.name}.sunset",
            remedy="Add it to contracts, or take it out of sunset",
        )
    if source.reads_from and source.reads_from not in systems:
        raise Misconfigured(
            "reads-from-nowhere",
            f"{source.name} is to be read from {source.reads_from}, which is no system",
            where=f"settings.sources.{source.name}.reads_from",
            remedy="Name one of settings.systems",
        )


def _refuse_quotas(system: System) -> None:
    stretches = [(quota.api, quota.per_s) for quota in system.quotas]
    for api, per_s in stretches:
        if stretches.count((api, per_s)) > 1:
            raise Misconfigured(
                "quota-twice",
                f"{system.name} has two quotas of {per_s:g} s for {api or 'all paths'}",
                where=f"settings.systems.{system.name}.quotas",
                remedy="Keep the smaller one",
            )


def _refuse_short_lease(deadlines: Deadlines) -> None:
    if deadlines.lease_s < 2 * deadlines.http_total_s:
        raise Misconfigured(
            "lease-too-short",
            f"lease_s is {deadlines.lease_s:g}, but a look and a write may take"
            f" {2 * deadlines.http_total_s:g} seconds",
            where="settings.deadlines.lease_s",
            remedy=f"Set lease_s = {2 * deadlines.http_total_s:g} or more",
        )


def _refuse_forgetting(settings: Settings) -> None:
    retention, retry = settings.retention, settings.retry
    for name, days, least, why in (
        ("dedupe_days", retention.dedupe_days, _days(retry.longest_s), "retries go on"),
        ("log_days", retention.log_days, retention.dedupe_days, "repeats are known"),
    ):
        if days < least:
            raise Misconfigured(
                "retention-too-short",
                f"{name} is {days}, but {why} for {least} days",
                where=f"settings.retention.{name}",
                remedy=f"Set {name} = {least} or more",
            )


def _days(seconds: float) -> int:
    """Whole days that hold so many seconds, at least one."""
    return max(1, math.ceil(seconds / 86_400))
