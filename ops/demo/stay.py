"""After the story: what to look at and what to try, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ops.demo import people
from ops.demo.progress import Progress
from ops.demo.stage import Stage
from ops.demo.story import Opening
from ops.demo.waiting import POLL_S

COMMAND = ".venv/bin/layshaft"


def invitation(stage: Stage, opening: Opening) -> str:
    """Links and commands, ready to be copied."""
    asked = opening.pause.approvals
    changes = sorted(key.partition("/")[2] for key in opening.pause.ledgers)
    held = [step for step in opening.pause.steps.steps if step.verb == "put-info-record"]
    quality = _short(people.token_file(stage.folder, people.QUALITY))
    operator = _short(people.token_file(stage.folder, people.OPERATOR))
    part = next(step.effect[1] for step in held if step.state in ("waiting", "held"))
    lines = [
        "",
        "Look at:",
        f"  {stage.url}/readyz            is it working, and if not, what is in the way",
        f"  {stage.url}/metrics           Prometheus",
        f"  {stage.erp.url}/_sandbox/counts   what stands in the ERP",
        f"  {stage.procurement.url}/_sandbox/counts   what stands in procurement",
        "",
        "Try in another terminal:",
        *(f"  {COMMAND} change show {number}" for number in changes),
        f"  export LAYSHAFT_TOKEN=$(cat {quality})    # you decide as the quality engineer",
        f"  {COMMAND} task list",
        *(
            f"  {COMMAND} task show {step.id}    "
            f"what is asked; it ends with the command by which what is held behind it goes on"
            for step in asked
        ),
        f"  {COMMAND} case list    # settled as the operator, whose token is in {operator}",
        f"  {COMMAND} trace {part}",
        "",
        f"Logs: {_short(stage.folder)}/*.log. Ctrl-C ends it all.",
    ]
    return "\n".join(lines)


async def stay(stage: Stage, opening: Opening, progress: Progress) -> None:
    """Says what an approval has set in motion; returns never, only when cancelled."""
    print(invitation(stage, opening), file=sys.stderr, flush=True)
    known = dict(opening.pause.ledgers)
    records = len(opening.pause.info_records)
    heard = len(stage.plm.received())
    is_told = False
    while True:
        await asyncio.sleep(POLL_S * 5)
        ended = stage.service.exit_code
        if ended is not None and not is_told:
            is_told = True
            progress.say(
                f"Layshaft has ended, exit code {ended}; nothing is lost. Start it again with:"
                f" {COMMAND} run"
            )
        for event in stage.plm.received()[heard:]:
            heard += 1
            progress.say(f"PLM receives {event.type} about {event.subject}")
        ledgers = await stage.records.ledgers()
        for ledger in ledgers:
            if ledgers[ledger] != known.get(ledger):
                known[ledger] = ledgers[ledger]
                written = len(await stage.erp.table("A_PurgInfoRecdOrgPlantData"))
                progress.say(
                    f"{ledger} is {ledgers[ledger]}; the ERP has {written} info records,"
                    f" {written - records} more than before"
                )


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
