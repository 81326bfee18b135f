"""`layshaft change`: the ledgers of engineering changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Literal

from cyclopts import App, Parameter

from broker.store import views
from broker.store.change_list import STAGE_WORDS, ChangeRow, Order, Stage, Wanted, changes
from canonical.effects import Finding
from ops import change_status
from ops.change_status import ChangeStatus, StepStatus, status_of, with_paces
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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """Which changes are listed."""

    number: str = ""
    """Only those with this in their number or title."""
    plant: str = ""
    """Only those with a step in this plant."""
    supplier: str = ""
    """Only those with a step or an order line about this supplier."""
    family: str = ""
    """Only those of this product family, or with an item of it."""
    stage: Stage | Literal[""] = ""
    """Only those that stand so."""

    @property
    def wanted(self) -> Wanted:
        """As the list is asked for."""
        return Wanted(
            number=self.number,
            plant=self.plant,
            supplier=self.supplier,
            family=self.family,
            stage=self.stage,
        )


@app.command(name="list")
def list_changes(
    *,
    which: Which = Which(),
    by_risk: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """List changes, open ones first, with how far they are and whose turn it is.

    Parameters
    ----------
    by_risk
        First what most of production waits for, by plants and open purchase orders.
    """
    order: Order = "risk" if by_risk else "newest"
    found = read(
        reading,
        lambda tx: changes(tx, which.wanted, order=order, limit=views.LIST_LIMIT),
    )
    if reading.is_json:
        put_json(found.rows)
        return
    page = screen()
    if not found.rows:
        page.line(
            "No change has been released yet." if which == Which() else "There is no such change."
        )
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
        [_list_row(row) for row in found.rows],
    )
    if by_risk and found.rows[0].risk:
        page.line(f"On top: {change_status.risk_words(found.rows[0])}.")
    if found.matched > len(found.rows):
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
    view, known_paces = read(reading, lambda tx: with_paces(tx, number))
    if view is None:
        known = read(reading, views.known_numbers)
        raise not_found("change", number, known["change"])
    status = status_of(view, datetime.now(UTC), known_paces)
    if reading.is_json:
        put_json(status)
    else:
        print_change(screen(), status, fold=not all_rows)


def print_change(page: Screen, status: ChangeStatus, *, fold: bool) -> None:
    """The header, the findings, the ledger by plant, and the summary."""
    page.line(f"{status.number}  {status.title}", style="bold")
    page.line(change_status.dates(status), style="dim")
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
        ", ".join(_standing(row)),
        f"{row.done} of {row.total}" + (f", {row.skipped} skipped" if row.skipped else ""),
        change_status.list_waits(row),
        str(row.open_cases) if row.open_cases else "",
        moment(row.opened_at),
        moment(row.completed_at),
        row.title,
    )


def _standing(row: ChangeRow) -> Iterator[str]:
    yield STAGE_WORDS["reporting"] if row.is_reporting else row.state
    if row.is_paused:
        yield "paused"
    if row.late:
        yield f"{row.late} late"


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
        step.verb,
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
    return number, step.system, what, step.verb, state, owner, waits_for


def _print_summary(page: Screen, status: ChangeStatus) -> None:
    styles = {"complete": "green", "cancelled": ""}
    page.line(change_status.summary(status), style=styles.get(status.state, "bold"))
    if status.state == "open" and status.blockers:
        _print_blockers(page, status)
    if status.estimate is not None:
        page.line(change_status.estimated(status.estimate, status.steps))
    _print_stopped(page, status)
    shown = {f"{status.key}: {b.identity}" for b in status.blockers}
    for case in status.open_cases:
        if case.place not in shown:
            page.line(f"open case: layshaft case show {case.id}")


def _print_stopped(page: Screen, status: ChangeStatus) -> None:
    """What people keep from going on, and by which command it does."""
    if status.paused is not None:
        name = change_controls.number_of(status.key)
        page.line(f"paused: {status.paused.words}")
        page.line(f'to let it go on: layshaft change resume {name} --reason "..."')
    for hold in status.holds:
        page.line(f"on hold: {hold.name}: {hold.words}")
        page.line(f'to let it go on: layshaft release {hold.id} --reason "..."')


def _print_blockers(page: Screen, status: ChangeStatus) -> None:
    people = [b for b in status.blockers if wording.needs_a_person(b)]
    held = sum(b.is_held for b in status.blockers)
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
    if change_status.turns(status) and rest:
        page.line(f"and {plural(rest, 'call')} under way or due")


def _blocker_row(blocker: wording.Blocker, cases: Mapping[str, int]) -> tuple[str, ...]:
    look = f"layshaft task show {blocker.step}" if blocker.kind == "approval" else ""
    if blocker.identity in cases:
        look = f"layshaft case show {cases[blocker.identity]}"
    behind = plural(blocker.behind, "step") if blocker.behind else ""
    return blocker.owner, blocker.text, behind, look
