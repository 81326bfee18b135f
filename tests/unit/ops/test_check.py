"""How `./check` counts."""

import json
import os
from pathlib import Path

import pytest

from ops.check import Outcome, Skip, conclude, measured_lines, read_report, write_results

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_good"/>
<testcase classname="tests.unit.test_a" name="test_bad"><failure message="1 == 2"/></testcase>
<testcase classname="tests.unit.test_a" name="test_broken"><error message="fixture"/></testcase>
<testcase classname="tests.unit.test_a" name="test_off"><skipped message="no user namespaces"/>
</testcase>
</testsuite></testsuites>
"""


FAULT_REPORT = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase classname="tests.faults.test_a" name="test_f01_killed" time="31.26"><properties>
<property name="row" value="F01"/><property name="seed" value="1001"/>
<property name="applied" value="300"/><property name="recovery_s" value="[0.3, None]"/>
</properties></testcase>
<testcase classname="tests.faults.test_a" name="test_f02_bad" time="9.04"><properties>
<property name="row" value="F02"/></properties>
<failure message="lost: 1"/></testcase>
<testcase classname="tests.faults.test_catalogue" name="test_without_a_row" time="0.01"/>
</testsuite></testsuites>
"""


def test_a_report_is_counted_test_by_test(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read_report(report, exit_code=1) == Outcome(
        passed=1,
        failed=2,
        skips=(Skip("tests.unit.test_a::test_off", "no user namespaces"),),
    )


def test_a_test_run_that_broke_off_is_a_failure(tmp_path: Path) -> None:
    assert read_report(tmp_path / "missing.xml", exit_code=4) == Outcome(failed=1)


def test_a_folder_without_tests_is_no_failure(tmp_path: Path) -> None:
    assert read_report(tmp_path / "missing.xml", exit_code=5) == Outcome()


@pytest.mark.parametrize(
    ("outcome", "strict", "exit_code", "last_line"),
    [
        (Outcome(passed=3), True, 0, "3 passed, 0 failed, 0 skipped"),
        (Outcome(passed=2, failed=1), False, 1, "2 passed, 1 failed, 0 skipped"),
        (Outcome(skips=(Skip("t", "r"),)), False, 0, "0 passed, 0 failed, 1 skipped"),
        (Outcome(skips=(Skip("t", "r"),)), True, 1, "0 passed, 0 failed, 1 skipped"),
    ],
)
def test_the_last_line_counts_and_a_skip_fails_only_where_told(
    outcome: Outcome,
    strict: bool,
    exit_code: int,
    last_line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert conclude([outcome], strict=strict) == exit_code
    assert capsys.readouterr().out.splitlines()[-1] == last_line


def test_every_skip_is_listed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    conclude([Outcome(skips=(Skip("a::b", "no network"),))], strict=False)
    assert "skipped: a::b: no network" in capsys.readouterr().out


def test_results_say_of_each_fault_test_what_it_came_to_and_at_which_commit(
    tmp_path: Path,
) -> None:
    report, results = tmp_path / "report.xml", tmp_path / "results" / "full.json"
    report.write_text(FAULT_REPORT)
    write_results(report, results, commit="abc-dirty", missing=["F09"])
    found = json.loads(results.read_text())
    assert all(row.pop("cores") >= 1 for row in found["rows"])
    assert found == {
        "rows": [
            {
                "row": "F01",
                "test": "test_f01_killed",
                "result": "passed",
                "duration_s": 31.3,
                "commit": "abc-dirty",
                "seed": 1001,
                "figures": {"applied": 300, "recovery_s": [0.3, None]},
            },
            {
                "row": "F02",
                "test": "test_f02_bad",
                "result": "failed",
                "duration_s": 9.0,
                "commit": "abc-dirty",
                "seed": None,
                "figures": {},
            },
        ],
        "missing": ["F09"],
        "measured": [],
    }


MEASURING_REPORT = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase classname="tests.integration.test_a" name="test_large[50000]" time="127.04"><properties>
<property name="lines" value="50000"/><property name="peak_mib" value="550"/>
</properties></testcase>
<testcase classname="tests.integration.test_a" name="test_that_measures_nothing" time="0.01"/>
</testsuite></testsuites>
"""


def test_figures_of_other_tests_stand_beside_the_rows_and_are_shown(tmp_path: Path) -> None:
    report, results = tmp_path / "report.xml", tmp_path / "full.json"
    report.write_text(FAULT_REPORT)
    write_results(report, results, commit="first", missing=["F09"])
    before = json.loads(results.read_text())
    report.write_text(MEASURING_REPORT)
    write_results(report, results, commit="second")
    found = json.loads(results.read_text())
    assert (found["rows"], found["missing"]) == (before["rows"], ["F09"])
    (entry,) = found["measured"]
    assert entry.pop("cores") >= 1
    assert entry == {
        "test": "test_large[50000]",
        "result": "passed",
        "duration_s": 127.0,
        "commit": "second",
        "figures": {"lines": 50000, "peak_mib": 550},
    }
    assert measured_lines(report) == ("test_large[50000]: lines 50000, peak_mib 550",)
    report.write_text(FAULT_REPORT)
    write_results(report, results, commit="third", missing=[])
    assert json.loads(results.read_text())["measured"] == [entry | {"cores": os.cpu_count()}]


def test_a_run_of_some_rows_leaves_the_results_of_the_others(tmp_path: Path) -> None:
    report, results = tmp_path / "report.xml", tmp_path / "full.json"
    report.write_text(FAULT_REPORT)
    write_results(report, results, commit="first")
    report.write_text(FAULT_REPORT.replace("f02_bad", "f00_new").replace("F02", "F00"))
    write_results(report, results, commit="second")
    assert [(row["row"], row["commit"]) for row in json.loads(results.read_text())["rows"]] == [
        ("F00", "second"),
        ("F01", "second"),
        ("F02", "first"),
    ]


def test_a_run_without_a_report_leaves_the_results_of_the_last_one(tmp_path: Path) -> None:
    results = tmp_path / "full.json"
    results.write_text("{}")
    write_results(tmp_path / "missing.xml", results, commit="abc")
    assert results.read_text() == "{}"
