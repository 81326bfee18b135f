"""Tells what nobody's message brings about: that a case was opened or resolved, what is due on a
day, and which changes stand still, or go on, by what people hold; each only where somebody
subscribes to it.

Afterwards, from the rows: what opens a case, a flood of them too, does not wait for it. One process
tells at a time, by a lock for the length of a transaction; whoever dies leaves at most what it had
not committed, and another one tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime

import msgspec

from broker import change_progress
from broker.emission import emission
from broker.failpoints import FailPoints
from broker.slices import slices
from broker.store import Database, Tx, news
from broker.store import holds as hold_rows
from broker.store import ledgers as ledger_rows
from broker.store import outbox as outbox_rows
from broker.store import steps as step_rows
from broker.store.news import CaseNews
from broker.store.outbox import Emission
from canonical.codec import encode
from canonical.own_work import CaseOpened, CaseResolved
from canonical.reminders import Reminder, Watch

CASES = frozenset({"case.opened", "case.resolved"})
BATCH = 200
# Each is read with all its steps.
CHANGES = 50


class _Changes(msgspec.Struct, frozen=True):
    """Ledgers to be looked at since holds were placed or released. turns: as of when; None = nobody
    has looked yet."""

    turns: tuple[int, int] | None = None
    left: tuple[int, ...] = ()


class Herald:
    """Turns of a background loop; starts nothing by itself."""

    def __init__(
        self,
        *,
        database: Database,
        watches: Mapping[str, Watch],
        subscribed: Collection[str],
        fail_points: FailPoints,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._watches = {event: watch for event, watch in watches.items() if event in subscribed}
        self._tells_cases = not CASES.isdisjoint(subscribed)
        self._fail_points = fail_points
        self._now = now
        self._looked_on: date | None = None
        self._tells_progress = change_progress.EVENT in subscribed
        self._changes = _Changes()

    @property
    def is_asked(self) -> bool:
        """Whether anybody subscribes to what it could tell."""
        return self._tells_cases or self._tells_progress or bool(self._watches)

    async def turn(self) -> bool:
        """What is to be told is in the outbox; whether more may be."""
        today = self._now().astimezone(UTC).date()
        async with self._database.transaction() as tx:
            if not await news.try_herald_lock(tx):
                return False
            more = self._tells_cases and await _tell_cases(tx)
            changes, any_told = await self._tell_changes(tx)
            is_new_day = self._looked_on != today
            if is_new_day:
                await self._remind(tx, today)
            if __debug__:
                await self._fail_points("herald.before_commit")
        if __debug__:
            await self._fail_points("herald.after_commit")
        self._looked_on = today
        self._changes = changes
        return more or (any_told and bool(changes.left))

    async def _tell_changes(self, tx: Tx) -> tuple[_Changes, bool]:
        """What is left to look at when this is committed; whether any of it was.

        Holds are counted, as others may have come and gone while another process told. The first
        look is at all that may be blocked: nobody says what a process before this one had left.
        """
        if not self._tells_progress:
            return self._changes, False
        turns = await hold_rows.turns(tx)
        left = self._changes.left
        if turns != self._changes.turns:
            left = tuple(
                await ledger_rows.kept_ones(
                    tx, change_progress.FLOW, is_anything_held=turns[0] > turns[1]
                )
            )
        if not left:
            return _Changes(turns), False
        ledgers = await ledger_rows.lock_free_ledgers(tx, left[:CHANGES])
        steps = await step_rows.load_steps(tx, ledgers)
        await change_progress.tell(
            tx, list(ledgers.values()), steps, dict.fromkeys(ledgers, ()), ended=()
        )
        # Those that somebody is at work on come after the others.
        busy = tuple(each for each in left[:CHANGES] if each not in ledgers)
        return _Changes(turns, (*left[CHANGES:], *busy)), bool(ledgers)

    async def _remind(self, tx: Tx, today: date) -> None:
        for watch in self._watches.values():
            documents = news.documents_of(tx, watch.kind)
            due = [r async for d in documents if (r := watch.due(d, today)) is not None]
            first = await news.told_first(tx, [_occasion(reminder) for reminder in due])
            told = [reminder for reminder in due if _occasion(reminder) in first]
            for some in slices(told):
                await outbox_rows.emit(tx, [_reminding(reminder, today) for reminder in some])


async def _tell_cases(tx: Tx) -> bool:
    cases = await news.untold_cases(tx, limit=BATCH)
    await outbox_rows.emit(tx, [_telling(case) for case in cases])
    await news.mark_told(tx, cases)
    return len(cases) == BATCH


def _telling(case: CaseNews) -> Emission:
    """The event of a case: that it was opened while it is open, else that it is resolved."""
    if case.closed_at is None:
        event, body = "case.opened", encode(_opened(case))
    else:
        event, body = "case.resolved", encode(_resolved(case, case.closed_at))
    key = f"case/{case.id}"
    return emission(
        event, key, body, lane=None, correlation_id=case.correlation_id, causation_id=key
    )


def _opened(case: CaseNews) -> CaseOpened:
    return CaseOpened(
        case=case.id,
        code=case.code,
        word=case.word,
        what=case.what,
        place=case.place,
        remedy=case.remedy,
        owner=case.owner,
        opened_at=case.opened_at,
        about=case.about,
        source=case.source,
    )


def _resolved(case: CaseNews, at: datetime) -> CaseResolved:
    return CaseResolved(
        case=case.id,
        code=case.code,
        place=case.place,
        owner=case.owner,
        by=case.closed_by,
        opened_at=case.opened_at,
        resolved_at=at,
    )


def _occasion(reminder: Reminder) -> tuple[str, str]:
    return reminder.said.key, f"{reminder.said.event} {reminder.occasion}"


def _reminding(reminder: Reminder, today: date) -> Emission:
    said = reminder.said
    return emission(
        said.event,
        said.key,
        encode(said.data),
        lane=said.lane,
        # Nothing came before it: it begins a story of its own.
        correlation_id=f"{said.key} {reminder.occasion}",
        causation_id=f"day/{today.isoformat()}",
    )
