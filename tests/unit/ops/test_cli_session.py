"""Where the command finds its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.cli.session import locate, unreachable, without_password


def test_files_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given, own, demo = Path("other.toml"), Path("layshaft.toml"), Path(".layshaft/demo")
    assert locate(None, {}) is None
    demo.mkdir(parents=True)
    (demo / "layshaft.toml").touch()
    assert locate(None, {}) == demo / "layshaft.toml"
    own.touch()
    assert locate(None, {}) == own
    assert locate(given, {}) == given


def test_the_state_folder_of_the_demo_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "layshaft.toml").touch()
    found = locate(None, {"LAYSHAFT_STATE_DIR": str(tmp_path)})
    assert found == tmp_path / "demo" / "layshaft.toml"


def test_a_demo_that_has_ended_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYSHAFT_STATE_DIR", str(tmp_path))
    (tmp_path / "demo").mkdir()
    url = "postgresql://u:p@127.0.0.1:9/x"
    assert "./demo" not in unreachable(url, OSError("refused")).fix
    (tmp_path / "demo" / "layshaft.toml").write_text(f'database_url = "{url}"')
    assert "./demo starts it anew" in unreachable(url, OSError("refused")).fix


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:5000/db?x=secret", "postgresql://h:5000/db"),
        ("amqp://u:secret@h/vhost", "amqp://h/vhost"),
        ("amqp://u:secret@h:port/", "amqp://h/"),
        ("no url at all", "://no url at all"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_password(url) == shown
