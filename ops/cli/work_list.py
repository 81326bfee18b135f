"""`layshaft task orders|decide-orders`: what becomes of open orders is decided line by line, or for
many lines alike."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import App, Parameter

from broker.approvals import Decided, Shown, decide_all, deed_of_all
from broker.principals import Principal
from broker.store import Tx, views
from broker.store.views import DecidedLine, TaskRow
from canonical.errors import Conflict
from canonical.money import minor_digits
from canonical.order import OrderedLine
from ops.cli.numbered import MIN_DIGEST, put_list, required_reason
from ops.cli.output import Column, moment, plural, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Actor, Common, Reading, act, read

# So many lines are shown and decided at a time.
MOST_LINES = 1_000

Reason = Annotated[str, Parameter(help="Why; kept with each decision.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Orders:
    """Which lines of the buyers' work list."""

    change: str = ""
    """Only those of this change."""
    supplier: str = ""
    """Only those of this supplier."""
    plant: str = ""
    """Only those for this plant."""
    item: str = ""
    """Only those of this item."""
    due_within_hours: float | None = None
    """Only those that are due by then; 0 = overdue."""


def add_to(app: App) -> None:
    """The commands are commands of `layshaft task`."""
    app.command(list_orders, name="orders")
    app.command(decide_orders, name="decide-orders")


def list_orders(
    *,
    which: Orders = Orders(),
    decided: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """List the open order lines that buyers have to decide on: their work list.

    Parameters
    ----------
    decided
        Those that were decided on instead, with what their orders say now.
    """
    if decided:
        _list_decided(which, reading)
        return
    rows = read(reading, lambda tx: _work_list(tx, which))
    put_list(
        reading,
        rows,
        [
            (Column("task", is_number=True), lambda t: str(t.id)),
            (Column("change"), lambda t: t.change),
            (Column("order"), lambda t: f"{_line(t).order}/{_line(t).line}"),
            (Column("supplier"), lambda t: _line(t).supplier),
            (Column("plant"), lambda t: _line(t).plant),
            (Column("item"), lambda t: _line(t).item),
            (Column("revision"), lambda t: _line(t).revision),
            (Column("quantity", is_number=True), lambda t: quantity_words(_line(t))),
            (Column("delivery"), lambda t: str(_line(t).on or "")),
            (Column("value", is_number=True), lambda t: value_words(_line(t))),
            (Column("PLM says", is_text=True), lambda t: _line(t).disposition),
            (Column("due (UTC)"), lambda t: moment(t.due_at)),
        ],
        nothing="No open order line waits for a decision.",
        limit=MOST_LINES,
    )
    if rows and not reading.is_json:
        choices = "|".join(sorted({choice for row in rows for choice in row.choices}))
        given = f'--list {_digest_of(rows)[:MIN_DIGEST]} --choice {choices} --reason "..."'
        talk(f"All of these alike: layshaft task decide-orders {options(which)}{given}")


def _list_decided(which: Orders, reading: Reading) -> None:
    if which.due_within_hours is not None:
        raise Problem(
            Exit.USAGE,
            "not-due-any-more",
            "What is decided is not due any more",
            why="--decided and --due-within-hours are both given",
            fix="Leave one of them out",
        )
    rows = read(
        reading,
        lambda tx: views.decided_orders(
            tx, change=which.change, line=_wanted_line(which), limit=MOST_LINES
        ),
    )
    put_list(
        reading,
        rows,
        [
            (Column("task", is_number=True), lambda d: str(d.task)),
            (Column("change"), lambda d: d.change),
            (Column("order"), lambda d: f"{d.order_line.order}/{d.order_line.line}"),
            (Column("supplier"), lambda d: d.order_line.supplier),
            (Column("plant"), lambda d: d.order_line.plant),
            (Column("item"), lambda d: d.order_line.item),
            (Column("decided"), lambda d: d.choice),
            (Column("by"), lambda d: d.by),
            (Column("at (UTC)"), lambda d: moment(d.at)),
            (Column("order now", is_text=True), order_now),
        ],
        nothing="No order line has been decided on.",
        limit=MOST_LINES,
    )


def order_now(decided: DecidedLine) -> str:
    """What the order says of the line by now."""
    words = {
        "unknown": "not on record",
        "as-it-was": "as it was",
        "changed": "changed",
        "gone": "gone",
    }[decided.now]
    heard = decided.is_stated_since or decided.now != "as-it-was"
    return words if heard else f"{words}; not stated since"


def decide_orders(
    *,
    choice: str,
    reason: Reason,
    seen: Annotated[str, Parameter(name="--list")] = "",
    which: Orders = Orders(),
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Decide alike on all lines of a work list: each on record by itself, or none.

    Parameters
    ----------
    choice
        What becomes of them.
    seen
        Digest of the list that was read, from below `task orders`; refused
        without it, and where the list says something else by now.
    """
    why = required_reason(reason)
    given = seen.strip().lower()
    if not given:
        raise Problem(
            Exit.USAGE,
            "digest-missing",
            "A decision names the list that was read",
            why="--list is not given",
            fix="Read it, and copy the command that stands below it: layshaft task orders",
        )
    rows = read(common, lambda tx: _work_list(tx, which))
    known = _digest_of(rows)
    if not rows or len(given) < MIN_DIGEST or not known.startswith(given):
        raise Conflict(
            "content-changed",
            "The list does not say what you read, or the digest is incomplete",
            where=f"you gave {given}, it is {known}",
            remedy="Read it again: layshaft task orders",
        )
    ids = [row.id for row in rows]

    async def work(tx: Tx, who: Principal) -> tuple[str, list[Decided]]:
        shown = [Shown(row.id, row.digest) for row in rows]
        decided = await decide_all(
            tx, shown, verdict="approved", by=who, reason=why, choice=choice.strip()
        )
        return who.name, decided

    name, decided = act(common, actor, lambda tx: deed_of_all(tx, ids, "approved"), work)
    open_still = sum(each.missing > 0 for each in decided)
    screen().line(f"{plural(len(rows), 'order line')}: {choice.strip()} by {name}")
    if open_still:
        talk(f"{plural(open_still, 'line')} take more signatures: layshaft task orders")


async def _work_list(tx: Tx, which: Orders) -> list[TaskRow]:
    """Open questions about order lines, in the order in which they are due."""
    hours = which.due_within_hours
    return await views.order_tasks(
        tx,
        change=which.change,
        line=_wanted_line(which),
        due_within_s=None if hours is None else hours * 3600,
        limit=MOST_LINES,
    )


def _wanted_line(which: Orders) -> dict[str, str]:
    wanted = {"supplier": which.supplier, "plant": which.plant, "item": which.item}
    return {name: value for name, value in wanted.items() if value}


def _digest_of(rows: Sequence[TaskRow]) -> str:
    """Of a work list: of the questions on it, in whatever order."""
    contents = sorted(f"{row.id} {row.digest}" for row in rows)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def _line(task: TaskRow) -> OrderedLine:
    assert task.order_line is not None
    return task.order_line


def quantity_words(line: OrderedLine) -> str:
    """How much is ordered, with its unit."""
    return f"{line.quantity.value:f} {line.quantity.unit}"


def value_words(line: OrderedLine) -> str:
    """What it is worth, with its currency; "" where no price is stated for its unit."""
    if line.value is None:
        return ""
    return f"{line.value.amount:.{minor_digits(line.value.currency)}f} {line.value.currency}"


def options(which: Orders) -> str:
    """The options that narrow a list so, each with a blank behind it."""
    hours = which.due_within_hours
    given = (
        ("--change", which.change),
        ("--supplier", which.supplier),
        ("--plant", which.plant),
        ("--item", which.item),
        ("--due-within-hours", "" if hours is None else f"{hours:g}"),
    )
    return "".join(f"{name} {shlex.quote(value)} " for name, value in given if value)
