"""Values as procurement writes them: days, decimals, optional ids."""

from __future__ import annotations

import re
from datetime import date
from unicodedata import normalize

from canonical.effectivity import OPEN_END
from canonical.errors import InvalidMessage
from canonical.text import normalise_id

# A day, alone or in front of a time: the day counts as it is written.
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.{1,30})?", re.ASCII)


def optional_id(stated: str | None, where: str) -> str:
    """The id; "" where the field is not filled."""
    return normalise_id(stated, where=where) if stated and stated.strip() else ""


def names(stated: str | None, number: str) -> bool:
    """Whether a number is that one, as it is compared. Nothing is refused: it may be another one,
    of which nobody asked."""
    return normalize("NFC", (stated or "").strip()) == number


def last_day(text: str | None, where: str) -> date | None:
    """The last valid day; None = open, which some write as the last day there is."""
    day = day_of(text, where) if text else None
    return None if day == OPEN_END else day


def day_of(text: str, where: str) -> date:
    """The day that is written.

    Raises: InvalidMessage for anything that is no day.
    """
    stated = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(stated[1] if stated else text)
    except ValueError as error:
        raise InvalidMessage(
            "day-malformed",
            f"{text[:40]!r} is no day",
            where=where,
            remedy="Send it like 2029-12-31",
        ) from error


def unmapped(code: str, word: str, where: str) -> InvalidMessage:
    """A word that is in no table."""
    return InvalidMessage(
        code,
        f"{word[:40]!r} is in no table",
        where=where,
        remedy="Have the word mapped or correct it in procurement",
    )
