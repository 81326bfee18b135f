"""An event's partitions, and which process takes which: pure.

A ring is never changed: where partitions of RabbitMQ's consistent-hash exchange come or go in
place, most keys move to other queues. Another number of partitions is another ring with an
exchange and queues of its own; the queues of the one before are emptied beside it, and the numbers
of the events keep their order over both.

Every process of a lane decides for itself what it takes, from the same rows: who is there, and who
has what. Each ends with its even share, give or take one; nobody takes what somebody else has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, Literal, assert_never

import msgspec

from canonical.envelope import Lane

MOST: Final = 64
"""Partitions of an event in a lane; each is a quorum queue."""

State = Literal["planned", "current", "draining", "closing", "gone"]
"""planned: being declared, nothing comes yet. current: what is published goes there. draining: what
it holds is taken beside the current one. closing: empty, and nobody takes it any more. gone: its
queues are deleted."""


class Ring(msgspec.Struct, frozen=True):
    """An event's split into so many partitions, each with a queue in every lane.

    number: from 1, never used twice for an event.
    """

    event: str
    number: int
    partitions: int
    state: State

    @property
    def is_declared(self) -> bool:
        """Whether its queues have to exist."""
        return self.state in ("current", "draining")

    def exchange(self, lane: Lane) -> str:
        """The exchange that spreads keys over its partitions."""
        return f"{self.event}.{lane}.r{self.number}"

    def queues(self, lane: Lane) -> tuple[str, ...]:
        """One for each partition."""
        return tuple(f"{self.exchange(lane)}.p{n}" for n in range(self.partitions))


class Held(msgspec.Struct, frozen=True):
    """What the queues of a ring hold, and how many consumers they have, all together."""

    messages: int
    consumers: int


def next_state(ring: Ring, held: Held) -> State:
    """What becomes of a ring that nothing comes to any more.

    A queue tells nothing of what was delivered and not acknowledged. So it is left by all who take
    it, and looked at again: what they had not finished is back then.
    """
    match ring.state:
        case "draining":
            return "draining" if held.messages else "closing"
        case "closing" if held.messages:
            return "draining"
        case "closing" | "planned":
            return ring.state if held.consumers else "gone"
        case "current" | "gone":
            return ring.state
        case state:
            assert_never(state)


class Deal(msgspec.Struct, frozen=True):
    """What a process does about its share: queues to give back and queues to take."""

    give: tuple[str, ...] = ()
    take: tuple[str, ...] = ()


def deal(
    me: str, *, queues: Collection[str], owners: Mapping[str, str], replicas: Collection[str]
) -> Deal:
    """owners: of the queues that somebody has, there or not any more. replicas: who is there."""
    present = {*replicas, me}
    held = Counter(owner for queue, owner in owners.items() if queue in queues)
    # The odd ones stay with those who have most, so that nothing moves once all is even.
    ranks = sorted(present, key=lambda name: (-held[name], name))
    least, odd = divmod(len(queues), len(present))
    share = least + (ranks.index(me) < odd)
    mine = sorted(queue for queue, owner in owners.items() if owner == me)
    kept = [queue for queue in mine if queue in queues]
    free = sorted(queue for queue in queues if queue not in owners)
    return Deal(
        give=tuple(q for q in mine if q not in queues) + tuple(kept[share:]),
        take=tuple(free[: max(share - len(kept), 0)]),
    )
