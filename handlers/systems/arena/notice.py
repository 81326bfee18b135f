"""Entries of Arena's outbound queue: they name a change, which is then read."""

from __future__ import annotations

import hashlib
from datetime import datetime

from canonical.change import change_key
from canonical.codec import decode_json
from canonical.effects import Effect, Fetch
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from canonical.text import normalise_id
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.native import ChangeReference, EventNotice
from handlers.systems.timestamps import to_utc

TYPE = "arena.event"

# What is read, in the driver's words: a change by its guid, or the one that an entry of a queue
# names, by "<integration>/<event>".
READ_CHANGE = "change"
READ_EVENT = "event"

_DIGEST_CHARS = 16


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like an entry of the queue: a JSON object that has its members."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"event"' in body
        and b'"eventType"' in body
        and b'"changeItems"' not in body
    )


def read(delivery: Delivery) -> Message[EventNotice]:
    """The entry, about the change that it names.

    Identity: the guid of its event with a digest, since an entry that is listed again may say
    something else by then, and that is no mistake.
    Raises: InvalidMessage for content that is no such entry, or names no change.
    """
    notice = decode_json(delivery.body, EventNotice, where="queue event", keys_once=True)
    event = notice.event
    number = normalise_id(_change_of(notice).number, where="event.change.number")
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST_CHARS]
    envelope = Envelope(
        id=f"{normalise_id(event.guid, where='event.guid')}@{digest}",
        source=delivery.source,
        type=TYPE,
        key=change_key(number),
        time=to_utc(event.creation_date_time, where="event.creationDateTime"),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice)


def decide(message: Message[EventNotice], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The change is read: by way of the queue where that is known, so that its entry can be marked
    as dealt with in the end.

    An entry that says it is dealt with is read all the same: it may be somebody else who did.
    """
    notice = message.payload
    guid = normalise_id(_change_of(notice).guid, where="event.change.guid")
    if notice.integration is None:
        return (Fetch(READ_CHANGE, guid),)
    integration = normalise_id(notice.integration.guid, where="integration.guid")
    event = normalise_id(notice.event.guid, where="event.guid")
    return (Fetch(READ_EVENT, f"{integration}/{event}"),)


def _change_of(notice: EventNotice) -> ChangeReference:
    """Raises: InvalidMessage where items were released by hand: nobody reads single items."""
    if notice.event.change is None:
        raise InvalidMessage(
            "event-without-change",
            f"Items were released without a change ({notice.event.event_type[:40]!r})",
            where="event.change",
            remedy="Release them by a change, or send them as a package",
            owner="engineering",
        )
    return notice.event.change


# In the order scope of the changes: what is read stands in the place of the entry.
HANDLER = Handler(
    name="arena-event",
    scope=CHANGES.scope,
    types=(TYPE,),
    read=read,
    needs=no_needs,
    decide=decide,
    order="notification",
)
