"""The catalogue, its tests and the README agree."""

from __future__ import annotations

from tests.faults import catalogue

# What the catalogue has to hold: a row that goes together with its test would be missed by nobody.
# F07, F48 and F49 are about webhooks; F36 to F40 about targets, which the connectors' tests show.
ROWS = (
    *(f"F{n:02}" for n in range(1, 7)),
    *(f"F{n:02}" for n in range(8, 36)),
    *(f"F{n}" for n in range(41, 48)),
    *("F61", "F62", "F63", "F64"),
)


def test_every_row_has_a_test() -> None:
    assert catalogue.problems() == []
    assert tuple(row.id for row in catalogue.rows()) == ROWS
    assert not any(row.is_missing for row in catalogue.rows())


def test_what_is_recorded_was_survived() -> None:
    assert catalogue.unproven() == []


def test_the_readme_is_what_the_generator_writes() -> None:
    hint = "run `python -m tests.faults.catalogue`"
    assert catalogue.README.read_text() == catalogue.readme(), hint
