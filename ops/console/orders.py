"""The buyers' work list: lines of open orders, chosen as they were read and decided alike.

What is chosen is kept before anybody decides, so that a page names how many lines it is about and
which; each of them is decided by itself, and the page says what became of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from broker.approvals import Fate, Shown, decide_each
from broker.principals import Principal
from broker.store import Tx, chosen_lines, task_list, views
from broker.store import principals as principal_rows
from broker.store.chosen_lines import ChosenLine, ChosenLines, Outcome
from broker.store.task_list import Wanted
from broker.store.views import TaskRow, snapshot
from canonical.errors import Conflict, Rejected
from canonical.money import minor_digits
from canonical.order import OrderedLine
from ops.cli import work_list
from ops.cli.numbered import MANY
from ops.cli.output import plural
from ops.cli.problems import problem_of
from ops.console import export
from ops.console.acting import TYPED_OVER, act_on_each, field, filled_in, reason, require_typed
from ops.console.guards import READING
from ops.console.lists import (
    DUE,
    PAGE_ROWS,
    Paging,
    address,
    around,
    due_of,
    given,
    named,
    page_number,
    query_of,
    refusal,
    who_may,
)
from ops.console.pages import SIGNED, answer, trouble_of

PATH = "/orders"
FOR = ("me", "all")
# So many lines are decided at a time, as by the command.
MOST_LINES = work_list.MOST_LINES
SAMPLE = 10
MOST_PEOPLE = 500
_TYPED = ("choice", "reason", "typed")
_LINE = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_HEADS = (
    *("task", "order", "line", "supplier", "plant", "item", "revision", "quantity", "unit"),
    *("delivery", "value", "currency", "plm_says", "change", "due_utc", "choices", "digest"),
)


class Sum(msgspec.Struct, frozen=True):
    """What lines are worth together, by currency; unpriced: lines without a value."""

    amounts: tuple[str, ...]
    unpriced: int


class Result(msgspec.Struct, frozen=True):
    """What became of a line. said: in one word; why: it was refused."""

    task: TaskRow | None
    step_id: int
    said: str
    why: str = ""
    code: str = ""


def filters_of(values: Mapping[str, str]) -> dict[str, str]:
    """How an address narrows the list. values: its query.

    Raises: Rejected("filter-invalid").
    """
    return {
        "for": given(values, "for", FOR),
        "supplier": given(values, "supplier"),
        "plant": given(values, "plant"),
        "item": given(values, "item"),
        "change": given(values, "change"),
        "due": given(values, "due", DUE),
    }


def wanted_of(filters: dict[str, str], who: Principal) -> Wanted:
    """What these filters ask for, of what that one may see."""
    hours = DUE[filters["due"]][1] if filters["due"] else None
    return Wanted(
        change=filters["change"],
        line={name: filters[name] for name in ("supplier", "plant", "item") if filters[name]},
        due_within_s=None if hours is None else hours * 3600,
        mine=None if filters["for"] == "all" else who,
        scope=who.plants,
    )


def sum_of(lines: Iterable[OrderedLine]) -> Sum:
    """What the lines are worth together."""
    sums: dict[str, Decimal] = {}
    unpriced = 0
    for line in lines:
        if line.value is None:
            unpriced += 1
        else:
            currency = line.value.currency
            sums[currency] = sums.get(currency, Decimal(0)) + line.value.amount
    amounts = tuple(f"{sums[each]:,.{minor_digits(each)}f} {each}" for each in sorted(sums))
    return Sum(amounts, unpriced)


def choices_of(tasks: Iterable[TaskRow]) -> tuple[str, ...]:
    """The words by which all of these can be answered."""
    common: list[str] | None = None
    for task in tasks:
        common = [w for w in (task.choices if common is None else common) if w in task.choices]
    return tuple(common or ())


async def page(request: web.Request) -> web.Response:
    """The list."""
    who, filters = request[SIGNED].who, filters_of(request.query)
    number, wanted = page_number(request.query), wanted_of(filters, who)
    async with snapshot(request.app[READING]) as tx:
        found = await views.task_page(tx, wanted, limit=PAGE_ROWS, offset=(number - 1) * PAGE_ROWS)
        known = await task_list.choices(tx, scope=who.plants, of_orders=True)
        people = await principal_rows.able(tx, limit=MOST_PEOPLE)
    paging = Paging(number, found.matched, found.is_cut)
    now = datetime.now(UTC)
    rows = [_row(task, people, who, now) for task in found.rows]
    which = work_list.Orders(
        change=filters["change"],
        supplier=filters["supplier"],
        plant=filters["plant"],
        item=filters["item"],
        due_within_hours=DUE[filters["due"]][1] if filters["due"] else None,
    )
    return answer(
        request,
        "orders.html",
        filters=filters,
        rows=rows,
        paging=paging,
        choices=known,
        due_choices=[(word, text) for word, (text, _) in DUE.items()],
        around=around(PATH, filters, paging),
        everybody=address(PATH, filters, **{"for": "all"}),
        is_narrowed=any(value for name, value in filters.items() if name != "for"),
        has_mine=any(row["is_mine"] for row in rows),
        most=MOST_LINES,
        query=query_of(filters),
        line=f"layshaft task orders {work_list.options(which)}".strip(),
    )


async def download(request: web.Request) -> web.StreamResponse:
    """The list as a file, by the same filter and for the same eyes."""
    wanted = wanted_of(filters_of(request.query), request[SIGNED].who)
    async with snapshot(request.app[READING]) as tx:
        rows = await export.whole(tx, wanted)
    return await export.streamed(request, "orders", _HEADS, rows, cells_of)


def cells_of(task: TaskRow) -> list[str]:
    """A line as a line of a file."""
    line = line_of(task)
    value, _, currency = work_list.value_words(line).partition(" ")
    return [
        str(task.id),
        line.order,
        line.line,
        line.supplier,
        line.plant,
        line.item,
        line.revision,
        f"{line.quantity.value:f}",
        line.quantity.unit,
        str(line.on or ""),
        value,
        currency,
        line.disposition,
        task.change,
        f"{task.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        " ".join(task.choices),
        task.digest,
    ]


def line_of(task: TaskRow) -> OrderedLine:
    """The order line that the task is about."""
    assert task.order_line is not None
    return task.order_line


async def choose(request: web.Request) -> web.Response:
    """Lines are chosen as they were read: those that are marked, or all that match."""
    form = await request.post()
    filters = filters_of(dict(parse_qsl(await field(request, "query"))))
    is_all = await field(request, "which") == "all"
    marked = [] if is_all else lines_of(form.getall("line", []))

    async def work(tx: Tx, who: Principal) -> str:
        lines, matched = marked, len(marked)
        if is_all:
            wanted = msgspec.structs.replace(wanted_of(filters, who), mine=who)
            found = await views.task_page(tx, wanted, limit=MOST_LINES)
            lines, matched = [ChosenLine(t.id, t.digest) for t in found.rows], found.matched
        if not lines:
            raise _nothing_chosen()
        number = await chosen_lines.keep(
            tx, lines, by=who.name, query=query_of(filters), matched=matched
        )
        return f"{PATH}/chosen/{number}"

    return await act_on_each(request, work, back="")


def lines_of(values: Iterable[object]) -> list[ChosenLine]:
    """The lines that a form marks, each once.

    Raises: Rejected("lines-unreadable"), Rejected("too-many-lines").
    """
    found: dict[int, ChosenLine] = {}
    for value in values:
        match = _LINE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Rejected(
                "lines-unreadable",
                "The form names a line that cannot be read",
                where="line",
                remedy="Open the list anew and choose again",
                owner="you",
            )
        found[int(match[1])] = ChosenLine(int(match[1]), match[2])
    if len(found) > MOST_LINES:
        raise Rejected(
            "too-many-lines",
            f"{len(found)} lines are more than are decided at a time",
            where=f"up to {MOST_LINES}",
            remedy="Choose fewer",
            owner="you",
        )
    return list(found.values())


async def chosen(request: web.Request) -> web.Response:
    """What was chosen, to be confirmed; or what became of it."""
    return await _chosen(request)


async def decided(request: web.Request) -> web.StreamResponse:
    """What was chosen is decided alike, each line by itself."""
    number = _number(request)
    try:
        choice, why = await field(request, "choice"), await reason(request)
        typed = await field(request, "typed")

        async def work(tx: Tx, who: Principal) -> str:
            found = await chosen_lines.lock(tx, number, by=who.name)
            if found is None:
                raise _not_chosen(number)
            if found.decided_at is not None:
                return "It was decided before; nothing was done twice."
            require_typed(len(found.lines), typed, "lines")
            fates = await decide_each(
                tx,
                [Shown(line.step_id, line.digest) for line in found.lines],
                verdict="approved",
                by=who,
                reason=why,
                choice=choice,
            )
            await chosen_lines.keep_outcome(
                tx, number, [outcome_of(fate) for fate in fates], choice=choice, reason=why
            )
            return "Done."

        return await act_on_each(request, work, back=f"{PATH}/chosen/{number}")
    except (Rejected, Conflict) as failure:
        return await _chosen(request, failure)


def outcome_of(fate: Fate) -> Outcome:
    """What became of a line, as it is kept."""
    if fate.refused is not None:
        return Outcome(fate.step_id, code=fate.refused.code, what=fate.refused.what)
    return Outcome(fate.step_id, missing=fate.decided.missing if fate.decided else 0)


def results_of(found: ChosenLines, tasks: Iterable[TaskRow]) -> list[Result]:
    """What became of each line, those that were refused first."""
    known = {task.id: task for task in tasks}
    results = [_result(found, each, known.get(each.step_id)) for each in found.outcome]
    return sorted(results, key=lambda result: result.said != "refused")


def _result(found: ChosenLines, outcome: Outcome, task: TaskRow | None) -> Result:
    if not outcome.code:
        said = found.choice
        if outcome.missing:
            said += f", {plural(outcome.missing, 'signature')} missing"
        return Result(task, outcome.step_id, said)
    why = outcome.what
    if outcome.code == "not-open" and task is not None and task.decisions:
        last = task.decisions[-1]
        why = f"decided meanwhile: {last.choice or last.verdict} by {last.by}: {last.reason}"
    return Result(task, outcome.step_id, "refused", why, outcome.code)


async def _chosen(request: web.Request, failure: Rejected | Conflict | None = None) -> web.Response:
    """The page about what was chosen; failure: why nothing was done just now."""
    who, number = request[SIGNED].who, _number(request)
    async with snapshot(request.app[READING]) as tx:
        found = await chosen_lines.find(tx, number, by=who.name)
        if found is None:
            raise _not_chosen(number)
        tasks = await views.tasks_of(tx, [line.step_id for line in found.lines])
    trouble = trouble_of(problem_of(failure), failure.owner) if failure else None
    back = f"{PATH}?{found.query}" if found.query else PATH
    if found.decided_at is not None:
        results = results_of(found, tasks)
        return answer(
            request,
            "orders_done.html",
            found=found,
            results=results,
            refused=sum(result.said == "refused" for result in results),
            quantity=work_list.quantity_words,
            value=work_list.value_words,
            back=back,
        )
    digests = {line.step_id: line.digest for line in found.lines}
    good = [t for t in tasks if t.state == "ready" and t.digest == digests[t.id]]
    mine = [task for task in good if refusal(task, who) is None]
    return answer(
        request,
        "orders_chosen.html",
        code=trouble.status if trouble else 200,
        found=found,
        tasks=tasks,
        sample=SAMPLE,
        total=sum_of(line_of(task) for task in mine),
        suppliers=sorted({line_of(task).supplier for task in mine}),
        plants=sorted({line_of(task).plant or "none" for task in mine}),
        # Why a line will be refused, as far as is known by now.
        odd={task.id: _oddness(task, digests[task.id], who) for task in tasks if task not in mine},
        gone=len(found.lines) - len(tasks),
        mine=len(mine),
        choices=choices_of(mine),
        must_type=len(found.lines) > TYPED_OVER,
        quantity=work_list.quantity_words,
        value=work_list.value_words,
        trouble=trouble,
        typed=await filled_in(request, _TYPED) if failure else dict.fromkeys(_TYPED, ""),
        back=back,
    )


def _oddness(task: TaskRow, digest: str, who: Principal) -> str:
    if task.state != "ready":
        last = task.decisions[-1] if task.decisions else None
        return f"decided meanwhile by {last.by}" if last else "not asked any more"
    if task.digest != digest:
        return "says something else by now"
    refused = refusal(task, who)
    return refused.what if refused else ""


def _row(
    task: TaskRow, people: Sequence[Principal], who: Principal, now: datetime
) -> dict[str, Any]:
    others = [name for name in who_may(task, people) if name != who.name]
    line = line_of(task)
    return {
        "task": task,
        "line": line,
        "quantity": work_list.quantity_words(line),
        "value": work_list.value_words(line),
        "due": due_of(task, now),
        "others": named(others),
        "is_mine": refusal(task, who) is None,
        "is_signed": who.name in task.signed_by,
    }


def _nothing_chosen() -> Rejected:
    return Rejected(
        "nothing-chosen",
        "No line was chosen",
        where="the boxes before the lines",
        remedy="Mark the lines you mean, or choose all that match",
        owner="you",
    )


def _not_chosen(number: int) -> Rejected:
    return Rejected(
        "not-found",
        f"You have chosen nothing under the number {number}",
        where="what is chosen is kept for a day, and for who chose it alone",
        remedy="Choose anew from the list of orders",
        owner="you",
    )


def _number(request: web.Request) -> int:
    number = int(request.match_info["number"])
    return number if number < MANY else 0
