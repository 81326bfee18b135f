"""What Arena does not have any more when it is read: a case, since what is on record stays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from canonical.effects import Effect, Open
from canonical.envelope import Message
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from handlers.systems.answers import printable
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.native import Gone
from handlers.systems.arena.words import READ_SUPPLIER
from handlers.systems.brought import answer_form, read_brought
from handlers.systems.timestamps import microseconds

TYPE = "arena.gone"

# Whose turn it is, where it is not engineering's.
_OWNERS: Mapping[str, str] = {READ_SUPPLIER: "purchasing"}


def read(delivery: Delivery) -> Message[Gone]:
    """The answer to a read; its time is when it was read.

    Raises: InvalidMessage for content that is none, and where an attribute is missing.
    """
    return read_brought(delivery, TYPE, Gone)


def needs(message: Message[Gone], facts: Facts) -> frozenset[str]:
    """The object as it is known."""
    return frozenset({message.envelope.key})


def decide(message: Message[Gone], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """A case, also for what was never known: it was named, and a change may wait for it."""
    gone, key = message.payload, message.envelope.key
    kind = printable(gone.kind, 40)
    left = "it stays on record as it was" if facts.version(key) else "nothing of it is on record"
    return (
        Open(
            code="gone-at-plm",
            word="business_rule",
            what=f"Arena has no {kind} with the guid {printable(gone.id, 64)} any more; {left}",
            where=key,
            remedy="Find out why it was deleted, and whether anything waits for it or hangs on it",
            owner=_OWNERS.get(gone.kind, "engineering"),
        ),
    )


def version(message: Message[Gone]) -> int:
    """When it was read: whatever was stated before is over."""
    read_at = message.envelope.time
    assert read_at is not None  # `read_brought` has required it
    return microseconds(read_at)


# In the order scope of the changes: it stands in the place of what was asked for.
HANDLER = Handler(
    name="arena-gone",
    scope=CHANGES.scope,
    types=(TYPE,),
    forms=(answer_form("That a read found no such object", Gone, "engineering", "procurement"),),
    read=read,
    needs=needs,
    decide=decide,
    order="curing",
    version=version,
)
