"""Revisions: ordered by scheme or source, never by alphabet."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage, Misconfigured
from canonical.revision import (
    SCHEMES,
    Revision,
    RevisionsNotComparable,
    Scheme,
    UnknownRevision,
    next_label,
    parse_revision,
)
from tests.strategies import label_runs, labels, revisions

ORDERED: tuple[Scheme, ...] = tuple(name for name in SCHEMES if name != "change_number")


def test_the_420_asme_labels_are_strictly_increasing_from_a_to_yy() -> None:
    run = label_runs("asme_letters", "A", 420)
    parsed = [parse_revision(label, "asme_letters") for label in run]
    assert run[:20] == list("ABCDEFGHJKLMNPRTUVWY")
    assert run[20:22] == ["AA", "AB"]
    assert run[-1] == "YY"
    assert len(set(run)) == 420
    assert all(older < newer for older, newer in pairwise(parsed))
    assert not set("".join(run)) & set("IOQSXZ")


def test_the_initial_release_precedes_every_asme_letter() -> None:
    initial = parse_revision("-", "asme_letters")
    assert initial.ordinal == 0
    assert initial < parse_revision("A", "asme_letters")
    assert next_label("-", "asme_letters") == "A"


@pytest.mark.parametrize(
    ("older", "newer", "scheme"),
    [
        ("Y", "AA", "asme_letters"),
        ("H", "J", "asme_letters"),
        ("Z", "AA", "letters"),
        ("ZZ", "AAA", "letters"),
        ("9", "10", "numeric"),
        ("09", "10", "numeric"),
        ("A.9", "A.10", "two_level"),
        ("A.10", "B.1", "two_level"),
        ("Z;3", "AA;1", "two_level"),
        ("01;2", "02;1", "two_level"),
        ("02", "A", "prototype_then_production"),
        ("999999", "A", "prototype_then_production"),
        ("A", "B", "prototype_then_production"),
    ],
)
def test_a_newer_label_is_newer_whatever_the_alphabet_says(
    older: str, newer: str, scheme: Scheme
) -> None:
    assert parse_revision(older, scheme) < parse_revision(newer, scheme)
    assert parse_revision(newer, scheme) > parse_revision(older, scheme)


@pytest.mark.parametrize(
    ("text", "scheme", "label", "change"),
    [
        ("A        44136", "letters", "A", "44136"),
        ("A        60053A", "asme_letters", "A", "60053A"),
        ("01        36775", "prototype_then_production", "01", "36775"),
        ("B\u00a060661", "letters", "B", "60661"),
        (" A ", "letters", "A", None),
        ("ECN-1042", "change_number", "ECN-1042", None),
    ],
)
def test_a_label_is_parted_from_the_change_behind_it(
    text: str, scheme: Scheme, label: str, change: str | None
) -> None:
    revision = parse_revision(text, scheme)
    assert (revision.label, revision.change) == (label, change)


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        *[("I", "asme_letters"), ("AX", "asme_letters"), ("AAA", "asme_letters")],
        *[("a", "asme_letters"), ("--", "asme_letters"), ("1", "asme_letters")],
        *[("a", "letters"), ("A1", "letters"), ("AAAA", "letters"), ("\u0410", "letters")],
        *[("A", "numeric"), ("-1", "numeric"), ("1234567", "numeric"), ("\u0661", "numeric")],
        *[("A", "two_level"), ("A.", "two_level"), (".1", "two_level"), ("A1.1", "two_level")],
        *[("-", "prototype_then_production"), ("1A", "prototype_then_production")],
        *[("", "letters"), ("   ", "letters"), ("A 1 2", "letters"), ("A 1\x00", "letters")],
        *[("A" * 41, "change_number"), ("Ä1", "change_number")],
    ],
)
def test_a_label_outside_its_scheme_is_a_data_error(text: str, scheme: Scheme) -> None:
    with pytest.raises(UnknownRevision) as caught:
        parse_revision(text, scheme, where="items[2].revision")
    assert isinstance(caught.value, InvalidMessage)
    assert caught.value.where == "items[2].revision"


@given(st.text(max_size=20), st.sampled_from(SCHEMES))
def test_no_text_makes_the_parser_raise_anything_else(text: str, scheme: Scheme) -> None:
    try:
        revision = parse_revision(text, scheme)
    except UnknownRevision:
        return
    assert revision.label in text


@given(st.sampled_from(ORDERED).flatmap(lambda name: st.tuples(st.just(name), labels(name))))
def test_the_next_label_is_in_the_scheme_and_newer(drawn: tuple[Scheme, str]) -> None:
    scheme, label = drawn
    try:
        following = next_label(label, scheme)
    except UnknownRevision:
        assert label in ("YY", "ZZZ") or label.startswith("ZZZ")
        return
    assert parse_revision(following, scheme) > parse_revision(label, scheme)


@pytest.mark.parametrize(
    ("label", "scheme", "following"),
    [
        ("09", "numeric", "10"),
        ("99", "numeric", "100"),
        ("9", "numeric", "10"),
        ("A.3", "two_level", "B.1"),
        ("01;4", "two_level", "02;1"),
        ("H", "asme_letters", "J"),
        ("AY", "asme_letters", "BA"),
        ("Z", "letters", "AA"),
        ("02", "prototype_then_production", "03"),
    ],
)
def test_the_next_label_is_the_one_people_expect(
    label: str, scheme: Scheme, following: str
) -> None:
    assert next_label(label, scheme) == following


@pytest.mark.parametrize(
    ("label", "scheme"),
    [("YY", "asme_letters"), ("ZZZ", "letters"), ("999999", "numeric"), ("C1", "change_number")],
)
def test_the_last_label_has_no_successor(label: str, scheme: Scheme) -> None:
    with pytest.raises(UnknownRevision) as caught:
        next_label(label, scheme)
    assert caught.value.code == "revision-exhausted"


def test_the_sources_own_order_overrules_the_labels() -> None:
    withdrawn = parse_revision("B", "letters", ordinal=20240101)
    current = parse_revision("A", "letters", ordinal=20240601)
    assert withdrawn < current


def test_change_numbers_are_ordered_by_the_source_alone() -> None:
    older = parse_revision("C900", "change_number", ordinal=1)
    newer = parse_revision("C1000", "change_number", ordinal=2)
    assert older < newer
    with pytest.raises(RevisionsNotComparable):
        _ = parse_revision("C900", "change_number") < newer


def test_revisions_of_two_schemes_have_no_order() -> None:
    with pytest.raises(RevisionsNotComparable):
        _ = parse_revision("A", "letters") < parse_revision("A", "asme_letters")


@given(st.sampled_from(ORDERED).flatmap(lambda n: st.tuples(*[revisions((n,))] * 3)))
def test_revisions_of_a_scheme_are_totally_ordered(
    triple: tuple[Revision, Revision, Revision],
) -> None:
    low, middle, high = sorted(triple)
    assert low <= middle <= high
    assert low <= high
    assert [low < high, low.ordinal == high.ordinal, low > high].count(True) == 1
    assert (low >= high) == (not low < high)


def test_padding_makes_another_label_of_the_same_age() -> None:
    plain, padded = parse_revision("1", "numeric"), parse_revision("01", "numeric")
    assert plain != padded
    assert plain <= padded <= plain


@given(revisions())
def test_a_revision_survives_json(revision: Revision) -> None:
    assert msgspec.json.decode(msgspec.json.encode(revision), type=Revision) == revision


@pytest.mark.parametrize(
    "body",
    [
        b'{"scheme":"letters","label":"a"}',
        b'{"scheme":"letters","label":"A","change":"1\\u0000"}',
        b'{"scheme":"letters","label":"A","ordinal":' + b"9" * 4000 + b"}",
        b'{"scheme":"roman","label":"IV"}',
    ],
)
def test_a_revision_on_the_wire_obeys_its_scheme(body: bytes) -> None:
    with pytest.raises((InvalidMessage, msgspec.ValidationError)):
        msgspec.json.decode(body, type=Revision)


def test_a_scheme_nobody_defined_is_a_configuration_failure() -> None:
    with pytest.raises(Misconfigured):
        parse_revision("A", cast(Scheme, "roman"))
