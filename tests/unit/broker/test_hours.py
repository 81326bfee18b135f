"""When a system is not called by the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hours import Closed, Closing, closed, refuse_endless
from canonical.errors import Misconfigured
from canonical.working_time import WEEKDAYS

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Closing("22:00", "04:00", "Europe/Berlin", "night batch")
SUNDAY = Closing("00:00", "00:00", "Europe/Berlin", "maintenance", ("sun",))


def at(text: str) -> datetime:
    """By the clocks of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-03-02 21:59:59", None),
        ("2026-03-02 22:00:00", "2026-03-03 04:00"),
        ("2026-03-03 03:59:59", "2026-03-03 04:00"),
        ("2026-03-03 04:00:00", None),
    ],
)
def test_a_night_is_closed_from_its_beginning_to_before_its_end(
    moment: str, until: str | None
) -> None:
    found = closed([NIGHT], at(moment))
    assert found == (Closed(at(until), "night batch") if until else None)


def test_what_follows_without_a_pause_is_one() -> None:
    # From Saturday night over all of Sunday to Monday morning.
    found = closed([NIGHT, SUNDAY], at("2026-03-07 23:00"))
    assert found == Closed(at("2026-03-09 04:00"), "night batch")


def test_only_on_its_days() -> None:
    assert closed([SUNDAY], at("2026-03-07 12:00")) is None
    assert closed([SUNDAY], at("2026-03-08 12:00")) == Closed(at("2026-03-09 00:00"), "maintenance")


def test_a_night_in_which_clocks_change_ends_by_the_clock() -> None:
    spring, autumn = (
        closed([NIGHT], at("2026-03-28 23:00")),
        closed([NIGHT], at("2026-10-24 23:00")),
    )
    assert spring is not None
    assert autumn is not None
    assert spring.until - at("2026-03-28 22:00") == timedelta(hours=5)
    assert autumn.until - at("2026-10-24 22:00") == timedelta(hours=7)


times = st.integers(0, 24 * 60 - 1).map(lambda m: f"{m // 60:02}:{m % 60:02}")
closings = st.builds(
    Closing,
    times,
    times,
    st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]),
    st.just("x"),
    st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True).map(tuple),
)
moments = st.integers(0, 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(st.lists(closings, max_size=3), moments)
def test_it_is_open_at_the_end_and_closed_all_the_way_there(
    stated: list[Closing], moment: datetime
) -> None:
    try:
        refuse_endless(stated, where="x")
        found = closed(stated, moment)
    except (Misconfigured, ValueError):
        return
    if found is None:
        return
    assert found.until > moment
    assert closed(stated, found.until) is None
    between = moment + (found.until - moment) / 2
    assert closed(stated, between) == Closed(found.until, "x")


def test_a_system_that_is_never_open_is_refused() -> None:
    with pytest.raises(Misconfigured) as caught:
        refuse_endless([Closing("00:00", "00:00", "UTC", "always")], where="systems.erp.closed")
    assert (caught.value.code, caught.value.where) == ("never-open", "systems.erp.closed")


@pytest.mark.parametrize(
    "stated",
    [
        {"start": "24:00"},
        {"end": "7:00"},
        {"zone": "Mars/Olympus"},
        {"days": ()},
    ],
)
def test_a_closing_that_makes_no_sense_is_refused(stated: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no time|of a closing|day of the week"):
        Closing(**{"start": "22:00", "end": "04:00", "zone": "UTC", "why": "x", **stated})  # type: ignore[arg-type]
