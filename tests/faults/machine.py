"""`python -m tests.faults.machine FILE`: when the machine stood still, as somebody tells who does
nothing but sleep. Machines of the tests are shared: their processors may be others' for a second.

What the runs do themselves does not show here: whoever sleeps is woken within some milliseconds,
however busy both processors are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

PAUSE_S = 0.05
LATE_S = 0.1
"""Less is no stall."""


class Stall(msgspec.Struct, frozen=True):
    """From when to when, in seconds of the wall clock."""

    began: float
    ended: float


def without(stalls: Sequence[Stall], began: float, ended: float) -> float:
    """Seconds between the two in which the machine did not stand still."""
    lost = sum(max(min(s.ended, ended) - max(s.began, began), 0.0) for s in stalls)
    return ended - began - lost


def stalls(file: Path) -> list[Stall]:
    """Those that were told so far."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Stall) for line in lines]


def watch(file: Path) -> None:
    """Tells until it is killed; a line each, written at once."""
    with file.open("ab", buffering=0) as told:
        while True:
            due = time.time() + PAUSE_S
            time.sleep(PAUSE_S)
            if (woken := time.time()) - due > LATE_S:
                told.write(msgspec.json.encode(Stall(due, woken)) + b"\n")


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
