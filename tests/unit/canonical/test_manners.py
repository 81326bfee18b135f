"""Texts that are written otherwise than they should be are told with their place, and taken."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from canonical.codec import decode_foreign
from canonical.envelope import MAX_DEVIATIONS, Deviation, first_ones
from canonical.manners import of_id, of_time, unit_of
from canonical.members import EVERY_OTHER, Foreign
from canonical.units import unit

T = TypeVar("T")


class Base(Foreign, frozen=True, rename="kebab"):
    manners: ClassVar = {"at": of_time, "number": of_id}


class Code(Base, frozen=True):
    code: str


class Line(Base, frozen=True):
    manners: ClassVar = {"unit.code": unit_of("sap-iso")}

    number: str | int
    unit: Code | None = None
    currency: Code | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    results: Annotated[tuple[T, ...], msgspec.Meta(max_length=1000)]


class Order(Base, frozen=True):
    number: str
    at: str = ""
    title: str = ""
    lines: Page[Line] = Page(())
    groups: tuple[tuple[Line, ...], ...] = ()


class Row(Base, frozen=True):
    manners: ClassVar = {EVERY_OTHER: of_id, "note": lambda text: ""}

    number: str
    note: str = ""
    other: str | None = None
    line: Line | None = None


def deviations(content: object, kind: Any = Order) -> tuple[Deviation, ...]:
    return decode_foreign(json.dumps(content).encode(), kind)[2]


@pytest.mark.parametrize(
    ("text", "is_odd"),
    [
        ("2026-03-02T08:00:00+0100", True),
        ("2026-03-02T08:00:00.123456-0800", True),
        (" 2026-03-02T08:00:00+0100 ", True),
        ("2026-03-02T08:00:00+01:00", False),
        ("2026-03-02T08:00:00Z", False),
        ("2026-03-02", False),
        ("T+0100", False),
        ("", False),
    ],
)
def test_an_offset_without_its_colon_is_odd(text: str, is_odd: bool) -> None:
    assert bool(of_time(text)) is is_odd


@pytest.mark.parametrize(
    ("text", "is_odd"),
    [(" A", True), ("A\t", True), ("A\u00a0", True), ("A B", False), ("", False), ("  ", False)],
)
def test_blanks_around_an_id_are_odd(text: str, is_odd: bool) -> None:
    assert bool(of_id(text)) is is_odd


def test_a_of_unit_code_is_odd_and_what_is_no_unit_is_another_ones_to_refuse() -> None:
    judge = unit_of("sap-iso")
    assert unit("HAR").is_deprecated
    assert judge("HAR") == "The unit HAR (hectare) is deprecated in Recommendation 20"
    assert judge(" KGM") == "There are blanks around it: left out"
    assert [judge(text) for text in ("KGM", "EA", "", "KA", "nonsense")] == [""] * 5


def test_each_is_told_by_its_place_in_the_lists_above_it() -> None:
    order = {
        "number": " 1",
        "title": " as it is ",
        "at": "2026-03-02T08:00:00+0100",
        "lines": {
            "results": [
                {"number": 1, "unit": {"code": "KGM"}},
                {"number": "2 ", "unit": {"code": "HAR"}, "currency": {"code": "HAR"}},
            ]
        },
        "groups": [[], [{"number": "3"}, {"number": " 4"}]],
    }
    assert [one.where for one in deviations(order)] == [
        "number",
        "at",
        "lines.results[1].number",
        "lines.results[1].unit.code",
        "groups[1][1].number",
    ]


def test_a_manner_of_every_other_member_is_of_texts_that_have_none_of_their_own() -> None:
    row = {"number": " 1", "note": " 2", "other": " 3", "line": {"number": "4"}}
    assert [one.where for one in deviations(row, Row)] == ["number", "other"]
    assert [one.where for one in deviations([row, row], tuple[Row, ...])][2:] == [
        "[1].number",
        "[1].other",
    ]


def test_very_many_are_told_by_the_first_ones() -> None:
    lines = [{"number": f" {number}"} for number in range(300)]
    found = deviations({"number": "1", "lines": {"results": lines}})
    assert [one.where for one in found] == [
        f"lines.results[{number}].number" for number in range(MAX_DEVIATIONS)
    ]
    assert first_ones(iter([*found, *found])) == found
