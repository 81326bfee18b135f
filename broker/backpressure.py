"""Back-pressure by bytes. AMQP's prefetch counts messages: 600 of 2 MiB are 1.2 GiB in memory.

What a lane has received and not decided is counted. Beyond its limit nothing more is read from the
lane's connection until something was decided: the socket fills, then the broker waits. We go on
sending heartbeats and acknowledgements meanwhile; a pause that outlasts three heartbeats loses the
connection, and a lane that is still full does not connect again.
"""

from __future__ import annotations

import asyncio
import sys

from prometheus_client import Gauge

UNDECIDED_BYTES = 16 * 1024 * 1024


class Budget:
    """Bytes a lane has in memory of what it received. The last message may exceed the limit."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        """gauge: shows what is taken."""
        self._limit = limit
        self._gauge = gauge
        self._taken = 0
        self._room = asyncio.Event()
        self._room.set()

    def take(self, size: int) -> None:
        """So many bytes were received."""
        self._set(self._taken + size)

    def give_back(self, size: int) -> None:
        """So many of them are decided, or given up."""
        self._set(self._taken - size)

    def lift(self) -> None:
        """There is no limit any more: what is received is not kept."""
        self._limit = sys.maxsize
        self._room.set()

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be received now."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Waits until something may be received."""
        await self._room.wait()

    def _set(self, taken: int) -> None:
        self._taken = taken
        self._gauge.set(taken)
        if taken < self._limit:
            self._room.set()
        else:
            self._room.clear()
