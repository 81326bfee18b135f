"""Whose processor time a pass takes: the client's, PostgreSQL's or RabbitMQ's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

CLIENT = "client"
_TICKS = os.sysconf("SC_CLK_TCK")
_SERVERS = {b"beam.smp": "rabbitmq", b"postgres": "postgresql"}


class Meter:
    """Processor time since it was made."""

    def __init__(self, servers: Iterable[int], client: int) -> None:
        """Of processes by their ids, and of all below them."""
        self._names = {**_names(servers), client: CLIENT}
        self._before = {pid: cpu_s(pid) for pid in self._names}

    def spent_s(self) -> Mapping[str, float]:
        """Seconds by whose they are."""
        spent = dict.fromkeys(self._names.values(), 0.0)
        for pid, name in self._names.items():
            spent[name] += cpu_s(pid) - self._before[pid]
        return spent


def _names(pids: Iterable[int]) -> dict[int, str]:
    """The servers among these processes, by what they run."""
    found: dict[int, str] = {}
    for pid in pids:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        for word, name in _SERVERS.items():
            if word in command:
                found[pid] = name
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process and all below it have used, ended ones included."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = sum(int(ticks) for ticks in stat[11:15]) / _TICKS
    return used + sum(cpu_s(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
