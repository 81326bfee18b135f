"""The rows of the fault catalogue and their tests, as data; `python -m tests.faults.catalogue`
writes the README from them and from the last full run.
"""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.invariants import BACKLOG, SLACK

FOLDER = Path(__file__).parent
ROWS = FOLDER / "rows.toml"
README = FOLDER / "README.md"
RESULTS = FOLDER.parent / "results" / "full.json"

HEAD = """\
# Fault tests

Each row is a fault that Layshaft has to survive: real processes, real servers, a load with a ledger
of its own, and a target whose journal is the judge. `./check faults` runs the quick ones in small
size, `./check --full` all of them in full size. The table is written by
`python -m tests.faults.catalogue`; each result is that of the last run in full size, at the commit
beside it. `./check --full --rows F12,F15 faults` runs some of them.

How a fault test is written stands at the head of `world.py`; what must hold after each stands in
`invariants.py`. Load: messages, a second, keys, instances of the service. Each run has to bring
evidence for I5 to I9; which of them has no meaning for a fault stands below the table.

The machines these run on are shared: what a fault may cost in time is judged with a slack of
{slack:g} (recovery, draining, p99), and a moment in which the processors or the disk stood still
for others is no delay of ours (`machine.py`). The loads are smaller than a production's, so that
all of them together end within an hour. Drained: the rate at which what a fault had kept waiting
went after it, as a share of the rate of a burst before it; empty where fewer than {backlog}
messages waited.

"""


class Row(msgspec.Struct, frozen=True):
    """One fault of the catalogue."""

    id: str
    fault: str
    is_missing: bool


class FaultTest(msgspec.Struct, frozen=True):
    """A test of a row, as its source says."""

    row: str
    name: str
    file: str
    is_quick: bool


def rows() -> list[Row]:
    """All rows that need a test."""
    document = tomllib.loads(ROWS.read_text())
    missing = set(document["missing"])
    return [Row(name, fault, name in missing) for name, fault in document["rows"].items()]


def tests() -> list[FaultTest]:
    """All tests that are marked with a row, in the order of their rows."""
    found: list[FaultTest] = []
    for source in sorted(FOLDER.glob("test_*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found += [
                    FaultTest(row, node.name, source.name, quick)
                    for decorator in node.decorator_list
                    for row, quick in _marked(decorator)
                ]
    return sorted(found, key=lambda t: (t.row, t.file, t.name))


def _marked(decorator: ast.expr) -> list[tuple[str, bool]]:
    """(row, quick) where the decorator is `pytest.mark.fault(row, quick=...)`."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.fault":
        return []
    quick = next(k.value for k in decorator.keywords if k.arg == "quick")
    return [(ast.literal_eval(decorator.args[0]), ast.literal_eval(quick))]


def problems() -> list[str]:
    """What the catalogue and the tests disagree about."""
    tested = {t.row for t in tests()}
    known = {r.id: r for r in rows()}
    return [
        *(f"{r.id} has no test" for r in known.values() if r.id not in tested and not r.is_missing),
        *(f"{r.id} is listed as missing and has a test" for r in known.values()
          if r.is_missing and r.id in tested),
        *(f"{row} is tested and not in the catalogue" for row in sorted(tested - set(known))),
        *(f"{t.name} does not begin with its row" for t in tests()
          if not t.name.startswith(f"test_{t.row.lower()}_")),
    ]  # fmt: skip


def unproven() -> list[str]:
    """Tests whose last run in full size proves nothing: it failed, or of no commit."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    return [
        f"{r['test']}: {r['result']} at {r['commit']}"
        for r in results["rows"]
        if r["result"] != "passed" or r["commit"].endswith("-dirty")
    ]


def readme() -> str:
    """The README as it should be."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    by_test = {r["test"]: r for r in results.get("rows", ())}
    lines = ["| row | fault | test | quick | seed | load | drained | last result | commit |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in rows():
        mine = [t for t in tests() if t.row == row.id]
        if not mine:
            lines.append(f"| {row.id} | {row.fault} | missing | | | | | | |")
        for test in mine:
            ran = by_test.get(test.name)
            result = f"{ran['result']}, {ran['duration_s']:.0f} s" if ran else "not run"
            seed, of = (ran["seed"] or "", ran["commit"][:12]) if ran else ("", "")
            quick = "yes" if test.is_quick else ""
            load, drained = (_load(ran["figures"]), _drained(ran["figures"])) if ran else ("", "")
            lines.append(
                f"| {row.id} | {row.fault} | `{test.name}` | {quick} | {seed} | {load} | {drained}"
                f" | {result} | {of} |"
            )
    reasons = [_reasons(by_test[t.name]) for t in tests() if t.name in by_test]
    head = HEAD.format(slack=SLACK, backlog=BACKLOG)
    return head + "\n".join([*lines, "", *filter(None, reasons)]).rstrip() + "\n"


def _load(figures: dict[str, Any]) -> str:
    """How much was sent, where the run recorded it."""
    load = figures.get("load")
    if load is None:
        return ""
    return f"{load['messages']}, {load['rate']}/s, {load['keys']}, {load['instances']}"


def _drained(figures: dict[str, Any]) -> str:
    """Of each end of a fault: the rate at which what had waited went, as a share of the usual."""
    found = [
        (rate / usual) for waiting, rate, usual in figures.get("drained", ()) if waiting >= BACKLOG
    ]
    return ", ".join(f"{share:.0%}" for share in found)


def _reasons(ran: dict[str, Any]) -> str:
    """Which invariants have no meaning for a test, and why."""
    reasons: dict[str, str] = ran["figures"].get("not_applicable", {})
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return f"- `{ran['test']}`: {said}." if said else ""


if __name__ == "__main__":
    README.write_text(readme())
