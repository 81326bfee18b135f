"""A new driver works at once, looks like the others, and replaces nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.cli.problems import Exit, Problem
from ops.cli.tree import run
from ops.contracts.files import ROOT
from ops.scaffold.driver import MAX_CHARS, TABLE, TESTS, ByHand, scaffold, write
from tests.fixtures.checkout import copy_checkout, run_in

NAME = "new_one"
LONGEST = "v" + "x" * (MAX_CHARS - 1)


def test_the_tests_of_new_drivers_are_green_at_once_and_their_files_are_in_form(
    tmp_path: Path,
) -> None:
    root = copy_checkout(tmp_path / "copy")
    files: dict[Path, None] = {}
    # The order of imports and the length of lines depend on the name.
    for vendor in ("a1_b", "zz", LONGEST):
        made = scaffold(root, vendor, out=vendor != "zz")
        write(root, made)
        files |= dict.fromkeys(path for path in made.files if path.suffix == ".py")
        for step in made.by_hand:
            added_by_hand(root, step)
            files[step.file] = None
    python = " ".join(map(str, files))
    tests = " ".join(str(path) for path in files if path.parent == TESTS)
    for command in (
        f".venv/bin/python -m pytest -q -p no:cacheprovider {tests}",
        f".venv/bin/python -m ruff check --no-cache {python}",
        f".venv/bin/python -m ruff format --no-cache --check {python}",
    ):
        done = run_in(root, command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_driver_that_writes_is_a_target_and_held_to_the_laws_of_targets(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    made = scaffold(root, NAME, out=True)
    write(root, made)
    for step in made.by_hand:
        added_by_hand(root, step)
    assert len({step.file for step in made.by_hand}) == 3
    laws = (
        "tests/unit/handlers/test_driver_operations.py",
        "tests/unit/handlers/test_round_trips.py::test_every_operation_comes_back_or_goes_one_way"
        "_for_a_reason",
        "tests/contract/test_handlers.py::test_every_driver_stands_under_its_name",
    )
    done = run_in(root, f".venv/bin/python -m pytest -q -p no:cacheprovider {' '.join(laws)}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_driver_that_only_reads_has_nothing_of_one_that_writes() -> None:
    made = scaffold(ROOT, NAME)
    assert not [path for path in made.files if "out" in path.name or "put" in path.name]
    assert f"{NAME}_outbound" not in made.files[TABLE]
    assert "| operation |" not in made.files[Path("handlers", "systems", NAME, "README.md")]


def added_by_hand(root: Path, step: ByHand) -> None:
    """The lines stand at the beginning of their table."""
    head = re.compile(rf"^{step.where}\b[^\n]*{{\n", re.MULTILINE)
    text, count = head.subn(
        lambda found: f"{found[0]}{step.lines}\n", (root / step.file).read_text()
    )
    assert count == 1
    (root / step.file).write_text(text)


def test_a_new_driver_is_known_to_the_service(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    write(root, scaffold(root, NAME))
    look = (
        "from handlers import CATALOGUE, HANDLERS; from canonical.handler import Delivery;"
        " body = open('tests/corpus/new_one/supplier.json', 'rb').read();"
        " found = CATALOGUE.recognise(tuple(CATALOGUE.recognised), Delivery('x', '', body));"
        " print(found.name, found is HANDLERS['new_one', 'new_one.supplier'])"
    )
    done = run_in(root, f'.venv/bin/python -c "{look}"')
    assert done.stdout == "new_one-supplier True\n", done.stderr


def test_a_second_time_is_refused_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_checkout(tmp_path / "copy")
    assert run(["handler", "new", NAME, "--root", str(root)]) == Exit.DONE
    said = capsys.readouterr().out
    assert "written: handlers/systems/new_one/inbound.py\n" in said
    assert f"changed: {TABLE}\n" in said
    assert said.count("by hand: ") == 3
    mine = root / "handlers" / "systems" / NAME / "words.py"
    mine.write_text("# mine\n")
    table = (root / TABLE).read_text()
    assert run(["handler", "new", NAME, "--root", str(root)]) == Exit.REFUSED
    assert "LAY-vendor-exists" in capsys.readouterr().err
    assert mine.read_text() == "# mine\n"
    assert (root / TABLE).read_text() == table


@pytest.mark.parametrize(
    ("vendor", "code"),
    [
        ("Acme", "vendor-malformed"),
        ("acme-plm", "vendor-malformed"),
        ("1acme", "vendor-malformed"),
        ("acme__plm", "vendor-malformed"),
        ("../acme", "vendor-malformed"),
        ("", "vendor-malformed"),
        ("import", "vendor-malformed"),
        ("layshaft", "vendor-malformed"),
        (f"{LONGEST}x", "vendor-malformed"),
        ("coupa", "vendor-exists"),
        ("timestamps", "vendor-exists"),
        ("master_data", "vendor-exists"),
    ],
)
def test_a_name_that_is_none_or_is_taken_is_refused(vendor: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        scaffold(ROOT, vendor)
    assert caught.value.code == code


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no-checkout"):
        scaffold(tmp_path, NAME)


def test_nothing_is_written_where_the_table_of_handlers_is_another_one(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    (root / TABLE).write_text("HANDLERS = {}\n")
    with pytest.raises(Problem, match="table-unknown"):
        scaffold(root, NAME)
    assert not (root / "handlers" / "systems" / NAME).exists()
