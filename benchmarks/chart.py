"""Draws a report: `python -m benchmarks.chart REPORT.json NAME` writes NAME.svg and NAME.png.

Runs in the environment of what is compared with, which alone has matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import msgspec

mpl.use("Agg")
from matplotlib import pyplot

OURS, OTHERS, INK = "#1f6f5c", "#b9c2c9", "#2b2f33"


def draw(report: dict[str, object], name: Path) -> None:
    """One bar a rung, in messages a second; the least and the most of a rung as a line across."""
    rungs = msgspec.convert(report["rungs"], dict[str, float])
    spans = msgspec.convert(report["spans"], dict[str, tuple[float, float]])
    names = sorted(rungs, key=lambda rung: rungs[rung])
    mpl.rcParams["svg.hashsalt"] = "layshaft"
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(names) + 1.4))
    for place, rung in enumerate(names):
        rate, (least, most) = rungs[rung], spans[rung]
        axes.barh(place, rate, color=OURS if rung.startswith("layshaft") else OTHERS, height=0.62)
        axes.plot([least, most], [place, place], color=INK, linewidth=1.2)
        axes.text(
            max(rate, most) + 0.01 * max(rungs.values()),
            place,
            f"{rate:,.0f}",
            va="center",
            color=INK,
            fontsize=10,
        )
    axes.set_yticks(range(len(names)), names, fontsize=10)
    axes.set_xlabel("messages a second, median of the passes; the line: least and most", fontsize=9)
    axes.set_title(
        "Same kind of queue, same messages, everything durable", loc="left", fontsize=11, color=INK
    )
    figure.text(0.99, 0.01, f"{report['machine']}", ha="right", fontsize=7, color=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    axes.margins(x=0.12)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(name.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(name.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    draw(msgspec.json.decode(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))
