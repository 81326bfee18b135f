"""May a supplier be bought from: the table of `canonical.eligibility`, row by row, and its laws."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.eligibility import (
    MAX_PARENTS,
    Demand,
    Eligibility,
    Lineage,
    chain,
    eligibility,
    lineage,
)
from canonical.errors import InvalidMessage
from canonical.supplier import (
    Certificate,
    Qualification,
    QualificationStatus,
    ScopedQualification,
    Supplier,
    SupplierSite,
)

DAY = date(2026, 3, 2)
SEALS = Demand(category="seals", region="EU", business_unit="gears", plant="1010")
ANYTHING = Demand()


def scoped(status: QualificationStatus = "qualified", **stated: Any) -> ScopedQualification:
    return ScopedQualification(status, **stated)


def silent(number: str, *own: ScopedQualification, parent: str = "", **stated: Any) -> Supplier:
    """A supplier about whom nothing is stated as a whole."""
    return Supplier(
        number,
        f"Supplier {number}",
        stated.pop("active", True),
        Qualification("in_qualification"),
        parent=parent,
        inherits_qualification=True,
        qualifications=own,
    )


def outright(number: str, status: QualificationStatus, *own: ScopedQualification) -> Supplier:
    """A supplier with a status for everything."""
    return Supplier(number, number, True, Qualification(status), qualifications=own)


def group(*suppliers: Supplier) -> Lineage:
    return Lineage(suppliers)


def of(*own: ScopedQualification, demand: Demand = SEALS) -> Eligibility:
    """What these statements about one supplier alone say."""
    return eligibility(group(silent("S", *own)), demand, DAY)


# --- the rows of the table ---


def test_row_1_an_inactive_supplier_may_not_be_bought_from_whatever_is_stated() -> None:
    line = group(silent("S", scoped(), active=False), outright("P", "qualified"))
    assert eligibility(line, SEALS, DAY) == Eligibility("inactive", "S")


def test_row_2_a_disqualified_parent_overrules_the_qualification_of_its_child() -> None:
    ban = scoped("disqualified")
    line = group(outright("S", "qualified"), silent("P"), silent("G", ban))
    assert eligibility(line, SEALS, DAY) == Eligibility("disqualified", "G", ban)


def test_row_2_a_disqualified_child_says_nothing_about_its_parent_or_a_sister() -> None:
    parent = outright("P", "qualified")
    assert eligibility(group(outright("S", "disqualified"), parent), SEALS, DAY).by == "S"
    assert eligibility(group(parent), SEALS, DAY).is_eligible
    assert eligibility(group(silent("S2"), parent), SEALS, DAY).is_eligible


def test_row_2_a_disqualification_of_everything_overrules_a_narrower_qualification() -> None:
    line = group(outright("S", "disqualified", scoped(plant="1010")))
    assert eligibility(line, SEALS, DAY).outcome == "disqualified"


def test_row_2_a_disqualification_for_a_part_concerns_that_part_alone() -> None:
    line = group(silent("S"), outright("P", "qualified", scoped("disqualified", region="EU")))
    assert eligibility(line, SEALS, DAY).outcome == "disqualified"
    elsewhere = Demand(category="seals", region="US", plant="2010")
    assert eligibility(line, elsewhere, DAY) == Eligibility("qualified", "P", scoped())


def test_row_3_as_long_as_a_parent_is_not_known_nobody_can_say() -> None:
    line = Lineage((outright("S", "qualified"),), missing="P")
    assert eligibility(line, SEALS, DAY) == Eligibility("unknown", "P")
    assert eligibility(Lineage((), missing="S"), SEALS, DAY) == Eligibility("unknown", "S")
    banned = Lineage((outright("S", "disqualified"),), missing="P")
    assert eligibility(banned, SEALS, DAY).outcome == "disqualified"


def test_row_4_what_is_stated_about_the_supplier_itself_decides_before_its_parent() -> None:
    parent = outright("P", "qualified")
    line = group(outright("S", "in_qualification"), parent)
    assert eligibility(line, SEALS, DAY) == Eligibility(
        "in_qualification", "S", scoped("in_qualification")
    )
    line = group(silent("S", scoped("conditional", category="seals")), parent)
    assert eligibility(line, SEALS, DAY).outcome == "conditional"
    assert eligibility(line, Demand(category="bolts"), DAY).by == "P"


def test_row_5_without_a_statement_of_its_own_the_nearest_that_has_one_decides() -> None:
    line = group(silent("S"), silent("P"), outright("G", "qualified"), outright("U", "conditional"))
    assert eligibility(line, SEALS, DAY) == Eligibility("qualified", "G", scoped())


def test_row_5_can_be_switched_off_and_disqualifications_count_all_the_same() -> None:
    line = group(silent("S"), outright("P", "qualified"))
    assert eligibility(line, SEALS, DAY, is_inherited=False).outcome == "unstated"
    line = group(outright("S", "qualified"), outright("P", "disqualified"))
    assert eligibility(line, SEALS, DAY, is_inherited=False).outcome == "disqualified"


def test_row_5_nothing_but_a_disqualification_passes_through_an_inactive_parent() -> None:
    gone = silent("P", scoped(), active=False)
    line = group(silent("S"), gone, outright("G", "qualified"))
    assert eligibility(line, SEALS, DAY) == Eligibility("unstated", "S")
    line = group(
        outright("S", "qualified"), silent("P", active=False), outright("G", "disqualified")
    )
    assert eligibility(line, SEALS, DAY).by == "G"


def test_row_6_where_nobody_states_anything_it_may_not_be_bought_from() -> None:
    found = eligibility(group(silent("S"), silent("P")), SEALS, DAY)
    assert found == Eligibility("unstated", "S")
    assert not found.is_eligible


# --- scopes and days ---


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"category": "seals"},
        {"region": "EU"},
        {"business_unit": "gears"},
        {"plant": "1010"},
        {"category": "seals", "plant": "1010"},
    ],
)
def test_a_scope_covers_what_it_names_and_everything_it_does_not_name(
    scope: dict[str, Any],
) -> None:
    assert of(scoped(**scope)).is_eligible


@pytest.mark.parametrize("name", ["category", "region", "business_unit", "plant"])
def test_a_scope_that_names_another_one_or_what_nobody_says_covers_nothing(name: str) -> None:
    other: dict[str, Any] = {name: "other"}
    unsaid: dict[str, Any] = {name: "seals"}
    assert of(scoped(**other)).outcome == "unstated"
    assert of(scoped(**unsaid), demand=ANYTHING).outcome == "unstated"


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"category": "seals"}, {}),
        ({"plant": "1010"}, {"region": "EU"}),
        ({"plant": "1010"}, {"region": "EU", "business_unit": "gears"}),
        ({"plant": "1010", "category": "seals"}, {"plant": "1010"}),
        ({"plant": "1010", "category": "seals"}, {"region": "EU", "category": "seals"}),
        ({"region": "EU", "business_unit": "gears"}, {"business_unit": "gears"}),
    ],
)
def test_the_narrower_scope_decides(narrow: dict[str, Any], wide: dict[str, Any]) -> None:
    assert of(scoped(**narrow), scoped("in_qualification", **wide)).outcome == "qualified"
    assert of(scoped("in_qualification", **narrow), scoped(**wide)).outcome == "in_qualification"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"category": "seals"}, {"plant": "1010"}),
        ({"region": "EU"}, {"business_unit": "gears"}),
        ({"plant": "1010"}, {"plant": "1010", "region": "EU"}),
        ({}, {}),
    ],
)
def test_of_scopes_that_none_is_narrower_the_strictest_decides(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert of(scoped("conditional", **one), scoped(**other)).outcome == "conditional"
    assert of(scoped(**one), scoped("conditional", **other)).outcome == "conditional"


def test_a_qualification_holds_from_its_first_day_to_its_last() -> None:
    march = scoped(valid_from=date(2026, 3, 1), valid_until=date(2026, 3, 31))
    line = group(silent("S", march))
    outcomes = [
        eligibility(line, SEALS, date(2026, *day)).outcome
        for day in ((2, 28), (3, 1), (3, 31), (4, 1))
    ]
    assert outcomes == ["unstated", "qualified", "qualified", "lapsed"]


def test_a_lapsed_qualification_is_not_replaced_by_a_wider_one_or_by_the_parent() -> None:
    over = scoped(plant="1010", valid_until=date(2026, 3, 1))
    line = group(silent("S", over, scoped()), outright("P", "qualified"))
    assert eligibility(line, SEALS, DAY) == Eligibility("lapsed", "S", over)


def test_a_lapsed_qualification_is_replaced_by_the_next_one_of_the_same_scope() -> None:
    over = scoped(plant="1010", valid_until=date(2026, 3, 1))
    following = scoped(plant="1010", valid_from=date(2026, 3, 2))
    assert of(over, following) == Eligibility("qualified", "S", following)


def test_a_lapsed_qualification_is_stricter_than_a_conditional_one() -> None:
    over = scoped(plant="1010", valid_until=date(2026, 3, 1))
    assert of(over, scoped("conditional", category="seals")).outcome == "lapsed"
    assert of(over, scoped("in_qualification", category="seals")).outcome == "in_qualification"


def test_a_last_day_ends_no_qualification_that_is_still_under_way() -> None:
    under_way = scoped("in_qualification", valid_until=date(2025, 12, 31))
    assert of(under_way) == Eligibility("in_qualification", "S", under_way)
    assert of(under_way, scoped()).outcome == "in_qualification"


def test_a_disqualification_does_not_end_with_the_last_day_of_what_was_before() -> None:
    ban = scoped("disqualified", valid_until=date(2025, 12, 31))
    assert of(ban, scoped(plant="1010")).outcome == "disqualified"


def test_a_disqualification_that_is_announced_does_not_hold_yet() -> None:
    assert of(scoped("disqualified", valid_from=date(2026, 3, 3)), scoped()).is_eligible


def test_a_certificate_that_ended_takes_no_qualification_away() -> None:
    paper = Certificate("ISO 9001", "44 100", date(2025, 1, 1))
    assert of(scoped(certificates=(paper,))).is_eligible


def test_a_status_for_everything_is_a_statement_without_a_scope() -> None:
    supplier = outright("S", "conditional", scoped(plant="1010"))
    assert eligibility(group(supplier), SEALS, DAY).is_eligible
    assert eligibility(group(supplier), Demand(plant="2010"), DAY).outcome == "conditional"


def test_a_site_serves_the_plants_and_regions_it_names_else_all() -> None:
    assert SupplierSite("A").serves("1010", "")
    assert SupplierSite("A", plants=("1010",)).serves("1010", "US")
    assert SupplierSite("A", regions=("EU",)).serves("2010", "EU")
    assert not SupplierSite("A", plants=("1010",), regions=("EU",)).serves("2010", "")


# --- the hierarchy ---


def linked(*links: str) -> dict[str, Supplier]:
    """`S>P`: P is the parent of S; `S>`: it has none."""
    pairs = [link.split(">") for link in links]
    return {number: silent(number, parent=parent) for number, parent in pairs}


def test_the_line_goes_up_to_the_ultimate_parent() -> None:
    found = lineage("S", linked("S>P", "P>G", "G>", "X>P").get)
    assert [supplier.number for supplier in found.suppliers] == ["S", "P", "G"]
    assert found.missing is None


def test_the_line_ends_at_who_is_not_known() -> None:
    known = linked("S>P", "P>G")
    found = lineage("S", known.get)
    assert ([s.number for s in found.suppliers], found.missing) == (["S", "P"], "G")
    assert chain("S", known.get) == ("S", "P", "G")
    assert lineage("X", known.get) == Lineage((), missing="X")


@pytest.mark.parametrize(
    ("links", "start", "words"),
    [
        (("S>S",), "S", "S is part of S"),
        (("A>B", "B>A"), "B", "A is part of B is part of A"),
        (("S>C", "C>B", "B>A", "A>C"), "S", "A is part of C is part of B is part of A"),
    ],
)
def test_a_circular_hierarchy_is_refused_in_the_same_words_wherever_one_begins(
    links: tuple[str, ...], start: str, words: str
) -> None:
    known = linked(*links)
    with pytest.raises(InvalidMessage) as refused:
        lineage(start, known.get)
    assert refused.value.code == "supplier-hierarchy-circular"
    assert refused.value.what == f"A supplier is above itself: {words}"
    assert set(chain(start, known.get)) == set(known)


def test_a_hierarchy_has_at_most_so_many_levels() -> None:
    known = linked(*(f"{n}>{n + 1}" for n in range(MAX_PARENTS)), f"{MAX_PARENTS}>")
    assert len(lineage("0", known.get).suppliers) == MAX_PARENTS + 1
    known |= linked(f"{MAX_PARENTS}>top", "top>")
    with pytest.raises(InvalidMessage, match="supplier-hierarchy-too-deep"):
        lineage("0", known.get)
    assert len(chain("0", known.get)) == MAX_PARENTS + 1


# --- laws ---

WORDS = {
    "category": ["", "seals", "bolts"],
    "region": ["", "EU", "US"],
    "business_unit": ["", "gears"],
    "plant": ["", "1010", "2010"],
}
STATUSES: list[QualificationStatus] = [
    "qualified", "conditional", "in_qualification", "disqualified",
]  # fmt: skip
DAYS = st.none() | st.integers(-2, 2).map(lambda days: DAY + timedelta(days=days))
SCOPES = {name: st.sampled_from(words) for name, words in WORDS.items()}
STATED = st.builds(
    ScopedQualification,
    status=st.sampled_from(STATUSES),
    valid_from=DAYS,
    valid_until=DAYS,
    **SCOPES,
)
OWN = st.lists(STATED, max_size=5)
DEMANDS = st.builds(Demand, **SCOPES)
LINES = st.lists(OWN, min_size=1, max_size=4).map(
    lambda levels: [silent(str(n), *own) for n, own in enumerate(levels)]
)
# From the most to the least that is allowed.
ALLOWED = {"qualified": 2, "conditional": 1}


@given(LINES, DEMANDS, st.integers())
def test_the_order_of_qualifications_makes_no_difference(
    line: list[Supplier], demand: Demand, seed: int
) -> None:
    shuffled = [
        msgspec.structs.replace(
            s, qualifications=tuple(Random(seed).sample(s.qualifications, len(s.qualifications)))
        )
        for s in line
    ]
    assert eligibility(group(*line), demand, DAY) == eligibility(group(*shuffled), demand, DAY)


@given(OWN, STATED, DEMANDS)
def test_one_more_qualification_makes_no_difference_outside_of_its_scope(
    own: list[ScopedQualification], more: ScopedQualification, demand: Demand
) -> None:
    named = {name: getattr(more, name) for name in WORDS if getattr(more, name)}
    is_meant = all(getattr(demand, name) == word for name, word in named.items())
    before, after = of(*own, demand=demand), of(*own, more, demand=demand)
    if not is_meant or (more.valid_from is not None and more.valid_from > DAY):
        assert after == before
    elif more.status == "disqualified":
        assert after.outcome == "disqualified"


@given(LINES, DEMANDS)
def test_a_disqualification_at_the_top_allows_nothing_below_it(
    line: list[Supplier], demand: Demand
) -> None:
    top = outright("top", "disqualified")
    assert eligibility(group(*line, top), demand, DAY).outcome == "disqualified"


@given(LINES, DEMANDS, st.integers(1, 4))
def test_suppliers_of_whom_nothing_is_stated_pass_on_what_is_above_them(
    line: list[Supplier], demand: Demand, levels: int
) -> None:
    below = [silent(f"below {n}") for n in range(levels)]
    above, found = (eligibility(group(*s), demand, DAY) for s in (line, [*below, *line]))
    if above.outcome == "unstated":
        assert found == Eligibility("unstated", "below 0")
    else:
        assert found == above


@given(LINES, DEMANDS, OWN)
def test_a_further_parent_decides_only_where_nobody_below_it_did_or_it_disqualifies(
    line: list[Supplier], demand: Demand, stated: list[ScopedQualification]
) -> None:
    top = silent("top", *stated)
    before = eligibility(group(*line), demand, DAY)
    after = eligibility(group(*line, top), demand, DAY)
    if before.outcome != "unstated":
        assert after == before or (after.outcome, after.by) == ("disqualified", "top")
    else:
        own = eligibility(group(top), demand, DAY)
        assert after.outcome == own.outcome


@given(LINES, DEMANDS)
def test_without_inheritance_no_more_is_allowed_than_with_it(
    line: list[Supplier], demand: Demand
) -> None:
    by_itself = eligibility(group(*line), demand, DAY, is_inherited=False)
    inherited = eligibility(group(*line), demand, DAY)
    assert ALLOWED.get(by_itself.outcome, 0) <= ALLOWED.get(inherited.outcome, 0)
    assert by_itself.by == "0" or by_itself.outcome == "disqualified"


@given(st.dictionaries(st.integers(0, 12), st.none() | st.integers(0, 12), max_size=13))
def test_every_hierarchy_ends_is_refused_or_lacks_somebody(links: dict[int, int | None]) -> None:
    known = {
        str(n): silent(str(n), parent="" if above is None else str(above))
        for n, above in links.items()
    }
    numbers = chain("0", known.get)
    assert len(set(numbers)) == len(numbers) <= MAX_PARENTS + 1
    try:
        found = lineage("0", known.get)
    except InvalidMessage:
        assert all(number in known for number in numbers)
        assert known[numbers[-1]].parent != ""
        return
    behind = () if found.missing is None else (found.missing,)
    assert (*(supplier.number for supplier in found.suppliers), *behind) == numbers
    assert (found.missing is not None) == (numbers[-1] not in known)
