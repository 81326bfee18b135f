"""What a run comes to: rates, ratios, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.latency import RATE
from benchmarks.processors import CLIENT
from benchmarks.rungs import Passed

PROCESSORS = (CLIENT, "postgresql", "rabbitmq")
AGAINST = ("noop", "handwritten", "celery", "limit")
LEAST_HANDWRITTEN = 0.06
"""Of the no-op's rate: less means that the machine did something else."""


class Ratio(msgspec.Struct, frozen=True):
    """Of neighbouring passes: the median, the lowest and the highest."""

    middle: float
    lowest: float
    highest: float


class Report(msgspec.Struct, frozen=True):
    """rungs: messages a second, medians; spans: the least and the most. ratios: `layshaft/<rung>`;
    spread: the same with the lowest and the highest. processor_us: by rung, microseconds of
    processors' time a message takes, by whose it is. latency_ms: see benchmarks.latency. invalid:
    why it counts for nothing; "" where it counts."""

    rungs: dict[str, float]
    ratios: dict[str, float]
    processor_us: dict[str, dict[str, float]]
    latency_ms: dict[str, float]
    spans: dict[str, tuple[float, float]]
    spread: dict[str, Ratio]
    settings: dict[str, str]
    machine: str
    commit: str
    rounds: int = 0
    elapsed_s: float = 0.0
    invalid: str = ""


class Trial(msgspec.Struct, frozen=True):
    """What a trial found. figures: by name, units as its module says."""

    trial: str
    figures: dict[str, float]
    settings: dict[str, str]
    machine: str
    commit: str


def ratios(passes: Mapping[str, Sequence[Passed]]) -> dict[str, Ratio]:
    """The service against each other rung, round by round."""
    found: dict[str, Ratio] = {}
    for other in AGAINST:
        pairs = zip(passes.get("layshaft", ()), passes.get(other, ()), strict=False)
        each = [mine.rate / theirs.rate for mine, theirs in pairs]
        if each:
            found[f"layshaft/{other}"] = Ratio(median(each), min(each), max(each))
    return found


def report(
    passes: Mapping[str, Sequence[Passed]],
    *,
    latency_ms: Mapping[str, float],
    settings: Mapping[str, str],
    machine: str,
    commit: str,
    elapsed_s: float = 0.0,
    unlike: str = "",
) -> Report:
    """The whole run. unlike: in what the servers are not as `ops/stack` sets them up."""
    rates = {name: median(p.rate for p in each) for name, each in passes.items() if each}
    spread = ratios(passes)
    wrong = [unlike] if unlike else []
    if {"noop", "handwritten"} <= rates.keys():
        share = rates["handwritten"] / rates["noop"]
        if share < LEAST_HANDWRITTEN:
            wrong.append(f"handwritten is at {share:.3f} of noop: the machine was busy otherwise")
    return Report(
        rungs={name: round(rate, 1) for name, rate in rates.items()},
        ratios={name: round(r.middle, 3) for name, r in spread.items()},
        processor_us={name: _processor_us(each) for name, each in passes.items()},
        latency_ms=dict(latency_ms),
        spans={
            name: (round(min(p.rate for p in each), 1), round(max(p.rate for p in each), 1))
            for name, each in passes.items()
            if each
        },
        spread=spread,
        settings=dict(settings),
        machine=machine,
        commit=commit,
        rounds=max(map(len, passes.values()), default=0),
        elapsed_s=round(elapsed_s, 1),
        invalid="; ".join(wrong),
    )


def _processor_us(passes: Sequence[Passed]) -> dict[str, float]:
    """Medians of the passes, and how many processors were at work at once (`busy`)."""
    found = {
        name: round(median(1e6 * p.processor_s[name] / p.messages for p in passes), 1)
        for name in (passes[0].processor_s if passes else ())
    }
    if found:
        busy = median(sum(p.processor_s.values()) / p.seconds for p in passes)
        found["busy"] = round(busy, 2)
    return found


def show_trial(found: Trial, what: str, console: Console) -> None:
    """A trial for people."""
    _show_circumstances(found, console)
    console.print(f"{found.trial}: {what}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, figure in found.figures.items():
        table.add_row(name, f"{figure:,}")
    console.print(table)


def _show_circumstances(found: Report | Trial, console: Console) -> None:
    durable = ", ".join(f"{name}={value}" for name, value in found.settings.items())
    console.print(f"PostgreSQL says: {durable}")
    console.print(f"{found.machine}, commit {found.commit}")


def _shown(us: float | None) -> str:
    return "" if us is None else f"{us:,.0f}"


def show(found: Report, what: Mapping[str, str], console: Console) -> None:
    """The report for people."""
    _show_circumstances(found, console)
    table = Table(box=None, pad_edge=False)
    table.add_column("rung")
    table.add_column("messages/s", justify="right")
    table.add_column("layshaft is", justify="right")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    for whose in PROCESSORS:
        table.add_column(whose, justify="right")
    table.add_column("")
    for name, rate in found.rungs.items():
        ratio = found.spread.get(f"layshaft/{name}")
        cells = [f"{r:.2f} x" for r in (ratio.middle, ratio.lowest, ratio.highest)] if ratio else []
        us = [_shown(found.processor_us[name].get(whose)) for whose in PROCESSORS]
        table.add_row(name, f"{rate:,.0f}", *(cells or ["", "", ""]), *us, what.get(name, ""))
    console.print(table)
    console.print("client, postgresql, rabbitmq: microseconds of processors' time a message takes")
    if found.latency_ms:
        ms = found.latency_ms
        console.print(
            f"From the broker's confirm to the commit, at {RATE} messages/s:"
            f" p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms;"
            f" a bare commit takes {ms['bare_commit']:.1f} ms, p99 {ms['bare_commit_p99']:.1f} ms"
        )
    console.print(f"{found.rounds} round(s) in {found.elapsed_s:.0f} s")
    if found.invalid:
        console.print(f"This run counts for nothing: {found.invalid}")
