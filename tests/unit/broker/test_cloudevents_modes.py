"""A source may send CloudEvents or not: identity and content are the same in every mode."""

import base64
import json
from collections.abc import Mapping

import pytest

from broker.intake import Arrival, Work, read_arrival
from broker.topology import attributes_from
from canonical.codec import decode_json
from canonical.envelope import Envelope, Message
from canonical.handler import Delivery, Handler, no_needs

ORDER = {"number": "17"}


def read(delivery: Delivery) -> Message[dict[str, str]]:
    order = decode_json(delivery.body, dict[str, str])
    envelope = Envelope(
        id=f"own-{order['number']}",
        source=delivery.source,
        type="toy",
        key=f"order/{order['number']}",
        correlation_id=delivery.attributes.get("correlationid", ""),
    )
    return Message(envelope, order)


TOY = Handler(
    name="toy",
    scope="toy",
    types=("toy",),
    read=read,
    needs=no_needs,
    decide=lambda message, facts, now: (),
)


def taken(body: object, *, content_type: str, headers: Mapping[str, object] | None = None) -> Work:
    delivery = Delivery(
        source="plm",
        kind="order",
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        content_type=content_type,
        attributes=attributes_from(headers or {}),
    )
    return read_arrival(Arrival(delivery, "standard", "in.plm.order.standard"), lambda _: TOY)


def test_without_cloudevents_the_format_itself_names_the_message() -> None:
    work = taken(ORDER, content_type="application/json")
    assert work.entry.identity == ("toy", "plm", "own-17")


@pytest.mark.parametrize("prefix", ["ce-", "cloudEvents_", "cloudEvents:"])
def test_the_id_of_the_sender_is_the_identity_in_binary_mode(prefix: str) -> None:
    work = taken(
        ORDER,
        content_type="application/json",
        headers={f"{prefix}id": "A-1", f"{prefix}correlationid": "story"},
    )
    assert work.entry.identity == ("toy", "plm", "A-1")
    assert work.entry.envelope.correlation_id == "story"


@pytest.mark.parametrize(
    "data",
    [
        {"data": ORDER},
        {"data_base64": base64.b64encode(json.dumps(ORDER).encode()).decode()},
    ],
)
def test_structured_mode_is_taken_apart(data: dict[str, object]) -> None:
    event = {"specversion": "1.0", "id": "A-2", "source": "/plm", "type": "t", **data}
    work = taken(event, content_type="application/cloudevents+json; charset=utf-8")
    assert work.entry.identity == ("toy", "plm", "A-2")
    assert work.message is not None
    assert work.message.payload == ORDER


@pytest.mark.parametrize("body", [b"[1]", b'{"data_base64":"###"}', b'{"id":"x"}', b"{"])
def test_a_structured_event_that_is_none_becomes_a_case(body: bytes) -> None:
    work = taken(body, content_type="application/cloudevents+json")
    assert work.failure is not None
    assert work.failure.word == "data_quality"


def test_a_sender_cannot_speak_for_another_source() -> None:
    work = taken(ORDER, content_type="application/json", headers={"ce-source": "erp"})
    assert work.entry.envelope.source == "plm"
