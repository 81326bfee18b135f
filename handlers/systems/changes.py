"""What an engineering change comes to, whichever PLM states it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from datetime import datetime

import msgspec

from canonical.change import (
    ChangeStatus,
    EngineeringChange,
    change_key,
    revision_effectivities,
    revision_effectivity_key,
)
from canonical.effects import Effect, Emit, Put
from canonical.envelope import Lane
from canonical.events import ChangeStanding
from canonical.facts import Facts
from handlers.systems.timestamps import microseconds

# Told when a change comes to stand so, whether it is released by that or not.
_TOLD: Mapping[ChangeStatus, str] = {
    "submitted": "engineering-change.submitted",
    "approved": "engineering-change.approved",
    "effective": "engineering-change.effective",
}


def state_change(
    standing: ChangeStanding,
    whole: Callable[[], EngineeringChange],
    released: Set[ChangeStatus],
    facts: Facts,
) -> tuple[Effect, ...]:
    """A released change is on record and announced, and so is that it was taken back; of one that
    is not released only its standing is told, and of one that is being drafted nothing.

    whole: the change, asked for only where it is needed: drafts may be of any shape. released:
    statuses in which this PLM has released a change.
    Raises: what `whole` raises.
    """
    known = facts.change(standing.number)
    if standing.status in released:
        return _stated(standing, whole(), "engineering-change.released", known)
    if standing.status == "cancelled" and known is not None:
        return _stated(standing, whole(), "engineering-change.cancelled", known)
    return _standing(standing, known)


def _stated(
    standing: ChangeStanding, change: EngineeringChange, event: str, known: EngineeringChange | None
) -> tuple[Effect, ...]:
    """On record and announced, with the days of its revisions; one that is older than what is known
    is refused.

    A PLM states one status of a change through several doors, a list and a package of it, and in
    different detail: what came last is what is known. Where a door does not say how the PLM finds
    the change again, what another one has said of it stays; and a change that goes on from status
    to status was released when it first was.
    """
    if known is not None:
        change = msgspec.structs.replace(
            change,
            source_id=change.source_id or known.source_id,
            notice=change.notice or known.notice,
            released_at=_released_at(change, known),
        )
    key = change_key(change.number)
    stated = Put(key, change.version, change, stated=None)
    if known is not None and known.version > change.version:
        return (stated,)
    lane: Lane | None = "critical" if change.is_urgent else None
    # Before the definitions themselves: other changes are not to show them before their day.
    days = tuple(
        Put(
            revision_effectivity_key(one.change, one.item, one.revision),
            change.version,
            one,
            stated=None,
        )
        for one in revision_effectivities(change, known)
    )
    return (stated, *days, Emit(event, key, change, lane), *_standing(standing, known))


def _released_at(change: EngineeringChange, known: EngineeringChange) -> datetime | None:
    """One that was taken back in between is released anew."""
    if known.status == "cancelled" or known.released_at is None:
        return change.released_at
    return known.released_at


def _standing(now: ChangeStanding, known: EngineeringChange | None) -> tuple[Emit, ...]:
    """How it stands now, where it is not known to have stood so already, or in a later status."""
    event = _TOLD.get(now.status)
    if event is None:
        return ()
    if known is not None:
        if known.status == now.status or known.version > microseconds(now.stated_at):
            return ()
        now = msgspec.structs.replace(now, before=known.status)
    return (Emit(event, change_key(now.number), now),)
