"""What a released engineering change comes to, whichever PLM states it."""

from __future__ import annotations

import msgspec

from canonical.change import EngineeringChange, change_key
from canonical.effects import Effect, Emit, Put
from canonical.envelope import Lane
from canonical.facts import Facts


def release(change: EngineeringChange, facts: Facts) -> tuple[Effect, ...]:
    """The change is on record and announced; one that is older than what is known is refused.

    A PLM states one status of a change through several doors, a list and a package of it, and in
    different detail: what came last is what is known. Where a door does not say how the PLM finds
    the change again, what another one has said of it stays.
    """
    key = change_key(change.number)
    known = facts.change(change.number)
    if known is not None:
        change = msgspec.structs.replace(
            change,
            source_id=change.source_id or known.source_id,
            notice=change.notice or known.notice,
        )
    stated = Put(key, change.version, change, stated=None)
    if known is not None and known.version > change.version:
        return (stated,)
    lane: Lane | None = "critical" if change.is_urgent else None
    return (stated, Emit("engineering-change.released", key, change, lane))
