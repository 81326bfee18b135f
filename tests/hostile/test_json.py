"""Hostile JSON: one case each with the field it is about, and the event loop keeps turning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from canonical.codec import MAX_BODY_BYTES, encode
from tests.amqp_wire import Refused, properties
from tests.fixtures.gearbox import item
from tests.hostile.found import Case, case
from tests.hostile.running import LONGEST_TURN_S, Running
from tests.hostile.sending import Sent, arena, contracts, coupa, own, statement, unique

CHANGE = "change statement"


Judged = tuple[Sent, str, str]
"""A message, the code of its case, and where it says the fault is."""


async def refused(service: Running, *judged: Judged) -> list[str]:
    """One case each of messages that were not read, and their bytes as they came; reasons."""
    found = await service.take(*(sent for sent, _, _ in judged))
    expected = [(code, where) for _, code, where in judged]
    assert [one.cases for one in found] == [
        case(one, *stated) for one, stated in zip(found, expected, strict=True)
    ]
    assert {one.outcome for one in found} == {"invalid"}
    assert [one.kept for one in found] == [sent.body for sent, _, _ in judged]
    assert service.longest_turn_s() < LONGEST_TURN_S
    return [str(line["reason"]) for one in found for line in one.lines]


async def held(service: Running, *judged: Judged) -> None:
    """One case each of messages whose key is known; later messages of the key wait."""
    found = await service.take(*(sent for sent, _, _ in judged))
    assert [one.cases for one in found] == [
        (Case(code, "data_quality", "sender (plm)", place),) for _, code, place in judged
    ]
    assert {one.outcome for one in found} == {"invalid"}
    assert [one.kept for one in found] == [sent.body for sent, _, _ in judged]


def changed(content: dict[str, Any], old: bytes, new: bytes) -> bytes:
    """The content as JSON with bytes no encoder would write."""
    body = json.dumps(content).encode()
    assert old in body
    return body.replace(old, new, 1)


def released(**fields: Any) -> Sent:
    """An item of ours in JSON as we write it, with fields replaced by JSON of the caller's."""
    number = unique("PIN")
    content = json.loads(encode(item(number))) | fields
    return own("item.released", f"item/{number}", json.dumps(content).encode())


# H15: nesting


async def test_h15_100_000_nested_arrays_are_one_case_each(service: Running) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    known = changed(statement(title="@@"), b'"@@"', deep)
    unknown = changed(statement(unknownField="@@"), b'"@@"', deep)
    answer = coupa("coupa.contracts", f"coverage/{unique('BOLT')}", deep)
    await refused(
        service,
        (arena(known), "body-too-deep", CHANGE),
        (arena(unknown), "body-too-deep", CHANGE),
        (answer, "body-too-deep", "coupa.contracts"),
    )


# H16, H17, H23: integers

NO_INTEGERS = {
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
}
MARK = b"987654"


def with_number(contract: str, number: bytes) -> Sent:
    """A message of that contract with these bytes where an integer belongs."""
    mark = int(MARK)
    match contract:
        case "arena.change":
            content = statement()
            content["changeItems"]["count"] = mark
            return arena(changed(content, MARK, number))
        case "coupa.contracts":
            sent, key = contracts(**{"lead-time": mark})
            return coupa(contract, key, sent.body.replace(MARK, number))
        case _:
            sent = released(revision={"scheme": "letters", "label": "B", "ordinal": mark})
            key = f"item/{json.loads(sent.body)['number']}"
            return own("item.released", key, sent.body.replace(MARK, number))


@pytest.mark.parametrize(
    ("contract", "where", "field"),
    [
        ("arena.change", CHANGE, f"{CHANGE}: changeItems.count"),
        ("coupa.contracts", "coupa.contracts", "coupa.contracts[0].lines[0].lead-time"),
        ("item.released", "item.released", "item.released: revision.ordinal"),
    ],
)
async def test_h16_h17_h23_where_an_integer_belongs_anything_else_is_one_case_each(
    service: Running, contract: str, where: str, field: str
) -> None:
    await refused(
        service,
        *(
            (with_number(contract, number), code, where if code == "undecodable" else field)
            for number, code in NO_INTEGERS.values()
        ),
    )


async def test_h17_a_literal_that_is_no_json_is_one_case_where_nobody_looks_too(
    service: Running,
) -> None:
    literals = (b"NaN", b"Infinity", b"-Infinity")
    bodies = [changed(statement(unknownField=987654), MARK, literal) for literal in literals]
    await refused(service, *((arena(body), "undecodable", CHANGE) for body in bodies))


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


async def test_h18_prices_that_are_no_plain_decimal_are_one_case_each(service: Running) -> None:
    judged: list[Judged] = []
    for text, code in DECIMALS.items():
        sent, key = contracts(price=text)
        judged.append((sent, code, f"{key}: [0].lines[0].price"))
    await held(service, *judged)


async def test_h18_amounts_that_are_no_plain_decimal_in_events_of_ours_are_one_case_each(
    service: Running,
) -> None:
    amounts: list[str | float] = ["1_000", "\u0661\u0662", "1E3", " 1", "1\n", 5, 1e3]
    sent = [released(weight={"value": amount, "unit": "KGM"}) for amount in amounts]
    await refused(service, *((each, "number-malformed", "item.released") for each in sent))


async def test_h18_amounts_beyond_their_bounds_in_events_of_ours_are_one_case_each(
    service: Running,
) -> None:
    amounts = {
        "NaN": "number-not-finite",
        "sNaN": "number-not-finite",
        "Infinity": "number-not-finite",
        "1E+999999999": "number-out-of-bounds",
        "1E-999999999": "number-out-of-bounds",
        "1234567890123456789": "number-out-of-bounds",
    }
    await refused(
        service,
        *(
            (released(weight={"value": text, "unit": "KGM"}), code, "quantity.value")
            for text, code in amounts.items()
        ),
    )


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
    await refused(service, (sent, "character-forbidden", "item.released"))


NO_UTF8 = {
    "lone surrogate": b"\\ud800",
    "no UTF-8": b"\xff",
    "overlong": b"\xc0\x80",
    "encoded surrogate": b"\xed\xa0\x80",
    "Latin-1": b"caf\xe9",
}


@pytest.mark.parametrize("field", ["title", "unknownField"])
async def test_h20_texts_that_are_no_utf8_are_one_case_each(service: Running, field: str) -> None:
    bodies = [changed(statement(**{field: "@@"}), b"@@", bad) for bad in NO_UTF8.values()]
    await refused(service, *((arena(body), "undecodable", CHANGE) for body in bodies))


# H21, H22: not one JSON document


async def test_h21_a_key_that_stands_twice_is_one_case(service: Running) -> None:
    body = changed(statement(), b'"count": 0', b'"count": 0, "count": 0')
    sent, key = contracts()
    twice = sent.body.replace(b'"price": "25.00"', b'"price": "25.00", "price": "2.50"')
    reasons = await refused(
        service,
        (arena(body), "key-twice", CHANGE),
        (coupa("coupa.contracts", key, twice), "key-twice", "coupa.contracts"),
    )
    assert "The key count stands twice" in reasons[0]
    sent = released()
    key = f"item/{json.loads(sent.body)['number']}"
    event = own("item.released", key, sent.body.replace(b"{", b'{"number": "OTHER", ', 1))
    await refused(service, (event, "key-twice", "item.released"))


async def test_h21_a_key_that_stands_twice_in_a_cloudevent_is_one_case(service: Running) -> None:
    event = b'{"specversion": "1.0", "id": "a", "id": "b", "type": "arena.change", "data": {}}'
    sent = Sent(event, *properties(content_type="application/cloudevents+json"))
    await refused(service, (sent, "key-twice", "CloudEvent"))


def _sound() -> bytes:
    return json.dumps(statement()).encode()


async def test_h22_what_is_not_one_json_document_is_one_case_each(service: Running) -> None:
    bodies = {
        "byte order mark": (b"\xef\xbb\xbf" + _sound(), "undecodable"),
        "UTF-16": (_sound().decode().encode("utf-16"), "undecodable"),
        "UTF-16 without mark": (_sound().decode().encode("utf-16-le"), "undecodable"),
        "NUL at the end": (_sound() + b"\0", "undecodable"),
        "rest at the end": (_sound() + b"{}", "undecodable"),
        "comment": (b"/* once */" + _sound(), "undecodable"),
        "cut off": (_sound()[:-1], "undecodable"),
        "no object": (b'"change"', "contract-violated"),
    }
    await refused(service, *((arena(body), code, CHANGE) for body, code in bodies.values()))


# H24: times


async def test_h24_times_that_are_none_are_one_case_each(service: Running) -> None:
    field = "change.lifecycleDateTime"
    stated = f"{CHANGE}: {field}"
    times: dict[str, tuple[Any, str, str]] = {
        "no zone": ("2024-01-01T00:00:00", "contract-violated", stated),
        "beyond the calendar": ("9999-12-31T23:59:59-14:00", "time-out-of-bounds", field),
        "before the calendar": ("0001-01-01T00:00:00+14:00", "time-out-of-bounds", field),
        "leap second": ("2016-12-31T23:59:60Z", "contract-violated", stated),
        "number": (1704067200, "contract-violated", stated),
    }
    await refused(
        service,
        *(
            (arena(statement(lifecycleDateTime=time)), code, where)
            for time, code, where in times.values()
        ),
    )


async def test_h24_cloudevents_times_that_are_none_are_one_case_each(service: Running) -> None:
    times = {
        "no zone": ("2024-01-01T00:00:00", "time-malformed"),
        "beyond the calendar": ("9999-12-31T23:59:59-14:00", "time-out-of-bounds"),
        "leap second": ("2016-12-31T23:59:60Z", "time-malformed"),
        "Arabic digits": ("\u0662024-01-01T00:00:00Z", "time-malformed"),
    }
    judged: list[Judged] = []
    for time, code in times.values():
        number = unique("S")
        content = [{"id": 7, "number": number, "status": "active"}]
        sent = coupa("coupa.supplier", f"supplier/{number}", content, time=time)
        judged.append((sent, code, "ce-time"))
    await refused(service, *judged)


async def test_h24_times_that_are_none_in_events_of_ours_are_one_case_each(
    service: Running,
) -> None:
    times = ("2024-01-01T00:00:00", "2016-12-31T23:59:60Z")
    await refused(
        service,
        *(
            (released(stated_at=time), "contract-violated", "item.released: stated_at")
            for time in times
        ),
    )


# H25: many


async def test_h25_an_array_of_2_000_000_elements_is_refused_by_the_broker(
    service: Running,
) -> None:
    body = changed(statement(unknownField="@@"), b'"@@"', b"[" + b"1," * 1_999_999 + b"1]")
    with pytest.raises(Refused, match="406 PRECONDITION_FAILED - message size"):
        await service.publish(arena(body))


MANY = {
    "1,000,000 elements": b"[" + b"1," * 999_999 + b"1]",
    "200,000 keys": b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}",
    "650,000 objects": b"[" + b"{}," * 650_000 + b"{}]",
    "400,000 texts": b"[" + b'"[",' * 400_000 + b'""]',
}


@pytest.mark.parametrize("field", ["title", "unknownField"])
async def test_h25_more_values_than_a_message_may_have_are_one_case_each(
    service: Running, field: str
) -> None:
    bodies = [changed(statement(**{field: "@@"}), b'"@@"', many) for many in MANY.values()]
    assert all(len(body) <= MAX_BODY_BYTES for body in bodies)
    await refused(service, *((arena(body), "body-too-many-values", CHANGE) for body in bodies))


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
    answer = [{"id": 7, "number": "S", "status": "x"}] * 10_001
    reasons = await refused(
        service,
        (
            arena(statement(*[row] * 10_001)),
            "contract-violated",
            f"{CHANGE}: changeItems.results",
        ),
        (coupa("coupa.supplier", "supplier/S", answer), "contract-violated", "coupa.supplier"),
    )
    assert ["length <= 10000" in reason for reason in reasons] == [True, True]
