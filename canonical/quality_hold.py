"""Quality holds: what must not be used, shipped or bought until quality lets it go."""

from __future__ import annotations

from typing import Literal

import msgspec

from canonical.bounds import Instant, Int64

HoldStatus = Literal["placed", "lifted"]


class QualityHold(msgspec.Struct, frozen=True):
    """A hold, whole, as the system that quality works in states it.

    number: of the hold there. version: grows with every statement about it. plant: "" = all.
    supplier: whose goods; "" = anybody's. lots, serials: those that are held; both empty = all.
    revisions: labels of those that are held; empty = all. stated_as: the source's own word for the
    status. by: who placed or lifted it.
    """

    number: str
    version: Int64
    item: str
    status: HoldStatus
    plant: str = ""
    supplier: str = ""
    revisions: tuple[str, ...] = ()
    lots: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    reason: str = ""
    by: str = ""
    stated_as: str = ""
    source_id: str = ""
    stated_at: Instant | None = None


def quality_hold_key(number: str) -> str:
    """Order and document key of a hold."""
    return f"quality-hold/{number}"
