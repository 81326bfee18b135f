"""Text from outside: one form for comparison, no invisible characters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from canonical.text import normalise_id, normalise_text, received_id, same_id


def test_composed_and_decomposed_forms_are_one_id() -> None:
    assert normalise_id("M\u00fc-10") == normalise_id("Mu\u0308-10") == "M\u00fc-10"
    assert same_id("M\u00fc-10", "Mu\u0308-10")


def test_an_id_is_sent_back_as_it_came() -> None:
    assert received_id(" Mu\u0308-10\n") == "Mu\u0308-10"
    assert same_id(received_id("Mu\u0308-10"), "M\u00fc-10")


@pytest.mark.parametrize("text", ["", " ", "A\u200bB", "\u0410BC", "x" * 300])
def test_an_id_that_is_none_is_sent_back_to_nobody(text: str) -> None:
    with pytest.raises(InvalidMessage):
        received_id(text)


@pytest.mark.parametrize(
    ("received", "compared"),
    [
        (" 10-400 ", "10-400"),
        ("\t10-400\r\n", "10-400"),
        ("\u00a010-400\u00a0", "10-400"),
        ("PART  A", "PART  A"),
        ("abcDEF", "abcDEF"),
        ("00010", "00010"),
        ("\u00b5A741", "\u00b5A741"),
        ("\u2126-50", "\u03a9-50"),
        ("ДЕТАЛЬ-7", "ДЕТАЛЬ-7"),
        ("部品-7", "部品-7"),
    ],
)
def test_an_id_loses_blanks_around_it_and_nothing_else(received: str, compared: str) -> None:
    assert normalise_id(received) == compared


@pytest.mark.parametrize(
    "char",
    [
        *["\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028"],
        *["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u3164", "\ufe0f"],
        *["\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u061c"],
        *["\ud800", "\uffff", "\ufdd0"],
        *["\u00a0", "\u2003", "\u3000"],
        *["\uff21", "\U0001d400", "\u24b6"],
        *["\u0410", "\u0435", "\u0391", "\u03bf"],
    ],
)
def test_a_character_that_hides_or_disguises_is_refused_inside_an_id(char: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        normalise_id(f"PART{char}7", where="item.number")
    assert caught.value.where == "item.number"
    assert f"U+{ord(char):04X}" in caught.value.what


@pytest.mark.parametrize("text", ["", "  ", "\t\u00a0", "x" * 256, "x" * 10_000])
def test_an_empty_or_overlong_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage):
        normalise_id(text)


@given(st.text(max_size=40))
def test_normalising_an_id_again_changes_nothing(text: str) -> None:
    try:
        once = normalise_id(text)
    except InvalidMessage:
        return
    assert normalise_id(once) == once
    assert same_id(text, once)


@given(st.text("ABCäöüéñ0123456789-_/. ", min_size=1, max_size=40))
def test_every_unicode_form_of_an_id_is_one_key(text: str) -> None:
    if not text.strip():
        return
    forms = {normalise_id(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(forms) == 1


def test_prose_keeps_its_lines_joiners_and_foreign_letters() -> None:
    prose = "Gehäuse, 2 µm\n\tΩ-Form, Корпус, \u0645\u06cc\u200c\u062e, \u2764\ufe0f"
    assert normalise_text(prose) == prose


def test_prose_is_composed() -> None:
    assert normalise_text("Geha\u0308use") == "Geh\u00e4use"


@pytest.mark.parametrize(
    "char", ["\x00", "\x1b", "\x7f", "\u200b", "\ufeff", "\u202e", "\u2066", "\ud800", "\uffff"]
)
def test_prose_with_control_zero_width_or_bidi_characters_is_refused(char: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        normalise_text(f"Bolt {char} M6", where="item.description")
    assert caught.value.code == "character-forbidden"
    assert caught.value.where == "item.description"


def test_overlong_prose_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        normalise_text("x" * 41, max_chars=40)


@given(st.text(max_size=60))
def test_accepted_prose_can_be_stored_and_sent(text: str) -> None:
    try:
        normal = normalise_text(text)
    except InvalidMessage:
        return
    assert "\x00" not in normal
    assert normal.encode("utf-8").decode("utf-8") == normal
