"""`layshaft demo`: sets everything up, tells the story, reports or stays, and cleans up."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ops.demo import configuration, sabotage
from ops.demo.lines import lines_of
from ops.demo.progress import Progress
from ops.demo.report import WIDTH, Report, show_table
from ops.demo.stage import Stage, clear
from ops.demo.stay import stay
from ops.demo.story import Plot, tell, tell_until_the_approval
from ops.demo.waiting import Stuck
from ops.stack import StackUnavailable

HELD, NOT_HELD, UNAVAILABLE, INTERRUPTED = 0, 1, 3, 130

SEED = "LAYSHAFT_DEMO_SEED"


def main(*, script: bool, output: str, keep: bool, clean: bool) -> int:
    """Runs the demo; the exit code.

    script: unattended, with a report on standard output as `output` ("table" or "json"); 0 only if
        every line of it held. Otherwise it stays after the story until Ctrl-C.
    keep: leave folder and data behind. clean: only stop and remove what an earlier run left.
    Environment: LAYSHAFT_STATE_DIR; LAYSHAFT_DEMO_SEED, a number that decides where Layshaft is
        killed; LAYSHAFT_DEMO_BEFORE_REPORT, see `ops.demo.sabotage`.
    """
    state = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft"))
    if clean:
        clear(state.absolute() / "demo")
        return HELD
    story = _report(state, output, keep=keep) if script else _stay(state, keep=keep)
    try:
        return asyncio.run(_interruptible(story))
    except asyncio.CancelledError:
        return INTERRUPTED if script else HELD
    except StackUnavailable as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    except Stuck as error:
        print(f"The demo is stuck: {error.what}\n{error.evidence}".rstrip(), file=sys.stderr)
        return NOT_HELD


async def _interruptible(story: Coroutine[Any, Any, int]) -> int:
    """The story's result; Ctrl-C and SIGTERM cancel it once, its cleaning up is not disturbed."""
    task = asyncio.ensure_future(story)
    asked = False

    def end() -> None:
        nonlocal asked
        if not asked:
            asked = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    return await task


async def _report(state: Path, output: str, *, keep: bool) -> int:
    """The story unattended, then the report on standard output."""
    commands = sabotage.read_commands(os.environ)
    progress = Progress()
    async with _set_up(state, progress, keep=keep) as (stage, plot):
        told = await tell(stage, plot, progress)
        await sabotage.commit(commands, {"erp": stage.erp, "procurement": stage.procurement})
        lines = await lines_of(stage, told)
        held = all(line.held for line in lines)
        stage.keep_logs = not held
    report = Report(
        seed=plot.seed,
        seconds=round(progress.seconds, 1),
        deadlines=dict(configuration.deadlines()),
        lines=lines,
        held=held,
    )
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        width = None if sys.stdout.isatty() else WIDTH
        show_table(report, Console(width=width, highlight=False))
    return HELD if held else NOT_HELD


async def _stay(state: Path, *, keep: bool) -> int:
    """The story up to the approval; then everything stays up until it is cancelled."""
    progress = Progress()
    async with _set_up(state, progress, keep=keep) as (stage, plot):
        opening = await tell_until_the_approval(stage, plot, progress)
        await stay(stage, opening, progress)
    return HELD


@asynccontextmanager
async def _set_up(
    state: Path, progress: Progress, *, keep: bool
) -> AsyncIterator[tuple[Stage, Plot]]:
    """The servers and stand-ins run; everything is stopped on the way out."""
    plot = Plot.chosen_by(int(os.environ.get(SEED) or secrets.randbelow(10_000)))
    passes = ", ".join(f"{point} pass {nth}" for point, nth in plot.passes.items())
    deadlines = ", ".join(f"{n} {s:g}" for n, s in configuration.deadlines().items())
    progress.say(f"seed {plot.seed}: Layshaft will be killed at {passes}")
    progress.say(f"deadlines shortened, in seconds: {deadlines}")
    stage = Stage(state, keep=keep)
    try:
        with progress.act("servers and stand-ins are up"):
            await stage.start()
        yield stage, plot
    except asyncio.CancelledError:
        stage.keep_logs = False
        raise
    finally:
        with progress.act("everything is stopped"):
            await stage.stop()
        if keep:
            progress.say(f"kept in {stage.folder}; to look into the database again:")
            progress.say(f'eval "$(python -m ops.stack up --keep --state-dir {stage.folder})"')
            progress.say("export LAYSHAFT_DATABASE_URL=$LAYSHAFT_TEST_DATABASE_URL")
