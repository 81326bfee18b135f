"""What people do to changes: pause and resume them, agree to another plan, skip a step, have one
run anew, cancel, undo what is left behind.

Each takes the ledgers' row locks before anything else, several in the order of their ids, and is on
record with what was before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from broker import book, consent, steering, step_ends
from broker.application import plan_anew
from broker.ledger import AT_TARGET, LedgerStep, due
from broker.left_behind import undecided
from broker.principals import Action, Deed
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import connection as connection_rows
from broker.store import ledgers as ledger_rows
from broker.store import messages as message_rows
from broker.store import steering as rows
from broker.store import steps as step_rows
from broker.store.ledgers import Ledger, Woken
from broker.store.messages import Note
from broker.undo import Undos, undos_of
from canonical.effects import Finding, Plan, parts_of_identity
from canonical.errors import Conflict, Rejected
from canonical.operations import Operation
from canonical.rules import Rules

# A plan of very many steps has its ledger longer than this: then the command is given again.
LEDGER_S = 15


class Steered(msgspec.Struct, frozen=True):
    """What a command came to, for the person who gave it.

    step: that it was about, as it was before. changed: steps that are in another state now, or have
    a newer form. under_way: calls at their targets, which come to their end.
    """

    key: str
    changed: int
    under_way: int
    step: LedgerStep | None = None


async def deed(tx: Tx, action: Action, numbers: Sequence[str], steps: Sequence[str] = ()) -> Deed:
    """What steering these changes takes: their plants, or those of the steps that are skipped. All
    of them are locked from then on.

    Raises: Rejected("not-found").
    """
    ledgers = await _lock(tx, numbers)
    plants = await rows.plants_of(tx, [ledger.id for ledger in ledgers])
    if action == "change-skip":
        there = await _steps(tx, ledgers[0])
        named = [steering.named(there, step) for step in steps]
        own = {parts_of_identity(step.identity).plant for step in named}
        plants = tuple(sorted(own)) if all(own) else plants
    return Deed(
        action=action,
        subject=", ".join(ledger.key for ledger in ledgers),
        correlation_id=ledgers[0].correlation_id,
        plants=plants,
    )


async def pause(tx: Tx, *, numbers: Sequence[str], by: str, reason: str) -> list[Steered]:
    """Nothing of these changes begins any more, all of them or none: what is ready or becomes so is
    held, and what is at a target comes to its end.

    Raises: Rejected("not-found"); Conflict("not-open") or Conflict("paused") naming the change.
    """
    ledgers = await _lock(tx, numbers)
    for ledger in ledgers:
        _require_open(ledger)
        if ledger.paused:
            raise Conflict(
                "paused",
                f"{ledger.key} is {ledger.paused}",
                where=ledger.key,
                remedy="Nothing was changed; leave that one out",
            )
    await rows.set_pauses(tx, [ledger.id for ledger in ledgers], by=by, reason=reason)
    locked = await ledger_rows.lock_ledgers(tx, [ledger.id for ledger in ledgers])
    paused = [locked[ledger.id] for ledger in ledgers]
    return await _moved_on(tx, paused, "change-paused", by, reason, ("open", "paused"))


async def resume(tx: Tx, *, numbers: Sequence[str], by: str, reason: str) -> list[Steered]:
    """These changes go on as if they had never been paused, all of them or none.

    Raises: Rejected("not-found"); Conflict("not-paused") naming the change.
    """
    ledgers = await _lock(tx, numbers)
    for ledger in ledgers:
        if not ledger.paused:
            raise Conflict(
                "not-paused",
                f"{ledger.key} is not paused",
                where=ledger.key,
                remedy="Nothing was changed; leave that one out",
            )
    await rows.clear_pauses(tx, [ledger.id for ledger in ledgers])
    locked = await ledger_rows.lock_ledgers(tx, [ledger.id for ledger in ledgers])
    free = [locked[ledger.id] for ledger in ledgers]
    return await _moved_on(tx, free, "change-resumed", by, reason, ("paused", "open"))


async def replan(
    tx: Tx, *, numbers: Sequence[str], by: str, reason: str, now: datetime
) -> list[Ledger]:
    """These changes are planned anew by the planner that asks whether it may, all of them or none;
    as they were.

    Raises: Rejected("not-found"); Conflict("not-asked") naming the change.
    """
    ledgers = await _lock(tx, numbers)
    for ledger in ledgers:
        if not ledger.asked_planner:
            raise Conflict(
                "not-asked",
                f"{ledger.key} waits for nobody's consent",
                where=ledger.key,
                remedy="Nothing was changed; leave that one out",
            )
    for ledger in ledgers:
        await ledger_rows.consent(tx, ledger.id)
        await case_rows.close_cases(
            tx, about=consent.place_of(ledger.key), ledger_key=ledger.key, by=by
        )
        note = Note(
            by,
            "replan-consented",
            ledger.key,
            ledger.correlation_id,
            {"reason": reason},
            before={"planner": ledger.planner},
            after={"planner": ledger.asked_planner},
        )
        await message_rows.write_audit(tx, [note])
    await plan_anew(tx, [_woken(ledger, by) for ledger in ledgers], now)
    return ledgers


def _woken(ledger: Ledger, by: str) -> Woken:
    return Woken(
        subscription=ledger.subscription,
        scope=ledger.scope,
        key=ledger.key,
        lane=ledger.lane,
        ledger_id=ledger.id,
        position=ledger.position,
        why=f"{by} agrees to what a newer planner changes",
    )


async def skip(tx: Tx, *, number: str, step: str, by: str, reason: str) -> Steered:
    """The step, by its id or identity, is not made; what stands behind it goes on. Planned again
    with the same content it stays skipped.

    An undo can be skipped in a change that is being cancelled too: what it is about stays.
    Raises: Rejected("not-found"), Rejected("approval-not-skipped"); Conflict("not-open"),
    Conflict("not-current"), Conflict("at-target") or Conflict("settled").
    """
    (ledger,) = await _lock(tx, [number])
    steps = await _steps(tx, ledger)
    chosen = steering.named(steps, step)
    if not (chosen.undoes and ledger.state == "open"):
        _require_open(ledger)
    move = steering.skip(chosen, f"skipped by {by}: {reason}")
    await step_rows.move_steps(tx, [move])
    await step_ends.tell_moves(tx, [(ledger, [move])])
    await _close_failure(tx, ledger, [chosen], by)
    await book.advance(tx, [ledger])
    await _write_audit(
        tx, ledger, "step-skipped", by, reason, (chosen.state, "skipped"), step=chosen
    )
    return await _steered(tx, ledger, steps, chosen)


async def restart(
    tx: Tx, *, number: str, step: str, by: str, reason: str, rules: Rules, now: datetime
) -> Steered:
    """The step, by its id or identity, and what follows it run anew (broker.steering.restart).

    What is true at its target is seen there and not written again. What is repeated has all its
    time from now on, by the calendars of these rules; the others are as late as they were.
    Raises: Rejected("not-found"); Conflict("not-open"), Conflict("not-current"),
    Conflict("at-target") or Conflict("not-run").
    """
    (ledger,) = await _lock(tx, [number])
    if ledger.ends_as == "cancelled":
        raise _ended(ledger)
    steps = await _steps(tx, ledger)
    chosen = steering.named(steps, step)
    again = steering.restart(steps, chosen)
    note = f"run anew by {by}: {reason}"
    await rows.return_steps(tx, again.returns, note)
    repeats = [(s, due(s.due_s, rules.calendar(s.calendar), now)) for s in again.repeats]
    await rows.repeat_steps(tx, ledger.id, repeats, note)
    await _close_failure(tx, ledger, (*again.returns, *again.repeats), by)
    if ledger.state != "open":
        await rows.reopen(tx, ledger.id)
        ledger = msgspec.structs.replace(ledger, state="open")
    await book.advance(tx, [ledger])
    anew = [s.identity for s in (*again.returns, *again.repeats)]
    await _write_audit(
        tx, ledger, "step-restarted", by, reason, (chosen.state, "waiting"), step=chosen, anew=anew
    )
    return await _steered(tx, ledger, steps, chosen)


async def cancel(tx: Tx, *, number: str, by: str, reason: str, now: datetime) -> Steered:
    """The change is a plan of nothing, and ends as cancelled: what was not sent is cancelled, what
    is at a target is decided on when it comes back, of what is done a case asks whether it stays.
    A newer statement of its source plans it anew.

    Raises: Rejected("not-found"), Conflict("not-open").
    """
    (ledger,) = await _lock(tx, [number])
    _require_open(ledger)
    steps = await _steps(tx, ledger)
    what = f"{ledger.key.partition('/')[2]} was cancelled by {by}: {reason}"
    plan = Plan(
        key=ledger.key,
        version=ledger.version,
        title=ledger.title,
        steps=(),
        findings=(Finding("change-cancelled", ledger.key, what, "info", "engineering"),),
        cancels=True,
    )
    await book.apply_plans(tx, [book.Planned(plan, _origin(ledger), by=by)], now)
    # What only its plan said is not said any more.
    await case_rows.close_unsaid_cases(tx, {ledger.key: []})
    await _write_audit(tx, ledger, "change-cancelled", by, reason, ("open", "cancelled"))
    return await _steered(tx, ledger, steps, None)


class Shown(msgspec.Struct, frozen=True):
    """What would be undone of a change, and what each of these steps wrote and found before, by
    id, as far as that is on record."""

    key: str
    undos: Undos
    contents: dict[int, tuple[Operation, Operation]]


async def undoable(tx: Tx, *, number: str) -> Shown:
    """What `undo` would do now. Locks nothing.

    Raises: Rejected("not-found").
    """
    (ledger_id,) = (await _ids(tx, [number])).values()
    key, steps = await rows.read_ledger(tx, ledger_id)
    found = undos_of(steps, await rows.needed_steps(tx, ledger_id))
    return Shown(key, found, await rows.contents(tx, [undo.step.id for undo in found.undos]))


async def undo(
    tx: Tx, *, number: str, shown: str, by: str, reason: str, rules: Rules, now: datetime
) -> Steered:
    """What the change did, is left behind and can be put back is put back: one more form of each
    such step, in the reverse of their order. What is under way ends first.

    shown: the mark of what the person saw (`undoable`). Each has all its time from now on, by the
    calendars of these rules.
    Raises: Rejected("not-found"); Conflict("nothing-to-undo"); Conflict("not-as-shown").
    """
    (ledger,) = await _lock(tx, [number])
    steps = await _steps(tx, ledger)
    found = undos_of(steps, await rows.needed_steps(tx, ledger.id))
    name = ledger.key.partition("/")[2]
    if not found.undos:
        raise Conflict(
            "nothing-to-undo",
            f"Nothing of {ledger.key} can be undone",
            where=ledger.key,
            remedy=f"See what is left behind, and why: layshaft change undo {name}",
        )
    if shown != found.mark:
        raise Conflict(
            "not-as-shown",
            f"What would be undone is not what {shown!r} stands for",
            where=ledger.key,
            remedy=f"Look again: layshaft change undo {name}",
        )
    note = f"undo, wanted by {by}: {reason}"
    made = [(u, due(u.step.due_s, rules.calendar(u.step.calendar), now)) for u in found.undos]
    await rows.insert_undos(tx, ledger.id, made, note)
    await rows.reopen(tx, ledger.id)
    await book.advance(
        tx,
        [msgspec.structs.replace(ledger, state="open")],
        behind={ledger.id: undecided(steps)},
        by=by,
    )
    await _write_audit(
        tx,
        ledger,
        "change-undone",
        by,
        reason,
        (ledger.state, "open"),
        anew=[each.step.identity for each in found.undos],
    )
    return await _steered(tx, ledger, steps, None)


async def _ids(tx: Tx, numbers: Sequence[str]) -> dict[str, int]:
    """Ids of the ledgers, by what the person calls them. Raises: Rejected("not-found")."""
    ids = await rows.ids_of(tx, numbers)
    if unknown := [number for number in numbers if number not in ids]:
        raise Rejected(
            "not-found",
            f"There is no change {unknown[0]!r}",
            where="no change of this database has that number",
            remedy="See: layshaft change list",
        )
    return ids


async def _lock(tx: Tx, numbers: Sequence[str]) -> list[Ledger]:
    """The ledgers of these changes, locked in id order."""
    ids = await _ids(tx, numbers)
    await connection_rows.wait_for_locks(tx, LEDGER_S)
    locked = await ledger_rows.lock_ledgers(tx, ids.values())
    return [locked[ledger_id] for ledger_id in sorted(locked)]


async def _steps(tx: Tx, ledger: Ledger) -> list[LedgerStep]:
    return (await step_rows.load_steps(tx, [ledger.id]))[ledger.id]


async def _moved_on(
    tx: Tx,
    ledgers: Sequence[Ledger],
    action: str,
    by: str,
    reason: str,
    states: tuple[str, str],
) -> list[Steered]:
    """The ledgers have moved as far as they can under their new rule, on record."""
    before = await step_rows.load_steps(tx, [ledger.id for ledger in ledgers])
    await book.advance(tx, ledgers)
    done = []
    for ledger in ledgers:
        await _write_audit(tx, ledger, action, by, reason, states)
        done.append(await _steered(tx, ledger, before[ledger.id], None))
    return done


async def _steered(
    tx: Tx, ledger: Ledger, before: Sequence[LedgerStep], step: LedgerStep | None
) -> Steered:
    after = await _steps(tx, ledger)
    was = {s.id: s.state for s in before}
    return Steered(
        key=ledger.key,
        changed=sum(was.get(s.id) != s.state for s in after),
        under_way=sum(s.state in AT_TARGET for s in after),
        step=step,
    )


async def _close_failure(tx: Tx, ledger: Ledger, steps: Sequence[LedgerStep], by: str) -> None:
    """That these have failed is nobody's turn any more."""
    for step in steps:
        if step.state == "failed":
            await case_rows.close_cases(tx, about=step.identity, ledger_key=ledger.key, by=by)


def _require_open(ledger: Ledger) -> None:
    if ledger.state != "open" or ledger.ends_as == "cancelled":
        raise _ended(ledger)


def _ended(ledger: Ledger) -> Conflict:
    state = ledger.ends_as if ledger.ends_as == "cancelled" else ledger.state
    remedies = {
        "cancelled": "A newer statement of its source plans it anew",
        "complete": "What is true stays so; a step of it can run anew: layshaft change restart",
    }
    return Conflict(
        "not-open", f"{ledger.key} is {state}", where=ledger.key, remedy=remedies[state]
    )


def _origin(ledger: Ledger) -> book.Origin:
    return book.Origin(
        subscription=ledger.subscription,
        scope=ledger.scope,
        source=ledger.source,
        message_id="",
        correlation_id=ledger.correlation_id,
        lane=ledger.lane,
        position=ledger.position,
    )


async def _write_audit(
    tx: Tx,
    ledger: Ledger,
    action: str,
    by: str,
    reason: str,
    states: tuple[str, str],
    *,
    step: LedgerStep | None = None,
    anew: Sequence[str] = (),
) -> None:
    detail: dict[str, object] = {"reason": reason}
    if step is not None:
        detail |= {"step": step.id, "identity": step.identity}
    if anew:
        detail["anew"] = anew
    before, after = ({"state": state} for state in states)
    note = Note(by, action, ledger.key, ledger.correlation_id, detail, before=before, after=after)
    await message_rows.write_audit(tx, [note])
