"""Bugs planted on purpose, each of which named tests must notice.

Every bug is a patch `<id>-<words>.patch` beside this file, whose head says what it breaks and which
tests have to fail:

    Bug: acknowledges before the inbox commit
    Fails: tests/integration/test_x.py::test_y           (any number; the quickest that notices it)
    Row: tests/faults/test_z.py::test_f01_z              (those of the rows that have to catch it)
    Without row: why no test of these rows is named      (where there is none)

An ordinary run looks whether the patches apply and the tests exist; a full one applies each patch
to a copy of the tree and has the tests fail there. A patch that no longer applies is a failure, and
so is a test that still passes, or that never ran. The same tests pass in a copy without a bug.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from xml.etree import ElementTree

import msgspec
import pytest

from ops.stack import Servers

ROOT = Path(__file__).parents[2]
FAULTS = "tests/faults/"
DEADLINE_S = 300
# Private servers of a test are stopped meanwhile.
INTERRUPT_S = 40
AT_ONCE = 2
"""Copies tested side by side: a fault test waits more than it works."""

# The rows of the catalogues (F faults, H hostile input) that must catch each bug. There is no
# webhook bridge yet: its answers (B12), its signatures (B16) and its rows are left out.
CAUGHT_BY = {
    "B1": {"F02"},  # killed after the commit (F01) nothing is lost of what was acknowledged before
    "B2": {"F41"},
    "B3": {"F31"},
    "B4": {"F42"},
    "B5": {"F05", "F06", "F36"},
    "B6": {"F36"},
    "B7": {"F02"},
    "B8": {"F25", "H01"},
    "B9": {"F20"},
    "B10": {"F04"},  # and F20: what came back is matched by what an event sent again has fresh
    "B11": {"F11", "F19"},
    "B13": {"F26"},
    "B14": {"F35"},
    "B15": {"H15", "H20", "H33"},
    "B17": {"F12", "F27"},
    "B18": {"F15"},
}


class Planted(msgspec.Struct, frozen=True):
    """A planted bug. fails, rows: pytest node ids; without_row: why there are no rows."""

    id: str
    patch: Path
    bug: str
    fails: tuple[str, ...]
    rows: tuple[str, ...]
    without_row: str

    @property
    def tests(self) -> tuple[str, ...]:
        """All that must fail."""
        return self.fails + self.rows


def planted(patch: Path) -> Planted:
    """What the head of a patch says."""
    head = patch.read_text().partition("\n--- ")[0]
    said: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(Bug|Fails|Row|Without row): (.+)$", head, re.MULTILINE):
        said.setdefault(name, []).append(value.strip())
    return Planted(
        id=patch.stem.partition("-")[0].upper(),
        patch=patch,
        bug=said["Bug"][0],
        fails=tuple(said.get("Fails", ())),
        rows=tuple(said.get("Row", ())),
        without_row=" ".join(said.get("Without row", ())),
    )


BUGS = [planted(patch) for patch in sorted(Path(__file__).parent.glob("*.patch"))]
NAMED = sorted({test for bug in BUGS for test in bug.tests})


def row_of(test: str) -> str:
    """The row of a catalogue that a test is named after; "" for none."""
    found = re.search(r"::test_([fh]\d\d)_", test)
    return found[1].upper() if found else ""


def test_every_bug_of_the_catalogue_that_has_a_subject_is_planted() -> None:
    assert {bug.id for bug in BUGS} == set(CAUGHT_BY)


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_a_row_that_must_catch_the_bug_is_named_or_why_there_is_none(name: str) -> None:
    mine = [bug for bug in BUGS if bug.id == name]
    rows = {row_of(test) for bug in mine for test in bug.rows}
    assert rows <= CAUGHT_BY[name]
    assert bool(rows) != any(bug.without_row for bug in mine)


@pytest.mark.parametrize("test", NAMED)
def test_what_is_to_fail_is_a_test(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    functions = {
        n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert name in functions


each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.patch.stem)


@each_bug
def test_the_patch_applies(bug: Planted) -> None:
    apply(bug, ROOT, "--check")


class Result(msgspec.Struct, frozen=True):
    """What tests came to in a copy: of each, without its parameters, whether a case failed and
    whether all passed. A fixture that breaks is neither."""

    failed: dict[str, bool]
    passed: dict[str, bool]
    log: str


class Copies:
    """Copies of the tree in which tests are run, some side by side."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._folder = folder
        self._servers = servers
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._lock = Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._is_closed = False

    def submit(self, name: str, tests: Sequence[str], bug: Planted | None) -> Future[Result]:
        """What the tests come to where the bug is, or none."""
        return self._pool.submit(self._run, self._folder / name, tests, bug)

    def close(self) -> None:
        """Nothing runs any more; what did was asked to end, so that its servers end with it."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            _end(process)
        self._pool.shutdown()

    def _run(self, tree: Path, tests: Sequence[str], bug: Planted | None) -> Result:
        copy_tree(tree)
        if bug is not None:
            apply(bug, tree)
        result = Result({}, {}, "")
        faults = [test for test in tests if test.startswith(FAULTS)]
        for some in (faults, [test for test in tests if test not in faults]):
            if some:
                found = self._tested(tree, some)
                result = Result(
                    result.failed | found.failed,
                    result.passed | found.passed,
                    result.log + found.log,
                )
        # A tree and the logs of its tests are some MiB each.
        shutil.rmtree(tree, ignore_errors=True)
        return result

    def _tested(self, tree: Path, tests: Sequence[str]) -> Result:
        """Fault tests are run in small size, whether or not they belong to a quick run."""
        report, log = tree / "report.xml", tree / "pytest.log"
        report.unlink(missing_ok=True)
        rows = ",".join(sorted({row_of(t) for t in tests})) if tests[0].startswith(FAULTS) else ""
        options = ["-p", "tests.planted.impatience"] if rows else []
        kept = {
            n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "COV", "LAYSHAFT"))
        }
        environment = {
            **kept,
            **self._servers.environment(),
            "PYTHONPATH": str(tree),
            # Where downloaded servers lie.
            "LAYSHAFT_STATE_DIR": str(ROOT / os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")),
            "LAYSHAFT_FULL": "0",
            "LAYSHAFT_FAULT_ROWS": rows,
        }
        command = (
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options),
            *(f"--junitxml={report}", f"--basetemp={tree / 'tmp'}", *tests),
        )
        with log.open("wb") as sink:
            with self._lock:
                if self._is_closed:
                    return Result({}, {}, "closed")
                process = subprocess.Popen(
                    command,
                    cwd=tree,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                )
                self._running.append(process)
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                _end(process)
            finally:
                with self._lock:
                    self._running.remove(process)
        return read(report, log.read_text(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let pytest tear its fixtures down: processes of the service live in sessions of their own."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(INTERRUPT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read(report: Path, log: str) -> Result:
    """The result in a JUnit report; empty without one."""
    failed: dict[str, bool] = {}
    passed: dict[str, bool] = {}
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        path = f"{(case.get('classname') or '').replace('.', '/')}.py"
        name = f"{path}::{(case.get('name') or '').partition('[')[0]}"
        has_failed = case.find("failure") is not None
        # A fixture that breaks is no proof that the test noticed anything.
        failed[name] = failed.get(name, False) or has_failed
        well = not has_failed and case.find("error") is None and case.find("skipped") is None
        passed[name] = passed.get(name, True) and well
    return Result(failed, passed, log)


@pytest.fixture(scope="module")
def copies(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """Empty so far; nothing runs in them afterwards."""
    made = Copies(tmp_path_factory.mktemp("planted"), servers)
    try:
        yield made
    finally:
        made.close()


class Outcomes:
    """Results by the id of the bug's patch, or of the control; all that was asked for is begun at
    once."""

    def __init__(self, copies: Copies, asked: Sequence[str]) -> None:
        bugs = {bug.patch.stem: bug for bug in BUGS}
        self._futures = {
            name: copies.submit(name, bugs[name].tests, bugs[name])
            if name in bugs
            else copies.submit(f"without-{name}", CONTROLS[name], None)
            for name in asked
        }

    def of(self, name: str) -> Result:
        """Waits for it."""
        return self._futures[name].result()


# All tests that are named, in the groups they are run in: a fault test alone, the others together.
CONTROLS: dict[str, list[str]] = {}
for _test in NAMED:
    _group = row_of(_test) if _test.startswith(FAULTS) else "others"
    CONTROLS.setdefault(_group, []).append(_test)


@pytest.fixture(scope="module")
def outcomes(copies: Copies, request: pytest.FixtureRequest) -> Outcomes:
    """What the tests of this run ask for, in their order."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    return Outcomes(copies, [spec.params["run"] for spec in calls if spec and "run" in spec.params])


# A test waits for its own run and for what is still under way of the one before.
patient = pytest.mark.timeout(4 * DEADLINE_S)


@pytest.mark.full
@patient
@pytest.mark.parametrize("run", [bug.patch.stem for bug in BUGS])
def test_the_bug_is_noticed(run: str, outcomes: Outcomes) -> None:
    [bug] = [bug for bug in BUGS if bug.patch.stem == run]
    result = outcomes.of(run)
    missed = [test for test in bug.tests if not result.failed.get(test, False)]
    assert missed == [], f"{bug.bug}: not noticed by {missed}\n{result.log[-3000:]}"


@pytest.mark.full
@patient
@pytest.mark.parametrize("run", CONTROLS)
def test_without_a_bug_the_same_tests_pass(run: str, outcomes: Outcomes) -> None:
    """In such a copy and in the same size, so that it was the bug that made them fail.

    In a full run only: the other groups of an ordinary run have run most of them as they are.
    """
    result = outcomes.of(run)
    wrong = [test for test in CONTROLS[run] if not result.passed.get(test, False)]
    assert wrong == [], f"{wrong} did not pass\n{result.log[-3000:]}"


def apply(bug: Planted, tree: Path, *options: str) -> None:
    """The bug is in the tree, or would be."""
    applied = subprocess.run(
        ("git", "apply", *options, bug.patch),
        cwd=tree,
        # The copy may lie inside a repository; it is none of its parts.
        env=dict(os.environ) | {"GIT_CEILING_DIRECTORIES": str(tree.parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert applied.returncode == 0, f"{bug.patch.name} does not apply:\n{applied.stderr}"


def copy_tree(to: Path) -> None:
    """Everything under version control, as it is in the working tree."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
