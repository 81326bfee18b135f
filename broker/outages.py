"""What people announce of systems: that one is away for a while, and is not called; on record."""

from __future__ import annotations

from datetime import datetime

from broker.principals import ALL_PLANTS, Deed
from broker.store import Tx
from broker.store import closures as rows
from broker.store import messages as message_rows
from broker.store.closures import Outage
from broker.store.messages import Note
from canonical.errors import Rejected


async def deed_of_announcing(system: str) -> Deed:
    """What announcing an outage of that system takes: the same as a hold on it."""
    return Deed(action="hold-place", subject=f"system/{system}", plants=ALL_PLANTS)


async def deed_of_ending(tx: Tx, outage_id: int) -> Deed:
    """What ending that outage takes. Raises: Rejected("not-found")."""
    found = next((one for one in await rows.outages(tx) if one.id == outage_id), None)
    if found is None:
        raise _not_found(outage_id)
    return Deed(action="hold-release", subject=f"system/{found.system}", plants=ALL_PLANTS)


async def announce(
    tx: Tx, *, system: str, starts_at: datetime, ends_at: datetime, reason: str, by: str
) -> Outage:
    """From `starts_at` on no call to the system begins, until `ends_at`."""
    done = await rows.announce(
        tx, system=system, starts_at=starts_at, ends_at=ends_at, reason=reason, by=by
    )
    await _write_audit(tx, "outage-announced", done, by, reason)
    return done


async def end(tx: Tx, *, outage_id: int, reason: str, by: str) -> Outage:
    """The system may be called from the commit on. Raises: Rejected("not-found")."""
    done = await rows.end_outage(tx, outage_id)
    if done is None:
        raise _not_found(outage_id)
    await _write_audit(tx, "outage-ended", done, by, reason)
    return done


def _not_found(outage_id: int) -> Rejected:
    return Rejected(
        "not-found",
        f"There is no outage {outage_id} that is not over",
        where=f"outage {outage_id}",
        remedy="See: layshaft connector show NAME",
    )


async def _write_audit(tx: Tx, action: str, outage: Outage, by: str, reason: str) -> None:
    note = Note(
        by,
        action,
        f"system/{outage.system}",
        detail={
            "outage": outage.id,
            "reason": reason,
            "from": outage.starts_at.isoformat(),
            "until": outage.ends_at.isoformat(),
        },
    )
    await message_rows.write_audit(tx, [note])
