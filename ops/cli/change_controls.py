"""`layshaft change pause|resume|skip|restart|cancel|undo`: people steer what is done for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from broker import controls as work
from broker.controls import Steered
from broker.ledger import LedgerStep
from broker.principals import Action, Principal
from broker.store import Tx, views
from broker.store import steering as rows
from broker.store.ledgers import Ledger
from canonical.effects import parts_of_identity
from ops.cli.numbered import required_reason
from ops.cli.output import plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem, not_found
from ops.cli.session import Actor, Common, Reading, act, configuration, read, subscriptions
from ops.cli.wording import change_words
from ops.undo_status import UndoStatus, UndoStep, undo_status

Reason = Annotated[str, Parameter(help="Why; kept.")]


def add_to(app: App) -> None:
    """The commands are commands of `layshaft change`."""
    app.command(pause_changes, name="pause")
    app.command(resume_changes, name="resume")
    app.command(replan_changes, name="replan")
    app.command(skip_step, name="skip")
    app.command(restart_step, name="restart")
    app.command(cancel_changes, name="cancel")
    app.command(undo_change, name="undo")


def pause_changes(
    *numbers: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let nothing more of these changes begin; what is under way ends.

    They are planned anew as ever when something newer is known, and go on by `change resume`.

    Parameters
    ----------
    numbers
        Numbers of changes, e.g. ECO-2001. All of them are paused, or none.
    """
    why = required_reason(reason)
    _require(common, numbers)

    async def paused(tx: Tx, who: Principal) -> tuple[str, list[Steered]]:
        return who.name, await work.pause(tx, numbers=numbers, by=who.name, reason=why)

    name, done = act(common, actor, lambda tx: work.deed(tx, "change-pause", numbers), paused)
    for each in done:
        steps = plural(each.changed, "step")
        screen().line(f"{number_of(each.key)} paused by {name}: {steps} held")
        _tell_under_way(each)
    talk(f'To let go on: layshaft change resume {" ".join(numbers)} --reason "..."')


def resume_changes(
    *numbers: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let changes that are paused go on, as if they had never been.

    Parameters
    ----------
    numbers
        Numbers of changes, e.g. ECO-2001. All of them go on, or none.
    """
    why = required_reason(reason)
    _require(common, numbers)

    async def resumed(tx: Tx, who: Principal) -> tuple[str, list[Steered]]:
        return who.name, await work.resume(tx, numbers=numbers, by=who.name, reason=why)

    name, done = act(common, actor, lambda tx: work.deed(tx, "change-resume", numbers), resumed)
    for each in done:
        steps = plural(each.changed, "step")
        screen().line(f"{number_of(each.key)} resumed by {name}: {steps} may go on")


def replan_changes(
    *numbers: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Agree that changes are planned otherwise: by a newer version, or by other rules, which wait
    for that (case planned-otherwise).

    What it would change: layshaft plan NUMBER.

    Parameters
    ----------
    numbers
        Numbers of changes, e.g. ECO-2001. All of them are planned anew, or none.
    """
    why = required_reason(reason)
    _require(common, numbers)

    async def replanned(tx: Tx, who: Principal) -> tuple[str, list[Ledger]]:
        now = datetime.now(UTC)
        return who.name, await work.replan(tx, numbers=numbers, by=who.name, reason=why, now=now)

    name, done = act(common, actor, lambda tx: work.deed(tx, "change-replan", numbers), replanned)
    for ledger in done:
        screen().line(f"{number_of(ledger.key)} is planned anew, as {name} agrees")


def skip_step(
    number: str,
    /,
    *steps: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Leave steps out: they are not made, and what stands behind them goes on.

    Planned again with the same content they stay left out.

    Parameters
    ----------
    number
        Number of the change, e.g. ECO-2001.
    steps
        Numbers of steps, from `change show --all`, or their identities. All of them, or none.
    """
    # That a call is skipped is told to those who subscribe.
    told = subscriptions(common)
    name, done = _on_steps(common, actor, "change-skip", number, steps, reason, work.skip, told)
    for each in done:
        _tell_step(each, f"skipped by {name}")
    _tell_others(done)


def restart_step(
    number: str,
    /,
    *steps: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Have steps and everything that follows them run anew; what is true already is not written.

    Parameters
    ----------
    number
        Number of the change, e.g. ECO-2001.
    steps
        Numbers of steps, from `change show --all`, or their identities. All of them, or none.
    """
    # By its calendars what is asked again has its time anew.
    restart = partial(work.restart, rules=configuration(common).rules, now=datetime.now(UTC))
    name, done = _on_steps(common, actor, "change-restart", number, steps, reason, restart)
    for each in done:
        _tell_step(each, f"restarted by {name}")
    _tell_others(done)


def cancel_changes(
    *numbers: str,
    reason: Reason,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Take changes back: nothing more of them is done, and of what is done a case asks whether it
    stays.

    A newer statement of its source plans a change anew.

    Parameters
    ----------
    numbers
        Numbers of changes, e.g. ECO-2001. All of them are taken back, or none.
    """
    why = required_reason(reason)
    told = subscriptions(common)
    _require(common, numbers)

    async def cancelled(tx: Tx, who: Principal) -> tuple[str, list[Steered]]:
        now = datetime.now(UTC)
        return who.name, [
            await work.cancel(tx, number=number, by=who.name, reason=why, now=now)
            for number in dict.fromkeys(numbers)
        ]

    name, done = act(
        common,
        actor,
        lambda tx: work.deed(tx, "change-cancel", numbers),
        cancelled,
        subscribed=told,
    )
    for each in done:
        steps = plural(each.changed, "step")
        screen().line(f"{number_of(each.key)} cancelled by {name}: {steps} ended")
        _tell_under_way(each)
        talk(f"What is left of it: layshaft change show {number_of(each.key)}")


class UndoRow(msgspec.Struct, frozen=True):
    """An `UndoStep`; changes: in words."""

    step: int
    identity: str
    changes: tuple[str, ...] = ()
    is_under_way: bool = False
    why_not: str = ""


class UndoView(msgspec.Struct, frozen=True):
    """What `change undo` prints without a reason. mark: what `--shown` takes; "" = nothing can be
    undone."""

    key: str
    mark: str
    undone: tuple[UndoRow, ...]
    left: tuple[UndoRow, ...]


def undo_change(
    number: str,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; kept.")] = "",
    shown: Annotated[str, Parameter(help="Mark of what was shown; without it, look only.")] = "",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Show what of a change is left behind and can be undone; with --shown and --reason, undo it.

    Undone is what the change did and no longer plans, in the reverse of its order, and only where
    the target still holds exactly that.

    Parameters
    ----------
    number
        Number of the change, e.g. ECO-2001.
    """
    _require(reading, [number])
    if not shown and not reason:
        found = read(reading, lambda tx: work.undoable(tx, number=number))
        view = _undo_view(undo_status(found))
        if reading.is_json:
            put_json(view)
        else:
            _print_undo(view)
        return
    if not shown:
        raise Problem(
            Exit.USAGE,
            "shown-missing",
            "What is to be undone was not looked at",
            why="--shown names what a person has seen",
            fix=f"Look first: layshaft change undo {number}",
        )
    why = required_reason(reason)
    told, rules = subscriptions(reading), configuration(reading).rules

    async def undone(tx: Tx, who: Principal) -> tuple[str, Steered]:
        done = await work.undo(
            tx,
            number=number,
            shown=shown.strip(),
            by=who.name,
            reason=why,
            rules=rules,
            now=datetime.now(UTC),
        )
        return who.name, done

    name, done = act(
        reading,
        actor,
        lambda tx: work.deed(tx, "change-undo", [number]),
        undone,
        subscribed=told,
    )
    steps = plural(done.changed, "step")
    screen().line(f"{number_of(done.key)}: {steps} to be undone, wanted by {name}")
    _tell_under_way(done)
    talk(f"How far it is: layshaft change show {number_of(done.key)}")


def _undo_view(found: UndoStatus) -> UndoView:
    return UndoView(
        key=found.key,
        mark=found.mark,
        undone=tuple(map(_undo_row, found.undone)),
        left=tuple(map(_undo_row, found.left)),
    )


def _undo_row(step: UndoStep) -> UndoRow:
    changes = tuple(change_words(change) for change in step.changes)
    return UndoRow(step.step, step.identity, changes, step.is_under_way, step.why_not)


def _print_undo(view: UndoView) -> None:
    page, name = screen(), number_of(view.key)
    if not view.undone and not view.left:
        page.line(f"Nothing of {name} is left behind.")
        return
    if view.undone:
        page.line(f"To be undone  {len(view.undone)}", style="bold")
    for row in view.undone:
        page.line(f"{row.step}  {identity_words(row.identity)}")
        if row.is_under_way:
            page.line("    it is at its target: undone once it has ended, if it was applied")
        for change in row.changes:
            page.line(f"    {change}")
    if view.left:
        page.line(f"Left to people  {len(view.left)}", style="bold")
    for row in view.left:
        page.line(f"{row.step}  {identity_words(row.identity)}")
        page.line(f"    {row.why_not}")
    if view.mark:
        talk(f'To undo this: layshaft change undo {name} --shown {view.mark} --reason "..."')


def _on_steps(
    common: Common,
    actor: Actor,
    action: Action,
    number: str,
    steps: Sequence[str],
    reason: str,
    steer: Callable[..., Awaitable[Steered]],
    told: Collection[str] = (),
) -> tuple[str, list[Steered]]:
    """Who did it, and what it came to; in one transaction."""
    why, named = required_reason(reason), list(dict.fromkeys(step.strip() for step in steps))
    if not named:
        raise Problem(
            Exit.USAGE,
            "step-missing",
            "Which step is not said",
            why="no step is named",
            fix=f"Name one or more. See: layshaft change show {number} --all",
        )
    _require(common, [number])

    async def acted(tx: Tx, who: Principal) -> tuple[str, list[Steered]]:
        return who.name, [
            await steer(tx, number=number, step=step, by=who.name, reason=why) for step in named
        ]

    return act(
        common,
        actor,
        lambda tx: work.deed(tx, action, [number], named),
        acted,
        subscribed=told,
    )


def _require(common: Common, numbers: Sequence[str]) -> None:
    """All of them are changes.

    Raises: Problem, with numbers that may have been meant.
    """
    if not numbers:
        raise Problem(
            Exit.USAGE,
            "change-missing",
            "Which change is not said",
            why="no number is given",
            fix="Name one or more, e.g. ECO-2001. See: layshaft change list",
        )
    found = read(common, lambda tx: rows.ids_of(tx, numbers))
    for number in numbers:
        if number not in found:
            raise not_found("change", number, read(common, views.known_numbers)["change"])


def _tell_step(done: Steered, what: str) -> None:
    assert done.step is not None
    screen().line(f"Step {done.step.id} of {number_of(done.key)} {what}: {_words(done.step)}")


def _tell_others(done: Sequence[Steered]) -> None:
    if others := sum(each.changed for each in done) - len(done):
        name = number_of(done[0].key)
        talk(f"{plural(others, 'step')} behind it moved too: layshaft change show {name}")


def _tell_under_way(done: Steered) -> None:
    if done.under_way:
        calls = plural(done.under_way, "call")
        talk(f"{calls} of {number_of(done.key)} under way will still come to an end.")


def number_of(key: str) -> str:
    """How a person names the ledger: by its number where that is enough, else by its key."""
    return key.removeprefix("engineering-change/")


def _words(step: LedgerStep) -> str:
    return identity_words(step.identity)


def identity_words(identity: str) -> str:
    """What the step of that identity does, for a person."""
    parts = parts_of_identity(identity)
    plant = f" of plant {parts.plant}" if parts.plant else ""
    return f"{parts.verb} {parts.object_kind} {parts.object_id}{plant} at {parts.system}"
