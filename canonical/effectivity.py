"""From when until when something holds: by time in a plant's zone, by serial number or by lot.

All are half-open: the end is the first moment or number that is no longer covered. The inclusive
"last valid day" of many vendors exists only at the edge, in the two functions for it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

import msgspec

from canonical.bounds import Instant
from canonical.errors import InvalidMessage

# How vendors write "no end" where they require a date.
OPEN_END = date(9999, 12, 31)

# Clear of the calendar's edges, so that no zone's offset can overflow them.
_EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 1, tzinfo=UTC)

# In the zone database of many machines, but not the same zone on each.
_MACHINE_ZONES = ("localtime", "posixrules")

_NUMBERED = re.compile(r"([!-~]*?)([0-9]{1,18})", re.ASCII)
_MAX_NUMBER_CHARS = 60


class DateEffectivity(msgspec.Struct, frozen=True, tag_field="kind", tag="date"):
    """[start, end) in time; end None = open.

    start, end: UTC-aware instants; given in another zone they are turned to UTC.
    zone: IANA name of the plant's zone, by which instants become days and days instants.
    """

    start: Instant
    end: Instant | None
    zone: str

    def __post_init__(self) -> None:
        _zone(self.zone)
        start = _utc(self.start, where="effectivity.start")
        msgspec.structs.force_setattr(self, "start", start)
        if self.end is not None:
            end = _utc(self.end, where="effectivity.end")
            msgspec.structs.force_setattr(self, "end", end)
            if end <= start:
                raise _empty(f"{start.isoformat()} to {end.isoformat()}")

    def is_effective(self, at: datetime) -> bool:
        """Whether it holds at that moment."""
        moment = _utc(at, where="at")
        return self.start <= moment and (self.end is None or moment < self.end)

    def overlaps(self, other: DateEffectivity) -> bool:
        """Whether there is a moment at which both hold; zones do not matter for that."""
        return (other.end is None or self.start < other.end) and (
            self.end is None or other.start < self.end
        )

    def to_inclusive_dates(self) -> tuple[date, date]:
        """First and last valid day in the zone; OPEN_END for no end.

        Raises: InvalidMessage where start or end is not a midnight of the zone, since either day
            would then be said to be covered whole; `by_whole_days` decides that.
        """
        if self != self.by_whole_days():
            raise InvalidMessage(
                "effectivity-within-day",
                f"The effectivity does not begin and end at midnight of {self.zone}",
                where="effectivity",
                remedy="Decide which whole days it covers",
            )
        return self._first_day(), self._last_day()

    def by_whole_days(self) -> DateEffectivity:
        """The shortest effectivity of whole days of the zone that covers this one."""
        return from_inclusive_dates(self._first_day(), self._last_day(), self.zone)

    def _first_day(self) -> date:
        return self.start.astimezone(_zone(self.zone)).date()

    def _last_day(self) -> date:
        if self.end is None:
            return OPEN_END
        return (self.end - timedelta(microseconds=1)).astimezone(_zone(self.zone)).date()


class _Numbered(msgspec.Struct, frozen=True, tag_field="kind"):
    """[start, end) in numbers with a common prefix, such as AB0100 to AB0200; end None = open."""

    start: str
    end: str | None

    # What is counted, for a person.
    counted: ClassVar[str]

    @property
    def shown(self) -> str:
        """It in words, such as "serial number SN100 up to, and without, SN200"."""
        end = "" if self.end is None else f" up to, and without, {self.end}"
        return f"{self.counted} {self.start}{end or ' on'}"

    def __post_init__(self) -> None:
        prefix, first = _split(self.start)
        if self.end is None:
            return
        end_prefix, end = _split(self.end)
        if end_prefix != prefix or end <= first:
            raise _empty(f"{self.start} to {self.end}")

    def is_effective(self, number: str) -> bool:
        """Whether it holds for that number; never for one with another prefix."""
        prefix, value = _split(number)
        own_prefix, first, end = self._bounds()
        return prefix == own_prefix and first <= value and (end is None or value < end)

    def _bounds(self) -> tuple[str, int, int | None]:
        prefix, first = _split(self.start)
        return prefix, first, None if self.end is None else _split(self.end)[1]

    def _meets(self, other: _Numbered) -> bool:
        prefix, first, end = self._bounds()
        other_prefix, other_first, other_end = other._bounds()
        return (
            prefix == other_prefix
            and (other_end is None or first < other_end)
            and (end is None or other_first < end)
        )


class SerialEffectivity(_Numbered, frozen=True, tag="serial"):
    """Serial numbers of the end product for which something holds."""

    counted: ClassVar[str] = "serial number"

    def overlaps(self, other: SerialEffectivity) -> bool:
        """Whether there is a serial number for which both hold."""
        return self._meets(other)


class LotEffectivity(_Numbered, frozen=True, tag="lot"):
    """Lots for which something holds."""

    counted: ClassVar[str] = "lot"

    def overlaps(self, other: LotEffectivity) -> bool:
        """Whether there is a lot for which both hold."""
        return self._meets(other)


Effectivity = DateEffectivity | SerialEffectivity | LotEffectivity


def from_inclusive_dates(first: date, last: date | None, zone: str) -> DateEffectivity:
    """The effectivity a vendor states by its first and its last valid day.

    last: None or OPEN_END = open.
    zone: IANA name; the days are those of this zone.
    """
    end = None if last is None or last == OPEN_END else midnight(last + timedelta(days=1), zone)
    return DateEffectivity(start=midnight(first, zone), end=end, zone=zone)


def midnight(day: date, zone: str) -> datetime:
    """The instant (UTC) at which that day begins in the zone.

    Where the clock is put forward at midnight the day begins with its first existing minute.
    """
    return _utc(datetime.combine(day, time(), tzinfo=_zone(zone)), where="day")


def _utc(moment: datetime, *, where: str) -> datetime:
    if moment.tzinfo is None:
        raise InvalidMessage(
            "time-without-zone",
            f"{moment.isoformat()} has no time zone",
            where=where,
            remedy="Send the time with its offset",
        )
    try:
        instant = moment.astimezone(UTC)
    except OverflowError:
        instant = None
    if instant is None or not _EARLIEST <= instant <= _LATEST:
        raise InvalidMessage(
            "time-out-of-bounds",
            f"{moment.isoformat()} is outside the years 1800 to 9999",
            where=where,
            remedy="Send a real date; leave the end out where there is none",
        )
    return instant


def _zone(name: str) -> ZoneInfo:
    try:
        if name in _MACHINE_ZONES:
            raise ValueError(name)
        return ZoneInfo(name)
    # Beside ZoneInfoNotFoundError (a KeyError): ValueError for "../x", OSError for a folder.
    except (KeyError, ValueError, OSError) as error:
        raise InvalidMessage(
            "zone-unknown",
            f"{name[:40]!r} is no time zone",
            where="effectivity.zone",
            remedy="Send an IANA name such as Europe/Berlin",
        ) from error


def _split(number: str) -> tuple[str, int]:
    """A serial or lot number as prefix and counter: AB0100 is ("AB", 100)."""
    parts = _NUMBERED.fullmatch(number) if len(number) <= _MAX_NUMBER_CHARS else None
    if parts is None:
        raise InvalidMessage(
            "number-not-ordered",
            f"{number[:_MAX_NUMBER_CHARS]!r} does not end in a number that can be counted",
            where="effectivity",
            remedy="Send serial and lot numbers as an optional prefix with digits at the end",
        )
    return parts[1], int(parts[2])


def _empty(interval: str) -> InvalidMessage:
    return InvalidMessage(
        "effectivity-empty",
        f"Nothing lies in the half-open interval {interval}",
        where="effectivity",
        remedy="Send an end after the start, with the same prefix",
    )
