"""Values into cells, by the kind of the field they fill: what `values` reads, the other way round.

A cell that would be read as another value is refused: nothing is rounded, cut or guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET

from canonical.effectivity import OPEN_END
from canonical.errors import InvalidMessage
from canonical.units import from_rec20
from handlers.systems.table.native import Csv, FieldSpec, Units
from handlers.systems.table.targets import Leaf

# (value, place) -> text; raises InvalidMessage.
Write = Callable[[Any, str], str]

_SHOWN = 40


def writer(
    leaf: Leaf,
    spec: FieldSpec,
    words: Mapping[str, Any],
    *,
    csv: Csv | None,
    units: Units | None,
) -> Write:
    """How one value of the field becomes a cell. words: of the sender -> value; empty = none."""
    if words:
        return _words(words)
    match leaf.kind:
        case "unit":
            return _unit(units or Units(names="rec20"))
        case "decimal" | "whole" | "decimal text":
            mark = csv.decimal if csv else "."
            return lambda value, where: _decimal(value, mark)
        case "flag":
            return lambda value, where: "true" if value else "false"
        case "day":
            return lambda value, where: _day(value, spec.format)
        case "instant":
            return lambda value, where: _instant(value, spec)
        case _:
            return lambda value, where: str(value)


def is_absent(value: object) -> bool:
    """Whether there is nothing to write."""
    return value is None or value is UNSET or value == "" or value == ()


def unwritable(what: str, where: str, remedy: str) -> InvalidMessage:
    """Something that the table has no cell for."""
    return InvalidMessage("table-inexpressible", what, where=where, remedy=remedy)


def _words(words: Mapping[str, Any]) -> Write:
    def write(value: Any, where: str) -> str:
        for word, means in words.items():
            if means == value:
                return word
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        raise unwritable(
            f"No word of the table means {shown[:_SHOWN]!r}",
            where,
            "Have the word added to the table",
        )

    return write


def _unit(units: Units) -> Write:
    def write(value: Any, where: str) -> str:
        own = next((name for name, code in units.words.items() if code == value), None)
        if own is not None:
            return own
        if units.names in ("", "rec20"):
            return str(value)
        return from_rec20(units.names, value, where=where)

    return write


def _decimal(value: Any, mark: str) -> str:
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text.replace(".", mark)


def _day(value: date | None, form: str) -> str:
    day = OPEN_END if value is None else value
    return day.strftime(form) if form else day.isoformat()


def _instant(value: datetime, spec: FieldSpec) -> str:
    if not spec.format:
        return value.isoformat()
    return (value.astimezone(ZoneInfo(spec.zone)) if spec.zone else value).strftime(spec.format)
