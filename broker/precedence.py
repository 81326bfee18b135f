"""Lower lanes give way to the critical one.

Lanes have queues, connections and transactions of their own, but WAL, disk and broker are shared
whatever runs where: a backlog drained at full speed makes a critical message several times as slow.
While the critical lane had work a moment ago, in this process or another, each lower lane works in
small batches and, where they are full, rests between them, held to a share of what it does alone.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from broker.store import Database
from broker.store import lane_work as rows
from canonical.envelope import Lane

RECENT_S = 1.0
"""For so long after its last work the critical lane is given way to."""
SMALL_BATCH = 50
LONGEST_REST_S = 0.5
"""No rest is longer: what is measured on one slow batch must not stop a lane."""
# What was measured counts half as much after so many messages.
_HALF_LIFE = 2_000


class Precedence:
    """When the critical lane had work last, as far as this process knows."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._worked_at = float("-inf")
        self._is_untold = False

    def worked(self) -> None:
        """The critical lane of this process has work now."""
        self._worked_at = self._now()
        self._is_untold = True

    @property
    def is_claimed(self) -> bool:
        """Whether lower lanes give way."""
        return self._now() - self._worked_at < RECENT_S

    @property
    def has_news(self) -> bool:
        """Whether there is something that other processes do not know."""
        return self._is_untold

    async def exchange(self, database: Database) -> None:
        """Other processes know what this one knows, and the other way round.

        Crash in between: they give way a second less.
        """
        is_untold, self._is_untold = self._is_untold, False
        async with database.session() as session:
            if is_untold:
                await rows.tell(session)
            elif (ago_s := await rows.seconds_since(session)) is not None:
                self._worked_at = max(self._worked_at, self._now() - ago_s)


class Pace:
    """How one lane gives way: how much it takes at once, and how long it rests."""

    def __init__(self, lane: Lane, precedence: Precedence, share: float) -> None:
        """share: of its rate alone, 0 to 1, while it gives way."""
        self._yields = lane != "critical"
        self._precedence = precedence
        self._share = share
        self._messages = self._seconds = 0.0

    def came(self) -> None:
        """A message of this lane came."""
        if not self._yields:
            self._precedence.worked()

    @property
    def _gives_way(self) -> bool:
        return self._yields and self._precedence.is_claimed

    def at_most(self, batch: int) -> int:
        """Messages to take at once."""
        return min(batch, SMALL_BATCH) if self._gives_way else batch

    def rest_s(self, messages: int, seconds: float, *, full: bool) -> float:
        """How long to rest after so many messages, which took so long.

        full: it was all that may be taken at once. A lane that keeps up is neither held back nor
        measured: a message takes much longer in a small batch than in a large one.
        """
        if not self._yields:
            self.came()
        if not self._yields or not full:
            return 0.0
        if not self._gives_way:
            kept = 0.5 ** (messages / _HALF_LIFE)
            self._messages = kept * self._messages + messages
            self._seconds = kept * self._seconds + seconds
            return 0.0
        # What it does alone is what it did before; a lane that never was alone goes by this batch.
        rate = self._messages / self._seconds if self._seconds else messages / max(seconds, 1e-6)
        return min(max(messages / (self._share * rate) - seconds, 0.0), LONGEST_REST_S)
