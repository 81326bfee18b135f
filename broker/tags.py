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

    def came(self, tag: int) -> None:
        """A delivery came; tags grow."""
        self._open.append(tag)

    def settle(self, tags: Iterable[int]) -> int:
        """The highest tag that may be acknowledged now; 0 if none may that could not before."""
        self._settled.update(tags)
        through = 0
        while self._open and self._open[0] in self._settled:
            through = self._open.popleft()
            self._settled.remove(through)
        return through
