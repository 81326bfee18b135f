"""What is the plant's in a BOM of S/4HANA and stays so: scrap of a line, and lines of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import BomLine, Kept
from canonical.connector import Driver, Present
from canonical.errors import Conflict, Misconfigured
from canonical.operations import PutBom
from handlers.systems.s4.outbound import DRIVER
from tests.fixtures.change_sets import writes_of
from tests.unit.handlers.test_s4 import (
    FELT,
    Target,
    bom,
    boms,
    created,
    item_keys,
    line,
    next_write,
    row_of,
    seen,
    shown,
    step_of,
    stored,
)


def planned(put: PutBom, **stated: Any) -> PutBom:
    """The same BOM with what the rules say of it."""
    return PutBom(msgspec.structs.replace(put.bom, **stated))


def made(put: PutBom, driver: Driver, target: Target) -> bool:
    """The target holds the BOM; False where a person has to settle something first."""
    for _ in range(60):
        found = DRIVER.read(step_of(put), shown(put, target.header))
        assert isinstance(found, Present)
        try:
            write = driver.write(step_of(put), found, "key-1")
        except Conflict:
            return False
        if write is None:
            return True
        for request in writes_of(write.request):
            target.take(request)
    raise AssertionError("it never ends")


def scrap_of(target: Target) -> dict[str, str]:
    """By component; the components of a BOM are different ones."""
    return {
        row["BillOfMaterialComponent"]: row.get("ComponentScrapInPercent", "none")
        for row in target.items()
    }


PLANTS_FIELDS: Mapping[str, object] = {
    "ComponentScrapInPercent": "2.50",
    "OperationScrapInPercent": "1.00",
    "IsNetScrap": True,
    "ProdOrderIssueLocation": "0001",
}


def with_scrap(*lines: BomLine, base: str = "1") -> Target:
    """A BOM that engineering made and in which the plant maintains every line."""
    target = Target(bom(*lines, base=base))
    for row in target.items():
        row |= PLANTS_FIELDS
    return target


@pytest.mark.parametrize(
    "changed",
    [
        bom(line("10", "SEAL", "3"), line("20", "OIL", "1")),
        bom(line("15", "SEAL", "2"), line("20", "OIL", "1")),
        bom(line("10", "SEAL", "2", component_revision="C"), line("20", "OIL", "1")),
        bom(line("20", "OIL", "1"), line("10", "SEAL", "2")),
        bom(line("10", "SEAL", "20", fixed=True), line("20", "OIL", "1")),
        bom(line("A", "FELT", "1"), line("B", "SEAL", "2"), line("C", "OIL", "1")),
    ],
    ids=["quantity", "number", "revision", "order", "fixed", "numbers that are places"],
)
def test_what_the_plant_maintains_in_a_line_survives_its_change(changed: PutBom) -> None:
    target = with_scrap(line("10", "SEAL", "2"), line("20", "OIL", "1"))
    assert made(changed, DRIVER, target)
    for row in target.items():
        theirs = {name: row.get(name) for name in PLANTS_FIELDS}
        is_new = row["BillOfMaterialComponent"] == "FELT"
        assert theirs == (dict.fromkeys(PLANTS_FIELDS) if is_new else PLANTS_FIELDS)


def test_the_scrap_of_a_component_does_not_go_to_what_replaces_it_and_that_is_told() -> None:
    target = with_scrap(line("10", "SEAL", "2"), line("20", "OIL", "1"))
    replaced = bom(line("10", "FELT", "2"), line("20", "OIL", "1"))
    assert seen(replaced, target.header).differences == (
        "Line 0010: missing, wanted FELT",
        "Line 0010: SEAL, wanted none, and its scrap of 2.5 percent goes with it",
    )
    assert made(replaced, DRIVER, target)
    assert scrap_of(target) == {"FELT": "none", "OIL": "2.50"}


def test_a_line_before_them_does_not_mix_up_lines_of_one_component() -> None:
    """Numbers that are only places move: the second line is then where the first one was."""
    old = bom(line("0", "PIN", "2"), line("0", "PIN", "3"))
    target = Target(old)
    for row, scrap in zip(target.items(), ("5.00", "1.00"), strict=True):
        row["ComponentScrapInPercent"] = scrap
    new = bom(line("0", "OIL", "1"), line("0", "PIN", "2"), line("0", "PIN", "3"))
    assert made(new, DRIVER, target)
    held = {
        (row["BillOfMaterialItemNumber"], row["BillOfMaterialItemQuantity"]): row.get(
            "ComponentScrapInPercent"
        )
        for row in target.items()
    }
    assert held == {("0010", "1"): None, ("0020", "2.000"): "5.00", ("0030", "3.000"): "1.00"}


def test_a_number_that_engineering_gave_counts_before_a_quantity() -> None:
    target = Target(bom(line("10", "PIN", "2"), line("20", "PIN", "3")))
    for row, scrap in zip(target.items(), ("5.00", "1.00"), strict=True):
        row["ComponentScrapInPercent"] = scrap
    assert made(bom(line("10", "PIN", "3"), line("20", "PIN", "2")), DRIVER, target)
    assert [
        (row["BillOfMaterialItemNumber"], row["BillOfMaterialItemQuantity"],
         row["ComponentScrapInPercent"])
        for row in target.items()
    ] == [("0010", "3", "5.00"), ("0020", "2", "1.00")]  # fmt: skip


# --- lines of the plant's own ---


def own(component: str, category: str = "L", number: str = "0900") -> dict[str, Any]:
    """A line that people in the plant added."""
    return {
        "BillOfMaterialComponent": component,
        "BillOfMaterialItemCategory": category,
        "BillOfMaterialItemNumber": number,
        "BillOfMaterialItemUnit": "PC",
        "BillOfMaterialItemQuantity": "1.000",
        "ComponentScrapInPercent": "4.00",
    }


def adding(put: PutBom, *rows: dict[str, Any]) -> Target:
    target = Target(put)
    for node, row in enumerate(rows, 901):
        target.items().append(row | item_keys(target.header, node))
    return target


SEALED = bom(line("10", "SEAL", "2"))


@pytest.mark.parametrize(
    ("kept", "row"),
    [
        (Kept(prefixes=("PKG-",)), own("PKG-1")),
        (Kept(line_categories=("N",)), own("SEAL", "N")),
        (Kept(numbers=("BOX",), others=()), own("BOX")),
        (Kept(numbers=("4711",), others=()), own("000000000000004711")),
        (Kept(prefixes=("47",)), own("000000000000004711")),
    ],
    ids=["number", "category", "kind of item", "padded", "padded prefix"],
)
@pytest.mark.parametrize("driver", [DRIVER, DRIVER.one_by_one()], ids=["at once", "one by one"])
def test_a_line_of_the_plants_own_is_neither_changed_nor_taken_out(
    kept: Kept, row: dict[str, Any], driver: Driver
) -> None:
    target = adding(SEALED, row)
    before = copy.deepcopy(target.items()[-1])
    changed = planned(bom(line("10", "SEAL", "3"), line("900", "OIL", "1")), kept=kept)
    assert made(changed, driver, target)
    assert before in target.items()
    ours = [one["BillOfMaterialComponent"] for one in target.items() if one != before]
    assert sorted(ours) == ["OIL", "SEAL"]


def test_an_own_line_of_a_component_is_not_engineerings_line_of_it() -> None:
    """Engineering's stands beside it, as a line of another category."""
    target = adding(SEALED, own("OIL", "N"))
    changed = planned(
        bom(line("10", "SEAL", "2"), line("20", "OIL", "1")), kept=Kept(line_categories=("N",))
    )
    assert made(changed, DRIVER, target)
    assert sorted(
        (row["BillOfMaterialComponent"], row["BillOfMaterialItemCategory"])
        for row in target.items()
    ) == [("OIL", "L"), ("OIL", "N"), ("SEAL", "L")]


def test_what_nothing_tells_of_is_left_to_a_person_and_nothing_is_written() -> None:
    target = adding(SEALED, own("BOX"), own("GLUE", number="0910"))
    changed = planned(bom(line("10", "SEAL", "3")), kept=Kept(numbers=("BOX",), others=("OLD",)))
    with pytest.raises(Conflict, match=r"GLUE, wanted none.*nothing on record tells whether it is"):
        next_write(changed, seen(changed, target.header))
    # Once it is known to be none of the plant's, it goes.
    settled = planned(changed, kept=Kept(numbers=("BOX",), others=("GLUE",)))
    assert made(settled, DRIVER, target)
    assert sorted(row["BillOfMaterialComponent"] for row in target.items()) == ["BOX", "SEAL"]


def test_the_category_of_lines_is_always_asked_for() -> None:
    """Where it tells the plant's lines apart, and else to put a line back as it was."""
    for put in (SEALED, planned(SEALED, kept=Kept(line_categories=("N",)))):
        asked = dict(DRIVER.observe(step_of(put)).query)["$select"].split(",")
        assert asked.count("to_BillOfMaterialItem/BillOfMaterialItemCategory") == 1


def test_a_new_line_has_the_category_of_the_rules_and_one_that_is_there_keeps_its_own() -> None:
    put = planned(
        bom(line("10", "SEAL", "2"), line("20", "RAW", "1")), line_categories={"RAW": "R"}
    )
    body = created(put)
    assert row_of(body, "RAW")["BillOfMaterialItemCategory"] == "R"
    assert row_of(body, "SEAL")["BillOfMaterialItemCategory"] == "L"
    entity = stored(put, body)
    row_of(entity, "RAW")["BillOfMaterialItemCategory"] = "L"
    assert seen(put, entity).equal


@pytest.mark.parametrize(
    "stated",
    [
        {"kept": Kept(line_categories=("L",))},
        {"kept": Kept(line_categories=("R",)), "line_categories": {"SEAL": "R"}},
        {"kept": Kept(prefixes=("SEA",))},
        {"kept": Kept(numbers=("SEAL",), others=())},
    ],
)
def test_a_line_that_would_be_the_plants_once_it_is_there_is_never_written(
    stated: dict[str, Any],
) -> None:
    """It would be missing at every look, and be added again and again."""
    put = planned(SEALED, **stated)
    with pytest.raises(Misconfigured, match="line-plant-owned") as refused:
        created(put)
    assert refused.value.where == "bom/PUMP/10"
    with pytest.raises(Misconfigured, match="line-plant-owned"):
        seen(put, Target(SEALED).header)


def test_groups_of_alternatives_in_the_plants_own_lines_keep_their_names() -> None:
    """X0 is taken by two lines of the plant's: ours gets another name."""
    theirs = {"AlternativeItemGroup": "X0", "UsageProbabilityPercent": "50"}
    target = adding(SEALED, own("PKG-1") | theirs, own("PKG-2", number="0910") | theirs)
    sealed = line("10", "SEAL", "2", substitutions=(FELT,))
    changed = planned(bom(sealed), kept=Kept(prefixes=("PKG-",)))
    assert made(changed, DRIVER, target)
    groups = {row["BillOfMaterialComponent"]: row["AlternativeItemGroup"] for row in target.items()}
    assert groups == {"SEAL": "X1", "FELT": "X1", "PKG-1": "X0", "PKG-2": "X0"}


owners = st.sampled_from(
    [
        Kept(prefixes=("PKG-",)),
        Kept(line_categories=("N", "T")),
        Kept(numbers=("PKG-1", "PKG-2"), others=("SEAL", "OIL", "HOSE", "0042", "FELT", "WAX")),
    ]
)
own_rows = st.lists(
    st.builds(
        own,
        st.sampled_from(["PKG-1", "PKG-2"]),
        st.sampled_from(["N", "T"]),
        st.sampled_from(["0010", "0020", "0900"]),
    ),
    max_size=3,
)


@pytest.mark.parametrize("driver", [DRIVER, DRIVER.one_by_one()], ids=["at once", "one by one"])
@given(boms, boms, owners, own_rows)
def test_owned_lines_survive_whatever_engineering_changes(
    driver: Driver, old: PutBom, new: PutBom, kept: Kept, rows: list[dict[str, Any]]
) -> None:
    target = adding(old, *rows)
    before = copy.deepcopy([row for row in target.items() if is_own(row)])
    assert len(before) == len(rows)
    changed = planned(new, kept=kept)
    is_settled = made(changed, driver, target)
    assert [row for row in target.items() if is_own(row)] == before
    if is_settled:
        target.items()[:] = [row for row in target.items() if not is_own(row)]
        assert target.holds() == Target(new).holds()


def is_own(row: Mapping[str, Any]) -> bool:
    return str(row["BillOfMaterialComponent"]).startswith("PKG-")


@given(boms, boms, st.data())
def test_what_the_plant_maintains_stays_with_its_component_whatever_engineering_changes(
    old: PutBom, new: PutBom, data: st.DataObject
) -> None:
    target = Target(old)
    for row in target.items():
        row["ComponentScrapInPercent"] = data.draw(st.sampled_from(["0.00", "2.50", "5.00"]))
    before = {
        row["BillOfMaterialItemNodeNumber"]: (
            row["BillOfMaterialComponent"],
            row["ComponentScrapInPercent"],
        )
        for row in target.items()
    }
    made(new, DRIVER, target)
    for row in target.items():
        held = (row["BillOfMaterialComponent"], row.get("ComponentScrapInPercent"))
        assert held == before.get(
            row["BillOfMaterialItemNodeNumber"], (row["BillOfMaterialComponent"], None)
        )
