"""Which changes of a contract break whom."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from canonical.compatibility import Break, breaks
from canonical.events import EVENTS


class Line(msgspec.Struct):
    position: str
    amount: Decimal


class ByDate(msgspec.Struct, tag_field="kind", tag="date"):
    start: str


class BySerial(msgspec.Struct, tag_field="kind", tag="serial"):
    start: str


class Base(msgspec.Struct):
    number: str
    lines: tuple[Line, ...]
    status: Literal["open", "released"] = "open"
    effectivity: ByDate | None = None
    rank: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    part: Base | None = None


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    (root,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    return {**root, "$defs": components}


_NOTHING = object()


def changed(name: str, annotation: Any, *, default: object = _NOTHING) -> dict[str, Any]:
    """The base with one field added, or of another type."""
    field = (name, annotation) if default is _NOTHING else (name, annotation, default)
    alone = schema(msgspec.defstruct("Alone", [field]))
    it = alone["$defs"]["Alone"]
    new = copy.deepcopy(OLD)
    base = new["$defs"]["Base"]
    base["properties"] |= it["properties"]
    base["required"] = [n for n in base["required"] if n != name] + it["required"]
    for kind, known in alone["$defs"].items():
        if kind not in ("Alone", "Base"):
            new["$defs"][kind] = known
    return new


OLD = schema(Base)


@pytest.mark.parametrize("event", EVENTS)
def test_a_contract_may_follow_itself(event: str) -> None:
    whole = schema(EVENTS[event].data)
    assert breaks(whole, whole) == ()


class LineWithNote(msgspec.Struct):
    position: str
    amount: Decimal
    note: str = ""


class LineWithUnit(msgspec.Struct):
    position: str
    amount: Decimal
    unit: str


class LineWithoutAmount(msgspec.Struct):
    position: str


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (changed("note", str, default=""), []),
        (changed("note", str | None, default=None), []),
        (changed("lines", tuple[LineWithNote, ...]), []),
        (changed("note", str), [("readers", "note")]),
        (changed("lines", tuple[LineWithUnit, ...]), [("readers", "lines[].unit")]),
        (changed("lines", tuple[LineWithoutAmount, ...]), [("writers", "lines[].amount")]),
        (changed("number", int), [("readers", "number"), ("writers", "number")]),
        (changed("number", str, default=""), [("writers", "number")]),
        (changed("number", str | None), [("writers", "number")]),
        (changed("status", Literal["open", "released", "held"], default="open"),
         [("writers", "status")]),
        (changed("status", Literal["open"], default="open"), [("readers", "status")]),
        (changed("status", str, default="open"), [("writers", "status")]),
        (changed("status", Literal["open", "released"], default="released"),
         [("readers", "status"), ("writers", "status")]),
        (changed("effectivity", ByDate | BySerial | None, default=None),
         [("writers", "effectivity")]),
        (changed("effectivity", None, default=None), [("readers", "effectivity")]),
        (changed("rank", Annotated[int, msgspec.Meta(ge=0, le=99)], default=0),
         [("writers", "rank")]),
        (changed("rank", Annotated[int, msgspec.Meta(ge=1, le=9)], default=0),
         [("readers", "rank")]),
        (changed("rank", int, default=0), [("writers", "rank")]),
        (changed("rank", float, default=0), [("writers", "rank")]),
    ],
)  # fmt: skip
def test_who_stumbles_over_a_change(new: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = breaks(OLD, new)
    assert sorted({(b.side, b.path) for b in found}) == expected


def test_what_nobody_can_judge_is_a_break() -> None:
    old = {"type": "string", "$defs": {}}
    assert breaks(old, {**old, "not": {"const": "x"}}) == (
        Break("readers", "", "not cannot be judged and differs"),
        Break("writers", "", "not cannot be judged and differs"),
    )
    assert breaks(old, {**old, "description": "other words", "x-team": "a"}) == ()


def test_an_alternative_that_holds_itself_is_judged_once_and_to_the_end() -> None:
    new = changed("part", Base | int | None, default=None)
    assert {(b.side, b.path) for b in breaks(OLD, new)} == {("writers", "part")}
