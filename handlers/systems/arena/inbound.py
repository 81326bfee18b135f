"""Arena change orders into canonical released engineering changes."""

from __future__ import annotations

from datetime import datetime

from canonical.change import (
    AffectedItem,
    Disposition,
    EngineeringChange,
    change_key,
)
from canonical.codec import decode_foreign
from canonical.effectivity import DateEffectivity, from_inclusive_dates
from canonical.effects import Effect, Emit, Fetch
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.events import ChangeStanding
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler
from canonical.item import item_key
from canonical.members import named
from canonical.own_words import OwnWords
from canonical.revision import parse_revision
from canonical.text import normalise_id, normalise_text, received_id
from handlers.systems.arena.native import (
    Change,
    ChangeDraft,
    ChangeItem,
    ChangeItems,
    ChangeStatement,
    DispositionAttribute,
    Event,
)
from handlers.systems.arena.values import (
    custom_ignored,
    custom_list,
    custom_path,
    custom_text,
    lifecycle_of,
    unmapped,
)
from handlers.systems.arena.words import (
    CHANGE_FIELDS,
    CHANGE_STATUS,
    EFFECTIVE_ZONE,
    FAMILY_FIELD,
    PLANTS_FIELD,
    READ_ITEM,
    RELEASED,
    SCHEME,
    STOCK,
    TOLD,
    URGENCY_FIELD,
)
from handlers.systems.changes import state_change
from handlers.systems.timestamps import microseconds, to_utc

TYPE = "arena.change"
# Members in which a client puts what Arena shows of changes, and of what they are about.
_STATED = (b'"change"', b'"changes"', b'"changeItems"', b'"event"', b'"item"', b'"items"')


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like a change statement: a JSON object with its two members; or
    like what creates a change, which is refused by its name."""
    body = delivery.body
    is_statement = b'"change"' in body and b'"changeItems"' in body
    return body[:16].lstrip().startswith(b"{") and (is_statement or _is_draft(body))


def _is_draft(body: bytes) -> bool:
    """Requests and training plans get a number in the same way, and take effect in none; whatever
    Arena shows of a change has its status, or stands in a member of its own."""
    return (
        b'"numberSequencePrefix"' in body
        and b'"effectivityType"' in body
        and b'"lifecycleStatus"' not in body
        and not any(member in body for member in _STATED)
    )


def read(delivery: Delivery) -> Message[ChangeStatement]:
    """The change statement with its identity.

    Identity: the event of Arena's queue, else the change and the time of its present status.
    Raises: InvalidMessage for content that is no such statement, naming the field, and for what
        creates a change.
    """
    if _is_draft(delivery.body):
        raise _not_created(delivery.body)
    statement, ignored, deviations = decode_foreign(
        delivery.body, ChangeStatement, where="change statement"
    )
    change = statement.change
    status_at = to_utc(change.lifecycle_date_time, where="change.lifecycleDateTime")
    event = statement.event
    number = normalise_id(change.number, where="change.number")
    envelope = Envelope(
        id=(
            normalise_id(event.guid, where="event.guid")
            if event
            else f"{normalise_id(change.guid, where='change.guid')}@{status_at.isoformat()}"
        ),
        source=delivery.source,
        type=TYPE,
        key=change_key(number),
        time=status_at,
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    custom = custom_ignored(change.additional_attributes, CHANGE_FIELDS, "change")
    return Message(envelope, statement, named((*ignored, *custom)), deviations)


def _not_created(body: bytes) -> InvalidMessage:
    """There is nothing to key it by: Arena gives number and guid, and a status.

    Raises: InvalidMessage where it would create no change either, naming the field.
    """
    draft, *_ = decode_foreign(body, ChangeDraft, where="change draft")
    return InvalidMessage(
        "change-not-created",
        f"The content asks Arena to create the change {draft.title[:40]!r}: it has no number, guid"
        " or status yet",
        where="change draft",
        remedy="Send it to Arena (POST /changes), and here what Arena says of the change that it"
        f" has created: GET /changes/GUID with its items as {TYPE}, or the event of the outbound"
        " queue",
    )


def needs(message: Message[ChangeStatement], facts: Facts) -> frozenset[str]:
    """The change as it is known, and the items that it releases."""
    change = message.envelope.key
    if not _is_released(message.payload):
        return frozenset({change})
    rows = enumerate(message.payload.change_items.results)
    return frozenset({change, *(item_key(_number(row, _row(place))) for place, row in rows)})


def decide(message: Message[ChangeStatement], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The released change, on record and as our event, with reads of its revisions that are not on
    record; of others how they stand. No reads for one that is older than what is known.

    Raises: InvalidMessage for words, revisions and times that cannot be understood, and for a list
        of items that is not whole.
    """
    statement = message.payload
    word = statement.change.lifecycle_status.type
    status = CHANGE_STATUS.get(word)
    if status is None:
        raise unmapped("status-unmapped", "change status", word, "change.lifecycleStatus.type")
    change = statement.change
    standing = ChangeStanding(
        normalise_id(change.number, where="change.number"),
        normalise_text(change.title, where="change.title"),
        status,
        stated_at=to_utc(change.lifecycle_date_time, where="change.lifecycleDateTime"),
    )
    own = facts.rules.words_of(message.envelope.source)
    effects = state_change(standing, lambda: _to_change(statement, standing, own), RELEASED, facts)
    for effect in effects:
        if isinstance(effect, Emit) and effect.event == "engineering-change.released":
            assert isinstance(effect.data, EngineeringChange)
            return (*effects, *_reads(statement.change_items, effect.data, facts))
    return effects


def _is_released(statement: ChangeStatement) -> bool:
    return CHANGE_STATUS.get(statement.change.lifecycle_status.type) in RELEASED


def _to_change(
    statement: ChangeStatement, standing: ChangeStanding, own: OwnWords
) -> EngineeringChange:
    change, status_at = statement.change, standing.stated_at
    custom = change.additional_attributes
    return EngineeringChange(
        number=standing.number,
        version=microseconds(status_at),
        status=standing.status,
        title=standing.title,
        affected=_affected(statement.change_items, own),
        description=normalise_text(change.description or "", where="change.description"),
        category=normalise_text(
            change.category.name if change.category else "", where="change.category.name"
        ),
        urgency=custom_text(custom, URGENCY_FIELD, "change"),
        family=custom_text(custom, FAMILY_FIELD, "change"),
        plants=tuple(
            normalise_id(plant, where=custom_path(PLANTS_FIELD, "change"))
            for plant in custom_list(custom, PLANTS_FIELD, "change")
        ),
        requester=normalise_text(
            change.creator.full_name if change.creator else "", where="change.creator.fullName"
        ),
        released_at=status_at,
        effectivity=_effectivity(change),
        source_id=received_id(change.guid, where="change.guid"),
        notice=_notice(statement.event),
    )


def _notice(event: Event | None) -> str:
    """The entry of the queue as the driver reads and writes it; "" where its queue is not known."""
    if event is None or not event.integration:
        return ""
    integration = normalise_id(event.integration, where="event.integration")
    return f"{integration}/{normalise_id(event.guid, where='event.guid')}"


def _affected(items: ChangeItems, own: OwnWords) -> tuple[AffectedItem, ...]:
    if items.count != len(items.results):
        raise InvalidMessage(
            "change-items-incomplete",
            f"{len(items.results)} of {items.count} affected items were sent",
            where="changeItems",
            remedy="Read all pages of the list and send it whole",
        )
    return tuple(_to_affected(item, own, _row(place)) for place, item in enumerate(items.results))


def _to_affected(item: ChangeItem, own: OwnWords, where: str) -> AffectedItem:
    new, old = item.new_item_revision, item.affected_item_revision
    # A working revision carries no number yet; the change says which it will get.
    label = new.revision_number or item.new_revision_number
    if not label:
        raise InvalidMessage(
            "field-missing",
            f"The new revision of {new.number[:40]!r} has no number",
            where=f"{where}.newItemRevision.revisionNumber",
            remedy="Send revisionNumber or newRevisionNumber",
        )
    return AffectedItem(
        item=_number(item, where),
        new_revision=_label(label, f"{where}.newItemRevision.revisionNumber"),
        old_revision=(
            _label(old.revision_number, f"{where}.affectedItemRevision.revisionNumber")
            if old and old.revision_number
            else ""
        ),
        lifecycle=(
            lifecycle_of(item.new_lifecycle_phase, own, f"{where}.newLifecyclePhase")
            if item.new_lifecycle_phase
            else None
        ),
        dispositions=tuple(
            _to_disposition(stated, f"{where}.dispositionAttributes")
            for stated in item.disposition_attributes
            if stated.value
        ),
    )


def _number(item: ChangeItem, where: str) -> str:
    return normalise_id(item.new_item_revision.number, where=f"{where}.newItemRevision.number")


def _row(place: int) -> str:
    return f"changeItems.results[{place}]"


def _reads(items: ChangeItems, change: EngineeringChange, facts: Facts) -> tuple[Fetch, ...]:
    """The revisions that are not on record, each once.

    One that Arena has as a working one is not read, as nothing is said of it yet, nor one that is
    superseded, of which nothing is said any more.
    """
    wanted: list[Fetch] = []
    for place, (row, stated) in enumerate(zip(change.affected, items.results, strict=True)):
        new = stated.new_item_revision
        guid = normalise_id(new.guid, where=f"{_row(place)}.newItemRevision.guid")
        if TOLD.get(new.revision_status or "", True) and not _is_on_record(row, facts):
            wanted.append(Fetch(READ_ITEM, guid, key=item_key(row.item)))
    return tuple(dict.fromkeys(wanted))


def _is_on_record(row: AffectedItem, facts: Facts) -> bool:
    """In this revision, or in a later one by the order of Arena's labels."""
    item = facts.item(row.item)
    if item is None:
        return False
    known = item.revision
    if known.label == row.new_revision or known.scheme != SCHEME:
        return known.label == row.new_revision
    return parse_revision(known.label, SCHEME) > parse_revision(row.new_revision, SCHEME)


def _to_disposition(stated: DispositionAttribute, where: str) -> Disposition:
    stock = STOCK.get(stated.name)
    if stock is None:
        raise unmapped("disposition-unmapped", "disposition", stated.name, where)
    return Disposition(stock, normalise_text(stated.value or "", where=where))


def _effectivity(change: Change) -> DateEffectivity | None:
    """None = with the approval; else from the midnight that begins the stated UTC day in Arena's
    own zone."""
    match change.effectivity_type:
        case "PERMANENT_ON_APPROVAL":
            return None
        case "PERMANENT_ON_DATE":
            where = "change.effectiveDateTime"
            # Until that day has come there is a plan only.
            starts = change.effective_date_time or change.effectivity_planned_date_time
            if starts is None:
                raise InvalidMessage(
                    "field-missing",
                    "The change takes effect on a date and has none",
                    where=where,
                    remedy="Send effectiveDateTime or effectivityPlannedDateTime",
                )
            day = to_utc(starts, where=where).date()
            return from_inclusive_dates(day, None, EFFECTIVE_ZONE)
        case other:
            raise unmapped(
                "effectivity-unmapped", "effectivity type", other, "change.effectivityType"
            )


def _label(text: str, where: str) -> str:
    return parse_revision(text, SCHEME, where=where).label


def version(message: Message[ChangeStatement]) -> int | None:
    """A statement of a released change says all about it, and so does that it was taken back: a
    later one mends an earlier one.

    None in any other status: it says nothing of what a released one before it has set off.
    """
    status = CHANGE_STATUS.get(message.payload.change.lifecycle_status.type)
    if status not in RELEASED and status != "cancelled":
        return None
    change = message.payload.change
    return microseconds(to_utc(change.lifecycle_date_time, where="change.lifecycleDateTime"))


HANDLER = Handler(
    name="arena-change",
    scope="arena",
    types=(TYPE,),
    forms=(
        Form(
            what="A change order with all its items",
            content=ChangeStatement,
            owners=("engineering",),
        ),
    ),
    read=read,
    needs=needs,
    decide=decide,
    order="curing",
    version=version,
)
