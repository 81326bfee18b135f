"""The words of a life cycle as data: each is understood in one way, and written in one."""

from __future__ import annotations

from collections import Counter

import pytest

from canonical.errors import Misconfigured
from canonical.lifecycle import STATES, inbound, outbound, words

SOURCES = sorted({word.source for word in words()})


def test_a_word_means_one_state_and_a_state_has_one_word_to_be_written() -> None:
    said = Counter((w.source, w.text) for w in words() if w.direction == "in")
    written = Counter((w.source, w.state) for w in words() if w.direction == "out")
    assert {*said.values(), *written.values()} == {1}
    assert all(w.text == w.text.strip() != "" for w in words())


def test_states_are_those_of_the_domain_in_their_order() -> None:
    assert STATES == ("in_design", "in_review", "released", "superseded", "on_hold", "obsolete")
    assert {word.state for word in words()} <= set(STATES)


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_written_to_a_source_that_is_read_comes_back_as_it_was(source: str) -> None:
    said = inbound(source)
    for state, word in outbound(source).items():
        assert not said or said[word.casefold()] == state


def test_words_stand_under_the_source_that_has_them() -> None:
    assert inbound("arena-stage")["PRODUCTION"] == "released"
    assert inbound("pdx")["evaluation"] == "in_design"
    assert outbound("pdx")["on_hold"] == "Unqualified"
    assert outbound("sap-material-status") == {"on_hold": "01", "obsolete": "01"}
    assert inbound("sap-material-status") == {}


def test_a_source_without_a_row_is_a_fault_of_the_program() -> None:
    with pytest.raises(Misconfigured, match="lifecycle-source-unknown"):
        inbound("agile")
