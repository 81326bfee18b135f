"""Terms of info records: their patches, and keys that two of them never share."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.codec import decode_json, encode
from canonical.errors import InvalidMessage
from canonical.purchasing import InfoRecordTerms, InfoRecordTermsPatch, info_record_key, merge
from canonical.text import joined_key
from tests.strategies import quantities, ratios, unit_prices

WORDS = st.sampled_from(["A", "B", None, UNSET])
FLAGS = st.sampled_from([True, False, UNSET])
NOTHING = st.sampled_from([None, UNSET])
PATCHES = st.builds(
    InfoRecordTermsPatch,
    supplier=st.just("S-1"),
    item=st.just("SEAL-1"),
    organisation=st.just("1000"),
    plant=st.just(""),
    category=st.just("standard"),
    version=st.integers(1, 9),
    supplier_item=WORDS,
    order_to_base=NOTHING | ratios(),
    price=NOTHING | unit_prices(),
    minimum=NOTHING | quantities(("H87",)),
    over_tolerance=st.sampled_from([Decimal(0), Decimal("2.5"), None, UNSET]),
    is_deleted=FLAGS,
)
PARTS = st.text("AB/1", min_size=1, max_size=3)


def state(*patches: InfoRecordTermsPatch) -> InfoRecordTerms:
    found: InfoRecordTerms | None = None
    for patch in patches:
        found = merge(found, patch)
    assert found is not None
    return found


@given(PATCHES, PATCHES)
def test_a_patch_that_is_merged_again_changes_nothing(
    first: InfoRecordTermsPatch, then: InfoRecordTermsPatch
) -> None:
    assert state(first, then, then) == state(first, then)


@given(PATCHES, st.integers(1, 9))
def test_a_patch_that_says_nothing_changes_nothing_but_the_version(
    first: InfoRecordTermsPatch, version: int
) -> None:
    silent = InfoRecordTermsPatch("S-1", "SEAL-1", "1000", "", "standard", version)
    assert state(first, silent) == msgspec.structs.replace(state(first), version=version)


@given(PATCHES)
def test_a_patch_says_on_the_wire_what_it_says(said: InfoRecordTermsPatch) -> None:
    assert decode_json(encode(said), InfoRecordTermsPatch) == said


def test_every_field_of_a_patch_is_one_of_the_document() -> None:
    *said, origin = InfoRecordTermsPatch.__struct_fields__
    assert tuple(said) == InfoRecordTerms.__struct_fields__
    # Who says it is no part of what is known.
    assert origin == "origin"


def test_the_item_stands_last_in_a_key_since_its_number_may_hold_slashes() -> None:
    terms = InfoRecordTermsPatch("S-1", "SEAL/7/A", "1000", "", "standard", 1)
    assert info_record_key(terms) == "info-record/S-1/1000//standard/SEAL/7/A"


@pytest.mark.parametrize("field", ["supplier", "organisation", "plant", "category"])
def test_a_slash_elsewhere_in_a_key_is_refused(field: str) -> None:
    terms = InfoRecordTermsPatch("S-1", "SEAL-1", "1000", "", "standard", 1)
    with pytest.raises(InvalidMessage) as refused:
        info_record_key(msgspec.structs.replace(terms, **{field: "1/2"}))
    assert refused.value.code == "id-with-slash"


@given(st.tuples(PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS))
def test_no_two_objects_share_a_key(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    keys = []
    for parts in (first, second):
        try:
            keys.append(joined_key("kind", *parts))
        except InvalidMessage:
            return
    assert (keys[0] == keys[1]) == (first == second)
