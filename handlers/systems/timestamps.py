"""Times as other systems write them, turned into UTC instants and into order numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from canonical.envelope import Deviation
from canonical.errors import InvalidMessage
from canonical.manners import of_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIMESTAMP_CHARS = 40
# Some senders leave the colon out of the offset; none may leave out the offset.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})",
    re.ASCII,
)


def parse_timestamp(text: str, *, where: str) -> datetime:
    """The UTC instant that text such as "2017-12-11T23:22:28Z" states.

    Raises: InvalidMessage for anything but date, time and offset, and for days no calendar has.
    """
    stated = text.strip()
    try:
        if len(stated) > _MAX_TIMESTAMP_CHARS or not _TIMESTAMP.fullmatch(stated):
            raise ValueError(stated)
        return to_utc(datetime.fromisoformat(stated), where=where)
    except ValueError as error:
        raise InvalidMessage(
            "time-malformed",
            f"{text[:_MAX_TIMESTAMP_CHARS]!r} is no date and time with an offset",
            where=where,
            remedy="Send it like 2017-12-11T23:22:28Z",
        ) from error


def header_deviations(attributes: Mapping[str, str]) -> tuple[Deviation, ...]:
    """Whether the header with the time is not written as it should be."""
    what = of_time(attributes.get("time", ""))
    return (Deviation("ce-time", what),) if what else ()


def to_utc(at: datetime, *, where: str) -> datetime:
    """The same instant in UTC.

    Raises: InvalidMessage where it falls off the calendar, as the last hours of year 9999 can.
    """
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidMessage(
            "time-out-of-bounds",
            f"{at.isoformat()} is outside the calendar in UTC",
            where=where,
            remedy="Send a real date; leave it out where there is none",
        ) from error


def microseconds(at: datetime) -> int:
    """The instant as a number that grows with time; order and version where there is no counter."""
    return (at - _EPOCH) // timedelta(microseconds=1)
