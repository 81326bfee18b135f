"""Cells into values, by the kind of the field they fill; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from canonical.effectivity import OPEN_END, midnight
from canonical.errors import InvalidMessage
from canonical.manners import Manner, of_time, of_unit_code
from canonical.money import minor_digits
from canonical.quantity import parse_decimal
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20, unit
from handlers.systems.table.native import Csv, FieldSpec, Units
from handlers.systems.table.targets import Leaf
from handlers.systems.timestamps import parse_timestamp, to_utc

# (text without blanks around it, place) -> value; raises InvalidMessage.
Convert = Callable[[str, str], Any]

DAY, CLOCK = frozenset("Ymd"), frozenset("HMSfz")
_DIRECTIVE = re.compile(r"%(.?)", re.ASCII)
_ISO_DAY = "%Y-%m-%d"
_FLAGS = {"true": True, "false": False}
_SHOWN = 40


def converter(leaf: Leaf, spec: FieldSpec, *, csv: Csv | None, units: Units | None) -> Convert:
    """How a cell becomes one value of the field.

    csv: marks of its numbers; None where a number is written with a point.
    """
    match leaf.kind:
        case "id":
            return _id
        case "prose":
            return _prose
        case "unit":
            return _unit(units or Units(names="rec20"))
        case "currency":
            return _currency
        case "decimal":
            return partial(_decimal, _marks(csv))
        case "decimal text":
            return lambda text, where: format(_decimal(_marks(csv), text, where), "f")
        case "whole":
            return partial(_whole, _marks(csv))
        case "flag":
            return partial(_word, _FLAGS)
        case "word":
            return partial(_word, {word: word for word in leaf.words})
        case "day":
            return partial(_day, spec.format or _ISO_DAY, leaf.is_open)
        case "instant":
            return partial(_instant, spec.format, spec.zone) if spec.format else _timestamp


def manner(leaf: Leaf, spec: FieldSpec, *, units: Units | None) -> Manner | None:
    """How a cell of the field may be written; None where there is one way, or the table's own words
    say what there is."""
    if spec.words is not None:
        return None
    match leaf.kind:
        case "unit":
            return _unit_manner(_unit(units or Units(names="rec20")))
        case "instant" if not spec.format:
            return of_time
        case _:
            return None


def _unit_manner(convert: Convert) -> Manner:
    @lru_cache(maxsize=256)
    def judge(text: str) -> str:
        try:
            return of_unit_code(convert(text, ""))
        except InvalidMessage:
            # Whoever converts it says what is wrong.
            return ""

    return judge


def mapped(words: Mapping[str, Any]) -> Convert:
    """Words of the sender into values."""
    return partial(_word, words)


def directives(form: str) -> frozenset[str]:
    """Letters of a format of days and times: the d of %d."""
    return frozenset(_DIRECTIVE.findall(form.replace("%%", "")))


def _id(text: str, where: str) -> str:
    return normalise_id(text, where=where)


def _prose(text: str, where: str) -> str:
    return normalise_text(text, where=where)


def _unit(units: Units) -> Convert:
    own = {name.strip().casefold(): code for name, code in units.words.items()}

    def convert(text: str, where: str) -> str:
        code = own.get(text.casefold())
        if code is not None:
            return code
        if units.names == "rec20":
            return unit(text, where=where).code
        if units.names:
            return to_rec20(units.names, text, where=where)
        raise _unmapped("unit-unmapped", text, where)

    return convert


def _currency(text: str, where: str) -> str:
    minor_digits(text, where=where)
    return text


def _marks(csv: Csv | None) -> tuple[str, str]:
    return (csv.decimal, csv.grouping) if csv else (".", "")


def _decimal(marks: tuple[str, str], text: str, where: str) -> Any:
    mark, grouping = marks
    whole, point, rest = text.partition(mark)
    if grouping and grouping in whole:
        first, *groups = whole.split(grouping)
        if not first.lstrip("+-") or len(first.lstrip("+-")) > 3 or {len(g) for g in groups} != {3}:
            raise _no_number(text, marks, where)
        whole = first + "".join(groups)
    # A point that is not the mark here would be read as one below.
    if "." in whole + rest or (point and not rest):
        raise _no_number(text, marks, where)
    try:
        return parse_decimal(f"{whole}.{rest}" if point else whole, where=where)
    except InvalidMessage as error:
        if error.code != "number-malformed":
            raise
        raise _no_number(text, marks, where) from error


def _no_number(text: str, marks: tuple[str, str], where: str) -> InvalidMessage:
    between = f" and {marks[1]!r} between thousands" if marks[1] else ""
    return InvalidMessage(
        "number-malformed",
        f"{text[:_SHOWN]!r} is no number with {marks[0]!r} before its decimals{between}",
        where=where,
        remedy="Correct the cell, or `decimal` and `grouping` in the table",
    )


def _whole(marks: tuple[str, str], text: str, where: str) -> int:
    amount = _decimal(marks, text, where)
    if amount != amount.to_integral_value():
        raise InvalidMessage(
            "number-malformed",
            f"{text[:_SHOWN]!r} is no whole number",
            where=where,
            remedy="Correct the cell at the source",
        )
    return int(amount)


def _word(words: Mapping[str, Any], text: str, where: str) -> Any:
    if text not in words:
        raise _unmapped("word-unmapped", text, where)
    return words[text]


def _unmapped(code: str, text: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        code,
        f"{text[:_SHOWN]!r} is in no list of words",
        where=where,
        remedy="Have the word added to the table or correct it at the source",
    )


def _day(form: str, is_open: bool, text: str, where: str) -> date | None:
    day = _read(form, text, where).date()
    return None if is_open and day == OPEN_END else day


def _timestamp(text: str, where: str) -> datetime:
    return parse_timestamp(text, where=where)


def _instant(form: str, zone: str, text: str, where: str) -> datetime:
    at = _read(form, text, where)
    if at.tzinfo is not None:
        return to_utc(at, where=where)
    if not directives(form) & CLOCK:
        return midnight(at.date(), zone)
    here = at.replace(tzinfo=ZoneInfo(zone))
    # When clocks are put back an hour comes twice, and when they are put forward one is missing.
    if here.utcoffset() != here.replace(fold=1).utcoffset():
        raise InvalidMessage(
            "time-ambiguous",
            f"{text[:_SHOWN]!r} is twice or never in {zone}: clocks are changed",
            where=where,
            remedy="Send it with its offset",
        )
    return to_utc(here, where=where)


def _read(form: str, text: str, where: str) -> datetime:
    try:
        if not text.isascii():
            raise ValueError(text)
        return datetime.strptime(text, form)  # noqa: DTZ007 - who asked knows the zone
    except ValueError as error:
        raise InvalidMessage(
            "time-malformed",
            f"{text[:_SHOWN]!r} is no time of the form {form}",
            where=where,
            remedy="Correct the cell, or `format` in the table",
        ) from error
