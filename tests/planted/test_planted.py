"""Bugs planted on purpose, each of which a named test must notice.

Every bug is a patch `<id>-<words>.patch` beside this file, whose head says what it breaks and which
tests have to fail:

    Bug: acknowledges before the inbox commit
    Fails: tests/integration/test_x.py::test_y
    Full: yes                        (where the test belongs to a full run only)

The patch is applied to a copy of the tree; a patch that no longer applies is a failure, and so is a
test that still passes, or that never ran.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from ops.stack import Servers

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300
_APPLICABLE = {f"B{n}" for n in range(1, 19)}
# Not planted: there is no webhook bridge yet, which answers (B12) and verifies signatures (B16).
WITHOUT_SUBJECT = {"B12", "B16"}


class Planted(msgspec.Struct, frozen=True):
    """A planted bug. fails: pytest node ids; full: whether they are asked to run in full size."""

    id: str
    patch: Path
    bug: str
    fails: tuple[str, ...]
    full: bool


def planted(patch: Path) -> Planted:
    """What the head of a patch says."""
    head = patch.read_text().partition("\n--- ")[0]
    said: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(Bug|Fails|Full): (.+)$", head, re.MULTILINE):
        said.setdefault(name, []).append(value.strip())
    return Planted(
        id=patch.stem.partition("-")[0].upper(),
        patch=patch,
        bug=said["Bug"][0],
        fails=tuple(said["Fails"]),
        full="Full" in said,
    )


BUGS = [planted(patch) for patch in sorted(Path(__file__).parent.glob("*.patch"))]


def test_every_bug_of_the_catalogue_that_has_a_subject_is_planted() -> None:
    assert {bug.id for bug in BUGS} == _APPLICABLE - WITHOUT_SUBJECT


each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.patch.stem)


@each_bug
def test_the_patch_applies(bug: Planted) -> None:
    apply(bug, ROOT, "--check")


@pytest.mark.full
@pytest.mark.timeout(DEADLINE_S + 30)
@each_bug
def test_the_bug_is_noticed(bug: Planted, servers: Servers, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    copy_tree(tree)
    apply(bug, tree)
    failed, log = run_tests(tree, bug, servers)
    missed = [test for test in bug.fails if not failed.get(test.partition("[")[0], False)]
    assert missed == [], f"{bug.bug}: not noticed by {missed}\n{log[-3000:]}"


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


def run_tests(tree: Path, bug: Planted, servers: Servers) -> tuple[dict[str, bool], str]:
    """For each test, without its parameters, whether one of its cases failed; and the log."""
    report = tree / "report.xml"
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "COV", "LAYSHAFT"))}
    ran = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
         f"--basetemp={tree / 'tmp'}", *bug.fails),
        cwd=tree,
        env=kept
        | servers.environment()
        | {"PYTHONPATH": str(tree), "LAYSHAFT_FULL": str(int(bug.full))},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    failed: dict[str, bool] = {}
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        path = f"{(case.get('classname') or '').replace('.', '/')}.py"
        name = f"{path}::{(case.get('name') or '').partition('[')[0]}"
        # A fixture that breaks is no proof that the test noticed anything.
        failed[name] = failed.get(name, False) or case.find("failure") is not None
    return failed, ran.stdout + ran.stderr
