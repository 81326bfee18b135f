"""IDocs into canonical events: master data, purchase orders and their confirmations; and what
became of IDocs that were sent, into cases.

A document may hold several IDocs, each about an object of its own. One alone is about its object;
several are about themselves, and keep the order of their sender.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

from canonical.bom import plant_bom_key
from canonical.codec import check_size
from canonical.effects import Effect, Emit
from canonical.envelope import Envelope, Message, first_ones
from canonical.errors import InvalidMessage, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, content_of, no_needs
from canonical.item_master import item_master_key
from canonical.members import named, shown
from canonical.order import ConfirmationStatus, confirmation_key, order_key
from canonical.own_words import OwnWords
from canonical.purchasing import info_record_key
from canonical.supplier_master import supplier_master_key
from canonical.text import normalise_id
from handlers.systems.idoc import (
    bill_of_material,
    condition,
    info_record,
    material,
    status,
    supplier,
)
from handlers.systems.idoc.deviations import deviations_of
from handlers.systems.idoc.document import IDOC, Document, IDoc, read_document
from handlers.systems.idoc.orders import (
    BASIC_TYPE,
    CHANGE,
    CONFIRMATION,
    ORDER,
    order_number,
    to_confirmation,
    to_order,
)
from handlers.systems.idoc.orders import (
    SEGMENTS as ORDER_SEGMENTS,
)
from handlers.systems.idoc.unread import counted, unread
from handlers.systems.timestamps import microseconds
from handlers.systems.xml_document import Limits, Reading

TYPE = "idoc.document"
LIMITS = Limits(bytes=16 * 1024 * 1024, elements=500_000)

# As far as it is looked into to know it.
_HEAD = Limits(bytes=64 * 1024, elements=1_000)
_SERIAL_FORMAT = "%Y%m%d%H%M%S"
_SERIAL_CHARS = 14
# Of a second, for IDocs of the same one: their numbers count up.
_WITHIN_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What an IDoc of a kind is about and what it says. is_whole: of its object. segments: that are
    read of it."""

    segments: frozenset[str]
    key: Callable[[IDoc], str]
    say: Callable[[IDoc, int, datetime, OwnWords], tuple[Effect, ...]]
    is_whole: bool = True


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like an IDoc document: XML that begins with one."""
    head = BytesIO(content_of(delivery).read(_HEAD.bytes))
    return Reading(head, limits=_HEAD, heads=[IDOC]).first() is not None


def read(delivery: Delivery, limits: Limits = LIMITS) -> Message[Document]:
    """The IDocs with their identity; what they say is not judged yet.

    Identity: sender, client and number of the IDoc; of several, that of the first with the number
    of the last and how many there are; the digest of the content where they have no numbers.
    Raises: InvalidMessage for content that is no IDoc document, and for kinds that nobody knows.
    """
    if delivery.package is None:
        check_size(delivery.body, where="document")
    document = read_document(content_of(delivery), limits)
    idocs = document.idocs
    keys = dict.fromkeys(_kind(idoc).key(idoc) for idoc in idocs)
    envelope = Envelope(
        id=normalise_id(_identity(idocs, delivery), where="EDI_DC40"),
        source=delivery.source,
        type=TYPE,
        key=next(iter(keys)) if len(keys) == 1 else f"idocs/{delivery.source}",
        time=_stated_at(idocs[0]),
        content_type=delivery.content_type or "application/xml",
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    ways = named(way for idoc in idocs for way in unread(idoc, _kind(idoc).segments))
    ignored = ("/".join(map(shown, way)) for way in ways)
    deviations = first_ones(one for idoc in idocs for one in deviations_of(idoc))
    return Message(envelope, document, named((*document.ignored, *ignored)), deviations)


def _identity(idocs: tuple[IDoc, ...], delivery: Delivery) -> str:
    first, last = idocs[0], idocs[-1]
    if not all(idoc.control.get("DOCNUM") for idoc in idocs):
        return f"sha256:{hashlib.sha256(content_of(delivery).read()).hexdigest()}"
    if first is last:
        return first.identity
    return f"{first.identity}+{last.control.get('DOCNUM')}+{len(idocs)}"


def decide(message: Message[Document], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """An event for each IDoc, and cases for what of it was left out; cases for others' statuses.

    Raises: InvalidMessage naming segment, line and field; Rejected for one that is marked as a
        test: nothing of it may reach a productive system.
    """
    for idoc in message.payload.idocs:
        if idoc.is_test:
            raise Rejected(
                "test-message",
                "The IDoc is marked as a test",
                where=f"EDI_DC40, IDoc {idoc.control.get('DOCNUM')}: TEST",
                remedy="Send tests to an installation for tests",
                owner="sender",
            )
    own = facts.rules.words_of(message.envelope.source)
    return tuple(effect for idoc in message.payload.idocs for effect in effects_of(idoc, own))


def effects_of(idoc: IDoc, own: OwnWords) -> tuple[Effect, ...]:
    """What one IDoc alone leads to. own: words of the installation. Raises: InvalidMessage, as
    `decide`."""
    return _kind(idoc).say(idoc, _version(idoc), _stated_at(idoc), own)


def _material(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
    patch, cases = material.to_patch(idoc, version, stated_at, own)
    return (Emit("item.changed", item_master_key(patch.number), patch), *cases)


def _supplier(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
    patch, cases = supplier.to_patch(idoc, version, stated_at)
    return (Emit("supplier-master.changed", supplier_master_key(patch.number), patch), *cases)


def _info_record(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[Effect, ...]:
    patches, cases = info_record.to_patches(idoc, version, stated_at, own)
    events = (Emit("info-record.changed", info_record_key(patch), patch) for patch in patches)
    return (*events, *cases)


def _prices(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
    patch, cases = condition.to_patch(idoc, version, stated_at, own)
    if patch is None:
        return cases
    return (Emit("info-record.changed", info_record_key(patch), patch), *cases)


def _boms(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
    boms, cases = bill_of_material.to_boms(idoc, version, stated_at, own)
    return (*(Emit("bom.changed", plant_bom_key(bom), bom) for bom in boms), *cases)


def _statuses(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
    return status.to_cases(idoc)


def _order(event: str) -> Callable[[IDoc, int, datetime, OwnWords], tuple[Effect, ...]]:
    def say(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> tuple[Effect, ...]:
        order = to_order(idoc, version, stated_at, own)
        return (Emit(event, order_key(order.number), order),)

    return say


def _confirmation(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[Effect, ...]:
    confirmation = to_confirmation(idoc, version, stated_at, own)
    event = _CONFIRMED[confirmation.status]
    return (Emit(event, confirmation_key(confirmation.order), confirmation),)


_CONFIRMED: dict[ConfirmationStatus, str] = {
    "accepted": "order-confirmation.accepted",
    "changed": "order-confirmation.changed",
    "backordered": "order-confirmation.backordered",
    "rejected": "order-confirmation.rejected",
}

# (message type, basic type) -> what it is.
KINDS: dict[tuple[str, str], _Kind] = {
    (material.MATERIAL, material.BASIC_TYPE): _Kind(
        segments=material.SEGMENTS,
        key=lambda idoc: item_master_key(material.material_number(idoc)),
        say=_material,
        is_whole=False,
    ),
    (supplier.SUPPLIER, supplier.BASIC_TYPE): _Kind(
        segments=supplier.SEGMENTS,
        key=lambda idoc: supplier_master_key(supplier.supplier_number(idoc)),
        say=_supplier,
        is_whole=False,
    ),
    (info_record.INFO_RECORD, info_record.BASIC_TYPE): _Kind(
        segments=info_record.SEGMENTS,
        key=info_record.record_key,
        say=_info_record,
        is_whole=False,
    ),
    (condition.CONDITION, condition.BASIC_TYPE): _Kind(
        segments=condition.SEGMENTS,
        key=condition.condition_key,
        say=_prices,
        is_whole=False,
    ),
    # Each BOM is whole, and not all that the material has.
    (bill_of_material.BOM, bill_of_material.BASIC_TYPE): _Kind(
        segments=bill_of_material.SEGMENTS,
        key=bill_of_material.boms_key,
        say=_boms,
        is_whole=False,
    ),
    (ORDER, BASIC_TYPE): _Kind(
        segments=ORDER_SEGMENTS,
        key=lambda idoc: order_key(order_number(idoc)),
        say=_order("purchase-order.created"),
    ),
    (CHANGE, BASIC_TYPE): _Kind(
        segments=ORDER_SEGMENTS,
        key=lambda idoc: order_key(order_number(idoc)),
        say=_order("purchase-order.changed"),
    ),
    **dict.fromkeys(
        ((status.AUDIT, status.AUDIT_TYPE), (status.STATUS, status.STATUS_TYPE)),
        _Kind(
            segments=status.SEGMENTS,
            key=status.status_key,
            say=_statuses,
            is_whole=False,
        ),
    ),
    (CONFIRMATION, BASIC_TYPE): _Kind(
        segments=ORDER_SEGMENTS,
        key=lambda idoc: confirmation_key(order_number(idoc)),
        say=_confirmation,
    ),
}


def _kind(idoc: IDoc) -> _Kind:
    found = KINDS.get(idoc.kind)
    if found is None:
        message_type, basic_type = idoc.kind
        raise InvalidMessage(
            "idoc-unknown",
            f"Nobody takes {message_type[:40]!r} in {basic_type[:40]!r}",
            where="EDI_DC40: MESTYP, IDOCTYP",
            remedy="Send one of " + ", ".join(f"{m} in {b}" for m, b in KINDS),
        )
    return found


def _stated_at(idoc: IDoc) -> datetime:
    """When it was written, by the clock of the SAP system, which does not tell its zone: taken for
    UTC. It orders the statements of one system; nobody compares it with other clocks."""
    control = idoc.control
    serial = control.get("SERIAL")[:_SERIAL_CHARS]
    try:
        return _at(serial) or _at(control.get("CREDAT") + control.get("CRETIM")) or _no_time()
    except ValueError as error:
        raise _without_time() from error


def _at(digits: str) -> datetime | None:
    if len(digits) != _SERIAL_CHARS or not (digits.isascii() and digits.isdigit()):
        return None
    return datetime.strptime(digits, _SERIAL_FORMAT).replace(tzinfo=UTC)


def _no_time() -> datetime:
    raise _without_time()


def _without_time() -> InvalidMessage:
    return InvalidMessage(
        "time-missing",
        "The IDoc does not say when it was written",
        where="EDI_DC40: SERIAL, CREDAT, CRETIM",
        remedy="Send the control record as the SAP system writes it",
    )


def _version(idoc: IDoc) -> int:
    """Grows with the time of writing, and within a second with the number of the IDoc."""
    number = idoc.control.get("DOCNUM")
    counted = int(number) if number.isascii() and number.isdigit() else 0
    return microseconds(_stated_at(idoc)) + counted % _WITHIN_SECOND


def version(message: Message[Document]) -> int | None:
    """Of an IDoc that states the whole of its object; None for a part, and for several at once."""
    first, *others = message.payload.idocs
    return _version(first) if _kind(first).is_whole and not others else None


def ignored(message: Message[Document]) -> Counter[str]:
    """How many segments and fields nobody reads: of SAP's own, and of those that a customer has
    added."""
    found: Counter[str] = Counter()
    if beside := len(message.payload.ignored):
        found["elements beside IDocs"] = beside
    for idoc in message.payload.idocs:
        found += counted(idoc, _kind(idoc).segments)
    return found


_NAMES = tuple(f"{message_type} in {basic_type}" for message_type, basic_type in KINDS)

HANDLER = Handler(
    name="idoc-document",
    scope="idoc",
    types=(TYPE,),
    kinds=_NAMES,
    forms=(
        Form(
            what=f"SAP IDocs as XML, one or several: {', '.join(_NAMES)}",
            media_type="application/xml",
            by_reference=True,
            owners=("operations", "procurement"),
        ),
    ),
    read=read,
    needs=no_needs,
    decide=decide,
    order="curing",
    version=version,
    ignored=ignored,
)
