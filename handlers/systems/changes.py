"""What a released engineering change comes to, whichever PLM states it."""

from __future__ import annotations

from canonical.change import EngineeringChange, change_key
from canonical.effects import Effect, Emit, Put
from canonical.envelope import Lane
from canonical.facts import Facts


def release(change: EngineeringChange, facts: Facts) -> tuple[Effect, ...]:
    """The change is on record and announced; one that is older than what is known is refused.

    A PLM states one status of a change through several doors, a list and a package of it, and in
    different detail: what came last is what is known.
    """
    key = change_key(change.number)
    stated = Put(key, change.version, change, stated=None)
    known = facts.change(change.number)
    if known is not None and known.version > change.version:
        return (stated,)
    lane: Lane | None = "critical" if change.is_urgent else None
    return (stated, Emit("engineering-change.released", key, change, lane))
