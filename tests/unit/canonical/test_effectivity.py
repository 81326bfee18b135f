"""Effectivity: half-open inside, inclusive days only at the edge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effectivity import (
    OPEN_END,
    DateEffectivity,
    Effectivity,
    LotEffectivity,
    SerialEffectivity,
    from_inclusive_dates,
    midnight,
)
from canonical.errors import InvalidMessage
from tests.strategies import ZONES, date_effectivities, days, moments, numbered_effectivities

MICROSECOND = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    year, month, day, *clock = parts
    hour, minute = (*clock, 0, 0)[:2]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_the_last_valid_day_is_covered_and_the_next_is_not() -> None:
    may = from_inclusive_dates(date(2024, 5, 1), date(2024, 5, 31), "Europe/Berlin")
    assert may.start == utc(2024, 4, 30, 22)
    assert may.end == utc(2024, 5, 31, 22)
    assert may.is_effective(utc(2024, 4, 30, 22))
    assert may.is_effective(utc(2024, 5, 31, 21, 59))
    assert not may.is_effective(utc(2024, 5, 31, 22))
    assert not may.is_effective(utc(2024, 4, 30, 21, 59))


def test_one_day_is_a_whole_effectivity() -> None:
    day = from_inclusive_dates(date(2024, 2, 29), date(2024, 2, 29), "UTC")
    assert (day.start, day.end) == (utc(2024, 2, 29), utc(2024, 3, 1))


@pytest.mark.parametrize("last", [None, OPEN_END])
def test_no_last_day_and_9999_12_31_both_mean_open(last: date | None) -> None:
    effectivity = from_inclusive_dates(date(2024, 1, 1), last, "America/Los_Angeles")
    assert effectivity.end is None
    assert effectivity.is_effective(utc(9000, 1, 1))
    assert effectivity.to_inclusive_dates() == (date(2024, 1, 1), date(9999, 12, 31))


@given(days(), days(), st.sampled_from(ZONES))
def test_inclusive_days_survive_the_way_in_and_out(one: date, two: date, zone: str) -> None:
    first, last = sorted((one, two))
    assert from_inclusive_dates(first, last, zone).to_inclusive_dates() == (first, last)


@given(date_effectivities())
def test_whole_days_survive_the_way_out_and_in(effectivity: DateEffectivity) -> None:
    first, last = effectivity.to_inclusive_dates()
    assert from_inclusive_dates(first, last, effectivity.zone) == effectivity


def test_days_have_the_length_the_zone_gives_them() -> None:
    spring = from_inclusive_dates(date(2024, 3, 31), date(2024, 3, 31), "Europe/Berlin")
    autumn = from_inclusive_dates(date(2024, 10, 27), date(2024, 10, 27), "Europe/Berlin")
    assert spring.end is not None
    assert autumn.end is not None
    assert spring.end - spring.start == timedelta(hours=23)
    assert autumn.end - autumn.start == timedelta(hours=25)


def test_a_day_without_midnight_begins_with_its_first_minute() -> None:
    # Brazil put the clock forward at midnight of 4 November 2018.
    assert midnight(date(2018, 11, 4), "America/Sao_Paulo") == utc(2018, 11, 4, 3)
    day = from_inclusive_dates(date(2018, 11, 3), date(2018, 11, 4), "America/Sao_Paulo")
    assert day.to_inclusive_dates() == (date(2018, 11, 3), date(2018, 11, 4))


def test_an_instant_within_a_day_is_not_stated_in_days_without_a_decision() -> None:
    approved = DateEffectivity(utc(2024, 5, 6, 13, 30), None, "Europe/Berlin")
    with pytest.raises(InvalidMessage) as caught:
        approved.to_inclusive_dates()
    assert caught.value.code == "effectivity-within-day"
    assert approved.by_whole_days().to_inclusive_dates() == (date(2024, 5, 6), OPEN_END)


@given(moments(), st.timedeltas(MICROSECOND, timedelta(days=4000)), st.sampled_from(ZONES))
def test_whole_days_cover_what_they_replace(start: datetime, length: timedelta, zone: str) -> None:
    exact = DateEffectivity(start, start + length, zone)
    whole = exact.by_whole_days()
    assert whole.end is not None
    assert whole.start <= start
    assert start + length <= whole.end
    assert whole.by_whole_days() == whole


def test_instants_of_another_offset_are_kept_in_utc() -> None:
    pacific = timezone(timedelta(hours=-8))
    given_there = DateEffectivity(datetime(2024, 1, 1, tzinfo=pacific), None, "UTC")
    assert given_there == DateEffectivity(utc(2024, 1, 1, 8), None, "UTC")


@given(date_effectivities(), date_effectivities())
def test_overlap_is_mutual_and_means_a_common_moment(
    left: DateEffectivity, right: DateEffectivity
) -> None:
    later_start = max(left.start, right.start)
    common = left.is_effective(later_start) and right.is_effective(later_start)
    assert left.overlaps(right) == right.overlaps(left) == common


def test_effectivities_that_follow_each_other_do_not_overlap() -> None:
    may = from_inclusive_dates(date(2024, 5, 1), date(2024, 5, 31), "UTC")
    june = from_inclusive_dates(date(2024, 6, 1), None, "UTC")
    assert not may.overlaps(june)
    assert may.overlaps(from_inclusive_dates(date(2024, 5, 31), None, "UTC"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"date","start":"2024-01-01T00:00:00","end":null,"zone":"UTC"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":"9999-12-31T23:59:59-14:00","zone":"UTC"}',
        b'{"kind":"date","start":"0001-01-01T00:00:00+14:00","end":null,"zone":"UTC"}',
        b'{"kind":"date","start":"2024-01-02T00:00:00Z","end":"2024-01-02T00:00:00Z","zone":"UTC"}',
        b'{"kind":"date","start":"2024-06-30T23:59:60Z","end":null,"zone":"UTC"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":null,"zone":"Europe"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":null,"zone":"../etc/passwd"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":null,"zone":"localtime"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":null,"zone":"Mars/Olympus"}',
        b'{"kind":"date","start":"2024-01-01T00:00:00Z","end":null,"zone":""}',
        b'{"kind":"serial","start":"SN-X","end":null}',
        b'{"kind":"serial","start":"SN10","end":"SN10"}',
        b'{"kind":"lot","start":"A10","end":"B20"}',
        b'{"kind":"month","start":"A10","end":"B20"}',
    ],
)
def test_an_effectivity_that_means_nothing_is_a_data_error(body: bytes) -> None:
    with pytest.raises((InvalidMessage, msgspec.ValidationError)):
        msgspec.json.decode(body, type=Effectivity)


def test_a_moment_without_zone_is_refused() -> None:
    always = from_inclusive_dates(date(2024, 1, 1), None, "UTC")
    with pytest.raises(InvalidMessage) as caught:
        always.is_effective(datetime(2024, 1, 1))  # noqa: DTZ001 - the point of the test
    assert caught.value.code == "time-without-zone"


def test_serial_numbers_are_counted_not_spelled() -> None:
    units = SerialEffectivity("SN9", "SN100")
    assert units.is_effective("SN9")
    assert units.is_effective("SN010")
    assert units.is_effective("SN99")
    assert not units.is_effective("SN100")
    assert not units.is_effective("SN8")
    assert not units.is_effective("TN50")
    assert SerialEffectivity("SN9", None).is_effective("SN123456")


def test_lots_of_another_prefix_never_overlap() -> None:
    assert LotEffectivity("A100", "A200").overlaps(LotEffectivity("A199", None))
    assert not LotEffectivity("A100", "A200").overlaps(LotEffectivity("A200", None))
    assert not LotEffectivity("A100", "A200").overlaps(LotEffectivity("B150", None))


def counted(number: str, by: int) -> str:
    """The number so many later."""
    return f"{number[:2]}{int(number[2:]) + by:05d}"


Numbered = SerialEffectivity | LotEffectivity


@given(numbered_effectivities())
def test_the_first_number_is_covered_and_the_end_is_not(one: Numbered) -> None:
    assert one.is_effective(one.start)
    assert not one.is_effective(counted(one.start, -1))
    if one.end is None:
        assert one.is_effective(counted(one.start, 10**12))
    else:
        assert one.is_effective(counted(one.end, -1))
        assert not one.is_effective(one.end)
        assert not one.is_effective(counted(one.end, 1))


@given(numbered_effectivities(), st.integers(0, 10_001))
def test_a_number_is_in_where_it_stands_between_start_and_end(one: Numbered, value: int) -> None:
    end = float("inf") if one.end is None else int(one.end[2:])
    assert one.is_effective(f"{one.start[:2]}{value}") == (int(one.start[2:]) <= value < end)
    assert not one.is_effective(f"X{value}")


@given(st.data(), st.sampled_from([SerialEffectivity, LotEffectivity]))
def test_overlap_of_numbers_is_mutual_and_means_a_common_number(
    data: st.DataObject, kind: type[SerialEffectivity] | type[LotEffectivity]
) -> None:
    left, right = (data.draw(numbered_effectivities(kind)) for _ in range(2))
    later = max(left, right, key=lambda one: int(one.start[2:])).start
    common = left.is_effective(later) and right.is_effective(later)
    assert left.overlaps(right) == right.overlaps(left) == common  # type: ignore[arg-type]


@given(numbered_effectivities(), st.integers(1, 500))
def test_what_follows_an_end_joins_it_without_gap_or_overlap(one: Numbered, length: int) -> None:
    end = one.end or counted(one.start, length)
    before = type(one)(one.start, end)
    after = type(one)(end, counted(end, length))
    assert not before.overlaps(after)  # type: ignore[arg-type]
    whole = type(one)(one.start, after.end)
    for number in (one.start, counted(end, -1), end, counted(end, 1), counted(end, length)):
        assert whole.is_effective(number) == (
            before.is_effective(number) or after.is_effective(number)
        )
    assert whole.overlaps(before)  # type: ignore[arg-type]
    assert whole.overlaps(after)  # type: ignore[arg-type]


def test_numbers_are_shown_with_where_they_begin_and_end() -> None:
    assert SerialEffectivity("SN100", None).shown == "serial number SN100 on"
    assert LotEffectivity("L1", "L9").shown == "lot L1 up to, and without, L9"


@given(date_effectivities() | numbered_effectivities())
def test_an_effectivity_survives_json(effectivity: Effectivity) -> None:
    assert msgspec.json.decode(msgspec.json.encode(effectivity), type=Effectivity) == effectivity
