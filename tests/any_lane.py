"""Events in whatever lane a test wants: the runtime keeps its promises over all lanes, while the
table lets each event of ours take one or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from msgspec.structs import replace

from canonical.envelope import Lane
from canonical.events import EVENTS


@contextmanager
def any_lane(*events: str) -> Iterator[None]:
    """The table of this process allows these events every lane meanwhile."""
    rows = {event: EVENTS[event] for event in events}
    every: dict[Lane, str] = dict.fromkeys(get_args(Lane), "where the test wants it")
    EVENTS.update({event: replace(row, lane_rules=every) for event, row in rows.items()})
    try:
        yield
    finally:
        EVENTS.update(rows)
