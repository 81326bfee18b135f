"""Where two outputs differ, by the paths of their fields."""

from __future__ import annotations

from typing import Any

import pytest

from broker.differences import FIELDS, Field, absent, differing, fields, missing


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [Field("a", "1", "2")]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, [Field("a.b[1]", "2", "3")]),
        ({"a": 1}, {"b": 1}, [Field("a", "1", ""), Field("b", "", "1")]),
        ([1], [1, 2], [Field("[1]", "", "2")]),
        ({"a": None}, {"a": "x"}, [Field("a", "null", '"x"')]),
        ({"a": [1]}, {"a": {"b": 1}}, [Field("a", "[1]", '{"b":1}')]),
    ],
)
def test_differences_are_named_by_the_path_of_their_field(
    was: Any, now: Any, expected: list[Field]
) -> None:
    assert fields(was, now) == expected


def test_what_is_only_there_once_is_shown_as_a_whole() -> None:
    assert (absent("event", b'{"a": 1}').change, absent("event", b'{"a": 1}').now) == (
        "new",
        '{"a":1}',
    )
    assert (missing("event", b"[1]").change, missing("event", b"[1]").was) == ("gone", "[1]")


def test_more_fields_than_anybody_reads_are_cut() -> None:
    was, now = [list(range(n, n + 2 * FIELDS)) for n in (0, 1)]
    found = differing("plan", str(was).encode(), str(now).encode())
    assert len(found.fields) == FIELDS
