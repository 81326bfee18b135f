"""Arena suppliers into canonical ones: how each is approved as a whole."""

from __future__ import annotations

import hashlib
from datetime import datetime

from canonical.codec import decode_foreign, required
from canonical.effects import Effect, Emit
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, no_needs
from canonical.supplier import Qualification, Supplier, supplier_key
from canonical.text import normalise_id, normalise_text, received_id
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.native import SupplierSpecs, SupplierStatement
from handlers.systems.arena.values import unmapped
from handlers.systems.arena.words import APPROVAL
from handlers.systems.timestamps import header_deviations, microseconds, parse_timestamp

TYPE = "arena.supplier"

_DIGEST_CHARS = 16


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like a supplier statement: a JSON object with its member."""
    body = delivery.body
    return (
        body[:16].lstrip().startswith(b"{")
        and b'"supplier"' in body
        and b'"approvalStatus"' in body
        and b'"sourcing"' not in body
        and b'"changeItems"' not in body
    )


def read(delivery: Delivery) -> Message[SupplierStatement]:
    """The supplier statement with its identity; its time is when Arena was read.

    Identity: the supplier's guid with a digest of what is said of it and when.
    Raises: InvalidMessage for content that is no such statement, and for one that does not say when
        it was so: Arena keeps no time of a supplier's changes.
    """
    statement, ignored, deviations = decode_foreign(
        delivery.body, SupplierStatement, where="supplier statement"
    )
    stated_at = parse_timestamp(required(delivery.attributes, "time"), where="ce-time")
    said = f"{stated_at.isoformat()}\0".encode()
    digest = hashlib.sha256(said + delivery.body).hexdigest()
    guid = normalise_id(statement.supplier.guid, where="supplier.guid")
    envelope = Envelope(
        id=f"{guid}@{digest[:_DIGEST_CHARS]}",
        source=delivery.source,
        type=TYPE,
        key=supplier_key(_number(statement.supplier)),
        time=stated_at,
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    deviations = (*header_deviations(delivery.attributes), *deviations)
    return Message(envelope, statement, ignored, deviations)


def decide(message: Message[SupplierStatement], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The supplier as our event. Arena knows no inactive one.

    Raises: InvalidMessage for an approval status that is in no table.
    """
    stated = message.payload.supplier
    supplier = Supplier(
        number=_number(stated),
        name=normalise_text(stated.name, where="supplier.name"),
        active=True,
        qualification=_qualification(stated),
        source_id=received_id(stated.guid, where="supplier.guid"),
        stated_at=message.envelope.time,
    )
    return (Emit("supplier.changed", message.envelope.key, supplier),)


def version(message: Message[SupplierStatement]) -> int:
    """When Arena was read: each statement says all about its supplier."""
    stated_at = message.envelope.time
    assert stated_at is not None  # `read` has required it
    return microseconds(stated_at)


def _number(stated: SupplierSpecs) -> str:
    """Raises: InvalidMessage for a supplier that nobody else could know by its number."""
    if not stated.supplier_id:
        raise InvalidMessage(
            "field-missing",
            f"The supplier {stated.name[:60]!r} has no number",
            where="supplier.supplierId",
            remedy="Enter the number that the ERP knows it by as its ID in Arena",
        )
    return normalise_id(stated.supplier_id, where="supplier.supplierId")


def _qualification(stated: SupplierSpecs) -> Qualification:
    word = stated.approval_status or ""
    status = APPROVAL.get(word.casefold())
    if status is None:
        raise unmapped("approval-unmapped", "approval status", word, "supplier.approvalStatus")
    return Qualification(status, stated_as=normalise_text(word, where="supplier.approvalStatus"))


# In the order scope of the changes: what is read stands in the place of the notice.
HANDLER = Handler(
    name="arena-supplier",
    scope=CHANGES.scope,
    types=(TYPE,),
    forms=(
        Form(
            what="A supplier, and how it is approved",
            content=SupplierStatement,
            required=("time",),
            owners=("procurement",),
        ),
    ),
    read=read,
    needs=no_needs,
    decide=decide,
    order="curing",
    version=version,
)
