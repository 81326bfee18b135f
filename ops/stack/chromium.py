"""A browser for the tests that look at pages: the installed Chromium, else Debian's unpacked."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ops.stack.packages import fetch_chromium
from ops.stack.servers import StackUnavailable

_INSTALLED = Path("/usr/bin/chromium")


class Chromium(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that can be started."""

    executable: Path
    environment: Mapping[str, str]
    """What its process needs besides the usual variables."""
    source: str


def find_chromium(packages: Path, *, ignore_system: bool = False) -> Chromium:
    """The installed one, else one that is unpacked below `packages`, downloaded the first time.

    Raises: StackUnavailable if there is none to be had.
    """
    if _INSTALLED.exists() and not ignore_system:
        return Chromium(executable=_INSTALLED, environment={}, source="the system")
    prefix = fetch_chromium(packages.absolute())
    # Debian's /usr/bin/chromium is a script that looks for the browser in the system's folders.
    executable = prefix / "usr/lib/chromium/chromium"
    if not executable.exists():
        raise StackUnavailable(f"The unpacked packages in {prefix} hold no Chromium.")
    return Chromium(
        executable=executable,
        environment={
            "LD_LIBRARY_PATH": ":".join(map(str, _libraries(prefix))),
            "FONTCONFIG_FILE": str(_font_configuration(prefix)),
        },
        source="unpacked Debian packages",
    )


def _libraries(prefix: Path) -> list[Path]:
    """Where the loader finds what is unpacked. PulseAudio keeps a library of its own in a folder
    that only its other ones know, by the absolute path of an installation."""
    patterns = ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/pulseaudio")
    return [folder for pattern in patterns for folder in sorted(prefix.glob(pattern))]


def _font_configuration(prefix: Path) -> Path:
    """The unpacked fonts and no others: pages look the same on every machine."""
    file = prefix / "fonts.conf"
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(f"""\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{prefix / "usr/share/fonts"}</dir>
  <cachedir>{prefix / "fontcache"}</cachedir>
  <alias><family>sans-serif</family><prefer><family>Liberation Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>Liberation Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>Liberation Mono</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Liberation Sans</family></prefer></alias>
  <alias><family>Helvetica</family><prefer><family>Liberation Sans</family></prefer></alias>
  <alias><family>Arial</family><prefer><family>Liberation Sans</family></prefer></alias>
</fontconfig>
""")
    written.rename(file)
    return file
