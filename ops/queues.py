"""Which exchanges and queues a configuration asks for, and which of them a process takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from broker import connections
from broker.consumer import Inlet
from broker.partitions import Ring
from broker.settings import Settings, Source
from broker.succession import Lineage
from broker.topology import (
    DEAD,
    LANES,
    OTHER,
    EventTopology,
    InboundObject,
    SourceTopology,
    SubscriberTopology,
    Topology,
    declare,
    drift,
    event_queue,
    inbound_queue,
    topology,
    unpartitioned,
)
from canonical.envelope import Lane
from canonical.events import SOURCE
from ops.roles import ROLES, Role


def topology_of(settings: Settings, handled: Sequence[str], rings: Sequence[Ring] = ()) -> Topology:
    """All exchanges, queues and bindings of this configuration; handled: events of ours;
    rings: those whose queues have to exist."""
    return topology(
        [
            SourceTopology(s.name, tuple(InboundObject(kind, s.lane_of(kind)) for kind in s.kinds))
            for s in settings.sources
        ],
        [
            EventTopology(event, rings=tuple(r for r in rings if r.event == event))
            for event in handled
        ],
        [SubscriberTopology(name, events) for name, events in settings.subscribers.items()],
    )


def inlets_of(
    settings: Settings, handled: Sequence[str], lane: Lane, roles: Collection[Role] = ROLES
) -> list[Inlet]:
    """The queues of one lane that these roles take, besides those of `lineages_of`.

    What no configuration knows comes through the standard lane, and dead letters do.
    """
    inlets: list[Inlet] = []
    if "translate" in roles and lane == "standard":
        inlets += [_inlet(s, OTHER, lane) for s in settings.sources]
        inlets.append(Inlet(DEAD, "dead letters", "", dead_letters=True))
    if "decide" in roles:
        inlets += [Inlet(event_queue(event, lane), SOURCE, event, ours=True) for event in handled]
    return inlets


def lineages_of(
    settings: Settings, lane: Lane, roles: Collection[Role] = ROLES
) -> tuple[Lineage, ...]:
    """What sources send in this lane, with the queues it came through if it had another one."""
    if "translate" not in roles:
        return ()
    return tuple(
        Lineage(
            current=_inlet(source, kind, lane),
            former=tuple(_inlet(source, kind, other) for other in LANES if other != lane),
        )
        for source in settings.sources
        for kind in source.kinds
        if source.lane_of(kind) == lane
    )


def origin_of(settings: Settings, handled: Sequence[str], queue: str) -> Inlet | None:
    """What the messages of a queue are known by, whether it is taken now or was; None where it is
    none of ours."""
    inlets = [inlet for lane in LANES for inlet in inlets_of(settings, handled, lane)]
    for lineage in (found for lane in LANES for found in lineages_of(settings, lane)):
        inlets += (lineage.current, *lineage.former)
    for inlet in inlets:
        if inlet.queue == unpartitioned(queue):
            return replace(inlet, queue=queue)
    return None


def _inlet(source: Source, kind: str, lane: Lane) -> Inlet:
    return Inlet(inbound_queue(source.name, kind, lane), source.name, kind, users=source.users)


async def declare_topology(
    settings: Settings, handled: Sequence[str], rings: Sequence[Ring] = ()
) -> None:
    """Everything in topology_of exists on the broker, and nothing that must not."""
    within_s = settings.deadlines.reconnect_max_s
    connection = await connections.connect(
        settings.amqp_url, heartbeat_s=settings.heartbeat_s, within_s=within_s
    )
    try:
        with connections.losses():
            await declare(await connection.channel(), topology_of(settings, handled, rings))
    finally:
        await connections.close(connection, within_s=within_s)


async def restore_topology(
    settings: Settings,
    handled: Sequence[str],
    rings: Sequence[Ring],
    lost: Collection[str],
) -> dict[str, str]:
    """Everything in topology_of exists; by name, how those of the lost queues differ that somebody
    else has declared with other arguments."""
    within_s = settings.deadlines.reconnect_max_s
    wanted = topology_of(settings, handled, rings)
    connection = await connections.connect(
        settings.amqp_url, heartbeat_s=settings.heartbeat_s, within_s=within_s
    )
    try:
        suspects = tuple(queue for queue in wanted.queues if queue.name in lost)
        found = await drift(connection, Topology((), suspects, ()))
        different = {
            d.subject.removeprefix("queue "): d.detail for d in found if d.kind == "mismatch"
        }
        rest = tuple(queue for queue in wanted.queues if queue.name not in different)
        await declare(await connection.channel(), replace(wanted, queues=rest))
    finally:
        await connections.close(connection, within_s=within_s)
    return different
