"""Lower lanes give way to the critical one.

Lanes have queues, connections and transactions of their own, but WAL, disk and broker are shared
whatever runs where: a backlog drained at full speed makes a critical message several times as slow.
While the critical lane had work a moment ago, in this process or another, each lower lane works in
small batches and rests between them, held to a share of what it does alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic

from broker.store import Database
from broker.store import lane_work as rows
from canonical.envelope import Lane

RECENT_S = 1.0
"""For so long after its last work the critical lane is given way to."""
SMALL_BATCH = 15
LONGEST_REST_S = 0.5
"""No rest is longer: what is measured on one slow batch must not stop a lane."""
# What was measured counts half as much after so many messages.
_HALF_LIFE = 2_000
# So that no rest has to be longer where several decide at once.
_LARGEST_PART_OF_REST = 0.25


class Precedence:
    """When the critical lane had work last, as far as this process knows."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._worked_at = float("-inf")
        self._is_untold = False
        # Batches of the critical lane that this process is deciding.
        self._at_work = 0

    def worked(self) -> None:
        """The critical lane of this process has work now."""
        self._worked_at = self._now()
        self._is_untold = True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The critical lane of this process has work for as long as the block takes."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            self.worked()

    @property
    def is_claimed(self) -> bool:
        """Whether lower lanes give way."""
        return self._at_work > 0 or self._now() - self._worked_at < RECENT_S

    @property
    def has_news(self) -> bool:
        """Whether there is something that other processes do not know."""
        return self._is_untold or self._at_work > 0

    async def exchange(self, database: Database) -> None:
        """Other processes know what this one knows, and the other way round.

        Crash in between: they give way a second less.
        """
        has_news, self._is_untold = self.has_news, False
        try:
            async with database.session() as session:
                if has_news:
                    await rows.tell(session)
                elif (ago_s := await rows.seconds_since(session)) is not None:
                    self._worked_at = max(self._worked_at, self._now() - ago_s)
        except BaseException:
            self._is_untold = has_news
            raise


class Pace:
    """How one lane gives way: how much it takes at once, and how long whoever decides a batch of it
    rests. Several may decide at once: the share is the lane's."""

    def __init__(
        self,
        lane: Lane,
        precedence: Precedence,
        share: float,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """share: of its rate alone, 0 to 1, while it gives way."""
        self._lane = lane
        self._yields = lane != "critical"
        self._precedence = precedence
        self._share = share
        self._now = now
        # What it does alone while more waits than it has in hand.
        self._messages = self._seconds = 0.0
        self._behind_since: float | None = None
        self._due = _Due()

    def companion(self) -> Pace:
        """Of another kind of work of this lane, which has a rate of its own: what either does
        counts against the share of both."""
        other = Pace(self._lane, self._precedence, self._share, self._now)
        other._due = self._due
        return other

    def came(self) -> None:
        """A message of this lane came."""
        if not self._yields:
            self._precedence.worked()

    def at_work(self) -> AbstractContextManager[None]:
        """The block decides a batch of this lane."""
        return nullcontext() if self._yields else self._precedence.at_work()

    @property
    def _gives_way(self) -> bool:
        return self._yields and self._precedence.is_claimed

    @property
    def _alone(self) -> float:
        """Messages a second that it does alone; 0 where it never was behind alone."""
        return self._messages / self._seconds if self._seconds else 0.0

    def at_most(self, batch: int) -> int:
        """Messages to take at once."""
        if not self._gives_way:
            return batch
        small = min(batch, SMALL_BATCH)
        if not self._seconds:
            return small
        # Of a slow lane fewer: what is taken at once has to be made up for by one rest.
        within_rest = self._share * self._alone * LONGEST_REST_S * _LARGEST_PART_OF_REST
        return max(min(small, int(within_rest)), 1)

    def rest_s(self, messages: int, seconds: float, *, behind: bool) -> float:
        """How long to rest after a batch of so many messages, which took so long.

        behind: so much is waiting that batches are as large as they get. A lane that keeps up says
        nothing about what it could do: two messages that come together are no backlog. It is not
        measured, and rests only where it goes beyond a share that is known.
        """
        if not self._yields:
            self.came()
            return 0.0
        now = self._now()
        if not self._gives_way:
            self._measure(messages, now, behind=behind)
            return 0.0
        self._behind_since = None
        if not (self._seconds or behind):
            return 0.0
        # What it does alone is what it did before, or what this batch shows that it can do: it may
        # never have been alone, or only when its process was young.
        rate = max(self._alone, messages / max(seconds, 1e-6))
        due_at = max(self._due.at, now - seconds) + messages / (self._share * rate)
        self._due.at = min(due_at, now + LONGEST_REST_S)
        return max(self._due.at - now, 0.0)

    def _measure(self, messages: int, now: float, *, behind: bool) -> None:
        if self._behind_since is not None:
            kept = 0.5 ** (messages / _HALF_LIFE)
            self._messages = kept * self._messages + messages
            self._seconds = kept * self._seconds + now - self._behind_since
        self._behind_since = now if behind else None


@dataclass(slots=True)
class _Due:
    """When what a lane has done so far was due, at its share."""

    at: float = float("-inf")
