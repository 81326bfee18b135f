"""What a transaction emitted and who publishes it once its commit is known; holds no SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from broker.store.connection import Position

# A key whose rows may not be owned: one of them went back to the table a moment ago.
STOPPED = 0


class OutboxRow(msgspec.Struct, frozen=True):
    """An event to publish, with everything the wire needs."""

    id: int
    key: str
    exchange: str
    routing_key: str
    position: Position
    event_id: str
    type: str
    sequence: int
    correlation_id: str
    causation_id: str
    body: bytes


class Owned(msgspec.Struct, frozen=True):
    """A row that is ours until `until`, by the monotonic clock; the sweeper waits longer."""

    row: OutboxRow
    until: float


class Handover(Protocol):
    """Takes emitted rows after their commit and publishes them from memory."""

    @property
    def lease_s(self) -> float:
        """How long the sweeper leaves a row alone."""

    def has_room(self, rows: int, body_bytes: int) -> bool:
        """Whether so much more would be taken now."""

    def tails(self, keys: Collection[str]) -> Mapping[str, int]:
        """The newest row in hand, by key; STOPPED for a key that must not be owned now."""

    def take(self, owned: Sequence[Owned], *, others: bool) -> None:
        """The commit is known; others: rows were left to the sweeper."""


class Emitted:
    """What a connection's transaction emitted; empty outside one."""

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, handover: Handover | None, subscribed: frozenset[str] = frozenset()) -> None:
        """Nothing was emitted yet. Without a handover nothing will be owned.

        subscribed: events that somebody subscribes to.
        """
        self.handover = handover
        self.subscribed = subscribed
        self.tails: dict[str, int] = {}
        self.owned: list[Owned] = []
        self.others = False

    def committed(self) -> None:
        """What was emitted is handed over. Not called where the commit's answer was lost."""
        if self.handover is not None and (self.owned or self.others):
            self.handover.take(self.owned, others=self.others)
