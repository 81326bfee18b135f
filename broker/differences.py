"""How one output differs from another, field by field: pure, over JSON bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

# More fields than anybody reads of one output.
FIELDS = 50


class Field(msgspec.Struct, frozen=True):
    """A field that differs. path: e.g. lines[2].quantity. was, now: JSON, "" for none."""

    path: str
    was: str
    now: str


class Difference(msgspec.Struct, frozen=True):
    """An output that differs. what: e.g. "document item/GB-100".

    change: new, gone or changed. was, now: the whole, where it is short; fields: else.
    """

    what: str
    change: Literal["new", "gone", "changed"]
    was: str = ""
    now: str = ""
    fields: tuple[Field, ...] = ()


def differing(what: str, was: bytes, now: bytes) -> Difference:
    """Both are there and say other things."""
    found = fields(msgspec.json.decode(was), msgspec.json.decode(now))
    return Difference(what, "changed", fields=tuple(found[:FIELDS]))


def absent(what: str, now: bytes) -> Difference:
    """It is said only today."""
    return Difference(what, "new", now=_text(msgspec.json.decode(now)))


def missing(what: str, was: bytes) -> Difference:
    """It was said and is not said any more."""
    return Difference(what, "gone", was=_text(msgspec.json.decode(was)))


def fields(was: object, now: object, path: str = "") -> list[Field]:
    """The fields in which two JSON values differ, in the order of their paths."""
    if isinstance(was, dict) and isinstance(now, dict):
        found = []
        for name in dict.fromkeys((*was, *now)):
            inner = f"{path}.{name}" if path else str(name)
            found += _entry(was, now, name, inner)
        return found
    if isinstance(was, list) and isinstance(now, list):
        found = []
        for n in range(max(len(was), len(now))):
            found += _entry(dict(enumerate(was)), dict(enumerate(now)), n, f"{path}[{n}]")
        return found
    return [] if was == now else [Field(path, _text(was), _text(now))]


def _entry(
    was: Mapping[Any, object], now: Mapping[Any, object], name: object, path: str
) -> list[Field]:
    if name not in was:
        return [Field(path, "", _text(now[name]))]
    if name not in now:
        return [Field(path, _text(was[name]), "")]
    return fields(was[name], now[name], path)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
