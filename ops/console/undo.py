"""The page of what a change left behind: what an undo would change, what is left to people, and the
deed itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import msgspec
from aiohttp import web

from broker import controls, left_behind
from broker.principals import Principal, Refused
from broker.store import Tx
from broker.store.views import snapshot
from canonical.effects import StepParts, parts_of_identity
from canonical.errors import Conflict, Failure, Rejected
from ops.cli.change_controls import number_of
from ops.cli.output import plural
from ops.cli.problems import problem_of
from ops.console import acting
from ops.console.change_view import forbidden
from ops.console.changes import IN_LOOP, RULES, address, number_in, seen, status_in
from ops.console.guards import READING
from ops.console.pages import SIGNED, Trouble, answer, trouble_of
from ops.undo_status import UndoStatus, UndoStep, undo_status

# What more there is, is counted.
STEPS_SHOWN = 100
_TYPED = ("reason", "typed")


class Shown(msgspec.Struct, frozen=True):
    """A step as the page shows it. about: what it wrote, and where."""

    step: UndoStep
    about: StepParts


async def page(request: web.Request) -> web.Response:
    """What would be undone now, and what is left to people; nothing is changed by looking."""
    return await _shown(request)


async def undo(request: web.Request) -> web.StreamResponse:
    """What was shown is undone, where they may."""
    number = number_in(request)
    try:
        why, shown = await acting.reason(request), await acting.field(request, "shown")
        typed = await acting.field(request, "typed")

        async def work(tx: Tx, who: Principal) -> str:
            # The ledger is locked since the deed was described: what is found is what is undone.
            found = (await controls.undoable(tx, number=number)).undos
            if shown == found.mark:
                acting.require_typed(len(found.undos), typed, "steps")
            done = await controls.undo(
                tx,
                number=number,
                shown=shown,
                by=who.name,
                reason=why,
                rules=request.app[RULES],
                now=datetime.now(UTC),
            )
            undone = plural(len(found.undos), "step")
            said = f"{number}: {undone} to be undone, wanted by {who.name}"
            if done.under_way:
                said += f"; {plural(done.under_way, 'call')} under way will come to an end first"
            return said

        describe = partial(controls.deed, action="change-undo", numbers=[number])
        return await acting.act(request, describe, work, back=address(number))
    except (Rejected, Conflict) as failure:
        return await _shown(request, failure)


async def _shown(request: web.Request, failure: Failure | None = None) -> web.Response:
    """The page; failure: why nothing was undone just now."""
    who, number = request[SIGNED].who, number_in(request)
    async with snapshot(request.app[READING]) as tx:
        plants = await seen(tx, number, who)
        status, _ = await status_in(tx, number)
        found = await controls.undoable(tx, number=number)
    view = await _in_words(found)
    trouble = _trouble(failure) if failure else None
    place = left_behind.place_of(status.key)
    return answer(
        request,
        "undo.html",
        code=403 if isinstance(failure, Refused) else trouble.status if trouble else 200,
        status=status,
        name=number_of(status.key),
        base=address(number),
        view=view,
        undone=tuple(map(_step, view.undone[:STEPS_SHOWN])),
        left=tuple(map(_step, view.left[:STEPS_SHOWN])),
        case=next((case.id for case in status.open_cases if case.place == place), 0),
        forbidden=forbidden(who, "change-undo", plants),
        must_type=len(view.undone) > acting.TYPED_OVER,
        typed=await acting.filled_in(request, _TYPED) if failure else dict.fromkeys(_TYPED, ""),
        trouble=trouble,
    )


def _trouble(failure: Failure) -> Trouble:
    # Whoever owns what has changed meanwhile: it is for the one who wants it undone to look again.
    turn = "you" if isinstance(failure, Conflict) else failure.owner
    found = trouble_of(problem_of(failure), turn)
    if failure.code != "not-as-shown":
        return found
    # The command names the mark that it was given; a page has shown what it stands for.
    return msgspec.structs.replace(
        found,
        what="What would be undone has changed since it was shown",
        do="Read what would be undone now, and send the form again",
    )


async def _in_words(found: controls.Shown) -> UndoStatus:
    if len(found.contents) > IN_LOOP:
        return await asyncio.to_thread(undo_status, found)
    return undo_status(found)


def _step(step: UndoStep) -> Shown:
    return Shown(step, parts_of_identity(step.identity))
