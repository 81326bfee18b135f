"""What a segment says of one field, in the three states of a patch: as it is (UNSET), empty now
(None), or a value."""

from __future__ import annotations

from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.patch import Flag, Text
from canonical.quantity import Ratio
from canonical.text import normalise_id, normalise_text
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.values import decimal, key
from handlers.systems.idoc.words import DELETE, MARKED


class Findings:
    """What is left out, and why: a case for each, so that nothing is dropped in silence."""

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


def text(segment: Segment, field: str) -> Text:
    """Prose, or a code that nothing is mapped from."""
    stated = segment.patch(field)
    if not isinstance(stated, str):
        return stated
    return normalise_text(stated, where=f"{segment.where}: {field}")


def number(segment: Segment, field: str) -> Text:
    """The number of another object, in its canonical form."""
    stated = segment.patch(field)
    return key(stated, where=f"{segment.where}: {field}") if isinstance(stated, str) else stated


def flag(segment: Segment, field: str) -> Flag:
    """Whether it is marked; an empty field is not. Raises: InvalidMessage for any other word."""
    stated = segment.patch(field)
    if isinstance(stated, str) and stated != MARKED:
        raise InvalidMessage(
            "word-unmapped",
            f"{stated[:40]!r} is neither {MARKED} nor empty",
            where=f"{segment.where}: {field}",
            remedy=f"Send {MARKED} where it is so, and else nothing",
        )
    return stated if stated is UNSET else stated == MARKED


def is_deleted(segment: Segment, field: str) -> Flag:
    """Whether what the segment is about is marked for deletion, or deleted by this message."""
    return True if segment.get("MSGFN") == DELETE else flag(segment, field)


def amount(segment: Segment, field: str) -> Decimal | UnsetType | None:
    """A number; None where the field is empty now."""
    stated = segment.patch(field)
    return decimal(stated, where=f"{segment.where}: {field}") if isinstance(stated, str) else stated


def days(segment: Segment, field: str) -> int | UnsetType | None:
    """A number of days."""
    stated = segment.patch(field)
    return whole(segment, field) if isinstance(stated, str) else stated


def ratio(segment: Segment, numerator: str, denominator: str) -> Ratio:
    """A ratio of two units. Raises: InvalidMessage where the two fields make none."""
    where = f"{segment.where}: {numerator}, {denominator}"
    top, bottom = whole(segment, numerator), whole(segment, denominator)
    if top <= 0 or bottom <= 0:
        raise InvalidMessage(
            "item-unit-ratio",
            f"{top} to {bottom} is no ratio of two units",
            where=where,
            remedy="Correct the units at the source",
        )
    return Ratio(top, bottom)


def whole(segment: Segment, field: str) -> int:
    """A whole number. Raises: InvalidMessage where it is none."""
    where = f"{segment.where}: {field}"
    found: Decimal = decimal(segment.get(field), where=where)
    if found != found.to_integral_value():
        raise InvalidMessage(
            "number-malformed",
            f"{segment.get(field)[:40]!r} is no whole number",
            where=where,
            remedy="Correct the field at the source",
        )
    return int(found)


def organisation(segment: Segment, field: str) -> str:
    """The code of the plant, company or purchasing organisation that the segment is about."""
    return normalise_id(segment.get(field), where=f"{segment.where}: {field}")
