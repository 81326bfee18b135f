"""Where a change stands, in values and in words: what the command and the console both say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from broker.estimate import Estimate, Kind, Pace, estimate, kinds
from broker.ledger import is_complete, is_true_everywhere
from broker.store import Tx, paces, views
from broker.store.change_list import STAGE_WORDS, ChangeRow
from broker.store.holds import Hold
from broker.store.views import ChangeView, OpenCase, Pause, StepRow
from canonical.effects import Finding
from ops.cli import wording
from ops.cli.output import moment, plural


class StepStatus(StepRow, frozen=True, kw_only=True):
    """A step with what it waits for and whose turn it is; both "" where it is settled."""

    waits_for: str
    waits_owner: str
    is_late: bool


class ChangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `change show` prints.

    blockers: what all open steps wait for, people's turns first. ends_as: state once all of it is
    settled. holds: that are about calls of the change which are due. estimate: when that may be;
    None where it is so. planner: as in ChangeView. is_reporting: everything of it is true, and only
    its PLM is still to be told.
    """

    number: str
    key: str
    title: str
    state: str
    version: int
    source: str
    correlation_id: str
    opened_at: datetime
    planned_at: datetime
    completed_at: datetime | None
    done: int
    skipped: int
    total: int
    open_cases: tuple[OpenCase, ...]
    findings: tuple[Finding, ...]
    blockers: tuple[wording.Blocker, ...]
    ends_as: str
    paused: Pause | None
    holds: tuple[Hold, ...]
    estimate: Estimate | None
    steps: tuple[StepStatus, ...]
    planner: str
    is_reporting: bool


async def with_paces(tx: Tx, number: str) -> tuple[ChangeView | None, dict[Kind, Pace]]:
    """The change, and how long steps took that are of the kinds of its open ones."""
    view = await views.change(tx, number)
    return view, await paces.paces(tx, kinds(view.steps)) if view else {}


def status_of(
    view: ChangeView, now: datetime, known_paces: Mapping[Kind, Pace] = MappingProxyType({})
) -> ChangeStatus:
    """The view with progress, blockers, what each step waits for and when all may be done."""
    flow = view.key.partition("/")[0]
    held = wording.on_hold(view.steps, view.holds, flow) | wording.paused(view.steps, view.paused)
    waits = wording.waiting(view.steps, held)
    done, total = wording.progress(view.steps)
    steps = []
    for step in view.steps:
        wait = waits.get(step.id)
        steps.append(
            StepStatus(
                **msgspec.structs.asdict(step),
                waits_for=wait.text if wait else "",
                waits_owner=wait.owner if wait else "",
                is_late=wording.is_late(step, now),
            )
        )
    return ChangeStatus(
        number=view.number,
        key=view.key,
        title=view.title,
        state=view.state,
        version=view.version,
        source=view.source,
        correlation_id=view.correlation_id,
        opened_at=view.opened_at,
        planned_at=view.planned_at,
        completed_at=view.completed_at,
        done=done,
        skipped=sum(step.state == "skipped" for step in view.steps),
        total=total,
        open_cases=view.open_cases,
        findings=view.findings,
        blockers=tuple(wording.blockers(view.steps, waits, held)),
        ends_as=view.ends_as,
        paused=view.paused,
        holds=tuple(h for h in view.holds if wording.on_hold(view.steps, [h], flow)),
        estimate=(
            estimate(view.steps, known_paces, now, kept=len(held)) if view.state == "open" else None
        ),
        steps=tuple(steps),
        planner=view.planner,
        is_reporting=_is_reporting(view),
    )


def _is_reporting(view: ChangeView) -> bool:
    if view.state != "open" or view.ends_as != "complete":
        return False
    latest = {s.identity: s.state for s in sorted(view.steps, key=lambda s: s.generation)}
    return not is_complete(latest.values()) and is_true_everywhere(latest.items())


def list_waits(row: ChangeRow) -> str:
    """Whose turn it is, or what stops it."""
    stopped = [("a hold", row.on_hold), ("a pause", row.is_paused)]
    waits = [*row.waits_for, *(word for word, is_so in stopped if is_so)]
    return ", ".join(waits) or ("its calls" if row.state == "open" else "")


def risk_words(row: ChangeRow) -> str:
    """How much of production waits for it."""
    plants = plural(max(row.plants_waiting, 1), "plant")
    orders = plural(row.open_orders, "open purchase order")
    return f"{plants} and {orders} wait for {row.number}"


def dates(status: ChangeStatus) -> str:
    """Its state, and since when."""
    state = status.state
    if state == "open" and status.ends_as == "cancelled":
        state = "being cancelled"
    if status.is_reporting:
        state = STAGE_WORDS["reporting"]
    if status.paused is not None:
        state += ", paused"
    parts = [state, f"opened {moment(status.opened_at)} UTC"]
    if status.planned_at != status.opened_at:
        parts.append(f"planned again {moment(status.planned_at)} UTC")
    if status.completed_at is not None:
        took = (status.completed_at - status.opened_at).total_seconds()
        word = "completed" if status.state == "complete" else "ended"
        parts.append(f"{word} {moment(status.completed_at)} UTC, after {took:.1f} s")
    return "; ".join(parts)


def progress_words(status: ChangeStatus) -> str:
    """How much of it is done."""
    head = f"{status.done} of {status.total} done"
    return head + (f", {status.skipped} skipped" if status.skipped else "")


def turns(status: ChangeStatus) -> tuple[str, ...]:
    """Whose turn it is, and what people have stopped."""
    people = [b for b in status.blockers if wording.needs_a_person(b)]
    stopped = [("a hold", bool(status.holds)), ("a pause", status.paused is not None)]
    return (*sorted({b.owner for b in people}), *(word for word, is_so in stopped if is_so))


def summary(status: ChangeStatus) -> str:
    """How far it is and what it waits for, in one line."""
    head = progress_words(status)
    if status.state == "complete" and status.skipped:
        return f"{head}. Complete but for what was skipped."
    if status.state == "complete":
        return f"{head}. Complete in every plant and system."
    if status.state == "cancelled":
        return "Cancelled: nothing more of it is done."
    if status.is_reporting:
        head += ". Complete in every plant and system; report to the PLM outstanding"
    if not status.blockers:
        return f"{head}."
    return f"{head}. Waiting for: {', '.join(turns(status)) or 'calls under way'}."


def estimated(found: Estimate, steps: Sequence[StepStatus]) -> str:
    """When all may be done and what that rests on; or why nobody can say."""
    if found.unknown:
        return f"may be done: unknown: {found.unknown}"
    operations = {s.id: s.operation for s in steps}
    names = list(dict.fromkeys(operations[step] for step in found.path))
    return (
        f"may be done: {moment(found.likely_at)} UTC, or {moment(found.slow_at)} UTC where all is"
        f" slow; by {plural(found.rests_on, 'step')} done before, along"
        f" {plural(len(found.path), 'open step')}: {', '.join(names)}"
    )
