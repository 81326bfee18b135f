"""Values as S/4HANA's OData services write them, turned into ours or refused."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from canonical.effectivity import OPEN_END
from canonical.errors import InvalidMessage
from canonical.quantity import parse_decimal
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import text_of, unpadded
from handlers.systems.s4.words import UNITS
from handlers.systems.timestamps import microseconds


def key(said: object, *, where: str) -> str:
    """A number of a material, partner, order or line in its canonical form: without the zeros that
    some answers fill it up with. Raises: InvalidMessage where there is none."""
    return unpadded(normalise_id(text_of(said), where=where))


def key_or_none(said: object, *, where: str) -> str:
    """As `key`; "" where there is none."""
    return key(said, where=where) if text_of(said).strip() else ""


def prose(said: object, *, where: str) -> str:
    """A text for people; "" where there is none."""
    return normalise_text(text_of(said), where=where)


def number(said: object, *, where: str) -> Decimal:
    """The decimal, 0 where there is none: the services write a number that nobody filled as 0."""
    return parse_decimal(text_of(said) or "0", where=where)


def unit(said: object, *, where: str) -> str:
    """The Rec 20 code of a unit."""
    return to_rec20(UNITS, text_of(said), where=where)


def day(said: object, *, where: str) -> date | None:
    """The day of an Edm.DateTime; None for none at all, and for the end of all days."""
    text = text_of(said)
    if not text:
        return None
    found = odata.parse_date(text)
    if found is None:
        raise _malformed(text, where)
    return None if found == OPEN_END else found


def instant(said: object, *, where: str) -> datetime | None:
    """The instant of an Edm.DateTimeOffset; None for none at all."""
    text = text_of(said)
    if not text:
        return None
    found = odata.parse_instant(text)
    if found is None:
        raise _malformed(text, where)
    return found


def _malformed(text: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        "time-malformed",
        f"{text[:40]!r} is no date of OData V2",
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
