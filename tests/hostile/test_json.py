"""Hostile JSON: one case each with the field it is about, and the event loop keeps turning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from canonical.codec import MAX_BODY_BYTES, encode
from tests.amqp_wire import Refused, properties
from tests.fixtures.gearbox import item
from tests.hostile.running import LONGEST_TURN_S, Case, Running, case
from tests.hostile.sending import Sent, arena, contracts, coupa, own, statement, unique

CHANGE = "change statement"
SURROGATE = b"\\ud800"


async def refused(service: Running, sent: Sent, code: str, where: str) -> str:
    """One case of a message that was not read, and its bytes as they came; what the log says."""
    (found,) = await service.take(sent)
    assert found.cases == case(found, code, where)
    assert (found.outcome, found.kept) == ("invalid", sent.body)
    assert service.longest_turn_s() < LONGEST_TURN_S
    return str(found.lines[0]["reason"])


async def judged(service: Running, sent: Sent, code: str, place: str) -> None:
    """One case of a message whose key is known; later messages of the key wait."""
    (found,) = await service.take(sent)
    assert found.cases == (Case(code, "data_quality", "sender (plm)", place),)
    assert (found.outcome, found.kept) == ("invalid", sent.body)


def changed(content: dict[str, Any], old: bytes, new: bytes) -> bytes:
    """The content as JSON with bytes no encoder would write."""
    body = json.dumps(content).encode()
    assert old in body
    return body.replace(old, new, 1)


def released(change: bytes = b"", **fields: Any) -> Sent:
    """An item of ours in JSON as we write it, with fields replaced by JSON of the caller's."""
    number = unique("PIN")
    content = json.loads(encode(item(number))) | fields
    return own("item.released", f"item/{number}", json.dumps(content).encode())


# H15: nesting


@pytest.mark.parametrize("field", ["title", "unknownField"])
async def test_h15_100_000_nested_arrays_are_one_case(service: Running, field: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = changed(statement(**{field: "deep"}), b'"deep"', deep)
    await refused(service, arena(body), "body-too-deep", CHANGE)


async def test_h15_100_000_nested_arrays_in_procurements_answer_are_one_case(
    service: Running,
) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    sent = coupa("coupa.contracts", f"coverage/{unique('BOLT')}", body)
    await refused(service, sent, "body-too-deep", "coupa.contracts")


# H16, H17, H23: integers


@pytest.mark.parametrize(
    ("number", "code"),
    {
        "h16 4,000 digits": (b"9" * 4_000, "contract-violated"),
        "h16 5,000 digits": (b"9" * 5_000, "contract-violated"),
        "h16 one beyond 64 bits": (b"9223372036854775808", "contract-violated"),
        "h17 1e400": (b"1e400", "contract-violated"),
        "h17 NaN": (b"NaN", "undecodable"),
        "h17 Infinity": (b"Infinity", "undecodable"),
        "h17 -Infinity": (b"-Infinity", "undecodable"),
        "h23 bool": (b"true", "contract-violated"),
        "h23 float": (b"1.0", "contract-violated"),
        "h23 text": (b'"1"', "contract-violated"),
    }.values(),
)
@pytest.mark.parametrize("contract", ["arena.change", "coupa.contracts", "item.released"])
async def test_h16_h17_h23_where_an_integer_belongs_anything_else_is_one_case(
    service: Running, contract: str, number: bytes, code: str
) -> None:
    if contract == "arena.change":
        content = statement()
        content["changeItems"]["count"] = 77
        await refused(service, arena(changed(content, b"77", number)), code, CHANGE)
    elif contract == "coupa.contracts":
        sent, key = contracts(**{"lead-time": 77})
        body = sent.body.replace(b"77", number, 1)
        await refused(service, coupa(contract, key, body), code, contract)
    else:
        sent = released(revision={"scheme": "letters", "label": "B", "ordinal": 77})
        key = f"item/{json.loads(sent.body)['number']}"
        sent = own("item.released", key, sent.body.replace(b"77", number, 1))
        await refused(service, sent, code, contract)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
async def test_h17_a_literal_that_is_no_json_is_one_case_where_nobody_looks_too(
    service: Running, literal: bytes
) -> None:
    body = changed(statement(unknownField=77), b"77", literal)
    await refused(service, arena(body), "undecodable", CHANGE)


# H18: decimals

DECIMALS = {
    "NaN": "number-malformed",
    "sNaN": "number-malformed",
    "Infinity": "number-malformed",
    "1E+999999999": "number-malformed",
    "1_000": "number-malformed",
    "\u0661\u0662": "number-malformed",
    "1,5": "number-malformed",
    "0x10": "number-malformed",
    " 1": "number-malformed",
    "1234567890123456789": "number-out-of-bounds",
    "0.0000001": "number-out-of-bounds",
}


@pytest.mark.parametrize(("text", "code"), DECIMALS.items())
async def test_h18_a_price_that_is_no_plain_decimal_is_one_case(
    service: Running, text: str, code: str
) -> None:
    sent, key = contracts(price=text)
    await judged(service, sent, code, f"{key}: [0].lines[0].price")


# H19, H20: text


async def test_h19_a_nul_in_a_text_is_one_case_and_99_others_are_stored(service: Running) -> None:
    content = [{"id": 7, "number": unique("S"), "name": "Bolt\0Co", "status": "active"}]
    key = f"supplier/{content[0]['number']}"
    (found,) = await service.take(coupa("coupa.supplier", key, content), neighbours=50)
    assert found.cases == (
        Case("character-forbidden", "data_quality", "sender (plm)", f"{key}: name"),
    )


async def test_h19_a_nul_in_an_event_of_ours_is_one_case(service: Running) -> None:
    sent = released(description="a\0b")
    await refused(service, sent, "character-forbidden", "item.released")


@pytest.mark.parametrize(
    "bad",
    [SURROGATE, b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"caf\xe9"],
    ids=["lone surrogate", "no UTF-8", "overlong", "encoded surrogate", "Latin-1"],
)
@pytest.mark.parametrize("field", ["title", "unknownField"])
async def test_h20_text_that_is_no_utf8_is_one_case(
    service: Running, field: str, bad: bytes
) -> None:
    body = changed(statement(**{field: "@@"}), b"@@", bad)
    await refused(service, arena(body), "undecodable", CHANGE)


# H21, H22: not one JSON document


async def test_h21_a_key_that_stands_twice_is_one_case(service: Running) -> None:
    body = changed(statement(), b'"count": 0', b'"count": 0, "count": 0')
    await refused(service, arena(body), "key-twice", CHANGE)
    sent, key = contracts()
    body = sent.body.replace(b'"price": "25.00"', b'"price": "25.00", "price": "2.50"')
    await refused(service, coupa("coupa.contracts", key, body), "key-twice", "coupa.contracts")
    sent = released()
    key = f"item/{json.loads(sent.body)['number']}"
    twice = own("item.released", key, sent.body.replace(b"{", b'{"number": "OTHER", ', 1))
    await refused(service, twice, "key-twice", "item.released")


async def test_h21_a_key_that_stands_twice_in_a_cloudevent_is_one_case(service: Running) -> None:
    event = b'{"specversion": "1.0", "id": "a", "id": "b", "type": "arena.change", "data": {}}'
    sent = Sent(event, *properties(content_type="application/cloudevents+json"))
    await refused(service, sent, "key-twice", "CloudEvent")


def _sound() -> bytes:
    return json.dumps(statement()).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    {
        "byte order mark": (b"\xef\xbb\xbf" + _sound(), "undecodable"),
        "UTF-16": (_sound().decode().encode("utf-16"), "undecodable"),
        "UTF-16 without mark": (_sound().decode().encode("utf-16-le"), "undecodable"),
        "NUL at the end": (_sound() + b"\0", "undecodable"),
        "rest at the end": (_sound() + b"{}", "undecodable"),
        "comment": (b"/* once */" + _sound(), "undecodable"),
        "cut off": (_sound()[:-1], "undecodable"),
        "no object": (b'"change"', "contract-violated"),
    }.values(),
)
async def test_h22_what_is_not_one_json_document_is_one_case(
    service: Running, body: bytes, code: str
) -> None:
    await refused(service, arena(body), code, CHANGE)


# H24: times


@pytest.mark.parametrize(
    ("time", "code", "where"),
    {
        "no zone": ("2024-01-01T00:00:00", "contract-violated", CHANGE),
        "beyond the calendar": (
            "9999-12-31T23:59:59-14:00",
            "time-out-of-bounds",
            "change.lifecycleDateTime",
        ),
        "before the calendar": (
            "0001-01-01T00:00:00+14:00",
            "time-out-of-bounds",
            "change.lifecycleDateTime",
        ),
        "leap second": ("2016-12-31T23:59:60Z", "contract-violated", CHANGE),
        "number": (1704067200, "contract-violated", CHANGE),
    }.values(),
)
async def test_h24_a_time_that_is_none_is_one_case(
    service: Running, time: Any, code: str, where: str
) -> None:
    await refused(service, arena(statement(lifecycleDateTime=time)), code, where)


@pytest.mark.parametrize(
    ("time", "code"),
    {
        "no zone": ("2024-01-01T00:00:00", "time-malformed"),
        "beyond the calendar": ("9999-12-31T23:59:59-14:00", "time-out-of-bounds"),
        "leap second": ("2016-12-31T23:59:60Z", "time-malformed"),
        "Arabic digits": ("\u0662024-01-01T00:00:00Z", "time-malformed"),
    }.values(),
)
async def test_h24_a_cloudevents_time_that_is_none_is_one_case(
    service: Running, time: str, code: str
) -> None:
    content = [{"id": 7, "number": unique("S"), "status": "active"}]
    sent = coupa("coupa.supplier", f"supplier/{content[0]['number']}", content, time=time)
    await refused(service, sent, code, "ce-time")


@pytest.mark.parametrize("time", ["2024-01-01T00:00:00", "2016-12-31T23:59:60Z"])
async def test_h24_a_time_that_is_none_in_an_event_of_ours_is_one_case(
    service: Running, time: str
) -> None:
    await refused(service, released(stated_at=time), "contract-violated", "item.released")


# H25: many


async def test_h25_an_array_of_2_000_000_elements_is_refused_by_the_broker(
    service: Running,
) -> None:
    body = changed(statement(unknownField="@@"), b'"@@"', b"[" + b"1," * 1_999_999 + b"1]")
    with pytest.raises(Refused, match="406 PRECONDITION_FAILED - message size"):
        await service.publish(arena(body))


@pytest.mark.parametrize(
    "many",
    [
        b"[" + b"1," * 999_999 + b"1]",
        b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}",
        b"[" + b"{}," * 650_000 + b"{}]",
        b"[" + b'"[",' * 400_000 + b'""]',
    ],
    ids=["1,000,000 elements", "200,000 keys", "650,000 objects", "400,000 texts"],
)
@pytest.mark.parametrize("field", ["title", "unknownField"])
async def test_h25_more_values_than_a_message_may_have_are_one_case(
    service: Running, field: str, many: bytes
) -> None:
    body = changed(statement(**{field: "@@"}), b'"@@"', many)
    assert len(body) <= MAX_BODY_BYTES
    await refused(service, arena(body), "body-too-many-values", CHANGE)


async def test_h25_as_many_values_as_a_message_may_have_do_not_stop_the_loop(
    service: Running,
) -> None:
    keys = b",".join(b'"%d":1' % n for n in range(99_900))
    body = changed(statement(unknownField="@@"), b'"@@"', b"{" + keys + b"}")
    (found,) = await service.take(arena(body))
    assert (found.outcome, found.cases) == ("applied", ())
    assert service.longest_turn_s() < LONGEST_TURN_S


async def test_h25_more_rows_than_a_contract_declares_are_one_case(service: Running) -> None:
    row = {"guid": "R", "newItemRevision": {"guid": "I", "number": "A-1"}}
    sent = arena(statement(*[row] * 10_001))
    assert "length <= 10000" in await refused(service, sent, "contract-violated", CHANGE)
    sent = coupa("coupa.supplier", "supplier/S", [{"id": 7, "number": "S", "status": "x"}] * 10_001)
    reason = await refused(service, sent, "contract-violated", "coupa.supplier")
    assert "length <= 10000" in reason
