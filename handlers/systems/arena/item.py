"""Arena item revisions, with their BOM and their sources, into canonical items and BOMs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from canonical.bom import bom_key
from canonical.codec import decode_foreign
from canonical.effects import Effect, Emit
from canonical.envelope import Envelope, Message, first_ones
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, ignored_fields
from canonical.item import Classification, ComplianceMark, Item, ItemKind, Procurement, item_key
from canonical.members import named
from canonical.own_words import OwnWords
from canonical.revision import parse_revision
from canonical.text import normalise_id, normalise_text, received_id
from canonical.units import to_rec20
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.native import ItemSpecs, ItemStatement
from handlers.systems.arena.sources import Sources, by_sources, unread, without_maker
from handlers.systems.arena.structure import deviations as lines_otherwise
from handlers.systems.arena.structure import items_looked_up, to_bom
from handlers.systems.arena.values import (
    custom_ignored,
    custom_path,
    custom_text,
    lifecycle_of,
    unmapped,
)
from handlers.systems.arena.words import (
    CATEGORY,
    CATEGORY_SCHEME,
    FAMILY_FIELD,
    ITEM_FIELDS,
    MAKE_BUY,
    MAKE_BUY_FIELD,
    PROCUREMENT_TYPE,
    SCHEME,
    TOLD,
    UNITS,
)
from handlers.systems.timestamps import (
    header_deviations,
    microseconds,
    parse_timestamp,
    to_utc,
)

TYPE = "arena.item"

_DIGEST_CHARS = 16
_MATERIALS: frozenset[ItemKind] = frozenset({"part", "assembly"})


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like an item statement: a JSON object with its three members."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"item"' in body
        and b'"bom"' in body
        and b'"sourcing"' in body
        and b'"changeItems"' not in body
    )


def read(delivery: Delivery) -> Message[ItemStatement]:
    """The item statement with its identity; its time is when Arena was read.

    Identity: the guid of the revision with a digest of what is said of it and when, since what
    belongs to a revision may change without a new one.
    Raises: InvalidMessage for content that is no such statement, naming the field.
    """
    statement, ignored, deviations = decode_foreign(
        delivery.body, ItemStatement, where="item statement"
    )
    item = statement.item
    guid = normalise_id(item.guid, where="item.guid")
    number = normalise_id(item.number, where="item.number")
    if item.effective_date_time is not None:
        to_utc(item.effective_date_time, where="item.effectiveDateTime")
    stated = delivery.attributes.get("time", "")
    stated_at = parse_timestamp(stated, where="ce-time") if stated else None
    said = f"{stated_at.isoformat()}\0".encode() if stated_at else b""
    digest = hashlib.sha256(said + delivery.body).hexdigest()
    envelope = Envelope(
        id=f"{guid}@{digest[:_DIGEST_CHARS]}",
        source=delivery.source,
        type=TYPE,
        key=item_key(number),
        time=stated_at,
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    custom = custom_ignored(item.additional_attributes, ITEM_FIELDS, "item")
    told = (*header_deviations(delivery.attributes), *deviations, *lines_otherwise(statement))
    return Message(envelope, statement, named((*ignored, *custom)), first_ones(told))


def needs(message: Message[ItemStatement], facts: Facts) -> frozenset[str]:
    """Components and substitutes as they are known, where the statement does not tell their
    units."""
    statement = message.payload
    if not TOLD.get(_status(statement.item)):
        return frozenset()
    return frozenset(
        item_key(normalise_id(number, where=where)) for number, where in items_looked_up(statement)
    )


def decide(message: Message[ItemStatement], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The item, then its BOM where it has one; nothing of a revision that is not the effective one.

    Raises: InvalidMessage for words, units and numbers that cannot be understood, and for lists
        that are not whole; Unavailable while a component, whose unit counts, is not known.
    """
    statement = message.payload
    word = _status(statement.item)
    is_told = TOLD.get(word)
    if is_told is None:
        raise unmapped("status-unmapped", "revision status", word, "item.revisionStatus")
    if not is_told:
        return ()
    _check_whole(statement)
    own = facts.rules.words_of(message.envelope.source)
    item = _to_item(statement, message.envelope.time, own)
    effects: list[Effect] = [Emit("item.released", item_key(item.number), item)]
    if statement.bom.results:
        bom = to_bom(statement, item, facts, own)
        effects.append(Emit("bom.released", bom_key(bom.parent), bom))
    return (*effects, *without_maker(statement, item.number))


def ignored(message: Message[ItemStatement]) -> Mapping[str, int]:
    """Vendors that the sources name and the statement does not tell of."""
    return {**ignored_fields(message), **unread(message.payload)}


def version(message: Message[ItemStatement]) -> int | None:
    """When the revision became effective: a statement of a later one mends an earlier one.

    None for a revision of which nothing is said.
    """
    item = message.payload.item
    if item.effective_date_time is None or not TOLD.get(_status(item)):
        return None
    return microseconds(to_utc(item.effective_date_time, where="item.effectiveDateTime"))


def _status(item: ItemSpecs) -> str:
    """The word or number for it; "" where there is neither."""
    return item.revision_status or ("" if item.status is None else str(item.status))


def _check_whole(statement: ItemStatement) -> None:
    """Raises: InvalidMessage for a list that is cut off: what is missing would be gone."""
    for where, what, stated in (
        ("bom", "lines", statement.bom),
        ("sourcing", "source relationships", statement.sourcing),
        ("compliance", "requirements", statement.compliance),
    ):
        if stated:
            _check_count(where, what, stated.count, len(stated.results), where)
    for at, listed in enumerate(statement.substitutes or ()):
        sent, where = len(listed.results), f"substitutes[{at}]"
        _check_count("substitutes", "substitutes of a line", listed.count, sent, where)
    if statement.item.is_assembly and not statement.bom.results:
        raise InvalidMessage(
            "bom-missing",
            "The item is an assembly, and no line of its BOM was sent",
            where="bom",
            remedy="Read it as a user who may see the BOM and its components",
        )


def _check_count(kind: str, what: str, count: int, sent: int, where: str) -> None:
    if count != sent:
        raise InvalidMessage(
            f"{kind}-incomplete",
            f"{sent} of {count} {what} were sent",
            where=where,
            remedy="Read all pages of the list and send it whole",
        )


# --- the item ---


def _to_item(statement: ItemStatement, stated_at: datetime | None, own: OwnWords) -> Item:
    item = statement.item
    if item.effective_date_time is None:
        raise InvalidMessage(
            "field-missing",
            "The revision is effective and does not say since when",
            where="item.effectiveDateTime",
            remedy="Send effectiveDateTime, without which revisions have no order",
        )
    category = normalise_text(
        item.category.name if item.category else "", where="item.category.name"
    )
    kind = _kind(statement, category)
    sources = Sources(statement)
    return Item(
        number=normalise_id(item.number, where="item.number"),
        revision=parse_revision(item.revision_number or "", SCHEME, where="item.revisionNumber"),
        lifecycle=lifecycle_of(item.lifecycle_phase, own, "item.lifecyclePhase"),
        description=normalise_text(item.name or item.description or "", where="item.name"),
        kind=kind,
        procurement=_procurement(statement, kind),
        base_unit=to_rec20(UNITS, item.uom or "", own.codes, where="item.uom"),
        family=custom_text(item.additional_attributes, FAMILY_FIELD, "item") or category,
        category=category,
        phase=normalise_text(item.lifecycle_phase.name, where="item.lifecyclePhase.name"),
        compliance=_compliance(statement),
        manufacturers=sources.manufacturers(),
        released_at=to_utc(item.effective_date_time, where="item.effectiveDateTime"),
        stated_at=stated_at,
        source_id=received_id(item.guid, where="item.guid"),
        suppliers=sources.suppliers(),
        classes=(Classification(CATEGORY_SCHEME, category),) if category else (),
    )


def _compliance(statement: ItemStatement) -> tuple[ComplianceMark, ...]:
    """By the requirements' own names; the status is what people read."""
    rows = statement.compliance.results if statement.compliance else ()
    return tuple(
        ComplianceMark(
            normalise_text(row.requirement.name, where=f"compliance.results[{n}].requirement.name"),
            normalise_text(row.status, where=f"compliance.results[{n}].status"),
        )
        for n, row in enumerate(rows)
    )


def _kind(statement: ItemStatement, category: str) -> ItemKind:
    kind = CATEGORY.get(category.casefold())
    if kind is None:
        raise unmapped("category-unmapped", "category", category, "item.category.name")
    return "assembly" if kind == "part" and statement.bom.results else kind


def _procurement(statement: ItemStatement, kind: ItemKind) -> Procurement:
    """What the custom field says, else the procurement type; of what is made to specification the
    sources say who makes it."""
    if kind not in _MATERIALS:
        return "none"
    item = statement.item
    stated = custom_text(item.additional_attributes, MAKE_BUY_FIELD, "item")
    if stated:
        found = MAKE_BUY.get(stated.casefold())
        if found is None:
            where = custom_path(MAKE_BUY_FIELD, "item")
            raise unmapped("procurement-unmapped", "procurement", stated, where)
        return found
    word = item.procurement_type or ""
    if word not in PROCUREMENT_TYPE:
        raise unmapped("procurement-unmapped", "procurement type", word, "item.procurementType")
    return PROCUREMENT_TYPE[word] or by_sources(statement.sourcing.results)


# In the order scope of the changes: what is read stands in the place of the entry.
HANDLER = Handler(
    name="arena-item",
    scope=CHANGES.scope,
    types=(TYPE,),
    forms=(
        Form(
            what="A revision of an item with its BOM and its sources",
            content=ItemStatement,
            owners=("engineering",),
        ),
    ),
    read=read,
    needs=needs,
    decide=decide,
    order="curing",
    version=version,
    ignored=ignored,
)
