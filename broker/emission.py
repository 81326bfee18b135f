"""Events of ours as they are emitted, with identity, lane and exchange."""

from __future__ import annotations

import uuid_utils

from broker.store.outbox import Emission
from broker.topology import events_exchange
from canonical.envelope import Lane
from canonical.events import EVENTS


def emission(
    event: str, key: str, body: bytes, *, lane: Lane | None, correlation_id: str, causation_id: str
) -> Emission:
    """An event of ours; lane: None = its own, as the table of events says.

    Raises: ValueError for a lane that its row does not allow: whoever subscribes goes by the row.
    """
    row = EVENTS[event]
    chosen: Lane = lane or row.lane
    if not row.may_take(chosen):
        raise ValueError(f"{event} is not emitted in the lane {chosen}: {row.lane_rule}")
    return Emission(
        id=str(uuid_utils.uuid7()),
        event=row.name,
        type=row.type,
        key=key,
        lane=chosen,
        exchange=events_exchange(chosen),
        correlation_id=correlation_id,
        causation_id=causation_id,
        body=body,
    )


def lane_following(event: str, lane: Lane) -> Lane | None:
    """The lane of an event that follows from work in that lane: the same one where its row allows
    it, else its own."""
    return lane if EVENTS[event].may_take(lane) else None
