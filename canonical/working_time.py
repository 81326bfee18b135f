"""Working time: when people are there, and what moment it is so many of its seconds later.

A part of the rules, `[rules.calendars]`; docs/due-times.md shows all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)

_MIDNIGHT = time()
_DAY = timedelta(days=1)
# Less than this is a slip of the pen, and would make days out of minutes and years out of days.
LEAST_A_WEEK = timedelta(hours=1)


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hours of some weekdays, in local time. ends: 00:00 = midnight, the end of that day."""

    days: tuple[Weekday, ...]
    begins: time
    ends: time

    def __post_init__(self) -> None:
        if not self.days:
            raise ValueError("Hours name no weekday")
        if self.begins.tzinfo is not None or self.ends.tzinfo is not None:
            raise ValueError("Hours are local times of the calendar: leave their zone out")
        if self.ends != _MIDNIGHT and self.ends <= self.begins:
            raise ValueError(
                f"Hours from {self.begins:%H:%M} to {self.ends:%H:%M} end before they begin:"
                " write a night as two, the first one until 00:00"
            )

    @property
    def length(self) -> timedelta:
        """On a day without a change of the clock."""
        day = date.min
        last = day + _DAY if self.ends == _MIDNIGHT else day
        return datetime.combine(last, self.ends) - datetime.combine(day, self.begins)


class WorkingCalendar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When people work: weekdays with their hours, and days on which nobody does.

    zone: IANA time zone of the hours and the days. holidays: local days. name: as the rules call
    it, which give it (`Rules.calendar`); not stated in the calendar itself.
    """

    zone: str
    hours: tuple[Hours, ...]
    holidays: frozenset[date] = frozenset()
    name: str = ""

    def __post_init__(self) -> None:
        require_zone(self.zone, "of a calendar")
        for day in WEEKDAYS:
            spans = self._of(day)
            for (_, ends), (begins, _) in pairwise(spans):
                if ends == _MIDNIGHT or begins < ends:
                    raise ValueError(f"Two hours of {day} overlap")
        week = sum((h.length * len(set(h.days)) for h in self.hours), timedelta())
        if week < LEAST_A_WEEK:
            raise ValueError("A calendar has an hour of working time a week at least")

    def after(self, moment: datetime, seconds: float) -> datetime:
        """The moment so many seconds of working time later, in UTC.

        moment: with its zone; where nobody works at it, what is added begins with the next hours.
        seconds: not negative; 0 = the moment itself, or that beginning.
        Raises: OverflowError past the last day that can be written.
        """
        left = timedelta(seconds=seconds)
        for begins, ends in self._spans(moment):
            start = max(begins, moment.astimezone(UTC))
            if start > ends:
                continue
            if left <= ends - start:
                return start + left
            left -= ends - start
        raise OverflowError(f"{seconds:g} s of working time after {moment} is past the last day")

    def _spans(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Working times in UTC, in order and apart, from those of the local day before on: its last
        one may end with the moment."""
        zone = ZoneInfo(self.zone)
        day = moment.astimezone(zone).date() - _DAY
        by_day = [self._of(weekday) for weekday in WEEKDAYS]
        latest = datetime.min.replace(tzinfo=UTC)
        while day.year < MAXYEAR:
            for begins, ends in () if day in self.holidays else by_day[day.weekday()]:
                last = day + _DAY if ends == _MIDNIGHT else day
                # Where the clock goes forward, hours may begin in what there is not; where they
                # would overlap by that, or end before they begin, they are cut.
                start = max(_moment(day, begins, zone), latest)
                end = _moment(last, ends, zone)
                if start < end:
                    latest = end
                    yield start, end
            day += _DAY

    def _of(self, day: Weekday) -> list[tuple[time, time]]:
        return sorted((hours.begins, hours.ends) for hours in self.hours if day in hours.days)


def after(calendar: WorkingCalendar | None, moment: datetime, seconds: float) -> datetime:
    """The moment so many seconds later: of working time, or of any where there is no calendar."""
    if calendar is None:
        return moment + timedelta(seconds=seconds)
    return calendar.after(moment, seconds)


def require_zone(zone: str, of: str) -> None:
    """Raises: ValueError where that is no IANA time zone."""
    try:
        ZoneInfo(zone)
    # Beside ZoneInfoNotFoundError (a KeyError): ValueError for "../x", OSError for a folder.
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{zone!r} {of} is no time zone") from error


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)
