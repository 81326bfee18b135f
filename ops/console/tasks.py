"""My tasks: what waits for who is signed in, with what they need to decide, and the decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from broker.approvals import (
    MOST_SAID,
    Decided,
    Verdict,
    comment,
    decide,
    deed,
    deed_of_commenting,
    deed_of_delegating,
    delegate,
)
from broker.principals import Principal, Refused, may, may_be_delegate, may_see
from broker.store import Tx, task_list, views
from broker.store import principals as principal_rows
from broker.store.task_list import STATES, State, Wanted
from broker.store.views import TaskPage, TaskRow, snapshot
from canonical.errors import Conflict, Failure, InvalidMessage, Rejected
from canonical.working_time import WorkingCalendar
from ops.cli import task as words
from ops.cli.numbered import MANY, MIN_DIGEST
from ops.cli.output import plural
from ops.cli.problems import not_found, problem_of
from ops.console import export
from ops.console.acting import act, field, filled_in, reason, said
from ops.console.changes import RULES
from ops.console.evidence import evidence, price_words
from ops.console.guards import READING
from ops.console.lists import (
    DUE,
    PAGE_ROWS,
    Paging,
    address,
    around,
    asks_nothing,
    due_of,
    given,
    named,
    page_number,
    query_of,
    refusal,
    who_may,
)
from ops.console.pages import SIGNED, answer, trouble_of

PATH = "/tasks"
FOR = ("me", "all")
# So many people are looked through for who else is asked, and whom one may have decide.
MOST_PEOPLE = 500
_HEADS = (
    *("task", "state", "due_utc", "overdue", "asked_of", "escalated_to", "question", "about"),
    *("change", "title", "plants", "steps_behind", "signed", "missing", "text", "digest"),
)


# What somebody writes into a form, and would have to write again.
_TYPED = ("reason", "choice", "to", "comment")


# Characters: written as forms are, each may be nine bytes of the form's 64 KiB.
_MOST_SHOWN = 5_000


class Shown(msgspec.Struct, frozen=True):
    """What a task said when somebody read it: what the form about it brings back."""

    text: str
    evidence: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """A line of a task that is not what it was. "" = there is no such line."""

    was: str
    now: str


def filters_of(request: web.Request) -> dict[str, str]:
    """How the address narrows the list.

    Raises: Rejected("filter-invalid").
    """
    return {
        "for": given(request.query, "for", FOR),
        "state": given(request.query, "state", STATES),
        "due": given(request.query, "due", DUE),
        "role": given(request.query, "role"),
        "plant": given(request.query, "plant"),
        "q": given(request.query, "q"),
    }


def wanted_of(filters: dict[str, str], who: Principal) -> Wanted:
    """What these filters ask for, of what that one may see."""
    state: State = next((s for s in STATES if s == filters["state"]), "open")
    hours = DUE[filters["due"]][1] if filters["due"] else None
    return Wanted(
        state=state,
        role=filters["role"],
        plant=filters["plant"],
        text=filters["q"],
        due_within_s=None if hours is None else hours * 3600,
        mine=None if filters["for"] == "all" else who,
        scope=who.plants,
    )


async def page(request: web.Request) -> web.Response:
    """The list."""
    who, filters, number = request[SIGNED].who, filters_of(request), page_number(request.query)
    wanted = wanted_of(filters, who)
    async with snapshot(request.app[READING]) as tx:
        found = await _page(tx, wanted, limit=PAGE_ROWS, offset=(number - 1) * PAGE_ROWS)
        # Who is asked about order lines decides many alike elsewhere.
        lines = msgspec.structs.replace(wanted, line={}, state="open")
        of_orders = await task_list.chosen(tx, lines, limit=1)
        known = await task_list.choices(tx, scope=who.plants)
        people = await principal_rows.able(tx, limit=MOST_PEOPLE)
    paging = Paging(number, found.matched, found.is_cut)
    now = datetime.now(UTC)
    return answer(
        request,
        "tasks.html",
        filters=filters,
        rows=[_row(task, people, who, now) for task in found.rows],
        orders=of_orders.matched if found.rows and wanted.mine else 0,
        paging=paging,
        choices=known,
        due_choices=[(word, text) for word, (text, _) in DUE.items()],
        around=around(PATH, filters, paging),
        everybody=address(PATH, filters, **{"for": "all"}),
        is_narrowed=any(value for name, value in filters.items() if name not in ("for", "state")),
        asks_nothing=asks_nothing(who),
        query=query_of(filters),
        line=f"layshaft task list --state {wanted.state}",
    )


async def download(request: web.Request) -> web.StreamResponse:
    """The list as a file, by the same filter and for the same eyes."""
    wanted = wanted_of(filters_of(request), request[SIGNED].who)
    async with snapshot(request.app[READING]) as tx:
        rows = await export.whole(tx, wanted, newest_first=wanted.state != "open")
    return await export.streamed(request, "tasks", _HEADS, rows, cells_of)


def cells_of(task: TaskRow) -> list[str]:
    """A task as a line of a file."""
    return [
        str(task.id),
        words.STATES.get(task.state, task.state),
        f"{task.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        words.overdue_by(task),
        task.role,
        " ".join(task.escalated_to),
        task.question,
        task.about,
        task.change,
        task.title,
        " ".join(task.plants),
        str(task.waiting),
        " ".join(task.signed_by),
        str(task.missing),
        task.text,
        task.digest,
    ]


async def show(request: web.Request) -> web.Response:
    """One task, with all that is needed to decide it."""
    return await _shown(request)


async def decided(request: web.Request) -> web.StreamResponse:
    """Who is signed in decides, on what was shown to them."""
    number = _number(request)
    try:
        verdict = await _verdict(request)
        choice, digest = await field(request, "choice"), await field(request, "digest")
        why = await reason(request)

        async def work(tx: Tx, who: Principal) -> str:
            done = await decide(
                tx,
                step_id=number,
                digest=digest,
                verdict=verdict,
                by=who,
                reason=why,
                choice=choice,
            )
            return _done(done, choice or verdict)

        return await act(
            request, lambda tx: deed(tx, number, verdict), work, back=f"{PATH}/{number}"
        )
    except (Rejected, Conflict) as failure:
        return await _shown(request, failure)


async def delegated(request: web.Request) -> web.StreamResponse:
    """Somebody is to decide in the place of who is signed in."""
    number = _number(request)
    try:
        to, why = await field(request, "to"), await reason(request)

        async def work(tx: Tx, who: Principal) -> str:
            await delegate(tx, step_id=number, to=to, by=who, reason=why)
            return f"{to} may decide it in your place."

        return await act(
            request, lambda tx: deed_of_delegating(tx, number), work, back=f"{PATH}/{number}"
        )
    except (Rejected, Conflict) as failure:
        return await _shown(request, failure)


async def commented(request: web.Request) -> web.StreamResponse:
    """Who is signed in says something of the question, and decides nothing."""
    number = _number(request)
    try:
        text = await field(request, "comment")

        async def work(tx: Tx, who: Principal) -> str:
            await comment(tx, step_id=number, said=text, by=who)
            return "Your comment is on record."

        return await act(
            request, lambda tx: deed_of_commenting(tx, number), work, back=f"{PATH}/{number}"
        )
    except (Rejected, InvalidMessage) as failure:
        return await _shown(request, failure)


async def _page(tx: Tx, wanted: Wanted, *, limit: int, offset: int) -> TaskPage:
    return await views.task_page(
        tx, wanted, limit=limit, offset=offset, newest_first=wanted.state != "open"
    )


def _row(
    task: TaskRow, people: Sequence[Principal], who: Principal, now: datetime
) -> dict[str, Any]:
    others = [name for name in who_may(task, people) if name != who.name]
    return {
        "task": task,
        "due": due_of(task, now),
        "state": words.STATES.get(task.state, task.state),
        "others": named(others),
        "signed": words.signed(task),
        "for_me": next((d.by for d in task.delegates if d.to == who.name), ""),
        "is_mine": task.state == "ready" and refusal(task, who) is None,
    }


async def _shown(request: web.Request, failure: Failure | None = None) -> web.Response:
    """The page of a task; failure: why nothing was done to it just now."""
    who, number = request[SIGNED].who, _number(request)
    async with snapshot(request.app[READING]) as tx:
        task = await views.task(tx, number)
        if task is None:
            # Numbers of tasks are not for who may not look at them.
            known = (await views.known_numbers(tx))["task"] if who.covers("*") else []
            raise not_found("task", str(number), known)
        change = await views.change(tx, task.key)
        assert change is not None
        plants = {step.plant for step in change.steps if step.plant}
        if unseen := may_see(who, f"task {number}", plants):
            raise unseen
        found = await evidence(tx, task, change)
        people = await principal_rows.able(tx, limit=MOST_PEOPLE)
    now = datetime.now(UTC)
    refused = refusal(task, who) if task.state == "ready" else None
    others = [name for name in who_may(task, people) if name != who.name]
    # Whoever owns what is asked: it is for the one who decides to read it again.
    turn = "you" if isinstance(failure, Conflict) else failure.owner if failure else ""
    trouble = trouble_of(problem_of(failure), turn) if failure else None
    typed = await filled_in(request, _TYPED) if failure else dict.fromkeys(_TYPED, "")
    return answer(
        request,
        "task.html",
        code=403 if isinstance(failure, Refused) else trouble.status if trouble else 200,
        task=task,
        row=_row(task, people, who, now),
        change=change,
        evidence=found,
        refused=refused,
        has_signed=who.name in task.signed_by,
        others=others,
        delegates=whom(task, who, people) if may_delegate(task, who) else [],
        may_comment=may(who, "task-comment") is None,
        most_said=MOST_SAID,
        decider=words.decider,
        price=price_words,
        time_it_has=words.time_it_has(task),
        hours=hours_of(request.app[RULES].calendar(task.calendar)),
        shown=shown_of(task),
        line=command_of(task),
        trouble=trouble,
        is_stale=isinstance(failure, Conflict),
        differences=await _differences(request, task) if isinstance(failure, Conflict) else [],
        typed=typed,
        said="" if failure else await said(request),
    )


def may_delegate(task: TaskRow, who: Principal) -> bool:
    """Whether they may have somebody decide it: who does so in another's place may not."""
    return task.state == "ready" and (
        may(
            who,
            "task-delegate",
            plants=task.plants,
            role=task.role,
            escalated_to=task.escalated_to,
        )
        is None
    )


def whom(task: TaskRow, who: Principal, people: Iterable[Principal]) -> list[Principal]:
    """Who may be named to decide it in that one's place."""
    known = {each.to: each.by for each in task.delegates}
    roles = (task.role, *task.escalated_to)
    return [
        person
        for person in people
        if person.name not in task.signed_by
        and may_be_delegate(person, who, roles=roles, plants=task.plants, known=known) is None
    ]


def hours_of(calendar: WorkingCalendar | None) -> list[tuple[str, str]]:
    """Days and hours of a working time; none where any time counts."""
    if calendar is None:
        return []
    hours = [
        (", ".join(each.days), f"{each.begins:%H:%M} to {each.ends:%H:%M}")
        for each in calendar.hours
    ]
    return [*hours, ("time zone", calendar.zone)]


def command_of(task: TaskRow) -> str:
    """The command that does what the page does, "" where nothing is asked any more."""
    if task.state != "ready":
        return f"layshaft task show {task.id}"
    choice = " --choice WORD" if task.choices else ""
    given = f'{task.id} --digest {task.digest[:MIN_DIGEST]}{choice} --reason "..."'
    return f"layshaft task approve {given}"


def shown_of(task: TaskRow) -> str:
    """What the form brings back of what was shown; "" where that is more than a form holds."""
    text = msgspec.json.encode(Shown(task.text, task.evidence, task.choices)).decode()
    return text if len(text) <= _MOST_SHOWN else ""


def differences(shown: Shown, task: TaskRow) -> list[Difference]:
    """In which lines the task says something else than was shown."""
    was = [shown.text, *shown.evidence, _choices(shown.choices)]
    now = [task.text, *task.evidence, _choices(task.choices)]
    gone = [line for line in was if line not in now]
    new = [line for line in now if line not in was]
    # The text comes first on both sides, and is one line that changed.
    longest = max(len(gone), len(new))
    gone += [""] * (longest - len(gone))
    new += [""] * (longest - len(new))
    return [Difference(*pair) for pair in zip(gone, new, strict=True)]


async def _differences(request: web.Request, task: TaskRow) -> list[Difference]:
    value = (await request.post()).get("shown", "")
    try:
        shown = msgspec.json.decode(value if isinstance(value, str) else "", type=Shown)
    except msgspec.DecodeError:
        return []
    return differences(shown, task)


async def _verdict(request: web.Request) -> Verdict:
    verdict = await field(request, "verdict")
    if verdict == "approved":
        return "approved"
    if verdict == "rejected":
        return "rejected"
    raise Rejected(
        "verdict-missing",
        "The form does not say whether it is approved or refused",
        where="verdict",
        remedy="Press one of the two buttons",
        owner="you",
    )


def _done(done: Decided, verdict: str) -> str:
    word = {"approved": "Approved", "rejected": "Refused"}.get(verdict, f"Decided: {verdict}")
    if done.missing:
        return f"Signed: {verdict}. It takes {plural(done.missing, 'more signature')}."
    return f"{word}. It is on record in your name."


def _number(request: web.Request) -> int:
    number = int(request.match_info["number"])
    return number if number < MANY else 0


def _choices(choices: Sequence[str]) -> str:
    return f"choices: {', '.join(choices)}" if choices else ""
