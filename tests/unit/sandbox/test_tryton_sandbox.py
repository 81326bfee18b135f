"""What is installed for a real Tryton is pinned, and what does not run needs no stopping."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

import pytest

from ops.cli.problems import Exit
from ops.cli.tree import run
from ops.sandbox.tryton import Sandbox
from ops.sandbox.tryton.server import REQUIREMENTS
from ops.stack import StackUnavailable


def test_every_package_is_pinned_with_digests_and_comes_from_the_registry() -> None:
    packages = re.split(r"\n(?=[a-z])", REQUIREMENTS.read_text().strip())
    assert len(packages) > 30
    for package in packages:
        assert re.match(r"[a-z0-9-]+==[0-9.]+ \\\n +--hash=sha256:[0-9a-f]{64}", package), package
    asked = REQUIREMENTS.with_suffix(".in").read_text().split()
    pinned = {package.split(" ")[0] for package in packages}
    assert {re.sub(r"\[.*\]", "", one) for one in asked} <= pinned


def test_nothing_that_runs_here_imports_it() -> None:
    root = Path(__file__).parents[3]
    for folder in ("broker", "canonical", "handlers", "ops"):
        for path in (root / folder).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) (trytond|proteus)", path.read_text(), re.M)


def test_what_does_not_run_is_stopped_and_removed_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAYSHAFT_STATE_DIR", str(tmp_path))
    assert run(("sandbox", "tryton", "--stop")) == Exit.DONE
    assert Sandbox(tmp_path / "tryton").running() is None
    assert run(("sandbox", "tryton", "--remove")) == Exit.DONE
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_two_commands_do_not_work_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tryton").mkdir()
    with (tmp_path / "tryton" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StackUnavailable, match="Another command is at work"):
            Sandbox(tmp_path / "tryton").start()
        monkeypatch.setenv("LAYSHAFT_STATE_DIR", str(tmp_path))
        assert run(("sandbox", "tryton")) == Exit.UNREACHABLE
    assert "[LAY-sandbox-unavailable]" in capsys.readouterr().err
