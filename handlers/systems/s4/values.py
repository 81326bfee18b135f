"""Values as S/4HANA's OData services write them, turned into ours or refused."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.effectivity import OPEN_END
from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import UnknownCurrency, minor_digits
from canonical.own_words import OwnWords
from canonical.patch import Flag
from canonical.patch import Text as Patched
from canonical.quantity import Ratio, parse_decimal
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import same_id, text_of, unpadded
from handlers.systems.s4.native_read import Mark, Said
from handlers.systems.s4.words import UNITS
from handlers.systems.timestamps import microseconds


class Findings:
    """What is left out of an object, and why: a case for each, so that nothing is dropped in
    silence."""

    def __init__(self, about: str) -> None:
        self.cases: list[Open] = []
        self._about = about

    def add(self, failure: InvalidMessage) -> None:
        """The field that failed is left out; the rest is taken."""
        self.cases.append(
            Open(
                code=failure.code,
                word=failure.word,
                what=failure.what,
                where=f"{self._about}, {failure.where}",
                remedy=failure.remedy,
                owner="master data",
            )
        )


def key(said: object, *, where: str) -> str:
    """A number of a material, partner, order or line in its canonical form: without the zeros that
    some answers fill it up with. Raises: InvalidMessage where there is none."""
    return unpadded(normalise_id(text_of(said), where=where))


def key_or_none(said: object, *, where: str) -> str:
    """As `key`; "" where there is none."""
    return key(said, where=where) if text_of(said).strip() else ""


def place(said: object) -> tuple[int, str]:
    """Where a number stands among others, whether they are padded or not."""
    digits = text_of(said).strip().lstrip("0")
    return len(digits), digits


def prose(said: object, *, where: str) -> str:
    """A text for people, or a code, without blanks around it; "" where there is none."""
    return normalise_text(text_of(said), where=where).strip()


def number(said: object, *, where: str) -> Decimal:
    """The decimal, 0 where there is none: the services write a number that nobody filled as 0."""
    return parse_decimal(text_of(said) or "0", where=where)


def unit(said: object, own: OwnWords, *, where: str) -> str:
    """The Rec 20 code of a unit. own: words that the ERP has of its own."""
    return to_rec20(UNITS, text_of(said), own.codes, where=where)


def text(said: Said, *, where: str) -> Patched:
    """What the field says in a patch; None where it is empty, UNSET where the answer does not have
    it."""
    return UNSET if said is UNSET else prose(said, where=where) or None


def referred(said: object, own: object) -> str:
    """The number that a document says it has elsewhere; "" where it says nothing of the kind, which
    its own number is too."""
    try:
        number = normalise_id(text_of(said).strip())
    except InvalidMessage:
        return ""
    return "" if same_id(number, text_of(own)) else number


def reference(said: Said, *, where: str) -> Patched:
    """As `text`, of a field that holds the number of another object."""
    return UNSET if said is UNSET else key_or_none(said, where=where) or None


def mark(said: Mark) -> Flag:
    """Whether it is marked; UNSET where the answer does not say."""
    return UNSET if said is UNSET else said is True


def ticked(said: Said, *, where: str) -> bool:
    """Whether a flag that is a letter is set. Raises: InvalidMessage for what is neither X nor
    empty."""
    stated = text_of(said).strip()
    if stated not in ("", "X"):
        raise InvalidMessage(
            "flag-malformed",
            f"{stated[:40]!r} is neither X nor empty",
            where=where,
            remedy="Correct the flag in the ERP",
        )
    return stated == "X"


def whole(said: Said, *, where: str) -> int:
    """A whole number, 0 where there is none. Raises: InvalidMessage where it is none."""
    amount = number(said, where=where)
    if amount != amount.to_integral_value():
        raise InvalidMessage(
            "number-malformed",
            f"{text_of(said)[:40]!r} is no whole number",
            where=where,
            remedy="Correct the number in the ERP",
        )
    return int(amount)


def ratio(numerator: Said, denominator: Said, *, where: str) -> Ratio:
    """How much of one unit another one is. Raises: InvalidMessage where the two make no ratio."""
    top, bottom = whole(numerator, where=where), whole(denominator, where=where)
    if top <= 0 or bottom <= 0:
        raise InvalidMessage(
            "item-unit-ratio",
            f"{top} to {bottom} is no ratio of two units",
            where=where,
            remedy="Correct the units in the ERP",
        )
    return Ratio(top, bottom)


def days(said: Said, *, where: str) -> int | UnsetType | None:
    """A number of days; 0 is one that nobody has stated."""
    return UNSET if said is UNSET else whole(said, where=where) or None


def currency(said: Said, found: Findings, *, where: str) -> Patched:
    """The code of ISO 4217; a case and nothing said where it is none."""
    stated = text(said, where=where)
    try:
        if isinstance(stated, str):
            minor_digits(stated, where=where)
    except UnknownCurrency as failure:
        found.add(failure)
        return UNSET
    return stated


def day(said: object, *, where: str) -> date | None:
    """The day of an Edm.DateTime; None for none at all, and for the end of all days."""
    stated = text_of(said)
    if not stated:
        return None
    found = odata.parse_date(stated)
    if found is None:
        raise _malformed(stated, where)
    return None if found == OPEN_END else found


def instant(said: object, *, where: str) -> datetime | None:
    """The instant of an Edm.DateTimeOffset; None for none at all."""
    stated = text_of(said)
    if not stated:
        return None
    found = odata.parse_instant(stated)
    if found is None:
        raise _malformed(stated, where)
    return found


def _malformed(stated: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        "time-malformed",
        f"{stated[:40]!r} is no date of OData V2",
        where=where,
        remedy="Check what stands between: the service writes /Date(1473638400000)/",
    )


def version(*said: object, read_at: datetime, where: str) -> int:
    """When the object was last changed, as a number that grows; said: the times its answer tells,
    the best one first.

    An object that tells of no change is as old as its creation: so all of it is by the ERP's clock,
    and of two reads that tell of one change the later one counts.
    """
    found = (instant(one, where=where) for one in said)
    return microseconds(next((at for at in found if at is not None), read_at))
