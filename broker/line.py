"""Which arrivals of a queue may be decided side by side: pure."""

from __future__ import annotations

from collections import deque

from broker.intake import Arrival


class Line:
    """The arrivals of one queue on their way to the shards, in order.

    What is to be taken with care may be about any object: it does not go beside others of its
    queue, nor they beside it. Other queues know no order with it.
    """

    def __init__(self) -> None:
        self.waiting: deque[Arrival] = deque()
        self.in_hand = 0
        self.is_careful = False

    def next(self) -> Arrival | None:
        """What may go to its shard now."""
        if not self.waiting:
            return None
        is_careful = self.waiting[0].affinity is None
        if self.in_hand and is_careful != self.is_careful:
            return None
        self.in_hand += 1
        self.is_careful = is_careful
        return self.waiting.popleft()
