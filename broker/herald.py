"""Tells what nobody's message brings about: that a case was opened or resolved, and what is due on
a day; each only where somebody subscribes to it.

Afterwards, from the rows: what opens a case, a flood of them too, does not wait for it. One process
tells at a time, by a lock for the length of a transaction; whoever dies leaves at most what it had
not committed, and another one tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime

from broker.emission import emission
from broker.failpoints import FailPoints
from broker.slices import slices
from broker.store import Database, Tx, news
from broker.store import outbox as outbox_rows
from broker.store.news import CaseNews
from broker.store.outbox import Emission
from canonical.codec import encode
from canonical.own_work import CaseOpened, CaseResolved
from canonical.reminders import Reminder, Watch

CASES = frozenset({"case.opened", "case.resolved"})
BATCH = 200


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

    @property
    def is_asked(self) -> bool:
        """Whether anybody subscribes to what it could tell."""
        return self._tells_cases or bool(self._watches)

    async def turn(self) -> bool:
        """What is to be told is in the outbox; whether more may be."""
        today = self._now().astimezone(UTC).date()
        async with self._database.transaction() as tx:
            if not await news.try_herald_lock(tx):
                return False
            more = self._tells_cases and await _tell_cases(tx)
            is_new_day = self._looked_on != today
            if is_new_day:
                await self._remind(tx, today)
            if __debug__:
                await self._fail_points("herald.before_commit")
        if __debug__:
            await self._fail_points("herald.after_commit")
        self._looked_on = today
        return more

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
