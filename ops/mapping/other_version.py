"""What another version of Layshaft makes of samples: its own command is asked, in its own
environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

from canonical.errors import Misconfigured

# A version that differs from goldens that it left alone says so by 1; here it has none to leave.
_RECORDED = 0
_NAME_ANOTHER = "Name the layshaft of another checkout, which has the command map record"


def record_by(command: Path, folder: Path, goldens: Path, *, seconds: float) -> None:
    """Goldens of the folder's samples in `goldens`, as `command` records them.

    Raises: Misconfigured where it cannot be run, says that it could not, or takes longer.
    """
    arguments = [str(command), "map", "record", str(folder.resolve())]
    arguments += ["--goldens", str(goldens.resolve())]
    try:
        done = subprocess.run(
            arguments,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except OSError as error:
        raise _refusal(f"{command} cannot be run", error.strerror or type(error).__name__) from None
    except subprocess.TimeoutExpired:
        raise _refusal(f"{command} took longer than {seconds:g} s", "map record") from None
    if done.returncode != _RECORDED:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise _refusal(f"{command} ended with exit code {done.returncode}", said[0])


def _refusal(what: str, why: str) -> Misconfigured:
    return Misconfigured("other-version-failed", what, where=why, remedy=_NAME_ANOTHER)
