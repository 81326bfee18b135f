"""`./bench`: all rungs in turn, as many rounds as asked for, what they come to; or one trial.

`./bench drivers` needs no servers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import NoReturn, TypeVar

import msgspec
from rich.console import Console

from benchmarks.drivers import WHAT as DRIVERS_WHAT
from benchmarks.drivers import show_timings, time_drivers
from benchmarks.latency import latency
from benchmarks.place import ROOT, Invalid, Place
from benchmarks.report import Report, Trial, report, show, show_trial
from benchmarks.rungs import RUNGS, Passed, Rung
from benchmarks.trials import TRIALS
from ops.memory import collect_rarely
from ops.stack import Servers, Stack, StackUnavailable

ROUNDS = 3
DRIVERS = "drivers"
RESULTS = ROOT / "benchmarks" / "results"
LATENCY_S, QUICK_LATENCY_S = 20.0, 2.0

T = TypeVar("T")


def main() -> int:
    """Exit code: 0 measured, 1 a run that counts for nothing, 3 no servers to be had."""
    arguments = _parser().parse_args()
    # A run that is ended still ends its servers and processes: they live in sessions of their own.
    signal.signal(signal.SIGTERM, _end)
    # A shell has its background jobs ignore this one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ROOT / ".layshaft"))
    try:
        if arguments.trial == DRIVERS:
            return _time_drivers(arguments)
        if arguments.trial != "rungs":
            return _try(arguments.trial, state, arguments)
        return _climb(state, arguments)
    except StackUnavailable as error:
        print(error, file=sys.stderr)
        return 3
    except Invalid as error:
        print(f"This run counts for nothing: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    trials = {DRIVERS: DRIVERS_WHAT, **{name: trial.what for name, trial in TRIALS.items()}}
    there_are = "; ".join(f"{name}: {what}" for name, what in trials.items())
    parser = argparse.ArgumentParser(prog="./bench", description="Measure Layshaft.")
    parser.add_argument(
        "trial",
        nargs="?",
        default="rungs",
        choices=("rungs", *trials),
        help=f"what to measure: rungs against each other (the default), or one of {there_are}",
    )
    parser.add_argument("--quick", action="store_true", help="one short pass of each")
    parser.add_argument("--rounds", type=_at_least_one, default=ROUNDS, help="passes per rung")
    parser.add_argument("--rungs", type=_rungs, default=list(RUNGS), help="only these, with commas")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _rungs(text: str) -> list[Rung]:
    names = text.split(",")
    if unknown := set(names) - {rung.name for rung in RUNGS}:
        there_are = ", ".join(rung.name for rung in RUNGS)
        raise argparse.ArgumentTypeError(
            f"no rung {', '.join(sorted(unknown))}; there are {there_are}"
        )
    return [rung for rung in RUNGS if rung.name in names]


def _climb(state: Path, arguments: argparse.Namespace) -> int:
    """The rungs are measured and shown; a whole run is kept."""
    rungs, quick = arguments.rungs, arguments.quick
    rounds = 1 if quick else arguments.rounds
    found = _on_place(state, lambda place: _measure(place, rungs, rounds, quick))
    if arguments.output == "json":
        _put_json(found)
    else:
        show(found, {rung.name: rung.what for rung in RUNGS}, Console())
    if rounds >= ROUNDS and len(rungs) == len(RUNGS) and not found.invalid:
        written = _keep(found, "latest")
        command = (_other_python(state), "-m", "benchmarks.chart", written, RESULTS / "latest")
        subprocess.run(command, cwd=ROOT, check=True)
    return 1 if found.invalid else 0


def _try(name: str, state: Path, arguments: argparse.Namespace) -> int:
    """The trial is made and shown; a whole one is kept."""

    async def measure(place: Place) -> Trial:
        if unlike := await place.unlike():
            raise Invalid(unlike)
        figures = await TRIALS[name].run(place, quick=arguments.quick)
        return Trial(name, figures, await place.settings(), _machine(), _commit())

    found = _on_place(state, measure)
    if arguments.output == "json":
        _put_json(found)
    else:
        show_trial(found, TRIALS[name].what, Console())
    if not arguments.quick:
        _keep(found, name)
    return 0


def _time_drivers(arguments: argparse.Namespace) -> int:
    """The drivers are timed and shown; a whole run is kept."""
    # As the service has it.
    collect_rarely()
    found = time_drivers(quick=arguments.quick, machine=_machine(), commit=_commit())
    if arguments.output == "json":
        _put_json(found)
    else:
        show_timings(found, Console())
    if not arguments.quick:
        _keep(found, DRIVERS)
    return 0


def _put_json(found: msgspec.Struct) -> None:
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


def _keep(found: msgspec.Struct, name: str) -> Path:
    """What was found is under benchmarks/results."""
    written = RESULTS / f"{name}.json"
    written.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    print(f"written: {written.relative_to(ROOT)}", file=sys.stderr)
    return written


def _other_python(state: Path) -> Path:
    return state / "bench-venv" / "bin" / "python"


def _on_place(state: Path, measure: Callable[[Place], Awaitable[T]]) -> T:
    """What is measured on servers of its own, which are stopped afterwards."""
    stack = Stack(state / "bench", packages_dir=state / "packages", environment={})

    async def run(servers: Servers) -> T:
        place = Place(servers, state / "bench" / "run", _other_python(state))
        async with place.open():
            return await measure(place)

    with stack as servers:
        return asyncio.run(run(servers))


async def _measure(place: Place, rungs: list[Rung], rounds: int, quick: bool) -> Report:
    began = monotonic()
    passes: dict[str, list[Passed]] = {rung.name: [] for rung in rungs}
    for round_number in range(rounds):
        for rung in rungs:
            number = rung.quick if quick else rung.number
            passed = await rung.measure(place, number, 1 + round_number)
            passes[rung.name].append(passed)
            line = f"{rung.name}: {passed.rate:,.0f} messages/s"
            print(f"round {round_number + 1}, {line}", file=sys.stderr, flush=True)
    found_ms: Mapping[str, float] = {}
    if "layshaft" in passes:
        found_ms = await latency(place, QUICK_LATENCY_S if quick else LATENCY_S)
    return report(
        passes,
        latency_ms=found_ms,
        settings=await place.settings(),
        machine=_machine(),
        commit=_commit(),
        elapsed_s=monotonic() - began,
        unlike=await place.unlike(),
    )


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


def _end(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main())
