"""Which exchanges and queues a configuration asks for, and which of them a process takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from broker import connections
from broker.consumer import Inlet
from broker.partitions import Ring
from broker.settings import Settings
from broker.topology import (
    DEAD,
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
)
from canonical.envelope import Lane
from canonical.events import SOURCE
from ops.roles import ROLES, Role


def topology_of(settings: Settings, handled: Sequence[str], rings: Sequence[Ring] = ()) -> Topology:
    """All exchanges, queues and bindings of this configuration; handled: events of ours;
    rings: those whose queues have to exist."""
    return topology(
        [
            SourceTopology(s.name, tuple(InboundObject(kind) for kind in s.kinds))
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
    """The queues of one lane that these roles take; dead letters are drained with those of the
    sources, which come through the standard lane."""
    inlets: list[Inlet] = []
    if "translate" in roles and lane == "standard":
        inlets += [
            Inlet(inbound_queue(s.name, kind, lane), s.name, kind, users=s.users)
            for s in settings.sources
            for kind in (*s.kinds, OTHER)
        ]
        inlets.append(Inlet(DEAD, "dead letters", "", dead_letters=True))
    if "decide" in roles:
        inlets += [Inlet(event_queue(event, lane), SOURCE, event, ours=True) for event in handled]
    return inlets


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
        await declare(await connection.channel(), msgspec.structs.replace(wanted, queues=rest))
    finally:
        await connections.close(connection, within_s=within_s)
    return different
