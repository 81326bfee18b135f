"""Working time: what moment it is so many of its seconds later."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.rules import Plant, Rules
from canonical.working_time import WEEKDAYS, Hours, Weekday, WorkingCalendar, after

WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600
OFFICE = WorkingCalendar(
    "Europe/Berlin",
    (Hours(WEEK, time(8), time(12)), Hours(WEEK[:4], time(13), time(17))),
    frozenset({date(2026, 12, 25)}),
)
ALWAYS = WorkingCalendar("Europe/Berlin", (Hours(WEEKDAYS, time(), time()),))


def at(day: int, hour: int, minute: int = 0, *, month: int = 3) -> datetime:
    """Local time in 2026; the 2nd of March is a Monday."""
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("moment", "hours", "expected"),
    [
        (at(2, 9), 2, at(2, 11)),
        (at(2, 11), 2, at(2, 14)),  # over noon
        (at(2, 16), 2, at(3, 9)),  # over night
        (at(6, 11), 2, at(9, 9)),  # over the weekend: no afternoon on Fridays
        (at(7, 15), 1, at(9, 9)),  # from a Saturday
        (at(2, 8), 8, at(2, 17)),  # to the end of the day and not to the next morning
        (at(2, 8), 36, at(6, 12)),  # a week
        (at(6, 12), 0, at(6, 12)),
        (at(6, 13), 0, at(9, 8)),
        (at(24, 16, month=12), 2, at(28, 9, month=12)),  # over a holiday and a weekend
        (at(27, 11), 2, at(30, 9)),  # the clock goes forward on the 29th of March
    ],
)
def test_only_working_hours_count(moment: datetime, hours: float, expected: datetime) -> None:
    assert OFFICE.after(moment, hours * HOUR) == expected


def test_a_day_on_which_the_clock_goes_forward_has_an_hour_less() -> None:
    assert ALWAYS.after(at(29, 0), 23 * HOUR) == at(30, 0)
    assert ALWAYS.after(at(25, 0, month=10), 25 * HOUR) == at(26, 0, month=10)


def test_hours_that_the_clock_leaves_out_do_not_count_twice() -> None:
    night = Hours(("sun",), time(2), time(2, 59))
    morning = Hours(("sun",), time(3), time(4))
    calendar = WorkingCalendar("Europe/Berlin", (night, morning))
    # 02:00 to 02:59 are 03:00 to 03:59 on that day, and the other hours begin in them.
    assert calendar.after(at(29, 0), 1 * HOUR) == at(29, 4)
    assert calendar.after(at(29, 0), 1 * HOUR + 60) == at(29 + 7 - 31, 2, 1, month=4)


def test_without_a_calendar_all_time_counts() -> None:
    assert after(None, at(6, 12), 90_000) == at(6, 12) + timedelta(seconds=90_000)


def test_what_cannot_be_written_is_no_moment() -> None:
    with pytest.raises(OverflowError, match="past the last day"):
        OFFICE.after(datetime(9998, 12, 31, tzinfo=UTC), 10 * HOUR)


# --- laws ---

TIMES = st.times(timezones=st.none()).map(lambda t: t.replace(second=0, microsecond=0))
ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia",
                         "Australia/Lord_Howe", "UTC"])  # fmt: skip
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(), timedelta(days=730)).map(lambda t: FIRST + t)
SECONDS = st.integers(0, 3_000_000)


@st.composite
def calendars(draw: st.DrawFn) -> WorkingCalendar:
    """Up to three spans on some days, and some days off."""
    edges = sorted(draw(st.sets(TIMES, min_size=2, max_size=6)))
    if len(edges) % 2:
        edges.append(time())
    days = draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1))
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    hours = tuple(Hours(tuple(sorted(days)), begins, ends) for begins, ends in pairs)
    holidays = draw(st.frozensets(st.dates(date(2026, 1, 1), date(2028, 1, 1)), max_size=40))
    try:
        return WorkingCalendar(draw(ZONES), hours, holidays)
    except ValueError:
        return ALWAYS


@given(calendars(), MOMENTS, SECONDS, SECONDS)
def test_more_time_is_never_earlier(
    calendar: WorkingCalendar, moment: datetime, one: int, other: int
) -> None:
    few, many = sorted((one, other))
    assert moment <= calendar.after(moment, few) <= calendar.after(moment, many)


@given(calendars(), MOMENTS, MOMENTS, SECONDS)
def test_who_begins_later_ends_no_earlier(
    calendar: WorkingCalendar, one: datetime, other: datetime, seconds: int
) -> None:
    first, then = sorted((one, other))
    assert calendar.after(first, seconds) <= calendar.after(then, seconds)


@given(calendars(), MOMENTS, SECONDS, SECONDS)
def test_time_adds_up(calendar: WorkingCalendar, moment: datetime, one: int, other: int) -> None:
    assert calendar.after(calendar.after(moment, one), other) == calendar.after(moment, one + other)


@given(calendars(), MOMENTS, st.integers(1, 3_000_000))
def test_time_never_ends_on_a_free_day(
    calendar: WorkingCalendar, moment: datetime, seconds: int
) -> None:
    # The last bit of it: hours that end at midnight end with the day that they belong to.
    last = calendar.after(moment, seconds) - timedelta(microseconds=1)
    day = last.astimezone(ZoneInfo(calendar.zone)).date()
    assert day not in calendar.holidays
    assert any(WEEKDAYS[day.weekday()] in hours.days for hours in calendar.hours)


# --- what is refused at the start ---

TABLE = """
[office]
zone = "Europe/Berlin"
holidays = [2026-12-25, 2026-12-26]

[[office.hours]]
days = ["mon", "tue"]
begins = 08:00:00
ends = 17:00:00
"""


def test_a_calendar_is_read_from_the_rules_file() -> None:
    found = msgspec.convert(tomllib.loads(TABLE)["office"], WorkingCalendar)
    assert found == WorkingCalendar(
        "Europe/Berlin",
        (Hours(("mon", "tue"), time(8), time(17)),),
        frozenset({date(2026, 12, 25), date(2026, 12, 26)}),
    )


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"hours": []}, "an hour of working time a week"),
        ({"hours": [{"days": ["mon"], "begins": time(8), "ends": time(8, 30)}]}, "an hour of"),
        ({"hours": [{"days": [], "begins": time(8), "ends": time(9)}]}, "no weekday"),
        ({"hours": [{"days": ["mon"], "begins": time(22), "ends": time(6)}]}, "write a night as"),
        ({"hours": [{"days": ["mon"], "begins": time(8), "ends": time(8)}]}, "before they begin"),
        ({"hours": [{"days": ["monday"], "begins": time(8), "ends": time(9)}]}, "monday"),
        (
            {
                "hours": [
                    {"days": ["mon", "tue"], "begins": time(8), "ends": time(12)},
                    {"days": ["tue"], "begins": time(11), "ends": time(13)},
                ]
            },
            "Two hours of tue overlap",
        ),
        (
            {
                "hours": [
                    {"days": ["tue"], "begins": time(8), "ends": time()},
                    {"days": ["tue"], "begins": time(11), "ends": time(13)},
                ]
            },
            "Two hours of tue overlap",
        ),
        ({"zone": "Europe/Regensburg"}, "is no time zone"),
        ({"holiday": [date(2026, 1, 1)]}, "unknown field"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(stated: dict[str, Any], says: str) -> None:
    whole = {"zone": "UTC", "hours": [{"days": ["mon"], "begins": time(8), "ends": time(9)}]}
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(whole | stated, WorkingCalendar)


def test_hours_with_a_zone_of_their_own_are_refused() -> None:
    with pytest.raises(ValueError, match="leave their zone out"):
        Hours(("mon",), time(8, tzinfo=UTC), time(9, tzinfo=UTC))


# --- whose calendar counts ---

NIGHT = WorkingCalendar("UTC", (Hours(("sun",), time(), time(6)),))


def plant(code: str, calendar: str = "") -> Plant:
    return Plant(code, code, "UTC", "local", "1000", calendar=calendar)


def rules(**stated: Any) -> Rules:
    known = {
        "plants": (plant("1010", "night"), plant("1020", "night"), plant("2010")),
        "calendars": {"office": OFFICE, "night": NIGHT},
        "role_calendars": {"quality": "office"},
    }
    return Rules(distribution=(), routes=(), central_purchasing_org="1000", **known | stated)


@pytest.mark.parametrize(
    ("role", "plants", "name"),
    [
        ("quality", ("1010",), "office"),
        ("quality", (), "office"),
        ("sourcing", ("1010",), "night"),
        ("sourcing", ("1010", "1020"), "night"),
        ("sourcing", ("1010", "2010"), None),
        ("sourcing", ("2010",), None),
        ("sourcing", ("9999",), None),
        ("sourcing", (), None),
    ],
)
def test_the_calendar_of_a_role_comes_before_that_of_the_plants(
    role: str, plants: tuple[str, ...], name: str | None
) -> None:
    found = rules().calendar_of(role, plants)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"plants": (plant("1010", "nihgt"),)}, "'nihgt' of plant 1010 .*: night, office"),
        ({"role_calendars": {"quality": "day"}}, "'day' of the role quality"),
        ({"calendars": {}, "plants": ()}, "'office' of the role quality .*there is none"),
        ({"calendars": {"": NIGHT}}, "has its name from its table"),
        ({"calendars": {"night": msgspec.structs.replace(NIGHT, name="x")}}, "from its table"),
    ],
)
def test_a_calendar_that_is_not_there_is_refused(stated: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rules(**stated)
