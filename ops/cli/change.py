"""`layshaft change`: the ledgers of engineering changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from types import MappingProxyType
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from broker.estimate import Estimate, Kind, Pace, estimate, kinds
from broker.store import Tx, paces, views
from broker.store.holds import Hold
from broker.store.views import ChangeRow, ChangeView, OpenCase, Pause, StepRow
from canonical.effects import Finding
from ops.cli import change_controls, wording
from ops.cli.output import Column, Screen, moment, plural, put_json, screen
from ops.cli.problems import not_found
from ops.cli.session import Reading, read

app = App(name="change", help="See where engineering changes stand, and steer them.")
change_controls.add_to(app)

# More rows of one kind, state and cause than this are one line in the table.
FOLD_OVER = 3
NAMED_IN_FOLD = 3
BLOCKERS_SHOWN = 12


class StepStatus(StepRow, frozen=True, kw_only=True):
    """A step with what it waits for and whose turn it is; both "" where it is settled."""

    waits_for: str
    waits_owner: str
    is_late: bool


class ChangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `change show` prints.

    blockers: what all open steps wait for, people's turns first. ends_as: state once all of it is
    settled. holds: that are about calls of the change which are due. estimate: when that may be;
    None where it is so.
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


@app.command(name="list")
def list_changes(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """List changes, open ones first, with how far they are and whose turn it is."""
    rows = read(reading, views.changes)
    if reading.is_json:
        put_json(rows)
        return
    page = screen()
    if not rows:
        page.line("No change has been released yet.")
        return
    page.table(
        [
            Column("change"),
            Column("state"),
            Column("done", is_number=True),
            Column("waits for"),
            Column("cases", is_number=True),
            Column("opened (UTC)"),
            Column("completed (UTC)"),
            Column("title", is_text=True),
        ],
        [_list_row(row) for row in rows],
    )
    if len(rows) == views.LIST_LIMIT:
        page.line(f"Only the first {views.LIST_LIMIT} are shown.")


@app.command(name="show")
def show_change(
    number: str,
    /,
    *,
    all_rows: Annotated[bool, Parameter(name="--all")] = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Show the ledger of a change: what is to become true, where, and what it waits for.

    Parameters
    ----------
    number
        Number of the change, e.g. ECO-2001.
    all_rows
        Show every step; without it, steps alike are one line.
    """
    view, known_paces = read(reading, lambda tx: _with_paces(tx, number))
    if view is None:
        known = read(reading, views.known_numbers)
        raise not_found("change", number, known["change"])
    status = status_of(view, datetime.now(UTC), known_paces)
    if reading.is_json:
        put_json(status)
    else:
        print_change(screen(), status, fold=not all_rows)


async def _with_paces(tx: Tx, number: str) -> tuple[ChangeView | None, dict[Kind, Pace]]:
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
    )


def print_change(page: Screen, status: ChangeStatus, *, fold: bool) -> None:
    """The header, the findings, the ledger by plant, and the summary."""
    page.line(f"{status.number}  {status.title}", style="bold")
    page.line(_dates(status), style="dim")
    page.line(f"correlation {status.correlation_id}", style="dim")
    _print_findings(page, status.findings)
    # Sorting is stable: within a plant the order of the plan stays.
    by_plant = sorted(status.steps, key=lambda s: (s.plant == "", s.plant))
    for plant, group in groupby(by_plant, key=lambda s: s.plant):
        steps = list(group)
        done, total = wording.progress(steps)
        page.line()
        title = f"Plant {plant}" if plant else "All plants"
        page.line(f"{title}  {done} of {total} done", style="bold")
        page.table(
            [
                Column("step", is_number=True),
                Column("system"),
                Column("object", is_text=True),
                Column("operation"),
                Column("state"),
                Column("owner"),
                Column("waits for", is_text=True),
            ],
            _folded(steps) if fold else (_step_row([s]) for s in steps),
        )
    page.line()
    _print_summary(page, status)


def _list_row(row: ChangeRow) -> tuple[str, ...]:
    return (
        row.number,
        f"{row.state}, paused" if row.is_paused else row.state,
        f"{row.done} of {row.total}" + (f", {row.skipped} skipped" if row.skipped else ""),
        _list_waits(row),
        str(row.open_cases) if row.open_cases else "",
        moment(row.opened_at),
        moment(row.completed_at),
        row.title,
    )


def _list_waits(row: ChangeRow) -> str:
    stopped = [("a hold", row.on_hold), ("a pause", row.is_paused)]
    waits = [*row.waits_for, *(word for word, is_so in stopped if is_so)]
    return ", ".join(waits) or ("its calls" if row.state == "open" else "")


def _dates(status: ChangeStatus) -> str:
    state = status.state
    if state == "open" and status.ends_as == "cancelled":
        state = "being cancelled"
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


def _print_findings(page: Screen, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    page.line()
    page.line(f"Findings  {len(findings)}", style="bold")
    page.table(
        [
            Column("severity"),
            Column("code"),
            Column("where"),
            Column("owner"),
            Column("what", is_text=True),
        ],
        [(f.severity, f.code, f.where, f.owner, f.what) for f in findings],
    )


def _folded(steps: Sequence[StepStatus]) -> Iterator[tuple[str, ...]]:
    """Rows in the order of the plan; many alike are one row where the first of them stands."""
    alike: dict[tuple[str, ...], list[StepStatus]] = {}
    for step in steps:
        alike.setdefault(_likeness(step), []).append(step)
    for group in alike.values():
        if len(group) > FOLD_OVER:
            yield _step_row(group)
        else:
            yield from (_step_row([step]) for step in group)


def _likeness(step: StepStatus) -> tuple[str, ...]:
    return (
        step.system,
        step.object_kind,
        step.operation,
        step.state,
        step.owner,
        step.waits_for,
        step.waits_owner,
        "late" if step.is_late else "",
    )


def _step_row(alike: Sequence[StepStatus]) -> tuple[str, ...]:
    step = alike[0]
    number = str(step.id) if len(alike) == 1 else ""
    names = [s.object_id for s in alike[:NAMED_IN_FOLD]]
    if len(alike) == 1:
        what = f"{step.object_kind} {step.object_id}"
    else:
        rest = len(alike) - len(names)
        what = f"{len(alike)} x {step.object_kind}: {', '.join(names)}"
        what += f" and {rest} more" if rest else ""
    waits_for = step.waits_for
    if waits_for and step.waits_owner != step.owner:
        waits_for += f" ({step.waits_owner})"
    if not waits_for:
        waits_for = f"{step.reason}" if step.state != "done" or step.kind == "approval" else ""
    state = step.state.replace("_", " ") + (" (late)" if step.is_late else "")
    owner = step.owner if step.waits_for else ""
    return number, step.system, what, step.operation, state, owner, waits_for


def _print_summary(page: Screen, status: ChangeStatus) -> None:
    head = f"{status.done} of {status.total} done"
    if status.skipped:
        head += f", {status.skipped} skipped"
    if status.state == "complete" and status.skipped:
        page.line(f"{head}. Complete but for what was skipped.", style="green")
    elif status.state == "complete":
        page.line(f"{head}. Complete in every plant and system.", style="green")
    elif status.state == "cancelled":
        page.line("Cancelled: nothing more of it is done.")
    elif not status.blockers:
        page.line(f"{head}.")
    else:
        _print_blockers(page, status, head)
    if status.estimate is not None:
        page.line(_estimated(status.estimate, status.steps))
    _print_stopped(page, status)
    shown = {f"{status.key}: {b.identity}" for b in status.blockers}
    for case in status.open_cases:
        if case.place not in shown:
            page.line(f"open case: layshaft case show {case.id}")


def _estimated(found: Estimate, steps: Sequence[StepStatus]) -> str:
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


def _print_stopped(page: Screen, status: ChangeStatus) -> None:
    """What people keep from going on, and by which command it does."""
    if status.paused is not None:
        name = change_controls.number_of(status.key)
        page.line(f"paused: {status.paused.words}")
        page.line(f'to let it go on: layshaft change resume {name} --reason "..."')
    for hold in status.holds:
        page.line(f"on hold: {hold.name}: {hold.words}")
        page.line(f'to let it go on: layshaft release {hold.id} --reason "..."')


def _print_blockers(page: Screen, status: ChangeStatus, head: str) -> None:
    people = [b for b in status.blockers if wording.needs_a_person(b)]
    held = sum(b.is_held for b in status.blockers)
    stopped = [("a hold", bool(status.holds)), ("a pause", status.paused is not None)]
    waits = [*sorted({b.owner for b in people}), *(word for word, is_so in stopped if is_so)]
    page.line(f"{head}. Waiting for: {', '.join(waits) or 'calls under way'}.", style="bold")
    cases = {c.place.removeprefix(f"{status.key}: "): c.id for c in status.open_cases}
    page.table(
        [Column("owner"), Column("what", is_text=True), Column("behind it"), Column("look at")],
        [_blocker_row(b, cases) for b in people[:BLOCKERS_SHOWN]],
    )
    if len(people) > BLOCKERS_SHOWN:
        page.line(f"and {len(people) - BLOCKERS_SHOWN} more of these: -o json has all")
    if held:
        page.line(f"{plural(held, 'step')} held")
    rest = len(status.blockers) - len(people) - held
    if waits and rest:
        page.line(f"and {plural(rest, 'call')} under way or due")


def _blocker_row(blocker: wording.Blocker, cases: Mapping[str, int]) -> tuple[str, ...]:
    look = f"layshaft task show {blocker.step}" if blocker.kind == "approval" else ""
    if blocker.identity in cases:
        look = f"layshaft case show {cases[blocker.identity]}"
    behind = plural(blocker.behind, "step") if blocker.behind else ""
    return blocker.owner, blocker.text, behind, look
