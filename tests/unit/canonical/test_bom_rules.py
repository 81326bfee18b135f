"""Rules of BOMs: what they say of a plant, a component and a day, and which of them are refused."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Kept, PlantBom, owner_of
from canonical.bom_rules import BomRules, PlantOwned, Replacement, chain_from
from canonical.quantity import Quantity
from tests.fixtures.gearbox import CENTRAL, RULES, item

DAY = date(2026, 3, 2)
ONE = Quantity(Decimal(1), "H87")


def rules(**stated: Any) -> BomRules:
    """As they stand in a configuration."""
    return msgspec.convert(stated, BomRules)


def refusal(**stated: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as refused:
        rules(**stated)
    return str(refused.value)


def replaced(component: str, by: str, **stated: Any) -> dict[str, Any]:
    return {"component": component, "by": by, **stated}


# --- usage and alternative, item categories ---


@pytest.mark.parametrize(
    ("plant", "family", "found"),
    [
        ("1020", "Pumps", ("1", "1")),
        ("1020", "Spares", ("5", "1")),
        ("1010", "Pumps", ("1", "2")),
        ("1010", "Spares", ("1", "3")),
        ("2010", "Spares", ("4", "1")),
    ],
    ids=["neither", "family", "plant", "both", "plant before family"],
)
def test_the_most_special_use_counts_and_without_one_the_first_production_bom(
    plant: str, family: str, found: tuple[str, str]
) -> None:
    stated = rules(
        uses=[
            {"family": "Spares", "usage": "5"},
            {"plant": "1010", "alternative": "2"},
            {"plant": "1010", "family": "Spares", "alternative": "3"},
            {"plant": "2010", "usage": "4"},
        ]
    )
    use = stated.use(plant, family)
    assert (use.usage, use.alternative) == found


def test_the_first_category_of_lines_counts_that_fits_plant_kind_and_procurement() -> None:
    stated = rules(
        line_categories=[
            {"category": "R", "plants": ["1010"], "kinds": ["part"], "procurement": ["none"]},
            {"category": "N", "procurement": ["none"]},
        ]
    )
    raw, cut = item("RAW", "none"), item("CUT", "make")
    found = [stated.category(plant, one) for plant in ("1010", "2010") for one in (raw, cut)]
    assert found == ["R", "", "N", ""]


# --- kinds of components ---


@pytest.mark.parametrize(
    ("kinds", "is_named"),
    [
        ({"families": ["Packaging"]}, True),
        ({"categories": ["Box"]}, True),
        ({"prefixes": ["X-", "PKG-"]}, True),
        ({"families": ["Box"], "categories": ["Packaging"], "prefixes": ["KG-"]}, False),
        ({"families": ["Packaging"], "plants": ["2010"]}, False),
    ],
)
def test_a_component_is_of_a_kind_by_family_category_or_number(
    kinds: dict[str, Any], is_named: bool
) -> None:
    box = item("PKG-1", family="Packaging", category="Box")
    stated = rules(left_out=[kinds], plant_owned=[kinds])
    assert stated.leaves_out("1010", "PKG-1", box) is is_named
    assert stated.owns("1010", "PKG-1", box) is is_named


def test_of_an_item_that_is_not_known_only_the_number_tells() -> None:
    stated = rules(left_out=[{"families": ["Packaging"], "prefixes": ["PKG-"]}])
    assert stated.leaves_out("1010", "PKG-1", None)
    assert not stated.leaves_out("1010", "BOX-1", None)


@pytest.mark.parametrize("kind", ["left_out", "plant_owned"])
@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({}, "says of no component that it is about it"),
        ({"plants": ["1010"]}, "says of no component that it is about it"),
        ({"families": [""]}, "names an empty word"),
        ({"prefixes": ["PKG-", " "]}, "names an empty word"),
        ({"familys": ["Packaging"]}, "unknown field `familys`"),
    ],
)
def test_a_rule_that_is_about_nothing_or_everything_is_refused(
    kind: str, stated: dict[str, Any], says: str
) -> None:
    text = refusal(**{kind: [stated]})
    assert says in text
    assert f"$.{kind}[0]" in text


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"uses": [{"usage": ""}]}, "one of them is empty"),
        ({"uses": [{"plant": "1010"}, {"plant": "1010", "usage": "2"}]}, "plant 1010 and family *"),
        ({"line_categories": [{"category": " "}]}, "The item category of lines is empty"),
        ({"line_categories": [{"category": "N", "kinds": ["screw"]}]}, "Invalid enum value"),
    ],
)
def test_uses_and_categories_that_say_nothing_or_two_things_are_refused(
    stated: dict[str, Any], says: str
) -> None:
    assert says in refusal(**stated)


def test_a_plant_that_is_not_ours_is_refused_with_the_rules() -> None:
    whole = {
        "plants": [msgspec.to_builtins(CENTRAL)],
        "distribution": [],
        "routes": [],
        "central_purchasing_org": "1000",
        "boms": {"left_out": [{"plants": ["1010", "9999"], "families": ["Packaging"]}]},
    }
    with pytest.raises(msgspec.ValidationError, match="name plant 9999, which is not ours"):
        msgspec.convert(whole, type(RULES))


# --- replacements ---


def test_a_replacement_holds_in_its_plants_from_its_first_to_its_last_day() -> None:
    stated = rules(
        replacements=[
            replaced("A", "B", plants=["1010"], first_day=DAY, last_day=DAY + timedelta(days=1)),
            replaced("A", "C", plants=["2010"]),
        ]
    )
    found = {
        (plant, days): list(stated.replacements_in(plant, DAY + timedelta(days=days)))
        for plant in ("1010", "1020", "2010")
        for days in (-1, 0, 1, 2)
    }
    assert {place for place, components in found.items() if components} == {
        ("1010", 0),
        ("1010", 1),
        *(("2010", days) for days in (-1, 0, 1, 2)),
    }


def test_a_chain_is_followed_to_its_end_with_its_ratios() -> None:
    stated = rules(
        replacements=[replaced("A", "B", ratio=[1, 2]), replaced("B", "C", ratio=[2, 3])]
    )
    in_force = stated.replacements_in("1010", DAY)
    assert [one.by for one in chain_from("A", in_force)] == ["B", "C"]
    assert [one.factor for one in chain_from("A", in_force)] == [Fraction(1, 2), Fraction(2, 3)]
    assert chain_from("C", in_force) == ()


@pytest.mark.parametrize(
    ("replacements", "says"),
    [
        ([replaced("A", "A")], "A is replaced by itself"),
        ([replaced("A", "B"), replaced("B", "A")], "in a circle: A by B by A"),
        (
            [replaced("A", "B"), replaced("B", "C", plants=["1010"]), replaced("C", "B")],
            "in a circle: B by C by B",
        ),
        (
            [
                replaced("A", "B", last_day=DAY),
                replaced("B", "A", first_day=DAY),
            ],
            "in a circle: A by B by A",
        ),
        ([replaced("A", "B", ratio=[0, 1])], "The ratio of B to A is not positive"),
        ([replaced("A", "B", ratio=[1, -1])], "The ratio of B to A is not positive"),
        (
            [replaced("A", "B", first_day=DAY, last_day=DAY - timedelta(days=1))],
            "The replacement of A ends before it begins",
        ),
        (
            [replaced("A", "B"), replaced("A", "C", plants=["1010"], first_day=DAY)],
            "A is replaced by B and by C in one plant on one day",
        ),
    ],
)
def test_replacements_that_go_round_or_contradict_each_other_are_refused(
    replacements: list[dict[str, Any]], says: str
) -> None:
    assert says in refusal(replacements=replacements)


def test_what_holds_in_other_plants_or_on_other_days_is_no_circle_and_no_contradiction() -> None:
    rules(replacements=[replaced("A", "B", plants=["1010"]), replaced("B", "A", plants=["2010"])])
    day_after = DAY + timedelta(days=1)
    rules(replacements=[replaced("A", "B", last_day=DAY), replaced("B", "A", first_day=day_after)])
    rules(replacements=[replaced("A", "B", last_day=DAY), replaced("A", "C", first_day=day_after)])


@st.composite
def replacements(draw: st.DrawFn) -> Replacement:
    first, last = (draw(st.none() | st.integers(0, 5)) for _ in range(2))
    days = sorted(day for day in (first, last) if day is not None)
    component, by = draw(st.lists(st.sampled_from("ABCD"), min_size=2, max_size=2, unique=True))
    return Replacement(
        component,
        by,
        plants=tuple(draw(st.sets(st.sampled_from(["1010", "2010"])))),
        first_day=None if first is None else DAY + timedelta(days=days[0]),
        last_day=None if last is None else DAY + timedelta(days=days[-1]),
    )


@given(st.lists(replacements(), max_size=5))
def test_whatever_is_not_refused_leads_somewhere_in_every_plant_on_every_day(
    stated: list[Replacement],
) -> None:
    plants, days = ("1010", "2010", "3010"), [DAY + timedelta(days=n) for n in range(-1, 7)]

    def said(component: str, plant: str, day: date) -> list[str]:
        """By the plain words of the rules."""
        return [
            one.by
            for one in stated
            if one.component == component
            and (not one.plants or plant in one.plants)
            and (one.first_day or date.min) <= day <= (one.last_day or date.max)
        ]

    def is_sound(component: str, plant: str, day: date) -> bool:
        seen = [component]
        while following := said(seen[-1], plant, day):
            if len(following) > 1 or following[0] in seen:
                return False
            seen += following
        return True

    places = [(component, plant, day) for component in "ABCD" for plant in plants for day in days]
    try:
        found = BomRules(replacements=tuple(stated))
    except ValueError:
        assert not all(is_sound(*place) for place in places)
        return
    for component, plant, day in places:
        assert is_sound(component, plant, day)
        chain = chain_from(component, found.replacements_in(plant, day))
        last = chain[-1].by if chain else component
        assert said(last, plant, day) == []


# --- whose a line is ---


def bom(kept: Kept) -> PlantBom:
    return PlantBom("1010", "PUMP", "B", "1", "1", ONE, (), kept=kept)


@pytest.mark.parametrize(
    ("kept", "component", "category", "owner"),
    [
        (Kept(), "PKG-1", "L", "engineering"),
        (Kept(prefixes=("PKG-",)), "PKG-1", "L", "plant"),
        (Kept(prefixes=("KG-",)), "PKG-1", "L", "engineering"),
        (Kept(line_categories=("N",)), "PKG-1", "N", "plant"),
        (Kept(line_categories=("N",)), "PKG-1", "", "engineering"),
        (Kept(numbers=("PKG-1",), others=()), "PKG-1", "L", "plant"),
        (Kept(numbers=("PKG-1",), others=("SEAL-1",)), "SEAL-1", "L", "engineering"),
        (Kept(numbers=("PKG-1",), others=("SEAL-1",)), "BOX-1", "L", "unknown"),
        (Kept(line_categories=("N",), others=()), "BOX-1", "N", "plant"),
    ],
)
def test_a_line_is_the_plants_by_number_category_or_kind_of_item(
    kept: Kept, component: str, category: str, owner: str
) -> None:
    assert owner_of(bom(kept))(component, category) == owner


def test_numbers_are_compared_as_the_target_spells_them() -> None:
    kept = Kept(numbers=("4711",), others=("0042",))
    tells = owner_of(bom(kept), spelled=lambda number: number.lstrip("0"))
    assert tells("0004711", "L") == "plant"
    assert tells("42", "L") == "engineering"
    assert owner_of(bom(kept))("0004711", "L") == "unknown"


def test_without_a_word_about_the_plant_every_line_is_engineerings() -> None:
    plain = PlantBom("1010", "PUMP", "B", "1", "1", ONE, ())
    assert owner_of(plain)("PKG-1", "N") == "engineering"


def test_a_rule_goes_by_the_item_where_it_names_families_or_categories() -> None:
    assert PlantOwned(families=("Packaging",)).goes_by_item
    assert PlantOwned(categories=("Box",)).goes_by_item
    assert not PlantOwned(prefixes=("PKG-",), line_categories=("N",)).goes_by_item
