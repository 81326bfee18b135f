"""What all patches have in common: three states of a field, and views merged by their name."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.patch import Flag, Text, merge_texts, merge_views, said


class View(msgspec.Struct, frozen=True):
    name: str
    word: str = "none"
    is_deleted: bool = False


class Patch(msgspec.Struct, frozen=True):
    name: str
    word: Text = UNSET
    is_deleted: Flag = UNSET


PATCHES = st.lists(
    st.builds(
        Patch,
        st.sampled_from("ABC"),
        word=st.sampled_from(["x", "y", None, UNSET]),
        is_deleted=st.sampled_from([True, False, UNSET]),
    ),
    max_size=4,
)
TEXTS = st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["x", None]), max_size=3)


def views(*patches: list[Patch]) -> tuple[View, ...]:
    found: tuple[View, ...] = ()
    for several in patches:
        found = merge_views(found, several, of=View, by="name")
    return found


def test_what_is_said_is_a_value_or_the_default_where_it_is_empty_now() -> None:
    assert said(Patch("A", word="x"), View) == {"name": "A", "word": "x"}
    assert said(Patch("A", word=None), View) == {"name": "A", "word": "none"}
    assert said(Patch("A", is_deleted=True), View, without=("name",)) == {"is_deleted": True}


def test_views_are_merged_by_their_name_and_stand_in_its_order() -> None:
    before = views([Patch("B", word="x"), Patch("C", word="y")])
    found = merge_views(before, [Patch("B", is_deleted=True), Patch("A")], of=View, by="name")
    assert found == (View("A"), View("B", "x", is_deleted=True), View("C", "y"))


def test_texts_are_merged_by_their_word_and_none_takes_one_away() -> None:
    assert merge_texts({"EN": "Shaft", "DE": "Welle"}, {"DE": None, "FR": "Arbre"}) == {
        "EN": "Shaft",
        "FR": "Arbre",
    }


@given(PATCHES, PATCHES)
def test_views_that_are_merged_again_are_the_same(first: list[Patch], then: list[Patch]) -> None:
    assert views(first, then, then) == views(first, then)


@given(TEXTS, TEXTS)
def test_texts_that_are_merged_again_are_the_same(
    first: dict[str, str | None], then: dict[str, str | None]
) -> None:
    once = merge_texts(merge_texts({}, first), then)
    assert merge_texts(once, then) == once
