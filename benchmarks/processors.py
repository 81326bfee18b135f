"""How much processor time a message costs, and whose: the service's, PostgreSQL's or RabbitMQ's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from benchmarks.changes import letters
from benchmarks.place import QUEUE, SINK, Place
from benchmarks.rungs import begun, events_out

MESSAGES, QUICK_MESSAGES = 20_000, 4_000
ROUNDS, QUICK_ROUNDS = 3, 1
_TICKS = os.sysconf("SC_CLK_TCK")


async def processors(place: Place, *, quick: bool) -> dict[str, float]:
    """Microseconds of processor time a message, medians of passes; busy: processors in use at once,
    of all that the machine has."""
    number = QUICK_MESSAGES if quick else MESSAGES
    passes = [await _pass(place, number, 1 + n) for n in range(QUICK_ROUNDS if quick else ROUNDS)]
    return {name: round(median(each[name] for each in passes), 1) for name in passes[0]}


async def _pass(place: Place, number: int, seed: int) -> dict[str, float]:
    database = place.fresh_database()
    written = letters(number, seed=seed)
    await place.purge(SINK)
    await place.fill(written)
    async with place.service(database, "--role", "translate", "--lanes", "standard") as process:
        names = {**_names(place.servers.pids), process.pid: "service"}
        began = await begun(place, QUEUE, number)
        before = {pid: cpu_s(pid) for pid in names}
        ended = await events_out(place, database, written)
        used = {pid: cpu_s(pid) - before[pid] for pid in names}
    await place.purge(SINK)
    spent: dict[str, float] = {}
    for pid, name in names.items():
        spent[name] = spent.get(name, 0.0) + 1e6 * used[pid] / number
    return {
        **{f"{name}_us": us for name, us in spent.items()},
        "messages_per_second": number / (ended - began),
        "busy": sum(used.values()) / (ended - began),
        "processors": float(os.cpu_count() or 0),
    }


def _names(pids: Iterable[int]) -> dict[int, str]:
    """The servers among these processes, by what they run."""
    found: dict[int, str] = {}
    for pid in pids:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"beam.smp" in command:
            found[pid] = "rabbitmq"
        elif b"postgres" in command:
            found[pid] = "postgresql"
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
