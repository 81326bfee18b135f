"""Times as other systems write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from handlers.systems.timestamps import microseconds, parse_timestamp
from tests.strategies import moments

AT = datetime(2017, 12, 11, 23, 22, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2017-12-11T23:22:28Z",
        " 2017-12-11T23:22:28Z ",
        "2017-12-12T00:22:28+01:00",
        "2017-12-12T00:22:28+0100",
        "2017-12-11T15:22:28-0800",
        "2017-12-11T23:22:28.000000Z",
    ],
)
def test_trap_an_offset_may_lack_its_colon_and_never_be_missing(text: str) -> None:
    assert parse_timestamp(text, where="time") == AT
    with pytest.raises(InvalidMessage) as caught:
        parse_timestamp("2017-12-11T23:22:28", where="time")
    assert (caught.value.code, caught.value.where) == ("time-malformed", "time")


@pytest.mark.parametrize(
    "text",
    ["", "2017-12-11", "2017-13-11T23:22:28Z", "2017-12-11T25:22:28Z", "11.12.2017T23:22:28Z",
     "2017-12-11T23:22:28+9:00", "2017-12-11T23:22:28Z" + " " * 40 + "x",
     "\u0662017-12-11T23:22:28Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage):
        parse_timestamp(text, where="time")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_what_falls_off_the_calendar_in_utc_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage, match="time-out-of-bounds"):
        parse_timestamp(text, where="time")


@given(
    moments(),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_an_instant_is_the_same_in_every_zone_and_grows_with_time(
    at: datetime, zone: timezone
) -> None:
    stated = at.astimezone(zone)
    assert parse_timestamp(stated.isoformat(), where="time") == stated
    later = parse_timestamp((stated + timedelta(microseconds=1)).isoformat(), where="time")
    assert microseconds(later) == microseconds(stated) + 1
