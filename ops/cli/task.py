"""`layshaft task`: decisions that people are asked for."""

from __future__ import annotations

import getpass
from typing import Annotated, Literal

from cyclopts import App, Parameter

from broker.approvals import Verdict, decide
from broker.store import Tx, views
from broker.store.views import TaskRow
from canonical.errors import Conflict
from ops.cli.output import Column, Screen, moment, plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem, not_found
from ops.cli.session import Common, Reading, read, write

app = App(name="task", help="Decide what only a person can decide.")

# Enough of a digest to tell two contents apart.
MIN_DIGEST = 12

By = Annotated[str, Parameter(name="--by")]
STATES = {"ready": "open", "done": "approved", "failed": "rejected"}


@app.command(name="list")
def list_tasks(
    *,
    state: Literal["open", "decided", "all"] = "open",
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """List approvals, the most urgent first.

    Parameters
    ----------
    state
        Which ones.
    """
    rows = read(reading, lambda tx: views.tasks(tx, state))
    if reading.is_json:
        put_json(rows)
        return
    page = screen()
    if not rows:
        page.line("Nobody is asked for a decision." if state == "open" else "There is none.")
        return
    page.table(
        [
            Column("task", is_number=True),
            Column("role"),
            Column("change"),
            Column("about"),
            Column("state"),
            Column("behind it", is_number=True),
            Column("due (UTC)"),
            Column("question", is_text=True),
        ],
        [
            (
                str(t.id),
                t.role,
                t.change,
                t.about,
                STATES.get(t.state, t.state),
                plural(t.waiting, "step"),
                moment(t.due_at),
                t.text,
            )
            for t in rows
        ],
    )


@app.command(name="show")
def show_task(task_id: int, /, *, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show what is asked, on which evidence, and what hangs on it.

    Parameters
    ----------
    task_id
        Number of the task.
    """
    task = _find(reading, task_id)
    if reading.is_json:
        put_json(task)
    else:
        print_task(screen(), task)


@app.command(name="approve")
def approve_task(
    task_id: int,
    /,
    *,
    reason: str,
    by: By = "",
    digest: str = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Say yes: what stands behind the task goes on.

    Parameters
    ----------
    task_id
        Number of the task.
    reason
        Why; kept with the decision.
    by
        Who decides; without it, the user of this computer.
    digest
        Content that was read (`task show`); refused if the task says something else by now.
    """
    _decide(common, task_id, "approved", reason, by, digest)


@app.command(name="reject")
def reject_task(
    task_id: int,
    /,
    *,
    reason: str,
    by: By = "",
    digest: str = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Say no: what stands behind the task is held, and engineering is told.

    Parameters
    ----------
    task_id
        Number of the task.
    reason
        Why; kept with the decision.
    by
        Who decides; without it, the user of this computer.
    digest
        Content that was read (`task show`); refused if the task says something else by now.
    """
    _decide(common, task_id, "rejected", reason, by, digest)


def person(by: str) -> str:
    """Who acts: as given, else the user of this computer."""
    if by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise Problem(
            Exit.USAGE,
            "who",
            "Layshaft does not know who you are",
            why="this computer has no name for its user",
            fix="Say who decides with --by",
        ) from error


def required_reason(reason: str) -> str:
    """The reason, which must say something."""
    if not reason.strip():
        raise Problem(
            Exit.USAGE,
            "reason-missing",
            "A reason is needed",
            why="whoever reads the record later must understand it",
            fix='Give --reason "..."',
        )
    return reason.strip()


def print_task(page: Screen, task: TaskRow) -> None:
    """Everything a person needs to decide."""
    page.line(f"Task {task.id}  {task.text}", style="bold")
    for line in task.evidence:
        page.line(f"  - {line}")
    page.line()
    page.fields(
        [
            ("asked of", task.role),
            ("question", task.question),
            ("about", task.about),
            ("plant", task.plant or "all"),
            ("change", f"{task.change}  {task.title}"),
            ("state", STATES.get(task.state, task.state)),
            ("since", f"{moment(task.since)} UTC"),
            ("due", f"{moment(task.due_at)} UTC"),
            ("behind it", f"{plural(task.waiting, 'step')} waiting" if task.waiting else ""),
            ("digest", task.digest),
            *(
                ("decision", f"{d.verdict} by {d.by}, {moment(d.at)} UTC: {d.reason}")
                for d in task.decisions
            ),
        ],
    )
    if task.state == "ready":
        page.line()
        page.line(f'yes: layshaft task approve {task.id} --reason "..."')
        page.line(f'no:  layshaft task reject {task.id} --reason "..."')


def _find(common: Common, task_id: int) -> TaskRow:
    task = read(common, lambda tx: views.task(tx, task_id))
    if task is None:
        raise not_found("task", str(task_id), read(common, views.known_numbers)["task"])
    return task


def _decide(
    common: Common, task_id: int, verdict: Verdict, reason: str, by: str, digest: str
) -> None:
    who, why = person(by), required_reason(reason)
    task = _find(common, task_id)
    given = digest.strip().lower()
    if given and (len(given) < MIN_DIGEST or not task.digest.startswith(given)):
        raise Conflict(
            "content-changed",
            "The task does not say what you read, or the digest is incomplete",
            where=f"you gave {given}, it is {task.digest}",
            remedy=f"Read it again: layshaft task show {task.id}",
        )

    async def work(tx: Tx) -> None:
        await decide(tx, step_id=task.id, digest=task.digest, verdict=verdict, by=who, reason=why)

    write(common, work)
    screen().line(f"Task {task.id} {verdict} by {who}: {task.text}")
    follows = "may go on" if verdict == "approved" else "held"
    talk(f"{plural(task.waiting, 'step')} behind it {follows}: layshaft change show {task.change}")
