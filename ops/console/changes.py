"""The pages of one change: where it stands, its steps, its history; and what people do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import cast
from urllib.parse import quote

from aiohttp import web

from broker import controls
from broker.controls import Steered
from broker.principals import Action, Principal, may_see
from broker.store import Database, Tx, traces, views
from broker.store import steering as steering_rows
from broker.store.change_list import STAGE_WORDS
from broker.store.progress import progress
from broker.store.views import STEPS_LIMIT, StepCount, snapshot
from canonical.rules import Rules
from ops.change_status import ChangeStatus, status_of, with_paces
from ops.cli.output import plural
from ops.cli.problems import not_found
from ops.cli.trace import KINDS, rows, stories, told_by_calls
from ops.console import acting
from ops.console.change_view import (
    ChangePage,
    can_undo,
    forbidden,
    page_of,
    stated_at,
    steers,
    step_steers,
    why_not_steered,
)
from ops.console.guards import READING
from ops.console.live import LIVE
from ops.console.pages import SIGNED, Pages, answer

# More steps than this are put into words beside the loop, which others wait for.
IN_LOOP = 300
HISTORY_ROWS = 500
_ON_CHANGE: Mapping[str, Action] = {
    "pause": "change-pause",
    "resume": "change-resume",
    "cancel": "change-cancel",
}
_ON_STEP: Mapping[str, Action] = {"skip": "change-skip", "restart": "change-restart"}
RULES: web.AppKey[Rules] = web.AppKey("rules", Rules)


async def page(request: web.Request) -> web.Response:
    """Where the change stands."""
    number = number_in(request)
    async with snapshot(request.app[READING]) as tx:
        plants = await seen(tx, number, request[SIGNED].who)
        shown = await _page(tx, number)
    return answer(
        request,
        "change.html",
        page=shown,
        base=address(number),
        stages=STAGE_WORDS,
        said=await acting.said(request),
        steers=steers(shown.status),
        why_not=why_not_steered(shown.status),
        can_undo=can_undo(shown.status),
        stated_at=stated_at(shown.status.version),
        forbidden=forbidden(request[SIGNED].who, "change-pause", plants),
    )


async def stream(request: web.Request) -> web.StreamResponse:
    """The part of the page that changes, each time that it does."""
    number = number_in(request)
    async with snapshot(request.app[READING]) as tx:
        await seen(tx, number, request[SIGNED].who)
        found = await views.change(tx, number)
    assert found is not None
    return await request.app[LIVE].stream(request, found.key)


async def history(request: web.Request) -> web.Response:
    """Everything that came about, story by story, as `layshaft trace` tells it."""
    number = number_in(request)
    async with snapshot(request.app[READING]) as tx:
        await seen(tx, number, request[SIGNED].who)
        found, _ = await status_in(tx, number)
        trace = await traces.trace(tx, found.key, KINDS)
    told = []
    left = HISTORY_ROWS
    for story in stories(trace.lines if trace else ()):
        start = story.lines[0].at
        lines = list(rows(told_by_calls(story.lines), start, fold=True))
        told.append((story.correlation_id, start, lines[:left]))
        left = max(left - len(lines), 0)
    is_cut = not left or (trace is not None and not trace.is_complete)
    return answer(
        request,
        "history.html",
        status=found,
        base=address(number),
        name=number,
        stories=told,
        is_cut=is_cut,
    )


async def step(request: web.Request) -> web.Response:
    """One step, what it waits for, and what may be done to it."""
    number, step_id = number_in(request), request.match_info["step"]
    async with snapshot(request.app[READING]) as tx:
        plants = await seen(tx, number, request[SIGNED].who)
        found, _ = await status_in(tx, number)
    wanted = next((s for s in found.steps if str(s.id) == step_id), None)
    if wanted is None:
        raise not_found("step", step_id, [str(s.id) for s in found.steps[:STEPS_LIMIT]])
    offered = step_steers(found, wanted)
    # The newest form of each, whose id is the greatest.
    latest = {s.identity: s for s in sorted(found.steps, key=lambda s: s.id)}
    concerned = (wanted.plant,) if wanted.plant else plants
    return answer(
        request,
        "step.html",
        status=found,
        step=wanted,
        before=[latest[name] for name in wanted.depends_on if name in latest],
        base=address(number),
        name=number,
        said=await acting.said(request),
        steers=[
            (steer, forbidden(request[SIGNED].who, _ON_STEP[steer.act], concerned))
            if steer.act == "skip"
            else (steer, forbidden(request[SIGNED].who, _ON_STEP[steer.act], plants))
            for steer in offered
        ],
    )


async def steer(request: web.Request) -> web.Response:
    """The change is paused, resumed or cancelled, where they may."""
    number, act = number_in(request), request.match_info["act"]
    if act not in _ON_CHANGE:
        raise web.HTTPNotFound
    why = await acting.reason(request)

    async def work(tx: Tx, who: Principal) -> str:
        if act == "cancel":
            done = await controls.cancel(
                tx, number=number, by=who.name, reason=why, now=datetime.now(UTC)
            )
            return _said(done, f"{number} cancelled by {who.name}", "ended")
        if act == "pause":
            (done,) = await controls.pause(tx, numbers=[number], by=who.name, reason=why)
            return _said(done, f"{number} paused by {who.name}", "held")
        (done,) = await controls.resume(tx, numbers=[number], by=who.name, reason=why)
        return _said(done, f"{number} resumed by {who.name}", "may go on")

    describe = partial(controls.deed, action=_ON_CHANGE[act], numbers=[number])
    return await acting.act(request, describe, work, back=address(number))


async def steer_step(request: web.Request) -> web.Response:
    """The step is skipped, or runs anew, where they may."""
    number, step_id = number_in(request), request.match_info["step"]
    act = request.match_info["act"]
    if act not in _ON_STEP:
        raise web.HTTPNotFound
    why = await acting.reason(request)
    restart = partial(controls.restart, rules=request.app[RULES], now=datetime.now(UTC))
    do = cast("Callable[..., Awaitable[Steered]]", controls.skip if act == "skip" else restart)
    words = "skipped" if act == "skip" else "restarted"

    async def work(tx: Tx, who: Principal) -> str:
        done = await do(tx, number=number, step=step_id, by=who.name, reason=why)
        others = f"; {plural(done.changed - 1, 'step')} behind it moved too"
        return f"Step {step_id} {words} by {who.name}" + (others if done.changed > 1 else "")

    describe = partial(controls.deed, action=_ON_STEP[act], numbers=[number], steps=[step_id])
    return await acting.act(request, describe, work, back=address(number))


def address(number: str) -> str:
    """Of the change's page."""
    return f"/changes/{quote(number, safe='')}"


def renderer(reading: Database, pages: Pages) -> Callable[[str], Awaitable[str]]:
    """What a stream sends of the change with that key."""

    async def render(key: str) -> str:
        async with snapshot(reading) as tx:
            shown = await _page(tx, key)
        return pages.render("live.html", page=shown, base=address(shown.name), stages=STAGE_WORDS)

    return render


def marker(reading: Database) -> Callable[[str], Awaitable[str]]:
    """The mark of the change with that key."""

    async def mark(key: str) -> str:
        async with reading.session() as session:
            return await views.change_mark(session, key)

    return mark


async def seen(tx: Tx, number: str, who: Principal) -> tuple[str, ...]:
    """Plants of the change, which they may look at.

    Raises: Problem where there is no such change; Refused.
    """
    ids = await steering_rows.ids_of(tx, [number])
    if number not in ids:
        # Names of changes are not for who may not look at them.
        known = (await views.known_numbers(tx))["change"] if who.covers("*") else []
        raise not_found("change", number, known)
    plants = await steering_rows.plants_of(tx, [ids[number]])
    if refused := may_see(who, number, plants):
        raise refused
    return plants


async def status_in(tx: Tx, number: str) -> tuple[ChangeStatus, list[StepCount]]:
    """Where the change with that number or key stands; counts: of one with more steps than are
    read."""
    view, known = await with_paces(tx, number)
    assert view is not None
    counts = await views.step_counts(tx, view.key) if len(view.steps) >= STEPS_LIMIT else []
    now = datetime.now(UTC)
    if len(view.steps) > IN_LOOP:
        return await asyncio.to_thread(status_of, view, now, known), counts
    return status_of(view, now, known), counts


async def _page(tx: Tx, number: str) -> ChangePage:
    status, counts = await status_in(tx, number)
    # Of very many steps it takes seconds, each time that one of them moves.
    points = [] if counts else await progress(tx, status.key)
    now = datetime.now(UTC)
    if len(status.steps) > IN_LOOP:
        return await asyncio.to_thread(page_of, status, counts, points, now)
    return page_of(status, counts, points, now)


def number_in(request: web.Request) -> str:
    """The number that the address names."""
    number = request.match_info["number"]
    if "\0" in number:
        raise web.HTTPNotFound
    return number


def _said(done: Steered, what: str, became: str) -> str:
    said = f"{what}: {plural(done.changed, 'step')} {became}"
    if done.under_way:
        said += f"; {plural(done.under_way, 'call')} under way will still come to an end"
    return said
