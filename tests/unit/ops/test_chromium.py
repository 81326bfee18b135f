"""Where a browser comes from."""

from pathlib import Path

import pytest

from ops.stack import StackUnavailable
from ops.stack.chromium import find_chromium


def test_without_any_way_to_chromium_the_apt_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackUnavailable, match="apt-get install -y chromium"):
        find_chromium(tmp_path / "packages", ignore_system=True)


def test_the_unpacked_one_brings_its_libraries_and_its_fonts(tmp_path: Path) -> None:
    prefix = tmp_path / "chromium"
    libraries = prefix / "usr/lib/x86_64-linux-gnu"
    (libraries / "pulseaudio").mkdir(parents=True)
    (prefix / "usr/lib/chromium").mkdir()
    (prefix / "usr/lib/chromium/chromium").touch()

    chromium = find_chromium(tmp_path, ignore_system=True)

    assert chromium.executable == prefix / "usr/lib/chromium/chromium"
    assert chromium.environment["LD_LIBRARY_PATH"] == f"{libraries}:{libraries / 'pulseaudio'}"
    fonts = Path(chromium.environment["FONTCONFIG_FILE"])
    assert f"<dir>{prefix / 'usr/share/fonts'}</dir>" in fonts.read_text()


def test_a_prefix_without_a_browser_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chromium").mkdir()
    with pytest.raises(StackUnavailable, match="hold no Chromium"):
        find_chromium(tmp_path, ignore_system=True)
