"""`layshaft task`: decisions that people are asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from broker.approvals import (
    Decided,
    Verdict,
    comment,
    decide,
    deed,
    deed_of_commenting,
    deed_of_delegating,
    delegate,
)
from broker.principals import Principal
from broker.store import Tx, views
from broker.store.views import DecisionRow, TaskRow
from canonical.errors import Conflict
from ops.cli import work_list
from ops.cli.numbered import MIN_DIGEST, find, put_list, required_reason
from ops.cli.output import Column, Screen, moment, plural, put_json, screen, span, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Actor, Common, Reading, act, read

app = App(name="task", help="Decide what only a person can decide.")
work_list.add_to(app)

Reason = Annotated[str, Parameter(help="Why; kept with the decision.")]
Digest = Annotated[
    str,
    Parameter(
        help="Content that was read, from `task show`; refused without it, and if the task says"
        " something else by now."
    ),
]
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
    put_list(
        reading,
        rows,
        [
            (Column("task", is_number=True), lambda t: str(t.id)),
            (Column("role"), lambda t: t.role),
            (Column("change"), lambda t: t.change),
            (Column("about"), lambda t: t.about),
            (Column("state"), lambda t: STATES.get(t.state, t.state)),
            (Column("signed"), signed),
            (Column("behind it", is_number=True), lambda t: plural(t.waiting, "step")),
            (Column("due (UTC)"), lambda t: moment(t.due_at)),
            (Column("overdue by"), overdue_by),
            (Column("escalated to"), lambda t: ", ".join(t.escalated_to)),
            (Column("question", is_text=True), lambda t: t.text),
        ],
        nothing="Nobody is asked for a decision." if state == "open" else "There is none.",
    )


@app.command(name="show")
def show_task(task_id: int, /, *, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show what is asked, on which evidence, and what hangs on it.

    Parameters
    ----------
    task_id
        Number of the task.
    """
    task = find(reading, "task", task_id, views.task)
    if reading.is_json:
        put_json(task)
    else:
        print_task(screen(), task)


@app.command(name="approve")
def approve_task(
    task_id: int,
    /,
    *,
    reason: Reason,
    digest: Digest = "",
    choice: str = "",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Say yes, or what the task lets you choose: once as many have said so as have to, what stands
    behind the task goes on.

    Parameters
    ----------
    task_id
        Number of the task.
    choice
        The word that answers it, where `task show` lists choices.
    """
    _decide(common, actor, task_id, "approved", reason, digest, choice)


@app.command(name="reject")
def reject_task(
    task_id: int,
    /,
    *,
    reason: Reason,
    digest: Digest = "",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Say no: what stands behind the task is held, and engineering is told.

    Parameters
    ----------
    task_id
        Number of the task.
    """
    _decide(common, actor, task_id, "rejected", reason, digest, "")


@app.command(name="delegate")
def delegate_task(
    task_id: int,
    /,
    *,
    to: Annotated[str, Parameter(help="Name of the principal who may decide in your place.")],
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Have somebody decide in your place; of the two of you, one signs.

    It ends when you decide yourself, or name somebody else.

    Parameters
    ----------
    task_id
        Number of the task.
    """
    why = required_reason(reason)
    task = find(common, "task", task_id, views.task)

    async def work(tx: Tx, who: Principal) -> str:
        await delegate(tx, step_id=task.id, to=to, by=who, reason=why)
        return who.name

    name = act(common, actor, lambda tx: deed_of_delegating(tx, task.id), work)
    screen().line(f"Task {task.id} delegated to {to} by {name}: {task.text}")
    talk(f"{to} reads it, and decides as shown there: layshaft task show {task.id}")


@app.command(name="comment")
def comment_on_task(
    task_id: int,
    text: Annotated[str, Parameter(help="What others should know before they decide.")],
    /,
    *,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Say something of a question without deciding it; it stays with the question.

    Parameters
    ----------
    task_id
        Number of the task.
    """
    task = find(common, "task", task_id, views.task)

    async def work(tx: Tx, who: Principal) -> str:
        await comment(tx, step_id=task.id, said=text, by=who)
        return who.name

    name = act(common, actor, lambda tx: deed_of_commenting(tx, task.id), work)
    screen().line(f"Task {task.id} commented on by {name}")


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
            ("plants", ", ".join(task.plants) or "all"),
            ("change", f"{task.change}  {task.title}"),
            ("state", STATES.get(task.state, task.state)),
            ("signed", signed(task)),
            ("since", f"{moment(task.since)} UTC"),
            ("due", f"{moment(task.due_at)} UTC, {time_it_has(task)}"),
            ("overdue by", overdue_by(task)),
            ("escalated to", escalated(task)),
            *(
                ("delegated to", f"{d.to} by {d.by}, {moment(d.at)} UTC: {d.reason}")
                for d in task.delegates
            ),
            ("behind it", f"{plural(task.waiting, 'step')} waiting" if task.waiting else ""),
            ("choices", ", ".join(task.choices)),
            ("digest", task.digest),
            *(("comment", f"{c.by}, {moment(c.at)} UTC: {c.said}") for c in task.comments),
            *(
                (
                    "decision",
                    f"{d.choice or d.verdict} by {decider(d)}, {moment(d.at)} UTC: {d.reason}",
                )
                for d in task.decisions
            ),
        ],
    )
    if task.state == "ready" and task.choices:
        page.line()
        given = f'{task.id} --digest {task.digest[:MIN_DIGEST]} --choice WORD --reason "..."'
        page.line(f"answer: layshaft task approve {given}")
    elif task.state == "ready":
        page.line()
        given = f'{task.id} --digest {task.digest[:MIN_DIGEST]} --reason "..."'
        page.line(f"yes: layshaft task approve {given}")
        page.line(f"no:  layshaft task reject {given}")


def decider(decision: DecisionRow) -> str:
    """Who decided, and in whose place."""
    place = f" in the place of {decision.in_place_of}" if decision.in_place_of else ""
    return decision.by + place


def time_it_has(task: TaskRow) -> str:
    """How long may be thought about it, and by whose working time."""
    working = f" of the working time {task.calendar}" if task.calendar else ""
    return f"{span(task.due_s)}{working} after it was asked"


def overdue_by(task: TaskRow) -> str:
    """How long it is open past its due time, in the two largest units; "" where it is not."""
    return span(task.overdue_s) if task.overdue_s else ""


def escalated(task: TaskRow) -> str:
    """Who may decide it too, or has it as a case since it was refused; "" where it has not gone on
    to anybody."""
    words = {"ready": "who may decide too", "failed": "since it was refused"}
    said = words.get(task.state, "who could decide too")
    return f"{', '.join(task.escalated_to)}, {said}" if task.escalated_to else ""


def signed(task: TaskRow) -> str:
    """Who has signed, and how many are missing; "" where one is enough."""
    if task.signatures == 1:
        return ""
    names = f": {', '.join(task.signed_by)}" if task.signed_by else ""
    missing = f"; {task.missing} missing" if task.missing else ""
    return f"{len(task.signed_by)} of {task.signatures}{names}{missing}"


def _decide(
    common: Common,
    actor: Actor,
    task_id: int,
    verdict: Verdict,
    reason: str,
    digest: str,
    choice: str,
) -> None:
    why = required_reason(reason)
    task = find(common, "task", task_id, views.task)
    given = digest.strip().lower()
    if not given:
        # Read at this moment it would be of content that nobody may have seen.
        raise Problem(
            Exit.USAGE,
            "digest-missing",
            "A decision names the content that was read",
            why="--digest is not given",
            fix=f"Read it, and copy the command that stands below it: layshaft task show {task.id}",
        )

    async def work(tx: Tx, who: Principal) -> tuple[str, Decided]:
        _require_same(task, given)
        decided = await decide(
            tx,
            step_id=task.id,
            digest=task.digest,
            verdict=verdict,
            by=who,
            reason=why,
            choice=choice.strip(),
        )
        return who.name, decided

    name, decided = act(common, actor, lambda tx: deed(tx, task.id, verdict), work)
    if decided.missing:
        signatures = f"{len(decided.signed_by)} of {task.signatures}"
        screen().line(f"Task {task.id} signed by {name}, {signatures}: {task.text}")
        roles = " or ".join((task.role, *task.escalated_to))
        more = f"{decided.missing} more with the role {roles}"
        talk(f"It takes {more}: layshaft task show {task.id}")
        return
    screen().line(f"Task {task.id} {choice.strip() or verdict} by {name}: {task.text}")
    follows = "may go on" if verdict == "approved" else "held"
    talk(f"{plural(task.waiting, 'step')} behind it {follows}: layshaft change show {task.change}")


def _require_same(task: TaskRow, given: str) -> None:
    if len(given) < MIN_DIGEST or not task.digest.startswith(given):
        raise Conflict(
            "content-changed",
            "The task does not say what you read, or the digest is incomplete",
            where=f"you gave {given}, it is {task.digest}",
            remedy=f"Read it again: layshaft task show {task.id}",
        )
