"""Genuine messages of every driver with a part missing, given twice or moved, numbers padded, or in
another encoding: refused as bad data with its place, or taken as what they say; never anything
else."""

from __future__ import annotations

import codecs
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.errors import Failure
from tests.contract.genuine import (
    GENUINE,
    OF_CSV,
    OF_JSON,
    OF_XML,
    answer,
    body_of,
    encoding_of,
    is_recognised,
    new_cases,
    parts_of,
    refusal,
    text_of,
)
from tests.contract.parts import Part, Path, part_at, paths, with_inner, with_parts, with_text

# Every change in every place in the longer suite, else of longer messages each eleventh: there are
# not eleven changes, so that each of them comes to some places.
EACH = 1 if os.environ.get("LAYSHAFT_FULL") == "1" else 11
SHORT = 700
MANY = 40

Parts = tuple[Part, ...]
Change = Callable[[Parts, int], Parts]


# A part that is missing, comes twice or comes elsewhere


def dropped(parts: Parts, at: int) -> Parts:
    return (*parts[:at], *parts[at + 1 :])


def twice(parts: Parts, at: int) -> Parts:
    return (*parts[: at + 1], *parts[at:])


def again_at_the_end(parts: Parts, at: int) -> Parts:
    return (*parts, parts[at])


def moved_to_the_end(parts: Parts, at: int) -> Parts:
    return (*dropped(parts, at), parts[at])


def the_other_way_round(parts: Parts, at: int) -> Parts:
    """Once for all that stand beside each other."""
    return parts[::-1] if at == 0 else parts


NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def written(change: Callable[[str], str]) -> Change:
    """Another way to write it, of what looks like a number."""

    def among(parts: Parts, at: int) -> Parts:
        if not NUMBER.fullmatch(parts[at].text):
            return parts
        return (*parts[:at], parts[at]._replace(text=change(parts[at].text)), *parts[at + 1 :])

    return among


CHANGES: Mapping[str, Change] = {
    "dropped": dropped,
    "twice": twice,
    "again at the end": again_at_the_end,
    "moved to the end": moved_to_the_end,
    "the other way round": the_other_way_round,
    "zeros before": written(lambda text: f"000{text}"),
    "decimals": written(lambda text: text if "." in text else f"{text}.000"),
    "zeros behind the point": written(lambda text: f"{text}000" if "." in text else text),
    "a blank before": written(lambda text: f" {text}"),
    "blanks and a tab behind": written(lambda text: f"{text}  \t"),
}
# With zeros before it, it may be the number of another object. What is written so says the same, or
# is refused, or left out with a case.
MEANS_NOTHING = {"zeros behind the point", "a blank before", "blanks and a tab behind"}


def changed(name: str) -> Iterator[tuple[str, Path, Part]]:
    """The message with one change in one place."""
    genuine = parts_of(name)
    pairs = [*itertools.product(paths(genuine), CHANGES.items())]
    each = EACH if len(pairs) > SHORT else 1
    # Messages of one kind are much alike: of each of them it is other changes.
    first = list(GENUINE).index(name) % each
    for path, (change, made) in pairs[first::each]:
        parts = with_parts(genuine, path, made)
        if parts != genuine:
            yield change, path, parts


@pytest.mark.parametrize("name", GENUINE)
def test_a_message_with_a_part_changed_is_taken_or_bad_data_with_its_place(name: str) -> None:
    whole = parts_of(name)
    genuine = answer(name, body_of(name, whole))
    assert not isinstance(genuine, Failure), "the genuine one is taken"
    for change, path, parts in changed(name):
        found = answer(name, body_of(name, parts))
        part = part_at(whole, path)
        if isinstance(found, Failure):
            if found.code == "contract-violated":
                assert part.name in found.where, (change, path)
        elif change in MEANS_NOTHING:
            assert found == genuine or new_cases(found, genuine), (change, part)


@pytest.mark.parametrize("name", GENUINE)
@settings(max_examples=20)
@given(data=st.data())
def test_a_message_with_several_parts_changed_is_taken_or_bad_data_with_its_place(
    name: str, data: st.DataObject
) -> None:
    parts = parts_of(name)
    for _ in range(data.draw(st.integers(2, 5))):
        places = [*paths(parts)]
        if not places:
            break
        path = data.draw(st.sampled_from(places))
        parts = with_parts(parts, path, CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))])
    answer(name, body_of(name, parts))


@pytest.mark.parametrize("name", [*OF_JSON, *OF_XML])
def test_a_member_or_an_attribute_given_twice_is_refused(name: str) -> None:
    whole = parts_of(name)
    places = [
        path
        for path in paths(whole)
        if part_at(whole, path).kind == "attribute" or part_at(whole, path[:-1]).kind == "object"
    ]
    for path in places[:: 1 + len(places) // MANY]:
        for change in (twice, again_at_the_end):
            assert refusal(name, body_of(name, with_parts(whole, path, change))), path


def turned(part: Part) -> Part:
    """Members and attributes the other way round, lists and elements as they were."""
    inner = tuple(turned(each) for each in part.parts)
    match part.kind:
        case "object":
            return part._replace(parts=inner[::-1])
        case "element":
            attributes = tuple(each for each in inner if each.kind == "attribute")
            return part._replace(parts=(*attributes[::-1], *inner[len(attributes) :]))
        case _:
            return part._replace(parts=inner)


@pytest.mark.parametrize("name", [*OF_JSON, *OF_XML])
def test_the_order_of_members_and_of_attributes_means_nothing(name: str) -> None:
    whole = parts_of(name)
    assert answer(name, body_of(name, turned(whole))) == answer(name, body_of(name, whole))


def in_columns(rows: Part, change: Change, at: int) -> Part:
    """The file after a change among its columns."""
    width = len(rows.parts[0].parts)
    whole = (row for row in rows.parts if len(row.parts) == width)
    return rows._replace(parts=tuple(row._replace(parts=change(row.parts, at)) for row in whole))


@pytest.mark.parametrize("name", OF_CSV)
def test_columns_are_known_by_their_names_and_stand_once(name: str) -> None:
    whole = parts_of(name)
    genuine = answer(name, body_of(name, whole))
    for at in range(len(whole.parts[0].parts)):
        moved = in_columns(whole, moved_to_the_end, at)
        assert answer(name, body_of(name, moved)) == genuine
        failure = refusal(name, body_of(name, in_columns(whole, twice, at)))
        assert failure is not None
        assert failure.code == "column-twice"


# In another encoding


def unheard_of(whole: Part) -> Part:
    """With a field that no contract names, in the outermost object there is."""
    objects = (path for path in ((), *paths(whole)) if part_at(whole, path).kind == "object")
    return with_inner(whole, next(objects), Part("text", "unheard-of", "ü"))


def with_a_letter(name: str) -> str:
    """The message with a letter outside ASCII where it is read; else in a field that no contract
    names."""
    whole = parts_of(name)
    genuine = answer(name, body_of(name, whole))
    for path in paths(whole):
        part = part_at(whole, path)
        if part.kind != "literal" and part.text.strip():
            parts = with_text(whole, path, f"{part.text}ü")
            found = answer(name, body_of(name, parts))
            if not isinstance(found, Failure) and found != genuine:
                return text_of(name, parts)
    return text_of(name, unheard_of(whole))


def declared(encoding: str, text: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>{text}'


def utf_16(text: str) -> Iterator[bytes]:
    """With its mark, either end first."""
    yield codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    yield codecs.BOM_UTF16_BE + text.encode("utf-16-be")


@pytest.mark.parametrize("name", OF_XML)
def test_xml_says_the_same_in_every_encoding_that_it_tells(name: str) -> None:
    text = with_a_letter(name)
    said = answer(name, text.encode())
    assert not isinstance(said, Failure)
    for body in (
        codecs.BOM_UTF8 + text.encode(),
        declared("UTF-8", text).encode(),
        *utf_16(text),
        *utf_16(declared("UTF-16", text)),
        declared("ISO-8859-1", text).encode("iso-8859-1", "xmlcharrefreplace"),
        declared("windows-1252", text).encode("cp1252", "xmlcharrefreplace"),
    ):
        assert answer(name, body) == said, body[:60]
        assert is_recognised(name, body), body[:60]


@pytest.mark.parametrize("name", OF_XML)
def test_xml_in_an_encoding_that_it_does_not_tell_is_refused(name: str) -> None:
    text = with_a_letter(name)
    for body in (
        text.encode("iso-8859-1", "replace"),
        declared("UTF-8", text).encode("iso-8859-1", "replace"),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
    ):
        assert refusal(name, body) is not None, body[:60]


@pytest.mark.parametrize("name", OF_JSON)
def test_json_is_utf_8_and_in_another_encoding_refused(name: str) -> None:
    text = with_a_letter(name)
    assert refusal(name, text.encode()) is None
    for body in (
        codecs.BOM_UTF8 + text.encode(),
        *utf_16(text),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("iso-8859-1", "replace"),
    ):
        for content_type in ("", "application/json; charset=iso-8859-1"):
            assert isinstance(answer(name, body, content_type), Failure), body[:60]


@pytest.mark.parametrize("name", OF_CSV)
def test_csv_is_in_the_encoding_of_its_table_and_where_another_one_shows_refused(
    name: str,
) -> None:
    text = with_a_letter(name)
    encoding = encoding_of(name)
    said = answer(name, text.encode(encoding))
    assert not isinstance(said, Failure)
    others = [*utf_16(text), text.encode("utf-16-le"), text.encode("utf-16-be")]
    if encoding == "utf-8":
        assert answer(name, codecs.BOM_UTF8 + text.encode()) == said
        others.append(text.encode("iso-8859-1", "replace"))
    else:
        others.append(codecs.BOM_UTF8 + text.encode())
    for body in others:
        assert refusal(name, body) is not None, body[:60]
