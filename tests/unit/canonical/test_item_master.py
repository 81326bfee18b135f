"""Patches of a material master: what is not said stays, what is empty goes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.codec import decode_json, encode
from canonical.item_master import ItemMaster, ItemMasterPatch, PlantPatch, PlantView, merge
from canonical.quantity import ItemUnit, Quantity, Ratio

WORDS = st.sampled_from(["A", "B", None, UNSET])
PLANTS = st.builds(
    PlantPatch,
    plant=st.sampled_from(["1010", "1020"]),
    status=WORDS,
    purchasing_group=WORDS,
    lead_time_days=st.sampled_from([0, 7, None, UNSET]),
    is_deleted=st.sampled_from([True, False, UNSET]),
)
PATCHES = st.builds(
    ItemMasterPatch,
    number=st.just("M-1"),
    version=st.integers(1, 9),
    group=WORDS,
    status=WORDS,
    gross_weight=st.sampled_from([Quantity(Decimal(5), "KGM"), None, UNSET]),
    descriptions=st.dictionaries(
        st.sampled_from(["EN", "DE"]), st.sampled_from(["Shaft", None]), max_size=2
    ),
    alternates=st.lists(
        st.builds(ItemUnit, st.sampled_from(["XBX", "XPX"]), st.builds(Ratio, st.integers(1, 50))),
        max_size=2,
    ).map(tuple),
    plants=st.lists(PLANTS, max_size=3).map(tuple),
)


def state(*patches: ItemMasterPatch) -> ItemMaster:
    found: ItemMaster | None = None
    for patch in patches:
        found = merge(found, patch)
    assert found is not None
    return found


def patch(**said: Any) -> ItemMasterPatch:
    return ItemMasterPatch("M-1", 1, **said)


@given(PATCHES, PATCHES)
def test_a_patch_that_is_merged_again_changes_nothing(
    first: ItemMasterPatch, then: ItemMasterPatch
) -> None:
    assert state(first, then, then) == state(first, then)


@given(PATCHES, st.integers(1, 9))
def test_a_patch_that_says_nothing_changes_nothing_but_the_version(
    first: ItemMasterPatch, version: int
) -> None:
    silent = ItemMasterPatch("M-1", version)
    assert state(first, silent) == msgspec.structs.replace(state(first), version=version)


@given(PATCHES)
def test_a_patch_says_on_the_wire_what_it_says(said: ItemMasterPatch) -> None:
    assert decode_json(encode(said), ItemMasterPatch) == said


def test_what_is_not_said_stays_what_is_empty_goes_and_what_is_said_counts() -> None:
    known = state(patch(group="G1", status="40", gtin="4006381333931"))
    found = merge(known, patch(group="G2", status=None))
    assert (found.group, found.status, found.gtin) == ("G2", "", "4006381333931")


def test_plants_units_and_texts_are_merged_one_by_one() -> None:
    box = ItemUnit("XBX", Ratio(12))
    known = state(
        patch(
            descriptions={"EN": "Shaft", "DE": "Welle"},
            alternates=(box, ItemUnit("XPX", Ratio(144))),
            plants=(PlantPatch("1010", status="01"), PlantPatch("1020", lead_time_days=7)),
        )
    )
    found = merge(
        known,
        patch(
            descriptions={"DE": None},
            alternates=(ItemUnit("XPX", Ratio(120)),),
            plants=(PlantPatch("1010", purchasing_group="E02"), PlantPatch("1005")),
        ),
    )
    assert found.descriptions == {"EN": "Shaft"}
    assert found.alternates == (box, ItemUnit("XPX", Ratio(120)))
    assert found.plants == (
        PlantView("1005"),
        PlantView("1010", status="01", purchasing_group="E02"),
        PlantView("1020", lead_time_days=7),
    )
