"""Whether two values in SAP's text form are the same, however each is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET

from canonical.codec import encode
from canonical.connector import Present
from canonical.errors import Conflict, InvalidMessage
from canonical.exchange import Request
from canonical.own_words import NO_WORDS, OwnWords
from canonical.quantity import parse_decimal
from canonical.units import to_rec20
from handlers.systems.answers import printable
from handlers.systems.s4.native import Entity
from handlers.systems.s4.odata import etag_of, parse_date
from handlers.systems.s4.words import UNITS

Same = Callable[[str, str], bool]


class Difference(msgspec.Struct, frozen=True):
    """Something at the target that is not as the step wants it.

    what: one line a field. request: the write that mends it; None where `conflict` says why a
    person has to.
    """

    what: tuple[str, ...]
    request: Request | None = None
    conflict: Conflict | None = None


def present(entity: Entity, reference: object, found: tuple[Difference, ...]) -> Present:
    """The entity as observed; equal where nothing differs."""
    return Present(
        equal=not found,
        reference=text_of(reference),
        etag=etag_of(entity),
        differences=tuple(line for difference in found for line in difference.what),
        native=encode(entity),
    )


def text_of(value: object) -> str:
    """A field as text; "" where it is not there or no text."""
    return value if isinstance(value, str) else ""


def as_text(value: object) -> str:
    """A field or a flag as text."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else text_of(value)


def same_text(left: str, right: str) -> bool:
    """Blanks at the ends and runs of them do not count: the target trims as it likes."""
    return left.split() == right.split()


def same_number(left: str, right: str) -> bool:
    """Zeros that pad do not count; nothing is 0; what is no number equals nothing."""
    try:
        return parse_decimal(left or "0") == parse_decimal(right or "0")
    except InvalidMessage:
        return False


def same_id(left: str, right: str) -> bool:
    """Numeric ids are padded with zeros in some answers and not in others."""
    return unpadded(left) == unpadded(right)


def unpadded(text: str) -> str:
    """A wholly numeric id without leading zeros; any other as it is."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else text


def same_date(left: str, right: str) -> bool:
    """The same day, whether with an offset or not."""
    return left == right or (parse_date(left) is not None and parse_date(left) == parse_date(right))


def same_unit(left: str, right: str, own: OwnWords = NO_WORDS) -> bool:
    """One unit has several names: a piece is PC or, in a German system, ST, or a word that the
    system has of its own."""
    if left == right:
        return True
    try:
        return to_rec20(UNITS, left, own.codes) == to_rec20(UNITS, right, own.codes)
    except InvalidMessage:
        return False


def differing(
    wanted: msgspec.Struct, actual: msgspec.Struct, rules: Mapping[str, Same]
) -> tuple[str, ...]:
    """Names of the fields that are wanted otherwise; a field that is not wanted is left alone."""
    return tuple(
        name
        for name, same in rules.items()
        if getattr(wanted, name) is not UNSET
        and not same(text_of(getattr(wanted, name)), text_of(getattr(actual, name)))
    )


def in_words(name: str, actual: object, wanted: object) -> str:
    """A difference as a person reads it."""
    held, want = (printable(text_of(value)) or "empty" for value in (actual, wanted))
    return f"{name}: {held}, wanted {want}"
