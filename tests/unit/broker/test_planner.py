"""Who plans is told apart by code and rules, and is the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from broker.planner import UNKNOWN, Planner, planner_of
from tests.fixtures.gearbox import RULES

ROOT = Path(__file__).resolve().parents[3]
SAID = """
from pathlib import Path
from broker.planner import planner_of
from tests.fixtures.gearbox import RULES
print(planner_of([Path("handlers/flows"), Path("canonical")], RULES).text)
"""


def test_other_code_other_data_and_other_names_are_another_planner(tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "flow.py").write_text("A = 1")
    (folder / "units.csv").write_text("EA,H87")
    found = {planner_of([folder], RULES).code}
    (folder / "flow.py").write_text("A = 2")
    found.add(planner_of([folder], RULES).code)
    (folder / "units.csv").write_text("EA,PCE")
    found.add(planner_of([folder], RULES).code)
    (folder / "flow.py").rename(folder / "other.py")
    found.add(planner_of([folder], RULES).code)
    assert len(found) == 4


def test_what_is_no_code_makes_no_other_planner(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("A = 1")
    before = planner_of([tmp_path], RULES)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "flow.pyc").write_bytes(b"1")
    (tmp_path / "notes.md").write_text("to do")
    assert planner_of([tmp_path], RULES) == before


def test_other_rules_are_another_planner(tmp_path: Path) -> None:
    other = msgspec.structs.replace(RULES, central_purchasing_org="9999")
    assert planner_of([tmp_path], other).rules != planner_of([tmp_path], RULES).rules
    assert planner_of([tmp_path], other).code == planner_of([tmp_path], RULES).code


def test_it_is_the_same_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAID],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_one_that_is_not_told_apart_differs_from_nobody() -> None:
    known = Planner("c0de", "0f0f")
    assert known.differs_from("c0de/1e1e")
    assert not known.differs_from("c0de/0f0f")
    assert not known.differs_from("")
    assert not UNKNOWN.differs_from("c0de/0f0f")
