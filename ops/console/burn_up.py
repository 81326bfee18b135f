"""How a change came to where it stands, and how it may go on: what the drawing and its table show.

Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from broker.store.progress import Point
from ops.change_status import ChangeStatus

Kind = Literal["was", "now", "likely", "slow"]


class Mark(msgspec.Struct, frozen=True):
    """So many steps done of so many planned, at that moment.

    kind: it was so; it is so now, or was so at the end; it may be so, at the usual pace, or where
    everything is slow.
    """

    at: datetime
    kind: Kind
    done: int
    planned: int

    @property
    def seconds(self) -> int:
        """Since 1970."""
        return round(self.at.timestamp())


def burn_up(points: Sequence[Point], status: ChangeStatus, now: datetime) -> tuple[Mark, ...]:
    """In the order of time; () where nothing has happened since it was planned, and nobody can say
    when something will."""
    found = status.estimate
    is_estimated = found is not None and found.likely_at is not None
    if not points or (len(points) == 1 and not is_estimated):
        return ()
    last = points[-1]
    marks = [Mark(point.at, "was", point.done, point.planned) for point in points]
    # Clocks of the database and of this process may differ a little.
    end = max(status.completed_at or now, last.at)
    marks.append(Mark(end, "now", last.done, last.planned))
    if found is not None and found.likely_at is not None and found.slow_at is not None:
        likely = max(found.likely_at, end)
        marks.append(Mark(likely, "likely", last.planned, last.planned))
        marks.append(Mark(max(found.slow_at, likely), "slow", last.planned, last.planned))
    return tuple(marks)
