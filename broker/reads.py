"""Reads of objects of which a message told no more than the key: as ledgers of one step. Pure.

The rules of ledgers are those that such reads need: an event joins a read that was not sent yet,
and while one is out, the step that reads once more waits for its end.
"""

from __future__ import annotations

from broker.intake import Work
from broker.store import Position
from broker.store.order import OrderKey
from canonical.effects import Fetch, Plan, Step
from canonical.operations import ReadObject

KEY_PREFIX = "read/"
# All plans of such a ledger are fresh: what was asked later may have been stored earlier.
_VERSION = 0


def read_key(fetch: Fetch) -> str:
    """Key of the ledger in which the object is read."""
    return f"{KEY_PREFIX}{fetch.system}/{fetch.kind}/{fetch.id}"


def waits_for(fetch: Fetch, work: Work) -> OrderKey:
    """(scope, business key) whose messages wait for the answer."""
    assert work.handler is not None
    key = fetch.key or work.entry.envelope.key
    assert key, "what is read has a key"
    return work.handler.scope, key


def plan_of(fetch: Fetch, work: Work, position: Position) -> Plan:
    """The plan that asks for the read; position: place in the log of the message that asks."""
    _, key = waits_for(fetch, work)
    operation = ReadObject(
        kind=fetch.kind,
        id=fetch.id,
        key=key,
        asked=position.seq,
        correlation_id=work.entry.envelope.correlation_id,
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
