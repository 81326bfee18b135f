"""Which deliveries of a channel may be acknowledged: pure.

One acknowledgement stands for everything before it on its channel. Deliveries are settled out of
turn, since two shards decide side by side; so it goes only as far as nothing is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Tags:
    """The delivery tags of one channel, in the order in which they came."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._settled: set[int] = set()
        # The channel is being left: nothing more is taken through it.
        self.is_closing = False

    @property
    def is_settled(self) -> bool:
        """Whether everything that came is settled."""
        return not self._open

    def came(self, tag: int) -> None:
        """A delivery came; tags grow."""
        self._open.append(tag)

    def settle(self, tags: Iterable[int]) -> int:
        """The highest tag that may be acknowledged now; 0 if none may that could not before.

        Where the channel is being left it is the last one or none: each acknowledgement before it
        would let more come, which would only be marked as coming again for whoever takes over.
        """
        self._settled.update(tags)
        through = 0
        while self._open and self._open[0] in self._settled:
            through = self._open.popleft()
            self._settled.remove(through)
        return 0 if self.is_closing and self._open else through
