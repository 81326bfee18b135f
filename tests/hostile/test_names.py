"""Business keys and ids have one normal form; characters that hide or disguise are refused."""

from __future__ import annotations

import unicodedata

from tests.hostile.found import case
from tests.hostile.running import Running
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


async def test_h26_numbers_that_hide_or_disguise_a_character_are_one_case_each(
    service: Running,
) -> None:
    found = await service.take(*(arena(statement(number=n)) for n, _ in REFUSED.values()))
    assert [one.cases for one in found] == [
        case(one, code, "change.number")
        for one, (_, code) in zip(found, REFUSED.values(), strict=True)
    ]
    assert {one.key for one in found} == {""}


async def test_h26_ids_that_hide_or_disguise_a_character_are_one_case_each(
    service: Running,
) -> None:
    ids = [f"{unique('m')}{text}" for text, _ in REFUSED.values()]
    found = await service.take(*(supplier(unique("S"), id=id_) for id_ in ids))
    assert [one.cases for one in found] == [case(one, "identity-unusable", "id") for one in found]


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
    assert await service.repeats(again) == [("coupa-supplier", "plm", id_)]


async def test_h26_numbers_in_a_script_of_their_own_are_taken(service: Running) -> None:
    numbers = ["\u0410\u0411\u0412-1", "\u03a9-1", "10 k\u2126", "\u87ba\u4e1d-1"]
    found = await service.take(*(arena(statement(number=number)) for number in numbers))
    assert [(one.key, one.cases) for one in found] == [
        (f"engineering-change/{unicodedata.normalize('NFC', number)}", ()) for number in numbers
    ]
