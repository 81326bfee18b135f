"""Starts a stand-in as a process of its own and stops it again, for the demo and for tests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

SOURCES = Path(__file__).resolve().parents[2]
STOP_S = 5.0  # it stops at once; more means that it hangs


class StandIn(msgspec.Struct, frozen=True):
    """A running stand-in."""

    url: str
    pid: int
    folder: Path


@contextmanager
def running(
    kind: Literal["erp", "procurement"],
    folder: Path,
    seed: Mapping[str, object],
    options: Sequence[str] = (),
) -> Iterator[StandIn]:
    """A stand-in that answers, on a free port, with its journal and table in `folder`.

    Raises: RuntimeError if it ends before it listens; its own words are on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seed_file = folder / "seed.json"
    seed_file.write_text(json.dumps(seed), encoding="utf-8")
    command = [sys.executable, "-m", "ops.sandbox", kind]
    command += ["--dir", str(folder.resolve()), "--seed", str(seed_file.resolve()), *options]
    path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {kind} stand-in ended with exit code {process.wait()}")
        yield StandIn(line.split()[-1], process.pid, folder)
    finally:
        process.terminate()
        process.wait(STOP_S)
        process.stdout.close()
