"""What people do with replays: plan, start, pause, let go on, cancel; what changes is on record."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from time import monotonic

import msgspec

from broker.principals import ALL_PLANTS, Action, Deed
from broker.reading import Reader
from broker.replay import Fate, read_selected, sort
from broker.store import Database, Tx
from broker.store import messages as message_rows
from broker.store import replays as rows
from broker.store import selections as selection_rows
from broker.store.messages import Note
from broker.store.replays import Mode, NewReplay, Replay, State
from broker.store.selections import Group, Selection
from broker.store.views import snapshot
from canonical.errors import Conflict, Rejected

SAMPLE = 10
# So many messages are read, or for so long, to say what would become of them; the rest is judged by
# these.
READ_AT_MOST = 10_000
READ_FOR_S = 30.0

_ENDS: frozenset[State] = frozenset({"cancelled", "done"})


class Sampled(msgspec.Struct, frozen=True):
    """One of the first messages of a selection, and what a replay would do about it."""

    at: datetime
    source: str
    type: str
    key: str
    id: str
    fate: Fate


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do; nothing is changed.

    fates: word -> messages, of those that were read. seconds: at that rate, if nothing holds it up.
    """

    mode: Mode
    selection: Selection
    messages: int
    keys: int
    groups: tuple[Group, ...]
    read: int
    fates: dict[str, int]
    sample: tuple[Sampled, ...]
    rate: float
    seconds: float


async def plan(
    database: Database,
    *,
    mode: Mode,
    selection: Selection,
    rate: float,
    reader: Reader,
    oldest: datetime,
) -> ReplayPlan:
    """What a replay started now would do."""
    until = monotonic() + READ_FOR_S
    async with snapshot(database) as tx:
        extent = await selection_rows.extent(tx, selection)
    fates: Counter[str] = Counter()
    sample: list[Sampled] = []
    async for messages, works in read_selected(
        database, selection, extent, reader=reader, at_most=READ_AT_MOST
    ):
        async with snapshot(database) as tx:
            found = await sort(tx, messages, works, mode=mode, oldest=oldest)
        for s in found:
            fates[s.fate] += 1
            if len(sample) < SAMPLE:
                m = s.message
                source = m.delivery.source
                sample.append(Sampled(m.position.at, source, m.type, m.key, m.id, s.fate))
        if monotonic() > until:
            break
    read = fates.total()
    share = (fates["queued"] + fates["released"]) / read if read else 0.0
    return ReplayPlan(
        mode=mode,
        selection=selection,
        messages=extent.messages,
        keys=extent.keys,
        groups=extent.groups,
        read=read,
        fates=dict(sorted(fates.items())),
        sample=tuple(sample),
        rate=rate,
        seconds=extent.messages * share / rate,
    )


async def deed(tx: Tx, action: Action, replay_id: int) -> Deed:
    """What an act on that replay takes: nobody can say of which plants its messages are."""
    replay = await rows.lock(tx, replay_id)
    story = replay.selection.correlation_id if replay is not None else ""
    subject = _subject(replay_id)
    return Deed(action=action, subject=subject, correlation_id=story, plants=ALL_PLANTS)


async def deed_of_start(tx: Tx, selection: Selection) -> Deed:
    """What a replay of that selection takes; it has no number yet."""
    return Deed(
        action="replay-start",
        subject="replay",
        correlation_id=selection.correlation_id,
        plants=ALL_PLANTS,
    )


async def start(
    tx: Tx, *, mode: Mode, selection: Selection, rate: float, by: str, reason: str
) -> int:
    """A replay of what is selected now runs; its number. What is logged later is none of it.

    Raises: Rejected("nothing-selected").
    """
    extent = await selection_rows.extent(tx, selection)
    if extent.span is None:
        raise Rejected(
            "nothing-selected",
            "No message of the log is selected",
            where="selection",
            remedy="Widen it; layshaft replay plan shows what it selects",
        )
    replay_id = await rows.start(
        tx,
        NewReplay(
            mode=mode,
            selection=selection,
            rate=rate,
            expected=extent.messages,
            span=extent.span,
            created_by=by,
            reason=reason,
        ),
    )
    detail = {"mode": mode, "messages": extent.messages, "reason": reason, "rate": rate}
    note = Note(
        by,
        "replay-started",
        _subject(replay_id),
        selection.correlation_id,
        {**detail, "selection": selection},
        after={"state": "running"},
    )
    await message_rows.write_audit(tx, [note])
    return replay_id


async def pause(tx: Tx, *, replay_id: int, by: str, reason: str) -> None:
    """No further slice; what is queued already, two slices at most, is finished.

    Raises: Rejected("not-found"), Conflict("not-in-state").
    """
    before = await _lock(tx, replay_id, "paused", {"running"})
    await rows.change_state(tx, replay_id, "paused")
    await _note_change(tx, before, "replay-paused", "paused", by, {"reason": reason})


async def resume(tx: Tx, *, replay_id: int, by: str, reason: str) -> None:
    """It goes on where it stood.

    Raises: Rejected("not-found"), Conflict("not-in-state").
    """
    before = await _lock(tx, replay_id, "resumed", {"paused", "failed"})
    await rows.change_state(tx, replay_id, "running")
    await _note_change(tx, before, "replay-resumed", "running", by, {"reason": reason})


async def cancel(tx: Tx, *, replay_id: int, by: str, reason: str) -> int:
    """No further slice; what was to be decided again and is not begun is taken back: how much.

    Raises: Rejected("not-found"), Conflict("not-in-state").
    """
    before = await _lock(tx, replay_id, "cancelled", {"running", "paused", "failed"})
    removed = await rows.remove_unbegun(tx, replay_id)
    await rows.change_state(tx, replay_id, "cancelled")
    detail = {"reason": reason, "removed": removed}
    await _note_change(tx, before, "replay-cancelled", "cancelled", by, detail)
    return removed


async def _lock(tx: Tx, replay_id: int, to_be: str, allowed: set[State]) -> Replay:
    replay = await rows.lock(tx, replay_id)
    if replay is None:
        raise Rejected("not-found", f"There is no replay {replay_id}", where=f"replay {replay_id}")
    if replay.state not in allowed:
        ended = replay.state in _ENDS
        raise Conflict(
            "not-in-state",
            f"A replay that is {replay.state} cannot be {to_be}",
            where=f"replay {replay_id}",
            remedy="Start another one" if ended else f"layshaft replay show {replay_id}",
        )
    return replay


async def _note_change(
    tx: Tx, before: Replay, action: str, state: State, by: str, detail: dict[str, object]
) -> None:
    note = Note(
        by,
        action,
        _subject(before.id),
        before.selection.correlation_id,
        detail,
        before={"state": before.state},
        after={"state": state},
    )
    await message_rows.write_audit(tx, [note])


def _subject(replay_id: int) -> str:
    return f"replay/{replay_id}"
