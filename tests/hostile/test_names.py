"""Business keys and ids have one normal form; characters that hide or disguise are refused."""

from __future__ import annotations

import unicodedata

import pytest

from tests.hostile.running import Running, case
from tests.hostile.sending import arena, statement, supplier, unique

REFUSED = {
    "zero width space": ("A\u200bB", "character-forbidden"),
    "zero width joiner": ("A\u200dB", "character-forbidden"),
    "byte order mark": ("A\ufeffB", "character-forbidden"),
    "soft hyphen": ("A\u00adB", "character-forbidden"),
    "right to left": ("A\u202eB", "character-forbidden"),
    "isolate": ("A\u2066B", "character-forbidden"),
    "control": ("A\u0007B", "character-forbidden"),
    "line separator": ("A\u2028B", "character-forbidden"),
    "invisible letter": ("A\u3164B", "character-forbidden"),
    "Cyrillic among Latin": ("ECO-\u0415", "character-lookalike"),
    "Greek among Latin": ("ECO-\u039f", "character-lookalike"),
    "full width": ("ECO-\uff11", "character-lookalike"),
    "styled": ("\U0001d404CO", "character-lookalike"),
    "no-break space": ("A\u00a0B", "character-lookalike"),
}


@pytest.mark.parametrize(("number", "code"), REFUSED.values(), ids=REFUSED)
async def test_h26_a_number_that_hides_or_disguises_a_character_is_one_case(
    service: Running, number: str, code: str
) -> None:
    (found,) = await service.take(arena(statement(number=number)))
    assert found.cases == case(found, code, "change.number")
    assert found.key == ""


@pytest.mark.parametrize("number", [text for text, _ in REFUSED.values()], ids=REFUSED)
async def test_h26_an_id_that_hides_or_disguises_a_character_is_one_case(
    service: Running, number: str
) -> None:
    (found,) = await service.take(supplier(unique("S"), id=f"{unique('m')}{number}"))
    assert found.cases == case(found, "identity-unusable", "id")


async def test_h26_composed_and_decomposed_forms_of_a_number_are_one_key(
    service: Running,
) -> None:
    number = unique("\u00c9\u00fc")
    found = await service.take(
        *(
            arena(statement(number=unicodedata.normalize(form, number)))
            for form in ("NFC", "NFD", "NFKC", "NFKD")
        )
    )
    assert {one.key for one in found} == {f"engineering-change/{number}"}
    assert [one.outcome for one in found] == ["applied"] * 4


async def test_h26_composed_and_decomposed_forms_of_an_id_are_one_message(
    service: Running,
) -> None:
    id_ = unique("\u00fc")
    first = supplier(unique("S"), id=id_)
    (found,) = await service.take(first)
    assert (found.id, found.outcome) == (id_, "applied")
    again = supplier(found.key.partition("/")[2], id=unicodedata.normalize("NFD", id_))
    assert again.raw != first.raw
    assert again.body == first.body
    assert await service.repeats(again) == {("coupa-supplier", "plm", id_): 1}


@pytest.mark.parametrize(
    "number", ["\u0410\u0411\u0412-1", "\u03a9-1", "10 k\u2126", "\u87ba\u4e1d-1"]
)
async def test_h26_a_number_in_a_script_of_its_own_is_taken(service: Running, number: str) -> None:
    (found,) = await service.take(arena(statement(number=number)))
    assert found.key == f"engineering-change/{unicodedata.normalize('NFC', number)}"
    assert found.cases == ()
