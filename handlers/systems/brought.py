"""What a read of a system brought back, as the message that the runtime makes of it."""

from __future__ import annotations

from typing import Any, TypeVar

from canonical.codec import decode_foreign, required
from canonical.envelope import Envelope, Message
from canonical.handler import Delivery, Form
from handlers.systems.timestamps import header_deviations, parse_timestamp

T = TypeVar("T")


def answer_form(what: str, content: Any, *owners: str, name: str = "") -> Form:
    """How messages are written that `read_brought` reads; content: the type it is given."""
    return Form(
        what=what,
        name=name,
        content=content,
        required=("id", "subject", "time"),
        read=("causationid",),
        owners=owners,
    )


def read_brought(delivery: Delivery, kind: str, content: type[T]) -> Message[T]:
    """The answer of that message type; its time is when it was read.

    Raises: InvalidMessage for content that is none, and where an attribute is missing.
    """
    attributes = delivery.attributes
    envelope = Envelope(
        id=required(attributes, "id"),
        source=delivery.source,
        type=kind,
        key=required(attributes, "subject"),
        time=parse_timestamp(required(attributes, "time"), where="ce-time"),
        correlation_id=attributes.get("correlationid", ""),
        causation_id=attributes.get("causationid", ""),
        traceparent=attributes.get("traceparent", ""),
    )
    answer, ignored, deviations = decode_foreign(delivery.body, content, where=kind)
    return Message(envelope, answer, ignored, (*header_deviations(attributes), *deviations))
