"""Calls under way at one target, shared out to the lanes: slow ones of one are not the others'."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args

from canonical.envelope import Lane

LANES: tuple[Lane, ...] = get_args(Lane)
"""The highest one first."""
TURN = 10
"""Each so-manieth slot goes to the lowest lane that waits: a tenth is its share at least."""


class Slots:
    """So many calls at once. Whoever waits in a higher lane goes first, but for each tenth time.

    One slot is kept free of lower lanes for the critical one, and the lowest takes a quarter at
    most: what is under way may take until its deadline. A target that takes one call at a time
    cannot be shared out.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        # Of calls of the lane and of those below it.
        self._most: dict[Lane, int] = {
            "critical": total,
            "standard": max(total - 1, 1),
            "enrichment": max(total // 4, 1),
        }
        self._taken: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in LANES}
        self._given = 0

    @asynccontextmanager
    async def one(self, lane: Lane) -> AsyncIterator[None]:
        """A slot for the block, as soon as there is one for this lane."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(lane)
            raise
        try:
            yield
        finally:
            self._give_back(lane)

    def _give_back(self, lane: Lane) -> None:
        self._taken[lane] -= 1
        self._give()

    def _give(self) -> None:
        """Slots that are free are given to those who may have one."""
        while lane := self._next():
            turn = self._waiting[lane].popleft()
            if turn.done():  # it was cancelled
                continue
            self._taken[lane] += 1
            self._given += 1
            turn.set_result(None)

    def _next(self) -> Lane | None:
        """The lane whose turn it is; None where nobody waits who may have a slot."""
        lowest_first = (self._given + 1) % TURN == 0
        for lane in reversed(LANES) if lowest_first else LANES:
            if self._waiting[lane] and self._has_room(lane):
                return lane
        return None

    def _has_room(self, lane: Lane) -> bool:
        """Whether the lane stays within its limit, and each lane above it within its own."""
        return all(
            sum(self._taken[each] for each in LANES[n:]) < self._most[limited]
            for n, limited in enumerate(LANES[: LANES.index(lane) + 1])
        )
