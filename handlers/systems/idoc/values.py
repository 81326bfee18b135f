"""Values as IDocs write them: numbers with their sign behind, padded keys, days without dashes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from canonical.effectivity import OPEN_END
from canonical.errors import InvalidMessage
from canonical.quantity import parse_decimal
from canonical.text import normalise_id

# As it is "00000000" that many senders write for no day at all.
_NO_DAYS = frozenset({"", "00000000"})
_DAY_CHARS = 8


def unpadded(text: str) -> str:
    """A key for comparison: SAP fills up keys of nothing but digits with zeros in front, and shows
    them without."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else text


def key(text: str, *, where: str) -> str:
    """A number of a material, partner, order or line in its canonical form. Raises: InvalidMessage
    where there is none."""
    if not text:
        raise InvalidMessage(
            "field-missing",
            "A number is missing",
            where=where,
            remedy="Have the SAP system send it",
        )
    return unpadded(normalise_id(text, where=where))


def padded(number: str, chars: int) -> str:
    """A key as SAP keeps it: one of nothing but digits is filled up to that length."""
    return number.zfill(chars) if number.isascii() and number.isdigit() else number


def decimal(text: str, *, where: str) -> Decimal:
    """The number in text such as "50", ".5" or "10.500-"."""
    sign, digits = ("-", text[:-1]) if text.endswith("-") else ("", text)
    return parse_decimal(f"{sign}{digits.strip()}", where=where)


def decimal_text(value: Decimal | int | None) -> str:
    """The number as it is written, "10.5-" for one below zero; "" for none."""
    if value is None:
        return ""
    return f"{abs(value):f}-" if value < 0 else f"{Decimal(value):f}"


def day(text: str, *, where: str) -> date | None:
    """The day in text such as "20240507"; None for none at all, and for the end of all days."""
    if text in _NO_DAYS:
        return None
    try:
        if len(text) != _DAY_CHARS or not (text.isascii() and text.isdigit()):
            raise ValueError(text)
        found = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise InvalidMessage(
            "day-malformed",
            f"{text[:40]!r} is no day",
            where=where,
            remedy="Send it like 20240507",
        ) from error
    return None if found == OPEN_END else found


def day_text(on: date | None) -> str:
    """The day as it is written; "" for none."""
    return "" if on is None else f"{on:%Y%m%d}".zfill(_DAY_CHARS)
