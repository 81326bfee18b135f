"""Which members of foreign JSON no type takes."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canonical.codec import decode_foreign
from canonical.errors import InvalidMessage
from canonical.members import MAX_NAMED, Foreign, looked_through, named
from tests.strategies import json_documents

T = TypeVar("T")


class Base(Foreign, frozen=True, rename="kebab"):
    left_out: ClassVar = frozenset({"id"})


class Unit(Base, frozen=True):
    code: str

    left_out: ClassVar = frozenset({"name"})


class Line(Base, frozen=True):
    line_number: int
    unit: Unit | None = None
    note: msgspec.Raw = msgspec.Raw(b"null")


class Page(msgspec.Struct, Generic[T], frozen=True):
    results: Annotated[tuple[T, ...], msgspec.Meta(max_length=100)]


class Order(Base, frozen=True):
    number: str
    lines: Page[Line] | None = None
    tags: dict[str, Unit] | None = None
    before: Order | None = None


class Either(msgspec.Struct, frozen=True):
    one: Page[Line] | tuple[Line, ...]


ORDER: dict[str, Any] = {
    "number": "1",
    "lines": {
        "results": [
            {"line-number": 1, "unit": {"code": "EA"}},
            {"line-number": 2, "unit": None},
            {"line-number": 3, "unit": {"code": "KG"}, "note": {"any": 1}},
        ]
    },
}


def ignored(content: object, kind: Any = Order) -> tuple[str, ...]:
    """What decoding it tells."""
    return decode_foreign(json.dumps(content).encode(), kind)[1]


def test_a_document_that_is_taken_whole_has_nothing_to_tell() -> None:
    assert ignored(ORDER) == ()


def test_members_are_told_by_their_path_without_places_and_each_once() -> None:
    first, second, third = ORDER["lines"]["results"]
    lines = [first | {"colour": 1}, second | {"colour": 2, "Unit": 3}, third]
    third["unit"] = {"code": "KG", "base": "G"}
    order = ORDER | {"lines": {"results": lines, "count": 3}, "state": {"colour": {"deep": 1}}}
    assert ignored(order) == (
        "state",
        "lines.count",
        "lines.results[].colour",
        "lines.results[].Unit",
        "lines.results[].unit.base",
    )
    del third["unit"]["base"]


def test_a_list_at_the_top_has_no_name() -> None:
    assert ignored([ORDER, ORDER | {"state": None}], tuple[Order, ...]) == ("[].state",)


def test_a_type_that_holds_itself_is_looked_into_at_every_depth() -> None:
    order = {"number": "2", "before": {"number": "1", "before": {"number": "0", "state": 1}}}
    assert ignored(order) == ("before.before.state",)


def test_members_that_are_left_out_on_purpose_are_not_told_where_that_is_said() -> None:
    line = {"line-number": 1, "id": 7, "name": "a", "unit": {"code": "EA", "id": 1, "name": "b"}}
    assert ignored({"number": "1", "lines": {"results": [line]}}) == ("lines.results[].name",)


def test_any_name_is_taken_where_names_are_free_and_nothing_is_told_of_raw_content() -> None:
    line = {"line-number": 1, "note": {"free": [{"more": 1}]}}
    order = {"number": "1", "tags": {"free": {"code": "EA"}}, "lines": {"results": [line]}}
    assert ignored(order) == ()


def test_a_member_is_told_whatever_it_says() -> None:
    assert ignored({"number": "1", "new": None, "news": []}) == ("new", "news")


def test_very_many_are_told_by_the_first_ones() -> None:
    order = {"number": "1"} | {f"n{n}": n for n in range(2000)}
    assert ignored(order) == tuple(f"n{n}" for n in range(MAX_NAMED))
    assert named(f"n{n}" for n in range(2000)) == tuple(f"n{n}" for n in range(MAX_NAMED))
    assert named(("a", "b", "a")) == ("a", "b")


def test_a_name_is_told_printable_and_short() -> None:
    assert ignored({"number": "1", "a\nb\u202e": 1, "c" * 5000: 2}) == ("a b ", "c" * 60)


def test_a_place_for_several_kinds_of_objects_is_refused_by_the_first_message() -> None:
    with pytest.raises(TypeError, match="several shapes"):
        looked_through({"one": []}, Either)


def test_a_key_that_stands_twice_is_refused_as_it_was() -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_foreign(b'{"number": "1", "state": 1, "state": 2}', Order)
    assert caught.value.code == "key-twice"


NAMES = st.sampled_from(("number", "lines", "results", "unit", "code", "id", "colour", "state"))
CONTENTS = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


REFUSALS = {"contract-violated", "undecodable", "key-twice", "body-empty"}


def outcome(body: bytes) -> str | tuple[str, ...]:
    """What is told of an order, or the code of its refusal; anything else that is raised passes."""
    try:
        return decode_foreign(body, Order)[1]
    except InvalidMessage as failure:
        return failure.code


@given(json_documents() | CONTENTS)
@example({"number": "1", "lines": {"results": [{"line-number": 1, "unit": {"code": ""}, "x": 1}]}})
def test_any_document_is_told_of_or_refused_in_our_words(content: object) -> None:
    found = outcome(json.dumps(content).encode())
    if isinstance(found, str):
        assert found in REFUSALS
    else:
        assert isinstance(content, dict)
        taken = {"number", "lines", "tags", "before", "id"}
        assert {path for path in found if "." not in path} == content.keys() - taken


@given(st.binary(max_size=60), st.integers(0, 150))
@example(b'"a":1,' * 3, 1)
@example(b'"a":1,', 1)
def test_damaged_bytes_are_told_of_or_refused_in_our_words(damage: bytes, at: int) -> None:
    body = json.dumps(ORDER).encode()
    found = outcome(body[:at] + damage + body[at:])
    assert found in REFUSALS or (isinstance(found, tuple) and len(found) <= MAX_NAMED)


ADDED = st.dictionaries(
    st.text("xyz", min_size=1, max_size=3), st.none() | json_documents(), max_size=4
)


@given(st.lists(st.tuples(ADDED, ADDED), max_size=5), ADDED)
def test_what_is_told_is_what_was_added_and_the_rest_is_read_as_before(
    added: list[tuple[dict[str, object], dict[str, object]]], to_all: dict[str, object]
) -> None:
    plain = [{"line-number": n, "unit": {"code": "EA"}} for n, _ in enumerate(added)]
    lines = [
        {**plain[n], **to_line, "unit": {"code": "EA", **to_unit}}
        for n, (to_line, to_unit) in enumerate(added)
    ]
    body = json.dumps({"number": "1", "lines": {"results": lines}, **to_all}).encode()
    order, told, _ = decode_foreign(body, Order)
    expected = set(to_all)
    for to_line, to_unit in added:
        expected |= {f"lines.results[].{name}" for name in to_line}
        expected |= {f"lines.results[].unit.{name}" for name in to_unit}
    assert set(told) == expected
    assert len(told) == len(expected)
    as_before = {"number": "1", "lines": {"results": plain}}
    assert order == decode_foreign(json.dumps(as_before).encode(), Order)[0]
