"""Canonical objects, and what became of IDocs, into IDocs, which whoever carries them gives to an
SAP system or a partner.

What is written is read back at once, by what reads IDocs here, and has to be the object that it was
made of; else nothing is written. Fields that a kind of IDoc has no place for are told (`unsaid`).
docs/adr/0031.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import msgspec

from canonical import item_master, purchasing, supplier_master
from canonical.bom import PlantBomState, plant_bom_key
from canonical.effects import Emit, Open
from canonical.errors import InvalidMessage
from canonical.item_master import ItemMaster, item_master_key
from canonical.order import OrderConfirmation, PurchaseOrder, confirmation_key, order_key
from canonical.own_words import NO_WORDS
from canonical.purchasing import InfoRecordTerms, info_record_key
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.systems.idoc import (
    audit_out,
    bill_of_material,
    bill_of_material_out,
    condition,
    info_record,
    info_record_out,
    material,
    material_out,
    order_out,
    orders,
    status,
    supplier,
    supplier_out,
)
from handlers.systems.idoc.document import MAX_IDOCS, IDoc, Segment, read_idocs
from handlers.systems.idoc.inbound import KINDS, LIMITS
from handlers.systems.idoc.status import StatusReport
from handlers.systems.idoc.writing import Parties, control, inexpressible, to_xml
from handlers.systems.timestamps import microseconds
from handlers.systems.xml_document import Limits

# What follows from the control record, or from a number beside it.
_DERIVED = frozenset({"version", "stated_at", "source_id"})
# What the prices of an info record say of it.
_OF_PRICES = frozenset({"supplier", "item", "organisation", "plant", "category", "prices"})
# What is told of an IDoc besides its number.
_OF_TYPE = ("message_type", "message_code", "message_function")
_SHOWN = 40

Addressed = tuple[Parties, msgspec.Struct]
"""An object, and who sends it to whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one kind of object goes out.

    kind: message type and basic type. of: the object's type. key: of an object. segments: that say
    it. read: what an event says -> the object. told: of an IDoc that no event follows from, what it
    says -> the object. elsewhere: fields, by their path, that this kind of IDoc has no place for.
    command: of `layshaft idoc`, that writes it.
    """

    kind: tuple[str, str]
    of: type[msgspec.Struct]
    key: Callable[[Any], str]
    segments: Callable[[Any], tuple[Segment, ...]]
    read: Callable[[Any], msgspec.Struct] = lambda said: said
    told: Callable[[IDoc, datetime], msgspec.Struct] | None = None
    elsewhere: frozenset[str] = frozenset()
    command: str = "write"


class Written(msgspec.Struct, frozen=True):
    """The document. unsaid: fields that say something and that it has no place for, each with how
    often it does."""

    body: bytes
    unsaid: Mapping[str, int]


# Message type -> form.
FORMS: Mapping[str, Form] = {
    form.kind[0]: form
    for form in (
        Form(
            kind=(material.MATERIAL, material.BASIC_TYPE),
            of=ItemMaster,
            key=lambda item: item_master_key(item.number),
            segments=material_out.to_segments,
            read=lambda patch: item_master.merge(None, patch),
            # Mapped from the status, by a table of the customer's own.
            elsewhere=frozenset({"lifecycle"}),
        ),
        Form(
            kind=(orders.ORDER, orders.BASIC_TYPE),
            of=PurchaseOrder,
            key=lambda order: order_key(order.number),
            segments=order_out.to_order,
            elsewhere=frozenset({"lines.revision", "lines.contract"}),
        ),
        Form(
            kind=(orders.CHANGE, orders.BASIC_TYPE),
            of=PurchaseOrder,
            key=lambda order: order_key(order.number),
            segments=order_out.to_change,
            elsewhere=frozenset({"lines.revision", "lines.contract"}),
        ),
        Form(
            kind=(orders.CONFIRMATION, orders.BASIC_TYPE),
            of=OrderConfirmation,
            key=lambda confirmation: confirmation_key(confirmation.order),
            segments=order_out.to_confirmation,
            # A word of another format is none of IDocs; what it means stands in the quantities.
            elsewhere=frozenset({"lines.stated_as"}),
        ),
        Form(
            kind=(supplier.SUPPLIER, supplier.BASIC_TYPE),
            of=SupplierMaster,
            key=lambda one: supplier_master_key(one.number),
            segments=supplier_out.to_segments,
            read=lambda patch: supplier_master.merge(None, patch),
        ),
        Form(
            kind=(info_record.INFO_RECORD, info_record.BASIC_TYPE),
            of=InfoRecordTerms,
            key=info_record_key,
            segments=info_record_out.to_segments,
            read=lambda patch: purchasing.merge(None, patch),
            elsewhere=frozenset({"prices"}),
        ),
        Form(
            kind=(condition.CONDITION, condition.BASIC_TYPE),
            of=InfoRecordTerms,
            key=info_record_key,
            segments=info_record_out.to_prices,
            read=lambda patch: purchasing.merge(None, patch),
            elsewhere=frozenset(InfoRecordTerms.__struct_fields__) - _OF_PRICES,
        ),
        Form(
            kind=(bill_of_material.BOM, bill_of_material.BASIC_TYPE),
            of=PlantBomState,
            key=plant_bom_key,
            segments=bill_of_material_out.to_segments,
            elsewhere=frozenset({"lines.component_revision", "lines.substitutes"}),
        ),
        Form(
            kind=(status.AUDIT, status.AUDIT_TYPE),
            of=StatusReport,
            key=audit_out.report_key,
            segments=audit_out.to_audit,
            told=status.to_report,
            command="audit",
        ),
        Form(
            kind=(status.STATUS, status.STATUS_TYPE),
            of=StatusReport,
            key=audit_out.report_key,
            segments=audit_out.to_status,
            told=status.to_report,
            # The number alone says which IDoc it is.
            elsewhere=frozenset(f"statuses.{name}" for name in _OF_TYPE),
            command="audit",
        ),
    )
}


def write(
    form: Form, objects: Sequence[Addressed], written_at: datetime, limits: Limits = LIMITS
) -> Written:
    """The document with an IDoc for each of the objects, in their order.

    written_at: UTC; the numbers of the IDocs are its microseconds and count up, so no two documents
    of one sender share one. limits: of who reads it. The same arguments give the same bytes.
    Raises: InvalidMessage, naming object and field, for what an IDoc cannot say or would say
        otherwise, and for more than a document may hold.
    """
    if len(objects) > MAX_IDOCS:
        raise InvalidMessage(
            "idoc-too-many",
            f"The document would have {len(objects)} IDocs; at most {MAX_IDOCS} are taken",
            where="document",
            remedy="Write it in parts",
        )
    first = microseconds(written_at)
    idocs = [
        IDoc(
            control(form.kind, parties, written_at, first + place),
            Segment("IDOC", {}, form.segments(one), 0),
        )
        for place, (parties, one) in enumerate(objects)
    ]
    body = to_xml(form.kind[1], idocs)
    unsaid: Counter[str] = Counter()
    for (_, one), idoc in zip(objects, read_idocs(BytesIO(body), limits), strict=True):
        unsaid.update(_unsaid(form, one, _read_back(form, one, idoc, written_at)))
    return Written(body, dict(sorted(unsaid.items())))


def _read_back(form: Form, one: msgspec.Struct, idoc: IDoc, written_at: datetime) -> msgspec.Struct:
    """What the IDoc says. Raises: InvalidMessage where nobody could tell."""
    about = form.key(one)
    try:
        if form.told is not None:
            return form.told(idoc, written_at)
        effects = KINDS[form.kind].say(idoc, 0, written_at, NO_WORDS)
    except InvalidMessage as refused:
        raise inexpressible(f"nobody could read it: {refused.what}", about) from refused
    for effect in effects:
        if isinstance(effect, Open):
            raise inexpressible(f"whoever reads it would have to ask: {effect.what}", about)
    (said,) = (effect.data for effect in effects if isinstance(effect, Emit))
    return form.read(said)


def _unsaid(form: Form, one: msgspec.Struct, found: msgspec.Struct) -> Iterator[str]:
    """Fields without a place. Raises: InvalidMessage where one that has a place differs."""
    for path, where, written, read in _differences(one, found):
        if path in _DERIVED:
            continue
        if path not in form.elsewhere:
            raise inexpressible(
                f"it would be read as {str(read)[:_SHOWN]!r}, and is {str(written)[:_SHOWN]!r}",
                f"{form.key(one)} {where}",
            )
        if written not in (None, "", ()):
            yield path


Difference = tuple[str, str, Any, Any]


def _differences(written: Any, read: Any, path: str = "", where: str = "") -> Iterator[Difference]:
    """Where the two differ: path, path with places in lists, and both values."""
    if type(written) is not type(read):
        yield path, where, written, read
    elif isinstance(written, msgspec.Struct):
        for name in written.__struct_fields__:
            below = f"{path}.{name}" if path else name
            place = f"{where}.{name}" if where else name
            yield from _differences(getattr(written, name), getattr(read, name), below, place)
    elif isinstance(written, tuple) and len(written) == len(read):
        for number, pair in enumerate(zip(written, read, strict=True)):
            yield from _differences(*pair, path, f"{where}[{number}]")
    elif written != read:
        yield path, where, written, read
