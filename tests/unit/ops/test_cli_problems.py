"""Exit codes and the three lines of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.principals import token_text
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)
from ops.cli.problems import Exit, Problem, bug, not_found, problem_of
from ops.cli.tree import run


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Rejected("not-found", "gone"), 4),
        (Rejected("nothing-to-retry", "nothing"), 5),
        (Conflict("content-changed", "changed"), 6),
        (Unavailable("away", "away"), 3),
        (InDoubt("lost", "lost"), 3),
        (Misconfigured("bad", "bad"), 2),
        (InvalidMessage("bad", "bad"), 2),
    ],
)
def test_each_failure_class_has_its_exit_code(failure: Failure, expected: int) -> None:
    assert problem_of(failure).exit_code == expected


def test_an_error_is_three_lines_with_a_code_and_no_controls() -> None:
    problem = Problem(Exit.REFUSED, "some-code", "What\x1b[31m is", why="why\nit is", fix="do it")
    assert problem.text() == (
        "layshaft: What [31m is  [LAY-some-code]\n  why:  why it is\n  do:   do it"
    )


def test_what_was_not_found_comes_with_what_is_nearest() -> None:
    problem = not_found("change", "ECO-201", ["ECO-2001", "ABC"])
    assert problem.exit_code == 4
    assert problem.fix == "Did you mean ECO-2001? See: layshaft change list"


def test_a_bug_leaves_its_traceback_in_a_file(tmp_path: Path) -> None:
    problem = bug(ZeroDivisionError("ours"), {"LAYSHAFT_STATE_DIR": str(tmp_path)})
    (log,) = tmp_path.iterdir()
    assert problem.exit_code == 70
    assert str(log) in problem.fix
    assert "ZeroDivisionError: ours" in log.read_text()


def test_a_token_is_neither_shown_nor_kept(tmp_path: Path) -> None:
    token = token_text(bytes(32))
    problem = Problem(Exit.USAGE, "usage", f"No {token}", why=f"typed: {token}", fix=token)
    assert problem.text() == (
        "layshaft: No lys_...  [LAY-usage]\n  why:  typed: lys_...\n  do:   lys_..."
    )
    bug(ValueError(token), {"LAYSHAFT_STATE_DIR": str(tmp_path)})
    (log,) = tmp_path.iterdir()
    assert "ValueError: lys_..." in log.read_text()
    assert token not in log.read_text()


@pytest.fixture
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without configuration, and no variable that names one."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_DATABASE_URL", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_nothing_around")
@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["chang", "list"], "LAY-usage", "layshaft --help"),
        (["change", "list", "-o", "xml"], "LAY-usage", "layshaft change list --help"),
        (["task", "approve", "7"], "LAY-usage", "layshaft task approve --help"),
        (["change", "list"], "LAY-configuration-missing", "start ./demo"),
        (["publish", "x.json", "--source", "plm"], "LAY-file-unreadable", "Name a file"),
        (["change", "list", "--config", "no.toml"], "LAY-configuration-unreadable", "--config"),
    ],
)
def test_bad_usage_ends_with_a_hint_and_no_traceback(
    arguments: list[str], code: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code = run(arguments)
    said = capsys.readouterr()
    assert exit_code == (4 if code == "LAY-file-unreadable" else 2)
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 3
    assert code in lines[0]
    assert hint in lines[2]


def test_help_is_data_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "trace" in capsys.readouterr().out
