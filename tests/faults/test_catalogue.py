"""The catalogue, its tests and the README agree."""

from __future__ import annotations

from tests.faults import catalogue


def test_every_row_has_a_test_or_is_listed_as_missing() -> None:
    assert catalogue.problems() == []


def test_the_readme_is_what_the_generator_writes() -> None:
    hint = "run `python -m tests.faults.catalogue`"
    assert catalogue.README.read_text() == catalogue.readme(), hint
