"""Which system the routes name, for which plant and on which day, and when that changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom_rules import BomRules
from canonical.rules import Plant, Route, Rules

LONG_AGO = date(2020, 1, 1)
BERLIN = Plant("1010", "Regensburg", "Europe/Berlin", "central", "1010", company="1000")
PARIS = Plant("1020", "Saint-Priest", "Europe/Paris", "local", "1020", company="1000")
NEW_YORK = Plant("2010", "Greenville", "America/New_York", "local", "2010", company="2000")
ALONE = Plant("3010", "Pune", "Asia/Kolkata", "local", "3010")
PLANTS = (BERLIN, PARIS, NEW_YORK, ALONE)
DAY = date(2026, 3, 2)


def rules(*routes: Route) -> Rules:
    return Rules(plants=PLANTS, distribution=(), routes=routes, central_purchasing_org="1000")


def to(system: str, kind: str = "*", plant: str = "*", **stated: Any) -> Route:
    return Route(kind, plant, system, **{"from_day": LONG_AGO, **stated})


def held(found: Rules, kind: str = "item", on: date = DAY) -> list[str | None]:
    """Who holds such objects for each plant, and for no plant."""
    return [found.system_for(kind, plant, on) for plant in ("1010", "1020", "2010", "3010", "*")]


# --- who buys ---


@pytest.mark.parametrize(
    ("groups", "central", "plants", "group"),
    [
        (("A", "A", "B", ""), "", ("1010", "1020"), "A"),
        (("A", "A", "B", ""), "Z", ("1010", "1020"), "A"),
        (("A", "A", "B", ""), "Z", ("1010", "2010"), "Z"),
        (("A", "A", "B", ""), "", ("1010", "2010"), ""),
        (("A", "A", "B", ""), "Z", ("2010", "3010"), "Z"),
        (("A", "A", "B", ""), "", ("3010",), ""),
        (("A", "A", "B", ""), "Z", ("3010",), "Z"),
        # A plant that is none of ours, none at all, and none that is named.
        (("A", "A", "A", "A"), "Z", ("1010", "4711"), "Z"),
        (("A", "A", "A", "A"), "", ("1010", ""), ""),
        (("A", "A", "A", "A"), "Z", (), "Z"),
    ],
)
def test_who_buys_for_several_plants_is_their_one_group_or_the_central_one(
    groups: tuple[str, ...], central: str, plants: tuple[str, ...], group: str
) -> None:
    found = msgspec.structs.replace(
        rules(),
        plants=tuple(
            msgspec.structs.replace(plant, purchasing_group=its)
            for plant, its in zip(PLANTS, groups, strict=True)
        ),
        central_purchasing_group=central,
    )
    assert found.group_for(plants) == group


def test_nobody_is_named_to_buy_where_the_rules_do_not_say() -> None:
    assert BERLIN.purchasing_group == ""
    assert rules().group_for(["1010"]) == ""


# --- which route counts ---


def test_a_company_is_named_for_all_its_plants_and_for_no_other() -> None:
    found = rules(to("old"), to("new", company="1000"))
    assert held(found) == ["new", "new", "old", "old", "old"]


def test_a_plant_comes_before_its_company_and_its_company_before_any() -> None:
    later = date(2026, 1, 1)
    found = rules(
        to("any", from_day=later, kind="item"),
        to("company", company="1000", from_day=later),
        to("plant", plant="1010"),
    )
    assert held(found) == ["plant", "company", "any", "any", "any"]


def test_a_plant_of_another_company_has_no_such_route() -> None:
    found = rules(to("any"), to("other", plant="1010", company="2000"))
    assert held(found) == ["any"] * 5


def test_a_named_kind_comes_before_any_in_the_same_place_and_then_the_latest_day() -> None:
    later = date(2026, 1, 1)
    found = rules(
        to("boms", kind="bom", company="1000"),
        to("all", company="1000", from_day=later),
        to("first", company="2000"),
        to("second", company="2000", from_day=later),
    )
    assert held(found, "bom") == ["boms", "boms", "second", None, None]
    assert held(found, "item") == ["all", "all", "second", None, None]


def test_the_last_day_of_a_route_is_one_on_which_it_is_valid() -> None:
    last = date(2026, 3, 31)
    found = rules(to("old", until_day=last), to("new", from_day=date(2026, 4, 3)))
    days = (last, date(2026, 4, 1), date(2026, 4, 2), date(2026, 4, 3))
    assert [found.system_for("item", "1010", day) for day in days] == ["old", None, None, "new"]


def test_after_a_special_route_has_ended_the_general_one_counts_again() -> None:
    lent = to("lent", plant="1010", from_day=date(2026, 3, 1), until_day=date(2026, 3, 31))
    found = rules(to("own"), lent)
    days = (date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1))
    assert [found.system_for("item", "1010", day) for day in days] == ["own", "lent", "lent", "own"]


def test_reports_and_copies_go_by_company_and_last_day_too() -> None:
    found = rules(
        to("suite", "purchase-order", company="1000", until_day=DAY),
        to("plm", "change-notice", until_day=DAY),
    )
    after = DAY + timedelta(days=1)
    assert [found.systems_given("purchase-order", plant, DAY) for plant in ("1010", "2010")] == [
        ("suite",),
        (),
    ]
    assert found.systems_given("purchase-order", "1010", after) == ()
    assert [found.system_told("change-notice", day) for day in (DAY, after)] == ["plm", None]


# --- what the file may say ---


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"until_day": date(2019, 12, 31)}, "ends before that, on 2019-12-31"),
        ({"company": ""}, "names no company"),
        ({"until": date(2026, 1, 1)}, "unknown field `until`"),
    ],
)
def test_a_route_that_is_never_valid_is_refused(stated: dict[str, Any], said: str) -> None:
    row = {"object_kind": "*", "plant": "*", "system": "erp", "from_day": LONG_AGO}
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(row | stated, Route)


def test_a_route_of_one_day_and_one_without_end_are_taken() -> None:
    row = {"object_kind": "*", "plant": "*", "system": "erp", "from_day": LONG_AGO}
    assert msgspec.convert(row, Route) == to("erp")
    one_day = row | {"until_day": LONG_AGO}
    assert msgspec.convert(one_day, Route) == to("erp", until_day=LONG_AGO)


# --- over some days ---

CUT_OVER = rules(to("old"), to("new", plant="1010", from_day=date(2026, 4, 1)))


@pytest.mark.parametrize(
    ("first", "last", "systems"),
    [
        (date(2026, 3, 1), date(2026, 3, 31), ("old",)),
        (date(2026, 3, 1), date(2026, 4, 1), ("old", "new")),
        (date(2026, 3, 31), date(2027, 1, 1), ("old", "new")),
        (date(2026, 4, 1), date(2027, 1, 1), ("new",)),
        (date(2019, 1, 1), date(2019, 12, 31), ()),
        (date(2026, 4, 2), date(2026, 4, 1), ()),
    ],
)
def test_over_some_days_every_system_that_has_held_it_is_named(
    first: date, last: date, systems: tuple[str, ...]
) -> None:
    assert CUT_OVER.systems_holding("item", "1010", first, last) == systems


def test_another_plant_is_not_touched_by_a_cut_over() -> None:
    assert CUT_OVER.systems_holding("item", "2010", LONG_AGO, date.max) == ("old",)


def test_a_system_that_comes_back_is_named_once() -> None:
    lent = to("lent", plant="1010", from_day=date(2026, 3, 1), until_day=date(2026, 3, 31))
    found = rules(to("own"), lent)
    assert found.systems_holding("item", "1010", LONG_AGO, date.max) == ("own", "lent")


def test_reports_over_some_days_name_only_routes_of_their_kind() -> None:
    found = rules(
        to("erp"),
        to("plm", "change-notice"),
        to("new-plm", "change-notice", from_day=date(2026, 4, 1)),
    )
    assert found.systems_told("change-notice", DAY, date.max) == ("plm", "new-plm")
    assert found.systems_told("item-notice", DAY, date.max) == ()


# --- the next cut-over ---


def at(plant: Plant, year: int, month: int, day: int) -> datetime:
    """Midnight there, in UTC."""
    return datetime(year, month, day, tzinfo=ZoneInfo(plant.zone)).astimezone(UTC)


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_cut_over_is_at_the_midnight_of_the_plant_that_has_it_first() -> None:
    everywhere = rules(to("old"), to("new", from_day=date(2026, 4, 1)))
    plants = ("2010", "1010", "3010", "*")
    assert everywhere.next_cut_over(plants, NOON) == at(ALONE, 2026, 4, 1)
    assert everywhere.next_cut_over(("2010", "1010"), NOON) == at(BERLIN, 2026, 4, 1)
    in_berlin = at(BERLIN, 2026, 4, 1)
    assert everywhere.next_cut_over(("2010", "1010"), in_berlin) == at(NEW_YORK, 2026, 4, 1)
    assert everywhere.next_cut_over(("2010", "1010"), at(NEW_YORK, 2026, 4, 1)) is None


def test_the_day_after_the_last_one_is_a_cut_over() -> None:
    found = rules(to("old", until_day=date(2026, 3, 31)))
    assert found.next_cut_over(("1010",), NOON) == at(BERLIN, 2026, 4, 1)


def test_what_is_of_another_plant_or_over_is_no_cut_over() -> None:
    found = rules(
        to("old", until_day=date(2026, 3, 1)),
        to("new", plant="2010", from_day=date(2026, 4, 1)),
        to("other", company="2000", from_day=date(2026, 4, 1)),
    )
    assert found.next_cut_over(("1010", "*"), NOON) is None
    assert found.next_cut_over(("2010",), NOON) == at(NEW_YORK, 2026, 4, 1)


@pytest.mark.parametrize("never", [date(9999, 1, 1), date(9999, 12, 31)])
def test_a_day_in_the_last_year_never_comes(never: date) -> None:
    found = rules(to("old", until_day=never), to("new", from_day=never))
    assert found.next_cut_over(("1010", "3010", "*"), NOON) is None


# --- the next replacement ---


def replacing(*rows: dict[str, object]) -> Rules:
    boms = msgspec.convert({"replacements": rows}, BomRules)
    return msgspec.structs.replace(rules(to("erp")), boms=boms)


def test_a_replacement_begins_and_ends_at_midnights_of_its_plant() -> None:
    row = {"component": "A", "by": "B", "first_day": date(2026, 4, 1), "last_day": date(2026, 4, 9)}
    found = replacing(row)
    begins, ends = at(BERLIN, 2026, 4, 1), at(BERLIN, 2026, 4, 10)
    assert found.next_replacement(["1010"], {"A"}, NOON) == begins
    assert found.next_replacement(["1010"], {"A"}, begins - timedelta(seconds=1)) == begins
    assert found.next_replacement(["1010"], {"A"}, begins) == ends
    assert found.next_replacement(["1010"], {"A"}, ends) is None
    assert found.next_replacement(["2010", "1010"], {"A"}, begins) == at(NEW_YORK, 2026, 4, 1)


def test_what_is_of_another_plant_or_component_or_for_ever_is_no_turn() -> None:
    found = replacing(
        {"component": "A", "by": "B", "first_day": date(2026, 4, 1), "plants": ["2010"]},
        {"component": "C", "by": "D"},
        {"component": "E", "by": "F", "last_day": date(2026, 3, 1)},
        {"component": "G", "by": "H", "last_day": date(9999, 12, 31)},
    )
    assert found.next_replacement(["1010"], {"A", "C", "E", "G"}, NOON) is None
    assert found.next_replacement(["2010"], {"B", "C"}, NOON) is None
    assert found.next_replacement(["2010"], {"A"}, NOON) == at(NEW_YORK, 2026, 4, 1)


# --- laws ---

DAYS = st.integers(0, 40).map(lambda n: date(2026, 3, 1) + timedelta(days=n))
CODES = ("1010", "2010", "3010", "*")
KINDS = ("item", "bom")


@st.composite
def tables(draw: st.DrawFn) -> Rules:
    """Up to six routes between four systems."""
    routes = []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(DAYS)
        last = draw(st.none() | st.integers(0, 20).map(lambda n: timedelta(days=n)))
        routes.append(
            Route(
                draw(st.sampled_from(("*", *KINDS))),
                draw(st.sampled_from(("*", *CODES))),
                draw(st.sampled_from("ABCD")),
                first,
                company=draw(st.sampled_from(("*", "*", "1000", "2000"))),
                until_day=None if last is None else first + last,
            )
        )
    return rules(*routes)


@given(tables(), st.sampled_from(KINDS), st.sampled_from(CODES), DAYS, DAYS)
def test_over_some_days_each_day_is_covered_and_nothing_else(
    table: Rules, kind: str, plant: str, first: date, last: date
) -> None:
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    by_day = [table.system_for(kind, plant, day) for day in days]
    expected = dict.fromkeys(system for system in by_day if system is not None)
    assert table.systems_holding(kind, plant, first, last) == tuple(expected)
    told = [table.system_told(kind, day, plant) for day in days]
    expected = dict.fromkeys(system for system in told if system is not None)
    assert table.systems_told(kind, first, last, plant) == tuple(expected)


@given(tables(), st.sampled_from(CODES), st.integers(0, 60 * 24))
def test_until_the_next_cut_over_every_answer_is_the_same(
    table: Rules, plant: str, hours: int
) -> None:
    now = datetime(2026, 2, 20, tzinfo=UTC) + timedelta(hours=hours)
    then = table.next_cut_over((plant,), now)
    assert then is None or then > now
    end = then or now + timedelta(days=60)

    def answers(moment: datetime) -> list[object]:
        on = table.day_in(plant, moment)
        return [
            answer
            for kind in KINDS
            for answer in (
                table.system_for(kind, plant, on),
                table.system_told(kind, on, plant),
                table.systems_given(kind, plant, on),
            )
        ]

    moment = now
    while moment < end:
        assert answers(moment) == answers(now)
        moment += timedelta(hours=12)
    assert answers(end - timedelta(seconds=1)) == answers(now)
