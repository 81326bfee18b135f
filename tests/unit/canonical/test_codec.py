"""Everything that is no sound JSON of its contract is the sender's, and is refused cheaply."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bounds import Instant, Int64
from canonical.codec import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    check_keys,
    check_nul,
    check_shape,
    decode_json,
    encode,
    read_event,
)
from canonical.errors import InvalidMessage
from canonical.events import SOURCE
from canonical.handler import Delivery
from canonical.item import Item
from canonical.quantity import Quantity
from canonical.revision import Revision


class Line(msgspec.Struct, frozen=True):
    """One that needs a field."""

    part: str


class Order(msgspec.Struct, frozen=True):
    """A contract with one field of each bounded kind."""

    number: str = ""
    pieces: Int64 = 0
    due: Instant | None = None
    lines: tuple[Line, ...] = ()


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(InvalidMessage) as caught:
        read()
    assert caught.value.remedy
    assert caught.value.what.isprintable()
    return caught.value.code


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("body", "code"),
    {
        "empty": (b"", "body-empty"),
        "blanks": (b" \r\n\t ", "body-empty"),
        "too large": (b'"' + b"x" * MAX_BODY_BYTES + b'"', "body-too-large"),
        "nested": (b'{"number":' + nested(MAX_DEPTH) + b"}", "body-too-deep"),
        "nested where nobody looks": (b'{"x":' + nested(100_000) + b"}", "body-too-deep"),
        "only opened": (b"[" * 100_000, "body-too-deep"),
        "many values": (b"[" + b"1," * MAX_VALUES + b"1]", "body-too-many-values"),
        "cut off": (b'{"number":"P', "undecodable"),
        "integer too long": (b'{"pieces":' + b"9" * 4_000 + b"}", "contract-violated"),
        "integer of 64 bits": (b'{"pieces":9223372036854775808}', "contract-violated"),
        "1e400": (b'{"pieces":1e400}', "contract-violated"),
        "NaN": (b'{"pieces":NaN}', "undecodable"),
        "NaN where nobody looks": (b'{"x":NaN}', "undecodable"),
        "text for integer": (b'{"pieces":"1"}', "contract-violated"),
        "bool for integer": (b'{"pieces":true}', "contract-violated"),
        "no UTF-8 where nobody looks": (b'{"x":"\xff"}', "undecodable"),
        "overlong UTF-8": (b'{"number":"\xc0\x80"}', "undecodable"),
        "lone surrogate": (b'{"number":"\\ud800"}', "undecodable"),
        "key twice": (b'{"pieces":1,"pieces":2}', "key-twice"),
        "key twice beside colons": (b'{"pieces":1,"a:b":"c:d","pieces":2}', "key-twice"),
        "key twice, escaped": (b'{"pieces":1,"piece\\u0073":2}', "key-twice"),
        "key twice where nobody looks": (b'{"x":[{"a":1,"a":1}]}', "key-twice"),
        "no offset": (b'{"due":"2024-01-01T00:00:00"}', "contract-violated"),
        "leap second": (b'{"due":"2016-12-31T23:59:60Z"}', "contract-violated"),
        "byte order mark": (b'\xef\xbb\xbf{"pieces":1}', "undecodable"),
        "UTF-16": ('{"pieces":1}'.encode("utf-16"), "undecodable"),
        "NUL at the end": (b'{"pieces":1}\0', "undecodable"),
        "rest at the end": (b'{"pieces":1} {}', "undecodable"),
        "comment": (b'{"pieces":1 /* one */}', "undecodable"),
    }.values(),
)
def test_what_is_no_sound_content_is_refused(body: bytes, code: str) -> None:
    assert refused(lambda: decode_json(body, Order, keys_once=True)) == code


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"pieces":"1"}', "order: pieces"),
        (b"[]", "order"),
        (b'{"lines":[{"part":"P-1"},{}]}', "order: lines[1].part"),
        (b'{"lines":[{"part":7}]}', "order: lines[0].part"),
    ],
)
def test_the_field_that_breaks_a_contract_is_named(body: bytes, where: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_json(body, Order, where="order")
    assert (caught.value.code, caught.value.where) == ("contract-violated", where)


@pytest.mark.parametrize("text", [b"\\u0000", b"a\\u0000b", b"\\\\\\u0000"])
def test_a_nul_in_any_text_is_refused(text: bytes) -> None:
    assert refused(lambda: check_nul(b'{"x":"' + text + b'"}')) == "character-forbidden"


def test_what_only_looks_like_it_is_taken() -> None:
    # A backslash and then "u0000", brackets and commas in a text, a repeated text.
    odd = {
        "number": "\\u0000" + "[" * 200_000 + "," * 200_000,
        "x": ["twice", "twice"],
        "pieces": 1,
    }
    assert decode_json(json.dumps(odd).encode(), Order, keys_once=True).pieces == 1
    check_nul(json.dumps(odd).encode())
    most = b'{"pieces":1,"x":' + nested(MAX_DEPTH - 1) + b"}"
    assert decode_json(most, Order).pieces == 1
    assert len(decode_json(b"[" + b"1," * (MAX_VALUES - 2) + b"1]", list[int])) == MAX_VALUES - 1


JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\[]{},\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"\\[{,'), inner),
    max_leaves=60,
)


def depth_of(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case _:
            return 0


@given(JSON, st.integers(0, MAX_DEPTH + 2))
def test_the_depth_is_told_without_parsing(value: Any, around: int) -> None:
    # Enough brackets beside it that the cheap count does not answer already.
    document: Any = [[], value, *([[]] * MAX_DEPTH)]
    for _ in range(around):
        document = {"a": document}
    body = json.dumps(document).encode()
    if depth_of(document) > MAX_DEPTH:
        assert refused(lambda: check_shape(body)) == "body-too-deep"
    else:
        check_shape(body)


def test_a_key_that_stands_twice_is_named() -> None:
    with pytest.raises(InvalidMessage, match="The key b stands twice"):
        check_keys(b'{"a":1,"x":[{"b":"a:b","c":2,"b":{}}]}', where="order")


def test_a_key_that_stands_twice_is_found_at_once_among_many() -> None:
    # Compared with each other they would take minutes.
    keys = b",".join(b'"%d":1' % n for n in range(60_000))
    assert refused(lambda: check_keys(b"{" + keys + b',"59999":2}')) == "key-twice"


@given(JSON)
def test_keys_that_stand_once_are_taken(value: Any) -> None:
    check_keys(json.dumps(value).encode())


def test_two_mebibytes_are_taken_and_not_a_byte_more() -> None:
    body = b'"' + b"x" * (2 * 1024 * 1024 - 2) + b'"'
    assert len(decode_json(body, str)) == 2_097_150
    assert refused(lambda: decode_json(body + b" ", str)) == "body-too-large"


# Decimals in events of ours


def weighing(amount: str) -> Delivery:
    """The event of an item that weighs so much, given as JSON; it has other texts beside it."""
    attributes = {"id": "1", "type": "com.layshaft.item.released.v1", "subject": "item/P1"}
    body = encode(BOLT).replace(b'"value":"1.5"', b'"value":' + amount.encode())
    return Delivery(SOURCE, "item.released", body, attributes=attributes)


BOLT = Item(
    number="P1",
    revision=Revision("letters", "B", 2),
    lifecycle="released",
    description="1_000 \u0661",
    kind="part",
    procurement="buy",
    base_unit="H87",
    weight=Quantity(Decimal("1.5"), "KGM"),
)


@pytest.mark.parametrize(
    "amount",
    [
        '"1_000"',
        '"\u0661\u0662"',
        r'"\u0661"',
        '"1E3"',
        '" 1"',
        r'"1\n"',
        "5",
        "5.25",
        "1e3",
    ],
)
def test_an_amount_that_is_no_text_of_plain_digits_is_refused(amount: str) -> None:
    assert refused(lambda: read_event(weighing(amount))) == "number-malformed"


@pytest.mark.parametrize(
    ("amount", "value"),
    [('"1.5"', "1.5"), ('"+1.50"', "1.5"), ('".5"', "0.5"), ('"-007."', "-7"), (r'"\u0031"', "1")],
)
def test_an_amount_of_plain_digits_is_taken(amount: str, value: str) -> None:
    message = read_event(weighing(amount))
    assert message.payload == msgspec.structs.replace(BOLT, weight=Quantity(Decimal(value), "KGM"))


def test_what_an_event_says_in_fields_nobody_knows_may_look_like_anything() -> None:
    body = weighing('"1.5"').body.replace(b'{"number"', b'{"later":{"value":"1_000"},"number"', 1)
    assert b"later" in body
    delivery = msgspec.structs.replace(weighing('"1.5"'), body=body)
    assert read_event(delivery).payload == BOLT
