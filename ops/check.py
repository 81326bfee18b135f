"""`./check`: every check there is, group by group, against private servers started once.

The last line is `N passed, N failed, N skipped`; each skip stands above it with its reason. Exit
code 0 if nothing failed (and with CI=true nothing was skipped), 1 if not, 3 without servers.
"""

import argparse
import ast
import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn
from xml.etree import ElementTree

import msgspec

from ops.stack import Servers, Stack, StackUnavailable

ROOT = Path(__file__).parents[1]
# Each test has its own, shorter limit; this one is for what hangs outside a test.
_GROUP_TIMEOUT_S = 1800.0
_FULL_TIMEOUT_S = 4 * 3600.0
# Tests that keep nothing from one another are shared out over so many processes.
_WORKERS = 2
_RESULTS = ROOT / "tests" / "results" / "full.json"
# Private servers and clusters of a test are stopped meanwhile; the report is written after that.
_INTERRUPT_TIMEOUT_S = 60.0


class Skip(msgspec.Struct, frozen=True):
    """A test that did not run, and why."""

    test: str
    reason: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one group came to. notes: lines to print below its own."""

    passed: int = 0
    failed: int = 0
    skips: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()


class _Run(msgspec.Struct, frozen=True):
    """What a group may use: the folder for its logs, and the servers once they are ready.

    full: slow tests too, and the fault tests in full size. rows: only these of the fault tests.
    commit: that is tested; the tree may be at another one, and hold results, by the end of the run.
    """

    folder: Path
    servers: Callable[[], Servers]
    commit: str
    full: bool = False
    rows: str = ""


def _tools(*commands: tuple[str, ...]) -> Callable[[str, _Run], Outcome]:
    """A group that is one check: all commands end with exit code 0."""

    def run(name: str, run: _Run) -> Outcome:
        log = run.folder / f"{name}.log"
        log.unlink(missing_ok=True)
        good = all([_execute(command, log, os.environ) == 0 for command in commands])
        return Outcome(passed=int(good), failed=int(not good))

    return run


def _tests(
    *, with_servers: bool, workers: int = 0, by_module: bool = False
) -> Callable[[str, _Run], Outcome]:
    """A group of tests in the folder of its name; empty if there is no such folder.

    workers: processes that share the tests, which must not share anything else; 0 = none.
    by_module: they share modules, since the tests of one share what was made for it.
    """

    def run(name: str, run: _Run) -> Outcome:
        if not (ROOT / "tests" / name).is_dir():
            return Outcome()
        environment = dict(os.environ)
        if with_servers:
            environment |= run.servers().environment()
        environment["LAYSHAFT_FULL"] = "1" if run.full else "0"
        environment["LAYSHAFT_FAULT_ROWS"] = run.rows
        log, report = run.folder / f"{name}.log", run.folder / f"{name}.xml"
        for earlier in (log, report):
            earlier.unlink(missing_ok=True)
        command = (
            *(*_module("pytest"), f"tests/{name}", "-q"),
            *(f"--junitxml={report}", f"--basetemp={run.folder / 'tmp'}"),
            *(("-n", str(workers)) if workers else ()),
            *(("--dist=loadfile",) if workers and by_module else ()),
        )
        timeout_s = _FULL_TIMEOUT_S if run.full else _GROUP_TIMEOUT_S
        return read_report(report, exit_code=_execute(command, log, environment, timeout_s))

    return run


def _fault_tests(name: str, run: _Run) -> Outcome:
    """The fault tests; rows without one are named, and a full run leaves its results behind."""
    outcome = _tests(with_servers=True)(name, run)
    missing = tomllib.loads((ROOT / "tests" / "faults" / "rows.toml").read_text())["missing"]
    if missing:
        print(f"{len(missing)} rows without a test: {' '.join(missing)}", end="\n  ")
    if run.full:
        write_results(run.folder / f"{name}.xml", _RESULTS, commit=run.commit, missing=missing)
    return outcome


def _measuring_tests(*, with_servers: bool, workers: int = 0) -> Callable[[str, _Run], Outcome]:
    """Tests of which some measure; a full run shows the figures and leaves them behind.

    workers: as of other tests, except in a full run, where nothing may run beside what measures.
    """

    def run(name: str, run: _Run) -> Outcome:
        beside = 0 if run.full else workers
        outcome = _tests(with_servers=with_servers, workers=beside, by_module=True)(name, run)
        if not run.full:
            return outcome
        report = run.folder / f"{name}.xml"
        write_results(report, _RESULTS, commit=run.commit)
        return msgspec.structs.replace(outcome, notes=measured_lines(report))

    return run


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


_GROUPS: Mapping[str, Callable[[str, _Run], Outcome]] = {
    "lint": _tools(
        (*_module("ruff"), "check", "--output-format=concise", "."),
        (*_module("ruff"), "format", "--check", "--output-format=concise", "."),
    ),
    "types": _tools(_module("mypy")),
    "imports": _tools((str(Path(sys.executable).with_name("lint-imports")),)),
    "unit": _tests(with_servers=False, workers=_WORKERS),
    "simulation": _measuring_tests(with_servers=False),
    "contract": _tests(with_servers=True, workers=_WORKERS),
    "integration": _measuring_tests(with_servers=True, workers=_WORKERS),
    "scenarios": _tests(with_servers=True, workers=_WORKERS),
    "e2e": _tests(with_servers=True),
    "browser": _tests(with_servers=True),
    "hostile": _tests(with_servers=True),
    "faults": _fault_tests,
    "planted": _tests(with_servers=True),
}


def main() -> int:
    """Run the groups named on the command line, or all; the exit code."""
    parser = argparse.ArgumentParser(prog="./check", description="Run every check there is.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(_GROUPS))
    parser.add_argument("--full", action="store_true", help="everything, in full size: 90 minutes")
    parser.add_argument("--rows", default="", help="of the fault tests only these: F12,F15")
    arguments = parser.parse_args()
    for name in arguments.groups:
        if name not in _GROUPS:
            parser.error(f"no group {name}; there are {', '.join(_GROUPS)}")
    chosen = arguments.groups or list(_GROUPS)
    known = tomllib.loads((ROOT / "tests" / "faults" / "rows.toml").read_text())["rows"]
    for row in filter(None, arguments.rows.split(",")):
        if row not in known:
            parser.error(f"no row {row}; they are listed in tests/faults/rows.toml")
    # A terminated run still stops its servers: they live in sessions of their own.
    signal.signal(signal.SIGTERM, _end)
    # A shell has its background jobs ignore this one, and pytest would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcomes = _run_groups(chosen, full=arguments.full, rows=arguments.rows)
    except StackUnavailable as error:
        print(f"\n{error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    return conclude(outcomes, strict=os.environ.get("CI", "").lower() in ("1", "true"))


def read_report(report: Path, *, exit_code: int) -> Outcome:
    """What pytest's JUnit report says; a run that broke off counts as one more failure."""
    passed = failed = 0
    skips: list[Skip] = []
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is not None:
            test = f"{case.get('classname')}::{case.get('name')}"
            skips.append(Skip(test, skipped.get("message") or "no reason given"))
        else:
            passed += 1
    # 5: no tests collected, which an empty folder may say.
    if exit_code not in (0, 5) and not failed:
        failed = 1
    return Outcome(passed=passed, failed=failed, skips=tuple(skips))


def write_results(
    report: Path, results: Path, *, commit: str, missing: Sequence[str] | None = None
) -> None:
    """What tests of a full run came to: one entry a fault test, with row, commit and figures, and
    below `measured` one for each other test that recorded figures.

    A test that was not run keeps the entry it has. missing: rows that no test is for; None keeps
    what stands there.
    """
    if not report.exists():
        return
    known = msgspec.json.decode(results.read_bytes()) if results.exists() else {}
    rows: dict[str, dict[str, object]] = {row["test"]: row for row in known.get("rows", ())}
    measured: dict[str, dict[str, object]] = {m["test"]: m for m in known.get("measured", ())}
    for case, figures in _figures(report):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        name = str(case.get("name"))
        entry: dict[str, object] = {
            "test": name,
            "result": "failed" if failed else "skipped" if skipped else "passed",
            "duration_s": round(float(case.get("time", "0")), 1),
            "commit": commit,
            "cores": os.cpu_count(),
        }
        if "row" in figures:
            row, seed = figures.pop("row"), figures.pop("seed", None)
            rows[name] = {"row": row, **entry, "seed": seed, "figures": figures}
        else:
            measured[name] = {**entry, "figures": figures}
    results.parent.mkdir(exist_ok=True)
    document = {
        "rows": sorted(rows.values(), key=lambda row: (str(row["row"]), str(row["test"]))),
        "missing": known.get("missing", []) if missing is None else missing,
        "measured": [measured[name] for name in sorted(measured)],
    }
    results.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def measured_lines(report: Path) -> tuple[str, ...]:
    """A line for each test that recorded figures."""
    if not report.exists():
        return ()
    return tuple(
        f"{case.get('name')}: {', '.join(f'{name} {value}' for name, value in figures.items())}"
        for case, figures in _figures(report)
    )


def _figures(report: Path) -> Iterable[tuple[ElementTree.Element, dict[str, object]]]:
    """The tests of a report that recorded something, with what it was."""
    for case in ElementTree.parse(report).iter("testcase"):
        figures = {
            str(found.get("name")): _figure(str(found.get("value")))
            for found in case.iter("property")
        }
        if figures:
            yield case, figures


def _figure(text: str) -> object:
    """A figure as it was recorded; pytest writes each as its Python text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _commit() -> str:
    """The commit the tree is at, marked where it has changes that are not committed."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def conclude(outcomes: list[Outcome], *, strict: bool) -> int:
    """Print the skips and the counts; the exit code. If `strict`, a skip is a failure."""
    skips = [skip for outcome in outcomes for skip in outcome.skips]
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    for skip in skips:
        print(f"skipped: {skip.test}: {skip.reason}")
    if strict and skips:
        print("A skipped test is a failure where CI=true.")
    print(f"{passed} passed, {failed} failed, {len(skips)} skipped")
    return 1 if failed or (strict and skips) else 0


def _run_groups(names: list[str], *, full: bool, rows: str) -> list[Outcome]:
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ROOT / ".layshaft"))
    folder = state / "check"
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(folder, packages_dir=state / "packages")
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=1) as background:
        starting: list[Future[Servers]] = []
        # Servers take seconds to start: they do it while the first groups run.
        if not set(names) <= {"lint", "types", "imports", "unit", "simulation"}:
            starting.append(background.submit(stack.start))
        try:
            run = _Run(folder, lambda: starting[0].result(), _commit(), full, rows)
            for name in names:
                outcomes.append(_run_group(name, run))
        finally:
            if starting and not starting[0].cancel():
                # The first stop interrupts a start that still runs, the second ends its rest.
                stack.stop()
                starting[0].exception()
                stack.stop()
    return outcomes


def _run_group(name: str, run: _Run) -> Outcome:
    print(f"{name:<12} ", end="", flush=True)
    began = time.monotonic()
    outcome = _GROUPS[name](name, run)
    took_s = time.monotonic() - began
    words = [f"{outcome.passed} passed"]
    words += [f"{outcome.failed} failed"] if outcome.failed else []
    words += [f"{len(outcome.skips)} skipped"] if outcome.skips else []
    print(f"{', '.join(words):<36}{took_s:6.1f} s", flush=True)
    for note in outcome.notes:
        print(f"  {note}", flush=True)
    if outcome.failed:
        log = run.folder / f"{name}.log"
        print(log.read_text(errors="replace").rstrip())
        print(f"Log: {log}", flush=True)
    return outcome


def _execute(
    command: tuple[str, ...],
    log: Path,
    environment: Mapping[str, str],
    timeout_s: float = _GROUP_TIMEOUT_S,
) -> int:
    """Run to the end, output appended to `log`; the exit code."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            sink.write(f"\nNo end within {timeout_s:.0f} s.\n".encode())
            return 1
        finally:
            _end_session(process)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Let pytest tear its fixtures down, then end whatever is left of its process group."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_INTERRUPT_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main())
