"""What became of the IDocs that a source sent, looked up for whoever sent them.

Of an IDoc that its driver took, what counts is whether all that it says was taken too: the events
that it became, and what of it was left out and is a case. What other systems make of that is their
steps' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from broker.consequences import ID_CONFLICT
from broker.intake import UNREAD, Work
from broker.reading import Reader
from broker.replay import read_selected
from broker.store import Database, selections
from broker.store.selections import Logged, Selection
from broker.store.views import snapshot
from broker.store.whereabouts import (
    DONE,
    CaseOf,
    Part,
    Sought,
    Whereabouts,
    open_ones,
    whereabouts,
)
from canonical.catalogue import Catalogue
from canonical.effects import Effect, Emit, Open
from canonical.errors import Failure, InvalidMessage
from canonical.events import SOURCE
from canonical.handler import content_of
from canonical.own_words import OwnWords
from canonical.rules import Rules
from handlers.systems.idoc import status
from handlers.systems.idoc.audit_out import Outcome
from handlers.systems.idoc.document import IDoc, read_idocs
from handlers.systems.idoc.inbound import HANDLER, LIMITS, TYPE, effects_of, recognises
from handlers.systems.idoc.words import Fate

Told = tuple[Fate, str]
"""What became of something, and why, for people."""

# Message types that answer others: an answer to an answer would have no end.
ANSWERS = frozenset({status.AUDIT, status.STATUS})

_REFUSED = frozenset({"parked", "invalid", "dead-letter", "passed"})
# What counts first, where the events of an IDoc came to different ends.
_RANK: Mapping[Fate, int] = {"refused": 0, "let go": 1, "waiting": 2, "posted": 3}
_ON_ITS_WAY: Told = "waiting", "What it says is on its way"
_FORGOTTEN = "What became of it is forgotten: see retention.dedupe_days"


class NotTold(msgspec.Struct, frozen=True):
    """What nothing can be told of.

    idoc: its number as it was sent; "" of all of a message, or where it has none. message: its id
    in the log; "" where it is not known.
    """

    idoc: str
    why: str
    message: str = ""


class Found(msgspec.Struct, frozen=True):
    """What became of IDocs, in the order in which they came. has_more: there are more messages than
    were looked at."""

    outcomes: tuple[Outcome, ...]
    not_told: tuple[NotTold, ...]
    has_more: bool


class Auditor:
    """One look at what became of IDocs."""

    def __init__(
        self, database: Database, *, reader: Reader, catalogue: Catalogue, rules: Rules
    ) -> None:
        self._database = database
        self._rules = rules
        self._reader = reader
        takers = {catalogue.handlers[SOURCE, event].name for event in catalogue.events}
        self._events = frozenset(catalogue.events)
        self._subscriptions = frozenset({HANDLER.name, UNREAD, ID_CONFLICT, *takers})
        self._outcomes: list[Outcome] = []
        self._not_told: list[NotTold] = []

    async def audit(
        self, source: str, *, since: datetime, until: datetime | None, at_most: int
    ) -> Found:
        """What became of the IDocs in messages of the source that were logged since then, of at
        most so many messages, the oldest first. until: not included."""
        selection = Selection(types=(TYPE, UNREAD), sources=(source,), since=since, until=until)
        async with snapshot(self._database) as tx:
            extent = await selections.extent(tx, selection)
        async for messages, works in read_selected(
            self._database, selection, extent, reader=self._reader, at_most=at_most
        ):
            for message, work in zip(messages, works, strict=True):
                await self._look(message, work)
        return Found(
            tuple(self._outcomes), tuple(self._not_told), has_more=extent.messages > at_most
        )

    async def _look(self, message: Logged, work: Work) -> None:
        try:
            idocs = await self._idocs(message, work)
        except InvalidMessage as failure:
            # Of what is no IDoc at all there is nothing to tell.
            if recognises(message.delivery):
                self._leave_out(message, failure.what)
            return
        asked = [idoc for idoc in idocs if idoc.kind[0] not in ANSWERS]
        if not asked:
            return
        async with snapshot(self._database) as tx:
            found = await whereabouts(tx, self._sought(message, work))
        own = stands(found.own) if found is not None else None
        if found is None or own is None:
            for idoc in asked:
                self._leave_out(message, _FORGOTTEN, idoc)
            return
        words = self._rules.words_of(message.delivery.source)
        said = [_effects(idoc, words) if own[0] == "posted" else () for idoc in asked]
        async with snapshot(self._database) as tx:
            opened = await open_ones(tx, [case for effects in said for case in _cases(effects)])
        for idoc, effects in zip(asked, said, strict=True):
            told = own if own[0] != "posted" else said_stands(own, found, effects, opened)
            self._outcomes.append(Outcome(idoc.control, *told))

    async def _idocs(self, message: Logged, work: Work) -> Sequence[IDoc]:
        """The IDocs of the message; of one that its driver cannot read, as they stand there.

        Raises: InvalidMessage where they do not, or where the content is gone.
        """
        if work.message is not None and work.handler is HANDLER:
            taken: tuple[IDoc, ...] = work.message.payload.idocs
            return taken
        delivery = await self._reader.whole(message.delivery)
        return read_idocs(content_of(delivery), LIMITS)

    def _sought(self, message: Logged, work: Work) -> Sought:
        envelope = work.entry.envelope
        return Sought(
            position=message.position,
            ids={message.id, envelope.id},
            correlation_ids={message.correlation_id, envelope.correlation_id},
            subscriptions=self._subscriptions,
            events=self._events,
        )

    def _leave_out(self, message: Logged, why: str, idoc: IDoc | None = None) -> None:
        number = idoc.control.get("DOCNUM") if idoc else ""
        self._not_told.append(NotTold(number, why, message.id))


def stands(part: Part) -> Told | None:
    """What became of a message or event alone; None where nobody has decided it, or that is
    forgotten."""
    case = part.case
    is_refused = part.outcome in _REFUSED or part.subscription == ID_CONFLICT
    if part.state == "in_case" or (is_refused and not part.state):
        if case is None:
            return "refused", part.reason or part.outcome
        return "refused" if case.is_open else "let go", _words(case)
    if part.outcome in DONE:
        is_late = part.outcome != "applied"
        return "posted", "Nothing changed: a later state is known" if is_late else "Applied"
    if part.outcome == "discarded":
        return "let go", _words(case) if case else "A person let it go"
    if part.outcome or part.state:
        return "waiting", part.reason or part.outcome
    return None


def said_stands(
    own: Told,
    found: Whereabouts,
    effects: Sequence[Effect],
    opened: Mapping[tuple[str, str], CaseOf],
) -> Told:
    """What became of an IDoc whose message was taken.

    own, found: what became of the message. effects: what the IDoc alone says. opened: cases that
    are open, by code and place, among them those that it says.
    """
    events = {(effect.event, effect.key) for effect in effects if isinstance(effect, Emit)}
    its = [part for part in found.events if (part.event, part.key) in events]
    ends = [own, *(stands(part) or _ON_ITS_WAY for part in its)]
    if not found.is_complete:
        ends.append(_ON_ITS_WAY)
    worst = min(ends, key=lambda end: _RANK[end[0]])
    left_out = [opened[case] for case in _cases(effects) if case in opened]
    if worst[0] != "posted" or not left_out:
        return worst
    more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return "posted in part", f"{_words(left_out[0])}{more}"


def _effects(idoc: IDoc, words: OwnWords) -> tuple[Effect, ...]:
    """What the IDoc says as its driver reads it today; nothing where it cannot any more."""
    try:
        return effects_of(idoc, words)
    except Failure:
        return ()


def _cases(effects: Sequence[Effect]) -> list[tuple[str, str]]:
    return [(effect.code, effect.where) for effect in effects if isinstance(effect, Open)]


def _words(case: CaseOf) -> str:
    return f"Case {case.id}: {case.what} ({case.place})"
