"""Replacements: the same for the same, another for another, of one form, never the original."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.masking import Masker

KEY = bytes(range(32))
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=120)
AMOUNTS = st.from_regex(r"-?[0-9]{1,9}([.,][0-9]{1,4})?-?", fullmatch=True)


def form(text: str) -> str:
    """What of a text of ASCII may be seen: its letters and digits as A, a and 9."""
    return re.sub("[0-9]", "9", re.sub("[a-z]", "a", re.sub("[A-Z]", "A", text)))


@pytest.mark.parametrize(
    "text",
    ["Miller & Sons Ltd.", "0049 (0)711 / 123-45", "17300003", "US-0012-b", "O'Neil", "Z", "7"],
)
def test_a_text_keeps_its_form_and_nothing_else(text: str) -> None:
    masked = Masker(KEY).text(text)
    assert form(masked) == form(text)
    assert masked != text


def test_zeros_before_a_number_stay() -> None:
    masked = Masker(KEY).text("A 0012 0")
    assert re.fullmatch("[A-Z] 00[1-9][0-9] 0", masked)


@given(TEXTS)
def test_a_text_is_the_same_each_time_and_never_the_original(text: str) -> None:
    masked = Masker(KEY).text(text)
    assert Masker(KEY).text(text) == masked
    has_more_than_zeros = any(c.isalpha() or (c.isdigit() and c != "0") for c in text)
    if has_more_than_zeros and text.strip().lower() not in ("true", "false"):
        assert masked != text
    assert len(masked) == len(text)


@given(st.sets(st.from_regex(r"[A-Z][a-z]{1,3}[0-9]", fullmatch=True), min_size=2, max_size=20))
def test_texts_of_one_form_never_become_the_same(texts: set[str]) -> None:
    masker = Masker(KEY)
    assert len({masker.text(text) for text in texts}) == len(texts)


def test_all_short_numbers_are_others_and_none_twice() -> None:
    masker = Masker(KEY)
    masked = {masker.text(str(number)): str(number) for number in range(10, 100)}
    assert sorted(masked) == [str(number) for number in range(10, 100)]
    assert not any(new == old for new, old in masked.items())


def test_another_key_makes_another_replacement() -> None:
    name = "Gearbox Works of Lenne"
    assert Masker(KEY).text(name) != Masker(bytes(32)).text(name)


def test_long_texts_that_begin_alike_do_not_become_alike() -> None:
    begin = "x" * 48
    first, second = Masker(KEY).text(begin + "a"), Masker(KEY).text(begin + "b")
    assert first[:48] != second[:48]


@given(AMOUNTS)
def test_an_amount_keeps_its_digits_before_and_after_the_mark(amount: str) -> None:
    masked = Masker(KEY).amount(amount)
    assert form(masked) == form(amount)
    digits = re.sub("[^0-9]", "", amount)
    leading = len(digits) - len(digits.lstrip("0"))
    assert re.sub("[^0-9]", "", masked).startswith("0" * leading)
    assert (masked != amount) == bool(digits.strip("0"))


@given(st.decimals("0.001", "99999", places=3), st.integers(0, 3))
def test_one_amount_written_in_two_ways_stays_one_amount(amount: Decimal, zeros: int) -> None:
    masker = Masker(KEY)
    written = f"{amount}{'0' * zeros}"
    assert Decimal(masker.amount(written)) == Decimal(masker.amount(str(amount)))


def test_units_beside_an_amount_and_powers_of_ten_stay() -> None:
    masker = Masker(KEY)
    assert re.fullmatch(r"[1-9][0-9]\.[1-9] EUR", masker.amount("12.5 EUR"))
    assert re.fullmatch(r"[1-9]\.[1-9]e3", masker.amount("1.5e3"))
    assert masker.amount("on request") == "on request"
    assert masker.amount("0.00") == "0.00"


def test_a_mail_address_stays_one_and_its_domain_stays_common() -> None:
    masker = Masker(KEY)
    first = masker.free("Ask ann.lee@works.example or bo@works.example.")
    found = re.fullmatch(
        r"Ask [a-z]{3}\.[a-z]{3}@([a-z]{5})\.example or [a-z]{2}@\1\.example\.", first
    )
    assert found is not None
    assert found[1] != "works"
    assert masker.text("bo@works.example") == first.split()[-1].removesuffix(".")


# The examples of ISO 13616's registry.
@pytest.mark.parametrize(
    "iban", ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "NO9386011117947"]
)
def test_an_iban_stays_one_of_its_country(iban: str) -> None:
    masked = Masker(KEY).free(f"to {iban}, please")
    new = masked.removeprefix("to ").removesuffix(", please")
    assert new != iban
    assert (new[:2], form(new)) == (iban[:2], form(iban))
    bare = new.replace(" ", "")
    assert int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def test_what_only_looks_like_an_iban_stays_in_free_text() -> None:
    assert Masker(KEY).free("part AB12 3456 7890 1234") == "part AB12 3456 7890 1234"


def test_phone_numbers_are_found_in_free_text() -> None:
    masked = Masker(KEY).free("Tel.: 0711 12345 or +49 170 5550123, part 0711 12345")
    assert re.fullmatch(r"Tel\.: 0\d{3} \d{5} or \+\d\d \d{3} \d{7}, part 0711 12345", masked)
    assert "Tel.: 0711 12345" not in masked
    assert "5550123" not in masked


def test_what_was_replaced_is_replaced_within_other_texts_too() -> None:
    masker = Masker(KEY)
    name = masker.text("Lenne Works")
    assert masker.swept("Made by LENNE WORKS, not Lenne Worksop") == (
        f"Made by {name}, not Lenne Worksop"
    )


def test_short_and_common_words_are_not_looked_for() -> None:
    masker = Masker(KEY)
    for word in ("Ulm", "69190", "Other", "false"):
        masker.text(word)
    assert masker.swept("Ulm 69190 Other false") == "Ulm 69190 Other false"
