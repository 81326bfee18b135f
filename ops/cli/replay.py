"""`layshaft replay`: messages of the log once more: counted first, slowly, on record."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import App, Parameter

from broker import replay_orders as work
from broker import shadow
from broker.principals import Action, Principal
from broker.reading import Reader
from broker.replay_orders import ReplayPlan
from broker.store import Database, Tx, views
from broker.store import replays as rows
from broker.store.replays import Mode, ReplayRow
from broker.store.selections import Selection
from broker.unit import SqlStorage
from canonical.events import EVENTS
from handlers import CATALOGUE
from ops.cli.numbered import find, put_list, required_reason
from ops.cli.output import Column, Screen, moment, plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.replay_pages import one_line, print_plan, print_replay, print_shadow, progress
from ops.cli.session import Actor, Common, Reading, act, configuration, on_database, read
from ops.configuration import Configuration
from ops.sources import recogniser
from ops.tables import catalogue_of

app = App(name="replay", help="Take messages of the log down the path once more.")

# More than this is confirmed by typing the number.
CONFIRM_BY_NUMBER = 100
FOLLOW_S = 1.0

Change = Callable[..., Awaitable[int | None]]
"""Pauses, resumes or cancels a replay; how many messages that takes back."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selecting:
    """Which messages of the log. At least one of these; all of them together narrow it down."""

    type_: Annotated[tuple[str, ...], Parameter(name="--type")] = ()
    """Type: arena.change, item.released; "unread" for what nobody could read. Repeatable."""

    source: tuple[str, ...] = ()
    """Who sent it: a configured source or system; layshaft for events of ours. Repeatable."""

    key: tuple[str, ...] = ()
    """Business key, e.g. item/GB-100. Repeatable."""

    correlation: str = ""
    """Everything of one story, by its correlation id."""

    case: tuple[int, ...] = ()
    """The message an exception case is about; what waits behind it follows. Repeatable."""

    since: datetime | None = None
    """Logged at or after this time (UTC if it says no zone)."""

    until: datetime | None = None
    """Logged before this time."""

    def selection(self) -> Selection:
        """The same as the runtime knows it.

        Raises: Problem if nothing narrows it down.
        """
        chosen = Selection(
            types=tuple(EVENTS[t].type if t in EVENTS else t for t in self.type_),
            sources=self.source,
            keys=self.key,
            correlation_id=self.correlation,
            cases=self.case,
            since=_utc(self.since),
            until=_utc(self.until),
        )
        if chosen == Selection():
            raise Problem(
                Exit.USAGE,
                "selection-missing",
                "Which messages is not said",
                why="the whole log is never what is meant",
                fix="Give --type, --source, --key, --correlation, --case, --since or --until",
            )
        return chosen


@app.command(name="plan")
def plan_replay(
    *,
    mode: Mode = "redeliver",
    rate: float = 0.0,
    selecting: Selecting = Selecting(),
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Show what a replay would do: counts, a sample, how long it takes. Nothing is changed.

    Parameters
    ----------
    mode
        redeliver: decide what nobody handled, try again what waits in a case. reprocess: decide
        again what was handled too; effects that are the same are not repeated.
    rate
        Messages per second at most; without it, the one of the configuration.
    """
    planned = _plan(reading, mode, rate, selecting.selection())
    if reading.is_json:
        put_json(planned)
    else:
        print_plan(screen(), planned)


@app.command(name="shadow")
def shadow_replay(
    *,
    limit: int = 1_000,
    selecting: Selecting = Selecting(),
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Decide messages with today's code and rules and show which outputs differ; nothing changes.

    Exit code 0: the same; 1: something differs.

    Parameters
    ----------
    limit
        So many messages at most, the oldest first.
    """
    chosen, selection = configuration(reading), selecting.selection()
    selected, compared = on_database(
        reading,
        lambda database: shadow.compare_all(
            database,
            selection,
            at_most=limit,
            reader=_reader(chosen, database),
            rules=chosen.rules,
            reads_from=chosen.settings.reads_from,
        ),
    )
    if reading.is_json:
        put_json(compared)
    else:
        print_shadow(screen(), selected, compared)
    if selected > len(compared):
        talk(f"{len(compared)} of {plural(selected, 'message')} compared; see --limit.")
    return Exit.FINDINGS if any(c.answer == "differs" for c in compared) else Exit.DONE


@app.command(name="start")
def start_replay(
    *,
    mode: Mode = "redeliver",
    rate: float = 0.0,
    reason: str,
    yes: bool = False,
    selecting: Selecting = Selecting(),
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Start a replay after its plan was shown and confirmed; the service works it off.

    Parameters
    ----------
    mode
        As of plan.
    rate
        As of plan.
    reason
        Why; kept.
    yes
        Do not ask.
    """
    why = required_reason(reason)
    planned = _plan(reading, mode, rate, selecting.selection())
    if not yes:
        print_plan(Screen(sys.stderr), planned)
        _confirm(planned.messages)

    async def start(tx: Tx, who: Principal) -> tuple[str, int]:
        return who.name, await work.start(
            tx,
            mode=mode,
            selection=planned.selection,
            rate=planned.rate,
            by=who.name,
            reason=why,
        )

    selection = planned.selection
    name, replay_id = act(reading, actor, lambda tx: work.deed_of_start(tx, selection), start)
    if reading.is_json:
        put_json({"id": replay_id, "messages": planned.messages})
    else:
        messages = plural(planned.messages, "message")
        screen().line(f"Replay {replay_id} started by {name}: {messages}")
    talk(f"Follow it: layshaft replay show {replay_id} --follow")


@app.command(name="list")
def list_replays(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """List replays, the newest first."""
    put_list(
        reading,
        read(reading, lambda tx: rows.views(tx, limit=views.LIST_LIMIT)),
        [
            (Column("replay", is_number=True), lambda r: str(r.id)),
            (Column("mode"), lambda r: r.mode),
            (Column("state"), lambda r: r.state),
            (Column("looked at", is_number=True), progress),
            (Column("queued", is_number=True), lambda r: str(r.counts.queued + r.counts.released)),
            (Column("in cases", is_number=True), lambda r: str(r.in_cases or "")),
            (Column("started (UTC)"), lambda r: moment(r.created_at)),
            (Column("by"), lambda r: r.created_by),
            (Column("reason", is_text=True), lambda r: r.reason),
        ],
        nothing="There is no replay.",
    )


@app.command(name="show")
def show_replay(
    replay_id: int,
    /,
    *,
    follow: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Show how far a replay is and what became of its messages.

    With --follow, exit code 1: cancelled, failed, or some of its messages wait in cases.

    Parameters
    ----------
    replay_id
        Number of the replay.
    follow
        Say every second how far it is, until it has ended.
    """
    row = _find(reading, replay_id)
    while follow and row.state == "running":
        talk(one_line(row))
        time.sleep(FOLLOW_S)
        row = _find(reading, replay_id)
    if reading.is_json:
        put_json(row)
    else:
        print_replay(screen(), row)
    ended_well = row.state in ("done", "running", "paused") and not row.in_cases
    return Exit.DONE if ended_well or not follow else Exit.FINDINGS


@app.command(name="pause")
def pause_replay(
    replay_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let a replay queue nothing more until it is resumed.

    Parameters
    ----------
    replay_id
        Number of the replay.
    reason
        Why; kept.
    """
    _act(common, actor, replay_id, "paused", reason)


@app.command(name="resume")
def resume_replay(
    replay_id: int,
    /,
    *,
    reason: str = "the cause of the pause is gone",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let a paused or failed replay go on where it stood.

    Parameters
    ----------
    replay_id
        Number of the replay.
    reason
        Why; kept.
    """
    _act(common, actor, replay_id, "resumed", reason)


@app.command(name="cancel")
def cancel_replay(
    replay_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """End a replay: nothing more is queued, and what is not begun is not decided again.

    Parameters
    ----------
    replay_id
        Number of the replay.
    reason
        Why; kept.
    """
    _act(common, actor, replay_id, "cancelled", reason)


_ACTS: Mapping[Literal["paused", "resumed", "cancelled"], tuple[Action, Change]] = {
    "paused": ("replay-pause", work.pause),
    "resumed": ("replay-resume", work.resume),
    "cancelled": ("replay-cancel", work.cancel),
}


def _act(
    common: Common,
    actor: Actor,
    replay_id: int,
    done: Literal["paused", "resumed", "cancelled"],
    reason: str,
) -> None:
    why = required_reason(reason)
    _find(common, replay_id)
    action, change = _ACTS[done]

    async def change_it(tx: Tx, who: Principal) -> tuple[str, int | None]:
        return who.name, await change(tx, replay_id=replay_id, by=who.name, reason=why)

    name, removed = act(common, actor, lambda tx: work.deed(tx, action, replay_id), change_it)
    screen().line(
        f"Replay {replay_id} {done} by {name}"
        + (f": {plural(removed, 'message')} taken back" if removed else "")
    )


def _plan(common: Common, mode: Mode, rate: float, selection: Selection) -> ReplayPlan:
    chosen = configuration(common)
    speed = rate or chosen.settings.replay_rate
    if speed <= 0:
        raise Problem(
            Exit.USAGE,
            "rate-not-positive",
            f"A rate of {speed:g} messages per second never ends",
            why="the rate must be above 0",
            fix="Give --rate 50, or leave it out",
        )
    return on_database(
        common,
        lambda database: work.plan(
            database,
            mode=mode,
            selection=selection,
            rate=speed,
            reader=_reader(chosen, database),
            oldest=datetime.now(UTC) - chosen.settings.memory.window,
        ),
    )


def _reader(chosen: Configuration, database: Database) -> Reader:
    """Messages as the service reads them, with the packages they refer to."""
    catalogue = catalogue_of(chosen, CATALOGUE)
    return Reader(
        storage=SqlStorage(database),
        recognise=recogniser(chosen.settings, catalogue),
        handler_named=catalogue.handler_named,
        read_s=chosen.settings.deadlines.read_s,
    )


def _confirm(messages: int) -> None:
    """The person has said yes, by the number where it is large."""
    expected = str(messages) if messages > CONFIRM_BY_NUMBER else "yes"
    if not sys.stdin.isatty():
        raise Problem(
            Exit.REFUSED,
            "not-confirmed",
            "Nobody is there to confirm it",
            why="standard input is no terminal",
            fix="Look at layshaft replay plan, then give --yes",
        )
    sys.stderr.write(f"Start it? Type {expected}: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != expected:
        raise Problem(
            Exit.REFUSED,
            "not-confirmed",
            "Nothing was started",
            why=f"{expected} was not typed",
            fix="Start it again when it is what you want",
        )


def _find(common: Common, replay_id: int) -> ReplayRow:
    async def one(tx: Tx, number: int) -> ReplayRow | None:
        found = await rows.views(tx, limit=1, only=number)
        return found[0] if found else None

    return find(common, "replay", replay_id, one)


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
