"""What must hold after every fault: functions from evidence to the sentences that say what does
not. They look at nothing by themselves; a test shows of each that it can fail.

I1 to I9 and I12 stand here, in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import msgspec

from tests.faults.business import Wanted
from tests.faults.load import Sent

SHOWN = 5
GROWTH = 1.1
ATTEMPTS = 1.1
# The catalogue says 10 %; a shared machine may be half as fast, and the service looks for work 2.5
# times as often here as it does by default. What spins takes all of it.
IDLE_SHARE = 0.2
SLACK = 3.0
"""Deadlines that are behaviour may take so much longer: the machines of the tests are shared."""
QUICK_S = 1.0
UNREADY_S = 10.0
READY_S = 20.0
DRAINED = 0.8
BACKLOG = 100
"""Fewer messages say nothing about a rate."""
HELD = 1.5
"""Connections made anew stand beside those that are still being closed."""
TO_BE_SHOWN = ("I5", "I6", "I7", "I8", "I9")
"""Invariants that a run has to bring evidence for, or a reason why it cannot. The others are read
from what is left behind, which is always there."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One run as its judges saw it.

    sent: the sources' ledger. applied: rows the target made, in its order, repeats included.
    parked, superseded: effect ids that wait in an open case or behind one, and those a policy
    replaced by a later version; the service's tables tell, for the target cannot.
    """

    sent: Sequence[Sent]
    applied: Sequence[Wanted]
    parked: Set[str] = frozenset()
    superseded: Set[str] = frozenset()


def unshown(shown: Mapping[str, int], not_applicable: Mapping[str, str]) -> list[str]:
    """Nothing holds because nobody looked: each invariant has evidence, or a reason to have none.

    shown: how many pieces of evidence a run has, by invariant.
    """
    wrong = [f"{name}: no such invariant" for name in not_applicable if name not in TO_BE_SHOWN]
    for name in TO_BE_SHOWN:
        reason = not_applicable.get(name)
        if reason is None and not shown.get(name):
            wrong.append(f"{name}: nothing shows it")
        if reason is not None and (shown.get(name) or not reason):
            wrong.append(f"{name}: is shown, or no reason is given why it is not")
    return wrong


def no_loss(evidence: Evidence) -> list[str]:
    """I1: what was positively answered is applied, superseded or parked, and one of them only."""
    confirmed = {s.order.effect_id for s in evidence.sent if s.answer == "confirmed"}
    fates = {
        "applied": {w.effect_id for w in evidence.applied},
        "superseded": evidence.superseded,
        "parked": evidence.parked,
    }
    known = frozenset[str]().union(*fates.values())
    planned = {s.order.effect_id for s in evidence.sent}
    wrong = _listed("lost", confirmed - known) + _listed("never sent, yet known", known - planned)
    names = list(fates)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            wrong += _listed(f"{one} and {other}", fates[one] & fates[other])
    return wrong


def effects_once(evidence: Evidence) -> list[str]:
    """I2: no effect was made twice at the target."""
    counts = Counter(w.effect_id for w in evidence.applied)
    return _listed("applied more than once", {e for e, times in counts.items() if times > 1})


def indeterminate_at_most_once(evidence: Evidence) -> list[str]:
    """I3: what was not answered has no effect or one; what was refused has none."""
    counts = Counter(w.effect_id for w in evidence.applied)
    unanswered = {s.order.effect_id for s in evidence.sent if s.answer == "indeterminate"}
    refused = {s.order.effect_id for s in evidence.sent if s.answer == "refused"}
    return [
        *_listed("unanswered and applied twice", {e for e in unanswered if counts[e] > 1}),
        *_listed("refused and applied", {e for e in refused if counts[e]}),
    ]


def ordered_by_key(evidence: Evidence, *, may_pass_parked: bool = False) -> list[str]:
    """I4: effects of a key come in the order of their versions; nothing passes what is parked,
    unless the route's policy lets it."""
    last: dict[str, int] = {}
    overtaken: set[str] = set()
    for wanted in evidence.applied:
        if wanted.version < last.get(wanted.key, 0):
            overtaken.add(f"{wanted.effect_id} ({wanted.key} v{wanted.version})")
        last[wanted.key] = max(wanted.version, last.get(wanted.key, 0))
    wrong = _listed("applied after a later version", overtaken)
    if not may_pass_parked:
        parked = [s.order for s in evidence.sent if s.order.effect_id in evidence.parked]
        passed = {o.effect_id for o in parked if last.get(o.key, 0) > o.version}
        wrong += _listed("parked, and a later version was applied", passed)
    return wrong


class Latencies(msgspec.Struct, frozen=True):
    """Seconds from sending to effect, of messages that a fault is no business of: those that had
    their effect before it came, and those sent while it was there. quick_s: what takes less is
    quick, whatever it was before."""

    what: str
    before: Sequence[float]
    during: Sequence[float]
    quick_s: float = QUICK_S


def isolated(latencies: Sequence[Latencies]) -> list[str]:
    """I5: what is not broken stays as quick as it was: its p99 at most doubles.

    So that a shared machine does not decide, the double may be exceeded by the usual slack, and
    what takes less than `quick_s` is quick.
    """
    return [wrong for each in latencies if (wrong := _slowed(each))]


def _slowed(latencies: Latencies) -> str:
    if not latencies.before or not latencies.during:
        return f"{latencies.what}: nothing was sent before the fault or meanwhile"
    before, during = p99(latencies.before), p99(latencies.during)
    if during <= max(2 * before * SLACK, latencies.quick_s):
        return ""
    return f"{latencies.what}: the p99 was {before:.2f} s, and {during:.2f} s under the fault"


def p99(seconds: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(seconds)[max(len(seconds) * 99 // 100 - 1, 0)]


class Recovery(msgspec.Struct, frozen=True):
    """The time from the end of a fault until messages sent after it had their effect, one through
    each queue that was affected; and how long it may take."""

    after: str
    took_s: float
    bound_s: float


def bounded_recovery(recoveries: Sequence[Recovery]) -> list[str]:
    """I6: work goes on soon after each fault has ended."""
    return [
        f"{r.after}: went on after {r.took_s:.1f} s, {r.bound_s:.0f} s are promised"
        for r in recoveries
        if r.took_s > r.bound_s * SLACK
    ]


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    """Effects from the first one after a fault until the last of those it had kept waiting; usual:
    effects a second where nothing is wrong and as much waits."""

    after: str
    waiting: int
    effects: int
    took_s: float
    usual: float


def drained(drainings: Sequence[Draining]) -> list[str]:
    """I6: what has piled up goes at 80 % of the usual rate or better, give or take the slack."""
    return [
        f"{d.after}: {d.waiting} messages waited, and went at {d.effects / d.took_s:.0f} a second,"
        f" {d.usual:.0f} are usual"
        for d in drainings
        if d.waiting >= BACKLOG and d.effects / d.took_s < DRAINED * d.usual / SLACK
    ]


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """Tries towards something that fails: how many there were for so many units of work; probes
    are the tries by which it is found out whether it works again."""

    what: str
    attempts: int
    offered: int
    probes: int = 0


def no_amplification(efforts: Sequence[Effort]) -> list[str]:
    """I7: trouble does not multiply the tries: at most the work plus 10 %, besides the probes."""
    return [
        f"{e.what}: {e.attempts} tries for {e.offered} units of work and {e.probes} probes"
        for e in efforts
        if e.attempts > e.offered * ATTEMPTS + e.probes
    ]


class Idling(msgspec.Struct, frozen=True):
    """Processor time used while nothing could be done."""

    what: str
    cpu_s: float
    wall_s: float

    @property
    def share(self) -> float:
        """Of one processor."""
        return self.cpu_s / self.wall_s


def no_busy_loop(idlings: Sequence[Idling]) -> list[str]:
    """I7: a service that waits for another one uses little of a processor."""
    return [
        f"{i.what}: {i.share:.0%} of a processor, doing nothing"
        for i in idlings
        if i.share >= IDLE_SHARE
    ]


class Illness(msgspec.Struct, kw_only=True):
    """What a service told about a fault it cannot work under, from outside.

    unready_s: until readiness was false; ready_s: from the end of the fault until it was true
    again; None where it never was. causes: all that readiness named meanwhile. metric: whether the
    metric of a part was 0 while it was, and all were 1 in the end. dead: how often liveness failed.
    """

    why: str
    names: str
    logs: str
    unready_s: float | None = None
    ready_s: float | None = None
    causes: Set[str] = frozenset()
    metric: bool = False
    logged: bool = False
    dead: int = 0


def honest_health(illnesses: Sequence[Illness]) -> list[str]:
    """I8: readiness goes soon, comes back by itself and names the cause, as do a metric and a log
    line; liveness stays."""
    return [f"{i.why}: {wrong}" for i in illnesses for wrong in _dishonesties(i)]


def _dishonesties(illness: Illness) -> list[str]:
    if illness.unready_s is None:
        return ["was ready all the time"]
    wrong: list[str] = []
    if illness.unready_s > UNREADY_S * SLACK:
        wrong.append(f"was ready for {illness.unready_s:.1f} s")
    if illness.ready_s is None:
        wrong.append("was not ready again by itself")
    elif illness.ready_s > READY_S * SLACK:
        wrong.append(f"was ready again only after {illness.ready_s:.1f} s")
    if not any(illness.names in cause for cause in illness.causes):
        wrong.append(f"readiness did not name {illness.names!r}, but {sorted(illness.causes)}")
    if not illness.metric:
        wrong.append("no metric told of it, or it did not clear")
    if not illness.logged:
        wrong.append(f"no log line holds {illness.logs!r}")
    if illness.dead:
        wrong.append(f"liveness failed {illness.dead} times")
    return wrong


class Candour(msgspec.Struct, kw_only=True):
    """What an instance said about itself all through a fault.

    looks: how often it was asked. dead: how often liveness failed; nameless: how often it was not
    ready and named no cause. unready_s: for how long in all, and causes: what it named. is_ready:
    whether it said in the end that it can work.
    """

    who: str
    looks: int = 0
    dead: int = 0
    nameless: int = 0
    unready_s: float = 0.0
    causes: set[str] = set()
    is_ready: bool = False


class Standstill(msgspec.Struct, frozen=True):
    """The longest time in which messages waited, none had its effect, and everybody said that they
    can work."""

    during: str
    lasted_s: float


def candid(candours: Sequence[Candour], standstills: Sequence[Standstill]) -> list[str]:
    """I8 where the service can go on: liveness stays, whoever is not ready says why and is ready in
    the end, and nobody says for long that all is well while nothing goes on."""
    wrong: list[str] = []
    for each in candours:
        if each.dead:
            wrong.append(f"{each.who}: liveness failed {each.dead} times")
        if each.nameless:
            wrong.append(f"{each.who}: was not ready {each.nameless} times and named no cause")
        if not each.is_ready:
            wrong.append(f"{each.who}: was not ready again by itself, but {sorted(each.causes)}")
    wrong += [
        f"{s.during}: all said they can work, and nothing went on for {s.lasted_s:.1f} s"
        for s in standstills
        if s.lasted_s > UNREADY_S * SLACK
    ]
    return wrong


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance holds. rss: bytes."""

    rss: int
    sockets: int
    tasks: int
    sessions: int


def bounded_resources(before: Resources, after: Resources) -> list[str]:
    """I9: memory, sockets, tasks and database sessions are back at the baseline plus 10 %."""
    return [
        f"{name}: {getattr(after, name)}, was {getattr(before, name)}"
        for name in Resources.__struct_fields__
        if getattr(after, name) > getattr(before, name) * GROWTH
    ]


class Peak(msgspec.Struct, frozen=True):
    """The most sockets that all instances held at once while a fault was there, and before it."""

    during: str
    sockets: int
    before: int


def no_pile(peaks: Sequence[Peak]) -> list[str]:
    """I9: connections do not pile up while a fault lasts."""
    return [
        f"{p.during}: {p.sockets} sockets at once, {p.before} before"
        for p in peaks
        if p.sockets > p.before * HELD
    ]


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """What lies about after the work is done. rows: those that stand for work to do, by what they
    are; consumers: queue -> (found, expected)."""

    rows: Mapping[str, int]
    leases: int
    unacknowledged: int
    idle_in_transaction: int
    consumers: Mapping[str, tuple[int, int]]


def no_orphans(left: Leftovers) -> list[str]:
    """I9 of tables and queues, I12: nothing is left to do, no lease without work, no delivery
    unacknowledged, no session in a transaction, and each queue has the consumers it should have."""
    counts = {
        **left.rows,
        "leases held": left.leases,
        "deliveries unacknowledged": left.unacknowledged,
        "sessions idle in a transaction": left.idle_in_transaction,
    }
    wrong = [f"{what}: {number}" for what, number in counts.items() if number]
    return wrong + [
        f"{queue}: {found} consumers, {expected} expected"
        for queue, (found, expected) in sorted(left.consumers.items())
        if found != expected
    ]


def _listed(what: str, ids: Set[str]) -> list[str]:
    if not ids:
        return []
    shown = ", ".join(sorted(ids)[:SHOWN])
    return [f"{what}: {len(ids)} ({shown}{', ...' if len(ids) > SHOWN else ''})"]
