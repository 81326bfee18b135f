"""What targets hold although nobody plans it any more: one case a ledger, one decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.ledger import LEFT_BEHIND, LedgerStep, Move, current
from broker.store import Tx
from broker.store import casebook as case_rows
from broker.store import ledgers as ledger_rows
from broker.store import steps as step_rows
from broker.store.casebook import Case
from broker.store.ledgers import Ledger
from canonical.effects import parts_of_identity

CODE = "left-behind"
# So many are named in the case; all of them stand in the ledger.
NAMED = 10
# Ledgers of this kind are called by their number.
CHANGES = "engineering-change/"

_GONE = ("cancelled", "superseded")


def undecided(steps: Sequence[LedgerStep], moves: Sequence[Move] = ()) -> tuple[LedgerStep, ...]:
    """In the order of the ledger, what was done, is not planned any more, and of which nobody has
    said yet that it stays, once these moves are made."""
    after = {move.step.id: move for move in moves}
    found = [
        *(step for step in steps if _is_left(step) and step.id not in after),
        *(move.step for move in moves if _is_left(move)),
    ]
    # What is undone is answered, and what is about to be; an undo that is cancelled undid nothing.
    undone = {step.undoes for step in steps if step.undoes and _state(step, after) not in _GONE}
    found = [step for step in found if step.id not in undone]
    if not found:
        return ()
    latest = current(steps)
    # What is planned again is nobody's question any more, nor what a later form has overwritten.
    gone = [s for s in found if _state(latest[s.identity], after) in _GONE]
    last: dict[str, int] = {}
    for step in (*gone, *filter(_was_left, steps)):
        last[step.identity] = max(step.generation, last.get(step.identity, 0))
    gone = [step for step in gone if step.generation == last[step.identity]]
    return tuple(sorted(gone, key=lambda step: step.id))


def _is_left(step: LedgerStep | Move) -> bool:
    return step.state == "superseded" and step.reason == LEFT_BEHIND


def _was_left(step: LedgerStep) -> bool:
    """Whether it is left behind, decided on or not."""
    return step.state == "superseded" and step.reason.startswith(LEFT_BEHIND)


def _state(step: LedgerStep, after: Mapping[int, Move]) -> str:
    return after[step.id].state if step.id in after else step.state


async def tell(
    tx: Tx,
    ledger: Ledger,
    before: Sequence[LedgerStep],
    now: Sequence[LedgerStep],
    *,
    by: str = "a newer plan",
) -> None:
    """The case of the ledger lists what is left behind now; there is none where nothing is.

    before: what it listed. by: who closes it then. The caller holds the ledger's row.
    """
    if [step.id for step in before] == [step.id for step in now]:
        return
    if now:
        await case_rows.open_cases(tx, [case_of(ledger, now)])
    else:
        await case_rows.close_cases(tx, about=place_of(ledger.key), ledger_key=ledger.key, by=by)


async def decide(tx: Tx, ledger_id: int, *, by: str, reason: str) -> None:
    """A person has decided on everything that the ledger has left behind: it stays as it is."""
    await ledger_rows.lock_ledgers(tx, [ledger_id])
    steps = (await step_rows.load_steps(tx, [ledger_id]))[ledger_id]
    await step_rows.move_steps(
        tx,
        [
            Move(step, step.state, f"{LEFT_BEHIND}; left so by {by}: {reason}")
            for step in undecided(steps)
        ],
    )


def case_of(ledger: Ledger, steps: Sequence[LedgerStep]) -> Case:
    """The case about these steps."""
    rest = f" and {len(steps) - NAMED} more" if len(steps) > NAMED else ""
    names = ", ".join(_name(step) for step in steps[:NAMED])
    can = sum(step.can_undo for step in steps)
    undo = f"layshaft change undo {ledger.key.removeprefix(CHANGES)}"
    were = "1 step was done and is" if len(steps) == 1 else f"{len(steps)} steps were done and are"
    return Case(
        code=CODE,
        word="business_rule",
        what=f"{were} no longer part of the plan: {names}{rest}",
        place=place_of(ledger.key),
        remedy=f"Decide whether the targets keep it. {_can_be_undone(can, len(steps))}, each with"
        f" what that changes or why not: {undo}. What stays, stays by closing the case."
        f" All of it: layshaft change show {ledger.key}",
        owner="engineering",
        key=ledger.key,
        ledger_key=ledger.key,
    )


def _can_be_undone(can: int, of: int) -> str:
    if can == 0:
        return "None of it can be undone from here"
    return "It can be undone" if of == 1 else f"{can} of {of} can be undone"


def place_of(ledger_key: str) -> str:
    """Where the case of a ledger says that it is."""
    return f"{ledger_key}: what is left behind"


def _name(step: LedgerStep) -> str:
    parts = parts_of_identity(step.identity)
    plant = f" of plant {parts.plant}" if parts.plant else ""
    return f"{parts.verb} {parts.object_kind} {parts.object_id}{plant} at {parts.system}"
