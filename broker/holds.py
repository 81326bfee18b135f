"""What people do to stop outbound effects of a system, in a plant or of a flow, while messages come
in and are planned as ever; on record."""

from __future__ import annotations

import msgspec

from broker.principals import ALL_PLANTS, Action, Deed
from broker.store import Tx
from broker.store import connection as connection_rows
from broker.store import holds as rows
from broker.store import messages as message_rows
from broker.store.holds import Hold, HoldKind, Stopped
from broker.store.messages import Note
from canonical.errors import Conflict, Rejected

# A claim ends within milliseconds, and at the latest with its statement's time-out.
CLAIMS_S = 10


class Done(msgspec.Struct, frozen=True):
    """A hold that was placed or released, with the calls that it is about."""

    hold: Hold
    stopped: Stopped


async def deed_of_place(tx: Tx, kind: HoldKind, value: str) -> Deed:
    """What placing such a hold takes."""
    return _deed("hold-place", kind, value)


async def deed_of_release(tx: Tx, hold_id: int) -> Deed:
    """What releasing that hold takes. Raises: Rejected("not-found")."""
    hold = await rows.find(tx, hold_id)
    if hold is None:
        raise _not_found(hold_id)
    return _deed("hold-release", hold.kind, hold.value)


def _deed(action: Action, kind: HoldKind, value: str) -> Deed:
    """A system and a flow are of all plants."""
    plants = (value,) if kind == "plant" else ALL_PLANTS
    return Deed(action=action, subject=f"{kind}/{value}", plants=plants)


async def place(tx: Tx, *, kind: HoldKind, value: str, reason: str, by: str) -> Done:
    """Once this is committed no call that the hold is about begins; those that are claimed by then
    come to their end, and so do calls that only ask.

    Claims hold a lock together, from before they read the holds until they are committed. This
    takes it alone: so each claim that has not read the hold is committed before, and each one
    after it reads it.
    Raises: Conflict("held-already").
    """
    await connection_rows.wait_for_locks(tx, CLAIMS_S)
    await rows.stop_claims(tx)
    hold = await rows.place(tx, kind=kind, value=value, reason=reason, by=by)
    if hold is None:
        raise await _held_already(tx, kind, value)
    stopped = await rows.stopped(tx, hold)
    await _write_audit(tx, "hold-placed", hold, by, reason, before="free", after="held")
    return Done(hold, stopped)


async def release(tx: Tx, *, hold_id: int, reason: str, by: str) -> Done:
    """What stood still by the hold goes on with the commit, in the order in which it became due.

    Raises: Rejected("not-found"), Conflict("not-in-force").
    """
    hold = await rows.release(tx, hold_id, by=by, reason=reason)
    if hold is None:
        raise await _not_in_force(tx, hold_id)
    await _write_audit(tx, "hold-released", hold, by, reason, before="held", after="free")
    return Done(hold, await rows.stopped(tx, hold))


async def _held_already(tx: Tx, kind: HoldKind, value: str) -> Conflict:
    held = [h for h in await rows.open_holds(tx) if (h.kind, h.value) == (kind, value)]
    told = "".join(f": {h.words}" for h in held)
    number = "".join(f" {h.id}" for h in held)
    return Conflict(
        "held-already",
        f"The {kind} {value} is on hold already{told}",
        where=f"hold{number}",
        remedy=f"Leave it, or release it: layshaft release{number}",
    )


async def _not_in_force(tx: Tx, hold_id: int) -> Conflict | Rejected:
    hold = await rows.find(tx, hold_id)
    if hold is None:
        return _not_found(hold_id)
    return Conflict(
        "not-in-force",
        f"The hold on {hold.name} was released by {hold.released_by}"
        f" on {hold.released_at:%Y-%m-%d %H:%M:%S} UTC: {hold.release_reason}",
        where=f"hold {hold_id}",
        remedy="See which are in force: layshaft hold",
    )


def _not_found(hold_id: int) -> Rejected:
    return Rejected(
        "not-found",
        f"There is no hold {hold_id}",
        where=f"hold {hold_id}",
        remedy="See: layshaft hold",
    )


async def _write_audit(
    tx: Tx, action: str, hold: Hold, by: str, reason: str, *, before: str, after: str
) -> None:
    note = Note(
        by,
        action,
        f"{hold.kind}/{hold.value}",
        detail={"hold": hold.id, "reason": reason},
        before={"state": before},
        after={"state": after},
    )
    await message_rows.write_audit(tx, [note])
