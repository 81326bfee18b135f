"""Reads of objects of which an event told no more than the key: as ledgers of one step. Pure.

The rules of ledgers are those that such reads need: an event joins a read that was not sent yet,
and while one is out, the step that reads once more waits for its end.
"""

from __future__ import annotations

from broker.intake import Work
from broker.store import Position
from canonical.effects import Fetch, Plan, Step
from canonical.operations import ReadObject

KEY_PREFIX = "read/"
# All plans of such a ledger are fresh: what was asked later may have been stored earlier.
_VERSION = 0


def read_key(fetch: Fetch) -> str:
    """Key of the ledger in which the object is read."""
    return f"{KEY_PREFIX}{fetch.system}/{fetch.kind}/{fetch.id}"


def plan_of(fetch: Fetch, work: Work, position: Position) -> Plan:
    """The plan that asks for the read; position: place in the log of the message that asks."""
    envelope = work.entry.envelope
    operation = ReadObject(
        kind=fetch.kind,
        id=fetch.id,
        key=envelope.key,
        asked=position.seq,
        correlation_id=envelope.correlation_id,
    )
    step = Step(
        plant="",
        system=fetch.system,
        object_kind=fetch.kind,
        object_id=fetch.id,
        operation=operation,
        lane=work.lane,
    )
    title = f"Read {fetch.kind} {fetch.id} at {fetch.system}"
    return Plan(key=read_key(fetch), version=_VERSION, title=title, steps=(step,))
