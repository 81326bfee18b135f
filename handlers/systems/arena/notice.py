"""Entries of Arena's outbound queue: they name a change, which is then read. And their items: each
names the revision of an item that became effective, which is read as well; so is a supplier that
somebody names."""

from __future__ import annotations

import hashlib
from datetime import datetime

from canonical.change import change_key
from canonical.codec import decode_foreign, required
from canonical.effects import Effect, Fetch
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, no_needs
from canonical.item import item_key
from canonical.supplier import supplier_key
from canonical.text import normalise_id
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.native import (
    ChangeReference,
    EventItemNotice,
    EventNotice,
    SupplierNotice,
)
from handlers.systems.arena.words import READ_CHANGE, READ_EVENT, READ_ITEM, READ_SUPPLIER
from handlers.systems.timestamps import to_utc

TYPE = "arena.event"
ITEM_TYPE = "arena.event-item"
SUPPLIER_TYPE = "arena.supplier-notice"

_DIGEST_CHARS = 16


# --- entries ---


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like an entry of the queue: a JSON object that has its members."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"event"' in body
        and b'"eventType"' in body
        and b'"changeItems"' not in body
        and b'"eventItem"' not in body
    )


def read(delivery: Delivery) -> Message[EventNotice]:
    """The entry, about the change that it names.

    Identity: the guid of its event with a digest, since an entry that is listed again may say
    something else by then, and that is no mistake.
    Raises: InvalidMessage for content that is no such entry, or names no change.
    """
    notice, ignored, deviations = decode_foreign(delivery.body, EventNotice, where="queue event")
    event = notice.event
    number = normalise_id(_change_of(notice).number, where="event.change.number")
    envelope = Envelope(
        id=_identity(event.guid, delivery, where="event.guid"),
        source=delivery.source,
        type=TYPE,
        key=change_key(number),
        time=to_utc(event.creation_date_time, where="event.creationDateTime"),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice, ignored, deviations)


def decide(message: Message[EventNotice], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The change is read: by way of the queue where that is known, so that its entry can be marked
    as dealt with in the end.

    An entry that says it is dealt with is read all the same: it may be somebody else who did. Its
    change is named beside it, since an entry may be gone by then.
    """
    notice = message.payload
    guid = normalise_id(_change_of(notice).guid, where="event.change.guid")
    if notice.integration is None:
        return (Fetch(READ_CHANGE, guid),)
    integration = normalise_id(notice.integration.guid, where="integration.guid")
    event = normalise_id(notice.event.guid, where="event.guid")
    return (Fetch(READ_EVENT, f"{integration}/{event}/{guid}"),)


def _change_of(notice: EventNotice) -> ChangeReference:
    """Raises: InvalidMessage where items were released by hand: the entry does not name them."""
    if notice.event.change is None:
        raise InvalidMessage(
            "event-without-change",
            f"Items were released without a change ({notice.event.event_type[:40]!r})",
            where="event.change",
            remedy=f"Send the items of the entry instead, each by itself, as {ITEM_TYPE}",
            owner="engineering",
        )
    return notice.event.change


# --- items of entries ---


def recognises_item(delivery: Delivery) -> bool:
    """Whether the content looks like an item of an entry: a JSON object with its two members."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"eventItem"' in body
        and b'"effectiveItemRevision"' in body
        and b'"changeItems"' not in body
    )


def read_item(delivery: Delivery) -> Message[EventItemNotice]:
    """The item of an entry, about the item whose revision it names; identity as of an entry.

    Raises: InvalidMessage for content that is no such item.
    """
    notice, ignored, deviations = decode_foreign(delivery.body, EventItemNotice, where="event item")
    listed = notice.event_item
    where = "eventItem.effectiveItemRevision.number"
    envelope = Envelope(
        id=_identity(listed.guid, delivery, where="eventItem.guid"),
        source=delivery.source,
        type=ITEM_TYPE,
        key=item_key(normalise_id(listed.effective_item_revision.number, where=where)),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice, ignored, deviations)


def decide_item(
    message: Message[EventItemNotice], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The revision is read, also where somebody has dealt with it: as with an entry."""
    guid = message.payload.event_item.effective_item_revision.guid
    where = "eventItem.effectiveItemRevision.guid"
    return (Fetch(READ_ITEM, normalise_id(guid, where=where)),)


# --- suppliers ---


def recognises_supplier(delivery: Delivery) -> bool:
    """Whether the content looks like a notice of a supplier: a JSON object with its member."""
    body = delivery.body
    return body[:16].lstrip().startswith(b"{") and b'"supplierNotice"' in body


def read_supplier(delivery: Delivery) -> Message[SupplierNotice]:
    """The notice, about the supplier that it names.

    Identity: that of the message, since the notice of a later change says the same.
    Raises: InvalidMessage for content that is no such notice, and for one without an id.
    """
    notice, ignored, deviations = decode_foreign(
        delivery.body, SupplierNotice, where="supplier notice"
    )
    named = notice.supplier_notice
    where = "supplierNotice.supplierId"
    envelope = Envelope(
        id=required(delivery.attributes, "id"),
        source=delivery.source,
        type=SUPPLIER_TYPE,
        key=supplier_key(normalise_id(named.supplier_id, where=where)),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice, ignored, deviations)


def decide_supplier(
    message: Message[SupplierNotice], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier is read."""
    guid = message.payload.supplier_notice.guid
    return (Fetch(READ_SUPPLIER, normalise_id(guid, where="supplierNotice.guid")),)


# --- shared ---


def _identity(guid: str, delivery: Delivery, where: str) -> str:
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST_CHARS]
    return f"{normalise_id(guid, where=where)}@{digest}"


# In the order scope of the changes: what is read stands in the place of the entry.
HANDLER = Handler(
    name="arena-event",
    scope=CHANGES.scope,
    types=(TYPE,),
    forms=(
        Form(
            what="An entry of the outbound queue, whose change is read",
            content=EventNotice,
            owners=("engineering",),
        ),
    ),
    read=read,
    needs=no_needs,
    decide=decide,
    order="notification",
)
HANDLER_ITEM = Handler(
    name="arena-event-item",
    scope=CHANGES.scope,
    types=(ITEM_TYPE,),
    forms=(
        Form(
            what="An item of such an entry, whose revision is read",
            content=EventItemNotice,
            owners=("engineering",),
        ),
    ),
    read=read_item,
    needs=no_needs,
    decide=decide_item,
    order="notification",
)
HANDLER_SUPPLIER = Handler(
    name="arena-supplier-notice",
    scope=CHANGES.scope,
    types=(SUPPLIER_TYPE,),
    forms=(
        Form(
            what="Which supplier is to be read",
            content=SupplierNotice,
            required=("id",),
            owners=("procurement",),
        ),
    ),
    read=read_supplier,
    needs=no_needs,
    decide=decide_supplier,
    order="notification",
)
