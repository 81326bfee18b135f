"""Words of one installation: which rows are refused, and that they go before the package's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.errors import Misconfigured
from canonical.lifecycle import STATES
from canonical.own_words import NO_WORDS, OwnWords
from canonical.rules import Rules
from canonical.units import UnknownUnit, from_rec20, to_rec20
from tests.strategies import ALL_UNITS

CODES = st.sampled_from(ALL_UNITS)
WORDS = st.text(st.characters(codec="latin-1", categories=["L", "N", "P"]), min_size=1, max_size=8)


def rows(meanings: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Words that differ by more than their case, each with what it means."""
    pairs = st.tuples(WORDS, meanings)
    return st.lists(pairs, max_size=6, unique_by=lambda pair: pair[0].casefold()).map(dict)


def refusal(**stated: Any) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        OwnWords(**stated)
    assert caught.value.code == "words-invalid"
    return caught.value


def test_own_words_go_before_the_words_of_the_table() -> None:
    own = OwnWords(units={"Stk.": "H87", "EA": "XBX"})
    assert to_rec20("pdx", "Stk.", own.codes) == "H87"
    assert to_rec20("pdx", "EA", own.codes) == "XBX"
    assert to_rec20("pdx", "EA") == "H87"


def test_blanks_and_case_of_a_word_do_not_matter() -> None:
    own = OwnWords(units={" Stk. ": "H87"}, lifecycle={"In Work (Plant)": "in_design"})
    assert to_rec20("pdx", "\tSTK. ", own.codes) == "H87"
    assert own.state(" in work (PLANT)") == "in_design"
    assert from_rec20("sap", "H87", own.units) == "Stk."


def test_a_word_in_neither_table_is_refused_with_the_place_for_it() -> None:
    own = OwnWords(units={"Stk.": "H87"})
    with pytest.raises(UnknownUnit) as caught:
        to_rec20("pdx", "Rolle", own.codes)
    assert caught.value.code == "unit-unmapped"
    assert "rules.words" in caught.value.remedy
    assert own.state("In Work") is None


def test_of_several_words_for_one_meaning_the_first_is_written() -> None:
    own = OwnWords(
        units={"Stk.": "H87", "Stck": "H87", "Rolle": "XRO"},
        lifecycle={"Z8": "on_hold", "Z9": "obsolete", "ZA": "obsolete"},
    )
    assert own.phases == {"on_hold": "Z8", "obsolete": "Z9"}
    assert from_rec20("sap", "H87", own.units) == "Stk."
    assert from_rec20("sap", "XRO", own.units) == "Rolle"
    assert from_rec20("sap", "KGM", own.units) == "KG"


def test_a_unit_that_the_table_cannot_write_is_written_by_a_word_of_its_own() -> None:
    with pytest.raises(UnknownUnit):
        from_rec20("coupa", "XBE")
    assert from_rec20("coupa", "XBE", {"Bund": "XBE"}) == "Bund"


def test_a_name_that_means_another_unit_in_own_words_is_not_written() -> None:
    own = OwnWords(units={"kg": "XBX"})
    with pytest.raises(UnknownUnit) as caught:
        from_rec20("sap", "KGM", own.units, where="item/P-1")
    assert caught.value.what == "sap has no unit for KGM (kilogram): KG is another unit there"
    assert from_rec20("sap", "XBX", own.units) == "kg"


@pytest.mark.parametrize(
    ("stated", "where", "what", "remedy"),
    [
        ({"units": {"Stk.": "PIECE"}}, 'units."Stk."', "'PIECE' is no unit code", "rec20.csv"),
        ({"units": {"Pack": "PK"}}, 'units."Pack"', "was deleted from Recommendation 20", "XPK"),
        ({"units": {"Stk.": "EA"}}, 'units."Stk."', "A piece is H87 everywhere", "H87"),
        ({"units": {"Stk": "H87", "STK ": "H87"}}, 'units."STK "', "there twice", "out"),
        ({"units": {" ": "H87"}}, 'units." "', "The word is empty", "out"),
        (
            {"lifecycle": {"In Work": "in_desing"}},
            'lifecycle."In Work"',
            "'in_desing' is no state of a life cycle",
            "in_design, in_review",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_its_name(
    stated: dict[str, Any], where: str, what: str, remedy: str
) -> None:
    failure = refusal(**stated)
    assert failure.where == where
    assert what in failure.what
    assert remedy in failure.remedy


def test_a_status_says_of_the_life_cycle_what_the_own_words_say() -> None:
    own = OwnWords(lifecycle={"Z9": "obsolete"})
    assert own.status("z9") == "obsolete"
    # Another status, or none any more, ends what an earlier one said.
    assert own.status("07") is None
    assert own.status(None) is None
    assert own.status(UNSET) is UNSET
    assert NO_WORDS.status("Z9") is UNSET
    assert NO_WORDS.status(None) is UNSET


def test_rules_know_the_words_of_who_has_some() -> None:
    document = {
        "plants": [],
        "distribution": [],
        "routes": [],
        "central_purchasing_org": "1000",
        "words": {"plm": {"units": {"Stk.": "H87"}}},
    }
    rules = msgspec.convert(document, Rules)
    assert rules.words_of("plm").codes == {"stk.": "H87"}
    assert rules.words_of("erp") is NO_WORDS


@given(rows(CODES), CODES)
def test_what_is_written_is_read_as_the_same_unit(units: dict[str, str], code: str) -> None:
    own = OwnWords(units=units)
    for written in (code, *units.values()):
        with suppress(UnknownUnit):
            word = from_rec20("sap", written, own.units)
            assert to_rec20("sap", word, own.codes) == written


@given(rows(CODES))
def test_a_unit_with_a_word_of_its_own_can_be_written(units: dict[str, str]) -> None:
    own = OwnWords(units=units)
    for code in units.values():
        assert own.units[from_rec20("sap", code, own.units)] == code


@given(rows(CODES), rows(st.sampled_from(STATES)), WORDS)
def test_every_word_means_what_its_row_says_and_no_other_word_anything(
    units: dict[str, str], lifecycle: dict[str, str], other: str
) -> None:
    own = OwnWords(units=units, lifecycle=lifecycle)
    assert [own.codes[word.casefold()] for word in units] == [*units.values()]
    assert [own.state(word) for word in lifecycle] == [*lifecycle.values()]
    assert own.state(other) in {
        state for word, state in lifecycle.items() if word.casefold() == other.casefold()
    } | {None}
