"""What is published carries the headers that the AsyncAPI document says, and no others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection
from jsonschema import Draft7Validator

from broker.emission import emission
from broker.store import outbox as outbox_rows
from broker.topology import ATTRIBUTE_PREFIX
from canonical.codec import encode
from canonical.events import EVENTS
from canonical.package import MAX_INLINE_BYTES
from ops.contracts.files import ASYNCAPI, ROOT
from tests.integration.relaying import Process, broker_at, messages, process_on
from tests.integration.toy import supplier

EVENT = EVENTS["supplier.changed"]
DOCUMENT = json.loads((ROOT / ASYNCAPI).read_text())
HEADERS = DOCUMENT["components"]["schemas"]["Headers"]
OF_THE_BROKER = {"x-delivery-count"}
LARGE = b'{"name": "' + MAX_INLINE_BYTES * b"x" + b'"}'


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection of the tests' own, the topology declared and its queues empty."""
    async with broker_at(amqp_url) as connection:
        yield connection


@pytest.fixture
async def process(database_url: str, amqp_url: str) -> AsyncIterator[Process]:
    """A process that publishes what is emitted in it."""
    async with process_on(database_url, amqp_url) as made:
        yield made


@pytest.mark.parametrize(
    ("body", "causation_id", "more"),
    [
        (encode(supplier("A")), "m-1", {"causationid"}),
        # Nothing came before it.
        (encode(supplier("A")), "", set[str]()),
        (LARGE, "m-1", {"causationid", "dataref", "databytes"}),
    ],
)
async def test_the_headers_are_those_of_the_document(
    process: Process, broker: AbstractConnection, body: bytes, causation_id: str, more: set[str]
) -> None:
    said = emission(
        EVENT.name,
        "supplier/A",
        body,
        lane=None,
        correlation_id="story",
        causation_id=causation_id,
    )
    async with process.database.transaction() as tx:
        await outbox_rows.emit(tx, [said])
    (message,) = await messages(broker, 1)
    assert message.content_type == DOCUMENT["components"]["messages"][EVENT.name]["contentType"]
    headers = {k: said for k, said in message.headers.items() if k not in OF_THE_BROKER}
    Draft7Validator(HEADERS).validate(headers)
    always = {name.removeprefix(ATTRIBUTE_PREFIX) for name in HEADERS["required"]}
    assert {name.removeprefix(ATTRIBUTE_PREFIX) for name in headers} == (
        always | {"logposition", "publishtime"} | more
    )
    assert headers.keys() <= HEADERS["properties"].keys()
    assert headers["ce-type"] == EVENT.type
    assert DOCUMENT["components"]["messages"][EVENT.name]["title"] == EVENT.type
