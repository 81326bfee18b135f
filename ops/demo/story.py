"""The main job, told end to end. Read `tell` from top to bottom."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from time import monotonic

import msgspec

from ops.demo import inputs, people
from ops.demo.expected import read_package
from ops.demo.inputs import Input
from ops.demo.observe import OPEN_CALLS, Row, Snapshot, StepRow
from ops.demo.plm_client import SOURCE
from ops.demo.processes import ROOT, environment
from ops.demo.progress import Progress
from ops.demo.stage import Stage
from ops.demo.waiting import Stuck, until

ACT_S = 30.0
REQUESTED = "com.layshaft.approval.requested.v1"
COMPLETED = "com.layshaft.engineering-change.completed.v1"

# While the board is released the ERP takes its time: it applies a call at once and answers later.
SLOW_ERP: Row = {"action": "slow", "method": "POST", "seconds": 0.2, "times": None}
# One question to procurement is answered late; who counts the seconds waited must find these.
SLOW_S = 0.5
SLOW_PROCUREMENT: Row = {
    "action": "slow",
    "method": "GET",
    "path": "/api/suppliers",
    "seconds": SLOW_S,
}
# Two lost answers and a refusal, each for one object of the gearbox.
FAULTS: tuple[Row, ...] = (
    {"action": "apply_then_hang", "method": "POST", "path": "A_Product$", "body": '"GBX-1310"'},
    {"action": "apply_then_500", "method": "POST", "path": "MaterialBOM$", "body": '"GBX-1110"'},
    {"action": "throttle_429", "method": "POST", "path": "A_Product$", "body": '"GBX-1200"'},
)


class Plot(msgspec.Struct, frozen=True):
    """Where Layshaft is killed: fail point -> the pass at which it happens. Chosen by the seed
    among passes that are reached whatever the timing."""

    seed: int
    passes: Mapping[str, int]

    @classmethod
    def chosen_by(cls, seed: int) -> Plot:
        """The same plot for the same seed."""
        die = random.Random(seed)
        return cls(
            seed,
            {
                "http.after_send": die.randint(4, 24),
                "inbox.before_commit": die.randint(1, 2),
                "inbox.after_commit": die.randint(1, 2),
            },
        )

    def failpoint(self, name: str) -> str:
        """As the service reads it from its environment."""
        return f"{name}:kill:{self.passes[name]}"


class Kill(msgspec.Struct, frozen=True):
    """A death of Layshaft, and the steps at that moment and when it was back.

    applied: steps in flight whose effect the target held already. unanswered: calls that the ERP
    had applied and found nobody to answer to. batch: messages that the last transaction before it
    took in. died_at: on the database's clock.
    """

    point: str
    nth: int
    died_at: datetime
    before: Snapshot
    after: Snapshot
    applied: frozenset[str]
    unanswered: int
    batch: int


class Pause(msgspec.Struct, frozen=True):
    """The moment when nothing moved any more but for an approval. seen_at: on the demo's clock."""

    seen_at: float
    steps: Snapshot
    approvals: tuple[StepRow, ...]
    info_records: tuple[Row, ...]
    events: frozenset[str]
    ledgers: Mapping[str, str]


class Opening(msgspec.Struct, frozen=True):
    """The story up to the approval, with what cannot be seen at its end any more."""

    plot: Plot
    kills: tuple[Kill, ...]
    repeats_from: datetime
    pause: Pause


class Told(msgspec.Struct, frozen=True):
    """The whole story. decided_after_s: how long approvals were known until the last was given."""

    opening: Opening
    decided_after_s: float


async def tell(stage: Stage, plot: Plot, progress: Progress) -> Told:
    """The whole story; the servers and the stand-ins run already."""
    opening = await tell_until_the_approval(stage, plot, progress)

    with progress.act("quality approves the supplier; the changes complete; PLM is told"):
        decided_after_s = await approve(stage, opening.pause)
        await completed(stage)

    return Told(opening, decided_after_s)


async def tell_until_the_approval(stage: Stage, plot: Plot, progress: Progress) -> Opening:
    """Both changes on their way, with everything that may go wrong, until a person is asked."""
    with progress.act("PLM releases the board; Layshaft dies while the ERP has a call of it"):
        await start(stage, plot, "http.after_send")
        await stage.plm.start(stage.servers.amqp_url)
        await stage.erp.add_faults(SLOW_ERP)
        await stage.procurement.add_faults(SLOW_PROCUREMENT)
        await stage.plm.publish(inputs.WIDGET_PACKAGE, inputs.WIDGET_CHANGE)
        first = await death(stage, plot, "http.after_send")

    with progress.act("it is back; PLM releases the gearbox; it dies before a commit"):
        await stage.erp.clear_faults()
        await stage.erp.add_faults(*FAULTS)
        await start(stage, plot, "inbox.before_commit")
        first = await recovered(stage, first)
        await stage.plm.publish(inputs.GEARBOX_PACKAGE)
        second = await death(stage, plot, "inbox.before_commit")

    with progress.act("it is back; it dies between a commit and its acknowledgement"):
        await start(stage, plot, "inbox.after_commit")
        second = await recovered(stage, second)
        third = await death(stage, plot, "inbox.after_commit")

    with progress.act("it is back; PLM repeats itself, sends an old revision and six bad inputs"):
        await start(stage)
        third = await recovered(stage, third)
        await both_planned(stage)
        repeats_from = await stage.records.now()
        await stage.plm.publish(*rest(stage))

    with progress.act("everything is made true but what waits for an approval"):
        pause = await at_rest(stage, repeats_from)

    return Opening(
        plot=plot,
        kills=(first, second, third),
        repeats_from=repeats_from,
        pause=pause,
    )


def rest(stage: Stage) -> tuple[Input, ...]:
    """The repeats, the older revision and what is wrong, each among good neighbours."""
    folder = stage.folder / "inputs"
    folder.mkdir()
    again, once_more = inputs.REPEATS
    first, second, *others = inputs.bad_inputs(folder)
    return (
        first,
        again,
        second,
        inputs.OLDER_REVISION,
        *others,
        inputs.UNKNOWN_UNIT,
        once_more,
    )


# Deaths


async def start(stage: Stage, plot: Plot | None = None, point: str = "") -> None:
    """Layshaft runs, to be killed at `point`; without one it stays."""
    await stage.service.start(plot.failpoint(point) if plot else "")


async def death(stage: Stage, plot: Plot, point: str) -> Kill:
    """Layshaft is dead, with the steps as it left them."""
    await stage.service.death(ACT_S)
    died_at = await stage.records.now()
    before = await stage.records.snapshot()
    return Kill(
        point=point,
        nth=plot.passes[point],
        died_at=died_at,
        before=before,
        after=before,
        applied=await held_by_targets(stage, before),
        unanswered=(await stage.erp.totals())["unanswered"],
        batch=await stage.records.last_batch(not_from=("erp", "procurement")),
    )


async def recovered(stage: Stage, kill: Kill) -> Kill:
    """The same death, with the steps now that Layshaft is back."""
    return msgspec.structs.replace(kill, after=await stage.records.snapshot())


async def held_by_targets(stage: Stage, steps: Snapshot) -> frozenset[str]:
    """Names of the steps in flight whose effect stands in the target's tables."""
    erp, procurement = stage.erp, stage.procurement
    held = {
        "put-item": await erp.keys("A_Product", "Product"),
        "extend-to-plant": await erp.keys("A_ProductPlant", "Product", "Plant"),
        "put-bom": await erp.keys("MaterialBOM", "Material", "Plant"),
        "put-info-record": await erp.keys(
            "A_PurgInfoRecdOrgPlantData", "Supplier", "Material", "PurchasingOrganization", "Plant"
        ),
        "publish-item": await procurement.keys("items", "item-number"),
    }
    return frozenset(
        step.name
        for step in steps.steps
        if step.state in OPEN_CALLS and step.effect in held.get(step.verb, ())
    )


# Waiting


async def both_planned(stage: Stage) -> None:
    """Both changes have their ledgers, and all that their packages define is known."""
    packages = (inputs.WIDGET_PACKAGE, inputs.GEARBOX_PACKAGE)
    wanted = {key for sent in packages for key in read_package(sent.file).keys}

    async def known() -> bool:
        return wanted <= await stage.records.documents() and len(await stage.records.ledgers()) == 2

    await until(known, "both changes are planned", ACT_S)


async def at_rest(stage: Stage, repeats_from: datetime) -> Pause:
    """Every input is settled, every call is made, only approvals are asked for, and PLM knows."""
    records, fates = stage.records, Counter(sent.fate for sent in stage.plm.confirmed)

    async def quiet() -> bool:
        settled = sum((await records.outcomes(SOURCE)).values())
        repeats = await records.repeats(SOURCE, repeats_from)
        if settled < fates["accepted"] + fates["parked"] or repeats < fates["absorbed"]:
            return False
        if await records.unfinished() or await records.unread():
            return False
        steps = (await records.snapshot()).steps
        refuse_failures(steps)
        told = sum(event.type == REQUESTED for event in stage.plm.received())
        return not any(map(is_moving, steps)) and 0 < sum(map(is_asked, steps)) <= told

    await until(quiet, "only approvals are asked for, and PLM knows", ACT_S)
    steps = await records.snapshot()
    return Pause(
        seen_at=monotonic(),
        steps=steps,
        approvals=tuple(step for step in steps.steps if is_asked(step)),
        info_records=tuple(await stage.erp.table("A_PurgInfoRecdOrgPlantData")),
        events=frozenset(event.type for event in stage.plm.received()),
        ledgers=await records.ledgers(),
    )


def is_moving(step: StepRow) -> bool:
    """It changes without anybody's doing."""
    if step.state in ("in_flight", "in_doubt"):
        return True
    return step.state == {"call": "ready", "wait": "waiting"}.get(step.kind)


def is_asked(step: StepRow) -> bool:
    """A person has to decide it."""
    return step.kind == "approval" and step.state == "ready"


def refuse_failures(steps: Iterable[StepRow]) -> None:
    """Raises: Stuck at a failed step, since nothing will move it."""
    failed = [step.name for step in steps if step.state == "failed"]
    if failed:
        raise Stuck(f"{len(failed)} step(s) failed", "; ".join(failed[:5]))


# The approval


async def approve(stage: Stage, pause: Pause) -> float:
    """Every approval that is asked for is read and given, through the commands a person would use.

    Seconds from when they were seen until the last one was about to be given.
    """
    known_s = 0.0
    token = str(people.token_file(stage.folder, people.QUALITY))
    for step in pause.approvals:
        number = str(step.id)
        shown = json.loads(await command(stage, "task", "show", number, "-o", "json"))
        known_s = monotonic() - pause.seen_at
        given = ("--digest", shown["digest"], "--reason", "audit passed", "--token-file", token)
        await command(stage, "task", "approve", number, *given)
    return known_s


async def command(stage: Stage, *words: str) -> str:
    """What a `layshaft` command prints.

    Raises: Stuck with its own words if it fails; without any if it does not end.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *words),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env=environment(LAYSHAFT_CONFIG=str(stage.config)),
    )
    try:
        async with asyncio.timeout(ACT_S):
            said, complained = await process.communicate()
    except TimeoutError as error:
        raise Stuck(f"layshaft {' '.join(words)}: no end after {ACT_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Stuck(
            f"layshaft {' '.join(words)}: exit code {process.returncode}", complained.decode()
        )
    return said.decode()


async def completed(stage: Stage) -> None:
    """Both changes are complete, and PLM has heard of both."""

    async def told() -> bool:
        refuse_failures((await stage.records.snapshot()).steps)
        heard = {event.subject for event in stage.plm.received() if event.type == COMPLETED}
        ledgers = await stage.records.ledgers()
        changes = {key for key in ledgers if key.startswith("engineering-change/")}
        return set(ledgers.values()) == {"complete"} and changes <= heard

    await until(told, "both changes are complete and PLM knows", ACT_S)
