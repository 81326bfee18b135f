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
    """An event of ours; lane: None = as the table of events says."""
    row = EVENTS[event]
    chosen: Lane = lane or row.lane
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
