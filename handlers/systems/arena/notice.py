"""Entries of Arena's outbound queue: they name a change, which is then read. And their items: each
names the revision of an item that became effective, which is read as well; so is a supplier that
somebody names, and so are the objects of an event of the newer kind, and the items that a
supplier's item is a source of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
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
    ItemReference,
    OutboundEventNotice,
    SupplierItemNotice,
    SupplierNotice,
)
from handlers.systems.arena.words import (
    READ_CHANGE,
    READ_EVENT,
    READ_ITEM,
    READ_SUPPLIER,
    RESOURCE_READ,
    TOLD,
)
from handlers.systems.timestamps import to_utc

TYPE = "arena.event"
ITEM_TYPE = "arena.event-item"
SUPPLIER_TYPE = "arena.supplier-notice"
OUTBOUND_TYPE = "arena.outbound-event"
SOURCED_TYPE = "arena.supplier-item"

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


# --- events of the newer kind ---


def recognises_outbound(delivery: Delivery) -> bool:
    """Whether the content looks like an event of the newer kind: a JSON object with its member."""
    body = delivery.body
    return body[:16].lstrip().startswith(b"{") and b'"outboundEvent"' in body


def read_outbound(delivery: Delivery) -> Message[OutboundEventNotice]:
    """The event with what it is about; identity as of an entry.

    Raises: InvalidMessage for content that is no such event, and where it is about changes or
        items and none was sent.
    """
    notice, ignored, deviations = decode_foreign(
        delivery.body, OutboundEventNotice, where="outbound event"
    )
    if not notice.changes and not notice.items:
        _check_is_of_others(notice)
    event, where = notice.outbound_event, "outboundEvent.guid"
    envelope = Envelope(
        id=_identity(event.guid, delivery, where=where),
        source=delivery.source,
        type=OUTBOUND_TYPE,
        key=f"outbound-event/{normalise_id(event.guid, where=where)}",
        time=to_utc(event.creation_date_time, where="outboundEvent.creationDateTime"),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice, ignored, deviations)


def decide_outbound(
    message: Message[OutboundEventNotice], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """Each change and each item is read, once however often it is named; also where somebody has
    dealt with them, as with an entry."""
    notice = message.payload
    changes = (
        Fetch(
            READ_CHANGE,
            normalise_id(change.guid, where=f"changes[{place}].guid"),
            key=change_key(normalise_id(change.number, where=f"changes[{place}].number")),
        )
        for place, change in enumerate(notice.changes)
    )
    items = _reads((f"items[{place}]", item) for place, item in enumerate(notice.items))
    return tuple(dict.fromkeys((*changes, *items)))


def _check_is_of_others(notice: OutboundEventNotice) -> None:
    """Raises: InvalidMessage where one of its triggers may be about what is read."""
    resources = dict.fromkeys(trigger.resource for trigger in notice.outbound_event.triggers)
    if resources and not any(RESOURCE_READ.get(resource, True) for resource in resources):
        return
    about = ", ".join(resource[:40] for resource in list(resources)[:5]) or "nothing"
    raise InvalidMessage(
        "event-without-objects",
        f"The event names none of its objects, and its triggers are about {about!r}",
        where="outboundEvent",
        remedy="Send beside it, under `changes` and `items`, guid and number of what it is about",
        owner="engineering",
    )


# --- items of a supplier's item ---


def recognises_sourced(delivery: Delivery) -> bool:
    """Whether the content looks like the use of a supplier's item: a JSON object with its two
    members."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"supplierItem"' in body
        and b'"sourcing"' in body
        and b'"bom"' not in body
        and b'"changeItems"' not in body
    )


def read_sourced(delivery: Delivery) -> Message[SupplierItemNotice]:
    """The items that a supplier's item is a source of.

    Identity: as of an entry. The same list may be true again, after another one: each look at it
    has an id of its own where it is to be read again.
    Raises: InvalidMessage for content that is no such list, and for one that is cut off.
    """
    notice, ignored, deviations = decode_foreign(
        delivery.body, SupplierItemNotice, where="supplier item"
    )
    count, sent = notice.sourcing.count, len(notice.sourcing.results)
    if count != sent:
        raise InvalidMessage(
            "sourcing-incomplete",
            f"{sent} of {count} source relationships were sent",
            where="sourcing",
            remedy="Read all pages of the list and send it whole",
        )
    guid, where = notice.supplier_item.guid, "supplierItem.guid"
    envelope = Envelope(
        id=_identity(guid, delivery, where=where),
        source=delivery.source,
        type=SOURCED_TYPE,
        key=f"supplier-item/{normalise_id(guid, where=where)}",
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    return Message(envelope, notice, ignored, deviations)


def decide_sourced(
    message: Message[SupplierItemNotice], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """Each item is read with all its sources, once however often it is named: of an item's list of
    parts the supplier's side knows one alone."""
    rows = enumerate(message.payload.sourcing.results)
    found = _reads((f"sourcing.results[{place}].item", row.item) for place, row in rows)
    return tuple(dict.fromkeys(found))


# --- shared ---


def _reads(items: Iterable[tuple[str, ItemReference]]) -> Iterator[Fetch]:
    """Of the revisions of which something is said, as far as their lists tell; each with its
    place."""
    for where, item in items:
        guid = normalise_id(item.guid, where=f"{where}.guid")
        key = item_key(normalise_id(item.number, where=f"{where}.number"))
        if _is_told(item):
            yield Fetch(READ_ITEM, guid, key=key)


def _is_told(item: ItemReference) -> bool:
    """By the word for it, else by its number; where neither is one of Arena's, the read tells."""
    words = ((item.revision_status or "").strip(), str(item.status))
    return next((TOLD[word] for word in words if word in TOLD), True)


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
HANDLER_OUTBOUND = Handler(
    name="arena-outbound-event",
    scope=CHANGES.scope,
    types=(OUTBOUND_TYPE,),
    forms=(
        Form(
            what="An event of the newer kind with its changes and items, which are read",
            content=OutboundEventNotice,
            owners=("engineering",),
        ),
    ),
    read=read_outbound,
    needs=no_needs,
    decide=decide_outbound,
    order="notification",
)
HANDLER_SOURCED = Handler(
    name="arena-supplier-item",
    scope=CHANGES.scope,
    types=(SOURCED_TYPE,),
    forms=(
        Form(
            what="The items that a supplier's item is a source of, which are read",
            content=SupplierItemNotice,
            owners=("engineering",),
        ),
    ),
    read=read_sourced,
    needs=no_needs,
    decide=decide_sourced,
    order="notification",
)
