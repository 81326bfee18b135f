"""`./bench`: all rungs in turn, as many rounds as asked for, and what they come to."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.latency import latency
from benchmarks.place import ROOT, Invalid, Place, server_settings
from benchmarks.report import Report, report, show
from benchmarks.rungs import RUNGS, Passed, Rung
from ops.stack import Stack, StackUnavailable

ROUNDS = 3
RESULTS = ROOT / "benchmarks" / "results"
LATENCY_S, QUICK_LATENCY_S = 20.0, 2.0


def main() -> int:
    """Exit code: 0 measured, 1 a run that counts for nothing, 3 no servers to be had."""
    parser = argparse.ArgumentParser(prog="./bench", description="Measure Layshaft.")
    parser.add_argument("--quick", action="store_true", help="one short pass per rung")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="passes per rung")
    parser.add_argument("--rungs", default="", help="only these, with commas between them")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    names = arguments.rungs.split(",") if arguments.rungs else [rung.name for rung in RUNGS]
    if unknown := set(names) - {rung.name for rung in RUNGS}:
        there_are = ", ".join(rung.name for rung in RUNGS)
        parser.error(f"no rung {', '.join(sorted(unknown))}; there are {there_are}")
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    wanted = [rung for rung in RUNGS if rung.name in names]
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ROOT / ".layshaft"))
    try:
        found = asyncio.run(
            _measure(wanted, state, 1 if arguments.quick else arguments.rounds, arguments.quick)
        )
    except StackUnavailable as error:
        print(error, file=sys.stderr)
        return 3
    except Invalid as error:
        print(f"This run counts for nothing: {error}", file=sys.stderr)
        return 1
    if arguments.output == "json":
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        show(found, {rung.name: rung.what for rung in RUNGS}, Console())
    if not (arguments.quick or arguments.rungs or found.invalid):
        _keep(found, state)
    return 1 if found.invalid else 0


def _keep(found: Report, state: Path) -> None:
    """The report and its chart are under benchmarks/results."""
    written = RESULTS / "latest.json"
    written.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    command = (_other_python(state), "-m", "benchmarks.chart", written, RESULTS / "latest")
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"written: {RESULTS.relative_to(ROOT)}/latest.json, .svg, .png", file=sys.stderr)


def _other_python(state: Path) -> Path:
    return state / "bench-venv" / "bin" / "python"


async def _measure(rungs: list[Rung], state: Path, rounds: int, quick: bool) -> Report:
    stack = Stack(state / "bench", packages_dir=state / "packages", environment={})
    servers = await asyncio.to_thread(stack.start)
    try:
        place = Place(servers, state / "bench" / "run", _other_python(state))
        passes: dict[str, list[Passed]] = {rung.name: [] for rung in rungs}
        async with place.open():
            for round_number in range(rounds):
                for rung in rungs:
                    number = rung.quick if quick else rung.number
                    passed = await rung.measure(place, number, 1 + round_number)
                    passes[rung.name].append(passed)
                    line = f"{rung.name}: {passed.rate:,.0f} messages/s"
                    print(f"round {round_number + 1}, {line}", file=sys.stderr, flush=True)
            found_ms: dict[str, float] = {}
            if "layshaft" in passes:
                found_ms = await latency(place, QUICK_LATENCY_S if quick else LATENCY_S)
            settings = await server_settings(servers.database_url)
        return report(
            passes,
            latency_ms=found_ms,
            settings=settings,
            machine=_machine(),
            commit=_commit(),
        )
    finally:
        await asyncio.to_thread(stack.stop)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _commit() -> str:
    described = subprocess.run(
        ("git", "describe", "--always", "--dirty"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
