"""Hostile AMQP properties: one case each, healthy neighbours go through, no connection is lost."""

from __future__ import annotations

import base64

import pytest

from broker.amqp_properties import RAW_HEADERS_KEPT_BYTES
from tests.amqp_wire import HEADERS, MESSAGE_ID, TIMESTAMP, short_text, table
from tests.hostile.found import case
from tests.hostile.running import LONGEST_TURN_S, Running
from tests.hostile.sending import Sent, raw

NESTED = b""
for _ in range(3_000):
    NESTED = b"\x01kF" + table(NESTED)
TINY = b"".join(b"\x05%05dt\x01" % number for number in range(12_500))


async def refused_for_its_properties(service: Running, sent: Sent) -> str:
    """One case `amqp-property`, nothing else; its header table as it was kept."""
    (found,) = await service.take(sent)
    assert found.cases == case(found, "amqp-property", "AMQP properties")
    assert found.outcome == "invalid"
    assert found.kept == sent.body
    assert service.longest_turn_s() < LONGEST_TURN_S
    (line,) = found.lines
    assert line["reason"].startswith("amqp-property: ")
    return found.attributes.get("undecoded-headers", "")


async def test_h01_a_message_id_of_invalid_utf8_is_one_case(service: Running) -> None:
    sent = raw(MESSAGE_ID, short_text(b"a\xff\xfe"))
    assert await refused_for_its_properties(service, sent) == ""


async def test_h02_a_time_of_2_to_the_64_is_one_case(service: Running) -> None:
    assert await refused_for_its_properties(service, raw(TIMESTAMP, b"\xff" * 8)) == ""


@pytest.mark.parametrize(
    "entries",
    [b"\x02\xff\xfet\x01", NESTED, TINY],
    ids=["h03 name of invalid UTF-8", "h04 nested 3,000 deep", "h05 12,500 entries"],
)
async def test_h03_h04_h05_a_header_table_nobody_should_send_is_one_case_and_is_kept(
    service: Running, entries: bytes
) -> None:
    kept = await refused_for_its_properties(service, raw(HEADERS, table(entries)))
    assert base64.b64decode(kept) == entries[:RAW_HEADERS_KEPT_BYTES]
