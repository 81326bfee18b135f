"""The demo as a command: it holds, leaves nothing behind, and its report can say no."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.stack import Servers

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 100.0


class Run(msgspec.Struct, frozen=True):
    """A run that has ended, with its report."""

    exit_code: int
    report: dict[str, Any]
    progress: str
    state: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return list(self.report["lines"])

    @property
    def not_held(self) -> set[str]:
        return {line["what"] for line in self.lines if not line["held"]}

    def observed(self, what: str) -> str:
        return str(next(line["observed"] for line in self.lines if line["what"] == what))


def run_script(state: Path, servers: Servers, before_report: str = "") -> Run:
    """`layshaft demo --script -o json` on a database and a virtual host of its own."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LAYSHAFT_STATE_DIR": str(state),
        "LAYSHAFT_DATABASE_URL": servers.database_url,
        "LAYSHAFT_AMQP_URL": servers.amqp_url,
        "LAYSHAFT_AMQP_MANAGEMENT_URL": servers.management_url,
        "LAYSHAFT_DEMO_BEFORE_REPORT": before_report,
    }
    done = subprocess.run(
        [sys.executable, "-m", "ops", "demo", "--script", "-o", "json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    progress = done.stderr.decode()
    assert done.stdout, progress
    return Run(done.returncode, msgspec.json.decode(done.stdout), progress, state)


def processes_naming(folder: Path) -> list[str]:
    """Command lines of all processes that name a path below the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def clean_run(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Run:
    return run_script(tmp_path_factory.mktemp("demo"), servers)


def test_the_main_job_holds_in_every_line(clean_run: Run) -> None:
    assert clean_run.not_held == set()
    assert clean_run.report["held"] is True
    assert clean_run.exit_code == 0, clean_run.progress


def test_the_report_counts_what_the_packages_hold(clean_run: Run) -> None:
    per_plant = {
        (line["chapter"], line["what"]): line["observed"]
        for line in clean_run.lines
        if line["chapter"].startswith("plant ")
    }

    assert per_plant == {
        ("plant 1010", "items"): "45",
        ("plant 1010", "BOM lines"): "43",
        ("plant 1010", "info records"): "41",
        ("plant 1020", "items"): "32",
        ("plant 1020", "BOM lines"): "31",
        ("plant 1020", "info records"): "31",
        ("plant 2010", "items"): "13",
        ("plant 2010", "BOM lines"): "12",
        ("plant 2010", "info records"): "10",
    }


def test_nothing_is_left_behind(clean_run: Run) -> None:
    assert not (clean_run.state / "demo").exists()
    assert processes_naming(clean_run.state) == []


def test_an_emptied_table_and_a_planted_row_are_seen(tmp_path: Path, servers: Servers) -> None:
    run = run_script(
        tmp_path,
        servers,
        before_report="DELETE erp A_PurchasingInfoRecord\n"
        'POST erp A_Product {"Product": "GHOST-1", "BaseUnit": "PC"}',
    )

    # Each of the two is a line of its own: either would be enough.
    assert run.not_held == {"info records with number", "materials with unit"}
    assert run.observed("materials with unit") == "46, not asked for: GHOST-1 PC"
    assert run.observed("info records with number").startswith("0, missing: S-100 PN04914, ")
    assert run.exit_code == 1
