"""`python -m tests.faults.machine FILE`: when the machine stood still, as somebody tells who does
nothing but sleep, and somebody who does nothing but put one page on its disk. Machines of the tests
are shared: their processors and their disk may be others' for a second.

What the runs do themselves does not show here: whoever sleeps is woken within some milliseconds,
however busy both processors are, and a disk that is slow since much was written to it is no stall.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

PAUSE_S = 0.05
LATE_S = 0.1
"""Less is no stall."""
OWN_BYTES = 16 * 1024 * 1024
"""Written by this machine within `BEFORE_S` before a page was put on disk and until it was there,
may be what it waited for. The heaviest runs write 13 MB a second, the others 1 to 3."""
BEFORE_S = 1.0
_SECTOR_BYTES = 512


class Stall(msgspec.Struct, frozen=True):
    """From when to when, in seconds of the wall clock."""

    began: float
    ended: float
    what: Literal["processors", "disk"] = "processors"


def without(stalls: Sequence[Stall], began: float, ended: float) -> float:
    """Seconds between the two in which the machine did not stand still."""
    lost, seen_until = 0.0, began
    for stall in sorted(stalls, key=lambda s: s.began):
        until = min(stall.ended, ended)
        lost += max(until - max(stall.began, seen_until), 0.0)
        seen_until = max(seen_until, until)
    return ended - began - lost


def stalls(file: Path) -> list[Stall]:
    """Those that were told so far."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Stall) for line in lines]


class Disk:
    """Whether a page that took long to be put on disk waited for what this machine wrote itself."""

    def __init__(self, written: Callable[[], int]) -> None:
        """written: bytes given to the disk since its start."""
        self._written = written
        self._history: deque[tuple[float, int]] = deque()

    def put(self, began: float, ended: float) -> Stall | None:
        """A page was put on disk from then to then; the stall that was, if it was one."""
        now = self._written()
        while len(self._history) > 1 and self._history[1][0] <= began - BEFORE_S:
            self._history.popleft()
        before = self._history[0][1] if self._history else now
        self._history.append((ended, now))
        is_stall = ended - began > LATE_S and now - before < OWN_BYTES
        return Stall(began, ended, "disk") if is_stall else None


def written_to(device: int) -> int | None:
    """Bytes given to the disk of this number since its start; None where the kernel counts none."""
    number = [str(os.major(device)), str(os.minor(device))]
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if fields[:2] == number:
            return int(fields[9]) * _SECTOR_BYTES
    return None


def watch(file: Path) -> None:
    """Tells until it is killed; a line each, written at once."""
    with file.open("ab", buffering=0) as told:
        threading.Thread(target=_watch_disk, args=(file, told.write), daemon=True).start()
        while True:
            due = time.time() + PAUSE_S
            time.sleep(PAUSE_S)
            if (woken := time.time()) - due > LATE_S:
                told.write(_line(Stall(due, woken)))


def _watch_disk(file: Path, tell: Callable[[bytes], object]) -> None:
    """Where the kernel does not count what is written, nothing is told: no delay is excused."""
    with file.with_suffix(".page").open("wb", buffering=0) as page:
        device = os.fstat(page.fileno()).st_dev
        if written_to(device) is None:
            return
        disk = Disk(lambda: written_to(device) or 0)
        while True:
            os.pwrite(page.fileno(), bytes(4096), 0)
            began = time.time()
            os.fdatasync(page.fileno())
            if stall := disk.put(began, time.time()):
                tell(_line(stall))
            time.sleep(PAUSE_S)


def _line(stall: Stall) -> bytes:
    return msgspec.json.encode(stall) + b"\n"


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
