"""What is supported: read from the drivers' READMEs, held against the code, and shown as a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers import CATALOGUE, DRIVERS
from ops.contracts.files import ROOT
from ops.contracts.support import (
    PACKAGE,
    README,
    SYSTEMS,
    Gap,
    Row,
    drivers,
    gaps,
    kinds,
    page,
    rows,
    tables,
)

IDOC_ROW = "| ORDCHG in ORDERS05 | `purchase-order.changed` |"


@pytest.fixture
def systems(tmp_path: Path) -> Path:
    """The READMEs of all drivers, to be edited."""
    for name in drivers(ROOT / SYSTEMS):
        folder = tmp_path / name
        folder.mkdir()
        (folder / PACKAGE).touch()
        (folder / README).write_text((ROOT / SYSTEMS / name / README).read_text())
    return tmp_path


def edit(systems: Path, system: str, old: str, new: str) -> list[Gap]:
    """What is found after one replacement in a README."""
    path = systems / system / README
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return list(gaps(systems, CATALOGUE))


def test_the_readmes_name_what_the_code_has(systems: Path) -> None:
    assert list(gaps(systems, CATALOGUE)) == []


def test_kinds_are_what_a_handler_says_else_its_type_and_operations_are_the_drivers() -> None:
    known = list(kinds(CATALOGUE))
    assert ("pdx", "in", "Change") in known
    assert ("idoc", "in", "ORDCHG in ORDERS05") in known
    assert ("arena", "in", "arena.change") in known
    assert ("s4", "out", "put-bom") in known
    assert not any(kind in ("pdx.package", "idoc.document") for _, _, kind in known)


def test_a_table_is_known_by_its_head_and_ends_with_its_last_line() -> None:
    text = """
| question | answer |
| --- | --- |
| unit | `EA` |

| kind | becomes | proof |
| --- | --- | --- |
| `a.b` | one \\| two | field knowledge; why |

| operation | calls | proof |
|---|---|---|
| put-item | `POST` | real vendor file |
no row
| a | b | c |
"""
    assert list(tables("x", text)) == [
        Row("x", "in", "a.b", "one \\| two", "field knowledge; why"),
        Row("x", "out", "put-item", "`POST`", "real vendor file"),
    ]


@pytest.mark.parametrize(
    ("proof", "level"),
    [
        ("real vendor file", "real vendor file"),
        ("vendor's own system", "vendor's own system"),
        ("vendor's own schema; all but one field", "vendor's own schema"),
        ("documentation only", "documentation only"),
        ("field knowledge; of years", "field knowledge"),
        ("field knowledge: unproven", None),
        ("real vendor files", None),
        ("proven", None),
        ("", None),
    ],
)
def test_a_proof_begins_with_one_of_five_words(proof: str, level: str | None) -> None:
    assert Row("x", "in", "a", "b", proof).level == level


def test_a_kind_that_no_table_has_is_found(systems: Path) -> None:
    assert edit(systems, "idoc", IDOC_ROW, "| ORDCHG | `purchase-order.changed` |") == [
        Gap("idoc", "untold", "ORDCHG in ORDERS05 (in) is in the code and in no table"),
        Gap("idoc", "abandoned", "ORDCHG (in) is in a table and not in the code"),
    ]


def test_an_operation_under_the_wrong_direction_is_found(systems: Path) -> None:
    found = edit(systems, "s4", "| operation | calls | proof |", "| kind | becomes | proof |")
    assert {(gap.system, gap.word) for gap in found} == {("s4", "untold"), ("s4", "abandoned")}
    assert len(found) == 2 * len(DRIVERS["s4"].operations)


def test_a_kind_with_two_rows_is_found(systems: Path) -> None:
    found = edit(systems, "idoc", IDOC_ROW, f"{IDOC_ROW} real vendor file |\n{IDOC_ROW}")
    assert found == [Gap("idoc", "unclear", "ORDCHG in ORDERS05 (in) has more than one row")]


def test_a_proof_that_is_none_is_found(systems: Path) -> None:
    found = edit(systems, "arena", "| documentation only; the file", "| works; the file")
    assert [(gap.system, gap.word) for gap in found] == [("arena", "unclear")]


def test_a_driver_without_a_table_or_without_a_readme_is_found(systems: Path) -> None:
    (systems / "new").mkdir()
    (systems / "new" / PACKAGE).touch()
    (found,) = gaps(systems, CATALOGUE)
    assert (found.system, found.word) == ("new", "untold")
    (systems / "new" / README).write_text("# New\n")
    assert list(gaps(systems, CATALOGUE)) == [found]


def test_what_rests_on_documentation_or_experience_is_called_unproven_and_never_supported() -> None:
    proofs = ("real vendor file", "vendor's own schema", "documentation only", "field knowledge; x")
    text = page(Row("x", "in", f"kind-{n}", "y", proof) for n, proof in enumerate(proofs))
    standing = {n: line for n in range(4) for line in text.splitlines() if f"kind-{n}" in line}
    assert [line.split("|")[-2].strip() for line in standing.values()] == [
        "supported",
        "supported",
        "unproven",
        "unproven",
    ]
    assert not any("supported" in standing[n] for n in (2, 3))


def test_the_page_has_a_row_for_each_row_of_the_readmes() -> None:
    told = rows(ROOT / SYSTEMS)
    written = page(told).splitlines()
    assert sum(line.startswith("| [") for line in written) == len(told) == len([*kinds(CATALOGUE)])


def test_links_of_a_readme_lead_to_the_same_place_from_the_page() -> None:
    becomes = "see [there](#out), [others](../pdx/README.md#in) and [the vendor](https://v.org/x)"
    text = page([Row("idoc", "out", "write", becomes, "documentation only")])
    assert (
        "see [there](../handlers/systems/idoc/README.md#out),"
        " [others](../handlers/systems/pdx/README.md#in) and [the vendor](https://v.org/x)"
    ) in text
