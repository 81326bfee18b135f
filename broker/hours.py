"""When a system is not called by the clock: night batches, maintenance, plant shifts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from canonical.errors import Misconfigured
from canonical.working_time import WEEKDAYS, Weekday, require_zone

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
# Closings that follow each other are one; a week of them has no end.
_LONGEST = timedelta(days=8)


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each of these days from `start` to `end` by the clocks of `zone`, the end not included. An
    end that is not after the start is on the day after.

    start, end: "HH:MM". zone: IANA name. why: for people.
    """

    start: str
    end: str
    zone: str
    why: str
    days: tuple[Weekday, ...] = WEEKDAYS

    def __post_init__(self) -> None:
        for text in (self.start, self.end):
            if not _TIME.fullmatch(text):
                raise ValueError(f"{text!r} is no time of a day, such as 22:00")
        require_zone(self.zone, "of a closing")
        if not self.days:
            raise ValueError("a closing is on a day of the week at least")

    def around(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Its times in UTC that may contain the moment."""
        local = moment.astimezone(ZoneInfo(self.zone)).date()
        for day in (local - timedelta(days=1), local):
            if WEEKDAYS[day.weekday()] in self.days:
                is_overnight = self.end <= self.start
                yield (
                    self._at(day, self.start),
                    self._at(day + timedelta(days=is_overnight), self.end),
                )

    def _at(self, day: date, text: str) -> datetime:
        # A time that the clocks pass over is taken as an hour later; one that they show twice, as
        # the first.
        at = datetime.combine(day, time.fromisoformat(text), ZoneInfo(self.zone))
        return at.astimezone(UTC)


class Closed(msgspec.Struct, frozen=True):
    """Until when, and why."""

    until: datetime
    why: str


def closed(closings: Sequence[Closing], moment: datetime) -> Closed | None:
    """The closing that the moment is in, with those that follow it without a pause; None where it
    is in none.

    Raises: ValueError where they never end.
    """
    until, why = moment, ""
    while True:
        found = max(
            (
                (end, closing.why)
                for closing in closings
                for start, end in closing.around(until)
                if start <= until < end
            ),
            default=None,
        )
        if found is None:
            return Closed(until, why) if why else None
        until, why = found[0], why or found[1]
        if until - moment > _LONGEST:
            raise ValueError("a system is open at some time of the week")


def refuse_endless(closings: Sequence[Closing], *, where: str) -> None:
    """Raises: Misconfigured where a system would never be open, in summer or in winter."""
    for moment in (datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 7, 6, tzinfo=UTC)):
        try:
            closed(closings, moment)
        except ValueError as error:
            raise Misconfigured(
                "never-open",
                "It would never be called: its closings follow each other all week",
                where=where,
                remedy="Leave some hours of the week open",
            ) from error
